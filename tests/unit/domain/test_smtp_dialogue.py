"""The SMTP dialogue as tables: what goes out, what comes back, what it comes to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.outcome import Result
from paravion.domain.reply import Malformed, Reply
from paravion.domain.smtp_dialogue import (
    ByTime,
    Content,
    Extensions,
    Refusal,
    Request,
    Session,
    StartTls,
    Step,
    TlsUp,
    Whole,
    fitting,
    introduce,
    opening,
    parse_ehlo,
    transact,
)
from paravion.domain.verdict import Fault, FaultKind, Peer, Scope, Stage

PEER = Peer("mx.test", "192.0.2.1")
LOST = Fault(FaultKind.LOST)
D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED


def reply(text):
    """A reply from text with its codes."""
    lines = text.split("\n")
    return Reply(int(lines[0][:3]), tuple(line[4:] for line in lines))


def play(dialogue, answers):
    """Drive a dialogue with answers (text is a reply); give what it wrote and what it returned."""
    wrote, answers = [], iter(answers)
    answer = None
    try:
        while True:
            step = dialogue.send(answer)
            answer = next(answers)
            if isinstance(step, Step):
                if step.octets:
                    wrote.append(step.octets.decode())
            elif isinstance(step, StartTls):
                wrote.append("<TLS>")
            elif isinstance(step, Whole):
                if isinstance(answer, tuple):
                    (answer,) = answer
                else:
                    step.is_sent = True
                    wrote.append(step.octets(b"x\r\n").decode())
            else:
                wrote.append("<CONTENT>")
                if isinstance(answer, tuple):
                    (answer,) = answer
                else:
                    step.end()
            answer = reply(answer) if isinstance(answer, str) else answer
    except StopIteration as stop:
        assert next(answers, "none left") == "none left"
        return wrote, stop.value


EHLO = "250 mx.test hi\n250 PIPELINING\n250 STARTTLS\n250 SIZE 1000"
TLS = TlsUp("TLSv1.3")
HI = "EHLO us.test\r\n"
INTRODUCTIONS = {
    "tls": (
        ["220 hi", EHLO, "220 go", TLS, "250 mx.test\n250 SIZE 9"],
        [HI, "STARTTLS\r\n", "<TLS>", HI],
        9,
        "TLSv1.3",
    ),
    "tls_refused": (["220 hi", EHLO, "454 no"], [HI, "STARTTLS\r\n"], 1000, ""),
    "helo": (["220 hi", "500 what", "250 mx.test"], [HI, "HELO us.test\r\n"], 0, ""),
    "bare": (["220 hi", "250 mx.test"], [HI], 0, ""),
}


@pytest.mark.parametrize("key", INTRODUCTIONS)
def test_introduction_ends_in_a_session(key):
    """EHLO, else HELO (RFC 5321 3.2); STARTTLS where offered, and what clear said is forgotten (RFC 3207 4.2)."""
    answers, expected, size, tls = INTRODUCTIONS[key]
    wrote, session = play(introduce("us.test", PEER, starttls=True, refuse_own_name=True), answers)
    assert expected == wrote
    assert isinstance(session, Session)
    assert (size, tls) == (session.extensions.size, session.peer.tls)


REFUSALS = {
    "greeting": (["554 no"], F, Scope.HOST, False),
    "greeting_lost": ([LOST], D, Scope.HOST, False),
    "ehlo_4yz": (["220 hi", "451 x"], D, Scope.HOST, False),
    "ehlo_421": (["220 hi", "421 x"], D, Scope.HOST, False),
    "helo_5yz": (["220 hi", "550 x", "550 y"], F, Scope.HOST, False),
    "own_name": (["220 hi", "250 US.TEST hi\n250 STARTTLS"], F, Scope.DESTINATION, False),
    "starttls_421": (["220 hi", EHLO, "421 x"], D, Scope.HOST, False),
    "starttls_lost": (["220 hi", EHLO, LOST], D, Scope.HOST, True),
    "starttls_garbage": (["220 hi", EHLO, Malformed("x")], D, Scope.HOST, True),
    "handshake": (["220 hi", EHLO, "220 go", Fault(FaultKind.TLS)], D, Scope.HOST, True),
    "lost_after_handshake": (["220 hi", EHLO, "220 go", TLS, LOST], D, Scope.HOST, True),
    "refused_after_handshake": (["220 hi", EHLO, "220 go", TLS, "451 x"], D, Scope.HOST, False),
}


@pytest.mark.parametrize("key", REFUSALS)
def test_introduction_ends_in_a_refusal(key):
    """Who can't be talked to, and whether a connection in clear may do better."""
    answers, result, scope, tls_broken = REFUSALS[key]
    _, refusal = play(introduce("us.test", PEER, starttls=True, refuse_own_name=True), answers)
    assert isinstance(refusal, Refusal)
    assert (result, scope, tls_broken) == (refusal.verdict.outcome.result, refusal.verdict.scope, refusal.tls_broken)


