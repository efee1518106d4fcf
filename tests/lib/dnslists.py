"""DNS for tests: the real rbldnsd with a zone of our own, and a small server that can misbehave."""

import os
import signal
import socket
import struct
import subprocess
import threading
import time

import tree
from ports import free_port
from waiting import wait_until

TYPE_A, TYPE_SOA, TYPE_PTR = 1, 6, 12


def query(port, name, kind=TYPE_A, patience_s=20.0):
    """Addresses of one A query to 127.0.0.1; None when no answer came."""
    question = b"".join(bytes([len(p)]) + p.encode("ascii") for p in name.split(".")) + b"\0"
    packet = struct.pack(">HHHHHH", 0x4242, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(patience_s)
        try:
            s.connect(("127.0.0.1", port))
            s.send(packet)
            answer = s.recv(4096)
        except OSError:
            return None
    count = struct.unpack(">H", answer[6:8])[0]
    at = len(packet)
    found = []
    for _ in range(count):
        at += 2  # a compressed name: both our servers compress
        kind, _, _, size = struct.unpack(">HHIH", answer[at:at + 10])
        if kind == TYPE_A and size == 4:
            found.append(socket.inet_ntoa(answer[at + 10:at + 14]))
        at += 10 + size
    return found


class Rbldnsd:
    """`zones`: {"zen.test": {"203.0.113.7": "127.0.0.2", …}}; each also lists 127.0.0.2, as RFC 5782 asks.
    `domains`: {"dbl.test": {"bad.example": "127.0.1.2", …}}, with all below them; each also lists TEST."""

    def __init__(self, folder, zones, domains=None):
        self.domains = domains or {}
        self.folder = folder
        self.port = free_port(socket.SOCK_DGRAM)
        self.zones = zones
        self.process = None
        self.popen = {}  # further keywords for Popen

    def _write(self, zone, entries):
        path = os.path.join(self.folder, zone + ".zone")
        with open(path, "w", encoding="ascii") as f:
            f.write("$TTL 60\n$SOA 60 ns.test.example. hostmaster.test.example. 0 60 60 60 60\n")
            for address, answer in {"127.0.0.2": "127.0.0.2", **entries}.items():
                f.write(f"{address} :{answer}:listed by {zone}\n")
        os.chmod(path, 0o644)
        return f"{zone}:ip4set:{zone}.zone"

    def change(self, zone, entries):
        """Serves these entries of the zone from now on."""
        self._write(zone, entries)
        self.process.send_signal(signal.SIGHUP)

    def _write_domains(self, zone, entries):
        path = os.path.join(self.folder, zone + ".domains")
        with open(path, "w", encoding="ascii") as f:
            f.write("$TTL 60\n$SOA 60 ns.test.example. hostmaster.test.example. 0 60 60 60 60\n")
            for name, answer in {"test": "127.0.0.2", **entries}.items():
                f.write(f".{name} :{answer}:listed by {zone}\n")
        os.chmod(path, 0o644)
        return f"{zone}:dnset:{zone}.domains"

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        specs = [self._write(zone, entries) for zone, entries in self.zones.items()]
        specs += [self._write_domains(zone, entries) for zone, entries in self.domains.items()]
        with open(os.path.join(self.folder, "rbldnsd.log"), "ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/rbldnsd", "-n", "-b", f"127.0.0.1/{self.port}", *specs],
                stdout=log, stderr=log, cwd=self.folder, **tree.plain_user(), **self.popen)
        first = f"2.0.0.127.{next(iter(self.zones))}" if self.zones else f"test.{next(iter(self.domains))}"
        wait_until(lambda: query(self.port, first, patience_s=0.3), "rbldnsd to answer")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Nameserver:
    """A server of our own: answers(name, kind) gives addresses or PTR names (empty: NXDOMAIN), None for
    silence, "servfail", "refused", "garbage" (no DNS packet), "mismatch" (the answer to another question),
    "wrong id" or "truncated" (nobody answers over TCP); `delay_s` is waited before each answer."""

    def __init__(self, answers, delay_s=0.0, port=None, ttl=60):
        self.answers = answers
        self.delay_s = delay_s
        self.ttl = ttl
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = port or free_port(socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.port))
        self.thread = threading.Thread(target=self._serve, daemon=True)

    @staticmethod
    def _question(packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace"))
            at += 1 + packet[at]
        return ".".join(labels).lower(), struct.unpack(">H", packet[at + 1:at + 3])[0], at + 5

    @staticmethod
    def _name(text):
        return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"

    def _answer(self, packet, sender):
        name, kind, end = self._question(packet)
        self.asked.append((name, kind))
        found = self.answers(name, kind)
        if found is None:
            return
        time.sleep(self.delay_s)
        if found == "garbage":
            self._send(os.urandom(40), sender)
            return
        if found == "mismatch":
            other = self._name("other.example") + struct.pack(">HH", kind, 1)
            self._send(packet[:2] + struct.pack(">HHHHH", 0x8480, 1, 0, 0, 0) + other, sender)
            return
        if found in ("wrong id", "truncated"):
            flags = 0x8480 if found == "wrong id" else 0x8680
            first = bytes([packet[0] ^ 0x55]) if found == "wrong id" else packet[:1]
            self._send(first + packet[1:2] + struct.pack(">HHHHH", flags, 1, 0, 0, 0) + packet[12:end], sender)
            return
        codes = {"servfail": 2, "refused": 5}
        is_error = isinstance(found, str)
        code = codes[found] if is_error else 0 if found else 3
        records = [] if is_error or kind not in (TYPE_A, TYPE_PTR) else found
        head = packet[:2] + struct.pack(">HHHHH", 0x8480 | code, 1, len(records), 0, 0)
        values = [socket.inet_aton(r) if kind == TYPE_A else self._name(r) for r in records]
        body = b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, self.ttl, len(v)) + v for v in values)
        self._send(head + packet[12:end] + body, sender)

    def _send(self, packet, sender):
        try:
            self.socket.sendto(packet, sender)
        except OSError:
            pass  # stopped meanwhile

    def _serve(self):
        while True:
            try:
                packet, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            if not packet:
                return
            threading.Thread(target=self._answer, args=(packet, sender), daemon=True).start()

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
