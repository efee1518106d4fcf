"""What EHLO offers beyond RFC 5321: chunks, delivery reports' wishes, addresses beyond ASCII, limits."""

import unittest

import mail
import smtp
from case import FolderCase, RelayCase
from waiting import wait_until

FROM = "MAIL FROM:<alice@sender.example>"
TO = "RCPT TO:<bob@example.org>"


class Chunking(RelayCase):
    """RFC 3030: bytes are counted, and never searched for commands or an end."""

    SETTINGS = {"max_size": "1M"}

    def begun(self, *params):
        client = self.greeted()
        client.say(" ".join((FROM, *params)), 250)
        client.say(TO, 250)
        return client

    @staticmethod
    def chunk(client, data, last=False):
        client.send(b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data)
        return client.reply()

    def test_one_chunk(self):
        message = mail.plain("one chunk", ".\n..\n.x\nQUIT\n")
        client = self.begun()
        reply = client.expect(250, self.chunk(client, message, last=True))
        self.assertTrue(reply.id)
        kept = self.inside.wait_subject("one chunk")
        self.assertEqual(kept.body, b".\r\n..\r\n.x\r\nQUIT\r\n")
        client.say("QUIT", 221)

    def test_many_chunks(self):
        message = mail.plain("many chunks") + b"".join(b"%06d\r\n.\r\n" % i for i in range(2000))
        client = self.begun()
        for at in range(0, len(message), 777):
            self.assertEqual(client.expect(250, self.chunk(client, message[at:at + 777])).enhanced, "2.0.0")
        client.expect(250, self.chunk(client, b"", last=True))
        self.assertTrue(self.inside.wait_subject("many chunks").bytes.endswith(message.partition(b"\r\n\r\n")[2]))

    def test_every_cut_of_a_small_message(self):
        message = mail.crlf("Subject: small cut\n\n.\n")
        client = self.greeted()
        for cut in range(len(message) + 1):
            client.say(FROM, 250)
            client.say(TO, 250)
            client.send(b"BDAT %d\r\n" % cut + message[:cut] + b"BDAT %d LAST\r\n" % (len(message) - cut) + message[cut:])
            client.expect(250)
            client.expect(250)
        self.inside.wait_for(lambda m: len([1 for k in self.inside.kept() if "small cut" in k.header("Subject")])
                             == len(message) + 1, "each message")
        for kept in self.inside.kept():
            if "small cut" in kept.header("Subject"):
                self.assertEqual(kept.body, b".\r\n")

    def test_pipelined_in_one_write(self):
        message = mail.plain("pipelined chunks")
        client = self.greeted()
        client.send(f"{FROM}\r\n{TO}\r\nBDAT 10\r\n".encode() + message[:10]
                    + b"BDAT %d LAST\r\n" % (len(message) - 10) + message[10:] + b"NOOP\r\nQUIT\r\n")
        for code in (250, 250, 250, 250, 250, 221):
            client.expect(code)
        self.inside.wait_subject("pipelined chunks")

    def test_byte_by_byte(self):
        message = mail.crlf("Subject: chunk byte by byte\n\nx\n")
        client = self.begun()
        for byte in b"BDAT %d LAST\r\n" % len(message) + message:
            client.send(bytes([byte]))
        client.expect(250)
        self.inside.wait_subject("chunk byte by byte")

    def test_no_crlf_at_the_end(self):
        client = self.begun()
        client.expect(250, self.chunk(client, mail.crlf("Subject: no end\n\nno end"), last=True))
        self.assertEqual(self.inside.wait_subject("no end").body, b"no end\r\n")

    def test_empty_message(self):
        client = self.begun()
        client.expect(250, self.chunk(client, b"", last=True))
        client.say(FROM, 250)

    def test_bare_line_ends_are_refused_at_the_end(self):
        for name, chunks in {
            "LF": [b"Subject: bare\r\n\r\na\nb\r\n"],
            "CR": [b"Subject: bare\r\n\r\na\rb\r\n"],
            "CR at the end": [b"Subject: bare\r\n\r\na\r"],
            "LF of the next chunk's own": [b"Subject: bare\r\n\r\na", b"\nb\r\n"],
            "CR before an empty last": [b"Subject: bare\r\n\r\na\r", b""],
            "in the header": [b"Subject: bare\nX: y\r\n\r\na\r\n"],
        }.items():
            with self.subTest(bare=name):
                client = self.begun()
                for data in chunks[:-1]:
                    client.expect(250, self.chunk(client, data))
                reply = self.chunk(client, chunks[-1], last=True)
                self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"), reply)
                self.assertTrue(reply.id)
                client.say(FROM, 250)  # the session goes on
        self.assertEqual(smtp.send(self.mx.port, mail.plain("after the bare")).code, 250)
        self.inside.wait_subject("after the bare")
        self.assertFalse([m for m in self.inside.kept() if "bare" in m.header("Subject")])

    def test_crlf_across_chunks(self):
        client = self.begun()
        client.expect(250, self.chunk(client, b"Subject: split end\r"))
        client.expect(250, self.chunk(client, b"\n\r\na\r\n", last=True))
        self.assertEqual(self.inside.wait_subject("split end").body, b"a\r\n")

    def test_nothing_inside_is_a_command(self):
        inside = b"\r\n.\r\nRSET\r\n" + FROM.encode() + b"\r\nQUIT\r\nBDAT 0 LAST\r\n"
        client = self.begun()
        client.expect(250, self.chunk(client, b"Subject: commands inside\r\n" + inside, last=True))
        client.say("QUIT", 221)
        self.assertTrue(self.inside.wait_subject("commands inside").bytes.endswith(inside[3:]))

    def test_out_of_place(self):
        """Its bytes are swallowed, whatever stands in them, and then it is refused."""
        for state, commands, code in (("greeted", [], 503), ("mail", [FROM], 503),
                                      ("no valid recipient", [FROM, "RCPT TO:<x@elsewhere.example>"], 554)):
            with self.subTest(state=state):
                client = self.greeted()
                for line in commands:
                    client.say(line)
                reply = self.chunk(client, b"QUIT\r\nQUIT\r\n" * 10000, last=True)
                self.assertEqual((reply.code, reply.enhanced), (code, "5.5.1"), reply)
                client.say("NOOP", 250)

    def test_before_the_greeting(self):
        client = self.client()
        client.expect(220)
        client.expect(503, self.chunk(client, b"QUIT\r\n"))
        client.say("NOOP", 250)

    def test_data_and_rcpt_after_a_chunk(self):
        client = self.begun()
        client.expect(250, self.chunk(client, b"Subject: mixed\r\n"))
        for line in ("DATA", TO, FROM):
            self.assertEqual(client.expect(503, client.say(line)).enhanced, "5.5.1")
        client.expect(250, self.chunk(client, b"\r\nx\r\n", last=True))
        self.inside.wait_subject("mixed")

    def test_rset_between_chunks(self):
        for line in ("RSET", "EHLO client.example"):
            with self.subTest(line=line):
                client = self.begun()
                client.expect(250, self.chunk(client, b"Subject: forgotten\r\n\r\nhalf\n"))
                client.say(line, 250)
                client.say(FROM, 250)
                client.say(TO, 250)
                client.expect(250, self.chunk(client, mail.plain(f"after {line}"), last=True))
                self.assertNotIn(b"half", self.inside.wait_subject(f"after {line}").bytes)

    def test_too_large(self):
        client = self.begun()
        client.expect(250, self.chunk(client, mail.plain("too large")))
        reply = self.chunk(client, b"x" * 1048576)
        self.assertEqual((reply.code, reply.enhanced), (552, "5.3.4"), reply)
        client.expect(503, self.chunk(client, b"QUIT\r\n"))        # what was pipelined behind it
        client.expect(503, self.chunk(client, b"QUIT\r\n", last=True))
        client.say("RSET", 250)
        client.say(FROM, 250)

    def test_exactly_as_large_as_it_may_be(self):
        head = mail.crlf("Subject: at the limit\n\n")
        client = self.begun()
        client.expect(250, self.chunk(client, head))
        client.expect(250, self.chunk(client, b"x" * (1048576 - len(head) - 2) + b"\r\n", last=True))
        client = self.begun()
        client.expect(250, self.chunk(client, head))
        client.expect(552, self.chunk(client, b"x" * (1048577 - len(head) - 2) + b"\r\n", last=True))

    def test_size_that_is_none(self):
        """Nobody knows where the next command would begin: nothing more is read."""
        for words in ("", " x", " -1", " 1 FIRST", " 99999999999999999999", " 3 LAST LAST"):
            with self.subTest(words=words):
                client = self.begun()
                client.send(f"BDAT{words}\r\nQUIT\r\nNOOP\r\n")
                self.assertEqual(client.expect(501).enhanced, "5.5.4")
                client.expect(421)
                client.wait_closed()

    def test_binary_is_not_taken(self):
        client = self.greeted()
        self.assertEqual(client.say(FROM + " BODY=BINARYMIME", 501).enhanced, "5.5.4")

    def test_nul(self):
        client = self.begun()
        reply = self.chunk(client, b"Subject: nul\r\n\r\na\0b\r\n", last=True)
        self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"))

    def test_client_that_leaves_in_a_chunk(self):
        for data in (b"", b"half"):
            client = self.begun()
            client.send(b"BDAT 100 LAST\r\n" + data)
            client.close()
        self.assertEqual(smtp.send(self.mx.port, mail.plain("after half a chunk")).code, 250)


