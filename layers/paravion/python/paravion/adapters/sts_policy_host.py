"""
The PolicyHost over HTTPS: one GET to the well-known place, and nothing that a hostile host could make of it.

The certificate must be good for `mta-sts.DOMAIN`, no redirect is followed, time and octets are limited, and the
address that is connected to is a public one: domains choose their own addresses, and this runs inside of the
operator's network. domain/http1.py makes sense of the answer.

RFC: 8461 3.3.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from paravion.adapters.smtp_tls import verifying_context
from paravion.domain.mta_sts import MAX_POLICY_OCTETS, StsFault
from paravion.domain.next_hop import is_refused
from paravion.domain.outcome import Outcome
from paravion.domain.reply import printable
from paravion.domain.tls_facts import TlsResult

if TYPE_CHECKING:
    from paravion.domain.http1 import ResponseParser
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
        from paravion.domain.http1 import BadResponse, ResponseParser, encode_request  # once a day for a domain

        try:
            reader, writer = await asyncio.open_connection(
                address, self._port, ssl=verifying_context(self._ca_file), server_hostname=host
            )
        except ssl.SSLCertVerificationError as exc:
            return StsFault(TlsResult.STS_WEBPKI_INVALID, f"{host}: {exc.verify_message}")
        except (OSError, ValueError) as exc:  # an SSLError is an OSError; a name unfit for SNI a ValueError
            return _fault(f"{host}: {exc}")
        try:
            words = {"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": "paravion"}
            writer.write(encode_request("GET", PATH, {"Host": host, **words, "Connection": "close"}, 0))
            parser, octets, whole = ResponseParser(), 0, False
            while not whole:
                chunk = await reader.read(_HEADER_OCTETS)
                octets += len(chunk)
                if octets > MAX_POLICY_OCTETS + _HEADER_OCTETS:
                    return _fault(f"{host}: more than {MAX_POLICY_OCTETS} octets")
                if not chunk:
                    parser.end()
                    break
                whole = parser.feed(chunk)
        except (BadResponse, ValueError) as exc:
            return _fault(f"{host} answers no HTTP: {exc}")
        except OSError as exc:
            return _fault(f"{host}: {exc}")
        finally:
            writer.transport.abort()
        return _body(host, parser)


def _body(host: str, answer: ResponseParser) -> bytes | StsFault:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status != _OK:
        return _fault(f"{host} answers {answer.status}")
    if kind != "text/plain":
        return _fault(f"{host} answers with a {kind or 'nameless'} type, not text/plain")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return _fault(f"{host} answers in an encoding that was not asked for")
    return bytes(answer.body)


def _fault(text: str) -> StsFault:
    return StsFault(TlsResult.STS_POLICY_FETCH_ERROR, printable(text.encode("utf-8", "replace"))[:300])
