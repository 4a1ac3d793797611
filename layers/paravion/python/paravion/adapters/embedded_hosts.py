"""The hosts' states on one machine: the table `host`, a row for each that limits or does not answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.host_text import decode_host, encode_host
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from paravion.adapters.embedded_database import Database
    from paravion.domain.pacing import HostState

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS host (
    name TEXT PRIMARY KEY, version INTEGER NOT NULL, expires_at REAL NOT NULL, detail BLOB NOT NULL
) WITHOUT ROWID
"""
_STANDING: Final = "(expires_at <= 0 OR expires_at > ?)"


class EmbeddedHosts:
    """
    ports.Hosts.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        database.define(_SCHEMA)

    def get(self, name: str) -> HostState | None:
        """See ports.Hosts."""
        query = f"SELECT name, version, detail FROM host WHERE name = ? AND {_STANDING}"  # noqa: S608 (our own words)
        rows = self._database.read(LedgerUnavailable, query, name, self._clock())
        return _state(rows[0]) if rows else None

    def all(self, limit: int, after: str = "") -> list[HostState]:
        """See ports.Hosts."""
        query = f"SELECT name, version, detail FROM host WHERE name > ? AND {_STANDING} ORDER BY name LIMIT ?"  # noqa: S608
        return [_state(row) for row in self._database.read(LedgerUnavailable, query, after, self._clock(), limit)]

    def update(self, name: str, change: Callable[[HostState | None], HostState | None]) -> HostState | None:
        """See ports.Hosts. Who finds that somebody was faster decides again in the writer: nobody is, twice."""
        seen = self.get(name)
        wanted = change(seen)
        if wanted is seen:
            # Most changes change nothing: that needs no place in a group.
            return seen

        def work(connection: sqlite3.Connection) -> HostState | None:
            query = f"SELECT name, version, detail FROM host WHERE name = ? AND {_STANDING}"  # noqa: S608
            row = connection.execute(query, (name, self._clock())).fetchone()
            state = _state(row) if row else None
            same = (state.version if state else 0) == (seen.version if seen else 0)
            new = wanted if same else change(state)
            if new is state:
                return state
            if new is None:
                connection.execute("DELETE FROM host WHERE name = ?", (name,))
                return None
            new = replace(new, version=(state.version if state else 0) + 1)
            # A reply's octets that are no UTF-8 are surrogates, which SQLite's texts don't take.
            detail = encode_host(new).encode("utf-8", "surrogatepass")
            connection.execute(
                "INSERT OR REPLACE INTO host VALUES (?, ?, ?, ?)", (name, new.version, new.expires_at, detail)
            )
            return new

        return self._database.write(work, LedgerUnavailable)

    def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` states that expired; gives how many. Raises LedgerUnavailable."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM host WHERE name IN"
                " (SELECT name FROM host WHERE expires_at > 0 AND expires_at <= ? LIMIT ?)",
                (now, limit),
            ).rowcount

        return self._database.write(work, LedgerUnavailable)


def _state(row: tuple[Any, ...]) -> HostState:
    name, version, detail = row
    return decode_host(name, version, detail.decode("utf-8", "surrogatepass"))
