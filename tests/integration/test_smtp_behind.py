"""Commands behind a message's final dot (RFC 2920 3.1): quick where all is well, harmless where anything is not."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from paravion.adapters import smtp_transaction
from paravion.adapters.smtp_connection import Connection
from paravion.domain import budget
from paravion.domain.outcome import Result
from paravion.domain.transcript import Recorder
from tests.integration.test_smtp_client import FakeBody, hop_to, mail, transport
from tests.support.smtp_server import DROP, EXTENSIONS, HANG, RESET, SmtpServer

D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED
N = 5


@pytest.fixture(autouse=True)
def behind(monkeypatch):
    """Notes each write that carries commands behind a dot; waits are short."""
    written = []
    write = Connection.write

    def noted(self, octets):
        if b"\r\n.\r\nMAIL FROM:" in octets:
            written.append(octets)
        write(self, octets)

    monkeypatch.setattr(Connection, "write", noted)
    monkeypatch.setattr(smtp_transaction, "_BEHIND_S", 0.2)
    monkeypatch.setattr(budget, "REUSED_ANSWER_S", 0.4)
    return written


def numbered(n, **fields):
    return mail(f"b{n}@example.net", body=FakeBody(b"number %d\r\n" % n), **fields)


async def send_all(client, server, *, seconds=20.0, mails=None, deadlines=None):
    """Send N messages at once; give each one's outcome."""
    now = asyncio.get_running_loop().time()
    mails = mails or [numbered(n) for n in range(N)]
    until = [now + (deadlines or {}).get(n, seconds) for n in range(len(mails))]
    said = await asyncio.gather(*(client.send(hop_to(server), m, t) for m, t in zip(mails, until, strict=True)))
    return [outcomes[0] for outcomes in said]


def taken(server):
    """How often each message was taken."""
    return Counter(int(message.octets.split(b"number ")[1]) for message in server.messages)


def test_waiting_messages_follow_each_other_over_one_connection(behind):
    async def run():
        async with SmtpServer() as server, transport(connections_per_host=1) as client:
            return server, await send_all(client, server)

    server, outcomes = asyncio.run(run())
    assert [outcome.result for outcome in outcomes] == [OK] * N
    assert taken(server) == dict.fromkeys(range(N), 1)
    assert (len(server.sessions), server.violations) == (1, [])
    assert len(behind) == N - 2  # none behind the first, which shows what the host is; none waits at the last


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({"DOT": [None, "451 4.3.0 later"]}, D),
        ({"DOT": [None, "550 5.7.1 no"]}, F),
        # Refused in words, and not for its own sake: it is repeated over a fresh connection.
        ({"DOT": [None, "421 4.3.2 bye"]}, OK),
        ({"DOT": [None, ("421 4.3.2 bye", DROP)]}, OK),
        ({"DOT": [None, DROP]}, D),
        ({"DOT": [None, RESET]}, D),
        ({"DOT": [None, b"what?\r\n"]}, D),
        ({"DOT": [None, ("250 ok", DROP)]}, OK),
        ({"DOT": [None, ("250 ok", RESET)]}, OK),
        ({"MAIL": [None, None, "503 5.5.1 nested"]}, OK),
        ({"MAIL": [None, None, "421 4.3.2 enough"]}, OK),
        ({"MAIL": [None, None, DROP]}, OK),
        ({"MAIL": [None, None, HANG]}, OK),
        ({"DATA": [None, None, DROP]}, OK),
        ({"RCPT": [None, None, RESET]}, OK),
    ],
    ids=repr,
)
def test_trouble_is_that_message_s_alone(script, said, behind):
    async def run():
        async with SmtpServer(script=script) as server, transport(connections_per_host=1) as client:
            return server, await send_all(client, server)

    server, outcomes = asyncio.run(run())
    assert [outcome.result for outcome in outcomes] == [OK, said, *[OK] * (N - 2)]
    assert set(taken(server)) >= {0, 2, 3, 4}
    assert set(taken(server).values()) == {1}  # nothing twice
    assert behind


def test_recipient_refused_behind_a_dot_is_refused_for_itself():
    async def run():
        script = {"RCPT": [None, None, "550 5.1.1 unknown"]}
        async with SmtpServer(script=script) as server, transport(connections_per_host=1) as client:
            return server, await send_all(client, server)

    server, outcomes = asyncio.run(run())
    assert [outcome.result for outcome in outcomes] == [OK, OK, F, OK, OK]
    assert (taken(server), len(server.sessions)) == ({0: 1, 1: 1, 3: 1, 4: 1}, 1)


def test_slow_dot_keeps_only_its_own_message(behind):
    async def run():
        script = {"DOT": [None, None, HANG]}
        async with SmtpServer(script=script) as server, transport(connections_per_host=2) as client:
            return server, await send_all(client, server, seconds=3.0), client._one_by_one

    server, outcomes, one_by_one = asyncio.run(run())
    assert sorted(outcome.result for outcome in outcomes) == sorted([D, *[OK] * (N - 1)])
    assert set(taken(server).values()) == {1}
    assert len(taken(server)) == N - 1
    assert behind
    assert one_by_one


