"""
The library's side of domain/tls_policy.py: contexts, what a failed handshake is called, who proved to be whom.

What a context needs is loaded when the first connection needs it: opportunistic TLS reads no list of roots, and
only DANE reads certificates itself (adapters/dane_chain.py).

RFC: 7435 3 (opportunistic), 6125 and 8461 4.2 (names), 8460 4.3 (result types).
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.tls_facts import TlsResult
from paravion.domain.tls_policy import TlsMode

if TYPE_CHECKING:
    from paravion.domain.tls_policy import TlsPolicy

# OpenSSL's X509_V_ERR_…: x509_vfy.h.
_EXPIRED: Final = frozenset({9, 10})
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 63, 64})


def context_for(policy: TlsPolicy, ca_file: str) -> ssl.SSLContext:
    """
    Give the context for a handshake under a policy.

    Args:
        ca_file: Trusted roots, PEM; "": the system's.

    Raises:
        OSError: The roots can't be read.
    """
    return verifying_context(ca_file) if policy.mode is TlsMode.VERIFY else _lenient_context()


@cache
def verifying_context(ca_file: str) -> ssl.SSLContext:
    """Give a context that asks for a chain to a trusted root and the host's name, TLS 1.2 at least."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context


@cache
def _lenient_context() -> ssl.SSLContext:
    """TLS without verification: opportunistic TLS authenticates nobody (RFC 7435 3), DANE does so by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def result_of(exc: BaseException) -> TlsResult:
    """Give RFC 8460's name for what a handshake failed of."""
    code = exc.verify_code if isinstance(exc, ssl.SSLCertVerificationError) else 0
    if code in _EXPIRED:
        return TlsResult.CERTIFICATE_EXPIRED
    if code in _OTHER_NAME:
        return TlsResult.CERTIFICATE_HOST_MISMATCH
    if code in _UNTRUSTED:
        return TlsResult.CERTIFICATE_NOT_TRUSTED
    return TlsResult.VALIDATION_FAILURE


def check(policy: TlsPolicy, session: Any) -> TlsResult | None:
    """
    Check what the handshake itself did not: that a host is the one which its TLSA records name.

    Args:
        session: The ssl.SSLObject after the handshake.

    Returns:
        What is wrong, None: nothing.
    """
    if policy.mode is not TlsMode.DANE:
        return None
    from paravion.adapters.dane_chain import check_chain

    return check_chain(_chain(session), policy.tlsa, policy.names, datetime.now(UTC))


def is_verified(policy: TlsPolicy) -> bool:
    """Say whether a handshake that succeeded under this policy proved the host's name."""
    return policy.mode in (TlsMode.VERIFY, TlsMode.DANE)


def _chain(session: Any) -> list[bytes]:
    """Give the certificates that the host presented, its own first, DER."""
    if hasattr(session, "get_unverified_chain"):  # Python 3.13
        return list(session.get_unverified_chain())
    inner: Any = getattr(session, "_sslobj", None)
    if hasattr(inner, "get_unverified_chain"):  # 3.10 to 3.12: there, but not public
        return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain() or ()]
    own = session.getpeercert(binary_form=True)
    return [own] if own else []
