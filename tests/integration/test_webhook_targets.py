"""Webhooks over real TLS on loopback: what arrives, what is verified, and every way a receiver can go wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from paravion.adapters.memory import MemoryResolver, MemorySecrets
from paravion.adapters.webhook_client import WebhookClient
from paravion.adapters.webhook_targets import WebhookTargets
from paravion.domain.outcome import Outcome, Result
from paravion.domain.status import DNS_TEMPFAIL, NO_SUCH_DOMAIN
from paravion.domain.target import AllowedTargets, idempotency_key
from paravion.domain.verdict import our_outcome
from paravion.domain.webhook import encode_secrets
from paravion.errors import SecretsUnavailable, SpoolUnavailable
from paravion.ports import Handover
from tests.support.certificates import client_context, server_context
from tests.support.webhook_server import CUT, HANG, STALL, Early, WebhookServer, verify

HEADER = b"Delivered-To: tickets@local.example\r\nSubject: x\r\n"
SECRET = "whsec_test"


@dataclass(frozen=True)
class _Body:
    octets: int
    piece: bytes = b"x" * (1 << 20)
    stops_at: int = 1 << 40

    def at_hand(self) -> None:
        """Not in memory."""

    async def chunks(self) -> AsyncIterator[bytes]:
        left = min(self.octets, self.stops_at)
        while left:
            yield self.piece[:left]
            left -= min(left, len(self.piece))
        if self.stops_at < self.octets:
            raise SpoolUnavailable("df: broken")


class _Resolver(MemoryResolver):
    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found

    async def addresses(self, host: str) -> Any:
        return self.found


def _handover(target: str, body: _Body = _Body(11, b"hello world")) -> Handover:
    return Handover(target, "q" * 26, "tickets@local.example", "me@a.example", 1_800_000_000.0, HEADER, body, "q" * 26)


def _targets(port: int, *, host: str = "127.0.0.1", private: bool = True, **changes: Any) -> WebhookTargets:
    name = f"{host}:{port}"
    allowed = AllowedTargets((), () if private else (name,), (name,) if private else ())
    given = {
        "resolver": _Resolver(("127.0.0.1",)),
        "secrets": MemorySecrets(**{f"webhooks/{host}": encode_secrets([SECRET])}),
        "clock": time.time,
        "context": client_context(),
        **changes,
    }
    return WebhookTargets(WebhookClient(allowed, **given))


def _run(
    tmp_path: Path, script: list[Any], *, attempts: int = 1, within_s: float = 20.0, certificate: dict[str, Any] | None = None,
    host: str = "127.0.0.1", body: _Body = _Body(11, b"hello world"), tls: bool = True, **changes: Any,
) -> tuple[list[Outcome], WebhookServer]:  # fmt: skip
    async def go() -> tuple[list[Outcome], WebhookServer]:
        context = server_context(tmp_path, **{"name": host, **(certificate or {})}) if tls else None
        async with WebhookServer(context, script) as server:
            targets = _targets(server.port, host=host, **changes)
            handover = _handover(f"https://{host}:{server.port}/mail?to=tickets", body)
            deadline = asyncio.get_running_loop().time() + within_s
            return [await targets.hand_over(handover, deadline) for _ in range(attempts)], server

    return asyncio.run(go())


def test_webhook_gets_the_octets_signed(tmp_path: Path) -> None:
    """The message as it is, and a signature that the documentation's own code verifies."""
    (outcome,), server = _run(tmp_path, [])
    assert (outcome.result, outcome.status, outcome.text) == (Result.DELIVERED, "2.0.0", "the webhook answered 200")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/mail?to=tickets")
    assert request.body == HEADER + b"\r\nhello world"
    assert verify(SECRET, request.headers, request.body, now=time.time())
    assert not verify("another", request.headers, request.body, now=time.time())
    told = {name: request.headers[name] for name in (
        "content-type", "host", "paravion-queue-id", "paravion-recipient", "paravion-reverse-path",
        "paravion-received-at", "idempotency-key", "content-length",
    )}  # fmt: skip
    target = f"https://127.0.0.1:{request.headers['host'].rpartition(':')[2]}/mail?to=tickets"
    assert told == {
        "content-type": "message/rfc822",
        "host": target.split("/")[2],
        "paravion-queue-id": "q" * 26,
        "paravion-recipient": "tickets@local.example",
        "paravion-reverse-path": "<me@a.example>",
        "paravion-received-at": "2027-01-15T08:00:00Z",
        "idempotency-key": f'"{idempotency_key("q" * 26, target)}"',
        "content-length": str(len(request.body)),
    }


OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("action", "result", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "delivered", "2.0.0"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "delivered", "2.0.0"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n", "delivered", "2.0.0"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut in the body", "delivered", "2.0.0"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "delivered", "2.0.0"),
        (b"HTTP/1.1 20", "deferred", "4.4.2"),
        (b"", "deferred", "4.4.2"),
        (CUT, "deferred", "4.4.2"),
        (b"220 mail.example ESMTP\r\n\r\n", "deferred", "4.4.2"),
        (b"\x00" * 70_000, "deferred", "4.4.2"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", "deferred", "4.4.2"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1/\r\n\r\n", "deferred", "4.3.5"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "deferred", "4.3.5"),
        (b"HTTP/1.1 429 Slow down\r\n\r\n", "deferred", "4.4.5"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "deferred", "4.4.1"),
        (b"HTTP/1.1 413 Large\r\n\r\n", "failed", "5.3.4"),
        (b"HTTP/1.1 422 No\r\nContent-Type: text/plain\r\n\r\nno such\r\n \x1b[1mticket", "failed", "5.6.0"),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_answer(tmp_path: Path, action: Any, result: str, status: str) -> None:
    """domain/target_verdict.py on the wire; one request in any case."""
    (outcome,), server = _run(tmp_path, [action])
    assert (outcome.result, outcome.status) == (result, status)
    assert server.connections == 1
    if status == "5.6.0":
        assert outcome.text.endswith(": no such \\x1b[1mticket")


def test_trouble_then_success_has_one_key(tmp_path: Path) -> None:
    """500, lost, then 200: three requests that a receiver can tell to be one message."""
    outcomes, server = _run(tmp_path, [b"HTTP/1.1 500 x\r\n\r\n", CUT, OK], attempts=3)
    assert [outcome.result for outcome in outcomes] == ["deferred", "deferred", "delivered"]
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert all(verify(SECRET, request.headers, request.body, now=time.time()) for request in server.requests)


@pytest.mark.parametrize("action", [HANG, STALL])
def test_silence_ends_with_the_deadline(tmp_path: Path, action: Any) -> None:
    """What the function has left bounds everything."""
    (outcome,), _ = _run(tmp_path, [action], within_s=1.0, body=_Body(20 << 20))
    assert (outcome.result, outcome.status) == ("deferred", "4.4.2")


def test_refusal_before_the_body_is_heard(tmp_path: Path) -> None:
    """A server that will not read ten megabytes says so and hangs up."""
    (outcome,), _ = _run(tmp_path, [Early(b"HTTP/1.1 413 Too large\r\n\r\n")], body=_Body(10 << 20))
    assert (outcome.result, outcome.status) == ("failed", "5.3.4")


@pytest.mark.parametrize(
    ("certificate", "words"),
    [({"trusted": False}, "self"), ({"days": -1}, "expired"), ({"name": "other.example"}, "not valid for")],
    ids=["unknown", "expired", "another name"],
)
def test_wrong_certificate_is_never_talked_to(tmp_path: Path, certificate: dict[str, Any], words: str) -> None:
    """Verified by chain, date and name; nothing is sent."""
    (outcome,), server = _run(tmp_path, [], certificate=certificate)
    assert (outcome.result, outcome.status) == ("deferred", "4.7.0")
    assert "certificate" in outcome.text
    assert words in outcome.text
    assert not server.requests


