"""Where things are: the source tree and the build folder (BUILD in the environment)."""

import functools
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
POSTERN = os.path.join(BUILD, "postern")
TROUBLED = os.path.join(BUILD, "troubled", "postern")  # its filters fail when a message asks for it
SINK = os.path.join(BUILD, "tests", "sink")
PYTHON = "/usr/bin/python3"
IS_ROOT = os.geteuid() == 0
PLAIN_USER = 60599  # for programs that should not be root when the tests are


def plain_user():
    """Keywords for subprocess.Popen that drop root; none for whom has nothing to drop."""
    return {"user": PLAIN_USER, "group": PLAIN_USER, "extra_groups": []} if IS_ROOT else {}


@functools.cache
def is_sanitized():
    """Whether the programs under test have AddressSanitizer in them."""
    with open(os.path.join(BUILD, "libexec", "postern", "front"), "rb") as f:
        return b"__asan_init" in f.read()
