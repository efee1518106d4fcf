"""A whole relay on loopback ports: its configuration, its processes, its command line."""

import glob
import json
import os
import re
import select
import signal
import subprocess

import tree
from ports import free_port
from waiting import PATIENCE_S, wait_until

ROLES = ("supervisor", "front", "lookup", "filter", "spool", "journal", "web", "key")
STOP_S = 60
# What no log of a run may hold: a sanitizer's report or a failed must().
ALARMS = re.compile(rb"(AddressSanitizer|LeakSanitizer|runtime error:|must failed|SUMMARY: |malloc\w*\(\): |free\(\): |corrupted )[^\n]*")

# A role or worker that ended by a signal of its own making.
DEATHS = re.compile(rb'"event":"(?:role|worker) died"[^\n]*"signal":(?:4|5|6|7|8|11|31)\b[^\n]*')


def alarms_below(folder):
    """What the logs of relays below `folder` say that no slowness explains: [(path, text), …]."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(folder), "**", "log"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                text = f.read()
            found += [(path, m.group(0).decode("utf-8", "replace")) for alarm in (ALARMS, DEATHS) for m in alarm.finditer(text)]
    return found


class Settings:
    """The parts of a postern.conf that tests vary; text() is the whole of it."""

    def __init__(self, **changes):
        self.hostname = "mx.test.example"
        self.refuse_at = "rcpt"
        self.connect = ("access", "dnsbl", "ptr")
        self.filters = ("antivirus", "header", "content", "tag")
        self.flow = ""          # further lines of the flow
        self.xclient = "127.0.0.1"  # who may send XCLIENT
        self.listen = ""        # further words of the listener
        self.score = ""         # 'tag = 4  reject = 12'
        self.max_size = "10M"
        self.max_recipients = 100
        self.gateway = ""       # further words of the gateway "inside"
        self.gateways = ()      # [(address, preference), …] of the gateway "inside"
        self.recipients = None  # file with the recipients of example.org; None: any
        self.domains = ""       # further domain sections
        self.dns_port = None    # None: a port where nobody answers
        self.dns_timeout = "20s"  # never met where somebody answers, on a busy machine either
        self.banner_wait = "20s"
        self.dns = ""           # further words of dns
        self.antivirus = ""     # further words of the filter "antivirus"
        self.retry = "1s, 1s, 2s"
        self.expire = "5d"
        self.queue = ""
        self.sections = ""      # whatever else
        for name, value in changes.items():
            if not hasattr(self, name):
                raise TypeError(f"no setting {name}")
            setattr(self, name, value)

    def text(self, relay):
        words = lambda items: "{" + ", ".join(f'"{i}"' for i in items) + "}"
        servers = "\n".join(f'    server "{a}" {{ preference = {p} }}' for a, p in self.gateways)
        recipients = f"file:{self.recipients}" if self.recipients else "any"
        score = f"    score {{ {self.score} }}\n" if self.score else ""
        return f"""# written by the test
hostname   = "{self.hostname}"
postmaster = "postmaster@example.org"
state_dir  = "{relay.state}"
run_dir    = "{relay.run}"
listen "internet" {{ address = {{"127.0.0.1:{relay.port}"}}  flow = "inbound"  xclient = {{"{self.xclient}"}} {self.listen} }}
dns {{ servers = {{"127.0.0.1:{self.dns_port or relay.silent_port}"}}  timeout = {self.dns_timeout}  banner_wait = {self.banner_wait} {self.dns} }}
flow "inbound" {{
    relay     = "domains"
    refuse_at = "{self.refuse_at}"
    connect   = {words(self.connect)}
    filters   = {words(self.filters)}
{score}    max_size  = {self.max_size}
    max_recipients = {self.max_recipients}
    {self.flow}
}}
domain "example.org" {{ gateway = "inside"  recipients = "{recipients}" }}
{self.domains}
gateway "inside" {{
{servers}
    tls = "off"
    {self.gateway}
}}
filter "antivirus" {{ plugin = "clamav"  databases = "{relay.signatures}" {self.antivirus} }}
queue {{ retry = {{{self.retry}}}  warn_after = 4h  expire_after = {self.expire}  min_free = 1M {self.queue} }}
{self.sections}
"""


class Done:
    """How a command ended."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        """Of JSON lines, each."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


def command(*words, stdin=None, patience_s=PATIENCE_S):
    """Runs build/postern with these words."""
    done = subprocess.run([tree.POSTERN, *words], input=stdin, text=True, capture_output=True,
                          timeout=patience_s, env=environment(), check=False)
    return Done(done.returncode, done.stdout, done.stderr)


# ASAN_OPTIONS where memory is measured: what ASAN keeps of freed memory looks like growth until it is full.
SMALL_QUARANTINE = "quarantine_size_mb=4:thread_local_quarantine_size_kb=64:malloc_context_size=8"


