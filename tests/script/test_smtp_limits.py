"""What one client may take of the relay, and what it is told before it is cut off."""

import socket
import ssl
import struct
import time
import unittest

import certs
import mail
import smtp
from case import FolderCase, RelayCase
from ports import free_port

FROM = "MAIL FROM:<alice@sender.example>"
TO = "RCPT TO:<bob@example.org>"


class Lines(RelayCase):
    """Command lines over the limit: refused once, dropped up to their CRLF, and the session goes on."""

    def test_long_line_is_skipped(self):
        for length in (2049, 5000, 70000, 500000):
            with self.subTest(length=length):
                client = self.greeted()
                client.send("NOOP " + "x" * (length - 7) + "\r\nNOOP\r\n")
                self.assertEqual(client.expect(500).enhanced, "5.5.2")
                client.expect(250)
                client.say(FROM, 250)

    def test_long_line_at_the_edge(self):
        for length, code in ((2047, 250), (2048, 250), (2049, 500), (2050, 500)):
            with self.subTest(length=length):
                client = self.greeted()
                client.send("NOOP " + "x" * (length - 7) + "\r\nRSET\r\n")
                client.expect(code)
                client.expect(250)

    def test_long_line_with_bare_ends(self):
        """Nothing inside is a command; a CR and an LF of different segments are one CRLF."""
        client = self.greeted()
        client.send("X" * 3000 + "\nQUIT\n\rQUIT\r")
        client.expect(500)
        client.send("\nNOOP\r\n")
        client.expect(250)

    def test_line_without_an_end(self):
        client = self.greeted()
        client.send("X" * 2000000)
        client.expect(500)
        self.assertEqual(client.expect(421).enhanced, "4.7.0")
        client.wait_closed()

    def test_path_limits(self):
        client = self.greeted()
        domain = ".".join(["d" * 60] * 4)
        client.say(f"MAIL FROM:<{'l' * 64}@{domain}>", 250)
        client.say("RSET", 250)
        for path in ("l" * 65 + "@d.example", "l@" + ".".join(["d" * 63] * 4) + ".x", "l" * 64 + "@" + "d." * 140 + "d"):
            self.assertIn(client.say(f"MAIL FROM:<{path}>").code, (501, 553), path)

    def test_too_many_parameters(self):
        client = self.greeted()
        client.say(FROM + "".join(f" X{i}=1" for i in range(17)), 555)


class Mistakes(FolderCase):
    def served(self, listen):
        gateway = self.starting(self.gateway())
        return self.starting(self.relay(gateway, listen=listen))

    def test_the_last_one_ends_it(self):
        relay = self.served("limits { mistakes = 4 }")
        with smtp.Client(relay.port) as c:
            c.greet()
            for line, code in (("NONSENSE", 500), ("DATA", 503), (FROM + " X=1", 555)):
                c.say(line, code)
            c.say("NOOP", 250)
            c.say("NONSENSE", 500)
            self.assertEqual(c.expect(421).enhanced, "4.7.0")
            c.wait_closed()

    def test_the_last_reply_is_not_lost(self):
        """Input that nobody will read waits when the session ends: no reset may eat the reply."""
        relay = self.served("limits { mistakes = 2 }")
        for _ in range(20):
            with smtp.Client(relay.port) as c:
                c.greet()
                c.send("NONSENSE\r\n" * 20000)
                time.sleep(0.05)  # what a reset would need to arrive
                c.expect(500)
                c.expect(500)
                c.expect(421)
                c.wait_closed()

    def test_quit_with_more_behind_it(self):
        relay = self.served("")
        for _ in range(20):
            with smtp.Client(relay.port) as c:
                c.greet()
                c.send("QUIT\r\n" + "NOOP\r\n" * 20000)
                time.sleep(0.05)
                c.expect(221)
                c.wait_closed()


