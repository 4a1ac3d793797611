"""DeliveryQueue → try each job once (services/deliver.py)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from paravion import bootstrap
from paravion.adapters.sqs_queues import partial_batch_response, read_batch
from paravion.services.deliver import DeliverDeps, deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext


def make_handler(deps: Callable[[], DeliverDeps]) -> Callable[[dict[str, Any], LambdaContext], dict[str, Any]]:
    """Give the handler of one execution environment; its loop, and the connections on it, live as long."""
    bootstrap.warm(deps)
    runner = bootstrap.new_runner()

    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        items = read_batch(event)
        failed = runner.run(deliver(items, deps(), context.get_remaining_time_in_millis() / 1000))
        return partial_batch_response(failed)

    return handler


handler = make_handler(cache(bootstrap.deliver))
