"""
Webhooks of a configuration set: SES's model has no such destination, so they are made here.

They stand in the set's record among its other event destinations, as the kind `Webhook` (domain/configuration_set.py).
A host has one secret, whatever webhooks it has (services/webhook_secrets.py); the first webhook makes it.

Used by: api/native_events.py. Next: services/publish.py tells them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.target import parse_target, webhook_host
from paravion.domain.told import TYPES
from paravion.services import configuration_sets
from paravion.services.authenticate import require_operator
from paravion.services.webhook_secrets import show_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


def list_destinations(set_name: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Give a set's event destinations of every kind, as its record has them.

    Raises:
        Rejected: not_found.
        LedgerUnavailable
    """
    value = configuration_sets.show(set_name, principal, deps)
    return {"destinations": sorted(value.get("EventDestinations", []), key=lambda item: item["Name"])}


def add_webhook(
    set_name: str, name: str, url: str, form: str, types: Sequence[str], principal: Principal, deps: AdminDeps
) -> dict[str, Any]:
    """
    Make a webhook of a set.

    Args:
        form: `event` or `sns` (domain/webhook_event.py).
        types: Keys of domain.told.TYPES; () for all.

    Returns:
        The destination, and `secrets`: what its requests are signed with.

    Raises:
        Rejected: access_denied, bad_request; and as services/configuration_sets.py's add_destination.
        Unavailable
    """
    require_operator(principal, "webhooks are")
    unknown = [kind for kind in types if kind not in TYPES]
    if unknown:
        raise Rejected(BAD_REQUEST, f"'{shown(unknown[0])}' is none of {', '.join(TYPES)}")
    destination = {
        "Name": name,
        "Enabled": True,
        "MatchingEventTypes": sorted(set(types) or TYPES),
        "Webhook": {"Url": url, "Form": form},
    }
    configuration_sets.add_destination(set_name, destination, principal, deps)
    # crash here = nothing is posted for want of a secret, until `paravion webhook secret HOST` makes it
    secrets = show_secrets(webhook_host(parse_target(url)), principal, deps)["secrets"]
    deps.event_log.emit("EventDestination", {"set": set_name, "destination": name, "what": "made"})
    return {"destination": destination, "secrets": secrets}


def remove_webhook(set_name: str, name: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Tell a webhook nothing more; what waits for it is dropped.

    Raises:
        Rejected: access_denied, not_found: no webhook of that name.
        LedgerUnavailable
    """
    require_operator(principal, "webhooks are")

    listed = list_destinations(set_name, principal, deps)["destinations"]
    if not any(item["Name"] == name and "Webhook" in item for item in listed):
        raise Rejected(NOT_FOUND, f"the set has no webhook '{shown(name)}'")
    configuration_sets.remove_destination(set_name, name, principal, deps)
    deps.event_log.emit("EventDestination", {"set": set_name, "destination": name, "what": "removed"})
