"""The filters around real mail: antivirus, header, content, tag; what nobody outside may forge."""

import io
import zipfile

import mail
import signatures
import smtp
from case import FolderCase, RelayCase
from relay import Relay, Settings
from waiting import wait_until


class Antivirus(RelayCase):
    def check_refused(self, message):
        reply = smtp.send(self.mx.port, message)
        self.assertEqual(reply.code, 550, reply)
        self.assertTrue(reply.enhanced.startswith("5.7."), reply)
        self.assertTrue(reply.id, reply)

    def test_infected(self):
        zipped = _zip("report.txt", mail.eicar())
        for name, message in {
            "as the text": mail.plain("eicar text", mail.eicar().decode("ascii") + "\n"),
            "attached": mail.with_attachment(mail.eicar(), "eicar attached"),
            "in a zip": mail.with_attachment(zipped, "eicar zipped", "report.zip"),
            "in a zip in a zip": mail.with_attachment(_zip("a.zip", zipped), "eicar twice", "b.zip"),
        }.items():
            with self.subTest(eicar=name):
                self.check_refused(message)
        self.assertEqual(smtp.send(self.mx.port, mail.plain("after the infected")).code, 250)
        self.inside.wait_subject("after the infected")
        self.assertFalse([m for m in self.inside.kept() if "eicar" in "".join(m.header("Subject"))])

    def test_clean_passes_unchanged(self):
        message = mail.with_attachment(bytes(range(256)) * 300, "clean attachment")
        self.assertEqual(smtp.send(self.mx.port, message).code, 250)
        self.assertTrue(self.inside.wait_subject("clean attachment").bytes.endswith(message))


