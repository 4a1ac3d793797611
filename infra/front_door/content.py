"""
A message as DATA or BDAT brings it: finds its end, undoes the dots, says what is wrong. Pure; fed by session.py.

Only CR LF . CR LF ends DATA. Anything else that some host could take for an end (`<LF>.<LF>`,
`<LF>.<CR><LF>`, `<CR><LF>.<LF>`, `<CR>.<CR>` …) holds a bare CR or LF, and a message that holds one is
refused as a whole once its real end has come: nothing after the false end is ever read as a command,
and nothing is sent on that the next host could read otherwise ("SMTP smuggling", 2023). By a setting a bare
LF becomes a line's end instead; it ends no message then either.

A large content leaves in parts, so that it is never held as a whole.

RFC: 5321 4.1.1.4, 4.5.2 (transparency), 2.3.8 (lines end with CR LF and nothing else), 3030 (BDAT).
"""

from __future__ import annotations

from typing import Final

from paravion.domain.line_ends import has_whole_lines

_END: Final = b"\r\n.\r\n"
_LINE_END: Final = b"\r\n"
_KEPT: Final = len(_END) - 1
"""So much of what came may be the beginning of the end."""


class Content:
    """
    One message's octets as they come in.

    Args:
        max_octets: Largest content, counted without the dots that transparency adds. More is read and
            dropped, since a client listens only after the end.
        dotted: It comes by DATA, with dots and an end; BDAT counts octets instead.
        normalise: A bare LF becomes CR LF and is no fault.

    Attributes:
        received_octets: All that came, for the pace that a client must keep.
        too_big: More than max_octets; nothing is kept any more.
        refusal: Why it is not taken, as a reply; likewise. "" for nothing.
        rest: After the end: what the client pipelined behind it.
    """

    __slots__ = (
        "_dots", "_dotted", "_fault", "_foreign", "_left", "_max_octets", "_normalise", "_octets",
        "received_octets", "refusal", "rest", "too_big",
    )  # fmt: skip

    def __init__(self, max_octets: int, *, dotted: bool = True, normalise: bool = False) -> None:
        self.received_octets = 0
        self.too_big = False
        self.refusal = ""
        self.rest = b""
        self._max_octets = max_octets
        self._dotted = dotted
        self._normalise = normalise
        self._fault = ""
        self._dots = 0
        self._left = 0
        # The CR LF of the DATA command itself counts: a dot at once ends an empty message.
        self._octets = bytearray(_LINE_END if dotted else b"")
        self._foreign = len(self._octets)

    @property
    def held_octets(self) -> int:
        """What is in memory."""
        return len(self._octets)

    @property
    def is_dropped(self) -> bool:
        """Nothing of it is of use any more."""
        return self.too_big or self.refusal != "" or self._fault != ""

    def feed(self, octets: bytes) -> bool:
        """Take what came by DATA; True once the end was there."""
        held = self._octets
        searched = max(0, len(held) - _KEPT)
        held += octets
        self.received_octets += len(octets)
        end = held.find(_END, searched)
        if end >= 0:
            self.rest = bytes(held[end + len(_END) :])
            del held[end + len(_LINE_END) :]
        self._bound()
        return end >= 0

    def feed_chunk(self, octets: bytes) -> None:
        """Take what came by BDAT."""
        self._octets += octets
        self.received_octets += len(octets)
        self._bound()

    def _bound(self) -> None:
        over = self._left + len(self._octets) - self._foreign - self._max_octets
        if over > self._dots and not self.too_big:
            # Counted anew only beyond what is known: not of megabytes for every octet that comes.
            self._dots = self._octets.count(b"\r\n.") if self._dotted else 0
            # Of what may be the end the dot is among the dots; its CR is no content yet either.
            may_end = self._dotted and self._octets.endswith(_END[:-1])
            self.too_big = over - may_end > self._dots
        if self.is_dropped:
            self._drop()

    def refuse(self, reply: str) -> None:
        """Keep no more of it."""
        self.refusal = reply
        self._drop()

    def _drop(self) -> None:
        """Keep what may be the beginning of the end."""
        del self._octets[:-_KEPT]

    def fault(self) -> str:
        """Name what is wrong with a content that has ended, or give ""."""
        return self._fault or self._fault_of(self._octets)

    def _fault_of(self, octets: bytearray) -> str:
        if has_whole_lines(octets):
            return ""
        line_ends = octets.count(_LINE_END)
        if not self._normalise and octets.count(b"\n") != line_ends:
            return "bare LF"
        if octets.count(b"\r") != line_ends:
            return "bare CR"
        return ""

    def take(self) -> bytes:
        """Give the message, or what has not left in parts; this holds nothing afterwards. Once it has ended."""
        octets, self._octets = self._octets, bytearray()
        return self._plain(octets)

    def take_part(self) -> bytes:
        """
        Give most of what came so far, before the end; this holds a few octets afterwards.

        Returns:
            b"" if it is of no use, or too little.
        """
        held = self._octets
        cut = len(held) - _KEPT
        # A line's end is neither cut in two nor from the dot behind it.
        if cut > 0 and held[cut - 1] in _LINE_END:
            cut -= 2 if held[cut - 2 : cut] == _LINE_END else 1
        if cut <= self._foreign or self.is_dropped:
            return b""
        piece = held[:cut]
        self._fault = self._fault_of(piece)
        if self._fault:
            self._drop()
            return b""
        del held[:cut]
        part = self._plain(piece)
        self._left += len(part)
        self._dots = 0
        return part

    def _plain(self, octets: bytearray) -> bytes:
        """Undo what is not the message's own."""
        if self._normalise:
            octets = octets.replace(_LINE_END, b"\n").replace(b"\n", _LINE_END)
        if self._dotted:
            octets = octets.replace(b"\r\n.", _LINE_END)
        foreign, self._foreign = self._foreign, 0
        return bytes(memoryview(octets)[foreign:])
