#!/usr/bin/python3
"""make bench: Postern and Debian's Postfix in alternating rounds; a table, and BUILD/bench/result.json.

BENCH_ROUNDS and BENCH_MESSAGES (for each of Postern's measurements; Postfix gets a fifth) in the
environment.  docs/benchmarks.md says what the columns mean.
"""

import json
import os
import select
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import tree  # noqa: E402
from ports import free_port  # noqa: E402
from servers import Nothing, Postern, Postfix, fresh_folder  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
MESSAGES = int(os.environ.get("BENCH_MESSAGES") or 10000)
WARM_UP = 500
PATIENCE_S = 180  # for one measurement

# title, size in bytes, sessions, whether connections are reused, messages in parts of MESSAGES
CASES = (
    ("4 KiB, 50 sessions, reused", 4096, 50, True, 1),
    ("4 KiB, 20 sessions, a connection a message", 4096, 20, False, 1),
    ("64 KiB, 20 sessions, reused", 65536, 20, True, 0.5),
)


class Sink:
    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            [os.path.join(tree.BUILD, "tests", "smtp_sink"), "--listen", f"127.0.0.1:{self.port}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pending = b""
        self.line("ready", 10)

    def line(self, word, patience_s):
        """The rest of the next line, which must begin with this word."""
        end = time.monotonic() + patience_s
        while b"\n" not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not more:
                raise AssertionError(f"the sink has not said {word!r} in {patience_s} s: mail is missing")
            self.pending += more
        line, _, self.pending = self.pending.partition(b"\n")
        first, _, rest = line.decode("ascii").partition(" ")
        if first != word:
            raise AssertionError(f"the sink says {line!r} instead of {word!r}: mail arrived twice?")
        return rest

    def expect(self, n):
        self.process.stdin.write(f"{n}\n".encode("ascii"))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def measure(server, sink, case, n):
    """One load of n messages: a dict of what was measured."""
    _, size, sessions, is_reused, _ = case
    before = server.cpu.seconds_at_rest() if server.cpu else 0
    sink.expect(n)
    words = [os.path.join(tree.BUILD, "tests", "smtp_load"), "--to", f"127.0.0.1:{server.port}",
             "--size", str(size), "--sessions", str(sessions), "--messages", str(n)]
    done = subprocess.run(words + (["--reuse"] if is_reused else []), capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        raise AssertionError(f"smtp_load at {server.title}: {done.stderr}")
    said = json.loads(done.stdout)
    seconds = (int(sink.line("done", PATIENCE_S)) - said["started_ns"]) / 1e9
    after = server.cpu.seconds_at_rest() if server.cpu else 0
    return {"rate": n / seconds, "accepted": said["rate"], "p50_ms": said["p50_ms"], "p99_ms": said["p99_ms"],
            "others": said["others"], "cpu_s": (after - before) * 1000 / n if server.cpu else None}


def count_syncs(folder, sink):
    """{case: {server: syncs a message}} of servers of their own, started under strace."""
    results = {}
    for server in (Postern(folder, sink.port, "traced", "Postern", is_traced=True),
                   Postfix(folder, sink.port, "traced-postfix", is_traced=True)):
        try:
            server.start()
            measure(server, sink, CASES[0], WARM_UP)
            for case in CASES:
                n, before = messages_for(server, case), server.syncs.count()
                measure(server, sink, case, n)
                results.setdefault(case[0], {})[server.title] = (server.syncs.count() - before) / n
        finally:
            server.stop()
    return results


def messages_for(server, case):
    return max(100, int(MESSAGES * case[4] / server.share))


def rounds(servers, sink):
    """{(case, server): [measurement, …]}, the servers taking turns, each round from another one on."""
    results = {(case[0], s.name): [] for case in CASES for s in servers}
    for server in servers:
        measure(server, sink, CASES[0], WARM_UP)
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
        for case in CASES:
            at = turn % len(servers)
            for server in servers[at:] + servers[:at]:
                results[case[0], server.name].append(measure(server, sink, case, messages_for(server, case)))
    return results


def spread(values, digits):
    form = f"{{:,.{digits}f}}"
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return f"{middle} ({low}-{high})"


def row(server, found, baseline):
    ratios = [mine["rate"] / theirs["rate"] for mine, theirs in zip(found, baseline)]
    cpu = [m["cpu_s"] for m in found]
    return [server.title, spread([m["rate"] for m in found], 0),
            spread(ratios, 1) if found is not baseline else "1", spread(cpu, 3) if None not in cpu else "",
            spread([m["p50_ms"] for m in found], 1), spread([m["p99_ms"] for m in found], 1),
            str(sum(n for m in found for n in m["others"].values()))]


def table(servers, results):
    head = ["", "msg/s until delivered", "ratio", "CPU s/1,000", "p50 ms", "p99 ms", "other replies"]
    lines = []
    for case in CASES:
        baseline = results[case[0], "postfix"]
        lines += ["", f"**{case[0]}**", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(row(s, results[case[0], s.name], baseline)) + " |" for s in servers]
    return "\n".join(lines)


def sync_table(syncs):
    return "\n".join(["| syncs a message, counted in a run apart | Postern | Postfix |", "| --- | --- | --- |"] + [
        f"| {case} | {found['Postern']:.3f} | {found['Postfix']:.2f} |" for case, found in syncs.items()])


def file_system(folder):
    done = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def write_result(folder, results, about):
    cases = {}
    for (case, server), found in results.items():
        cases.setdefault(case, {})[server] = found
    path = os.path.join(folder, "result.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({**about, "cases": cases}, f, indent=1)
    return path


def compare(folder, sink):
    """The rounds: servers and results."""
    servers = [Postern(folder, sink.port, "postern", "Postern, no filters"),
               Postern(folder, sink.port, "filtered", "Postern, header content tag",
                       ("header", "content", "tag")),
               Postfix(folder, sink.port), Nothing(folder, sink.port)]
    started = []
    try:
        for server in servers:
            started.append(server)
            server.start()
        return servers, rounds(servers, sink)
    finally:
        for server in reversed(started):
            server.stop()


def main():
    if not tree.IS_ROOT:
        sys.exit("bench: Postfix starts as root only")
    folder = fresh_folder()
    begun = time.time()
    load = os.getloadavg()
    sink = Sink()
    try:
        servers, results = compare(folder, sink)
        syncs = count_syncs(folder, sink)
    finally:
        sink.stop()
    about = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)), "rounds": ROUNDS,
             "messages": MESSAGES, "cores": os.cpu_count(), "kernel": os.uname().release,
             "load_before": load, "file_system": file_system(folder), "cpu_by": servers[0].cpu.how,
             "syncs_a_message": syncs}
    print(table(servers, results))
    print(f"\n{sync_table(syncs)}")
    print(f"\nMedian (lowest-highest) of {ROUNDS} alternating rounds; ratio to Postfix within each round; "
          f"{about['file_system']}, {about['cores']} cores, load before {load[0]:.1f}, "
          f"{time.time() - begun:.0f} s.")
    print(write_result(folder, results, about))


if __name__ == "__main__":
    main()
