"""One model file, one set of bits: Python beside `lanner fit` and `lanner score`."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import pandas

import host_process
import lanner
import rows

TRAINING, FRESH = rows.normal(1500, 4), rows.normal(3000, 4, seed=9) * 1.5


def command(*arguments):
    done = subprocess.run([host_process.LANNER, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class OneFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        np.save(self.folder / "training.npy", TRAINING)
        np.save(self.folder / "fresh.npy", FRESH)

    def scored(self, model, data="fresh.npy", *more):
        command("score", "--model", model, "--data", self.folder / data, "--out", self.folder / "out.npy", *more)
        return np.load(self.folder / "out.npy")

    def check(self, fitted, told):
        np.testing.assert_array_equal(fitted.anomaly_score(FRESH).view(np.uint32), told["score"].view(np.uint32))
        p_values, extrapolated = fitted.p_value(FRESH, return_extrapolated=True)
        np.testing.assert_array_equal(p_values.view(np.uint64), told["p_value"].view(np.uint64))
        np.testing.assert_array_equal(extrapolated, (told["flag"] & 8) != 0)
        np.testing.assert_array_equal(fitted.predict(FRESH) == -1, (told["flag"] & 1) != 0)
        self.assertGreater((told["flag"] & 1).sum(), 0)

    def test_what_python_fits_the_command_line_scores(self):
        for name, made in lanner.detectors.items():
            with self.subTest(name):
                fitted = made(false_alarm_rate=0.02).fit(TRAINING)
                fitted.save(self.folder / "model.lanner")
                self.check(fitted, self.scored(self.folder / "model.lanner", "fresh.npy", "--false-alarm-rate", "0.02"))

    def test_csv_reads_back_to_the_same_bits(self):
        fitted = lanner.NearestNeighbours(k=10).fit(pandas.DataFrame(TRAINING, columns=["a", "b", "c", "d"]))
        fitted.save(self.folder / "model.lanner")
        fresh = pandas.DataFrame(FRESH.astype(np.float64), columns=["a", "b", "c", "d"])
        fresh.to_csv(self.folder / "fresh.csv", index=False)
        command("score", "--model", self.folder / "model.lanner", "--data", self.folder / "fresh.csv", "--out",
                self.folder / "out.csv")
        lines = (self.folder / "out.csv").read_text().splitlines()
        told = np.array([line.split(",")[:2] for line in lines[1:]], np.float64)
        data = pandas.read_csv(self.folder / "fresh.csv", float_precision="round_trip")
        np.testing.assert_array_equal(fitted.anomaly_score(data), told[:, 0].astype(np.float32))
        np.testing.assert_array_equal(fitted.p_value(data), told[:, 1])

    def test_what_the_command_line_fits_python_scores_and_would_have_fitted_alike(self):
        for name, made in lanner.detectors.items():
            with self.subTest(name):
                # Calibration rows enough for the default rate: the tail of scores that end at 1 may not reach it.
                command("fit", "--data", self.folder / "training.npy", "--detector", name, "--seed", 4, "--set",
                        "scale=robust", "--set", "calibration=0.7", "--out", self.folder / f"{name}.lanner")
                loaded = lanner.load(self.folder / f"{name}.lanner")
                self.assertEqual((type(loaded), loaded.seed, loaded.scale), (made, 4, "robust"))
                self.assertEqual(loaded.false_alarm_rate_, 0.001)
                self.check(loaded, self.scored(self.folder / f"{name}.lanner"))
                fitted = made(seed=4, scale="robust", calibration=0.7).fit(TRAINING)
                self.assertEqual(fitted.model_.provenance, loaded.model_.provenance)
                np.testing.assert_array_equal(fitted.anomaly_score(FRESH), loaded.anomaly_score(FRESH))

    def test_a_model_whose_features_take_text_entities_and_times(self):
        generator = np.random.default_rng(3)
        frame = pandas.DataFrame({
            "customer": generator.choice(["c-1", "c-2", "c-3"], 800),
            "country": generator.choice(["NL", "DE", "FR"], 800),
            "amount": generator.gamma(2, 50, 800),
            "at": pandas.to_datetime(1.8e18 + np.cumsum(generator.integers(1, 9e9, 800)))})
        frame.loc[5, "amount"] = np.nan
        data = frame.assign(at=frame["at"].astype("datetime64[ns]").astype(np.int64))
        data.to_csv(self.folder / "events.csv", index=False)
        (self.folder / "lanner.yaml").write_text("""
streams:
  checkout:
    entity: customer
    time: at
    features:
      - amount: {log1p: amount, missing: median}
      - country: {one_hot: country}
      - per_minute: {count: {window: 1m}}
    models:
      - {file: checkout.lanner, fit: {detector: histogram}}
ingest: [{zeromq: {bind: "tcp://127.0.0.1:5555"}}]
publish: [{zeromq: {bind: "tcp://127.0.0.1:5556"}}]
""")
        command("fit", "--config", self.folder / "lanner.yaml", "--stream", "checkout", "--data",
                self.folder / "events.csv")
        told = self.scored(self.folder / "checkout.lanner", "events.csv")
        loaded = lanner.load(self.folder / "checkout.lanner")
        data = pandas.read_csv(self.folder / "events.csv", float_precision="round_trip")
        for events in (data, data.assign(at=frame["at"]), {name: data[name].tolist() for name in data}):
            np.testing.assert_array_equal(loaded.anomaly_score(events), told["score"])
            np.testing.assert_array_equal(loaded.p_value(events), told["p_value"])
        self.assertEqual(loaded.explain(data).shape, (800, len(loaded.explained_features_)))
        self.assertIn("country=NL", loaded.explained_features_)
        with self.assertRaisesRegex(ValueError, "found no columns country"):
            loaded.predict(data.drop(columns="country"))

    def test_segments_have_their_own_p_values(self):
        generator = np.random.default_rng(11)
        shop = np.where(np.arange(8000) % 2, "large", "small")
        data = pandas.DataFrame({"amount": generator.normal(size=8000) * np.where(shop == "large", 4, 1), "shop": shop})
        data.to_csv(self.folder / "shops.csv", index=False)
        command("fit", "--detector", "mahalanobis", "--set", "segment=shop", "--set", "segment_rows=500", "--data",
                self.folder / "shops.csv", "--out", self.folder / "shops.lanner")
        told = self.scored(self.folder / "shops.lanner", "shops.csv")
        loaded = lanner.load(self.folder / "shops.lanner")
        data = pandas.read_csv(self.folder / "shops.csv", float_precision="round_trip")
        self.assertEqual(loaded.model_.segments, ["large", "small"])
        np.testing.assert_array_equal(loaded.p_value(data), told["p_value"])
        np.testing.assert_array_equal(loaded.predict(data) == -1, told["p_value"] <= loaded.false_alarm_rate_)
        with self.assertRaisesRegex(ValueError, "segment: found 'shop', allowed a field of text or the entity"):
            lanner.Mahalanobis(segment="shop").fit(data[["amount"]])


if __name__ == "__main__":
    unittest.main()
