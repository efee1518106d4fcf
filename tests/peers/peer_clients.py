"""Programs that send mail: swaks, Postfix's smtp-source, nodemailer.

Each is a function of port, tls ("none" or "starttls"), file, sender, recipients that raises AssertionError
when the program says that it failed; the file has CRLF lines.
"""

import glob
import os
import shutil
import subprocess

import fetch
import tree

SEND_S = 120


def _run(words, **options):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SEND_S,
                          check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _with_unix_lines(file, without_last=False):
    """A copy with LF lines, for programs that make them CRLF."""
    place = file + ".lf"
    with open(file, "rb") as f, open(place, "wb") as out:
        text = f.read().replace(b"\r\n", b"\n")
        out.write(text.removesuffix(b"\n") if without_last else text)
    return place


def swaks(port, tls, file, sender, to):
    env = dict(os.environ)
    if not shutil.which("perl"):
        raise fetch.Missing("no perl here")
    script = shutil.which("swaks") or fetch.package("swaks") + "/usr/bin/swaks"
    if subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False).returncode != 0:
        env["PERL5LIB"] = ":".join(glob.glob(fetch.package("libnet-ssleay-perl") + "/usr/lib/*/perl5/*"))
    _run(["perl", script, "--server", "127.0.0.1", "--port", str(port), "--ehlo", "swaks.example", "--from", sender,
          "--to", ",".join(to), "--data", "@" + _with_unix_lines(file, without_last=True), "--no-hints",
          *(["--tls"] if tls == "starttls" else [])], env=env)


def smtp_source(port, tls, file, sender, to, sessions=1, messages=1):
    if tls != "none":
        raise fetch.Missing("smtp-source of Postfix 3.7 speaks no TLS")
    if len(to) != 1:
        raise fetch.Missing("smtp-source makes its recipients up")
    _run([fetch.program("/usr/sbin/smtp-source", "postfix"), "-s", str(sessions), "-m", str(messages), "-f", sender,
          "-t", to[0], "-M", "source.example", "-F", _with_unix_lines(file), f"127.0.0.1:{port}"],
         env={**os.environ, "LD_LIBRARY_PATH": os.path.join(fetch.PEERS, "tree", "postfix", "usr", "lib", "postfix")})


def nodemailer(port, tls, file, sender, to):
    send = os.path.join(tree.ROOT, "tests", "peers", "send.mjs")
    _run(["node", send, str(port), tls, file, sender, *to], cwd=fetch.nodemailer())


CLIENTS = {"swaks": swaks, "smtp-source": smtp_source, "nodemailer": nodemailer}
ADDED = {"smtp-source": b"\r\n"}  # what a program puts behind every message
