"""Runs the tests of the Python package: python3 tests/bindings/run.py LANNER BUILD/python [test module ...]

Exit status 77 (skipped) where the package was not built or one that it needs is missing. With GTEST_OUTPUT=xml:FOLDER/
it writes a report of the single tests there, as the other test programs do.
"""

import importlib.util
import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

here = Path(__file__).resolve().parent
binary, package, *names = sys.argv[1:]
package = str(Path(package).resolve())
if not list(Path(package).glob("lanner/_engine*.so")):
    print("skipped: this build has no Python package (scripts/setup test installs nanobind; Debian: python3-dev)")
    sys.exit(77)
os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported, for check_estimator
os.environ["MPLBACKEND"] = "agg"
os.environ["PYTHONPATH"] = package  # of processes that the tests start
sys.path[:0] = [package, str(here), str(here.parent / "wire")]
missing = [name for name in ("matplotlib", "pandas", "pyarrow", "sklearn", "zmq") if not importlib.util.find_spec(name)]
if missing:
    print(f"skipped: found no {', '.join(missing)} (scripts/setup test installs them from PyPI)")
    sys.exit(77)

import host_process  # noqa: E402

# The wire tests' runner has a reporter; a module of the name `run` is this one.
of_the_wire = importlib.util.spec_from_file_location("wire_run", here.parent / "wire" / "run.py")
wire_run = importlib.util.module_from_spec(of_the_wire)
of_the_wire.loader.exec_module(wire_run)
sys.path.insert(0, str(here))  # before its folder, which has a test_series too

if __name__ == "__main__":
    host_process.LANNER = str(Path(binary).resolve())
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.discover(str(here), "test_*.py", str(here))
    if suite.countTestCases() == 0:
        sys.exit("no tests found")
    result = unittest.TextTestRunner(verbosity=2, resultclass=wire_run.Reported).run(suite)
    reports = os.environ.get("GTEST_OUTPUT", "").removeprefix("xml:")
    if reports:
        part = "_".join(name.removeprefix("test_") for name in names) or "all"
        ElementTree.ElementTree(result.suite).write(Path(reports) / f"bindings_{part}.xml")
    sys.exit(0 if result.wasSuccessful() else 1)
