"""ports.Targets in memory, on moto's SNS and SQS, and on what botocore makes of Lambda's answers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from paravion.adapters.memory import MemoryTargets
from paravion.adapters.targets import AllTargets
from paravion.domain.outcome import HANDED_OVER, Result
from paravion.domain.target import AllowedTargets, idempotency_key
from paravion.errors import SpoolMissing
from paravion.ports import Handover

ACCOUNT, REGION = "123456789012", "us-east-1"
HEADER = b"Delivered-To: t@local.example\r\nSubject: one\r\n two\r\n"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:tickets"


@dataclass(frozen=True)
class _Body:
    content: bytes = b"body\r\n"
    octets: int = 0
    reads: list[int] = field(default_factory=list)

    def at_hand(self) -> None:
        """Not before it is read."""

    async def chunks(self) -> AsyncIterator[bytes]:
        self.reads.append(1)
        yield self.content


def _body(content: bytes) -> _Body:
    return _Body(content, len(content))


def _handover(target: str, body: Any = None, queue_id: str = "q" * 26) -> Handover:
    return Handover(
        target, queue_id, "t@local.example", "me@a.example", 1.8e9, HEADER, body or _body(b"body\r\n"), queue_id
    )


def _hand_over(targets: Any, handover: Handover, within_s: float = 10.0) -> Any:
    async def go() -> Any:
        return await targets.hand_over(handover, asyncio.get_running_loop().time() + within_s)

    return asyncio.run(go())


@dataclass
class Bench:
    """ports.Targets, a queue of its own and a topic that leads there, and what arrived."""

    targets: Any
    queue: str
    topic: str
    arrived: Any


def _all_targets(*arns: str, new_client: Any = None) -> AllTargets:
    def client(service: str, region: str) -> Any:
        config = Config(retries={"total_max_attempts": 1})
        return botocore.session.get_session().create_client(service, region_name=region, config=config)

    return AllTargets(AllowedTargets(tuple(arns)), new_client or client, _no_webhooks, "spool")


def _no_webhooks() -> Any:
    raise AssertionError("no webhook is asked here")


@pytest.fixture(params=["", ".fifo"], ids=["standard", "fifo"])
def bench(engine: str, request: pytest.FixtureRequest) -> Bench:
    """See Bench; on moto the topic's messages arrive in the queue."""
    if engine.startswith("embedded"):
        pytest.skip("one machine has no queues and topics to hand mail over to")
    fifo = request.param
    queue, topic = f"arn:aws:sqs:{REGION}:{ACCOUNT}:inbox{fifo}", f"arn:aws:sns:{REGION}:{ACCOUNT}:news{fifo}"
    if engine == "memory":
        memory = MemoryTargets()
        return Bench(memory, queue, topic, lambda: [(target, key) for target, key, *_ in memory.taken])
    attributes = {"FifoQueue": "true"} if fifo else {}
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName=f"inbox{fifo}", Attributes=attributes)["QueueUrl"]
    sns.create_topic(Name=f"news{fifo}", Attributes={"FifoTopic": "true"} if fifo else {})
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
    )
    assert subscription

    def arrived() -> list[tuple[str, str]]:
        found = []
        while messages := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0 if fifo else 30, AttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                told = json.loads(message["Body"])
                content = base64.b64decode(told["content"])
                assert content == HEADER + b"\r\nbody\r\n"
                assert told["headers"][1] == ["Subject", "one two"]
                assert told["spool"]["bucket"] == "spool"
                if fifo:
                    assert message["Attributes"]["MessageGroupId"]
                    assert message["Attributes"]["MessageDeduplicationId"] == told["idempotency_key"]
                found.append(("sqs:" + queue, told["idempotency_key"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return Bench(_all_targets(queue, topic), queue, topic, arrived)


def test_queue_gets_the_message(bench: Bench) -> None:
    """Delivered, with the service's name for it; and again under the same key."""
    target = f"sqs:{bench.queue}"
    outcome = _hand_over(bench.targets, _handover(target))
    assert (outcome.result, outcome.status, outcome.command) == (Result.DELIVERED, "2.0.0", HANDED_OVER)
    assert outcome.text
    assert bench.arrived() == [(target, idempotency_key("q" * 26, target))]


def test_topic_gets_the_message(bench: Bench) -> None:
    """By its subscriber."""
    target = f"sns:{bench.topic}"
    assert _hand_over(bench.targets, _handover(target)).result == Result.DELIVERED
    ((_, key),) = bench.arrived()
    assert key == idempotency_key("q" * 26, target)


def test_repeat_has_the_same_key(bench: Bench) -> None:
    """At least once: a standard queue may have it twice, a FIFO queue once."""
    target = f"sqs:{bench.queue}"
    for _ in range(2):
        assert _hand_over(bench.targets, _handover(target)).result == Result.DELIVERED
    keys = [key for _, key in bench.arrived()]
    assert set(keys) == {idempotency_key("q" * 26, target)}
    if isinstance(bench.targets, AllTargets):
        assert len(keys) == (1 if bench.queue.endswith(".fifo") else 2)


def test_body_that_is_gone_is_the_spools_fault(bench: Bench) -> None:
    """Not the target's: raised, for deliver to defer."""

    class Gone:
        octets = 5

        def at_hand(self) -> None:
            """Gone."""

        async def chunks(self) -> AsyncIterator[bytes]:
            raise SpoolMissing("df")
            yield b""

    with pytest.raises(SpoolMissing):
        _hand_over(bench.targets, _handover(f"sqs:{bench.queue}", Gone()))
    assert bench.arrived() == []


# What AWS alone can answer


on_aws = pytest.mark.parametrize("engine", ["aws"], indirect=True)
"""The fake has no services."""


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"sqs:arn:aws:sqs:{REGION}:{ACCOUNT}:nosuch", "4.3.5"),
        (f"sns:arn:aws:sns:{REGION}:{ACCOUNT}:nosuch", "4.3.5"),
        (f"lambda:{FUNCTION}", "4.3.5"),
    ],
)
@on_aws
def test_what_does_not_exist_defers(engine: str, target: str, status: str) -> None:
    """The operator's mistake: nobody's mail is returned for it at once, and no text names the target."""
    outcome = _hand_over(_all_targets(target.partition(":")[2]), _handover(target))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, status)
    assert "nosuch" not in outcome.text
    assert ACCOUNT not in outcome.text


