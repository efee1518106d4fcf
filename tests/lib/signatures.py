"""A virus signature folder that knows one thing: the EICAR test file."""

import os

import mail

NAME = "Postern-Test-EICAR"


def write(folder):
    """Makes the folder and its one database (ClamAV's .ndb: name:target:offset:hex)."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "postern-test.ndb")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"{NAME}:0:*:{mail.eicar().hex()}\n")
    os.chmod(folder, 0o755)
    os.chmod(path, 0o644)
    return folder
