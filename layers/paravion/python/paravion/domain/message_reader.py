"""
Read a message that comes in pieces and is never held as a whole: domain/message.py's `read_message`, to the same end.

For the same octets it gives the same message or the same refusal, word for word, wherever the pieces were cut. So a
refusal waits for the end: which of several faults is named does not depend on how the message came. Beside the piece
at hand memory holds the header section.

    where we are     what a piece is
    ---------------  ------------------------------------------------------------------
    at the top       the beginning of an mbox line, or of the first field
    in the header    kept until the empty line has come
    in the body      what `feed` gives back, its line ends made CRLF
    lost             of no use: the header section is too large, or something is refused

Next on the message's path: services/large_mail.py, which writes the body into the spool's draft.
RFC: 5322 2.1, 5321 2.3.8 and 4.1.1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.domain.headers import MAX_LINE
from paravion.domain.message import (
    BARE_CR,
    BARE_LF,
    EMPTY_LINE,
    MAX_HEADER_OCTETS,
    NO_CR,
    NO_LF,
    OBSOLETE_FROM,
    Message,
    bad_octet,
    check_policy,
    checked_fields,
    crlf,
    header_too_big,
    too_big,
)

if TYPE_CHECKING:
    from paravion.domain.address import Mailbox
    from paravion.domain.headers import Field
    from paravion.domain.message import LargeBody
    from paravion.domain.status import Rejected

_MBOX: Final = b"From "
_NAME: Final = _MBOX[:-1]
_ROOM: Final = MAX_LINE + 2  # a line with its CRLF


class MessageReader:
    """
    Reads one message: `feed` it all pieces, `end` it, then ask for the `message`.

    Args:
        max_octets: Largest content, counted with CRLF line ends (RFC 1870 5).
        bare_lf: "normalise" or "refuse".

    Attributes:
        octets: Of the content, as it came.

    Raises:
        ValueError: An unknown policy.
    """

    def __init__(self, *, max_octets: int, bare_lf: str = "normalise") -> None:
        check_policy(bare_lf)
        self.octets = 0
        self._max_octets = max_octets
        self._refuses_lf = bare_lf == "refuse"
        self._carried = b""
        self._checks = _Checks()
        self._is_at_top = True
        self._is_too_large = False
        self._held = bytearray()
        self._searched = 0
        self._section: bytes | None = None
        self._fields: tuple[Field, ...] = ()
        self._authors: tuple[Mailbox, ...] = ()
        self._is_8bit = False
        self._last = b""
        self._lines = _Lines()

    def feed(self, octets: bytes) -> bytes:
        """Take the next octets; gives what of them, and of those before, is body as it will be sent."""
        piece = self._carried + octets
        # A CR waits for what follows: no piece that is looked at has half a line end.
        self._carried = piece[-1:] if piece.endswith(b"\r") else b""
        return self._take(piece[:-1] if self._carried else piece)

    def end(self) -> bytes:
        """
        Say that there is no more; gives the rest of the body.

        Raises:
            Rejected: BAD_MESSAGE or MESSAGE_TOO_BIG, as of `read_message`.
        """
        carried, self._carried = self._carried, b""
        self._take(carried)
        checks = self._checks
        if self.octets > self._max_octets:
            raise too_big(self.octets, self._max_octets)
        if checks.refusal is not None:
            raise checks.refusal
        if checks.bare_lf is not None and self._refuses_lf:
            raise checks.bare_lf
        if self.octets + checks.bare_count > self._max_octets:
            raise too_big(self.octets + checks.bare_count, self._max_octets, "with CRLF line ends, ")
        if self._section is None:
            self._section = bytes(self._held)
        if self._is_too_large or len(self._section) > MAX_HEADER_OCTETS:
            raise header_too_big()
        self._fields, self._authors = checked_fields(crlf(self._section))
        return self._body(b"\r\n") if self._last not in {b"", b"\n"} else b""

    def message(self, body: bytes | LargeBody) -> Message:
        """Give the message, once it has ended; `body` is what `feed` and `end` gave."""
        return Message(
            fields=self._fields,
            body=body,
            is_8bit=self._is_8bit,
            header_is_utf8=not (self._section or b"").isascii(),
            long_line=self._lines.first_long,
            authors=self._authors,
        )

    def _take(self, piece: bytes) -> bytes:
        if not piece:
            return b""
        has_bare_lf = self._checks.look_at(piece, self.octets)
        self.octets += len(piece)
        if self._section is None:
            piece = self._after_header(piece)
        checks = self._checks
        is_lost = self._is_too_large or checks.refusal is not None or (self._refuses_lf and checks.bare_count > 0)
        if is_lost or not piece:
            return b""
        return self._body(crlf(piece) if has_bare_lf else piece)

    def _after_header(self, piece: bytes) -> bytes:
        """Keep what is header; give what is body."""
        if self._is_too_large:
            return b""
        held = self._held
        held += piece
        if self._is_at_top and not self._has_passed_top():
            # Of a line that may go, or be a field far too long, its first octets say all there is to say.
            del held[MAX_HEADER_OCTETS + 1 :]
            return b""
        for empty_line in (b"\r\n", b"\n"):
            if held.startswith(empty_line):
                return self._split(0, len(empty_line))
        match = EMPTY_LINE.search(held, max(0, self._searched - 2))
        if match is not None:
            begin, end = match.span()
            del match  # it looks into `held`, which nobody may shorten then
            return self._split(begin + 1, end)
        self._searched = len(held)
        if self._searched > MAX_HEADER_OCTETS:
            self._is_too_large = True
            held.clear()
        return b""

    def _has_passed_top(self) -> bool:
        """Leave out an mbox line; False while there may be one that has not ended."""
        held = self._held
        if held[: len(_MBOX)] != _MBOX[: len(held)] or OBSOLETE_FROM.match(held):
            self._is_at_top = False
        elif len(held) > len(_NAME) and held[len(_NAME) :].lstrip(b" \t") and (line_end := held.find(b"\n")) >= 0:
            del held[: line_end + 1]
            self._is_at_top = False
        return not self._is_at_top

    def _split(self, header_end: int, body_start: int) -> bytes:
        held, self._held = self._held, bytearray()
        self._section = bytes(held[:header_end])
        self._is_too_large = header_end > MAX_HEADER_OCTETS
        return bytes(memoryview(held)[body_start:])

    def _body(self, octets: bytes) -> bytes:
        self._is_8bit = self._is_8bit or not octets.isascii()
        self._last = octets[-1:]
        self._lines.look_at(octets)
        return octets


class _Checks:
    """
    What is wrong with octets anywhere in the content.

    Attributes:
        refusal: Of the first bare CR, else of the first NUL.
        bare_lf: Of the first bare LF.
    """

    def __init__(self) -> None:
        self.bare_count = 0
        self.bare_lf: Rejected | None = None
        self._bare_cr: Rejected | None = None
        self._nul: Rejected | None = None
        self._lines = 0
        self._line_at = 0

    @property
    def refusal(self) -> Rejected | None:
        return self._bare_cr or self._nul

    def look_at(self, piece: bytes, at: int) -> bool:
        """Look at what begins with the content's octet `at`, and does not end with CR; says whether it has bare LFs."""
        pairs, line_feeds = piece.count(b"\r\n"), piece.count(b"\n")
        bare = line_feeds - pairs
        if self._bare_cr is None and piece.count(b"\r") != pairs and (match := BARE_CR.search(piece)):
            self._bare_cr = self._refused(piece, match.start(), at, NO_LF)
        if self._nul is None and (found := piece.find(b"\0")) >= 0:
            self._nul = self._refused(piece, found, at, "NUL")
        if self.bare_lf is None and bare and (match := BARE_LF.search(piece)):
            self.bare_lf = self._refused(piece, match.start(), at, NO_CR)
        self.bare_count += bare
        if line_feeds:
            self._lines += line_feeds
            self._line_at = at + piece.rfind(b"\n") + 1
        return bare > 0

    def _refused(self, piece: bytes, found: int, at: int, what: str) -> Rejected:
        line_end = piece.rfind(b"\n", 0, found)
        begin = self._line_at if line_end < 0 else at + line_end + 1
        return bad_octet(self._lines + piece.count(b"\n", 0, found) + 1, at + found - begin + 1, what)


class _Lines:
    """
    Looks for a body's first line over 998 octets.

    Attributes:
        first_long: Its number, 0 if there is none.
    """

    def __init__(self) -> None:
        self.first_long = 0
        self._before = 0
        self._begun_octets = 0

    def look_at(self, body: bytes) -> None:
        """Take the next octets, in steps of up to a line's length."""
        if self.first_long:
            return
        position = -self._begun_octets
        while position < len(body):
            line_end = body.rfind(b"\n", max(position, 0), position + _ROOM)
            if line_end < 0:
                break
            position = line_end + 1
        if len(body) - position >= _ROOM:
            self.first_long = self._before + body.count(b"\n", 0, max(position, 0)) + 1
        self._before += body.count(b"\n")
        self._begun_octets = len(body) - position
