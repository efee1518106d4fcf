"""Other people's mail: what the parser calls malformed, and that all of it leaves as it came.

HAM=all (make ham) reads all of the SpamAssassin corpus' ham, else a tenth of it. Without npm, or the corpora, what
needs them is skipped.
"""

import os
import re
import subprocess
import unittest

import corpora
import smtp
import spam_assassin
import tree
from case import FolderCase, RelayCase
from waiting import wait_until

HAM_SHARE, ROUND_TRIP_SHARE = 10, 60
MOST_MALFORMED = 5
# Both have broken base64.
MALFORMED = {"hard-ham-1/00005.34bcaad58ad5f598f5d6af8cfa0c0465.txt", "hard-ham-1/00183.a008f2e258860eff155bb06a065f7d56.txt"}


class Parser(FolderCase):
    def looked_at(self, messages):
        """{name: (MALFORMED | UNSCANNABLE | "", what was found)}, of (name, bytes)."""
        names = {}
        for i, (name, message) in enumerate(messages):
            names[self.path(str(i))] = name
            with open(self.path(str(i)), "wb") as f:
                f.write(message)
        found = {}
        paths = list(names)
        for at in range(0, len(paths), 500):
            done = subprocess.run([os.path.join(tree.BUILD, "tests", "mime"), *paths[at:at + 500]],
                                  capture_output=True, text=True, errors="replace", check=True)
            for line in done.stdout.splitlines():
                path, what, _, why = re.fullmatch(r"(\S+): ((?:[A-Z]+ )*)(\d+) parts; (.*)", line).groups()
                found[names[path]] = (what.split(), why)
        self.assertEqual(len(found), len(names))
        return found

    def test_ham(self):
        is_all = os.environ.get("HAM") == "all"
        try:
            messages = list(spam_assassin.messages(spam_assassin.HAM, 1 if is_all else HAM_SHARE, MALFORMED))
        except spam_assassin.Missing as e:
            self.skipTest(str(e))
        found = self.looked_at(messages)
        malformed = {name: why for name, (what, why) in found.items() if what}
        if is_all:
            self.assertEqual(len(found), spam_assassin.N_HAM)
            print("".join(f"\n    {name}: {why}" for name, why in malformed.items()), end=" ")
        self.assertLessEqual(len(malformed), MOST_MALFORMED, malformed)
        self.assertEqual(set(malformed), MALFORMED)

    def test_what_the_docs_list(self):
        """docs/mime.md lists those of the corpus that are malformed or over a limit, with the reason: these, no others."""
        messages = corpora.mime()
        if not messages:
            self.skipTest(f"no messages in {corpora.FOLDER}")
        with open(os.path.join(tree.ROOT, "docs", "mime.md"), encoding="utf-8") as f:
            text = f.read()
        said = {name: ([outcome.upper()], why)
                for name, outcome, why in re.findall(r"^\| (\S+\.msg) \| (\w+) \| ([^|]+) \|$", text, re.M)}
        found = {name: seen for name, seen in self.looked_at(messages.items()).items() if seen[0]}
        self.maxDiff = None
        self.assertEqual(said, found)
        self.assertIn(f", {len(messages)} messages;", text)


VERDICT_ID = re.compile(rb"^X-Postern-Verdict: [^\n]*id=([0-9A-Z]+)", re.M)


class RoundTrip(RelayCase):
    """All filters run and find something now and then; a message keeps every byte below the fields that are put on top."""

    SETTINGS = {"filters": ("antivirus", "attachment", "header", "content", "tag"), "max_size": "50M",
                "sections": 'filter "attachment" { blocked = "tag" }'}

    def check(self, messages):
        client = self.greeted()
        replies = {}
        for name, message in messages:
            told = client.transaction("alice@sender.example", ["bob@example.org"], message)
            self.assertEqual(told["last"].code, 250, f"{name}: {told['last']}")
            replies[told["last"].id] = (name, message)
        kept = {}

        def are_there():
            kept.update({VERDICT_ID.search(k.bytes).group(1).decode(): k.bytes for k in self.inside.kept()})
            return replies.keys() <= kept.keys()

        wait_until(are_there, "all messages at the gateway")
        for number, (name, message) in replies.items():
            with self.subTest(message=name):
                self.check_same(kept[number], message)

    def check_same(self, left, came):
        ours = left[:-len(came)]
        self.assertEqual(left[-len(came):], came)
        # On top of it whole fields of ours, and nothing else.
        self.assertTrue(ours.endswith(b"\r\n"))
        for line in re.sub(rb"\r\n[ \t]+", b" ", ours).splitlines():
            self.assertRegex(line, rb"^(Received|X-Postern-Tag|X-Postern-Verdict|Authentication-Results): ")

    def test_round_trip(self):
        messages = list(corpora.mime().items())
        try:
            messages += spam_assassin.messages(spam_assassin.HAM + ("spam-1", "spam-2"), ROUND_TRIP_SHARE)
        except spam_assassin.Missing:
            pass  # the others are enough
        if not messages:
            self.skipTest(f"no messages in {corpora.FOLDER}, and no npm")
        self.check(messages)


if __name__ == "__main__":
    unittest.main()
