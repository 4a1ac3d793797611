"""
SES v2's operations on contact lists and contacts, all ten.

Next: services/contacts.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V2
from paravion.api.ses_pages import after_of, page_size, token_of
from paravion.domain import contacts as pure
from paravion.services import contacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V2.operation("CreateContactList")
def create_contact_list(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a list. Raises Rejected, Unavailable."""
    contacts.create_list(given, call.principal, call.deps)
    return {}


@SES_V2.operation("UpdateContactList")
def update_contact_list(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Replace topics and description. Raises Rejected, Unavailable."""
    contacts.update_list(given, call.principal, call.deps)
    return {}


@SES_V2.operation("GetContactList")
def get_contact_list(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a list. Raises Rejected, Unavailable."""
    value = contacts.show_list(given["ContactListName"], call.principal, call.deps)
    shown = {name: value.get(name) for name in ("ContactListName", "Topics", "Description")}
    return {**shown, "Tags": value.get("Tags", []), **_times(value)}


@SES_V2.operation("ListContactLists")
def list_contact_lists(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List the lists. Raises SesFault, Unavailable."""
    found, after = contacts.page_of_lists(page_size(given), after_of(given.get("NextToken")), call.principal, call.deps)
    lists = [{"ContactListName": item.name, "LastUpdatedTimestamp": item.value.get("updated_at")} for item in found]
    return {"ContactLists": lists, "NextToken": token_of(after)}


@SES_V2.operation("DeleteContactList")
def delete_contact_list(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a list and its contacts. Raises Rejected, Unavailable."""
    contacts.delete_list(given["ContactListName"], call.principal, call.deps)
    return {}


@SES_V2.operation("CreateContact")
def create_contact(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a contact. Raises Rejected, Unavailable."""
    contacts.create(given, call.principal, call.deps)
    return {}


@SES_V2.operation("UpdateContact")
def update_contact(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Replace a contact's preferences. Raises Rejected, Unavailable."""
    contacts.update(given, call.principal, call.deps)
    return {}


@SES_V2.operation("GetContact")
def get_contact(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a contact. Raises Rejected, Unavailable."""
    name = given["ContactListName"]
    contact, contact_list = contacts.show(name, given["EmailAddress"], call.principal, call.deps)
    return {
        "ContactListName": name,
        **_contact(contact, contact_list),
        "AttributesData": contact.get("AttributesData"),
        **_times(contact),
    }


@SES_V2.operation("ListContacts")
def list_contacts(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List contacts, filtered. Raises SesFault, Rejected, Unavailable."""
    size, after = page_size(given), after_of(given.get("NextToken"))
    found, after, contact_list = contacts.page(
        given["ContactListName"], size, after, given.get("Filter", {}), call.principal, call.deps
    )
    shown = [
        {**_contact(item, contact_list), "LastUpdatedTimestamp": item.get("updated_at")} for item in found
    ]  # fmt: skip
    return {"Contacts": shown, "NextToken": token_of(after)}


@SES_V2.operation("DeleteContact")
def delete_contact(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a contact. Raises Rejected, Unavailable."""
    contacts.delete(given["ContactListName"], given["EmailAddress"], call.principal, call.deps)
    return {}


def _contact(contact: Mapping[str, Any], contact_list: Mapping[str, Any]) -> dict[str, Any]:
    """A topic that the list has no more is not shown; what was said of it comes back with it."""
    defaults = pure.default_preferences(contact_list)
    said = {topic: status for topic, status in pure.preferences(contact).items() if topic in defaults}
    return {
        "EmailAddress": contact["EmailAddress"],
        "TopicPreferences": pure.as_preferences(said),
        "TopicDefaultPreferences": pure.as_preferences(defaults),
        "UnsubscribeAll": contact.get("UnsubscribeAll", False),
    }


def _times(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"CreatedTimestamp": value.get("created_at"), "LastUpdatedTimestamp": value.get("updated_at")}
