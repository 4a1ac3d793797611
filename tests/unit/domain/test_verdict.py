"""The table of verdict.py, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain import status
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import Malformed, Reply
from paravion.domain.verdict import (
    Fault,
    FaultKind,
    Peer,
    Scope,
    Stage,
    combine,
    ends_connection,
    is_positive,
    judge,
    our_outcome,
)

PEER = Peer("mx.test", "192.0.2.1", "TLSv1.3")
D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED
LOST, TIMED_OUT, REFUSED, TLS = (Fault(kind) for kind in (FaultKind.LOST, FaultKind.TIMED_OUT, FaultKind.REFUSED, FaultKind.TLS))  # fmt: skip


def reply(code, text="x", enhanced=""):
    """A reply of one line."""
    return Reply(code, (text,), enhanced)


# stage, answer → result, status, code, scope, whether the next host is tried
TABLE = {
    "connect_refused": (Stage.CONNECT, REFUSED, D, "4.4.1", 0, Scope.HOST, True),
    "connect_timed_out": (Stage.CONNECT, TIMED_OUT, D, "4.4.1", 0, Scope.HOST, True),
    "greeting_450": (Stage.GREETING, reply(450), D, "4.0.0", 450, Scope.HOST, True),
    "greeting_421": (Stage.GREETING, reply(421), D, "4.3.2", 421, Scope.HOST, True),
    "greeting_554": (Stage.GREETING, reply(554, "x", "5.7.1"), F, "5.7.1", 554, Scope.HOST, True),
    "greeting_521": (Stage.GREETING, reply(521), F, "5.3.2", 521, Scope.HOST, True),
    "greeting_lost": (Stage.GREETING, LOST, D, "4.4.2", 0, Scope.HOST, True),
    "greeting_garbage": (Stage.GREETING, Malformed("x"), D, "4.4.2", 0, Scope.HOST, True),
    "ehlo_451": (Stage.EHLO, reply(451), D, "4.3.0", 451, Scope.HOST, True),
    "helo_550": (Stage.HELO, reply(550), F, "5.0.0", 550, Scope.HOST, True),
    "starttls_421": (Stage.STARTTLS, reply(421), D, "4.3.2", 421, Scope.HOST, True),
    "handshake": (Stage.TLS, TLS, D, "4.7.0", 0, Scope.HOST, True),
    "handshake_lost": (Stage.TLS, LOST, D, "4.7.0", 0, Scope.HOST, True),
    "auth_454": (Stage.AUTH, reply(454, "x", "4.7.0"), D, "4.7.0", 454, Scope.HOST, True),
    "auth_421": (Stage.AUTH, reply(421), D, "4.3.2", 421, Scope.HOST, True),
    "auth_535": (Stage.AUTH, reply(535, "x", "5.7.8"), D, "4.7.8", 535, Scope.HOST, True),
    "auth_534": (Stage.AUTH, reply(534, "x", "5.7.9"), D, "4.7.9", 534, Scope.HOST, True),
    "auth_538": (Stage.AUTH, reply(538), D, "4.7.11", 538, Scope.HOST, True),
    "auth_500": (Stage.AUTH, reply(500), D, "4.5.2", 500, Scope.HOST, True),
    "auth_lost": (Stage.AUTH, LOST, D, "4.4.2", 0, Scope.HOST, True),
    "auth_garbage": (Stage.AUTH, Malformed("x"), D, "4.4.2", 0, Scope.HOST, True),
    "mail_530": (Stage.MAIL, reply(530, "x", "5.7.0"), F, "5.7.0", 530, Scope.MESSAGE, False),
    "rcpt_530": (Stage.RCPT, reply(530, "x", "5.7.0"), F, "5.7.0", 530, Scope.RECIPIENT, False),
    "rset_550": (Stage.RSET, reply(550, "x", "5.5.1"), D, "4.5.1", 550, Scope.HOST, True),
    "mail_451": (Stage.MAIL, reply(451, "x", "4.7.1"), D, "4.7.1", 451, Scope.MESSAGE, True),
    "mail_550": (Stage.MAIL, reply(550), F, "5.0.0", 550, Scope.MESSAGE, False),
    "mail_421": (Stage.MAIL, reply(421), D, "4.3.2", 421, Scope.HOST, True),
    "mail_lost": (Stage.MAIL, LOST, D, "4.4.2", 0, Scope.HOST, True),
    "mail_354": (Stage.MAIL, reply(354), D, "4.4.2", 0, Scope.HOST, True),
    "rcpt_450": (Stage.RCPT, reply(450, "x", "4.2.1"), D, "4.2.1", 450, Scope.RECIPIENT, True),
    "rcpt_550": (Stage.RCPT, reply(550, "x", "5.1.1"), F, "5.1.1", 550, Scope.RECIPIENT, False),
    "rcpt_551": (Stage.RCPT, reply(551), F, "5.0.0", 551, Scope.RECIPIENT, False),
    "rcpt_452_full": (Stage.RCPT, reply(452, "x", "4.2.2"), D, "4.2.2", 452, Scope.RECIPIENT, True),
    "rcpt_452_bare": (Stage.RCPT, reply(452, "disk full"), D, "4.3.1", 452, Scope.RECIPIENT, True),
    "rcpt_452_too_many": (Stage.RCPT, reply(452, "x", "4.5.3"), D, "4.5.3", 452, Scope.TRANSACTION, True),
    "rcpt_452_text": (Stage.RCPT, reply(452, "Too many users"), D, "4.5.3", 452, Scope.TRANSACTION, True),
    "rcpt_552_too_many": (Stage.RCPT, reply(552, "x", "5.5.3"), D, "4.5.3", 552, Scope.TRANSACTION, True),
    "rcpt_552_full": (Stage.RCPT, reply(552, "x", "5.2.2"), D, "4.2.2", 552, Scope.RECIPIENT, True),
    "rcpt_450_bare": (Stage.RCPT, reply(450), D, "4.2.0", 450, Scope.RECIPIENT, True),
    "rcpt_550_words": (Stage.RCPT, reply(550, "No such user"), F, "5.1.1", 550, Scope.RECIPIENT, False),
    "rcpt_550_grey": (Stage.RCPT, reply(550, "Greylisted", "5.7.1"), D, "4.7.1", 550, Scope.RECIPIENT, True),
    "greeting_554_many": (Stage.GREETING, reply(554, "too many connections"), D, "4.4.5", 554, Scope.HOST, True),
    "dot_550_later": (Stage.DOT, reply(550, "refused, please try later"), D, "4.0.0", 550, Scope.MESSAGE, True),
    "mail_530_tls": (Stage.MAIL, reply(530, "STARTTLS required"), F, "5.7.0", 530, Scope.MESSAGE, False),
    "rcpt_421": (Stage.RCPT, reply(421), D, "4.3.2", 421, Scope.HOST, True),
    "data_451": (Stage.DATA, reply(451), D, "4.3.0", 451, Scope.MESSAGE, True),
    "data_554": (Stage.DATA, reply(554), F, "5.0.0", 554, Scope.MESSAGE, False),
    "data_250": (Stage.DATA, reply(250), D, "4.4.2", 0, Scope.HOST, True),
    "content_lost": (Stage.CONTENT, LOST, D, "4.4.2", 0, Scope.HOST, True),
    "content_552": (Stage.CONTENT, reply(552), F, "5.3.4", 552, Scope.MESSAGE, False),
    "dot_250": (Stage.DOT, reply(250, "ok", "2.6.0"), OK, "2.6.0", 250, Scope.MESSAGE, False),
    "dot_250_bare": (Stage.DOT, reply(250), OK, "2.0.0", 250, Scope.MESSAGE, False),
    "dot_451": (Stage.DOT, reply(451), D, "4.3.0", 451, Scope.MESSAGE, True),
    "dot_552": (Stage.DOT, reply(552, "x", "5.3.4"), F, "5.3.4", 552, Scope.MESSAGE, False),
    "dot_421": (Stage.DOT, reply(421), D, "4.3.2", 421, Scope.HOST, True),
    "dot_lost": (Stage.DOT, LOST, D, "4.4.2", 0, Scope.DESTINATION, False),
    "dot_timed_out": (Stage.DOT, TIMED_OUT, D, "4.4.2", 0, Scope.DESTINATION, False),
    "dot_garbage": (Stage.DOT, Malformed("x"), D, "4.4.2", 0, Scope.DESTINATION, False),
    "dot_354": (Stage.DOT, reply(354), D, "4.4.2", 0, Scope.DESTINATION, False),
}


@pytest.mark.parametrize("key", TABLE)
def test_judge_follows_the_table(key):
    """Stage and reply or fault → outcome, reach, and whether the next host is asked."""
    stage, answer, result, enhanced, code, scope, tries_next = TABLE[key]
    verdict = judge(stage, answer, PEER)
    outcome = verdict.outcome
    assert (result, enhanced, code) == (outcome.result, outcome.status, outcome.code)
    assert (scope, tries_next) == (verdict.scope, verdict.tries_next)
    assert (stage, "mx.test", "192.0.2.1", "TLSv1.3") == (
        outcome.command,
        outcome.mx_host,
        outcome.address,
        outcome.tls,
    )


OF_OUR_SMARTHOST = {
    "greeting_530": (Stage.GREETING, 530),
    "helo_530": (Stage.HELO, 530),
    "mail_530": (Stage.MAIL, 530),
    "mail_535": (Stage.MAIL, 535),
    "mail_538": (Stage.MAIL, 538),
    "rcpt_530": (Stage.RCPT, 530),
    "rcpt_534": (Stage.RCPT, 534),
    "data_530": (Stage.DATA, 530),
    "dot_530": (Stage.DOT, 530),
}


@pytest.mark.parametrize("key", OF_OUR_SMARTHOST)
def test_our_smarthost_that_wants_us_to_log_in_makes_mail_wait(key):
    """The operator named the host, so what it lacks is the operator's to give; of an MX it is a refusal for good."""
    stage, code = OF_OUR_SMARTHOST[key]
    answer = reply(code, "log in first", "5.7.0")
    verdict = judge(stage, answer, replace(PEER, by_route=True))
    assert (D, "4.7.0", code, "log in first") == (
        verdict.outcome.result,
        verdict.outcome.status,
        verdict.outcome.code,
        verdict.outcome.text,
    )
    assert verdict.scope is Scope.HOST
    assert judge(stage, answer, PEER).outcome.result is F


