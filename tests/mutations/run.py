"""Plants faults, and shows that the tests catch each.

python3 tests/mutations/run.py BUILD_FOLDER [--jobs N] [--only NAME]

A fault (faults.py) is a text of a source file that is replaced. For each, whatever of the test program includes that
file is compiled again, with the mutated file found first, and the program is linked with these objects in front of
the libraries. It must then fail, crash, or take many times as long. The same done without the fault must pass, so that
it is the fault that is caught.

The build folder is one of Ninja's, in which the test programs are built. With GTEST_OUTPUT=xml:FOLDER/ each fault is
reported there as a test.
"""

import argparse
import collections
import concurrent.futures
import functools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ["ccache"] if shutil.which("ccache") else []
ENDED_BY = {number.value: number.name for number in signal.Signals}

Outcome = collections.namedtuple("Outcome", "passed how seconds")


class Unusable(Exception):
    """The fault, or the build folder, is not what it should be."""


def mutated(text, fault):
    """The file's text with the fault in it."""
    times = text.count(fault.text)
    if times != 1:
        raise Unusable(f"{fault.file} has the text {times} times, not once: {fault.text.strip()!r}")
    if fault.text == fault.replacement:
        raise Unusable("the replacement is the text itself")
    return text.replace(fault.text, fault.replacement)


class Build:
    """How a build folder's programs are made."""

    def __init__(self, folder):
        self.folder = folder
        self.compiled = {}  # object: (source, arguments of its compiler)
        for entry in json.loads((folder / "compile_commands.json").read_text()):
            arguments = shlex.split(entry["command"])
            at = arguments.index("-o")
            self.compiled[arguments[at + 1]] = (entry["file"], arguments[:at] + arguments[at + 2:])

    def ninja(self, *arguments):
        return subprocess.run(["ninja", *arguments], cwd=self.folder, check=True, stdout=subprocess.PIPE,
                              text=True).stdout

    @functools.cache
    def link_command(self, program):
        """Its arguments."""
        line = self.ninja("-t", "commands", "-s", program).strip().splitlines()[-1]
        arguments = shlex.split(line)  # : && c++ ... && :
        return arguments[arguments.index("&&") + 1:len(arguments) - arguments[::-1].index("&&") - 1]

    @functools.cache
    def dependencies(self, program):
        """{object: every file that it was compiled from} of the objects that the program is linked from."""
        objects = [file for file in self.ninja("-t", "inputs", program).split() if file in self.compiled]
        found = {}
        for line in self.ninja("-t", "deps", *objects).splitlines():
            if line and not line.startswith(" "):
                found[current := line.split(":")[0]] = set()
            elif line:
                found[current].add(os.path.normpath(self.folder / line.strip()))
        return {name: found.get(name, set()) | {self.compiled[name][0]} for name in objects}

    def make(self, program, file, text, folder):
        """The program as if `file` had that text, made in a folder."""
        overlay = folder / "root"
        (overlay / file).parent.mkdir(parents=True)
        (overlay / file).write_text(text)
        replaced = {}
        for name, files in self.dependencies(program).items():
            if str(ROOT / file) not in files:
                continue
            source, arguments = self.compiled[name]
            arguments = [str(overlay / file) if argument == source == str(ROOT / file) else argument
                         for argument in arguments]
            compiler = next(i for i, argument in enumerate(arguments) if argument.startswith("-"))
            replaced[name] = str(folder / f"{len(replaced)}.o")
            # -w: what is left of a line need not be tidy. -O1: compiles sooner, and no bit may depend on it.
            self.run([*LAUNCHER, *arguments[:compiler], f"-I{overlay}", *arguments[compiler:], "-w", "-O1", "-o",
                      replaced[name]])
        if not replaced:
            raise Unusable(f"nothing in {program} includes {file}")
        linked = [replaced.get(argument, argument) for argument in self.link_command(program)]
        in_libraries = [made for name, made in replaced.items() if name not in self.link_command(program)]
        out = linked.index("-o")
        made = folder / "program"
        self.run(linked[:out] + in_libraries + ["-o", str(made)] + linked[out + 2:])
        return made

    def run(self, command):
        """Throws what it printed if it failed."""
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Unusable(f"{' '.join(command[:2])} ... failed:\n{done.stdout[-2000:]}")


