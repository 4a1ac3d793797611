"""
Put a value in the place of a placeholder, in the texts of a message, however they are encoded.

Only the text parts that hold it change: they are decoded, filled in and encoded again, in the way they were. What is
attached, signed or encrypted keeps its octets, and so does what can't be read.

RFC: 2045 6 (transfer encodings), 2046 5.1 (multipart), 2183 (disposition).
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from paravion.domain import text_stream
from paravion.domain.headers import MAX_LINE, Field, make_field, split_header
from paravion.domain.mime_build import base64_lines, quoted_printable
from paravion.domain.mime_read import COMMENT, SEALED, TYPE, cut, delimiter, parameter
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from paravion.domain.message import LargeBody

Edit = tuple[int, int, "Iterable[bytes]"]
"""From this octet to before that one: what stands there instead, in pieces that are made when they are asked for."""

_HELD_OCTETS: Final = 1 << 20
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


def edits_of(
    fields: Sequence[Field], body: LargeBody, placeholder: str, value: str, *, times: int
) -> tuple[list[Field], list[Edit]]:
    """
    Do as `filled_in`, of a body that is not in memory: what must change of it, and what it becomes.

    At a time it holds one part of up to a mebibyte, and of a larger text some pieces; one in UTF-16 or UTF-32, in which
    ASCII is other octets, as a whole.

    Returns:
        The fields, and the edits in their order.
    """
    return _entity_at(list(fields), body, (0, len(body)), (), 0, (placeholder, value, times))


_Wanted = tuple[str, str, int]


def _kind_of(fields: Sequence[Field], depth: int) -> tuple[str, bytes]:
    """Give "multipart" and its boundary, "text" and its charset, or "" for what stays as it is."""
    value = _one(fields, b"content-type") or b"text/plain"
    match = TYPE.match(value)
    if match is None or depth > _MAX_DEPTH:
        return "", b""
    kind, subtype = match[1].lower(), match[2].lower()
    if kind == b"multipart" and kind + b"/" + subtype not in SEALED:
        return "multipart", parameter(value[match.end() :], b"boundary")
    if kind != b"text" or subtype not in {b"plain", b"html"}:
        return "", b""
    if _one(fields, b"content-disposition").lower().startswith(b"attachment"):
        return "", b""
    return "text", parameter(value[match.end() :], b"charset").lower()


def _entity(
    fields: list[Field], body: bytes, boundaries: tuple[bytes, ...], depth: int, wanted: _Wanted
) -> tuple[list[Field], bytes]:
    kind, detail = _kind_of(fields, depth)
    if kind == "multipart":
        return fields, _multipart(detail, body, boundaries, depth, wanted)
    return _text(fields, body, boundaries, detail, wanted) if kind else (fields, body)


def _entity_at(
    fields: list[Field],
    body: LargeBody,
    span: tuple[int, int],
    boundaries: tuple[bytes, ...],
    depth: int,
    wanted: _Wanted,
) -> tuple[list[Field], list[Edit]]:
    """As `_entity`, of the octets of a span."""
    kind, detail = _kind_of(fields, depth)
    if not kind:
        return fields, []
    start, end = span
    if end - start <= _HELD_OCTETS or (kind == "text" and detail.startswith(_WIDE)):
        octets = body.read(start, end)
        changed, filled = _entity(fields, octets, boundaries, depth, wanted)
        return changed, [] if filled == octets else [(start, end, (filled,))]
    if kind == "text":
        return _text_at(fields, body, span, boundaries, wanted)
    edits: list[Edit] = []
    for part in _parts_at(detail, body, span) if detail else ():
        edits += _part_at(body, part, (*boundaries, detail), depth, wanted)
    return fields, edits


def _part_at(
    body: LargeBody, span: tuple[int, int], boundaries: tuple[bytes, ...], depth: int, wanted: _Wanted
) -> list[Edit]:
    """As `_part`, of the octets of a span."""
    start, end = span
    octets = body.read(start, min(end, start + _HELD_OCTETS))
    head, empty_line, _ = cut(octets)
    if end - start > _HELD_OCTETS and not empty_line:
        octets = body.read(start, end)
    if len(octets) == end - start:
        filled = _part(octets, boundaries, depth, wanted)
        return [] if filled == octets else [(start, end, (filled,))]
    try:
        fields = split_header(head)
    except Rejected:
        return []
    body_start = start + len(head) + len(empty_line)
    changed, edits = _entity_at(fields, body, (body_start, end), boundaries, depth + 1, wanted)
    if not edits:
        return []
    head = b"".join(field.raw + b"\r\n" for field in changed) + empty_line
    return [(start, body_start, (head,)), *edits]


def _parts_at(name: bytes, body: LargeBody, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Give where the parts of a multipart lie that have an end, as `_multipart` finds them."""
    start, end = span
    delimiters, mark = delimiter(name), b"\r\n--" + name
    begin: int | None = None
    at = start
    match = _delimiter_at(delimiters, body, start, end, len(mark))
    while True:
        if match is not None:
            if begin is not None and at - begin > len(b"\r\n"):
                yield begin + 2, at
            if match[1]:
                return
            begin = at = at + match.end()
        found = _find(body, mark, at, end)
        if found < 0:
            return
        match = _delimiter_at(delimiters, body, found, end, len(mark))
        at = found if match is not None else found + 1


