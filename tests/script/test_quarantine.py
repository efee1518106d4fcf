"""What is kept from its recipients: how it gets there, what is shown, what comes out, what goes by age."""

import glob
import os
import time

import mail
import smtp
from case import FolderCase
from relay import kill_hard
from waiting import wait_until


class Quarantine(FolderCase):
    def kept(self, relay, *words):
        done = relay.command("quarantine", "list", "--json", *words)
        self.assertEqual(done.status, 0, done)
        return done.lines

    def wait_kept(self, relay, n=1):
        return wait_until(lambda: len(self.kept(relay)) == n and self.kept(relay),
                          lambda: f"{n} in quarantine, there are {self.kept(relay)}")

    def wait_empty(self, relay):
        wait_until(lambda: not relay.command("queue", "list", "--json").lines, "an empty queue")

    def events(self, relay, id_, name):
        return wait_until(lambda: [e for e in relay.command("trace", id_, "--json").lines if e["event"] == name],
                          f"{name} in the journal")

    def files(self, relay):
        return glob.glob(os.path.join(relay.state, "quarantine", "??", "*"))

    def raw(self, relay, id_):
        done = relay.command("quarantine", "show", id_, "--raw")
        self.assertEqual(done.status, 0, done)
        return done.out

    # --- how it gets there ---

    def test_rule(self):
        relay, gateway = self.pair(policy='quarantine from boss@sender.example text "spoofed"\n'
                                          "discard from gone@sender.example\nkeep from kept@sender.example\n")
        reply = smtp.send(relay.port, mail.plain("from the boss"), sender="boss@sender.example",
                          to=["bob@example.org", "sales@example.org"])
        self.assertEqual(reply.code, 250, reply)
        entry, = self.wait_kept(relay)
        self.assertEqual(entry["id"], reply.id)
        self.assertEqual(entry["from"], "boss@sender.example")
        self.assertEqual(entry["to"], ["bob@example.org", "sales@example.org"])
        self.assertEqual(entry["subject"], "from the boss")
        self.assertIn("spoofed", entry["reason"])
        self.assertGreater(entry["size"], 100)
        self.assertRegex(entry["received"], r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
        self.assertGreater(entry["expires"], entry["received"])
        self.wait_empty(relay)
        self.events(relay, reply.id, "quarantined")

        reply = smtp.send(relay.port, mail.plain("dropped"), sender="gone@sender.example")
        self.assertEqual(reply.code, 250, reply)
        self.events(relay, reply.id, "discarded")
        self.assertEqual(len(self.kept(relay)), 1)

        reply = smtp.send(relay.port, mail.plain("refused and kept"), sender="kept@sender.example")
        self.assertEqual(reply.code, 550, reply)
        self.assertIn(reply.id, {e["id"] for e in self.wait_kept(relay, 2)})
        self.events(relay, reply.id, "refused")
        status = relay.command("status", "--json").json["quarantine"]
        self.assertEqual(status["messages"], 2)
        self.assertEqual(status["max"], 10 << 30)
        self.assertEqual(gateway.kept(), [])

    def test_keep_waits_for_the_bytes(self):
        relay, _ = self.pair(policy="keep client 127.0.0.1\n", refuse_at="banner")
        with smtp.Client(relay.port) as c:
            c.greet()
            told = c.transaction("alice@sender.example", ["bob@example.org"], mail.plain("late no"))
        self.assertEqual(told["rcpt"][0].code, 250)
        self.assertEqual(told["end"].code, 550)
        entry, = self.wait_kept(relay)
        self.assertEqual(entry["id"], told["end"].id)

    def test_filter_and_score(self):
        relay, gateway = self.pair(antivirus='infected = "quarantine"', score="tag = 2  quarantine = 4",
                                   policy="score 5 subject pills\n")
        infected = smtp.send(relay.port, mail.with_attachment(mail.eicar(), "infected"))
        spam = smtp.send(relay.port, mail.plain("pills"))
        self.assertEqual((infected.code, spam.code), (250, 250))
        found = {e["id"]: e["reason"] for e in self.wait_kept(relay, 2)}
        self.assertIn("antivirus", found[infected.id])
        self.assertIn("score", found[spam.id])
        self.assertEqual(gateway.kept(), [])

    def test_recipients_decided_apart(self):
        relay, gateway = self.pair(policy="reject to sales@example.org  subject apart\n")
        reply = smtp.send(relay.port, mail.plain("apart"), to=["bob@example.org", "sales@example.org"])
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(gateway.wait_subject("apart").to, ["bob@example.org"])
        entry, = self.wait_kept(relay)
        self.assertEqual((entry["id"], entry["to"]), (reply.id, ["sales@example.org"]))
        self.wait_empty(relay)

    def test_what_may_not_be_bounced(self):
        gateway = self.starting(self.gateway("--reply-at", "dot=550", "--reject-rcpt", "sales@example.org=553"))
        relay = self.starting(self.relay(gateway))
        reply = smtp.send(relay.port, mail.plain("null"), sender="", to=["bob@example.org", "sales@example.org"])
        self.assertEqual(reply.code, 250, reply)
        found = self.wait_kept(relay, 2)
        self.assertEqual({tuple(e["to"]): e["reason"][:3] for e in found},
                         {("bob@example.org",): "550", ("sales@example.org",): "553"})
        self.assertIn(reply.id, {e["id"] for e in found})
        self.assertTrue(all(e["id"].startswith(reply.id) for e in found))
        self.wait_empty(relay)

    # --- what is shown ---

    def test_show(self):
        relay, _ = self.pair(policy="quarantine from *\n")
        message = mail.plain("sh\x1b[31mow", body=".dots\n" * 100 + "\x01\x80" * 10 + "\n")
        reply = smtp.send(relay.port, message)
        self.assertEqual(reply.code, 250, reply)
        id_ = reply.id
        self.wait_kept(relay)
        shown = relay.command("quarantine", "show", id_, "--json").json
        self.assertEqual(shown["id"], id_)
        self.assertIn("X-Postern-Verdict", shown["header"])
        self.assertEqual(shown["recipients"], [{"to": "bob@example.org", "gateway": "inside"}])
        text = relay.command("quarantine", "show", id_).out
        self.assertIn("sh^[[31mow", text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x1b", relay.command("quarantine", "list").out)
        self.assertIn("bob@example.org", text)

    def test_list_filters_and_no_relay(self):
        relay, _ = self.pair(policy="quarantine from *\n")
        ids = [smtp.send(relay.port, mail.plain(f"Subject {n}"), sender=f"s{n}@sender.example").id for n in range(5)]
        found = self.wait_kept(relay, 5)
        self.assertEqual([e["id"] for e in found], sorted(ids, reverse=True))
        for words, wanted in ((("--from", "S3@"), ids[3:4]), (("--subject", "subject 1"), ids[1:2]),
                              (("--limit", "2"), ids[:2:-1]), (("--to", "nobody"), []), (("--since", "1h"), ids[::-1]),
                              (("--until", "2020-01-01"), []), (("--reason", "quarantine from"), ids[::-1])):
            with self.subTest(words=words):
                self.assertEqual({e["id"] for e in self.kept(relay, *words)}, set(wanted))
        self.assertEqual(relay.command("quarantine", "list", "--limit", "x").status, 64)
        self.assertEqual(relay.command("quarantine", "list", "--nonsense", "x").status, 64)
        relay.stop()
        self.assertEqual(self.kept(relay), found)
        self.assertEqual(relay.command("quarantine", "show", ids[0]).status, 69)
        relay.start()
        wait_until(lambda: relay.command("status", "--json").json["quarantine"]["messages"] == 5, "the count")
        self.assertEqual(self.kept(relay), found)

    # --- what comes out ---

    def test_release_and_delete(self):
        relay, gateway = self.pair(policy="quarantine from *\n")
        id_ = smtp.send(relay.port, mail.plain("let out", body=".a\n..b\n" * 1000)).id
        large = smtp.send(relay.port, mail.plain("large one", body="0123456789abcdef\n" * 100000)).id
        self.wait_kept(relay, 2)
        raw, raw_large = self.raw(relay, id_), self.raw(relay, large)
        done = relay.command("quarantine", "release", id_, large)
        self.assertEqual((done.status, done.err), (0, ""), done)
        self.assertEqual(gateway.wait_subject("let out").bytes.decode().replace("\r\n", "\n"), raw.replace("\r\n", "\n"))
        self.assertEqual(gateway.wait_subject("large one").bytes.decode().replace("\r\n", "\n"),
                         raw_large.replace("\r\n", "\n"))
        self.assertEqual(gateway.wait_subject("let out").to, ["bob@example.org"])
        self.assertEqual(self.kept(relay), [])
        self.assertEqual(self.files(relay), [])
        event, = self.events(relay, id_, "released")
        self.assertEqual(event["as"], id_ + "-R1")
        self.assertTrue(event["who"])
        self.events(relay, id_, "delivered")
        id_ = smtp.send(relay.port, mail.plain("thrown away")).id
        self.wait_kept(relay)
        self.assertEqual(relay.command("quarantine", "delete", id_).status, 0)
        self.assertEqual(self.kept(relay), [])
        self.events(relay, id_, "quarantine-deleted")
        for verb in ("show", "release", "delete"):
            done = relay.command("quarantine", verb, id_)
            self.assertEqual(done.status, 1, done)
            self.assertIn(id_, done.err)
        for words in (("release",), ("delete",), ("show",), ("nonsense",), ()):
            self.assertEqual(relay.command("quarantine", *words).status, 64, words)
        self.assertEqual(relay.command("status", "--json").json["quarantine"]["messages"], 0)

    def test_release_to_some(self):
        relay, gateway = self.pair(policy="quarantine from *\n")
        id_ = smtp.send(relay.port, mail.plain("for some"), to=["bob@example.org", "sales@example.org"]).id
        self.wait_kept(relay)
        done = relay.command("quarantine", "release", id_, "--to", "stranger@example.org")
        self.assertEqual(done.status, 1, done)
        self.assertIn("stranger@example.org", done.err)
        self.assertEqual(relay.command("quarantine", "release", id_, "--to", "Sales@example.org").status, 0)
        self.assertEqual(gateway.wait_subject("for some").to, ["sales@example.org"])
        entry, = self.kept(relay)
        self.assertEqual(entry["to"], ["bob@example.org"])
        self.assertEqual(relay.command("quarantine", "release", id_).status, 0)
        gateway.wait_for(lambda m: m.to == ["bob@example.org"], "the other one")
        self.assertEqual(self.kept(relay), [])

    def test_released_and_refused_comes_back(self):
        gateway = self.starting(self.gateway("--reply-at", "dot=554"))
        relay = self.starting(self.relay(gateway))
        relay.policy("quarantine from *\n")
        id_ = smtp.send(relay.port, mail.plain("unwanted"), sender="alice@example.org").id
        self.wait_kept(relay)
        self.assertEqual(relay.command("quarantine", "release", id_).status, 0)
        entry = wait_until(lambda: [e for e in self.kept(relay) if e["reason"].startswith("554")], "its return")[0]
        self.assertEqual(entry["id"], id_ + "-R1")
        self.assertEqual(relay.command("quarantine", "release", entry["id"]).status, 0)
        wait_until(lambda: [e["id"] for e in self.kept(relay)] == [id_ + "-R2"], "its second return")

    def test_strip_tags(self):
        relay, gateway = self.pair(policy="tag odd from *\nquarantine from *\n")
        id_ = smtp.send(relay.port, mail.plain("stripped")).id
        self.wait_kept(relay)
        self.assertIn("X-Postern-Tag", self.raw(relay, id_))
        relay.settings.flow = "strip_tags = true"
        relay.write()
        self.assertEqual(relay.reload().status, 0)
        self.assertEqual(relay.command("quarantine", "release", id_).status, 0)
        kept = gateway.wait_subject("stripped")
        self.assertNotIn(b"X-Postern", kept.bytes)
        self.assertNotIn(b"X-Spam", kept.bytes)
        self.assertEqual(kept.body, b"Hello.\r\n")

    # --- what dies, what goes ---

    def test_kill_while_it_fills(self):
        relay, gateway = self.pair(policy="quarantine from *\n")
        accepted = set()
        for round_ in range(4):
            for n in range(15):
                try:
                    reply = smtp.send(relay.port, mail.plain(f"round {round_} {n}"))
                except (OSError, AssertionError):
                    continue
                if reply.code == 250:
                    accepted.add(reply.id)
            kill_hard(relay.role("spool"))
        self.assertTrue(accepted)
        wait_until(lambda: relay.command("queue", "list").status == 0, "the spool to be back")
        wait_until(lambda: accepted <= {e["id"] for e in self.kept(relay)}, "everything answered 250 in quarantine")
        wait_until(lambda: not relay.command("queue", "list", "--json").lines, "an empty queue")
        self.assertEqual(gateway.kept(), [])

    def test_expiry(self):
        relay, _ = self.pair(policy="quarantine from *\n", sections="quarantine { keep = 2s }")
        id_ = smtp.send(relay.port, mail.plain("short-lived")).id
        self.events(relay, id_, "quarantine-expired")
        wait_until(lambda: not self.files(relay) and not self.kept(relay), lambda: f"it to go, there is {self.kept(relay)}")

    def test_no_room(self):
        relay, _ = self.pair(policy="quarantine from *\n", sections="quarantine { max = 1M }")
        ids = [smtp.send(relay.port, mail.plain(f"big {n}", body="0123456789abcdef\n" * 30000)).id for n in range(4)]
        self.events(relay, ids[0], "quarantine-expired")
        wait_until(lambda: len(self.kept(relay)) <= 2, "the oldest to go")
        self.assertIn(ids[3], {e["id"] for e in self.kept(relay)})
        status = lambda: relay.command("status", "--json").json
        wait_until(lambda: any("quarantine" in p["what"] for p in status()["problems"]), lambda: f"the alarm, in {status()}")
        self.assertFalse(status()["ok"])

    def test_damaged_file(self):
        relay, _ = self.pair(policy="quarantine from *\n")
        ids = [smtp.send(relay.port, mail.plain(f"file {n}")).id for n in range(2)]
        self.wait_kept(relay, 2)
        path, = [p for p in self.files(relay) if ids[0] in p]
        with open(path, "r+b") as f:
            f.seek(-5, os.SEEK_END)
            f.write(b"x")
        done = relay.command("quarantine", "release", ids[0])
        self.assertEqual(done.status, 1, done)
        self.assertIn("not as it was written", done.err)
        self.assertEqual(len(self.kept(relay)), 2)
        with open(path, "r+b") as f:
            f.truncate(50)
        relay.restart()
        wait_until(lambda: any("quarantine" in p["what"] for p in relay.command("status", "--json").json["problems"]),
                   "the problem")
        self.assertEqual([e["id"] for e in self.kept(relay)], [ids[1]])
