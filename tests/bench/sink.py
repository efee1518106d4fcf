"""The far end: smtp_sink, which counts."""

import os
import select
import subprocess
import time

import tree
from ports import free_port


class Sink:
    def __init__(self, *options):
        self.port = free_port()
        self.process = subprocess.Popen(
            [os.path.join(tree.BUILD, "tests", "smtp_sink"), "--listen", f"127.0.0.1:{self.port}", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pending = b""
        self.line("ready", 10)

    def line(self, word, patience_s):
        """The rest of the next line, which must begin with this word."""
        end = time.monotonic() + patience_s
        while b"\n" not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not more:
                raise AssertionError(f"the sink has not said {word!r} in {patience_s} s: mail is missing")
            self.pending += more
        line, _, self.pending = self.pending.partition(b"\n")
        first, _, rest = line.decode("ascii").partition(" ")
        if first != word:
            raise AssertionError(f"the sink says {line!r} instead of {word!r}: mail arrived twice?")
        return rest

    def expect(self, n):
        self.process.stdin.write(f"{n}\n".encode("ascii"))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
