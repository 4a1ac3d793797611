"""
SES v2 SendEmail (Simple, Raw, Template) and SendBulkEmail.

Raw without a Destination goes to its header's recipients. FromEmailAddress of a Raw message is its
reverse-path; the From field stays as it is. Tenants, multi-region endpoints and tracking are not offered: refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import bad_request, refuse_unsupported
from paravion.api.ses_model import SES_V2
from paravion.api.ses_sending import Outgoing, address_of, destination, send, send_raw, simple_content, tags_of
from paravion.api.ses_templated import (
    Entry,
    Result,
    Templated,
    data_of,
    entry_data,
    merged_headers,
    merged_tags,
    send_bulk,
    send_templated,
    template_of,
)
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.domain.email_template import EmailTemplate
    from paravion.domain.envelope import Recipient
    from paravion.services.validate import ValidateDeps

_UNSUPPORTED: Final = ("EndpointId", "TenantName", "ConfigurationOverrides")


@SES_V2.operation("SendEmail")
def send_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send one message. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, _UNSUPPORTED)
    content = given["Content"]
    if len(content) != 1:
        raise bad_request("Content must have exactly one of Simple, Raw and Template.")
    outgoing = _outgoing(given, destination(given), given.get("EmailTags", ()))
    if "Raw" in content:
        if given.get("ReplyToAddresses"):
            raise bad_request("ReplyToAddresses is not supported with Raw content: put a Reply-To field into it.")
        receipt = send_raw(outgoing, content["Raw"]["Data"], call)
    elif "Simple" in content:
        octets = simple_content(given, content["Simple"], from_=_from(given, "Simple"), call=call)
        receipt = send(outgoing, octets, call)
    else:
        part = content["Template"]
        templated = Templated(
            template_of(part, call),
            data_of(part.get("TemplateData", "")),
            _from(given, "Template"),
            given,
            part.get("Headers", ()),
            part.get("Attachments", ()),
        )
        receipt = send_templated(templated, outgoing, call)
    return {"MessageId": receipt.queue_id}


@SES_V2.operation("SendBulkEmail")
def send_bulk_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a template to many, each with its own data. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, _UNSUPPORTED)
    part = given["DefaultContent"].get("Template")
    if part is None:
        raise bad_request("DefaultContent must have a Template.")
    _from(given, "Template")
    template = template_of(part, call)
    default = data_of(part.get("TemplateData", ""))
    tags_of(given.get("DefaultEmailTags", ()))
    entries = [_entry(given, item, number, template, default) for number, item in enumerate(given["BulkEmailEntries"])]
    return {"BulkEmailEntryResults": [_told(result) for result in send_bulk(entries, call)]}


def _entry(
    given: Mapping[str, Any], item: Mapping[str, Any], number: int, template: EmailTemplate, default: Mapping[str, Any]
) -> Entry:
    part = given["DefaultContent"]["Template"]
    replacement = item.get("ReplacementEmailContent", {}).get("ReplacementTemplate", {})
    try:
        tags = merged_tags(given.get("DefaultEmailTags", ()), item.get("ReplacementTags", ()))
        outgoing = _outgoing(given, destination(item), tags, entry=f":{number}")
        templated = Templated(
            template,
            entry_data(default, replacement.get("ReplacementTemplateData", "")),
            given["FromEmailAddress"],
            {"Destination": item["Destination"], "ReplyToAddresses": given.get("ReplyToAddresses", ())},
            merged_headers(part.get("Headers", ()), item.get("ReplacementHeaders", ())),
            part.get("Attachments", ()),
        )
    except Rejected as exc:
        return Entry(None, None, exc)
    return Entry(outgoing, templated)


def _told(result: Result) -> dict[str, Any]:
    return {"Status": result.status, "Error": result.error or None, "MessageId": result.message_id or None}


def _from(given: Mapping[str, Any], kind: str) -> str:
    from_: str = given.get("FromEmailAddress", "")
    if not from_:
        raise bad_request(f"FromEmailAddress is required with {kind} content.")
    return from_


def _outgoing(given: Mapping[str, Any], recipients: tuple[Recipient, ...], tags: Any, *, entry: str = "") -> Outgoing:
    reverse_path: str | None = None
    if given.get("FeedbackForwardingEmailAddress"):
        reverse_path = address_of(given["FeedbackForwardingEmailAddress"], "FeedbackForwardingEmailAddress")
    elif given.get("FromEmailAddress"):
        reverse_path = address_of(given["FromEmailAddress"], "FromEmailAddress")
    options = given.get("ListManagementOptions", {})
    arn = given.get("FromEmailAddressIdentityArn", "")
    return Outgoing(
        "ses-v2",
        reverse_path,
        recipients,
        tags_of(tags),
        given.get("ConfigurationSetName", ""),
        options.get("ContactListName", ""),
        options.get("TopicName", ""),
        source_arn=arn,
        from_arn=arn,
        return_path_arn=given.get("FeedbackForwardingEmailAddressIdentityArn", ""),
        entry=entry,
    )
