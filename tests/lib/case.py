"""What the script tests have in common: a folder of their own, a relay, a gateway."""

import os
import shutil
import tempfile
import unittest

import smtp
import signatures
from gateway import Gateway
from relay import Relay, Settings
from waiting import wait_until

_shared = {}


def work_folder():
    """One folder for the whole run, removed by the runner; the relay's users may enter it."""
    if "folder" not in _shared:
        _shared["folder"] = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(_shared["folder"], 0o755)
    return _shared["folder"]


def remove_work_folder():
    if "folder" in _shared and not os.environ.get("KEEP"):
        shutil.rmtree(_shared.pop("folder"), ignore_errors=True)


def signature_folder():
    folder = os.path.join(work_folder(), "signatures")
    return folder if os.path.isdir(folder) else signatures.write(folder)


class FolderCase(unittest.TestCase):
    """A fresh folder for each test, and things that are stopped at its end."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix=self.id().split(".")[-1] + "-", dir=work_folder())
        os.chmod(self.folder, 0o755)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.path(name), 0o644)
        return self.path(name)

    def starting(self, thing):
        """Starts it now and stops it at the test's end."""
        self.addCleanup(thing.stop)
        return thing.start()

    def gateway(self, *options, name="gateway"):
        return Gateway(self.path(name), *options)

    def relay(self, *gateways, **settings):
        """A relay, not yet started, in front of these gateways, in the order of preference."""
        settings.setdefault("gateways", [(g.address, 10 * (i + 1)) for i, g in enumerate(gateways)])
        return Relay(self.folder, signature_folder(), Settings(**settings))

    def pair(self, *options, policy=None, **settings):
        """A running gateway and a running relay before it."""
        gateway = self.starting(self.gateway(*options))
        relay = self.starting(self.relay(gateway, **settings))
        if policy is not None:
            relay.policy(policy)
        return relay, gateway


class RelayCase(FolderCase):
    """One relay and one gateway for all tests of a class; SETTINGS and POLICY may be overridden.

    Tests of one class tell their messages apart by subject."""

    SETTINGS = {}
    POLICY = ""
    GATEWAY = ()

    @classmethod
    def prepare(cls, folder):
        """May be overridden to change SETTINGS by what is in the folder; returns settings."""
        return dict(cls.SETTINGS)

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix=cls.__name__ + "-", dir=work_folder())
        os.chmod(folder, 0o755)
        cls.class_folder = folder
        settings = cls.prepare(folder)
        cls.inside = Gateway(os.path.join(folder, "gateway"), *cls.GATEWAY).start()
        cls.addClassCleanup(cls.inside.stop)
        settings.setdefault("gateways", [(cls.inside.address, 10)])
        cls.mx = Relay(folder, signature_folder(), Settings(**settings))
        cls.addClassCleanup(cls.mx.stop)
        cls.mx.start()
        cls.mx.policy(cls.POLICY)

    def client(self, **options):
        client = smtp.Client(self.mx.port, **options)
        self.addCleanup(client.close)
        return client

    def greeted(self, **options):
        """A client past EHLO."""
        client = self.client(**options)
        client.greet()
        return client


class LetterCase(RelayCase):
    """Messages whose originals are kept in quarantine."""

    def send(self, message, to=("bob@example.org",)):
        reply = smtp.send(self.mx.port, message, to=list(to))
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def command(self, *words):
        done = self.mx.command(*words)
        self.assertEqual(done.status, 0, done)
        return done

    def kept(self, id_):
        """The letters of this transaction in quarantine, once they are there."""
        return wait_until(lambda: [e for e in self.command("quarantine", "list", "--json").lines if e["id"].startswith(id_)],
                          f"{id_} in quarantine")
