"""
Manage the suppression list: show, add, remove, and for which reasons addresses are suppressed.

Only an operator's credential may: the list holds everybody's recipients, and decides whose mail is sent.

Next: api/ses_v2_suppression.py and api/native_suppression.py ask; services/withhold.py goes by the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.address import shown
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.suppression import Reason, Suppressed, normal_form, read_reasons
from paravion.services.authenticate import require_operator
from paravion.services.withhold import reasons_in_force

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from paravion.ports import SuppressionPage
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

EVER: Final = float("inf")


def add(address: str, reason: str, principal: Principal, deps: AdminDeps) -> Suppressed:
    """
    List an address, in place of the entry that it may have; what an operator lists does not expire.

    Raises:
        Rejected: access_denied; bad_request: no address, no reason.
        LedgerUnavailable
    """
    _check(principal)
    entry = Suppressed(_address(address), reason_of(reason), deps.clock(), "operator", by=principal.access_key)
    deps.suppression.put(entry)
    fields = {"address": entry.address, "reason": entry.reason.value, "principal": principal.access_key}
    deps.event_log.emit("Suppressed", fields)
    return entry


def show(address: str, principal: Principal, deps: AdminDeps) -> Suppressed:
    """Give an address's entry. Raises Rejected (access_denied, bad_request, not_found), LedgerUnavailable."""
    _check(principal)
    address = _address(address)
    entry = deps.suppression.find([address], deps.clock()).get(address)
    if entry is None:
        raise _unlisted(address)
    return entry


def remove(address: str, principal: Principal, deps: AdminDeps) -> None:
    """Take an address off the list. Raises Rejected (access_denied, bad_request, not_found), LedgerUnavailable."""
    _check(principal)
    address = _address(address)
    if not deps.suppression.delete(address, deps.clock()):
        raise _unlisted(address)
    deps.event_log.emit("Unsuppressed", {"address": address, "principal": principal.access_key})


def page(
    after: str,
    limit: int,
    principal: Principal,
    deps: AdminDeps,
    *,
    reasons: Collection[str] = (),
    since: float = -EVER,
    until: float = EVER,
) -> SuppressionPage:
    """
    List entries, of some reasons alone if any are named; as ports.Suppression.page.

    Raises:
        Rejected: access_denied; bad_request: a reason that is none.
        ValueError: `after` is not from a page before.
        LedgerUnavailable
    """
    _check(principal)
    wanted = frozenset(map(reason_of, reasons)) or frozenset(Reason)
    return deps.suppression.page(after, limit, deps.clock(), reasons=wanted, since=since, until=until)


def account_reasons(deps: AdminDeps) -> tuple[Reason, ...]:
    """Give the reasons for which addresses are suppressed now. Raises LedgerUnavailable."""
    return reasons_in_force(deps.suppression, deps.settings.suppression_reasons)


def set_account_reasons(reasons: Sequence[str], principal: Principal, deps: AdminDeps) -> tuple[Reason, ...]:
    """
    Set for which reasons addresses are suppressed, in place of the setting; it takes effect within a minute.

    Raises:
        Rejected: access_denied; bad_request: a reason that is none.
        LedgerUnavailable
    """
    _check(principal)
    try:
        found = read_reasons(reasons)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"a reason {exc}") from exc
    deps.suppression.set_reasons(found)
    fields = {"reasons": [reason.value for reason in found], "principal": principal.access_key}
    deps.event_log.emit("SuppressionReasons", fields)
    return found


def view(entry: Suppressed) -> dict[str, Any]:
    """Give an entry as the native API shows it; `queue_id`, `reply`, `by`, `expires_at` where it has them."""
    told = {"address": entry.address, "reason": entry.reason.value, "updated_at": entry.updated_at}
    more = {"queue_id": entry.queue_id, "reply": entry.reply, "by": entry.by, "expires_at": entry.expires_at}
    return {**told, "source": entry.source, **{name: value for name, value in more.items() if value}}


def _check(principal: Principal) -> None:
    require_operator(principal, "the suppression list is")


def _address(address: str) -> str:
    try:
        return normal_form(address)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"address {shown(address)}: {shown(str(exc), 200)}") from exc


def reason_of(reason: str) -> Reason:
    """Read a reason. Raises Rejected (bad_request)."""
    try:
        return Reason(reason)
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"a reason must be of {', '.join(Reason)}") from exc


def _unlisted(address: str) -> Rejected:
    return Rejected(NOT_FOUND, f"Email address {shown(address, 320)} does not exist on your suppression list.")
