"""
The header section as `sendmail` needs it: where it ends, what one field says, a From in front.

Works on octets and keeps them; the API parses, checks and completes.

RFC: 5322 2.1 and 2.2 (fields, folding, the empty line), 2047 (encoded words in a name), 3.4 (mailbox).
"""

from __future__ import annotations

_NAME = frozenset(range(0x21, 0x7F)) - {0x3A}
_ATEXT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~ ")
_ENCODED_WORD_OCTETS = 42
"""base64 makes 56 of them, with `=?utf-8?b?…?=` 68: below RFC 2047's 75 for a word."""


def split_header(content: bytes) -> tuple[bytes, bytes]:
    """
    Divide a message into its header section and the rest.

    The header ends at an empty line or, as with sendmail, at the first line that can't belong to it:
    then an empty line is put before the rest. A leading mbox line (`From a@x Mon …`) is dropped.

    Returns:
        Header section, each line with its end; the rest, which begins with the empty line.
    """
    if content.startswith((b"From ", b">From ")):
        content = content.partition(b"\n")[2]
    at = 0
    end_of_line = b"\r\n" if b"\r\n" in content[: content.find(b"\n") + 1] else b"\n"
    while at < len(content):
        newline = content.find(b"\n", at)
        end = len(content) if newline < 0 else newline + 1
        line = content[at:end]
        if not line.strip(b"\r\n"):
            return content[:at], content[at:]
        if not _belongs(line, first=at == 0):
            return content[:at], end_of_line + content[at:]
        at = end
    header = content if content.endswith(b"\n") or not content else content + end_of_line
    return header, end_of_line


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
