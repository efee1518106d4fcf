"""The policy, live and explained: the same table of cases is asked of the relay and of `postern explain`."""

import json
import os
import re
import threading
import time

import mail
import smtp
from case import FolderCase, RelayCase
from dnslists import TYPE_A, TYPE_PTR, Nameserver, Rbldnsd
from waiting import wait_until

POLICY = r"""
# every rule of this text has its own client, sender or subject, so that one policy serves all cases
accept     client 198.51.100.7                note "partner, ticket 4711"
reject     client 198.51.100.0/24             text "Listed locally, see https://example.org/bl"
tempfail   helo /^\d+\.\d+\.\d+\.\d+$/
reject     helo evil.example
reject     from spammer@bad.example
reject     from @.evil.example
tempfail   from @only.example
reject     from <>  client 192.0.2.66
reject     to refused@example.org
tag bulk   from @news.example  to sales@example.org
reject     subject "exactly this subject"
score 3 pills      subject /\bcheap pills\b/i
score 2.5 late     header X-Mailer /bulkmaster/i
score -2 friendly  header X-Friend "yes"
tag invoice        body "/overdue invoice/i"
reject     body /click here \d{4}/  to bob@example.org
observe reject     from watched@far.example
tag gone   from until@far.example  until 2020-01-01
tag still  from until@far.example  until 2099-12-31
tag abroad from boss@example.org  client !10.0.0.0/8
"""

# what is sent, what the client is told, the tags of the copy (None: there is none), the score
DEFAULTS = {"client": "192.0.2.1", "helo": "client.example", "sender": "alice@sender.example",
            "to": "bob@example.org", "headers": "", "body": "Hello.\n", "subject": None}
CASES = {
    "nothing matches": ({}, 250, (), 0),
    "client in a network": ({"client": "198.51.100.8"}, 550, None, 0),
    "accept spares the later reject": ({"client": "198.51.100.7"}, 250, (), 0),
    "helo regex, not matching": ({"helo": "a1.2.3.4"}, 250, (), 0),
    "helo regex": ({"helo": "1.2.3.4"}, 450, None, 0),
    "helo without case": ({"helo": "EVIL.example"}, 550, None, 0),
    "sender": ({"sender": "spammer@bad.example"}, 550, None, 0),
    "sender without case": ({"sender": "SPAMMER@Bad.Example"}, 550, None, 0),
    "other sender of the domain": ({"sender": "other@bad.example"}, 250, (), 0),
    "@. means the domain": ({"sender": "x@evil.example"}, 550, None, 0),
    "@. means everything below": ({"sender": "x@a.b.evil.example"}, 550, None, 0),
    "@. is no suffix": ({"sender": "x@notevil.example"}, 250, (), 0),
    "@ means only the domain": ({"sender": "x@only.example"}, 450, None, 0),
    "@ means nothing below": ({"sender": "x@a.only.example"}, 250, (), 0),
    "null sender and client": ({"sender": "", "client": "192.0.2.66"}, 550, None, 0),
    "null sender, other client": ({"sender": ""}, 250, (), 0),
    "client, other sender": ({"client": "192.0.2.66"}, 250, (), 0),
    "recipient": ({"to": "refused@example.org"}, 550, None, 0),
    "all facets": ({"sender": "a@news.example", "to": "sales@example.org"}, 250, ("bulk",), 0),
    "one facet of two": ({"sender": "a@news.example"}, 250, (), 0),
    "subject as a whole": ({"subject": "exactly this subject"}, 550, None, 0),
    "subject with more": ({"subject": "not exactly this subject"}, 250, (), 0),
    "score by subject": ({"subject": "Buy CHEAP pills now"}, 250, ("pills",), 3),
    "score by encoded subject": ({"subject": "=?utf-8?B?Y2hlYXAgcGlsbHM=?="}, 250, ("pills",), 3),
    "score at the word's edge": ({"subject": "cheap pillsbury"}, 250, (), 0),
    "score by header": ({"headers": "X-Mailer: BulkMaster 3\n"}, 250, ("late",), 2.5),
    "folded header": ({"headers": "X-Mailer: the\n BulkMaster\n"}, 250, ("late",), 2.5),
    "sum reaches tag": ({"subject": "cheap pills", "headers": "X-Mailer: bulkmaster\n"}, 250, ("late", "pills"), 5.5),
    "negative score": ({"subject": "cheap pills", "headers": "X-Mailer: bulkmaster\nX-Friend: yes\n"}, 250,
                       ("friendly", "late", "pills"), 3.5),
    "body": ({"body": "an Overdue Invoice!\n"}, 250, ("invoice",), 0),
    "body in base64": ({"headers": "Content-Transfer-Encoding: base64\n",
                        "body": "YW4gb3ZlcmR1ZSBpbnZvaWNlCg==\n"}, 250, ("invoice",), 0),
    "body and recipient": ({"body": "click here 1234\n"}, 550, None, 0),
    "body, other recipient": ({"body": "click here 1234\n", "to": "sales@example.org"}, 250, (), 0),
    "observed only": ({"sender": "watched@far.example"}, 250, (), 0),
    "until": ({"sender": "until@far.example"}, 250, ("still",), 0),
    "not": ({"sender": "boss@example.org"}, 250, ("abroad",), 0),
    "not, inside": ({"sender": "boss@example.org", "client": "10.1.2.3"}, 250, (), 0),
}


