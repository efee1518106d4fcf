"""DNS lists of domains and the sender's domain, with the real rbldnsd and unbound."""

import json
import os

import mail
import smtp
from case import FolderCase, RelayCase
from dnslists import Nameserver, Rbldnsd
from resolver import Unbound
from waiting import wait_until

LISTED = {"dbl.test": {"bad.example": "127.0.1.2", "named.good.example": "127.0.1.4", "com": "127.0.1.9"},
          "multi.test": {"bits.example": "127.0.0.72", "9.113.0.203": "127.0.0.64", "grey.example": "127.0.0.8"},
          "host.test": {"dyn.example": "127.0.0.2"},
          "all.test": {"example": "127.0.0.2", "test": "127.0.0.2", "invalid": "127.0.0.2"}}
RECORDS = ["com. TXT exists", "test. TXT exists",
           "good.example. MX 10 mx.good.example.", "mx.good.example. A 203.0.113.25",
           "plain.example. A 203.0.113.26",
           "null.example. MX 0 .",
           "text.example. TXT nothing",
           "inner.example. MX 10 mx.inner.example.", "mx.inner.example. A 10.0.0.1",
           "mx.inner.example. AAAA fd00::1",
           "half.example. MX 10 mx.inner.example.", "half.example. MX 20 mx.good.example.",
           "1.0.0.127.in-addr.arpa. PTR here.dyn.example.", "here.dyn.example. A 127.0.0.1",
           "7.113.0.203.in-addr.arpa. PTR pool7.dyn.example.", "pool7.dyn.example. A 203.0.113.7"]


