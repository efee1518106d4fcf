"""Certificates for tests, made by the openssl program: authorities, and servers they have signed."""

import os
import subprocess


def _openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(words)}: {done.stderr}")


class Authority:
    """Signs; `pem` is the file that whoever trusts it is given."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        self.pem, self.key = self._path(name + ".pem"), self._path(name + ".key")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN=Test authority {name}", "-days", "2", "-keyout", self.key, "-out", self.pem,
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def server(self, *names):
        """A PEM file with the certificate and the key of a server called so: "DNS:mx.example"."""
        base = self._path(f"{self.name}-{names[0].replace(':', '-')}")
        with open(base + ".ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName={','.join(names)}\n")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", "/CN=test server", "-keyout", base + ".key", "-out", base + ".csr")
        _openssl("x509", "-req", "-in", base + ".csr", "-CA", self.pem, "-CAkey", self.key,
                 "-CAcreateserial", "-days", "2", "-extfile", base + ".ext", "-out", base + ".crt")
        with open(base + ".pem", "w", encoding="ascii") as out:
            for part in (".crt", ".key"):
                with open(base + part, encoding="ascii") as f:
                    out.write(f.read())
        return base + ".pem"