class Rules(RelayCase):
    SETTINGS = {"score": "tag = 4  reject = 12"}
    POLICY = POLICY

    def case(self, name, extra):
        case = {**DEFAULTS, **extra}
        case["subject"] = case["subject"] or f"case: {name}"
        case["message"] = mail.plain(case["subject"], case["body"], case["headers"] + f"X-Case: {name}\n")
        return case

    def send(self, case):
        return smtp.send(self.mx.port, case["message"], case["sender"], case["to"], case["client"], case["helo"])

    def test_live(self):
        for name, (extra, code, tags, score) in CASES.items():
            with self.subTest(case=name):
                reply = self.send(self.case(name, extra))
                self.assertEqual(reply.code, code, reply)
                if tags is None:
                    self.assertTrue(reply.enhanced, reply)
                    self.assertTrue(reply.id, reply)
                    continue
                kept = self.inside.wait_for(lambda m: m.header("X-Case") == [name], name)
                found = sorted(t.split(";")[0] for t in kept.header("X-Postern-Tag"))
                self.assertEqual(found, sorted(tags))
                verdict = kept.header("X-Postern-Verdict")
                self.assertEqual(len(verdict), 1)
                self.assertEqual(float(re.search(r"score=(-?[\d.]+)", verdict[0]).group(1)), score, verdict)
                self.assertEqual(kept.header("X-Spam-Flag"), ["YES"] if score >= 4 else [])
        cases_kept = [m.header("X-Case")[0] for m in self.inside.kept() if m.header("X-Case")]
        self.assertEqual(sorted(cases_kept), sorted(n for n, c in CASES.items() if c[2] is not None))

    def test_explained(self):
        path = os.path.join(self.class_folder, "case.eml")
        for name, (extra, code, tags, score) in CASES.items():
            with self.subTest(case=name):
                case = self.case(name, extra)
                with open(path, "wb") as f:
                    f.write(case["message"])
                done = self.mx.command("explain", "--json", "--offline", "--client", case["client"], "--helo", case["helo"],
                                       "--from", case["sender"] or "<>", "--to", case["to"], path)
                self.assertEqual(done.status, 0 if code == 250 else 1, done)
                told = done.json
                recipient = told["recipients"][0]
                self.assertEqual(recipient["to"], case["to"])
                actions = {250: ("pass", "tag"), 450: ("tempfail",), 550: ("reject",)}
                self.assertIn(recipient["action"], actions[code], told)
                if tags is None:
                    self.assertTrue(str(recipient["reply"]).startswith(str(code)), told)
                else:
                    found = [t["name"] if isinstance(t, dict) else t for t in told["tags"]]
                    self.assertEqual(sorted(found), sorted(tags))
                    self.assertEqual(float(told["score"]), score)
                for step in told["steps"]:
                    self.assertLessEqual({"stage", "fact", "value", "rule", "result"}, set(step))

    def test_text_is_said(self):
        reply = self.send(self.case("text", {"client": "198.51.100.9"}))
        self.assertIn("Listed locally, see https://example.org/bl", reply.text)

    def test_refusal_comes_at_rcpt(self):
        with smtp.Client(self.mx.port) as c:
            c.greet()
            self.assertEqual(c.xclient(addr="198.51.100.9").code, 220)
            c.hello()
            c.say("MAIL FROM:<a@sender.example>", 250)
            c.say("RCPT TO:<bob@example.org>", 550)
            c.say("RCPT TO:<sales@example.org>", 550)

    def test_recipients_decided_apart(self):
        reply = smtp.send(self.mx.port, mail.plain("two groups", "click here 9999\n"),
                          to=["bob@example.org", "sales@example.org"])
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(self.inside.wait_subject("two groups").to, ["sales@example.org"])

    def test_explain_stops_where_facts_end(self):
        done = self.mx.command("explain", "--json", "--offline", "--client", "198.51.100.9")
        self.assertEqual(done.status, 1, done)
        self.assertEqual(done.json["action"], "reject")
        self.assertEqual(self.mx.command("explain", "--offline", "--client", "192.0.2.1").status, 0)

    def test_explain_a_candidate(self):
        path = os.path.join(self.class_folder, "candidate")
        with open(path, "w", encoding="utf-8") as f:
            f.write("reject client 192.0.2.1\n")
        words = ("explain", "--offline", "--client", "192.0.2.1", "--to", "bob@example.org")
        self.assertEqual(self.mx.command(*words, "--policy", path).status, 1)
        self.assertEqual(self.mx.command(*words).status, 0)
        with open(path, "w", encoding="utf-8-sig", newline="\r\n") as f:  # as some editors write it
            f.write("reject client 192.0.2.1\n")
        self.assertEqual(self.mx.command(*words, "--policy", path).status, 1)


