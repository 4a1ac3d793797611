"""
Events to CloudWatch: PutMetricData, by a botocore client; each counts 1 under its name and the set's dimensions.

A dimension's value is the mail's tag, or its header field, or the default. Links are not tracked, so that link tags
have no value but the default.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import answer_of
from paravion.domain.told import TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.ses_event import SesEvent
    from paravion.domain.told import Told

_AT_ONCE: Final = 100
_VALUE_CHARACTERS: Final = 1024


def send(client: Any, told: Told, events: Sequence[SesEvent], namespace: str) -> list[str]:
    """Count events; see ports.EventDestinations."""
    problems: list[str] = []
    dimensions = told.destination.target.get("DimensionConfigurations", [])
    for first in range(0, len(events), _AT_ONCE):
        data = [_metric(event, dimensions) for event in events[first : first + _AT_ONCE]]
        _, problem = answer_of(lambda data=data: client.put_metric_data(Namespace=namespace, MetricData=data))  # type: ignore[misc]
        problems += [problem] * len(data)
    return problems


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
    # CloudWatch takes printable ASCII, and something.
    printable = json.dumps(found[0] if found else "")[1:-1].strip()[:_VALUE_CHARACTERS]
    return printable or item["DefaultDimensionValue"]
