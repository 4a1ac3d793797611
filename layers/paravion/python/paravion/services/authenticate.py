"""
Who asks: SigV4 with a credential's secret key, or HTTP Basic with the SES SMTP password derived from it.

A credential is the secret `credentials/<access key>`; domain/credential.py says what stands in it. The Basic password
is the one of the setting credential_region and no other region's: one credential, one password.

An unknown key costs the same work as a known one. For Basic an unknown key, a wrong password and a disabled
credential are one error; SigV4 tells an unknown or disabled key from a wrong signature, as AWS does.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paravion.domain import sigv4
from paravion.domain.credential import ANYTHING, Credential, Scope, read_credential
from paravion.domain.ses_smtp_password import smtp_password
from paravion.domain.status import ACCESS_DENIED, AUTH_INVALID, Rejected
from paravion.domain.tenant import record_kind
from paravion.errors import Misconfigured

if TYPE_CHECKING:
    from paravion.ports import Secrets

_ACCESS_KEY: Final = re.compile(r"[A-Za-z0-9_-]{4,128}", re.ASCII)
"""What may stand in a secret's name; dots and slashes would name other secrets."""

_NOBODYS_SECRET: Final = "nobody has this secret key; it makes an unknown key cost what a known one does"  # noqa: S105 (the opposite of one)
_UNKNOWN_KEY: Final = "The security token included in the request is invalid."


@dataclass(frozen=True, slots=True)
class Principal:
    """
    The authenticated credential.

    Attributes:
        is_operator: May see what others submitted.
        tenant: Whose things it uses (domain/tenant.py).
        scope: What it is narrowed to (services/authorise.py).
    """

    access_key: str
    is_operator: bool = False
    tenant: str = ""
    scope: Scope = ANYTHING

    def kind(self, kind: str) -> str:
        """Give the kind under which its tenant's records of one sort are kept."""
        return record_kind(self.tenant, kind)


def authenticate(request: sigv4.SignedRequest, secrets: Secrets, *, now: float, credential_region: str) -> Principal:
    """
    Say who signed the request, `now` being seconds since the epoch.

    `credential_region` is the region of the Basic password's derivation.

    Raises:
        Rejected: auth_required, auth_invalid, signature_invalid or request_expired.
        SecretsUnavailable: Nothing can be said.
        Misconfigured: The credential is stored in a form that can't be read.
    """
    scheme, _, value = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "basic":
        return _by_password(value, secrets, credential_region)
    claim = sigv4.parse_claim(request)
    credential = _credential(claim.access_key, secrets)
    if credential is None:
        with suppress(Rejected):
            sigv4.verify(request, claim, _NOBODYS_SECRET, now=now)
        raise Rejected(AUTH_INVALID, _UNKNOWN_KEY)
    sigv4.verify(request, claim, credential.secret_key, now=now)
    return principal_of(claim.access_key, credential)


def principal_of(access_key: str, credential: Credential) -> Principal:
    """Give whom a credential stands for."""
    return Principal(access_key, credential.operator, credential.tenant, credential.scope)


def require_operator(principal: Principal, what: str) -> None:
    """
    Hold back what concerns everybody, not only the caller's own mail.

    Raises:
        Rejected: access_denied.
    """
    if not principal.is_operator:
        raise Rejected(ACCESS_DENIED, f"{what} an operator's: the credential is none (docs/commands.md)")


def require_manager(principal: Principal, what: str) -> None:
    """
    Hold back what changes how all of a tenant's mail is sent.

    A tenant's own credentials manage what is its own (domain/tenant.py); where there is only one, an operator's do.

    Raises:
        Rejected: access_denied.
    """
    if not principal.tenant:
        require_operator(principal, what)


def _by_password(value: str, secrets: Secrets, region: str) -> Principal:
    try:
        access_key, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        name = access_key.decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError) as exc:
        raise Rejected(AUTH_INVALID) from exc
    credential = _credential(name, secrets) if colon else None
    expected = smtp_password(credential.secret_key if credential else _NOBODYS_SECRET, region)
    if not hmac.compare_digest(expected.encode(), password) or credential is None:
        raise Rejected(AUTH_INVALID)
    return principal_of(name, credential)


def _credential(access_key: str, secrets: Secrets) -> Credential | None:
    """Read a credential; None when there is none of that name or it is disabled."""
    if not _ACCESS_KEY.fullmatch(access_key):
        return None
    name = f"credentials/{access_key}"
    text = secrets.get(name)
    if text is None:
        return None
    try:
        credential = read_credential(text)
    except ValueError as exc:
        raise Misconfigured([f"secret {name}: {exc}"]) from exc
    return credential if credential.enabled else None
