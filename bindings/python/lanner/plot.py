"""Plots of scores, explanations and calibration. Needs matplotlib: lanner[plot].

Every function draws on `ax` (a new figure's where None is given) and returns it. Scores are anomaly scores: higher is
more anomalous. Labels are 1 for anomalies and 0 for the rest.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

_normal, _anomalous, _guide = "#4c72b0", "#c44e52", "#999999"


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def score_distribution(scores: Any, labels: Any = None, *, threshold: float | None = None, bins: int = 50,
                       ax: Axes | None = None) -> Axes:
    """Histogram of scores [n], apart by labels [n] where given; the threshold (-offset_ of an estimator) as a line."""
    ax, scores = _axes(ax), np.asarray(scores)
    edges = np.histogram_bin_edges(scores[np.isfinite(scores)], bins)
    groups = [(scores, "rows", _normal)]
    if labels is not None:
        anomalous = np.asarray(labels).astype(bool)
        groups = [(scores[~anomalous], "normal", _normal), (scores[anomalous], "anomalous", _anomalous)]
    for values, label, colour in groups:
        ax.hist(values, edges, label=f"{label} ({len(values)})", color=colour, alpha=0.7)
    if threshold is not None:
        ax.axvline(threshold, color=_guide, linestyle="--", label=f"threshold {threshold:.4g}")
    ax.set(xlabel="anomaly score", ylabel="rows", yscale="log")
    ax.legend()
    return ax


def roc(labels: Any, scores: Any, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """Receiver operating characteristic, with its area. Several may share an `ax`."""
    ax = _axes(ax)
    false_alarms, detected, _ = roc_curve(labels, scores)
    area = f"area {roc_auc_score(labels, scores):.3f}"
    ax.plot(false_alarms, detected, label=f"{label}: {area}" if label else area)
    if len(ax.lines) == 1:
        ax.plot([0, 1], [0, 1], color=_guide, linestyle="--", linewidth=1)
    ax.set(xlabel="share of normal rows flagged", ylabel="share of anomalies flagged", xlim=(-0.01, 1.01),
           ylim=(-0.01, 1.01))
    ax.legend(loc="lower right")
    return ax


def precision_recall(labels: Any, scores: Any, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """Precision over recall, with the average precision."""
    ax = _axes(ax)
    precision, recall, _ = precision_recall_curve(labels, scores)
    average = f"average precision {average_precision_score(labels, scores):.3f}"
    ax.step(recall, precision, where="post", label=f"{label}: {average}" if label else average)
    if len(ax.lines) == 1:
        ax.axhline(np.mean(np.asarray(labels)), color=_guide, linestyle="--", linewidth=1)
    ax.set(xlabel="recall: share of anomalies flagged", ylabel="precision: share of flags that are right",
           xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.legend()
    return ax


def contributions(estimator: Any, row: Any, *, features_max: int = 15, ax: Axes | None = None) -> Axes:
    """What one row's score is made of: bars from its largest contribution down; the rest is added up."""
    ax = _axes(ax)
    if hasattr(row, "to_frame"):  # a row of a DataFrame
        row = row.to_frame().T.infer_objects()
    elif not hasattr(row, "columns"):
        row = np.atleast_2d(row)
    parts, names = estimator.explain(row)[0], estimator.explained_features_
    order = np.argsort(-np.abs(parts), kind="stable")
    shown = [(names[i], parts[i]) for i in order[:features_max]]
    if len(order) > features_max:
        shown.append((f"{len(order) - features_max} others", parts[order[features_max:]].sum()))
    values = [value for _, value in shown][::-1]
    ax.barh([name for name, _ in shown][::-1], values, color=[_anomalous if v > 0 else _normal for v in values])
    ax.axvline(0, color=_guide, linewidth=1)
    score = float(estimator.anomaly_score(row)[0])
    ax.set(xlabel="contribution", title=f"score {score:.4g} = {estimator.base_:.4g} + the contributions")
    return ax


def calibration(p_values: Any, *, kind: str = "quantiles", ax: Axes | None = None) -> Axes:
    """p-values of clean rows that were neither fitted nor calibrated on: they should be uniform.

    quantiles: on logarithmic axes, where small p-values show; below the line is more false alarms than promised.
    histogram: their density.
    """
    ax, p_values = _axes(ax), np.sort(np.asarray(p_values, dtype=np.float64))
    n = len(p_values)
    if kind == "histogram":
        ax.hist(p_values, np.linspace(0, 1, 21), density=True, color=_normal, alpha=0.7)
        ax.axhline(1, color=_guide, linestyle="--")
        ax.set(xlabel="p-value", ylabel="density")
    elif kind == "quantiles":
        expected = np.arange(1, n + 1) / (n + 1)
        ax.loglog(expected, p_values, ".", color=_normal)
        ax.loglog([1 / (n + 1), 1], [1 / (n + 1), 1], color=_guide, linestyle="--")
        ax.set(xlabel="expected of uniform p-values", ylabel="p-value")
    else:
        raise ValueError(f"kind: found {kind!r}, allowed quantiles or histogram")
    return ax


def timeline(scores: Any, *, times: Any = None, anomalous: Any = None, threshold: float | None = None,
             ax: Axes | None = None) -> Axes:
    """Scores [n] over times [n] (or their places), with those flagged (bool [n], or predict's -1) marked."""
    ax, scores = _axes(ax), np.asarray(scores)
    times = np.arange(len(scores)) if times is None else np.asarray(times)
    ax.plot(times, scores, color=_normal, linewidth=1)
    if anomalous is not None:
        flagged = np.asarray(anomalous)
        flagged = flagged if flagged.dtype == bool else flagged < 0
        ax.plot(times[flagged], scores[flagged], "o", color=_anomalous, label=f"flagged ({flagged.sum()})")
    if threshold is not None:
        ax.axhline(threshold, color=_guide, linestyle="--", label=f"threshold {threshold:.4g}")
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    ax.set(xlabel="time", ylabel="anomaly score")
    return ax
