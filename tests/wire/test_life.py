"""Start, reload, learn, stop; what the process says of itself; memory that stays flat."""

import csv
import json
import os
import shutil
import subprocess
import threading
import time
import unittest
from pathlib import Path

import fitted
import host_process
from host_process import Host, Producer, Subscriber, columns, tensor, tensor_header, wait_for, zmq

ROWS = fitted.rows(10, 5)
LEARN = "  s:\n    fields: [a, b, c]\n    learn: {rows: 500, detector: histogram}\n    decide: {false_alarm_rate: 0.01}\n"


class Reload(unittest.TestCase):
    def test_a_good_one_is_taken_over_with_no_event_lost(self):
        first, second = fitted.model(seed=1), fitted.model(seed=2)
        with Host(first) as host:
            subscriber = Subscriber(host.publish, "scores.s")
            subscriber.warm()
            producer = Producer(host.acked)
            producer.hello()
            seen, total = [], 400
            for seq in range(1, total + 1):
                producer.batch(seq, ROWS)
                if seq == total // 2:
                    host.write_config(host.streams.replace("MODEL", str(second)).replace("0.01", "0.02"))
                    host.hang_up()
                    wait_for(lambda: host.metric("lanner_reloads_total") == 1, what="the reload")
            producer.until_ack(total)
            while len(seen) < total:
                found = subscriber.receive()
                self.assertIsNotNone(found, f"{len(seen)} of {total}")
                seen.append(found)
            self.assertEqual([header["seq"] for _, header, _ in seen], list(range(1, total + 1)))
            hashes = [header["model_hash"] for _, header, _ in seen]
            self.assertEqual(len(set(hashes)), 2)
            change = hashes.index(hashes[-1])
            self.assertEqual(len(set(hashes[change:])), 1, "it changed once")
            self.assertEqual(columns(*seen[-1][1:])["threshold"][0], 0.02)
            self.assertEqual(host.status()["streams"]["s"]["models"][0]["model_hash"], hashes[-1])
            producer.close()
            subscriber.close()

    def test_a_bad_one_is_refused_and_the_old_one_goes_on(self):
        with Host(fitted.model()) as host:
            producer = Producer(host.acked)
            producer.hello()
            good = host.config.read_text()
            bad = [
                good.replace("models:", "modles:"),
                "streams: [",
                "",
                good.replace(str(host.model), "/nowhere/at.all"),
                good.replace("fields: [a, b, c]", "fields: [a, b]"),
                good.replace(host.publish, "tcp://127.0.0.1:1"),
                good.replace("batch_max: 256", "batch_max: 128"),
            ]
            for count, text in enumerate(bad, 1):
                host.config.write_text(text)
                host.hang_up()
                wait_for(lambda: host.metric("lanner_reloads_refused_total") == count, what=f"the refusal of {count}")
                producer.batch(count, ROWS)
                producer.until_ack(count)
                self.assertTrue(host.status()["degraded"])
            self.assertIn("modles", host.log_text())
            for fault in (r"streams\.s\.modles: found an unknown key", r"streams\.s\.models\.file: found /nowhere/at\.all"):
                self.assertRegex(host.log_text(), f"reload refused.*{host.config}:[0-9]+: {fault}")
            self.assertIn("needs a restart", host.log_text())
            host.config.write_text(good)
            host.hang_up()
            wait_for(lambda: host.metric("lanner_reloads_total") == 1, what="the reload")
            self.assertEqual(host.status()["degraded"], [])
            producer.close()

    def test_a_stream_may_be_added(self):
        with Host(fitted.model(), results=False) as host:
            producer = Producer(host.acked)
            producer.hello()
            producer.batch(1, ROWS, stream="t")
            self.assertEqual(producer.receive()["nack"], 1)
            host.write_config(host.streams + host.streams.replace("  s:", "  t:"))
            host.hang_up()
            wait_for(lambda: host.metric("lanner_reloads_total") == 1, what="the reload")
            producer.batch(2, ROWS, stream="t")
            self.assertFalse([a for a in producer.until_ack(2) if "nack" in a])
            producer.close()


