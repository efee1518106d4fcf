"""Every way a filter can fail, times every failure action: nothing passes unscanned, the relay stays up.

Plugins and the scanner here; every built-in filter in test_builtin_matrix.py.
"""

import os
import shutil
import subprocess
import unittest

import bombs
import files
import mail
import plugins
import signatures
import smtp
import tree
from case import FolderCase
from relay import Relay, Settings
from waiting import wait_until

# What the client hears, and what the gateway must see where it gets the mail at all.
ACTIONS = {"tempfail": 451, "tag": 250, "quarantine": 250}
# Two workers hang for so long each; the next message must not take as long on a busy machine.
DEADLINE = "4s" if tree.is_sanitized() else "1s"


class Matrix(FolderCase):
    def expect(self, relay, gateway, action, name, message, subject):
        reply = smtp.send(relay.port, message)
        self.assertEqual(reply.code, ACTIONS[action], f"{name}: {reply}")
        if action == "tag":
            kept = gateway.wait_subject(subject)
            tags = kept.header("X-Postern-Tag")
            self.assertTrue([t for t in tags if t.startswith("unscanned;")], f"{name}: {tags}")
            self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("tag;"), name)
        elif action == "quarantine":
            wait_until(lambda: [q for q in relay.command("quarantine", "list", "--json").lines if q["subject"] == subject],
                       f"{name} to be in quarantine")
            self.assertFalse([m for m in gateway.kept() if subject in m.header("Subject")], name)

    def check_alive(self, relay, gateway, roles, subject):
        self.assertEqual(smtp.send(relay.port, mail.plain(subject)).code, 250)
        kept = gateway.wait_subject(subject)
        self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("pass;"), kept.header("X-Postern-Tag"))
        self.assertEqual(smtp.send(relay.port, mail.plain("bad", headers="X-Bad: 1\n")).code, 550)
        self.assertEqual(relay.roles(), roles, "a role was restarted")


class Plugin(Matrix):
    """A third-party filter that crashes, hangs, eats memory, breaks out."""

    def check(self, action):
        folder = plugins.trouble(self.folder)
        relay, gateway = self.pair(
            filters=("trouble",),
            sections=f'plugins = "{folder}"\nfilter "trouble" {{ failure = "{action}"  deadline = {DEADLINE}  '
                     f'max_failures = 1000 }}')
        roles = relay.roles()
        for kind in plugins.KINDS + (plugins.OWNED if action == "tempfail" else ()):
            with self.subTest(kind=kind, failure=action):
                subject = f"{kind} {action}"
                died = len(relay.events("worker died"))
                self.expect(relay, gateway, action, kind, mail.plain(subject, headers=f"X-Trouble: {kind}\n"), subject)
                self.check_alive(relay, gateway, roles, f"after {kind}")
                self.assertGreaterEqual(len(relay.events("worker died")), died, "lines of the log are lost")

    def test_tempfail(self):
        self.check("tempfail")

    def test_tag(self):
        self.check("tag")

    def test_quarantine(self):
        self.check("quarantine")

    def test_others_are_heard(self):
        """The filter that fails fails alone: what the others find counts, before it and behind it."""
        folder = plugins.trouble(self.folder, "one")
        plugins.trouble(self.folder, "two")
        relay, _ = self.pair(
            filters=("one", "antivirus", "two"),
            sections=f'plugins = "{folder}"\nfilter "one" {{ failure = "tag" }}\n'
                     'filter "two" { failure = "tag"  bad = "tag" }')
        for kind in ("crash", "failure"):
            bad = mail.with_attachment(mail.eicar(), headers=f"X-Trouble: {kind}\n")
            self.assertEqual(smtp.send(relay.port, bad).code, 550, kind)


class Breaker(Matrix):
    """Whether a filter is broken, a mail of the relay's own tells: not what somebody sends."""

    def frail(self, deadline):
        self.switch = plugins.Switch(self.folder)
        return self.pair(
            filters=("trouble", "header"),
            sections=f'plugins = "{self.switch.plugins}"\n'
                     f'filter "trouble" {{ failure = "tag"  deadline = {deadline}  max_failures = 2  pause = 1s }}')

    def test_open_and_back(self):
        relay, gateway = self.frail(DEADLINE)

        def problems():
            return [p["what"] for p in relay.command("status", "--json").json["problems"] if "trouble" in p["what"]]

        self.switch.set("all hang")
        smtp.send(relay.port, mail.plain("hang"))  # costs two workers
        wait_until(lambda: any("2 times in a row" in p for p in problems()), "status to tell it")
        # Nobody waits for the deadline: all is tagged at once.
        workers = len(relay.events("worker died"))
        for i in range(5):
            self.expect(relay, gateway, "tag", "open", mail.plain(f"open {i}"), f"open {i}")
        died = relay.events("worker died")[workers:]
        self.assertEqual([e for e in died if e.get("id") != "trial" and e["role"] == "front"], [], "mail has cost a worker")
        # Back by itself when a trial works, without any mail.
        self.switch.set("fine")
        wait_until(lambda: relay.events("filter works again"), "a trial to work")
        wait_until(lambda: not problems(), "status to forget it")
        self.assertEqual(smtp.send(relay.port, mail.plain("bad", headers="X-Bad: 1\n")).code, 550)
        self.assertEqual([e["filter"] for e in relay.events("filter works again")], ["trouble"])

    def test_messages_at_fault(self):
        """Whoever sends what a filter fails at, however often, takes it from nobody else."""
        relay, gateway = self.frail("20s")
        for i in range(6):
            for kind in ("crash", "failure"):
                self.expect(relay, gateway, "tag", kind, mail.plain(f"{kind} {i}", headers=f"X-Trouble: {kind}\n"), f"{kind} {i}")
                # The crash has cost two workers, a trial follows.
                wait_until(lambda n=i: len(relay.events("filter fails at some messages")) > n, "the log to tell it")
            self.assertEqual(smtp.send(relay.port, mail.plain("bad", headers="X-Bad: 1\n")).code, 550)
        self.assertEqual(relay.events("filter not asked any more"), [])


