"""
The embedded engine's workers: they take from a queue, call the service, and delete what it did not fail.

What fails stays: `deliver` has released it already, so that it moves on to the retry queue at once; the others' items
turn up again when their visibility ends. `repeat` is the schedule: the sweep, and the expiry.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

from paravion.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Executor

    from paravion.adapters.embedded_queues import EmbeddedQueues
    from paravion.domain.queue import Received

WAIT_S: Final = 10.0
"""How long a worker waits for items at a time."""

PAUSE_S: Final = 1.0
"""After a fault of the machinery."""


class Worker:
    """
    One queue's worker. Belongs to one event loop.

    Args:
        handle: Gives the ids of the items that failed.
        unit: Items of one call of `handle`.
        at_once: Calls under way at a time.
        run: Runs a quick call on the loop's thread (adapters/embedded_loop.py).
        before: Called with what was received before it is handled.
    """

    def __init__(
        self,
        queues: EmbeddedQueues,
        queue: str,
        handle: Callable[[Sequence[Received]], Awaitable[Sequence[str]]],
        *,
        unit: int,
        at_once: int,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        log: TextIO,
        before: Callable[[Sequence[Received]], None] | None = None,
    ) -> None:
        self._before = before
        self._queues = queues
        self._queue = queue
        self._handle = handle
        self._unit = unit
        self._at_once = at_once
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()
        self._thread = threading.get_ident()
        self._log = log
        self._work: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        queues.listen(queue, self._stir)

    async def run(self) -> None:
        """Work until cancelled; what was begun then goes on, see `drain`."""
        while True:
            free = self._at_once - len(self._work)
            if not free:
                self._freed.clear()
                await self._freed.wait()
                continue
            for unit in await self._receive(free):
                task = asyncio.create_task(self._process(unit))
                self._work.add(task)
                task.add_done_callback(self._done)

    async def drain(self, timeout_s: float) -> None:
        """Let what was begun end, then give it up: its items come again in the next life."""
        if self._work:
            _, late = await asyncio.wait(list(self._work), timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._freed.set()

    async def _receive(self, free: int) -> list[list[Received]]:
        # What comes from here on is seen by the next look, if not by this one.
        self._stirred.clear()
        try:
            items: list[Received] = await self._run(partial(self._queues.receive, self._queue, free * self._unit))
            if items and self._before:
                self._before(items)
        except Unavailable:
            traceback.print_exc(file=self._log)
            await asyncio.sleep(PAUSE_S)
            return []
        if not items:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(WAIT_S, self._queues.upcoming_s(self._queue))):
                    await self._stirred.wait()
        return [items[first : first + self._unit] for first in range(0, len(items), self._unit)]

    def _stir(self) -> None:
        if threading.get_ident() == self._thread:
            self._stirred.set()
            return
        # A closed loop has no worker that could work.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stirred.set)

    async def _process(self, items: list[Received]) -> None:
        try:
            failed = frozenset(await self._handle(items))
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 (a fault of the engine's own: the items come again)
            traceback.print_exc(file=self._log)
            return
        self._queues.delete(self._queue, [item.receipt for item in items if item.item_id not in failed])


async def repeat(work: Callable[[], object], interval_s: float, executor: Executor, log: TextIO) -> None:
    """Call a blocking function every `interval_s` until cancelled; one that takes longer delays the next."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(interval_s)
        try:
            await loop.run_in_executor(executor, work)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 (it comes again)
            traceback.print_exc(file=log)