class Domains(RelayCase):
    SETTINGS = {"connect": ("access", "dnsbl", "ptr", "sender"), "filters": (), "dns_timeout": "20s", "banner_wait": "20s",
                "domains": 'domain "own.example" { gateway = "inside"  recipients = "any" }'}
    POLICY = """dnsbl host.test of host tag dynamic
dnsbl dbl.test of helo tempfail
dnsbl dbl.test of from answers 127.0.1.2-127.0.1.99 reject
dnsbl dbl.test of url whole reject
dnsbl multi.test of url addresses answers 127.0.0.&64 quarantine
dnsbl multi.test of url answers 127.0.0.&8 score 3 uribl
dnsbl all.test of from reject
dnsbl all.test of url reject
"""

    @classmethod
    def prepare(cls, folder):
        lists = Rbldnsd(os.path.join(folder, "lists"), {}, LISTED).start()
        cls.addClassCleanup(lists.stop)
        resolver = Unbound(os.path.join(folder, "unbound"), RECORDS, {zone: lists.port for zone in LISTED}).start()
        cls.addClassCleanup(resolver.stop)
        return {**cls.SETTINGS, "dns_port": resolver.port}

    def reply(self, sender="a@good.example", helo="client.example", client="203.0.113.5"):
        """The reply to RCPT."""
        c = self.client()
        c.greet()
        c.xclient(ADDR=client)
        c.hello(helo)
        c.say(f"MAIL FROM:<{sender}>", 250)
        return c.say("RCPT TO:<bob@example.org>")

    def sent(self, subject, body, **options):
        return smtp.send(self.mx.port, mail.plain(subject, body=body, **options), sender="a@good.example",
                         client="203.0.113.5")

    def recorded(self, message, event):
        """The journal's record of this event."""
        found = lambda: [e for e in self.mx.command("trace", message, "--json").lines if e["event"] == event and "why" in e]
        return wait_until(found, f"{event} in the journal")[0]

    def explain(self, *words, body=None):
        if body is not None:
            path = os.path.join(self.class_folder, "explained.eml")
            with open(path, "wb") as f:
                f.write(mail.plain("explained", body=body))
            words = (*words, "--to", "bob@example.org", path)
        done = self.mx.command("explain", "--client", "203.0.113.5", *words, "--json")
        return done.status, json.loads(done.out)

    def test_helo(self):
        self.assertEqual(self.reply().code, 250)
        listed = self.reply(helo="mail.BAD.example")
        self.assertEqual((listed.code, listed.enhanced), (450, "4.7.1"))
        self.assertIn("BAD.example is listed by dbl.test", listed.text)
        self.assertEqual(self.reply(helo="[203.0.113.5]").code, 250)

    def test_sender_listed(self):
        listed = self.reply(sender="a@x.bad.example")
        self.assertEqual((listed.code, listed.enhanced), (550, "5.7.1"))
        self.assertIn("bad.example is listed by dbl.test", listed.text)
        self.assertEqual(self.reply(sender="").code, 250)
        status, said = self.explain("--from", "a@x.bad.example")
        self.assertEqual((status, said["stage"], said["rule"]), (1, "mail", 6))
        self.assertIn("bad.example is listed by dbl.test", said["reply"])
        self.assertIn({"stage": "mail", "fact": "dnsbl", "value": "bad.example", "rule": 6, "result": "reject"},
                      said["steps"])
        event = self.recorded(listed.id, "refused")
        self.assertEqual((event["by"], event["rule"]), ("dnsbl", 6))
        self.assertIn("rule 6, bad.example: dnsbl dbl.test of from", event["why"])

    def test_host(self):
        c = self.client()
        c.greet()
        c.xclient(ADDR="203.0.113.7")
        c.hello()
        c.transaction("a@good.example", ["bob@example.org"], mail.plain("from a pool"))
        got = self.inside.wait_subject("from a pool")
        self.assertIn("dynamic", got.header("X-Postern-Tag")[0])
        named = self.client()
        named.greet()
        named.xclient(ADDR="203.0.113.5", NAME="told.dyn.example")
        named.hello()
        named.transaction("a@good.example", ["bob@example.org"], mail.plain("said to be from a pool"))
        self.assertIn("dynamic", self.inside.wait_subject("said to be from a pool").header("X-Postern-Tag")[0])

    def test_urls(self):
        text = "See https://www.good.example/ and http://x.bits.example:80/a?b.\n"
        bits = self.sent("bits", text)
        self.assertEqual(bits.code, 250)
        self.assertIn("rule 8, bits.example", self.recorded(bits.id, "quarantined")["why"])
        whole = self.sent("whole", "http://a.Named.good.example/\n")
        self.assertEqual(whole.code, 550)
        self.assertIn("a.named.good.example is listed by dbl.test", whole.text)
        html = self.sent("html", '<a href="http://3405803785/x">here</a>\n', headers="Content-Type: text/html\n")
        self.assertEqual(html.code, 250)
        self.assertIn("rule 8, 203.0.113.9", self.recorded(html.id, "quarantined")["why"])
        self.assertEqual(self.sent("good", "http://good.example/ http://192.0.2.1/\n").code, 250)
        self.inside.wait_subject("good")

    def test_held(self):
        """Held, then filtered again: its URLs are asked for again, what was known of host and sender is known still."""
        self.addCleanup(self.mx.policy, self.POLICY)
        self.mx.policy("hold subject held\n" + self.POLICY)
        held = smtp.send(self.mx.port, mail.plain("held", body="http://x.grey.example/\n"), sender="a@inner.example",
                         client="203.0.113.7")
        self.assertEqual(held.code, 250)
        self.recorded(held.id, "held")
        self.mx.policy(self.POLICY)
        self.mx.command("queue", "retry", held.id)
        tags = " ".join(self.inside.wait_subject("held").header("X-Postern-Tag"))
        for tag in ("uribl", "sender-private", "dynamic"):
            self.assertIn(tag, tags)

    def test_urls_explained(self):
        status, said = self.explain("--from", "a@good.example", body="http://x.bits.example/ http://good.example\n")
        self.assertEqual((status, said["action"], said["rule"]), (1, "quarantine", 8))
        self.assertIn({"stage": "data", "fact": "dnsbl", "value": "bits.example", "rule": 8, "result": "quarantine"},
                      said["steps"])
        done = self.mx.command("explain", "--client", "203.0.113.5", "--from", "a@bad.example", "--offline", "--json")
        self.assertEqual(done.status, 0)
        self.assertIn({"stage": "mail", "fact": "dnsbl", "value": "dbl.test", "rule": 6, "result": "unknown"},
                      done.json["steps"])

    def test_list_of_everything(self):
        """all.test lists INVALID: whatever it says, nobody is hurt, and status names it."""
        self.assertEqual(self.reply().code, 250)
        wait_until(lambda: [p for p in self.mx.command("status", "--json").json["problems"] if "all.test" in p["what"]],
                   "the alarm")
        zones = {z["zone"]: z for z in self.mx.command("status", "--json").json["dnsbl"]}
        self.assertEqual((zones["all.test"]["off"], zones["all.test"]["listed"], zones["dbl.test"]["off"]), (1, 0, 0))

    def test_sender_faults(self):
        for sender, code, enhanced in (
                ("a@nowhere.example", 550, "5.1.8"), ("a@null.example", 550, "5.7.27"), ("a@plain.example", 250, "2.1.5"),
                ("a@half.example", 250, "2.1.5"), ("a@text.example", 250, "2.1.5"), ("a@inner.example", 250, "2.1.5"),
                ("a@own.example", 250, "2.1.5"), ("a@[203.0.113.5]", 250, "2.1.5"), ("", 250, "2.1.5")):
            with self.subTest(sender=sender):
                reply = self.reply(sender=sender)
                self.assertEqual((reply.code, reply.enhanced), (code, enhanced))
        self.assertIn("Domain nowhere.example does not exist", self.reply(sender="a@nowhere.example").text)

    def test_sender_tags(self):
        for domain, tag in (("text.example", "sender-unreachable"), ("inner.example", "sender-private")):
            smtp.send(self.mx.port, mail.plain(domain), sender=f"a@{domain}", client="203.0.113.5")
            self.assertIn(tag, self.inside.wait_subject(domain).header("X-Postern-Tag")[0])

    def test_sender_explained(self):
        status, said = self.explain("--from", "a@null.example", "--to", "bob@example.org")
        self.assertEqual((status, said["stage"]), (1, "mail"))
        self.assertIn("550 5.7.27", said["reply"])
        self.assertIn({"stage": "mail", "fact": "sender", "value": "the sender's domain takes no mail (null MX)",
                       "rule": None, "result": "reject"}, said["steps"])

    def test_counters(self):
        self.reply(sender="b@x.bad.example")
        zones = wait_until(lambda: {z["zone"]: z for z in self.mx.command("status", "--json").json["dnsbl"]
                                    if z["listed"]}, "the counters")
        self.assertGreaterEqual(zones["dbl.test"]["listed"], 1)

    def test_query(self):
        done = self.mx.command("policy", "query", "dnsbl", "DBL.test", "--json")
        self.assertEqual([line["id"] for line in done.lines], [5, 6, 7])

    def test_commands_behind_wait(self):
        """Pipelined behind MAIL, while the lists are asked: answered in their order."""
        c = self.client()
        c.greet()
        c.xclient(ADDR="203.0.113.5")
        c.hello()
        c.send("MAIL FROM:<a@unheard-of.good.example>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<x@elsewhere.example>\r\n"
               "DATA\r\n")
        self.assertEqual([c.reply().code for _ in range(4)], [250, 550, 550, 554])
        c.say("RSET", 250)
        c.say("MAIL FROM:<a@good.example>", 250)
        c.say("RCPT TO:<bob@example.org>", 250)


