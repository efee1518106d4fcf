#!/usr/bin/python3
"""make soak: kill -9 of each process in turn under load, for SOAK_MINUTES (10), with ledgers.

Prints how it goes every ten seconds and one line at the end; status 0 when every promise held.
BUILD/soak/result.json has the figures, and what was wrong; BUILD/soak/log the relay's log then.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "lib")]

import signatures  # noqa: E402
import tree  # noqa: E402
from world import ORDER, World  # noqa: E402

MINUTES = float(os.environ.get("SOAK_MINUTES") or 10)
SEED = int(os.environ.get("SOAK_SEED") or time.time())
SAY_S = 10
CALM_S = (0.2, 3.0)  # between one kill's end and the next
AGAIN = 0.2          # how often the same is killed at once again


class Progress:
    def __init__(self, world):
        self.world = world
        self.begun = self.said = time.monotonic()

    @property
    def took(self):
        return time.monotonic() - self.begun

    def say(self):
        if time.monotonic() - self.said < SAY_S:
            return
        self.said = time.monotonic()
        n, found = self.world.ledger.count(), self.world.ledger.judge(AllIds())
        print(f"{self.took // 60:3.0f}:{self.took % 60:02.0f}  kills {n['kills']}  sent {n['sent']}  "
              f"accepted {n['accepted']}  refused {n['refused']}  unanswered {n['unanswered']}  "
              f"delivered {n['delivered']}  twice {len(found.excused)}"
              + ("" if found.is_good else f"  WRONG: {found}"), flush=True)


class AllIds:
    """While the load goes on, what has not arrived may still be in the queue."""

    def __contains__(self, _):
        return True


def strike(world, progress, rng):
    """The longest time until mail was taken again."""
    worst, end = 0.0, time.monotonic() + MINUTES * 60
    while time.monotonic() < end:
        for what in ORDER:
            for _ in range(2 if rng.random() < AGAIN else 1):
                world.kill(what)
                kill = world.ledger.kills[-1]
                worst = max(worst, kill.back - kill.begun)
            world.load.wait_accepted(20, 60)
            time.sleep(rng.uniform(*CALM_S))
            progress.say()
            if time.monotonic() >= end:
                break
    return worst


def run(folder):
    """(judgement or None, figures, what went wrong or None)"""
    world, figures, wrong, found = World(folder, signatures.write(os.path.join(folder, "signatures"))), {}, None, None
    try:
        world.start()
        progress = Progress(world)
        figures["longest_until_back_s"] = round(strike(world, progress, random.Random(SEED)), 2)
        found, more = world.settle()
        figures.update(more)
        figures["kills_at"] = [(k.what, k.begun, k.done, k.back) for k in world.ledger.kills] if not found.is_good else []
        figures["kills_of"] = {what: sum(k.what == what for k in world.ledger.kills) for what in ORDER}
        figures["seconds"] = round(progress.took, 1)
    except AssertionError as e:
        wrong = str(e)
    finally:
        try:
            world.stop()
        except AssertionError as e:
            wrong = wrong or str(e)
    figures.update(world.ledger.count())
    found = found or world.ledger.judge(AllIds())
    figures["arrived_twice"] = len(found.excused)
    figures["arrived_unanswered"] = found.unsure_arrived
    return found, figures, wrong


def main():
    kept = os.path.join(tree.BUILD, "soak")
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept)
    folder = tempfile.mkdtemp(prefix="postern-soak-")
    os.chmod(folder, 0o755)
    print(f"{MINUTES:g} minutes of kill -9, SOAK_SEED={SEED}", flush=True)
    found, figures, wrong = run(folder)
    is_good = found.is_good and wrong is None
    with open(os.path.join(kept, "result.json"), "w", encoding="utf-8") as f:
        json.dump({"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seed": SEED, "is_good": is_good,
                   **figures, "problem": wrong,
                   "wrong": {n: [str(x) for x in getattr(found, n)] for n in found.WRONG}}, f, indent=1)
    if not is_good:
        shutil.copy(os.path.join(folder, "log"), os.path.join(kept, "log"))
    shutil.rmtree(folder, ignore_errors=True)
    words = "  ".join(f"{k} {v}" for k, v in figures.items() if not isinstance(v, (dict, list)))
    print(f"soak: {'passed' if is_good else f'FAILED: {found}; {wrong}'}; {words}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
