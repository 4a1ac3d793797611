"""infra/front_door/connection.py: time, by a clock that the test moves."""

import asyncio
import ipaddress

import pytest

from infra.front_door.connection import Connection
from infra.front_door.server import House
from infra.front_door.settings import FrontDoorSettings


class Timer:
    """asyncio.TimerHandle."""

    def __init__(self, at, call):
        self.at, self.call, self.is_cancelled = at, call, False

    def when(self):
        return self.at

    def cancel(self):
        self.is_cancelled = True


class Loop:
    """As much of an event loop as a connection uses, with a clock."""

    def __init__(self):
        self.now = 0.0
        self.timers = []
        self.made = 0

    def time(self):
        return self.now

    def call_at(self, at, call, *args):
        self.made += 1
        timer = Timer(at, lambda: call(*args))
        self.timers.append(timer)
        return timer

    def call_later(self, delay, call, *args):
        return self.call_at(self.now + delay, call, *args)

    def move(self, seconds):
        """Let time pass."""
        until = self.now + seconds
        while due := [t for t in self.timers if t.at <= until and not t.is_cancelled]:
            timer = min(due, key=Timer.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.at)
            timer.call()
        self.now = until


class Transport:
    """A client's transport."""

    def __init__(self):
        self.said = b""
        self.is_closed = self.is_paused = self.is_aborted = False

    def get_extra_info(self, name):
        return ("192.0.2.7", 4660) if name == "peername" else None

    def write(self, octets):
        self.said += octets

    def is_closing(self):
        return self.is_closed

    def close(self):
        self.is_closed = True

    def abort(self):
        self.is_closed = self.is_aborted = True

    def pause_reading(self):
        self.is_paused = True

    def resume_reading(self):
        self.is_paused = False


class Door:
    """One connection, its loop and its client."""

    def __init__(self, **settings):
        async def make():
            made = FrontDoorSettings("http://127.0.0.1:9", trusted_networks=(), **settings)
            return House(made, None, None)

        self.house = asyncio.run(make())
        self.house.loop = self.loop = Loop()
        self.house.api = type("Api", (), {"part_octets": 0})()
        self.house.trusted_authorization = lambda address: "Basic x"
        self.connection = Connection(self.house, tls_first=False)
        self.transport = Transport()
        self.connection.connection_made(self.transport)

    def hear(self, octets):
        self.take_for(self.connection, octets)

    @staticmethod
    def take_for(connection, octets):
        """Give octets as asyncio does: no more at once than there is room for."""
        while octets:
            buffer = connection.get_buffer(-1)
            count = min(len(buffer), len(octets))
            buffer[:count] = octets[:count]
            connection.buffer_updated(count)
            octets = octets[count:]


ENVELOPE = b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"


@pytest.mark.parametrize(
    ("before", "octet", "ends_at"),
    [
        (b"", b"x", 300),
        (ENVELOPE, b"x", 300),
        (ENVELOPE + b"DATA\r\n", b"x", 600),
        (ENVELOPE + b"BDAT 5000\r\n", b"x", 600),
        (ENVELOPE + b"DATA\r\n", b"", 180),
        (ENVELOPE + b"BDAT 5000\r\n", b"", 180),
        (b"", b"", 300),
    ],
    ids=["greeting", "command", "DATA", "BDAT", "silence in DATA", "silence in BDAT", "silence"],
)
def test_an_octet_every_second_ends(before, octet, ends_at):
    """RFC 5321 4.5.3.2 is for clients that come on: half a line is none, nor are 1,000 octets in a quarter of an hour."""
    door = Door()
    door.hear(before)
    door.transport.said = b""
    while not door.transport.is_closed and door.loop.now < 3600:
        if octet:
            door.hear(octet)
        door.loop.move(1)
    assert ends_at <= door.loop.now <= ends_at + 2
    assert door.transport.said == b"421 4.4.2 Waited too long, closing\r\n"
    door.loop.move(31)
    assert door.transport.is_aborted


