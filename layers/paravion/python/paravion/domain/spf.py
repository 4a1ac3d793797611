"""
Whether a domain's SPF record lets an address send: enough of RFC 7208 for a diagnosis, not for a receiver.

No macros, `exists` and `ptr`: what depends on them is unknown. What is looked up is counted as RFC 7208 4.6.4 says.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOKUPS_MAX: Final = 10
"""RFC 7208 4.6.4: more is a permanent error."""

_RESULTS: Final = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)")
_MECHANISM: Final = re.compile(r"([+\-~?]?)([A-Za-z0-9]+)(?::(.+?))?(?:/(\d{1,3}))?(?://(\d{1,3}))?")


class _Ended(Exception):
    """The check can't go on: permerror or unknown, its argument."""


def spf_records(texts: Sequence[str]) -> list[str]:
    """Give the SPF records among TXT strings (RFC 7208 4.5)."""
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def check_spf(domain: str, address: str, look_up: Callable[[str, str], Sequence[str]]) -> str:
    """
    Say what the domain's record says of an address.

    Args:
        look_up: Name and type (TXT, MX, A, AAAA) to records: TXT strings, host names (MX), addresses.

    Returns:
        pass, fail, softfail, neutral, none, permerror or unknown.
    """
    try:
        return _Check(address, look_up).result_of(domain)
    except _Ended as exc:
        return str(exc)


class _Check:
    def __init__(self, address: str, look_up: Callable[[str, str], Sequence[str]]) -> None:
        self._ip = ipaddress.ip_address(address)
        self._family = "A" if self._ip.version == 4 else "AAAA"  # noqa: PLR2004 (IPv4)
        self._look_up = look_up
        self._lookups = 0

    def result_of(self, domain: str) -> str:
        records = spf_records(self._look_up(domain, "TXT"))
        if len(records) != 1:
            return "permerror" if records else "none"
        redirect = ""
        for word in records[0].split()[1:]:
            if "%" in word:
                raise _Ended("unknown")
            modifier = _MODIFIER.fullmatch(word)
            if modifier is None:
                mechanism = _MECHANISM.fullmatch(word)
                if mechanism is None:
                    raise _Ended("permerror")
                if self._matches(domain, *mechanism.groups()[1:]):
                    return _RESULTS[mechanism[1] or "+"]
            elif modifier[1].lower() == "redirect":
                redirect = modifier[2]
        return self._follow(redirect) if redirect else "neutral"

    def _matches(self, domain: str, kind: str, value: str | None, length: str | None, length6: str | None) -> bool:
        match kind.lower():
            case "all":
                return True
            case "ip4" | "ip6":
                return self._is_in(value or "", length)
            case "include":
                return self._follow(value or "") == "pass"
            case "a":
                self._count()
                return self._is_host(value or domain, length, length6)
            case "mx":
                self._count()
                hosts = self._look_up(value or domain, "MX")
                return any(self._is_host(host, length, length6) for host in hosts)
            case "exists" | "ptr":
                raise _Ended("unknown")
        raise _Ended("permerror")

    def _follow(self, domain: str) -> str:
        """Give another domain's result, where having none is an error (RFC 7208 5.2, 6.1)."""
        self._count()
        result = self.result_of(domain)
        if result in {"none", "permerror"}:
            raise _Ended("permerror")
        return result

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > LOOKUPS_MAX:
            raise _Ended("permerror")

    def _is_host(self, host: str, length: str | None, length6: str | None) -> bool:
        chosen = length if self._family == "A" else length6
        return any(self._is_in(address, chosen) for address in self._look_up(host, self._family))

    def _is_in(self, address: str, length: str | None) -> bool:
        try:
            network = ipaddress.ip_network(f"{address}/{length}" if length else address, strict=False)
        except ValueError as exc:
            raise _Ended("permerror") from exc
        return self._ip.version == network.version and self._ip in network
