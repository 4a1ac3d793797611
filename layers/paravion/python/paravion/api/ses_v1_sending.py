"""
SES v1 SendEmail and SendRawEmail.

SendRawEmail without Destinations goes to its header's recipients, and without Source its reverse-path is the
header's sender. The sending authorisation ARNs are not built: refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_faults import SesFault, refuse_unsupported
from paravion.api.ses_model import SES_V1
from paravion.api.ses_sending import (
    address_of,
    destination,
    recipients_of,
    send,
    simple_content,
    tags_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.services.validate import ValidateDeps


@SES_V1.operation("SendEmail")
def send_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a message that comes in pieces. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, ("SourceArn", "ReturnPathArn"))
    _refuse_configuration_set(given)
    recipients = destination(given)
    where, bounces_to = ("ReturnPath", given["ReturnPath"]) if given.get("ReturnPath") else ("Source", given["Source"])
    receipt = send(
        call,
        door="ses-v1",
        reverse_path=address_of(bounces_to, where),
        recipients=recipients,
        content=simple_content(given, given["Message"], from_=given["Source"], call=call),
        tags=tags_of(given.get("Tags", ())),
    )
    return {"MessageId": receipt.queue_id}


@SES_V1.operation("SendRawEmail")
def send_raw_email(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a message as it is. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, ("FromArn", "SourceArn", "ReturnPathArn"))
    _refuse_configuration_set(given)
    receipt = send(
        call,
        door="ses-v1",
        reverse_path=address_of(given["Source"], "Source") if given.get("Source") else None,
        recipients=recipients_of(given.get("Destinations", ()), "Destinations"),
        content=given["RawMessage"]["Data"],
        tags=tags_of(given.get("Tags", ())),
    )
    return {"MessageId": receipt.queue_id}


def _refuse_configuration_set(given: Mapping[str, Any]) -> None:
    """No configuration sets are built, so that none exists."""
    name = given.get("ConfigurationSetName")
    if name:
        text = f"Configuration set <{ascii(name)[1:-1][:64]}> does not exist."
        raise SesFault("ConfigurationSetDoesNotExistException", text)
