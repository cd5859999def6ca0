"""Writes scipy_{csr,csc,coo}.npz, scipy.mtx and scipy_y.npy, and prints the sums that tests/data/sparse.rs has.

python scipy_sparse.py, with numpy and scipy.
"""

from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse

here = Path(__file__).parent
rng = np.random.default_rng(3)
x = scipy.sparse.random(12, 30, density=0.1, random_state=rng, format="csr")
for form in ["csr", "csc", "coo"]:
    scipy.sparse.save_npz(here / f"scipy_{form}.npz", x.asformat(form))
scipy.io.mmwrite(here / "scipy.mtx", x, precision=17)
np.save(here / "scipy_y.npy", rng.standard_normal(12))
print(repr(float(x.sum())), repr(float((np.arange(12) @ x).sum())))
