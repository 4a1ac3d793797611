"""
moto's queues without the work that grows with their depth.

moto counts all messages of a queue several times for each one that is sent or received, and asks the clock
twice for each one that it looks at: a receive of ten takes 0.2 s at a depth of 100 and 1 s at 1,000. The
counts are only wanted by GetQueueAttributes. What a queue does stays moto's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.utils import unix_time_millis
from moto.sqs.models import Message, Queue, sqs_backends


class LightQueue(Queue):
    """A queue that counts only when it is asked, and looks at the clock once for each look at its messages."""

    counts = True

    @property
    def messages(self) -> list[Message]:
        """The messages that can be received now; see Message.visible and .delayed."""
        now = unix_time_millis()
        return [message for message in self._messages if now > message.visible_at and now >= message.delayed_until]

    @property
    def approximate_number_of_messages(self) -> int:
        """As its name says."""
        return len(self.messages) if self.counts else 0

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        """As its name says."""
        now = unix_time_millis()
        return sum(now <= message.visible_at for message in self._messages) if self.counts else 0

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        """As its name says."""
        now = unix_time_millis()
        return sum(now < message.delayed_until for message in self._messages) if self.counts else 0


def lighten(region: str) -> None:
    """Make all queues of a region light. Their backend is used under one lock, see aws.Cloud."""
    backend: Any = sqs_backends[DEFAULT_ACCOUNT_ID][region]
    for queue in backend.queues.values():
        queue.__class__ = LightQueue
    for name in ("send_message", "receive_message"):
        setattr(backend, name, _without_counts(getattr(backend, name)))


def _without_counts(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        LightQueue.counts = False
        try:
            return method(*args, **kwargs)
        finally:
            LightQueue.counts = True

    return call
