#!/usr/bin/python3
"""make soak-front: good, slow and hostile clients at once, for SOAK_MINUTES, against a build with sanitizers.

Ends with 1 where mail was lost, doubled or changed, where mail arrived that nobody acknowledged, where a
role died or a sanitizer spoke, where front kept descriptors, or where a role's memory went on growing.
"""

import glob
import hashlib
import os
import re
import statistics
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import certs  # noqa: E402
import front_clients  # noqa: E402
import signatures  # noqa: E402
import tree  # noqa: E402
from front_clients import HOSTILE, Ledger, World, good, slow, visit  # noqa: E402
from gateway import Gateway  # noqa: E402
from ports import free_port  # noqa: E402
from relay import SMALL_QUARANTINE, Relay, Settings, is_alive  # noqa: E402
from waiting import wait_until  # noqa: E402

SAMPLE_S = 1
WARM_UP = 0.3           # of the run
GROWTH_KIB = 8 * 1024   # what a role may seem to grow behind its warm-up, or a twentieth of what it has
GROWTH_MINUTES = 3      # below it, growth is told and decides nothing
MARK = re.compile(rb"^X-Mark: (m\d+)\r$", re.M)


def status_kib(pid, field="VmRSS"):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            return next((int(line.split()[1]) for line in f if line.startswith(field + ":")), 0)
    except OSError:
        return 0


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Arrived:
    """Reads what the gateway keeps, and removes it: {mark: [digest, …]}."""

    def __init__(self, folder, ledger):
        self.folder, self.ledger = folder, ledger
        self.found = {}
        self.n_bytes = 0

    def collect(self):
        for path in glob.glob(os.path.join(self.folder, "*.json")):
            text = path[:-len("json")] + "eml"
            with open(text, "rb") as f:
                data = f.read()
            os.unlink(path)
            os.unlink(text)
            self.n_bytes += len(data)
            mark = MARK.search(data)
            if mark is None or b"smuggled" in data[:data.index(b"\r\n\r\n")]:
                self.ledger.complain(f"the gateway was given {data[:300]!r}")
                continue
            # Ours stand in front, the client's begin with its From (or the long field, which is refused).
            data = data[data.index(b"From: <alice@"):]
            self.found.setdefault(mark.group(1).decode(), []).append(hashlib.sha256(data).digest())


