"""
Publish: send what became of mail to those who are told of it (services/event_destinations.py).

What the event queue holds:

    item                     what is done
    -----------------------  ---------------------------------------------------------------------------------
    a job                    its record says which attempts are to be told, and of whom; the events are made
    new events               sent to every destination (domain/event_item.py)
    events for one           sent to that one, unless it is gone by now

All items of a batch go together: each destination is asked once for what it can take at once, and all destinations
at the same time. What one did not take goes back into the queue as an item of its own, with a wait, until
`event_retry_s` is over; then it is parked, where an operator looks. What it will never take is parked at once. One
that failed is let alone for a moment (domain/event_schedule.py). So a destination that is slow or dead keeps neither
others nor mail waiting.

At least once: a job owes its events until each is taken or queued again; a crash in between repeats them, with the
same content. A mail's events are in order of time in each request; who must have them in order goes by their
timestamps, for one that was tried again comes late.

RFC: none. SES: "Monitor email sending using event publishing".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import event_item, queue
from paravion.domain.envelope import decode_qf
from paravion.domain.event_item import EventItem
from paravion.domain.event_schedule import INTERVALS_S, Rests, tries_within, wait_s
from paravion.domain.queue import NoticeKind, State
from paravion.domain.schedule import given_up_at
from paravion.domain.ses_event import events_of, hidden_behind, mail_of
from paravion.domain.told import UNDELIVERABLE
from paravion.errors import ClaimLost, LedgerUnavailable, SpoolMissing
from paravion.ports import QueueName
from paravion.services.event_destinations import told_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paravion.domain.queue import Job, JobRecord, Notice, Received
    from paravion.domain.ses_event import Origin, SesEvent
    from paravion.domain.told import Told
    from paravion.ports import EventDestinations, EventLog, Ledger, Queues, Records, Spool

_CONFLICTS: Final = 10


@dataclass(frozen=True, slots=True)
class PublishDeps:
    """
    What `publish` needs.

    Attributes:
        return_s: How long the queue keeps trying: what a delay's expiration time tells.
        return_by_priority: The same, of priorities that have a time of their own.
        retry_s: How long a destination is tried.
        intervals_s: The waits between the tries; the last repeats.
        in_parallel: See services/commit.py.
        clock: Seconds since the epoch.
        jitter: Uniform draws in [0, 1).
        rests: Of this function, shared by its invocations.
    """

    spool: Spool
    queues: Queues
    ledger: Ledger
    records: Records
    destinations: EventDestinations
    event_log: EventLog
    origin: Origin
    return_s: float
    retry_s: float
    in_parallel: Callable[[Sequence[Callable[[], Any]]], list[Any]]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    intervals_s: Sequence[float] = INTERVALS_S
    rests: Rests = field(default_factory=Rests)
    return_by_priority: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Work:
    """One received item: its events, and what its job no longer owes once they are on their way."""

    item: Received
    events: EventItem
    record: JobRecord | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(slots=True)
class _Parcel:
    """
    What one destination is to get out of the batch.

    Attributes:
        problems: Of each part, why it was not taken; "" if it was.
        let_alone: It was not asked, for it failed a moment ago.
    """

    told: Told
    parts: list[tuple[_Work, SesEvent]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    let_alone: bool = False


def publish(items: Sequence[Received], deps: PublishDeps) -> list[str]:
    """
    Publish the events of each item.

    Returns:
        The item ids that could not be handled; they come again, and end parked.
    """
    failed: list[str] = []
    works: list[_Work] = []
    # A job may lie there more than once: what its record owes is told once.
    firsts = {item.job.key: item for item in reversed(items) if item.job is not None}
    repeats = [item for item in items if item.job is not None and firsts[item.job.key] is not item]
    items = [item for item in items if item not in repeats]
    for result, item in zip(deps.in_parallel([partial(_read, item, deps) for item in items]), items, strict=True):
        if isinstance(result, Exception):
            _fault(item, result, deps)
            failed.append(item.item_id)
        elif result is not None:
            works.append(result)
    lost: set[int] = set()
    parcels: dict[tuple[str, str], _Parcel] = {}
    for work in works:
        try:
            _address(work, parcels, deps)
        except Exception as exc:  # noqa: BLE001 (law 7: what can't be read now may be read later)
            _fault(work.item, exc, deps)
            lost.add(id(work))
    deps.in_parallel([partial(_send, parcel, deps) for parcel in parcels.values()])
    for parcel in parcels.values():
        lost |= _send_again(parcel, deps)
    for work in works:
        try:
            if id(work) not in lost and work.record is not None:
                # crash here = published again, with the same content
                _settle(work.record, work.notices, deps)
        except Exception as exc:  # noqa: BLE001 (the same)
            _fault(work.item, exc, deps)
            lost.add(id(work))
    failed += [work.item.item_id for work in works if id(work) in lost]
    return failed + [item.item_id for item in repeats if item.job and firsts[item.job.key].item_id in failed]


def _fault(item: Received, exc: Exception, deps: PublishDeps) -> None:
    key = item.job.key if item.job else None
    fields = {"queue_id": key.queue_id, "chunk": key.chunk} if key else {}
    deps.event_log.emit("Fault", {"stage": "publish", **fields, "error": repr(exc)})


# What is to be told


def _read(item: Received, deps: PublishDeps) -> _Work | Exception | None:
    """Give an item's work, None when it has none; never raises, for one item's trouble is no other's."""
    try:
        if item.job is not None:
            return _of_job(item, item.job, deps)
        events = event_item.decode(item.body)
        if events is None:
            deps.event_log.emit("Fault", {"stage": "publish", "error": "neither a job nor events: parked"})
            deps.queues.park([item.body])
            return None
        return _Work(item, events)
    except Exception as exc:  # noqa: BLE001 (law 7: unknown trouble is transient)
        return exc


