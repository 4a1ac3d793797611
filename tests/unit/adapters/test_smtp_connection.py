"""Who waits at a connection is woken by what it waits for, and by nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from paravion.adapters.smtp_connection import Connection
from paravion.domain.tls_policy import TlsMode, opportunistic
from paravion.domain.verdict import Fault, FaultKind


class FakeTransport:
    """It takes everything."""

    def set_write_buffer_limits(self, high: int) -> None:
        """See asyncio."""

    def write(self, octets: bytes) -> None:
        """See asyncio."""


async def _open() -> Connection:
    policy = opportunistic(TlsMode.MAY, fallback=True)
    connection = Connection(asyncio.get_running_loop(), "mx.test", policy, "", lambda _: None)
    connection.connection_made(FakeTransport())  # type: ignore[arg-type]  # enough of one
    return connection


def test_room_for_more_is_no_answer() -> None:
    """The end of a large message waits behind a full socket: that it leaves at last says nothing of the dot's answer."""

    async def work() -> Any:
        connection = await _open()
        connection.write(b"the end\r\n.\r\n")
        connection.pause_writing()
        answer = asyncio.ensure_future(connection.answer(60))
        await asyncio.sleep(0)
        connection.resume_writing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not answer.done()
        connection.data_received(b"250 2.0.0 kept\r\n")
        return await answer

    assert asyncio.run(work()).code == 250


def test_who_waits_for_room_gets_it() -> None:
    """Or what came up instead."""

    async def work(answer: bytes) -> Any:
        connection = await _open()
        connection.pause_writing()
        drained = asyncio.ensure_future(connection.drain(60))
        await asyncio.sleep(0)
        if answer:
            connection.data_received(answer)
        else:
            connection.resume_writing()
        return await drained

    assert asyncio.run(work(b"")) is None
    assert asyncio.run(work(b"421 4.3.2 full\r\n")).code == 421


def test_silence_is_told_once_the_time_is_up() -> None:
    """Of both kinds."""

    async def work() -> list[Any]:
        connection = await _open()
        connection.pause_writing()
        return [await connection.drain(0.01), await connection.answer(0.01)]

    assert asyncio.run(work()) == [Fault(FaultKind.TIMED_OUT)] * 2
