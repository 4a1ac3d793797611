"""Each destination of events: AWS's on moto, webhooks over TLS; what arrives there, and what is said when nothing does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.events import events_backends

from paravion.adapters.event_destinations import AllEventDestinations
from paravion.adapters.memory import MemoryResolver, MemorySecrets
from paravion.adapters.webhook_events import WebhookEvents
from paravion.domain.allowed_destinations import AllowedDestinations, parse_destination_arn
from paravion.domain.configuration_set import EventDestination
from paravion.domain.ses_event import as_event, as_notification
from paravion.domain.target import AllowedTargets
from paravion.domain.told import TYPES, Told
from paravion.domain.webhook import encode_secrets
from tests.support.certificates import client_context, server_context
from tests.support.webhook_server import CUT, HANG, WebhookServer, running, verify
from tests.unit.domain.test_ses_event import CASES, ORIGIN

EVENTS = [CASES["send"], CASES["delivery"], CASES["bounce"]]
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
            AllowedDestinations(webhooks=allowed), ORIGIN, lambda *_: pytest.fail("no AWS"), lambda: client
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
