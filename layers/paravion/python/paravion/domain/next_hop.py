"""
Where a recipient's mail goes before any name is looked up, and which addresses are never connected to.

Looks nothing up (adapters/dns_resolver.py) and connects to nothing (adapters/smtp_client.py).

RFC: 5321 4.1.3 (address literals) and 5.1; 6890 (special-purpose addresses), 6052 (NAT64), 3056 (6to4).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from paravion.domain.mta_sts import StsMode
from paravion.domain.tls_policy import NO_STS, StsFinding

SMTP_PORT: Final = 25
SMTPS_PORT: Final = 465
"""The port on which TLS comes first (RFC 8314 3.3)."""

# Special-purpose networks that some of the Pythons we run on call global (RFC 6890, 7526, 9637).
_SPECIAL: Final = (
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("3fff::/20"),
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS: Final = 65_536
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class MxHost:
    """
    One host to try.

    Attributes:
        name: Host name in A-labels or address literal without brackets; for TLS and the record.
        port: TCP port.
        addresses: To try in this order; empty: look them up when its turn comes.
        allow_private: A route names it on purpose; otherwise private addresses are refused.
        by_route: The operator named it, or the domain whose MX it is: what it wants of us is the operator's affair.
    """

    name: str
    port: int = SMTP_PORT
    addresses: tuple[str, ...] = ()
    allow_private: bool = False
    by_route: bool = False


@dataclass(frozen=True, slots=True)
class NextHop:
    """
    Where a set of recipients goes: hosts in the order of trying. `name` groups recipients of one hop.

    Attributes:
        tls: What the route asks for: none, may, encrypt, verify; "" leaves it to the setting.
        credential: Name of what we log in with, "" for nothing.
        policy_domain: Whose MX these are: the domain that MTA-STS asks (RFC 8461 3.4); "" where an operator or a
            literal named the host itself.
        secure: A validating resolver vouches for the list of hosts: DANE may be looked for (RFC 7672 2.2.1).
        sts: What is known of the policy domain's MTA-STS (services/mta_sts.py).
        behind: Hops for what this one can't be given (services/fallback.py).
    """

    name: str
    hosts: tuple[MxHost, ...]
    tls: str = ""
    credential: str = ""
    policy_domain: str = ""
    secure: bool = False
    sts: StsFinding = NO_STS
    behind: tuple[NextHop, ...] = ()

    def vouches_for(self, host: str) -> bool:
        """
        Say whether this host is beyond doubt one of the domain's, so that its proving its name means something.

        By DNSSEC or an MTA-STS policy; a host that bears the domain's own name, or that an operator named, needs none.

        RFC: 8689 4.2.1.
        """
        if self.secure or self.policy_domain in ("", host):
            return True
        policy = self.sts.policy
        return policy is not None and policy.mode is not StsMode.NONE and policy.allows(host)

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for recipients that share a transaction: the same hop, in the same way, and so on behind it."""
        return (self.name, self.tls, self.credential, *(part for hop in self.behind for part in hop.key))


def route(relay: str, tls: str = "", credential: str = "") -> NextHop | None:
    """
    Read the setting `relay`: the smarthost that takes all mail, or None when each domain's MX decides.

    A smarthost may have a private address: the operator named it.

    Args:
        relay: `mx` or `HOST:PORT`; an IPv6 address in brackets.
        tls, credential: Of the smarthost. With a credential TLS is verified if nothing is said: a password is no
            use to opportunism, which talks to whoever answers.

    Raises:
        ValueError: Neither; settings.py refuses it earlier.
    """
    if relay == "mx":
        return None
    name, colon, port = relay.rpartition(":")
    if not colon or not name or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < _PORTS:
        raise ValueError("must be mx or HOST:PORT")
    if is_literal(name):
        name = name[1:-1].removeprefix("IPv6:")
    try:
        addresses: tuple[str, ...] = (str(ipaddress.ip_address(name)),)
    except ValueError:
        addresses = ()
    host = MxHost(name, int(port), addresses, allow_private=True, by_route=True)
    return NextHop(relay, (host,), tls or ("verify" if credential else ""), credential)


def credential_name(name: str) -> str:
    """
    Give a credential's name.

    Raises:
        ValueError: It is none.
    """
    if not _CREDENTIAL.fullmatch(name):
        raise ValueError("a credential's name has 1 to 64 of letters, digits and . _ -, the first no punctuation")
    return name


def is_literal(domain: str) -> bool:
    """Say whether a domain has the brackets of an address literal."""
    return domain.startswith("[") and domain.endswith("]")


def literal_address(domain: str) -> str | None:
    """
    Give the IP address in an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]`, or None if it holds none.

    RFC: 5321 4.1.3.
    """
    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return str(ipaddress.IPv6Address(inner[5:]))
        return str(ipaddress.IPv4Address(inner))
    except ValueError:
        return None


def is_refused(address: str) -> bool:
    """
    Say whether mail is never sent to this address unless a route names it.

    Refused is everything that is not a global unicast address: loopback, private, link-local (with the
    metadata service), shared, documentation, reserved, multicast; the same wrapped in IPv6 (mapped, NAT64,
    6to4); and whatever is no IP address at all.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return True
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return True
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_refused(str(inner))
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.is_site_local:
        return True
    if any(parsed in network for network in _SPECIAL):
        return True
    return not parsed.is_global or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified
