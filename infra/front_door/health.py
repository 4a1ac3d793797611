"""
The health endpoint: one answer for every HTTP request, for load balancers and container hosts.

200 while connections are taken, 503 once the door is stopping. It says nothing of the API: while that is away
clients hear a true 4yz, and another door would tell them the same.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from infra.front_door.server import House

_LONGEST_REQUEST: Final = 8192
_TIMEOUT_S: Final = 5.0


class Health(asyncio.Protocol):
    """One connection: one request, one answer."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._request = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, but not long."""
        self._transport = cast("asyncio.Transport", transport)
        self._timer = self._house.loop.call_later(_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Forget it."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer once the head is in."""
        self._request += data
        if self._transport is None or (b"\r\n\r\n" not in self._request and len(self._request) < _LONGEST_REQUEST):
            return
        status = HTTPStatus.SERVICE_UNAVAILABLE if self._house.draining else HTTPStatus.OK
        word = "stopping" if self._house.draining else "ok"
        body = json.dumps({"status": word, "connections": len(self._house.connections)}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + (b"" if self._request.startswith(b"HEAD ") else body))
        self._transport.close()
