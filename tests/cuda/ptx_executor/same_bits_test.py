"""Runs the PTX that nvcc made of every kernel and compares its bits with the CPU's, with no GPU.

python3 tests/cuda/ptx_executor/same_bits_test.py LANNER LIBRARY_FOLDER PROGRAM[=FILTER]...

For each detector of the catalogue and several shapes of rows, `lanner score --device cuda` under the interpreter of
LIBRARY_FOLDER must write the file that `--device cpu` writes, by the detector's own kernels; with results of one of its
instructions perturbed it must write another. The PROGRAMs, tests of kernels, run the kernels that scoring doesn't
reach. No kernel of LANNER may be left that nothing launched.
"""

import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import ptx  # noqa: E402

NEAREST = ["find_homes_kernel", "order_queries_kernel", "place_queries_kernel", "screen_kernel", "finish_kernel"]
KERNEL_SUM = ["kernel_sum_bounds", "kernel_sum_blocks", "kernel_sum_totals"]
# Of each detector its kernels, and an instruction that its scores depend on, perturbed once in so many times. (Where
# float64 is rounded to float32 in the end, a low bit of a float64 does not show.)
DETECTORS = {
    "nearest_neighbours": (NEAREST, "cvt.rn.f32.f64/10"),
    "local_outlier_factor": ([*NEAREST, "reachability_factors"], "cvt.rn.f32.f64/10"),
    "cluster_distance": (NEAREST, "cvt.rn.f32.f64/10"),
    "kernel_density": (KERNEL_SUM, "cvt.rn.f32.f64/10"),
    "histogram": (["histogram_look_up"], "add.rn.f32/100"),
    "ecod": (["histogram_look_up"], "add.rn.f32/100"),
    "copod": (["histogram_look_up"], "add.rn.f32/100"),
    "loda": (["fused|dense", "histogram_look_up"], "add.rn.f32/100"),
    "pca": (["fused"], "fma.rn.f32/1000"),
    "mahalanobis": (["fused"], "fma.rn.f32/1000"),
    "isolation_forest": (["walk"], "cvt.rn.f32.f64/10"),
    "extended_isolation_forest": (["descend"], "cvt.rn.f32.f64/10"),  # the score's: sums seldom meet a cut so closely
    "half_space_trees": (["walk"], "cvt.rn.f32.f64/10"),
    "random_cut_forest": (["separation_of"], "div.rn.f32/10"),
    "autoencoder": (["fused|dense"], "fma.rn.f32/1000"),
    "multivariate_series": (NEAREST, "cvt.rn.f32.f64/10"),
    "ensemble": ([*NEAREST, "reachability_factors", "walk", "fused|dense", "blend_rows"], "fma.rn.f32/1000"),
}
SHAPES = [(40, 1), (400, 3), (300, 8), (400, 32), (260, 100)]
PERTURBED_SHAPE = (400, 32)
# Its calibration needs rows behind the windows: the one case of those below.
SERIES = "multivariate_series"
# Settings that other paths through the kernels are for.
VARIANTS = [
    ("nearest_neighbours", (2000, 8), ["k=5", "distance=mean"]),
    ("nearest_neighbours", (700, 2), ["k=100"]),
    ("local_outlier_factor", (500, 4), ["k=50"]),
    ("kernel_density", (2000, 5), ["bandwidth=0.2"]),
    ("histogram", (400, 40), ["rule=equal_count", "bins=auto"]),
    ("pca", (300, 8), ["measure=reconstruction"]),
    ("isolation_forest", (500, 20), ["trees=37", "samples=300"]),
    ("extended_isolation_forest", (200, 130), ["trees=5"]),
    ("extended_isolation_forest", (200, 130), ["trees=5", "extension_level=20"]),
    ("extended_isolation_forest", (200, 20), ["trees=5", "extension_level=2"]),
    ("random_cut_forest", (200, 130), ["trees=5", "measure=displacement"]),
    ("autoencoder", (300, 8), ["activation=rectifier", "epochs=2"]),
    ("autoencoder", (300, 8), ["activation=identity", "epochs=2"]),
    ("autoencoder", (300, 8), ["activation=sigmoid", "epochs=2"]),
    (SERIES, (400, 32), ["windows=[3, 9]"]),
    ("autoencoder", (300, 120), ["activation=rectifier", "hidden=150,30,150", "epochs=2"]),
]
# The least share of a kernel's instructions that some lane is to have executed. Training is no part of scoring: its
# kernels only have to have run.
EXECUTED_MIN = 0.7


class Kernel:
    """What ran of one: instructions executed by warps, and which of its text."""

    def __init__(self, instructions=0, executed=""):
        self.instructions, self.executed = instructions, int(executed or "0", 2)
        self.length = len(executed)

    def add(self, other):
        self.instructions += other.instructions
        self.executed |= other.executed
        self.length = max(self.length, other.length)

    def share(self):
        return self.executed.bit_count() / self.length if self.length else 0


def read_report(path):
    """{demangled name: Kernel}, of every kernel there is."""
    kernels = {}
    for line in Path(path).read_text().splitlines():
        _, instructions, executed, name = line.split("\t")
        kernels[name] = Kernel(int(instructions), executed)
    return kernels


def is_instance(kernel, names):
    return re.search(rf"\b({names})(<[^()]*>)?\(", kernel) is not None


