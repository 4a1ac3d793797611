"""`sqs:` targets: SendMessage, by a botocore client."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from paravion.domain.target import FIFO, queue_url

LIMIT_OCTETS: Final = 1 << 20
"""SQS's largest message; a queue may be set to less."""

TOO_LARGE: Final = frozenset({"InvalidParameterValue", "InvalidParameterValueException"})
"""What SQS calls a message that is longer than the queue's own limit, among other things."""


def hand_over(client: Any, arn: str, text: str, key: str, recipient: str) -> str:
    """
    Send the event to a queue; on a FIFO queue once within five minutes, and in order for each alias.

    Returns:
        The MessageId, as words.

    Raises:
        ClientError, BotoCoreError
    """
    answer = client.send_message(QueueUrl=queue_url(arn), MessageBody=text, **fifo_parameters(arn, key, recipient))
    return f"queued, MessageId {answer['MessageId']}"


def fifo_parameters(arn: str, key: str, recipient: str) -> dict[str, str]:
    """Give what a FIFO queue or topic asks for: the alias is the group, this message and target the duplicate."""
    if not arn.endswith(FIFO):
        return {}
    group = hashlib.sha256(recipient.encode("utf-8", "surrogatepass")).hexdigest()
    return {"MessageGroupId": group, "MessageDeduplicationId": key}