def broken_resolvers():
    """name -> what a resolver answers that is broken for everything."""
    return {"denies": [], "error": "servfail", "refuses": "refused", "garbage": "garbage", "mismatch": "mismatch",
            "everything": ["127.0.0.2"], "errors": ["127.255.255.254"], "silence": None}


class Broken(FolderCase):
    """Whatever the resolver says, no good mail is refused, and none waits longer than dns.timeout."""

    def test_no_good_mail_is_refused(self):
        mood = {"answer": []}
        dns = self.starting(Nameserver(lambda _name, _kind: mood["answer"], ttl=1))
        relay, gateway = self.pair(dns_port=dns.port, dns_timeout="100ms", banner_wait="50ms", filters=(),
                                   connect=("dnsbl", "ptr", "sender"),
                                   flow='sender { missing = "reject"  null_mx = "reject" }',
                                   policy="dnsbl h.test of host reject\ndnsbl e.test of helo reject\n"
                                          "dnsbl f.test of from reject\ndnsbl u.test of url reject\n")
        for number, (name, answer) in enumerate(broken_resolvers().items()):
            mood["answer"] = answer
            reply = smtp.send(relay.port, mail.plain(name, body=f"http://u{number}.example/\n"),
                              sender=f"a@s{number}.example", helo=f"h{number}.example", client=f"198.51.100.{number}")
            self.assertEqual(reply.code, 250, f"{name}: {reply}")
        for name in broken_resolvers():
            gateway.wait_subject(name)
        self.leave_in_the_middle(relay)
        self.assertEqual(smtp.send(relay.port, mail.plain("after all"), sender="a@good.example").code, 250)
        gateway.wait_subject("after all")

    def leave_in_the_middle(self, relay):
        """Clients that go while something is asked for them, at each place where it is."""
        said = ["EHLO h99.example", "MAIL FROM:<a@s99.example>", "RCPT TO:<bob@example.org>", "DATA"]
        for last in range(-1, len(said)):
            client = smtp.Client(relay.port)
            if last >= 0:
                client.greet()
            for line in said[:last]:
                client.say(line)
            client.send(said[last] + "\r\n" if last >= 0 else "")
            if last == len(said) - 1:
                client.reply()
                client.send("Subject: gone\r\n\r\nhttp://u99.example/\r\n.\r\n")
            client.close()


class Canary(FolderCase):
    """A resolver that denies what exists accuses no sender, and `status` says so until it is well."""

    def test_denied_and_well_again(self):
        dns = self.starting(Unbound(self.path("unbound"), ["good.example. A 203.0.113.1"]))
        relay, gateway = self.pair(dns_port=dns.port, connect=("sender",), filters=())
        problems = lambda: [p["what"] for p in relay.command("status", "--json").json["problems"]
                            if "denies com" in p["what"]]
        send = lambda subject, sender: smtp.send(relay.port, mail.plain(subject), sender=sender)
        self.assertEqual(send("denied", "a@nowhere.example").code, 250)
        gateway.wait_subject("denied")
        wait_until(problems, "the alarm")
        dns.stop()
        dns.records.append("com. TXT exists")
        dns.start()
        wait_until(lambda: send("well again", "a@nowhere.example").code == 550, "denials to be believed")
        wait_until(lambda: not problems(), "the alarm to end")
