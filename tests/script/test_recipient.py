"""Recipients that a directory or the gateway is asked for: at RCPT, in explain, and `postern recipient`."""

import os

import certificates
import directory
import smtp
import tree
from case import FolderCase
from gateway import Gateway
from ports import free_port
from waiting import wait_until

PEOPLE = ("bob@staff.example", "alice@staff.example", '"a(b)*"@staff.example', "real@staff.example",
          "real@second.example")
ENVELOPE = ("MAIL FROM:<s@sender.example>", 250)


def section(uri, more="", filter_="(mail=%s)", timeout="20s"):
    uris = ", ".join(f'"{u}"' for u in ([uri] if isinstance(uri, str) else uri))
    return f'ldap "staff" {{ uri = {{{uris}}} base = "{directory.BASE}" filter = "{filter_}" timeout = {timeout} {more} }}'


def domain(more="", source="ldap:staff", name="staff.example"):
    return f'domain "{name}" {{ gateway = "inside" recipients = "{source}" {more} }}'


class Case(FolderCase):
    def directory(self, people=PEOPLE, **options):
        return self.starting(directory.Slapd(self.path("slapd"), people, **options))

    def rcpt(self, relay, *recipients):
        """The replies to RCPT of one transaction."""
        with smtp.Client(relay.port) as client:
            client.greet()
            client.say(*ENVELOPE)
            return [client.say(f"RCPT TO:<{r}>") for r in recipients]

    def codes(self, relay, *recipients):
        return [(r.code, r.enhanced) for r in self.rcpt(relay, *recipients)]

    def problems(self, relay):
        return [p["what"] for p in relay.command("status", "--json").json["problems"]]


