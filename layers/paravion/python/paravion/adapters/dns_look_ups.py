"""
Single look-ups for callers without an event loop, outside the mail's road: identities, `doctor`, `sendmail -bv`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome


def look_up_txt(name: str) -> list[str]:
    """See ports.Resolver.txt."""
    import asyncio  # dear, and seldom needed where this is imported

    from paravion.adapters.dns_resolver import DnsResolver

    # An identity asks for up to five records, one after the other, within the API's 30 s.
    return asyncio.run(DnsResolver(lifetime_s=4.0).txt(name))


def look_up_next_hop(domain: str) -> NextHop | Outcome:
    """See ports.Resolver.next_hop."""
    import asyncio

    from paravion.adapters.dns_resolver import DnsResolver

    return asyncio.run(DnsResolver().next_hop(domain))