def test_starttls_only_if_wanted():
    """Without it the session stays in clear, whatever is offered; and a route's host may bear our name."""
    wrote, session = play(introduce("mx.test", PEER, starttls=False, refuse_own_name=False), ["220 hi", EHLO])
    assert (wrote, session.extensions.starttls) == (["EHLO mx.test\r\n"], True)


def test_ehlo_reply_is_read():
    """RFC 5321 4.1.1.1: keywords in any case; the old AUTH= form; numbers that are none count as none."""
    told = parse_ehlo(
        reply(
            "250 MX.Test greets\n250 size 1000\n250 Pipelining\n250 AUTH=PLAIN LOGIN\n250 LIMITS RCPTMAX=5 MAILMAX=x rcptdomainmax=2\n250 \n250 DSN\n250 CHUNKING"
        )
    )
    assert (told.name, told.size, told.pipelining, told.dsn, told.smtputf8) == ("mx.test", 1000, True, True, False)
    assert (told.rcpt_max, told.mail_max, told.rcpt_domain_max, told.keywords["AUTH"]) == (5, 0, 2, "PLAIN LOGIN")
    assert told.chunking
    assert parse_ehlo(reply("250 x\n250 SIZE " + "9" * 30)).size == 0


def request(*paths, **fields):
    """A request to these forward-paths."""
    recipients = {n: (path, (), "") for n, path in enumerate(paths or ("b@y",))}
    return Request(**{"reverse_path": "a@x", "recipients": recipients, "header": b"A: b\r\n", "body_octets": 3, **fields})  # fmt: skip


def session(*keywords):
    """A session with a host that offers these."""
    return Session(PEER, parse_ehlo(reply("\n".join(f"250 {word}" for word in ("mx.test", *keywords)))))


PIPE = session("PIPELINING")
STEP = session()
M, R, S = "MAIL FROM:<a@x>\r\n", "RCPT TO:<b@y>\r\n", "RCPT TO:<c@y>\r\n"
DATA = "DATA\r\n"
TWO = request("b@y", "c@y")
GO, YES, NO, LATER = "354 go", "250 ok", "550 no", "450 later"
Z = "<CONTENT>"

