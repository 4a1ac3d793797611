"""
The queues in SQS, and the wire form of a batch.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from paravion.adapters.aws_errors import as_unavailable
from paravion.adapters.job_text import decode_job, encode_job
from paravion.domain.queue import Received
from paravion.errors import QueueUnavailable
from paravion.ports import MAX_DELAY_S, QueueName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from paravion.domain.queue import Job

_BATCH: Final = 10
"""Entries of one SQS call."""

_BATCH_OCTETS: Final = 250_000
"""Of one call's entries together; SQS takes 262,144 where it was not raised."""

_WAITS_S: Final = (0.0, 0.1, 0.3, 0.9)
"""Before each call for entries that SQS refused one by one inside an accepted batch: others of it are enqueued."""


class SqsQueues:
    """
    ports.Queues.

    Args:
        urls: Queue name (ports.QueueName) to URL; only those that the function may use.
    """

    def __init__(self, client: Any, urls: Mapping[str, str]) -> None:
        self._client = client
        self._urls = urls

    def send(self, queue: str, jobs: Sequence[Job], *, delay_s: float = 0.0) -> None:
        """See ports.Queues."""
        url = self._urls[queue]
        delay = _delay(delay_s)
        bodies = [encode_job(job) for job in jobs]
        if len(bodies) == 1:
            with as_unavailable(QueueUnavailable, queue):
                self._client.send_message(QueueUrl=url, MessageBody=bodies[0], **delay)
            return
        for first in range(0, len(bodies), _BATCH):
            self._send_batch(queue, url, bodies[first : first + _BATCH], delay)

    def send_texts(self, queue: str, texts: Sequence[str], *, delay_s: float = 0.0) -> None:
        """See ports.Queues."""
        for some in _within_limits(texts):
            self._send_batch(queue, self._urls[queue], some, _delay(delay_s))

    def park(self, bodies: Sequence[str]) -> None:
        """See ports.Queues."""
        for first in range(0, len(bodies), _BATCH):
            self._send_batch(QueueName.PARKED, self._urls[QueueName.PARKED], list(bodies[first : first + _BATCH]), {})

    def _send_batch(self, queue: str, url: str, bodies: list[str], delay: dict[str, int]) -> None:
        left = {str(n): body for n, body in enumerate(bodies)}
        for wait_s in _WAITS_S:
            time.sleep(wait_s)
            with as_unavailable(QueueUnavailable, queue):
                answer = self._client.send_message_batch(
                    QueueUrl=url, Entries=[{"Id": n, "MessageBody": body, **delay} for n, body in left.items()]
                )
            left = {failure["Id"]: left[failure["Id"]] for failure in answer.get("Failed", [])}
            if not left:
                return
        raise QueueUnavailable(f"{queue}: {len(left)} entries refused")

    def release(self, queue: str, receipts: Sequence[str]) -> None:
        """See ports.Queues."""
        for first in range(0, len(receipts), _BATCH):
            entries = [
                {"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for n, receipt in enumerate(receipts[first : first + _BATCH])
            ]
            try:
                self._client.change_message_visibility_batch(QueueUrl=self._urls[queue], Entries=entries)
            except (ClientError, BotoCoreError):
                # They turn up when their visibility ends; only time is lost.
                continue


def _delay(delay_s: float) -> dict[str, int]:
    """Without a delay of its own a message has the queue's, which is none (template.yaml)."""
    return {"DelaySeconds": min(math.ceil(delay_s), int(MAX_DELAY_S))} if delay_s > 0 else {}


def _within_limits(texts: Sequence[str]) -> Iterator[list[str]]:
    """Cut texts into what one call takes."""
    some: list[str] = []
    octets = 0
    for text in texts:
        if some and (len(some) == _BATCH or octets + len(text) > _BATCH_OCTETS):
            yield some
            some, octets = [], 0
        some.append(text)
        octets += len(text)
    if some:
        yield some


def read_batch(event: Mapping[str, Any]) -> list[Received]:
    """Turn an SQS event of a Lambda function into what was received."""
    return [
        Received(record["messageId"], record["receiptHandle"], decode_job(record["body"]), record["body"])
        for record in event["Records"]
    ]


def partial_batch_response(failed: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Give the answer that makes SQS keep exactly these items."""
    return {"batchItemFailures": [{"itemIdentifier": item_id} for item_id in failed]}
