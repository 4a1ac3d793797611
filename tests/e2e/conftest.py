"""
The whole system, for each file of scenarios, on both engines; watched at the wire, the queue and the log.

A file sets SETTINGS, the assignments that `paravion up --set` would take, and ENGINES, if it can't be on all.
"""

from __future__ import annotations

import io
import smtplib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as SdkConfig

from infra.local.embedded import EmbeddedEngine
from infra.local.engine import LocalEngine
from infra.local.options import Options, read_options
from paravion.cli.client import Client, new_idempotency_key
from paravion.cli.config import Config
from paravion.domain.ses_smtp_password import smtp_password

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("retry_intervals_s=1", "retry_jitter_ratio=0", "sweep_interval_s=0.3", "fault_backoff_s=1",
         "hostname=mail.example.net")  # fmt: skip
PATIENCE_S = 60.0


class House:
    """A running engine, and the ways in that its users have."""

    def __init__(self, engine: LocalEngine | EmbeddedEngine, options: Options, log: io.StringIO) -> None:
        self.engine, self.options, self.log = engine, options, log
        self.client = Client(Config(engine.api_url, options.access_key, options.secret_key))
        assert engine.inbox is not None
        self.inbox = engine.inbox

    def aws(self, service: str, **changes: Any) -> Any:
        """An unmodified boto3 client with only its endpoint changed."""
        fields = {
            "endpoint_url": self.engine.api_url,
            "region_name": "us-east-1",
            "aws_access_key_id": self.options.access_key,
            "aws_secret_access_key": self.options.secret_key,
            "config": SdkConfig(retries={"total_max_attempts": 1}),
        }
        return boto3.client(service, **{**fields, **changes})

    def smtp(self, *, login: bool = True) -> smtplib.SMTP:
        """A session at the front door, after STARTTLS."""
        host, _, port = (self.engine.smtp_address or "").rpartition(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        session = smtplib.SMTP(host, int(port), timeout=30)
        session.starttls(context=context)
        if login:
            session.login(self.options.access_key, smtp_password(self.options.secret_key, "us-east-1"))
        return session

    def submit(self, content: bytes, *recipients: str, sender: str = "me@example.org", **fields: Any) -> str:
        """Submit by the native API; gives the queue id."""
        key = fields.pop("idempotency_key", None) or new_idempotency_key("test")
        body = {"reverse_path": sender, "recipients": list(recipients), **fields}
        queue_id: str = self.client.submit(body, content, key)["queue_id"]
        return queue_id

    def message(self, queue_id: str) -> dict[str, Any]:
        """Ask for a message."""
        return self.client.get(f"/v1/messages/{queue_id}")

    def ended(self, queue_id: str) -> dict[str, Any]:
        """Give a message once it is done and owes nothing."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            message = self.message(queue_id)
            if message["state"] == "done" and not message["notices_owed"]:
                return message
            time.sleep(0.1)
        raise AssertionError(f"{message}\n{self.log.getvalue()}")

    def mail_to(self, recipient: str, copies: int = 1) -> list[bytes]:
        """Give what the inbox holds for a recipient, once it holds so many."""
        mails = self.inbox.wait(lambda all_: sum(recipient in m.rcpt_tos for m in all_) >= copies, PATIENCE_S)
        return [mail.content for mail in mails if recipient in mail.rcpt_tos]

    def logged(self, words: str) -> None:
        """Wait until these words stand in the log, which is written a moment behind."""
        until = time.monotonic() + PATIENCE_S
        while words not in self.log.getvalue():
            assert time.monotonic() < until, self.log.getvalue()
            time.sleep(0.05)

    def kept(self) -> int:
        """Count what lies in the spool."""
        if isinstance(self.engine, EmbeddedEngine):
            return self.engine.data.spool.count()
        bucket = self.engine.system.resources["SpoolBucket"]
        count: int = boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket=bucket)["KeyCount"]
        return count

    def quiet(self) -> None:
        """Wait until every queue is empty."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            depths = self.engine.queue_depths()
            if not any(sum(depth.values()) for depth in depths.values()):
                return
            time.sleep(0.1)
        raise AssertionError(f"not quiet: {depths}")


@pytest.fixture(scope="module", params=["moto", "embedded"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The running system, with the file's SETTINGS."""
    if request.param not in getattr(request.module, "ENGINES", {request.param}):
        pytest.skip("not on this engine")
    assignments = [*QUICK, *getattr(request.module, "SETTINGS", ())]
    words = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0", "relay": "inbox",
             "engine": request.param}  # fmt: skip
    if request.param == "embedded":
        words["data"] = str(tmp_path_factory.mktemp("data"))
    options = read_options(ROOT / "template.yaml", words, assignments, {})
    log = io.StringIO()
    with (EmbeddedEngine if request.param == "embedded" else LocalEngine)(options, log) as engine:
        yield House(engine, options, log)
