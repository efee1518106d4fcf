"""SMTP smuggling, through the real relay: one message in, one message out at the gateway, or a refusal.

Whatever any server takes for the end of a message, alone or cut over segments, by DATA or in chunks: what
the gateway keeps is what was acknowledged, byte for byte, and nothing inside it became a message of its own.
"""

import itertools
import unittest

import mail
import smtp
from case import RelayCase
from waiting import MAIL_PATIENCE_S, wait_until

FROM = b"MAIL FROM:<alice@sender.example>\r\n"
TO = b"RCPT TO:<bob@example.org>\r\n"

# Line ends before and behind the dot; (CRLF, CRLF) is the true end.
ENDS = {"CRLF": b"\r\n", "LF": b"\n", "CR": b"\r", "CRCRLF": b"\r\r\n", "LFCR": b"\n\r", "NUL": b"\0",
        "CRNULLF": b"\r\0\n", "NULCRLF": b"\0\r\n", "CRLFNUL": b"\r\n\0", "VT": b"\v", "FF": b"\f",
        "NEL": b"\xc2\x85", "LS": b"\xe2\x80\xa8", "nothing": b""}
DOTS = {".": b".", ". ": b". ", ".NUL": b".\0", "..": b".."}
TRUE_END = b"\r\n.\r\n"
LOOKALIKES = {f"{a} {d} {b}": ENDS[a] + DOTS[d] + ENDS[b] for a, d, b in itertools.product(ENDS, DOTS, ENDS)
              if TRUE_END not in ENDS[a] + DOTS[d] + ENDS[b]}
