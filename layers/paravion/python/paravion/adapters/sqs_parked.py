"""
The parked queue in SQS, for an operator: what is received is hidden for a while, and comes back unless it is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from paravion.adapters.aws_errors import as_unavailable
from paravion.adapters.job_text import decode_job
from paravion.errors import QueueUnavailable
from paravion.ports import ParkedItem

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH: Final = 10
_HIDDEN_S: Final = 60
"""Longer than the function lives: what a look found is its own until it ends."""


class SqsParked:
    """
    ports.Parked.

    Args:
        wait_s: Of the last call of a look; with 0 SQS asks some of its servers only, and may miss items.
    """

    def __init__(self, client: Any, url: str, *, wait_s: int = 1) -> None:
        self._client = client
        self._url = url
        self._wait_s = wait_s

    def look(self, limit: int) -> list[ParkedItem]:
        """See ports.Parked."""
        found: dict[str, ParkedItem] = {}
        while len(found) < limit:
            with as_unavailable(QueueUnavailable, "parked"):
                answer = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(_BATCH, limit - len(found)),
                    VisibilityTimeout=_HIDDEN_S,
                    WaitTimeSeconds=self._wait_s,
                    AttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                )
            messages = answer.get("Messages", [])
            if not messages:
                break
            found |= {message["MessageId"]: _item(message) for message in messages}
        return list(found.values())

    def put_back(self, items: Sequence[ParkedItem]) -> None:
        """See ports.Parked."""
        for first in range(0, len(items), _BATCH):
            entries = [
                {"Id": str(n), "ReceiptHandle": item.receipt, "VisibilityTimeout": 0}
                for n, item in enumerate(items[first : first + _BATCH])
            ]
            try:
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            except (ClientError, BotoCoreError):
                # They come back by themselves.
                continue

    def drop(self, items: Sequence[ParkedItem]) -> None:
        """See ports.Parked."""
        for first in range(0, len(items), _BATCH):
            entries = [
                {"Id": str(n), "ReceiptHandle": item.receipt} for n, item in enumerate(items[first : first + _BATCH])
            ]
            with as_unavailable(QueueUnavailable, "parked"):
                answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            if answer.get("Failed"):
                raise QueueUnavailable(f"parked: {len(answer['Failed'])} entries refused")


def _item(message: dict[str, Any]) -> ParkedItem:
    attributes = message.get("Attributes", {})
    return ParkedItem(
        message["MessageId"],
        message["ReceiptHandle"],
        decode_job(message["Body"]),
        message["Body"],
        int(attributes.get("ApproximateReceiveCount", "0")),
        int(attributes.get("SentTimestamp", "0")) / 1000,
    )
