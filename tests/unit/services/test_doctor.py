"""What the doctor says of a domain's DNS."""

from __future__ import annotations

import pytest

from paravion.domain.mta_sts import StsFault
from paravion.services.doctor import NoDnsAnswer, examine
from tests.support.dkim_keys import active_ring, txt_of

RECORDS = txt_of("d.example", active_ring())
SELECTORS = {name.partition(".")[0]: value for name, value in RECORDS.items()}
RSA = next(name for name in SELECTORS if name.endswith("rsa"))
ADDRESS = "192.0.2.1"
GOOD = {
    ("d.example", "TXT"): ["v=spf1 ip4:192.0.2.1 -all"],
    ("d.example", "MX"): ["mx.d.example"],
    ("mx.d.example", "A"): ["192.0.2.2"],
    ("_dmarc.d.example", "TXT"): ["v=DMARC1; p=reject"],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["out.d.example"],
    ("out.d.example", "A"): [ADDRESS],
    ("_mta-sts.d.example", "TXT"): ["v=STSv1; id=20260101"],
    ("mta-sts.d.example", "A"): ["192.0.2.3"],
    ("_smtp._tls.d.example", "TXT"): ["v=TLSRPTv1; rua=mailto:tls@d.example"],
    **{(name, "TXT"): [value] for name, value in RECORDS.items()},
}
SUBJECTS = {"SPF", "DMARC", "MX", "PTR", "MTA-STS", "TLSRPT", *(f"DKIM {name}" for name in SELECTORS)}


def verdicts(dns, domain="d.example", **options):
    """Examine; gives each subject's finding."""
    found = examine(
        domain, lambda name, kind: dns.get((name, kind), []), **{"selectors": SELECTORS, "address": ADDRESS, **options}
    )
    return {finding.subject: finding for finding in found}


def test_all_is_well():
    """Nothing to publish, nothing but ok."""
    found = verdicts(GOOD)
    assert {subject: finding.verdict for subject, finding in found.items()} == dict.fromkeys(SUBJECTS, "ok")
    assert [finding.publish for finding in found.values() if finding.publish] == []


def test_nothing_is_there():
    """Every record is told; the last two are no fault."""
    found = verdicts({})
    assert {subject for subject, finding in found.items() if finding.verdict == "missing"} == SUBJECTS
    assert {subject for subject, finding in found.items() if finding.is_good} == {"MTA-STS", "TLSRPT"}
    told = {(finding.publish.name, finding.type) for finding in found.values()}
    assert ("d.example", "TXT") in told
    assert ("1.2.0.192.in-addr.arpa", "PTR") in told
    assert {finding.publish.value for name, finding in found.items() if name.startswith("DKIM")} == set(
        RECORDS.values()
    )
    assert found["SPF"].publish.value == "v=spf1 ip4:192.0.2.1 -all"


K = f"{RSA}._domainkey.d.example"
ROWS = {
    "two spf": ("SPF", {("d.example", "TXT"): ["v=spf1 -all", "v=spf1 ~all"]}, "wrong", "2 v=spf1 records"),
    "open spf": ("SPF", {("d.example", "TXT"): ["v=spf1 +all"]}, "wrong", "everybody"),
    "spf without us": ("SPF", {("d.example", "TXT"): ["v=spf1 mx ~all"]}, "wrong", "comes out as softfail"),
    "broken spf": ("SPF", {("d.example", "TXT"): ["v=spf1 include:none.example -all"]}, "wrong", "permerror"),
    "macro spf": ("SPF", {("d.example", "TXT"): ["v=spf1 exists:%{i}.x -all"]}, "unknown", "macros"),
    "other key": (f"DKIM {RSA}", {(K, "TXT"): ["v=DKIM1; p=AAAA"]}, "wrong", "another key than ours"),
    "two keys": (f"DKIM {RSA}", {(K, "TXT"): ["v=DKIM1; p=AAAA", "p="]}, "wrong", "2 keys"),
    "weak dmarc": ("DMARC", {("_dmarc.d.example", "TXT"): ["v=DMARC1; p=none"]}, "ok", "nothing is asked"),
    "dmarc without policy": (
        "DMARC",
        {("_dmarc.d.example", "TXT"): ["v=DMARC1; rua=mailto:x@y"]},
        "wrong",
        "no policy",
    ),
    "two dmarc": ("DMARC", {("_dmarc.d.example", "TXT"): ["v=DMARC1; p=none"] * 2}, "wrong", "2 records"),
    "null mx": ("MX", {("d.example", "MX"): ["."]}, "wrong", "null MX"),
    "mx without address": ("MX", {("d.example", "MX"): ["gone.example"]}, "wrong", "no address at gone.example"),
    "no mx but address": ("MX", {("d.example", "MX"): [], ("d.example", "A"): [ADDRESS]}, "ok", "itself"),
    "ptr elsewhere": ("PTR", {("out.d.example", "A"): ["192.0.2.9"]}, "wrong", "does not lead back"),
    "no sts id": ("MTA-STS", {("_mta-sts.d.example", "TXT"): ["v=STSv1;"]}, "wrong", "id"),
    "no sts host": ("MTA-STS", {("mta-sts.d.example", "A"): []}, "wrong", "nobody can fetch"),
    "no rua": ("TLSRPT", {("_smtp._tls.d.example", "TXT"): ["v=TLSRPTv1;"]}, "wrong", "rua"),
}


