"""
sendmail's tables on one machine.

    SQL table    holds
    -----------  --------------------------------------------------------------------------------------------
    loaded       for each kind: its load (a number), generation, pages, entries, when; the swap is its update
    entry        load and position, key, value; found by key too

A load is written in pieces, so that mail goes on meanwhile, under a number that nothing names; the swap is one
statement. The load before stays readable until the one after is in place, for whoever iterates over it. What is
loaded is kept in memory: one process writes here, and another one looks again before each batch (`refresh`).
"""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import table_pages
from paravion.errors import LedgerUnavailable
from paravion.ports import TableInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS loaded (
    kind TEXT PRIMARY KEY, load INTEGER NOT NULL, generation TEXT NOT NULL, pages INTEGER NOT NULL,
    entries INTEGER NOT NULL, loaded_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    load INTEGER NOT NULL, position INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (load, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS entry_key ON entry (load, key)
"""

PAGE_ENTRIES: Final = 500
"""Entries that are written, read and removed at once."""

_KEYS: Final = 500  # of one query: SQLite's limit of variables is 999 in old builds

_FIND: Final = (
    "SELECT entry.key, entry.value FROM loaded JOIN entry ON entry.load = loaded.load"
    " WHERE loaded.kind = ? AND entry.key IN ({marks})"
)


class EmbeddedTables:
    """
    ports.Tables. There is one for a database that writes.

    Args:
        writes: False: another process does.
    """

    def __init__(self, database: Database, *, writes: bool = True) -> None:
        self._database = database
        self._lock = threading.Lock()
        database.define(_SCHEMA)
        self._loaded: dict[str, tuple[int, TableInfo]] = {}
        self.refresh()
        ((last,),) = database.read(LedgerUnavailable, "SELECT COALESCE(MAX(load), 0) FROM entry")
        self._last = max([last, *(load for load, _ in self._loaded.values())])
        self._before: dict[str, int] = {}
        if writes:
            self._keep_only()

    def loaded(self) -> Mapping[str, TableInfo]:
        """See ports.Tables."""
        return {kind: info for kind, (_, info) in self._loaded.items()}

    def refresh(self) -> None:
        """See what another process loaded since the last time. Raises LedgerUnavailable."""
        rows: list[Any] = self._database.read(
            LedgerUnavailable, "SELECT kind, load, generation, pages, entries, loaded_at FROM loaded"
        )
        self._loaded = {kind: (load, TableInfo(*info)) for kind, load, *info in rows}

    def lookup(self, kind: str, keys: Sequence[str]) -> dict[str, str]:
        """See ports.Tables. Which load stands is read with its entries, at one instant."""
        if kind not in self._loaded:
            return {}
        pieces = [keys[first : first + _KEYS] for first in range(0, len(keys), _KEYS)]
        queries = [(_FIND.format(marks=",".join("?" * len(some))), (kind, *map(_octets, some))) for some in pieces]
        return _texts([row for rows in self._database.read_all(LedgerUnavailable, queries) for row in rows])

    def pages(self, kind: str) -> Iterator[Mapping[str, str]]:
        """See ports.Tables."""
        standing = self._loaded.get(kind)
        if standing is None:
            return
        load, info = standing
        for number in range(info.pages):
            query = "SELECT key, value FROM entry WHERE load = ? AND position >= ? AND position < ? ORDER BY position"
            first = number * PAGE_ENTRIES
            rows = self._database.read(LedgerUnavailable, query, load, first, first + PAGE_ENTRIES)
            if len(rows) != min(PAGE_ENTRIES, info.entries - first):
                raise LedgerUnavailable(f"table {kind} was replaced while it was read")
            yield _texts(rows)

    def replace(self, kind: str, entries: Mapping[str, str], loaded_at: float) -> TableInfo:
        """See ports.Tables."""
        return self.replace_all({kind: entries}, loaded_at)[kind]

    def replace_all(self, tables: Mapping[str, Mapping[str, str]], loaded_at: float) -> dict[str, TableInfo]:
        """See ports.Tables."""
        with self._lock:
            new = {kind: self._load(entries, loaded_at) for kind, entries in tables.items()}
            self._write(
                "INSERT OR REPLACE INTO loaded VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (kind, load, info.generation, info.pages, info.entries, info.loaded_at)
                    for kind, (load, info) in new.items()
                ],
            )
            self._before |= {kind: self._loaded[kind][0] for kind in new if kind in self._loaded}
            self._loaded = {**self._loaded, **new}
            self._keep_only()
        return {kind: info for kind, (_, info) in new.items()}

    def _load(self, entries: Mapping[str, str], loaded_at: float) -> tuple[int, TableInfo]:
        """Write entries under a number that nothing names yet."""
        pages = max(1, -(-len(entries) // PAGE_ENTRIES))
        info = TableInfo(table_pages.generation_of(entries), pages, len(entries), loaded_at)
        self._last += 1
        load = self._last
        rows = ((load, n, _octets(key), _octets(value)) for n, (key, value) in enumerate(entries.items()))
        while page := list(islice(rows, PAGE_ENTRIES)):
            self._write("INSERT INTO entry VALUES (?, ?, ?, ?)", page)
        return load, info

    def remove(self, kind: str) -> bool:
        """See ports.Tables."""
        with self._lock:
            if kind not in self._loaded:
                return False
            self._write("DELETE FROM loaded WHERE kind = ?", [(kind,)])
            self._loaded = {name: standing for name, standing in self._loaded.items() if name != kind}
            self._before.pop(kind, None)
            self._keep_only()
        return True

    def _keep_only(self) -> None:
        """Remove all loads but those that are in place and those before them, a piece at a time."""
        loads = {load for load, _ in self._loaded.values()} | set(self._before.values())
        there = {load for (load,) in self._database.read(LedgerUnavailable, "SELECT DISTINCT load FROM entry")}
        for load in sorted(there - loads):
            ((last,),) = self._database.read(LedgerUnavailable, "SELECT MAX(position) FROM entry WHERE load = ?", load)
            for first in range(0, last + 1, PAGE_ENTRIES):
                self._write(
                    "DELETE FROM entry WHERE load = ? AND position >= ? AND position < ?",
                    [(load, first, first + PAGE_ENTRIES)],
                )

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)

        self._database.write(work, LedgerUnavailable)


def _octets(text: str) -> bytes:
    # Octets that are no UTF-8 travel as surrogates, which SQLite's own texts don't take.
    return text.encode("utf-8", "surrogatepass")


def _texts(rows: list[Any]) -> dict[str, str]:
    return {key.decode("utf-8", "surrogatepass"): value.decode("utf-8", "surrogatepass") for key, value in rows}