# session, reset, answers → what is written, results, intact, reset
TRANSACTIONS = {
    "pipelined": (PIPE, False, [YES, YES, YES, GO, YES], [M + R + S + DATA, Z], [OK, OK], True, False),
    "stepwise": (STEP, False, [YES, YES, YES, GO, YES], [M, R, S, DATA, Z], [OK, OK], True, False),
    "pipelined_reset": (PIPE, True, [YES, YES, YES, YES, GO, YES], ["RSET\r\n" + M + R + S + DATA, Z], [OK, OK], True, False),
    "stepwise_reset": (STEP, True, [YES, YES, YES, YES, GO, YES], ["RSET\r\n", M, R, S, DATA, Z], [OK, OK], True, False),
    "reset_refused": (PIPE, True, [NO], ["RSET\r\n" + M + R + S + DATA], [D, D], False, True),
    "one_fails": (PIPE, False, [YES, NO, YES, GO, YES], [M + R + S + DATA, Z], [F, OK], True, False),
    "one_later": (STEP, False, [YES, YES, LATER, GO, YES], [M, R, S, DATA, Z], [OK, D], True, False),
    "all_fail": (PIPE, False, [YES, NO, NO, "554 none"], [M + R + S + DATA], [F, F], True, True),
    "all_fail_354": (PIPE, False, [YES, NO, NO, GO, NO], [M + R + S + DATA, ".\r\n"], [F, F], True, True),
    "all_fail_354_taken": (PIPE, False, [YES, NO, NO, GO, YES], [M + R + S + DATA, ".\r\n"], [F, F], True, True),
    "all_fail_354_lost": (PIPE, False, [YES, NO, NO, GO, LOST], [M + R + S + DATA, ".\r\n"], [F, F], False, True),
    "all_fail_stepwise": (STEP, False, [YES, NO, NO], [M, R, S], [F, F], True, True),
    "mail_fails": (PIPE, False, [NO, "503 x", "503 x", "503 x"], [M + R + S + DATA], [F, F], True, True),
    "mail_fails_354": (PIPE, False, [NO, YES, YES, GO, NO], [M + R + S + DATA, ".\r\n"], [F, F], True, True),
    "mail_fails_then_lost": (PIPE, False, [NO, LOST], [M + R + S + DATA], [F, F], False, True),
    "mail_fails_stepwise": (STEP, False, [LATER], [M], [D, D], True, True),
    "mail_421": (PIPE, False, ["421 x"], [M + R + S + DATA], [D, D], False, True),
    "rcpt_then_lost": (PIPE, False, [YES, NO, LOST], [M + R + S + DATA], [F, D], False, True),
    "rcpt_then_421": (STEP, False, [YES, YES, "421 x"], [M, R, S], [D, D], False, True),
    "data_fails": (PIPE, False, [YES, YES, NO, NO], [M + R + S + DATA], [F, F], True, True),
    "data_lost": (STEP, False, [YES, YES, NO, LOST], [M, R, S, DATA], [D, F], False, True),
    "dot_fails": (PIPE, False, [YES, YES, NO, GO, LATER], [M + R + S + DATA, Z], [D, F], True, True),
    "dot_lost": (PIPE, False, [YES, YES, YES, GO, LOST], [M + R + S + DATA, Z], [D, D], False, True),
    "content_refused": (PIPE, False, [YES, YES, YES, GO, (reply(NO),)], [M + R + S + DATA, Z], [F, F], False, True),
    "content_taken_early": (PIPE, False, [YES, YES, YES, GO, (reply(YES),)], [M + R + S + DATA, Z], [D, D], False, True),
    "content_lost": (PIPE, False, [YES, YES, YES, GO, (LOST,)], [M + R + S + DATA, Z], [D, D], False, True),
}  # fmt: skip


@pytest.mark.parametrize("key", TRANSACTIONS)
def test_transaction_follows_its_answers(key):
    """Whatever fails and wherever: the right words on the wire, one verdict each, and the state of the connection."""
    over, reset, answers, expected, results, intact, needs_reset = TRANSACTIONS[key]
    wrote, done = play(transact(over, TWO, reset=reset), answers)
    assert expected == wrote
    assert results == [done.verdicts[n].outcome.result for n in range(2)]
    assert (intact, needs_reset) == (done.intact, done.reset)


@pytest.mark.parametrize("key", [key for key, row in TRANSACTIONS.items() if row[0] is PIPE and not row[1]])
def test_transaction_whose_opening_is_written_says_the_same_and_comes_to_the_same(key):
    """Its words before the content have gone behind another's dot: the rest is as ever."""
    over, _, answers, expected, *_ = TRANSACTIONS[key]
    _, done = play(transact(over, TWO), answers)
    said = opening(over, TWO)
    wrote, behind = play(transact(over, TWO, written=said), answers)
    assert [said.octets.decode(), *wrote] == expected
    assert behind == done


@pytest.mark.parametrize(
    ("over", "sent"),
    [(PIPE, request("b@y", "c\r\n@y", envid="a b")), (PIPE, request("b\r\n@y"))],
    ids=["nothing can be sent", "nobody can be sent to"],
)
def test_nothing_is_written_ahead_where_nothing_can_be(over, sent):
    assert opening(over, sent).octets == b""


@pytest.mark.parametrize(("key", "scope"), [("dot_lost", Scope.DESTINATION), ("content_lost", Scope.HOST)])
def test_only_after_the_dot_is_the_outcome_unknown(key, scope):
    """RFC 1047: before the final dot another host may be asked, after it none."""
    over, reset, answers, *_ = TRANSACTIONS[key]
    _, done = play(transact(over, TWO, reset=reset), answers)
    assert {scope} == {verdict.scope for verdict in done.verdicts.values()}