class Import(FolderCase):
    def test_import_is_live_when_it_returns(self):
        relay, _ = self.pair()
        for i in range(5):
            relay.policy(f"reject from a{i}@sender.example\n")
            for j in range(5):
                reply = smtp.send(relay.port, mail.plain(), sender=f"a{j}@sender.example")
                self.assertEqual(reply.code, 550 if j == i else 250, reply)

    def test_errors_change_nothing(self):
        relay, _ = self.pair(policy="reject from a@sender.example\n")
        bad = "reject from b@sender.example\nrejekt from c@sender.example\nreject from\nscore x from d@e.example\n" \
              "reject client 300.1.1.1\nreject subject /(/\ntag from a@b.example\n"
        done = relay.command("policy", "import", "-", stdin=bad)
        self.assertEqual(done.status, 1, done)
        lines = re.findall(r":(\d+): [^;\n]+; ", done.err)
        self.assertEqual([int(n) for n in lines], [2, 3, 4, 5, 6, 7], done.err)
        self.assertEqual(relay.command("policy", "export").out, "reject from a@sender.example\n")
        self.assertEqual(smtp.send(relay.port, mail.plain(), sender="a@sender.example").code, 550)
        self.assertEqual(smtp.send(relay.port, mail.plain(), sender="b@sender.example").code, 250)

    def test_export_import_changes_nothing(self):
        text = "# a comment\n\nreject   from a@sender.example    # why\n\n# the end"
        relay, _ = self.pair(policy=text)
        self.assertEqual(relay.command("policy", "export").out, text)
        before = relay.command("policy", "list").out
        relay.policy(text)
        self.assertEqual(relay.command("policy", "list").out, before)
        relay.policy("\ufeff" + text)  # as some editors write it
        self.assertEqual(relay.command("policy", "list").out, before)
        self.assertEqual(relay.command("policy", "export").out, text)

    def test_single_changes_are_live(self):
        relay, _ = self.pair(policy="# ours\n")

        def code(client):
            return smtp.send(relay.port, mail.plain(), client=client).code

        self.assertEqual(code("203.0.113.7"), 250)
        self.assertEqual(relay.command("policy", "add", "reject client 203.0.113.7", "--comment", "spam").status, 0)
        self.assertEqual(relay.command("policy", "add", "reject client 203.0.113.8").status, 0)
        self.assertEqual((code("203.0.113.7"), code("203.0.113.8"), code("203.0.113.9")), (550, 550, 250))
        found = relay.command("policy", "query", "client", "203.0.113.8", "--json").json
        self.assertEqual((found["id"], found["rule"]), (5, "reject client 203.0.113.8"))
        self.assertEqual(relay.command("policy", "remove", "4").status, 0)
        self.assertEqual((code("203.0.113.7"), code("203.0.113.8")), (250, 550))
        history = relay.command("policy", "history", "--json").out.splitlines()
        version = [json.loads(line)["version"] for line in history if json.loads(line)["comment"] == "spam"]
        self.assertEqual(relay.command("policy", "rollback", str(version[0])).status, 0)
        self.assertEqual((code("203.0.113.7"), code("203.0.113.8")), (550, 250))
        self.assertEqual(relay.command("policy", "export").out, "# ours\nreject client 203.0.113.7\n")
        for words, status in ((("add", "rejekt client 1.2.3.4"), 1), (("remove", "9"), 1), (("rollback", "99"), 1),
                              (("query", "nonsense", "x"), 64), (("diff", "1"), 64), (("diff", "1", "99"), 1),
                              (("diff", "1", "x"), 1), (("confirm",), 1), (("confirm", "5m"), 64),
                              (("remove", "1", "--confirm", "soon"), 64), (("remove", "1", "--confirm"), 64)):
            with self.subTest(words=words):
                self.assertEqual(relay.command("policy", *words).status, status)
        self.assertEqual(relay.command("policy", "export").out, "# ours\nreject client 203.0.113.7\n")

    def test_difference_of_versions(self):
        relay, _ = self.pair(policy="# ours\nreject client 203.0.113.7\nreject client 203.0.113.8\n")
        relay.policy("# ours\nreject client 203.0.113.8\ntag x client 203.0.113.9\n")
        found = relay.command("policy", "diff", "1", "2", "--json").lines
        self.assertEqual([(d["change"], d["line"], d["text"]) for d in found],
                         [("removed", 2, "reject client 203.0.113.7"), ("added", 3, "tag x client 203.0.113.9")])
        self.assertEqual(relay.command("policy", "diff", "2", "1").out.splitlines(),
                         ["+    2  reject client 203.0.113.7", "-    3  tag x client 203.0.113.9"])
        same = relay.command("policy", "diff", "2", "2")
        self.assertEqual((same.status, same.out), (0, ""))

    def test_unconfirmed_change_goes_back(self):
        relay, _ = self.pair(policy="# ours\n")

        def code():
            return smtp.send(relay.port, mail.plain(), client="203.0.113.7").code

        done = relay.command("policy", "import", "-", "--confirm", "1s", "--json", stdin="reject client 203.0.113.7\n")
        self.assertEqual((done.status, done.json["version"], done.json["back_to"]), (0, 2, 1), done)
        self.assertIn("confirm_until", done.json)
        wait_until(lambda: code() == 250, "the policy to go back")
        newest = relay.command("policy", "history", "--json").lines[0]
        self.assertEqual((newest["version"], newest["author"], newest["comment"]),
                         (3, "postern", "back to version 1: version 2 was not confirmed"))
        self.assertEqual(relay.command("policy", "export").out, "# ours\n")
        self.assertEqual(relay.command("policy", "confirm").status, 1)  # too late

    def test_confirmed_change_stays(self):
        relay, _ = self.pair(policy="# ours\n")
        done = relay.command("policy", "add", "reject client 203.0.113.7", "--confirm", "1h", "--comment", "careful")
        self.assertEqual(done.status, 0, done)
        self.assertIn('goes back to version 1 at', done.out)
        self.assertEqual(relay.command("policy", "confirm", "--json").json, {"version": 2})
        self.assertEqual(relay.command("policy", "confirm").status, 1)
        self.assertEqual(len(relay.command("policy", "history", "--json").lines), 2)

    def test_unconfirmed_change_goes_back_over_a_restart(self):
        relay, _ = self.pair(policy="# ours\n")
        relay.command("policy", "import", "-", "--confirm", "3s", stdin="reject client 203.0.113.7\n")
        relay.kill()
        relay.start()
        wait_until(lambda: relay.command("policy", "export").out == "# ours\n", "the policy to go back")
        wait_until(lambda: smtp.send(relay.port, mail.plain(), client="203.0.113.7").code == 250, "that to be live")
        # Nobody runs when the time comes: the next start begins with the old text.
        relay.command("policy", "import", "-", "--confirm", "1s", stdin="reject client 203.0.113.7\n")
        relay.stop()
        time.sleep(1)
        relay.start()
        self.assertEqual(smtp.send(relay.port, mail.plain(), client="203.0.113.7").code, 250)
        self.assertEqual(relay.command("policy", "export").out, "# ours\n")

    def test_expired_rules_stay_listed_and_marked(self):
        relay, _ = self.pair(policy="reject client 203.0.113.7 until 2020-01-31\nreject client 203.0.113.8\n")
        rules = relay.command("policy", "list", "--json").lines
        self.assertEqual([(r["id"], r["expired"]) for r in rules], [(4, True), (5, False)])
        self.assertIn("(expired) reject client 203.0.113.7", relay.command("policy", "list").out)
        self.assertEqual(smtp.send(relay.port, mail.plain(), client="203.0.113.7").code, 250)

    def test_policy_survives_a_restart(self):
        relay, _ = self.pair(policy="reject from a@sender.example\n")
        relay.restart()
        self.assertEqual(smtp.send(relay.port, mail.plain(), sender="a@sender.example").code, 550)
        relay.kill()
        relay.start()
        self.assertEqual(smtp.send(relay.port, mail.plain(), sender="a@sender.example").code, 550)

    def test_list_file(self):
        relay, _ = self.pair()
        os.makedirs(os.path.join(relay.state, "lists"), exist_ok=True)
        with open(os.path.join(relay.state, "lists", "drop.txt"), "w", encoding="ascii") as f:
            f.write("# one a line\n192.0.2.7\n198.51.100.0/24\n203.0.113.*\n/^2001:db8::.*:9$/\n")
        relay.policy("reject client list:drop\n")
        for client, code in (("192.0.2.7", 550), ("198.51.100.99", 550), ("192.0.2.8", 250), ("203.0.113.4", 550),
                             ("IPV6:2001:db8::5:9", 550), ("IPV6:2001:db8::5:8", 250)):
            self.assertEqual(smtp.send(relay.port, mail.plain(), client=client).code, code, client)
        done = relay.command("policy", "import", "-", stdin="reject client list:nosuch\n")
        self.assertEqual(done.status, 1, done)
        os.unlink(os.path.join(relay.state, "lists", "drop.txt"))
        done = relay.command("reload", "--json")
        self.assertEqual(done.status, 78, done)
        self.assertIs(done.json["ok"], False)
        self.assertTrue(done.json["errors"][0].startswith("policy:1: list:drop: "), done)
        done = relay.command("reload")
        self.assertEqual((done.status, done.out), (78, ""), done)
        self.assertIn("policy:1: list:drop: ", done.err)
        self.assertEqual(smtp.send(relay.port, mail.plain(), client="192.0.2.7").code, 550)


