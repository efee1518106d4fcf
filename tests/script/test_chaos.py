"""Every dependency × every way to fail: no good mail is refused for good, all of it arrives once the dependency is
back, a DNS list that is away refuses nothing at all, the banner keeps its bound, and `postern status` says so."""

import itertools
import os
import time

import directory
import mail
import smtp
from case import FolderCase
from dnslists import Nameserver
from ports import free_port
from waiting import wait_until

BANNER_MAX_S = 20  # a third of what a question to the DNS may take here
LISTED, GOOD_ZONE, BAD_ZONE = "203.0.113.66", "well.test", "ill.test"


class Chaos(FolderCase):
    clients = (f"198.51.{n // 250}.{n % 250 + 1}" for n in itertools.count())

    def problems(self, relay, text):
        return [p["what"] for p in relay.command("status", "--json").json["problems"] if text in p["what"]]

    def try_to_send(self, relay, subject, to):
        """The last reply; no client comes twice, so nothing is cached."""
        began = time.monotonic()
        with smtp.Client(relay.port) as client:
            client.greet()
            client.xclient(ADDR=next(self.clients))
            self.assertLess(time.monotonic() - began, BANNER_MAX_S)
            client.hello()
            client.say("MAIL FROM:<s@sender.example>", 250)
            reply = client.say(f"RCPT TO:<{to}>")
            if reply.code != 250:
                return reply
            client.say("DATA", 354)
            return client.body(mail.plain(subject))


def dns_faults():
    """name -> what the nameserver answers for a zone that has it."""
    return {"refused": "refused", "time-out": None, "garbage": "garbage", "error answer": "servfail",
            "answer to another question": "mismatch"}


WRONG = {"lists everyone": ["127.0.0.2"], "answers errors": ["127.255.255.254"]}


class Dns(Chaos):
    """One relay for all faults: lists that were ill must be believed again."""

    def setUp(self):
        super().setUp()
        self.faults = {}  # zone -> answer
        self.port = None

    def answers(self, name, _kind):
        zone = next((z for z in (GOOD_ZONE, BAD_ZONE) if name.endswith("." + z)), "")
        if zone in self.faults:
            return self.faults[zone]
        reverse = ".".join(reversed(LISTED.split(".")))
        return ["127.0.0.2"] if name in (f"{reverse}.{zone}", f"2.0.0.127.{zone}") else []

    def pair_with_lists(self, port):
        return self.pair(dns_port=port, banner_wait="300ms", dns_timeout="60s",
                         policy=f"dnsbl {BAD_ZONE} reject\ndnsbl {GOOD_ZONE} reject\n")

    def listed(self, relay, zone):
        """Whether the listed client is refused by this list."""
        with smtp.Client(relay.port) as client:
            client.greet()
            client.xclient(ADDR=LISTED)
            client.hello()
            client.say("MAIL FROM:<s@sender.example>", 250)
            return zone in client.say("RCPT TO:<bob@example.org>").text

    def hurts_nobody(self, relay, gateway, subject, zones):
        for i in range(4):
            self.assertEqual(self.try_to_send(relay, f"{subject} {i}", "bob@example.org").code, 250)
        for zone in zones:
            wait_until(lambda z=zone: self.try_to_send(relay, "and on", "bob@example.org").code == 250
                       and self.problems(relay, z), f"an alarm for {zone}")
        for i in range(4):
            gateway.wait_subject(f"{subject} {i}")

    def test_one_list(self):
        dns = self.starting(Nameserver(self.answers, ttl=1))
        relay, gateway = self.pair_with_lists(dns.port)
        wait_until(lambda: self.listed(relay, BAD_ZONE), "the lists to be believed")
        for fault, answer in dns_faults().items():
            with self.subTest(fault=fault):
                self.faults = {BAD_ZONE: answer}
                self.hurts_nobody(relay, gateway, fault, [BAD_ZONE])
                self.assertEqual(self.problems(relay, GOOD_ZONE), [])
                self.faults = {}
                wait_until(lambda: self.try_to_send(relay, "again", "bob@example.org").code == 250
                           and not self.problems(relay, BAD_ZONE), "the alarm to end", patience_s=90)

    def test_one_list_that_is_wrong(self):
        for fault, answer in WRONG.items():
            with self.subTest(fault=fault):
                self.folder = self.path(fault.replace(" ", "-"))
                os.mkdir(self.folder, 0o755)
                dns = Nameserver(self.answers, ttl=1).start()
                self.faults = {BAD_ZONE: answer}
                relay, gateway = self.pair_with_lists(dns.port)
                self.hurts_nobody(relay, gateway, fault, [BAD_ZONE])
                self.faults = {}
                wait_until(lambda r=relay: self.listed(r, BAD_ZONE), "the list to be believed again", patience_s=90)
                self.assertEqual(self.problems(relay, BAD_ZONE), [])
                relay.stop()
                gateway.stop()
                dns.stop()

    def test_the_resolver(self):
        port = free_port()
        dns = Nameserver(self.answers, port=port, ttl=1).start()
        relay, gateway = self.pair_with_lists(port)
        wait_until(lambda: self.listed(relay, BAD_ZONE), "the lists to be believed")
        dns.stop()
        self.hurts_nobody(relay, gateway, "connection refused", [BAD_ZONE, GOOD_ZONE])
        dns = self.starting(Nameserver(self.answers, port=port, ttl=1))
        for fault, answer in dns_faults().items():
            with self.subTest(fault=fault):
                self.faults = {BAD_ZONE: answer, GOOD_ZONE: answer, "": answer}
                self.hurts_nobody(relay, gateway, fault, [BAD_ZONE, GOOD_ZONE])
        self.faults = {}
        wait_until(lambda: self.try_to_send(relay, "again", "bob@example.org").code == 250
                   and not self.problems(relay, "test"), "the alarms to end", patience_s=90)


