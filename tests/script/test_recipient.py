"""postern recipient: whether an address is one of ours, and who says so."""

from case import FolderCase


class Recipient(FolderCase):
    def test_show_and_clear(self):
        recipients = self.write("recipients", "bob\nalice@example.org\n")
        relay, _ = self.pair(recipients=recipients, domains='domain ".any.example" { gateway = "inside" }')
        rows = {"bob@example.org": (0, "known", recipients), "ALICE@Example.org": (0, "known", recipients),
                "carol@example.org": (1, "unknown", recipients), "x@a.any.example": (0, "known", "any"),
                "x@far.example": (1, "not ours", None), "postmaster@example.org": (0, "postmaster", recipients),
                "postmaster": (0, "postmaster", None)}
        for address, wanted in rows.items():
            with self.subTest(address=address):
                done = relay.command("recipient", "show", address, "--json")
                self.assertEqual((done.status, done.json["result"], done.json["source"]), wanted, done)
                self.assertEqual(done.json["gateway"], "inside" if done.status == 0 else None)
        self.assertIn("known", relay.command("recipient", "show", "bob@example.org").out)
        self.write("recipients", "carol\n")
        self.assertEqual(relay.reload().status, 0)
        self.assertEqual(relay.command("recipient", "show", "carol@example.org").status, 0)
        self.assertEqual(relay.command("recipient", "clear", "--json").json, {"cleared": 0})
        for words in ((), ("show",), ("show", "no address"), ("list",), ("clear", "a", "b")):
            with self.subTest(words=words):
                self.assertEqual(relay.command("recipient", *words).status, 64)

    def test_needs_a_running_relay(self):
        relay = self.relay(self.gateway())
        self.assertEqual(relay.command("recipient", "show", "bob@example.org").status, 69)
