"""PyOD's conventions."""

import pickle
import unittest

import numpy as np
from sklearn.base import clone

import lanner
import lanner.pyod
import rows

X, LABELS = rows.labelled()
CLASSES = [getattr(lanner.pyod, name) for name in lanner.pyod.__all__ if name != "PyodDetector"]


class Conventions(unittest.TestCase):
    def test_every_detector_is_there(self):
        names = {made._detector for made in CLASSES}
        self.assertEqual(names, set(lanner.detectors))
        self.assertLessEqual({"KNN", "LOF", "KDE", "HBOS", "AutoEncoder"}, set(lanner.pyod.__all__))

    def test_attributes_and_predictions(self):
        for made in CLASSES:
            with self.subTest(made.__name__):
                fitted = made(contamination=0.05).fit(X)
                self.assertEqual((fitted.decision_scores_.shape, fitted.decision_scores_.dtype), ((400,), np.float64))
                self.assertEqual(fitted.threshold_, np.percentile(fitted.decision_scores_, 95))
                np.testing.assert_array_equal(fitted.labels_, (fitted.decision_scores_ > fitted.threshold_).astype(int))
                scores = fitted.decision_function(X)
                np.testing.assert_array_equal(fitted.predict(X), (scores > fitted.threshold_).astype(int))
                self.assertGreater(scores[LABELS < 0].mean(), scores[LABELS > 0].mean())
                for method in ("linear", "unify"):
                    chances = fitted.predict_proba(X, method=method)
                    self.assertEqual(chances.shape, (400, 2))
                    np.testing.assert_allclose(chances.sum(1), 1)
                    self.assertTrue(((chances >= 0) & (chances <= 1)).all())
                labels, confidence = fitted.predict(X, return_confidence=True)
                self.assertTrue(((confidence >= 0) & (confidence <= 1)).all())
                np.testing.assert_array_equal(clone(fitted).fit_predict(X), fitted.labels_)
                np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).decision_function(X), scores)

    def test_training_rows_are_scored_as_if_they_were_new(self):
        fitted = lanner.pyod.KNN(n_neighbors=1).fit(X)
        self.assertTrue((fitted.decision_scores_ > 0).all())
        self.assertTrue((fitted.decision_function(X) == 0).all())

    def test_pyods_names_of_parameters(self):
        fitted = lanner.pyod.KNN(0.1, 7, "mean").fit(X)
        self.assertEqual((fitted.detector_.k, fitted.detector_.distance), (7, "mean"))
        ours = lanner.pyod.NearestNeighbours(k=7, distance="mean").fit(X)
        np.testing.assert_array_equal(fitted.decision_scores_, ours.decision_scores_)
        self.assertEqual(lanner.pyod.HBOS(n_bins="auto").fit(X).detector_.bins, "auto")
        self.assertEqual(lanner.pyod.AutoEncoder(epoch_num=2, lr=0.01).fit(X).detector_.learning_rate, 0.01)

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "contamination: found 0.6"):
            lanner.pyod.LOF(contamination=0.6).fit(X)
        with self.assertRaisesRegex(ValueError, "k: found 0"):
            lanner.pyod.LOF(n_neighbors=0).fit(X)
        with self.assertRaisesRegex(ValueError, "linear or unify"):
            lanner.pyod.LOF().fit(X).predict_proba(X, method="softmax")


if __name__ == "__main__":
    unittest.main()
