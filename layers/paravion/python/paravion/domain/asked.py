"""
When a recipient may be asked again whose host named a time, by his state alone.

The retry plans a job by it, for the first of its recipients (domain/schedule.py); `deliver` asks those whose time it
is, and leaves the others for theirs. Everybody is asked where an operator wants it, and at the last attempt.

Next: services/retry.py, services/deliver.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.classification import asked_wait_s
from paravion.domain.schedule import ASKED_MARGIN_S, ASKED_MIN_S

if TYPE_CHECKING:
    from collections.abc import Collection

    from paravion.domain.queue import JobRecord, RecipientState


def asked_at(state: RecipientState) -> float | None:
    """Give the instant from which a deferred recipient's host will have him, seconds since the epoch; None: any."""
    wait = asked_wait_s(state.outcome)
    return None if wait is None else state.at + max(float(wait), ASKED_MIN_S)


def due_positions(record: JobRecord, positions: Collection[int], now: float) -> Collection[int]:
    """
    Give those of a job's open recipients who are asked in an attempt at `now`.

    Never nobody: a job that comes before all of them, by another's clock, is there for the first.
    """
    if not record.recipients or record.asks_all or 0 < record.last_at <= now:
        return positions
    times = {n: _from(record, n) for n in positions}
    first = min(times.values(), default=0.0)
    return [n for n, at in times.items() if at <= max(now, first)]


def first_due_at(record: JobRecord) -> float:
    """Say before when nobody of a job may be asked, so that there is nothing to come back for; 0: somebody may."""
    waiting = record.deferred_positions()
    if record.asks_all or len(record.recipients) < record.recipient_count or not waiting:
        return 0.0
    first = min(_from(record, n) for n in waiting)
    return min(first + ASKED_MARGIN_S, record.last_at or first + ASKED_MARGIN_S) if first else 0.0


def _from(record: JobRecord, position: int) -> float:
    state = record.recipients.get(position)
    return (asked_at(state) if state else None) or 0.0
