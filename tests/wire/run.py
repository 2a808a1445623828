"""Runs the wire tests against a `lanner` binary: python3 tests/wire/run.py build/release/bin/lanner [test module ...]

Exit status 77 (skipped) where pyzmq is missing. With GTEST_OUTPUT=xml:FOLDER/ it writes a report of the single tests
there, as the other test programs do.
"""

import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

try:
    import zmq  # noqa: F401
except ImportError:
    print("skipped: pyzmq is not installed (Debian: apt-get install python3-zmq)")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).parent))
import host_process  # noqa: E402


class Reported(unittest.TextTestResult):
    """Keeps each test's outcome."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.suite = ElementTree.Element("testsuite")

    def keep(self, test, outcome=None, message=""):
        name = test.id().split(".")
        case = ElementTree.SubElement(self.suite, "testcase", classname=".".join(name[:-1]), name=name[-1])
        if outcome:
            ElementTree.SubElement(case, outcome, message=message)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.keep(test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.keep(test, "failure")

    def addError(self, test, error):
        super().addError(test, error)
        self.keep(test, "failure")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.keep(subtest, "failure")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.keep(test, "skipped", reason)


if __name__ == "__main__":
    host_process.LANNER = str(Path(sys.argv[1]).resolve())
    here = str(Path(__file__).parent)
    names = sys.argv[2:]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.discover(here, "test_*.py", here)
    if suite.countTestCases() == 0:
        sys.exit("no tests found")
    result = unittest.TextTestRunner(verbosity=2, resultclass=Reported).run(suite)
    reports = os.environ.get("GTEST_OUTPUT", "").removeprefix("xml:")
    if reports:
        part = "_".join(name.removeprefix("test_") for name in names) or "all"
        ElementTree.ElementTree(result.suite).write(Path(reports) / f"wire_{part}.xml")
    sys.exit(0 if result.wasSuccessful() else 1)
