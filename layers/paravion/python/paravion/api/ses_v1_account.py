"""SES v1's operations on the account: the same account as v2's. Next: services/account.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from paravion.api.ses_model import SES_V1
from paravion.services import account

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V1.operation("GetAccountSendingEnabled")
def get_account_sending_enabled(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:  # noqa: ARG001
    """Tell whether mail is taken. Raises LedgerUnavailable."""
    return {"Enabled": account.show(call.principal, call.deps).get("SendingEnabled", True)}


@SES_V1.operation("UpdateAccountSendingEnabled")
def update_account_sending_enabled(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Pause all mail, or let it go on. Raises Rejected, Unavailable."""
    account.put({"SendingEnabled": given.get("Enabled", False)}, call.principal, call.deps)
    return {}


@SES_V1.operation("GetSendQuota")
def get_send_quota(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:  # noqa: ARG001
    """Tell what may be sent, and what was. Raises LedgerUnavailable."""
    return account.send_quota(call.principal, call.deps)


@SES_V1.operation("GetSendStatistics")
def get_send_statistics(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:  # noqa: ARG001
    """Tell what became of two weeks' mail, in quarters of an hour. Raises LedgerUnavailable."""
    return {
        "SendDataPoints": [
            {
                "Timestamp": datetime.fromtimestamp(point.at, UTC),
                "DeliveryAttempts": point.tally.attempts,
                "Bounces": point.tally.bounces,
                "Complaints": point.tally.complaints,
                "Rejects": point.tally.rejects,
            }
            for point in account.statistics(call.principal, call.deps)
        ]
    }
