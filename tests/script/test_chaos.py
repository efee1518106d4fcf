"""Every dependency × every way to fail, from the start and while running: no good mail is refused for good, all of
it arrives once the dependency is back, a DNS list that is away or wrong refuses nothing at all, the banner keeps its
bound, and `postern status` says so until it is over."""

import itertools
import time

import directory
import mail
import smtp
from case import FolderCase
from dnslists import Nameserver, Rbldnsd, query
from ports import free_port
from resolver import Unbound
from waiting import wait_until

DNS_TIMEOUT_S, BANNER_MAX_S = 15, 10  # the banner may take 300ms: far less than a question to the DNS
BOB = "bob@example.org"


class Chaos(FolderCase):
    def setUp(self):
        super().setUp()
        self.relays = []

    def relay(self, *gateways, **settings):
        self.relays.append(super().relay(*gateways, **settings))
        return self.relays[-1]

    def tearDown(self):
        for relay in self.relays:
            self.assertEqual(relay.events("role died"), [])

    clients = (f"198.51.{100 + n // 250}.{n % 250 + 1}" for n in itertools.count())

    def problems(self, relay, text):
        return [p["what"] for p in relay.command("status", "--json").json["problems"] if text in p["what"]]

    def session(self, relay, client, to, subject=None):
        """The reply to RCPT, or to the message when there is a subject and RCPT is taken."""
        began = time.monotonic()
        with smtp.Client(relay.port) as c:
            c.greet()
            c.xclient(ADDR=client)
            self.assertLess(time.monotonic() - began, BANNER_MAX_S)
            c.hello()
            c.say("MAIL FROM:<s@sender.example>", 250)
            reply = c.say(f"RCPT TO:<{to}>")
            if reply.code != 250 or subject is None:
                return reply
            c.say("DATA", 354)
            return c.body(mail.plain(subject))

    def try_to_send(self, relay, subject, to):
        """The last reply; no client comes twice, so nothing is cached."""
        return self.session(relay, next(self.clients), to, subject)

    def is_taken(self, relay, subject, to=BOB):
        reply = self.try_to_send(relay, subject, to)
        self.assertEqual(reply.code, 250, f"{subject}: {reply.text}")


REFUSED = {"refused": "refused", "time-out": None, "garbage": "garbage", "error": "servfail",
           "mismatch": "mismatch", "wrong-id": "wrong id", "truncated": "truncated"}
# Everybody gets the same answer …
WRONG = {"all": ["127.0.0.2"], "web": ["198.51.100.9"], "odd": ["127.0.53.53"], "codes": ["127.255.255.254"],
         "forgets": []}


def but_its_canary(name):
    """… or everybody but 127.0.0.1: a cache between the list and us still knows better."""
    return [] if name.startswith("1.0.0.127.") else ["127.0.0.2"]


