#!/usr/bin/python3
"""make demo: a relay, two gateways and a DNS list on loopback; mail of every kind through it; a table.

demo.py [--once] [--conf FILE].  Everything it keeps is in BUILD/demo/, wiped at the start.  DEMO_PORT and
DEMO_CONSOLE in the environment stand for 2525 and 8025.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import signatures  # noqa: E402
import tree  # noqa: E402
from dnslists import Rbldnsd  # noqa: E402
from gateway import Gateway  # noqa: E402
from relay import Relay  # noqa: E402
from table import table  # noqa: E402
from waiting import wait_until  # noqa: E402
from ways import Outcome, ways  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(tree.BUILD, "demo")
PORT = int(os.environ.get("DEMO_PORT") or 2525)
CONSOLE = int(os.environ.get("DEMO_CONSOLE") or 8025)
DELIVERY_S = 120  # a copy that is not there by then is not there


class Stop(Exception):
    """One sentence for whoever runs the demo."""


def must_be_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            raise Stop(f"port {port} on 127.0.0.1 cannot be had ({e.strerror}): end what uses it, "
                       "perhaps another demo, and try again") from e


def user():
    """Whom to run the programs as: nobody in particular when we are root and the tree can be entered."""
    if not tree.IS_ROOT:
        return {}
    if not can_others_enter():
        print("The relay is started as root, which it drops by itself: "
              "other users cannot enter this folder.")
        return {}
    return tree.plain_user()


def can_others_enter():
    try:
        subprocess.run([tree.POSTERN, "--help"], check=True, capture_output=True, **tree.plain_user())
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def fresh_folder():
    """An empty FOLDER; where the relay's own users cannot enter the tree, as below /root, a link to one in /tmp."""
    if os.path.islink(FOLDER):
        shutil.rmtree(os.path.realpath(FOLDER), ignore_errors=True)
        os.unlink(FOLDER)
    shutil.rmtree(FOLDER, ignore_errors=True)
    if tree.IS_ROOT and not can_others_enter():
        place = tempfile.mkdtemp(prefix="postern-demo-")
        os.makedirs(os.path.dirname(FOLDER), exist_ok=True)
        os.symlink(place, FOLDER)
    else:
        place = FOLDER
        os.makedirs(place)
    os.chmod(place, 0o755)
    return place


class Demo:
    def __init__(self, conf):
        self.folder = fresh_folder()
        self.first = Gateway(os.path.join(self.folder, "gateway-1"))
        self.second = Gateway(os.path.join(self.folder, "gateway-2"))
        self.dns = Rbldnsd(os.path.join(self.folder, "dns"), {"zen.example.net": {"203.0.113.7": "127.0.0.4"}})
        self.relay = Relay(self.folder, signatures.write(os.path.join(self.folder, "signatures")))
        self.relay.port = PORT
        self.relay.write(self.filled(conf))
        shutil.copy(os.path.join(HERE, "recipients"), self.folder)
        self.give_away()

    def filled(self, conf):
        with open(conf, encoding="utf-8") as f:
            text = f.read()
        words = {"FOLDER": self.folder, "PORT": PORT, "CONSOLE": CONSOLE, "DNS": self.dns.port,
                 "FIRST": self.first.port, "SECOND": self.second.port}
        for name, value in words.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def give_away(self):
        """Everything in the folder to the user the programs run as."""
        whom = user()
        # Sessions of their own: Ctrl-C is ours, and we stop them in order.
        for thing in (self.first, self.second, self.relay):
            thing.popen = {"start_new_session": True, **whom}
        self.dns.popen = {"start_new_session": True}
        if whom:
            for folder, _, files in os.walk(self.folder):
                for path in [folder, *(os.path.join(folder, f) for f in files)]:
                    os.chown(path, whom["user"], whom["group"])

    def start(self):
        self.first.start()
        self.second.start()
        self.dns.start()
        self.relay.start()
        with open(os.path.join(HERE, "demo.policy"), encoding="utf-8") as f:
            self.relay.policy(self.relay.command("policy", "export").out + f.read())

    def stop(self):
        for thing in (self.relay, self.dns, self.first, self.second):
            thing.stop()

    def sign_in_link(self):
        return wait_until(lambda: re.search(r'https?://[^"\s]*/sign-in\?token=[\w.~%-]+', self.relay.log()),
                          "the console's sign-in link").group(0)

    def copies(self, way):
        return [(name, kept) for name, gateway in (("gateway 1", self.first), ("gateway 2", self.second))
                for kept in gateway.kept() if way.subject in kept.header("Subject")]

    def run(self, way):
        """Sends one message; waits for its copy when there should be one."""
        if way.without_first and self.first.process is not None:
            self.first.stop()
        reply = way.send(PORT)
        if reply.code == 250:
            try:
                wait_until(lambda: self.copies(way), "the copy", DELIVERY_S)
            except AssertionError:
                pass  # the table says "nowhere"
        return reply

    def rows(self):
        """[(row of the table, is as expected), …]; all copies are looked at when all mail is through."""
        replies = [(way, self.run(way)) for way in ways()]
        found = []
        for number, (way, reply) in enumerate(replies, 1):
            outcome = Outcome(reply, self.copies(way))
            is_right = bool(way.is_right(outcome))
            mark = "as it should" if is_right else f"WRONG: should be {way.should}"
            told = f"{reply.code} {reply.enhanced}".strip()
            found.append(([str(number), way.name, told, outcome.where, way.why(outcome), mark], is_right))
        return found


def say_how_to_go_on(demo):
    postern = os.path.relpath(tree.POSTERN)
    conf = os.path.relpath(demo.relay.conf)
    demo.first.start()
    print(f"""
The relay goes on until Ctrl-C, both gateways are up again.
  mail            127.0.0.1:{PORT}, for bob@example.org and sales@example.org
  console         {demo.sign_in_link()}
  what arrived    {os.path.relpath(demo.first.folder)}/  {os.path.relpath(demo.second.folder)}/
  the relay's log {os.path.relpath(demo.relay.log_path)}
  why             {postern} -c {conf} explain --client 203.0.113.7 --to bob@example.org
  rules           {postern} -c {conf} policy export""", flush=True)


def demonstrate(options):
    for port in (PORT, CONSOLE):
        must_be_free(port)
    demo = Demo(options.conf)
    status = 130  # as a shell says it, unless we get to the table
    try:
        demo.start()
        rows = demo.rows()
        print(table(["#", "sent", "client told", "arrived", "why", ""], [row for row, _ in rows],
                    [1, 18, 11, 9, 46, 20]), flush=True)
        wrong = [row[1] for row, is_right in rows if not is_right]
        status = 1 if wrong else 0
        if wrong:
            print(f"{len(wrong)} of {len(rows)} messages did not go their way: {', '.join(wrong)}")
        elif options.once:
            print(f"All {len(rows)} messages went the way they should.")
        if not options.once:
            say_how_to_go_on(demo)
            signal.pause()
    except KeyboardInterrupt:
        print("\nStopping.")
    finally:
        demo.stop()
    return status


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", default=os.environ.get("DEMO") == "once",
                        help="end after the table; status 0 only if all went as it should")
    parser.add_argument("--conf", default=os.environ.get("DEMO_CONF") or os.path.join(HERE, "demo.conf"))
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT: ignored in background jobs
        signal.signal(name, interrupt)
    try:
        return demonstrate(parser.parse_args())
    except (Stop, AssertionError) as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
