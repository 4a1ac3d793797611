"""
A configuration set: what applies to every mail that names it, and who hears what becomes of that mail.

Kept as one record (`ports.Records`, kind `configuration-set`) in SES's own member names, as
`GetConfigurationSet` gives them, and with it:

    EventDestinations   a list of SES's event destinations, each with its `Name`; `Webhook` is a kind of our own
    KeepMessageId       true: the SES doors keep the caller's Message-ID and Date, as the other doors do
    Priority            one of domain/priority.py's that a caller may ask for: what its mail has, by whatever door
    created_at, updated_at

A set whose options were never set behaves as mail without a set does.

Next: services/configuration.py reads it for those who send, deliver and report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.suppression import Reason, read_reasons

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "configuration-set"
"""Of its record; see domain/tenant.py."""

DESTINATION_KINDS: Final = (
    "KinesisFirehoseDestination",
    "CloudWatchDestination",
    "SnsDestination",
    "EventBridgeDestination",
    "Webhook",
)
"""Where events can go; each event destination has exactly one of these members."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class EventDestination:
    """
    Where the events of a set's mail go.

    Attributes:
        event_types: SES's names, e.g. `BOUNCE`, `DELIVERY_DELAY`.
        kind: One of DESTINATION_KINDS.
        target: That member's own members, e.g. `{"TopicArn": …}`.
    """

    name: str
    is_enabled: bool
    event_types: frozenset[str]
    kind: str
    target: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConfigurationSet:
    """
    One set, its options decided.

    Attributes:
        sending_enabled: Mail that names it is taken at all.
        tls_required: Its mail must not travel in clear.
        max_delivery_s: Its mail is returned when it is older; 0 for the queue's own lifetime.
        suppressed_reasons: For which reasons its mail is kept from listed addresses, in place of the account's; () for
            none, None for the account's.
        priority: Of its mail, where the request names none, "": as its header says.
        keeps_message_id: The SES doors keep the caller's Message-ID and Date.
        has_reputation_metrics: Its bounces and complaints are counted.
        destinations: In the order of their names.
        tags: Of the set itself, by key; not those of its mail.
    """

    name: str
    sending_enabled: bool = True
    tls_required: bool = False
    max_delivery_s: float = 0.0
    suppressed_reasons: tuple[Reason, ...] | None = None
    keeps_message_id: bool = False
    priority: str = ""
    has_reputation_metrics: bool = False
    destinations: tuple[EventDestination, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def is_name(text: str) -> bool:
    """Say whether a set or an event destination may have that name."""
    return _NAME.fullmatch(text) is not None


def decode(name: str, value: Mapping[str, Any]) -> ConfigurationSet:
    """
    Read a record's value.

    Raises:
        ValueError: It is no configuration set; says why.
    """
    try:
        delivery = value.get("DeliveryOptions", {})
        suppression = value.get("SuppressionOptions")
        destinations = [decode_destination(item) for item in value.get("EventDestinations", ())]
        return ConfigurationSet(
            name=name,
            sending_enabled=bool(value.get("SendingOptions", {}).get("SendingEnabled", True)),
            tls_required=delivery.get("TlsPolicy") == "REQUIRE",
            max_delivery_s=float(delivery.get("MaxDeliverySeconds", 0)),
            suppressed_reasons=None if suppression is None else read_reasons(suppression.get("SuppressedReasons", ())),
            keeps_message_id=bool(value.get("KeepMessageId", False)),
            priority=str(value.get("Priority", "")),
            has_reputation_metrics=bool(value.get("ReputationOptions", {}).get("ReputationMetricsEnabled", False)),
            destinations=tuple(sorted(destinations, key=lambda item: item.name)),
            tags={tag["Key"]: tag["Value"] for tag in value.get("Tags", ())},
        )
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError(f"no configuration set: {exc!r}") from exc


def decode_destination(item: Mapping[str, Any]) -> EventDestination:
    """
    Read one event destination, as SES's `EventDestinations` list has it.

    Raises:
        ValueError: It has none of DESTINATION_KINDS, or several.
        KeyError, TypeError: It is none.
    """
    kinds = [kind for kind in DESTINATION_KINDS if kind in item]
    if len(kinds) != 1:
        raise ValueError(f"event destination with {len(kinds)} kinds")
    types = frozenset(item["MatchingEventTypes"])
    return EventDestination(item["Name"], bool(item.get("Enabled", False)), types, kinds[0], item[kinds[0]])
