"""Each destination of events: AWS's on moto, webhooks over TLS; what arrives there, and what is said when nothing does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.events import events_backends

from paravion.adapters import cloudwatch_destination
from paravion.adapters.event_batches import SPLITS
from paravion.adapters.event_destinations import AllEventDestinations
from paravion.adapters.memory import MemoryResolver, MemorySecrets
from paravion.adapters.webhook_events import WebhookEvents
from paravion.domain.allowed_destinations import AllowedDestinations, parse_destination_arn
from paravion.domain.configuration_set import EventDestination
from paravion.domain.ses_event import as_event, as_notification
from paravion.domain.target import AllowedTargets
from paravion.domain.told import TYPES, UNDELIVERABLE, Told
from paravion.domain.webhook import encode_secrets
from tests.support.certificates import client_context, server_context
from tests.support.webhook_server import CUT, HANG, WebhookServer, running, verify
from tests.unit.domain.test_ses_event import CASES, ORIGIN

EVENTS = [CASES["send"], CASES["delivery"], CASES["bounce"]]
NOW = EVENTS[0].at + 60
REGION = "us-east-1"
ACCOUNT = "123456789012"
ARNS = (
    f"arn:aws:sns:{REGION}:{ACCOUNT}:ses-*",
    f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/ses",
    f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/ses",
)


def _told(kind: str, target: dict[str, Any], *, notification: bool = False) -> Told:
    return Told("set/a/b", "", EventDestination("b", True, frozenset(TYPES), kind, target), notification)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[AllEventDestinations]:
    """The adapter on moto."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield AllEventDestinations(
            AllowedDestinations(ARNS, "paravion/SES"),
            ORIGIN,
            lambda service, region: boto3.client(service, region_name=region or REGION),
            lambda: pytest.fail("no webhook is asked"),
            lambda: NOW,
        )


def _queue() -> tuple[Any, str, str]:
    sqs = boto3.client("sqs", REGION)
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    return sqs, url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:told"


def _bodies(sqs: Any, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(message["Body"]) for message in messages]
    return found


def test_topic_gets_the_event_as_its_message(aws: AllEventDestinations) -> None:
    """Of a set in the event's form with SES's subject, of an identity in the older one; more than ten at once."""
    sqs, url, arn = _queue()
    sns = boto3.client("sns", REGION)
    topic = sns.create_topic(Name="ses-events")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    told = _told("SnsDestination", {"TopicArn": topic})
    assert aws.publish(told, EVENTS * 4) == [""] * 12
    bodies = _bodies(sqs, url)
    assert [json.loads(body["Message"]) for body in bodies] == [as_event(event) for event in EVENTS * 4]
    assert {body["Subject"] for body in bodies} == {"Amazon SES Email Event Notification"}
    assert aws.publish(_told("SnsDestination", {"TopicArn": topic}, notification=True), EVENTS[2:]) == [""]
    (body,) = _bodies(sqs, url)
    assert json.loads(body["Message"]) == as_notification(EVENTS[2], with_headers=False)


def test_bus_gets_the_event_as_its_detail(aws: AllEventDestinations) -> None:
    """With SES's detail-type, a source of our own, and the ARNs of identity and set."""
    bridge = boto3.client("events", REGION)
    bus = bridge.create_event_bus(Name="ses")["EventBusArn"]
    bridge.create_archive(ArchiveName="all", EventSourceArn=bus, EventPattern=json.dumps({"source": ["paravion.ses"]}))
    assert aws.publish(_told("EventBridgeDestination", {"EventBusArn": bus}), EVENTS) == [""] * 3
    bodies = events_backends[ACCOUNT][REGION].archives["all"].events
    assert [body["detail"] for body in bodies] == [as_event(event) for event in EVENTS]
    assert [body["detail-type"] for body in bodies] == ["Email Sent", "Email Delivered", "Email Bounced"]
    assert bodies[0]["resources"] == [
        f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.org",
        f"arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/ConfigSet",
    ]


