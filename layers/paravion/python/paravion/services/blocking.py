"""
How a service on an event loop calls a port that is not made for one.

A port over the network blocks: it is called in a thread, which costs some 0.05 ms of CPU and lets the loop go on. A
port in memory answers sooner than a thread begins: it is called where we are.

Used by services/deliver.py and services/gathering.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

InThread = Callable[..., Awaitable[Any]]
"""Calls its first argument with the others, as asyncio.to_thread does."""


async def directly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a port that never blocks: asyncio.to_thread's stand-in where no thread is needed."""
    return function(*args, **kwargs)