@pytest.mark.parametrize(("subject", "change", "verdict", "words"), ROWS.values(), ids=ROWS)
def test_one_thing_is_different(subject, change, verdict, words):
    """Its finding says so, and no other one changes."""
    found = verdicts(GOOD | change)
    assert found[subject].verdict == verdict
    assert words in found[subject].text
    assert [s for s, finding in found.items() if finding.verdict != "ok" and s != subject] == []


KEYS = {
    "revoked": ("v=DKIM1; p=", "revoked"),
    "no base64": ("v=DKIM1; p=?", "not base64"),
    "cut off": (RECORDS[K][:200], "base64|cut off"),
    "1024 bits": ("v=DKIM1; p=" + "A" * 216, "too short"),
    "test mode": (RECORDS[K] + "; t=y", "a test"),
}


@pytest.mark.parametrize(("value", "words"), KEYS.values(), ids=KEYS)
def test_key_under_a_given_selector(value, words):
    """Judged by itself, for we don't know what it should be."""
    found = verdicts({**GOOD, (K, "TXT"): [value]}, selectors={RSA: None})
    assert found[f"DKIM {RSA}"].verdict == "wrong"
    assert any(word in found[f"DKIM {RSA}"].text for word in words.split("|"))
    assert verdicts(GOOD, selectors={RSA: None})[f"DKIM {RSA}"].verdict == "ok"


def test_without_selector_and_address():
    """Said, not guessed."""
    found = verdicts(GOOD, selectors={}, address="")
    assert (found["DKIM"].verdict, found["PTR"].verdict, found["SPF"].verdict) == ("missing", "ok", "ok")
    assert "YOUR-SENDING-ADDRESS" in verdicts({}, selectors={}, address="")["SPF"].publish.value


def test_dmarc_of_the_domain_above_counts():
    """RFC 9989's walk; sp= is for those below."""
    dns = {("_dmarc.d.example", "TXT"): ["v=DMARC1; p=none; sp=quarantine"]}
    assert "policy quarantine at _dmarc.d.example" in verdicts(dns, "a.b.d.example")["DMARC"].text


def test_silence_is_no_verdict():
    """A name service that does not answer makes nothing missing."""

    def silent(name, kind):
        raise NoDnsAnswer(name)

    found = examine("d.example", silent, selectors={"s": None}, address=ADDRESS)
    assert {finding.verdict for finding in found} == {"unknown"}
    assert not any(finding.is_good for finding in found)


POLICY = b"version: STSv1\nmode: enforce\nmx: *.d.example\nmax_age: 86400\n"
STS_ROWS = {
    "good": (POLICY, "ok", "mode enforce for 86400 s: *.d.example"),
    "testing": (POLICY.replace(b"enforce", b"testing"), "ok", "mode testing"),
    "none": (b"version: STSv1\nmode: none\nmax_age: 1\n", "ok", "mode none"),
    "an MX left out": (POLICY.replace(b"*.d.example", b"other.example"), "wrong", "no mx of the policy matches mx"),
    "invalid": (b"<html>", "wrong", "line 1 is no field"),
    "no certificate": (StsFault("sts-webpki-invalid", "expired"), "wrong", "(sts-webpki-invalid): expired"),
}


@pytest.mark.parametrize(("fetched", "verdict", "words"), STS_ROWS.values(), ids=STS_ROWS)
def test_the_policy_is_fetched_and_held_against_the_mx(fetched, verdict, words):
    """As senders do."""
    finding = verdicts(GOOD, fetch_policy=lambda domain: {"d.example": fetched}[domain])["MTA-STS"]
    assert finding.verdict == verdict
    assert words in finding.text
