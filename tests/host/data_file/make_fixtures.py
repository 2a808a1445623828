#!/usr/bin/env python3
"""Data files as NumPy, pyarrow and zipfile write them, into fixtures.hpp beside this file.

Needs numpy and pyarrow (written with numpy 2.4, pyarrow 26.0): python3 make_fixtures.py
"""
import io
import pathlib
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather

fixtures = {}


def npy(array, version=None):
    sink = io.BytesIO()
    np.lib.format.write_array(sink, array, version=version)
    return sink.getvalue()


def npz(save=np.savez_compressed, **arrays):
    sink = io.BytesIO()
    save(sink, **arrays)
    return sink.getvalue()


matrix = np.arange(12).reshape(4, 3)
for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f4", ">i2", ">f8", "b1"):
    fixtures["npy_" + kind.replace(">", "big_")] = npy(matrix.astype(kind))
fixtures["npy_negative"] = npy((-matrix).astype("i2"))
fixtures["npy_fortran"] = npy(np.asfortranarray(matrix.astype("f8")))
fixtures["npy_vector"] = npy(np.array([1.5, np.nan, -3]))
fixtures["npy_version2"] = npy(matrix.astype("f4"), (2, 0))
fixtures["npy_empty"] = npy(np.zeros((0, 3)))
structure = np.zeros(3, dtype=np.dtype([("amount", "<f4"), ("n", "<i8"), ("country", "<U3"), ("code", "S2"),
                                        ("at", "<M8[ms]"), ("y", "u1"), ("who", "<i4")], align=True))
structure["amount"] = [1.5, 2.5, np.nan]
structure["n"] = [2**62, -1, 0]
structure["country"] = ["NL", "Ελλ", ""]
structure["code"] = [b"ab", b"c", b""]
structure["at"] = ["2026-09-21T12:00:00.250", "1970-01-01T00:00:00.001", "1969-12-31T23:59:59"]
structure["y"] = [0, 1, 0]
structure["who"] = [7, -7, 0]
fixtures["npy_structure"] = npy(structure)
fixtures["npy_structure_big"] = npy(structure.astype(structure.dtype.newbyteorder(">")))
fixtures["npy_unicode_name"] = npy(np.zeros(1, dtype=[("größe", "f4")]), (3, 0))
fixtures["npy_objects"] = npy(np.array([None, {}], dtype=object))
fixtures["npy_complex"] = npy(np.zeros((2, 2), dtype="c8"))
fixtures["npy_text"] = npy(np.array(["a", "b"]))
fixtures["npy_cube"] = npy(np.zeros((2, 2, 2)))
fixtures["npy_scalar"] = npy(np.array(3.0))
fixtures["npy_no_columns"] = npy(np.zeros((3, 0)))
fixtures["npy_nested"] = npy(np.zeros(2, dtype=[("a", [("b", "f4")])]))
fixtures["npy_sub_array"] = npy(np.zeros(2, dtype=[("a", "f4", (2,))]))
fixtures["npy_days"] = npy(np.zeros(2, dtype=[("at", "<M8[D]")]))

fixtures["npz_deflated"] = npz(X=matrix.astype("f8"), y=np.array([0, 1, 0, 1]))
fixtures["npz_stored"] = npz(np.savez, X=matrix.astype("f8"), y=np.array([[0.0], [1.0], [0.0], [1.0]]))
fixtures["npz_other_names"] = npz(train=matrix.astype("f4"), test=matrix.astype("f4") * 2,
                                  test_label=np.array([0, 0, 1, 1], "u1"))
fixtures["npz_single"] = npz(data=matrix.astype("f4"))
fixtures["npz_indices"] = npz(train=np.array([3, 1, 2], "i4"), test=np.array([0], "u8"), bad=np.array([-1]),
                              floats=np.zeros(2))
fixtures["npz_bad_labels"] = npz(X=matrix.astype("f8"), y=np.array([0, 1]))
fixtures["npz_split_labels"] = npz(X=matrix.astype("f8"), y=np.array([0, 1, 0.5, 1]))

