"""CPU seconds of all processes of a server, those that have ended included."""

import contextlib
import os
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _cgroup_root():
    """Where a version 2 hierarchy is mounted and may be written to; None without one."""
    with open("/proc/mounts", encoding="utf-8") as f:
        for line in f:
            _, place, kind = line.split()[:3]
            if kind == "cgroup2" and os.access(place, os.W_OK):
                return place
    return None


def _move_to(group):
    with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as f:
        f.write("0")


class CpuTime:
    """What is started inside `with entered():` is measured, and what that starts."""

    def __init__(self, name):
        root = _cgroup_root()
        self.group = root and os.path.join(root, f"postern-bench-{os.getpid()}-{name}")
        self.pid = None  # without cgroups: the root of the tree
        self.others = []  # and the roots of further ones

    @property
    def how(self):
        return "cgroup" if self.group else "process tree"

    @contextlib.contextmanager
    def entered(self):
        """We go there ourselves for the time: a child that drops root could not."""
        try:
            if self.group:
                os.mkdir(self.group)
        except FileExistsError:
            pass  # entered before
        except OSError:
            self.group = None  # a read-only hierarchy, as in many containers
        if not self.group:
            yield
            return
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            home = next(line[3:].strip() for line in f if line.startswith("0::"))
        _move_to(self.group)
        try:
            yield
        finally:
            _move_to(os.path.dirname(self.group) + home)

    def seconds(self):
        if self.group:
            with open(os.path.join(self.group, "cpu.stat"), encoding="ascii") as f:
                words = dict(line.split() for line in f)
            return int(words["usage_usec"]) / 1e6
        return sum(_tree_ticks(pid) for pid in [self.pid, *self.others]) / TICKS

    def seconds_at_rest(self, patience_s=5):
        """Once the server has done what it puts off until after a message: under 2 % of a core for 0.2 s."""
        end = time.monotonic() + patience_s
        last = self.seconds()
        while True:
            time.sleep(0.2)
            now = self.seconds()
            if now - last < 0.004 or time.monotonic() > end:
                return now
            last = now

    def close(self):
        if self.group:
            for _ in range(50):
                try:
                    os.rmdir(self.group)
                    return
                except OSError:
                    time.sleep(0.1)  # its last processes are still ending


def _tree_ticks(root):
    """Ticks of a process, its descendants, and those of them that were waited for."""
    parents, ticks = {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                words = f.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents[int(entry)] = int(words[1])
        ticks[int(entry)] = sum(int(w) for w in words[11:15])
    total = 0
    for pid in ticks:
        at = pid
        while at != root and at in parents:
            at = parents[at]
        total += ticks[pid] if at == root else 0
    return total
