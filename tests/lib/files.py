"""Files for attachments: archives of several kinds, an Office document with macros, a winmail.dat."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
import zipfile


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    """members: (name, bytes)"""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as z:
        for name, content in members:
            z.writestr(name, content)
    return made.getvalue()


def encrypted_zip(name="secret.txt"):
    """A zip whose one member says that it is encrypted."""
    data = bytearray(zipped((name, b"nobody can read this" * 3), method=zipfile.ZIP_STORED))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    return bytes(data)


def two_named_zip(local, central):
    """A zip that names its member otherwise before it than in its directory; names of one length."""
    data = zipped((central, b"x" * 20))
    at = data.index(central.encode())
    return data[:at] + local.encode() + data[at + len(central):]


def tarred(*members, compress=""):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{compress}") as t:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return made.getvalue()


def old_tarred(name, content):
    """A tar as before POSIX: nothing but its sum says so."""
    data = bytearray(tarred((name, content)))
    data[148:156], data[257:512] = b" " * 8, bytes(255)
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def seven_zip(name, content, *options):
    """A 7z archive, None where no 7z program is."""
    program = shutil.which("7z") or shutil.which("7za") or shutil.which("7zr")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
        subprocess.run([program, "a", "-bd", *options, "a.7z", name], cwd=folder, check=True, capture_output=True)
        with open(os.path.join(folder, "a.7z"), "rb") as f:
            return f.read()


def gzipped(content, name=""):
    made = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=made, mtime=0) as g:
        g.write(content)
    return made.getvalue()


def xzipped(content):
    return lzma.compress(content)


def bzipped(content):
    return bz2.compress(content)


def program():
    """The start of a Windows program, as libmagic knows it; it does nothing."""
    head = bytearray(b"MZ" + bytes(58) + struct.pack("<I", 0x80))
    head += b"\x0e\x1f\xba\x0e\x00\xb4\x09\xcd\x21\xb8\x01\x4c\xcd\x21This program cannot be run in DOS mode.\r\r\n$"
    head += bytes(0x80 - len(head))
    pe = b"PE\0\0" + struct.pack("<HHIIIHH", 0x14C, 0, 0, 0, 0, 0xE0, 0x102)
    optional = struct.pack("<H", 0x10B) + bytes(66) + struct.pack("<H", 2) + bytes(0xE0 - 70)
    return bytes(head + pe + optional + bytes(512))


def ole(*names):
    """A compound file whose directory has these entries."""
    sector = 512
    entries = [_entry("Root Entry", 5)] + [_entry(n, 2) for n in names]
    while len(entries) % 4:
        entries.append(bytes(128))
    directory = b"".join(entries)
    n = len(directory) // sector
    table = [0xFFFFFFFD] + [i + 2 if i < n - 1 else 0xFFFFFFFE for i in range(n)]
    table += [0xFFFFFFFF] * (128 - len(table))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    head += struct.pack("<I", 0) + b"\xff" * 4 * 108
    return head + struct.pack("<128I", *table) + directory


def _entry(name, kind):
    wide = name.encode("utf-16-le")
    return wide.ljust(64, b"\0") + struct.pack("<HBB", len(wide) + 2, kind, 1) + struct.pack("<III", *[0xFFFFFFFF] * 3) \
        + bytes(36) + struct.pack("<IQ", 0xFFFFFFFE, 0)


def winmail(name, content):
    """TNEF with one file."""
    def attribute(level, number, data):
        return struct.pack("<BII", level, number, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    return struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x00089006, struct.pack("<I", 0x10000)) \
        + attribute(2, 0x00018010, name.encode() + b"\0") + attribute(2, 0x0006800F, content)
