"""Runs the wire tests against a `lanner` binary: python3 tests/wire/run.py build/release/bin/lanner [unittest arguments]

Exit status 77 (skipped) where pyzmq is missing.
"""

import sys
import unittest
from pathlib import Path

try:
    import zmq  # noqa: F401
except ImportError:
    print("skipped: pyzmq is not installed (Debian: apt-get install python3-zmq)")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).parent))
import host_process  # noqa: E402

if __name__ == "__main__":
    host_process.LANNER = str(Path(sys.argv[1]).resolve())
    here = str(Path(__file__).parent)
    names = sys.argv[2:]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.discover(here, "test_*.py", here)
    if suite.countTestCases() == 0:
        sys.exit("no tests found")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)
