"""
What a tenant may send: so many recipients in 24 hours, so many a second.

As SES has it, a message for which there is any room left goes whole: at most one message's recipients are more than
a limit says.

The day is counted in hours: the current one and the 24 before it. What was sent is forgotten 24 to 25 hours later.

The rate is a bucket: who was idle may send a second's worth at once, and what a message took too much is waited for.
In any T seconds at most rate x (T + 1) recipients and one message's go.

    free_at   when the bucket was, or will be, empty and level: mail is taken from then on. Each recipient moves it
              on by 1/rate, and who is idle keeps it at most BURST_S behind now.

Pure: adapters keep a `State` and apply `decide` at one instant, or by conditions that say the same.

Next: services/quotas.py asks before mail is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

UNLIMITED: Final = -1.0
"""SES's word for no limit."""

RATE_MAX: Final = 1_000_000.0
SEND_MAX: Final = 1e12

HOURS: Final = 24
BURST_S: Final = 1.0
_HOUR_S: Final = 3600
_MICRO: Final = 1_000_000
_MESSAGE_MAX: Final = 1000
"""Recipients of the largest submission: nobody owes more."""


class Limit(Enum):
    """Which limit a message would pass."""

    DAY = "day"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of one tenant; UNLIMITED for none."""

    max_24_hour_send: float = UNLIMITED
    max_send_rate: float = UNLIMITED

    @property
    def is_unlimited(self) -> bool:
        """Nothing has to be counted."""
        return self.max_24_hour_send < 0 and self.max_send_rate < 0


@dataclass(frozen=True, slots=True)
class Want:
    """How many recipients a message has: that count for the day, and for the rate."""

    day: int
    rate: int


@dataclass(frozen=True, slots=True)
class State:
    """
    What a tenant has sent.

    Attributes:
        hours: Recipients by hour since the epoch.
        free_at: Microseconds since the epoch; 0: never sent by a rate.
    """

    hours: Mapping[int, int] = field(default_factory=dict)
    free_at: int = 0


@dataclass(frozen=True, slots=True)
class Short:
    """A message that is not taken: which limit, and when it is worth trying again."""

    limit: Limit
    wait_s: float


def hour_of(at: float) -> int:
    """Give the hour since the epoch."""
    return int(at // _HOUR_S)


def sent(state: State, now: float) -> int:
    """Count the recipients of the last 24 hours."""
    hour = hour_of(now)
    return max(0, sum(count for at, count in state.hours.items() if hour - HOURS <= at))


def sent_before(state: State, now: float) -> int:
    """Count those of the hours before this one, which change no more."""
    hour = hour_of(now)
    return sum(count for at, count in state.hours.items() if hour - HOURS <= at < hour)


def micro(now: float) -> int:
    """Give an instant in the unit of `State.free_at`."""
    return int(now * _MICRO)


def cost(count: int, rate: float) -> int:
    """Give by how much recipients move `State.free_at`."""
    return ceil(count * _MICRO / rate)


def free_range(now: float, rate: float) -> tuple[int, int, int]:
    """
    Give what a `free_at` means: below the first and above the last it is not one of ours, and stands for the first.

    Returns:
        The earliest that counts; now, up to which mail is taken; the latest that any message can have left.
    """
    at = micro(now)
    burst = int(BURST_S * _MICRO)
    return at - burst, at, at + burst + cost(_MESSAGE_MAX, rate)


def decide(state: State, want: Want, quota: Quota, now: float) -> State | Short:
    """Give the state with a message taken, without hours that count no more; or why it is not."""
    hour = hour_of(now)
    if want.day and 0 <= quota.max_24_hour_send <= sent(state, now):
        return Short(Limit.DAY, _day_wait(state, quota, now))
    free_at = state.free_at
    if quota.max_send_rate > 0:
        earliest, at, latest = free_range(now, quota.max_send_rate)
        if not earliest <= free_at <= latest:
            free_at = earliest
        if free_at > at:
            return Short(Limit.RATE, (free_at - at) / _MICRO)
        free_at += cost(want.rate, quota.max_send_rate)
    hours = {at: count for at, count in state.hours.items() if hour - HOURS <= at}
    return State({**hours, hour: hours.get(hour, 0) + want.day}, free_at)


def given_back(state: State, count: int, at: float) -> State:
    """Take back what was counted for a message that was not kept, taken at `at`; the rate is left alone."""
    hour = hour_of(at)
    return replace(state, hours={**state.hours, hour: state.hours.get(hour, 0) - count})


def _day_wait(state: State, quota: Quota, now: float) -> float:
    """Give the seconds until enough old hours are forgotten; a day if that never is."""
    left = sent(state, now)
    hour = hour_of(now)
    for at in range(hour - HOURS, hour + 1):
        left -= state.hours.get(at, 0)
        if left < quota.max_24_hour_send:
            return (at + HOURS + 1) * _HOUR_S - now
    return float(HOURS * _HOUR_S)
