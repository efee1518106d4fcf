"""STARTTLS and implicit TLS; whose key it is; certificates that change while sessions run."""

import os
import signal
import smtplib
import socket
import ssl
import subprocess
import unittest

import certs
import mail
import smtp
from case import FolderCase, RelayCase
from ports import free_port
from relay import kill_hard
from waiting import wait_until


def trusting(certificate=None, version=None):
    """A client's context: believes this certificate, or any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_verify_locations(certificate.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def starttls(client, context=None, name="mx.test.example"):
    """Goes on inside TLS; the client is past its EHLO."""
    client.say("STARTTLS", 220)
    client.socket = (context or trusting()).wrap_socket(client.socket, server_hostname=name)
    return client


def implicit(port, context=None, name="mx.test.example", source="127.0.0.1"):
    client = smtp.Client(port, source)
    client.socket = (context or trusting()).wrap_socket(client.socket, server_hostname=name)
    return client


class TlsCase(RelayCase):
    @classmethod
    def prepare(cls, folder):
        cls.ec = certs.Certificate(folder, "ec")
        cls.rsa = certs.Certificate(folder, "rsa", certs.RSA)
        cls.other = certs.Certificate(folder, "other", hosts=("other.example", "*.wild.example"))
        cls.implicit_port, cls.balanced_port = free_port(), free_port()
        return {"sections": certs.section(cls.ec, cls.rsa, cls.other) + f"""
