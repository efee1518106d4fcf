"""Gateways that misbehave: each fault, of the first of two servers and of the only one.

One relay, one gateway section for each case, all of them at work at the same time; the waits of the
client are set short by `timeout { }`.  What was accepted must be where the case says, and nowhere else.
"""

import collections
import datetime
import socket
import time
import unittest

import mail
import smtp
from case import FolderCase
from certificates import Authority
from ports import free_port
from waiting import wait_until

WAIT = "4s"  # of the client for each reply: long enough for a healthy sink on a busy machine
TLS_NAME = "mx.corp.example"

# What becomes of a message at a gateway whose first server is the faulty one:
HERE, NEXT, REFUSED = "taken by it", "taken by the next server", "bounced"


class Case:
    """`why`: in the reply of the deferred or bounced event, when it is the only server."""

    def __init__(self, name, end, *options, why="", words="", big=False):
        self.name, self.end, self.options = name, end, list(options)
        self.why, self.words, self.big = why, words, big
        self.sink = None

    def __repr__(self):
        return self.name


def replies(stage, *codes):
    """A reply of 5yz before MAIL is about the server, later about the message."""
    for code in codes:
        end = REFUSED if code >= 500 and stage not in ("banner", "ehlo") else NEXT
        yield Case(f"{code} at {stage}", end, "--reply-at", f"{stage}={code}", why=f"^{code} ")


STAGES = ("banner", "ehlo", "mail", "rcpt", "data", "dot")
WAITED = {"banner": "the greeting", "ehlo": "the reply to EHLO", "mail": "the reply to MAIL, RCPT or DATA",
          "rcpt": "the reply to MAIL, RCPT or DATA", "data": "the reply to MAIL, RCPT or DATA",
          "dot": "the reply to the message"}

CASES = [case for stage in STAGES for case in replies(stage, 421, 451, 554)]
CASES += [Case(f"closes at {s}", NEXT, "--close-at", s,
               why=f"(closed by the gateway|connection broken) while waiting for {WAITED[s]}") for s in STAGES]
CASES += [Case(f"mute at {s}", NEXT, "--mute-at", s, why=f"timed out while waiting for {WAITED[s]}")
          for s in STAGES]
CASES += [Case(f"garbage at {s}", NEXT, "--garbage-at", s, why="something that is no reply") for s in STAGES]
CASES += [Case(f"endless at {s}", NEXT, "--endless-at", s, why="a reply without end") for s in STAGES]
CASES += [
    Case("slow banner", HERE, "--delay-at", "banner=700"),
    Case("too slow a banner", NEXT, "--delay-at", "banner=60000", why="timed out while waiting for the greeting"),
    Case("reads nothing of a message", NEXT, "--stall", why="timed out while waiting for room", big=True),
    Case("without PIPELINING", HERE, "--no-pipelining"),
    Case("CHUNKING", HERE, "--offer", "CHUNKING"),
    Case("CHUNKING without PIPELINING", HERE, "--offer", "CHUNKING", "--no-pipelining"),
    Case("CHUNKING, closes at dot", NEXT, "--offer", "CHUNKING", "--close-at", "dot", why="closed by the gateway"),
    Case("CHUNKING, 554 at dot", REFUSED, "--offer", "CHUNKING", "--reply-at", "dot=554", why="^554 "),
    Case("CHUNKING, 451 at rcpt", NEXT, "--offer", "CHUNKING", "--reply-at", "rcpt=451", why="^451 "),
]

