"""Adds up what the suites of ./dev test left behind.

usage: summary.py JUNIT_FOLDER SUITE=STATUS...

A suite with a JUnit file counts test by test. One without (a build, a script) is one test by its
exit status, 77 for a skip. A suite that failed without a failed test, say by a crash, counts as one more failure.
The last line is `N passed, N failed`; the exit status is 1 if anything failed.
"""

import pathlib
import sys
import xml.etree.ElementTree as ET


def count(junit):
    """(passed, failed, skipped, names of the failed) of one JUnit file."""
    passed = skipped = 0
    bad = []
    for case in ET.parse(junit).iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            bad.append(f"{case.get('classname')}: {case.get('name')}")
        elif "skipped" in tags:
            skipped += 1
        else:
            passed += 1
    return passed, len(bad), skipped, bad


def main(folder, results):
    total_passed = total_failed = total_skipped = 0
    for result in results:
        suite, status = result.rsplit("=", 1)
        junit = pathlib.Path(folder, suite + ".xml")
        if junit.exists():
            passed, failed, skipped, bad = count(junit)
        else:
            passed, failed, skipped, bad = int(status == "0"), 0, int(status == "77"), []
        if status not in ("0", "77") and failed == 0:
            failed, bad = 1, [f"{suite}: ended with status {status}"]
        for name in bad:
            print(f"FAILED {name}")
        print(f"suite {suite}: passed {passed}, failed {failed}, skipped {skipped}")
        total_passed += passed
        total_failed += failed
        total_skipped += skipped
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed or not total_passed + total_skipped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
