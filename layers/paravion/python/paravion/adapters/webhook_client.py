"""
One signed POST to a webhook, over a TLS connection of its own, on an event loop.

The host's certificate is verified, redirects are not followed, and the address that is connected to must be public
unless a setting names the host. The body is streamed, twice: once to sign it, once to send it. The answer's head
decides; of its body a refusal's few words are read, and no more.

Once octets of the request are out no other address is tried: the webhook may have the message (RFC 1047's instant,
with an Idempotency-Key for whoever wants to tell).

The trust store is OpenSSL's: SSL_CERT_FILE and SSL_CERT_DIR name another one.

Used by: adapters/webhook_targets.py, adapters/webhook_events.py.
RFC: 9110, 9112 (HTTP), 9325 (TLS). The parser is domain/http1.py, verdicts are domain/target_verdict.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from typing import TYPE_CHECKING, Final

from paravion.domain import budget, target_verdict
from paravion.domain.http1 import BadResponse, ResponseParser, Target, encode_request
from paravion.domain.next_hop import is_refused
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import printable
from paravion.domain.target import webhook_secret_name
from paravion.domain.verdict import Stage
from paravion.domain.webhook import BodySigner, decode_secrets
from paravion.errors import SecretsUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from paravion.domain.target import AllowedTargets
    from paravion.ports import Resolver, Secrets

ANSWER_S: Final = 60.0
"""Longest wait for the answer once all is sent: a webhook answers when it has the message, not when it is done."""

_WRITE_OCTETS: Final = 64 * 1024
_WORDS_OCTETS: Final = 2000
_WORDS_CHARACTERS: Final = 200
_WORDS_STATUS: Final = 422
_LATE_S: Final = 2.0
"""How long a broken connection may still say why."""


class WebhookClient:
    """
    Asks webhooks.

    Args:
        allowed: Says which hosts may have private addresses.
        secrets: Holds each host's.
        clock: Seconds since the epoch, for the signature's timestamp.
        connect_timeout_s: For each address.
        context: For tests; None: verifies by the system's trust store.
    """

    def __init__(
        self,
        allowed: AllowedTargets,
        resolver: Resolver,
        secrets: Secrets,
        clock: Callable[[], float],
        *,
        connect_timeout_s: float = 30.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolver = resolver
        self._secrets = secrets
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._context = context or ssl.create_default_context()
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    async def post(
        self,
        target: str,
        fields: Callable[[int, str], Mapping[str, str]],
        content: Callable[[], AsyncIterator[bytes]],
        octets: int,
        deadline: float,
    ) -> Outcome:
        """
        Ask once, and say what became of it (domain/target_verdict.py).

        Args:
            target: The webhook, in normal form (domain/target.py).
            fields: Timestamp and signature to the request's fields.
            content: Gives the body's octets from the start, in pieces of bounded size; called twice.
            octets: Its length.
            deadline: Seconds of the event loop's clock.

        Raises:
            Whatever `content` raises.
        """
        url = Target(target)
        try:
            async with asyncio.timeout_at(deadline):
                secrets = await self._secrets_of(url.host)
                if isinstance(secrets, Outcome):
                    return secrets
                addresses = await self._addresses(target, url)
                if isinstance(addresses, Outcome):
                    return addresses
                timestamp = int(self._clock())
                signature = await _signature(content, secrets, timestamp)
                told = {"Host": url.netloc, **fields(timestamp, signature)}
                return await self._ask(
                    url, addresses, encode_request("POST", url.path, told, octets), content, deadline
                )
        except TimeoutError:
            return target_verdict.cut_off("the webhook gave no answer in time")

    async def _secrets_of(self, host: str) -> tuple[str, ...] | Outcome:
        try:
            kept = await asyncio.to_thread(self._secrets.get, webhook_secret_name(host))
            if kept is None:
                return target_verdict.misconfigured("the webhook's host has no secret to sign with")
            return decode_secrets(kept)
        except SecretsUnavailable:
            return target_verdict.no_answer("the secret store does not answer")
        except ValueError:
            return target_verdict.misconfigured("the webhook's secret can't be read")

    async def _addresses(self, target: str, url: Target) -> tuple[str, ...] | Outcome:
        """Give the addresses that may be connected to: the very ones that are, whatever the name says later."""
        try:
            found: tuple[str, ...] | Outcome = (str(ipaddress.ip_address(url.host)),)
        except ValueError:
            found = await self._resolver.addresses(url.host)
        if isinstance(found, Outcome):
            # A name that does not exist is a wrong URL in a table: the operator's mistake, which mail waits for.
            if found.status.startswith("5"):
                return target_verdict.misconfigured("the webhook's host does not exist")
            return target_verdict.no_answer("the name service knows nothing of the webhook's host now")
        if self._allowed.may_be_private(target):
            return found
        public = tuple(address for address in found if not is_refused(address))
        return public or target_verdict.misconfigured("the webhook's host has no public address")

    async def _ask(
        self,
        url: Target,
        addresses: tuple[str, ...],
        head: bytes,
        content: Callable[[], AsyncIterator[bytes]],
        deadline: float,
    ) -> Outcome:
        outcome = target_verdict.no_answer("the webhook's host can't be reached")
        for address in addresses:
            opened = await self._open(address, url, deadline)
            if isinstance(opened, Outcome):
                outcome = opened
                continue
            reader, writer = opened
            try:
                outcome = await _post(reader, writer, head, content, deadline)
                if outcome.result is Result.DELIVERED:
                    writer.close()
                return outcome
            finally:
                # Nothing else is worth a farewell: what is still to be sent would be sent first.
                if not writer.is_closing():
                    writer.transport.abort()
        return outcome

    async def _open(
        self, address: str, url: Target, deadline: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | Outcome:
        loop = asyncio.get_running_loop()
        tls_s = budget.wait_s(Stage.TLS, loop.time(), deadline)
        seconds = min(self._connect_timeout_s + tls_s, deadline - loop.time())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return await asyncio.open_connection(
                    address, url.port, ssl=self._context, server_hostname=url.host, ssl_handshake_timeout=tls_s or None
                )
        except ssl.SSLCertVerificationError as exc:
            reason = printable(exc.verify_message.encode("utf-8", "replace"))[:_WORDS_CHARACTERS]
            return target_verdict.no_tls(f"the webhook's certificate is not valid ({reason})")
        except ssl.SSLError:
            return target_verdict.no_tls("there is no TLS with the webhook's host")
        except (TimeoutError, ConnectionAbortedError):
            return target_verdict.no_answer("the webhook's host does not answer")
        except OSError:
            return target_verdict.no_answer("the webhook's host can't be reached")


async def _signature(content: Callable[[], AsyncIterator[bytes]], secrets: tuple[str, ...], timestamp: int) -> str:
    signer = BodySigner(secrets, timestamp)
    async for piece in content():
        signer.update(piece)
    return signer.value()


async def _post(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: bytes,
    content: Callable[[], AsyncIterator[bytes]],
    deadline: float,
) -> Outcome:
    """Send the request and read its answer, which may come before all is sent."""
    answer = asyncio.ensure_future(_answer(reader))
    try:
        try:
            await _send(writer, head, content, answer, deadline)
        except TimeoutError:
            return target_verdict.cut_off("the webhook stopped taking the message")
        except OSError:
            # It closed while we sent: perhaps it said why before.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LATE_S):
                    return await asyncio.shield(answer)
            return target_verdict.cut_off()
        try:
            async with asyncio.timeout(min(ANSWER_S, max(0.0, deadline - asyncio.get_running_loop().time()))):
                return await asyncio.shield(answer)
        except TimeoutError:
            return target_verdict.cut_off("the webhook gave no answer in time")
    finally:
        answer.cancel()


async def _send(
    writer: asyncio.StreamWriter,
    head: bytes,
    content: Callable[[], AsyncIterator[bytes]],
    answer: asyncio.Future[Outcome],
    deadline: float,
) -> None:
    loop = asyncio.get_running_loop()
    writer.write(head)
    async with contextlib.aclosing(content()) as pieces:  # type: ignore[type-var]  # a generator
        async for piece in pieces:
            view = memoryview(piece)
            for at in range(0, len(view), _WRITE_OCTETS):
                if answer.done():
                    return
                writer.write(view[at : at + _WRITE_OCTETS])
                async with asyncio.timeout(budget.wait_s(Stage.CONTENT, loop.time(), deadline)):
                    await writer.drain()


async def _answer(reader: asyncio.StreamReader) -> Outcome:
    """Read the answer's head, and the words of a refusal."""
    parser = ResponseParser()
    read = 0
    try:
        while not parser.status or (_has_words(parser) and read < _WORDS_OCTETS):
            octets = await reader.read(_WORDS_OCTETS)
            if not octets:
                if not parser.status:
                    return target_verdict.cut_off()
                parser.end()
                break
            had_head = bool(parser.status)
            if parser.feed(octets):
                break
            read += len(octets) if had_head else 0
    except BadResponse:
        if not parser.status:
            return target_verdict.cut_off("the webhook answered something that is no HTTP")
    except OSError:
        if not parser.status:
            return target_verdict.cut_off()
    words = b" ".join(parser.body[:_WORDS_OCTETS].split()) if _has_words(parser) else b""
    return target_verdict.judge_webhook(parser.status, printable(words)[:_WORDS_CHARACTERS])


def _has_words(parser: ResponseParser) -> bool:
    return parser.status == _WORDS_STATUS and parser.headers.get("content-type", "").startswith("text/plain")
