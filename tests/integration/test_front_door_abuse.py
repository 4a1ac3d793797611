"""infra/front_door over real sockets: load balancers, crowds, guessers, and an API that fails."""

import asyncio
import base64
import contextlib
import http.client
import ipaddress
import json
import smtplib
import socket
import ssl

import pytest

from tests.integration.test_front_door import (
    HELLO,
    LOOPBACK,
    PASSWORD,
    USER,
    Client,
    api,  # noqa: F401 (a fixture)
    at_once,  # noqa: F401 (likewise)
    opened,
    unverified,
)
from tests.unit.cli.fake_api import QUEUE_ID, error

TRUSTED = (ipaddress.ip_network("198.51.100.0/24"),)
V1 = b"PROXY TCP4 198.51.100.7 192.0.2.2 4660 25\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([198, 51, 100, 7, 192, 0, 2, 2]) + b"\x12\x34\x00\x19"


class Behind(Client):
    """A client behind a load balancer."""

    def __init__(self, address, header):
        self.socket = socket.create_connection(address, 10)
        self.socket.sendall(header)
        self.buffer = b""


@pytest.mark.parametrize("header", [V1, V2], ids=["text", "binary"])
def test_proxy_header_names_the_client(api, header):  # noqa: F811
    """Trust, limits and the Received field go by who it speaks for; commands may be pipelined behind it."""
    with (
        opened(api, proxy_networks=LOOPBACK, trusted_networks=TRUSTED) as running,
        Behind(running.door.address, header + b"EHLO c\r\n") as client,
    ):
        assert client.reply().startswith("220 ")
        assert client.reply().startswith("250-")
        assert client.deliver().startswith("250 2.0.0")
    assert api.submissions[0].fields["client"] == "client.example ([198.51.100.7])"


@pytest.mark.parametrize("header", [V1, V2], ids=["text", "binary"])
def test_proxy_header_before_tls(api, header):  # noqa: F811
    """The handshake begins right behind it, in the same packet."""
    with opened(api, proxy_networks=LOOPBACK, trusted_networks=TRUSTED) as running:
        client = Behind(running.door.tls_address, b"")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = unverified().wrap_bio(incoming, outgoing, server_hostname="door.example")
        first = header
        with client:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.send(first + outgoing.read())
                    first = b""
                    incoming.write(client.socket.recv(65536))
            client.send(outgoing.read())
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    assert tls.read(100).startswith(b"220 ")
                    break
                incoming.write(client.socket.recv(65536))


@pytest.mark.parametrize("octets", [b"EHLO c\r\n" * 4, b"PROXY TCP4 a b c d\r\n", b"\x16\x03\x01" + bytes(40)])
def test_a_balancer_without_its_header_is_cut(api, octets):  # noqa: F811
    """Nobody is guessed at."""
    with (
        opened(api, proxy_networks=LOOPBACK) as running,
        Behind(running.door.address, octets) as client,
        contextlib.suppress(ConnectionError),
    ):
        assert client.line() == ""


def test_nobody_else_may_name_a_client(api):  # noqa: F811
    """From elsewhere the header is a bad command, or the client could make itself trusted."""
    with opened(api, proxy_networks=TRUSTED, trusted_networks=TRUSTED) as running, Client(running) as client:
        assert client.say(V1.decode().strip()).startswith("500 5.5.1")
        client.say("EHLO c")
        assert client.say("MAIL FROM:<a@x.example>").startswith("530 ")


def test_guessers_are_throttled_by_address_and_known_credentials_are_not(api):  # noqa: F811
    """454 without asking the API, on whatever connection; what was good a moment ago goes on."""

    def auth(running, password):
        with smtplib.SMTP(*running.door.address, timeout=10) as client:
            client.ehlo("c")
            token = base64.b64encode(f"\0{USER}\0{password}".encode()).decode()
            return client.docmd("AUTH", f"PLAIN {token}")

    with opened(api, trusted_networks=(), auth_cleartext_loopback=True) as running:
        assert 235 == auth(running, PASSWORD)[0]
        assert [535] * 5 == [auth(running, f"guess {n}")[0] for n in range(5)]
        asked = len(api.requests)
        assert [454] * 3 == [auth(running, f"guess {n}")[0] for n in range(5, 8)]
        assert asked == len(api.requests)
        assert 235 == auth(running, PASSWORD)[0]


def test_guesses_at_once_are_no_free_guesses(api):  # noqa: F811
    """However many connections ask together: no more are asked for than fail one after the other."""
    with opened(api, trusted_networks=(), auth_cleartext_loopback=True) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(running)) for _ in range(30)]
        for number, client in enumerate(clients):
            token = base64.b64encode(f"\0{USER}\0guess {number}".encode()).decode()
            client.send(f"EHLO c\r\nAUTH PLAIN {token}\r\n".encode())
        codes = [(client.reply(), client.reply()[:3])[1] for client in clients]
    assert len(api.requests) <= 9
    assert codes.count("535") == len(api.requests)
    assert codes.count("454") == 30 - len(api.requests)


