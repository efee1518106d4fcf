"""The SMTP server: commands in every state, framing, limits, what leaves for the gateway."""

import unittest

import mail
import smtp
from case import FolderCase, RelayCase

FROM = "MAIL FROM:<alice@sender.example>"
TO = "RCPT TO:<bob@example.org>"

# How to get into each state from a fresh banner.
STATES = {
    "connected": (),
    "greeted": ("EHLO client.example",),
    "mail": ("EHLO client.example", FROM),
    "rcpt": ("EHLO client.example", FROM, TO),
    "refused": ("EHLO client.example", FROM, "RCPT TO:<bob@elsewhere.example>"),
    "chunk": ("EHLO client.example", FROM, TO, "BDAT 0"),
}
# Said in every state with the same answer.
ANYWHERE = (
    ("NOOP", 250, "2.0.0"),
    ("NOOP \xe9\xff", 250, "2.0.0"),
    ("NOOP \t ", 250, "2.0.0"),
    ("RSET", 250, "2.0.0"),
    ("RSET  \t", 250, "2.0.0"),
    ("HELP ", 214, "2.0.0"),
    ("EHLO client.example \t ", 250, ""),
    ("EHLO \t", 501, "5.5.4"),
    ("RSET now", 501, "5.5.4"),
    ("QUIT now", 501, "5.5.4"),
    ("DATA now", 501, "5.5.4"),
    ("HELP", 214, "2.0.0"),
    ("HELP MAIL", 214, "2.0.0"),
    ("VRFY bob", 252, "2.5.0"),
    ("VRFY", 501, "5.5.4"),
    ("EXPN staff", 502, "5.5.1"),
    ("TURN", 502, "5.5.1"),
    ("ETRN example.org", 502, "5.5.1"),
    ("SEND FROM:<a@b.example>", 502, "5.5.1"),
    ("XFORWARD NAME=x", 502, "5.5.1"),
    ("EHLO client.example", 250, ""),
    ("HELO client.example", 250, ""),
    ("EHLO", 501, "5.5.4"),
    ("EHLO two words", 501, "5.5.4"),
    ("EHLO \xe9.example", 501, "5.5.4"),
    ("HELO x\ty", 501, "5.5.4"),
    ("MAIL", 501, "5.5.4"),
    ("RCPT", 501, "5.5.4"),
    ("MAIL FROM:<a@b..example>", 501, "5.5.4"),
    ("RCPT TO:<a@>", 501, "5.5.4"),
    ("XCLIENT", 501, "5.5.4"),
    ("NONSENSE", 500, "5.5.1"),
    ("N\xd6\xd6P", 500, "5.5.1"),
    ("", 500, "5.5.1"),
    (" NOOP", 500, "5.5.1"),
    ("GET / HTTP/1.1", 500, "5.5.1"),
    ("NO\0OP", 500, "5.5.2"),
    ("NOOP\nRSET", 500, "5.5.2"),
    ("NOOP\rRSET", 500, "5.5.2"),
)

