"""Rates and numbers of connections for each client, and who is spared them."""

import smtp
from case import FolderCase, RelayCase

MESSAGE = b"Subject: rate\r\n\r\nHello.\r\n"


class Rates(RelayCase):
    SETTINGS = {"connect": ("access", "rate"),
                "flow": 'rate { connections = 2  messages = "3/1h"  recipients = "5/1h"  errors = "4/1h" }'}
    POLICY = 'accept client 203.0.113.7\naccept from vip@sender.example\n'

    def named(self, address, helo="client.example"):
        """A client past XCLIENT and EHLO."""
        client = self.client()
        client.expect(220)
        client.xclient(addr=address)
        client.hello(helo)
        return client

    def send(self, address, to=("bob@example.org",), sender="alice@sender.example"):
        with self.named(address) as client:
            return client.transaction(sender, list(to), MESSAGE)

    def test_messages(self):
        for _ in range(3):
            self.assertEqual(self.send("203.0.113.1")["last"].code, 250)
        told = self.send("203.0.113.1")
        self.assertEqual(told["mail"].code, 250)  # spoken where the log knows who would have got it
        self.assertEqual(told["last"].code, 450)
        self.assertEqual(told["last"].enhanced, "4.7.1")
        self.assertIn("Too many messages from your address", told["last"].text)
        self.assertTrue(told["last"].id)
        self.assertEqual(self.send("203.0.113.2")["last"].code, 250)  # nobody else pays

    def test_refusal_is_in_the_trace(self):
        for _ in range(4):
            told = self.send("203.0.113.3")
        events = self.mx.command("trace", told["last"].id, "--json").lines
        self.assertEqual([(e["event"], e["by"], e["why"]) for e in events],
                         [("refused", "rate", "rate: more than messages 3/1h")])

    def test_one_ipv6_client_is_a_64(self):
        for i in range(3):
            self.assertEqual(self.send(f"IPv6:2001:db8:1::{i + 1}")["last"].code, 250)
        self.assertEqual(self.send("IPv6:2001:db8:1:0:ffff::1")["last"].code, 450)
        self.assertEqual(self.send("IPv6:2001:db8:1:1::1")["last"].code, 250)

    def test_recipients(self):
        with self.named("203.0.113.4") as client:
            client.say("MAIL FROM:<alice@sender.example>", 250)
            for i in range(5):
                client.say(f"RCPT TO:<r{i}@example.org>", 250)
            reply = client.say("RCPT TO:<r5@example.org>", 450)
            self.assertIn("Too many recipients from your address", reply.text)
            client.say("RCPT TO:<postmaster>", 250)  # always hears us

    def test_accept_spares(self):
        for _ in range(5):
            self.assertEqual(self.send("203.0.113.7")["last"].code, 250)
        held = [self.named("203.0.113.7") for _ in range(4)]
        self.assertEqual(len(held), 4)

    def test_accept_of_the_sender_spares_its_mail(self):
        for _ in range(5):
            self.assertEqual(self.send("203.0.113.8", sender="vip@sender.example")["last"].code, 250)

    def test_connections_at_once(self):
        first, second = self.named("203.0.113.5"), self.named("203.0.113.5")
        third = self.client()
        third.expect(220)
        reply = third.xclient(addr="203.0.113.5")
        self.assertEqual((reply.code, reply.enhanced), (421, "4.7.0"))
        self.assertIn("Too many connections from your address", reply.text)
        self.assertTrue(reply.id)
        third.wait_closed()
        self.named("203.0.113.6")
        first.say("QUIT", 221)
        first.wait_closed()
        first.close()
        self.named("203.0.113.5").say("QUIT", 221)
        second.say("NOOP", 250)

    def test_errors(self):
        with self.named("203.0.113.9") as client:
            for _ in range(4):
                client.say("NONSENSE", 500)
            client.say("NOOP", 250)
        again = self.client()
        again.expect(220)
        reply = again.xclient(addr="203.0.113.9")
        self.assertEqual(reply.code, 421)
        self.assertIn("Too many errors from your address", reply.text)

    def explained(self, address):
        done = self.mx.command("explain", "--client", address, "--from", "a@sender.example", "--to", "bob@example.org",
                               "--offline", "--json")
        return done, [(s["stage"], s["result"]) for s in done.json["steps"] if s["fact"] == "rate"]

    def test_explained(self):
        """explain asks the relay for what it has counted, and counts nothing itself."""
        for _ in range(5):
            done, steps = self.explained("203.0.113.5")
            self.assertEqual(done.status, 0, done)
            self.assertEqual(steps, [(stage, "no match") for stage in ("connect", "mail", "rcpt")])
        for _ in range(3):
            self.assertEqual(self.send("203.0.113.5")["last"].code, 250)
        done, steps = self.explained("203.0.113.5")
        self.assertEqual((done.status, steps), (1, [("connect", "no match"), ("mail", "tempfail"), ("rcpt", "no match")]))
        self.assertIn("450 4.7.1 Too many messages from your address", done.json["reply"])
        self.assertEqual(self.explained("203.0.113.55")[0].status, 0)
        held = [self.named("203.0.113.5") for _ in range(2)]
        done, steps = self.explained("203.0.113.5")
        self.assertEqual((done.status, steps), (1, [("connect", "tempfail")]))
        self.assertIn("421 4.7.0 Too many connections", done.json["recipients"][0]["reply"])
        for client in held:
            client.close()


class Loopback(FolderCase):
    def test_a_client_of_our_own_host_counts_too(self):
        relay, _ = self.pair(connect=("rate",), xclient="192.0.2.99", flow="rate { connections = 2 }")
        held = [smtp.Client(relay.port) for _ in range(2)]
        for client in held:
            self.addCleanup(client.close)
            client.greet()
        with smtp.Client(relay.port) as third:
            third.expect(421)
            third.wait_closed()
        with smtp.Client(relay.port, source="127.0.0.2") as other:
            other.greet()

    def test_explained_without_the_relay(self):
        relay = self.relay(connect=("rate", "greylist"), flow="rate { connections = 2 }", gateways=[("127.0.0.1:9", 10)])
        done = relay.command("explain", "--client", "192.0.2.1", "--to", "bob@example.org", "--offline", "--json")
        self.assertEqual(done.status, 0, done)
        steps = [(s["fact"], s["result"]) for s in done.json["steps"] if s["fact"] in ("rate", "greylist")]
        self.assertEqual(steps, [(fact, "unknown: the relay is not running") for fact in ("rate", "greylist")])
