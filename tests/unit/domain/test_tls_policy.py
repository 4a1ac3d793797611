"""Which policy counts, what it accepts, and what a kept connection suffices for: tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paravion.domain.mta_sts import StsMode, StsPolicy
from paravion.domain.tls_facts import PolicyType, TlsFacts, TlsResult
from paravion.domain.tls_policy import (
    CLEAR,
    MODES,
    DaneFinding,
    StsFinding,
    TlsMode,
    TlsPolicy,
    opportunistic,
    own_mode,
    policy_for,
    satisfies,
    seen_under,
    stricter,
)
from paravion.domain.tlsa import Tlsa

NONE, MAY, ENCRYPT, VERIFY, DANE = TlsMode
NO, STS, TLSA = PolicyType
GOOD = Tlsa(3, 1, 1, b"x" * 32)
UNUSABLE = Tlsa(1, 1, 1, b"x" * 32)
HOST = "mx.a.example"


def sts(mode, *mx):
    return StsFinding(StsPolicy(StsMode(mode), mx or (HOST,), 86_400))


def dane(*records, failed=""):
    return DaneFinding(HOST, records, (HOST, "a.example"), failed) if records else DaneFinding(failed=failed)


ENFORCE, TESTING, OFF = sts("enforce"), sts("testing"), sts("none")
OTHER_MX, OTHER_MX_TESTING = sts("enforce", "*.b.example"), sts("testing", "*.b.example")
FETCH = StsFinding(fault=TlsResult.STS_POLICY_FETCH_ERROR)
NOTHING, NO_TLSA = StsFinding(), DaneFinding()

# own mode, MTA-STS, DANE → mode, source, noted; of the step behind it: mode or None.
COMBINATIONS = {
    "nobody asks": (MAY, NOTHING, NO_TLSA, (MAY, NO, "", NONE)),
    "own none": (NONE, NOTHING, NO_TLSA, (NONE, NO, "", None)),
    "own encrypt": (ENCRYPT, NOTHING, NO_TLSA, (ENCRYPT, NO, "", None)),
    "own verify": (VERIFY, NOTHING, NO_TLSA, (VERIFY, NO, "", None)),
    "sts before may": (MAY, ENFORCE, NO_TLSA, (VERIFY, STS, "", None)),
    "sts before none": (NONE, ENFORCE, NO_TLSA, (VERIFY, STS, "", None)),
    "sts and encrypt": (ENCRYPT, ENFORCE, NO_TLSA, (VERIFY, STS, "", None)),
    "sts mode none": (MAY, OFF, NO_TLSA, (MAY, NO, "", NONE)),
    "sts mode none, own verify": (VERIFY, OFF, NO_TLSA, (VERIFY, NO, "", None)),
    "sts unknown": (MAY, FETCH, NO_TLSA, (MAY, NO, "sts-policy-fetch-error", NONE)),
    "testing tries and falls back": (MAY, TESTING, NO_TLSA, (VERIFY, STS, "", MAY)),
    "testing falls back to what is asked": (ENCRYPT, TESTING, NO_TLSA, (VERIFY, STS, "", ENCRYPT)),
    "testing takes nothing away": (VERIFY, TESTING, NO_TLSA, (VERIFY, STS, "", None)),
    "testing, another host": (MAY, OTHER_MX_TESTING, NO_TLSA, (MAY, STS, "validation-failure", NONE)),
    "dane before may": (MAY, NOTHING, dane(GOOD), (DANE, TLSA, "", None)),
    "dane before verify": (VERIFY, NOTHING, dane(GOOD), (DANE, TLSA, "", None)),
    "dane before sts": (MAY, ENFORCE, dane(GOOD), (DANE, TLSA, "", None)),
    "dane before an sts that leaves the host out": (MAY, OTHER_MX, dane(GOOD), (DANE, TLSA, "", None)),
    "dane, one of two usable": (MAY, NOTHING, dane(GOOD, UNUSABLE), (DANE, TLSA, "", None)),
    "dane unusable encrypts": (MAY, NOTHING, dane(UNUSABLE), (ENCRYPT, TLSA, "tlsa-invalid", None)),
    "dane unusable, own none": (NONE, NOTHING, dane(UNUSABLE), (ENCRYPT, TLSA, "tlsa-invalid", None)),
    "dane unusable, own verify": (VERIFY, NOTHING, dane(UNUSABLE), (VERIFY, TLSA, "tlsa-invalid", None)),
    "dane unusable, sts": (MAY, ENFORCE, dane(UNUSABLE), (VERIFY, STS, "", None)),
    "dane unusable, sts testing": (MAY, TESTING, dane(UNUSABLE), (VERIFY, STS, "", ENCRYPT)),
}


@pytest.mark.parametrize(("own", "sts", "dane", "expected"), COMBINATIONS.values(), ids=COMBINATIONS)
def test_the_stricter_wins(own, sts, dane, expected):
    """DANE before MTA-STS before the operator's mode, and never less than any of them."""
    policy = policy_for(HOST, own, sts=sts, dane=dane)
    behind = policy.fallback.mode if policy.fallback else None
    assert (policy.mode, policy.source, policy.noted, behind) == expected
    assert policy.is_required == (policy.mode in (ENCRYPT, VERIFY, DANE))


