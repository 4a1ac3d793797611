"""
The HTTP API in front of the functions, with API Gateway's limits and its answers when a function fails.

Paths of our own (`LocalPaths`) are asked first and never reach a function.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from infra.local.environments import PAYLOAD_OCTETS, Function, FunctionFailed, PayloadTooLarge
from infra.local.events import BadAnswer, Request, Response, from_answer, match_route, message_response, to_event
from infra.local.web import too_big

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infra.local.template import Route

INTEGRATION_S: Final = 30.0
"""API Gateway's longest wait for an integration."""


class Gateway:
    """Answers requests by the template's routes."""

    def __init__(
        self,
        routes: Sequence[Route],
        functions: Mapping[str, Function],
        local: Callable[[Request], Response | None],
    ) -> None:
        self._routes = routes
        self._functions = functions
        self._local = local

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises."""
        own = self._local(request)
        if own is not None:
            return own
        found = match_route(self._routes, request.method, request.raw_path)
        if found is None:
            return message_response(HTTPStatus.NOT_FOUND, "Not Found")
        route, parameters = found
        event = to_event(request, route.key, parameters, request_id=str(uuid.uuid4()), now=time.time())
        try:
            async with asyncio.timeout(INTEGRATION_S):
                answer = await self._functions[route.function].invoke(event)
            return from_answer(answer)
        except TimeoutError:
            return message_response(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        except PayloadTooLarge:
            # AWS says no more than "Request Too Long".
            return message_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_big(PAYLOAD_OCTETS))
        except (FunctionFailed, BadAnswer):
            return message_response(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
