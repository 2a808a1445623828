"""Lanner's detectors with PyOD's conventions: fit, decision_scores_, threshold_, labels_, decision_function (higher is
more anomalous), predict (1 for anomalies, 0 for the rest), predict_proba, predict_confidence.

Every detector is here by Lanner's name with Lanner's parameters, and the ones that PyOD has also by PyOD's name with
the parameters that PyOD calls otherwise: lanner.pyod.KNN(n_neighbors=5) for lanner.pyod.NearestNeighbours(k=5). All
rows are fitted on, none is held out to calibrate. PyOD itself isn't needed.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy.special import erf
from scipy.stats import binom
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from . import _engine, _estimators, _parameters

_attributes = """
decision_scores_ : ndarray of float64 [n]
    Of the training rows, higher is more anomalous; each scored as if it had not been fitted on, where the method can.
threshold_ : float
    What labels_ and predict compare with: that share `contamination` of the training rows lies above.
labels_ : ndarray of int64 [n]
    1 for anomalies among the training rows, 0 for the rest.
detector_ : lanner.Detector
    The estimator behind it, for p-values, explanations and `save`.
"""


class PyodDetector(BaseEstimator):
    """What all classes with PyOD's conventions share."""

    _detector: str
    _renamed: dict

    def fit(self, X, y=None):
        """X: [n, d], n at least 2, finite. y: not used. Raises ValueError as lanner.Detector.fit does."""
        if not (isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5):
            raise ValueError(f"contamination: found {self.contamination!r}, allowed a number above 0 and at most 0.5")
        settings = self.get_params()
        settings.pop("contamination")
        for given, (ours, words) in self._renamed.items():
            value = settings.pop(given)
            settings[ours] = words.get(value, value) if isinstance(value, str) else value
        self.detector_ = _estimators.classes[self._detector](calibration="none", **settings).fit(X)
        self.n_features_in_ = self.detector_.n_features_in_
        scores = self.detector_.model_.leave_one_out_scores()
        if not len(scores):
            scores = self.detector_.anomaly_score(X)
        self.decision_scores_ = scores.astype(np.float64)
        self.threshold_ = float(np.percentile(self.decision_scores_, 100 * (1 - self.contamination)))
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(np.int64)
        return self

    def fit_predict(self, X, y=None):
        """labels_ of the training rows."""
        return self.fit(X, y).labels_

    def decision_function(self, X):
        """Anomaly scores, float64 [n]: higher is more anomalous."""
        check_is_fitted(self)
        return self.detector_.anomaly_score(X).astype(np.float64)

    def predict(self, X, return_confidence=False):
        """1 for anomalies, 0 for the rest, int64 [n]; with return_confidence also predict_confidence(X)."""
        labels = (self.decision_function(X) > self.threshold_).astype(np.int64)
        return self._with_confidence(labels, X, return_confidence)

    def predict_proba(self, X, method="linear", return_confidence=False):
        """[n, 2], of normal and anomalous; no calibrated probabilities (lanner's p_value is calibrated).

        linear: the score's place between the least and the highest training score; unify: by their mean and deviation
        (Kriegel, Kroger, Schubert & Zimek 2011).
        """
        scores = self.decision_function(X)
        least, most = self.decision_scores_.min(), self.decision_scores_.max()
        if method == "linear":
            anomalous = (scores - least) / ((most - least) or 1)
        elif method == "unify":
            anomalous = erf((scores - self.decision_scores_.mean()) / ((self.decision_scores_.std() or 1) * np.sqrt(2)))
        else:
            raise ValueError(f"method: found {method!r}, allowed linear or unify")
        anomalous = anomalous.clip(0, 1)
        return self._with_confidence(np.column_stack([1 - anomalous, anomalous]), X, return_confidence)

    def predict_confidence(self, X):
        """How sure it is, [n], that predict would say the same had it been fitted on other rows of the kind (Perini,
        Vercruyssen & Davis 2020)."""
        scores = self.decision_function(X)
        n = len(self.decision_scores_)
        lower = np.searchsorted(np.sort(self.decision_scores_), scores, side="right")
        anomalous = 1 - binom.cdf(n - int(n * self.contamination), n, (1 + lower) / (2 + n))
        return np.where(scores > self.threshold_, anomalous, 1 - anomalous)

    def _with_confidence(self, result, X, wanted):
        return (result, self.predict_confidence(X)) if wanted else result


def _made(name, detector, arguments, renamed):
    return type(name, (PyodDetector,), {
        "__init__": _parameters.constructor(arguments, by_position=True), "__module__": __name__,
        "_detector": detector.name, "_renamed": renamed,
        "__doc__": _parameters.docstring(detector, arguments, _attributes)})


__all__ = ["PyodDetector"]
for _name, *_rest in _parameters.pyod_classes(_engine.catalogue(), _engine.fit_parameters()):
    globals()[_name] = _made(_name, *_rest)
    __all__.append(_name)
