"""What outcomes are called: real replies by the hundred, and the law that a block is no bad address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain import known_replies, status
from paravion.domain.classification import NAMES, bounce_type, cause_of, delay_type, record_fields
from paravion.domain.known_replies import Cause, list_named
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import Reply, ReplyParser
from paravion.domain.suppression import says_no_such_address
from paravion.domain.verdict import Fault, FaultKind, Peer, Scope, Stage, judge, our_outcome, ours
from tests.unit.domain.replies import REPLIES

PEER = Peer("mx.test", "192.0.2.1")
D, F = Result.DEFERRED, Result.FAILED


def judged(stage, wire, peer=PEER):
    """The outcome of a reply as it stands on the wire."""
    (reply,) = ReplyParser().feed(wire.replace("\n", "\r\n").encode() + b"\r\n")
    assert isinstance(reply, Reply)
    return judge(Stage(stage), reply, peer).outcome


@pytest.mark.parametrize(("source", "stage", "wire", "result", "cause", "ses"), REPLIES,
                         ids=[f"{n}-{row[0]}-{row[2][:24]}" for n, row in enumerate(REPLIES)])  # fmt: skip
def test_real_reply(source, stage, wire, result, cause, ses):
    """Result, cause and SES name of every reply of the collection."""
    outcome = judged(stage, wire)
    name = "/".join(bounce_type(outcome)) if outcome.result is F else delay_type(outcome)
    assert (result, cause, ses) == (outcome.result.value, cause_of(outcome).value, name)
    assert outcome.status[0] == {"failed": "5", "deferred": "4"}[result]
    if says_no_such_address(outcome):
        # Whoever is put on the suppression list bounced for good in SES's words as well.
        assert ses == "Permanent/General"


def test_collection_is_large_and_has_every_cause_of_a_reply():
    """No cause stands in the code that no real host gives."""
    assert len(REPLIES) >= 150
    assert {row[4] for row in REPLIES} == {c.value for c in Cause} - {"no_answer", "local", "suppressed"}


LISTS = {
    "Client host [192.0.2.4] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.4": "https://www.spamhaus.org/query/ip/192.0.2.4",
    "Client host blocked using zen.spamhaus.org": "zen.spamhaus.org",
    "192.0.2.4 listed at dnsbl.cobion.com": "dnsbl.cobion.com",
    "because the ip is in Spamhaus's list": "spamhaus",
    "blocked using Trend Micro RBL+.": "trend micro rbl+",
    "your network is on our block list (S3140)": "",
}  # fmt: skip


@pytest.mark.parametrize("text", LISTS)
def test_list_that_a_reply_names(text):
    """Its page if there is one, else its name."""
    assert LISTS[text] == list_named(text)


OURS = {
    "no_domain": (our_outcome(status.NO_SUCH_DOMAIN, "", "DNS"), Cause.DOMAIN_UNKNOWN, True),
    "null_mx": (our_outcome(status.NULL_MX, "", "DNS"), Cause.DOMAIN_UNKNOWN, True),
    "servfail": (our_outcome(status.DNS_TEMPFAIL, "", "DNS"), Cause.NO_ANSWER, False),
    "refused": (judge(Stage.CONNECT, Fault(FaultKind.REFUSED), PEER).outcome, Cause.NO_ANSWER, False),
    "lost": (judge(Stage.DOT, Fault(FaultKind.LOST), PEER).outcome, Cause.NO_ANSWER, False),
    "handshake": (judge(Stage.TLS, Fault(FaultKind.TLS), PEER).outcome, Cause.NO_ANSWER, False),
    "garbage": (judge(Stage.MAIL, Reply(354, ("x",)), PEER).outcome, Cause.PROTOCOL_ERROR, False),
    "loop": (ours(status.ROUTING_LOOP, "", Stage.EHLO, PEER, Scope.DESTINATION).outcome, Cause.PROTOCOL_ERROR, False),
    "size": (our_outcome(status.MESSAGE_TOO_BIG, "", "LOCAL"), Cause.MESSAGE_TOO_BIG, False),
    "our_fault": (our_outcome(status.ATTEMPT_BROKE_OFF, "", "LOCAL"), Cause.LOCAL, False),
    "operators_table": (Outcome(F, "5.1.1", text="User unknown", command="LOCAL"), Cause.LOCAL, False),
    "target_down": (Outcome(D, "4.4.1", text="x", command="TARGET"), Cause.SYSTEM_BUSY, False),
    "target_refuses": (Outcome(F, "5.6.0", text="x", command="TARGET"), Cause.POLICY, False),
    "target_full": (Outcome(F, "5.3.4", text="x", command="TARGET"), Cause.MESSAGE_TOO_BIG, False),
    "host_dead": (our_outcome(status.HOST_DEAD, "", "LOCAL"), Cause.NO_ANSWER, False),
    "paced": (our_outcome(status.HOST_PACED, "", "PACED"), Cause.RATE_LIMIT, False),
    "suppressed": (Outcome(F, "5.7.1", text="x", command="SUPPRESSION"), Cause.SUPPRESSED, False),
    "private_address": (our_outcome(status.NEXT_HOP_REFUSED, "", "LOCAL"), Cause.LOCAL, False),
}


@pytest.mark.parametrize("key", OURS)
def test_outcome_without_a_reply(key):
    """DNS can prove an address bad; a fault, and a rule of our own, never."""
    outcome, cause, bad = OURS[key]
    is_permanent = outcome.result is F and bounce_type(outcome) == ("Permanent", "General")
    assert (cause, bad) == (cause_of(outcome), is_permanent)


def test_delivery_has_no_cause():
    """Nothing to explain."""
    outcome = Outcome(Result.DELIVERED, "2.0.0", 250, "ok", "DOT")
    assert (cause_of(outcome), record_fields(outcome)) == (None, {})


def test_held_back_by_ourselves():
    """No free connection, or our own pace: SES calls it SendingDeferral."""
    assert delay_type(our_outcome(status.SYSTEM_BUSY, "", "LOCAL")) == "SendingDeferral"
    assert delay_type(our_outcome(status.RATE_LIMITED, "", "LOCAL")) == "SendingDeferral"
    assert delay_type(our_outcome(status.HOST_PACED, "", "PACED")) == "SendingDeferral"
    assert delay_type(our_outcome(status.ATTEMPT_BROKE_OFF, "", "LOCAL")) == "InternalFailure"


def test_expired_is_never_permanent():
    """Who was put off for five days was not refused for good; why, the last reply still says."""
    full = Outcome(F, "5.4.7", 452, "4.2.2 <a@b> x", "EXPIRED", "mx.test")
    unknown = Outcome(F, "5.4.7", 450, "4.1.1 <a@b>: Recipient address rejected: User unknown", "EXPIRED", "mx.test")
    silent = Outcome(F, "5.4.7", 0, "Connection refused", "EXPIRED")
    assert bounce_type(full) == ("Transient", "MailboxFull")
    assert bounce_type(unknown) == ("Transient", "General")
    assert (cause_of(silent), bounce_type(silent)) == (Cause.NO_ANSWER, ("Transient", "General"))


def test_record_says_what_the_outcome_implies():
    """The event log's fields, for a failure and for two deferrals."""
    full = judged("DOT", "552 5.2.2 over quota")
    assert record_fields(full) == {
        "cause": "mailbox_full",
        "bounce_type": "Transient",
        "bounce_subtype": "MailboxFull",
    }
    grey = judged("RCPT", "450 4.7.1 Greylisted, try again in 5 minutes")
    assert record_fields(grey) == {"cause": "greylisting", "delay_type": "General", "asked_wait_s": 300}
    listed = judged("RCPT", "450 4.7.1 blocked using zen.spamhaus.org")
    assert record_fields(listed) == {
        "cause": "block_list",
        "delay_type": "IPFailure",
        "block_list": "zen.spamhaus.org",
    }


