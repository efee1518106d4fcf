"""EICAR hidden in mail in ways that readers understand differently: structures × encodings, singly and in pairs.

`ways()` yields (name, message).  A structure puts a part's header lines and body into a message; an
encoding makes such a part.  All of it is of our own making.
"""

import base64
import binascii
import bz2
import io
import lzma
import zipfile

import files
import mail
import smime

HEAD = ("From: Alice <alice@sender.example>\nTo: <bob@example.org>\nSubject: {subject}\n"
        "Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <evasion-{subject}@sender.example>\nMIME-Version: 1.0\n")
EDGE = "=_edge"
PAIR_STEP = 6  # of all pairs, every one whose numbers come to a multiple of this
# Nothing is hidden: a calendar's lines have the form of header fields, and without an empty line they are some.
NOBODY_READS = {"no empty line in the part + calendar"}


def payload():
    """With bytes before it whose base64 has both digits that URLs write otherwise."""
    return b"\xfb\xef\xff" + mail.eicar()


def b64(data=None, width=76):
    text = base64.b64encode(payload() if data is None else data).decode("ascii")
    return "\n".join(text[i:i + width] for i in range(0, len(text), width)) + "\n"


def _octets(encoding, name="a.bin"):
    return f'Content-Type: application/octet-stream; name="{name}"\n{encoding}'


def _cte(name):
    return f"Content-Transfer-Encoding: {name}\n"


def _text(charset, encoding):
    return f"Content-Type: text/plain; charset={charset}\n{encoding}"


def _chunks(size, join):
    data = payload()
    return join.join(base64.b64encode(data[i:i + size]).decode("ascii") for i in range(0, len(data), size)) + "\n"


def _sprinkle(text, what, step):
    return "".join(c + (what if i % step == step - 1 else "") for i, c in enumerate(text))


def _qp(data, form="={:02X}"):
    out = "".join(form.format(b) for b in data)
    return "=\n".join(out[i:i + 60] for i in range(0, len(out), 60)) + "\n"


def _uu(data, blanks="`"):
    lines = [binascii.b2a_uu(data[i:i + 45], backtick=blanks == "`").decode("ascii") for i in range(0, len(data), 45)]
    return "begin 644 a.exe\n" + "".join(lines) + f"{blanks}\nend\n"


def _yenc(data):
    out = bytearray()
    for b in data:
        c = (b + 42) % 256
        out += bytes([ord("="), (c + 64) % 256]) if c in (0, 9, 10, 13, 32, 46, 61) else bytes([c])
    return f"=ybegin line=128 size={len(data)} name=a.exe\n" + out.decode("latin-1") + f"\n=yend size={len(data)}\n"


def _zip():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.txt", payload())
    return made.getvalue()


def _calendar(line, fold="\n "):
    return ("BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nSUMMARY:see the file\n"
            + line + fold + fold.join(b64().split()) + "\nEND:VEVENT\nEND:VCALENDAR\n")


def _smime(entity, **form):
    """An entity, in lines of LF, as the body of a part in base64."""
    return b64(smime.signed(entity.replace("\n", "\r\n").encode("latin-1"), **form))


def _archives():
    """name -> bytes: archives whose readers differ, or that not every scanner unpacks; the payload is nowhere in clear."""
    data = b"".join(b"%d green bottles, " % i for i in range(300)) + payload()
    one, other = files.zipped(("a.txt", data)), files.zipped(("a.txt", b"harmless"))
    end = one.rindex(b"PK\x05\x06")
    return {
        "zip of bzip2": files.zipped(("a.txt", data), method=zipfile.ZIP_BZIP2),
        "zip of LZMA": files.zipped(("a.txt", data), method=zipfile.ZIP_LZMA),
        "zip without end": one[:end],
        "zip, directory elsewhere": one[:end + 16] + b"\1\2\0\0" + one[end + 20:],
        "two zips, second": other + one,
        "two zips, first": one + other,
        "zip behind a picture": b"GIF89a" + bytes(3000) + one,
        "bzip2, two streams": bz2.compress(b"harmless") + bz2.compress(data),
        "xz, two streams": lzma.compress(b"harmless") + lzma.compress(data),
        "lzma": lzma.compress(data, format=lzma.FORMAT_ALONE),
        "tar.lzma": lzma.compress(files.tarred(("a.txt", data)), format=lzma.FORMAT_ALONE),
        "gzip in a tar without mark": files.old_tarred("a.gz", files.gzipped(data)),
        "zip in winmail.dat": files.winmail("a.zip", one),
    }