class Soak:
    def __init__(self, folder, n_good=4, n_slow=3, n_hostile=1):
        self.folder = folder
        self.ledger = Ledger()
        self.kinds = [good] * n_good + [slow] * n_slow + list(HOSTILE) * n_hostile
        self.stopped = threading.Event()
        self.samples = []  # (second, {role: KiB})
        certificate = certs.Certificate(folder, "cert")
        users = os.path.join(folder, "users")
        with open(users, "w", encoding="utf-8") as f:
            f.write(certs.scram_line("user", "correct horse") + certs.scrypt_line("old", "battery staple"))
        self.implicit_port, self.balanced_port = free_port(), free_port()
        self.gateway = Gateway(os.path.join(folder, "gateway"), "--lenient")
        auth = f'auth = {{"plain", "login", "scram-sha-256"}}  users = "file:{users}"'
        self.relay = Relay(folder, signatures.write(os.path.join(folder, "signatures")), Settings(
            gateways=[(self.gateway.address, 10)], filters=("header", "content", "tag"), connect=("access",),
            max_size="2M", xclient="127.255.255.255", listen=auth + " limits { command_timeout = 10s  data_timeout = 10s }",
            sections=certs.section(certificate) + f"""
listen "implicit" {{ address = {{"127.0.0.1:{self.implicit_port}"}}  flow = "inbound"  tls = "implicit" }}
listen "balanced" {{ address = {{"127.0.0.1:{self.balanced_port}"}}  flow = "inbound"  proxy_protocol = {{"127.0.0.0/8"}} }}
"""))
        self.arrived = Arrived(self.gateway.folder, self.ledger)

    def _worker(self, number, kind):
        world = World(self.relay.port, self.implicit_port, self.balanced_port, self.ledger, number)
        while not self.stopped.is_set():
            visit(kind, world)
            self.stopped.wait(0.02 if kind in (good, slow) else 0.2)

    def _sample(self, begun):
        sizes = {}
        for role, pids in self.relay.roles().items():
            if role == "filter":  # the zygote, and beside it what it has forked
                for child in self.relay.workers():
                    pids = pids if child in pids else [*pids, child]
            sizes[role] = sum(status_kib(p) for p in pids)
        self.samples.append((time.monotonic() - begun, sizes))

    def run(self, seconds):
        """Goes on for so long; then everything is settled and checked. Returns the complaints."""
        with self.gateway, self.relay:
            self.relay.policy("")
            front = self.relay.role("front")
            pids = {role: self.relay.role(role) for role in ("front", "spool", "key", "filter", "lookup", "journal")}
            idle = n_descriptors(front)
            threads = [threading.Thread(target=self._worker, args=(i, kind)) for i, kind in enumerate(self.kinds)]
            begun = time.monotonic()
            for t in threads:
                t.start()
            try:
                while time.monotonic() - begun < seconds:
                    self._sample(begun)
                    self.arrived.collect()
                    time.sleep(SAMPLE_S)
            finally:
                self.stopped.set()
                for t in threads:
                    t.join()
            self.seconds = time.monotonic() - begun
            for role, pid in pids.items():
                if not is_alive(pid):
                    self.ledger.complain(f"{role} died")
            # Workers' channels come and go by a few.
            wait_until(lambda: n_descriptors(front) <= idle + 4,
                       lambda: f"front to close its sessions: {n_descriptors(front)} descriptors, {idle} at the start")
            wait_until(self._is_all_there, "what was promised to arrive", patience_s=120)
            self._check_mail()
        if seconds >= 60 * GROWTH_MINUTES:
            self._check_growth()
        return self.ledger.complaints

    def _is_all_there(self):
        self.arrived.collect()
        return self.ledger.promised.keys() <= self.arrived.found.keys()

    def _check_mail(self):
        ledger = self.ledger
        for mark, digests in self.arrived.found.items():
            wanted = ledger.promised.get(mark) or ledger.unanswered.get(mark)
            if wanted is None:
                ledger.complain(f"{mark} arrived, and nobody had acknowledged it")
            elif len(digests) != 1:
                ledger.complain(f"{mark} arrived {len(digests)} times")
            elif digests[0] != wanted:
                ledger.complain(f"{mark} arrived changed")

    # --- figures ---

    def growth(self):
        """{role: (median KiB, KiB that the line through the samples rises from the warm-up to the end)}."""
        kept = [s for s in self.samples if s[0] >= WARM_UP * self.samples[-1][0]]
        out = {}
        for role in sorted({r for _, sizes in kept for r in sizes}):
            points = [(t, sizes[role]) for t, sizes in kept if role in sizes]
            if len(points) > 3:
                slope = statistics.linear_regression(*zip(*points)).slope
                out[role] = (statistics.median(p[1] for p in points), slope * (points[-1][0] - points[0][0]))
        return out

    def _check_growth(self):
        for role, (median, rise) in self.growth().items():
            if rise > max(GROWTH_KIB, median / 20):
                self.ledger.complain(f"{role} grew by {rise:.0f} KiB, its median is {median:.0f} KiB")

    def report(self):
        ledger = self.ledger
        waits = sorted(ledger.wait_s)
        visits = sum(ledger.visits.values())
        lines = [f"{self.seconds:.0f} s, {visits} visits: " + ", ".join(f"{k} {n}" for k, n in sorted(ledger.visits.items())),
                 f"mail: {len(ledger.promised)} promised, {len(ledger.refused)} refused, {len(ledger.unanswered)} "
                 f"without an answer; {len(self.arrived.found)} arrived, {self.arrived.n_bytes >> 20} MiB"]
        if waits:
            at = lambda q: 1000 * waits[min(len(waits) - 1, int(q * len(waits)))]
            lines.append(f"good clients, MAIL to the last 250: p50 {at(0.5):.0f} ms, p99 {at(0.99):.0f} ms, "
                         f"longest {1000 * waits[-1]:.0f} ms, {len(waits)} messages")
        lines += [f"memory of {role}: median {median / 1024:.1f} MiB, rise behind the warm-up {rise:+.0f} KiB, "
                  f"{1024 * rise / max(1, visits):+.0f} bytes a visit" for role, (median, rise) in self.growth().items()]
        return "\n".join(lines)


def main():
    minutes = float(os.environ.get("SOAK_MINUTES") or 30)
    os.environ["ASAN_OPTIONS"] = SMALL_QUARANTINE + ":" + os.environ.get("ASAN_OPTIONS", "")
    with tempfile.TemporaryDirectory(prefix="postern-front-soak-") as folder:
        os.chmod(folder, 0o755)
        soak = Soak(folder)
        complaints = soak.run(60 * minutes)
        print(soak.report())
    for text in complaints[:20]:
        print(f"WRONG: {text}")
    print("soak-front: " + (f"{len(complaints)} complaints" if complaints else "nothing to complain about"))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
