"""
What became of a message, recipient by recipient, as the events told it: from the ledger, whether or not anybody was.

Complaints are known of simulated mail alone: what an operator enters is published, and suppresses, and is not kept
with the message.

Used by: api/ses_v2_insights.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paravion.domain.queue import JobKey, JobRecord, State
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.ses_event import Origin, events_of, mail_of
from paravion.services.admin import find_envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.ses_event import SesEvent
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


@dataclass(frozen=True, slots=True)
class Insights:
    """
    One message's story.

    Attributes:
        mail: SES's `mail` object.
        recipients: By address: the events that are about it, by time; the event and its own member of the detail.
    """

    mail: Mapping[str, Any]
    recipients: Mapping[str, list[tuple[SesEvent, Mapping[str, Any]]]]


def insights_of(message_id: str, principal: Principal, deps: AdminDeps) -> Insights:
    """
    Tell a message's story.

    Raises:
        Rejected: not_found: none of that id, or somebody else's.
        Unavailable
    """
    envelope, header = find_envelope(message_id, principal, deps)
    own = deps.settings
    origin = Origin(own.hostname, own.credential_region, own.account_id)
    records = {record.key.chunk: record for record in deps.ledger.load_message(message_id)}
    recipients: dict[str, list[tuple[SesEvent, Mapping[str, Any]]]] = {}
    told: Mapping[str, Any] = {}
    for chunk in range(envelope.chunk_count):
        mail = mail_of(envelope, header, chunk)
        # Nobody has tried a job without a record.
        key = JobKey(message_id, chunk)
        record = records.get(chunk) or JobRecord(key, envelope.queued_at, State.READY)
        attempts = {state.attempt for state in record.recipients.values()} | {entry.attempt for entry in record.log}
        ends_at = min(record.counted_from + own.queue_return_s, record.queued_at + LIFETIME_S)
        events = events_of(record, attempts, is_sent=True, mail=mail, origin=origin, ends_at=ends_at)
        told = told or events[0].mail
        for event in events:
            about = _about(event)
            for address in about or {key_0: {} for key_0 in mail.destination}:
                recipients.setdefault(address, []).append((event, about.get(address, {})))
    return Insights(told, recipients)


def _about(event: SesEvent) -> dict[str, Mapping[str, Any]]:
    """Give whom an event is about, each with what it says of him; nobody for one about all."""
    detail = event.detail
    named = detail.get("bouncedRecipients") or detail.get("delayedRecipients") or detail.get("complainedRecipients")
    if named:
        return {item["emailAddress"]: item for item in named}
    return {key: {} for key in detail.get("recipients", ())}
