"""
A message as octets: read and checked once, then completed by whole fields, never rewritten.

`read_message` splits the content, checks what a mail must be and refuses the rest with the place named;
`complete` gives the header section that is sent. The body is one buffer that nobody edits. No MIME is
parsed here (domain/mime_build.py makes it, a receiver reads it). What is too large to be held is read by
domain/message_reader.py, to the same end.

What passes, and what becomes of it:

    content                              result
    -----------------------------------  ----------------------------------------------------------------
    CRLF line ends                       kept octet for octet
    bare LF                              CRLF, or refused: the caller's policy (RFC 5321 2.3.8)
    bare CR, NUL                         refused, the line named (RFC 5321 2.3.8, 5322 2.1 and 4)
    "From " line of an mbox at the top   dropped (RFC 4155)
    body whose last line has no CRLF     the CRLF is added, as DATA would have to (RFC 5321 4.1.1.4)
    header without a body                an empty body (RFC 5322 3.5: the body is optional)
    no empty line before the body        refused at the first line that is no field, as RFC 5322 2.2 has it
    body without a header                refused: no From, and From is never invented
    header line over 998 octets          refused (RFC 5322 2.1.1), in whatever field: hosts cut or split it, each
                                         in its own way, and the caller can fold it where it means nothing
    body line over 998 octets            kept; `Message.long_line` names the first. RFC 5321 4.5.3.1 lets
                                         hosts take more; a wrapped line would break signatures
    octets over 127 in the header        kept if UTF-8 (RFC 6532); else refused: they have no charset, and no
                                         extension carries them (docs/decisions.md)
    `a@x <a@x>`, `[List] A <a@x>`        kept: what is in angle brackets is the address (domain/address.py)
    other addresses than From's          not read, unless recipients or sender are taken from them
    From, To, Subject, ... twice         refused (RFC 5322 3.6), whatever the case of the names
    From without an address              refused, an empty group (RFC 6854) too: nobody's identity to check
    several authors without a Sender     refused (RFC 5322 3.6.2): nobody could say who answers for it, and
                                         receivers with DMARC refuse them later and less kindly (RFC 7489 6.6.1)
    Sender that is not one mailbox       kept; refused where it decides: as reverse-path, and by identity_check
    Resent-From, Resent-To, ...          kept; the topmost block of them names sender and recipients when these
                                         come from the header (RFC 5322 3.6.6); Resent-Bcc is removed, and
                                         Resent-Date and Resent-Message-ID are added where they are missing
    "------" or ">From " in the header   refused: no field, and no guess at what it was

RFC: 5322, 6532, 6409 8 (completion), 5321 4.4 (trace), 3848 (protocols in Received).
Next on the message's path: services/validate.py puts the header section into qf and the body into df.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from paravion.domain.address import MAX_CLIENT, Mailbox, parse_mailboxes, shown
from paravion.domain.headers import MAX_LINE, Field, format_date, make_field, split_header
from paravion.domain.line_ends import has_whole_lines
from paravion.domain.status import BAD_MESSAGE, MESSAGE_TOO_BIG, RECIPIENT_SYNTAX, SENDER_SYNTAX, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from paravion.domain.status import Status

MAX_HEADER_OCTETS: Final = 512 * 1024
"""Largest header section: thousands of recipients and signatures fit; a body without its empty line does not."""

_SINGLETONS: Final = {
    name.lower(): name.decode("ascii")
    for name in (
        *(b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Bcc"),
        *(b"Message-ID", b"In-Reply-To", b"References", b"Subject", b"Date"),
    )
}
"""RFC 5322 3.6: at most once."""

_SES_PREFIX: Final = b"x-ses-"
_ARNS: Final = {
    b"x-ses-source-arn": "source_arn",
    b"x-ses-from-arn": "from_arn",
    b"x-ses-return-path-arn": "return_path_arn",
}
_CONFIGURATION_SET: Final = b"x-ses-configuration-set"
_MESSAGE_TAGS: Final = b"x-ses-message-tags"
_LIST_OPTIONS: Final = b"x-ses-list-management-options"
_TENANT: Final = b"x-ses-tenant"
_OWN_PREFIX: Final = b"x-paravion-"

_REMOVED: Final = frozenset(
    {b"bcc", b"resent-bcc", b"return-path", _CONFIGURATION_SET, _MESSAGE_TAGS, _LIST_OPTIONS, *_ARNS}
)

OBSOLETE_FROM: Final = re.compile(rb"From[ \t]*:")
EMPTY_LINE: Final = re.compile(rb"\n\r?\n")
BARE_CR: Final = re.compile(rb"\r(?!\n)")
BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_PIECE: Final = 1 << 18  # octets normalised at a time


class LargeBody(Protocol):
    """A body that lies elsewhere, and is read in pieces of bounded size, any number of times."""

    def __len__(self) -> int: ...

    def pieces(self) -> Iterator[bytes]:
        """Give its octets in order."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Give its octets from `start` to before `end`, both within it."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """
    A message that passed `read_message`, or domain/message_reader.py.

    Attributes:
        fields: In order, octets as submitted.
        body: CRLF line ends, one at its end unless it is empty; dots are not stuffed.
        is_8bit: The body holds octets over 127: BODY=8BITMIME (RFC 6152).
        header_is_utf8: The header section does: the message needs SMTPUTF8 (RFC 6531).
        long_line: Number of the first body line over 998 octets, 0 if there is none.
        authors: The mailboxes of From, at least one.
    """

    fields: tuple[Field, ...]
    body: bytes | LargeBody = field(repr=False)
    is_8bit: bool
    header_is_utf8: bool
    long_line: int
    authors: tuple[Mailbox, ...]

    def values(self, name: bytes) -> list[bytes]:
        """Give the unfolded values of all fields of a name, in order."""
        key = name.lower()
        return [item.value for item in self.fields if item.key == key]


