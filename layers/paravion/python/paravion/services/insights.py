"""
What became of a message, recipient by recipient, as the events told it: from the ledger, whether or not anybody was.

Complaints are known of simulated mail alone: what an operator enters is published, and suppresses, and is not kept
with the message.

Used by: api/ses_v2_insights.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.queue import JobKey, JobRecord, State, with_times_of
from paravion.domain.ses_event import Origin, events_of, mail_of
from paravion.services.admin import each_part, ends_at, is_masked, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.ses_event import SesEvent
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


RECIPIENTS_MAX: Final = 1000
"""Of a mail to a great list the first are told: an answer has 6 MB."""


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
    own = deps.settings
    origin = Origin(own.hostname, own.credential_region, own.account_id)
    recipients: dict[str, list[tuple[SesEvent, Mapping[str, Any]]]] = {}
    told: Mapping[str, Any] = {}
    for envelope, header in each_part(message_id, principal, deps):
        # Who is behind an alias or list is the operator's affair, and so is what was said of him.
        masks = {
            item.forward_path: shown_path(item, principal) for item in envelope.recipients if is_masked(item, principal)
        }
        for event, addresses in _events(envelope, header, origin, deps):
            told = told or event.mail
            about = _about(event)
            for address in about or addresses:
                story = recipients.setdefault(masks.get(address, address), [])
                if not story or story[-1][0] is not event:
                    story.append((event, {} if address in masks else about.get(address, {})))
        if len(recipients) >= RECIPIENTS_MAX:
            break
    return Insights(told, recipients)


def _events(
    envelope: Envelope, header: bytes, origin: Origin, deps: AdminDeps
) -> Iterator[tuple[SesEvent, Sequence[str]]]:
    """Give the events of one message, each with the recipients of its job."""
    records = {record.key.chunk: record for record in deps.ledger.load_message(envelope.queue_id)}
    for chunk in range(envelope.chunk_count):
        mail = mail_of(envelope, header, chunk, {})
        # Nobody has tried a job without a record.
        untried = JobRecord(JobKey(envelope.queue_id, chunk), envelope.queued_at, State.READY)
        record = records.get(chunk) or with_times_of(untried, envelope)
        attempts = {state.attempt for state in record.recipients.values()} | {entry.attempt for entry in record.log}
        until = ends_at(record, deps)
        # What is hidden is hidden from who asks, not from the tenant.
        for event in events_of(record, attempts, is_sent=True, mail=mail, origin=origin, ends_at=until, hidden={}):
            yield event, mail.destination


def _about(event: SesEvent) -> dict[str, Mapping[str, Any]]:
    """Give whom an event is about, each with what it says of him; nobody for one about all."""
    detail = event.detail
    named = detail.get("bouncedRecipients") or detail.get("delayedRecipients") or detail.get("complainedRecipients")
    if named:
        return {item["emailAddress"]: item for item in named}
    return {key: {} for key in detail.get("recipients", ())}
