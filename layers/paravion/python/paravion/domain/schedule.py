"""
When a job is tried again, when its sender is told, when it is given up: pure functions of the queue's age.

Owns no clock and no randomness; `services/retry.py` plans by it, and whoever tells of the end asks it (`given_up_at`).
docs/schedule.md is its table, made from it (tests/support/schedule_table.py).

RFC: 5321 4.5.4.1 (retry for 4 to 5 days; our first waits are shorter than its 30 minutes, because most
deferrals are greylisting that ends within minutes), 2852 (deadlines).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.priority import Span
    from paravion.domain.queue import JobRecord

FAULT_WAIT_MAX_S: Final = 900.0
"""Ceiling of the back-off after our own faults: an outage that is over must not hold mail for hours."""


ASKED_ATTEMPTS: Final = 5
"""Attempts after which a time that a host names brings the next one forward; later it may only put it off."""

ASKED_MARGIN_S: Final = 2.0
"""Added to a time that a host named: it counts whole seconds, and by its own clock."""

ASKED_MIN_S: Final = 60.0
"""A host that names a shorter wait is asked after this: five attempts within ten seconds help nobody."""

LIFETIME_S: Final = 14 * 86_400.0
"""
No job is older, held or not: the spool keeps 16 days, two of them for the report (template.yaml).

The same as queue_return_s may be at most.
"""

MAX_RELEASE_S: Final = LIFETIME_S - 4 * 86_400.0
"""The latest release of a message that is sent later: the four days of RFC 5321 4.5.4.1 are left to deliver it."""


LAST_TRY_S: Final = 120.0
"""
How long before its end mail with a shorter lifetime than the queue's is tried once more: no attempt begins after it.

Time for a sweep (one each minute) and for the attempt; of a short lifetime the tenth part. Where the attempt before
was as near to it, that one was the last.
"""


_UNSAID: Final = "normal"
"""The priority of mail that says nothing of it, of records from before there were any too."""


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
        by_priority: The plans of those priorities (domain/priority.py) that have one of their own.
        last_try_s: Age of the last attempt but for one at the return; 0: there is none.
    """

    intervals_s: tuple[float, ...]
    jitter_ratio: float
    warn_s: float
    return_s: float
    fault_backoff_s: float
    by_priority: Mapping[str, Plan] = field(default_factory=dict)
    last_try_s: float = 0.0


def with_priorities(
    plan: Plan, intervals: Mapping[str, Span], warns: Mapping[str, Span], returns: Mapping[str, Span]
) -> Plan:
    """Give the plan with those of the priorities that differ from it; `intervals` are multiples."""
    others: dict[str, Plan] = {}
    for name in {**intervals, **warns, **returns}:
        factor = intervals[name].value if name in intervals else 1.0
        others[name] = replace(
            plan,
            intervals_s=tuple(wait_s * factor for wait_s in plan.intervals_s),
            warn_s=warns[name].of(plan.warn_s) if name in warns else plan.warn_s,
            return_s=lifetimes(plan.return_s, returns).get(name, plan.return_s),
        )
    return replace(plan, by_priority=others)


def lifetimes(return_s: float, returns: Mapping[str, Span]) -> dict[str, float]:
    """Give the lifetimes in seconds of those priorities that have one of their own."""
    return {name: min(span.of(return_s), LIFETIME_S) for name, span in returns.items()}


def bounded(plan: Plan, record: JobRecord) -> Plan:
    """
    Give one job's plan: its priority's, and no longer than its configuration set and its deadline allow.

    Mail that must be delivered in time (DELIVERBY, by-mode R) has no lifetime left at its deadline.
    """
    plan = plan.by_priority.get(record.priority or _UNSAID, plan)
    return_s = _lifetime_s(record, plan.return_s)
    if return_s == plan.return_s:
        return plan
    return replace(plan, return_s=return_s, last_try_s=return_s - min(LAST_TRY_S, return_s / 10))


def given_up_at(record: JobRecord, return_s: float, by_priority: Mapping[str, float]) -> float:
    """Say when an open job will be given up; lifetimes as `lifetimes` gives them."""
    return_s = _lifetime_s(record, by_priority.get(record.priority or _UNSAID, return_s))
    return min(record.counted_from + return_s, record.queued_at + LIFETIME_S)


def _lifetime_s(record: JobRecord, return_s: float) -> float:
    if record.max_delivery_s:
        return_s = min(return_s, record.max_delivery_s)
    if record.returns_by:
        return_s = min(return_s, max(0.0, record.deliver_by_at - record.counted_from))
    return return_s


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
    return _in_time(queued_at, now, now + wait, plan)


def _in_time(queued_at: float, now: float, at: float, plan: Plan) -> float:
    """Give an instant that is neither over nor behind the mail's last attempt, if that is not too near."""
    last_try_at, end = queued_at + plan.last_try_s, queued_at + plan.return_s
    is_near = last_try_at - now < end - last_try_at
    return max(now, min(at, end if is_near else last_try_at))


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


def last_attempt_from(queued_at: float, plan: Plan) -> float:
    """Give the instant from which on an attempt is the schedule's last."""
    end = queued_at + plan.return_s
    # As `_in_time` has it.
    return 2 * (queued_at + plan.last_try_s) - end if plan.last_try_s else end


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
