"""
Manage what is kept of an identity besides its proof (domain/identity.py), and verify its MAIL FROM domain.

A MAIL FROM domain is verified as SES verifies one, by MX and SPF, but for whose: mail to it must have somewhere to go,
and it must publish an SPF record. It is looked at when it is set and whenever somebody asks for it.

Next: api/ses_v2_identities.py and api/ses_v1_identities.py ask; services/sender.py goes by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.configuration_set import KIND as CONFIGURATION_SET
from paravion.domain.configuration_set import is_name
from paravion.domain.identity import KIND, identities_of
from paravion.domain.next_hop import NextHop
from paravion.domain.outcome import Result
from paravion.domain.policy import check
from paravion.domain.spf import spf_records
from paravion.domain.status import (
    ALREADY_EXISTS,
    BAD_REQUEST,
    LIMIT_EXCEEDED,
    NO_SUCH_CONFIGURATION_SET,
    NOT_FOUND,
    Rejected,
)
from paravion.domain.tenant import record_kind
from paravion.services import admin
from paravion.services.authenticate import require_manager
from paravion.services.record_change import change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.ports import Identity
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

POLICIES_MAX: Final = 20
"""SES's limit of one identity's."""

_POLICY_CHARACTERS: Final = 4096


def show(identity: Identity, deps: AdminDeps) -> Mapping[str, Any]:
    """Give an identity's record as it is, {} for none; a MAIL FROM domain that waits is looked up first."""
    value = stored(identity, deps)
    mail_from = value.get("MailFromAttributes")
    if not mail_from:
        return value
    status = _mail_from_status(mail_from["MailFromDomain"], deps)
    if status == mail_from["MailFromDomainStatus"]:
        return value

    def looked_up(current: Mapping[str, Any] | None) -> Mapping[str, Any]:
        current = current or {}
        if current.get("MailFromAttributes", {}).get("MailFromDomain") != mail_from["MailFromDomain"]:
            return current
        return {**current, "MailFromAttributes": {**current["MailFromAttributes"], "MailFromDomainStatus": status}}

    return _change(identity, looked_up, deps)


