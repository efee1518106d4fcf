#!/usr/bin/python3
"""make check-style: what of STYLE.md a program can hold. One line a finding, status 1 if any."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mail  # noqa: E402
import tree  # noqa: E402

LINES_MAX = 700

# Includes go downward: a file may include its own folder and every layer above it in this list. What
# stands in one line is side by side and does not know each other. A file may have a layer of its own.
LAYERS = [
    ["relay/base", "policy/default", "relay/smtp/notify.h"],
    ["filters/postern_filter.h", "filters/worker/interpose.h", "filters/worker/interpose.c", "filters/worker/interpose_number.c"],
    ["policy/config"],
    ["policy/dnsbl/answer.h", "policy/dnsbl/answer.c", "relay/ipc", "relay/smtp", "relay/tls"],
    ["policy/rules"],
    ["policy/dnsbl", "policy/geo", "policy/recipient", "policy/store", "policy/journal", "policy/rate", "relay/message"],
    ["policy/decide", "relay/spool", "filters/unpack"],
    ["filters/chain", "relay/quarantine"],
    ["relay/deliver", "relay/key", "filters/antivirus", "filters/content", "filters/tag"],
    ["relay/lookup"],  # callouts speak SMTP with the client of relay/deliver
    ["filters/header", "filters/attachment"],
    ["filters/chain/abouts.c", "filters/chain/builtins.c"],  # the lists of all filters
    ["filters/worker"],
    ["relay/front"],
    ["relay/walk"],
    ["relay/process"],
    ["web/server", "relay/command"],
    ["tests"],
]

BANNED = ("strcpy strncpy strcat strncat sprintf vsprintf strtok strtok_r gets atoi atol atoll atof alloca "
          "system popen tmpnam mktemp").split()
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.S)


def layer_of(path):
    """(rank, name) of the layer whose name fits best; None for no layer."""
    fits = [(len(name), rank, name) for rank, names in enumerate(LAYERS) for name in names
            if path == name or path.startswith(name + "/")]
    return max(fits)[1:] if fits else None


def files():
    """Every file of the tree that is ours to write, by its path from the root."""
    for folder, folders, names in os.walk(tree.ROOT):
        folders[:] = sorted(f for f in folders
                            if f != ".git" and f != "node_modules" and not f.startswith("build"))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), tree.ROOT)


def read(path):
    with open(os.path.join(tree.ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def blanked(text):
    """Without comments and strings, the lines kept."""
    return STRING_OR_COMMENT.sub(lambda m: "\n" * m.group(0).count("\n") or '""', text)


def check_includes(path, text):
    mine = layer_of(path)
    if mine is None:
        yield 1, f"{os.path.dirname(path)} is in no layer; name it in tests/lib/check_style.py"
        return
    is_program = path.endswith("_main.c")  # a program stands above everything it puts together
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        other = found.group(1)
        theirs = layer_of(other)
        if theirs is None:
            yield number, f'"{other}" is in no layer; include by the path from the root'
        elif os.path.dirname(other) == os.path.dirname(path):
            continue
        elif theirs[0] >= mine[0] and theirs[1] != mine[1] and not (is_program and theirs[1] != "tests"):
            yield number, f"{mine[1]} may not include {other}: includes go downward"


def check_calls(_path, text):
    for number, line in enumerate(blanked(text).splitlines(), 1):
        found = BANNED_CALL.search(line)
        if found:
            yield number, f"{found.group(1)} is banned"


def check_words(_path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield number, f"unfinished: {UNFINISHED.search(line).group(0)}"
        if line != line.rstrip():
            yield number, "blanks at the end"


def check_length(_path, text):
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield lines, f"{lines} lines, {LINES_MAX} at most: a second noun hides here"


def check_guard(path, text):
    if not path.endswith(".h"):
        return
    found = re.search(r"^#ifndef (\w+_H)\n#define (\w+)$", text, re.M)
    name = os.path.basename(path)[:-2].upper().replace("-", "_") + "_H"
    if not found or found.group(1) != found.group(2) or not found.group(1).endswith(name):
        yield 1, f"needs an include guard that ends with {name}"


def format_findings(paths):
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", "--ferror-limit=3", *paths],
                          cwd=tree.ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if "clang-format-violations" in line]
    if done.returncode and not lines:
        lines = [f"clang-format: {done.stderr.strip() or 'failed'}"]
    return lines


def virus_findings(paths):
    """The EICAR test file makes mail and backup scanners drop a whole checkout."""
    needle = mail.eicar()[:40].decode("ascii")
    for path in paths:
        if needle in read(path):
            yield f"{path}:1: holds the EICAR test file literally; put it together at run time"


def main():
    everything = list(files())
    sources = [path for path in everything if path.endswith((".c", ".h"))]
    findings = []
    for path in sources:
        text = read(path)
        for check in (check_includes, check_calls, check_words, check_length, check_guard):
            findings += [f"{path}:{number}: {what}" for number, what in check(path, text)]
    findings += virus_findings(everything)
    findings += format_findings(sources)
    for finding in findings:
        print(finding)
    print(f"check-style: {len(sources)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
