"""
Messages of a template, one or many: what SES v1 and v2 share of templated and bulk sending.

A template that lacks data is no error of the call: the caller gets a message id, and whoever listens the event
Rendering Failure (services/rejections.py). Each entry of a bulk call is a message of its own, several are made and kept
side by side, and each has its own answer.

Next: services/validate.py, services/rejections.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paravion.api.doors import row_of
from paravion.api.ses_faults import SesFault, bad_request
from paravion.api.ses_sending import Outgoing, send, simple_content, submission_of
from paravion.domain import status
from paravion.domain.email_template import EmailTemplate, Rendered, check_inline, merged, read_data, render
from paravion.domain.status import Rejected
from paravion.services import templates
from paravion.services.arns import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.api.doors import Call
    from paravion.domain.submission import Receipt
    from paravion.services.validate import ValidateDeps

ENTRIES_MAX: Final = 50
"""SES's limit of a bulk call."""

_FAILS_LATER: Final = frozenset({status.TEMPLATE_ATTRIBUTE_MISSING.key, status.RENDERING_FAILED.key})
"""What is wrong with a template and its data together: SES accepts such a message."""

_BULK: Final = {
    status.NO_SUCH_CONFIGURATION_SET.key: "CONFIGURATION_SET_NOT_FOUND",
    status.SET_PAUSED.key: "CONFIGURATION_SET_SENDING_PAUSED",
    status.SENDING_PAUSED.key: "ACCOUNT_SENDING_PAUSED",
    status.RATE_LIMITED.key: "ACCOUNT_THROTTLED",
    status.RATE_EXCEEDED.key: "ACCOUNT_THROTTLED",
    status.QUOTA_EXCEEDED.key: "ACCOUNT_DAILY_QUOTA_EXCEEDED",
    status.NO_SUCH_TEMPLATE.key: "TEMPLATE_NOT_FOUND",
}
_BULK_BY_NAME: Final = {
    "MessageRejected": "MESSAGE_REJECTED",
    "MailFromDomainNotVerifiedException": "MAIL_FROM_DOMAIN_NOT_VERIFIED",
    "AccountSuspendedException": "ACCOUNT_SUSPENDED",
}
SUCCESS: Final = "SUCCESS"


@dataclass(frozen=True, slots=True)
class Templated:
    """
    What fills a template in, and what goes with it.

    Attributes:
        given: The operation's input: with Destination and ReplyToAddresses.
        headers, attachments: As in v2's Template.
    """

    template: EmailTemplate
    data: Mapping[str, Any]
    from_: str
    given: Mapping[str, Any]
    headers: Sequence[Mapping[str, str]] = ()
    attachments: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a bulk call, or why it is none."""

    outgoing: Outgoing | None
    templated: Templated | None
    refusal: Rejected | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one entry, in v2's words; one of `message_id` and `error` is there."""

    status: str
    message_id: str = ""
    error: str = ""


def stored_template(name: str, arn: str, call: Call[ValidateDeps]) -> EmailTemplate:
    """
    Give the template that a request names, by its name, its ARN, or both.

    Raises:
        Rejected: no_such_template; bad_request: no ARN, or one of another template.
        LedgerUnavailable
    """
    by_arn = name_of(arn, "template", "TemplateArn") if arn else ""
    if name and by_arn and name != by_arn:
        raise bad_request("TemplateArn is that of another template than the one that is named.")
    return templates.find(name or by_arn, call.principal, call.deps.records)


def template_of(given: Mapping[str, Any], call: Call[ValidateDeps]) -> EmailTemplate:
    """
    Give the template of v2's Template member: a stored one, or the one that is in it.

    Raises:
        SesFault: None of them, or both. Rejected, LedgerUnavailable: as `stored_template`.
    """
    name, arn, content = given.get("TemplateName", ""), given.get("TemplateArn", ""), given.get("TemplateContent")
    if (content is None) == (not (name or arn)):
        raise bad_request("Template must have exactly one of TemplateName, TemplateArn and TemplateContent.")
    if content is None:
        return stored_template(name, arn, call)
    template = EmailTemplate("", content.get("Subject", ""), content.get("Text", ""), content.get("Html", ""))
    check_inline(template)
    return template


