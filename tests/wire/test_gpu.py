"""A host that scores on a GPU: what is published is what the CPU would have published, whatever becomes of the GPU (an
emulated one, where it is made to fail), and the host says so."""

import contextlib
import os
import time
import unittest

import fitted
from host_process import Host, Producer, Subscriber, has_gpu, wait_for

BATCHES, ROWS = 30, 40
DEVICE = "{{prefer: emulated, offload: always, batch_max: 64, wait_ms_max: 1, watchdog_s: 0.3{}}}"


def batch(seq):
    rows = fitted.rows(ROWS, seed=seq, spread=1.5)
    rows[seq % ROWS][1] = 60.0
    return rows


@contextlib.contextmanager
def emulated(options):
    os.environ["LANNER_EMULATED"] = options
    try:
        yield
    finally:
        del os.environ["LANNER_EMULATED"]


def published(host, after_batch=lambda seq: None):
    """Every scores and alerts message, but for where and when it was scored, and the devices that they name."""
    subscriber = Subscriber(host.publish, "scores.s", "alerts.s")
    subscriber.warm()
    producer = Producer(host.acked)
    producer.hello()
    for seq in range(1, BATCHES + 1):
        producer.batch(seq, batch(seq))
        producer.until_ack(seq)
        after_batch(seq)
    messages, devices, scores = [], set(), 0
    while scores < BATCHES or len(messages) < 2 * BATCHES:
        found = subscriber.receive(2.0)
        if found is None:
            break
        topic, header, frames = found
        if topic == "scores.s":
            scores += 1
            devices.add(header.pop("device"))
        messages.append((topic, header, frames))
    producer.close()
    subscriber.close()
    return messages, devices


def on_cpu():
    with Host(fitted.model()) as host:
        messages, devices = published(host)
        assert devices == {"cpu"}
        return messages, host.stored()


class Gpu(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.expected, cls.stored = on_cpu()
        assert len(cls.expected) >= 2 * BATCHES, "there are alerts"

    def disturbed(self, options, more="", after_batch=lambda host, seq: None):
        with emulated(options), Host(fitted.model(), device=DEVICE.format(more)) as host:
            messages, devices = published(host, lambda seq: after_batch(host, seq))
            self.assertEqual(messages, self.expected)
            found = host.stored()
            self.assertEqual(found, self.stored, "nothing lost, repeated or different")
            return devices, host.status(), host.metric("lanner_gpu_failures_total"), host.get("/health/ready")

    def test_what_is_published_is_what_the_cpu_would_have(self):
        devices, status, failures, health = self.disturbed("seed=5")
        self.assertEqual(devices, {"emulated"})
        self.assertEqual(status["degraded"], [])
        self.assertEqual(failures, 0)
        self.assertIn("emulated GPU", status["device"])
        self.assertEqual(health, (200, "ready\n"))

    def test_perturbed_results_are_seen(self):
        with emulated("perturb=1"), Host(fitted.model(), device=DEVICE.format("")) as host:
            messages, devices = published(host)
            self.assertEqual(devices, {"emulated"})
            self.assertNotEqual(messages, self.expected, "the CPU has scored in its stead")

    def test_a_gpu_that_is_lost_costs_nothing_and_is_said_within_a_second(self):
        for failure in ("lost", "hang"):
            with self.subTest(failure):
                said = []

                def after_batch(host, seq):
                    if host.metric("lanner_gpu_failures_total") and not said:
                        start = time.monotonic()
                        wait_for(lambda: host.status()["degraded"], 1.0, "the word of it")
                        said.append(time.monotonic() - start)

                devices, status, failures, health = self.disturbed(f"fail_at=150,failure={failure}",
                                                                   after_batch=after_batch)
                self.assertEqual(devices, {"emulated", "cpu"})
                self.assertGreaterEqual(failures, 1)
                self.assertRegex(status["degraded"][0], "^device: emulated GPU.*the cpu scores until a restart")
                self.assertEqual(health[0], 200)
                self.assertIn("degraded: device: emulated GPU", health[1])
                self.assertTrue(said)

    def test_a_single_failure_is_forgiven(self):
        def after_batch(host, seq):
            if host.metric("lanner_gpu_failures_total"):
                time.sleep(0.1)

        devices, status, failures, _ = self.disturbed("fail_at=150", after_batch=after_batch)
        self.assertEqual(failures, 1)
        self.assertEqual(devices, {"emulated", "cpu"})
        self.assertEqual(status["degraded"], [], "it scores again")

    def test_out_of_memory_at_the_start(self):
        devices, status, _, _ = self.disturbed("memory=8192")
        self.assertEqual(devices, {"cpu"})
        self.assertIn("out of memory", status["degraded"][0])

    def test_restart_when_lost_drains_and_ends_with_status_3(self):
        with emulated("fail_at=150,failure=lost"), \
                Host(fitted.model(), device=DEVICE.format(", when_lost: restart")) as host:
            producer = Producer(host.acked)
            producer.hello()
            for seq in range(1, BATCHES + 1):
                producer.batch(seq, batch(seq))
            self.assertEqual(host.process.wait(20), 3)
            producer.close()
            os.environ["LANNER_EMULATED"] = ""
            host.start()
            producer = Producer(host.acked)
            after = producer.hello()["ack"]
            for seq in range(after + 1, BATCHES + 1):
                producer.batch(seq, batch(seq))
            if after < BATCHES:
                producer.until_ack(BATCHES)
            self.assertEqual(host.status()["degraded"], [])
            self.assertEqual(host.stored(), self.stored)
            producer.close()

    def test_a_real_gpu_publishes_what_the_cpu_would_have(self):
        if not has_gpu():
            self.skipTest("needs a GPU")
        with Host(fitted.model(), device="{require: cuda, offload: always, batch_max: 64, wait_ms_max: 1}") as host:
            messages, devices = published(host)
            self.assertEqual(devices, {"cuda"})
            self.assertEqual(messages, self.expected)
            self.assertEqual(host.stored(), self.stored)
            self.assertEqual(host.status()["degraded"], [])

    def test_without_a_gpu_what_is_preferred_falls_back(self):
        with Host(fitted.model(), device="{prefer: cuda, otherwise: cpu, batch_max: 256, wait_ms_max: 2}") as host:
            if "cuda" in host.status()["device"]:
                self.skipTest("there is a GPU")
            messages, devices = published(host)
            self.assertEqual(messages, self.expected)
            self.assertEqual(devices, {"cpu"})
            self.assertRegex(host.status()["degraded"][0], "^device: cuda: no CUDA device: .*the cpu scores instead")


if __name__ == "__main__":
    unittest.main()
