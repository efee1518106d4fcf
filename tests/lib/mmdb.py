"""Writes small MaxMind databases (format 2.0), so that tests need none from outside."""

import ipaddress


def _head(kind, size):
    extended = b""
    if kind > 7:
        extended, kind = bytes([kind - 7]), 0
    if size < 29:
        return bytes([kind << 5 | size]) + extended
    if size < 29 + 256:
        return bytes([kind << 5 | 29]) + extended + bytes([size - 29])
    return bytes([kind << 5 | 30]) + extended + (size - 285).to_bytes(2, "big")


def encode(value):
    """Texts, whole numbers (as uint32, as uint64 beyond), maps and lists."""
    if isinstance(value, str):
        return _head(2, len(value.encode())) + value.encode()
    if isinstance(value, int):
        raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return _head(6 if value < 1 << 32 else 9, len(raw)) + raw
    if isinstance(value, dict):
        return _head(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    return _head(11, len(value)) + b"".join(encode(v) for v in value)


def _record_pair(left, right, bits):
    if bits == 28:
        return ((left & 0xffffff).to_bytes(3, "big") + bytes([left >> 24 << 4 | right >> 24])
                + (right & 0xffffff).to_bytes(3, "big"))
    return left.to_bytes(bits // 8, "big") + right.to_bytes(bits // 8, "big")


def write(path, entries, bits=28, version=6):
    """entries: {"192.0.2.0/24": {...}}, no network inside another."""
    nodes, data, places = [[None, None]], b"", {}
    for net, value in entries.items():
        raw = encode(value)
        if raw not in places:
            places[raw] = len(data)
            data += raw
        net = ipaddress.ip_network(net)
        number, length = int(net.network_address), net.prefixlen
        if net.version == 4 and version == 6:
            length += 96
        width = 128 if version == 6 else 32
        at = 0
        for i in range(length):
            side = number >> (width - 1 - i) & 1
            if i == length - 1:
                nodes[at][side] = ("data", places[raw])
            else:
                if nodes[at][side] is None:
                    nodes.append([None, None])
                    nodes[at][side] = len(nodes) - 1
                at = nodes[at][side]
    count = len(nodes)

    def number_of(record):
        if record is None:
            return count
        return record if isinstance(record, int) else count + 16 + record[1]

    tree = b"".join(_record_pair(number_of(a), number_of(b), bits) for a, b in nodes)
    metadata = {"node_count": count, "record_size": bits, "ip_version": version,
                "binary_format_major_version": 2, "binary_format_minor_version": 0,
                "build_epoch": 1, "database_type": "Test", "languages": ["en"],
                "description": {"en": "made by tests/lib/mmdb.py"}}
    blob = tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encode(metadata)
    with open(path, "wb") as f:
        f.write(blob)


def country(code):
    """An entry as GeoLite2-Country has it, names first."""
    return {"continent": {"code": "EU", "names": {"en": "x" * 40}},
            "country": {"geoname_id": 1, "iso_code": code, "names": {"de": "y" * 300}}}


def asn(number):
    return {"autonomous_system_number": number, "autonomous_system_organization": "Org"}
