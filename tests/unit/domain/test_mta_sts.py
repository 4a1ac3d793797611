"""MTA-STS records, policies and patterns: tables."""

from __future__ import annotations

import pytest

from paravion.domain.mta_sts import KeptPolicy, StsMode, StsPolicy, parse_policy, parse_record

RECORDS = {
    "plain": (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
    "tight": (["v=STSv1;id=1"], "1"),
    "spaces": (["v=STSv1 ; \t id=abc ;"], "abc"),
    "others beside it": (["v=spf1 -all", "v=STSv1; id=1"], "1"),
    "extension": (["v=STSv1; x=y; id=1; z=1;"], "1"),
    "first id counts": (["v=STSv1; id=1; id=2"], "1"),
    "none": ([], None),
    "two": (["v=STSv1; id=1", "v=STSv1; id=1"], None),
    "no id": (["v=STSv1;"], None),
    "empty id": (["v=STSv1; id=;"], None),
    "long id": (["v=STSv1; id=" + "a" * 33], None),
    "longest id": (["v=STSv1; id=" + "a" * 32], "a" * 32),
    "id with a hyphen": (["v=STSv1; id=a-b"], None),
    "id with a space": (["v=STSv1; id=a b"], None),
    "id not ASCII": (["v=STSv1; id=\u0661"], None),
    "version not first": (["id=1; v=STSv1;"], None),
    "version 2": (["v=STSv2; id=1"], None),
    "version 11": (["v=STSv11; id=1"], None),
    "lower case": (["v=stsv1; id=1"], None),
    "space before": ([" v=STSv1; id=1"], None),
    "no field": (["v=STSv1; nonsense; id=1"], None),
}


@pytest.mark.parametrize(("texts", "expected"), RECORDS.values(), ids=RECORDS)
def test_record(texts, expected):
    """RFC 8461 3.1."""
    assert parse_record(texts) == expected


PLAIN = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
POLICIES = {
    "as in the RFC": (PLAIN, ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
    "LF": (PLAIN.replace(b"\r\n", b"\n"), ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
    "no last line end": (PLAIN[:-2], ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
    "tight": (b"version:STSv1\nmode:testing\nmx:A.Example\nmax_age:0", ("testing", ("a.example",), 0)),
    "none without mx": (b"version: STSv1\nmode: none\nmax_age: 31557600\n", ("none", (), 31_557_600)),
    "unknown field": (PLAIN + b"x-y_z.1: \xc3\xa9 anything: more\n", ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
    "first counts": (PLAIN + b"mode: none\nmax_age: 1\n", ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
    "mx twice": (PLAIN + b"mx: mail.example.com\n", ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
    "spaces behind": (PLAIN.replace(b"enforce", b"enforce \t"), ("enforce", ("mail.example.com", "*.example.net"), 604_800)),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), POLICIES.values(), ids=POLICIES)
def test_policy(octets, expected):
    """RFC 8461 3.2."""
    policy = parse_policy(octets)
    assert (policy.mode, policy.mx, policy.max_age_s) == expected


BAD = {
    "empty": b"",
    "no version": PLAIN.replace(b"version: STSv1\r\n", b""),
    "other version": PLAIN.replace(b"STSv1", b"STSv2"),
    "version in lower case": PLAIN.replace(b"STSv1", b"stsv1"),
    "no mode": PLAIN.replace(b"mode: enforce\r\n", b""),
    "other mode": PLAIN.replace(b"enforce", b"Enforce"),
    "no mx": b"version: STSv1\nmode: enforce\nmax_age: 1\n",
    "no mx, testing": b"version: STSv1\nmode: testing\nmax_age: 1\n",
    "no age": PLAIN.replace(b"max_age: 604800\r\n", b""),
    "negative age": PLAIN.replace(b"604800", b"-1"),
    "age too long": PLAIN.replace(b"604800", b"31557601"),
    "age of many digits": PLAIN.replace(b"604800", b"0" * 11),
    "age no number": PLAIN.replace(b"604800", b"1e3"),
    "age not ASCII": PLAIN.replace(b"604800", "\u0661".encode()),
    "mx with two stars": PLAIN.replace(b"*.example.net", b"*.*.example.net"),
    "mx star within": PLAIN.replace(b"*.example.net", b"m*.example.net"),
    "mx star alone": PLAIN.replace(b"*.example.net", b"*"),
    "mx empty": PLAIN.replace(b"*.example.net", b""),
    "mx address": PLAIN.replace(b"*.example.net", b"[192.0.2.1]"),
    "mx with a final dot": PLAIN.replace(b"*.example.net", b"example.net."),
    "empty line": PLAIN.replace(b"mode", b"\r\nmode"),
    "HTML": b"<!DOCTYPE html><html></html>",
    "no UTF-8": PLAIN + b"x: \xff\n",
    "NUL": PLAIN.replace(b"mode", b"\0mode"),
    "too long": PLAIN + b"x: " + b"y" * 65_536,
}


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD)
def test_bad_policies_are_refused(octets):
    """With words that say why."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_policy(octets)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mail.example.com", True), ("MAIL.example.COM", True), ("mail.example.com.", True),
        ("a.mail.example.com", False), ("example.com", False),
        ("mx1.example.net", True), ("example.net", False), ("a.b.example.net", False), ("xexample.net", False),
        ("", False),
    ],
)  # fmt: skip
def test_patterns(host, expected):
    """RFC 8461 4.1: a wildcard is one whole label, no more and no less."""
    assert StsPolicy(StsMode.ENFORCE, ("mail.example.com", "*.example.net"), 1).allows(host) is expected


@pytest.mark.parametrize(
    ("max_age_s", "stale", "expires"),
    [(0, 300, 600), (600, 300, 600), (86_400, 43_200, 86_400), (604_800, 86_400, 604_800)],
)
def test_kept_policy_ages(max_age_s, stale, expires):
    """It is fetched again after half its life, a day at most, and never applied after its end."""
    kept = KeptPolicy("1", StsPolicy(StsMode.ENFORCE, ("a.b",), max_age_s), 1000.0)
    assert (kept.stale_at, kept.expires_at) == (1000.0 + stale, 1000.0 + expires)
    assert kept.serves("1", 999.0 + stale)
    assert not kept.serves("1", 1000.0 + stale)
    assert not kept.serves("2", 1001.0)
    assert not kept.serves(None, 1001.0)
    assert kept.is_valid(999.0 + expires)
    assert not kept.is_valid(1000.0 + expires)
