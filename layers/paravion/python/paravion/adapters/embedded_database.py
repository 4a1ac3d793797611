"""
One SQLite database for everything that the embedded engine keeps but large octets: one writer, group commit.

All writes are functions that one thread runs; whatever came in while it committed makes the next group, and
each caller is answered after the group's commit. A caller on the event loop's thread is put aside until then
(embedded_loop.py). A group costs one fsync, however many are in it (WAL,
synchronous=FULL: a commit is on the disk when it returns). Reads go by a connection of each thread and see
every commit that was answered.

A function in a group either succeeds, or raises before it has changed anything: then it alone has failed. If
SQLite fails, or one raises in the middle, the group is rolled back and each function runs in a transaction of
its own, so that nobody pays for his neighbour. Functions must therefore bear being run again.

SQLite gives the interpreter's lock back in each statement, and beside a busy event loop it is long in coming again. So
with `run_on` a group's statements run on the loop's own thread, and the writer's does nothing but commit.

What joins a group without waiting for it (small spooled octets, embedded_spool.py) is a prelude: it runs first
in the next group, so that whoever is answered finds it on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from paravion.adapters import embedded_loop
from paravion.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

FORMAT: Final = 1
"""Kept as the database's user_version; another one is refused."""

GROUP_MAX: Final = 1000
_BUSY_S: Final = 10.0
_CHECKPOINT_PAGES: Final = 4000
"""16 MB of log between two checkpoints: each costs a few fsyncs and the copying of the pages."""


class _Call:
    """One function on its way to the writer."""

    __slots__ = ("answered", "aside", "error", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], *, awaited: bool) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.aside = embedded_loop.current() if awaited else None
        # A lock is the cheapest thing that a thread can wait for.
        self.answered = threading.Lock() if awaited and self.aside is None else None
        if self.answered:
            self.answered.acquire()

    def wait(self) -> None:
        """Wait until the group is committed."""
        if self.aside is not None:
            self.aside.wait()
        elif self.answered is not None:
            self.answered.acquire()

    def run(self, connection: sqlite3.Connection) -> None:
        """
        Run in a transaction that is open.

        Raises:
            Exception: The transaction must be rolled back.
        """
        self.result, self.error = None, None
        before = connection.total_changes
        try:
            self.result = self.work(connection)
        except Exception as exc:
            if isinstance(exc, sqlite3.Error) or connection.total_changes != before:
                raise
            self.error = exc

    def answer(self) -> embedded_loop.Aside | None:
        """Wake the thread that waits; or give what was put aside."""
        if self.answered:
            self.answered.release()
        return self.aside


