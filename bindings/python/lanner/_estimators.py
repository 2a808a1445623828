"""scikit-learn estimators, one a detector of the engine's catalogue, made from its tables of parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _engine, _imports, _parameters, _rows
from ._progress import progress

_rate_wanted = 0.001  # of `lanner score` and `lanner serve`, where nothing else is said


_viewed_dtypes = (np.dtype(np.float32), np.dtype(np.float64))


def _rate_supported(n):
    """What flags whatever is as anomalous as the worst of n calibration rows; of few, what is more so than all."""
    return (2 if n >= 19 else 1) / (n + 1)

_attributes = """
offset_ : float
    decision_function is score_samples less this.
false_alarm_rate_ : float
    The rate in force; NaN where `contamination` or no calibration sets the threshold.
n_features_in_ : int
feature_names_in_ : ndarray of str
    Where `fit` was given names, all of them strings.
base_ : float
    What contributions are added to, to make an anomaly score.
explained_features_ : list of str
    What each column of `explain` is the contribution of.
model_ : lanner._engine.Model
    What was learned: `hash`, `provenance`, `settings`; what `save` writes.
"""


class Change(NamedTuple):
    """The change of one feature that makes a row normal."""

    feature: str
    value: float
    """Instead of the row's, in the unit of the field."""
    spreads: float
    """The size of the change, in spreads of the feature."""
    anomaly_score: float
    """Of the row with it."""


