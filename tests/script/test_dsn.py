"""Reports about mail, as a reader of MIME takes them apart: RFC 3461, 3464, 6522."""

import email
import email.policy
import email.utils

import mail
import smtp
from case import FolderCase
from waiting import wait_until

SENDER = "alice@example.org"  # has a way back: the gateway


class Report:
    """A report as the gateway was given it, parsed."""

    def __init__(self, kept):
        self.kept = kept
        self.message = email.message_from_bytes(kept.bytes, policy=email.policy.default)

    def check(self, case):
        """What is true of every report; returns its parts."""
        m = self.message
        case.assertEqual(self.kept.sender, "")
        case.assertEqual(self.kept.to, [SENDER])
        case.assertEqual(m.get_content_type(), "multipart/report")
        case.assertEqual(m.get_param("report-type"), "delivery-status")
        case.assertEqual(m["Auto-Submitted"], "auto-replied")
        case.assertEqual(email.utils.parseaddr(m["To"])[1], SENDER)
        case.assertIsNotNone(email.utils.parsedate_to_datetime(m["Date"]))
        for part in m.walk():
            case.assertEqual(part.defects, [], part)
        case.assertNotIn(b"X-Postern-", self.kept.bytes)
        parts = m.get_payload()
        case.assertEqual(len(parts), 3)
        case.assertEqual(parts[0].get_content_type(), "text/plain")
        case.assertEqual(parts[1].get_content_type(), "message/delivery-status")
        return parts

    @property
    def text(self):
        return self.message.get_payload()[0].get_content()

    @property
    def fields(self):
        """The message's fields, then those of each recipient."""
        blocks = self.message.get_payload()[1].get_payload()
        return [{k: str(v) for k, v in block.items()} for block in blocks]


