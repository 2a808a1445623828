"""Gates what ptxas made of every kernel against what is stated beside it.

python3 tests/cuda/resources.py BUILD SOURCE --occupancy PROGRAM [--table FILE] [--junit FILE]

BUILD is a build with LANNER_CUDA, which keeps ptxas' report beside each object file; SOURCE is the repository. Each .cu
of kernels/ states, in a comment beside its kernels, a line for each (or for each instance of a template: `name<8>`):

    // ptxas: kernel_sum<8>: block 256, registers <= 40, shared <= 8224, dynamic 0, stack 0, occupancy >= 75 %

Registers a thread and static shared bytes a block hold on every architecture. `block` is the threads it is launched
with and `dynamic` the dynamic shared bytes (0 if not said), by which NVIDIA's calculator (occupancy.cpp) computes the
share of a multiprocessor's warps that are in use. `stack` is the largest stack frame (0 if not said). Spills are never
allowed. A kernel with no line and a line with no kernel are violations, as is a .cu that was not compiled. Kernels of
Thrust and CUB, which are used in training alone, are not gated.

Prints a table, then the violations; exit status 1 if there were any, or no kernels.
"""

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass
class Compiled:
    """What ptxas made of one kernel for one architecture: per thread, or bytes."""
    name: str  # mangled, until our_kernels()
    architecture: int
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spills: int = 0


@dataclass
class Stated:
    name: str
    line: int
    block: int
    registers: int
    shared: int
    dynamic: int
    stack: int
    occupancy: int


def compiled(report):
    """The kernels in a report of ptxas -v."""
    kernels = []
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)[af]?'", line):
            kernels.append(Compiled(match[1], int(match[2])))
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            # The kernel's own, and those of functions that it calls.
            kernels[-1].stack += int(match[1])
            kernels[-1].spills += int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            kernels[-1].registers = int(match[1])
            if shared := re.search(r"(\d+)(?:\+(\d+))? bytes smem", line):
                kernels[-1].shared = int(shared[1]) + int(shared[2] or 0)
    return kernels


def qualified_name(signature):
    """`lanner::density::cuda::anonymous::kernel_sum<8>`, of `void ...::kernel_sum<8>(float const*)`."""
    signature = signature.replace("(anonymous namespace)", "anonymous")
    depth, start = 0, 0
    for i, letter in enumerate(signature):
        if depth == 0 and letter == "(":
            return signature[start:i]
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if depth == 0 and letter == " ":
            start = i + 1
    return signature[start:]


def unqualified(name):
    """`kernel_sum<8>`."""
    depth = 0
    for i in range(len(name) - 1, -1, -1):
        depth += {">": 1, "<": -1}.get(name[i], 0)
        if depth == 0 and name[i] == ":":
            return name[i + 1:]
    return name


