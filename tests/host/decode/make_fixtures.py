#!/usr/bin/env python3
"""Payloads as other libraries write them, into fixtures.hpp beside this file.

Needs pyarrow, polars, msgpack (written with pyarrow 26.0, polars 2.1, msgpack 1.2): python3 make_fixtures.py
"""
import datetime
import decimal
import io
import pathlib

import msgpack
import polars
import pyarrow as pa

fixtures = {}


def stream(*batches, schema=None, options=None):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema or batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def at(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


# Every kind that is read, nulls, two batches, an empty one between them, and columns of every layout to step over.
schema = pa.schema([
    ("skipped_list", pa.list_(pa.int32())),
    ("amount", pa.float64()),
    ("skipped_struct", pa.struct([("a", pa.int8()), ("b", pa.list_(pa.utf8()))])),
    ("count", pa.int32()),
    ("skipped_dictionary", pa.dictionary(pa.int8(), pa.utf8())),
    ("country", pa.utf8()),
    ("skipped_decimal", pa.decimal128(9, 2)),
    ("customer", pa.large_utf8()),
    ("skipped_map", pa.map_(pa.utf8(), pa.int64())),
    ("at", pa.timestamp("ms", tz="UTC")),
    ("skipped_fixed", pa.list_(pa.float32(), 3)),
    ("open", pa.bool_()),
    ("skipped_dense", pa.dense_union([pa.field("i", pa.int32()), pa.field("s", pa.utf8())])),
    ("half", pa.float16()),
    ("skipped_sparse", pa.sparse_union([pa.field("i", pa.int32()), pa.field("s", pa.utf8())])),
    ("event", pa.uint64()),
    ("skipped_null", pa.null()),
    ("tiny", pa.int8()),
    ("skipped_binary", pa.binary()),
    ("byte", pa.uint8()),
    ("skipped_date", pa.date32()),
    ("short", pa.int16()),
    ("skipped_runs", pa.run_end_encoded(pa.int32(), pa.float64())),
    ("word", pa.uint16()),
    ("skipped_view", pa.binary_view()),
    ("unsigned", pa.uint32()),
    ("skipped_fixed_binary", pa.binary(5)),
    ("long", pa.int64()),
    ("single", pa.float32()),
])


def union(kind, n):
    types = pa.array([i % 2 for i in range(n)], pa.int8())
    if kind == "dense":
        offsets = pa.array([i // 2 for i in range(n)], pa.int32())
        return pa.UnionArray.from_dense(types, offsets, [pa.array(range(n), pa.int32()), pa.array(["s"] * n, pa.utf8())], ["i", "s"])
    return pa.UnionArray.from_sparse(types, [pa.array(range(n), pa.int32()), pa.array(["s"] * n, pa.utf8())], ["i", "s"])


def batch(n, first):
    k = range(first, first + n)
    null = lambda i, value: None if i % 5 == 4 else value
    columns = {
        "skipped_list": pa.array([[i] * (i % 3) for i in k], pa.list_(pa.int32())),
        "amount": pa.array([null(i, i * 0.5) for i in k], pa.float64()),
        "skipped_struct": pa.array([{"a": i, "b": ["x"]} for i in k], schema.field("skipped_struct").type),
        "count": pa.array([null(i + 1, -i) for i in k], pa.int32()),
        "skipped_dictionary": pa.array(["ab"[i % 2] for i in k], pa.utf8()).dictionary_encode().cast(
            schema.field("skipped_dictionary").type),
        "country": pa.array([null(i + 2, ["NL", "Ελλάδα", ""][i % 3]) for i in k], pa.utf8()),
        "skipped_decimal": pa.array([decimal.Decimal(i) for i in k], pa.decimal128(9, 2)),
        "customer": pa.array([f"c-{i}" for i in k], pa.large_utf8()),
        "skipped_map": pa.array([[("k", i)] for i in k], schema.field("skipped_map").type),
        "at": pa.array([1789999999000 + i for i in k], pa.timestamp("ms", tz="UTC")),
        "skipped_fixed": pa.array([[i, i, i] for i in k], pa.list_(pa.float32(), 3)),
        "open": pa.array([null(i, i % 2 == 0) for i in k], pa.bool_()),
        "skipped_dense": union("dense", n),
        "half": pa.array([i / 8 for i in k], pa.float16()),
        "skipped_sparse": union("sparse", n),
        "event": pa.array([2**63 + i for i in k], pa.uint64()),
        "skipped_null": pa.nulls(n),
        "tiny": pa.array([-i for i in k], pa.int8()),
        "skipped_binary": pa.array([b"\xff"] * n, pa.binary()),
        "byte": pa.array([255 - i for i in k], pa.uint8()),
        "skipped_date": pa.array([i for i in k], pa.date32()),
        "short": pa.array([-1000 - i for i in k], pa.int16()),
        "skipped_runs": pa.RunEndEncodedArray.from_arrays(pa.array([n] if n else [], pa.int32()),
                                                          pa.array([1.0] if n else [], pa.float64())),
        "word": pa.array([65535 - i for i in k], pa.uint16()),
        "skipped_view": pa.array([b"a view longer than twelve bytes"] * n, pa.binary_view()),
        "unsigned": pa.array([2**32 - 1 - i for i in k], pa.uint32()),
        "skipped_fixed_binary": pa.array([b"12345"] * n, pa.binary(5)),
        "long": pa.array([-2**62 - i for i in k], pa.int64()),
        "single": pa.array([i * 0.25 for i in k], pa.float32()),
    }
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


fixtures["arrow_everything"] = stream(batch(9, 0), batch(0, 9), batch(3, 9))

simple = pa.schema([("amount", pa.float64()), ("country", pa.utf8()), ("at", pa.timestamp("ns"))])
rows = pa.record_batch([pa.array([1.5, None, 3.5]), pa.array(["NL", None, "FR"]),
                        pa.array([1, 2, 3], pa.timestamp("ns"))], schema=simple)
fixtures["arrow_simple"] = stream(rows)
fixtures["arrow_sliced"] = stream(rows.slice(1, 2))
fixtures["arrow_schema_only"] = stream(schema=simple)
fixtures["arrow_zstd"] = stream(rows, options=pa.ipc.IpcWriteOptions(compression="zstd"))
fixtures["arrow_lz4"] = stream(rows, options=pa.ipc.IpcWriteOptions(compression="lz4"))
fixtures["arrow_dictionary"] = stream(pa.record_batch(
    [pa.array(["NL", "FR", "NL"]).dictionary_encode()], names=["country"]))
fixtures["arrow_list"] = stream(pa.record_batch([pa.array([[1.0], [2.0]])], names=["amount"]))
fixtures["arrow_decimal"] = stream(pa.record_batch([pa.array([decimal.Decimal("1.50")])], names=["amount"]))
fixtures["arrow_text_amount"] = stream(pa.record_batch([pa.array(["1.5"])], names=["amount"]))
fixtures["arrow_twice"] = stream(pa.record_batch([pa.array([1.0]), pa.array([2.0])], names=["amount", "amount"]))
fixtures["arrow_int_country"] = stream(pa.record_batch([pa.array([1, 2])], names=["country"]))
fixtures["arrow_null_columns"] = stream(pa.record_batch(
    [pa.nulls(2), pa.nulls(2), pa.nulls(2)], names=["amount", "country", "customer"]))
for unit in ("s", "ms", "us", "ns"):
    fixtures["arrow_time_" + unit] = stream(pa.record_batch(
        [pa.array([1, None, -2, 2**62], pa.timestamp(unit))], names=["at"]))
fixtures["arrow_time_text"] = stream(pa.record_batch(
    [pa.array(["2026-09-21T12:00:00.5Z", None, "soon", "2026-09-21"])], names=["at"]))
fixtures["arrow_time_uint"] = stream(pa.record_batch([pa.array([7, 2**63], pa.uint64())], names=["at"]))
fixtures["arrow_time_float"] = stream(pa.record_batch([pa.array([7.0])], names=["at"]))
bad_text = pa.Array.from_buffers(pa.utf8(), 3, [None, pa.array([0, 2, 4, 6], pa.int32()).buffers()[1],
                                                pa.py_buffer(b"ab\xff\xfecd")])
fixtures["arrow_not_utf8"] = stream(pa.record_batch([bad_text], names=["country"]))
split = "é".encode()
half_text = pa.Array.from_buffers(pa.utf8(), 2, [None, pa.array([0, 1, 2], pa.int32()).buffers()[1],
                                                 pa.py_buffer(split)])
fixtures["arrow_split_character"] = stream(pa.record_batch([half_text], names=["country"]))
offsets = lambda *values: b"".join(value.to_bytes(4, "little") for value in values)
two_texts = stream(pa.record_batch([pa.array(["a", "b"])], names=["country"]))
before, found, after = two_texts.rpartition(offsets(0, 1, 2))
assert found
fixtures["arrow_wild_offsets"] = before + offsets(0, 1, 99) + after
fixtures["arrow_backward_offsets"] = before + offsets(2, 1, 2) + after

sink = io.BytesIO()
polars.DataFrame({"amount": [1.5, None], "country": ["NL", "a text that is longer than twelve bytes"],
                  "at": [at("2026-09-21T12:00:00"), at("2026-09-21T12:00:01")]}).write_ipc_stream(sink)
fixtures["arrow_polars"] = sink.getvalue()

sink = io.BytesIO()
with pa.ipc.new_file(sink, simple) as writer:
    writer.write_batch(rows)
    writer.write_batch(rows.slice(0, 1))
fixtures["arrow_file"] = sink.getvalue()

pack = lambda value: msgpack.packb(value, use_bin_type=True, datetime=True)
fixtures["msgpack_rows"] = pack([
    {"amount": 1.5, "count": 7, "country": "NL", "customer": "c-1", "at": 1789999999000000000, "event": "e-1"},
    {"event": 2**64 - 1, "at": at("2026-09-21T12:00:00.25"), "country": None, "count": -70000, "amount": 2**40,
     "customer": -5},
    {"at": "2026-09-21T12:00:00Z", "extra": {"deep": [1, {"er": b"bytes"}], "x": 1.0}, "amount": True},
    {"at": at("1901-01-01T00:00:00.5"), "amount": float("nan"), "count": -1},
    {"at": 0},
])
fixtures["msgpack_bad_rows"] = pack([
    {"at": 1, "amount": 1.0},
    {"at": 1, "amount": "1.0"},
    7,
    {"at": 1, "country": 31},
    [1, [2, {"x": 3}]],
    {"amount": 1.0},
    {"at": 1.5},
    {"at": 1, "amount": [1, 2]},
    {"at": 1, "country": b"NL"},
    {"at": 1, "customer": 1.5},
    {"at": 2**63},
    {"at": msgpack.ExtType(5, b"what")},
    None,
    {"at": 2, "amount": 2.0},
])

lines = ["// Written by make_fixtures.py: payloads as other libraries write them, in hexadecimal.", "#pragma once", "",
         "#include <string_view>", "", "namespace lanner::host::fixtures {", ""]
for name, payload in fixtures.items():
    constant = "k" + "".join(word.capitalize() for word in name.split("_"))
    lines.append(f"inline constexpr std::string_view {constant} =")
    text = payload.hex()
    parts = [text[i:i + 100] for i in range(0, len(text), 100)]
    lines += [f'    "{part}"' for part in parts]
    lines[-1] += ";"
    lines.append("")
lines.append("}  // namespace lanner::host::fixtures")
pathlib.Path(__file__).with_name("fixtures.hpp").write_text("\n".join(lines) + "\n")
