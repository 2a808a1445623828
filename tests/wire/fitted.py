"""Models for the wire tests, fitted once a run by the command line itself."""

import atexit
import functools
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import host_process

_folder = Path(tempfile.mkdtemp(prefix="lanner-models-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)


def rows(count, seed=1, spread=1.0, width=3):
    generator = random.Random(seed)
    return [[generator.gauss(0, spread) for _ in range(width)] for _ in range(count)]


@functools.cache
def model(detector="histogram", seed=1):
    data = _folder / f"{seed}.csv"
    data.write_text("a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows(1000, seed)))
    file = _folder / f"{detector}-{seed}.lanner"
    subprocess.run([host_process.LANNER, "fit", "--data", data, "--detector", detector, "--out", file], check=True,
                   stdout=subprocess.DEVNULL)
    return file


def scored(model_file, events):
    """What `lanner score` says of these rows: float32 scores as text that reads back to the same bits."""
    data, out = _folder / "in.csv", _folder / "out.csv"
    data.write_text("a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in events))
    subprocess.run([host_process.LANNER, "score", "--model", model_file, "--data", data, "--out", out], check=True,
                   stdout=subprocess.DEVNULL)
    lines = out.read_text().splitlines()
    names = lines[0].split(",")
    return [dict(zip(names, map(float, line.split(",")))) for line in lines[1:]]
