"""country and asn: databases of the configuration, live, explained, reloaded."""

import os

import mail
import mmdb
import smtp
from case import FolderCase

POLICY = "reject country XX\ntempfail asn AS64512 country DE\ntag abroad country !DE\ntag rated asn 64513\n" \
         "score 1 twice tag abroad\n"


class Geo(FolderCase):
    def database(self):
        folder = self.path("geo")
        os.makedirs(folder, exist_ok=True)
        country, asn = os.path.join(folder, "country.mmdb"), os.path.join(folder, "asn.mmdb")
        mmdb.write(country, {"192.0.2.0/25": mmdb.country("DE"), "192.0.2.128/25": mmdb.country("XX"),
                             "198.51.100.0/24": mmdb.country("FR"), "2001:db8::/32": mmdb.country("XX")})
        mmdb.write(asn, {"192.0.2.64/26": mmdb.asn(64512), "198.51.100.0/24": mmdb.asn(64513)}, bits=24)
        return country, asn

    def section(self, country, asn):
        return f'geoip {{ country = "{country}"  asn = "{asn}" }}'

    def check(self, relay, client, code, tags=()):
        reply = smtp.send(relay.port, mail.plain(), client=client)
        self.assertEqual(reply.code, code, (client, reply))
        done = relay.command("explain", "--client", client, "--to", "bob@example.org", "--offline", "--json")
        self.assertEqual(done.status == 0, code == 250, done)
        self.assertEqual(set(done.json["tags"]) & {"abroad", "rated"}, set(tags), (client, done))

    def test_live_and_explained(self):
        country, asn = self.database()
        relay, gateway = self.pair(filters=(), sections=self.section(country, asn))
        done = relay.command("policy", "import", "-", stdin=POLICY)
        self.assertEqual(done.status, 0, done)
        self.assertNotIn("warning", done.err)
        self.check(relay, "192.0.2.200", 550, ("abroad",))
        self.check(relay, "2001:db8::7", 550, ("abroad",))
        self.check(relay, "192.0.2.70", 450)
        self.check(relay, "192.0.2.1", 250)
        self.check(relay, "198.51.100.1", 250, ("abroad", "rated"))
        self.check(relay, "203.0.113.1", 250)  # unknown: neither `country` nor its `!`
        subject = "marked by country"
        smtp.send(relay.port, mail.plain(subject), client="198.51.100.1")
        kept = gateway.wait_subject(subject).parsed.get_all("X-Postern-Tag")
        self.assertEqual({k.split(";")[0] for k in kept}, {"abroad", "rated", "twice"})
        # A new database is live with the next reload.
        mmdb.write(country, {"203.0.113.0/24": mmdb.country("XX")})
        self.assertEqual(relay.reload().status, 0)
        self.check(relay, "203.0.113.1", 550, ("abroad",))
        self.check(relay, "192.0.2.200", 250)

    def test_without_a_database(self):
        relay, _ = self.pair(filters=())
        done = relay.command("policy", "import", "-", stdin=POLICY)
        self.assertEqual(done.status, 0, done)
        self.assertIn("warning: country is unknown", done.err)
        self.assertIn("warning: asn is unknown", done.err)
        self.check(relay, "192.0.2.200", 250)
        self.assertIn("warning: country", relay.command("check").err)

    def test_wrong_database(self):
        bad = self.write("bad.mmdb", "no database")
        relay = self.relay(sections=self.section(bad, self.path("missing.mmdb")), gateways=[("127.0.0.1:9", 10)])
        relay.write()
        done = relay.command("check")
        self.assertEqual(done.status, 78, done)
        self.assertIn("bad.mmdb: not a MaxMind DB", done.err)
        self.assertIn("missing.mmdb", done.err)
