"""postern.conf: every error in one run, with its place and its remedy; what this version does not have."""

import os
import re
import socket

from case import FolderCase
from relay import command

GOOD = """hostname = "mx.test.example"
postmaster = "postmaster@example.org"
state_dir = "@/state"
run_dir = "@/run"
listen "internet" { address = {"127.0.0.1:@PORT"} flow = "inbound" }
flow "inbound" { relay = "domains" filters = {"header", "content", "tag"} }
domain "example.org" { gateway = "inside" recipients = "any" }
gateway "inside" { server "127.0.0.1:10025" { preference = 10 } }
"""

# what is put in place of a part of GOOD: (part, instead, words of the error, in the line where it is)
ERRORS = {
    "unknown word": ("hostname =", "hostnam =", "hostnam.*hostname"),
    "unknown word in a section": ('relay = "domains"', 'relay = "domains" max_sise = 5M', "max_sise.*max_size"),
    "unknown section": ('domain "example.org"', 'domian "example.org"', "domian.*domain"),
    "word given twice": ('run_dir = "@/run"', 'hostname = "other.example"', "hostname.*(twice|again|already)"),
    "section given twice": ('gateway "inside"', 'gateway "inside" { server "127.0.0.1:1" { preference = 1 } } gateway "inside"',
                            "inside.*(twice|again|already)"),
    "unknown flow": ('flow = "inbound"', 'flow = "inbond"', "inbond.*inbound"),
    "unknown gateway": ('gateway = "inside"', 'gateway = "insid"', "insid.*inside"),
    "unknown filter": ('"content"', '"contents"', "contents.*content"),
    "bad address": ('"127.0.0.1:@PORT"', '"127.0.0.1.5:25"', "127.0.0.1.5:25"),
    "bad size": ('relay = "domains"', 'relay = "domains" max_size = 10Q', "10Q"),
    "bad time": ('run_dir = "@/run"', 'run_dir = "@/run" queue { expire_after = 5x }', "5x"),
    "bad choice": ('relay = "domains"', 'relay = "everything"', "everything.*domains"),
    "text where a list should be": ('{"header", "content", "tag"}', "{header", "."),
    "not closed": ('{ preference = 10 } }', '{ preference = 10 }', "."),
}

NOT_YET = {
    "fleet": ('run_dir = "@/run"', 'run_dir = "@/run" fleet { node = "mx1" }'),
    "delivery by MX": ('relay = "domains"', 'relay = "any"'),
    "spf": ('{"header", "content", "tag"}', '{"spf", "tag"}'),
    "dkim_sign": ('relay = "domains"', 'relay = "domains" dkim_sign = "example.org"'),
}


