"""Series in the host: what is published and stored is what `lanner series` writes on the file of each entity."""

import json
import math
import random
import struct
import subprocess
import unittest

import host_process
from host_process import Host, Producer, Subscriber, columns

WARM_UP = 60
STREAMS = f"  s:\n    entity: host\n    time: at\n    series: {{values: [latency, errors], warm_up: {WARM_UP}, missing: skip}}\n"
HOSTS = ("web-1", "web-2", "db")


def float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def events(count):
    generator = random.Random(8)
    for i in range(count):
        row = {"host": generator.choice(HOSTS), "at": 1_780_000_000_000_000_000 + i * 60_000_000_000,
               "latency": 100 + 30 * math.sin(i / 40) + generator.gauss(0, 3) + (400 if i % 173 == 172 else 0),
               "errors": generator.expovariate(0.1)}
        if i % 31 == 30:
            row["latency"] = None
        yield row


EVENTS = list(events(900))


def by_command(folder, value):
    """Of each event, by `lanner series` on the file of its entity."""
    found = [None] * len(EVENTS)
    for host in HOSTS:
        places = [i for i, event in enumerate(EVENTS) if event["host"] == host]
        data, out = folder / "in.csv", folder / "out.csv"
        cells = [(EVENTS[i]["at"], EVENTS[i][value]) for i in places]
        data.write_text("at,v\n" + "".join(f"{at},{'' if v is None else repr(v)}\n" for at, v in cells))
        subprocess.run([host_process.LANNER, "series", "--data", data, "--time", "at", "--value", "v", "--warm-up", str(WARM_UP),
                        "--out", out], check=True, stdout=subprocess.DEVNULL)
        lines = out.read_text().splitlines()
        names = lines[0].split(",")
        assert len(lines) == len(places) + 1
        for place, line in zip(places, lines[1:]):
            found[place] = dict(zip(names, line.split(",")))
    return found


class Series(unittest.TestCase):
    def send(self, producer, first, last, batch):
        """EVENTS[first:last] in batches."""
        producer.hello()
        for at in range(first, last, batch):
            rows = EVENTS[at:at + batch]
            seq = at // batch + 1
            producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": producer.name, "seq": seq},
                          "\n".join(map(json.dumps, rows)).encode())
            self.assertFalse([answer for answer in producer.until_ack(seq) if "nack" in answer])

    def published(self, host, producer, first, last, batch):
        """The same; what was published of them by model, and the alerts."""
        subscriber = Subscriber(host.publish, "scores.s", "alerts.s")
        subscriber.warm()
        self.send(producer, first, last, batch)
        found, alerts = {"latency": [], "errors": []}, []
        while sum(map(len, found.values())) < 2 * (last - first):
            topic, header, frames = subscriber.receive()
            if topic == "alerts.s":
                alerts.append(header)
                continue
            shown = columns(header, frames)
            found[header["model"]] += zip(shown["score"], shown["p_value"], shown["threshold"], shown["flag"])
        while subscriber.socket.poll(200):
            alerts.append(subscriber.receive()[1])
        subscriber.close()
        return found, alerts

    def test_what_is_published_is_what_the_command_writes(self):
        with Host("none", streams=STREAMS) as host:
            self.assertEqual(host.metric("lanner_series", stream="s", model="latency"), 0)
            producer = Producer(host.acked)
            found, alerts = self.published(host, producer, 0, 450, 50)
            before = host.status()["streams"]["s"]["models"]
            self.assertEqual(before[0]["series"]["entities"], 3)
            self.assertEqual(host.stop(), 0)
            host.start()
            for model in ("latency", "errors"):
                self.assertIn(f"stream s: {model}: series go on from the last clean stop", host.log_text())
            self.assertEqual(host.status()["streams"]["s"]["models"], before)
            more, more_alerts = self.published(host, producer, 450, 900, 50)
            producer.close()
            self.assertEqual(host.stop(), 0)
            stored = host.stored()
            for model in ("latency", "errors"):
                expected = by_command(host.folder, model)
                alarms = 0
                for i, (row, (score, p, threshold, flag)) in enumerate(zip(expected, found[model] + more[model])):
                    self.assertEqual(score, float32(float(row["score"])), i)
                    self.assertEqual(flag & 1, int(row["alarm"]), i)
                    self.assertEqual(flag & 1, int(p <= threshold), i)
                    self.assertEqual(flag & 8, 8 if row["expected"] else 0, i)
                    self.assertAlmostEqual(math.log10(p), -float(row["score"]), 9)
                    self.assertIn(score, [float32(float(text)) for text in stored[("p", i // 50 + 1, i % 50)]])
                    alarms += int(row["alarm"])
                self.assertGreater(alarms, 1, model)
                ours = [alert for alert in alerts + more_alerts if alert["model"] == model]
                self.assertEqual(len(ours), alarms)
                for alert in ours:
                    _, seq, row = alert["event"].split(":")
                    place = (int(seq) - 1) * 50 + int(row)
                    self.assertEqual(alert["entity"], EVENTS[place]["host"])
                    self.assertEqual(alert["expected"], float(expected[place]["expected"]))
                    sizes = [part["contribution"] for part in alert["contributions"]]
                    self.assertAlmostEqual(sum(sizes), alert["score"], 4)
                    self.assertEqual({part["value"] for part in alert["contributions"]}, {EVENTS[place][model]})
                    for part in alert["contributions"]:
                        surprise = float(expected[place][part["feature"].split(".")[1]])
                        self.assertLessEqual(part["contribution"], surprise)

    def test_a_reload_keeps_the_series_and_a_missing_value_may_be_refused(self):
        with Host("none", streams=STREAMS, results=False) as host:
            producer = Producer(host.acked)
            self.send(producer, 0, 100, 50)
            before = host.status()["streams"]["s"]["models"]
            host.write_config(STREAMS.replace(", missing: skip", ", entities_max: 7"))
            host.hang_up()
            host_process.wait_for(lambda: host.metric("lanner_reloads_total") == 1, what="the reload")
            self.assertEqual(host.status()["streams"]["s"]["models"], before)
            producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": "p", "seq": 3},
                          b'{"host": "db", "at": 1, "errors": 2}\n{"host": "db", "at": 2, "latency": 1, "errors": 2}')
            nack = [answer for answer in producer.until_ack(3) if "nack" in answer]
            self.assertEqual([n["rows"] for n in nack], [[{"row": 0, "reason": "latency: missing"}]])
            host.write_config(STREAMS.replace("s:\n", "s:\n    decide: {false_alarm_rate: 0.1}\n", 1))
            host.hang_up()
            host_process.wait_for(lambda: host.metric("lanner_reloads_refused_total") == 1, what="the refusal")
            self.assertIn("streams.s.decide: found 'decide' beside series", host.log_text())
            producer.close()


if __name__ == "__main__":
    unittest.main()
