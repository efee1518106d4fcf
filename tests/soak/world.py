"""A relay before four gateways of different temper, its load, and what kills its processes."""

import datetime
import os
import re
import threading
import time

import certs
import tree
from gateway import Gateway, Kept
from ledger import Arrival, Kill, Ledger
from load import LATE, MOODY, QUEUE, THROUGH, Load, digest
from relay import Relay, Settings, is_alive, kill_hard
from waiting import wait_until

BACK_S = 120 if tree.is_sanitized() else 30  # the promise: service is back by then; a sanitizer takes its time
CONNECTIONS = 4    # to each server
IN_FLIGHT = 4 * CONNECTIONS  # between a gateway's 250 and our note of it, others may end as well
ORDER = ("front", "lookup", "filter", "workers", "spool", "journal", "key", "supervisor", "gateways", "all", "run")

REFUSING = ("--reject-rcpt", f"no@{MOODY}=550", "--reject-rcpt", f"later@{MOODY}=451")
POLICY = 'quarantine from spoofed@sender.example text "Kept for the administrator"\n'


class Collector:
    """Reads what the gateways keep into the ledger, and removes the bodies it has read."""

    def __init__(self, gateways, ledger):
        self.gateways = gateways  # {name: Gateway}
        self.ledger = ledger
        self.next = dict.fromkeys(gateways, 1)
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _take(self, name, kept):
        at = _seconds(kept.envelope["time"])
        if kept.sender == "":
            subject = re.search(rb"^Subject: (soak \d+)\r$", kept.bytes, re.M)
            rcpts = re.findall(rb"^Final-Recipient: rfc822; *(\S+)\r$", kept.bytes, re.M)
            for rcpt in rcpts if subject else ():
                self.ledger.reports.add((subject.group(1).decode(), rcpt.decode()))
            return
        subject = (kept.header("Subject") or ["none"])[0]
        for to in kept.to:
            self.ledger.arrivals.append(Arrival(subject, to, name, at, digest(kept.body)))

    def collect(self):
        for name, gateway in self.gateways.items():
            while True:
                path = os.path.join(gateway.folder, f"{self.next[name]:06}.json")
                try:
                    kept = Kept(path)
                except FileNotFoundError:
                    break
                with self.ledger.lock:
                    self._take(name, kept)
                os.unlink(path[:-len("json")] + "eml")
                self.next[name] += 1

    def _run(self):
        while not self.is_over.wait(0.2):
            self.collect()

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.is_over.set()
        self.thread.join()
        self.collect()


def _seconds(text):
    """Of an RFC 3339 time in UTC."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class World:
    def __init__(self, folder, signatures):
        self.folder = folder
        self.ledger = Ledger(IN_FLIGHT)
        gateway = lambda name, *options: Gateway(os.path.join(folder, name), *options)
        self.gateways = {
            "queue": gateway("queue"),
            "through": gateway("through", "--delay-at", "dot=20", "--reject-rcpt", f"no@{THROUGH}=550"),
            "late": gateway("late", "--delay-at", "dot=200"),
            "moody": gateway("moody", *REFUSING),
            "busy": gateway("busy", "--reply-at", "mail=451"),
        }
        self.relay = Relay(folder, signatures, self._settings())
        self.collector = Collector(self.gateways, self.ledger)
        self.load = Load(self.relay.port, self.ledger)
        self.running = []
        self.has_quarantine = False

    def _settings(self):
        recipients = os.path.join(self.folder, "recipients")
        with open(recipients, "w", encoding="ascii") as f:
            f.write(f"bob@{QUEUE}\ncarol@{QUEUE}\n")
        os.chmod(recipients, 0o644)
        address = {name: g.address for name, g in self.gateways.items()}
        domains = "".join(f'domain "{domain}" {{ gateway = "{name}"  recipients = "any" }}\n'
                          for domain, name in ((THROUGH, "through"), (LATE, "late"), (MOODY, "moody")))
        sections = certs.section(certs.Certificate(self.folder, "mx")) + f"""
gateway "through" {{ server "{address['through']}" {{ }} connections = {CONNECTIONS}
    accept = "through"  through_wait = 20s }}
gateway "late" {{ server "{address['late']}" {{ }} connections = {2 * CONNECTIONS}
    accept = "through"  through_wait = 100ms }}
gateway "moody" {{ server "{address['busy']}" {{ preference = 10 }} server "{address['moody']}" {{ preference = 20 }}
    connections = {CONNECTIONS} }}
