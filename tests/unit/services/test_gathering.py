"""services/gathering.py: one look-up for a batch, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from paravion.errors import LedgerUnavailable
from paravion.services import gathering
from paravion.services.gathering import Gathering

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are waited for; a test that doesn't want that says so."""
    monkeypatch.setattr(gathering, "PATIENCE_S", 60.0)


class Store:
    """Finds keys that begin with x; fails for keys that begin with !."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def look_up(self, keys: Sequence[str]) -> dict[str, str]:
        self.calls.append(list(keys))
        if any(key.startswith("!") for key in keys):
            raise LedgerUnavailable("away")
        return {key: key.upper() for key in keys if key.startswith("x")}


def test_members_ask_at_once() -> None:
    """One call, each key once, each gets its own."""
    store = Store()

    async def run() -> list[dict[str, str]]:
        batch = Gathering(store.look_up, 3)
        members = [batch.member() for _ in range(3)]
        keys = [["x1", "y"], ["x1", "x2"], ["z"]]
        return await asyncio.gather(*(m.ask(k) for m, k in zip(members, keys, strict=True)))

    assert asyncio.run(run()) == [{"x1": "X1"}, {"x1": "X1", "x2": "X2"}, {}]
    assert store.calls == [["x1", "y", "x2", "z"]]


def test_who_leaves_is_not_waited_for() -> None:
    """A job that was somebody else's, or that has nothing to ask."""
    store = Store()

    async def run() -> dict[str, str]:
        batch = Gathering(store.look_up, 3)
        first, second, third = (batch.member() for _ in range(3))
        third.leave()
        third.leave()
        asking = asyncio.ensure_future(first.ask(["x"]))
        await asyncio.sleep(0)
        assert await second.ask([]) == {}
        found = await asking
        first.leave()
        return found

    assert asyncio.run(run()) == {"x": "X"}
    assert len(store.calls) == 1


def test_late_member_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked goes out after a moment; the late one asks alone."""
    monkeypatch.setattr(gathering, "PATIENCE_S", 0.001)
    store = Store()

    async def run() -> list[dict[str, str]]:
        batch = Gathering(store.look_up, 2)
        first, late = batch.member(), batch.member()
        return [await first.ask(["x1"]), await late.ask(["x2"])]

    assert asyncio.run(run()) == [{"x1": "X1"}, {"x2": "X2"}]
    assert store.calls == [["x1"], ["x2"]]


def test_fault_is_for_those_who_asked_for_what_it_hit() -> None:
    """Half an answer: the others go on."""
    store = Store()

    async def run() -> list[dict[str, str] | BaseException]:
        batch = Gathering(store.look_up, 3, keys_at_once=2)
        members = [batch.member() for _ in range(3)]
        keys = [["x1", "x2"], ["!3", "x4"], ["x5"]]
        return await asyncio.gather(*(m.ask(k) for m, k in zip(members, keys, strict=True)), return_exceptions=True)

    good, bad, other = asyncio.run(run())
    assert good == {"x1": "X1", "x2": "X2"}
    assert isinstance(bad, LedgerUnavailable)
    assert other == {"x5": "X5"}
    # At once, in threads: in whatever order.
    assert sorted(len(call) for call in store.calls) == [1, 2, 2]


def test_member_that_was_given_up_disturbs_nobody() -> None:
    """An invocation that ends cancels its jobs."""
    store = Store()

    async def run() -> dict[str, str]:
        batch = Gathering(store.look_up, 2)
        first, second = batch.member(), batch.member()
        gone = asyncio.ensure_future(first.ask(["x1"]))
        await asyncio.sleep(0)
        gone.cancel()
        return await second.ask(["x2"])

    assert asyncio.run(run()) == {"x2": "X2"}
