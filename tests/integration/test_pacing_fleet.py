"""Hundreds of functions that share a host's limits, simulated for many minutes in virtual time."""

from __future__ import annotations

import pytest

from paravion.domain import pacing
from tests.support.pacing import simulate


@pytest.mark.parametrize(("functions", "rate"), [(50, 300), (500, 300)])
def test_fleet_keeps_to_a_rate_and_uses_it(functions, rate):
    """At least four fifths of what the host allows; few refusals once every function knows."""

    async def scenario(fleet):
        fleet.host.rate = rate
        fleet.submit(5000)
        await fleet.run(420)
        fleet.before = fleet.delivered, sum(fleet.host.refused.values())
        await fleet.run(300)

    fleet = simulate(functions, scenario)
    delivered, refused = fleet.before
    # One batch of each function may be under way when the host first complains.
    assert refused <= 10 * functions + 500
    assert fleet.delivered - delivered >= 0.8 * rate * 5
    assert sum(fleet.host.refused.values()) - refused <= 0.15 * (fleet.delivered - delivered)
    assert fleet.longest_s < 30


def test_fleet_keeps_to_a_number_of_connections_and_uses_it():
    """The same for connections: slots are leased and given back."""

    async def scenario(fleet):
        fleet.host.connections = 10
        fleet.submit(5000)
        await fleet.run(180)
        fleet.before = fleet.delivered, sum(fleet.host.refused.values())
        await fleet.run(240)

    fleet = simulate(50, scenario)
    delivered, refused = fleet.before
    assert refused <= 600
    assert fleet.delivered - delivered >= 0.8 * 10 * 240
    assert sum(fleet.host.refused.values()) - refused <= 60


def test_fleet_recovers_when_the_limit_is_lifted():
    """Minutes later it sends several times as fast."""

    async def scenario(fleet):
        fleet.host.rate = 120
        fleet.submit(4000)
        await fleet.run(300)
        fleet.host.rate = 0
        await fleet.run(900)

    fleet = simulate(20, scenario)
    assert max(fleet.host.taken.values()) >= 2 * 120


def test_ten_thousand_jobs_for_a_dead_host_cost_a_probe_now_and_then():
    """Once known, one connection at a time; back again, it is filled without a herd."""

    async def scenario(fleet):
        fleet.host.is_down = True
        fleet.submit(10_000)
        await fleet.run(900)
        fleet.host.is_down = False
        await fleet.run(1200)

    fleet = simulate(50, scenario)
    by_minute = dict(fleet.host.failed)
    first = min(by_minute)
    # At most the two batches under way when the first ones failed.
    assert by_minute.pop(first) + by_minute.pop(first + 1, 0) <= 2 * 50 * 10
    assert max(by_minute.values()) <= 2
    minutes = sorted(fleet.host.taken)
    assert fleet.host.taken[minutes[0]] <= pacing.REVIVED_RATE * 2
    assert fleet.delivered > 2000
