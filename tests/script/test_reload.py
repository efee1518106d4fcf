"""Policies that change under load: no session is dropped, none mixes two policies, memory stays.

RELOADS says how often (30; `make soak-reload` 1,000)."""

import os
import threading
import time
import unittest.mock

import mail
import smtp
from case import FolderCase
from relay import SMALL_QUARANTINE
from waiting import wait_until

RELOADS = int(os.environ.get("RELOADS", "30"))
CLIENTS = 3
MEMORY_GROWS_KB = 16 * 1024  # of front, from a tenth of the reloads to their end
LARGE = 300_000              # entries


def generation(name):
    """A tag at each stage; a message with tags of two generations has seen two policies."""
    return (f"tag c{name}  client *\ntag h{name}  helo *\ntag m{name}  from *\ntag r{name}  to *\n"
            f"tag d{name}  subject *load*\nreject client list:drop\n")


def tags_of(message):
    return [v.split(";")[0].strip() for v in message.parsed.get_all("X-Postern-Tag", [])]


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Reload(FolderCase):
    def lists(self, relay, n):
        folder = os.path.join(relay.state, "lists")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "drop.txt"), "w", encoding="ascii") as f:
            f.writelines(f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for i in range(n))

    def check_message(self, message):
        tags = tags_of(message)
        self.assertEqual(len(tags), 5, tags)
        self.assertEqual(len({t[1:] for t in tags}), 1, tags)
        return tags[0][1:]

    @unittest.mock.patch.dict(os.environ, ASAN_OPTIONS=SMALL_QUARANTINE)
    def test_under_load(self):
        relay, gateway = self.pair(filters=())
        self.lists(relay, 1000)
        relay.policy(generation("0"))
        held = smtp.Client(relay.port, patience_s=60)
        self.addCleanup(held.close)
        held.greet()
        stop, failures, sent = threading.Event(), [], [0] * CLIENTS

        def load(number):
            while not stop.is_set():
                try:
                    with smtp.Client(relay.port) as client:
                        client.greet()
                        for _ in range(3):
                            message = mail.plain(f"load {number}-{sent[number]}")
                            reply = client.transaction("a@sender.example", ["bob@example.org"], message)["last"]
                            if reply.code != 250:
                                failures.append(reply)
                            else:
                                sent[number] += 1
                        client.say("QUIT", 221)
                except (OSError, AssertionError) as e:
                    failures.append(e)
                time.sleep(0.01)

        threads = [threading.Thread(target=load, args=(n,)) for n in range(CLIENTS)]
        for t in threads:
            t.start()
        front, early_kb = relay.role("front"), 0
        try:
            for i in range(1, RELOADS + 1):
                relay.policy(generation(str(i)))
                if i == RELOADS // 10:
                    early_kb = resident_kb(front)
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(failures, [])
        self.assertEqual(relay.role("front"), front)
        self.assertLess(resident_kb(front) - early_kb, MEMORY_GROWS_KB)
        self.assertEqual(held.transaction("a@sender.example", ["bob@example.org"],
                                          mail.plain("load held"))["last"].code, 250)
        gateway.wait_count(sum(sent) + 1)
        seen = {self.check_message(m) for m in gateway.kept()}
        self.assertGreater(len(seen), 3)  # the load did meet several policies
        self.assertEqual(self.check_message(gateway.wait_subject("load held")), "0")

    def test_large_list_stops_nobody(self):
        """A list of many addresses is built beside the loop: no turn of front's becomes slow."""
        relay, gateway = self.pair(filters=())
        self.lists(relay, LARGE)
        done, failures = threading.Event(), []

        def load():
            while not done.is_set():
                reply = smtp.send(relay.port, mail.plain("load"))
                if reply.code != 250:
                    failures.append(reply)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            relay.policy(generation("large"))
        finally:
            done.set()
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(smtp.send(relay.port, mail.plain("x"), client="10.4.147.223").code, 550)
        self.assertEqual(smtp.send(relay.port, mail.plain("last load"), client="10.4.147.224").code, 250)
        gateway.wait_subject("last load")

    def test_worker_has_its_lists(self):
        """What a worker gets holds the lists of content rules, quoting and all, and nothing else."""
        relay, gateway = self.pair(filters=())
        self.lists(relay, 10)
        with open(os.path.join(relay.state, "lists", "words.txt"), "w", encoding="utf-8") as f:
            f.write("cheap load\n")
        with open(os.path.join(relay.state, "lists", "phrases.txt"), "w", encoding="utf-8") as f:
            f.write("# patterns\n*oad 2\n/^LOAD \\d$/i\n")
        relay.policy("reject client list:drop\n"
                     "tag one  subject list:words  client !list:drop\n"
                     'tag two  header "X-Odd"  "a \\"quoted\\" \\\\ one"  text "x # y"  # why\n'
                     "tag three  subject !list:words\ntag four  header X-Odd /a.b\\/c/i\n"
                     'tag five  subject "list:phrases"\n')
        cases = {"cheap load": ("", {"one"}), "load 2": ('X-Odd: a "quoted" \\ one\r\n', {"two", "three", "five"}),
                 "load 3": ("X-Odd: A-B/c\r\n", {"three", "four", "five"})}
        for subject, (headers, _) in cases.items():
            self.assertEqual(smtp.send(relay.port, mail.plain(subject, headers=headers)).code, 250)
        for subject, (_, tags) in cases.items():
            self.assertEqual(set(tags_of(gateway.wait_subject(subject))), tags, subject)
