"""domain/dsn.py and domain/dsn_text.py: reports that programs parse and people understand."""

from __future__ import annotations

import email
import email.policy
import html
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain import dsn_text, status
from paravion.domain.dsn import build_dsn, language_of
from paravion.domain.envelope import Recipient
from paravion.domain.headers import format_date
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import EVENTS, NoticeKind, RecipientState
from paravion.domain.report_words import LANGUAGES, words_of
from paravion.domain.verdict import our_outcome
from tests.unit.golden.reports import (
    BOB,
    BODY,
    DAY,
    FULL,
    GREYLISTED,
    HEADER,
    NO_ANSWER,
    NO_USER,
    QUEUED_AT,
    REPORTS,
    TAKEN,
    given_up,
    report,
)

ONE = REPORTS["failed_one"]


def parsed(subject, policy=email.policy.default):
    """Parse a report as its recipient's program would."""
    header, body = build_dsn(subject)
    return email.message_from_bytes(header + b"\r\n" + body, policy=policy)


def blocks(message):
    """Give the delivery-status part: per-message fields, then a block for each recipient."""
    return message.get_payload(1).get_payload()


def told(subject):
    """Give the text for people."""
    return dsn_text.plain(dsn_text.explain(subject)[1])


def words(subject):
    """Give the text for people, unwrapped: runs of white space are one space."""
    return " ".join(told(subject).split())


def with_outcome(outcome, *, kind=NoticeKind.FAILED, recipient=BOB, **more):
    """Give a report about one recipient."""
    return report(kind, (recipient, outcome), now=QUEUED_AT + 5, recipients=1, **more)


@pytest.mark.parametrize("name", REPORTS)
def test_report_has_three_parts(name):
    """RFC 6522 3: multipart/report of text, message/delivery-status and the original."""
    message = parsed(REPORTS[name])
    whole = REPORTS[name].original_body is not None and not REPORTS[name].is_redacted
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    found = [part.get_content_type() for part in message.iter_parts()]
    assert found[0] == "multipart/alternative"
    assert found[1] in {"message/delivery-status", "message/global-delivery-status"}
    assert found[2] in (
        {"message/rfc822", "message/global"} if whole else {"text/rfc822-headers", "message/global-headers"}
    )
    assert [part.get_content_type() for part in message.get_payload(0).iter_parts()] == ["text/plain", "text/html"]
    assert [defect for part in message.walk() for defect in part.defects] == []


@pytest.mark.parametrize("name", REPORTS)
def test_header_says_that_a_program_wrote_it(name):
    """RFC 3834 5: Auto-Submitted; and RFC 5322 3.6: From, Date, Message-ID, and what it is about."""
    message = parsed(REPORTS[name])
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mail.paravion.example>"
    assert message["To"] == REPORTS[name].to
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == f"<{'b' * 26}@mail.paravion.example>"
    cause = None if name == "lost" else "<20261122085958.4711@sender.example>"
    assert message["In-Reply-To"] == message["References"] == cause
    assert message["Precedence"] is None
    assert ONE.from_ == "MAILER-DAEMON@mail.paravion.example"


@pytest.mark.parametrize(
    ("kind", "outcome", "action", "status"),
    [
        pytest.param(NoticeKind.FAILED, NO_USER, "failed", "5.1.1", id="failed"),
        pytest.param(NoticeKind.FAILED, replace(NO_USER, status="4.1.1"), "failed", "5.1.1", id="failed-4"),
        pytest.param(NoticeKind.EXPIRED, replace(NO_ANSWER, command="EXPIRED"), "failed", "5.4.1", id="expired"),
        pytest.param(NoticeKind.DELAYED, GREYLISTED, "delayed", "4.7.1", id="delayed"),
        pytest.param(NoticeKind.RELAYED, TAKEN, "relayed", "2.0.0", id="relayed"),
        pytest.param(NoticeKind.FAILED, replace(NO_USER, status="5.1"), "failed", "5.0.0", id="no-status"),
        pytest.param(NoticeKind.DELAYED, TAKEN, "delayed", "4.0.0", id="delivered-meanwhile"),
        pytest.param(NoticeKind.DELAYED, NO_USER, "delayed", "4.0.0", id="failed-meanwhile"),
    ],
)
def test_class_of_status_follows_from_the_action(kind, outcome, action, status):
    """RFC 3463 2: class 5 for failed and expired, 4 for delayed, 2 for relayed, whatever the reply's class was."""
    block = blocks(parsed(with_outcome(outcome, kind=kind)))[1]
    assert (action, status) == (block["Action"], block["Status"])


