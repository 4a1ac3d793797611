"""domain/suppression.py: who is meant, and which bounce means that an address does not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.outcome import Outcome, Result
from paravion.domain.suppression import (
    Reason,
    Suppressed,
    bounced,
    complained,
    looked_up_as,
    normal_form,
    not_sent,
    read_reasons,
    says_no_such_address,
)

MISSING = Outcome(Result.FAILED, "5.1.1", 550, "No such user here", "RCPT", "mx.example.com")


@given(st.text(alphabet="aZ0-_.+@\u017f\u212a ", min_size=1, max_size=12), st.sampled_from(["@x-1.Com", "@x.1", "@x"]))
@settings(max_examples=200)
def test_plain_address_is_the_same_at_a_glance(local: str, domain: str) -> None:
    """The short way gives what the long one gives."""
    address = local + domain

    def form() -> str | None:
        try:
            return normal_form(address)
        except ValueError:
            return None

    at_a_glance = form()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paravion.domain.suppression._PLAIN_CHARACTERS", -1)
        assert form() == at_a_glance


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Joe@Example.COM", "joe@example.com"),
        ("joe@example.com.", "joe@example.com"),
        ("joe+News@example.com", "joe+news@example.com"),
        ('"joe"@example.com', "joe@example.com"),
        ('"Jo\\e"@example.com', "joe@example.com"),
        ('"joe blow"@example.com', '"joe blow"@example.com'),
        ('"JOE \\"B\\""@example.com', '"joe \\"b\\""@example.com'),
        ("Jörg@bücher.example", "jörg@xn--bcher-kva.example"),
        ("jo\u0308rg@example.com", "jörg@example.com"),
        ("joe@[192.0.2.1]", "joe@[192.0.2.1]"),
    ],
)
def test_normal_form(given: str, expected: str) -> None:
    """Case, IDN, needless quotes and Unicode composition make no other address."""
    assert normal_form(given) == expected
    assert normal_form(expected) == expected


@pytest.mark.parametrize("text", ["", "joe", "joe@", "@example.com", "a b@example.com", "lambda:archive", "x@y\r\n"])
def test_what_is_no_address_has_no_normal_form(text: str) -> None:
    """It is refused where an operator writes it, and can't be listed where a recipient has it."""
    with pytest.raises(ValueError, match=r"."):
        normal_form(text)
    assert looked_up_as(text) == ""


GMAIL = (
    "The email account that you tried to reach does not exist. Please try\ndouble-checking the recipient's email address "
    "for typos or\nunnecessary spaces. For more information, go to\n"
    "https://support.google.com/mail/?p=NoSuchUser a1-spam2rate - gsmtp"
)

