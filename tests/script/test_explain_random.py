"""`explain` equals live behaviour: the same random sessions, under random policies, are explained and then sent.

EXPLAIN_SEED is the first seed, EXPLAIN_ROUNDS the number of policies: a failure names its seed and its session.
"""

import os
import random
import re

import mail
import mmdb
import smtp
from case import RelayCase
from dnslists import TYPE_A, TYPE_PTR, Nameserver
from waiting import wait_until

SESSIONS = 14
CLIENTS = ["192.0.2.1", "192.0.2.2", "198.51.100.7", "203.0.113.9", "2001:db8::5"]
HELOS = ["client.example", "[192.0.2.1]", "1.2.3.4", "mx.test.example", "evil.example", "EVIL.example", "one"]
SENDERS = ["", "a@news.example", "b@sub.news.example", "Boss@example.org", "x@evil.example"]
RECIPIENTS = ["bob@example.org", "sales@example.org", "Info@EXAMPLE.org", "postmaster", "bob@elsewhere.example"]
SUBJECTS = ["hello", "cheap pills", "=?utf-8?B?Y2hlYXAgcGlsbHM=?=", "overdue"]
VERBS = ["accept", "reject", "reject", "tempfail", "quarantine", "discard", "keep", "hold", "tag one", "tag two", "score 1",
         "score 2.5 late", "score -1", "observe reject", "observe tag one", "observe score 3"]
FACETS = ["client 192.0.2.0/24", "client 198.51.100.7", "client 2001:db8::/32", "client *", "client /2$/", "client list:drop",
          "host .isp.example", "host *.example", "helo evil.example", "helo /^\\d/", "helo *.example", "from <>",
          "from @news.example", "from .news.example", "from boss@example.org", "from /^[ab]/", "to sales@example.org",
          "to @example.org", "to /^B/i", "country XX", "country DE", "asn 64512", "tls *", "auth *", "tag one", "tag *",
          "subject hello", "subject /pills/i", "header X-Mailer *bulk*", "body /invoice/", "body *hello*",
          "attachment *.exe", "attachment-type text/*", "url *example*"]
LISTS = ["dnsbl one.test reject", "dnsbl one.test answers 127.0.0.3 tag listed", "dnsbl two.test score 2",
         "dnsbl bad.test reject", "dnswl white.test accept", "dnsbl names.test of helo tag oddhelo",
         "dnsbl names.test of from reject", "dnsbl names.test of url score 2 uribl", "dnsbl names.test of host tempfail", "observe dnsbl one.test tempfail"]
LISTED = {"1.2.0.192.one.test": "127.0.0.2", "9.113.0.203.one.test": "127.0.0.3", "9.113.0.203.two.test": "127.0.0.9",
          "evil.example.names.test": "127.0.0.2", "example.net.names.test": "127.0.0.2", "isp.example.names.test": "127.0.0.2",
          "1.2.0.192.white.test": "127.0.0.2", "2.2.0.192.bad.test": "127.255.255.254"}
NAMES = {"1.2.0.192.in-addr.arpa": "pc1.isp.example", "pc1.isp.example": "192.0.2.1",
         "9.113.0.203.in-addr.arpa": "pc9.isp.example", "pc9.isp.example": "203.0.113.10"}


def answers(name, kind):
    if name.startswith("2.0.0.127.") or name == "test.names.test":
        return ["127.0.0.2"]
    if name in LISTED:
        return [LISTED[name]] if kind == TYPE_A else []
    wanted = TYPE_PTR if name.endswith(".arpa") else TYPE_A
    return [NAMES[name]] if name in NAMES and kind == wanted else []


def random_rule(rng):
    if rng.random() < 0.12:
        return rng.choice(LISTS)
    rule = rng.choice(VERBS)
    for facet in rng.sample(FACETS, rng.choice((1, 1, 2))):
        words = facet.split(" ")
        if rng.random() < 0.2 and words[-1] != "<>":
            words[-1] = "!" + words[-1]
        rule += "  " + " ".join(words)
    return rule + rng.choice(("", "", ' text "say why"', " until 2020-01-31", " until 2099-01-31"))


