"""
What SES's operations on identities of both versions share: how an identity stands, in SES's words.

An identity's proof of a domain is our own TXT record, not SES's CNAME records: v1 tells its value as VerificationToken,
the native `GET /v1/identities/{name}` its name too. DKIM keys are told as keys that the user publishes (origin
EXTERNAL): the tokens are selectors, whose TXT records the native API tells; there is no zone of ours to point at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paravion.domain import dkim_keys
from paravion.services import admin, confirmation, identity_keys

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps


@dataclass(frozen=True, slots=True)
class Dkim:
    """
    How an identity's signing stands.

    Attributes:
        status: In v2's words.
        tokens: Selectors; () without keys.
    """

    enabled: bool
    status: str
    tokens: tuple[str, ...] = ()
    made_at: float = 0.0


def base_url(call: Call[AdminDeps]) -> str:
    """
    Give the API's own address for a link in a mail; "": it is not known.

    Never what the caller calls us (Host): his link would bring him the token of somebody else's address.
    """
    return call.deps.settings.public_url or call.request.endpoint


def kind_of(identity: Identity) -> str:
    """Give the identity's kind in v2's words."""
    return "EMAIL_ADDRESS" if admin.is_address(identity.name) else "DOMAIN"


def status_of(identity: Identity, deps: AdminDeps) -> str:
    """Say how its verification stands, in v2's words."""
    if admin.may_send(identity, deps):
        return "SUCCESS"
    if admin.is_address(identity.name) and confirmation.is_over(identity, deps.clock()):
        return "FAILED"
    return "PENDING"


def dkim_of(identity: Identity, deps: AdminDeps, *, enabled: bool, in_dns: bool) -> Dkim:
    """Say how its signing stands; an address is signed for by its domain's keys."""
    keys = identity_keys.look(identity.name.rpartition("@")[2], deps, in_dns=in_dns)
    active, following = dkim_keys.in_state(keys.ring, dkim_keys.ACTIVE), dkim_keys.in_state(keys.ring, dkim_keys.NEXT)
    current = active or following
    if current is None:
        return Dkim(enabled=False, status="NOT_STARTED")
    status = "SUCCESS" if active and active.name in keys.published else "PENDING"
    tokens = tuple(current.selector(algorithm) for algorithm in current.algorithms)
    return Dkim(enabled and active is not None, status, tokens, (following or current).created_at)


def dkim_attributes(dkim: Dkim) -> dict[str, Any]:
    """Give v2's DkimAttributes."""
    shown: dict[str, Any] = {"SigningEnabled": dkim.enabled, "Status": dkim.status}
    if not dkim.tokens:
        return shown
    return {
        **shown,
        "Tokens": list(dkim.tokens),
        "SigningAttributesOrigin": "EXTERNAL",
        "CurrentSigningKeyLength": "RSA_2048_BIT",
        "NextSigningKeyLength": "RSA_2048_BIT",
        "LastKeyGenerationTimestamp": dkim.made_at,
    }
