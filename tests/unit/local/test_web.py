"""The HTTP/1.1 server over raw sockets."""

import asyncio
import json

import pytest

from infra.local.events import Request, Response
from infra.local.web import WebServer


async def echo(request: Request) -> Response:
    """Answer with what was asked."""
    facts = {"method": request.method, "target": request.target, "body": request.body.decode("latin-1")}
    return Response(200, (("content-type", "application/json"),), json.dumps(facts).encode())


def talk(*parts: bytes, body_octets: int = 1000) -> bytes:
    """Send the parts one after the other and give all that comes back until the server closes or 0.2 s pass."""

    async def run() -> bytes:
        server = WebServer(echo, "127.0.0.1", 0, body_octets=body_octets)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.write_eof()
        found = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
        await server.stop(1)
        return found

    return asyncio.run(run())


GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"


def test_connection_is_kept() -> None:
    """Two requests on one connection get two answers, in order; the second asks to close."""
    found = talk(GET, b"GET /two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (2, 1, 1) == (found.count(b"HTTP/1.1 200 OK"), found.count(b"keep-alive"), found.count(b"connection: close"))
    assert found.index(b"/a?b") < found.index(b"/two")


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0000000000000003\r\n\r\nabc", "abc"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: r\r\n\r\n", "abc"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    ],
    ids=["length", "zeros in front", "chunked", "no chunks"],
)
def test_bodies(request_, body) -> None:
    """Both framings of RFC 9112 6 give the same body."""
    assert body == json.loads(talk(request_).rpartition(b"\r\n\r\n")[2])["body"]


def test_100_continue() -> None:
    """A client that waits for leave to send its body gets it (RFC 9110 10.1.1)."""
    found = talk(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", b"x")
    assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


def test_head_has_no_body() -> None:
    """HEAD tells the length and sends nothing."""
    found = talk(b"HEAD / HTTP/1.1\r\n\r\n")
    assert found.endswith(b"\r\n\r\n")
    assert b"content-length: 45" in found


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nBad header: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: x\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000000000000\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 11_000 + b"\r\n\r\n", 431),
    ],
)
def test_refused(request_, status) -> None:
    """Doubtful framing and too much of anything is refused, and the connection ends."""
    found = talk(request_)
    assert found.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in found
