"""Which chains meet which TLSA records; and that a handshake's chain gets there on every Python."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization

from paravion.adapters.dane_chain import check_chain
from paravion.adapters.smtp_tls import check, context_for
from paravion.domain.tls_facts import PolicyType, TlsResult
from paravion.domain.tls_policy import TlsMode, TlsPolicy
from paravion.domain.tlsa import DANE_EE, DANE_TA, Tlsa
from tests.support.authority import Authority, der, self_signed, server_context

NAME = "mx.a.test"
NAMES = (NAME, "a.test")
NOW = datetime.now(UTC)
EXPIRED, MISMATCH, UNTRUSTED = (
    TlsResult.CERTIFICATE_EXPIRED, TlsResult.CERTIFICATE_HOST_MISMATCH, TlsResult.CERTIFICATE_NOT_TRUSTED,
)  # fmt: skip


def tlsa(usage, certificate, selector=1, matching=1):
    octets = der(certificate)
    if selector:
        octets = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    digests = {0: lambda o: o, 1: lambda o: hashlib.sha256(o).digest(), 2: lambda o: hashlib.sha512(o).digest()}
    return Tlsa(usage, selector, matching, digests[matching](octets))


@pytest.fixture(scope="module")
def pki():
    root, stranger = Authority("root"), Authority("stranger")
    middle, expired_middle, no_ca = (
        root.authority("middle"),
        root.authority("old", expired=True),
        root.authority("no ca", ca=False),
    )
    forged = Authority("middle")  # the same name, another key
    return SimpleNamespace(
        root=root.certificate,
        middle=middle.certificate,
        expired_middle=expired_middle.certificate,
        no_ca=no_ca.certificate,
        forged=forged.certificate,
        stranger=stranger.certificate,
        leaf=middle.issue(NAME),
        by_root=root.issue(NAME),
        for_domain=middle.issue("a.test"),
        wildcard=middle.issue("*.a.test"),
        below=middle.issue("*.mx.a.test"),
        common=middle.issue(common=NAME),
        common_beside=middle.issue("other.test", common=NAME),
        other=middle.issue("other.test"),
        expired=middle.issue(NAME, expired=True),
        by_expired=expired_middle.issue(NAME),
        by_no_ca=no_ca.issue(NAME),
        own=self_signed("whoever.test"),
        rsa=middle.issue(NAME, kind="rsa"),
    )


# Chain (the host's own first), what the record names and its usage, what is wrong.
CHAINS = {
    "ee": (("leaf", "middle"), (DANE_EE, "leaf"), None),
    "ee alone": (("leaf",), (DANE_EE, "leaf"), None),
    "ee rsa": (("rsa",), (DANE_EE, "rsa"), None),
    "ee expired": (("expired",), (DANE_EE, "expired"), None),
    "ee of another name": (("other",), (DANE_EE, "other"), None),
    "ee self-signed": (("own",), (DANE_EE, "own"), None),
    "ee of another": (("leaf",), (DANE_EE, "other"), UNTRUSTED),
    "ee names the issuer": (("leaf", "middle"), (DANE_EE, "middle"), UNTRUSTED),
    "nothing presented": ((), (DANE_EE, "leaf"), TlsResult.VALIDATION_FAILURE),
    "ta root": (("leaf", "middle", "root"), (DANE_TA, "root"), None),
    "ta middle": (("leaf", "middle"), (DANE_TA, "middle"), None),
    "ta middle, root beside it": (("leaf", "middle", "root"), (DANE_TA, "middle"), None),
    "ta in disorder": (("leaf", "root", "stranger", "middle"), (DANE_TA, "root"), None),
    "ta signs the host itself": (("by_root", "root"), (DANE_TA, "root"), None),
    "ta for rsa": (("rsa", "middle"), (DANE_TA, "middle"), None),
    "ta not presented": (("leaf", "middle"), (DANE_TA, "root"), UNTRUSTED),
    "ta without the middle": (("leaf", "root"), (DANE_TA, "root"), UNTRUSTED),
    "ta presented, signs nothing": (("leaf", "middle", "stranger"), (DANE_TA, "stranger"), UNTRUSTED),
    "ta names the host's own": (("leaf", "middle"), (DANE_TA, "leaf"), UNTRUSTED),
    "ta forged middle": (("leaf", "forged"), (DANE_TA, "forged"), UNTRUSTED),
    "ta middle that is no ca": (("by_no_ca", "no_ca", "root"), (DANE_TA, "root"), UNTRUSTED),
    "ta expired host": (("expired", "middle"), (DANE_TA, "middle"), EXPIRED),
    "ta expired middle": (("by_expired", "expired_middle", "root"), (DANE_TA, "root"), EXPIRED),
    "ta expired itself": (("by_expired", "expired_middle"), (DANE_TA, "expired_middle"), EXPIRED),
    "ta another name": (("other", "middle"), (DANE_TA, "middle"), MISMATCH),
    "ta the domain's name": (("for_domain", "middle"), (DANE_TA, "middle"), None),
    "ta wildcard": (("wildcard", "middle"), (DANE_TA, "middle"), None),
    "ta wildcard below": (("below", "middle"), (DANE_TA, "middle"), MISMATCH),
    "ta common name": (("common", "middle"), (DANE_TA, "middle"), None),
    "ta common name beside others": (("common_beside", "middle"), (DANE_TA, "middle"), MISMATCH),
}


@pytest.mark.parametrize(("chain", "record", "expected"), CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("kind", [(0, 1), (1, 1), (1, 2)], ids=["certificate", "key", "key by sha512"])
def test_chain_against_record(chain, record, expected, kind, pki):
    """RFC 7671 5, 7672 3.1."""
    usage, named = record
    records = [tlsa(usage, getattr(pki, named), *kind)]
    assert check_chain([der(getattr(pki, name)) for name in chain], records, NAMES, NOW) == expected


def test_whole_certificate_in_the_record_need_not_be_presented(pki):
    """RFC 7671 5.2.2: `2 0 0` brings the issuer with it."""
    records = [tlsa(DANE_TA, pki.root, 0, 0)]
    assert check_chain([der(pki.leaf), der(pki.middle)], records, NAMES, NOW) is None
    assert check_chain([der(pki.leaf)], records, NAMES, NOW) == UNTRUSTED


def test_one_of_several_records_is_enough(pki):
    """During a change of keys (RFC 7671 8.1)."""
    records = [tlsa(DANE_EE, pki.other), tlsa(DANE_TA, pki.stranger), tlsa(DANE_TA, pki.middle)]
    assert check_chain([der(pki.leaf), der(pki.middle)], records, NAMES, NOW) is None
    assert check_chain([der(pki.leaf), der(pki.middle)], records[:2], NAMES, NOW) == UNTRUSTED


def test_time_is_an_argument(pki):
    """Tomorrow's certificate is none today."""
    chain, records = [der(pki.leaf), der(pki.middle)], [tlsa(DANE_TA, pki.middle)]
    assert check_chain(chain, records, NAMES, NOW + timedelta(days=30)) == EXPIRED
    assert check_chain(chain, records, NAMES, NOW - timedelta(days=30)) == EXPIRED


