"""
SES v1's operations on configuration sets: the same sets as v2's, in v1's words.

What v1 has no words for (an EventBridge destination, the event types of v2 alone) is left out of its answers, as SES
does; tracking is not offered.

Next: services/configuration_sets.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import SesFault
from paravion.api.ses_model import SES_V1
from paravion.api.ses_pages import after_of, page_size, token_of
from paravion.domain import status
from paravion.domain.status import Rejected
from paravion.services import configuration_sets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paravion.api.doors import Call
    from paravion.domain.status import Status
    from paravion.services.admin import AdminDeps

_EVENTS: Final = {
    "send": "SEND",
    "reject": "REJECT",
    "bounce": "BOUNCE",
    "complaint": "COMPLAINT",
    "delivery": "DELIVERY",
    "open": "OPEN",
    "click": "CLICK",
    "renderingFailure": "RENDERING_FAILURE",
}
_SOURCES: Final = {"messageTag": "MESSAGE_TAG", "emailHeader": "EMAIL_HEADER", "linkTag": "LINK_TAG"}
_V1_EVENTS: Final = {v2: v1 for v1, v2 in _EVENTS.items()}
_V1_SOURCES: Final = {v2: v1 for v1, v2 in _SOURCES.items()}


@SES_V1.operation("CreateConfigurationSet")
def create_configuration_set(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a set. Raises SesFault, Rejected, Unavailable."""
    names = {status.ALREADY_EXISTS: "ConfigurationSetAlreadyExists", status.BAD_REQUEST: "InvalidConfigurationSet"}
    with _named(names):
        configuration_sets.create(given["ConfigurationSet"]["Name"], {}, call.principal, call.deps)
    return {}


