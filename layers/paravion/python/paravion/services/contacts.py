"""
Manage a tenant's contact lists and contacts.

They are the application's own data, like its templates: any credential of the tenant may, unless its scope says
otherwise. Values are SES's members with created_at and updated_at (domain/contacts.py). A change is seen by the mail's
road within a minute.

Next: api/ses_v2_contacts.py asks; services/list_management.py goes by what is kept here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import contacts
from paravion.domain.address import parse_path, shown
from paravion.domain.contacts import LISTS_KIND, NAME, OPT_OUT, TOPICS_MAX, contact_name
from paravion.domain.status import ALREADY_EXISTS, BAD_REQUEST, LIMIT_EXCEEDED, NOT_FOUND, RATE_LIMITED, Rejected
from paravion.domain.tenant import contacts_kind
from paravion.services import unsubscribe_keys
from paravion.services.record_change import change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paravion.ports import Record
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

LISTS_MAX: Final = 100
"""Of a tenant; SES has one for an account."""

ATTRIBUTES_CHARACTERS: Final = 10_000
DELETED_AT_ONCE: Final = 1000
"""Contacts that go with one call of a list's deletion."""

_SCANNED: Final = 5000
"""Contacts that one call looks at for those that a filter lets through."""

_PAGE: Final = 500
_TEXT: Final = 500
"""Characters of a description or a display name."""