class Times(FolderCase):
    def served(self, limits):
        gateway = self.starting(self.gateway())
        return self.starting(self.relay(gateway, listen=f"limits {{ {limits} }}"))

    def test_commands(self):
        relay = self.served("command_timeout = 5s")
        waiting = {}
        for said in ("", "EHLO x\r\n", "EHLO x\r\nNOO"):
            c = waiting[said] = smtp.Client(relay.port)
            self.addCleanup(c.close)
            c.expect(220)
            c.send(said)
            if said:
                c.expect(250)
        for said, c in waiting.items():  # all wait at the same time
            with self.subTest(said=said):
                self.assertEqual(c.expect(421).enhanced, "4.4.2")
                c.wait_closed()

    def test_data(self):
        relay = self.served("data_timeout = 1s")
        for begin in ("DATA\r\n", "BDAT 1000\r\nabc"):
            with self.subTest(begin=begin), smtp.Client(relay.port) as c:
                c.greet()
                c.say(FROM, 250)
                c.say(TO, 250)
                c.send(begin)
                if begin.startswith("DATA"):
                    c.expect(354)
                self.assertEqual(c.expect(421).enhanced, "4.4.2")
                c.wait_closed()

    def trickle(self, client):
        """A few bytes, again and again, until the relay has had enough of it."""
        client.socket.settimeout(0.1)
        for _ in range(600):
            try:
                client.send("x\r\n")
                client.unread += client.socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                pass  # it has hung up; what it said before is still to be read
            break
        client.socket.settimeout(smtp.PATIENCE_S)
        return client.expect(421)

    def begun(self, relay):
        client = smtp.Client(relay.port)
        self.addCleanup(client.close)
        client.greet()
        client.say(FROM, 250)
        client.say(TO, 250)
        client.say("DATA", 354)
        return client

    def test_message_that_never_ends(self):
        relay = self.served("message_timeout = 2s data_timeout = 60s data_rate = 0")
        self.assertIn("takes too long", self.trickle(self.begun(relay)).text)

    def test_message_that_comes_too_slowly(self):
        relay = self.served("data_timeout = 1s data_rate = 10K")
        self.assertIn("too slowly", self.trickle(self.begun(relay)).text)


class LongEnvelope(RelayCase):
    DOMAIN = f"{'d' * 63}.{'e' * 63}.{'f' * 63}.example.org"
    SETTINGS = {"max_recipients": 10000, "domains": f'domain "{DOMAIN}" {{ gateway = "inside" }}'}

    def test_more_than_the_spool_can_hold(self):
        """Whom it cannot hold is refused at RCPT, so that the client sends the rest apart; the others are taken."""
        client = self.greeted()
        client.say(FROM, 250)
        orcpt = "rfc822;" + "o" * 493
        n, codes = 9500, []
        for first in range(0, n, 500):
            client.send("".join(f"RCPT TO:<{i:05}{'x' * 59}@{self.DOMAIN}> ORCPT={orcpt}\r\n"
                                for i in range(first, first + 500)))
            codes += [client.reply() for _ in range(500)]
        taken = [r for r in codes if r.code == 250]
        self.assertEqual({(r.code, r.enhanced) for r in codes[len(taken):]}, {(452, "4.5.3")})
        self.assertEqual([r.code for r in codes[:len(taken)]], [250] * len(taken))
        self.assertTrue(9000 < len(taken) < n, len(taken))
        client.say("DATA", 354)
        client.expect(250, client.body(mail.plain("many")))


