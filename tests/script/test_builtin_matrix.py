"""Each built-in filter × {crash, hang, memory bomb, zip bombs, full temp folder, empty database, database replaced
under load}: its failure action or its outcome, nothing passes unscanned, the relay stays up.

Crash, hang and memory: the relay runs a filter role (tests/trouble) whose filters fail where the sender's address
says so. MATRIX=all (make filter-matrix) takes every filter with every failure and action, else a Latin square of them.
What only the scanner can meet is in test_filter_matrix.py.
"""

import concurrent.futures
import hashlib
import os
import subprocess
import tempfile
import threading
import unittest

import bombs
import files
import mail
import smtp
import tree
from case import FolderCase, RelayCase, signature_folder
from gateway import Gateway
from relay import Relay, Settings
from waiting import wait_until

# The section's name and the plugin's own.
FILTERS = {"antivirus": "clamav", "attachment": "attachment", "header": "header", "content": "content", "tag": "tag"}
ACTIONS = {"tempfail": 451, "tag": 250, "quarantine": 250, "hold": 250}
FAULTS = ("crash", "hang", "memory")
MOMENTS = ("early", "late")


def cells():
    """(filter, fault, moment, action): all, or a Latin square of them."""
    is_all = os.environ.get("MATRIX") == "all"
    for f, name in enumerate(FILTERS):
        for k, fault in enumerate(FAULTS):
            for a, action in enumerate(ACTIONS):
                for w, moment in enumerate(MOMENTS):
                    if is_all or ((f + k + 1) % len(ACTIONS) == a and (f + k) % len(MOMENTS) == w):
                        yield name, fault, moment, action