def test_one_who_is_cut_off_while_his_commands_are_out_leaves_no_message():
    async def run():
        async with SmtpServer() as server, transport(connections_per_host=1) as client:
            tasks = []

            def cut_off(session, line):
                tasks[2].cancel()

            server.script["DOT"] = [None, cut_off]
            end = asyncio.get_running_loop().time() + 20
            tasks += [asyncio.ensure_future(client.send(hop_to(server), numbered(n), end)) for n in range(N)]
            said = await asyncio.gather(*tasks, return_exceptions=True)
            return server, said

    server, said = asyncio.run(run())
    assert isinstance(said.pop(2), asyncio.CancelledError)
    assert [outcomes[0].result for outcomes in said] == [OK] * (N - 1)
    assert taken(server) == {0: 1, 1: 1, 3: 1, 4: 1}


def test_sender_cut_off_behind_his_dot_leaves_the_next_in_the_line():
    async def run():
        async with SmtpServer() as server, transport(connections_per_host=1) as client:
            tasks = []

            def cut_off(session, line):
                tasks[1].cancel()

            server.script["DOT"] = [None, cut_off]
            end = asyncio.get_running_loop().time() + 20
            tasks += [asyncio.ensure_future(client.send(hop_to(server), numbered(n), end)) for n in range(N)]
            return server, await asyncio.gather(*tasks, return_exceptions=True)

    server, said = asyncio.run(run())
    del said[1]  # taken or not: nobody is left to hear
    assert [outcomes[0].result for outcomes in said] == [OK] * (N - 1)
    assert {0, 2, 3, 4} <= set(taken(server))
    assert set(taken(server).values()) == {1}


def test_limits_of_the_host_are_kept(behind):
    async def run():
        extensions = (*EXTENSIONS, "LIMITS MAILMAX=3")
        async with SmtpServer(extensions=extensions) as server, transport(connections_per_host=1) as client:
            return server, await send_all(client, server)

    server, outcomes = asyncio.run(run())
    assert [outcome.result for outcome in outcomes] == [OK] * N
    mails = [sum(c.startswith("MAIL") for c in session.commands) for session in server.sessions]
    assert mails == [3, 2]
    assert behind


@pytest.mark.parametrize("extensions", [("SIZE 52428800", "8BITMIME"), (*EXTENSIONS, "CHUNKING")], ids=repr)
def test_nothing_is_put_behind_where_it_may_not_or_need_not(extensions, behind):
    async def run():
        async with SmtpServer(extensions=extensions) as server, transport(connections_per_host=1) as client:
            return server, await send_all(client, server)

    server, outcomes = asyncio.run(run())
    assert [outcome.result for outcome in outcomes] == [OK] * N
    assert (behind, server.violations) == ([], [])


def test_message_that_needs_more_than_the_connection_has_waits_for_its_own():
    async def run():
        mails = [numbered(n, tls_required=n == 2) for n in range(N)]
        async with SmtpServer() as server, transport(connections_per_host=1) as client:
            return server, await send_all(client, server, mails=mails)

    server, outcomes = asyncio.run(run())
    assert [outcome.result for outcome in outcomes] == [OK, OK, D, OK, OK]
    assert set(taken(server)) == {0, 1, 3, 4}


def test_message_in_several_transactions_lets_nobody_in_between():
    async def run():
        several = [
            mail(*(f"b{k}@example.net" for k in range(5)), body=FakeBody(b"number %d\r\n" % n)) for n in range(3)
        ]
        extensions = (*EXTENSIONS, "LIMITS RCPTMAX=2")
        async with SmtpServer(extensions=extensions) as server, transport(connections_per_host=1) as client:
            end = asyncio.get_running_loop().time() + 20
            return server, await asyncio.gather(*(client.send(hop_to(server), m, end) for m in several))

    server, said = asyncio.run(run())
    assert all(outcome.result is OK for outcomes in said for outcome in outcomes.values())
    assert taken(server) == {0: 3, 1: 3, 2: 3}


def test_transcripts_tell_each_its_own():
    async def run():
        recorders = [Recorder() for _ in range(N)]
        mails = [numbered(n, recorder=recorder) for n, recorder in enumerate(recorders)]
        async with SmtpServer() as server, transport(connections_per_host=1) as client:
            await send_all(client, server, mails=mails)
        return recorders

    for n, recorder in enumerate(asyncio.run(run())):
        sent = [line.text for line in recorder.lines if line.kind == "->" and line.text[:4] in {"MAIL", "RCPT", "DATA"}]
        assert sent == ["MAIL FROM:<a@example.com> SIZE=45", f"RCPT TO:<b{n}@example.net>", "DATA"]
        assert [line.text[:3] for line in recorder.lines if line.kind == "<-"][-4:] == ["250", "250", "354", "250"]
