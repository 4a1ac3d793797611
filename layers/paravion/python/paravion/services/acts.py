"""
An operator's acts on jobs: what each changes in a record, and how the change is made of one message's jobs.

An act is one conditional write for each job, which stands in the job's history with who did it and why; what it sends
to a queue follows that write, and is found by the sweep if it gets lost. So a crash between two steps neither loses
nor doubles anything, and doing it again is safe. Of a submission that became several messages the first one's id
stands for all of them; each can be named alone too.

The acts are those of services/hold.py, services/flush.py and services/cancel.py; services/select.py has the same for
all jobs of a sender, a recipient or a host.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from paravion.domain import ids, queue
from paravion.domain.envelope import decode_qf
from paravion.domain.queue import JobKey, JobRecord, State
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.errors import ClaimLost, LedgerUnavailable, SpoolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.ports import Queues
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

MAX_REASON: Final = 200
"""Characters; the access table takes no more either."""

_CONFLICTS: Final = 10


class Act(Protocol):
    """
    One act of one operator.

    Attributes:
        verb: What it is called: in the event log, in lists of operations, in refusals.
        event: What it is called in a job's history.
        ends: It ends jobs, rather than keep or hurry them.
        reason: Why, as he says; "" if he doesn't.
        shards: Parts of the due index that hold jobs which it may change.
    """

    @property
    def verb(self) -> str: ...  # noqa: D102 (an attribute)
    @property
    def event(self) -> str: ...  # noqa: D102
    @property
    def ends(self) -> bool: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def shards(self) -> Sequence[int]: ...  # noqa: D102

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:
        """
        Give the record as it should be, or None when there is nothing to change. Called again after a conflict.

        Args:
            envelope: None where the record alone must do.
        """
        ...

    def finish(self, changed: Sequence[JobRecord]) -> dict[str, Any]:
        """Do what follows the writes; gives what is to be told of it. Raises Unavailable: doing it again is safe."""
        ...


class SendsNothing:
    """An act that is over with its writes: the sweep finds what it made due."""

    def finish(self, changed: Sequence[JobRecord]) -> dict[str, Any]:  # noqa: ARG002 (an Act)
        """See Act."""
        return {}


class Acted(NamedTuple):
    """
    What became of one job.

    Attributes:
        record: As it stands now, None if there is none.
        is_changed: By the act.
        release_at: Of its message, where that was read; 0 for none.
    """

    key: JobKey
    record: JobRecord | None
    is_changed: bool
    release_at: float = 0.0

    def why_left(self, now: float) -> str:
        """
        Say in a word why it was left, "" if it was not.

        in_hand, scheduled, waiting, held, done, removed, or cancelled: it is returned by the next sweep.
        """
        state = self.record.state if self.record is not None else State.READY
        if self.is_changed:
            return ""
        if self.record is not None and self.record.cancelled and not self.record.is_closed:
            return "cancelled"
        if state in {State.HELD, State.DONE, State.REMOVED, State.CLAIMED}:
            return "in_hand" if state is State.CLAIMED else state.value
        if self.release_at > now or (self.record is not None and queue.is_scheduled(self.record, now)):
            return "scheduled"
        return "waiting" if state is State.DEFERRED else "in_hand"


def check_reason(reason: str, *, is_needed: bool = False) -> str:
    """
    Give a reason that stands in one line of the history.

    Raises:
        Rejected: bad_request.
    """
    if (is_needed and not reason.strip()) or len(reason) > MAX_REASON or (reason and not reason.isprintable()):
        raise Rejected(BAD_REQUEST, f"reason must be {'1' if is_needed else '0'} to {MAX_REASON} printable characters")
    return reason


def act_on_message(queue_id: str, act: Act, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Do an act on all jobs of a message.

    Returns:
        queue_id, changed (how many jobs), jobs (queue_id, chunk, state and, where a job was left as it was, `left`:
        why), and what the act tells besides.

    Raises:
        Rejected: not_found.
        Unavailable: Doing it again is safe.
    """
    # All are read before the first is changed: what can't be done is refused without having been half done.
    messages = list(_messages(queue_id, deps))
    done = [acted for message_id, envelope in messages for acted in _on_jobs(message_id, envelope, act, deps)]
    changed = [acted.record for acted in done if acted.is_changed and acted.record is not None]
    if changed:
        # Before what follows, which may break off: the records have it already.
        log(act, principal, deps, queue_id=queue_id, jobs=len(changed))
    told = act.finish(changed)
    now = deps.clock()
    return {
        "queue_id": queue_id,
        "changed": len(changed),
        "jobs": [
            {
                "queue_id": acted.key.queue_id,
                "chunk": acted.key.chunk,
                "state": acted.record.state.value if acted.record else "queued",
                **({} if acted.is_changed else {"left": acted.why_left(now)}),
            }
            for acted in done
        ],
        **told,
    }


