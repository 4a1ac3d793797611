"""
DATA: finds its end, undoes the dots, and says what is wrong with it. Pure; fed by session.py.

Only CR LF . CR LF ends it. Anything else that some host could take for an end (`<LF>.<LF>`,
`<LF>.<CR><LF>`, `<CR><LF>.<LF>`, `<CR>.<CR>` …) holds a bare CR or LF, and a message that holds one is
refused as a whole once its real end has come: nothing after the false end is ever read as a command,
and nothing is sent on that the next host could read otherwise ("SMTP smuggling", 2023).

RFC: 5321 4.1.1.4, 4.5.2 (transparency), 2.3.8 (lines end with CR LF and nothing else).
"""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n.\r\n"
_LINE_END: Final = b"\r\n"


class Content:
    """
    One message's octets as they come in.

    Args:
        max_octets: Largest content, counted without the dots that transparency adds. More is read and
            dropped, since a client listens only after the end.

    Attributes:
        received_octets: All that came, for the pace that a client must keep.
        too_big: Nothing is kept any more.
        rest: After the end: what the client pipelined behind it.
    """

    def __init__(self, max_octets: int) -> None:
        self.received_octets = 0
        self.too_big = False
        self.rest = b""
        self._max_octets = max_octets
        # The CR LF of the DATA command itself counts: a dot at once ends an empty message.
        self._octets = bytearray(_LINE_END)

    @property
    def held_octets(self) -> int:
        """What is in memory."""
        return len(self._octets)

    def feed(self, octets: bytes | bytearray) -> bool:
        """Take what came; True once the end was there."""
        searched = max(0, len(self._octets) - len(_END) + 1)
        self._octets += octets
        self.received_octets += len(octets)
        end = self._octets.find(_END, searched)
        if end >= 0:
            self.rest = bytes(self._octets[end + len(_END) :])
            del self._octets[end + len(_LINE_END) :]
        if not self.too_big and len(self._octets) - len(_LINE_END) > self._max_octets:
            dots = self._octets.count(b"\r\n.")
            self.too_big = len(self._octets) - len(_LINE_END) - dots > self._max_octets
        if self.too_big:
            self.drop()
        return end >= 0

    def drop(self) -> None:
        """Keep no more than is needed to find the end."""
        self.too_big = True
        del self._octets[: -len(_END) + 1]

    def fault(self) -> str:
        """Name what is wrong with a content that has ended, or give ""."""
        line_ends = self._octets.count(_LINE_END)
        if self._octets.count(b"\n") != line_ends:
            return "bare LF"
        if self._octets.count(b"\r") != line_ends:
            return "bare CR"
        return ""

    def take(self) -> bytes:
        """Give the message, without the dots that transparency added; this holds nothing afterwards."""
        octets = self._octets.replace(b"\r\n.", _LINE_END)
        self._octets = bytearray(_LINE_END)
        del octets[: len(_LINE_END)]
        return bytes(octets)
