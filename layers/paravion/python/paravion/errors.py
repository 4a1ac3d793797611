"""
The exceptions of broken machinery; never the outcome of a delivery.

    MailError
    ├── Misconfigured       a setting is missing or bad; carries every problem at once
    ├── Unavailable         an outside thing failed, is slow or throttled: transient by definition
    │   ├── SpoolUnavailable
    │   ├── QueueUnavailable
    │   ├── LedgerUnavailable
    │   ├── SecretsUnavailable
    │   └── ManagementUnavailable
    ├── SpoolMissing        an object that must exist does not
    ├── SpoolConflict       an object that must be new exists with other content
    ├── ManagementFailed    the function that manages broke off, or answered what is no answer
    ├── RecordTooLarge      a record is more than the store holds
    ├── RecordUnreadable    a job's record is damaged, or of a later version of paravion
    └── ClaimLost           somebody else changed the job since we read it

A refused submission is `domain.status.Rejected`, which the domain itself raises.

Adapters translate their library's errors into these, each in one mapping, `raise … from exc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paravion.domain.queue import Job


class MailError(Exception):
    """Base of everything that paravion raises on purpose."""


class Misconfigured(MailError):
    """Settings are missing or bad; `problems` holds a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Unavailable(MailError):
    """
    An outside thing failed for now. The mail is deferred, never bounced, for this.

    Attributes:
        is_undecided: What was asked for may have been done all the same. Told by the database of one machine; of an
            outside service nobody ever knows.
    """

    is_undecided = False


class SpoolUnavailable(Unavailable):
    """The content store can't be reached or throttles."""


class QueueUnavailable(Unavailable):
    """The queue refuses or can't be reached."""


class LedgerUnavailable(Unavailable):
    """The ledger throttles or can't be reached."""


class SecretsUnavailable(Unavailable):
    """The secret store throttles or can't be reached."""


class ManagementUnavailable(Unavailable):
    """The function that manages can't be reached or throttles; nothing is known of what it did."""


class SpoolMissing(MailError):
    """A spooled object that a committed job names is not there."""


class SpoolConflict(MailError):
    """The key is taken by other content: spooled objects are immutable."""


class ManagementFailed(MailError):
    """The function that manages broke off or answered nonsense; nothing is known of what it did."""


class RecordTooLarge(MailError):
    """More than the store holds in one record: the caller must make it smaller."""


class RecordUnreadable(MailError):
    """A job's record can't be read; `job` names it, its commit instant 0 where that can't be read either."""

    def __init__(self, job: Job, problem: str) -> None:
        super().__init__(f"{job.key}: {problem}")
        self.job = job


class ClaimLost(MailError):
    """The job's record changed under us: what we hold is stale and must not be written."""