# state, command, code, enhanced status code ("": not looked at)
COMMANDS = (
    ("connected", "NOOP", 250, ""),
    ("connected", "noop with words", 250, ""),
    ("connected", "RSET", 250, ""),
    ("connected", "HELP", 214, ""),
    ("connected", "VRFY bob", 252, ""),
    ("connected", "EHLO client.example", 250, ""),
    ("connected", "ehlo [192.0.2.1]", 250, ""),
    ("connected", "HELO client.example", 250, ""),
    ("connected", "EHLO", 501, "5.5.4"),
    ("connected", "HELO", 501, "5.5.4"),
    ("connected", FROM, 503, "5.5.1"),
    ("connected", TO, 503, "5.5.1"),
    ("connected", "DATA", 503, "5.5.1"),
    ("connected", "NONSENSE", 500, "5.5.1"),
    ("connected", "EXPN staff", 502, "5.5.1"),
    ("connected", "TURN", 502, "5.5.1"),
    ("connected", "", 500, ""),
    ("greeted", TO, 503, "5.5.1"),
    ("greeted", "DATA", 503, "5.5.1"),
    ("greeted", FROM, 250, "2.1.0"),
    ("greeted", "MAIL FROM:<>", 250, "2.1.0"),
    ("greeted", "mail from:<alice@sender.example>", 250, "2.1.0"),
    ("greeted", FROM + " SIZE=1000 BODY=8BITMIME", 250, "2.1.0"),
    ("greeted", FROM + " BODY=7BIT", 250, "2.1.0"),
    ("greeted", FROM + " SIZE=999999999999", 552, "5.3.4"),
    ("greeted", FROM + " SIZE=2000000", 552, "5.3.4"),
    ("greeted", FROM + " SIZE=many", 501, "5.5.4"),
    ("greeted", FROM + " BODY=STRANGE", 501, "5.5.4"),
    ("greeted", FROM + " UNHEARD=of", 555, "5.5.4"),
    ("greeted", "MAIL", 501, "5.5.4"),
    ("greeted", "MAIL TO:<alice@sender.example>", 501, "5.5.4"),
    ("greeted", "MAIL FROM:alice@sender.example", 501, ""),
    ("greeted", "MAIL FROM:<alice@>", 501, ""),
    ("greeted", "MAIL FROM:<alice@sender.example", 501, ""),
    ("greeted", "STARTTLS", 502, "5.5.1"),
    ("greeted", "AUTH PLAIN AGEAYg==", 502, "5.5.1"),
    ("greeted", "BDAT 0 LAST", 503, "5.5.1"),
    ("mail", FROM, 503, "5.5.1"),
    ("mail", "DATA", 503, "5.5.1"),
    ("mail", TO, 250, "2.1.5"),
    ("mail", "rcpt to:<BOB@EXAMPLE.ORG>", 250, "2.1.5"),
    ("mail", "RCPT TO:<@a.example,@b.example:bob@example.org>", 250, "2.1.5"),
    ("mail", "RCPT TO:<postmaster>", 250, "2.1.5"),
    ("mail", "RCPT TO:<PostMaster>", 250, "2.1.5"),
    ("mail", 'RCPT TO:<"bob b"@example.org>', 250, "2.1.5"),
    ("mail", "RCPT TO:<bob@elsewhere.example>", 550, "5.7.1"),
    ("mail", "RCPT TO:<bob@sub.example.org>", 550, "5.7.1"),
    ("mail", "RCPT TO:<bob%elsewhere.example@example.org>", (250, 550), ""),
    ("mail", "RCPT TO:<>", 501, ""),
    ("mail", "RCPT TO:<bob>", (501, 550), ""),
    ("mail", "RCPT FROM:<bob@example.org>", 501, "5.5.4"),
    ("mail", TO + " UNHEARD=of", 555, "5.5.4"),
    ("greeted", "BDAT 0", 503, "5.5.1"),
    ("greeted", FROM + " SIZE=0 RET=HDRS ENVID=x SMTPUTF8 BODY=8BITMIME", 250, "2.1.0"),
    ("greeted", " ".join(["MAIL FROM:<alice@sender.example>"] + ["X=1"] * 17), 555, "5.5.4"),
    ("mail", "BDAT 0 LAST", 503, "5.5.1"),
    ("mail", TO + " NOTIFY=NEVER ORCPT=rfc822;bob@example.org", 250, "2.1.5"),
    ("refused", "DATA", 554, "5.5.1"),
    ("refused", "BDAT 0 LAST", 554, "5.5.1"),
    ("refused", TO, 250, "2.1.5"),
    ("refused", FROM, 503, "5.5.1"),
    ("rcpt", TO, 250, "2.1.5"),
    ("rcpt", "BDAT 0", 250, "2.0.0"),
    ("rcpt", "BDAT 0 LAST", 250, "2.0.0"),
    ("rcpt", "XCLIENT ADDR=192.0.2.1", 503, "5.5.1"),
    ("chunk", "BDAT 0", 250, "2.0.0"),
    ("chunk", "BDAT 0 LAST", 250, "2.0.0"),
    ("chunk", FROM, 503, "5.5.1"),
    ("chunk", TO, 503, "5.5.1"),
    ("chunk", "DATA", 503, "5.5.1"),
    ("rcpt", FROM, 503, "5.5.1"),
    ("rcpt", "NOOP", 250, ""),
    ("rcpt", "VRFY bob", 252, ""),
    ("rcpt", "NONSENSE", 500, "5.5.1"),
    ("rcpt", "DATA", 354, ""),
    ("rcpt", "DATA \t ", 354, ""),
    ("greeted", FROM + " \t", 250, "2.1.0"),
    ("mail", TO + "  ", 250, "2.1.5"),
)

