"""Loopback ports that nobody else has: below the range the kernel gives to outgoing connections.

A number once given out stays this process's until it ends: it holds an abstract socket of that name, so that no other
process that asks here is given it, be it a class beside this one, the demo that a test has started, or another tree's
tests.  PORTS in the environment names the place of this process among those that test side by side, each with a share
of its own."""

import os
import random
import socket

PLACES, SHARE = 12, 1000
FIRST = 20000
_place = os.environ.get("PORTS")
_range = range(FIRST, FIRST + PLACES * SHARE) if _place is None else range(FIRST + int(_place) * SHARE, FIRST + (int(_place) + 1) * SHARE)
_held = {}


def _hold(port):
    """Whether the number is now this process's; it lies in no file, so nothing is left when the process is killed."""
    if port in _held:
        return False
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(f"\0postern-test-port-{port}")
    except OSError:
        mark.close()
        return False
    _held[port] = mark
    return True


def free_port(kind=socket.SOCK_STREAM):
    """A port number nothing listens on now, never given out twice while this process lives."""
    for _ in range(10000):
        port = random.choice(_range)
        if not _hold(port):
            continue
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                _held.pop(port).close()
                continue
        return port
    raise RuntimeError("no free port on 127.0.0.1")