class Learn(unittest.TestCase):
    def test_a_stream_learns_and_then_watches(self):
        streams = LEARN.replace("histogram}", "auto, set: {event_us_max: 2}, save: learned.lanner}")
        with Host(fitted.model(), streams=streams) as host:
            self.assertEqual(host.status()["streams"]["s"]["learning"]["state"], "collecting")
            subscriber = Subscriber(host.publish, "scores.s")
            subscriber.warm()
            producer = Producer(host.acked)
            producer.hello()
            seq = 0
            while host.status()["streams"]["s"].get("learning"):
                seq += 1
                producer.batch(seq, fitted.rows(100, seq))
                producer.until_ack(seq)
                self.assertLess(seq, 1000)
            producer.batch(seq + 1, ROWS)
            producer.until_ack(seq + 1)
            last = None
            while last is None or last[1]["seq"] != seq + 1:
                last = subscriber.receive()
            self.assertEqual(last[1]["model"], "s")
            status = host.status()
            self.assertGreaterEqual(status["events"]["learning"], 500)
            self.assertEqual(status["events"]["in"], status["events"]["learning"] + status["events"]["scored"])
            self.assertTrue((host.folder / "learned.lanner").exists())
            self.assertIn("stream s: auto: 400 rows of 3 features; mahalanobis, because ", host.log_text())
            self.assertEqual([m["detector"] for m in status["streams"]["s"]["models"]], ["mahalanobis"])
            model_hash = last[1]["model_hash"]
            self.assertEqual(host.stop(), 0)
            host.start()
            models = host.status()["streams"]["s"]["models"]
            self.assertEqual([m["model_hash"] for m in models], [model_hash], "it is not learned again")
            producer.close()
            subscriber.close()

    def test_a_model_is_fitted_again_and_the_one_before_can_be_gone_back_to(self):
        streams = LEARN.replace("histogram}", "histogram, save: m.lanner, refit: {every: 1s, rows: 500}}")
        with Host(fitted.model(), streams=streams) as host:
            producer = Producer(host.acked)
            producer.hello()
            hashes, seq = [], 0
            while len(hashes) < 2:
                seq += 1
                producer.batch(seq, fitted.rows(100, seq))
                producer.until_ack(seq)
                for model in host.status()["streams"]["s"]["models"]:
                    if model["model_hash"] not in hashes:
                        hashes.append(model["model_hash"])
                time.sleep(0.02)
                self.assertLess(seq, 1000)
            refit = host.status()["streams"]["s"]["refit"]
            self.assertGreaterEqual(refit["taken_over"], 1)
            self.assertIn(f"{hashes[1]} took over: on 1", host.log_text())
            events = host.status()["events"]
            self.assertEqual(events["in"], events["learning"] + events["scored"])
            producer.close()
            self.assertEqual(host.stop(), 0)
            saved, previous = host.folder / "m.lanner", host.folder / "m.previous.lanner"
            newest = host.log_text().rpartition(" took over")[0].rpartition(" ")[2]
            host.start()
            now = host.status()["streams"]["s"]["models"][0]["model_hash"]
            self.assertEqual(now, newest)
            os.replace(previous, saved)
            host.hang_up()
            wait_for(lambda: host.status()["streams"]["s"]["models"][0]["model_hash"] != now, what="the model before")
            self.assertEqual(host.stop(), 0)

    def test_a_models_file_is_fitted_again_until_another_is_given(self):
        host = Host("m.lanner", streams="  s:\n    models:\n"
                    "      - {file: MODEL, refit: {every: 1s, rows: 500, save: kept/m.lanner}}\n")
        given = shutil.copy(fitted.model(), host.folder / "m.lanner")

        def at_work():
            return host.status()["streams"]["s"]["models"][0]["model_hash"]

        with host:
            first = at_work()
            producer = Producer(host.acked)
            producer.hello()
            seq = 0
            while at_work() == first:
                seq += 1
                producer.batch(seq, fitted.rows(100, seq))
                producer.until_ack(seq)
                time.sleep(0.02)
                self.assertLess(seq, 1000)
            producer.close()
            self.assertEqual(host.stop(), 0)
            newest = host.log_text().rpartition(" took over")[0].rpartition(" ")[2]
            shown = subprocess.run([host_process.LANNER, "inspect", host.folder / "kept/m.lanner"], check=True,
                                   stdout=subprocess.PIPE, text=True).stdout
            self.assertIn(f"\nhash         {newest}\n", shown)
            self.assertIn(f"\nrefit_of: {first}\n", shown)
            host.start()
            self.assertEqual(at_work(), newest)
            shutil.copy(fitted.model(seed=2), given)
            self.assertEqual(host.stop(), 0)
            host.start()
            self.assertNotIn(at_work(), (first, newest))
            self.assertIn("kept/m.lanner: not a refit of ", host.log_text())
            self.assertEqual(host.stop(), 0)

    def test_what_cannot_be_learned_is_said_and_begun_again(self):
        streams = LEARN.replace("rows: 500", "rows: 2").replace("histogram}", "histogram, save: /proc/nowhere/m.lanner}")
        with Host(fitted.model(), streams=streams, results=False) as host:
            producer = Producer(host.acked)
            producer.hello()
            producer.batch(1, ROWS)
            producer.until_ack(1)
            wait_for(lambda: host.status()["streams"]["s"]["learning"]["failures"] >= 1, what="the failure")
            self.assertTrue(host.status()["degraded"])
            producer.batch(2, ROWS)
            producer.until_ack(2)
            producer.close()