OFF, MAY, REQUIRE, VERIFY = (f'tls = "{word}"' for word in ("off", "may", "require", "verify"))
# {good}, {other}, {stranger}: PEM files, the last two for another name and of an unknown authority.
TLS_CASES = [
    Case("off: offered", HERE, "--tls", "{good}", words=OFF),
    Case("may: offered", HERE, "--tls", "{stranger}", words=MAY),
    Case("may: not offered", HERE, words=MAY),
    Case("may: 454", HERE, "--tls", "{good}", "--reply-at", "starttls=454", words=MAY),
    Case("may: 421", NEXT, "--tls", "{good}", "--reply-at", "starttls=421", words=MAY, why="^421 "),
    Case("may: closes in the handshake", HERE, "--tls", "{good}", "--close-at", "tls", words=MAY),
    Case("may: mute in the handshake", HERE, "--tls", "{good}", "--mute-at", "tls", words=MAY),
    Case("require: offered", HERE, "--tls", "{stranger}", words=REQUIRE),
    Case("require: not offered", NEXT, words=REQUIRE, why="^TLS: the server does not offer STARTTLS"),
    Case("require: 454", NEXT, "--tls", "{good}", "--reply-at", "starttls=454", words=REQUIRE, why="^TLS: 454 "),
    Case("require: 421", NEXT, "--tls", "{good}", "--reply-at", "starttls=421", words=REQUIRE, why="^(TLS: )?421 "),
    Case("require: closes in the handshake", NEXT, "--tls", "{good}", "--close-at", "tls", words=REQUIRE,
         why="^TLS: (connection closed|Connection reset)"),
    Case("require: mute in the handshake", NEXT, "--tls", "{good}", "--mute-at", "tls", words=REQUIRE,
         why="timed out while waiting for the TLS handshake"),
    Case("require: closes in mid-TLS", NEXT, "--tls", "{good}", "--close-at", "dot", words=REQUIRE,
         why="closed by the gateway while waiting for the reply to the message"),
    Case("verify: the right one", HERE, "--tls", "{good}", words=VERIFY),
    Case("verify: with CHUNKING", HERE, "--tls", "{good}", "--offer", "CHUNKING", words=VERIFY, big=True),
    Case("verify: another name", NEXT, "--tls", "{other}", words=VERIFY, why="^TLS: hostname mismatch"),
    Case("verify: an unknown authority", NEXT, "--tls", "{stranger}", words=VERIFY,
         why="^TLS: unable to get local issuer certificate"),
]
SECURED = {"may: offered", "require: offered", "verify: the right one", "verify: with CHUNKING"}