def create_list(given: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Make a list; the first one makes the key of unsubscribe links.

    Raises:
        Rejected: bad_request, already_exists, limit_exceeded.
        LedgerUnavailable, SecretsUnavailable
    """
    name = given["ContactListName"]
    if not NAME.fullmatch(name):
        raise Rejected(BAD_REQUEST, "ContactListName must be 1 to 64 of letters, digits, '_' and '-'.")
    value = _list_value(given)
    kind = principal.kind(LISTS_KIND)
    if deps.records.get(kind, name) is None and len(deps.records.page(kind, LISTS_MAX)) >= LISTS_MAX:
        raise Rejected(LIMIT_EXCEEDED, f"There are {LISTS_MAX} contact lists already.")
    unsubscribe_keys.ensure(deps.secrets, deps.new_token)
    now = deps.clock()
    if given.get("Tags"):
        value["Tags"] = list(given["Tags"])
    value |= {"ContactListName": name, "created_at": now, "updated_at": now}
    if deps.records.put(kind, name, value, version=0) is None:
        raise Rejected(ALREADY_EXISTS, f"List with name: {name} already exists.")


def update_list(given: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Replace topics and description.

    Raises:
        Rejected: bad_request, not_found, changed_meanwhile.
        LedgerUnavailable
    """
    name, value = given["ContactListName"], _list_value(given)

    def edit(kept: Mapping[str, Any] | None) -> dict[str, Any]:
        there = _there(kept, name)
        stays = {key: there[key] for key in ("ContactListName", "created_at", "Tags") if key in there}
        return {**stays, **value, "updated_at": deps.clock()}

    change(deps.records, principal.kind(LISTS_KIND), _checked(name), edit)


def show_list(name: str, principal: Principal, deps: AdminDeps) -> Mapping[str, Any]:
    """Give a list's record. Raises Rejected (not_found), LedgerUnavailable."""
    record = deps.records.get(principal.kind(LISTS_KIND), name) if NAME.fullmatch(name) else None
    return _there(record.value if record else None, name)


def page_of_lists(limit: int, after: str, principal: Principal, deps: AdminDeps) -> tuple[list[Record], str]:
    """Give up to `limit` lists, and the name to go on after, "" at the end. Raises LedgerUnavailable."""
    found = deps.records.page(principal.kind(LISTS_KIND), limit + 1, after)
    return found[:limit], found[limit - 1].name if len(found) > limit else ""


def delete_list(name: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Remove a list and its contacts, these first: what a crash leaves is a shorter list.

    Raises:
        Rejected: not_found; rate_limited: there were more contacts than one call removes, ask again.
        LedgerUnavailable
    """
    show_list(name, principal, deps)
    kind = principal.kind(contacts_kind(name))
    found = deps.records.page(kind, DELETED_AT_ONCE + 1)
    for record in found[:DELETED_AT_ONCE]:
        deps.records.delete(kind, record.name)
    if len(found) > DELETED_AT_ONCE:
        raise Rejected(RATE_LIMITED, f"{DELETED_AT_ONCE} contacts of the list are deleted, others are left: ask again.")
    deps.records.delete(principal.kind(LISTS_KIND), name)


def create(given: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Make a contact.

    Raises:
        Rejected: bad_request, not_found (its list), already_exists.
        LedgerUnavailable
    """
    contact_list = show_list(given["ContactListName"], principal, deps)
    name = _contact(given["EmailAddress"])
    now = deps.clock()
    value = {
        "EmailAddress": given["EmailAddress"],
        "TopicPreferences": _preferences(given.get("TopicPreferences", ()), contact_list),
        "UnsubscribeAll": given.get("UnsubscribeAll", False),
        **_attributes(given),
        "created_at": now,
        "updated_at": now,
    }
    if deps.records.put(principal.kind(contacts_kind(given["ContactListName"])), name, value, version=0) is None:
        raise Rejected(ALREADY_EXISTS, f"Email address: {shown(given['EmailAddress'])} already exists in this list.")


def update(given: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Replace a contact's preferences, all of them, as SES does; what else is not given stays.

    Raises:
        Rejected: bad_request, not_found, changed_meanwhile.
        LedgerUnavailable
    """
    contact_list = show_list(given["ContactListName"], principal, deps)
    name = _contact(given["EmailAddress"])
    said = _preferences(given.get("TopicPreferences", ()), contact_list)

    def edit(kept: Mapping[str, Any] | None) -> dict[str, Any]:
        there = _contact_there(kept, given["EmailAddress"])
        flag = given.get("UnsubscribeAll", there.get("UnsubscribeAll", False))
        new = {"TopicPreferences": said, "UnsubscribeAll": flag, "updated_at": deps.clock()}
        return {**there, **new, **_attributes(given)}

    change(deps.records, principal.kind(contacts_kind(given["ContactListName"])), name, edit)


def show(name: str, address: str, principal: Principal, deps: AdminDeps) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give a contact's record and its list's. Raises Rejected (bad_request, not_found), LedgerUnavailable."""
    contact_list = show_list(name, principal, deps)
    record = deps.records.get(principal.kind(contacts_kind(name)), _contact(address))
    return _contact_there(record.value if record else None, address), contact_list


def delete(name: str, address: str, principal: Principal, deps: AdminDeps) -> None:
    """Remove a contact. Raises Rejected (bad_request, not_found), LedgerUnavailable."""
    show_list(name, principal, deps)
    if not deps.records.delete(principal.kind(contacts_kind(name)), _contact(address)):
        _contact_there(None, address)


def page(
    name: str, limit: int, after: str, given: Mapping[str, Any], principal: Principal, deps: AdminDeps
) -> tuple[list[Mapping[str, Any]], str, Mapping[str, Any]]:
    """
    List contacts that a filter lets through.

    Args:
        given: SES's ListContactsFilter.

    Returns:
        Up to `limit`, maybe fewer though there are more; the name to go on after, "" at the end; the list.

    Raises:
        Rejected: bad_request, not_found.
        LedgerUnavailable
    """
    contact_list = show_list(name, principal, deps)
    status, by_topic = given.get("FilteredStatus", ""), given.get("TopicFilter", {})
    topic, by_default = by_topic.get("TopicName", ""), by_topic.get("UseDefaultIfPreferenceUnavailable", False)
    if by_topic and not (status and topic):
        raise Rejected(BAD_REQUEST, "A TopicFilter needs a TopicName, and FilteredStatus beside it.")
    defaults = contacts.default_preferences(contact_list)
    if topic and topic not in defaults:
        raise Rejected(BAD_REQUEST, f"Topic: {shown(topic)} doesn't exist in list: {name}.")

    def passes(contact: Mapping[str, Any]) -> bool:
        left = contact.get("UnsubscribeAll", False)
        said = contacts.preferences(contact).get(topic, defaults[topic] if topic and by_default else "")
        stands = OPT_OUT if left else (said if topic else contacts.OPT_IN)
        return not status or stands == status

    found: list[Mapping[str, Any]] = []
    kind = principal.kind(contacts_kind(name))
    for _ in range(0, _SCANNED, _PAGE):
        records = deps.records.page(kind, _PAGE, after)
        for record in records:
            if passes(record.value):
                if len(found) == limit:
                    return found, after, contact_list
                found.append(record.value)
            after = record.name
        if len(records) < _PAGE:
            return found, "", contact_list
    return found, after, contact_list


def _list_value(given: Mapping[str, Any]) -> dict[str, Any]:
    topics: Sequence[Mapping[str, Any]] = given.get("Topics", ())
    if len(topics) > TOPICS_MAX:
        raise Rejected(BAD_REQUEST, f"A contact list has up to {TOPICS_MAX} topics.")
    names = [topic["TopicName"] for topic in topics]
    for topic in topics:
        if not NAME.fullmatch(topic["TopicName"]):
            raise Rejected(BAD_REQUEST, "TopicName must be 1 to 64 of letters, digits, '_' and '-'.")
        if not 1 <= len(topic["DisplayName"]) <= _TEXT or len(topic.get("Description", "")) > _TEXT:
            raise Rejected(BAD_REQUEST, f"DisplayName must be 1 to {_TEXT} characters, Description up to {_TEXT}.")
    if len(set(names)) < len(names):
        raise Rejected(BAD_REQUEST, "A topic is there more than once.")
    if len(given.get("Description", "")) > _TEXT:
        raise Rejected(BAD_REQUEST, f"Description must be up to {_TEXT} characters.")
    value: dict[str, Any] = {"Topics": [dict(topic) for topic in topics]}
    if "Description" in given:
        value["Description"] = given["Description"]
    return value


def _preferences(given: Iterable[Mapping[str, str]], contact_list: Mapping[str, Any]) -> list[dict[str, str]]:
    defaults = contacts.default_preferences(contact_list)
    found: dict[str, str] = {}
    for item in given:
        topic = item["TopicName"]
        if topic not in defaults:
            raise Rejected(BAD_REQUEST, f"Topic: {shown(topic)} doesn't exist in the list.")
        if topic in found:
            raise Rejected(BAD_REQUEST, f"Topic: {topic} is there more than once.")
        found[topic] = item["SubscriptionStatus"]
    return contacts.as_preferences(found)


def _attributes(given: Mapping[str, Any]) -> dict[str, str]:
    """SES says that it must be a JSON object; an empty text takes it away."""
    if "AttributesData" not in given:
        return {}
    text = given["AttributesData"]
    if len(text) > ATTRIBUTES_CHARACTERS:
        raise Rejected(BAD_REQUEST, f"AttributesData must be up to {ATTRIBUTES_CHARACTERS} characters.")
    try:
        is_object = text == "" or isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise Rejected(BAD_REQUEST, "AttributesData must be a JSON object.")
    return {"AttributesData": text}


def _contact(address: str) -> str:
    """Give the name of a contact's record; contacts are one without regard to case."""
    try:
        if not parse_path(address, smtputf8=True):
            raise ValueError("empty")  # noqa: TRY301
        return contact_name(address)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"EmailAddress: {shown(address)} is no address.") from exc


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        _there(None, name)
    return name


def _there(value: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    if value is None:
        raise Rejected(NOT_FOUND, f"List with name: {shown(name)} doesn't exist.")
    return value


def _contact_there(value: Mapping[str, Any] | None, address: str) -> Mapping[str, Any]:
    if value is None:
        raise Rejected(NOT_FOUND, f"{shown(address)} doesn't exist in List.")
    return value
