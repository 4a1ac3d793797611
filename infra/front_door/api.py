"""
The native API as the front door speaks it: asynchronous, kept-alive connections, one submission one key.

A lost answer is asked for again under the same idempotency key, so a repeat is the same message. An answer that can't
be read is as good as lost, and so is the API's own word that it failed: some of the message may be on its road. Every
way that the API can fail ends in a reply that is true: permanent only when the API itself said so.

Next on a message's path: api/native.py, behind POST /v1/messages.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import ssl
import time
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from infra.front_door import replies
from paravion.domain import http1, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from infra.front_door.settings import FrontDoorSettings

PART_OCTETS: Final = 2 << 20
"""Larger messages are put in parts: of 20 at once all that is held has its place in 256 MB, base64 included."""

_PARTS: Final = 90
"""The API takes 100 of one message."""

RETRY_WAITS_S: Final = (0.1, 1.0)
_CONNECT_TIMEOUT_S: Final = 10.0
LIMITS_TIMEOUT_S: Final = 5.0
"""A client may wait for its answer meanwhile."""

_IDLE_S: Final = 15.0
"""Below the idle time-outs of servers and gateways, so that a kept connection is seldom dead."""

_UNREADABLE: Final = "the API's answer can't be read"
_TRANSIENT: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
AUTH_KEYS: Final = tuple(
    row.key for row in (status.AUTH_REQUIRED, status.AUTH_INVALID, status.SIGNATURE_INVALID, status.REQUEST_EXPIRED)
)


T = TypeVar("T")


class Away(Exception):
    """No answer was had."""


@dataclass(frozen=True)
class Answer:
    """
    What a submission came to.

    Attributes:
        reply: The whole reply line; "" to go without one, where nobody can say what becomes of the message.
        queue_id: "" unless accepted.
        refused_credential: The API did not take the credential.
        too_many_recipients: It takes fewer in one message.
    """

    reply: str
    queue_id: str = ""
    refused_credential: bool = False
    too_many_recipients: bool = False


class Limits(NamedTuple):
    """What the API takes of one message."""

    max_message_octets: int
    max_recipients_count: int


class MessageApi(Protocol):
    """
    What a door asks of the API, over HTTP or not.

    Attributes:
        part_octets: A content of so much is put in parts of about that; 0: it is taken as a whole only.
        submit_timeout_s: Of a submission, its last parts included; None: `submit` sees to that itself.
    """

    part_octets: int
    submit_timeout_s: float | None

    async def close(self) -> None:
        """Let go of what is open."""
        ...

    async def knows(self, authorization: str) -> bool:
        """
        Ask whether a credential is good.

        Args:
            authorization: Value of the Authorization field.

        Raises:
            Away: It can't be said now.
        """
        ...

    async def put_part(self, authorization: str, part: bytes) -> str | Answer:
        """Put a part of a large message; gives the upload's id or the reply; never raises but for cancellation."""
        ...

    async def limits(self) -> Limits | None:
        """Ask what is taken; None: that can't be said now, or whoever opens the door knows it. Never raises."""
        ...

    def forget(self, upload_ids: Sequence[str]) -> None:
        """Hear that the message of these parts does not come. Best effort: what stays vanishes after a day."""
        ...

    async def submit(
        self, authorization: str, fields: Mapping[str, Any], content: bytes | Sequence[str], key: str
    ) -> Answer:
        """
        Hand a message in and give the reply for the client; never raises but for cancellation.

        Args:
            authorization: Value of the Authorization field.
            fields: The request of POST /v1/messages without its content.
            content: The message, or the ids of the uploads that are its parts.
            key: Idempotency key, new for each transaction.
        """
        ...


