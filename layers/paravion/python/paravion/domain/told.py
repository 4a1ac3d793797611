"""
Who is told of a mail's events, and of which.

    key                       what it is                                            form
    ------------------------  ----------------------------------------------------  ----------------
    set/NAME/DESTINATION      an event destination of a configuration set           the event's
    identity/NAME/Bounce      an identity's topic for bounces; likewise Complaint,  the older one
                              Delivery

Next: services/event_destinations.py finds them, domain/ses_event.py makes what they are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from paravion.domain.configuration_set import EventDestination

TYPES: Final = {
    "SEND": "Send",
    "DELIVERY": "Delivery",
    "BOUNCE": "Bounce",
    "COMPLAINT": "Complaint",
    "DELIVERY_DELAY": "DeliveryDelay",
    "REJECT": "Reject",
    "RENDERING_FAILURE": "Rendering Failure",
    "SUBSCRIPTION": "Subscription",
}
"""The event types that are published here, as SES's API names them, and as its events do."""

NOTIFIED: Final = ("BOUNCE", "COMPLAINT", "DELIVERY")
"""Types that the older form has."""


UNDELIVERABLE: Final = "undeliverable: "
"""Begins the problem of an event that its destination will never take; what follows says why not."""


@dataclass(frozen=True, slots=True)
class Told:
    """
    One destination of some mail.

    Attributes:
        key: Its name in the module's table, the same as long as it is there.
        is_notification: It gets the older form.
        with_headers: And that with the mail's header.
    """

    key: str
    tenant: str
    destination: EventDestination
    is_notification: bool = False
    with_headers: bool = False

    def wants(self, event_type: str) -> bool:
        """Say whether it is told of events of a type."""
        is_known = event_type in (NOTIFIED if self.is_notification else TYPES)
        return is_known and event_type in self.destination.event_types
