"""
When mail is tried again, reckoned from what docs/schedule.md says: the judge's own, apart from domain/schedule.py.

Next: judge.py compares what the product plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.domain.schedule import Plan

JITTER: Final = 0.5
"""Every draw of the world."""

_LONGEST_FAULT_WAIT_S: Final = 900.0
_ASKED_FOR: Final = 5
_MARGIN_S: Final = 2.0
_LAST_TRY_S: Final = 120.0


def after_fault_s(plan: Plan, faults: int) -> float:
    """Give the wait after so many faults of our own in a row: it doubles, up to a quarter of an hour."""
    wait_s = plan.fault_backoff_s
    for _ in range(faults - 1):
        wait_s = min(2 * wait_s, _LONGEST_FAULT_WAIT_S)
    return wait_s * (1 + plan.jitter_ratio * JITTER)


def next_at(
    plan: Plan, born_at: float, life_s: float, now: float, attempts: int, asked_at: Sequence[float | None]
) -> float:
    """
    Say when a job is tried again that somebody put off.

    Args:
        plan: Of its priority.
        born_at: What its times count from.
        life_s: How long it lives: less than the plan says, if its configuration set or its sender wants it so.
        attempts: That it has had.
        asked_at: For each recipient the instant that his host named, None: none.
    """
    dies_at = latest = born_at + life_s
    if life_s < plan.return_s:
        # The last attempt but for one at the end is shortly before it, unless now is as near to it.
        latest -= min(_LAST_TRY_S, life_s / 10)
        if now > latest - (dies_at - latest):
            latest = dies_at
    waits = plan.intervals_s
    wait_s = waits[attempts - 1] if attempts <= len(waits) else waits[-1]
    planned = max(now, min(now + wait_s * (1 + plan.jitter_ratio * JITTER), latest))
    first = min(
        planned if asked is None else asked + _MARGIN_S + (asked - now) * plan.jitter_ratio * JITTER
        for asked in asked_at
    )
    if attempts > _ASKED_FOR and first < planned:
        first = planned
    return max(now, min(first, dies_at))
