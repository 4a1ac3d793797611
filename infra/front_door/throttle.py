"""
Failed AUTHs by address: who guesses passwords waits longer and longer, whatever connection he comes by. Pure.

RFC 4954 9 leaves the measure to us: five failures are free, then 30 s, doubled
with each further one up to 15 min; an hour without a failure forgives all. An IPv6 host has a /64 to itself.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

FREE_FAILURES: Final = 5
FIRST_WAIT_S: Final = 30.0
LONGEST_WAIT_S: Final = 900.0
FORGIVEN_AFTER_S: Final = 3600.0
_ENTRIES: Final = 10_000


class _Failures(NamedTuple):
    times: int
    last_at: float


class Throttle:
    """
    What is known of addresses.

    Args:
        clock: Seconds, any origin.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    def is_closed(self, address: str) -> bool:
        """Say whether an address must wait now."""
        count, last_at = self._of(source_of(address))
        if count < FREE_FAILURES:
            return False
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(count - FREE_FAILURES, 10), LONGEST_WAIT_S)
        return self._clock() < last_at + wait_s

    def failed(self, address: str) -> None:
        """Count a wrong credential."""
        source = source_of(address)
        count, _ = self._of(source)
        self._failures.pop(source, None)
        if len(self._failures) >= _ENTRIES:
            # The one whose latest failure is longest ago: entries are in that order.
            del self._failures[next(iter(self._failures))]
        self._failures[source] = _Failures(count + 1, self._clock())

    def _of(self, source: str) -> _Failures:
        known = self._failures.get(source)
        if known is None or self._clock() >= known.last_at + FORGIVEN_AFTER_S:
            return _Failures(0, 0.0)
        return known


def source_of(address: str) -> str:
    """Give what counts as one client: an address, of IPv6 its /64."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))
