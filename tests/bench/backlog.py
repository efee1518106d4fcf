"""What a queue full of deferred mail costs: speed, memory, and the time to read it back after kill -9."""

import re
import statistics
import time

import mail
import smtp
from cases import BACKLOG, DURABLE
from load import measure, send
from relay import kill_hard
from servers import Postern
from waiting import wait_until

TURNS = 9
LOAD_PIECE = 100000  # messages of one smtp_load
BACK_S = 120


def resident(pid):
    """Bytes of a process that are in memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", f.read(), re.M).group(1)) * 1024


def _rates(server, sink, n):
    return [measure(server, sink, DURABLE, n)["rate"] for _ in range(TURNS)]


def _fill(server, n):
    while n > 0:
        send(server, BACKLOG, min(n, LOAD_PIECE))
        n -= LOAD_PIECE


def _takes_mail(server):
    try:
        return smtp.send(server.port, mail.plain("back"), to=f"user@{BACKLOG.domain}").code == 250
    except (OSError, AssertionError):
        return False


def _recover(server):
    """Seconds from the kill until mail is taken."""
    begun = time.monotonic()
    kill_hard(server.relay.role("spool"))
    wait_until(lambda: _takes_mail(server), "a 250 after the spool was killed", BACK_S)
    return time.monotonic() - begun


def measure_backlog(folder, sinks, n_backlog, n_messages):
    """A relay of its own, before and after n_backlog messages were put off."""
    sink = sinks[DURABLE.domain]
    server = Postern(folder, sinks, "backlog", "Postern, backlog")
    try:
        server.start()
        measure(server, sink, DURABLE, n_messages)
        before, memory = _rates(server, sink, n_messages), resident(server.relay.role("spool"))
        begun = time.monotonic()
        _fill(server, n_backlog)
        filled = time.monotonic() - begun
        server.cpu.seconds_at_rest()
        grown = resident(server.relay.role("spool")) - memory
        after = _rates(server, sink, n_messages)
        recovery = _recover(server)
        recovered = resident(server.relay.role("spool"))
    finally:
        server.stop()
    return {"messages": n_backlog, "fill_s": filled, "before": before, "after": after,
            "ratio": statistics.median(after) / statistics.median(before), "bytes_each": grown / n_backlog,
            "recovery_s": recovery, "recovery_s_a_million": recovery * 1e6 / n_backlog,
            "bytes_each_recovered": (recovered - memory) / n_backlog}
