"""
Events to CloudWatch: PutMetricData, by a botocore client; each counts 1 under its name and the set's dimensions.

A dimension's value is the mail's tag, or its header field, or the default. Links are not tracked, so that link tags
have no value but the default.

    the event happened             what is done
    -----------------------------  ---------------------------------------------------------------------------------
    more than two weeks ago        undeliverable: CloudWatch takes no such datum, and another instant would be a lie
    more than two hours from now   not yet: a clock is wrong, perhaps ours; CloudWatch takes it when it is nearer
    between                        counted

Either spoils the whole call for those beside it, so that neither is asked.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.event_batches import in_batches
from paravion.domain.told import TYPES, UNDELIVERABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.ses_event import SesEvent
    from paravion.domain.told import Told

_ENTRIES: Final = 100
_OCTETS: Final = 300_000
"""Of one call, counted as JSON; CloudWatch takes 1,000 data and 1 MB, in a form that writes some octets as three."""

_OLDEST_S: Final = 14 * 86_400 - 300
_NEWEST_S: Final = 7200
_VALUE_CHARACTERS: Final = 1024


def send(client: Any, told: Told, events: Sequence[SesEvent], namespace: str, now: float) -> list[str]:
    """
    Count events; see ports.EventDestinations.

    Args:
        now: Seconds since the epoch.
    """
    dimensions = told.destination.target.get("DimensionConfigurations", [])
    problems = [_out_of_time(event, now) for event in events]
    able = [n for n, problem in enumerate(problems) if not problem]
    data = [_metric(events[n], dimensions) for n in able]

    def call(some: list[int]) -> Mapping[str, Any]:
        client.put_metric_data(Namespace=namespace, MetricData=[data[place] for place in some])
        return {}

    sizes = [len(json.dumps(datum, default=str)) for datum in data]
    for n, problem in zip(able, in_batches(sizes, call, entries=_ENTRIES, octets=_OCTETS), strict=True):
        problems[n] = problem
    return problems


def _out_of_time(event: SesEvent, now: float) -> str:
    if event.at < now - _OLDEST_S:
        return f"{UNDELIVERABLE}CloudWatch takes nothing that is older than two weeks"
    return "CloudWatch takes nothing that is two hours ahead" if event.at > now + _NEWEST_S else ""


def _metric(event: SesEvent, dimensions: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "MetricName": TYPES[event.type].replace(" ", ""),
        "Dimensions": [{"Name": item["DimensionName"], "Value": _value(item, event)} for item in dimensions],
        "Timestamp": datetime.fromtimestamp(event.at, UTC),
        "Value": 1.0,
        "Unit": "Count",
    }


def _value(item: Mapping[str, str], event: SesEvent) -> str:
    name, source = item["DimensionName"], item["DimensionValueSource"]
    found: list[str] = []
    if source.upper() in {"MESSAGE_TAG", "MESSAGETAG"}:
        found = event.mail["tags"].get(name, [])
    elif source.upper() in {"EMAIL_HEADER", "EMAILHEADER"}:
        headers = event.mail.get("headers", [])
        found = [header["value"] for header in headers if header["name"].lower() == name.lower()]
    # CloudWatch takes printable ASCII, and something; DEL alone stays as it is in JSON.
    printable = json.dumps(found[0] if found else "")[1:-1].replace("\x7f", "\\u007f").strip()[:_VALUE_CHARACTERS]
    return printable or item["DefaultDimensionValue"]
