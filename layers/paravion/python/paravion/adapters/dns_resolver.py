"""
The Resolver over DNS, with a cache of what it learned and of what is not there.

Knows nothing of which addresses may be connected to (domain/next_hop.py) or in what order hosts are
tried beyond their preference. CNAME chains are followed by the name server and dnspython. A name of one
label is the machine's affair (/etc/hosts, a container's network): the operating system is asked for it.

dnspython is imported at the first look-up: a function that relays to a smarthost's address never pays for it.

Told that its name server validates, it also says which answers are secure: that server's AD bit is believed, and
nobody else's.

RFC: 5321 5.1 (MX, implicit MX), 7505 (null MX), 2308 (negative caching); 6840 5.7-5.8 (AD), 7672 2.2 (TLSA).
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from paravion.domain import status
from paravion.domain.next_hop import MxHost, NextHop, is_literal, literal_address
from paravion.domain.outcome import Outcome
from paravion.domain.reply import printable
from paravion.domain.tls_policy import NO_DANE, DaneFinding
from paravion.domain.verdict import our_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from dns.asyncresolver import Resolver as DnsPythonResolver

    from paravion.domain.tlsa import Tlsa

MAX_HOSTS: Final = 20
"""Hosts of one domain that are kept; the transport tries fewer."""

_DNS: Final = "DNS"
_LEAST_TTL_S: Final = 5.0  # a batch asks for the same name many times, whatever its TTL
_MOST_TTL_S: Final = 3600.0
_MOST_NEGATIVE_TTL_S: Final = 300.0  # a domain that was just registered should not wait long for us
_FAILURE_TTL_S: Final = 5.0  # RFC 2308 7: a server that does not answer is not asked again at once, 5 min at most


@dataclass(frozen=True, slots=True)
class _Found:
    """
    What a look-up came to: records as text; or none, because the name or the type is not there, or unknown.

    Attributes:
        exists: False: NXDOMAIN.
        secure: A validating resolver vouches for the answer, also for an empty one.
        name: Where CNAMEs led to, "" where there was no answer.
        failed: The name service did not answer; says why, "" otherwise.
    """

    records: tuple[str, ...]
    expires_at: float
    exists: bool = True
    failed: str = ""
    secure: bool = False
    name: str = ""


class DnsResolver:
    """
    Resolver over DNS, for one event loop.

    Args:
        nameservers: IP addresses; empty: the system's.
        port: Of the name servers.
        lifetime_s: Longest time for one look-up, all servers and repetitions together.
        cache_size: Look-ups that are remembered.
        draw: Uniform draws in [0, 1), to shuffle hosts of equal preference.
        clock: Seconds, monotonic.
        validating: The name servers named validate DNSSEC, and the way to them can be trusted.
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        port: int = 53,
        lifetime_s: float = 10.0,
        cache_size: int = 4096,
        draw: Callable[[], float] | None = None,
        clock: Callable[[], float] | None = None,
        validating: bool = False,
    ) -> None:
        self._nameservers = list(nameservers)
        self._port = port
        self._lifetime_s = lifetime_s
        self._cache_size = cache_size
        # SystemRandom: a seed made at start would be the same in every copy of a snapshot.
        self._draw = draw or random.SystemRandom().random
        self._clock = clock
        self._validating = validating and bool(nameservers)
        self._cache: dict[tuple[str, str], _Found] = {}
        self._under_way: dict[tuple[str, str], asyncio.Task[_Found]] = {}

    async def next_hop(self, domain: str) -> NextHop | Outcome:  # noqa: PLR0911 (one for each way it can end)
        """See ports.Resolver."""
        domain = domain.lower()
        if is_literal(domain):
            address = literal_address(domain)
            if address is None:
                return our_outcome(status.NO_SUCH_DOMAIN, f"{_shown(domain)} is no address literal", _DNS)
            return NextHop(domain, (MxHost(address, addresses=(address,)),))
        found = await self._find(domain, "MX")
        if found.failed:
            return _dns_failed(domain, found)
        if not found.exists:
            return our_outcome(status.NO_SUCH_DOMAIN, f"Domain {_shown(domain)} does not exist", _DNS)
        hosts = self._in_order(found.records)
        if hosts:
            mx_hosts = tuple(MxHost(name) for name in hosts[:MAX_HOSTS])
            return NextHop(domain, mx_hosts, policy_domain=domain, secure=found.secure)
        if found.records:
            return our_outcome(status.NULL_MX, f"Domain {_shown(domain)} accepts no mail (null MX)", _DNS)
        # RFC 5321 5.1: without any MX, the domain itself is the host.
        addresses = await self.addresses(domain)
        if isinstance(addresses, Outcome):
            return addresses
        mx_hosts = (MxHost(domain, addresses=addresses),)
        return NextHop(domain, mx_hosts, policy_domain=domain, secure=found.secure)

    async def addresses(self, host: str) -> tuple[str, ...] | Outcome:
        """
        See ports.Resolver.

        IPv4 and IPv6 alternate, IPv4 first: where a function has a way out and a name for its address, it is
        there that it has one for certain.
        """
        host = host.lower().rstrip(".")
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            pass
        if "." not in host:
            return await self._ask_system(host)
        four, six = await asyncio.gather(self._find(host, "A"), self._find(host, "AAAA"))
        if four.records or six.records:
            pairs = zip_longest(four.records, six.records)
            return tuple(address for pair in pairs for address in pair if address is not None)
        if four.failed or six.failed:
            return _dns_failed(host, four if four.failed else six)
        text = "has no address" if four.exists and six.exists else "does not exist"
        return our_outcome(status.NO_SUCH_DOMAIN, f"Host {_shown(host)} {text}", _DNS)

    async def txt(self, name: str) -> list[str]:
        """See ports.Resolver."""
        return list((await self._find(name.lower(), "TXT")).records)

    async def tlsa(self, host: str, port: int, domain: str) -> DaneFinding:
        """See ports.Resolver. A look-up that fails counts as bogus: a validating resolver answers both alike."""
        host = host.lower().rstrip(".")
        if not self._validating or "." not in host:
            return NO_DANE
        bases, failed = await self._tlsa_bases(host)
        for base in bases:
            found = await self._find(f"_{port}._tcp.{base}", "TLSA")
            if found.failed:
                failed = found.failed
                break
            if found.secure and found.records:
                records = tuple(_tlsa(text) for text in found.records)
                return DaneFinding(base, records, tuple(dict.fromkeys((base, host, domain.lower()))))
        return DaneFinding(failed=failed) if failed else NO_DANE

    async def _tlsa_bases(self, host: str) -> tuple[list[str], str]:
        """Give the names to look for TLSA records under, or why that can't be said (RFC 7672 2.2.2)."""
        four, six = await asyncio.gather(self._find(host, "A"), self._find(host, "AAAA"))
        for found in (four, six):
            if found.failed:
                return [], found.failed
        if not (four.records or six.records):
            return [], ""
        final = four.name or six.name
        if all(found.secure for found in (four, six) if found.records):
            return list(dict.fromkeys((final, host))), ""
        if final == host:
            return [], ""
        # The alias leads out of the signed part of the tree; it may itself be signed, and have records beside it.
        alias = await self._find(host, "CNAME")
        return [host] if alias.secure and alias.records else [], alias.failed

    def _in_order(self, records: Sequence[str]) -> list[str]:
        """Order `preference host` records, equal preferences shuffled, a null MX (`.`) left out."""
        drawn = []
        for record in records:
            preference, _, name = record.partition(" ")
            if name:
                drawn.append((int(preference), self._draw(), name))
        return [name for _, _, name in sorted(drawn)]

    async def _ask_system(self, host: str) -> tuple[str, ...] | Outcome:
        try:
            async with asyncio.timeout(self._lifetime_s):
                found = await asyncio.get_running_loop().getaddrinfo(host or ".", None, type=socket.SOCK_STREAM)
        except TimeoutError:
            return our_outcome(status.DNS_TEMPFAIL, f"{_shown(host)}: timed out", _DNS)
        except (OSError, UnicodeError) as exc:
            missing = isinstance(exc, UnicodeError) or getattr(exc, "errno", None) == socket.EAI_NONAME
            if missing:
                return our_outcome(status.NO_SUCH_DOMAIN, f"Host {_shown(host)} does not exist", _DNS)
            return our_outcome(status.DNS_TEMPFAIL, f"{_shown(host)}: {_shown(str(exc))}", _DNS)
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def _find(self, name: str, kind: str) -> _Found:
        """Look up a name, through the cache; askers of the same thing at the same time share one look-up."""
        key = (name, kind)
        found = self._cache.get(key)
        if found is not None and found.expires_at > self._now():
            return found
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._look_up(name, kind))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # Shielded: who gives up must not take the answer from the others.
        found = await asyncio.shield(task)
        self._remember(key, found)
        return found

    def _remember(self, key: tuple[str, str], found: _Found) -> None:
        self._cache.pop(key, None)
        while len(self._cache) >= self._cache_size:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = found

    async def _look_up(self, name: str, kind: str) -> _Found:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            asked = dns.name.from_text(name)
            answer = await self._resolver.resolve(asked, kind, raise_on_no_answer=False, lifetime=self._lifetime_s)
        except dns.resolver.NXDOMAIN as exc:
            secure = self._is_secure(_response(exc, asked))
            return _Found((), self._until(_negative_ttl(exc, asked)), exists=False, secure=secure)
        except (dns.resolver.YXDOMAIN, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel) as exc:
            # The name can't exist.
            return _Found((), self._until(_MOST_NEGATIVE_TTL_S), exists=isinstance(exc, dns.resolver.YXDOMAIN))
        except (dns.exception.DNSException, OSError, EOFError) as exc:
            return _Found((), self._now() + _FAILURE_TTL_S, failed=_shown(str(exc)) or type(exc).__name__)
        secure = self._is_secure(answer.response)
        if answer.rrset is None:
            until = self._until(min(answer.chaining_result.minimum_ttl, _MOST_NEGATIVE_TTL_S))
            return _Found((), until, secure=secure)
        records = tuple(_text(record, kind) for record in answer.rrset)
        final = answer.canonical_name.to_text(omit_final_dot=True).lower()
        return _Found(records, self._until(answer.rrset.ttl), secure=secure, name=final)

    def _is_secure(self, response: object) -> bool:
        if not self._validating or response is None:
            return False
        import dns.flags

        return bool(response.flags & dns.flags.AD)  # type: ignore[attr-defined]  # a dns.message.Message

    def _until(self, ttl_s: float) -> float:
        return self._now() + min(max(ttl_s, _LEAST_TTL_S), _MOST_TTL_S)

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    @cached_property
    def _resolver(self) -> DnsPythonResolver:
        import dns.asyncresolver

        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = self._nameservers
            resolver.port = self._port
        resolver.cache = None  # ours has limits and knows failures
        if self._validating:
            import dns.flags

            # Both say that we want to be told (RFC 6840 5.7); 1232 octets pass every path unfragmented.
            resolver.flags = dns.flags.RD | dns.flags.AD
            resolver.use_edns(0, dns.flags.DO, 1232)
        return resolver


