"""
One SQLite database for everything that the embedded engine keeps but large octets: group commit.

All writes are functions. What came in while a group was on its way to the disk makes the next one, and each caller is
answered after the group's fsync, which all of it shares. A function in a group either succeeds, or raises before it
has changed anything: then it alone has failed. If SQLite fails, or one raises in the middle, the group is rolled back
and each function runs in a transaction of its own, so that nobody pays for his neighbour. Functions must therefore
bear being run again. Reads go by a connection of each thread and see every commit that was answered.

    who runs                              without a loop         with `run_on`
    ------------------------------------  ---------------------  ----------------------------------------------------
    a group's statements and its COMMIT   the writer's thread    the loop's thread: SQLite gives the interpreter's
                                                                 lock back in each statement, and beside a busy loop
                                                                 another thread is long in getting it again
    its fsync                             the writer's thread    the writer's thread, while the loop goes on
    callers                               wait                   are put aside (embedded_loop.py)

SQLite itself does not sync when it commits (`synchronous=NORMAL`); we fsync its log, after COMMIT and before anybody
is answered. That is what FULL does, but the write lock is free meanwhile, so that another process can write. Who can
do with less (`durable=False`: what a power cut may take back) is answered after COMMIT, which a kill can't take back.

Checkpoints, which copy the log's pages to where they belong, have a thread of their own. Processes that share the
database take turns by a lock file, where the kernel wakes who is next; SQLite's own way is to sleep and look again.

What joins a group without waiting for it (small spooled octets, embedded_spool.py) is a prelude: it runs first
in the next group, so that whoever is answered finds it on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from paravion.adapters import embedded_files, embedded_loop
from paravion.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

FORMAT: Final = 1
"""Kept as the database's user_version; another one is refused."""

GROUP_MAX: Final = 1000
_BUSY_S: Final = 10.0
_GATHER_ROUNDS: Final = 4
"""Turns of the loop for which a group waits while each brings more calls."""

CHECKPOINT_S: Final = 1.0
"""How often it is looked whether the log is long enough for a checkpoint: each costs a few fsyncs and its pages."""

_CHECKPOINT_GROUPS: Final = 20
_CHECKPOINT_SELDOM_S: Final = 60.0
_LOG_PAGES: Final = 4000
"""A longer log (16 MB) is emptied while nobody may write."""

_CACHE_KIB: Final = 32 * 1024


class _Call:
    """One function on its way to the writer."""

    __slots__ = ("answered", "aside", "durable", "error", "failed", "is_undecided", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], *, awaited: bool, durable: bool = True) -> None:
        self.work = work
        self.durable = durable
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_undecided = False
        self.failed: Callable[[], object] | None = None
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


