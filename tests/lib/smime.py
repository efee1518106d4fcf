"""S/MIME messages that are signed opaquely: a CMS SignedData without signers around a MIME entity, in DER or BER."""

SIGNED_DATA, DATA = bytes.fromhex("06092a864886f70d010702"), bytes.fromhex("06092a864886f70d010701")
VERSION, NO_SIGNERS = b"\x02\x01\x01", b"\x31\x00"
DIGESTS = bytes.fromhex("310d300b0609608648016503040201")
PIECE = 37


def _der(tag, content):
    n = len(content)
    size = b"" if n < 128 else n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, n if n < 128 else 0x80 | len(size)]) + size + content


def _endless(tag, content):
    return bytes([tag, 0x80]) + content + b"\0\0"


def signed(content, in_pieces=False, is_endless=False):
    """As OpenSSL writes it, or in pieces as others do, with lengths or with marks at the ends."""
    around = _endless if is_endless else _der
    octets = _der(0x04, content)
    if in_pieces:
        octets = around(0x24, b"".join(_der(0x04, content[i:i + PIECE]) for i in range(0, len(content), PIECE)))
    inner = around(0x30, DATA + around(0xa0, octets))
    return around(0x30, SIGNED_DATA + around(0xa0, around(0x30, VERSION + DIGESTS + inner + NO_SIGNERS)))
