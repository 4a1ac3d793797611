"""
Fill in a text that is not in memory: decode it, put a value for a placeholder, and encode it again, piece by piece.

Gives the octets that domain/placeholder.py's `_text` gives of the whole, and is read several times, for what stands in
front of a text says how it is encoded. At a time it holds some mebibyte of it.

RFC: 2045 6.7 (quoted-printable), 6.8 (base64).
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from paravion.domain.mime_build import ENCODED_LINE, QUOTED_OCTETS, base64_lines, quoted_line, quoted_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from paravion.domain.message import LargeBody

_WINDOW: Final = 1 << 19
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_OTHERS: Final = bytes(octet for octet in range(256) if octet not in _BASE64)
_LINE_OCTETS: Final = ENCODED_LINE // 4 * 3


def decoded(body: LargeBody, span: tuple[int, int], encoding: bytes) -> Iterator[bytes]:
    """
    Give the octets of a span, its transfer encoding undone.

    Args:
        encoding: b"quoted-printable", b"base64", or another one for octets as they stand.

    Raises:
        ValueError: It can't be read.
    """
    read = {b"quoted-printable": _unquoted, b"base64": _unbased}.get(encoding, _windows)
    return read(body, *span)


def _windows(body: LargeBody, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _WINDOW):
        yield body.read(at, min(end, at + _WINDOW))


def _unquoted(body: LargeBody, start: int, end: int) -> Iterator[bytes]:
    """Cut behind a line: nothing of this encoding goes on in the next one."""
    rest = b""
    for window in _windows(body, start, end):
        text = rest + window
        cut = text.rfind(b"\n") + 1
        yield binascii.a2b_qp(text[:cut])
        rest = text[cut:]
    yield binascii.a2b_qp(rest)


def _unbased(body: LargeBody, start: int, end: int) -> Iterator[bytes]:
    """Cut behind four characters; what a padding ends is for binascii to say, of all that follows."""
    rest = b""
    at = start
    for window in _windows(body, start, end):
        text = rest + window.translate(None, _OTHERS)
        padding = text.find(b"=")
        cut = (len(text) if padding < 0 else padding) // 4 * 4
        yield binascii.a2b_base64(text[:cut])
        rest = text[cut:]
        at += len(window)
        if padding >= 0:
            rest += body.read(at, end)
            break
    yield binascii.a2b_base64(rest)


def replaced(pieces: Iterable[bytes], old: bytes, new: bytes, times: int) -> Iterator[bytes]:
    """Give the pieces with `new` for the first `times` of `old`, also where it stands in two pieces."""
    rest = b""
    for piece in pieces:
        text = rest + piece
        while times and (found := text.find(old)) >= 0:
            yield text[:found]
            yield new
            text = text[found + len(old) :]
            times -= 1
        keep = min(len(text), len(old) - 1) if times else 0
        yield text[: len(text) - keep]
        rest = text[len(text) - keep :]
    yield rest


def holds(pieces: Iterable[bytes], *wanted: bytes) -> bool:
    """Say whether one of some octets stands in the pieces, also where it stands in two of them; stops at the first."""
    rest = b""
    most = max(map(len, wanted), default=1) - 1
    for piece in pieces:
        text = rest + piece
        if any(one in text for one in wanted):
            return True
        rest = text[-most:] if most else b""
    return False


def longest_line(pieces: Iterable[bytes]) -> int:
    """Give the octets of the longest line, without its CRLF."""
    longest = count = 0
    last = b""
    for piece in pieces:
        # A CRLF that begins at the end of a piece is seen with the next one.
        text = last + piece
        last = text[-1:] if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(last)].split(b"\r\n")
        longest = max(longest, count + len(lines[0]), *map(len, lines[1:]))
        count = len(lines[-1]) + (count if len(lines) == 1 else 0)
    return max(longest, count + len(last))


def quoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the pieces as quoted-printable, as `mime_build.quoted_printable` does of the whole."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\r\n")
        if lines:
            yield b"\r\n".join((*map(quoted_line, lines), b""))
        # With a CRLF behind them these octets would be a line of their own.
        while len(rest) >= QUOTED_OCTETS + len(b"\r\n"):
            yield quoted_part(rest[:QUOTED_OCTETS])
            rest = rest[QUOTED_OCTETS:]
    yield quoted_line(rest)


def based(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the pieces as base64, as `mime_build.base64_lines` does of the whole."""
    rest = b""
    for piece in pieces:
        text = rest + piece
        # The last line has no line end of its own, so one always stays.
        cut = max(0, len(text) - 1) // _LINE_OCTETS * _LINE_OCTETS
        if cut:
            yield base64_lines(text[:cut]) + b"\r\n"
        rest = text[cut:]
    yield base64_lines(rest)