class Lists(Chaos):
    """All at once, a zone for each fault, beside one that is well; then the same from the start."""

    FAULTS = {**REFUSED, **WRONG, "canary": but_its_canary}
    ZONES = {fault: f"{fault}.test" for fault in FAULTS}
    GOOD = "well.test"

    def answers(self, name, _kind):
        zone = ".".join(name.split(".")[-2:])
        fault = zone.split(".", maxsplit=1)[0]
        if self.is_ill and fault in self.FAULTS:
            answer = self.FAULTS[fault]
            return answer(name) if callable(answer) else answer
        return ["127.0.0.2"] if name in (f"2.0.0.127.{zone}", self.reverse(zone)) else []

    def client_of(self, zone):
        return f"203.0.113.{1 + (*self.ZONES.values(), self.GOOD).index(zone)}"

    def reverse(self, zone):
        known = zone in (*self.ZONES.values(), self.GOOD)
        return ".".join(reversed(self.client_of(zone).split("."))) + "." + zone if known else ""

    def refuses(self, relay, zone):
        """Whether the client that only this zone lists is refused by it."""
        reply = self.session(relay, self.client_of(zone), BOB)
        return reply.code == 550 and zone in reply.text

    def hurt_nobody(self, relay, when):
        """The first mail counts: it comes before anything could be known."""
        for i in range(3):
            self.is_taken(relay, f"{when} {i}")
        self.assertTrue(self.refuses(relay, self.GOOD))
        for zone in self.ZONES.values():
            wait_until(lambda z=zone: self.problems(relay, z) or self.is_taken(relay, f"{when} on"), f"an alarm for {zone}")
        self.assertEqual(self.problems(relay, self.GOOD), [])

    def test_each_zone(self):
        self.is_ill = False
        dns = self.starting(Nameserver(self.answers, ttl=1))
        relay, gateway = self.pair(
            dns_port=dns.port, banner_wait="300ms", dns_timeout=f"{DNS_TIMEOUT_S}s", dns="probe = 1s",
            policy="".join(f"dnsbl {zone} reject\n" for zone in (*self.ZONES.values(), self.GOOD)))
        for zone in self.ZONES.values():
            wait_until(lambda z=zone: self.refuses(relay, z), f"{zone} to be believed")
        self.is_ill = True
        self.hurt_nobody(relay, "turned wrong")
        relay.restart()
        self.hurt_nobody(relay, "wrong from the start")
        self.is_ill = False
        for zone in self.ZONES.values():
            wait_until(lambda z=zone: self.refuses(relay, z), f"{zone} to be believed again")
        wait_until(lambda: not self.problems(relay, "DNS list") or self.is_taken(relay, "well again"), "the alarms to end")
        for when in ("turned wrong", "wrong from the start"):
            for i in range(3):
                gateway.wait_subject(f"{when} {i}")

    def test_a_real_list_that_lists_the_world_behind_a_real_resolver(self):
        """Between two probes, and the resolver has just cached that its canary is not in it."""
        listed = {"203.0.113.66": "127.0.0.2"}
        rbldnsd = self.starting(Rbldnsd(self.path("rbldnsd"), {"zen.test": listed}))
        unbound = self.starting(Unbound(self.path("unbound"), [], {"zen.test": rbldnsd.port}, cache_s=3600))
        relay, gateway = self.pair(dns_port=unbound.port, banner_wait="10s", dns="probe = 1h",
                                   policy="dnsbl zen.test reject\n")
        refuses = lambda: self.session(relay, "203.0.113.66", BOB).code == 550
        wait_until(refuses, "the list to be believed")
        rbldnsd.change("zen.test", {"0.0.0.0/1": "127.0.0.2", "128.0.0.0/1": "127.0.0.2"})
        wait_until(lambda: query(rbldnsd.port, "4.3.2.1.zen.test"), "the world to be listed")
        self.assertEqual(query(unbound.port, "1.0.0.127.zen.test"), [])
        self.is_taken(relay, "the world is listed")
        wait_until(lambda: self.problems(relay, "zen.test") or self.is_taken(relay, "and again"), "the list to be caught")
        gateway.wait_subject("the world is listed")
        self.assertEqual(len(self.problems(relay, "zen.test lists everyone")), 1)


