"""
The header section as `sendmail` needs it: where it ends, what one field says, a From in front.

Works on octets and keeps them, but for what mending.py is for; the API parses, checks and completes.

RFC: 5322 2.1 and 2.2 (fields, folding, the empty line), 2047 (encoded words in a name), 3.4 (mailbox).
"""

from __future__ import annotations

LONGEST_LINE_OCTETS = 998
ADDRESS_FIELDS = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_NAME = frozenset(range(0x21, 0x7F)) - {0x3A}
_ATEXT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~ ")
_ENCODED_WORD_OCTETS = 42
"""base64 makes 56 of them, with `=?utf-8?b?…?=` 68: below RFC 2047's 75 for a word."""


def prepare(content: bytearray, hostname: str, sender: str, full_name: str) -> int:
    """
    Make a message of what was piped in, in place: a header that ends, with a From, and mended if there is need.

    Args:
        content: Lines of mbox before the header are dropped from it.
        hostname: Of bare names in the header.
        sender, full_name: As for add_from.

    Returns:
        Length of the header section, without the empty line behind it.
    """
    start, end, blank = find_header(content)
    section = bytes(content[start:end])
    if section and not section.endswith(b"\n"):
        section = section.rstrip(b"\r") + blank
    has_nul = content.find(b"\0", end) >= 0
    if has_nul or content.count(b"\r", end) != content.count(b"\r\n", end):
        from paravion.cli.mending import mend_body

        mend_body(content, end)
    header = add_from(section, sender, full_name)
    if _needs_mending(header):
        from paravion.cli.mending import mend_header

        header = mend_header(header, hostname)
    content[:end] = header + blank
    return len(header)


def find_header(content: bytearray) -> tuple[int, int, bytes]:
    """
    Find a message's header section.

    It ends at an empty line or, as with sendmail, at the first line that can't belong to it. Leading mbox lines
    (`From a@x Mon …`) are not part of it; `From : a@x` is an obsolete field (RFC 5322 4.5).

    Returns:
        Where it begins, where it ends, and the line end that has to be put there, if the empty line is missing.
    """
    start = 0
    while content.startswith((b"From ", b">From "), start) and not _is_field(content, start):
        newline = content.find(b"\n", start)
        start = len(content) if newline < 0 else newline + 1
    first = content.find(b"\n", start)
    end_of_line = b"\r\n" if first > start and content[first - 1] == 0x0D else b"\n"  # noqa: PLR2004 (CR)
    at = start
    while at < len(content):
        newline = content.find(b"\n", at)
        end = len(content) if newline < 0 else newline + 1
        line = bytes(content[at:end])
        if not line.strip(b"\r\n"):
            return start, at, b""
        if not _belongs(line, first=at == start):
            return start, at, end_of_line
        at = end
    return start, at, end_of_line


def _is_field(content: bytearray, at: int) -> bool:
    return bytes(content[at : at + 80]).lstrip(b">")[4:].lstrip(b" \t").startswith(b":")


def _needs_mending(header: bytes) -> bool:
    """Say whether a line is too long or a name may be bare; cheap, for nearly every message needs nothing."""
    inside = False
    for line in header.splitlines():
        if len(line) > LONGEST_LINE_OCTETS:
            return True
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            value = line
        else:
            inside = bool(colon) and name.strip().lower().removeprefix(b"resent-") in ADDRESS_FIELDS
        if inside and (b'"' in value or b"(" in value or any(b"@" not in part for part in value.split(b",") if part)):
            return True
    return False


def _belongs(line: bytes, *, first: bool) -> bool:
    if line[:1] in b" \t":
        return not first
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")  # RFC 5322 4.5: the old form allows blanks before the colon
    return bool(colon) and bool(name) and all(octet in _NAME for octet in name)


def header_field(header: bytes, name: bytes) -> list[bytes]:
    """
    Give the values of all fields of a name, unfolded.

    Args:
        header: The section.
        name: In lower case.
    """
    values: list[bytes] = []
    inside = False
    for line in header.splitlines():
        if line[:1] in (b" ", b"\t"):
            if inside:
                values[-1] += line
            continue
        found, _, value = line.partition(b":")
        inside = found.strip().lower() == name
        if inside:
            values.append(value)
    return values


def add_from(header: bytes, sender: str, full_name: str) -> bytes:
    """
    Put a From field in front if there is none.

    Args:
        header: The section.
        sender: Reverse path; with a null one nothing is added, since a From can't be made of it.
        full_name: For the display name, or "".
    """
    if not sender or header_field(header, b"from"):
        return header
    mailbox = f"{_phrase(full_name)} <{sender}>" if full_name else sender
    end_of_line = b"\r\n" if b"\r\n" in header else b"\n"
    return b"From: " + mailbox.encode() + end_of_line + header


def _phrase(name: str) -> str:
    if not name.isascii():
        return _encoded_words(name)
    if all(octet in _ATEXT for octet in name.encode()):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _encoded_words(name: str) -> str:
    import binascii

    words: list[str] = []
    part = b""
    for char in name:
        octets = char.encode("utf-8", "replace")
        if len(part) + len(octets) > _ENCODED_WORD_OCTETS:
            words.append(binascii.b2a_base64(part, newline=False).decode())
            part = b""
        part += octets
    words.append(binascii.b2a_base64(part, newline=False).decode())
    return " ".join(f"=?utf-8?b?{word}?=" for word in words)
