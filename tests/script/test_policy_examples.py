"""Every line of the policy example in the outer contract, section 3: live and explained, by `import`, by `add`, and after
a reload and a restart.  Each line has a mail that it matches and one that misses it narrowly."""

import datetime
import os
import re

import mail
import mmdb
import smtp
from case import RelayCase
from dnslists import TYPE_A, TYPE_PTR, Nameserver, Rbldnsd, query
from waiting import wait_until

# A date that has not come yet, whenever this runs.
LATER = (datetime.date.today() + datetime.timedelta(days=60)).isoformat()
POLICY = r"""# the example, to the letter but for its date
accept      client 198.51.100.7                      note "partner, ticket 4711"
reject      client 192.0.2.0/24                      text "Listed locally, see https://example.org/bl"
reject      client list:drop                         # state_dir/lists/drop.txt, one value a line, may hold a million
reject      host .dynamic.isp.example                # verified reverse name
tempfail    helo /^\d+\.\d+\.\d+\.\d+$/
quarantine  from boss@example.org  client !10.0.0.0/8  text "spoofed"
tag bulk    from @news.example  to sales@example.org  until 2027-01-31
score 3 pills  subject /\bcheap pills\b/i
score 2.5 late header X-Mailer /bulkmaster/i
tag invoice    body "/overdue invoice/i"
quarantine  attachment *.exe
reject      attachment-type application/x-dosexec
observe reject  country XX                           # recorded and counted, never acted on
dnsbl zen.example.net   answers 127.0.0.2-127.0.0.11  reject
dnsbl slow.example.net  answers 127.0.0.2  tag listed-slow
dnsbl score.example.net answers 127.0.0.2  score 3
dnswl white.example.net answers 127.0.*.2-3           accept
""".replace("2027-01-31", LATER)
LINES = [line for line in POLICY.splitlines() if not line.startswith("#")]
ZONES = {
    "zen.example.net": {"203.0.113.30": "127.0.0.4", "203.0.113.31": "127.0.0.12", "198.51.100.7": "127.0.0.2",
                        "203.0.113.60": "127.0.0.2", "203.0.113.61": "127.0.0.11"},
    "slow.example.net": {"203.0.113.40": "127.0.0.2", "203.0.113.41": "127.0.0.3"},
    "score.example.net": {"203.0.113.50": "127.0.0.2", "203.0.113.51": "127.0.0.5"},
    "white.example.net": {"203.0.113.60": "127.0.9.3", "203.0.113.61": "127.0.9.4"},
}
NAMES = {"20.113.0.203.in-addr.arpa": "pc20.dynamic.isp.example", "pc20.dynamic.isp.example": "203.0.113.20",
         "21.113.0.203.in-addr.arpa": "pc21.dynamic.isp.example", "pc21.dynamic.isp.example": "203.0.113.99"}
DROP = "# one value a line\n203.0.113.80\n203.0.113.88/29\n2001:db8:dead::/48\n"
PLAIN = {"client": "203.0.113.1", "helo": "client.example", "sender": "alice@sender.example", "to": "bob@example.org",
         "headers": "", "body": "Hello.\n", "subject": None, "attachment": None}
# What is sent; what is answered, the words of a refusal, the tags and points of the copy, why it is in quarantine.
PASS = {"code": 250, "enhanced": "2.0.0", "text": "", "tags": (), "score": 0, "kept": None}


def refused(text, code=550, enhanced="5.7.1", **more):
    return {**PASS, "code": code, "enhanced": enhanced, "text": text, **more}


def marked(*tags, score=0):
    return {**PASS, "tags": tags, "score": score}