class Database:
    """
    The database file, opened for this process alone (embedded_data.py locks the directory).

    Attributes:
        groups: How many groups were committed.

    Raises:
        Unavailable: It can't be opened, or is of another format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._prelude: Callable[[sqlite3.Connection], Callable[[], None]] = _nothing
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = -1
        self._home = threading.Lock()
        self.groups = 0
        try:
            self._writer = self._open()
            self._prepare()
        except sqlite3.Error as exc:
            raise Unavailable(f"{path}: {exc}") from exc
        self._thread = threading.Thread(target=self._run, name="paravion-writer", daemon=True)
        self._thread.start()

    def define(self, schema: str) -> None:
        """Make the tables of one port, where they aren't there; `schema` has CREATE … IF NOT EXISTS only."""

        def make(connection: sqlite3.Connection) -> None:
            for statement in schema.split(";"):
                connection.execute(statement)

        self.write(make, Unavailable)

    def with_prelude(self, prelude: Callable[[sqlite3.Connection], Callable[[], None]]) -> None:
        """
        Let a function run first in each group.

        It gives a function that is called after the commit, before anybody is answered. There is one.
        """
        self._prelude = prelude

    def run_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """
        Have statements run on a running loop's thread from now on; None: on the writer's.

        Call it on another thread than the loop's. What that thread writes must be put aside (embedded_loop.py): it
        can't wait for itself.
        """
        identity = -1 if loop is None else asyncio.run_coroutine_threadsafe(_identity(), loop).result()
        with self._home:
            self._loop, self._loop_thread = loop, identity

    def write(self, work: Callable[[sqlite3.Connection], T], failure: type[Unavailable]) -> T:
        """
        Run a function in the next group, and give its result once that is on the disk.

        Raises:
            Unavailable: Of the kind `failure`: SQLite failed. Unknown whether it was written.
            Exception: What the function raised; it changed nothing then.
        """
        call = _Call(work, awaited=True)
        if call.aside is None and threading.get_ident() == self._loop_thread:
            raise RuntimeError("this would wait for its own thread")
        self._put(call, failure)
        call.wait()
        if call.error is not None:
            if isinstance(call.error, sqlite3.Error):
                raise failure(f"{self._path.name}: {call.error}") from call.error
            raise call.error
        result: T = call.result
        return result

    def write_later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run a function in the next group, for what may be lost or fail without harm; doesn't wait."""
        with self._guard:
            if not self._closed:
                self._calls.put(_Call(work, awaited=False))

    def read(self, failure: type[Unavailable], query: str, *values: Any) -> list[Any]:
        """
        Give all rows of a query.

        Raises:
            Unavailable: Of the kind `failure`.
        """
        try:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._reader()
            return connection.execute(query, values).fetchall()
        except sqlite3.Error as exc:
            raise failure(f"{self._path.name}: {exc}") from exc

    def close(self) -> None:
        """Let the writer end what it was given, and close the file."""
        with self._guard:
            if self._closed:
                return
            # What rides along has nobody who waits for it: one more group takes it.
            self._calls.put(_Call(lambda _: None, awaited=False))
            self._calls.put(None)
            self._closed = True
        self._thread.join()
        with self._guard:
            for connection in self._readers:
                connection.close()
        self._writer.close()

    def _put(self, call: _Call, failure: type[Unavailable]) -> None:
        with self._guard:
            if self._closed:
                raise failure(f"{self._path.name} is closed")
            self._calls.put(call)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def _reader(self) -> sqlite3.Connection:
        connection = self._open()
        connection.execute("PRAGMA query_only = 1")
        with self._guard:
            if self._closed:
                connection.close()
                raise sqlite3.ProgrammingError("closed")
            self._readers.append(connection)
        return connection

    def _prepare(self) -> None:
        writer = self._writer
        (version,) = writer.execute("PRAGMA user_version").fetchone()
        if version not in {0, FORMAT}:
            raise sqlite3.DatabaseError(f"has format {version}, this paravion knows {FORMAT}")
        if not version:
            writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
        writer.execute("PRAGMA journal_mode = WAL")
        # Not NORMAL: that syncs at checkpoints only, and a power cut would take back what was answered.
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        writer.execute(f"PRAGMA user_version = {FORMAT}")

    def _run(self) -> None:
        ending = False
        while not ending:
            group: list[_Call] = []
            call = self._calls.get()
            while call is not None:
                group.append(call)
                if len(group) == GROUP_MAX or self._calls.empty():
                    break
                call = self._calls.get()
            ending = call is None
            if group:
                self._commit(group)

    def _commit(self, group: list[_Call]) -> None:
        try:
            self._together(group)
        except Exception:  # noqa: BLE001 (each is run again, and gets what it raises)
            self._rollback()
            for call in group:
                self._alone(call)
        # All of a group's calls that were put aside go on with one wake-up of their loop.
        asides = [aside for call in group if (aside := call.answer()) is not None]
        if asides:
            embedded_loop.resume(asides)

    def _together(self, group: list[_Call]) -> None:
        with self._home:
            loop = self._loop
            committed = self._statements(group) if loop is None else _elsewhere(loop, partial(self._statements, group))
        # The commit instant of everybody in the group.
        self._writer.execute("COMMIT")
        committed()
        self.groups += 1

    def _statements(self, group: list[_Call]) -> Callable[[], None]:
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        committed = self._prelude(writer)
        for call in group:
            call.run(writer)
        return committed

    def _alone(self, call: _Call) -> None:
        try:
            self._together([call])
        except Exception as exc:  # noqa: BLE001 (the caller gets it)
            self._rollback()
            call.error = exc

    def _rollback(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that can't roll back is done for; a new one finds what was committed. Until one can be
            # opened, every call fails and comes here.
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
                self._writer = self._open()
                self._prepare()


async def _identity() -> int:
    return threading.get_ident()


def _elsewhere(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> T:
    """Call a function on a loop's thread, and wait for it. Raises what it raises."""
    done = threading.Lock()
    done.acquire()
    given: list[T] = []
    raised: list[Exception] = []

    def call() -> None:
        try:
            given.append(work())
        except Exception as exc:  # noqa: BLE001 (raised where it is waited for)
            raised.append(exc)
        finally:
            done.release()

    loop.call_soon_threadsafe(call)
    done.acquire()
    if raised:
        raise raised[0]
    return given[0]


def _nothing(_: sqlite3.Connection) -> Callable[[], None]:
    return lambda: None