class Actions(FolderCase):
    def test_infected_tagged(self):
        relay, gateway = self.pair(antivirus='infected = "tag"')
        self.assertEqual(smtp.send(relay.port, mail.with_attachment(mail.eicar(), "tagged virus")).code, 250)
        kept = gateway.wait_subject("tagged virus")
        self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("tag;"))
        self.assertIn("by=antivirus", kept.header("X-Postern-Tag")[0])

    def test_infected_tempfail_for_the_flow(self):
        relay, _ = self.pair(flow='filter "antivirus" { infected = "tempfail" }')
        reply = smtp.send(relay.port, mail.with_attachment(mail.eicar()))
        self.assertEqual((reply.code // 100, reply.enhanced[:1]), (4, "4"), reply)

    def test_without_antivirus(self):
        relay, gateway = self.pair(filters=("header", "content", "tag"))
        self.assertEqual(smtp.send(relay.port, mail.with_attachment(mail.eicar(), "unscanned")).code, 250)
        gateway.wait_subject("unscanned")


class Reload(FolderCase):
    def test_new_signatures_while_running(self):
        folder = signatures.write(self.path("databases"))
        gateway = self.starting(self.gateway())
        relay = self.starting(Relay(self.folder, folder, Settings(gateways=[(gateway.address, 10)])))
        bad = mail.with_attachment(b"a thing that nobody knew yesterday")
        self.assertEqual(smtp.send(relay.port, bad).code, 250)
        signatures.add(folder, "Postern-Test-New", b"a thing that nobody knew yesterday")
        reply = wait_until(lambda: (lambda r: r if r.code == 550 else None)(smtp.send(relay.port, bad)),
                           "the new signature", 60)
        self.assertIn("Postern-Test-New", reply.text)
        # What cannot be loaded changes nothing, and is told.
        with open(self.path("databases", "broken.ndb"), "w", encoding="ascii") as f:
            f.write("no signature at all\n")
        wait_until(lambda: "cannot be loaded" in relay.command("status").out, "status to tell it")
        self.assertEqual(smtp.send(relay.port, bad).code, 550)
        self.assertEqual(smtp.send(relay.port, mail.plain("clean as before")).code, 250)


class Tags(RelayCase):
    SETTINGS = {"score": "tag = 4"}
    POLICY = "tag invoice body /overdue invoice/i\nscore 5 pills subject /cheap pills/\n"

    def kept(self, message, subject):
        self.assertEqual(smtp.send(self.mx.port, message).code, 250)
        return self.inside.wait_subject(subject)

    def test_tagged(self):
        kept = self.kept(mail.plain("doubtful", "an overdue invoice\n"), "doubtful")
        self.assertRegex(kept.header("X-Postern-Tag")[0], r'^invoice; by=policy; score=0(\.0)?; why="[^"]+"$')
        self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("tag; score=0"))

    def test_untagged(self):
        kept = self.kept(mail.plain("harmless"), "harmless")
        self.assertEqual(kept.header("X-Postern-Tag"), [])
        self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("pass; score=0"))
        self.assertEqual(kept.header("X-Spam-Flag"), [])

    def test_spam_flag(self):
        kept = self.kept(mail.plain("cheap pills"), "cheap pills")
        self.assertEqual(kept.header("X-Spam-Flag"), ["YES"])
        self.assertIn("score=5", kept.header("X-Postern-Verdict")[0])

    def test_ours_stand_above_theirs(self):
        message = mail.plain("order of headers", "an overdue invoice\n")
        kept = self.kept(message, "order of headers")
        ours = kept.bytes[: -len(message)]
        self.assertEqual(kept.bytes[len(ours):], message)
        for name in (b"Received:", b"X-Postern-Tag:", b"X-Postern-Verdict:"):
            self.assertIn(name, ours)

    def test_forged(self):
        forgeries = {
            "plain": "X-Postern-Verdict: pass; forged\n",
            "case": "x-POSTERN-tag: forged\n",
            "folded": "X-Postern-Tag:\n\tforged;\n forged\n",
            "blank before the colon": "X-Postern-Seal : forged\nX-Spam-Flag\t: forged\n",
            "spam flag": "X-Spam-Flag: forged\n",
            "unknown of ours": "X-Postern-Anything: forged\n",
            "many": "X-Postern-Tag: forged\n" * 50,
            "last": "X-Last: stays\nX-Postern-Verdict: forged\n",
        }
        for name, headers in forgeries.items():
            with self.subTest(forgery=name):
                subject = f"forged {name}"
                kept = self.kept(mail.plain(subject, "Hello.\n", headers + "X-Spam-Score: stays\n"), subject)
                top = kept.bytes.partition(b"\r\n\r\n")[0].replace(b"forged " + name.encode(), b"")
                self.assertNotIn(b"forged", top)
                self.assertEqual(kept.header("X-Spam-Score"), ["stays"])
                self.assertEqual(len(kept.header("X-Postern-Verdict")), 1)

    def test_rules_do_not_see_what_was_removed(self):
        self.mx.policy("reject header X-Postern-Tag /./\nreject header X-Spam-Flag /./\n" + self.POLICY)
        self.addCleanup(self.mx.policy, self.POLICY)
        self.kept(mail.plain("unseen", headers="X-Spam-Flag: YES\nX-Postern-Tag: x\n"), "unseen")

    def test_authentication_results(self):
        kept = self.kept(mail.plain("results", headers="Authentication-Results: mx.test.example; spf=pass\n"
                                    "Authentication-Results: other.example; spf=pass\n"), "results")
        found = kept.header("Authentication-Results")
        self.assertEqual([r for r in found if r.startswith("mx.test.example") and "spf=pass" in r], [])
        self.assertIn("other.example; spf=pass", found)


class Strip(FolderCase):
    def test_strip_tags(self):
        relay, gateway = self.pair(flow="strip_tags = true", policy="tag invoice body /overdue/\n")
        self.assertEqual(smtp.send(relay.port, mail.plain("stripped", "overdue\n")).code, 250)
        kept = gateway.wait_subject("stripped")
        self.assertEqual(kept.header("X-Postern-Tag") + kept.header("X-Postern-Verdict"), [])


def _zip(name, content):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(name, content)
    return made.getvalue()
