"""What scripts rely on: `--json` of every command that prints, `trace --follow`, answers where nothing is there yet."""

import json
import select
import subprocess

import mail
import smtp
import tree
from case import FolderCase, RelayCase
from relay import command, environment
from waiting import PATIENCE_S, wait_until

# words, status, members of the document (of the first line, where it is a list)
DOCUMENTS = (
    (("check",), 0, {"ok", "policy_version", "warnings"}),
    (("status",), 0, {"ok", "problems"}),
    (("plan",), 0, {"flow", "filters"}),
    (("reload",), 0, {"ok"}),
    (("policy", "export"), 0, {"version", "text"}),
    (("policy", "list"), 0, {"id", "rule", "expired", "author", "hits"}),
    (("policy", "query", "client", "192.0.2.1"), 0, {"id", "rule"}),
    (("policy", "history"), 0, {"version", "time", "author", "comment"}),
    (("policy", "diff", "0", "1"), 0, {"change", "line", "text"}),
    (("policy", "add", "nonsense"), 1, {"ok", "errors"}),
    (("gateway", "list"), 0, {"gateway", "server", "state"}),
    (("gateway", "probe"), 0, {"gateway", "server", "ok"}),
    (("recipient", "clear", "all"), 0, {"cleared"}),
    (("queue", "retry", "NOPE"), 1, {"messages", "not_found"}),
    (("quarantine", "list"), 0, {"id", "from", "to", "subject", "size", "received", "reason", "expires"}),
    (("trace",), 0, {"id", "time", "event"}),
    (("explain", "--client", "192.0.2.1"), 1,
     {"id", "action", "reply", "stage", "rule", "score", "tags", "recipients", "steps"}),
    # no flow takes this one: the same members
    (("explain", "--client", "203.0.113.1", "--to", "bob@example.org"), 1,
     {"id", "action", "reply", "stage", "rule", "score", "tags", "recipients", "steps"}),
)


def line_of(process):
    """The next line a command prints; one at a time."""
    has_said, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
    if not has_said:
        raise AssertionError(f"{process.args} has printed nothing in {PATIENCE_S} s")
    return process.stdout.readline()


class Json(RelayCase):
    SETTINGS = {"filters": ("content",), "flow": 'clients = {"127.0.0.0/8", "192.0.2.0/24"}'}
    POLICY = "reject client 192.0.2.1\nquarantine from @kept.example\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        smtp.send(cls.mx.port, mail.plain("kept"), sender="a@kept.example")
        wait_until(lambda: cls.mx.command("quarantine", "list", "--json").lines, "the kept mail")
        wait_until(lambda: cls.mx.command("trace", "--verdict", "quarantine", "--json").lines, "its event in the journal")

    def test_documents(self):
        for words, status, members in DOCUMENTS:
            with self.subTest(words=words):
                done = self.mx.command(*words, "--json")
                self.assertEqual(done.status, status, done)
                self.assertLessEqual(members, set(done.lines[0]), done)

    def test_text_of_the_policy(self):
        told = self.mx.command("policy", "export", "--json").json
        self.assertEqual(told, {"version": 1, "text": self.POLICY})

    def test_a_client_of_no_flow(self):
        told = self.mx.command("explain", "--client", "203.0.113.1", "--to", "bob@example.org", "--json").json
        self.assertEqual((told["action"], told["stage"], told["rule"]), ("reject", "connect", None), told)
        with smtp.Client(self.mx.port) as client:
            client.greet()
            said = client.xclient(addr="203.0.113.1")
        bare = lambda reply: reply.rpartition(" [")[0]
        self.assertEqual(bare(told["reply"]), bare(f"{said.code} {said.text}"))
        self.assertEqual([(r["action"], r["reply"]) for r in told["recipients"]], [("reject", told["reply"])], told)

    def test_a_message_without_recipients(self):
        """Without --to it stops at MAIL, where no message has come yet."""
        words = ("explain", "--client", "192.0.2.9", "--json")
        told = self.mx.command(*words, self.mx.conf)
        self.assertEqual((told.status, told.json["recipients"]), (0, []), told)
        self.assertEqual(told.json["steps"], self.mx.command(*words).json["steps"])

    def test_verdicts(self):
        self.assertEqual(self.mx.command("trace", "--verdict", "quarantine", "--json").lines[0]["verdict"], "quarantine")
        done = self.mx.command("trace", "--verdict", "quarantined")
        self.assertEqual((done.status, done.out), (64, ""), done)
        self.assertIn("quarantine", done.err)

    def following(self, *words):
        process = subprocess.Popen([tree.POSTERN, "-c", self.mx.conf, "trace", *words, "--follow"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1, env=environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_follow(self):
        process = self.following("--from", "live@far.example", "--json")
        for subject in ("first", "second"):
            reply = smtp.send(self.mx.port, mail.plain(subject), sender="live@far.example")
            event = json.loads(line_of(process))
            self.assertEqual((event["id"], event["event"], event["subject"]), (reply.id, "accepted", subject))
        self.assertIsNone(process.poll())

    def test_follow_in_a_pipe(self):
        """Who follows ends when nobody reads; also where nothing more is written."""
        process = self.following()
        self.assertTrue(line_of(process).startswith("TIME"))
        process.stdout.close()
        process.wait(PATIENCE_S)
        process.stdout = None

    def test_follow_until(self):
        done = self.mx.command("trace", "--follow", "--until", "2020-01-01", "--json")
        self.assertEqual((done.status, done.out), (0, ""), done)


class BeforeTheFirstStart(FolderCase):
    def test_nothing_is_an_answer(self):
        relay = self.relay(self.gateway())
        for words in (("trace",), ("quarantine", "list")):
            with self.subTest(words=words):
                done = relay.command(*words, "--json")
                self.assertEqual((done.status, done.out), (0, ""), done)
                self.assertIn("first start", done.err)

    def test_errors_of_check(self):
        conf = self.write("bad.conf", 'hostnam = "a"\nhostname = "b.example" nonsense = 1\n')
        done = command("check", "-c", conf, "--json")
        self.assertEqual(done.status, 78, done)
        self.assertIs(done.json["ok"], False)
        self.assertEqual(done.json["errors"], done.err.splitlines())
        self.assertTrue(done.json["errors"][0].startswith(f"{conf}:1: "), done)

    def test_a_user(self):
        done = command("user", "password", "bob", "--json", stdin="secret\n")
        self.assertEqual(done.status, 0, done)
        self.assertEqual(done.json["name"], "bob")
        self.assertTrue(done.json["line"].startswith("bob:{SCRAM-SHA-256}"), done)