def read_message(content: bytes, *, max_octets: int, bare_lf: str = "normalise") -> Message:
    """
    Split and check a message, by the module's table.

    Args:
        content: Header and body.
        max_octets: Largest content, counted with CRLF line ends (RFC 1870 5).
        bare_lf: "normalise" or "refuse".

    Raises:
        Rejected: BAD_MESSAGE or MESSAGE_TOO_BIG, the detail naming field or line.
        ValueError: An unknown policy.

    The body is copied once; beside it memory holds a header section and one piece of 256 KiB.
    """
    check_policy(bare_lf)
    if len(content) > max_octets:
        raise too_big(len(content), max_octets)
    bare_count = _check_line_ends(content)
    if bare_count and bare_lf == "refuse":
        raise _bad_octet(content, _first(BARE_LF, content), NO_CR)
    if len(content) + bare_count > max_octets:
        raise too_big(len(content) + bare_count, max_octets, "with CRLF line ends, ")

    start = _after_mbox_line(content)
    header_end, body_start = _split_at(content, start)
    if header_end - start > MAX_HEADER_OCTETS:
        raise header_too_big()
    section = content[start:header_end]
    fields, authors = checked_fields(crlf(section) if bare_count else section)
    body = _body(content, body_start, normalise=bool(bare_count))
    return Message(
        fields=fields,
        body=body,
        is_8bit=not body.isascii(),
        header_is_utf8=not section.isascii(),
        long_line=_first_long_line(body),
        authors=authors,
    )


NO_CR: Final = "line feed without carriage return"
NO_LF: Final = "carriage return without line feed"


def check_policy(bare_lf: str) -> None:
    """Raises ValueError: An unknown policy."""
    if bare_lf not in {"normalise", "refuse"}:
        raise ValueError(f"bare_lf={bare_lf!r}")


def too_big(octets: int, limit: int, how: str = "") -> Rejected:
    """Give the refusal of a content of so many octets; `how` they are counted."""
    counted = f"{octets} octets {how}" if how else f"{octets} octets, "
    return Rejected(MESSAGE_TOO_BIG, f"{counted}{limit} are allowed")


def header_too_big() -> Rejected:
    """Give the refusal of a header section over MAX_HEADER_OCTETS."""
    return Rejected(
        MESSAGE_TOO_BIG,
        f"header section of more than {MAX_HEADER_OCTETS} octets; is the empty line after it missing?",
    )


