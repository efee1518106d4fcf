"""EICAR hidden behind ambiguous MIME: the worker finds it, or refuses the message as malformed or unscannable.

EVASION=all sends every way and prints the table (`make conformance`); else every eleventh.
"""

import collections
import os

import evasion
import smtp
from case import RelayCase

SHARE = 11


class Evasion(RelayCase):
    # One failure is enough to make the scanner doubtful: none of these messages may look like one.
    SETTINGS = {"filters": ("antivirus",), "max_size": "10M",
                "antivirus": 'infected = "reject"  malformed = "tempfail"  unscannable = "tempfail"  max_failures = 1'}

    @staticmethod
    def fate(reply):
        if reply.code == 550 and "Postern-Test-EICAR" in reply.text:
            return "found"
        if reply.code // 100 == 4 and "deferred by antivirus" in reply.text:
            return "refused"
        return "missed" if reply.code == 250 else "wrong"

    def test_ways(self):
        ways = list(evasion.ways())
        is_all = os.environ.get("EVASION") == "all"
        table, bad = collections.Counter(), []
        for name, message in ways if is_all else ways[::SHARE]:
            reply = smtp.send(self.mx.port, message)
            fate = self.fate(reply)
            table[fate] += 1
            if is_all:
                print(f"\n    {fate:8} {name}" + (f": {reply}" if fate != "found" else ""), end="")
            if fate in ("missed", "wrong"):
                bad.append(f"{name}: {reply}")
        if is_all:
            print("\n    " + ", ".join(f"{n} {fate}" for fate, n in sorted(table.items())), end=" ")
            self.assertGreaterEqual(table["found"], 200)
        self.assertFalse(bad, "\n".join(bad))
        self.assertGreaterEqual(table["found"] * 3, sum(table.values()) * 2)
        for event in ("filter fails at some messages", "filter not asked any more"):
            self.assertEqual(self.mx.events(event), [])
