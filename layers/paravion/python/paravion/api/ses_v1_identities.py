"""
SES v1's operations on identities: the same identities as v2's, in v1's words.

Names that are no identity of the caller's are left out of answers about several, as SES does.

Next: services/admin.py, services/identity_settings.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import SesFault, bad_request
from paravion.api.ses_identities import base_url, dkim_of, status_of
from paravion.api.ses_model import SES_V1
from paravion.api.ses_pages import after_of, page_size, token_of
from paravion.api.ses_v2_identities import policies_of
from paravion.domain.address import shown
from paravion.domain.event_destination import is_topic
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.services import admin, identity_settings
from paravion.services.authenticate import require_manager
from paravion.services.event_destinations import topic_of_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.api.doors import Call
    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps

_WHAT: Final = "identities are"
_STATUSES: Final = {
    "PENDING": "Pending",
    "SUCCESS": "Success",
    "FAILED": "Failed",
    "TEMPORARY_FAILURE": "TemporaryFailure",
    "NOT_STARTED": "NotStarted",
}
_BEHAVIOURS: Final = {"UseDefaultValue": "USE_DEFAULT_VALUE", "RejectMessage": "REJECT_MESSAGE"}
_V1_BEHAVIOURS: Final = {v2: v1 for v1, v2 in _BEHAVIOURS.items()}
_AT_ONCE: Final = 100
_POLICIES_AT_ONCE: Final = 20
_PAGE: Final = 1000


@SES_V1.operation("VerifyEmailIdentity")
@SES_V1.operation("VerifyEmailAddress")
def verify_email_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make an address's identity, or ask its owner once more. Raises Rejected, Unavailable."""
    if "@" not in given["EmailAddress"]:
        raise bad_request("Invalid email address.")
    _ensure(given["EmailAddress"], call)
    return {}


@SES_V1.operation("VerifyDomainIdentity")
def verify_domain_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a domain's identity; the token is the TXT record's value. Raises Rejected, Unavailable."""
    return {"VerificationToken": _ensure_domain(given, call).token}


@SES_V1.operation("VerifyDomainDkim")
def verify_domain_dkim(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a domain's identity; the tokens are selectors of TXT records. Raises Rejected, Unavailable."""
    identity = _ensure_domain(given, call)
    return {"DkimTokens": list(dkim_of(identity, call.deps, enabled=True, in_dns=False).tokens)}


