"""domain/suppression.py: who is meant, and which bounce means that an address does not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.classification import bounce_type
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import Reply, ReplyParser
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
from paravion.domain.verdict import Peer, Stage, judge

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


LIES = (
    "550 5.1.1 <u@example.de>: Recipient address rejected: blocked",
    "550 5.7.1 user unknown",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
    "550 5.1.1 Rejected: see https://www.spamhaus.org/query/ip/192.0.2.1",
    "550 5.1.1 see http://www.spamcop.net/bl.shtml?192.0.2.1",
    "550 5.1.1 rejected. Refer to https://check.barracudacentral.org/lookups",
    "550 5.1.1 Host 192.0.2.1 is listed in DNS lists",
    "550 5.1.1 IP 192.0.2.1 in SBL",
    "550 Requested action not taken: mailbox unavailable",
    "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)",
    "550 5.4.1 Recipient address rejected: Access denied. [AM7EUR03FT012.eop-EUR03.prod.protection.outlook.com]",
    "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
    "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
    "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
    "554 delivery error: dd This mailbox is disabled (554.30). - mta4.mail.example",
    "550-5.7.1 [192.0.2.22 12] Our system has detected that this message is likely unsolicited mail.\n550 5.7.1 this message has been blocked.",
    "550 5.1.1 User unknown. Your IP has a poor reputation",
    "550 5.1.1 Mailbox unavailable due to insufficient quota",
    "552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]",
    "550 5.1.1 buz\u00f3n lleno",
    "550 5.1.1 casella piena",
    "550 5.1.1 Postfach voll",
    "550 5.1.1 <k@example.com> - 203.0.113.222 has sent to too many recipients this hour. IB607",
    "550 5.1.1 Too many unknown users, go away",
    "550 5.1.1 maximum number of invalid users",
    "550 5.1.1 Invalid recipient (content rejected)",
    "550 5.1.1 Your message was rejected as UCE",
    "550 5.1.1 unsolicited mail rejected",
    "550 5.1.1 Message refused",
    "550 5.1.1 Connection refused",
    "550 5.1.1 Access from 192.0.2.1 refused, contact postmaster",
    "550 5.1.1 Your access to submit messages to this e-mail system has been rejected.",
    "550 5.1.1 Your host is banned",
    "550 5.1.1 Your address was rejected.",
    "550 5.1.1 Dynamic IP addresses are not accepted",
    "550 5.1.1 FCrDNS failed",
    "550 5.1.1 reverse lookup failed for your address",
    "550 5.1.1 Unknown user in return path",
    "550 5.1.1 Callout verification failed",
    "550-Verification failed for <me@example.org>\n550-No such user here\n550 Sender verify failed",
    "550 5.1.1 Recipient rejected - ERR.SPF",
    "550 5.1.1 Email rejected per DMARC policy",
    "550 5.1.1 Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550",
    "550 5.1.1 protected by Mimecast; Rejected by header manipulation",
    "550 permanent failure for one or more recipients (user@example.com:blocked)",
    "550 5.1.1 Local Policy Violation",
    "550 5.1.1 Firewall Error",
    "550 5.1.1 Try again later",
    "550 5.1.1 Service unavailable",
    "550 5.1.1 LDAP lookup failed",
    "550 5.1.1 loop detected",
    "550 5.1.1 bounce messages not accepted",
    "550 5.1.1 User is not accepting mail from you",
    "550 5.1.1 Only members may post to this mailing list",
    "550 5.1.1 RESOLVER.RST.AuthRequired; authentication required",
    "550 5.1.1 RESOLVER.RST.RestrictedToRecipientsPermission; not authenticated",
    "550 5.1.1 unknown recipient domain",
    "550 invalid recipient domain",
    "550 5.1.1 Nachricht abgelehnt: Ihre IP-Adresse ist gesperrt",
    "550 5.1.1 Message rejet\u00e9 pour cause de r\u00e9putation",
    "550 5.1.1 Mensaje rechazado por pol\u00edtica de seguridad",
    "550 5.1.1 Compte bloqu\u00e9 / quota d\u00e9pass\u00e9",
    "550 5.1.1 Mail from this country is prohibited",
    # It could not find out.
    "550 5.1.1 unverified address: unknown user (host mx timed out)",
    "550 5.1.1 user unknown: ldap timeout",
    "550 5.1.1 user unknown, time out",
    "550 5.1.1 user unknown; mailbox store unreachable",
    "550 5.1.1 user unknown; next host not reachable",
    "550 5.1.1 no such user, says the callout",
    "550 5.1.1 user unknown; recipient verification incomplete",
    "550 5.1.1 user unknown: the address could not be verified",
    "550 5.1.1 user unknown: we can't check the address",
    "550 5.1.1 user unknown: unable to contact the mailbox server",
    "550 5.1.1 user unknown: lookup error",
    "550 5.1.1 user unknown: we cannot verify it",
    "550 5.1.1 user unknown: it couldn't be checked",
    "550 5.1.1 user unknown: unable to verify",
    "550 5.1.1 user unknown: unable to check",
    "550 5.1.1 user unknown: unable to connect",
    "550 5.1.1 user unknown: unable to reach the store",
    "550 5.1.1 user unknown: unable to look it up",
    "550 5.1.1 user unknown: lookup failed",
    "550 5.1.1 user unknown: look-up problem",
    "550 5.1.1 user unknown: directory fault: sql unavailable",
    "550 5.1.1 user unknown: directory failure",
    "550 5.1.1 user unknown: backend unavailable",
    "550 5.1.1 recipient not found; mail of listed networks",
    "550 5.1.1 user unknown: failed to look it up",
    "550 5.1.1 User unknown in LDAP: directory is down",
    "550 5.1.1 user unknown; database offline",
    "550 5.1.1 user unknown; backend failed",
    "550 5.1.1 user unknown in SQL: error",
    "550 5.1.1 no such user; ldap refused us",
    "550 5.1.1 no such user (lost connection with mailbox store)",
    "550 5.1.1 Recipient unknown: server maintenance in progress",
    "550 5.1.1 user not found at the moment",
    # It does not want to say.
    "550 5.1.1 Fraud protection: invalid address",
    "550 5.1.1 Phishing suspected - invalid recipient",
    "550 5.1.1 scam: no such user",
    "550 5.1.1 Recipient rejected: firewall, user unknown",
    "550 5.1.1 user unknown to our filter",
    "550 5.1.1 suspicious mail: no such user",
    "550 5.1.1 no such user (security)",
    "550 5.1.1 the user does not exist in our safe list",
    "550 5.1.1 You are not on the invitation list; no such user",
    "550 5.1.1 unknown user or you are listed in SORBS",
    "550 5.1.1 no such mailbox is accepting mail now",
    "550 5.1.1 no such user for mail from you",
    "550 5.1.1 no such user for bulk",
    "550 5.1.1 the account is over its allotted space, no such user",
    "550 5.1.1 account disabled by user vacation",
    "550 5.1.1 gesperrt: Benutzer unbekannt",
    "550 5.1.1 account suspended, no such user",
)  # fmt: skip
"""Replies to RCPT of real hosts, and of such as could be, that mean something else than they or their status say."""

TRUE_WORDS = (
    "550 #5.1.0 Address rejected.",
    "550-5.1.1 The email account that you tried to reach does not exist. Please try\n550 5.1.1 https://support.google.com/mail/?p=NoSuchUser a1-20020a05 - gsmtp",
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    "554 delivery error: dd This user doesn't have a yahoo.com account (x@yahoo.com) [0] - mta4.mail.example",
    "550 1 Requested mail action aborted, mailbox not found",
    "550 unrouteable address",
    "550 5.1.1 Requested action not taken: mailbox unavailable",
    "550 5.1.1 <spam@example.com>: Recipient address rejected: User unknown in local recipient table",
    "550 <blacklist@spamcop.example>: user unknown",
    "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]",
    "550 permanent failure for one or more recipients (u@example.com:550 5.1.1 User unknown)",
    "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550 [x.us1]",
    "550 5.1.1 Empf\u00e4nger unbekannt",
    "550 5.1.1 Utilisateur inconnu",
    "550 5.1.1 El usuario no existe",
    "550 5.1.1 Utente sconosciuto",
    "550 5.1.1 Recipient could not be found, or was misspelled (G8)",
    "550 5.1.1 12@example.com",
    "550 5.1.1 User not listed in Domino Directory",
    "550 5.1.1 This address no longer accepts mail",
    "550 5.1.1 unverified address: user unknown",
    "550 5.1.1 User unknown in LDAP directory",
    "550 5.1.1 no such user: address lookup found nobody",
)  # fmt: skip


@pytest.mark.parametrize(("wire", "is_listed"), [*((w, False) for w in LIES), *((w, True) for w in TRUE_WORDS)])
def test_reply_as_it_stands_on_the_wire(wire: str, is_listed: bool) -> None:
    """Neither a status nor words alone list anybody; the words of a block list never do, whatever stands beside."""
    (reply,) = ReplyParser().feed(wire.replace("\n", "\r\n").encode() + b"\r\n")
    assert isinstance(reply, Reply)
    outcome = judge(Stage.RCPT, reply, Peer("mx.test", "192.0.2.1")).outcome
    assert says_no_such_address(outcome) is is_listed
    assert not is_listed or bounce_type(outcome)[0] == "Permanent"


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
