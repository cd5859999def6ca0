"""proxjet beside what people would use instead, on this machine: two tables with ratios.

usage: run.py PROXJET [--data FILE]... [--sets NAME,...] [--only iterations|paths] [--epsilon E] [--repeat R]
              [--json FILE]

  iterations  FISTA on 64 lanes with one derivative, by hand in JAX (the faster of products with X and with its Gram
              matrix), and by `proxjet sweep` with the same steps: seconds of K iterations without those of one
              (of preparation, and of the Gram matrix), over K - 1.
  paths       a path of 100 lasso models on one thread, each peer at the loosest of its tolerances with which every
              model has a duality gap of 1e-6 |y|^2 / 2n, computed here by numpy; proxjet by its own certificates,
              by `--path newton` without and with derivatives, and by independent lanes.

PROXJET is the program; peers that are not installed are left out (pip install jax scikit-learn skglm celer). Data sets are
those of the repository, a synthetic one, and the files of --data: .npz with arrays X and y (a y of two values adds
logistic), or svmlight for paths on the sparse matrix, without intercept and not centred.
"""
import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before numpy is loaded: products of path solvers on one thread, as proxjet's. JAX has threads of its own.
for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]:
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

LANES = 64
GAP = 1e-6


def correlated(rows=1000, columns=2000, seed=0):
    """Columns of an AR(1) process, correlation 0.5; one per cent of them in the model; signal to noise 5."""
    r = np.random.RandomState(seed)
    u = r.randn(rows, columns)
    x = np.empty_like(u)
    x[:, 0] = u[:, 0]
    for j in range(1, columns):
        x[:, j] = 0.5 * x[:, j - 1] + np.sqrt(0.75) * u[:, j]
    w = np.zeros(columns)
    w[r.choice(columns, columns // 100, replace=False)] = 1.0
    y, e = x @ w, r.randn(rows)
    return x, y + e * (np.linalg.norm(y) / np.linalg.norm(e) / 5)


def data_sets(files):
    """Name, X and y of each, columns centred and of unit variance."""
    from_sklearn = []
    try:
        from sklearn.datasets import load_breast_cancer, load_diabetes
        from_sklearn = [("diabetes", load_diabetes), ("breast_cancer", load_breast_cancer)]
    except ImportError:
        print("scikit-learn is missing: no bundled data", file=sys.stderr)
    sets = [(name, *load(return_X_y=True)) for name, load in from_sklearn]
    sets.append(("synthetic 1000x2000", *correlated()))
    sets += [(Path(f).stem, np.load(f)["X"], np.load(f)["y"]) for f in files if f.endswith(".npz")]
    for name, x, y in sets:
        x = np.asarray(x, float) - x.mean(0)
        scale = x.std(0)
        yield name, np.asfortranarray(x / np.where(scale > 0, scale, 1)), np.asarray(y, float)


def sparse_sets(files):
    """Name, X by columns, y and the file of each."""
    for f in (f for f in files if not f.endswith(".npz")):
        from sklearn.datasets import load_svmlight_file

        x, y = load_svmlight_file(f)
        yield Path(f).name.split(".")[0], x.tocsc(), y, f


def median(of, repeat):
    return statistics.median(of() for _ in range(repeat))


def proxjet(program, x, y, *options, threads=None, file=None):
    """Seconds of a sweep, without the start of the process, and its result."""
    with tempfile.TemporaryDirectory() as folder:
        if file is None:
            file = f"{folder}/data.npz"
            np.savez(file, X=x, y=y)
        env = dict(os.environ, **({"RAYON_NUM_THREADS": str(threads)} if threads else {}))
        command = [program, "sweep", "--data", file, "--engine", "cpu", "--quiet", *options]
        done = subprocess.run([*command, "--out", f"{folder}/out"], env=env, capture_output=True, text=True)
        if done.returncode not in (0, 3):
            sys.exit(done.stderr)
        result = json.load(open(f"{folder}/out/result.json"))
        return result["seconds"], result


# ---- iterations -----------------------------------------------------------------------------------------------------


def jax_seconds(x, y, alphas, logistic, iterations, dtype, repeat):
    """Seconds of an iteration by hand in JAX, the better of two forms."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    n, p = x.shape
    curvature = np.linalg.norm(x, 2) ** 2 / n * (0.25 if logistic else 1.0)
    a, t = jnp.asarray(alphas, dtype), jnp.asarray(y, dtype)[:, None]
    design = jnp.asarray(x, dtype)
    step = jnp.asarray(1.0 / (curvature + (alphas if logistic else 0 * alphas)), dtype)
    counts = [1.0]
    for _ in range(iterations):
        counts.append((1 + np.sqrt(1 + 4 * counts[-1] ** 2)) / 2)
    momentum = jnp.asarray([(counts[k] - 1) / counts[k + 1] for k in range(iterations)], dtype)
    b = len(alphas)

    def products(columns):
        """The gradient at b iterates, and its derivative: columns [p, 2 b]."""
        z = design @ columns
        if logistic:
            s = jax.nn.sigmoid(z[:, :b])
            r = jnp.concatenate([s - t, s * (1 - s) * z[:, b:]], 1)
        else:
            r = jnp.concatenate([z[:, :b] - t, z[:, b:]], 1)
        return design.T @ r / n

    gram, c = design.T @ design / n, design.T @ t / n

    def with_gram(columns):
        g = gram @ columns
        return jnp.concatenate([g[:, :b] - c, g[:, b:]], 1)

    def run(by):
        def iterate(state, beta):
            now, before = state
            v = now + beta * (now - before)
            g = by(v)
            w, dw = (v - jnp.tile(step, 2) * g)[:, :b], (v - jnp.tile(step, 2) * g)[:, b:]
            if logistic:  # the ridge by its gradient, as proxjet does
                w = w - step * a * v[:, :b]
                dw = dw - step * a * (v[:, b:] + v[:, :b])
                return (jnp.concatenate([w, dw], 1), now), None
            threshold = step * a
            on = jnp.abs(w) > threshold
            new = jnp.where(on, w - jnp.sign(w) * threshold, 0)
            dnew = jnp.where(on, dw - jnp.sign(w) * threshold, 0)
            return (jnp.concatenate([new, dnew], 1), now), None

        return jax.jit(lambda start, m: jax.lax.scan(iterate, start, m)[0])

    zero = jnp.zeros((p, 2 * b), dtype)
    best = {}
    for form, by in [("products", products)] + ([] if logistic or p > 4 * n else [("gram", with_gram)]):
        solve = run(by)

        def seconds(count):
            m = momentum[:count]
            solve((zero, zero), m)[0].block_until_ready()

            def once():
                clock = time.perf_counter()
                solve((zero, zero), m)[0].block_until_ready()
                return time.perf_counter() - clock

            return median(once, repeat)

        best[form] = (seconds(iterations) - seconds(1)) / (iterations - 1)
    return min(best.items(), key=lambda item: item[1])


def iterations_table(program, sets, repeat, epsilon):
    rows = []
    for name, x, y in sets:
        classes = len(np.unique(y)) == 2
        for logistic in [True] if name == "breast_cancer" else [False, True] if classes else [False]:
            t = (y == y.max()).astype(float) if logistic else y - y.mean()
            r = t - 0.5 if logistic else t
            top = np.abs(x.T @ r).max() / len(t)
            alphas = np.geomspace(top, epsilon * top, LANES)
            # So many that a run takes seconds.
            k = int(np.clip(4e9 / (4 * x.size + 3e5), 300, 20_000))
            kind = ("logistic", "l2") if logistic else ("squared", "l1")
            for dtype, precision in [(np.float64, "f64"), (np.float32, "f32")]:
                options = ["--loss", kind[0], "--penalty", kind[1], "--precision", precision, "--tol", "0", "--no-polish",
                           "--metric", "none", "--restart", "none", "--no-intercept",
                           "--alphas", ",".join(repr(float(v)) for v in alphas), "--every", "100000"]

                def ours(count):
                    return median(lambda: proxjet(program, x, t, *options, "--iterations", str(count))[0], repeat)

                own = (ours(k) - ours(1)) / (k - 1)
                row = {"what": f"{'l2-logistic' if logistic else 'lasso'} {name} {x.shape[0]}x{x.shape[1]} {precision}",
                       "iterations": k, "proxjet": own}
                try:
                    row["form"], row["jax"] = jax_seconds(x, t, alphas, logistic, k, dtype, repeat)
                except ImportError:
                    pass
                rows.append(row)
                them = f"{1e3 * row['jax']:10.4f} {row['form']:9} {row['jax'] / own:6.2f}" if "jax" in row else "  no jax"
                print(f"  {row['what']:42} {1e3 * own:10.4f} {them}", flush=True)
    return rows


# ---- paths ----------------------------------------------------------------------------------------------------------


def worst_gap(x, y, alphas, coefficients):
    """The largest duality gap over |y|^2 / 2n; coefficients are [alphas, p]."""
    n = len(y)
    r = y[:, None] - x @ coefficients.T
    primal = (r**2).sum(0) / (2 * n) + alphas * np.abs(coefficients).sum(1)
    scale = np.minimum(1, alphas * n / np.abs(x.T @ r).max(0))
    dual = ((y**2).sum() - ((y[:, None] - scale * r) ** 2).sum(0)) / (2 * n)
    return float(((primal - dual) / ((y**2).sum() / (2 * n))).max())


def largest(x, y):
    """The smallest alpha without a coefficient."""
    return np.abs(x.T @ y).max() / len(y)


def solvers():
    """Name and a function of (x, y, alphas, tolerance) that returns coefficients [alphas, p]."""
    found = {}
    try:
        from sklearn.linear_model import lasso_path

        found["scikit-learn"] = lambda x, y, a, tol: lasso_path(x, y, alphas=a, tol=tol, max_iter=100_000)[1].T
    except ImportError:
        pass
    try:
        from celer import celer_path

        found["celer"] = lambda x, y, a, tol: celer_path(x, y, pb="lasso", alphas=a, tol=tol)[1].T
    except ImportError:
        pass
    try:
        from skglm.datafits import Quadratic
        from skglm.penalties import L1
        from skglm.solvers import AndersonCD

        def skglm(x, y, a, tol):
            solver = AndersonCD(tol=tol, fit_intercept=False, warm_start=True, max_iter=100)
            w, out = np.zeros(x.shape[1]), []
            for alpha in a:
                w = solver.solve(x, y, Quadratic(), L1(alpha), w_init=w.copy(), Xw_init=x @ w)[0]
                out.append(w.copy())
            return np.array(out)

        found["skglm"] = skglm
    except ImportError:
        pass
    return found


def paths_table(program, sets, repeat):
    import warnings

    warnings.simplefilter("ignore")
    rows = []
    for name, x, y, file in sets:
        alphas = np.geomspace(1, 1e-2, 100) * largest(x, y)
        row = {"what": f"{name} {x.shape[0]}x{x.shape[1]}"}
        listed = ",".join(repr(float(a)) for a in alphas)
        options = ["--loss", "squared", "--penalty", "l1", "--no-intercept", "--alphas", listed, "--tol", str(GAP)]
        newton = ["--path", "newton"]
        forms = [("proxjet", [*newton, "--derivative", "none"]), ("with derivatives", newton), ("independent", [])]
        for label, extra in forms:
            runs = [proxjet(program, x, y, *options, *extra, threads=1, file=file) for _ in range(repeat)]
            certified = [lane["certificate"]["verdict"] != "red" for lane in runs[0][1]["lanes"]]
            row[label] = statistics.median(run[0] for run in runs)
            row[f"{label}: certified"] = sum(certified)
        for peer, solve in solvers().items():
            solve(x, y, alphas[:2], 1e-2)  # compiles
            for tol in [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]:
                coefficients = solve(x, y, alphas, tol)
                gap = worst_gap(x, y, alphas, coefficients)
                if gap <= GAP:
                    break
            else:
                row[f"{peer}: gap"] = gap
                continue

            def once():
                clock = time.perf_counter()
                solve(x, y, alphas, tol)
                return time.perf_counter() - clock

            row[peer] = median(once, repeat)
            row[f"{peer}: gap"] = gap
        best = min([row[peer] for peer in solvers() if peer in row], default=float("nan"))
        row["ratio"] = best / row["proxjet"]
        rows.append(row)
        solved = [*(label for label, _ in forms), *solvers()]
        seconds = "  ".join(f"{key} {row[key]:.4f}" if key in row else f"{key} not to the gap" for key in solved)
        print(f"  {row['what']:28} {seconds}  best peer/proxjet {row['ratio']:.2f}", flush=True)
    return rows


def versions():
    """The versions of the peers that are installed."""
    found = {}
    for name in ["numpy", "jax", "scikit-learn", "celer", "skglm"]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", metavar="PROXJET")
    parser.add_argument("--data", action="append", default=[], metavar="FILE")
    parser.add_argument("--sets", metavar="NAME,...", help="those of these names only")
    parser.add_argument("--epsilon", type=float, default=1e-2, help="the smallest alpha of iterations over the largest")
    parser.add_argument("--only", choices=["iterations", "paths"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    named = asked.sets and asked.sets.split(",")
    sets = [of for of in data_sets(asked.data) if not named or of[0] in named]
    sparse = (of for of in sparse_sets(asked.data) if not named or of[0] in named)
    version = subprocess.run([asked.program, "--version"], capture_output=True, text=True).stdout.strip()
    report = {"program": version, "peers": versions(), "cpus": os.cpu_count(), "machine": platform.processor(),
              "repetitions": asked.repeat, "epsilon": asked.epsilon}
    if asked.only != "paths":
        print(f"iterations: ms of one, {LANES} lanes, one derivative: proxjet, jax and its form, jax/proxjet")
        report["iterations"] = iterations_table(asked.program, sets, asked.repeat, asked.epsilon)
    if asked.only != "iterations":
        print(f"paths: seconds of 100 lasso models, one thread, duality gap {GAP:g} |y|^2/2n")
        regression = [(name, x, y - y.mean(), None) for name, x, y in sets if name != "breast_cancer"]
        report["paths"] = paths_table(asked.program, [*regression, *sparse], asked.repeat)
    if asked.json:
        Path(asked.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
