"""A raw SMTP client: says exactly the bytes it is told, remembers everything that was said."""

import re
import socket

PATIENCE_S = 60


class Reply:
    def __init__(self, code, lines):
        self.code = code
        self.lines = lines

    @property
    def text(self):
        return " ".join(self.lines)

    @property
    def enhanced(self):
        """"5.7.1", or "" where the reply has none."""
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})( |$)", self.lines[-1])
        return found.group(1) if found else ""

    @property
    def id(self):
        """The transaction id in brackets at the end, or ""."""
        found = re.search(r"\[([0-9A-Za-z-]+)\]\s*$", self.lines[-1])
        return found.group(1) if found else ""

    def __repr__(self):
        return f"{self.code} {' / '.join(self.lines)}"


class Closed(AssertionError):
    """The server has hung up where a reply was due."""


class Client:
    def __init__(self, port, source="127.0.0.1", patience_s=PATIENCE_S, host="127.0.0.1"):
        self.said = []
        self.unread = b""
        self.socket = socket.create_connection((host, port), patience_s, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.said.append(("C", data))
        self.socket.sendall(data)

    def _line(self):
        while b"\n" not in self.unread:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            except TimeoutError:
                raise AssertionError(f"no reply in time; {self.transcript()}") from None
            if not more:
                raise Closed(f"connection closed; {self.transcript()}")
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\n")
        self.said.append(("S", line + b"\n"))
        if not line.endswith(b"\r"):
            raise AssertionError(f"reply line ends without CR: {line!r}")
        return line[:-1].decode("latin-1")

    def reply(self):
        lines = []
        while True:
            line = self._line()
            if not re.match(r"[2-5][0-9][0-9]([ -]|$)", line):
                raise AssertionError(f"not a reply: {line!r}; {self.transcript()}")
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines)

    def expect(self, code, reply=None):
        """The next reply (or the one given) has this code; `code` may be a tuple or a first digit."""
        reply = reply or self.reply()
        wanted = code if isinstance(code, tuple) else (code,)
        if not any(reply.code == w or (w < 10 and reply.code // 100 == w) for w in wanted):
            raise AssertionError(f"wanted {code}, got {reply}; {self.transcript()}")
        return reply

    def say(self, line, code=None):
        """One command line, its reply; with `code` that must be it."""
        self.send(line + "\r\n")
        reply = self.reply()
        return reply if code is None else self.expect(code, reply)

    def greet(self, name="client.example"):
        """Banner and EHLO; returns the EHLO keywords as a dict of lists."""
        self.expect(220)
        return self.hello(name)

    def hello(self, name="client.example"):
        reply = self.say(f"EHLO {name}", 250)
        return {words[0].upper(): words[1:] for words in (line.split() for line in reply.lines[1:])}

    def xclient(self, **attributes):
        """Takes another client's place (XCLIENT): the reply is a fresh banner."""
        self.send("XCLIENT " + " ".join(f"{k.upper()}={v}" for k, v in attributes.items()) + "\r\n")
        return self.reply()

    def body(self, message):
        """The message after 354, dot-stuffed, with the final dot; returns the reply."""
        stuffed = b"".join((b"." + line if line.startswith(b".") else line)
                           for line in message.splitlines(keepends=True))
        if stuffed and not stuffed.endswith(b"\r\n"):
            stuffed += b"\r\n"
        self.send(stuffed + b".\r\n")
        return self.reply()

    def transaction(self, sender, recipients, message):
        """MAIL, RCPTs, DATA: the replies by name; what was refused ends it early."""
        told = {"mail": self.say(f"MAIL FROM:<{sender}>"), "rcpt": [], "end": None}
        if told["mail"].code == 250:
            told["rcpt"] = [self.say(f"RCPT TO:<{to}>") for to in recipients]
        if any(r.code == 250 for r in told["rcpt"]):
            data = self.say("DATA")
            told["end"] = self.body(message) if data.code == 354 else data
        told["last"] = told["end"] or (told["rcpt"] or [told["mail"]])[-1]
        return told

    def wait_closed(self):
        """The server hangs up and says nothing more."""
        try:
            more = self.unread + self.socket.recv(65536)
        except ConnectionResetError:
            more = b""
        if more:
            raise AssertionError(f"unexpected {more!r}; {self.transcript()}")

    def transcript(self):
        return "said so far:\n" + "\n".join(
            f"  {who}: {data[:300]!r}{' …' if len(data) > 300 else ''}" for who, data in self.said[-40:])

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def send(port, message, sender="alice@sender.example", to=("bob@example.org",), client=None, helo="client.example",
         source="127.0.0.1"):
    """One message over one connection; returns the last reply that says what became of it."""
    with Client(port, source) as c:
        banner = c.reply()
        if banner.code != 220:
            return banner
        c.hello(helo)
        if client is not None:
            banner = c.xclient(addr=client)
            if banner.code != 220:
                return banner
            c.hello(helo)
        last = c.transaction(sender, [to] if isinstance(to, str) else list(to), message)["last"]
        c.send("QUIT\r\n")
        return last
