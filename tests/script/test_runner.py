"""The runner itself: what failed beside others and passes alone is forgiven, loudly; what counts is never repeated away."""

import glob
import os
import subprocess
import sys
import unittest

import ports
import run
import tree
import unsteady
from case import FolderCase

# Each test notes in COUNT that it ran: the number-th time decides.
PLANTED = '''
import os, unittest

def times(name):
    with open(os.path.join(os.environ["COUNT"], name), "a+") as f:
        f.write("x")
        f.seek(0)
        return len(f.read())

class Planted(unittest.TestCase):
    def test_fine(self):
        pass

    def test_once(self):
        with self.subTest("of two"):
            self.assertGreater(times("once"), 1, "starved")

class Other(unittest.TestCase):
    def test_always(self):
        self.fail("always")

    def test_report(self):
        self.assertGreater(times("report"), 1, "x.c:1:2: runtime error: it is gone when it is run again")

class SetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if times("class") == 1:
            raise AssertionError("no relay")

    def test_one(self):
        pass

    def test_two(self):
        self.skipTest("not here")
'''


class Rule(unittest.TestCase):
    def settle(self, text, ends=(True, True, True), n=1):
        """How many of n failures with this text are forgiven, and how often each was run again; `ends`: of each time."""
        asked = []

        def passes_alone(what, number):
            asked.append((what, number))
            return ends[number - 1]

        return len(unsteady.settle({f"test {i}": text for i in range(n)}, passes_alone)), len(asked) / n

    def test_passes_three_times_alone(self):
        self.assertEqual(self.settle("waited in vain"), (1, 3))

    def test_fails_once_more(self):
        for ends in ((False, True, True), (True, False, True), (True, True, False)):
            self.assertEqual(self.settle("waited in vain", ends), (0, 1 + ends.index(False)))

    def test_never_repeated(self):
        for text in ("ERROR: AddressSanitizer: heap-use-after-free", "ERROR: LeakSanitizer: detected", "a.c:7: runtime error: x",
                     "WARNING: ThreadSanitizer: data race", "must failed: a.c:7", "ended with status -31", "(status 139, said '')",
                     '{"event":"role died","role":"front","signal":31,"status":0}', "died of SIGSEGV", "its process: status 1",
                     "    self.assertEqual(len(gateway.kept()), 1)\nAssertionError: 2 != 1", "3 messages were lost",
                     "waited 120 s in vain for subject 'a'; the gateway has []",
                     "    self.assertEqual(got.body, body)\nAssertionError: b'' != b'x'",
                     "    self.assertTrue(got.bytes.endswith(body))\nAssertionError: False is not true"):
            self.assertEqual(self.settle(text), (0, 0), text)

    def test_what_is_said_of_a_slow_machine(self):
        for text in ("waited 60 s in vain for the roles to end", "Connection refused", "no reply in time; said so far:",
                     '{"event":"role died","role":"spool","signal":9,"status":0}', "relay did not start (status 1, said '')",
                     "    self.assertIn(\"listed\", got.header(\"X-Postern-Tag\"))\nAssertionError: 'listed' not found in []"):
            self.assertFalse(unsteady.is_final(text), text)

    def test_more_than_five_are_no_bad_luck(self):
        self.assertEqual(self.settle("slow", n=5), (5, 3))
        self.assertEqual(self.settle("slow", n=6), (0, 0))

    def test_a_class_that_failed_is_run_as_a_whole(self):
        names = ["test_a.A.test_1", "test_a.A.test_2"]
        self.assertEqual(run.what_failed(names, [["elsewhere.A.test_1 (n=1)", "x"], ["elsewhere.A.test_1 (n=2)", "y"]]),
                         {("test_a.A.test_1",): [("elsewhere.A.test_1 (n=1)", "x"), ("elsewhere.A.test_1 (n=2)", "y")]})
        self.assertEqual(run.what_failed(names, [["test_a.A.test_1", "x"], ["tearDownClass (test_a.A)", "y"]]),
                         {tuple(names): [("test_a.A.test_1", "x"), ("tearDownClass (test_a.A)", "y")]})


