"""Configuration sets as their records are read."""

from __future__ import annotations

from typing import Any

import pytest

from paravion.domain.configuration_set import ConfigurationSet, EventDestination, decode, is_name
from paravion.domain.suppression import Reason

_TOPIC = {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:events"}


def test_a_set_without_options_changes_nothing() -> None:
    """The defaults are those of mail without a set: in particular the account's suppression reasons."""
    assert decode("plain", {}) == ConfigurationSet("plain")
    assert decode("plain", {}).suppressed_reasons is None


def test_options_are_read_from_ses_members() -> None:
    """Each option of the API has its place in the decided set."""
    value = {
        "DeliveryOptions": {"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 300},
        "SendingOptions": {"SendingEnabled": False},
        "SuppressionOptions": {"SuppressedReasons": ["COMPLAINT"]},
        "ReputationOptions": {"ReputationMetricsEnabled": True},
        "KeepMessageId": True,
        "Tags": [{"Key": "team", "Value": "red"}],
        "EventDestinations": [
            {"Name": "b", "Enabled": True, "MatchingEventTypes": ["SEND", "BOUNCE"], "SnsDestination": _TOPIC},
            {"Name": "a", "MatchingEventTypes": ["SEND"], "Webhook": {"Url": "https://hooks.example/"}},
        ],
    }
    expected = ConfigurationSet(
        "full",
        sending_enabled=False,
        tls_required=True,
        max_delivery_s=300.0,
        suppressed_reasons=(Reason.COMPLAINT,),
        keeps_message_id=True,
        has_reputation_metrics=True,
        destinations=(
            EventDestination("a", False, frozenset({"SEND"}), "Webhook", {"Url": "https://hooks.example/"}),
            EventDestination("b", True, frozenset({"SEND", "BOUNCE"}), "SnsDestination", _TOPIC),
        ),
        tags={"team": "red"},
    )
    assert expected == decode("full", value)


def test_no_reasons_at_set_level_switch_suppression_off() -> None:
    """An empty list is a decision, other than no decision."""
    assert decode("x", {"SuppressionOptions": {}}).suppressed_reasons == ()


@pytest.mark.parametrize(
    "value",
    [
        {"DeliveryOptions": 3},
        {"SuppressionOptions": {"SuppressedReasons": ["BORED"]}},
        {"DeliveryOptions": {"MaxDeliverySeconds": "soon"}},
        {"Tags": [{"Key": "x"}]},
        {"EventDestinations": [{"Name": "x", "MatchingEventTypes": []}]},
        {"EventDestinations": [{"Name": "x", "MatchingEventTypes": [], "Webhook": {}, "SnsDestination": {}}]},
    ],
)
def test_what_is_none_is_a_value_error(value: dict[str, Any]) -> None:
    """A record that can't be read says so instead of meaning something else."""
    with pytest.raises(ValueError, match=r"(?i)configuration|must be|could not|kinds"):
        decode("x", value)


def test_names_are_those_of_ses() -> None:
    """1 to 64 letters, digits, '_' and '-'."""
    assert [is_name(text) for text in ("a", "A_b-9", "x" * 64)] == [True] * 3
    assert [is_name(text) for text in ("", "x" * 65, "a.b", "a b", "ä", "a\n")] == [False] * 6
