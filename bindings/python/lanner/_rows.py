"""What users have rows in, as arrays or columns that the engine can view."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np


def as_matrix(rows: Any) -> Any:
    """Tensors as NumPy arrays; anything else as it is, for scikit-learn's validation.

    A tensor in the CPU's memory is viewed through DLPack. One of a GPU is copied to the host: rows go to a device in
    pieces, from memory of the engine's own.
    """
    if type(rows).__name__ == "RecordBatch":  # Arrow's, whose names scikit-learn doesn't see
        import pyarrow

        return pyarrow.table(rows)
    if isinstance(rows, np.ndarray) or not hasattr(rows, "__dlpack__"):
        return rows
    if getattr(rows, "requires_grad", False):
        rows = rows.detach()
    cpu = 1
    if rows.__dlpack_device__()[0] == cpu:
        return np.from_dlpack(rows)
    for method in ("cpu", "get"):  # PyTorch's, CuPy's
        if hasattr(rows, method):
            return np.asarray(getattr(rows, method)())
    return np.from_dlpack(rows, device="cpu", copy=True)


def numbers(values: Any) -> np.ndarray:
    """A column as float64 [n]; None and NA are NaN."""
    if hasattr(values, "to_numpy") and hasattr(values, "dtype"):
        try:
            values = values.to_numpy(dtype=np.float64, na_value=np.nan)  # pandas
        except TypeError:
            values = values.to_numpy()
    return np.ascontiguousarray(np.asarray(values, dtype=np.float64))


def texts(values: Any) -> list[str | None]:
    """A column as strings; None, NA and NaN are None."""
    if hasattr(values, "to_pylist"):
        values = values.to_pylist()
    return [value if isinstance(value, str) else None if value is None or value != value else str(value)
            for value in map(_plain, values)]


def _plain(value: Any) -> Any:
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def times(values: Any) -> np.ndarray:
    """A column of datetimes or of ns since 1970 UTC, as int64 [n]."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        if getattr(getattr(values, "dt", None), "tz", None) is not None:
            array = np.asarray(values.dt.tz_convert("UTC").dt.tz_localize(None))
        array = array.astype("datetime64[ns]")
        if np.isnat(array).any():
            raise ValueError(f"times: found none for row {np.isnat(array).argmax()}, allowed one for every row")
    return np.ascontiguousarray(array.astype(np.int64))


def time(value: Any) -> int:
    """A datetime, a string of ISO 8601 or ns since 1970 UTC, as int."""
    if isinstance(value, datetime) and value.tzinfo is not None:  # pandas' Timestamp too, which keeps its ns
        value = value.astimezone(timezone.utc).replace(tzinfo=None)
    return int(times([value])[0])
