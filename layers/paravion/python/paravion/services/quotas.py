"""
Hold a tenant to what it may send: in 24 hours, and in a second.

Asked when all else is well and before anything is kept, so that who is refused can simply try again. Recipients count
as they are named, suppressed ones too and members of aliases not; the mailbox simulator's for the rate only. Of a
tenant without limits nothing is asked and nothing counted. When the counters are away mail goes on, uncounted: a
limit is no reason to stop it.

What was not kept is given back, and so is what its sender takes back untried (services/cancel.py).

Next: services/validate.py.
SES: "Managing your sending quotas"; the words are SES's.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paravion.domain.quota import HOURS, Limit, Quota, Want
from paravion.domain.simulator import is_simulated
from paravion.domain.status import QUOTA_EXCEEDED, RATE_EXCEEDED, Rejected
from paravion.errors import LedgerUnavailable, Misconfigured
from paravion.services.configuration import find_account

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from paravion.domain.envelope import Recipient
    from paravion.domain.quota import Short
    from paravion.domain.submission import Submission
    from paravion.services.admin import AdminDeps
    from paravion.services.validate import ValidateDeps

_REFUSALS: Final = {
    Limit.RATE: (RATE_EXCEEDED, "Maximum sending rate exceeded."),
    Limit.DAY: (QUOTA_EXCEEDED, "Daily message quota exceeded."),
}


@dataclass(slots=True)
class Charge:
    """What was counted for a message; given back unless `is_due` when it ends."""

    is_due: bool = False


@contextmanager
def charged(submission: Submission, recipients: Sequence[Recipient], deps: ValidateDeps) -> Iterator[Charge]:
    """
    Count a message's recipients, for as long as it takes to keep it, and for good if it was.

    Raises:
        Rejected: rate_exceeded, quota_exceeded.
        Misconfigured, LedgerUnavailable: The account can't be read.
    """
    charge = Charge()
    own = deps.settings
    quota = find_account(deps.records, submission.tenant).quota(Quota(own.max_24_hour_send, own.max_send_rate))
    if quota.is_unlimited:
        yield charge
        return
    real = _real((recipient.forward_path for recipient in recipients), own.simulator_domain)
    now = deps.clock()
    short: Short | None = None
    day = real
    try:
        short = deps.counters.take(submission.tenant, Want(real, len(recipients)), quota, now)
    except LedgerUnavailable as exc:
        day = 0
        deps.event_log.emit("Fault", {"stage": "quota", "error": repr(exc)})
    if short is not None:
        status, text = _REFUSALS[short.limit]
        raise Rejected(status, text, wait_s=short.wait_s)
    # crash here = counted for a day, and not sent
    try:
        yield charge
    except Exception:
        _give_back(submission.tenant, day, now, deps)
        raise
    if not charge.is_due:
        _give_back(submission.tenant, day, now, deps)


def is_counted(tenant: str, taken_at: float, deps: AdminDeps) -> bool:
    """Say whether what a tenant sent at some time may count towards its quota now; one read. Never raises."""
    own = deps.settings
    if deps.clock() - taken_at > (HOURS + 1) * 3600:
        return False
    try:
        found = find_account(deps.records, tenant).quota(Quota(own.max_24_hour_send, own.max_send_rate))
    except (LedgerUnavailable, Misconfigured) as exc:
        deps.event_log.emit("Fault", {"stage": "quota", "error": repr(exc)})
        return False
    return not found.is_unlimited


def give_back(tenant: str, addresses: Collection[str], taken_at: float, deps: AdminDeps) -> None:
    """
    Take back what was counted for addresses whose mail their sender took back himself; best effort, one write.

    Args:
        addresses: As he named them.
        taken_at: When they were counted; `is_counted` says that they were.
    """
    _give_back(tenant, _real(addresses, deps.settings.simulator_domain), taken_at, deps)


def _real(addresses: Iterable[str], simulator_domain: str) -> int:
    """Count the addresses that are not simulated: SES counts none of these."""
    return sum(not is_simulated(address, simulator_domain) for address in addresses)


def _give_back(tenant: str, count: int, taken_at: float, deps: AdminDeps | ValidateDeps) -> None:
    if not count:
        return
    try:
        deps.counters.give_back(tenant, count, taken_at)
    except LedgerUnavailable as exc:
        deps.event_log.emit("Fault", {"stage": "quota", "error": repr(exc)})
