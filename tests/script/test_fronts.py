"""Several fronts: clients are dealt out, one that dies is stood in for, no start of one refuses anybody."""

import errno
import os
import resource
import ssl
import subprocess
import threading
import unittest

import certs
import mail
import smtp
from case import FolderCase, RelayCase
from ports import free_port
from relay import kill_hard
from waiting import wait_until

STORM_CLIENTS = 4
CLIENTS = 40
PAUSE_S = 0.01
FILES = 400  # of a relay that soon has no room for more
HANDSHAKES = 64  # at once, of such a relay
ADDRESSES = 250  # that a relay listens on, which has descriptors for little more
FILES_FOR_ADDRESSES = 640
LARGE = ("x" * 70 + "\n") * 1500  # a body that front keeps in a file
HANDSHAKE_BYTES = 72 * 1024


class Storm:
    """Clients that connect, hear the banner, send a message and leave, over and over."""

    def __init__(self, port):
        self.port = port
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.counts = {}
        self.accepted = []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(STORM_CLIENTS)]

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def session(self, name):
        try:
            client = smtp.Client(self.port)
        except OSError as e:
            self.count(errno.errorcode.get(e.errno, str(e)))
            return
        try:
            if client.reply().code != 220:
                self.count("no banner")
                return
            self.count("banner")
            client.say("EHLO storm.example", 250)
            told = client.transaction("a@sender.example", ["b@example.org"], mail.plain(name))
            if told["end"] is not None and told["end"].code == 250:
                with self.lock:
                    self.accepted.append(name)
            client.say("QUIT", 221)
        except (AssertionError, OSError):
            is_told = any(who == "S" and line.startswith(b"421 4.3.2") for who, line in client.said)
            self.count("told 421" if is_told else "cut off")
        finally:
            client.close()

    def run(self, number):
        n = 0
        while not self.is_over.is_set():
            self.session(f"storm-{number}-{n}")
            n += 1
            self.is_over.wait(PAUSE_S)  # the ledger is read message by message

    def seen(self, what="banner"):
        with self.lock:
            return self.counts.get(what, 0)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join()


