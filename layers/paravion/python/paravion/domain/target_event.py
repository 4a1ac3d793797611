"""
What a function, a topic or a queue is given: one message as JSON (docs/targets.md has it field by field).

The whole message is in it as long as it fits what the service takes. If it does not, `content` is null and
`content_truncated` true, and the message is to be read from the spool; the list of header fields is cut in the
same open way. Deterministic: the same message gives the same octets at every attempt.

A webhook gets the message's octets instead (adapters/webhook_targets.py).

Next: adapters/lambda_targets.py, adapters/sns_targets.py, adapters/sqs_targets.py.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from paravion.domain.headers import split_header
from paravion.domain.status import Rejected

VERSION: Final = 1

HEADER_CHARACTERS: Final = 64_000
"""Most of the list of header fields, as JSON."""


@dataclass(frozen=True, slots=True)
class TargetEvent:
    """
    What is said of a message, but for its content.

    Attributes:
        idempotency_key: domain.target.idempotency_key of this message and target.
        recipient: The alias's address.
        received_at: Seconds since the epoch.
        bucket: Of the spool.
        body_id: The queue id that the body lies under.
        header: The header section, CRLF line ends, without the empty line after it.
    """

    queue_id: str
    idempotency_key: str
    reverse_path: str
    recipient: str
    received_at: float
    bucket: str
    body_id: str
    body_octets: int
    header: bytes

    @property
    def octets(self) -> int:
        """Length of the whole message."""
        return len(self.header) + 2 + self.body_octets

    def may_fit(self, limit: int) -> bool:
        """Say whether the whole message can be in an event of `limit` octets: base64 makes four of three."""
        return self.octets * 4 // 3 < limit


def encode_event(event: TargetEvent, body: bytes | None, limit: int) -> str:
    """
    Give the JSON text, printable ASCII of at most `limit` octets.

    Args:
        body: The message's body; None to leave the content out in any case.
    """
    fields, truncated = _header_fields(event.header)
    told: dict[str, Any] = {
        "version": VERSION,
        "queue_id": event.queue_id,
        "idempotency_key": event.idempotency_key,
        "reverse_path": event.reverse_path,
        "recipient": event.recipient,
        "received_at": datetime.fromtimestamp(int(event.received_at), UTC).isoformat().replace("+00:00", "Z"),
        "octets": event.octets,
        "headers": fields,
        "headers_truncated": truncated,
        "spool": {
            "bucket": event.bucket,
            "header_key": f"qf/{event.queue_id}",
            "body_key": f"df/{event.body_id}",
            "body_octets": event.body_octets,
        },
        "content": None,
        "content_truncated": True,
    }
    if body is not None:
        content = base64.b64encode(event.header + b"\r\n" + body).decode("ascii")
        whole = _text({**told, "content": content, "content_truncated": False})
        if len(whole) <= limit:
            return whole
    return _text(told)


def _text(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=True, separators=(",", ":"))


def _header_fields(header: bytes) -> tuple[list[list[str]], bool]:
    """Give name and unfolded value of each field in order, and whether some were left out."""
    found: list[list[str]] = []
    try:
        fields = split_header(header)
    except Rejected:
        # The door took it, so it can be read; whatever comes here all the same must not stop the mail.
        return found, True
    left = HEADER_CHARACTERS
    for field in fields:
        pair = [field.name.decode("ascii", "replace"), field.value.decode("utf-8", "replace")]
        left -= len(_text({"": pair}))
        if left < 0:
            return found, True
        found.append(pair)
    return found, False
