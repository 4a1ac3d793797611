"""Configuration sets and their event destinations through unmodified boto3 clients, v2 and v1."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from paravion.domain.configuration_set import decode
from paravion.errors import LedgerUnavailable, ManagementFailed, ManagementUnavailable
from tests.unit.api.test_native import asked

TOPIC = {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:events"}
STREAM = {
    "IamRoleArn": "arn:aws:iam::123456789012:role/ses",
    "DeliveryStreamArn": "arn:aws:firehose:eu-west-1:123456789012:deliverystream/mail",
}
BUS = {"EventBusArn": "arn:aws:events:eu-west-1:123456789012:event-bus/default"}
DIMENSION = {"DimensionName": "campaign", "DimensionValueSource": "MESSAGE_TAG", "DefaultDimensionValue": "none"}
SNS = {"Enabled": True, "MatchingEventTypes": ["SEND", "BOUNCE"], "SnsDestination": TOPIC}
V1_SNS = {"Name": "d", "MatchingEventTypes": ["send"], "SNSDestination": {"TopicARN": TOPIC["TopicArn"]}}


@pytest.fixture
def v2(served):
    """A client with an operator's credential."""
    served.put_credential(operator=True)
    return served.client("sesv2")


@pytest.fixture
def v1(v2, served):
    """The same, of the older API."""
    return served.client("ses")


def refused(call, *args, **given):
    """Give the error's code, HTTP status and text."""
    with pytest.raises(ClientError) as caught:
        call(*args, **given)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def shown(client, name="news"):
    """Give a set without what is about the answer."""
    answer = client.get_configuration_set(ConfigurationSetName=name)
    answer.pop("ResponseMetadata")
    return answer


PLAIN = {
    "ConfigurationSetName": "news",
    "DeliveryOptions": {"TlsPolicy": "OPTIONAL"},
    "ReputationOptions": {"ReputationMetricsEnabled": False},
    "SendingOptions": {"SendingEnabled": True},
    "Tags": [],
}


def test_set_is_made_shown_and_removed(v2):
    """With SES's defaults."""
    v2.create_configuration_set(ConfigurationSetName="news")
    assert shown(v2) == PLAIN
    v2.delete_configuration_set(ConfigurationSetName="news")
    assert refused(v2.get_configuration_set, ConfigurationSetName="news") == (
        "NotFoundException", 404, "Configuration set <news> does not exist.",
    )  # fmt: skip


