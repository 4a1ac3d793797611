"""The SMTP transport against servers that we did not write: Postfix, Exim, Haraka and smtp-sink."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import ExitStack

import pytest

from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Result
from paravion.domain.sasl import Credential
from paravion.ports import Transaction
from tests.support import certificates, exim, haraka, postfix
from tests.support.smtp_server import SmtpServer, running

HEADER = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: x\r\nMessage-ID: <1@example.com>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED

ACCESS = "inline:{ {bad@example.net = 550 5.1.1 no such mailbox}, {later@example.net = 450 4.7.1 greylisted} }"
POSTFIX = {
    "smtpd_recipient_restrictions": f"check_recipient_access {ACCESS}, permit_mynetworks, reject",
    "message_size_limit": "200000",
    "smtpd_recipient_limit": "5",
    "smtpd_recipient_overshoot_limit": "1000",
}
SERVERS = {
    "postfix": (postfix.is_there, lambda relay: postfix.Postfix({**POSTFIX, "relayhost": f"[127.0.0.1]:{relay}"})),
    "exim": (exim.is_there, exim.Exim),
    "exim-without-chunking": (exim.is_there, lambda relay: exim.Exim(relay, chunking=False)),
    "haraka": (haraka.is_there, haraka.Haraka),
}
needs_postfix = pytest.mark.skipif(not postfix.is_there(), reason="no Postfix unpacked, or not root")


class Body:
    """A body in memory."""

    def __init__(self, content):
        self.content = content
        self.octets = len(content)

    def at_hand(self):
        """Give it only in pieces."""

    async def chunks(self):
        """Give it in pieces."""
        for at in range(0, len(self.content), 65536):
            yield self.content[at : at + 65536]


def mail(*paths, content=b"hello\r\n", **fields):
    """A transaction to these forward-paths, b@example.net by default."""
    recipients = {n: (path, (), "") for n, path in enumerate(paths or ("b@example.net",))}
    return Transaction("q" * 26, "a@example.com", recipients, HEADER, Body(content), **fields)


def send(port, *transactions, pause_s=0.0, at_once=False, tls="", credential="", **options):
    """Send one after the other, or all at once, over one transport; gives the outcomes of each."""
    host = MxHost("mx.test", port, ("127.0.0.1",), allow_private=True, by_route=bool(credential))
    hop = NextHop("example.net", (host,), tls, credential)

    async def main():
        client = SmtpTransport("us.test", None, **options)
        deadline = asyncio.get_running_loop().time() + 30
        try:
            if at_once:
                return await asyncio.gather(*(client.send(hop, item, deadline) for item in transactions))
            said = []
            for item in transactions:
                said.append(await client.send(hop, item, deadline))
                await asyncio.sleep(pause_s)
            return said
        finally:
            await client.close()

    return asyncio.run(main())


def arrived(sink, count, seconds=10.0):
    """Give the sink's messages once there are so many."""
    end = time.monotonic() + seconds
    while len(sink.messages) < count and time.monotonic() < end:
        time.sleep(0.02)
    return sink.messages


def forward_paths(messages):
    """Give what stood in the angle brackets of their RCPT commands."""
    return [re.search(r"<(.*?)>", rcpt)[1] for message in messages for rcpt in message.rcpts]


