"""
Read MIME entities as octets: type, parameters, where the parts of a multipart lie. Changes nothing.

Next: domain/seven_bit.py converts parts, domain/placeholder.py fills them in.
RFC: 2045 5.1 (content types), 2046 5.1 (multipart).
"""

from __future__ import annotations

import re
from typing import Final

TYPE: Final = re.compile(
    rb"([!#$%&'*+.^_`{|}~0-9A-Za-z-]+)[ \t]*/[ \t]*([!#$%&'*+.^_`{|}~0-9A-Za-z-]+)[ \t]*(?=[;(]|\Z)"
)
SEALED: Final = frozenset(
    {b"multipart/signed", b"multipart/encrypted", b"application/pkcs7-mime", b"application/x-pkcs7-mime"}
)
"""What was signed or encrypted is these octets."""

COMMENT: Final = re.compile(rb"\([^()\\]*\)")
_PARAMETER: Final = re.compile(rb';[ \t]*(?:([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"()]*)))?[ \t]*')


def parameter(parameters: bytes, name: bytes) -> bytes:
    """
    Give one parameter's value, b"" if it is not there.

    They are read one after the other: a value may look like another parameter.
    """
    at = 0
    while match := _PARAMETER.match(parameters, at):
        if (match[1] or b"").lower() == name:
            value = re.sub(rb"\\(.)", rb"\1", match[2]) if match[2] is not None else match[3]
            return value.rstrip()
        at = match.end()
    return b""


def delimiter(boundary: bytes) -> re.Pattern[bytes]:
    """Give the pattern of a multipart's delimiters, its line end before included; group 1 is that of the last."""
    return re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")


def cut(entity: bytes) -> tuple[bytes, bytes, bytes]:
    """Give header section (with its last CRLF), the empty line, and the body of an entity."""
    if entity.startswith(b"\r\n"):
        return b"", b"\r\n", entity[2:]
    end = entity.find(b"\r\n\r\n")
    if end < 0:
        return entity, b"", b""
    return entity[: end + 2], b"\r\n", entity[end + 4 :]
