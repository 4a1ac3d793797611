"""
Publish again what became of mail, for a receiver that missed it: of one message, or of all in a span of time.

Published events are not stored; the ledger knows for 16 days what they told. A span is looked for by reading the
ledger through, some of it in each call, so that a call is short however much there is and the caller sets the pace:

    bound of one call          why
    -------------------------  ----------------------------------------------------------------
    RECORDS records read       a function has 30 seconds
    MAILS envelopes read       the same; each costs a read of the spool

What is to be told goes through the event queue like all events: who takes them, how often they are tried and what
becomes of the rest is services/publish.py's.

Next: services/publish.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.envelope import decode_qf
from paravion.domain.event_item import EventItem, cut, encode
from paravion.domain.queue import position
from paravion.domain.ses_event import Origin, events_of, hidden_behind, mail_of
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.errors import Misconfigured, SpoolMissing
from paravion.ports import QueueName
from paravion.services.admin import each_part, ends_at
from paravion.services.authenticate import require_operator
from paravion.services.event_destinations import told_of
from paravion.services.events import identity_told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.queue import JobRecord
    from paravion.domain.ses_event import Mail, SesEvent
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

RECORDS: Final = 5000
MAILS: Final = 200
_AT_ONCE: Final = 500
"""Records of one read."""


@dataclass(frozen=True, slots=True)
class Span:
    """
    Which events are to be told again.

    Attributes:
        since, until: They happened from the one on and before the other, seconds since the epoch.
        tenant: Whose, None for everybody's.
        configuration_set: Of its mail alone, "" for all.
        destination: The one of each set, by name; "" for all that are told.
    """

    since: float
    until: float
    tenant: str | None = None
    configuration_set: str = ""
    destination: str = ""

    def holds(self, at: float) -> bool:
        """Say whether an instant lies in it."""
        return self.since <= at < self.until

    def may_hold(self, record: JobRecord) -> bool:
        """Say whether anything became of a job in it."""
        instants = chain(
            (record.queued_at,),
            (state.at for state in record.recipients.values()),
            (entry.at for entry in record.log),
        )
        return any(map(self.holds, instants))


def replay(queue_id: str, destination: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Publish again what became of a message, as the ledger knows it: Send, and what decided each recipient.

    Args:
        destination: Of its configuration set, by name; "" for all that are told of the message.

    Raises:
        Rejected: not_found: no such message, or destination.
        Unavailable: Doing it again is safe.
    """
    parts = each_part(queue_id, principal, deps)
    envelope, header = next(parts)
    mail = with_identity(mail_of(envelope, header, 0, hidden_behind(envelope)), envelope.tenant, deps)
    key = _key(envelope, destination)
    if key and key not in _told_keys(envelope, mail, deps):
        raise Rejected(NOT_FOUND, f"the message's configuration set has no destination '{shown(destination)}'")
    count = 0
    for part, of_part in chain(((envelope, header),), parts):
        for record in deps.ledger.load_message(part.queue_id):
            events = _events(record, part, of_part, mail.identity, deps)
            count += tell_again(events, mail, envelope.tenant, key, deps)
    return {"queue_id": queue_id, "events": count}


def replay_span(span: Span, after: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Publish again what became of mail in a span of time, as far as one call goes.

    Args:
        after: What the call before gave to go on; "" to begin.

    Returns:
        `messages` and `events` that are on their way, and `after`, to go on with; None at the end.

    Raises:
        Rejected: access_denied, bad_request.
        Unavailable: Doing it again is safe, and tells some twice.
    """
    require_operator(principal, "events of a span of time are")
    if not span.since < span.until:
        raise Rejected(BAD_REQUEST, "since must be earlier than until, which is now where it is not given")
    told: set[str] = set()
    events = records = mails = 0
    while records < RECORDS and mails < MAILS:
        try:
            page, after = deps.ledger.scan(_AT_ONCE, after)
        except ValueError as exc:
            raise Rejected(BAD_REQUEST, "after is not what a page gave") from exc
        records += _AT_ONCE
        candidates = [record for record in page if span.may_hold(record)]
        if len(candidates) > MAILS - mails:
            candidates = candidates[: MAILS - mails]
            after = position(candidates[-1].key)
        mails += len(candidates)
        for record in candidates:
            if count := _replay_record(record, span, deps):
                told.add(record.key.queue_id)
                events += count
        if not after:
            break
    fields = {"since": span.since, "until": span.until, "events": events, "principal": principal.access_key}
    deps.event_log.emit("EventsReplayed", fields)
    return {"messages": len(told), "events": events, "after": after or None}


def _replay_record(record: JobRecord, span: Span, deps: AdminDeps) -> int:
    try:
        envelope, header = decode_qf(deps.spool.get_envelope(record.key.queue_id))
    except SpoolMissing:
        return 0
    if span.tenant not in {None, envelope.tenant}:
        return 0
    if span.configuration_set not in {"", envelope.configuration_set}:
        return 0
    mail = mail_of(envelope, header, 0, hidden_behind(envelope))
    mail = with_identity(mail, envelope.tenant, deps)
    key = _key(envelope, span.destination)
    if key and key not in _told_keys(envelope, mail, deps):
        return 0
    events = _events(record, envelope, header, mail.identity, deps)
    wanted = [event for event in events if span.holds(event.at)]
    return tell_again(wanted, mail, envelope.tenant, key, deps)


def _key(envelope: Envelope, destination: str) -> str:
    return f"set/{envelope.configuration_set}/{destination}" if destination else ""


def _told_keys(envelope: Envelope, mail: Mail, deps: AdminDeps) -> set[str]:
    found = told_of(deps.records, envelope.tenant, envelope.configuration_set, mail.identity)
    return {told.key for told in found}


def _events(record: JobRecord, envelope: Envelope, header: bytes, identity: str, deps: AdminDeps) -> Sequence[SesEvent]:
    chunk, hidden = record.key.chunk, hidden_behind(envelope)
    attempts = {state.attempt for state in record.recipients.values()}
    return events_of(
        record,
        {*attempts, *(entry.attempt for entry in record.log)},
        is_sent=chunk == 0 and not envelope.body_id,
        mail=replace(mail_of(envelope, header, chunk, hidden), identity=identity),
        origin=origin_of(deps),
        ends_at=ends_at(record, deps),
        hidden=hidden,
    )


def origin_of(deps: AdminDeps) -> Origin:
    """Give who we are, for events."""
    own = deps.settings
    return Origin(own.hostname, own.credential_region, own.account_id, own.outgoing_ip)


def with_identity(mail: Mail, tenant: str, deps: AdminDeps) -> Mail:
    """Give a mail with the identity whose topics are told now, if the envelope named none."""
    return mail if mail.identity else replace(mail, identity=identity_told(deps.records, tenant, mail.source))


def tell_again(events: Sequence[SesEvent], mail: Mail, tenant: str, destination: str, deps: AdminDeps) -> int:
    """Put events into their queue; gives how many are on their way: 0 when nobody is told of the mail."""
    if not events or not told_of(deps.records, tenant, mail.configuration_set, mail.identity):
        return 0
    if deps.new_queues is None:
        raise Misconfigured(["there is no event queue"])
    item = EventItem(tuple(events), tenant, mail.configuration_set, mail.identity, destination)
    deps.new_queues().send_texts(QueueName.EVENT, [encode(part) for part in cut(item)])
    return len(events)