def test_stream_gets_a_line_for_each_event(aws: AllEventDestinations) -> None:
    """JSON and a LF."""
    boto3.client("s3", REGION).create_bucket(Bucket="told")
    firehose = boto3.client("firehose", REGION)
    role = f"arn:aws:iam::{ACCOUNT}:role/x"
    stream = firehose.create_delivery_stream(
        DeliveryStreamName="ses", S3DestinationConfiguration={"RoleARN": role, "BucketARN": "arn:aws:s3:::told"}
    )["DeliveryStreamARN"]
    told = _told("KinesisFirehoseDestination", {"DeliveryStreamArn": stream, "IamRoleArn": role})
    assert aws.publish(told, EVENTS) == [""] * 3
    s3 = boto3.client("s3", REGION)
    octets = b"".join(
        s3.get_object(Bucket="told", Key=item["Key"])["Body"].read()
        for item in s3.list_objects_v2(Bucket="told")["Contents"]
    )
    assert [json.loads(line) for line in octets.splitlines()] == [as_event(event) for event in EVENTS]


def test_metrics_have_the_sets_dimensions(aws: AllEventDestinations) -> None:
    """From a tag, a header field, or the default."""
    dimensions = [
        {"DimensionName": name, "DimensionValueSource": source, "DefaultDimensionValue": "none"}
        for name, source in (("campaign", "MESSAGE_TAG"), ("Reply-To", "EMAIL_HEADER"), ("link", "LINK_TAG"))
    ]
    assert aws.publish(_told("CloudWatchDestination", {"DimensionConfigurations": dimensions}), EVENTS) == [""] * 3
    metrics = boto3.client("cloudwatch", REGION).list_metrics(Namespace="paravion/SES")["Metrics"]
    assert {metric["MetricName"] for metric in metrics} == {"Send", "Delivery", "Bounce"}
    expected = {"campaign": "may", "Reply-To": "help@example.org", "link": "none"}
    assert {item["Name"]: item["Value"] for item in metrics[0]["Dimensions"]} == expected


