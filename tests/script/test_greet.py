"""Who talks before the banner, and what is odd about a HELO."""

import time

import mail
import smtp
from case import FolderCase

MESSAGE = b"Subject: greet\r\n\r\nHello.\r\n"


class Greet(FolderCase):
    def started(self, policy="", **settings):
        settings.setdefault("connect", ("access", "greet"))
        settings.setdefault("flow", "greet { wait = 3s }")
        settings.setdefault("banner_wait", "20s")
        settings.setdefault("xclient", "192.0.2.99")
        return self.pair(policy=policy, **settings)

    def early(self, relay, source="127.0.0.1"):
        client = smtp.Client(relay.port, source)
        self.addCleanup(client.close)
        client.send("EHLO client.example\r\n")
        return client

    def test_refused_at_rcpt(self):
        relay, _ = self.started()
        client = self.early(relay)
        client.expect(220)
        client.expect(250)
        client.say("MAIL FROM:<a@sender.example>", 250)
        reply = client.say("RCPT TO:<bob@example.org>", 550)
        self.assertEqual(reply.enhanced, "5.5.1")
        events = relay.command("trace", reply.id, "--json").lines
        self.assertEqual([(e["by"], e["why"]) for e in events], [("greet", "talked before the banner")])

    def test_refused_as_the_banner(self):
        relay, _ = self.started(refuse_at="banner")
        client = self.early(relay)
        reply = client.expect(554)
        self.assertEqual(reply.enhanced, "5.5.1")
        client.wait_closed()

    def test_it_does_not_have_to_be_a_line(self):
        relay, _ = self.started(refuse_at="banner")
        with smtp.Client(relay.port) as client:
            client.send("x")
            client.expect(554)

    def test_the_banner_waits(self):
        relay, _ = self.started(flow="greet { wait = 3s }")
        begun = time.monotonic()
        with smtp.Client(relay.port) as first:
            first.greet()
            self.assertGreaterEqual(time.monotonic() - begun, 3)
        with self.early(relay, "127.0.0.2") as other:  # but another client is not known
            other.expect(220)
            other.expect(250)
            other.say("MAIL FROM:<a@sender.example>", 250)
            other.say("RCPT TO:<bob@example.org>", 550)

    def test_banner_wait_bounds_it(self):
        relay, _ = self.started(flow="greet { wait = 30s }", banner_wait="100ms")
        with smtp.Client(relay.port) as client:
            client.greet()

    def test_an_accepted_client_neither_waits_nor_is_refused(self):
        relay, _ = self.started("accept client 127.0.0.1\n", flow="greet { wait = 30s }")
        client = self.early(relay)
        client.expect(220)
        client.expect(250)
        self.assertEqual(client.transaction("a@sender.example", ["bob@example.org"], MESSAGE)["last"].code, 250)

    def test_odd_helos_are_tagged(self):
        relay, gateway = self.started(flow="greet { wait = 0s }")
        rows = {"mx.test.example": "helo-own", "127.0.0.1": "helo-ip", "[127.0.0.2]": "helo-literal",
                "localhost": "helo-name", "[127.0.0.1]": None, "client.example": None}
        for number, (helo, tag) in enumerate(rows.items()):
            with self.subTest(helo=helo):
                self.assertEqual(smtp.send(relay.port, mail.plain(f"helo {number}"), helo=helo).code, 250)
                copy = gateway.wait_subject(f"helo {number}")
                self.assertEqual([t.partition(";")[0] for t in copy.header("X-Postern-Tag")], [tag] if tag else [])