"""
        return Settings(connect=("access",), gateways=[(address["queue"], 10)], recipients=recipients,
                        gateway=f"connections = {CONNECTIONS}", domains=domains, sections=sections,
                        retry="2s, 5s, 20s, 60s")

    def start(self):
        for thing in (*self.gateways.values(), self.relay, self.collector):
            self.running.append(thing)
            thing.start()
        self._set_policy()
        self.running.append(self.load)
        self.load.start()
        return self

    def _set_policy(self):
        """A version without a quarantine delivers that kind of mail like any other."""
        done = self.relay.command("policy", "import", "-", stdin=POLICY)
        self.has_quarantine = done.status == 0
        if done.status != 0 and "not in this version" not in done.err:
            raise AssertionError(f"policy import: {done}")

    def stop(self):
        """All of it, whatever one of them has to complain of."""
        try:
            while self.running:
                self.running.pop().stop()
        finally:
            if self.running:
                self.stop()

    # --- kills ---

    def kill(self, what):
        """Kills it, waits until it is there again and mail is taken: within BACK_S or AssertionError."""
        kill = Kill(what, time.time())
        with self.ledger.lock:
            self.ledger.kills.append(kill)
        find_new = getattr(self, f"_kill_{what}", lambda: self._kill_role(what))()
        kill.done = time.time()
        find_new()
        self.load.wait_accepted(1, BACK_S)
        kill.back = time.time()

    def _kill_role(self, role):
        old = self.relay.role(role)
        kill_hard(old)
        return lambda: wait_until(lambda: self.relay.roles().get(role, [old]) != [old], f"another {role}", BACK_S)

    def _kill_supervisor(self):
        """The roles see it and end by themselves: that is the end of this kill."""
        pids = [pid for found in self.relay.roles().values() for pid in found]
        kill_hard(self.relay.role("supervisor"))
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "the roles to end after their supervisor")
        return lambda: self.relay.role("front", BACK_S)

    def _kill_workers(self):
        for pid in wait_until(self.relay.workers, "workers", BACK_S):
            kill_hard(pid)
        return lambda: wait_until(self.relay.workers, "other workers", BACK_S)

    def _kill_all(self):
        pids = [pid for found in self.relay.roles().values() for pid in found]
        for pid in pids:
            kill_hard(pid)
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "all to be dead")
        return lambda: self.relay.role("front", BACK_S)

    def _kill_run(self):
        """All ends with `postern run`; whoever supervises it starts it again."""
        self.relay.kill()
        return self.relay.start

    def _kill_gateways(self):
        """Mail is taken without them; they come back in the middle of it."""
        for gateway in self.gateways.values():
            gateway.process.kill()
        for gateway in self.gateways.values():
            gateway.stop()

        def start():
            self.load.wait_accepted(20, BACK_S)
            for gateway in self.gateways.values():
                gateway.start()
        return start

    # --- the end ---

    def waiting(self):
        """Ids of what is in the queue and in quarantine."""
        ids = set()
        for words in (("queue", "list", "--json"), ("quarantine", "list", "--limit", "10000000", "--json")):
            done = self.relay.command(*words)
            if done.status == 0:
                ids |= {entry["id"] for entry in done.lines}
            elif words[0] == "queue":
                raise AssertionError(f"queue list: {done}")
        return ids

    def settle(self, patience_s=120):
        """The load ends; what was put off is taken at last; the judgement, and what was kept in quarantine."""
        self.load.stop()
        self.running.remove(self.load)
        moody, busy = self.gateways["moody"], self.gateways["busy"]
        wait_until(lambda: self._is_settled(("put off", "quarantined")),
                   lambda: f"deliveries; {len(self._open_ids())} are in the queue", patience_s)
        put_off = len(self._open_ids() & self._ids_of("put off"))
        for gateway in (moody, busy):
            gateway.stop()
            gateway.start("--lenient")
        self.relay.command("queue", "retry", "all")
        wait_until(lambda: self._is_settled(("quarantined",)),
                   lambda: f"an empty queue; there are {len(self._open_ids())}", patience_s)
        self.collector.stop()
        self.running.remove(self.collector)
        kept = self.waiting()
        self._check_quarantine()
        return self.ledger.judge(kept), {"put_off_until_the_end": put_off, "kept": len(kept)}

    def _check_quarantine(self):
        if not self.has_quarantine:
            return
        subjects = {s.subject for s in self.ledger.sent.values() if s.kind == "quarantined"}
        arrived = [a for a in self.ledger.arrivals if a.subject in subjects]
        if arrived:
            raise AssertionError(f"mail for the quarantine has arrived: {arrived[:3]}")

    def _ids_of(self, kind):
        return {s.id for s in self.ledger.sent.values() if s.kind == kind and s.code == 250}

    def _open_ids(self):
        return {e["id"] for e in self.relay.command("queue", "list", "--json").lines}

    def _is_settled(self, kinds):
        """Whether the queue holds nothing else that was answered 250 than these kinds."""
        open_ids = self._open_ids()
        return not any(s.id in open_ids and s.kind not in kinds
                       for s in list(self.ledger.sent.values()) if s.code == 250)
