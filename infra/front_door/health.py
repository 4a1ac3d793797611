"""
The health endpoint: one answer for every HTTP request, for load balancers and container hosts.

200 while connections are taken, 503 once the door is stopping. It says nothing of the API: while that is away
clients hear a true 4yz, and another door would tell them the same.

A balancer that speaks the PROXY protocol to its targets may do so in its checks as well, or not: its header is skipped.
"""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from infra.front_door.proxy_protocol import BadHeader, ProxyHeader, may_begin, plain_address

if TYPE_CHECKING:
    from infra.front_door.server import House

_LONGEST_REQUEST: Final = 8192
_TIMEOUT_S: Final = 5.0
_REQUEST: Final = re.compile(rb"(?:\r\n)*[A-Z]{1,20} [^ \r\n]+ HTTP/1\.[01]\r\n")
"""Empty lines before it are ignored, RFC 9112 2.2."""

_SURE_OCTETS: Final = 12
"""After so many it is plain whether a PROXY header comes."""


class Health(asyncio.Protocol):
    """One connection: one request, one answer."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._request = b""
        self._header: ProxyHeader | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, but not long."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and self._house.is_proxy(plain_address(peer[0])):
            self._header = ProxyHeader()
        self._timer = self._house.loop.call_later(_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Forget it."""
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer once the head is in."""
        self._request += data
        if self._transport is None or self._transport.is_closing():
            return
        try:
            if not self._is_past_header():
                return
        except BadHeader:
            self._transport.abort()
            return
        begin = self._request.lstrip(b"\r\n")
        if b"\r\n\r\n" not in begin and len(self._request) < _LONGEST_REQUEST:
            return
        if _REQUEST.match(self._request):
            status = HTTPStatus.SERVICE_UNAVAILABLE if self._house.draining else HTTPStatus.OK
            told = {"status": "stopping" if self._house.draining else "ok", "connections": len(self._house.connections)}
        else:
            status, told = HTTPStatus.BAD_REQUEST, {"status": "no HTTP"}
        body = json.dumps(told).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + (b"" if begin.startswith(b"HEAD ") else body))
        self._transport.close()

    def _is_past_header(self) -> bool:
        """
        Take a balancer's header off what came; False: more must come.

        Raises:
            BadHeader
        """
        header = self._header
        if header is None:
            return True
        if not header.has_begun:
            if not may_begin(self._request):
                self._header = None
                return True
            if len(self._request) < _SURE_OCTETS:
                return False
        while self._request:
            piece, self._request = self._request[: header.wants], self._request[header.wants :]
            if header.feed(piece):
                self._header = None
                return True
        return False
