"""What the SMTP transport tells a transcript, against the scriptable server."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import replace

import pytest

from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.domain.sasl import Credential
from paravion.domain.transcript import Recorder
from tests.integration.test_smtp_client import (
    EXTENSIONS,
    HEADER,
    FakeBody,
    FakeResolver,
    closed_port,
    hop_to,
    mail,
    transport,
)
from tests.support.smtp_server import DROP, HANG, SmtpServer, certificate


def shown(recorder):
    """The lines, without what differs from run to run."""
    texts = [f"{line.kind} {line.text}" for line in recorder.lines]
    return [re.sub(r"(127\.0\.0\.1\]:)\d+", r"\1PORT", re.sub(r"sha256:[0-9a-f]{64}", "sha256:X", t)) for t in texts]


async def send(client, hop, transaction, within=5.0):
    """Send with a recorder; give it back with the outcomes."""
    recorder = Recorder()
    deadline = asyncio.get_running_loop().time() + within
    outcomes = await client.send(hop, replace(transaction, recorder=recorder), deadline)
    return recorder, outcomes


def test_delivery_over_tls_and_once_more_over_the_kept_connection(tmp_path):
    """The whole of a session: addresses, TLS facts, commands, replies; the message is only counted."""

    async def main():
        async with SmtpServer(tls=certificate(tmp_path)) as server, transport() as client:
            first, _ = await send(client, hop_to(server), mail(content=b"hunter2\r\n"))
            second, _ = await send(client, hop_to(server), mail("c@x"))
            return first, second

    first, second = asyncio.run(main())
    greeting = ["<- 250-mx.test hello", *(f"<- 250-{e}" for e in EXTENSIONS)]
    octets = len(HEADER) + 2 + 9
    assert shown(first) == [
        "* next hop example.net: mx0.test",
        "* connecting to mx0.test [127.0.0.1]:PORT, TLS may",
        "* connected",
        "<- 220 mx.test ESMTP",
        "-> EHLO us.test",
        *greeting,
        "<- 250 STARTTLS",
        "-> STARTTLS",
        "<- 220 2.0.0 go",
        "* TLSv1.3, TLS_AES_256_GCM_SHA384, certificate sha256:X",
        "-> EHLO us.test",
        *greeting[:-1],
        f"<- 250 {EXTENSIONS[-1]}",
        f"-> MAIL FROM:<a@example.com> SIZE={octets}",
        "-> RCPT TO:<b@example.net>",
        "-> DATA",
        "<- 250 2.1.0 ok",
        "<- 250 2.1.5 ok",
        "<- 354 go",
        f"* sending the message, {octets} octets",
        "<- 250 2.0.0 queued",
    ]
    assert shown(second)[1] == "* over a kept connection to mx0.test [127.0.0.1], TLSv1.3, after 1 transactions"
    assert shown(second)[-1] == "<- 250 2.0.0 queued"
    assert not any("hunter2" in line or "Subject" in line for line in shown(first))


def test_addresses_that_were_tried_and_why_they_were_no_use():
    """DNS, a private address, a closed port, a hang: an attempt that never reached a host is told as well."""
    gone = Outcome(Result.DEFERRED, "4.4.3", text="SERVFAIL", command="DNS")
    resolver = FakeResolver({"gone.test": gone, "inside.test": ("10.1.2.3",)})

    async def main():
        async with SmtpServer(script={"CONNECT": HANG}) as server, transport(resolver=resolver) as client:
            hosts = (
                MxHost("gone.test", 25),
                MxHost("inside.test", 25),
                MxHost("dead.test", closed_port(), ("127.0.0.1", "127.0.0.2"), allow_private=True),
                replace(hop_to(server).hosts[0], name="hangs.test"),
            )
            return (await send(client, NextHop("x", hosts), mail(), within=0.5))[0]

    lines = shown(asyncio.run(main()))
    assert lines[0] == "* next hop x: gone.test, inside.test, dead.test, hangs.test"
    assert "* no address of gone.test: 4.4.3 SERVFAIL" in lines
    # A private address is refused for good by this host alone: the last host is what is left.
    assert "* inside.test has no public address (10.1.2.3)" in lines
    assert "* connecting to dead.test [127.0.0.1]:PORT, TLS may" in lines
    assert any(line.startswith("* Connection refused or host unreachable") for line in lines)
    assert any("[127.0.0.2]" in line for line in lines)
    assert lines[-1] == "* Timed out"


CUT = {
    "in_the_pipeline": {"MAIL": DROP},
    "after_the_dot": {"DOT": DROP},
    "garbage": {"RCPT": b"\x00\x01\r\n"},
}


@pytest.mark.parametrize("key", CUT)
def test_what_broke_is_the_last_line(key):
    """The fault stands where it happened."""

    async def main():
        async with SmtpServer(script=CUT[key]) as server, transport() as client:
            return (await send(client, hop_to(server), mail()))[0]

    lines = shown(asyncio.run(main()))
    assert lines[-1] == ("* not a reply: \\x00\\x01\\r" if key == "garbage" else "* Connection lost")
    assert any(line.startswith("* sending the message") for line in lines) == (key == "after_the_dot")


def test_transcript_stops_where_the_transaction_does():
    """A connection that is kept tells its later users' business to nobody else."""

    async def main():
        async with SmtpServer() as server, transport() as client:
            first, _ = await send(client, hop_to(server), mail())
            before = len(first.lines)
            await client.send(hop_to(server), mail("c@x"), asyncio.get_running_loop().time() + 5)
            return before, len(first.lines)

    before, after = asyncio.run(main())
    assert before == after


