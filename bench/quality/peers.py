"""The methods that are compared: ours, and the same ones of PyOD and scikit-learn.

A system is (method, name, make): make(seed) gives an object with fit(X) and, once fitted, a score function whose values
are higher for what is more anomalous. `lanner` is as it comes; `lanner, peer's settings` is lanner.pyod's class, which
has PyOD's parameters and defaults.
"""

from __future__ import annotations

import numpy as np
import pyod.models.cblof
import pyod.models.copod
import pyod.models.ecod
import pyod.models.hbos
import pyod.models.iforest
import pyod.models.kde
import pyod.models.knn
import pyod.models.loda
import pyod.models.lof
import pyod.models.mcd
import pyod.models.pca
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import lanner
import lanner.pyod

OURS, AS_PEER, PYOD, SKLEARN = "lanner", "lanner, peer's settings", "pyod", "scikit-learn"


class Reconstruction:
    """scikit-learn has no autoencoder: its regressor, from the standardised rows to themselves."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X):
        self.scaler = StandardScaler().fit(X)
        width = X.shape[1]
        hidden = int(np.clip(width, 8, 64)), int(np.clip(width / 2, 2, 16)), int(np.clip(width, 8, 64))
        rows = self._scaled(X)
        self.network = MLPRegressor(hidden, max_iter=40, random_state=self.seed, n_iter_no_change=40).fit(rows, rows)
        return self

    def _scaled(self, X):
        return self.scaler.transform(X).clip(-20, 20)

    def score(self, X):
        rows = self._scaled(X)
        predicted = self.network.predict(rows)
        return ((rows - predicted.reshape(rows.shape)) ** 2).mean(axis=1)


class SeededLODA(pyod.models.loda.LODA):
    """PyOD's takes no seed: its projections come from NumPy's global generator."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def fit(self, X):
        np.random.seed(self.seed)
        return super().fit(X)


def ours(estimator):
    return estimator, lambda fitted, X: fitted.anomaly_score(X)


def of_pyod(estimator):
    return estimator, lambda fitted, X: fitted.decision_function(X)


def of_sklearn(estimator):
    return estimator, lambda fitted, X: -fitted.score_samples(X)


def systems():
    """[(method, system, make(seed) -> (estimator, score))], ours first of each method."""
    plain = {"calibration": "none"}  # every training row is fitted on, as the peers do
    return [
        ("nearest neighbours", OURS, lambda s: ours(lanner.NearestNeighbours(**plain))),
        ("nearest neighbours", AS_PEER, lambda s: of_pyod(lanner.pyod.KNN())),
        ("nearest neighbours", PYOD, lambda s: of_pyod(pyod.models.knn.KNN())),
        ("cluster distance", OURS, lambda s: ours(lanner.ClusterDistance(seed=s, **plain))),
        ("cluster distance", AS_PEER, lambda s: of_pyod(lanner.pyod.CBLOF(seed=s))),
        ("cluster distance", PYOD, lambda s: of_pyod(pyod.models.cblof.CBLOF(random_state=s))),
        ("local outlier factor", OURS, lambda s: ours(lanner.LocalOutlierFactor(**plain))),
        ("local outlier factor", AS_PEER, lambda s: of_pyod(lanner.pyod.LOF())),
        ("local outlier factor", PYOD, lambda s: of_pyod(pyod.models.lof.LOF())),
        ("local outlier factor", SKLEARN, lambda s: of_sklearn(LocalOutlierFactor(novelty=True))),
        ("kernel density", OURS, lambda s: ours(lanner.KernelDensity(**plain))),
        ("kernel density", AS_PEER, lambda s: of_pyod(lanner.pyod.KDE())),
        ("kernel density", PYOD, lambda s: of_pyod(pyod.models.kde.KDE())),
        ("kernel density", SKLEARN, lambda s: of_sklearn(KernelDensity(bandwidth="scott"))),
        ("histogram", OURS, lambda s: ours(lanner.Histogram(**plain))),
        ("histogram", AS_PEER, lambda s: of_pyod(lanner.pyod.HBOS())),
        ("histogram", PYOD, lambda s: of_pyod(pyod.models.hbos.HBOS())),
        ("ecod", OURS, lambda s: ours(lanner.ECOD(**plain))),
        ("ecod", PYOD, lambda s: of_pyod(pyod.models.ecod.ECOD())),
        ("copod", OURS, lambda s: ours(lanner.COPOD(**plain))),
        ("copod", PYOD, lambda s: of_pyod(pyod.models.copod.COPOD())),
        ("loda", OURS, lambda s: ours(lanner.Loda(seed=s, **plain))),
        ("loda", AS_PEER, lambda s: of_pyod(lanner.pyod.LODA(seed=s))),
        ("loda", PYOD, lambda s: of_pyod(SeededLODA(s))),
        ("pca", OURS, lambda s: ours(lanner.PCA(**plain))),
        ("pca", PYOD, lambda s: of_pyod(pyod.models.pca.PCA(random_state=s))),
        ("mahalanobis", OURS, lambda s: ours(lanner.Mahalanobis(seed=s, **plain))),
        ("mahalanobis", PYOD, lambda s: of_pyod(pyod.models.mcd.MCD(random_state=s))),
        ("mahalanobis", SKLEARN, lambda s: of_sklearn(EllipticEnvelope(random_state=s))),
        ("isolation forest", OURS, lambda s: ours(lanner.IsolationForest(seed=s, **plain))),
        ("isolation forest", PYOD, lambda s: of_pyod(pyod.models.iforest.IForest(random_state=s))),
        ("isolation forest", SKLEARN, lambda s: of_sklearn(IsolationForest(random_state=s))),
        ("extended isolation forest", OURS, lambda s: ours(lanner.ExtendedIsolationForest(seed=s, **plain))),
        ("half-space trees", OURS, lambda s: ours(lanner.HalfSpaceTrees(seed=s, **plain))),
        ("random cut forest", OURS, lambda s: ours(lanner.RandomCutForest(seed=s, **plain))),
        ("autoencoder", OURS, lambda s: ours(lanner.Autoencoder(seed=s, **plain))),
        ("autoencoder", SKLEARN, lambda s: (Reconstruction(s), lambda fitted, X: fitted.score(X))),
        ("ensemble", OURS, lambda s: ours(lanner.Ensemble(seed=s, **plain))),
    ]


def flaggers():
    """[(name, make(rate, X) -> flags(X))]: how a share of false alarms is asked for, fitted on clean rows."""

    def p_values(made):
        def make(X, seed):
            fitted = made(seed=seed).fit(X)
            return lambda rows, rate: fitted.p_value(rows) <= rate
        return make

    def thresholds(made):
        def make(X, seed):
            fitted = made(seed).fit(X)
            # What `contamination` sets threshold_ to, for any rate.
            return lambda rows, rate: (fitted.decision_function(rows)
                                       > np.percentile(fitted.decision_scores_, 100 * (1 - rate)))
        return make

    return [
        ("nearest neighbours", "lanner", p_values(lanner.NearestNeighbours)),
        ("nearest neighbours", "pyod", thresholds(lambda s: pyod.models.knn.KNN())),
        ("isolation forest", "lanner", p_values(lanner.IsolationForest)),
        ("isolation forest", "pyod", thresholds(lambda s: pyod.models.iforest.IForest(random_state=s))),
        ("local outlier factor", "lanner", p_values(lanner.LocalOutlierFactor)),
        ("local outlier factor", "pyod", thresholds(lambda s: pyod.models.lof.LOF())),
    ]
