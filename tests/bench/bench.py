#!/usr/bin/python3
"""make bench: Postern and Debian's Postfix in alternating rounds; tables, and BUILD/bench/result.json.

BENCH_ROUNDS, BENCH_MESSAGES (for each of Postern's measurements; Postfix gets a fifth) and BENCH_BACKLOG
in the environment.  docs/benchmarks.md says what the columns mean.
"""

import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import tree  # noqa: E402
from backlog import measure_backlog  # noqa: E402
from calls import calls_a_message  # noqa: E402
from cases import CASES, DURABLE, SLOW, SLOW_MS, THROUGH, aim_table, is_in, ratios  # noqa: E402
from figures import spread  # noqa: E402
from load import measure  # noqa: E402
from servers import Nothing, Postern, Postfix, fresh_folder  # noqa: E402
from sink import Sink  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
MESSAGES = int(os.environ.get("BENCH_MESSAGES") or 10000)
BACKLOG = int(os.environ.get("BENCH_BACKLOG") or 500000)
WARM_UP = 500
SYNCED = CASES[:3]  # what syncs are counted of


def messages_for(server, case):
    return max(100, int(MESSAGES * case.share / server.share))


def count_syncs(folder, sinks):
    """{case: {server: syncs a message}} of servers of their own, started under strace."""
    results = {}
    for server in (Postern(folder, sinks, "traced", "Postern", is_traced=True),
                   Postfix(folder, sinks, "traced-postfix", is_traced=True)):
        try:
            server.start()
            measure(server, sinks[DURABLE.domain], DURABLE, WARM_UP)
            for case in SYNCED:
                n, before = messages_for(server, case), server.syncs.count()
                measure(server, sinks[case.domain], case, n)
                results.setdefault(case.title, {})[server.title] = (server.syncs.count() - before) / n
        finally:
            server.stop()
    return results


def rounds(servers, sinks):
    """{(case, server): [measurement, …]}, the servers taking turns, each round from another one on."""
    results = {(case.title, s.name): [] for case in CASES for s in servers if is_in(case, s.name)}
    for server in servers:
        measure(server, sinks[DURABLE.domain], DURABLE, WARM_UP)
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
        for case in CASES:
            at = turn % len(servers)
            for server in servers[at:] + servers[:at]:
                if is_in(case, server.name):
                    results[case.title, server.name].append(
                        measure(server, sinks[case.domain], case, messages_for(server, case)))
    return results


def row(server, case, results):
    found = results[case.title, server.name]
    cpu = [m["cpu_s"] for m in found]
    return [server.title, spread([m["rate"] for m in found], 0),
            spread(ratios(results, case, server.name), 1) if server.name != "postfix" else "1",
            spread([m["accepted"] for m in found], 0), spread(cpu, 3) if None not in cpu else "",
            spread([m["p50_ms"] for m in found], 1), spread([m["p99_ms"] for m in found], 1),
            str(sum(n for m in found for n in m["others"].values()))]


def table(servers, results):
    head = ["", "msg/s until delivered", "ratio", "msg/s accepted", "CPU s/1,000", "p50 ms", "p99 ms", "other replies"]
    lines = []
    for case in CASES:
        lines += ["", f"**{case.title}**", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(row(s, case, results)) + " |" for s in servers if is_in(case, s.name)]
    return "\n".join(lines)


def sync_table(syncs):
    return "\n".join(["| syncs a message, counted in a run apart | Postern | Postfix |", "| --- | --- | --- |"] + [
        f"| {case} | {found['Postern']:.3f} | {found['Postfix']:.2f} |" for case, found in syncs.items()])


def backlog_text(b):
    return (f"{b['messages']:,} deferred messages, put there in {b['fill_s']:.0f} s: msg/s until delivered "
            f"{spread(b['before'], 0)} before, {spread(b['after'], 0)} with them; the spool process grew by "
            f"{b['bytes_each']:.0f} bytes for each. After kill -9 of it mail was taken again in {b['recovery_s']:.1f} s; "
            f"then it had {b['bytes_each_recovered']:.0f} bytes for each.")


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


def compare(folder, sinks):
    """The rounds: servers, results, and system calls a message of the first server."""
    servers = [Postern(folder, sinks, "postern", "Postern, no filters"),
               Postern(folder, sinks, "filtered", "Postern, header content tag", ("header", "content", "tag")),
               Postfix(folder, sinks), Nothing(folder, sinks)]
    started = []
    try:
        for server in servers:
            started.append(server)
            server.start()
        results = rounds(servers, sinks)
        return servers, results, calls_a_message(servers[0], sinks[DURABLE.domain], messages_for(servers[0], DURABLE))
    finally:
        for server in reversed(started):
            server.stop()


def main():
    if not tree.IS_ROOT:
        sys.exit("bench: Postfix starts as root only")
    folder = fresh_folder()
    begun = time.time()
    load = os.getloadavg()
    fast, slow = Sink(), Sink("--delay-ms", str(SLOW_MS))
    sinks = {DURABLE.domain: fast, THROUGH.domain: fast, SLOW.domain: slow}
    try:
        servers, results, calls = compare(folder, sinks)
        syncs = count_syncs(folder, sinks)
        print(f"{BACKLOG:,} deferred messages", flush=True)
        backlog = measure_backlog(folder, sinks, BACKLOG, MESSAGES)
    finally:
        fast.stop()
        slow.stop()
    about = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)), "rounds": ROUNDS,
             "messages": MESSAGES, "cores": os.cpu_count(), "kernel": os.uname().release,
             "load_before": load, "file_system": file_system(folder), "cpu_by": servers[0].cpu.how,
             "syncs_a_message": syncs, "calls_a_message": calls, "backlog": backlog}
    print(table(servers, results))
    print(f"\n{sync_table(syncs)}")
    print(f"\n{backlog_text(backlog)}")
    print(f"\n{aim_table({'rounds': results, 'syncs': syncs, 'calls': calls, 'backlog': backlog})}")
    print(f"\nMedian (lowest-highest) of {ROUNDS} alternating rounds; ratio to Postfix within each round; "
          f"{about['file_system']}, {about['cores']} cores, load before {load[0]:.1f}, "
          f"{time.time() - begun:.0f} s.")
    print(write_result(folder, results, about))


if __name__ == "__main__":
    main()
