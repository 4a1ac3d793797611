"""Fetching MTA-STS policies from a local HTTPS host: the suite's own CA, and everything a hostile host may do."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from paravion.adapters.memory import MemoryEventLog, MemoryTlsPolicies
from paravion.adapters.sts_policy_host import HttpsPolicyHost
from paravion.domain.mta_sts import StsFault
from paravion.domain.outcome import Outcome, Result
from paravion.services.mta_sts import StsFinder
from tests.support.authority import Authority, self_signed, server_context

NAME = "mta-sts.a.test"
POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.a.test\r\nmax_age: 86400\r\n"
PLAIN = b"Content-Type: text/plain\r\n"


class FakeResolver:
    def __init__(self, addresses=("127.0.0.1",), texts=()):
        self.found, self.texts = addresses, list(texts)

    async def addresses(self, host):
        assert host == NAME
        return self.found

    async def txt(self, name):
        return self.texts if name == "_mta-sts.a.test" else []


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    root = Authority("root")
    return SimpleNamespace(
        file=root.trusted(tmp_path_factory.mktemp("ca")),
        good=server_context(root.issue(NAME)),
        wildcard=server_context(root.issue("*.a.test")),
        expired=server_context(root.issue(NAME, expired=True)),
        wrong_name=server_context(root.issue("www.a.test")),
        self_signed=server_context(self_signed(NAME)),
        stranger=server_context(Authority("stranger").issue(NAME)),
    )


@asynccontextmanager
async def https(context, answer):
    """A host that answers each request by these octets, or by a coroutine that is given the writer."""
    requests = []
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if callable(answer) else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fetch(answer, pki, *, context="good", resolver=None, **options):
    """Fetch once; gives what came, and the requests."""

    async def main():
        async with https(getattr(pki, context), answer) as (port, requests):
            options.setdefault("allow_private", True)
            host = HttpsPolicyHost(resolver or FakeResolver(), ca_file=pki.file, port=port, **options)
            return await host.fetch("a.test"), requests

    return asyncio.run(main())


def ok(*fields, body=POLICY):
    return b"HTTP/1.1 200 OK\r\n" + PLAIN + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def length(body=POLICY):
    return b"Content-Length: %d" % len(body)


async def stays_open(writer):
    """Says all that there is, and leaves the connection open in spite of Connection: close."""
    writer.write(ok(length()))
    await asyncio.sleep(30)


async def stays_open_chunked(writer):
    writer.write(ok(b"Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(POLICY), POLICY)))
    await asyncio.sleep(30)


TAKEN = {
    "length": ok(length()),
    "until the end": ok(),
    "chunked": ok(b"Transfer-Encoding: chunked", body=b"10\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (POLICY[:16], len(POLICY) - 16, POLICY[16:])),
    "http 1.0": ok().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "charset": ok(length()).replace(b"text/plain", b"Text/Plain; charset=utf-8"),
    "stays open": stays_open,
    "stays open, chunked": stays_open_chunked,
}  # fmt: skip


@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN)
def test_policy_is_fetched(answer, pki):
    """In each form that HTTP/1.1 has for a body."""
    got, requests = fetch(answer, pki)
    assert got == POLICY
    assert requests[0].startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.test\r\n")


def test_a_wildcard_certificate_will_do(pki):
    """RFC 8461 3.3 names RFC 6125."""
    assert fetch(ok(), pki, context="wildcard")[0] == POLICY


@pytest.mark.parametrize("context", ["expired", "wrong_name", "self_signed", "stranger"])
def test_certificate_must_be_good(context, pki):
    """Nothing is asked of a host that does not prove its name."""
    got, requests = fetch(ok(), pki, context=context)
    assert isinstance(got, StsFault)
    assert (got.result, requests) == ("sts-webpki-invalid", [])


async def drips(writer):
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def says_nothing(_):
    await asyncio.sleep(30)


async def floods(writer):
    writer.write(ok())
    while True:
        writer.write(b"mx: a.example\r\n" * 1000)
        await writer.drain()


async def breaks_off(writer):
    writer.write(ok(b"Content-Length: 1000"))
    await writer.drain()


REFUSED = {
    "301": b"HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.a.test/x\r\nContent-Length: 0\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\n" + PLAIN + length() + b"\r\n\r\n" + POLICY,
    "204": b"HTTP/1.1 204 No Content\r\n" + PLAIN + b"\r\n",
    "HTML": ok(length()).replace(b"text/plain", b"text/html"),
    "no type": ok(length()).replace(PLAIN, b""),
    "gzip": ok(length(), b"Content-Encoding: gzip"),
    "not HTTP": b"220 mx.test ESMTP\r\n\r\n",
    "nothing": b"",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "bad chunks": ok(b"Transfer-Encoding: chunked", body=b"zz\r\n"),
    "too long": ok(body=b"x" * 100_000),
    "breaks off": breaks_off,
    "drips": drips,
    "says nothing": says_nothing,
    "floods": floods,
}


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_no_policy(answer, pki):
    """No redirect is followed; time and octets are bounded; nothing is raised."""
    got, requests = fetch(answer, pki, timeout_s=1.0)
    assert isinstance(got, StsFault)
    assert got.result == "sts-policy-fetch-error"
    assert NAME in got.text
    assert len(requests) == 1


def test_a_flood_stays_out_of_memory(pki):
    """What is read ends with what a policy may have."""
    tracemalloc.start()
    try:
        fetch(floods, pki)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_private_addresses_are_not_connected_to(pki):
    """A domain's policy host may name any address: the operator's own network is not asked."""
    for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "::1"):
        got, requests = fetch(ok(), pki, allow_private=False, resolver=FakeResolver((address,)))
        assert (got, requests) == (StsFault("sts-policy-fetch-error", f"{NAME} has no public address"), [])


def test_a_host_without_address(pki):
    """The resolver's words."""
    outcome = Outcome(Result.FAILED, "5.1.2", text="Host mta-sts.a.test does not exist")
    got, _ = fetch(ok(), pki, resolver=FakeResolver(outcome))
    assert got.text == outcome.text


def test_nobody_listens(pki):
    """Refused connections are said so."""
    host = HttpsPolicyHost(FakeResolver(), ca_file=pki.file, port=1, allow_private=True)
    got = asyncio.run(host.fetch("a.test"))
    assert got.result == "sts-policy-fetch-error"


def test_from_record_to_policy(pki):
    """Record, HTTPS host, parser and store together."""

    async def main():
        resolver = FakeResolver(texts=["v=STSv1; id=1"])
        async with https(pki.good, ok()) as (port, requests):
            host = HttpsPolicyHost(resolver, ca_file=pki.file, port=port, allow_private=True)
            finder = StsFinder(resolver, host, MemoryTlsPolicies(lambda: 0.0), MemoryEventLog(), lambda: 0.0)
            first, second = await finder.find("a.test"), await finder.find("a.test")
            return first, second, requests

    first, second, requests = asyncio.run(main())
    assert first.policy.mx == ("mx.a.test",)
    assert (first, 1) == (second, len(requests))
