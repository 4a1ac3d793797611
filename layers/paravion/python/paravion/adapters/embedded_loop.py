"""
Blocking code on the event loop's own thread: what waits for a group of the database is put aside, not its thread.

A service's call in a thread costs two switches of threads, and one more for each write that it waits for; here they
cost more than the work. A quick call runs at once instead, in a greenlet: where it would wait for the writer
(embedded_database.py) the greenlet is left, and the loop goes on; one wake-up for each group of the database lets all
go on that waited for it.

Quick is what only reads and writes the database: the modules that the host names. Everything else goes to threads, as
ever. Code that runs here must hold no lock while it writes: the next one would wait for it on the same thread.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_IDLE: Final = 256
"""How many stand by at most."""

P = ParamSpec("P")
T = TypeVar("T")


class Aside(greenlet):  # type: ignore[misc]  # it has no stubs
    """
    What calls on the loop's thread run in, one after the other, that can be put aside.

    A new one for each call would cost it a piece of memory from the kernel, and its return.

    Attributes:
        work: What to call next; None: nothing any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list[Aside]) -> None:
        super().__init__()
        self.loop = loop
        self.work: Callable[[], None] | None = None
        self._idle = idle

    def run(self) -> None:
        """Call what there is, then stand by."""
        while self.work is not None:
            work, self.work = self.work, None
            work()
            # Whoever would give us work next must not hold what the last one needed.
            del work
            if len(self._idle) >= _IDLE:
                return
            self._idle.append(self)
            self.wait()

    def wait(self) -> None:
        """Leave the thread to others until `resume` is called for this."""
        assert self.parent is not None  # noqa: S101 (whoever runs it)
        self.parent.switch()


def current() -> Aside | None:
    """Give the call that runs here if it can be put aside."""
    running = getcurrent()
    return running if isinstance(running, Aside) else None


def resume(asides: Sequence[Aside], *, here: bool = False) -> None:
    """Let calls go on: at once, if `here` is their loop's thread, else soon, there. They belong to one loop."""
    if here:
        _go_on(asides)
        return
    try:
        asides[0].loop.call_soon_threadsafe(_go_on, asides)
    except RuntimeError:
        # The loop is closed, and with it whoever waits for them.
        return


def _go_on(asides: Sequence[Aside]) -> None:
    here = getcurrent()
    for aside in asides:
        aside.parent = here
        aside.switch()


class LoopExecutor(ThreadPoolExecutor):
    """
    A loop's default executor: quick calls run on the loop's thread, all others in threads.

    Args:
        quick: Modules whose functions and methods are quick.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, quick: Collection[str], threads: int, name: str) -> None:
        super().__init__(threads, name)
        self._loop = loop
        self._quick = frozenset(quick)
        self._idle: list[Aside] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a call; gives a future of the loop, or of a thread."""
        # asyncio.to_thread wraps what it was given in its context's `run`.
        if isinstance(fn, partial) and not args and fn.args:
            work, *given = fn.args
            if getattr(work, "__module__", None) in self._quick and _runs_here(self._loop):
                return self.run(partial(work, *given, **fn.keywords))
        return super().submit(fn, *args, **kwargs)

    async def in_loop(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call as asyncio.to_thread does, without its wrapping where the call is quick."""
        if getattr(function, "__module__", None) in self._quick:
            return await self.run(partial(function, *args, **kwargs))
        return await asyncio.to_thread(function, *args, **kwargs)

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run a quick call now, as far as it comes without waiting; on the loop's thread only."""
        future: asyncio.Future[T] = self._loop.create_future()
        aside = self._idle.pop() if self._idle else Aside(self._loop, self._idle)
        aside.work = partial(_finish, work, future)
        _go_on((aside,))
        return future

    def release(self) -> None:
        """Let go of what stands by; on the loop's thread, at its end."""
        while self._idle:
            _go_on((self._idle.pop(),))


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _finish(work: Callable[[], T], future: asyncio.Future[T]) -> None:
    try:
        result = work()
    except Exception as exc:  # noqa: BLE001 (whoever waits for it gets it)
        if not future.done():
            future.set_exception(exc)
    else:
        if not future.done():
            future.set_result(result)
