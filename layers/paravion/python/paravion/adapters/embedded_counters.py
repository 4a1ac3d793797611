"""
Counters on one machine: the table `quota`, a row for each tenant that has one, and `statistics`, one for each quarter.

What was counted in the last second may be lost by a power cut; mail is not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from paravion.domain import quota as rules
from paravion.domain.quota import Quota, Short, State, Want
from paravion.domain.statistics import KEPT_S, Point, Tally, point_of
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    import sqlite3

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS quota (tenant TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS statistics (
    tenant TEXT NOT NULL, at INTEGER NOT NULL, attempts INTEGER NOT NULL, bounces INTEGER NOT NULL,
    complaints INTEGER NOT NULL, rejects INTEGER NOT NULL, PRIMARY KEY (tenant, at)
) WITHOUT ROWID
"""
_ADD: Final = (
    "INSERT INTO statistics VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,"
    " bounces = bounces + excluded.bounces, complaints = complaints + excluded.complaints,"
    " rejects = rejects + excluded.rejects"
)


class EmbeddedCounters:
    """ports.Counters."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.define(_SCHEMA)

    def take(self, tenant: str, want: Want, quota: Quota, now: float) -> Short | None:
        """See ports.Counters."""

        def work(connection: sqlite3.Connection) -> Short | None:
            decision = rules.decide(_load(connection, tenant), want, quota, now)
            if isinstance(decision, Short):
                return decision
            _store(connection, tenant, decision)
            return None

        return self._database.write(work, LedgerUnavailable, durable=False)

    def give_back(self, tenant: str, count: int, taken_at: float) -> None:
        """See ports.Counters."""

        def work(connection: sqlite3.Connection) -> None:
            _store(connection, tenant, rules.given_back(_load(connection, tenant), count, taken_at))

        self._database.write(work, LedgerUnavailable, durable=False)

    def sent(self, tenant: str, now: float) -> int:
        """See ports.Counters."""
        rows = self._database.read(LedgerUnavailable, "SELECT state FROM quota WHERE tenant = ?", tenant)
        return rules.sent(_state(rows[0][0]), now) if rows else 0

    def count(self, tenant: str, tally: Tally, at: float) -> None:
        """See ports.Counters. Nobody waits for it."""
        row = (tenant, point_of(at), tally.attempts, tally.bounces, tally.complaints, tally.rejects)
        self._database.write_later(lambda connection: connection.execute(_ADD, row))

    def points(self, tenant: str, since: float, until: float) -> list[Point]:
        """See ports.Counters."""
        query = "SELECT * FROM statistics WHERE tenant = ? AND at BETWEEN ? AND ? ORDER BY at"
        rows = self._database.read(LedgerUnavailable, query, tenant, since, until)
        return [Point(at, Tally(*counts)) for _, at, *counts in rows]

    def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` quarters that are told no more; gives how many. Raises LedgerUnavailable."""
        query = "SELECT tenant, at FROM statistics WHERE at < ? LIMIT ?"
        old = self._database.read(LedgerUnavailable, query, now - KEPT_S - 86_400, limit)
        if not old:
            return 0

        def work(connection: sqlite3.Connection) -> int:
            return connection.executemany("DELETE FROM statistics WHERE tenant = ? AND at = ?", old).rowcount

        return self._database.write(work, LedgerUnavailable)


def _load(connection: sqlite3.Connection, tenant: str) -> State:
    row = connection.execute("SELECT state FROM quota WHERE tenant = ?", (tenant,)).fetchone()
    return _state(row[0]) if row else State()


def _store(connection: sqlite3.Connection, tenant: str, state: State) -> None:
    text = json.dumps([state.free_at, {str(hour): count for hour, count in state.hours.items()}])
    connection.execute("INSERT OR REPLACE INTO quota VALUES (?, ?)", (tenant, text))


def _state(text: str) -> State:
    free_at, hours = json.loads(text)
    return State({int(hour): count for hour, count in hours.items()}, free_at)
