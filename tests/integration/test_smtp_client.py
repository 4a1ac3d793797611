"""The SMTP transport against a scriptable server on loopback: every stage, every kind of trouble."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiosmtpd.smtp
import pytest

from paravion.adapters import smtp_attempt
from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.envelope import DeliverBy
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.errors import SpoolMissing, SpoolUnavailable
from paravion.ports import Transaction
from tests.support.smtp_server import DROP, EXTENSIONS, HANG, RESET, STALL, YES, Slowly, SmtpServer, certificate

HEADER = b"From: a@example.com\r\nSubject: x\r\n"
D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED


@dataclass
class FakeBody:
    """A body that comes in pieces of a size, or is at hand; `after` fails in place of the piece of that number."""

    content: bytes = b"hello\r\n"
    piece: int = 65536
    fails: Exception | None = None
    after: int = 0
    claimed: int = -1
    held: bool = False

    @property
    def octets(self):
        return self.claimed if self.claimed >= 0 else len(self.content)

    def at_hand(self):
        return self.content if self.held else None

    async def chunks(self):
        for n, at in enumerate(range(0, len(self.content), self.piece)):
            if self.fails and n == self.after:
                raise self.fails
            yield self.content[at : at + self.piece]


class FakeResolver:
    def __init__(self, names=None):
        self.names = names or {}

    async def next_hop(self, domain):
        raise NotImplementedError

    async def addresses(self, host):
        return self.names[host]

    async def txt(self, name):
        return []


def mail(*paths, content=b"hello\r\n", body=None, **fields):
    """A transaction to these forward-paths."""
    recipients = {n: (path, (), "") for n, path in enumerate(paths or ("b@example.net",))}
    return Transaction("q" * 26, "a@example.com", recipients, HEADER, body or FakeBody(content), **fields)


def hop_to(*servers):
    """A next hop with these servers as its hosts."""
    hosts = (MxHost(f"mx{n}.test", server.port, ("127.0.0.1",), allow_private=True) for n, server in enumerate(servers))
    return NextHop("example.net", tuple(hosts))


@asynccontextmanager
async def transport(**options):
    """A transport, closed in the end."""
    made = SmtpTransport("us.test", options.pop("resolver", FakeResolver()), **options)
    try:
        yield made
    finally:
        await made.close()


async def send_once(server, transaction, within=5.0, **options):
    """Send one transaction to one server."""
    async with server, transport(**options) as client:
        deadline = asyncio.get_running_loop().time() + within
        return await client.send(hop_to(server), transaction, deadline)


def brief(outcome):
    """What most tests look at."""
    return outcome.result, outcome.status, outcome.code, outcome.command


@pytest.mark.parametrize(
    ("left_s", "returns", "said"), [(60.9, True, "BY=60;R"), (-0.5, False, "BY=-1;N"), (2e9, False, "BY=999999999;N")]
)
def test_what_is_left_of_a_deadline_is_told(left_s, returns, said):
    """RFC 2852: in whole seconds at that moment, never more than is left."""

    async def work():
        deadline = asyncio.get_running_loop().time() + left_s
        transaction = mail(deliver_by=DeliverBy(deadline, returns))
        server = SmtpServer(extensions=(*EXTENSIONS, "DELIVERBY"))
        outcomes = await send_once(server, transaction)
        return outcomes[0], server.sessions[0].commands

    outcome, commands = asyncio.run(work())
    assert brief(outcome)[:2] == (OK, "2.0.0")
    assert any(command.endswith(said) for command in commands if command.startswith("MAIL")), commands


CONTENTS = {
    "plain": b"hello\r\n",
    "empty": b"",
    "no_final_line_end": b"hello",
    "dots": b".\r\n..\r\n.x\r\n\r\n.\r\n",
    "only_a_dot": b".",
    "eight_bit": bytes(range(128, 256)) + b"\r\n\x00\x01\r\n",
    "ends_with_dot_line": b"x\r\n.",
    "long_line": b"y" * 100_000 + b"\r\n",
}


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("piece", [1, 2, 65536], ids=["1", "2", "whole"])
@pytest.mark.parametrize("key", CONTENTS)
def test_content_arrives_octet_for_octet(key, piece, pipelining):
    """What the spool holds is what arrives; only a missing last line end is added (RFC 5321 4.5.2, 4.1.1.4)."""
    content = CONTENTS[key]
    if piece < 3 and len(content) > 1000:
        piece = 997
    extensions = EXTENSIONS if pipelining else EXTENSIONS[1:]
    server = SmtpServer(extensions=extensions)
    outcomes = asyncio.run(send_once(server, mail(body=FakeBody(content, piece))))
    assert brief(outcomes[0]) == (OK, "2.0.0", 250, "DOT")
    ending = b"" if not content or content.endswith(b"\r\n") else b"\r\n"
    assert [HEADER + b"\r\n" + content + ending] == [m.octets for m in server.messages]
    assert server.violations == []


def test_ten_megabytes_arrive_octet_for_octet():
    """A large body is streamed with flow control and arrives whole."""
    line = b".0123456789" * 6 + b"\r\n"
    content = line * (10_500_000 // len(line))
    server = SmtpServer()
    outcomes = asyncio.run(send_once(server, mail(body=FakeBody(content, 1 << 20)), within=60))
    assert outcomes[0].result == OK
    assert HEADER + b"\r\n" + content == server.messages[0].octets


TROUBLE = {
    "connect_4yz": ({"CONNECT": "450 4.3.2 later"}, (D, "4.3.2", 450, "GREETING")),
    "connect_421": ({"CONNECT": ("421 4.3.2 busy", DROP)}, (D, "4.3.2", 421, "GREETING")),
    "connect_554": ({"CONNECT": "554 5.7.1 no"}, (F, "5.7.1", 554, "GREETING")),
    "connect_521": ({"CONNECT": "521 no mail here"}, (F, "5.3.2", 521, "GREETING")),
    "connect_drop": ({"CONNECT": DROP}, (D, "4.4.2", 0, "GREETING")),
    "connect_reset": ({"CONNECT": RESET}, (D, "4.4.2", 0, "GREETING")),
    "connect_garbage": ({"CONNECT": b"HTTP/1.1 400 Bad Request\r\n"}, (D, "4.4.2", 0, "GREETING")),
    "connect_354": ({"CONNECT": "354 what"}, (D, "4.4.2", 0, "GREETING")),
    "connect_half": ({"CONNECT": (b"220 mx", DROP)}, (D, "4.4.2", 0, "GREETING")),
    "ehlo_4yz": ({"EHLO": "451 4.3.0 x"}, (D, "4.3.0", 451, "EHLO")),
    "helo_5yz": ({"EHLO": "500 what", "HELO": "550 5.7.1 no"}, (F, "5.7.1", 550, "HELO")),
    "ehlo_drop": ({"EHLO": DROP}, (D, "4.4.2", 0, "EHLO")),
    "ehlo_half": ({"EHLO": (b"250-mx.test\r\n250-PIPE", DROP)}, (D, "4.4.2", 0, "EHLO")),
    "mail_4yz": ({"MAIL": "451 4.7.1 grey"}, (D, "4.7.1", 451, "MAIL")),
    "mail_5yz": ({"MAIL": "550 5.7.1 no"}, (F, "5.7.1", 550, "MAIL")),
    "mail_421": ({"MAIL": ("421 4.7.0 bye", DROP)}, (D, "4.7.0", 421, "MAIL")),
    "mail_drop": ({"MAIL": DROP}, (D, "4.4.2", 0, "MAIL")),
    "mail_garbage": ({"MAIL": b"\x00\xff\r\n"}, (D, "4.4.2", 0, "MAIL")),
    "rcpt_4yz": ({"RCPT": "450 4.2.1 busy"}, (D, "4.2.1", 450, "RCPT")),
    "rcpt_5yz": ({"RCPT": "550 5.1.1 nobody"}, (F, "5.1.1", 550, "RCPT")),
    "rcpt_552": ({"RCPT": "552 5.2.2 full"}, (D, "4.2.2", 552, "RCPT")),
    "rcpt_drop": ({"RCPT": DROP}, (D, "4.4.2", 0, "RCPT")),
    "rcpt_354": ({"RCPT": "354 what"}, (D, "4.4.2", 0, "RCPT")),
    "data_4yz": ({"DATA": "451 4.3.0 x"}, (D, "4.3.0", 451, "DATA")),
    "data_5yz": ({"DATA": "554 5.6.0 x"}, (F, "5.6.0", 554, "DATA")),
    "data_250": ({"DATA": "250 what"}, (D, "4.4.2", 0, "DATA")),
    "data_drop": ({"DATA": DROP}, (D, "4.4.2", 0, "DATA")),
    "content_drop": ({"CONTENT": DROP}, (D, "4.4.2", 0, "DOT")),
    "dot_4yz": ({"DOT": "451 4.3.0 x"}, (D, "4.3.0", 451, "DOT")),
    "dot_5yz": ({"DOT": "554 5.7.1 spam"}, (F, "5.7.1", 554, "DOT")),
    "dot_421": ({"DOT": ("421 4.3.2 x", DROP)}, (D, "4.3.2", 421, "DOT")),
    "dot_drop": ({"DOT": DROP}, (D, "4.4.2", 0, "DOT")),
    "dot_half": ({"DOT": (b"250 2.0", DROP)}, (D, "4.4.2", 0, "DOT")),
    "dot_garbage": ({"DOT": b"OK!\r\n"}, (D, "4.4.2", 0, "DOT")),
    "dot_mismatch": ({"DOT": b"250-a\r\n251 b\r\n"}, (D, "4.4.2", 0, "DOT")),
    "dot_354": ({"DOT": "354 go on"}, (D, "4.4.2", 0, "DOT")),
    "class_mismatch": ({"RCPT": "550 4.1.1 odd"}, (F, "5.0.0", 550, "RCPT")),
}


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("key", TROUBLE)
def test_trouble_at_any_stage_gives_its_verdict(key, pipelining):
    """Each reply or fault, at each stage, gives the outcome of verdict.py's table; nothing is raised."""
    script, expected = TROUBLE[key]
    server = SmtpServer(extensions=EXTENSIONS if pipelining else EXTENSIONS[1:], script=script)
    outcomes = asyncio.run(send_once(server, mail()))
    assert expected == brief(outcomes[0])
    assert server.messages == []
    assert (outcomes[0].mx_host, outcomes[0].address) == ("mx0.test", "127.0.0.1")


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
def test_host_that_hangs_defers_at_the_deadline(stage):
    """The deadline holds whatever the host does; what was open is deferred (contract of Transport.send)."""

    async def main():
        clock = asyncio.get_running_loop().time
        async with SmtpServer(script={stage: HANG}) as server, transport() as client:
            began = clock()
            outcomes = await client.send(hop_to(server), mail(), began + 0.3)
            return outcomes, clock() - began

    outcomes, seconds = asyncio.run(main())
    assert brief(outcomes[0])[:3] == (D, "4.4.2", 0)
    assert "Timed out" in outcomes[0].text
    assert seconds < 1.0


