#!/usr/bin/python3
"""make bench-scan: what virus scanning costs in the relay, beside a bare loop over libclamav and Postfix with Debian's
clamav-milter, in alternating rounds; then the filter role's memory, forks and renewal.  BUILD/bench-scan/result.json.

BENCH_ROUNDS, and SCAN_MESSAGES for each measurement (Postfix gets a fifth), in the environment.
docs/benchmarks.md says what the columns mean.
"""

import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import tree  # noqa: E402
import scan_corpus  # noqa: E402
from figures import spread  # noqa: E402
from scan_role import renewal_text, role_figures, role_text, watch_renewal  # noqa: E402
from scan_servers import CORES, Loop, MilterPostfix, QuickLoop, Scanner  # noqa: E402
from servers import fresh_folder  # noqa: E402
from sink import Sink  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
MESSAGES = int(os.environ.get("SCAN_MESSAGES") or scan_corpus.MESSAGES)
SESSIONS = 4 * CORES
WARM_UP = 300
REPEATED = 40  # messages: fewer than a worker takes, so that it sees each again
PATIENCE_S = 900
AIM = 0.9


def send(server, corpus, n):
    words = [os.path.join(tree.BUILD, "tests", "smtp_load"), "--to", f"127.0.0.1:{server.port}", "--rcpt", "user@example.org",
             "--sessions", str(SESSIONS), "--messages", str(n), "--reuse", "--pipeline", "--corpus", corpus]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        raise AssertionError(f"smtp_load at {server.title}: {done.stderr}")
    return json.loads(done.stdout)


def measure(server, sink, corpus, n):
    """n messages until the sink has them all (the loop: until they are scanned)."""
    if isinstance(server, Loop):
        said = server.say(f"scan {n}")
        return {**said, "others": {}}
    before = server.cpu.seconds_at_rest()
    sink.expect(n)
    said = send(server, corpus, n)
    seconds = (int(sink.line("done", PATIENCE_S)) - said["started_ns"]) / 1e9
    return {"rate": n / seconds, "cpu_s": (server.cpu.seconds_at_rest() - before) * 1000 / n,
            "p50_ms": said["p50_ms"], "p99_ms": said["p99_ms"], "others": said["others"]}


def rounds(servers, sink, corpus, messages):
    """{server: [measurement, …]}, the servers taking turns, each round from another one on."""
    results = {s.name: [] for s in servers}
    for turn in range(ROUNDS):
        at = turn % len(servers)
        for server in servers[at:] + servers[:at]:
            n = messages // 5 if isinstance(server, MilterPostfix) else messages
            results[server.name].append(measure(server, sink, corpus, n))
    return results


def to_loop(results, name, key="rate"):
    return [mine[key] / loop[key] for mine, loop in zip(results[name], results["loop"])]


def table(servers, results):
    head = ["", "msg/s", "to the bare loop", "CPU s/1,000", "p50 ms", "p99 ms", "other replies"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for s in servers:
        found = results[s.name]
        lines.append("| " + " | ".join([
            s.title, spread([m["rate"] for m in found], 0), spread(to_loop(results, s.name), 2) if s.name != "loop" else "1",
            spread([m["cpu_s"] for m in found], 2),
            *(spread([m[k] for m in found], 1) if k in found[0] else "" for k in ("p50_ms", "p99_ms")),
            str(sum(n for m in found for n in m["others"].values()))]) + " |")
    return "\n".join(lines)


def first_messages(corpus, n):
    path = f"{corpus}.{n}"
    with open(path, "wb") as f:
        for _, message in zip(range(n), scan_corpus.read(corpus)):
            f.write(b"%d\n%s" % (len(message), message))
    return path


def compare(folder, databases, corpus, sink):
    """Both tables' results, then the figures of the role; servers are stopped at the end."""
    few = first_messages(corpus, REPEATED)
    loop, quick, few_loop = (kind(os.path.join(folder, name), databases, path) for kind, name, path in (
        (Loop, "loop", corpus), (QuickLoop, "quick", corpus), (Loop, "few", few)))
    scanner, postfix = Scanner(folder, sink, databases), MilterPostfix(folder, sink, databases)
    started = []
    try:
        for server in (loop, quick, few_loop, scanner, postfix):
            started.append(server)
            server.start()
            measure(server, sink, corpus, WARM_UP)
        servers = [scanner, loop, quick, postfix]
        results = rounds(servers, sink, corpus, MESSAGES)
        postfix.stop()  # the rest is without it
        started.remove(postfix)
        repeated = rounds([scanner, few_loop], sink, few, MESSAGES)
        figures = role_figures(scanner, loop)
        renewal = watch_renewal(scanner, sink, databases, lambda n: send(scanner, corpus, n), MESSAGES)
        return servers, results, repeated, figures, renewal
    finally:
        for server in reversed(started):
            server.stop()


def main():
    if not tree.IS_ROOT:
        sys.exit("bench-scan: Postfix starts as root only")
    corpus = scan_corpus.corpus()
    folder = fresh_folder("bench-scan")
    begun, load = time.time(), os.getloadavg()
    databases = scan_corpus.database(os.path.join(folder, "databases"))
    sink = Sink()
    try:
        servers, results, repeated, figures, renewal = compare(folder, databases, corpus, sink)
    finally:
        sink.stop()
    print(f"**The SpamAssassin corpus, {MESSAGES:,} messages, {SESSIONS} sessions**\n\n{table(servers, results)}")
    print(f"\n**{REPEATED} of its messages over and over: parts called clean are not scanned again**\n\n"
          f"{table(servers[:2], repeated)}")
    print(f"\n{role_text(figures)}\n\n{renewal_text(renewal)}")
    reached = statistics.median(to_loop(results, "postern"))
    print(f"\n| what it should come to | aim | measured | |\n| --- | --- | --- | --- |\n"
          f"| scanning, times the bare loop (median) | {AIM} | {reached:.2f} | {'met' if reached >= AIM else 'missed'} |\n"
          f"| CPU s/1,000 messages, times the bare loop's | | {spread(to_loop(results, 'postern', 'cpu_s'), 2)} | |")
    print(f"\nMedian (lowest-highest) of {ROUNDS} alternating rounds; {CORES} cores, load before {load[0]:.1f}, "
          f"{time.time() - begun:.0f} s.")
    path = os.path.join(folder, "result.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)), "rounds": ROUNDS, "messages": MESSAGES,
                   "cores": CORES, "kernel": os.uname().release, "load_before": load, "corpus": results,
                   "repeated": repeated, "role": figures, "renewal": renewal}, f, indent=1)
    print(path)


if __name__ == "__main__":
    main()