@pytest.mark.parametrize("junk", [b"", b"\x30\x03\x02\x01\x01", b"x" * 50])
def test_junk_is_a_validation_failure(junk, pki):
    """Never an exception."""
    records = [tlsa(DANE_TA, pki.middle)]
    assert check_chain([junk, der(pki.middle)], records, NAMES, NOW) == TlsResult.VALIDATION_FAILURE
    data = [Tlsa(DANE_TA, 0, 0, junk)]
    assert check_chain([der(pki.leaf)], data, NAMES, NOW) in {TlsResult.VALIDATION_FAILURE, UNTRUSTED}


def test_certificates_that_signed_each_other_take_bounded_time(pki, monkeypatch):
    """A host may present twenty of one name and key, each the issuer of all others: no path is gone twice."""
    from paravion.adapters import dane_chain

    looks = []
    monkeypatch.setattr(dane_chain, "_signed", lambda *_, real=dane_chain._signed: looks.append(1) or real(*_))
    knot = Authority("knot")
    twins = [knot.certificate, *(knot.twin() for _ in range(30))]
    chain = [der(knot.issue(NAME)), *map(der, twins)]
    assert check_chain(chain, [tlsa(DANE_TA, pki.stranger)], NAMES, NOW) == UNTRUSTED
    assert check_chain([*chain[:5], der(pki.stranger)], [tlsa(DANE_TA, pki.stranger)], NAMES, NOW) == UNTRUSTED
    assert len(looks) < 500


def handshake(server, policy):
    """Shake hands in memory; gives the client's side."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context_for(policy, "").wrap_bio(to_client, to_server, server_hostname=NAME)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, other):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_chain_of_a_handshake(version, pki):
    """On each Python that we run on: public since 3.13, before that by what is under it."""
    server = server_context(pki.leaf, pki.middle, pki.root)
    server.maximum_version = version
    for record, expected in (
        (tlsa(DANE_EE, pki.leaf), None),
        (tlsa(DANE_TA, pki.root), None),
        (tlsa(DANE_TA, pki.stranger), UNTRUSTED),
    ):
        policy = TlsPolicy(TlsMode.DANE, PolicyType.TLSA, (record,), NAME, NAMES)
        assert check(policy, handshake(server, policy)) == expected