DOS = b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0" + bytes(200)
# by the line's beginning: how the rule shows in the steps of explain, and the mails
CASES = (
    ("accept ", "accept", {"client": "198.51.100.7"}, PASS, {"client": "198.51.100.8"}, PASS),
    ("reject      client 192", "reject", {"client": "192.0.2.255"},
     refused("Listed locally, see https://example.org/bl"), {"client": "192.0.3.0"}, PASS),
    ("reject      client list", "reject", {"client": "203.0.113.95"}, refused("Refused by policy of mx.test.example"),
     {"client": "203.0.113.96"}, PASS),
    ("reject      host", "reject", {"client": "203.0.113.20"}, refused("Refused by policy"),
     {"client": "203.0.113.21"}, PASS),
    ("tempfail", "tempfail", {"helo": "1.2.3.4"}, refused("Deferred by policy", 450, "4.7.1"), {"helo": "a1.2.3.4"}, PASS),
    ("quarantine  from", "quarantine", {"sender": "Boss@Example.org"}, {**PASS, "kept": "spoofed"},
     {"sender": "boss@example.org", "client": "10.255.255.255"}, PASS),
    ("tag bulk", "tag", {"sender": "a@news.example", "to": "sales@example.org"}, marked("bulk"),
     {"sender": "a@sub.news.example", "to": "sales@example.org"}, PASS),
    ("score 3", "score", {"subject": "Buy =?utf-8?Q?CHEAP?= =?utf-8?Q?_pills?= now"}, marked("pills", score=3),
     {"subject": "cheap pillsbury"}, PASS),
    ("score 2.5", "score", {"headers": "X-Mailer: the\n BulkMaster 3\n"}, marked("late", score=2.5),
     {"headers": "X-Mailers: BulkMaster\n"}, PASS),
    ("tag invoice", "tag", {"body": "An Overdue Invoice!\n"}, marked("invoice"), {"body": "An overdue  invoice!\n"}, PASS),
    ("quarantine  att", "quarantine", {"attachment": ("Setup.EXE", b"text\n")}, {**PASS, "kept": "*.exe"},
     {"attachment": ("setup.exe.txt", b"text\n")}, PASS),
    ("reject      attachment-type", "reject", {"attachment": ("holiday.jpg", DOS)}, refused("Refused by policy"),
     {"attachment": ("holiday.jpg", DOS[1:])}, PASS),
    ("observe", "observed", {"client": "198.18.5.1"}, PASS, {"client": "198.18.6.1"}, PASS),
    ("dnsbl zen", "reject", {"client": "203.0.113.30"}, refused("Listed by zen.example.net"),
     {"client": "203.0.113.31"}, PASS),
    ("dnsbl slow", "tag", {"client": "203.0.113.40"}, marked("listed-slow"), {"client": "203.0.113.41"}, PASS),
    ("dnsbl score", "score", {"client": "203.0.113.50"}, marked(score=3), {"client": "203.0.113.51"}, PASS),
    ("dnswl", "accept", {"client": "203.0.113.60"}, PASS, {"client": "203.0.113.61"}, refused("Listed by zen.example.net")),
)
ACTIONS = {450: "tempfail", 550: "reject"}


def answers(lists, name, kind):
    """Our zones are rbldnsd's; the rest is the internet."""
    if name.endswith(".example.net"):
        return query(lists.port, name) if kind == TYPE_A else []
    wanted = TYPE_PTR if name.endswith(".arpa") else TYPE_A
    return [NAMES[name]] if name in NAMES and kind == wanted else []