def test_host_that_stops_reading_defers_at_the_deadline():
    """Flow control does not wait past the deadline, and no dot was sent."""
    body = FakeBody(b"x" * 30_000_000 + b"\r\n", 1 << 20)
    outcomes = asyncio.run(send_once(SmtpServer(script={"CONTENT": STALL}), mail(body=body), within=0.5))
    assert brief(outcomes[0]) == (D, "4.4.2", 0, "CONTENT")


def test_reply_in_the_middle_of_the_content_counts():
    """A host that refuses before the dot is heard, and gets nothing more (RFC 5321 leaves it no other way)."""
    server = SmtpServer(script={"CONTENT": ("552 5.3.4 too big", DROP)})
    body = FakeBody(b"x" * 76 + b"\r\n" * 200_000, 4096)
    outcomes = asyncio.run(send_once(server, mail(body=body)))
    assert outcomes[0].result in (F, D)
    assert server.messages == []


def test_replies_octet_by_octet_are_understood():
    """Any split of the octets gives the same replies."""
    script = {
        "EHLO": Slowly("250-mx.test\n250-PIPELINING\n250 8BITMIME"),
        "RCPT": Slowly("250 2.1.5 ok"),
        "DOT": Slowly("250-2.0.0 a\n250 2.0.0 b"),
    }
    outcomes = asyncio.run(send_once(SmtpServer(script=script), mail()))
    assert (outcomes[0].result, outcomes[0].text) == (OK, "a\nb")


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])
def test_some_recipients_fail_others_are_delivered(pipelining):
    """Each recipient has its own verdict; the final reply decides for those taken (RFC 2920 3.1)."""
    script = {"RCPT": [None, "550 5.1.1 nobody", "450 4.2.1 busy", None]}
    server = SmtpServer(extensions=EXTENSIONS if pipelining else EXTENSIONS[1:], script=script)
    outcomes = asyncio.run(send_once(server, mail("a@x", "b@x", "c@x", "d@x")))
    assert [outcomes[n].result for n in range(4)] == [OK, F, D, OK]
    assert [m.rcpts for m in server.messages] == [["RCPT TO:<a@x>", "RCPT TO:<d@x>"]]


