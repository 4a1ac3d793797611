"""
Event source mappings: poll a queue, invoke a function with what came, delete what succeeded.

As AWS does: up to the batch size, collected for the window; at most MaximumConcurrency invocations at a time;
with ReportBatchItemFailures the items that the function names stay in the queue, and all of them when its
answer is malformed; without it, or when the function fails or times out, the batch stands or falls whole.
What stays becomes visible when its visibility time-out ends, and is redriven by the queue.

A poller sleeps until something was sent to its queue or an item's visibility ends: an idle one costs nothing.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from infra.local.environments import Function, FunctionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from infra.local.aws import QueueView, Received
    from infra.local.template import MappingSpec

RECEIVE_MAX: Final = 10
"""SQS gives and deletes at most ten at a time."""

PAUSE_S: Final = 1.0
"""After an error of the engine's own."""


def failed_items(answer: Any, ids: Sequence[str]) -> frozenset[str]:
    """
    Read a partial batch response.

    Args:
        answer: What the function gave.
        ids: Message ids of the batch.

    Returns:
        The ids that failed; all of them for a response that is malformed or names an unknown item.
    """
    everything = frozenset(ids)
    if answer is None or answer == {}:
        return frozenset()
    if not isinstance(answer, dict):
        return everything
    failures = answer.get("batchItemFailures")
    if failures is None:
        return frozenset() if "batchItemFailures" in answer else everything
    if not isinstance(failures, list):
        return everything
    named = frozenset(str(failure.get("itemIdentifier")) if isinstance(failure, dict) else "" for failure in failures)
    return named if named.issubset(everything) else everything


@dataclass(slots=True)
class Poller:
    """One event source mapping at work. Belongs to one event loop; `wake` may be called from any thread."""

    spec: MappingSpec
    queue: QueueView
    function: Function
    executor: Executor
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _work: set[asyncio.Task[None]] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def wake(self) -> None:
        """Something may be visible in the queue."""
        if not self._woken.is_set():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Poll until cancelled; work that was begun then goes on, see `drain`."""
        slots = asyncio.Semaphore(min(self.spec.concurrency or self.function.size, self.function.size))
        while True:
            await slots.acquire()
            try:
                batch = await self._batch()
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 (a fault of the engine's own must not end the polling)
                traceback.print_exc(file=sys.stderr)
                slots.release()
                await asyncio.sleep(PAUSE_S)
                continue
            task = asyncio.create_task(self._process(batch))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
            task.add_done_callback(lambda _: slots.release())

    async def drain(self, timeout_s: float) -> None:
        """Wait for invocations that were begun, then give them up."""
        if self._work:
            _, late = await asyncio.wait(list(self._work), timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _batch(self) -> list[Received]:
        """Wait for items and collect them for the window."""
        batch = await self._receive(self.spec.batch_size)
        while not batch:
            self._woken.clear()
            batch = await self._receive(self.spec.batch_size)
            if not batch:
                await self._sleep(self.queue.next_visible_in())
                batch = await self._receive(self.spec.batch_size)
        until = self._loop.time() + self.spec.window_s
        while len(batch) < self.spec.batch_size and (left := until - self._loop.time()) > 0:
            self._woken.clear()
            more = await self._receive(self.spec.batch_size - len(batch))
            if not more:
                await self._sleep(left)
            batch += more
        return batch

    async def _receive(self, count: int) -> list[Received]:
        """Receive in another thread: moto takes long when the queue is deep, and the doors must not wait."""
        if self.queue.next_visible_in() != 0:
            return []
        return await self._loop.run_in_executor(self.executor, self.queue.receive, min(count, RECEIVE_MAX))

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _process(self, batch: list[Received]) -> None:
        """Invoke with one batch and delete what succeeded."""
        ids = [item.id for item in batch]
        try:
            answer = await self.function.invoke({"Records": [item.record for item in batch]})
            failed = failed_items(answer, ids) if self.spec.report_items else frozenset()
        except FunctionFailed:
            return
        receipts = [item.receipt for item in batch if item.id not in failed]
        for start in range(0, len(receipts), RECEIVE_MAX):
            part = receipts[start : start + RECEIVE_MAX]
            await self._loop.run_in_executor(self.executor, self.queue.delete, part)
