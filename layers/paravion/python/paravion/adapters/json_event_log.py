"""
The event log as JSON lines on a stream, in the form of event_log.py's, without its library.
"""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_ERRORS: Final = {"Fault"}
_encode = json.JSONEncoder(default=str).encode


class JsonEventLog:
    """
    ports.EventLog; safe for threads: a line is one write.

    Args:
        service: Names who logs.
        level: The lowest that is logged; records are INFO, a Fault is ERROR.
        clock: Seconds since the epoch.
    """

    def __init__(self, service: str, level: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._service = service
        self._lowest = _LEVELS.index(level)
        self._stream = stream
        self._clock = clock

    def emit(self, event: str, fields: Mapping[str, object]) -> None:
        """See ports.EventLog."""
        level = "ERROR" if event in _ERRORS else "INFO"
        if _LEVELS.index(level) < self._lowest:
            return
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        record = {"level": level, "message": event, "timestamp": at, "service": self._service, **fields}
        # A log that can't be written must not stop the mail.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(_encode(record) + "\n")
            self._stream.flush()
