"""The rows that are timed: made by rule, and the tables of --data."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def iso(n, queries, width, seed=0):
    """A round normal cloud: nothing that a search could leave out. float32 [n, width], [queries, width]."""
    rows = np.random.default_rng(seed).standard_normal((n + queries, width), dtype=np.float32)
    return rows[:n].copy(), rows[n:].copy()


def mix(n, queries, width, seed=0):
    """50 clusters that each vary along a quarter of the axes, with a little noise and 2 % of rows from anywhere;
    standardised. float32 [n, width], [queries, width].
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((50, width)).astype(np.float32) * 3
    rank = max(2, width // 4)
    axes = rng.standard_normal((50, rank, width)).astype(np.float32) / np.sqrt(rank)
    cluster = rng.integers(0, 50, n + queries)
    rows = np.empty((n + queries, width), np.float32)
    for c in range(50):
        of_it = np.where(cluster == c)[0]
        along = rng.standard_normal((len(of_it), rank), dtype=np.float32) @ axes[c]
        noise = rng.standard_normal((len(of_it), width), dtype=np.float32)
        rows[of_it] = centres[c] + along + 0.1 * noise
    stray = rng.random(n + queries) < 0.02
    rows[stray] = rng.uniform(-9, 9, (stray.sum(), width)).astype(np.float32)
    rows = (rows - rows.mean(0)) / rows.std(0)
    return rows[:n].copy(), rows[n:].copy()


def tables(folder: Path, queries=1000, seed=0):
    """(name, references, queries) of every table there, standardised; a fifth of a small one is asked about."""
    for path in sorted(folder.glob("*.npz")):
        X = np.load(path)["X"].astype(np.float64)
        deviation = X.std(0)
        X = ((X - X.mean(0)) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
        X = X[np.random.default_rng(seed).permutation(len(X))]
        asked = min(queries, len(X) // 5)
        yield path.stem, np.ascontiguousarray(X[asked:]), np.ascontiguousarray(X[:asked])
