"""Series in Python: the bits of `lanner series`, state that goes along, and what is missing."""

import copy
import datetime
import hashlib
import pickle
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import numpy as np
import pandas
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import host_process
import lanner
from lanner import _engine

HALF_HOUR = 30 * 60 * 10**9
NAN = float("nan")


def daily(count, spike=None, seed=5):
    """A noisy day of half-hours, with a spike."""
    row = np.arange(count)
    values = 100 + 50 * (row % 48 < 24) + np.random.default_rng(seed).uniform(size=count)
    if spike is not None:
        values[spike] += 500
    return values


def times(count):
    return 1_767_225_600 * 10**9 + HALF_HOUR * np.arange(count)


def machine(count, seed=1):
    row = np.arange(count)[:, None]
    return np.sin(row / np.array([[7.0, 19.0, 31.0]])) + 0.05 * np.random.default_rng(seed).normal(size=(count, 3))


def same(one, other):
    one, other = (np.asarray(values, np.float64).view(np.uint64) for values in (one, other))
    np.testing.assert_array_equal(one, other)


class OneSeries(unittest.TestCase):
    def test_the_bits_of_the_command_line(self):
        values = daily(2000, spike=1500)
        values[1200] = NAN
        frame = pandas.DataFrame({"timestamp": times(2000), "value": values})
        with tempfile.TemporaryDirectory() as folder:
            data, out = Path(folder) / "series.csv", Path(folder) / "out.csv"
            frame.to_csv(data, index=False)
            done = subprocess.run([host_process.LANNER, "series", "--data", data, "--warm-up", "300", "--threshold",
                                   "2", "--out", out], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            told = pandas.read_csv(out, float_precision="round_trip")
        scores = lanner.Series(warm_up=300, threshold=2).push_rows(frame.value, frame.timestamp)
        self.assertEqual(list(told.columns), list(scores._fields))
        for name, column in scores._asdict().items():
            same(column, told[name])
        self.assertTrue(scores.alarm[1500])
        self.assertTrue(np.isnan(scores.expected[:300]).all() and np.isnan(scores.season[1200]))
        self.assertEqual((scores.score[1200], scores.alarm.dtype), (0, np.dtype(bool)))

    def test_one_by_one_is_all_at_once(self):
        values, at = daily(700, spike=600), times(700)
        values[[100, 500]] = NAN, np.inf
        together = lanner.Series(warm_up=200).push_rows(values, at)
        single = lanner.Series(warm_up=200)
        rows = [single.push(None if i == 100 else value, time) for i, (value, time) in enumerate(zip(values, at))]
        for name in together._fields:
            same(getattr(together, name), [getattr(row, name) for row in rows])
        self.assertEqual(single.missing_, 2)
        self.assertIs(rows[600].alarm, True)

    def test_times_of_every_kind_are_the_same_times(self):
        values, at = daily(900), times(900)
        expected = lanner.Series(warm_up=300).push_rows(values, at)
        stamps = pandas.to_datetime(pandas.Series(at))
        for given in (stamps, stamps.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"), at.astype("datetime64[ns]"),
                      at.astype("datetime64[ns]").astype(str), pandas.DatetimeIndex(stamps)):
            same(lanner.Series(warm_up=300).push_rows(values, given).score, expected.score)
        single = lanner.Series(warm_up=300)
        tokyo = datetime.timezone(datetime.timedelta(hours=9))
        plain, utc = datetime.datetime.fromisoformat, datetime.timezone.utc
        kinds = [int, np.datetime64, str, pandas.Timestamp, plain,
                 lambda text: plain(text).replace(tzinfo=utc).astimezone(tokyo),
                 lambda text: pandas.Timestamp(text).tz_localize("UTC").tz_convert("Asia/Tokyo")]
        for i, value in enumerate(values):
            kind = kinds[i % len(kinds)]
            time = kind(at[i]) if kind is int else kind(str(at[i].astype("datetime64[ns]"))[:19])
            same(single.push(value, time).score, expected.score[i])

    def test_a_snapshot_goes_on_to_the_bit(self):
        values, at = daily(1000, spike=900), times(1000)
        whole = lanner.Series(warm_up=300).push_rows(values, at)
        for stop in (150, 650):  # while warming up, and after
            first = lanner.Series(warm_up=300)
            first.push_rows(values[:stop], at[:stop])
            went_on = [lanner.Series(warm_up=300).restore(first.snapshot()), pickle.loads(pickle.dumps(first)),
                       copy.deepcopy(first)]
            for series in went_on:
                rest = series.push_rows(values[stop:], at[stop:])
                for name in whole._fields:
                    same(getattr(rest, name), getattr(whole, name)[stop:])
            self.assertFalse(hasattr(clone(first), "_detector"))

    def test_what_is_no_snapshot_changes_nothing(self):
        series = lanner.Series(warm_up=300)
        series.push_rows(daily(500), times(500))
        before = series.snapshot()
        other = lanner.Series(warm_up=301).snapshot()
        for wrong in (b"", b"LANNERS1", before[:-1], before[:50] + bytes([before[50] ^ 1]) + before[51:], other):
            with self.assertRaisesRegex(ValueError, "series snapshot"):
                series.restore(wrong)
        self.assertEqual(series.snapshot(), before)

    def test_reset_begins_anew_with_the_parameters_of_now(self):
        values = daily(500, spike=400)
        series = lanner.Series(warm_up=450)
        self.assertFalse(series.push_rows(values).alarm.any())
        series.set_params(warm_up=200)
        again = series.reset().push_rows(values)
        same(again.score, lanner.Series(warm_up=200).push_rows(values).score)
        self.assertTrue(again.alarm[400])

    def test_no_times_and_no_rows(self):
        same(lanner.Series(warm_up=100).push_rows(daily(300)).score,
             lanner.Series(warm_up=100).push_rows(daily(300), np.zeros(300, np.int64)).score)
        self.assertEqual([len(column) for column in lanner.Series().push_rows([])], [0] * 7)

    def test_threads_share_one_series(self):
        series = lanner.Series(warm_up=20)
        workers = [threading.Thread(target=series.push_rows, args=(np.full(2000, NAN),)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(series.missing_, 8000)

    def test_errors(self):
        with self.assertRaises(ValueError) as raised:
            lanner.Series(warm_up=10, threshold="high").push(1.0)
        self.assertEqual(str(raised.exception), "warm_up: found 10, allowed a whole number from 20 to 1000000\n"
                         "threshold: found high, allowed a number from 0.001 to 1000000")
        with self.assertRaises(TypeError):
            lanner.Series(warmup=10)
        with self.assertRaisesRegex(ValueError, "times: found 2, allowed one a value: 3"):
            lanner.Series().push_rows([1, 2, 3], [1, 2])
        with self.assertRaisesRegex(ValueError, "found 2 dimensions, allowed 1"):
            lanner.Series().push_rows(np.zeros((2, 2)))
        with self.assertRaisesRegex(ValueError, "times: found none for row 1"):
            lanner.Series().push_rows([1, 2], pandas.to_datetime(["2026-01-01", None]))


class ManyMetrics(unittest.TestCase):
    TRAINING = machine(3000)

    def setUp(self):
        self.detector = lanner.MultivariateSeries(references_max=500).fit(self.TRAINING)
        self.fresh = machine(400, seed=2)
        self.fresh[300] = 4

    def test_an_odd_row_stands_out_and_it_is_deterministic(self):
        scores = self.detector.anomaly_score(self.fresh)
        self.assertEqual((scores.dtype, scores.shape), (np.dtype(np.float64), (400,)))
        self.assertIn(scores.argmax(), range(300, 305))  # averaged over five rows
        same(lanner.MultivariateSeries(references_max=500).fit(self.TRAINING).anomaly_score(self.fresh), scores)
        same(self.detector.score_samples(self.fresh), -scores)
        frame = pandas.DataFrame(self.fresh, columns=["cpu", "memory", "disk"])
        named = lanner.MultivariateSeries(references_max=500).fit(frame.head(0).reindex(range(3000)).assign(
            cpu=self.TRAINING[:, 0], memory=self.TRAINING[:, 1], disk=self.TRAINING[:, 2]))
        same(named.anomaly_score(frame), scores)

    def test_one_by_one_is_all_at_once_and_state_is_apart(self):
        scores = self.detector.anomaly_score(self.fresh)
        same([self.detector.push(row) for row in self.fresh[:50]], scores[:50])
        same(self.detector.anomaly_score(self.fresh), scores)  # which knows nothing of what was pushed
        same(self.detector.push_rows(self.fresh[50:]), scores[50:])
        same(self.detector.reset().push_rows(self.fresh), scores)

    def test_a_snapshot_goes_on_to_the_bit(self):
        scores = self.detector.anomaly_score(self.fresh)
        self.detector.push_rows(self.fresh[:130])
        for went_on in (clone(self.detector).fit(self.TRAINING).restore(self.detector.snapshot()),
                        pickle.loads(pickle.dumps(self.detector)), copy.deepcopy(self.detector)):
            same(went_on.push_rows(self.fresh[130:]), scores[130:])
        same(pickle.loads(pickle.dumps(clone(self.detector).fit(self.TRAINING))).anomaly_score(self.fresh), scores)
        other = lanner.MultivariateSeries(references_max=500).fit(machine(3000, seed=9))
        with self.assertRaisesRegex(ValueError, "of other parameters"):
            other.restore(self.detector.snapshot())

    def test_what_is_missing_counts_as_the_last_one(self):
        gaps, filled = self.fresh.copy(), self.fresh.copy()
        gaps[200, 1], gaps[201, 1], filled[200:202, 1] = NAN, np.inf, self.fresh[199, 1]
        same(self.detector.anomaly_score(gaps), self.detector.anomaly_score(filled))

    def test_a_model_file_goes_there_and_back(self):
        frame = pandas.DataFrame(self.TRAINING, columns=["cpu", "memory", "disk"])
        detector = lanner.MultivariateSeries(references_max=500, smoothing=3).fit(frame)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "machine.lanner"
            detector.save(file)
            loaded = lanner.MultivariateSeries.load(file)
            self.assertEqual("sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(), loaded.model_.hash)
            with self.assertRaisesRegex(ValueError, "a model of series of many metrics, allowed a model of rows"):
                lanner.load(file)
            rows = Path(folder) / "rows.lanner"
            lanner.Histogram().fit(self.TRAINING).save(rows)
            with self.assertRaisesRegex(ValueError, "lanner.format_version: found '1', allowed 3"):
                lanner.MultivariateSeries.load(rows)
        self.assertEqual(loaded.get_params(), detector.get_params())
        self.assertEqual(list(loaded.feature_names_in_), ["cpu", "memory", "disk"])
        fresh = pandas.DataFrame(self.fresh, columns=["cpu", "memory", "disk"])
        for method in ("anomaly_score", "p_value", "explain"):
            same(getattr(loaded, method)(fresh), getattr(detector, method)(fresh))

    def test_p_values_are_shares_of_the_rows_held_out(self):
        p_values = self.detector.p_value(self.fresh)
        self.assertEqual(p_values.dtype, np.dtype(np.float64))
        same(p_values[:123], np.ones(123))  # the longest window and the average over five fill up
        self.assertTrue((p_values[123:300] < 1).any())
        self.assertLess(p_values[302], 0.002)
        scores = self.detector.anomaly_score(self.fresh)[123:]
        order = np.argsort(scores, kind="stable")
        self.assertTrue((np.diff(p_values[123:][order]) <= 0).all())
        without = clone(self.detector).set_params(calibration="none").fit(self.TRAINING)
        same(without.p_value(self.fresh), np.ones(400))
        self.assertEqual(without.model_.provenance["rows_fitted_on"], "3000")
        self.assertEqual(self.detector.model_.provenance["rows_calibrated_on"], str(600 - 123))

    def test_contributions_add_up_to_the_score(self):
        fresh = self.fresh[:60].copy()
        fresh[50:, 1] = 5
        parts = self.detector.explain(fresh)
        self.assertEqual((parts.dtype, parts.shape), (np.dtype(np.float64), (60, 3)))
        np.testing.assert_allclose(parts.sum(axis=1), self.detector.anomaly_score(fresh), rtol=1e-5)
        self.assertTrue((parts >= 0).all())
        self.assertEqual(parts[55].argmax(), 1)

    def test_another_device_has_the_same_bits(self):
        emulated = clone(self.detector).set_params(device="emulated").fit(self.TRAINING)
        same(emulated.anomaly_score(self.fresh[:40]), self.detector.anomaly_score(self.fresh[:40]))

    def test_errors(self):
        for settings, text in ((dict(windows=(20, 5)), "windows: allowed 1 to 100000 rows, ascending"),
                               (dict(neighbours=0), "neighbours: found 0, allowed a whole number from 1 to 10000")):
            with self.assertRaisesRegex(ValueError, text):
                lanner.MultivariateSeries(**settings).fit(self.TRAINING)
        with self.assertRaisesRegex(ValueError, "metric 1: found no finite value"):
            lanner.MultivariateSeries().fit(np.where([True, False, True], self.TRAINING, NAN))
        with self.assertRaisesRegex(ValueError, "4 features, but MultivariateSeries is expecting 3"):
            self.detector.push(np.zeros(4))
        with self.assertRaises(NotFittedError):
            lanner.MultivariateSeries().push_rows(self.fresh)


class Tables(unittest.TestCase):
    def test_parameters_are_the_engines(self):
        for made, table in ((lanner.Series, _engine.series_settings()),
                            (lanner.MultivariateSeries, _engine.multivariate_settings())):
            names = [parameter.name for parameter in table]
            self.assertEqual(set(made().get_params()) - {"device"}, set(names))
            for name in names:
                self.assertIn(f"\n{name} : ", made.__doc__)


if __name__ == "__main__":
    unittest.main()
