"""kill -9 of every process while mail of all kinds flows: service comes back, and every promise holds.

tests/soak has the load, the gateways and the ledgers that are held against each other; `make soak` does
the first of these tests for ten minutes.
"""

import os
import sys
import time
import unittest

import mail
import smtp
import tree
from case import FolderCase, signature_folder
from relay import ROLES, kill_hard
from waiting import wait_until

sys.path.append(os.path.join(tree.ROOT, "tests", "soak"))

from ledger import Arrival, Kill, Ledger, Sent  # noqa: E402
from world import BACK_S, ORDER, World  # noqa: E402

BETWEEN = 40  # messages answered 250 from one kill to the next


class Soak(FolderCase):
    def setUp(self):
        super().setUp()
        self.world = self.starting(World(self.folder, signature_folder()))
        self.world.load.wait_accepted(BETWEEN)

    def strike(self, *order):
        for what in order:
            self.world.kill(what)
            self.world.load.wait_accepted(BETWEEN)

    def end(self):
        found, _ = self.world.settle()
        self.assertTrue(found.is_good, found)
        self.assertGreater(self.world.ledger.count()["accepted_by_tls"], 0)

    def test_each_process_in_turn(self):
        self.strike(*ORDER)
        self.end()

    def test_gateways_die(self):
        self.strike(*("gateways",) * 3)
        self.end()

    def test_same_process_again_and_again(self):
        self.strike(*("front", "spool") * 3)
        self.end()

    def test_spool_dies_with_a_full_queue(self):
        """The gateways are down, so that all of the ledger has to come out of the spool's files."""
        for gateway in self.world.gateways.values():
            gateway.stop()
        self.strike("spool", "run", "spool")
        for gateway in self.world.gateways.values():
            gateway.start()
        self.end()


class Others(FolderCase):
    def test_ends_while_the_supervisor_is_away(self):
        relay, _ = self.pair()
        for role in ("front", "supervisor"):
            kill_hard(relay.role(role))
        wait_until(lambda: relay.events("supervisor died"), "postern run to see it")
        relay.stop()  # asserts status 0

    def test_every_role_is_known(self):
        """A role that is added needs a kill in tests/soak/world.py."""
        relay, _ = self.pair()
        self.assertLessEqual(set(relay.roles()), set(ROLES))
        self.assertLessEqual(set(ROLES) - {"web"}, set(ORDER))  # web: below

    def test_web(self):
        from ports import free_port
        relay, gateway = self.pair(sections=f'web {{ address = "127.0.0.1:{free_port()}" }}')
        old = relay.role("web")
        kill_hard(old)
        self.assertNotEqual(relay.role("web", BACK_S), old)
        begun = time.monotonic()
        self.assertEqual(smtp.send(relay.port, mail.plain("without web")).code, 250)
        self.assertLess(time.monotonic() - begun, BACK_S)
        gateway.wait_subject("without web")


