"""`sns:` targets: Publish, by a botocore client."""

from __future__ import annotations

from typing import Any, Final

from paravion.adapters.sqs_targets import fifo_parameters

LIMIT_OCTETS: Final = 256 * 1024
"""SNS's largest message."""

TOO_LARGE: Final = frozenset({"InvalidParameter", "ParameterValueInvalid"})
"""What SNS calls a long message, among other things."""


def hand_over(client: Any, arn: str, text: str, key: str, recipient: str) -> str:
    """
    Publish the event to a topic; on a FIFO topic once within five minutes, and in order for each alias.

    Returns:
        The MessageId, as words.

    Raises:
        ClientError, BotoCoreError
    """
    answer = client.publish(TopicArn=arn, Message=text, **fifo_parameters(arn, key, recipient))
    return f"published, MessageId {answer['MessageId']}"
