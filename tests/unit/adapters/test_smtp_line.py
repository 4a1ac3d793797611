"""Who may use a host's connections: nobody twice, nobody forgotten."""

from __future__ import annotations

import asyncio

import pytest

from paravion.adapters.smtp_line import Line


async def in_line(line, *names, seconds=5.0):
    """Let them wait; gives their tasks, begun."""
    end = asyncio.get_running_loop().time() + seconds
    tasks = [asyncio.ensure_future(line.take(name, end)) for name in names]
    await asyncio.sleep(0)
    return tasks


def test_places_go_to_the_first_who_waits():
    async def run():
        line = Line(1, pytest.fail)
        a, b, c = await in_line(line, "a", "b", "c")
        assert (await a, b.done(), line.first().who) == (None, False, "b")
        line.give_back()
        assert (await b, c.done()) == (None, False)
        c.cancel()
        await asyncio.sleep(0)
        assert line.first() is None
        line.give_back()
        (d,) = await in_line(line, "d")
        assert await d is None

    asyncio.run(run())


def test_deadline_ends_the_wait():
    async def run():
        line = Line(1, pytest.fail)
        _, b = await in_line(line, "a", "b", seconds=0.01)
        with pytest.raises(TimeoutError):
            await b
        assert line.first() is None

    asyncio.run(run())


def test_each_has_his_own_deadline_also_while_he_is_called():
    async def run():
        line = Line(1, pytest.fail)
        await in_line(line, "a")
        (c,) = await in_line(line, "c", seconds=0.02)
        (b,) = await in_line(line, "b", seconds=0.01)
        called = line.first()
        line.call()
        for late in (b, c):
            with pytest.raises(TimeoutError):
                await late
        assert (called.who, line.first(), line.hand_over(called, "ride")) == ("c", None, False)
        line.end()

    asyncio.run(run())


def test_who_is_called_gets_the_callers_place_and_thing():
    async def run():
        line = Line(1, pytest.fail)
        _, b, c = await in_line(line, "a", "b", "c")
        called = line.first()
        line.call()
        assert line.first().who == "c"
        assert line.hand_over(called, "ride")
        assert (await b, c.done()) == ("ride", False)

    asyncio.run(run())


def test_who_is_called_for_nothing_is_first_again():
    async def run():
        line = Line(1, pytest.fail)
        _, b, c = await in_line(line, "a", "b", "c")
        called = line.first()
        line.call()
        line.put_back(called)
        line.give_back()
        assert (await b, c.done()) == (None, False)

    asyncio.run(run())


def test_who_is_called_for_nothing_gets_a_place_that_got_free_meanwhile():
    async def run():
        line = Line(2, pytest.fail)
        *_, c = await in_line(line, "a", "b", "c")
        called = line.first()
        line.call()
        line.give_back()
        line.put_back(called)
        assert await c is None

    asyncio.run(run())


def test_who_leaves_while_called_is_handed_nothing():
    async def run():
        line = Line(1, pytest.fail)
        _, b = await in_line(line, "a", "b")
        called = line.first()
        line.call()
        b.cancel()
        await asyncio.sleep(0)
        assert not line.hand_over(called, "ride")
        line.put_back(called)
        assert line.first() is None

    asyncio.run(run())


def test_who_leaves_as_he_is_handed_a_place_passes_it_on():
    async def run():
        dropped = []
        line = Line(1, dropped.append)
        _, b, c = await in_line(line, "a", "b", "c")
        called = line.first()
        line.call()
        assert line.hand_over(called, "ride")
        b.cancel()
        assert (await c, dropped) == (None, ["ride"])

    asyncio.run(run())