def environment():
    # Leaks are the unit tests' to find: a role ends by _exit, and its sandbox forbids the ptrace
    # that the leak checker needs.
    return {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", ""),
            "UBSAN_OPTIONS": "print_stacktrace=1", "LC_ALL": "C.UTF-8"}


class Relay:
    """Lives in `folder`, which others may enter; `signatures` is a folder made beforehand."""

    def __init__(self, folder, signatures, settings=None):
        self.folder = folder
        self.state = os.path.join(folder, "state")
        self.run = os.path.join(folder, "run")
        self.conf = os.path.join(folder, "postern.conf")
        self.log_path = os.path.join(folder, "log")
        self.signatures = signatures
        self.port = free_port()
        self.silent_port = free_port()
        self.settings = settings or Settings()
        self.process = None
        self.program = tree.POSTERN
        self.popen = {}  # further keywords for Popen: another user, another session
        self.write()

    def write(self, text=None):
        """Writes the configuration anew, from the settings or as given."""
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(text if text is not None else self.settings.text(self))
        os.chmod(self.conf, 0o644)

    def spawn(self):
        """Starts `postern run` without waiting for `ready`."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "run", "-c", self.conf, "--log=json"],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment(), **self.popen)
        return self

    def start(self):
        self.spawn()
        has_said, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        if not has_said:
            self.process.kill()
        line = self.process.stdout.readline()
        if line.strip() != "ready":
            status = self.process.wait()
            self.process.stdout.close()
            self.process = None
            raise AssertionError(f"relay did not start (status {status}, said {line!r}):\n{self.log()[-4000:]}")
        return self

    def start_with_policy(self, text):
        self.start()
        self.policy(text)
        return self

    def stop(self):
        """Ends it with SIGTERM; AssertionError when that fails or a sanitizer had something to say."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.terminate()
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"SIGTERM did not end the relay in {STOP_S} s:\n{self.log()[-4000:]}") from None
        finally:
            process.stdout.close()
        self.check_log()
        if status != 0:
            raise AssertionError(f"relay ended with status {status}:\n{self.log()[-4000:]}")

    def kill(self):
        """SIGKILL to the supervisor; its roles must follow it."""
        children = [pid for pids in self.roles().values() for pid in pids]
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None
        wait_until(lambda: not any(is_alive(p) for p in children), "the roles to end after their supervisor")

    def restart(self):
        self.stop()
        return self.start()

    def reload(self):
        return self.command("reload")

    # --- what it says ---

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def check_log(self):
        with open(self.log_path, "rb") as f:
            found = ALARMS.search(f.read())
        if found:
            raise AssertionError(f"{found.group(0).decode('utf-8', 'replace')}; whole log:\n{self.log()[-8000:]}")

    def events(self, name=None):
        found = []
        for line in self.log().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and (name is None or event.get("event") == name):
                found.append(event)
        return found

    def command(self, *words, **options):
        return command("-c", self.conf, *words, **options)

    def policy(self, text):
        """Makes this the live policy."""
        done = self.command("policy", "import", "-", stdin=text)
        if done.status != 0:
            raise AssertionError(f"policy import: {done}")

    # --- its processes ---

    def roles(self):
        """{role: [pid, …]}: the supervisor, a child of `postern run`, and the supervisor's children."""
        found = {}
        supervisors = children_of(self.process.pid)
        for pid in supervisors + [pid for parent in supervisors for pid in children_of(parent)]:
            name = program_of(pid)
            if name:
                found.setdefault(name, []).append(pid)
        return found

    def role(self, name, patience_s=PATIENCE_S):
        """Pid of a role, waiting for it to be there."""
        return wait_until(lambda: self.roles().get(name), f"role {name}; there are {self.roles()}", patience_s)[0]

    def workers(self):
        """Pids of the filter zygote's children."""
        return children_of(self.role("filter"))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    state, parent = text[text.rindex(")") + 2:].split()[:2]
    return name, state, int(parent)


def is_alive(pid):
    stat = _stat(pid)
    return stat is not None and stat[1] not in "ZX"


def children_of(parent):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(entry)
            if stat is not None and stat[2] == parent and stat[1] not in "ZX":
                found.append(int(entry))
    return sorted(found)


def program_of(pid):
    """Name of the role a process runs: by its executable, or by its own name where that is not shown."""
    try:
        path = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        return os.path.basename(path) if "/libexec/postern/" in path else None
    except OSError:
        stat = _stat(pid)
        return stat[0].removeprefix("postern-") if stat else None


def kill_hard(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has followed another that was killed
    wait_until(lambda: not is_alive(pid), f"process {pid} to die")