# Refused inside a transaction, of which it changes nothing.
REFUSED_INSIDE = (
    ("EHLO two words", 501), ("HELO", 501), (FROM, 503), ("RCPT TO:<bob@elsewhere.example>", 550), ("RCPT TO:<a@>", 501),
    ("RSET now", 501), ("DATA now", 501), ("NONSENSE", 500), ("NO\nOP", 500), ("STARTTLS", 502),
)


class Commands(RelayCase):
    SETTINGS = {"max_size": "1M", "max_recipients": 5}

    def reach(self, state):
        client = self.client()
        client.expect(220)
        for line in STATES[state]:
            client.expect(550 if "elsewhere" in line else 250, client.say(line))
        return client

    def check_refusal(self, reply):
        """What the contract wants of every 4xx and 5xx."""
        if reply.code < 400:
            return
        self.assertEqual(reply.enhanced[:1], str(reply.code)[0], f"enhanced code of {reply}")
        self.assertTrue(reply.id, f"no id in {reply}")
        self.assertGreater(len(reply.text), len(reply.enhanced) + len(reply.id) + 8, f"no text in {reply}")

    def test_every_command_in_every_state(self):
        everywhere = [(state, *row) for state in STATES for row in ANYWHERE]
        for state, line, code, enhanced in (*COMMANDS, *everywhere):
            with self.subTest(state=state, line=line):
                client = self.reach(state)
                reply = client.expect(code, client.say(line))
                if enhanced:
                    self.assertEqual(reply.enhanced, enhanced, reply)
                self.check_refusal(reply)
                client.close()

    def test_quit_in_every_state(self):
        for state in STATES:
            with self.subTest(state=state):
                client = self.reach(state)
                client.say("QUIT", 221)
                client.wait_closed()

    def test_banner_names_the_host(self):
        banner = self.client().expect(220)
        self.assertTrue(banner.text.startswith("mx.test.example"), banner)

    def test_ehlo_offers(self):
        client = self.client()
        offered = client.greet()
        for word in ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"):
            self.assertIn(word, offered)
        self.assertEqual(offered["SIZE"], ["1048576"])
        for word in ("DSN", "CHUNKING", "SMTPUTF8"):
            self.assertEqual(offered.get(word), [])
        self.assertEqual(offered["LIMITS"], ["RCPTMAX=5", "MAILMAX=1000"])
        self.assertNotIn("BINARYMIME", offered)

    def test_helo_offers_nothing(self):
        client = self.client()
        client.expect(220)
        self.assertEqual(len(client.say("HELO client.example", 250).lines), 1)

    def test_rset_and_ehlo_forget_the_transaction(self):
        for line in ("RSET", "EHLO client.example", "HELO client.example"):
            with self.subTest(line=line):
                client = self.reach("rcpt")
                client.say(line, 250)
                client.say("DATA", 503)
                client.say(FROM, 250)

    def test_what_is_refused_changes_nothing(self):
        """RFC 5321 sections 4.1.4 and 4.1.1.1: the transaction goes on as it was."""
        client = self.reach("rcpt")
        for line, code in REFUSED_INSIDE:
            client.say(line, code)
        for line in ("NOOP", "VRFY bob", "HELP"):
            client.expect((250, 252, 214), client.say(line))
        client.say("DATA", 354)
        client.expect(250, client.body(mail.plain("nothing was changed")))
        kept = self.inside.wait_subject("nothing was changed")
        self.assertEqual((kept.sender, kept.to), ("alice@sender.example", ["bob@example.org"]))

    def test_cut_off_behind_a_message(self):
        """RFC 5321 section 3.8: what was begun is forgotten, what was acknowledged stays."""
        client = self.reach("rcpt")
        client.say("DATA", 354)
        client.expect(250, client.body(mail.plain("acknowledged")))
        client.say(FROM, 250)
        client.say(TO, 250)
        client.say("DATA", 354)
        client.send("Subject: cut off\r\n\r\nnothing behind it\r\n.\r")
        client.close()
        self.inside.wait_subject("acknowledged")
        self.assertEqual(smtp.send(self.mx.port, mail.plain("behind the cut")).code, 250)
        self.inside.wait_subject("behind the cut")
        self.assertEqual([m for m in self.inside.kept() if m.header("Subject") == ["cut off"]], [])

    def test_data_without_a_recipient_left(self):
        client = self.reach("mail")
        client.say("RCPT TO:<bob@elsewhere.example>", 550)
        client.expect((503, 554), client.say("DATA"))

    def test_recipients_limit(self):
        client = self.reach("mail")
        for i in range(5):
            client.say(f"RCPT TO:<user{i}@example.org>", 250)
        reply = client.say("RCPT TO:<user6@example.org>", 452)
        self.assertEqual(reply.enhanced, "4.5.3")
        client.say("DATA", 354)
        client.expect(250, client.body(mail.plain("recipients limit")))
        kept = self.inside.wait_subject("recipients limit")
        self.assertEqual(sorted(kept.to), [f"user{i}@example.org" for i in range(5)])

    def test_line_limit(self):
        client = self.greeted()
        at_limit = "NOOP " + "x" * (2048 - 2 - len("NOOP "))
        client.say(at_limit, 250)
        for length in (2049, 5000, 100000):
            with self.subTest(length=length):
                client = self.greeted()
                client.send("NOOP " + "x" * (length - 7) + "\r\n")
                reply = client.expect(500)
                self.assertEqual(reply.enhanced, "5.5.2")

    def test_bare_line_ends_in_commands(self):
        for line in ("NOOP\n", "NOOP\rNOOP\r\n", "NOOP\nNOOP\r\n", "NO\0OP\r\n"):
            with self.subTest(line=line):
                client = self.greeted()
                client.send(line + ("" if line.endswith("\r\n") else "RSET\r\n"))
                self.assertEqual(client.expect(500).enhanced, "5.5.2")
                client.say("NOOP", 250)  # one refusal for all of it, nothing of it was run

    def test_id_is_the_same_everywhere(self):
        client = self.reach("rcpt")
        client.say("DATA", 354)
        reply = client.expect(250, client.body(mail.plain("one id")))
        self.assertTrue(reply.id, reply)
        kept = self.inside.wait_subject("one id")
        self.assertIn(f"id={reply.id}", kept.header("X-Postern-Verdict")[0])
        received = kept.header("Received")[0]
        self.assertIn(reply.id, received)
        self.assertIn("mx.test.example", received)
        self.assertIn("client.example", received)
        self.assertIn("127.0.0.1", received)
        self.assertRegex(received, r"\bwith ESMTP\b")

    def test_ids_sort_by_time(self):
        ids = []
        for i in range(5):
            ids.append(smtp.send(self.mx.port, mail.plain(f"sorted {i}")).id)
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(len(set(ids)), 5)

    def test_received_with_smtp_after_helo(self):
        client = self.client()
        client.expect(220)
        client.say("HELO client.example", 250)
        client.expect(250, client.transaction("a@sender.example", ["bob@example.org"], mail.plain("by HELO"))["end"])
        self.assertRegex(self.inside.wait_subject("by HELO").header("Received")[0], r"\bwith SMTP\b")


