"""infra/front_door/health.py: an answer for whoever asks, with a balancer's header before it or without."""

import ipaddress
from types import SimpleNamespace

import pytest

from infra.front_door.health import Health
from tests.unit.front_door.test_proxy_protocol import V4, V6, binary

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\n\r\n"
LOCAL = binary(0x20, 0x00, b"")


class Transport:
    """A connection from a peer."""

    def __init__(self, peer):
        self.peer, self.said, self.is_closed, self.is_aborted = peer, b"", False, False

    def get_extra_info(self, name):
        return (self.peer, 4660) if name == "peername" else None

    def write(self, octets):
        self.said += octets

    def is_closing(self):
        return self.is_closed or self.is_aborted

    def close(self):
        self.is_closed = True

    def abort(self):
        self.is_aborted = True


def told(octets, *, peer="192.0.2.7", most=1 << 16):
    """Give a connection after so many octets, in pieces; what comes after the answer is not read."""
    network = ipaddress.ip_network("192.0.2.0/24")
    house = SimpleNamespace(
        loop=SimpleNamespace(call_later=lambda *_: SimpleNamespace(cancel=lambda: None)),
        is_proxy=lambda address: ipaddress.ip_address(address) in network,
        draining=False,
        connections=(),
    )
    health, transport = Health(house), Transport(peer)
    health.connection_made(transport)
    read = 0
    while read < len(octets) and not transport.is_closing():
        health.data_received(octets[read : read + most])
        read += most
    assert read >= len(octets), "what is not read makes the system cut the connection, answer and all"
    return transport


HEADERS = {
    "none": b"",
    "LOCAL": LOCAL,
    "PROXY, IPv4": binary(0x21, 0x11, V4),
    "PROXY, IPv6 with more": binary(0x21, 0x21, V6 + b"\x03\x00\x04abcd"),
    "LOCAL with more": binary(0x20, 0x00, b"\x04\x00\x02\r\n\r\n"),
    "text": b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 25\r\n",
    "text, unknown": b"PROXY UNKNOWN\r\n",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("request_octets", [GET, POST, b"\r\n" + GET], ids=["GET", "POST", "after an empty line"])
@pytest.mark.parametrize("most", [1, 16, 1 << 16], ids=["octet by octet", "header, then request", "at once"])
def test_balancers_may_say_whom_they_ask_for(header, request_octets, most):
    """The answer comes once, when the request is there: a binary header holds an end of a head, which is none."""
    transport = told(header + request_octets, most=most)
    assert transport.said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (transport.is_closed, transport.is_aborted) == (True, False)
    assert not told(header + request_octets[:-1], most=most).said


@pytest.mark.parametrize("header", [header for header in HEADERS.values() if header])
def test_nobody_else_has_a_header(header):
    """From elsewhere it is no HTTP, as it is no SMTP."""
    assert told(header + GET, peer="198.51.100.7").said.startswith(b"HTTP/1.1 400 ")


def test_broken_header_is_cut():
    """Nobody is guessed at."""
    transport = told(binary(0x22, 0x11, V4)[:16])
    assert (transport.is_aborted, transport.said) == (True, b"")


@pytest.mark.parametrize("octets", [b"EHLO c\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"x" * 9000])
def test_what_is_no_http_is_told_so(octets):
    """And nothing is waited for without end."""
    assert told(octets).said.startswith(b"HTTP/1.1 400 ")
