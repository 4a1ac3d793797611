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

The report's queue id follows from the job and the notice, so that a repeat after a crash is one message.
Until it is on the road the notice stays owed; what can't be handled ends in the parked queue.

The suppression list is told here as well (services/suppress.py), of addresses that do not exist.

Next on the message's path: services/commit.py, then services/deliver.py as for any other message.
RFC: 3464 (format), 3461 5.2 and 6 (who is told what), 5321 6.1 (null reverse-path).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from paravion.domain import queue
from paravion.domain.dsn import Report, build_dsn
from paravion.domain.envelope import Arrivals, Envelope, Recipient, decode_qf
from paravion.domain.ids import queue_id_from
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import NoticeKind, RecipientState
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.status import Rejected
from paravion.errors import ClaimLost, LedgerUnavailable, SpoolMissing
from paravion.ports import QueueName
from paravion.services.batch import work_through
from paravion.services.commit import CommitDeps, commit, enqueue
from paravion.services.signing import Signer, hash_to_sign, signed
from paravion.services.suppress import SuppressDeps, suppress_bounced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.domain.queue import Job, JobRecord, Notice, Received
    from paravion.ports import EventLog, Ledger, Tables

    Members = tuple[tuple[Recipient, RecipientState], ...]

RETURN_CONTENT_OCTETS: Final = 50_000
"""A larger original is returned as headers only (Postfix's bounce_size_limit has the same value)."""

EXPANDING: Final = frozenset({"aliases", "virtusertable"})
"""Tables by which an addressee may be somebody else."""

_CONFLICTS: Final = 10
_VARIANTS: Final = 3


@dataclass(frozen=True, slots=True)
class BounceDeps:
    """
    What `bounce` needs.

    Attributes:
        hostname: Reporting-MTA, and the domain of the report's sender.
        postmaster: Who gets double bounces; "" for nobody.
        return_s: How long the queue keeps trying: what a delay report promises.
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
        if record.state is queue.State.CLAIMED and notice.attempt == record.attempts:
            # The attempt is under way: its members still come in. Whoever ends it asks for the report again.
            continue
        if notice.kind is NoticeKind.SUPPRESS:
            suppress_bounced(record, notice, deps.to_suppress)
        elif notice.kind is NoticeKind.REPLY:
            from paravion.services.auto_reply import reply  # the mailbox simulator's

            reply(record, notice, deps)
        else:
            _report(record, notice, deps)
        # crash here = reported again under the same queue id, which is one message
        _settle(record, notice, deps)


def _report(record: JobRecord, notice: Notice, deps: BounceDeps) -> None:
    envelope, header = decode_qf(deps.to_commit.spool.get_envelope(record.key.queue_id))
    members = _members(record, notice, envelope)
    if notice.kind in queue.ARRIVALS and envelope.arrivals:
        to, kind = envelope.arrivals.sender, "dsn"
        # The list's members are nobody's business: the report speaks of a message to those that were named.
        recipients = tuple(recipient for recipient, _ in members)
        envelope = replace(envelope, envid=envelope.arrivals.envid, recipients=recipients)
    else:
        to, kind = _addressee(envelope, notice, deps.postmaster)
    fields = {"queue_id": envelope.queue_id, "notice": notice.kind.value, "recipients": len(members)}
    if not envelope.reports and notice.kind in {NoticeKind.FAILED, NoticeKind.EXPIRED}:
        # Its sender's identity has another way to hear of it (services/sender.py).
        return
    if not members:
        # Those who were late when the report came due need none any more.
        return
    if not to:
        deps.event_log.emit("DoubleBounceDropped", fields)
        return
    for variant in range(_VARIANTS):
        report_id = queue_id_from(f"{kind}\0{record.key}\0{notice}\0{variant}".encode())
        try:
            _send_report(report_id, members, record, notice, envelope, header, to, kind, deps)
        except Rejected:
            # A crash between the body and the envelope left a body that this one differs from (a delay
            # report tells of the latest reply): nothing was promised under that id, take the next.
            if _is_kept(report_id, deps):
                return
            continue
        deps.event_log.emit("Report", {**fields, "report_id": report_id, "to": to, "kind": kind})
        return
    raise LedgerUnavailable(f"no free queue id for the report on {record.key}")


def _members(record: JobRecord, notice: Notice, envelope: Envelope) -> Members:
    if notice.kind in queue.ARRIVALS:
        told = envelope.arrivals or Arrivals("")
        arrived = Outcome(Result.DELIVERED, "2.0.0", command="LOCAL")
        return tuple(
            (recipient, RecipientState(recipient.forward_path, arrived, envelope.queued_at, notice.attempt))
            for recipient in (told.lists if notice.kind is NoticeKind.LISTED else told.aliases)
        )
    notify = {n: recipient.notify for n, recipient in envelope.chunk(record.key.chunk).items()}
    states = queue.members(record, notice, notify)
    return tuple((envelope.recipients[n], state) for n, state in sorted(states.items()))


def _addressee(envelope: Envelope, notice: Notice, postmaster: str) -> tuple[str, str]:
    """Give whom to tell ("" for nobody) and the kind of the report; the module's table."""
    if envelope.kind == "mail" and envelope.reverse_path:
        return envelope.reverse_path, "dsn"
    if envelope.kind == "double-bounce" or notice.kind not in {NoticeKind.FAILED, NoticeKind.EXPIRED}:
        return "", ""
    return postmaster, "double-bounce"


