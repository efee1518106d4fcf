"""The filter role with many signatures: memory of each of its processes, what a fork takes, new signatures under load."""

import os
import re
import signal
import statistics
import subprocess
import threading
import time

import signatures
from relay import is_alive
from waiting import wait_until

FORKS = 20
SAMPLE_S = 0.1
CLONE = re.compile(r"clone\(.*= (\d+) <([0-9.]+)>")


def memory(pid):
    """{field: KiB} of smaps_rollup; None when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            next(f)
            return {line.split(":")[0]: int(line.split()[1]) for line in f}
    except (OSError, StopIteration):
        return None


def _forks_ms(zygote, workers):
    """What the zygote's own forks take, by strace: each worker that is killed is followed by another."""
    strace = subprocess.Popen(["strace", "-T", "-qq", "-e", "trace=clone", "-p", str(zygote)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)  # it does not say when it has begun
    for _ in range(FORKS):
        found = wait_until(workers, "a worker")
        os.kill(found[0], signal.SIGKILL)
        wait_until(lambda: found[0] not in workers() and len(workers()) >= len(found), "another in its place")
    strace.send_signal(signal.SIGINT)
    return [float(m[2]) * 1000 for m in CLONE.finditer(strace.communicate(timeout=30)[1])]


def role_figures(server, loop):
    (zygote, workers), = server.filters().items()
    processes = [("zygote", zygote)] + [(f"worker {i + 1}", pid) for i, pid in enumerate(workers)]
    found = {name: memory(pid) for name, pid in processes}
    plain = loop.say("fork 50")["fork_ms"]
    loop.say("share")
    return {"memory": found, "zygote_fork_ms": _forks_ms(zygote, lambda: server.filters().get(zygote, [])),
            "fork_small_pages_ms": plain, "fork_huge_pages_ms": loop.say("fork 50")["fork_ms"]}


def role_text(figures):
    lines = ["| after these messages | PSS MiB | private dirty MiB |", "| --- | --- | --- |"]
    for name, m in figures["memory"].items():
        lines.append(f"| {name} | {m['Pss'] / 1024:.1f} | {m['Private_Dirty'] / 1024:.1f} |")
    forks = figures["zygote_fork_ms"]
    lines += ["", f"fork in the zygote, by strace: {statistics.median(forks):.2f} ms ({min(forks):.2f}-{max(forks):.2f}, "
              f"{len(forks)} of them); the same engine alone: {figures['fork_huge_pages_ms']:.2f} ms, "
              f"{figures['fork_small_pages_ms']:.2f} ms before its pages are made huge."]
    return "\n".join(lines)


class Watch:
    """Samples the memory of all filter processes until it is stopped."""

    def __init__(self, server):
        self.server, self.is_over, self.samples = server, threading.Event(), []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.is_over.wait(SAMPLE_S):
            roles = self.server.filters()
            found = [memory(pid) for pid, workers in roles.items() for pid in (pid, *workers)]
            self.samples.append((time.monotonic(), len(roles), sum(m["Pss"] for m in found if m) / 1024))

    def stop(self):
        self.is_over.set()
        self.thread.join()


def watch_renewal(server, sink, databases, send, n):
    """New signatures come while n messages are sent; what the clients and the memory show."""
    old, = server.filters()
    watch, told = Watch(server), {}

    def renew():
        wait_until(lambda: watch.samples, "a first look")
        told["begun"] = time.monotonic()
        signatures.add(databases, "Bench-New", b"a thing that came later")
        wait_until(lambda: old not in server.filters(), "the old role to end", 120)
        told["over"] = time.monotonic()

    thread = threading.Thread(target=renew)
    sink.expect(n)
    thread.start()
    try:
        said = send(n)
        sink.line("done", 120)
    finally:
        thread.join()
        watch.stop()
    assert not is_alive(old)
    both = [t for t, n_roles, _ in watch.samples if n_roles > 1]
    quiet = [mb for t, _, mb in watch.samples if t < told["begun"]]
    last = [mb for t, n_roles, mb in watch.samples if n_roles == 1][-1]
    return {"rate": said["rate"], "gap_ms": said["gap_ms"], "p99_ms": said["p99_ms"], "others": said["others"],
            "seconds": said["seconds"], "renewed_after_s": told["over"] - told["begun"],
            "two_s": max(both) - min(both) if both else 0, "before_mb": max(quiet),
            "peak_mb": max(mb for _, _, mb in watch.samples), "after_mb": last,
            "curve": [(round(t - told["begun"], 2), n_roles, round(mb, 1)) for t, n_roles, mb in watch.samples]}


def renewal_text(r):
    others = ", ".join(f"{n} times {code}" for code, n in r["others"].items()) or "none"
    return (f"New signatures under this load: {r['rate']:,.0f} msg/s, p99 {r['p99_ms']:.0f} ms, the longest time between two "
            f"answers {r['gap_ms']:.0f} ms; other replies: {others}. In force {r['renewed_after_s']:.1f} s after they were put "
            f"there; for {r['two_s']:.1f} s there were two zygotes. PSS of all filter processes: {r['before_mb']:.0f} MiB "
            f"before, {r['peak_mb']:.0f} at the most, {r['after_mb']:.0f} after.")
