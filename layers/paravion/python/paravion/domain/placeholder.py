"""
Put a value in the place of a placeholder, in the texts of a message, however they are encoded.

Only the text parts that hold it change: they are decoded, filled in and encoded again, in the way they were. What is
attached, signed or encrypted keeps its octets, and so does what can't be read.

RFC: 2045 6 (transfer encodings), 2046 5.1 (multipart), 2183 (disposition).
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from paravion.domain.headers import MAX_LINE, Field, make_field, split_header
from paravion.domain.mime_build import base64_lines, quoted_printable
from paravion.domain.mime_read import COMMENT, SEALED, TYPE, cut, delimiter, parameter
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_DEPTH: Final = 20
_ENCODING: Final = b"content-transfer-encoding"
_PLAIN: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
_WIDE: Final = (b"utf-16", b"utf-32")
"""Charsets in which ASCII is other octets."""


def filled_in(
    fields: Sequence[Field], body: bytes, placeholder: str, value: str, *, times: int
) -> tuple[list[Field], bytes]:
    """
    Give the fields and the body with `value` for the first `times` of each text part's placeholders.

    Args:
        fields: Of the header; only Content-Transfer-Encoding may change.
        body: CRLF line ends.
        placeholder, value: ASCII; without characters that mean something in HTML.
    """
    return _entity(list(fields), body, (), 0, (placeholder, value, times))


_Wanted = tuple[str, str, int]


def _entity(
    fields: list[Field], body: bytes, boundaries: tuple[bytes, ...], depth: int, wanted: _Wanted
) -> tuple[list[Field], bytes]:
    value = _one(fields, b"content-type") or b"text/plain"
    match = TYPE.match(value)
    if match is None or depth > _MAX_DEPTH:
        return fields, body
    kind, subtype = match[1].lower(), match[2].lower()
    if kind == b"multipart" and kind + b"/" + subtype not in SEALED:
        return fields, _multipart(parameter(value[match.end() :], b"boundary"), body, boundaries, depth, wanted)
    if kind != b"text" or subtype not in {b"plain", b"html"}:
        return fields, body
    if _one(fields, b"content-disposition").lower().startswith(b"attachment"):
        return fields, body
    return _text(fields, body, boundaries, parameter(value[match.end() :], b"charset").lower(), wanted)


def _one(fields: Sequence[Field], key: bytes) -> bytes:
    return next((field.value for field in fields if field.key == key), b"")


def _multipart(name: bytes, body: bytes, boundaries: tuple[bytes, ...], depth: int, wanted: _Wanted) -> bytes:
    if not name:
        return body
    delimiters = delimiter(name)
    pieces: list[bytes] = []
    start, in_part = 0, False
    while match := delimiters.search(body, start):
        piece = body[start : match.start()]
        if in_part and piece:
            piece = b"\r\n" + _part(piece[2:], (*boundaries, name), depth, wanted)
        pieces += (piece, match[0])
        start = match.end()
        in_part = not match[1]
        if match[1]:
            break
    return b"".join((*pieces, body[start:]))


def _part(part: bytes, boundaries: tuple[bytes, ...], depth: int, wanted: _Wanted) -> bytes:
    head, empty_line, rest = cut(part)
    try:
        fields = split_header(head)
    except Rejected:
        return part
    changed, body = _entity(fields, rest, boundaries, depth + 1, wanted)
    if body == rest:
        return part
    return b"".join(field.raw + b"\r\n" for field in changed) + empty_line + body


def _text(
    fields: list[Field], body: bytes, boundaries: tuple[bytes, ...], charset: bytes, wanted: _Wanted
) -> tuple[list[Field], bytes]:
    encoding = COMMENT.sub(b"", _one(fields, _ENCODING)).strip().lower()
    try:
        octets = _decoded(body, encoding)
    except (ValueError, binascii.Error):
        return fields, body
    placeholder, value, times = wanted
    if charset.startswith(_WIDE):
        try:
            text = octets.decode(charset.decode("ascii"))
            filled = text.replace(placeholder, value, times).encode(charset.decode("ascii"))
            filled = octets if placeholder not in text else filled
        except (ValueError, LookupError):
            return fields, body
    else:
        filled = octets.replace(placeholder.encode("ascii"), value.encode("ascii"), times)
    if filled == octets:
        return fields, body
    if encoding in _PLAIN and all(len(line) <= MAX_LINE for line in filled.split(b"\r\n")):
        return fields, filled
    end = b"" if boundaries else b"\r\n"  # a part has given its own to the delimiter
    if encoding != b"base64":
        quoted = quoted_printable(filled)
        if not any(quoted.startswith(b"--" + name) or b"\r\n--" + name in quoted for name in boundaries):
            return _labelled(fields, "quoted-printable"), quoted
    return _labelled(fields, "base64"), base64_lines(filled) + end


def _decoded(body: bytes, encoding: bytes) -> bytes:
    """Raises ValueError for an encoding that nobody knows."""
    if encoding in _PLAIN:
        return body
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == b"base64":
        return binascii.a2b_base64(body)
    raise ValueError("unknown encoding")


def _labelled(fields: list[Field], encoding: str) -> list[Field]:
    own = Field(b"Content-Transfer-Encoding", make_field("Content-Transfer-Encoding", encoding).removesuffix(b"\r\n"))
    rest = [own if field.key == _ENCODING else field for field in fields]
    if own not in rest:
        rest.append(own)
    return rest