class Pipelining(RelayCase):
    SETTINGS = {"max_size": "1M"}

    def test_whole_session_in_one_write(self):
        message = mail.plain("in one write")
        client = self.client()
        client.expect(220)
        client.send(b"EHLO client.example\r\n")
        client.expect(250)
        client.send(b"\r\n".join([FROM.encode(), TO.encode(), b"RCPT TO:<x@elsewhere.example>", b"DATA", b""]))
        for code in (250, 250, 550, 354):
            client.expect(code)
        client.send(message + b".\r\n" + FROM.encode() + b"\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        for code in (250, 250, 250, 250, 221):
            client.expect(code)
        client.wait_closed()
        self.assertEqual(self.inside.wait_subject("in one write").to, ["bob@example.org"])

    def test_many_messages_over_one_connection(self):
        client = self.greeted()
        for i in range(30):
            client.expect(250, client.transaction("a@sender.example", ["bob@example.org"], mail.plain(f"row {i}"))["end"])
        for i in range(30):
            self.inside.wait_subject(f"row {i}")

    def test_byte_by_byte(self):
        client = self.client()
        client.expect(220)
        said = [b"EHLO client.example\r\n", FROM.encode() + b"\r\n", TO.encode() + b"\r\n", b"DATA\r\n",
                mail.plain("byte by byte", "..x\n.y\n") + b".\r\n"]
        for piece, code in zip(said, (250, 250, 250, 354, 250)):
            for byte in piece.replace(b"\r\n.y", b"\r\n..y"):
                client.send(bytes([byte]))
            client.expect(code)
        self.assertEqual(self.inside.wait_subject("byte by byte").body, b".x\r\n.y\r\n")

    def test_client_that_leaves_in_the_middle(self):
        for lines in ([], [FROM], [FROM, TO], [FROM, TO, "DATA", "Subject: half", "", "half"]):
            client = self.greeted()
            client.send("\r\n".join(lines))
            client.close()
        self.assertEqual(smtp.send(self.mx.port, mail.plain("after the leavers")).code, 250)
        self.inside.wait_subject("after the leavers")
        self.assertFalse([m for m in self.inside.kept() if "half" in m.header("Subject")])


class Bodies(RelayCase):
    SETTINGS = {"max_size": "8M"}

    def through(self, message, subject, **options):
        reply = smtp.send(self.mx.port, message, **options)
        self.assertEqual(reply.code, 250, reply)
        return self.inside.wait_subject(subject)

    def test_bodies_arrive_unchanged(self):
        bodies = {
            "dots": ".\n..\n...x\n.x.\n",
            "empty": "",
            "no newline at its end": "x",
            "one empty line": "\n",
            "many lines": "".join(f"line {i}\n" for i in range(20000)),
            "long line": "x" * 900 + "\n",
            "trailing blanks": "x  \n\t\n \n",
        }
        for name, body in bodies.items():
            with self.subTest(body=name):
                message = mail.plain(name, body)
                kept = self.through(message, name)
                wanted = message.partition(b"\r\n\r\n")[2]
                if wanted and not wanted.endswith(b"\r\n"):
                    wanted += b"\r\n"
                self.assertEqual(kept.body, wanted)

    def test_big_message(self):
        body = b"".join(b"%08d" % i * 9 + b"\r\n" for i in range(80000))
        kept = self.through(mail.plain("big one") + body, "big one")
        self.assertTrue(kept.body.endswith(body))

    def test_header_section_stays(self):
        message = mail.plain("headers stay", headers="X-One: 1\nX-Folded: a\n\tb\n  c\nX-One: 2\nx-odd-CASE:no blank\n")
        kept = self.through(message, "headers stay")
        self.assertTrue(kept.bytes.endswith(message), kept.bytes)

    def test_message_without_headers(self):
        reply = smtp.send(self.mx.port, mail.crlf("\nonly a body, mark-4711\n"))
        self.assertEqual(reply.code, 250)
        kept = self.inside.wait_for(lambda m: b"mark-4711" in m.bytes, "mark-4711")
        self.assertEqual(kept.body, b"only a body, mark-4711\r\n")

    def test_eight_bit(self):
        client = self.greeted()
        client.say(FROM + " BODY=8BITMIME", 250)
        client.say(TO, 250)
        client.say("DATA", 354)
        message = mail.plain("eight bit", "Grüße, Ελλάδα\n") + b"\xff\xfe raw\r\n"
        client.expect(250, client.body(message))
        kept = self.inside.wait_subject("eight bit")
        self.assertTrue(kept.bytes.endswith(message.partition(b"\r\n\r\n")[2]))
        self.assertIn("BODY=8BITMIME", kept.envelope["params"].upper())

    def test_null_sender(self):
        self.assertEqual(self.through(mail.plain("null sender"), "null sender", sender="").sender, "")

    def test_size_in_data(self):
        client = self.greeted()
        client.say(FROM, 250)
        client.say(TO, 250)
        client.say("DATA", 354)
        reply = client.body(mail.plain("too big")
                            + (b"y" * 76 + b"\r\n") * 120000)
        self.assertEqual((reply.code, reply.enhanced), (552, "5.3.4"), reply)
        client.say("NOOP", 250)
        self.assertEqual(smtp.send(self.mx.port, mail.plain("after too big")).code, 250)
        self.inside.wait_subject("after too big")
        self.assertFalse([m for m in self.inside.kept() if "too big" in m.header("Subject")])


# What some servers take for the end of a message.
LOOKALIKES = {
    "LF.LF": b"\n.\n",
    "CRLF.LF": b"\r\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CR.CR": b"\r.\r",
    "CRLF.CR": b"\r\n.\r",
    "CR.CRLF": b"\r.\r\n",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRLF.CRLFless": b"\r\n.\rx\r\n",
    "NUL": b"\r\n\0.\r\n",
}
SMUGGLED = (b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nhello\r\n")


class Smuggling(RelayCase):
    """SMTP smuggling: whatever ends a message elsewhere does not end it here, nor at the gateway."""

    GATEWAY = ("--lenient",)

    def test_lookalikes(self):
        for name, end in LOOKALIKES.items():
            with self.subTest(end=name):
                client = self.greeted()
                client.say(FROM, 250)
                client.say(TO, 250)
                client.say("DATA", 354)
                client.send(mail.plain(f"outer {name}", "text") + end + SMUGGLED + b"\r\n.\r\nQUIT\r\n")
                reply = client.reply()
                if name != "NUL" or reply.code != 250:
                    self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"), reply)
                    self.assertTrue(reply.id)
                client.expect(221)  # one reply for all of it: nothing inside was a command
                client.wait_closed()
        self.assertEqual(smtp.send(self.mx.port, mail.plain("after all")).code, 250)
        self.inside.wait_subject("after all")
        subjects = [s for m in self.inside.kept() for s in m.header("Subject")]
        self.assertNotIn("smuggled", subjects)
        self.assertEqual([s for s in subjects if s.startswith("outer") and "NUL" not in s], [])

    def test_dots_that_are_not_the_end(self):
        for name, line in {"dot blank": b". ", "dot dot": b"..", "blank dot": b" .", "dot tab": b".\t"}.items():
            with self.subTest(line=name):
                client = self.greeted()
                client.say(FROM, 250)
                client.say(TO, 250)
                client.say("DATA", 354)
                client.send(mail.plain(f"inner {name}", "") + line + b"\r\nNOOP\r\n.\r\n")
                client.expect(250)
                kept = self.inside.wait_subject(f"inner {name}")
                self.assertTrue(kept.body.endswith(b"NOOP\r\n"))


class Xclient(FolderCase):
    def test_only_from_who_may(self):
        relay, gateway = self.pair()
        with smtp.Client(relay.port, "127.0.0.1") as c:
            self.assertIn("XCLIENT", c.greet())
            self.assertEqual(c.xclient(addr="198.51.100.7", name="mail.far.example").code, 220)
            self.assertNotIn("ADDR", c.hello())
            told = c.transaction("a@sender.example", ["bob@example.org"], mail.plain("xclient"))
            self.assertEqual(told["end"].code, 250)
        self.assertIn("198.51.100.7", gateway.wait_subject("xclient").header("Received")[0])
        with smtp.Client(relay.port, "127.0.0.2") as c:
            self.assertNotIn("XCLIENT", c.greet())
            reply = c.xclient(addr="198.51.100.7")
            self.assertIn(reply.code // 100, (5,), reply)

    def test_bad_xclient(self):
        relay, _ = self.pair()
        for words in ("ADDR=not-an-address", "ADDR=999.1.1.1", "NONSENSE=1", "", "ADDR=+GG"):
            with self.subTest(words=words), smtp.Client(relay.port) as c:
                c.greet()
                self.assertEqual(c.say(f"XCLIENT {words}").code, 501)

    def test_ipv6(self):
        relay, gateway = self.pair(policy="reject client 2001:db8:bad::/48\n")
        self.assertEqual(smtp.send(relay.port, mail.plain("v6 bad"), client="IPV6:2001:db8:bad::1").code, 550)
        self.assertEqual(smtp.send(relay.port, mail.plain("v6 good"), client="IPV6:2001:db8::1").code, 250)
        gateway.wait_subject("v6 good")


if __name__ == "__main__":
    unittest.main()