class Check(FolderCase):
    def filled(self, text):
        return text.replace("@PORT", "20025").replace("@/", self.folder + "/")

    def check(self, text, *words):
        return command("check", "-c", self.write("postern.conf", self.filled(text)), *words)

    def test_good(self):
        done = self.check(GOOD)
        self.assertEqual((done.status, done.err), (0, ""), done)

    def test_each_error(self):
        for name, (part, instead, wanted) in ERRORS.items():
            with self.subTest(error=name):
                self.assertIn(part, GOOD)
                done = self.check(GOOD.replace(part, instead, 1))
                self.assertEqual(done.status, 78, done)
                line = GOOD[:GOOD.index(part)].count("\n") + 1
                found = [row for row in done.err.splitlines() if re.search(wanted, row)]
                self.assertTrue(found, done.err)
                self.assertRegex(found[0], r"postern\.conf:\d+: .+; .+")
                if name not in ("not closed", "text where a list should be"):
                    self.assertIn(f"postern.conf:{line}: ", found[0])

    def test_all_errors_in_one_run(self):
        text = GOOD
        for name in ("unknown word", "unknown flow", "bad size", "unknown gateway"):
            text = text.replace(ERRORS[name][0], ERRORS[name][1], 1)
        done = self.check(text)
        self.assertEqual(done.status, 78)
        places = [int(n) for n in re.findall(r"postern\.conf:(\d+): ", done.err)]
        self.assertEqual(places, sorted(places))
        self.assertLessEqual({1, 5, 6, 7}, set(places), done.err)

    def test_nothing_is_expanded(self):
        os.environ["POSTERN_TEST_HOST"] = "expanded.example"
        done = self.check(GOOD.replace("mx.test.example", "${POSTERN_TEST_HOST}"))
        self.assertNotIn("expanded.example", done.out + done.err)
        self.assertEqual(done.status, 78)

    def test_not_in_this_version(self):
        for name, (part, instead) in NOT_YET.items():
            with self.subTest(word=name):
                self.assertIn(part, GOOD)
                done = self.check(GOOD.replace(part, instead, 1))
                self.assertEqual(done.status, 78, done)
                self.assertIn("not in this version", done.err)

    def test_missing_files(self):
        done = self.check(GOOD.replace('recipients = "any"', 'recipients = "file:@/no-recipients"'))
        self.assertEqual(done.status, 78, done)
        self.assertRegex(done.err, r"postern\.conf:7: recipients .*no-recipients")
        self.assertEqual(done.err.count("no-recipients"), 1, done.err)
        os.mkfifo(self.path("pipe"))  # which nobody writes
        done = self.check(GOOD.replace('recipients = "any"', 'recipients = "file:@/pipe"'))
        self.assertRegex(done.err, r"postern\.conf:7: recipients .*not a file")
        done = self.check(GOOD.replace('filters = {"', 'filters = {"antivirus", "')
                          + 'filter "antivirus" { plugin = "clamav" databases = "@/no-signatures" }\n')
        self.assertEqual(done.status, 78, done)
        self.assertRegex(done.err, r"postern\.conf:9: .*no-signatures")
        done = self.check(GOOD + 'tls {\n  certificate = "@/no-cert.pem"\n  key = "@/no-key.pem"\n}\n')
        self.assertEqual(done.status, 78, done)
        for line, name in ((10, "no-cert"), (11, "no-key")):
            self.assertRegex(done.err, rf"postern\.conf:{line}: .*/{name}\.pem: No such file")
        self.assertEqual(done.err.count("no-cert"), 1, done.err)
        done = self.check(GOOD.replace("@/state", "@/no/such/parent"))
        self.assertRegex(done.err, r"postern\.conf:3: ")
        self.assertEqual(done.status, 78, done)

    def test_all_that_is_missing_in_one_run(self):
        done = self.check(GOOD.replace("@/state", "@/no/such/parent").replace('recipients = "any"', 'recipients = "file:@/no-recipients"')
                          + 'tls {\n  certificate = "@/no-cert.pem"\n  key = "@/no-key.pem"\n}\n')
        self.assertEqual(done.status, 78, done)
        for line, name in ((3, "no/such"), (7, "no-recipients"), (10, "no-cert"), (11, "no-key")):
            self.assertRegex(done.err, rf"postern\.conf:{line}: .*{name}")
        self.assertEqual(command("run", "-c", self.path("postern.conf")).err, done.err)

    def test_files_are_told_beside_errors_of_the_text(self):
        done = self.check(GOOD.replace('recipients = "any"', 'recipients = "file:@/no-recipients"').replace('relay = "domains"', 'relay = "x"')
                          + 'tls {\n  certificate = "@/no-cert.pem"\n  key = "@/postern.conf"\n}\n')
        self.assertEqual(done.status, 78, done)
        lines = done.err.splitlines()
        self.assertEqual([line.split(": ")[0].rpartition(":")[2] for line in lines], ["6", "7", "10"], done)
        self.assertIn("no-recipients cannot be read (No such file or directory)", lines[1])
        self.assertIn("no-cert.pem cannot be read", lines[2])

    def test_no_file(self):
        done = command("check", "-c", self.path("nothing.conf"))
        self.assertEqual(done.status, 78, done)
        self.assertIn("nothing.conf", done.err)

    def test_the_whole_contract_is_known(self):
        """Words that are due later are refused by name, never as unknown."""
        done = self.check(GOOD + 'fleet { node = "mx1" }\njournal { keep = 90d max = 20G privacy = false }\n')
        self.assertNotIn("unknown", done.err)


class Run(FolderCase):
    def test_errors_end_run_with_78(self):
        relay = self.relay(self.gateway())
        relay.write(relay.settings.text(relay).replace("hostname", "hostnam"))
        done = relay.command("run")
        self.assertEqual(done.status, 78, done)
        self.assertRegex(done.err, r"postern\.conf:\d+: ")
        self.assertNotIn("ready", done.out)

    def test_port_in_use(self):
        relay = self.relay(self.gateway())
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", relay.port))
            taken.listen()
            done = relay.command("run")
        self.assertNotEqual(done.status, 0)
        self.assertIn(str(relay.port), done.err)
        self.assertNotIn("ready", done.out)

    def test_missing_signatures(self):
        relay = self.relay(self.gateway())
        relay.signatures = self.path("no-signatures")
        relay.write()
        done = relay.command("run")
        self.assertNotEqual(done.status, 0)
        self.assertIn("no-signatures", done.err)

    def test_empty_signatures(self):
        """A scanner that knows nothing is no scanner."""
        relay = self.relay(self.gateway())
        relay.signatures = self.path("empty-signatures")
        os.makedirs(relay.signatures)
        relay.write()
        done = relay.command("run")
        self.assertNotEqual(done.status, 0)
        self.assertNotIn("ready", done.out)

    def test_two_at_once(self):
        relay, _ = self.pair()
        second = self.relay(self.gateway())
        done = second.command("run")
        self.assertNotEqual(done.status, 0, "a second relay on the same state_dir")