class Api:
    """
    MessageApi over HTTP: a pool of connections to one API; lives in one event loop.

    Args:
        settings: Of the front door.
    """

    def __init__(self, settings: FrontDoorSettings) -> None:
        self._target = http1.Target(settings.api_url.rstrip("/"))
        self._settings = settings
        self._places = asyncio.Semaphore(settings.max_api_connections_count)
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = deque()
        self.part_octets = max(PART_OCTETS, settings.max_message_octets // _PARTS)
        self.submit_timeout_s: float | None = settings.submit_timeout_s
        self._ssl: ssl.SSLContext | None = None
        self._closed = False

    async def close(self) -> None:
        """Drop the kept connections."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()
        await asyncio.sleep(0)  # the transports close in the loop's next round

    async def knows(self, authorization: str) -> bool:
        """See MessageApi."""
        headers = {"Authorization": authorization}
        response = await self._repeat("GET", "/v1/credentials/self", headers, b"")
        if response.status == HTTPStatus.OK:
            return True
        if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} and _error(response) is not None:
            return False
        # A 4xx that is not of our API's form is a gateway's or a wrong URL: nothing about the credential.
        raise Away(f"HTTP {response.status}")

    async def limits(self) -> Limits | None:
        """See MessageApi."""
        try:
            async with asyncio.timeout(LIMITS_TIMEOUT_S):
                # By a connection of its own: there may be none for minutes.
                response = await self._attempt("GET", f"{self._target.path}/v1/health", {}, b"", self._target)
        except (OSError, http1.BadResponse):  # TimeoutError is an OSError
            return None
        fields = _fields(response) if _is_success(response) else {}
        octets, recipients = fields.get("max_message_octets"), fields.get("max_recipients_count")
        if type(octets) is not int or type(recipients) is not int or octets < 1 or recipients < 1:
            return None
        return Limits(octets, recipients)

    async def put_part(self, authorization: str, part: bytes) -> str | Answer:
        """See MessageApi."""
        return await self._in_time(self._upload(_headers(authorization), part))

    def forget(self, upload_ids: Sequence[str]) -> None:
        """See MessageApi: the API has no way to take an upload back."""

    async def submit(
        self, authorization: str, fields: Mapping[str, Any], content: bytes | Sequence[str], key: str
    ) -> Answer:
        """See MessageApi."""
        return await self._in_time(self._submit(authorization, fields, content, key))

    async def _in_time(self, work: Awaitable[T]) -> T | Answer:
        try:
            async with asyncio.timeout(self._settings.submit_timeout_s):
                return await work
        except Away as exc:
            return Answer(replies.of_status(status.NO_ANSWER, str(exc)))
        except TimeoutError:
            return Answer(replies.of_status(status.NO_ANSWER, "the API takes too long"))

    async def _submit(
        self, authorization: str, fields: Mapping[str, Any], content: bytes | Sequence[str], key: str
    ) -> Answer:
        headers = _headers(authorization)
        if not isinstance(content, bytes):
            body = json.dumps({**fields, "upload_ids": list(content)}).encode()
        else:
            head = json.dumps(fields, separators=(",", ":")).encode()
            body = b"".join((head[:-1], b',"content":"', binascii.b2a_base64(content, newline=False), b'"}'))
        headers = {**headers, "Idempotency-Key": key}
        response = await self._repeat("POST", "/v1/messages", headers, body, names="queue_id")
        if not _is_success(response):
            return _refusal(response)
        queue_id = _named(response, "queue_id")
        return Answer(replies.of_status(status.QUEUED) + f" {queue_id}", queue_id)

    async def _upload(self, headers: Mapping[str, str], content: bytes) -> str | Answer:
        """Put a large message where the API says; gives the upload's id, or what went wrong."""
        body = json.dumps({"octets": len(content)}).encode()
        response = await self._repeat("POST", "/v1/uploads", headers, body, names="upload_id")
        if not _is_success(response):
            return _refusal(response)
        ticket = _fields(response)
        try:
            target = http1.Target(ticket["url"])
            upload_headers = {str(name): str(value) for name, value in ticket["headers"].items()}
            method, upload_id = str(ticket["method"]), _named(response, "upload_id")
        except (KeyError, ValueError, AttributeError, TypeError) as exc:
            raise Away(_UNREADABLE) from exc
        uploaded = await self._repeat(method, target.path or "/", upload_headers, content, target)
        if not _is_success(uploaded):
            raise Away(f"the upload was refused with HTTP {uploaded.status}")
        return upload_id

    async def _repeat(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        target: http1.Target | None = None,
        *,
        names: str = "",
    ) -> http1.ResponseParser:
        """Try until an answer comes, with the same octets each time; one that is good must name what `names` says."""
        for wait in (*RETRY_WAITS_S, None):
            response = None
            try:
                response = await self._attempt(method, path, headers, body, target)
            except TimeoutError:
                fault = "no answer in time"
            except (OSError, http1.BadResponse):
                fault = "no answer"
            else:
                fault = _fault(response, names)
                if not fault:
                    return response
            if wait is not None:
                await asyncio.sleep(wait)
        if response is not None and _error(response) is not None:
            return response
        raise Away(fault)

    async def _attempt(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, target: http1.Target | None
    ) -> http1.ResponseParser:
        to = target or self._target
        head = http1.encode_request(
            method, path if target else self._target.path + path, {"Host": to.netloc, **headers}, len(body)
        )
        async with self._places, asyncio.timeout(self._settings.api_timeout_s):
            while target is None and (kept := self._kept()) is not None:
                try:
                    return await self._exchange(*kept, head, body, keep=True)
                except (ConnectionError, http1.BadResponse):
                    # The server may have closed it meanwhile; the key makes the repeat harmless.
                    continue
            context = self._context() if to.secure else None
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                opened = await asyncio.open_connection(to.host, to.port, ssl=context)
            return await self._exchange(*opened, head, body, keep=target is None)

    def _context(self) -> ssl.SSLContext:
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
        return self._ssl

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if time.monotonic() - since < _IDLE_S and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: bytes, *, keep: bool
    ) -> http1.ResponseParser:
        done = False
        parser = http1.ResponseParser()
        try:
            writer.write(head + body if len(body) < 1 << 16 else head)
            if len(body) >= 1 << 16:
                writer.write(body)
            await writer.drain()
            while not done:
                octets = await reader.read(1 << 16)
                if not octets:
                    parser.end()
                    break
                done = parser.feed(octets)
        finally:
            if done and keep and parser.keep_alive and not self._closed:
                self._idle.append((reader, writer, time.monotonic()))
            else:
                writer.close()
        return parser