class Stop(unittest.TestCase):
    def test_it_drains_what_has_come(self):
        with Host(fitted.model()) as host:
            subscriber = Subscriber(host.publish, "scores.s")
            subscriber.warm()
            push = zmq.Context.instance().socket(zmq.PUSH)
            push.linger = 5000
            push.connect(host.lossy)
            total = 500
            for _ in range(total):
                push.send_multipart([json.dumps(tensor_header(ROWS)).encode(), tensor(ROWS)])
            self.assertIsNotNone(subscriber.receive())
            time.sleep(0.2)
            begun = time.monotonic()
            self.assertEqual(host.stop(), 0)
            self.assertLess(time.monotonic() - begun, 10 * host_process.PATIENCE)
            seen = 1
            while subscriber.socket.poll(500):
                subscriber.receive()
                seen += 1
            self.assertEqual(seen, total)
            self.assertEqual(len(host.stored()), total * len(ROWS), "lossy rows are stored by a clean stop too")
            push.close()
            subscriber.close()

    def test_acks_are_sent_before_it_ends(self):
        with Host(fitted.model()) as host:
            producer = Producer(host.acked)
            producer.hello()
            for seq in range(1, 51):
                producer.batch(seq, ROWS)
            wait_for(lambda: host.status()["batches"]["in"] >= 50, what="the intake")
            self.assertEqual(host.stop(), 0)
            producer.until_ack(50)
            producer.close()

    def test_a_fit_under_way_does_not_hold_up_the_end(self):
        for fit in ("autoencoder, set: {epochs: 100000, patience: 100000}",
                    "local_outlier_factor, set: {k: 5000}"):
            streams = LEARN.replace("histogram}", fit + "}").replace("rows: 500", "rows: 60000")
            with Host(fitted.model(), streams=streams, results=False) as host:
                producer = Producer(host.acked)
                producer.hello()
                rows = fitted.rows(10000, 3)
                for seq in range(1, 8):
                    producer.batch(seq, rows)
                producer.until_ack(7)
                wait_for(lambda: "fitting" in host.log_text(), what="the fit")
                time.sleep(0.5)
                begun = time.monotonic()
                self.assertEqual(host.stop(), 0)
                self.assertLess(time.monotonic() - begun, 5 * host_process.PATIENCE)
                producer.close()

    def test_idle_costs_next_to_nothing(self):
        with Host(fitted.model()) as host:
            time.sleep(0.5)
            ticks = os.sysconf("SC_CLK_TCK")

            def used():
                fields = open(f"/proc/{host.process.pid}/stat").read().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / ticks

            before = used()
            time.sleep(3)
            self.assertLess(used() - before, 0.06)
            self.assertEqual(host.stop(), 0)

    def test_what_cannot_start_says_why(self):
        def run(*arguments):
            done = subprocess.run([host_process.LANNER, "serve", *arguments], capture_output=True, text=True, timeout=30)
            return done.returncode, done.stderr

        model = str(fitted.model())
        base = ["--model", model, "--stream", "s", "--publish", "tcp://127.0.0.1:*"]
        for bind in ("tcp://*:5999", "tcp://0.0.0.0:5999"):
            status, errors = run(*base, "--ingest", bind)
            self.assertEqual(status, 2, errors)
            self.assertIn("loopback", errors)
        status, errors = run(*base, "--ingest", "tcp://127.0.0.1:*", "--api", "0.0.0.0:5998")
        self.assertEqual(status, 2, errors)
        status, errors = run("--model", "/nowhere", "--stream", "s", "--publish", "tcp://127.0.0.1:*", "--ingest",
                             "tcp://127.0.0.1:*")
        self.assertEqual(status, 2, errors)
        self.assertIn("/nowhere", errors)
        status, errors = run(*base, "--ingest", "tcp://127.0.0.1:*", "--device", "cuda")
        self.assertEqual(status, 3, errors)


