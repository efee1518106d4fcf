"""Attachments through a whole relay: by name, type, hash, in archives; the rules that look at them."""

import base64
import hashlib
import os
import unittest

import files
import mail
import smime
import smtp
from case import FolderCase, RelayCase

RLO = "\u202e"


def named(name_field, content=b"harmless", subject="attached", kind="application/octet-stream"):
    """An attachment whose name is written as given: `filename="x"`."""
    message = mail.with_attachment(content, subject, "NAME").decode("utf-8")
    message = message.replace('application/octet-stream; name="NAME"', kind)
    return message.replace('filename="NAME"', name_field).encode("utf-8")


class Blocked(RelayCase):
    SETTINGS = {"filters": ("attachment",)}

    @classmethod
    def prepare(cls, folder):
        path = os.path.join(folder, "sums")
        with open(path, "w", encoding="ascii") as f:
            f.write("# known\n" + hashlib.sha256(b"known to be bad").hexdigest() + "  bad.txt\n")
        os.chmod(path, 0o644)
        section = f'filter "attachment" {{ names = {{"*payload*"}}  hashes = "{path}"  archive_depth = 3 }}'
        return {**cls.SETTINGS, "sections": section}

    def fate(self, message):
        reply = smtp.send(self.mx.port, message)
        return reply.text if reply.code == 550 else reply.code

    def check_blocked(self, cases):
        for name, message in cases.items():
            with self.subTest(name):
                fate = self.fate(message)
                self.assertIsInstance(fate, str, f"passed with {fate}")
                self.assertIn("refused by attachment", fate)

    def test_names(self):
        self.check_blocked({text: named(text) for text in (
            'filename="a.exe"', 'filename="A.EXE"', 'filename="report.pdf.exe"', "filename=a.exe", 'filename="a.exe ."',
            'filename="a.exe   "', 'filename="a.pdf' + " " * 60 + '.exe"', "filename*=utf-8''a%2Eexe",
            "filename*0=a.; filename*1=exe", 'filename="=?utf-8?B?YS5leGU=?="', 'filename="=?utf-8?q?a=2E?= =?utf-8?q?exe?="',
            'filename="../../a.exe"', 'filename="C:\\\\temp\\\\a.exe"', 'filename="a.exe:stream"', f'filename="photo{RLO}gpj.exe"',
            'filename="a.e\u200bxe"', "filename*=utf-8''a.exe; filename=a.txt", "filename=a.txt; filename=a.exe",
            'filename="a.exe', 'filename="a.txt"\r\nContent-Disposition: attachment; filename="a.exe"',
            'filename="the payload.txt"', 'filename="a.scr\u00a0"')})

    def test_names_that_hide(self):
        self.check_blocked({text: named(text) for text in (
            'filename="a.e\u180exe"', 'filename="a.e\u061cxe"', 'filename="a.exe\U000e0065"', 'filename="a.ex\u3164e"', 'filename="a.exe\u2800"',
            'filename="a.\uff45\uff58\uff45"', 'filename="a\ufe52exe"', 'filename="a.exe|"', 'filename="a.e?xe"', 'filename="<a.exe>"',
            'filename="a.e\r\n xe"', 'filename="a.\r\n\texe"', 'filename=a.e"x"e', 'filename="a.exe;.txt"', "filename*=ibm037''%81%4B%85%A7%85",
            'x=y\r\nContent-Description: a.exe', 'x=y\r\nContent-Location: http://x.example/y/a.exe?z')})
        self.assertEqual(self.fate(named(f'filename="{"a" * 5000}.exe"', subject="long name")), 250)
        self.assertIn("limit", self.inside.wait_subject("long name").header("X-Postern-Tag")[0])  # what was cut off is not known
        self.assertEqual(self.fate(named('x=y\r\nContent-Description: from our friends at example.com')), 250)
        self.assertEqual(self.fate(named('x=y\r\nContent-Location: http://example.com')), 250)

    def test_names_inside(self):
        """Of what mail readers open like a message, or like a folder."""
        inner = mail.plain("inside", "x", 'MIME-Version: 1.0\nContent-Type: application/x-a; name="a.exe"\n')
        coded = base64.encodebytes(smime.signed(inner)).decode("ascii")
        self.check_blocked({
            "message in a file": named('filename="a.eml"', inner),
            "web archive": named('filename="a.mht"', inner),
            "S/MIME": mail.plain("S/MIME", coded, "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n"),
            "calendar": mail.plain("calendar", "BEGIN:VCALENDAR\nATTACH;X-FILENAME=a.exe;ENCODING=BASE64:aGFy\nEND:VCALENDAR\n",
                                   "Content-Type: text/calendar\n"),
            "uuencode, begun twice": mail.plain("uu 2", "begin 644 a.txt\nbegin 644 a.exe\n#86)C\n`\nend\n"),
            "uuencode, no mode": mail.plain("uu 3", "begin  a.exe\n#86)C\n`\nend\n"),
            "name in gzip": named('filename="a.gz"', files.gzipped(b"x", "setup.exe")),
            "tar without a mark": named('filename="a.dat"', files.old_tarred("setup.exe", b"x"))})

    def test_types(self):
        self.check_blocked({
            "real type": named('filename="a.txt"', files.program()),
            "real type as text": named('filename="a.txt"', files.program(), kind="text/plain"),
            "declared type": named('filename="a.bin"', kind="application/x-msdownload")})

    def test_archives(self):
        inner = files.zipped(("a/b/setup.exe", b"x"))
        cases = {
            "zip": inner,
            "zip in zip": files.zipped(("inner.zip", inner)),
            "zip named otherwise in zip": files.zipped(("inner.dat", inner)),
            "zip in tar.gz": files.tarred(("inner.zip", inner), compress="gz"),
            "tar": files.tarred(("setup.exe", b"x")),
            "tar.bz2": files.tarred(("setup.exe", b"x"), compress="bz2"),
            "tar.xz": files.tarred(("setup.exe", b"x"), compress="xz"),
            "type in zip": files.zipped(("a.txt", files.program())),
            "type in gz": files.gzipped(files.program()),
            "type in xz": files.xzipped(files.program()),
            "type in bz2": files.bzipped(files.program()),
            "hash in zip": files.zipped(("a.txt", b"known to be bad")),
            "name before, not in the directory": files.two_named_zip("setup.exe", "setup.txt"),
            "name in the directory, not before": files.two_named_zip("setup.txt", "setup.exe"),
            "zip behind a picture": b"GIF89a" + bytes(1000) + inner,
            "winmail.dat": files.winmail("setup.exe", b"x"),
            "zip in winmail.dat": files.winmail("a.zip", inner),
            "encrypted zip": files.encrypted_zip("setup.exe"),
        }
        made = files.seven_zip("setup.exe", b"x" * 100)
        if made is not None:
            cases["7z"] = made
        self.check_blocked({name: named('filename="x.dat"', data) for name, data in cases.items()})

    def test_hash(self):
        self.assertIn("hash", self.fate(named('filename="a.txt"', b"known to be bad")))

    def test_uuencoded(self):
        self.check_blocked({"uuencode": mail.plain("uu", "begin 644 a.exe\n#86)C\n`\nend\n")})

    def tags_of(self, data, subject):
        self.assertEqual(self.fate(named('filename="x.dat"', data, subject)), 250)
        return [t.partition(";")[0] for t in self.inside.wait_subject(subject).header("X-Postern-Tag")]

    def test_tagged(self):
        deep = files.zipped(("a.txt", b"x"))
        for _ in range(4):
            deep = files.zipped(("a.zip", deep))
        for subject, data, tag in (
                ("encrypted zip", files.encrypted_zip(), "encrypted"),
                ("encrypted office", files.ole("EncryptedPackage", "EncryptionInfo"), "encrypted"),
                ("old macros", files.ole("WordDocument", "Macros", "VBA", "_VBA_PROJECT"), "macro"),
                ("new macros", files.zipped(("word/document.xml", b"<x/>"), ("word/vbaProject.bin", b"x")), "macro"),
                ("cut zip", files.zipped(("a.txt", os.urandom(3000)))[:1500], "malformed"),
                ("cut gz", files.gzipped(os.urandom(3000))[:1500], "malformed"),
                ("image of a disk", b"MSWIM\0\0\0" + bytes(500), "limit"),
                ("too deep", deep, "limit")):
            with self.subTest(subject):
                self.assertIn(tag, self.tags_of(data, subject))
        for options in (("-psecret",), ("-psecret", "-mhe=on")):
            made = files.seven_zip("a.txt", b"x" * 100, *options)
            if made is not None:
                self.assertIn("encrypted", self.tags_of(made, f"7z {options}"))

    def test_passes(self):
        for subject, message in (
                ("plain one", mail.plain("plain one")),
                ("a zip", named('filename="a.zip"', files.zipped(("a.txt", b"x"), ("b.pdf", b"y")), "a zip")),
                ("a document", named('filename="a.docx"', files.zipped(("word/document.xml", b"<x/>")), "a document")),
                ("old document", named('filename="a.doc"', files.ole("WordDocument", "1Table"), "old document")),
                ("a name with dots", named('filename="a.exe.txt"', subject="a name with dots")),
                ("a picture", named('filename="a.gif"', b"GIF89a" + bytes(100), "a picture"))):
            with self.subTest(subject):
                self.assertEqual(self.fate(message), 250)
                self.assertEqual(self.inside.wait_subject(subject).header("X-Postern-Tag"), [])


