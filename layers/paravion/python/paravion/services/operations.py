"""
The record of what operators did to more than one message: who, when, what, why, and how much came of it.

What is done to one message stands in that message's own history; every act is in the event log besides. A record is
written before the first job is touched and again with what was done, so that one that broke off is seen, too. Kept
for KEPT_S: whoever begins an operation takes away some that are older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

KIND: Final = "operation"

KEPT_S: Final = 90 * 86_400.0

_LATEST_MS: Final = 10**14
_AWAY_AT_ONCE: Final = 20


def begin(verb: str, what: Mapping[str, Any], reason: str, principal: Principal, deps: AdminDeps) -> str:
    """
    Enter that an operation begins.

    Args:
        what: Of which mail, or which item.

    Returns:
        Its name, in whose order the newest comes first.

    Raises:
        LedgerUnavailable
    """
    now = deps.clock()
    name = f"{_age(now)}-{deps.new_token()[:16]}"
    value = {"operation": verb, "what": dict(what), "reason": reason, "by": principal.access_key, "at": now}
    deps.records.put(KIND, name, {**value, "changed": 0, "finished": False})
    for old in deps.records.page(KIND, _AWAY_AT_ONCE, _age(now - KEPT_S)):
        deps.records.delete(KIND, old.name)
    return name


def add(name: str, told: Mapping[str, int], deps: AdminDeps, *, finished: bool) -> None:
    """
    Add to an operation's counts.

    Raises:
        Rejected: not_found.
        LedgerUnavailable
    """
    value = dict(find(name, deps))
    for key, count in told.items():
        value[key] = value.get(key, 0) + count
    deps.records.put(KIND, name, {**value, "finished": finished, "last_at": deps.clock()})


def find(name: str, deps: AdminDeps) -> Mapping[str, Any]:
    """Give an operation's record. Raises Rejected (not_found), LedgerUnavailable."""
    record = deps.records.get(KIND, name)
    if record is None:
        raise Rejected(NOT_FOUND, "no such operation")
    return record.value


def list_operations(limit: int, after: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Give the operations of the last KEPT_S, newest first.

    The page has at most `limit` (>= 1) and begins behind the name `after` ("": at the newest).

    Raises:
        Rejected: access_denied, bad_request.
        LedgerUnavailable
    """
    require_operator(principal, "operations are")
    if not after.isascii() or len(after) > 64:  # noqa: PLR2004 (a name's length, and some)
        raise Rejected(BAD_REQUEST, "after is no operation's name")
    found = deps.records.page(KIND, limit + 1, after)
    oldest = _age(deps.clock() - KEPT_S)
    page = [{"id": record.name, **record.value} for record in found[:limit] if record.name <= oldest]
    return {"operations": page, "after": found[limit - 1].name if len(found) > limit and len(page) == limit else None}


def _age(at: float) -> str:
    return f"{_LATEST_MS - int(at * 1000):015}"
