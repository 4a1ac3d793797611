"""
A bounce that somebody asks for (SES's SendBounce), by RFC 3464: who gets mail by an alias's function, queue, topic or
webhook (domain/target.py) and can't use it tells its sender so.

Our own reports are domain/dsn.py's: they tell what a host said. This one tells what its caller says; where the caller
says only a type of bounce, in the words that SES has for it.

Next: api/ses_v1_bounce.py submits it with a null reverse-path.
RFC: 3464 2, 6522, 3834 (Auto-Submitted), 5321 4.5.5 (null reverse-path).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from paravion.domain import dsn_text
from paravion.domain.headers import encode_words, format_date, make_field
from paravion.domain.mime_build import Entity, multipart, quoted_printable, text_entity
from paravion.domain.status import BAD_REQUEST, Rejected

TYPES: Final = {
    "DoesNotExist": ("failed", "5.1.1", "smtp; 550 5.1.1 mailbox does not exist"),
    "MessageTooLarge": ("failed", "5.3.4", "smtp; 552 5.3.4 message too large"),
    "ExceededQuota": ("failed", "5.2.2", "smtp; 552 5.2.2 mailbox full"),
    "ContentRejected": ("failed", "5.6.1", "smtp; 500 5.6.1 message content rejected"),
    "Undefined": ("failed", "5.0.0", "smtp; 554 5.0.0 unknown failure"),
    "TemporaryFailure": ("failed", "4.0.0", "smtp; 450 4.0.0 temporary failure"),
}
"""Action, status and diagnostic code by SES's type of bounce, as its receipt rules have them."""

_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_REPORTING_MTA: Final = re.compile(r"[A-Za-z0-9-]{1,40};[ ]?[!-~]{1,255}")
_OWNED: Final = frozenset({
    "reporting-mta", "arrival-date", "original-envelope-id", "final-recipient", "original-recipient", "action",
    "status", "remote-mta", "diagnostic-code", "last-attempt-date",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bounced:
    """
    One recipient that the message was not for.

    Attributes:
        recipient: As the original's envelope has it.
        final_recipient: The address in the report, "" for the recipient's.
        action: RFC 3464 2.3.3.
        status: Enhanced status code.
        diagnostic: With its type, "" for none.
        last_attempt_at: Seconds since the epoch, None for none.
        extensions: Further fields, name and value.
    """

    recipient: str
    final_recipient: str
    action: str
    status: str
    diagnostic: str = ""
    remote_mta: str = ""
    last_attempt_at: float | None = None
    extensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SentBounce:
    """
    Everything that the bounce says.

    Attributes:
        from_, to: Addresses.
        explanation: Text for a person, "" for ours.
        reporting_mta: With its type, e.g. `dns; mail.example.org`.
        arrived_at: Of the original, seconds since the epoch.
        original_header: CRLF line ends, without the empty line after it.
    """

    from_: str
    to: str
    explanation: str
    reporting_mta: str
    arrived_at: float
    bounced: tuple[Bounced, ...]
    original_header: bytes
    extensions: tuple[tuple[str, str], ...] = ()


def build_bounce(bounce: SentBounce, *, seed: str) -> bytes:
    """
    Give the message, header and body, without Date and Message-ID (services/validate.py adds them).

    Args:
        seed: Decides the multipart boundary.

    Raises:
        Rejected: bad_request: a field can't be written as asked; the detail names it.
    """
    words = bounce.explanation or _explanation(bounce)
    header = bounce.original_header
    root = multipart(
        "report",
        (
            text_entity(words, charset="us-ascii" if words.isascii() else "utf-8", where="Explanation"),
            _delivery_status(bounce),
            Entity(
                (make_field("Content-Type", "text/rfc822-headers"),)
                + (() if header.isascii() else (make_field("Content-Transfer-Encoding", "quoted-printable"),)),
                (header if header.isascii() else quoted_printable(header),),
            ),
        ),
        seed=seed,
        parameter="report-type=delivery-status",
    )
    fields = [
        make_field("From", bounce.from_),
        make_field("To", bounce.to, utf8=True),
        make_field("Subject", encode_words("Delivery Status Notification (Failure)")),
    ]
    cause = _MESSAGE_ID.search(dsn_text.original_fields(header).get(b"message-id", ""))
    if cause:
        fields += [make_field("In-Reply-To", cause[0]), make_field("References", cause[0])]
    fields += [make_field("Auto-Submitted", "auto-replied"), make_field("MIME-Version", "1.0"), *root.fields]
    return b"".join((*fields, b"\r\n", *root.pieces))


def _explanation(bounce: SentBounce) -> str:
    lines = ["Your message could not be delivered to:", ""]
    lines += [f"    {item.final_recipient or item.recipient}" for item in bounce.bounced]
    return "\r\n".join([*lines, ""])


def _delivery_status(bounce: SentBounce) -> Entity:
    if not _REPORTING_MTA.fullmatch(bounce.reporting_mta):
        raise Rejected(BAD_REQUEST, "MessageDsn.ReportingMta must be of the form dns; name")
    fields = [
        _field("MessageDsn", "Reporting-MTA", bounce.reporting_mta),
        make_field("Arrival-Date", format_date(bounce.arrived_at)),
        *_extensions("MessageDsn", bounce.extensions),
    ]
    for item in bounce.bounced:
        where = "RecipientDsnFields"
        if not _STATUS.fullmatch(item.status):
            raise Rejected(BAD_REQUEST, f"{where}.Status must be of the form 5.1.1")
        fields += (
            b"\r\n",
            _field(where, "Final-Recipient", f"rfc822; {item.final_recipient or item.recipient}"),
            _field(where, "Action", item.action),
            _field(where, "Status", item.status),
        )
        if item.remote_mta:
            fields.append(_field(where, "Remote-MTA", item.remote_mta))
        if item.diagnostic:
            fields.append(_field(where, "Diagnostic-Code", item.diagnostic))
        if item.last_attempt_at is not None:
            fields.append(make_field("Last-Attempt-Date", format_date(item.last_attempt_at)))
        fields += _extensions(where, item.extensions)
    return Entity((make_field("Content-Type", "message/delivery-status"),), tuple(fields))


def _extensions(where: str, pairs: tuple[tuple[str, str], ...]) -> list[bytes]:
    for name, _ in pairs:
        if name.lower() in _OWNED:
            raise Rejected(BAD_REQUEST, f"{where}.ExtensionFields: {name} has a member of its own")
    return [_field(f"{where}.ExtensionFields", name, value) for name, value in pairs]


def _field(where: str, name: str, value: str) -> bytes:
    try:
        return make_field(name, value)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"{where}: {exc}") from exc
