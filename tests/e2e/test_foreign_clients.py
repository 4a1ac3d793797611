"""
Clients of SES that we did not write, unmodified but for endpoint and credentials; each mail is read where it arrives.

Each is one process: boto3 (ours), curl's own Signature Version 4, the AWS command line, Django's two backends, and for
Node the AWS SDK v3 in both versions and nodemailer. A client that is not installed is skipped; `make test` installs all.
"""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
from email import policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from email.message import EmailMessage

    from tests.e2e.conftest import House

ENGINES = {"embedded"}
SETTINGS = ("identity_check=off",)
ROOT = Path(__file__).resolve().parents[2]
NODE_CLIENTS = Path(os.environ.get("PARAVION_CLIENTS", ROOT / ".ci" / "clients"))
AWS = os.environ.get("PARAVION_AWS_CLI") or str(ROOT / ".venv-clients" / "bin" / "aws")
SENDER = "sender@example.org"


def _run(*words: str, env: dict[str, str] | None = None) -> str:
    """Run a client; gives what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _read(house: House, recipient: str) -> EmailMessage:
    (content,) = house.mail_to(recipient)
    return email.message_from_bytes(content, policy=policy.default)


def _of(message: EmailMessage) -> tuple[Any, ...]:
    """What a reader sees: subject, body, attachments, whether Bcc is hidden."""
    body = message.get_body(("plain",))
    assert body is not None
    attached = [part.get_content().strip() for part in message.iter_attachments()]
    return message["Subject"], body.get_content().strip(), attached, message["Bcc"]


def test_boto3(house: House) -> None:
    """Both versions; a contact list's mail, and the way out of it that a mail program takes."""
    sesv2, ses = house.aws("sesv2"), house.aws("ses")
    sesv2.create_contact_list(ContactListName="boto3")
    content = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "bye: {{amazonSESUnsubscribeUrl}}"}}}}
    raw = {"Raw": {"Data": b"From: sender@example.org\r\nTo: boto3@example.com\r\n"
                           b"X-SES-LIST-MANAGEMENT-OPTIONS: boto3\r\n\r\nbye: {{amazonSESUnsubscribeUrl}}\r\n"}}  # fmt: skip
    sesv2.send_email(Content=raw)
    message = _read(house, "boto3@example.com")
    url = message["List-Unsubscribe"].strip("<>")
    assert message.get_content().strip() == f"bye: {url}"
    assert url.startswith(house.engine.api_url)
    one_click = message["List-Unsubscribe-Post"]
    assert "You are unsubscribed" in _run("curl", "-sS", "--fail", "-d", one_click, url)
    assert sesv2.get_contact(ContactListName="boto3", EmailAddress="boto3@example.com")["UnsubscribeAll"] is True
    answer = sesv2.send_email(Content=raw)
    (recipient,) = house.ended(answer["MessageId"])["recipients"]
    assert (recipient["state"], recipient["text"]) == (
        "failed", "Not sent: the contact has unsubscribed: list boto3",
    )  # fmt: skip
    message_id = ses.send_email(
        Source=SENDER, Destination={"ToAddresses": ["boto3-v1@example.com"]}, Message=_v1(content)
    )["MessageId"]
    assert message_id in _read(house, "boto3-v1@example.com")["Message-ID"]


def _v1(content: dict[str, Any]) -> dict[str, Any]:
    return {"Subject": content["Simple"]["Subject"], "Body": content["Simple"]["Body"]}


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_curl(house: House) -> None:
    """A signature by C code that shares nothing with the SDKs."""
    body = {"FromEmailAddress": SENDER, "Destination": {"ToAddresses": ["curl@example.com"]},
            "Content": {"Simple": {"Subject": {"Data": "Grüße"}, "Body": {"Text": {"Data": "text"}}}}}  # fmt: skip
    out = _run(
        "curl", "-sS", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:ses",
        "--user", f"{house.options.access_key}:{house.options.secret_key}", "-H", "Content-Type: application/json",
        "--data-binary", json.dumps(body), f"{house.engine.api_url}/v2/email/outbound-emails",
    )  # fmt: skip
    message = _read(house, "curl@example.com")
    assert json.loads(out)["MessageId"] in message["Message-ID"]
    assert _of(message) == ("Grüße", "text", [], None)


@pytest.mark.skipif(not Path(AWS).exists(), reason="no AWS command line here")
def test_aws_command_line(house: House) -> None:
    """Both versions of the API."""
    env = {
        **os.environ, "AWS_ACCESS_KEY_ID": house.options.access_key, "AWS_SECRET_ACCESS_KEY": house.options.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": house.engine.api_url, "AWS_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    content = '{"Simple":{"Subject":{"Data":"s"},"Body":{"Text":{"Data":"text"}}}}'
    out = _run(AWS, "sesv2", "send-email", "--from-email-address", SENDER, "--destination",
               "ToAddresses=aws-v2@example.com", "--content", content, env=env)  # fmt: skip
    assert json.loads(out)["MessageId"] in _read(house, "aws-v2@example.com")["Message-ID"]
    out = _run(AWS, "ses", "send-email", "--from", SENDER, "--to", "aws-v1@example.com", "aws-v1-b@example.com",
               "--subject", "s", "--text", "text", env=env)  # fmt: skip
    assert json.loads(out)["MessageId"] in _read(house, "aws-v1-b@example.com")["Message-ID"]


def test_django(house: House) -> None:
    """django-ses by v1 and v2, django-anymail by v2."""
    pytest.importorskip("django_ses")
    pytest.importorskip("anymail")
    script = ROOT / "tests" / "support" / "django_clients.py"
    out = _run(sys.executable, str(script), house.engine.api_url, house.options.access_key, house.options.secret_key)
    ids = {name: id_ for line in out.splitlines() for name, id_ in json.loads(line).items()}
    assert set(ids) == {"django-ses-v1", "django-ses-v2", "anymail"}
    for name, message_id in ids.items():
        message = _read(house, f"{name}@example.com")
        assert message_id in message["Message-ID"]
        assert _of(message) == ("Grüße", "text", ["attached"], None)
        assert message["From"] == "Ä Sender <sender@example.org>"
        assert house.mail_to(f"bcc-{name}@example.com")


@pytest.mark.skipif(
    not (shutil.which("node") and (NODE_CLIENTS / "node_modules").exists()), reason="no Node clients here"
)
def test_node(house: House) -> None:
    """The AWS SDK v3 for both versions, with its exception classes, and nodemailer."""
    script = ROOT / "tests" / "support" / "ses_clients.mjs"
    out = _run("node", str(script), str(NODE_CLIENTS), house.engine.api_url, house.options.access_key,
               house.options.secret_key)  # fmt: skip
    told = {item["client"]: item["id"] for item in map(json.loads, out.splitlines())}
    assert "node" in told["lists"].split(",")
    assert told["error"] == "true NotFoundException 404"
    assert told["error-v1"] == "true 400"
    for name, recipient, subject in (
        ("sdk-v1", "sdk-v1-b@example.com", "Grüße v1"),
        ("sdk-v2", "sdk-v2@example.com", "Grüße v2"),
        ("nodemailer", "nodemailer@example.com", "Grüße nodemailer"),
    ):
        message = _read(house, recipient)
        assert told[name].strip("<>").partition("@")[0] in message["Message-ID"]
        assert _of(message)[:2] == (subject, "text")
    assert house.mail_to("nodemailer-bcc@example.com")
