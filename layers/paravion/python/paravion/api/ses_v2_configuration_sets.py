"""
SES v2's operations on configuration sets and their event destinations.

Tracking, archiving, VDM and dedicated IP pools are not offered: their members are refused, their operations answer so.

Next: services/configuration_sets.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import bad_request, refuse_unsupported
from paravion.api.ses_model import SES_V2
from paravion.api.ses_pages import after_of, page_size, token_of
from paravion.services import configuration_sets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps

_UNSUPPORTED: Final = ("TrackingOptions", "VdmOptions", "ArchivingOptions", "MessageSecurityOptions")
_TAGS_MAX: Final = 50
_SHOWN: Final = ("SuppressionOptions", "Tags")


@SES_V2.operation("CreateConfigurationSet")
def create_configuration_set(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Make a set. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, _UNSUPPORTED)
    options: dict[str, Any] = {}
    if "DeliveryOptions" in given:
        options["DeliveryOptions"] = _delivery(given["DeliveryOptions"])
    if "ReputationOptions" in given:
        refuse_unsupported(given["ReputationOptions"], ("LastFreshStart",))
        name = "ReputationMetricsEnabled"
        options["ReputationOptions"] = {name: _flag(given["ReputationOptions"], name)}
    if "SendingOptions" in given:
        options["SendingOptions"] = {"SendingEnabled": _flag(given["SendingOptions"], "SendingEnabled")}
    if "SuppressionOptions" in given:
        options["SuppressionOptions"] = _suppression(given["SuppressionOptions"])
    if given.get("Tags"):
        options["Tags"] = tags_of_thing(given["Tags"])
    configuration_sets.create(given["ConfigurationSetName"], options, call.principal, call.deps)
    return {}


@SES_V2.operation("GetConfigurationSet")
def get_configuration_set(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show a set. Raises Rejected, Unavailable."""
    name = given["ConfigurationSetName"]
    value = configuration_sets.show(name, call.principal, call.deps)
    return {
        "ConfigurationSetName": name,
        "DeliveryOptions": {"TlsPolicy": "OPTIONAL", **value.get("DeliveryOptions", {})},
        "ReputationOptions": {"ReputationMetricsEnabled": False, **value.get("ReputationOptions", {})},
        "SendingOptions": {"SendingEnabled": True, **value.get("SendingOptions", {})},
        "Tags": [],
        **{member: value[member] for member in _SHOWN if member in value},
    }


@SES_V2.operation("ListConfigurationSets")
def list_configuration_sets(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List the sets' names, a page at a time. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, ("Filter",))
    names, after = configuration_sets.page(
        page_size(given), after_of(given.get("NextToken")), call.principal, call.deps
    )
    return {"ConfigurationSets": names, "NextToken": token_of(after)}


@SES_V2.operation("DeleteConfigurationSet")
def delete_configuration_set(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove a set. Raises Rejected, Unavailable."""
    configuration_sets.delete(given["ConfigurationSetName"], call.principal, call.deps)
    return {}


@SES_V2.operation("PutConfigurationSetDeliveryOptions")
def put_delivery_options(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set TLS and lifetime; what is not given is as by default. Raises SesFault, Rejected, Unavailable."""
    return _put(given, call, "DeliveryOptions", _delivery(given))


@SES_V2.operation("PutConfigurationSetReputationOptions")
def put_reputation_options(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set whether its bounces and complaints are counted. Raises Rejected, Unavailable."""
    name = "ReputationMetricsEnabled"
    return _put(given, call, "ReputationOptions", {name: _flag(given, name)})


@SES_V2.operation("PutConfigurationSetSendingOptions")
def put_sending_options(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Pause its mail, or let it go on. Raises Rejected, Unavailable."""
    return _put(given, call, "SendingOptions", {"SendingEnabled": _flag(given, "SendingEnabled")})


@SES_V2.operation("PutConfigurationSetSuppressionOptions")
def put_suppression_options(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set its reasons; without any, suppression is off for its mail. Raises SesFault, Rejected, Unavailable."""
    return _put(given, call, "SuppressionOptions", _suppression(given))


@SES_V2.operation("CreateConfigurationSetEventDestination")
def create_event_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Add an event destination. Raises SesFault, Rejected, Unavailable."""
    name = given["ConfigurationSetName"]
    configuration_sets.add_destination(name, _destination(given), call.principal, call.deps)
    return {}


@SES_V2.operation("GetConfigurationSetEventDestinations")
def get_event_destinations(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show them all; of a kind that SES has not, all but where it goes. Raises Rejected, Unavailable."""
    value = configuration_sets.show(given["ConfigurationSetName"], call.principal, call.deps)
    items = value.get("EventDestinations", ())
    return {
        "EventDestinations": [{key: part for key, part in item.items() if key != "Webhook"} for item in items],
    }


@SES_V2.operation("UpdateConfigurationSetEventDestination")
def update_event_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Change an event destination. Raises SesFault, Rejected, Unavailable."""
    name = given["ConfigurationSetName"]
    configuration_sets.replace_destination(name, _destination(given), call.principal, call.deps)
    return {}


@SES_V2.operation("DeleteConfigurationSetEventDestination")
def delete_event_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Remove an event destination. Raises Rejected, Unavailable."""
    name = given["ConfigurationSetName"]
    configuration_sets.remove_destination(name, given["EventDestinationName"], call.principal, call.deps)
    return {}


def tags_of_thing(tags: list[dict[str, str]]) -> list[dict[str, str]]:
    """
    Check a thing's own tags.

    Raises:
        SesFault: BadRequestException: too many, one twice, or too long.
    """
    if len(tags) > _TAGS_MAX:
        raise bad_request(f"At most {_TAGS_MAX} tags are kept.")
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise bad_request("Two tags have the same key.")
    if any(not 1 <= len(tag["Key"]) <= 128 or len(tag["Value"]) > 256 for tag in tags):  # noqa: PLR2004 (SES's)
        raise bad_request("A tag has a key of 1 to 128 characters and a value of up to 256.")
    return tags


def _put(given: Mapping[str, Any], call: Call[AdminDeps], member: str, options: Mapping[str, Any]) -> dict[str, Any]:
    configuration_sets.put_options(given["ConfigurationSetName"], member, options, call.principal, call.deps)
    return {}


def _flag(given: Mapping[str, Any], name: str) -> bool:
    """A flag that is not given is false, as the service model has it."""
    return bool(given.get(name, False))


def _delivery(given: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unsupported(given, ("SendingPoolName",))
    return {name: given[name] for name in ("TlsPolicy", "MaxDeliverySeconds") if name in given}


def _suppression(given: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unsupported(given, ("ValidationOptions",))
    if given.get("SuppressionScope", "ACCOUNT") != "ACCOUNT":
        raise bad_request("SuppressionScope TENANT is not supported by paravion yet.")
    return {"SuppressedReasons": list(dict.fromkeys(given.get("SuppressedReasons", ())))}


def _destination(given: Mapping[str, Any]) -> dict[str, Any]:
    definition = given["EventDestination"]
    refuse_unsupported(definition, ("PinpointDestination",))
    return {
        "Name": given["EventDestinationName"],
        **definition,
        "Enabled": _flag(definition, "Enabled"),
        "MatchingEventTypes": list(dict.fromkeys(definition.get("MatchingEventTypes", ()))),
    }
