"""Loopback ports that nobody else has: below the range the kernel gives to outgoing connections.

PORTS in the environment names the place of this process among those that test side by side: each has a share of its own."""

import os
import random
import socket

PLACES, SHARE = 12, 1000
FIRST = 20000
_place = os.environ.get("PORTS")
_range = range(FIRST, FIRST + PLACES * SHARE) if _place is None else range(FIRST + int(_place) * SHARE, FIRST + (int(_place) + 1) * SHARE)
_taken = set()


def free_port(kind=socket.SOCK_STREAM):
    """A port number nothing listens on now, never given out twice by this process."""
    for _ in range(1000):
        port = random.choice(_range)
        if port in _taken:
            continue
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise RuntimeError("no free port on 127.0.0.1")