OFFERS = {
    "nothing": ((), {"body_type": "8BITMIME", "ret": "FULL", "envid": "e"}, M),
    "size": (("SIZE",), {}, "MAIL FROM:<a@x> SIZE=11\r\n"),
    "eight_bit": (("8BITMIME",), {"body_type": "8BITMIME"}, "MAIL FROM:<a@x> BODY=8BITMIME\r\n"),
    "seven_bit": (("8BITMIME",), {}, M),
    "dsn": (("DSN",), {"ret": "FULL", "envid": "e"}, "MAIL FROM:<a@x> RET=FULL ENVID=e\r\n"),
    "dsn_unused": (("DSN",), {}, M),
    "utf8": (("SMTPUTF8",), {"smtputf8": True}, "MAIL FROM:<a@x> SMTPUTF8\r\n"),
    "utf8_path": (("SMTPUTF8",), {"reverse_path": "ä@x"}, "MAIL FROM:<ä@x> SMTPUTF8\r\n"),
    "utf8_unused": (("SMTPUTF8",), {}, M),
    "by": (("DELIVERBY",), {"by": ByTime(60, returns=True)}, "MAIL FROM:<a@x> BY=60;R\r\n"),
    "by_least": (("DELIVERBY 60,X=1",), {"by": ByTime(60, returns=True)}, "MAIL FROM:<a@x> BY=60;R\r\n"),
    "by_notify": (("DELIVERBY 60",), {"by": ByTime(-9, traces=True)}, "MAIL FROM:<a@x> BY=-9;NT\r\n"),
    "by_unknown": ((), {"by": ByTime(60)}, M),
    "requiretls": (("REQUIRETLS",), {"requiretls": True}, "MAIL FROM:<a@x> REQUIRETLS\r\n"),
    "requiretls_unused": (("REQUIRETLS",), {}, M),
    "requiretls_null": (("REQUIRETLS",), {"requiretls": True, "reverse_path": ""}, "MAIL FROM:<> REQUIRETLS\r\n"),
    "requiretls_null_unknown": ((), {"requiretls": True, "reverse_path": ""}, "MAIL FROM:<>\r\n"),
    "null": ((), {"reverse_path": ""}, "MAIL FROM:<>\r\n"),
    "quoted": ((), {"reverse_path": '"a >b"@x'}, 'MAIL FROM:<"a >b"@x>\r\n'),
}


@pytest.mark.parametrize("key", OFFERS)
def test_mail_has_only_parameters_that_were_offered(key):
    """RFC 5321 2.2.1: no extension that the host did not offer; "" is the null reverse-path."""
    offered, fields, expected = OFFERS[key]
    wrote, _ = play(transact(session(*offered), request(**fields)), [NO])
    assert [expected] == wrote


UNFIT = {
    "size": (("SIZE 10",), {}, "5.3.4"),
    "size_by_missing_octet": (("SIZE 11",), {"body_octets": 4}, "5.3.4"),
    "utf8": ((), {"smtputf8": True}, "5.6.7"),
    "utf8_reverse_path": ((), {"reverse_path": "ä@x"}, "5.6.7"),
    "utf8_forward_path": ((), {"recipients": {0: ("ä@y", (), "")}}, "5.6.7"),
    "crlf_in_reverse_path": ((), {"reverse_path": "a@x>\r\nRCPT TO:<z@z"}, "5.1.7"),
    "parameter_in_reverse_path": ((), {"reverse_path": "a@x> BODY=8BITMIME"}, "5.1.7"),
    "quote_in_the_wrong_place": ((), {"reverse_path": 'a"@x> X="'}, "5.1.7"),
    "lf_in_forward_path": ((), {"recipients": {0: ("b@y\nQUIT", (), "")}}, "5.1.3"),
    "nul_in_forward_path": ((), {"recipients": {0: ("b\0@y", (), "")}}, "5.1.3"),
    "surrogate_in_forward_path": (("SMTPUTF8",), {"recipients": {0: ("b\udcff@y", (), "")}}, "5.1.3"),
    "empty_forward_path": ((), {"recipients": {0: ("", (), "")}}, "5.1.3"),
    "by_return_unknown": ((), {"by": ByTime(60, returns=True)}, "5.4.7"),
    "by_return_over": (("DELIVERBY",), {"by": ByTime(0, returns=True)}, "5.4.7"),
    "by_return_too_short": (("DELIVERBY 61",), {"by": ByTime(60, returns=True)}, "5.4.7"),
    "requiretls_unknown": ((), {"requiretls": True}, "5.7.30"),
    "crlf_in_envid": (("DSN",), {"envid": "x\r\nQUIT"}, "5.5.4"),
    "space_in_orcpt": (("DSN",), {"recipients": {0: ("b@y", (), "rfc822;b c")}}, "5.5.4"),
}


