"""The identities on one machine: the table `identity`, a row for each; what mail asks for is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.embedded_look_ups import LookUps
from paravion.errors import LedgerUnavailable
from paravion.ports import Identity

if TYPE_CHECKING:
    import sqlite3

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS identity"
    " (name TEXT PRIMARY KEY, verified INTEGER NOT NULL, token TEXT NOT NULL, created_at REAL NOT NULL,"
    " tenant TEXT NOT NULL DEFAULT '') WITHOUT ROWID"
)


class EmbeddedIdentities:
    """
    ports.Identities.

    Args:
        alone: See LookUps.
    """

    def __init__(self, database: Database, *, alone: bool = True) -> None:
        self._database = database
        self._look_ups = LookUps(alone=alone)
        database.define(_SCHEMA)
        database.write(_with_tenant, LedgerUnavailable)

    def get(self, name: str) -> Identity | None:
        """See ports.Identities."""
        rows = self._look_ups.rows(self._read, name)
        return _identity(*rows[0]) if rows else None

    def _read(self, name: str) -> list[Any]:
        return self._database.read(LedgerUnavailable, "SELECT * FROM identity WHERE name = ?", name)

    def put(self, identity: Identity, *, new: bool = False) -> bool:
        """See ports.Identities."""
        row = (identity.name, int(identity.verified), identity.token, identity.created_at, identity.tenant)

        def work(connection: sqlite3.Connection) -> bool:
            verb = "INSERT OR IGNORE" if new else "INSERT OR REPLACE"
            return connection.execute(f"{verb} INTO identity VALUES (?, ?, ?, ?, ?)", row).rowcount > 0

        with self._look_ups.changing():
            return self._database.write(work, LedgerUnavailable)

    def delete(self, name: str) -> None:
        """See ports.Identities."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM identity WHERE name = ?", (name,))

        with self._look_ups.changing():
            self._database.write(work, LedgerUnavailable)

    def all(self, limit: int, after: str = "") -> list[Identity]:
        """See ports.Identities."""
        query = "SELECT * FROM identity WHERE name > ? ORDER BY name LIMIT ?"
        return [_identity(*row) for row in self._database.read(LedgerUnavailable, query, after, limit)]


def _with_tenant(connection: sqlite3.Connection) -> None:
    """Directories of before tenants have no such column."""
    if all(column[1] != "tenant" for column in connection.execute("PRAGMA table_info(identity)")):
        connection.execute("ALTER TABLE identity ADD COLUMN tenant TEXT NOT NULL DEFAULT ''")


def _identity(name: str, verified: int, token: str, created_at: float, tenant: str) -> Identity:
    return Identity(name, bool(verified), token, created_at, tenant)
