#!/usr/bin/python3
"""Runs the script tests: run.py [--jobs N] [--counts FILE] [NAME…], NAME being test_smtp or test_smtp.Class.test.

Prints one line a test, what went wrong at the end, and how many passed, failed and were skipped. With --jobs the classes run
side by side, each in a process of its own with loopback ports of its own: most tests wait rather than work. Timing never
decides a test: what failed side by side is run again alone, by the rule in unsteady.py.
"""

import argparse
import concurrent.futures
import glob
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tree  # noqa: E402
import unsteady  # noqa: E402
from case import remove_work_folder, work_folder  # noqa: E402
from ports import PLACES  # noqa: E402
from relay import alarms_below  # noqa: E402

SCRIPTS = os.environ.get("SCRIPTS") or os.path.join(tree.ROOT, "tests", "script")
CLASS_S = 1200  # all tests of one class


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
        text = self._exc_info_to_string(error, test)
        of = getattr(test, "test_case", test)  # a subtest's test
        folders = [f for f in (getattr(of, name, None) for name in ("folder", "class_folder")) if f] or [work_folder()]
        text += "".join(f"in {path}: {line}\n" for folder in folders for path, line in alarms_below(folder))
        self.wrong.append((self.name(test), text))
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


def names_of_all():
    return sorted(os.path.basename(p)[:-3] for p in glob.glob(os.path.join(SCRIPTS, "test_*.py")))


def tests_of(names):
    sys.path.insert(0, SCRIPTS)
    return unittest.TestLoader().loadTestsFromNames(names or names_of_all())


def each_test(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each_test(test)
        else:
            yield test


def run_here(names):
    """What became of them: {passed, wrong: [[name, text], …], skipped}."""
    result = Progress(sys.stdout)
    try:
        tests_of(names).run(result)
    finally:
        remove_work_folder()
    return {"passed": result.passed, "wrong": result.wrong, "skipped": len(result.skipped),
            "unsteady": []}


def run_class(names, places):
    """The same for the tests of a class, in a process of its own at one of the free `places` (ports.py)."""
    place = places.get()
    try:
        return run_at(place, names)
    finally:
        places.put(place)


def run_at(place, names):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        words = [sys.executable, "-B", os.path.abspath(__file__), "--result", said.name, *names]
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CLASS_S, check=False,
                                  env={**os.environ, "PORTS": str(place)})
            text, end = done.stdout, f"status {done.returncode}"
        except subprocess.TimeoutExpired as e:
            text, end = e.stdout or b"", f"still running after {CLASS_S} s"
        text = text.decode("utf-8", "replace")
        print(text, end="", flush=True)
        try:
            return json.load(said)
        except ValueError:  # it never came to its end
            return {"passed": 0, "wrong": [[names[0], f"its process: {end}\n{text[-4000:]}"]], "skipped": 0}


def run_side_by_side(names, jobs):
    jobs = min(jobs, PLACES)
    classes = {}
    for name in names or names_of_all():
        module = name.partition(".")[0]  # a class may come from elsewhere, and is found through this one
        for test in each_test(tests_of([name])):
            of = (module, type(test).__name__)
            classes.setdefault(of, []).append(".".join([*of, test.id().rpartition(".")[2]]))
    # The class with most tests first, so that none is left alone with the end of the run.
    waiting = sorted(classes.values(), key=len, reverse=True)
    places = queue.SimpleQueue()
    for place in range(jobs):
        places.put(place)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(lambda names: run_class(names, places), waiting))
    return settled(zip(waiting, found))


def what_failed(names, wrong):
    """{tests to run again: [(name, text), …]}: each failed test of the class, all of them where the class itself failed."""
    failed = {}
    for name, text in wrong:
        of = [n for n in names if n.split(".")[1:] == name.partition(" ")[0].split(".")[-2:]]
        failed.setdefault(tuple(of or names), []).append((name, text))
    if tuple(names) in failed:
        return {tuple(names): [w for some in failed.values() for w in some]}
    return failed


def settled(results):
    """The sum of [(tests of a class, what became of them), …], once what failed has had its chance alone."""
    total = {"passed": 0, "wrong": [], "skipped": 0, "unsteady": []}
    failed, before = {}, {}
    for names, result in results:
        total["passed"] += result["passed"]
        total["skipped"] += result["skipped"]
        for tests, wrong in what_failed(names, result["wrong"]).items():
            failed[tests] = wrong
            before[tests] = result if tests == tuple(names) else {"passed": 0, "skipped": 0}
    alone = {}

    def passes_alone(tests, number):
        print(f"alone, {number} of {unsteady.TIMES} times: {', '.join(tests)}", flush=True)
        alone[tests] = run_at(0, tests)
        name, text = failed[tests][-1]
        text += "".join(f"\nalone, {number} of {unsteady.TIMES} times:\n{again}" for _, again in alone[tests]["wrong"])
        failed[tests][-1] = (name, text)
        return not alone[tests]["wrong"] and alone[tests]["passed"] > 0

    texts = {tests: "".join(text for _, text in wrong) for tests, wrong in failed.items()}
    forgiven = unsteady.settle(texts, passes_alone)
    for tests, wrong in failed.items():
        total["unsteady" if tests in forgiven else "wrong"] += wrong
        for kind in ("passed", "skipped") if tests in forgiven else ():
            total[kind] += alone[tests][kind] - before[tests][kind]
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", help="file that takes 'passed failed skipped', and what is said of unsteady tests")
    parser.add_argument("--result", help="file that takes all of it as JSON, for the process that started this one")
    parser.add_argument("--jobs", type=int, default=1, help="so many classes at a time")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    result = run_side_by_side(options.names, options.jobs) if options.jobs > 1 else run_here(options.names)
    if options.result:
        with open(options.result, "w", encoding="utf-8") as f:
            json.dump(result, f)
        return 0
    for name, text in result["wrong"]:
        print(f"\n--- {name}\n{text}")
    told = unsteady.block(result["unsteady"])
    failed = len(result["wrong"])
    print(f"{told}scripts: {result['passed']} passed, {failed} failed, {result['skipped']} skipped")
    if options.counts:
        with open(options.counts, "w", encoding="utf-8") as f:
            f.write(f"{result['passed']} {failed} {result['skipped']}\n{told}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
