"""HTTP ↔ API Gateway events, as infra/local/events.py does it."""

import base64

import pytest

from infra.local.events import BadAnswer, Request, from_answer, is_text, match_route, to_event
from infra.local.template import Route

ROUTES = [
    Route("POST /", "POST", "/", "Validate"),
    Route("POST /v1/messages", "POST", "/v1/messages", "Validate"),
    Route("GET /v1/messages/{id}", "GET", "/v1/messages/{id}", "Show"),
    Route("ANY /files/{path+}", "ANY", "/files/{path+}", "Files"),
    Route("$default", "", "", "Admin"),
]


def request(method="POST", target="/v1/messages", headers=(), body=b"") -> Request:
    """Give a request."""
    return Request(method, target, "HTTP/1.1", tuple(headers), body, "192.0.2.7")


def event(**parts):
    """Give the event of a request."""
    return to_event(request(**parts), "POST /v1/messages", {}, request_id="r-1", now=1795356930.5)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/plain", True),
        ("Text/HTML; charset=utf-8", True),
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/javascript", True),
        ("application/xml", True),
        ("application/x-www-form-urlencoded", False),
        ("application/x-amz-json-1.1", False),
        ("application/problem+json", False),
        ("message/rfc822", False),
        ("application/octet-stream", False),
        ("multipart/form-data; boundary=x", False),
        ("", False),
    ],
)
def test_base64_decision(content_type, expected) -> None:
    """Only text/* and three application types travel as text; forms and bodies without a type do not."""
    assert expected == is_text(content_type)


def test_event_shape() -> None:
    """An event has payload format 2.0's members, with AWS's types."""
    found = event(
        target="/v1/messages?recipient=b%40y&recipient=c&flag",
        headers=[
            ("Host", "127.0.0.1:8025"),
            ("Content-Type", "application/json"),
            ("X-Two", "a"),
            ("x-two", "b"),
            ("Cookie", "k=v; l=w"),
            ("User-Agent", "test/1"),
            ("Connection", "keep-alive"),
        ],
        body=b'{"a": 1}',
    )
    assert {
        "version": "2.0",
        "routeKey": "POST /v1/messages",
        "rawPath": "/v1/messages",
        "rawQueryString": "recipient=b%40y&recipient=c&flag",
        "cookies": ["k=v", "l=w"],
        "queryStringParameters": {"recipient": "b@y,c", "flag": ""},
        "headers": {
            "host": "127.0.0.1:8025",
            "content-type": "application/json",
            "x-two": "a,b",
            "user-agent": "test/1",
            "content-length": "8",
            "x-forwarded-for": "192.0.2.7",
            "x-forwarded-port": "8025",
            "x-forwarded-proto": "http",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": "127.0.0.1:8025",
            "domainPrefix": "127",
            "http": {
                "method": "POST",
                "path": "/v1/messages",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
                "userAgent": "test/1",
            },
            "requestId": "r-1",
            "routeKey": "POST /v1/messages",
            "stage": "$default",
            "time": "22/Nov/2026:14:15:30 +0000",
            "timeEpoch": 1795356930500,
        },
        "body": '{"a": 1}',
        "isBase64Encoded": False,
    } == found


def test_raw_path_is_decoded() -> None:
    """An HTTP API, unlike a function URL, decodes rawPath; the query string stays as it came."""
    found = event(target="/v2/email/identities/a%40b%20c?x=%20")
    assert ("/v2/email/identities/a@b c", "x=%20") == (found["rawPath"], found["rawQueryString"])


def test_absolute_form_target_has_the_path() -> None:
    """A target in absolute-form (RFC 9112 3.2.2) counts by its path."""
    assert event(target="http://example.org/v1/x?y")["rawPath"] == "/v1/x"


def test_binary_body_is_base64() -> None:
    """A body of any other type keeps its octets as base64."""
    found = event(headers=[("Content-Type", "message/rfc822")], body=b"\x00\xff\r\n")
    assert (base64.b64encode(b"\x00\xff\r\n").decode(), True) == (found["body"], found["isBase64Encoded"])


def test_empty_body_is_absent() -> None:
    """Without a body there is no member `body`."""
    found = event()
    assert ("body" in found, found["isBase64Encoded"]) == (False, False)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/", ("Validate", {})),
        ("GET", "/", ("Admin", {})),
        ("POST", "/v1/messages", ("Validate", {})),
        ("GET", "/v1/messages", ("Admin", {})),
        ("GET", "/v1/messages/", ("Admin", {})),
        ("GET", "/v1/messages/x", ("Show", {"id": "x"})),
        ("PUT", "/files/a/b", ("Files", {"path": "a/b"})),
        ("PUT", "/files/", ("Admin", {})),
        ("DELETE", "/any/thing", ("Admin", {})),
    ],
)
def test_route(method, path, expected) -> None:
    """A full match wins, then path parameters, then $default."""
    found = match_route(ROUTES, method, path)
    assert found is not None
    assert expected == (found[0].function, found[1])


def test_no_route_and_no_default_gives_none() -> None:
    """Without $default there are requests that nobody answers."""
    assert match_route(ROUTES[:-1], "GET", "/nowhere") is None


@pytest.mark.parametrize(
    ("answer", "status", "headers", "body"),
    [
        ("text", 200, {"content-type": "application/json"}, b"text"),
        ({"a": 1}, 200, {"content-type": "application/json"}, b'{"a": 1}'),
        (None, 200, {"content-type": "application/json"}, b"null"),
        ({"statusCode": 202, "body": "ok"}, 202, {"content-type": "text/plain;charset=UTF-8"}, b"ok"),
        ({"statusCode": "204"}, 204, {"content-type": "text/plain;charset=UTF-8"}, b""),
        (
            {
                "statusCode": 200,
                "headers": {"Content-Type": "x/y", "N": 1, "B": True},
                "body": "AP8=",
                "isBase64Encoded": True,
            },
            200,
            {"Content-Type": "x/y", "N": "1", "B": "true"},
            b"\x00\xff",
        ),
        (
            {"statusCode": 200, "cookies": ["a=b"], "body": ""},
            200,
            {"set-cookie": "a=b", "content-type": "text/plain;charset=UTF-8"},
            b"",
        ),
        (
            {"statusCode": 200, "headers": {"Content-Length": "99", "x": "y"}},
            200,
            {"x": "y", "content-type": "text/plain;charset=UTF-8"},
            b"",
        ),
    ],
    ids=["str", "dict", "null", "proxy", "status as text", "base64", "cookies", "own length"],
)
def test_answer_becomes_http(answer, status, headers, body) -> None:
    """Proxy answers of format 2.0, and whatever else a function gives, become HTTP."""
    found = from_answer(answer)
    assert (status, headers, body) == (found.status, dict(found.headers), found.body)


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": "no"},
        {"statusCode": None},
        {"statusCode": 200, "headers": ["x"]},
        {"statusCode": 200, "headers": {"x": "a\r\nb: c"}},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
    ],
    ids=["status", "none", "headers", "injection", "base64"],
)
def test_malformed_answer_is_refused(answer) -> None:
    """What is no proxy answer is told as such: API Gateway answers 500."""
    with pytest.raises(BadAnswer):
        from_answer(answer)
