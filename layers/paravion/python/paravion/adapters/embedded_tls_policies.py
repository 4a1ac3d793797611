"""MTA-STS policies on one machine: the table `sts_policy`, a row for each domain until its policy expires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.domain.mta_sts import KeptPolicy, StsMode, StsPolicy
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sts_policy (
    domain TEXT PRIMARY KEY, policy_id TEXT NOT NULL, mode TEXT NOT NULL, mx TEXT NOT NULL, max_age_s INTEGER NOT NULL,
    fetched_at REAL NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sts_policy_expires ON sts_policy (expires_at)
"""


class EmbeddedTlsPolicies:
    """
    ports.TlsPolicies.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        database.define(_SCHEMA)

    def get(self, domain: str) -> KeptPolicy | None:
        """See ports.TlsPolicies."""
        query = "SELECT policy_id, mode, mx, max_age_s, fetched_at FROM sts_policy WHERE domain = ?"
        rows = self._database.read(LedgerUnavailable, query, domain)
        if not rows:
            return None
        ((policy_id, mode, mx, max_age_s, fetched_at),) = rows
        kept = KeptPolicy(policy_id, StsPolicy(StsMode(mode), tuple(mx.split()), max_age_s), fetched_at)
        return kept if kept.is_valid(self._clock()) else None

    def put(self, domain: str, policy: KeptPolicy) -> None:
        """See ports.TlsPolicies."""
        told = policy.policy
        row = (
            domain,
            policy.policy_id,
            told.mode.value,
            " ".join(told.mx),
            told.max_age_s,
            policy.fetched_at,
            policy.expires_at,
        )

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO sts_policy VALUES (?, ?, ?, ?, ?, ?, ?)", row)

        self._database.write(work, LedgerUnavailable)

    def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` policies that expired; gives how many. Raises LedgerUnavailable."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM sts_policy WHERE domain IN (SELECT domain FROM sts_policy WHERE expires_at <= ? LIMIT ?)",
                (now, limit),
            ).rowcount

        return self._database.write(work, LedgerUnavailable)