class Rules(RelayCase):
    """`attachment` and `attachment-type` work without the filter too."""

    SETTINGS = {"filters": ("tag",)}
    POLICY = ("reject attachment *.exe\nreject attachment-type application/x-dosexec\n"
              "reject url *.evil.example\nreject url http://b.example/bad\ntag papers attachment /^invoice.*[.]pdf$/\ntag archive attachment-type application/zip\n")

    def fate(self, message):
        return smtp.send(self.mx.port, message).code

    def test_refused(self):
        for name, message in {
                "name": named('filename="a.exe"'),
                "name in a zip": named('filename="a.zip"', files.zipped(("x/a.exe", b"x"))),
                "name with blanks": named('filename="a.exe  "'),
                "real type": named('filename="a.txt"', files.program()),
                "real type in a zip": named('filename="a.zip"', files.zipped(("a.txt", files.program()))),
                "declared type": named('filename="a.txt"', kind="application/x-dosexec")}.items():
            with self.subTest(name):
                self.assertEqual(self.fate(message), 550)

    def test_urls(self):
        html = "Content-Type: text/html\n"
        for name, code, message in (
                ("host", 550, mail.plain(body="see http://www.Evil.example/x\n")),
                ("whole", 550, mail.plain(body="see HTTP://b.example/bad.\n")),
                ("entities", 550, mail.plain(body='<a href="http&colon;//x&#46;evil.example">y</a>\n', headers=html)),
                ("other", 250, mail.plain("other url", body="see http://b.example/good\n"))):
            with self.subTest(name):
                self.assertEqual(self.fate(message), code)

    def test_tagged(self):
        self.assertEqual(self.fate(named('filename="b.zip"', files.zipped(("invoice 1.pdf", b"x")), "papers")), 250)
        tags = [t.partition(";")[0] for t in self.inside.wait_subject("papers").header("X-Postern-Tag")]
        self.assertEqual(sorted(tags), ["archive", "papers"])

    def test_others_pass(self):
        self.assertEqual(self.fate(mail.plain("others", "a.exe\n")), 250)
        self.assertEqual(self.inside.wait_subject("others").header("X-Postern-Tag"), [])


class Settings(FolderCase):
    def test_actions_and_lists(self):
        relay, gateway = self.pair(filters=("attachment",), sections=(
            'filter "attachment" { extensions = {"txt"}  types = {}  blocked = "tempfail"  encrypted = "reject" }'))
        self.assertEqual(smtp.send(relay.port, named('filename="a.txt"')).code // 100, 4)
        self.assertEqual(smtp.send(relay.port, named('filename="a.zip"', files.encrypted_zip("a.doc"))).code, 550)
        self.assertEqual(smtp.send(relay.port, named('filename="a.exe"', subject="allowed here")).code, 250)
        gateway.wait_subject("allowed here")


if __name__ == "__main__":
    unittest.main()
