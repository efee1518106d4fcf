"""Greylisting: a stranger's mail is to come again; what is known is kept over a restart."""

import os
import signal

import smtp
from case import FolderCase
from ports import free_port
from waiting import wait_until

MESSAGE = b"Subject: grey\r\n\r\nHello.\r\n"


class Greylist(FolderCase):
    def started(self, words="delay = 1s  window = 1h", policy="", **settings):
        settings.setdefault("connect", ("access", "greylist"))
        settings.setdefault("flow", f"greylist {{ {words} }}")
        return self.pair(policy=policy, **settings)[0]

    def send(self, relay, client="192.0.2.1", sender="alice@sender.example", to="bob@example.org"):
        return smtp.send(relay.port, MESSAGE, sender, to, client=client)

    def passes(self, relay, **mail):
        """Sends until it is taken: a stranger that knows its trade."""
        return wait_until(lambda: self.send(relay, **mail).code == 250, f"{mail} to pass the greylist")

    def test_first_try_then_passed(self):
        relay = self.started("delay = 1h  window = 2h")
        reply = self.send(relay)
        self.assertEqual((reply.code, reply.enhanced), (450, "4.7.1"))
        self.assertRegex(reply.text, r"try again in 3600 seconds \[")
        events = relay.command("trace", reply.id, "--json").lines
        self.assertEqual([(e["event"], e["by"], e["why"]) for e in events],
                         [("refused", "greylist", "greylist: a stranger, 3600 s left")])

    def test_explained(self):
        """explain says what would become of the mail now, and nobody becomes known by it."""
        relay = self.started("delay = 1h  window = 2h", "accept from @friend.example\n")

        def explained(sender="alice@sender.example"):
            done = relay.command("explain", "--client", "192.0.2.1", "--from", sender, "--to", "bob@example.org",
                                 "--to", "sales@example.org", "--offline", "--json")
            steps = [(s["value"], s["result"]) for s in done.json["steps"] if s["fact"] == "greylist"]
            return done.status, steps, done.json["recipients"]

        wait_until(lambda: relay.events("greylist read"), "the greylist to be read")
        for _ in range(2):
            status, steps, recipients = explained()
            self.assertEqual((status, steps), (1, [("stranger", "tempfail")] * 2))
            self.assertIn("try again in 3600 seconds", recipients[0]["reply"])
        self.assertEqual(explained("x@friend.example")[:2], (0, [("stranger", "skipped: accepted")] * 2))
        self.assertRegex(self.send(relay).text, "in 3600 seconds")

    def test_explained_when_it_may_pass(self):
        relay = self.started()
        self.passes(relay)
        done = relay.command("explain", "--client", "192.0.2.99", "--from", "alice@sender.example", "--to",
                             "Bob@example.org", "--offline", "--json")
        self.assertEqual((done.status, [s["value"] for s in done.json["steps"] if s["fact"] == "greylist"]),
                         (0, ["has passed"]), done)

    def test_passes_later_and_from_the_same_network(self):
        relay = self.started()
        self.assertEqual(self.send(relay).code, 450)
        self.passes(relay)
        self.assertEqual(self.send(relay, "192.0.2.99").code, 250)
        self.assertEqual(self.send(relay, "192.0.3.1").code, 450)
        self.assertEqual(self.send(relay, to="else@example.org").code, 450)
        self.assertEqual(self.send(relay, sender="other@sender.example").code, 450)

    def test_what_varies_in_a_sender_does_not_count(self):
        relay = self.started()
        self.passes(relay, sender="list-bounce-1234@sender.example")
        self.assertEqual(self.send(relay, sender="LIST-bounce-77@Sender.example").code, 250)

    def test_a_network_that_passed_often_is_known(self):
        relay = self.started("delay = 1s  window = 1h  clients = 2")
        self.passes(relay, to="one@example.org")
        self.passes(relay, to="two@example.org")
        self.assertEqual(self.send(relay, sender="x@y.example", to="three@example.org").code, 250)

    def test_accept_spares(self):
        relay = self.started("delay = 1h  window = 2h", "accept client 192.0.2.1\naccept from @friend.example\n"
                             "accept to open@example.org\n")
        self.assertEqual(self.send(relay).code, 250)
        self.assertEqual(self.send(relay, "192.0.3.1", "x@friend.example").code, 250)
        self.assertEqual(self.send(relay, "192.0.3.1", to="open@example.org").code, 250)
        self.assertEqual(self.send(relay, "192.0.3.1").code, 450)

    def test_postmaster_hears_strangers(self):
        relay = self.started("delay = 1h  window = 2h")
        self.assertEqual(self.send(relay, to="postmaster").code, 250)

    def test_kept_over_a_restart(self):
        relay = self.started()
        self.passes(relay)
        relay.restart()
        wait_until(lambda: relay.events("greylist read"), "the greylist to be read")
        self.assertEqual(self.send(relay).code, 250)
        self.assertEqual(self.send(relay, "192.0.3.1").code, 450)

    def test_without_its_journal_mail_goes_on(self):
        relay = self.started("delay = 1h  window = 2h")
        self.assertEqual(self.send(relay).code, 450)
        front = relay.role("front")
        os.kill(relay.role("journal"), signal.SIGKILL)
        self.assertEqual(self.send(relay).code, 450)  # front knows what it knew
        wait_until(lambda: relay.roles().get("journal"), "a new journal")
        self.assertEqual(relay.role("front"), front)

    def test_correspondents_are_known(self):
        port = free_port()
        relay = self.started("delay = 1h  window = 2h", sections=(
            f'listen "inside" {{ address = {{"127.0.0.1:{port}"}}  flow = "outbound" }}\n'
            'flow "outbound" { clients = {"127.0.0.0/8"}  relay = "any"  gateway = "inside" }\n'))
        self.assertEqual(self.send(relay, sender="friend@far.example").code, 450)
        reply = smtp.send(port, MESSAGE, "bob@example.org", "friend@far.example")
        self.assertEqual(reply.code, 250)
        self.assertEqual(self.send(relay, sender="Friend@far.example").code, 250)
        self.assertEqual(self.send(relay, sender="other@far.example").code, 450)
