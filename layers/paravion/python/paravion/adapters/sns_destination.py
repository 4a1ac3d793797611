"""Events to SNS topics: PublishBatch, by a botocore client; each text is a message, as SES publishes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.adapters.event_batches import in_batches
from paravion.domain.webhook_event import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paravion.domain.ses_event import Origin, SesEvent
    from paravion.domain.told import Told


def send(
    client: Any,
    told: Told,
    events: Sequence[SesEvent],  # noqa: ARG001 (one form for all)
    texts: Sequence[str],
    origin: Origin,  # noqa: ARG001 (the same)
) -> list[str]:
    """Send events; see ports.EventDestinations."""
    # Notifications of identities have no subject.
    subject = {} if told.is_notification else {"Subject": SUBJECT}

    def call(some: list[int]) -> Mapping[str, Any]:
        entries = [{"Id": str(place), "Message": texts[n], **subject} for place, n in enumerate(some)]
        topic = told.destination.target["TopicArn"]
        answer: Mapping[str, Any] = client.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        return answer

    def failures(answer: Mapping[str, Any]) -> dict[int, str]:
        return {int(item["Id"]): f"{item.get('Code')}: {item.get('Message')}" for item in answer.get("Failed", [])}

    return in_batches([len(text) for text in texts], call, failures)
