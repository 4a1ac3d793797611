"""
Show hosts' states to the operator, and take his word about them: limits, and a fresh start.

Only an operator's credential may do this: a host's limit slows everybody's mail.

Next: domain/pacing.py has the rules that services/pacing.py keeps to.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from paravion.domain import pacing
from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from paravion.domain.pacing import HostState
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

_NAME_CHARACTERS = 260


def list_hosts(limit: int, after: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Give the hosts that have a state, by name.

    The page has at most `limit` (>= 1) and begins behind the name `after` ("": at the first).

    Raises:
        Rejected: access_denied.
        LedgerUnavailable
    """
    require_operator(principal, "hosts are")
    found = deps.hosts.all(limit + 1, after)
    page = found[:limit]
    return {"hosts": list(map(_fields, page)), "after": page[-1].name if len(found) > limit else None}


def show_host(name: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Show one host.

    Raises:
        Rejected: access_denied; not_found: nothing is known of it, which is how most hosts are.
        LedgerUnavailable
    """
    require_operator(principal, "hosts are")
    return _fields(_found(deps.hosts.get(host_name(name)), name))


def limit_host(
    name: str, max_rate: float | None, max_slots: int | None, principal: Principal, deps: AdminDeps
) -> dict[str, Any] | None:
    """
    Set an operator's limits; None leaves one as it is, 0 takes it away.

    Returns:
        The host, None when nothing is left to know of it.

    Raises:
        Rejected: access_denied, bad_request.
        ClaimLost: It changes too fast; trying again is safe.
        LedgerUnavailable
    """
    require_operator(principal, "hosts are")
    name = host_name(name)
    change = partial(pacing.limited, name=name, max_rate=max_rate, max_slots=max_slots, now=deps.clock())
    state = deps.hosts.update(name, change)
    deps.event_log.emit(
        "HostLimited",
        {"host": name, "rate": max_rate, "concurrency": max_slots, "principal": principal.access_key},
    )
    return _fields(state) if state else None


def reset_host(name: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Forget what was learnt of a host; an operator's limits stay.

    Raises:
        Rejected: access_denied, not_found.
        ClaimLost: It changes too fast; trying again is safe.
        LedgerUnavailable
    """
    require_operator(principal, "hosts are")
    found: list[HostState | None] = []

    def change(state: HostState | None) -> HostState | None:
        found.append(state)
        return state and pacing.reset(state, deps.clock())

    deps.hosts.update(host_name(name), change)
    _found(found[-1], name)
    deps.event_log.emit("HostReset", {"host": host_name(name), "principal": principal.access_key})


def host_name(name: str) -> str:
    """Give a host's or domain's name as it is stored. Raises Rejected (bad_request)."""
    if not 0 < len(name) <= _NAME_CHARACTERS or not name.isascii() or not name.isprintable() or " " in name:
        raise Rejected(BAD_REQUEST, f"{shown(name[:100])} is no host or domain in ASCII")
    return name.lower().removesuffix(".")


def _found(state: HostState | None, name: str) -> HostState:
    if state is None:
        raise Rejected(NOT_FOUND, f"nothing is known of {shown(name)}")
    return state


def _fields(state: HostState) -> dict[str, Any]:
    return {
        "name": state.name,
        "state": state.phase,
        "since": state.since,
        "last_at": state.last_at,
        "last_text": state.last_text,
        "rate_per_minute": round(state.rate_now, 2) or None,
        "concurrency": state.slots_now or None,
        "limit": {"rate_per_minute": state.max_rate or None, "concurrency": state.max_slots or None},
        "failures": state.failures,
        "held_until": state.hold_until or None,
        "promised_until": state.booked or None,
    }
