"""Our detectors beside PyOD's and scikit-learn's, on the same rows in the same run.

    scripts/bench --quality                       # what it needs is installed in build/quality
    build/quality/bin/python bench/quality/quality.py --data ../shared/data --out bench/results/quality

Reads tabular/*.npz (X, y) with splits/NAME_SEED.npz (train, test), nab/, smd/ and asd/ of --data, as far as they are
there. Writes results.csv, curves.csv, calibration.csv, nab.csv and report.html into --out. One thread each, labels never
used in fitting; the tables' scaling (min-max, learned from the training rows) is the same for all. A system that is not
done in --limit seconds with one fit and score is left out there, and the report says so.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

for name in ("LANNER_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

missing = [name for name in ("numpy", "sklearn", "pyod", "lanner") if importlib.util.find_spec(name) is None]
if missing:
    print(f"skipped: found no {', '.join(missing)} (scripts/bench --quality installs and builds them)")
    sys.exit(77)

import numpy as np  # noqa: E402
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve  # noqa: E402
from sklearn.preprocessing import MinMaxScaler  # noqa: E402

import nab  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402

FIELDS = ["part", "dataset", "method", "system", "seed", "auc_roc", "average_precision", "fit_s", "score_s", "note"]
RATES = (0.1, 0.05, 0.02, 0.01, 0.005)
GRID = np.linspace(0, 1, 101)


class OutOfTime(Exception):
    pass


def limited(seconds, work):
    def stop(*_):
        raise OutOfTime

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def timed(work):
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def measure(part, dataset, method, system, seed, make, train, test, y, limit):
    """A row of results, and the scores or None."""
    row = dict(part=part, dataset=dataset, method=method, system=system, seed=seed)

    def run():
        estimator, score = make(seed)
        fitted, fit_s = timed(lambda: estimator.fit(train))
        scores, score_s = timed(lambda: np.asarray(score(fitted, test), dtype=np.float64))
        return scores, fit_s, score_s

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores, row["fit_s"], row["score_s"] = limited(limit, run)
        if not np.isfinite(scores).all():
            row["note"] = f"{np.sum(~np.isfinite(scores))} scores not finite, taken for the highest"
            scores = np.nan_to_num(scores, nan=np.inf, posinf=np.finfo(float).max, neginf=-np.finfo(float).max)
            scores = np.minimum(scores, np.finfo(float).max)
        row["auc_roc"], row["average_precision"] = roc_auc_score(y, scores), average_precision_score(y, scores)
        return row, scores
    except OutOfTime:
        row["note"] = f"not done in {limit:g} s"
    except Exception as error:  # a peer may not take what others take: that is a result
        row["note"] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}" if str(error) else type(error).__name__
    return row, None


def tabular(data, names, seeds, systems, limit, tell):
    """Result rows, and mean curves by (method, system)."""
    results, curves = [], {}
    for path in sorted((data / "tabular").glob("*.npz")):
        if names and path.stem not in names:
            continue
        arrays = np.load(path)
        X, y = arrays["X"].astype(np.float64), arrays["y"].astype(int)
        for seed in seeds:
            split = np.load(data / "splits" / f"{path.stem}_{seed}.npz")
            scaler = MinMaxScaler().fit(X[split["train"]])
            train, test = scaler.transform(X[split["train"]]), scaler.transform(X[split["test"]])
            labels = y[split["test"]]
            for method, system, make in systems:
                row, scores = measure("tabular", path.stem, method, system, seed, make, train, test, labels, limit)
                results.append(row)
                tell(row)
                if scores is None:
                    continue
                false_alarms, detected, _ = roc_curve(labels, scores)
                precision, recall, _ = precision_recall_curve(labels, scores)
                best = np.maximum.accumulate(precision)  # the interpolated precision, from high recall down
                curve = curves.setdefault((method, system), [[], []])
                curve[0].append(np.interp(GRID, false_alarms, detected))
                curve[1].append(np.interp(GRID, recall[::-1], best[::-1]))
    return results, {key: [np.mean(part, axis=0) for part in both] for key, both in curves.items()}


def servers(data, systems, binary, limit, tell):
    """The server metrics: every system on bare rows, and the engine's own detector of windows."""
    files = sorted([*(data / "smd").glob("*.npz"), *(data / "asd").glob("*.npz")])
    results = []
    for path in files:
        arrays = np.load(path)
        for method, system, make in systems:
            if system == peers.AS_PEER:
                continue
            row, _ = measure("server", path.stem, method, system, 1, make, arrays["train"].astype(np.float64),
                             arrays["test"].astype(np.float64), arrays["test_label"].astype(int), limit)
            results.append(row)
            tell(row)
    if files and binary:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "machines.csv"
            subprocess.run([binary, "evaluate", "--protocol", "series", "--data", *map(str, files), "--out", str(out)],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for line in csv.DictReader(out.open()):
                row = {key: float(line[key]) for key in ("auc_roc", "average_precision", "fit_s", "score_s")}
                row.update(part="server", dataset=line["dataset"], method="windows of metrics", system=peers.OURS, seed=1)
                results.append(row)
                tell(row)
    return results


def benchmark_of_series(data, binary, tell):
    """NAB: [{detector, source, standard, low FP, low FN, found, false}]."""
    folder = data / "nab"
    if not (folder / "combined_windows.json").exists():
        return []
    import pyod.models.iforest
    import pyod.models.knn
    import pyod.models.lof

    all_series = nab.load(folder)
    profiles = {name: values["CostMatrix"] for name, values in json.loads((folder / "profiles.json").read_text()).items()}
    rows = []

    def add(detector, source, all_scores, pause=0.0):
        scores = {name: nab.normalised(all_series, all_scores, profile, pause) for name, profile in profiles.items()}
        rows.append({"detector": detector, "source": source, **{name: value[0] for name, value in scores.items()},
                     "found": scores["standard"][2], "false": scores["standard"][3]})
        tell({"part": "nab", "dataset": "all", "method": detector, "system": source,
              "note": f"standard {scores['standard'][0]:.1f}"})

    if binary:
        with tempfile.TemporaryDirectory() as out:
            all_scores = []
            for series in all_series:
                path = next(p for p in folder.rglob(series.name))
                subprocess.run([binary, "series", "--data", str(path), "--out", f"{out}/a.csv", "--warm-up",
                                str(series.probation)], check=True, stdout=subprocess.DEVNULL)
                table = np.genfromtxt(f"{out}/a.csv", delimiter=",", names=True)
                # As the engine's own evaluation: it chooses among the scores of rows that are alarms.
                all_scores.append(np.where(table["alarm"] > 0, table["score"], 0.0))
        add("series", "lanner", all_scores)
    for name, make in (("KNN, windows of 24", pyod.models.knn.KNN), ("LOF, windows of 24", pyod.models.lof.LOF),
                       ("IForest, windows of 24", lambda: pyod.models.iforest.IForest(random_state=1))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # With the pause after an alarm that the series detector has.
            add(name, "pyod", [nab.window_scores(series, make) for series in all_series], pause=0.16)
    published = folder / "published_scores_subset.csv"
    if published.exists():
        for line in csv.DictReader(published.open()):
            rows.append({"detector": line["detector"], "source": "published",
                         **{name: float(line[name]) for name in profiles}, "found": "", "false": ""})
    return rows


def calibration(data, names, seeds, limit, tell):
    """How many of clean rows are flagged where a rate is asked for: fitted on clean rows, tested on other clean rows."""
    rows = []
    for path in sorted((data / "tabular").glob("*.npz")):
        if names and path.stem not in names:
            continue
        arrays = np.load(path)
        X, y = arrays["X"].astype(np.float64), arrays["y"].astype(int)
        clean = np.flatnonzero(y == 0)
        if len(clean) < 1000 or X.shape[1] > 200:
            continue
        for seed in seeds:
            order = np.random.RandomState(seed).permutation(clean)[:8000]
            train, test = X[order[:len(order) // 2]], X[order[len(order) // 2:]]
            scaler = MinMaxScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
            for method, system, make in peers.flaggers():
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        shares = limited(limit, lambda: [np.mean(make_flags(test, rate)) for make_flags in
                                                         [make(train, seed)] for rate in RATES])
                except (OutOfTime, ValueError) as error:
                    tell({"part": "calibration", "dataset": path.stem, "method": method, "system": system,
                          "note": str(error)})
                    continue
                for rate, share in zip(RATES, shares):
                    rows.append(dict(dataset=path.stem, method=method, system=system, seed=seed, asked=rate, flagged=share,
                                     rows=len(test)))
                tell({"part": "calibration", "dataset": path.stem, "method": method, "system": system, "seed": seed})
    return rows


def write(path, fields, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


def main():
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data", help="the folder of data sets")
    parser.add_argument("--out", type=Path, default=root / "bench" / "results" / "quality")
    parser.add_argument("--sets", default="", help="tables by comma (default: all)")
    parser.add_argument("--methods", default="", help="methods by comma (default: all)")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one fit and score (default 60)")
    parser.add_argument("--lanner", type=Path, default=root / "build" / "release" / "bin" / "lanner")
    arguments = parser.parse_args()
    names = [name for name in arguments.sets.split(",") if name]
    methods = [name for name in arguments.methods.split(",") if name]
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    systems = [system for system in peers.systems() if not methods or system[0] in methods]
    if not systems:
        parser.error(f"--methods: found {arguments.methods!r}, allowed {', '.join(dict.fromkeys(s[0] for s in peers.systems()))}")
    if not arguments.data.is_dir():
        parser.error(f"--data: found no folder {arguments.data}, allowed one with tabular/, nab/, smd/, asd/")
    binary = str(arguments.lanner) if arguments.lanner.exists() else None

    def tell(row):
        value = f"AUCROC {row['auc_roc']:.3f}" if "auc_roc" in row else row.get("note", "")
        print(f"{row['part']:12}{row['dataset']:20}{row['method']:24}{row['system']:26}{row.get('seed', '')!s:3}{value}",
              flush=True)

    # What is compiled at the first use is no part of what is timed.
    few = np.random.default_rng(0).normal(size=(200, 3))
    for method, system, make in systems:
        measure("warm-up", "made", method, system, 1, make, few, few, np.arange(200) % 2, arguments.limit)

    started = time.time()
    results, curves = tabular(arguments.data, names, seeds, systems, arguments.limit, tell)
    results += servers(arguments.data, systems, binary, arguments.limit, tell)
    rates = calibration(arguments.data, names, seeds, arguments.limit, tell)
    series = benchmark_of_series(arguments.data, binary, tell)

    arguments.out.mkdir(parents=True, exist_ok=True)
    write(arguments.out / "results.csv", FIELDS, results)
    write(arguments.out / "calibration.csv", ["dataset", "method", "system", "seed", "asked", "flagged", "rows"], rates)
    write(arguments.out / "nab.csv", ["detector", "source", "standard", "reward_low_FP_rate", "reward_low_FN_rate", "found",
                                      "false"], series)
    write(arguments.out / "curves.csv", ["method", "system", "x", "detected", "precision"],
          [dict(method=method, system=system, x=float(x), detected=float(d), precision=float(p))
           for (method, system), (roc, pr) in curves.items() for x, d, p in zip(GRID, roc, pr)])
    page = report.page(results, curves, GRID, rates, series, minutes=(time.time() - started) / 60)
    (arguments.out / "report.html").write_text(page)
    print(f"Written to {arguments.out}: report.html, results.csv, curves.csv, calibration.csv, nab.csv")


if __name__ == "__main__":
    main()