@SES_V1.operation("DescribeConfigurationSet")
def describe_configuration_set(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a set, and what is asked for of it. Raises Rejected, Unavailable."""
    name = given["ConfigurationSetName"]
    value = configuration_sets.show(name, call.principal, call.deps)
    wanted = set(given.get("ConfigurationSetAttributeNames", ()))
    shown: dict[str, Any] = {"ConfigurationSet": {"Name": name}}
    if "eventDestinations" in wanted:
        items = map(_v1_destination, value.get("EventDestinations", ()))
        shown["EventDestinations"] = [item for item in items if item is not None]
    if "deliveryOptions" in wanted:
        policy = value.get("DeliveryOptions", {}).get("TlsPolicy", "OPTIONAL")
        shown["DeliveryOptions"] = {"TlsPolicy": policy.capitalize()}
    if "reputationOptions" in wanted:
        shown["ReputationOptions"] = {
            "SendingEnabled": value.get("SendingOptions", {}).get("SendingEnabled", True),
            "ReputationMetricsEnabled": value.get("ReputationOptions", {}).get("ReputationMetricsEnabled", False),
        }
    return shown


@SES_V1.operation("ListConfigurationSets")
def list_configuration_sets(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List the sets, a page at a time. Raises SesFault, Rejected, Unavailable."""
    size = page_size(given, "MaxItems", 1000)
    names, after = configuration_sets.page(size, after_of(given.get("NextToken")), call.principal, call.deps)
    return {"ConfigurationSets": [{"Name": name} for name in names], "NextToken": token_of(after)}


@SES_V1.operation("DeleteConfigurationSet")
def delete_configuration_set(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a set. Raises Rejected, Unavailable."""
    configuration_sets.delete(given["ConfigurationSetName"], call.principal, call.deps)
    return {}


@SES_V1.operation("UpdateConfigurationSetReputationMetricsEnabled")
def update_reputation_metrics_enabled(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether its bounces and complaints are counted. Raises Rejected, Unavailable."""
    return _put(given, call, "ReputationOptions", {"ReputationMetricsEnabled": given["Enabled"]})


@SES_V1.operation("UpdateConfigurationSetSendingEnabled")
def update_sending_enabled(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Pause its mail, or let it go on. Raises Rejected, Unavailable."""
    return _put(given, call, "SendingOptions", {"SendingEnabled": given["Enabled"]})


@SES_V1.operation("PutConfigurationSetDeliveryOptions")
def put_delivery_options(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set TLS; a lifetime, which v1 has not, stays. Raises Rejected, Unavailable."""
    policy = given.get("DeliveryOptions", {}).get("TlsPolicy", "Optional")
    configuration_sets.merge_options(
        given["ConfigurationSetName"], "DeliveryOptions", {"TlsPolicy": policy.upper()}, call.principal, call.deps
    )
    return {}


@SES_V1.operation("CreateConfigurationSetEventDestination")
def create_event_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Add an event destination. Raises SesFault, Rejected, Unavailable."""
    item = _v2_destination(given["EventDestination"])
    names = {status.ALREADY_EXISTS: "EventDestinationAlreadyExists", status.BAD_REQUEST: _invalid(item)}
    with _named(names):
        configuration_sets.add_destination(given["ConfigurationSetName"], item, call.principal, call.deps)
    return {}


@SES_V1.operation("UpdateConfigurationSetEventDestination")
def update_event_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Change an event destination. Raises SesFault, Rejected, Unavailable."""
    item = _v2_destination(given["EventDestination"])
    names = {status.NOT_FOUND: "EventDestinationDoesNotExist", status.BAD_REQUEST: _invalid(item)}
    with _named(names):
        configuration_sets.replace_destination(given["ConfigurationSetName"], item, call.principal, call.deps)
    return {}


@SES_V1.operation("DeleteConfigurationSetEventDestination")
def delete_event_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove an event destination. Raises SesFault, Rejected, Unavailable."""
    with _named({status.NOT_FOUND: "EventDestinationDoesNotExist"}):
        configuration_sets.remove_destination(
            given["ConfigurationSetName"], given["EventDestinationName"], call.principal, call.deps
        )
    return {}


@contextmanager
def _named(names: Mapping[Status, str]) -> Iterator[None]:
    """Give refusals the names that v1 has for them in this operation."""
    try:
        yield
    except Rejected as rejected:
        if rejected.status not in names:
            raise
        raise SesFault(f"{names[rejected.status]}Exception", rejected.detail) from rejected


def _put(given: Mapping[str, Any], call: Call[AdminDeps], member: str, options: Mapping[str, Any]) -> dict[str, Any]:
    configuration_sets.put_options(given["ConfigurationSetName"], member, options, call.principal, call.deps)
    return {}


def _invalid(item: Mapping[str, Any]) -> str:
    if "KinesisFirehoseDestination" in item:
        return "InvalidFirehoseDestination"
    return "InvalidCloudWatchDestination" if "CloudWatchDestination" in item else "InvalidSNSDestination"


def _v2_destination(given: Mapping[str, Any]) -> dict[str, Any]:
    item = {
        "Name": given["Name"],
        "Enabled": given.get("Enabled", False),
        "MatchingEventTypes": list(dict.fromkeys(_EVENTS[event] for event in given["MatchingEventTypes"])),
    }
    if "KinesisFirehoseDestination" in given:
        stream = given["KinesisFirehoseDestination"]
        item["KinesisFirehoseDestination"] = {
            "IamRoleArn": stream["IAMRoleARN"],
            "DeliveryStreamArn": stream["DeliveryStreamARN"],
        }
    if "CloudWatchDestination" in given:
        item["CloudWatchDestination"] = {
            "DimensionConfigurations": [
                {**dimension, "DimensionValueSource": _SOURCES[dimension["DimensionValueSource"]]}
                for dimension in given["CloudWatchDestination"]["DimensionConfigurations"]
            ]
        }
    if "SNSDestination" in given:
        item["SnsDestination"] = {"TopicArn": given["SNSDestination"]["TopicARN"]}
    return item


def _v1_destination(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give an event destination in v1's words; None if it has none for its kind."""
    events = [_V1_EVENTS[event] for event in item["MatchingEventTypes"] if event in _V1_EVENTS]
    shown = {"Name": item["Name"], "Enabled": item["Enabled"], "MatchingEventTypes": events}
    if "SnsDestination" in item:
        return {**shown, "SNSDestination": {"TopicARN": item["SnsDestination"]["TopicArn"]}}
    if "KinesisFirehoseDestination" in item:
        stream = item["KinesisFirehoseDestination"]
        arns = {"IAMRoleARN": stream["IamRoleArn"], "DeliveryStreamARN": stream["DeliveryStreamArn"]}
        return {**shown, "KinesisFirehoseDestination": arns}
    if "CloudWatchDestination" in item:
        dimensions = [
            {**dimension, "DimensionValueSource": _V1_SOURCES[dimension["DimensionValueSource"]]}
            for dimension in item["CloudWatchDestination"]["DimensionConfigurations"]
        ]
        return {**shown, "CloudWatchDestination": {"DimensionConfigurations": dimensions}}
    return None