@pytest.mark.parametrize(
    ("kind", "target", "word"),
    [
        ("SnsDestination", {"TopicArn": ARNS[0].replace("*", "gone")}, "NotFound"),
        ("SnsDestination", {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:other"}, "event_destination_arns"),
        ("SnsDestination", {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:ses-x.fifo"}, "FIFO"),
        ("SnsDestination", {"TopicArn": ARNS[0]}, "no ARN"),
        ("EventBridgeDestination", {"EventBusArn": ARNS[0].replace("*", "x")}, "no ARN"),
        ("KinesisFirehoseDestination", {"DeliveryStreamArn": ARNS[2]}, "ResourceNotFound"),
        ("Webhook", {"Url": "http://hooks.example.org/"}, "https"),
        ("Webhook", {"Url": "https://hooks.example.org/"}, "webhook_hosts"),
        ("Webhook", {"Url": "sns:arn:aws:sns:us-east-1:123456789012:x"}, "https"),
        ("Webhook", {"Url": "https://hooks.example.org/", "Form": "xml"}, "form"),
    ],
)  # fmt: skip
def test_trouble_is_told_of_each_event(aws: AllEventDestinations, kind: str, target: dict[str, Any], word: str) -> None:
    """In words for an operator; nothing raises."""
    problems = aws.publish(_told(kind, target), EVENTS[:2])
    assert len(problems) == 2
    assert all(word in problem for problem in problems), problems


def test_nothing_of_aws_without_leave() -> None:
    """Neither by default nor where there are no credentials."""
    bare = AllowedDestinations()
    topic = _told("SnsDestination", {"TopicArn": ARNS[0].replace("*", "x")}).destination
    assert "event_destination_arns" in bare.problem(topic)
    metrics = _told("CloudWatchDestination", {}).destination
    assert "event_metric_namespace" in bare.problem(metrics)
    local = AllowedDestinations(ARNS, "x", no_aws="no credentials")
    assert local.problem(topic) == local.problem(metrics) == "no credentials"
    with pytest.raises(ValueError, match="no ARN"):
        parse_destination_arn("arn:aws:sqs:us-east-1:123456789012:x")


# What a call is refused for


class Refusing:
    """A client of AWS's that refuses each call with a bad entry in it as a whole, and says which calls it had."""

    def __init__(self, bad: set[int], code: str = "ValidationException", http: int = 400) -> None:
        self.bad, self.code, self.http = bad, code, http
        self.calls: list[list[int]] = []
        self.taken: list[int] = []

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> dict[str, Any]:
            entries = next(value for value in given.values() if isinstance(value, list))
            found = [re.search(r"may-(\d+)-", json.dumps(entry, default=str)) for entry in entries]
            numbers = [int(match[1]) for match in found if match]
            assert len(numbers) == len(entries)
            self.calls.append(numbers)
            if self.bad.intersection(numbers):
                answer = {
                    "Error": {"Code": self.code, "Message": "no"},
                    "ResponseMetadata": {"HTTPStatusCode": self.http},
                }
                raise ClientError(answer, name)  # type: ignore[arg-type]
            self.taken += numbers
            return {}

        return call


_DIMENSIONS = [{"DimensionName": "n", "DimensionValueSource": "MESSAGE_TAG", "DefaultDimensionValue": "none"}]
TARGETS = {
    "SnsDestination": {"TopicArn": ARNS[0].replace("*", "x")},
    "EventBridgeDestination": {"EventBusArn": ARNS[1]},
    "KinesisFirehoseDestination": {"DeliveryStreamArn": ARNS[2], "IamRoleArn": "r"},
    "CloudWatchDestination": {"DimensionConfigurations": _DIMENSIONS},
}


def _numbered(count: int, **changes: Any) -> list[Any]:
    mail = CASES["send"].mail
    return [
        replace(CASES["send"], mail={**mail, "tags": {**mail["tags"], "n": [f"may-{n}-"]}}, **changes)
        for n in range(count)
    ]


def _publish(client: Refusing, kind: str, events: list[Any]) -> list[str]:
    allowed = AllowedDestinations(ARNS, "paravion/SES")
    adapter = AllEventDestinations(allowed, ORIGIN, lambda *_: client, lambda: pytest.fail("no webhook"), lambda: NOW)
    return adapter.publish(_told(kind, TARGETS[kind]), events)


@pytest.mark.parametrize("kind", TARGETS)
def test_entry_that_is_refused_spoils_no_other(kind: str) -> None:
    """It alone is told of; the others are taken once, in their order."""
    client = Refusing({7, 13})
    problems = _publish(client, kind, _numbered(20))
    assert [n for n, problem in enumerate(problems) if problem] == [7, 13]
    assert problems[7] == "ValidationException: no"
    assert client.taken == [n for n in range(20) if n not in {7, 13}]


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDenied", "NotFound", "InternalFailure"])
def test_refusal_of_the_destination_is_not_asked_again_by_halves(kind: str, code: str) -> None:
    """Each part would be refused the same way."""
    client = Refusing({0}, code)
    assert all(_publish(client, kind, _numbered(10)))
    assert len(client.calls) == 1


def test_halving_has_an_end() -> None:
    """However many are bad; what is too large for its size alone is found too."""
    client = Refusing(set(range(100)), "AnyCode", 413)
    assert all(_publish(client, "CloudWatchDestination", _numbered(100)))
    assert len(client.calls) <= 1 + 2 * SPLITS


def test_metrics_out_of_time_are_not_asked_for() -> None:
    """Two weeks back: never; two hours ahead: later; those between are counted."""
    client = Refusing(set())
    ages = (0, 13 * 86_400, 14 * 86_400, 60 * 86_400, -7000, -7300)
    events = [_numbered(n + 1, at=NOW - age)[n] for n, age in enumerate(ages)]
    problems = _publish(client, "CloudWatchDestination", events)
    assert client.taken == [0, 1, 4]
    assert [problem.startswith(UNDELIVERABLE) for problem in problems] == [False, False, True, True, False, False]
    assert "two hours ahead" in problems[5]


def test_metrics_with_long_dimensions_keep_within_a_call() -> None:
    """1 MB; and a value is printable ASCII, DEL too."""
    client = Refusing(set())
    names = [f"d{n}" for n in range(10)]
    target = {"DimensionConfigurations": [{**_DIMENSIONS[0], "DimensionName": name} for name in ["n", *names]]}
    tags = {name: ["\x7f\xe9" + "x" * 2000] for name in names}
    events = [replace(event, mail={**event.mail, "tags": {**event.mail["tags"], **tags}}) for event in _numbered(100)]
    told = _told("CloudWatchDestination", target)
    assert not any(cloudwatch_destination.send(client, told, events, "ns", NOW))
    assert [len(call) for call in client.calls] == [28, 28, 28, 16]
    (value,) = {d["Value"] for d in cloudwatch_destination._metric(events[0], target["DimensionConfigurations"])["Dimensions"][1:]}  # fmt: skip
    assert value.startswith("\\u007f\\u00e9xxx")
    assert len(value) == 1024


# Webhooks


def _post(
    tmp_path: Path, script: list[Any], events: Any = EVENTS, *, form: str = "event", within_s: float = 5.0
) -> tuple[list[str], WebhookServer]:
    with running(WebhookServer(server_context(tmp_path), script=script)) as server:
        allowed = AllowedTargets((), (), (f"127.0.0.1:{server.port}",))
        store = MemorySecrets(**{"webhooks/127.0.0.1": encode_secrets(["whsec_x"])})
        client = WebhookEvents(
            allowed, MemoryResolver, store, time.time, ORIGIN, within_s=within_s, context=client_context()
        )
        destinations = AllEventDestinations(
            AllowedDestinations(webhooks=allowed), ORIGIN, lambda *_: pytest.fail("no AWS"), lambda: client, time.time
        )
        told = _told("Webhook", {"Url": f"https://127.0.0.1:{server.port}/told?x=1", "Form": form})
        return destinations.publish(told, events), server


def test_webhook_gets_each_event_signed_and_in_order(tmp_path: Path) -> None:
    """As the documentation's own code verifies; a key that is the same when it comes again."""
    problems, server = _post(tmp_path, [])
    assert problems == [""] * 3
    assert [json.loads(request.body) for request in server.requests] == [as_event(event) for event in EVENTS]
    first = server.requests[0]
    assert verify("whsec_x", first.headers, first.body, now=time.time())
    assert (first.method, first.path) == ("POST", "/told?x=1")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["paravion-event-type"] == "SEND"
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 3


def test_webhook_that_fails_gets_no_later_event_of_that_mail(tmp_path: Path) -> None:
    """Its events stay in order; those of other mail go on."""
    other = replace(EVENTS[0], mail={**EVENTS[0].mail, "messageId": "other"})
    problems, server = _post(tmp_path, [b"HTTP/1.1 503 x\r\n\r\n"], [*EVENTS, other])
    failed = ["the webhook answered 503"] * 3
    assert problems in ([*failed, ""], ["", "", "", failed[0]])
    assert len(server.requests) in {2, 4}


def test_webhook_that_hangs_is_left_in_time(tmp_path: Path) -> None:
    """Within what a batch has."""
    problems, _ = _post(tmp_path, [HANG], EVENTS[:2], within_s=0.5)
    assert problems == ["the webhook gave no answer in time"] * 2
    problems, _ = _post(tmp_path, [CUT], EVENTS[:1])
    assert problems == ["the connection to the target was lost"]
