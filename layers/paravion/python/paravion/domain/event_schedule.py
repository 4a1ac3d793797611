"""
When events that a destination did not take are tried again, and when it is let alone for a while.

Waits double from 30 seconds to 15 minutes, the longest that a queue keeps an item back, with up to a quarter of
jitter. A destination that just failed is not asked again for a moment, so that events for it do not hold up others'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

FIRST_S: Final = 30.0
LONGEST_S: Final = 900.0
_JITTER: Final = 0.25
_FIRST_REST_S: Final = 5.0
_LONGEST_REST_S: Final = 120.0


def wait_s(tries: int, jitter: float) -> float:
    """
    Say how long to wait after that many tries, at most LONGEST_S.

    Args:
        tries: At least 1.
        jitter: Uniform draw in [0, 1).
    """
    base = min(FIRST_S * (1 << min(tries - 1, 10)), LONGEST_S)
    return min(base * (1 - _JITTER * jitter), LONGEST_S)


@dataclass(slots=True)
class Rests:
    """What one function knows of destinations that failed: until when it does not ask them. Forgets at its end."""

    _until: dict[str, tuple[float, int]] = field(default_factory=dict)

    def rests(self, key: str, now: float) -> bool:
        """Say whether a destination is let alone now."""
        return self._until.get(key, (0.0, 0))[0] > now

    def failed(self, key: str, now: float) -> None:
        """It took nothing: let it alone, longer each time."""
        count = self._until.get(key, (0.0, 0))[1] + 1
        self._until[key] = now + min(_FIRST_REST_S * (1 << min(count - 1, 10)), _LONGEST_REST_S), count

    def answered(self, key: str) -> None:
        """It is well."""
        self._until.pop(key, None)
