"""
SES v2 SendEmail: Simple and Raw content.

Raw without a Destination goes to its header's recipients. FromEmailAddress of a Raw message is its
reverse-path; the From field stays as it is. Templates, list management and tenants are not built: refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_faults import bad_request, not_found, refuse_unsupported
from paravion.api.ses_model import SES_V2
from paravion.api.ses_sending import address_of, destination, send, simple_content, tags_of

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.validate import ValidateDeps

_UNSUPPORTED = (
    "FromEmailAddressIdentityArn",
    "FeedbackForwardingEmailAddressIdentityArn",
    "ListManagementOptions",
    "EndpointId",
    "TenantName",
    "ConfigurationOverrides",
)


@SES_V2.operation("SendEmail")
def send_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send one message. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, _UNSUPPORTED)
    content = given["Content"]
    if len(content) != 1:
        raise bad_request("Content must have exactly one of Simple, Raw and Template.")
    refuse_unsupported(content, ("Template",))
    if given.get("ConfigurationSetName"):
        raise not_found(f"Configuration set <{ascii(given['ConfigurationSetName'])[1:-1][:64]}> does not exist.")
    recipients = destination(given)
    from_ = given.get("FromEmailAddress")
    if "Simple" in content:
        if not from_:
            raise bad_request("FromEmailAddress is required with Simple content.")
        octets = simple_content(given, content["Simple"], from_=from_, call=call)
    else:
        if given.get("ReplyToAddresses"):
            raise bad_request("ReplyToAddresses is not supported with Raw content: put a Reply-To field into it.")
        octets = content["Raw"]["Data"]
    reverse_path: str | None = None
    if given.get("FeedbackForwardingEmailAddress"):
        reverse_path = address_of(given["FeedbackForwardingEmailAddress"], "FeedbackForwardingEmailAddress")
    elif from_:
        reverse_path = address_of(from_, "FromEmailAddress")
    receipt = send(
        call,
        door="ses-v2",
        reverse_path=reverse_path,
        recipients=recipients,
        content=octets,
        tags=tags_of(given.get("EmailTags", ())),
    )
    return {"MessageId": receipt.queue_id}
