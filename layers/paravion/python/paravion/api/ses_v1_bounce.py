"""
SES v1 SendBounce: tell the sender of a message that it is not wanted here.

SES has it for mail that it received. Here mail is received by aliases whose target is a function, queue, topic or
webhook (domain/target.py): these are told the queue id, which is OriginalMessageId. The bounce goes to that message's
reverse-path, and only for recipients that it has, so that nobody can make us write to strangers. It is known for as
long as the spool keeps it, 14 days.

Next: services/validate.py takes the bounce like any mail: BounceSender must be an identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V1
from paravion.api.ses_sending import Outgoing, address_of, send
from paravion.domain import ids
from paravion.domain.address import shown
from paravion.domain.envelope import Envelope, Recipient, decode_qf
from paravion.domain.sent_bounce import TYPES, Bounced, SentBounce, build_bounce
from paravion.domain.status import BAD_REQUEST, NO_SUCH_MESSAGE, RELAY_DENIED, Rejected
from paravion.errors import SpoolMissing
from paravion.services.arns import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.services.validate import ValidateDeps


@SES_V1.operation("SendBounce")
def send_bounce(given: dict[str, Any], call: Call[ValidateDeps]) -> dict[str, Any]:
    """Send a report of failure to the sender of a message. Raises SesFault, Rejected, Unavailable."""
    envelope, header = _original(given["OriginalMessageId"], call)
    sender = address_of(given["BounceSender"], "BounceSender")
    dsn = given.get("MessageDsn", {})
    arrived = dsn.get("ArrivalDate")
    bounce = SentBounce(
        from_=sender,
        to=envelope.reverse_path,
        explanation=given.get("Explanation", ""),
        reporting_mta=dsn.get("ReportingMta") or f"dns; {call.deps.settings.hostname}",
        arrived_at=arrived.timestamp() if arrived else envelope.queued_at,
        bounced=tuple(_bounced(item, envelope) for item in given["BouncedRecipientInfoList"]),
        original_header=header,
        extensions=_pairs(dsn),
    )
    if not bounce.bounced:
        raise Rejected(BAD_REQUEST, "BouncedRecipientInfoList is empty")
    outgoing = Outgoing("ses-v1", "", (Recipient(envelope.reverse_path),), from_arn=given.get("BounceSenderArn", ""))
    return {"MessageId": send(outgoing, build_bounce(bounce, seed=f"bounce {envelope.queue_id}"), call).queue_id}


def _original(queue_id: str, call: Call[ValidateDeps]) -> tuple[Envelope, bytes]:
    """Find the message that is to be bounced: one of the caller's tenant, with somebody to tell."""
    missing = Rejected(NO_SUCH_MESSAGE, f"Message {shown(queue_id)} does not exist.")
    if not ids.is_queue_id(queue_id):
        raise missing
    try:
        envelope, header = decode_qf(call.deps.to_commit.spool.get_envelope(queue_id))
    except SpoolMissing as exc:
        raise missing from exc
    if envelope.tenant != call.principal.tenant:
        raise missing
    if not envelope.reverse_path:
        raise Rejected(NO_SUCH_MESSAGE, f"Message {queue_id} has a null reverse-path: nobody is told of it.")
    return envelope, header


def _bounced(item: Mapping[str, Any], envelope: Envelope) -> Bounced:
    recipient = address_of(item["Recipient"], "Recipient")
    known = {one.casefold() for member in envelope.recipients for one in (member.forward_path, member.origin) if one}
    if recipient.casefold() not in known:
        raise Rejected(RELAY_DENIED, f"{shown(recipient)} is no recipient of message {envelope.queue_id}.")
    if item.get("RecipientArn"):
        # Whose mailbox it was is shown by the envelope; the ARN must at least be one.
        name_of(item["RecipientArn"], "identity", "RecipientArn")
    fields = item.get("RecipientDsnFields")
    if fields is None:
        action, status, diagnostic = TYPES[item.get("BounceType", "Undefined")]
        return Bounced(recipient, "", action, status, diagnostic)
    attempted = fields.get("LastAttemptDate")
    return Bounced(
        recipient,
        address_of(fields["FinalRecipient"], "FinalRecipient") if fields.get("FinalRecipient") else "",
        fields["Action"],
        fields["Status"],
        fields.get("DiagnosticCode", ""),
        fields.get("RemoteMta", ""),
        attempted.timestamp() if attempted else None,
        _pairs(fields),
    )


def _pairs(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((item["Name"], item["Value"]) for item in given.get("ExtensionFields", ()))
