"""
Events to webhooks: one signed POST each (domain/webhook_event.py), of several mails at a time, of one mail in order.

After one that was not taken the others of its mail wait for it. All of it is over within a bounded time, so that a
webhook that hangs does not hold the batch.

Next: adapters/webhook_client.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from paravion.adapters.webhook_client import WebhookClient
from paravion.domain.outcome import Result
from paravion.domain.target import parse_target
from paravion.domain.webhook_event import body_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence

    from paravion.domain.ses_event import Origin, SesEvent
    from paravion.domain.target import AllowedTargets
    from paravion.domain.told import Told
    from paravion.ports import Resolver, Secrets

WITHIN_S: Final = 15.0
"""Longest that a batch's events of one webhook take."""

_AT_ONCE: Final = 8


class WebhookEvents:
    """
    Sends events to webhooks.

    Args:
        new_resolver: Gives a resolver for a new event loop.
        context: Verifies certificates; see WebhookClient.
    """

    def __init__(
        self,
        allowed: AllowedTargets,
        new_resolver: Callable[[], Resolver],
        secrets: Secrets,
        clock: Callable[[], float],
        origin: Origin,
        *,
        connect_timeout_s: float = 10.0,
        within_s: float = WITHIN_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._new_resolver = new_resolver
        self._secrets = secrets
        self._clock = clock
        self._origin = origin
        self._connect_timeout_s = min(connect_timeout_s, within_s)
        self._within_s = within_s
        self._context = context

    def publish(self, told: Told, events: Sequence[SesEvent]) -> list[str]:
        """See ports.EventDestinations. Runs a loop of its own: not for a thread that has one."""
        return asyncio.run(self._publish(told, events))

    async def _publish(self, told: Told, events: Sequence[SesEvent]) -> list[str]:
        client = WebhookClient(
            self._allowed,
            self._new_resolver(),
            self._secrets,
            self._clock,
            connect_timeout_s=self._connect_timeout_s,
            context=self._context,
        )
        deadline = asyncio.get_running_loop().time() + self._within_s
        problems = [""] * len(events)
        mails: dict[str, list[int]] = {}
        for n, event in enumerate(events):
            mails.setdefault(event.mail["messageId"], []).append(n)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def send(numbers: list[int]) -> None:
            async with gate:
                for n in numbers:
                    problems[n] = await self._post(client, told, events[n], deadline)
                    if problems[n]:
                        for later in numbers[numbers.index(n) + 1 :]:
                            problems[later] = problems[n]
                        return

        await asyncio.gather(*(send(numbers) for numbers in mails.values()))
        return problems

    async def _post(self, client: WebhookClient, told: Told, event: SesEvent, deadline: float) -> str:
        body, fields = body_of(told, event, self._origin)

        async def content() -> AsyncIterator[bytes]:
            yield body

        def signed(timestamp: int, signature: str) -> dict[str, str]:
            return {**fields, "Paravion-Timestamp": str(timestamp), "Paravion-Signature": signature}

        target = parse_target(told.destination.target["Url"])
        outcome = await client.post(target, signed, content, len(body), deadline)
        return "" if outcome.result is Result.DELIVERED else outcome.text or outcome.status