@on_aws
def test_what_settings_do_not_name_is_not_called(engine: str) -> None:
    """They may have changed since the table was loaded."""
    made: list[str] = []
    targets = _all_targets(FUNCTION, new_client=lambda service, region: made.append(service))
    for target in (f"sqs:arn:aws:sqs:{REGION}:{ACCOUNT}:other", "lambda:other", "https://h.example/"):
        outcome = _hand_over(targets, _handover(target))
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.3.5")
    assert made == []


@pytest.mark.parametrize("octets", [10, 700_000, 800_000, 10 << 20])
@on_aws
def test_what_does_not_fit_is_named_and_not_cut(engine: str, octets: int) -> None:
    """1 MiB at SQS; a body that can't fit is not read."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="inbox", Attributes={"MaximumMessageSize": str(1 << 20)})["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:inbox"
    body = _body(b"x" * octets)
    assert _hand_over(_all_targets(queue), _handover(f"sqs:{queue}", body)).result == Result.DELIVERED
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    told = json.loads(message["Body"])
    assert told["content_truncated"] is (told["content"] is None) is (octets > 750_000)
    assert told["spool"]["body_octets"] == octets
    assert len(body.reads) == (octets < 790_000)


@on_aws
def test_queue_that_takes_less_gets_the_name_of_the_message(engine: str) -> None:
    """Queues keep their own limit: the refusal is answered with a message without content."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="small", Attributes={"MaximumMessageSize": "4096"})["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:small"
    outcome = _hand_over(_all_targets(queue), _handover(f"sqs:{queue}", _body(b"x" * 10_000)))
    assert outcome.result == Result.DELIVERED
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"])["content_truncated"] is True


def _lambda() -> tuple[Any, Stubber]:
    client = botocore.session.get_session().create_client("lambda", region_name=REGION)
    return client, Stubber(client)


