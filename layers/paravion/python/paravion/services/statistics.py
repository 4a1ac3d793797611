"""
Count what becomes of mail, for SES's sending statistics: one write for each tenant of a batch, and best effort.

Each recipient is counted once, when its mail has come to its end: in services/deliver.py and, for what is given up,
services/retry.py. A batch that is cut off is counted not at all or twice; mail never waits for it or fails with it.
What the mailbox simulator answers is nobody's reputation.

Next: services/account.py tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain import simulator
from paravion.domain.outcome import Result
from paravion.domain.statistics import Tally
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paravion.domain.outcome import Outcome
    from paravion.ports import Counters, EventLog


class Tallies:
    """What a batch counted so far, by tenant."""

    def __init__(self) -> None:
        self._by_tenant: dict[str, Tally] = {}

    def __bool__(self) -> bool:
        return bool(self._by_tenant)

    def add(self, tenant: str, outcomes: Iterable[Outcome]) -> None:
        """Count what is decided; deferrals are not."""
        results = [outcome.result for outcome in outcomes if outcome.command != simulator.COMMAND]
        bounces = results.count(Result.FAILED)
        if ended := bounces + results.count(Result.DELIVERED):
            self._by_tenant[tenant] = self._by_tenant.get(tenant, Tally()) + Tally(attempts=ended, bounces=bounces)

    def write(self, counters: Counters, now: float, event_log: EventLog) -> None:
        """Add it to what was counted before; never raises for a counter that is away."""
        for tenant, tally in self._by_tenant.items():
            try:
                counters.count(tenant, tally, now)
            except LedgerUnavailable as exc:
                event_log.emit("Fault", {"stage": "statistics", "error": repr(exc)})
        self._by_tenant = {}