class Examples(RelayCase):
    SETTINGS = {"filters": (), "banner_wait": "20s", "dns_timeout": "10s"}
    POLICY = "# ours\n"

    @classmethod
    def prepare(cls, folder):
        lists = Rbldnsd(os.path.join(folder, "dns"), ZONES)
        cls.addClassCleanup(lists.stop)
        lists.start()
        dns = Nameserver(lambda name, kind: answers(lists, name, kind))
        cls.addClassCleanup(dns.stop)
        dns.start()
        countries = os.path.join(folder, "country.mmdb")
        mmdb.write(countries, {"198.18.5.0/24": mmdb.country("XX"), "198.18.6.0/24": mmdb.country("FR")})
        cls.lists = os.path.join(folder, "state", "lists")
        os.makedirs(cls.lists)
        cls.drop(DROP)
        return {**cls.SETTINGS, "dns_port": dns.port, "sections": f'geoip {{ country = "{countries}" }}'}

    @classmethod
    def drop(cls, text):
        with open(os.path.join(cls.lists, "drop.txt"), "w", encoding="ascii") as f:
            f.write(text)

    def message(self, name, case):
        headers, subject = case["headers"] + f"X-Case: {name}\n", case["subject"] or name
        if case["attachment"] is not None:
            return mail.with_attachment(case["attachment"][1], subject, case["attachment"][0], headers)
        return mail.plain(subject, case["body"], headers)

    def send(self, name, extra, want):
        """One mail, and what became of it."""
        case = {**PLAIN, **extra}
        reply = smtp.send(self.mx.port, self.message(name, case), case["sender"], case["to"], case["client"], case["helo"])
        self.assertEqual((reply.code, reply.enhanced), (want["code"], want["enhanced"]), reply)
        self.assertIn(want["text"], reply.text)
        self.assertTrue(reply.id, reply)
        if want["kept"] is not None:
            letters = wait_until(lambda: [q for q in self.mx.command("quarantine", "list", "--json").lines
                                          if q["id"] == reply.id], f"{name} in quarantine")
            self.assertIn(want["kept"], letters[0]["reason"])
        elif want["code"] == 250:
            copy = self.inside.wait_for(lambda m: m.header("X-Case") == [name], name)
            self.assertEqual(sorted(t.split(";")[0] for t in copy.header("X-Postern-Tag")), sorted(want["tags"]))
            score = re.search(r"score=(-?[\d.]+)", copy.header("X-Postern-Verdict")[0]).group(1)
            self.assertEqual(float(score), want["score"])

    def send_all(self, way):
        for start, _, match, matched, miss, missed in CASES:
            with self.subTest(way=way, line=start):
                name = " ".join(start.split())
                self.send(f"{way} match {name}", match, matched)
                self.send(f"{way} miss {name}", miss, missed)
        seen = [m.header("X-Case")[0] for m in self.inside.kept() if m.header("X-Case")[0].startswith(way)]
        self.assertEqual(len(seen), len(set(seen)))
        refusals = sum(w["code"] != 250 or w["kept"] is not None for c in CASES for w in (c[3], c[5]))
        self.assertEqual(len(seen), 2 * len(CASES) - refusals)

    def rules(self):
        """{line: its rule, as `policy list` tells}"""
        return {r["rule"]: r for r in self.mx.command("policy", "list", "--json").lines}

    def rule_of(self, start):
        return next(r for line, r in self.rules().items() if line.startswith(start))

    def explain(self, name, extra):
        case = {**PLAIN, **extra}
        path = os.path.join(self.class_folder, "case.eml")
        with open(path, "wb") as f:
            f.write(self.message(name, case))
        return self.mx.command("explain", "--json", "--client", case["client"], "--helo", case["helo"], "--from",
                               case["sender"], "--to", case["to"], path)

    def check_explained(self, start, result, extra, want, is_match):
        done, rule = self.explain("explained", extra), self.rule_of(start)["id"]
        told = done.json
        kept_or_refused = want["code"] != 250 or want["kept"] is not None
        self.assertEqual(done.status, int(kept_or_refused), done)
        action = ACTIONS.get(want["code"]) or ("quarantine" if want["kept"] else "tag" if want["tags"] else "pass")
        self.assertEqual((told["action"], told["recipients"][0]["action"]), (action, action), told)
        self.assertEqual((sorted(told["tags"]), float(told["score"])), (sorted(want["tags"]), want["score"]))
        self.assertTrue(told["reply"].startswith(f"{want['code']} {want['enhanced']} {want['text']}"), told["reply"])
        steps = [s["result"] for s in told["steps"] if s["rule"] == rule]
        self.assertEqual(result in steps, is_match, (rule, told["steps"]))
        if is_match and action != "pass":
            self.assertEqual(told["rule"], rule, told)

    def test_a_imported(self):
        done = self.mx.command("policy", "import", "-", stdin=POLICY)
        self.assertEqual((done.status, done.err), (0, ""), done)
        self.assertEqual(list(self.rules()), LINES)
        self.send_all("import")
        for start, result, match, matched, miss, missed in CASES:
            with self.subTest(explained=start):
                self.check_explained(start, result, match, matched, True)
                self.check_explained(start, result, miss, missed, False)

    def test_b_added(self):
        self.mx.policy("# ours\n")
        for line in LINES:
            done = self.mx.command("policy", "add", line)
            self.assertEqual((done.status, done.err), (0, ""), done)
        self.assertEqual(list(self.rules()), LINES)
        self.send_all("add")

    def test_c_reloaded_and_restarted(self):
        self.mx.policy(POLICY)
        self.drop("203.0.113.96\n")
        self.assertEqual(self.mx.reload().status, 0)
        self.send("reload match", {"client": "203.0.113.96"}, refused("Refused by policy"))
        self.send("reload miss", {"client": "203.0.113.95"}, PASS)
        self.drop(DROP)
        self.mx.restart()
        self.assertEqual(self.mx.command("policy", "export").out, POLICY)
        self.send_all("restart")

    def wait_hits(self, start, before, more):
        """`policy list` asks the fronts: what has been answered is counted."""
        rule = self.rule_of(start)
        self.assertEqual(rule["hits"], before + more, rule)
        self.assertEqual(rule["last_hit"] is None, rule["hits"] == 0)

    def test_e_hits(self):
        """Each match is counted once, observed ones too, over changes of the policy and a restart."""
        self.mx.policy(POLICY)
        before = {start: self.rule_of(start) for start, *_ in CASES}
        self.send_all("hits")
        more = {start: 1 for start in before}
        more["dnsbl zen"] = 2   # the white list's narrow miss is its second
        more["tempfail"] = 2    # this HELO is said by us, too, before XCLIENT makes us that client
        for start, n in more.items():
            with self.subTest(line=start):
                self.wait_hits(start, before[start]["hits"], n)
        found = self.mx.command("policy", "query", "client", "192.0.2.255", "--json").lines
        self.assertEqual([r["hits"] for r in found if r["rule"].startswith("reject      client 192")],
                         [before["reject      client 192"]["hits"] + 1])
        moved = "tag new client 192.0.2.1\n" + "".join(line + "\n" for line in reversed(LINES))
        self.mx.policy(moved)
        self.mx.restart()
        for start, rule in before.items():
            with self.subTest(moved=start):
                now = self.rule_of(start)
                self.assertEqual({**now, "last_hit": 0}, {**rule, "hits": rule["hits"] + more[start], "last_hit": 0})
        self.assertEqual(self.rule_of("tag new")["hits"], 0)
        self.assertGreater(self.rule_of("tag new")["id"], max(r["id"] for r in before.values()))

    def test_f_observed_is_in_the_journal(self):
        self.mx.policy(POLICY)
        rule = self.rule_of("observe")["id"]
        reply = smtp.send(self.mx.port, mail.plain(), client="198.18.5.1")
        events = wait_until(lambda: [e for e in self.mx.command("trace", reply.id, "--json").lines
                                     if e["event"] == "accepted"], "the event")
        self.assertEqual(events[0]["observed"], [rule])
        self.assertIn("OBSERVED", self.mx.command("trace", reply.id).out)

    def test_d_missing_list_is_an_error(self):
        self.mx.policy(POLICY)
        path = os.path.join(self.lists, "drop.txt")
        os.rename(path, path + ".away")
        done = self.mx.reload()
        os.rename(path + ".away", path)
        self.assertEqual(done.status, 78, done)
        self.assertIn("policy:4: list:drop: ", done.out + done.err)
        self.send("still in force", {"client": "203.0.113.95"}, refused("Refused by policy"))