def _of_job(item: Received, job: Job, deps: PublishDeps) -> _Work | None:
    record = deps.ledger.load(job.key)
    if record is None:
        raise LedgerUnavailable(f"{job.key} owes events, but has no record")
    # Of an attempt that is under way the outcomes still come in: whoever ends it asks again.
    notices = tuple(
        notice
        for notice in record.owed
        if notice.kind in queue.EVENTS and not (record.state is State.CLAIMED and notice.attempt == record.attempts)
    )
    if not notices:
        return None
    try:
        envelope, header = decode_qf(deps.spool.get_envelope(job.key.queue_id))
    except SpoolMissing:
        deps.event_log.emit("Fault", {"stage": "publish", "queue_id": job.key.queue_id, "error": "the mail is gone"})
        _settle(record, notices, deps)
        return None
    hidden = hidden_behind(envelope)
    mail = mail_of(envelope, header, job.key.chunk, hidden)
    events = events_of(
        record,
        [notice.attempt for notice in notices if notice.kind is NoticeKind.EVENT],
        is_sent=any(notice.kind is NoticeKind.SENT for notice in notices),
        mail=mail,
        origin=deps.origin,
        ends_at=given_up_at(record, deps.return_s, deps.return_by_priority),
        hidden=hidden,
    )
    told = EventItem(tuple(events), envelope.tenant, envelope.configuration_set, mail.identity)
    return _Work(item, told, record, notices)


def _address(work: _Work, parcels: dict[tuple[str, str], _Parcel], deps: PublishDeps) -> None:
    """Put a work's events to the destinations that they are for."""
    events = work.events
    for told in told_of(deps.records, events.tenant, events.configuration_set, events.identity):
        if events.destination in {"", told.key}:
            wanted = [event for event in events.events if told.wants(event.type)]
            parcel = parcels.setdefault((told.tenant, told.key), _Parcel(told))
            parcel.parts += [(work, event) for event in wanted]


# Sending


def _send(parcel: _Parcel, deps: PublishDeps) -> None:
    """Ask one destination; says of each part what kept it from being taken. Never raises."""
    key = f"{parcel.told.tenant}\0{parcel.told.key}"
    if not parcel.parts:
        return
    if problem := deps.rests.rests(key, deps.clock()):
        parcel.let_alone = True
        parcel.problems = [problem] * len(parcel.parts)
        return
    try:
        parcel.problems = deps.destinations.publish(parcel.told, [event for _, event in parcel.parts])
    except Exception as exc:  # noqa: BLE001 (law 7: our own faults are tried again)
        parcel.problems = [f"on our side: {exc!r}"[:300]] * len(parcel.parts)
    if "" in parcel.problems:
        deps.rests.answered(key)
    elif said := [problem for problem in parcel.problems if not problem.startswith(UNDELIVERABLE)]:
        deps.rests.failed(key, deps.clock(), said[0], deps.intervals_s)


def _send_again(parcel: _Parcel, deps: PublishDeps) -> set[int]:
    """Queue what was not taken, or park it when its time is over; gives the works for which that failed."""
    left: dict[tuple[int, str], list[SesEvent]] = {}
    works: dict[int, _Work] = {}
    for (work, event), problem in zip(parcel.parts, parcel.problems, strict=True):
        if problem:
            works[id(work)] = work
            left.setdefault((id(work), problem), []).append(event)
    lost = set()
    now = deps.clock()
    for (number, problem), events in left.items():
        work = works[number]
        since = work.events.since or now
        tries = work.events.tries + (not parcel.let_alone)
        again = replace(
            work.events,
            events=tuple(events),
            destination=parcel.told.key,
            since=since,
            tries=tries,
            problem=work.events.problem or problem if parcel.let_alone else problem,
        )
        over = now - since >= deps.retry_s or problem.startswith(UNDELIVERABLE)
        fields = {"destination": parcel.told.key, "tenant": parcel.told.tenant, "events": len(events)}
        try:
            texts = [event_item.encode(part) for part in event_item.cut(again)]
            if over:
                deps.queues.park(texts)
            else:
                # Also what finds the destination let alone each time comes ever more seldom.
                turn = max(tries, tries_within(now - since, deps.intervals_s)) if parcel.let_alone else tries
                delay_s = wait_s(turn, deps.jitter(), deps.intervals_s)
                deps.queues.send_texts(QueueName.EVENT, texts, delay_s=delay_s)
        except Exception as exc:  # noqa: BLE001 (the item comes again)
            _fault(work.item, exc, deps)
            lost.add(number)
            continue
        told = {**fields, "tries": tries, "problem": again.problem, "let_alone": parcel.let_alone, "parked": over}
        deps.event_log.emit("EventNotTaken", told)
    return lost


def _settle(record: JobRecord, notices: tuple[Notice, ...], deps: PublishDeps) -> None:
    """Take the notices off what the job owes."""
    for _ in range(_CONFLICTS):
        if not set(notices) & set(record.owed):
            return
        try:
            deps.ledger.save(queue.settled(record, notices))
        except ClaimLost:
            fresh = deps.ledger.load(record.key)
            if fresh is None:
                return
            record = fresh
            continue
        return
    raise LedgerUnavailable(f"{record.key} changes faster than it can be read")
