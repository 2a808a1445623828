"""The results as pictures: how many times as fast as each peer, and what was meant."""

from __future__ import annotations

import html
import math

from cases import OURS

STYLE = """<style>
  svg { --ink: #1c2128; --faint: #6b7480; --line: #d5dae0; --back: #ffffff; --met: #0b62c4; --missed: #c2410c; }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6e9ed; --faint: #98a2ad; --line: #3a424c; --back: #14181d;
    --met: #5aa9ff; --missed: #ff8a4c; } }
  text { font: 12px system-ui, sans-serif; fill: var(--ink); } .faint { fill: var(--faint); }
</style>"""

ROW, LEFT, RIGHT, WIDTH = 18, 280, 580, 980


def head(width, height, title, notes):
    """The opening lines of a picture: its size, its colours, what it is."""
    return [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">', STYLE,
            f'<rect width="{width}" height="{height}" style="fill: var(--back)"/>',
            f'<text x="12" y="20" style="font-weight: 600">{html.escape(title)}</text>',
            *(f'<text x="12" y="{38 + 17 * i}" class="faint">{html.escape(note)}</text>' for i, note in enumerate(notes))]


def bars(rows, title, notes):
    """rows: (case, peer, ratio, goal or None); a logarithmic axis from a quarter to the largest. notes: two lines."""
    low, high = math.log10(0.25), math.log10(max([10.0] + [max(ratio, goal or 0) for _, _, ratio, goal in rows]) * 1.1)

    def at(ratio):
        return LEFT + (RIGHT - LEFT) * (min(max(math.log10(ratio), low), high) - low) / (high - low)

    top, height = 80, 80 + ROW * len(rows) + 30
    parts = head(WIDTH, height, title, notes)
    for power in range(0, math.ceil(high)):
        x = at(10 ** power)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{height - 24}" style="stroke: var(--line)"/>'
                     f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle" class="faint">{10 ** power:,}x</text>')
    last = None
    for i, (case, peer, ratio, goal) in enumerate(rows):
        y = top + ROW * i
        colour = "--missed" if ratio < (goal or 1) else "--met"
        start, end = sorted((at(1), at(ratio)))
        label = case if case != last else ""
        last = case
        parts.append(f'<text x="{LEFT - 10}" y="{y + 10}" text-anchor="end">{html.escape(label)}</text>'
                     f'<rect x="{start:.1f}" y="{y}" width="{max(1, end - start):.1f}" height="12" style="fill: var({colour})"/>')
        if goal:
            parts.append(f'<line x1="{at(goal):.1f}" x2="{at(goal):.1f}" y1="{y - 2}" y2="{y + 14}" '
                         'style="stroke: var(--ink); stroke-width: 2"/>')
        parts.append(f'<text x="{RIGHT + 12}" y="{y + 10}">{ratio:,.1f}x <tspan class="faint">{html.escape(peer)}'
                     f'{f", {goal:g}x meant" if goal else ""}</tspan></text>')
    return "\n".join(parts + ["</svg>\n"])


def lines(growth, title, note):
    """growth: (label, [(references, ms)]) curves on logarithmic axes."""
    points = [p for _, curve in growth for p in curve]
    x0, x1 = (math.log10(f(n for n, _ in points)) for f in (min, max))
    y0, y1 = (math.log10(f(ms for _, ms in points)) for f in (min, max))
    width, height, left, right, top, bottom = 720, 420, 80, 560, 56, 370

    def at(n, ms):
        return (left + (right - left) * (math.log10(n) - x0) / (x1 - x0),
                bottom - (bottom - top) * (math.log10(ms) - y0) / (y1 - y0))

    parts = head(width, height, title, [note])
    for power in range(math.ceil(x0), math.floor(x1) + 1):
        x = at(10 ** power, 10 ** y0)[0]
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" style="stroke: var(--line)"/>'
                     f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" class="faint">{10 ** power:,}</text>')
    for power in range(math.ceil(y0), math.floor(y1) + 1):
        y = at(10 ** x0, 10 ** power)[1]
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" style="stroke: var(--line)"/>'
                     f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" class="faint">{10 ** power:g} ms</text>')
    labels = []
    for label, curve in growth:
        colour = "--met" if label.startswith(OURS) else "--missed"
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(n, ms) for n, ms in curve))
        dash = "; stroke-dasharray: 5 4" if "iso" in label else ""
        x, y = at(*curve[-1])
        while any(abs(y - other) < 13 for other in labels):
            y += 1
        labels.append(y)
        parts.append(f'<polyline points="{path}" style="fill: none; stroke-width: 2; stroke: var({colour}){dash}"/>'
                     f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{html.escape(label)}</text>')
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle" class="faint">references</text>')
    return "\n".join(parts + ["</svg>\n"])


def write(result, folder):
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    machine = f"{result['machine']['cpu']} ({result['machine']['widest']}), {result['date']}"
    for threads in sorted({case["threads"] for case in result["cases"]}):
        rows = []
        for case in result["cases"]:
            if case["threads"] != threads or "contenders" not in case:
                continue
            ours = case["contenders"][OURS]["events_per_cpu_s"]
            rows += [(case["case"], name, ours / peer["events_per_cpu_s"], case["goals"].get(name))
                     for name, peer in case["contenders"].items() if name != OURS]
        if rows:
            name = "one thread each" if threads == 1 else f"{threads} threads each"
            (folder / f"peers-{threads}.svg").write_text(bars(
                rows, f"Events scored per second of CPU time beside peers, {name}", (machine, versions)))
    if result["growth"]:
        curves = {}
        for point in result["growth"]:
            for name, ms in point["cpu_ms"].items():
                curves.setdefault(f"{name}, {point['rows']}", []).append((point["references"], ms))
        (folder / "growth.svg").write_text(lines(list(curves.items()),
                                                 "CPU time of 1000 queries, k=10, 32 features, one thread", machine))
