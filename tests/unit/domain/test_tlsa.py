"""Which TLSA records count, and which certificate they name."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.tlsa import Tlsa, matches, public_key_info, usable
from tests.support.authority import Authority, der

A, B = b"a" * 32, b"b" * 64

USABLE = {
    "ee, key, sha256": (Tlsa(3, 1, 1, A), True),
    "ee, certificate, sha512": (Tlsa(3, 0, 2, B), True),
    "ta, whole": (Tlsa(2, 0, 0, b"x"), True),
    "pkix-ta": (Tlsa(0, 1, 1, A), False),
    "pkix-ee": (Tlsa(1, 1, 1, A), False),
    "usage 4": (Tlsa(4, 1, 1, A), False),
    "selector 2": (Tlsa(3, 2, 1, A), False),
    "matching 3": (Tlsa(3, 1, 3, A), False),
    "sha256 cut off": (Tlsa(3, 1, 1, A[:-1]), False),
    "sha512 of 32": (Tlsa(3, 1, 2, A), False),
    "whole of nothing": (Tlsa(3, 0, 0, b""), False),
}


@pytest.mark.parametrize(("record", "expected"), USABLE.values(), ids=USABLE)
def test_usable(record, expected):
    """RFC 7672 3.1: DANE-TA and DANE-EE, of known kinds and right lengths."""
    assert record.is_usable is expected
    assert usable([record, record]) == ((record,) if expected else ())


def test_the_strongest_digest_counts():
    """RFC 7671 9: for each usage and selector; whole certificates beside it."""
    weak, strong, whole, other = Tlsa(3, 1, 1, A), Tlsa(3, 1, 2, B), Tlsa(3, 1, 0, b"k"), Tlsa(2, 1, 1, A)
    assert set(usable([weak, strong, whole, other])) == {strong, whole, other}
    assert usable([weak, other]) == usable([other, weak])


@pytest.fixture(scope="module", params=["ec", "rsa", "ed25519"])
def certificate(request):
    return Authority("root").issue("mx.test", kind=request.param)


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_matches(certificate, selector, matching):
    """The certificate or its key, whole or digested; the key as `cryptography` reads it."""
    octets = der(certificate)
    if selector:
        octets = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    data = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}[matching]
    assert matches(Tlsa(3, selector, matching, data), der(certificate))
    assert not matches(Tlsa(3, selector, matching, data[:-1] + bytes([data[-1] ^ 1])), der(certificate))


@given(st.binary(max_size=200))
def test_no_octets_are_too_strange(octets):
    """They match nothing, and break nothing."""
    try:
        public_key_info(octets)
    except ValueError:
        assert not matches(Tlsa(3, 1, 1, A), octets)


def test_a_cut_certificate_is_none(certificate):
    """At any place."""
    whole = der(certificate)
    for end in range(0, len(whole), 7):
        with pytest.raises(ValueError, match=r"cut off|no certificate"):
            public_key_info(whole[:end])