SMUGGLED = (b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nhello\r\n")


def message(mark):
    return b"From: <alice@sender.example>\r\nSubject: " + mark.encode() + b"\r\n\r\ntext"


def has_bare(data):
    """A CR or LF that is no line end, or a NUL."""
    rest = data.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest or b"\0" in rest


class Smuggling(RelayCase):
    SETTINGS = {"max_size": "1M", "filters": (), "listen": "limits { messages = 100000 }"}
    GATEWAY = ("--lenient",)  # one that would take a bare LF for a line's end

    def fresh(self):
        """A session for each: one that went wrong does not spoil the next."""
        client = smtp.Client(self.mx.port)
        client.greet()
        return client

    def check_gateway(self, acknowledged):
        """The gateway has each acknowledged message once and as it was, and nothing else."""
        kept = {}

        def missing():
            kept.clear()
            for m in self.inside.kept():
                kept.setdefault((m.header("Subject") or [""])[0], []).append(m)
            return [mark for mark in acknowledged if mark not in kept]

        wait_until(lambda: not missing(), lambda: f"{missing()[:20]}, which were answered 250", MAIL_PATIENCE_S)
        self.assertNotIn("smuggled", kept)
        for mark, body in acknowledged.items():
            self.assertEqual(len(kept.get(mark, [])), 1, mark)
            self.assertEqual(kept[mark][0].body, body, mark)
            self.assertEqual((kept[mark][0].sender, kept[mark][0].to), ("alice@sender.example", ["bob@example.org"]))
        self.assertFalse([m for m in kept if m not in acknowledged], "messages that nobody acknowledged")

    def try_data(self, client, mark, inside):
        """One transaction with `inside` in its middle; returns what the gateway should keep, or None."""
        body = b"text" + inside + SMUGGLED
        client.send(FROM + TO + b"DATA\r\n")
        for code in (250, 250, 354):
            client.expect(code)
        client.send(message(mark) + inside + SMUGGLED + TRUE_END + b"NOOP tail\r\n")
        reply = client.reply()
        # An inner line that begins with a dot loses it, as RFC 5321 section 4.5.2 says.
        stripped = body.replace(b"\r\n.", b"\r\n")
        if has_bare(message(mark) + inside + SMUGGLED):
            self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"), f"{mark}: {reply}")
            stripped = None
        else:
            self.assertEqual(reply.code, 250, f"{mark}: {reply}")
        self.assertEqual(client.reply().code, 250, mark)  # NOOP: nothing between was a command
        return None if stripped is None else stripped + b"\r\n"  # the true end's own

    def test_data(self):
        acknowledged = {}
        for i, (name, inside) in enumerate(LOOKALIKES.items()):
            with self.subTest(end=name), self.fresh() as client:
                body = self.try_data(client, f"outer {i}", inside)
                if body is not None:
                    acknowledged[f"outer {i}"] = body
        self.assertGreater(len(acknowledged), 20)
        self.check_gateway(acknowledged)

    def test_in_chunks(self):
        """The same bytes by BDAT: no dot means anything, in none of them."""
        acknowledged = {m.header("Subject")[0]: m.body for m in self.inside.kept()}
        for i, (name, inside) in enumerate({**LOOKALIKES, "true end": TRUE_END}.items()):
            with self.subTest(end=name), self.fresh() as client:
                head = message(f"chunk {i}")
                data = head + inside + SMUGGLED
                # What is refused is tried with every cut, what is taken goes out once.
                cuts = range(len(head), len(head) + len(inside) + 1) if has_bare(data) else [len(head) + 1]
                for cut in cuts:
                    client.send(FROM + TO + b"BDAT %d\r\n" % cut + data[:cut]
                                + b"BDAT %d LAST\r\n" % (len(data) - cut) + data[cut:] + b"NOOP tail\r\n")
                    for code in (250, 250, 250):
                        client.expect(code)
                    reply = client.reply()
                    if has_bare(data):
                        self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"), f"{name} {cut}: {reply}")
                    else:
                        self.assertEqual(reply.code, 250, f"{name}: {reply}")
                        acknowledged[f"chunk {i}"] = data.partition(b"\r\n\r\n")[2]
                    client.expect(250)
        self.check_gateway(acknowledged)


class Segments(RelayCase):
    """Look-alikes, and the true end, cut at every byte into segments of their own."""

    SETTINGS = {"max_size": "1M", "filters": (), "listen": "limits { messages = 100000 }"}
    GATEWAY = ("--lenient",)
    CASES = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\n.\0\r\n", b"\r\n\0.\r\n")

    def exchange(self, client, mark, data, cut):
        client.send(FROM + TO + b"DATA\r\n")
        for code in (250, 250, 354):
            client.expect(code)
        client.send(data[:cut])
        # A round trip of another session: the relay has read what came before it.
        with smtp.Client(self.mx.port) as other:
            other.expect(220)
        client.send(data[cut:] + b"NOOP\r\n")
        reply = client.reply()
        client.expect(250)
        return reply

    def test_cut_anywhere(self):
        client = self.greeted()
        for i, inside in enumerate(self.CASES):
            head = message(f"cut {i}")
            for cut in range(len(head), len(head) + len(inside) + 1):
                with self.subTest(inside=inside, cut=cut - len(head)):
                    reply = self.exchange(client, f"cut {i}", head + inside + SMUGGLED + TRUE_END, cut)
                    self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"), reply)
        self.assertEqual(self.inside.kept(), [])

    def test_true_end_cut_anywhere(self):
        client = self.greeted()
        for cut in range(len(TRUE_END) + 1):
            head = message(f"true {cut}")
            self.assertEqual(self.exchange(client, f"true {cut}", head + TRUE_END, len(head) + cut).code, 250)
        for cut in range(len(TRUE_END) + 1):
            self.assertEqual(self.inside.wait_subject(f"true {cut}").body, b"text\r\n")


class Commands(RelayCase):
    """Bare line ends between commands never make two of one."""

    def test_hidden_commands(self):
        for end in (b"\n", b"\r", b"\n\r", b"\0", b"\r\0\n"):
            for before in (FROM[:-2], b"NOOP", b"RSET", b"EHLO x", b"RCPT TO:<bob@example.org>", b"XCLIENT ADDR=192.0.2.1"):
                with self.subTest(end=end, before=before):
                    client = self.greeted()
                    client.send(before + end + b"QUIT\r\nNOOP\r\n")
                    self.assertEqual(client.expect(500).enhanced, "5.5.2")
                    client.expect(250)

    def test_pipelined_behind_data(self):
        """What a client sends behind DATA without waiting for 354 is the message (RFC 2920 forbids it)."""
        client = self.greeted()
        client.send(FROM + TO + b"DATA\r\n" + message("not waited") + TRUE_END + b"QUIT\r\n")
        for code in (250, 250, 354, 250, 221):
            client.expect(code)
        self.inside.wait_subject("not waited")

    def test_refused_data_leaves_commands(self):
        """When DATA is refused, a message sent blindly is read as commands: each is refused by itself."""
        client = self.greeted()
        client.send(FROM + b"RCPT TO:<x@elsewhere.example>\r\nDATA\r\n" + b"Subject: x\r\n.\r\n" + b"QUIT\r\n")
        for code in (250, 550, 554, 500, 500, 221):
            client.expect(code)
        client.wait_closed()


if __name__ == "__main__":
    unittest.main()