def _headers(authorization: str) -> dict[str, str]:
    return {"Authorization": authorization, "Content-Type": "application/json"}


def _is_success(response: http1.ResponseParser) -> bool:
    return HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES


def _fields(response: http1.ResponseParser) -> dict[str, Any]:
    try:
        fields = json.loads(response.body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _error(response: http1.ResponseParser) -> tuple[str, int, str, str] | None:
    """Key, reply code, enhanced status and text of an error of our API's form, else None."""
    error = _fields(response).get("error")
    if not isinstance(error, dict):
        return None
    key, code, enhanced = error.get("key"), error.get("smtp"), error.get("status")
    if not (isinstance(key, str) and isinstance(code, int) and isinstance(enhanced, str)):
        return None
    digit, _, detail = enhanced.partition(".")
    if digit != str(code // 100) or digit not in {"4", "5"} or not detail.replace(".", "").isdecimal():
        return None
    message, more = str(error.get("message") or ""), str(error.get("detail") or "")
    return key, code, detail, f"{message}: {more}" if more else message


def _named(response: http1.ResponseParser, name: str) -> str:
    """Give an id that an answer names, or ""."""
    value = _fields(response).get(name)
    return value if isinstance(value, str) and value.isascii() and value.isalnum() else ""


def _fault(response: http1.ResponseParser, names: str) -> str:
    """
    Say why an answer is no answer yet, or "".

    A 5xx in our API's form is its word that it failed, perhaps half-way; without that form it is a gateway's that *it*
    got no answer. That it takes no mail now (421) is an answer.
    """
    if _is_success(response):
        return _UNREADABLE if names and not _named(response, names) else ""
    error = _error(response)
    is_final = response.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return "" if is_final or (error is not None and error[1] == status.SYSTEM_BUSY.smtp) else f"HTTP {response.status}"


def _refusal(response: http1.ResponseParser) -> Answer:
    """Turn an answer that is no 2xx into a reply; what we do not understand is transient."""
    error = _error(response)
    is_client_fault = HTTPStatus.BAD_REQUEST <= response.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if error is not None:
        key, code, detail, text = error
        permanent = str(code).startswith("5")
        if permanent == (is_client_fault and response.status not in _TRANSIENT):
            too_many = key == status.TOO_MANY_RECIPIENTS.key
            return Answer(replies.reply(code, detail, text), "", key in AUTH_KEYS, too_many)
    if response.status == status.RATE_LIMITED.http:
        return Answer(replies.of_status(status.RATE_LIMITED))
    return Answer(replies.of_status(status.INTERNAL, f"HTTP {response.status} from the API"))
