"""Other people's programs on both sides of a real relay: what they send arrives, what was acknowledged is kept.

A peer that cannot be had or does not run here is a test that is skipped, with the reason.
"""

import os
import tempfile
import unittest

import certs
import fetch
import mail
import smtp
import test_smuggling
from case import FolderCase, RelayCase, signature_folder, work_folder
from peer_clients import ADDED, CLIENTS
from peer_servers import SERVERS, SmtpSink
from ports import free_port
from relay import Relay, Settings

TEXT = 'MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n'
# What a program on the way might change: dots, blanks, empty lines, long lines, 8-bit text, words of mailboxes.
BODIES = {
    "plain": ("", "Hello.\n"),
    "dots": ("", ".\n..\n...\n.\n\n. \n.x\nend.\n"),
    "blanks": ("", "\n\n trailing \t\n\t\n\nFrom the first word\n>From the second\n\n\n"),
    "no body": ("", ""),
    "8-bit": (TEXT, "Größe: 3 µm, ½\n.\u00e4\n\u65e5\u672c\n"),
    "long lines": ("X-Folded: one\n\ttwo\n   three\n", ("x" * 900 + "\n") * 20 + "." * 900 + "\n"),
    "large": ("", "".join(f"{i:07d} {'y' * (i % 70)}\n" for i in range(8000))),
}


def messages(label, without=()):
    return {f"{label} {name}": mail.plain(f"{label} {name}", body=body, headers=headers)
            for name, (headers, body) in BODIES.items() if name not in without}


def obtain(make):
    """What make() gives; the test is skipped where a program is not to be had."""
    try:
        return make()
    except fetch.Missing as e:
        raise unittest.SkipTest(f"NOT TESTED: {e}") from None


class SenderCase(RelayCase):
    """A relay with a listener in the clear and one with STARTTLS, and a gateway that keeps what comes."""

    @classmethod
    def prepare(cls, folder):
        cls.clear_port = free_port()
        return {"max_size": "2M", "filters": (), "listen": "limits { messages = 100000 }",
                "domains": "".join(f'domain "{d}.example" {{ gateway = "inside"  recipients = "any" }}\n'
                                   for d in ("plain", "tls")),
                "sections": certs.section(certs.Certificate(folder, "cert"))
                + f'listen "clear" {{ address = {{"127.0.0.1:{cls.clear_port}"}}  flow = "inbound"  tls = "off" }}\n'}

    def check_arrived(self, sent, to, tls):
        """Each message once, its bytes behind what relays put before it, said to have come by TLS or not."""
        for subject, data in sent.items():
            kept = self.inside.wait_subject(subject)
            self.assertTrue(kept.bytes.endswith(data), f"{subject}: sent {data[-300:]!r}, arrived {kept.bytes[-300:]!r}")
            self.assertEqual(sorted(kept.to), sorted(to), subject)
            with_tls = "with ESMTPS " in kept.header("Received")[0]
            self.assertEqual(with_tls, tls == "starttls", kept.header("Received")[0])
        everything = [m.header("Subject")[0] for m in self.inside.kept()]
        self.assertEqual([s for s in sent if everything.count(s) != 1], [])


class Programs(SenderCase):
    """swaks and smtp-source, which both end a message by a line of their own."""

    WITHOUT = ("no body",)

    def send_all(self, name, tls, to=("bob@example.org",)):
        send = CLIENTS[name]
        sent = messages(f"{name} {tls} {len(to)}", self.WITHOUT)
        port = self.clear_port if tls == "none" else self.mx.port
        folder = tempfile.mkdtemp(prefix="messages-", dir=self.class_folder)
        for i, data in enumerate(sent.values()):
            path = os.path.join(folder, f"{i}.eml")
            with open(path, "wb") as f:
                f.write(data)
            obtain(lambda path=path: send(port, tls, path, "alice@sender.example", list(to)))
        self.check_arrived({s: data + ADDED.get(name, b"") for s, data in sent.items()}, to, tls)

    def test_swaks(self):
        self.send_all("swaks", "none")

    def test_swaks_tls(self):
        self.send_all("swaks", "starttls", ("bob@example.org", "carol@example.org"))

    def test_smtp_source(self):
        self.send_all("smtp-source", "none")

    def test_smtp_source_many(self):
        """20 sessions at once, 200 messages that are all the same."""
        path = os.path.join(self.class_folder, "many.eml")
        data = mail.plain("many at once", body="Hello.\n" * 50)
        with open(path, "wb") as f:
            f.write(data)
        data += ADDED["smtp-source"]
        obtain(lambda: CLIENTS["smtp-source"](self.clear_port, "none", path, "alice@sender.example",
                                              ["bob@example.org"], 20, 200))
        kept = lambda: [m for m in self.inside.kept() if m.header("Subject") == ["many at once"]]
        self.inside.wait_for(lambda _: len(kept()) >= 200, "200 messages")
        self.assertEqual([m for m in kept() if not m.bytes.endswith(data)], [])
        self.assertEqual(len(kept()), 200)


