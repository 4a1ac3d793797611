"""The event of functions, topics and queues: read back as a receiver reads it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from paravion.domain.target_event import TargetEvent, encode_event

HEADER = b"Delivered-To: tickets@local.example\r\nFrom: =?utf-8?q?J=C3=B6rg?= <j@a.example>\r\nSubject: one\r\n two\r\nX-Utf8: \xc3\xbc\r\n"
BODY = b"body \xff\r\n"
LIMIT = 256 * 1024


def _event(header: bytes = HEADER, body: bytes = BODY) -> TargetEvent:
    return TargetEvent(
        "q" * 26, "k" * 64, "j@a.example", "tickets@local.example", 1_800_000_000.5, "spool", "b" * 26, len(body), header
    )  # fmt: skip


def _read(event: TargetEvent, body: bytes | None, limit: int = LIMIT) -> dict[str, Any]:
    text = encode_event(event, body, limit)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= limit
    found: dict[str, Any] = json.loads(text)
    return found


def test_event_tells_everything() -> None:
    """docs/targets.md, field by field."""
    found = _read(_event(), BODY)
    assert base64.b64decode(found.pop("content")) == HEADER + b"\r\n" + BODY
    assert found == {
        "version": 1,
        "queue_id": "q" * 26,
        "idempotency_key": "k" * 64,
        "reverse_path": "j@a.example",
        "recipient": "tickets@local.example",
        "received_at": "2027-01-15T08:00:00Z",
        "octets": len(HEADER) + 2 + len(BODY),
        "headers": [
            ["Delivered-To", "tickets@local.example"],
            ["From", "=?utf-8?q?J=C3=B6rg?= <j@a.example>"],
            ["Subject", "one two"],
            ["X-Utf8", "ü"],
        ],
        "headers_truncated": False,
        "spool": {
            "bucket": "spool", "header_key": f"qf/{'q' * 26}", "body_key": f"df/{'b' * 26}", "body_octets": len(BODY),
        },
        "content_truncated": False,
    }  # fmt: skip


@pytest.mark.parametrize("limit", [LIMIT, 1 << 20])
def test_message_is_whole_or_not_there_at_all(limit: int) -> None:
    """On both sides of the limit, to the octet: never cut in silence."""
    small = _event(body=b"")
    room = (limit - len(encode_event(small, b"", limit))) * 3 // 4
    for octets in range(room - 12, room + 12):
        body = b"x" * octets
        found = _read(_event(body=body), body, limit)
        assert found["content_truncated"] is (found["content"] is None)
        if found["content"]:
            assert base64.b64decode(found["content"]).endswith(b"\r\n\r\n" + body)
        assert found["spool"]["body_octets"] == octets
    assert found["content"] is None


def test_what_may_not_fit_need_not_be_read() -> None:
    """Ten megabytes are not fetched for nothing."""
    assert _event().may_fit(LIMIT)
    assert not _event(body=b"x" * LIMIT).may_fit(LIMIT)
    assert _read(_event(), None)["content_truncated"] is True


def test_long_header_is_cut_and_says_so() -> None:
    """The event fits whatever the header holds."""
    header = HEADER + b"".join(b"X-%d: %s\r\n" % (n, b"\x07" * 900) for n in range(400))
    found = _read(_event(header=header), None)
    assert found["headers_truncated"] is True
    assert found["headers"][:2] == [
        ["Delivered-To", "tickets@local.example"],
        ["From", "=?utf-8?q?J=C3=B6rg?= <j@a.example>"],
    ]


def test_unreadable_header_stops_nothing() -> None:
    """The door took it; whatever is there now, the mail goes on."""
    found = _read(_event(header=b"\x00\xff no field\r\n"), BODY)
    assert (found["headers"], found["headers_truncated"]) == ([], True)


def test_same_message_gives_the_same_octets() -> None:
    """At every attempt."""
    assert encode_event(_event(), BODY, LIMIT) == encode_event(_event(), BODY, LIMIT)
