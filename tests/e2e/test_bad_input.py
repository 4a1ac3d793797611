"""What is refused is refused in the door's own form, and nothing of it is kept."""

from __future__ import annotations

import http.client
import json
import os
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from infra.local.embedded import EmbeddedEngine
from paravion.cli.client import ApiError
from paravion.domain.ses_smtp_password import smtp_password

if TYPE_CHECKING:
    from tests.e2e.conftest import House

SETTINGS = ("max_message_octets=100000",)
MAIL = b"From: me@example.org\r\nSubject: x\r\n\r\nbody\r\n"
SIMPLE = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}}


@pytest.fixture(autouse=True)
def _nothing_is_kept(house: House) -> Iterator[None]:
    """After each refusal the spool is empty and so are the queues."""
    yield
    assert house.kept() == 0
    assert not any(sum(depth.values()) for depth in house.engine.queue_depths().values())


def _post(house: House, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(house.engine.api_url.removeprefix("http://"), timeout=30)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    octets = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, octets


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIAUNKNOWNUNKNOWN00"}, None),
        ({"aws_session_token": "token"}, None),
    ],
    ids=["wrong secret", "unknown key", "session token"],
)
@pytest.mark.parametrize("service", ["ses", "sesv2"])
def test_credential_that_is_none(house: House, service: str, changes: dict[str, str], code: str | None) -> None:
    """403 in each protocol's own form, as a ClientError that boto3 parses."""
    client = house.aws(service, **changes)
    with pytest.raises(ClientError) as error:
        if service == "ses":
            client.send_raw_email(RawMessage={"Data": MAIL}, Destinations=["you@example.com"])
        else:
            client.send_email(
                FromEmailAddress="me@example.org", Destination={"ToAddresses": ["a@b.example"]}, Content=SIMPLE
            )
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    if code:
        assert error.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("path", ["/v2/email/outbound-emails", "/v1/messages", "/"])