class Hops(RelayCase):
    def test_loops(self):
        for n, code in ((50, 250), (51, 554)):
            received = "Received: from a by b; Sat, 21 Nov 2026 10:00:00 +0000\n" * n
            reply = smtp.send(self.mx.port, mail.plain(f"{n} hops", headers=received))
            self.assertEqual(reply.code, code, reply)
            if code == 554:
                self.assertEqual(reply.enhanced, "5.4.6")

    def test_header_section(self):
        for size, code in ((120 * 1024, 250), (140 * 1024, 552)):
            lines = "".join(f"X-Line-{i}: {'x' * 90}\n" for i in range(size // 100))
            reply = smtp.send(self.mx.port, mail.plain(f"header of {size}", headers=lines))
            self.assertEqual(reply.code, code, reply)

    def test_return_path_stays(self):
        """RFC 5321 section 4.4: final delivery writes it; a relay need not look at it."""
        smtp.send(self.mx.port, mail.plain("with a return path", headers="Return-Path: <x@y.example>\n"))
        self.assertEqual(self.inside.wait_subject("with a return path").header("Return-Path"), ["<x@y.example>"])


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(address, command=0x21, tlv=b""):
    body = socket.inet_aton(address) + socket.inet_aton("198.51.100.2") + struct.pack(">HH", 4660, 25) + tlv
    return V2 + struct.pack(">BBH", command, 0x11, len(body)) + body


class Proxy(RelayCase):
    """The PROXY protocol: whom the balancer names counts everywhere; nobody else may use it."""

    SETTINGS = {"listen": 'proxy_protocol = {"127.0.0.9"} limits { sessions_per_client = 3 }',
                "connect": ("access",)}
    POLICY = "reject client 192.0.2.66\n"

    def through(self, header, cut=None):
        client = self.client(source="127.0.0.9")
        if cut is None:
            client.send(header)
        else:
            client.send(header[:cut])
            with smtp.Client(self.mx.port) as other:  # meanwhile the first part has been read
                other.expect(220)
            client.send(header[cut:])
        return client

    def test_named_client(self):
        for name, header in {"v1": b"PROXY TCP4 192.0.2.7 198.51.100.2 4660 25\r\n",
                             "v2": v2("192.0.2.7"), "v2 with TLVs": v2("192.0.2.7", tlv=b"\x04\0\x02ab")}.items():
            with self.subTest(header=name):
                client = self.through(header)
                client.greet()
                told = client.transaction("a@sender.example", ["bob@example.org"], mail.plain(f"proxied {name}"))
                self.assertEqual(told["end"].code, 250)
                client.say("QUIT", 221)
                received = self.inside.wait_subject(f"proxied {name}").header("Received")[0]
                self.assertIn("[192.0.2.7]", received)
                self.assertNotIn("127.0.0.9", received)

    def test_ipv6(self):
        client = self.through(b"PROXY TCP6 2001:db8::7 2001:db8::1 4660 25\r\n")
        client.greet()
        client.transaction("a@sender.example", ["bob@example.org"], mail.plain("proxied v6"))
        self.assertIn("[IPv6:2001:db8::7]", self.inside.wait_subject("proxied v6").header("Received")[0])

    def test_rules_see_the_client(self):
        client = self.through(v2("192.0.2.66"))
        client.greet()
        client.say(FROM, 250)
        client.say(TO, 550)

    def test_cut_anywhere(self):
        for header in (b"PROXY TCP4 192.0.2.1%02d 198.51.100.2 4660 25\r\n", None):
            for cut in range(1, 40 if header else 28):
                with self.subTest(cut=cut):  # each a client of its own: they count until both sides are closed
                    client = self.through(header % cut if header else v2(f"192.0.2.{200 + cut}"), cut)
                    client.expect(220)
                    client.say("QUIT", 221)
                    client.wait_closed()

    def test_with_commands_behind_it(self):
        client = self.through(v2("192.0.2.7") + b"EHLO x\r\nQUIT\r\n")
        for code in (220, 250, 221):
            client.expect(code)

    def test_balancer_itself(self):
        for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1 2 3 4\r\n", v2("192.0.2.66", command=0x20)):
            with self.subTest(header=header):
                client = self.through(header)
                client.greet()
                client.say(FROM, 250)
                client.say(TO, 250)  # not the rejected one

    def test_bad_headers(self):
        for header in (b"EHLO x\r\n", b"PROXY TCP4 x y 1 2\r\n", b"PROXY TCP4 192.0.2.7 198.51.100.2 1 2\n\n",
                       v2("192.0.2.7", command=0x22), V2 + b"\x21\x11\xff\xff", b"PROXY " + b"x" * 200):
            with self.subTest(header=header):
                self.through(header).wait_closed()  # without a word

    def test_not_from_others(self):
        client = self.client()
        client.expect(220)
        self.assertEqual(client.say("PROXY TCP4 192.0.2.7 198.51.100.2 4660 25").code, 500)

    def test_sessions_of_the_client_are_counted(self):
        clients = [self.through(v2("192.0.2.99")) for _ in range(3)]
        for client in clients:
            client.expect(220)
        over = self.through(v2("192.0.2.99"))
        self.assertEqual(over.expect(421).enhanced, "4.7.0")
        over.wait_closed()
        self.through(v2("192.0.2.98")).expect(220)
        clients[0].say("QUIT", 221)
        clients[0].wait_closed()
        clients[0].close()
        with smtp.Client(self.mx.port) as other:  # the relay has seen the end of the first
            other.greet()
        self.through(v2("192.0.2.99")).expect(220)


class ProxyTls(FolderCase):
    def test_header_and_handshake_in_one_segment(self):
        """What follows the header is TLS: none of it may be taken for the header's."""
        port, certificate = free_port(), certs.Certificate(self.folder, "ec")
        gateway = self.starting(self.gateway())
        relay = self.starting(self.relay(gateway, connect=("access",), sections=certs.section(certificate) + f"""
listen "balanced" {{ address = {{"127.0.0.1:{port}"}}  flow = "inbound"  tls = "implicit"  proxy_protocol = {{"127.0.0.1"}} }}
"""))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        for name, header in {"v1": b"PROXY TCP4 192.0.2.7 198.51.100.2 4660 25\r\n", "v2": v2("192.0.2.7"),
                             "v2 with TLVs": v2("192.0.2.7", tlv=b"\x04\0\x20" + b"x" * 32)}.items():
            with self.subTest(header=name), smtp.Client(port) as client:
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # leaves with the ClientHello
                client.socket.sendall(header)
                client.socket = context.wrap_socket(client.socket)
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
                client.greet()
                told = client.transaction("a@sender.example", ["bob@example.org"], mail.plain(f"tls {name}"))
                self.assertEqual(told["end"].code, 250)
                received = gateway.wait_subject(f"tls {name}").header("Received")[0]
                self.assertIn("[192.0.2.7]", received)
                self.assertRegex(received, r"with ESMTPS\b")


class Xclient(FolderCase):
    def test_everything_it_may_say(self):
        relay, gateway = self.pair()
        with smtp.Client(relay.port) as c:
            self.assertEqual(c.greet()["XCLIENT"], "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT".split())
            banner = c.xclient(name="mail.far.example", addr="198.51.100.7", port="4660", proto="ESMTP",
                               helo="far.example", login="bob+20x", destaddr="192.0.2.1", destport="25")
            self.assertEqual(banner.code, 220)
            c.expect(250, c.transaction("a@sender.example", ["bob@example.org"], mail.plain("no EHLO needed"))["end"])
        received = gateway.wait_subject("no EHLO needed").header("Received")[0]
        self.assertIn("from far.example (mail.far.example [198.51.100.7])", received)
        self.assertRegex(received, r"with ESMTPA\b")  # LOGIN: it says that bob has signed in

    def test_what_is_not_available(self):
        relay, gateway = self.pair()
        with smtp.Client(relay.port) as c:
            c.greet()
            self.assertEqual(c.xclient(name="[UNAVAILABLE]", addr="[UNAVAILABLE]", helo="[TEMPUNAVAIL]",
                                       port="[UNAVAILABLE]", login="[UNAVAILABLE]").code, 220)
            c.say(FROM, 503)  # no HELO: it must be said
            c.hello()
            c.expect(250, c.transaction("a@sender.example", ["bob@example.org"], mail.plain("unavailable"))["end"])
        self.assertIn("(unknown [127.0.0.1])", gateway.wait_subject("unavailable").header("Received")[0])

    def test_new_checks(self):
        relay, _ = self.pair(policy="reject client 198.51.100.7\n", refuse_at="banner")
        with smtp.Client(relay.port) as c:
            c.greet()
            self.assertEqual(c.xclient(addr="198.51.100.8").code, 220)
            c.hello()
            self.assertEqual(c.xclient(addr="198.51.100.7").code, 554)
            c.wait_closed()

    def test_not_inside_a_transaction(self):
        relay, _ = self.pair()
        with smtp.Client(relay.port) as c:
            c.greet()
            c.say(FROM, 250)
            self.assertEqual(c.xclient(addr="198.51.100.7").code, 503)
            c.say("RSET", 250)
            self.assertEqual(c.xclient(addr="198.51.100.7").code, 220)


if __name__ == "__main__":
    unittest.main()
