"""Makes the bundled data sets from scikit-learn's package: python3 data/make.py (numpy, scikit-learn)."""

from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

here = Path(__file__).parent


def number(value):
    """The shortest text that reads as the same double; whole numbers without a point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


for name, data in [
    ("diabetes", load_diabetes(scaled=False)),
    ("breast_cancer", load_breast_cancer()),
    ("digits", load_digits()),
]:
    lines = [",".join([str(n).replace(" ", "_") for n in data.feature_names] + ["y"])]
    lines += [",".join(map(number, [*row, y])) for row, y in zip(data.data, data.target)]
    (here / f"{name}.csv").write_text("\n".join(lines) + "\n")
    print(name, data.data.shape, float(data.data.sum()), float(data.target.sum()))
