"""What make bench-scan compares: the relay with its virus scanner, Postfix with Debian's clamav-milter and clamd, and
libclamav in a bare loop."""

import json
import os
import subprocess
import sys

import tree
from cpu_time import CpuTime
from measured import MeasuredRelay, is_listening
from ports import free_port
from relay import Relay, Settings, children_of
from servers import Postfix
from waiting import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers"))

import fetch  # noqa: E402

LOAD_S = 120  # for signatures to be loaded
CORES = len(os.sched_getaffinity(0))
# Nothing of the corpus is refused: what is found is tagged, and what fails is heard as 451.
OUTCOMES = 'infected = "tag"  unscannable = "tag"  encrypted = "tag"  macro = "tag"  malformed = "tag"  deadline = 60s'


class Loop:
    """scan_loop: as many processes as cores, loaded once, started anew for each measurement."""

    name, title, program = "loop", f"libclamav in a bare loop, {CORES} processes", "scan_loop"

    def __init__(self, folder, databases, corpus):
        self.words = [os.path.join(tree.BUILD, "tests", self.program), databases, corpus, folder, str(CORES)]
        os.makedirs(folder)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)  # as the servers: a kernel may share out by session
        self.say("fork 1")  # it has loaded

    def say(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        if self.process is not None:
            self.process.communicate()


class QuickLoop(Loop):
    """The same with the relay's sscanf."""

    name, title, program = "quick", "the loop with the relay's sscanf", "scan_loop_quick"


class Scanner(MeasuredRelay):
    """The relay with one filter."""

    name, title = "postern", "Postern, antivirus"

    def __init__(self, folder, sink, databases):
        self.folder = os.path.join(folder, self.name)
        self.cpu = CpuTime(self.name)
        os.makedirs(self.folder)
        self.relay = Relay(self.folder, databases, Settings(
            connect=(), filters=("antivirus",), antivirus=OUTCOMES, gateways=[(f"127.0.0.1:{sink.port}", 10)]))
        self.relay.popen = {"start_new_session": True, **tree.plain_user()}
        self.port = self.relay.port
        for path in (self.folder, self.relay.conf):
            os.chown(path, tree.PLAIN_USER, tree.PLAIN_USER)

    def filters(self):
        """{pid of a filter role: [pids of its workers]}: two while one follows the other."""
        return {pid: children_of(pid) for pid in self.relay.roles().get("filter", [])}


# The limits and alerts of our filter's defaults, where clamd has a word for them; the rest as Debian ships it.
CLAMD_CONF = """\
LocalSocket {folder}/clamd.socket
DatabaseDirectory {databases}
TemporaryDirectory {folder}/tmp
PidFile {folder}/clamd.pid
LogFile {folder}/clamd.log
LogFileMaxSize 0
Foreground yes
MaxThreads 12
MaxConnectionQueueLength 30
MaxScanSize 400M
MaxFileSize 100M
MaxRecursion 17
MaxFiles 10000
MaxScanTime 45000
StreamMaxLength 100M
AlertExceedsMax yes
AlertEncrypted yes
AlertOLE2Macros yes
DisableCache yes
BytecodeTimeout 60000
SelfCheck 3600
"""

MILTER_CONF = """\
MilterSocket inet:{port}@127.0.0.1
ClamdSocket unix:{folder}/clamd.socket
PidFile {folder}/milter.pid
LogFile {folder}/milter.log
LogFileMaxSize 0
Foreground yes
OnClean Accept
OnInfected Accept
OnFail Defer
AddHeader Replace
MaxFileSize 100M
"""

MILTER_MAIN_CF = """\
smtpd_milters = inet:127.0.0.1:{port}
milter_default_action = tempfail
milter_protocol = 6
"""


class MilterPostfix(Postfix):
    """Out of Debian's packages, unpacked below BUILD/peers, not installed."""

    title = "Postfix, clamav-milter, clamd"

    def __init__(self, folder, sink, databases):
        super().__init__(folder, {"example.org": sink}, "postfix-clamav", self.title)
        self.helpers = []
        self.milter_port = free_port()
        self.clamd = fetch.program("/usr/sbin/clamd", "clamav-daemon")
        self.milter = fetch.program("/usr/sbin/clamav-milter", "clamav-milter")
        words = {"folder": self.folder, "databases": databases, "port": self.milter_port}
        os.makedirs(os.path.join(self.folder, "tmp"))
        for name, text in (("clamd.conf", CLAMD_CONF), ("milter.conf", MILTER_CONF)):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write(text.format(**words))
        with open(os.path.join(self.conf, "main.cf"), "a", encoding="ascii") as f:
            f.write(MILTER_MAIN_CF.format(**words))

    def _help(self, program, name, is_there):
        libraries = os.path.join(fetch.package("libmilter1.0.1"), "usr", "lib", "x86_64-linux-gnu")
        with open(os.path.join(self.folder, "said"), "ab") as said:
            self.helpers.append(subprocess.Popen(
                [program, "-c", os.path.join(self.folder, name)], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={**os.environ, "LD_LIBRARY_PATH": libraries}, start_new_session=True))
        wait_until(is_there, lambda: f"{program}: {self.log()}", LOAD_S)

    def start(self):
        with self.cpu.entered():
            self._help(self.clamd, "clamd.conf", lambda: os.path.exists(os.path.join(self.folder, "clamd.socket")))
            self._help(self.milter, "milter.conf", lambda: is_listening(self.milter_port))
        self.cpu.others = [h.pid for h in self.helpers]
        super().start()

    def stop(self):
        for helper in reversed(self.helpers):
            helper.terminate()
            helper.wait(30)
        super().stop()
