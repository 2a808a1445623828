"""Runs one shipped configuration with the real host: sends events that fit it until it has learned, then some more, and
checks that scores come back and that a planted oddity is more anomalous than ordinary events.

usage: run_config.py LANNER CONFIG WORK_FOLDER     exit status 0: fine, 77: no pyzmq
"""
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import time

try:
    import zmq
except ImportError:
    sys.exit(77)

lanner, config, work = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
patience = 6 if os.environ.get("LANNER_SANITIZER") else 1  # how many times as long it may take
rng = random.Random(11)
start_ns = 1_780_000_000_000_000_000


def payment(i, odd):
    return {"payment": f"p-{i}", "customer": f"c-{i % 40}", "at": start_ns + i * 30_000_000_000,
            "amount": 1e7 if odd else rng.lognormvariate(3, 0.6), "country": "XX" if odd else rng.choice(["NL", "NL", "DE", "BE"]),
            "merchant": "unheard-of" if odd else rng.choice(["bakery", "grocer", "cinema"]),
            "channel": rng.choice(["web", "till", "app"])}


def sign_in(i, odd):
    return {"source": f"10.0.0.{i % 30}", "at": start_ns + i * 20_000_000_000, "user": "ghost" if odd else rng.choice(["ann", "bob", "eve"]),
            "program": "nc" if odd else rng.choice(["sshd", "sudo"]), "outcome": "failure" if odd else rng.choice(["success"] * 30 + ["failure"]),
            "duration_s": 9e8 if odd else rng.lognormvariate(4, 1)}


def server(i, odd):
    return {"host": f"web-{i % 10}", "at": start_ns + i * 6_000_000_000, "cpu": 1.0 if odd else rng.gauss(0.3, 0.05),
            "memory": 0.0 if odd else rng.gauss(0.6, 0.02), "load": 900.0 if odd else rng.lognormvariate(0, 0.3),
            "disk_bytes_per_s": rng.lognormvariate(10, 0.5), "network_bytes_per_s": rng.lognormvariate(12, 0.5)}


def sensor(i, odd):
    return {"temperature": 90.0 if odd else rng.gauss(20, 2), "pressure": rng.gauss(1013, 5), "vibration": rng.gauss(0.1, 0.02)}


def machine(i, odd):
    names = ["cpu_user", "cpu_system", "cpu_iowait", "runnable", "context_switches", "interrupts", "forks", "page_faults",
             "memory_available", "memory_dirty", "disk_writes", "disk_write_bytes"]
    return {"host": "this", "at": start_ns + i * 100_000_000} | {name: 1e12 if odd else rng.lognormvariate(1, 0.2) for name in names}


def service(i, odd):
    return {"service": f"s-{i % 4}", "at": start_ns + i // 4 * 60_000_000_000, "latency_ms": 1e5 if odd else rng.gauss(100, 5),
            "errors": rng.expovariate(1)}


def of_machines(i, odd):
    load = rng.random()
    return {"host": f"web-{i % 3}", "at": start_ns + i // 3 * 60_000_000_000, "cpu": 1.0 if odd else load, "memory": rng.gauss(0.6, 0.02),
            "load": 0.0 if odd else 8 * load, "disk_bytes_per_s": 1e5 * load + rng.random(),
            "network_bytes_per_s": 0.0 if odd else 1e6 * load}


makers = {"quickstart": sensor, "payments": payment, "security_log": sign_in, "server_metrics": server, "demo": machine, "latency": service, "machines": of_machines}
make = makers[config.stem]  # a configuration without a line here fails the test

text = config.read_text()
text = text.replace("tcp://127.0.0.1:5555", f"ipc://{work}/in").replace("tcp://127.0.0.1:5556", f"ipc://{work}/out")
text = re.sub(r"^api:.*$", "", text, flags=re.M)
(work / config.name).write_text(text)
acked = "lossy" not in text
stream = re.search(r"^streams:\n  (\w+):", text, re.M).group(1)

if re.search(r"\bfit:", text):
    training = [make(i, False) for i in range(2100)]
    names = list(training[0])
    (work / "training.csv").write_text(",".join(names) + "\n" +
                                       "".join(",".join(str(row[name]) for name in names) + "\n" for row in training))
    subprocess.run([lanner, "fit", "--config", str(work / config.name), "--stream", stream, "--data", str(work / "training.csv")],
                   check=True)

context = zmq.Context()
subscriber = context.socket(zmq.SUB)
subscriber.subscribe(b"scores.")
subscriber.connect(f"ipc://{work}/out")
subscriber.rcvtimeo = 60_000
producer = context.socket(zmq.DEALER if acked else zmq.PUSH)
producer.connect(f"ipc://{work}/in")
producer.rcvtimeo = 60_000

log = open(work / "host.log", "w")
host = subprocess.Popen([lanner, "serve", "--config", str(work / config.name)], stdout=log, stderr=log)
try:
    if acked:
        producer.send_json({"v": 1, "hello": True, "producer": "test"})
        assert producer.recv_json()["ack"] == 0

    def send(seq, events):
        header = {"v": 1, "stream": stream, "format": "jsonl"} | ({"producer": "test", "seq": seq} if acked else {})
        producer.send_multipart([json.dumps(header).encode(), "\n".join(map(json.dumps, events)).encode()])
        while acked and "ack" not in (reply := producer.recv_json()):
            assert "nack" not in reply, reply

    def send_hundred(with_odd=False):
        global sent
        events = [make(sent + j, with_odd and j == 50) for j in range(100)]
        sent += 100
        send(sent // 100, events)
        if not acked:
            time.sleep(0.005)

    def receive(wait_ms):
        global watched
        while subscriber.poll(wait_ms):
            frames = subscriber.recv_multipart()
            header = json.loads(frames[1])
            assert header["n"] == 100 and header["stream"] == stream, header
            watched = watched or header["model"]
            if header["model"] == watched:  # a series stream has several
                return struct.unpack("<100f", frames[2])
        return None

    sent, watched = 0, None
    deadline = time.time() + 90 * patience
    scores = None
    while not scores or not any(scores):  # series score 0 while they warm up
        assert time.time() < deadline and host.poll() is None, "no scores in time"
        send_hundred()
        scores = receive(20)
    while receive(1000 * patience):
        pass  # of what queued up meanwhile
    for is_last in (False, False, False, True):
        send_hundred(with_odd=is_last)
        last = receive(60_000)
        assert last, "no scores in time"
    before = sorted(last[:50])  # what follows may feel it: it is in the windows of its entity
    assert last[50] > before[-2], f"the planted event is not among the strangest: {last[50]}, before it {before[-1]}"
    host.terminate()
    assert host.wait(timeout=15 * patience) == 0
    print(f"{config.name}: learned, scored, and the planted event stood out")
finally:
    host.kill()
    log.close()
