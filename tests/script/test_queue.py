"""`postern queue`: what an administrator sees of the mail that waits, and does to it."""

import os

import mail
import smtp
from case import FolderCase
from waiting import wait_until


class QueueCase(FolderCase):
    """A relay whose gateway puts everything off."""

    def setUp(self):
        super().setUp()
        self.inside = self.starting(self.gateway("--reply-at", "rcpt=451"))
        self.mx = self.starting(self.relay(self.inside, retry="1h", domains=self.domains()))

    def domains(self):
        return ""

    def list(self, *words):
        done = self.mx.command("queue", "list", "--json", *words)
        self.assertEqual(done.status, 0, done)
        return done.lines

    def send(self, subject, **options):
        reply = smtp.send(self.mx.port, mail.plain(subject), **options)
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def put_off(self, n, **options):
        """n messages that were tried once; their ids."""
        ids = [self.send(f"m{i}", **options) for i in range(n)]
        wait_until(lambda: {e["id"] for e in self.list() if e["state"] == "deferred"} >= set(ids), "first attempts")
        return ids

    def order(self, *words, status=0):
        done = self.mx.command("queue", *words)
        self.assertEqual(done.status, status, done)
        self.said = done.err
        return done.out

    def open_gateway(self):
        self.inside.stop()
        self.inside.start("--lenient")

    def gone(self):
        wait_until(lambda: not self.list(), lambda: f"an empty queue, there is {self.list()}")

    def events(self, id_):
        return [e["event"] for e in self.mx.command("trace", id_, "--json").lines]


class Orders(QueueCase):
    def test_hold_and_release(self):
        held, other = self.put_off(2)
        self.assertEqual(self.order("hold", held), "1 message: held 1\n")
        self.assertEqual({e["id"]: e["state"] for e in self.list()}, {held: "held", other: "deferred"})
        self.assertIn("held by admin ", self.list("--state", "held")[0]["last_reply"])
        self.assertEqual(self.order("hold", held), "1 message: nothing to do for 1\n")
        self.order("retry", held, status=1)
        self.assertIn("postern queue release", self.said)
        self.mx.restart()
        self.assertEqual([e["id"] for e in self.list("--state", "held")], [held])
        self.open_gateway()
        self.order("retry", "all")
        self.inside.wait_subject("m1")
        wait_until(lambda: [e["id"] for e in self.list()] == [held], lambda: f"the held one alone, there is {self.list()}")
        self.assertEqual(self.order("release", held), "1 message: released 1\n")
        self.inside.wait_subject("m0")
        self.gone()
        wait_until(lambda: self.events(held)[-3:] == ["held", "released", "delivered"],
                   lambda: f"the journal, has {self.events(held)}")

    def test_retry_many(self):
        ids = self.put_off(5)
        self.open_gateway()
        out = self.order("retry", ids[0], ids[1].lower(), "01NOSUCH0000000000000000AA")
        self.assertEqual(out.splitlines()[0], "3 messages: retried 2, not found 1")
        wait_until(lambda: len(self.list()) == 3, lambda: f"two to be delivered, there is {self.list()}")
        self.assertEqual(self.order("retry", "--older", "0s"), "3 messages: retried 3\n")
        self.gone()
        self.assertEqual(self.order("retry", "all", status=1), "0 messages: nothing matched\n")
        self.assertEqual(self.order("retry", ids[0], status=1).splitlines()[0], "1 message: not found 1")

    def test_delete(self):
        one, two = self.put_off(2, to=["bob@example.org", "sales@example.org"])
        done = self.mx.command("queue", "delete", one, "--json")
        self.assertEqual(done.status, 0, done)
        self.assertEqual(done.json["deleted"], 1)
        self.assertEqual([e["id"] for e in self.list()], [two])
        self.assertEqual(self.order("delete", "--to", "Bob@example.org"), "1 message: deleted 1\n")
        self.assertEqual([e["to"] for e in self.list()], [["sales@example.org"]])
        self.mx.restart()
        self.assertEqual([e["to"] for e in self.list()], [["sales@example.org"]])
        wait_until(lambda: self.events(one).count("deleted") == 2, lambda: f"the journal, has {self.events(one)}")
        event = [e for e in self.mx.command("trace", one, "--json").lines if e["event"] == "deleted"][0]
        self.assertRegex(event["reply"], "^deleted by admin .")

    def test_bounce(self):
        mine = self.send("mine", sender="alice@example.org")
        null = self.send("null", sender="")
        wait_until(lambda: all(e["attempts"] for e in self.list()), "first attempts")
        out = self.order("bounce", mine, null)
        self.assertEqual(out.splitlines()[0], "2 messages: bounced 1, refused 1")
        self.assertIn(f"{null}: it has the null sender", self.said)
        self.open_gateway()
        self.order("retry", "all")
        report = self.inside.wait_subject("Your message could not be delivered")
        self.assertIn(b"Status: 5.7.1\r\n", report.bytes)
        self.assertIn(b"Diagnostic-Code: X-Postern; 5.7.1 Returned by the administrator", report.bytes)
        self.assertEqual(report.to, ["alice@example.org"])
        self.order("bounce", null, status=1)

    def test_usage(self):
        for words in (("retry",), ("hold", "--state", "nonsense"), ("delete", "--older", "soon"), ("list", "--nonsense"),
                      ("show",), ("show", "A", "B"), ("delete", "ID1", "--to", "a@b"), ("list", "--limit", "0"),
                      ("retry", "no_id!"), ("list", "--from")):
            with self.subTest(words=words):
                done = self.mx.command("queue", *words)
                self.assertEqual(done.status, 64, done)
                self.assertTrue(done.err)
                self.assertEqual(done.out, "")

    def test_help(self):
        for verb in ("list", "show", "retry", "hold", "release", "delete", "bounce"):
            done = self.mx.command("queue", verb, "--help")
            self.assertEqual(done.status, 0, done)
            self.assertIn(f"queue {verb}", done.out)