UNKNOWN = {
    "postfix": (550, "5.1.1", "<joe@example.com>: Recipient address rejected: User unknown in local recipient table"),
    "postfix relay": (550, "5.1.1", "<joe@example.com>: Recipient address rejected: User unknown in relay recipient table"),
    "sendmail": (550, "5.1.1", "<joe@example.com>... User unknown"),
    "gmail": (550, "5.1.1", GMAIL),
    "exchange": (550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient joe@example.com not found by SMTP address lookup"),
    "exchange, old": (550, "5.1.1", "RESOLVER.ADR.RecipNotFound; not found"),
    "moved": (551, "5.1.6", "User has moved"),
    "status alone": (550, "5.1.1", ""),
    "address of harmless words": (550, "5.1.1", "<blocked.sender@policy.example>: unknown user"),
    "qmail, no status": (550, "5.0.0", "sorry, no mailbox here by that name (#5.1.1 - chkusr)"),
    "exim, no status": (550, "5.0.0", "No such user here"),
    "no status, does not exist": (550, "5.0.0", "user joe doesn't exist"),
    "no status, invalid": (553, "5.0.0", "Invalid Recipient - https://community.example/blocked"),
    "no status, yahoo": (554, "5.0.0", "delivery error: dd This user doesn't have a yahoo.com account (joe@yahoo.com)"),
    "no status, not found": (550, "5.0.0", "Requested action not taken: mailbox not found"),
    "says nothing, but in words": (550, "5.1.0", "Address unknown"),
    "disabled, but said to be gone": (550, "5.1.1", "account is disabled"),
}  # fmt: skip

NOT_UNKNOWN = {
    "blocked": (550, "5.1.1", "User unknown; your host is blocked, see https://bl.example"),
    "block list": (550, "5.1.1", "rejected, listed in a blocklist"),
    "policy": (550, "5.1.1", "recipient rejected by policy"),
    "spam": (554, "5.1.1", "spam detected"),
    "reputation": (550, "5.1.1", "poor reputation of your network"),
    "denied": (550, "5.1.1", "<joe@example.com>: Recipient address rejected: Access denied"),
    "relay denied": (550, "5.7.1", "Relaying denied"),
    "relay denied, no status": (550, "5.0.0", "relay not permitted, unknown user"),
    "relaying, bad status": (550, "5.1.1", "relaying not allowed"),
    "full": (550, "5.1.1", "mailbox full"),
    "quota": (552, "5.2.2", "quota exceeded"),
    "full, no status": (550, "5.0.0", "no such user, or mailbox is full"),
    "disabled": (550, "5.2.1", "The email account that you tried to reach is disabled"),
    "unknown sender": (550, "5.1.1", "sender address does not exist"),
    "unknown sender's domain": (550, "5.1.8", "domain of sender address does not exist"),
    "domain": (550, "5.1.2", "host unknown"),
    "domain, bad status": (550, "5.1.1", "no such domain at this location"),
    "domain, no status": (550, "5.0.0", "account invalid: domain not found"),
    "syntax": (553, "5.1.3", "bad address syntax"),
    "hotmail's two meanings": (550, "5.5.0", "Requested action not taken: mailbox unavailable"),
    "mailbox unavailable": (550, "5.0.0", "Requested action not taken: mailbox unavailable"),
    "directory edge": (550, "5.4.1", "Recipient address rejected: Access denied. AS(201806281)"),
    "null MX": (556, "5.1.10", "this domain accepts no mail"),
    "says nothing": (550, "5.1.0", "Address rejected"),
    "nothing at all": (550, "5.0.0", ""),
    "auth": (530, "5.7.0", "Authentication required"),
    "spf": (550, "5.1.1", "SPF fail"),
    "rate": (550, "5.1.1", "exceeded the rate for unknown users"),
    "policy with status": (550, "5.7.1", "user unknown"),
}  # fmt: skip


def _reply(code: int, status: str, text: str) -> Outcome:
    return replace(MISSING, code=code, status=status, text=text)


@pytest.mark.parametrize("row", UNKNOWN)
def test_unknown_address_is_told(row: str) -> None:
    """A host says that nobody is there."""
    assert says_no_such_address(_reply(*UNKNOWN[row]))


@pytest.mark.parametrize("row", NOT_UNKNOWN)
def test_other_cause_is_never_taken_for_a_bad_address(row: str) -> None:
    """Blocked, policy, full, relaying, the sender, the domain: the address may be a good one."""
    assert not says_no_such_address(_reply(*NOT_UNKNOWN[row]))


@pytest.mark.parametrize(
    "change",
    [
        {"result": Result.DEFERRED, "status": "4.1.1", "code": 450},
        {"result": Result.DELIVERED},
        {"code": 0, "command": "LOCAL"},
        {"code": 0, "command": "DNS", "status": "5.1.10"},
        {"code": 0, "command": "DNS", "status": "5.1.2"},
        {"command": "MAIL"},
        {"command": "DATA"},
        {"command": "DOT"},
        {"command": "GREETING"},
        {"command": "EXPIRED"},
    ],
    ids=str,
)
def test_only_a_final_answer_to_rcpt_speaks_of_the_address(change: dict[str, object]) -> None:
    """Tables, name service, sender, content, host and queue lifetime say nothing of it."""
    assert says_no_such_address(MISSING)
    assert not says_no_such_address(replace(MISSING, **change))  # type: ignore[arg-type]


@given(st.text(max_size=2000), st.sampled_from(["5.1.1", "5.0.0"]))
def test_any_text_is_judged(text: str, status: str) -> None:
    """A host may say anything, and no pattern takes long over it."""
    assert says_no_such_address(replace(MISSING, text=text, status=status)) in {True, False}


def test_hostile_text_is_judged_soon() -> None:
    """No pattern goes back and forth over a long reply."""
    for word in ("user ", "no ", "mailbox no ", "<", "a@", "domain name is "):
        says_no_such_address(replace(MISSING, text=word * 2000, status="5.0.0"))


def test_our_own_outcome_is_no_bounce_of_the_address() -> None:
    """What the list itself says must not renew its entry."""
    entry = Suppressed("joe@example.com", Reason.COMPLAINT, 1_767_323_045.0, "complaint")
    outcome = not_sent(entry)
    assert (outcome.result, outcome.status, outcome.code, outcome.command) == (
        Result.FAILED, "5.1.1", 0, "SUPPRESSION",
    )  # fmt: skip
    assert outcome.text == "Not sent: the address is on the suppression list: COMPLAINT, since 2026-01-02"
    assert not says_no_such_address(outcome)


def test_same_bounce_makes_the_same_entry() -> None:
    """What was said, by whom, of which message; with an expiry if one is set."""
    entry = bounced("Joe@Example.com", MISSING, queue_id="q", at=5.0, expiry_s=60.0)
    assert entry == Suppressed(
        "joe@example.com", Reason.BOUNCE, 5.0, "bounce", "q", "mx.example.com: 550 5.1.1 No such user here", "", 65.0
    )
    assert bounced("joe@example.com", MISSING, queue_id="q", at=5.0, expiry_s=0.0).expires_at == 0.0
    long = bounced(
        "joe@example.com", replace(MISSING, text="x\ny" * 900, mx_host=""), queue_id="q", at=5.0, expiry_s=0.0
    )
    assert len(long.reply) == 500
    assert "\n" not in long.reply


def test_complaint_makes_an_entry() -> None:
    """With its own reason."""
    entry = complained("Joe@Example.com", queue_id="q", at=5.0, expiry_s=60.0)
    assert entry == Suppressed("joe@example.com", Reason.COMPLAINT, 5.0, "complaint", "q", expires_at=65.0)
    assert complained("joe@example.com", queue_id="q", at=5.0, expiry_s=0.0).expires_at == 0.0


def test_entry_is_over_at_its_expiry() -> None:
    """The store removes it some time later."""
    entry = bounced("joe@example.com", MISSING, queue_id="q", at=5.0, expiry_s=60.0)
    assert [entry.is_expired(now) for now in (5.0, 64.9, 65.0)] == [False, False, True]
    assert not replace(entry, expires_at=0.0).is_expired(1e12)


def test_reasons_are_read_once_each() -> None:
    """In one order, and nothing unknown."""
    assert read_reasons(["COMPLAINT", "BOUNCE", "COMPLAINT"]) == (Reason.BOUNCE, Reason.COMPLAINT)
    assert read_reasons([]) == ()
    with pytest.raises(ValueError, match="BOUNCE, COMPLAINT"):
        read_reasons(["bounce"])
