"""A virus signature folder that knows one thing: the EICAR test file."""

import os

import mail

NAME = "Postern-Test-EICAR"


def add(folder, name, content):
    """One more database with one signature, put there at once as freshclam does."""
    path = os.path.join(folder, f"{name}.ndb")
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(f"{name}:0:*:{content.hex()}\n")
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def write(folder):
    """Makes the folder and its one database (ClamAV's .ndb: name:target:offset:hex)."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "postern-test.ndb")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"{NAME}:0:*:{mail.eicar().hex()}\n")
    os.chmod(folder, 0o755)
    os.chmod(path, 0o644)
    return folder
