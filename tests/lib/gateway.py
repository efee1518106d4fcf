"""A mail server behind the relay: the program `sink`, and what it was given."""

import email
import email.policy
import glob
import json
import os
import subprocess

import tree
from ports import free_port
from waiting import MAIL_PATIENCE_S, wait_until


class Kept:
    """One message as the gateway keeps it: `envelope` (a dict), `bytes`, `headers`."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.envelope = json.load(f)
        with open(path[: -len("json")] + "eml", "rb") as f:
            self.bytes = f.read()

    @property
    def sender(self):
        return self.envelope["from"]

    @property
    def to(self):
        return self.envelope["to"]

    @property
    def body(self):
        return self.bytes.partition(b"\r\n\r\n")[2]

    @property
    def parsed(self):
        return email.message_from_bytes(self.bytes, policy=email.policy.compat32)

    def header(self, name):
        """All values of a header field, unfolded."""
        return [" ".join(str(v).split()) for v in self.parsed.get_all(name, [])]


class Gateway:
    def __init__(self, folder, *options, port=None):
        self.folder = folder
        self.port = port or free_port()
        self.options = options
        self.process = None
        self.popen = {}  # further keywords for Popen

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, *options):
        """Starts it (again), with other rules when some are given; returns itself."""
        if options:
            self.options = options
        self.process = subprocess.Popen(
            [tree.SINK, "--listen", self.address, "--dir", self.folder, *self.options],
            stdout=subprocess.PIPE,
            text=True,
            **self.popen,
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            raise AssertionError(f"gateway on {self.address} did not start")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.stdout.read()
            self.process.stdout.close()
            self.process.wait()
            self.process = None

    def kept(self):
        return [Kept(path) for path in sorted(glob.glob(os.path.join(self.folder, "*.json")))]

    def wait_for(self, look, what, patience_s=MAIL_PATIENCE_S):
        """The first kept message for which look(message) is true."""
        return wait_until(lambda: next((m for m in self.kept() if look(m)), None),
                          lambda: f"{what}; the gateway has {[m.header('Subject') for m in self.kept()]}",
                          patience_s)

    def wait_subject(self, subject, **patience):
        return self.wait_for(lambda m: subject in m.header("Subject"), f"subject {subject!r}", **patience)

    def wait_count(self, n, patience_s=MAIL_PATIENCE_S):
        return wait_until(lambda: (lambda k: k if len(k) >= n else None)(self.kept()),
                          lambda: f"{n} messages; the gateway has {len(self.kept())}", patience_s)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