@pytest.mark.parametrize("key", UNFIT)
def test_what_the_host_cannot_take_is_not_said(key):
    """Refused before a word is written; nothing of a path or parameter can become a second command."""
    offered, fields, expected = UNFIT[key]
    wrote, done = play(transact(session(*offered), request(**fields)), [])
    assert wrote == []
    assert (F, expected, 0, "LOCAL") == (
        done.verdicts[0].outcome.result,
        done.verdicts[0].outcome.status,
        done.verdicts[0].outcome.code,
        done.verdicts[0].outcome.command,
    )
    assert done.intact


def test_unfit_recipient_leaves_the_others():
    """One bad forward-path does not keep the message from the rest."""
    wrote, done = play(transact(STEP, request("b@y", "c\r\n@y")), [YES, YES, GO, YES])
    assert wrote == [M, R, DATA, Z]
    assert [done.verdicts[n].outcome.result for n in range(2)] == [OK, F]


def test_dsn_parameters_of_a_recipient():
    """RFC 3461 4.1, 4.2; and the duty is handed on with the message (5.2.2)."""
    recipients = {5: ("b@y", ("NEVER",), "rfc822;b+2B@y")}
    wrote, done = play(transact(session("DSN"), request(recipients=recipients)), [YES, YES, GO, YES])
    assert wrote[1] == "RCPT TO:<b@y> NOTIFY=NEVER ORCPT=rfc822;b+2B@y\r\n"
    assert done.verdicts[5].outcome.relayed_dsn


@pytest.mark.parametrize(
    ("offered", "by", "is_traced"),
    [
        (("DELIVERBY",), ByTime(60, returns=True), False),
        (("DELIVERBY",), ByTime(60, returns=True, traces=True), True),
        (("DELIVERBY",), ByTime(60), False),
        ((), ByTime(60), True),
        ((), None, False),
    ],
)
def test_who_loses_a_deadline_is_told_of(offered, by, is_traced):
    """RFC 2852: passed on with by-mode N to a host that knows no deadlines, or with by-trace."""
    for bdat in (False, True, None):
        over = session(*offered, "PIPELINING", "CHUNKING")
        answers = [YES, YES, YES] if bdat else [YES, YES, GO, YES] if bdat is False else [YES, YES, YES, YES]
        _, done = play(transact(over, request(by=by), bdat=bdat), answers)
        assert (OK, is_traced) == (done.verdicts[0].outcome.result, done.verdicts[0].outcome.is_traced)
    _, done = play(transact(session(*offered), request(by=by)), [YES, YES, GO, NO])
    assert not done.verdicts[0].outcome.is_traced


@pytest.mark.parametrize(
    ("notify", "expected"),
    [
        ((), " NOTIFY=FAILURE,DELAY"),
        (("SUCCESS",), " NOTIFY=SUCCESS,DELAY"),
        (("DELAY", "FAILURE"), " NOTIFY=DELAY,FAILURE"),
        (("NEVER",), " NOTIFY=NEVER"),
    ],
)
def test_a_host_without_deadlines_is_asked_to_tell_of_delays(notify, expected):
    """RFC 2852, by-mode N; one that takes the deadline is told what the sender said."""
    recipients = {0: ("b@y", notify, "")}
    wrote, _ = play(transact(session("DSN"), request(recipients=recipients, by=ByTime(60))), [YES, YES, GO, YES])
    assert wrote[1] == f"RCPT TO:<b@y>{expected}\r\n"
    over = session("DSN", "DELIVERBY")
    wrote, _ = play(transact(over, request(recipients=recipients, by=ByTime(60))), [YES, YES, GO, YES])
    assert wrote[1] == f"RCPT TO:<b@y>{' NOTIFY=' + ','.join(notify) if notify else ''}\r\n"


