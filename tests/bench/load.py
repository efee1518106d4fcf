"""One load of equal messages, and what it took."""

import json
import os
import subprocess

import tree

PATIENCE_S = 180  # for one measurement


def send(server, case, n):
    """What smtp_load said of it."""
    words = [os.path.join(tree.BUILD, "tests", "smtp_load"), "--to", f"127.0.0.1:{server.port}",
             "--rcpt", f"user@{case.domain}", "--size", str(case.size), "--sessions", str(case.sessions),
             "--messages", str(n)]
    done = subprocess.run(words + (["--reuse"] if case.is_reused else []), capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        raise AssertionError(f"smtp_load at {server.title}: {done.stderr}")
    return json.loads(done.stdout)


def measure(server, sink, case, n):
    """A load of n messages until the sink has them: a dict of what was measured."""
    before = server.cpu.seconds_at_rest() if server.cpu else 0
    sink.expect(n)
    said = send(server, case, n)
    seconds = (int(sink.line("done", PATIENCE_S)) - said["started_ns"]) / 1e9
    after = server.cpu.seconds_at_rest() if server.cpu else 0
    return {"rate": n / seconds, "accepted": said["rate"], "p50_ms": said["p50_ms"], "p99_ms": said["p99_ms"],
            "others": said["others"], "cpu_s": (after - before) * 1000 / n if server.cpu else None}
