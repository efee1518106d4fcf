"""accept = "through": the gateway's answer comes before ours; late, unequal and missing ones lose nothing."""

import threading

import mail
import smtp
from case import FolderCase
from relay import kill_hard
from waiting import wait_until

THROUGH = 'accept = "through"  through_wait = 500ms'


class Through(FolderCase):
    def through(self, *gateways, wait=THROUGH):
        relay = self.relay(*gateways)
        relay.settings.gateway = wait
        relay.write()
        return self.starting(relay)

    def queue(self, relay):
        return relay.command("queue", "list", "--json").lines

    def wait_empty(self, relay):
        wait_until(lambda: not self.queue(relay), lambda: f"an empty queue, there is {self.queue(relay)}")

    def test_delivered_before_the_250(self):
        gateway = self.starting(self.gateway())
        relay = self.through(gateway, wait='accept = "through"  through_wait = 60s')
        for n in range(20):
            reply = smtp.send(relay.port, mail.plain(f"through {n}"))
            self.assertEqual(reply.code, 250, reply)
            # Not "soon": it is there when the client is told so.
            self.assertEqual(len(gateway.kept()), n + 1)
        large = mail.plain("large", body="0123456789abcdef\r\n" * 20000)
        self.assertEqual(smtp.send(relay.port, large).code, 250)
        self.assertEqual(gateway.wait_subject("large").body, large.partition(b"\r\n\r\n")[2])
        self.assertEqual(self.queue(relay), [])

    def test_refused_by_the_gateway(self):
        gateway = self.starting(self.gateway("--reply-at", "dot=554"))
        relay = self.through(gateway, wait='accept = "through"  through_wait = 60s')
        reply = smtp.send(relay.port, mail.plain("no"))
        self.assertEqual(reply.code, 554, reply)
        self.assertEqual(self.queue(relay), [])
        self.assertEqual(gateway.kept(), [])

    def test_unequal_answers(self):
        gateway = self.starting(self.gateway("--reject-rcpt", "bad@example.org"))
        relay = self.through(gateway)
        reply = smtp.send(relay.port, mail.plain("half"), sender="alice@example.org",
                          to=["good@example.org", "bad@example.org"])
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(gateway.wait_subject("half").to, ["good@example.org"])
        report = gateway.wait_for(lambda m: m.sender == "", "the bounce")
        self.assertEqual(report.to, ["alice@example.org"])
        self.assertIn(b"bad@example.org", report.bytes)
        self.wait_empty(relay)

    def test_deferred_and_dead(self):
        gateway = self.gateway("--reply-at", "mail=451")
        relay = self.through(gateway)
        self.assertEqual(smtp.send(relay.port, mail.plain("dead")).code, 250)
        self.starting(gateway)
        self.assertEqual(smtp.send(relay.port, mail.plain("deferred")).code, 250)
        self.assertEqual(len(self.queue(relay)), 2)
        gateway.stop()
        gateway.start("--lenient")
        gateway.wait_subject("dead")
        gateway.wait_subject("deferred")
        self.wait_empty(relay)

    def test_late_reply(self):
        gateway = self.starting(self.gateway("--delay-ms", "700"))
        relay = self.through(gateway)
        self.assertEqual(smtp.send(relay.port, mail.plain("late")).code, 250)
        gateway.wait_subject("late")
        self.wait_empty(relay)
        self.assertEqual(len(gateway.kept()), 1)

    def test_killed_after_the_250(self):
        gateway = self.starting(self.gateway("--delay-ms", "700"))
        relay = self.through(gateway)
        self.assertEqual(smtp.send(relay.port, mail.plain("kept")).code, 250)
        kill_hard(relay.role("spool"))
        gateway.wait_subject("kept")
        self.wait_empty(relay)

    def test_reload_in_the_window(self):
        """Nobody's client is left without an answer, and nothing arrives twice."""
        gateway = self.starting(self.gateway("--delay-ms", "300"))
        relay = self.through(gateway, wait='accept = "through"  through_wait = 30s')
        replies = []
        client = threading.Thread(
            target=lambda: replies.append(smtp.send(relay.port, mail.plain("reloaded"))))
        client.start()
        wait_until(lambda: self.queue(relay), "the message on its way")
        relay.settings.retry = "1s"
        relay.write()
        self.assertEqual(relay.reload().status, 0)
        client.join()
        self.assertEqual(replies[0].code, 250, replies)
        gateway.wait_subject("reloaded")
        self.wait_empty(relay)
