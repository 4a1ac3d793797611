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
    from collections.abc import Callable, Iterable, Iterator

_OCTETS: Final = 8 << 20
"""Whatever is asked for: names that somebody makes up, five hundred contacts at once, templates of half a megabyte."""

_ENTRY_OCTETS: Final = 512
_TEXT_OCTETS: Final = 64
"""What an entry, and a text in it, takes beside the text's characters."""

_LARGE_OCTETS: Final = 64 << 10
"""Larger ones are read anew: a few would take the room of all others."""


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
        self._octets = 0
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
            self._keep(kept, asked, found)
        return found

    def _keep(self, kept: dict[tuple[str, ...], list[Any]], asked: tuple[str, ...], found: list[Any]) -> None:
        octets = _ENTRY_OCTETS + _texts_octets(asked) + sum(map(_texts_octets, found))
        if octets > _LARGE_OCTETS:
            return
        with self._lock:
            if self._octets + octets > _OCTETS:
                kept.clear()
                self._octets = 0
            self._octets += octets
            kept[asked] = found

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
                    self._kept, self._octets = {}, 0


def _texts_octets(row: Iterable[Any]) -> int:
    """Reckon what the texts of a row take; Python's have up to four octets a character, those of records have one."""
    return sum(_TEXT_OCTETS + len(cell) * (1 if cell.isascii() else 4) for cell in row if isinstance(cell, str))
