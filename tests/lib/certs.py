"""Certificates, keys and lines of users, made for a test."""

import base64
import hashlib
import hmac
import os
import subprocess

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-newkey", "rsa:2048")


class Certificate:
    """A self-signed certificate NAME.pem with its key NAME.key in a folder."""

    def __init__(self, folder, name, kind=EC, hosts=("mx.test.example",)):
        self.pem = os.path.join(folder, name + ".pem")
        self.key = os.path.join(folder, name + ".key")
        subprocess.run(
            ["openssl", "req", "-x509", *kind, "-nodes", "-keyout", self.key, "-out", self.pem, "-days", "30",
             "-subj", f"/CN={hosts[0]}", "-addext", "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts)],
            check=True, capture_output=True)
        os.chmod(self.key, 0o600)

    @property
    def der(self):
        with open(self.pem, encoding="ascii") as f:
            return base64.b64decode("".join(line for line in f if not line.startswith("-")))

    def secret(self):
        """The bytes that nobody else may have: the scalar of an EC key, a prime of an RSA key."""
        text = subprocess.run(["openssl", "pkey", "-in", self.key, "-noout", "-text"],
                              check=True, capture_output=True, text=True).stdout
        label = "prime1:" if "prime1:" in text else "priv:"
        digits = ""
        for line in text.split(label, 1)[1].splitlines()[1:]:
            if not line.startswith("    "):
                break
            digits += line.strip().replace(":", "")
        return bytes.fromhex(digits).lstrip(b"\0")


def section(*certificates, minimum=None):
    """The tls section of a configuration."""
    files = lambda kind: "{" + ", ".join(f'"{getattr(c, kind)}"' for c in certificates) + "}"
    lowest = f' minimum = "{minimum}"' if minimum else ""
    return f'tls {{ certificate = {files("pem")}  key = {files("key")}{lowest} }}\n'


def _base64(data):
    return base64.b64encode(data).decode("ascii")


def scram_line(name, password, iterations=4096, salt=b"saltsaltsaltsalt"):
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"{name}:{{SCRAM-SHA-256}}{iterations},{_base64(salt)},{_base64(stored)},{_base64(server)}\n"


def scrypt_line(name, password, salt=b"salt of scrypt"):
    done = hashlib.scrypt(password.encode(), salt=salt, n=4096, r=8, p=1, dklen=32)
    return f"{name}:{{scrypt}}4096,8,1,{_base64(salt)},{_base64(done)}\n"


class Scram:
    """A client of SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

    def __init__(self, name, password, nonce="fyko+d2lbbFgONRv9qkxdawL"):
        self.bare = f"n={name},r={nonce}"
        self.password = password

    def first(self):
        return _base64(f"n,,{self.bare}".encode())

    def final(self, challenge):
        """The final message for the server's first, and what the server must say then."""
        server_first = base64.b64decode(challenge).decode()
        parts = dict(p.split("=", 1) for p in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={parts['r']}"
        message = f"{self.bare},{server_first},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return _base64(f"{without_proof},p={_base64(proof)}".encode()), _base64(b"v=" + _base64(expected).encode())