class Database:
    """
    The database file (embedded_data.py locks the directory).

    Args:
        shared: Other processes write as well.
        checkpoints: Whether this process makes them; one must.

    Attributes:
        groups: How many groups were committed.
        syncs: How many times the log was fsynced.

    Raises:
        Unavailable: It can't be opened, or is of another format.
    """

    def __init__(self, path: Path, *, shared: bool = False, checkpoints: bool = True) -> None:
        self._path = path
        self._waiting: deque[_Call] = deque()
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._prelude: Callable[[sqlite3.Connection], Callable[[], None]] = _nothing
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = -1
        self._is_called = False
        self._is_syncing = False
        self._must_empty = False
        self._stack = contextlib.ExitStack()
        self._gate = -1
        self._own_gate = threading.Lock()
        self.groups = self.syncs = 0
        try:
            if shared:
                self._gate = self._descriptor(path.with_name(f"{path.name}-gate"), os.O_RDWR | os.O_CREAT)
            self._writer = self._open()
            with self._turn():
                self._prepare()
            # SQLite has made it now, and keeps it while a connection is open.
            self._log = self._descriptor(path.with_name(f"{path.name}-wal"), os.O_RDWR)
            embedded_files.sync_folder(path.parent)
        except (OSError, sqlite3.Error) as exc:
            self._stack.close()
            raise Unavailable(f"{path}: {exc}") from exc
        self._thread = threading.Thread(target=self._run, name="paravion-writer", daemon=True)
        self._thread.start()
        self._checkpoints = _Checkpoints(self) if checkpoints else None

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
        Have groups run on a running loop's thread from now on; None: on the writer's.

        Call it on another thread than the loop's. What that thread writes must be put aside (embedded_loop.py): it
        can't wait for itself.
        """
        identity = -1 if loop is None else asyncio.run_coroutine_threadsafe(_identity(), loop).result()
        # The writer runs what stands before this, and nothing else meanwhile.
        changed = threading.Lock()
        changed.acquire()
        before = self._loop

        def change() -> None:
            with self._guard:
                self._loop, self._loop_thread = loop, identity
                self._is_called = False
                self._call()
            changed.release()

        def when_synced() -> None:
            if self._is_syncing:
                assert before is not None  # noqa: S101 (who else could have begun it)
                before.call_soon(when_synced)
            else:
                change()

        if before is not None:
            before.call_soon_threadsafe(when_synced)
        else:
            self._orders.put(change)
        changed.acquire()

    def write(self, work: Callable[[sqlite3.Connection], T], failure: type[Unavailable], *, durable: bool = True) -> T:
        """
        Run a function in the next group, and give its result once that is on the disk.

        Args:
            durable: False: give it once it is committed; a power cut may take it back, what comes after it included.

        Raises:
            Unavailable: Of the kind `failure`: SQLite failed, or what waited was withdrawn; nothing was written, but
                if it `is_undecided`.
            Exception: What the function raised; it changed nothing then.
        """
        call = _Call(work, awaited=True, durable=durable)
        if call.aside is None and threading.get_ident() == self._loop_thread:
            raise RuntimeError("this would wait for its own thread")
        with self._guard:
            if self._closed:
                raise failure(f"{self._path.name} is closed")
            self._waiting.append(call)
            self._call()
        call.wait()
        if call.error is not None:
            if isinstance(call.error, (sqlite3.Error, OSError)):
                fault = failure(f"{self._path.name}: {call.error}")
                fault.is_undecided = call.is_undecided
                raise fault from call.error
            raise call.error
        result: T = call.result
        return result

    def write_later(
        self, work: Callable[[sqlite3.Connection], object], failed: Callable[[], object] | None = None
    ) -> None:
        """
        Run a function in the next group, for what may be lost or fail without harm; doesn't wait.

        Args:
            failed: Called if it failed, on the writer's thread; quick.
        """
        with self._guard:
            if not self._closed:
                call = _Call(work, awaited=False, durable=False)
                call.failed = failed
                self._waiting.append(call)
                self._call()

    def withdraw(self, aside: embedded_loop.Aside) -> bool:
        """
        Take back what a call that was put aside waits to write, unless a group has begun with it; on the loop's thread.

        The call hears that it was Unavailable before this returns.

        Returns:
            False: It waits for nothing, or for a group that is on its way to the disk.
        """
        with self._guard:
            call = next((call for call in self._waiting if call.aside is aside), None)
            if call is None:
                return False
            self._waiting.remove(call)
        call.error = TimeoutError("withdrawn before it was written")
        self._answer([call])
        return True

    def waiting(self) -> int:
        """Count the calls that wait for the next group."""
        return len(self._waiting)

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

    def read_all(self, failure: type[Unavailable], queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Any]]:
        """
        Give all rows of each query, all as of one instant.

        Raises:
            Unavailable: Of the kind `failure`.
        """
        if len(queries) == 1:
            return [self.read(failure, query, *values) for query, values in queries]
        self.read(failure, "BEGIN")
        try:
            return [self.read(failure, query, *values) for query, values in queries]
        finally:
            self.read(failure, "ROLLBACK")

    def close(self) -> None:
        """Let the writer end what it was given, and close the file; the loop, if there was one, has been left."""
        with self._guard:
            if self._closed:
                return
            # What rides along has nobody who waits for it: one more group takes it.
            self._waiting.append(_Call(lambda _: None, awaited=False))
            self._orders.put(self._groups_here)
            self._orders.put(None)
            self._closed = True
        self._thread.join()
        if self._checkpoints:
            self._checkpoints.close()
        with self._guard:
            for connection in self._readers:
                connection.close()
        self._writer.close()
        self._stack.close()

    # -- opening

    def _descriptor(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._stack.callback(os.close, descriptor)
        return descriptor

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
        writer.execute("PRAGMA synchronous = NORMAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        writer.execute(f"PRAGMA user_version = {FORMAT}")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the one thread, of all processes, that writes."""
        # A lock of a file is all of the process's.
        with self._own_gate:
            if self._gate < 0:
                yield
                return
            fcntl.flock(self._gate, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._gate, fcntl.LOCK_UN)

    # -- whose turn it is

    def _call(self) -> None:
        """Have a group run soon; under `_guard`."""
        if self._is_called or not self._waiting:
            return
        self._is_called = True
        loop = self._loop
        if loop is None:
            self._orders.put(self._groups_here)
        elif threading.get_ident() == self._loop_thread:
            loop.call_soon(self._gather, 1, 0)
        else:
            # A closed loop has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._gather, 1, 0)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _take(self) -> list[_Call]:
        with self._guard:
            self._is_called = False
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]

    def _groups_here(self) -> None:
        """Run all that waits on the writer's thread."""
        while self._loop is None and (group := self._take()):
            committed, durable = self._commit(group)
            error = self._sync() if durable else None
            self._end(group if error is None else durable, committed, error)

    def _gather(self, rounds: int, seen: int) -> None:
        """Run what waits on the loop's thread, once the loop brings no more of it."""
        loop = self._loop
        if loop is None or self._is_syncing:
            return
        count = len(self._waiting)
        if seen < count < GROUP_MAX and rounds < _GATHER_ROUNDS:
            loop.call_soon(self._gather, rounds + 1, count)
            return
        group = self._take()
        if not group:
            return
        committed, durable = self._commit(group)
        if not durable:
            self._end(group, committed, None)
            return
        self._is_syncing = True
        self._orders.put(partial(self._sync_for, loop, durable, committed))
        if len(durable) < len(group):
            self._answer([call for call in group if not call.durable])

    def _sync_for(self, loop: asyncio.AbstractEventLoop, group: list[_Call], committed: Callable[[], None]) -> None:
        error = self._sync()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._synced, group, committed, error)

    def _synced(self, group: list[_Call], committed: Callable[[], None], error: OSError | None) -> None:
        self._is_syncing = False
        self._end(group, committed, error)
        with self._guard:
            # Whoever called meanwhile found us syncing.
            self._is_called = False
            self._call()

    def _end(self, group: list[_Call], committed: Callable[[], None], error: OSError | None) -> None:
        if error is None:
            committed()
        else:
            for call in group:
                # It is in the log, and stands there for every reader: only a power cut may take it back now.
                call.error, call.is_undecided = error, True
        self._answer(group)

    def _answer(self, calls: list[_Call]) -> None:
        """Wake whoever waits; all that were put aside with one wake-up of their loop."""
        asides = []
        for call in calls:
            if call.aside is not None:
                asides.append(call.aside)
            elif call.answered is not None:
                call.answered.release()
            elif call.failed is not None and call.error is not None:
                call.failed()
        if asides:
            embedded_loop.resume(asides, here=threading.get_ident() == self._loop_thread)

    # -- a group

    def _commit(self, group: list[_Call]) -> tuple[Callable[[], None], list[_Call]]:
        """Run a group; gives what follows its fsync, and those who wait for that."""
        try:
            committed = self._together(group)
        except Exception:  # noqa: BLE001 (each is run again, and gets what it raises)
            self._rollback()
            after = [done for call in group if (done := self._alone(call)) is not None]

            def committed() -> None:
                for done in after:
                    done()

        return committed, [call for call in group if call.durable]

    def _together(self, group: list[_Call]) -> Callable[[], None]:
        writer = self._writer
        with self._turn():
            self._empty_log()
            writer.execute("BEGIN IMMEDIATE")
            committed = self._prelude(writer)
            for call in group:
                call.run(writer)
            writer.execute("COMMIT")
        self.groups += 1
        return committed

    def _alone(self, call: _Call) -> Callable[[], None] | None:
        try:
            return self._together([call])
        except Exception as exc:  # noqa: BLE001 (the caller gets it)
            self._rollback()
            call.error = exc
            return None

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

    def _sync(self) -> OSError | None:
        """Bring the log to the disk: the commit instant of everybody in the group."""
        try:
            os.fdatasync(self._log)
        except OSError as exc:
            # The kernel calls pages clean that it could not write, so that a later fsync says nothing of them.
            self._must_empty = True
            return exc
        self.syncs += 1
        return None

    def _empty_log(self) -> None:
        """After an fsync that failed: write all pages of the log elsewhere before anything is added to it."""
        if self._must_empty:
            ((busy, *_),) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if busy:
                raise sqlite3.OperationalError("the log could not be emptied after an fsync that failed")
            self._must_empty = False


class _Checkpoints:
    """Copies the log's pages to where they belong, now and then, beside the writers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="paravion-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        done, at = self._database.groups, time.monotonic()
        while not self._ending.wait(CHECKPOINT_S):
            new = self._database.groups - done
            if new >= _CHECKPOINT_GROUPS or (new and time.monotonic() - at > _CHECKPOINT_SELDOM_S):
                done, at = self._database.groups, time.monotonic()
                # A disk that is full or fails is met, and told, by whoever writes.
                with contextlib.suppress(sqlite3.Error):
                    self.make()

    def make(self) -> None:
        """Make one now. Raises sqlite3.Error."""
        database = self._database
        connection = database._open()  # noqa: SLF001 (two halves of one thing)
        try:
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > _LOG_PAGES:
                # A log that is copied whole begins anew with the next write; others have written meanwhile.
                with database._turn():  # noqa: SLF001
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()


async def _identity() -> int:
    return threading.get_ident()


def _nothing(_: sqlite3.Connection) -> Callable[[], None]:
    return lambda: None