def test_delay_that_ended_meanwhile_is_not_explained():
    """A delayed notice whose recipient got its mail since quotes no reply: it would contradict the report."""
    subject = with_outcome(TAKEN, kind=NoticeKind.DELAYED)
    block = blocks(parsed(subject))[1]
    assert block["Diagnostic-Code"] is block["Remote-MTA"] is None
    assert "queued as" not in words(subject)
    assert "When we last tried" not in words(subject)


def test_message_fields():
    """RFC 3464 2.2: envelope id decoded from xtext, reporting MTA, arrival date."""
    expected = [
        ("Original-Envelope-Id", "QQ314159+x"),
        ("Reporting-MTA", "dns; mail.paravion.example"),
        ("Arrival-Date", "Sun, 22 Nov 2026 09:00:00 +0000"),
    ]
    assert expected == blocks(parsed(ONE))[0].items()


def test_recipient_fields_of_a_delay():
    """RFC 3464 2.3: all fields, in its order, with Will-Retry-Until (2.3.9)."""
    expected = [
        ("Original-Recipient", "rfc822; bob@example.org"),
        ("Final-Recipient", "rfc822; bob@example.org"),
        ("Action", "delayed"),
        ("Status", "4.7.1"),
        ("Remote-MTA", "dns; mx1.example.org"),
        ("Diagnostic-Code", "smtp; 451 4.7.1 Greylisted, please come back in 5 minutes"),
        ("Last-Attempt-Date", "Sun, 22 Nov 2026 12:59:58 +0000"),
        ("Will-Retry-Until", "Fri, 27 Nov 2026 09:00:00 +0000"),
    ]
    assert expected == blocks(parsed(REPORTS["delayed"]))[1].items()


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(replace(NO_USER, text="gone"), "smtp; 550 5.1.1 gone", id="reply"),
        pytest.param(replace(NO_USER, text="5.1.1 gone"), "smtp; 550 5.1.1 gone", id="status-not-twice"),
        pytest.param(replace(NO_USER, text=""), "smtp; 550 5.1.1", id="empty"),
        pytest.param(replace(NO_USER, code=452, text="full"), "smtp; 452 full", id="status-of-another-class"),
        pytest.param(replace(NO_USER, code=0, text="no host"), "x-paravion; no host", id="no-reply"),
        pytest.param(replace(NO_USER, code=0, text=""), None, id="nothing-known"),
        pytest.param(
            replace(NO_USER, text="a\nFinal-Recipient: rfc822; x@y\r\n\r\nb"),
            "smtp; 550 5.1.1 a Final-Recipient: rfc822; x@y b",
            id="injection",
        ),
        pytest.param(replace(NO_USER, text="\x1b[31m\0é"), r"smtp; 550 5.1.1 \x{1B}[31m\x{0}\x{E9}", id="escaped"),
        pytest.param(replace(NO_USER, text="x" * 1000), f"smtp; 550 5.1.1 {'x' * 490} [...]", id="cut"),
    ],
)
def test_diagnostic_code(outcome, expected):
    """RFC 3464 2.3.6: type smtp only for a real reply; printable ASCII, one field, cut after 500."""
    message = parsed(with_outcome(outcome), email.policy.compat32)
    value = blocks(message)[1]["Diagnostic-Code"]
    assert expected == (value and re.sub(r"\r\n[ \t]", " ", value).removeprefix(" "))


