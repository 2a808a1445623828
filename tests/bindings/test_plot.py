"""Every plot draws what it was given."""

import unittest

import matplotlib.pyplot as plt
import numpy as np
import pandas

import lanner
import rows
from lanner import plot

X, LABELS = rows.labelled()
FITTED = lanner.Histogram().fit(X)
SCORES, ANOMALOUS = FITTED.anomaly_score(X), (LABELS < 0).astype(int)


class Plots(unittest.TestCase):
    def tearDown(self):
        plt.close("all")

    def test_score_distribution(self):
        ax = plot.score_distribution(SCORES, ANOMALOUS, threshold=-FITTED.offset_)
        heights = [sum(bar.get_height() for bar in bars) for bars in ax.containers]
        self.assertEqual(heights, [380, 20])
        self.assertEqual(ax.lines[0].get_xdata()[0], -FITTED.offset_)
        self.assertEqual(sum(bar.get_height() for bar in plot.score_distribution(SCORES).containers[0]), 400)

    def test_roc_and_precision_recall_share_axes(self):
        for draw in (plot.roc, plot.precision_recall):
            ax = draw(ANOMALOUS, SCORES, label="histogram")
            self.assertIs(draw(ANOMALOUS, -SCORES, label="turned around", ax=ax), ax)
            self.assertEqual(len(ax.get_legend().get_texts()), 2)
            self.assertRegex(ax.get_legend().get_texts()[0].get_text(), r"histogram: \w.* \d\.\d{3}")

    def test_contributions(self):
        ax = plot.contributions(FITTED, X[0], features_max=2)
        widths = [bar.get_width() for bar in ax.patches]
        self.assertEqual(len(widths), 3)
        self.assertAlmostEqual(FITTED.base_ + sum(widths), SCORES[0], places=4)
        frame = pandas.DataFrame(X, columns=["a", "b", "c"])
        fitted = lanner.Histogram().fit(frame)
        for row in (frame.iloc[[3]], frame.iloc[3]):
            labels = plot.contributions(fitted, row).get_yticklabels()
            self.assertEqual({label.get_text() for label in labels}, {"a", "b", "c"})

    def test_calibration(self):
        p_values = FITTED.p_value(rows.normal(500, seed=4))
        self.assertEqual(len(plot.calibration(p_values).lines[0].get_xdata()), 500)
        density = plot.calibration(p_values, kind="histogram").containers[0]
        self.assertAlmostEqual(sum(bar.get_height() * bar.get_width() for bar in density), 1)
        with self.assertRaisesRegex(ValueError, "quantiles or histogram"):
            plot.calibration(p_values, kind="pie")

    def test_timeline(self):
        ax = plot.timeline(SCORES, anomalous=FITTED.predict(X), threshold=-FITTED.offset_)
        self.assertEqual(len(ax.lines[1].get_xdata()), (FITTED.predict(X) < 0).sum())
        times = np.datetime64("2026-01-01") + np.arange(400)
        self.assertEqual(len(plot.timeline(SCORES, times=times).lines), 1)


if __name__ == "__main__":
    unittest.main()
