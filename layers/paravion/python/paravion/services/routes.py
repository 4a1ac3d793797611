"""
Which next hop the mailertable names for a domain.

    right side            the mail
    --------------------  ----------------------------------------------------------------------------
    `smtp:host`           goes to the MX of that host
    `smtp:[host]:port`    goes to that host itself, which may have a private address: the operator named it
    `discard:`            is dropped, as delivered
    `error:…`             fails, in those words

Asks for tables once a minute, and for nothing more while no mailertable is loaded. Used by services/deliver.py,
and by services/verify.py for showing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from paravion.domain.next_hop import SMTP_PORT, NextHop, route
from paravion.domain.outcome import Outcome, Result
from paravion.domain.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paravion.ports import Tables


@dataclass(frozen=True, slots=True)
class MxRoute:
    """A route to the MX hosts of another domain."""

    domain: str
    port: int

    def resolved(self, found: NextHop | Outcome) -> NextHop | Outcome:
        """Give what the resolver found, on the route's port."""
        if isinstance(found, Outcome) or self.port == SMTP_PORT:
            return found
        hosts = tuple(replace(host, port=self.port) for host in found.hosts)
        return replace(found, name=f"{found.name}:{self.port}", hosts=hosts)


def routes_for(domains: Iterable[str], tables: Tables) -> dict[str, NextHop | MxRoute | Outcome]:
    """
    Give the route of each domain that the mailertable has; the others go as ever.

    Raises:
        LedgerUnavailable
    """
    if "mailertable" not in tables.loaded():
        return {}
    from paravion.domain.tables import mailer_keys

    keys = {domain: mailer_keys(domain) for domain in domains}
    found = tables.lookup("mailertable", list(dict.fromkeys(key for some in keys.values() for key in some)))
    values = {domain: next((found[key] for key in some if key in found), "") for domain, some in keys.items()}
    return {domain: _route(value) for domain, value in values.items() if value}


def refused(refusal: Refusal) -> Outcome:
    """What a table said to a recipient."""
    failed = refusal.status.startswith("5")
    return Outcome(Result.FAILED if failed else Result.DEFERRED, refusal.status, text=refusal.text, command="LOCAL")


def _route(value: str) -> NextHop | MxRoute | Outcome:
    kind, _, rest = value.partition(":")
    if kind == "error":
        return refused(Refusal.parse(rest))
    if kind == "discard":
        return Outcome(Result.DELIVERED, "2.0.0", text="discarded, as the mailertable says", command="LOCAL")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":") or str(SMTP_PORT)
        address = host.removeprefix("IPv6:")
        hop = route(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        assert hop is not None  # noqa: S101 (only `mx` gives none)
        return hop
    name, _, port = rest.partition(":")
    return MxRoute(name, int(port or SMTP_PORT))
