"""Runs a test program on a GPU alone where there is one, and skips it with the reason otherwise.

python3 tests/cuda/on_gpu.py CUDA_DEVICES REPORT PROGRAM

REPORT is what the program's single tests are written to, or the one skip (exit status 77), as JUnit XML.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

NONE = 77


def main(cuda_devices, report, program):
    found = subprocess.run([cuda_devices], stdout=subprocess.PIPE, text=True)
    if found.returncode == NONE:
        suite = ElementTree.Element("testsuite", name=Path(report).stem)
        case = ElementTree.SubElement(suite, "testcase", name=Path(report).stem, status="run")
        ElementTree.SubElement(case, "skipped", message=f"needs a GPU: {found.stdout.strip()}")
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(suite).write(report)
        print(f"skipped: needs a GPU: {found.stdout.strip()}")
        return NONE
    if found.returncode != 0:
        print(f"{cuda_devices} failed with {found.returncode}")
        return 1
    print(found.stdout, end="")
    environment = {**os.environ, "LANNER_TEST_GPUS": "real"}
    arguments = ["--gtest_brief=1", f"--gtest_output=xml:{report}"]
    return subprocess.run([program, *arguments], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
