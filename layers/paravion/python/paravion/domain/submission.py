"""
What a door hands to `services/validate.py`: one message as somebody wants it sent, before any check.

Next on the message's path: services/validate.py checks, completes and commits it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from paravion.domain.credential import ANYTHING, Scope

if TYPE_CHECKING:
    from collections.abc import Generator

    from paravion.domain.envelope import DeliverBy, Recipient

IN_MEMORY_OCTETS: Final = 2 << 20
"""An upload up to this is held as a whole, which is the quicker road for it; from here on pieces cost no more CPU
(docs/performance.md). What comes in a request is never much more: Lambda takes 6 MB, base64 included."""


@dataclass(frozen=True, slots=True)
class Submission:
    r"""
    One message as a door received it.

    Attributes:
        principal: The authenticated credential's id.
        tenant: The credential's (domain/tenant.py): whose configuration set and templates are meant.
        door: "ses-v2", "ses-v1", "http", "smtp" or "sendmail".
        reverse_path: Without angle brackets; "" for null; None: take it from the header (Sender, else From).
        recipients: As given by the door, unchecked, in its order.
        content: The message, header and body, any line ends; unchecked. An upload of more than IN_MEMORY_OCTETS comes
            in pieces, which are read once, from where it lies.
        recipients_from_header: Also deliver to To, Cc and Bcc of the header (sendmail -t, SES raw mail
            without a destination).
        restamp: Replace Message-ID and Date by our own, as SES does at its doors.
        idempotency_key: Repeats under one key by one principal are one message; "" for none.
        protocol: With which the door received it, in RFC 3848's words; "" where the door says it all.
        aliasing: Expand virtual users and aliases; sendmail's -n says no. A recipient with a backslash before it,
            as in `\root@example.org`, is not looked up in them either.
        tls_required: It must not leave us in clear.
        requiretls: Nor any host behind us (RFC 8689 2); comes with tls_required.
        scope: The credential's: whom it may send as.
        release_at: Nothing is sent before; seconds since the epoch, 0 for at once.
        priority: One of domain/priority.py's that may be asked for; "": by configuration set and header.
        deliver_by: When it must be delivered; None: whenever that is.
        contact_list, topic: Whose mail it is (services/list_management.py); "" for none.
        source_arn, from_arn, return_path_arn: SES's sending authorisation (services/arns.py); "" for none.
        endpoint: Base URL under which the caller reached us, "" if the door does not know.
        client: What stands in the Received field's from clause, printable ASCII, e.g. `[192.0.2.7]`.
    """

    principal: str
    door: str
    reverse_path: str | None
    recipients: tuple[Recipient, ...]
    content: bytes | Generator[bytes, None, None]
    recipients_from_header: bool = False
    restamp: bool = False
    body_type: str = ""
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    idempotency_key: str = ""
    configuration_set: str = ""
    tags: tuple[tuple[str, str], ...] = field(default=())
    client: str = ""
    protocol: str = ""
    aliasing: bool = True
    tls_required: bool = False
    requiretls: bool = False
    release_at: float = 0.0
    priority: str = ""
    deliver_by: DeliverBy | None = None
    tenant: str = ""
    scope: Scope = ANYTHING
    contact_list: str = ""
    topic: str = ""
    endpoint: str = ""
    source_arn: str = ""
    from_arn: str = ""
    return_path_arn: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    The promise: the message is kept.

    Attributes:
        recipient_count: After expansion.
        repeated: An earlier submission under the same idempotency key had been accepted.
    """

    queue_id: str
    recipient_count: int
    repeated: bool = False
