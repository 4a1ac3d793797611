"""
SES v2's operations on the account-level suppression list.

Addresses are compared, and shown, without regard to case. A tenant's list is not offered, nor is the validation of
addresses.

Next: services/suppression.py.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from paravion.api.ses_faults import SesFault, bad_request, refuse_unsupported
from paravion.api.ses_model import SES_V2
from paravion.services import suppression

if TYPE_CHECKING:
    from paravion.api.doors import Call
    from paravion.domain.suppression import Suppressed
    from paravion.services.admin import AdminDeps

_PAGE_MAX: Final = 1000
"""SES's own limit of PageSize, and what it gives without one."""


@SES_V2.operation("PutSuppressedDestination")
def put_suppressed_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List an address. Raises Rejected, Unavailable."""
    refuse_unsupported(given, ("TenantName",))
    suppression.add(given["EmailAddress"], given["Reason"], call.principal, call.deps)
    return {}


@SES_V2.operation("GetSuppressedDestination")
def get_suppressed_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Show an entry. Raises Rejected, Unavailable."""
    refuse_unsupported(given, ("TenantName",))
    entry = suppression.show(given["EmailAddress"], call.principal, call.deps)
    # What caused it, where a message did.
    attributes = {"Attributes": {"MessageId": entry.queue_id}} if entry.queue_id else {}
    return {"SuppressedDestination": {**_summary(entry), **attributes}}


@SES_V2.operation("DeleteSuppressedDestination")
def delete_suppressed_destination(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Take an address off. Raises Rejected, Unavailable."""
    refuse_unsupported(given, ("TenantName",))
    suppression.remove(given["EmailAddress"], call.principal, call.deps)
    return {}


@SES_V2.operation("ListSuppressedDestinations")
def list_suppressed_destinations(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """List entries, a page at a time. Raises SesFault, Rejected, Unavailable."""
    refuse_unsupported(given, ("TenantName",))
    limit = given.get("PageSize", _PAGE_MAX)
    if not 1 <= limit <= _PAGE_MAX:
        raise bad_request(f"PageSize must be 1 to {_PAGE_MAX}.")
    since, until = given.get("StartDate"), given.get("EndDate")
    if since and until and since > until:
        raise bad_request("StartDate must not be after EndDate.")
    try:
        page = suppression.page(
            _after(given.get("NextToken", "")),
            limit,
            call.principal,
            call.deps,
            reasons=given.get("Reasons", ()),
            since=since.timestamp() if since else -suppression.EVER,
            until=until.timestamp() if until else suppression.EVER,
        )
    except (ValueError, binascii.Error) as exc:
        raise SesFault(
            "InvalidNextTokenException", "The specified request includes an invalid or expired token."
        ) from exc
    return {
        "SuppressedDestinationSummaries": [_summary(entry) for entry in page.entries],
        "NextToken": base64.urlsafe_b64encode(page.after.encode()).decode() if page.after else None,
    }


@SES_V2.operation("PutAccountSuppressionAttributes")
def put_account_suppression_attributes(given: dict[str, Any], call: Call[AdminDeps]) -> dict[str, Any]:
    """Set for which reasons addresses are suppressed; none switches suppression off. Raises Rejected, Unavailable."""
    refuse_unsupported(given, ("ValidationAttributes",))
    suppression.set_account_reasons(given.get("SuppressedReasons", ()), call.principal, call.deps)
    return {}


def _summary(entry: Suppressed) -> dict[str, Any]:
    return {"EmailAddress": entry.address, "Reason": entry.reason.value, "LastUpdateTime": entry.updated_at}


def _after(token: str) -> str:
    return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
