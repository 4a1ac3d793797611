"""
The five queues on one machine: what must not be lost in the database, what a restart may forget in memory.

    table `item`   what it holds
    -------------  -----------------------------------------------------------------------------------------
    queue, id      which queue (its number), and the order of arrival
    job, chunk,    the job: domain.queue.Job; job is "" for an item that is none
    queued_at
    body           such an item's text
    receives       receptions of earlier lives; counted for queues that allow several
    sent_at        seconds since the epoch
    visible_at     nobody receives it before; seconds since the epoch, 0 for at once

An item lies in the table until it is deleted. Which ones are in flight, until when and how often they were received
is the affair of the one process that receives: after its restart every item is visible at once. The delivery
queue allows one reception and counts none on the disk: an item that was in flight when the process died is received
once more, and the ledger says that its job was claimed, which is all that its count could say. Another process may
send; it tells the one that receives (`listen` there, `stir` here), and ids are drawn in the transaction, so that their
order is that of the commits.

An item that was received as often as its queue allows moves on to the dead-letter queue, as SQS does it
(template.yaml has the numbers).
"""

from __future__ import annotations

import contextlib
import heapq
import math
import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.job_text import decode_job, encode_job
from paravion.domain.queue import Job, JobKey, Received
from paravion.errors import QueueUnavailable
from paravion.ports import QueueName

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from paravion.adapters.embedded_database import Database

NUMBERS: Final = {
    QueueName.DELIVERY: 0,
    QueueName.RETRY: 1,
    QueueName.BOUNCE: 2,
    QueueName.PARKED: 3,
    QueueName.EVENT: 4,
}

VISIBILITY_S: Final = {
    QueueName.DELIVERY: 1800.0,
    QueueName.RETRY: 360.0,
    QueueName.BOUNCE: 360.0,
    QueueName.EVENT: 360.0,
    QueueName.PARKED: 300.0,
}
"""How long a received item stays hidden from others; as the template's."""

REDRIVE: Final = {
    QueueName.DELIVERY: (QueueName.RETRY, 1),
    QueueName.RETRY: (QueueName.PARKED, 300),
    QueueName.BOUNCE: (QueueName.PARKED, 300),
    QueueName.EVENT: (QueueName.PARKED, 300),
}
"""Each queue's dead-letter queue, and how many receptions come before it; as the template's."""

PARKED_S: Final = 14 * 86_400
"""What is parked is kept this long, as the template's queue keeps it."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS item (
    queue INTEGER NOT NULL, id INTEGER NOT NULL, job TEXT NOT NULL, chunk INTEGER NOT NULL, queued_at REAL NOT NULL,
    body TEXT NOT NULL, receives INTEGER NOT NULL, sent_at REAL NOT NULL,
    visible_at REAL NOT NULL, PRIMARY KEY (queue, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS last_item (one INTEGER PRIMARY KEY CHECK (one = 1), id INTEGER NOT NULL);
INSERT OR IGNORE INTO last_item VALUES (1, 0);
UPDATE last_item SET id = MAX(
    id,
    COALESCE((SELECT MAX(id) FROM item WHERE queue = 0), 0), COALESCE((SELECT MAX(id) FROM item WHERE queue = 1), 0),
    COALESCE((SELECT MAX(id) FROM item WHERE queue = 2), 0), COALESCE((SELECT MAX(id) FROM item WHERE queue = 3), 0)
)
"""


@dataclass(slots=True)
class _Flight:
    """An item that was received and not deleted yet, or is kept back."""

    job: Job | None
    body: str
    receives: int
    visible_at: float = 0.0
    receipt: str = ""


@dataclass(slots=True)
class _Line:
    """
    One queue's state in memory.

    Attributes:
        cursor: Items up to this id were received in this life.
        flights: By id.
        turns: When which flight ends, soonest first; an entry that differs from its flight is void.
        changes: Counts whatever may have made something visible.
        listeners: Told of each of those.
    """

    name: str
    number: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    cursor: int = 0
    flights: dict[int, _Flight] = field(default_factory=dict)
    turns: list[tuple[float, int]] = field(default_factory=list)
    changes: int = 0
    listeners: list[Callable[[], None]] = field(default_factory=list)


