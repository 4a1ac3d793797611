"""The event log's stream on one machine: lines are gathered and written together, FLUSH_S later at most."""

from __future__ import annotations

import contextlib
import io
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

FLUSH_S: Final = 0.1
"""How much of the log a crash may take. What became of mail is in the ledger, not here."""

_LINES: Final = 1000


class LogBuffer(io.StringIO):
    """
    A text stream whose `flush` waits for `drain`; safe for threads.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []
        self._draining = threading.Lock()

    def write(self, text: str) -> int:
        """Take a line."""
        self._lines.append(text)
        if len(self._lines) >= _LINES:
            self.drain()
        return len(text)

    def drain(self) -> None:
        """Write what was taken. A log that can't be written must not stop the mail."""
        # A line that a thread adds meanwhile stays for the next time.
        with self._draining:
            count = len(self._lines)
            lines = self._lines[:count]
            del self._lines[:count]
        if lines:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write("".join(lines))
                self._stream.flush()