def test_an_octet_in_a_chunk_of_its_own_now_and_then_ends():
    """The pace is that of the content, however it is chunked."""
    door = Door()
    door.hear(ENVELOPE)
    while not door.transport.is_closed and door.loop.now < 3600:
        door.hear(b"BDAT 1\r\nx")
        door.loop.move(200)
    assert 600 <= door.loop.now <= 800
    assert door.transport.said.endswith(b"421 4.4.2 Waited too long, closing\r\n")


def test_balancer_that_never_ends_its_header_is_cut():
    """Half a minute, however its octets trickle in."""
    door = Door(proxy_networks=(ipaddress.ip_network("192.0.2.0/24"),))
    for octet in b"PROXY TCP4 198.51.100.7 192.0.2.2 4660 25":
        if not door.transport.is_closed:
            door.hear(bytes([octet]))
            door.loop.move(1)
    assert door.transport.is_closed
    assert not door.house.connections


def names(address):
    """Give a text header that names a client."""
    return f"PROXY TCP{6 if ':' in address else 4} {address} 2001:db8:ffff::1 1 25\r\n".encode()


CROWDS = {
    "one /64": ("2001:db8::1", "2001:db8::2", False),
    "two /64": ("2001:db8::1", "2001:db8:0:1::1", True),
    "IPv4": ("192.0.2.1", "192.0.2.2", True),
    "a v4-mapped address": ("::ffff:192.0.2.1", "192.0.2.1", False),
}


@pytest.mark.parametrize(("first", "second", "is_let_in"), CROWDS.values(), ids=CROWDS)
def test_connections_of_one_source_are_counted_together(first, second, is_let_in):
    """An IPv6 host has a /64 to itself: by as many addresses it is still one client; what is left is free again."""
    door = Door(proxy_networks=(ipaddress.ip_network("192.0.2.7/32"),), max_connections_per_address_count=1)
    door.hear(names(first))
    other = Connection(door.house, tls_first=False)
    transport = Transport()
    other.connection_made(transport)
    door.take_for(other, names(second))
    assert transport.said.startswith(b"220 " if is_let_in else b"421 4.7.0 ")
    door.connection.connection_lost(None)
    other.connection_lost(None)
    assert not door.house.connections
    assert not door.house._by_source


def test_a_slow_modem_is_no_attack():
    """1,000 octets a second are enough, for as long as it takes."""
    door = Door()
    door.hear(ENVELOPE + b"DATA\r\n")
    for _ in range(2000):
        door.hear((b"x" * 98 + b"\r\n") * 10)
        door.loop.move(0.99)
    assert not door.transport.is_closed


def test_one_timer_serves_a_connection():
    """However many commands come: it is found again when it comes round."""
    door = Door()
    for _ in range(90):
        door.hear(b"NOOP\r\n")
        door.loop.move(1)
    assert door.loop.made == 1
    door.loop.move(250)
    assert not door.transport.is_closed
    door.loop.move(60)
    assert door.transport.is_closed


def test_a_client_that_does_not_read_is_not_read():
    """And its time runs; when it reads again, so do we."""
    door = Door()
    door.connection.pause_writing()
    assert door.transport.is_paused
    door.connection.resume_writing()
    assert not door.transport.is_paused
    door.connection.pause_writing()
    door.loop.move(301)
    assert door.transport.is_closed


def test_what_came_meanwhile_does_not_make_us_read_on():
    """Replies to whoever never reads them would take memory without end."""
    door = Door()
    door.connection.pause_writing()
    for _ in range(3):
        door.hear(b"NOOP\r\n")
        assert door.transport.is_paused
    door.connection.resume_writing()
    assert not door.transport.is_paused


def test_replies_of_a_group_leave_in_one_write():
    """RFC 2920 3.2."""
    door = Door()
    writes = []
    door.transport.write = writes.append
    door.hear(ENVELOPE + b"DATA\r\n")
    assert len(writes) == 1