class Fronts(FolderCase):
    def running(self, fronts=2, **settings):
        settings.setdefault("filters", ())
        settings["sections"] = f"fronts = {fronts}\n" + settings.get("sections", "")
        gateway = self.starting(self.gateway())
        return self.starting(self.relay(gateway, **settings)), gateway

    def pids(self, relay, n):
        return wait_until(lambda: len(p := relay.roles().get("front", [])) == n and p, f"{n} fronts")

    def status(self, relay):
        done = relay.command("status", "--json")
        return done.json

    def all_up(self, relay, n):
        def look():
            roles = [r for r in self.status(relay)["roles"] if r["role"].startswith("front")]
            return len(roles) == n and all(r["state"] == "up" for r in roles)
        wait_until(look, f"{n} fronts to be up")

    def check_ledger(self, storm, gateway):
        self.assertGreater(len(storm.accepted), 0)
        wait_until(lambda: set(storm.accepted) <= {m.header("Subject")[0] for m in gateway.kept()},
                   "everything answered 250 to arrive")

    def sockets_of(self, pid):
        return sum(os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
                   for fd in os.listdir(f"/proc/{pid}/fd"))

    def test_clients_are_dealt_out(self):
        relay, _ = self.running()
        pids = self.pids(relay, 2)
        before = [self.sockets_of(pid) for pid in pids]
        clients = [smtp.Client(relay.port) for _ in range(CLIENTS)]
        self.addCleanup(lambda: [c.close() for c in clients])
        for c in clients:
            c.greet()
        shares = [self.sockets_of(pid) - n for pid, n in zip(pids, before)]
        self.assertEqual(sum(shares), CLIENTS)
        self.assertTrue(all(shares), shares)  # 2^-39 to be wrong
        self.assertEqual(self.status(relay)["front"]["sessions"], CLIENTS)

    def test_one_dies_the_other_serves(self):
        """Also while the dead one is not started again, those whose connection was dealt to it."""
        relay, gateway = self.running()
        pids = self.pids(relay, 2)
        survivors = []
        with Storm(relay.port) as storm:
            for turn in range(4):
                seen = storm.seen()
                wait_until(lambda: storm.seen() > seen + 20, "the storm")
                kill_hard(self.pids(relay, 2)[turn % 2])
                survivors.append(relay.roles().get("front", []))
                self.pids(relay, 2)
        # Whose session was in hand sees its end, with or without a reset; nobody is turned away.
        self.assertEqual(set(storm.counts) - {"banner", "cut off"}, set(), storm.counts)
        self.check_ledger(storm, gateway)
        self.all_up(relay, 2)
        self.assertNotEqual(pids, self.pids(relay, 2))

    def test_dead_ones_clients_do_not_wait(self):
        """Its restart is put off longer and longer; new clients are answered all the same."""
        relay, _ = self.running()
        first = self.pids(relay, 2)[0]
        is_shown = False
        for turn in range(8):  # 0.1, 0.2, ... 12.8 s: sooner or later longer than the clients need
            victim = [p for p in self.pids(relay, 2) if p != first][0]
            self.all_up(relay, 2)
            kill_hard(victim)
            if turn < 4:
                continue
            for _ in range(CLIENTS):
                client = smtp.Client(relay.port)
                client.greet()
                client.close()
            is_shown = relay.roles()["front"] == [first]
            if is_shown:
                break
        self.assertTrue(is_shown, "it was always there again")
        self.all_up(relay, 2)

    def test_fewer_and_more(self):
        """reload to another number, with clients that come all the while."""
        relay, gateway = self.running(3)
        with Storm(relay.port) as storm:
            for n in (1, 2, 3):
                relay.settings.sections = f"fronts = {n}\n"
                relay.write()
                self.assertEqual(relay.reload().status, 0)
                self.pids(relay, n)
                self.all_up(relay, n)
                seen = storm.seen()
                wait_until(lambda: storm.seen() > seen + 40, "clients to be served")
        self.assertEqual(set(storm.counts) - {"banner", "told 421"}, set(), storm.counts)
        self.check_ledger(storm, gateway)

    def test_policy_is_live_in_all(self):
        relay, _ = self.running(3)
        for n in range(5):
            relay.policy(f"reject client 127.0.0.{n + 2} text \"no\"\n")
            for _ in range(12):
                client = smtp.Client(relay.port, source=f"127.0.0.{n + 2}")
                client.greet()
                told = client.transaction("a@sender.example", ["b@example.org"], b"")
                self.assertEqual(told["rcpt"][0].code, 550, told)
                client.close()

    def test_a_taken_port_is_said(self):
        relay, _ = self.running()
        other = self.relay(gateways=[("127.0.0.1:9", 10)], filters=(), sections="fronts = 2\n")
        other.folder = self.path("other")
        os.mkdir(other.folder)
        other.state, other.run = self.path("other", "state"), self.path("other", "run")
        other.conf, other.log_path = self.path("other", "conf"), self.path("other", "log")
        other.port = relay.port
        other.write()
        with self.assertRaisesRegex(AssertionError, "is taken by another program"):
            other.start()

    def test_filters_of_each(self):
        relay, gateway = self.running(filters=("content", "tag"))
        with Storm(relay.port) as storm:
            wait_until(lambda: len(storm.accepted) > 40, "messages")
        self.check_ledger(storm, gateway)
        self.assertGreaterEqual(len(relay.workers()), 4)

    def test_drain(self):
        """A new configuration: messages in hand are finished, who waits is told so, who comes waits."""
        relay, gateway = self.running()
        idle, named, sending = ([smtp.Client(relay.port) for _ in range(8)] for _ in range(3))
        for c in idle + named + sending:
            c.greet()
        for c in named + sending:
            c.say("MAIL FROM:<a@sender.example>", 250)
        for n, c in enumerate(sending):
            c.say("RCPT TO:<b@example.org>", 250)
            c.say("DATA", 354)
            c.send(f"Subject: in hand {n}\r\n\r\nhalf\r\n")
        relay.settings.max_recipients = 99
        relay.write()
        done = []
        reload = threading.Thread(target=lambda: done.append(relay.reload().status))
        reload.start()
        for c in idle + named:
            self.assertEqual(c.expect(421).enhanced, "4.3.2")
            self.assertEqual(c.socket.recv(10), b"")
            c.close()  # front waits for that, some seconds
        late = smtp.Client(relay.port)  # its banner comes from the next one
        for c in sending:
            c.send("the rest\r\n.\r\n")
            c.expect(250)
            self.assertEqual(c.expect(421).enhanced, "4.3.2")
            c.close()
        reload.join()
        self.assertEqual(done, [0])
        late.greet()
        for n in range(len(sending)):
            gateway.wait_subject(f"in hand {n}")
        late.close()

    def test_drain_is_bounded(self):
        """Who never ends its message does not hold up the others for ever."""
        relay, _ = self.running()
        stuck = smtp.Client(relay.port)
        stuck.greet()
        stuck.say("MAIL FROM:<a@sender.example>", 250)
        stuck.say("RCPT TO:<b@example.org>", 250)
        stuck.say("DATA", 354)
        relay.settings.max_recipients = 99
        relay.write()
        self.assertEqual(relay.reload().status, 0)
        self.assertEqual(stuck.expect(421).enhanced, "4.3.2")
        stuck.close()

    def test_overload(self):
        """More clients than there is room for: told so at once, also those who talk first; then room again."""
        gateway = self.starting(self.gateway())
        relay = self.relay(gateway, filters=())
        relay.popen = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))}
        self.starting(relay)
        room = self.status(relay)["front"]["sessions_max"]
        inside = [smtp.Client(relay.port) for _ in range(room)]
        for c in inside:
            c.greet()
        for n in range(100):
            c = smtp.Client(relay.port)
            if n % 2:
                c.send("EHLO early.example\r\n")
            reply = c.expect(421)
            self.assertEqual(reply.enhanced, "4.3.2")
            self.assertTrue(reply.id)
            c.send("QUIT\r\n")  # nobody reads it: no reset may swallow the reply
            c.close()
        self.assertEqual(self.status(relay)["front"]["turned_away"], 100)
        self.assertEqual(self.status(relay)["front"]["sessions"], room)
        told = inside[0].transaction("a@sender.example", ["b@example.org"], mail.plain("a large one", LARGE))
        self.assertEqual(told["end"].code, 250)  # descriptors are kept for messages in files
        inside.pop().close()
        wait_until(lambda: self.status(relay)["front"]["sessions"] < room, "a place")
        late = smtp.Client(relay.port)
        late.greet()
        told = late.transaction("a@sender.example", ["b@example.org"], mail.plain("there is room"))
        self.assertEqual(told["end"].code, 250)
        gateway.wait_subject("a large one")
        gateway.wait_subject("there is room")
        for c in inside + [late]:
            c.close()

    def with_files(self, files, *gateways, **settings):
        """A relay, not yet started, that may open so many files."""
        relay = self.relay(*gateways, filters=(), **settings)
        relay.popen = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))}
        return relay

    def many_addresses(self, n):
        port = free_port()
        words = ", ".join(f'"127.0.7.{i + 1}:{port}"' for i in range(n))
        return port, f'listen "more" {{ address = {{{words}}}  flow = "inbound" }}\n'

    def test_overload_with_many_addresses(self):
        """Listeners take descriptors, too: those who find no room are told, at each address."""
        port, listen = self.many_addresses(ADDRESSES - 1)
        relay = self.starting(self.with_files(FILES_FOR_ADDRESSES, gateways=[("127.0.0.1:9", 10)], sections=listen))
        room = self.status(relay)["front"]["sessions_max"]
        inside = [smtp.Client(relay.port) for _ in range(room)]
        for c in inside:
            self.addCleanup(c.close)
            c.greet()
        for n in range(2 * ADDRESSES):  # more than are kept for a moment after their last word
            with smtp.Client(port, host=f"127.0.7.{n % (ADDRESSES - 1) + 1}") as c:
                self.assertEqual(c.expect(421).enhanced, "4.3.2")
        inside[0].say("NOOP", 250)
        self.assertEqual(relay.events("cannot accept"), [])

    def test_too_few_files(self):
        """Too few to serve anybody: said at the start; and where it works, no reload ends that."""
        _, listen = self.many_addresses(ADDRESSES)
        relay = self.with_files(300, gateways=[("127.0.0.1:9", 10)], sections=listen)
        with self.assertRaisesRegex(AssertionError, "limit of open files of at least [0-9]+, and it is 300; raise it"):
            relay.start()
        relay.settings.sections = ""
        relay.write()
        self.starting(relay)
        relay.settings.sections = listen
        relay.write()
        done = relay.reload()
        self.assertNotEqual(done.status, 0)
        self.assertIn("limit of open files of at least", done.err)
        with smtp.Client(relay.port) as client:
            client.greet()

    def test_handshakes_at_once(self):
        """Who begins a handshake and goes no further leaves room for others, and is counted out at its end."""
        gateway = self.starting(self.gateway())
        relay = self.relay(gateway, filters=(), sections=certs.section(certs.Certificate(self.folder, "ec")))
        relay.popen = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))}
        self.starting(relay)
        begun = []
        for n in range(HANDSHAKES + 1):
            client = smtp.Client(relay.port)
            client.greet()
            self.addCleanup(client.close)
            reply = client.say("STARTTLS")
            self.assertEqual(reply.code, 220 if n < HANDSHAKES else 454, reply)
            begun.append(client)
        front = self.status(relay)["front"]
        self.assertEqual(front["handshakes"], HANDSHAKES)
        self.assertGreaterEqual(front["memory_held"], HANDSHAKES * HANDSHAKE_BYTES)
        late = begun.pop()
        late.say("NOOP", 250)  # in the clear it goes on
        begun.pop().close()
        wait_until(lambda: self.status(relay)["front"]["handshakes"] == HANDSHAKES - 1, "one to be counted out")
        late.say("STARTTLS", 220)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        late.socket = context.wrap_socket(late.socket)
        late.hello()
        self.assertEqual(self.status(relay)["front"]["handshakes"], HANDSHAKES - 1)
        for client in begun:
            client.close()
        late.say("QUIT", 221)
        late.close()
        wait_until(lambda: self.status(relay)["front"]["memory_held"] == 0, "all memory to be counted out")

    def resumption(self, relay, port, *words):
        """One s_client: (front, resumed), as the log tells."""
        seen = len(relay.events("tls"))
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *words],
                              input=b"QUIT\r\n", capture_output=True, timeout=smtp.PATIENCE_S, check=False)
        self.assertIn(b"\n221 ", done.stdout, done)
        told = wait_until(lambda: relay.events("tls")[seen:], "the handshake in the log")
        self.assertEqual(len(told), 1, told)
        self.assertEqual(bool(told[0]["resumed"]), b"\nReused, " in done.stdout, (told, done))
        return told[0]["role"], bool(told[0]["resumed"])

    def meets_both(self, relay, port, *words):
        """The kernel chooses a front by the source port: until both have been met, each time resumed."""
        met = set()
        for _ in range(60):  # 2^-59 to be wrong
            front, is_resumed = self.resumption(relay, port, *words)
            self.assertTrue(is_resumed, f"{front} knows no ticket; met so far: {met}")
            met.add(front)
            if len(met) == 2:
                return
        self.fail(f"only {met} of two fronts")

    def test_tickets_are_good_at_all(self):
        """Also after a front, the key role or all of them are others."""
        port = free_port()
        relay, _ = self.running(2, sections=certs.section(certs.Certificate(self.folder, "ec")) + f"""
listen "submissions" {{ address = {{"127.0.0.1:{port}"}}  flow = "inbound"  tls = "implicit" }}
""")
        stores = [(version, self.path("session" + version)) for version in ("-tls1_2", "-tls1_3")]
        for version, store in stores:
            self.assertFalse(self.resumption(relay, port, version, "-sess_out", store)[1])
            self.meets_both(relay, port, version, "-sess_in", store)
        for pid in self.pids(relay, 2) + [relay.role("key")]:
            kill_hard(pid)
        self.pids(relay, 2)
        self.all_up(relay, 2)
        self.meets_both(relay, port, version, "-sess_in", store)
        relay.settings.max_recipients = 99
        relay.write()
        self.assertEqual(relay.reload().status, 0)
        self.all_up(relay, 2)
        for version, store in stores:
            self.meets_both(relay, port, version, "-sess_in", store)

    def test_tls_over_both(self):
        """Keys and passwords are asked of one process by several; certificates change in all of them."""
        relay, gateway = self.running(3, sections=certs.section(certs.Certificate(self.folder, "ec")))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for turn in range(2):
            for n in range(12):
                client = smtp.Client(relay.port)
                client.greet()
                client.say("STARTTLS", 220)
                client.socket = context.wrap_socket(client.socket)
                client.hello()
                client.close()
            if turn == 0:
                kill_hard(relay.role("key"))
                wait_until(lambda: self.status(relay)["ok"], "key to be back")