def _utf7():
    coded = base64.b64encode(mail.eicar().decode("ascii").encode("utf-16-be")).decode("ascii").rstrip("=")
    return f"+{coded}-\n"


def encodings():
    """name -> (header lines, body)"""
    b, q = _cte("base64"), _cte("quoted-printable")
    eicar = mail.eicar()
    wide = eicar.decode("ascii")
    uu, text = _uu(eicar), _text("utf-8", "")
    signed, card = "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n" + b, "Content-Type: text/calendar\n"
    inner = f"Subject: inner\nMIME-Version: 1.0\n{_octets(b + _cte('7bit'))}\n{b64(width=13)}"
    return {
        "base64": (_octets(b), b64()),
        "base64, no line ends": (_octets(b), b64(width=10000)),
        "base64, lines of 13": (_octets(b), b64(width=13)),
        "base64, no pads": (_octets(b), b64().replace("=", "")),
        "base64, garbage inside": (_octets(b), _sprinkle(b64(), "!", 11)),
        "base64, 8-bit garbage": (_octets(b), _sprinkle(b64(), "\xe9", 7)),
        "base64, dots and dashes": (_octets(b), _sprinkle(b64(), "-.", 9)),
        "base64, pads inside": (_octets(b), _sprinkle(b64(width=60), "=", 10)),
        "base64, padded pieces": (_octets(b), _chunks(10, "")),
        "base64, padded lines": (_octets(b), _chunks(16, "\n")),
        "base64, behind a padded piece": (_octets(b), base64.b64encode(b"hello").decode() + "\n" + b64()),
        "base64, behind odd digits": (_octets(b), "abc\n" + b64(width=10000)),
        "base64, lines of garbage between": (_octets(b), b64(width=32).replace("\n", "\nno, thanks!!\n")),
        "base64, behind pads": (_octets(b), "====\n" + b64()),
        "base64, blank lines between": (_octets(b), b64(width=20).replace("\n", "\n\n")),
        "base64, footer": (_octets(b), b64() + "\n______________\nmailing list: http://list.example/\n"),
        "base64url": (_octets(b), b64().replace("+", "-").replace("/", "_")),
        "base64, zip": (_octets(b, "a.zip"), b64(_zip())),
        "BaSe64": (_octets(_cte("BaSe64")), b64()),
        "base64 with a comment": (_octets(_cte("(quoted-printable) base64 (7bit)")), b64()),
        "base64 with a semicolon": (_octets(_cte("base64; 7bit")), b64()),
        "base64 with a word behind": (_octets(_cte("base64 7bit")), b64()),
        "base64 in quotes": (_octets(_cte('"base64"')), b64()),
        "base64 in two words": (_octets(_cte("base 64")), b64()),
        "base64, folded name": (_octets("Content-Transfer-Encoding:\n\tbase64\n"), b64()),
        "x-base64": (_octets(_cte("x-base64")), b64()),
        "unknown encoding": (_octets(_cte("x-unheard-of")), b64()),
        "blank before the colon": (_octets("Content-Transfer-Encoding : base64\n"), b64()),
        "8-bit in the field name": (_octets("Content-Transfer-Encoding\xa0: base64\n"), b64()),
        "blank in the field name": (_octets("Content- Transfer-Encoding: base64\n"), b64()),
        "base64 then 7bit": (_octets(b + _cte("7bit")), b64()),
        "7bit then base64": (_octets(_cte("7bit") + b), b64()),
        "quoted-printable then base64": (_octets(q + b), b64()),
        "quoted-printable": (_octets(q), _qp(eicar)),
        "quoted-printable, lower case": (_octets(q), _qp(eicar, "={:02x}")),
        "quoted-printable, blanks behind soft breaks": (_octets(q), _qp(eicar).replace("=\n", "= \t\n")),
        "quoted-printable, lone =": (_octets(q), wide.replace("-", "=-") + "\n"),
        "binary then quoted-printable": (_octets(_cte("binary") + q), _qp(eicar)),
        "uuencode in a text": (_text("utf-8", ""), "see:\n" + _uu(eicar)),
        "uuencode with blanks": (_text("utf-8", ""), _uu(eicar, " ")),
        "uuencode without end": (_text("utf-8", ""), _uu(eicar).replace("end\n", "")),
        "begin-base64 in a text": (_text("utf-8", ""), "begin-base64 644 a.exe\n" + b64() + "====\n"),
        "yEnc in a text": (_text("utf-8", _cte("8bit")), _yenc(eicar)),
        "x-uuencode": (_octets(_cte("x-uuencode")), _uu(eicar)),
        "uue, no first line": (_octets(_cte("uue")), "".join(_uu(eicar).split("\n", 1)[1:])),
        "x-yenc": (_octets(_cte("x-yenc")), _yenc(eicar)),
        "uuencode inside of base64": (_text("utf-8", b), b64(_uu(eicar).encode("ascii"))),
        "UTF-16 with mark": (_text("utf-16", b), b64(wide.encode("utf-16"))),
        "UTF-16BE": (_text("utf-16be", b), b64(wide.encode("utf-16-be"))),
        "UTF-16, no mark, little": (_text("utf-16", b), b64(wide.encode("utf-16-le"))),
        "UTF-16, mark, said to be UTF-8": (_text("utf-8", b), b64(wide.encode("utf-16"))),
        "UTF-7": (_text("utf-7", ""), _utf7()),
        "UTF-7, charset twice": (_text('us-ascii; charset="utf-7"', ""), _utf7()),
        "message in base64": ("Content-Type: message/rfc822\n" + b, b64(
            mail.crlf(f"Subject: inner\nMIME-Version: 1.0\n{_octets(b)}\n{b64()}"))),
        "message in base64, lines of CR": ("Content-Type: message/rfc822\n" + b, b64(
            f"Subject: inner\nMIME-Version: 1.0\n{_octets(b)}\n{b64()}".replace("\n", "\r").encode("ascii"))),
        "base64 in an encoded word": (_octets(_cte("=?us-ascii?q?base64?=")), b64()),
        "base64 in angle brackets": (_octets(_cte("<base64>")), b64()),
        "base64 with an open comment": (_octets(_cte("base64 (")), b64()),
        "base64 behind an 8-bit blank": (_octets(_cte("\xa0base64")), b64()),
        "base64, folded inside": (_octets("Content-Transfer-Encoding: base\n 64\n"), b64()),
        "base64, a fold of blanks": (_octets("Content-Transfer-Encoding:\n \n\tbase64\n"), b64()),
        "base64, fold before the colon": (_octets("Content-Transfer-Encoding\n : base64\n"), b64()),
        "base64, two colons": (_octets("Content-Transfer-Encoding:: base64\n"), b64()),
        "b64": (_octets(_cte("b64")), b64()),
        "base64, quoted lines": (_octets(b), "".join("> " + line for line in b64().splitlines(True))),
        "base64 in PEM": (_octets(b), f"-----BEGIN FILE-----\n{b64()}-----END FILE-----\n"),
        "base64, a pad first": (_octets(b), "=" + b64()),
        "base64, lines of 7": (_octets(b), _chunks(5, "\n").replace("=", "")),
        "base64url, pads inside": (_octets(b), _sprinkle(b64(width=60), "=", 10).replace("+", "-").replace("/", "_")),
        "quoted-printable, soft break at the end": (_octets(q), _qp(eicar).rstrip("\n") + "=\n"),
        "quoted-printable, ==": (_octets(q), _qp(eicar).replace("=4", "==4")),
        "uuencode, no mode": (text, uu.replace("begin 644 ", "begin  ")),
        "uuencode, mode of one digit": (text, uu.replace("begin 644 ", "begin 6 ")),
        "uuencode, mode of seven digits": (text, uu.replace("begin 644 ", "begin 0100644 ")),
        "uuencode, a tab": (text, uu.replace("begin 644 ", "begin\t644\t")),
        "uuencode, no name": (text, uu.replace(" a.exe", "")),
        "uuencode, begun twice": (text, "begin 644 first.txt\n" + uu),
        "uuencode, end inside": (text, uu.replace("\n", "\nend\n", 2)),
        "uuencode with sums": (text, "\n".join(line + "X" * line.startswith("M") for line in uu.split("\n"))),
        "uuencode, blanks lost": (text, "\n".join(line.rstrip() for line in _uu(eicar, " ").split("\n"))),
        "uuencode in HTML": ("Content-Type: text/html\n", f"<pre>\n{uu}</pre>\n"),
        "calendar": (card, _calendar("ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=a.exe:")),
        "calendar, folded inside": (card, _calendar("ATTACH;ENCO\n DING=BA\n\tSE64;FILENAME=\"a;:b.exe\":")),
        "calendar, data URL": (card, _calendar("ATTACH;FMTTYPE=application/x-a:data:application/x-a;base64,")),
        "calendar in base64": ("Content-Type: application/ics; name=a.ics\n" + b, b64(_calendar("attach;encoding=b:").encode("ascii"))),
        "address card": ("Content-Type: text/x-vcard\n", _calendar("PHOTO;JPEG;BASE64:").replace("VCALENDAR", "VCARD")),
        "S/MIME": (signed, _smime(inner)),
        "S/MIME in pieces": (signed, _smime(inner, in_pieces=True)),
        "S/MIME without lengths": (signed, _smime(inner, in_pieces=True, is_endless=True)),
        "S/MIME twice": (signed, _smime(signed + "\n" + _smime(inner))),
        "S/MIME, no type": (_octets(b), _smime(inner)),
        "message in a file": (_octets(b, "a.eml"), b64(mail.crlf(inner))),
        "message in a text file": ("Content-Type: text/plain; name=a.eml\n", inner),
        "message in a web archive": (_octets(b, "a.mht"), b64(mail.crlf(inner))),
        "message of an unknown kind": ("Content-Type: message/x-strange\n" + b, b64(mail.crlf(inner))),
        "UTF-16 called UCS-2": (_text("iso-10646-ucs-2", b), b64(wide.encode("utf-16-be"))),
        "UTF-16 called Unicode": (_text("unicode", b), b64(wide.encode("utf-16-le"))),
        "UTF-32BE": (_text("utf-32be", b), b64(wide.encode("utf-32-be"))),
        "EBCDIC": (_text("ibm037", b), b64(wide.encode("cp037"))),
        "UTF-7 by another name": (_text("unicode-2-0-utf-7", ""), _utf7()),
        **{name: (_octets(b, "a.dat"), b64(data)) for name, data in _archives().items()},
    }


