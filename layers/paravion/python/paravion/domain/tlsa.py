"""
TLSA records: which of them count, and whether a certificate is the one that they name.

Looks nothing up (adapters/dns_resolver.py) and checks no signature (adapters/dane_chain.py).

RFC: 6698 2.1 (fields), 7671 4, 5, 9 (usages, digest agility), 7672 3.1 (which usages SMTP knows).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DANE_TA: Final = 2
DANE_EE: Final = 3
_CERTIFICATE: Final = 0
_KEY: Final = 1
_FULL: Final = 0
_DIGESTS: Final = {1: hashlib.sha256, 2: hashlib.sha512}
_SEQUENCE: Final = 0x30
_VERSION_TAG: Final = 0xA0
_LONG_FORM: Final = 0x80
_BEFORE_KEY: Final = 5  # serial number, signature algorithm, issuer, validity, subject (RFC 5280 4.1)


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One record's fields as in RFC 6698 2.1; `data` is a digest, or the whole with matching type 0."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_usable(self) -> bool:
        """
        DANE-TA or DANE-EE, with selector, matching type and length as they should be.

        PKIX-TA and PKIX-EE are unusable in SMTP (RFC 7672 3.1.3): there is no list of roots that both sides know.
        """
        if self.usage not in (DANE_TA, DANE_EE) or self.selector not in (_CERTIFICATE, _KEY):
            return False
        if self.matching == _FULL:
            return bool(self.data)
        digest = _DIGESTS.get(self.matching)
        return digest is not None and len(self.data) == digest().digest_size


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """
    Give the records that count, each once, in a fixed order.

    Of several digests for one usage and selector the strongest alone counts (RFC 7671 9): who can forge the
    weaker one gains nothing.
    """
    kept = {record for record in records if record.is_usable}
    best: dict[tuple[int, int], int] = {}
    for record in kept:
        kind = (record.usage, record.selector)
        best[kind] = max(best.get(kind, _FULL), record.matching)
    strongest = (r for r in kept if r.matching in (_FULL, best[r.usage, r.selector]))
    return tuple(sorted(strongest, key=lambda r: (-r.usage, r.selector, r.matching, r.data)))


def matches(record: Tlsa, certificate: bytes) -> bool:
    """Say whether a record names this certificate (DER); what cannot be read matches nothing."""
    try:
        octets = certificate if record.selector == _CERTIFICATE else public_key_info(certificate)
    except ValueError:
        return False
    if record.matching == _FULL:
        return octets == record.data
    digest = _DIGESTS.get(record.matching)
    return digest is not None and digest(octets).digest() == record.data


def public_key_info(certificate: bytes) -> bytes:
    """
    Give a certificate's SubjectPublicKeyInfo, octet for octet as it stands there.

    A library that reads and writes it again may change its form, and with it the digest.

    Raises:
        ValueError: It is no certificate.
    """
    tag, at, _ = _element(certificate, 0)
    if tag != _SEQUENCE:
        raise ValueError("no certificate")
    tag, at, _ = _element(certificate, at)
    if tag != _SEQUENCE:
        raise ValueError("no certificate")
    tag, _, end = _element(certificate, at)
    if tag == _VERSION_TAG:
        at = end
    for _ in range(_BEFORE_KEY):
        _, _, at = _element(certificate, at)
    tag, _, end = _element(certificate, at)
    if tag != _SEQUENCE:
        raise ValueError("no public key where one should be")
    return certificate[at:end]


def _element(octets: bytes, at: int) -> tuple[int, int, int]:
    """Read a DER element's header at a place: its tag, where its content begins, where it ends."""
    if at + 2 > len(octets):
        raise ValueError("cut off")
    tag, length, start = octets[at], octets[at + 1], at + 2
    if length & _LONG_FORM:
        count = length & ~_LONG_FORM
        if not 1 <= count <= 4 or start + count > len(octets):  # noqa: PLR2004 (longer than any certificate)
            raise ValueError("a length that DER does not have")
        length = int.from_bytes(octets[start : start + count], "big")
        start += count
    if start + length > len(octets):
        raise ValueError("cut off")
    return tag, start, start + length
