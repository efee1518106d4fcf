"""kill -9 of every process while mail flows: service comes back, and no message answered 250 is lost.

The ledger of what was answered 250 is kept by the sending side; what the gateways keep is held against it.
"""

import threading
import time

import mail
import smtp
from case import FolderCase
from relay import ROLES, is_alive, kill_hard
from waiting import wait_until

BACK_S = 30      # the promise: service is back by then
SENDERS = 3
BEFORE, AFTER = 20, 20  # messages answered 250 before and after the kill
BODY = "".join(f"line {i} of a message\n" for i in range(200))


class Load:
    """Threads that send until told to stop; `accepted` holds the subjects answered 250."""

    def __init__(self, port):
        self.port = port
        self.accepted = set()
        self.sent = 0
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]

    def _next(self):
        with self.lock:
            self.sent += 1
            return f"load {self.sent}"

    def _run(self):
        while not self.is_over.is_set():
            try:
                with smtp.Client(self.port) as client:
                    self._over_one_connection(client)
            except (OSError, AssertionError):
                self.is_over.wait(0.05)  # the connection went down with the process: that is the test

    def _over_one_connection(self, client):
        client.greet()
        for _ in range(5):
            if self.is_over.is_set():
                return
            subject = self._next()
            told = client.transaction("alice@sender.example", ["bob@example.org"], mail.plain(subject, BODY))
            if told["end"] is not None and told["end"].code == 250:
                with self.lock:
                    self.accepted.add(subject)

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def wait_accepted(self, n, patience_s):
        goal = len(self.accepted) + n
        wait_until(lambda: len(self.accepted) >= goal, f"{n} more messages answered 250", patience_s)


class Kill(FolderCase):
    def check(self, kill):
        """Mail flows, `kill(relay)` strikes, mail flows again within BACK_S, all of it arrives."""
        relay, gateway = self.pair()
        load = self.starting(Load(relay.port))
        load.wait_accepted(BEFORE, 60)
        kill(relay)
        load.wait_accepted(1, BACK_S)
        load.wait_accepted(AFTER, 60)
        load.stop()
        self.check_ledger(gateway, load)

    def check_ledger(self, gateway, load):
        def missing():
            return load.accepted - {s for m in gateway.kept() for s in m.header("Subject")}
        wait_until(lambda: not missing(), lambda: f"{len(missing())} messages answered 250: {sorted(missing())[:5]}")
        for kept in gateway.kept():
            self.assertEqual(kept.body, mail.crlf(BODY), "a message arrived damaged")

    def kill_role(self, role):
        def kill(relay):
            old = relay.role(role)
            kill_hard(old)
            new = relay.role(role, BACK_S)
            self.assertNotEqual(old, new)
        return kill

    def test_front(self):
        self.check(self.kill_role("front"))

    def test_lookup(self):
        self.check(self.kill_role("lookup"))

    def test_filter(self):
        self.check(self.kill_role("filter"))

    def test_spool(self):
        self.check(self.kill_role("spool"))

    def test_journal(self):
        self.check(self.kill_role("journal"))

    def test_every_worker(self):
        def kill(relay):
            for pid in wait_until(relay.workers, "workers"):
                kill_hard(pid)
        self.check(kill)

    def test_supervisor(self):
        """`postern run` starts it again, and it its roles."""
        self.check(self.kill_role("supervisor"))

    def test_postern_run(self):
        """All ends with it; whoever supervises it starts it again."""
        def kill(relay):
            relay.kill()
            relay.start()
        self.check(kill)

    def test_ends_while_the_supervisor_is_away(self):
        relay, _ = self.pair()
        for role in ("front", "supervisor"):
            kill_hard(relay.role(role))
        wait_until(lambda: relay.events("supervisor died"), "postern run to see it")
        relay.stop()  # asserts status 0

    def test_every_role_is_known(self):
        """A role that is added needs a test here."""
        relay, _ = self.pair()
        self.assertLessEqual(set(relay.roles()), set(ROLES))

    def test_same_role_again_and_again(self):
        def kill(relay):
            for _ in range(3):
                self.kill_role("front")(relay)
                self.kill_role("spool")(relay)
        self.check(kill)

    def test_all_at_once(self):
        def kill(relay):
            pids = [pid for found in relay.roles().values() for pid in found]
            for pid in pids:
                kill_hard(pid)
            wait_until(lambda: not any(is_alive(pid) for pid in pids), "all to be dead")
        self.check(kill)

    def test_spool_dies_with_a_full_queue(self):
        """The gateway is down, so that all of the ledger has to come out of the spool's files."""
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway))
        load = self.starting(Load(relay.port))
        load.wait_accepted(100, 120)
        self.kill_role("spool")(relay)
        load.wait_accepted(10, BACK_S)
        load.stop()
        relay.kill()
        relay.start()
        self.starting(gateway)
        self.check_ledger(gateway, load)

    def test_gateway_dies(self):
        relay, gateway = self.pair()
        load = self.starting(Load(relay.port))
        for _ in range(3):
            load.wait_accepted(10, 60)
            gateway.process.kill()
            gateway.process.wait()
            load.wait_accepted(10, 60)
            gateway.process.stdout.close()
            gateway.start()
        load.stop()
        self.check_ledger(gateway, load)


class Web(FolderCase):
    def test_web(self):
        from ports import free_port
        relay, gateway = self.pair(sections=f'web {{ address = "127.0.0.1:{free_port()}" }}')
        old = relay.role("web")
        kill_hard(old)
        self.assertNotEqual(relay.role("web", BACK_S), old)
        begun = time.monotonic()
        self.assertEqual(smtp.send(relay.port, mail.plain("without web")).code, 250)
        self.assertLess(time.monotonic() - begun, BACK_S)
        gateway.wait_subject("without web")
