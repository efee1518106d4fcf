"""Accepted mail and the gateways: down, refusing, slow; bounces; the queue's commands; restarts."""

import os

import mail
import smtp
from case import FolderCase
from waiting import wait_until


class Queue(FolderCase):
    def queue(self, relay):
        return relay.command("queue", "list", "--json").lines

    def wait_empty(self, relay):
        wait_until(lambda: not self.queue(relay), lambda: f"an empty queue, there is {self.queue(relay)}")

    def send(self, relay, subject, **options):
        reply = smtp.send(relay.port, mail.plain(subject), **options)
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def test_gateway_down_at_start(self):
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway))
        id_ = self.send(relay, "waits", to=["bob@example.org", "sales@example.org"])
        entry, = wait_until(lambda: [e for e in self.queue(relay) if e["attempts"]], "a first attempt")
        self.assertEqual(entry["id"], id_)
        self.assertEqual(entry["from"], "alice@sender.example")
        self.assertEqual(entry["to"], ["bob@example.org", "sales@example.org"])
        self.assertEqual(entry["gateway"], "inside")
        self.assertGreater(entry["size"], 100)
        for key in ("state", "received", "next_attempt", "last_reply"):
            self.assertIn(key, entry)
        self.starting(gateway)
        self.assertEqual(gateway.wait_subject("waits").to, ["bob@example.org", "sales@example.org"])
        self.wait_empty(relay)

    def test_failover_and_back(self):
        first, second = self.gateway(name="first"), self.gateway(name="second")
        self.starting(second)
        relay = self.starting(self.relay(first, second))
        self.send(relay, "to the second")
        second.wait_subject("to the second")
        self.starting(first)

        def at_first():
            self.send(relay, "again")
            return first.kept()
        wait_until(at_first, "mail at the first gateway again")

    def test_failover_where_the_first_misbehaves(self):
        for rule in (("--reply-at", "banner=421"), ("--reply-at", "ehlo=550"), ("--close-at", "banner"),
                     ("--close-at", "mail"), ("--close-at", "dot"), ("--reply-at", "mail=451")):
            with self.subTest(rule=rule):
                name = "-".join(rule).replace("=", "-")
                self.folder = self.path(name)
                os.makedirs(self.folder)
                first, second = self.gateway(*rule, name="first"), self.gateway(name="second")
                self.starting(first)
                self.starting(second)
                relay = self.starting(self.relay(first, second))
                self.send(relay, "somewhere")
                second.wait_subject("somewhere")
                self.wait_empty(relay)
                self.assertEqual(first.kept(), [])
                relay.stop()

    def test_retry_after_a_temporary_refusal(self):
        gateway = self.gateway("--reply-at", "dot=451")
        self.starting(gateway)
        relay = self.starting(self.relay(gateway))
        self.send(relay, "later")
        entry, = wait_until(lambda: [e for e in self.queue(relay) if e["attempts"] >= 2], "a second attempt")
        self.assertIn("451", entry["last_reply"])
        gateway.stop()
        gateway.options = ()
        gateway.start()
        gateway.wait_subject("later")
        self.wait_empty(relay)
        self.assertEqual(len(gateway.kept()), 1)

    def test_recipients_refused_apart(self):
        """One recipient is delivered once, one is put off, one is bounced."""
        gateway = self.gateway("--reject-rcpt", "later@example.org=450", "--reject-rcpt", "never@example.org=550")
        self.starting(gateway)
        relay = self.starting(self.relay(gateway))
        self.send(relay, "apart", sender="sender@example.org",
                  to=["now@example.org", "later@example.org", "never@example.org"])
        self.assertEqual(gateway.wait_subject("apart").to, ["now@example.org"])
        bounce = gateway.wait_for(lambda m: m.sender == "" and m.to == ["sender@example.org"], "the bounce")
        self.check_bounce(bounce, "never@example.org", "apart")
        gateway.stop()
        gateway.options = ()
        gateway.start()
        gateway.wait_for(lambda m: m.to == ["later@example.org"], "the one that was put off")
        self.wait_empty(relay)
        self.assertEqual(sum("now@example.org" in m.to for m in gateway.kept()), 1)

    def check_bounce(self, bounce, recipient, subject):
        """RFC 3462 and RFC 3464."""
        message = bounce.parsed
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        self.assertTrue(message["From"] and message["To"] and message["Date"] and message["Message-ID"])
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        parts = message.get_payload()
        self.assertEqual(parts[1].get_content_type(), "message/delivery-status")
        status = parts[1].as_string()
        self.assertIn("Reporting-MTA: dns; mx.test.example", status)
        self.assertIn(recipient, status)
        self.assertRegex(status, r"(?m)^Action: failed")
        self.assertRegex(status, r"(?m)^Status: 5\.\d+\.\d+")
        self.assertIn("550", status)
        self.assertIn(parts[2].get_content_type(), ("message/rfc822", "text/rfc822-headers"))
        self.assertIn(subject, parts[2].as_string())

    def test_bounce(self):
        for rule in (("--reply-at", "dot=554"), ("--reject-rcpt", "bob@example.org=550")):
            with self.subTest(rule=rule):
                self.folder = self.path(rule[0])
                os.makedirs(self.folder)
                refusing = self.starting(self.gateway(*rule, name="refusing"))
                sender = self.starting(self.gateway(name="sender"))
                relay = self.relay(refusing)
                relay.settings.domains = f'gateway "senders" {{ server "{sender.address}" {{ preference = 10 }} }}\n' \
                    'domain "sender.example" { gateway = "senders" }\n'
                relay.write()
                self.starting(relay)
                self.send(relay, "comes back")
                bounce = sender.wait_for(lambda m: m.sender == "", "the bounce")
                self.assertEqual(bounce.to, ["alice@sender.example"])
                if "rcpt" in rule[0]:
                    self.check_bounce(bounce, "bob@example.org", "comes back")
                self.wait_empty(relay)
                self.assertEqual(refusing.kept(), [])

    def test_what_may_not_be_bounced_is_kept(self):
        gateway = self.starting(self.gateway("--reply-at", "dot=554"))
        relay = self.starting(self.relay(gateway))
        relay.policy("tag invoice body /overdue/\n")
        ids = {self.send(relay, "null sender", sender="")}
        reply = smtp.send(relay.port, mail.plain("tagged", "overdue\n"), sender="alice@example.org")
        ids.add(reply.id)

        def kept():
            return [e for e in relay.command("quarantine", "list", "--json").lines if "554" in e["reason"]]
        found = wait_until(lambda: len(kept()) == 2 and kept(), "both in quarantine")
        self.assertEqual({e["id"] for e in found}, ids)
        self.assertEqual(gateway.kept(), [])

    def test_expiry_bounces(self):
        down = self.gateway(name="down")
        sender = self.starting(self.gateway(name="sender"))
        relay = self.relay(down, expire="2s")
        relay.settings.domains = f'gateway "senders" {{ server "{sender.address}" {{ preference = 10 }} }}\n' \
            'domain "sender.example" { gateway = "senders" }\n'
        relay.write()
        self.starting(relay)
        self.send(relay, "too late")
        bounce = sender.wait_for(lambda m: m.sender == "", "the bounce")
        self.assertIn("too late", bounce.bytes.decode("utf-8"))
        self.wait_empty(relay)

    def test_restart_keeps_the_queue(self):
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, retry="1h"))
        ids = {self.send(relay, f"kept {i}") for i in range(20)}
        relay.restart()
        self.assertEqual({e["id"] for e in self.queue(relay)}, ids)
        relay.kill()
        relay.start()
        self.assertEqual({e["id"] for e in self.queue(relay)}, ids)
        self.starting(gateway)
        relay.command("queue", "retry", "all")  # all go as soon as the server is known to be back: by itself, or by this
        gateway.wait_count(20)
        self.wait_empty(relay)
        subjects = sorted(m.header("Subject")[0] for m in gateway.kept())
        self.assertEqual(subjects, sorted(f"kept {i}" for i in range(20)))

    def test_queue_commands(self):
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, retry="1h"))
        id_ = self.send(relay, "shown")
        shown = relay.command("queue", "show", id_, "--json")
        self.assertEqual(shown.status, 0, shown)
        self.assertEqual(shown.json["id"], id_)
        self.assertEqual(shown.json["to"], ["bob@example.org"])
        self.assertIn(id_, relay.command("queue", "list").out)
        for words in (("show", "NOSUCHID"), ("retry", "NOSUCHID")):
            done = relay.command("queue", *words)
            self.assertEqual(done.status, 1, done)
            self.assertIn("NOSUCHID", done.err)
        # Before its server is back, which it would go to by itself.
        wait_until(lambda: [e for e in self.queue(relay) if e["state"] == "deferred"], "the first attempt to be over")
        self.assertEqual(relay.command("queue", "retry", id_).status, 0)
        self.starting(gateway)
        gateway.wait_subject("shown")
        self.wait_empty(relay)

    def test_gateway_without_pipelining_and_slow(self):
        relay, gateway = self.pair("--no-pipelining", "--delay-ms", "50")
        for i in range(5):
            self.send(relay, f"slow {i}")
        gateway.wait_count(5)
        self.wait_empty(relay)

    def test_envelope(self):
        relay, gateway = self.pair()
        self.send(relay, "envelope", sender="Some.One+tag@sender.example", to=["BOB@example.org", "sales@example.org"])
        kept = gateway.wait_subject("envelope")
        self.assertEqual(kept.sender, "Some.One+tag@sender.example")
        self.assertEqual(sorted(t.lower() for t in kept.to), ["bob@example.org", "sales@example.org"])
        self.assertEqual(kept.envelope["helo"], "mx.test.example")
