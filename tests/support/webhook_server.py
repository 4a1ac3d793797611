r"""
A webhook receiver as docs/targets.md tells a user to write one; and one that misbehaves as told.

`verify` is written from the page, not from our code.

    async with WebhookServer(context, script=[b"HTTP/1.1 500 x\r\n\r\n"]) as server:
        ... server.port, server.requests

Each request takes the next action of the script, then `mood` is the action, which is the answer 200 until it is set to
another; one that hangs by it is cut off when it changes:

    octets      this answer, and the end of the connection
    CUT         the connection ends without an answer
    HANG        no answer
    EARLY(b..)  the answer before the body is read, and the end of the connection
    STALL       nothing is read behind the head, and nothing said
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self


def verify(secret: str, headers: dict[str, str], body: bytes, *, now: float) -> bool:
    """Check a request as the documentation says. Header names are lower case here."""
    timestamp = headers["paravion-timestamp"]
    if abs(now - int(timestamp)) > 300:
        return False
    signed = timestamp.encode() + b"." + body
    expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    given = [part.strip() for part in headers["paravion-signature"].split(",")]
    return any(hmac.compare_digest(expected, signature) for signature in given)


class Act(Enum):
    CUT = "cut"
    HANG = "hang"
    STALL = "stall"


CUT, HANG, STALL = Act
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Early:
    answer: bytes


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    octets: int


@dataclass
class WebhookServer:
    context: ssl.SSLContext | None
    script: Sequence[Any] = ()
    host: str = "127.0.0.1"
    keep_bodies: bool = True
    mood: Any = OK
    bound: socket.socket | None = None  # where to listen: until then whoever asks there is refused
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    async def __aenter__(self) -> Self:
        self._left = list(self.script)
        place: dict[str, Any] = {"sock": self.bound} if self.bound else {"host": self.host, "port": 0}
        self._server = await asyncio.start_server(self._serve, ssl=self.context, **place)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in [task for task in asyncio.all_tasks() if "_serve" in repr(task.get_coro())]:
            task.cancel()

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (item.partition(": ") for item in fields)}
        method, path, _ = line.split(" ")
        action = self._left.pop(0) if self._left else self.mood
        if action is STALL:
            await asyncio.sleep(60)
        if isinstance(action, Early):
            writer.write(action.answer)
            await writer.drain()
            self.requests.append(Request(method, path, headers, b"", 0))
            await asyncio.sleep(0.2)
            return
        pieces, left = [], int(headers["content-length"])
        octets = 0
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                return
            left -= len(piece)
            octets += len(piece)
            if self.keep_bodies:
                pieces.append(piece)
        self.requests.append(Request(method, path, headers, b"".join(pieces), octets))
        while action is HANG and self.mood is HANG:
            await asyncio.sleep(0.05)
            if self.mood is not HANG:
                return
        if action is CUT:
            return
        if action is HANG:
            await asyncio.sleep(60)
        writer.write(action)
        await writer.drain()


@contextlib.contextmanager
def running(server: WebhookServer) -> Iterator[WebhookServer]:
    """Run a server in a thread, for tests without a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
