"""
Build a delivery status notification: one report for all recipients that share a notice.

Three parts: words for the sender (domain/dsn_text.py, dsn_html.py), fields for programs, and the original's header or
the whole of it. Texts of remote hosts are escaped and cut, so that nothing in them can open a field, a
line or a part. Deterministic: the same report gives the same octets, so that a repeated one is one message.
Does not decide who hears of what, nor whether the original is returned whole (services/bounce.py).

RFC: 3464 (delivery-status), 6522 (multipart/report), 3461 6 (what RFC 3461 parameters become), 3834 5
(Auto-Submitted), 6533 (internationalised addresses), 8689 5 (mail that must not travel in clear), 4865
(mail that was sent later), 2852 (mail with a deadline).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from paravion.domain import dsn_text
from paravion.domain.address import xtext_decode
from paravion.domain.dsn_html import html
from paravion.domain.headers import encode_words, format_date, format_mailbox, make_field
from paravion.domain.mime_build import Entity, multipart, quoted_printable, text_entity
from paravion.domain.queue import NoticeKind
from paravion.domain.report_words import chosen

if TYPE_CHECKING:
    from paravion.domain.envelope import Envelope, Recipient
    from paravion.domain.outcome import Outcome
    from paravion.domain.queue import RecipientState

_TEXT_OCTETS: Final = 500
"""Longest foreign text in a field; even without a space to fold at it stays below RFC 5322's 998."""

_ACTIONS: Final = {
    NoticeKind.FAILED: ("failed", 5),
    NoticeKind.EXPIRED: ("failed", 5),
    NoticeKind.RETURNED: ("failed", 5),
    NoticeKind.DELAYED: ("delayed", 4),
    NoticeKind.RELAYED: ("relayed", 2),
    NoticeKind.DELIVERED: ("delivered", 2),
    NoticeKind.LISTED: ("delivered", 2),
    NoticeKind.EXPANDED: ("expanded", 2),
}
"""Action (RFC 3464 2.3.3) and the class that every status in the report has."""

_FROM: Final = "Mail Delivery System"
"""In every language, for programs know a report by it."""

_HEADER_OCTETS: Final = 50_000
"""A longer header of the original is cut after a whole field."""

_REDACTED: Final = re.compile(rb"^(?:Message-ID|Date):[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_STATUS: Final = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})")
_ADDRESS_TYPE: Final = re.compile(r"[0-9A-Za-z-]{1,40}")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")


@dataclass(frozen=True, slots=True)
class Report:
    """
    Everything that a notification says.

    Attributes:
        queue_id: Of the notification, not of the original.
        hostname: Ours: Reporting-MTA, and the domain of the sender's address and of the Message-ID.
        now: Seconds since the epoch.
        to: Whom we tell, `local@domain`; the original's reverse-path.
        envelope: Of the original.
        members: Whom the report speaks of: at least one.
        original_header: Its header section, CRLF line ends, without the empty line after it.
        original_body: None: return the header only, as for RET=HDRS, and for every report that tells of
            no failure (RFC 3461 4.3).
        return_at: When mail that is still delayed will be given up, seconds since the epoch.
        is_cut: The body would come back, but for its size.
        language: One of domain/report_words.
    """

    queue_id: str
    hostname: str
    now: float
    to: str
    kind: NoticeKind
    envelope: Envelope
    members: tuple[tuple[Recipient, RecipientState], ...]
    original_header: bytes
    original_body: bytes | None
    return_at: float
    is_cut: bool = False
    language: str = "en"

    @property
    def is_redacted(self) -> bool:
        """
        The mail must not travel in clear, and a report may: subject, header and content stay out (RFC 8689 5).
        """
        return self.envelope.tls_required

    @property
    def is_international(self) -> bool:
        """Its addressee reads RFC 6533's forms: one with an address in ASCII may have a program that doesn't."""
        return self.envelope.smtputf8 and not self.to.isascii()

    @property
    def from_(self) -> str:
        """The address in the From field; the reverse-path is null all the same."""
        return f"MAILER-DAEMON@{self.hostname}"