def outcome_of(program, tests, seconds_max):
    """Runs the tests of a program that the filter names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GTEST_")}
    begun = time.monotonic()
    try:
        done = subprocess.run([program, f"--gtest_filter={tests}", "--gtest_fail_fast"], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds_max)
    except subprocess.TimeoutExpired:
        return Outcome(False, f"not done in {seconds_max:.0f} s", time.monotonic() - begun)
    seconds = time.monotonic() - begun
    output = done.stdout.decode(errors="replace")
    if done.returncode == 0:
        ran = re.search(r"\[  PASSED  \] (\d+) test", output)
        if not ran or ran[1] == "0":
            raise Unusable(f"no test is named {tests}")
        return Outcome(True, "", seconds)
    if done.returncode < 0:
        return Outcome(False, ENDED_BY.get(-done.returncode, f"signal {-done.returncode}"), seconds)
    failed = re.search(r"\[  FAILED  \] ([^\s,]+)", output)
    return Outcome(False, failed[1] if failed else f"exit status {done.returncode}", seconds)


class Suite:
    def __init__(self, build, folder):
        self.build, self.folder = build, folder

    def made(self, name, program, file, text, use):
        """use(program made of that text)."""
        folder = self.folder / name  # the same every time, so that a compiler's cache knows it
        shutil.rmtree(folder, ignore_errors=True)
        try:
            return use(self.build.make(program, file, text, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def without_fault(self, program, file, filters):
        """{filter: outcome}; what keeps it from being run is a failure."""
        def outcome(made, tests):
            try:
                return outcome_of(made, tests, 300)
            except Unusable as error:
                return Outcome(False, str(error), 0)

        name = "none_" + "_".join([Path(program).name, *Path(file).parts])
        text = (ROOT / file).read_text()
        try:
            return self.made(name, program, file, text, lambda made: {tests: outcome(made, tests) for tests in filters})
        except Unusable as error:
            return {tests: Outcome(False, str(error), 0) for tests in filters}

    def with_fault(self, fault, usual):
        """(whether it is caught, how, seconds)."""
        try:
            if not usual.passed:
                return Outcome(False, f"without the fault, {fault.tests}: {usual.how}", 0)
            text = mutated((ROOT / fault.file).read_text(), fault)
            outcome = self.made(fault.name, fault.program, fault.file, text,
                                lambda made: outcome_of(made, fault.tests, 20 + 10 * usual.seconds))
        except Unusable as error:
            return Outcome(False, str(error), 0)
        return Outcome(not outcome.passed, outcome.how or f"SURVIVED {fault.tests}", outcome.seconds)


def write_report(results):
    output = os.environ.get("GTEST_OUTPUT", "")
    if not output.startswith("xml:"):
        return
    suite = ElementTree.Element("testsuite", name="mutations")
    for fault, outcome in results:
        case = ElementTree.SubElement(suite, "testcase", classname="mutations", name=fault.name,
                                      time=f"{outcome.seconds:.2f}")
        if not outcome.passed:
            ElementTree.SubElement(case, "failure", message=outcome.how)
    ElementTree.ElementTree(suite).write(Path(output[len("xml:"):]) / "mutations.xml")


def main():
    parser = argparse.ArgumentParser(description="Plants faults, and shows that the tests catch each.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", metavar="NAME", help="one fault")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if arguments.only in (None, fault.name)]
    names = collections.Counter(fault.name for fault in faults)
    if not faults or max(names.values()) > 1:
        print(f"two faults are named {max(names, key=names.get)}" if faults else f"no fault is named {arguments.only}")
        return 1

    build = Build(arguments.build.resolve())
    suite = Suite(build, build.folder / "mutations")
    of_file = collections.defaultdict(list)
    for fault in faults:
        of_file[fault.program, fault.file].append(fault)
    usual, results = {}, []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        controls = {pool.submit(suite.without_fault, *key, {fault.tests for fault in of}): key
                    for key, of in of_file.items()}
        trials = {}
        for control in concurrent.futures.as_completed(controls):
            key = controls[control]
            usual[key] = control.result()
            trials |= {pool.submit(suite.with_fault, fault, usual[key][fault.tests]): fault for fault in of_file[key]}
        for trial in concurrent.futures.as_completed(trials):
            fault, outcome = trials[trial], trial.result()
            results.append((fault, outcome))
            caught = "caught" if outcome.passed else "FAILED"
            print(f"{caught:7}{fault.name:24}{fault.kind:28}{outcome.seconds:6.1f} s  {outcome.how}", flush=True)
    for (program, file), outcomes in usual.items():
        for tests, outcome in outcomes.items():
            print(f"without a fault: {file}, {Path(program).name} {tests}: {outcome.seconds:.1f} s {outcome.how}")
    write_report(results)
    caught = sum(outcome.passed for _, outcome in results)
    print(f"{caught} of {len(results)} faults are caught")
    return 0 if caught == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
