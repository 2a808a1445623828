"""Rows that the tests fit on and score."""

import numpy as np


def normal(count, width=3, seed=1, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(dtype)


def labelled(count=400, anomalies=20, seed=2, together=False):
    """Rows, and scikit-learn's labels: 1, and -1 for anomalies, far out, each alone or all together."""
    X = normal(count, seed=seed)
    labels = np.where(np.random.default_rng(seed).permutation(count) < anomalies, -1, 1)
    X[labels < 0] = 6 + 0.1 * X[labels < 0] if together else 10 * X[labels < 0]
    return X, labels