class Reports(FolderCase):
    def setUp(self):
        super().setUp()
        self.inside = self.starting(self.gateway("--reject-rcpt", "bad@example.org=550"))
        self.mx = self.starting(self.relay(self.inside, queue="", score="tag = 4"))

    def report(self, subject):
        kept = self.inside.wait_subject(subject)
        report = Report(kept)
        self.parts = report.check(self)
        return report

    def send(self, mail_words="", rcpts=(("bob@example.org", ""),), body=None):
        """With further words of MAIL and of each RCPT; returns the message's id."""
        client = smtp.Client(self.mx.port)
        self.addCleanup(client.close)
        client.expect(220)
        client.send("EHLO client.test.example\r\n")
        offered = client.reply().lines
        if (mail_words or any(words for _, words in rcpts)) and "DSN" not in offered:
            self.skipTest("this relay does not offer DSN")
        client.say(f"MAIL FROM:<{SENDER}> {mail_words}".strip(), 250)
        for address, words in rcpts:
            client.say(f"RCPT TO:<{address}> {words}".strip(), 250)
        client.say("DATA", 354)
        client.send((body or mail.plain("the original")) + b".\r\n")
        reply = client.reply()
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def test_failure(self):
        id_ = self.send(rcpts=(("bad@example.org", ""), ("bob@example.org", "")))
        report = self.report("Your message could not be delivered")
        top, recipient = report.fields
        self.assertEqual(top["Reporting-MTA"], "dns; mx.test.example")
        self.assertIsNotNone(email.utils.parsedate_to_datetime(top["Arrival-Date"]))
        self.assertNotIn("Received-From-MTA", top)
        self.assertEqual(recipient["Final-Recipient"], "rfc822; bad@example.org")
        self.assertEqual(recipient["Action"], "failed")
        self.assertRegex(recipient["Status"], r"^5\.\d+\.\d+$")
        self.assertRegex(recipient["Diagnostic-Code"], r"^smtp; 550")
        self.assertEqual(recipient["Remote-MTA"], f"dns; {self.inside.address}")
        self.assertIsNotNone(email.utils.parsedate_to_datetime(recipient["Last-Attempt-Date"]))
        self.assertIn("bad@example.org", report.text)
        self.assertNotIn("bob@example.org", report.text)
        self.assertIn(id_, report.text)
        self.assertIn("postmaster@example.org", report.text)
        self.assertEqual(self.parts[2].get_content_type(), "text/rfc822-headers")
        self.assertIn("Subject: the original", self.parts[2].as_string())
        self.assertNotIn("Hello.", self.parts[2].as_string())

    def test_envelope_id_and_original_recipient(self):
        self.send("RET=HDRS ENVID=QQ+2B314", (("bad@example.org", "ORCPT=rfc822;list+2B1@one.example"),))
        top, recipient = self.report("Your message could not be delivered").fields
        self.assertEqual(top["Original-Envelope-Id"], "QQ+314")
        self.assertEqual(recipient["Original-Recipient"].replace(" ", ""), "rfc822;list+1@one.example")

    def test_whole_message(self):
        self.send("RET=FULL", (("bad@example.org", "NOTIFY=FAILURE"),))
        self.report("Your message could not be delivered")
        self.assertEqual(self.parts[2].get_content_type(), "message/rfc822")
        original, = self.parts[2].get_payload()
        self.assertEqual(original["Subject"], "the original")
        self.assertEqual(original.get_content(), "Hello.\r\n")

    def test_whole_message_with_8bit_text(self):
        body = mail.plain("the original", headers="MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                          "Content-Transfer-Encoding: 8bit\n", body="Gr\u00fc\u00dfe\n".encode("utf-8").decode("latin-1"))
        self.send("BODY=8BITMIME RET=FULL", (("bad@example.org", ""),), body=body)
        self.report("Your message could not be delivered")
        original, = self.parts[2].get_payload()
        self.assertIn("Gr", original.get_content())

    def test_success(self):
        self.send("ENVID=me RET=FULL", (("bob@example.org", "NOTIFY=SUCCESS"), ("sales@example.org", "")))
        top, recipient = self.report("Your message was passed on").fields
        self.assertEqual(top["Original-Envelope-Id"], "me")
        self.assertEqual(recipient["Action"], "relayed")
        self.assertEqual(recipient["Final-Recipient"], "rfc822; bob@example.org")
        self.assertRegex(recipient["Status"], r"^2\.")
        self.assertEqual(self.parts[2].get_content_type(), "text/rfc822-headers")

    def test_never(self):
        id_ = self.send("", (("bad@example.org", "NOTIFY=NEVER"),))
        wait_until(lambda: [e for e in self.mx.command("trace", id_, "--json").lines
                            if e["event"] in ("held", "quarantined")], "it to be kept")
        self.assertEqual([m for m in self.inside.kept() if m.sender == ""], [])


class Delays(FolderCase):
    def test_delay(self):
        inside = self.starting(self.gateway("--reply-at", "rcpt=451"))
        text = self.relay(inside, retry="1s").settings
        mx = self.relay(inside, retry="1s")
        mx.write(text.text(mx).replace("warn_after = 4h", "warn_after = 1s"))
        self.starting(mx)
        self.assertEqual(smtp.send(mx.port, mail.plain("slow"), sender=SENDER).code, 250)
        wait_until(lambda: len(mx.command("queue", "list", "--json").lines) == 2, "a notice in the queue")
        inside.stop()
        inside.start("--lenient")
        mx.command("queue", "retry", "all")
        report = Report(inside.wait_subject("Your message is delayed (no need to send it again)"))
        report.check(self)
        _, recipient = report.fields
        self.assertEqual(recipient["Action"], "delayed")
        self.assertRegex(recipient["Status"], r"^4\.")
        self.assertIsNotNone(email.utils.parsedate_to_datetime(recipient["Will-Retry-Until"]))
        inside.wait_subject("slow")
        self.assertEqual(len(inside.kept()), 2)  # one notice, however often it was tried