def send_templated(templated: Templated, outgoing: Outgoing, call: Call[ValidateDeps]) -> Receipt:
    """
    Make a message of a template and submit it.

    Returns:
        What the caller is told; also of a message that could not be rendered.

    Raises:
        Rejected, Unavailable
    """
    data = templated.data
    if outgoing.contact_list:
        # Filled in for the recipient, when the message is made (services/list_management.py).
        data = {**data, "amazonSESUnsubscribeUrl": "{{amazonSESUnsubscribeUrl}}"}
    octets_max = call.deps.settings.max_message_octets
    try:
        rendered = render(templated.template, data, characters_max=octets_max)
    except Rejected as exc:
        if exc.status.key not in _FAILS_LATER:
            raise
        from paravion.services.rejections import rendering_failed

        # What is wrong besides is still an error of the call: an address above all.
        content = _content(Rendered("", "-", ""), templated, outgoing, call)
        submission = call.own(submission_of(outgoing, content, call))
        return rendering_failed(submission, templated.template.name, exc.detail, call.deps)
    return send(outgoing, _content(rendered, templated, outgoing, call), call)


def send_bulk(entries: Sequence[Entry], call: Call[ValidateDeps]) -> list[Result]:
    """
    Send every entry, several at once, and say of each what became of it.

    An SDK's repeat of the call, after a lost answer, sends none of them twice. Never raises for one entry.

    Raises:
        SesFault: BadRequestException: none or too many.
    """
    if not 1 <= len(entries) <= ENTRIES_MAX:
        raise bad_request(f"A bulk call must have 1 to {ENTRIES_MAX} destinations; this one has {len(entries)}.")
    return call.deps.side_by_side([partial(_send_entry, entry, call) for entry in entries])


def _send_entry(entry: Entry, call: Call[ValidateDeps]) -> Result:
    if entry.outgoing is None or entry.templated is None:
        return _refused(entry.refusal or Rejected(status.INTERNAL))
    try:
        receipt = send_templated(entry.templated, entry.outgoing, call)
    except Rejected as exc:
        return _refused(exc)
    except Exception as exc:  # noqa: BLE001 (the other entries have their answers)
        fault = Rejected(row_of(exc))
        call.deps.event_log.emit("Fault", {"stage": "bulk", "fault": type(exc).__name__, "key": fault.status.key})
        return _refused(fault)
    return Result(SUCCESS, receipt.queue_id)


def _refused(rejected: Rejected) -> Result:
    row = rejected.status
    text = rejected.detail or row.text
    if row.key in _BULK:
        return Result(_BULK[row.key], error=text)
    if row.is_transient:
        return Result("TRANSIENT_FAILURE", error=text)
    name = rejected.name if isinstance(rejected, SesFault) else row.ses
    otherwise = "INVALID_PARAMETER" if name == "BadRequestException" else "FAILED"
    return Result(_BULK_BY_NAME.get(name, otherwise), error=text)


def merged_tags(
    defaults: Sequence[Mapping[str, str]], replacements: Sequence[Mapping[str, str]]
) -> list[Mapping[str, str]]:
    """Give the tags of an entry: its own, and those of the call that it has none of the same name for."""
    own = {tag["Name"] for tag in replacements}
    return [*(tag for tag in defaults if tag["Name"] not in own), *replacements]


def merged_headers(
    defaults: Sequence[Mapping[str, str]], replacements: Sequence[Mapping[str, str]]
) -> list[Mapping[str, str]]:
    """Give the header fields of an entry: its own in the place of the template's of the same name, then the rest."""
    own = {header["Name"].lower() for header in replacements}
    return [*(header for header in defaults if header["Name"].lower() not in own), *replacements]


def data_of(text: str) -> dict[str, Any]:
    """Read template data; none is an empty object. Raises Rejected (rendering_data)."""
    return read_data(text) if text else {}


def entry_data(default: Mapping[str, Any], replacement: str) -> Mapping[str, Any]:
    """Give an entry's data: the call's, with its own over it. Raises Rejected (rendering_data)."""
    return merged(default, read_data(replacement)) if replacement else default


def _content(rendered: Rendered, templated: Templated, outgoing: Outgoing, call: Call[ValidateDeps]) -> bytes:
    message: dict[str, Any] = {
        "Subject": {"Data": rendered.subject},
        "Body": {},
        "Headers": templated.headers,
        "Attachments": templated.attachments,
    }
    for name, text, source in (
        ("Text", rendered.text, templated.template.text),
        ("Html", rendered.html, templated.template.html),
    ):
        if source or text:
            message["Body"][name] = {"Data": text}
    return simple_content(templated.given, message, from_=templated.from_, call=call, entry=outgoing.entry)
