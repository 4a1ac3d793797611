"""HTTP API → keep a message, then promise it (services/validate.py)."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from paravion import bootstrap
from paravion.api.doors import serve
from paravion.api.validate_doors import VALIDATE_DOORS
from paravion.services.validate import ValidateDeps, submit

if TYPE_CHECKING:
    from collections.abc import Callable


def make_handler(deps: Callable[[], ValidateDeps]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Give the handler of one execution environment."""
    bootstrap.warm(deps)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
        ready = deps()
        return serve(event, ready, VALIDATE_DOORS, partial(submit, deps=ready)).to_event()

    return handler


handler = make_handler(cache(bootstrap.validate))
