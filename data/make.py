"""Makes the bundled data sets from scikit-learn's package: python3 data/make.py (numpy, scikit-learn)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

here = Path(__file__).parent
for name, data in [
    ("diabetes", load_diabetes(scaled=False)),
    ("breast_cancer", load_breast_cancer()),
    ("digits", load_digits()),
]:
    names = [str(n).replace(" ", "_") for n in data.feature_names]
    target = np.asarray(data.target, dtype=np.float64 if name == "diabetes" else np.int64)
    np.savez_compressed(here / f"{name}.npz", X=np.asarray(data.data, dtype=np.float64), y=target,
                        feature_names=np.asarray(names))
    print(name, data.data.shape, float(data.data.sum()), float(target.sum()))