def test_options_given_when_made_are_those_that_are_put(v2):
    """All that is offered, at once or one by one."""
    options = {
        "DeliveryOptions": {"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 3600},
        "ReputationOptions": {"ReputationMetricsEnabled": True},
        "SendingOptions": {"SendingEnabled": False},
        "SuppressionOptions": {"SuppressedReasons": ["BOUNCE"]},
    }
    tags = [{"Key": "team", "Value": "red"}]
    v2.create_configuration_set(ConfigurationSetName="news", Tags=tags, **options)
    assert shown(v2) == {"ConfigurationSetName": "news", "Tags": tags, **options}
    v2.create_configuration_set(ConfigurationSetName="other")
    for name, call in (
        ("DeliveryOptions", v2.put_configuration_set_delivery_options),
        ("ReputationOptions", v2.put_configuration_set_reputation_options),
        ("SendingOptions", v2.put_configuration_set_sending_options),
        ("SuppressionOptions", v2.put_configuration_set_suppression_options),
    ):
        call(ConfigurationSetName="other", **options[name])
    assert shown(v2, "other") == {"ConfigurationSetName": "other", "Tags": [], **options}


def test_put_replaces_what_it_does_not_name(v2):
    """A lifetime is over with a put that has none; no reasons are no suppression."""
    v2.create_configuration_set(ConfigurationSetName="news", DeliveryOptions={"MaxDeliverySeconds": 300})
    v2.put_configuration_set_delivery_options(ConfigurationSetName="news", TlsPolicy="REQUIRE")
    v2.put_configuration_set_suppression_options(ConfigurationSetName="news")
    assert shown(v2)["DeliveryOptions"] == {"TlsPolicy": "REQUIRE"}
    assert shown(v2)["SuppressionOptions"] == {"SuppressedReasons": []}


def test_list_is_followed_page_by_page(v2, v1):
    """In order of name, in both versions."""
    names = [f"set-{n}" for n in range(5)]
    for name in reversed(names):
        v2.create_configuration_set(ConfigurationSetName=name)
    found, token = [], {}
    while True:
        answer = v2.list_configuration_sets(PageSize=2, **token)
        found += answer["ConfigurationSets"]
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert found == names
    first = v1.list_configuration_sets(MaxItems=3)
    rest = v1.list_configuration_sets(NextToken=first["NextToken"])
    assert [item["Name"] for item in first["ConfigurationSets"] + rest["ConfigurationSets"]] == names
    assert "NextToken" not in rest
    assert refused(v2.list_configuration_sets, NextToken="?")[0] == "InvalidNextTokenException"
    for call, given in (
        (v2.list_configuration_sets, {"PageSize": 0}),
        (v2.list_configuration_sets, {"PageSize": 1001}),
    ):
        assert refused(call, **given)[:2] == ("BadRequestException", 400)
    assert refused(v1.list_configuration_sets, MaxItems=0)[:2] == ("InvalidParameterValue", 400)


@pytest.mark.parametrize(
    "given",
    [
        {"ConfigurationSetName": "a b"},
        {"ConfigurationSetName": "x" * 65},
        {"ConfigurationSetName": "ä"},
        {"TrackingOptions": {"CustomRedirectDomain": "x.example"}},
        {"VdmOptions": {}},
        {"ArchivingOptions": {}},
        {"MessageSecurityOptions": {}},
        {"DeliveryOptions": {"SendingPoolName": "pool"}},
        {"DeliveryOptions": {"MaxDeliverySeconds": 50401}},
        {"DeliveryOptions": {"TlsPolicy": "MAYBE"}},
        {"ReputationOptions": {"LastFreshStart": 1}},
        {"SuppressionOptions": {"SuppressedReasons": ["WHIM"]}},
        {"SuppressionOptions": {"SuppressionScope": "TENANT"}},
        {"SuppressionOptions": {"ValidationOptions": {"ConditionThreshold": {"ConditionThresholdEnabled": "ENABLED"}}}},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        {"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]},
        {"Tags": [{"Key": "k" * 129, "Value": ""}]},
    ],
    ids=lambda given: json.dumps(given)[:60],
)
def test_set_that_is_not_offered_is_refused(v2, served, given):
    """What would be ignored is refused by name."""
    code = refused(v2.create_configuration_set, **{"ConfigurationSetName": "news", **given})
    assert code[:2] == ("BadRequestException", 400)
    assert served.records.items == {}


def test_name_is_taken_once(v2, v1):
    """In each version's own words."""
    v2.create_configuration_set(ConfigurationSetName="news")
    assert refused(v2.create_configuration_set, ConfigurationSetName="news")[:2] == ("AlreadyExistsException", 400)
    assert refused(v1.create_configuration_set, ConfigurationSet={"Name": "news"})[:2] == (
        "ConfigurationSetAlreadyExists", 400,
    )  # fmt: skip
    assert refused(v1.create_configuration_set, ConfigurationSet={"Name": "a.b"})[:2] == (
        "InvalidConfigurationSet",
        400,
    )


def test_unknown_set_is_unknown_to_every_operation(v2, v1):
    """Modelled errors, which SDKs map to exception classes."""
    name = {"ConfigurationSetName": "none"}
    event = {"EventDestinationName": "d"}
    for call, given in (
        (v2.get_configuration_set, {}),
        (v2.delete_configuration_set, {}),
        (v2.put_configuration_set_delivery_options, {}),
        (v2.put_configuration_set_reputation_options, {}),
        (v2.put_configuration_set_sending_options, {}),
        (v2.put_configuration_set_suppression_options, {}),
        (v2.create_configuration_set_event_destination, {**event, "EventDestination": SNS}),
        (v2.update_configuration_set_event_destination, {**event, "EventDestination": SNS}),
        (v2.delete_configuration_set_event_destination, event),
        (v2.get_configuration_set_event_destinations, {}),
    ):
        assert refused(call, **name, **given)[:2] == ("NotFoundException", 404)
    for call, given in (
        (v1.describe_configuration_set, {}),
        (v1.delete_configuration_set, {}),
        (v1.update_configuration_set_sending_enabled, {"Enabled": True}),
        (v1.update_configuration_set_reputation_metrics_enabled, {"Enabled": True}),
        (v1.put_configuration_set_delivery_options, {}),
        (v1.create_configuration_set_event_destination, {"EventDestination": V1_SNS}),
        (v1.update_configuration_set_event_destination, {"EventDestination": V1_SNS}),
        (v1.delete_configuration_set_event_destination, event),
    ):
        with pytest.raises(v1.exceptions.ConfigurationSetDoesNotExistException):
            call(**name, **given)


def test_event_destinations_are_kept(v2):
    """Every kind, changed and removed."""
    v2.create_configuration_set(ConfigurationSetName="news")
    kinds = {
        "sns": {"SnsDestination": TOPIC},
        "firehose": {"KinesisFirehoseDestination": STREAM},
        "bus": {"EventBridgeDestination": BUS},
        "cloudwatch": {"CloudWatchDestination": {"DimensionConfigurations": [DIMENSION]}},
    }
    for name, kind in kinds.items():
        v2.create_configuration_set_event_destination(
            ConfigurationSetName="news", EventDestinationName=name,
            EventDestination={"MatchingEventTypes": ["DELIVERY_DELAY", "SEND", "SEND"], **kind},
        )  # fmt: skip
    found = v2.get_configuration_set_event_destinations(ConfigurationSetName="news")["EventDestinations"]
    assert found == [
        {"Name": name, "Enabled": False, "MatchingEventTypes": ["DELIVERY_DELAY", "SEND"], **kind}
        for name, kind in kinds.items()
    ]
    v2.update_configuration_set_event_destination(
        ConfigurationSetName="news", EventDestinationName="bus", EventDestination=SNS
    )
    v2.delete_configuration_set_event_destination(ConfigurationSetName="news", EventDestinationName="sns")
    found = v2.get_configuration_set_event_destinations(ConfigurationSetName="news")["EventDestinations"]
    assert [item["Name"] for item in found] == ["firehose", "bus", "cloudwatch"]
    assert found[1] == {"Name": "bus", **SNS}


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ({"MatchingEventTypes": ["SEND"]}, "Exactly one kind"),
        ({**SNS, "EventBridgeDestination": BUS}, "Exactly one kind"),
        ({"SnsDestination": TOPIC}, "at least one event type"),
        ({**SNS, "MatchingEventTypes": ["OPEN"]}, "OPEN is not supported"),
        ({**SNS, "MatchingEventTypes": ["WHIM"]}, "enum"),
        ({**SNS, "SnsDestination": {"TopicArn": "arn:aws:sqs:eu-west-1:123456789012:events"}}, "TopicArn"),
        ({**SNS, "PinpointDestination": {"ApplicationArn": "x"}}, "PinpointDestination"),
        ({"MatchingEventTypes": ["SEND"], "EventBridgeDestination": {"EventBusArn": BUS["EventBusArn"] + "2"}}, "EventBusArn"),
        ({"MatchingEventTypes": ["SEND"], "KinesisFirehoseDestination": {**STREAM, "IamRoleArn": "x"}}, "IamRoleArn"),
        ({"MatchingEventTypes": ["SEND"], "KinesisFirehoseDestination": {**STREAM, "DeliveryStreamArn": "x"}}, "DeliveryStreamArn"),
        ({"MatchingEventTypes": ["SEND"], "CloudWatchDestination": {"DimensionConfigurations": []}}, "1 to 10"),
        ({"MatchingEventTypes": ["SEND"], "CloudWatchDestination": {"DimensionConfigurations": [DIMENSION] * 11}}, "1 to 10"),
        *(
            ({"MatchingEventTypes": ["SEND"], "CloudWatchDestination": {"DimensionConfigurations": [{**DIMENSION, key: value}]}}, key)
            for key, value in (("DimensionName", "a b"), ("DefaultDimensionValue", ""), ("DimensionValueSource", "LINK_TAG"))
        ),
    ],
)  # fmt: skip
def test_event_destination_that_is_none_is_refused(v2, definition, says):
    """One kind each, events that there are, and ARNs of the right form."""
    v2.create_configuration_set(ConfigurationSetName="news")
    code, http, text = refused(
        v2.create_configuration_set_event_destination,
        ConfigurationSetName="news", EventDestinationName="d", EventDestination=definition,
    )  # fmt: skip
    assert (code, http) == ("BadRequestException", 400)
    assert says in text


