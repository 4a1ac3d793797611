"""
The native API as the commands speak it: blocking, one connection for each call, few imports.

A lost answer says nothing about the message, so a submission is sent again under the same
idempotency key until an answer comes or the time is up. Whatever the API answers is final here.

Next on a message's path: api/native.py, behind POST /v1/messages.
"""

from __future__ import annotations

import os
import time

from paravion.cli import quick_json
from paravion.domain import http1

try:
    # The socket module makes enumerations of all that the system knows, which takes longer than a short exchange.
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

TYPE_CHECKING = False  # as in http1.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from paravion.cli.config import Config

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78
"""Of sysexits.h; as literals because os.EX_* is Unix-only. What a refusal exits with stands in domain/status.py."""

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 40.0
"""Above API Gateway's 30 s, so that its own 503 or 504 is seen before we give up."""
GIVE_UP_AFTER_S = 60.0
"""No new attempt starts later than this; a script that waits for sendmail waits for at most about 100 s."""
RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0)
_MUCH_TO_DIGEST_OCTETS = 1 << 20
LONGEST_OCTETS = 64 << 20
"""Above every service's limit, which is for it to tell: here it is about input that has no end."""
INLINE_OCTETS = 3_500_000
"""Larger messages are uploaded first: base64 and JSON of more than this pass Lambda's 6 MB."""


class ApiAway(Exception):
    """No answer was had. Exit 75."""


class ApiError(Exception):
    """
    The API refused.

    Attributes:
        http: Status code.
        key: Of the taxonomy, "" if the answer is not of our form.
        text: One line for people.
    """

    def __init__(self, http: int, key: str, text: str) -> None:
        super().__init__(text)
        self.http = http
        self.key = key
        self.text = text

    @property
    def is_of_credential(self) -> bool:
        """The credential or the clock is refused, not the message: what is kept may be sent once that is mended."""
        return self.key in {"auth_required", "auth_invalid", "signature_invalid", "request_expired"} or (
            not self.key and self.http in {401, 403}
        )

    @property
    def exit(self) -> int:
        """
        The sysexits code: 75 whenever the same call may succeed later, else as the taxonomy says.

        A fault of the API's own (`internal`, `misconfigured`) is transient for its clients as well.
        """
        kind = str(self.http)[0]
        from paravion.domain import status

        row = status.STATUSES.get(self.key)
        if kind == "5" or self.http == status.RATE_LIMITED.http:
            return EX_TEMPFAIL
        if row is not None:
            return row.exit
        if self.http in {status.AUTH_REQUIRED.http, status.AUTH_INVALID.http}:
            return EX_NOPERM
        return EX_UNAVAILABLE


class Answer:
    """A 2xx: `fields` is its JSON."""

    __slots__ = ("fields", "http")

    def __init__(self, http: int, fields: dict[str, Any]) -> None:
        self.http = http
        self.fields = fields


