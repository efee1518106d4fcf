"""Other people's mail programs: Debian's packages unpacked below BUILD/peers, never installed, and nodemailer.

What is there already is not fetched again.  Missing is what cannot be had: whoever needs it says so and
is skipped.
"""

import functools
import glob
import os
import shutil
import subprocess

import tree

PEERS = os.path.join(tree.BUILD, "peers")
HERE = os.path.dirname(os.path.abspath(__file__))
FETCH_S = 120


class Missing(Exception):
    """Why a peer is not to be had."""


def _run(words, **options):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_S,
                          check=False, **options)
    if done.returncode != 0:
        raise Missing(f"{' '.join(words[:3])}: {(done.stderr or done.stdout).strip()[-300:]}")


@functools.cache
def package(name):
    """The folder in which this package of Debian's is unpacked; what it depends on is asked for by itself."""
    place = os.path.join(PEERS, "tree", name)
    if os.path.isdir(place):
        return place
    store = os.path.join(PEERS, "deb")
    for folder in (store, os.path.dirname(place)):
        os.makedirs(folder, exist_ok=True)
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Missing(f"no apt-get here to fetch {name}")
    # apt has a user of its own for downloads, who cannot enter every folder.
    options = ["-o", "APT::Sandbox::User=root"] if tree.IS_ROOT else []
    if not glob.glob(os.path.join(store, f"{name}_*.deb")):
        try:
            _run(["apt-get", *options, "-q", "download", name], cwd=store)
        except Missing:
            if tree.IS_ROOT:  # its lists may be older than the archive
                _run(["apt-get", *options, "-q", "update"])
            _run(["apt-get", *options, "-q", "download", name], cwd=store)
    part = f"{place}.{os.getpid()}"
    _run(["dpkg-deb", "-x", glob.glob(os.path.join(store, f"{name}_*.deb"))[0], part])
    for old, new in (("lib", "usr/lib"), ("sbin", "usr/sbin"), ("bin", "usr/bin")):
        if os.path.isdir(os.path.join(part, old)):  # links on Debian 12: a folder would hide the system's
            shutil.copytree(os.path.join(part, old), os.path.join(part, new), dirs_exist_ok=True, symlinks=True)
            shutil.rmtree(os.path.join(part, old))
    os.rename(part, place)
    return place


def program(path, name):
    """An installed program, or the one out of its package."""
    return path if os.access(path, os.X_OK) else package(name) + path


@functools.cache
def nodemailer():
    """The folder whose node_modules hold what tests/peers/package-lock.json names."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise Missing("no node and npm here")
    place = os.path.join(PEERS, "node")
    if os.path.isdir(os.path.join(place, "node_modules", "nodemailer")):
        return place
    part = f"{place}.{os.getpid()}"
    os.makedirs(part, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(os.path.join(HERE, name), part)
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=part)
    shutil.rmtree(place, ignore_errors=True)
    os.rename(part, place)
    return place
