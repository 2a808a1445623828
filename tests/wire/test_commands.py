"""`lanner send` and `lanner listen` against a real host: what they print, and what arrives."""

import json
import re
import subprocess
import sys
import time
import unittest
from pathlib import Path

import fitted
import host_process
from host_process import Host, wait_for


def command(*arguments):
    return subprocess.Popen([host_process.LANNER, *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


class Send(unittest.TestCase):
    def data(self, host, count):
        file = host.folder / "rows.csv"
        file.write_text("a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in fitted.rows(count, 3)))
        return file

    def test_acked_is_the_default_and_every_row_is_stored_once(self):
        with Host(fitted.model()) as host:
            data = self.data(host, 1000)
            sender = command("send", "--to", host.acked, "--stream", "s", "--data", data, "--batch", 64,
                             "--repeat", 3, "--producer", "file")
            out, errors = sender.communicate(timeout=60)
            self.assertEqual(sender.returncode, 0, errors)
            self.assertIn("3000", out)
            stored = host.stored()
            self.assertEqual(len(stored), 3000)
            self.assertTrue(all(len(scores) == 1 for scores in stored.values()))
            self.assertEqual({producer for producer, _, _ in stored}, {"file"})

    def test_it_goes_on_after_a_kill_of_the_host(self):
        with Host(fitted.model()) as host:
            data = self.data(host, 1000)
            sender = command("send", "--to", host.acked, "--stream", "s", "--data", data, "--batch", 20,
                             "--rate", 2000, "--repeat", 4, "--producer", "file")
            wait_for(lambda: host.status()["events"]["scored"] > 500, what="the first events")
            host.kill()
            host.start()
            out, errors = sender.communicate(timeout=60)
            self.assertEqual(sender.returncode, 0, errors)
            self.assertEqual(len(host.stored()), 4000, "nothing acknowledged is lost, nothing is left out")

    def test_a_host_that_keeps_no_results_and_forgot_is_said(self):
        with Host(fitted.model(), results=False) as host:
            data = self.data(host, 1000)
            sender = command("send", "--to", host.acked, "--stream", "s", "--data", data, "--batch", 20,
                             "--rate", 2000, "--repeat", 4)
            wait_for(lambda: host.status()["events"]["scored"] > 500, what="the first events")
            host.kill()
            host.start()
            _, errors = sender.communicate(timeout=60)
            self.assertEqual(sender.returncode, 2)
            self.assertIn("keeps no results", errors)

    def test_lossy(self):
        with Host(fitted.model(), results=False) as host:
            sender = command("send", "--to", host.lossy, "--stream", "s", "--data", self.data(host, 1000),
                             "--delivery", "lossy", "--rate", 20000)
            began = time.monotonic()
            _, errors = sender.communicate(timeout=60)
            self.assertEqual(sender.returncode, 0, errors)
            self.assertLess(time.monotonic() - began, 20)
            wait_for(lambda: host.status()["events"]["scored"] == 1000, what="all events")

    def test_what_is_refused_is_counted_and_said(self):
        with Host(fitted.model()) as host:
            sender = command("send", "--to", host.acked, "--stream", "nowhere", "--data", self.data(host, 10))
            out, errors = sender.communicate(timeout=60)
            self.assertEqual(sender.returncode, 0)
            self.assertRegex(out, "refused 1 batch")
            self.assertIn("nowhere", errors)


class Listen(unittest.TestCase):
    def test_json_and_text(self):
        with Host(fitted.model(), results=False) as host:
            listeners = {name: command("listen", "--from", host.publish, "--topic", topic, "--count", 1, *more)
                         for name, topic, more in (("scores", "scores.", ["--json"]), ("alerts", "alerts.", []),
                                                   ("status", "status", ["--json"]))}
            sender = host_process.Producer(host.acked)
            sender.hello()
            for seq in range(1, 100):
                if listeners["alerts"].poll() is not None and listeners["scores"].poll() is not None:
                    break
                sender.batch(seq, [[0, 0, 0], [900, 900, 900]])
                time.sleep(0.05)
            out = {name: listener.communicate(timeout=20)[0] for name, listener in listeners.items()}
            sender.close()
            scores = json.loads(out["scores"])
            self.assertEqual(scores["topic"], "scores.s")
            self.assertEqual([len(scores["message"][name]) for name in ("score", "p_value", "flag")], [2, 2, 2])
            self.assertIn("events", json.loads(out["status"])["message"])
            self.assertRegex(out["alerts"], r"p-value .*because \w+ = 900")


class Readme(unittest.TestCase):
    def test_its_producer_is_taken_at_its_word(self):
        readme = (Path(__file__).parents[2] / "README.md").read_text()
        code = re.search(r"```python\n(.*?)```", readme, re.S)[1]
        streams = "  sensors:\n    fields: [temperature, pressure, vibration]\n    learn: {rows: 2000}\n"
        with Host(None, streams=streams) as host:
            code = code.replace("tcp://127.0.0.1:5555", host.acked)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            events = host.status()["events"]
            self.assertEqual((events["in"], events["refused"]), (3000, 0))
            self.assertGreaterEqual(events["learning"], 2000)
            self.assertEqual(len(host.stored()), events["scored"])


if __name__ == "__main__":
    unittest.main()
