"""
What lies in the event queue besides jobs: events that no job's record could be asked for again.

    events                                       tried         why not a job
    -------------------------------------------  ------------  -------------------------------------------
    of a mail that was never made, or complaint  for the       there is no record, or it says nothing of it
                                                 first time
    that one destination did not take            again         the others have them

As JSON text of printable ASCII, within what a queue takes.

Next: services/publish.py.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from paravion.domain.ses_event import SesEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

OCTETS: Final = 200_000
"""Of one item: SQS takes 262,144 where it was not raised."""

AT_ONCE: Final = 10
"""Events of one item, so that an item's destination is not asked for long."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class EventItem:
    """
    Events of one tenant's mail that go the same way.

    Attributes:
        configuration_set, identity: Whose destinations are told; "" for none.
        destination: The one that did not take them, by its key; "" for all.
        since: When they were tried first, seconds since the epoch; 0: not yet.
        tries: How often they were tried.
        problem: Why the destination did not take them, "" for nothing known.
    """

    events: tuple[SesEvent, ...]
    tenant: str = ""
    configuration_set: str = ""
    identity: str = ""
    destination: str = ""
    since: float = 0.0
    tries: int = 0
    problem: str = ""


def encode(item: EventItem) -> str:
    """Give an item's text."""
    return json.dumps({"v": _VERSION, **asdict(item)}, separators=(",", ":"))


def decode(text: str) -> EventItem | None:
    """Read one back; None for anything that is none."""
    try:
        fields = json.loads(text)
        if fields.pop("v", None) != _VERSION:
            return None
        fields["events"] = tuple(SesEvent(**event) for event in fields["events"])
        return EventItem(**fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def cut(item: EventItem) -> Iterator[EventItem]:
    """Cut an item of many events into items that a queue takes; one event too large for that stays alone."""
    some: list[SesEvent] = []
    octets = 0
    for event in item.events:
        size = len(json.dumps(asdict(event)))
        if some and (len(some) == AT_ONCE or octets + size > OCTETS):
            yield replace(item, events=tuple(some))
            some, octets = [], 0
        some.append(event)
        octets += size
    if some:
        yield replace(item, events=tuple(some))
