"""Blocking calls on the loop's own thread: put aside while the database commits, and never a thread for a quick one."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from paravion.adapters.embedded_database import Database
from paravion.adapters.embedded_loop import LoopExecutor
from paravion.errors import Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "paravion.db"


def _in_loop(path: Path, work: Callable[[Database, LoopExecutor], Coroutine[Any, Any, None]]) -> None:
    """Run `work` on a loop in another thread, as the engine does it."""
    database = Database(path)
    database.define("CREATE TABLE IF NOT EXISTS number (n INTEGER PRIMARY KEY, thread INTEGER)")
    loop = asyncio.new_event_loop()
    executor = LoopExecutor(loop, [__name__], 2, "test")
    loop.set_default_executor(executor)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        database.run_on(loop)
        asyncio.run_coroutine_threadsafe(work(database, executor), loop).result(30)
        database.run_on(None)
        database.write(lambda connection: connection.execute("SELECT 1"), Unavailable)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        executor.shutdown()
        database.close()


def _put(database: Database, number: int) -> int:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?, ?)", (number, threading.get_ident()))
        return number

    return database.write(work, Unavailable)


def test_calls_share_groups_and_the_loop_goes_on(path: Path) -> None:
    """A hundred calls that wait need a few commits, all on the loop's thread, which isn't held up."""

    async def work(database: Database, _: LoopExecutor) -> None:
        groups = database.groups
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        given = await asyncio.gather(*(asyncio.to_thread(_put, database, number) for number in range(100)))
        ticking.cancel()
        assert given == list(range(100))
        assert ticks
        assert database.groups - groups < 50
        threads = {thread for (thread,) in database.read(Unavailable, "SELECT DISTINCT thread FROM number")}
        assert threads == {threading.get_ident()}

    _in_loop(path, work)


def test_threads_and_loop_write_together(path: Path) -> None:
    """Somebody else's write is committed with the loop's own."""

    async def work(database: Database, executor: LoopExecutor) -> None:
        others = [asyncio.get_running_loop().run_in_executor(executor, _put, database, 100 + n) for n in range(20)]
        await asyncio.gather(*(asyncio.to_thread(_put, database, n) for n in range(20)), *others)
        ((count,),) = database.read(Unavailable, "SELECT COUNT(*) FROM number")
        assert count == 40

    _in_loop(path, work)


def test_what_fails_is_raised_where_it_is_awaited(path: Path) -> None:
    """One that violates a constraint fails alone, and the others of its group are kept."""

    async def work(database: Database, _: LoopExecutor) -> None:
        calls = (asyncio.to_thread(_put, database, number) for number in (1, 2, 2, 3))
        given = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in given] == [int, int, Unavailable, int]

    _in_loop(path, work)


def test_cancelled_call_ends_behind(path: Path) -> None:
    """Whoever no longer waits does not take the write back."""

    async def work(database: Database, executor: LoopExecutor) -> None:
        future = executor.run(partial(_put, database, 1))
        future.cancel()
        await asyncio.to_thread(_put, database, 2)
        assert len(database.read(Unavailable, "SELECT n FROM number")) == 2

    _in_loop(path, work)


def test_the_loop_may_not_wait_for_itself(path: Path) -> None:
    """A write on the loop's thread that can't be put aside is a mistake, told at once."""

    async def work(database: Database, _: LoopExecutor) -> None:
        with pytest.raises(RuntimeError, match="own thread"):
            _put(database, 1)

    _in_loop(path, work)


def test_others_go_to_threads(path: Path) -> None:
    """What is not named as quick, as ever."""

    async def work(_: Database, __: LoopExecutor) -> None:
        assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()

    _in_loop(path, work)
