"""A worker that is killed or hangs while it scans: the filter's failure action, and the next message passes."""

import os
import signal
import threading

import mail
import smtp
from case import FolderCase
from relay import children_of, is_alive
from waiting import wait_until

BIG = mail.plain("held up", "".join(f"{i:076d}\n" for i in range(40000)))  # long enough to be caught at it


class Saboteur:
    """Stops every worker as soon as it is there; with `kills`, those that were given work die at once."""

    def __init__(self, relay, kills):
        self.zygote = relay.role("filter")
        wait_until(relay.workers, "workers")
        self.kills = kills
        self.stopped = set()
        self.is_over = threading.Event()
        self.look()  # all that wait for work are stopped before anything is sent
        self.thread = threading.Thread(target=self._run, daemon=True)

    def look(self):
        for pid in children_of(self.zygote):
            if pid not in self.stopped:
                self._signal(pid, signal.SIGSTOP)
                self.stopped.add(pid)

    @staticmethod
    def _signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # gone already

    def _run(self):
        while not self.is_over.is_set():
            self.look()
            if self.kills:
                for pid in list(self.stopped):
                    self._signal(pid, signal.SIGKILL)
            self.is_over.wait(0.001)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.is_over.set()
        self.thread.join()
        for pid in self.stopped:
            if is_alive(pid):
                self._signal(pid, signal.SIGCONT)


class Worker(FolderCase):
    def sabotaged(self, kills, **settings):
        """Sends one message while every worker is stopped or killed; returns the reply and the rest."""
        settings.setdefault("antivirus", "deadline = 2s")
        relay, gateway = self.pair(**settings)
        self.assertEqual(smtp.send(relay.port, mail.plain("before")).code, 250)
        gateway.wait_subject("before")
        saboteur = Saboteur(relay, kills)
        client = smtp.Client(relay.port)
        self.addCleanup(client.close)
        client.greet()
        client.say("MAIL FROM:<alice@sender.example>", 250)
        client.say("RCPT TO:<bob@example.org>", 250)
        client.say("DATA", 354)
        saboteur.start()
        try:
            reply = client.body(BIG)
        finally:
            saboteur.stop()
        return reply, relay, gateway

    def is_refused(self, relay, message):
        """Never let through; put off at the worst, where scanning took too long."""
        reply = smtp.send(relay.port, message)
        self.assertIn(reply.code, (550, 451), reply)
        return reply.code == 550

    def check_next(self, relay, gateway):
        reply = wait_until(lambda: (lambda r: r if r.code == 250 else None)(
            smtp.send(relay.port, mail.plain("the next one"))), "the next message to pass")
        self.assertIn(f"id={reply.id}", gateway.wait_subject("the next one").header("X-Postern-Verdict")[0])
        wait_until(lambda: self.is_refused(relay, mail.with_attachment(mail.eicar())), "the scanner to work")

    def check_tempfail(self, kills):
        reply, relay, gateway = self.sabotaged(kills)
        self.assertEqual(reply.code // 100, 4, reply)
        self.assertEqual(reply.enhanced[:1], "4", reply)
        self.assertTrue(reply.id)
        self.check_next(relay, gateway)
        self.assertFalse([m for m in gateway.kept() if "held up" in m.header("Subject")])

    def test_hang_is_tempfail(self):
        self.check_tempfail(kills=False)

    def test_death_is_tempfail(self):
        self.check_tempfail(kills=True)

    def check_tag(self, kills):
        # All filters ran in the worker that failed, but only the one it was on has failed.
        reply, relay, gateway = self.sabotaged(kills, filters=("antivirus",),
                                               antivirus='deadline = 2s  failure = "tag"')
        self.assertEqual(reply.code, 250, reply)
        kept = gateway.wait_subject("held up")
        self.assertTrue([t for t in kept.header("X-Postern-Tag") if t.startswith("unscanned;")], kept.header("X-Postern-Tag"))
        self.assertTrue(kept.header("X-Postern-Verdict")[0].startswith("tag;"))
        self.check_next(relay, gateway)

    def test_hang_is_tag_where_configured(self):
        self.check_tag(kills=False)

    def test_death_is_tag_where_configured(self):
        self.check_tag(kills=True)

    def test_others_pass_meanwhile(self):
        """One worker hangs; messages that other workers get do not wait for it."""
        relay, gateway = self.pair(antivirus="deadline = 10s")
        worker = wait_until(relay.workers, "workers")[0]
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(lambda: is_alive(worker) and os.kill(worker, signal.SIGCONT))
        for i in range(10):
            reply = smtp.send(relay.port, mail.plain(f"meanwhile {i}"))
            self.assertIn(reply.code // 100, (2, 4), reply)
        self.assertTrue(gateway.wait_count(8))
