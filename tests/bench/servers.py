"""What is measured: Postern in two configurations, Postfix as Debian ships it, and no relay at all."""

import os
import pwd
import shutil
import socket
import subprocess

import signatures
import tree
from cpu_time import CpuTime
from ports import free_port
from relay import Relay, Settings
from waiting import wait_until

DOMAIN = "example.org"


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Nothing:
    """The generator straight to the sink: the ceiling of every other number."""

    name, title, share = "none", "no relay", 1

    def __init__(self, _folder, sink_port):
        self.port = sink_port
        self.cpu = None

    def start(self):
        pass

    def stop(self):
        pass


class Postern:
    share = 1

    def __init__(self, folder, sink_port, name, title, filters):
        self.name, self.title = name, title
        self.cpu = CpuTime(name)
        place = os.path.join(folder, name)
        os.makedirs(place)
        settings = Settings(connect=(), filters=filters, gateways=[(f"127.0.0.1:{sink_port}", 10)])
        self.relay = Relay(place, signatures.write(os.path.join(folder, "signatures")), settings)
        self.port = self.relay.port
        self.relay.popen = {"start_new_session": True, **tree.plain_user()}
        for path in (place, self.relay.conf):
            os.chown(path, tree.PLAIN_USER, tree.PLAIN_USER)

    def start(self):
        with self.cpu.entered():
            self.relay.start()
        self.cpu.pid = self.relay.process.pid

    def stop(self):
        self.relay.stop()
        self.cpu.close()


MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.test.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.1/32
alias_maps =
alias_database =
local_recipient_maps =
relay_domains = {domain}
relay_recipient_maps =
transport_maps = inline:{{ {{ {domain} = relay:[127.0.0.1]:{sink} }} }}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
"""

# Debian's master.cf less what nothing here uses, without chroot.
MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    name, title, share = "postfix", "Postfix", 5

    def __init__(self, folder, sink_port):
        self.port = free_port()
        self.folder = os.path.join(folder, "postfix")
        self.conf = os.path.join(self.folder, "conf")
        self.cpu = CpuTime(self.name)
        self.is_started = False
        for name in ("conf", "queue", "data"):
            os.makedirs(os.path.join(self.folder, name))
        owner = pwd.getpwnam("postfix")
        os.chown(os.path.join(self.folder, "data"), owner.pw_uid, owner.pw_gid)
        words = {"folder": self.folder, "domain": DOMAIN, "sink": sink_port, "port": self.port}
        for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
            with open(os.path.join(self.conf, name), "w", encoding="ascii") as f:
                f.write(text.format(**words))

    def _postfix(self, word, **options):
        done = subprocess.run(["/usr/sbin/postfix", "-c", self.conf, word], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False, **options)
        if done.returncode != 0:
            raise AssertionError(f"postfix {word}: {done.stdout}{done.stderr}{self.log()}")

    def log(self):
        path = os.path.join(self.folder, "log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def start(self):
        with self.cpu.entered():
            self._postfix("start", start_new_session=True)
        self.is_started = True
        wait_until(lambda: is_listening(self.port), lambda: f"Postfix: {self.log()}")
        with open(os.path.join(self.folder, "queue", "pid", "master.pid"), encoding="ascii") as f:
            self.cpu.pid = int(f.read())

    def stop(self):
        if self.is_started:
            self._postfix("stop")
            self.is_started = False
        self.cpu.close()


def fresh_folder():
    """BUILD/bench, emptied; SystemExit where the users of the servers cannot enter it."""
    kept = os.path.join(tree.BUILD, "bench")
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept, mode=0o755)
    os.chmod(kept, 0o755)
    try:
        subprocess.run([tree.POSTERN, "--help"], check=True, capture_output=True, **tree.plain_user())
    except (OSError, subprocess.SubprocessError):
        raise SystemExit("bench: other users cannot enter this folder, and neither server runs as root; "
                         "put the tree elsewhere") from None
    return kept
