"""
A small HTTP/1.1 server on asyncio streams: kept connections, both kinds of body, 100-continue.

It frames, and knows no routes. Requests whose framing is doubtful end their connection (RFC 9112 6.3 and 11.2).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from infra.local.events import Request, Response, message_response, try_later_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[Request], Awaitable[Response]]

HEADER_OCTETS: Final = 10_240
"""API Gateway's limit of request line and headers together."""

SESSIONS: Final = 1000
"""Connections at once."""

BODY_OCTETS: Final = 10 * 1024 * 1024
"""API Gateway's limit of a request's body."""

IDLE_S: Final = 60.0
LINGER_S: Final = 5.0
LINGER_OCTETS: Final = 64 << 20
"""A refused request is read on so long and so far, and dropped."""

_PIECE_OCTETS: Final = 1 << 16
_LINE_OCTETS: Final = 1024  # chunk sizes and trailers; nobody sends long ones
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 5.6.2
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")


def too_big(limit: int) -> str:
    """Say that a request is too large, and how a message of that size is sent."""
    return (
        f"The request has more than {limit} octets. A larger message is put where POST /v1/uploads says, and then "
        "submitted by POST /v1/messages with its upload_id; paravion send, sendmail and SMTP do so by themselves."
    )


def too_large_response(request: Request, limit: int) -> Response:  # noqa: ARG001 (a server may answer otherwise)
    """Refuse a request for its body's length."""
    return message_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_big(limit))


class _TooLarge(Exception):
    """The request's body is larger than is taken here."""


class _Refused(Exception):
    """The request can't be taken: answer and close."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.response = message_response(status, text)


class Receiver(Protocol):
    """Takes the body of one request as it comes."""

    def write(self, octets: bytes) -> None:
        """Take the next octets."""
        ...

    def end(self) -> Response:
        """Give the answer; all has come."""
        ...

    def close(self) -> None:
        """Let go of everything; called once, whatever happened."""
        ...


def _no_receiver(request: Request, octets: int) -> Receiver | None:  # noqa: ARG001 (a server may have some)
    return None


class WebServer:
    """
    Serves one handler on one address. Belongs to one event loop.

    Args:
        body_octets: The largest body that is read; may depend on the request's target.
        sessions: Connections at once; whoever comes beyond is answered 503 before anything is read.
        too_large: Answers a request whose body is larger than the limit, and was not read.
        receiver: Gives who takes the body of a request as it comes, and answers it; None: the handler, with all of it.
            Is told its length; of one in chunks, which is none of a receiver's, -1.
    """

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        *,
        body_octets: int | Callable[[str], int] = BODY_OCTETS,
        sessions: int = SESSIONS,
        too_large: Callable[[Request, int], Response] = too_large_response,
        receiver: Callable[[Request, int], Receiver | None] = _no_receiver,
    ) -> None:
        self._handler = handler
        self._host = host
        self._wanted_port = port
        self._body_octets = body_octets if callable(body_octets) else lambda _: body_octets
        self._sessions = sessions
        self._too_large = too_large
        self._receiver = receiver
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], bool] = {}
        self.port = port

    async def start(self) -> None:
        """
        Open the port; 0 takes any free one, which `port` then tells.

        Raises:
            OSError: It can't be opened.
        """
        self._server = await asyncio.start_server(self._serve, self._host, self._wanted_port, limit=HEADER_OCTETS)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self, grace_s: float = 5.0) -> None:
        """Close the port, let requests that are being answered finish, then close their connections."""
        if self._server is None:
            return
        self._server.close()
        for task, busy in list(self._connections.items()):
            if not busy:
                task.cancel()
        if self._connections:
            _, late = await asyncio.wait(list(self._connections), timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine runs in a task)
        is_too_many = len(self._connections) >= self._sessions
        self._connections[task] = False
        try:
            if is_too_many:
                await _write(writer, try_later_response(), keep=False, head_only=False)
                return
            while await self._exchange(task, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass  # the client is gone or idle, or we stop
        finally:
            self._connections.pop(task, None)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request. Returns whether the connection stays open."""
        try:
            async with asyncio.timeout(IDLE_S):
                head = await _read_head(reader)
            if not head:
                return False
            self._connections[task] = True
            method, target, version, headers = _parse_head(head)
            limit = self._body_octets(target)
            peer = writer.get_extra_info("peername")
            request = Request(method, target, version, headers, b"", peer[0] if peer else "127.0.0.1")
            octets = await _begin_body(writer, version, headers, limit)
            receiver = self._receiver_of(request, octets)
            if receiver is None:
                request = replace(request, body=await _read_body(reader, octets, limit))
        except (_Refused, _TooLarge) as exc:
            refusal = exc.response if isinstance(exc, _Refused) else self._too_large(request, limit)
            await _write(writer, refusal, keep=False, head_only=False)
            await _linger(reader)
            return False
        options = {option.strip().lower() for option in request.header("connection").split(",")}
        keep = "close" not in options and (version == "HTTP/1.1" or "keep-alive" in options)
        response = await (self._handler(request) if receiver is None else _receive(reader, receiver, octets))
        keep = keep and self._server is not None and self._server.is_serving()
        await _write(writer, response, keep=keep, head_only=method == "HEAD")
        self._connections[task] = False
        return keep

    def _receiver_of(self, request: Request, octets: int) -> Receiver | None:
        receiver = self._receiver(request, octets) if octets else None
        if receiver is not None and octets == _CHUNKED:
            receiver.close()
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "Length Required")  # as S3 says it
        return receiver