class Cores(unittest.TestCase):
    def test_threads_stay_where_they_are_told_to(self):
        usable = sorted(os.sched_getaffinity(0))
        first, last = usable[0], usable[-1]
        cores = f"cores: {{intake: {first}, score: {last}, outlet: {first}, sockets: {first}}}\n"
        with Host(fitted.model(), extra=cores) as host:
            subscriber = Subscriber(host.publish, "scores.s")
            subscriber.warm()  # ZeroMQ's threads are there
            found = {}
            for task in Path(f"/proc/{host.process.pid}/task").iterdir():
                name = (task / "comm").read_text().strip()
                found.setdefault("sockets" if name.startswith("ZMQbg") else name, set()).update(
                    os.sched_getaffinity(int(task.name)))
            for name, core in (("intake", first), ("score", last), ("outlet", first), ("sockets", first)):
                self.assertEqual(found[name], {core}, name)
            subscriber.close()
            self.assertEqual(host.stop(), 0)

    def test_a_core_that_is_not_there_is_said(self):
        host = Host(fitted.model(), extra="cores: {score: 1023}\n")
        try:
            with self.assertRaisesRegex(AssertionError, "cores.score: found 1023, allowed cores that this process may use"):
                host.start()
        finally:
            shutil.rmtree(host.folder, ignore_errors=True)


