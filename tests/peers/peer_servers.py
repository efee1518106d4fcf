"""Debian's mail servers as they come out of their packages, each in a root of its own (peer_root).

Each takes mail on a loopback port: for `example.org` into a mailbox below its folder, for `plain.example`
and `tls.example` on to two other ports, in the clear or inside TLS.  kept() gives what is in the mailbox as
Gateway.kept() does.
"""

import email
import email.policy
import glob
import os
import re
import subprocess

import fetch
import tree
from ports import free_port
from relay import children_of, kill_hard
from smtp import Client
from waiting import wait_until

ROOT_SCRIPT = os.path.join(tree.ROOT, "tests", "peers", "peer_root")
HOSTNAME = "mx.peer.example"
START_S, STOP_S = 30, 10
BOB = 60598  # owner of the mailbox
# Ids for those users of the packages that this machine has not.
USERS = {"bob": BOB, "postfix": 60701, "Debian-exim": 60702, "opensmtpd": 60703, "opensmtpq": 60704,
         "smmta": 60705, "smmsp": 60706}
GROUPS = {**USERS, "postdrop": 60711}


class Kept:
    """A message in the mailbox; its lines end with CRLF again."""

    def __init__(self, data, sender=None):
        self.bytes = data.replace(b"\n", b"\r\n")
        self.parsed = email.message_from_bytes(self.bytes, policy=email.policy.compat32)
        self.body = self.bytes.partition(b"\r\n\r\n")[2]
        self.sender = sender or (self.header("Return-Path") or [""])[0].strip("<>")
        self.to = self.header("Delivered-To") or self.header("Envelope-To") or ["bob@example.org"]

    def header(self, name):
        return [" ".join(str(v).split()) for v in self.parsed.get_all(name, [])]


