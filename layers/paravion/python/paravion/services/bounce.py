"""
Tell the sender: build the report that a job owes and put it back on the road with a null reverse-path.

Whom a failure is reported to:

    the message was                       reported to                               as
    ------------------------------------  ----------------------------------------  -------------
    somebody's, with a reverse-path       the reverse-path                          dsn
    somebody's, with a null reverse-path  the postmaster setting; else dropped      double-bounce
    a report of ours (dsn)                the postmaster setting; else dropped      double-bounce
    a report about a report               nobody: dropped with a record             -

Delays and successes are reported to a reverse-path only; arrivals at lists and aliases (RFC 3461 5.2.7) to the
submission's, which a list's members do not have. Nothing loops: each step down this table is final.
An addressee that is an alias or a virtual user of ours is expanded (services/report_expansion.py).

A report is signed with the keys of the hostname's domain or the nearest one above it, if there are any.

A message of several jobs is told of in one report, as far as they end together (services/joined_report.py).

The report's queue id follows from the job and the notice, so that a repeat after a crash is one message.
Until it is on the road the notice stays owed; what can't be handled ends in the parked queue.

The suppression list is told here as well (services/suppress.py), of addresses that do not exist.

Next on the message's path: services/report.py, services/commit.py, then services/deliver.py as for any other message.
RFC: 3464 (format), 3461 5.2 and 6 (who is told what), 5321 6.1 (null reverse-path).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from paravion.domain import queue
from paravion.domain.queue import NoticeKind
from paravion.errors import ClaimLost, LedgerUnavailable
from paravion.ports import QueueName
from paravion.services.batch import work_through
from paravion.services.report import FAILURES, return_at, send_report, subject_of
from paravion.services.suppress import SuppressDeps, suppress_bounced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.domain.queue import Job, JobKey, JobRecord, Notice, Received
    from paravion.ports import EventLog, Ledger, Tables
    from paravion.services.commit import CommitDeps
    from paravion.services.signing import Signer

_CONFLICTS: Final = 10


@dataclass(frozen=True, slots=True)
class BounceDeps:
    """
    What `bounce` needs.

    Attributes:
        hostname: Reporting-MTA, and the domain of the report's sender.
        postmaster: Who gets double bounces; "" for nobody.
        return_s: How long the queue keeps trying: what a delay report promises.
        return_by_priority: The same, of priorities that have a time of their own.
        language: Of reports to senders that name none; one of domain/report_words.
        local_domains, max_expansion_count: See services/expand.py's TableSettings.
    """

    to_commit: CommitDeps
    ledger: Ledger
    to_suppress: SuppressDeps
    signer: Signer
    event_log: EventLog
    hostname: str
    postmaster: str
    return_s: float
    clock: Callable[[], float]
    tables: Tables
    local_domains: tuple[str, ...]
    max_expansion_count: int
    language: str = "en"
    return_by_priority: Mapping[str, float] = field(default_factory=dict)


def bounce(items: Sequence[Received], deps: BounceDeps) -> list[str]:
    """
    Send the reports that each item's job owes.

    Returns:
        The item ids that could not be handled; see services/batch.py.
    """
    return work_through(
        items,
        lambda job: _tell(job, deps),
        queue=QueueName.BOUNCE,
        queues=deps.to_commit.queues,
        event_log=deps.event_log,
    )


def _tell(job: Job, deps: BounceDeps) -> None:
    record = deps.ledger.load(job.key)
    if record is None:
        raise LedgerUnavailable(f"{job.key} owes a report, but has no record")
    # The sender before the list, whatever keeps the list from being written.
    reports = [notice for notice in record.owed if notice.kind not in queue.EVENTS]
    for notice in sorted(reports, key=lambda notice: notice.kind is NoticeKind.SUPPRESS):
        if not queue.can_tell(record, notice):
            continue
        if notice.kind is NoticeKind.SUPPRESS:
            suppress_bounced(record, notice, deps.to_suppress)
        elif notice.kind is NoticeKind.REPLY:
            from paravion.services.auto_reply import reply  # the mailbox simulator's

            reply(record, notice, deps)
        elif not _report(record, notice, deps):
            continue
        # crash here = reported again under the same queue id, which is one message
        settle(record.key, partial(_is_same, notice), deps)


def _is_same(told: Notice, record: JobRecord, notice: Notice) -> bool:  # noqa: ARG001 (as `settle` asks)
    return notice == told


def _report(record: JobRecord, notice: Notice, deps: BounceDeps) -> bool:
    """Send one report; False when it has to wait for others that may join it, and the notice stays owed."""
    about, members = subject_of(record, notice, deps)
    envelope = about.envelope
    fields = {"queue_id": envelope.queue_id, "notice": notice.kind.value, "recipients": len(members)}
    if not envelope.reports and notice.kind in FAILURES:
        # Its sender's identity has another way to hear of it (services/sender.py).
        return True
    if not members:
        # Those who were late when the report came due need none any more.
        return True
    if not about.to:
        deps.event_log.emit("DoubleBounceDropped", fields)
        return True
    if envelope.chunk_count > 1 and notice.kind not in queue.ARRIVALS:
        from paravion.services.joined_report import tell_joined  # only for mail to more than 100

        return tell_joined(record, about, deps)
    seed = f"{about.kind}\0{record.key}\0{notice}"
    report_id = send_report(seed, about, members, return_at(record, deps), deps)
    deps.event_log.emit("Report", {**fields, "report_id": report_id, "to": about.to, "kind": about.kind})
    return True


def settle(key: JobKey, is_told: Callable[[JobRecord, Notice], bool], deps: BounceDeps) -> None:
    """Take the notices that are told off what the job owes. Raises: LedgerUnavailable."""
    for _ in range(_CONFLICTS):
        fresh = deps.ledger.load(key)
        if fresh is None:
            return
        told = [notice for notice in fresh.owed if is_told(fresh, notice)]
        if not told:
            return
        try:
            deps.ledger.save(queue.settled(fresh, told))
        except ClaimLost:
            continue
        return
    raise LedgerUnavailable(f"{key} changes faster than it can be read")
