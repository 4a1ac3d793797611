"""
Blocking calls made at once, in threads that live as long as their owner.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class InParallel:
    """Calls functions at once and gives their results in order."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Call all; the first exception is raised once every call has ended: nothing goes on behind the answer."""
        futures = [self._pool.submit(call) for call in calls]
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the threads once they are idle."""
        self._pool.shutdown()
