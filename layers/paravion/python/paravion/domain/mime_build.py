"""
Build a MIME message from its pieces, as SES's Simple content names them.

Deterministic: the same pieces and the same seed give the same octets, so that a repeated submission is the
same message. Adds no Date and no Message-ID (services/validate.py completes the header), and reads nothing
but its arguments: content types come from the small table below. The result needs no 8BITMIME, unless an
attached message (message/rfc822) does, which must not be encoded.

Shape, each level only if it is needed: mixed(related(alternative(text, html), inline…), attachment…).

`Entity`, `text_entity` and `multipart` also serve domain/dsn.py, the encoders domain/seven_bit.py.

RFC: 2045 (transfer encodings), 2046 5.1 (multipart), 2047 and 2231 (text in fields), 2183 (disposition),
2387 (related), 2392 (Content-ID), 5322 3.4 (mailboxes). Limits of custom headers: SES v2 `MessageHeader`.
"""

from __future__ import annotations

import binascii
import codecs
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paravion.domain.address import parse_mailboxes, shown
from paravion.domain.headers import encode_words, format_date, format_mailbox, format_param, make_field
from paravion.domain.ids import boundary_from
from paravion.domain.status import BAD_REQUEST, RECIPIENT_SYNTAX, SENDER_SYNTAX, Rejected, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LINE_OCTETS: Final = 998
"""RFC 5322 2.1.1: longest line, without its CRLF."""

ENCODED_LINE: Final = 76
"""RFC 2045 6.7 and 6.8: longest line of quoted-printable and base64."""

QUOTED_OCTETS: Final = 1 << 16
"""A longer line is encoded in parts of so many octets."""

_CUSTOM_HEADERS: Final = 15
_CUSTOM_NAME: Final = re.compile(r"[!-9;-@A-~]{1,126}")
_CUSTOM_VALUE: Final = re.compile(r"[ -~]{0,995}")
_CUSTOM_SUM: Final = 996
_OWNED_NAMES: Final = frozenset(
    ["bcc", "cc", "date", "from", "message-id", "mime-version", "received", "reply-to", "return-path", "subject", "to"]
)
"""Fields that we write ourselves or that validate adds; so is everything that starts with Content-."""

_TOKEN: Final = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"  # noqa: S105 (RFC 2045 5.1's word)
_CONTENT_TYPE: Final = re.compile(rf"({_TOKEN})/{_TOKEN}(?:[ ]*;[ -~]*)?")
_CONTENT_ID: Final = re.compile(r"[!-;=?-~]+")
_CHARSET: Final = re.compile(r"[0-9A-Za-z+._:-]{1,40}")