def log(act: Act, principal: Principal, deps: AdminDeps, **fields: Any) -> None:
    """Enter an act into the event log."""
    told = {"operation": act.verb, "principal": principal.access_key, "reason": act.reason}
    deps.event_log.emit("Operation", {**told, **fields})


def change_job(
    key: JobKey,
    record: JobRecord | None,
    act: Act,
    envelope: Envelope | None,
    deps: AdminDeps,
    *,
    is_meant: Callable[[JobRecord], bool] = lambda _: True,
) -> Acted:
    """
    Make one conditional write; again with what stands there if somebody was faster.

    Args:
        envelope: None: a job without a record is left as it is.
        is_meant: Asked of what stands there then; if not, it is left.

    Raises:
        LedgerUnavailable
    """
    release_at = envelope.release_at if envelope is not None else 0.0
    for _ in range(_CONFLICTS):
        known = record or _untried(key, envelope)
        new = act.change(known, envelope) if known is not None else None
        if new is None:
            return Acted(key, record, is_changed=False, release_at=release_at)
        try:
            return Acted(key, deps.ledger.save(new), is_changed=True, release_at=release_at)
        except ClaimLost:
            record = deps.ledger.load(key)
            if record is not None and not is_meant(record):
                return Acted(key, record, is_changed=False, release_at=release_at)
    raise LedgerUnavailable(f"{key} changes faster than it can be read")


def queues_of(deps: AdminDeps) -> Queues:
    """Give the queues that an operator's acts send to."""
    if deps.to_commit is None:
        raise RuntimeError("this installation has no queues to send to")
    return deps.to_commit.queues


def _on_jobs(queue_id: str, envelope: Envelope | None, act: Act, deps: AdminDeps) -> Iterator[Acted]:
    records = {record.key.chunk: record for record in deps.ledger.load_message(queue_id)}
    for chunk in range(envelope.chunk_count) if envelope is not None else sorted(records):
        yield change_job(JobKey(queue_id, chunk), records.get(chunk), act, envelope, deps)


def _untried(key: JobKey, envelope: Envelope | None) -> JobRecord | None:
    """Give the record of a job that nobody has claimed; its first write is conditional on there being none."""
    if envelope is None:
        return None
    record = JobRecord(
        key,
        envelope.queued_at,
        State.READY,
        recipient_count=len(envelope.chunk(key.chunk)),
        reverse_path=envelope.reverse_path,
        held_s=max(0.0, envelope.release_at - envelope.queued_at),
    )
    return queue.with_times_of(record, envelope)


def _messages(queue_id: str, deps: AdminDeps) -> Iterator[tuple[str, Envelope | None]]:
    """
    The message, and those that came of the same submission if it is the first of them; by id.

    None in place of an envelope that is gone from the spool: of that message the jobs that the ledger knows must do.
    """
    if not ids.is_queue_id(queue_id):
        raise Rejected(NOT_FOUND, "no such message")
    first = _envelope(queue_id, deps)
    if first is None and not deps.ledger.load_message(queue_id):
        raise Rejected(NOT_FOUND, "no such message")
    if first is not None and first.body_id:
        # Its own qf may be of an earlier try than the commit: its jobs are dated by the first message's.
        dated = _envelope(first.body_id, deps)
        first = replace(first, queued_at=dated.queued_at) if dated is not None else None
    yield queue_id, first
    for part_id, _ in first.parts if first is not None else ():
        part = _envelope(part_id, deps)
        yield part_id, replace(part, queued_at=first.queued_at) if part is not None and first is not None else None


def _envelope(queue_id: str, deps: AdminDeps) -> Envelope | None:
    try:
        return decode_qf(deps.spool.get_envelope(queue_id))[0]
    except SpoolMissing:
        return None
