"""
What a webhook is posted of an event (docs/events.md says how to check it).

    form    body                                                     Content-Type
    ------  -------------------------------------------------------  --------------------------
    event   the event's JSON                                         application/json
    sns     the notification that a topic's HTTPS subscription gets  text/plain; charset=UTF-8
            with the event's JSON as its Message, and Amazon's header
            fields; without Amazon's signature, which nobody else can make

Both with Paravion-Timestamp and Paravion-Signature as domain/webhook.py makes them, and an Idempotency-Key that is the
same each time the event comes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from paravion.domain.ses_event import form_of, iso

if TYPE_CHECKING:
    from paravion.domain.ses_event import Origin, SesEvent
    from paravion.domain.told import Told

SUBJECT: Final = "Amazon SES Email Event Notification"
"""Of what SES publishes to topics."""


def body_of(told: Told, event: SesEvent, origin: Origin) -> tuple[bytes, dict[str, str]]:
    """Give the body of a request, and its fields but for Host, Content-Length, timestamp and signature."""
    text = json.dumps(form_of(told, event), separators=(",", ":"))
    key = hashlib.sha256(f"{told.tenant}\0{told.key}\0{text}".encode()).hexdigest()
    fields = {
        "User-Agent": "paravion",
        "Accept": "*/*",
        "Connection": "close",
        "Idempotency-Key": f'"{key}"',
        "Paravion-Event-Type": event.type,
    }
    if told.destination.target.get("Form") != "sns":
        return text.encode(), {**fields, "Content-Type": "application/json"}
    message_id = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:32]}"
    topic = f"arn:aws:sns:{origin.region}:{origin.account}:paravion-{told.destination.name}"
    body = {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": topic,
        "Subject": SUBJECT,
        "Message": text,
        "Timestamp": iso(event.at),
        "UnsubscribeURL": "",
    }
    amazons = {
        "Content-Type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": message_id,
        "x-amz-sns-topic-arn": topic,
    }
    return json.dumps(body, separators=(",", ":")).encode(), {**fields, **amazons}
