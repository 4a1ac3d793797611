"""
Tell of several jobs of one message in one report: what failed together is told together.

A message to more than 100 has several jobs, each with a ledger record that owes its own notices. Whichever is told
first looks at the others of its group (ten jobs) and takes in what they owe of the same kind. While one of them is
still being tried it waits for a minute, no longer. Only mail of several jobs gets here, so others pay nothing.

What makes it exactly once, whoever breaks off where and however many do this at the same time: the report, with the
numbers of the jobs that it tells of, is kept in the spool under an id that follows from the message, the kind and a
running number, before anything else. Such an object is written once; who comes second reads what the first has kept.
So the numbers' reports never share a notice, and each is sent with the same octets by everybody who sends it.

    crash before the object is kept     nothing has happened
    after it, before the report is sent each of its jobs finds itself in it, and sends it
    after it, before all are settled    the same: the report's own id makes it one message
    two at the same time                one object is kept; the other reads it, and tells of the rest under the next

Next on the message's path: services/report.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from paravion.domain import queue
from paravion.domain.envelope import Envelope, decode_qf, encode_qf
from paravion.domain.ids import queue_id_from
from paravion.domain.outcome import HOLD, Result
from paravion.domain.queue import Job, JobKey, Notice, NoticeKind, State
from paravion.errors import LedgerUnavailable, SpoolMissing
from paravion.ports import QueueName
from paravion.services.bounce import settle
from paravion.services.report import build, keep, members_of, return_at

if TYPE_CHECKING:
    from paravion.domain.queue import JobRecord
    from paravion.services.bounce import BounceDeps
    from paravion.services.report import Members, Subject

    Told = frozenset[tuple[int, int]]

GROUP_JOBS: Final = 10
"""Jobs that may share a report: 1,000 recipients, the most of one submission."""

WAIT_S: Final = 60.0
"""How long the first failure waits for jobs that are still being tried; from the attempt's end."""

RETURN_WAIT_S: Final = 120.0
"""The same, of what was cancelled: a job that was being tried then is seen by the next minute's sweep."""

STEP_S: Final = 10.0
"""After how long it looks again."""

_MOST: Final = 10 * GROUP_JOBS
"""Reports of a group that share their names but for the number: one for each job, and again for what is owed anew."""

_END: Final = NoticeKind.EXPIRED
"""Names what jobs owe when their time is over, whoever was refused then and whoever was given up."""

_ONCE: Final = frozenset({_END, NoticeKind.DELAYED})
"""
What jobs owe at the same time, whatever the number of the attempt; delays again at a deadline and when requeued.

So do those that a hold's end returned (`_is_returned`).
"""


def tell_joined(record: JobRecord, about: Subject, deps: BounceDeps) -> bool:
    """
    Tell what a job of several owes, with what its siblings owe of the same kind.

    Returns:
        False when siblings are still being tried: the job comes back a little later, and its notice stays owed.

    Raises:
        Unavailable: A repeat is safe.
    """
    mine = (record.key.chunk, about.notice.attempt)
    told: Told = frozenset()
    for number in range(_MOST):
        name = _name(record, about, number)
        found = _look(queue_id_from(f"joined\0{name}".encode()), deps)
        if found is None:
            owed, under_way = _owed(record, about, told, deps)
            patience_s = RETURN_WAIT_S if _is_returned(owed[mine]) else WAIT_S
            wait_s = max(state.at for _, state in owed[mine]) + patience_s - deps.clock()
            if under_way and wait_s > 0:
                deps.to_commit.queues.send(
                    QueueName.BOUNCE, [Job(record.key, record.queued_at)], delay_s=min(wait_s, STEP_S)
                )
                return False
            found = _decide(name, record, about, owed, deps)
        kept, report = found
        covered = frozenset((int(chunk), int(attempt)) for chunk, attempt in kept.tags)
        if mine in covered:
            _send(name, kept, report, about, deps)
            told_with = _told_with(record, about.notice, about.envelope)
            for chunk, attempt in sorted(covered - {mine}):
                settle(JobKey(record.key.queue_id, chunk), partial(_is_told, attempt, told_with, about.envelope), deps)
            return True
        told |= covered
    raise LedgerUnavailable(f"no free number for the report on {record.key}")


def _name(record: JobRecord, about: Subject, number: int) -> str:
    """Name the `number`th report of a group: what may be told together has the same names."""
    kind, attempt = _told_with(record, about.notice, about.envelope)
    group = record.key.chunk // GROUP_JOBS
    return f"{about.kind}\0{record.key.queue_id}\0{group}\0{kind}\0{attempt}\0{number}"