def bad_octet(line: int, column: int, what: str) -> Rejected:
    """Give the refusal of an octet that no message may hold; lines and columns count from 1."""
    return Rejected(BAD_MESSAGE, f"line {line} of the message, octet {column}: {what}")


def checked_fields(section: bytes) -> tuple[tuple[Field, ...], tuple[Mailbox, ...]]:
    """Give the fields of a header section with CRLF line ends, and its authors. Raises Rejected: BAD_MESSAGE."""
    fields = tuple(split_header(section))
    _check_singletons(fields)
    return fields, _check_authors(fields)


def _check_line_ends(content: bytes) -> int:
    """Refuse NUL and bare CR; give the number of bare LFs. Three counts beat any pattern by far."""
    is_whole = has_whole_lines(content)
    pairs = 0 if is_whole else content.count(b"\r\n")
    if not is_whole and content.count(b"\r") != pairs:
        raise _bad_octet(content, _first(BARE_CR, content), NO_LF)
    if (at := content.find(b"\0")) >= 0:
        raise _bad_octet(content, at, "NUL")
    return 0 if is_whole else content.count(b"\n") - pairs


def _first(pattern: re.Pattern[bytes], content: bytes) -> int:
    match = pattern.search(content)
    return match.start() if match else 0


def _bad_octet(content: bytes, at: int, what: str) -> Rejected:
    line = content.count(b"\n", 0, at) + 1
    return bad_octet(line, at - content.rfind(b"\n", 0, at), what)


def _after_mbox_line(content: bytes) -> int:
    """Give where the message begins; `From :` is an obsolete field, not an mbox line (RFC 5322 4.5)."""
    if not content.startswith(b"From ") or OBSOLETE_FROM.match(content):
        return 0
    return content.find(b"\n") + 1


def _split_at(content: bytes, start: int) -> tuple[int, int]:
    """Give where the header section ends, its last line end included, and where the body begins."""
    for empty_line in (b"\r\n", b"\n"):
        if content.startswith(empty_line, start):
            return start, start + len(empty_line)
    # A body of LF lines only would be searched whole for CRLF CRLF: the pattern finds either in one pass.
    match = EMPTY_LINE.search(content, start)
    if match is None:
        return len(content), len(content)
    return match.start() + 1, match.end()


def _body(content: bytes, start: int, *, normalise: bool) -> bytes:
    """Copy the body out of the content, once."""
    if start == len(content):
        return b""
    end = b"" if content.endswith(b"\n") else b"\r\n"
    if not normalise:
        return b"".join((memoryview(content)[start:], end)) if end else content[start:]
    # Piece by piece into one buffer, which getvalue hands over without another copy.
    buffer = io.BytesIO()
    while start < len(content):
        stop = start + _PIECE
        if content[stop - 1 : stop] == b"\r":
            stop += 1
        buffer.write(crlf(content[start:stop]))
        start = stop
    buffer.write(end)
    return buffer.getvalue()


def crlf(octets: bytes) -> bytes:
    """Make every line end CRLF; there is no bare CR."""
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _first_long_line(body: bytes) -> int:
    """Give the number of the first line over 998 octets, or 0, in steps of up to a line's length."""
    position = 0
    room = MAX_LINE + 2
    while position < len(body):
        line_end = body.rfind(b"\n", position, position + room)
        if line_end < 0:
            return body.count(b"\n", 0, position) + 1
        position = line_end + 1
    return 0


def _check_singletons(fields: Iterable[Field]) -> None:
    seen: set[bytes] = set()
    for item in fields:
        key = item.key
        if key in _SINGLETONS:
            if key in seen:
                raise Rejected(BAD_MESSAGE, f"{_SINGLETONS[key]}: field is there more than once (RFC 5322 3.6)")
            seen.add(key)


def _check_authors(fields: Iterable[Field]) -> tuple[Mailbox, ...]:
    values = {item.key: item.value for item in fields if item.key in {b"from", b"sender"}}
    if b"from" not in values:
        raise Rejected(BAD_MESSAGE, "From: field is missing")
    try:
        authors = _authors(values[b"from"])
    except ValueError as exc:
        raise Rejected(BAD_MESSAGE, f"From: {exc}") from exc
    if not authors:
        raise Rejected(BAD_MESSAGE, "From: field has no address")
    if len(authors) > 1 and b"sender" not in values:
        raise Rejected(BAD_MESSAGE, f"From: {len(authors)} addresses need a Sender field (RFC 5322 3.6.2)")
    return authors