def test_event_destinations_are_ten_and_each_has_its_name(v2, v1):
    """SES's limit, and its errors."""
    v2.create_configuration_set(ConfigurationSetName="news")
    given = {"ConfigurationSetName": "news", "EventDestination": SNS}
    for n in range(10):
        v2.create_configuration_set_event_destination(**given, EventDestinationName=f"d{n}")
    create, update = v2.create_configuration_set_event_destination, v2.update_configuration_set_event_destination
    assert refused(create, **given, EventDestinationName="d10")[:2] == ("LimitExceededException", 400)
    assert refused(create, **given, EventDestinationName="d1")[:2] == ("AlreadyExistsException", 400)
    assert refused(create, **given, EventDestinationName="a b")[:2] == ("BadRequestException", 400)
    assert refused(update, **given, EventDestinationName="d11")[:2] == ("NotFoundException", 404)
    assert refused(
        v2.delete_configuration_set_event_destination, ConfigurationSetName="news", EventDestinationName="d11"
    )[:2] == ("NotFoundException", 404)
    name = {"ConfigurationSetName": "news"}
    with pytest.raises(v1.exceptions.LimitExceededException):
        v1.create_configuration_set_event_destination(**name, EventDestination={**V1_SNS, "Name": "d10"})
    with pytest.raises(v1.exceptions.EventDestinationAlreadyExistsException):
        v1.create_configuration_set_event_destination(**name, EventDestination={**V1_SNS, "Name": "d1"})
    with pytest.raises(v1.exceptions.EventDestinationDoesNotExistException):
        v1.update_configuration_set_event_destination(**name, EventDestination={**V1_SNS, "Name": "d11"})
    with pytest.raises(v1.exceptions.EventDestinationDoesNotExistException):
        v1.delete_configuration_set_event_destination(**name, EventDestinationName="d11")


