"""Presigned uploads: what moto does not check."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from infra.local import aws
from infra.local.events import Request
from infra.local.uploads import refusal


@pytest.fixture(scope="module")
def url() -> str:
    """A presigned PUT of 30 octets, good for a minute."""
    client = boto3.client(
        "s3",
        region_name=aws.REGION,
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id=aws.ACCESS_KEY,
        aws_secret_access_key=aws.SECRET_KEY,
        config=Config(signature_version="s3v4"),
    )
    return client.generate_presigned_url(
        "put_object", Params={"Bucket": "spool", "Key": "up/a b~c", "ContentLength": 30}, ExpiresIn=60
    )


def request(url: str, method="PUT", length="30", path=None) -> Request:
    """Give a request to a presigned URL."""
    parts = urlsplit(url)
    target = f"{path or parts.path}?{parts.query}"
    return Request(method, target, "HTTP/1.1", (("Host", parts.netloc), ("Content-Length", length)), b"", "127.0.0.1")


def test_presigned_request_is_taken(url) -> None:
    """A signature made by botocore holds."""
    assert refusal(request(url), datetime.now(UTC)) == ""


@pytest.mark.parametrize(
    ("change", "later_s", "expected"),
    [
        ({"length": "31"}, 0, "SignatureDoesNotMatch"),
        ({"method": "POST"}, 0, "SignatureDoesNotMatch"),
        ({"path": "/spool/up/other"}, 0, "SignatureDoesNotMatch"),
        ({}, 62, "AccessDenied"),
        ({}, -60, "AccessDenied"),
    ],
    ids=["longer", "method", "key", "expired", "from the future"],
)
def test_everything_signed_is_checked(url, change, later_s, expected) -> None:
    """Length, method, key and time are bound by the signature."""
    assert expected == refusal(request(url, **change), datetime.now(UTC) + timedelta(seconds=later_s))


@pytest.mark.parametrize("query", ["", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "AWSAccessKeyId=x&Signature=y&Expires=1"])
def test_unsigned_is_refused(query) -> None:
    """No signature, half a signature and Signature Version 2 are refused."""
    assert refusal(request(f"http://127.0.0.1:9/spool/up/x?{query}"), datetime.now(UTC)) == "AccessDenied"
