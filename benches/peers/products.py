"""GFLOP/s of the products of benches/product_libraries by numpy's BLAS: products.py THREADS"""
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[1]
import numpy as np  # noqa: E402

COLUMNS = 128
for dtype in [np.float64, np.float32]:
    for n, p in [(1000, 2000), (2000, 500), (569, 30), (500, 500)]:
        x = (np.arange(n * p) % 17).astype(dtype).reshape(n, p)
        m, z = np.full((p, COLUMNS), 0.5, dtype, order="F"), np.empty((n, COLUMNS), dtype, order="F")
        g = m.copy(order="F")
        operations = 4.0 * n * p * COLUMNS
        repeat = int(np.ceil(2e9 / operations))
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            for _ in range(repeat):
                np.matmul(x, m, out=z)
                np.matmul(x.T, z, out=g)
            seconds.append((time.perf_counter() - start) / repeat)
        print(f"{n} x {p} {np.dtype(dtype).name}: numpy {1e-9 * operations / sorted(seconds)[4]:.1f}", flush=True)
print(np.__version__, np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"])