class Resolver(Chaos):
    """Lists, reverse names, a gateway and a directory by name: all by one resolver."""

    LISTED, ZONE, NAME = "203.0.113.66", "zen.test", "inside.test"
    FAULTS = {**REFUSED, "nothing exists": [], "a web server": ["198.51.100.9"], "one of ours": ["127.0.0.9"]}

    def answers(self, name, kind):
        if self.fault is not None:
            answer = self.FAULTS[self.fault]
            return [] if isinstance(answer, list) and kind != 1 else answer
        reverse = ".".join(reversed(self.LISTED.split(".")))
        if name == self.NAME:
            return ["127.0.0.1"] if kind == 1 else []
        if name.endswith(".in-addr.arpa"):
            return ["client.dynamic.test"]
        return ["127.0.0.2"] if name in (f"2.0.0.127.{self.ZONE}", f"{reverse}.{self.ZONE}") else []

    def hurts_nobody(self, relay, fault):
        self.is_taken(relay, fault)
        reply = self.try_to_send(relay, fault, f"bob.{fault.replace(' ', '.')}@staff.example")
        self.assertIn(reply.code, (250, 451), f"{fault}: {reply.text}")
        wait_until(lambda: self.problems(relay, self.ZONE) or self.is_taken(relay, "and on"), "an alarm")

    def test_the_resolver(self):
        self.fault = None
        port = free_port()
        dns = Nameserver(self.answers, port=port, ttl=1).start()
        names = [f"bob.{fault.replace(' ', '.')}@staff.example" for fault in (*self.FAULTS, "gone")]
        slapd = self.starting(directory.Slapd(self.path("slapd"), names))
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(
            gateway, gateways=[(f"{self.NAME}:{gateway.port}", 10)], gateway="timeout { connect = 500ms }",
            dns_port=port, banner_wait="300ms", dns_timeout=f"{DNS_TIMEOUT_S}s", dns="probe = 1s",
            domains='domain "staff.example" { gateway = "inside" recipients = "ldap:staff" }',
            sections=f'ldap "staff" {{ uri = "ldap://{self.NAME}:{slapd.port}" base = "{directory.BASE}" '
                     'filter = "(mail=%s)" timeout = 1s positive = 0s stale = 0s }'))
        relay.policy(f"dnsbl {self.ZONE} reject\nreject host .dynamic.test\n")
        is_refused = lambda: self.session(relay, self.LISTED, BOB).code == 550
        wait_until(is_refused, "the list to be believed")
        self.is_taken(relay, "before")
        gateway.wait_subject("before")
        dns.stop()
        self.hurts_nobody(relay, "gone")
        dns = self.starting(Nameserver(self.answers, port=port, ttl=1))
        for self.fault in self.FAULTS:
            with self.subTest(fault=self.fault):
                self.hurts_nobody(relay, self.fault)
        self.fault = None
        wait_until(is_refused, "the list to be believed again")
        for fault in ("gone", *self.FAULTS):
            to = f"bob.{fault.replace(' ', '.')}@staff.example"
            wait_until(lambda f=fault, t=to: self.try_to_send(relay, f"{f} at last", t).code == 250, f"{to} to be taken")
            gateway.wait_subject(fault)
            gateway.wait_subject(f"{fault} at last")
        wait_until(lambda: not self.problems(relay, "") or self.is_taken(relay, "and on"),
                   lambda: f"the alarms to end: {self.problems(relay, '')}")


DOMAINS = ("staff.example", "plain.example")