@pytest.mark.parametrize("code", [550, 553, 554])
def test_our_smarthost_refuses_for_good_in_other_codes(code):
    """A sender that it does not take (SES: 554), a relay that it denies: the sender is told."""
    assert judge(Stage.RCPT, reply(code), replace(PEER, by_route=True)).outcome.result is F


ANSWERS = st.one_of(
    st.builds(
        Reply,
        st.integers(200, 599),
        st.tuples(st.text(max_size=2000)),
        st.just(""),
    ),
    st.builds(Malformed, st.text(max_size=20)),
    st.builds(Fault, st.sampled_from(FaultKind), st.text(max_size=20)),
)


@settings(deadline=None)
@given(st.sampled_from(Stage), ANSWERS)
def test_every_answer_has_a_consistent_verdict(stage, answer):
    """Whatever comes: class and result agree, unknown is transient, only a yes to the dot delivers (law 7)."""
    verdict = judge(stage, answer, PEER, relayed_dsn=True)
    outcome = verdict.outcome
    assert {OK: "2", D: "4", F: "5"}[outcome.result] == outcome.status[0]
    assert len(outcome.text) <= 1000
    delivered = stage is Stage.DOT and isinstance(answer, Reply) and answer.severity == 2
    assert delivered == (outcome.result is OK) == outcome.relayed_dsn
    if outcome.result is F:
        assert isinstance(answer, Reply)
        assert answer.severity == 5
    if outcome.is_reply and outcome.result is F:
        assert str(outcome.code)[0] == "5"
    if stage is Stage.DOT and not isinstance(answer, Reply):
        assert not verdict.tries_next