def write_rows(path, count, width, seed):
    """Three clusters; a seventh of the rows are their neighbours' duplicates, others have an awkward value."""
    made = random.Random(seed)
    centres = [[made.gauss(0, 3) for _ in range(width)] for _ in range(3)]
    rows = [[centre + made.gauss(0, 1) for centre in made.choice(centres)] for _ in range(count)]
    for i in range(7, count, 7):
        rows[i] = list(rows[i - 1])
    for j, i in enumerate(range(3, count, 31)):
        rows[i][i % width] = [0.0, -0.0, 1e-40, -1e-40, 1e6, -1e6][j % 6]
    lines = [",".join(f"x{i}" for i in range(width))] + [",".join(map(repr, row)) for row in rows]
    Path(path).write_text("\n".join(lines) + "\n")


def run(command, environment=None):
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[:600]}")


def check_detector(lanner, environment, folder, detector, shape, settings=()):
    """What is wrong, and what ran."""
    count, width = shape
    own, flip = DETECTORS[detector]
    at = Path(tempfile.mkdtemp(dir=folder))
    fitted, scored, model, cpu, gpu, report = (str(at / name) for name in ("fit.csv", "rows.csv", "m.lanner", "cpu.csv",
                                                                           "gpu.csv", "report"))
    write_rows(fitted, count, width, seed=width)
    write_rows(scored, min(count, 400), width, seed=width + 1)
    with open(scored, "a") as file:  # rows that were fitted too
        file.writelines(Path(fitted).read_text().splitlines(keepends=True)[1:200])
    run([lanner, "fit", "--data", fitted, "--detector", detector, "--out", model,
         *(word for setting in settings for word in ("--set", setting))])
    score = [lanner, "score", "--model", model, "--data", scored, "--out"]
    run([*score, cpu, "--device", "cpu"])
    run([*score, gpu, "--device", "cuda"], environment(report))

    wrong = []
    expected = Path(cpu).read_bytes()
    if Path(gpu).read_bytes() != expected:
        lines = zip(expected.splitlines(), Path(gpu).read_bytes().splitlines())
        number, of_cpu, of_gpu = next((i, a, b) for i, (a, b) in enumerate(lines, 1) if a != b)
        wrong.append(f"line {number} differs: cpu {of_cpu.decode()}, cuda {of_gpu.decode()}")
    kernels = read_report(report)
    p_values = [] if detector == SERIES else ["look_up"]  # a series' are looked up by the CPU
    wrong += [f"no kernel {names} ran" for names in [*own, *p_values]
              if not any(kernel.instructions and is_instance(name, names) for name, kernel in kernels.items())]
    if shape == PERTURBED_SHAPE and (not settings or detector == SERIES):
        run([*score, gpu, "--device", "cuda"], environment(f"{report}_perturbed", flip))
        if Path(gpu).read_bytes() == expected:
            wrong.append(f"with {flip} perturbed the output is the same")
    return [f"{detector}, {count} x {width} {' '.join(settings)}: {what}" for what in wrong], kernels


def check_program(environment, folder, argument):
    program, _, pattern = argument.partition("=")
    report = f"{folder}/{Path(program).name}"
    run([program, "--gtest_brief=1", f"--gtest_filter={pattern or '*'}", "--gtest_output="], environment(report))
    kernels = read_report(report)
    return [] if any(kernel.instructions for kernel in kernels.values()) else [f"{argument}: no kernel ran"], kernels


def main(lanner, library, *programs):
    help_text = subprocess.run([lanner, "fit", "--help"], check=True, capture_output=True, text=True).stdout
    catalogue = re.findall(r"^  (\w+): ", help_text.split("Detectors:")[1], re.M)
    catalogue.remove("auto")  # a rule that chooses among the others
    wrong = [f"{name} has no line in DETECTORS" for name in catalogue if name not in DETECTORS]
    wrong += [f"{name} is not in the catalogue" for name in DETECTORS if name not in catalogue]

    def environment(report, flip=None):
        added = {"LD_LIBRARY_PATH": library, "PTX_EXECUTOR_REPORT": report, "LANNER_TEST_GPUS": "real"}
        return {**os.environ, **added, **({"PTX_EXECUTOR_FLIP": flip} if flip else {})}

    cases = VARIANTS + [(name, shape, []) for name in catalogue if name in DETECTORS and name != SERIES
                        for shape in SHAPES]
    kernels, entries = {}, {}  # all that ran; those of the binary
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        pending = {pool.submit(check_program, environment, folder, program): False for program in programs}
        pending |= {pool.submit(check_detector, lanner, environment, folder, *case): True for case in cases}
        for future in concurrent.futures.as_completed(pending):
            try:
                found, reported = future.result()
            except RuntimeError as error:
                wrong.append(str(error))
                continue
            wrong += found
            for name, kernel in reported.items():
                kernels.setdefault(name, Kernel()).add(kernel)
                if pending[future]:
                    entries[name] = kernels[name]

    for name, kernel in sorted(entries.items()):
        print(f"{kernel.instructions:>12} {kernel.share():>5.0%} {name[:120]}")
        least = 0.01 if "::train_" in name else EXECUTED_MIN
        if kernel.share() < least:
            wrong.append(f"{name}: {kernel.share():.0%} of its instructions were executed, {least:.0%} are to be")
    in_binary = sum(len(re.findall(r"\.entry\s+\w+", text)) for text in ptx.device_code(lanner)[0])
    if len(entries) != in_binary:
        wrong.append(f"{in_binary} kernels in the PTX of {lanner}, {len(entries)} reported")
    print(f"{len(entries)} kernels: instructions executed by warps, share of the text executed; "
          f"{sum(kernel.instructions for kernel in entries.values())} in all")
    for what in wrong:
        print(what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