class Envelope(RelayCase):
    """Parameters of MAIL and RCPT: RFC 1870, 3461, 6152, 6531."""

    SETTINGS = {"max_size": "1M"}

    def check(self, rows, *before):
        for line, code, enhanced in rows:
            with self.subTest(line=line):
                client = self.greeted()
                for b in before:
                    client.say(b, 250)
                reply = client.expect(code, self.utf8(client, line))
                self.assertEqual(reply.enhanced, enhanced, reply)
                client.close()

    @staticmethod
    def utf8(client, line):
        client.send((line + "\r\n").encode("utf-8"))
        return client.reply()

    def test_mail(self):
        self.check((
            (FROM + " RET=FULL", 250, "2.1.0"),
            (FROM + " ret=hdrs ENVID=QQ314159 SIZE=10 BODY=8BITMIME", 250, "2.1.0"),
            (FROM + " RET=HALF", 501, "5.5.4"),
            (FROM + " RET=FULL RET=FULL", 501, "5.5.4"),
            (FROM + " ENVID=" + "x" * 100, 250, "2.1.0"),
            (FROM + " ENVID=" + "x" * 101, 501, "5.5.4"),
            (FROM + " ENVID=a+0Ab", 501, "5.5.4"),
            (FROM + " ENVID=a+b", 501, "5.5.4"),
            (FROM + " SIZE=1048576", 250, "2.1.0"),
            (FROM + " SIZE=1048577", 552, "5.3.4"),
            (FROM + " SIZE=99999999999999999999", 552, "5.3.4"),
            (FROM + " SIZE=100000000000000000000", 501, "5.5.4"),
            (FROM + " SIZE=1 SIZE=1", 501, "5.5.4"),
            (FROM + " NOTIFY=NEVER", 555, "5.5.4"),
            ("MAIL FROM:<älice@sender.example>", 553, "5.6.7"),
            ("MAIL FROM:<alice@sänder.example>", 553, "5.6.7"),
            ("MAIL FROM:<älice@sänder.example> SMTPUTF8", 250, "2.1.0"),
            ("MAIL FROM:<alice@a。example> SMTPUTF8", 250, "2.1.0"),
            ("MAIL FROM:<alice@a＠b.example> SMTPUTF8", 501, "5.1.7"),
            (FROM + " SMTPUTF8=1", 501, "5.5.4"),
        ))

    def test_rcpt(self):
        self.check((
            (TO + " NOTIFY=NEVER", 250, "2.1.5"),
            (TO + " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob+2Bx@example.org", 250, "2.1.5"),
            (TO + " NOTIFY=NEVER,FAILURE", 501, "5.5.4"),
            (TO + " NOTIFY=FAILURE NOTIFY=DELAY", 501, "5.5.4"),
            (TO + " NOTIFY=", 501, "5.5.4"),
            (TO + " ORCPT=bob@example.org", 501, "5.5.4"),
            (TO + " ORCPT=rfc822;" + "x" * 494, 501, "5.5.4"),
            (TO + " ORCPT=rfc822;" + "x" * 493, 250, "2.1.5"),
            (TO + " RET=FULL", 555, "5.5.4"),
            ("RCPT TO:<böb@example.org>", 553, "5.6.7"),
        ), FROM)

    def test_invalid_utf8(self):
        client = self.greeted()
        client.send(b"MAIL FROM:<\xff@sender.example> SMTPUTF8\r\n")
        client.expect(501)

    def test_failed_mail_leaves_no_transaction(self):
        client = self.greeted()
        client.say(FROM + " RET=HALF", 501)
        client.say(TO, 503)
        client.say(FROM, 250)

    def test_failed_rcpt_leaves_no_recipient(self):
        client = self.greeted()
        client.say(FROM, 250)
        client.say(TO + " NOTIFY=NEVER,DELAY", 501)
        client.expect(554, client.say("DATA"))

    def test_verification_beyond_ascii(self):
        client = self.greeted()
        client.expect(252, self.utf8(client, "VRFY böb SMTPUTF8"))
        client.expect(502, self.utf8(client, "EXPN böb SMTPUTF8"))
        client.expect(250, self.utf8(client, "NOOP ö"))
        client.expect(501, self.utf8(client, "EHLO ö.example"))
        client.expect(500, self.utf8(client, "ÖHLO x"))


