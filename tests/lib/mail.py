"""Messages to send: bytes with CRLF lines."""

import base64
import itertools

# The harmless test file every scanner knows, in pieces: no file of this tree holds it as a whole.
_EICAR = ("X5O!P%@AP[4", "\\PZX54(P^)", "7CC)7}$EICAR-STAND", "ARD-ANTIVIRUS-TE", "ST-FILE!$H+H*")
_numbers = itertools.count(1)


def eicar():
    return "".join(_EICAR).encode("ascii")


def crlf(text):
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8")


def plain(subject=None, body="Hello.\n", headers="", sender="alice@sender.example", to="bob@example.org"):
    """A simple text message; `headers` are further lines, each with its newline."""
    number = next(_numbers)
    return crlf(
        f"From: Alice <{sender}>\nTo: <{to}>\nSubject: {subject or f'test {number}'}\n"
        f"Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <test-{number}@sender.example>\n"
        f"{headers}\n{body}")


def with_attachment(content, subject="with an attachment", name="report.bin", headers=""):
    """multipart/mixed with a text part and `content` in base64."""
    coded = "\n".join(base64.encodebytes(content).decode("ascii").split())
    return plain(
        subject,
        headers=headers + 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=_edge"\n',
        body=f"--=_edge\nContent-Type: text/plain; charset=utf-8\n\nSee the attachment.\n"
             f'--=_edge\nContent-Type: application/octet-stream; name="{name}"\n'
             f'Content-Disposition: attachment; filename="{name}"\nContent-Transfer-Encoding: base64\n\n'
             f"{coded}\n--=_edge--\n")
