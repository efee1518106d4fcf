"""Servers that are measured: our relay, and a Postfix of its own folder, both inside a CpuTime."""

import os
import pwd
import socket
import subprocess

from waiting import wait_until

# What every Postfix here says first in its main.cf.
MAIN_CF_HEAD = """\
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
mynetworks = 127.0.0.1/32
alias_maps =
alias_database =
"""


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class MeasuredRelay:
    """With `relay` and `cpu`."""

    def start(self):
        with self.cpu.entered():
            self.relay.start()
        self.cpu.pid = self.pid = self.relay.process.pid

    def stop(self):
        self.relay.stop()
        self.cpu.close()


class MeasuredPostfix:
    """`files`: of its configuration, {name: text}; `listens`: the ports it is started on."""

    def __init__(self, folder, cpu, files, listens):
        self.folder, self.cpu, self.listens = folder, cpu, listens
        self.conf = os.path.join(folder, "conf")
        self.pid = None
        for part in ("conf", "queue", "data"):
            os.makedirs(os.path.join(self.folder, part))
        owner = pwd.getpwnam("postfix")
        os.chown(os.path.join(self.folder, "data"), owner.pw_uid, owner.pw_gid)
        for name, text in files.items():
            with open(os.path.join(self.conf, name), "w", encoding="ascii") as f:
                f.write(text)

    def _postfix(self, word, before=()):
        with open(os.path.join(self.folder, "said"), "ab") as said:  # no pipe: what it starts keeps it open
            done = subprocess.run([*before, "/usr/sbin/postfix", "-c", self.conf, word], check=False,
                                  stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        if done.returncode != 0:
            raise AssertionError(f"postfix {word}: {self.log()}")

    def log(self):
        text = ""
        for name in ("said", "log"):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    text += f.read()[-2000:]
        return text

    def start(self, before=()):
        with self.cpu.entered():
            self._postfix("start", before)
        with open(os.path.join(self.folder, "queue", "pid", "master.pid"), encoding="ascii") as f:
            self.cpu.pid = self.pid = int(f.read())
        wait_until(lambda: all(map(is_listening, self.listens)), lambda: f"Postfix: {self.log()}")

    def stop(self):
        if self.pid is not None:
            self._postfix("stop")
            self.pid = None
        self.cpu.close()