def test_both_versions_speak_of_the_same_set(v2, v1):
    """What v1 has no words for is left out there."""
    v1.create_configuration_set(ConfigurationSet={"Name": "news"})
    destinations = [
        {"Name": "sns", "Enabled": True, "MatchingEventTypes": ["send", "renderingFailure"],
         "SNSDestination": {"TopicARN": TOPIC["TopicArn"]}},
        {"Name": "firehose", "Enabled": False, "MatchingEventTypes": ["bounce"],
         "KinesisFirehoseDestination": {"IAMRoleARN": STREAM["IamRoleArn"],
                                        "DeliveryStreamARN": STREAM["DeliveryStreamArn"]}},
        {"Name": "cloudwatch", "Enabled": False, "MatchingEventTypes": ["delivery"], "CloudWatchDestination": {
            "DimensionConfigurations": [{**DIMENSION, "DimensionValueSource": "emailHeader"}]}},
    ]  # fmt: skip
    for item in destinations:
        v1.create_configuration_set_event_destination(ConfigurationSetName="news", EventDestination=item)
    v2.create_configuration_set_event_destination(
        ConfigurationSetName="news", EventDestinationName="bus",
        EventDestination={"MatchingEventTypes": ["SEND"], "EventBridgeDestination": BUS},
    )  # fmt: skip
    v2.put_configuration_set_delivery_options(ConfigurationSetName="news", MaxDeliverySeconds=300)
    v1.put_configuration_set_delivery_options(ConfigurationSetName="news", DeliveryOptions={"TlsPolicy": "Require"})
    v1.update_configuration_set_sending_enabled(ConfigurationSetName="news", Enabled=False)
    v1.update_configuration_set_reputation_metrics_enabled(ConfigurationSetName="news", Enabled=True)
    described = v1.describe_configuration_set(
        ConfigurationSetName="news",
        ConfigurationSetAttributeNames=["eventDestinations", "deliveryOptions", "reputationOptions"],
    )
    assert described["EventDestinations"] == destinations
    assert described["DeliveryOptions"] == {"TlsPolicy": "Require"}
    assert described["ReputationOptions"] == {"SendingEnabled": False, "ReputationMetricsEnabled": True}
    assert shown(v2)["DeliveryOptions"] == {"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 300}
    bare = v1.describe_configuration_set(ConfigurationSetName="news")
    assert {key for key in bare if key != "ResponseMetadata"} == {"ConfigurationSet"}
    v1.update_configuration_set_event_destination(
        ConfigurationSetName="news", EventDestination={**V1_SNS, "Name": "cloudwatch"}
    )
    v1.delete_configuration_set_event_destination(ConfigurationSetName="news", EventDestinationName="firehose")
    v1.delete_configuration_set(ConfigurationSetName="news")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"SNSDestination": {"TopicARN": "x"}}, "InvalidSNSDestination"),
        ({"MatchingEventTypes": ["click"]}, "InvalidSNSDestination"),
        ({"SNSDestination": None, "KinesisFirehoseDestination": {"IAMRoleARN": "x", "DeliveryStreamARN": "y"}},
         "InvalidFirehoseDestination"),
        ({"SNSDestination": None, "CloudWatchDestination": {"DimensionConfigurations": []}},
         "InvalidCloudWatchDestination"),
    ],
)  # fmt: skip
def test_v1_names_the_kind_that_is_wrong(v1, changed, error):
    """Its own errors."""
    v1.create_configuration_set(ConfigurationSet={"Name": "news"})
    item = {key: value for key, value in {**V1_SNS, **changed}.items() if value is not None}
    call = v1.create_configuration_set_event_destination
    assert refused(call, ConfigurationSetName="news", EventDestination=item)[:2] == (error, 400)


