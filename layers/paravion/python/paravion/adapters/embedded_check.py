"""
Check a data directory that nobody has open, and mend what can be mended without losing mail (`paravion fsck`).

    finding              what it is                                         what --repair does
    -------------------  -------------------------------------------------  -----------------------------------------
    database-unreadable  SQLite can't read paravion.db, or its format       nothing: restore a backup
    database-damaged     SQLite's own check found damage                    indexes are made again; else nothing
    mail-unreadable      open mail whose envelope is missing, no envelope,  its jobs are held and parked
                         or not the one that was kept (CRC-32)
    body-missing         open mail whose body is not there                  its jobs are held and parked
    body-size            open mail whose body has another length            its jobs are held and parked
    body-damaged         open mail whose body has other octets (CRC-32)     its jobs are held and parked
    body-row-missing     its file is there, whole; the row that counts is   the row is made
                         not
    record-unreadable    a job's record that can't be read                  its text is parked, the job is held
    item-unreadable      an item of a queue that names no job               parked
    item-of-nothing      an item of a job that has ended, and owes nothing  removed
    job-forgotten        an open job that no queue and no due time names    made due
    report-forgotten     a report is owed, and no queue names it            enqueued
    event-forgotten      the same of an event                               enqueued
    due-index            a record in the wrong part of the due index        put where it belongs
    file-orphan          a file of the spool that no row names              moved to lost+found/
    file-temporary       what a crash left half-written                     removed
    mode                 others than the owner may read                     0600, 0700
    secret-unreadable    a secret that is no text, or a credential that is  nothing
                         no JSON

Nothing here deletes a mail: what can't be sent is held (`paravion queue -qQ`), with its reason, until an operator
releases or removes it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
import zlib
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters import embedded_files
from paravion.adapters.embedded_database import FORMAT
from paravion.adapters.embedded_ledger import FIELDS, read_record, store_record
from paravion.adapters.embedded_lock import lock_folder
from paravion.adapters.embedded_queues import NUMBERS
from paravion.adapters.job_text import UNREADABLE, decode_job
from paravion.domain import queue
from paravion.domain.envelope import Envelope, decode_qf
from paravion.domain.event_item import decode as decode_events
from paravion.domain.queue import Job, JobKey, JobRecord, State
from paravion.ports import QueueName

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

_DELIVERY, _RETRY = NUMBERS[QueueName.DELIVERY], NUMBERS[QueueName.RETRY]
_BOUNCE, _PARKED = NUMBERS[QueueName.BOUNCE], NUMBERS[QueueName.PARKED]
_EVENT = NUMBERS[QueueName.EVENT]
_PIECE_OCTETS: Final = 1 << 20
_LOST: Final = "lost+found"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OPEN: Final = """
SELECT job, chunk, queued_at FROM item WHERE queue IN (0, 1, 2) AND job != ''
UNION SELECT queue_id, chunk, queued_at FROM job WHERE state NOT IN ('done', 'removed')
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that is not as it must be.

    Attributes:
        name: See the module's table.
        what: Which thing, and what is wrong with it.
        remedy: What mending does; "" if nothing can be done here.
    """

    name: str
    what: str
    remedy: str = ""


class Check:
    """
    A data directory under check; holds its lock until closed.

    Args:
        repair: Mend each finding that has a remedy, as it is found.

    Raises:
        DataUnavailable: Another process has it; the text has its number.
        OSError
    """

    def __init__(self, folder: Path, *, repair: bool, now: float | None = None) -> None:
        self._folder = folder
        self._repair = repair
        self._now = time.time() if now is None else now
        self._claimed: set[Path] = set()
        self._descriptor = lock_folder(folder)
        self._connection: sqlite3.Connection
        self._crc = "crc"

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)

    def findings(self) -> Iterator[Finding]:
        """
        Find everything, and mend it if that was asked for.

        Raises:
            OSError, sqlite3.Error: While mending: what was found before is mended.
        """
        yield from self._temporary()
        yield from self._modes()
        yield from self._secrets()
        path = self._folder / "paravion.db"
        if not path.exists():
            yield Finding("database-unreadable", f"{path} is missing")
            return
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
                connection.isolation_level = None
                self._connection = connection
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != FORMAT:
                    yield Finding("database-unreadable", f"{path} has format {version}, this paravion knows {FORMAT}")
                    return
                connection.execute("PRAGMA synchronous = FULL")
                damaged = yield from self._integrity()
                if not damaged:
                    yield from self._rows()
        except sqlite3.DatabaseError as exc:
            yield Finding("database-unreadable", f"{path}: {exc}")

    def _mend(self, work: Callable[[], object]) -> None:
        """Mend, if that is wanted; each finding is a transaction of its own."""
        if not self._repair:
            return
        connection = getattr(self, "_connection", None)
        if connection is None:
            work()
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            work()
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _temporary(self) -> Iterator[Finding]:
        for name in ("spool", "secrets", "uploads"):
            for path in sorted((self._folder / name).rglob(f"{embedded_files.TEMPORARY}*")):
                yield Finding("file-temporary", self._name(path), "removed")
                self._mend(path.unlink)

    def _modes(self) -> Iterator[Finding]:
        for folder, folders, files in os.walk(self._folder):
            here = self._folder / os.path.relpath(folder, self._folder)
            names = [(here, 0o700)] if here.resolve() == self._folder.resolve() else []
            for path, mode in (*names, *((here / f, 0o700) for f in folders), *((here / f, 0o600) for f in files)):
                found = stat.S_IMODE(path.lstat().st_mode)
                if found & _OTHERS and not path.is_symlink():
                    yield Finding("mode", f"{self._name(path)} has {found:04o}", f"{mode:04o}")
                    self._mend(lambda path=path, mode=mode: path.chmod(mode))  # type: ignore[misc]

    def _secrets(self) -> Iterator[Finding]:
        for path in sorted((self._folder / "secrets").glob("[!.]*")):
            try:
                value = path.read_text("utf-8")
                if path.name.startswith("credentials%2F") and not isinstance(json.loads(value), dict):
                    raise ValueError("no credential")  # noqa: TRY301 (told as the others)
            except (OSError, ValueError) as exc:
                yield Finding("secret-unreadable", f"{self._name(path)}: {type(exc).__name__}")

    def _integrity(self) -> Generator[Finding, None, bool]:
        """Find what SQLite finds. Returns whether it is more than indexes that differ from their tables."""
        lines = [line for (line,) in self._connection.execute("PRAGMA integrity_check") if line != "ok"]
        if not lines:
            return False
        of_indexes = all(" index " in f"{line} " and "Tree" not in line for line in lines)
        what = f"paravion.db: {'; '.join(lines[:3])}"
        yield Finding("database-damaged", what, "indexes are made again" if of_indexes else "")
        if of_indexes:
            self._mend(lambda: self._connection.execute("REINDEX"))
        return not of_indexes

    def _rows(self) -> Iterator[Finding]:
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema")}
        if not {"item", "job", "object"} <= tables:
            # A directory whose first process died at its start.
            return
        columns = {name for (name,) in self._connection.execute("SELECT name FROM pragma_table_info('object')")}
        self._crc = "crc" if "crc" in columns else "NULL"
        yield from self._items()
        yield from self._records()
        yield from self._mails()
        yield from self._files()

    def _items(self) -> Iterator[Finding]:
        query = "SELECT queue, id, body FROM item WHERE job = '' AND queue != ?"
        for number, item_id, body in self._connection.execute(query, (_PARKED,)).fetchall():
            if decode_job(body) is None and not (number == _EVENT and decode_events(body)):
                yield Finding("item-unreadable", f"item {item_id}: {body[:60]!r}", "parked")
                self._mend(lambda number=number, item_id=item_id: self._park_item(number, item_id))  # type: ignore[misc]
        query = """
            SELECT item.queue, item.id, item.job, item.chunk FROM item
            JOIN job ON job.queue_id = item.job AND job.chunk = item.chunk AND item.queued_at <= job.queued_at
            WHERE item.queue IN (0, 1, 2, 4) AND job.state IN ('done', 'removed')
                AND NOT (item.queue = 1 AND item.visible_at > 0)
        """  # what waits there for the end of a lease may find that all has ended
        for number, item_id, queue_id, chunk in self._connection.execute(query).fetchall():
            record = self._record(JobKey(queue_id, chunk))
            if record is not None and not record.owed:
                yield Finding("item-of-nothing", f"{queue_id}/{chunk} has ended", "removed")
                self._mend(lambda number=number, item_id=item_id: self._remove_item(number, item_id))  # type: ignore[misc]

    def _records(self) -> Iterator[Finding]:
        named = set(self._connection.execute("SELECT job, chunk FROM item WHERE queue IN (0, 1) AND job != ''"))
        reported = named | set(self._connection.execute("SELECT job, chunk FROM item WHERE queue = 2 AND job != ''"))
        query = f"SELECT rowid, shard, {FIELDS} FROM job"  # noqa: S608 (our own names)
        last = 0
        while rows := self._connection.execute(
            f"{query} WHERE rowid > ? ORDER BY rowid LIMIT 1000", (last,)
        ).fetchall():
            for row_id, shard, *row in rows:
                last = row_id
                yield from self._one_record(row_id, shard, tuple(row), named, reported)

    def _one_record(
        self, row_id: int, shard: int, row: tuple[Any, ...], named: set[Any], reported: set[Any]
    ) -> Iterator[Finding]:
        key = (row[0], row[1])
        try:
            record = read_record(row)
        except UNREADABLE as exc:
            yield Finding(
                "record-unreadable", f"{key[0]}/{key[1]}: {type(exc).__name__}", "its text parked, the job held"
            )
            self._mend(lambda: self._replace_record(row))
            return
        is_waiting = record.due_at > 0
        if not record.is_closed and not is_waiting and key not in named:
            yield Finding("job-forgotten", f"{key[0]}/{key[1]} is {record.state}", "made due")
            self._mend(lambda: self._execute("UPDATE job SET due_at = 1 WHERE rowid = ?", row_id))
        if record.is_closed and record.owes_report and key not in reported:
            yield Finding("report-forgotten", f"{key[0]}/{key[1]} owes a report", "enqueued")
            self._mend(lambda: self._enqueue(_BOUNCE, Job(record.key, record.queued_at)))
        if record.is_closed and record.owes_event and not self._is_told(key):
            yield Finding("event-forgotten", f"{key[0]}/{key[1]} owes an event", "enqueued")
            self._mend(lambda: self._enqueue(_EVENT, Job(record.key, record.queued_at)))
        if is_waiting and shard != queue.due_shard(record):
            yield Finding("due-index", f"{key[0]}/{key[1]} lies in part {shard}", f"part {queue.due_shard(record)}")
            self._mend(
                lambda: self._execute("UPDATE job SET shard = ? WHERE rowid = ?", queue.due_shard(record), row_id)
            )

    def _is_told(self, key: tuple[Any, ...]) -> bool:
        """Whoever looks at the job next sends it to the event queue, or it lies there."""
        query = "SELECT 1 FROM item WHERE job = ? AND chunk = ? AND queue IN (0, 1, 4)"
        return self._connection.execute(query, key).fetchone() is not None

    def _mails(self) -> Iterator[Finding]:
        """Look whether each open mail can be sent: its envelope, and the body that this names."""
        told: dict[str, Finding | None] = {}
        for queue_id, chunk, queued_at in self._connection.execute(_OPEN).fetchall():
            record = self._record(JobKey(queue_id, chunk))
            if record is not None and (record.is_closed or record.state is State.HELD):
                # Reports of what has ended bear it; what is held was told, and is looked at when it is released.
                continue
            if queue_id not in told:
                told[queue_id] = None
                for finding in self._mail(queue_id):
                    yield finding
                    told[queue_id] = finding if finding.name != "body-row-missing" else None
            obstacle = told[queue_id]
            if obstacle is not None:
                job, reason = Job(JobKey(queue_id, chunk), queued_at), f"fsck: {obstacle.name}"
                self._mend(lambda job=job, reason=reason: self._hold(job, reason))  # type: ignore[misc]

    def _mail(self, queue_id: str) -> Iterator[Finding]:
        remedy = "its jobs held and parked"
        try:
            envelope = self._envelope(queue_id)
        except (OSError, ValueError) as exc:
            yield Finding("mail-unreadable", f"{queue_id}: {exc}", remedy)
            return
        found = self._octets_of(f"df/{envelope.df_id}")
        if found is None:
            path = self._path(f"df/{envelope.df_id}")
            if path.is_file() and path.stat().st_size == envelope.body_octets and not self._has_row(envelope.df_id):
                self._claimed.add(path)
                yield Finding("body-row-missing", f"{queue_id}: {self._name(path)}", "its row made")
                self._mend(
                    lambda: self._execute(
                        "INSERT INTO object (key, kept_at) VALUES (?, ?)", f"df/{envelope.df_id}", envelope.queued_at
                    )
                )
                return
            yield Finding("body-missing", f"{queue_id}: df/{envelope.df_id}", remedy)
        elif found != envelope.body_octets:
            yield Finding("body-size", f"{queue_id}: {found} octets, {envelope.body_octets} were kept", remedy)
        elif not self._is_as_kept(f"df/{envelope.df_id}"):
            yield Finding("body-damaged", f"{queue_id}: df/{envelope.df_id} is not what was kept", remedy)

    def _envelope(self, queue_id: str) -> Envelope:
        key = f"qf/{queue_id}"
        rows = self._connection.execute("SELECT octets FROM object WHERE key = ?", (key,)).fetchall()
        if not rows:
            raise ValueError("has no envelope")
        octets = rows[0][0] if rows[0][0] is not None else self._path(key).read_bytes()
        envelope, _ = decode_qf(octets)
        if not self._is_as_kept(key):
            raise ValueError("has an envelope that is not what was kept")
        return envelope

    def _is_as_kept(self, key: str) -> bool:
        """Compare an object that is there with its checksum; one without a checksum is taken as it is."""
        try:
            ((octets, crc),) = self._connection.execute(f"SELECT octets, {self._crc} FROM object WHERE key = ?", (key,))  # noqa: S608 (our own names)
            if crc is None or octets is not None:
                return crc is None or bool(zlib.crc32(octets) == crc)
            found = 0
            with self._path(key).open("rb") as file:
                while piece := file.read(_PIECE_OCTETS):
                    found = zlib.crc32(piece, found)
        except OSError:
            return False
        return bool(found == crc)

    def _has_row(self, df_id: str) -> bool:
        return bool(self._connection.execute("SELECT 1 FROM object WHERE key = ?", (f"df/{df_id}",)).fetchall())

    def _octets_of(self, key: str) -> int | None:
        """Give an object's length, None if it is not there."""
        rows = self._connection.execute("SELECT LENGTH(octets) FROM object WHERE key = ?", (key,)).fetchall()
        if not rows:
            return None
        if rows[0][0] is not None:
            return int(rows[0][0])
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def _files(self) -> Iterator[Finding]:
        spool = self._folder / "spool"
        for path in sorted(spool.rglob("*")):
            if path in self._claimed or not path.is_file() or path.name.startswith(embedded_files.TEMPORARY):
                continue
            kind = path.relative_to(spool).parts[0]
            key = f"{kind}/{path.name}"
            rows = self._connection.execute("SELECT octets IS NULL FROM object WHERE key = ?", (key,)).fetchall()
            if path != self._path(key) or not rows or not rows[0][0]:
                yield Finding("file-orphan", self._name(path), f"moved to {_LOST}/")
                self._mend(lambda path=path, kind=kind: self._set_aside(path, kind))  # type: ignore[misc]

    def _hold(self, job: Job, reason: str) -> None:
        """Take a job out of the queues' way, and keep it for an operator."""
        record = self._record(job.key) or JobRecord(job.key, job.queued_at, State.READY)
        if record.state is State.CLAIMED:
            # Nobody has it: the directory is ours.
            record = replace(record, state=State.TRIED, token="", lease_until=0.0)
        record = queue.with_event(record, "hold", now=self._now, text=reason)
        new = queue.held(record, reason, now=self._now)
        store_record(self._connection, replace(new, version=record.version + 1))
        self._execute(
            "UPDATE item SET queue = ?, sent_at = ?, visible_at = 0 WHERE queue IN (0, 1) AND job = ? AND chunk = ?",
            _PARKED, self._now, job.key.queue_id, job.key.chunk,
        )  # fmt: skip

    def _replace_record(self, row: tuple[Any, ...]) -> None:
        """Keep a record's unreadable text, and hold its job."""
        queue_id, chunk, _, version, attempts, _, _, queued_at, _, detail = row
        body = json.dumps({"fsck": "record-unreadable", "queue_id": queue_id, "chunk": chunk, "detail": repr(detail)})
        self._park(body)
        job = Job(JobKey(queue_id, chunk), queued_at)
        record = JobRecord(job.key, queued_at, State.READY, version=version, attempts=attempts)
        store_record(self._connection, record)
        self._hold(job, "fsck: record-unreadable")

    def _record(self, key: JobKey) -> JobRecord | None:
        """Give a job's record; None if there is none, or none that can be read."""
        query = f"SELECT {FIELDS} FROM job WHERE queue_id = ? AND chunk = ?"  # noqa: S608
        row = self._connection.execute(query, (key.queue_id, key.chunk)).fetchone()
        try:
            return read_record(row) if row else None
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def _enqueue(self, number: int, job: Job) -> None:
        self._insert(number, (job.key.queue_id, job.key.chunk, job.queued_at, ""))

    def _park(self, body: str) -> None:
        self._insert(_PARKED, ("", 0, 0.0, body))

    def _insert(self, number: int, row: tuple[str, int, float, str]) -> None:
        self._execute(
            "INSERT INTO item SELECT ?, COALESCE(MAX(id), 0) + 1, ?, ?, ?, ?, 0, ?, 0 FROM item",
            number,
            *row,
            self._now,
        )

    def _park_item(self, number: int, item_id: int) -> None:
        self._execute(
            "UPDATE item SET queue = ?, sent_at = ?, visible_at = 0 WHERE queue = ? AND id = ?",
            _PARKED, self._now, number, item_id,
        )  # fmt: skip

    def _remove_item(self, number: int, item_id: int) -> None:
        self._execute("DELETE FROM item WHERE queue = ? AND id = ?", number, item_id)

    def _set_aside(self, path: Path, kind: str) -> None:
        folder = self._folder / _LOST / kind
        embedded_files.make_folder(folder)
        path.rename(folder / path.name)
        embedded_files.sync_folder(folder)

    def _execute(self, statement: str, *values: Any) -> None:
        self._connection.execute(statement, values)

    def _path(self, key: str) -> Path:
        kind, _, queue_id = key.partition("/")
        return self._folder / "spool" / kind / queue_id[:2] / queue_id

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._folder))
