"""The acked conversation, message by message, and what survives a kill -9."""

import json
import os
import random
import time
import unittest

import fitted
from host_process import Host, Producer, Subscriber, tensor, tensor_header, wait_for, zmq

ROWS = fitted.rows(10, 5)


class Acked(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(fitted.model(), ingest_extra=", batch_bytes_max: 4096, credit_bytes: 8192").start()
        cls.names = 0

    @classmethod
    def tearDownClass(cls):
        assert cls.host.alive()
        cls.host.__exit__(None, None, None)

    def producer(self, name=None):
        if name is None:
            Acked.names += 1
            name = f"acked-{Acked.names}"
        producer = Producer(self.host.acked, name)
        self.addCleanup(producer.close)
        return producer

    def test_hello(self):
        self.assertEqual(self.producer("fresh").hello(), {"v": 1, "ack": 0, "credit": 8192, "batch_bytes_max": 4096})

    def test_hello_twice_sets_the_credit_anew(self):
        producer = self.producer()
        producer.hello()
        producer.batch(1, ROWS)
        producer.until_ack(1)
        self.assertEqual(producer.hello(), {"v": 1, "ack": 1, "credit": 8192, "batch_bytes_max": 4096})

    def test_credit_comes_back_in_full(self):
        producer = self.producer()
        credit = producer.hello()["credit"]
        size = len(tensor(ROWS))
        spent = 0
        for seq in range(1, 101):
            while credit < size:
                credit += producer.receive().get("credit", 0)
            producer.batch(seq, ROWS)
            credit -= size
            spent += size
        for answer in producer.until_ack(100):
            credit += answer.get("credit", 0)
        self.assertEqual(credit, 8192)

    def test_gap(self):
        producer = self.producer()
        producer.hello()
        producer.batch(1, ROWS)
        producer.batch(3, ROWS)
        answers = [producer.receive(), producer.receive()]
        nack = next(a for a in answers if "nack" in a)
        self.assertEqual((nack["nack"], nack["retry"], nack["expected"]), (3, True, 2))
        producer.batch(2, ROWS)
        producer.batch(3, ROWS)
        producer.until_ack(3)

    def test_credit_overrun_is_sent_back_and_settles_nothing(self):
        producer = self.producer()
        producer.hello()
        big = fitted.rows(340, 6)  # 4080 bytes
        for seq in range(1, 30):
            producer.batch(seq, big)
        expected, acked = None, 0
        while producer.socket.poll(2000):
            answer = producer.receive()
            if answer.get("retry"):
                self.assertGreater(answer["expected"], acked)
                expected = answer["expected"]
            acked = max(acked, answer.get("ack", 0))
        self.assertIsNotNone(expected, "a burst of 29 batches fitted a credit of two")
        next_seq, credit = acked + 1, producer.hello()["credit"]
        while acked < 29:
            while next_seq <= 29 and credit >= 4080:
                producer.batch(next_seq, big)
                credit -= 4080
                next_seq += 1
            answer = producer.receive()
            self.assertNotIn("nack", answer)
            credit += answer.get("credit", 0)
            acked = max(acked, answer.get("ack", 0))
        for seq in range(1, 30):
            self.assertEqual(len(self.host.stored()[(producer.name, seq, 339)]), 1)

    def test_repeats(self):
        subscriber = Subscriber(self.host.publish, "scores.s")
        self.addCleanup(subscriber.close)
        subscriber.warm()
        producer = self.producer()
        producer.hello()
        producer.batch(1, ROWS)
        producer.batch(1, ROWS)
        producer.batch(2, ROWS)
        producer.until_ack(2)
        producer.batch(1, ROWS)
        answer = producer.receive()
        self.assertEqual(answer["ack"], 2, "a repeat of a durable batch is acked again")
        seen = []
        while subscriber.socket.poll(300):
            seen.append(subscriber.receive()[1]["seq"])
        self.assertEqual(seen, [1, 2], "each batch is scored once")

    def test_superseded(self):
        old, new = self.producer("twin"), self.producer("twin")
        old.hello()
        old.batch(1, ROWS)
        old.until_ack(1)
        self.assertEqual(new.hello()["ack"], 1)
        self.assertEqual(old.receive(), {"v": 1, "nack": None, "reason": "superseded"})
        old.batch(2, ROWS)
        self.assertEqual(old.receive()["reason"], "superseded")
        new.batch(2, ROWS)
        new.until_ack(2)

    def test_without_hello(self):
        producer = self.producer()
        producer.batch(1, ROWS)
        nack = producer.receive()
        self.assertEqual((nack["nack"], nack["retry"], nack["expected"]), (1, True, 1))
        producer.hello()
        producer.batch(1, ROWS)
        producer.until_ack(1)

    def test_too_large_is_refused_for_good_and_the_connection_lives(self):
        producer = self.producer()
        producer.hello()
        producer.batch(1, ROWS)
        producer.batch(2, fitted.rows(400, 2))  # 4800 bytes
        producer.batch(3, ROWS)
        answers = producer.until_ack(3)
        nacks = [a for a in answers if "nack" in a]
        self.assertEqual([a["nack"] for a in nacks], [2])
        self.assertNotIn("retry", nacks[0])

    def test_empty_batches_are_acked(self):
        producer = self.producer()
        producer.hello()
        producer.send({"v": 1, "stream": "s", "format": "tensor", "dtype": "float32", "shape": [0, 3],
                       "producer": producer.name, "seq": 1}, b"")
        producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": producer.name, "seq": 2}, b"")
        self.assertFalse([a for a in producer.until_ack(2) if "nack" in a])

    def test_unknown_stream(self):
        producer = self.producer()
        producer.hello()
        producer.batch(1, ROWS, stream="nowhere")
        producer.batch(2, ROWS)
        answers = producer.until_ack(2)
        self.assertEqual([a["nack"] for a in answers if "nack" in a], [1])
        self.assertIn("nowhere", answers[0]["reason"])

    def test_bad_rows_are_named(self):
        producer = self.producer()
        producer.hello()
        lines = [json.dumps({"a": 1, "b": 2, "c": 3})] * 5
        lines[3] = "{broken"
        producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": producer.name, "seq": 1},
                      "\n".join(lines).encode())
        answers = producer.until_ack(1)
        nack = next(a for a in answers if "nack" in a)
        self.assertEqual(nack["rows_refused"], 1)
        self.assertEqual(nack["rows"][0]["row"], 3)
        self.assertTrue(nack["rows"][0]["reason"])
        stored = self.host.stored()
        self.assertIn((producer.name, 1, 4), stored)

    def test_many_producers(self):
        producers = [self.producer() for _ in range(50)]
        for producer in producers:
            producer.hello()
        for seq in range(1, 6):
            for producer in producers:
                producer.batch(seq, ROWS)
        for producer in producers:
            producer.until_ack(5)

    def test_reconnecting_goes_on_where_it_was(self):
        name, acked = "returning", 0
        for connection in range(5):
            producer = self.producer(name)
            self.assertGreaterEqual(producer.hello()["ack"], acked)
            for seq in range(acked + 1, acked + 4):
                producer.batch(seq, ROWS)
            acked = max(a.get("ack", 0) for a in producer.until_ack(acked + 2))
            producer.close()


