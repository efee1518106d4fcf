"""What was sent, what arrived, what was killed and when: and whether that keeps our promises.

- Every recipient of a message answered 250 has it, or its sender's report, or it still waits here.
- What was refused never arrives. A 4xx that is said because the spool died in between is no refusal:
  nobody can know then, and the client, which sends again, need not.
- What arrives twice was under way to its gateway when that or the spool died, one kill for each further
  copy.
- What arrives is what was sent.

Nothing here waits or looks at a clock; all times are seconds of the wall clock.
"""

import bisect
import threading

TICK_S = 0.005  # gateways note whole milliseconds
# Deaths of the process that keeps the mail; with the supervisor all roles end.
KEEPERS = ("spool", "supervisor", "run", "all")
REPEATERS = (*KEEPERS, "gateways")  # whose death leaves open whether a gateway has taken a message


class Sent:
    """One message as its client knows it."""

    def __init__(self, subject, begun, kind="", is_secure=False):
        self.subject = subject
        self.kind = kind
        self.is_secure = is_secure  # over TLS
        self.begun = begun
        self.rcpts = {}      # recipient -> code of its RCPT
        self.digest = None   # of the body
        self.code = None     # of the last reply; None: the connection was lost first
        self.text = ""
        self.id = ""
        self.replied = None

    def answer(self, code, text, id_, at):
        self.code, self.text, self.id, self.replied = code, text, id_, at

    @property
    def accepted(self):
        """Recipients that are ours to see to."""
        return [to for to, code in self.rcpts.items() if code == 250] if self.code == 250 else []

    def __repr__(self):
        return f"{self.subject} ({self.kind}) {self.rcpts} -> {self.code} {self.text}"


class Arrival:
    def __init__(self, subject, to, gateway, at, digest):
        self.subject, self.to, self.gateway, self.at, self.digest = subject, to, gateway, at, digest

    def __repr__(self):
        return f"{self.subject} for {self.to} at {self.gateway} {self.at:.3f}"


class Kill:
    """`begun`: before the first signal; `done`: all are dead; `back`: mail is taken again."""

    def __init__(self, what, begun, done=None, back=None):
        self.what, self.begun, self.done, self.back = what, begun, done, back

    def is_within(self, first, last):
        return self.begun <= last + TICK_S and (self.done is None or self.done >= first - TICK_S)

    def is_open_at(self, first, last):
        """What was written to a gateway before it may be read there until the next spool is at work."""
        return self.begun <= last + TICK_S and (self.back is None or self.back >= first - TICK_S)


class Judgement:
    """Lists of what is wrong, and what was excused."""

    WRONG = ("lost", "refused_arrived", "strangers", "damaged", "duplicates")

    def __init__(self):
        self.lost = []             # (subject, recipient) answered 250
        self.refused_arrived = []  # (subject, recipient, code)
        self.strangers = []        # arrivals nobody sent
        self.damaged = []          # arrivals with another body
        self.duplicates = []       # (subject, recipient, times) without a kill that explains them
        self.excused = []          # (subject, recipient, times) with one
        self.unsure_arrived = 0    # arrived, and the client had no answer or the excused 4xx

    @property
    def is_good(self):
        return not any(getattr(self, name) for name in self.WRONG)

    def __repr__(self):
        return "; ".join(f"{len(getattr(self, n))} {n}: {getattr(self, n)[:3]}"
                         for n in self.WRONG if getattr(self, n)) or "all as promised"


class Ledger:
    """Written by many threads, judged when they are still or at rest."""

    def __init__(self, in_flight=80):
        self.in_flight = in_flight  # copies that may be on their way to one gateway at a time
        self.lock = threading.Lock()
        self.sent = {}      # subject -> Sent
        self.arrivals = []
        self.reports = set()  # (subject, recipient) that a report speaks of
        self.kills = []

    def count(self):
        with self.lock:
            codes = [s.code for s in self.sent.values()]
            by_tls = sum(s.code == 250 and s.is_secure for s in self.sent.values())
            return {"kills": len(self.kills), "sent": len(codes), "accepted": codes.count(250), "accepted_by_tls": by_tls,
                    "refused": sum(c is not None and c != 250 for c in codes),
                    "unanswered": codes.count(None), "delivered": len(self.arrivals),
                    "reported": len(self.reports)}

    def judge(self, waiting=frozenset()):
        """`waiting`: ids of messages that are in the queue or in quarantine."""
        with self.lock:
            sent, arrivals, kills = dict(self.sent), list(self.arrivals), list(self.kills)
            reports = set(self.reports)
        found = Judgement()
        copies = {}
        for a in arrivals:
            copies.setdefault((a.subject, a.to), []).append(a)
            known = sent.get(a.subject)
            if known is None or a.to not in known.rcpts:
                found.strangers.append(a)
            elif a.digest != known.digest:
                found.damaged.append(a)
        for s in sent.values():
            for to in s.accepted:
                if (s.subject, to) not in copies and (s.subject, to) not in reports and s.id not in waiting:
                    found.lost.append((s.subject, to))
        self._look_at_refusals(found, sent, copies, kills)
        self._look_at_duplicates(found, sent, copies, arrivals, kills)
        return found

    @staticmethod
    def _look_at_refusals(found, sent, copies, kills):
        for (subject, to), _ in copies.items():
            s = sent.get(subject)
            if s is None or to not in s.rcpts:
                continue
            code = s.rcpts[to] if s.rcpts[to] not in (250, None) else s.code
            if code is None:
                found.unsure_arrived += 1
            elif code // 100 == 4 and any(k.what in KEEPERS and k.is_within(s.begun, s.replied) for k in kills):
                found.unsure_arrived += 1
            elif code != 250:
                found.refused_arrived.append((subject, to, code))

    def _look_at_duplicates(self, found, sent, copies, arrivals, kills):
        times = {}
        for a in arrivals:
            times.setdefault(a.gateway, []).append(a.at)
        for of_one in times.values():
            of_one.sort()
        repeaters = [k for k in kills if k.what in REPEATERS]
        for (subject, to), of_one in copies.items():
            if len(of_one) < 2 or subject not in sent:
                continue
            of_one.sort(key=lambda a: a.at)
            is_good = all(self._is_explained(times, repeaters, sent[subject], of_one[:i + 1])
                          for i in range(1, len(of_one)))
            (found.excused if is_good else found.duplicates).append((subject, to, [a.at for a in of_one]))

    def _is_explained(self, times, repeaters, sent, copies):
        """The last of these copies: as many kills since it was sent as there are copies beside it, and
        one of them struck before much else had arrived behind the copy before."""
        between = [k for k in repeaters if k.is_within(sent.begun, copies[-1].at)]
        if len(between) < len(copies) - 1:
            return False
        before, of_gateway = copies[-2].at, times[copies[-2].gateway]
        return any(k.is_open_at(before, copies[-1].at) and
                   bisect.bisect_left(of_gateway, k.begun) - bisect.bisect_right(of_gateway, before) <= self.in_flight
                   for k in between)