@pytest.mark.parametrize(
    ("recipient", "original", "final"),
    [
        pytest.param(Recipient("a@b.example"), None, "rfc822; a@b.example", id="no-orcpt"),
        pytest.param(
            Recipient("a@b.example", orcpt="rfc822;x+2By+3D@c.example"),
            "rfc822; x+y=@c.example",
            "rfc822; a@b.example",
            id="xtext",
        ),
        pytest.param(
            Recipient("jörg@b.example", orcpt=r"utf-8;j\x{F6}rg@b.example"),
            r"utf-8; j\x{F6}rg@b.example",
            r"utf-8; j\x{F6}rg@b.example",
            id="international",
        ),
        pytest.param(
            Recipient("a@b.example", orcpt="rfc822;bad+0D+0Axtext"),
            "rfc822; bad+0D+0Axtext",
            "rfc822; a@b.example",
            id="hidden-crlf",
        ),
        pytest.param(Recipient("a@b.example", orcpt="x y;z"), None, "rfc822; a@b.example", id="bad-type"),
    ],
)
def test_original_and_final_recipient(recipient, original, final):
    """RFC 3461 6.3 (c): ORCPT comes back decoded; RFC 6533 3: addresses beyond ASCII have type utf-8."""
    block = blocks(parsed(with_outcome(NO_USER, recipient=recipient)))[1]
    assert (original, final) == (block["Original-Recipient"], block["Final-Recipient"])


def test_mail_without_envelope_id():
    """RFC 3464 2.2.1: no Original-Envelope-Id where no ENVID was given."""
    assert "Original-Envelope-Id" not in blocks(parsed(replace(ONE, envelope=replace(ONE.envelope, envid=""))))[0]


def test_envelope_id_that_is_no_xtext_is_shown_as_it_came():
    """A broken ENVID must not keep a report from its sender."""
    subject = replace(ONE, envelope=replace(ONE.envelope, envid="a+GG"))
    assert blocks(parsed(subject))[0]["Original-Envelope-Id"] == "a+GG"


def test_whole_original_comes_back_octet_for_octet():
    """RFC 6522 3: message/rfc822, 8bit when it is; the report then needs 8BITMIME."""
    message = parsed(ONE, email.policy.compat32)
    header, body = build_dsn(ONE)
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + HEADER + b"\r\n" + BODY in body
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert not body.isascii()
    assert header.isascii()


def test_whole_original_in_ascii_needs_no_8bitmime():
    """RFC 6152: body type 8BITMIME only where octets above 127 are."""
    _, body = build_dsn(replace(ONE, original_body=b"plain\r\n"))
    assert body.isascii()
    assert parsed(replace(ONE, original_body=b"plain\r\n"))["Content-Transfer-Encoding"] is None


def test_empty_original_body_is_still_the_whole_message():
    """None returns headers; an empty body returns a message."""
    assert parsed(replace(ONE, original_body=b"")).get_payload(2).get_content_type() == "message/rfc822"


@pytest.mark.parametrize(
    ("smtputf8", "body", "content_type", "encoding"),
    [
        (False, None, "text/rfc822-headers", "quoted-printable"),
        (True, None, "message/global-headers", "quoted-printable"),
        (False, b"x", "message/rfc822", "8bit"),
        (True, b"x", "message/global", "8bit"),
    ],
    ids=["stray-headers", "international-headers", "stray-whole", "international-whole"],
)
def test_original_header_beyond_ascii(smtputf8, body, content_type, encoding):
    """RFC 6533 5: message/global for internationalised mail; RFC 6522 3: stray octets are encoded."""
    header = HEADER + "X-Name: Jörg\r\n".encode()
    subject = replace(
        ONE, original_header=header, original_body=body, envelope=replace(ONE.envelope, smtputf8=smtputf8)
    )
    part = parsed(subject, email.policy.compat32).get_payload(2)
    assert (content_type, encoding) == (part.get_content_type(), part["Content-Transfer-Encoding"])
    if encoding == "quoted-printable":
        # The parser reads message/global-headers as a message; what matters is that all is ASCII.
        assert build_dsn(subject)[1].isascii()


def test_international_sender_is_named_in_utf8():
    """RFC 6532: the report to a UTF-8 address needs SMTPUTF8 itself, and its header shows it."""
    header, _ = build_dsn(replace(ONE, to="jörg@sender.example"))
    assert "To: jörg@sender.example\r\n".encode() in header


@pytest.mark.parametrize("change", [{"to": ""}, {"members": ()}], ids=["nobody-to-tell", "nothing-to-tell"])
def test_report_without_addressee_or_members_is_a_bug(change):
    """A null reverse-path is never told (RFC 5321 4.5.5); the caller sees to that."""
    with pytest.raises(ValueError, match="addressee"):
        build_dsn(replace(ONE, **change))


