"""Every format over both deliveries: the same events get the same scores, which are those of `lanner score`."""

import json
import struct
import unittest

import fitted
from host_process import Host, Producer, Subscriber, columns, tensor, tensor_header, zmq

EVENTS = [[struct.unpack("<f", struct.pack("<f", value))[0] for value in row] for row in fitted.rows(50, 3, 1.5)]


def msgpack_rows(rows):
    """An array of maps of float64, by the specification."""
    out = b"\xdc" + struct.pack(">H", len(rows))
    for row in rows:
        out += b"\x83"
        for name, value in zip("abc", row):
            out += b"\xa1" + name.encode() + b"\xcb" + struct.pack(">d", value)
    return out


def payload(form, rows):
    if form == "tensor":
        return {"dtype": "float32", "shape": [len(rows), 3]}, [tensor(rows)]
    if form == "tensor64":
        return ({"format": "tensor", "dtype": "float64", "shape": [len(rows), 3]},
                [b"".join(struct.pack("<3d", *row) for row in rows)])
    if form == "jsonl":
        return {}, ["".join(json.dumps(dict(zip("abc", row))) + "\n" for row in rows).encode()]
    if form == "msgpack":
        return {}, [msgpack_rows(rows)]
    if form == "arrow":
        import pyarrow
        batch = pyarrow.record_batch([pyarrow.array(column) for column in zip(*rows)], names=list("abc"))
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return {}, [sink.getvalue().to_pybytes()]
    raise ValueError(form)


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = fitted.model()
        cls.expected = fitted.scored(cls.model, EVENTS)
        cls.host = Host(cls.model).start()

    @classmethod
    def tearDownClass(cls):
        cls.host.__exit__(None, None, None)

    def check_scores(self, subscriber, producer=None, seq=None):
        topic, header, frames = subscriber.receive()
        self.assertEqual(topic, "scores.s")
        self.assertEqual(header["n"], len(EVENTS))
        self.assertEqual(header["stream"], "s")
        self.assertEqual(header["frames"], ["score:float32", "p_value:float64", "threshold:float64", "flag:uint8"])
        self.assertRegex(header["model_hash"], "^sha256:[0-9a-f]{64}$")
        self.assertEqual(header["device"], "cpu")
        if producer:
            self.assertEqual((header["producer"], header["seq"]), (producer, seq))
        found = columns(header, frames)
        for row, expected in enumerate(self.expected):
            self.assertEqual(found["score"][row], struct.unpack("<f", struct.pack("<f", expected["score"]))[0])
            self.assertEqual(found["p_value"][row], expected["p_value"])
            self.assertEqual(found["threshold"][row], 0.01)
            self.assertEqual(found["flag"][row] & 1, 1 if found["p_value"][row] <= 0.01 else 0)

    def send_all(self, form):
        keys, frames = payload(form, EVENTS)
        header = {"v": 1, "stream": "s", "format": form, **keys}
        subscriber = Subscriber(self.host.publish, "scores.s")
        subscriber.warm()
        producer = Producer(self.host.acked, "formats-" + form)
        self.addCleanup(subscriber.close)
        self.addCleanup(producer.close)
        producer.hello()
        for seq in (1, 2):
            producer.send({**header, "producer": producer.name, "seq": seq}, *frames)
            self.check_scores(subscriber, producer.name, seq)
        producer.until_ack(2)
        for seq in (1, 2):
            for row in range(len(EVENTS)):
                self.assertEqual(len(self.host.stored()[(producer.name, seq, row)]), 1)
        push = zmq.Context.instance().socket(zmq.PUSH)
        self.addCleanup(push.close)
        push.linger = 1000
        push.connect(self.host.lossy)
        push.send_multipart([json.dumps(header).encode(), *frames])
        self.check_scores(subscriber)

    def test_tensor(self):
        self.send_all("tensor")

    def test_tensor_float64(self):
        self.send_all("tensor64")

    def test_jsonl(self):
        self.send_all("jsonl")

    def test_msgpack(self):
        self.send_all("msgpack")

    def test_arrow(self):
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            self.skipTest("pyarrow is not installed")
        self.send_all("arrow")

    def test_sidecars_travel_with_the_rows(self):
        subscriber = Subscriber(self.host.publish, "alerts.s")
        self.addCleanup(subscriber.close)
        subscriber.warm()
        producer = Producer(self.host.acked, "sidecars")
        self.addCleanup(producer.close)
        producer.hello()
        rows = [[0.0, 0.0, 0.0], [60.0, -60.0, 60.0]]
        producer.send(tensor_header(rows, producer="sidecars", seq=1, sidecars=["entity", "time", "id"]), tensor(rows),
                      b"one\ntwo\n", struct.pack("<2q", 5, 1789999999000000000), b"e-1\ne-2\n")
        topic, alert, _ = subscriber.receive()
        self.assertEqual(topic, "alerts.s")
        self.assertEqual((alert["event"], alert["entity"], alert["time"]), ("e-2", "two", 1789999999000000000))
        self.assertEqual(alert["flag"] & 1, 1)
        self.assertLessEqual(alert["p_value"], alert["threshold"])
        total = alert["base"] + sum(c["contribution"] for c in alert["contributions"])
        self.assertAlmostEqual(total, alert["score"], delta=1e-4 * abs(alert["score"]) + 1e-6)
        self.assertAlmostEqual(sum(c["share"] for c in alert["contributions"]), 1.0)
        self.assertEqual({c["feature"]: c["value"] for c in alert["contributions"]}, {"a": 60.0, "b": -60.0, "c": 60.0})
        producer.until_ack(1)


if __name__ == "__main__":
    unittest.main()