class Faults(RelayCase):
    """One relay; a domain for each failure action."""

    @classmethod
    def setUpClass(cls):
        cls.class_folder = tempfile.mkdtemp(prefix="Faults-", dir=os.path.dirname(signature_folder()))
        os.chmod(cls.class_folder, 0o755)
        cls.inside = Gateway(os.path.join(cls.class_folder, "gateway")).start()
        cls.addClassCleanup(cls.inside.stop)
        domains = "\n".join(
            f'domain "{action}.example" {{ gateway = "inside" '
            + " ".join(f'filter "{name}" {{ failure = "{action}" }}' for name in FILTERS) + " }" for action in ACTIONS)
        # Four wait for it at a time, each of five filters; none but those that hang may meet it.
        common = f"deadline = {'4s' if tree.is_sanitized() else '2s'}  max_failures = 1000000"
        cls.mx = Relay(cls.class_folder, signature_folder(), Settings(
            gateways=[(cls.inside.address, 10)], filters=tuple(FILTERS), domains=domains, antivirus=common, retry="1h",
            sections="\n".join(f'filter "{name}" {{ {common} }}' for name in FILTERS if name != "antivirus")))
        cls.mx.program = tree.TROUBLED
        cls.addClassCleanup(cls.mx.stop)
        cls.mx.start()

    def send(self, cell, message, until=""):
        name, fault, moment, action = cell
        return smtp.send(self.mx.port, message, sender=f"{fault}.{moment}.{FILTERS[name]}{until}@sender.example",
                         to=f"bob@{action}.example")

    def check(self, cell, reply):
        name, _, _, action = cell
        subject = " ".join(cell)
        self.assertEqual(reply.code, ACTIONS[action], reply)
        if action == "tag":
            kept = self.inside.wait_subject(subject)
            unscanned = [t for t in kept.header("X-Postern-Tag") if t.startswith("unscanned;")]
            self.assertEqual([t.split(";")[1] for t in unscanned], [f" by={name}"], kept.header("X-Postern-Tag"))
            self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("tag;"))
        elif action == "tempfail":
            self.assertIn("could not be checked", reply.text)
        else:
            wait_until(lambda: subject in self.quarantined(), f"{subject} in quarantine")
        if action != "tag":
            self.assertFalse([m for m in self.inside.kept() if subject in m.header("Subject")])

    def quarantined(self):
        return [q["subject"] for q in self.mx.command("quarantine", "list", "--json").lines]

    def test_faults(self):
        roles = self.mx.roles()
        all_cells = [c for c in cells() if c[3] != "hold"]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda c: self.send(c, mail.plain(" ".join(c))), all_cells))
        for cell, reply in zip(all_cells, replies):
            with self.subTest(cell=" ".join(cell)):
                self.check(cell, reply)
        # All is well behind it, and nothing but workers has died.
        self.assertEqual(smtp.send(self.mx.port, mail.plain("next")).code, 250)
        self.assertTrue(self.inside.wait_subject("next").header("X-Postern-Verdict")[0].startswith("pass;"))
        self.assertEqual(smtp.send(self.mx.port, mail.with_attachment(mail.eicar())).code, 550)
        self.assertEqual(self.mx.roles(), roles, "a role was restarted")

    def test_hold(self):
        """What a filter's failure holds is filtered again when that filter works, and goes where it belongs."""
        roles = self.mx.roles()
        # One filter after the other: none of its mail is tried again for the sake of another's.
        for number, name in enumerate(FILTERS, 1):
            held = [c for c in cells() if c[0] == name and c[3] == "hold"]
            if held:
                with self.subTest(filter=name):
                    self.check_hold(held, number)
        self.assertEqual(self.mx.roles(), roles, "a role was restarted")

    def check_hold(self, held, number):
        name = held[0][0]
        messages = [(c, mail.plain(" ".join(c))) for c in held]
        if name == "antivirus":
            messages.append((held[0], mail.with_attachment(mail.eicar(), "held and bad")))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda m: self.send(*m, until=f".{number}"), messages))
        self.assertEqual([r.code for r in replies], [250] * len(replies), replies)
        queue = {m["id"]: m for m in self.mx.command("queue", "list", "--json").lines}
        for reply in replies:
            self.assertEqual(queue[reply.id]["state"], "held", queue)
            self.assertIn(f"filter {name}: failure", queue[reply.id]["last_reply"])
        self.assertFalse([m for m in self.inside.kept() if " hold" in "".join(m.header("Subject"))
                          and name in "".join(m.header("Subject"))])
        self.assertEqual(smtp.send(self.mx.port, mail.plain("well again"), sender=f"well.{number}@sender.example").code, 250)
        for cell in held:
            kept = self.inside.wait_subject(" ".join(cell))
            self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("pass;"), kept.header("X-Postern-Verdict"))
            self.assertEqual(kept.header("X-Postern-Tag"), [])
        wait_until(lambda: not self.mx.command("queue", "list", "--json").lines, "the queue to be empty")
        if name == "antivirus":
            self.assertIn("held and bad", self.quarantined())
            self.assertFalse([m for m in self.inside.kept() if m.header("Subject") == ["held and bad"]])

    def test_others_are_heard(self):
        """What the other filters find counts, whoever fails and whatever may be done then."""
        for name in FILTERS:
            bad = mail.eicar() if name != "antivirus" else files.program()
            with self.subTest(filter=name):
                reply = self.send((name, "crash", "late", "tag"), mail.with_attachment(bad))
                self.assertEqual(reply.code, 550, reply)


