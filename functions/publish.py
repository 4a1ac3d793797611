"""EventQueue → those who are told what became of mail (services/publish.py)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from paravion import bootstrap
from paravion.adapters.sqs_queues import partial_batch_response, read_batch
from paravion.services.publish import PublishDeps, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext


def make_handler(deps: Callable[[], PublishDeps]) -> Callable[[dict[str, Any], LambdaContext], dict[str, Any]]:
    """Give the handler of one execution environment."""
    bootstrap.warm(deps)

    def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
        return partial_batch_response(publish(read_batch(event), deps()))

    return handler


handler = make_handler(cache(bootstrap.publish))
