"""Hits of rules: several fronts added up, exact when asked for, kept over deaths and restarts."""

import os
import sqlite3

import mail
import smtp
from case import FolderCase
from relay import kill_hard
from waiting import wait_until

POLICY = "reject client 203.0.113.7\nobserve reject to @example.org\n"
SENT = 12


class Hits(FolderCase):
    def hits(self, relay):
        return [r["hits"] for r in relay.command("policy", "list", "--json").lines]

    def send(self, relay, client, n):
        for _ in range(n):
            smtp.send(relay.port, mail.plain(), client=client)

    def test_of_several_fronts(self):
        relay, _ = self.pair(filters=(), policy=POLICY, sections="fronts = 2\n")
        self.assertEqual(self.hits(relay), [0, 0])
        self.send(relay, "203.0.113.7", SENT)
        self.send(relay, "203.0.113.8", SENT)
        self.assertEqual(self.hits(relay), [SENT, 2 * SENT])  # observed of the refused ones, too
        kill_hard(relay.role("front"))  # what was asked for is kept
        wait_until(lambda: len(relay.roles().get("front", ())) == 2, "the front to be back")
        self.send(relay, "203.0.113.8", 1)
        self.assertEqual(self.hits(relay), [SENT, 2 * SENT + 1])
        relay.command("policy", "add", "tag new client 192.0.2.1")
        self.send(relay, "203.0.113.7", 1)
        relay.stop()  # nobody has asked since
        self.assertEqual(self.hits(relay), [SENT + 1, 2 * SENT + 2, 0])

    def test_while_somebody_else_writes(self):
        """Hits wait for the store, nobody waits for them; they come when it is free again."""
        relay, _ = self.pair(filters=(), policy=POLICY)
        other = sqlite3.connect(os.path.join(relay.state, "policy.db"), isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.send(relay, "203.0.113.7", 3)
        self.assertEqual(self.hits(relay), [0, 0])
        self.assertEqual(relay.command("status", "--json").json["problems"], [])
        self.send(relay, "203.0.113.7", 1)
        other.execute("ROLLBACK")
        wait_until(lambda: self.hits(relay) == [4, 4], "the hits to be stored")

    def test_of_the_shipped_policy(self):
        """The store is made by whoever is first: here by the hits."""
        relay, _ = self.pair(filters=())
        for _ in range(2):
            smtp.send(relay.port, mail.plain(), client="203.0.113.7", helo="localhost")
        rules = relay.command("policy", "list", "--json").lines
        self.assertEqual([(r["id"], r["author"], r["created"]) for r in rules], [(i, "postern", None) for i in (1, 2, 3)])
        self.assertEqual([r["hits"] for r in rules], [2, 0, 0])
        self.assertIsNotNone(rules[0]["last_hit"])
        text = relay.command("policy", "export").out
        done = relay.command("policy", "import", "-", "--json", stdin="tag x client 192.0.2.1\n" + text)
        self.assertEqual((done.status, done.json["version"]), (0, 1), done)
        rules = relay.command("policy", "list", "--json").lines
        self.assertEqual([(r["id"], r["hits"]) for r in rules], [(4, 0), (1, 2), (2, 0), (3, 0)])