class Restart(unittest.TestCase):
    WINDOWED = ("  s:\n    fields: [a]\n    entity: who\n    time: at\n"
                "    features:\n"
                "      - a: {identity: a}\n"
                "      - often: {count: {window: 10m}}\n"
                "      - unusual: {change: {field: a, window: 10m}}\n"
                "    models: [{file: MODEL, name: m, fit: {detector: histogram}}]\n"
                "    decide: {false_alarms_per_day: DAILY}\n")
    EVENTS = [{"a": a, "who": f"c-{i * i % 7}", "at": 1789999999000000000 + 17_000_000_000 * i + i % 5}
              for i, (a,) in enumerate(fitted.rows(900, 11, width=1))]

    def host(self, **options):
        host = Host("m.lanner", streams=self.WINDOWED.replace("DAILY", "40"), **options)
        data = host.folder / "data.csv"
        data.write_text("a,who,at\n" + "".join(f"{e['a']!r},{e['who']},{e['at']}\n" for e in self.EVENTS[:500]))
        subprocess.run([host_process.LANNER, "fit", "--config", host.config, "--stream", "s", "--data", data],
                       check=True, stdout=subprocess.DEVNULL)
        return host

    def passed(self, host, first, last):
        """Batches first..last of nine events each."""
        producer = Producer(host.acked)
        producer.hello()
        for seq in range(first, last + 1):
            lines = "".join(json.dumps(event) + "\n" for event in self.EVENTS[9 * (seq - 1):9 * seq])
            producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": "p", "seq": seq}, lines.encode())
        producer.until_ack(last)
        producer.close()

    def rows(self, host):
        """Everything that was stored of each event, as text that reads back to the same bits."""
        self.assertEqual(host.stop(), 0)
        names = ("producer", "seq", "row", "score", "p_value", "flag", "threshold", "model_hash")
        found = []
        for file in (host.folder / "results").glob("*.csv"):
            with open(file, newline="") as text:
                found += [tuple(row[name] for name in names) for row in csv.DictReader(text)]
        return sorted(found, key=lambda row: (int(row[1]), int(row[2])))

    def test_a_clean_one_changes_no_bit(self):
        with self.host() as whole:
            self.passed(whole, 1, 100)
            expected = self.rows(whole)
        self.assertEqual(len(expected), 900)
        self.assertGreater(len({row[6] for row in expected}), 100, "thresholds that move")
        with self.host() as host:
            self.assertIn("windows and decisions start anew: nothing ran here before", host.log_text())
            self.passed(host, 1, 50)
            self.assertEqual(host.stop(), 0)
            self.assertTrue((host.folder / "results" / "state").exists())
            host.start()
            self.assertIn("stream s: m: windows and decisions go on from the last clean stop", host.log_text())
            self.assertFalse((host.folder / "results" / "state").exists())
            self.passed(host, 51, 100)
            self.assertEqual(self.rows(host), expected)

    def test_after_a_crash_nothing_stale_comes_back(self):
        with self.host() as host:
            self.passed(host, 1, 50)
            self.assertEqual(host.stop(), 0)
            host.start()
            self.passed(host, 51, 60)
            host.kill()
            host.start()
            self.assertEqual(host.log_text().count("start anew: the last run left none"), 1)
            self.passed(host, 61, 70)
            self.assertEqual(len(self.rows(host)), 630)

    def test_damage_and_another_rule_are_said_and_no_more(self):
        with self.host() as host:
            self.passed(host, 1, 10)
            self.assertEqual(host.stop(), 0)
            state = host.folder / "results" / "state"
            good = state.read_bytes()
            for bad in (good[:-1], good[:50] + b"?" + good[51:], b"", b"something else"):
                state.write_bytes(bad)
                host.start()
                host.kill()
                self.assertFalse(state.exists())
            self.assertEqual(host.log_text().count("start anew: the last run's state can't be read"), 4)
            state.write_bytes(good)
            host.write_config(self.WINDOWED.replace("DAILY", "50"))
            host.start()
            self.assertIn("decisions start anew: the last run's rule was false_alarms_per_day: 40", host.log_text())
            self.assertEqual(host.stop(), 0)

    def test_without_results_there_is_no_place_for_it(self):
        with self.host(results=False) as host:
            self.passed(host, 1, 10)
            self.assertEqual(host.stop(), 0)
            host.start()
            self.assertEqual(host.log_text().count("start anew: there are no results"), 2)


class SelfDescription(unittest.TestCase):
    def test_status_and_metrics_agree(self):
        with Host(fitted.model(), extra="log: {format: json}\n") as host:
            subscriber = Subscriber(host.publish, "status")
            producer = Producer(host.acked)
            producer.hello()
            for seq in range(1, 11):
                producer.batch(seq, ROWS)
            producer.until_ack(10)
            status = host.status()
            self.assertEqual(status["events"]["in"], 100)
            self.assertEqual(status["events"]["scored"], 100)
            self.assertEqual(host.metric("lanner_events_scored_total"), 100)
            self.assertEqual(host.metric("lanner_stream_events_in_total", stream="s"), 100)
            self.assertEqual(host.metric("lanner_refused_total", reason="row"), 0)
            self.assertEqual(host.metric("lanner_model_info", stream="s", role="active"), 1)
            self.assertEqual(host.metric("lanner_stage_seconds_count", stage="total"), 10)
            self.assertEqual(host.metric("lanner_results_rows_total"), 100)
            found = None
            for _ in range(5):
                found = subscriber.receive(5)
                if found and found[1]["events"]["in"] == 100:
                    break
            self.assertEqual(found[0], "status")
            for key in ("uptime_s", "device", "queues", "events", "alerts", "streams", "degraded", "version"):
                self.assertIn(key, found[1])
            self.assertRegex(found[1]["streams"]["s"]["models"][0]["model_hash"], "^sha256:")
            for line in host.log_text().splitlines():
                self.assertEqual(set(json.loads(line)), {"time", "level", "message"})
            self.assertEqual(host.get("/health/live")[0], 200)
            self.assertEqual(host.get("/nothing")[0], 404)
            producer.close()
            subscriber.close()

    def test_a_slow_subscriber_is_counted_and_harms_nobody(self):
        with Host(fitted.model(), publish_extra=", queue_messages_max: 10", results=False) as host:
            fast = Subscriber(host.publish, "scores.s")
            slow = Subscriber(host.publish, "scores.s", context=zmq.Context(), hwm=1)
            slow.socket.setsockopt(zmq.RCVBUF, 4096)
            fast.warm()
            time.sleep(0.5)
            producer = Producer(host.acked)
            producer.hello()
            rows = fitted.rows(5000, 9)
            for seq in range(1, 101):
                producer.batch(seq, rows)
                self.assertIsNotNone(fast.receive())
            producer.until_ack(100)
            self.assertGreater(host.status()["published_dropped"], 0)
            for s in (fast, slow, producer):
                s.close()


