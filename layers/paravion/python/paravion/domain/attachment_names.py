"""
Read the file names of a message's parts, however they are written.

Only what a recipient's program would show as a file of this message: an attached message's own attachments are not
looked for, nor is anything in what is signed or encrypted as one piece of data.

Next: api/ses_sending.py, which refuses names that SES refuses.
RFC: 2183 2.3 (filename), 2231 (how it is written), 2047 (how it is often written).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.domain.headers import split_header
from paravion.domain.mime_read import TYPE, cut, delimiter, parameter
from paravion.domain.status import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_DEPTH: Final = 20


def file_names(content: bytes) -> Iterator[str]:
    """
    Give the names of a message's files, in order.

    Args:
        content: A whole message, with any line ends; what can't be read has no names.
    """
    if b"name" not in content.lower():
        return
    yield from _names(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), 0)


def _names(entity: bytes, depth: int) -> Iterator[str]:
    head, _, body = cut(entity)
    yield from _named(head)
    try:
        kind = next((field.value for field in split_header(head) if field.key == b"content-type"), b"")
    except Rejected:
        return
    match = TYPE.match(kind)
    if match is None or match[1].lower() != b"multipart" or depth >= _MAX_DEPTH:
        return
    boundary = parameter(kind[match.end() :], b"boundary")
    if not boundary:
        return
    begin = -1
    for found in delimiter(boundary).finditer(body):
        if begin >= 0:
            yield from _names(body[begin : found.start()], depth + 1)
        if found[1]:
            return
        begin = found.end() + len(b"\r\n")
    if begin >= 0:
        # It ends without a last delimiter, and programs show what is there.
        yield from _names(body[begin:], depth + 1)


def _named(head: bytes) -> Iterator[str]:
    """Give what a part's header calls it: both fields' names, for programs differ in which they take."""
    if b"name" not in head.lower():
        return
    from email.header import decode_header, make_header  # few parts have a name
    from email.parser import BytesHeaderParser
    from email.utils import collapse_rfc2231_value

    message = BytesHeaderParser().parsebytes(head)
    for field, name in (("content-disposition", "filename"), ("content-type", "name")):
        value = message.get_param(name, "", field)
        if not value:
            continue
        text = collapse_rfc2231_value(value).strip()
        try:
            yield str(make_header(decode_header(text)))
        except (ValueError, LookupError):
            yield text
