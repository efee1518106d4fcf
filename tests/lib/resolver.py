"""The DNS as a mail server sees it: nsd with a root of our own, and unbound before it that asks rbldnsd for lists."""

import os
import socket
import subprocess

import tree
from dnslists import query
from ports import free_port
from waiting import wait_until

NSD, UNBOUND = "/usr/sbin/nsd", "/usr/sbin/unbound"


class _Daemon:
    def __init__(self, folder):
        self.folder = folder
        self.port = free_port(socket.SOCK_DGRAM)
        self.process = None

    def _run(self, *words):
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder)

    def _file(self, name, text):
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Nsd(_Daemon):
    """The root zone and all below it, from these lines of a zone file: "good.example. MX 10 mx.good.example."."""

    def __init__(self, folder, records):
        super().__init__(folder)
        self.records = records

    def start(self):
        self._file("root.zone", "$ORIGIN .\n$TTL 60\n@ SOA ns. hostmaster. 1 60 60 60 60\n@ NS ns.\nns. A 127.0.0.1\n"
                   + "".join(record.replace(". ", ". 60 IN ", 1) + "\n" for record in self.records))
        conf = self._file("nsd.conf", f"""server:
    ip-address: 127.0.0.1@{self.port}
    username: ""
    chroot: ""
    zonesdir: "{self.folder}"
    database: ""
    pidfile: ""
    xfrdfile: "{self.folder}/xfrd"
    xfrdir: "{self.folder}"
    zonelistfile: "{self.folder}/list"
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: root.zone
""")
        self._run(NSD, "-d", "-c", conf)
        wait_until(lambda: query(self.port, "ns", patience_s=0.3), "nsd to answer", 15)
        return self


class Unbound(_Daemon):
    """Asks `authority` (a port) for everything but `lists`: {"zen.test": port}."""

    def __init__(self, folder, authority, lists=None):
        super().__init__(folder)
        self.authority = authority
        self.lists = lists or {}

    def start(self):
        forward = lambda name, port: (f"forward-zone:\n    name: \"{name}\"\n"
                                      f"    forward-addr: 127.0.0.1@{port}\n")
        conf = self._file("unbound.conf", f"""server:
    interface: 127.0.0.1@{self.port}
    do-daemonize: no
    do-ip6: no
    do-not-query-localhost: no
    username: ""
    chroot: ""
    directory: "{self.folder}"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    local-zone: "test." nodefault
    local-zone: "invalid." nodefault
    local-zone: "113.0.203.in-addr.arpa." nodefault
    num-threads: 1
    cache-max-ttl: 1
    cache-max-negative-ttl: 1
remote-control:
    control-enable: no
""" + forward(".", self.authority) + "".join(forward(zone, port) for zone, port in self.lists.items()))
        self._run(UNBOUND, "-d", "-c", conf)
        wait_until(lambda: query(self.port, "ns", patience_s=0.3), "unbound to answer", 15)
        return self