@SES_V1.operation("ListIdentities")
def list_identities(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List names, of one kind alone if one is named. Raises SesFault, Unavailable."""
    size, after = page_size(given, "MaxItems", _PAGE), after_of(given.get("NextToken"))
    page, go_on = admin.list_identities(size, after, call.deps, tenant=call.principal.tenant)
    wanted = given.get("IdentityType")
    names = [i.name for i in page if wanted is None or admin.is_address(i.name) == (wanted == "EmailAddress")]
    return {"Identities": names, "NextToken": token_of(go_on)}


@SES_V1.operation("ListVerifiedEmailAddresses")
def list_verified_email_addresses(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:  # noqa: ARG001
    """List the addresses that may send. Raises Unavailable."""
    names: list[str] = []
    after = ""
    while True:
        page, after = admin.list_identities(_PAGE, after, call.deps, tenant=call.principal.tenant)
        names += [i.name for i in page if admin.is_address(i.name) and admin.may_send(i, call.deps)]
        if not after:
            return {"VerifiedEmailAddresses": names}


@SES_V1.operation("DeleteIdentity")
def delete_identity(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove an identity; no error if there is none, as SES has it. Raises Rejected, Unavailable."""
    _delete(given["Identity"], call)
    return {}


@SES_V1.operation("DeleteVerifiedEmailAddress")
def delete_verified_email_address(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove an address; no error if there is none. Raises Rejected, Unavailable."""
    _delete(given["EmailAddress"], call)
    return {}


@SES_V1.operation("GetIdentityVerificationAttributes")
def get_verification_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Tell how verification stands; what waits is looked up first. Raises Rejected, Unavailable."""

    def shown(identity: Identity) -> dict[str, Any]:
        identity = admin.find_identity(identity.name, call.deps, tenant=call.principal.tenant)
        status = {"VerificationStatus": _STATUSES[status_of(identity, call.deps)]}
        return status if admin.is_address(identity.name) else {**status, "VerificationToken": identity.token}

    return {"VerificationAttributes": _of_each(given, call, shown)}


@SES_V1.operation("GetIdentityDkimAttributes")
def get_dkim_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Tell how signing stands. Raises Rejected, Unavailable."""

    def shown(identity: Identity) -> dict[str, Any]:
        enabled = identity_settings.stored(identity, call.deps).get("DkimSigningEnabled", True)
        dkim = dkim_of(identity, call.deps, enabled=enabled, in_dns=True)
        told = {"DkimEnabled": dkim.enabled, "DkimVerificationStatus": _STATUSES[dkim.status]}
        return {**told, "DkimTokens": list(dkim.tokens)} if dkim.tokens else told

    return {"DkimAttributes": _of_each(given, call, shown)}


@SES_V1.operation("GetIdentityMailFromDomainAttributes")
def get_mail_from_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Tell MAIL FROM domains, looked up first; of those that have one. Raises Rejected, Unavailable."""

    def shown(identity: Identity) -> dict[str, Any]:
        attributes = identity_settings.show(identity, call.deps).get("MailFromAttributes")
        if not attributes:
            return {}
        return {
            "MailFromDomain": attributes["MailFromDomain"],
            "MailFromDomainStatus": _STATUSES[attributes["MailFromDomainStatus"]],
            "BehaviorOnMXFailure": _V1_BEHAVIOURS[attributes["BehaviorOnMxFailure"]],
        }

    found = _of_each(given, call, shown)
    return {"MailFromDomainAttributes": {name: attributes for name, attributes in found.items() if attributes}}


@SES_V1.operation("GetIdentityNotificationAttributes")
def get_notification_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Tell topics and forwarding. Raises Rejected, Unavailable."""

    def shown(identity: Identity) -> dict[str, Any]:
        value = identity_settings.stored(identity, call.deps)
        topics, headers = value.get("NotificationTopics", {}), value.get("HeadersInNotifications", {})
        kinds = ("Bounce", "Complaint", "Delivery")
        return {
            **{f"{kind}Topic": topics.get(kind, "") for kind in kinds},
            "ForwardingEnabled": value.get("FeedbackForwardingStatus", True),
            **{f"HeadersIn{kind}NotificationsEnabled": headers.get(kind, False) for kind in kinds},
        }

    return {"NotificationAttributes": _of_each(given, call, shown)}


@SES_V1.operation("SetIdentityDkimEnabled")
def set_dkim_enabled(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether its mail is signed. Raises Rejected, Unavailable."""
    return _put(given, call, {"DkimSigningEnabled": given["DkimEnabled"]})


@SES_V1.operation("SetIdentityMailFromDomain")
def set_mail_from_domain(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set or take away its MAIL FROM domain. Raises Rejected, Unavailable."""
    behaviour = _BEHAVIOURS[given.get("BehaviorOnMXFailure", "UseDefaultValue")]
    domain = given.get("MailFromDomain", "")
    identity_settings.put_mail_from(given["Identity"], domain, behaviour, call.principal, call.deps)
    return {}


@SES_V1.operation("SetIdentityFeedbackForwardingEnabled")
def set_feedback_forwarding(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether its sender gets reports of failure by mail. Raises Rejected, Unavailable."""
    return _put(given, call, {"FeedbackForwardingStatus": given["ForwardingEnabled"]})


@SES_V1.operation("SetIdentityNotificationTopic")
def set_notification_topic(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set or take away the topic for one kind of notification. Raises SesFault, Rejected, Unavailable."""
    topic = given.get("SnsTopic", "")
    if topic and not is_topic(topic):
        raise bad_request("Invalid SNS topic.")
    problem = call.deps.destination_problem(topic_of_identity("BOUNCE", topic)) if topic else ""
    if problem:
        # Taken, it would hear nothing, and the sender who relies on it would get no reports by mail either.
        raise bad_request(f"Invalid SNS topic <{shown(topic, 300)}>: {problem}")
    return _edit_kind(given, call, "NotificationTopics", topic or None)


@SES_V1.operation("SetIdentityHeadersInNotificationsEnabled")
def set_headers_in_notifications(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether one kind of notification holds the mail's header. Raises Rejected, Unavailable."""
    return _edit_kind(given, call, "HeadersInNotifications", given["Enabled"])


@SES_V1.operation("PutIdentityPolicy")
def put_identity_policy(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Keep a policy, new or not. Raises SesFault, Rejected, Unavailable."""
    name, policy = given["Identity"], given["PolicyName"]
    try:
        identity_settings.put_policy(name, policy, given["Policy"], call.principal, call.deps)
    except Rejected as rejected:
        if rejected.status is not BAD_REQUEST:
            raise
        raise SesFault("InvalidPolicyException", rejected.detail) from rejected
    return {}


@SES_V1.operation("GetIdentityPolicies")
def get_identity_policies(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show the named policies; those that are not there are left out. Raises SesFault, Rejected, Unavailable."""
    wanted = given["PolicyNames"]
    if len(wanted) > _POLICIES_AT_ONCE:
        raise bad_request(f"At most {_POLICIES_AT_ONCE} policies can be asked for at a time.")
    policies = policies_of(given["Identity"], call)
    return {"Policies": {name: policies[name] for name in wanted if name in policies}}


@SES_V1.operation("ListIdentityPolicies")
def list_identity_policies(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List the policies' names. Raises Rejected, Unavailable."""
    return {"PolicyNames": sorted(policies_of(given["Identity"], call))}


@SES_V1.operation("DeleteIdentityPolicy")
def delete_identity_policy(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a policy; no error if there is none. Raises Rejected, Unavailable."""
    identity_settings.remove_policy(given["Identity"], given["PolicyName"], call.principal, call.deps)
    return {}


def _ensure(name: str, call: Call[AdminDeps]) -> Identity:
    require_manager(call.principal, _WHAT)
    return admin.ensure_identity(name, call.deps, tenant=call.principal.tenant, base_url=base_url(call))[0]


def _ensure_domain(given: Mapping[str, Any], call: Call[AdminDeps]) -> Identity:
    if "@" in given["Domain"]:
        raise bad_request("Invalid domain name.")
    return _ensure(given["Domain"], call)


def _delete(name: str, call: Call[AdminDeps]) -> None:
    require_manager(call.principal, _WHAT)
    try:
        admin.delete_identity(name, call.deps, tenant=call.principal.tenant)
    except Rejected as rejected:
        if rejected.status is not NOT_FOUND:
            raise


def _of_each(
    given: Mapping[str, Any], call: Call[AdminDeps], shown: Callable[[Identity], dict[str, Any]]
) -> dict[str, Any]:
    """Give something of each named identity that there is, under the name that it was asked by."""
    names = given["Identities"]
    if len(names) > _AT_ONCE:
        raise bad_request(f"At most {_AT_ONCE} identities can be asked for at a time.")
    found = {}
    for name in names:
        try:
            identity = admin.stored_identity(name, call.deps, tenant=call.principal.tenant)
        except Rejected as rejected:
            if rejected.status is not NOT_FOUND:
                raise
            continue
        found[name] = shown(identity)
    return found


def _put(given: Mapping[str, Any], call: Call[AdminDeps], members: Mapping[str, Any]) -> dict[str, Any]:
    identity_settings.put(given["Identity"], members, call.principal, call.deps)
    return {}


def _edit_kind(given: Mapping[str, Any], call: Call[AdminDeps], member: str, wanted: Any) -> dict[str, Any]:
    kind = given["NotificationType"]

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        kinds = {**value.get(member, {}), kind: wanted}
        return {**value, member: {key: item for key, item in kinds.items() if item is not None}}

    identity_settings.edit_settings(given["Identity"], edit, call.principal, call.deps)
    return {}