POSITIVE = {
    "mail_250": (Stage.MAIL, reply(250), True, False),
    "rcpt_251": (Stage.RCPT, reply(251), True, False),
    "data_354": (Stage.DATA, reply(354), True, False),
    "data_250": (Stage.DATA, reply(250), False, True),
    "mail_354": (Stage.MAIL, reply(354), False, True),
    "mail_550": (Stage.MAIL, reply(550), False, False),
    "mail_421": (Stage.MAIL, reply(421), False, True),
    "lost": (Stage.MAIL, LOST, False, True),
    "malformed": (Stage.MAIL, Malformed("x"), False, True),
}


@pytest.mark.parametrize("key", POSITIVE)
def test_positive_and_final_answers(key):
    """354 is DATA's yes, 2yz everybody else's; a yes to another question, 421 and faults end the connection."""
    stage, answer, positive, ends = POSITIVE[key]
    assert (positive, ends) == (is_positive(stage, answer), ends_connection(stage, answer))


def test_relayed_dsn_only_when_delivered():
    """The duty of RFC 3461 passes on with the message, not with a refusal."""
    assert judge(Stage.DOT, reply(250), PEER, relayed_dsn=True).outcome.relayed_dsn
    assert not judge(Stage.DOT, reply(550), PEER, relayed_dsn=True).outcome.relayed_dsn


DEFERRAL_REPLY = Outcome(D, "4.2.0", 450, "grey")
DEFERRAL_FAULT = Outcome(D, "4.4.1", 0, "down")
FAILURE_REPLY = Outcome(F, "5.7.1", 554, "no")
FAILURE_FAULT = Outcome(F, "5.1.2", 0, "no host")

COMBINATIONS = {
    "first": (None, FAILURE_REPLY, FAILURE_REPLY),
    "deferral_stays": (DEFERRAL_FAULT, FAILURE_REPLY, DEFERRAL_FAULT),
    "deferral_wins": (FAILURE_REPLY, DEFERRAL_FAULT, DEFERRAL_FAULT),
    "reply_stays": (DEFERRAL_REPLY, DEFERRAL_FAULT, DEFERRAL_REPLY),
    "reply_wins": (DEFERRAL_FAULT, DEFERRAL_REPLY, DEFERRAL_REPLY),
    "failures": (FAILURE_REPLY, FAILURE_FAULT, FAILURE_REPLY),
    "later": (DEFERRAL_REPLY, Outcome(D, "4.3.0", 451, "x"), Outcome(D, "4.3.0", 451, "x")),
}


@pytest.mark.parametrize("key", COMBINATIONS)
def test_combine_weighs_several_hosts(key):
    """Only if every host refused for good is it for good; a reply tells more than a fault."""
    earlier, later, expected = COMBINATIONS[key]
    assert expected == combine(earlier, later)


def test_our_outcome_speaks_the_taxonomy():
    """Our own faults take status and default text from their row, and have no code."""
    outcome = our_outcome(status.DNS_TEMPFAIL, "", "DNS")
    assert (D, "4.4.3", 0, status.DNS_TEMPFAIL.text) == (outcome.result, outcome.status, outcome.code, outcome.text)
    assert F is our_outcome(status.NULL_MX, "x", "DNS").result
