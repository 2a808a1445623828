"""Sending events to a running host and hearing its decisions, over ZeroMQ (docs/wire.md).

Needs pyzmq: lanner[client].
"""

from __future__ import annotations

import json
import os
import socket
import time as clock
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

from . import _rows

_silences_max = 3


@dataclass(frozen=True)
class Refusal:
    """What the host refused for good: a whole batch (row is None) or one of its rows."""

    seq: int
    row: int | None
    reason: str


class Client:
    """A producer: numbers its batches, keeps to the host's credit, and sends again what was not answered.

    to: the host's ingest endpoint; tcp://127.0.0.1:5555. stream: a name of its configuration. producer: this producer's
    name, the same after a restart, so that it goes on where it was (where none is given, python-HOSTNAME-PID).
    delivery: acked, or lossy as the endpoint is configured. timeout_s: seconds without an answer before it connects and
    sends again; TimeoutError after three of them.

    One thread at a time. A batch is past the host's durable point once flush() has come back.

        with lanner.Client("tcp://127.0.0.1:5555", "sensors", producer="till-7") as client:
            client.send(rows)
    """

    def __init__(self, to: str, stream: str, *, producer: str | None = None, delivery: str = "acked",
                 timeout_s: float = 30.0) -> None:
        if delivery not in ("acked", "lossy"):
            raise ValueError(f"delivery: found {delivery!r}, allowed acked or lossy")
        self.to, self.stream, self.delivery, self.timeout_s = to, stream, delivery, timeout_s
        self.producer = producer or f"python-{socket.gethostname()}-{os.getpid()}"
        self.acked = 0
        """The last batch that is settled: durable, or refused for good."""
        self.rows_refused = self.batches_refused = 0
        self.refusals: deque[Refusal] = deque(maxlen=100)
        """The latest of them; all are counted."""
        self._context = zmq.Context()
        self._socket = self._connections = None
        self._unsettled: deque[tuple[int, list]] = deque()
        self._next = 0  # of the unsettled, the first that isn't on its way
        self._credit = self._batch_bytes_max = self._last = self._silences = 0
        self._known = self._greeted = False
        self._failure: ConnectionError | None = None  # for good: nothing more can be settled
        try:
            self._connect()
            if delivery == "acked":
                self._heard = clock.monotonic()
                self._pump_until(lambda: self._greeted)
        except BaseException:
            self.close(flush=False)
            raise

    def send(self, rows: Any, *, entity: Sequence[str] | None = None, time: Any = None,
             id: Sequence[str] | None = None) -> int:
        """Sends one batch and gives its seq (0 where lossy); waits for credit.

        rows: [n, d] numbers in the order of the stream's fields, float32 or float64 (others become float64); or a
        DataFrame or Arrow table (needs pyarrow), or a sequence of dicts, matched by name.
        entity, id: n strings; time: n datetimes or ns since 1970 UTC; beside a matrix: dicts and tables have their own.

        Raises ValueError for a batch larger than the host takes, TimeoutError where it doesn't answer.
        """
        header, frames = _payload(rows, entity, time, id)
        header.update(v=1, stream=self.stream)
        if self.delivery == "lossy":
            try:
                self._socket.send_multipart([json.dumps(header).encode(), *frames])
            except zmq.Again:
                raise TimeoutError(f"found nobody taking messages at {self.to} for {self.timeout_s} s") from None
            return 0
        size = _size(frames)
        if size > self._batch_bytes_max:
            raise ValueError(f"rows: found a batch of {size} bytes, allowed at most {self._batch_bytes_max}")
        self._last += 1
        header.update(producer=self.producer, seq=self._last)
        self._unsettled.append((self._last, [json.dumps(header).encode(), *frames]))
        self._heard = clock.monotonic()
        self._pump_until(lambda: self._next == len(self._unsettled))
        return self._last

    def flush(self) -> int:
        """Waits until all that was sent is settled, and gives the last seq. Raises TimeoutError."""
        self._heard = clock.monotonic()
        self._pump_until(lambda: not self._unsettled)
        return self.acked

    def close(self, flush: bool = True) -> None:
        """Closes the connection, after flush() where it is wanted."""
        try:
            if flush and self.delivery == "acked" and self._socket and not self._failure:
                self.flush()
        finally:
            self._disconnect()
            self._context.term()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close(flush=kind is None)

    def _connect(self):
        self._disconnect()
        self._socket = self._context.socket(zmq.DEALER if self.delivery == "acked" else zmq.PUSH)
        self._socket.ipv6 = "[" in self.to
        if self.delivery == "lossy":
            self._socket.linger = self._socket.sndtimeo = int(1000 * self.timeout_s)
        else:
            self._socket.linger = 0
            # libzmq connects again by itself and says so to its monitor. Each connection begins with a hello: the host
            # at its other end may be another process than before.
            self._connections = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._greeted = False
        self._socket.connect(self.to)

    def _disconnect(self):
        if self._connections:
            self._socket.disable_monitor()
            self._connections.close()
            self._connections = None
        if self._socket:
            self._socket.close()
            self._socket = None

    def _pump_until(self, done):
        if self._failure:
            raise self._failure
        while not done():
            if not self._send_next():
                self._receive(100)
            if clock.monotonic() - self._heard > self.timeout_s and not done():
                self._silences += 1
                if self._silences >= _silences_max:
                    raise TimeoutError(f"found no answer from {self.to} in {_silences_max * self.timeout_s} s; "
                                       f"{len(self._unsettled)} batches are not settled")
                self._connect()
                self._heard = clock.monotonic()
        self._receive(0)

    def _send_next(self):
        if not self._greeted or self._next == len(self._unsettled):
            return False
        frames = self._unsettled[self._next][1]
        if _size(frames[1:]) > self._credit:
            return False
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        self._credit -= _size(frames[1:])
        self._next += 1
        return True

    def _receive(self, wait_ms):
        poller = zmq.Poller()
        for source in filter(None, (self._socket, self._connections)):
            poller.register(source, zmq.POLLIN)
        ready = dict(poller.poll(wait_ms))
        if self._connections in ready:
            while self._connections.poll(0):
                recv_monitor_message(self._connections)
            self._greeted = False
            hello = {"v": 1, "hello": True, "producer": self.producer}
            self._socket.send(json.dumps(hello).encode(), zmq.DONTWAIT)
        while self._socket and self._socket.poll(0):
            self._heard, self._silences = clock.monotonic(), 0
            self._take(json.loads(self._socket.recv()))

    def _take(self, reply):
        if "nack" in reply:
            self._take_nack(reply)
        elif "batch_bytes_max" in reply:
            if not self._greeted:
                self._welcome(reply)
        else:
            self._credit += reply.get("credit", 0)
            self._settle(reply.get("ack", 0))

    def _welcome(self, reply):
        last = reply["ack"]
        if not self._known:
            self._last = self.acked = last
        elif last < self.acked:
            self._fail(f"found a host at {self.to} that has forgotten what it acknowledged (batch {self.acked}, now "
                       f"{last}): it was started again and keeps no results")
        self._credit, self._batch_bytes_max = reply["credit"], reply["batch_bytes_max"]
        self._known = self._greeted = True
        self._settle(last)
        self._next = 0

    def _fail(self, reason):
        self._failure = ConnectionError(reason)
        raise self._failure

    def _settle(self, seq):
        while self._unsettled and self._unsettled[0][0] <= seq:
            self._unsettled.popleft()
            self._next = max(0, self._next - 1)
        self.acked = max(self.acked, seq)

    def _take_nack(self, reply):
        seq, reason = reply["nack"], reply.get("reason", "")
        if seq is None:
            self._fail(f"the host refuses producer {self.producer}: {reason}")
        if reply.get("retry"):
            if self._greeted:  # else to what an earlier connection left in the queue
                self._next = max(0, reply.get("expected", self.acked + 1) - self.acked - 1)
                clock.sleep(0.02)  # what it refuses for now it needs a moment for
        elif "rows" in reply:
            self.rows_refused += reply.get("rows_refused", len(reply["rows"]))
            self.refusals.extend(Refusal(seq, row["row"], row["reason"]) for row in reply["rows"])
        else:
            self.batches_refused += 1
            self.refusals.append(Refusal(seq, None, reason))


