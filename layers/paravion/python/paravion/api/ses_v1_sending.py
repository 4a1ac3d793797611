"""
SES v1 SendEmail, SendRawEmail, SendTemplatedEmail and SendBulkTemplatedEmail.

SendRawEmail without Destinations goes to its header's recipients, and without Source its reverse-path is the
header's sender.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V1
from paravion.api.ses_sending import (
    Outgoing,
    address_of,
    destination,
    recipients_of,
    send,
    send_raw,
    simple_content,
    tags_of,
)
from paravion.api.ses_templated import (
    Entry,
    Result,
    Templated,
    data_of,
    entry_data,
    merged_tags,
    send_bulk,
    send_templated,
    stored_template,
)
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.domain.email_template import EmailTemplate
    from paravion.domain.envelope import Recipient
    from paravion.services.validate import ValidateDeps

_STATUSES = {
    "INVALID_PARAMETER": "InvalidParameterValue",
    "CONFIGURATION_SET_NOT_FOUND": "ConfigurationSetDoesNotExist",
    "TEMPLATE_NOT_FOUND": "TemplateDoesNotExist",
}
"""v1's words for a bulk entry's status, where they are not v2's in another case."""


@SES_V1.operation("SendEmail")
def send_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a message that comes in pieces. Raises SesFault, Rejected, Unavailable."""
    outgoing = _outgoing(given, destination(given), given.get("Tags", ()))
    content = simple_content(given, given["Message"], from_=given["Source"], call=call)
    return {"MessageId": send(outgoing, content, call).queue_id}


@SES_V1.operation("SendRawEmail")
def send_raw_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a message as it is. Raises SesFault, Rejected, Unavailable."""
    recipients = recipients_of(given.get("Destinations", ()), "Destinations")
    outgoing = _outgoing(given, recipients, given.get("Tags", ()))
    return {"MessageId": send_raw(outgoing, given["RawMessage"]["Data"], call).queue_id}


@SES_V1.operation("SendTemplatedEmail")
def send_templated_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a message made of a template. Raises SesFault, Rejected, Unavailable."""
    outgoing = _outgoing(given, destination(given), given.get("Tags", ()))
    template = stored_template(given["Template"], given.get("TemplateArn", ""), call)
    templated = Templated(template, data_of(given["TemplateData"]), given["Source"], given)
    return {"MessageId": send_templated(templated, outgoing, call).queue_id}


@SES_V1.operation("SendBulkTemplatedEmail")
def send_bulk_templated_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a template to many, each with its own data. Raises SesFault, Rejected, Unavailable."""
    template = stored_template(given["Template"], given.get("TemplateArn", ""), call)
    default = data_of(given["DefaultTemplateData"])
    tags_of(given.get("DefaultTags", ()))
    entries = [_entry(given, item, number, template, default) for number, item in enumerate(given["Destinations"])]
    return {"Status": [_told(result) for result in send_bulk(entries, call)]}


def _entry(
    given: Mapping[str, Any], item: Mapping[str, Any], number: int, template: EmailTemplate, default: Mapping[str, Any]
) -> Entry:
    try:
        tags = merged_tags(given.get("DefaultTags", ()), item.get("ReplacementTags", ()))
        outgoing = _outgoing(given, destination(item), tags, entry=f":{number}")
        data = entry_data(default, item.get("ReplacementTemplateData", ""))
    except Rejected as exc:
        return Entry(None, None, exc)
    own = {"Destination": item["Destination"], "ReplyToAddresses": given.get("ReplyToAddresses", ())}
    return Entry(outgoing, Templated(template, data, given["Source"], own))


def _told(result: Result) -> dict[str, Any]:
    status = _STATUSES.get(result.status) or result.status.title().replace("_", "")
    return {"Status": status, "Error": result.error or None, "MessageId": result.message_id or None}


def _outgoing(given: Mapping[str, Any], recipients: tuple[Recipient, ...], tags: Any, *, entry: str = "") -> Outgoing:
    reverse_path: str | None = None
    for where in ("ReturnPath", "Source"):
        if given.get(where):
            reverse_path = address_of(given[where], where)
            break
    return Outgoing(
        "ses-v1",
        reverse_path,
        recipients,
        tags_of(tags),
        given.get("ConfigurationSetName", ""),
        source_arn=given.get("SourceArn", ""),
        from_arn=given.get("FromArn", ""),
        return_path_arn=given.get("ReturnPathArn", ""),
        entry=entry,
    )
