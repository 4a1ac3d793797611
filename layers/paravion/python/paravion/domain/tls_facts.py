"""
What became of TLS in one attempt, in the words of RFC 8460, so that a report can be made of it later.

Decides nothing: domain/tls_policy.py says what is accepted. Recorded with every outcome (domain/outcome.py).

RFC: 8460 4.2 (policy type), 4.3 (result types).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class PolicyType(StrEnum):
    """What the recipient's domain asked for; the word says nothing of the operator's own policy."""

    NONE = "no-policy-found"
    STS = "sts"
    TLSA = "tlsa"


class TlsResult(StrEnum):
    """What went wrong; `sts-…`: the policy could not be had, so that the mail went without it."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


CERTIFICATE_RESULTS: Final = frozenset({
    TlsResult.CERTIFICATE_HOST_MISMATCH, TlsResult.CERTIFICATE_EXPIRED, TlsResult.CERTIFICATE_NOT_TRUSTED,
})  # fmt: skip
"""The handshake as such succeeded; who is at the other end is not who we want."""


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """
    The TLS of one session, or what prevented it. All empty: nothing is known, no host was spoken to.

    Attributes:
        policy: A PolicyType, "" unknown.
        version: As the library names it, e.g. TLSv1.3; "" in clear.
        cipher: OpenSSL's name, "" in clear.
        verified: The host proved its name: by a chain to a trusted root, or by DANE.
        result: A TlsResult: what failed, whether or not the mail went all the same; "" nothing.
    """

    policy: str = ""
    version: str = ""
    cipher: str = ""
    verified: bool = False
    result: str = ""


NO_FACTS: Final = TlsFacts()