class Utf8(FolderCase):
    def test_names_beyond_ascii_are_their_ascii_form(self):
        recipients = self.write("recipients", "bob@xn--bcher-kva.example\n")
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(
            gateway, recipients=recipients,
            domains=f'domain "xn--bcher-kva.example" {{ gateway = "inside"  recipients = "file:{recipients}" }}'))
        relay.policy(f"reject from @{'böse'.encode('idna').decode()}.example\n")
        with smtp.Client(relay.port) as c:
            c.greet()
            for line, code in (("MAIL FROM:<älice@sender.example> SMTPUTF8", 250),
                               ("RCPT TO:<bob@bücher.example>", 250),
                               ("RCPT TO:<bob@BÜCHER.example>", 250),
                               ("RCPT TO:<nobody@bücher.example>", 550),
                               ("RCPT TO:<bob@büch.example>", 550)):
                c.send((line + "\r\n").encode("utf-8"))
                c.expect(code)
            c.say("DATA", 354)
            c.expect(250, c.body(mail.crlf("Subject: Grüße 1\n\nBücher\n")))
            c.send("MAIL FROM:<x@böse.example> SMTPUTF8\r\n".encode("utf-8"))
            c.expect(250)
            c.say("RCPT TO:<bob@xn--bcher-kva.example>", 550)  # a rule for the ASCII form


    def test_said_without_need(self):
        """The gateway does not know SMTPUTF8: it gets what is ASCII, and nothing else."""
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(gateway))
        with smtp.Client(relay.port) as c:
            c.greet()

            def envelope(sender, to, code):
                for line, wanted in ((f"MAIL FROM:<{sender}> SMTPUTF8", 250), (f"RCPT TO:<{to}>", code)):
                    c.send((line + "\r\n").encode("utf-8"))
                    reply = c.expect(wanted)
                return reply

            def message(sender, to, subject):
                envelope(sender, to, 250)
                c.say("DATA", 354)
                c.expect(250, c.body(mail.crlf(f"Subject: {subject}\n\nx\n")))

            message("alice@sender.example", "bob@example.org", "plain")
            gateway.wait_subject("plain")  # so that it has been asked
            message("alice@s\u00e4nder.example", "bob@example.org", "domain beyond ASCII")
            message("alice@sender.example", "bob@example.org", "Betreff mit \u00fc")
            for sender, to in (("\u00e4lice@sender.example", "bob@example.org"),
                               ("alice@sender.example", "b\u00f6b@example.org")):
                self.assertEqual(envelope(sender, to, 553).enhanced, "5.6.7")
                c.say("RSET", 250)
        for subject in ("plain", "domain beyond ASCII"):
            kept = gateway.wait_subject(subject)
            self.assertTrue(kept.sender.isascii())
            self.assertRegex(kept.header("Received")[0], r"with UTF8SMTP\b")
        wait_until(lambda: "553 5.6.7" in relay.log(), "the refusal of a header that needs SMTPUTF8")
        self.assertFalse([m for m in gateway.kept() if "Betreff" in str(m.header("Subject"))])


