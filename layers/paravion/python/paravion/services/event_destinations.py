"""
Whom events are for: the destinations of a mail's configuration set, and the topics of the identity it was sent under.

Read through the records that mail reads, so that it costs a look-up a minute (services/configuration.py).

Used by: services/events.py (is there anybody?), services/publish.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.domain.configuration_set import EventDestination
from paravion.domain.told import NOTIFIED, TYPES, Told
from paravion.services.configuration import find_set, settings_of_identity

if TYPE_CHECKING:
    from paravion.ports import Records


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


def topic_of_identity(kind: str, arn: str) -> EventDestination:
    """Give an identity's topic for a kind of domain.told.NOTIFIED as the destination that it is."""
    return EventDestination(TYPES[kind], True, frozenset({kind}), "SnsDestination", {"TopicArn": arn})


def _topics(records: Records, tenant: str, identity: str) -> list[Told]:
    own = settings_of_identity(records, tenant, identity)
    return [
        Told(
            f"identity/{identity}/{TYPES[kind]}",
            tenant,
            topic_of_identity(kind, own.topics[TYPES[kind]]),
            is_notification=True,
            with_headers=TYPES[kind] in own.with_headers,
        )
        for kind in NOTIFIED
        if own.topics.get(TYPES[kind])
    ]