def test_connections_of_one_credential_are_limited(api):  # noqa: F811
    """454 4.7.0, and a place that is left is free again."""
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    limits = {"max_connections_per_credential_count": 2, "auth_cleartext_loopback": True}
    with (
        opened(api, trusted_networks=(), **limits) as running,
        Client(running) as first,
        Client(running) as second,
        Client(running) as third,
    ):
        for client in (first, second, third):
            client.say("EHLO c")
        assert first.say(f"AUTH PLAIN {token}").startswith("235")
        assert second.say(f"AUTH PLAIN {token}").startswith("235")
        assert third.say(f"AUTH PLAIN {token}").startswith("454 4.7.0")
        first.say("QUIT")
        assert first.line() == ""
        assert third.say(f"AUTH PLAIN {token}").startswith("235")


def test_a_client_that_never_reads_costs_bounded_memory(api):  # noqa: F811
    """It is not read either: what it is told stays in the system's buffers and one of asyncio's."""
    flood = b"EHLO c\r\n" + b"X\r\n" * (1 << 20)
    with opened(api, max_errors_count=1 << 30) as running, Client(running) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < len(flood) * 8:
                sent += client.socket.send(flood[:65536])
        (connection,) = running.door._house.connections
        assert connection._transport.get_write_buffer_size() < 1 << 20


def test_a_thousand_idle_connections_cost_little_and_hold_nobody_up(api):  # noqa: F811
    """One more than the limit is sent away; mail goes on beside them."""
    limits = {"max_connections_count": 1001, "max_connections_per_address_count": 2000}
    with opened(api, **limits) as running, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(running.door.address, 10)) for _ in range(1000)]
        assert all(connection.recv(100).startswith(b"220 ") for connection in idle)
        with Client(running) as client:
            assert client.deliver().startswith("250 2.0.0")
            with Client(running) as refused:
                assert refused.greeting.startswith("421 4.7.0")


def test_health_is_told_until_the_end(api):  # noqa: F811
    """200, and 503 while the door drains."""

    def ask(running):
        connection = http.client.HTTPConnection(*running.door.health_address, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    api.script.append("hang")
    with opened(api, health=("127.0.0.1", 0)) as running, Client(running) as client:
        assert (200, {"status": "ok", "connections": 1}) == ask(running)
        client.begin()
        client.say("DATA")
        client.send(HELLO + b".\r\n")
        assert api.waiting.wait(10)
        stopping = asyncio.run_coroutine_threadsafe(running.door.stop(), running.loop)
        assert (503, "stopping") == (ask(running)[0], ask(running)[1]["status"])
        api.released.set()
        assert client.reply().startswith("250")
        stopping.result(10)


AWAY = "451 4.4.1"
FAILURES = {
    "refuses": ([error(422, "no_such_user", 550, "5.1.1", "No such user")], "550 5.1.1", 0),
    "is throttled": ([error(429, "rate_limited", 451, "4.4.5", "Too many requests")], "451 4.4.5", 0),
    "fails once": ([(500, {"message": "Internal"})], "250", 1),
    "fails for good": ([(500, {"message": "Internal"})] * 3, AWAY, 0),
    "cuts its answer": (["cut"], "250", 1),
    "cuts every answer": (["cut"] * 3, AWAY, 0),
    "loses its answer": (["lost"], "250", 1),
    "loses every answer": (["lost"] * 3, AWAY, 0),
    "answers late": (["hang"], "250", 1),
    "hangs": (["hang"] * 3, AWAY, 0),
    "says yes without an id": ([(202, {})] * 3, AWAY, 0),
    "says half an id": ([b'HTTP/1.1 202 Accepted\r\n\r\n{"queue_id": "abc'], "250", 1),
    "talks nonsense": ([b"220 smtp.example ESMTP\r\n"] * 3, AWAY, 0),
    "never ends its answer": (
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b"HTTP/1.1 202 Accepted\r\nX: " + b"x" * 99_999],
        "250",
        1,
    ),
    "sends elsewhere": ([(307, {"Location": "http://127.0.0.1:9/"})], "451 4.3.0", 0),
    "fails in its own words": ([error(503, "spool_unavailable", 451, "4.3.0")] * 3, "451 4.3.0", 0),
    "takes no mail": ([error(503, "system_busy", 421, "4.3.2")], "421 4.3.2", 0),
}


@pytest.mark.parametrize(("script", "reply", "count"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_the_api_fails_and_the_client_hears_what_is_true(api, script, reply, count, way):  # noqa: F811
    """One key for one transaction, however often it is asked: kept once, or the client is told that it may not be."""
    api.script.extend(script)
    with opened(api, api_timeout_s=0.3, submit_timeout_s=5) as running, Client(running) as client:
        client.begin()
        if way == "DATA":
            client.say("DATA")
            client.send(HELLO + b".\r\n")
        else:
            client.send(b"BDAT %d LAST\r\n" % len(HELLO) + HELLO)
        said = client.reply()
        assert said.startswith(reply)
        assert (QUEUE_ID in said) == bool(count)
        assert 1 == len({submission.headers["Idempotency-Key"] for submission in api.submissions})
        assert {HELLO} == {submission.content for submission in api.submissions}
        api.script.clear()
        api.released.set()
        assert reply.startswith("421") or client.say("NOOP").startswith("250")
