"""The demo as a newcomer runs it: `make demo`, on ports of its own so that it disturbs nobody."""

import os
import re
import signal
import socket
import subprocess

import smtp
import tree
from case import FolderCase
from ports import free_port

SHIPPED = os.path.join(tree.ROOT, "tests", "demo", "demo.conf")
DEMO_S = 300


class Demo(FolderCase):
    def demo(self, conf=SHIPPED, port=None):
        env = {**os.environ, "DEMO": "once", "DEMO_CONF": conf, "DEMO_PORT": str(port or free_port()),
               "DEMO_CONSOLE": str(free_port()), "LC_ALL": "C.UTF-8"}
        env.pop("MAKEFLAGS", None)
        env.pop("MAKELEVEL", None)
        return subprocess.run(["make", "--no-print-directory", "demo", f"BUILD={os.path.relpath(tree.BUILD, tree.ROOT)}"],
                              cwd=tree.ROOT, env=env, capture_output=True, text=True, timeout=DEMO_S, check=False)

    def changed(self, part, instead):
        with open(SHIPPED, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(part, text)
        return self.write("demo.conf", text.replace(part, instead))

    def check_wrong(self, done, row):
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, rf"1 of \d+ messages did not go their way: {re.escape(row)}")

    def test_every_message_goes_its_way(self):
        done = self.demo()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("All 7 messages went the way they should.", done.stdout)
        self.assertNotIn("WRONG", done.stdout)

    def test_fails_without_antivirus(self):
        done = self.demo(self.changed('{"antivirus", "header"', '{"header"'))
        self.check_wrong(done, "EICAR in an attachment")

    def test_fails_without_dnsbl(self):
        self.check_wrong(self.demo(self.changed('{"access", "dnsbl"}', '{"access"}')), "from a listed client")

    def test_fails_without_recipient_check(self):
        done = self.demo(self.changed('recipients = "file:@FOLDER@/recipients"', 'recipients = "any"'))
        self.check_wrong(done, "to an unknown recipient")

    def test_taken_port_is_one_sentence(self):
        with socket.socket() as taken:
            port = free_port()
            taken.bind(("127.0.0.1", port))
            taken.listen()
            done = self.demo(port=port)
        self.assertNotEqual(done.returncode, 0)
        said = [line for line in done.stderr.splitlines() if line.startswith("demo: ")]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertIn(str(port), said[0])

    def test_says_how_to_go_on(self):
        """Not only once: the relay goes on, and Ctrl-C ends everything."""
        port = free_port()
        env = {**os.environ, "DEMO": "", "DEMO_PORT": str(port), "DEMO_CONSOLE": str(free_port()), "LC_ALL": "C.UTF-8"}
        with open(self.path("stderr"), "w+", encoding="utf-8") as errors:
            demo = subprocess.Popen([tree.PYTHON, os.path.join(tree.ROOT, "tests", "demo", "demo.py")], cwd=tree.ROOT,
                                    env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
            self.addCleanup(demo.stdout.close)
            self.addCleanup(demo.wait)
            self.addCleanup(demo.send_signal, signal.SIGINT)  # nothing to one that has ended
            said = ""
            for line in demo.stdout:
                said += line
                if "policy export" in line:
                    break
            else:
                status = demo.wait(DEMO_S)
                errors.seek(0)
                self.fail(f"the demo ended early, status {status}; stdout:\n{said}\nstderr:\n{errors.read()}")
            with smtp.Client(port) as client:
                client.expect(220)
            demo.send_signal(signal.SIGINT)
            said += demo.stdout.read()
            status = demo.wait(DEMO_S)
            errors.seek(0)
            self.assertEqual((status, errors.read()), (0, ""), said)
        self.assertRegex(said, r"http://127\.0\.0\.1:\d+/sign-in\?token=")
        with self.assertRaises(OSError):
            smtp.Client(port)