def _authors(value: bytes) -> tuple[Mailbox, ...]:
    """Read From. Who sends a lot sends it under one name; what is long is read anew, so that little is kept."""
    return _kept_authors(value) if len(value) <= MAX_LINE else tuple(parse_mailboxes(value))


@lru_cache(256)
def _kept_authors(value: bytes) -> tuple[Mailbox, ...]:
    return tuple(parse_mailboxes(value))


def complete(message: Message, *, queue_id: str, now: float, hostname: str, trace: bytes, restamp: bool) -> bytes:
    """
    Give the header section to send, CRLF after each field, without the empty line that ends it.

    Order: `trace`, the fields as they came, and, where missing, Date and Message-ID behind the last
    Received (RFC 5322 3.6: trace fields stay together at the top); Resent-Date and Resent-Message-ID at the
    head of the block of a sending-on that nobody has passed on yet (RFC 5322 3.6.6). Bcc, Return-Path and the
    fields that steer us are left out; all others keep their octets.

    Args:
        message: As read.
        queue_id: Becomes Message-ID's left side, and Resent-Message-ID's.
        now: Seconds since the epoch, for Date.
        hostname: Ours; Message-ID's right side.
        trace: Complete fields (`received_field`) or b"".
        restamp: Put our Date and Message-ID in the places of the original ones, as SES does.

    Raises:
        ValueError: `trace` does not end with CRLF.
    """
    if trace and not trace.endswith(b"\r\n"):
        raise ValueError("trace fields end with CRLF")
    missing: dict[bytes, Callable[[], bytes]] = {
        b"date": lambda: make_field("Date", format_date(now)),
        b"message-id": lambda: make_field("Message-ID", f"<{queue_id}@{hostname}>"),
    }
    resent_at, resent = _missing_of_resent(message, queue_id, now, hostname)
    parts = [trace]
    missing_at = 1
    for item in message.fields:
        key = item.key
        if item is resent_at:
            parts += resent
        if key in _REMOVED or key.startswith(_OWN_PREFIX):
            continue
        stamp = missing.pop(key, None)
        if stamp and restamp:
            parts.append(stamp())
            continue
        parts += (item.raw, b"\r\n")
        if key == b"received":
            missing_at = len(parts)
    parts[missing_at:missing_at] = [stamp() for stamp in missing.values()]
    return b"".join(parts)


_RESENT_BY: Final = frozenset({b"resent-from", b"resent-sender", b"resent-to", b"resent-cc"})
"""Fields that somebody who sends a message on writes, and that others see."""


def _missing_of_resent(message: Message, queue_id: str, now: float, hostname: str) -> tuple[Field | None, list[bytes]]:
    """
    Give what this sending-on lacks, and the field before which it belongs; (None, []) when nobody sends on.

    A block below a Received field is of an earlier sending-on: its date was never ours to give.
    """
    first = next((item for item in message.fields if item.key.startswith((b"resent-", b"received"))), None)
    if first is None or first.key == b"received":
        return None, []
    names = {item.key for item in _resent(message)}
    if not names & _RESENT_BY:
        return None, []
    missing: list[bytes] = []
    if b"resent-date" not in names:
        missing.append(make_field("Resent-Date", format_date(now)))
    if b"resent-message-id" not in names:
        missing.append(make_field("Resent-Message-ID", f"<{queue_id}.resent@{hostname}>"))
    return first, missing


_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[!-Z^-~]+\])"
_CLIENT: Final = re.compile(rf"{_HOST}(?: \([ !-'*-:<-\[\]-~]*\))?")
_COMMENT_SPECIAL: Final = re.compile(r"[^ !-'*-:<-\[\]-~]")