def _size(frames):
    return sum(frame.nbytes if isinstance(frame, (np.ndarray, memoryview)) else len(frame) for frame in frames)


def _payload(rows, entity, time, id):
    """Header keys and frames of a batch."""
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "to_batches") or hasattr(rows, "iloc"):
        return {"format": "arrow"}, [_arrow(rows)]
    if isinstance(rows, Sequence) and rows and isinstance(rows[0], Mapping):
        lines = "".join(json.dumps(_without_nan(row), default=_plain) + "\n" for row in rows)
        return {"format": "jsonl"}, [lines.encode()]
    matrix = np.asarray(_rows.as_matrix(rows))
    if matrix.ndim != 2:
        raise ValueError(f"rows: found {matrix.ndim} dimensions, allowed 2: [n, d]")
    matrix = np.ascontiguousarray(matrix, matrix.dtype if matrix.dtype in (np.float32, np.float64) else np.float64)
    header = {"format": "tensor", "dtype": str(matrix.dtype), "shape": list(matrix.shape)}
    # The frame outlives the call, until it is acknowledged: a copy, so that the caller may reuse its array.
    frames, sidecars = [matrix.tobytes()], []
    for name, values in (("entity", entity), ("time", time), ("id", id)):
        if values is None:
            continue
        if len(values) != len(matrix):
            raise ValueError(f"{name}: found {len(values)} values, allowed one a row: {len(matrix)}")
        sidecars.append(name)
        frames.append(_rows.times(values).tobytes() if name == "time" else
                      "".join(f"{value}\n" for value in values).encode())
    return {**header, "sidecars": sidecars} if sidecars else header, frames


