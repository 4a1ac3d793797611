"""
HTTP/1.1 as a client needs it: a request's octets out, a response's octets in, no I/O of its own.

The commands read it from a socket, the SMTP front door and webhooks from an asyncio stream. It exists because
`http.client` imports the email package, which alone takes longer than everything else that `sendmail`
does, and blocks. No redirects, no compression, no trailers kept.

RFC: 9112 (message syntax), 9110 15.2 (interim responses), 7617 (Basic).
"""

from __future__ import annotations

import binascii

TYPE_CHECKING = False  # not from typing, whose import every call of sendmail would pay for
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD_OCTETS = 1 << 16
MAX_BODY_OCTETS = 1 << 24
_CRLF = b"\r\n"
_HTTP_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class BadResponse(Exception):
    """The peer's octets are no HTTP response, or it is cut, or larger than we read."""


class Target:
    """
    Where a URL points.

    Attributes:
        secure: https.
        host: Name or address without brackets.
        netloc: For the Host field: the port stands in it unless it is the scheme's own.
        path: With the query, begins with a slash; without a trailing one if it is a base URL.
    """

    __slots__ = ("host", "netloc", "path", "port", "secure")

    def __init__(self, url: str) -> None:
        """
        Take a URL apart.

        Raises:
            ValueError: Not http(s)://host[:port][/path], or it holds blanks or control characters.
        """
        scheme, colon, rest = url.partition("://")
        if not colon or scheme.lower() not in _HTTP_PORTS or not url.isascii() or any(c <= " " for c in url):
            raise ValueError(f"{url!r} is not an http or https URL")
        authority, slash, path = rest.partition("/")
        if "@" in authority or "?" in authority or "#" in url:
            raise ValueError(f"{url!r} must be scheme://host[:port][/path]")
        host, colon, port = authority.rpartition(":")
        if not colon or authority.endswith("]"):
            host, port = authority, str(_HTTP_PORTS[scheme.lower()])
        if not host or not port.isdecimal() or int(port) > 0xFFFF:  # noqa: PLR2004 (16 bits)
            raise ValueError(f"{url!r} has no host or a bad port")
        self.secure = scheme.lower() == "https"
        self.host = host.strip("[]")
        self.port = int(port)
        self.netloc = host if self.port == _HTTP_PORTS[scheme.lower()] else f"{host}:{port}"
        self.path = slash + path


def quote(text: str) -> str:
    """Percent-encode everything but unreserved characters (RFC 3986 2.3), which is what SigV4 signs as well."""
    return "".join(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in text.encode())


def basic(user: str | bytes, password: str | bytes) -> str:
    """Give the Authorization field's value for HTTP Basic (RFC 7617 2); the user must hold no colon."""
    octets = b":".join(part.encode() if isinstance(part, str) else part for part in (user, password))
    return "Basic " + binascii.b2a_base64(octets, newline=False).decode()