def test_tls_demanded_over_tls_is_refused_for_good():
    """Only in clear it is our own TLS that failed."""
    wire = "530 5.7.0 Must issue a STARTTLS command first"
    assert judged("MAIL", wire).result is D
    assert judged("MAIL", wire, Peer("mx.test", "192.0.2.1", "TLSv1.3")).result is F


BLOCKED = {c for c in Cause if NAMES[c].bounce != ("Permanent", "General")}


def test_only_mailbox_and_domain_are_permanent():
    """The names that put an address on a suppression list."""
    assert (
        {Cause.MAILBOX_UNKNOWN, Cause.MAILBOX_DISABLED, Cause.DOMAIN_UNKNOWN}
        == set(Cause) - BLOCKED
        == set(NAMES) - BLOCKED
    )


@given(st.integers(400, 599), st.text(max_size=300), st.sampled_from(["", "5.1.1", "4.2.2", "5.7.1", "4.9.9"]))
def test_any_reply_has_a_name(code, text, enhanced):
    """Whatever a host says, in bounded time."""
    outcome = judge(Stage.RCPT, Reply(code, (text,), enhanced if enhanced[:1] == str(code)[0] else ""), PEER).outcome
    assert cause_of(outcome) in NAMES
    assert delay_type(outcome)
    assert len(bounce_type(outcome)) == 2
    record_fields(outcome)


def test_long_hostile_text_is_read_in_no_time():
    """Expressions are bounded: no text of a reply's length makes them crawl."""
    for piece in ("message ", "mailbox is ", "listed ", "too many ", "in 1", "rate quota ", "a." * 3, "client "):
        known_replies.cause_of_text("5.1.1", piece * (1000 // len(piece)))
        known_replies.list_named(piece * (1000 // len(piece)))
