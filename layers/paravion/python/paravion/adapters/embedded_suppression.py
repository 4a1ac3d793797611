"""The suppression list on one machine: `suppressed`, a row for each address, and the reasons that were set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.suppression import Reason, Suppressed
from paravion.errors import LedgerUnavailable
from paravion.ports import SuppressionPage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS suppressed (
    address TEXT PRIMARY KEY, reason TEXT NOT NULL, updated_at REAL NOT NULL, source TEXT NOT NULL,
    queue_id TEXT NOT NULL, reply BLOB NOT NULL, by TEXT NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS suppressed_expires ON suppressed (expires_at) WHERE expires_at > 0;
CREATE TABLE IF NOT EXISTS suppression_reasons (one INTEGER PRIMARY KEY CHECK (one = 1), reasons TEXT NOT NULL)
"""

_ADDRESSES: Final = 500  # of one query: SQLite's limit of variables is 999 in old builds


_PUT: Final = "INSERT OR REPLACE INTO suppressed VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class EmbeddedSuppression:
    """ports.Suppression."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.define(_SCHEMA)

    def find(self, addresses: Sequence[str], now: float) -> dict[str, Suppressed]:
        """See ports.Suppression."""
        found: dict[str, Suppressed] = {}
        for first in range(0, len(addresses), _ADDRESSES):
            some = addresses[first : first + _ADDRESSES]
            marks = ",".join("?" * len(some))
            query = f"SELECT * FROM suppressed WHERE address IN ({marks})"  # noqa: S608 (question marks)
            for row in self._database.read(LedgerUnavailable, query, *some):
                entry = _entry(row)
                if not entry.is_expired(now):
                    found[entry.address] = entry
        return found

    def put(self, entry: Suppressed, *, unless_newer: bool = False) -> bool:
        """See ports.Suppression."""
        row = _row(entry)

        def work(connection: sqlite3.Connection) -> bool:
            if unless_newer:
                query = "SELECT 1 FROM suppressed WHERE address = ? AND updated_at > ?"
                if connection.execute(query, (entry.address, entry.updated_at)).fetchone():
                    return False
            connection.execute(_PUT, row)
            return True

        return self._database.write(work, LedgerUnavailable)

    def put_all(self, entries: Sequence[Suppressed]) -> None:
        """See ports.Suppression."""
        rows = [_row(entry) for entry in entries]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_PUT, rows)

        if rows:
            self._database.write(work, LedgerUnavailable)

    def delete(self, address: str, now: float) -> bool:
        """See ports.Suppression."""

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT * FROM suppressed WHERE address = ?", (address,)).fetchone()
            connection.execute("DELETE FROM suppressed WHERE address = ?", (address,))
            return row is not None and not _entry(row).is_expired(now)

        return self._database.write(work, LedgerUnavailable)

    def page(
        self, after: str, limit: int, now: float, *, reasons: Collection[Reason], since: float, until: float
    ) -> SuppressionPage:
        """See ports.Suppression."""
        if after and "@" not in after:
            raise ValueError(after)
        wanted = sorted(reason.value for reason in reasons)
        marks = ",".join("?" * len(wanted))
        rows = self._database.read(
            LedgerUnavailable,
            f"SELECT * FROM suppressed WHERE address > ? AND reason IN ({marks}) AND updated_at >= ?"  # noqa: S608
            " AND updated_at < ? AND (expires_at <= 0 OR expires_at > ?) ORDER BY address LIMIT ?",
            after,
            *wanted,
            since,
            until,
            now,
            limit + 1,
        )
        entries = tuple(map(_entry, rows[:limit]))
        return SuppressionPage(entries, entries[-1].address if len(rows) > limit else "")

    def reasons(self) -> tuple[Reason, ...] | None:
        """See ports.Suppression."""
        rows = self._database.read(LedgerUnavailable, "SELECT reasons FROM suppression_reasons")
        return tuple(map(Reason, json.loads(rows[0][0]))) if rows else None

    def set_reasons(self, reasons: Sequence[Reason]) -> None:
        """See ports.Suppression."""
        text = json.dumps([reason.value for reason in reasons])

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO suppression_reasons VALUES (1, ?)", (text,))

        self._database.write(work, LedgerUnavailable)

    def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` entries whose time is over; gives how many. Raises LedgerUnavailable."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM suppressed WHERE address IN"
                " (SELECT address FROM suppressed WHERE expires_at > 0 AND expires_at <= ? LIMIT ?)",
                (now, limit),
            ).rowcount

        return self._database.write(work, LedgerUnavailable)


def _row(entry: Suppressed) -> tuple[Any, ...]:
    return (
        entry.address,
        entry.reason.value,
        entry.updated_at,
        entry.source,
        entry.queue_id,
        # A reply's octets that are no UTF-8 are surrogates, which SQLite's texts don't take.
        entry.reply.encode("utf-8", "surrogatepass"),
        entry.by,
        entry.expires_at,
    )


def _entry(row: tuple[Any, ...]) -> Suppressed:
    address, reason, updated_at, source, queue_id, reply, by, expires_at = row
    text = reply.decode("utf-8", "surrogatepass")
    return Suppressed(address, Reason(reason), updated_at, source, queue_id, text, by, expires_at)
