"""
What an operator knows of a message that no job tells: complaints, and events that somebody missed.

Nothing is received here, so that no feedback loop can reach us: a complaint comes from the mailbox simulator or from
an operator (or a program of his that reads the reports). It is published as SES's Complaint event, and the address
is suppressed.

Next: services/publish.py.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.event_item import EventItem, cut, encode
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.ses_event import Origin, complaint_event, events_of, hidden_behind, mail_of
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.suppression import normal_form
from paravion.errors import Misconfigured
from paravion.ports import QueueName
from paravion.services.account import count_complaint
from paravion.services.admin import each_part
from paravion.services.authenticate import require_operator
from paravion.services.event_destinations import told_of
from paravion.services.events import identity_told
from paravion.services.suppress import SuppressDeps, suppress_complained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.ses_event import Mail, SesEvent
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

KINDS: Final = ("abuse", "auth-failure", "fraud", "not-spam", "other", "virus")
"""RFC 5965's Feedback-Types, as SES tells them."""


def complain(
    queue_id: str, address: str, kind: str, user_agent: str, principal: Principal, deps: AdminDeps
) -> dict[str, Any]:
    """
    Enter that a message's recipient complained of it.

    Args:
        kind: Of KINDS, "" for none said; `not-spam` suppresses nobody.

    Raises:
        Rejected: access_denied, bad_request, not_found: no such message, or it was not sent to that address.
        Unavailable: Some of it may have been done; doing it again is safe.
    """
    require_operator(principal, "complaints are")
    if kind and kind not in KINDS:
        raise Rejected(BAD_REQUEST, f"a complaint's kind is one of {', '.join(KINDS)}")
    try:
        wanted = normal_form(address)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, shown(str(exc), 300)) from exc
    found = ((part, _paths(part[0], wanted)) for part in each_part(queue_id, principal, deps))
    (envelope, header), paths = next((item for item in found if item[1]), ((None, b""), []))
    if envelope is None:
        raise Rejected(NOT_FOUND, f"that message was not sent to {shown(address)}")
    now = deps.clock()
    if kind != "not-spam":
        to_suppress = SuppressDeps(
            deps.suppression, deps.settings.suppression_reasons, deps.settings.suppression_expiry_s, deps.event_log
        )
        suppress_complained(paths[0], queue_id, now, to_suppress)
        count_complaint(envelope.tenant, now, deps)
    mail = _mail(mail_of(envelope, header, 0, hidden_behind(envelope)), envelope.tenant, deps)
    hidden = hidden_behind(envelope)
    shown_as = {item.forward_path: hidden.get(n, item.forward_path) for n, item in enumerate(envelope.recipients)}
    mail = replace(mail, destination=tuple(dict.fromkeys(list(shown_as.values())[:100])))
    event = complaint_event(mail, _origin(deps), now, [shown_as[paths[0]]], kind=kind, user_agent=user_agent)
    told = _tell([event], mail, envelope.tenant, "", deps)
    fields = {"queue_id": queue_id, "recipient": paths[0], "kind": kind, "principal": principal.access_key}
    deps.event_log.emit("Complaint", fields)
    return {"queue_id": queue_id, "address": paths[0], "events": told}


def _paths(envelope: Envelope, wanted: str) -> list[str]:
    return [item.forward_path for item in envelope.recipients if normal_form(item.forward_path) == wanted]


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
    mail = _mail(mail_of(envelope, header, 0, hidden_behind(envelope)), envelope.tenant, deps)
    key = f"set/{envelope.configuration_set}/{destination}" if destination else ""
    if key and key not in {
        told.key for told in told_of(deps.records, envelope.tenant, envelope.configuration_set, mail.identity)
    }:
        raise Rejected(NOT_FOUND, f"the message's configuration set has no destination '{shown(destination)}'")
    told = [_replay(part, of_part, mail, key, deps) for part, of_part in chain(((envelope, header),), parts)]
    return {"queue_id": queue_id, "events": sum(told)}


def _replay(envelope: Envelope, header: bytes, mail: Mail, key: str, deps: AdminDeps) -> int:
    """Tell of one message again; gives how many events are on their way."""
    count = 0
    hidden = hidden_behind(envelope)
    for record in deps.ledger.load_message(envelope.queue_id):
        attempts = {state.attempt for state in record.recipients.values()}
        chunk = record.key.chunk
        events = events_of(
            record,
            {*attempts, *(entry.attempt for entry in record.log)},
            is_sent=chunk == 0 and not envelope.body_id,
            mail=replace(mail_of(envelope, header, chunk, hidden), identity=mail.identity),
            origin=_origin(deps),
            ends_at=min(record.counted_from + deps.settings.queue_return_s, record.queued_at + LIFETIME_S),
            hidden=hidden,
        )
        count += _tell(events, mail, envelope.tenant, key, deps)
    return count


def _origin(deps: AdminDeps) -> Origin:
    own = deps.settings
    return Origin(own.hostname, own.credential_region, own.account_id)


def _mail(mail: Mail, tenant: str, deps: AdminDeps) -> Mail:
    """With the identity whose topics are told now, if the envelope named none."""
    return mail if mail.identity else replace(mail, identity=identity_told(deps.records, tenant, mail.source))


def _tell(events: Sequence[SesEvent], mail: Mail, tenant: str, destination: str, deps: AdminDeps) -> int:
    """Give how many events are on their way: 0 when nobody is told of the mail."""
    if not events or not told_of(deps.records, tenant, mail.configuration_set, mail.identity):
        return 0
    if deps.new_queues is None:
        raise Misconfigured(["there is no event queue"])
    item = EventItem(tuple(events), tenant, mail.configuration_set, mail.identity, destination)
    deps.new_queues().send_texts(QueueName.EVENT, [encode(part) for part in cut(item)])
    return len(events)