class Nodemailer(SenderCase):
    WITHOUT = ()
    send_all = Programs.send_all

    def test_plain(self):
        self.send_all("nodemailer", "none", ("bob@example.org", "carol@example.org"))

    def test_tls(self):
        self.send_all("nodemailer", "starttls")


class Servers(SenderCase):
    """Mail servers that are given mail and send it on through the relay, in the clear and inside TLS."""

    def send_through(self, name):
        folder = os.path.join(self.class_folder, name)
        os.mkdir(folder)
        server = SERVERS[name](folder, self.clear_port, self.mx.port)
        self.addCleanup(server.stop)
        obtain(server.start)
        sent = {way: messages(f"{name} {way}") for way in ("plain", "tls")}
        for way, all_of_it in sent.items():
            for data in all_of_it.values():
                reply = smtp.send(server.port, data, to=f"bob@{way}.example")
                self.assertEqual(reply.code, 250, f"{name} takes no mail: {reply}")
        try:
            for way, all_of_it in sent.items():
                self.check_arrived(all_of_it, [f"bob@{way}.example"], "starttls" if way == "tls" else "none")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{name} says:\n{server.log()[-3000:]}") from None

    def test_postfix(self):
        self.send_through("Postfix")

    def test_exim(self):
        self.send_through("Exim")

    def test_opensmtpd(self):
        self.send_through("OpenSMTPD")

    def test_sendmail(self):
        self.send_through("Sendmail")


class GatewayCase(test_smuggling.Smuggling):
    """test_smuggling with a real server behind the relay: what it stores is what we acknowledged."""

    SERVER = None

    @classmethod
    def setUpClass(cls):
        if cls.SERVER is None:
            raise unittest.SkipTest("no server")
        folder = tempfile.mkdtemp(prefix=cls.__name__ + "-", dir=work_folder())
        os.chmod(folder, 0o755)
        place = os.path.join(folder, "peer")
        os.mkdir(place)
        cls.inside = cls.SERVER(place)
        cls.addClassCleanup(cls.inside.stop)
        obtain(cls.inside.start)
        cls.mx = Relay(folder, signature_folder(), Settings(gateways=[(cls.inside.address, 10)], **cls.SETTINGS))
        cls.addClassCleanup(cls.mx.stop)
        cls.mx.start()
        cls.mx.policy("")

    def check_gateway(self, acknowledged):
        try:
            super().check_gateway(acknowledged)
        except AssertionError as e:
            raise AssertionError(f"{e}\nthe relay's queue: {self.mx.command('queue', 'list').out}\n"
                                 f"the server: {self.inside.log()}") from e


class BehindPostfix(GatewayCase):
    SERVER = SERVERS["Postfix"]


class BehindExim(GatewayCase):
    SERVER = SERVERS["Exim"]


class BehindOpenSmtpd(GatewayCase):
    SERVER = SERVERS["OpenSMTPD"]


class BehindSendmail(GatewayCase):
    SERVER = SERVERS["Sendmail"]


class BehindSmtpSink(GatewayCase):
    SERVER = SmtpSink


class Unprotected(FolderCase):
    """The same look-alikes straight at a server, with no relay before it: the check can fail.

    Which of them a server falls for is printed; it is its version's business, and nothing is decided by it."""

    def count(self, name):
        server = SERVERS[name](self.folder)
        self.addCleanup(server.stop)
        obtain(server.start)
        fell = []
        for what, inside in (("LF . LF", b"\n.\n"), ("LF . CRLF", b"\n.\r\n"), ("CRLF . LF", b"\r\n.\n"),
                             ("CR . CR", b"\r.\r"), ("CRLF . CR", b"\r\n.\r"), ("CRCRLF . CRLF", b"\r\r\n.\r\n")):
            with smtp.Client(server.port) as client:
                client.greet()
                client.say("MAIL FROM:<alice@sender.example>", 250)
                client.say("RCPT TO:<bob@example.org>", 250)
                client.say("DATA", 354)
                client.send(test_smuggling.message(f"bare {what}") + inside + test_smuggling.SMUGGLED
                            + test_smuggling.TRUE_END + b"QUIT\r\n")
                try:
                    said = [client.reply().code for _ in range(2)]
                    if said[1] != 221:  # more replies than there were commands
                        fell.append(what)
                except AssertionError:
                    continue  # it hangs up
        print(f"\n    {name} alone takes for the end of a message: {', '.join(fell) or 'none of them'}", end=" ", flush=True)

    def test_postfix(self):
        self.count("Postfix")

    def test_exim(self):
        self.count("Exim")

    def test_opensmtpd(self):
        self.count("OpenSMTPD")

    def test_sendmail(self):
        self.count("Sendmail")