class Antivirus(Matrix):
    """The scanner: bombs, a full folder, no signatures.  New ones while it works: test_signatures."""

    def scanner(self, action, databases=None, words="", **settings):
        gateway = self.starting(self.gateway())
        settings = Settings(gateways=[(gateway.address, 10)], filters=("antivirus",),
                            antivirus=f'failure = "{action}"  unscannable = "{action}"  malformed = "{action}"  '
                                      f'max_failures = 1000 {words}', **settings)
        relay = Relay(self.folder, databases or signatures.write(self.path("databases")), settings)
        return relay, gateway

    def test_bombs(self):
        """With something bad deep inside, too: either it is found, or the mail is known not to have been seen whole."""
        relay, gateway = self.scanner("tempfail", words="deadline = 30s  max_scan = 30M  max_file = 20M  max_files = 500")
        self.starting(relay)
        roles = relay.roles()
        for name, bomb in {
            "nested": bombs.nested(20),
            "nested with eicar": bombs.nested(20, inside=mail.eicar()),
            "flat": files.zipped(("zeros", bytes(200 << 20))),
            "flat bz2": bombs.flat_bz2(20),
            "flat tar.gz": bombs.flat_tar_gz(1, "last"),
            "flat, eicar last": files.zipped(("zeros", bytes(200 << 20)), ("last", mail.eicar())),
            "many": files.zipped(*[(f"f{i}", b"x") for i in range(2000)], ("last", mail.eicar())),
            "overlapping": bombs.overlapping(400, 1 << 20),
            "one for all": bombs.one_for_all(600, 1 << 20),
            "quoted sizes": bombs.lying(mail.eicar()),
        }.items():
            with self.subTest(bomb=name):
                reply = smtp.send(relay.port, mail.with_attachment(bomb, f"bomb {name}", "bomb.zip"))
                self.assertIn(reply.code // 100, (4, 5), f"{name}: {reply}")
                self.assertEqual(smtp.send(relay.port, mail.plain("next")).code, 250)
                self.assertEqual(relay.roles(), roles)
        self.assertFalse([m for m in gateway.kept() if "bomb" in "".join(m.header("Subject"))])

    def check_no_signatures(self, action):
        os.makedirs(self.path("databases"))
        os.chmod(self.path("databases"), 0o755)
        with open(self.path("databases", "empty.ndb"), "w", encoding="ascii"):
            pass
        relay, gateway = self.scanner(action, self.path("databases"), domains='domain "held.example" { gateway = "inside" '
                                      'filter "antivirus" { failure = "hold" } }')
        self.starting(relay)
        self.assertEqual(smtp.send(relay.port, mail.plain("held"), to="a@held.example").code, 250)
        self.expect(relay, gateway, action, "no signatures", mail.plain("unseen"), "unseen")
        self.assertTrue(relay.command("status", "--json").json["problems"])
        os.unlink(self.path("databases", "empty.ndb"))  # libclamav refuses the folder for its sake
        signatures.write(self.path("databases"))
        wait_until(lambda: smtp.send(relay.port, mail.with_attachment(mail.eicar())).code == 550, "the signatures")
        gateway.wait_subject("held")  # filtered again

    def test_no_signatures_tempfail(self):
        self.check_no_signatures("tempfail")

    def test_no_signatures_quarantine(self):
        self.check_no_signatures("quarantine")

    def test_no_signatures_tag(self):
        self.check_no_signatures("tag")

    @unittest.skipUnless(os.geteuid() == 0, "only root may mount a file system")
    def test_full_folder(self):
        for action in ACTIONS:
            with self.subTest(failure=action):
                self.check_full_folder(action)
            self.doCleanups()
            shutil.rmtree(self.folder)
            os.makedirs(self.folder, 0o755)

    def check_full_folder(self, action):
        relay, gateway = self.scanner(action, words="max_scan = 8M  max_file = 8M")
        os.makedirs(relay.run, 0o755, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", relay.run], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest(done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", relay.run], check=False, capture_output=True)
        self.starting(relay)
        roles = relay.roles()
        self.assertEqual(smtp.send(relay.port, mail.plain("room")).code, 250)
        with open(os.path.join(relay.run, "filler"), "wb") as f:
            try:
                while True:
                    f.write(bytes(65536))
                    f.flush()
            except OSError:
                pass
        zipped = files.zipped(("a.bin", os.urandom(3 << 20)), ("b", mail.eicar()))
        self.expect(relay, gateway, action, "full", mail.with_attachment(zipped, "full zip", "a.zip"), "full zip")
        self.expect(relay, gateway, action, "full", mail.plain("full plain"), "full plain")
        os.unlink(os.path.join(relay.run, "filler"))
        wait_until(lambda: smtp.send(relay.port, mail.with_attachment(mail.eicar())).code == 550, "the scanner to work")
        self.assertEqual(relay.roles(), roles)
