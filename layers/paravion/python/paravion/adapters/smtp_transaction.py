"""
The way of a dialogue over a connection: what it says is written, what it waits for is awaited, the body streamed.

domain/smtp_dialogue.py says what to do next and learns what came of it; here are time and flow control. A body is sent
in bounded pieces as it comes from the spool; one that is at hand and small leaves with its final dot, and with the
commands of the next transaction (adapters/smtp_behind.py), in one write.

Used by adapters/smtp_session.py to introduce ourselves and by adapters/smtp_client.py to send.

RFC: 5321 4.5.3.2, 4.5.4.1; 2920 3.1.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from paravion.adapters.smtp_connection import WRITE_OCTETS
from paravion.domain import budget
from paravion.domain.smtp_dialogue import Content, StartTls, Step, TlsUp, Whole
from paravion.domain.verdict import Fault, FaultKind, Stage
from paravion.errors import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from paravion.adapters.smtp_behind import Behind
    from paravion.adapters.smtp_connection import Connection
    from paravion.domain.verdict import Answer
    from paravion.ports import Body

_BEHIND_S: Final = 2.0  # longest that somebody called waits for the dot before his
_SILENCE: Final = Fault(FaultKind.TIMED_OUT)

T = TypeVar("T")


async def drive(
    connection: Connection,
    dialogue: Generator[Any, Any, T],
    deadline: float,
    body: Body | None = None,
    first_s: float | None = None,
    behind: Behind | None = None,
) -> T:
    """
    Do what a dialogue asks for until it returns.

    `first_s` bounds the wait for the first answer; `behind` may follow the message's end. Once the
    deadline is past every answer is a time-out.

    Raises:
        SpoolMissing, SpoolUnavailable: The body can't be read, or not all of it; no final dot was sent.
    """
    clock = asyncio.get_running_loop().time
    recorder, answers = connection.recorder, connection.answers
    answer: Answer | TlsUp | None = None
    now = clock()
    try:
        while True:
            step = dialogue.send(answer)
            if isinstance(step, Step):
                if step.octets:
                    recorder.sent(now, step.stage, step.octets)
                    connection.write(step.octets)
                if answers:
                    # Most replies of a pipelined group come together.
                    answer = answers.popleft()
                else:
                    seconds = budget.wait_s(step.stage, now, deadline)
                    answer = await connection.answer(seconds if first_s is None else min(seconds, first_s))
                    now = clock()
                recorder.received(now, step.stage, answer)
            elif isinstance(step, StartTls):
                answer = await _make_handshake(connection, deadline)
                now = clock()
            else:
                assert body is not None  # noqa: S101 (only `transact` yields Content or Whole)
                answer = await _send_message(connection, step, body, deadline, behind)
                now = clock()
            first_s = None
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _make_handshake(connection: Connection, deadline: float) -> TlsUp | Fault:
    clock = asyncio.get_running_loop().time
    answer = await connection.start_tls(budget.wait_s(Stage.TLS, clock(), deadline))
    if isinstance(answer, TlsUp):
        connection.recorder.note(clock(), connection.tls_facts)
    else:
        connection.recorder.received(clock(), Stage.TLS, answer)
    return answer


async def _send_message(
    connection: Connection, step: Content | Whole, body: Body, deadline: float, behind: Behind | None
) -> Answer:
    clock, recorder = asyncio.get_running_loop().time, connection.recorder
    octets = len(step.header) + 2 + body.octets
    if isinstance(step, Content):
        recorder.content(clock(), octets)
        answer = await _send_content(connection, step, body, deadline, behind if step.is_last else None)
        recorder.received(clock(), Stage.DOT if step.ended else Stage.CONTENT, answer)
        return answer
    recorder.sent(clock(), Stage.MAIL, step.commands + step.last(body.octets))
    recorder.content(clock(), octets)
    answer = await _send_whole(connection, step, body, deadline)
    if not step.is_sent:
        recorder.note(clock(), "nothing of it was sent")
    recorder.received(clock(), Stage.MAIL, answer)
    return answer


async def _send_content(
    connection: Connection, content: Content, body: Body, deadline: float, behind: Behind | None
) -> Answer:
    """Stream the message, and give the answer to its final dot or whatever came up before that."""
    waiting = [content.start()]
    octets = body.at_hand() if body.octets <= WRITE_OCTETS else None
    if octets is None:
        answer = await _stream(connection, content, body, deadline, waiting)
        if answer is not None:
            return answer
    else:
        _check_length(len(octets), body)
        waiting.append(content.feed(octets))
    if not connection.is_flowing:
        answer = await connection.drain(budget.wait_s(Stage.CONTENT, asyncio.get_running_loop().time(), deadline))
        if answer is not None:
            return answer
    return await _end_content(connection, content, waiting, deadline, behind)


async def _stream(
    connection: Connection, content: Content, body: Body, deadline: float, waiting: list[bytes]
) -> Answer | None:
    """Write the message but for its end, which is `waiting` then; gives what came up meanwhile, if anything did."""
    clock = asyncio.get_running_loop().time
    chunks = body.chunks()
    size = len(waiting[0])
    octets = 0
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in chunks:
                octets += len(chunk)
                for at in range(0, len(chunk), WRITE_OCTETS):
                    waiting.append(content.feed(chunk[at : at + WRITE_OCTETS]))
                    size += len(waiting[-1])
                    if size >= WRITE_OCTETS:
                        connection.write(b"".join(waiting))
                        waiting.clear()
                        size = 0
                        answer = await connection.drain(budget.wait_s(Stage.CONTENT, clock(), deadline))
                        if answer is not None:
                            return answer
    except TimeoutError:
        return Fault(FaultKind.TIMED_OUT)
    finally:
        end = getattr(chunks, "aclose", None)
        if end is not None:
            await end()
    _check_length(octets, body)
    return None


def _check_length(octets: int, body: Body) -> None:
    if octets != body.octets:
        raise SpoolUnavailable(f"body has {octets} octets, not {body.octets}")


async def _end_content(
    connection: Connection, content: Content, waiting: list[bytes], deadline: float, behind: Behind | None
) -> Answer:
    """Write what is left of the message, its dot and what follows it; give the dot's answer."""
    clock = asyncio.get_running_loop().time
    now = clock()
    if now >= deadline:
        # Without time to hear the answer, a dot would leave everybody in doubt.
        return Fault(FaultKind.TIMED_OUT)
    waiting.append(content.end())
    if behind is not None:
        waiting.append(behind.octets())
    connection.write(b"".join(waiting))
    seconds = budget.wait_s(Stage.DOT, now, deadline)
    if behind is None or not behind.is_written:
        return await connection.answer(seconds)
    answer = await connection.answer(min(_BEHIND_S, seconds))
    if answer != _SILENCE:
        return answer
    behind.give_up(late=True)
    return await connection.answer(now + seconds - clock())


async def _send_whole(connection: Connection, whole: Whole, body: Body, deadline: float) -> Answer:
    """Write a whole transaction, and give its first answer; if the body can't be read nothing was sent."""
    clock = asyncio.get_running_loop().time
    octets = body.at_hand()
    if octets is None:
        try:
            async with asyncio.timeout_at(deadline):
                octets = b"".join([chunk async for chunk in body.chunks()])
        except TimeoutError:
            return Fault(FaultKind.TIMED_OUT)
    _check_length(len(octets), body)
    if clock() >= deadline:
        return Fault(FaultKind.TIMED_OUT)
    if connection.is_lost:
        # Nothing leaves any more: no doubt begins.
        return await connection.answer(0.0)
    whole.is_sent = True
    connection.write(whole.octets(octets))
    return await connection.answer(budget.wait_s(Stage.MAIL, clock(), deadline))