sink = io.BytesIO()
with zipfile.ZipFile(sink, "w", zipfile.ZIP_BZIP2) as archive:
    archive.writestr("X.npy", npy(matrix.astype("f8")))
fixtures["npz_bzip2"] = sink.getvalue()


class Unseekable(io.RawIOBase):
    """Makes zipfile write what it does to a pipe: sizes in descriptors after the data."""

    def __init__(self):
        self.bytes = b""

    def writable(self):
        return True

    def write(self, data):
        self.bytes += bytes(data)
        return len(data)


sink = Unseekable()
with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
    with archive.open("X.npy", "w", force_zip64=True) as member:
        member.write(npy(matrix.astype("f8")))
    archive.comment = b"a comment, PK\x05\x06 and all"
fixtures["npz_streamed"] = sink.bytes

# Zip64 where nothing needs it: as writers of huge archives leave it.
plain = npz(np.savez, X=matrix.astype("f8"))
end = plain.rfind(b"PK\x05\x06")
count = int.from_bytes(plain[end + 10:end + 12], "little")
size = int.from_bytes(plain[end + 12:end + 16], "little")
start = int.from_bytes(plain[end + 16:end + 20], "little")
central = bytearray(plain[start:start + size])
real_size, real_compressed = central[24:28], central[20:24]
central[20:28] = b"\xff" * 8
name = int.from_bytes(central[28:30], "little")
extra = b"\x01\x00\x10\x00" + bytes(real_size) + bytes(4) + bytes(real_compressed) + bytes(4)
assert central[30:32] == b"\0\0"
central[30:32] = len(extra).to_bytes(2, "little")
central[46 + name:46 + name] = extra
end64 = (b"PK\x06\x06" + (44).to_bytes(8, "little") + b"\x2d\0\x2d\0" + bytes(8) + count.to_bytes(8, "little") * 2 +
         len(central).to_bytes(8, "little") + start.to_bytes(8, "little"))
locator = b"PK\x06\x07" + bytes(4) + (start + len(central)).to_bytes(8, "little") + (1).to_bytes(4, "little")
last = b"PK\x05\x06" + bytes(4) + b"\xff\xff\xff\xff" + b"\xff" * 8 + b"\0\0"
fixtures["npz_zip64"] = plain[:start] + bytes(central) + end64 + locator + last
np.testing.assert_array_equal(np.load(io.BytesIO(fixtures["npz_zip64"]))["X"], matrix)

table = pa.table({"amount": pa.array([1.5, None, 3.0]), "n": pa.array([1, 2, 3], pa.int16()),
                  "country": ["NL", None, "FR"], "at": pa.array([1, 2, 3], pa.timestamp("s")),
                  "y": pa.array([0, 1, 0], pa.int8()), "who": pa.array([7, 8, 9], pa.int32())})
for compression in ("uncompressed", "lz4", "zstd"):
    sink = io.BytesIO()
    pa.feather.write_feather(table, sink, compression=compression)
    fixtures["feather_" + compression] = sink.getvalue()
sink = io.BytesIO()
with pa.ipc.new_stream(sink, table.schema) as writer:
    writer.write_table(table)
fixtures["arrow_stream"] = sink.getvalue()
sink = io.BytesIO()
with pa.ipc.new_file(sink, pa.schema([("a", pa.list_(pa.int8()))])) as writer:
    writer.write_batch(pa.record_batch([pa.array([[1]], pa.list_(pa.int8()))], names=["a"]))
fixtures["arrow_file_list"] = sink.getvalue()

lines = ["// Written by make_fixtures.py: data files as NumPy, pyarrow and zipfile write them, in hexadecimal.",
         "#pragma once", "", "#include <string_view>", "", "namespace lanner::host::fixtures {", ""]
for name, payload in fixtures.items():
    lines.append("inline constexpr std::string_view k" + "".join(word.capitalize() for word in name.split("_")) + " =")
    text = payload.hex()
    lines += [f'    "{text[i:i + 100]}"' for i in range(0, len(text), 100)]
    lines[-1] += ";"
    lines.append("")
lines.append("}  // namespace lanner::host::fixtures")
pathlib.Path(__file__).with_name("fixtures.hpp").write_text("\n".join(lines) + "\n")
