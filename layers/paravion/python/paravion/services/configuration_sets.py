"""
Manage a tenant's configuration sets and their event destinations.

Values are the record's (domain/configuration_set.py). A change of options is seen by the mail's road within a minute.

Next: api/ses_v2_configuration_sets.py and api/ses_v1_configuration_sets.py ask; services/configuration.py goes by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.configuration_set import KIND, decode_destination, is_name
from paravion.domain.event_destination import DESTINATIONS_MAX, check
from paravion.domain.status import (
    ALREADY_EXISTS,
    BAD_REQUEST,
    LIMIT_EXCEEDED,
    NO_SUCH_CONFIGURATION_SET,
    NOT_FOUND,
    Rejected,
)
from paravion.services.authenticate import require_manager
from paravion.services.record_change import change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

_WHAT: Final = "configuration sets are"


def create(name: str, options: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Make a set.

    Raises:
        Rejected: access_denied, bad_request (its name), already_exists.
        LedgerUnavailable
    """
    require_manager(principal, _WHAT)
    if not is_name(name):
        raise Rejected(BAD_REQUEST, "ConfigurationSetName must be 1 to 64 of letters, digits, '_' and '-'.")
    now = deps.clock()
    value = {**options, "created_at": now, "updated_at": now}
    if deps.records.put(principal.kind(KIND), name, value, version=0) is None:
        raise Rejected(ALREADY_EXISTS, f"Configuration set <{name}> already exists.")


def show(name: str, principal: Principal, deps: AdminDeps) -> Mapping[str, Any]:
    """Give a set's record. Raises Rejected (access_denied, no_such_configuration_set), LedgerUnavailable."""
    require_manager(principal, _WHAT)
    record = deps.records.get(principal.kind(KIND), name) if is_name(name) else None
    return _there(record.value if record else None, name)


def page(limit: int, after: str, principal: Principal, deps: AdminDeps) -> tuple[list[str], str]:
    """
    List sets' names.

    Returns:
        Up to `limit`, and the name to go on after, "" when there are no more.

    Raises:
        Rejected: access_denied.
        LedgerUnavailable
    """
    require_manager(principal, _WHAT)
    names = [record.name for record in deps.records.page(principal.kind(KIND), limit + 1, after)]
    return names[:limit], names[limit - 1] if len(names) > limit else ""


def delete(name: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Remove a set; mail that names it, or whose identity does, is refused from then on.

    Raises:
        Rejected: access_denied, no_such_configuration_set.
        LedgerUnavailable
    """
    require_manager(principal, _WHAT)
    if not (is_name(name) and deps.records.delete(principal.kind(KIND), name)):
        _there(None, name)


def put_options(name: str, member: str, options: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Set one of SES's groups of options in place of what it was.

    Args:
        member: E.g. `DeliveryOptions`.

    Raises:
        Rejected: access_denied, no_such_configuration_set, changed_meanwhile.
        LedgerUnavailable
    """
    _edit(name, lambda value: {**value, member: dict(options)}, principal, deps)


def merge_options(name: str, member: str, options: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """Set some of a group of options, and leave the others as they are. Raises as `put_options`."""
    _edit(name, lambda value: {**value, member: {**value.get(member, {}), **options}}, principal, deps)


def put_own(name: str, *, keep_message_id: bool, priority: str, principal: Principal, deps: AdminDeps) -> None:
    """Set what SES knows nothing of, in place of what it was (ConfigurationSet). Raises as `put_options`."""
    _edit(name, lambda value: {**value, "KeepMessageId": keep_message_id, "Priority": priority}, principal, deps)


def add_destination(name: str, item: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Add an event destination.

    Raises:
        Rejected: access_denied, no_such_configuration_set, changed_meanwhile; bad_request: as
            domain/event_destination.py says; destination_exists, limit_exceeded.
        LedgerUnavailable
    """

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        items = _destinations(value)
        if item["Name"] in items:
            raise Rejected(ALREADY_EXISTS, f"Event destination <{item['Name']}> already exists.")
        if len(items) >= DESTINATIONS_MAX:
            raise Rejected(LIMIT_EXCEEDED, f"A configuration set has at most {DESTINATIONS_MAX} event destinations.")
        return {**value, "EventDestinations": [*items.values(), dict(item)]}

    _check(item, deps)
    _edit(name, edit, principal, deps)


def replace_destination(name: str, item: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """Change an event destination, by its name. Raises as `add_destination`; not_found: there is none of its name."""

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        items = _destinations(value)
        _has(items, item["Name"])
        return {**value, "EventDestinations": list({**items, item["Name"]: dict(item)}.values())}

    _check(item, deps)
    _edit(name, edit, principal, deps)


def remove_destination(name: str, destination: str, principal: Principal, deps: AdminDeps) -> None:
    """Remove an event destination. Raises Rejected as `replace_destination`, LedgerUnavailable."""

    def edit(value: Mapping[str, Any]) -> Mapping[str, Any]:
        items = _destinations(value)
        _has(items, destination)
        return {**value, "EventDestinations": [item for key, item in items.items() if key != destination]}

    _edit(name, edit, principal, deps)


def _edit(
    name: str,
    edit: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    principal: Principal,
    deps: AdminDeps,
) -> None:
    require_manager(principal, _WHAT)
    if not is_name(name):
        _there(None, name)
    change(
        deps.records,
        principal.kind(KIND),
        name,
        lambda value: {**edit(_there(value, name)), "updated_at": deps.clock()},
    )


def _there(value: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    if value is None:
        raise Rejected(NO_SUCH_CONFIGURATION_SET, f"Configuration set <{ascii(name)[1:-1][:64]}> does not exist.")
    return value


def _destinations(value: Mapping[str, Any]) -> dict[str, Any]:
    return {item["Name"]: item for item in value.get("EventDestinations", ())}


def _has(items: Mapping[str, Any], name: str) -> None:
    if name not in items:
        raise Rejected(NOT_FOUND, f"Event destination <{ascii(name)[1:-1][:64]}> does not exist.")


def _check(item: Mapping[str, Any], deps: AdminDeps) -> None:
    wrong = check(item) or deps.destination_problem(decode_destination(item))
    if wrong:
        raise Rejected(BAD_REQUEST, wrong)