def build_dsn(report: Report) -> tuple[bytes, bytes]:
    """
    Give header section (CRLF line ends, without the empty line after it) and body of the notification.

    The body has 8-bit octets exactly if a returned whole original has (body type 8BITMIME, then); the header,
    if `report.to` has (SMTPUTF8, then).

    Raises:
        ValueError: Nobody to tell, or nothing to tell (a caller's bug).
    """
    if not report.to or not report.members:
        raise ValueError("a report needs an addressee and members")
    original, status = _original(report), _delivery_status(report)
    eight_bit = not all(octets.isascii() for octets in (*original.pieces, *status.pieces))
    subject, words = _words(report)
    root = multipart(
        "report",
        (words, status, original),
        seed=report.queue_id,
        encoding="8bit" if eight_bit else "",
        parameter="report-type=delivery-status",
    )
    fields = [
        make_field("From", format_mailbox(_FROM, report.from_)),
        make_field("To", report.to, utf8=True),
        make_field("Subject", encode_words(subject)),
        make_field("Date", format_date(report.now)),
        make_field("Message-ID", f"<{report.queue_id}@{report.hostname}>"),
    ]
    cause = _MESSAGE_ID.search(dsn_text.original_fields(report.original_header).get(b"message-id", ""))
    if cause:
        fields += [make_field("In-Reply-To", cause[0]), make_field("References", cause[0])]
    if report.envelope.tls_optional:
        # Its sender hears of what TLS prevents sooner over a connection without it (RFC 8689 3).
        fields.append(make_field("TLS-Required", "No"))
    fields += [make_field("Auto-Submitted", "auto-replied"), make_field("MIME-Version", "1.0"), *root.fields]
    return b"".join(fields), b"".join(root.pieces)


def language_of(header: bytes, otherwise: str) -> str:
    """Give the language in which the sender of a mail with this header is told, one of domain/report_words."""
    fields = dsn_text.original_fields(header)
    return chosen(fields.get(b"accept-language", ""), fields.get(b"content-language", ""), otherwise)


def _words(report: Report) -> tuple[str, Entity]:
    """Give the subject, and the part for people: as plain text and as HTML (RFC 2046 5.1.4: the plain first)."""
    subject, blocks = dsn_text.explain(report)
    text = dsn_text.plain(blocks)
    language = make_field("Content-Language", report.language)
    parts = [
        replace(entity, fields=(*entity.fields, language))
        for entity in (
            text_entity(text, charset="us-ascii" if text.isascii() else "utf-8"),
            text_entity(html(subject, blocks, report.language), charset="utf-8", subtype="html"),
        )
    ]
    return subject, multipart("alternative", parts, seed=report.queue_id)


