"""
Mail of a contact list: who has unsubscribed is not sent to, and everybody else gets a way out.

services/validate.py calls this for each submission that names a list (SES's ListManagementOptions, or the field
X-SES-LIST-MANAGEMENT-OPTIONS). As SES does it:

- A recipient who has unsubscribed from the topic, or from the list, stays a recipient, fails without being sent to,
  and the sender hears of it like of any bounce. It costs the deliverer nothing: the recipient carries its refusal.
- One recipient: List-Unsubscribe and List-Unsubscribe-Post (RFC 8058) replace the message's own, and the placeholder
  `{{amazonSESUnsubscribeUrl}}` becomes the link, the first two times in each text part. Of a mail to several
  recipients neither, for the link is one recipient's.
- Who is no contact yet becomes one, after the mail is kept.

DKIM signs after this (domain/dkim.py covers both fields, RFC 8058 4). A message that its author signed can't be
changed any more: it is refused.

Next: services/unsubscription.py, when somebody follows the link.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from paravion.domain import contacts, unsubscribe
from paravion.domain.address import shown
from paravion.domain.headers import Field, make_field
from paravion.domain.placeholder import edits_of, filled_in
from paravion.domain.refusal import Refusal
from paravion.domain.status import BAD_MESSAGE, NOT_FOUND, UNSUBSCRIBED, Rejected
from paravion.domain.suppression import looked_up_as
from paravion.domain.tenant import contacts_kind, record_kind
from paravion.errors import Misconfigured, RecordTooLarge, Unavailable
from paravion.services import unsubscribe_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.domain.envelope import Recipient
    from paravion.domain.message import Message
    from paravion.domain.submission import Submission
    from paravion.ports import EventLog, Records, Secrets
    from paravion.services.content import Content

PLACEHOLDER: Final = "{{amazonSESUnsubscribeUrl}}"
"""What a template engine must leave as it stands."""

_TIMES: Final = 2
_FIELDS: Final = frozenset({b"list-unsubscribe", b"list-unsubscribe-post"})


class _Settings(Protocol):
    @property
    def public_url(self) -> str: ...


class ListDeps(Protocol):
    """What this needs: ValidateDeps has it."""

    @property
    def settings(self) -> _Settings: ...  # noqa: D102 (an attribute)
    @property
    def records(self) -> Records: ...  # noqa: D102
    @property
    def secrets(self) -> Secrets: ...  # noqa: D102
    @property
    def event_log(self) -> EventLog: ...  # noqa: D102
    @property
    def clock(self) -> Callable[[], float]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Managed:
    """
    A submission as its contact list lets it be sent.

    Attributes:
        recipients: In their order; those who have unsubscribed carry a refusal.
        strangers: Addresses by record name that are no contacts yet.
    """

    message: Message
    recipients: tuple[Recipient, ...]
    strangers: Mapping[str, str]


def manage(
    submission: Submission, content: Content, recipients: tuple[Recipient, ...], queue_id: str, deps: ListDeps
) -> Managed:
    """
    Apply the submission's contact list and topic.

    Args:
        recipients: In normal form, as the caller named them.
        queue_id: The message's, for the link.

    Raises:
        Rejected: not_found: no such list or topic; bad_message: signed already, or no link can be made.
        LedgerUnavailable, SecretsUnavailable
        SpoolUnavailable: There is no room for a large body with a link in it.
        Misconfigured: There is no key, or nobody knows our URL.
    """
    name, topic, message = submission.contact_list, submission.topic, content.message
    contact_list = _contact_list(submission.tenant, name, topic, deps)
    names = {recipient.forward_path: looked_up_as(recipient.forward_path) for recipient in recipients}
    kind = record_kind(submission.tenant, contacts_kind(name))
    found = deps.records.get_all(kind, [one for one in names.values() if one])
    refusal = str(_refusal(name, topic))
    checked = tuple(
        recipient
        if contacts.wants(contact_list, _value(found, names[recipient.forward_path]), topic)
        else replace(recipient, refusal=refusal)
        for recipient in recipients
    )
    strangers = {one: path for path, one in names.items() if one and one not in found}
    if len(recipients) == 1:
        address = recipients[0].forward_path
        link = unsubscribe.Link(submission.tenant, name, topic, address, queue_id)
        message = _with_link(content, _url(link, submission, deps))
    return Managed(message, checked, strangers)


def remember(managed: Managed, submission: Submission, deps: ListDeps) -> None:
    """
    Make contacts of those who are none yet, after the message is kept. Never raises for what can't be written.

    crash here = a recipient who is no contact yet, as before: his link works all the same, and makes him one.
    """
    kind = record_kind(submission.tenant, contacts_kind(submission.contact_list))
    now = deps.clock()
    for name, address in managed.strangers.items():
        try:
            deps.records.put(kind, name, new_contact(address, now), version=0)
        except (Unavailable, RecordTooLarge) as exc:
            deps.event_log.emit("Fault", {"stage": "contacts", "error": type(exc).__name__})


def new_contact(address: str, now: float) -> dict[str, Any]:
    """Give the record of a contact who said nothing yet."""
    return {
        "EmailAddress": address,
        "TopicPreferences": [],
        "UnsubscribeAll": False,
        "created_at": now,
        "updated_at": now,
    }


def _contact_list(tenant: str, name: str, topic: str, deps: ListDeps) -> Mapping[str, Any]:
    record = deps.records.get(record_kind(tenant, contacts.LISTS_KIND), name)
    if record is None:
        raise Rejected(NOT_FOUND, f"List with name: {shown(name)} doesn't exist.")
    if topic and topic not in contacts.default_preferences(record.value):
        raise Rejected(NOT_FOUND, f"Topic: {shown(topic)} doesn't exist in list: {shown(name)}.")
    return record.value


def _value(found: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    record = found.get(name)
    return None if record is None else record.value


def _refusal(name: str, topic: str) -> Refusal:
    of_what = f"list {name}, topic {topic}" if topic else f"list {name}"
    return Refusal(UNSUBSCRIBED.smtp, UNSUBSCRIBED.enhanced, f"{UNSUBSCRIBED.text}: {of_what}")


def _url(link: unsubscribe.Link, submission: Submission, deps: ListDeps) -> str:
    base = deps.settings.public_url or submission.endpoint
    if not base:
        raise Misconfigured(["PARAVION_PUBLIC_URL is not set, and this door does not know it"])
    keys = unsubscribe_keys.read(deps.secrets)
    if not keys:
        raise Misconfigured([f"secret {unsubscribe.SECRET}: missing; POST /v1/unsubscribe/rotation makes it"])
    return base.rstrip("/") + unsubscribe.PATH + unsubscribe.make_token(link, keys)


def _with_link(content: Content, url: str) -> Message:
    message = content.message
    if message.values(b"DKIM-Signature"):
        raise Rejected(BAD_MESSAGE, "the message is signed (DKIM-Signature): no unsubscribe link can be added")
    fields: Sequence[Field] = [field for field in message.fields if field.key not in _FIELDS]
    body = message.body
    if isinstance(body, bytes):
        fields, body = filled_in(fields, body, PLACEHOLDER, url, times=_TIMES)
        is_8bit = not body.isascii()
    else:
        fields, edits = edits_of(fields, body, PLACEHOLDER, url, times=_TIMES)
        if edits and content.edited is not None:
            body = content.edited(edits)
        is_8bit = any(not piece.isascii() for piece in body.pieces())
    try:
        own = [
            Field(name.encode(), make_field(name, value).removesuffix(b"\r\n"))
            for name, value in (
                ("List-Unsubscribe", f"<{url}>"),
                ("List-Unsubscribe-Post", unsubscribe.ONE_CLICK),
            )
        ]
    except ValueError as exc:
        raise Rejected(BAD_MESSAGE, f"List-Unsubscribe: {exc}") from exc
    return replace(message, fields=(*fields, *own), body=body, is_8bit=is_8bit)
