"""Clients for the soak of front: good ones that keep a ledger, and those that mean no good.

Each client is a function of a World: one visit, which ends by itself within seconds.  A hostile client may
be answered anything or nothing; what it must never get is mail through that nobody acknowledged.
"""

import base64
import contextlib
import hashlib
import itertools
import random
import socket
import ssl
import struct
import threading
import time

import certs
import smtp

DOMAIN = "example.org"
TRUE_END = b"\r\n.\r\n"
LOOKALIKES = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\n.\0\r\n", b"\n\r.\r\n")
HARMLESS = (b"\r\n..\r\n", b"\v.\v", b"\r\n. \r\n", b"\xc2\x85.\xc2\x85", b".\r\n")
SMUGGLED = (b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nhello")
GONE = (OSError, AssertionError, ssl.SSLError)  # how a hostile visit may end: nobody owes it more


class Ledger:
    """What was promised by a 250, refused, or never answered; bytes by their digest."""

    def __init__(self):
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.promised, self.refused, self.unanswered = {}, {}, {}
        self.wait_s = []      # of good clients, MAIL to the last reply
        self.visits = {}      # kind: how many
        self.complaints = []  # what should not have happened

    def message(self, body):
        """(mark, bytes): a message that can be told from all others."""
        with self.lock:
            mark = f"m{next(self.numbers)}"
        return mark, (b"From: <alice@sender.example>\r\nTo: <bob@example.org>\r\nSubject: soak\r\n"
                      b"X-Mark: " + mark.encode() + b"\r\n\r\n" + body)

    def settle(self, book, mark, data):
        with self.lock:
            book[mark] = hashlib.sha256(data).digest()

    def complain(self, text):
        with self.lock:
            self.complaints.append(text)

    def count(self, kind):
        with self.lock:
            self.visits[kind] = self.visits.get(kind, 0) + 1


class World:
    """Ports, the ledger, dice of its own for each thread."""

    def __init__(self, port, implicit_port, balanced_port, ledger, seed=0):
        self.port, self.implicit_port, self.balanced_port = port, implicit_port, balanced_port
        self.ledger = ledger
        self.dice = random.Random(seed)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def source(self):
        """An address of loopback for each hostile visit: no limit for one client hides the rest."""
        return f"127.{self.dice.randrange(1, 250)}.{self.dice.randrange(250)}.{self.dice.randrange(1, 250)}"

    def client(self, port=None, patience_s=20):
        return smtp.Client(port or self.port, self.source(), patience_s)

    def raw(self, port=None, patience_s=3):
        return socket.create_connection(("127.0.0.1", port or self.port), patience_s, (self.source(), 0))

    def starttls(self, client):
        client.say("STARTTLS", 220)
        client.socket = self.context.wrap_socket(client.socket)
        client.hello()


def stuffed(data):
    return data.replace(b"\r\n.", b"\r\n..")


def lines(dice, size):
    """Text of about this size, some of its lines with dots in front."""
    out = bytearray()
    while len(out) < size:
        out += dice.choice((b"", b".", b"..", b"\xc3\xa9")) + b"x" * dice.randrange(0, 120) + b"\r\n"
    return bytes(out)


# --- good clients -------------------------------------------------------------------------------------

def _by_data(client, data):
    client.say("DATA", 354)
    client.send(stuffed(data) + b".\r\n")
    return client.reply()


def _by_chunks(client, data):
    cut = len(data) // 2
    client.send(b"BDAT %d\r\n" % cut + data[:cut])
    client.expect(250)
    client.send(b"BDAT %d LAST\r\n" % (len(data) - cut) + data[cut:])
    return client.reply()


def _send(world, client, send, body, is_timed=True):
    ledger = world.ledger
    mark, data = ledger.message(body)
    begun = time.monotonic()
    client.say("MAIL FROM:<alice@sender.example>", 250)
    client.say("RCPT TO:<bob@example.org>", 250)
    ledger.settle(ledger.unanswered, mark, data)
    reply = send(client, data)
    took = time.monotonic() - begun
    with ledger.lock:
        del ledger.unanswered[mark]
        if is_timed:
            ledger.wait_s.append(took)
    ledger.settle(ledger.promised if reply.code == 250 else ledger.refused, mark, data)
    if reply.code != 250:
        ledger.complain(f"a good message was answered {reply}")


def good(world):
    """A few messages over one connection, as a mail server sends them."""
    dice = world.dice
    with world.client(patience_s=60) as client:
        client.greet()
        if dice.random() < 0.3:
            world.starttls(client)
        for _ in range(dice.randrange(1, 6)):
            _send(world, client, dice.choice((_by_data, _by_chunks)),
                  lines(dice, dice.choice((100, 3000, 3000, 40000, 200000))))
        client.say("QUIT", 221)


def slow(world):
    """Good, over a bad line: its message comes in small pieces."""
    def piecemeal(client, data):
        client.say("DATA", 354)
        data = stuffed(data) + b".\r\n"
        for at in range(0, len(data), 64):
            client.send(data[at:at + 64])
            time.sleep(0.05)
        return client.reply()

    with world.client(patience_s=60) as client:
        client.greet()
        _send(world, client, piecemeal, lines(world.dice, 2000), is_timed=False)
        client.say("QUIT", 221)


# --- hostile clients ----------------------------------------------------------------------------------

def slow_loris(world):
    with world.raw() as s:
        for byte in b"EHLO a.very.slow.client.example\r\nMAIL FROM:<a@sender.example>"[:world.dice.randrange(60)]:
            s.sendall(bytes([byte]))
            time.sleep(0.1)


def half_open(world):
    """Connects and leaves without a word, now and then by a reset."""
    with world.raw() as s:
        time.sleep(world.dice.choice((0, 0, 1, 4)))
        if world.dice.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(world):
    with world.raw() as s:
        for _ in range(world.dice.randrange(1, 30)):
            s.sendall(world.dice.randbytes(world.dice.randrange(1, 3000)) + world.dice.choice((b"", b"\r\n", b"\n")))
            time.sleep(0.01)


def smuggle(world):
    """A look-alike of the end inside a message: one message, or 550, and never a command of it."""
    dice, ledger = world.dice, world.ledger
    inside = dice.choice(LOOKALIKES + HARMLESS)
    with world.client(patience_s=60) as client:
        client.greet()
        mark, data = ledger.message(b"text" + inside + SMUGGLED + b"\r\n")
        client.say("MAIL FROM:<alice@sender.example>", 250)
        client.say("RCPT TO:<bob@example.org>", 250)
        client.say("DATA", 354)
        client.send(data[:-2] + TRUE_END + b"NOOP\r\n")
        reply = client.reply()
        wanted = 550 if inside in LOOKALIKES else 250
        if reply.code != wanted or client.reply().code != 250:
            ledger.complain(f"{inside!r}: {reply}")
        ledger.settle(ledger.promised if reply.code == 250 else ledger.refused, mark, data.replace(b"\r\n.", b"\r\n"))


def tls_garbage(world):
    dice = world.dice
    if dice.random() < 0.4:
        with world.raw(world.implicit_port) as s:
            s.sendall(b"\x16\x03\x01" + struct.pack(">H", dice.randrange(65536)) + dice.randbytes(dice.randrange(2000)))
            s.recv(1000)
            return
    with world.client() as client:
        client.greet()
        if dice.random() < 0.5:  # commands in the clear behind STARTTLS must be lost
            client.send(b"STARTTLS\r\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<bob@example.org>\r\n")
            client.expect((220, 501, 503, 554))
        else:
            client.say("STARTTLS", 220)
        if dice.random() < 0.5:
            client.socket.sendall(dice.randbytes(dice.randrange(1, 500)))
            client.socket.recv(1000)
        else:  # a handshake that is left in its middle
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            half = world.context.wrap_bio(incoming, outgoing)
            with contextlib.suppress(ssl.SSLWantReadError):
                half.do_handshake()
            hello = outgoing.read()
            client.socket.sendall(hello[:dice.randrange(1, len(hello) + 1)])


def guess(world):
    """Tries passwords, and the same with broken words."""
    dice, ledger = world.dice, world.ledger
    with world.client(patience_s=60) as client:
        client.greet()
        world.starttls(client)
        for _ in range(dice.randrange(1, 3)):
            word = base64.b64encode(b"\0user\0" + dice.randbytes(6)).decode()
            way = dice.randrange(5)
            if way == 0:
                client.say("AUTH PLAIN " + word)
            elif way == 1:
                client.say("AUTH LOGIN", 334)
                client.say("dXNlcg==", 334)
                client.say(base64.b64encode(dice.randbytes(8)).decode())
            elif way == 2:
                client.say("AUTH PLAIN", 334)
                client.say(dice.choice(("*", "====", "A" * 20000)))
            elif way == 3:
                scram = certs.Scram("user", "wrong")
                challenge = client.say("AUTH SCRAM-SHA-256 " + scram.first(), 334)
                client.say(scram.final(challenge.lines[0])[0])
            else:
                client.send(b"AUTH " + dice.randbytes(40).hex().encode() + b"\r\n")
                client.reply()
        client.said = [c for c in client.said if c[1].startswith(b"235")]
        if client.said:
            ledger.complain("a guessed password was taken")


def proxy_garbage(world):
    dice = world.dice
    heads = (b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 25\r\n", b"PROXY " + b"x" * 200 + b"\r\n", b"PROXY UNKNOWN\r\n",
             b"\r\n\r\n\0\r\nQUIT\n" + dice.randbytes(4) + dice.randbytes(dice.randrange(300)),
             b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + dice.randbytes(5000),
             b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b"EHLO x\r\n", b"PROXY TCP6 ::1 1.2.3.4 1 2\r\n")
    with world.raw(world.balanced_port) as s:
        s.sendall(dice.choice(heads))
        s.recv(1000)


def flood(world):
    """Many at once that say nothing of use."""
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            s = stack.enter_context(world.raw())
            with contextlib.suppress(OSError):
                s.sendall(b"EHLO flood\r\n" * world.dice.randrange(4))


def abort(world):
    """Gone in the middle of some stage; behind the final dot nobody knows what was kept."""
    dice, ledger = world.dice, world.ledger
    steps = (b"EHLO gone.example\r\n", b"MAIL FROM:<alice@sender.example>\r\n", b"RCPT TO:<bob@example.org>\r\n")
    stage = dice.randrange(7)
    mark, data = ledger.message(lines(dice, 20000))
    with world.client() as client:
        client.expect(220)
        for step in steps[:stage]:
            client.send(step)
            client.expect(250)
        if stage == 4:
            client.send(b"DATA\r\n")
        elif stage == 5:
            client.say("DATA", 354)
            client.send(stuffed(data)[:dice.randrange(len(data))])
        elif stage == 6:
            client.say("DATA", 354)
            ledger.settle(ledger.unanswered, mark, data)
            client.send(stuffed(data) + b".\r\n")
        if dice.random() < 0.5:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def huge(world):
    dice, ledger = world.dice, world.ledger
    with world.client() as client:
        client.greet()
        way = dice.randrange(4)
        if way == 0:  # a command that does not end
            client.send(b"MAIL FROM:<" + b"a" * 1500000)
        elif way == 1:
            client.send(b"NOOP " + b"a" * 100000 + b"\r\n")
            client.expect(500)
            client.say("NOOP", 250)
        elif way == 2:  # a header section past its limit
            mark, data = ledger.message(b"text\r\n")
            data = b"X-Long: " + b"y" * 200000 + b"\r\n" + data
            client.send(b"MAIL FROM:<alice@sender.example>\r\nRCPT TO:<bob@example.org>\r\n")
            client.expect(250), client.expect(250)
            ledger.settle(ledger.refused, mark, data)
            if _by_data(client, data).code != 552:
                ledger.complain("a header section of 200,000 bytes was not answered 552")
        else:  # a chunk of which little comes
            client.send(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<bob@example.org>\r\nBDAT 900000000\r\n" + b"z" * 70000)


def deaf(world):
    """Asks and asks and reads nothing."""
    with world.raw() as s:
        with contextlib.suppress(OSError):
            for _ in range(40):
                s.sendall(b"HELP\r\nEHLO deaf.example\r\nRSET\r\n" * 400)


HOSTILE = (slow_loris, half_open, garbage, smuggle, tls_garbage, guess, proxy_garbage, flood, abort, huge, deaf)


def visit(kind, world):
    """One visit; a good client's bad end is a complaint, a hostile one's is nothing."""
    world.ledger.count(kind.__name__)
    try:
        kind(world)
    except GONE as e:
        if kind in (good, slow):
            world.ledger.complain(f"{kind.__name__}: {e}"[:600])
