"""
What the link of a mail does: show what somebody is subscribed to, and change it.

Nobody is authenticated but by the token (domain/unsubscribe.py), which is good for one address and one list. Asking
changes nothing: scanners follow every link (RFC 8058 1). A change is told to whoever hears of the mail's events, by
`AdminDeps.on_subscription`.

Next: the next mail, in services/list_management.py. Asked by api/unsubscribe_pages.py.
RFC: 8058 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import contacts, unsubscribe
from paravion.domain.contacts import LISTS_KIND, OPT_IN, OPT_OUT
from paravion.domain.status import NOT_FOUND, Rejected
from paravion.domain.suppression import looked_up_as
from paravion.domain.tenant import contacts_kind, record_kind
from paravion.errors import MailError
from paravion.services import unsubscribe_keys
from paravion.services.list_management import new_contact
from paravion.services.record_change import change

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from paravion.domain.unsubscribe import Link
    from paravion.services.admin import AdminDeps

HEADER: Final = "UnsubscribeHeader"
PAGE: Final = "UnsubscribePage"
"""Where a change came from; the first is SES's word, of the second nothing is documented."""


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """
    What somebody changed, for SES's Subscription event.

    Attributes:
        link: Whose, and in which message the link stood.
        old, new: `unsubscribeAll` and `topicSubscriptionStatus`, as SES's event has them.
        source: HEADER or PAGE.
        at: Seconds since the epoch.
    """

    link: Link
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    How somebody stands with a list.

    Attributes:
        contact_list: The list's record; None: the list is gone.
        wanted: Each topic, and whether he wants it.
    """

    link: Link
    contact_list: Mapping[str, Any] | None
    contact: Mapping[str, Any]
    wanted: Mapping[str, bool]


def look(token: str, deps: AdminDeps) -> Subscription:
    """
    Give how the holder of a link stands; changes nothing.

    Raises:
        Rejected: not_found: the link is not ours.
        Unavailable, Misconfigured
    """
    link = unsubscribe.read_token(token, unsubscribe_keys.read(deps.secrets))
    if link is None:
        raise Rejected(NOT_FOUND, "this link is not valid")
    record = deps.records.get(record_kind(link.tenant, LISTS_KIND), link.contact_list)
    kept = deps.records.get(_kind(link), looked_up_as(link.address))
    contact = kept.value if kept else new_contact(link.address, deps.clock())
    if record is None:
        return Subscription(link, None, contact, {})
    wanted = {
        topic: contacts.wants(record.value, contact, topic) for topic in contacts.default_preferences(record.value)
    }
    return Subscription(link, record.value, contact, wanted)


def leave(found: Subscription, source: str, deps: AdminDeps, *, everything: bool = False) -> None:
    """
    Take leave of the link's topic, or of the whole list if the mail named none, or `everything` is said.

    Raises:
        Rejected: changed_meanwhile.
        Unavailable
    """
    topic = "" if everything else found.link.topic
    _change(found, source, deps, lambda contact: contacts.unsubscribed(contact, topic))


def choose(found: Subscription, topics: Collection[str], deps: AdminDeps) -> None:
    """
    Set which of the list's topics are wanted; with any, he is back on the list.

    Raises: As `leave`.
    """
    chosen = {topic: OPT_IN if topic in topics else OPT_OUT for topic in found.wanted}

    def edit(contact: Mapping[str, Any]) -> dict[str, Any]:
        said = {**contacts.preferences(contact), **chosen}
        return {
            **contact,
            "TopicPreferences": contacts.as_preferences(said),
            "UnsubscribeAll": not any(status == OPT_IN for status in chosen.values()),
        }

    _change(found, PAGE, deps, edit)


def _change(
    found: Subscription, source: str, deps: AdminDeps, edit: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    link, now = found.link, deps.clock()
    if found.contact_list is None:
        return
    old: Mapping[str, Any] = {}

    def edited(kept: Mapping[str, Any] | None) -> dict[str, Any]:
        nonlocal old
        old = kept or new_contact(link.address, now)
        return {**edit(old), "updated_at": now}

    new = change(deps.records, _kind(link), looked_up_as(link.address), edited)
    before, after = (_told(contact, found.contact_list) for contact in (old, new))
    if before == after:
        return
    fields = {"contact_list": link.contact_list, "tenant": link.tenant, "queue_id": link.queue_id, "source": source}
    deps.event_log.emit("Subscription", fields)
    if deps.on_subscription is not None:
        try:
            deps.on_subscription(SubscriptionChange(link, before, after, source, now))
        except MailError as exc:
            # He has left, whoever hears of it; a second click would change nothing and tell nobody either.
            deps.event_log.emit("Fault", {"stage": "subscription", "error": type(exc).__name__})


def _told(contact: Mapping[str, Any], contact_list: Mapping[str, Any]) -> dict[str, Any]:
    said = {**contacts.default_preferences(contact_list), **contacts.preferences(contact)}
    words = {OPT_IN: "OptIn", OPT_OUT: "OptOut"}
    return {
        "unsubscribeAll": bool(contact.get("UnsubscribeAll")),
        "topicSubscriptionStatus": [
            {"topicName": topic, "subscriptionStatus": words[status]} for topic, status in said.items()
        ],
    }


def _kind(link: Link) -> str:
    return record_kind(link.tenant, contacts_kind(link.contact_list))
