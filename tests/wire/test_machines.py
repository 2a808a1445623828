"""Machines' metrics in the host: what is published and stored is what `lanner score` writes on the file of all rows,
whatever the batches are, and over a clean restart."""

import json
import random
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

import host_process
from host_process import Host, Producer, Subscriber, columns

HOSTS = ("web-1", "web-2", "db")
STREAMS = "  s:\n    entity: host\n    models:\n      - {file: MODEL}\n    decide: {false_alarm_rate: 0.02}\n"
RATE = ("--false-alarm-rate", "0.02")


def events(count, seed, odd=()):
    generator = random.Random(seed)
    for i in range(count):
        load = generator.random()
        row = {"host": generator.choice(HOSTS), "cpu": load + generator.gauss(0, 0.02),
               "memory": generator.gauss(0.6, 0.02), "disk": (1 - load if i in odd else load) + generator.gauss(0, 0.02)}
        if i % 37 == 36:
            row["memory"] = None
        yield row


EVENTS = list(events(600, 8, range(400, 460)))


def csv(file, rows):
    names = ["host", "cpu", "memory", "disk"]
    file.write_text(",".join(names) + "\n" + "".join(
        ",".join("" if row[name] is None else str(row[name]) for name in names) + "\n" for row in rows))
    return file


def fitted(folder):
    model = folder / "machines.lanner"
    subprocess.run([host_process.LANNER, "fit", "--data", csv(folder / "train.csv", events(1500, 1)), "--entity", "host",
                    "--detector", "multivariate_series", "--set", "windows=5,20", "--out", model], check=True,
                   stdout=subprocess.DEVNULL)
    return model


def by_command(folder, model):
    out, why = folder / "out.csv", folder / "why.jsonl"
    subprocess.run([host_process.LANNER, "score", "--model", model, "--data", csv(folder / "in.csv", EVENTS), *RATE,
                    "--explain", why, "--out", out], check=True, stdout=subprocess.DEVNULL)
    lines = out.read_text().splitlines()
    assert lines[0] == "score,p_value,threshold,flag"
    rows = [tuple(map(float, line.split(","))) for line in lines[1:]]
    rows = [(struct.unpack("<f", struct.pack("<f", score))[0], *rest) for score, *rest in rows]
    return rows, {row["row"]: row for row in map(json.loads, why.read_text().splitlines())}


class Machines(unittest.TestCase):
    def published(self, host, producer, places, first_seq):
        """EVENTS of consecutive `places`, a batch each; what was published, and the alerts by the event's place."""
        subscriber = Subscriber(host.publish, "scores.s", "alerts.s")
        subscriber.warm()
        producer.hello()
        for number, place in enumerate(places):
            producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": producer.name, "seq": first_seq + number},
                          "\n".join(json.dumps(EVENTS[i]) for i in place).encode())
        self.assertFalse([answer for answer in producer.until_ack(first_seq + len(places) - 1) if "nack" in answer])
        found, alerts = [], {}
        while len(found) < sum(map(len, places)) or subscriber.socket.poll(200):
            topic, header, frames = subscriber.receive()
            if topic == "alerts.s":
                _, seq, row = header["event"].split(":")
                alerts[places[int(seq) - first_seq][int(row)]] = header
                continue
            shown = columns(header, frames)
            found += zip(shown["score"], shown["p_value"], shown["threshold"], shown["flag"])
        subscriber.close()
        return found, alerts

    def test_what_is_published_is_what_the_command_writes(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        model = fitted(folder)
        expected, reasons = by_command(folder, model)
        flagged = [i for i, row in enumerate(expected) if int(row[3]) & 1]
        self.assertGreater(len(flagged), 20)
        self.assertEqual(sorted(reasons), flagged)
        with Host(model, streams=STREAMS) as host:
            producer = Producer(host.acked)
            found, alerts = self.published(host, producer, [range(i, min(i + 70, 300)) for i in range(0, 300, 70)], 1)
            before = host.status()["streams"]["s"]["models"]
            self.assertEqual([(one["detector"], one["series"]["entities"], one["drift"]) for one in before],
                             [("multivariate_series", 3, None)])
            self.assertEqual(host.stop(), 0)
            host.start()
            self.assertIn("stream s: machines: series go on from the last clean stop", host.log_text())
            self.assertEqual(host.status()["streams"]["s"]["models"], before)
            more, more_alerts = self.published(host, producer, [range(i, i + 1) for i in range(300, 400)] + [range(400, 600)], 6)
            producer.close()
            self.assertEqual(host.stop(), 0)
            self.assertEqual(found + more, expected)
            self.assertEqual(sorted({**alerts, **more_alerts}), flagged)
            for place, alert in {**alerts, **more_alerts}.items():
                self.assertEqual(alert["entity"], EVENTS[place]["host"])
                self.assertAlmostEqual(sum(part["contribution"] for part in alert["contributions"]), alert["score"], 5)
                self.assertEqual([part["feature"] for part in alert["contributions"]],
                                 [part["feature"] for part in reasons[place]["contributions"]])
            stored = host.stored()
            self.assertEqual(len(stored), 600)


if __name__ == "__main__":
    unittest.main()
