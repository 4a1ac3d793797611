"""
The queues and topics that aliases may name, made in moto: there is nobody else who could have made them.

Functions are not: moto would run them in Docker. A `lambda:` target is deferred here, as any that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from paravion.domain.target import FIFO, arn_part

if TYPE_CHECKING:
    from collections.abc import Iterable


def make(arns: Iterable[str]) -> None:
    """Make what is named by ARNs; moto gives all of it to its own account."""
    for arn in arns:
        service, region, name = arn.split(":")[2], arn_part(arn, 3), arn_part(arn, 5)
        if service == "sqs":
            attributes = {"FifoQueue": "true"} if name.endswith(FIFO) else {}
            boto3.client("sqs", region_name=region).create_queue(QueueName=name, Attributes=attributes)
        elif service == "sns":
            attributes = {"FifoTopic": "true"} if name.endswith(FIFO) else {}
            boto3.client("sns", region_name=region).create_topic(Name=name, Attributes=attributes)
