"""Waiting for what another process does: by looking again, never by a fixed sleep."""

import time

PATIENCE_S = 60  # a busy machine under sanitizers; only a failing test ever waits this long
MAIL_PATIENCE_S = 120  # for mail to arrive: what has not by then is lost


def wait_until(look, what, patience_s=PATIENCE_S):
    """Calls `look` until it gives something true, and returns that; AssertionError after patience_s."""
    end = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s} s in vain for {what() if callable(what) else what}")
        time.sleep(0.02)
