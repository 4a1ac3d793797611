"""
What pacing does to a host, in virtual time: throughput, refusals, and what it costs the ledger.

    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_pacing.py [functions]

Refused connections "at first" are those of the first two minutes, when nobody knew.
"""

from __future__ import annotations

import sys
import time

from tests.support.pacing import START, Fleet, simulate

MINUTES = 15


def _of(fleet, counter, first, last):
    start = int(START // 60)
    return sum(count for minute, count in counter.items() if start + first <= minute < start + last)


def _limited(*, rate=0, connections=0):
    async def scenario(fleet: Fleet) -> None:
        fleet.host.rate, fleet.host.connections = rate, connections
        fleet.submit(20_000)
        await fleet.run(60 * MINUTES)

    return scenario


async def _dead(fleet: Fleet) -> None:
    fleet.host.is_down = True
    fleet.submit(10_000)
    await fleet.run(60 * MINUTES)
    fleet.host.is_down = False
    await fleet.run(60 * MINUTES)


def main() -> None:
    """Print a line for each circumstance."""
    counts = [int(sys.argv[1])] if len(sys.argv) > 1 else [50, 500]
    print(
        f"{'functions':>9}  {'host allows':<24} {'used':>6} {'refused':>8} {'at first':>8} {'writes/mail':>11} {'s':>6}"
    )
    for functions in counts:
        for name, rate, connections in (
            ("600 a minute", 600, 0), ("10 connections", 0, 10), ("300 a minute, 10 conn.", 300, 10),
        ):  # fmt: skip
            began = time.perf_counter()
            fleet = simulate(functions, _limited(rate=rate, connections=connections))
            taken, refused = fleet.host.taken, fleet.host.refused
            allowed = rate or connections * 60 / fleet.host.takes_s
            used = _of(fleet, taken, 5, MINUTES) / (allowed * (MINUTES - 5))
            first, late = _of(fleet, refused, 0, 2), _of(fleet, refused, 2, MINUTES)
            print(
                f"{functions:>9}  {name:<24} {used:>6.0%} {late:>8} {first:>8}"
                f" {fleet.hosts.writes / fleet.delivered:>11.1f} {time.perf_counter() - began:>6.1f}"
            )
        began = time.perf_counter()
        fleet = simulate(functions, _dead)
        failed, taken = fleet.host.failed, fleet.host.taken
        worst = max(_of(fleet, failed, n, n + 1) for n in range(2, MINUTES))
        back = min(taken) - int(START // 60)
        print(
            f"{functions:>9}  nothing: dead; 10,000 jobs: connections {_of(fleet, failed, 0, 2)} in the first two minutes,"
            f" then at most {worst} a minute; mails in its first minutes back:"
            f" {', '.join(str(_of(fleet, taken, back + n, back + n + 1)) for n in range(4))}"
            f"  ({time.perf_counter() - began:.1f} s)"
        )


if __name__ == "__main__":
    main()
