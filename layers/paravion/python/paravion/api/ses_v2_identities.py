"""
SES v2's operations on identities.

A domain is proved by DNS, an address by a mail with a link; `identity_check` may ask for neither.

Next: services/admin.py, services/identity_settings.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import bad_request, refuse_unsupported
from paravion.api.ses_identities import base_url, dkim_attributes, dkim_of, kind_of, status_of
from paravion.api.ses_model import SES_V2
from paravion.api.ses_pages import after_of, page_size, token_of
from paravion.api.ses_v2_configuration_sets import tags_of_thing
from paravion.domain.dkim import brought_key
from paravion.services import admin, identity_keys, identity_settings
from paravion.services.authenticate import require_manager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps

_WHAT: Final = "identities are"


@SES_V2.operation("CreateEmailIdentity")
def create_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make an identity. Raises SesFault, Rejected, Unavailable."""
    require_manager(call.principal, _WHAT)
    name, deps = given["EmailIdentity"], call.deps
    members: dict[str, Any] = {}
    if given.get("Tags"):
        members["Tags"] = tags_of_thing(given["Tags"])
    if given.get("ConfigurationSetName"):
        members["ConfigurationSetName"] = given["ConfigurationSetName"]
    attributes = given.get("DkimSigningAttributes", {})
    brought = _brought(attributes, attributes.get("DomainSigningAttributesOrigin")) if attributes else None
    if brought and "@" in name:
        raise bad_request("DkimSigningAttributes are a domain's: an address has no keys of its own.")
    if members.get("ConfigurationSetName"):
        identity_settings.check_set(members["ConfigurationSetName"], call.principal, deps)
    identity = admin.create_identity(name, deps, tenant=call.principal.tenant, base_url=base_url(call))
    if brought:
        identity_keys.bring(identity.name, *brought, deps)
    if members:
        identity_settings.put(identity.name, members, call.principal, deps)
    return {
        "IdentityType": kind_of(identity),
        "VerifiedForSendingStatus": admin.may_send(identity, deps),
        "DkimAttributes": dkim_attributes(dkim_of(identity, deps, enabled=True, in_dns=False)),
    }


@SES_V2.operation("GetEmailIdentity")
def get_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show an identity; what is not proved is looked up first. Raises Rejected, Unavailable."""
    identity = admin.find_identity(given["EmailIdentity"], call.deps, tenant=call.principal.tenant)
    value = identity_settings.show(identity, call.deps)
    enabled = value.get("DkimSigningEnabled", True)
    shown = {
        "IdentityType": kind_of(identity),
        "FeedbackForwardingStatus": value.get("FeedbackForwardingStatus", True),
        "VerifiedForSendingStatus": admin.may_send(identity, call.deps),
        "VerificationStatus": status_of(identity, call.deps),
        "DkimAttributes": dkim_attributes(dkim_of(identity, call.deps, enabled=enabled, in_dns=True)),
        "Policies": value.get("Policies", {}),
        "Tags": value.get("Tags", []),
    }
    more = ("ConfigurationSetName", "MailFromAttributes")
    return {**shown, **{member: value[member] for member in more if value.get(member)}}


@SES_V2.operation("ListEmailIdentities")
def list_email_identities(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List identities by name. Raises SesFault, Unavailable."""
    refuse_unsupported(given, ("Filter",))
    page, go_on = admin.list_identities(
        page_size(given), after_of(given.get("NextToken")), call.deps, tenant=call.principal.tenant
    )
    return {
        "EmailIdentities": [
            {
                "IdentityType": kind_of(identity),
                "IdentityName": identity.name,
                "SendingEnabled": admin.may_send(identity, call.deps),
                "VerificationStatus": status_of(identity, call.deps),
            }
            for identity in page
        ],
        "NextToken": token_of(go_on),
    }


@SES_V2.operation("DeleteEmailIdentity")
def delete_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove an identity. Raises Rejected, Unavailable."""
    require_manager(call.principal, _WHAT)
    admin.delete_identity(given["EmailIdentity"], call.deps, tenant=call.principal.tenant)
    return {}


@SES_V2.operation("PutEmailIdentityConfigurationSetAttributes")
def put_configuration_set_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set or take away its default configuration set. Raises Rejected, Unavailable."""
    return _put(given, call, {"ConfigurationSetName": given.get("ConfigurationSetName") or None})


