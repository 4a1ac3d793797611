"""
The unsubscribe link: a token that names tenant, list, topic, address and message, and proves that it is ours.

Nothing is kept for a link: whoever has the token may take this address off this list, and do nothing else. The same
message gets the same token, so that a repeated submission stays the same message. Keys are a ring: the first one
makes tokens, all of them read.

RFC: 8058 (one-click; 3.1 asks for an opaque, hard to forge part), 2104 (HMAC).
Next: services/list_management.py puts the link into mails, services/unsubscription.py takes it back.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET: Final = "unsubscribe/keys"  # noqa: S105 (its name)
PATH: Final = "/unsubscribe/"
ONE_CLICK: Final = "List-Unsubscribe=One-Click"
"""RFC 8058 3.1: the value of List-Unsubscribe-Post, and the body of the POST."""

KEYS_MAX: Final = 10
_MAC_OCTETS: Final = 16
_TOKEN_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Link:
    """
    What a link is for.

    Attributes:
        topic: "" for the whole list.
        queue_id: The message that it stood in.
    """

    tenant: str
    contact_list: str
    topic: str
    address: str
    queue_id: str


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the ring; `name` stands in tokens."""

    name: str
    octets: bytes


def read_keys(text: str) -> tuple[Key, ...]:
    """Read the ring from its secret. Raises ValueError: it can't be read."""
    try:
        keys = tuple(Key(item["name"], base64.b64decode(item["key"], validate=True)) for item in json.loads(text))
    except (KeyError, TypeError) as exc:
        raise ValueError("no keys") from exc
    if not keys or not all(isinstance(key.name, str) and key.name.isalnum() and key.octets for key in keys):
        raise ValueError("no keys")
    return keys


def write_keys(keys: Sequence[Key]) -> str:
    """Give the secret's text."""
    return json.dumps([{"name": key.name, "key": base64.b64encode(key.octets).decode()} for key in keys])


def with_new_key(keys: Sequence[Key], name: str, octets: bytes) -> tuple[Key, ...]:
    """Give the ring with a new key in front; the oldest beyond the limit go, and their links with them."""
    return (Key(name, octets), *keys)[:KEYS_MAX]


def make_token(link: Link, keys: Sequence[Key]) -> str:
    """Give the link's token, of [A-Za-z0-9._-]."""
    key = keys[0]
    payload = _encode(json.dumps(astuple(link), ensure_ascii=False, separators=(",", ":")).encode())
    return f"{key.name}.{payload}.{_encode(_mac(key, payload))}"


def read_token(token: str, keys: Sequence[Key]) -> Link | None:
    """Give what a token is for; None: we did not make it. The comparison takes constant time."""
    name, _, rest = token.partition(".")
    payload, _, mac = rest.partition(".")
    key = next((key for key in keys if key.name == name), None)
    if key is None or len(token) > _TOKEN_MAX or not token.isascii():
        return None
    if not hmac.compare_digest(_encode(_mac(key, payload)), mac):
        return None
    try:
        fields: list[Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Link(*fields)
    except (ValueError, binascii.Error, TypeError):
        return None


def _mac(key: Key, payload: str) -> bytes:
    return hmac.digest(key.octets, b"unsubscribe\0" + payload.encode(), hashlib.sha256)[:_MAC_OCTETS]


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
