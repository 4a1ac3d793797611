"""Records on one machine: the table `record`, a row for each; what mail asks for is kept (embedded_look_ups.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.embedded_look_ups import LookUps
from paravion.errors import LedgerUnavailable
from paravion.ports import Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS record"
    " (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL,"
    " PRIMARY KEY (kind, name)) WITHOUT ROWID"
)
_NAMES: Final = 500  # of one query: SQLite's limit of variables is 999 in old builds


class EmbeddedRecords:
    """
    ports.Records.

    Args:
        alone: See LookUps.
    """

    def __init__(self, database: Database, *, alone: bool = True) -> None:
        self._database = database
        self._look_ups = LookUps(alone=alone)
        database.define(_SCHEMA)

    def get(self, kind: str, name: str) -> Record | None:
        """See ports.Records."""
        rows = self._look_ups.rows(self._read, kind, name)
        return _record(*rows[0]) if rows else None

    def get_all(self, kind: str, names: Sequence[str]) -> dict[str, Record]:
        """See ports.Records."""
        found: dict[str, Record] = {}
        for first in range(0, len(names), _NAMES):
            for row in self._look_ups.rows(self._read, kind, *names[first : first + _NAMES]):
                record = _record(*row)
                found[record.name] = record
        return found

    def _read(self, kind: str, *names: str) -> list[Any]:
        marks = ",".join("?" * len(names))
        query = f"SELECT * FROM record WHERE kind = ? AND name IN ({marks})"  # noqa: S608 (question marks)
        return self._database.read(LedgerUnavailable, query, kind, *names)

    def put(self, kind: str, name: str, value: Mapping[str, Any], *, version: int | None = None) -> Record | None:
        """See ports.Records."""
        text = json.dumps(value, separators=(",", ":"))  # ASCII: SQLite takes no lone surrogates

        def work(connection: sqlite3.Connection) -> Record | None:
            query = "SELECT version FROM record WHERE kind = ? AND name = ?"
            row = connection.execute(query, (kind, name)).fetchone()
            current = row[0] if row else 0
            if version is not None and version != current:
                return None
            connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", (kind, name, text, current + 1))
            return Record(kind, name, value, current + 1)

        with self._look_ups.changing():
            return self._database.write(work, LedgerUnavailable)

    def delete(self, kind: str, name: str) -> bool:
        """See ports.Records."""

        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM record WHERE kind = ? AND name = ?", (kind, name)).rowcount > 0

        with self._look_ups.changing():
            return self._database.write(work, LedgerUnavailable)

    def page(self, kind: str, limit: int, after: str = "") -> list[Record]:
        """See ports.Records."""
        query = "SELECT * FROM record WHERE kind = ? AND name > ? ORDER BY name LIMIT ?"
        return [_record(*row) for row in self._database.read(LedgerUnavailable, query, kind, after, limit)]


def _record(kind: str, name: str, value: str, version: int) -> Record:
    return Record(kind, name, json.loads(value), version)