@pytest.mark.parametrize("data", [None, "354 go"], ids=["refused", "354_nevertheless"])
def test_all_recipients_fail_in_a_pipeline(data):
    """A 354 to nobody is answered by a lone dot, and the connection goes on (RFC 2920 3.1)."""

    async def main():
        script = {"RCPT": ["550 5.1.1 a", "550 5.1.1 b"], "DATA": [data]}
        async with SmtpServer(script=script) as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            first = await client.send(hop_to(server), mail("a@x", "b@x"), deadline)
            second = await client.send(hop_to(server), mail("c@x"), deadline)
            return first, second, server

    first, second, server = asyncio.run(main())
    assert [first[n].result for n in range(2)] == [F, F]
    assert second[0].result == OK
    assert len(server.sessions) == 1
    assert server.commands.count("RSET") == 1
    assert len(server.messages) == 1


@pytest.mark.parametrize("reply", ["452 4.5.3 too many recipients", "552 too many recipients"], ids=["452", "552"])
def test_recipients_too_many_go_into_another_transaction(reply):
    """452, or 552 as in RFC 821, after some were taken: the rest follows over the same connection (5321 4.5.3.1.10)."""

    def at_most_two(session, line):
        counts[0] += 1
        return None if counts[0] % 3 else reply

    counts = [0]
    server = SmtpServer(script={"RCPT": at_most_two})
    outcomes = asyncio.run(send_once(server, mail("a@x", "b@x", "c@x")))
    assert [outcomes[n].result for n in range(3)] == [OK] * 3
    assert [len(m.rcpts) for m in server.messages] == [2, 1]
    assert len(server.sessions) == 1


def test_recipients_above_a_hundred_are_split():
    """At most 100 recipients in one transaction (RFC 5321 4.5.3.1.8)."""
    server = SmtpServer()
    outcomes = asyncio.run(send_once(server, mail(*(f"r{n}@x" for n in range(250)))))
    assert {OK} == {o.result for o in outcomes.values()}
    assert [len(m.rcpts) for m in server.messages] == [100, 100, 50]
    assert len(server.sessions) == 1


