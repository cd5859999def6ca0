"""The peers' baseline on a GPU, for benches/gpu_day.sh: cuBLAS by torch, and FISTA by hand in JAX.

usage: gpu.py [--shape N,P,B]...

For every shape, in f32 without TF32: milliseconds of the two products of an iteration, X M and Xᵀ R with B and with 2 B
columns (no and one derivative), by torch; and of a whole iteration of the lasso on B lanes with one derivative, the
better of products with X and with its Gram matrix, by JAX. What is not installed is left out.
"""
import sys
import time


def torch_products(shapes):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    for n, p, b in shapes:
        x = torch.randn(n, p, device="cuda")
        for width in (1, 2):
            m, r = torch.randn(p, b * width, device="cuda"), torch.randn(n, b * width, device="cuda")

            def run(count):
                torch.cuda.synchronize()
                clock = time.perf_counter()
                for _ in range(count):
                    x @ m
                    x.T @ r
                torch.cuda.synchronize()
                return time.perf_counter() - clock

            run(3)
            count = max(3, int(0.3 / max(run(3) / 3, 1e-6)))
            each = min(run(count) for _ in range(3)) / count
            flops = 4.0 * n * p * b * width
            print(f"torch {n}x{p}, {b} lanes, d={width - 1}: {1e3 * each:.4f} ms, {flops / each / 1e12:.1f} TFLOP/s", flush=True)


def jax_iterations(shapes):
    import jax
    import jax.numpy as jnp

    if jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX runs on the {jax.default_backend()}")
    jax.config.update("jax_default_matmul_precision", "highest")
    for n, p, b in shapes:
        x = jax.random.normal(jax.random.PRNGKey(0), (n, p))
        y = jax.random.normal(jax.random.PRNGKey(1), (n, 1))
        # Any step will do: an iteration takes as long whatever its numbers are.
        step, threshold, beta = 1e-3, jnp.linspace(1e-4, 1e-3, b), 0.9

        def products(columns):
            z = x @ columns
            return x.T @ jnp.concatenate([z[:, :b] - y, z[:, b:]], 1) / n

        forms = {"products": products}
        if p <= 4 * n:
            gram, c = x.T @ x / n, x.T @ y / n
            forms["gram"] = lambda columns: (lambda g: jnp.concatenate([g[:, :b] - c, g[:, b:]], 1))(gram @ columns)
        for form, gradient in forms.items():

            def iterate(_, state, gradient=gradient):
                now, before = state
                v = now + beta * (now - before)
                w = v - step * gradient(v)
                on = jnp.abs(w[:, :b]) > threshold
                shrink = jnp.sign(w[:, :b]) * threshold
                new = [jnp.where(on, w[:, :b] - shrink, 0), jnp.where(on, w[:, b:] - shrink, 0)]
                return jnp.concatenate(new, 1), now

            solve = jax.jit(lambda state, count, iterate=iterate: jax.lax.fori_loop(0, count, iterate, state))
            start = (jnp.zeros((p, 2 * b)),) * 2

            def run(count):
                clock = time.perf_counter()
                solve(start, count)[0].block_until_ready()
                return time.perf_counter() - clock

            run(2)
            count = max(4, int(0.5 / max(run(4) / 4, 1e-6)))
            each = min((run(count) - run(1)) / (count - 1) for _ in range(3))
            print(f"jax {form} {n}x{p}, {b} lanes, d=1: {1e3 * each:.4f} ms an iteration", flush=True)


def main():
    given = [a for flag, a in zip(sys.argv, sys.argv[1:]) if flag == "--shape"]
    shapes = [tuple(int(v) for v in a.split(",")) for a in given] or [(4096, 8192, 256), (8192, 1024, 4096), (442, 10, 4096)]
    for part in (torch_products, jax_iterations):
        try:
            part(shapes)
        except (ImportError, RuntimeError, AssertionError) as error:
            print(f"{part.__name__} left out: {error}", flush=True)


if __name__ == "__main__":
    main()