class Client:
    """
    The API under one credential.

    Args:
        sleep, clock: Of the time module; tests pass their own.
        answer_timeout_s: Longest silence of the API within one attempt.
        retry_waits_s: Between attempts while no answer comes; None for RETRY_WAITS_S.
    """

    def __init__(
        self,
        config: Config,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        retry_waits_s: tuple[float, ...] | None = None,
    ) -> None:
        self._config = config
        self._retry_waits_s = RETRY_WAITS_S if retry_waits_s is None else retry_waits_s
        self._answer_timeout_s = answer_timeout_s
        try:
            self._target = http1.Target(config.api)
        except ValueError as exc:
            from paravion.cli.config import BadConfig

            raise BadConfig(f"PARAVION_ENDPOINT: {exc}") from exc
        self._sleep = sleep
        self._clock = clock

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """
        Read something.

        Raises:
            ApiAway, ApiError
        """
        return self._persist("GET", path, b"", {}, query or {}).fields

    def put(
        self, path: str, query: Mapping[str, str] | None = None, body: bytes = b"", content_type: str = ""
    ) -> dict[str, Any]:
        """
        Make something that is the same when made twice; what is too large for a request is uploaded first.

        Raises:
            ApiAway, ApiError
        """
        deadline = self._clock() + GIVE_UP_AFTER_S
        query = query or {}
        if len(body) > INLINE_OCTETS:
            query = {**query, "upload_id": self._upload(body, deadline)}
            body = b""
        headers = {"Content-Type": content_type} if content_type else {}
        return self._persist("PUT", path, body, headers, query, deadline).fields

    def post(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Do something; a lost answer is asked for again, so it is done twice then. Raises ApiAway, ApiError."""
        headers = {"Content-Type": "application/json"}
        return self._persist("POST", path, quick_json.dumps(fields), headers, {}).fields

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Remove something. Raises ApiAway, ApiError."""
        return self._persist("DELETE", path, b"", {}, query or {}).fields

    def submit(self, fields: dict[str, Any], content: bytes | bytearray, idempotency_key: str) -> dict[str, Any]:
        """
        Hand a message in; returns only after the API's 2xx, which it gives only after the commit.

        Args:
            fields: The request of POST /v1/messages without its content.
            content: The message's octets.
            idempotency_key: 1 to 128 printable ASCII characters, new for each message.

        Returns:
            The answer, `queue_id` at least.

        Raises:
            ApiAway, ApiError
        """
        deadline = self._clock() + GIVE_UP_AFTER_S
        if len(content) > INLINE_OCTETS:
            body = quick_json.dumps({**fields, "upload_id": self._upload(content, deadline)})
        else:
            body = encode_submission(fields, content)
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        answer = self._persist("POST", "/v1/messages", body, headers, {}, deadline)
        if not isinstance(answer.fields.get("queue_id"), str):
            raise ApiAway(f"{self._config.api} answered without a queue id")
        return answer.fields

    def _upload(self, content: bytes | bytearray, deadline: float) -> str:
        body = quick_json.dumps({"octets": len(content)})
        ticket = self._persist("POST", "/v1/uploads", body, {"Content-Type": "application/json"}, {}, deadline).fields
        try:
            target = http1.Target(ticket["url"])
            headers = {str(name): str(value) for name, value in ticket["headers"].items()}
            method, upload_id = str(ticket["method"]), str(ticket["upload_id"])
        except (KeyError, ValueError, AttributeError, TypeError) as exc:
            raise ApiAway(f"{self._config.api} answered with an upload that cannot be used: {exc}") from exc
        response = self._repeat(
            lambda: exchange(target, method, target.path or "/", headers, content, self._answer_timeout_s),
            deadline,
            "the upload",
        )
        if response.status // 100 != 2:  # noqa: PLR2004 (2xx)
            # The store's word about a ticket that the API gave: nothing that the caller did.
            raise ApiAway(f"the upload was refused with HTTP {response.status}")
        return upload_id

    def _persist(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        deadline: float | None = None,
    ) -> Answer:
        if deadline is None:
            deadline = self._clock() + GIVE_UP_AFTER_S

        def attempt() -> http1.ResponseParser:
            pairs = "&".join(f"{http1.quote(name)}={http1.quote(value)}" for name, value in sorted(query.items()))
            full = self._target.path + path
            signed = self._signed(method, full, pairs, headers, body)
            wire_path = f"{full}?{pairs}" if pairs else full
            return exchange(self._target, method, wire_path, signed, body, self._answer_timeout_s)

        response = self._repeat(attempt, deadline, self._config.api)
        if response.status // 100 != 2:  # noqa: PLR2004 (2xx)
            raise _error(response, self._config.api)
        try:
            fields = quick_json.loads(response.body or b"{}")
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise ApiAway(f"{self._config.api} answered with something that is not JSON")
        return Answer(response.status, fields)

    def _repeat(self, attempt: Callable[[], http1.ResponseParser], deadline: float, what: str) -> http1.ResponseParser:
        waits = iter(self._retry_waits_s)
        while True:
            try:
                response = attempt()
            except (OSError, http1.BadResponse) as exc:
                fault = f"{what}: {_reason(exc)}"
            else:
                if not _is_lost(response):
                    return response
                fault = f"{what}: HTTP {response.status}"
            wait = next(waits, None)
            if wait is None or self._clock() + wait >= deadline:
                raise ApiAway(fault)
            self._sleep(wait)

    def _signed(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        from paravion.domain import sigv4_signing

        host = self._target.netloc
        config = self._config
        signature = sigv4_signing.sign(
            method, path, query, {"host": host}, body,
            access_key=config.access_key, secret_key=config.secret_key, region=config.region,
            signed_at=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), sha256=_sha256(body),
        )  # fmt: skip
        return {"Host": host, "Connection": "close", **headers, **signature}


def _is_lost(response: http1.ResponseParser) -> bool:
    """A 5xx without our API's error form is a gateway's word that *it* got no answer: as good as none."""
    return str(response.status).startswith("5") and b'"error"' not in response.body


def new_idempotency_key(door: str) -> str:
    """Give a key that no other submission has."""
    return f"{door}-{os.urandom(16).hex()}"


def encode_submission(fields: Mapping[str, Any], content: bytes | bytearray) -> bytes:
    """Give the JSON body of POST /v1/messages; the content goes in as it is, without a JSON encoder's scan."""
    import binascii

    head = quick_json.dumps(dict(fields))
    separator = b"," if fields else b""
    return b"".join((head[:-1], separator, b'"content":"', binascii.b2a_base64(content, newline=False), b'"}'))


def exchange(
    target: http1.Target, method: str, path: str, headers: Mapping[str, str], body: bytes | bytearray, timeout_s: float
) -> http1.ResponseParser:
    """
    Send one request over its own connection and read the response.

    Raises:
        OSError: The connection failed or the peer was silent for longer than `timeout_s`.
        http1.BadResponse
    """
    head = http1.encode_request(method, path, {"Host": target.netloc, **headers}, len(body))
    if target.secure:
        from paravion.cli import tls

        connection = tls.secure(lambda: _connect(target.host, target.port, timeout_s), target.host, timeout_s)
    else:
        connection = _connect(target.host, target.port, timeout_s)
    try:
        if len(body) > INLINE_OCTETS:
            connection.sendall(head)  # rather than copy what is large
            head = b""
        connection.sendall(head + body if head else body)
        parser = http1.ResponseParser(bodiless=method == "HEAD")
        while True:
            octets = connection.recv(1 << 16)
            if not octets:
                parser.end()
                return parser
            if parser.feed(octets):
                return parser
    finally:
        connection.close()


def _connect(host: str, port: int, timeout_s: float) -> Any:
    """Connect to the first of a host's addresses that answers; each step of it takes `timeout_s`. Raises OSError."""
    fault = OSError(f"{host} has no address")
    # As octets, for a text would be taken through the codec of international names, whose import is dear.
    name = host.encode("ascii")
    for family, kind, protocol, _, address in _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(address)
        except OSError as exc:
            connection.close()
            fault = exc
        else:
            connection.settimeout(timeout_s)
            # One segment for a small request: without this the second write waits for the peer's delayed ACK.
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return connection
    raise fault


def _sha256(body: bytes) -> Callable[[bytes], Any]:
    """Give Python's own digest, which needs no OpenSSL; for much to digest OpenSSL's, which is faster."""
    if len(body) < _MUCH_TO_DIGEST_OCTETS:
        try:
            from _sha2 import sha256  # type: ignore[import-not-found]  # of Python 3.12 and later
        except ImportError:
            try:
                from _sha256 import sha256  # type: ignore[import-not-found]  # of those before
            except ImportError:
                pass
            else:
                return sha256  # type: ignore[no-any-return]
        else:
            return sha256  # type: ignore[no-any-return]
    import hashlib

    return hashlib.sha256


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


def _error(response: http1.ResponseParser, what: str) -> ApiError:
    try:
        error = quick_json.loads(response.body)["error"]
        key, message, detail = str(error["key"]), str(error["message"]), str(error.get("detail") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError(response.status, "", f"{what}: HTTP {response.status}")
    return ApiError(response.status, key, f"{message}: {detail}" if detail else message)
