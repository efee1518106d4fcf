"""Action `strip`: what the gateway gets, what quarantine keeps, what is let be."""

import email
import email.policy
import hashlib
import os

import files
import mail
import smtp
from case import FolderCase, LetterCase
from waiting import wait_until

BODY = "--=_edge\nContent-Type: text/plain; charset=utf-8\n\nHello.\n"


def part(name, content, kind="application/octet-stream", more=""):
    coded = mail.base64.encodebytes(content).decode("ascii")
    return (f'--=_edge\nContent-Type: {kind}; name="{name}"\nContent-ID: <{name}@x>\n{more}'
            f'Content-Disposition: attachment; filename="{name}"\nContent-Transfer-Encoding: base64\n\n{coded}')


def mixed(subject, *parts, kind="multipart/mixed", end="--=_edge--\nepilogue\n"):
    return mail.plain(subject, headers=f'MIME-Version: 1.0\nContent-Type: {kind}; boundary="=_edge"\n',
                      body="preamble\n" + "".join(parts) + end)


def leaves(data):
    """(type, name, content) of each leaf, as Python's parser sees it; messages inside are walked too."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    return [(p.get_content_type(), p.get_filename(), p.get_payload(decode=True))
            for p in message.walk() if not p.is_multipart()]


class Strip(LetterCase):
    SETTINGS = {
        "filters": ("attachment", "tag"),
        "sections": 'filter "attachment" { blocked = "strip"  encrypted = "strip" }\n'
                    'domain "whole.example" { gateway = "inside"  filter "attachment" { blocked = "tag" } }\n'
                    'domain "strict.example" { gateway = "inside"  filter "attachment" { blocked = "quarantine" } }\n'}
    POLICY = "reject subject forbidden\n"

    def original(self, id_):
        return self.command("quarantine", "show", id_, "--raw").out.replace("\r\n", "\n")

    def notice(self, leaf):
        kind, name, content = leaf
        self.assertEqual((kind, name), ("text/plain", None))
        text = content.decode("utf-8")
        self.assertIn("removed here by", text)
        return text

    def test_all_of_it(self):
        bad, good = files.program(), os.urandom(3000)
        parts = (BODY, part("evil.exe", bad, more="X-Note: stays\n"), part("photo.gif", b"GIF89a" + good))
        sent = mixed("one of three", *parts)
        id_ = self.send(sent)
        got = self.inside.wait_subject("one of three")
        text = got.parsed.get_payload()[1]
        self.assertEqual(text["Content-ID"], "<evil.exe@x>")
        self.assertEqual(text["X-Note"], "stays")
        said = self.notice(leaves(got.bytes)[1])
        for fact in ("Name:     evil.exe", f"Size:     {len(bad)} bytes", hashlib.sha256(bad).hexdigest(),
                     "filter attachment, blocked: name evil.exe", f"Message:  {id_}", f"Original: {id_}",
                     ", declared as application/octet-stream\r\n"):
            self.assertIn(fact, said)
        # Byte for byte what was sent, but for our header fields and the part itself.
        marker = b'--=_edge\r\n'
        was, now = sent.partition(b"\r\n\r\n")[2].split(marker), got.body.split(marker)
        self.assertEqual(was[:2] + was[3:], now[:2] + now[3:])
        self.assertTrue(got.bytes.endswith(b"\r\nepilogue\r\n"))
        self.assertEqual(sorted(set(sent.split(b"\r\n\r\n")[0].split(b"\r\n")) - set(got.bytes.split(b"\r\n"))), [])
        self.assertNotIn(mail.base64.encodebytes(bad)[:40], got.bytes)
        self.assertTrue(got.header("X-Postern-Verdict")[0].startswith("tag;"))
        self.assertTrue(got.header("X-Postern-Tag")[0].startswith("blocked; by=attachment"))

        letter, = self.kept(id_)
        self.assertEqual(letter["id"], id_)
        self.assertIn("stripped, this is the original: filter attachment: blocked: name evil.exe", letter["reason"])
        self.assertIn(sent.decode("ascii").replace("\r\n", "\n"), self.original(id_))
        self.command("quarantine", "release", id_)
        again = self.inside.wait_for(lambda m: m.header("Subject") == ["one of three"] and b"epilogue" in m.body and
                                     leaves(m.bytes)[1][2] == bad, "the original, released")
        self.assertEqual(leaves(again.bytes)[2][2], b"GIF89a" + good)
        events = self.command("trace", id_, "--json").lines
        self.assertIn(("accepted", "strip"), [(e["event"], e.get("verdict")) for e in events])

    def check(self, subject, sent, expected):
        """expected: for each leaf None when a notice is to stand there, else its content."""
        self.send(sent)
        got = leaves(self.inside.wait_subject(subject).bytes)
        self.assertEqual(len(got), len(expected), [leaf[:2] for leaf in got])
        for leaf, content in zip(got, expected):
            if content is None:
                self.notice(leaf)
            else:
                self.assertEqual(leaf[2].replace(b"\r\n", b"\n").rstrip(), content)

    def test_shapes(self):
        inner = mixed("inner", BODY, part("a.exe", b"bad"), end="--=_edge--\n").decode("ascii").replace("\r\n", "\n").replace("=_edge", "in")
        outer = [f"--=_edge\nContent-Type: message/rfc822\n\n{inner}"]
        single = mail.plain("single", headers='Content-Type: application/x-thing; name="a.exe"\n'
                                              "Content-Transfer-Encoding: base64\n", body="TVqQ\n")
        zipped = part("a.zip", files.zipped(("x/a.exe", b"x"), ("readme", b"y")))
        for subject, sent, expected in (
                ("two of them", mixed("two of them", BODY, part("a.exe", b"1"), part("b.txt", b"fine"), part("c.scr", b"2")),
                 (b"Hello.", None, b"fine", None)),
                ("in an archive", mixed("in an archive", BODY, zipped), (b"Hello.", None)),
                ("in a message", mixed("in a message", BODY, *outer), (b"Hello.", b"Hello.", None)),
                ("single", single, (None,)),
                ("two outcomes", mixed("two outcomes", BODY, part("a.exe", files.encrypted_zip())), (b"Hello.", None)),
                ("large", mixed("large", BODY, part("a.exe", os.urandom(300000)), part("b.txt", b"x" * 200000)),
                 (b"Hello.", None, b"x" * 200000))):
            with self.subTest(subject):
                self.check(subject, sent, expected)
        self.assertEqual(self.inside.wait_subject("single").header("MIME-Version"), ["1.0"])
        said = leaves(self.inside.wait_subject("two outcomes").bytes)[1][2].decode("utf-8")
        self.assertIn("blocked: name a.exe", said)
        self.assertIn("encrypted: cannot look into", said)

    def test_not_cut(self):
        """What cannot be cut out safely is kept as a whole, and so is what something stronger is about."""
        signed = mixed("signed", BODY, part("a.exe", b"x"), kind='multipart/signed; protocol="x/y"')
        two_types = mixed("two types", BODY, part("a.exe", b"x", more="Content-Type: text/plain\n"))
        for subject, sent, why in (("signed", signed, "signed or encrypted part"),
                                   ("two types", two_types, "more than one way"),
                                   ("uu", mail.plain("uu", "begin 644 a.exe\n#86)C\n`\nend\n"), "file inside a text")):
            with self.subTest(subject):
                id_ = self.send(sent)
                letter, = self.kept(id_)
                self.assertIn("blocked, not stripped (", letter["reason"])
                self.assertIn(why, letter["reason"])
        reply = smtp.send(self.mx.port, mixed("forbidden", BODY, part("a.exe", b"x")))
        self.assertEqual(reply.code, 550)
        self.send(mail.plain("the last of these"))
        self.inside.wait_subject("the last of these")
        self.assertFalse({"signed", "two types", "uu", "forbidden"} & {m.header("Subject")[0] for m in self.inside.kept()})

    def test_for_each_recipient(self):
        sent = mixed("for each", BODY, part("a.exe", b"bad"))
        id_ = self.send(sent, ("bob@example.org", "x@whole.example", "y@strict.example", "z@whole.example"))
        copies = wait_until(lambda: (lambda k: k if len(k) >= 2 else None)(
            [m for m in self.inside.kept() if m.header("Subject") == ["for each"]]), "both copies")
        by_to = {tuple(sorted(m.to)): leaves(m.bytes)[1] for m in copies}
        self.notice(by_to[("bob@example.org",)])
        self.assertEqual(by_to[("x@whole.example", "z@whole.example")][2], b"bad")
        letters = wait_until(lambda: (lambda k: k if len(k) == 2 else None)(self.kept(id_)), "both letters")
        self.assertEqual({letter["id"]: letter["to"] for letter in letters},
                         {id_: ["bob@example.org"], f"{id_}-2": ["y@strict.example"]})
        for letter in letters:
            self.assertIn(sent.decode("ascii").replace("\r\n", "\n"), self.original(letter["id"]))
        self.assertIn(f"Original: {id_}\r\n".replace("\r", ""), self.notice(by_to[("bob@example.org",)]).replace("\r", ""))

    def test_held_before(self):
        """A message that a rule held is stripped when it is filtered again, and its original kept."""
        self.addCleanup(self.mx.policy, self.POLICY)
        self.mx.policy("hold subject /held/\n")
        sent = mixed("held before", BODY, part("a.exe", b"bad"), part("b.bin", b"fine"))
        id_ = self.send(sent, ("bob@example.org", "x@whole.example"))
        self.mx.policy(self.POLICY)
        copies = wait_until(lambda: (lambda k: k if len(k) >= 2 else None)(
            [m for m in self.inside.kept() if m.header("Subject") == ["held before"]]), "both copies")
        by_to = {m.to[0]: leaves(m.bytes) for m in copies}
        self.notice(by_to["bob@example.org"][1])
        self.assertEqual((by_to["bob@example.org"][2][2], by_to["x@whole.example"][1][2]), (b"fine", b"bad"))
        letter, = self.kept(id_)
        self.assertEqual(letter["to"], ["bob@example.org"])
        self.assertIn(sent.decode("ascii").replace("\r\n", "\n"), self.original(letter["id"]))
        wait_until(lambda: not self.command("queue", "list", "--json").lines, "an empty queue")

    def test_held_beside_a_letter(self):
        """The notice in what is filtered again names the letter that its original has then."""
        self.addCleanup(self.mx.policy, self.POLICY)
        self.mx.policy("hold subject /held beside/  to bob@example.org\n")
        id_ = self.send(mixed("held beside", BODY, part("a.exe", b"bad")), ("bob@example.org", "y@strict.example"))
        letter, = self.kept(id_)
        self.assertEqual((letter["id"], letter["to"]), (id_, ["y@strict.example"]))
        self.mx.policy(self.POLICY)
        notice = self.notice(leaves(self.inside.wait_subject("held beside").bytes)[1])
        name, = [line.split()[-1] for line in notice.splitlines() if line.startswith("Original:")]
        self.assertEqual(name, f"{id_}-H1")
        letter, = self.kept(name)
        self.assertEqual(letter["to"], ["bob@example.org"])

    def test_explain(self):
        path = os.path.join(self.class_folder, "explained.eml")
        with open(path, "wb") as f:
            f.write(mixed("explained", BODY, part("a.exe", b"bad"), part("b.txt", b"fine")))
        words = ("explain", "--offline", "--client", "192.0.2.1", "--from", "a@b.example",
                 "--to", "bob@example.org", "--to", "x@whole.example")
        told = self.command(*words, "--json", path).json
        bob, other = told["recipients"]
        self.assertEqual((bob["action"], other["action"]), ("strip", "tag"))
        gone, = bob["strip"]
        self.assertEqual((gone["name"], gone["size"], gone["sha256"], gone["why"]),
                         ("a.exe", 3, hashlib.sha256(b"bad").hexdigest(), "name a.exe"))
        self.assertNotIn("strip", other)
        self.assertIn("strip a.exe, text/plain, 3 bytes: name a.exe", self.command(*words, path).out)


class Differing(LetterCase):
    """Recipients whose copies differ so much that one message of the spool cannot hold them."""

    SETTINGS = {"filters": ("attachment", "tag"), "sections": 'filter "attachment" { blocked = "strip" }\n'}
    POLICY = "".join(f"tag t{i} subject strip  to u{i}@example.org\n"
                     f'keep subject keep  to u{i}@example.org  text "no {i}"\n' for i in range(80))

    def test_stripped(self):
        """They are held, and made apart when an administrator, or the clock, says so."""
        bad = [part(f"{i}.exe", b"bad") for i in range(40)]
        to = [f"u{i}@example.org" for i in range(14)]  # 560 cuts
        id_ = self.send(mixed("strip", BODY, *bad), to)
        held, = self.command("queue", "list", "--json").lines
        self.assertEqual((held["state"], len(held["to"])), ("held", len(to)))
        self.assertIn("copies differ too much", held["last_reply"])
        self.command("queue", "retry", id_)
        copies = wait_until(lambda: (lambda k: k if len(k) >= len(to) else None)(
            [m for m in self.inside.kept() if m.header("Subject") == ["strip"]]), "all copies")
        self.assertEqual(sorted((m.to, m.header("X-Postern-Tag")[0].split(";")[0]) for m in copies),
                         sorted(([f"u{i}@example.org"], f"t{i}") for i in range(len(to))))
        for copy in copies:
            self.assertEqual([kind for kind, _, _ in leaves(copy.bytes)], ["text/plain"] * 41)
            self.assertNotIn(b"YmFk", copy.bytes)
        wait_until(lambda: not self.command("queue", "list", "--json").lines, "an empty queue")

    def test_kept(self):
        """Of what is refused to all, those who keep it share one copy."""
        to = [f"u{i}@example.org" for i in range(80)]  # 8 MiB of header sections
        long = "".join(f"X-Long-{i}: {'x' * 900}\n" for i in range(120))
        reply = smtp.send(self.mx.port, mail.plain("keep", headers=long), to=to)
        self.assertTrue(reply.code == 550 and " no 0 " in f" {reply.text} ", reply)
        letter = wait_until(lambda: [q for q in self.command("quarantine", "list", "--json").lines if q["subject"] == "keep"], "it in quarantine")
        self.assertEqual([sorted(q["to"]) for q in letter], [sorted(to)])


class Killed(FolderCase):
    def test_released_before_it_is_delivered(self):
        """The original does not have to wait for its stripped copy, which still waits for its gateway."""
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, filters=("attachment",),
                                         sections='filter "attachment" { blocked = "strip" }'))
        reply = smtp.send(relay.port, mixed("early", BODY, part("a.exe", b"bad")))
        self.assertEqual(reply.code, 250, reply)
        wait_until(lambda: relay.command("quarantine", "list", "--json").lines, "the original")
        wait_until(lambda: relay.command("quarantine", "release", reply.id).status == 0, "its release")
        self.starting(gateway)
        wait_until(lambda: len([m for m in gateway.kept() if m.header("Subject") == ["early"]]) == 2, "both copies")
        self.assertEqual(sorted(leaves(m.bytes)[1][2][:3] for m in gateway.kept()), [b"An ", b"bad"])

    def test_kill(self):
        """After the 250 both are on disk: what is delivered lacks the part, and the original is kept."""
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, filters=("attachment",),
                                         sections='filter "attachment" { blocked = "strip" }'))
        good = os.urandom(150000)
        reply = smtp.send(relay.port, mixed("killed", BODY, part("a.exe", os.urandom(100000)), part("b.bin", good)))
        self.assertEqual(reply.code, 250, reply)
        relay.kill()
        self.starting(gateway)
        relay.start()
        got = leaves(gateway.wait_subject("killed").bytes)
        self.assertEqual([leaf[0] for leaf in got], ["text/plain", "text/plain", "application/octet-stream"])
        self.assertIn(b"removed here", got[1][2])
        self.assertEqual(got[2][2], good)
        kept = wait_until(lambda: relay.command("quarantine", "list", "--json").lines, "the original")
        self.assertEqual([entry["id"] for entry in kept], [reply.id])
        raw = relay.command("quarantine", "show", reply.id, "--raw").out.encode("utf-8")
        self.assertEqual(leaves(raw)[2][2], good)
