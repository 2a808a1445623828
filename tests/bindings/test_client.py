"""lanner.Client and lanner.Subscriber against a real `lanner serve`."""

import gc
import json
import tempfile
import time
import unittest
import warnings
from pathlib import Path

import numpy as np
import pandas

import host_process
import lanner
import rows
from host_process import Host, wait_for
from lanner.client import Alert, Scores, Status

FITTED = lanner.Histogram(false_alarm_rate=0.01).fit(pandas.DataFrame(rows.normal(1000), columns=["a", "b", "c"]))
STREAMS = """  s:
    fields: [a, b, c]
    models:
      - {file: MODEL}
    decide: {false_alarm_rate: 0.01}
  named:
    entity: who
    time: at
    id: key
    fields: [a, b, c]
    models:
      - {file: MODEL}
    decide: {false_alarm_rate: 0.01}
"""


def setUpModule():
    global model
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    model = Path(folder.name) / "python.lanner"
    FITTED.save(model)


class Wire(unittest.TestCase):
    def test_what_python_fitted_the_host_serves_with_the_same_bits(self):
        events = rows.normal(500, seed=8) * 2
        frame = pandas.DataFrame(events, columns=["a", "b", "c"])
        shapes = {"float32": events, "float64": events.astype(np.float64), "strided": np.asfortranarray(events),
                  "dicts": frame.to_dict("records"), "frame": frame, "lists": events.tolist()}
        with Host(model, streams=STREAMS) as host, lanner.Subscriber(host.publish, "s").ready() as subscriber, \
                lanner.Client(host.acked, "s", producer="notebook") as client:
            for expected, events_as in enumerate(shapes.values(), 1):
                self.assertEqual(client.send(events_as), expected)
            self.assertEqual(client.flush(), len(shapes))
            self.assertEqual((client.rows_refused, client.batches_refused, list(client.refusals)), (0, 0, []))
            scores, alerts = {}, []
            while len(scores) < len(shapes) or len(alerts) < len(shapes) * scores[1].anomalous.sum():
                message = subscriber.receive(10)
                self.assertIsInstance(message, (Scores, Alert))
                if isinstance(message, Alert):
                    alerts.append(message)
                else:
                    scores[message.seq] = message
            for seq, kind in enumerate(shapes, 1):
                with self.subTest(kind):
                    np.testing.assert_array_equal(scores[seq].score, FITTED.anomaly_score(frame))
                    np.testing.assert_array_equal(scores[seq].p_value, FITTED.p_value(frame))
                    np.testing.assert_array_equal(scores[seq].anomalous, FITTED.predict(frame) < 0)
                    self.assertEqual((scores[seq].producer, scores[seq].model_hash), ("notebook", FITTED.model_.hash))
            alert = alerts[0]
            row = int(alert.event.split(":")[2])
            self.assertAlmostEqual(alert.score, float(FITTED.anomaly_score(frame)[row]), places=5)
            parts = {part["feature"]: part["contribution"] for part in alert.contributions}
            explained = dict(zip("abc", FITTED.explain(frame)[row]))
            self.assertEqual({name: np.float32(value) for name, value in parts.items()}, explained)

    def test_entities_times_and_ids(self):
        with Host(model, streams=STREAMS) as host, lanner.Client(host.acked, "named") as client:
            times = np.datetime64("2026-01-01", "ns") + np.arange(3)
            client.send(rows.normal(3), entity=["x", "y", "z"], time=times, id=["1", "2", "3"])
            day = np.datetime64("2026-01-01")
            client.send([{"a": 1, "b": float("nan"), "c": 2, "who": "x", "at": day, "key": "4"}])
            client.flush()
            stored = [line.split(",") for file in sorted((host.folder / "results").glob("*.csv"))
                      for line in file.read_text().splitlines()]
            found = {row["id"]: row["entity"] for row in (dict(zip(stored[0], line)) for line in stored[1:])}
            self.assertEqual(found, {"1": "x", "2": "y", "3": "z", "4": "x"})
            # JSON has no NaN: it went as null.
            self.assertEqual((client.rows_refused, client.refusals[0].reason), (1, "b: missing"))

    def test_refusals_are_told(self):
        with Host(model, streams=STREAMS) as host:
            with lanner.Client(host.acked, "nowhere") as client:
                client.send(rows.normal(5))
                client.flush()
                self.assertEqual((client.acked, client.batches_refused), (1, 1))
                self.assertRegex(client.refusals[0].reason, "nowhere")
            with lanner.Client(host.acked, "s", producer="p") as client:
                client.send([{"a": 1, "b": 2, "c": 3}, {"a": "one", "b": 2, "c": 3}])
                client.flush()
                self.assertEqual((client.rows_refused, client.refusals[0].seq, client.refusals[0].row), (1, 1, 1))
                other = lanner.Client(host.acked, "s", producer="p")
                with self.assertRaisesRegex(ConnectionError, "superseded"):
                    client.send(rows.normal(5))
                    client.flush()
                other.close()

    def test_it_keeps_to_the_credit_and_goes_on_where_it_was(self):
        with Host(model, streams=STREAMS, ingest_extra=", batch_bytes_max: 4096, credit_bytes: 8192") as host:
            for run in range(2):
                with lanner.Client(host.acked, "s", producer="p") as client:
                    for i in range(50):
                        self.assertEqual(client.send(rows.normal(300, seed=i)), 50 * run + i + 1)
                    with self.assertRaisesRegex(ValueError, "batch of 4800 bytes, allowed at most 4096"):
                        client.send(rows.normal(400))
            stored = host.stored()
            self.assertEqual(len(stored), 100 * 300)
            self.assertTrue(all(len(scores) == 1 for scores in stored.values()))

    def test_it_sends_again_after_a_crash_of_the_host(self):
        with Host(model, streams=STREAMS) as host, lanner.Client(host.acked, "s", producer="p") as client:
            for i in range(40):
                client.send(rows.normal(100, seed=i))
                if i == 20:
                    host.kill()
                    host.start()
            client.flush()
            self.assertEqual(set(host.stored()), {("p", seq, row) for seq in range(1, 41) for row in range(100)})

    def test_a_host_that_forgot_is_said(self):
        with Host(model, streams=STREAMS, results=False) as host, \
                lanner.Client(host.acked, "s", producer="p") as client:
            client.send(rows.normal(100))
            client.flush()
            host.kill()
            host.start()
            with self.assertRaisesRegex(ConnectionError, "forgotten what it acknowledged"):
                wait_for(lambda: client.send(rows.normal(100)) and client.flush() and False, 10)

    def test_nobody_there(self):
        nowhere = f"tcp://127.0.0.1:{host_process.free_port()}"
        with self.assertRaisesRegex(TimeoutError, "no answer from"):
            lanner.Client(nowhere, "s", timeout_s=0.2)
        with self.assertRaisesRegex(TimeoutError, "nothing published"):
            lanner.Subscriber(nowhere).ready(0.2)
        with self.assertRaisesRegex(ValueError, "acked or lossy"):
            lanner.Client(nowhere, "s", delivery="maybe")

    def test_it_leaves_no_socket_open(self):
        with Host(model, streams=STREAMS, results=False) as host, warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            with lanner.Client(host.acked, "s") as client:
                client.send(rows.normal(100))
            del client
            gc.collect()
        self.assertEqual([str(warning.message) for warning in found], [])

    def test_lossy(self):
        with Host(model, streams=STREAMS, results=False) as host:
            with lanner.Client(host.lossy, "s", delivery="lossy") as client:
                for i in range(10):
                    self.assertEqual(client.send(rows.normal(100, seed=i)), 0)
            wait_for(lambda: host.status()["events"]["scored"] == 1000, what="all events")

    def test_subscriber(self):
        with Host(model, streams=STREAMS, results=False) as host, \
                lanner.Subscriber(host.publish, topics=["status"]) as subscriber:
            began = time.monotonic()
            status = next(iter(subscriber))
            self.assertIsInstance(status, Status)
            self.assertIn("events", status.message)
            json.dumps(status.message)
            self.assertLess(time.monotonic() - began, 5)
            self.assertIsNone(lanner.Subscriber(host.publish, "nobody").receive(0.2))


if __name__ == "__main__":
    unittest.main()