class Sources(Chaos):
    """A recipient that the source has not been asked for before: 451 at the worst, and taken afterwards."""

    def put_off_then_taken(self, relay, asked, gateway, subject, break_it, mend_it):
        """`asked` is the gateway of staff.example, `gateway` that of all else."""
        to = f"bob.{subject.replace(' ', '.')}@staff.example"
        break_it()
        self.assertEqual((self.try_to_send(relay, subject, to).code, self.try_to_send(relay, subject, to).code),
                         (451, 451))
        self.assertEqual(self.try_to_send(relay, f"other {subject}", "bob@example.org").code, 250)
        self.assertTrue(self.problems(relay, "staff.example"))
        mend_it()
        wait_until(lambda: self.try_to_send(relay, subject, to).code == 250, f"{to} to be taken")
        asked.wait_subject(subject)
        gateway.wait_subject(f"other {subject}")
        wait_until(lambda: not self.problems(relay, "staff.example"), "the alarm to end")

    FAKES = {"time out": lambda _: None, "garbage": lambda _: bytes(range(256)), "error answer": directory.search_answer(52),
             "wrong answer": directory.search_answer(0), "wrong base": directory.search_answer(32),
             "elsewhere": directory.search_answer(10)}

    def test_ldap(self):
        names = ["bob." + name.replace(" ", ".") for name in ("connection refused", *self.FAKES)]
        slapd = self.starting(directory.Slapd(self.path("slapd"), [f"{n}@staff.example" for n in ("real", *names)]))
        relay, gateway = self.pair(
            domains='domain "staff.example" { gateway = "inside" recipients = "ldap:staff" canary = "real@staff.example" }',
            sections=f'ldap "staff" {{ uri = "{slapd.uri}" base = "{directory.BASE}" filter = "(mail=%s)" '
                     f'timeout = 400ms positive = 0s stale = 0s }}')
        self.put_off_then_taken(relay, gateway, gateway, "connection refused", slapd.stop, slapd.start)
        for fault, answer in self.FAKES.items():
            with self.subTest(fault=fault):
                fake = directory.FakeDirectory(answer, port=slapd.port)

                def break_it(f=fake):
                    slapd.stop()
                    f.start()

                def mend_it(f=fake):
                    f.stop()
                    slapd.start()

                self.put_off_then_taken(relay, gateway, gateway, fault, break_it, mend_it)

    GATEWAY = {"time out": ("--mute-at", "rcpt"), "black hole": ("--mute-at", "banner"),
               "garbage": ("--garbage-at", "rcpt"), "endless": ("--endless-at", "ehlo"),
               "error answer": ("--reply-at", "rcpt=451"), "not ours to say": ("--reply-at", "mail=554"),
               "wrong answer": ("--reply-at", "rcpt=550"), "hangs up": ("--close-at", "rcpt")}

    def test_callout(self):
        asked = self.gateway(name="asked").start()
        self.addCleanup(lambda: asked.stop())
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(
            gateway, retry="200ms",
            sections=f'callout {{ timeout = 500ms positive = 0s stale = 0s }} '
                     f'gateway "asked" {{ server "{asked.address}" {{ }} }}',
            domains='domain "staff.example" { gateway = "asked" recipients = "callout" canary = "real@staff.example" }'))

        def again(*options):
            asked.stop()
            asked.options = ()
            asked.start(*options)

        self.put_off_then_taken(relay, asked, gateway, "connection refused", asked.stop, again)
        for fault, options in self.GATEWAY.items():
            with self.subTest(fault=fault):
                self.put_off_then_taken(relay, asked, gateway, fault, lambda o=options: again(*o), again)