class Crash(unittest.TestCase):
    def test_kill_at_any_moment_loses_nothing_acknowledged(self):
        generator = random.Random(7)
        with Host(fitted.model(), lossy=False) as host:
            kills_wanted = 150 if os.environ.get("LANNER_CHAOS") == "1" else 6
            total, acked, kills = 60 * (kills_wanted + 1), 0, 0
            producer = Producer(host.acked, "till-7")
            producer.hello()
            next_seq, next_kill = 1, generator.randrange(1, 60)
            while acked < total:
                while next_seq <= total and next_seq - acked < 40:
                    producer.batch(next_seq, fitted.rows(5, next_seq))
                    next_seq += 1
                if producer.socket.poll(20):
                    answer = producer.receive()
                    self.assertNotIn("nack", answer)
                    acked = max(acked, answer.get("ack", 0))
                if acked >= next_kill and kills < kills_wanted:
                    kills += 1
                    time.sleep(generator.uniform(0, 0.004))  # in the midst of what is in flight
                    host.kill()
                    stored = host.stored()
                    for seq in range(1, acked + 1):
                        for row in range(5):
                            self.assertIn(("till-7", seq, row), stored, f"acknowledged {acked}")
                    producer.close()
                    host.start()
                    producer = Producer(host.acked, "till-7")
                    last = producer.hello()["ack"]
                    self.assertGreaterEqual(last, acked)
                    acked, next_seq = last, last + 1
                    next_kill = acked + generator.randrange(1, 60)
            self.assertEqual(kills, kills_wanted)
            self.assertEqual(host.stop(), 0)
            stored = host.stored()
            self.assertEqual(len(stored), total * 5)
            for scores in stored.values():
                self.assertEqual(len(set(scores)), 1, "scored again, the same bits")
            producer.close()


if __name__ == "__main__":
    unittest.main()
