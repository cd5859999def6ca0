"""Gradients through 500 FISTA iterations of 64 lasso lanes, beside hand-written JAX.

usage: reverse.py PROXJET [--epsilon E] [--repeat R] [--json FILE]

The gradient of the lanes' held-out losses by their log alphas, on 1000 x 2000 rows of the correlated data of run.py (a
fourth held out), alphas from alpha_max down to E times that (0.01): seconds of the iterations alone, of the gradient with
all iterates stored, and with a checkpoint every sqrt(500); `proxjet sweep` and `proxjet grad --mode reverse` with the same
steps. Memory of JAX is the growth of its process; of proxjet, of the process, less that of the sweep alone. Gradients of
both are compared with JAX's in f64.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from run import correlated

LANES, ITERATIONS, SEGMENT = 64, 500, 25


def momenta():
    counts = [1.0]
    for _ in range(ITERATIONS):
        counts.append((1 + np.sqrt(1 + 4 * counts[-1] ** 2)) / 2)
    return np.array([(counts[k] - 1) / counts[k + 1] for k in range(ITERATIONS)])


def with_jax(form, data, alphas, dtype, repeat):
    """Seconds and the gradient; run in a process of its own, whose memory is read after it."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, y, xv, yv = (jnp.asarray(v, dtype) for v in data)
    n = x.shape[0]
    step = jnp.asarray(n / np.linalg.norm(data[0], 2) ** 2, dtype)
    beta = jnp.asarray(momenta(), dtype)
    t, tv = y[:, None], yv[:, None]

    def iterate(log_alpha):
        threshold = step * jnp.exp(log_alpha)

        def one(state, b):
            now, before = state
            v = now + b * (now - before)
            w = v - step * (x.T @ (x @ v - t)) / n
            return (jnp.sign(w) * jnp.maximum(jnp.abs(w) - threshold, 0), now), None

        return one

    def losses(log_alpha):
        start = jnp.zeros((x.shape[1], LANES), dtype)
        one = iterate(log_alpha)
        if form == "checkpointed":
            segment = jax.checkpoint(lambda state, b: jax.lax.scan(one, state, b))
            state, _ = jax.lax.scan(segment, (start, start), beta.reshape(-1, SEGMENT))
        else:
            state, _ = jax.lax.scan(one, (start, start), beta)
        return 0.5 * ((xv @ state[0] - tv) ** 2).mean(0)

    run = jax.jit(losses if form == "forward" else jax.grad(lambda a: losses(a).sum()))
    a = jnp.asarray(np.log(alphas), dtype)
    run(a).block_until_ready()
    seconds = []
    for _ in range(repeat):
        clock = time.perf_counter()
        found = run(a)
        found.block_until_ready()
        seconds.append(time.perf_counter() - clock)
    return statistics.median(seconds), np.asarray(found, float).tolist()


def peak_bytes(command, env=None):
    """The output of a process, and the most memory that it held."""
    done = subprocess.run(["/usr/bin/env", "python3", "-c", (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:])\n"
        "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)\n"
        "sys.exit(done.returncode)"), *command], capture_output=True, text=True, env=env)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    text, peak = re.match(r"(.*)peak (\d+)\s*$", done.stdout, re.S).groups()
    return text, int(peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proxjet")
    parser.add_argument("--epsilon", type=float, default=0.01)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--jax", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    x, y = correlated(4000 // 3, 2000)
    n = 1000
    x, y = x - x[:n].mean(0), y - y[:n].mean()
    data = (x[:n], y[:n], x[n:], y[n:])
    top = np.abs(data[0].T @ data[1]).max() / n
    alphas = np.geomspace(top, args.epsilon * top, LANES)
    if args.jax:
        form, precision = args.jax
        dtype = np.float64 if precision == "f64" else np.float32
        print(json.dumps(with_jax(form, data, alphas, dtype, args.repeat)))
        return
    rows, reference = [], None
    with tempfile.TemporaryDirectory() as folder:
        for name, (a, b) in {"fit": data[:2], "held": data[2:]}.items():
            np.savez(f"{folder}/{name}.npz", X=a, y=b)
        options = ["--data", f"{folder}/fit.npz", "--validation-data", f"{folder}/held.npz", "--no-intercept", "--tol",
                   "0", "--iterations", str(ITERATIONS), "--engine", "cpu", "--metric", "none", "--restart", "none",
                   "--alphas", ",".join(repr(float(v)) for v in alphas), "--quiet"]
        for precision in ["f64", "f32"]:
            row = {"precision": precision, "lanes": LANES, "iterations": ITERATIONS, "epsilon": args.epsilon}
            for form in ["forward", "stored", "checkpointed"]:
                me = [sys.executable, os.path.abspath(__file__), args.proxjet, "--epsilon", str(args.epsilon), "--repeat",
                      str(args.repeat), "--jax", form, precision]
                text, peak = peak_bytes(me)
                seconds, found = json.loads(text)
                row[f"jax {form}"] = {"seconds": seconds, "bytes": peak}
                gradient = found if form == "stored" else row.get("gradient")
                row["gradient"] = gradient
            for what, command in {
                "sweep": ["sweep", "--derivative", "none", "--keep", "nothing", "--no-polish"],
                "reverse": ["grad", "--mode", "reverse", "--derivative", "log_alpha"],
            }.items():
                seconds, peaks = [], []
                for _ in range(args.repeat):
                    text, peak = peak_bytes([args.proxjet, *command, *options, "--precision", precision, "--json",
                                             *(["--out", f"{folder}/out"] if what == "reverse" else [])])
                    result = json.loads(text)
                    seconds.append(result["seconds"])
                    peaks.append(peak)
                row[what] = {"seconds": statistics.median(seconds), "bytes": statistics.median(peaks)}
                if what == "sweep":
                    row["support"] = float(np.mean([lane["support"] for lane in result["lanes"]])) / x.shape[1]
            ours, theirs = np.load(f"{folder}/out/grad.npz")["gradient"][:, 0], np.array(row.pop("gradient"))
            reference = theirs if reference is None else reference
            size = np.abs(reference).max()
            row["error"] = {"proxjet": float(np.abs(ours - reference).max() / size),
                            "jax": float(np.abs(theirs - reference).max() / size)}
            rows.append(row)
            seconds = {name: of["seconds"] for name, of in row.items() if isinstance(of, dict) and "seconds" in of}
            memory = {name: of["bytes"] / 1e6 for name, of in row.items() if isinstance(of, dict) and "seconds" in of}
            print(f"{precision}, support {100 * row['support']:.1f} %, gradients apart from jax's in f64: "
                  f"proxjet {row['error']['proxjet']:.0e}, jax {row['error']['jax']:.0e}")
            for name in seconds:
                print(f"  {name:18} {seconds[name]:7.2f} s {memory[name]:8.0f} MB")
            print(f"  reverse: {seconds['reverse'] / seconds['sweep']:.2f} of the sweep; jax stored "
                  f"{seconds['jax stored'] / seconds['jax forward']:.2f} of its forward, "
                  f"{seconds['jax stored'] / seconds['reverse']:.2f} of reverse; memory for it "
                  f"{memory['reverse'] - memory['sweep']:.0f} MB, jax "
                  f"{memory['jax stored'] - memory['jax forward']:.0f} MB", flush=True)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
