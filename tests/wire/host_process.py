"""A real `lanner serve` to talk to, and clients that use nothing but pyzmq and the wire's description."""

import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import zmq

LANNER = None  # the binary, set by run.py
SANITIZER = os.environ.get("LANNER_SANITIZER")  # it was built with one: address, thread
PATIENCE = 6 if SANITIZER else 1  # how many times as long it may take
REPORT = re.compile(r"(ERROR|WARNING): \w+Sanitizer|: runtime error: |Sanitizer:DEADLYSIGNAL")


def has_gpu():
    devices = subprocess.run([LANNER, "devices"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return "\ncuda  0: " in devices


def free_port():
    """Below those that the system gives to connections: one of them could have it before the host does."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for(condition, seconds=20.0, what="it"):
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def tensor(rows):
    """Rows of floats as a C-order float32 buffer."""
    return b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)


def tensor_header(rows, **keys):
    return {"v": 1, "stream": "s", "format": "tensor", "dtype": "float32",
            "shape": [len(rows), len(rows[0]) if rows else 3], **keys}


class Host:
    """One process in its own folder. The folder outlives the process, so that it can be started again."""

    def __init__(self, model, streams=None, acked=True, lossy=True, results=True, extra="", ingest_extra="",
                 publish_extra="", device="{batch_max: 256, wait_ms_max: 2}"):
        self.folder = Path(tempfile.mkdtemp(prefix="lanner-wire-"))
        self.acked = f"tcp://127.0.0.1:{free_port()}"
        self.lossy = f"tcp://127.0.0.1:{free_port()}"
        self.publish = f"tcp://127.0.0.1:{free_port()}"
        self.api = f"127.0.0.1:{free_port()}"
        self.model = model
        self.options = dict(acked=acked, lossy=lossy, results=results, extra=extra, ingest_extra=ingest_extra,
                            publish_extra=publish_extra, device=device)
        self.streams = streams or "  s:\n    fields: [a, b, c]\n    models:\n      - {file: MODEL}\n" \
                                  "    decide: {false_alarm_rate: 0.01}\n"
        self.process = None
        self.config = self.folder / "lanner.yaml"
        self.write_config()

    def write_config(self, streams=None):
        o = self.options
        text = "streams:\n" + (streams or self.streams).replace("MODEL", str(self.model))
        text += "ingest:\n"
        if o["acked"]:
            text += f'  - zeromq: {{bind: "{self.acked}", delivery: acked{o["ingest_extra"]}}}\n'
        if o["lossy"]:
            text += f'  - zeromq: {{bind: "{self.lossy}", delivery: lossy{o["ingest_extra"]}}}\n'
        text += f'publish:\n  - zeromq: {{bind: "{self.publish}"{o["publish_extra"]}}}\n'
        if o["results"]:
            text += "results: {directory: results}\n"
        text += f'device: {o["device"]}\napi: {{bind: "{self.api}"}}\n{o["extra"]}'
        self.config.write_text(text)

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([LANNER, "serve", "--config", str(self.config)], stderr=self.log,
                                        stdout=subprocess.DEVNULL)
        wait_for(self.ready, what="the start")
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        log = self.log_text()
        report = REPORT.search(log)
        if report:
            print(log[report.start():][:20000])
        elif exc[0] is not None:
            print(log[-4000:])
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not report, "a sanitizer has something to say of the host"

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError("the host ended: " + (self.folder / "log").read_text()[-2000:])
        try:
            return self.get("/health/ready")[0] == 200
        except OSError:
            return False

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.api}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self):
        return json.loads(self.get("/status")[1])

    def metric(self, name, **labels):
        for line in self.get("/metrics")[1].splitlines():
            found = re.match(r"([a-z_]+)(?:\{(.*)\})? (\S+)$", line)
            if found and found[1] == name and \
                    all(f'{key}="{value}"' in (found[2] or "") for key, value in labels.items()):
                return float(found[3])
        return None

    def alive(self):
        return self.process.poll() is None

    def stop(self, seconds=10.0):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds * PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def log_text(self):
        return (self.folder / "log").read_text()

    def stored(self):
        """{(producer, seq, row): [score, ...]} of the results files."""
        rows = {}
        for file in sorted((self.folder / "results").glob("*.csv")):
            text = file.read_text()
            lines = text[:text.rfind("\n") + 1].splitlines()  # a torn last line is cut at the next start
            if not lines:
                continue
            names = lines[0].split(",")
            for line in lines[1:]:
                row = dict(zip(names, line.split(",")))
                rows.setdefault((row["producer"], int(row["seq"]), int(row["row"])), []).append(row["score"])
        return rows

    def rss_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1])


class Producer:
    """A DEALER that says what it is told to say."""

    def __init__(self, endpoint, name="p", context=None):
        self.name = name
        self.socket = (context or zmq.Context.instance()).socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close()

    def send(self, header, *frames):
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        self.socket.send_multipart([head, *frames])

    def receive(self, seconds=10.0):
        if not self.socket.poll(int(seconds * 1000)):
            return None
        frames = self.socket.recv_multipart()
        assert len(frames) == 1, frames
        return json.loads(frames[0])

    def hello(self):
        self.send({"v": 1, "hello": True, "producer": self.name})
        answer = self.receive()
        assert answer is not None and "credit" in answer, answer
        return answer

    def batch(self, seq, rows, **keys):
        self.send(tensor_header(rows, producer=self.name, seq=seq, **keys), tensor(rows))

    def until_ack(self, seq, seconds=20.0):
        """Everything that was answered until seq is acknowledged."""
        answers = []
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end:
            answer = self.receive(max(0.0, end - time.monotonic()))
            if answer is None:
                break
            answers.append(answer)
            if answer.get("ack", -1) >= seq:
                return answers
        raise AssertionError(f"{seq} was not acknowledged: {answers[-5:]}")


class Subscriber:
    def __init__(self, endpoint, *topics, context=None, hwm=100000):
        self.socket = (context or zmq.Context.instance()).socket(zmq.SUB)
        self.socket.linger = 0
        self.socket.rcvhwm = hwm
        for topic in topics:
            self.socket.subscribe(topic)
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close()

    def receive(self, seconds=10.0):
        """(topic, header, frames), or None."""
        if not self.socket.poll(int(seconds * 1000)):
            return None
        frames = self.socket.recv_multipart()
        return frames[0].decode(), json.loads(frames[1]), frames[2:]

    def warm(self):
        """Waits until the host knows this subscriber: its status arrives every second."""
        self.socket.subscribe("status")
        found = self.receive(5.0)
        while found and found[0] != "status":
            found = self.receive(5.0)
        assert found, "no status was published"
        self.socket.unsubscribe("status")
        return found[1]


def columns(header, frames):
    """The frames of a scores message, by name."""
    kinds = {"float32": "f", "float64": "d", "uint8": "B"}
    out = {}
    assert len(header["frames"]) == len(frames), header
    for spec, frame in zip(header["frames"], frames):
        name, kind = spec.split(":")
        out[name] = struct.unpack(f"<{header['n']}{kinds[kind]}", frame)
    return out
