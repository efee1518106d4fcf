"""The front against programs of others, the share of `make peers` and `make soak-front` that takes seconds."""

import os
import sys
import unittest

import tree

for folder in ("peers", "bench"):
    sys.path.insert(0, os.path.join(tree.ROOT, "tests", folder))

import front_soak  # noqa: E402
import peer_cases  # noqa: E402
from case import FolderCase  # noqa: E402

Programs = peer_cases.Programs
BehindSmtpSink = peer_cases.BehindSmtpSink

SOAK_S = 15


class Mixed(FolderCase):
    def test_good_slow_and_hostile(self):
        """All kinds at once: nothing lost, doubled, changed or smuggled, and front lets go of every client."""
        soak = front_soak.Soak(self.folder)
        complaints = soak.run(SOAK_S)
        self.assertEqual(complaints, [])
        self.assertEqual(sorted(k.__name__ for k in set(soak.kinds)), sorted(soak.ledger.visits), "a kind never came")
        self.assertGreater(len(soak.arrived.found), 20)


if __name__ == "__main__":
    unittest.main()
