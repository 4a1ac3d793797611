"""Events to Firehose streams: PutRecordBatch, by a botocore client; each event ends with a LF, as SES's do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.adapters.event_batches import in_batches

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
    stream = told.destination.target["DeliveryStreamArn"].rpartition("/")[2]

    def call(some: list[int]) -> Mapping[str, Any]:
        records = [{"Data": texts[n].encode() + b"\n"} for n in some]
        answer: Mapping[str, Any] = client.put_record_batch(DeliveryStreamName=stream, Records=records)
        return answer

    def failures(answer: Mapping[str, Any]) -> dict[int, str]:
        found = enumerate(answer.get("RequestResponses", []))
        return {n: f"{item['ErrorCode']}: {item.get('ErrorMessage')}" for n, item in found if item.get("ErrorCode")}

    return in_batches([len(text) for text in texts], call, failures)