class Server:
    """One of them; `plain` and `secure` are ports to which it sends its mail on."""

    packages = libraries = ()

    def __init__(self, folder, plain=1, secure=1):
        self.folder = folder
        self.share, self.work, self.files = (os.path.join(folder, p) for p in ("share", "work", "files"))
        self.mailbox = os.path.join(self.share, "mailbox")
        self.plain, self.secure = plain, secure
        self.port = free_port()
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def words(self):
        """How it is started; it stays in the foreground."""
        raise NotImplementedError

    def configure(self):
        raise NotImplementedError

    def write(self, path, text, mode=0o644):
        """A file of its root."""
        place = self.files + path
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(place, mode)

    def make(self, path, user="root", mode=0o755):
        """A folder of its root."""
        place = self.files + path
        os.makedirs(place, exist_ok=True)
        os.chmod(place, mode)
        uid = 0 if user == "root" else self.ids[user]
        os.chown(place, uid, uid)

    def _write_users(self):
        self.ids = dict(USERS)
        for path, wanted, form in (("/etc/passwd", USERS, "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"),
                                   ("/etc/group", GROUPS, "{0}:x:{1}:\n")):
            with open(path, encoding="utf-8") as f:
                text = f.read()
            known = {line.split(":")[0]: int(line.split(":")[2]) for line in text.splitlines()}
            if path == "/etc/passwd":
                self.ids.update((name, known[name]) for name in USERS if name in known)
            self.write(path, text + "".join(form.format(n, i) for n, i in wanted.items() if n not in known))

    def start(self):
        if not tree.IS_ROOT:
            raise fetch.Missing("a root of its own needs root")
        trees = [fetch.package(name) for name in (*self.packages, *self.libraries)]
        for path in (self.share, self.work, self.files, self.mailbox):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o755)
        os.chmod(self.share, 0o1777)  # the server's own user writes its log there
        os.chown(self.mailbox, BOB, BOB)
        self._write_users()
        self.write("/etc/hosts", f"127.0.0.1 localhost {HOSTNAME}\n")
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")  # nobody is there
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\naliases: files\n")
        self.write("/etc/mailname", HOSTNAME + "\n")
        self.configure()
        self.log_path = os.path.join(self.share, "said")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private",
                 ROOT_SCRIPT, self.work, self.share, HOSTNAME, *trees, self.files, "--", *self.words()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_until(self._has_greeted, lambda: f"{type(self).__name__} to greet: {self.log()}", START_S)
        return self

    def _has_greeted(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended with {self.process.returncode}: {self.log()}")
        try:
            with Client(self.port) as client:
                client.expect(220)
                client.say("QUIT", 221)
        except OSError:
            return False
        return True

    def log(self):
        text = ""
        for path in glob.glob(os.path.join(self.share, "*")):
            if os.path.isfile(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    text += f.read()[-3000:]
        return text

    def stop(self):
        """All that runs in there ends with its first process: a child of unshare's, whose own end it may survive."""
        if self.process is not None:
            for pid in children_of(self.process.pid):
                kill_hard(pid)
            self.process.kill()
            self.process.wait(STOP_S)
            self.process = None

    def kept(self):
        """Of a Maildir."""
        found = []
        for path in sorted(glob.glob(os.path.join(self.mailbox, "new", "*"))):
            with open(path, "rb") as f:
                found.append(Kept(f.read()))
        return found


class Postfix(Server):
    packages = ("postfix",)

    def words(self):
        return ["/usr/sbin/postfix", "start-fg"]

    def configure(self):
        for path, user in (("/var/spool/postfix", "root"), ("/var/lib/postfix", "postfix")):
            self.make(path, user)
        self.write("/etc/postfix/main.cf", f"""\
compatibility_level = 3.6
maillog_file = {self.share}/log
maillog_file_prefixes = {self.share}
myhostname = {HOSTNAME}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
virtual_mailbox_domains = example.org
virtual_mailbox_base = {self.share}
virtual_mailbox_maps = static:mailbox/
virtual_uid_maps = static:{BOB}
virtual_gid_maps = static:{BOB}
virtual_minimum_uid = 1000
relay_domains = plain.example, tls.example
transport_maps = inline:{{
 {{ plain.example = plain:[127.0.0.1]:{self.plain} }}
 {{ tls.example = secure:[127.0.0.1]:{self.secure} }} }}
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
""")
        rows = [f"127.0.0.1:{self.port} inet n - n - - smtpd", "plain unix - - n - - smtp -o smtp_tls_security_level=none",
                "secure unix - - n - - smtp -o smtp_tls_security_level=encrypt", "cleanup unix n - n - 0 cleanup",
                "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
                "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap", "virtual unix - n n - - virtual",
                "error unix - - n - - error", "retry unix - - n - - error", "anvil unix - - n - 1 anvil",
                "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd"]
        self.write("/etc/postfix/master.cf", "\n".join(rows) + "\n")


class Exim(Server):
    packages = ("exim4-daemon-light",)
    libraries = ("libidn12",)

    def words(self):
        return ["/usr/sbin/exim4", "-bdf", "-q10s"]

    def configure(self):
        self.make("/var/spool/exim4", "Debian-exim")
        self.write("/etc/exim4/exim4.conf", f"""\
primary_hostname = {HOSTNAME}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
log_file_path = {self.share}/%slog
pid_file_path = /var/spool/exim4/exim.pid
domainlist ours = example.org
host_lookup =
rfc1413_query_timeout = 0s
smtp_enforce_sync = true
acl_smtp_rcpt = take
begin acl
take:
  accept
begin routers
inside:
  driver = accept
  domains = +ours
  transport = mailbox
plain:
  driver = manualroute
  domains = plain.example
  transport = plain
  route_data = 127.0.0.1
  self = send
secure:
  driver = manualroute
  domains = tls.example
  transport = secure
  route_data = 127.0.0.1
  self = send
begin transports
mailbox:
  driver = appendfile
  directory = {self.mailbox}
  maildir_format
  create_directory
  user = bob
  envelope_to_add
  return_path_add
plain:
  driver = smtp
  port = {self.plain}
  allow_localhost
  hosts_avoid_tls = *
secure:
  driver = smtp
  port = {self.secure}
  allow_localhost
  hosts_require_tls = *
begin retry
* * F,1h,2s
""")


class OpenSmtpd(Server):
    packages = ("opensmtpd",)

    def words(self):
        return ["/usr/sbin/smtpd", "-d"]  # in the foreground, and its log on standard error

    def configure(self):
        self.make("/var/lib/opensmtpd/empty")
        self.make("/var/spool/smtpd", mode=0o711)
        self.write("/etc/smtpd.conf", f"""\
listen on 127.0.0.1 port {self.port} hostname {HOSTNAME}
action "inside" maildir "{self.mailbox}"
action "plain" relay host smtp+notls://127.0.0.1:{self.plain}
action "tls" relay host smtp+tls://127.0.0.1:{self.secure} tls no-verify
match from any for domain "example.org" action "inside"
match from any for domain "plain.example" action "plain"
match from any for domain "tls.example" action "tls"
""")


class Sendmail(Server):
    packages = ("sendmail-bin", "sendmail-base", "sendmail-cf")
    libraries = ("liblockfile1", "m4")

    def words(self):
        return ["/bin/sh", "-c", "cd /usr/share/sendmail/cf/cf && m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf && "
                "exec /usr/libexec/sendmail/sendmail -bD -q5s"]

    def configure(self):
        self.make("/var/spool/mqueue", mode=0o700)
        self.make("/var/run/sendmail/mta")
        self.make("/etc/mail")
        self.make("/var")
        if not os.path.islink(self.files + "/var/mail"):
            os.symlink(self.mailbox, self.files + "/var/mail")  # where mail.local delivers, and nowhere else
        self.write("/etc/mail/local-host-names", "example.org\n")
        self.write("/etc/mail/service.switch", "hosts files\naliases files\n")
        self.write("/etc/mail/mailertable", "plain.example esmtp:[127.0.0.1]\ntls.example relay:[127.0.0.1]\n")
        self.write("/etc/mail/sendmail.mc", f"""\
divert(-1)
include(`/usr/share/sendmail/cf/m4/cf.m4')
divert(0)
OSTYPE(`linux')
define(`confDOMAIN_NAME', `{HOSTNAME}')
define(`ALIAS_FILE', `')
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')
define(`confPID_FILE', `/var/run/sendmail/mta/sendmail.pid')
define(`confTO_IDENT', `0')
define(`confREFUSE_LA', `10000')
define(`confDELAY_LA', `10000')
define(`confQUEUE_LA', `10000')
define(`confDONT_PROBE_INTERFACES', `True')
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,GroupReadableKeyFile')
define(`LOCAL_MAILER_PATH', `/usr/libexec/sendmail/mail.local')
define(`LOCAL_MAILER_ARGS', `mail.local -d $u')
define(`ESMTP_MAILER_ARGS', `TCP $h {self.plain}')
define(`RELAY_MAILER_ARGS', `TCP $h {self.secure}')
MODIFY_MAILER_FLAGS(`LOCAL', `-A')
FEATURE(`no_default_msa')
FEATURE(`nocanonify')
FEATURE(`use_cw_file')
FEATURE(`promiscuous_relay')
FEATURE(`accept_unresolvable_domains')
FEATURE(`mailertable', `text -k0 -v1 /etc/mail/mailertable')
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={self.port}')
MAILER(`local')
MAILER(`smtp')
""")

    def words_of_bob(self):
        with open(os.path.join(self.mailbox, "bob"), "rb") as f:
            return f.read()

    def kept(self):
        """Of a mailbox in one file: a From_ line before each message, an empty one behind it."""
        if not os.path.exists(os.path.join(self.mailbox, "bob")):
            return []
        parts = re.split(rb"^From (\S+)  ?\S.*\n", self.words_of_bob(), flags=re.M)
        return [Kept(text.removesuffix(b"\n").replace(b"\n>From ", b"\nFrom "), sender.decode())
                for sender, text in zip(parts[1::2], parts[2::2])]


class SmtpSink(Server):
    """Postfix's test server: in no root of its own, and it sends nothing on."""

    def start(self):
        os.makedirs(self.mailbox, exist_ok=True)
        for path in (self.folder, self.share, self.mailbox):
            os.chmod(path, 0o755)
        self.log_path = os.path.join(self.share, "said")
        user = tree.plain_user().get("user", os.getuid())
        os.chown(self.mailbox, user, -1)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [fetch.program("/usr/sbin/smtp-sink", "postfix"), "-8", "-d", os.path.join(self.mailbox, "%M."), self.address,
                 "128"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "LD_LIBRARY_PATH": os.path.join(fetch.PEERS, "tree", "postfix", "usr", "lib", "postfix")},
                **tree.plain_user())
        wait_until(self._has_greeted, lambda: f"smtp-sink to greet: {self.log()}", START_S)
        return self

    def kept(self):
        found = []
        for path in sorted(glob.glob(os.path.join(self.mailbox, "*"))):
            with open(path, "rb") as f:
                text = f.read()
            sender = re.search(rb"^X-Mail-Args: <(.*?)>", text, re.M)
            if sender:
                # It ends each with an empty line.
                found.append(Kept(text.removesuffix(b"\n"), sender.group(1).decode()))
        return found


SERVERS = {"Postfix": Postfix, "Exim": Exim, "OpenSMTPD": OpenSmtpd, "Sendmail": Sendmail}