def _delivery_status(report: Report) -> Entity:
    envelope = report.envelope
    fields = [make_field("Reporting-MTA", f"dns; {report.hostname}")]
    if envelope.envid:
        fields.insert(0, make_field("Original-Envelope-Id", _ascii(_decode_xtext(envelope.envid))))
    fields.append(make_field("Arrival-Date", format_date(envelope.queued_at)))
    if envelope.release_at:
        # RFC 4865: as the sender could have asked for it.
        until = datetime.fromtimestamp(int(envelope.release_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields.append(make_field("Future-Release-Request", f"until;{until}"))
    if envelope.deliver_by is not None:
        # RFC 2852
        fields.append(make_field("Deliver-By-Date", format_date(envelope.deliver_by.at)))
    for recipient, state in report.members:
        fields += (b"\r\n", *_recipient_fields(report, recipient, state))
    if all(field.isascii() for field in fields):
        return Entity((make_field("Content-Type", "message/delivery-status"),), tuple(fields))
    # RFC 6533 4
    kind = make_field("Content-Type", "message/global-delivery-status")
    return Entity((kind, make_field("Content-Transfer-Encoding", "8bit")), tuple(fields))


def _recipient_fields(report: Report, recipient: Recipient, state: RecipientState) -> list[bytes]:
    """Give one recipient's fields in the order of RFC 3464 2.3."""
    action, class_ = _ACTIONS[report.kind]
    outcome = state.outcome
    stale = dsn_text.is_stale(report.kind, outcome)
    # An expiry is entered when we give up, some time after the last attempt.
    is_given_up = dsn_text.kind_of(report.kind, state) is NoticeKind.EXPIRED
    tried_at = state.tried_at if is_given_up else state.at if state.attempt else 0.0
    match = None if stale else _STATUS.fullmatch(outcome.status)
    found = [
        ("Original-Recipient", _original_recipient(recipient.orcpt, utf8=report.is_international)),
        ("Final-Recipient", _typed_address(recipient.forward_path, utf8=report.is_international)),
        ("Action", action),
        ("Status", f"{class_}.{match[1] if match else '0.0'}"),
        ("Remote-MTA", "" if stale or not outcome.mx_host else f"dns; {_ascii(outcome.mx_host)}"),
        ("Diagnostic-Code", "" if stale else _diagnostic(outcome)),
        ("Last-Attempt-Date", format_date(tried_at) if tried_at else ""),
        ("Will-Retry-Until", format_date(report.return_at) if report.kind is NoticeKind.DELAYED else ""),
    ]
    return [make_field(name, value, utf8=True) for name, value in found if value]


def _diagnostic(outcome: Outcome) -> str:
    """Give a Diagnostic-Code value: type smtp only for what a remote host really said (RFC 3464 2.3.6)."""
    if not outcome.is_reply:
        # Without a status of its own: programs would take that for the final one.
        text = outcome.last_said[1]
        return f"x-paravion; {_ascii(text)}" if text else ""
    return f"smtp; {_ascii(dsn_text.reply_line(outcome))}"


def _original_recipient(orcpt: str, *, utf8: bool) -> str:
    """Give `type; address` of an ORCPT value, its xtext decoded (RFC 3461 6.3 c), or ""."""
    address_type, semicolon, address = orcpt.partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(address_type):
        return ""
    address = _decode_xtext(address)
    if address_type.lower() == "utf-8" and utf8:
        return f"{address_type}; {_line(dsn_text.unembedded(address), utf8=True)}"
    return f"{address_type}; {_ascii(address)}"


def _typed_address(address: str, *, utf8: bool) -> str:
    # RFC 6533 3: utf-8-addr-xtext keeps the part 7-bit, for a sender who may not know UTF-8 in addresses.
    return f"{'rfc822' if address.isascii() else 'utf-8'}; {_line(address, utf8=utf8)}"


def _decode_xtext(text: str) -> str:
    try:
        return xtext_decode(text)
    except ValueError:
        # The door has checked it; whatever comes here all the same is shown as it came.
        return text


def _ascii(text: str) -> str:
    return _line(text, utf8=False)


def _line(text: str, *, utf8: bool) -> str:
    r"""Give one line of printable text: white space is a space, all else is `\x{HEX}` as in RFC 6533 3."""
    line = " ".join(text.split())
    line = "".join(c if " " <= c <= "~" or (utf8 and c.isprintable()) else f"\\x{{{ord(c):X}}}" for c in line)
    return line if len(line) <= _TEXT_OCTETS else f"{line[:_TEXT_OCTETS]} [...]"


def _header(report: Report) -> bytes:
    """Give as much of the original's header as comes back."""
    header = report.original_header
    if report.is_redacted:
        return b"".join(match[0] for match in _REDACTED.finditer(header))
    if len(header) <= _HEADER_OCTETS:
        return header
    ends = [match.end() for match in re.finditer(rb"\r\n(?![ \t])", header[:_HEADER_OCTETS])]
    return header[: ends[-1]] if ends else b""


def _original(report: Report) -> Entity:
    header, body = _header(report), None if report.is_redacted else report.original_body
    whole = body is not None
    # RFC 6532 3.7, 6533 5: a header in UTF-8 makes it message/global.
    international = report.envelope.smtputf8 and not header.isascii()
    if whole:
        content_type = "message/global" if international else "message/rfc822"
        pieces: tuple[bytes, ...] = (header, b"\r\n", body or b"")
    else:
        content_type = "message/global-headers" if international else "text/rfc822-headers"
        # RFC 6522 3: a header that is broken by stray octets may be encoded; and text may always be.
        pieces = (header,) if header.isascii() else (quoted_printable(header),)
    fields = [make_field("Content-Type", content_type)]
    if not whole and not header.isascii():
        fields.append(make_field("Content-Transfer-Encoding", "quoted-printable"))
    elif not all(octets.isascii() for octets in pieces):
        fields.append(make_field("Content-Transfer-Encoding", "8bit"))
    return Entity(tuple(fields), pieces)
