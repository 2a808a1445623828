"""scikit-learn's contract, for every detector of the catalogue."""

import contextlib
import copy
import ctypes
import functools
import inspect
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import warnings
from pathlib import Path

import numpy as np
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lanner
import rows
from lanner import _engine

X = rows.normal(600)


class Contract(unittest.TestCase):
    def test_every_detector_of_the_catalogue_has_a_class(self):
        self.assertEqual(list(lanner.detectors), [detector.name for detector in _engine.catalogue()])
        for name, made in lanner.detectors.items():
            self.assertIs(getattr(lanner, "".join(map(str.capitalize, name.split("_")))), made)
            self.assertIn(made.__name__, lanner.__all__)
        for acronym in {"ecod", "copod", "pca"} & set(lanner.detectors):
            self.assertIs(getattr(lanner, acronym.upper()), lanner.detectors[acronym])

    def test_check_estimator(self):
        for name, made in {**lanner.detectors, "auto": functools.partial(lanner.Auto, event_us_max=2)}.items():
            with self.subTest(name), warnings.catch_warnings():
                warnings.simplefilter("ignore", SkipTestWarning)
                outcomes = check_estimator(made(), on_fail=None)
                failed = [(outcome["check_name"], outcome["exception"]) for outcome in outcomes
                          if outcome["status"] not in ("passed", "skipped")]
                self.assertEqual(failed, [])
                self.assertGreater(sum(o["status"] == "passed" for o in outcomes), 40)

    def test_parameters_are_those_of_the_tables(self):
        of_every_fit = [parameter.name for parameter in _engine.fit_parameters()]
        for detector in _engine.catalogue():
            made = lanner.detectors[detector.name]
            stated = list(inspect.signature(made).parameters)
            own = [parameter.name for parameter in detector.parameters]
            self.assertEqual(stated[:len(own) + len(of_every_fit)], own + of_every_fit)
            self.assertEqual(sorted(made().get_params()), sorted(stated))
            for name, parameter in zip(own, detector.parameters):
                self.assertIn(parameter.summary.split()[0].lower(), made.__doc__.lower())
                self.assertIn(f"\n{name} : ", made.__doc__)
            self.assertIn(detector.summary, made.__doc__)
            self.assertIn(detector.paper, made.__doc__)

    def test_defaults_are_the_engines(self):
        for name, made in lanner.detectors.items():
            fitted = made().fit(X[:200])
            plain = _engine.Model.fit(_engine.Events(X[:200]), name, {}, ["x0", "x1", "x2"], 1, name)
            self.assertEqual(fitted.model_.to_bytes(), plain.to_bytes(), name)

    def test_auto_is_what_it_chooses(self):
        for budget, name in ((1000, "ensemble"), (2, "mahalanobis")):
            auto = lanner.Auto(event_us_max=budget, scale="robust", false_alarm_rate=0.05).fit(X)
            self.assertEqual(auto.chosen_, name)
            self.assertEqual(auto.reasons_[0], "480 rows of 3 features")
            self.assertTrue(auto.reasons_[1].startswith(f"{name}, because "), auto.reasons_)
            named = lanner.detectors[name](scale="robust", false_alarm_rate=0.05).fit(X)
            for method in ("anomaly_score", "p_value", "predict", "explain"):
                np.testing.assert_array_equal(getattr(auto, method)(X[:50]), getattr(named, method)(X[:50]))
            with tempfile.TemporaryDirectory() as folder:
                auto.save(Path(folder) / "model.lanner")
                self.assertIs(type(lanner.load(Path(folder) / "model.lanner")), type(named))
        with self.assertRaises(NotFittedError):
            lanner.Auto().chosen_
        with self.assertRaises(TypeError):
            lanner.Auto(trees=100)
        with self.assertRaisesRegex(ValueError, "fit_s_max: found 0, allowed a number from 0.001 to 1000000"):
            lanner.Auto(fit_s_max=0).fit(X)
        self.assertNotIn("auto", lanner.detectors)

    def test_clone_set_params_and_repr(self):
        detector = lanner.NearestNeighbours(k=10, scale="standard")
        self.assertEqual(clone(detector).get_params(), detector.get_params())
        self.assertEqual(detector.set_params(k=0.05).k, 0.05)
        self.assertEqual(repr(detector), "NearestNeighbours(k=0.05, scale='standard')")
        with self.assertRaises(ValueError):
            detector.set_params(neighbours=3)
        with self.assertRaises(TypeError):
            lanner.NearestNeighbours(neighbours=3)

    def test_pipeline_and_grid_search(self):
        data, labels = rows.labelled(together=True)
        pipeline = make_pipeline(StandardScaler(), lanner.NearestNeighbours())
        grid = {"nearestneighbours__k": [1, 30], "nearestneighbours__distance": ["kth", "mean"]}
        search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3).fit(data, labels)
        self.assertEqual(search.best_params_["nearestneighbours__k"], 30)
        self.assertGreater(search.best_score_, 0.99)

    def test_grid_search_in_threads(self):
        data, labels = rows.labelled()
        def search(jobs):
            with parallel_backend("threading"):
                return GridSearchCV(lanner.Histogram(), {"bins": [5, 10, "auto"]}, scoring="average_precision", cv=3,
                                    n_jobs=jobs).fit(data, labels).cv_results_["mean_test_score"]
        np.testing.assert_array_equal(search(1), search(4))


