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
    "kernel_density": (KERNEL_SUM, "cvt.rn.f32.f64/10"),
    "histogram": (["histogram_look_up"], "add.rn.f32/100"),
    "ecod": (["histogram_look_up"], "add.rn.f32/100"),
    "copod": (["histogram_look_up"], "add.rn.f32/100"),
    "pca": (["fused"], "fma.rn.f32/1000"),
    "mahalanobis": (["fused"], "fma.rn.f32/1000"),
    "isolation_forest": (["walk"], "cvt.rn.f32.f64/10"),
    "autoencoder": (["fused|dense"], "fma.rn.f32/1000"),
    "ensemble": ([*NEAREST, "reachability_factors", "walk", "fused|dense", "blend_rows"], "fma.rn.f32/1000"),
}
SHAPES = [(40, 1), (400, 3), (300, 8), (400, 32), (260, 100)]
PERTURBED_SHAPE = (400, 32)


def launched(report):
    """{kernel: instructions executed} of those that ran, and the names of all."""
    counts = {}
    for line in Path(report).read_text().splitlines():
        launches, instructions, name = line.split("\t")
        counts[name] = counts.get(name, 0) + (int(instructions) if int(launches) else 0)
    return {name: count for name, count in counts.items() if count}, set(counts)


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


def check_detector(lanner, interpreter_environment, folder, detector, shape):
    """What is wrong, what ran and what is there to run."""
    count, width = shape
    own, flip = DETECTORS[detector]
    at = Path(folder) / f"{detector}_{count}x{width}"
    fitted, scored, model, cpu, gpu, report = (f"{at}{end}" for end in
                                               ("_fit.csv", ".csv", ".lanner", "_cpu.csv", "_gpu.csv", ".tsv"))
    write_rows(fitted, count, width, seed=width)
    write_rows(scored, count, width, seed=width + 1)
    with open(scored, "a") as file:  # rows that were fitted too
        file.writelines(Path(fitted).read_text().splitlines(keepends=True)[1:count // 2])
    run([lanner, "fit", "--data", fitted, "--detector", detector, "--out", model])
    score = [lanner, "score", "--model", model, "--data", scored, "--out"]
    run([*score, cpu, "--device", "cpu"])
    run([*score, gpu, "--device", "cuda"], interpreter_environment(report))

    wrong = []
    expected = Path(cpu).read_bytes()
    if Path(gpu).read_bytes() != expected:
        first = next(i for i, (a, b) in enumerate(zip(expected.split(b"\n"), Path(gpu).read_bytes().split(b"\n")))
                     if a != b)
        wrong.append(f"line {first + 1} differs: {cpu} {gpu}")
    ran, there = launched(report)
    wrong += [f"no kernel {names} ran" for names in [*own, "look_up"]
              if not any(is_instance(kernel, names) for kernel in ran)]
    if shape == PERTURBED_SHAPE:
        run([*score, gpu, "--device", "cuda"], interpreter_environment(f"{at}_flipped.tsv", flip))
        if Path(gpu).read_bytes() == expected:
            wrong.append(f"with {flip} perturbed the output is the same")
    return [f"{detector}, {count} x {width}: {what}" for what in wrong], ran, there


def check_program(interpreter_environment, folder, argument):
    program, _, pattern = argument.partition("=")
    report = f"{folder}/{Path(program).name}.tsv"
    run([program, "--gtest_brief=1", f"--gtest_filter={pattern or '*'}", "--gtest_output="],
        interpreter_environment(report))
    ran, _ = launched(report)
    return ([] if ran else [f"{argument}: no kernel ran"]), ran, set()


def main(lanner, library, *programs):
    catalogue = re.findall(r"^  (\w+): ", subprocess.run([lanner, "fit", "--help"], check=True, capture_output=True,
                                                         text=True).stdout.split("Detectors:")[1], re.M)
    catalogue.remove("auto")  # a rule that chooses among the others
    wrong = [f"{name} has no line in DETECTORS" for name in catalogue if name not in DETECTORS]
    wrong += [f"{name} is not in the catalogue" for name in DETECTORS if name not in catalogue]

    def environment(report, flip=None):
        added = {"LD_LIBRARY_PATH": library, "PTX_EXECUTOR_REPORT": report, "LANNER_TEST_GPUS": "real"}
        return {**os.environ, **added, **({"PTX_EXECUTOR_FLIP": flip} if flip else {})}

    ran, there = {}, set()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(check_program, environment, folder, program) for program in programs]
        pending += [pool.submit(check_detector, lanner, environment, folder, detector, shape)
                    for detector in catalogue if detector in DETECTORS for shape in SHAPES]
        for future in concurrent.futures.as_completed(pending):
            try:
                found, counts, names = future.result()
            except RuntimeError as error:
                wrong.append(str(error))
                continue
            wrong += found
            there |= names
            for kernel, count in counts.items():
                ran[kernel] = ran.get(kernel, 0) + count

    for kernel in sorted(there):
        print(f"{ran.get(kernel, 0):>12} {kernel}")
    wrong += [f"never launched: {kernel}" for kernel in sorted(there - ran.keys())]
    entries = sum(len(re.findall(r"\.entry\s+\w+", text)) for text in ptx.device_code(lanner)[0])
    if len(there) != entries:
        wrong.append(f"{entries} kernels in the PTX of {lanner}, {len(there)} reported")
    print(f"{len(there)} kernels, {sum(ran.values())} instructions executed by warps")
    for what in wrong:
        print(what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