class Views(QueueCase):
    def domains(self):
        return 'domain "other.example" { gateway = "inside"  recipients = "any" }'

    def test_selectors(self):
        a, = self.put_off(1, sender="a@one.example", to=["bob@example.org"])
        b, = self.put_off(1, sender="b@two.example", to=["sales@example.org", "x@other.example"])
        for words, expected in (((), [a, b]), (("--from", "A@one.example"), [a]), (("--from", "@two.example"), [b]),
                                (("--to", "bob@example.org"), [a]), (("--domain", "other.example"), [b]),
                                (("--gateway", "inside"), [a, b]), (("--gateway", "none"), []),
                                (("--state", "deferred"), [a, b]), (("--state", "held"), []),
                                (("--older", "1h"), []), (("--older", "0s"), [a, b]), (("--limit", "1"), [a]),
                                (("--id", b.lower()), [b]), (("--from", "<>"), []),
                                (("--to", "@example.org", "--from", "b@two.example"), [b])):
            with self.subTest(words=words):
                self.assertEqual([e["id"] for e in self.list(*words)], expected)
        text = self.mx.command("queue", "list").out.splitlines()
        self.assertEqual(len(text), 3, text)
        self.assertTrue(text[0].startswith("ID "))
        column = text[0].index("FROM")
        self.assertEqual(text[1][column:].split()[0], "a@one.example")
        self.assertIn("sales@example.org +1", text[2])

    def test_show(self):
        id_, = self.put_off(1, to=["bob@example.org", "x@other.example"])
        shown = self.mx.command("queue", "show", id_, "--json").json
        self.assertEqual([r["to"] for r in shown["recipients"]], ["bob@example.org", "x@other.example"])
        for r in shown["recipients"]:
            self.assertEqual((r["state"], r["attempts"]), ("waiting", 1))
            self.assertTrue(r["next_attempt"])
            self.assertIn("451", r["reply"])
        self.assertNotIn("headers", shown)
        self.assertIn("Subject: m0\r\n", self.mx.command("queue", "show", id_, "--headers", "--json").json["headers"])
        text = self.order("show", id_, "--headers")
        for part in (id_, "bob@example.org", "next in", "last reply of 127.0.0.1", "Subject: m0"):
            self.assertIn(part, text)

    def test_totals(self):
        ids = self.put_off(3)
        self.order("hold", ids[0])
        queue = self.mx.command("status", "--json").json["queue"]
        self.assertEqual((queue["messages"], queue["deferred"], queue["held"]), (3, 2, 1))
        self.assertEqual(queue["ages"]["5m"], 3)
        self.assertEqual(queue["attempts"]["1"], 2)
        self.order("delete", "all")
        queue = self.mx.command("status", "--json").json["queue"]
        self.assertEqual((queue["messages"], queue["deferred"], queue["held"], queue["bytes"]), (0, 0, 0, 0))
        self.assertEqual(sum(queue["ages"].values()) + sum(queue["attempts"].values()), 0)


class Fsck(QueueCase):
    def damage(self):
        """Changes a byte in the middle of the first message's body; returns the file."""
        folder = os.path.join(self.mx.state, "spool")
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            with open(path, "r+b") as f:
                at = f.read().find(b"Subject: m0")
                if at >= 0:
                    f.seek(at + 9)
                    f.write(b"X")
                    return name
        self.fail("no message in the spool")

    def test_fsck(self):
        one, *others = self.put_off(2)
        self.mx.restart()  # what was written last could be what a power cut left: now it is not the last
        others.append(self.send("after"))
        wait_until(lambda: all(e["attempts"] for e in self.list()), "a first attempt")
        self.order("fsck", status=75)
        self.assertIn("running", self.said)
        self.mx.stop()
        self.assertIn("3 messages wait", self.order("fsck"))
        name = self.damage()
        out = self.order("fsck", status=1)
        self.assertIn("damage: ", out)
        self.assertIn("--repair", out)
        done = self.mx.command("queue", "fsck", "--json")
        self.assertEqual((done.status, done.json["ok"], done.json["damaged"]), (1, False, 1), done)
        found, = [f for f in done.json["findings"] if f["damage"]]
        self.assertEqual((found["kind"], found["file"], found["id"]), ("body_bad", name, one))
        self.assertIn("1 set aside", self.order("fsck", "--repair"))
        self.assertEqual(self.mx.command("queue", "fsck", "--json").json["damaged"], 0)
        self.mx.start()
        self.assertEqual({e["id"] for e in self.list()}, set(others))
        self.order("fsck", "--nonsense", status=64)

    def test_no_spool_yet(self):
        other = self.relay(self.gateway(name="never"))
        other.state, other.run = self.path("nothing"), self.path("nobody")
        other.write()
        self.assertEqual(other.command("queue", "fsck").status, 1)