class Random(RelayCase):
    SETTINGS = {"filters": (), "banner_wait": "30s", "dns_timeout": "20s", "score": "tag = 2  quarantine = 4  reject = 6",
                "connect": ("access", "dnsbl", "ptr", "greet"), "flow": "greet { wait = 0s }"}
    ROUNDS, FIRST = 3, 1

    @classmethod
    def prepare(cls, folder):
        dns = Nameserver(answers)
        cls.addClassCleanup(dns.stop)
        dns.start()
        country, asn = os.path.join(folder, "country.mmdb"), os.path.join(folder, "asn.mmdb")
        mmdb.write(country, {"192.0.2.0/24": mmdb.country("DE"), "198.51.100.0/24": mmdb.country("XX")})
        mmdb.write(asn, {"203.0.113.0/24": mmdb.asn(64512)})
        lists = os.path.join(folder, "state", "lists")
        os.makedirs(lists)
        with open(os.path.join(lists, "drop.txt"), "w", encoding="ascii") as f:
            f.write("203.0.113.9\n")
        return {**cls.SETTINGS, "dns_port": dns.port, "sections": f'geoip {{ country = "{country}"  asn = "{asn}" }}'}

    def session(self, rng, name):
        body = rng.choice(("hello\n", "an invoice\n", "see http://www.example.net/x\n"))
        headers = rng.choice(("", "X-Mailer: Bulk 3\n")) + f"X-Case: {name}\n"
        subject = rng.choice(SUBJECTS)
        message = (mail.with_attachment(b"text\n", subject, rng.choice(("a.exe", "b.txt")), headers)
                   if rng.random() < 0.3 else mail.plain(subject, body, headers))
        return {"client": rng.choice(CLIENTS), "helo": rng.choice(HELOS), "from": rng.choice(SENDERS),
                "to": rng.sample(RECIPIENTS, rng.choice((1, 1, 2))), "message": message}

    def explain(self, session):
        path = os.path.join(self.class_folder, "case.eml")
        with open(path, "wb") as f:
            f.write(session["message"])
        to = [word for address in session["to"] for word in ("--to", address)]
        done = self.mx.command("explain", "--json", "--client", session["client"], "--helo", session["helo"], "--from",
                               session["from"] or "<>", *to, path)
        self.assertIn(done.status, (0, 1), done)
        return done

    @staticmethod
    def words(reply):
        """Code and text without the id, and without the seconds that go by."""
        return re.sub(r"in \d+ seconds", "in a while", str(reply).rsplit(" [", 1)[0])

    def send(self, session):
        """What the client hears: (reply to each recipient or None, last reply), as far as it comes."""
        client = session["client"]
        with smtp.Client(self.mx.port) as c:
            c.reply()
            c.hello()
            banner = c.xclient(addr=f"IPv6:{client}" if ":" in client else client)
            if banner.code != 220:
                return [banner] * len(session["to"]), banner
            greeted = c.say(f"EHLO {session['helo']}")
            if greeted.code != 250:
                return [greeted] * len(session["to"]), greeted
            told = c.transaction(session["from"], session["to"], session["message"])
            return told["rcpt"], told["last"]

    def compare(self, name, session):
        told = self.explain(session).json
        rcpts, last = self.send(session)
        groups = []
        for recipient, reply in zip(told["recipients"], rcpts):
            if reply.code != 250:
                self.assertEqual(self.words(recipient["reply"]), self.words(reply), told)
            else:
                groups.append(recipient)
        if groups:
            self.assertEqual(self.words(told["reply"]), self.words(last), told)
        delivered = [r for r in groups if r["action"] in ("pass", "tag")]
        if last.code == 250 and len(groups) == 1 and delivered:
            copy = self.inside.wait_for(lambda m: m.header("X-Case") == [name], name)
            tags = sorted(t.split(";")[0] for t in copy.header("X-Postern-Tag"))
            self.assertEqual(tags, sorted(told["tags"]), told)
            verdict = dict(w.split("=") for w in copy.header("X-Postern-Verdict")[0].split("; ")[1:])
            self.assertEqual(float(verdict["score"]), float(told["score"]), told)
        elif last.code == 250:
            events = {"quarantine": "quarantined", "discard": "discarded", "pass": "accepted", "tag": "accepted",
                      "reject": "quarantined", "keep": "quarantined", "tempfail": "held",
                      "hold": "held"}
            wanted = {events[recipient["action"]] for recipient in groups}
            kinds = lambda: {e["event"] for e in self.mx.command("trace", last.id, "--json").lines}
            wait_until(lambda: wanted <= kinds(), lambda: f"{wanted} in the journal, which has {kinds()}: {told}")
        steps = [s for s in told["steps"] if s["fact"] in ("rate", "greylist")]
        self.assertFalse([s for s in steps if s["result"].startswith("unknown")], told)

    def test_explain_equals_live(self):
        first = int(os.environ.get("EXPLAIN_SEED", "1")) + self.FIRST
        for seed in range(first, first + int(os.environ.get("EXPLAIN_ROUNDS", self.ROUNDS))):
            rng = random.Random(seed)
            self.mx.policy("".join(random_rule(rng) + "\n" for _ in range(rng.choice((2, 5, 10)))))
            for i in range(SESSIONS):
                name = f"seed {seed} session {i}"
                session = self.session(rng, name)
                with self.subTest(case=name, **{k: v for k, v in session.items() if k != "message"}):
                    self.compare(name, session)


class RandomAtTheBanner(Random):
    SETTINGS = {**Random.SETTINGS, "refuse_at": "banner", "connect": ("access", "dnsbl", "ptr"), "flow": "", "score": ""}
    ROUNDS, FIRST = 1, 1000


class RandomConduct(Random):
    """What the client has done before matters: mails are counted, strangers wait."""

    SETTINGS = {**Random.SETTINGS, "connect": ("access", "dnsbl", "rate", "greylist"),
                "flow": 'rate { messages = "9/1d" }  greylist { delay = 1h  window = 2h }'}
    ROUNDS, FIRST = 1, 2000

    def test_explain_equals_live(self):
        wait_until(lambda: self.mx.events("greylist read"), "the greylist to be read")
        super().test_explain_equals_live()
