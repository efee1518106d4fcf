"""The disk is full, has no inodes, turns read-only, is slow: 452 or waiting, an alarm, and back by itself.

Each test makes a small file system of its own for state_dir. That needs root; without it the tests are skipped."""

import os
import subprocess
import threading
import unittest

import mail
import smtp
from case import FolderCase
from waiting import wait_until

MEGABYTE = mail.plain("big", body=("x" * 70 + "\r\n") * 14500)
PATIENCE_S = 120


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise unittest.SkipTest(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@unittest.skipUnless(os.geteuid() == 0, "only root may mount a file system")
class Disk(FolderCase):
    def mount(self, *words):
        """A file system where the relay's state_dir will be."""
        state = self.path("state")
        os.makedirs(state, exist_ok=True)
        run("mount", *words, state)
        self.addCleanup(self.unmount)
        os.chmod(state, 0o755)
        return state

    def unmount(self):
        subprocess.run(["umount", "-l", self.path("state")], check=False, capture_output=True)

    def problems(self, relay):
        """What status complains of, as far as it is about the disk."""
        return [p["what"] for p in relay.command("status", "--json").json["problems"]
                if "room" in p["what"] or "spool" in p["what"]]

    def greeted(self, relay):
        client = smtp.Client(relay.port)
        self.addCleanup(client.close)
        client.greet()
        return client

    def fill(self, relay, accepted):
        """Sends until the relay takes no more; the ids of what it took go to `accepted`. The refusal."""
        for number in range(400):
            reply = smtp.send(relay.port, MEGABYTE.replace(b"Subject: big", b"Subject: big %d" % number))
            if reply.code != 250:
                return reply
            accepted.add(f"big {number}")
        raise AssertionError("400 MB went into a file system that is much smaller")

    def wait_delivered(self, gateway, accepted):
        def missing():
            return accepted - {s for m in gateway.kept() for s in m.header("Subject")}
        wait_until(lambda: not missing(), lambda: f"{sorted(missing())}, which were answered 250", PATIENCE_S)

    def wait_accepts(self, relay, subject):
        wait_until(lambda: smtp.send(relay.port, mail.plain(subject)).code == 250, "mail to be taken again", PATIENCE_S)

    def check_full(self):
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, queue=""))
        accepted = set()
        reply = self.fill(relay, accepted)
        self.assertEqual((reply.code, reply.enhanced), (452, "4.3.1"), reply)
        self.assertTrue(accepted)
        wait_until(lambda: self.problems(relay), "an alarm", PATIENCE_S)
        self.assertEqual(smtp.send(relay.port, MEGABYTE).code, 452)
        return gateway, relay, accepted

    def test_full(self):
        self.mount("-t", "tmpfs", "-o", "size=230m", "tmpfs")
        gateway, relay, accepted = self.check_full()
        self.starting(gateway)
        self.wait_delivered(gateway, accepted)
        self.wait_accepts(relay, "room again")
        gateway.wait_subject("room again")
        wait_until(lambda: not self.problems(relay), "the alarm to end", PATIENCE_S)

    def test_full_and_killed(self):
        self.mount("-t", "tmpfs", "-o", "size=300m", "tmpfs")
        gateway, relay, accepted = self.check_full()
        relay.kill()
        relay.start()
        self.starting(gateway)
        self.wait_delivered(gateway, accepted)
        self.wait_accepts(relay, "room again")

    def test_somebody_else_fills_it(self):
        """Not our mail: the space goes, mail is refused early, the space comes back."""
        state = self.mount("-t", "tmpfs", "-o", "size=300m", "tmpfs")
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(gateway, queue=""))
        self.wait_accepts(relay, "before")
        with open(os.path.join(state, "hog"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"h" * 65536)
            except OSError:
                pass  # it is full
        gateway.stop()
        accepted = set()
        self.assertEqual(self.fill(relay, accepted).code, 452)
        self.starting(gateway)
        os.unlink(os.path.join(state, "hog"))
        self.wait_delivered(gateway, accepted)
        self.wait_accepts(relay, "after")

    def test_no_inodes(self):
        state = self.mount("-t", "tmpfs", "-o", "size=600m,nr_inodes=300", "tmpfs")
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, queue=""))
        hogs = []
        while os.statvfs(state).f_favail > 10:
            hogs.append(os.path.join(state, f"hog{len(hogs)}"))
            with open(hogs[-1], "wb"):
                pass
        accepted = set()
        reply = self.fill(relay, accepted)
        self.assertEqual((reply.code, reply.enhanced), (452, "4.3.1"), reply)
        wait_until(lambda: self.problems(relay), "an alarm", PATIENCE_S)
        for hog in hogs:
            os.unlink(hog)
        self.wait_accepts(relay, "inodes again")
        self.starting(gateway)
        self.wait_delivered(gateway, accepted | {"inodes again"})

    def ext4(self):
        image = self.path("image")
        with open(image, "wb") as f:
            f.truncate(400 * 1024 * 1024)
        run("mkfs.ext4", "-q", image)
        state = self.mount("-o", "loop,errors=remount-ro", image)
        device = run("findmnt", "-n", "-o", "SOURCE", state).strip()
        trigger = f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error"
        if not os.path.exists(trigger):
            raise unittest.SkipTest(f"no {trigger}")
        return image, state, trigger

    def test_turns_read_only(self):
        """The kernel has found an error: nothing can be written. What was answered 250 is there after the repair."""
        image, state, trigger = self.ext4()
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, queue=""))
        self.wait_accepts(relay, "before")
        with open(trigger, "w", encoding="ascii") as f:
            f.write("1")
        # Nothing can be made durable, not even a refusal: the client waits, and is told 451 in the end.
        client = self.greeted(relay)
        client.say("MAIL FROM:<alice@sender.example>", 250)
        client.say("RCPT TO:<bob@example.org>", 250)
        client.say("DATA", 354)
        client.send(mail.plain("in doubt") + b".\r\n")
        wait_until(lambda: self.problems(relay), "an alarm", PATIENCE_S)
        relay.kill()
        run("umount", state)
        subprocess.run(["fsck.ext4", "-y", image], check=False, capture_output=True)
        run("mount", "-o", "loop", image, state)
        relay.start()
        self.starting(gateway)
        self.wait_accepts(relay, "after")
        self.wait_delivered(gateway, {"before", "after"})

    def test_slow(self):
        """Each sync takes a second: clients wait, none is refused, nothing is lost."""
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(gateway, queue=""))
        spool = relay.role("spool")
        try:
            tracer = subprocess.Popen(
                ["strace", "-f", "-qq", "-p", str(spool), "-e", "trace=fdatasync", "-e",
                 "inject=fdatasync:delay_enter=1000000", "-o", self.path("trace")], stderr=subprocess.PIPE, text=True)
        except FileNotFoundError:
            self.skipTest("no strace")
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.terminate)
        wait_until(lambda: tracer.poll() is not None or "TracerPid:\t0" not in open(
            f"/proc/{spool}/status", encoding="ascii").read(), "strace to have the spool")
        if tracer.poll() is not None:
            self.skipTest(f"strace cannot trace here: {tracer.stderr.read()}")
        codes = []
        senders = [threading.Thread(target=lambda n=n: codes.append(
            smtp.send(relay.port, mail.plain(f"slow {n}")).code)) for n in range(20)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self.assertEqual(codes, [250] * 20)
        self.wait_delivered(gateway, {f"slow {n}" for n in range(20)})