def _negative_ttl(exc: object, name: object) -> float:
    """Give the TTL that the SOA of an NXDOMAIN names (RFC 2308 5), cut to our limit."""
    try:
        ttl = float(_response(exc, name).resolve_chaining().minimum_ttl)
    except (KeyError, ValueError, AttributeError):
        return _LEAST_TTL_S
    return min(ttl, _MOST_NEGATIVE_TTL_S)


def _response(exc: Any, name: object) -> Any:
    """Give the message behind a dns.resolver.NXDOMAIN, None if it has none."""
    try:
        return exc.response(name)
    except KeyError:
        return None


def _tlsa(text: str) -> Tlsa:
    """Read a TLSA record as `_text` writes it: three numbers, and the data in hexadecimal."""
    usage, selector, matching, data = text.split(" ", 3)
    from paravion.domain.tlsa import Tlsa  # for a validating resolver alone

    return Tlsa(int(usage), int(selector), int(matching), bytes.fromhex(data))


def _text(record: object, kind: str) -> str:
    """Give a record as text: `preference host` for MX (host "" if null), the joined strings for TXT."""
    if kind == "MX":
        host = record.exchange.to_text(omit_final_dot=True).lower()  # type: ignore[attr-defined]
        return f"{record.preference} {'' if host in ('.', '@', '') else host}"  # type: ignore[attr-defined]
    if kind == "TXT":
        return b"".join(record.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
    return record.to_text()  # type: ignore[attr-defined, no-any-return]


def _dns_failed(name: str, found: _Found) -> Outcome:
    return our_outcome(status.DNS_TEMPFAIL, f"{_shown(name)}: {found.failed}", _DNS)


def _shown(text: str) -> str:
    return printable(text.encode("utf-8", "replace"))[:200]
