"""Messages that nobody should send. Each is refused and counted; the process lives; what comes with it is scored."""

import json
import struct
import unittest

import fitted
from host_process import Host, Producer, Subscriber, tensor, tensor_header, wait_for, zmq

GOOD = fitted.rows(4, 8)


def head(**keys):
    base = {"v": 1, "stream": "s", "format": "tensor", "dtype": "float32", "shape": [2, 3]}
    base.update(keys)
    return {key: value for key, value in base.items() if value is not ...}


TWO = tensor([[1, 2, 3], [4, 5, 6]])

# (name, header: dict or bytes, frames). Refused whole on any endpoint.
WHOLE = [
    ("empty header", b"", [TWO]),
    ("not JSON", b"\x00\x01\x02", [TWO]),
    ("half a JSON object", b'{"v":1,"stream":"s"', [TWO]),
    ("JSON null", b"null", [TWO]),
    ("JSON list", b"[1,2]", [TWO]),
    ("JSON text", b'"v"', [TWO]),
    ("two objects", b"{}{}", [TWO]),
    ("not UTF-8", b'{"v":1,"stream":"\xff\xfe","format":"tensor"}', [TWO]),
    ("deeply nested", b'{"v":1,"x":' + b"[" * 5000 + b"]" * 5000 + b"}", [TWO]),
    ("a header of 100 KB", json.dumps(head(x="y" * 100_000)).encode(), [TWO]),
    ("no version", head(v=...), [TWO]),
    ("version 2", head(v=2), [TWO]),
    ("version as text", head(v="1"), [TWO]),
    ("version 1.5", head(v=1.5), [TWO]),
    ("version null", head(v=None), [TWO]),
    ("no stream", head(stream=...), [TWO]),
    ("stream as a number", head(stream=7), [TWO]),
    ("stream empty", head(stream=""), [TWO]),
    ("stream unknown", head(stream="nowhere"), [TWO]),
    ("stream a path", head(stream="../../etc/passwd"), [TWO]),
    ("no format", head(format=...), [TWO]),
    ("format unknown", head(format="csv"), [TWO]),
    ("format a list", head(format=["tensor"]), [TWO]),
    ("no dtype", head(dtype=...), [TWO]),
    ("dtype int32", head(dtype="int32"), [TWO]),
    ("dtype float16", head(dtype="float16"), [TWO]),
    ("no shape", head(shape=...), [TWO]),
    ("shape a number", head(shape=6), [TWO]),
    ("shape of one", head(shape=[6]), [TWO]),
    ("shape of three", head(shape=[2, 3, 1]), [TWO]),
    ("shape negative", head(shape=[-2, 3]), [TWO]),
    ("shape fractions", head(shape=[2.5, 3]), [TWO]),
    ("shape huge", head(shape=[2**62, 3]), [TWO]),
    ("shape overflowing", head(shape=[2**32 - 1, 2**32 - 1]), [TWO]),
    ("shape beyond 64 bits", b'{"v":1,"stream":"s","format":"tensor","dtype":"float32","shape":[1e30,3]}', [TWO]),
    ("too narrow", head(shape=[3, 2]), [TWO]),
    ("too wide", head(shape=[1, 6]), [TWO]),
    ("fewer bytes than rows", head(shape=[3, 3]), [TWO]),
    ("more bytes than rows", head(shape=[1, 3]), [TWO]),
    ("a byte short", head(), [TWO[:-1]]),
    ("no payload", head(), []),
    ("a frame too many", head(), [TWO, b"x"]),
    ("a hundred frames", head(), [b"x"] * 100),
    ("float64 said, float32 sent", head(dtype="float64"), [TWO]),
    ("sidecar missing", head(sidecars=["entity"]), [TWO]),
    ("sidecar unknown", head(sidecars=["colour"]), [TWO, b"a\nb\n"]),
    ("sidecar twice", head(sidecars=["entity", "entity"]), [TWO, b"a\nb\n", b"a\nb\n"]),
    ("sidecars no list", head(sidecars="entity"), [TWO, b"a\nb\n"]),
    ("entity too few", head(sidecars=["entity"]), [TWO, b"a\n"]),
    ("entity too many", head(sidecars=["entity"]), [TWO, b"a\nb\nc\n"]),
    ("entity not ended", head(sidecars=["entity"]), [TWO, b"a\nb"]),
    ("entity not UTF-8", head(sidecars=["entity"]), [TWO, b"a\n\xff\n"]),
    ("time too short", head(sidecars=["time"]), [TWO, struct.pack("<q", 1)]),
    ("time odd", head(sidecars=["time"]), [TWO, b"123"]),
    ("arrow of nothing", head(format="arrow", dtype=..., shape=...), [b""]),
    ("arrow of noise", head(format="arrow", dtype=..., shape=...), [bytes(range(256)) * 4]),
    ("arrow cut short", head(format="arrow", dtype=..., shape=...), [b"\xff\xff\xff\xff\x10\x00\x00\x00"]),
    ("arrow with a huge length", head(format="arrow", dtype=..., shape=...), [b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 64]),
    ("msgpack of noise", head(format="msgpack", dtype=..., shape=...), [b"\xc1" * 20]),
    ("msgpack no array", head(format="msgpack", dtype=..., shape=...), [b"\x81\xa1a\x01"]),
    ("msgpack cut short", head(format="msgpack", dtype=..., shape=...), [b"\xdd\x00\x00\x10\x00\x81"]),
    ("msgpack huge array", head(format="msgpack", dtype=..., shape=...), [b"\xdd\xff\xff\xff\xff"]),
    ("msgpack deep", head(format="msgpack", dtype=..., shape=...), [b"\x91" * 10000]),
    ("jsonl without a frame", head(format="jsonl", dtype=..., shape=...), []),
    ("jsonl two frames", head(format="jsonl", dtype=..., shape=...), [b"{}\n", b"{}\n"]),
]

