"""
What one mail costs: AWS calls from submission to delivered, batch of ten, steady state, counted on the wire.

Real handlers, real botocore, moto behind it, a real SMTP sink.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.client
import pytest
from moto import mock_aws

from infra.local.inbox import Inbox, InboxServer
from paravion.domain.dkim_keys import encode
from paravion.domain.ids import upload_name
from paravion.domain.ses_smtp_password import smtp_password
from tests.support.dkim_keys import active_ring

ROOT = Path(__file__).resolve().parents[2]
MAILS = 10
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, aws_request_id="r", function_name="f")


@pytest.fixture
def sink() -> Iterator[tuple[Inbox, int]]:
    """A next hop on a loop of its own."""
    inbox, loop = Inbox(), asyncio.new_event_loop()
    server = InboxServer(inbox)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    yield inbox, server.port
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count every API call that any botocore client makes."""
    counter: Counter[str] = Counter()
    original = botocore.client.BaseClient._make_api_call

    def counting(self: Any, operation: str, fields: Any) -> Any:
        counter[f"{self.meta.service_model.service_name}.{operation}"] += 1
        return original(self, operation, fields)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counting)
    return counter


def _handler(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"counted_{name}", ROOT / f"functions/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


@pytest.mark.parametrize(
    ("signed", "counted"),
    [(False, False), (True, False), (False, True)],
    ids=["without keys", "signed", "quota and statistics"],
)
def test_a_mail_costs_what_the_design_allows(
    monkeypatch: pytest.MonkeyPatch, sink: tuple[Inbox, int], calls: Counter[str], signed: bool, counted: bool
) -> None:
    """2.1 S3 PUT, 2 S3 GET, 1 SQS send, 0.2 receive and delete, 2 ledger writes, 0.1 reads; all else cached. A quota costs one write more; statistics 0.1."""
    inbox, port = sink
    # A batch asks the suppression list once, but for jobs whose envelope comes late; on a busy machine all may.
    monkeypatch.setattr("paravion.services.gathering.PATIENCE_S", 60.0)
    environ = {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "PARAVION_SPOOL": "spool", "PARAVION_LEDGER": "ledger", "PARAVION_SECRETS": "/p",
        "PARAVION_HOSTNAME": "mail.example.net", "PARAVION_IDENTITY_CHECK": "off",
        "PARAVION_RELAY": f"127.0.0.1:{port}",
    }  # fmt: skip
    if counted:
        environ |= {"PARAVION_MAX_24_HOUR_SEND": "100", "PARAVION_MAX_SEND_RATE": "100", "PARAVION_STATISTICS": "on"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName="delivery")["QueueUrl"]
        monkeypatch.setenv("PARAVION_DELIVERY_QUEUE", url)
        monkeypatch.setenv("PARAVION_RETRY_QUEUE", sqs.create_queue(QueueName="retry")["QueueUrl"])
        monkeypatch.setenv("PARAVION_BOUNCE_QUEUE", sqs.create_queue(QueueName="bounce")["QueueUrl"])
        boto3.client("s3").create_bucket(Bucket="spool")
        keys = [{"AttributeName": n, "KeyType": k} for n, k in (("pk", "HASH"), ("sk", "RANGE"))]
        types = [{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")]
        boto3.client("dynamodb").create_table(
            TableName="ledger", BillingMode="PAY_PER_REQUEST", KeySchema=keys, AttributeDefinitions=types
        )
        secret = json.dumps({"secret_key": "s3cret", "enabled": True})
        boto3.client("ssm").put_parameter(Name="/p/credentials/AKIATESTTESTTEST", Value=secret, Type="SecureString")
        if signed:
            ring = encode(active_ring())
            boto3.client("ssm").put_parameter(Name="/p/dkim/example.org", Value=ring, Type="SecureString")
        validate, deliver = _handler("validate"), _handler("deliver")

        def submit(number: int) -> None:
            answer = validate(_post(f"r{number}@example.com"), CONTEXT)
            assert answer["statusCode"] == 202, answer

        def drain() -> None:
            received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
            records = [
                {"messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "body": m["Body"]} for m in received
            ]
            assert deliver({"Records": records}, CONTEXT) == {"batchItemFailures": []}
            entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in received]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)

        submit(0)
        drain()
        calls.clear()
        for number in range(1, MAILS + 1):
            submit(number)
        drain()
        mails = dict(calls)
        # A large one in parts: one read for each part, and one write of its body, whatever its size.
        body = (b"x" * 98 + b"\r\n") * 15_000
        upload_ids = ["a" * 26, "b" * 26]
        for upload_id, content in zip(upload_ids, (b"From: me@example.org\r\n\r\n" + body, body), strict=True):
            name = upload_name(upload_id, "AKIATESTTESTTEST")
            boto3.client("s3").put_object(Bucket="spool", Key=f"up/{name}", Body=content)
        calls.clear()
        answer = validate(_post("large@example.com", upload_ids=upload_ids), CONTEXT)
        assert answer["statusCode"] == 202, answer
        found = boto3.client("s3").list_objects_v2(
            Bucket="spool", Prefix="df/" + json.loads(answer["body"])["queue_id"]
        )
        assert [item["Size"] for item in found["Contents"]] == [2 * len(body)]
        large = {name: count for name, count in calls.items() if not name.startswith(("dynamodb.", "s3.List"))}
    assert large == {"s3.GetObject": 2, "s3.PutObject": 2, "sqs.SendMessage": 1, "s3.DeleteObject": 2}
    assert len(inbox.messages()) == MAILS + 1
    assert all(mail.content.count(b"DKIM-Signature: ") == 2 * signed for mail in inbox.messages())
    assert mails.pop("dynamodb.GetItem", 0) <= counted  # of a quota, when an hour begins meanwhile
    assert mails == {
        "s3.PutObject": 2 * MAILS + 1,  # the batch's transcripts are one object
        "s3.GetObject": 2 * MAILS,
        "sqs.SendMessage": MAILS,
        "sqs.ReceiveMessage": 1,
        "sqs.DeleteMessageBatch": 1,
        "dynamodb.UpdateItem": MAILS + counted * (MAILS + 1),
        "dynamodb.PutItem": MAILS,
        "dynamodb.BatchGetItem": 1,
    }


def _post(recipient: str, **uploads: Any) -> dict[str, Any]:
    """An API Gateway event of a native submission, of a small message or of uploads."""
    password = smtp_password("s3cret", "us-east-1")
    token = base64.b64encode(f"AKIATESTTESTTEST:{password}".encode()).decode()
    content = base64.b64encode(b"From: me@example.org\r\nSubject: x\r\n\r\nbody\r\n").decode()
    body = {"reverse_path": "me@example.org", "recipients": [recipient], **(uploads or {"content": content})}
    return {
        "version": "2.0",
        "routeKey": "POST /v1/messages",
        "rawPath": "/v1/messages",
        "rawQueryString": "",
        "headers": {"authorization": f"Basic {token}", "content-type": "application/json", "host": "h"},
        "requestContext": {
            "http": {"method": "POST", "path": "/v1/messages", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "r",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
