"""LDAP for tests: the real slapd with people of our own, and a small server that can misbehave."""

import os
import socket
import subprocess
import threading

import tree
from ports import free_port
from waiting import wait_until

BASE = "dc=test,dc=example"
ADMIN, PASSWORD = f"cn=admin,{BASE}", "s3cret-of-the-test"
SLAPD, SCHEMA, MODULES = "/usr/sbin/slapd", "/etc/ldap/schema", "/usr/lib/ldap"


def _accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Slapd:
    """`people`: mail addresses. `certificate`: a PEM file with certificate and key, for StartTLS on `port` and
    ldaps on `tls_port`; `needs_bind`: nobody reads without signing in as ADMIN."""

    def __init__(self, folder, people, certificate=None, needs_bind=False):
        self.folder = folder
        self.people = list(people)
        self.certificate = certificate
        self.needs_bind = needs_bind
        self.port, self.tls_port = free_port(), free_port()
        self.process = None

    @property
    def uri(self):
        return f"ldap://127.0.0.1:{self.port}"

    def _write(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data, exist_ok=True)
        tls = ""
        if self.certificate:
            tls = f"TLSCertificateFile {self.certificate}\nTLSCertificateKeyFile {self.certificate}\n"
        access = f"require authc\naccess to * by dn.exact=\"{ADMIN}\" read by anonymous auth by * none\n"
        with open(os.path.join(self.folder, "slapd.conf"), "w", encoding="utf-8") as f:
            f.write("".join(f"include {SCHEMA}/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
                    + f"modulepath {MODULES}\nmoduleload back_mdb\npidfile {self.folder}/pid\n{tls}"
                    + f"database mdb\nmaxsize 10485760\nsuffix \"{BASE}\"\nrootdn \"{ADMIN}\"\nrootpw {PASSWORD}\n"
                    + f"directory {data}\nindex mail eq\n" + (access if self.needs_bind else ""))
        with open(os.path.join(self.folder, "people.ldif"), "w", encoding="utf-8") as f:
            f.write(f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: test\n\n")
            for i, mail in enumerate(self.people):
                f.write(f"dn: cn=p{i},{BASE}\nobjectClass: inetOrgPerson\ncn: p{i}\nsn: p{i}\nmail: {mail}\n\n")

    def start(self):
        conf = os.path.join(self.folder, "slapd.conf")
        if not os.path.isdir(self.folder):
            os.makedirs(self.folder)
            self._write()
            done = subprocess.run([SLAPD, "-Ta", "-f", conf, "-l", os.path.join(self.folder, "people.ldif")],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise AssertionError(f"slapadd: {done.stderr}")
        urls = self.uri + (f" ldaps://127.0.0.1:{self.tls_port}" if self.certificate else "")
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([SLAPD, "-d", "0", "-f", conf, "-h", urls], stdout=log, stderr=log)
        wait_until(lambda: _accepts(self.port), "slapd to listen")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


def _tlv(tag, *parts):
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + size + body


def result(msgid, operation, code, text=b""):
    """An LDAPResult (RFC 4511 section 4.1.9) for the message `msgid`."""
    return _tlv(0x30, _tlv(2, bytes([msgid])), _tlv(operation, _tlv(10, bytes([code])), _tlv(4), _tlv(4, text)))


SEARCH, SEARCH_ENTRY, SEARCH_DONE, SUBSTRINGS = 0x63, 0x64, 0x65, 0xA4


def _first_message(data):
    """How many bytes of `data` the first message has (BER, definite length), 0: not all of it is there."""
    if len(data) < 2 or data[0] != 0x30:
        return len(data)  # no LDAP: as it came
    more = data[1] & 0x7f if data[1] >= 0x80 else 0
    size = int.from_bytes(data[2:2 + more], "big") if more else data[1]
    return 2 + more + size if len(data) >= 2 + more + size else 0


class FakeDirectory:
    """A TCP server on `port`: answer(message) gives the bytes to send back for each message, None: silence.
    `greeting` is said at once."""

    def __init__(self, answer, port=None, greeting=b""):
        self.answer = answer
        self.greeting = greeting
        self.port = port or free_port()
        self.socket = None
        self.clients = []

    @property
    def uri(self):
        return f"ldap://127.0.0.1:{self.port}"

    def _talk(self, client):
        try:
            client.sendall(self.greeting)
            data = b""
            while more := client.recv(65536):
                data += more
                while size := _first_message(data):
                    answer = self.answer(data[:size])
                    data = data[size:]
                    if answer:
                        client.sendall(answer)
        except OSError:
            pass  # it, or we, have gone

    def _serve(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def start(self):
        self.socket = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        threading.Thread(target=self._serve, args=(self.socket,), daemon=True).start()
        return self

    def stop(self):
        if self.socket is None:
            return
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.socket = None
        for client in self.clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone by itself
            client.close()
        self.clients = []


def found(msgid):
    """One entry and the end of the search that found it."""
    entry = _tlv(0x30, _tlv(2, bytes([msgid])), _tlv(SEARCH_ENTRY, _tlv(4, f"cn=p0,{BASE}".encode()), _tlv(0x30)))
    return entry + result(msgid, SEARCH_DONE, 0)


def search_answer(code, knows_others=False):
    """An answer() that ends each search with this result code; a search's message id has one byte here.
    `knows_others`: one for anybody whose address ends in something finds somebody."""
    def answer(message):
        if SEARCH not in message[:8]:
            return None
        if knows_others and SUBSTRINGS in message:
            return found(message[4])
        return result(message[4], SEARCH_DONE, code)
    return answer