@pytest.mark.parametrize("name", ["expired", "returned"])
def test_expiry_names_its_last_attempt(name):
    """RFC 3464 2.3.7: the ledger's instant of an expiry is not that of an attempt; the text says what it is."""
    report = REPORTS[name]
    dates = [block["Last-Attempt-Date"] for block in blocks(parsed(report))[1:]]
    assert dates == [format_date(state.tried_at or state.at) for _, state in report.members]
    untried = replace(report, members=tuple((r, replace(s, tried_at=0.0, attempt=0)) for r, s in report.members))
    assert all("Last-Attempt-Date" not in block for block in blocks(parsed(untried))[1:])
    assert "given up on Fri, 27 Nov 2026 09:00:58 +0000" in words(REPORTS["expired"])


def test_original_without_message_id():
    """Without the original's Message-ID there is nothing to refer to."""
    message = parsed(replace(ONE, original_header=b"Subject: x\r\n"))
    assert message["In-Reply-To"] is message["References"] is None


def test_original_header_that_can_not_be_read_hinders_nothing():
    """The sender hears of the failure even when the header is garbage (Postfix: best notification effort)."""
    message = parsed(replace(ONE, original_header=b"no header at all\r\n", original_body=None))
    assert blocks(message)[1]["Action"] == "failed"
    assert message["In-Reply-To"] is None


def test_same_report_gives_the_same_octets():
    """A repeated report is one message."""
    assert build_dsn(ONE) == build_dsn(replace(ONE))


def test_boundary_that_occurs_in_the_original_is_passed_over():
    """RFC 2046 5.1.1: the boundary delimiter must not appear in a part; the original may be a report of ours."""
    _, body = build_dsn(ONE)
    assert [len(parsed(replace(ONE, original_body=body)).get_payload())] == [3]


VAGUE = replace(NO_USER, text="That is all that we say")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        pytest.param(VAGUE, "this address does not exist", id="5.1.1"),
        pytest.param(replace(VAGUE, code=0, command="SUPPRESSION"), "our own mail system did not try", id="listed"),
        pytest.param(replace(VAGUE, status="5.1.2", code=0), "there is no mail system", id="5.1.2"),
        pytest.param(replace(VAGUE, status="5.1.9"), "something wrong with this address", id="5.1.other"),
        pytest.param(replace(VAGUE, status="5.1.10"), "takes no mail at all", id="5.1.10"),
        pytest.param(replace(VAGUE, status="5.2.2"), "mailbox is full", id="5.2.2"),
        pytest.param(replace(VAGUE, status="5.3.4"), "larger than the recipient's mail system", id="5.3.4"),
        pytest.param(replace(VAGUE, status="5.3.4", code=0), "your mail is too large", id="5.3.4-ours"),
        pytest.param(replace(VAGUE, status="5.4.6"), "in circles", id="5.4.6"),
        pytest.param(replace(VAGUE, status="5.6.7"), "letters", id="5.6.7"),
        pytest.param(replace(VAGUE, status="5.7.1"), "by a rule of its own", id="5.7.1"),
        pytest.param(replace(VAGUE, status="5.7.1", code=0), "a rule of our own", id="5.7.1-ours"),
        pytest.param(replace(VAGUE, status="5.7.26"), "really comes from your address", id="5.7.26"),
        pytest.param(replace(VAGUE, status="5.0.0"), "refused your mail; what it said stands below", id="5.0.0"),
        pytest.param(replace(VAGUE, status="5.0.0", code=0), "our mail system could not send it", id="5.0.0-ours"),
    ],
)
def test_reason_is_told_in_plain_words(outcome, said):
    """The sender learns why and what to do, by the status, and reads the host's own words below."""
    text = words(with_outcome(outcome))
    assert f"Why: {said}" in text or said in text.partition("Why:")[2]
    assert "What you can do:" in text
    assert text.index("That is all that we say") > text.index("Technical details")


LYING = {
    "5.4.1 Recipient address rejected: Access denied. [x.prod.protection.outlook.com]": "this address does not exist",
    "5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup": "this address does not exist",
    "5.7.1 <bob@example.org>: user unknown": "this address does not exist",
    "5.1.1 Client host [192.0.2.1] blocked using zen.spamhaus.org": "a rule of its own",
    "5.1.1 <bob@example.org>: Recipient address rejected: Access denied": "a rule of its own",
    "5.1.1 Your message was rejected as UCE": "a rule of its own",
    "5.1.1 Boite du destinataire pleine. Recipient overquota": "mailbox is full",
    "5.7.1 Email rejected per DMARC policy for example.org": "really comes from your address",
    "5.0.0 message size exceeds the limit": "larger than the recipient's mail system",
    "5.1.8 <me@example.org>: Sender address rejected: Domain not found": "your own address as the sender",
    "5.7.23 The message was rejected because of SPF": "really comes from your address",
}


