"""
The PolicyHost over HTTPS: one GET to the well-known place, and nothing that a hostile host could make of it.

The certificate must be good for `mta-sts.DOMAIN`, no redirect is followed, time and octets are limited, and the
address that is connected to is a public one: domains choose their own addresses, and this runs inside of the
operator's network. The answer is read here, bounded; the standard library makes sense of it.

RFC: 8461 3.3.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from typing import TYPE_CHECKING, Final

from paravion.adapters.smtp_tls import verifying_context
from paravion.domain.mta_sts import MAX_POLICY_OCTETS, StsFault
from paravion.domain.next_hop import is_refused
from paravion.domain.outcome import Outcome
from paravion.domain.reply import printable
from paravion.domain.tls_facts import TlsResult

if TYPE_CHECKING:
    from paravion.ports import Resolver

PATH: Final = "/.well-known/mta-sts.txt"
_HEADER_OCTETS: Final = 16_384
_MOST_ADDRESSES: Final = 2
_OK: Final = 200


class HttpsPolicyHost:
    """
    PolicyHost by HTTPS, for one event loop.

    Args:
        ca_file: Trusted roots, PEM; "": the system's.
        port: 443 but in tests, as `allow_private` is False: neither is a setting.
        timeout_s: For all of it.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        ca_file: str = "",
        port: int = 443,
        allow_private: bool = False,
        timeout_s: float = 20.0,
    ) -> None:
        self._resolver = resolver
        self._ca_file = ca_file
        self._port = port
        self._allow_private = allow_private
        self._timeout_s = timeout_s

    async def fetch(self, domain: str) -> bytes | StsFault:
        """See ports.PolicyHost."""
        host = f"mta-sts.{domain}"
        fault = _fault(f"{host} has no public address")
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._resolver.addresses(host)
                if isinstance(found, Outcome):
                    return _fault(found.text)
                allowed = [address for address in found if self._allow_private or not is_refused(address)]
                for address in allowed[:_MOST_ADDRESSES]:
                    got = await self._get(host, address)
                    if isinstance(got, bytes):
                        return got
                    fault = got
        except TimeoutError:
            return _fault(f"{host} does not answer in {self._timeout_s:g} s")
        return fault

    async def _get(self, host: str, address: str) -> bytes | StsFault:
        try:
            reader, writer = await asyncio.open_connection(
                address, self._port, ssl=verifying_context(self._ca_file), server_hostname=host
            )
        except ssl.SSLCertVerificationError as exc:
            return StsFault(TlsResult.STS_WEBPKI_INVALID, f"{host}: {exc.verify_message}")
        except (OSError, ValueError) as exc:  # an SSLError is an OSError; a name unfit for SNI a ValueError
            return _fault(f"{host}: {exc}")
        try:
            words = ("Accept: text/plain", "Accept-Encoding: identity", "User-Agent: paravion", "Connection: close")
            lines = (f"GET {PATH} HTTP/1.1", f"Host: {host}", *words, "", "")
            writer.write("\r\n".join(lines).encode("ascii"))
            octets = b""
            while not _is_whole(octets):
                chunk = await reader.read(_HEADER_OCTETS)
                if not chunk:
                    break
                octets += chunk
                if len(octets) > MAX_POLICY_OCTETS + _HEADER_OCTETS:
                    return _fault(f"{host}: more than {MAX_POLICY_OCTETS} octets")
        except OSError as exc:
            return _fault(f"{host}: {exc}")
        finally:
            writer.transport.abort()
        return _body(host, octets)


def _is_whole(octets: bytes) -> bool:
    """Say whether the answer ends here, for hosts that leave the connection open in spite of what we ask."""
    head, end, body = octets.partition(b"\r\n\r\n")
    if not end:
        return False
    fields = dict(line.lower().partition(b":")[::2] for line in head.split(b"\r\n")[1:])
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return body.endswith(b"0\r\n\r\n")
    length = fields.get(b"content-length", b"").strip()
    return length.isdigit() and len(body) >= int(length)


class _Answer:
    """What http.client reads an answer from."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._octets)


def _body(host: str, octets: bytes) -> bytes | StsFault:
    import http.client  # seldom needed: a policy is fetched once a day at most

    response = http.client.HTTPResponse(_Answer(octets))  # type: ignore[arg-type]  # makefile is all that it calls
    try:
        response.begin()
        body = response.read()
    except (http.client.HTTPException, ValueError, OSError) as exc:
        return _fault(f"{host} answers no HTTP: {exc!r}")
    kind = response.headers.get_content_type() if "content-type" in response.headers else ""
    if response.status != _OK:
        return _fault(f"{host} answers {response.status}")
    if kind != "text/plain":
        return _fault(f"{host} answers with a {kind or 'nameless'} type, not text/plain")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return _fault(f"{host} answers in an encoding that was not asked for")
    return body


def _fault(text: str) -> StsFault:
    return StsFault(TlsResult.STS_POLICY_FETCH_ERROR, printable(text.encode("utf-8", "replace"))[:300])