class Bombs(RelayCase):
    """Archives that unpack without end, through the filters that are no scanner."""

    SETTINGS = {
        "filters": ("attachment", "header", "content", "tag"),
        "sections": 'filter "attachment" { limit = "tempfail"  malformed = "tempfail"  max_failures = 1000000 }\n'
                    'filter "header" { match = {"X-Test: /known by header/"}  matched = "reject" }\n'
                    'filter "content" { subject = {"/known by content/"}  matched = "reject" }'}
    BOMBS = {
        "nested": lambda: bombs.nested(20),
        "flat bz2": lambda: bombs.flat_bz2(100),
        "flat tar.gz": lambda: bombs.flat_tar_gz(2, "last.exe"),
        "overlapping": lambda: bombs.overlapping(400, 1 << 20),
        "one for all, a program last": lambda: bombs.one_for_all(600, 1 << 20, b"last.exe"),
        "large dictionaries": lambda: bombs.large_dictionary(4),
        "quoted sizes": lambda: bombs.lying(files.program()),
    }
    MORE = {
        "flat zip": lambda: files.zipped(("zeros", bytes(200 << 20))),
        "flat gz": lambda: bombs.flat_gz(4),
        "overlapping, a program last": lambda: bombs.overlapping(400, 1 << 20, b"last.exe"),
        "many": lambda: files.zipped(*[(f"f{i}", b"x") for i in range(21000)], ("last.exe", b"x")),
    }

    def send(self, name, bomb, headers=""):
        return smtp.send(self.mx.port, mail.with_attachment(bomb, f"bomb {name}", "bomb.dat", headers))

    def test_bombs(self):
        roles = self.mx.roles()
        is_all = os.environ.get("MATRIX") == "all"
        for name, make in {**self.BOMBS, **(self.MORE if is_all else {})}.items():
            if name == "large dictionaries" and tree.is_sanitized():
                continue  # its allocator reports what it cannot give, as if that were a fault
            with self.subTest(bomb=name):
                reply = self.send(name, make())
                self.assertIn(reply.code, (451, 550), reply)
                self.assertIn("by attachment", reply.text)
                if is_all:
                    print(f"\n    {name}: {reply}", end="")
        self.assertEqual(self.mx.events("worker died"), [])
        self.assertEqual(self.mx.roles(), roles)
        self.assertFalse([m for m in self.inside.kept() if "bomb" in "".join(m.header("Subject"))])

    def test_others_see_what_is_theirs(self):
        """A bomb takes nothing away from what stands before it."""
        bomb = bombs.nested(20)
        for found, subject, headers in (("header", "x", "X-Test: known by header\n"), ("content", "known by content", "")):
            reply = self.send(subject, bomb, headers)
            self.assertEqual(reply.code, 550, reply)
            self.assertIn(f"refused by {found}", reply.text)


