"""
Events to EventBridge buses: PutEvents, by a botocore client.

The event is the detail, and the detail-type is SES's. The source is not: `aws.ses` is Amazon's alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.event_batches import in_batches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.ses_event import Origin, SesEvent
    from paravion.domain.told import Told

SOURCE: Final = "paravion.ses"

DETAIL_TYPES: Final = {
    "SEND": "Email Sent",
    "DELIVERY": "Email Delivered",
    "BOUNCE": "Email Bounced",
    "COMPLAINT": "Email Complaint Received",
    "DELIVERY_DELAY": "Email Delivery Delayed",
    "REJECT": "Email Rejected",
    "RENDERING_FAILURE": "Email Rendering Failed",
    "SUBSCRIPTION": "Email Subscribed",
}
"""EventBridge's names of SES's events."""


def send(client: Any, told: Told, events: Sequence[SesEvent], texts: Sequence[str], origin: Origin) -> list[str]:
    """Send events; see ports.EventDestinations."""

    def call(some: list[int]) -> Mapping[str, Any]:
        entries = [_entry(told.destination.target["EventBusArn"], events[n], texts[n], origin) for n in some]
        answer: Mapping[str, Any] = client.put_events(Entries=entries)
        return answer

    def failures(answer: Mapping[str, Any]) -> dict[int, str]:
        found = enumerate(answer.get("Entries", []))
        return {n: f"{item['ErrorCode']}: {item.get('ErrorMessage')}" for n, item in found if item.get("ErrorCode")}

    return in_batches([len(text) for text in texts], call, failures)


def _entry(bus: str, event: SesEvent, text: str, origin: Origin) -> dict[str, Any]:
    resources = [event.mail["sourceArn"]] if "sourceArn" in event.mail else []
    resources += [
        f"arn:aws:ses:{origin.region}:{origin.account}:configuration-set/{name}"
        for name in event.mail["tags"].get("ses:configuration-set", [])
    ]
    return {
        "Time": datetime.fromtimestamp(event.at, UTC),
        "Source": SOURCE,
        "DetailType": DETAIL_TYPES[event.type],
        "Detail": text,
        "EventBusName": bus,
        "Resources": resources,
    }
