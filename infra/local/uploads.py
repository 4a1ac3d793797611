"""
Presigned uploads: the spool's own door for `PUT`, as S3 has it.

moto checks no signatures, so this does: method, path, query, signed headers (the length among them) and
expiry must be what was presigned. Then the object goes to moto.

Standards: AWS Signature Version 4, query parameters (presigned URL), UNSIGNED-PAYLOAD.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

import boto3
from botocore.exceptions import ClientError

from infra.local import aws
from infra.local.events import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

BODY_OCTETS: Final = 48 * 1024 * 1024
"""More than any message that settings allow."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_CODES: Final = {
    "AccessDenied": HTTPStatus.FORBIDDEN,
    "SignatureDoesNotMatch": HTTPStatus.FORBIDDEN,
    "MethodNotAllowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "NoSuchBucket": HTTPStatus.NOT_FOUND,
}


def refusal(request: Request, now: datetime) -> str:
    """
    Check a presigned request.

    Returns:
        S3's error code, "" if the signature holds.
    """
    pairs = parse_qsl(request.query, keep_blank_values=True)
    query = dict(pairs)
    scope = query.get("X-Amz-Credential", "").split("/")
    signed = query.get("X-Amz-SignedHeaders", "").split(";")
    try:
        signed_at = datetime.strptime(query.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime_s = int(query.get("X-Amz-Expires", ""))
    except ValueError:
        return "AccessDenied"
    if query.get("X-Amz-Algorithm") != _ALGORITHM or scope[0] != aws.ACCESS_KEY or "host" not in signed:
        return "AccessDenied"
    if not 0 <= (now - signed_at).total_seconds() + 1 <= lifetime_s + 1:
        return "AccessDenied"
    canonical_query = "&".join(
        f"{name}={value}"
        for name, value in sorted((_quoted(n), _quoted(v)) for n, v in pairs if n != "X-Amz-Signature")
    )
    canonical = "\n".join(
        (
            request.method,
            quote(unquote(request.raw_path), safe="/~"),
            canonical_query,
            *(f"{name}:{' '.join(request.header(name).split())}" for name in signed),
            "",
            ";".join(signed),
            "UNSIGNED-PAYLOAD",
        )
    )
    text = "\n".join(
        (
            _ALGORITHM,
            query["X-Amz-Date"],
            "/".join(scope[1:]),
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{aws.SECRET_KEY}".encode()
    for part in (*scope[1:], text):
        key = hmac.digest(key, part.encode(), "sha256")
    given = query.get("X-Amz-Signature", "")
    return "" if hmac.compare_digest(key.hex().encode(), given.encode()) else "SignatureDoesNotMatch"


def _quoted(text: str) -> str:
    return quote(text, safe="~")


class Uploads:
    """Answers presigned PUT requests in path style: /bucket/key."""

    def __init__(self, executor: Executor, clock: Callable[[], datetime]) -> None:
        self._executor = executor
        self._clock = clock
        self._client = boto3.client("s3", region_name=aws.REGION)

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises."""
        code = "MethodNotAllowed" if request.method != "PUT" else refusal(request, self._clock())
        if code:
            return _error(code)
        bucket, _, key = unquote(request.raw_path).lstrip("/").partition("/")
        loop = asyncio.get_running_loop()
        try:
            stored = await loop.run_in_executor(self._executor, self._put, bucket, key, request.body)
        except ClientError as exc:
            return _error(exc.response["Error"]["Code"])
        return Response(HTTPStatus.OK, (("etag", str(stored["ETag"])),), b"")

    def _put(self, bucket: str, key: str, body: bytes) -> Mapping[str, object]:
        stored: Mapping[str, object] = self._client.put_object(Bucket=bucket, Key=key, Body=body)
        return stored


def _error(code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code></Error>'
    status = _CODES.get(code, HTTPStatus.BAD_REQUEST)
    return Response(status, (("content-type", "application/xml"),), body.encode())