@pytest.mark.parametrize(("reply", "said"), LYING.items())
def test_words_outweigh_a_status_that_says_something_else(reply, said):
    """Statuses are often a host's default, and the sender would look for the mistake in the wrong place."""
    status, _, text = reply.partition(" ")
    assert said in words(with_outcome(replace(NO_USER, status=status, text=text))).partition("Technical details")[0]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        pytest.param(NO_ANSWER, "could not be reached", id="4.4.1"),
        pytest.param(GREYLISTED, "wanted us to wait", id="4.7.1"),
        pytest.param(replace(GREYLISTED, status="4.2.2"), "mailbox was full", id="4.2.2"),
        pytest.param(replace(GREYLISTED, status="4.3.2"), "was taking no mail", id="4.3.2"),
        pytest.param(replace(NO_ANSWER, status="4.3.0"), "fault of our own", id="4.3.0-ours"),
        pytest.param(replace(NO_ANSWER, status="4.7.0"), "no secure connection", id="4.7.0-ours"),
        pytest.param(replace(GREYLISTED, status="4.0.0"), "asked us to try again later", id="4.0.0"),
    ],
)
@pytest.mark.parametrize("kind", [NoticeKind.DELAYED, NoticeKind.EXPIRED])
def test_what_stood_in_the_way_is_told(kind, outcome, said):
    """A delay and an expiry tell the last attempt's trouble."""
    reason = words(with_outcome(outcome, kind=kind)).partition("When we last tried, ")[2].partition(".")[0]
    assert said in reason


def test_delay_asks_nothing_of_the_sender():
    """RFC 3464 2.3.3: delayed is a warning; the text says so, until when, and not to send it again."""
    text = words(REPORTS["delayed"])
    assert "You need do nothing." in text
    assert "for 4 hours" in text
    assert "until Friday 27 November 2026, 09:00 UTC" in text
    assert "Please do not send it again" in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 second"),
        (90, "90 seconds"),
        (120, "2 minutes"),
        (7_199, "120 minutes"),
        (7_200, "2 hours"),
        (1.5 * DAY, "36 hours"),
        (5 * DAY, "5 days"),
    ],
)
def test_expiry_says_how_long_we_tried(seconds, said):
    """The sender reads for how long, in the largest unit of which there are two."""
    state = RecipientState(BOB.forward_path, replace(NO_ANSWER, result=Result.FAILED), QUEUED_AT + seconds, 9)
    subject = replace(REPORTS["expired"], members=((BOB, state),))
    assert f"We kept trying for {said} and have now given up" in words(subject)


@pytest.mark.parametrize(
    ("recipient", "listed"),
    [
        (Recipient("a@b.example"), "a@b.example"),
        (Recipient("a@b.example", orcpt="rfc822;A@B.example"), "A@B.example"),
        (Recipient("a@b.example", orcpt="rfc822;c@d.example"), "c@d.example (forwarded to a@b.example)"),
        (Recipient("a@b.example", origin="staff@d.example"), "staff@d.example (forwarded to a@b.example)"),
        (Recipient("a@b.example", orcpt="x400;c=de", origin=""), "a@b.example"),
        (Recipient("a@b.example", orcpt="rfc822;bad+GG", origin=""), "a@b.example"),
    ],
    ids=["plain", "other-case", "orcpt", "alias", "other-type", "broken-orcpt"],
)
def test_recipient_is_called_what_the_sender_called_it(recipient, listed):
    """RFC 3461 6.3: a sender knows the address that he wrote, not the one behind an alias."""
    assert f"\n    {listed}\n" in told(with_outcome(NO_USER, recipient=recipient))


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= to all", "Grüße to all"),
        (b"=?utf-8?b?R3LDvMOf?=\r\n =?utf-8?q?e_!?=", "Grüße !"),
        (b"=?iso-8859-1*de?Q?Gr=FC=DFe?=", "Grüße"),
        (b"=?klingon?q?abc?=", "=?klingon?q?abc?="),
        (b"=?utf-8?q?=1B=5B31m?=", r"\x{1B}[31m"),
        ("Grüße".encode(), "Grüße"),
        (b"x" * 300, "x" * 200 + " [...]"),
    ],
    ids=["q", "b-then-q", "latin-1-with-language", "unknown-charset", "controls", "utf-8", "long"],
)
def test_subject_of_the_original_is_readable(field, shown):
    """RFC 2047 6: encoded words are decoded for the reader, white space between two is dropped."""
    subject = replace(ONE, original_header=b"Subject: " + field + b"\r\n")
    assert f"    Subject: {shown}\n" in told(subject)


