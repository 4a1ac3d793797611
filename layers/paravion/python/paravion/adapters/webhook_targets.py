"""
`https://` targets: the message's own octets, posted by adapters/webhook_client.py.

The body is streamed from the spool, twice: once to sign it, once to send it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from paravion.domain.webhook import request_fields
from paravion.errors import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from paravion.adapters.webhook_client import WebhookClient
    from paravion.domain.outcome import Outcome
    from paravion.ports import Handover


class WebhookTargets:
    """ports.Targets for webhooks."""

    def __init__(self, client: WebhookClient) -> None:
        self._client = client

    async def hand_over(self, handover: Handover, deadline: float) -> Outcome:
        """See ports.Targets."""

        def fields(timestamp: int, signature: str) -> dict[str, str]:
            return request_fields(
                target=handover.target,
                queue_id=handover.queue_id,
                recipient=handover.recipient,
                reverse_path=handover.reverse_path,
                received_at=handover.received_at,
                timestamp=timestamp,
                signature=signature,
            )

        octets = len(handover.header) + 2 + handover.body.octets
        return await self._client.post(handover.target, fields, lambda: _content(handover), octets, deadline)


async def _content(handover: Handover) -> AsyncIterator[bytes]:
    """Give the message's octets, in pieces of bounded size. Raises SpoolMissing, SpoolUnavailable."""
    yield handover.header + b"\r\n"
    octets = 0
    async with contextlib.aclosing(handover.body.chunks()) as chunks:  # type: ignore[type-var]  # generators, all
        async for chunk in chunks:
            octets += len(chunk)
            yield chunk
    if octets != handover.body.octets:
        raise SpoolUnavailable(f"body has {octets} octets, not {handover.body.octets}")
