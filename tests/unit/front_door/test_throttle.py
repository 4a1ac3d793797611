"""infra/front_door/throttle.py: who guesses passwords waits."""

import pytest

from infra.front_door.throttle import FREE_FAILURES, Throttle


@pytest.fixture
def clock():
    """Seconds that a test moves."""
    return [1000.0]


@pytest.fixture
def throttle(clock):
    """A fresh one."""
    return Throttle(lambda: clock[0])


def test_waits_double_and_are_forgiven(throttle, clock):
    """Five are free; 30 s, 60 s … 15 min; an hour without a failure forgives all."""
    waits = []
    for count in range(1, 14):
        throttle.failed("192.0.2.1")
        began = clock[0]
        while throttle.is_closed("192.0.2.1"):
            clock[0] += 15
        waits.append(clock[0] - began)
        assert (count < FREE_FAILURES) == (waits[-1] == 0)
    assert [30, 60, 120, 240, 480, 900, 900] == waits[4:11]
    clock[0] += 3600
    throttle.failed("192.0.2.1")
    assert not throttle.is_closed("192.0.2.1")


def test_addresses_are_apart_but_for_a_hosts_own_network(throttle):
    """An IPv6 host has a /64 to itself."""
    for count in range(FREE_FAILURES):
        throttle.failed("192.0.2.1")
        throttle.failed(f"2001:db8::{count}")
    assert throttle.is_closed("192.0.2.1")
    assert not throttle.is_closed("192.0.2.2")
    assert throttle.is_closed("2001:db8::ffff")
    assert not throttle.is_closed("2001:db8:0:1::1")


def test_memory_is_bounded(throttle):
    """The longest ago is forgotten first."""
    for number in range(20_000):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._failures) <= 10_000
