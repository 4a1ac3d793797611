"""
`lambda:` targets: asynchronous Invoke, by a botocore client.

Asynchronous ("Event"): Lambda answers 202 when it has queued the event durably, and runs the function, with its own
retries and its own dead-letter queue, in its own time. A synchronous call would bind mail to the time that a
function takes, and run it twice whenever an answer is lost.
"""

from __future__ import annotations

from typing import Any, Final

LIMIT_OCTETS: Final = 1_000_000
"""Lambda's asynchronous payload: 1 MB, read here as the smaller one."""

TOO_LARGE: Final = frozenset({"RequestTooLargeException", "RequestEntityTooLargeException"})


def hand_over(client: Any, arn: str, text: str, key: str, recipient: str) -> str:  # noqa: ARG001 (one form for all three)
    """
    Queue an invocation with the event.

    Args:
        arn: Of the function, with its qualifier if it has one.
        text: The event as JSON.
        key: The idempotency key; Lambda knows none, it stands in the event.

    Returns:
        Lambda's request id, as words.

    Raises:
        ClientError, BotoCoreError
    """
    answer = client.invoke(FunctionName=arn, InvocationType="Event", Payload=text.encode("ascii"))
    request_id = answer.get("ResponseMetadata", {}).get("RequestId", "without id")
    return f"the function's event is queued, request {request_id}"