def _told_with(record: JobRecord, notice: Notice, envelope: Envelope) -> tuple[NoticeKind, int]:
    """Give kind and attempt that those notices have in common that are told together."""
    if notice.kind is NoticeKind.FAILED and _is_returned(members_of(record, notice, envelope)):
        return NoticeKind.FAILED, 0
    kind = _END if queue.is_of_the_end(record, notice) else notice.kind
    return kind, 0 if kind in _ONCE else notice.attempt


def _is_returned(members: Members) -> bool:
    """Say whether a hold's end failed them, all with one notice: whatever attempts each job had made before."""
    return any(state.outcome.command == HOLD and state.outcome.result is Result.FAILED for _, state in members)


def _look(kept_id: str, deps: BounceDeps) -> tuple[Envelope, bytes] | None:
    try:
        return decode_qf(deps.to_commit.spool.get_envelope(kept_id))
    except SpoolMissing:
        return None


def _is_told(
    attempt: int, told_with: tuple[NoticeKind, int], envelope: Envelope, record: JobRecord, notice: Notice
) -> bool:
    return notice.attempt == attempt and _told_with(record, notice, envelope) == told_with


def _owed(
    record: JobRecord, about: Subject, told: Told, deps: BounceDeps
) -> tuple[dict[tuple[int, int], Members], bool]:
    """Give what the group's jobs owe, by job and attempt, and whether one of them is still being tried."""
    first = record.key.chunk // GROUP_JOBS * GROUP_JOBS
    chunks = range(first, min(first + GROUP_JOBS, about.envelope.chunk_count))
    keys = [JobKey(record.key.queue_id, chunk) for chunk in chunks if chunk != record.key.chunk]
    siblings = deps.to_commit.in_parallel([partial(deps.ledger.load, key) for key in keys])
    mine = members_of(record, about.notice, about.envelope)
    owed = {(record.key.chunk, about.notice.attempt): mine}
    told_with, is_returned = _told_with(record, about.notice, about.envelope), _is_returned(mine)
    now = deps.clock()
    under_way = False
    for sibling in siblings:
        if sibling is None or sibling.state in {State.CLAIMED, State.READY, State.TRIED}:
            # Of one that was tried `retry` is about to say what it said of this one.
            under_way = True
        elif sibling.state is State.HELD and is_returned and queue.is_to_be_returned(sibling, now):
            under_way = True
        if sibling is None:
            continue
        for notice in sibling.owed:
            same = _told_with(sibling, notice, about.envelope) == told_with
            job = (sibling.key.chunk, notice.attempt)
            is_told_here = same and job not in told and queue.can_tell(sibling, notice)
            members = members_of(sibling, notice, about.envelope) if is_told_here else ()
            if members:
                owed[job] = members
    return owed, under_way


def _decide(
    name: str, record: JobRecord, about: Subject, owed: dict[tuple[int, int], Members], deps: BounceDeps
) -> tuple[Envelope, bytes]:
    """Keep the report that tells of all these, or give the one that was kept meanwhile."""
    jobs = sorted(owed)
    members = tuple(member for job in jobs for member in owed[job])
    header, body = build(queue_id_from(name.encode()), about, members, return_at(record, deps), deps)
    envelope = Envelope(
        queue_id=queue_id_from(f"joined\0{name}".encode()),
        reverse_path="",
        recipients=(),
        queued_at=max(state.at for _, state in members),
        body_octets=0,
        kind="joined",
        door="bounce",
        tags=tuple((str(chunk), str(attempt)) for chunk, attempt in jobs),
    )
    report = header + b"\r\n" + body
    # The instant that decides. crash here = whoever comes next finds it, and sends it
    existing = deps.to_commit.spool.put_envelope(envelope.queue_id, encode_qf(envelope, report))
    return (envelope, report) if existing is None else decode_qf(existing)


def _send(name: str, kept: Envelope, report: bytes, about: Subject, deps: BounceDeps) -> None:
    header, _, body = report.partition(b"\r\n\r\n")
    report_id = queue_id_from(name.encode())
    keep(report_id, about, header + b"\r\n", body, kept.queued_at, deps)
    fields = {"queue_id": about.envelope.queue_id, "notice": about.notice.kind.value, "jobs": len(kept.tags)}
    deps.event_log.emit("Report", {**fields, "report_id": report_id, "to": about.to, "kind": about.kind})