def received_field(
    *, client: str, hostname: str, protocol: str, queue_id: str, for_path: str | None, now: float
) -> bytes:
    """
    Make the Received field of one submission.

    Args:
        client: Host name or address literal, perhaps with a comment; "" leaves the from clause out.
            Anything else is put into a comment, its special characters as `?`.
        hostname: Ours.
        protocol: "ESMTPSA", "HTTPS", ... (RFC 3848).
        queue_id: For the id clause.
        for_path: The forward-path if the mail has a single one; None otherwise, so that no recipient
            learns of another (RFC 5321 7.2). UTF-8 only in a message that needs SMTPUTF8 anyway.
        now: Seconds since the epoch.

    Returns:
        The field with CRLF at its end.

    Raises:
        ValueError: CR, LF or another control character in an argument.

    RFC: 5321 4.4.
    """
    client = client[:MAX_CLIENT]
    if client and not _CLIENT.fullmatch(client):
        client = f"unknown ({_COMMENT_SPECIAL.sub('?', client)})"
    source = f"from {client} " if client else ""
    target = f" for <{for_path}>" if for_path is not None else ""
    value = f"{source}by {hostname} (paravion) with {protocol} id {queue_id}{target}; {format_date(now)}"
    return make_field("Received", value, utf8=True)


@dataclass(frozen=True, slots=True)
class Controls:
    """
    What the fields that steer the send say; none of them is sent on.

    Attributes:
        configuration_set: Of X-SES-CONFIGURATION-SET, or "".
        tags: Name and value pairs of X-SES-MESSAGE-TAGS, in order.
        arns: Of X-SES-SOURCE-ARN, -FROM-ARN and -RETURN-PATH-ARN, by the names that Submission has for them.
        list_options: Value of X-SES-LIST-MANAGEMENT-OPTIONS, unread (domain/contacts.py), or "".
    """

    configuration_set: str
    tags: tuple[tuple[str, str], ...]
    arns: Mapping[str, str]
    list_options: str = ""


NO_CONTROLS: Final = Controls("", (), {})
"""What `control_fields` gives for a message without any of them."""

_CONTROL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")  # SES's tags; its configuration sets stop at 64
_MAX_CONFIGURATION_SET: Final = 64


def control_fields(message: Message) -> Controls:
    """
    Read SES's control fields.

    Raises:
        Rejected: BAD_MESSAGE; a malformed value, a field twice, a tag named twice, or X-SES-TENANT, which SES obeys
            and we do not have.
    """
    steering = [item for item in message.fields if item.key.startswith(_SES_PREFIX)]
    return _controls(steering) if steering else NO_CONTROLS


def _controls(fields: Iterable[Field]) -> Controls:
    sets: list[str] = []
    tags: dict[str, str] = {}
    arns: dict[str, str] = {}
    lists: list[str] = []
    for item in fields:
        key = item.key
        if key == _CONFIGURATION_SET:
            sets.append(_control_name("X-SES-CONFIGURATION-SET", item.value, _MAX_CONFIGURATION_SET))
        elif key == _MESSAGE_TAGS:
            _read_tags(item.value, tags)
        elif key == _LIST_OPTIONS:
            lists.append(item.value.decode("utf-8", "replace"))
        elif key in _ARNS:
            if _ARNS[key] in arns:
                raise Rejected(BAD_MESSAGE, f"{key.decode('ascii').upper()}: field is there more than once")
            arns[_ARNS[key]] = item.value.decode("utf-8", "replace")
        elif key == _TENANT:
            raise Rejected(BAD_MESSAGE, "X-SES-TENANT: the tenants of Amazon's fleet are not offered here")
    if len(sets) > 1:
        raise Rejected(BAD_MESSAGE, "X-SES-CONFIGURATION-SET: field is there more than once")
    if len(lists) > 1:
        raise Rejected(BAD_MESSAGE, "X-SES-LIST-MANAGEMENT-OPTIONS: field is there more than once")
    return Controls(sets[0] if sets else "", tuple(tags.items()), arns, "".join(lists))


def _control_name(field_name: str, octets: bytes, longest: int) -> str:
    text = octets.strip(b" \t").decode("utf-8", "replace")
    if len(text) > longest or not _CONTROL_NAME.fullmatch(text):
        raise Rejected(
            BAD_MESSAGE, f"{field_name}: '{shown(text)}' is not 1 to {longest} of letters, digits, '_' and '-'"
        )
    return text


