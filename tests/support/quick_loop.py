"""
An event loop without a selector whose clock jumps: coroutines over ports in memory run at once, and always alike.

No file descriptors, threads or waiting: when nothing is ready, it is the time of the next timer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class _NoSelector:
    """What BaseEventLoop asks for ready files and lets wait."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever come")
        self.now += timeout
        return []


class QuickLoop(asyncio.BaseEventLoop):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _NoSelector()

    def time(self) -> float:
        """Give the loop's own time, which nothing but its timers move."""
        return self._selector.now

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as asyncio.run does, also within another one: of the outer loop nothing goes on meanwhile."""
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    loop = QuickLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            loop.close()
            asyncio._set_running_loop(outer)
