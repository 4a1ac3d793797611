"""
What the ledger alone knows of a message whose envelope is gone from the spool: by a lifecycle rule, or by hand.

It is enough to end its jobs, to tell the sender, if an attempt has written down who that is, and to show it. NOTIFY,
ENVID and the mail itself are gone with the envelope: every failure is told, and nothing comes back.

Used by services/retry.py, services/report.py, services/select.py and services/admin.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.domain import envelope
from paravion.domain.envelope import Envelope, Recipient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.domain.queue import JobRecord

UNKNOWN: Final = "unknown"
"""Stands for the address of a recipient whom no attempt has written down."""


def envelope_of(records: Sequence[JobRecord]) -> Envelope:
    """
    Give an envelope as far as a message's jobs (at least one) tell it; of the others it has UNKNOWN in their places.
    """
    known = {n: state.forward_path for record in records for n, state in record.recipients.items()}
    ends = [record.key.chunk * envelope.CHUNK_RECIPIENTS + max(1, record.recipient_count) for record in records]
    count = max(*ends, 1 + max(known, default=0))
    return Envelope(
        queue_id=records[0].key.queue_id,
        reverse_path=next((record.reverse_path for record in records if record.reverse_path), ""),
        recipients=tuple(Recipient(known.get(n, UNKNOWN)) for n in range(count)),
        queued_at=records[0].queued_at,
        body_octets=0,
    )
