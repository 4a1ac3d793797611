"""
The ledger on one machine: one row for each job, and an index of those that wait.

    table `job`               as in domain.queue.JobRecord
    ------------------------  ------------------------------------------------------------------------------
    queue_id, chunk           the key
    state, version, attempts, what transitions look at
    token, lease_until,
    queued_at
    due_at, shard             the due index, where due_at is not 0; held and closed jobs have shards of their own
    detail                    the rest, as JSON (job_text.py)

Every transition reads, decides and writes in one function of the database's writer: nobody comes between. A claim
that a power cut takes back is none: what was sent under it was not recorded either, for the log is written in order.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.job_text import RETENTION_S, UNREADABLE, decode_detail, encode_detail
from paravion.domain import queue
from paravion.domain.queue import DUE_SHARDS, HELD_SHARDS, DueJob, Job, JobKey, JobRecord, State, due_shard
from paravion.errors import ClaimLost, LedgerUnavailable, RecordUnreadable

if TYPE_CHECKING:
    import sqlite3

    from paravion.adapters.embedded_database import Database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS job (
    queue_id TEXT NOT NULL, chunk INTEGER NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL,
    attempts INTEGER NOT NULL, token TEXT NOT NULL, lease_until REAL NOT NULL, queued_at REAL NOT NULL,
    due_at REAL NOT NULL, shard INTEGER NOT NULL, detail BLOB NOT NULL, PRIMARY KEY (queue_id, chunk)
);
CREATE INDEX IF NOT EXISTS job_due ON job (shard, due_at, queue_id, chunk) WHERE due_at > 0;
DROP INDEX IF EXISTS job_claimed
"""

FIELDS: Final = "queue_id, chunk, state, version, attempts, token, lease_until, queued_at, due_at, detail"

_SELECT: Final = f"SELECT {FIELDS} FROM job WHERE queue_id = ? AND chunk = ?"  # noqa: S608 (our own names)
_COLUMNS: Final = ("state", "version", "attempts", "token", "lease_until", "queued_at", "due_at", "shard", "detail")
_INSERT: Final = "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (queue_id, chunk) DO NOTHING"
_SET_EXCLUDED: Final = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
_UPDATE: Final = (
    f"UPDATE job SET {', '.join(f'{name} = ?' for name in _COLUMNS)}"  # noqa: S608 (our own names)
    " WHERE queue_id = ? AND chunk = ? AND version = ?"
)