class Soak(unittest.TestCase):
    def test_memory_stays_flat_at_full_speed(self):
        seconds = float(os.environ.get("LANNER_SOAK_SECONDS", "24"))
        with Host(fitted.model()) as host:
            stop = threading.Event()
            counts = {"lossy": 0, "acked": 0, "scores": 0}

            def lossy():
                push = zmq.Context.instance().socket(zmq.PUSH)
                push.linger = 0
                push.sndhwm = 8
                push.connect(host.lossy)
                messages = []
                for n in (1, 10, 1000, 5000):
                    rows = fitted.rows(n, n)
                    messages.append([json.dumps(tensor_header(rows)).encode(), tensor(rows)])
                messages.append([b"garbage", b"x"])
                while not stop.is_set():
                    push.send_multipart(messages[counts["lossy"] % len(messages)], copy=False)
                    counts["lossy"] += 1
                push.close()

            def acked():
                producer = Producer(host.acked, "soak")
                producer.hello()
                lines = "".join(json.dumps(dict(zip("abc", row))) + "\n" for row in fitted.rows(200, 4)).encode()
                sent = done = 0
                while not stop.is_set():
                    while sent - done < 20:
                        sent += 1
                        producer.send({"v": 1, "stream": "s", "format": "jsonl", "producer": "soak", "seq": sent}, lines)
                    answer = producer.receive(5)
                    done = max(done, (answer or {}).get("ack", 0))
                counts["acked"] = done
                producer.close()

            def listen():
                subscriber = Subscriber(host.publish, "scores.", "alerts.")
                while not stop.is_set():
                    if subscriber.receive(0.2):
                        counts["scores"] += 1
                subscriber.close()

            threads = [threading.Thread(target=target) for target in (lossy, acked, listen)]
            for thread in threads:
                thread.start()
            resident = [host.rss_kb()]
            try:
                # Buffers grow until the deepest queues have been seen, which takes a busy machine longer: then a window
                # of time passes with no growth. What leaks grows in every window.
                for _ in range(8):
                    time.sleep(seconds / 4)
                    resident.append(host.rss_kb())
                    if len(resident) > 3 and resident[-1] - resident[-2] < 2 * 1024:
                        break
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            print(f"soak: {counts}, resident {resident} kB, every {seconds / 4:.0f} s", flush=True)
            self.assertGreater(counts["acked"], 10)
            self.assertGreater(counts["scores"], 10)
            if not host_process.SANITIZER:  # they keep what is freed for a while, or shadows of it
                self.assertLess(resident[-1] - resident[-2], 2 * 1024)
            else:  # what is in flight takes so much longer to score than a stop waits for
                wait_for(lambda: host.status()["queues"]["batches_in_flight"] == 0, what="the end of the queue")
            self.assertEqual(host.stop(), 0)


if __name__ == "__main__":
    unittest.main()