def test_webhook_is_shown_without_where_it_goes(v2, served):
    """SES has no such kind: our own API made it and tells of it."""
    item = {"Name": "hook", "Enabled": True, "MatchingEventTypes": ["SEND"], "Webhook": {"Url": "https://x.example/"}}
    served.records.put("configuration-set", "news", {"EventDestinations": [item]})
    found = v2.get_configuration_set_event_destinations(ConfigurationSetName="news")["EventDestinations"]
    assert found == [{"Name": "hook", "Enabled": True, "MatchingEventTypes": ["SEND"]}]


def test_change_that_others_are_faster_than_says_so(v2, served, monkeypatch):
    """Once it is tried again, then the caller is told; nothing is overwritten."""
    v2.create_configuration_set(ConfigurationSetName="news")
    put, raced = served.records.put, []

    def racing(kind, name, value, *, version=None):
        if version is not None and len(raced) < lost:
            raced.append(name)
            put(kind, name, {"Tags": [{"Key": "theirs", "Value": "x"}]})
        return put(kind, name, value, version=version)

    monkeypatch.setattr(served.records, "put", racing)
    lost = 1
    v2.put_configuration_set_sending_options(ConfigurationSetName="news", SendingEnabled=False)
    assert shown(v2)["Tags"] == [{"Key": "theirs", "Value": "x"}]
    assert shown(v2)["SendingOptions"] == {"SendingEnabled": False}
    raced.clear()
    lost = 9
    assert refused(v2.put_configuration_set_sending_options, ConfigurationSetName="news")[:2] == (
        "ConcurrentModificationException", 500,
    )  # fmt: skip


