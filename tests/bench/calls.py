"""System calls of a server's processes, counted by the kernel while they run at full speed."""

import signal
import subprocess
import time

from cases import DURABLE
from load import measure

EVENT = "raw_syscalls:sys_enter"


def _pids(relay):
    return [relay.process.pid] + [pid for found in relay.roles().values() for pid in found]


def calls_a_message(server, sink, n):
    """None where perf may not count them, as in most containers."""
    words = ["perf", "stat", "-e", EVENT, "-x", ",", "-p", ",".join(str(pid) for pid in _pids(server.relay))]
    perf = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)  # it does not say when it has begun; it gives up at once or not at all
    if perf.poll() is None:
        measure(server, sink, DURABLE, n)
        perf.send_signal(signal.SIGINT)
    counted, _, rest = perf.communicate()[1].strip().rpartition("\n")[2].partition(",")
    return int(counted) / n if EVENT in rest and counted.isdigit() else None
