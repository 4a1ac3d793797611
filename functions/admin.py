"""HTTP API → everything that manages (services/admin.py)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from paravion import bootstrap
from paravion.api.admin_doors import ADMIN_DOORS
from paravion.api.doors import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.services.admin import AdminDeps


def make_handler(deps: Callable[[], AdminDeps]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Give the handler of one execution environment."""
    bootstrap.warm(deps)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
        return serve(event, deps(), ADMIN_DOORS).to_event()

    return handler


handler = make_handler(cache(bootstrap.admin))