def test_only_an_operator_manages_where_there_are_no_tenants(served):
    """Nothing is told, nothing is changed."""
    client, older = served.client("sesv2"), served.client("ses")
    served.records.put("configuration-set", "news", {})
    for call, given in (
        (client.create_configuration_set, {"ConfigurationSetName": "x"}),
        (client.get_configuration_set, {"ConfigurationSetName": "news"}),
        (client.list_configuration_sets, {}),
        (client.delete_configuration_set, {"ConfigurationSetName": "news"}),
        (client.put_configuration_set_sending_options, {"ConfigurationSetName": "news"}),
    ):
        assert refused(call, **given)[:2] == ("AccessDeniedException", 403)
    assert refused(older.delete_configuration_set, ConfigurationSetName="news")[:2] == ("AccessDenied", 403)
    assert len(served.records.items) == 1


def test_tenants_have_sets_of_their_own(served):
    """One tenant's credential neither sees nor changes another's; names do not meet."""
    for key, tenant in (("AKIARED", "red"), ("AKIABLUE", "blue")):
        stored = {"secret_key": "s3cret", "tenant": tenant}
        served.secrets.put(f"credentials/{key}", json.dumps(stored))
    red, blue = (served.client("sesv2", key=key, secret="s3cret") for key in ("AKIARED", "AKIABLUE"))
    red.create_configuration_set(ConfigurationSetName="news", SendingOptions={"SendingEnabled": False})
    assert blue.list_configuration_sets()["ConfigurationSets"] == []
    assert refused(blue.get_configuration_set, ConfigurationSetName="news")[0] == "NotFoundException"
    blue.create_configuration_set(ConfigurationSetName="news")
    blue.delete_configuration_set(ConfigurationSetName="news")
    assert shown(red)["SendingOptions"] == {"SendingEnabled": False}


def test_outage_is_transient(v2, served, monkeypatch):
    """An SDK comes again."""

    def away(*_, **__):
        raise LedgerUnavailable("throttled")

    monkeypatch.setattr(served.records, "get", away)
    assert refused(v2.get_configuration_set, ConfigurationSetName="news")[1] == 503


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (ManagementUnavailable("throttled"), ("ServiceUnavailable", 503)),
        (ManagementFailed("no answer"), ("InternalFailure", 500)),
    ],
)
def test_management_that_fails_is_sess_own_error(v1, served, monkeypatch, fault, expected):
    """`POST /` comes to the function that sends: what the one that manages has, it passes on as SES would."""

    class Away:
        def invoke(self, event):
            raise fault

    monkeypatch.setattr(type(served), "management", Away())
    assert refused(v1.list_configuration_sets)[:2] == expected


def test_request_is_authenticated_before_it_is_handed_on(v1, served, monkeypatch):
    """Nobody's request costs an invocation."""
    monkeypatch.setattr(type(served), "management", None)
    stranger = served.client("ses", secret="wrong")
    assert refused(stranger.list_configuration_sets)[:2] == ("SignatureDoesNotMatch", 403)
    assert refused(v1.list_configuration_sets)[0] == "InvalidAction"


def test_what_ses_knows_nothing_of_is_set_by_the_native_api(v2, served):
    """What SES's API can't say; it stays when SES's API changes the rest."""
    v2.create_configuration_set(ConfigurationSetName="news")
    path = "/v1/configuration-sets/news"
    assert asked(served, "GET", path) == (200, {"name": "news", "keep_message_id": False, "priority": ""})
    given = {"keep_message_id": True, "priority": "bulk"}
    assert asked(served, "PUT", path, given) == (200, {"name": "news", **given})
    v2.put_configuration_set_sending_options(ConfigurationSetName="news", SendingEnabled=True)
    assert asked(served, "GET", path)[1] == {"name": "news", **given}
    assert decode("news", served.records.get("configuration-set", "news").value).priority == "bulk"
    for bad in ({"keep_message_id": 1}, {"more": True}, {"priority": "dsn"}, {"priority": 1}, {"priority": []}):
        assert asked(served, "PUT", path, bad)[0] == 400
    assert asked(served, "PUT", "/v1/configuration-sets/none", {"keep_message_id": True})[0] == 422
