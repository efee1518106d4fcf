"""What is held is filtered again: when the scanner is back, when the rule is gone, when an admin asks."""

import os
import shutil
import signal

import mail
import plugins
import signatures
import smtp
from case import FolderCase, RelayCase
from relay import Relay, Settings
from waiting import wait_until

HOLD = 'failure = "hold"  max_failures = 1000  deadline = 2s'


def queued(relay):
    return relay.command("queue", "list", "--json").lines


def held(relay):
    return [m for m in queued(relay) if m["state"] == "held"]


def by_subject(gateway, subject):
    return [m for m in gateway.kept() if subject in m.header("Subject")]


class Hold(RelayCase):
    @classmethod
    def prepare(cls, folder):
        cls.switch = plugins.Switch(folder)
        return {"filters": ("trouble",), "retry": "1h",
                "sections": f'fronts = 2\nplugins = "{cls.switch.plugins}"\nfilter "trouble" {{ {HOLD}  bad = "hold" }}'}

    def setUp(self):
        super().setUp()
        self.switch.set("fine")
        self.mx.policy("")

    def send(self, subject, headers=plugins.Switch.HEADER, **options):
        reply = smtp.send(self.mx.port, mail.plain(subject, headers=headers), **options)
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def test_back(self):
        self.switch.set("failure")
        ids = [self.send(f"back {i}") for i in range(3)]
        for m in held(self.mx):
            self.assertIn("filter trouble: failure", m["last_reply"])
            self.assertIn(m["id"], ids)
            self.assertIsNotNone(m["next_attempt"])
        self.assertEqual(len(held(self.mx)), 3)
        self.assertEqual(by_subject(self.inside, "back 0"), [])
        self.switch.set("fine")
        self.send("live")  # a worker answers for it again
        for i in range(3):
            self.inside.wait_subject(f"back {i}")
        wait_until(lambda: not queued(self.mx), "the queue to be empty")
        for i in range(3):
            kept, = by_subject(self.inside, f"back {i}")
            self.assertEqual(len(kept.header("X-Postern-Verdict")), 1)
            self.assertIn(ids[i], kept.header("X-Postern-Verdict")[0])
            self.assertEqual(len([r for r in kept.header("Received") if self.mx.settings.hostname in r]), 1)
            self.assertIn(ids[i], kept.header("Received")[0])