def encode_request(method: str, path: str, headers: Mapping[str, str], body_octets: int) -> bytes:
    """
    Give a request's head; the body follows as it is.

    Args:
        method: GET, POST, PUT.
        path: As it goes on the wire, encoded already.
        headers: A Content-Length among them gives way to our own.
        body_octets: Length of the body; a request without one carries `Content-Length: 0`.

    Raises:
        ValueError: A line end or another control character in a field: never sent.
    """
    fields = (f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length")
    lines = [f"{method} {path} HTTP/1.1", *fields]
    lines.append(f"Content-Length: {body_octets}")
    for line in lines:
        if not line.isprintable() or not line.isascii():
            raise ValueError(f"field that cannot be sent: {line!r}")
    return "\r\n".join((*lines, "", "")).encode("ascii")


class ResponseParser:
    """
    One response, octet by octet: `feed` until it says True, or `end` when the peer closes.

    Attributes:
        status: The status code, 0 until the head is in.
        headers: By lower-case name; of repeated fields the last.
        body: Complete once `feed` or `end` has said so.
        keep_alive: The connection may carry another request.
    """

    def __init__(self, *, bodiless: bool = False) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.keep_alive = False
        self._bodiless = bodiless
        self._buffer = bytearray()
        self._parts = bytearray()
        self._left = -1
        self._framing = "head"

    def feed(self, octets: bytes) -> bool:
        """
        Take what came; True once the response is complete.

        Raises:
            BadResponse
        """
        self._buffer += octets
        while True:
            if self._framing == "head":
                if not self._take_head():
                    return False
            elif self._framing == "length":
                if len(self._buffer) < self._left:
                    return False
                return self._finish(bytes(self._buffer[: self._left]), rest=len(self._buffer) - self._left)
            elif self._framing == "chunked":
                done = self._take_chunk()
                if done is not None:
                    return done
            else:
                _bound(len(self._buffer), MAX_BODY_OCTETS)
                return False

    def end(self) -> None:
        """
        The peer closed: fine for a body without a length, else the response is cut.

        Raises:
            BadResponse
        """
        if self._framing != "close":
            raise BadResponse("the answer is cut")
        self._finish(bytes(self._buffer), rest=0)
        self.keep_alive = False

    def _finish(self, body: bytes, *, rest: int) -> bool:
        self.body = body
        # Octets after a response that nobody asked for: the connection can't be trusted any further.
        self.keep_alive = self.keep_alive and not rest
        return True

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            _bound(len(self._buffer), MAX_HEAD_OCTETS)
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(" ")
        code = rest[:3]
        if version not in {"HTTP/1.1", "HTTP/1.0"} or not (len(code) == 3 and code.isdecimal()):  # noqa: PLR2004
            raise BadResponse(f"not an HTTP status line: {lines[0][:80]!r}")
        if code[0] == "1":  # an interim response; the real one follows
            return True
        self.status = int(code)
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadResponse(f"bad field line: {line[:80]!r}")
            self.headers[name.lower()] = value.strip()
        connection = self.headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        self._set_framing(bodiless=self._bodiless or code in {"204", "304"})
        return True

    def _set_framing(self, *, bodiless: bool) -> None:
        coding = self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        if bodiless:
            self._framing, self._left = "length", 0
        elif coding:
            if coding != "chunked":
                raise BadResponse(f"unknown transfer coding {coding[:80]!r}")
            self._framing = "chunked"
        elif length is not None:
            if not length.isdecimal() or not length.isascii():
                raise BadResponse(f"bad Content-Length {length[:80]!r}")
            _bound(int(length), MAX_BODY_OCTETS)
            self._framing, self._left = "length", int(length)
        else:
            self._framing = "close"

    def _take_chunk(self) -> bool | None:
        """Take one chunk; None: go on, False: more octets are needed, True: that was the last."""
        end = self._buffer.find(_CRLF)
        if end < 0:
            _bound(len(self._buffer), MAX_HEAD_OCTETS)
            return False
        if self._left == 0:  # trailer lines, then an empty one
            del self._buffer[: end + 2]
            return None if end else self._finish(bytes(self._parts), rest=len(self._buffer))
        size_text = self._buffer[:end].split(b";", 1)[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError:
            raise BadResponse(f"bad chunk size {bytes(size_text[:20])!r}") from None
        if size < 0:
            raise BadResponse("negative chunk size")
        _bound(len(self._parts) + size, MAX_BODY_OCTETS)
        if size == 0:
            self._left = 0
            del self._buffer[: end + 2]
            return None
        if len(self._buffer) < end + 2 + size + 2:
            return False
        self._parts += self._buffer[end + 2 : end + 2 + size]
        if self._buffer[end + 2 + size : end + 4 + size] != _CRLF:
            raise BadResponse("chunk without its line end")
        del self._buffer[: end + 4 + size]
        return None


def _bound(octets: int, limit: int) -> None:
    if octets > limit:
        raise BadResponse(f"the answer is larger than {limit} octets")
