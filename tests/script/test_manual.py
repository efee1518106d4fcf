"""The manual pages and the completion: installed, sound, and of every word and command there is."""

import glob
import os
import re
import subprocess

from case import FolderCase
from relay import command
from tree import BUILD, ROOT

NO_DATE = "missing date"  # a page says what the program does now, not when somebody has looked at it


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def help_of(*words):
    done = command(*words, "--help")
    assert done.status == 0 and done.err == "", done
    return done.out


def listed(text):
    """The commands or verbs that a help shows."""
    return re.findall(r"^    ([a-z]+)", text, re.M)


def commands():
    """[(command,) or (command, verb), …]"""
    for name in listed(help_of()):
        yield (name,)
        for verb in listed(help_of(name)):
            yield (name, verb)


class Manual(FolderCase):
    share = None

    def setUp(self):
        super().setUp()
        make = subprocess.run(["make", "-C", ROOT, "--no-print-directory", "install-manual", f"DESTDIR={self.folder}", "PREFIX=/usr",
                               f"BUILD={BUILD}"], capture_output=True, text=True, check=False)
        self.assertEqual(make.returncode, 0, make)
        self.share = os.path.join(self.folder, "usr", "share")

    def page(self, section, name):
        """A page as text without its fonts and escapes."""
        text = read(self.share, "man", f"man{section}", f"{name}.{section}")
        return re.sub(r"\\f.", "", text).replace("\\-", "-").replace("\\ ", " ").replace("\\(dq", '"')

    def test_sound(self):
        pages = glob.glob(os.path.join(self.share, "man", "man*", "*"))
        self.assertEqual(sorted(os.path.basename(p) for p in pages), ["postern-policy.5", "postern.1", "postern.conf.5"])
        for page in pages:
            with self.subTest(page=page):
                done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
                self.assertEqual([text for text in done.stdout.splitlines() if NO_DATE not in text], [])

    def test_every_word_of_the_configuration(self):
        page = read(self.share, "man", "man5", "postern.conf.5")
        words = set()
        for path in glob.glob(os.path.join(ROOT, "policy", "config", "*.c")):
            words |= set(re.findall(r'\{"([a-z_]+)", RULE_(?!NOT_YET)', read(path)))
        self.assertGreater(len(words), 90)
        # As a term, or as a section's heading.
        self.assertEqual({word for word in words if not re.search(rf"\\fB(?:[^\\]*\W)?{word}\b|^\.S[HS] (?i:{word})\b", page, re.M)}, set())

    def test_every_word_of_the_policy(self):
        page = self.page(5, "postern-policy")
        words = set(re.findall(r'"([a-z-]+)"', read(ROOT, "policy", "rules", "words.c")))
        self.assertGreater(len(words), 30)
        self.assertEqual({word for word in words if not re.search(rf"(?<![\w-]){word}(?![\w-])", page)}, set())

    def test_every_command(self):
        page = self.page(1, "postern")
        for words in commands():
            with self.subTest(words=words):
                self.assertIn(" ".join(words), page)
                for option in re.findall(r"--[a-z]+", help_of(*words).split("\n\n")[0]):
                    self.assertIn(option, page)

    def complete(self, *words):
        """What is offered for the last of the words."""
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _postern; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", script, "bash", os.path.join(self.share, "bash-completion", "completions", "postern"),
                               os.path.join(BUILD, "postern"), *words], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout.split()

    def test_completion(self):
        for words, wanted in (((), listed(help_of())), (("q",), ["quarantine", "queue"]),
                              (("queue", "re"), ["release", "retry"]), (("-c", "x", "policy", "i"), ["import"]),
                              (("queue", "list", "--f"), ["--from"]), (("explain", "--client", "192.0.2.1", "--o"), ["--offline"]),
                              (("run", "--l"), ["--log=json", "--log=text"]), (("gateway", "drain", ""), []),
                              (("queue", "list", "--from", ""), []), (("nonsense", ""), [])):
            with self.subTest(words=words):
                self.assertEqual(self.complete(*(words or ("",))), sorted(wanted))
