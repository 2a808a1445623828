"""How fast our detectors score beside those of other projects: the same rows, in turn, in one process.

    scripts/bench --peers                  # what it needs is installed in build/peers
    scripts/bench --peers --quick          # without the cases of a million rows, fewer rounds
    scripts/bench --peers --only forest    # cases whose name has it; growth: the time by the number of references

Answers are compared before anything is timed. Seconds are CPU time of all threads, medians over rounds; first with one
thread each, then with as many as there are cores. Results go to --out as peers.json and as charts.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# OpenBLAS's names of its kernels, by the widest registers that they use.
BLAS_KERNELS = {"avx512f": ("SkylakeX", "Cooperlake", "SapphireRapids"), "avx2": ("Haswell", "Zen")}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data", help="folder with tabular/")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "peers")
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, action="append", help="again for each number (1, and the cores)")
    parser.add_argument("--one-process", type=int, help=argparse.SUPPRESS)  # threads are set before any peer is imported
    return parser.parse_args()


def measured(arguments, threads):
    """Prints and returns what was found, a dict for each case."""
    import threadpoolctl

    import cases
    import timing

    for pool in threadpoolctl.threadpool_info():
        print(f"   {Path(pool['filepath']).name}: {pool.get('architecture', pool['internal_api'])}, "
              f"{pool['num_threads']} threads")
    found = []
    for case in cases.all_cases(arguments.data / "tabular"):
        if arguments.only not in case.name or (arguments.quick and case.heavy):
            continue
        try:
            contest = case.make(threads)
        except AssertionError as error:
            found.append({"case": case.name, "threads": threads, "error": str(error)})
            print(f"{case.name}: {error}", flush=True)
            continue
        works, counts = {}, {}
        for name, work in contest.contenders.items():
            works[name], counts[name] = work if isinstance(work, tuple) else (work, contest.queries)
        timings = timing.interleaved(works, rounds=3 if arguments.quick else 5)
        row = {"case": case.name, "threads": threads, "agree": contest.agree, "goals": case.goals, "contenders": {
            name: {"events_per_cpu_s": counts[name] / t.cpu, "events_per_s": counts[name] / t.wall,
                   "spread": t.spread} for name, t in timings.items()}}
        found.append(row)
        ours = row["contenders"][cases.OURS]
        print(f"{case.name}: {ours['events_per_cpu_s']:,.0f} events a core-second ({contest.agree})")
        for name, peer in row["contenders"].items():
            if name != cases.OURS:
                goal = case.goals.get(name)
                ratio = ours["events_per_cpu_s"] / peer["events_per_cpu_s"]
                print(f"   {ratio:8.1f} x {name}" + ("" if goal is None else
                                                     f", at least {goal:g} meant" + ("" if ratio >= goal else ": MISSED")))
        sys.stdout.flush()
    return found


def measured_growth(quick):
    """Milliseconds of CPU time that a batch of 1000 queries takes among more and more references, one thread."""
    import cases
    import data
    import timing

    sizes = [10_000, 31_600, 100_000, 316_000, 1_000_000] + ([] if quick else [4_000_000])
    found = []
    for name, make_rows in (("mix", data.mix), ("iso", data.iso)):
        for n, contest in cases.growing(make_rows, sizes, 32):
            timings = timing.interleaved(contest.contenders, rounds=3)
            found.append({"rows": name, "references": n, "cpu_ms": {c: 1e3 * t.cpu for c, t in timings.items()}})
            print(f"1000 queries, {name} {n:,} x 32: " + ", ".join(f"{c} {ms:,.1f} ms" for c, ms in
                                                                  found[-1]["cpu_ms"].items()), flush=True)
    return found


def cpu_flags():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split() for line in lines if line.startswith("flags")), [])


def unthrottled(environment):
    """The environment in which no OpenBLAS holds a peer back: with none of the variables that choose its kernels; or, where
    one of them (FAISS brings its own, of 2021) takes this CPU for an older one, with the one that tells it better."""
    environment = {k: v for k, v in environment.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    found = subprocess.run([sys.executable, "-c", "import faiss, numpy, scipy.linalg, threadpoolctl as t; "
                            "print(*(p['architecture'] for p in t.threadpool_info() if p['internal_api'] == 'openblas'))"],
                           env=environment, check=True, capture_output=True, text=True).stdout.split()
    kernels = next((names for flag, names in BLAS_KERNELS.items() if flag in cpu_flags()), None)
    if kernels and not all(name in kernels for name in found):
        environment["OPENBLAS_CORETYPE"] = kernels[0]
        print(f"OpenBLAS chose {', '.join(sorted(set(found)))}: told to use {kernels[0]}")
    return environment


def machine():
    text = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    flags = cpu_flags()
    return {"cpu": model, "cores": os.cpu_count(),
            "widest": next((f for f in ("avx512_bf16", "avx512_vnni", "avx512f", "avx2") if f in flags), "")}


def versions():
    return {name: importlib.metadata.version(name) for name in
            ("faiss-cpu", "scikit-learn", "scikit-learn-intelex", "pyod", "onnxruntime", "openvino", "torch", "numpy")}


def main():
    arguments = parse()
    if arguments.one_process:
        part = {"cases": measured(arguments, arguments.one_process)}
        if arguments.one_process == 1 and arguments.only in "growth":
            part["growth"] = measured_growth(arguments.quick)
        (arguments.out / "part.json").write_text(json.dumps(part))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    found, growth = [], []
    unhindered = unthrottled(os.environ)
    for threads in arguments.threads or sorted({1, os.cpu_count()}):
        print(f"== {threads} thread" + "s" * (threads > 1))
        environment = dict(unhindered)
        for name in ("LANNER_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(threads)
        subprocess.run([sys.executable, *sys.argv, "--one-process", str(threads)], env=environment, check=True)
        part = json.loads((arguments.out / "part.json").read_text())
        (arguments.out / "part.json").unlink()
        found += part["cases"]
        growth += part.get("growth", [])
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions(), "cases": found,
              "growth": growth}
    (arguments.out / "peers.json").write_text(json.dumps(result, indent=1))
    import charts

    charts.write(result, arguments.out)
    print(f"Written to {arguments.out}/")


if __name__ == "__main__":
    main()
