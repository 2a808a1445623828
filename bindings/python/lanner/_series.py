"""Detectors of rows in the order of time: one series, or the many metrics of a machine."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _engine, _parameters, _rows


class SeriesScores(NamedTuple):
    """What Series says of rows: each an array [n], or of one row a number.

    score : float64, higher is more anomalous; 0 while warming up and where there is no value
    alarm : bool
    expected : float64, what the season would have had, in the series' unit
    point, shape, stretch, season : float64, how surprised each channel was, -log10 of a tail probability

    expected and the channels are NaN while warming up and where there is no value.
    """

    score: Any
    alarm: Any
    expected: Any
    point: Any
    shape: Any
    stretch: Any
    season: Any


class _Streaming(BaseEstimator):
    """What is pushed row by row: _running() is the engine's detector, made when it is first needed."""

    def snapshot(self):
        """The state as bytes, for `restore`."""
        return self._running().snapshot()

    def restore(self, snapshot):
        """Goes on, to the bit, where one with the same parameters, and the same model if it has one, took `snapshot`.
        Raises ValueError for anything else, which changes nothing."""
        self._running().restore(bytes(snapshot))
        return self

    def reset(self):
        """Forgets the rows that were pushed, not what fit learned."""
        self.__dict__.pop("_detector", None)
        return self


class Series(_Streaming):
    """Watches one series of numbers, row by row: no model, no training part, no look ahead.

    The first `warm_up` rows are learned from; from then on every row has a score, and is an alarm or not, at once. The
    bits are those of `lanner series`. State is bounded (160 kB; a snapshot 140 kB), and goes along where it is pickled or
    copied. Parameters that are set after the first row count from the next `reset` on.

    A value that is NaN, infinite or None is as if its row had never been.
    """

    def push(self, value, time=None):
        """The next row. time: a datetime, ISO 8601 or ns since 1970, UTC; None in a series that has none.

        Raises ValueError for parameters that the engine doesn't allow, with its text.
        """
        return SeriesScores(*self._running().push(np.nan if value is None else float(value),
                                                  0 if time is None else _rows.time(time)))

    def push_rows(self, values, times=None):
        """The next rows, [n] each. times: datetimes or ns since 1970, UTC; None in a series that has none.

        The scores are those of pushing one after the other. Raises ValueError as push does, and where lengths differ.
        """
        values = _rows.numbers(values)
        if values.ndim != 1:
            raise ValueError(f"values: found {values.ndim} dimensions, allowed 1")
        times = np.zeros(len(values), np.int64) if times is None else _rows.times(times)
        score, alarm, *rest = self._running().push_rows(values, times)
        return SeriesScores(score, alarm.astype(bool), *rest)

    @property
    def missing_(self):
        """Rows without a value so far."""
        return self._running().missing

    def _running(self):
        if not hasattr(self, "_detector"):
            self._detector = _engine.SeriesDetector(_settings(self, _series))
        return self._detector


class MultivariateSeries(_Streaming):
    """Learns what a machine's many metrics look like together, from rows in the order of time that were mostly normal.

    A row's score, float64 and higher for what is more anomalous, is how far its metrics, their trailing means and
    deviations are from those of the training rows, in their unit. Rows are [n, metrics]. A missing value (NaN or infinite)
    counts as the metric's last one. p_value compares with the last rows of the training part, which are held out for
    that; nothing is guaranteed of it, as rows resemble those before them.
    """

    def fit(self, X, y=None):
        """X: [n, metrics] in the order of time, at least one finite value in each metric. y: not used.

        Raises ValueError for parameters that the engine doesn't allow, with its text, for rows that can't be used, and
        where too few are held out to calibrate on (calibration="none" needs none).
        """
        X = self._checked(X, reset=True)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(X.shape[1])])
        self.model_ = _engine.MultivariateModel.fit(X, _settings(self, _multivariate), [str(name) for name in names],
                                                    "multivariate_series", self.device)
        return self.reset()

    @classmethod
    def load(cls, path):
        """The estimator of a model file, fitted: from `save` or `lanner fit --detector multivariate_series`.

        It takes the rows of one machine at a time, also where the model is of several. Raises OSError where the file
        can't be read, ValueError where it is no such model.
        """
        model = _engine.MultivariateModel.load(os.fspath(path))
        table = {parameter.name: parameter for parameter in _multivariate}
        estimator = cls(**{name: _parameters.parsed(table[name], text) for name, text in model.settings.items()})
        estimator.n_features_in_ = len(model.metrics)
        if model.metrics != [f"x{i}" for i in range(len(model.metrics))]:
            estimator.feature_names_in_ = np.array(model.metrics, dtype=object)
        estimator.model_ = model
        return estimator

    def save(self, path):
        """Writes the model file that `load`, `lanner score` and `lanner serve` read. It holds what fit learned, not the
        rows that were pushed. Raises OSError."""
        check_is_fitted(self)
        self.model_.save(os.fspath(path))

    def anomaly_score(self, X):
        """Scores of rows that begin at X's first, whatever was pushed before: float64 [n]."""
        check_is_fitted(self)
        return self._begun().push_rows(self._checked(X))

    def score_samples(self, X):
        """Minus the anomaly score, as scikit-learn has it: higher is more normal."""
        return -self.anomaly_score(X)

    def p_value(self, X):
        """Of rows that begin at X's first: float64 [n] in (0, 1], the share of the calibration rows that scored at least
        as high, and below what they reach a fitted tail; 1 until the longest window is full, and without calibration.
        No p-value is guaranteed."""
        check_is_fitted(self)
        return self.model_.p_values(self._checked(X), self.device)

    def explain(self, X):
        """Contributions of the metrics to the scores of rows that begin at X's first, float64 [n, metrics], not negative:
        a row's sum is its score within 1e-5 of it. A search for each of the last `smoothing` rows of every row."""
        check_is_fitted(self)
        return self.model_.contributions(self._checked(X), self.device)

    def push(self, row):
        """The score of the next row, [metrics]."""
        return float(self.push_rows(np.asarray(row, np.float64)[None])[0])

    def push_rows(self, X):
        """The scores of the next rows: those of pushing one after the other."""
        return self._running().push_rows(self._checked(X))

    def _checked(self, X, reset=False):
        return validate_data(self, _rows.as_matrix(X), reset=reset, dtype=np.float64, order="C",
                             ensure_all_finite=False)

    def _begun(self):
        return _engine.MultivariateDetector(self.model_, self.device)

    def _running(self):
        check_is_fitted(self)
        if not hasattr(self, "_detector"):
            self._detector = self._begun()
        return self._detector

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_detector" in state:
            state["_detector"] = self._detector.snapshot()
        return state

    def __setstate__(self, state):
        snapshot = state.pop("_detector", None)
        super().__setstate__(state)
        if snapshot is not None:
            self.restore(snapshot)


def _settings(estimator, table):
    return {parameter.name: _parameters.setting(getattr(estimator, parameter.name)) for parameter in table}


_series, _multivariate = _engine.series_settings(), _engine.multivariate_settings()


def _complete(made, arguments):
    made.__init__ = _parameters.constructor(arguments)
    made.__module__ = "lanner"
    made.__doc__ = _parameters.with_parameters(made.__doc__, arguments)


_complete(Series, _parameters.series_arguments(_engine))
_complete(MultivariateSeries, _parameters.multivariate_arguments(_engine))
SeriesScores.__module__ = "lanner"