class RegexLimit(FolderCase):
    def test_is_reported(self):
        """A regex that meets its limit matches nothing, and says so: in the log and in the status."""
        relay, gateway = self.pair(filters=(), policy="tag other  subject *\ntag costly  subject /^(a|a|aa)+$/\n")
        self.assertEqual(relay.command("status", "--json").json["problems"], [])
        subject = "a" * 200 + "b"
        self.assertEqual(smtp.send(relay.port, mail.plain(subject)).code, 250)
        tags = gateway.wait_subject(subject).header("X-Postern-Tag")
        self.assertEqual([t.split(";")[0] for t in tags], ["other"])
        self.assertEqual([e["rule"] for e in relay.events("regex limit")], [5])
        status = relay.command("status", "--json").json
        self.assertIn("rule 5", json.dumps(status["problems"]))
        self.assertEqual(status["front"]["regex_limits"], 1)
        relay.policy("tag other  subject *\n")
        wait_until(lambda: relay.command("status", "--json").json["problems"] == [], "the problem to be over")

    def test_all_of_a_message(self):
        """What regexes may do over one message is bounded: the rest is not tried, the mail is put off, and who did it is named."""
        relay, _ = self.pair(filters=(), policy="tag costly  body /[a-z]+\\d/\nreject body /needle/\n")
        reply = smtp.send(relay.port, mail.plain("a" * 20, "".join("a" * 900 + "=\n" for _ in range(80)),
                                                 headers="Content-Transfer-Encoding: quoted-printable\n"))
        self.assertEqual((reply.code, reply.enhanced), (451, "4.7.1"), reply)
        self.assertTrue(any("costly" not in e["most"] and "[a-z]+" in e["most"] for e in relay.events("regexes cost too much")))
        status = relay.command("status", "--json").json
        self.assertIn("regexes cost too much", json.dumps(status["problems"]))
        self.assertEqual(status["front"]["regexes_not_tried"], 1)
        self.assertEqual(smtp.send(relay.port, mail.plain("short", "abc 1\n")).code, 250)
        self.assertEqual(smtp.send(relay.port, mail.plain("short", "needle\n")).code, 550)
        relay.policy("reject body /needle/\n")
        wait_until(lambda: relay.command("status", "--json").json["problems"] == [], "the problem to be over")


