"""
Hold new mail from now on: of a sender, or for a recipient, an address or a whole domain, as an operator says.

The rules are records (kind `hold`), which say who made them and why; after each change they are written anew as the
table `holds`, which services/access.py asks at submission beside the access table, so that they take effect within a
minute and cost what that table costs. Two operators at once: each writes his record first and the table then, and
again as long as the records have changed meanwhile, so that the last writer has seen all of them.

What waits already is held by selection (services/select.py); what a rule held stays held when it goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain import selection
from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, LIMIT_EXCEEDED, NOT_FOUND, Rejected
from paravion.errors import LedgerUnavailable
from paravion.services.access import HOLDS
from paravion.services.acts import check_reason
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from paravion.ports import Record
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

KIND: Final = "hold"
MAX_HOLDS: Final = 1000

_TRIES: Final = 10


def put_hold(name: str, reason: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Hold what is submitted from now on, or say another reason.

    Args:
        name: `to:` or `from:` and an address or a domain, which is that one alone.

    Raises:
        Rejected: access_denied, bad_request, limit_exceeded.
        LedgerUnavailable: Doing it again is safe.
    """
    require_operator(principal, "holding mail is")
    name = _name(name)
    check_reason(reason, is_needed=True)
    there = deps.records.page(KIND, MAX_HOLDS)
    if len(there) == MAX_HOLDS and name not in {record.name for record in there}:
        raise Rejected(LIMIT_EXCEEDED, f"{MAX_HOLDS} holds are the most")
    value = {"reason": reason, "by": principal.access_key, "at": deps.clock()}
    deps.records.put(KIND, name, value)
    _load(deps)
    _log("hold_new", name, reason, principal, deps)
    return {"name": name, **value}


def list_holds(principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """Give all rules, by name. Raises Rejected (access_denied), LedgerUnavailable."""
    require_operator(principal, "holds are")
    return {"holds": [{"name": record.name, **record.value} for record in deps.records.page(KIND, MAX_HOLDS)]}


def delete_hold(name: str, principal: Principal, deps: AdminDeps) -> None:
    """
    Hold it no longer; what is held stays held.

    Raises:
        Rejected: access_denied, bad_request, not_found.
        LedgerUnavailable: Doing it again is safe.
    """
    require_operator(principal, "holding mail is")
    name = _name(name)
    was_there = deps.records.delete(KIND, name)
    # Also where there was none: an earlier call may have broken off here.
    _load(deps)
    if not was_there:
        raise Rejected(NOT_FOUND, f"nothing is held by {shown(name, 330)}")
    _log("hold_no_more", name, "", principal, deps)


def _load(deps: AdminDeps) -> None:
    for _ in range(_TRIES):
        records = deps.records.page(KIND, MAX_HOLDS)
        if records:
            entries = {record.name: str(record.value["reason"]) for record in records}
            deps.tables.replace(HOLDS, entries, deps.clock())
        else:
            deps.tables.remove(HOLDS)
        if _marks(deps.records.page(KIND, MAX_HOLDS)) == _marks(records):
            return
    raise LedgerUnavailable("the holds change faster than they can be loaded")


def _marks(records: list[Record]) -> list[tuple[str, int]]:
    return [(record.name, record.version) for record in records]


def _name(text: str) -> str:
    tag, colon, rest = text.partition(":")
    tag = tag.strip().lower()
    try:
        if tag == "to" and colon:
            return f"to:{selection.parse(recipient=rest).recipient or _nothing()}"
        if tag == "from" and colon and rest != selection.NULL:
            return f"from:{selection.parse(sender=rest).sender or _nothing()}"
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, str(exc)) from exc
    raise Rejected(BAD_REQUEST, f"{shown(text, 330)}: to: or from:, and an address or a domain")


def _nothing() -> str:
    raise ValueError("an address or a domain must be named")


def _log(verb: str, name: str, reason: str, principal: Principal, deps: AdminDeps) -> None:
    told = {"operation": verb, "principal": principal.access_key, "reason": reason, "hold": name}
    deps.event_log.emit("Operation", told)
