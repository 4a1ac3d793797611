"""
Fill the suppression list: by bounces that say that an address does not exist, and by complaints.

`deliver` records that the list is owed such an address in the same write as the bounce itself, and `bounce` settles
it here (domain/queue.py, NoticeKind.SUPPRESS): a crash in between repeats the same entry, which changes nothing.

Next: services/withhold.py, at the next mail to the address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paravion.domain.queue import members
from paravion.domain.suppression import Reason, bounced, complained
from paravion.services.withhold import reasons_in_force

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paravion.domain.queue import JobRecord, Notice
    from paravion.domain.suppression import Suppressed
    from paravion.ports import EventLog, Suppression


@dataclass(frozen=True, slots=True)
class SuppressDeps:
    """
    What filling the list needs.

    Attributes:
        reasons: For which addresses are suppressed, unless the list itself says.
        expiry_s: How long an entry stays, 0 for ever.
    """

    suppression: Suppression
    reasons: Sequence[Reason]
    expiry_s: float
    event_log: EventLog


def suppress_bounced(record: JobRecord, notice: Notice, deps: SuppressDeps) -> None:
    """
    List the addresses that a `suppress` notice is about, if its mail's configuration set says so, else the account.

    Raises:
        LedgerUnavailable: Doing it again is safe.
    """
    entries = []
    for state in members(record, notice, {}).values():
        try:
            entries.append(
                bounced(
                    state.forward_path,
                    state.outcome,
                    queue_id=record.key.queue_id,
                    at=state.at,
                    expiry_s=deps.expiry_s,
                )
            )
        except ValueError:
            # A host's word on something that is no address: nobody could look it up.
            continue
    if record.suppressed_reasons is None or Reason.BOUNCE in record.suppressed_reasons:
        _put(Reason.BOUNCE, entries, deps, is_certain=record.suppressed_reasons is not None)


def suppress_complained(path: str, queue_id: str, at: float, deps: SuppressDeps) -> None:
    """
    List an address whose owner complained of a message, if the account suppresses for complaints.

    Args:
        at: When the complaint came, seconds since the epoch; the same at each repetition.

    Raises:
        ValueError: `path` is no address.
        LedgerUnavailable: Doing it again is safe.
    """
    entry = complained(path, queue_id=queue_id, at=at, expiry_s=deps.expiry_s)
    _put(Reason.COMPLAINT, [entry], deps)


def _put(reason: Reason, entries: Iterable[Suppressed], deps: SuppressDeps, *, is_certain: bool = False) -> None:
    if not is_certain and reason not in reasons_in_force(deps.suppression, deps.reasons):
        return
    for entry in entries:
        # What an operator said since then stays.
        if deps.suppression.put(entry, unless_newer=True):
            fields = {"address": entry.address, "reason": entry.reason.value, "queue_id": entry.queue_id}
            deps.event_log.emit("Suppressed", fields)
