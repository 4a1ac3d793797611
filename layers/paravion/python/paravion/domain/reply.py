"""
SMTP replies, read from octets as they come in.

Lenient where hosts are sloppy and nothing is lost by it (a lone LF ends a line, a code without text, a
line longer than 512 octets is cut, a reply longer than we keep is read to its end); strict where the
meaning is at stake: a line without a code, or two codes in one reply, is `Malformed`, and after that
nothing on this connection can be trusted. What a reply means is domain/verdict.py's affair.

RFC: 5321 4.2 and 4.5.3.1.5 (form and length), 2034 4 and 3463 2 (enhanced status), 6531 3.7.4.2 (UTF-8 in replies).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TEXT_CHARACTERS: Final = 1000
"""Longest text kept of a reply; the limit of Outcome.text."""

_LINE_OCTETS: Final = 12_300  # RFC 4954 4: a challenge in base64; other lines have 512 (RFC 5321 4.5.3.1.5)
_REPLY_LINES: Final = 100  # an EHLO reply has some 20; the rest of a longer reply is read and dropped
_REPLY_OCTETS: Final = 65_536  # no honest reply is longer: who sends more never means to end

_USUAL_OCTETS: Final = 128  # a longer line is seldom said twice

_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One complete reply.

    Attributes:
        code: 200 to 599.
        lines: The text of each line, printable, without code and enhanced status; at least one, maybe "".
        enhanced: `class.subject.detail` if the host gave one whose class agrees with the code, else "".
    """

    code: int
    lines: tuple[str, ...]
    enhanced: str = ""

    @property
    def text(self) -> str:
        """The lines joined by LF, at most TEXT_CHARACTERS."""
        return "\n".join(self.lines)[:TEXT_CHARACTERS]

    @property
    def severity(self) -> int:
        """The first digit: 2 done, 3 go on, 4 not now, 5 never."""
        return self.code // 100


@dataclass(frozen=True, slots=True)
class Malformed:
    """Octets that are no reply; the text says what came, printable."""

    text: str


def printable(octets: bytes) -> str:
    """
    Make text of octets that a stranger sent: UTF-8 where it is, everything unprintable escaped.

    A tab becomes a space. The result holds no control characters, no line ends, no surrogates.
    """
    text = octets.decode("utf-8", "backslashreplace").replace("\t", " ")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class ReplyParser:
    """
    Turns octets into replies; any split of the octets gives the same replies.

    Memory is bounded whatever the host sends. After a Malformed the parser is dead and gives nothing more.
    """

    __slots__ = ("_code", "_dead", "_lines", "_octets", "_partial")

    def __init__(self) -> None:
        self._partial = b""
        self._lines: list[bytes] = []
        self._code = b""
        self._octets = 0
        self._dead = False

    @property
    def is_empty(self) -> bool:
        """Nothing of a further reply has come in yet."""
        return not self._octets and not self._partial

    def feed(self, octets: bytes) -> list[Reply | Malformed]:
        """Take what was received and give the replies that it completed, in order."""
        replies: list[Reply | Malformed] = []
        if self._dead:
            return replies
        *lines, rest = octets.split(b"\n")
        for line in lines:
            reply: Reply | Malformed | None = None
            if not self._octets and len(line) < _USUAL_OCTETS:
                reply = _usual(line)
            if reply is None:
                reply = self._line(self._partial + line, len(line) + 1)
                self._partial = b""
            if reply is not None:
                replies.append(reply)
                if self._dead:
                    return replies
        if rest:
            self._octets += len(rest)
            self._partial = (self._partial + rest)[: _LINE_OCTETS + 1]
            if self._octets > _REPLY_OCTETS:
                replies.append(self._die("reply without end: ", self._partial))
        return replies

    def _line(self, line: bytes, octets: int) -> Reply | Malformed | None:
        """Take one line without its LF; `octets` of it are new to the count."""
        self._octets += octets
        if self._octets > _REPLY_OCTETS:
            return self._die("reply without end: ", line)
        match = _LINE.fullmatch(line[:_LINE_OCTETS].removesuffix(b"\r"))
        if match is None:
            return self._die("not a reply: ", line)
        code, hyphen, text = match.groups(b"")
        if self._code and code != self._code:
            return self._die("codes differ within a reply: ", line)
        self._code = code
        if len(self._lines) < _REPLY_LINES:
            self._lines.append(text)
        if hyphen == b"-":
            return None
        reply = _reply(int(code), self._lines)
        self._lines = []
        self._code = b""
        self._octets = 0
        return reply

    def _die(self, what: str, line: bytes) -> Malformed:
        self._dead = True
        self._lines = []
        self._partial = b""
        return Malformed(what + printable(line[:200]))


@lru_cache(maxsize=256)
def _usual(line: bytes) -> Reply | None:
    """Read a line, without its LF, that is a whole reply; hosts say the same few over and over."""
    match = _LINE.fullmatch(line.removesuffix(b"\r"))
    if match is None or match[2] == b"-":
        return None
    return _reply(int(match[1]), [match[3] or b""])


def _reply(code: int, octets: list[bytes]) -> Reply:
    lines = [printable(line) for line in octets]
    match = _ENHANCED.match(lines[0])
    if match is None or int(match[1]) != code // 100:
        return Reply(code, tuple(lines))
    # RFC 2034 4: every line of a reply repeats the status.
    enhanced = f"{match[1]}.{match[2]}.{match[3]}"
    return Reply(code, tuple(_without(line, enhanced) for line in lines), enhanced)


def _without(line: str, enhanced: str) -> str:
    return line[len(enhanced) :].lstrip() if line.startswith(enhanced) else line