@pytest.mark.parametrize(
    ("change", "intro"),
    [
        ({}, "mx1.example.org [198.51.100.25] answered RCPT:"),
        ({"command": "DOT"}, "mx1.example.org [198.51.100.25] answered the end of the mail:"),
        ({"command": "EXPIRED"}, "mx1.example.org [198.51.100.25] answered:"),
        ({"mx_host": "", "address": ""}, "The mail system answered RCPT:"),
        ({"code": 0}, "tried mx1.example.org [198.51.100.25]:"),
        ({"code": 0, "mx_host": "", "address": ""}, "what happened:"),
    ],
    ids=["reply", "dot", "expired", "no-host", "fault-at-host", "fault"],
)
def test_technical_details_name_host_and_command(change, intro):
    """The people who look after mail find who said what to which command."""
    assert f"    {intro}\n" in told(with_outcome(replace(NO_USER, **change)))


def test_details_without_any_text():
    """An outcome without words says so."""
    assert "        no further details\n" in told(with_outcome(replace(NO_USER, code=0, text="")))


def test_long_reply_is_cut_in_the_details():
    """A reply of 1,000 characters is cut, and shows it."""
    assert "x [...]" in words(with_outcome(replace(NO_USER, text="x y " * 300)))


def test_report_about_a_report_is_written_for_the_postmaster():
    """A double bounce does not tell the postmaster that mail of his has failed, nor what a sender could do."""
    subject = replace(ONE, envelope=replace(ONE.envelope, kind="dsn"))
    title, text = dsn_text.explain(subject)[0], told(subject)
    assert title == "Not delivered: a report to bob@example.org"
    assert text.startswith("To the postmaster:")
    assert "Your mail" not in text
    assert "What you can do" not in text


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (replace(FULL, result=Result.DEFERRED, status="4.2.2", code=452), "the recipient's mailbox was full"),
        (GREYLISTED, "the recipient's mail system wanted us to wait before it takes mail from you"),
        (NO_ANSWER, "the recipient's mail system could not be reached"),
        (our_outcome(status.TLS_FAILED, "", "STARTTLS"), "no secure connection to the recipient's mail system could"),
        (our_outcome(status.ATTEMPT_BROKE_OFF, "", "LOCAL"), "a fault of our own stood in the way"),
        (our_outcome(status.DNS_TEMPFAIL, "", "DNS"), "we could not find out which mail system serves the part"),
    ],
    ids=lambda value: value.status if isinstance(value, Outcome) else "",
)
def test_expiry_tells_what_stood_in_the_way_at_last(last, reason):
    """Its own status says that it expired (5.4.7); the reason is the last attempt's, as in the warning before."""
    expired = with_outcome(given_up(last), kind=NoticeKind.EXPIRED)
    assert f"When we last tried, {reason}" in words(expired)
    assert b"\r\nStatus: 5.4.7\r\n" in build_dsn(expired)[1]
    assert f"When we last tried, {reason}" in words(with_outcome(last, kind=NoticeKind.DELAYED))


def test_expiry_of_what_nobody_tried_tells_of_no_attempt():
    """Its deadline was over before a host was asked."""
    expired = with_outcome(Outcome(Result.FAILED, "5.4.7", text=status.EXPIRED.text, command="EXPIRED"),
                           kind=NoticeKind.EXPIRED)  # fmt: skip
    assert "When we last tried" not in words(expired)
    assert "Send your mail again later" in words(expired)


def test_lines_of_the_text_are_short():
    """RFC 5322 2.1.1: lines of at most 78 characters, where words permit."""
    assert [line for name in REPORTS for line in told(REPORTS[name]).split("\n") if len(line) > 78] == []


