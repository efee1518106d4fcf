"""What is held is filtered again: when the scanner is back, when the rule is gone, when an admin asks."""

import mail
import plugins
import smtp
from case import FolderCase, RelayCase
from relay import kill_hard
from waiting import wait_until

SWITCHED = plugins.Switch.HEADER
HOLD = 'failure = "hold"  max_failures = 1000  deadline = 20s'  # none is met here: who hangs is killed


def queued(relay):
    return relay.command("queue", "list", "--json").lines


def settings(switch, words="", retry="1h", **others):
    return {"filters": ("trouble",), "retry": retry,
            "sections": f'plugins = "{switch.plugins}"\nfilter "trouble" {{ {HOLD} {words} }}', **others}


class HoldCase:
    def send(self, relay, subject, headers=SWITCHED, body="Hello.\n", **options):
        reply = smtp.send(relay.port, mail.plain(subject, body, headers=headers), **options)
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def held(self, relay, id_):
        """The message as `queue list` has it, which says that it is held."""
        found, = [m for m in queued(relay) if m["id"] == id_]
        self.assertEqual(found["state"], "held")
        return found

    def tried(self, relay, id_, times):
        return wait_until(lambda: next((m for m in queued(relay) if m["id"] == id_ and m["attempts"] >= times), None),
                          f"{id_} to be filtered again {times} times")

    def got(self, gateway, subject):
        return [m for m in gateway.kept() if subject in m.header("Subject")]


class Hold(HoldCase, RelayCase):
    """One relay with two fronts; the curve never comes round, so that something else must."""

    @classmethod
    def prepare(cls, folder):
        cls.switch = plugins.Switch(folder)
        made = settings(cls.switch, 'bad = "hold"', score="hold = 5  reject = 10", filters=("trouble", "header"))
        made["sections"] = "fronts = 2\n" + made["sections"]
        return made

    def setUp(self):
        super().setUp()
        self.switch.set("fine")
        self.mx.policy("")

    def test_scanner_is_back(self):
        self.switch.set("failure")
        body = "Over and over.\n.\n..\n" * 5000  # more than travels in one piece
        ids = [self.send(self.mx, f"back {i}", body=body if i == 0 else "Hello.\n", to=("a@example.org", "b@example.org"))
               for i in range(3)]
        for id_ in ids:
            m = self.held(self.mx, id_)
            self.assertEqual(m["last_reply"], "filter trouble: failure: so it was")
            self.assertIsNotNone(m["next_attempt"])
        shown = self.mx.command("queue", "show", ids[0], "--json").json
        self.assertEqual([r["state"] for r in shown["recipients"]], ["held", "held"])
        self.assertEqual(self.got(self.inside, "back 0"), [])
        self.switch.set("fine")
        self.send(self.mx, "live")  # a worker answers for it again
        for i, id_ in enumerate(ids):
            kept = self.inside.wait_subject(f"back {i}")
            verdict, = kept.header("X-Postern-Verdict")
            self.assertTrue(verdict.startswith("pass;") and id_ in verdict, verdict)
            received = [r for r in kept.header("Received") if id_ in r]
            self.assertEqual(len(received), 1)
            self.assertEqual(sorted(kept.to), ["a@example.org", "b@example.org"])
        self.assertEqual(self.got(self.inside, "back 0")[0].body, mail.crlf(body))
        wait_until(lambda: not queued(self.mx), "an empty queue")
        self.assertEqual(len(self.got(self.inside, "back 1")), 1)

    def test_admin_asks(self):
        self.switch.set("failure")
        id_ = self.send(self.mx, "asked")
        self.assertEqual(self.mx.command("queue", "retry", id_).status, 0)
        self.assertEqual(self.tried(self.mx, id_, 1)["state"], "held")
        self.switch.set("fine")
        self.assertEqual(self.mx.command("queue", "retry", id_).status, 0)
        self.inside.wait_subject("asked")
        traced = lambda: [e["event"] for e in self.mx.command("trace", id_, "--json").lines]
        events = wait_until(lambda: (lambda found: found if found[-1:] == ["delivered"] else None)(traced()),
                            lambda: f"its delivery in the journal, there is {traced()}")
        self.assertEqual(events[0], "held")
        self.assertIn("refiltered", events)

    def test_outcome_and_score(self):
        self.switch.set("bad")
        bad = self.send(self.mx, "an outcome")
        self.assertIn("bad", self.held(self.mx, bad)["last_reply"])
        self.switch.set("fine")
        self.mx.policy("score 6 subject /points/\n")
        points = self.send(self.mx, "points")
        self.assertIn("score 6 reaches score { hold }", self.held(self.mx, points)["last_reply"])
        self.mx.policy("")  # what is held by a decision is decided anew
        self.inside.wait_subject("points")
        self.inside.wait_subject("an outcome")

    def test_rule(self):
        self.mx.policy("hold from held@sender.example\ntag seen client 192.0.2.9\n")
        id_ = self.send(self.mx, "by rule", sender="held@sender.example", client="192.0.2.9", helo="old.example")
        other = self.send(self.mx, "by rule, refused", sender="held@sender.example")
        self.assertRegex(self.held(self.mx, id_)["last_reply"], r"rule \d+: hold from")
        self.mx.policy("tag seen client 192.0.2.9  helo old.example\nreject subject /refused/\n")
        kept = self.inside.wait_subject("by rule")  # decided with the client of then
        self.assertEqual([t.split(";")[0] for t in kept.header("X-Postern-Tag")], ["seen"])
        self.assertIn("[192.0.2.9]", kept.header("Received")[0])
        wait_until(lambda: not queued(self.mx), "the queue to be empty")
        letter, = [q for q in self.mx.command("quarantine", "list", "--json").lines if q["id"] == other]
        self.assertIn("reject subject /refused/", letter["reason"])

    def test_some_recipients(self):
        self.mx.policy("tempfail subject some  to later@example.org\n")
        id_ = self.send(self.mx, "some", to=("now@example.org", "later@example.org", "too@example.org"))
        self.assertEqual(sorted(self.inside.wait_subject("some").to), ["now@example.org", "too@example.org"])
        self.assertEqual(self.held(self.mx, id_)["to"], ["later@example.org"])
        self.mx.policy("")
        wait_until(lambda: len(self.got(self.inside, "some")) == 2, "the rest")
        self.assertEqual(self.got(self.inside, "some")[1].to, ["later@example.org"])
        wait_until(lambda: not queued(self.mx), "the queue to be empty")

    def test_explain_and_plan(self):
        self.mx.policy("hold from held@sender.example\n")
        done = self.mx.command("explain", "--json", "--offline", "--client", "192.0.2.1", "--from", "held@sender.example",
                               "--to", "bob@example.org")
        self.assertEqual((done.status, done.json["recipients"][0]["action"]), (1, "hold"))
        plan = self.mx.command("plan").out
        self.assertRegex(plan, r"failure +-> hold")
        self.assertRegex(plan, r"bad +-> hold")


