"""The `postern` command: exit statuses, help, JSON."""

import ctypes
import errno
import json
import signal
import socket

import mail
import smtp
from case import FolderCase
from dnslists import Nameserver
from ports import free_port
from relay import command
from waiting import PATIENCE_S, wait_until

HERE = ("run", "check", "plan", "explain", "policy", "queue", "quarantine", "status", "reload", "trace")
LATER = ("replay", "seal", "backup", "restore",
         "milter", "selftest")
MANY = 256  # addresses of one relay
ALLOW, ANSWER = 0x7FFF0000, 0x00050000  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(…)


def take_landlock_away():
    """In a new process: the kernel answers as one that has no Landlock."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    seccomp_filter = ctypes.c_void_p(library.seccomp_init(ALLOW))
    call = library.seccomp_syscall_resolve_name(b"landlock_create_ruleset")
    if library.seccomp_rule_add(seccomp_filter, ANSWER | errno.ENOSYS, call, 0) or library.seccomp_load(seccomp_filter):
        raise OSError("no seccomp filter")


class Usage(FolderCase):
    def test_help(self):
        done = command("--help")
        self.assertEqual(done.status, 0)
        for name in HERE:
            self.assertIn(name, done.out)
            with self.subTest(name=name):
                for words in ((name, "--help"), ("--help", name)):
                    told = command(*words)
                    self.assertEqual(told.status, 0, told)
                    self.assertIn(name, told.out)
                    self.assertEqual(told.err, "")

    def test_usage_errors(self):
        for words in ((), ("nonsense",), ("queue",), ("queue", "nonsense"), ("policy", "nonsense"), ("--nonsense",),
                      ("check", "--nonsense"), ("explain",), ("explain", "--client"), ("run", "and", "more"), ("run", "--json"),
                      ("queue", "show"), ("policy", "import"), ("-c",)):
            with self.subTest(words=words):
                done = command(*words)
                self.assertEqual(done.status, 64, done)
                self.assertTrue(done.err)
                self.assertEqual(done.out, "")

    def test_what_would_be_right(self):
        """Said before anything is asked or read: without a relay and without a configuration."""
        for words, wanted in ((("ceck",), "did you mean check?"), (("queue", "lits"), "did you mean list?"),
                              (("queue", "list", "--form", "x"), "did you mean --from?"), (("--nonsense",), "no option \"--nonsense\""),
                              (("check", "--nonsense"), "postern check --help"), (("policy", "import", "-x"), "no option \"-x\""),
                              (("trace", "--since"), "--since needs a value"), (("plan", "--flow", "a", "--flow", "b"), "--flow is given twice"),
                              (("user", "add", "x"), "user add is not in this version"), (("user", "nonsense"), "no verb \"nonsense\"")):
            with self.subTest(words=words):
                done = command(*words)
                self.assertEqual((done.status, done.out), (64, ""), done)
                self.assertIn(wanted, done.err)
        told = command("explain", "--offline", "-c", "nowhere", "--client", "192.0.2.1", "--to", "a@b.example", "--to", "c@b.example")
        self.assertEqual(told.status, 78, told)  # some may be said again

    def test_help_of_a_verb(self):
        told = command("queue", "retry", "--help")
        self.assertEqual(told.status, 0, told)
        self.assertRegex(told.out, r"^usage: postern \[-c FILE\] queue retry (?s:.*)--older AGE")
        self.assertLess(max(len(line) for line in told.out.splitlines()), 101)

    def test_bad_values(self):
        for words in (("--client", "nonsense"), ("--client", "192.0.2.1", "--to", "no-address")):
            with self.subTest(words=words):
                relay = self.relay(self.gateway())
                self.assertEqual(relay.command("explain", *words).status, 64)

    def test_commands_of_later_versions(self):
        for name in LATER:
            with self.subTest(name=name):
                done = command(name)
                self.assertNotEqual(done.status, 0)
                self.assertIn("not in this version", done.err)

    def test_version(self):
        done = command("--version")
        self.assertEqual(done.status, 0)
        self.assertIn("postern", done.out.lower())


class WithoutRelay(FolderCase):
    def test_not_running(self):
        relay = self.relay(self.gateway())
        for words in (("status",), ("queue", "list"), ("queue", "show", "X"), ("reload",)):
            with self.subTest(words=words):
                done = relay.command(*words)
                self.assertEqual(done.status, 69, done)
                self.assertIn("not running", done.err)

    def test_what_works_without(self):
        relay = self.relay(self.gateway())
        self.assertEqual(relay.command("check").status, 0)
        done = relay.command("explain", "--offline", "--client", "192.0.2.1", "--to", "bob@example.org")
        self.assertEqual(done.status, 0, done)
        self.assertEqual(relay.command("policy", "export").status, 0)

    def test_policy_without_relay(self):
        relay = self.relay(self.gateway())
        relay.policy("reject client 192.0.2.1\n")
        self.assertEqual(relay.command("policy", "export").out, "reject client 192.0.2.1\n")
        done = relay.command("explain", "--offline", "--client", "192.0.2.1", "--to", "bob@example.org")
        self.assertEqual(done.status, 1, done)
        self.starting(relay)
        self.assertEqual(smtp.send(relay.port, mail.plain(), client="192.0.2.1").code, 550)

    def test_config_before_and_after(self):
        relay = self.relay(self.gateway())
        self.assertEqual(command("-c", relay.conf, "check").status, 0)
        self.assertEqual(command("check", "-c", relay.conf).status, 0)
        relay.write("nonsense = 1\n")
        for words in (("check",), ("explain", "--client", "192.0.2.1"), ("status",), ("policy", "export")):
            with self.subTest(words=words):
                self.assertEqual(relay.command(*words).status, 78)

    def test_fact_that_cannot_be_had(self):
        silent = self.starting(Nameserver(lambda name, kind: None))
        relay = self.relay(self.gateway(), dns_port=silent.port, dns_timeout="500ms")
        relay.policy("dnsbl silent.test reject\n")
        words = ("explain", "--client", "192.0.2.1", "--to", "bob@example.org")
        self.assertEqual(relay.command(*words).status, 75)
        self.assertEqual(relay.command(*words, "--offline").status, 0)


class Running(FolderCase):
    def test_status(self):
        relay, _ = self.pair()
        done = relay.command("status", "--json")
        self.assertEqual(done.status, 0, done)
        self.assertIs(done.json["ok"], True)
        self.assertEqual(done.json["problems"], [])
        done = relay.command("status")
        self.assertEqual(done.status, 0)
        for line in ("ok  ", "queue  ", "gateways  ", "processes  "):
            self.assertIn(f"\n{line}", done.out)

    def test_kernel_without_landlock(self):
        gateway = self.starting(self.gateway())
        relay = self.relay(gateway)
        relay.popen["preexec_fn"] = take_landlock_away
        self.starting(relay)
        problems = wait_until(lambda: relay.command("status", "--json").json["problems"], "a problem")
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("no Landlock", problems[0]["what"])
        self.assertEqual(smtp.send(relay.port, mail.plain("all the same")).code, 250)
        gateway.wait_subject("all the same")

    def test_many_addresses(self):
        addresses = [f"127.0.1.{i}:{free_port()}" for i in range(1, MANY)]
        words = ", ".join(f'"{a}"' for a in addresses)
        relay, gateway = self.pair(sections=f'listen "many" {{ address = {{{words}}} flow = "inbound" }}')
        for address in (addresses[0], addresses[-1]):
            host, port = address.split(":")
            with socket.create_connection((host, int(port)), PATIENCE_S) as client:
                self.assertEqual(client.recv(4), b"220 ")
        self.assertEqual(relay.events("role died"), [])
        self.assertEqual(smtp.send(relay.port, mail.plain("one of many")).code, 250)
        gateway.wait_subject("one of many")

    def test_reload(self):
        relay, gateway = self.pair()
        relay.settings.recipients = self.write("recipients", "bob@example.org\n")
        relay.write()
        done = relay.reload()
        self.assertEqual(done.status, 0, done)
        self.assertEqual(smtp.send(relay.port, mail.plain("still here")).code, 250)
        reply = smtp.send(relay.port, mail.plain(), to="nobody@example.org")
        self.assertEqual((reply.code, reply.enhanced), (550, "5.1.1"), reply)
        gateway.wait_subject("still here")

    def test_reload_of_nonsense_changes_nothing(self):
        relay, _ = self.pair()
        relay.write("nonsense = 1\n")
        done = relay.command("reload")
        self.assertEqual(done.status, 78, done)
        self.assertEqual(smtp.send(relay.port, mail.plain()).code, 250)

    def test_recipients_file_is_read_again(self):
        recipients = self.write("recipients", "bob@example.org\n")
        relay, _ = self.pair(recipients=recipients)
        self.assertEqual(smtp.send(relay.port, mail.plain(), to="new@example.org").code, 550)
        self.write("recipients", "bob@example.org\nnew@example.org\n")
        relay.process.send_signal(signal.SIGHUP)
        wait_until(lambda: smtp.send(relay.port, mail.plain(), to="new@example.org").code == 250, "the new recipient")
        self.assertEqual(smtp.send(relay.port, mail.plain(), to="NEW@Example.org").code, 250)
        self.assertEqual(smtp.send(relay.port, mail.plain(), to="<postmaster>".strip("<>")).code, 250)

    def test_sigterm_ends_it(self):
        relay, _ = self.pair()
        relay.stop()  # asserts status 0

    def test_log_lines_are_json(self):
        relay, _ = self.pair()
        smtp.send(relay.port, mail.plain())
        relay.stop()
        for line in relay.log().splitlines():
            with self.subTest(line=line):
                self.assertIn("event", json.loads(line))