class Threshold(unittest.TestCase):
    def test_predict_is_the_p_value_at_most_the_rate(self):
        fresh = rows.normal(20000, seed=5) * 1.3
        for rate in (0.001, 0.02):
            for made in (lanner.Histogram, lanner.NearestNeighbours):
                fitted = made(false_alarm_rate=rate).fit(rows.normal(2000))
                flagged = fitted.p_value(fresh) <= rate
                self.assertGreater(flagged.sum(), 5)
                np.testing.assert_array_equal(fitted.predict(fresh), np.where(flagged, -1, 1))
                np.testing.assert_array_equal(fitted.decision_function(fresh) < 0, flagged)
                self.assertEqual(fitted.false_alarm_rate_, rate)

    def test_auto(self):
        self.assertEqual(lanner.Histogram().fit(rows.normal(2000)).false_alarm_rate_, 0.001)
        few = lanner.Histogram().fit(rows.normal(200))
        self.assertEqual(few.false_alarm_rate_, 2 / 41)
        self.assertIn(-1, few.predict(rows.normal(200)))
        none = lanner.Histogram(calibration="none").fit(X)
        self.assertTrue((none.predict(X) == 1).all())
        self.assertEqual(none.predict([[50, 50, 50]]), [-1])
        self.assertTrue((none.p_value(X) == 1).all())

    def test_contamination_is_a_share_of_the_training_rows(self):
        fitted = lanner.KernelDensity(contamination=0.05).fit(X)
        self.assertEqual((fitted.predict(X) == -1).sum(), 30)
        self.assertTrue(np.isnan(fitted.false_alarm_rate_))

    def test_what_cannot_be_kept_is_said(self):
        for settings, text in (
                (dict(false_alarm_rate=0.001), "at least 0.0244, the smallest p-value that 40 calibration rows"),
                (dict(false_alarm_rate=2), "above 0 and below 1, or auto"),
                (dict(false_alarm_rate=0.1, calibration="none"), "there are no p-values"),
                (dict(contamination=0.7), "above 0 and at most 0.5")):
            with self.assertRaisesRegex(ValueError, text):
                lanner.Histogram(**settings).fit(rows.normal(200))


class Errors(unittest.TestCase):
    def test_settings_in_the_engines_words(self):
        with self.assertRaises(ValueError) as raised:
            lanner.NearestNeighbours(k=0, scale="standrd").fit(X)
        self.assertEqual(str(raised.exception), "k: found 0, allowed a whole number from 1 to 1000000, or a share of "
                         "the rows above 0 and below 1, or auto\nscale: found standrd, allowed none, standard, robust "
                         "or minmax (nearest: standard)")
        with self.assertRaisesRegex(ValueError, "found 10.0, allowed a whole number"):
            lanner.LocalOutlierFactor(k=10.0).fit(X)
        with self.assertRaisesRegex(ValueError, "device: found 'tpu', allowed cpu, cuda or emulated"):
            lanner.Histogram(device="tpu").fit(X)
        with self.assertRaisesRegex(ValueError, "seed: found -1"):
            lanner.Histogram(seed=-1).fit(X)

    def test_rows(self):
        fitted = lanner.Histogram().fit(X)
        with self.assertRaisesRegex(ValueError, "X has 2 features, but Histogram is expecting 3 features as input"):
            fitted.predict(X[:, :2])
        with self.assertRaisesRegex(ValueError, "too large for dtype"):
            lanner.Histogram().fit([[1e300, 0.0], [0, 0], [1, 1]])
        with self.assertRaisesRegex(ValueError, "row 1: x0: "):
            fitted.score_samples([[0, 0, 0], [1e300, 0, 0]])
        with self.assertRaisesRegex(ValueError, "NaN"):
            fitted.score_samples([[0, np.nan, 0]])

    def test_not_fitted(self):
        for method in ("predict", "score_samples", "anomaly_score", "p_value", "explain", "save"):
            with self.assertRaises(NotFittedError):
                getattr(lanner.Histogram(), method)(X)
        with self.assertRaises(NotFittedError):
            lanner.Histogram().base_

    def test_files(self):
        with self.assertRaises(FileNotFoundError):
            lanner.load("no/such.lanner")
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(OSError):
                lanner.Histogram().fit(X).save(Path(folder) / "no" / "such.lanner")
            (Path(folder) / "x.lanner").write_bytes(b"not a model")
            with self.assertRaisesRegex(ValueError, "x.lanner: "):
                lanner.load(Path(folder) / "x.lanner")


