"""A webhook's request: verified as docs/targets.md tells a receiver to."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paravion.domain.http1 import encode_request
from paravion.domain.webhook import BodySigner, decode_secrets, encode_secrets, request_fields
from tests.support.webhook_server import verify

DOCS = Path(__file__).parents[3] / "docs"


def _fields(**changes: object) -> dict[str, str]:
    given = {
        "target": "https://h/", "queue_id": "q", "recipient": "t@l.example", "reverse_path": "a@b.example",
        "received_at": 1_800_000_000.9, "timestamp": 1_800_000_001, "signature": "v1=00",
    }  # fmt: skip
    return request_fields(**{**given, **changes})  # type: ignore[arg-type]


def test_signature_is_verified_with_either_secret() -> None:
    """During a rotation both hold; a third does not, nor another body or time."""
    signer = BodySigner(("new", "old"), 1_800_000_000)
    signer.update(b"a mail")
    signer.update(b" in pieces")
    headers = {"paravion-timestamp": "1800000000", "paravion-signature": signer.value()}
    body = b"a mail in pieces"
    assert verify("new", headers, body, now=1_800_000_010)
    assert verify("old", headers, body, now=1_800_000_010)
    assert not verify("other", headers, body, now=1_800_000_010)
    assert not verify("new", headers, body + b"!", now=1_800_000_010)
    assert not verify("new", {**headers, "paravion-timestamp": "1800000001"}, body, now=1_800_000_010)
    assert not verify("new", headers, body, now=1_800_000_000 + 301)


@pytest.mark.parametrize("page", ["events.md", "targets.md"])
def test_code_of_the_documentation_verifies(page: str) -> None:
    """As it stands there, with fields that know no case and with names in lower case."""
    found = re.search(r"```python\n(def verify\(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert found
    clock = SimpleNamespace(time=lambda: 1_800_000_010.0)
    names: dict[str, Any] = {"hashlib": hashlib, "hmac": hmac, "time": clock, "Mapping": Mapping}
    exec(found[1], names)
    signer = BodySigner(("new", "old"), 1_800_000_000)
    signer.update(b"body")
    headers = Message()
    headers["Paravion-Timestamp"], headers["Paravion-Signature"] = "1800000000", signer.value()
    given = headers if page == "events.md" else {name.lower(): value for name, value in headers.items()}
    assert names["verify"]("new", given, b"body")
    assert names["verify"]("old", given, b"body")
    assert not names["verify"]("other", given, b"body")
    assert not names["verify"]("new", given, b"other")
    clock.time = lambda: 1_800_000_000 + 301.0
    assert not names["verify"]("new", given, b"body")


def test_known_signature() -> None:
    """By another's hand: printf '1.body' | openssl dgst -sha256 -hmac key."""
    signer = BodySigner(("key",), 1)
    signer.update(b"body")
    assert signer.value() == "v1=91b5374b153842ad05b2c4eab9349b8321b14703165bd3fb8b034dfb8be98ae5"


@pytest.mark.parametrize(
    "address", ["jürgen@b.example", "a\r\nX: y@b.example", "100%@b.example", "a b@c.example", "\ud800@x"]
)
def test_no_address_can_open_a_field(address: str) -> None:
    """Percent-encoded wherever it is not plain; the head goes on the wire."""
    fields = _fields(recipient=address, reverse_path=address)
    head = encode_request("POST", "/", fields, 0)
    assert head.count(b"\r\n") == len(fields) + 3
    assert "%" in fields["Paravion-Recipient"]


def test_null_reverse_path_is_shown() -> None:
    """As SMTP writes it."""
    assert _fields(reverse_path="")["Paravion-Reverse-Path"] == "<>"


def test_idempotency_key_outlives_attempts() -> None:
    """Timestamp and signature change, it does not."""
    first, second = _fields(), _fields(timestamp=1_800_009_999, signature="v1=11")
    assert first["Idempotency-Key"] == second["Idempotency-Key"] != _fields(target="https://h/x")["Idempotency-Key"]


def test_secrets_survive_their_text() -> None:
    """And nothing else is taken for some."""
    assert decode_secrets(encode_secrets(("a", "b"))) == ("a", "b")
    for bad in (
        "",
        "{",
        "[]",
        "{}",
        '{"secrets": []}',
        '{"secrets": [1]}',
        '{"secrets": [""]}',
        '{"secrets": "x"}',
        "null",
    ):
        with pytest.raises(ValueError, match="no webhook secrets"):
            decode_secrets(bad)
