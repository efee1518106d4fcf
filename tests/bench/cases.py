"""What is measured, and what it should come to."""

import statistics
from collections import namedtuple

# domain: which gateway (servers.py); share: part of BENCH_MESSAGES; servers: names, None: all
Case = namedtuple("Case", "title domain size sessions is_reused share servers")

DURABLE = Case("4 KiB, 50 sessions, reused", "example.org", 4096, 50, True, 1, None)
CASES = (
    DURABLE,
    Case("4 KiB, 20 sessions, a connection a message", "example.org", 4096, 20, False, 1, None),
    Case("64 KiB, 20 sessions, reused", "example.org", 65536, 20, True, 0.5, None),
    Case("4 KiB, 50 sessions, reused, accept = through", "through.example", 4096, 50, True, 1,
         ("postern", "postfix")),
    Case("4 KiB, 50 sessions, reused, a gateway that takes 20 ms a message", "slow.example", 4096, 50, True, 0.3,
         ("postern", "postfix")),
)
_, CONNECTIONS, LARGE, THROUGH, SLOW = CASES
SLOW_MS = 20
BACKLOG = Case("1 KiB to a gateway that is down", "dead.example", 1024, 50, True, 1, None)

# what, aim, floor (None: none was set), whether more is better, digits, and where the median of it is found
Aim = namedtuple("Aim", "title aim floor is_more digits find")


def is_in(case, server):
    return not case.servers or server in case.servers


def ratios(results, case, server="postern", baseline="postfix", key="rate"):
    return [mine[key] / theirs[key]
            for mine, theirs in zip(results[case.title, server], results[case.title, baseline])]


def _ratio(case):
    return lambda r: statistics.median(ratios(r["rounds"], case))


def _median(case, key, server="postern"):
    return lambda r: statistics.median(m[key] for m in r["rounds"][case.title, server])


def _slow_acceptance(r):
    """Round by round: the same relay's, with a gateway that answers at once."""
    return statistics.median(slow["accepted"] / fast["accepted"] for slow, fast in zip(
        r["rounds"][SLOW.title, "postern"], r["rounds"][DURABLE.title, "postern"]))


def _filters(r):
    """CPU seconds for 1,000 messages are milliseconds for one."""
    rounds = r["rounds"]
    return statistics.median(with_["cpu_s"] - without["cpu_s"] for with_, without in zip(
        rounds[DURABLE.title, "filtered"], rounds[DURABLE.title, "postern"]))


AIMS = (
    Aim(f"{DURABLE.title}: times Postfix", 12, 8, True, 1, _ratio(DURABLE)),
    Aim(f"{CONNECTIONS.title}: times Postfix", 10, 6, True, 1, _ratio(CONNECTIONS)),
    Aim(f"{LARGE.title}: times Postfix", 9, 6, True, 1, _ratio(LARGE)),
    Aim(f"{THROUGH.title}: times Postfix", 15, 9, True, 1, _ratio(THROUGH)),
    Aim(f"{SLOW.title}: times Postfix", 1, None, True, 2, _ratio(SLOW)),
    Aim("the same: acceptance, times that with a fast gateway", 1, 0.9, True, 2, _slow_acceptance),
    Aim("CPU s/1,000 messages", 0.2, 0.35, False, 3, _median(DURABLE, "cpu_s")),
    Aim("CPU ms a message that filters of rules add", 0.15, None, False, 3, _filters),
    Aim("syncs a message", 0.1, 0.15, False, 3, lambda r: r["syncs"][DURABLE.title]["Postern"]),
    Aim("system calls a message", 40, None, False, 1, lambda r: r["calls"]),
    Aim("p99 until 250, ms", 15, 30, False, 1, _median(DURABLE, "p99_ms")),
    Aim("rate with a backlog, times that without", 0.9, None, True, 2, lambda r: r["backlog"]["ratio"]),
    Aim("bytes of memory a deferred message", 300, None, False, 0, lambda r: r["backlog"]["bytes_each"]),
    Aim("seconds from kill -9 until 250, for a million deferred", 10, None, False, 1,
        lambda r: r["backlog"]["recovery_s_a_million"]),
)


def verdict(aim, value):
    is_met = lambda goal: value >= goal if aim.is_more else value <= goal
    if is_met(aim.aim):
        return "met"
    if aim.floor is None:
        return "missed"
    return "above the floor" if is_met(aim.floor) else "BELOW THE FLOOR"


def aim_table(results):
    lines = ["| what it should come to (medians) | aim | floor | measured | |", "| --- | --- | --- | --- | --- |"]
    for aim in AIMS:
        value = aim.find(results)
        if value is None:
            lines.append(f"| {aim.title} | {aim.aim} | {aim.floor or ''} | | not measured here |")
        else:
            lines.append(f"| {aim.title} | {aim.aim} | {aim.floor or ''} | {value:,.{aim.digits}f} "
                         f"| {verdict(aim, value)} |")
    return "\n".join(lines)
