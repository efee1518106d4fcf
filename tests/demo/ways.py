"""The ways a message can go through the relay: what is sent, and what should become of it.

A way looks only at what the client was told and at what the gateways keep, never at what the relay
says of itself.
"""

import mail
import smtp


class Outcome:
    """What became of one message, as seen from outside."""

    def __init__(self, reply, copies):
        self.reply = reply    # the last one the client was given
        self.copies = copies  # [(gateway name, Kept), …]

    @property
    def where(self):
        return ", ".join(name for name, _ in self.copies) or "nowhere"


class Way:
    """One row of the table. `should` is in words what is_right(outcome) tests."""

    def __init__(self, name, should, is_right, message, why, delivers=True, client=None, to="bob@example.org",
                 without_first=False):
        self.name, self.should, self.is_right, self.why = name, should, is_right, why
        self.subject = f"demo: {name}"
        self.message = message(self.subject)
        self.delivers = delivers
        self.client, self.to, self.without_first = client, to, without_first

    def send(self, port):
        return smtp.send(port, self.message, to=self.to, client=self.client)


def one_copy(outcome, gateway):
    return outcome.reply.code == 250 and [name for name, _ in outcome.copies] == [gateway]


def headers_of(outcome, name):
    return [value for _, copy in outcome.copies for value in copy.header(name)]


def body_is(outcome, way_message):
    return all(copy.body == way_message.partition(b"\r\n\r\n")[2] for _, copy in outcome.copies)


def refused(outcome, enhanced):
    return outcome.reply.code == 550 and outcome.reply.enhanced.startswith(enhanced) and not outcome.copies


def verdict(outcome):
    found = headers_of(outcome, "X-Postern-Verdict")
    return found[0] if len(found) == 1 else f"{len(found)} verdicts"


def verdict_is(outcome, word):
    """Exactly one verdict, this one, with the id the client was given."""
    found = verdict(outcome)
    return found.split(";")[0] == word and bool(outcome.reply.id) and f"id={outcome.reply.id}" in found


def tags(outcome):
    return headers_of(outcome, "X-Postern-Tag")


def said(outcome):
    return outcome.reply.text.removeprefix(outcome.reply.enhanced).strip()


CLEAN = "Hello Bob,\nlunch at noon?\n.\n..and a line of dots\n"


def clean(subject):
    return mail.plain(subject, CLEAN)


def infected(subject):
    return mail.with_attachment(mail.eicar(), subject, "invoice.bin")


def doubtful(subject):
    return mail.plain(subject, "This is about your OVERDUE INVOICE.\n")


FORGED = ("X-Postern-Verdict: pass; score=0; id=FORGED\nx-postern-tag: friend; by=forger; score=-99\n"
          "X-Spam-Flag: NO\nX-POSTERN-SEAL: v=1; k=forged;\n\tb=Zm9yZ2Vk\nX-Spam-Note: stays\n")


def forged(subject):
    return mail.plain(subject, headers=FORGED)


def is_cleaned(outcome):
    """Nothing forged is left, what only looks similar stays."""
    text = b"".join(copy.bytes.lower() for _, copy in outcome.copies)
    return not any(word in text for word in (b"id=forged", b"friend", b"x-postern-seal", b"x-spam-flag")) and \
        headers_of(outcome, "X-Spam-Note") == ["stays"]


def ways():
    """In the order they are sent; the ones that need the first gateway down come last."""
    listed = Way("from a listed client", "refused, naming the list",
                 lambda o: refused(o, "5.7.") and "zen.example.net" in said(o),
                 clean, said, delivers=False, client="203.0.113.7")
    recipient = Way("to an unknown recipient", "refused at RCPT", lambda o: refused(o, "5.1.1"),
                    clean, said, delivers=False, to="nobody@example.org")
    virus = Way("EICAR in an attachment", "refused after DATA", lambda o: refused(o, "5.7."),
                infected, said, delivers=False)
    plain = Way("clean", "at gateway 1, not a byte of its body changed",
                lambda o: one_copy(o, "gateway 1") and verdict_is(o, "pass") and body_is(o, plain.message),
                clean, verdict)
    tagged = Way("doubtful content", "at gateway 1, tagged `invoice`",
                 lambda o: one_copy(o, "gateway 1") and verdict_is(o, "tag")
                 and any(t.startswith("invoice;") for t in tags(o)),
                 doubtful, lambda o: "; ".join(tags(o)) or verdict(o))
    forger = Way("forged tags", "at gateway 1 without them",
                 lambda o: one_copy(o, "gateway 1") and verdict_is(o, "pass") and is_cleaned(o),
                 forged, lambda o: verdict(o) + (", nothing forged left" if is_cleaned(o) else ", FORGERY LEFT"))
    second = Way("clean, gateway 1 is down", "at gateway 2",
                 lambda o: one_copy(o, "gateway 2") and verdict_is(o, "pass") and body_is(o, second.message),
                 clean, verdict, without_first=True)
    return [plain, listed, recipient, virus, tagged, forger, second]