listen "submissions" {{ address = {{"127.0.0.1:{cls.implicit_port}"}}  flow = "inbound"  tls = "implicit" }}
listen "balanced" {{
    address = {{"127.0.0.1:{cls.balanced_port}"}}  flow = "inbound"  tls = "implicit"  proxy_protocol = {{"127.0.0.1"}}
}}
listen "clear" {{ address = {{"127.0.0.1:{cls.plain_port()}"}}  flow = "inbound"  tls = "off" }}
"""}

    @classmethod
    def plain_port(cls):
        if not hasattr(cls, "_plain_port"):
            cls._plain_port = free_port()
        return cls._plain_port


class Wire(TlsCase):
    def test_message_by_starttls(self):
        body = mail.plain("by starttls", "\n".join(["x" * 900] * 200) + "\n")
        with smtplib.SMTP("127.0.0.1", self.mx.port, local_hostname="client.example") as s:
            s.ehlo()
            self.assertTrue(s.has_extn("starttls"))
            s.starttls(context=trusting())
            s.ehlo()
            self.assertFalse(s.has_extn("starttls"))
            s.sendmail("alice@sender.example", ["bob@example.org"], body)
        kept = self.inside.wait_subject("by starttls")
        self.assertTrue(kept.bytes.endswith(body.partition(b"\r\n\r\n")[2]))
        received = kept.header("Received")[0]
        self.assertIn(" with ESMTPS ", received)
        self.assertIn("(TLSv1.3 TLS_", received)

    def test_message_by_implicit_tls(self):
        body = mail.plain("by implicit tls", "hello\n")
        context = trusting(self.ec)
        with smtplib.SMTP_SSL("127.0.0.1", self.implicit_port, local_hostname="client.example",
                              context=NamedContext(context, "mx.test.example")) as s:
            s.sendmail("alice@sender.example", ["bob@example.org"], body)
        kept = self.inside.wait_subject("by implicit tls")
        self.assertTrue(kept.bytes.endswith(body.partition(b"\r\n\r\n")[2]))
        self.assertIn(" with ESMTPS ", kept.header("Received")[0])

    def test_large_message_both_ways_of_sending(self):
        """More than any buffer holds, in pieces that do not end with records."""
        body = mail.plain("large by tls", "\n".join(f"{i:08} " + "y" * 70 for i in range(60000)) + "\n")
        c = implicit(self.implicit_port)
        self.addCleanup(c.close)
        c.greet()
        told = c.transaction("alice@sender.example", ["bob@example.org"], body)
        self.assertEqual(told["last"].code, 250, c.transcript())
        kept = self.inside.wait_subject("large by tls")
        self.assertTrue(kept.bytes.endswith(body.partition(b"\r\n\r\n")[2]))

    def test_certificates_by_name_and_kind(self):
        rows = (
            ("mx.test.example", None, self.ec),
            ("other.example", None, self.other),
            ("a.wild.example", None, self.other),
            ("nobody.example", None, self.ec),
            (None, None, self.ec),
            ("mx.test.example", "ECDHE-RSA-AES128-GCM-SHA256", self.rsa),
            ("mx.test.example", "ECDHE-ECDSA-AES256-GCM-SHA384", self.ec),
        )
        for name, cipher, certificate in rows:
            with self.subTest(name=name, cipher=cipher):
                context = trusting(version=ssl.TLSVersion.TLSv1_2 if cipher else None)
                if cipher:
                    context.set_ciphers(cipher)
                c = implicit(self.implicit_port, context, name)
                self.assertEqual(c.socket.getpeercert(True), certificate.der)
                c.close()

    def test_versions(self):
        for version, is_fine in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                                 (ssl.TLSVersion.TLSv1_3, True)):
            with self.subTest(version=version):
                context = trusting(version=version)
                context.set_ciphers("ALL:@SECLEVEL=0")
                if is_fine:
                    implicit(self.implicit_port, context).close()
                else:
                    with self.assertRaises(ssl.SSLError):
                        implicit(self.implicit_port, context)

    def test_every_scheme_of_rsa(self):
        for scheme in ("rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512",
                       "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512", "ecdsa_secp256r1_sha256"):
            for version in ("-tls1_2", "-tls1_3"):
                if version == "-tls1_3" and "pkcs1" in scheme:
                    continue
                with self.subTest(scheme=scheme, version=version):
                    done = subprocess.run(
                        ["openssl", "s_client", "-connect", f"127.0.0.1:{self.implicit_port}", version, "-sigalgs",
                         scheme, "-servername", "mx.test.example", "-CAfile",
                         self.ec.pem if "ecdsa" in scheme else self.rsa.pem],
                        input=b"QUIT\r\n", capture_output=True, timeout=60, check=False)
                    self.assertIn(b"Verify return code: 0 (ok)", done.stdout, done.stderr)
                    self.assertIn(b"Peer signature type: " + (b"ECDSA" if "ecdsa" in scheme else b"RSA"), done.stdout)

    def test_s_client_by_starttls(self):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.mx.port}", "-starttls", "smtp", "-CAfile",
             self.ec.pem, "-name", "client.example", "-crlf"],
            input=b"", capture_output=True, timeout=60, check=False)
        self.assertIn(b"Verify return code: 0 (ok)", done.stdout, done.stderr)

    def test_resumption(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                context = trusting(version=version)
                first = implicit(self.implicit_port, context)
                first.greet()
                first.say("QUIT", 221)
                signed = self.mx.command("status", "--json").json["key"]["signed"]
                again = smtp.Client(self.implicit_port)
                again.socket = context.wrap_socket(again.socket, server_hostname="mx.test.example",
                                                   session=first.socket.session)
                again.greet()
                self.assertTrue(again.socket.session_reused)
                self.assertEqual(self.mx.command("status", "--json").json["key"]["signed"], signed)
                first.close()
                again.close()

    def test_behind_a_balancer(self):
        """The PROXY header and the first bytes of the handshake come in one piece."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(self.ec).wrap_bio(incoming, outgoing, server_hostname="mx.test.example")
        with socket.create_connection(("127.0.0.1", self.balanced_port), smtp.PATIENCE_S) as s:
            pending, banner = b"PROXY TCP4 192.0.2.77 127.0.0.1 1234 465\r\n", b""
            while not banner:
                try:
                    tls.do_handshake()
                    banner = tls.read(1000)
                except ssl.SSLWantReadError:
                    s.sendall(pending + outgoing.read())
                    pending = b""
                    incoming.write(s.recv(65536))
        self.assertTrue(banner.startswith(b"220 "), banner)

    def test_starttls_said_wrongly(self):
        c = self.greeted()
        self.assertEqual(c.say("STARTTLS now", 501).enhanced, "5.5.4")
        c.say("MAIL FROM:<alice@sender.example>", 250)
        c.say("STARTTLS", 503)
        c.say("RSET", 250)
        starttls(c)
        c.say("MAIL FROM:<alice@sender.example>", 503)  # EHLO counts no more
        keywords = c.hello()
        self.assertNotIn("STARTTLS", keywords)
        c.say("STARTTLS", 503)
        c.say("QUIT", 221)

    def test_no_tls_where_it_is_off(self):
        c = smtp.Client(self._plain_port)
        self.addCleanup(c.close)
        self.assertNotIn("STARTTLS", c.greet())
        c.say("STARTTLS", 502)

    def test_what_is_pipelined_behind_starttls_is_never_read(self):
        for behind in ("RSET\r\n", "MAIL FROM:<mallory@evil.example>\r\n", "x"):
            with self.subTest(behind=behind):
                c = self.greeted()
                c.send("STARTTLS\r\n" + behind)
                c.expect(501)
                c.wait_closed()

    def test_garbage_instead_of_a_handshake(self):
        for garbage in (b"EHLO again\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70000, b"\0" * 100):
            with self.subTest(garbage=garbage[:10]):
                c = self.greeted()
                c.say("STARTTLS", 220)
                c.send(garbage)
                c.socket.settimeout(smtp.PATIENCE_S)
                try:
                    while c.socket.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
        starttls(self.greeted())

    def test_cut_in_the_handshake(self):
        for n in (0, 1, 5, 100):
            c = self.greeted()
            c.say("STARTTLS", 220)
            c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * n)
            c.close()
        starttls(self.greeted()).hello()

    def test_journal_and_status_know(self):
        c = starttls(self.greeted())
        c.hello()
        told = c.transaction("alice@sender.example", ["bob@example.org"], mail.plain("journal of tls", "x"))
        found = wait_until(lambda: [e for e in self.mx.command("trace", told["last"].id, "--json").lines
                                    if e["event"] == "accepted"], "an event in the journal")
        self.assertEqual(found[0]["tls"], "TLSv1.3")
        self.assertTrue(found[0]["cipher"].startswith("TLS_"))
        status = self.mx.command("status", "--json").json
        self.assertGreater(status["front"]["tls"], 0)
        self.assertGreater(status["key"]["signed"], 0)


