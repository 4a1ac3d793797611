"""
Who may use a host's connections: a number of places, and a line of those that wait for one.

A place is given back to the first in the line, or handed over to one who was called out of it: his commands have gone
out behind another's message already, and he gets that one's connection with its place (adapters/smtp_client.py).
Whoever was called for nothing is at the line's head again.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from paravion.adapters.smtp_alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

W = TypeVar("W")
T = TypeVar("T")


class Waiting(Generic[W, T]):
    """
    One who waits.

    Attributes:
        who: Who.
        deadline: Of the loop's clock.
        turn: Done when he has a place: True; or when his time is up: False.
        thing: What was handed over with the place, or None.
    """

    __slots__ = ("deadline", "thing", "turn", "who")

    def __init__(self, who: W, deadline: float) -> None:
        self.who = who
        self.deadline = deadline
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
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
        self._timed: set[Waiting[W, T]] = set()  # who waits, in the line or called out of it
        self._alarm: Alarm | None = None  # one for all: most have the deadline of one batch
        self._rings_at = math.inf

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
        waiting: Waiting[W, T] = Waiting(who, deadline)
        self._waiting.append(waiting)
        self._timed.add(waiting)
        if deadline < self._rings_at:
            self._wake_at(deadline)
        try:
            has_place = await waiting.turn
        except BaseException:
            if waiting.turn.done() and not waiting.turn.cancelled() and waiting.turn.result():
                # It came as we left.
                if waiting.thing is not None:
                    self._drop(waiting.thing)
                self.give_back()
            self._leave(waiting)
            raise
        finally:
            self._timed.discard(waiting)
        if not has_place:
            self._leave(waiting)
            raise TimeoutError
        return waiting.thing

    def end(self) -> None:
        """Ring for nobody any more."""
        self._rings_at = math.inf
        if self._alarm is not None:
            self._alarm.end()

    def _leave(self, waiting: Waiting[W, T]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _wake_at(self, deadline: float) -> None:
        if self._alarm is None:
            self._alarm = Alarm(asyncio.get_running_loop(), self._look)
        self._rings_at = deadline
        self._alarm.set(deadline)

    def _look(self) -> None:
        """Send away those whose time is up."""
        due = self._rings_at
        self._rings_at = math.inf
        for waiting in self._timed:
            if waiting.turn.done():
                continue
            if waiting.deadline <= due:
                waiting.turn.set_result(False)
            elif waiting.deadline < self._rings_at:
                self._rings_at = waiting.deadline
        if self._rings_at < math.inf:
            self._wake_at(self._rings_at)

    def give_back(self) -> None:
        """Give a place back, to the first who waits if anybody does."""
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(True)
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
        waiting.turn.set_result(True)
        return True
