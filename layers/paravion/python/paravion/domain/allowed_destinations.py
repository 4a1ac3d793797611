"""
Where the operator lets events go: asked when a destination is made, and again each time it is told.

    destination                    allowed by
    -----------------------------  -------------------------------------------------------------------
    SnsDestination                 its ARN matches one of the setting event_destination_arns; no FIFO topic
    EventBridgeDestination         the same
    KinesisFirehoseDestination     the same
    CloudWatchDestination          the setting event_metric_namespace names a namespace
    Webhook                        its host is in webhook_hosts or webhook_private_hosts, as for aliases

On one machine those of AWS need AWS credentials as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from paravion.domain.target import FIFO, AllowedTargets, parse_target

if TYPE_CHECKING:
    from paravion.domain.configuration_set import EventDestination

ARN_MEMBERS: Final = {
    "SnsDestination": "TopicArn",
    "EventBridgeDestination": "EventBusArn",
    "KinesisFirehoseDestination": "DeliveryStreamArn",
}
"""Destinations that are named by an ARN, and the member that has it."""

FORMS: Final = ("event", "sns")
"""What a webhook is posted: the event itself, or as a subscription of an SNS topic would get it."""

_RESOURCES: Final = {
    "SnsDestination": re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9*-]+:[0-9*]+:[A-Za-z0-9_.*-]+"),
    "EventBridgeDestination": re.compile(r"arn:aws[a-z-]*:events:[a-z0-9*-]+:[0-9*]+:event-bus/[A-Za-z0-9_./*-]+"),
    "KinesisFirehoseDestination": re.compile(
        r"arn:aws[a-z-]*:firehose:[a-z0-9*-]+:[0-9*]+:deliverystream/[A-Za-z0-9_.*-]+"
    ),
}


def parse_destination_arn(text: str) -> str:
    """
    Check an ARN of a topic, bus or stream; `*` stands for any characters in its name, region or account.

    Raises:
        ValueError: It is none.
    """
    if not any(pattern.fullmatch(text) for pattern in _RESOURCES.values()):
        raise ValueError(f"{text!r} is no ARN of an SNS topic, an EventBridge bus or a Firehose stream")
    return text


@dataclass(frozen=True, slots=True)
class AllowedDestinations:
    """
    The operator's settings about destinations.

    Attributes:
        arns: Patterns; event_destination_arns.
        metric_namespace: Of CloudWatch; event_metric_namespace, "" for none.
        webhooks: Its hosts alone count.
        no_aws: Why AWS can't be asked from here, "" if it can.
    """

    arns: tuple[str, ...] = ()
    metric_namespace: str = ""
    webhooks: AllowedTargets = field(default_factory=AllowedTargets)
    no_aws: str = ""

    def problem(self, destination: EventDestination) -> str:
        """Say why events must not go to a destination, "" if they may."""
        if destination.kind == "Webhook":
            return self._webhook_problem(destination)
        if self.no_aws or destination.kind == "CloudWatchDestination":
            unnamed = "" if self.metric_namespace else "the setting event_metric_namespace names no namespace"
            return self.no_aws or unnamed
        return self._arn_problem(destination)

    def _arn_problem(self, destination: EventDestination) -> str:
        arn = str(destination.target.get(ARN_MEMBERS[destination.kind], ""))
        if arn.endswith(FIFO):
            return "events are not published to FIFO topics"
        if not _RESOURCES[destination.kind].fullmatch(arn) or "*" in arn:
            return f"{arn!r} is no ARN of that kind"
        if not any(fnmatchcase(arn, pattern) for pattern in self.arns):
            return f"{arn} is not in the setting event_destination_arns"
        return ""

    def _webhook_problem(self, destination: EventDestination) -> str:
        url, form = str(destination.target.get("Url", "")), destination.target.get("Form", "event")
        if not url.lower().startswith("https://"):
            return "a webhook must be https://"
        try:
            target = parse_target(url)
        except ValueError as exc:
            return str(exc)
        if form not in FORMS:
            return f"the form of a webhook's events is one of {', '.join(FORMS)}"
        return self.webhooks.problem(target)
