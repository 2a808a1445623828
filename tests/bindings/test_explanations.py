"""What would have been normal: nearest_normal and counterfactual, in the fields' own units."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
from sklearn.exceptions import NotFittedError

import lanner

random = np.random.default_rng(4)
USUAL = np.column_stack([random.normal(20, 2, 2000), random.normal(1013, 5, 2000), random.lognormal(3, 1, 2000)])
STRANGE = np.array([[20.0, 1013.0, 30.0], [20.0, 1090.0, 30.0], [45.0, 1090.0, 30.0]])


class Explanations(unittest.TestCase):
    def test_a_change_makes_the_row_normal_and_half_of_it_does_not(self):
        for name in ("nearest_neighbours", "mahalanobis", "kernel_density"):
            with self.subTest(name):
                detector = lanner.detectors[name](scale="robust", false_alarm_rate=0.01).fit(USUAL)
                changes = detector.counterfactual(STRANGE)
                self.assertEqual(len(changes), 3)
                self.assertIsNone(changes[0], "normal as it is")
                change = changes[1]
                self.assertEqual((change.feature, list(detector.predict(STRANGE))[1]), ("x1", -1))
                changed = STRANGE[1:2].copy()
                changed[0, 1] = change.value
                self.assertEqual(detector.predict(changed)[0], 1)
                self.assertEqual(detector.anomaly_score(changed)[0], np.float32(change.anomaly_score))
                spread = (1090 - change.value) / change.spreads
                self.assertAlmostEqual(spread / 5, 1, delta=0.1)
                halfway = STRANGE[1:2].copy()
                halfway[0, 1] = (1090 + change.value) / 2
                self.assertEqual(detector.predict(halfway)[0], -1)

    def test_none_where_no_single_feature_can(self):
        detector = lanner.NearestNeighbours(k=10, scale="robust", false_alarm_rate=0.01).fit(USUAL)
        self.assertIsNone(detector.counterfactual(STRANGE)[2])

    def test_the_nearest_normal_row_is_one_of_those_seen(self):
        for made in (lanner.NearestNeighbours, lanner.Histogram):
            detector = made(scale="standard", false_alarm_rate=0.01).fit(USUAL)
            nearest = detector.nearest_normal(STRANGE)
            self.assertEqual((nearest.shape, nearest.dtype), ((3, 3), np.float64))
            self.assertTrue((detector.predict(nearest) == 1).all())
            distance = np.abs(USUAL[None] - nearest[:, None]).max(axis=2).min(axis=1)
            self.assertLess(distance.max(), 1e-3, "a row that was fitted or calibrated on")

    def test_contamination_sets_what_is_normal_too(self):
        detector = lanner.Mahalanobis(calibration="none", contamination=0.05).fit(USUAL)
        change = detector.counterfactual(STRANGE)[1]
        changed = STRANGE[1:2].copy()
        changed[0, 1] = change.value
        self.assertEqual(detector.predict(changed)[0], 1)

    def test_they_come_with_the_file(self):
        detector = lanner.IsolationForest(false_alarm_rate=0.01).fit(USUAL)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.lanner"
            detector.save(path)
            loaded = lanner.load(path)
            loaded.offset_ = detector.offset_
            self.assertEqual(loaded.counterfactual(STRANGE), detector.counterfactual(STRANGE))
            np.testing.assert_array_equal(loaded.nearest_normal(STRANGE), detector.nearest_normal(STRANGE))

    def test_errors(self):
        for method in ("nearest_normal", "counterfactual"):
            with self.assertRaises(NotFittedError):
                getattr(lanner.Histogram(), method)(STRANGE)
            with self.assertRaises(ValueError):
                getattr(lanner.Histogram().fit(USUAL), method)(STRANGE[:, :2])