def test_unsigned_request(house: House, path: str) -> None:
    """Deny by default, at every path."""
    status, _, body = _post(house, path, b"{}", **{"Content-Type": "application/json"})
    assert status in {401, 403}
    assert b"uthentication" in body


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"Destination": {"ToAddresses": ["not an address"]}}, "BadRequestException"),
        ({"Destination": {"ToAddresses": []}}, "BadRequestException"),
        ({"Destination": {"ToAddresses": [f"r{n}@b.example" for n in range(51)]}}, "BadRequestException"),
        ({"FromEmailAddress": "me@example.org\r\nBcc: x@y.example"}, "BadRequestException"),
        ({"ConfigurationSetName": "none"}, "NotFoundException"),
        ({"Content": {"Raw": {"Data": b"no header"}}}, "MessageRejected"),
        ({"Content": {"Raw": {"Data": b"From: a@b.example\r\nFrom: c@d.example\r\n\r\n"}}}, "MessageRejected"),
        ({"Content": {"Raw": {"Data": MAIL + b"x" * 200_000}}}, None),
        ({"Content": {"Template": {"TemplateName": "t", "TemplateData": "{}"}}}, "NotFoundException"),
    ],
    ids=["syntax", "no recipients", "51 recipients", "injection", "configuration set", "no header", "two Froms",
         "too large", "template"],
)  # fmt: skip
def test_ses_v2_refuses_with_its_own_errors(house: House, fields: dict[str, Any], name: str | None) -> None:
    """The exception classes that an SDK's user catches."""
    client = house.aws("sesv2")
    call = {"FromEmailAddress": "me@example.org", "Destination": {"ToAddresses": ["a@b.example"]}, "Content": SIMPLE}
    with pytest.raises(ClientError) as error:
        client.send_email(**{**call, **fields})
    assert 400 <= error.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    if name:
        assert isinstance(error.value, getattr(client.exceptions, name)), error.value


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"{", "bad_request"),
        (b"[1]", "bad_request"),
        (b'{"content": "eA==", "recipients": ["a@b.example"], "colour": "blue"}', "bad_request"),
        (b'{"content": "!", "recipients": ["a@b.example"]}', "bad_request"),
        (b'{"content": "eA==", "recipients": ["a@b.example"]}', "bad_message"),
        (b'{"recipients": ["a@b.example"]}', "bad_request"),
    ],
    ids=["no JSON", "no object", "unknown key", "no base64", "no message", "no content"],
)
def test_native_door_names_what_is_wrong(house: House, body: bytes, key: str) -> None:
    """One error form, with the taxonomy's key, SMTP code and enhanced status."""
    import base64

    password = smtp_password(house.options.secret_key, "us-east-1")
    token = base64.b64encode(f"{house.options.access_key}:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    status, _, answer = _post(house, "/v1/messages", body, **headers)
    error = json.loads(answer)["error"]
    assert status == 400
    assert error["key"] == key
    assert error["smtp"] >= 500
    assert error["detail"]


@pytest.mark.parametrize("recipients", [[], ["nobody"], ["a@b.example\r\nx"]], ids=["none", "no domain", "CRLF"])
def test_native_door_refuses_recipients(house: House, recipients: list[str]) -> None:
    """422, and which address it is."""
    with pytest.raises(ApiError) as error:
        house.submit(MAIL, *recipients)
    assert error.value.http == 422


@pytest.mark.parametrize("octets", [6_500_000, 12_000_000], ids=["Lambda's limit", "the API's limit"])
def test_payload_over_the_limit_is_413_and_names_the_way(house: House, octets: int) -> None:
    """At each door, in its own form; the client that sends all of it before it listens hears it too."""
    status, _, answer = _post(house, "/v1/messages", b"x" * octets, **{"Content-Type": "application/json"})
    assert status == 413
    assert b"POST /v1/uploads" in answer
    with pytest.raises(ClientError) as error:
        house.aws("sesv2").send_email(
            FromEmailAddress="me@example.org", Content={"Raw": {"Data": MAIL + b"x" * (octets * 3 // 4)}},
            Destination={"ToAddresses": ["you@example.com"]},
        )  # fmt: skip
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert "POST /v1/uploads" in str(error.value)
    # A gateway's JSON is nothing to SES v1's XML: the SDK then shows the answer that it can't read.
    with pytest.raises((ClientError, ResponseParserError)) as error:
        house.aws("ses").send_raw_email(
            RawMessage={"Data": MAIL + b"x" * (octets * 3 // 4)}, Destinations=["you@example.com"]
        )
    assert isinstance(error.value, ClientError) == isinstance(house.engine, EmbeddedEngine)
    assert "POST /v1/uploads" in str(error.value)


@pytest.mark.parametrize(
    ("user", "secret"), [("", "wrong"), ("AKIAUNKNOWNUNKNOWN00", "")], ids=["wrong password", "unknown user"]
)
def test_smtp_refuses_a_bad_login(house: House, user: str, secret: str) -> None:
    """535 5.7.8 for either, no difference to be seen."""
    password = secret or smtp_password(house.options.secret_key, "us-east-1")
    session = house.smtp(login=False)
    with session, pytest.raises(smtplib.SMTPAuthenticationError) as error:
        session.login(user or house.options.access_key, password)
    assert error.value.smtp_code == 535
    assert b"5.7.8" in error.value.smtp_error  # type: ignore[operator]


def test_smtp_refuses_without_a_login(house: House) -> None:
    """530 5.7.0."""
    with house.smtp(login=False) as session:
        session.ehlo()
        code, text = session.mail("me@example.org")
    assert (code, text[:5]) == (530, b"5.7.0")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"Subject: no From\r\n\r\n", 554), (b"no header at all\r\n", 554), (MAIL + b"x" * 200_000, 552)],
    ids=["no From", "no header", "too large"],
)
def test_smtp_refuses_a_bad_message(house: House, content: bytes, code: int) -> None:
    """5yz with an enhanced status, at the end of DATA or before it."""
    with house.smtp() as session, pytest.raises(smtplib.SMTPResponseException) as error:
        session.sendmail("me@example.org", ["a@b.example"], content)
    assert error.value.smtp_code == code


@pytest.mark.parametrize(
    ("words", "content", "exit_code"),
    [
        (["you@example.com"], b"Subject: x\nSubject: y\n\nbody\n", 65),
        (["not an address"], b"Subject: x\n\nbody\n", 65),
        (["--colour", "you@example.com"], b"", 64),
        ([], b"Subject: x\n\nbody\n", 64),
        (["-t"], b"Subject: x\n\nbody\n", 65),
    ],
    ids=["two Subjects", "bad address", "unknown flag", "no recipient", "-t without recipients"],
)
def test_sendmail_exits_by_sysexits(house: House, words: list[str], content: bytes, exit_code: int) -> None:
    """The script that called sees what kind of trouble it is; a line on stderr says which."""
    environ = {
        **os.environ,
        "PARAVION_API": house.engine.api_url,
        "PARAVION_ACCESS_KEY": house.options.access_key,
        "PARAVION_SECRET_KEY": house.options.secret_key,
        "PARAVION_QUEUE": "off",
    }
    command = [sys.executable, "-m", "paravion.cli.sendmail", "-f", "me@example.org", *words]
    done = subprocess.run(command, input=content, env=environ, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (exit_code, b"")
    assert done.stderr.startswith(b"sendmail: ")
    assert done.stderr.count(b"\n") <= 3


def test_sendmail_without_an_api_says_try_again(house: House) -> None:
    """75, and only then: nothing was accepted, and nothing is to be kept here."""
    environ = {**os.environ, "PARAVION_API": "127.0.0.1:9", "PARAVION_ACCESS_KEY": "A" * 20, "PARAVION_SECRET_KEY": "s"}
    environ["PARAVION_QUEUE"] = "off"
    command = [sys.executable, "-m", "paravion.cli.sendmail", "-f", "me@example.org", "you@example.com"]
    done = subprocess.run(command, input=MAIL, env=environ, capture_output=True, timeout=110, check=False)
    assert done.returncode == 75