class Ldap(Case):
    def test_exists_or_not(self):
        slapd = self.directory()
        relay, gateway = self.pair(domains=domain(), sections=section(slapd.uri))
        replies = self.rcpt(relay, "bob@staff.example", "nobody@staff.example", "BOB@Staff.Example",
                            "*@staff.example", '"a(b)*"@staff.example')
        self.assertEqual([(r.code, r.enhanced) for r in replies],
                         [(250, "2.1.5"), (550, "5.1.1"), (250, "2.1.5"), (550, "5.1.1"), (250, "2.1.5")], replies)
        self.assertTrue(replies[1].id)
        smtp.send(relay.port, b"Subject: through\r\n\r\nx\r\n", to=("bob@staff.example",))
        gateway.wait_subject("through")
        self.assertEqual(self.problems(relay), [])
        slapd.stop()  # what was said counts on
        self.assertEqual(self.codes(relay, "bob@staff.example", "nobody@staff.example"),
                         [(250, "2.1.5"), (550, "5.1.1")])

    def test_pipelined_commands_keep_their_order(self):
        slapd = self.directory()
        relay, _ = self.pair(domains=domain(), sections=section(slapd.uri))
        with smtp.Client(relay.port) as client:
            client.greet()
            client.send(b"MAIL FROM:<s@sender.example>\r\nRCPT TO:<bob@staff.example>\r\n"
                        b"RCPT TO:<no@staff.example>\r\nRCPT TO:<x@example.org>\r\nRCPT TO:<alice@staff.example>\r\n"
                        b"RCPT TO:<x@elsewhere.example>\r\nRSET\r\nNOOP\r\nVRFY x\r\n")
            replies = [client.reply() for _ in range(9)]
        self.assertEqual([r.code for r in replies], [250, 250, 550, 250, 250, 550, 250, 250, 252], replies)
        self.assertEqual([r.enhanced for r in replies[1:6]], ["2.1.5", "5.1.1", "2.1.5", "2.1.5", "5.7.1"])

    def test_a_client_may_leave_while_it_is_asked(self):
        silent = self.starting(directory.FakeDirectory(lambda _: None))
        relay, _ = self.pair(domains=domain(), sections=section(silent.uri, timeout="1s"))
        with smtp.Client(relay.port) as client:
            client.greet()
            client.send(b"MAIL FROM:<s@sender.example>\r\nRCPT TO:<bob@staff.example>\r\n")
            client.reply()
        self.assertEqual(self.codes(relay, "x@example.org", "bob@staff.example"), [(250, "2.1.5"), (451, "4.4.3")])

    def test_rules_go_before_the_question(self):
        asked = []
        silent = self.starting(directory.FakeDirectory(asked.append))
        relay, _ = self.pair(domains=domain(), sections=section(silent.uri), policy="reject to bob@staff.example\n")
        self.assertEqual(self.codes(relay, "bob@staff.example", "postmaster@staff.example"),
                         [(550, "5.7.1"), (250, "2.1.5")])
        self.assertEqual(asked, [])

    def test_away_is_unknown_and_comes_back(self):
        slapd = self.directory()
        relay, _ = self.pair(domains=domain() + domain('unknown = "accept"', name="second.example"),
                             sections=section(slapd.uri))
        slapd.stop()
        for _ in range(25):  # more than the mistakes a session has: it is not the client's fault
            self.assertEqual(self.codes(relay, "bob@staff.example"), [(451, "4.4.3")])
        self.assertEqual(self.codes(relay, *["bob@staff.example"] * 25)[-1], (451, "4.4.3"))
        self.assertEqual(self.codes(relay, "bob@second.example"), [(250, "2.1.5")])
        wait_until(lambda: [p for p in self.problems(relay) if "staff.example" in p and slapd.uri in p], "the alarm")
        slapd.start()
        wait_until(lambda: self.codes(relay, "bob@staff.example") == [(250, "2.1.5")], "the directory to be used again")
        wait_until(lambda: self.problems(relay) == [], "the alarm to end by itself")

    def test_stale_answers_while_it_is_away(self):
        slapd = self.directory()
        relay, _ = self.pair(domains=domain(), sections=section(slapd.uri, "positive = 0s negative = 0s"))
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example"), [(250, "2.1.5"), (550, "5.1.1")])
        slapd.stop()
        # A mailbox may have been made since: an old denial does not count.
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example"), [(250, "2.1.5"), (451, "4.4.3")])

    def test_the_next_server_when_one_is_away(self):
        slapd = self.directory()
        dead = f"ldap://127.0.0.1:{free_port()}"
        silent = self.starting(directory.FakeDirectory(lambda _: None))
        relay, _ = self.pair(domains=domain(), sections=section([dead, silent.uri, slapd.uri], timeout="5s"))
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example"), [(250, "2.1.5"), (550, "5.1.1")])

    def test_an_idle_connection_that_was_closed(self):
        slapd = self.directory()
        relay, _ = self.pair(domains=domain(), sections=section(slapd.uri))
        self.assertEqual(self.codes(relay, "bob@staff.example"), [(250, "2.1.5")])
        slapd.stop()
        slapd.start()
        self.assertEqual(self.codes(relay, "alice@staff.example"), [(250, "2.1.5")])

    def password(self, name, text):
        path = self.write(name, text)
        return f'bind = "{directory.ADMIN}" password = "file:{path}"'

    def test_bind(self):
        slapd = self.directory(needs_bind=True)
        for words, wanted in ((self.password("right", directory.PASSWORD + "\n"), (250, "2.1.5")),
                              (self.password("wrong", "wrong\n"), (451, "4.4.3")), ("", (451, "4.4.3"))):
            with self.subTest(words=words):
                relay, gateway = self.pair(domains=domain(), sections=section(slapd.uri, words))
                self.assertEqual(self.codes(relay, "bob@staff.example"), [wanted])
                relay.stop()
                gateway.stop()

    def test_tls(self):
        authority = certificates.Authority(self.folder)
        other = certificates.Authority(self.folder, "other")
        slapd = self.directory(certificate=authority.server("IP:127.0.0.1"))
        ldaps = f"ldaps://127.0.0.1:{slapd.tls_port}"
        for path in (authority.pem, other.pem):
            os.chmod(path, 0o644)
        for uri, words, wanted in ((slapd.uri, f'starttls = true ca = "{authority.pem}"', 250),
                                   (ldaps, f'ca = "{authority.pem}"', 250),
                                   (slapd.uri, f'starttls = true ca = "{other.pem}"', 451),
                                   (ldaps, f'ca = "{other.pem}"', 451)):
            with self.subTest(uri=uri, words=words):
                relay, gateway = self.pair(domains=domain(), sections=section(uri, words))
                self.assertEqual([c for c, _ in self.codes(relay, "bob@staff.example")], [wanted])
                relay.stop()
                gateway.stop()

    def test_only_success_without_an_entry_is_a_denial(self):
        for code, wanted in ((0, 550), (32, 451), (10, 451), (50, 451), (1, 451), (51, 451), (53, 451), (80, 451)):
            with self.subTest(code=code):
                fake = directory.FakeDirectory(directory.search_answer(code, knows_others=True)).start()
                relay, gateway = self.pair(domains=domain(), sections=section(fake.uri))
                self.assertEqual([c for c, _ in self.codes(relay, "bob@staff.example")], [wanted])
                relay.stop()
                gateway.stop()
                fake.stop()

    def test_canary(self):
        slapd = self.directory(people=("bob@staff.example",))
        fake = self.starting(directory.FakeDirectory(directory.search_answer(0)))
        relay, _ = self.pair(
            domains=domain('canary = "bob@staff.example"') +
            'domain "wrong.example" { gateway = "inside" recipients = "ldap:wrong" canary = "real@wrong.example" }',
            sections=section(slapd.uri) + section(fake.uri).replace("staff", "wrong"))
        self.assertEqual(self.codes(relay, "no@staff.example", "no@wrong.example", "real@wrong.example"),
                         [(550, "5.1.1"), (451, "4.4.3"), (451, "4.4.3")])
        wait_until(lambda: [p for p in self.problems(relay) if "denies real@wrong.example" in p], "the alarm")

    def test_a_source_that_denies_its_canary_is_not_well_because_it_knows_somebody(self):
        lost = [b"real@", b"no@"]
        fake = self.starting(directory.FakeDirectory(
            lambda m: directory.search_answer(0)(m) if any(name in m for name in lost)
            else directory.found(m[4]) if directory.SEARCH in m[:8] else None))
        relay, _ = self.pair(domains=domain('canary = "real@staff.example"'), sections=section(fake.uri))
        denied = lambda: [p for p in self.problems(relay) if "denies real@staff.example" in p]
        self.assertEqual(self.codes(relay, "no@staff.example"), [(451, "4.4.3")])
        wait_until(denied, "the alarm")
        self.assertEqual(self.codes(relay, "bob@staff.example"), [(250, "2.1.5")])
        self.assertTrue(denied())
        lost.remove(b"real@")
        wait_until(lambda: not denied(), "the alarm to end by itself")
        self.assertEqual(self.codes(relay, "no@staff.example"), [(550, "5.1.1")])


