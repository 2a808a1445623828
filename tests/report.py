"""Adds up what a test run wrote: python3 tests/report.py REPORTS_FOLDER...

Each folder holds ctest.xml (ctest --output-junit) and, for the programs that count single tests, NAME.xml or
test_NAME.xml in the same form. Prints a line for every test that failed or was skipped, and last
`N passed, N failed, N skipped`. Exit status 1 if any failed, or if there were none.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def cases(file):
    """(name, outcome, reason) of each test in a report."""
    for case in ElementTree.parse(file).getroot().iter("testcase"):
        name = ".".join(filter(None, [case.get("classname"), case.get("name")]))
        failure, skipped = case.find("failure"), case.find("skipped")
        if failure is not None or case.find("error") is not None or case.get("status") == "fail":
            yield name, "failed", ""
        elif skipped is not None:
            message = (skipped.get("message") or skipped.text or "").strip()
            yield name, "skipped", message.splitlines()[-1] if message else "no reason given"
        elif case.get("status") in ("notrun", "disabled"):
            yield name, "skipped", "disabled"
        else:
            yield name, "passed", ""


def outcomes(folder):
    """Single tests where a program reports them, the program as one test otherwise, or where it failed at large."""
    for name, outcome, reason in cases(folder / "ctest.xml"):
        program = name.rsplit(".", 1)[-1]
        report = next((f for f in (folder / f"test_{program}.xml", folder / f"{program}.xml") if f.exists()), None)
        singles = list(cases(report)) if report else []
        yield from singles
        if not singles or (outcome == "failed" and all(single[1] != "failed" for single in singles)):
            yield program, outcome, reason


def main(folders):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    lines = set()
    for folder in map(Path, folders):
        for name, outcome, reason in outcomes(folder):
            counts[outcome] += 1
            if outcome != "passed":
                lines.add(f"{outcome} ({folder.parent.name}) {name}" + (f": {reason}" if reason else ""))
    for line in sorted(lines):
        print(line)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