class Rules(RelayCase):
    """tls and auth in the policy."""

    POLICY = "reject from @bank.example tls !*\nreject from @old.example tls TLSv1.2\n"

    @classmethod
    def prepare(cls, folder):
        return {"sections": certs.section(certs.Certificate(folder, "cert"))}

    def told(self, sender, context=None):
        c = self.greeted()
        if context is not None:
            starttls(c, context).hello()
        c.say(f"MAIL FROM:<{sender}>", 250)
        return c.say("RCPT TO:<bob@example.org>").code

    def test_rules(self):
        old, new = (trusting(version=v) for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
        rows = (("a@bank.example", None, 550), ("a@bank.example", old, 250), ("a@bank.example", new, 250),
                ("a@old.example", None, 250), ("a@old.example", old, 550), ("a@old.example", new, 250))
        for sender, context, code in rows:
            with self.subTest(sender=sender, context=context):
                self.assertEqual(self.told(sender, context), code)


class NamedContext:
    """smtplib asks for the certificate of the host it connects to: for another name here."""

    def __init__(self, context, name):
        self.context, self.name = context, name

    def wrap_socket(self, sock, server_hostname=None):
        return self.context.wrap_socket(sock, server_hostname=self.name)


class Handshake:
    """A client's, as far as its first word; the rest when it goes on."""

    def __init__(self, sock, context, name="mx.test.example"):
        self.socket, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._step()

    def _step(self):
        try:
            self.tls.do_handshake()
            is_done = True
        except ssl.SSLWantReadError:
            is_done = False
        self.socket.sendall(self.outgoing.read())
        return is_done

    def goes_on(self):
        """Whether it comes to its end."""
        try:
            is_done = self._step()
            while not is_done:
                data = self.socket.recv(65536)
                if not data:
                    return False
                self.incoming.write(data)
                is_done = self._step()
        except (ssl.SSLError, ConnectionError):
            return False
        return True


def memory_has(pid, needles):
    """Which of the byte strings stand anywhere in a process's memory; as root."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            if end - start > 1 << 30:
                continue  # a sanitizer's own: no role has as much
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError):
                continue
            found |= {n for n in needles if n in data}
    return found


class Key(FolderCase):
    def tls_relay(self, *certificates, **settings):
        return self.pair(sections=certs.section(*certificates), **settings)

    @unittest.skipUnless(os.geteuid() == 0, "reads the memory of others")
    def test_the_key_is_in_its_role_and_nowhere_else(self):
        ec, rsa = certs.Certificate(self.folder, "ec"), certs.Certificate(self.folder, "rsa", certs.RSA)
        relay, _ = self.tls_relay(ec, rsa)
        for context in (trusting(ec), trusting()):
            with smtp.Client(relay.port) as c:
                c.greet()
                starttls(c, context).hello()
        self.assertEqual(relay.reload().status, 0)
        # As OpenSSL keeps numbers, as the files do, and the text of the files.
        needles = {}
        for certificate in (ec, rsa):
            number = certificate.secret()
            with open(certificate.key, "rb") as f:
                line = f.read().splitlines()[2]
            needles[certificate] = {number[::-1], number, line}
        for role, pids in relay.roles().items():
            for pid in pids:
                for certificate, wanted in needles.items():
                    found = memory_has(pid, wanted)
                    self.assertEqual(bool(found & {certificate.secret()[::-1], certificate.secret()}), role == "key",
                                     f"{role}: {certificate.key}")
                    if role != "key":
                        self.assertEqual(found, set(), role)

    def test_new_certificate_without_losing_a_session(self):
        old = certs.Certificate(self.folder, "cert")
        relay, gateway = self.tls_relay(old)
        old_der = old.der
        with smtp.Client(relay.port) as running, smtp.Client(relay.port) as waiting:
            running.greet()
            starttls(running, trusting(old)).hello()
            running.say("MAIL FROM:<alice@sender.example>", 250)
            waiting.greet()
            front, key = relay.role("front"), relay.role("key")
            new = certs.Certificate(self.folder, "cert", certs.RSA)
            self.assertNotEqual(new.der, old_der)
            done = relay.reload()
            self.assertEqual(done.status, 0, done)
            with smtp.Client(relay.port) as c:
                c.greet()
                starttls(c, trusting(new))
                self.assertEqual(c.socket.getpeercert(True), new.der)
            starttls(waiting, trusting(new)).hello()
            running.say("RCPT TO:<bob@example.org>", 250)
            running.say("DATA", 354)
            self.assertEqual(running.body(mail.plain("over the reload", "x")).code, 250)
            self.assertEqual((relay.role("front"), relay.role("key")), (front, key))
        gateway.wait_subject("over the reload")

    def test_signal_reloads_too(self):
        certs.Certificate(self.folder, "cert")
        relay, _ = self.tls_relay(certs.Certificate(self.folder, "cert"))
        new = certs.Certificate(self.folder, "cert")
        relay.process.send_signal(signal.SIGHUP)

        def is_new():
            with smtp.Client(relay.port) as c:
                c.greet()
                starttls(c)
                return c.socket.getpeercert(True) == new.der

        wait_until(is_new, "the new certificate")

    def test_a_wrong_key_changes_nothing(self):
        good = certs.Certificate(self.folder, "cert")
        relay, _ = self.tls_relay(good)
        with open(good.key, "rb") as f:
            key = f.read()
        certs.Certificate(self.folder, "other")
        os.replace(os.path.join(self.folder, "other.key"), good.key)
        done = relay.reload()
        self.assertNotEqual(done.status, 0)
        self.assertIn("not the key of the certificate", done.out + done.err)
        check = relay.command("check")
        self.assertEqual(check.status, 78)
        self.assertIn(f"{good.key}: not the key of the certificate", check.err)
        with smtp.Client(relay.port) as c:
            c.greet()
            starttls(c, trusting(good)).hello()
        with open(good.key, "wb") as f:
            f.write(key)
        self.assertEqual(relay.reload().status, 0)

    def test_policy_change_keeps_certificates(self):
        good = certs.Certificate(self.folder, "cert")
        relay, _ = self.tls_relay(good)
        der = good.der
        certs.Certificate(self.folder, "cert")  # on disk, and not yet reloaded
        relay.policy("reject client 192.0.2.1\n")
        with smtp.Client(relay.port) as c:
            c.greet()
            starttls(c).hello()
            self.assertEqual(c.socket.getpeercert(True), der)

    def test_key_role_dies(self):
        good = certs.Certificate(self.folder, "cert")
        relay, gateway = self.tls_relay(good)
        with smtp.Client(relay.port) as running, smtp.Client(relay.port) as waiting, smtp.Client(relay.port) as lost:
            running.greet()
            starttls(running).hello()
            for client in (waiting, lost):
                client.greet()
                client.say("STARTTLS", 220)
            old = relay.role("key")
            os.kill(old, signal.SIGSTOP)  # nobody answers, and nobody has gone
            hands = Handshake(waiting.socket, trusting(good))
            told = running.transaction("alice@sender.example", ["bob@example.org"], mail.plain("with a slow key", "x"))
            self.assertEqual(told["last"].code, 250)  # the handshake stalls nobody
            gateway.wait_subject("with a slow key")
            os.kill(old, signal.SIGCONT)
            self.assertTrue(hands.goes_on())
            os.kill(old, signal.SIGSTOP)
            hands = Handshake(lost.socket, trusting(good))
            self.assertEqual(running.say("NOOP").code, 250)
            kill_hard(old)
            self.assertFalse(hands.goes_on())
            told = running.transaction("alice@sender.example", ["bob@example.org"], mail.plain("without key", "x"))
            self.assertEqual(told["last"].code, 250)
            gateway.wait_subject("without key")

            def works():
                with smtp.Client(relay.port) as c:
                    c.greet()
                    reply = c.say("STARTTLS")
                    if reply.code == 454:
                        self.assertEqual(reply.enhanced, "4.7.0")
                        return False
                    try:
                        c.socket = trusting(good).wrap_socket(c.socket, server_hostname="mx.test.example")
                    except OSError:
                        return False
                    c.hello()
                    return True

            wait_until(works, "TLS after the key role came back")
            self.assertNotEqual(relay.role("key"), old)

    def test_minimum_13(self):
        good = certs.Certificate(self.folder, "cert")
        relay, _ = self.pair(sections=certs.section(good, minimum="1.3"))
        for version, is_fine in ((ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)):
            with smtp.Client(relay.port) as c:
                c.greet()
                if is_fine:
                    starttls(c, trusting(version=version)).hello()
                else:
                    with self.assertRaises(ssl.SSLError):
                        starttls(c, trusting(version=version))

    def test_stops_with_handshakes_open(self):
        relay, _ = self.tls_relay(certs.Certificate(self.folder, "cert"))
        c = socket.create_connection(("127.0.0.1", relay.port))
        self.addCleanup(c.close)
        c.recv(1000)
        c.sendall(b"EHLO x\r\nSTARTTLS\r\n")
        relay.stop()
        relay.start()


if __name__ == "__main__":
    unittest.main()
