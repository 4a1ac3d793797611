"""
Records of a name as text, for `paravion doctor`: blocking, uncached, "is not there" told from "no answer".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIFETIME_S = 5.0
"""Longest time for one look-up, all servers and repetitions together."""


class NameServerSilent(Exception):
    """No server answered, or they answered that they can't."""


class DnsRecords:
    """
    Looks records up.

    Args:
        nameserver: IP address; "": the system's.
        port: Of the name server.
    """

    def __init__(self, nameserver: str = "", port: int = 53, *, lifetime_s: float = LIFETIME_S) -> None:
        import dns.resolver

        self._resolver = dns.resolver.Resolver(configure=not nameserver)
        if nameserver:
            self._resolver.nameservers = [nameserver]
            self._resolver.port = port
        self._lifetime_s = lifetime_s

    def look_up(self, name: str, kind: str) -> Sequence[str]:
        """
        Give a name's records of a type; [] when there is none, or no such name.

        Returns:
            TXT: each one's strings joined. MX: host names by preference, "." for a null MX. Else as it is written,
            names without their final dot.

        Raises:
            NameServerSilent
        """
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            answer = self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, lifetime=self._lifetime_s
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN, dns.name.LabelTooLong, dns.name.EmptyLabel):
            return []
        except (dns.exception.DNSException, OSError, EOFError) as exc:
            raise NameServerSilent(f"{name} {kind}") from exc
        records = list(answer.rrset or ())
        if kind == "TXT":
            return [b"".join(record.strings).decode("utf-8", "replace") for record in records]
        if kind == "MX":
            records.sort(key=lambda record: int(record.preference))
            return [_name(record.exchange.to_text()) for record in records]
        return [_name(record.to_text()) for record in records]


def _name(text: str) -> str:
    return text.lower().removesuffix(".") or "."