class Ends(HoldCase, FolderCase):
    def start(self, retry="1h", words="", **others):
        switch = plugins.Switch(self.folder)
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(gateway, **settings(switch, words, retry, **others)))
        return relay, gateway, switch

    def test_killed(self):
        """Front and spool die while a message is filtered again: it comes, and once."""
        relay, gateway, switch = self.start()
        switch.set("failure")
        ids = [self.send(relay, f"killed {i}") for i in range(3)]
        for n, role in enumerate(("front", "spool", "filter"), 1):
            switch.set("hang")
            relay.command("queue", "retry", ids[0])
            wait_until(lambda n=n: len(relay.events("filtering again")) >= n, "it to be at it")
            kill_hard(relay.role(role))
            wait_until(lambda: len(queued(relay)) == 3, "the spool to be back")
        switch.set("fine")

        def is_empty():
            relay.command("queue", "retry", "all")  # some may have gone by themselves, since the filter works again
            return relay.command("queue", "list", "--json").status == 0 and not queued(relay)

        wait_until(is_empty, lambda: f"an empty queue, there is {queued(relay)}")
        for i in range(3):
            self.assertEqual(len(self.got(gateway, f"killed {i}")), 1)

    def test_deadly(self):
        """What kills workers is not tried hot, and by itself five times at most."""
        relay, gateway, switch = self.start(retry="100ms")
        switch.set("crash")
        id_ = self.send(relay, "deadly")
        wait_until(lambda: relay.events("held message not filtered again by itself"), "it to be given up")
        m = self.held(relay, id_)
        self.assertIn("has cost 5 processes", m["last_reply"])
        switch.set("fine")
        self.send(relay, "live")
        gateway.wait_subject("live")
        self.assertEqual(self.held(relay, id_)["attempts"], 5)
        self.assertEqual(relay.command("queue", "retry", id_).status, 0)
        gateway.wait_subject("deadly")

    def test_expires(self):
        relay, gateway, switch = self.start(retry="300ms", expire="4s")
        switch.set("failure")
        self.send(relay, "told", sender="alice@example.org")
        null = self.send(relay, "not told", sender="")
        report = gateway.wait_for(lambda m: m.sender == "" and b"time has run out" in m.bytes, "a report")
        self.assertEqual(report.to, ["alice@example.org"])
        wait_until(lambda: not queued(relay), "the queue to be empty")
        letter, = relay.command("quarantine", "list", "--json").lines
        self.assertEqual(letter["id"], null)
        self.assertIn("held until it expired: filter trouble: failure", letter["reason"])
        self.assertGreaterEqual(len(relay.events("filtering again")), 2)
