"""Gateway servers: their health as `postern gateway list` tells it, drains, probes, slow servers, outages."""

import socket
import threading
import time

import mail
import smtp
from case import FolderCase
from waiting import wait_until


class Burst:
    """Mail from several clients at once, until it is told to end."""

    def __init__(self, port, n_clients=4):
        self.sent, self.refused = [], []
        self.is_over = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(port, i)) for i in range(n_clients)]
        for thread in self.threads:
            thread.start()

    def run(self, port, i):
        n = 0
        while not self.is_over:
            subject = f"burst {i} {n}"
            reply = smtp.send(port, mail.plain(subject))
            with self.lock:
                (self.sent if reply.code == 250 else self.refused).append(subject)
            n += 1

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        return self.sent


def subjects(*gateways):
    return sorted(m.header("Subject")[0] for g in gateways for m in g.kept())


class Gateways(FolderCase):
    def servers(self, relay, *words):
        done = relay.command("gateway", *(words or ("list",)), "--json")
        self.assertEqual(done.status, 0, done)
        return {s["server"]: s for s in done.lines}

    def server(self, relay, gateway):
        return self.servers(relay)[gateway.address]

    def wait_server(self, relay, gateway, look, what):
        def found():
            server = self.server(relay, gateway)
            return server if look(server) else None
        return wait_until(found, lambda: f"{what}; it is {self.server(relay, gateway)}")

    def send(self, relay, subject, **options):
        reply = smtp.send(relay.port, mail.plain(subject), **options)
        self.assertEqual(reply.code, 250, reply)
        return reply.id

    def queue(self, relay):
        return relay.command("queue", "list", "--json").lines

    def wait_empty(self, relay):
        wait_until(lambda: not self.queue(relay), lambda: f"an empty queue, there is {self.queue(relay)[:3]}")

    def equals(self, *gateways, **settings):
        """A relay in front of running gateways of one preference."""
        for gateway in gateways:
            self.starting(gateway)
        return self.starting(self.relay(gateways=[(g.address, 10) for g in gateways], **settings))

    # --- list ---

    def test_list(self):
        first, down = self.gateway(name="first"), self.gateway(name="down")
        self.starting(first)
        relay = self.starting(self.relay(down, first))
        self.send(relay, "listed")
        first.wait_subject("listed")
        up = self.wait_server(relay, first, lambda s: s["delivered"] == 1, "one delivered")
        self.assertEqual({k: up[k] for k in ("gateway", "state", "preference", "weight", "deferred", "failed", "next_trial")},
                         {"gateway": "inside", "state": "up", "preference": 20, "weight": 1, "deferred": 0,
                          "failed": 0, "next_trial": None})
        self.assertRegex(up["last_reply"], "^250 2.0.0 kept")
        self.assertGreaterEqual(up["latency_ms"]["p95"], 0)
        self.assertGreaterEqual(up["latency_ms"]["average"], 0)
        self.assertGreaterEqual(up["limit"], up["connections"])
        self.assertRegex(up["since"], r"^\d{4}-\d\d-\d\dT")
        gone = self.server(relay, down)
        self.assertEqual(gone["state"], "down")
        self.assertIn("refused", gone["last_reply"])
        self.assertIsNone(gone["latency_ms"])
        text = relay.command("gateway", "list")
        self.assertEqual(text.status, 0, text)
        self.assertIn("GATEWAY", text.out.splitlines()[0])
        self.assertIn(down.address, text.out)
        self.assertEqual(relay.command("gateway").out.splitlines()[0], text.out.splitlines()[0])

    def test_counts_by_recipient(self):
        gateway = self.gateway("--reject-rcpt", "later@example.org=450", "--reject-rcpt", "never@example.org=550")
        relay = self.equals(gateway, retry="1h")
        self.send(relay, "apart", to=["now@example.org", "later@example.org", "never@example.org"])
        server = self.wait_server(relay, gateway, lambda s: s["delivered"] >= 2, "the message and its report")
        self.assertEqual((server["delivered"], server["deferred"], server["failed"]), (2, 1, 1))

    def test_wrong_words(self):
        gateway = self.gateway()
        relay = self.equals(gateway)
        port = gateway.port
        for verb in ("drain", "undrain", "probe"):
            done = relay.command("gateway", verb, f"127.0.0.2:{port}")
            self.assertEqual(done.status, 1, done)
            self.assertIn(f"did you mean 127.0.0.1:{port}?", done.err)
            done = relay.command("gateway", verb, "inside")
            self.assertEqual(done.status, 1, done)
            self.assertIn("is a gateway", done.err)
        for words in (("drain",), ("undrain",), ("drain", "a", "b"), ("list", "x"), ("probe", "a", "b"), ("fry",)):
            self.assertEqual(relay.command("gateway", *words).status, 64, words)
        relay.stop()
        self.assertEqual(relay.command("gateway", "list").status, 69)

    def test_ambiguous_server(self):
        gateway = self.gateway()
        self.starting(gateway)
        relay = self.relay(gateway)
        relay.settings.domains = f'gateway "other" {{ server "{gateway.address}" {{ }} }}\n' \
            'domain "other.example" { gateway = "other" }\n'
        relay.write()
        self.starting(relay)
        done = relay.command("gateway", "drain", gateway.address)
        self.assertEqual(done.status, 1, done)
        self.assertIn(f"inside/{gateway.address}", done.err)
        self.assertIn(f"other/{gateway.address}", done.err)
        self.assertEqual(relay.command("gateway", "drain", f"other/{gateway.address}").status, 0)
        states = {s["gateway"]: s["state"] for s in relay.command("gateway", "list", "--json").lines}
        self.assertEqual(states, {"inside": "up", "other": "draining"})

    # --- drain ---

    def test_drain_during_traffic(self):
        """Nothing is lost, and nothing new comes to the drained server."""
        first, second = self.gateway("--delay-ms", "5", name="first"), self.gateway(name="second")
        relay = self.equals(first, second)
        burst = Burst(relay.port)
        self.addCleanup(burst.end)
        first.wait_count(5)
        second.wait_count(5)
        drained = self.servers(relay, "drain", first.address)
        self.assertEqual(drained[first.address]["state"], "draining")
        self.wait_server(relay, first, lambda s: s["connections"] == 0, "no connection to the drained")
        at_first, at_second = len(first.kept()), len(second.kept())
        second.wait_count(at_second + 20)
        self.assertEqual(len(first.kept()), at_first)
        self.assertEqual(self.servers(relay, "undrain", first.address)[first.address]["state"], "up")
        first.wait_count(at_first + 5)
        sent = burst.end()
        self.wait_empty(relay)
        self.assertEqual(burst.refused, [])
        self.assertEqual(subjects(first, second), sorted(sent))

    def test_all_drained(self):
        gateway = self.gateway()
        relay = self.equals(gateway)
        self.servers(relay, "drain", gateway.address)
        self.send(relay, "waits")
        entry, = wait_until(lambda: [e for e in self.queue(relay) if e["state"] == "deferred"], "a deferred message")
        self.assertIn("drained", entry["last_reply"])
        self.assertIn("drained", relay.command("status").out)
        self.assertEqual(gateway.kept(), [])
        self.servers(relay, "undrain", gateway.address)
        gateway.wait_subject("waits")
        self.wait_empty(relay)
        self.assertTrue(relay.command("status", "--json").json["ok"])

    def test_drain_outlives_a_restart(self):
        first, second = self.gateway(name="first"), self.gateway(name="second")
        self.starting(first)
        self.starting(second)
        relay = self.starting(self.relay(first, second))
        self.servers(relay, "drain", first.address)
        self.servers(relay, "drain", first.address)  # once more is the same
        relay.restart()
        self.assertEqual(self.server(relay, first)["state"], "draining")
        self.send(relay, "to the second")
        second.wait_subject("to the second")
        relay.kill()
        relay.start()
        self.assertEqual(self.server(relay, first)["state"], "draining")
        self.servers(relay, "undrain", first.address)
        relay.restart()
        self.assertEqual(self.server(relay, first)["state"], "up")
        self.send(relay, "to the first")
        first.wait_subject("to the first")

    def test_drained_server_left_the_configuration(self):
        first, second = self.gateway(name="first"), self.gateway(name="second")
        relay = self.equals(first, second)
        self.servers(relay, "drain", first.address)
        relay.settings.gateways = [(second.address, 10)]
        relay.write()
        relay.restart()
        self.assertEqual(list(self.servers(relay)), [second.address])
        self.assertTrue(relay.events("unknown drained server"))

    # --- probe ---

    def test_probe(self):
        up, refusing, down = self.gateway(name="up"), self.gateway("--reply-at", "banner=554", name="no"), \
            self.gateway(name="down")
        self.starting(up)
        self.starting(refusing)
        relay = self.starting(self.relay(up, refusing, down))
        done = relay.command("gateway", "probe", up.address, "--json")
        self.assertEqual(done.status, 0, done)
        self.assertEqual(done.json["server"], up.address)
        self.assertIs(done.json["ok"], True)
        self.assertIn("220 sink.example", done.json["banner"])
        self.assertIn("PIPELINING", done.json["ehlo"])
        self.assertGreaterEqual(done.json["ready_ms"], done.json["banner_ms"])
        text = relay.command("gateway", "probe", f"inside/{up.address}")
        self.assertEqual(text.status, 0, text)
        self.assertIn("220 sink.example", text.out)
        done = relay.command("gateway", "probe", "--json")
        self.assertEqual(done.status, 1, done)
        self.assertIn("2 of 3 probes failed", done.err)
        found = {p["server"]: p for p in done.lines}
        self.assertEqual({a: p["ok"] for a, p in found.items()},
                         {up.address: True, refusing.address: False, down.address: False})
        self.assertIn("554", found[refusing.address]["error"])
        self.assertIn("refused", found[down.address]["error"])
        self.assertEqual(self.server(relay, down)["state"], "down")
        self.assertEqual(up.kept(), [])

    def test_probe_brings_a_server_back(self):
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway))
        self.send(relay, "waits")
        self.wait_server(relay, gateway, lambda s: s["state"] == "down", "down")
        self.starting(gateway)
        self.assertEqual(relay.command("gateway", "probe", gateway.address).status, 0)
        self.assertEqual(self.server(relay, gateway)["state"], "up")
        gateway.wait_subject("waits")

    def test_probe_of_a_drained_server(self):
        relay, gateway = self.pair()
        self.servers(relay, "drain", gateway.address)
        self.assertEqual(relay.command("gateway", "probe", gateway.address).status, 0)
        self.assertEqual(self.server(relay, gateway)["state"], "draining")

    # --- health ---

    def test_slow_server_is_avoided(self):
        # More than four times what the fast one takes on the busiest machine.
        slow, fast = self.gateway("--delay-at", "dot=3000", name="slow"), self.gateway(name="fast")
        relay = self.equals(slow, fast)
        n = 0

        def is_slow():
            nonlocal n
            self.send(relay, f"before {n}")
            n += 1
            return self.server(relay, slow)["state"] == "slow"
        wait_until(is_slow, "the slow server to be noticed")
        self.wait_empty(relay)
        before, began = len(slow.kept()), time.monotonic()
        for i in range(30):
            self.send(relay, f"after {i}")
        self.wait_empty(relay)
        looks = 1 + (time.monotonic() - began) // 5  # one message in 5 s, to see whether it has recovered
        self.assertLessEqual(len(slow.kept()) - before, looks)
        slow.stop()
        slow.start("--delay-ms", "1")

        def is_up():
            nonlocal n
            self.send(relay, f"again {n}")
            n += 1
            return self.server(relay, slow)["state"] == "up"
        wait_until(is_up, "the slow server to have recovered")

    def test_one_bad_recipient_delays_nobody(self):
        gateway = self.gateway("--reject-rcpt", "full@example.org=452")
        relay = self.equals(gateway, retry="1h")
        for i in range(10):
            self.send(relay, f"mixed {i}", to=["full@example.org", "bob@example.org"])
            self.send(relay, f"full {i}", to=["full@example.org"])
            self.send(relay, f"good {i}", to=["bob@example.org"])
        gateway.wait_count(20)
        self.assertEqual(self.server(relay, gateway)["state"], "up")
        waiting = wait_until(lambda: (lambda q: q if len(q) == 20 and all(e["state"] == "deferred" for e in q) else None)(
            self.queue(relay)), "20 that wait for the full mailbox")
        self.assertTrue(all(e["to"] == ["full@example.org"] for e in waiting))

    def test_down_and_back_is_no_flood(self):
        """Mail of an outage goes out as soon as a server is back, over few connections at first."""
        gateway = self.gateway("--delay-ms", "20")
        relay = self.starting(self.relay(gateway, retry="1h"))
        ids = [self.send(relay, f"waits {i}") for i in range(60)]
        waiting = wait_until(lambda: (lambda q: q if len(q) == 60 and all(e["state"] == "deferred" for e in q) else None)(
            self.queue(relay)), "all to wait")
        self.assertTrue(all(e["attempts"] == 1 for e in waiting))
        self.starting(gateway)
        server = self.wait_server(relay, gateway, lambda s: s["delivered"] > 0, "the first ones delivered")
        self.assertLessEqual(server["limit"], server["delivered"] + 1)  # one more for each success
        gateway.wait_count(60)
        self.wait_empty(relay)
        self.assertEqual(subjects(gateway), sorted(f"waits {i}" for i in range(60)))
        self.assertEqual(len(ids), 60)

    def test_restart_in_an_outage(self):
        """What waited for a server goes on at once when there is one, whatever queue.retry says."""
        gateway = self.gateway()
        relay = self.starting(self.relay(gateway, retry="1h"))
        self.send(relay, "waits")
        wait_until(lambda: [e for e in self.queue(relay) if e["state"] == "deferred"], "a deferred message")
        relay.restart()
        self.starting(gateway)
        gateway.wait_subject("waits")
        self.wait_empty(relay)

    def test_server_that_bears_few_connections(self):
        """A server that refuses more than two connections gets all the mail all the same."""
        narrow = Narrow(2)
        self.addCleanup(narrow.stop)
        relay = self.starting(self.relay(gateways=[(f"127.0.0.1:{narrow.port}", 10)], retry="1h"))
        self.servers(relay, "drain", f"127.0.0.1:{narrow.port}")
        for i in range(40):
            self.send(relay, f"narrow {i}")
        self.servers(relay, "undrain", f"127.0.0.1:{narrow.port}")
        wait_until(lambda: narrow.n_taken >= 40, lambda: f"40 messages, have {narrow.n_taken}")
        self.wait_empty(relay)
        server, = self.servers(relay).values()
        self.assertLess(server["limit"], 8)
        self.assertGreater(narrow.n_refused, 0)
        self.assertEqual(relay.events("server down"), [])


class Narrow:
    """A server that says 421 to each connection over its limit."""

    def __init__(self, limit):
        self.limit = limit
        self.lock = threading.Lock()
        self.n_open = self.n_taken = self.n_refused = 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.socket.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with self.lock:
            self.n_open += 1
            is_over = self.n_open > self.limit
            self.n_refused += is_over
        try:
            with connection, connection.makefile("rwb", buffering=0) as f:
                if is_over:
                    f.write(b"421 4.7.0 too many connections\r\n")
                else:
                    self.talk(f)
        except OSError:
            pass  # the relay hung up
        finally:
            with self.lock:
                self.n_open -= 1

    def talk(self, f):
        f.write(b"220 narrow.example\r\n")
        for line in f:
            verb = line[:4].upper()
            if verb == b"DATA":
                f.write(b"354 go ahead\r\n")
                while f.readline() not in (b".\r\n", b""):
                    pass
                with self.lock:
                    self.n_taken += 1
            f.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            if verb == b"QUIT":
                return