@on_aws
def test_function_is_invoked_asynchronously(engine: str) -> None:
    """A name means the ARN of the settings; 202 is delivered, with the request's id."""
    client, stubber = _lambda()
    sent: list[Any] = []
    client.meta.events.register("provide-client-params.lambda.Invoke", lambda params, **_: sent.append(params))
    answer = {"StatusCode": 202, "Payload": StreamingBody(io.BytesIO(b""), 0), "ResponseMetadata": {"RequestId": "r-1"}}
    stubber.add_response("invoke", answer)
    regions: list[tuple[str, str]] = []

    def new_client(service: str, region: str) -> Any:
        regions.append((service, region))
        return client

    targets = _all_targets(FUNCTION, new_client=new_client)
    with stubber:
        outcome = _hand_over(targets, _handover("lambda:tickets"))
    assert (outcome.result, outcome.text) == (Result.DELIVERED, "the function's event is queued, request r-1")
    assert regions == [("lambda", REGION)]
    (params,) = sent
    assert (params["FunctionName"], params["InvocationType"]) == (FUNCTION, "Event")
    assert json.loads(params["Payload"])["recipient"] == "t@local.example"


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        ("TooManyRequestsException", 429, "4.4.5"),
        ("ServiceException", 500, "4.4.1"),
        ("ResourceNotFoundException", 404, "4.3.5"),
        ("AccessDeniedException", 403, "4.3.5"),
        ("KMSDisabledException", 502, "4.4.1"),
        ("ExpiredTokenException", 403, "4.3.5"),
    ],
)
@on_aws
def test_functions_no_is_a_deferral(engine: str, code: str, http: int, status: str) -> None:
    """domain/target_verdict.py by way of botocore."""
    client, stubber = _lambda()
    stubber.add_client_error("invoke", code, f"for {FUNCTION}", http)
    with stubber:
        outcome = _hand_over(_all_targets(FUNCTION, new_client=lambda *_: client), _handover(f"lambda:{FUNCTION}"))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, status)
    assert code in outcome.text
    assert ACCOUNT not in outcome.text


@on_aws
def test_function_whose_service_takes_less_is_named_the_message(engine: str) -> None:
    """413 once, then the event without content."""
    client, stubber = _lambda()
    stubber.add_client_error("invoke", "RequestTooLargeException", "", 413)
    stubber.add_response("invoke", {"StatusCode": 202})
    with stubber:
        outcome = _hand_over(_all_targets(FUNCTION, new_client=lambda *_: client), _handover(f"lambda:{FUNCTION}"))
    assert outcome.result == Result.DELIVERED
    stubber.assert_no_pending_responses()


class _Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def invoke(self, **_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ReadTimeoutError(endpoint_url="x"), "4.4.2"),
        (ConnectTimeoutError(endpoint_url="x"), "4.4.1"),
        (EndpointConnectionError(endpoint_url="x"), "4.4.1"),
        (NoCredentialsError(), "4.4.1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
@on_aws
def test_network_trouble_is_a_deferral(engine: str, error: Exception, status: str) -> None:
    """Lost answers and closed roads are told apart in the log."""
    outcome = _hand_over(_all_targets(FUNCTION, new_client=lambda *_: _Failing(error)), _handover("lambda:tickets"))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, status)


@on_aws
def test_nothing_is_begun_without_time(engine: str) -> None:
    """An answer that nobody hears makes a duplicate."""
    outcome = _hand_over(_all_targets(FUNCTION, new_client=None), _handover("lambda:tickets"), within_s=0.5)
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.4.1")


@on_aws
def test_service_that_hangs_ends_with_the_deadline(engine: str) -> None:
    """The thread may go on; the mail is deferred."""
    import threading

    release = threading.Event()

    class Hanging:
        def invoke(self, **_: Any) -> Any:
            release.wait(10)
            raise ReadTimeoutError(endpoint_url="x")

    async def go() -> Any:
        targets = _all_targets(FUNCTION, new_client=lambda *_: Hanging())
        outcome = await targets.hand_over(_handover("lambda:tickets"), asyncio.get_running_loop().time() + 1.2)
        release.set()
        return outcome

    outcome = asyncio.run(go())
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.4.2")
