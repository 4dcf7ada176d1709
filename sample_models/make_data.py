"""Writes digits.npz and diabetes.npz into the samples that use them.
The numbers are scikit-learn's copies of the UCI handwritten digits and of the diabetes study
of Efron et al. (2004), unscaled. The only script here that needs scikit-learn.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Write both files, one of them twice."""
    digits = load_digits()
    for sample in ("digits_cnn", "digits_cnn_broken"):
        np.savez_compressed(
            HERE / sample / "digits.npz",
            images=digits.images.astype(np.uint8),
            labels=digits.target.astype(np.uint8),
        )
    diabetes = load_diabetes(scaled=False)
    np.savez_compressed(
        HERE / "diabetes_mlp" / "diabetes.npz",
        features=diabetes.data.astype(np.float32),
        progression=diabetes.target.astype(np.float32),
    )


if __name__ == "__main__":
    main()
