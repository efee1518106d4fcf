"""AUTH: who may sign in, how, where, and what it is good for."""

import base64
import smtplib
import time
import unittest

import certs
import mail
import smtp
from case import FolderCase, RelayCase
from ports import free_port
from relay import command, kill_hard
from test_tls import starttls, trusting
from waiting import wait_until

PASSWORD = "pencil"
LONGEST_NAME, LONGEST_PASSWORD = "n" * 255, "p" * 1024


def coded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def plain(name, password=PASSWORD, authorize=""):
    return coded(f"{authorize}\0{name}\0{password}")


class Auth(RelayCase):
    """The flow "outside" is for its clients only: nobody here is one."""

    @classmethod
    def prepare(cls, folder):
        cls.certificate = certs.Certificate(folder, "cert")
        with open(f"{folder}/users", "w", encoding="utf-8") as f:
            f.write("# who may\n\n" + certs.scram_line("user", PASSWORD) + certs.scram_line("umlaut@example.org", "pä,ss=wörd")
                    + certs.scrypt_line("old", PASSWORD) + certs.scram_line(LONGEST_NAME, LONGEST_PASSWORD))
        cls.port, cls.scram_port = free_port(), free_port()
        users = f'users = "file:{folder}/users"'
        return {"sections": certs.section(cls.certificate) + f"""
flow "outside" {{ clients = {{"192.0.2.1"}}  relay = "any"  gateway = "inside"  connect = {{"access"}}  filters = {{"content"}} }}
listen "submission" {{
    address = {{"127.0.0.1:{cls.port}"}}  flow = "outside"
    auth = {{"plain", "login", "scram-sha-256"}}  {users}
}}
listen "plain" {{ address = {{"127.0.0.1:{cls.scram_port}"}}  flow = "outside"  tls = "off"  auth = "scram-sha-256"  {users} }}
"""}

    # Failures of one address delay each other: each test has an address of its own.
    def signing(self, last, port=None):
        c = smtp.Client(port or self.port, f"127.0.1.{last}")
        self.addCleanup(c.close)
        c.greet()
        return c

    def secure(self, last):
        c = starttls(self.signing(last))
        c.hello()
        return c

    def scram(self, c, name, password, code=235):
        client = certs.Scram(name, password)
        challenge = c.say("AUTH SCRAM-SHA-256 " + client.first(), 334)
        final, expected = client.final(challenge.text)
        reply = c.say(final)
        if reply.code == 334:
            self.assertEqual(reply.text, expected)
            reply = c.say("")
        self.assertEqual(reply.code, code, c.transcript())
        return reply

    def test_offers(self):
        c = self.signing(1)
        self.assertEqual(c.hello()["AUTH"], ["SCRAM-SHA-256"])
        starttls(c)
        self.assertEqual(c.hello()["AUTH"], ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
        self.assertNotIn("AUTH", self.greeted().hello())
        self.greeted().say("AUTH PLAIN " + plain("user"), 502)

    def test_right_ones(self):
        rows = (
            (("AUTH PLAIN " + plain("user"), 235),),
            (("AUTH PLAIN", 334), (plain("user"), 235)),
            (("AUTH PLAIN " + plain("user", authorize="user"), 235),),
            (("AUTH PLAIN " + plain("old"), 235),),
            (("auth plain " + plain("umlaut@example.org", "pä,ss=wörd"), 235),),
            (("AUTH LOGIN", 334), (coded("user"), 334), (coded(PASSWORD), 235)),
            (("AUTH LOGIN " + coded("old"), 334), (coded(PASSWORD), 235)),
        )
        for row in rows:
            with self.subTest(row=row):
                c = self.secure(2)
                for line, code in row:
                    c.say(line, code)
                c.say("AUTH PLAIN " + plain("user"), 503)
                c.say("QUIT", 221)
        for name, password in (("user", PASSWORD), ("umlaut@example.org", "pä,ss=wörd")):
            self.scram(self.secure(2), name, password)
            self.scram(self.signing(2, self.scram_port), name, password)

    def test_smtplib_signs_in_and_relays(self):
        body = mail.plain("by a signed-in client", "x\n", to="anyone@elsewhere.example")
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example") as s:
            s.starttls(context=trusting())
            s.login("user", PASSWORD)
            s.sendmail("alice@example.org", ["anyone@elsewhere.example"], body)
        kept = self.inside.wait_subject("by a signed-in client")
        self.assertTrue(kept.bytes.endswith(body.partition(b"\r\n\r\n")[2]))
        self.assertIn(" with ESMTPSA ", kept.header("Received")[0])
        found = wait_until(lambda: [e for e in self.mx.command("trace", "--json").lines 
                                    if e.get("subject") == "by a signed-in client"],
                           "the user's name in the journal")
        self.assertEqual((found[0]["tls"], found[0]["auth"]), ("TLSv1.3", "user"))

    def test_by_scram_in_the_clear(self):
        c = self.signing(3, self.scram_port)
        self.scram(c, "user", PASSWORD)
        told = c.transaction("alice@example.org", ["anyone@elsewhere.example"], mail.plain("by scram", "x\n"))
        self.assertEqual(told["last"].code, 250)
        self.assertIn(" with ESMTPA ", self.inside.wait_subject("by scram").header("Received")[0])

    def test_nothing_without(self):
        c = self.secure(4)
        self.assertEqual(c.say("MAIL FROM:<alice@example.org>", 530).enhanced, "5.7.0")
        c.say("RCPT TO:<anyone@elsewhere.example>", 503)

    def test_starttls_forgets_who_it_was(self):
        c = self.signing(5)
        self.scram(c, "user", PASSWORD)
        starttls(c).hello()
        c.say("MAIL FROM:<alice@example.org>", 530)
        c.say("AUTH PLAIN " + plain("user"), 235)
        c.say("MAIL FROM:<alice@example.org> AUTH=<>", 250)
        c.say("AUTH PLAIN " + plain("user"), 503)

    def test_said_wrongly(self):
        rows = (
            ("AUTH", 504, "5.5.4"),
            ("AUTH CRAM-MD5", 504, "5.5.4"),
            ("AUTH PLAIN !!!!", 501, "5.5.2"),
            ("AUTH PLAIN AGEAYg", 501, "5.5.2"),
            ("AUTH PLAIN =", 501, "5.5.2"),
            ("AUTH PLAIN " + coded("no parts"), 501, "5.5.2"),
            ("AUTH PLAIN " + coded("\0\0x"), 501, "5.5.2"),
            ("AUTH PLAIN " + coded("\0" + "n" * 300 + "\0x"), 501, "5.5.2"),
            ("AUTH LOGIN =", 501, "5.5.2"),
            ("AUTH SCRAM-SHA-256 " + coded("n,,x=1"), 501, "5.5.2"),
            ("AUTH SCRAM-SHA-256 " + coded("n,,n=us=er,r=abc"), 501, "5.5.2"),
        )
        for line, code, enhanced in rows:
            with self.subTest(line=line):
                c = self.secure(6)
                self.assertEqual(c.say(line, code).enhanced, enhanced)
                c.say("AUTH PLAIN " + plain("user"), 235)
        c = self.secure(6)
        for start in ("AUTH PLAIN", "AUTH LOGIN", "AUTH SCRAM-SHA-256"):
            c.say(start, 334)
            c.say("*", 501)
        c.say("AUTH LOGIN " + coded("user"), 334)
        c.say("NOOP !", 501)
        c.say("NOOP", 250)

    def test_the_longest_response(self):
        """RFC 4954 section 4: as long as a mechanism's may be, whatever the limit of commands; longer ones end it."""
        c = self.secure(18)
        longest = plain(LONGEST_NAME, LONGEST_PASSWORD, LONGEST_NAME)
        c.say("AUTH PLAIN", 334)
        self.assertEqual(c.say("A" * 4096, 500).enhanced, "5.5.6")
        c.say("NOOP", 250)  # a command again
        c.say("AUTH PLAIN", 334)
        self.assertEqual(c.say(longest, 235).enhanced, "2.7.0")

    def test_in_the_clear(self):
        c = self.signing(7)
        self.assertEqual(c.say("AUTH PLAIN " + plain("user"), 538).enhanced, "5.7.11")
        c.say("AUTH LOGIN", 538)
        c.say("MAIL FROM:<alice@example.org>", 530)
        d = smtp.Client(self.port)
        self.addCleanup(d.close)
        d.expect(220)
        d.say("AUTH SCRAM-SHA-256", 503)

    def test_wrong_ones_get_slower_and_sound_alike(self):
        c = self.secure(8)
        told = set()
        begun = time.monotonic()
        for line in ("AUTH PLAIN " + plain("user", "wrong"), "AUTH PLAIN " + plain("nobody", "wrong")):
            reply = c.say(line, 535)
            self.assertEqual(reply.enhanced, "5.7.8")
            told.add(reply.text.rsplit("[", 1)[0])
        self.assertEqual(len(told), 1)
        self.assertGreaterEqual(time.monotonic() - begun, 3)  # 1 s and 2 s
        self.scram(self.signing(18, self.scram_port), "user", "wrong", 535)
        self.scram(self.signing(19, self.scram_port), "nobody", "wrong", 535)
        self.scram(self.signing(20, self.scram_port), "old", PASSWORD, 535)  # a hash that cannot do it
        d = self.secure(21)
        d.say("AUTH PLAIN " + plain("user", authorize="root"), 535)
        d.say("AUTH PLAIN " + plain("user"), 235)

    def test_unknown_users_always_have_the_same_salt(self):
        told = [self.signing(9, self.scram_port).say(
            "AUTH SCRAM-SHA-256 " + certs.Scram(name, "x").first(), 334).text
                for name in ("nobody", "nobody", "somebody")]
        salts = [base64.b64decode(t).decode().split(",", 1)[1] for t in told]
        self.assertEqual(salts[0], salts[1])
        self.assertNotEqual(salts[0], salts[2])
        self.assertIn(",i=4096", salts[0])

    def test_scram_replays_and_tampering(self):
        c = self.signing(10, self.scram_port)
        client = certs.Scram("user", PASSWORD)
        challenge = c.say("AUTH SCRAM-SHA-256 " + client.first(), 334)
        final, _ = client.final(challenge.text)
        c.say("*", 501)
        c.say("AUTH SCRAM-SHA-256 " + client.first(), 334)
        c.say(final, 535)  # another nonce of ours
        d = self.signing(11, self.scram_port)
        d.say("AUTH SCRAM-SHA-256 " + coded("p=tls-unique,,n=user,r=abc"), 535)

    def test_many_sessions_at_once(self):
        """More than wait in the key role's queue at a time are all told something true."""
        clients = [self.secure(30 + i) for i in range(40)]
        for c in clients:
            c.send("AUTH PLAIN " + plain("old") + "\r\n")
        codes = {c.reply().code for c in clients}
        self.assertLessEqual(codes, {235, 454})
        self.assertIn(235, codes)

    def test_hangs_up_while_it_waits(self):
        for i in range(5):
            c = self.secure(12)
            c.send("AUTH PLAIN " + plain("user", "wrong") + "\r\n")
            c.close()
        self.secure(13).say("AUTH PLAIN " + plain("user"), 235)


class Users(FolderCase):
    def test_reload_and_a_dead_key_role(self):
        users = self.write("users", certs.scram_line("user", PASSWORD))
        relay, _ = self.pair(listen=f'auth = "scram-sha-256"  users = "file:{users}"')

        def code(name):
            with smtp.Client(relay.port) as c:
                c.greet()
                client = certs.Scram(name, PASSWORD)
                challenge = c.say("AUTH SCRAM-SHA-256 " + client.first())
                if challenge.code != 334:
                    return challenge.code
                return c.say(client.final(challenge.text)[0]).code

        self.assertEqual(code("user"), 334)
        self.write("users", certs.scram_line("new", PASSWORD))
        self.assertEqual(relay.reload().status, 0)
        wait_until(lambda: code("new") == 334, "the new user")
        self.write("users", "nonsense\n")
        done = relay.reload()
        self.assertNotEqual(done.status, 0)
        self.assertIn(f"{users}:1: not a user", done.out + done.err)
        kill_hard(relay.role("key"))
        self.assertIn(code("new"), (334, 454))
        wait_until(lambda: code("new") == 334, "a user known to the new key role")

    def test_the_line_that_the_command_prints(self):
        done = command("user", "password", "user", stdin=PASSWORD + "\n")
        self.assertEqual(done.status, 0, done)
        users = self.write("users", done.out)
        relay, _ = self.pair(listen=f'auth = "scram-sha-256"  users = "file:{users}"')
        with smtp.Client(relay.port) as c:
            c.greet()
            client = certs.Scram("user", PASSWORD)
            challenge = c.say("AUTH SCRAM-SHA-256 " + client.first(), 334)
            c.say(client.final(challenge.text)[0], 334)
            c.say("", 235)


if __name__ == "__main__":
    unittest.main()
