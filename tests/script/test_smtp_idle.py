"""Many clients that wait: what each of them costs front in memory."""

import resource
import unittest

import smtp
from case import FolderCase

IDLE = 2000
BYTES_EACH = 4096


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS:"))


class Idle(FolderCase):
    def test_memory_of_waiting_sessions(self):
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        count = min(IDLE, (files - 200) // 4)  # front reckons with three files for each session
        relay = self.starting(self.relay(self.starting(self.gateway()), filters=()))
        pid = relay.role("front")
        clients = []
        self.addCleanup(lambda: [c.close() for c in clients])

        def connect(n):
            for _ in range(n):
                client = smtp.Client(relay.port)
                clients.append(client)
                client.greet()

        connect(100)  # what the first ones cost is the process's own
        before = rss(pid)
        connect(count)
        each = (rss(pid) - before) / count
        print(f"[{count} idle sessions: {each:.0f} bytes each]", end=" ", flush=True)
        self.assertLess(each, BYTES_EACH)
        clients[0].say("NOOP", 250)


if __name__ == "__main__":
    unittest.main()
