"""The function that manages, asked over the wire: what it answers, and each way in which it can fail."""

from __future__ import annotations

import io
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from paravion.adapters.lambda_admin import LambdaAdmin
from paravion.errors import ManagementFailed, ManagementUnavailable

ANSWER = {"statusCode": 200, "headers": {"content-type": "text/xml"}, "body": "<x/>"}
EVENT = {"rawPath": "/"}
EXPECTED = {"FunctionName": "admin", "InvocationType": "RequestResponse", "Payload": json.dumps(EVENT).encode()}


def _client() -> Any:
    return boto3.client("lambda", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")


def _payload(octets: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(octets), len(octets))


def test_answer_comes_back_and_the_client_is_made_once() -> None:
    """The event as it is, synchronously."""
    client, made = _client(), []
    admin = LambdaAdmin(lambda: made.append(1) or client, "admin")
    with Stubber(client) as stub:
        for _ in range(2):
            stub.add_response("invoke", {"Payload": _payload(json.dumps(ANSWER).encode())}, EXPECTED)
        assert admin.invoke(EVENT) == admin.invoke(EVENT) == ANSWER
    assert made == [1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"FunctionError": "Unhandled", "Payload": _payload(b'{"errorMessage": "timed out"}')}, ManagementFailed),
        ({"Payload": _payload(b"no json")}, ManagementFailed),
        ({"Payload": _payload(b"null")}, ManagementFailed),
        ({"Payload": _payload(b'{"statusCode": "200"}')}, ManagementFailed),
        ({"Payload": StreamingBody(io.BytesIO(b"{"), 9)}, ManagementUnavailable),
    ],
    ids=["function-error", "no-json", "null", "no-status", "cut-off"],
)
def test_broken_answers_are_our_fault(answer: dict[str, Any], error: type[Exception]) -> None:
    """Nothing of them is passed on."""
    client = _client()
    with Stubber(client) as stub:
        stub.add_response("invoke", answer, EXPECTED)
        with pytest.raises(error):
            LambdaAdmin(lambda: client, "admin").invoke(EVENT)


@pytest.mark.parametrize("code", ["TooManyRequestsException", "AccessDeniedException", "ServiceException"])
def test_refused_invocations_are_outages(code: str) -> None:
    """The caller may come again."""
    client = _client()
    with Stubber(client) as stub:
        stub.add_client_error("invoke", code, http_status_code=429)
        with pytest.raises(ManagementUnavailable, match=code):
            LambdaAdmin(lambda: client, "admin").invoke(EVENT)


@pytest.mark.parametrize("kind", [ConnectTimeoutError, ReadTimeoutError])
def test_silence_is_an_outage(kind: type[Exception]) -> None:
    """It may have done what was asked."""

    class Silent:
        def invoke(self, **_: Any) -> Any:
            raise kind(endpoint_url="https://lambda.example/")  # type: ignore[call-arg]

    with pytest.raises(ManagementUnavailable, match=kind.__name__):
        LambdaAdmin(Silent, "admin").invoke(EVENT)