class Command(Case):
    def test_show_and_clear(self):
        slapd = self.directory()
        relay, _ = self.pair(domains=domain(), sections=section(slapd.uri))
        done = relay.command("recipient", "show", "bob@staff.example")
        self.assertEqual((done.status, done.out), (1, ""), done)
        self.codes(relay, "bob@staff.example", "no@staff.example")
        known = relay.command("recipient", "show", "Bob@staff.example", "--json").json
        self.assertEqual((known["state"], known["source"], known["domain"], known["stale"]),
                         ("exists", "ldap:staff", "staff.example", False))
        self.assertLess(known["age"], 60)
        self.assertRegex(known["expires"], r"^\d{4}-\d\d-\d\dT")
        self.assertIn("none", relay.command("recipient", "show", "no@staff.example").out)
        self.assertEqual(relay.command("recipient", "clear", "no@staff.example", "--json").json, {"cleared": 1})
        self.assertEqual(relay.command("recipient", "clear", "no@staff.example").status, 1)
        self.assertEqual(relay.command("recipient", "show", "no@staff.example").status, 1)
        self.assertEqual(relay.command("recipient", "clear", "all", "--json").json, {"cleared": 1})
        self.assertEqual(relay.command("recipient", "show", "x@example.org").status, 1)
        self.assertEqual(relay.command("recipient", "preload", "x").status, 64)
        relay.stop()
        self.assertEqual(relay.command("recipient", "show", "bob@staff.example").status, 69)

    def test_explain(self):
        slapd = self.directory()
        relay = self.relay(self.gateway(), domains=domain(), sections=section(slapd.uri), connect=("access",))

        def explain(*words):
            done = relay.command("explain", "--client", "192.0.2.1", "--json", *words)
            return done.status, done.json["reply"].split()[0]

        self.assertEqual(explain("--to", "bob@staff.example"), (0, "250"))
        self.assertEqual(explain("--to", "no@staff.example"), (1, "550"))
        self.assertEqual(explain("--offline", "--to", "bob@staff.example"), (1, "451"))
        slapd.stop()
        self.assertEqual(explain("--to", "bob@staff.example"), (75, "451"))


