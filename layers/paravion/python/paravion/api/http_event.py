"""
API Gateway's HTTP API event (payload format 2.0) to a request, and an answer back to its form.

Knows nothing of any door. The event's path may be percent-decoded already (API Gateway decodes rawPath),
its query is as on the wire.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from paravion.domain.sigv4 import SignedRequest
from paravion.domain.status import BAD_REQUEST, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping


RETRY_AFTER_S: Final = "5"
"""Seconds that a client is told to wait after a transient error."""


@dataclass(frozen=True, slots=True)
class HttpRequest(SignedRequest):
    """
    One request.

    Attributes:
        client_address: The peer's IP address, or "".
        request_id: The gateway's name for the request, or "".
        body_is_broken: The gateway said base64 and it was not; the body is empty then.
        endpoint: Base URL that the gateway says it was reached under, or "".
    """

    client_address: str = ""
    request_id: str = ""
    body_is_broken: bool = False
    endpoint: str = ""

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> HttpRequest:
        """Read an event; never raises for what a client could have sent."""
        context = event.get("requestContext") or {}
        domain = context.get("domainName")
        http = context.get("http") or {}
        text = event.get("body") or ""
        broken = False
        if event.get("isBase64Encoded"):
            try:
                body = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                body, broken = b"", True
        else:
            body = text.encode("utf-8", "surrogateescape")
        return cls(
            method=http.get("method", "GET"),
            path=event.get("rawPath") or "/",
            query=event.get("rawQueryString") or "",
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            body=body,
            client_address=http.get("sourceIp", ""),
            request_id=context.get("requestId", ""),
            body_is_broken=broken,
            endpoint=context.get("endpoint") or (f"https://{domain}" if domain else ""),
        )

    def to_event(self) -> dict[str, Any]:
        """Give an event that `from_event` reads as this request."""
        http = {"method": self.method, "sourceIp": self.client_address}
        return {
            "version": "2.0",
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": dict(self.headers),
            # Not the gateway's: it says where the first function was reached, scheme and all.
            "requestContext": {"http": http, "requestId": self.request_id, "endpoint": self.endpoint},
            "body": base64.b64encode(self.body).decode(),
            "isBase64Encoded": True,
        }

    @property
    def content_type(self) -> str:
        """The media type, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def segments(self) -> list[str]:
        """The path's segments, decoded."""
        return [unquote(segment, errors="surrogateescape") for segment in self.path.split("/")[1:]]

    def parameters(self) -> dict[str, list[str]]:
        """
        Give the query's parameters, each with its values in order; without those of a presigned signature.

        A plus is a plus, as SigV4 has it: `recipient=a+b@example.org` is one address, and nobody can turn
        a signed %2B into a space.

        Raises:
            Rejected: bad_request: not UTF-8.
        """
        found: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(self.query.replace("+", "%2B"), keep_blank_values=True, errors="strict")
        except ValueError as exc:
            raise Rejected(BAD_REQUEST, "the query is not UTF-8") from exc
        for name, value in pairs:
            if not name.startswith("X-Amz-"):
                found.setdefault(name, []).append(value)
        return found


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """
    One answer.

    Attributes:
        status: HTTP status code, from the taxonomy or a service model, or http.HTTPStatus.
    """

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """Give it in the gateway's form."""
        return {
            "statusCode": int(self.status),
            "headers": dict(self.headers),
            "body": self.body,
            "isBase64Encoded": False,
        }


def retry_after(wait_s: float) -> str:
    """Give the seconds to wait after a transient error, of which it is known or not (0)."""
    return str(ceil(wait_s)) if wait_s > 0 else RETRY_AFTER_S


def json_answer(status: int, value: object, **headers: str) -> HttpAnswer:
    """Answer with JSON; `headers` name theirs with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpAnswer(status, json.dumps(value, separators=(",", ":")), {"content-type": "application/json", **named})
