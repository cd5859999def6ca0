"""Golden traces: the recursion of proximal gradient, FISTA and heavy ball with tangents, written down in numpy from its
definition, independent of the crate.  python3 tests/golden/make.py  (numpy; made with numpy 2.4.6)

For every case: X [n,p], y [n], weight [n], factors [p], alphas [b], step [K], momentum [K], start [p] and the result
coef [K+1,b,p], dcoef [K+1,b,d,p], each as NAME.npy.gz.  Derivatives: log_alpha, then what the case lists.
"""
import gzip
import io
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
K = 500


def sigmoid(t):
    return np.where(t >= 0, 1 / (1 + np.exp(-np.abs(t))), np.exp(-np.abs(t)) / (1 + np.exp(-np.abs(t))))


LOSS = {  # slope, curve, slope by target
    "squared": (lambda z, y: z - y, lambda z, y: np.ones_like(z), lambda z, y: -np.ones_like(z)),
    "logistic": (lambda z, y: -y * sigmoid(-y * z), lambda z, y: sigmoid(z) * sigmoid(-z), None),
    "huber:0.7": (lambda z, y: np.clip(z - y, -0.7, 0.7), lambda z, y: (np.abs(z - y) < 0.7) * 1.0,
                  lambda z, y: (np.abs(z - y) < 0.7) * -1.0),
}


def prox(penalty, w, a, l1, l2, dw, dl1, dl2):
    """prox and its directional derivative"""
    if penalty in ("l2", "none"):
        return w, dw
    if penalty == "l1":
        on = np.abs(w) > a * l1
        return on * (w - np.sign(w) * a * l1), on * (dw - np.sign(w) * a * dl1)
    if penalty == "elastic_net":
        on = np.abs(w) > a * l1
        x = on * (w - np.sign(w) * a * l1) / (1 + a * l2)
        return x, on * (dw - np.sign(w) * a * dl1 - a * dl2 * x) / (1 + a * l2)
    if penalty == "nonneg_l1":
        on = w > a * l1
        return on * (w - a * l1), on * (dw - a * dl1)
    if penalty == "box:-0.2:0.3":
        return np.clip(w, -0.2, 0.3), ((w > -0.2) & (w < 0.3)) * dw
    raise ValueError(penalty)


def run(X, y, weight, factors, loss, penalty, algorithm, alpha, ratio, step, momentum, start, derivatives, dy):
    slope, curve, by_target = LOSS[loss]
    om = weight / weight.sum()
    ratio = {"l1": 1.0, "nonneg_l1": 1.0, "l2": 0.0}.get(penalty, ratio)
    used = 0.0 if penalty.startswith("box") or penalty == "none" else alpha
    l1, l2 = used * ratio * factors, used * (1 - ratio) * factors
    directions = []
    for name in derivatives:
        zero = np.zeros_like(factors)
        if name == "log_alpha":
            directions.append((l1, l2, None))
        elif name == "alpha":
            directions.append((ratio * factors, (1 - ratio) * factors, None))
        elif name == "l1_ratio":
            directions.append((used * factors, -used * factors, None))
        elif name.startswith("penalty_factor:"):
            e = zero.copy()
            e[int(name.split(":")[1])] = 1.0
            directions.append((used * ratio * e, used * (1 - ratio) * e, None))
        elif name == "target":
            directions.append((zero, zero, dy))
    d = len(directions)
    x = xm = start.copy()
    D = Dm = np.zeros((d, len(start)))
    xs, Ds = [x], [D]
    for k in range(K):
        a, b = step[k], momentum[k]
        v = x + b * (x - xm)
        V = D + b * (D - Dm)
        at, At = (v, V) if algorithm == "fista" else (x, D)
        z = X @ at
        grad = X.T @ (om * slope(z, y))
        in_f = l2 if penalty == "l2" else 0.0 * l2
        w = v - a * (grad + in_f * at)
        Dn = np.zeros_like(D)
        xn = None
        for t, (dl1, dl2, dyt) in enumerate(directions):
            dr = om * curve(z, y) * (X @ At[t])
            if dyt is not None:
                dr = dr + om * by_target(z, y) * dyt
            dgrad = X.T @ dr + in_f * At[t] + (dl2 * at if penalty == "l2" else 0.0)
            xn, Dn[t] = prox(penalty, w, a, l1, l2, V[t] - a * dgrad, dl1, dl2)
        xm, x, Dm, D = x, xn, D, Dn
        xs.append(x)
        Ds.append(D)
    return np.array(xs), np.array(Ds)