class EmbeddedQueues:
    """
    ports.Queues, and the worker's side of them: `receive` and `delete`.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._closed = False
        self._undeleted: deque[tuple[int, int]] = deque()  # queue and id
        self._serial = count()
        database.define(_SCHEMA)
        self._lines = {name: _Line(name, number) for name, number in NUMBERS.items()}

    def send(self, queue: str, jobs: Sequence[Job], *, delay_s: float = 0.0) -> None:
        """See ports.Queues. The database's group writes what the jobs name before it writes them."""
        rows = [(job.key.queue_id, job.key.chunk, job.queued_at, "", 0) for job in jobs]
        self._add(queue, rows, self._clock() + delay_s if delay_s else 0.0)

    def send_texts(self, queue: str, texts: Sequence[str], *, delay_s: float = 0.0) -> None:
        """See ports.Queues."""
        rows = [("", 0, 0.0, text, 0) for text in texts]
        self._add(queue, rows, self._clock() + delay_s if delay_s else 0.0)

    def park(self, bodies: Sequence[str]) -> None:
        """See ports.Queues."""
        self._add(QueueName.PARKED, [("", 0, 0.0, body, 0) for body in bodies])

    def release(self, queue: str, receipts: Sequence[str]) -> None:
        """See ports.Queues."""
        line = self._lines[queue]
        now = self._clock()
        with line.changed:
            for item_id, flight in self._held(line, receipts):
                flight.visible_at = now
                heapq.heappush(line.turns, (now, item_id))
            self._tell(line)

    def receive(self, queue: str, limit: int, wait_s: float = 0.0) -> list[Received]:
        """
        Receive up to `limit` items, hide them, and move on what was received too often.

        Args:
            wait_s: How long to wait for the first one.

        Raises:
            QueueUnavailable
        """
        line = self._lines[queue]
        until = self._clock() + wait_s
        while True:
            seen = line.changes
            batch = self._take(line, limit)
            now = self._clock()
            if batch or now >= until or self._closed:
                return batch
            with line.changed:
                upcoming = line.turns[0][0] if line.turns else until
                if line.changes == seen:
                    line.changed.wait(max(0.0, min(until, upcoming) - now))

    def listen(self, queue: str, listener: Callable[[], None]) -> None:
        """Have a function called, from any thread, whenever something may have become visible; it must be quick."""
        self._lines[queue].listeners.append(listener)

    def stir(self, queue: str) -> None:
        """Wake whoever receives: another process has sent something."""
        line = self._lines[queue]
        with line.changed:
            self._tell(line)

    def upcoming_s(self, queue: str) -> float:
        """Give in how many seconds something becomes visible by itself; infinite for never."""
        line = self._lines[queue]
        with line.changed:
            return line.turns[0][0] - self._clock() if line.turns else math.inf

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """
        Remove received items for good; doesn't wait for the disk.

        crash before it is there = received once more, which the ledger bears. What a full disk kept from it is removed
        with the next items, or the next look.
        """
        line = self._lines[queue]
        with line.changed:
            ids = [item_id for item_id, _ in self._held(line, receipts)]
            for item_id in ids:
                del line.flights[item_id]
        self._remove([(line.number, item_id) for item_id in ids])

    def _remove(self, keys: list[tuple[int, int]]) -> None:
        with contextlib.suppress(IndexError):
            while True:
                keys.append(self._undeleted.popleft())

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM item WHERE queue = ? AND id = ?", keys)

        if keys:
            self._database.write_later(work, lambda: self._undeleted.extend(keys))

    def depth(self, queue: str) -> dict[str, int]:
        """Count a queue's items: visible, in_flight. Raises QueueUnavailable."""
        line = self._lines[queue]
        ((total,),) = self._database.read(QueueUnavailable, "SELECT COUNT(*) FROM item WHERE queue = ?", line.number)
        now = self._clock()
        with line.changed:
            flying = sum(flight.visible_at > now for flight in line.flights.values())
        return {"visible": max(0, total - flying), "in_flight": flying}

    def bodies(self, queue: str, limit: int = 1000) -> list[str]:
        """Give the texts of a queue's first items without receiving them. Raises QueueUnavailable."""
        rows = self._database.read(QueueUnavailable, _SELECT, NUMBERS[queue], 0, limit)
        return [item_text(*row[1:5]) for row in rows]

    def expire(self, now: float, limit: int) -> int:
        """Remove up to `limit` parked items that are older than PARKED_S; gives how many. Raises QueueUnavailable."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM item WHERE queue = ?1 AND sent_at < ?2 AND id IN"
                " (SELECT id FROM item WHERE queue = ?1 ORDER BY id LIMIT ?3)",
                (NUMBERS[QueueName.PARKED], now - PARKED_S, limit),
            ).rowcount

        return self._database.write(work, QueueUnavailable)

    def close(self) -> None:
        """Send everybody away who waits in `receive`."""
        self._closed = True
        for line in self._lines.values():
            with line.changed:
                self._tell(line)

    def _add(self, queue: str, rows: Sequence[tuple[str, int, float, str, int]], visible_at: float = 0.0) -> None:
        line = self._lines[queue]
        self._database.write(lambda connection: self._insert(connection, line, rows, visible_at), QueueUnavailable)
        with line.changed:
            self._tell(line)

    def _insert(
        self,
        connection: sqlite3.Connection,
        line: _Line,
        rows: Sequence[tuple[str, int, float, str, int]],
        visible_at: float = 0.0,
    ) -> None:
        now = self._clock()
        ((last,),) = connection.execute("UPDATE last_item SET id = id + ? RETURNING id", (len(rows),)).fetchall()
        connection.executemany(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(line.number, item_id, *row, now, visible_at) for item_id, row in enumerate(rows, last - len(rows) + 1)],
        )

    @staticmethod
    def _tell(line: _Line) -> None:
        line.changes += 1
        line.changed.notify_all()
        for listener in line.listeners:
            listener()

    @staticmethod
    def _held(line: _Line, receipts: Iterable[str]) -> list[tuple[int, _Flight]]:
        """Give the flights that receipts stand for; one of an earlier reception stands for nothing."""
        found = []
        for receipt in receipts:
            item_id = int(receipt.partition("-")[0]) if receipt[:1].isdecimal() else -1
            flight = line.flights.get(item_id)
            if flight is not None and flight.receipt == receipt:
                found.append((item_id, flight))
        return found

    def _take(self, line: _Line, limit: int) -> list[Received]:
        target, allowed = REDRIVE.get(line.name, ("", 0))
        batch: list[Received] = []
        spent: list[tuple[int, _Flight]] = []
        if self._undeleted:
            self._remove([])
        with line.changed:
            for item_id, flight in self._visible(line, limit):
                if target and flight.receives >= allowed:
                    spent.append((item_id, line.flights.pop(item_id)))
                else:
                    batch.append(self._launched(line, item_id, flight))
        if spent:
            self._move(line, self._lines[target], spent)
        if batch and allowed != 1:
            keys = [(line.number, int(item.item_id)) for item in batch]
            update = "UPDATE item SET receives = receives + 1 WHERE queue = ? AND id = ?"
            self._database.write_later(lambda connection: connection.executemany(update, keys))
        return batch

    def _visible(self, line: _Line, limit: int) -> list[tuple[int, _Flight]]:
        """Give up to `limit` items that can be received now: those that come again first."""
        found: list[tuple[int, _Flight]] = []
        now = self._clock()
        while line.turns and line.turns[0][0] <= now and len(found) < limit:
            visible_at, item_id = heapq.heappop(line.turns)
            flight = line.flights.get(item_id)
            if flight is not None and flight.visible_at == visible_at:
                # Void whatever other entry it has.
                flight.visible_at = -1.0
                found.append((item_id, flight))
        while len(found) < limit:
            wanted = limit - len(found)
            rows: list[Any] = self._database.read(QueueUnavailable, _SELECT, line.number, line.cursor, wanted)
            for item_id, job, chunk, queued_at, body, receives, visible_at in rows:
                flight = _Flight(Job(JobKey(job, chunk), queued_at) if job else decode_job(body), body, receives)
                line.flights[item_id] = flight
                line.cursor = item_id
                if visible_at > now:
                    flight.visible_at = visible_at
                    heapq.heappush(line.turns, (visible_at, item_id))
                else:
                    found.append((item_id, flight))
            if len(rows) < wanted:
                break
        return found

    def _launched(self, line: _Line, item_id: int, flight: _Flight) -> Received:
        flight.receives += 1
        flight.visible_at = self._clock() + VISIBILITY_S[line.name]
        flight.receipt = f"{item_id}-{next(self._serial)}"
        heapq.heappush(line.turns, (flight.visible_at, item_id))
        return Received(str(item_id), flight.receipt, flight.job, flight.body)

    def _move(self, line: _Line, target: _Line, spent: list[tuple[int, _Flight]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM item WHERE queue = ? AND id = ?", [(line.number, item_id) for item_id, _ in spent]
            )
            self._insert(connection, target, [_row(flight) for _, flight in spent])

        try:
            self._database.write(work, QueueUnavailable)
        except QueueUnavailable:
            with line.changed:
                for item_id, flight in spent:
                    # Tried again soon, without a reception.
                    flight.visible_at = self._clock() + 1.0
                    line.flights[item_id] = flight
                    heapq.heappush(line.turns, (flight.visible_at, item_id))
            return
        with target.changed:
            self._tell(target)


_SELECT: Final = """
SELECT id, job, chunk, queued_at, body, receives, visible_at FROM item WHERE queue = ? AND id > ? ORDER BY id LIMIT ?
"""


def _row(flight: _Flight) -> tuple[str, int, float, str, int]:
    if flight.job is None or flight.body:
        return "", 0, 0.0, flight.body, 0
    return flight.job.key.queue_id, flight.job.key.chunk, flight.job.queued_at, "", 0


def item_text(job: str, chunk: int, queued_at: float, body: str) -> str:
    """Give an item's text, as whoever receives it gets it."""
    return encode_job(Job(JobKey(job, chunk), queued_at)) if job else body