class Abilities(FolderCase):
    """What a gateway has said it cannot take is refused at RCPT, once it has said so."""

    def test_learnt_from_its_ehlo(self):
        gateway = self.starting(self.gateway("--no-8bitmime"))
        relay = self.starting(self.relay(gateway))
        with smtp.Client(relay.port) as c:
            c.greet()
            c.say(FROM, 250)
            c.send("RCPT TO:<b\u00f6b@example.org>\r\n".encode("utf-8"))
            c.expect(553)  # without SMTPUTF8, whatever the gateway
            c.say("RSET", 250)
        self.assertEqual(smtp.send(relay.port, mail.plain("asks it")).code, 250)
        gateway.wait_subject("asks it")
        with smtp.Client(relay.port) as c:
            c.greet()
            c.say("MAIL FROM:<alice@sender.example> SMTPUTF8", 250)
            c.send("RCPT TO:<b\u00f6b@example.org>\r\n".encode("utf-8"))
            self.assertEqual(c.expect(553).enhanced, "5.6.7")
            c.say(TO, 250)


class Limits(FolderCase):
    """RFC 9422: what is announced is kept."""

    def test_mailmax(self):
        relay = self.starting(self.relay(self.starting(self.gateway()), listen="limits { messages = 3 }"))
        with smtp.Client(relay.port) as c:
            self.assertEqual(c.greet()["LIMITS"], ["RCPTMAX=100", "MAILMAX=3"])
            for _ in range(3):
                c.say(FROM, 250)
                c.say("RSET", 250)
            self.assertEqual(c.say(FROM, 421).enhanced, "4.7.0")
            c.wait_closed()

    def test_rcptmax(self):
        relay = self.starting(self.relay(self.starting(self.gateway()), max_recipients=3))
        with smtp.Client(relay.port) as c:
            self.assertEqual(c.greet()["LIMITS"], ["RCPTMAX=3", "MAILMAX=1000"])
            c.say(FROM, 250)
            for _ in range(3):
                c.say(TO, 250)
            self.assertEqual(c.say(TO, 452).enhanced, "4.5.3")


if __name__ == "__main__":
    unittest.main()
