"""
Manage a tenant's account: whether mail is taken at all, and what was told of its use.

No quota is enforced; the answers say so in SES's way.

Next: api/ses_v2_account.py and api/ses_v1_account.py ask; services/configuration.py goes by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain.account import KIND, NAME
from paravion.services.authenticate import require_manager
from paravion.services.record_change import change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

UNLIMITED: Final = -1.0
"""SES's word for a Max24HourSend without a limit."""

TOLD_RATE: Final = 1000.0
"""Nothing limits the rate, for which SES has no word: clients pace themselves by what they are told."""


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
