"""What rows may come in, what is copied of it, and what other threads may do meanwhile."""

import re
import signal
import threading
import time
import unittest
from pathlib import Path

import numpy as np
import pandas
import pyarrow

import lanner
import rows
from lanner import _engine, _rows

X = rows.normal(2000, 4)
FITTED = lanner.Histogram(bins="auto").fit(X)
SCORES = FITTED.anomaly_score(X)


class Tensor:
    """A stranger's tensor that knows DLPack alone."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        return self.array.__dlpack__()


class OnGpu(Tensor):
    """One of a GPU, as far as can be seen without touching its memory."""

    def __init__(self, array):
        super().__init__(array, (2, 0))
        self.copies = 0

    def __dlpack__(self, **options):
        raise AssertionError("memory of a GPU was asked for")

    def cpu(self):
        self.copies += 1
        return self.array


class Viewed(unittest.TestCase):
    def seen(self, data):
        return FITTED._events(data).address

    def test_contiguous_floats_are_viewed_in_place(self):
        for dtype in (np.float32, np.float64):
            data = X.astype(dtype)
            self.assertEqual(self.seen(data), data.ctypes.data)
            data.flags.writeable = False
            self.assertEqual(self.seen(data), data.ctypes.data)

    def test_tensors_of_the_cpu_are_viewed_in_place(self):
        self.assertEqual(self.seen(Tensor(X)), X.ctypes.data)

    def test_tensors_of_a_gpu_are_copied_once(self):
        tensor = OnGpu(X)
        np.testing.assert_array_equal(FITTED.anomaly_score(tensor), SCORES)
        self.assertEqual(tensor.copies, 1)

    def test_the_module_itself_converts_nothing(self):
        for data in (X[:, ::2], X.T, X.astype(np.int32), X.astype(">f4"), X[0]):
            with self.assertRaises(TypeError):
                _engine.Events(data)

    def test_scoring_needs_no_second_copy_of_the_rows(self):
        data = np.ones((2_000_000, 32), np.float32)  # 256 MB
        fitted = lanner.Histogram().fit(data[:1000] * rows.normal(1000, 32))
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark of memory begins anew
        before = memory_peak_mb()
        fitted.anomaly_score(data)
        self.assertLess(memory_peak_mb() - before, 80)  # scores, p-values and pieces of the rows


def memory_peak_mb():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


class Converted(unittest.TestCase):
    def same(self, data):
        np.testing.assert_array_equal(FITTED.anomaly_score(data), SCORES)

    def test_other_layouts_dtypes_and_containers_score_alike(self):
        wide = np.zeros((2000, 8), np.float32)
        wide[:, ::2] = X
        for data in (X.astype(np.float64), np.asfortranarray(X), wide[:, ::2], X.astype(">f4"), X.tolist()):
            self.same(data)
        whole = np.round(X * 10).astype(np.int16)
        np.testing.assert_array_equal(FITTED.anomaly_score(whole), FITTED.anomaly_score(whole.astype(np.float32)))

    def test_tables(self):
        names = ["a", "b", "c", "d"]
        frame = pandas.DataFrame(X, columns=names)
        for table in (frame, pyarrow.table(frame), pyarrow.record_batch(frame)):
            with self.subTest(type(table)):
                fitted = lanner.Histogram(bins="auto").fit(table)
                self.assertEqual(list(fitted.feature_names_in_), names)
                self.assertEqual([name for name, _ in fitted.model_.fields], names)
                np.testing.assert_array_equal(fitted.anomaly_score(table), SCORES)
                with self.assertRaisesRegex(ValueError, "feature names should match"):
                    fitted.predict(frame[["b", "a", "c", "d"]])

    def test_columns_of_tables(self):
        at = pandas.to_datetime(["1970-01-01T00:00:01Z", "2026"], format="ISO8601", utc=True)
        frame = pandas.DataFrame({"n": [1, None], "t": ["a", None], "at": at})
        for table in (frame, frame.convert_dtypes(), pyarrow.Table.from_pandas(frame)):
            np.testing.assert_array_equal(_rows.numbers(table["n"]), [1, np.nan])
            self.assertEqual(_rows.texts(table["t"]), ["a", None])
            np.testing.assert_array_equal(_rows.times(table["at"]), [10**9, 1767225600 * 10**9])
        np.testing.assert_array_equal(_rows.times(np.array([5, 7])), [5, 7])


class Threads(unittest.TestCase):
    def test_other_threads_run_while_it_fits_and_scores(self):
        data = rows.normal(20000, 16)
        slow = lanner.LocalOutlierFactor(calibration="none").fit(data[:100])
        for work in (lambda: lanner.LocalOutlierFactor(calibration="cross").fit(data[:8000]),
                     lambda: slow.fit(data).anomaly_score(data)):
            worker = threading.Thread(target=work)
            ticks, began = 0, time.monotonic()
            worker.start()
            while worker.is_alive():
                time.sleep(0.001)
                ticks += 1
            took = time.monotonic() - began
            self.assertGreater(ticks, 100 * took, f"{ticks} ticks in {took} s")

    def test_threads_may_share_a_fitted_estimator(self):
        results = [None] * 8

        def score(i):
            results[i] = FITTED.anomaly_score(X)
        threads = [threading.Thread(target=score, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            np.testing.assert_array_equal(result, SCORES)

    def test_control_c_ends_a_fit_and_a_scoring(self):
        data = rows.normal(800_000, 8)  # seconds of work
        endless = lanner.Autoencoder(epochs=100000, patience=100000, calibration="none")
        slow = lanner.NearestNeighbours(k=5, calibration="none").fit(data[:50000])
        held_out = lanner.NearestNeighbours(k=5, calibration=0.75)
        for work in (lambda: endless.fit(data[:2000]), lambda: held_out.fit(data[:400_000]),
                     lambda: slow.anomaly_score(data)):
            timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
            began = time.monotonic()
            timer.start()
            with self.assertRaises(KeyboardInterrupt):
                work()
            self.assertLess(time.monotonic() - began, 10)
        np.testing.assert_array_equal(FITTED.anomaly_score(X), SCORES)

    def test_what_a_progress_callback_raises_comes_out(self):
        def tell(done, what):
            raise LookupError(what)
        with self.assertRaisesRegex(LookupError, "features"):
            _engine.Model.fit(_engine.Events(X), "histogram", {}, list("abcd"), progress=tell)


if __name__ == "__main__":
    unittest.main()
