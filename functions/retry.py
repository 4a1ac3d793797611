"""RetryQueue and the one-minute schedule → decide about time (services/retry.py)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from paravion import bootstrap
from paravion.adapters.sqs_queues import partial_batch_response, read_batch
from paravion.services.retry import RetryDeps, retry, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext


def make_handler(deps: Callable[[], RetryDeps]) -> Callable[[dict[str, Any], LambdaContext], dict[str, Any]]:
    """Give the handler of one execution environment."""
    bootstrap.warm(deps)

    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        if "sweep" in event:
            return {"swept": sweep(deps(), lambda: context.get_remaining_time_in_millis() / 1000)}
        return partial_batch_response(retry(read_batch(event), deps()))

    return handler


handler = make_handler(cache(bootstrap.retry))
