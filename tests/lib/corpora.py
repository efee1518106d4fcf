"""$CORPORA/mime: messages of all kinds, many of them broken, that others have put together."""

import glob
import os

import tree
from spam_assassin import as_sent

FOLDER = os.path.join(tree.ROOT, os.environ.get("CORPORA", "../shared/corpora"), "mime")


def mime():
    """{name: bytes} as SMTP carries them; empty without the corpus."""
    found = {}
    for path in sorted(glob.glob(os.path.join(FOLDER, "**", "*.msg"), recursive=True)):
        with open(path, "rb") as f:
            found[os.path.relpath(path, FOLDER)] = as_sent(f.read())
    return found