class Shared(RelayCase):
    """What two fronts count, they count together: of a client that meets both, no more than of one that meets one."""

    GUESSES = 20  # failed sign-ins of an address, then it is refused
    PLENTY = 24  # clients: 2^-23 that all of them meet the same front

    @classmethod
    def prepare(cls, folder):
        with open(f"{folder}/users", "w", encoding="utf-8") as f:
            f.write(certs.scram_line("user", "pencil"))
        cls.balanced_port, cls.auth_port = free_port(), free_port()
        return {"filters": (), "connect": ("access", "rate"), "xclient": "192.0.2.99",
                "flow": f'rate {{ connections = {cls.PLENTY}  messages = "5/1h"  recipients = "100/1h"  errors = "6/1h" }}',
                "sections": f"""fronts = 2
listen "balanced" {{
    address = {{"127.0.0.1:{cls.balanced_port}"}}  flow = "open"  tls = "off"
    proxy_protocol = {{"127.0.0.1"}}  limits {{ sessions_per_client = 3 }}
}}
flow "open" {{ relay = "domains"  connect = {{"access"}}  filters = {{}} }}
listen "auth" {{
    address = {{"127.0.0.1:{cls.auth_port}"}}  flow = "open"  tls = "off"  auth = "scram-sha-256"  users = "file:{folder}/users"
}}
"""}

    def begun(self, source, port=None):
        """A client and the code of its banner."""
        client = smtp.Client(port or self.mx.port, source)
        self.addCleanup(client.close)
        return client, client.reply().code

    def all_begun(self, source, n):
        """n clients at once, who are greeted."""
        begun = [self.begun(source) for _ in range(n)]
        self.assertEqual([code for _, code in begun], [220] * n)
        return [client for client, _ in begun]

    def others(self, dead):
        """Waits for two fronts, none of them one of these, and for all to be well."""
        wait_until(lambda: len(now := self.mx.roles().get("front", [])) == 2 and not set(dead) & set(now), "new fronts")
        wait_until(lambda: self.mx.command("status", "--json").json["ok"], "all to be well")

    def lives(self, client):
        try:
            client.say("NOOP", 250)
        except (smtp.Closed, OSError):
            return False
        return True

    def test_connections_also_of_a_front_that_died(self):
        clients = self.all_begun("127.0.0.2", self.PLENTY)
        self.assertEqual([self.begun("127.0.0.2")[1] for _ in range(12)], [421] * 12)
        clients.pop().close()
        wait_until(lambda: (one := self.begun("127.0.0.2"))[1] == 220 and not clients.append(one[0]), "a place")
        self.assertEqual([self.begun("127.0.0.2")[1] for _ in range(4)], [421] * 4)
        first, second = self.mx.roles()["front"]
        kill_hard(first)
        self.others([first])
        self.assertIn(second, self.mx.roles()["front"])
        left = [client for client in clients if self.lives(client)]
        self.assertTrue(0 < len(left) < self.PLENTY, len(left))
        self.all_begun("127.0.0.2", self.PLENTY - len(left))
        self.assertEqual([self.begun("127.0.0.2")[1] for _ in range(4)], [421] * 4)

    def test_messages(self):
        codes = []
        for n in range(17):
            with smtp.Client(self.mx.port, "127.0.0.3") as client:
                client.greet()
                codes.append(client.transaction("a@sender.example", ["b@example.org"], mail.plain(f"rate {n}"))["last"].code)
        self.assertEqual(codes, [250] * 5 + [450] * 12)

    def test_errors(self):
        for _ in range(6):
            with smtp.Client(self.mx.port, "127.0.0.4") as client:
                client.greet()
                client.say("NONSENSE", 500)
        self.assertEqual([self.begun("127.0.0.4")[1] for _ in range(12)], [421] * 12)

    def test_sessions_per_client(self):
        codes = []
        for _ in range(15):
            client = smtp.Client(self.balanced_port)
            self.addCleanup(client.close)
            client.send("PROXY TCP4 198.51.100.7 127.0.0.1 1234 25\r\n")
            codes.append(client.reply().code)
        self.assertEqual(codes, [220] * 3 + [421] * 12)

    def guess(self):
        """The reply to AUTH; 334: it goes on, and a wrong proof has been sent, to which the answer comes late."""
        client, _ = self.begun("127.0.0.5", self.auth_port)
        client.hello()
        scram = certs.Scram("user", "crayon")
        reply = client.say("AUTH SCRAM-SHA-256 " + scram.first())
        if reply.code == 334:
            client.send(scram.final(reply.text)[0] + "\r\n")
        return reply.code

    def test_guesses(self):
        failed = lambda: self.mx.command("status", "--json").json["front"]["auth_failed"]
        for _ in range(self.GUESSES):
            self.assertEqual(self.guess(), 334)
        wait_until(lambda: failed() == self.GUESSES, "all of them to fail")
        self.assertEqual([self.guess() for _ in range(12)], [421] * 12)
        # What all fronts have forgotten is forgotten; and nobody waits for the late answers of these.
        before = self.mx.roles()["front"]
        for pid in before:
            kill_hard(pid)
        self.others(before)
        client, code = self.begun("127.0.0.5", self.auth_port)
        self.assertEqual(code, 220)
        client.hello()
        client.say("AUTH SCRAM-SHA-256 " + certs.Scram("user", "crayon").first(), 334)


if __name__ == "__main__":
    unittest.main()
