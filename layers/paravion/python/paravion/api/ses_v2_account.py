"""
SES v2's operations on the account.

Next: services/account.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.api.ses_faults import refuse_unsupported
from paravion.api.ses_model import SES_V2
from paravion.services import account
from paravion.services.suppression import account_reasons

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.services.admin import AdminDeps


@SES_V2.operation("GetAccount")
def get_account(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:  # noqa: ARG001
    """Tell whether mail is taken, and for which reasons addresses are suppressed. Raises LedgerUnavailable."""
    value = account.show(call.principal, call.deps)
    shown = {
        "SendingEnabled": value.get("SendingEnabled", True),
        "ProductionAccessEnabled": True,
        "DedicatedIpAutoWarmupEnabled": False,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": account.send_quota(call.principal, call.deps),
        "SuppressionAttributes": {"SuppressedReasons": list(account_reasons(call.deps))},
    }
    return {**shown, "Details": value["Details"]} if "Details" in value else shown


@SES_V2.operation("PutAccountSendingAttributes")
def put_account_sending_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Pause all mail, or let it go on. Raises Rejected, Unavailable."""
    account.put({"SendingEnabled": bool(given.get("SendingEnabled", False))}, call.principal, call.deps)
    return {}


@SES_V2.operation("PutAccountDetails")
def put_account_details(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Keep what is told of the account's use; nobody reviews it. Raises SesFault, Rejected, Unavailable."""
    if not given.get("ProductionAccessEnabled", True):
        # There is no sandbox to go back to.
        refuse_unsupported(given, ("ProductionAccessEnabled",))
    details = {name: item for name, item in given.items() if name != "ProductionAccessEnabled"}
    account.put({"Details": details}, call.principal, call.deps)
    return {}
