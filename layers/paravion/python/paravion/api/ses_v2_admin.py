"""
SES v2 operations of `admin`: GetAccount and the email identities.

A domain is verified by our own TXT record, not by DKIM tokens; SES's answers have no member for it, so its
value is told by the native `GET /v1/identities/{name}`. Tags, policies and configuration sets of an identity are
not built: refused or left out, never invented.

DkimAttributes tell our keys in SES's words for keys that the user publishes (origin EXTERNAL): the tokens are
selectors, whose TXT records the native API tells; they are no names of CNAME records.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import SesFault, not_found, refuse_unsupported
from paravion.api.ses_model import SES_V2
from paravion.domain import dkim_keys
from paravion.domain.dkim import ALGORITHMS
from paravion.services import admin, identity_keys
from paravion.services.authenticate import require_operator
from paravion.services.suppression import account_reasons

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps

_PAGE: Final = 100
_PAGE_MAX: Final = 1000
"""SES's own limit of PageSize."""


@SES_V2.operation("GetAccount")
def get_account(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:  # noqa: ARG001
    """Tell that mail is taken. No sending quota is enforced, so none is told. Raises LedgerUnavailable."""
    return {
        "SendingEnabled": True,
        "ProductionAccessEnabled": True,
        "DedicatedIpAutoWarmupEnabled": False,
        "SuppressionAttributes": {"SuppressedReasons": list(account_reasons(call.deps))},
    }


@SES_V2.operation("CreateEmailIdentity")
def create_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make an identity. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, ("Tags", "DkimSigningAttributes"))
    if given.get("ConfigurationSetName"):
        raise not_found(f"Configuration set <{ascii(given['ConfigurationSetName'])[1:-1][:64]}> does not exist.")
    require_operator(call.principal, "identities are")
    identity = admin.create_identity(given["EmailIdentity"], call.deps)
    return {
        "IdentityType": _kind(identity),
        "VerifiedForSendingStatus": admin.may_send(identity, call.deps),
        "DkimAttributes": _dkim(identity, call.deps, in_dns=False),
    }


@SES_V2.operation("GetEmailIdentity")
def get_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show an identity; an unverified one is checked first. Raises Rejected, Unavailable."""
    identity = admin.find_identity(given["EmailIdentity"], call.deps)
    return {
        "IdentityType": _kind(identity),
        # Reports of failure always go to the reverse-path.
        "FeedbackForwardingStatus": True,
        "VerifiedForSendingStatus": admin.may_send(identity, call.deps),
        "VerificationStatus": _status(identity, call.deps),
        "DkimAttributes": _dkim(identity, call.deps, in_dns=True),
        "Policies": {},
        "Tags": [],
    }


@SES_V2.operation("ListEmailIdentities")
def list_email_identities(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List identities by name. Raises SesFault, Unavailable."""
    refuse_unsupported(given, ("Filter",))
    limit = given.get("PageSize", _PAGE)
    if not 0 <= limit <= _PAGE_MAX:
        raise SesFault("BadRequestException", f"PageSize must be 0 to {_PAGE_MAX}.")
    page, go_on = admin.list_identities(limit or _PAGE, _after(given.get("NextToken", "")), call.deps)
    return {
        "EmailIdentities": [
            {
                "IdentityType": _kind(identity),
                "IdentityName": identity.name,
                "SendingEnabled": admin.may_send(identity, call.deps),
                "VerificationStatus": _status(identity, call.deps),
            }
            for identity in page
            if identity.tenant == call.principal.tenant
        ],
        "NextToken": base64.urlsafe_b64encode(go_on.encode()).decode() if go_on else None,
    }


@SES_V2.operation("DeleteEmailIdentity")
def delete_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove an identity. Raises Rejected, Unavailable."""
    require_operator(call.principal, "identities are")
    admin.delete_identity(given["EmailIdentity"], call.deps)
    return {}


def _after(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode("ascii")).decode()
    except (ValueError, binascii.Error) as exc:
        raise SesFault(
            "InvalidNextTokenException", "The specified request includes an invalid or expired token."
        ) from exc


def _dkim(identity: Identity, deps: AdminDeps, *, in_dns: bool) -> dict[str, Any]:
    """Give DkimAttributes; an address is signed for by its domain's keys."""
    domain = identity.name.rpartition("@")[2]
    keys = identity_keys.look(domain, deps, in_dns=in_dns)
    active, following = dkim_keys.in_state(keys.ring, dkim_keys.ACTIVE), dkim_keys.in_state(keys.ring, dkim_keys.NEXT)
    current = active or following
    if current is None:
        return {"SigningEnabled": False, "Status": "NOT_STARTED"}
    return {
        "SigningEnabled": active is not None,
        "Status": "SUCCESS" if active and active.name in keys.published else "PENDING",
        "Tokens": [current.selector(algorithm) for algorithm in ALGORITHMS],
        "SigningAttributesOrigin": "EXTERNAL",
        "CurrentSigningKeyLength": "RSA_2048_BIT",
        "NextSigningKeyLength": "RSA_2048_BIT",
        "LastKeyGenerationTimestamp": (following or current).created_at,
    }


def _kind(identity: Identity) -> str:
    return "EMAIL_ADDRESS" if admin.is_address(identity.name) else "DOMAIN"


def _status(identity: Identity, deps: AdminDeps) -> str:
    return "SUCCESS" if admin.may_send(identity, deps) else "PENDING"