class EmbeddedLedger:
    """ports.Ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.define(_SCHEMA)

    def claim(self, job: Job, *, token: str, lease_until: float) -> JobRecord:
        """See ports.Ledger."""
        first = queue.claimed(None, job, token=token, lease_until=lease_until)
        row = _row(first)

        def work(connection: sqlite3.Connection) -> JobRecord:
            if connection.execute(_INSERT, row).rowcount:
                return first
            record = _load(connection, job.key)
            if record is None or not queue.can_claim(record):
                assert record is not None  # noqa: S101 (its row was in the way)
                return record
            new = queue.claimed(record, job, token=token, lease_until=lease_until)
            store_record(connection, new)
            return new

        return self._database.write(work, LedgerUnavailable, durable=False)

    def load(self, key: JobKey) -> JobRecord | None:
        """See ports.Ledger."""
        rows = self._database.read(LedgerUnavailable, _SELECT, key.queue_id, key.chunk)
        return _read(rows[0]) if rows else None

    def load_message(self, queue_id: str) -> list[JobRecord]:
        """See ports.Ledger."""
        query = f"SELECT {FIELDS} FROM job WHERE queue_id = ? ORDER BY chunk"  # noqa: S608
        return [_read(row) for row in self._database.read(LedgerUnavailable, query, queue_id)]

    def save(self, record: JobRecord) -> JobRecord:
        """See ports.Ledger."""
        new = replace(record, version=record.version + 1)

        row = _row(new)

        def work(connection: sqlite3.Connection) -> JobRecord:
            if record.version:
                is_stored = connection.execute(_UPDATE, (*row[2:], *row[:2], record.version)).rowcount
            else:
                is_stored = connection.execute(_INSERT, row).rowcount
            if not is_stored:
                raise ClaimLost(f"{record.key} was changed")
            return new

        return self._database.write(work, LedgerUnavailable)

    def due(self, shard: int, now: float, limit: int, after: DueJob | None = None) -> list[DueJob]:
        """See ports.Ledger."""
        behind = (after.due_at, after.key.queue_id, after.key.chunk) if after else (0.0, "", -1)
        rows = self._database.read(
            LedgerUnavailable,
            "SELECT queue_id, chunk, due_at FROM job WHERE due_at > 0 AND shard = ? AND due_at <= ?"
            " AND (due_at, queue_id, chunk) > (?, ?, ?) ORDER BY due_at, queue_id, chunk LIMIT ?",
            shard,
            now,
            *behind,
            limit,
        )
        return [DueJob(JobKey(queue_id, chunk), due_at) for queue_id, chunk, due_at in rows]

    def wake(self, key: JobKey, now: float, due_at: float) -> JobRecord | None:
        """See ports.Ledger."""

        def work(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
            row: tuple[Any, ...] | None = connection.execute(_SELECT, key_of).fetchone()
            if row is None or not 0 < row[8] <= now:
                return None
            state, version = row[2:4]
            if state in {State.DEFERRED.value, State.READY.value}:
                state, version = State.READY.value, version + 1
            connection.execute(
                "UPDATE job SET state = ?, version = ?, due_at = ? WHERE queue_id = ? AND chunk = ?",
                (state, version, due_at, *key_of),
            )
            return (*row[:2], state, version, *row[4:8], due_at, *row[9:])

        key_of = (key.queue_id, key.chunk)
        woken = self._database.write(work, LedgerUnavailable)
        # What can't be read has its new due time, and does not come back at once.
        return _read(woken) if woken else None

    def reschedule(self, key: JobKey, seen: float, due_at: float) -> None:
        """See ports.Ledger."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE job SET due_at = ? WHERE queue_id = ? AND chunk = ? AND due_at = ?",
                (due_at, key.queue_id, key.chunk, seen),
            )

        self._database.write(work, LedgerUnavailable)

    def waiting(self, limit: int, *, held: bool = False) -> list[JobRecord]:
        """See ports.Ledger."""
        found: list[Any] = []
        query = f"SELECT {FIELDS} FROM job WHERE due_at > 0 AND shard = ? ORDER BY due_at LIMIT ?"  # noqa: S608
        for shard in HELD_SHARDS if held else range(DUE_SHARDS):
            found += self._database.read(LedgerUnavailable, query, shard, limit)
        records: list[JobRecord] = []
        for row in sorted(found, key=lambda row: row[8])[:limit]:
            with suppress(RecordUnreadable):
                records.append(_read(row))
        return records

    def scan(self, limit: int, after: str = "") -> tuple[list[JobRecord], str]:
        """See ports.Ledger."""
        behind = queue.at_position(after) if after else JobKey("", -1)
        rows = self._database.read(
            LedgerUnavailable,
            f"SELECT {FIELDS} FROM job WHERE (queue_id, chunk) > (?, ?) ORDER BY queue_id, chunk LIMIT ?",  # noqa: S608
            behind.queue_id,
            behind.chunk,
            limit + 1,
        )
        records = [_read(row) for row in rows[:limit]]
        return records, queue.position(records[-1].key) if len(rows) > limit else ""

    def expire(self, now: float, limit: int) -> int:
        """
        Remove up to `limit` records that are older than RETENTION_S; gives how many.

        Raises:
            LedgerUnavailable
        """

        def work(connection: sqlite3.Connection) -> int:
            # Rows lie in the order of their first claims.
            return connection.execute(
                "DELETE FROM job WHERE queued_at < ? AND rowid IN (SELECT rowid FROM job ORDER BY rowid LIMIT ?)",
                (now - RETENTION_S, limit),
            ).rowcount

        return self._database.write(work, LedgerUnavailable)


def _load(connection: sqlite3.Connection, key: JobKey) -> JobRecord | None:
    row = connection.execute(_SELECT, (key.queue_id, key.chunk)).fetchone()
    return _read(row) if row else None


def store_record(connection: sqlite3.Connection, record: JobRecord) -> None:
    """Write a record's row, new or over the one that is there."""
    connection.execute(_INSERT.replace("DO NOTHING", f"DO UPDATE SET {_SET_EXCLUDED}"), _row(record))


def _row(record: JobRecord) -> tuple[Any, ...]:
    return (
        record.key.queue_id,
        record.key.chunk,
        record.state.value,
        record.version,
        record.attempts,
        record.token,
        record.lease_until,
        record.queued_at,
        record.due_at,
        due_shard(record),
        # A reply's octets that are no UTF-8 are surrogates, which SQLite's texts don't take.
        encode_detail(record).encode("utf-8", "surrogatepass"),
    )


def _read(row: tuple[Any, ...]) -> JobRecord:
    try:
        return read_record(row)
    except UNREADABLE as exc:
        raise RecordUnreadable(Job(JobKey(row[0], row[1]), row[7]), repr(exc)) from exc


def read_record(row: tuple[Any, ...]) -> JobRecord:
    """Read a row of FIELDS. Raises one of UNREADABLE for one that is damaged."""
    queue_id, chunk, state, version, attempts, token, lease_until, queued_at, due_at, detail = row
    return JobRecord(
        key=JobKey(queue_id, chunk),
        queued_at=queued_at,
        state=State(state),
        version=version,
        attempts=attempts,
        token=token,
        lease_until=lease_until,
        due_at=due_at,
        **decode_detail(detail.decode("utf-8", "surrogatepass")),
    )