def _read_tags(value: bytes, tags: dict[str, str]) -> None:
    for pair in value.split(b","):
        if not pair.strip(b" \t"):
            continue
        name_octets, equals, value_octets = pair.partition(b"=")
        if not equals:
            raise Rejected(BAD_MESSAGE, f"X-SES-MESSAGE-TAGS: '{shown(pair.strip())}' is not of the form name=value")
        name = _control_name("X-SES-MESSAGE-TAGS", name_octets, 256)
        if name in tags:
            raise Rejected(BAD_MESSAGE, f"X-SES-MESSAGE-TAGS: '{shown(name)}' is there more than once")
        tags[name] = _control_name("X-SES-MESSAGE-TAGS", value_octets, 256)


def hop_count(message: Message) -> int:
    """Count the Received fields: the hops behind the message (RFC 5321 6.3)."""
    return sum(item.key == b"received" for item in message.fields)


def header_recipients(message: Message) -> list[str]:
    """
    Give the addresses of To, then Cc, then Bcc, in order, each once; [] when there is none.

    Of a message that was sent on by hand, those of the topmost Resent-To, -Cc and -Bcc (RFC 5322 3.6.6, and
    as sendmail and Postfix have it): who got the original does not get it again.

    Raises:
        Rejected: RECIPIENT_SYNTAX, the detail naming the field.
    """
    found: dict[str, None] = {}
    block = _resent(message)
    names = (b"Resent-To", b"Resent-Cc", b"Resent-Bcc") if block else (b"To", b"Cc", b"Bcc")
    for name in names:
        for item in block or message.fields:
            if item.key == name.lower():
                found.update(dict.fromkeys(_addresses(name, item.value, RECIPIENT_SYNTAX)))
    return list(found)


def _resent(message: Message) -> tuple[Field, ...]:
    """
    Give the topmost block of Resent- fields, () if there is none.

    Each sending-on puts its block on top; between two of them stands a trace field, or a name comes again.
    """
    block: dict[bytes, Field] = {}
    for item in message.fields:
        key = item.key
        if key.startswith(b"resent-"):
            if key in block:
                break
            block[key] = item
        elif block and key in {b"received", b"return-path"}:
            break
    return tuple(block.values())


def _addresses(name: bytes, value: bytes, row: Status) -> list[str]:
    try:
        return [mailbox.address for mailbox in parse_mailboxes(value)]
    except ValueError as exc:
        raise Rejected(row, f"{name.decode('ascii')}: {exc}") from exc


def responsible_addresses(message: Message) -> list[str]:
    """
    Give every address of From and Sender: whoever sends the message must be allowed to use them all.

    Raises:
        Rejected: SENDER_SYNTAX; Sender is no list of addresses.
    """
    found = [author.address for author in message.authors]
    for value in message.values(b"Sender"):
        found += _addresses(b"Sender", value, SENDER_SYNTAX)
    return found


def header_sender(message: Message) -> str:
    """
    Give the address of Sender if there is one, else the first of From.

    Of a message that was sent on by hand, those of the topmost Resent-Sender and Resent-From, if any.

    Raises:
        Rejected: SENDER_SYNTAX; Sender is not exactly one mailbox, or Resent-From none.
    """
    resent = {item.key: item.value for item in _resent(message)}
    sender = [(b"Resent-Sender", resent.get(b"resent-sender"))]
    if not resent.keys() & {b"resent-sender", b"resent-from"}:
        sender = [(b"Sender", value) for value in message.values(b"Sender")]
    for name, value in sender:
        if value is not None:
            found = _addresses(name, value, SENDER_SYNTAX)
            if len(found) != 1:
                raise Rejected(
                    SENDER_SYNTAX, f"{name.decode('ascii')}: {len(found)} addresses, RFC 5322 3.6.2 wants one"
                )
            return found[0]
    if b"resent-from" in resent:
        found = _addresses(b"Resent-From", resent[b"resent-from"], SENDER_SYNTAX)
        if not found:
            raise Rejected(SENDER_SYNTAX, "Resent-From: field has no address")
        return found[0]
    return message.authors[0].address
