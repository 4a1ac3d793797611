"""
Manage a tenant's account: whether mail is taken at all, what was told of its use, and how much it may send.

Quotas are an operator's to set; services/quotas.py enforces them.

Next: api/ses_v2_account.py and api/ses_v1_account.py ask; services/configuration.py goes by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.account import KIND, MAX_24_HOUR_SEND, MAX_SEND_RATE, NAME
from paravion.domain.quota import UNLIMITED, Quota
from paravion.domain.statistics import KEPT_S, Tally
from paravion.domain.tenant import record_kind
from paravion.errors import LedgerUnavailable
from paravion.services.authenticate import require_manager, require_operator
from paravion.services.configuration import find_account
from paravion.services.record_change import change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.statistics import Point
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

TOLD_RATE: Final = 1000.0
"""Where nothing limits the rate, for which SES has no word: clients pace themselves by what they are told."""

_DAY_S: Final = 86_400.0


def show(principal: Principal, deps: AdminDeps) -> Mapping[str, Any]:
    """Give the account's record, {} for none. Raises LedgerUnavailable."""
    record = deps.records.get(principal.kind(KIND), NAME)
    return record.value if record else {}


def put(members: Mapping[str, Any], principal: Principal, deps: AdminDeps) -> None:
    """
    Set some members in place of what they were; it takes effect within a minute.

    Raises:
        Rejected: access_denied, changed_meanwhile.
        LedgerUnavailable
    """
    require_manager(principal, "the account's settings are")
    now = deps.clock()
    change(deps.records, principal.kind(KIND), NAME, lambda value: {**(value or {}), **members, "updated_at": now})
    deps.event_log.emit("AccountChanged", {"members": sorted(members), "principal": principal.access_key})


def quota_of(tenant: str, deps: AdminDeps) -> Quota:
    """Give the limits that hold for a tenant. Raises Misconfigured, LedgerUnavailable."""
    own = deps.settings
    return find_account(deps.records, tenant).quota(Quota(own.max_24_hour_send, own.max_send_rate))


def sent(tenant: str, quota: Quota, deps: AdminDeps) -> int | None:
    """
    Count what a tenant sent in the last 24 hours; None where nothing counts it.

    By its quota, which counts what was taken; else by the statistics, which count what came to its end.

    Raises:
        LedgerUnavailable
    """
    now = deps.clock()
    if not quota.is_unlimited:
        return deps.counters.sent(tenant, now)
    if not deps.has_statistics:
        return None
    return sum(point.tally.attempts for point in deps.counters.points(tenant, now - _DAY_S, now))


def send_quota(principal: Principal, deps: AdminDeps) -> dict[str, float]:
    """Give the quota in SES's words. Raises LedgerUnavailable."""
    quota = quota_of(principal.tenant, deps)
    count = sent(principal.tenant, quota, deps)
    rate = TOLD_RATE if quota.max_send_rate == UNLIMITED else quota.max_send_rate
    told = {"Max24HourSend": quota.max_24_hour_send, "MaxSendRate": rate}
    return told if count is None else {**told, "SentLast24Hours": float(count)}


def statistics(principal: Principal, deps: AdminDeps) -> list[Point]:
    """Give the caller's quarters of an hour of two weeks. Raises LedgerUnavailable."""
    now = deps.clock()
    return deps.counters.points(principal.tenant, now - KEPT_S, now)


def count_complaint(tenant: str, now: float, deps: AdminDeps) -> None:
    """Count a complaint, if anything is counted; best effort."""
    if not deps.has_statistics:
        return
    try:
        deps.counters.count(tenant, Tally(complaints=1), now)
    except LedgerUnavailable as exc:
        deps.event_log.emit("Fault", {"stage": "statistics", "error": repr(exc)})


def show_quota(tenant: str | None, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Tell what a tenant may send and has sent; None for the caller's.

    Raises:
        Rejected: access_denied: another one's, and the credential is no operator's.
        LedgerUnavailable
    """
    if tenant is None:
        tenant = principal.tenant
    if tenant != principal.tenant:
        require_operator(principal, "other tenants' quotas are")
    quota = quota_of(tenant, deps)
    return {
        "tenant": tenant,
        "max_24_hour_send": quota.max_24_hour_send,
        "max_send_rate": quota.max_send_rate,
        "sent_last_24_hours": sent(tenant, quota, deps),
    }


def put_quota(tenant: str, limits: Mapping[str, float | None], principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Set a tenant's limits; it takes effect within a minute.

    Args:
        limits: By the record's member: UNLIMITED for none, None for the settings' default. Others stay.

    Returns:
        As `show_quota`.

    Raises:
        Rejected: access_denied, changed_meanwhile.
        LedgerUnavailable
    """
    require_operator(principal, "quotas are")
    now = deps.clock()

    def edit(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
        merged = {**(value or {}), **limits, "updated_at": now}
        return {name: item for name, item in merged.items() if item is not None}

    change(deps.records, record_kind(tenant, KIND), NAME, edit)
    deps.event_log.emit(
        "QuotaSet",
        {
            "tenant": tenant,
            "max_24_hour_send": limits.get(MAX_24_HOUR_SEND),
            "max_send_rate": limits.get(MAX_SEND_RATE),
            "principal": principal.access_key,
        },
    )
    return show_quota(tenant, principal, deps)