def save(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        raw = io.BytesIO()
        np.save(raw, np.asarray(array, dtype=np.float64))
        with open(folder / f"{name}.npy.gz", "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0) as g:
            g.write(raw.getvalue())


CASES = [  # loss, penalty, algorithm, l1_ratio, derivatives, step rule, momentum rule
    ("squared", "l1", "fista", 1.0, ["log_alpha", "target"], "constant", "fista"),
    ("squared", "elastic_net", "pgd", 0.4, ["log_alpha", "l1_ratio"], "random", "none"),
    ("squared", "box:-0.2:0.3", "fista", 1.0, ["target"], "constant", "five"),
    ("logistic", "l2", "fista", 0.0, ["log_alpha"], "constant", "five"),
    ("logistic", "l1", "heavy_ball", 1.0, ["log_alpha", "penalty_factor:2"], "constant", "half"),
    ("huber:0.7", "nonneg_l1", "pgd", 1.0, ["alpha", "target"], "cyclic", "none"),
]


def main():
    rng = np.random.default_rng(20260101)
    n, p = 30, 7
    lines = []
    for i, (loss, penalty, algorithm, ratio, derivatives, step_rule, momentum_rule) in enumerate(CASES):
        X = rng.standard_normal((n, p)) @ np.diag(np.linspace(0.6, 1.4, p))
        truth = rng.standard_normal(p) * (rng.random(p) < 0.7)
        y = X @ truth + 0.3 * rng.standard_normal(n)
        if loss == "logistic":
            y = np.sign(y)
        weight = rng.uniform(0.5, 1.5, n)
        factors = rng.uniform(0.5, 1.5, p)
        om = weight / weight.sum()
        alphas = np.array([0.12, 0.03])
        L = np.linalg.eigvalsh(X.T @ (om[:, None] * X))[-1] * (0.25 if loss == "logistic" else 1.0)
        if penalty == "l2":
            L += alphas.max() * factors.max()
        k = np.arange(K)
        step = {"constant": np.full(K, 1 / L), "random": rng.uniform(0.1, 1.9, K) / L,
                "cyclic": (0.5 + 0.3 * (k % 4)) / L}[step_rule]
        t = np.ones(K + 1)
        for j in range(K):
            t[j + 1] = (1 + np.sqrt(1 + 4 * t[j] ** 2)) / 2
        momentum = {"none": np.zeros(K), "fista": (t[:-1] - 1) / t[1:], "five": k / (k + 6.0),
                    "half": np.full(K, 0.5)}[momentum_rule]
        start = 0.2 * rng.standard_normal(p)
        if penalty == "nonneg_l1":
            start = np.abs(start)
        dy = rng.standard_normal(n)
        runs = [run(X, y, weight, factors, loss, penalty, algorithm, a, ratio, step, momentum, start, derivatives, dy)
                for a in alphas]
        coef = np.stack([r[0] for r in runs], 1)
        dcoef = np.stack([r[1] for r in runs], 1)
        name = f"case{i}"
        save(HERE / name, X=X, y=y, weight=weight, factors=factors, alphas=alphas, step=step, momentum=momentum,
             start=start, dy=dy, coef=coef, dcoef=dcoef)
        lines.append(f"{name} {loss} {penalty} {algorithm} {ratio} {','.join(derivatives)}")
    (HERE / "cases.txt").write_text("\n".join(lines) + "\n")


main()
