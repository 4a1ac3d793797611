"""
Where lines end: whether CR and LF stand together everywhere. SMTP knows no other end of a line (RFC 5321 2.3.8).

Asked of every message three times: by the front door, by domain/message.py and by domain/smtp_dialogue.py, which say
what becomes of one that fails.
"""

from __future__ import annotations

import io
from typing import Final

_PIECE: Final = 1 << 18  # octets that are copied at a time


def has_whole_lines(octets: bytes | bytearray) -> bool:
    """Say whether every CR and LF is part of a CRLF. Read once, a third of the time that it takes to count them."""
    reader = io.IncrementalNewlineDecoder(None, translate=False)
    for at in range(0, len(octets), _PIECE):
        reader.decode(str(octets[at : at + _PIECE], "latin-1"))
    reader.decode("", final=True)
    return reader.newlines in (None, "\r\n")