class Banner(FolderCase):
    def test_refused_at_the_banner(self):
        relay, _ = self.pair(refuse_at="banner",
                             policy="reject client 127.0.0.9\ntempfail client 127.0.0.8\nreject from x@y.example\n")
        for source, code in (("127.0.0.9", 554), ("127.0.0.8", 421)):
            with self.subTest(source=source), smtp.Client(relay.port, source) as c:
                reply = c.expect(code)
                self.assertEqual(reply.enhanced[:1], str(code)[0])
                self.assertTrue(reply.id)
                c.wait_closed()
        with smtp.Client(relay.port) as c:
            c.greet()
            self.assertEqual(c.xclient(addr="127.0.0.9").code, 554)
        self.assertEqual(smtp.send(relay.port, mail.plain()).code, 250)

    def test_clients_of_a_flow(self):
        relay, _ = self.pair(flow='clients = {"127.0.0.1", "10.0.0.0/8"}')
        with smtp.Client(relay.port, "127.0.0.5") as c:
            c.expect(554)
        self.assertEqual(smtp.send(relay.port, mail.plain()).code, 250)


ZONES = {
    "zen.test": {"203.0.113.7": "127.0.0.4", "203.0.113.8": "127.0.0.99", "203.0.113.66": "127.0.0.4"},
    "tag.test": {"203.0.113.20": "127.0.0.2"},
    "score.test": {"203.0.113.30": "127.0.0.2"},
    "broken.test": {"203.0.113.40": "127.255.255.254"},
    "everyone.test": {"127.0.0.1": "127.0.0.2", "203.0.113.50": "127.0.0.2"},
    "white.test": {"203.0.113.66": "127.0.5.2"},
}
LISTS = """
dnswl white.test     answers 127.0.*.2-3         accept
dnsbl zen.test       answers 127.0.0.2-127.0.0.11 reject
dnsbl tag.test       answers 127.0.0.2           tag listed-slow
dnsbl score.test     answers 127.0.0.2           score 3
dnsbl broken.test    reject
dnsbl everyone.test  reject
"""
# client, code, tags, score
LISTED = (
    ("203.0.113.7", 550, (), 0),
    ("203.0.113.8", 250, (), 0),   # an answer outside the rule's
    ("203.0.113.1", 250, (), 0),   # not listed
    ("203.0.113.66", 250, (), 0),  # listed, but on the white list too
    ("203.0.113.20", 250, ("listed-slow",), 0),
    ("203.0.113.30", 250, ("score.test",), 3),
    ("203.0.113.40", 250, (), 0),  # the list is in error
    ("203.0.113.50", 250, (), 0),  # the list lists everyone: it is off
)


