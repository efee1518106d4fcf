"""Many clients that wait: what each of them costs the fronts in memory, and that others are served meanwhile."""

import os
import resource
import unittest
import unittest.mock

import mail
import smtp
import tree
from case import FolderCase
from relay import SMALL_QUARANTINE

IDLE = 6000
FRONTS = 2
BYTES_EACH = 4096
BYTES_SANITIZED = 16 * 1024  # the sanitizer's share is greater than ours
FILES_OURS = 600  # our own descriptors beside the clients; of a front, for what is no session
FILES_SHARE = 7 / 8  # of the others, for sessions
FILES_AMISS = 16  # of a front, that may come and go meanwhile


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS:"))


def n_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Idle(FolderCase):
    @unittest.mock.patch.dict(os.environ, ASAN_OPTIONS=SMALL_QUARANTINE)
    def test_memory_of_waiting_sessions(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        # Not all of what there is room for: from three quarters on sessions are given less time.
        room = int(FRONTS * (hard - FILES_OURS) * FILES_SHARE * 2 / 3)
        count = min(IDLE, hard - FILES_OURS, room)
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(gateway, filters=(), sections=f"fronts = {FRONTS}\n"))
        relay.role("front")
        pids = relay.roles()["front"]
        self.assertEqual(len(pids), FRONTS)
        clients = []
        self.addCleanup(lambda: [c.close() for c in clients])

        def connect(n):
            for _ in range(n):
                client = smtp.Client(relay.port)
                clients.append(client)
                client.greet()

        connect(100 * FRONTS)  # what the first ones cost is the processes' own
        before, files = sum(map(rss, pids)), sum(map(n_files, pids))
        connect(count)
        each = (sum(map(rss, pids)) - before) / count
        self.assertLessEqual(sum(map(n_files, pids)) - files, count + FILES_AMISS * FRONTS, "a descriptor each")
        print(f"[{count} idle sessions: {each:.0f} bytes each]", end=" ", flush=True)
        self.assertLess(each, BYTES_SANITIZED if tree.is_sanitized() else BYTES_EACH)
        told = clients[0].transaction("alice@sender.example", ["bob@example.org"], mail.plain("among many"))
        self.assertEqual(told["end"].code, 250)
        gateway.wait_subject("among many")
        for client in (clients[1], clients[count // 2], clients[-1]):
            client.say("NOOP", 250)


if __name__ == "__main__":
    unittest.main()