# (name, jsonl bytes, rows refused, rows scored)
ROWS = [
    ("not JSON", b'{"a":1,"b":2,"c":3}\nnonsense\n{"a":1,"b":2,"c":3}\n', 1, 2),
    ("a list", b'[1,2,3]\n{"a":1,"b":2,"c":3}\n', 1, 1),
    ("cut short", b'{"a":1,"b":2,"c":3}\n{"a":1,"b":', 1, 1),
    ("text for a number", b'{"a":"x","b":2,"c":3}\n{"a":1,"b":2,"c":3}\n', 1, 1),
    ("a field missing", b'{"a":1,"b":2}\n{"a":1,"b":2,"c":3}\n', 1, 1),
    ("a null", b'{"a":null,"b":2,"c":3}\n{"a":1,"b":2,"c":3}\n', 1, 1),
    ("beyond any double", b'{"a":1e999,"b":2,"c":3}\n{"a":1,"b":2,"c":3}\n', 1, 1),
    ("not UTF-8", b'{"a":1,"b":2,"c":3,"d":"\xff"}\n{"a":1,"b":2,"c":3}\n', 1, 1),
    ("beyond float32", b'{"a":1e300,"b":2,"c":3}\n{"a":1,"b":2,"c":3}\n', 1, 1),
]


