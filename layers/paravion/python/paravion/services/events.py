"""
Enter that somebody is to be told of a mail, and tell of what no job tells: the doors' side of events.

    what happened                         who calls                        what is told
    ------------------------------------  -------------------------------  ------------------------------------
    a mail was taken                      services/validate.py: `telling`  nothing yet: its jobs' records tell
    a template could not be rendered      the SES doors                    `rendering_failed`
    a mail is not sent for its content    the SES doors                    `rejected`
    a recipient left a list               the unsubscribe link             `subscription_changed`
    a recipient complained                an operator                      services/complaints.py

A mail that nobody is told of costs nothing beyond two look-ups a minute. What is told here is in the event queue when
the call returns; when it raises nothing is promised, and the caller's repeat tells it again.

Next: services/publish.py sends events to whom they are for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import split_address
from paravion.domain.envelope import Telling
from paravion.domain.told import TYPES
from paravion.ports import QueueName
from paravion.services.configuration import find_identity_settings
from paravion.services.event_destinations import told_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.ses_event import Mail, Origin, SesEvent
    from paravion.domain.submission import Submission
    from paravion.ports import Queues, Records
    from paravion.services.validate import ValidateDeps

_IP: Final = re.compile(r"\[?(?:IPv6:)?([0-9A-Fa-f.:]+)\]?")


def telling(records: Records, *, tenant: str, configuration_set: str, author: str, client: str) -> Telling | None:
    """
    Say what the envelope of a mail must keep for its events; None when nobody is told of it.

    Args:
        author: The From address, or the reverse-path; "" for none.
        client: As in Submission.

    Raises:
        Misconfigured, LedgerUnavailable
    """
    identity = identity_told(records, tenant, author)
    found = told_of(records, tenant, configuration_set, identity)
    types = tuple(kind for kind in TYPES if any(told.wants(kind) for told in found))
    if not types:
        return None
    match = _IP.search(client)
    return Telling(types, identity, match[1] if match else "")


def identity_told(records: Records, tenant: str, author: str) -> str:
    """
    Give the identity of an address whose topics are told: the nearest that has settings, else its domain.

    Raises:
        Misconfigured, LedgerUnavailable
    """
    return find_identity_settings(records, tenant, author)[0] or _domain(author)


def unsent_mail(
    submission: Submission, message_id: str, configuration_set: str, author: str, deps: ValidateDeps
) -> Mail:
    """
    Give what events tell of a submission that never became a mail.

    Args:
        message_id: What the caller is told.
        configuration_set: The submission's, or its identity's; "" for none.
        author: The From address.

    Raises:
        Misconfigured, LedgerUnavailable
    """
    from paravion.domain.ses_event import Mail

    match = _IP.search(submission.client)
    return Mail(
        message_id=message_id,
        at=deps.clock(),
        source=submission.reverse_path or author,
        destination=tuple(recipient.forward_path for recipient in submission.recipients),
        identity=identity_told(deps.records, submission.tenant, author),
        configuration_set=configuration_set,
        source_ip=match[1] if match else "",
        caller=submission.principal,
        tags=submission.tags,
    )


def rendering_failed(mail: Mail, template: str, error: str, *, tenant: str, deps: ValidateDeps) -> None:
    """
    Tell that a mail was taken, but could not be made of its template.

    Args:
        mail: `unsent_mail`'s.
        template: Its name, "" for one that came with the request.
        error: For the template's author: what is missing.

    Raises:
        Misconfigured, LedgerUnavailable, QueueUnavailable: Nothing is promised.
    """
    from paravion.domain.ses_event import rendering_failure_event

    event = rendering_failure_event(mail, _origin(deps), deps.clock(), template, error)
    tell([event], mail, tenant, deps.records, deps.to_commit.queues)


def rejected(mail: Mail, *, tenant: str, deps: ValidateDeps) -> None:
    """
    Tell that a mail was taken, but is not sent for what is in it.

    Raises:
        Misconfigured, LedgerUnavailable, QueueUnavailable: Nothing is promised.
    """
    from paravion.domain.ses_event import reject_event

    tell([reject_event(mail, _origin(deps), deps.clock())], mail, tenant, deps.records, deps.to_commit.queues)


def subscription_changed(
    mail: Mail,
    *,
    contact_list: str,
    source: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    tenant: str,
    deps: ValidateDeps,
) -> None:
    """
    Tell that a recipient changed what he is subscribed to, by a link or field of a mail.

    Args:
        mail: The mail that the link stood in; domain.ses_event.mail_of gives it of an envelope.
        source, old, new: See domain.ses_event.subscription_event.

    Raises:
        Misconfigured, LedgerUnavailable, QueueUnavailable: Nothing is promised.
    """
    from paravion.domain.ses_event import subscription_event

    event = subscription_event(
        mail, _origin(deps), deps.clock(), contact_list=contact_list, source=source, old=old, new=new
    )
    tell([event], mail, tenant, deps.records, deps.to_commit.queues)


def _origin(deps: ValidateDeps) -> Origin:
    from paravion.domain.ses_event import Origin

    own = deps.settings
    return Origin(own.hostname, own.credential_region, own.account_id)


def tell(events: Sequence[SesEvent], mail: Mail, tenant: str, records: Records, queues: Queues) -> None:
    """
    Put events into the event queue, if somebody is told of the mail.

    Args:
        mail: With the identity whose topics are told (`identity_told`), if any are to be.

    Raises:
        Misconfigured, LedgerUnavailable, QueueUnavailable: Nothing is promised.
    """
    if not told_of(records, tenant, mail.configuration_set, mail.identity):
        return
    from paravion.domain.event_item import EventItem, cut, encode

    item = EventItem(tuple(events), tenant, mail.configuration_set, mail.identity)
    queues.send_texts(QueueName.EVENT, [encode(part) for part in cut(item)])


def _domain(author: str) -> str:
    return split_address(author)[1].lower() if "@" in author else ""
