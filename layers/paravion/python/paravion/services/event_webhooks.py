"""
Webhooks of a configuration set: SES's model has no such destination, so they are made here.

They stand in the set's record among its other event destinations, as the kind `Webhook` (domain/configuration_set.py).
A host has one secret, whatever webhooks it has (services/webhook_secrets.py); the first webhook makes it.

Used by: api/native_events.py. Next: services/publish.py tells them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.configuration_set import KIND, decode_destination, is_name
from paravion.domain.status import ALREADY_EXISTS, BAD_REQUEST, NOT_FOUND, SYSTEM_BUSY, WRONG_STATE, Rejected
from paravion.domain.target import parse_target, webhook_host
from paravion.domain.told import TYPES
from paravion.services.authenticate import require_operator
from paravion.services.webhook_secrets import show_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

MOST: Final = 10
"""Event destinations of one set; SES's own limit."""

_TRIES: Final = 3


def list_destinations(set_name: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Give a set's event destinations of every kind, as its record has them.

    Raises:
        Rejected: not_found.
        LedgerUnavailable
    """
    record = deps.records.get(principal.kind(KIND), set_name)
    if record is None:
        raise Rejected(NOT_FOUND, f"there is no configuration set '{shown(set_name)}'")
    return {"destinations": sorted(record.value.get("EventDestinations", []), key=lambda item: item["Name"])}


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
        Rejected: access_denied, bad_request, not_found, already_exists, wrong_state.
        Unavailable
    """
    require_operator(principal, "webhooks are")
    unknown = [kind for kind in types if kind not in TYPES]
    if unknown:
        raise Rejected(BAD_REQUEST, f"'{shown(unknown[0])}' is none of {', '.join(TYPES)}")
    if not is_name(name):
        raise Rejected(BAD_REQUEST, "a destination's name is 1 to 64 letters, digits, hyphens and underscores")
    destination = {
        "Name": name,
        "Enabled": True,
        "MatchingEventTypes": sorted(set(types) or TYPES),
        "Webhook": {"Url": url, "Form": form},
    }
    problem = deps.destination_problem(decode_destination(destination))
    if problem:
        raise Rejected(BAD_REQUEST, shown(problem, 300))
    # crash here = a secret that nothing is signed with yet
    secrets = show_secrets(webhook_host(parse_target(url)), principal, deps)["secrets"]

    def added(destinations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(item["Name"] == name for item in destinations):
            raise Rejected(ALREADY_EXISTS, f"the set has a destination '{name}' already")
        if len(destinations) >= MOST:
            raise Rejected(WRONG_STATE, f"a set has at most {MOST} event destinations")
        return [*destinations, destination]

    _change(set_name, added, principal, deps)
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

    def removed(destinations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        left = [item for item in destinations if item["Name"] != name or "Webhook" not in item]
        if len(left) == len(destinations):
            raise Rejected(NOT_FOUND, f"the set has no webhook '{shown(name)}'")
        return left

    _change(set_name, removed, principal, deps)
    deps.event_log.emit("EventDestination", {"set": set_name, "destination": name, "what": "removed"})


def _change(
    set_name: str,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    principal: Principal,
    deps: AdminDeps,
) -> None:
    for _ in range(_TRIES):
        record = deps.records.get(principal.kind(KIND), set_name)
        if record is None:
            raise Rejected(NOT_FOUND, f"there is no configuration set '{shown(set_name)}'")
        at = datetime.fromtimestamp(int(deps.clock()), UTC).isoformat().replace("+00:00", "Z")
        destinations = change(list(record.value.get("EventDestinations", [])))
        value = {**record.value, "EventDestinations": destinations, "updated_at": at}
        if deps.records.put(record.kind, set_name, value, version=record.version) is not None:
            return
    raise Rejected(SYSTEM_BUSY, "the configuration set changes faster than it can be read")
