"""infra/front_door/proxy_protocol.py: both versions, octet by octet, and nothing else."""

import pytest

from infra.front_door.proxy_protocol import BadHeader, ProxyHeader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + b"\x12\x34\x00\x19"
V6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01" + bytes(16) + b"\x12\x34\x00\x19"


def binary(command, family, rest):
    """Give a binary header."""
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest


HEADERS = {
    "text, IPv4": (b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 25\r\n", "192.0.2.1"),
    "text, IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 4660 25\r\n", "2001:db8::1"),
    "text, unknown": (b"PROXY UNKNOWN\r\n", None),
    "text, unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "binary, IPv4": (binary(0x21, 0x11, V4), "192.0.2.1"),
    "binary, IPv6": (binary(0x21, 0x21, V6), "2001:db8::1"),
    "binary, with more": (binary(0x21, 0x11, V4 + b"\x03\x00\x04abcd"), "192.0.2.1"),
    "binary, local: a health check": (binary(0x20, 0x00, b""), None),
    "binary, unix": (binary(0x21, 0x31, bytes(216)), None),
}


@pytest.mark.parametrize(("octets", "address"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("most", [1, 1 << 16], ids=["octet by octet", "as wanted"])
def test_headers(octets, address, most):
    """Whom it names; what follows is not read."""
    behind = b"\x16\x03\x01TLS"
    stream = octets + behind
    header = ProxyHeader()
    done = False
    while not done:
        count = min(header.wants, most)
        assert count > 0
        piece, stream = stream[:count], stream[count:]
        done = header.feed(piece)
    assert (behind, address) == (stream, header.address)


BAD = {
    "SMTP": b"EHLO client.example\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01" + bytes(20),
    "text without end": b"PROXY UNKNOWN " + b"x" * 200,
    "text with a bare LF": b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 25\n",
    "text without ports": b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
    "text of another family": b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "text without address": b"PROXY TCP4 a b 1 2\r\n",
    "text, empty": b"PROXY \r\n       ",
    "text of UDP": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "binary of version 1": binary(0x11, 0x11, V4),
    "binary of another command": binary(0x22, 0x11, V4),
    "binary that is cut": binary(0x21, 0x11, V4[:8]),
    "binary that is huge": SIGNATURE + b"\x21\x11\xff\xff",
}


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD)
def test_bad_headers(octets):
    """Nobody is guessed at."""
    header = ProxyHeader()
    with pytest.raises(BadHeader):
        while octets:
            count = header.wants
            header.feed(octets[:count])
            octets = octets[count:]