class Judging(unittest.TestCase):
    """The ledgers themselves: each broken promise is seen, and each excuse is as narrow as it should be."""

    def judge(self, code, arrivals, kills=(), rcpt=250, waiting=(), others=0, reports=()):
        """Of one message for bob, sent at 100 and answered at 101; `others` arrive at 103.1."""
        ledger = Ledger(in_flight=4)
        sent = Sent("soak 1", 100.0)
        sent.rcpts, sent.digest = {"bob": rcpt}, "d"
        if code is not None:
            sent.answer(code, "", "ID1", 101.0)
        ledger.sent["soak 1"] = sent
        for i in range(others):
            other = Sent(f"other {i}", 100.0)
            other.rcpts, other.digest = {"bob": 250}, "d"
            other.answer(250, "", f"O{i}", 101.0)
            ledger.sent[other.subject] = other
            ledger.arrivals.append(Arrival(other.subject, "bob", "g", 103.1, "d"))
        ledger.arrivals += [Arrival("soak 1", "bob", "g", at, digest) for at, digest in arrivals]
        ledger.kills += [Kill(what, begun, begun + 0.1, begun + 1.0) for what, begun in kills]
        ledger.reports = set(reports)
        return ledger.judge(set(waiting))

    def test_table(self):
        once, twice = [(102.0, "d")], [(103.0, "d"), (105.0, "d")]
        for name, wrong, about in (
                ("delivered", None, {"code": 250, "arrivals": once}),
                ("in the queue", None, {"code": 250, "arrivals": (), "waiting": {"ID1"}}),
                ("reported", None, {"code": 250, "arrivals": (), "reports": {("soak 1", "bob")}}),
                ("another's report", "lost", {"code": 250, "arrivals": (), "reports": {("soak 1", "carol")}}),
                ("lost", "lost", {"code": 250, "arrivals": ()}),
                ("lost, and the spool died", "lost", {"code": 250, "arrivals": (), "kills": [("spool", 100.5)]}),
                ("no answer, arrived", None, {"code": None, "arrivals": once}),
                ("no answer, not arrived", None, {"code": None, "arrivals": ()}),
                ("554, arrived", "refused_arrived", {"code": 554, "arrivals": once}),
                ("554, arrived, the spool died", "refused_arrived",
                 {"code": 554, "arrivals": once, "kills": [("spool", 100.5)]}),
                ("rcpt 550, arrived", "refused_arrived", {"code": 250, "rcpt": 550, "arrivals": once}),
                ("451, arrived", "refused_arrived", {"code": 451, "arrivals": once}),
                ("451, arrived, front died", "refused_arrived",
                 {"code": 451, "arrivals": once, "kills": [("front", 100.5)]}),
                ("451, arrived, the spool died before", "refused_arrived",
                 {"code": 451, "arrivals": once, "kills": [("spool", 99.0)]}),
                ("451, arrived, the spool died", None, {"code": 451, "arrivals": once, "kills": [("spool", 100.5)]}),
                ("another body", "damaged", {"code": 250, "arrivals": [(102.0, "e")]}),
                ("twice", "duplicates", {"code": 250, "arrivals": twice}),
                ("twice, front died", "duplicates", {"code": 250, "arrivals": twice, "kills": [("front", 104.0)]}),
                ("twice, the spool died later", "duplicates",
                 {"code": 250, "arrivals": twice, "kills": [("spool", 106.0)]}),
                ("twice, the spool died before", "duplicates",
                 {"code": 250, "arrivals": twice, "kills": [("spool", 99.0)]}),
                ("twice, the spool died", None, {"code": 250, "arrivals": twice, "kills": [("spool", 104.0)]}),
                ("twice, read by the gateway when the spool was dead", None,
                 {"code": 250, "arrivals": [(104.5, "d"), (106.0, "d")], "kills": [("spool", 104.0)]}),
                ("twice, the first time when it was back", "duplicates",
                 {"code": 250, "arrivals": [(105.5, "d"), (107.0, "d")], "kills": [("spool", 104.0)]}),
                ("twice, the gateway died", None, {"code": 250, "arrivals": twice, "kills": [("gateways", 104.0)]}),
                ("451, arrived, the gateway died", "refused_arrived",
                 {"code": 451, "arrivals": once, "kills": [("gateways", 100.5)]}),
                ("twice, long settled when it died", "duplicates",
                 {"code": 250, "arrivals": twice, "kills": [("spool", 104.0)], "others": 5}),
                ("three times, one kill", "duplicates",
                 {"code": 250, "arrivals": [*twice, (106.0, "d")], "kills": [("all", 104.0)]}),
                ("three times, two kills", None,
                 {"code": 250, "arrivals": [*twice, (107.0, "d")], "kills": [("all", 104.0), ("run", 106.0)]})):
            with self.subTest(name):
                found = self.judge(**about)
                self.assertEqual([n for n in found.WRONG if getattr(found, n)], [wrong] if wrong else [])

    def test_stranger(self):
        ledger = Ledger()
        ledger.arrivals.append(Arrival("nobody's", "bob", "g", 1.0, "d"))
        self.assertEqual(len(ledger.judge().strangers), 1)
