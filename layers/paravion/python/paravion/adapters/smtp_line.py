"""
Who may use a host's connections: a number of places, and a line of those that wait for one.

A place is given back to the first in the line, or handed over to one who was called out of it: his commands have gone
out behind another's message already, and he gets that one's connection with its place (adapters/smtp_client.py).
Whoever was called for nothing is at the line's head again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

W = TypeVar("W")
T = TypeVar("T")


class Waiting(Generic[W, T]):
    """
    One who waits.

    Attributes:
        who: Who.
        turn: Done when he has a place.
        thing: What was handed over with it, or None.
    """

    __slots__ = ("thing", "turn", "who")

    def __init__(self, who: W) -> None:
        self.who = who
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.thing: T | None = None


class Line(Generic[W, T]):
    """
    The places at one host, for one event loop.

    Args:
        places: How many, at least 1.
        drop: Called with a thing handed over to somebody who was just leaving.
    """

    def __init__(self, places: int, drop: Callable[[T], None]) -> None:
        self._free = places
        self._drop = drop
        self._waiting: deque[Waiting[W, T]] = deque()

    async def take(self, who: W, deadline: float) -> T | None:
        """
        Wait for a place, to be given back or handed over.

        Returns:
            What was handed over with it, if anything was.

        Raises:
            TimeoutError: The deadline (of the loop's clock) came first.
        """
        if self._free:
            self._free -= 1
            return None
        waiting: Waiting[W, T] = Waiting(who)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout_at(deadline):
                await waiting.turn
        except BaseException:
            if waiting.turn.done() and not waiting.turn.cancelled():
                # It came as we left.
                if waiting.thing is not None:
                    self._drop(waiting.thing)
                self.give_back()
            elif waiting in self._waiting:
                self._waiting.remove(waiting)
            raise
        return waiting.thing

    def give_back(self) -> None:
        """Give a place back, to the first who waits if anybody does."""
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def first(self) -> Waiting[W, T] | None:
        """Give the first who waits, if anybody does."""
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def call(self) -> None:
        """Take the first out of the line: he is about to be handed a place over."""
        self._waiting.popleft()

    def put_back(self, waiting: Waiting[W, T]) -> None:
        """Let one who was called be the first again, at once with a place that got free meanwhile."""
        if waiting.turn.done():
            return
        self._waiting.appendleft(waiting)
        if self._free:
            self._free -= 1
            self.give_back()

    def hand_over(self, waiting: Waiting[W, T], thing: T) -> bool:
        """Give one who was called the caller's own place, and a thing; False if he is gone: both stay."""
        if waiting.turn.done():
            return False
        waiting.thing = thing
        waiting.turn.set_result(None)
        return True
