"""What an idle session costs in memory, for make bench-front: Postern beside Postfix's smtpd and postscreen.

Each figure is of a server of its own that has done nothing before, so that no heap of an earlier moment
holds it.  A few sessions are there before the first look, because the processes that Postfix starts for the
first client are no session's; then all the others, then the second look when it is at rest again.

The memory is the proportional share (PSS) of what is no file's, in all processes of the server: pages of
programs and libraries are the same for any number of sessions, and their shares change with what else runs.
What the kernel holds is apart: page tables by process, and what it has for a connection's end.
"""

import contextlib
import os
import resource
import select
import subprocess
import time

import certs
from figures import spread
from front_servers import LOAD, Postern, Postfix

ROUNDS = min(3, int(os.environ.get("BENCH_ROUNDS") or 3))
FIRST = 20          # sessions that are there before the first look
SIZES = (1000, 10000, 20000)
PATIENCE_S = 600
OURS = 300          # descriptors of a load generator, and more than those of front, that are no session's
REST_S = 2          # between two looks
REST_LOOKS = 5      # that say the same or nearly: longer than Postfix's max_idle here
REST_KIB = 64
SOCKET = ("TCP", "sock_inode_cache", "filp", "eventpoll_epi")  # a connection's end in the kernel
WAYS = {"idle": "past EHLO", "idle-tls": "inside TLS: STARTTLS, handshake (1.3, ECDSA P-256), EHLO again"}


def fronts_for(n):
    """A front is at ease up to three quarters of its sessions, for which it keeps seven eighths of its files."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 + n // ((limit - OURS) * 7 // 8 * 3 // 4)


def new_postern(folder, certificate, n):
    server = Postern(folder, certificate, fronts_for(n))
    return server, server.relay.port


def new_smtpd(folder, certificate, _):
    server = Postfix(folder, certificate)
    return server, server.smtpd


def new_postscreen(folder, certificate, _):
    server = Postfix(folder, certificate)
    return server, server.held


# name, how to make it, {sessions: rounds}.  smtpd is a process each: more than a thousand would be the machine's
# measure, and each is like the other.  postscreen takes minutes for 10,000: it greets 80 a second.
SERVERS = (
    ("Postern", new_postern, {n: ROUNDS for n in SIZES}),
    ("Postfix smtpd", new_smtpd, {1000: 1}),
    ("Postfix postscreen", new_postscreen, {1000: ROUNDS, 10000: 1}),
)


# --- what is looked at ----------------------------------------------------------------------------------

def fields_of(path):
    """{name: KiB} of a file in /proc; {} when its process has just ended."""
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            lines = [line.split() for line in f]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}


def own_kib(pids):
    rollups = [fields_of(f"/proc/{p}/smaps_rollup") for p in pids]
    return sum(r.get("Pss:", 0) - r.get("Pss_File:", 0) for r in rollups)


def tables_kib(pids):
    return sum(fields_of(f"/proc/{p}/status").get("VmPTE:", 0) for p in pids)


def sockets_kib():
    """Of all connections' ends on this machine, as the kernel counts them."""
    with open("/proc/slabinfo", encoding="ascii") as f:
        rows = [line.split() for line in f]
    slabs = sum(int(r[1]) * int(r[3]) for r in rows if r[0] in SOCKET)
    with open("/proc/net/sockstat", encoding="ascii") as f:
        tcp = next(line.split() for line in f if line.startswith("TCP:"))
    return slabs / 1024 + int(tcp[tcp.index("mem") + 1]) * resource.getpagesize() / 1024


def at_rest(server):
    """Its processes and memory when they have stopped changing."""
    looks = []
    until = time.monotonic() + PATIENCE_S
    while True:
        pids = server.pids()
        looks = [*looks, (len(pids), own_kib(pids))][-REST_LOOKS:]
        sizes = [size for _, size in looks]
        if len(looks) == REST_LOOKS and len({n for n, _ in looks}) == 1 and max(sizes) - min(sizes) <= REST_KIB:
            return pids, sizes[-1]
        if time.monotonic() > until:
            raise AssertionError(f"{server.name} does not come to rest: (processes, KiB) {looks}")
        time.sleep(REST_S)


