"""Reads FOLDER/ours with the safetensors package, checks it, and writes FOLDER/theirs."""
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

folder = sys.argv[1]
expected = {
    "rows": np.array([[1.5, -2, 3], [4, 5, 6]], np.float32),
    "tail": np.array([0.1, 1e300]),
    "counts": np.array([4_000_000_000], np.uint32),
    "ends": np.array([[-1], [1 << 40]], np.int64),
    "none": np.zeros((0, 4), np.float32),
}
with safe_open(folder + "/ours", framework="np") as ours:
    assert ours.metadata() == {"name": "café"}, ours.metadata()
    assert set(ours.keys()) == set(expected), ours.keys()
    for name, values in expected.items():
        got = ours.get_tensor(name)
        assert got.dtype == values.dtype and got.shape == values.shape and (got == values).all(), name
save_file({name: expected[name] for name in ("rows", "tail", "ends")}, folder + "/theirs", {"name": "café"})
