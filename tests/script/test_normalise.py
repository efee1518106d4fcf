"""Action `normalise`: a message that can be read in several ways arrives in one, and all of it is kept.

Every way of tests/lib/evasion.py goes through the rewriter with harmless content: what comes out is read alike by our
parser and by both of Python's, rewriting it again changes nothing, and no leaf is anything that nobody asked for.
"""

import email
import email.policy
import os
import subprocess
import unittest.mock

import evasion
import mail
import smtp
import tree
from case import FolderCase, LetterCase
from waiting import wait_until

HARMLESS = b"Nothing to see here: a text of about the same length, $H+H*, as that"
STEP = 97  # every so many of the ways are sent through a relay

OVER_LIMITS = {"forty levels", "RFC 2231, 120 segments", "boundary of 5000"}
# What libclamav does not look into, or we do not to its end, whatever the message is made into.
UNSCANNABLE = {"message/partial", "twenty levels", "zip, directory elsewhere"}
# What is a text afterwards: its content is in several readings, and not ours to write anew.
WITH_NOTICE = ("message/partial", "lines of CR", "S/MIME", "message in a file", "message in a text file", "message in a web archive",
               "message of an unknown kind")

EDGE = "--=_edge\n"


def harmless_ways():
    with unittest.mock.patch.object(mail, "eicar", lambda: HARMLESS):
        return list(evasion.ways())


def leaves(data, policy):
    """(type, name, content) of each leaf, as Python reads it."""
    message = email.message_from_bytes(data, policy=policy)
    return [(p.get_content_type(), p.get_filename() or "", p.get_payload(decode=True)) for p in message.walk() if not p.is_multipart()]


