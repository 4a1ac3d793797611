"""
ports.EventDestinations: finds out what a destination is, whether the operator allows it, and who sends to it.

Clients are made when the first event needs them.

Next: adapters/sns_destination.py and its like, adapters/webhook_events.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from paravion.domain.allowed_destinations import ARN_MEMBERS
from paravion.domain.ses_event import form_of
from paravion.domain.target import arn_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.adapters.webhook_events import WebhookEvents
    from paravion.domain.allowed_destinations import AllowedDestinations
    from paravion.domain.ses_event import Origin, SesEvent
    from paravion.domain.told import Told


class AllEventDestinations:
    """
    ports.EventDestinations.

    Args:
        new_client: Service and region to a client; region "" for our own.
        new_webhooks: Gives what sends to webhooks.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        allowed: AllowedDestinations,
        origin: Origin,
        new_client: Callable[[str, str], Any],
        new_webhooks: Callable[[], WebhookEvents],
        clock: Callable[[], float],
    ) -> None:
        self._allowed = allowed
        self._origin = origin
        self._new_client = new_client
        self._new_webhooks = new_webhooks
        self._clock = clock
        self._clients: dict[tuple[str, str], Any] = {}
        self._webhooks: WebhookEvents | None = None

    def publish(self, told: Told, events: Sequence[SesEvent]) -> list[str]:
        """See ports.EventDestinations."""
        problem = self._allowed.problem(told.destination)
        if problem:
            return [problem] * len(events)
        if told.destination.kind == "Webhook":
            if self._webhooks is None:
                self._webhooks = self._new_webhooks()
            return self._webhooks.publish(told, events)
        kind, target = told.destination.kind, told.destination.target
        if kind == "CloudWatchDestination":
            from paravion.adapters import cloudwatch_destination

            return cloudwatch_destination.send(
                self._client("cloudwatch", ""), told, events, self._allowed.metric_namespace, self._clock()
            )
        texts = [json.dumps(form_of(told, event), separators=(",", ":")) for event in events]
        service, adapter = _adapter(kind)
        client = self._client(service, arn_part(target[ARN_MEMBERS[kind]], 3))
        problems: list[str] = adapter.send(client, told, events, texts, self._origin)
        return problems

    def _client(self, service: str, region: str) -> Any:
        # Two threads may both make one: the second replaces the first, which then only serves its own call.
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = self._new_client(service, region)
        return self._clients[key]


def _adapter(kind: str) -> tuple[str, Any]:
    """Give a destination's service as clients are named, and who sends to it."""
    if kind == "SnsDestination":
        from paravion.adapters import sns_destination

        return "sns", sns_destination
    if kind == "EventBridgeDestination":
        from paravion.adapters import events_destination

        return "events", events_destination
    assert kind == "KinesisFirehoseDestination"  # noqa: S101 (AllowedDestinations knows no others)
    from paravion.adapters import firehose_destination

    return "firehose", firehose_destination
