"""
What was looked up and is as it was: rows of a table that this process alone writes, kept until it writes there.

Mail asks the same few questions again and again (embedded_records.py, embedded_identities.py), mostly for what was
never made, and each costs SQLite a transaction. An answer is never older than a change that was answered.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENTRIES: Final = 4096


class LookUps:
    """
    Rows by what was asked for; safe for threads.

    Args:
        alone: No other process writes the table. False: another one does and may keep what it read, so that nothing
            is kept here, and nothing may be changed.
    """

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        # None: nothing is kept, for somebody writes. Who still has a dictionary of before keeps it for nobody.
        self._kept: dict[tuple[str, ...], list[Any]] | None = {} if alone else None
        self._changes = 0
        self._lock = threading.Lock()

    def rows(self, read: Callable[..., list[Any]], *asked: str) -> list[Any]:
        """Give what `read` gives of these words; the caller must leave it as it is. Raises what `read` does."""
        kept = self._kept
        if kept is None:
            return read(*asked)
        found = kept.get(asked)
        if found is None:
            found = read(*asked)
            if len(kept) >= _ENTRIES:
                kept.clear()
            kept[asked] = found
        return found

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Write the table inside: what is read meanwhile is read from it, and everything anew afterwards."""
        if not self._alone:
            raise RuntimeError("another process writes this table")
        with self._lock:
            self._changes += 1
            self._kept = None
        try:
            yield
        finally:
            with self._lock:
                self._changes -= 1
                if not self._changes:
                    self._kept = {}