def our_kernels(kernels):
    """With the names that the source gives them, and without those of Thrust and CUB."""
    names = "\n".join(kernel.name for kernel in kernels)
    signatures = subprocess.run(["c++filt"], input=names, check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = []
    for kernel, signature in zip(kernels, signatures.splitlines(), strict=True):
        name = qualified_name(signature)
        if not name.startswith(("thrust::", "cub::")):
            name = re.sub(r"\b(\d+)u?l{0,2}\b", r"\1", unqualified(name))  # 8u is 8 in the source
            ours.append(replace(kernel, name=name))
    return ours


STATED = re.compile(r"^\s*//\s*ptxas:\s*(?P<name>[^:\s](?:[^:]|::)*?)\s*:\s+block (?P<block>\d+), "
                    r"registers <= (?P<registers>\d+), shared <= (?P<shared>\d+)(?:, dynamic (?P<dynamic>\d+))?"
                    r"(?:, stack (?P<stack>\d+))?, occupancy >= (?P<occupancy>\d+) %$")


def stated(source):
    """The statements of a .cu, which may go on in a second comment line, and the numbers of those that can't be read."""
    found, unreadable = [], []
    lines = [line.rstrip() for line in source.splitlines()]
    for number, (line, following) in enumerate(zip(lines, [*lines[1:], ""]), 1):
        joined = f"{line} {following.strip().removeprefix('//').strip()}"
        if match := STATED.match(line) or STATED.match(joined):
            numbers = {key: int(value or 0) for key, value in match.groupdict().items() if key != "name"}
            found.append(Stated(match["name"], number, **numbers))
        elif re.match(r"\s*//\s*ptxas:", line):
            unreadable.append(number)
    return found, unreadable


def check(file, source, kernels, occupancy):
    """Rows of the table, and violations. occupancy([(architecture, registers, shared, dynamic, block)]) gives
    (blocks a multiprocessor, share of its warps, what limits it) of each."""
    statements, unreadable = stated(source)
    violations = [f"{file}:{number}: this line can't be read" for number in unreadable]
    names = [statement.name for statement in statements]
    violations += [f"{file}:{statement.line}: {statement.name} is stated twice" for statement in statements
                   if names.index(statement.name) != statements.index(statement)]
    rows, used = [], set()
    for kernel in kernels:
        of_instance_or_template = (kernel.name, kernel.name.split("<")[0])
        statement = next((s for name in of_instance_or_template for s in statements if s.name == name), None)
        if statement is None:
            violations.append(f"{file}: nothing is stated of {kernel.name}: sm_{kernel.architecture} has "
                              f"{kernel.registers} registers, {kernel.shared} bytes shared, {kernel.stack} bytes of stack")
            continue
        used.add(statement.line)
        rows.append((kernel, statement))
    measured = occupancy([(k.architecture, k.registers, k.shared, s.dynamic, s.block) for k, s in rows]) if rows else []
    for (kernel, statement), (_, share, _) in zip(rows, measured, strict=True):
        where = f"{file}:{statement.line}: {kernel.name} on sm_{kernel.architecture}"
        for noun, found, most in (("registers", kernel.registers, statement.registers),
                                  ("bytes of shared memory", kernel.shared, statement.shared),
                                  ("bytes of stack", kernel.stack, statement.stack),
                                  ("bytes of spills", kernel.spills, 0)):
            if found > most:
                violations.append(f"{where}: {found} {noun}, {most} stated")
        if share * 100 < statement.occupancy - 0.5:
            violations.append(f"{where}: occupancy {share:.0%}, {statement.occupancy} % stated")
    violations += [f"{file}:{statement.line}: no kernel {statement.name} was compiled" for statement in statements
                   if statement.line not in used]
    return [(kernel, statement, *result) for (kernel, statement), result in zip(rows, measured)], violations


def calculator(program):
    def occupancy(requests):
        lines = "".join(" ".join(map(str, request)) + "\n" for request in requests)
        output = subprocess.run([program], input=lines, check=True, stdout=subprocess.PIPE, text=True).stdout
        return [(int(blocks), float(share), limit) for blocks, share, limit in map(str.split, output.splitlines())]
    return occupancy


def table(rows):
    """rows: (file, kernel, statement, blocks, share, limit)."""
    text = [("kernel", "file", "sm", "registers", "shared", "dynamic", "stack", "spills", "block", "blocks/SM", "occupancy",
             "limited by")]
    for file, kernel, statement, blocks, share, limit in rows:
        text.append(tuple(map(str, (kernel.name, file, kernel.architecture, kernel.registers, kernel.shared,
                                    statement.dynamic, kernel.stack, kernel.spills, statement.block, blocks,
                                    f"{share:.0%}", limit))))
    widths = [max(map(len, column)) for column in zip(*text)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in text)


def write_junit(path, files):
    """A test case a file, for tests/report.py."""
    suite = ElementTree.Element("testsuite", name="cuda_resources")
    for file, violations in files.items():
        case = ElementTree.SubElement(suite, "testcase", classname="cuda_resources", name=file, status="run")
        if violations:
            ElementTree.SubElement(case, "failure", message="; ".join(violations))
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("build", type=Path)
    arguments.add_argument("source", type=Path)
    arguments.add_argument("--occupancy", required=True)
    arguments.add_argument("--table", type=Path)
    arguments.add_argument("--junit", type=Path)
    options = arguments.parse_args()

    rows, files = [], {}
    for source in sorted((options.source / "kernels").rglob("*_cuda.cu")):
        file = str(source.relative_to(options.source))
        folder = options.build / Path(file).parent / "CMakeFiles"
        reports = sorted(folder.glob(f"*.dir/{source.name}.o.ptxas"))
        if len(reports) != 1:
            files[file] = [f"{file}: {len(reports)} reports of ptxas in {folder}, where one is expected"]
            continue
        kernels = our_kernels(compiled(reports[0].read_text()))
        found, files[file] = check(file, source.read_text(), kernels, calculator(options.occupancy))
        rows += [(file, *row) for row in found]
    text = table(rows)
    print(text)
    if options.table:
        options.table.write_text(text + "\n")
    if not rows and not any(files.values()):
        files["kernels"] = ["kernels/: no kernel was found"]
    for violation in (violation for violations in files.values() for violation in violations):
        print(violation)
    if options.junit:
        write_junit(options.junit, files)
    return 1 if any(files.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