class Detector(OutlierMixin, BaseEstimator):
    """What all detectors share.

    Rows are [n, d]. C-contiguous float32 and float64 arrays, and such tensors in the CPU's memory through DLPack, are
    viewed in place, and must not be written to during a call; anything else scikit-learn takes (DataFrames, Arrow
    tables, lists, other dtypes) is converted once, and a GPU's tensor is copied to the host. Features are computed in
    float64 and cast to float32 once.

    A row's score depends on the row and the model alone: not on the other rows, the threads, the device or the CPU.
    """

    _detector: str

    def fit(self, X, y=None):
        """Fits on unlabelled rows and calibrates, as `lanner fit` does.

        X: [n, d], n at least 2, finite. y: not used.

        Raises ValueError for settings that the engine doesn't allow, with its text, and for rows that can't be used;
        RuntimeError where `device` isn't there. Ctrl-C ends it at the next step of progress.
        """
        events, fields = self._learned_from(X)
        with progress(f"fit {self._detector}", self.verbose) as tell:
            model = _engine.Model.fit(events, self._detector, self._settings(), fields, self._seed(), self._detector,
                                      self.device, tell)
        self._set_threshold(model, events)
        self.model_ = model
        return self

    def anomaly_score(self, X):
        """The engine's score, float32 [n]: higher is more anomalous. The bits of `lanner score` and `lanner serve`."""
        return self._scored(X, _engine.Model.anomaly_scores)

    def score_samples(self, X):
        """Minus the anomaly score, float64 [n]: higher is more normal, as scikit-learn has it."""
        return -self.anomaly_score(X).astype(np.float64)

    def decision_function(self, X):
        """score_samples less offset_, float64 [n]: below 0 where predict says -1 (of segments that share one
        calibration, where others have their own)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """-1 for anomalies, 1 for the rest, int64 [n]. Where segments have calibrations of their own, by p-values."""
        check_is_fitted(self)
        if self.model_.segments and np.isfinite(self.false_alarm_rate_):
            return np.where(self.p_value(X) <= self.false_alarm_rate_, -1, 1)
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_value(self, X, return_extrapolated=False):
        """Conformal p-values, float64 [n] in (0, 1]: the share of clean rows at least as anomalous; 1 without
        calibration.

        return_extrapolated: also bool [n], true where the p-value lies beyond what the calibration rows support: it
        ranks, outside the guarantee.
        """
        _, p_values, extrapolated = self._scored(X, _engine.Model.score)
        return (p_values, extrapolated.astype(bool)) if return_extrapolated else p_values

    def explain(self, X):
        """Contributions, float32 [n, len(explained_features_)]: base_ and a row's sum make its anomaly score (within
        1e-5 of the sum of their sizes), by the rule that the detector's page states. Always on the CPU."""
        events = self._events(X)
        with progress("explain", self.verbose) as tell:
            return self.model_.contributions(events, tell)

    def nearest_normal(self, X):
        """The nearest rows that predict says 1 of, float64 [n, len(explained_features_)], in the units of the fields:
        of the training rows where the method keeps them, otherwise of a sample that the model keeps. NaN where none of
        the nearest 64 is.

        Distances are in spreads of the features (interquartile range over 1.349). Raises ValueError for a model file
        that an earlier version wrote, and for one with segments."""
        events = self._events(X)
        with progress("explain", self.verbose) as tell:
            return self.model_.nearest_normal(events, self._normal_most(), tell)[0]

    def counterfactual(self, X):
        """For each row the smallest change of one feature, in spreads of the features, that makes predict say 1: a list
        of Change, or None where no single feature can, or nothing has to be changed.

        A search by the scorer itself, up to some 6,000 scored rows for each: for a few rows. Raises ValueError for a
        model file that an earlier version wrote, and for one with segments."""
        events = self._events(X)
        with progress("explain", self.verbose) as tell:
            found = self.model_.counterfactuals(events, self._normal_most(), tell)
        return [change and Change(*change) for change in found]

    @property
    def base_(self):
        check_is_fitted(self)
        return self.model_.base()

    @property
    def explained_features_(self):
        check_is_fitted(self)
        return self.model_.columns

    def save(self, path):
        """Writes the model file that `lanner serve`, `lanner score` and `lanner.load` read. It holds what was learned;
        the threshold of predict is not part of it. Raises OSError."""
        check_is_fitted(self)
        self.model_.save(os.fspath(path))

    def _calibrate(self, imported, X, feature_names):
        """An imported detector instead of a fit. feature_names: those that it was fitted on, or None."""
        events, fields = self._learned_from(X)
        if feature_names is not None and fields != list(feature_names) and hasattr(self, "feature_names_in_"):
            raise ValueError(f"X_calibration: found the columns {', '.join(fields)}, allowed those of the fit in their "
                             f"order: {', '.join(feature_names)}")
        with progress(f"calibrate {self._detector}", self.verbose) as tell:
            model = _engine.Model.calibrate(imported, events, self._settings(), fields, self._seed(), self._detector,
                                            self.device, tell)
        self._set_threshold(model, events)
        self.model_ = model
        return self

    def _learned_from(self, X):
        """(events, names of their fields)"""
        X = validate_data(self, _rows.as_matrix(X), dtype=[np.float64, np.float32], order="C", ensure_min_samples=2)
        if X.dtype == np.float64 and max(-X.min(), X.max()) > np.finfo(np.float32).max:
            raise ValueError("Input X contains a value too large for dtype('float32').")
        fields = list(getattr(self, "feature_names_in_", [f"x{i}" for i in range(X.shape[1])]))
        return _engine.Events(X), fields

    def _settings(self):
        given = {name: getattr(self, name) for name in [*_tables[self._detector], *_fit_table]}
        return {name: _parameters.setting(value) for name, value in given.items() if value is not None}

    def _seed(self):
        given = self.seed if self.random_state is None else self.random_state
        if not isinstance(given, Integral):
            given = check_random_state(given).randint(np.iinfo(np.int32).max)
        if given < 0:
            raise ValueError(f"seed: found {given}, allowed a whole number of at least 0")
        return int(given)

    def _set_threshold(self, model, events=None):
        if self.contamination is not None:
            if not (isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5):
                raise ValueError(f"contamination: found {self.contamination!r}, allowed a number above 0 and at most "
                                 "0.5, or None")
            offset = np.percentile(-self._scores(model, events).astype(np.float64), 100 * self.contamination)
            self.false_alarm_rate_ = np.nan
        else:
            # A score at the threshold is an anomaly, and scikit-learn's are those below 0: so one float further.
            offset = -np.nextafter(self._least_anomaly(model, events), np.float32(-np.inf), dtype=np.float32)
        self.offset_ = float(offset)

    def _least_anomaly(self, model, events):
        rate, n = self.false_alarm_rate, len(model.calibration_scores)
        if isinstance(rate, str) and rate == "auto":
            if n == 0:
                self.false_alarm_rate_ = np.nan
                if events is None:
                    return np.float32(np.inf)
                return np.nextafter(self._scores(model, events).max(), np.float32(np.inf), dtype=np.float32)
            rate = _rate_wanted if np.isfinite(model.least_score(_rate_wanted)) else _rate_supported(n)
        elif not (isinstance(rate, Real) and 0 < rate < 1):
            raise ValueError(f"false_alarm_rate: found {rate!r}, allowed a number above 0 and below 1, or auto")
        elif n == 0:
            raise ValueError(f"false_alarm_rate: found {rate!r}, allowed auto where calibration is none: there are no "
                             "p-values (contamination sets a threshold without them)")
        self.false_alarm_rate_ = float(rate)
        least = model.least_score(rate)
        if not np.isfinite(least):
            raise ValueError(f"false_alarm_rate: found {rate!r}, allowed at least {1 / (n + 1):.3g}, the smallest "
                             f"p-value that {n} calibration rows support, or auto")
        return np.float32(least)

    def _normal_most(self):
        if self.model_.segments:
            raise ValueError("found a model whose segments have calibrations of their own, allowed one without: what is "
                             "normal depends on the segment (`lanner score --explain` knows it)")
        # offset_ may lie between two floats: the highest score that isn't below 0.
        most = np.float32(-self.offset_)
        return most if most <= -self.offset_ else np.nextafter(most, np.float32(-np.inf))

    def _scores(self, model, events):
        return model.anomaly_scores(events, self.device)

    def _scored(self, X, score):
        """What `score` says, a method of the engine's Model that takes events, device and progress."""
        events = self._viewed(X)
        try:
            with progress("score", self.verbose) as tell:
                return score(self.model_, self._events(X) if events is None else events, self.device, tell)
        except ValueError:
            if events is not None:
                self._events(X)  # scikit-learn's own words for what both refuse
            raise

    def _viewed(self, X):
        """Events over an array that can be scored as it is, or None: scikit-learn's checks would take longer than the
        scores of a thousand rows."""
        fitted = self.__dict__
        if "model_" not in fitted:
            check_is_fitted(self)
        fits = (type(X) is np.ndarray and X.ndim == 2 and X.dtype in _viewed_dtypes and X.flags.c_contiguous
                and len(X) > 0 and X.shape[1] == self.n_features_in_)
        if not fits or "feature_names_in_" in fitted or not self.model_.takes_matrix:
            return None
        return _engine.Events(X)

    def _events(self, X):
        check_is_fitted(self)
        model = self.model_
        if not model.takes_matrix:
            return self._column_events(X)
        X = validate_data(self, _rows.as_matrix(X), reset=False, dtype=[np.float64, np.float32], order="C",
                          ensure_all_finite="allow-nan" if model.takes_missing else True)
        return _engine.Events(X)

    def _column_events(self, X):
        """Events with text, entities or times: a DataFrame, an Arrow table or a dict of columns, matched by name."""
        model = self.model_
        wanted = [name for name, _ in model.fields] + [name for name in (model.entity, model.time) if name]
        names = X if isinstance(X, Mapping) else getattr(X, "column_names", getattr(X, "columns", []))
        missing = [name for name in wanted if name not in names]
        if missing:
            raise ValueError(f"found no columns {', '.join(missing)}, allowed a DataFrame, an Arrow table or a dict of "
                             f"columns with {', '.join(wanted)}")
        columns = [_rows.texts(X[name]) if kind == "text" else _rows.numbers(X[name]) for name, kind in model.fields]
        entity = [name or "" for name in _rows.texts(X[model.entity])] if model.entity else None
        time = _rows.times(X[model.time]) if model.time else None
        return _engine.Events(len(columns[0] if columns else entity or time), columns, entity, time)


