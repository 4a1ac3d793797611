"""
When events that a destination did not take are tried again, and when it is let alone for a while.

Waits grow as the operator says (`event_retry_intervals_s`), with up to a quarter of jitter. A destination that just
failed is not asked again for a sixth of the wait, so that events for it do not hold up others'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVALS_S: Final = (30.0, 60.0, 120.0, 240.0, 480.0, 900.0)
"""The setting's default."""

_JITTER: Final = 0.25
_REST: Final = 1 / 6
_LONGEST_REST_S: Final = 120.0
_NEVER: Final = (0.0, 0, "")


def wait_s(tries: int, jitter: float, intervals_s: Sequence[float] = INTERVALS_S) -> float:
    """
    Say how long to wait after that many tries.

    Args:
        tries: At least 1.
        jitter: Uniform draw in [0, 1).
        intervals_s: The waits, the last of which repeats.
    """
    return _nth(intervals_s, tries) * (1 - _JITTER * jitter)


def tries_within(waited_s: float, intervals_s: Sequence[float] = INTERVALS_S) -> int:
    """Say how often something would have been tried by now that has waited for so long; at least 1."""
    ends = accumulate(intervals_s)
    return 1 + sum(waited_s >= end for end in ends)


def _nth(intervals_s: Sequence[float], number: int) -> float:
    return intervals_s[min(number, len(intervals_s)) - 1]


@dataclass(slots=True)
class Rests:
    """What one function knows of destinations that failed: until when it does not ask them. Forgets at its end."""

    _until: dict[str, tuple[float, int, str]] = field(default_factory=dict)

    def rests(self, key: str, now: float) -> str:
        """Say why a destination is let alone now, "" if it is not."""
        until, _, problem = self._until.get(key, _NEVER)
        return problem if until > now else ""

    def failed(self, key: str, now: float, problem: str, intervals_s: Sequence[float] = INTERVALS_S) -> None:
        """It took nothing: let it alone, longer each time."""
        count = self._until.get(key, _NEVER)[1] + 1
        self._until[key] = now + min(_nth(intervals_s, count) * _REST, _LONGEST_REST_S), count, problem

    def answered(self, key: str) -> None:
        """It is well."""
        self._until.pop(key, None)
