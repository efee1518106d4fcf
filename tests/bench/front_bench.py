#!/usr/bin/python3
"""make bench-front: what clients cost without their messages, Postern beside Postfix in alternating rounds.

In the environment: BENCH_ROUNDS; BENCH_PARTS, of "rates" and "memory", else both.  Prints a table for each
measurement; every single one is in BUILD/bench-front/result.json.  docs/smtp.md says what is measured.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import tree  # noqa: E402
import front_idle  # noqa: E402
from figures import spread  # noqa: E402
from front_servers import LOAD, all_of, openssl_signs  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
PATIENCE_S = 180
SESSIONS = 20  # clients at once
# what: title, visits of Postern and postscreen, visits of smtpd
RATES = {
    "sessions": ("sessions a second: banner, EHLO, QUIT", 10000, 2000),
    "refused": ("clients refused a second, by a rule on their address, in place of the banner", 10000, 3000),
    "handshakes": ("STARTTLS handshakes a second, full, TLS 1.3, ECDSA P-256", 2000, 1000),
}


def rate(server, what):
    """One measurement: visits a second, CPU ms a visit, visits that went another way."""
    _, many, few = RATES[what]
    count = few if server.name.endswith("smtpd") else many
    before = server.cpu.seconds_at_rest()
    done = subprocess.run([LOAD, "--to", f"127.0.0.1:{server.ports[what]}", "--how", what, "--sessions", str(SESSIONS),
                           "--count", str(count)], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        raise AssertionError(f"front_load at {server.name}: {done.stderr}")
    said = json.loads(done.stdout)
    return {"rate": said["rate"], "cpu_ms": (server.cpu.seconds_at_rest() - before) * 1000 / count, "others": said["others"]}


def measure(measured):
    found = {}
    note = lambda *key: found.setdefault(key, [])
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
        order = measured[turn % len(measured):] + measured[:turn % len(measured)]
        for what in RATES:
            for server in order:
                if what in server.ports:
                    print(f"  {what}, {server.name}", flush=True)
                    note(what, server.name).append(rate(server, what))
        note("signatures", "openssl speed").append({"rate": openssl_signs()})
    return found


def table(measured, found):
    lines = []
    for what, (title, _, _) in RATES.items():
        lines += ["", f"**{title}**", "", "| | a second | to smtpd | CPU ms each | others |", "| --- | --- | --- | --- | --- |"]
        base = found[what, "Postfix smtpd"]
        for server in measured:
            mine = found.get((what, server.name))
            if mine:
                ratio = spread([a["rate"] / b["rate"] for a, b in zip(mine, base)], 1) if mine is not base else "1"
                lines.append(f"| {server.name} | {spread([m['rate'] for m in mine], 0)} | {ratio} | "
                             f"{spread([m['cpu_ms'] for m in mine], 3)} | {sum(m['others'] for m in mine)} |")
        if what == "handshakes":
            signs = [m["rate"] for m in found["signatures", "openssl speed"]]
            lines.append(f"| `openssl speed ecdsap256`: signatures alone, one core | {spread(signs, 0)} | | "
                         f"{spread([1000 / s for s in signs], 3)} | |")
    return "\n".join(lines)


def rates(folder):
    """What was found, and its tables."""
    to_run, measured = all_of(folder)
    started = []
    try:
        for server in to_run:
            started.append(server)
            server.start()
        found = measure(measured)
    finally:
        for server in reversed(started):
            server.stop()
    return [{"what": w, "server": s, "values": v} for (w, s), v in found.items()], table(measured, found)


def main():
    if not tree.IS_ROOT:
        sys.exit("bench-front: Postfix starts as root only")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    folder = os.path.join(tree.BUILD, "bench-front")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o755)
    begun, load = time.time(), os.getloadavg()[0]
    parts = (os.environ.get("BENCH_PARTS") or "rates memory").split()
    result = {"rounds": ROUNDS, "cores": os.cpu_count(), "load_before": load}
    tables = []
    if "rates" in parts:
        result["rates"], text = rates(folder)
        tables.append(text)
    if "memory" in parts:
        result["memory"], text = front_idle.measure(folder)
        tables.append(text)
    with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
    print("\n".join(tables))
    print(f"\nMedian (lowest-highest) of {ROUNDS} alternating rounds, {SESSIONS} clients at once, memory: of "
          f"{front_idle.ROUNDS}; {os.cpu_count()} cores, load before {load:.1f}, {time.time() - begun:.0f} s.")


if __name__ == "__main__":
    main()
