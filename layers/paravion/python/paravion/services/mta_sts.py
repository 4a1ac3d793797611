"""
What is known of a domain's MTA-STS policy, at the cost of a cached TXT look-up in the steady state.

    TXT record            what is kept             done
    --------------------  -----------------------  ---------------------------------------------------------
    none, no answer       nothing                  nothing: there is no policy
    none, no answer       a policy                 it holds until it expires: whoever can forge the DNS can
                                                   hide the record, and that is what the policy is against
    an id                 of that id, fresh        it holds
    an id                 other id, stale, none    fetched, and kept; if that fails what is kept holds, and
                                                   the host is not asked again for five minutes

A warm function asks the store once an hour for each domain that it sends to, and then remembers; what it fetched it
tells the store, so that others need not. A policy is stale after half its life, and after a day at most.

Next on the message's path: adapters/smtp_client.py enforces it (domain/tls_policy.py).
RFC: 8461 3.3 (fetching), 5.1 (applying), 10.2 (what a cached policy protects from).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paravion.domain.mta_sts import KeptPolicy, StsFault, parse_policy, parse_record
from paravion.domain.tls_facts import TlsResult
from paravion.domain.tls_policy import NO_STS, StsFinding
from paravion.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.ports import EventLog, PolicyHost, Resolver, TlsPolicies

NOTHING_S: Final = 3600.0
"""How long a function believes that the store has no policy for a domain without a TXT record."""

PAUSE_S: Final = 300.0
"""RFC 8461 3.3: no more than one attempt in five minutes to fetch what could not be fetched."""

_MOST_DOMAINS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found for a domain while its TXT record said `policy_id`; looked at again after `until`."""

    policy_id: str | None
    kept: KeptPolicy | None
    until: float
    fault: str = ""

    def holds(self, policy_id: str | None, now: float) -> bool:
        return self.policy_id == policy_id and now < self.until and (self.kept is None or self.kept.is_valid(now))

    @property
    def finding(self) -> StsFinding:
        if self.kept is None and not self.fault:
            return NO_STS
        return StsFinding(self.kept.policy if self.kept else None, "" if self.kept else self.fault)


class StsFinder:
    """
    Finds policies, for one event loop; lives as long as the function.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        resolver: Resolver,
        host: PolicyHost,
        policies: TlsPolicies,
        event_log: EventLog,
        clock: Callable[[], float],
    ) -> None:
        self._resolver = resolver
        self._host = host
        self._policies = policies
        self._event_log = event_log
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._under_way: dict[str, asyncio.Task[_Known]] = {}

    async def find(self, domain: str) -> StsFinding:
        """Give what is known of a domain's policy (lower case, A-labels; "" has none). Never raises."""
        if not domain:
            return NO_STS
        policy_id = parse_record(await self._resolver.txt(f"_mta-sts.{domain}"))
        known = self._known.get(domain)
        if known is not None and known.holds(policy_id, self._clock()):
            return known.finding
        task = self._under_way.get(domain)
        if task is None:
            task = self._under_way[domain] = asyncio.ensure_future(self._look(domain, policy_id, known))
            task.add_done_callback(lambda _: self._under_way.pop(domain, None))
        # Shielded: who gives up must not take the answer from the others.
        known = await asyncio.shield(task)
        self._known.pop(domain, None)
        while len(self._known) >= _MOST_DOMAINS:
            del self._known[next(iter(self._known))]
        self._known[domain] = known
        return known.finding

    async def _look(self, domain: str, policy_id: str | None, known: _Known | None) -> _Known:
        now = self._clock()
        kept = known.kept if known is not None and known.kept is not None and known.kept.is_valid(now) else None
        if kept is None or not kept.serves(policy_id, now):
            # Another function may have fetched what we lack.
            stored = await self._stored(domain)
            if stored is not None and stored.is_valid(now) and (kept is None or stored.fetched_at > kept.fetched_at):
                kept = stored
        if policy_id is None:
            return _Known(None, kept, now + NOTHING_S)
        if kept is not None and kept.serves(policy_id, now):
            return _Known(policy_id, kept, kept.stale_at)
        fetched = await self._host.fetch(domain)
        fault = fetched.result if isinstance(fetched, StsFault) else ""
        if not isinstance(fetched, StsFault):
            try:
                fresh = KeptPolicy(policy_id, parse_policy(fetched), now)
            except ValueError:
                fault = TlsResult.STS_POLICY_INVALID
            else:
                await self._keep(domain, fresh)
                return _Known(policy_id, fresh, fresh.stale_at)
        return _Known(policy_id, kept, now + PAUSE_S, fault)

    async def _stored(self, domain: str) -> KeptPolicy | None:
        try:
            return await asyncio.to_thread(self._policies.get, domain)
        except Unavailable as exc:
            self._event_log.emit("Fault", {"stage": "mta-sts", "domain": domain, "error": repr(exc)})
            return None

    async def _keep(self, domain: str, policy: KeptPolicy) -> None:
        try:
            # crash here = the next function fetches it again
            await asyncio.to_thread(self._policies.put, domain, policy)
        except Unavailable as exc:
            self._event_log.emit("Fault", {"stage": "mta-sts", "domain": domain, "error": repr(exc)})