HOSTILE = st.one_of(
    st.binary(max_size=1000).map(lambda octets: octets.decode("latin-1")),
    st.text(max_size=300),
    st.text(alphabet=st.sampled_from("\r\n\t\0 -=_:;<>().ab\x85\u2028\ud800\u202e"), max_size=300),
)


REPORTED = [kind for kind in NoticeKind if kind not in {NoticeKind.SUPPRESS, NoticeKind.REPLY, *EVENTS}]


@settings(max_examples=150, deadline=None)
@given(text=HOSTILE, host=HOSTILE, code=st.sampled_from([0, 421, 550]), kind=st.sampled_from(REPORTED))
def test_foreign_text_never_breaks_the_structure(text, host, code, kind):
    """Whatever a remote host says, the report keeps its three parts and its fields."""
    outcome = replace(NO_USER, text=text, mx_host=host[:250], code=code, command=host[:10])
    subject = with_outcome(outcome, kind=kind, original_body=None)
    header, body = build_dsn(subject)
    message = parsed(subject, email.policy.compat32)
    assert (header + body).isascii()
    assert body.count(b"\n") == body.count(b"\r\n") == body.count(b"\r")
    assert max(map(len, body.split(b"\r\n"))) <= 998
    assert [defect for part in message.walk() for defect in part.defects] == []
    assert [len(message.get_payload()), len(blocks(message))] == [3, 2]
    allowed = {"Final-Recipient", "Action", "Status", "Last-Attempt-Date", "Original-Recipient", "Will-Retry-Until"}
    assert set(blocks(message)[1].keys()) <= allowed | {"Remote-MTA", "Diagnostic-Code"}
    assert HEADER.decode().replace("\r\n", "\n") == message.get_payload(2).get_payload().replace("\r\n", "\n")


@settings(max_examples=100, deadline=None)
@given(octets=st.binary(max_size=500))
def test_foreign_header_never_breaks_the_structure(octets):
    """An original with any header that could be stored comes back in the third part."""
    header = b"X: " + re.sub(rb"[\r\n]+", b"\r\n ", octets) + b"\r\n"
    message = parsed(replace(ONE, original_header=header, original_body=None), email.policy.compat32)
    assert len(message.get_payload()) == 3


def test_html_says_what_the_text_says():
    """RFC 2046 5.1.4: alternatives have the same content; nothing in it is fetched, run or left unescaped."""
    outcome = replace(NO_USER, text="<script src=https://x.example>&\n<img src=x>")
    subject = with_outcome(outcome)
    shown = parsed(subject).get_payload(0).get_payload(1).get_content()
    assert "<script" not in shown
    assert "<img" not in shown
    assert not re.search(
        r"(?i)(?:src|href|url\(|@import|\son[a-z]+)\s*=", re.sub(r"<pre>.*?</pre>", "", shown, flags=re.DOTALL)
    )
    plain = html.unescape(re.sub(r"<[^>]+>", " ", shown.partition("</head>")[2]))
    assert " ".join(plain.split()).endswith(words(subject))


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_complete(language):
    """Every language has the same texts with the same placeholders; none is left in English."""
    own, english = words_of(language), words_of("en")
    for name in ("PHRASES", "FAILED", "FAILED_HERE", "LATER", "LATER_HERE"):
        texts, pattern = getattr(own, name), getattr(english, name)
        assert set(texts) == set(pattern)
        for key in pattern:
            pairs = (
                zip(texts[key], pattern[key], strict=True)
                if isinstance(pattern[key], tuple)
                else [(texts[key], pattern[key])]
            )
            for text, model in pairs:
                assert sorted(re.findall(r"\{[^}]*\}", text)) == sorted(re.findall(r"\{[^}]*\}", model)), key
                assert language == "en" or text != model or key in SAME, key
                assert text == text.strip()
    for name in ("FAILED_SUPPRESSED", "FAILED_UNSUBSCRIBED", "FAILED_HELD"):
        assert len(getattr(own, name)) == 2
        assert language == "en" or getattr(own, name)[0] != getattr(english, name)[0]
    assert [len(own.PHRASES[key].split()) for key in ("weekdays", "months")] == [7, 12]


SAME = {"minutes", "day"}
"""Keys whose text may be the English one's."""


