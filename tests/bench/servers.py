"""What is measured: Postern in two configurations, Postfix as Debian ships it, and no relay at all."""

import os
import re
import shutil
import subprocess

import signatures
import tree
from cases import BACKLOG, DURABLE, SLOW, THROUGH
from cpu_time import CpuTime
from measured import MAIN_CF_HEAD, MeasuredPostfix, MeasuredRelay
from ports import free_port
from relay import Relay, Settings, environment


SYNC_CALL = re.compile(rb"^\d+ +(?:fsync|fdatasync|syncfs|sync_file_range|msync|sync)\(", re.M)


class SyncTrace:
    """Counts the syncs of a server started under strace, which looks at these calls only."""

    def __init__(self, path):
        self.path = path
        # -D: the server is our child, and strace a process apart that ends with the last of its.
        self.words = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", path,
                      "-e", "trace=fsync,fdatasync,syncfs,sync_file_range,msync,sync"]

    def count(self):
        with open(self.path, "rb") as f:
            return len(SYNC_CALL.findall(f.read()))


class TracedRelay(Relay):
    def trace(self):
        self.syncs = SyncTrace(os.path.join(self.folder, "trace"))
        return self

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.syncs.words, tree.POSTERN, "run", "-c", self.conf, "--log=json"],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment(), **self.popen)
        return self


class Nothing:
    """The generator straight to the sink: the ceiling of every other number."""

    name, title, share = "none", "no relay", 1

    def __init__(self, _folder, sinks):
        self.port = sinks[DURABLE.domain].port
        self.cpu = None

    def start(self):
        pass

    def stop(self):
        pass


def other_domains(sinks):
    """Sections of a postern.conf: the domains that are not example.org, each with its gateway."""
    dead = free_port()  # nobody listens there
    text = ""
    for domain, port, words in ((THROUGH.domain, sinks[THROUGH.domain].port, 'accept = "through"'),
                                (SLOW.domain, sinks[SLOW.domain].port, ""), (BACKLOG.domain, dead, "")):
        text += (f'domain "{domain}" {{ gateway = "{domain}"  recipients = "any" }}\n'
                 f'gateway "{domain}" {{ server "127.0.0.1:{port}" {{ }} {words} }}\n')
    return text


class Postern(MeasuredRelay):
    share = 1

    def __init__(self, folder, sinks, name, title, filters=(), is_traced=False):
        self.name, self.title = name, title
        self.cpu = CpuTime(name)
        place = os.path.join(folder, name)
        os.makedirs(place)
        settings = Settings(connect=(), filters=filters, sections=other_domains(sinks),
                            gateways=[(f"127.0.0.1:{sinks[DURABLE.domain].port}", 10)])
        known = signatures.write(os.path.join(folder, "signatures"))
        self.relay = (TracedRelay(place, known, settings).trace() if is_traced
                      else Relay(place, known, settings))
        self.syncs = self.relay.syncs if is_traced else None
        self.port = self.relay.port
        self.relay.popen = {"start_new_session": True, **tree.plain_user()}
        for path in (place, self.relay.conf):
            os.chown(path, tree.PLAIN_USER, tree.PLAIN_USER)


MAIN_CF = MAIN_CF_HEAD + """\
mydestination =
local_recipient_maps =
relay_domains = {domains}
relay_recipient_maps =
transport_maps = inline:{{ {transports} }}
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


class Postfix(MeasuredPostfix):
    share = 5

    def __init__(self, folder, sinks, name="postfix", title="Postfix", is_traced=False):
        self.name, self.title = name, title
        self.port = free_port()
        place = os.path.join(folder, name)
        words = {"folder": place, "port": self.port, "domains": " ".join(sinks), "transports": ", ".join(
            f"{{ {domain} = relay:[127.0.0.1]:{sink.port} }}" for domain, sink in sinks.items())}
        super().__init__(place, CpuTime(name), {"main.cf": MAIN_CF.format(**words),
                                                "master.cf": MASTER_CF.format(**words)}, (self.port,))
        self.syncs = SyncTrace(os.path.join(self.folder, "trace")) if is_traced else None

    def start(self):
        super().start(self.syncs.words if self.syncs else ())


def fresh_folder(name="bench"):
    """BUILD/name, emptied; SystemExit where the users of the servers cannot enter it."""
    kept = os.path.join(tree.BUILD, name)
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept, mode=0o755)
    os.chmod(kept, 0o755)
    try:
        subprocess.run([tree.POSTERN, "--help"], check=True, capture_output=True, **tree.plain_user())
    except (OSError, subprocess.SubprocessError):
        raise SystemExit("bench: other users cannot enter this folder, and neither server runs as root; "
                         "put the tree elsewhere") from None
    return kept
