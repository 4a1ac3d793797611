"""
Turn an 8-bit message into a 7-bit one with the same content, for a host without 8BITMIME (RFC 6152 3).

Only what must change is changed: an entity without 8-bit octets is copied octet for octet, whatever it is.

    entity with octets over 127          becomes
    -----------------------------------  ---------------------------------------------------------------
    text/*, labelled 8bit, binary, 7bit  quoted-printable, or base64 where that is much shorter; its
      or not at all                      Content-Transfer-Encoding rewritten
    text without any Content-Type        the same, as `text/plain; charset=unknown-8bit` (RFC 1428)
    quoted-printable with 8-bit octets   those octets encoded, the rest as it was
    image/*, application/*, ...          base64
    message/rfc822                       the message inside is converted by this table (RFC 2046 5.2.1: it may
                                         not be encoded itself)
    message/global, ...-headers, ...     base64 (RFC 6532 3.7)
    multipart/*                          its parts are converted; labelled 7bit; 8-bit octets outside of all
                                         parts, which nobody reads, become `?`
    multipart/signed, multipart/         not convertible: what was signed or encrypted is these octets
      encrypted, application/pkcs7-mime
    other message/*, base64 with 8-bit   not convertible: nothing says how to read it
      octets, unknown encodings, 8-bit
      octets in a part's header, a label
      twice, a multipart without parts

Does not look at DKIM: `is_wanted` does, and says when a conversion is called for at all.

RFC: 6152, 2045 (encodings), 2046 (multipart, message), 1428 (unknown-8bit), 1847 (signed, encrypted).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from paravion.domain.address import shown
from paravion.domain.headers import MAX_LINE, Field, make_field, split_header
from paravion.domain.mime_build import base64_lines, quoted_printable
from paravion.domain.mime_read import COMMENT, SEALED, TYPE, cut, delimiter, parameter
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_OCTETS: Final = 10 * 1024 * 1024
"""Largest body that is converted; it lies in memory, and so does what becomes of it."""

_MAX_DEPTH: Final = 50
_DKIM: Final = re.compile(rb"^DKIM-Signature[ \t]*:", re.IGNORECASE | re.MULTILINE)
_CONTENT_TYPE: Final = b"content-type"
_ENCODING: Final = b"content-transfer-encoding"
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_READABLE: Final = 1.6  # as in domain/mime_build.py


class NotConvertible(ValueError):
    """There is no 7-bit form of this content; the text says why, in printable ASCII."""


def is_wanted(header: bytes) -> bool:
    """
    Say whether an 8-bit message is converted for a host without 8BITMIME, or sent as it is.

    As it is when it has a DKIM signature: that would not survive, and mail whose signature is broken is refused
    by more hosts than are left that are not 8-bit clean (docs/decisions.md).
    """
    return _DKIM.search(header) is None


def to_seven_bit(header: bytes, body: bytes) -> tuple[bytes, bytes]:
    """
    Give header section and body in 7 bits.

    Args:
        header: ASCII or UTF-8 (then it stays so: SMTPUTF8 is another matter), CRLF line ends, without the
            empty line; only its MIME fields may change, in their places.
        body: CRLF line ends.

    Raises:
        NotConvertible: By the table above, or the body is larger than MAX_OCTETS.
    """
    if body.isascii():
        return header, body
    if len(body) > MAX_OCTETS:
        raise NotConvertible(f"content of more than {MAX_OCTETS} octets is not converted")
    fields, converted = _entity(_fields(header), body, (), 0, top=True)
    return b"".join(field.raw + b"\r\n" for field in fields), converted


def _fields(section: bytes) -> list[Field]:
    try:
        return split_header(section)
    except Rejected as exc:
        raise NotConvertible(f"a part's header can't be read: {exc.detail}") from exc


def _one(fields: Sequence[Field], key: bytes) -> bytes:
    """Give the value of a field that may be there once."""
    values = [field.value for field in fields if field.key == key]
    if len(values) > 1:
        raise NotConvertible(f"{key.decode('ascii')} is there more than once")
    return values[0] if values else b""


def _entity(
    fields: list[Field],
    body: bytes,
    boundaries: tuple[bytes, ...],
    depth: int,
    *,
    top: bool,
    default: bytes = b"text/plain",
) -> tuple[list[Field], bytes]:
    """
    Convert one entity whose body has 8-bit octets.

    Args:
        boundaries: Of the multiparts around it: no line of the result may look like one of theirs.
        top: It has the fields of a whole message: MIME-Version belongs here.
        default: The content type of an entity that names none (RFC 2046 5.1.5: a digest's parts are messages).
    """
    if depth > _MAX_DEPTH:
        raise NotConvertible(f"parts nested deeper than {_MAX_DEPTH}")
    kind, subtype, parameters = _content_type(fields, default)
    encoding = _encoding(fields)
    if kind in {b"multipart", b"message"} and encoding == b"quoted-printable":
        raise NotConvertible(f"{shown(kind)} in quoted-printable")
    if kind == b"multipart":
        body = _multipart(parameters, body, boundaries, depth, digest=subtype == b"digest")
        return _labelled(fields, b"7bit", top=False), body
    if kind == b"message" and subtype == b"rfc822":
        return _labelled(fields, b"7bit", top=False), _message(body, boundaries, depth)
    if kind == b"message" and not subtype.startswith(b"global"):
        raise NotConvertible(f"8-bit octets in message/{shown(subtype, 40)}")
    if encoding == b"quoted-printable":
        return fields, _checked(_HIGH.sub(lambda octet: b"=%02X" % octet[0][0], body), boundaries)
    if kind == b"text":
        quoted = quoted_printable(body)
        if len(quoted) <= _READABLE * len(body) and not _has_boundary(quoted, boundaries):
            return _labelled(fields, b"quoted-printable", top=top), quoted
    converted = base64_lines(body)
    # The body of a message ends with a line end; that of a part has given its own to the delimiter.
    return _labelled(fields, b"base64", top=top), converted + (b"\r\n" if not boundaries else b"")


def _content_type(fields: Sequence[Field], default: bytes) -> tuple[bytes, bytes, bytes]:
    """Give type and subtype, lower case, and the parameters; what must not be touched is refused."""
    value = _one(fields, _CONTENT_TYPE) or default
    match = TYPE.match(value)
    if match is None:
        raise NotConvertible(f"content type '{shown(value, 40)}' can't be read")
    kind, subtype = match[1].lower(), match[2].lower()
    if kind + b"/" + subtype in SEALED:
        raise NotConvertible("it is signed or encrypted, and a conversion would break that")
    return kind, subtype, value[match.end() :]


def _encoding(fields: Sequence[Field]) -> bytes:
    name = COMMENT.sub(b"", _one(fields, _ENCODING)).strip().lower() or b"7bit"
    if name not in {b"7bit", b"8bit", b"binary", b"quoted-printable"}:
        raise NotConvertible(f"8-bit octets in content labelled '{shown(name, 40)}'")
    return name


def _labelled(fields: list[Field], encoding: bytes, *, top: bool) -> list[Field]:
    """
    Put the encoding's name into its field, which is added if there is none.

    With `top`, the fields that make a message MIME are added where they are missing.
    """
    own = make_field("Content-Transfer-Encoding", encoding.decode("ascii")).removesuffix(b"\r\n")
    keys = {field.key for field in fields}
    result = [Field(field.name, own) if field.key == _ENCODING else field for field in fields]
    if top and b"mime-version" not in keys:
        result.append(Field(b"MIME-Version", b"MIME-Version: 1.0"))
    if encoding != b"7bit" and _CONTENT_TYPE not in keys:
        result.append(Field(b"Content-Type", b"Content-Type: text/plain; charset=unknown-8bit"))
    if _ENCODING not in keys and encoding != b"7bit":
        result.append(Field(b"Content-Transfer-Encoding", own))
    return result


def _has_boundary(octets: bytes, boundaries: tuple[bytes, ...]) -> bool:
    """Say whether a line of this begins like a delimiter of a multipart around it."""
    return any(octets.startswith(b"--" + name) or b"\r\n--" + name in octets for name in boundaries)


def _checked(octets: bytes, boundaries: tuple[bytes, ...]) -> bytes:
    if any(len(line) > MAX_LINE for line in octets.split(b"\r\n")):
        raise NotConvertible(f"encoded, it would have lines of more than {MAX_LINE} octets")
    if _has_boundary(octets, boundaries):
        raise NotConvertible("encoded, it would look like the end of its part")
    return octets


def _message(body: bytes, boundaries: tuple[bytes, ...], depth: int) -> bytes:
    """Convert the message inside a message/rfc822."""
    head, empty_line, rest = cut(body)
    if not head.isascii():
        raise NotConvertible("8-bit octets in the header of a message inside")
    if rest.isascii():
        return body
    fields, converted = _entity(_fields(head), rest, boundaries, depth + 1, top=True)
    return b"".join(field.raw + b"\r\n" for field in fields) + empty_line + converted


def _multipart(parameters: bytes, body: bytes, boundaries: tuple[bytes, ...], depth: int, *, digest: bool) -> bytes:
    name = parameter(parameters, b"boundary")
    if not name:
        raise NotConvertible("a multipart whose boundary can't be read")
    delimiters = delimiter(name)
    pieces: list[bytes] = []
    start, in_part = 0, False
    inner = (*boundaries, name)
    default = b"message/rfc822" if digest else b"text/plain"
    found = False
    while True:
        # The line end after one delimiter may be the one before the next: an empty part.
        match = delimiters.search(body, start)
        end = match.start() if match else len(body)
        piece = body[start:end]
        if in_part and piece:
            piece = b"\r\n" + _part(piece[2:], inner, depth, default=default)
        elif not in_part:
            piece = _HIGH.sub(b"?", piece)
        pieces.append(piece)
        if match is None:
            break
        found = True
        pieces.append(match[0])
        start = match.end()
        if match[1]:
            # The rest is the epilogue, whatever it looks like.
            pieces.append(_HIGH.sub(b"?", body[start:]))
            break
        in_part = True
    if not found:
        raise NotConvertible("a multipart without parts")
    return b"".join(pieces)


def _part(part: bytes, boundaries: tuple[bytes, ...], depth: int, *, default: bytes) -> bytes:
    if part.isascii():
        return part
    head, empty_line, rest = cut(part)
    if not head.isascii():
        raise NotConvertible("8-bit octets in the header of a part")
    fields, converted = _entity(_fields(head), rest, boundaries, depth + 1, top=False, default=default)
    return b"".join(field.raw + b"\r\n" for field in fields) + empty_line + converted
