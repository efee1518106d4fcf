#!/usr/bin/python3
"""Runs the script tests: run.py [--counts FILE] [NAME…], NAME being test_smtp or test_smtp.Class.test.

Prints one line a test, what went wrong at the end, and how many passed, failed and were skipped.
"""

import argparse
import glob
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tree  # noqa: E402
from case import remove_work_folder  # noqa: E402

SCRIPTS = os.path.join(tree.ROOT, "tests", "script")


class Progress(unittest.TestResult):
    def __init__(self, log):
        super().__init__()
        self.log = log
        self.passed = 0
        self.wrong = []
        self.subtest_failed = False

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        self.subtest_failed = False
        print(f"  {self.name(test)} ", end="", flush=True, file=self.log)

    @staticmethod
    def name(test):
        return test.id().removeprefix("__main__.")

    def _say(self, word):
        took = time.monotonic() - getattr(self, "begun", time.monotonic())
        print(f"{word} ({took:.1f} s)", flush=True, file=self.log)

    def _failed(self, test, error):
        self.wrong.append((self.name(test), self._exc_info_to_string(error, test)))
        self._say("FAILED")

    def addSuccess(self, test):
        if not self.subtest_failed:
            self.passed += 1
            self._say("ok")

    def addError(self, test, err):
        self._failed(test, err)

    def addFailure(self, test, err):
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.subtest_failed = True
            self._failed(subtest, err)

    def addSkip(self, test, reason):
        self.skipped.append((test, reason))
        self._say(f"skipped: {reason}")

    def addExpectedFailure(self, test, err):
        self._failed(test, err)  # a test that is expected to fail is a bug with a fig leaf

    def addUnexpectedSuccess(self, test):
        self.addSuccess(test)


def tests_of(names):
    sys.path.insert(0, SCRIPTS)
    modules = sorted(os.path.basename(p)[:-3] for p in glob.glob(os.path.join(SCRIPTS, "test_*.py")))
    return unittest.TestLoader().loadTestsFromNames(names or modules)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", help="file that takes 'passed failed skipped'")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    result = Progress(sys.stdout)
    try:
        tests_of(options.names).run(result)
    finally:
        remove_work_folder()
    for name, text in result.wrong:
        print(f"\n--- {name}\n{text}")
    failed = len(result.wrong)
    print(f"scripts: {result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    if options.counts:
        with open(options.counts, "w", encoding="ascii") as f:
            f.write(f"{result.passed} {failed} {len(result.skipped)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