class Fitted(unittest.TestCase):
    def test_seed_and_random_state(self):
        def fitted(**settings):
            return lanner.Autoencoder(epochs=2, **settings).fit(X).model_.to_bytes()
        self.assertEqual(fitted(seed=7), fitted(random_state=7))
        self.assertNotEqual(fitted(seed=7), fitted(seed=8))
        self.assertEqual(fitted(random_state=np.random.RandomState(3)), fitted(random_state=np.random.RandomState(3)))

    def test_explain_sums_to_the_score(self):
        for name, made in lanner.detectors.items():
            fitted = made(scale="standard").fit(X)
            parts = fitted.explain(X)
            self.assertEqual((parts.shape, parts.dtype), (X.shape, np.float32))
            self.assertEqual(fitted.explained_features_, ["x0", "x1", "x2"])
            error = np.abs(fitted.base_ + parts.astype(np.float64).sum(1) - fitted.anomaly_score(X))
            sizes = np.abs(parts.astype(np.float64)).sum(1) + abs(fitted.base_)
            self.assertTrue((error <= 1e-5 * sizes + 1e-12).all(), (name, error.max()))

    def test_copies_keep_every_bit(self):
        for name, made in lanner.detectors.items():
            fitted = made().fit(X)
            for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
                self.assertEqual(other.model_.hash, fitted.model_.hash, name)
                self.assertEqual(other.offset_, fitted.offset_)
                np.testing.assert_array_equal(other.anomaly_score(X), fitted.anomaly_score(X))

    def test_save_and_load(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, made in lanner.detectors.items():
                fitted = made(calibration="cross", scale="minmax", seed=3).fit(X)
                fitted.save(Path(folder) / "model.lanner")
                loaded = lanner.load(Path(folder) / "model.lanner")
                self.assertIs(type(loaded), made)
                self.assertEqual(loaded.get_params(), fitted.get_params())
                self.assertEqual(loaded.offset_, fitted.offset_)
                np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))

    def test_other_devices_give_the_same_bits(self):
        fitted = lanner.NearestNeighbours().fit(X)
        expected = fitted.anomaly_score(X), fitted.p_value(X)
        fitted.set_params(device="emulated")
        np.testing.assert_array_equal(fitted.anomaly_score(X), expected[0])
        np.testing.assert_array_equal(fitted.p_value(X), expected[1])

    def test_threads_are_bounded_and_change_no_bit(self):
        one, four = in_child(scores_with_threads, "1"), in_child(scores_with_threads, "4")
        np.testing.assert_array_equal(one[0], four[0])
        self.assertEqual((one[1], four[1]), (0, 3))
        with self.assertRaisesRegex(ValueError, "LANNER_THREADS: found 'many'"):
            in_child(scores_with_threads, "many")

    def test_a_child_of_fork_scores(self):
        fitted = lanner.NearestNeighbours().fit(X)
        np.testing.assert_array_equal(in_child(fitted.anomaly_score, X), fitted.anomaly_score(X))

    def test_a_caller_that_flushes_denormals_changes_no_bit(self):
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder) / "fast.c", Path(folder) / "fast.so"
            source.write_text("int fast;")
            # What GCC links to fast mathematics sets the processor's flags as it is loaded.
            subprocess.run(["cc", "-shared", "-fPIC", "-ffast-math", source, "-o", library], check=True)
            flushed, models = in_child(bits_with, library)
        if not flushed:
            self.skipTest("this compiler's libraries leave the processor's flags alone")
        self.assertEqual(models, in_child(bits_with, None)[1])

    def test_verbose(self):
        for modules in ({}, {"tqdm.auto": None}):
            shown = io.StringIO()
            with contextlib.redirect_stderr(shown), unittest.mock.patch.dict(sys.modules, modules):
                lanner.Autoencoder(verbose=True, epochs=3).fit(X)
            self.assertIn("fit autoencoder: 100", shown.getvalue())


def in_child(function, *arguments):
    """What it gives in a child of fork(), which opens devices of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return pool.apply_async(function, arguments).get(60)


def bits_with(library):
    """Whether denormals are flushed to zero, and what every detector makes of rows of them."""
    data = (rows.normal(300, dtype=np.float64) * 1e-39).astype(np.float32)
    if library:
        ctypes.CDLL(str(library))
    found = {}
    for name, made in lanner.detectors.items():
        fitted = made(calibration="none").fit(data)
        found[name] = fitted.model_.hash, fitted.anomaly_score(data).tobytes(), fitted.explain(data).tobytes()
    return np.float32(1e-39) * np.float32(0.5) == 0, found


def scores_with_threads(threads):
    """Scores, and how many threads were started for them."""
    os.environ["LANNER_THREADS"] = threads
    before = len(os.listdir("/proc/self/task"))
    scores = lanner.NearestNeighbours().fit(rows.normal(3000, 8)).anomaly_score(rows.normal(3000, 8))
    return scores, len(os.listdir("/proc/self/task")) - before


if __name__ == "__main__":
    unittest.main()
