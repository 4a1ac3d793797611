"""
HTTP requests as API Gateway HTTP API events (payload format 2.0), and proxy answers as HTTP. Pure.

As AWS does it, which its documentation does not say everywhere: `rawPath` is decoded; only text/* and three
application types travel as text, forms and requests without a type do not; the Cookie header becomes a list.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from paravion.api.http_event import RETRY_AFTER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.local.template import Route

TEXT_TYPES: Final = frozenset({"application/json", "application/javascript", "application/xml"})
ACCOUNT: Final = "123456789012"
API_ID: Final = "local"

_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "expect", "upgrade", "te", "trailer"})


class BadAnswer(ValueError):
    """A function's answer is no proxy answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """
    One HTTP request.

    Attributes:
        target: As it stands in the request line.
        headers: In order, names as they came; values decoded from ISO 8859-1.
        peer: The client's address.
    """

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str

    @property
    def raw_path(self) -> str:
        """The target's path, as it came."""
        path = self.target.partition("?")[0]
        if "://" in path:  # absolute-form, RFC 9112 3.2.2
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        return path

    @property
    def query(self) -> str:
        """The target's query string, as it came."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """Give a header's values joined by commas, "" if there is none."""
        return ",".join(value for key, value in self.headers if key.lower() == name)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer; the server adds Content-Length and Date."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def json_response(status: int, value: Any) -> Response:
    """Give an answer in JSON."""
    return Response(status, (("content-type", "application/json"),), json.dumps(value).encode())


def message_response(status: HTTPStatus, text: str) -> Response:
    """Give an error as API Gateway words it."""
    return json_response(status, {"message": text})


def try_later_response() -> Response:
    """Give the answer of a server that has too much to do."""
    refused = message_response(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
    return Response(refused.status, (*refused.headers, ("retry-after", RETRY_AFTER_S)), refused.body)


def is_text(content_type: str) -> bool:
    """Say whether API Gateway hands a body of this type on as text."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.startswith("text/") or media_type in TEXT_TYPES


def match_route(routes: Sequence[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """
    Find the route of a request: a full match before one with `{name}` or `{name+}`, $default last.

    Returns:
        The route and its path parameters, or None: API Gateway then answers 404.
    """
    best: tuple[tuple[int, int], Route, dict[str, str]] | None = None
    default = None
    for route in routes:
        if not route.path:
            default = route
            continue
        if route.method not in {"ANY", method}:
            continue
        parameters = _match_path(route.path, path)
        if parameters is None:
            continue
        greedy = "+}" in route.path
        rank = (len(parameters) + 100 * greedy, int(route.method == "ANY"))
        if best is None or rank < best[0]:
            best = (rank, route, parameters)
    if best:
        return best[1], best[2]
    return (default, {}) if default else None


def _match_path(pattern: str, path: str) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    wanted, given = pattern.split("/"), path.split("/")
    for number, part in enumerate(wanted):
        if part.startswith("{") and part.endswith("+}"):
            rest = "/".join(given[number:])
            return {**parameters, part[1:-2]: rest} if rest else None
        if number >= len(given):
            return None
        if part.startswith("{") and part.endswith("}"):
            if not given[number]:
                return None
            parameters[part[1:-1]] = given[number]
        elif part != given[number]:
            return None
    return parameters if len(wanted) == len(given) else None


def to_event(request: Request, route_key: str, parameters: dict[str, str], *, request_id: str, now: float) -> Any:
    """
    Give the event of payload format 2.0.

    `now` is in seconds since the epoch.
    """
    path = unquote(request.raw_path)
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        key = name.lower()
        if key == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        elif key not in _HOP_BY_HOP:
            headers[key] = f"{headers[key]},{value}" if key in headers else value
    host = headers.get("host", "")
    headers.setdefault("content-length", str(len(request.body)))
    headers["x-forwarded-for"] = ", ".join(filter(None, (headers.get("x-forwarded-for"), request.peer)))
    headers["x-forwarded-port"] = host.rpartition(":")[2] if ":" in host else "80"
    headers["x-forwarded-proto"] = "http"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.version,
                "sourceIp": request.peer,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        query: dict[str, str] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            query[name] = f"{query[name]},{value}" if name in query else value
        event["queryStringParameters"] = query
    if parameters:
        event["pathParameters"] = {name: unquote(value) for name, value in parameters.items()}
    if request.body:
        if is_text(headers.get("content-type", "")):
            event["body"] = request.body.decode("utf-8", "replace")
        else:
            event["body"] = base64.b64encode(request.body).decode("ascii")
            event["isBase64Encoded"] = True
    return event


def from_answer(answer: Any) -> Response:
    """
    Turn a function's answer of format 2.0 into HTTP.

    An answer without `statusCode` is a body of type application/json: the text itself, or the JSON of it.

    Raises:
        BadAnswer: Its parts have the wrong types; API Gateway then answers 500.
    """
    if not isinstance(answer, dict) or "statusCode" not in answer:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return Response(HTTPStatus.OK, (("content-type", "application/json"),), text.encode())
    try:
        status = int(answer["statusCode"])
        headers = [(str(name), _header_text(value)) for name, value in (answer.get("headers") or {}).items()]
        headers += [("set-cookie", str(cookie)) for cookie in answer.get("cookies") or []]
    except (TypeError, ValueError, AttributeError) as exc:
        raise BadAnswer(f"not a proxy answer: {exc}") from exc
    body = answer.get("body")
    if body is None:
        content = b""
    elif not isinstance(body, str):
        content = json.dumps(body).encode()
    elif answer.get("isBase64Encoded"):
        try:
            content = base64.b64decode(body, validate=True)
        except binascii.Error as exc:
            raise BadAnswer(f"not base64: {exc}") from exc
    else:
        content = body.encode()
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    kept = tuple((n, v) for n, v in headers if n.lower() not in {*_HOP_BY_HOP, "content-length"})
    return Response(status, kept, content)


def _header_text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(character in text for character in "\r\n\0"):
        raise ValueError("CR, LF or NUL in a header")
    return text
