"""
One look-up for a whole batch: what its jobs ask is gathered and asked at once.

A job is a member: it asks once, or leaves without asking. The question goes out when the last member has done
either, or a moment after the first asked, so that one slow job does not hold the others.

Used by services/withhold.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.services.blocking import InThread

PATIENCE_S: Final = 0.5
"""Longest wait for the other members: an envelope's read takes some 20 ms, and a slow one seldom this long."""

V = TypeVar("V")


class Gathering(Generic[V]):
    """
    The questions of one batch.

    Args:
        look_up: Gives what it finds of some keys; may block, and is called by `in_thread`.
        members: How many jobs may ask.
        keys_at_once: How many keys one call of `look_up` gets at most.
    """

    def __init__(
        self,
        look_up: Callable[[Sequence[str]], dict[str, V]],
        members: int,
        *,
        keys_at_once: int = 100,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._in_thread = in_thread
        self._look_up = look_up
        self._expected = members
        self._keys_at_once = keys_at_once
        self._asked: list[tuple[list[str], asyncio.Future[dict[str, V]]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def member(self) -> Member[V]:
        """Give one job's part in it."""
        return Member(self)

    async def _ask(self, keys: list[str]) -> dict[str, V]:
        answer: asyncio.Future[dict[str, V]] = asyncio.get_running_loop().create_future()
        self._asked.append((keys, answer))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._go)
        self._leave()
        return await answer

    def _leave(self) -> None:
        self._expected -= 1
        if self._expected <= 0 and self._asked:
            self._go()

    def _go(self) -> None:
        assert self._timer is not None  # noqa: S101 (started by the first who asked)
        self._timer.cancel()
        self._timer = None
        asked, self._asked = self._asked, []
        task = asyncio.ensure_future(self._answer(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: list[tuple[list[str], asyncio.Future[dict[str, V]]]]) -> None:
        keys = list(dict.fromkeys(key for wanted, _ in asked for key in wanted))
        parts = [keys[first : first + self._keys_at_once] for first in range(0, len(keys), self._keys_at_once)]
        results = await asyncio.gather(
            *(self._in_thread(self._look_up, part) for part in parts), return_exceptions=True
        )
        found: dict[str, V] = {}
        broken: dict[str, BaseException] = {}
        for part, result in zip(parts, results, strict=True):
            if isinstance(result, BaseException):
                broken |= dict.fromkeys(part, result)
            else:
                found |= result
        for wanted, answer in asked:
            if answer.done():
                continue
            fault = next((broken[key] for key in wanted if key in broken), None)
            if fault is not None:
                answer.set_exception(fault)
            else:
                answer.set_result({key: found[key] for key in wanted if key in found})


class Member(Generic[V]):
    """One job's part in a gathering."""

    def __init__(self, gathering: Gathering[V]) -> None:
        self._gathering = gathering
        self._is_done = False

    async def ask(self, keys: Sequence[str]) -> dict[str, V]:
        """
        Give what was found of the keys; once only.

        Raises:
            Whatever the look-up of one of them raised.
        """
        assert not self._is_done  # noqa: S101 (a caller's mistake)
        if not keys:
            self.leave()
            return {}
        self._is_done = True
        return await self._gathering._ask(list(keys))  # noqa: SLF001 (two halves of one thing)

    def leave(self) -> None:
        """Say that nothing will be asked; may be said again, and after asking."""
        if not self._is_done:
            self._is_done = True
            self._gathering._leave()  # noqa: SLF001