def sessions_with_mail(server, count):
    """Give how many mails each session of a Postfix brought, once there are so many in all."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = [int(n) for n in re.findall(r"disconnect from .* mail=(\d+)", server.log())]
        if sum(found) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(server.log())


@pytest.fixture(scope="module", params=SERVERS)
def relay(request):
    """A server and the sink that it relays to."""
    is_there, make = SERVERS[request.param]
    if not is_there():
        pytest.skip(f"no {request.param} unpacked, or not root")
    with ExitStack() as stack:
        sink = SmtpServer()
        stack.enter_context(running(sink))
        yield stack.enter_context(make(sink.port)), sink


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\r\n",
        b".\r\n..\r\n.x\r\n\r\n.\r\n",
        "Grüße\r\n".encode(),
        b"x" * 900 + b"\r\n",
        b"0123456789" * 7 + b"\r\n",
        b"." * 70 + b"\r\n" * 2000,
    ],
    ids=["empty", "small", "dots", "8bit", "long-line", "line", "many-dots"],
)
def test_content_comes_out_as_it_went_in(relay, content):
    """The body octet for octet, the header with what the server puts on top."""
    server, sink = relay
    before = len(sink.messages)
    body_type = "7BIT" if content.isascii() else "8BITMIME"
    ((outcome,),) = [said.values() for said in send(server.port, mail(content=content, body_type=body_type))]
    assert (outcome.result, outcome.code) == (OK, 250), outcome
    octets = arrived(sink, before + 1)[before].octets
    header, _, body = octets.partition(b"\r\n\r\n")
    assert body == content
    assert (header + b"\r\n").endswith(HEADER)


def test_refusals_in_a_pipelined_group_are_each_their_own(relay):
    """RFC 2920: the second is refused, the third deferred, and only the first is sent."""
    server, sink = relay
    before = len(sink.messages)
    (said,) = send(server.port, mail("b@example.net", "bad@example.net", "later@example.net"))
    assert [said[n].result for n in range(3)] == [OK, F, D], said
    assert [said[n].command for n in range(3)] == ["DOT", "RCPT", "RCPT"]
    assert forward_paths(arrived(sink, before + 1)[before:]) == ["b@example.net"]


def test_all_refused_leaves_a_usable_connection(relay):
    """DATA or BDAT was pipelined behind refused recipients: nothing is sent, and the next mail goes."""
    server, sink = relay
    before = len(sink.messages)
    first, second = send(server.port, mail("bad@example.net", "later@example.net"), mail("b@example.net"))
    assert [first[0].result, first[1].result, second[0].result] == [F, D, OK], (first, second)
    assert len(arrived(sink, before + 1)) == before + 1


def test_many_messages_at_once_arrive_once(relay):
    """More than connections: they are shared, nothing is lost and nothing doubled."""
    server, sink = relay
    before = len(sink.messages)
    marks = [f"mark {n}\r\n".encode() for n in range(60)]
    said = send(server.port, *(mail(content=mark) for mark in marks), at_once=True)
    assert {outcome.result for outcomes in said for outcome in outcomes.values()} == {OK}
    bodies = [m.octets.partition(b"\r\n\r\n")[2] for m in arrived(sink, before + 60, 60)[before:]]
    assert sorted(bodies) == sorted(marks)


def test_more_recipients_than_the_server_takes_at_once(relay):
    """452 4.5.3 after the fifth (RFC 5321 4.5.3.1.10): the rest goes in further transactions, or later."""
    server, sink = relay
    if isinstance(server, haraka.Haraka):
        pytest.skip("Haraka has no such limit")
    before = len(sink.messages)
    paths = [f"r{n}@example.net" for n in range(12)]
    (said,) = send(server.port, mail(*paths))
    delivered = {paths[n] for n, outcome in said.items() if outcome.result is OK}
    assert {outcome.result for outcome in said.values()} <= {OK, D}
    assert len(delivered) >= 5
    expected, end = before + 1, time.monotonic() + 20
    while sum(len(m.rcpts) for m in sink.messages[before:]) < len(delivered) and time.monotonic() < end:
        expected = len(arrived(sink, expected + 1, 1))
    assert sorted(forward_paths(sink.messages[before:])) == sorted(delivered)


@needs_postfix
def test_postfix_says_the_size_before_the_content():
    """RFC 1870: refused at MAIL, nothing is transferred."""
    with postfix.Postfix({**POSTFIX, "relayhost": "[127.0.0.1]:9"}) as server:
        (said,) = send(server.port, mail(content=b"x" * 70 + b"\r\n" * 100_000))
    assert (said[0].result, said[0].status) == (F, "5.3.4"), said


@needs_postfix
def test_postfix_slows_us_down_and_nothing_bounces():
    """Its rate limits are 450 and 421 with 4.7: the mail waits."""
    limits = {
        "smtpd_client_event_limit_exceptions": "",
        "smtpd_client_message_rate_limit": "2",
        "relayhost": "[127.0.0.1]:9",
    }
    with postfix.Postfix({**POSTFIX, **limits}) as server:
        said = send(server.port, *(mail() for _ in range(5)))
    assert [outcomes[0].result for outcomes in said] == [OK, OK, D, D, D], said
    assert {outcomes[0].status for outcomes in said[2:]} == {"4.7.1"}


@needs_postfix
def test_postfix_closes_an_idle_connection_and_the_next_mail_goes():
    """A kept connection that timed out costs a reconnect and nothing else."""
    with postfix.Postfix({**POSTFIX, "smtpd_timeout": "1s", "relayhost": "[127.0.0.1]:9"}) as server:
        said = send(server.port, mail(), mail(), mail(), pause_s=1.3)
        sessions = sessions_with_mail(server, 3)
    assert [outcomes[0].result for outcomes in said] == [OK] * 3
    assert sessions == [1, 1, 1]


@needs_postfix
def test_postfix_takes_many_messages_over_one_connection():
    """One after the other: one connection, one EHLO."""
    with postfix.Postfix({**POSTFIX, "relayhost": "[127.0.0.1]:9"}) as server:
        said = send(server.port, *(mail() for _ in range(10)))
        sessions = sessions_with_mail(server, 10)
    assert [outcomes[0].result for outcomes in said] == [OK] * 10
    assert sessions == [10]


@needs_postfix
@pytest.mark.parametrize(
    "keywords",
    [
        "pipelining",
        "8bitmime",
        "size",
        "chunking",
        "dsn, enhancedstatuscodes",
        "pipelining, chunking, size, 8bitmime, dsn, smtputf8, enhancedstatuscodes",
    ],
)
def test_postfix_without_extensions(keywords):
    """Whatever it does not offer is not used."""
    with postfix.Postfix({**POSTFIX, "smtpd_discard_ehlo_keywords": keywords, "relayhost": "[127.0.0.1]:9"}) as server:
        said = send(server.port, mail("b@example.net", "bad@example.net"), mail())
    assert [said[0][0].result, said[0][1].result, said[1][0].result] == [OK, F, OK], said


PROOFS = {
    # whose certificate: for the host's name by the tests' authority, for another name, by nobody; None: no TLS
    "good": {"name": "mx.test"},
    "other-name": {"name": "other.test"},
    "expired": {"name": "mx.test", "days": -1},
    "untrusted": {"name": "mx.test", "trusted": False},
    "none": None,
}
TLS = {
    # mode: what comes of each proof: status, and what RFC 8460 calls it
    "none": dict.fromkeys(PROOFS, ("2.0.0", "")),
    "may": {**dict.fromkeys(PROOFS, ("2.0.0", "")), "none": ("2.0.0", "starttls-not-supported")},
    "encrypt": {**dict.fromkeys(PROOFS, ("2.0.0", "")), "none": ("4.7.4", "starttls-not-supported")},
    "verify": {
        "good": ("2.0.0", ""),
        "other-name": ("4.7.5", "certificate-host-mismatch"),
        "expired": ("4.7.5", "certificate-expired"),
        "untrusted": ("4.7.5", "certificate-not-trusted"),
        "none": ("4.7.4", "starttls-not-supported"),
    },
}


@needs_postfix
@pytest.mark.parametrize("proof", PROOFS)
def test_postfix_with_starttls(proof, tmp_path):
    """Each mode gets what docs/tls.md promises of it; what is not in clear travels in no other way."""
    (tmp_path / "ca.pem").write_bytes(certificates.ca_pem())
    settings = {}
    if PROOFS[proof] is not None:
        certificates.server_context(tmp_path, **PROOFS[proof])
        settings = {"smtpd_tls_chain_files": str(tmp_path / "server.pem"), "smtpd_tls_security_level": "may"}
    transactions = [mail(content=b"one\r\n"), mail(content=b"two\r\n")]
    with ExitStack() as stack:
        sink = SmtpServer()
        stack.enter_context(running(sink))
        relayhost = {"relayhost": f"[127.0.0.1]:{sink.port}", "smtp_tls_security_level": "none"}
        server = stack.enter_context(postfix.Postfix({**POSTFIX, **settings, **relayhost}))
        for mode, expected in TLS.items():
            said = send(server.port, *transactions, tls=mode, ca_file=str(tmp_path / "ca.pem"))
            assert [(o[0].status, o[0].tls_facts.result) for o in said] == [expected[proof]] * 2, (mode, said)
            is_clear = mode == "none" or proof == "none"
            for outcomes in said:
                facts = outcomes[0].tls_facts
                if outcomes[0].result is OK:
                    assert (facts.version, outcomes[0].tls) == (("", "") if is_clear else ("TLSv1.3", "TLSv1.3"))
                    assert facts.verified == (mode == "verify")
        delivered = 2 * [modes[proof][0] for modes in TLS.values()].count("2.0.0")
        assert len(arrived(sink, delivered)) == delivered


@pytest.mark.skipif(not exim.is_there(), reason="no Exim unpacked, or not root")
def test_exim_is_logged_in_to_under_tls(tmp_path):
    """PLAIN and LOGIN; a wrong password, and none at all, defer in its words; in clear nothing is said."""
    (tmp_path / "ca.pem").write_bytes(certificates.ca_pem())
    certificates.server_context(tmp_path, "mx.test")
    known = {
        "plain": Credential("me", "pa55-word", mechanism="PLAIN"),
        "login": Credential("me", "pa55-word", mechanism="LOGIN"),
        "wrong": Credential("me", "wrong"),
    }
    with ExitStack() as stack:
        sink = SmtpServer()
        stack.enter_context(running(sink))
        server = exim.Exim(sink.port, certificate=tmp_path / "server.pem", login=("me", "pa55-word"))
        stack.enter_context(server)
        options = {"ca_file": str(tmp_path / "ca.pem"), "credential_of": known.get}
        said = {
            (name, mode): send(server.port, mail(), mail(), tls=mode, credential=name, **options)
            for name, mode in (("plain", "verify"), ("login", "encrypt"), ("wrong", "verify"), ("plain", "none"))
        }
        not_logged_in = send(server.port, mail(), tls="verify", **options)
        assert len(arrived(sink, 4)) == 4
    words = {key: [(o[0].result, o[0].code, o[0].command) for o in each] for key, each in said.items()}
    assert words == {
        ("plain", "verify"): [(OK, 250, "DOT")] * 2,
        ("login", "encrypt"): [(OK, 250, "DOT")] * 2,
        ("wrong", "verify"): [(D, 535, "AUTH")] * 2,
        ("plain", "none"): [(D, 0, "AUTH")] * 2,
    }
    assert (not_logged_in[0][0].result, not_logged_in[0][0].code) == (F, 550)


@needs_postfix
def test_postfix_answers_for_the_success_that_it_was_asked_to_report():
    """RFC 3461 5.2.3: it offers DSN, so the report is its own affair, and ours is told that it is."""
    path = ("b@example.net", ("SUCCESS", "FAILURE"), "rfc822;b@example.net")
    asked = Transaction("q" * 26, "a@example.com", {0: path}, HEADER, Body(b"hello\r\n"), envid="QQ314159", ret="HDRS")
    with running(SmtpServer(extensions=("PIPELINING", "8BITMIME"))) as sink:
        with postfix.Postfix({**POSTFIX, "relayhost": f"[127.0.0.1]:{sink.port}"}) as server:
            ((outcome,),) = [said.values() for said in send(server.port, asked)]
            assert (outcome.result, outcome.relayed_dsn) == (OK, True)
            messages = arrived(sink, 2)  # the mail, and the report: it goes to a host without DSN
        with postfix.Postfix({**POSTFIX, "smtpd_discard_ehlo_keywords": "dsn", "relayhost": "[127.0.0.1]:9"}) as server:
            ((outcome,),) = [said.values() for said in send(server.port, asked)]
            assert (outcome.result, outcome.relayed_dsn) == (OK, False)
    report = next(message for message in messages if "<>" in message.mail)
    assert forward_paths([report]) == ["a@example.com"]
    assert b"Original-Envelope-Id: QQ314159" in report.octets
    assert b"Original-Recipient: rfc822;b@example.net" in report.octets
    assert b"Action: relayed" in report.octets


SINK = {
    # options of smtp-sink: result, command that it answered
    ("-e",): (OK, "DOT"),
    ("-p",): (OK, "DOT"),
    ("-8",): (OK, "DOT"),
    ("-f", "connect"): (F, "GREETING"),
    ("-f", "ehlo"): (OK, "DOT"),
    ("-f", "ehlo,helo"): (F, "HELO"),
    ("-f", "mail"): (F, "MAIL"),
    ("-f", "rcpt"): (F, "RCPT"),
    ("-f", "data"): (F, "DATA"),
    ("-f", "."): (F, "DOT"),
    ("-r", "connect"): (D, "GREETING"),
    ("-r", "mail"): (D, "MAIL"),
    ("-r", "rcpt"): (D, "RCPT"),
    ("-r", "data"): (D, "DATA"),
    ("-r", "."): (D, "DOT"),
    ("-q", "connect"): (D, "GREETING"),
    ("-q", "ehlo"): (D, "EHLO"),
    ("-q", "mail"): (D, "MAIL"),
    ("-q", "rcpt"): (D, "RCPT"),
    ("-q", "data"): (D, "DATA"),
    ("-q", "."): (D, "DOT"),
    ("-p", "-f", "rcpt"): (F, "RCPT"),
    ("-p", "-q", "data"): (D, "DATA"),
}  # fmt: skip


@pytest.mark.skipif(not postfix.is_sink_there(), reason="no smtp-sink unpacked")
@pytest.mark.parametrize("options", SINK, ids=" ".join)
def test_smtp_sink_in_a_bad_mood(options):
    """It hard-fails, soft-fails or disconnects at the command named."""
    with postfix.sink(*options) as sink:
        (said,) = send(sink.port, mail())
    assert (said[0].result, said[0].command) == SINK[options], said
