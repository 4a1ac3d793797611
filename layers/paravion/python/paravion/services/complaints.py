"""
What an operator knows of a message that no job tells: complaints.

Nothing is received here, so that no feedback loop can reach us: a complaint comes from the mailbox simulator or from
an operator (or a program of his that reads the reports). It is published as SES's Complaint event, and the address
is suppressed.

Next: services/publish.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.ses_event import complaint_event, hidden_behind, mail_of
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.suppression import normal_form
from paravion.services.account import count_complaint
from paravion.services.admin import each_part
from paravion.services.authenticate import require_operator
from paravion.services.replay import origin_of, tell_again, with_identity
from paravion.services.suppress import SuppressDeps, suppress_complained

if TYPE_CHECKING:
    from paravion.domain.envelope import Envelope
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
    mail = with_identity(mail_of(envelope, header, 0, hidden_behind(envelope)), envelope.tenant, deps)
    hidden = hidden_behind(envelope)
    shown_as = {item.forward_path: hidden.get(n, item.forward_path) for n, item in enumerate(envelope.recipients)}
    mail = replace(mail, destination=tuple(dict.fromkeys(list(shown_as.values())[:100])))
    event = complaint_event(mail, origin_of(deps), now, [shown_as[paths[0]]], kind=kind, user_agent=user_agent)
    told = tell_again([event], mail, envelope.tenant, "", deps)
    fields = {"queue_id": queue_id, "recipient": paths[0], "kind": kind, "principal": principal.access_key}
    deps.event_log.emit("Complaint", fields)
    return {"queue_id": queue_id, "address": paths[0], "events": told}


def _paths(envelope: Envelope, wanted: str) -> list[str]:
    return [item.forward_path for item in envelope.recipients if normal_form(item.forward_path) == wanted]