def _send_report(
    report_id: str,
    members: Members,
    record: JobRecord,
    notice: Notice,
    envelope: Envelope,
    header: bytes,
    to: str,
    kind: str,
    deps: BounceDeps,
) -> None:
    # The report is dated by what it reports, so that a repeat after a crash builds the same octets.
    now = max(state.at for _, state in members)
    return_s = min(seconds for seconds in (deps.return_s, record.max_delivery_s) if seconds)
    report_header, body = build_dsn(
        Report(
            queue_id=report_id,
            hostname=deps.hostname,
            now=now,
            to=to,
            kind=notice.kind,
            envelope=envelope,
            members=members,
            original_header=header,
            original_body=_original_body(envelope, notice, deps),
            return_at=min(record.counted_from + return_s, record.queued_at + LIFETIME_S),
        )
    )
    keys = deps.signer.keys_for(deps.hostname)
    hashed_body = hash_to_sign(body, keys)

    def make(
        own_id: str,
        recipients: tuple[Recipient, ...],
        trace: bytes = b"",
        parts: tuple[tuple[str, int], ...] = (),
        quarantine: str = "",
    ) -> tuple[Envelope, bytes]:
        """The report to these recipients; several have one body, which lies under the report's own id."""
        own_header = signed(trace + report_header, hashed_body, keys, now)
        own = Envelope(
            queue_id=own_id,
            reverse_path="",
            recipients=recipients,
            queued_at=deps.clock(),
            body_octets=len(body),
            body_type="7BIT" if body.isascii() else "8BITMIME",
            smtputf8=not own_header.isascii(),
            kind=kind,
            submitter=envelope.submitter,
            tenant=envelope.tenant,
            door="bounce",
            digest=report_id,
            body_id="" if own_id == report_id else report_id,
            parts=parts,
            quarantine=quarantine,
        )
        return own, own_header

    if EXPANDING.isdisjoint(deps.tables.loaded()):
        commit(*make(report_id, (Recipient(to),)), body, deps.to_commit)
        return
    from paravion.services.report_expansion import commit_expanded  # only with tables

    commit_expanded(to, report_id, make, body, deps)


def _original_body(envelope: Envelope, notice: Notice, deps: BounceDeps) -> bytes | None:
    """RFC 3461 6.2: only failures return content, and only if the sender did not ask for headers alone."""
    failure = notice.kind in {NoticeKind.FAILED, NoticeKind.EXPIRED}
    if not failure or envelope.ret == "HDRS" or envelope.body_octets > RETURN_CONTENT_OCTETS:
        return None
    try:
        return deps.to_commit.spool.get_body(envelope.df_id)
    except SpoolMissing:
        # The sender must hear of the failure even if the content is gone.
        return None


def _is_kept(queue_id: str, deps: BounceDeps) -> bool:
    """Say whether a whole report lies there already; then only its enqueueing can be missing."""
    try:
        kept, _ = decode_qf(deps.to_commit.spool.get_envelope(queue_id))
    except SpoolMissing:
        return False
    enqueue(kept, deps.to_commit)
    return True


def _settle(record: JobRecord, notice: Notice, deps: BounceDeps) -> None:
    """Take the notice off what the job owes."""
    for _ in range(_CONFLICTS):
        fresh = deps.ledger.load(record.key)
        if fresh is None or notice not in fresh.owed:
            return
        try:
            deps.ledger.save(replace(fresh, owed=tuple(item for item in fresh.owed if item != notice)))
        except ClaimLost:
            continue
        return
    raise LedgerUnavailable(f"{record.key} changes faster than it can be read")
