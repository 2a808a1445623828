"""The Numenta Anomaly Benchmark's rule (Lavin & Ahmad 2015), written for this comparison apart from the engine's own, and
detectors for it of PyOD: windows of a series, scored by what the probation taught."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def probation(rows):
    return min(int(0.15 * rows), 750)


def sigmoid(position):
    return -1.0 if position >= 3 else 2 / (1 + np.exp(5 * position)) - 1


class Series:
    """One file: times, values, and its windows as [first row, last row]."""

    def __init__(self, path: Path, windows):
        lines = path.read_text().split("\n")[1:]
        pairs = [line.split(",") for line in lines if line.strip()]
        self.name = path.name
        self.values = np.array([float(value) for _, value in pairs])
        times = np.array([np.datetime64(time.strip().replace(" ", "T")) for time, _ in pairs])
        self.windows = [(int(np.searchsorted(times, np.datetime64(first.replace(" ", "T")), "left")),
                         int(np.searchsorted(times, np.datetime64(last.replace(" ", "T")), "right")) - 1)
                        for first, last in windows]
        self.probation = probation(len(self.values))
        self.gain = self._gains()

    def _gains(self):
        """What flagging each row gains or costs: its sigmoid, whether in a window, which one."""
        gain = np.full(len(self.values), -1.0)
        self.window_of = np.full(len(self.values), -1)
        for number, (first, last) in enumerate(self.windows):
            width = last - first + 1
            for row in range(first, last + 1):
                self.window_of[row] = number
                gain[row] = sigmoid(-(last - row + 1) / width) / sigmoid(-1.0)
            following = self.windows[number + 1][0] if number + 1 < len(self.windows) else len(self.values)
            for row in range(last + 1, following):
                gain[row] = sigmoid((row - last) / max(width - 1, 1))
        return gain


def load(folder: Path):
    windows = json.loads((folder / "combined_windows.json").read_text())
    found = [(name, path) for name in windows
             for path in (folder / "data" / name, folder / name) if path.exists()]
    return [Series(path, windows[name]) for name, path in found]


def paused(rows, pause):
    """Without the rows that follow an earlier one within the pause."""
    kept, until = [], -1
    for row in rows:
        if row > until:
            kept.append(row)
            until = row + pause
    return np.array(kept, dtype=int)


def raw_score(series, scores, threshold, profile, pause=0.0):
    """One file's score at a threshold, found windows and false positives. pause: after an alarm, in probations."""
    flagged = np.flatnonzero(scores >= threshold)
    flagged = paused(flagged[flagged >= series.probation], int(pause * series.probation))
    inside = series.window_of[flagged] >= 0
    false = series.gain[flagged[~inside]].sum() * profile["fpWeight"]
    best = {}
    for row in flagged[inside]:
        number = series.window_of[row]
        best[number] = max(best.get(number, 0.0), series.gain[row])
    counted = [number for number, (first, last) in enumerate(series.windows) if last >= series.probation]
    missed = sum(number not in best for number in counted)
    return (sum(best.values()) * profile["tpWeight"] + false - missed * profile["fnWeight"],
            len(best), int((~inside).sum()))


def normalised(all_series, all_scores, profile, pause=0.0):
    """The benchmark's choice: one threshold for all files, best on these. (score, threshold, found, false)."""
    windows = sum(last >= series.probation for series in all_series for _, last in series.windows)
    perfect, null = windows * profile["tpWeight"], -windows * profile["fnWeight"]
    candidates = np.unique(np.concatenate([scores[series.probation:] for series, scores in zip(all_series, all_scores)]))
    if len(candidates) > 400:
        candidates = np.unique(np.quantile(candidates, 1 - np.geomspace(1e-5, 1, 400)))
    best = (-np.inf,)
    for threshold in [*candidates, np.inf]:
        parts = [raw_score(series, scores, threshold, profile, pause) for series, scores in zip(all_series, all_scores)]
        total = sum(part[0] for part in parts)
        if total > best[0]:
            best = (total, threshold, sum(part[1] for part in parts), sum(part[2] for part in parts))
    return (100 * (best[0] - null) / (perfect - null), *best[1:])


def window_scores(series, make, length=24):
    """Scores of a detector of rows: windows that end at each row, centred by the probation, learned from it alone."""
    learned = series.values[:series.probation]
    values = (series.values - learned.mean()) / (learned.std() or 1)
    padded = np.concatenate([np.full(length - 1, values[0]), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)
    fitted = make().fit(windows[:series.probation])
    scores = fitted.decision_function(windows)
    # One scale for all files, as one threshold is chosen for all.
    usual = np.sort(scores[:series.probation])
    return (scores - np.median(usual)) / (usual[int(0.99 * (len(usual) - 1))] - np.median(usual) or 1)