class Databases(FolderCase):
    """attachment's list of hashes; header and content have their patterns in the configuration."""

    KNOWN = {i: f"a thing that came with version {i}".encode("ascii") for i in range(3)}

    def sums(self, versions):
        lines = "".join(hashlib.sha256(self.KNOWN[i]).hexdigest() + "\n" for i in versions)
        self.write("sums.new", lines)
        os.rename(self.path("sums.new"), self.path("sums"))

    def pair_of(self, action="tempfail", pattern="known 0"):
        gateway = self.starting(self.gateway())
        relay = Relay(self.folder, signature_folder(), Settings(
            gateways=[(gateway.address, 10)], filters=("attachment", "header", "content", "tag"),
            sections=f'filter "attachment" {{ hashes = "{self.path("sums")}"  failure = "{action}" }}\n'
                     f'filter "content" {{ subject = {{"/{pattern}/"}}  matched = "reject" }}\n'
                     f'filter "header" {{ match = {{"X-Test: /{pattern}/"}}  matched = "reject" }}'))
        return relay, gateway

    def test_empty(self):
        """A list that is empty blocks nothing."""
        self.sums([])
        relay, gateway = self.pair_of("tag")
        self.starting(relay)
        self.assertEqual(smtp.send(relay.port, mail.with_attachment(self.KNOWN[0], "empty list")).code, 250)
        self.assertEqual(gateway.wait_subject("empty list").header("X-Postern-Tag"), [])

    def test_missing(self):
        """Whoever names a list that is not there is told so before any mail comes."""
        relay, _ = self.pair_of()
        done = relay.command("check")
        self.assertEqual(done.status, 78, done)
        self.assertIn(self.path("sums"), done.err)
        with self.assertRaisesRegex(AssertionError, "status 78"):
            relay.start()

    def test_replaced_under_load(self):
        """postern reload takes the new list, the new patterns: what is bad in both is refused all the time."""
        self.sums([0])
        relay, gateway = self.pair_of()
        self.starting(relay)
        is_over = threading.Event()
        bad = {"hash": lambda: mail.with_attachment(self.KNOWN[0], "bad hash"),
               "content": lambda: mail.plain("known 0 bad"),
               "header": lambda: mail.plain("bad header", headers="X-Test: known 0\n"),
               "clean": lambda: mail.plain("clean one")}
        seen = {kind: [] for kind in bad}

        def load(kind):
            while not is_over.is_set():
                try:
                    seen[kind].append(smtp.send(relay.port, bad[kind]()).code)
                except (AssertionError, OSError):
                    pass  # a front that is replaced hangs up

        threads = [threading.Thread(target=load, args=(kind,)) for kind in bad]
        for t in threads:
            t.start()
        try:
            self.sums([0, 1])  # the list alone
            self.assertEqual(relay.reload().status, 0)
            wait_until(lambda: smtp.send(relay.port, mail.with_attachment(self.KNOWN[1])).code == 550, "the new list")
            relay.settings.sections = relay.settings.sections.replace("known 0", "known [02]")
            relay.write()
            self.assertEqual(relay.reload().status, 0)
            wait_until(lambda: smtp.send(relay.port, mail.plain("known 2")).code == 550, "the new pattern")
        finally:
            is_over.set()
            for t in threads:
                t.join()
        for kind in ("hash", "content", "header"):
            self.assertTrue(seen[kind])
            self.assertEqual(set(seen[kind]) - {550, 451, 421}, set(), kind)
        self.assertIn(250, seen["clean"])
        self.assertFalse([m for m in gateway.kept() if "bad" in "".join(m.header("Subject"))])


class FullFolder(FolderCase):
    """The filters that need no temporary folder work without one."""

    @unittest.skipUnless(os.geteuid() == 0, "only root may mount a file system")
    def test_full(self):
        gateway = self.starting(self.gateway())
        relay = Relay(self.folder, signature_folder(), Settings(
            gateways=[(gateway.address, 10)], filters=("attachment", "header", "content", "tag"),
            sections='filter "header" { match = {"X-Test: /bad/"}  matched = "reject" }\n'
                     'filter "content" { subject = {"/known bad/"}  matched = "reject" }\n'
                     'filter "tag" { subject = "[marked]" }'))
        os.makedirs(relay.run, 0o755, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", relay.run], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest(done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", relay.run], check=False, capture_output=True)
        self.starting(relay)
        roles = relay.roles()
        with open(os.path.join(relay.run, "filler"), "wb") as f:
            try:
                while True:
                    f.write(bytes(65536))
                    f.flush()
            except OSError:
                pass
        packed = files.zipped(("a.bin", os.urandom(3 << 20)), ("b.exe", b"x"))
        for name, message in {
                "attachment": mail.with_attachment(packed, "full", "a.zip"),
                "header": mail.plain("full", headers="X-Test: bad\n"),
                "content": mail.plain("known bad")}.items():
            with self.subTest(filter=name):
                reply = smtp.send(relay.port, message)
                self.assertEqual(reply.code, 550, reply)
                self.assertIn(f"refused by {name}", reply.text)
        encrypted = mail.with_attachment(files.encrypted_zip("a.txt"), "full and tagged")
        self.assertEqual(smtp.send(relay.port, encrypted).code, 250)
        wait_until(lambda: [m for m in gateway.kept() if m.header("Subject") == ["[marked] full and tagged"]], "the marked mail")
        self.assertEqual(relay.roles(), roles)


if __name__ == "__main__":
    unittest.main()
