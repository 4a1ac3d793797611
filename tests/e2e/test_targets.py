"""Aliases that name a webhook, a queue, a topic and a function, on the whole system: loaded, handed over, reported."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from paravion.cli import main, sendmail
from paravion.cli.client import ApiError
from tests.support.certificates import ca_pem, server_context
from tests.support.webhook_server import WebhookServer, running, verify

if TYPE_CHECKING:
    from tests.e2e.conftest import House

ENGINES = ("moto",)  # queues, topics and functions are AWS's; tests/e2e/test_webhook.py is for both
ACCOUNT = "arn:aws:{}:us-east-1:123456789012:{}"
QUEUE, TOPIC, FUNCTION = (
    ACCOUNT.format(*names) for names in (("sqs", "inbox"), ("sns", "news"), ("lambda", "function:tickets"))
)
CONTENT = b"From: me@example.org\r\nTo: someone@local.example\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture(scope="module", autouse=True)
def receiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """A webhook whose first answer is 503, its authority in the trust store; the system starts with its port."""
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(ca_pem())
    busy_once = [b"HTTP/1.1 503 Busy\r\n\r\n"]
    with pytest.MonkeyPatch.context() as patch, running(WebhookServer(server_context(folder), busy_once)) as server:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        request.module.SETTINGS = (
            "local_domains=local.example",
            f"alias_target_arns={QUEUE},{TOPIC},{FUNCTION}",
            f"webhook_private_hosts=127.0.0.1:{server.port}",
        )
        yield server


@pytest.fixture(scope="module")
def secret(receiver: WebhookServer, house: House) -> str:
    """Made by the command; the tables are loaded."""
    aliases = (
        f"hook: https://127.0.0.1:{receiver.port}/mail\n"
        "queue: sqs:https://sqs.us-east-1.amazonaws.com/123456789012/inbox\n"
        f"topic: sns:{TOPIC}\nfunction: lambda:tickets\nall: hook, queue, alice@a.example\n"
    )
    house.client.put("/v1/tables/aliases", {}, aliases.encode(), "application/octet-stream")
    secrets: list[str] = house.client.put("/v1/webhooks/127.0.0.1/secret")["secrets"]
    return secrets[0]


def _received(house: House) -> list[dict[str, Any]]:
    bodies = [json.loads(body) for body in house.engine._cloud.queue("inbox").bodies()]
    boto3.client("sqs", region_name="us-east-1").purge_queue(
        QueueUrl="https://sqs.us-east-1.amazonaws.com/123456789012/inbox"
    )
    return bodies


def test_webhook_queue_and_mailbox_each_get_the_mail(house: House, receiver: WebhookServer, secret: str) -> None:
    """One alias, three targets, one of them busy at first: each has the mail, the webhook twice asked under one key."""
    queue_id = house.submit(CONTENT, "all@local.example")
    message = house.ended(queue_id)
    assert [recipient["state"] for recipient in message["recipients"]] == ["delivered"] * 3
    (mail,) = house.mail_to("alice@a.example")
    first, second = receiver.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert second.headers["paravion-recipient"] == "hook@local.example"
    assert verify(secret, second.headers, second.body, now=time.time())
    assert second.headers["paravion-queue-id"] == queue_id
    (told,) = _received(house)
    content = base64.b64decode(told["content"])
    assert content == second.body
    assert content.partition(b"\r\n\r\n")[2] == mail.partition(b"\r\n\r\n")[2] == b"body\r\n"
    assert b"Delivered-To: all@local.example\r\n" in content
    # What the event says of the spool is true.
    spool = boto3.client("s3", region_name="us-east-1")
    objects = [
        spool.get_object(Bucket=told["spool"]["bucket"], Key=told["spool"][name])["Body"].read()
        for name in ("header_key", "body_key")
    ]
    assert objects[0].partition(b"\n")[2] + b"\r\n" + objects[1] == content


def test_topic_takes_the_mail(house: House, secret: str) -> None:
    """And nobody need be subscribed."""
    message = house.ended(house.submit(CONTENT, "topic@local.example"))
    assert [recipient["state"] for recipient in message["recipients"]] == ["delivered"]
    assert message["recipients"][0]["text"].startswith("published, MessageId ")


def test_success_is_reported_as_delivered(house: House, secret: str) -> None:
    """RFC 3464 2.3.3, through the SMTP door."""
    with house.smtp() as session:
        session.sendmail("ann@example.org", ["queue@local.example"], CONTENT, rcpt_options=["NOTIFY=SUCCESS"])
    (report,) = house.mail_to("ann@example.org")
    assert b"Action: delivered" in report
    assert b"queue@local.example" in report
    assert b"arn:" not in report


def test_function_that_is_not_there_waits_and_is_visible(house: House, secret: str) -> None:
    """An operator's mistake bounces nothing; the log says which target, the message why."""
    queue_id = house.submit(CONTENT, "function@local.example")
    until = time.monotonic() + 60
    while (message := house.message(queue_id))["recipients"][0]["state"] != "deferred":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert message["recipients"][0]["status"] == "4.3.5", message["recipients"]
    house.logged("lambda:tickets")


def test_bv_shows_targets(
    house: House, receiver: WebhookServer, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """And the secret's command prints what the API gave."""
    monkeypatch.setenv("PARAVION_API", house.engine.api_url)
    monkeypatch.setenv("PARAVION_ACCESS_KEY", house.options.access_key)
    monkeypatch.setenv("PARAVION_SECRET_KEY", house.options.secret_key)
    assert sendmail.main(["-bv", "hook", "queue"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hook... deliverable: 1 recipients",
        f"  hook@local.example: handed over to https://127.0.0.1:{receiver.port}/mail",
        "queue... deliverable: 1 recipients",
        f"  queue@local.example: handed over to sqs:{QUEUE}",
    ]
    assert main.main(["webhook", "secret", "127.0.0.1"]) == 0
    assert capsys.readouterr().out == f"{secret}\n"


def test_nobody_names_a_target_from_outside(house: House, secret: str) -> None:
    """At the API and in RCPT."""
    with pytest.raises(ApiError):
        house.submit(CONTENT, "lambda:tickets")
    with house.smtp() as session:
        session.mail("me@example.org")
        assert session.docmd(f"RCPT TO:<sqs:{QUEUE}>")[0] // 100 == 5


def test_table_with_a_target_that_no_setting_names_is_refused(house: House, secret: str) -> None:
    """File and line; what was loaded stays."""
    with pytest.raises(ApiError, match=r"a:1: .*alias_target_arns"):
        house.client.put("/v1/tables/aliases", {"file": "a"}, b"queue: lambda:other\n", "application/octet-stream")
    assert house.client.get("/v1/tables/aliases", {"key": "queue"})["count"] == 5
