"""
What became of a tenant's mail, counted in quarters of an hour for two weeks: SES's sending statistics.

Next: adapters count it (ports.Counters), services/account.py tells it.
SES: GetSendStatistics, SendDataPoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

POINT_S: Final = 900
KEPT_S: Final = 14 * 86_400


@dataclass(frozen=True, slots=True)
class Tally:
    """
    Recipients.

    Attributes:
        attempts: Who were tried for the first time.
        bounces: Who will not get their mail.
        complaints: Who complained.
        rejects: Whose mail was not sent for what is in it.
    """

    attempts: int = 0
    bounces: int = 0
    complaints: int = 0
    rejects: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.attempts + other.attempts,
            self.bounces + other.bounces,
            self.complaints + other.complaints,
            self.rejects + other.rejects,
        )

    def __bool__(self) -> bool:
        return self != _NOTHING


_NOTHING: Final = Tally()


@dataclass(frozen=True, slots=True)
class Point:
    """One quarter of an hour; `at` is its beginning, seconds since the epoch."""

    at: int
    tally: Tally


def point_of(at: float) -> int:
    """Give the beginning of an instant's quarter."""
    return int(at // POINT_S) * POINT_S