def reference(header, body):
    """The wire form, slowly: lines, a dot before each that begins with one, each ended by CRLF."""
    lines = [*ends_off(header), b"", *ends_off(body)]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def ends_off(octets):
    """The lines of it, without their ends."""
    lines = re.split(rb"\r\n|\r|\n", octets)
    return lines if lines[-1] else lines[:-1]


def on_the_wire(header, chunks):
    """All that a content writes."""
    content = Content(header)
    return b"".join((content.start(), *(content.feed(chunk) for chunk in chunks), content.end()))


def split(octets, sizes):
    """Cut octets into pieces of these sizes, and the rest."""
    at = 0
    for size in sizes:
        yield octets[at : at + size]
        at += size
    yield octets[at:]


OCTETS = st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"\r\n.", b"x", b"\x80", b"\0"]), max_size=30).map(
    b"".join
)


@settings(deadline=None)
@given(OCTETS, OCTETS, st.lists(st.integers(0, 5), max_size=40))
def test_stuffing_is_the_same_for_any_chunks(header, body, sizes):
    """RFC 5321 4.5.2: a dot that begins a line is doubled, wherever the chunks are cut; every line ends in CRLF."""
    assert reference(header, body) == on_the_wire(header, split(body, sizes))


@settings(deadline=None)
@given(OCTETS, st.lists(st.integers(0, 5), max_size=40))
def test_end_is_seen_once(body, sizes):
    """SMTP smuggling: no reader, strict or lax about line ends, finds an end of message before ours."""
    wire = b"\r\n" + on_the_wire(b"A: b\r\n", split(body, sizes))
    assert wire.endswith(b"\r\n.\r\n")
    for end in (b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\n.\r", b"\r\n.\r"):
        at = wire.find(end)
        assert at < 0 or at >= len(wire) - 5
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")


@settings(deadline=None)
@given(OCTETS.filter(lambda body: body.count(b"\r\n") == body.count(b"\r") == body.count(b"\n")), st.integers(1, 9))
def test_clean_content_arrives_octet_for_octet(body, size):
    """What has only whole CRLFs is unchanged behind a host's unstuffing, but for a last line end."""
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    wire = on_the_wire(b"A: b\r\n", chunks).removesuffix(b".\r\n")
    arrived = (b"\r\n" + wire).replace(b"\r\n.", b"\r\n")[2:].removeprefix(b"A: b\r\n\r\n")
    assert arrived in (body, body + b"\r\n")


def test_defaults_of_extensions_are_nothing():
    """A HELO host offers nothing."""
    assert (Extensions().has_size, Extensions().size, dict(Extensions().keywords)) == (False, 0, {})


def test_handshake_nobody_asked_for_is_a_bug():
    """Only StartTls is answered by TlsUp."""
    dialogue = introduce("us.test", PEER, starttls=True, refuse_own_name=True)
    assert Stage.GREETING is next(dialogue).stage
    with pytest.raises(TypeError):
        dialogue.send(TLS)


CHUNK = session("PIPELINING", "CHUNKING", "DSN")
ENVELOPE = M + R + S
LAST = "BDAT 11 LAST\r\nA: b\r\n\r\nx\r\n"
ASK = ENVELOPE + "BDAT 1\r\nA"
REST = "BDAT 10 LAST\r\n: b\r\n\r\nx\r\n"
NOOP = "NOOP\r\n"
BY_DATA = [ASK, NOOP, "RSET\r\n" + ENVELOPE + DATA, Z]

# what is known of BDAT, answers → what is written, results, scope of the first, intact, reset, what was learnt
CHUNKINGS = {
    "known": (True, [YES, YES, YES, YES], [ENVELOPE + LAST], [OK, OK], Scope.MESSAGE, True, False, None),
    "known_one_fails": (True, [YES, NO, YES, YES], [ENVELOPE + LAST], [F, OK], Scope.RECIPIENT, True, False, None),
    "known_all_fail": (True, [YES, NO, NO, "503 x"], [ENVELOPE + LAST], [F, F], Scope.RECIPIENT, True, True, None),
    "known_all_fail_554": (True, [YES, NO, NO, "554 x"], [ENVELOPE + LAST], [F, F], Scope.RECIPIENT, True, True, None),
    "known_all_fail_taken": (True, [YES, NO, NO, YES], [ENVELOPE + LAST], [F, F], Scope.RECIPIENT, True, False, None),
    "known_all_fail_lost": (True, [YES, NO, NO, LOST], [ENVELOPE + LAST], [F, F], Scope.RECIPIENT, False, True, None),
    "known_mail_fails": (
        True, [LATER, "503 x", "503 x", "503 x"], [ENVELOPE + LAST], [D, D], Scope.MESSAGE, True, True, None,
    ),
    "known_refused": (True, [YES, YES, YES, NO], [ENVELOPE + LAST], [F, F], Scope.MESSAGE, True, True, None),
    "known_later": (True, [YES, YES, NO, LATER], [ENVELOPE + LAST], [D, F], Scope.MESSAGE, True, True, None),
    "known_421_to_mail": (True, ["421 x"], [ENVELOPE + LAST], [D, D], Scope.HOST, False, True, None),
    "known_421_to_rcpt": (True, [YES, "421 x"], [ENVELOPE + LAST], [D, D], Scope.HOST, False, True, None),
    "known_421_in_the_end": (True, [YES, YES, YES, "421 x"], [ENVELOPE + LAST], [D, D], Scope.HOST, False, True, None),
    "known_lost_at_once": (True, [LOST], [ENVELOPE + LAST], [D, D], Scope.DESTINATION, False, True, None),
    "known_lost_after_mail": (True, [YES, LOST], [ENVELOPE + LAST], [D, D], Scope.DESTINATION, False, True, None),
    "known_lost_in_the_end": (
        True, [YES, NO, YES, LOST], [ENVELOPE + LAST], [F, D], Scope.RECIPIENT, False, True, None,
    ),
    "known_garbage": (True, [YES, Malformed("x")], [ENVELOPE + LAST], [D, D], Scope.DESTINATION, False, True, None),
    "known_354": (True, [GO], [ENVELOPE + LAST], [D, D], Scope.DESTINATION, False, True, None),
    "known_not_sent": (True, [(LOST,)], [], [D, D], Scope.HOST, False, True, None),
    "known_no_more": (True, [YES, YES, NO, "502 x"], [ENVELOPE + LAST], [D, F], Scope.HOST, False, True, False),
    "asked": (None, [YES, YES, YES, YES, YES], [ASK, REST], [OK, OK], Scope.MESSAGE, True, False, True),
    "asked_one_fails": (None, [YES, NO, YES, YES, LATER], [ASK, REST], [F, D], Scope.RECIPIENT, True, True, True),
    "asked_all_fail": (None, [YES, NO, NO, "503 x", YES], [ASK, NOOP], [F, F], Scope.RECIPIENT, True, True, None),
    "asked_all_fail_not_understood": (
        None, [YES, NO, NO, "500 x", "500 x"], [ASK, NOOP], [F, F], Scope.RECIPIENT, True, True, None,
    ),
    "asked_all_fail_taken": (None, [YES, NO, NO, YES], [ASK], [F, F], Scope.RECIPIENT, True, True, None),
    "asked_mail_fails": (None, [NO, NO, NO, NO, YES], [ASK, NOOP], [F, F], Scope.MESSAGE, True, True, None),
    "asked_refused": (
        None, [YES, YES, YES, "554 x", YES, YES, YES, YES, YES, NO], BY_DATA[:-1], [F, F], Scope.MESSAGE, True, True, False,
    ),
    "asked_later": (
        None, [YES, YES, YES, LATER, YES, YES, YES, YES, YES, GO, YES], BY_DATA, [OK, OK], Scope.MESSAGE, True, False, None,
    ),
    "asked_lost": (None, [YES, YES, YES, LOST], [ASK], [D, D], Scope.HOST, False, True, None),
    "asked_354": (None, [YES, YES, YES, GO], [ASK], [D, D], Scope.HOST, False, True, None),
    "asked_lost_in_the_end": (
        None, [YES, YES, YES, YES, LOST], [ASK, REST], [D, D], Scope.DESTINATION, False, True, True,
    ),
    "asked_not_sent": (None, [YES, YES, YES, YES, (LOST,)], [ASK], [D, D], Scope.HOST, False, True, None),
    "asked_lost_after_no": (None, [YES, YES, YES, "500 x", LOST], [ASK, NOOP], [D, D], Scope.HOST, False, True, None),
    "asked_not_understood": (
        None, [YES, NO, YES, "502 x", "500 ANOOP?", YES, YES, YES, GO, YES],
        [ASK, NOOP, "RSET\r\n" + M + S + DATA, Z], [F, OK], Scope.RECIPIENT, True, False, False,
    ),
    "never": (False, [YES, YES, YES, GO, YES], [ENVELOPE + DATA, Z], [OK, OK], Scope.MESSAGE, True, False, None),
}  # fmt: skip


@pytest.mark.parametrize("key", CHUNKINGS)
def test_small_message_goes_by_bdat_to_who_understands_it(key):
    """RFC 3030: asked first, then in one write; lost answers leave what was sent in doubt, words never do."""
    bdat, answers, expected, results, scope, intact, needs_reset, learnt = CHUNKINGS[key]
    wrote, done = play(transact(CHUNK, TWO, bdat=bdat), answers)
    assert expected == wrote
    assert results == [done.verdicts[n].outcome.result for n in range(2)]
    assert (scope, intact, needs_reset) == (done.verdicts[0].scope, done.intact, done.reset)
    assert learnt is done.bdat
    assert all(done.verdicts[n].outcome.relayed_dsn == (results[n] is OK) for n in range(2))


NO_CHUNKS = {
    "not_offered": (PIPE, TWO, False),
    "without_pipelining": (session("CHUNKING"), TWO, False),
    "large": (CHUNK, request("b@y", "c@y", body_octets=65_536 - 8 + 1), False),
    "behind_a_reset": (CHUNK, TWO, True),
    "without_header": (CHUNK, request("b@y", "c@y", header=b""), False),
}


@pytest.mark.parametrize("key", NO_CHUNKS)
def test_what_gains_nothing_by_bdat_goes_by_data(key):
    """A large message, a host without PIPELINING, a connection that begins with RSET."""
    over, asked, reset = NO_CHUNKS[key]
    wrote, _ = play(
        transact(over, asked, reset=reset, bdat=True),
        [*([YES] if reset else []), YES, NO, NO, *([NO] if over.extensions.pipelining else [])],
    )
    assert "BDAT" not in "".join(wrote)


def test_largest_message_that_goes_whole():
    """To the octet."""
    assert len(LAST.partition("\n")[2]) == request().octets == 11
    wrote, _ = play(transact(CHUNK, request(body_octets=65_536 - 8), bdat=True), [YES, YES, YES])
    assert "BDAT" in wrote[0]


@settings(deadline=None)
@given(OCTETS, OCTETS)
def test_chunk_is_as_long_as_it_says(header, body):
    """And holds what DATA would send, unstuffed: no octet of content is ever read as a command."""
    line, _, content = Whole(b"", header).octets(body).partition(b"\r\n")
    assert line == b"BDAT %d LAST" % len(content)
    lines = [*ends_off(header), b"", *ends_off(body)]
    assert content == b"".join(line + b"\r\n" for line in lines)


LIMITED = {
    "none": ((), 100, [0, 1, 2, 3]),
    "ours": ((), 3, [0, 1, 2]),
    "rcptmax": (("LIMITS RCPTMAX=2",), 100, [0, 1]),
    "domains": (("LIMITS RCPTDOMAINMAX=1",), 100, [0, 2]),
    "domains_and_rcptmax": (("LIMITS RCPTDOMAINMAX=2 RCPTMAX=2",), 100, [0, 1]),
    "nonsense": (("LIMITS RCPTMAX=0 RCPTDOMAINMAX=-1",), 100, [0, 1, 2, 3]),
}


@pytest.mark.parametrize("key", LIMITED)
def test_transaction_keeps_the_hosts_limits(key):
    """RFC 9422: recipients and their domains in one transaction; domains in any case."""
    offered, most, expected = LIMITED[key]
    paths = request("a@x", "b@y", "c@X", "d@z").recipients
    assert expected == fitting(session(*offered).extensions, paths, most)
