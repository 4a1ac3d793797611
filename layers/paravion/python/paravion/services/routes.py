"""
Which next hops the mailertable names for a domain.

    right side            the mail
    --------------------  ----------------------------------------------------------------------------
    `smtp:…`              goes to the hops that domain/routes.py reads there, the first that takes it
    `discard:`            is dropped, as delivered
    `error:…`             fails, in those words

Asks for tables once a minute, and for nothing more while no mailertable is loaded. Used by services/deliver.py,
and by services/verify.py for showing. Next: services/fallback.py has the hops behind the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from paravion.domain.next_hop import SMTP_PORT, NextHop, route
from paravion.domain.outcome import Outcome, Result
from paravion.domain.refusal import Refusal
from paravion.domain.verdict import combine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paravion.domain.routes import Hop
    from paravion.ports import Tables


@dataclass(frozen=True, slots=True)
class MxRoute:
    """A hop to the MX hosts of another domain."""

    domain: str
    port: int
    tls: str = ""
    credential: str = ""

    def resolved(self, found: NextHop | Outcome) -> NextHop | Outcome:
        """Give what the resolver found, on the route's port."""
        if isinstance(found, Outcome):
            return found
        name = found.name if self.port == SMTP_PORT else f"{found.name}:{self.port}"
        hosts = tuple(replace(host, port=self.port, by_route=True) for host in found.hosts)
        return replace(found, name=name, hosts=hosts, tls=self.tls, credential=self.credential)


@dataclass(frozen=True, slots=True)
class Chain:
    """Hops to be tried one after the other, at least two."""

    hops: tuple[NextHop | MxRoute, ...]

    def resolved(self, found: Sequence[NextHop | Outcome]) -> NextHop | Outcome:
        """Give the first hop with those behind it; `found` has one for each. One without hosts is left out."""
        hops = [each for each in found if isinstance(each, NextHop)]
        if hops:
            return replace(hops[0], behind=tuple(hops[1:]))
        outcome: Outcome | None = None
        for each in found:
            outcome = combine(outcome, each)  # type: ignore[arg-type]  # nothing but outcomes is left
        assert outcome is not None  # noqa: S101 (a chain is not empty)
        return outcome


Route = NextHop | MxRoute | Chain | Outcome
"""What the mailertable says."""


def routes_for(domains: Iterable[str], tables: Tables) -> dict[str, Route]:
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


def _route(value: str) -> Route:
    kind, _, rest = value.partition(":")
    if kind == "error":
        return refused(Refusal.parse(rest))
    if kind == "discard":
        return Outcome(Result.DELIVERED, "2.0.0", text="discarded, as the mailertable says", command="LOCAL")
    from paravion.domain.routes import parse_hops

    hops = tuple(_hop(hop) for hop in parse_hops(value))
    return hops[0] if len(hops) == 1 else Chain(hops)


def _hop(hop: Hop) -> NextHop | MxRoute:
    if not hop.is_host:
        return MxRoute(hop.host, hop.port, hop.tls, hop.credential)
    address = hop.host.removeprefix("IPv6:")
    named = route(f"[{address}]:{hop.port}" if ":" in address else f"{address}:{hop.port}", hop.tls, hop.credential)
    assert named is not None  # noqa: S101 (only `mx` gives none)
    return named
