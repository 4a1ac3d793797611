"""
What an event destination may say: its kind, the events that it wants, and the form of the ARNs that it names.

Whether the topic or stream exists is found out by whoever publishes to it. Opens and clicks are refused: mail is not
tracked, so that they would never come.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.configuration_set import DESTINATION_KINDS, is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_TYPES: Final = (
    "SEND", "REJECT", "BOUNCE", "COMPLAINT", "DELIVERY", "RENDERING_FAILURE", "DELIVERY_DELAY", "SUBSCRIPTION",
)  # fmt: skip
TRACKED: Final = frozenset({"OPEN", "CLICK"})
DESTINATIONS_MAX: Final = 10
"""SES's limit of one configuration set's."""

_DIMENSIONS_MAX: Final = 10
_ARN: Final = r"arn:aws(-[a-z]+)*:{}:[a-z0-9-]+:[0-9]{{12}}:"
_TOPIC: Final = re.compile(_ARN.format("sns") + r"[A-Za-z0-9_-]{1,256}")
_STREAM: Final = re.compile(_ARN.format("firehose") + r"deliverystream/[A-Za-z0-9_.-]{1,64}")
_ROLE: Final = re.compile(r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}")
_BUS: Final = re.compile(_ARN.format("events") + r"event-bus/default")
_DIMENSION: Final = re.compile(r"[A-Za-z0-9_:-]{1,256}")
_DIMENSION_VALUE: Final = re.compile(r"[A-Za-z0-9_@.-]{1,256}")


def check(item: Mapping[str, Any]) -> str:
    """
    Say what is wrong with an event destination, "" for nothing.

    Args:
        item: As domain/configuration_set.py keeps it.
    """
    if not is_name(item["Name"]):
        return "EventDestinationName must be 1 to 64 of letters, digits, '_' and '-'."
    types = item.get("MatchingEventTypes", ())
    if not types:
        return "MatchingEventTypes must name at least one event type."
    for event in types:
        if event in TRACKED:
            return f"MatchingEventTypes: {event} is not supported by paravion yet: mail is not tracked."
    kinds = [kind for kind in DESTINATION_KINDS if kind in item]
    if len(kinds) != 1:
        return "Exactly one kind of event destination must be given."
    return _CHECKS[kinds[0]](item[kinds[0]])


def _firehose(target: Mapping[str, Any]) -> str:
    if not _STREAM.fullmatch(target["DeliveryStreamArn"]):
        return "DeliveryStreamArn is not the ARN of a delivery stream."
    return "" if _ROLE.fullmatch(target["IamRoleArn"]) else "IamRoleArn is not the ARN of a role."


def _cloudwatch(target: Mapping[str, Any]) -> str:
    dimensions = target["DimensionConfigurations"]
    if not 1 <= len(dimensions) <= _DIMENSIONS_MAX:
        return f"DimensionConfigurations must have 1 to {_DIMENSIONS_MAX} members."
    for dimension in dimensions:
        if not _DIMENSION.fullmatch(dimension["DimensionName"]):
            return "DimensionName must be 1 to 256 of letters, digits, '_', '-' and ':'."
        if not _DIMENSION_VALUE.fullmatch(dimension["DefaultDimensionValue"]):
            return "DefaultDimensionValue must be 1 to 256 of letters, digits, '_', '-', '@' and '.'."
        if dimension["DimensionValueSource"] == "LINK_TAG":
            return "DimensionValueSource: LINK_TAG is not supported by paravion yet: mail is not tracked."
    return ""


def _sns(target: Mapping[str, Any]) -> str:
    return "" if _TOPIC.fullmatch(target["TopicArn"]) else "TopicArn is not the ARN of an SNS topic."


def _eventbridge(target: Mapping[str, Any]) -> str:
    if _BUS.fullmatch(target["EventBusArn"]):
        return ""
    return "EventBusArn is not the ARN of a default event bus, the only one that is supported."


def _webhook(_: Mapping[str, Any]) -> str:
    return ""


_CHECKS: Final = {
    "KinesisFirehoseDestination": _firehose,
    "CloudWatchDestination": _cloudwatch,
    "SnsDestination": _sns,
    "EventBridgeDestination": _eventbridge,
    "Webhook": _webhook,
}


def is_topic(arn: str) -> bool:
    """Say whether a text has the form of an SNS topic's ARN."""
    return _TOPIC.fullmatch(arn) is not None