# --- the clients ----------------------------------------------------------------------------------------

class Load:
    """So many sessions of one generator."""

    def __init__(self, said, port, how, n):
        self.n, self.said = n, said
        with open(said, "ab") as errors:
            self.process = subprocess.Popen(
                [LOAD, "--to", f"127.0.0.1:{port}", "--how", how, "--sessions", str(n), "--first", str(FIRST)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)

    def expect(self, *words):
        has_said, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline() if has_said else f"nothing in {PATIENCE_S} s"
        if line.split() != list(words):
            raise AssertionError(f"of {self.n} idle sessions: {line!r} instead of {words}; see {self.said}")

    def go_on(self):
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


def loads_for(said, port, how, n):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - OURS
    parts = -(-n // most)
    return [Load(said, port, how, n // parts) for _ in range(parts)]


def measure_one(folder, certificate, make, how, n):
    """KiB that each session has cost: of the server, of its page tables, of an end in the kernel."""
    os.makedirs(folder)
    server, port = make(folder, certificate, n)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        loads = loads_for(os.path.join(folder, "load"), port, how, n)
        for load in loads:
            stack.callback(load.close)
        for load in loads:
            load.expect("ready", str(FIRST))
        pids, before = at_rest(server)
        tables, sockets = tables_kib(pids), sockets_kib()
        for load in loads:
            load.go_on()
        for load in loads:
            load.expect("ready", str(load.n))
        pids, after = at_rest(server)
        more = n - FIRST * len(loads)
        found = {"kib": (after - before) / more, "tables": (tables_kib(pids) - tables) / more,
                 "sockets": (sockets_kib() - sockets) / more / 2, "processes": len(pids)}
        for load in loads:
            load.go_on()
            load.expect("held", str(load.n))
    return found


# --- all of it ------------------------------------------------------------------------------------------

def table(found, how):
    lines = ["", f"**KiB for each idle session, {WAYS[how]}**", "",
             "| | " + " | ".join(f"{n:,} sessions" for n in SIZES) + " | page tables |", "| --- |" + " --- |" * (len(SIZES) + 1)]
    for name, _, _ in SERVERS:
        cells = [found.get((how, name, n)) for n in SIZES]
        tables = [v["tables"] for c in cells if c for v in c]
        lines.append(f"| {name} | " + " | ".join(spread([v["kib"] for v in c], 1) if c else "" for c in cells) +
                     f" | {spread(tables, 2) if tables else ''} |")
    return lines


def measure(folder):
    """What was found, and its tables."""
    certificate = certs.Certificate(folder, "idle")
    found, n_places = {}, 0
    for turn in range(ROUNDS):
        for how in WAYS:
            for name, make, sizes in SERVERS:
                for n in (n for n, rounds in sizes.items() if turn < rounds):
                    values = found.setdefault((how, name, n), [])
                    n_places += 1
                    place = os.path.join(folder, f"m{n_places}")  # short: sockets are in it
                    said = f"memory, round {turn + 1} of {ROUNDS}: {n} {how}, {name}: "
                    try:
                        values.append(measure_one(place, certificate, make, how, n))
                    except AssertionError as e:
                        if make is new_postern:
                            raise
                        print(f"{said}could not, {e}", flush=True)  # its cell stays empty
                        continue
                    print(f"{said}{values[-1]}", flush=True)
    ends = [v["sockets"] for (how, name, n), values in found.items() for v in values
            if how == "idle" and name == SERVERS[0][0] and n > SIZES[0]]
    lines = [line for how in WAYS for line in table(found, how)]
    lines += ["", f"Postern's {SIZES[-1]:,} are over {fronts_for(SIZES[-1])} fronts. Beside all that the kernel holds "
              f"{spread(ends, 1)} KiB for each end of a connection (socket, inode, file, epoll entry; not its directory entry)."]
    return [{"how": h, "server": s, "sessions": n, "values": v} for (h, s, n), v in found.items()], "\n".join(lines)
