"""One HTML page of the results, with nothing from outside: SVG whose colours are CSS variables, light and dark."""

from __future__ import annotations

import html
from collections import defaultdict

import numpy as np

import peers

COLOURS = {peers.OURS: "--ours", peers.AS_PEER: "--alike", peers.PYOD: "--pyod", peers.SKLEARN: "--sklearn"}

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --faint: #6b7480; --line: #d5dae0; --back: #ffffff; --ours: #0b62c4;
  --alike: #7aa7dd; --pyod: #c2410c; --sklearn: #7c3aed; --worse: #b3261e; --worse-back: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --faint: #98a2ad; --line: #3a424c; --back: #14181d;
  --ours: #5aa9ff; --alike: #35618f; --pyod: #ff8a4c; --sklearn: #b794ff; --worse: #ff8a80; --worse-back: #3b1f1e; } }
body { background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; }
h2 { margin-top: 2.5rem; } p { max-width: 46rem; } svg { max-width: 100%; height: auto; } .plots { display: flex;
  flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { color: var(--faint); font-size: 13px; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 1rem 0; display: block;
  overflow-x: auto; } td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right;
  white-space: nowrap; } td:first-child, th:first-child, td.text, th.text { text-align: left; }
td.worse { background: var(--worse-back); color: var(--worse); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin: 0 .3em 0 1em; }
"""


def text(value):
    return html.escape(str(value))


class Plot:
    """A small plot: x and y from given ranges to a box, with ticks."""

    def __init__(self, title, xlabel, ylabel, x=(0, 1), y=(0, 1), width=330, height=270, log=False):
        self.x, self.y, self.width, self.height, self.log = x, y, width, height, log
        self.left, self.right, self.top, self.bottom = 48, 12, 26, 40
        self.parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
                      f'aria-label="{text(title)}" font-size="11" fill="var(--ink)">',
                      f'<text x="{self.left}" y="15" font-weight="600">{text(title)}</text>',
                      f'<text x="{(self.left + width - self.right) / 2}" y="{height - 6}" text-anchor="middle" '
                      f'fill="var(--faint)">{text(xlabel)}</text>',
                      f'<text transform="translate(12 {(self.top + height - self.bottom) / 2}) rotate(-90)" '
                      f'text-anchor="middle" fill="var(--faint)">{text(ylabel)}</text>']
        for tick in self._ticks(x):
            at = self.px(tick)
            self.parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{self.top}" y2="{height - self.bottom}" '
                              f'stroke="var(--line)"/><text x="{at:.1f}" y="{height - self.bottom + 14}" '
                              f'text-anchor="middle">{tick:g}</text>')
        for tick in self._ticks(y):
            at = self.py(tick)
            self.parts.append(f'<line x1="{self.left}" x2="{width - self.right}" y1="{at:.1f}" y2="{at:.1f}" '
                              f'stroke="var(--line)"/><text x="{self.left - 5}" y="{at + 4:.1f}" '
                              f'text-anchor="end">{tick:g}</text>')

    def _ticks(self, limits):
        if self.log:
            return [tick for tick in (0.001, 0.01, 0.1, 1) if limits[0] <= tick <= limits[1]]
        return np.round(np.linspace(*limits, 6), 3)

    def _place(self, value, limits):
        if self.log:
            value, limits = np.log(max(value, limits[0])), np.log(limits)
        return (value - limits[0]) / (limits[1] - limits[0])

    def px(self, value):
        return self.left + self._place(value, self.x) * (self.width - self.left - self.right)

    def py(self, value):
        return self.height - self.bottom - self._place(value, self.y) * (self.height - self.top - self.bottom)

    def line(self, xs, ys, colour, dashed=False):
        points = " ".join(f"{self.px(a):.1f},{self.py(b):.1f}" for a, b in zip(xs, ys))
        self.parts.append(f'<polyline points="{points}" fill="none" stroke="var({colour})" stroke-width="1.8"'
                          + (' stroke-dasharray="4 4"' if dashed else "") + "/>")

    def dot(self, x, y, colour, label=""):
        self.parts.append(f'<circle cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="3.5" fill="var({colour})">'
                          f"<title>{text(label)}</title></circle>")

    def svg(self):
        return "".join(self.parts) + "</svg>"


def key():
    return "<p>" + "".join(f'<span class="key" style="background:var({colour})"></span>{text(name)}'
                           for name, colour in COLOURS.items()) + "</p>"


def table(header, rows, worse=lambda row, column: False, texts=(0,)):
    head = "".join(f'<th class="{"text" if i in texts else ""}">{text(name)}</th>' for i, name in enumerate(header))
    body = "".join("<tr>" + "".join(
        f'<td class="{"worse" if worse(row, i) else ""}{" text" if i in texts else ""}">'
        f'{text(f"{cell:.3f}" if isinstance(cell, float) else cell)}</td>' for i, cell in enumerate(row)) + "</tr>"
        for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def means_of(results, part, figure):
    """{method: {system: {dataset: mean over seeds}}} of what was measured."""
    values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in results:
        if row["part"] == part and figure in row:
            values[row["method"]][row["system"]][row["dataset"]].append(row[figure])
    return {method: {system: {dataset: float(np.mean(v)) for dataset, v in sets.items()} for system, sets in systems.items()}
            for method, systems in values.items()}


def summary(results, part):
    """Means over the sets that every system of a method was measured on, so that they compare."""
    rows, figures = [], ("auc_roc", "average_precision", "fit_s", "score_s")
    means = {figure: means_of(results, part, figure) for figure in figures}
    for method, systems in means["auc_roc"].items():
        shared = set.intersection(*(set(sets) for sets in systems.values()))
        for system, sets in systems.items():
            if not shared:
                continue
            rows.append([method, system, f"{len(shared)} of {max(map(len, systems.values()))}",
                         *(float(np.mean([means[figure][method][system][name] for name in shared])) for figure in figures)])
    ours = {row[0]: row for row in rows if row[1] == peers.OURS}
    best = {row[0]: max((other[3] for other in rows if other[0] == row[0] and other[1] in (peers.PYOD, peers.SKLEARN)),
                        default=-1.0) for row in rows}
    return table(["method", "system", "sets", "AUCROC", "average precision", "fit s", "score s"], rows,
                 lambda row, i: i == 3 and ours.get(row[0]) is row and row[3] < best[row[0]], (0, 1))


def by_set(results, part):
    """A table and a plot a method: each set, ours and its peers; where the best peer is ahead by .005 the cell says so."""
    out = []
    for method, systems in means_of(results, part, "auc_roc").items():
        if len(systems) < 2 or peers.OURS not in systems:
            continue
        names = sorted(set().union(*systems.values()))
        order = [name for name in COLOURS if name in systems]
        plot = Plot(method, "AUCROC", "", y=(0, max(len(names), 1)), width=560, height=60 + 18 * len(names))
        plot.parts = [part for part in plot.parts if 'text-anchor="end"' not in part]
        rows = []
        for i, name in enumerate(names):
            at = len(names) - i - 0.5
            plot.parts.append(f'<text x="{plot.px(0) + 4:.0f}" y="{plot.py(at) + 4:.0f}" fill="var(--faint)">{text(name)}</text>')
            here = [systems[system].get(name, "") for system in order]
            given = [value for value in here if value != ""]
            plot.line([min(given), max(given)], [at, at], "--line")
            for system, value in zip(order, here):
                if value != "":
                    plot.dot(value, at, COLOURS[system], f"{name}, {system}: {value:.3f}")
            rows.append([name, *here])
        peer_columns = [i + 1 for i, system in enumerate(order) if system in (peers.PYOD, peers.SKLEARN)]

        def behind(row, i):
            others = [row[c] for c in peer_columns if row[c] != ""]
            return i == 1 and row[1] != "" and bool(others) and row[1] < max(others) - 0.005

        lost = sum(behind(row, 1) for row in rows)
        out.append(f"<h3>{text(method)}</h3><p>The best peer is ahead of Lanner's default on {lost} of {len(rows)} "
                   f'sets.</p><div class="plots"><figure>{plot.svg()}</figure>'
                   + table(["set", *order], rows, behind) + "</div>")
    return "".join(out)


def curve_plots(curves, grid):
    out = []
    for method in dict.fromkeys(method for method, _ in curves):
        roc = Plot(f"{method}: ROC", "share of normal rows flagged", "share of anomalies flagged")
        precision = Plot(f"{method}: precision", "recall", "precision")
        for (of, system), (detected, precise) in curves.items():
            if of == method:
                roc.line(grid, detected, COLOURS[system], system == peers.AS_PEER)
                precision.line(grid, precise, COLOURS[system], system == peers.AS_PEER)
        roc.line([0, 1], [0, 1], "--line", True)
        out.append(f"<figure>{roc.svg()}</figure><figure>{precision.svg()}</figure>")
    return f'<div class="plots">{"".join(out)}</div>'


def calibration_plots(rates):
    out = []
    for method in dict.fromkeys(row["method"] for row in rates):
        plot = Plot(method, "false-alarm rate asked for", "share of clean rows flagged", (0.003, 0.2), (0.001, 1), log=True)
        plot.line([0.003, 0.2], [0.003, 0.2], "--line", True)
        for system in dict.fromkeys(row["system"] for row in rates if row["method"] == method):
            of = [row for row in rates if row["method"] == method and row["system"] == system]
            colour = COLOURS[system]
            for dataset in dict.fromkeys(row["dataset"] for row in of):
                for asked in dict.fromkeys(row["asked"] for row in of):
                    flagged = np.mean([r["flagged"] for r in of if r["asked"] == asked and r["dataset"] == dataset])
                    plot.dot(asked * (0.94 if system == peers.OURS else 1.06), flagged, colour,
                             f"{dataset}, {system}: {flagged:.4f} of {asked}")
        out.append(f"<figure>{plot.svg()}</figure>")
    rows = []
    for method, system in dict.fromkeys((row["method"], row["system"]) for row in rates):
        of = [row for row in rates if (row["method"], row["system"]) == (method, system)]
        rows.append([method, system, *(float(np.mean([r["flagged"] for r in of if r["asked"] == asked]))
                                       for asked in dict.fromkeys(r["asked"] for r in of))])
    asked = [f"{rate:g}" for rate in dict.fromkeys(row["asked"] for row in rates)]
    return (f'<div class="plots">{"".join(out)}</div>'
            + table(["method", "system", *asked], rows, texts=(0, 1)))


def page(results, curves, grid, rates, series, minutes):
    """The whole page. results, rates and series: lists of rows (quality.py); curves: {(method, system): [roc, pr]}."""
    sections = []
    if any(row["part"] == "tabular" for row in results):
        sections.append("<h2>Tables</h2><p>ADBench's protocol: training rows with their anomalies, labels unused; means over "
                        "seeds, then sets. A mean is over the sets that all systems of its method were measured on. Marked: "
                        "Lanner's default behind the best peer.</p>" + key() + summary(results, "tabular")
                        + "<h2>Curves</h2><p>Means over sets and seeds, at each share of normal rows flagged, or each "
                        "recall.</p>" + key() + curve_plots(curves, grid) + "<h2>Set by set</h2>" + key()
                        + by_set(results, "tabular"))
    if any(row["part"] == "server" for row in results):
        sections.append("<h2>Server metrics</h2><p>Learned on <code>train</code>, every row of <code>test</code> scored. "
                        "<i>windows of metrics</i> is <code>lanner evaluate --protocol series</code>, which no peer here "
                        "has; the others see bare rows.</p>" + summary(results, "server") + by_set(results, "server"))
    if rates:
        sections.append("<h2>Calibration</h2><p>Fitted on clean rows, asked for a false-alarm rate, tested on other clean "
                        "rows: on the dashed line a promise is kept, above it are more false alarms than asked for. Lanner: "
                        "p-values. PyOD: its <code>contamination</code>, a percentile of the training scores. A dot a set; "
                        "the table has means.</p>" + key() + calibration_plots(rates))
    if series:
        names = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
        rows = sorted(([row["detector"], row["source"], *(float(row[name]) for name in names), row["found"], row["false"]]
                       for row in series), key=lambda row: -row[2])
        sections.append("<h2>Numenta Anomaly Benchmark</h2><p>The series of it that are in the data folder; one threshold for "
                        "all, the best on these very series (for published ones: their own). PyOD's see windows, learn "
                        "from the probation alone, and pause after an alarm as Lanner's does. The design of Lanner's series "
                        "detector was chosen on these series (docs/series.md).</p>"
                        + table(["detector", "source", "standard", "low FP", "low FN", "windows found", "false positives"],
                                rows, texts=(0, 1)))
    notes = sorted({(row["part"], row["dataset"], row["method"], row["system"], row["note"]) for row in results
                    if row.get("note")})
    if notes:
        sections.append("<h2>Left out, or not as they should be</h2>"
                        + table(["part", "set", "method", "system", "why"], [list(note) for note in notes],
                                texts=range(5)))
    return ("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width\"><title>Lanner beside its peers</title><style>" + STYLE + "</style></head><body>"
            f"<h1>Lanner beside its peers</h1><p>One run of bench/quality, {minutes:.0f} minutes, one thread each.</p>"
            + "".join(sections) + "</body></html>\n")
