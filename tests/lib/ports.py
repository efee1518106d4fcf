"""Loopback ports that nobody else has: below the range the kernel gives to outgoing connections."""

import random
import socket

FIRST, LAST = 20000, 32000
_taken = set()


def free_port(kind=socket.SOCK_STREAM):
    """A port number nothing listens on now, never given out twice by this process."""
    for _ in range(1000):
        port = random.randrange(FIRST, LAST)
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
