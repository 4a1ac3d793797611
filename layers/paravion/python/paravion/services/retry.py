"""
Decide about time: when a job is tried again, when its sender is warned, when it is given up.

Two ways in. `retry` takes what the delivery queue's dead-letter queue holds: every failure of any kind,
and reads in the ledger what happened. `sweep` runs every minute and sends back what is due.

    found in the ledger                 means                            done about it
    ----------------------------------  -------------------------------  ---------------------------------
    no record                           never claimed: throttle, crash   waits a little; no attempt counted
    no record, released later           sent on a later day              due at its release (commit.py)
    ready                               the same, after a sweep          waits a little; no attempt counted
    claimed, lease running              another worker has it            looked at again when the lease ends
    claimed, lease over                 the attempt broke off            waits a little, then tried again
    claimed, tried: by the sweep        its item was lost                the same as by its item
    tried, somebody deferred            a reply, or a dead host          by the schedule, or when the host said
    tried, all wait for their turn      hosts ask for less (pacing.py)   straight back, by the queue's delay
    tried, nobody deferred              our own fault stopped it         waits a little, then tried again
    deferred                            lies in the due index already    nothing
    ready, its next attempt to come     the mail is late, or DELIVERBY   its sender is told; tried as planned
                                        (by-mode N) just over
    held                                waits for an operator            nothing; returned at LIFETIME_S
    held, its deadline over             DELIVERBY, by-mode N             its sender is told; held
    held, cancelled                     an operator ends it              returned
    any, the envelope gone              the spool lost it, or somebody   as ever, in case it comes back; then failed
    any of these, quarantine asked for  an operator held it meanwhile    held
    done, reports owed                  the bounce queue missed it       sent there again
    done, removed                       over                             nothing

Whoever is still undelivered when the mail's time is up (schedule.bounded) is given up here, whatever kept him from it.
What can't be handled here raises, and ends in the parked queue.

One job's or shard's trouble in a sweep is no other's: it is logged, and the rest goes out. What could not be sent is as
due as it was. A sweep that gets nothing done raises, for the function's alarm.

Next on the message's path: services/bounce.py for what is owed, services/deliver.py for what is due.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from paravion.domain import asked, lost, queue, schedule
from paravion.domain.classification import record_fields
from paravion.domain.envelope import decode_qf
from paravion.domain.outcome import GIVEN_UP, HOLD, Outcome, Result
from paravion.domain.queue import ALL_SHARDS, Job, JobRecord, Notice, NoticeKind, State
from paravion.domain.status import ATTEMPT_BROKE_OFF, CANCELLED, CONTENT_LOST, HELD_TOO_LONG
from paravion.errors import ClaimLost, LedgerUnavailable, RecordUnreadable, SpoolMissing
from paravion.ports import MAX_DELAY_S, QueueName
from paravion.services.batch import work_through
from paravion.services.statistics import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.queue import DueJob, JobKey, Received
    from paravion.domain.schedule import Plan
    from paravion.ports import Counters, EventLog, Ledger, Queues, Spool

T = TypeVar("T")

_CONFLICTS = 5
"""Times that a record may change under us before we leave the item to its next reception."""

_LEASE_MARGIN_S = 5.0
_SWEEP_PAGE = 100
"""Jobs of one shard read at once."""

_SEND = 10
"""Jobs of one call to the queue."""

_LAST_RESORT_S = 4 * 86_400.0
"""
What a safety net caught is looked at again after this, if nobody could handle it: its item is parked by then (30 hours,
template.yaml). An item each hour would fill the queues with what nobody can handle.
"""


@dataclass(frozen=True, slots=True)
class RetryDeps:
    """
    What `retry` needs.

    Attributes:
        plan: The retry policy.
        sweep_grace_s: A job sent back to the queue is looked for again after this.
        in_parallel: See services/commit.py.
        clock: Seconds since the epoch.
        jitter: Uniform draws in [0, 1).
        counters: Where it is counted what becomes of mail; None: it is not.
    """

    spool: Spool
    queues: Queues
    ledger: Ledger
    event_log: EventLog
    plan: Plan
    sweep_grace_s: float
    in_parallel: Callable[[Sequence[Callable[[], Any]]], list[Any]]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    counters: Counters | None = None


def retry(items: Sequence[Received], deps: RetryDeps) -> list[str]:
    """
    Decide about each item of the dead-letter queue.

    Returns:
        The item ids that could not be handled; see services/batch.py.
    """
    tallies = Tallies()
    failed = work_through(
        items,
        lambda job: _decide(job, deps, tallies),
        queue=QueueName.RETRY,
        queues=deps.queues,
        event_log=deps.event_log,
    )
    if deps.counters is not None:
        tallies.write(deps.counters, deps.clock(), deps.event_log)
    return failed


def sweep(deps: RetryDeps, remaining_s: Callable[[], float]) -> int:
    """
    Send back every job that is due, oldest first, until none is left or the time is up.

    Each is taken by one conditional write before it is enqueued: two sweeps at once do not double it, and a
    crash between the two leaves it in the index with a later due time.

    Args:
        remaining_s: Seconds that this invocation still has.

    Returns:
        How many jobs were enqueued.

    Raises:
        Exception: The first that stopped a whole round of looks, of jobs or of sendings.
    """
    count = 0
    places: dict[int, DueJob | None] = dict.fromkeys(range(ALL_SHARDS))
    # One page of every shard at once: a full shard does not starve the others.
    while places and remaining_s() > _LEASE_MARGIN_S:
        now = deps.clock()
        looks = [partial(_look, shard, now, after, deps) for shard, after in places.items()]
        pages = dict(zip(places, _worked(deps.in_parallel(looks)), strict=True))
        count += _send_back([job for page in pages.values() if page for job in page], deps)
        places = {shard: page[-1] for shard, page in pages.items() if page and len(page) == _SWEEP_PAGE}
    return count


@dataclass(frozen=True, slots=True)
class _Woken:
    """
    A job that the sweep took, and the queue that it goes to.

    Attributes:
        was_due_at, due_at: Before that, and now.
        is_caught: Its safety net caught it.
    """

    job: Job
    was_due_at: float
    due_at: float
    queue: str
    is_caught: bool


def _look(shard: int, now: float, after: DueJob | None, deps: RetryDeps) -> list[DueJob] | Exception:
    """Give a shard's page; what can't be read is left to the next sweep."""
    try:
        return deps.ledger.due(shard, now, _SWEEP_PAGE, after)
    except Exception as exc:  # noqa: BLE001 (law 7: unknown trouble is transient)
        return _fault(exc, deps, shard=shard)


def _send_back(due: Sequence[DueJob], deps: RetryDeps) -> int:
    now = deps.clock()
    back: dict[str, list[_Woken]] = {QueueName.DELIVERY: [], QueueName.RETRY: []}
    for woken in _worked(deps.in_parallel([partial(_wake, job, now, deps) for job in due])):
        if woken is not None:
            back[woken.queue].append(woken)
    # crash here = found again after sweep_grace_s, never lost
    sendings = [
        partial(_send, name, some[first : first + _SEND], deps)
        for name, some in back.items()
        for first in range(0, len(some), _SEND)
    ]
    return sum(filter(None, _worked(deps.in_parallel(sendings))))


def _wake(due: DueJob, now: float, deps: RetryDeps) -> _Woken | Exception | None:
    """Take one due job; whatever is wrong with it, the others of its page go out."""
    look_at = now + deps.sweep_grace_s
    try:
        record = deps.ledger.wake(due.key, now, look_at)
    except RecordUnreadable as exc:
        # `retry` will meet the same, and the job ends parked unless it can be read meanwhile.
        _fault(exc, deps, queue_id=due.key.queue_id, chunk=due.key.chunk)
        return _Woken(exc.job, due.due_at, look_at, QueueName.RETRY, is_caught=True)
    except Exception as exc:  # noqa: BLE001 (law 7)
        return _fault(exc, deps, queue_id=due.key.queue_id, chunk=due.key.chunk)
    if record is None:
        return None
    # A claimed, tried, held or closed job is here because its safety net caught it, and one whose attempt is to come
    # because its sender must be told: `retry` knows what to do.
    is_to_try = record.state is State.READY and not _is_due_for_word(record, now)
    target = QueueName.DELIVERY if is_to_try else QueueName.RETRY
    is_caught = record.state is not State.READY
    return _Woken(Job(record.key, record.queued_at), due.due_at, look_at, target, is_caught=is_caught)


def _send(name: str, some: Sequence[_Woken], deps: RetryDeps) -> int | Exception:
    """Enqueue a few jobs; those that the queue does not take are as due as before, for the next sweep."""
    try:
        deps.queues.send(name, [woken.job for woken in some])
    except Exception as exc:  # noqa: BLE001 (law 7)
        for woken in some:
            _reschedule(woken, woken.was_due_at, deps)
        return _fault(exc, deps, jobs=len(some))
    # crash here = another item each sweep_grace_s, as long as nobody can handle one
    for woken in some:
        if woken.is_caught:
            _reschedule(woken, deps.clock() + _LAST_RESORT_S, deps)
    return len(some)


def _reschedule(woken: _Woken, due_at: float, deps: RetryDeps) -> None:
    try:
        deps.ledger.reschedule(woken.job.key, woken.due_at, due_at)
    except Exception as exc:  # noqa: BLE001 (found again after sweep_grace_s)
        _fault(exc, deps, queue_id=woken.job.key.queue_id, chunk=woken.job.key.chunk)


def _worked(results: Sequence[T | Exception]) -> list[T | None]:
    """Give what came of each, None for a fault. Raises the first fault where there was nothing else."""
    faults = [result for result in results if isinstance(result, Exception)]
    if faults and len(faults) == len(results):
        raise faults[0]
    return [None if isinstance(result, Exception) else result for result in results]


def _fault(exc: Exception, deps: RetryDeps, **of: Any) -> Exception:
    deps.event_log.emit("Fault", {"stage": "sweep", **of, "error": repr(exc)})
    return exc


def _decide(job: Job, deps: RetryDeps, tallies: Tallies) -> None:
    for _ in range(_CONFLICTS):
        record = deps.ledger.load(job.key)
        now = deps.clock()
        if record is not None and record.state is State.CLAIMED and record.lease_until > now:
            # By an item of its own, not by a due time, which the worker's last write would take away: SQS may give one
            # item twice, and his is gone then with ours.
            wait_s = record.lease_until + _LEASE_MARGIN_S - now
            deps.queues.send(QueueName.RETRY, [job], delay_s=min(wait_s, MAX_DELAY_S))
            return
        ended: list[tuple[str, list[Outcome]]] = []
        new = _next(record, job, now, deps, ended)
        if new is not None:
            try:
                new = deps.ledger.save(new)
            except ClaimLost:
                continue
            for tenant, outcomes in ended:
                tallies.add(tenant, outcomes)
            if record is None or not (record.is_closed and new.is_closed):
                _log(new, now, deps)
            if new.state is State.READY:
                # crash here = the sweep finds it when its safety net is due, and sends it then
                delay_s = max(0.0, new.due_at - deps.sweep_grace_s - now)
                deps.queues.send(QueueName.DELIVERY, [job], delay_s=delay_s)
        standing = new or record
        # crash here = the item comes again, finds the report or event still owed and gets here again
        if standing is not None and standing.owes_report:
            deps.queues.send(QueueName.BOUNCE, [job])
        if standing is not None and standing.owes_event:
            deps.queues.send(QueueName.EVENT, [job])
        return
    raise LedgerUnavailable(f"{job.key} changes faster than it can be read")


def _next(
    record: JobRecord | None, job: Job, now: float, deps: RetryDeps, ended: list[tuple[str, list[Outcome]]]
) -> JobRecord | None:
    """Give the record to save, or None when nothing is to be changed; what is given up joins `ended`, by tenant."""
    is_new = record is None or queue.is_of_earlier_message(record, job)
    if record is None or is_new:
        record = JobRecord(job.key, job.queued_at, State.READY, version=record.version if record else 0)
    if record.is_closed or record.state is State.DEFERRED:
        # Nobody has to look at what is closed again, but for a report.
        is_needless = record.is_closed and record.due_at and not record.owes_report
        return queue.without_net(record) if is_needless else None
    if not record.recipients and record.state is not State.HELD and (envelope := _envelope(job.key, deps)) is not None:
        # No attempt has written down what the envelope says of its times: none was made, or each broke off.
        record = queue.with_times_of(record, envelope).changed(
            recipient_count=len(envelope.chunk(job.key.chunk)), reverse_path=envelope.reverse_path
        )
        if is_new and envelope.release_at > now:
            return queue.scheduled(record, envelope.release_at, now=now)
        # Looked at only now, for whatever reason: the time until its release counts no more than else.
        record = replace(record, held_s=max(record.held_s, envelope.release_at - job.queued_at))
    plan = schedule.bounded(deps.plan, record)
    is_old = now >= record.queued_at + schedule.LIFETIME_S
    if record.state is State.HELD:
        return _in_hold(record, now, plan, deps, ended)
    if (is_old or schedule.is_expired(record.counted_from, now, plan)) and not record.quarantine:
        return _given_up(record, now, deps, ended)
    if record.state is State.CLAIMED:
        record = queue.with_event(record, "broke_off", now=now, text=ATTEMPT_BROKE_OFF.text)
    if record.quarantine:
        return queue.held(replace(record, state=State.TRIED), record.quarantine, now=now)
    record = replace(_planned(record, now, plan, deps), token="", lease_until=0.0, tries_at=0.0)
    return queue.watched(_told_of_delay(record, now, plan, deps), now, record.counted_from + plan.warn_s)


def _envelope(key: JobKey, deps: RetryDeps) -> Envelope | None:
    """Give a job's envelope; None if it is gone, or can't be read: it may be put back as long as the job waits."""
    try:
        return decode_qf(deps.spool.get_envelope(key.queue_id))[0]
    except (SpoolMissing, ValueError) as exc:
        deps.event_log.emit("Fault", {"stage": "retry", "queue_id": key.queue_id, "error": repr(exc)})
        return None


def _planned(record: JobRecord, now: float, plan: Plan, deps: RetryDeps) -> JobRecord:
    """Say when an open job is tried again: as planned, at its turn, by the schedule, or soon after our own fault."""
    if record.state is State.READY and record.tries_at:
        # It was looked at for its sender's sake alone.
        return replace(record, state=State.DEFERRED, due_at=max(now, record.tries_at))
    returned_at = min(record.counted_from + plan.return_s, record.queued_at + schedule.LIFETIME_S)
    if turn_at := queue.waits_for_turn(record) if record.state is State.TRIED else 0.0:
        due_at = max(now, min(turn_at, returned_at))
        is_told_before = queue.next_word_at(record, now, record.counted_from + plan.warn_s) < due_at
        if due_at - now > MAX_DELAY_S or is_told_before:
            return replace(record, state=State.DEFERRED, due_at=due_at)
        # The queue's own delay brings it; the due time is a safety net.
        return replace(record, state=State.READY, due_at=due_at + deps.sweep_grace_s)
    asked_at = [asked.asked_at(record.recipients[n]) for n in record.deferred_positions()]
    record = replace(record, last_at=min(schedule.last_attempt_from(record.counted_from, plan), returned_at))
    if record.state is State.TRIED and asked_at:
        tried = record.attempts - record.paced
        due_at = schedule.next_attempt_of_several_at(
            record.counted_from, now, tried, plan, deps.jitter(), asked_at=asked_at
        )
        due_at = max(due_at, min(queue.not_before(record), returned_at))
        due_at = max(now, min(due_at, record.queued_at + schedule.LIFETIME_S))
        return replace(record, state=State.DEFERRED, faults=0, due_at=due_at)
    faults = record.faults + 1
    due_at = max(schedule.after_fault_at(now, faults, plan, deps.jitter()), asked.first_due_at(record))
    due_at = max(now, min(due_at, returned_at))
    return replace(record, state=State.DEFERRED, faults=faults, due_at=due_at)


def _is_due_for_word(record: JobRecord, now: float) -> bool:
    """Say whether a job is due since its sender is to be told that it is late, and its next attempt stands."""
    return record.state is State.READY and record.tries_at > now


def _told_of_delay(record: JobRecord, now: float, plan: Plan, deps: RetryDeps) -> JobRecord:
    """
    Owe the sender a word about the delay, if somebody there wants it; never about a report of ours.

    Once when it lasts long, and once when a deadline is over, unless the first comes after that: it says no more.
    """
    is_late = record.is_late(now)
    if not is_late and (record.warned or not schedule.is_warning_due(record.counted_from, now, plan)):
        return record
    record = replace(record, warned=True, told_by=record.told_by or is_late)
    envelope = _envelope(record.key, deps) or lost.envelope_of([record])
    waiting = record.open_positions(envelope.chunk(record.key.chunk))
    wanted = any(queue.wants_delay_notice(envelope.recipients[n].notify) for n in waiting)
    # The deadline's word is a report of its own, also where a warning is still to be told.
    is_owed = not is_late and any(notice.kind is NoticeKind.DELAYED for notice in record.owed)
    if envelope.kind != "mail" or not envelope.reverse_path or not wanted or is_owed:
        return record
    number = max(record.attempts, record.delay_told + 1)
    return replace(record, owed=(*record.owed, Notice(NoticeKind.DELAYED, number)), delay_told=number)


def _in_hold(
    record: JobRecord, now: float, plan: Plan, deps: RetryDeps, ended: list[tuple[str, list[Outcome]]]
) -> JobRecord | None:
    """End a hold that is over; or owe its sender the word that he asked for (RFC 2852), but none of why it is held."""
    if queue.is_to_be_returned(record, now):
        return _returned_from_hold(record, now, deps, ended)
    if not record.is_late(now):
        return None
    record = _told_of_delay(record, now, plan, deps)
    return replace(record, due_at=queue.hold_ends_at(record, now))


def _given_up(record: JobRecord, now: float, deps: RetryDeps, ended: list[tuple[str, list[Outcome]]]) -> JobRecord:
    envelope = _envelope(record.key, deps)
    if envelope is None:
        return _lost(record, CONTENT_LOST.text, now)
    chunk = envelope.chunk(record.key.chunk)
    outcomes = {n: (chunk[n].forward_path, queue.expiry(record, n)) for n in record.open_positions(chunk)}
    ended.append((envelope.tenant, [outcome for _, outcome in outcomes.values()]))
    record = replace(record, recipient_count=len(chunk), reverse_path=envelope.reverse_path)
    arrivals = queue.arrivals_of(envelope, record.key.chunk)
    return queue.expired(record, now=now, outcomes=outcomes, notify=_notify(envelope, record), arrivals=arrivals,
                         tells=envelope.tells)  # fmt: skip


def _returned_from_hold(
    record: JobRecord, now: float, deps: RetryDeps, ended: list[tuple[str, list[Outcome]]]
) -> JobRecord:
    """
    Tell its sender that it failed: an operator cancelled it, or nobody released it while the spool lasted.

    In the latter case he hears not a word of why it was held.
    """
    envelope = _envelope(record.key, deps)
    if envelope is None:
        return _lost(record, record.cancelled or CONTENT_LOST.text, now)
    chunk = envelope.chunk(record.key.chunk)
    row = CANCELLED if record.cancelled else HELD_TOO_LONG
    failed = Outcome(Result.FAILED, row.enhanced, text=record.cancelled or row.text, command=HOLD)
    outcomes = {n: (chunk[n].forward_path, failed) for n in record.open_positions(chunk)}
    ended.append((envelope.tenant, [failed] * len(outcomes)))
    record = _in_an_attempt_of_its_own(record, envelope)
    # Nothing has arrived anywhere; that it was taken is told before that it failed.
    arrivals = tuple(kind for kind in queue.arrivals_of(envelope, record.key.chunk) if kind in queue.EVENTS)
    return queue.with_outcomes(
        record, outcomes, now=now, notify=_notify(envelope, record), last=True, arrivals=arrivals, tells=envelope.tells
    )


def _lost(record: JobRecord, text: str, now: float) -> JobRecord:
    """End a job whose envelope is gone by what the ledger knows; whose it was, and so whom to count it for, is gone."""
    envelope = lost.envelope_of([record])
    row = CANCELLED if text == record.cancelled else CONTENT_LOST
    command = HOLD if row is CANCELLED else "LOCAL"
    failed = Outcome(Result.FAILED, row.enhanced, text=text, command=command)
    chunk = envelope.chunk(record.key.chunk)
    outcomes = {n: (chunk[n].forward_path, failed) for n in record.open_positions(chunk)}
    record = _in_an_attempt_of_its_own(record, envelope)
    return queue.with_outcomes(record, outcomes, now=now, notify={}, last=True)


def _in_an_attempt_of_its_own(record: JobRecord, envelope: Envelope) -> JobRecord:
    """Give a record that ends without an attempt: what earlier ones owed a report of stays as it was."""
    return replace(
        record,
        attempts=record.attempts + 1,
        quarantine="",
        cancelled="",
        held_at=0.0,
        recipient_count=len(envelope.chunk(record.key.chunk)),
        reverse_path=envelope.reverse_path,
    )


def _notify(envelope: Envelope, record: JobRecord) -> dict[int, tuple[str, ...]]:
    return {n: recipient.notify for n, recipient in envelope.chunk(record.key.chunk).items()}


def _log(record: JobRecord, now: float, deps: RetryDeps) -> None:
    fields = {"queue_id": record.key.queue_id, "chunk": record.key.chunk, "attempts": record.attempts}
    if record.state in {State.DEFERRED, State.READY}:
        grace_s = deps.sweep_grace_s if record.state is State.READY else 0.0
        wait_s = round(record.due_at - grace_s - now, 3)
        deps.event_log.emit("Deferral", {**fields, "faults": record.faults, "wait_s": wait_s})
        return
    if record.state is State.HELD:
        deps.event_log.emit("Hold", {**fields, "reason": record.quarantine, "recipients": record.recipient_count})
        return
    for state in record.recipients.values():
        told = {"recipient": state.forward_path, "text": state.outcome.text, **record_fields(state.outcome)}
        if state.outcome.command == GIVEN_UP or state.outcome.text == CONTENT_LOST.text:
            deps.event_log.emit("Expiration", {**fields, **told})
        elif state.outcome.command == HOLD:
            is_held_too_long = state.outcome.text == HELD_TOO_LONG.text
            deps.event_log.emit("Expiration" if is_held_too_long else "AdminBounce", {**fields, **told})