class _Chosen(Detector):
    """What Auto has beside what all detectors share."""

    @property
    def chosen_(self):
        """Name of the detector that was chosen: what the model file holds, and `lanner.load` gives."""
        check_is_fitted(self)
        return self.model_.detector

    @property
    def reasons_(self):
        """Why: what the rows are, the choice and its estimated cost, and what was passed over."""
        check_is_fitted(self)
        return self.model_.provenance["auto"].split("; ")


def load(path):
    """The estimator of a model file's detector, fitted: from `save`, `lanner fit` or what `lanner serve` learned.

    Its parameters are the file's settings, its threshold is that of false_alarm_rate="auto". A model whose features
    take text, entities or times scores DataFrames, Arrow tables or dicts of columns, in the order of the events.

    Raises OSError where the file can't be read, ValueError where it is no model.
    """
    model = _engine.Model.load(os.fspath(path))
    table = {**_tables[model.detector], **_fit_table}
    settings = {name: _parameters.parsed(table[name], text)
                for name, text in model.settings.items()}
    estimator = classes[model.detector](**settings, seed=int(model.provenance.get("seed", 1)))
    names = [name for name, _ in model.fields]
    estimator.n_features_in_ = len(names)
    if names != [f"x{i}" for i in range(len(names))]:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    estimator._set_threshold(model)
    estimator.model_ = model
    return estimator


_fit_table = {parameter.name: parameter for parameter in _engine.fit_parameters()}
_tables = {detector.name: {parameter.name: parameter for parameter in detector.parameters}
           for detector in [*_engine.catalogue(), _engine.automatic()]}


def _made(detector, *bases):
    arguments = _parameters.arguments(detector, _engine.fit_parameters())
    name = _parameters.class_name(detector.name)
    return type(name, bases, {
        "__init__": _parameters.constructor(arguments), "__module__": "lanner", "_detector": detector.name,
        "__doc__": _parameters.docstring(detector, arguments, _attributes)})


_imported = {detector: (base, Detector) for detector, base in _imports.bases.items()}
classes = {detector.name: _made(detector, *_imported.get(detector.name, (Detector,)))
           for detector in _engine.catalogue()}
Auto = _made(_engine.automatic(), _Chosen)