def _arrow(table):
    import pyarrow as pa

    if hasattr(table, "iloc"):
        table = pa.Table.from_pandas(table, preserve_index=False)
    elif not isinstance(table, pa.Table):
        table = pa.table(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _without_nan(row):
    return {name: None if isinstance(value, (float, np.floating)) and value != value else value
            for name, value in row.items()}


def _plain(value):
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ns]").astype(np.int64))
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"found a value of type {type(value).__name__}, allowed numbers, strings and datetimes")


@dataclass(frozen=True, eq=False)
class Scores:
    """What the host decided of one batch with one model. Arrays are [n]."""

    stream: str
    producer: str
    seq: int
    model: str
    model_hash: str
    device: str
    score: np.ndarray
    """float32, higher is more anomalous; NaN where the row was refused."""
    p_value: np.ndarray
    """float64."""
    threshold: np.ndarray
    """float64: the p-value at or below which the row was flagged."""
    flag: np.ndarray
    """uint8: 1 anomalous, 2 refused, 4 guarantee withdrawn, 8 extrapolated."""

    def __len__(self) -> int:
        return len(self.score)

    @property
    def anomalous(self) -> np.ndarray:
        return (self.flag & 1).astype(bool)

    @property
    def refused(self) -> np.ndarray:
        return (self.flag & 2).astype(bool)

    @property
    def withdrawn(self) -> np.ndarray:
        return (self.flag & 4).astype(bool)

    @property
    def extrapolated(self) -> np.ndarray:
        return (self.flag & 8).astype(bool)


@dataclass(frozen=True, eq=False)
class Alert:
    """One flagged event, and why."""

    stream: str
    event: str
    """producer:seq:row, or the event's own id."""
    score: float
    p_value: float
    base: float
    contributions: list[dict[str, Any]]
    """feature, value, contribution, share; score is base plus their sum."""
    message: dict[str, Any]
    """All that was published."""


@dataclass(frozen=True, eq=False)
class Status:
    """The host's own, every second."""

    message: dict[str, Any]


class Subscriber:
    """What a host publishes: an iterator of Scores, Alert and Status.

    to: the host's publishing endpoint; tcp://127.0.0.1:5556. stream: of that one alone (scores.NAME and alerts.NAME);
    topics: prefixes instead, ["alerts."]. A subscriber that falls behind by more than `messages_max` loses messages,
    and the host counts them. One thread at a time.

        for decision in lanner.Subscriber("tcp://127.0.0.1:5556", topics=["alerts."]):
            print(decision.event, decision.contributions)
    """

    def __init__(self, to: str, stream: str | None = None, *, topics: Sequence[str] | None = None,
                 messages_max: int = 100_000) -> None:
        if topics is None:
            topics = ["scores.", "alerts."] if stream is None else [f"scores.{stream}", f"alerts.{stream}"]
        self.to, self._stream = to, stream
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.linger, self._socket.rcvhwm, self._socket.ipv6 = 0, messages_max, "[" in to
        for topic in topics:
            self._socket.subscribe(topic)
        self._socket.connect(to)

    def ready(self, timeout_s: float = 5.0) -> Subscriber:
        """Waits until the host knows of this subscriber: from then on it hears all that is published. TimeoutError."""
        self._socket.subscribe("status")
        end = clock.monotonic() + timeout_s
        try:
            while True:
                message = self.receive(max(0.0, end - clock.monotonic()))
                if isinstance(message, Status):
                    return self
                if message is None:
                    raise TimeoutError(f"found nothing published at {self.to} within {timeout_s} s")
        finally:
            self._socket.unsubscribe("status")

    def receive(self, timeout_s: float | None = None) -> Scores | Alert | Status | None:
        """The next message, or None where none comes in time (None: waits for as long as it takes)."""
        end = None if timeout_s is None else clock.monotonic() + timeout_s
        while True:
            left = None if end is None else max(0, int(1000 * (end - clock.monotonic())))
            if not self._socket.poll(left):
                return None
            message = _message(self._socket.recv_multipart())
            # A prefix also matches longer names: scores.till of scores.till-7.
            if self._stream is None or isinstance(message, Status) or message.stream == self._stream:
                return message

    def __iter__(self) -> Iterator[Scores | Alert | Status]:
        while True:
            message = self.receive()
            if message is not None:
                yield message

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()


def _message(frames):
    topic, body = frames[0].decode(), json.loads(frames[1])
    if topic.startswith("scores."):
        columns = {}
        for spec, frame in zip(body["frames"], frames[2:]):
            name, dtype = spec.split(":")
            columns[name] = np.frombuffer(frame, np.dtype(dtype).newbyteorder("<"))
        return Scores(body["stream"], body["producer"], body["seq"], body["model"], body["model_hash"], body["device"],
                      columns["score"], columns["p_value"], columns["threshold"], columns["flag"])
    if topic.startswith("alerts."):
        return Alert(body["stream"], body["event"], body["score"], body["p_value"], body["base"], body["contributions"],
                     body)
    return Status(body)