def test_rcptmax_of_the_host_is_kept():
    """RFC 9422: RCPTMAX limits a transaction."""
    server = SmtpServer(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=2 MAILMAX=50"))
    asyncio.run(send_once(server, mail("a@x", "b@x", "c@x")))
    assert [len(m.rcpts) for m in server.messages] == [2, 1]


def test_parameters_only_where_offered():
    """ESMTP parameters go to hosts that offer the extension, DSN is handed on only there (RFC 3461 5.2)."""
    recipients = {7: ("b@x", ("SUCCESS", "FAILURE"), "rfc822;b@x")}
    transaction = replace(mail(body_type="8BITMIME", ret="HDRS", envid="E+2B1"), recipients=recipients)
    full, bare = SmtpServer(), SmtpServer(extensions=())
    octets = len(HEADER) + 2 + 7
    first = asyncio.run(send_once(full, transaction))
    assert f"MAIL FROM:<a@example.com> SIZE={octets} BODY=8BITMIME RET=HDRS ENVID=E+2B1" == full.messages[0].mail
    assert full.messages[0].rcpts == ["RCPT TO:<b@x> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x"]
    assert first[7].relayed_dsn
    second = asyncio.run(send_once(bare, transaction))
    assert (bare.messages[0].mail, bare.messages[0].rcpts) == ("MAIL FROM:<a@example.com>", ["RCPT TO:<b@x>"])
    assert not second[7].relayed_dsn


def test_host_without_ehlo_gets_helo():
    """RFC 5321 3.2: HELO for a host that does not know EHLO; then without any extension."""
    server = SmtpServer(script={"EHLO": "502 5.5.1 what"}, extensions=())
    outcomes = asyncio.run(send_once(server, mail()))
    assert outcomes[0].result == OK
    assert server.commands[:2] == ["EHLO us.test", "HELO us.test"]


FIRST_HOST = {
    "greeting_554": ({"CONNECT": "554 5.7.1 go away"}, True),
    "greeting_421": ({"CONNECT": "421 4.3.2 busy"}, True),
    "greeting_drop": ({"CONNECT": DROP}, True),
    "ehlo_4yz": ({"EHLO": "451 4.3.0 x"}, True),
    "mail_4yz": ({"MAIL": "451 4.3.0 x"}, True),
    "mail_5yz": ({"MAIL": "550 5.7.1 x"}, False),
    "rcpt_4yz": ({"RCPT": "450 4.2.0 x"}, True),
    "rcpt_5yz": ({"RCPT": "550 5.1.1 x"}, False),
    "data_drop": ({"DATA": DROP}, True),
    "dot_4yz": ({"DOT": "451 4.3.0 x"}, True),
    "dot_5yz": ({"DOT": "554 5.6.0 x"}, False),
    "dot_drop": ({"DOT": DROP}, False),
}


@pytest.mark.parametrize("key", FIRST_HOST)
def test_next_host_is_tried_where_it_may_help(key):
    """The next MX gets what the first put off or would not hear of; never what may have been taken (RFC 1047)."""
    script, moves_on = FIRST_HOST[key]

    async def main():
        async with SmtpServer(script=script) as first, SmtpServer() as second, transport() as client:
            outcomes = await client.send(hop_to(first, second), mail(), asyncio.get_running_loop().time() + 5)
            return outcomes[0], len(second.sessions)

    outcome, sessions = asyncio.run(main())
    assert (moves_on, int(moves_on)) == (outcome.result is OK, sessions)


def closed_port():
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_refused_connection_defers_and_tries_the_next():
    """No answer is 4.4.1; the next host is tried; a deferral outweighs another host's refusal."""

    async def main():
        dead = MxHost("dead.test", closed_port(), ("127.0.0.1",), allow_private=True)
        async with SmtpServer(script={"CONNECT": ["554 5.7.1 no"]}) as server, transport() as client:
            live = hop_to(server).hosts[0]
            deadline = asyncio.get_running_loop().time() + 5
            alone = await client.send(NextHop("x", (dead,)), mail(), deadline)
            mixed = await client.send(NextHop("x", (dead, live)), mail(), deadline)
            good = await client.send(NextHop("x", (dead, live)), mail(), deadline)
            return alone[0], mixed[0], good[0]

    alone, mixed, good = asyncio.run(main())
    assert brief(alone) == (D, "4.4.1", 0, "CONNECT")
    assert mixed.result == D
    assert good.result == OK


def test_every_host_that_was_asked_is_heard_of():
    """What the first one said, though the second one's word counts: pacing (services/pacing.py) lives from it."""
    heard = []

    async def main():
        dead = MxHost("dead.test", closed_port(), ("127.0.0.1",), allow_private=True)
        async with (
            SmtpServer(script={"CONNECT": ["421 4.7.0 too many connections"]}) as first,
            SmtpServer() as second,
            transport() as client,
        ):
            hosts = [replace(hop_to(server).hosts[0], name=name) for server, name in ((first, "one"), (second, "two"))]
            hop = NextHop("x", (dead, *hosts))
            await client.send(hop, replace(mail(), heard=heard.append), asyncio.get_running_loop().time() + 5)

    asyncio.run(main())
    assert [(outcome.mx_host, outcome.code, outcome.command) for outcome in heard] == [
        ("dead.test", 0, "CONNECT"),
        ("one", 421, "GREETING"),
        ("two", 250, "DOT"),
    ]


def test_only_some_recipients_move_to_the_next_host():
    """Who was delivered or refused for good at the first host is not named to the second."""

    async def main():
        script = {"RCPT": [None, "450 4.2.0 later", "550 5.1.1 no"]}
        async with SmtpServer(script=script) as first, SmtpServer() as second, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            outcomes = await client.send(hop_to(first, second), mail("a@x", "b@x", "c@x"), deadline)
            return outcomes, second.messages

    outcomes, messages = asyncio.run(main())
    assert [outcomes[n].result for n in range(3)] == [OK, OK, F]
    assert [outcomes[n].mx_host for n in range(3)] == ["mx0.test", "mx1.test", "mx0.test"]
    assert [m.rcpts for m in messages] == [["RCPT TO:<b@x>"]]


def test_connection_is_reused():
    """Transactions to one host share a connection, without RSET after a clean end."""

    async def main():
        async with SmtpServer() as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            results = [(await client.send(hop_to(server), mail(), deadline))[0].result for _ in range(5)]
            return results, server

    results, server = asyncio.run(main())
    assert results == [OK] * 5
    assert len(server.sessions) == 1
    assert server.commands.count("RSET") == 0
    assert server.commands[-1] == "QUIT"


DEATHS = {
    "cut_while_idle": None,
    "eof_at_mail": {"MAIL": [None, DROP]},
    "rst_at_mail": {"MAIL": [None, RESET]},
    "421_at_mail": {"MAIL": [None, ("421 4.4.2 idle too long", DROP)]},
    "drop_at_rcpt": {"RCPT": [None, DROP]},
    "drop_at_data": {"DATA": [None, DROP]},
    "421_unasked": {"DOT": [("250 2.0.0 ok", "421 4.4.2 closing")]},
}


@pytest.mark.parametrize("key", DEATHS)
def test_kept_connection_that_died_costs_a_reconnect_only(key):
    """A connection that died while frozen is no deferral and no duplicate: nothing of the content was sent."""
    script = DEATHS[key]

    async def main():
        async with SmtpServer(script=script) as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            first = await client.send(hop_to(server), mail(content=b"1\r\n"), deadline)
            if script is None:
                server.drop_all()  # the client's loop has not run since: it finds out when it writes
            second = await client.send(hop_to(server), mail(content=b"2\r\n"), deadline)
            return first[0], second[0], server

    first, second, server = asyncio.run(main())
    assert (first.result, second.result) == (OK, OK)
    assert len(server.sessions) == 2
    assert [m.octets[len(HEADER) + 2 :] for m in server.messages] == [b"1\r\n", b"2\r\n"]


def test_kept_connection_that_swallows_everything_is_replaced(monkeypatch):
    """A network that forgot the connection while the function was frozen costs seconds, not the full time-out."""
    monkeypatch.setattr("paravion.adapters.smtp_client._TRUSTED_IDLE_S", -1.0)
    monkeypatch.setattr("paravion.domain.budget.REUSED_ANSWER_S", 0.1)

    async def main():
        async with SmtpServer(script={"MAIL": [None, HANG]}) as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 10
            await client.send(hop_to(server), mail(), deadline)
            return (await client.send(hop_to(server), mail(), deadline))[0].result, len(server.sessions)

    assert asyncio.run(main()) == (OK, 2)


def test_kept_connection_lost_after_the_dot_is_not_repeated():
    """After the final dot the outcome is unknown: deferred, never sent again in this attempt (RFC 1047)."""

    async def main():
        async with SmtpServer(script={"DOT": [None, DROP]}) as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            await client.send(hop_to(server), mail(), deadline)
            return (await client.send(hop_to(server), mail(), deadline))[0], len(server.sessions)

    outcome, sessions = asyncio.run(main())
    assert brief(outcome) == (D, "4.4.2", 0, "DOT")
    assert sessions == 1


def test_connections_per_host_are_limited():
    """At most so many connections to one host at once; the others wait their turn."""

    async def main():
        async with SmtpServer() as server, transport(connections_per_host=3) as client:
            deadline = asyncio.get_running_loop().time() + 10
            done = await asyncio.gather(*(client.send(hop_to(server), mail(), deadline) for _ in range(30)))
            return done, server

    done, server = asyncio.run(main())
    assert [outcomes[0].result for outcomes in done] == [OK] * 30
    assert server.most_open_count == 3


def test_waiting_for_a_turn_ends_at_the_deadline():
    """Who does not get a connection before the deadline is deferred."""

    async def main():
        async with SmtpServer(script={"DOT": HANG}) as server, transport(connections_per_host=1) as client:
            deadline = asyncio.get_running_loop().time() + 0.4
            done = await asyncio.gather(*(client.send(hop_to(server), mail(), deadline) for _ in range(3)))
            return [outcomes[0] for outcomes in done]

    outcomes = asyncio.run(main())
    assert {D} == {outcome.result for outcome in outcomes}
    assert [outcome.status for outcome in outcomes] == ["4.4.2", "4.3.2", "4.3.2"]


def test_idle_connection_is_given_up():
    """An unused connection is closed after its idle limit, with QUIT."""

    async def main():
        async with SmtpServer() as server, transport(idle_limit_s=0.05) as client:
            await client.send(hop_to(server), mail(), asyncio.get_running_loop().time() + 5)
            for _ in range(100):
                if not server.open_count:
                    break
                await asyncio.sleep(0.02)
            return server, client._pool._hosts

    server, hosts = asyncio.run(main())
    assert (server.open_count, server.commands[-1], hosts) == (0, "QUIT", {})


REFUSED = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "::1",
    "fe80::1",
    "::ffff:127.0.0.1",
    "fd00:ec2::254",
    "224.0.0.1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_private_addresses_are_refused(address):
    """No name leads the client into the private network (SSRF), unless a route says so."""

    async def main():
        async with SmtpServer() as server, transport(resolver=FakeResolver({"evil.test": (address,)})) as client:
            hop = NextHop("evil.test", (MxHost("evil.test", server.port),))
            outcomes = await client.send(hop, mail(), asyncio.get_running_loop().time() + 5)
            return outcomes[0], len(server.sessions)

    outcome, sessions = asyncio.run(main())
    assert brief(outcome) == (F, "5.7.1", 0, "LOCAL")
    assert sessions == 0


@pytest.mark.parametrize(
    ("said", "expected", "contents"),
    [
        (None, (OK, "2.0.0"), [1, 0]),
        (Outcome(Result.FAILED, "5.7.1", text="no", command="LOCAL"), (OK, "2.0.0"), [0, 1]),
        (Outcome(Result.DELIVERED, "2.0.0", text="gone", command="LOCAL"), (OK, "2.0.0"), [0, 0]),
    ],
    ids=["admitted", "refused", "discarded"],
)
def test_host_is_connected_to_only_if_it_is_admitted(said, expected, contents):
    """A refused host is passed over for the next, a discarded one ends it; nobody connects to either."""

    async def main():
        async def admit(name, addresses):
            assert addresses == ["127.0.0.1"]
            return said if said and name == "mx0.test" else addresses

        async with SmtpServer() as first, SmtpServer() as second, transport(admit=admit) as client:
            deadline = asyncio.get_running_loop().time() + 5
            outcomes = await client.send(hop_to(first, second), mail("a@x"), deadline)
            return outcomes[0], [len(server.messages) for server in (first, second)]

    outcome, taken = asyncio.run(main())
    assert (outcome.result, outcome.status) == expected
    assert taken == contents


def test_hop_without_an_admitted_host_fails_in_the_tables_words():
    """REJECT and ERROR: of every host are the outcome."""
    said = Outcome(Result.FAILED, "5.7.1", text="not there", command="LOCAL")

    async def main():
        async def admit(name, addresses):
            return said

        async with SmtpServer() as server, transport(admit=admit) as client:
            return await client.send(hop_to(server), mail("a@x"), asyncio.get_running_loop().time() + 5)

    assert asyncio.run(main()) == {0: replace(said, mx_host="mx0.test")}


def test_route_to_an_unknown_name_defers():
    """A smarthost that does not exist is our own mistake: it defers mail, it never bounces it."""
    missing = Outcome(F, "5.1.2", text="no such host", command="DNS")

    async def main():
        async with transport(resolver=FakeResolver({"gone.test": missing})) as client:
            deadline = asyncio.get_running_loop().time() + 5
            routed = await client.send(NextHop("r", (MxHost("gone.test", 25, allow_private=True),)), mail(), deadline)
            by_mx = await client.send(NextHop("r", (MxHost("gone.test", 25),)), mail(), deadline)
            return routed[0], by_mx[0]

    routed, by_mx = asyncio.run(main())
    assert (routed.result, routed.status, routed.mx_host) == (D, "4.4.3", "gone.test")
    assert (by_mx.result, by_mx.status) == (F, "5.1.2")


def test_host_with_our_own_name_is_a_loop(monkeypatch):
    """An MX that calls itself what we call ourselves is ourselves (RFC 5321 6.3); a smarthost may."""
    monkeypatch.setattr("paravion.adapters.smtp_client.is_refused", lambda address: False)

    async def main():
        async with SmtpServer(name="US.test") as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            mx = NextHop("x", (MxHost("mx.test", server.port, ("127.0.0.1",)),))
            looped = await client.send(mx, mail(), deadline)
            routed = await client.send(hop_to(server), mail(), deadline)
            return looped[0], routed[0]

    looped, routed = asyncio.run(main())
    assert brief(looped) == (F, "5.4.6", 0, "EHLO")
    assert routed.result == OK


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server context with a self-signed certificate."""
    return certificate(tmp_path_factory.mktemp("tls"))


def test_starttls_is_used_where_offered(tls):
    """Opportunistic TLS: EHLO is said again inside, the certificate is nobody's affair (RFC 3207, 7435)."""
    server = SmtpServer(tls=tls)
    outcomes = asyncio.run(send_once(server, mail(content=b"x" * 500_000)))
    assert (outcomes[0].result, outcomes[0].tls) == (OK, "TLSv1.3")
    assert server.messages[0].tls
    assert server.commands[:3] == ["EHLO us.test", "STARTTLS", "EHLO us.test"]


@pytest.mark.parametrize("extensions", [EXTENSIONS, (*EXTENSIONS, "CHUNKING")], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("content", [b"", b".\r\n", b"a\r\n.\r\n..b", b"a\rb\n.c\r", b"\n.\r\n", b"a." * 99_999])
def test_body_at_hand_goes_as_one_that_comes_in_pieces(content, extensions):
    """The same octets to the host, whatever way they take."""

    async def main():
        async with SmtpServer(extensions=extensions) as server, transport() as client:
            for held in (True, False) * 2:
                outcomes = await client.send(
                    hop_to(server),
                    mail(body=FakeBody(content, 2, held=held)),
                    asyncio.get_running_loop().time() + 20,
                )
                assert outcomes[0].result is OK
            return server

    server = asyncio.run(main())
    assert (len({message.octets for message in server.messages}), server.violations) == (1, [])


BROKEN_TLS = {
    "refused_454": ({"STARTTLS": "454 4.7.0 not now"}, 1),
    "refused_502": ({"STARTTLS": "502 5.5.1 what"}, 1),
    "command_dropped": ({"STARTTLS": DROP}, 2),
    "garbage_for_handshake": ({"TLS": b"\x16\x03\x01garbage not tls\r\n"}, 2),
    "plain_reply_for_handshake": ({"TLS": b"500 what?\r\n"}, 2),
    "dropped_in_handshake": ({"TLS": DROP}, 2),
    "reset_in_handshake": ({"TLS": RESET}, 2),
    "dropped_after_handshake": ({"EHLO": [None, DROP]}, 2),
}


@pytest.mark.parametrize("key", BROKEN_TLS)
def test_broken_tls_falls_back_to_clear(key, tls):
    """A refusal of STARTTLS goes on in clear, a broken handshake reconnects in clear."""
    script, sessions = BROKEN_TLS[key]
    server = SmtpServer(tls=tls, script=script)
    outcomes = asyncio.run(send_once(server, mail()))
    assert (outcomes[0].result, outcomes[0].tls) == (OK, "")
    assert sessions == len(server.sessions)


def test_what_came_before_tls_is_forgotten(tls):
    """Replies slipped in behind the 220 in clear are not taken for replies inside TLS (RFC 3207 5)."""
    injected = b"220 2.0.0 go\r\n250-mx.test\r\n250 SIZE 1\r\n"
    server = SmtpServer(tls=tls, script={"STARTTLS": (injected, YES)})
    outcomes = asyncio.run(send_once(server, mail()))
    assert outcomes[0].result == OK
    assert "SIZE=" in server.messages[0].mail


BODY_FAULTS = {
    "missing_at_once": FakeBody(b"x" * 100, 10, SpoolMissing("df/x"), 0),
    "unavailable_midway": FakeBody(b"x" * 500_000, 1000, SpoolUnavailable("slow"), 300),
    "short": FakeBody(b"x" * 100, 10, claimed=200),
    "short_at_hand": FakeBody(b"x" * 100, claimed=200, held=True),
}


@pytest.mark.parametrize("key", BODY_FAULTS)
def test_body_that_cannot_be_read_transfers_nothing(key):
    """SpoolMissing and SpoolUnavailable come through, and no final dot was sent (contract of Transport.send)."""
    server = SmtpServer()

    async def main():
        async with server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            with pytest.raises((SpoolMissing, SpoolUnavailable)):
                await client.send(hop_to(server), mail(body=BODY_FAULTS[key]), deadline)
            return await client.send(hop_to(server), mail(), deadline)

    outcomes = asyncio.run(main())
    assert outcomes[0].result == OK
    assert len(server.messages) == 1


def test_body_fault_does_not_forget_who_was_delivered():
    """A fault in a later transaction of the same attempt defers only those who are still open."""

    class Once(FakeBody):
        passes = 0

        async def chunks(self):
            self.passes += 1
            if self.passes > 1:
                raise SpoolUnavailable("gone")
            yield self.content

    server = SmtpServer(extensions=(*EXTENSIONS, "LIMITS RCPTMAX=1"))
    outcomes = asyncio.run(send_once(server, mail("a@x", "b@x", body=Once())))
    assert [outcomes[n].result for n in range(2)] == [OK, D]
    assert brief(outcomes[1]) == (D, "4.3.0", 0, "LOCAL")


def test_message_too_big_for_the_host_fails_before_mail():
    """RFC 1870 6.1: a message above the declared limit is not offered at all."""
    server = SmtpServer(extensions=("PIPELINING", "SIZE 1000"))
    outcomes = asyncio.run(send_once(server, mail(content=b"x" * 2000)))
    assert brief(outcomes[0]) == (F, "5.3.4", 0, "LOCAL")
    assert [c for c in server.commands if c.startswith("MAIL")] == []


def test_smtputf8_not_offered_fails():
    """RFC 6531 3.2: mail that needs SMTPUTF8 goes to no host without it."""
    server = SmtpServer(extensions=("PIPELINING", "8BITMIME"))
    outcomes = asyncio.run(send_once(server, mail("bé@x", smtputf8=True)))
    assert brief(outcomes[0]) == (F, "5.6.7", 0, "LOCAL")


def test_server_that_we_did_not_write_takes_the_message():
    """aiosmtpd, with its own ideas of pipelining and replies, takes three messages over one connection."""
    got = []

    class Handler:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd's name)
            got.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
            return "250 2.0.0 taken"

    async def main():
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: aiosmtpd.smtp.SMTP(Handler(), loop=loop), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        hop = NextHop("x", (MxHost("a.test", port, ("127.0.0.1",), allow_private=True),))
        async with transport() as client:
            done = [await client.send(hop, mail(content=b".dot\r\n"), loop.time() + 5) for _ in range(3)]
        listener.close()
        return done

    done = asyncio.run(main())
    assert [outcomes[0].result for outcomes in done] == [OK] * 3
    assert got == [("a@example.com", ["b@example.net"], HEADER + b"\r\n.dot\r\n")] * 3


def test_cancelled_send_closes_its_connection():
    """A worker that is stopped leaves no half message behind."""

    async def main():
        reached = asyncio.Event()
        script = {"DOT": lambda session, line: reached.set() or HANG}
        async with SmtpServer(script=script) as server, transport() as client:
            task = asyncio.ensure_future(client.send(hop_to(server), mail(), asyncio.get_running_loop().time() + 60))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for _ in range(100):
                if not server.open_count:
                    break
                await asyncio.sleep(0.01)
            return server.open_count, client._pool._hosts

    assert asyncio.run(main()) == (0, {})


SEVEN_BIT = tuple(extension for extension in EXTENSIONS if extension not in {"8BITMIME", "SMTPUTF8"})
GREETING = "Größe und Gewicht stehen auf dem Zettel\r\n"
MIME = HEADER + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


def test_8_bit_mail_is_converted_for_a_host_without_8bitmime():
    """RFC 6152 3: the host gets 7 bits, and who reads them gets the same text."""
    server = SmtpServer(extensions=SEVEN_BIT)
    transaction = replace(mail(content=GREETING.encode(), body_type="8BITMIME"), header=MIME)
    outcomes = asyncio.run(send_once(server, transaction))
    assert outcomes[0].result is OK
    (message,) = server.messages
    assert message.octets.isascii()
    assert f"SIZE={len(message.octets)}" in message.mail
    assert "BODY" not in message.mail
    arrived = email.message_from_bytes(message.octets, policy=email.policy.default)
    assert arrived.get_content() == GREETING
    assert arrived["Content-Transfer-Encoding"] == "quoted-printable"


def test_signed_8_bit_mail_is_returned_by_a_host_without_8bitmime():
    """5.6.3, over a connection that goes on; nothing was said to the host."""
    header = HEADER + b"Content-Type: multipart/signed; boundary=b\r\n"
    body = b"--b\r\n\r\n\xc3\xbc\r\n--b\r\n\r\nsig\r\n--b--\r\n"

    async def main():
        async with SmtpServer(extensions=SEVEN_BIT) as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5
            signed = replace(mail("b@x", "c@x", content=body, body_type="8BITMIME"), header=header)
            outcomes = await client.send(hop_to(server), signed, deadline)
            assert [brief(outcome) for outcome in outcomes.values()] == [(F, "5.6.3", 0, "LOCAL")] * 2
            assert "signed or encrypted" in outcomes[0].text
            assert (await client.send(hop_to(server), mail(), deadline))[0].result is OK
            assert len(server.sessions) == 1
            assert not [command for command in server.commands if command.startswith("MAIL") and "b@x" in command]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("header", "extensions"),
    [(b"DKIM-Signature: v=1; d=x\r\n" + MIME, SEVEN_BIT), (MIME, EXTENSIONS), (MIME, (*SEVEN_BIT, "SMTPUTF8"))],
    ids=["dkim", "8bitmime", "smtputf8"],
)
def test_8_bit_mail_goes_as_it_is_where_it_may(header, extensions):
    """To hosts that take it, and where a conversion would break the signature."""
    server = SmtpServer(extensions=extensions)
    transaction = replace(mail(content=GREETING.encode(), body_type="8BITMIME"), header=header)
    assert asyncio.run(send_once(server, transaction))[0].result is OK
    assert server.messages[0].octets == header + b"\r\n" + GREETING.encode()


def test_report_that_cannot_be_converted_is_sent_as_it_is():
    """It quotes a signed message; returned it would reach nobody."""
    body = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\n"
    header = HEADER + b"Content-Type: message/rfc822\r\n"
    server = SmtpServer(extensions=SEVEN_BIT)
    report = replace(mail(content=body, body_type="8BITMIME"), header=header, reverse_path="")
    assert asyncio.run(send_once(server, report))[0].result is OK
    assert server.messages[0].octets == header + b"\r\n" + body


def test_conversion_is_made_once_for_many_transactions():
    """A host that takes one recipient at a time gets the same octets each time; the body is read once."""
    body = FakeBody(GREETING.encode())
    reads = []
    chunks = body.chunks
    body.chunks = lambda: (reads.append(1), chunks())[1]
    server = SmtpServer(extensions=(*SEVEN_BIT, "LIMITS RCPTMAX=1"))
    transaction = replace(mail("b@x", "c@x", "d@x", body=body, body_type="8BITMIME"), header=MIME)
    outcomes = asyncio.run(send_once(server, transaction))
    assert [outcome.result for outcome in outcomes.values()] == [OK] * 3
    assert len({message.octets for message in server.messages}) == len(reads) == 1


def test_large_bodies_are_converted_in_turn_and_lie_in_files(monkeypatch):
    """What is converted is not held: each has the text that was sent, and no file stays open."""
    files, at_once = [], []
    original = smtp_attempt.Attempt._convert

    async def watched(attempt, sent):
        at_once.append(attempt.converting.locked())
        converted = await original(attempt, sent)
        files.append(converted.body.draft.file)
        return converted

    monkeypatch.setattr(smtp_attempt.Attempt, "_convert", watched)
    text = GREETING * 40_000
    transaction = replace(mail("b@x", "c@x", content=text.encode(), body_type="8BITMIME"), header=MIME)

    async def main():
        async with SmtpServer(extensions=(*SEVEN_BIT, "LIMITS RCPTMAX=1")) as server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 60.0
            await asyncio.gather(*(client.send(hop_to(server), transaction, deadline) for _ in range(2)))
            return server.messages

    messages = asyncio.run(main())
    assert len(messages) == 4
    (octets,) = {message.octets for message in messages}
    assert email.message_from_bytes(octets, policy=email.policy.default).get_content() == text
    assert (at_once, [file.closed for file in files]) == ([True] * 2, [True] * 2)


def test_body_that_breaks_off_before_its_conversion_is_told():
    """A spool that gives less than it promised is the spool's fault, and nothing was sent."""
    transaction = replace(mail(body=FakeBody(GREETING.encode(), claimed=5000), body_type="8BITMIME"), header=MIME)
    server = SmtpServer(extensions=SEVEN_BIT)
    with pytest.raises(SpoolUnavailable):
        asyncio.run(send_once(server, transaction))
    assert not server.messages


CHUNKING = (*EXTENSIONS, "CHUNKING")


def send_three(server, **options):
    """Three messages, one after the other; gives outcomes."""

    async def go():
        async with server, transport(**options) as client:
            found = []
            for n in range(3):
                deadline = asyncio.get_running_loop().time() + 5.0
                content = b".%d\r\nx" % n
                found.append((await client.send(hop_to(server), mail(content=content), deadline))[0])
            return found

    return asyncio.run(go())


def test_messages_after_the_first_go_in_one_write():
    """The first asks; what arrives is octet for octet the same, dots and all, and the connection is one."""
    server = SmtpServer(extensions=CHUNKING)
    assert [OK] * 3 == [outcome.result for outcome in send_three(server)]
    assert [message.octets for message in server.messages] == [HEADER + b"\r\n.%d\r\nx\r\n" % n for n in range(3)]
    verbs = [command.split(" ")[0] + command.partition(" LAST")[1] for command in server.commands]
    assert verbs[1:] == ["MAIL", "RCPT", "BDAT", "BDAT LAST", *["MAIL", "RCPT", "BDAT LAST"] * 2, "QUIT"]
    assert not server.violations


def test_host_that_offers_bdat_and_does_not_know_it_gets_data():
    """Found out by one letter of content, on the same connection, once."""
    server = SmtpServer(extensions=CHUNKING, script={"NO_BDAT": "502 5.5.1 what?"})
    assert [OK] * 3 == [outcome.result for outcome in send_three(server)]
    assert [command for command in server.commands if "BDAT" in command] == ["BDAT 1"]
    assert server.commands.count("FNOOP") == 1
    assert sum(command == "DATA" for command in server.commands) == 3
    assert len(server.sessions) == 1


def test_host_that_forgets_bdat_gets_data_over_a_fresh_connection():
    """Two machines under one name: what it may have read as commands ends with its connection."""
    server = SmtpServer(extensions=CHUNKING, script={"NO_BDAT": [None, None, "500 what?", None]})
    outcomes = send_three(server)
    assert [OK] * 3 == [outcome.result for outcome in outcomes]
    assert [message.session for message in server.messages] == [0, 1, 1]
    assert server.sessions[1].commands.count("DATA") == 2


def test_chunking_can_be_switched_off():
    """For a host that breaks in other ways."""
    server = SmtpServer(extensions=CHUNKING)
    assert [OK] * 3 == [outcome.result for outcome in send_three(server, chunking=False)]
    assert not any("BDAT" in command for command in server.commands)


def test_connection_that_was_idle_goes_by_data(monkeypatch):
    """It may have died while the function was frozen: that costs a reconnect, never a deferral."""
    monkeypatch.setattr("paravion.adapters.smtp_client._TRUSTED_IDLE_S", -1.0)
    server = SmtpServer(extensions=CHUNKING, script={"DATA": [DROP]})
    assert [OK] * 3 == [outcome.result for outcome in send_three(server)]
    assert [message.session for message in server.messages] == [0, 1, 1]


def test_connection_lost_after_one_write_leaves_the_message_in_doubt():
    """RFC 1047: no other host and no other connection, now; the later attempt may make a duplicate."""
    server = SmtpServer(extensions=CHUNKING, script={"MAIL": [None, DROP]})
    outcomes = send_three(server)
    assert [outcome.result for outcome in outcomes] == [OK, D, OK]
    assert (outcomes[1].command, outcomes[1].status) == ("DOT", "4.4.2")


def test_body_that_cannot_be_read_sends_nothing_of_a_whole():
    """The spool fails before the write: nothing is in doubt, and nothing was said."""

    async def go():
        server = SmtpServer(extensions=CHUNKING)
        async with server, transport() as client:
            deadline = asyncio.get_running_loop().time() + 5.0
            await client.send(hop_to(server), mail(), deadline)
            for body in (FakeBody(fails=SpoolUnavailable("x")), FakeBody(claimed=9)):
                with pytest.raises(SpoolUnavailable):
                    await client.send(hop_to(server), mail(body=body), deadline)
            outcomes = await client.send(hop_to(server), mail(), deadline)
            return outcomes[0], server

    outcome, server = asyncio.run(go())
    assert outcome.result is OK
    assert len(server.messages) == 2
    assert sum(command.startswith("MAIL") for command in server.commands) == 2


def test_rcptdomainmax_of_the_host_is_kept():
    """RFC 9422: two domains, two transactions."""
    server = SmtpServer(extensions=(*EXTENSIONS, "LIMITS RCPTDOMAINMAX=1"))
    outcomes = asyncio.run(send_once(server, mail("a@x.test", "b@y.test", "c@x.test")))
    assert all(outcome.result is OK for outcome in outcomes.values())
    assert [[rcpt[9:-1] for rcpt in message.rcpts] for message in server.messages] == [
        ["a@x.test", "c@x.test"], ["b@y.test"],
    ]  # fmt: skip


@pytest.mark.parametrize(("fair_s", "expected"), [(10.0, []), (0.2, ["GREETING"])])
def test_silence_that_our_deadline_cuts_short_is_not_told_of_the_host(fair_s, expected, monkeypatch):
    """Functions at the end of their time must not take a slow host for a dead one; whoever waited may."""
    monkeypatch.setattr("paravion.adapters.smtp_attempt._FAIR_S", fair_s)
    heard = []

    async def main():
        async with SmtpServer(script={"CONNECT": HANG}) as server, transport() as client:
            transaction = replace(mail(), heard=lambda outcome: heard.append(outcome.command))
            deadline = asyncio.get_running_loop().time() + 0.4
            return await client.send(hop_to(server), transaction, deadline)

    (outcome,) = asyncio.run(main()).values()
    assert (outcome.result, outcome.command) == (Result.DEFERRED, "GREETING")
    assert heard == expected