_CHUNKED: Final = -1


async def _begin_body(
    writer: asyncio.StreamWriter, version: str, headers: tuple[tuple[str, str], ...], limit: int
) -> int:
    """Give the length of the body that comes now, or _CHUNKED."""
    lengths = {value.strip() for name, value in headers if name.lower() == "content-length"}
    codings = [value.strip().lower() for name, value in headers if name.lower() == "transfer-encoding"]
    expects = any(name.lower() == "expect" and value.strip().lower() == "100-continue" for name, value in headers)
    if (codings and (lengths or codings != ["chunked"])) or len(lengths) > 1:
        raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
    octets = 0
    if lengths:
        (text,) = lengths
        if not (text.isascii() and text.isdigit()):
            raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
        octets = int(text.lstrip("0")[:12] or "0")  # zeros in front mean nothing, and a cut number another end
        if octets > limit:
            raise _TooLarge
    if expects and version == "HTTP/1.1" and (octets or codings):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    return _CHUNKED if codings else octets


async def _read_body(reader: asyncio.StreamReader, octets: int, limit: int) -> bytes:
    if octets == _CHUNKED:
        return await _read_chunks(reader, limit)
    return await reader.readexactly(octets) if octets else b""


async def _receive(reader: asyncio.StreamReader, receiver: Receiver, octets: int) -> Response:
    try:
        while octets:
            piece = await reader.read(min(octets, _PIECE_OCTETS))
            if not piece:
                raise asyncio.IncompleteReadError(b"", octets)
            octets -= len(piece)
            receiver.write(piece)
        return receiver.end()
    finally:
        receiver.close()


async def _linger(reader: asyncio.StreamReader) -> None:
    """Let a client say what it has to say before the connection goes: many read an answer only then."""
    left = LINGER_OCTETS
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while left > 0 and (octets := await reader.read(1 << 16)):
                left -= len(octets)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as exc:
        if exc.partial.strip():
            raise
        return b""
    except asyncio.LimitOverrunError as exc:
        raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large") from exc


async def _read_chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while True:
        size_text = (await _read_line(reader)).partition(b";")[0].strip()
        if not _HEX.match(size_text):
            raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
        size = int(size_text, 16)
        if len(body) + size > limit:
            raise _TooLarge
        if not size:
            break
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
    while await _read_line(reader):
        pass  # trailers
    return bytes(body)


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.LimitOverrunError as exc:
        raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request") from exc
    if len(line) > _LINE_OCTETS:
        raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
    return line[:-2]


def _parse_head(head: bytes) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
    lines = head.decode("latin-1").strip("\r\n").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"} or not _TOKEN.match(words[0]):  # noqa: PLR2004
        raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.match(name):
            raise _Refused(HTTPStatus.BAD_REQUEST, "Bad Request")
        headers.append((name, value.strip(" \t")))
    return words[0], words[1], words[2], tuple(headers)


async def _write(writer: asyncio.StreamWriter, response: Response, *, keep: bool, head_only: bool) -> None:
    try:
        reason = HTTPStatus(response.status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    has_body = response.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if has_body:
        lines.append(f"content-length: {len(response.body)}")
    lines += [f"date: {formatdate(usegmt=True)}", f"connection: {'keep-alive' if keep else 'close'}", "", ""]
    head = "\r\n".join(lines).encode("latin-1", "replace")
    writer.write(head if head_only or not has_body else head + response.body)
    await writer.drain()