REFUSED = {
    "not among the mx": (OTHER_MX, NO_TLSA, TlsFacts("sts", result="validation-failure")),
    "bogus": (NOTHING, dane(failed="SERVFAIL"), TlsFacts("tlsa", result="dnssec-invalid")),
    "bogus, sts": (ENFORCE, dane(failed="SERVFAIL"), TlsFacts("tlsa", result="dnssec-invalid")),
}


@pytest.mark.parametrize("own", [NONE, MAY, ENCRYPT, VERIFY])
@pytest.mark.parametrize(("sts", "dane", "facts"), REFUSED.values(), ids=REFUSED)
def test_hosts_that_must_not_be_used(own, sts, dane, facts):
    """Whatever the operator asks for; the facts say why."""
    assert policy_for(HOST, own, sts=sts, dane=dane) == facts


def test_fallback_is_the_operators_choice():
    """Without it `may` ends where the handshake does; the other modes have none in any case."""
    assert opportunistic(MAY, fallback=True).fallback == CLEAR
    assert opportunistic(MAY, fallback=False).fallback is None
    assert opportunistic(ENCRYPT, fallback=True).fallback is None
    assert policy_for(HOST, MAY, fallback=False, sts=TESTING).fallback == TlsPolicy(MAY)


def test_what_failed_is_told_of_what_follows():
    """Down the ladder: the policy's source stays, the last failure is noted."""
    first = policy_for(HOST, MAY, sts=TESTING)
    second = first.after("certificate-expired")
    assert (second.mode, second.source, second.noted) == (MAY, STS, "certificate-expired")
    third = second.after("")
    assert (third.mode, third.source, third.noted) == (NONE, STS, "validation-failure")
    assert third.after("x") is None
    assert third.facts == TlsFacts("sts", result="validation-failure")


@pytest.mark.parametrize(
    ("setting", "route", "required", "expected"),
    [
        (MAY, "", False, MAY), (MAY, "none", False, NONE), (VERIFY, "may", False, MAY), (NONE, "verify", False, VERIFY),
        (MAY, "", True, ENCRYPT), (NONE, "none", True, ENCRYPT), (VERIFY, "", True, VERIFY), (MAY, "verify", True, VERIFY),
    ],
)  # fmt: skip
def test_route_is_more_particular_than_the_setting(setting, route, required, expected):
    """And a message that requires TLS gets it from either."""
    assert own_mode(setting, route, required=required) is expected


def test_modes_are_in_order():
    """none < may < encrypt < verify < dane; the last follows from the DNS alone."""
    assert MODES == ("none", "may", "encrypt", "verify")
    modes = list(TlsMode)
    for n, mode in enumerate(modes):
        assert {stricter(mode, other) for other in modes[: n + 1]} == {mode}


CLEAR_FACTS = TlsFacts("no-policy-found", result="starttls-not-supported")
ENCRYPTED = TlsFacts("no-policy-found", "TLSv1.3", "c")
VERIFIED = replace(ENCRYPTED, verified=True)
DANED = policy_for(HOST, MAY, dane=dane(GOOD))
DANED_ANEW = policy_for(HOST, MAY, dane=dane(replace(GOOD, data=b"y" * 32)))
TESTED = policy_for(HOST, MAY, sts=TESTING)
STRICT = policy_for(HOST, MAY, sts=ENFORCE)
MAYBE = policy_for(HOST, MAY)

REUSE = {
    "clear for may": (MAYBE, CLEAR, CLEAR_FACTS, True),
    "clear for none": (CLEAR, CLEAR, CLEAR_FACTS, True),
    "tls for none": (CLEAR, MAYBE, ENCRYPTED, True),
    "clear for encrypt": (TlsPolicy(ENCRYPT), CLEAR, CLEAR_FACTS, False),
    "tls for encrypt": (TlsPolicy(ENCRYPT), MAYBE, ENCRYPTED, True),
    "tls for verify": (STRICT, MAYBE, ENCRYPTED, False),
    "verified for verify": (STRICT, TlsPolicy(VERIFY), VERIFIED, True),
    "verified for may": (MAYBE, TlsPolicy(VERIFY), VERIFIED, True),
    "dane for verify": (STRICT, DANED, VERIFIED, False),
    "verified for dane": (DANED, TlsPolicy(VERIFY), VERIFIED, False),
    "dane for dane": (DANED, DANED, VERIFIED, True),
    "dane of other records": (DANED_ANEW, DANED, VERIFIED, False),
    "dane for may": (MAYBE, DANED, VERIFIED, True),
    "fell back, testing": (TESTED, MAYBE, ENCRYPTED, True),
    "clear, testing": (TESTED, CLEAR, CLEAR_FACTS, True),
}


@pytest.mark.parametrize(("policy", "made_under", "facts", "expected"), REUSE.values(), ids=REUSE)
def test_reuse(policy, made_under, facts, expected):
    """A kept connection carries what its own TLS suffices for, and nothing else."""
    assert satisfies(policy, made_under, facts) is expected


def test_facts_of_a_kept_connection_are_told_under_the_policy_of_the_message():
    """Another domain's failed policy is none of this one's affair; the lack of STARTTLS is."""
    failed = TlsFacts("sts", "TLSv1.3", "c", result="certificate-expired")
    assert seen_under(failed, MAYBE) == TlsFacts("no-policy-found", "TLSv1.3", "c")
    assert seen_under(failed, TESTED) == failed
    assert seen_under(CLEAR_FACTS, TESTED) == replace(CLEAR_FACTS, policy="sts")
