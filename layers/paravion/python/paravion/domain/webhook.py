"""
What a webhook is asked: one POST of the message's own octets, signed (docs/targets.md says how to check it).

    POST /path HTTP/1.1
    Content-Type: message/rfc822
    Paravion-Queue-Id, Paravion-Recipient, Paravion-Reverse-Path, Paravion-Received-At
    Idempotency-Key: the same at every attempt for this message and this target
    Paravion-Timestamp: seconds since the epoch, of this attempt
    Paravion-Signature: v1=HEX, of the HMAC-SHA-256 of `timestamp "." body`; one for each secret, comma between them

The signature stands before the body that it covers, so that the body is read twice: once to sign it, once to send
it. A digest signed instead would have to be known beforehand just the same. Trailers would spare that, and hardly
a server hands them on.

Each host has secrets of its own, for with a shared one every receiver could sign for every other. Two at a time are
valid while a new one is brought in (services/webhook_secrets.py).

RFC: 2104 (HMAC), 9110 (HTTP); the Idempotency-Key field is draft-ietf-httpapi-idempotency-key-header's.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from paravion.domain.target import idempotency_key

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SECRETS: Final = 2
"""The newest and the one before it."""


class BodySigner:
    """
    Signs `timestamp "." body` piece by piece.

    Args:
        secrets: At least one, as they are kept: the key is the text itself.
        timestamp: Seconds since the epoch.
    """

    def __init__(self, secrets: Sequence[str], timestamp: int) -> None:
        self._macs = [hmac.new(secret.encode(), b"%d." % timestamp, "sha256") for secret in secrets]

    def update(self, octets: bytes) -> None:
        """Take the next octets of the body."""
        for mac in self._macs:
            mac.update(octets)

    def value(self) -> str:
        """Give the Paravion-Signature field's value."""
        return ",".join(f"v1={mac.hexdigest()}" for mac in self._macs)


def request_fields(
    *, target: str, queue_id: str, recipient: str, reverse_path: str, received_at: float, timestamp: int, signature: str
) -> dict[str, str]:
    """Give a request's fields but for Host and Content-Length."""
    received = datetime.fromtimestamp(int(received_at), UTC).isoformat().replace("+00:00", "Z")
    return {
        "User-Agent": "paravion",
        "Content-Type": "message/rfc822",
        "Accept": "*/*",
        "Connection": "close",
        "Paravion-Queue-Id": queue_id,
        "Paravion-Recipient": _field_text(recipient),
        "Paravion-Reverse-Path": f"<{_field_text(reverse_path)}>",
        "Paravion-Received-At": received,
        "Idempotency-Key": f'"{idempotency_key(queue_id, target)}"',
        "Paravion-Timestamp": str(timestamp),
        "Paravion-Signature": signature,
    }


def _field_text(address: str) -> str:
    """Percent-encode the octets that a field can't hold: all but printable ASCII, and the percent sign."""
    octets = address.encode("utf-8", "surrogatepass")
    return "".join(chr(octet) if 0x20 < octet < 0x7F and octet != 0x25 else f"%{octet:02X}" for octet in octets)  # noqa: PLR2004 (ASCII)


def encode_secrets(secrets: Sequence[str]) -> str:
    """Give the text that the secret store keeps; the newest comes first."""
    return json.dumps({"secrets": list(secrets)})


def decode_secrets(text: str) -> tuple[str, ...]:
    """
    Read back what `encode_secrets` gave.

    Raises:
        ValueError: It is something else.
    """
    try:
        secrets = json.loads(text)["secrets"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ValueError("no webhook secrets") from exc
    if not isinstance(secrets, list) or not secrets or not all(isinstance(item, str) and item for item in secrets):
        raise ValueError("no webhook secrets")
    return tuple(secrets)