class Tool(FolderCase):
    def run_tool(self, paths):
        """What the rewriter says of each file: (line, leaves, contents of all readings)."""
        done = subprocess.run([os.path.join(tree.BUILD, "tests", "normal"), "-l", *paths], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        said = {}
        for line in done.stdout.splitlines():
            if line.startswith("  "):
                which, kind, name, content = line.strip().split("|")
                said[path][2].append(bytes.fromhex(content).rstrip(b"\r\n"))
                if which == "part":
                    said[path][1].append((kind, bytes.fromhex(name).decode("utf-8"), bytes.fromhex(content)))
            else:
                path, _, what = line.partition(": ")
                said[path] = (what, [], [])
        return said

    def put(self, name, data):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def test_ways(self):
        names = {self.put(f"{i}.eml", message): name for i, (name, message) in enumerate(harmless_ways())}
        first = self.run_tool(names)
        rewritten = [path for path in names if first[path][0].startswith("rewritten")]
        self.assertEqual({names[path].partition(" + ")[0] for path in names if first[path][0].startswith("impossible")}, OVER_LIMITS)
        self.assertGreater(len(rewritten), 400)
        with_notice = {names[path] for path in rewritten if ", 0 notices" not in first[path][0]}
        self.assertTrue(all(any(word in name for word in WITH_NOTICE) for name in with_notice), with_notice)
        second = self.run_tool([path + ".normal" for path in rewritten])
        for path in rewritten:
            what, found, _ = second[path + ".normal"]
            with self.subTest(names[path]):
                self.assertTrue(what.startswith("settled: "), what)  # written again it would be the same, every byte
                with open(path + ".normal", "rb") as f:
                    made = f.read()
                old, new = leaves(made, email.policy.compat32), leaves(made, email.policy.default)
                self.assertEqual(old, new)
                self.assertEqual([leaf[:2] for leaf in found], [leaf[:2] for leaf in new])
                for ours, theirs in zip(found, new):  # about the last line end of a part they differ
                    content = ours[2].rstrip(b"\r\n")
                    self.assertEqual(content, theirs[2].rstrip(b"\r\n"))
                    self.assertTrue(content in first[path][2] or b"removed here by" in content or
                                    "two charsets" in first[path][0] or "\ufffd".encode() in content,  # bytes that are no text
                                    f"{ours} was nowhere before")


class Normalise(LetterCase):
    SETTINGS = {
        "filters": ("antivirus",), "max_size": "10M",
        "antivirus": 'infected = "reject"  malformed = "normalise"  unscannable = "tempfail"',
        "sections": 'domain "tags.example" { gateway = "inside"  filter "antivirus" { malformed = "tag" } }\n'
                    'domain "strict.example" { gateway = "inside"  filter "antivirus" { malformed = "reject" } }\n'
                    'domain "lenient.example" { gateway = "inside"  filter "antivirus" { unscannable = "tag" } }\n'}
    POLICY = "reject subject forbidden\n"

    def test_all_of_it(self):
        """Byte for byte what was sent, but for our fields, the fields that were written anew, and one body."""
        good = mail.base64.encodebytes(os.urandom(600)).decode("ascii")
        bad = "QUJD!REVG\n"
        sent = mail.plain("all of it", headers='MIME-Version: 1.0 (really)\nContent-Type: multipart/mixed; boundary="=_edge"\nX-Mine: 1\n'
                          "Content-Type: text/plain\n",
                          body=f"preamble\n{EDGE}Content-Type: text/plain\n\nHello.\n{EDGE}Content-Type: application/x-a; name=\"one.bin\"\n"
                               f"Content-Transfer-Encoding: base64\n\n{bad}{EDGE}Content-Type: application/x-b; name=two.bin\n"
                               f"Content-Transfer-Encoding: base64\n\n{good}--=_edge--\nepilogue\n")
        id_ = self.send(sent)
        got = self.inside.wait_subject("all of it")
        was, now = sent.partition(b"\r\n\r\n")[2].split(b"--=_edge"), got.body.split(b"--=_edge")
        self.assertEqual([now[0], now[1], now[3], now[4]], [was[0], was[1], was[3], was[4]])
        self.assertEqual(now[2], b"\r\nContent-Type: application/x-a\r\nContent-Transfer-Encoding: base64\r\n"
                                 b"Content-Disposition: attachment;\r\n\tfilename=one.bin\r\n\r\nQUJDREVG\r\n\r\n")
        self.assertEqual((got.header("MIME-Version"), got.header("Content-Type"), got.header("X-Mine")),
                         (["1.0"], ["multipart/mixed; boundary=\"=_edge\""], ["1"]))
        self.assertEqual(got.header("X-Postern-Normalised"), ['removed=0; why="two types, two decodings, bad transfer encoding, MIME header twice"'])
        self.assertTrue(got.header("X-Postern-Verdict")[0].startswith("tag;"))
        letter, = self.kept(id_)
        self.assertIn("normalised, this is the original: filter antivirus: malformed: two types", letter["reason"])
        self.assertIn(sent.decode("ascii").replace("\r\n", "\n"),
                      self.command("quarantine", "show", id_, "--raw").out.replace("\r\n", "\n"))
        wait_until(lambda: ("accepted", "normalise") in [(e["event"], e.get("verdict")) for e in self.command("trace", id_, "--json").lines],
                   "the journal's word")

    def test_ways(self):
        """Harmless they arrive in one reading, with a virus in them they do not."""
        for name, message in harmless_ways()[::STEP]:
            with self.subTest(name):
                reply = smtp.send(self.mx.port, message)
                if (OVER_LIMITS | UNSCANNABLE) & set(name.split(" + ")):
                    self.assertIn(reply.code, (451, 550), reply)
                    continue
                self.assertEqual(reply.code, 250, reply)
                subject = email.message_from_bytes(message)["Subject"]
                got = self.inside.wait_subject(subject)
                if got.header("X-Postern-Normalised"):
                    self.assertEqual(leaves(got.bytes, email.policy.compat32), leaves(got.bytes, email.policy.default))
                else:
                    self.assertTrue(got.bytes.endswith(message.partition(b"\r\n\r\n")[2]))
        found = 0
        for name, message in list(evasion.ways())[::STEP]:
            with self.subTest("EICAR", name=name):
                reply = smtp.send(self.mx.port, message)
                is_found = reply.code == 550 and "Postern-Test-EICAR" in reply.text
                found += is_found
                self.assertTrue(is_found or (reply.code in (451, 550) and " by antivirus: " in reply.text), f"{name}: {reply}")
        self.assertGreater(found, 2 * len(list(evasion.ways())[::STEP]) // 3)

    @staticmethod
    def with_lines_of_cr(subject):
        """A message in base64 whose lines some readers see and others do not, beside a text."""
        inner = mail.base64.encodebytes(b"Subject: inner\rContent-Type: text/plain\r\rHello.\r").decode("ascii")
        return mail.plain(subject, headers='MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=_edge"\nContent-Type: text/plain\n',
                          body=f"{EDGE}Content-Type: text/plain\n\nHello.\n{EDGE}Content-Type: message/rfc822\n"
                               f"Content-Transfer-Encoding: base64\n\n{inner}--=_edge--\n")

    def test_not_settled(self):
        id_ = self.send(self.with_lines_of_cr("not settled"))
        got = self.inside.wait_subject("not settled")
        self.assertEqual(got.header("X-Postern-Normalised"), ['removed=1; why="two types, MIME header twice"'])
        first, (kind, name, text) = leaves(got.bytes, email.policy.default)
        self.assertEqual((first, kind, name), (("text/plain", "", b"Hello."), "text/plain", ""))
        for fact in (b"declared as message/rfc822", b"Size:     48 bytes", f"Original: {id_}".encode("ascii"),
                     b"Reason:   filter antivirus, malformed: two types, MIME header twice"):
            self.assertIn(fact, text)
        self.kept(id_)

    def test_impossible(self):
        """What cannot be normalised is refused, and says why, whatever weaker things are found besides."""
        deep = evasion.structures()["forty levels"](("Content-Type: text/plain\n", "Hello.\n"))
        reply = smtp.send(self.mx.port, mail.plain("impossible", headers="MIME-Version: 1.0\n" + deep.partition("\n")[0] + "\nContent-Type: text/html\n",
                                                   body=deep.partition("\n\n")[2]))
        self.assertEqual(reply.code, 550, reply)
        self.assertIn("Message refused by antivirus: nested too deep, two types", reply.text)
        why = "malformed, not normalised (not all of it was seen): nested too deep, two types"
        wait_until(lambda: [e for e in self.command("trace", reply.id, "--json").lines if why in e.get("why", "")], f"the journal's word: {why}")

    def test_partial(self):
        """Nobody has seen the rest of it: a text says so, where that it cannot be scanned weighs less."""
        sent = mail.plain("partial", headers='MIME-Version: 1.0\nContent-Type: message/partial; id="a@b"; number=1; total=2\n',
                          body="Subject: inner\n\nThe first half\n")
        reply = smtp.send(self.mx.port, sent)
        self.assertEqual(reply.code, 451, reply)
        self.assertIn("Partial message", reply.text)
        id_ = self.send(sent, ("x@lenient.example",))
        got = self.inside.wait_subject("partial")
        (kind, name, text), = leaves(got.bytes, email.policy.default)
        self.assertEqual((kind, name, got.header("X-Postern-Normalised")[0].partition(";")[0]), ("text/plain", "", "removed=1"))
        self.assertIn(b"declared as message/partial", text)
        self.assertEqual(sorted(tag.partition(";")[0] for tag in got.header("X-Postern-Tag")), ["malformed", "unscannable"])
        self.kept(id_)

    def test_for_each_recipient(self):
        sent = mail.plain("for each", headers="MIME-Version: 1.0\nContent-Type: text/plain\nContent-Type: text/html\n", body="<b>Hello</b>\n")
        self.send(sent, ("bob@example.org", "x@tags.example", "y@strict.example"))
        copies = wait_until(lambda: (lambda k: k if len(k) >= 2 else None)(
            [m for m in self.inside.kept() if m.header("Subject") == ["for each"]]), "both copies")
        types = {m.to[0]: m.header("Content-Type") for m in copies}
        self.assertEqual(types, {"bob@example.org": ["text/plain"], "x@tags.example": ["text/plain", "text/html"]})

    def test_large(self):
        """A body of many packets and cuts; one that is too large becomes a notice."""
        for subject, size in (("large", 1000000), ("too large", 3000000)):
            content = os.urandom(size)
            coded = mail.base64.encodebytes(content).decode("ascii")
            self.send(mail.plain(subject, headers='MIME-Version: 1.0\nContent-Type: application/x-a; name="a.bin"\nContent-Transfer-Encoding: base64\n',
                                 body="!!!!\n" + coded))
            (kind, name, got), = leaves(self.inside.wait_subject(subject).bytes, email.policy.default)
            if size == 1000000:
                self.assertEqual((kind, name, got), ("application/x-a", "a.bin", content))
            else:
                self.assertEqual((kind, name), ("text/plain", ""))
                self.assertIn(b"Size:     3000000 bytes", got)

    def test_held_before(self):
        """A message that a rule held is normalised when it is filtered again."""
        self.addCleanup(self.mx.policy, self.POLICY)
        self.mx.policy("hold subject /held/\n")
        id_ = self.send(mail.plain("held before", headers="MIME-Version: 1.0\nContent-Type: text/plain\nContent-Type: text/html\n", body="<b>Hello</b>\n"))
        self.mx.policy(self.POLICY)
        self.assertEqual(self.inside.wait_subject("held before").header("Content-Type"), ["text/plain"])
        self.kept(id_)

    def test_explain(self):
        path = os.path.join(self.class_folder, "explained.eml")
        with open(path, "wb") as f:
            f.write(self.with_lines_of_cr("explained"))
        words = ("explain", "--offline", "--client", "192.0.2.1", "--from", "a@b.example",
                 "--to", "bob@example.org", "--to", "x@tags.example")
        told = self.command(*words, "--json", path).json
        bob, other = told["recipients"]
        self.assertEqual((bob["action"], other["action"]), ("normalise", "tag"))
        self.assertEqual((bob["normalise"]["why"], [p["size"] for p in bob["normalise"]["removed"]]), ("two types, MIME header twice", [48]))
        self.assertNotIn("normalise", other)
        self.assertIn("normalise, 2 places: two types, MIME header twice", self.command(*words, path).out)
