"""Clients that send mail of all kinds until told to stop, and enter it in a ledger."""

import hashlib
import itertools
import ssl
import threading
import time

import mail
import smtp
from ledger import Sent
from waiting import PATIENCE_S, wait_until

SENDERS = 8
MESSAGES_A_CONNECTION = 5

SMALL = "".join(f"line {i} of a message\n" for i in range(150))
LARGE = "".join(f"line {i} of a message that takes some time\n" for i in range(4500))  # 200 KiB

QUEUE, THROUGH, LATE, MOODY = "example.org", "through.example", "late.example", "moody.example"

# name, how many of each round, recipients, body (None: infected), sender
KINDS = (
    ("plain", 10, [f"bob@{QUEUE}"], SMALL, None),
    ("through", 10, [f"bob@{THROUGH}"], SMALL, None),
    ("through to two", 2, [f"bob@{THROUGH}", f"carol@{THROUGH}"], SMALL, None),
    ("both ways", 3, [f"bob@{QUEUE}", f"carol@{THROUGH}"], SMALL, None),
    ("three domains", 2, [f"bob@{QUEUE}", f"carol@{THROUGH}", f"dora@{MOODY}"], SMALL, None),
    ("late answer", 2, [f"bob@{LATE}"], SMALL, None),
    ("large", 2, [f"bob@{QUEUE}"], LARGE, None),
    ("large through", 1, [f"bob@{THROUGH}"], LARGE, None),
    ("nobody", 2, [f"nobody@{QUEUE}"], SMALL, None),
    ("partly", 2, [f"bob@{QUEUE}", f"nobody@{QUEUE}"], SMALL, None),
    ("infected", 2, [f"bob@{QUEUE}"], None, None),
    ("infected through", 1, [f"bob@{THROUGH}"], None, None),
    ("gateway refuses", 1, [f"no@{MOODY}"], SMALL, None),
    ("gateway refuses, through", 2, [f"no@{THROUGH}"], SMALL, None),
    ("gateway refuses one, through", 1, [f"bob@{THROUGH}", f"no@{THROUGH}"], SMALL, None),
    ("second server", 2, [f"bob@{MOODY}"], SMALL, None),
    ("put off", 1, [f"later@{MOODY}"], SMALL, None),
    ("quarantined", 1, [f"bob@{QUEUE}"], SMALL, "spoofed@sender.example"),
)
SENDER = "alice@sender.example"


def digest(body):
    return hashlib.sha1(body).hexdigest()


def in_turn():
    """Each round of all kinds, spread out rather than one kind after the other."""
    places = [(i / n, kind) for kind, n in ((k, k[1]) for k in KINDS) for i in range(n)]
    return [kind for _, kind in sorted(places, key=lambda p: p[0])]


def anyone():
    """A client's context that believes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Load:
    def __init__(self, port, ledger):
        self.port = port
        self.ledger = ledger
        self.is_over = threading.Event()
        self.kinds = itertools.cycle(in_turn())
        self.n = 0
        self.n_accepted = 0
        self.tls = anyone()
        self.threads = [threading.Thread(target=self._run, args=(i % 4 == 0,), daemon=True) for i in range(SENDERS)]

    def _next(self, is_secure):
        with self.ledger.lock:
            self.n += 1
            kind = next(self.kinds)
            sent = Sent(f"soak {self.n}", time.time(), kind[0], is_secure)
            self.ledger.sent[sent.subject] = sent
        return sent, kind

    def _run(self, is_secure):
        while not self.is_over.is_set():
            try:
                with smtp.Client(self.port) as client:
                    client.greet()
                    if is_secure:
                        client.say("STARTTLS", 220)
                        client.socket = self.tls.wrap_socket(client.socket)
                        client.hello()
                    for _ in range(MESSAGES_A_CONNECTION):
                        if self.is_over.is_set():
                            return
                        self._send(client, *self._next(is_secure))
            except (OSError, AssertionError):
                self.is_over.wait(0.05)  # the connection went down with a process: that is the test

    def _send(self, client, sent, kind):
        _, _, to, text, sender = kind
        if text is None:
            message = mail.with_attachment(mail.eicar(), sent.subject)
        else:
            message = mail.plain(sent.subject, text)
        sent.digest = digest(message.partition(b"\r\n\r\n")[2])
        sent.rcpts = dict.fromkeys(to)  # None: not answered
        last = client.say(f"MAIL FROM:<{sender or SENDER}>")
        if last.code == 250:
            for rcpt in to:
                last = client.say(f"RCPT TO:<{rcpt}>")
                sent.rcpts[rcpt] = last.code
        if 250 in sent.rcpts.values():
            last = client.say("DATA")
            if last.code == 354:
                last = client.body(message)
        sent.answer(last.code, last.text, last.id, time.time())
        if last.code == 250:
            with self.ledger.lock:
                self.n_accepted += 1
        else:
            client.say("RSET")

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def wait_accepted(self, n, patience_s=PATIENCE_S):
        goal = self.n_accepted + n
        wait_until(lambda: self.n_accepted >= goal, f"{n} more messages answered 250", patience_s)
