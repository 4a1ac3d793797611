"""
One timer with a moving instant: to set it anew costs a comparison.

A connection's deadline moves with every reply. A timer of the loop for each would be made and cancelled thousands of
times a second; this one stays in the loop, looks when it wakes whether its instant has moved on, and sleeps again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Alarm:
    """
    Calls back at the instant that was set last.

    Args:
        ring: Called at that instant, or later if the loop stood still.
    """

    __slots__ = ("_at", "_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Ring at this instant (of the loop's clock), and at no other."""
        self._at = at
        if self._handle is not None:
            if self._handle.when() <= at:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(at, self._look)

    def end(self) -> None:
        """Never ring again, unless it is set."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        assert self._handle is not None  # noqa: S101 (it called us)
        was_due = self._handle.when()
        self._handle = None
        if self._at > was_due:
            self.set(self._at)
        else:
            self._ring()
