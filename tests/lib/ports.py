"""Loopback ports that nobody else has: below the range the kernel gives to outgoing connections.

A number once given out stays this process's until it ends: it holds a lock on that byte of a file that all tests of a
user have in common, so that no other process that asks here is given it, be it a class beside this one, the demo that a
test has started, or another tree's tests.  PORTS in the environment names the place of this process among those that
test side by side, each with a share of its own."""

import fcntl
import os
import random
import socket
import tempfile

PLACES, SHARE = 12, 1000
FIRST = 20000
_place = os.environ.get("PORTS")
_range = range(FIRST, FIRST + PLACES * SHARE) if _place is None else range(FIRST + int(_place) * SHARE, FIRST + (int(_place) + 1) * SHARE)
_taken = set()
_locks = os.open(os.path.join(tempfile.gettempdir(), f"postern-test-ports-{os.getuid()}"),
                 os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _take(port):
    """Whether the number is now this process's; the kernel gives it back when the process is gone."""
    if port in _taken:
        return False
    try:
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _taken.add(port)
    return True


def free_port(kind=socket.SOCK_STREAM):
    """A port number nothing listens on now, never given out twice while this process lives."""
    for _ in range(10000):
        port = random.choice(_range)
        if not _take(port):
            continue
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # nor will it be ours to give later
        return port
    raise RuntimeError("no free port on 127.0.0.1")
