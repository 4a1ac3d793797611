"""
Transcripts on one machine: the table `transcript`, a book in each row, for 14 days.

Nothing depends on them: a power cut may take the last ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.errors import SpoolUnavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from paravion.adapters.embedded_database import Database

RETENTION_S: Final = 14 * 86_400

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS transcript (key TEXT PRIMARY KEY, kept_at REAL NOT NULL, book BLOB NOT NULL)"
)


class EmbeddedTranscripts:
    """
    ports.Transcripts.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        database.define(_SCHEMA)

    def put(self, key: str, octets: bytes) -> bool:
        """See ports.Transcripts."""
        row = (key, self._clock(), octets)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO transcript VALUES (?, ?, ?)", row)

        try:
            self._database.write(work, SpoolUnavailable, durable=False)
        except SpoolUnavailable:
            return False
        return True

    def get(self, key: str) -> bytes | None:
        """See ports.Transcripts."""
        rows = self._database.read(SpoolUnavailable, "SELECT book FROM transcript WHERE key = ?", key)
        return rows[0][0] if rows else None

    def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` books that are older than RETENTION_S; gives how many. Raises SpoolUnavailable."""

        def work(connection: sqlite3.Connection) -> int:
            # Rows lie in the order of their arrival.
            return connection.execute(
                "DELETE FROM transcript WHERE kept_at < ? AND rowid IN"
                " (SELECT rowid FROM transcript ORDER BY rowid LIMIT ?)",
                (now - RETENTION_S, limit),
            ).rowcount

        return self._database.write(work, SpoolUnavailable)
