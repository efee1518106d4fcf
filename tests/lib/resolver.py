"""The DNS as a mail server sees it: the real unbound with a root of our own, that asks rbldnsd for lists."""

import os
import socket
import subprocess

from dnslists import query
from ports import free_port
from waiting import wait_until

UNBOUND = "/usr/sbin/unbound"


class Unbound:
    """Knows these records and denies all else, with a SOA: "good.example. MX 10 mx.good.example.". Asks others for
    `lists`, {"zen.test": port}, and keeps what they say for `cache_s` at the most."""

    def __init__(self, folder, records, lists=None, cache_s=1):
        self.folder = folder
        self.records = ["ns. A 127.0.0.1", ". SOA ns. hostmaster. 1 60 60 60 1", *records]
        self.lists = lists or {}
        self.cache_s = cache_s
        self.port = free_port(socket.SOCK_DGRAM)
        self.process = None

    def _write(self):
        data = "".join("    local-data: '" + record.replace(". ", ". 1 IN ", 1) + "'\n" for record in self.records)
        zones = "".join(f'    local-zone: "{zone}." transparent\n' for zone in self.lists)
        forward = "".join(f'forward-zone:\n    name: "{zone}."\n    forward-addr: 127.0.0.1@{port}\n'
                          for zone, port in self.lists.items())
        path = os.path.join(self.folder, "unbound.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(f"""server:
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
    num-threads: 1
    cache-max-ttl: {self.cache_s}
    cache-max-negative-ttl: {self.cache_s}
    local-zone: "." static
    local-zone: "113.0.203.in-addr.arpa." static
{zones}{data}remote-control:
    control-enable: no
{forward}""")
        return path

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        path = self._write()
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([UNBOUND, "-d", "-c", path], stdout=log, stderr=log, cwd=self.folder)
        wait_until(lambda: query(self.port, "ns", patience_s=0.3), "unbound to answer")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
