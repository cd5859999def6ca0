"""Solutions by scikit-learn 1.9.1, with the scales of docs/coming_from.md: writes scikit_learn.csv beside it."""

import pathlib

import numpy as np
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

here = pathlib.Path(__file__).parent


def data(name):
    table = np.loadtxt(here / f"../../data/{name}.csv", delimiter=",", skiprows=1)
    return StandardScaler().fit_transform(table[:, :-1]), table[:, -1]


x, y = data("diabetes")
n = len(y)
exact = dict(tol=1e-13, max_iter=1_000_000)
a, r = 2.0, 0.4
fits = [
    ("diabetes", "squared", "l1", a, 1.0, Lasso(alpha=a, **exact).fit(x, y)),
    ("diabetes", "squared", "elastic_net", a, r, ElasticNet(alpha=a, l1_ratio=r, **exact).fit(x, y)),
    ("diabetes", "squared", "l2", a / n, 0.0, Ridge(alpha=a).fit(x, y)),
    ("diabetes", "squared", "nonneg_l1", a, 1.0, Lasso(alpha=a, positive=True, **exact).fit(x, y)),
]
x, y = data("breast_cancer")
n = len(y)
c = 0.05
newton = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(x, y)
saga = LogisticRegression(C=c, l1_ratio=1.0, solver="saga", tol=1e-14, max_iter=1_000_000).fit(x, y)
fits += [
    ("breast_cancer", "logistic", "l2", 1 / (c * n), 0.0, newton),
    ("breast_cancer", "logistic", "l1", 1 / (c * n), 1.0, saga),
]
with open(here / "scikit_learn.csv", "w") as out:
    out.write("data,loss,penalty,alpha,l1_ratio,intercept,coef\n")
    for name, loss, penalty, alpha, ratio, model in fits:
        coef = ";".join(repr(float(v)) for v in np.ravel(model.coef_))
        intercept = float(np.ravel(model.intercept_)[0])
        out.write(f"{name},{loss},{penalty},{float(alpha)!r},{ratio!r},{intercept!r},{coef}\n")
