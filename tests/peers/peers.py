#!/usr/bin/python3
"""make peers: the cases of peer_cases.py, with all peers; peers.py NAME… for some of its classes."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("lib", "script", "peers"):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), folder))

import peer_cases  # noqa: E402
import run  # noqa: E402
from case import remove_work_folder  # noqa: E402

ALL = ("Programs", "Nodemailer", "Servers", "BehindSmtpSink", "BehindPostfix", "BehindExim", "BehindOpenSmtpd",
       "BehindSendmail", "Unprotected")


def main():
    result = run.Progress(sys.stdout)
    try:
        unittest.TestLoader().loadTestsFromNames(sys.argv[1:] or ALL, peer_cases).run(result)
    finally:
        remove_work_folder()
    for name, text in result.wrong:
        print(f"\n--- {name}\n{text}")
    for test, reason in result.skipped:
        print(f"SKIPPED {result.name(test) if isinstance(test, unittest.TestCase) else test}: {reason}")
    print(f"peers: {result.passed} passed, {len(result.wrong)} failed, {len(result.skipped)} skipped")
    return 1 if result.wrong or not result.passed else 0


if __name__ == "__main__":
    sys.exit(main())
