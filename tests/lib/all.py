#!/usr/bin/python3
"""Runs the suites named (style unit seeds script) and ends with `N passed, N failed, N skipped`.

Also `fuzz`: every fuzzer for --fuzz-seconds.  What failed side by side is run again alone, by the rule in unsteady.py.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tree  # noqa: E402
import unsteady  # noqa: E402

LIB = os.path.dirname(os.path.abspath(__file__))
PROGRAM_S = 600  # one unit program or one fuzzer over its seeds
FUZZERS = os.path.join(tree.BUILD, "fuzz-build", "fuzz", "fuzz_*")


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.unsteady = ""  # what is said of unsteady tests at the end

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def programs(pattern):
    return [p for p in sorted(glob.glob(pattern)) if os.access(p, os.X_OK) and os.path.isfile(p)]


def run(words, patience_s=PROGRAM_S, **env):
    """(status, output); a program that hangs has status None."""
    try:
        done = subprocess.run(words, cwd=tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=patience_s, env={**os.environ, **env}, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as e:
        return None, (e.stdout or b"").decode("utf-8", "replace") + f"\nstill running after {patience_s} s\n"


def show(text):
    print("".join(f"    {line}\n" for line in text.splitlines()), end="", flush=True)


def style(counts, _):
    status, text = run([sys.executable, os.path.join(LIB, "check_style.py")])
    show(text) if status else print(f"  {text.strip()}")
    counts.add(status == 0, status != 0, 0)


def run_unit(program):
    """(passed, failed, skipped, output) of a cmocka program, in its TAP form: one line a test."""
    status, text = run([program], CMOCKA_MESSAGE_OUTPUT="TAP")
    # cmocka calls what is skipped "not ok"
    skipped = len(re.findall(r"^(?:not )?ok \d+ .*# SKIP", text, re.M))
    passed = len(re.findall(r"^ok \d+(?!.*# SKIP)", text, re.M))
    failed = len(re.findall(r"^not ok \d+(?!.*# SKIP)", text, re.M))
    if status != 0:
        text += f"its end: status {status}\n"
        failed = max(failed, 1)  # it crashed, hung, or a sanitizer ended it
    return passed, failed, skipped, text


def tell_unit(program, done, when=""):
    passed, failed, skipped, text = done
    print(f"  {os.path.basename(program)}{when}: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    if failed:
        show(text)


def unit(counts, jobs):
    found = programs(os.path.join(tree.BUILD, "tests", "unit", "test_*"))
    wanted = {os.path.basename(p)[:-2] for p in glob.glob(os.path.join(tree.ROOT, "tests", "unit", "test_*.c"))}
    ours = [p for p in found if os.path.basename(p) in wanted]
    done = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for program, result in zip(ours, pool.map(run_unit, ours)):
            done[program] = result
            tell_unit(program, result)
    failures = {p: result[3] for p, result in done.items() if result[1]} if jobs > 1 else {}

    def passes_alone(program, number):
        done[program] = run_unit(program)
        tell_unit(program, done[program], f", alone, {number} of {unsteady.TIMES} times")
        return done[program][1] == 0

    # The names of tests that passed may hold any word.
    texts = {p: re.sub(r"^ok .*\n", "", text, flags=re.M) for p, text in failures.items()}
    forgiven = unsteady.settle(texts, passes_alone)
    counts.unsteady += unsteady.block([(os.path.basename(p), failures[p]) for p in ours if p in forgiven])
    for passed, failed, skipped, _ in done.values():
        counts.add(passed, failed, skipped)


def seeds_of(fuzzer):
    name = os.path.basename(fuzzer)
    for folder in (name.removeprefix("fuzz_"), name):
        path = os.path.join(tree.ROOT, "tests", "fuzz", "seeds", folder)
        if os.path.isdir(path):
            return path
    return None


def seeds(counts, _):
    for fuzzer in programs(FUZZERS):
        name, folder = os.path.basename(fuzzer), seeds_of(fuzzer)
        status, text = run([fuzzer, "-runs=0", folder]) if folder else (1, f"no tests/fuzz/seeds/ for {name}")
        print(f"  {name} over its seeds: {'ok' if status == 0 else 'FAILED'}", flush=True)
        if status != 0:
            show(text)
        counts.add(status == 0, status != 0, 0)


def fuzz(counts, seconds):
    """New inputs go to a folder of their own; what crashes is left in the build folder."""
    for fuzzer in programs(FUZZERS):
        name = os.path.basename(fuzzer)
        found = os.path.join(tree.BUILD, "fuzz-build", "found", name)
        os.makedirs(found, exist_ok=True)
        words = [fuzzer, f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={found}-", found]
        status, text = run(words + [s for s in [seeds_of(fuzzer)] if s], seconds + PROGRAM_S)
        tries = re.search(r"number_of_executed_units: (\d+)", text)
        print(f"  {name}: {'ok' if status == 0 else 'FAILED'}, {tries.group(1) if tries else '?'} inputs", flush=True)
        if status != 0:
            show(text[-4000:])
        counts.add(status == 0, status != 0, 0)


def script(counts, jobs):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        done = subprocess.run([sys.executable, os.path.join(LIB, "run.py"), "--jobs", str(jobs), "--counts", said.name],
                              cwd=tree.ROOT, check=False)
        numbers = said.readline().split()
        counts.unsteady += said.read()
    counts.add(*(int(n) for n in numbers)) if len(numbers) == 3 else counts.add(0, 1, 0)
    if done.returncode not in (0, 1):
        counts.add(0, 1, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fuzz-seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many unit programs, classes of scripts at a time")
    parser.add_argument("suites", nargs="+", choices=["style", "unit", "seeds", "script", "fuzz"])
    options = parser.parse_args()
    counts = Counts()
    for suite in options.suites:
        print(f"{suite}:", flush=True)
        if suite == "fuzz":
            fuzz(counts, options.fuzz_seconds)
        else:
            {"style": style, "unit": unit, "seeds": seeds, "script": script}[suite](counts, options.jobs)
    print(counts.unsteady, end="")
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