@SES_V2.operation("PutEmailIdentityFeedbackAttributes")
def put_feedback_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether its sender gets reports of failure by mail. Raises Rejected, Unavailable."""
    return _put(given, call, {"FeedbackForwardingStatus": bool(given.get("EmailForwardingEnabled", False))})


@SES_V2.operation("PutEmailIdentityDkimAttributes")
def put_dkim_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether its mail is signed. Raises Rejected, Unavailable."""
    return _put(given, call, {"DkimSigningEnabled": bool(given.get("SigningEnabled", False))})


@SES_V2.operation("PutEmailIdentityMailFromAttributes")
def put_mail_from_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set or take away its MAIL FROM domain. Raises Rejected, Unavailable."""
    behaviour = given.get("BehaviorOnMxFailure", "USE_DEFAULT_VALUE")
    domain = given.get("MailFromDomain", "")
    identity_settings.put_mail_from(given["EmailIdentity"], domain, behaviour, call.principal, call.deps)
    return {}


@SES_V2.operation("PutEmailIdentityDkimSigningAttributes")
def put_dkim_signing_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Bring a key, or go back to ours. Raises SesFault, Rejected, Unavailable."""
    identity = identity_settings.managed(given["EmailIdentity"], call.principal, call.deps)
    if admin.is_address(identity.name):
        raise bad_request("Signing attributes are a domain's: an address has no keys of its own.")
    brought = _brought(given.get("SigningAttributes", {}), given["SigningAttributesOrigin"])
    if brought:
        identity_keys.bring(identity.name, *brought, call.deps)
    else:
        identity_keys.bring_back(identity.name, call.deps)
    dkim = dkim_of(identity, call.deps, enabled=True, in_dns=False)
    return {"DkimStatus": dkim.status, "DkimTokens": list(dkim.tokens)}


@SES_V2.operation("CreateEmailIdentityPolicy")
def create_policy(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Add a policy. Raises Rejected, Unavailable."""
    return _put_policy(given, call, new=True)


@SES_V2.operation("UpdateEmailIdentityPolicy")
def update_policy(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Change a policy. Raises Rejected, Unavailable."""
    return _put_policy(given, call, new=False)


@SES_V2.operation("GetEmailIdentityPolicies")
def get_policies(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show all policies. Raises Rejected, Unavailable."""
    return {"Policies": policies_of(given["EmailIdentity"], call)}


@SES_V2.operation("DeleteEmailIdentityPolicy")
def delete_policy(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a policy. Raises Rejected, Unavailable."""
    identity_settings.remove_policy(given["EmailIdentity"], given["PolicyName"], call.principal, call.deps)
    return {}


def policies_of(name: str, call: Call[AdminDeps]) -> Mapping[str, str]:
    """Give an identity's policies. Raises Rejected, LedgerUnavailable."""
    identity: Identity = identity_settings.managed(name, call.principal, call.deps)
    policies: Mapping[str, str] = identity_settings.stored(identity, call.deps).get("Policies", {})
    return policies


def _put(given: Mapping[str, Any], call: Call[AdminDeps], members: Mapping[str, Any]) -> dict[str, Any]:
    identity_settings.put(given["EmailIdentity"], members, call.principal, call.deps)
    return {}


def _put_policy(given: Mapping[str, Any], call: Call[AdminDeps], *, new: bool) -> dict[str, Any]:
    name, policy = given["EmailIdentity"], given["PolicyName"]
    identity_settings.put_policy(name, policy, given["Policy"], call.principal, call.deps, new=new)
    return {}


def _brought(attributes: Mapping[str, Any], origin: str | None) -> tuple[str, bytes] | None:
    """Give selector and key that somebody brings; None: he wants ours."""
    selector, text = attributes.get("DomainSigningSelector"), attributes.get("DomainSigningPrivateKey")
    if attributes.get("DomainSigningAttributesOrigin", origin) != origin:
        raise bad_request("DomainSigningAttributesOrigin must be SigningAttributesOrigin.")
    if origin not in (None, "EXTERNAL", "AWS_SES"):
        raise bad_request("Keys of another region's identity are not supported by paravion yet.")
    if attributes.get("NextSigningKeyLength", "RSA_2048_BIT") != "RSA_2048_BIT":
        raise bad_request("NextSigningKeyLength RSA_1024_BIT is not supported by paravion: keys have 2048 bits.")
    if origin == "AWS_SES" or (origin is None and not (selector or text)):
        if selector or text:
            raise bad_request("DomainSigningSelector and DomainSigningPrivateKey are for origin EXTERNAL.")
        return None
    if not (selector and text):
        raise bad_request("DomainSigningSelector and DomainSigningPrivateKey are needed together.")
    try:
        return selector, brought_key(text)
    except ValueError as exc:
        raise bad_request("DomainSigningPrivateKey is no RSA key of 1024 to 2048 bits in base64.") from exc