_NO_MIME_CHARSET: Final = frozenset(
    ["idna", "mbcs", "oem", "palmos", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"]
)
"""Python's text codecs that are no charset of a mail."""

_TYPES: Final = {
    "7z": "application/x-7z-compressed",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eml": "message/rfc822",
    "gif": "image/gif",
    "gz": "application/gzip",
    "heic": "image/heic",
    "htm": "text/html",
    "html": "text/html",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/markdown",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "wav": "audio/wav",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "zip": "application/zip",
}
_UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text and the charset to write it in; "" means UTF-8, of which SES's own default (ASCII) is a part."""

    data: str
    charset: str = "UTF-8"


@dataclass(frozen=True, slots=True)
class Attachment:
    """
    One attached file.

    Attributes:
        content_type: `type/subtype` with parameters, or "" to guess from `file_name`.
        disposition: "ATTACHMENT" or "INLINE".
        content_id: With or without angle brackets, "" for none.
        transfer_encoding: "BASE64", "QUOTED_PRINTABLE", "SEVEN_BIT", or "" for our choice.
    """

    file_name: str
    content: bytes
    content_type: str = ""
    disposition: str = "ATTACHMENT"
    content_id: str = ""
    description: str = ""
    transfer_encoding: str = ""


@dataclass(frozen=True, slots=True)
class SimpleMail:
    """
    A message by its pieces.

    Attributes:
        from_, to, cc, reply_to: RFC 5322 mailboxes; a display name may be non-ASCII, an address may not.
        subject_charset: What the subject must fit in, "" for UTF-8; it is sent in UTF-8 or ASCII.
        headers: Further fields, name and value.
    """

    from_: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    reply_to: tuple[str, ...]
    subject: str
    subject_charset: str
    text: TextPart | None
    html: TextPart | None
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """A MIME entity: complete header fields, and the body in pieces that are joined only once, at the end."""

    fields: tuple[bytes, ...]
    pieces: tuple[bytes, ...]


def build_simple(mail: SimpleMail, *, boundary_seed: str) -> bytes:
    """
    Give the message's octets, header and body, with CRLF line ends.

    Args:
        mail: The pieces.
        boundary_seed: Decides the multipart boundaries, e.g. the queue id.

    Raises:
        Rejected: Something can't be sent as asked; the detail names it.
    """
    fields = [
        make_field("From", _mailbox("From", mail.from_, SENDER_SYNTAX)),
        *_mailboxes("To", mail.to),
        *_mailboxes("Cc", mail.cc),
        *_mailboxes("Reply-To", mail.reply_to),
        _subject(mail),
        *_custom_fields(mail.headers),
        make_field("MIME-Version", "1.0"),
    ]
    root = _content(mail, boundary_seed)
    return b"".join((*fields, *root.fields, b"\r\n", *root.pieces))


def build_unaddressed(mail: SimpleMail, *, now: float, boundary_seed: str) -> bytes:
    """
    Give a message as `build_simple` does, dated and to and from nobody: to be looked at. Raises as that.

    Args:
        now: Seconds since the epoch.
    """
    fields = (make_field("Date", format_date(now)), _subject(mail), make_field("MIME-Version", "1.0"))
    root = _content(mail, boundary_seed)
    return b"".join((*fields, *root.fields, b"\r\n", *root.pieces))


def text_entity(text: str, *, charset: str = "UTF-8", subtype: str = "plain", where: str = "Body") -> Entity:
    """
    Give a text/… entity, line ends made CRLF, in the lightest transfer encoding that carries it.

    Args:
        text: Any line ends.
        subtype: Of the content type text/….
        charset: An IANA name that Python knows, "" for UTF-8; written as given.
        where: What a refusal calls it.

    Raises:
        Rejected: Unknown charset, or a character that it lacks.
    """
    charset = charset or "UTF-8"
    _codec(where, charset)
    octets = _encode(where, re.sub(r"\r\n|\r|\n", "\r\n", text), charset)
    # In UTF-16 and the like a CRLF is other octets, and an octet that looks like CR or LF is no line end.
    if "a\r\n".encode(charset) == b"a\r\n":
        name, body = _lightest(octets)
    else:
        name, body = "base64", base64_lines(octets)
    return Entity(
        (
            make_field("Content-Type", f"text/{subtype}; {format_param('charset', charset)}"),
            make_field("Content-Transfer-Encoding", name),
        ),
        (body,),
    )


def multipart(kind: str, parts: Sequence[Entity], *, seed: str, encoding: str = "", parameter: str = "") -> Entity:
    """
    Wrap parts into one multipart entity.

    Args:
        kind: The subtype.
        parts: In their order, at least one.
        seed: Decides the boundary; one that occurs in a part is passed over.
        encoding: Content-Transfer-Encoding, needed when a part is 8bit.
        parameter: A further parameter of the content type, ready to write.
    """
    number = 0
    while True:
        boundary = boundary_from(f"{seed}/{kind}/{number}")
        delimiter = b"--" + boundary.encode("ascii")
        if not any(delimiter in octets for part in parts for octets in (*part.fields, *part.pieces)):
            break
        number += 1
    pieces: list[bytes] = []
    for part in parts:
        pieces += (delimiter, b"\r\n", *part.fields, b"\r\n", *part.pieces, b"\r\n")
    pieces += (delimiter, b"--\r\n")
    parameters = "; ".join(filter(None, (parameter, format_param("boundary", boundary))))
    fields = [make_field("Content-Type", f"multipart/{kind}; {parameters}")]
    if encoding:
        fields.append(make_field("Content-Transfer-Encoding", encoding))
    return Entity(tuple(fields), tuple(pieces))


def _content(mail: SimpleMail, seed: str) -> Entity:
    texts = [
        text_entity(part.data, charset=part.charset, subtype=subtype, where=where)
        for part, subtype, where in ((mail.text, "plain", "Body.Text"), (mail.html, "html", "Body.Html"))
        if part is not None
    ]
    if not texts:
        raise Rejected(BAD_REQUEST, "Body: neither Text nor Html")
    related: list[Entity] = []
    apart: list[Entity] = []
    eight_bit = ""
    for number, attachment in enumerate(mail.attachments):
        entity, encoding = _attached(f"Attachments[{number}]", attachment)
        inside = mail.html is not None and attachment.disposition == "INLINE" and attachment.content_id
        (related if inside else apart).append(entity)
        eight_bit = eight_bit or ("8bit" if encoding == "8bit" else "")
    root, kind = texts[0], "text/html" if mail.html else "text/plain"
    if len(texts) > 1:
        root, kind = multipart("alternative", texts, seed=seed), "multipart/alternative"
    if related:
        root = multipart(
            "related", (root, *related), seed=seed, encoding=eight_bit, parameter=format_param("type", kind)
        )
    if apart:
        root = multipart("mixed", (root, *apart), seed=seed, encoding=eight_bit)
    return root


def _attached(where: str, attachment: Attachment) -> tuple[Entity, str]:
    """Give the entity and the name of its transfer encoding."""
    name, disposition = attachment.file_name, attachment.disposition.lower()
    if not name:
        raise Rejected(BAD_REQUEST, f"{where}.FileName: empty")
    if disposition not in {"attachment", "inline"}:
        raise Rejected(BAD_REQUEST, f"{where}.ContentDisposition: neither ATTACHMENT nor INLINE")
    content_type = attachment.content_type or _guess_type(name, attachment.content)
    match = _CONTENT_TYPE.fullmatch(content_type)
    # A multipart would need a boundary of the caller's making; RFC 2046 5.1 forbids encoding it besides.
    if match is None or match[1].lower() == "multipart":
        raise Rejected(BAD_REQUEST, f"{where}.ContentType: no type/subtype that can be attached")
    encoding, body = _transfer(where, attachment, match[1].lower())
    fields = [make_field("Content-Transfer-Encoding", encoding)]
    with _naming(f"{where}.ContentType"):
        fields.insert(0, make_field("Content-Type", content_type))
    with _naming(f"{where}.FileName"):
        fields.append(make_field("Content-Disposition", f"{disposition}; {format_param('filename', name)}"))
    if attachment.content_id:
        content_id = attachment.content_id.removeprefix("<").removesuffix(">")
        if not _CONTENT_ID.fullmatch(content_id):
            raise Rejected(BAD_REQUEST, f"{where}.ContentId: printable ASCII without spaces and <> is allowed")
        fields.append(make_field("Content-ID", f"<{content_id}>"))
    if attachment.description:
        with _naming(f"{where}.ContentDescription"):
            fields.append(make_field("Content-Description", encode_words(attachment.description)))
    return Entity(tuple(fields), (body,)), encoding


def _transfer(where: str, attachment: Attachment, top_type: str) -> tuple[str, bytes]:
    """Give the name of the transfer encoding and the encoded content."""
    asked, content = attachment.transfer_encoding, attachment.content
    if asked not in {"", "BASE64", "QUOTED_PRINTABLE", "SEVEN_BIT"}:
        raise Rejected(BAD_REQUEST, f"{where}.ContentTransferEncoding: unknown")
    if top_type == "message" or asked == "SEVEN_BIT":
        # RFC 2046 5.2.1: message/rfc822 is never encoded, whatever was asked.
        body = _with_crlf(content)
        if not _fits_lines(body) or (asked == "SEVEN_BIT" and not body.isascii()):
            raise Rejected(
                BAD_REQUEST,
                f"{where}: 8-bit octets where SEVEN_BIT was asked, NUL, or a line above {_LINE_OCTETS} octets",
            )
        return "7bit" if body.isascii() else "8bit", body
    if asked == "QUOTED_PRINTABLE":
        if top_type == "text":
            return "quoted-printable", quoted_printable(_with_crlf(content))
        return "quoted-printable", binascii.b2a_qp(content, istext=False).replace(b"=\n", b"=\r\n")
    return "base64", base64_lines(content)


def _with_crlf(octets: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def _guess_type(name: str, content: bytes) -> str:
    content_type = _TYPES.get(name.rpartition(".")[2].lower(), _UNKNOWN_TYPE) if "." in name else _UNKNOWN_TYPE
    if content_type.startswith("text/"):
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return content_type
        return f"{content_type}; charset=UTF-8"
    return content_type


_READABLE: Final = 1.6
"""Quoted-printable may be this many times as long as its text: about every fifth octet encoded."""


def _lightest(octets: bytes) -> tuple[str, bytes]:
    if octets.isascii() and _fits_lines(octets):
        return "7bit", octets
    quoted = quoted_printable(octets)
    # Text that is mostly readable stays so, though base64 might be a little shorter: people and filters look at it.
    if len(quoted) <= _READABLE * len(octets):
        return "quoted-printable", quoted
    return "base64", base64_lines(octets)


def _fits_lines(octets: bytes) -> bool:
    return b"\0" not in octets and all(len(line) <= _LINE_OCTETS for line in octets.split(b"\r\n"))


def quoted_printable(octets: bytes) -> bytes:
    """Encode text with CRLF line ends; a CR or LF by itself is no line end, and is encoded."""
    return b"\r\n".join(quoted_line(line) for line in octets.split(b"\r\n"))


def quoted_line(line: bytes) -> bytes:
    """Encode a line without its line end, a long one in parts: it may come in pieces (domain/text_stream.py)."""
    if len(line) <= QUOTED_OCTETS:
        return _quoted(line)
    parts = [line[at : at + QUOTED_OCTETS] for at in range(0, len(line), QUOTED_OCTETS)]
    return b"".join((*map(quoted_part, parts[:-1]), _quoted(parts[-1])))


def quoted_part(part: bytes) -> bytes:
    """Encode QUOTED_OCTETS of a line that goes on behind them: a soft break follows, within the longest line."""
    encoded = _quoted(part)
    last = encoded[encoded.rfind(b"\n") + 1 :]
    if len(last) < ENCODED_LINE:
        return encoded + b"=\r\n"
    # Three octets stay for the break behind them; none is cut in its `=XX`.
    at = len(encoded) - 3
    at -= next((back for back in (1, 2) if encoded[at - back : at - back + 1] == b"="), 0)
    return encoded[:at] + b"=\r\n" + encoded[at:] + b"=\r\n"


def _quoted(text: bytes) -> bytes:
    # binascii's own soft breaks end in a bare LF where it saw no CRLF.
    return binascii.b2a_qp(text, istext=False).replace(b"=\n", b"=\r\n")


def base64_lines(octets: bytes) -> bytes:
    """Encode in lines of 76 characters, without a line end after the last."""
    line = binascii.b2a_base64(octets, newline=False)
    return b"\r\n".join(line[at : at + ENCODED_LINE] for at in range(0, len(line), ENCODED_LINE))


def _codec(where: str, charset: str) -> None:
    """Refuse what is no charset."""
    with contextlib.suppress(LookupError):
        if _CHARSET.fullmatch(charset) and codecs.lookup(charset).name not in _NO_MIME_CHARSET:
            "a".encode(charset)  # LookupError, too, for a codec that makes no text, such as rot13
            return
    raise Rejected(BAD_REQUEST, f"{where}.Charset: unknown: '{shown(charset)}'")


def _encode(where: str, text: str, charset: str) -> bytes:
    try:
        return text.encode(charset)
    except UnicodeEncodeError as exc:
        raise Rejected(
            BAD_REQUEST, f"{where}: {charset} has no {text[exc.start]!a}, which stands at character {exc.start}"
        ) from None


def _subject(mail: SimpleMail) -> bytes:
    charset = mail.subject_charset or "UTF-8"
    _codec("Subject", charset)
    _encode("Subject", mail.subject, charset)
    with _naming("Subject"):
        return make_field("Subject", encode_words(mail.subject))


@contextlib.contextmanager
def _naming(where: str, row: Status = BAD_REQUEST) -> Iterator[None]:
    """Turn what domain/headers.py refuses (control characters above all) into a refusal that names the place."""
    try:
        yield
    except ValueError as exc:
        raise Rejected(row, f"{where}: {exc}") from exc


def _mailboxes(name: str, entries: tuple[str, ...]) -> list[bytes]:
    if not entries:
        return []
    found = (_mailbox(f"{name}[{number}]", entry, RECIPIENT_SYNTAX) for number, entry in enumerate(entries))
    return [make_field(name, ", ".join(found))]


def _mailbox(where: str, entry: str, row: Status) -> str:
    """Give one mailbox ready for its field: the display name quoted or encoded as it needs."""
    with _naming(where, row):
        found = parse_mailboxes(entry.encode())
        if len(found) != 1 or not found[0].address.isascii():
            raise Rejected(row, f"{where}: not one mailbox with an ASCII address: '{shown(entry)}'")
        return format_mailbox(found[0].display.decode(), found[0].address)


def _custom_fields(headers: tuple[tuple[str, str], ...]) -> list[bytes]:
    if len(headers) > _CUSTOM_HEADERS:
        raise Rejected(BAD_REQUEST, f"Headers: more than {_CUSTOM_HEADERS}")
    fields = []
    for number, (name, value) in enumerate(headers):
        if not _CUSTOM_NAME.fullmatch(name):
            raise Rejected(BAD_REQUEST, f"Headers[{number}].Name: 1 to 126 printable ASCII characters but no colon")
        if name.lower() in _OWNED_NAMES or name.lower().startswith("content-"):
            raise Rejected(BAD_REQUEST, f"Headers[{number}].Name: {name} can't be set here")
        if not _CUSTOM_VALUE.fullmatch(value) or len(name) + len(value) > _CUSTOM_SUM:
            raise Rejected(
                BAD_REQUEST,
                f"Headers[{number}].Value: {name}: printable ASCII is allowed, {_CUSTOM_SUM} with the name at most",
            )
        fields.append(make_field(name, value))
    return fields
