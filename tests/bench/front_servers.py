"""What make bench-front compares: Postern, Postfix's smtpd, and Postfix's postscreen before it.

All know the clients by address alone: 127.1.0.0/16 is taken, 127.2.0.0/16 refused by a rule.
"""

import os
import subprocess

import certs
import signatures
import tree
from cpu_time import CpuTime
from measured import MAIN_CF_HEAD, MeasuredPostfix, MeasuredRelay
from ports import free_port
from relay import Relay, Settings

REFUSED = "127.2.0.0/16"
SMTPD_MAX = 1100
MANY = 12000  # sessions at once


def tree_of(root):
    """The process and its descendants, by one look at all there are: a server may have a thousand."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            children.setdefault(parent, []).append(int(entry))
    found = [root]
    for pid in found:  # which grows meanwhile
        found += children.get(pid, [])
    return found


class Server:
    """`ports`: {what is measured: port}; what a server has not is not measured."""

    def pids(self):
        return tree_of(self.pid)


class Postern(MeasuredRelay, Server):
    name = "Postern"

    def __init__(self, folder, certificate, fronts=1):
        place = os.path.join(folder, "postern")
        os.makedirs(place)
        self.cpu = CpuTime("front")
        self.relay = Relay(place, signatures.write(os.path.join(folder, "signatures")), Settings(
            connect=("access",), filters=(), refuse_at="banner", gateways=[(f"127.0.0.1:{free_port()}", 10)],
            listen="limits { command_timeout = 1h }", sections=f"fronts = {fronts}\n" + certs.section(certificate)))
        self.relay.popen = {"start_new_session": True}
        self.ports = dict.fromkeys(("sessions", "refused", "handshakes"), self.relay.port)

    def start(self):
        super().start()
        self.relay.policy(f"reject client {REFUSED}\n")


MAIN_CF = MAIN_CF_HEAD + """\
mydestination = example.org
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_restrictions = check_client_access cidr:{folder}/conf/access
smtpd_delay_reject = no
smtpd_timeout = 1h
max_idle = 5s
smtpd_tls_security_level = may
smtpd_tls_cert_file = {pem}
smtpd_tls_key_file = {key}
postscreen_tls_security_level = may
postscreen_access_list = cidr:{folder}/conf/screen
postscreen_denylist_action = drop
postscreen_greet_wait = 1s
postscreen_pre_queue_limit = {many}
postscreen_post_queue_limit = {many}
postscreen_command_time_limit = 1h
postscreen_cache_cleanup_interval = 0
"""

MASTER_CF = """\
127.0.0.1:{smtpd} inet n - n - {smtpd_max} smtpd
127.0.0.1:{screen} inet n - n - 1 postscreen -o postscreen_cache_map=btree:{folder}/data/a
127.0.0.1:{held} inet n - n - 1 postscreen -o postscreen_cache_map=btree:{folder}/data/b -o postscreen_access_list= -o postscreen_pipelining_enable=yes -o postscreen_pipelining_action=enforce
smtpd     pass  - - n - - smtpd
dnsblog   unix  - - n - 0 dnsblog
tlsproxy  unix  - - n - 0 tlsproxy
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(MeasuredPostfix, Server):
    """One instance; smtpd alone on one port, postscreen before it on another, and on a third a postscreen
    that keeps its clients for its tests behind the banner."""

    name = "Postfix"

    def __init__(self, folder, certificate):
        place = os.path.join(folder, "postfix")
        self.smtpd, self.screen, self.held = listens = free_port(), free_port(), free_port()
        words = {"folder": place, "pem": certificate.pem, "key": certificate.key, "smtpd": self.smtpd,
                 "screen": self.screen, "held": self.held, "smtpd_max": SMTPD_MAX, "many": MANY}
        super().__init__(place, CpuTime("front-postfix"), {
            "main.cf": MAIN_CF.format(**words), "master.cf": MASTER_CF.format(**words),
            "access": f"{REFUSED} REJECT\n", "screen": f"{REFUSED} reject\n127.0.0.0/8 permit\n"}, listens)


class Part:
    """A way into that Postfix, with a name of its own."""

    def __init__(self, postfix, name, ports):
        self.postfix, self.name, self.ports = postfix, name, ports
        self.cpu = postfix.cpu


def all_of(folder):
    """Servers to start and stop, and those that are measured."""
    certificate = certs.Certificate(folder, "cert")
    postern, postfix = Postern(folder, certificate), Postfix(folder, certificate)
    return (postern, postfix), (
        postern,
        Part(postfix, "Postfix smtpd", {"sessions": postfix.smtpd, "refused": postfix.smtpd,
                                        "handshakes": postfix.smtpd}),
        Part(postfix, "Postfix postscreen", {"sessions": postfix.screen, "refused": postfix.screen}))


def openssl_signs():
    """ECDSA P-256 signatures a second of one core, by openssl's own measure."""
    done = subprocess.run(["openssl", "speed", "-seconds", "1", "ecdsap256"], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-2])


LOAD = os.path.join(tree.BUILD, "tests", "front_load")