def _delimiter_at(
    delimiters: re.Pattern[bytes], body: LargeBody, at: int, end: int, octets: int
) -> re.Match[bytes] | None:
    """Match a delimiter that begins at an octet; white space behind it may go on for long."""
    room = octets + 1000
    while True:
        text = body.read(at, min(end, at + room))
        match = delimiters.match(text)
        if at + len(text) >= end or len(text[octets:].lstrip(b"- \t")) >= len(b"\r\n"):
            return match
        room *= 2


def _find(body: LargeBody, mark: bytes, start: int, end: int) -> int:
    """Find octets in a span of a body; -1: they are not there."""
    while start < end:
        window = body.read(start, min(end, start + _HELD_OCTETS + len(mark) - 1))
        found = window.find(mark)
        if found >= 0:
            return start + found
        start += _HELD_OCTETS
    return -1


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


@dataclass(frozen=True, slots=True)
class _Filled:
    """A large text with its placeholders filled in, anew each time that it is gone through."""

    body: LargeBody
    span: tuple[int, int]
    encoding: bytes
    wanted: _Wanted

    def __iter__(self) -> Iterator[bytes]:
        placeholder, value, times = self.wanted
        pieces = text_stream.decoded(self.body, self.span, self.encoding)
        return text_stream.replaced(pieces, placeholder.encode("ascii"), value.encode("ascii"), times)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The same, encoded, and with what ends it."""

    text: Iterable[bytes]
    encode: Callable[[Iterable[bytes]], Iterator[bytes]]
    end: bytes = b""

    def __iter__(self) -> Iterator[bytes]:
        yield from self.encode(self.text)
        if self.end:
            yield self.end


def _text_at(
    fields: list[Field], body: LargeBody, span: tuple[int, int], boundaries: tuple[bytes, ...], wanted: _Wanted
) -> tuple[list[Field], list[Edit]]:
    """As `_text`, of the octets of a span; each question goes through them once."""
    encoding = COMMENT.sub(b"", _one(fields, _ENCODING)).strip().lower()
    if encoding not in _PLAIN | {b"quoted-printable", b"base64"}:
        return fields, []
    try:
        if not text_stream.holds(text_stream.decoded(body, span, encoding), wanted[0].encode("ascii")):
            return fields, []
        filled = _Filled(body, span, encoding, wanted)
        if encoding in _PLAIN and text_stream.longest_line(filled) <= MAX_LINE:
            return fields, [(*span, filled)]
        if encoding != b"base64":
            quoted = _Encoded(filled, text_stream.quoted)
            # In front of the first line is one, as behind all others.
            lines = chain((b"\r\n",), quoted)
            if not boundaries or not text_stream.holds(lines, *(b"\r\n--" + name for name in boundaries)):
                return _labelled(fields, "quoted-printable"), [(*span, quoted)]
        else:
            # Whether all of it can be read is known at its end.
            deque(text_stream.decoded(body, span, encoding), maxlen=0)
    except (ValueError, binascii.Error):
        return fields, []
    end = b"" if boundaries else b"\r\n"  # a part has given its own to the delimiter
    return _labelled(fields, "base64"), [(*span, _Encoded(filled, text_stream.based, end))]


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
