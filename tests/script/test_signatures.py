"""New signatures while mail flows: nobody waits for them, and what cannot be loaded changes nothing but `status`."""

import os
import threading
import time
import unittest

import mail
import signatures
import smtp
from case import FolderCase
from relay import Relay, Settings, is_alive
from waiting import wait_until

OTHERS = {"lookup", "spool", "journal", "front", "supervisor"}


def spoil(folder):
    """A database that cannot be loaded, and the others of its folder with it; returns its name."""
    path = os.path.join(folder, "broken.ndb")
    with open(path, "w", encoding="ascii") as f:
        f.write("No-Hex-At-All:0:*:this is no signature\n")
    os.chmod(path, 0o644)
    return path


class Load:
    """Clients that send bad and good mail until they are stopped; every answer with its time."""

    KINDS = {"bad": 550, "clean": 250}

    def __init__(self, port):
        self.port, self.is_over, self.answers = port, threading.Event(), []
        self.threads = [threading.Thread(target=self._run, args=(kind,)) for kind in ("bad", "clean", "bad")]
        for t in self.threads:
            t.start()

    def _run(self, kind):
        message = mail.with_attachment(mail.eicar(), "bad one") if kind == "bad" else mail.plain("clean one")
        while not self.is_over.is_set():
            code = smtp.send(self.port, message).code
            self.answers.append((time.monotonic(), kind, code))

    def stop(self):
        self.is_over.set()
        for t in self.threads:
            t.join()

    def wrong(self):
        return [(kind, code) for _, kind, code in self.answers if code != self.KINDS[kind]]


class RenewalCase(FolderCase):
    FILTERS = ("antivirus",)

    def sections(self):
        return ""

    def setUp(self):
        super().setUp()
        self.gateway_ = self.starting(self.gateway())
        self.mx = self.starting(Relay(self.folder, signatures.write(self.path("databases")),
                                      Settings(gateways=[(self.gateway_.address, 10)], filters=self.FILTERS, sections=self.sections())))
        self.before = self.mx.roles()

    def problems(self):
        return [p["what"] for p in self.mx.command("status", "--json").json["problems"]]

    def check_role(self):
        """The filter role of `status`: one, up, never restarted."""
        found = [r for r in self.mx.command("status", "--json").json["roles"] if r["role"] == "filter"]
        self.assertEqual([(r["state"], r["restarts"]) for r in found], [("up", 0)])
        return found[0]["pid"]

    def wait_refusal(self):
        wait_until(lambda: "new signatures cannot be loaded, the old ones stay" in self.problems(), "status to tell it")

    def under_load(self, steps):
        load = Load(self.mx.port)
        try:
            wait_until(lambda: len(load.answers) > 5, "the load to begin")
            steps()
            n = len(load.answers)
            wait_until(lambda: len(load.answers) > n + 5, "the load to go on")
        finally:
            load.stop()
        self.assertEqual(load.wrong(), [], "somebody was told something else, 451 perhaps")
        self.assertFalse([m for m in self.gateway_.kept() if "bad one" in m.header("Subject")])
        after = self.mx.roles()
        self.assertEqual({r: after[r] for r in OTHERS}, {r: self.before[r] for r in OTHERS}, "a role was restarted")
        self.assertEqual(self.mx.events("role died"), [])
        self.assertEqual([e for e in self.mx.events("worker died") if e.get("signal", 0) != 0], [], "a worker was killed")


class Renewal(RenewalCase):
    def test_new_signatures(self):
        """Twice, so that both places of the role serve; the old process has gone each time."""
        def steps():
            for i in range(2):
                old = self.check_role()
                thing = f"a thing that came with version {i}".encode("ascii")
                signatures.add(self.mx.signatures, f"Postern-Test-{i}", thing)
                wait_until(lambda: smtp.send(self.mx.port, mail.with_attachment(thing)).code == 550, f"version {i}")
                wait_until(lambda: not is_alive(old), "the old one to end")
                self.assertNotEqual(self.check_role(), old)
                self.assertEqual(self.problems(), [])

        self.under_load(steps)
        self.assertEqual(len(self.mx.events("new signatures")), 2)

    def test_broken_signatures(self):
        """Under load the old ones stay in force and `status` says so; the next good ones are taken."""
        def steps():
            old = self.check_role()
            broken = spoil(self.mx.signatures)
            self.wait_refusal()
            self.assertEqual(self.check_role(), old)
            self.assertEqual(self.mx.roles()["filter"], [old], "the one that failed has not gone")
            self.assertTrue(self.mx.events("new signatures refused"))
            self.assertEqual(smtp.send(self.mx.port, mail.with_attachment(mail.eicar())).code, 550)
            os.unlink(broken)
            wait_until(lambda: not self.problems(), "the next good ones")
            self.assertNotEqual(self.check_role(), old)

        self.under_load(steps)


class BesideAnUnloadedFilter(RenewalCase):
    """A filter that cannot be loaded does not keep new signatures from the others."""
    FILTERS = ("antivirus", "without")

    def sections(self):
        broken = self.path("broken")
        os.mkdir(broken)
        os.chmod(broken, 0o755)
        spoil(broken)
        return f'filter "without" {{ plugin = "clamav"  databases = "{broken}"  failure = "tag" }}'

    def check_mail(self):
        wait_until(lambda: smtp.send(self.mx.port, mail.with_attachment(mail.eicar())).code == 550, "the scanner to be back")
        self.assertEqual(smtp.send(self.mx.port, mail.plain("clean")).code, 250)

    def test_renewal(self):
        """A new role whose workers cannot start changes nothing; the next one serves, and is restarted at its second
        place as at its first, where every front finds it."""
        old = self.check_role()
        folder = os.path.join(self.mx.run, "filter", "64")  # of its first worker
        with open(folder, "w", encoding="ascii"):
            pass
        signatures.add(self.mx.signatures, "Postern-Test-0", b"a thing of the first version")
        self.wait_refusal()
        self.assertEqual(self.check_role(), old)
        self.check_mail()
        os.unlink(folder)
        signatures.add(self.mx.signatures, "Postern-Test-1", b"a thing of the second version")
        wait_until(lambda: not is_alive(old), "the old one to end")
        os.kill(self.check_role(), 9)
        self.check_mail()


if __name__ == "__main__":
    unittest.main()
