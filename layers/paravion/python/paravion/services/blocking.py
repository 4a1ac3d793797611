"""
How a service on an event loop calls a port that is not made for one.

A port over the network blocks: it is called in a thread, which costs some 0.05 ms of CPU and lets the loop go on. A
port in memory answers sooner than a thread begins: it is called where we are.

Used by services/deliver.py and services/gathering.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
R = TypeVar("R")


class InThread(Protocol):
    """Calls its first argument with the others, as asyncio.to_thread does."""

    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Give what the function gives, or raise what it raises."""


async def directly(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a port that never blocks: asyncio.to_thread's stand-in where no thread is needed."""
    return function(*args, **kwargs)