def _multi(part, params=f'boundary="{EDGE}"', edge=EDGE, top="", end=None, kind="multipart/mixed", behind=""):
    """multipart: a text, then the part."""
    end = f"--{edge}--\n" if end is None else end
    return (f"{top}Content-Type: {kind}; {params}\n\n"
            f"--{edge}{behind}\nContent-Type: text/plain\n\nhello\n\n--{edge}{behind}\n{part[0]}\n{part[1]}\n{end}")


def _body_of(message):
    return message.partition("\n\n")[2]


def _deep(part, depth):
    inner = f"{part[0]}\n{part[1]}"
    for i in range(depth):
        inner = f"Content-Type: multipart/mixed; boundary=level.{i:02d}\n\n--level.{i:02d}\n{inner}\n--level.{i:02d}--\n"
    return inner


def structures():
    """name -> function of a part giving a message from its first Content- field on"""
    def typed(line):
        return lambda part: f"{line}\n\n{_body_of(_multi(part))}"

    def params(text, edge=EDGE):
        return lambda part: _multi(part, text, edge)

    def coded(cte, code):
        return lambda part: (f'Content-Type: multipart/mixed; boundary="{EDGE}"\n{_cte(cte)}\n'
                             + code(_body_of(_multi(part)).replace("\n", "\r\n").encode("latin-1")))

    def lines(text):
        """A body with the part in place of %s behind a text, closed."""
        return lambda part: (f"Content-Type: multipart/mixed; boundary={EDGE}\n\n--{EDGE}\nContent-Type: text/plain\n\nhello\n"
                             + text % f"{part[0]}\n{part[1]}\n" + f"--{EDGE}--\n")

    def nested(outer, inner):
        return lambda part: (f"Content-Type: multipart/mixed; boundary={outer}\n\n--{outer}\n"
                             + _multi(part, f"boundary={inner}", inner) + f"--{outer}--\n")

    long_edge = "e" * 90
    return {
        "multipart": _multi,
        "no multipart": lambda part: f"{part[0]}\n{part[1]}",
        "two types, multipart first": typed(f"Content-Type: multipart/mixed; boundary={EDGE}\nContent-Type: text/plain"),
        "two types, text first": typed(f"Content-Type: text/plain\nContent-Type: multipart/mixed; boundary={EDGE}"),
        "two types, two boundaries": typed(f"Content-Type: multipart/mixed; boundary=other\n"
                                           f"Content-Type: multipart/mixed; boundary={EDGE}"),
        "two boundaries, first": params(f"boundary={EDGE}; boundary=other"),
        "two boundaries, second": params(f"boundary=other; boundary={EDGE}"),
        "RFC 2231 and plain, plain": params(f"boundary*=us-ascii''other; boundary={EDGE}"),
        "RFC 2231 and plain, 2231": params(f"boundary=other; boundary*=us-ascii''%3D_edge"),
        "boundary in segments": params('boundary*0="=_"; boundary*1="edge"'),
        "segments and plain": params(f'boundary*0="=_"; boundary*1="other"; boundary={EDGE}'),
        "segments in another order": params('boundary*1="edge"; boundary*0="=_"'),
        "quote never closed": params(f'boundary="{EDGE}'),
        "quote in the middle": params('boundary==_"edge"', '=_"edge"'),
        "text behind the quotes": params(f'boundary="{EDGE}"other'),
        "single quotes": params(f"boundary='{EDGE}'"),
        "backslashes": params('boundary="=\\_\\e\\d\\g\\e"'),
        "backslashes taken as text": params('boundary="=_ed\\ge"', "=_ed\\ge"),
        "comment before": params(f"boundary=(comment){EDGE}"),
        "comment behind": params(f"boundary={EDGE}(comment)"),
        "comment taken as text": params(f"boundary={EDGE}(comment)", f"{EDGE}(comment)"),
        "encoded word": params("boundary==?utf-8?q?=3D=5Fedge?="),
        "encoded word taken as text": params('boundary="=?utf-8?q?edge?="', "=?utf-8?q?edge?="),
        "percent": params("boundary=%3D_edge"),
        "blanks inside": params("boundary=edge of it", "edge"),
        "blank at the end": params(f'boundary="{EDGE} "'),
        "blanks around =": params(f'boundary = "{EDGE}"'),
        "no semicolon": typed(f"Content-Type: multipart/mixed boundary={EDGE}"),
        "no boundary": typed("Content-Type: multipart/mixed"),
        "empty boundary": lambda part: _multi(part, 'boundary=""', ""),
        "another boundary than said": params("boundary=nowhere"),
        "boundary of 90": params(f"boundary={long_edge}", long_edge),
        "boundary of 90, cut": params(f"boundary={long_edge}", long_edge[:70]),
        "delimiters with text behind": lambda part: _multi(part, behind=" and more"),
        "delimiters with a letter behind": lambda part: _multi(part, behind="x"),
        "delimiters with blanks behind": lambda part: _multi(part, behind="  \t"),
        "never closed": lambda part: _multi(part, end=""),
        "behind the close": lambda part: (f"Content-Type: multipart/mixed; boundary={EDGE}\n\n--{EDGE}\n\nhello\n"
                                          f"--{EDGE}--\n--{EDGE}\n{part[0]}\n{part[1]}\n--{EDGE}--\n"),
        "folded": typed(f"Content-Type:\n multipart/mixed;\n\tboundary=\n {EDGE}"),
        "line of blanks in a fold": typed(f"Content-Type: multipart/mixed;\n \n boundary={EDGE}"),
        "type without sub-type": typed(f"Content-Type: multipart; boundary={EDGE}"),
        "type in quotes": typed(f'Content-Type: "multipart/mixed"; boundary={EDGE}'),
        "type with blanks": typed(f"Content-Type: multipart / mixed; boundary={EDGE}"),
        "type with a comment": typed(f"Content-Type: multi(text/plain)part/mixed; boundary={EDGE}"),
        "type in an encoded word": typed(f"Content-Type: =?utf-8?q?multipart/mixed?=; boundary={EDGE}"),
        "two types in one field": typed(f"Content-Type: text/plain, multipart/mixed; boundary={EDGE}"),
        "type behind a semicolon": typed(f"Content-Type: ;multipart/mixed; boundary={EDGE}"),
        "8-bit in the field name": typed(f"Content-Type\xa0: multipart/mixed; boundary={EDGE}"),
        "garbage before the header": typed(f"no field at all\nContent-Type: multipart/mixed; boundary={EDGE}"),
        "no empty line": lambda part: f"Content-Type: multipart/mixed; boundary={EDGE}\n{_body_of(_multi(part))}",
        "garbage in the part's header": lambda part: _multi(("!!! garbage\n" + part[0], part[1])),
        "no empty line in the part": lambda part: _multi((part[0].rstrip("\n"), part[1])),
        "line of blanks for the empty one": lambda part: _multi((part[0] + " \t", part[1])),
        "multipart in base64": coded("base64", b64),
        "multipart in quoted-printable": coded("quoted-printable", _qp),
        "multipart in a message": lambda part: f"Content-Type: message/rfc822\n\nSubject: inner\n{_multi(part)}",
        "message/partial": lambda part: (f'Content-Type: message/partial; id="a@b"; number=1; total=1\n\n'
                                         f"Subject: inner\n{_multi(part)}"),
        "digest": lambda part: (f"Content-Type: multipart/digest; boundary={EDGE}\n\n--{EDGE}\n\n"
                                f"Subject: inner\n{part[0]}\n{part[1]}\n--{EDGE}--\n"),
        "twenty levels": lambda part: _deep(part, 20),
        "forty levels": lambda part: _deep(part, 40),
        "between two closes": lines(f"--{EDGE}--\n%s"),
        "behind a close and text": lines(f"--{EDGE}--x\n%s"),
        "behind the only close": lambda part: _multi(("Content-Type: text/plain\n", "x\n"), end=f"--{EDGE}--\n{part[0]}\n{part[1]}\n"),
        "closes only": lambda part: f"Content-Type: multipart/mixed; boundary={EDGE}\n\n--{EDGE}--\n{part[0]}\n{part[1]}\n--{EDGE}--\n",
        "delimiter with a blank before its end": lines(f"--{EDGE} --\n%s"),
        "delimiter behind a tab": lines(f"\t--{EDGE}\n%s"),
        "delimiter in a quoted text": lines(f"> --{EDGE}\n%s"),
        "delimiter behind text": lines(f"and --{EDGE}\n%s"),
        "boundary with its dashes": params(f"boundary=--{EDGE}"),
        "delimiters in capitals": lambda part: _multi(part, "boundary=abcd", "ABCD"),
        "RFC 2231, charset and segments": params("boundary*0*=us-ascii''%3D_; boundary*1=edge"),
        "RFC 2231, a gap": params('boundary*0="=_"; boundary*2=edge'),
        "RFC 2231, from one on": params('boundary*1="=_"; boundary*2=edge'),
        "RFC 2231, escapes where none are": params("boundary*0*=us-ascii''%3D; boundary*1=%5Fedge"),
        "RFC 2231, one apostrophe": params("boundary*=us-ascii'%3D_edge"),
        "RFC 2231, 120 segments": params("; ".join(f"boundary*{i}={c}" for i, c in enumerate("ab" * 60)), "ab" * 60),
        "fold in the quotes": typed('Content-Type: multipart/mixed; boundary="=_\n edge"'),
        "boundary in another's quotes": params(f'x="; boundary={EDGE}"; boundary=other'),
        "boundary in a comment": params(f"(; boundary={EDGE}) boundary=other"),
        "quote in a comment": params(f'x=y (") ; boundary={EDGE}; z="'),
        "quote behind a backslash": params(f'x=\\"; boundary={EDGE}; y="'),
        "comment never closed": params(f"((; x=y) boundary={EDGE}"),
        "comma for the semicolon": typed(f"Content-Type: multipart/mixed, boundary={EDGE}"),
        "form feed for a blank": typed(f"Content-Type: multipart/mixed;\x0cboundary={EDGE}"),
        "8-bit blanks": typed(f"Content-Type:\xa0multipart/mixed;\xa0boundary={EDGE}"),
        "two =": params(f"boundary=={EDGE}"),
        "boundary of 5000": params("boundary=" + "e" * 5000, "e" * 5000),
        "a parameter of 5000 before": params(f'x="{"a" * 5000}"; boundary={EDGE}'),
        "type behind a comment of 3000": typed(f"Content-Type: ({'c' * 3000}) multipart/mixed; boundary={EDGE}"),
        "type with a backslash": typed(f"Content-Type: multipart\\mixed; boundary={EDGE}"),
        "type of three words": typed(f"Content-Type: multipart/mixed/alternative; boundary={EDGE}"),
        "inner boundary begins like the outer": nested("AB", "ABC"),
        "outer boundary begins like the inner": nested("ABC", "AB"),
        "inner boundary is the outer": nested("AB", "AB"),
        "empty line before the part's header": lambda part: _multi(("\n" + part[0], part[1])),
        "fold before the part's header": lambda part: _multi((" folded\n" + part[0], part[1])),
        "mark of UTF-8 before the part's header": lambda part: _multi(("\xef\xbb\xbf" + part[0], part[1])),
        "mail-box line before the header": lambda part: (f"Content-Type: message/rfc822\n\nFrom a@b Sat Nov 21 10:00:00 2026\n"
                                                         f"Subject: inner\n{_multi(part)}"),
        "in S/MIME": lambda part: "Content-Type: application/pkcs7-mime; name=smime.p7m\n" + _cte("base64") + "\n" + _smime(_multi(part)),
        "in a message in a file": lambda part: (_octets(_cte("base64"), "a.eml") + "\n" + b64(
            f"Subject: inner\n{_multi(part)}".replace("\n", "\r\n").encode("latin-1"))),
    }


def _message(subject, content):
    text = HEAD.format(subject=subject) + content
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("latin-1")


def ways():
    shapes, codes = list(structures().items()), list(encodings().items())
    for i, (shape, build) in enumerate(shapes):
        for j, (code, part) in enumerate(codes):
            name = f"{shape} + {code}"
            if name not in NOBODY_READS and (i == 0 or j == 0 or (i * 7 + j * 5) % PAIR_STEP == 0 and (i + j) % 2 == 0):
                yield name, _message(f"{i}.{j}", build(part))
