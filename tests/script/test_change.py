"""Changes while mail flows: ending, reloads on top of each other, edits of the policy side by side."""

import os
import signal
import threading

import mail
import smtp
from case import FolderCase
from relay import is_alive
from waiting import wait_until


class Ending(FolderCase):
    def in_data(self, relay, subject):
        """A client in the middle of its message; returns it and what is still to be sent."""
        client = smtp.Client(relay.port)
        self.addCleanup(client.close)
        client.greet()
        client.say("MAIL FROM:<alice@sender.example>", 250)
        client.say("RCPT TO:<bob@example.org>", 250)
        client.say("DATA", 354)
        head, _, rest = mail.plain(subject).partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        return client, rest

    def check_one(self, filters):
        relay, gateway = self.pair(filters=filters)
        client, rest = self.in_data(relay, "in hand")
        os.kill(relay.process.pid, signal.SIGTERM)
        wait_until(lambda: relay.events("stopping"), "the relay to be ending")
        client.send(rest + b".\r\n")
        self.assertEqual(client.reply().code, 250)
        wait_until(lambda: not is_alive(relay.process.pid), "the relay to end")
        relay.process.wait()
        relay.start()
        gateway.wait_subject("in hand")
        self.assertEqual(sum("in hand" in m.header("Subject") for m in gateway.kept()), 1)

    def test_message_in_hand_is_finished(self):
        self.check_one(())

    def test_message_in_hand_is_filtered_and_finished(self):
        self.check_one(("antivirus", "content"))

    def test_idle_client_is_told(self):
        relay, _ = self.pair()
        client = smtp.Client(relay.port)
        self.addCleanup(client.close)
        client.greet()
        os.kill(relay.process.pid, signal.SIGTERM)
        self.assertEqual(client.reply().code, 421)


class Reload(FolderCase):
    def change(self, relay, word):
        with open(relay.conf, "a", encoding="utf-8") as f:
            f.write(f"# {word}\n")
        os.kill(relay.process.pid, signal.SIGHUP)

    def test_one_on_top_of_another(self):
        """The second comes while the first still waits for a role: in the end all run, and mail flows."""
        relay, gateway = self.pair()
        before = relay.roles()
        self.change(relay, "one")
        spool = wait_until(lambda: [p for p in relay.roles().get("spool", []) if p not in before["spool"]],
                           "a new spool")[0]
        os.kill(spool, signal.SIGSTOP)
        first = relay.roles()
        self.change(relay, "two")
        wait_until(lambda: len(relay.events("reload")) == 2, "the second reload")
        os.kill(spool, signal.SIGCONT)

        def all_new():
            now = relay.roles()
            return all(now.get(role) and now[role] != before[role] for role in before if role != "supervisor")

        wait_until(all_new, lambda: f"all roles anew; {before}, {first}, {relay.roles()}")
        wait_until(lambda: smtp.send(relay.port, mail.plain("after")).code == 250, "mail to be taken")
        gateway.wait_subject("after")


class Edits(FolderCase):
    def test_side_by_side(self):
        relay, _ = self.pair(policy="# none\n")
        rules = [f"reject client 203.0.113.{i}" for i in range(8)]
        done = [None] * len(rules)

        def add(i):
            done[i] = relay.command("policy", "add", rules[i])

        threads = [threading.Thread(target=add, args=(i,)) for i in range(len(rules))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([d.status for d in done], [0] * len(rules), done)
        exported = relay.command("policy", "export").out
        self.assertEqual(sorted(exported.splitlines()), sorted(["# none"] + rules))