class Malformed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(fitted.model(), results=False).start()

    @classmethod
    def tearDownClass(cls):
        cls.host.__exit__(None, None, None)

    def test_lossy(self):
        push = zmq.Context.instance().socket(zmq.PUSH)
        push.linger = 1000
        push.connect(self.host.lossy)
        self.addCleanup(push.close)
        subscriber = Subscriber(self.host.publish, "scores.s")
        self.addCleanup(subscriber.close)
        subscriber.warm()
        for name, header, frames in WHOLE:
            with self.subTest(name):
                before = sum(self.host.status()["refused"].values())
                push.send_multipart([header if isinstance(header, bytes) else json.dumps(header).encode(), *frames])
                push.send_multipart([json.dumps(tensor_header(GOOD)).encode(), tensor(GOOD)])
                found = subscriber.receive()
                self.assertIsNotNone(found, "its neighbour was not scored")
                self.assertEqual(found[1]["n"], len(GOOD), "the bad one was scored")
                self.assertEqual(sum(self.host.status()["refused"].values()), before + 1, "it was not counted")
                self.assertTrue(self.host.alive())

    def test_acked(self):
        for name, header, frames in WHOLE:
            with self.subTest(name):
                producer = Producer(self.host.acked, "malformed " + name)
                try:
                    producer.hello()
                    placed = not isinstance(header, bytes)
                    if placed:
                        header = {**header, "producer": producer.name, "seq": 1}
                    producer.send(header, *frames)
                    nack = producer.receive()
                    self.assertTrue(nack["reason"])
                    self.assertEqual(nack["nack"], 1 if placed else None, nack)
                    self.assertNotIn("retry", nack)
                    producer.batch(2 if placed else 1, GOOD)
                    producer.until_ack(2 if placed else 1)
                finally:
                    producer.close()
                self.assertTrue(self.host.alive())

    def test_rows(self):
        producer = Producer(self.host.acked, "rows")
        self.addCleanup(producer.close)
        producer.hello()
        subscriber = Subscriber(self.host.publish, "scores.s")
        self.addCleanup(subscriber.close)
        subscriber.warm()
        for seq, (name, lines, refused, scored) in enumerate(ROWS, 1):
            with self.subTest(name):
                before = self.host.status()["events"]
                producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": "rows", "seq": seq}, lines)
                answers = producer.until_ack(seq)
                nack = next(a for a in answers if "nack" in a)
                self.assertEqual(nack["rows_refused"], refused)
                _, header, frames = subscriber.receive()
                self.assertEqual(header["n"], refused + scored)
                self.assertEqual([flag & 2 for flag in frames[3]].count(2), refused)
                after = self.host.status()["events"]
                self.assertEqual(after["refused"] - before["refused"], refused)
                self.assertEqual(after["scored"] - before["scored"], scored)

    def test_messages_out_of_place(self):
        cases = [
            ("no producer", head(seq=1), None),
            ("no seq", head(producer="q"), None),
            ("seq zero", head(producer="q", seq=0), None),
            ("seq negative", head(producer="q", seq=-1), None),
            ("seq as text", head(producer="q", seq="1"), None),
            ("seq beyond 64 bits", b'{"v":1,"stream":"s","format":"jsonl","producer":"q","seq":18446744073709551616}', None),
            ("producer empty", head(producer="", seq=1), None),
            ("producer a number", head(producer=7, seq=1), None),
            ("hello without a producer", {"v": 1, "hello": True}, None),
            ("hello of version 2", {"v": 2, "hello": True, "producer": "q"}, None),
            ("hello with a long name", {"v": 1, "hello": True, "producer": "q" * 10_000}, None),
            ("hello of nobody", {"v": 1, "hello": True, "producer": ""}, None),
            ("nothing at all", b"", None),
        ]
        for name, header, expected in cases:
            with self.subTest(name):
                producer = Producer(self.host.acked, "q")
                try:
                    producer.hello()
                    producer.send(header, TWO)
                    nack = producer.receive()
                    self.assertIn("nack", nack)
                    self.assertIn(nack["nack"], (expected, 0), nack)
                    self.assertTrue(nack["reason"])
                finally:
                    producer.close()
        self.assertTrue(self.host.alive())

    def test_other_sockets_and_noise(self):
        import socket
        port = int(self.host.acked.rsplit(":", 1)[1])
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 100, b"\xff\0\0\0\0\0\0\0\x01\x7f\x03" + b"\0" * 53):
            with socket.create_connection(("127.0.0.1", port)) as s:
                s.sendall(noise)
        wrong = zmq.Context.instance().socket(zmq.SUB)
        wrong.linger = 0
        wrong.subscribe("")
        wrong.connect(self.host.acked)
        producer = Producer(self.host.acked, "after noise")
        self.addCleanup(producer.close)
        last = producer.hello()["ack"]
        producer.batch(last + 1, GOOD)
        producer.until_ack(last + 1)
        wrong.close()

    def test_a_frame_beyond_the_limit_ends_its_connection_only(self):
        with Host(fitted.model(), results=False, ingest_extra=", batch_bytes_max: 4096, credit_bytes: 8192") as host:
            good, bad = Producer(host.acked, "good"), Producer(host.acked, "bad")
            good.hello()
            bad.hello()
            bad.send(tensor_header(GOOD, producer="bad", seq=1), b"x" * (1 << 20))
            good.batch(1, GOOD)
            good.until_ack(1)
            self.assertIsNone(bad.receive(0.5))
            self.assertTrue(host.alive())
            good.close()
            bad.close()


if __name__ == "__main__":
    unittest.main()