class Ports(unittest.TestCase):
    def test_no_other_process_is_given_ours(self):
        """As the demo, which draws from the share of the test that has chosen its ports."""
        ours = {ports.free_port() for _ in range(ports.SHARE // 2)}
        draw = f"import ports\nfor i in range({ports.SHARE // 4}): print(ports.free_port())"
        done = subprocess.run([sys.executable, "-B", "-c", draw], text=True, capture_output=True, check=False,
                              env={**os.environ, "PYTHONPATH": os.path.dirname(ports.__file__)})
        theirs = {int(line) for line in done.stdout.splitlines()}
        self.assertEqual((len(ours), len(theirs), ours & theirs), (ports.SHARE // 2, ports.SHARE // 4, set()), done.stderr)


class Runner(FolderCase):
    def runner(self, *words):
        self.write("test_planted.py", PLANTED)
        done = subprocess.run([sys.executable, "-B", os.path.join(tree.ROOT, "tests", "lib", "run.py"), *words], text=True,
                              capture_output=True, env={**os.environ, "SCRIPTS": self.folder, "COUNT": self.folder}, check=False)
        return done.returncode, done.stdout

    def test_side_by_side(self):
        status, said = self.runner("--jobs", "2", "--counts", self.path("counts"))
        self.assertEqual((status, said.splitlines()[-1]), (1, "scripts: 3 passed, 2 failed, 1 skipped"), said)
        wrong, _, forgiven = said.partition(unsteady.TITLE)
        self.assertIn("runtime error", wrong.partition("\n--- ")[2])
        self.assertIn("--- test_planted.Other.test_always\n", wrong)
        self.assertIn("alone, 1 of 3 times:\nTraceback", wrong)
        self.assertEqual([part.splitlines()[0] for part in forgiven.split("\n--- ")[1:]],
                         ["test_planted.Planted.test_once [of two]", "setUpClass (test_planted.SetUp)"], said)
        self.assertIn("starved", forgiven)
        with open(self.path("counts"), encoding="utf-8") as f:
            numbers, told = f.readline(), f.read()
        self.assertEqual(numbers, "3 2 1\n")
        self.assertIn("starved", told)

    def test_one_at_a_time_is_not_repeated(self):
        status, said = self.runner("test_planted.Planted")
        self.assertEqual((status, said.splitlines()[-1]), (1, "scripts: 1 passed, 1 failed, 0 skipped"), said)

    UNIT = """#!/bin/sh
echo x >>"$0.times"
echo "1..2
ok 1 - test_nothing_is_lost"
if [ $(wc -l <"$0.times") -le {fails} ]; then echo "not ok 2 - test_b
# a.c:7: error: {why}"; exit 1; fi
echo "ok 2 - test_b"
"""

    def test_unit_programs(self):
        """Named as two that there are; one starves once, the other's report comes once."""
        programs = self.path("tests", "unit")
        os.makedirs(programs)
        names = sorted(os.path.basename(p)[:-2] for p in glob.glob(os.path.join(tree.ROOT, "tests", "unit", "test_*.c")))[:2]
        for name, why in zip(names, ("slow", "runtime error: x")):
            path = os.path.join(programs, name)
            with open(path, "w", encoding="ascii") as f:
                f.write(self.UNIT.format(fails=1, why=why))
            os.chmod(path, 0o755)
        done = subprocess.run([sys.executable, "-B", os.path.join(tree.ROOT, "tests", "lib", "all.py"), "--jobs", "2", "unit"],
                              text=True, capture_output=True, env={**os.environ, "BUILD": self.folder}, check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (1, "3 passed, 1 failed, 0 skipped"), done.stdout)
        forgiven = done.stdout.partition(unsteady.TITLE)[2]
        self.assertIn(f"--- {names[0]}\n", forgiven)
        self.assertNotIn(names[1], forgiven)


if __name__ == "__main__":
    unittest.main()