def test_host_without_tls_is_never_talked_to(tmp_path: Path) -> None:
    """No fall-back to clear text."""
    (outcome,), server = _run(tmp_path, [], tls=False, within_s=5.0)
    assert outcome.result == "deferred"
    assert not server.requests


def test_name_is_checked_at_the_address_that_is_used(tmp_path: Path) -> None:
    """A public name that resolves to loopback, the metadata service or both: refused, unless a setting names it."""
    for found in (("127.0.0.1",), ("169.254.169.254",), ("::1", "10.0.0.1", "::ffff:127.0.0.1")):
        (outcome,), server = _run(tmp_path, [], host="hooks.example.org", private=False, resolver=_Resolver(found))
        assert (outcome.result, outcome.status) == ("deferred", "4.3.5")
        assert "public address" in outcome.text
        assert server.connections == 0
    (outcome,), server = _run(tmp_path, [], host="hooks.example.org")
    assert outcome.result == "delivered"
    assert server.connections == 1


def test_next_address_is_tried_until_one_is_reached(tmp_path: Path) -> None:
    """But none after octets were sent (test_answer: one connection)."""
    (outcome,), _ = _run(tmp_path, [], host="hooks.example.org", resolver=_Resolver(("127.0.0.2", "127.0.0.1")))
    assert outcome.result == "delivered"
    (outcome,), _ = _run(tmp_path, [], host="hooks.example.org", resolver=_Resolver(("127.0.0.2",)))
    assert (outcome.result, outcome.status) == ("deferred", "4.4.1")


class _BrokenSecrets(MemorySecrets):
    def get(self, name: str, *, fresh: bool = False) -> str | None:
        raise SecretsUnavailable(name)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"secrets": MemorySecrets()}, "4.3.5"),
        ({"secrets": MemorySecrets(**{"webhooks/hooks.example.org": "nonsense"})}, "4.3.5"),
        ({"secrets": _BrokenSecrets()}, "4.4.1"),
        ({"resolver": _Resolver(our_outcome(NO_SUCH_DOMAIN, "", "DNS"))}, "4.3.5"),
        ({"resolver": _Resolver(our_outcome(DNS_TEMPFAIL, "", "DNS"))}, "4.4.1"),
    ],
    ids=["no secret", "bad secret", "store away", "no such host", "name service away"],
)
def test_what_keeps_us_from_asking_defers(tmp_path: Path, changes: dict[str, Any], status: str) -> None:
    """Unsigned is never sent; nothing here is the sender's fault."""
    (outcome,), server = _run(tmp_path, [], host="hooks.example.org", **changes)
    assert (outcome.result, outcome.status) == ("deferred", status)
    assert server.connections == 0


def test_rotation_signs_with_both(tmp_path: Path) -> None:
    """Whichever of the two the receiver holds."""
    secrets = MemorySecrets(**{"webhooks/127.0.0.1": encode_secrets(["new", "old"])})
    _, server = _run(tmp_path, [], secrets=secrets)
    (request,) = server.requests
    assert [verify(name, request.headers, request.body, now=time.time()) for name in ("new", "old", SECRET)] == [
        True, True, False,
    ]  # fmt: skip


def test_body_that_breaks_off_is_the_spools_fault(tmp_path: Path) -> None:
    """Half a message is never handed over: the signing pass finds out before anything is sent."""
    with pytest.raises(SpoolUnavailable):
        _run(tmp_path, [], body=replace(_Body(3 << 20), stops_at=1 << 20))


def test_ten_megabytes_pass_in_bounded_memory(tmp_path: Path) -> None:
    """The kernel's figure of a process of its own: a few pieces, however large the message."""
    from tests.support.webhook_memory import peak_octets

    small, large = peak_octets(1 << 20), peak_octets(10 << 20)
    assert large - small < 4 << 20, (small, large)
