"""
Whether the certificates that a host presented are those which its TLSA records name.

    DANE-EE(3)  the host's own certificate or key is named; neither its names nor its dates matter
    DANE-TA(2)  one above it is named; signatures and dates up to that one count, and the host's name

Which records count is domain/tlsa.py's affair. `cryptography` is imported for DANE-TA alone, when the first host
asks for it. Of the records with the issuer's whole key or certificate in them, those count whose certificate the
host presents, or which hold a certificate: a bare key without its certificate signs nothing here.

RFC: 7671 5.1, 5.2; 7672 3.1.1, 3.1.2, 3.2.2, 3.2.3 (names).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.tls_facts import TlsResult
from paravion.domain.tlsa import DANE_EE, DANE_TA, matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from paravion.domain.tlsa import Tlsa

_MOST_CERTIFICATES: Final = 20
_UNTRUSTED: Final = TlsResult.CERTIFICATE_NOT_TRUSTED


def check_chain(
    chain: Sequence[bytes], records: Iterable[Tlsa], names: Sequence[str], now: datetime
) -> TlsResult | None:
    """
    Check a chain against usable records.

    Args:
        chain: DER, the host's own certificate first; the others in any order.
        names: Of which the host must prove one under DANE-TA; lower case.
        now: Aware.

    Returns:
        What is wrong, None: a record is met.
    """
    if not chain:
        return TlsResult.VALIDATION_FAILURE
    records = tuple(records)
    if any(record.usage == DANE_EE and matches(record, chain[0]) for record in records):
        return None
    anchors = [record for record in records if record.usage == DANE_TA]
    if not anchors:
        return _UNTRUSTED
    try:
        return _check_path(chain[:_MOST_CERTIFICATES], anchors, names, now)
    except ValueError:  # a certificate that can't be read
        return TlsResult.VALIDATION_FAILURE


def _check_path(
    chain: Sequence[bytes], anchors: Sequence[Tlsa], names: Sequence[str], now: datetime
) -> TlsResult | None:
    from cryptography import x509

    above = list(dict.fromkeys([*chain[1:], *(r.data for r in anchors if (r.selector, r.matching) == (0, 0))]))
    trusted = {octets for octets in above if any(matches(record, octets) for record in anchors)}
    if not trusted:
        return _UNTRUSTED
    leaf = x509.load_der_x509_certificate(chain[0])
    issuers = [(x509.load_der_x509_certificate(octets), octets in trusted) for octets in above]
    if not _is_vouched_for(leaf, issuers, now):
        return TlsResult.CERTIFICATE_EXPIRED if _is_vouched_for(leaf, issuers, None) else _UNTRUSTED
    return None if any(_is_for(leaf, name) for name in names) else TlsResult.CERTIFICATE_HOST_MISMATCH


def _is_vouched_for(leaf: Any, issuers: Sequence[tuple[Any, bool]], now: datetime | None) -> bool:
    """
    Say whether valid signatures lead from a certificate to a trusted one, all of them valid `now` (None: ever).

    Each issuer is gone to once, nearest first: hosts may present certificates that all have signed each other.
    """
    if now is not None and not _is_valid(leaf, now):
        return False
    left = [(each, trusted) for each, trusted in issuers if now is None or _is_valid(each, now)]
    reached, depth = [leaf], 0
    while reached:
        above = [(each, trusted) for each, trusted in left if any(_signed(below, each, depth) for below in reached)]
        if any(trusted for _, trusted in above):
            return True
        left = [pair for pair in left if pair not in above]
        reached, depth = [each for each, _ in above], depth + 1
    return False


def _is_valid(certificate: Any, now: datetime) -> bool:
    return bool(certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc)


def _signed(certificate: Any, issuer: Any, between: int) -> bool:
    """Say whether `issuer` may sign certificates, `between` of others below it, and signed this one."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    if certificate.issuer != issuer.subject:
        return False
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or (constraints.path_length is not None and constraints.path_length < between):
            return False
        if not issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            return False
    except x509.ExtensionNotFound as exc:
        # Without KeyUsage every use is allowed (RFC 5280 4.2.1.3); without BasicConstraints it is no CA.
        if exc.oid == x509.BasicConstraints.oid:
            return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _is_for(certificate: Any, name: str) -> bool:
    """RFC 7672 3.2.3: a DNS name of the certificate is the name, or has `*` for its first label; else the CN."""
    from cryptography import x509

    try:
        given = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        presented = given.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        presented = []
    if not presented:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        presented = [str(each.value) for each in common]
    name = name.lower().rstrip(".")
    above = name.partition(".")[2]
    return any(
        each.lower() == name or (each.startswith("*.") and bool(above) and each[2:].lower() == above)
        for each in presented
    )
