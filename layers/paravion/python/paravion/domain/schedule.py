"""
When a job is tried again, when its sender is told, when it is given up: pure functions of the queue's age.

Owns no clock and no randomness; `services/retry.py` alone calls it.

RFC: 5321 4.5.4.1 (retry for 4 to 5 days; our first waits are shorter than its 30 minutes, because most
deferrals are greylisting that ends within minutes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FAULT_WAIT_MAX_S: Final = 900.0
"""Ceiling of the back-off after our own faults: an outage that is over must not hold mail for hours."""


ASKED_ATTEMPTS: Final = 5
"""Attempts after which a time that a host names brings the next one forward; later it may only put it off."""

ASKED_MARGIN_S: Final = 2.0
"""Added to a time that a host named: it counts whole seconds, and by its own clock."""

LIFETIME_S: Final = 14 * 86_400.0
"""
No job is older, held or not: the spool keeps 16 days, two of them for the report (template.yaml).

The same as queue_return_s may be at most.
"""

MAX_RELEASE_S: Final = LIFETIME_S - 4 * 86_400.0
"""The latest release of a message that is sent later: the four days of RFC 5321 4.5.4.1 are left to deliver it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The retry policy.

    Attributes:
        intervals_s: Waits after the 1st, 2nd … attempt, shape (n,), n >= 1, non-decreasing; the last repeats.
        jitter_ratio: Share of each wait, 0 to 1, that is drawn at random, so that jobs that failed
            together do not come back together.
        warn_s, return_s: Age at which the sender is told, and at which the mail is returned.
        fault_backoff_s: First wait after a fault of our own; doubles up to FAULT_WAIT_MAX_S.
    """

    intervals_s: tuple[float, ...]
    jitter_ratio: float
    warn_s: float
    return_s: float
    fault_backoff_s: float


def limited(plan: Plan, max_delivery_s: float) -> Plan:
    """
    Give the plan of mail that must not be older than `max_delivery_s`; 0 leaves it as it is.

    Never longer than the plan's own lifetime.
    """
    if not 0 < max_delivery_s < plan.return_s:
        return plan
    return replace(plan, return_s=max_delivery_s)


def next_attempt_at(queued_at: float, now: float, attempts: int, plan: Plan, jitter: float) -> float:
    """
    Say when a deferred job is tried again.

    Never later than the moment of its return, so that the last attempt is made when the time is up and not
    up to one wait before. Jitter only adds: a host that asked for five minutes gets them.

    Args:
        queued_at, now: Seconds since the epoch; queued_at is the commit instant.
        attempts: Finished attempts, >= 1.
        jitter: Uniform draw in [0, 1).

    Raises:
        ValueError: attempts < 1 (a caller's bug, not a mail status).
    """
    if attempts < 1:
        raise ValueError("a job that was never tried is not scheduled")
    wait = plan.intervals_s[min(attempts, len(plan.intervals_s)) - 1]
    wait *= 1 + plan.jitter_ratio * jitter
    return max(now, min(now + wait, queued_at + plan.return_s))


def next_attempt_of_several_at(
    queued_at: float, now: float, attempts: int, plan: Plan, jitter: float, *, asked_at: Sequence[float | None]
) -> float:
    """
    Say when a deferred job is tried again whose hosts may have named a time ("greylisted, try again in 5 minutes").

    Where one did, that is when its recipient's attempt can work: not earlier, and not by the schedule's hours later.
    The job comes back for the first of its recipients. After ASKED_ATTEMPTS a named time only defers: a host that
    says "in one second" to everything is asked at the schedule's pace.

    Args:
        queued_at, now, attempts, jitter: See `next_attempt_at`.
        asked_at: For each deferred recipient the instant from which its host will have it, None: it named none.
    """
    scheduled = next_attempt_at(queued_at, now, attempts, plan, jitter)
    times = [
        scheduled if asked is None else asked + (ASKED_MARGIN_S + (asked - now) * plan.jitter_ratio * jitter)
        for asked in asked_at
    ]
    first = min(times, default=scheduled)
    if attempts > ASKED_ATTEMPTS:
        first = max(first, scheduled)
    return max(now, min(first, queued_at + plan.return_s))


def after_fault_at(now: float, faults: int, plan: Plan, jitter: float) -> float:
    """
    Say when to look again at a job that came back without an attempt that ended.

    Args:
        faults: Such returns in a row, this one included, >= 1.
        jitter: Uniform draw in [0, 1).

    Raises:
        ValueError: faults < 1.
    """
    if faults < 1:
        raise ValueError("no fault to wait for")
    # The exponent is bounded before the power is taken: a job can come back very often.
    wait: float = min(plan.fault_backoff_s * 2.0 ** min(faults - 1, 20), FAULT_WAIT_MAX_S)
    return now + wait * (1 + plan.jitter_ratio * jitter)


def is_expired(queued_at: float, now: float, plan: Plan) -> bool:
    """Say whether the queue's lifetime is over."""
    return now >= queued_at + plan.return_s


def is_warning_due(queued_at: float, now: float, plan: Plan) -> bool:
    """Say whether the sender should hear by now that the mail is late."""
    return now >= queued_at + plan.warn_s