class Callout(Case):
    def relay_for(self, gateway, more="", callout="timeout = 20s"):
        return self.starting(self.relay(gateway, domains=domain(more, "callout"),
                                        sections=f"callout {{ {callout} }}"))

    def test_exists_or_not(self):
        gateway = self.starting(self.gateway("--reject-rcpt", "no@staff.example"))
        relay = self.relay_for(gateway)
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example"),
                         [(250, "2.1.5"), (550, "5.1.1")])
        known = relay.command("recipient", "show", "bob@staff.example", "--json").json
        self.assertEqual((known["source"], known["state"]), ("callout:inside", "exists"))
        self.assertEqual(gateway.kept(), [])  # nobody was sent anything
        gateway.stop()
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example", "new@staff.example"),
                         [(250, "2.1.5"), (550, "5.1.1"), (451, "4.4.3")])

    def test_a_server_that_takes_everything_is_told(self):
        gateway = self.starting(self.gateway())
        relay = self.relay_for(gateway)
        self.assertEqual(self.codes(relay, "bob@staff.example"), [(250, "2.1.5")])
        wait_until(lambda: [p for p in self.problems(relay) if "nobody has" in p], lambda: f"the alarm, there is {self.problems(relay)}")

    def test_what_says_nothing_of_the_recipient(self):
        for options in (("--reply-at", "banner=554"), ("--reply-at", "ehlo=421"), ("--reply-at", "mail=550"),
                        ("--reply-at", "rcpt=450"), ("--reply-at", "rcpt=554"), ("--close-at", "rcpt"),
                        ("--mute-at", "rcpt"), ("--garbage-at", "rcpt"), ("--mute-at", "banner")):
            with self.subTest(options=options):
                gateway = self.gateway(*options).start()
                relay = self.relay(gateway, domains=domain("", "callout"), sections="callout { timeout = 500ms }")
                relay.start()
                self.assertEqual(self.codes(relay, "bob@staff.example"), [(451, "4.4.3")])
                relay.stop()
                gateway.stop()

    def test_the_next_server_when_one_is_away(self):
        first, second = self.gateway(name="a"), self.starting(self.gateway("--reject-rcpt", "no@staff.example", name="b"))
        relay = self.starting(self.relay(first, second, domains=domain("", "callout"), sections="callout { timeout = 20s }"))
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example"),
                         [(250, "2.1.5"), (550, "5.1.1")])

    def test_tls_as_the_gateway_has_it(self):
        authority = certificates.Authority(self.folder)
        os.chmod(authority.pem, 0o644)
        gateway = self.starting(Gateway(self.path("g"), "--tls", authority.server("IP:127.0.0.1"),
                                        "--reject-rcpt", "no@staff.example"))
        relay = self.relay(gateway, domains=domain("", "callout"))
        relay.write(relay.settings.text(relay).replace('tls = "off"', f'tls = "verify" ca = "{authority.pem}"'))
        self.starting(relay)
        self.assertEqual(self.codes(relay, "bob@staff.example", "no@staff.example"),
                         [(250, "2.1.5"), (550, "5.1.1")])
