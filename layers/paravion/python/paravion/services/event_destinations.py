"""
Whom events are for: the destinations of a mail's configuration set, and the topics of the identity it was sent under.

Read through the records that mail reads, so that it costs a look-up a minute (services/configuration.py).

Used by: services/events.py (is there anybody?), services/publish.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paravion.domain.configuration_set import EventDestination
from paravion.domain.tenant import record_kind
from paravion.domain.told import NOTIFIED, TYPES, Told
from paravion.services.configuration import find_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.ports import Records

_IDENTITY_SETTINGS: Final = "identity-settings"


def told_of(records: Records, tenant: str, configuration_set: str, identity: str) -> list[Told]:
    """
    Give the destinations of mail.

    Args:
        configuration_set, identity: "" for none.

    Raises:
        Misconfigured: What is stored is none.
        LedgerUnavailable
    """
    chosen = find_set(records, tenant, configuration_set)
    found = [
        Told(f"set/{configuration_set}/{destination.name}", tenant, destination)
        for destination in (chosen.destinations if chosen else ())
        if destination.is_enabled
    ]
    return found + _topics(records, tenant, identity) if identity else found


def _topics(records: Records, tenant: str, identity: str) -> list[Told]:
    record = records.get(record_kind(tenant, _IDENTITY_SETTINGS), identity)
    if record is None:
        return []
    topics: Mapping[str, str] = record.value.get("NotificationTopics", {})
    headers: Mapping[str, bool] = record.value.get("HeadersInNotifications", {})
    return [
        Told(
            f"identity/{identity}/{TYPES[kind]}",
            tenant,
            EventDestination(TYPES[kind], True, frozenset({kind}), "SnsDestination", {"TopicArn": topics[TYPES[kind]]}),
            is_notification=True,
            with_headers=bool(headers.get(TYPES[kind])),
        )
        for kind in NOTIFIED
        if topics.get(TYPES[kind])
    ]