class Sources(Chaos):
    """A recipient that the source has not been asked for before: 451 at the worst, and taken afterwards.
    staff.example has a canary, plain.example none."""

    def names(self, subject):
        return [f"bob.{subject.replace(' ', '.')}@{domain}" for domain in DOMAINS]

    def is_denied(self, relay, to):
        reply = self.session(relay, next(self.clients), to)
        self.assertIn(reply.code, (550, 451), f"{to}: {reply.text}")
        return reply.code == 550

    def not_denied(self, relay, to):
        self.assertIn(self.try_to_send(relay, "and on", to).code, (250, 451), to)

    def put_off_then_taken(self, relay, asked, gateway, subject, break_it, mend_it):
        """`asked` is the gateway of the two domains, `gateway` that of all else."""
        break_it()
        for to in self.names(subject) * 2:
            self.assertEqual(self.try_to_send(relay, subject, to).code, 451, f"{subject}: {to}")
        self.is_taken(relay, f"other {subject}")
        for domain in DOMAINS:
            wait_until(lambda d=domain: self.problems(relay, d), f"an alarm for {domain}, {subject}")
        mend_it()
        for to in self.names(subject):
            wait_until(lambda t=to: self.try_to_send(relay, f"{subject} to {t}", t).code == 250, f"{to} to be taken")
            asked.wait_subject(f"{subject} to {to}")
        gateway.wait_subject(f"other {subject}")
        for domain in DOMAINS:  # a question that takes too long is put off, never answered wrongly
            wait_until(lambda d=domain: self.is_denied(relay, f"no-such@{d}"), f"nobody to be found at {domain}")
            wait_until(lambda d=domain: not self.problems(relay, d), "the alarm to end")

    LDAP = {"time out": lambda _: None, "garbage": lambda _: bytes(range(256)),
            "error answer": directory.search_answer(52), "emptied": directory.search_answer(0),
            "partly emptied": directory.search_answer(0, knows_others=True),
            "wrong base": directory.search_answer(32), "elsewhere": directory.search_answer(10)}

    def domains(self, gateway, source):
        return "".join(f'domain "{d}" {{ gateway = "{gateway}" recipients = "{source}" {more} }}\n'
                       for d, more in zip(DOMAINS, ('canary = "real@staff.example"', "")))

    def test_ldap(self):
        names = [name for subject in ("real", "connection refused", "from the start", "yes to all", *self.LDAP)
                 for name in (*self.names(subject), f"real@{DOMAINS[0]}")]
        slapd = self.starting(directory.Slapd(self.path("slapd"), sorted(set(names))))
        relay, gateway = self.pair(
            domains=self.domains("inside", "ldap:staff"),
            sections=f'ldap "staff" {{ uri = "{slapd.uri}" base = "{directory.BASE}" filter = "(mail=%s)" '
                     f'timeout = 400ms positive = 0s negative = 0s stale = 0s probe = 100ms }}')
        self.put_off_then_taken(relay, gateway, gateway, "connection refused", slapd.stop, slapd.start)

        def instead(fake):
            slapd.stop()
            fake.start()

        def again(fake):
            fake.stop()
            slapd.start()

        for fault, answer in self.LDAP.items():
            with self.subTest(fault=fault):
                fake = directory.FakeDirectory(answer, port=slapd.port)
                self.put_off_then_taken(relay, gateway, gateway, fault, lambda f=fake: instead(f), lambda f=fake: again(f))
        fake = directory.FakeDirectory(self.LDAP["emptied"], port=slapd.port)
        relay.stop()
        instead(fake)
        self.put_off_then_taken(relay, gateway, gateway, "from the start", relay.start, lambda: again(fake))
        fake = directory.FakeDirectory(
            lambda m: directory.found(m[4]) if directory.SEARCH in m[:8] else None, port=slapd.port)
        instead(fake)
        for to in self.names("yes to all"):  # a random address may have met nobody in between: then all rests
            wait_until(lambda t=to: self.try_to_send(relay, f"to {t}", t).code == 250, f"{to} to be taken")
        for domain in DOMAINS:
            wait_until(lambda d=domain: self.problems(relay, f"finds addresses of {d} that nobody has")
                       or self.not_denied(relay, f"x@{d}"), "an alarm")
        again(fake)
        wait_until(lambda: not self.problems(relay, ""), "the alarms to end")
        for to in self.names("yes to all"):
            gateway.wait_subject(f"to {to}")

    CALLOUT = {"time out": ("--mute-at", "rcpt"), "black hole": ("--mute-at", "banner"),
               "garbage": ("--garbage-at", "rcpt"), "endless": ("--endless-at", "ehlo"),
               "error answer": ("--reply-at", "rcpt=451"), "not ours to say": ("--reply-at", "mail=554"),
               "nobody": ("--reply-at", "rcpt=550"), "hangs up": ("--close-at", "rcpt")}
    STRICT = ("--reject-rcpt", "no-such*")

    def test_callout(self):
        asked = self.gateway(*self.STRICT, name="asked").start()
        self.addCleanup(lambda: asked.stop())
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(
            gateway, retry="200ms",
            sections=f'callout {{ timeout = 500ms positive = 0s negative = 0s stale = 0s probe = 100ms }} '
                     f'gateway "asked" {{ server "{asked.address}" {{ }} }}',
            domains=self.domains("asked", "callout")))

        def again(*options):
            asked.stop()
            asked.start(*(options or self.STRICT))

        self.put_off_then_taken(relay, asked, gateway, "connection refused", asked.stop, again)
        for fault, options in self.CALLOUT.items():
            with self.subTest(fault=fault):
                self.put_off_then_taken(relay, asked, gateway, fault, lambda o=options: again(*o), again)
        relay.stop()
        again(*self.CALLOUT["nobody"])
        self.put_off_then_taken(relay, asked, gateway, "from the start", relay.start, again)
        again("--lenient")  # takes everybody
        for to in self.names("yes to all"):
            wait_until(lambda t=to: self.try_to_send(relay, f"to {t}", t).code == 250, f"{to} to be taken")
            asked.wait_subject(f"to {to}")
        wait_until(lambda: self.problems(relay, "takes mail for addresses that nobody has")
                   or self.not_denied(relay, to), "an alarm")
        again()
        wait_until(lambda: not self.problems(relay, ""), "the alarms to end")