def test_unknown_language_is_a_bug():
    """Only what is shipped is loaded."""
    with pytest.raises(ValueError, match="no words"):
        words_of("../en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["failed_many", "expired", "delayed", "relayed", "listed", "expanded", "delivered"])
def test_every_report_in_every_language(language, name):
    """The parts for people change, those for programs do not; RFC 3282: the part says its language."""
    message = parsed(replace(REPORTS[name], language=language))
    assert [part["Content-Language"] for part in message.get_payload(0).iter_parts()] == [language, language]
    assert f'<html lang="{language}">' in message.get_payload(0).get_payload(1).get_content()
    assert message.get_payload(1).as_bytes() == parsed(REPORTS[name]).get_payload(1).as_bytes()
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mail.paravion.example>"
    lines = told(replace(REPORTS[name], language=language)).split("\n")
    assert [line for line in lines if len(line) > 78] == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Accept-Language: de\r\n", "de"),
        (b"Accept-Language: pt, fr;q=0.5, es;q=0.8\r\n", "es"),
        (b"Accept-Language: de-CH, en\r\nContent-Language: fr\r\n", "de"),
        (b"Content-Language: fr-CA\r\n", "fr"),
        (b"Accept-Language: de;q=0\r\n", "en"),
        (b"Accept-Language: xx;q=z, \xff\r\nContent-Language: ja\r\n", "en"),
        (b"Subject: x\r\n", "en"),
        (b"no header", "en"),
    ],
)
def test_language_follows_the_original(header, expected):
    """RFC 3282: what the sender reads, else what he writes, else the setting."""
    assert language_of(header, "en") == expected


def test_mail_sent_later_says_so():
    """RFC 4865: Future-Release-Request; the sender reads when it was to be sent."""
    assert blocks(parsed(REPORTS["released"]))[0]["Future-Release-Request"] == "until;2026-11-23T09:00:00Z"
    assert "To be sent at: Mon, 23 Nov 2026 09:00:00 +0000" in words(REPORTS["released"])


def test_mail_with_a_deadline_says_so():
    """RFC 2852: Deliver-By-Date; and what it means that it was passed on."""
    assert blocks(parsed(REPORTS["deadline"]))[0]["Deliver-By-Date"] == "Mon, 23 Nov 2026 09:00:00 +0000"
    assert "To be delivered by: Mon, 23 Nov 2026 09:00:00 +0000" in words(REPORTS["deadline"])
    assert "not yet a word about its delivery" in words(REPORTS["deadline"])


def test_mail_for_secure_connections_alone_is_redacted():
    """RFC 8689 5: neither subject nor content comes back in clear; what names the mail does."""
    header, body = build_dsn(REPORTS["secure_only"])
    assert b"figures" not in header + body
    assert b"Jo" not in body
    original = parsed(REPORTS["secure_only"], email.policy.compat32).get_payload(2).get_payload()
    assert (
        original.replace("\r\n", "\n")
        == "Date: Sun, 22 Nov 2026 09:59:58 +0100\nMessage-ID: <20261122085958.4711@sender.example>\n"
    )


def test_cut_original_is_told():
    """A sender whose mail does not come back whole reads why."""
    assert "too large to be sent back whole" in words(REPORTS["huge"])
    assert "too large" not in words(ONE)


def test_huge_header_is_cut_after_a_whole_field():
    """A report stays small whatever the original's header is."""
    header = HEADER + b"".join(b"X-%d: a\r\n %s\r\n" % (n, b"b" * 900) for n in range(100))
    part = parsed(replace(ONE, original_header=header, original_body=None), email.policy.compat32).get_payload(2)
    kept = part.get_payload().encode()
    assert 40_000 < len(kept) <= 50_000
    assert header.startswith(kept)
    assert header[len(kept) :].startswith(b"X-")


def test_international_report_names_addresses_in_utf8():
    """RFC 6533: message/global-delivery-status with type utf-8, the encoded ORCPT read."""
    part = parsed(REPORTS["smtputf8"]).get_payload(1)
    assert part.get_content_type() == "message/global-delivery-status"
    text = part.as_bytes().decode()
    assert "Original-Recipient: utf-8; jürgen@bücher.example\n" in text.replace("\r\n", "\n")
    assert "Final-Recipient: utf-8; jürgen@bücher.example\n" in text.replace("\r\n", "\n")
    assert r"\x{FC}" not in words(REPORTS["smtputf8"])