def put(name: str, members: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Set some members in place of what they were; None takes one away.

    Raises:
        Rejected: access_denied, not_found, bad_request; no_such_configuration_set; changed_meanwhile.
        LedgerUnavailable
    """
    if members.get("ConfigurationSetName"):
        check_set(members["ConfigurationSetName"], principal, deps)

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        merged = {**value, **members}
        return {member: given for member, given in merged.items() if given is not None}

    edit_settings(name, edit, principal, deps)


def check_set(name: str, principal: Principal, deps: AdminDeps) -> None:
    """Hold a name to the principal's sets. Raises Rejected (no_such_configuration_set), LedgerUnavailable."""
    if not is_name(name) or deps.records.get(principal.kind(CONFIGURATION_SET), name) is None:
        raise Rejected(NO_SUCH_CONFIGURATION_SET, f"Configuration set <{ascii(name)[1:-1][:64]}> does not exist.")


def put_mail_from(name: str, domain: str, behaviour: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Set or take away ("") the MAIL FROM domain: one below the identity's own, as SES has it.

    Raises:
        Rejected: access_denied, not_found; bad_request: no such domain, or another tenant's.
        LedgerUnavailable
    """
    identity = managed(name, principal, deps)
    if not domain:
        put(name, {"MailFromAttributes": None}, principal, deps)
        return
    domain = admin.identity_name(domain)
    own = identity.name.rpartition("@")[2]
    if "@" in domain or not domain.endswith(f".{own}"):
        text = f"Provided MAIL-FROM domain <{domain}> is not subdomain of the domain of the identity."
        raise Rejected(BAD_REQUEST, text)
    if _is_another_tenants(domain, identity, deps):
        # An address's owner is not its domain's: the reverse-path must be no way to send as somebody else.
        raise Rejected(BAD_REQUEST, f"Provided MAIL-FROM domain <{domain}> belongs to an identity that is not yours.")
    attributes = {
        "MailFromDomain": domain,
        "MailFromDomainStatus": _mail_from_status(domain, deps),
        "BehaviorOnMxFailure": behaviour,
    }
    put(name, {"MailFromAttributes": attributes}, principal, deps)


def put_policy(
    name: str, policy_name: str, text: str, principal: Principal, deps: AdminDeps, *, new: bool | None = None
) -> None:
    """
    Keep a policy.

    Args:
        new: It must be there before (False), or not (True); None: either.

    Raises:
        Rejected: access_denied, not_found, already_exists, limit_exceeded; bad_request: domain/policy.py says why.
        LedgerUnavailable
    """
    try:
        if len(text) > _POLICY_CHARACTERS:
            raise ValueError(f"it is longer than {_POLICY_CHARACTERS} characters")  # noqa: TRY301
        check(text)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"Policy is not valid: {exc}.") from exc

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        policies = value.get("Policies", {})
        if new is True and policy_name in policies:
            raise Rejected(ALREADY_EXISTS, f"Policy <{policy_name}> already exists.")
        if new is False and policy_name not in policies:
            raise Rejected(NOT_FOUND, f"Policy <{policy_name}> does not exist.")
        if policy_name not in policies and len(policies) >= POLICIES_MAX:
            raise Rejected(LIMIT_EXCEEDED, f"An identity has at most {POLICIES_MAX} policies.")
        return {**value, "Policies": {**policies, policy_name: text}}

    edit_settings(name, edit, principal, deps)


def remove_policy(name: str, policy_name: str, principal: Principal, deps: AdminDeps) -> None:
    """Remove a policy; no error if there is none, as SES has it. Raises Rejected, LedgerUnavailable."""

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        policies = value.get("Policies", {})
        return {**value, "Policies": {key: text for key, text in policies.items() if key != policy_name}}

    edit_settings(name, edit, principal, deps)


def edit_settings(
    name: str, edit: Callable[[Mapping[str, Any]], Mapping[str, Any]], principal: Principal, deps: AdminDeps
) -> None:
    """Change the settings of a tenant's own identity. Raises Rejected, LedgerUnavailable."""
    identity = managed(name, principal, deps)
    _change(identity, lambda value: {**edit(value or {}), "updated_at": deps.clock()}, deps)


def managed(name: str, principal: Principal, deps: AdminDeps) -> Identity:
    """Give the principal's identity, which he may manage. Raises Rejected, LedgerUnavailable."""
    require_manager(principal, "identities are")
    return admin.stored_identity(name, deps, tenant=principal.tenant)


def _kind(identity: Identity) -> str:
    return record_kind(identity.tenant, KIND)


def stored(identity: Identity, deps: AdminDeps) -> Mapping[str, Any]:
    """Give an identity's record as it is, {} for none. Raises LedgerUnavailable."""
    record = deps.records.get(_kind(identity), identity.name)
    return record.value if record else {}


def _change(
    identity: Identity, edit: Callable[[Mapping[str, Any] | None], Mapping[str, Any]], deps: AdminDeps
) -> Mapping[str, Any]:
    return change(deps.records, _kind(identity), identity.name, edit)


def _is_another_tenants(domain: str, identity: Identity, deps: AdminDeps) -> bool:
    """Of the identities that a domain belongs to, the nearest that may send decides."""
    found = (deps.identities.get(name) for name in identities_of(f"postmaster@{domain}"))
    nearest = next((each for each in found if each is not None and admin.may_send(each, deps)), None)
    return nearest is not None and nearest.tenant != identity.tenant


def _mail_from_status(domain: str, deps: AdminDeps) -> str:
    hop = deps.next_hop(domain)
    if not isinstance(hop, NextHop):
        return "TEMPORARY_FAILURE" if hop.result is Result.DEFERRED else "PENDING"
    return "SUCCESS" if spf_records(deps.resolver_txt(domain)) else "PENDING"
