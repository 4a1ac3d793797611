"""
ports.Targets: finds out what a target means, whether the operator allows it, and who hands over to it.

Clients of AWS's services and the webhook's TLS context are made when the first message needs them: an installation
without targets pays nothing, at no cold start.

Next: adapters/lambda_targets.py, adapters/sns_targets.py, adapters/sqs_targets.py, adapters/webhook_targets.py.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import target_verdict
from paravion.domain.outcome import Outcome
from paravion.domain.target import LAMBDA, SNS, SQS, WEBHOOK, arn_part, idempotency_key, scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from paravion.domain.target import AllowedTargets
    from paravion.domain.target_event import TargetEvent
    from paravion.ports import Handover, Targets

_LEAST_S: Final = 1.0
"""With less than this left nothing is begun: an answer that comes too late makes a duplicate."""


class AllTargets:
    """
    ports.Targets.

    Args:
        new_client: Service and region to a client.
        new_webhooks: Gives what hands over to webhooks.
        bucket: The spool, for events that name where a message lies.
    """

    def __init__(
        self,
        allowed: AllowedTargets,
        new_client: Callable[[str, str], Any],
        new_webhooks: Callable[[], Targets],
        bucket: str,
    ) -> None:
        self._allowed = allowed
        self._new_client = new_client
        self._new_webhooks = new_webhooks
        self._bucket = bucket
        self._clients: dict[tuple[str, str], Any] = {}
        self._webhooks: Targets | None = None

    async def hand_over(self, handover: Handover, deadline: float) -> Outcome:
        """See ports.Targets."""
        problem = self._allowed.problem(handover.target)
        if problem:
            return target_verdict.misconfigured("the target of this address is not among those that are allowed")
        if deadline - asyncio.get_running_loop().time() < _LEAST_S:
            return target_verdict.no_answer("no time was left to ask the target")
        scheme = scheme_of(handover.target)
        if scheme == WEBHOOK:
            if self._webhooks is None:
                self._webhooks = self._new_webhooks()
            return await self._webhooks.hand_over(handover, deadline)
        adapter = _adapter(scheme)
        event = self._event(handover)
        body = await _whole(handover) if event.may_fit(adapter.LIMIT_OCTETS) else None
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.to_thread(self._call, adapter, scheme, handover.target, event, body)
        except TimeoutError:
            return target_verdict.cut_off("the target's service gave no answer in time")

    def _event(self, handover: Handover) -> TargetEvent:
        from paravion.domain.target_event import TargetEvent

        return TargetEvent(
            queue_id=handover.queue_id,
            idempotency_key=idempotency_key(handover.queue_id, handover.target),
            reverse_path=handover.reverse_path,
            recipient=handover.recipient,
            received_at=handover.received_at,
            bucket=self._bucket,
            body_id=handover.body_id,
            body_octets=handover.body.octets,
            header=handover.header,
        )

    def _call(self, adapter: ModuleType, scheme: str, target: str, event: TargetEvent, body: bytes | None) -> Outcome:
        from paravion.adapters.aws_errors import outcome_at_target, was_refused_as
        from paravion.domain.target_event import encode_event

        arn = self._allowed.resource(target)
        client = self._client(scheme, arn_part(arn, 3))

        def attempt(content: bytes | None) -> str:
            text = encode_event(event, content, adapter.LIMIT_OCTETS)
            answer: str = adapter.hand_over(client, arn, text, event.idempotency_key, event.recipient)
            return answer

        def within_its_own_limit() -> str:
            # A queue may take less than its service does: then the message is named, and not in it.
            if body is None:
                return attempt(None)
            try:
                return attempt(body)
            except Exception as exc:
                if not was_refused_as(exc, adapter.TOO_LARGE):
                    raise
                return attempt(None)

        return outcome_at_target(within_its_own_limit)

    def _client(self, service: str, region: str) -> Any:
        # Two threads may both make one: the second replaces the first, which then only serves its own call.
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = self._new_client(service, region)
        return self._clients[key]


def _adapter(scheme: str) -> Any:
    if scheme == LAMBDA:
        from paravion.adapters import lambda_targets

        return lambda_targets
    if scheme == SNS:
        from paravion.adapters import sns_targets

        return sns_targets
    assert scheme == SQS  # noqa: S101 (tables hold no others)
    from paravion.adapters import sqs_targets

    return sqs_targets


async def _whole(handover: Handover) -> bytes:
    return b"".join([piece async for piece in handover.body.chunks()])