class Dnsbl(FolderCase):
    def test_real_lists(self):
        dns = self.starting(Rbldnsd(self.path("dns"), ZONES))
        relay, gateway = self.pair(dns_port=dns.port, policy=LISTS)
        for client, code, tags, score in LISTED:
            with self.subTest(client=client):
                reply = smtp.send(relay.port, mail.plain(f"from {client}"), client=client)
                self.assertEqual(reply.code, code, reply)
                if code != 250:
                    self.assertEqual(reply.enhanced, "5.7.1")
                    self.assertIn("zen.test", reply.text)
                    continue
                kept = gateway.wait_subject(f"from {client}")
                found = [t.split(";")[0] for t in kept.header("X-Postern-Tag")]
                if tags != ("score.test",):  # a score without a name is called as the relay likes
                    self.assertEqual(found, list(tags))
                self.assertIn(f"score={score}", kept.header("X-Postern-Verdict")[0])

    def test_explained(self):
        dns = self.starting(Rbldnsd(self.path("dns"), ZONES))
        relay, _ = self.pair(dns_port=dns.port, policy=LISTS)
        done = relay.command("explain", "--json", "--client", "203.0.113.7", "--to", "bob@example.org")
        self.assertEqual(done.status, 1, done)
        self.assertIn("zen.test", json.dumps(done.json))
        done = relay.command("explain", "--json", "--client", "203.0.113.1", "--to", "bob@example.org")
        self.assertEqual(done.status, 0, done)

    def test_list_that_errs_is_shown(self):
        dns = self.starting(Rbldnsd(self.path("dns"), ZONES))
        relay, _ = self.pair(dns_port=dns.port, policy=LISTS)
        for _ in range(3):
            smtp.send(relay.port, mail.plain(), client="203.0.113.40")
            smtp.send(relay.port, mail.plain(), client="203.0.113.50")
        problems = lambda: json.dumps(relay.command("status", "--json").json["problems"])
        for zone in ("broken.test", "everyone.test"):
            wait_until(lambda z=zone: z in problems(), lambda z=zone: f"{z} in {problems()}")

    def test_counted(self):
        """What each list has said, and what it alone has said, is in the status."""
        dns = self.starting(Rbldnsd(self.path("dns"), ZONES))
        relay, _ = self.pair(dns_port=dns.port, policy=LISTS)
        for client, *_ in LISTED:
            smtp.send(relay.port, mail.plain(), client=client)
        zones = {z["zone"]: z for z in relay.command("status", "--json").json["dnsbl"]}
        self.assertGreaterEqual(zones["zen.test"]["listed"], 2)
        self.assertGreaterEqual(zones["zen.test"]["sole"], 1)
        self.assertGreaterEqual(zones["score.test"]["sole"], 1)
        self.assertGreater(zones["score.test"]["not_listed"], 0)
        self.assertEqual(zones["white.test"]["listed"], 1)
        self.assertEqual(zones["white.test"]["sole"], 0)
        self.assertEqual(zones["everyone.test"]["off"], 1)
        self.assertEqual(zones["everyone.test"]["listed"], 0)
        for zone in zones.values():
            self.assertEqual(zone["asked"], zone["listed"] + zone["not_listed"] + zone["errors"]
                             + zone["unanswered"], zone)

    def test_verified_reverse_name(self):
        """A name counts when it leads back to the address; without one neither `host x` nor `host !x` matches."""
        names = {"7.113.0.203.in-addr.arpa": ["pc7.dynamic.isp.test"], "pc7.dynamic.isp.test": ["203.0.113.7"],
                 "8.113.0.203.in-addr.arpa": ["other.test", "pc8.dynamic.isp.test"], "other.test": ["192.0.2.1"],
                 "pc8.dynamic.isp.test": ["203.0.113.8"],
                 "9.113.0.203.in-addr.arpa": ["pc9.dynamic.isp.test"], "pc9.dynamic.isp.test": ["192.0.2.1"],
                 "11.113.0.203.in-addr.arpa": ["mail.good.test"], "mail.good.test": ["203.0.113.11"]}

        def answers(name, kind):
            is_reverse = name.endswith(".arpa")
            return names.get(name, []) if kind == (TYPE_PTR if is_reverse else TYPE_A) else []

        dns = self.starting(Nameserver(answers))
        relay, _ = self.pair(dns_port=dns.port, policy="reject host .dynamic.isp.test\ntempfail host !.good.test\n")
        for client, code in (("203.0.113.7", 550), ("203.0.113.8", 550), ("203.0.113.9", 250), ("203.0.113.10", 250),
                             ("203.0.113.11", 250)):
            with self.subTest(client=client):
                self.assertEqual(smtp.send(relay.port, mail.plain(), client=client).code, code)
                done = relay.command("explain", "--client", client, "--to", "bob@example.org")
                self.assertEqual(done.status, 0 if code == 250 else 1, done)

    def test_late_answers_do_not_hold_the_banner(self):
        """The list answers only after the message is through: its answer can have mattered to nobody."""
        through = threading.Event()

        def answers(name, kind):
            if kind == TYPE_A and name.endswith("late.test") and not name.startswith(("1.0.0.127", "2.0.0.127")):
                through.wait(60)
                return ["127.0.0.2"]
            return ["127.0.0.2"] if name == "2.0.0.127.late.test" else []

        dns = self.starting(Nameserver(answers))
        self.addCleanup(through.set)
        relay, gateway = self.pair(dns_port=dns.port, banner_wait="200ms", dns_timeout="1s",
                                   policy="dnsbl late.test reject\n")
        self.assertEqual(smtp.send(relay.port, mail.plain("not held up"), client="203.0.113.7").code, 250)
        gateway.wait_subject("not held up")
        wait_until(lambda: "7.113.0.203.late.test" in [n for n, _ in dns.asked], lambda: f"the question, in {dns.asked}")
        through.set()

    def test_nameserver_that_fails(self):
        for answer in ("servfail", None):
            with self.subTest(answer=answer):
                dns = self.starting(Nameserver(lambda name, kind, a=answer: a))
                self.folder = self.path(str(answer))
                os.makedirs(self.folder)
                relay, _ = self.pair(dns_port=dns.port, banner_wait="200ms", dns_timeout="1s",
                                     policy="dnsbl fails.test reject\n")
                self.assertEqual(smtp.send(relay.port, mail.plain(), client="203.0.113.7").code, 250)
                done = relay.command("explain", "--client", "203.0.113.7", "--to", "bob@example.org")
                self.assertEqual(done.status, 75, done)
