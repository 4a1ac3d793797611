"""
Who wants what: contact lists, their topics and the contacts' preferences, as SES has them.

Records (ports.Records) hold them in SES's own member names: kind `contact-list` by name, and for each list a kind
of its own, domain/tenant.py's, whose records are named by the contact's address in normal form.

Next: services/contacts.py keeps them, services/list_management.py asks before a mail is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.status import BAD_MESSAGE, Rejected
from paravion.domain.suppression import normal_form

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTS_KIND: Final = "contact-list"
OPT_IN: Final = "OPT_IN"
OPT_OUT: Final = "OPT_OUT"
TOPICS_MAX: Final = 20
"""SES's limit of topics in a list."""

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""A list's or a topic's name."""

OPTIONS_FIELD: Final = "X-SES-LIST-MANAGEMENT-OPTIONS"
_OPTIONS: Final = re.compile(
    r"[ \t]*(?:contactListName[ \t]*=)?[ \t]*([^;=\s]+)[ \t]*"
    r"(?:;[ \t]*topic(?:Name)?[ \t]*=[ \t]*([^;\s]*)[ \t]*)?;?[ \t]*"
)


def contact_name(address: str) -> str:
    """Give the name of a contact's record. Raises ValueError for what is no address."""
    return normal_form(address)


def default_preferences(contact_list: Mapping[str, Any]) -> dict[str, str]:
    """Give each topic's preference of those who said nothing."""
    return {topic["TopicName"]: topic["DefaultSubscriptionStatus"] for topic in contact_list.get("Topics", ())}


def preferences(contact: Mapping[str, Any]) -> dict[str, str]:
    """Give what a contact said, by topic."""
    return {item["TopicName"]: item["SubscriptionStatus"] for item in contact.get("TopicPreferences", ())}


def as_preferences(by_topic: Mapping[str, str]) -> list[dict[str, str]]:
    """Give preferences in SES's form."""
    return [{"TopicName": topic, "SubscriptionStatus": status} for topic, status in by_topic.items()]


def wants(contact_list: Mapping[str, Any], contact: Mapping[str, Any] | None, topic: str = "") -> bool:
    """
    Say whether a mail of a list, or of one topic of it, may be sent.

    Args:
        contact: None for who is no contact yet: the topic's default counts.
        topic: One of the list's, or "".
    """
    contact = contact or {}
    if contact.get("UnsubscribeAll"):
        return False
    said = preferences(contact)
    return not topic or said.get(topic, default_preferences(contact_list).get(topic, OPT_IN)) == OPT_IN


def unsubscribed(contact: Mapping[str, Any], topic: str) -> dict[str, Any]:
    """Give a contact that took leave of a topic, or of the whole list if it is ""."""
    if not topic:
        return {**contact, "UnsubscribeAll": True}
    return {**contact, "TopicPreferences": as_preferences({**preferences(contact), topic: OPT_OUT})}


def read_options(value: str) -> tuple[str, str]:
    """
    Read X-SES-LIST-MANAGEMENT-OPTIONS, `list; topic=topic`, the topic optional.

    Returns:
        List and topic, "" for none.

    Raises:
        Rejected: bad_message.
    """
    match = _OPTIONS.fullmatch(value)
    names = (match[1], match[2] or "") if match else ("", "")
    if not NAME.fullmatch(names[0]) or not (names[1] == "" or NAME.fullmatch(names[1])):
        raise Rejected(BAD_MESSAGE, f"{OPTIONS_FIELD}: must be 'list; topic=topic' or 'list'")
    return names