def test_body_that_cannot_be_read_is_told():
    """Our own fault, in our words."""
    from paravion.errors import SpoolUnavailable

    async def main():
        recorder = Recorder()
        async with SmtpServer() as server, transport() as client:
            broken = mail(body=FakeBody(b"x" * 100, 10, SpoolUnavailable("slow"), 3))
            with pytest.raises(SpoolUnavailable):
                deadline = asyncio.get_running_loop().time() + 5
                await client.send(hop_to(server), replace(broken, recorder=recorder), deadline)
        return recorder

    assert shown(asyncio.run(main()))[-1] == "* the body can't be read from the spool"


def test_message_by_bdat_is_only_counted():
    """The group that goes out whole: its commands, its size, its replies; of the content nothing."""

    async def main():
        async with SmtpServer(extensions=(*EXTENSIONS, "CHUNKING")) as server, transport() as client:
            first, _ = await send(client, hop_to(server), mail(content=b"hunter2\r\n"))
            second, _ = await send(client, hop_to(server), mail("c@x", content=b"RCPT TO:<hunter2>\r\n"))
            return shown(first), shown(second)

    first, second = asyncio.run(main())
    for lines in (first, second):
        assert any(line.startswith("-> MAIL FROM:<a@example.com>") for line in lines)
        assert any(line.startswith("* sending the message") for line in lines)
        assert lines[-1] == "<- 250 2.0.0 queued"
        assert not any("hunter2" in line or "Subject" in line for line in lines)
    assert len([line for line in second if line.startswith("-> RCPT")]) == 1
    octets = len(HEADER) + 2 + 9
    assert [line for line in first if "BDAT" in line] == ["-> BDAT 1", f"-> BDAT {octets - 1} LAST"]
    assert [line for line in second if "BDAT" in line] == [f"-> BDAT {octets + 10} LAST"]
    assert not any("***" in line for line in first + second)


def test_what_we_decide_ourselves_is_told(tmp_path):
    """No reply says why the host was left: TLS that is not offered, no mechanism, our own name, a size."""

    async def last(server, hop_options=None, transaction=None, **options):
        async with server, transport(credential_of=lambda name: Credential("user", "hunter2"), **options) as client:
            hop = replace(hop_to(server), **(hop_options or {}))
            return shown((await send(client, hop, transaction or mail()))[0])[-1]

    async def main():
        return [
            await last(SmtpServer(), {"tls": "encrypt"}),
            await last(SmtpServer(tls=certificate(tmp_path)), {"credential": "ses"}),
            await last(SmtpServer(extensions=("SIZE 100",)), transaction=mail(content=b"x" * 70 + b"\r\n")),
        ]

    assert asyncio.run(main()) == [
        "* 4.7.4 TLS is required for mx0.test, but it offers no STARTTLS",
        "* 4.3.5 mx0.test does not offer a mechanism for passwords; AUTH it offers: none",
        f"* 5.3.4 Message has {len(HEADER) + 74} octets, mx0.test takes 100",
    ]


@pytest.mark.parametrize("answer", ["235 2.7.0 welcome hunter2", "535 5.7.8 no: hunter2"], ids=["taken", "refused"])
def test_login_shows_its_mechanism_and_nothing_else(answer, tmp_path):
    """What is said in AUTH is nobody's to read, also what the host quotes of it."""

    async def main():
        server = SmtpServer(
            extensions=(*EXTENSIONS, "AUTH PLAIN"), script={"AUTH": answer}, tls=certificate(tmp_path, "smart.test")
        )
        async with server, transport(credential_of=lambda name: Credential("user", "hunter2")) as client:
            host = MxHost("smart.test", server.port, ("127.0.0.1",), allow_private=True, by_route=True)
            return shown((await send(client, NextHop("smart.test", (host,), "", "ses"), mail()))[0])

    lines = asyncio.run(main())
    at = lines.index("-> AUTH PLAIN ***")
    assert lines[at + 1] == ("<- 235 2.7.0 ***" if answer[0] == "2" else "<- 535 5.7.8 ***")
    secret = base64.b64encode(b"\0user\0hunter2").decode()
    assert not any("hunter2" in line or secret in line for line in lines[: at + 2])
    assert (lines[-1] == "<- 250 2.0.0 queued") == (answer[0] == "2")