class BlackHole:
    """A port whose backlog is full: the kernel answers no SYN."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.waiting = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", self.port))
            self.waiting.append(s)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        for s in [*self.waiting, self.listener]:
            s.close()


class Sent:
    """One message: where it was sent and what came of it."""

    def __init__(self, case, is_alone, message_id=None):
        self.case, self.is_alone, self.id = case, is_alone, message_id
        self.at = time.time()  # of its 250

    @property
    def subject(self):
        return f"{'only' if self.is_alone else 'first'}: {self.case}"


class MatrixCase(FolderCase):
    def matrix(self, cases, words=""):
        """A relay with two gateways for each case: both servers, and the faulty one alone."""
        self.good = self.starting(self.gateway(*self.good_options(), name="good"))
        for i, case in enumerate(cases):
            case.sink = self.gateway(*(o.format(**self.files()) for o in case.options), name=f"bad-{i}")
            self.starting(case.sink)
        self.relay_of(cases, words)

    def good_options(self):
        return ()

    def files(self):
        return {}

    def relay_of(self, cases, words, address=lambda case: case.sink.address):
        sections, domains = [], []
        timeout = f"timeout {{ connect = {WAIT} greeting = {WAIT} command = {WAIT} data = {WAIT} final = {WAIT} }}"
        for i, case in enumerate(cases):
            for kind in ("two", "only"):
                servers = f'server "{address(case)}" {{ }} '
                if kind == "two":
                    servers += f'server "{self.good.address}" {{ preference = 20 }} '
                sections.append(f'gateway "{kind}-{i}" {{ {servers} {case.words} {words} {timeout} }}')
                domains.append(f'domain "{kind}-{i}.example" {{ gateway = "{kind}-{i}" }}')
        self.mx = self.starting(self.relay(self.good, sections="\n".join(sections), domains="\n".join(domains),
                                           filters=(), connect=(), max_size="40M", retry="1h"))

    def send_all(self, cases, big=b""):
        self.sent = []
        for i, case in enumerate(cases):
            for kind in ("two", "only"):
                sent = Sent(case, kind == "only")
                message = mail.plain(sent.subject, "Hello.\n") + (big if case.big else b"")
                reply = smtp.send(self.mx.port, message, to=f"bob@{kind}-{i}.example")
                self.assertEqual(reply.code, 250, f"{case}: {reply}")
                sent.id, sent.at = reply.id, time.time()
                self.sent.append(sent)

    # --- what came of it ---

    def copies(self):
        """{subject: [(gateway, message), …]}"""
        found = collections.defaultdict(list)
        for gateway in self.every_gateway():
            for kept in gateway.kept():
                for subject in kept.header("Subject"):
                    found[subject].append((gateway, kept))
        return found

    def every_gateway(self):
        return [self.good, *{s.case.sink for s in self.sent if s.case.sink is not None}]

    def events(self):
        """{(id, event): reply} of everything that was told of a recipient."""
        return {(e.get("id"), e["event"]): e.get("reply", "") for e in self.mx.events()}

    def is_settled(self, sent, copies, events):
        if sent.case.end == REFUSED:
            return (sent.id, "bounced") in events
        if sent.case.end == NEXT and sent.is_alone:
            return (sent.id, "deferred") in events
        return (sent.id, "delivered") in events and bool(copies[sent.subject])

    def wait_settled(self):
        def open_ones():
            copies, events = self.copies(), self.events()
            return [s.subject for s in self.sent if not self.is_settled(s, copies, events)]

        wait_until(lambda: not open_ones(), open_ones)

    def check(self):
        copies, events = self.copies(), self.events()
        for sent in self.sent:
            with self.subTest(sent.subject):
                self.check_copies(sent, copies[sent.subject])
                event = {REFUSED: "bounced", NEXT: "deferred"}.get(sent.case.end)
                if event and (sent.is_alone or event == "bounced"):
                    self.assertRegex(events[sent.id, event], sent.case.why)

    def check_copies(self, sent, got):
        wanted = {HERE: [sent.case.sink], NEXT: [] if sent.is_alone else [self.good], REFUSED: []}
        self.assertEqual([g.folder for g, _ in got], [g.folder for g in wanted[sent.case.end]])

    def print_times(self):
        copies = self.copies()
        print(f"\n{'fault of the first server':36} ms from our 250 to that of the next server")
        for sent in self.sent:
            if sent.case.end == NEXT and not sent.is_alone:
                [(_, message)] = copies[sent.subject]
                took = datetime.datetime.fromisoformat(message.envelope["time"]).timestamp() - sent.at
                print(f"{sent.case.name:36} {max(0, took * 1000):7.0f}")

    def heal(self, cases):
        """Every server does what it should: what was deferred is delivered, once, and nothing is left."""
        for case in cases:
            case.sink.stop()
            case.sink.options = [o for o in ("--tls", self.files().get("good")) if self.files()]
            self.starting(case.sink)
        left = [s for s in self.sent if s.is_alone and s.case.end == NEXT]
        for sent in left:
            self.mx.command("queue", "retry", sent.id)
        wait_until(lambda: (lambda c: all(c[s.subject] for s in left))(self.copies()),
                   lambda: [s.subject for s in left if not self.copies()[s.subject]])
        copies = self.copies()
        for sent in self.sent:
            self.assertEqual(len(copies[sent.subject]), 0 if sent.case.end == REFUSED else 1, sent.subject)


class Matrix(MatrixCase):
    def test_faults(self):
        self.matrix(CASES)
        self.send_all(CASES, big=b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n" * 700000)
        self.wait_settled()
        self.print_times()
        self.check()
        self.heal(CASES)

    def test_no_connection(self):
        refuses, hole = Case("refuses", NEXT, why="refused"), Case("no SYN-ACK", NEXT, why="timed out")
        black_hole = BlackHole()
        self.addCleanup(black_hole.stop)
        closed = free_port()
        self.good = self.starting(self.gateway(name="good"))
        self.relay_of([refuses, hole], "",
                      address=lambda c: black_hole.address if c is hole else f"127.0.0.1:{closed}")
        self.send_all([refuses, hole])
        self.wait_settled()
        self.print_times()
        self.check()


class Tls(MatrixCase):
    def files(self):
        return self.pems

    def good_options(self):
        return ("--tls", self.pems["good"])

    def test_tls(self):
        authority, stranger = Authority(self.folder), Authority(self.folder, "stranger")
        self.pems = {"good": authority.server(f"DNS:{TLS_NAME}"), "other": authority.server("DNS:other.example"),
                     "stranger": stranger.server(f"DNS:{TLS_NAME}")}
        for case in TLS_CASES:
            if case.words == VERIFY:
                case.words += f' ca = "{authority.pem}"'
        self.matrix(TLS_CASES, f'tls_name = "{TLS_NAME}"')
        self.send_all(TLS_CASES, big=b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n" * 50000)
        self.wait_settled()
        self.print_times()
        self.check()
        self.check_secured()
        self.heal(TLS_CASES)

    def check_secured(self):
        copies = self.copies()
        for sent in self.sent:
            versions = [message.envelope["tls"] for _, message in copies[sent.subject]]
            if sent.case.end == HERE:
                self.assertEqual(versions, ["TLSv1.3" if sent.case.name in SECURED else ""], sent.subject)
            elif not sent.is_alone:
                self.assertEqual(versions, ["TLSv1.3"], sent.subject)


class Recipients(MatrixCase):
    def test_one_of_three_refused_for_good(self):
        self.check_three(550, "bounced", [])

    def test_one_of_three_refused_for_now(self):
        self.check_three(450, "delivered", [["two@two-0.example"]])

    def test_takes_one_of_three(self):
        """Refused for now, the two others are the next server's; with no other they are tried again.  Refused for
        good, they are nobody's."""
        cases = [Case(f"takes one of three, {code} for the others", HERE, *(
            option for kind in ("two", "only") for who in ("one", "three")
            for option in ("--reject-rcpt", f"{who}@{kind}-{i}.example={code}"))) for i, code in enumerate((450, 550))]
        self.matrix(cases)
        for i, (case, others) in enumerate(zip(cases, ({"two": "delivered", "only": "deferred"},
                                                       {"two": "bounced", "only": "bounced"}))):
            for kind, end in others.items():
                with self.subTest(case=case, kind=kind):
                    domain, began = f"{kind}-{i}.example", time.time()
                    reply = smtp.send(self.mx.port, mail.plain(f"one of three {domain}"),
                                      to=[f"{who}@{domain}" for who in ("one", "two", "three")])
                    wait_until(lambda m=reply.id: len(self.ends(m)) == 3, lambda m=reply.id: self.ends(m))
                    self.assertEqual(self.ends(reply.id), {f"one@{domain}": {end}, f"two@{domain}": {"delivered"},
                                                           f"three@{domain}": {end}})
                    print(f"    {case}, {'first of two' if kind == 'two' else 'only server'}: "
                          f"all {end} or taken after {(time.time() - began) * 1000:.0f} ms")
                    self.assertEqual([m.to for m in case.sink.kept() if f"two@{domain}" in m.to], [[f"two@{domain}"]])
                    self.assertEqual([m.to for m in self.good.kept() if f"one@{domain}" in m.to],
                                     [[f"one@{domain}", f"three@{domain}"]] if end == "delivered" else [])

    def check_three(self, code, end_of_two, with_next):
        """Each recipient has an end of its own."""
        case = Case("takes two of three", HERE, "--reject-rcpt", f"two@two-0.example={code}")
        self.matrix([case])
        reply = smtp.send(self.mx.port, mail.plain("three"),
                          to=[f"{who}@two-0.example" for who in ("one", "two", "three")])
        self.assertEqual(reply.code, 250)
        wait_until(lambda: len(self.ends(reply.id)) == 3, lambda: self.ends(reply.id))
        self.assertEqual(self.ends(reply.id), {"one@two-0.example": {"delivered"},
                                               "two@two-0.example": {end_of_two},
                                               "three@two-0.example": {"delivered"}})
        self.assertEqual([m.to for m in case.sink.kept()], [["one@two-0.example", "three@two-0.example"]])
        self.assertEqual([m.to for m in self.good.kept() if "two@two-0.example" in m.to], with_next)

    def ends(self, message):
        found = collections.defaultdict(set)
        for event in self.mx.events():
            if event.get("id") == message and event["event"] in ("delivered", "bounced", "deferred", "held"):
                found[event["to"]].add(event["event"])
        return found

    def test_eight_bits(self):
        """RFC 6152: 8-bit text goes to no gateway that does not offer 8BITMIME; plain text that was merely
        declared so does."""
        case = Case("no 8BITMIME", REFUSED, "--no-8bitmime", why="^554 5.6.3 ")
        self.matrix([case])
        self.sent = []
        with smtp.Client(self.mx.port) as client:
            client.greet()
            for body, end in ((b"gr\xc3\xbcn\r\n", "bounced"), (b"green\r\n", "delivered")):
                client.say("MAIL FROM:<alice@sender.example> BODY=8BITMIME", 250)
                client.say("RCPT TO:<bob@only-0.example>", 250)
                client.say("DATA", 354)
                message = client.expect(250, client.body(mail.plain("bits") + body)).id
                wait_until(lambda m=message, e=end: (m, e) in self.events(), lambda: self.events())
                if end == "bounced":
                    self.assertRegex(self.events()[message, end], case.why)
        self.assertEqual(len(case.sink.kept()), 1)


if __name__ == "__main__":
    unittest.main()
