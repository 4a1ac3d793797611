"""
The job and its record: the state machine that the ledger keeps, as pure transitions.

A job is a message, or a chunk of at most 100 of its recipients. The record is made by the first claim.

    state      meaning                                            who moves it on
    ---------  -------------------------------------------------  -----------------------------------------
    (none)     submitted, in the delivery queue, never claimed    deliver claims it
    claimed    one worker holds a lease and tries it now          that worker records; retry, if it broke off
    tried      an attempt ended and somebody is still deferred    retry plans it (or gives it up)
    deferred   waits for its due time                             the sweep makes it ready
    ready      sent back to the delivery queue by the sweep       deliver claims it; the sweep again, if lost
    held       kept back by a rule or an operator, untried        an operator; retry, when its time here is over
    done       every recipient is delivered or failed             nobody; a report owed: bounce, retry if that is lost
    removed    an operator removed it                             nobody; likewise

`owed` names the reports that somebody must still get, independent of the state: a job may be done and
owe a bounce. A notice is named after its kind and the attempt that caused it, so that its members never
change afterwards and the report's queue id follows from it: a repeated report is one message. What the
suppression list must be told of is owed in the same way.

A job that a worker has cannot be held: `quarantine` is set, and it is held when the attempt ends. What an operator
cancels is held likewise, and given up by the next sweep: `cancelled` says so. Being held stops the queue's clock
(`counted_from`), but the spool's goes on: schedule.LIFETIME_S ends it, and the sender is told.

Never twice: a claim hands out only recipients that are neither delivered nor failed.

Next on the message's path: services/deliver.py (claim, record), services/retry.py (plan, sweep),
services/bounce.py (settle).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.ids import shard_of
from paravion.domain.outcome import GIVEN_UP, HANDED_OVER, PACED, Outcome, Result
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.simulator import COMMAND as SIMULATED
from paravion.domain.simulator import replies
from paravion.domain.status import ATTEMPT_BROKE_OFF, EXPIRED
from paravion.domain.suppression import Reason, says_no_such_address, withheld_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from paravion.domain.envelope import Envelope

DUE_SHARDS: Final = 8
"""Parts of the due index. Not a setting: jobs in a part that no sweep looks into would be lost."""

OPEN_SHARDS: Final = range(2 * DUE_SHARDS)
"""With as many again for held jobs, so that `mailq` finds them among many that wait."""

HELD_SHARDS: Final = OPEN_SHARDS[DUE_SHARDS:]

ALL_SHARDS: Final = 3 * DUE_SHARDS
"""And as many for closed jobs that owe a report, which `mailq` does not show; the sweep looks into all."""

LOST_AFTER_S: Final = 3600.0
"""
A job that an item of a queue is to move on is looked at when nobody has for this long: it may be lost.

Longer than a lease, and than SQS hides what a dead function had received.
"""

LOG_ENTRIES: Final = 40
"""History entries kept in a record; the middle of a longer history is dropped, its ends tell the story."""


_SHORT: Final = 1000  # octets kept of an outcome's text


class State(StrEnum):
    """Where a job stands; see the module's table."""

    CLAIMED = "claimed"
    TRIED = "tried"
    DEFERRED = "deferred"
    READY = "ready"
    HELD = "held"
    DONE = "done"
    REMOVED = "removed"


class NoticeKind(StrEnum):
    """
    What a report says; but for `expired`, `listed` and `suppress` they are RFC 3464 2.3.3's actions.

    `listed` is delivered to a mailing list. `suppress` is none for the sender: it tells the suppression list of
    addresses that do not exist. `reply` is the mailbox simulator's automatic one. `sent` and `event` are for those who
    are told by events (services/publish.py): that the message is on its way, and what became of recipients in that
    attempt. `returned` is `failed` and `expired` in one: the last attempt's refusals, and who was given up after it.
    """

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    RETURNED = "returned"
    SUPPRESS = "suppress"
    LISTED = "listed"
    EXPANDED = "expanded"
    REPLY = "reply"
    SENT = "sent"
    EVENT = "event"


EVENTS: Final = frozenset({NoticeKind.SENT, NoticeKind.EVENT})
"""What is told by events, not by reports: the event queue's, and none of the bounce queue's."""

ARRIVALS: Final = frozenset({NoticeKind.LISTED, NoticeKind.EXPANDED})
"""Reports of named addresses that the message arrived at here, lists and aliases: no position of the job's."""


REMOVAL: Final = "removal"
"""The event of a job that was removed."""


@dataclass(frozen=True, slots=True)
class JobKey:
    """Names a job: what the delivery queue carries."""

    queue_id: str
    chunk: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it lies in a queue: ids and its commit instant, never content."""

    key: JobKey
    queued_at: float


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job as the due index shows it; also the place to go on reading after."""

    key: JobKey
    due_at: float


@dataclass(frozen=True, slots=True)
class Received:
    """
    An item as a worker received it from a queue.

    Attributes:
        item_id: Names it in the batch's answer.
        receipt: Names this reception of it.
        job: None when its body is no job of ours (a poison item).
        body: The item's text as it lay in the queue.
    """

    item_id: str
    receipt: str
    job: Job | None
    body: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One report that is owed: its kind and the attempt that caused it; of a delay, `delay_told` at that time."""

    kind: NoticeKind
    attempt: int


@dataclass(frozen=True, slots=True)
class RecipientState:
    """
    What the ledger knows of one recipient after its latest attempt.

    Attributes:
        outcome: Of the latest attempt.
        at: When, seconds since the epoch.
        attempt: Which attempt of the job, >= 1; an expiry takes the number of the last one.
        tried_at: Of an expiry, `at` of the outcome before it; 0: he was never tried.
    """

    forward_path: str
    outcome: Outcome
    at: float
    attempt: int
    tried_at: float = 0.0

    @property
    def is_final(self) -> bool:
        """Delivered or failed: never sent to again."""
        return self.outcome.result is not Result.DEFERRED

    @property
    def is_given_up(self) -> bool:
        """Failed because his time was over, and not because he was refused."""
        return self.outcome.command == GIVEN_UP


@dataclass(frozen=True, slots=True)
class LogEntry:
    """
    One line of the job's history: `event` happened to `recipients` (positions; empty: the whole job).

    `transcript` names the book of the attempt's transcript (domain/transcript.py), "" for none; it may be missing.
    """

    at: float
    event: str
    attempt: int
    recipients: tuple[int, ...] = ()
    text: str = ""
    transcript: str = ""


@dataclass(frozen=True)  # without slots: `changed` lives from the dictionary
class JobRecord:
    """
    The ledger's record of one job.

    Attributes:
        version: Counts writes; a save names the version that it read (optimistic concurrency).
        attempts: Attempts begun, the one under way included.
        paced: Attempts that ended without one, since every recipient waits for his turn (outcome.PACED).
        faults: Times in a row that the job came back without an attempt that ended; sets the back-off.
        token: The lease's owner, "" when nobody holds it.
        lease_until, due_at: Seconds since the epoch, 0 for none. A due time without the state deferred or
            ready is a safety net: look at the job again then, for the item that moves it on may be lost. Whoever
            waits for such an item has one: ready, tried, closed with a report owed; claimed, but for the first time.
        recipient_count: Of this chunk, 0 while unknown (nobody has read the envelope yet).
        recipients: By position in the envelope; those without an entry are untried.
        warned: The sender was told of the delay, or need not be.
        delay_told: Number of the last delay report that was owed, 0 for none; each has another, for it is named after
            that, and more than one may come of the same attempt.
        quarantine: Why the job is held, or will be when its attempt ends; "" for neither.
        released: An operator released it: what its envelope says of a quarantine counts no more.
        held_at: Since when it has been held, 0 if it is not.
        held_s: How long it had been held before, or waited for its release.
        max_delivery_s: Its message is returned when it is older; 0 for the queue's own lifetime.
        suppressed_reasons: As the envelope's.
        priority: The envelope's `urgency`.
        deliver_by_at: When it must be delivered (RFC 2852), 0 if that is all the same.
        returns_by: It is returned then; otherwise its sender is told, once.
        told_by: He was, or need not be.
        tries_at: The next attempt, of a job that is due before it because its sender is to be told; 0: no such.
        cancelled: What its sender is told when it is returned, as an operator wants it, once nobody tries it;
            "" for nothing of the kind.
        asks_all: An operator wants it tried now: the next attempt is of everybody, whatever his host asked for.
        last_at: An attempt from then on may be the last, and is of everybody; 0 while nothing is planned.
    """

    key: JobKey
    queued_at: float
    state: State
    version: int = 0
    attempts: int = 0
    faults: int = 0
    paced: int = 0
    token: str = ""
    lease_until: float = 0.0
    due_at: float = 0.0
    recipient_count: int = 0
    reverse_path: str = ""
    recipients: Mapping[int, RecipientState] = field(default_factory=dict)
    owed: tuple[Notice, ...] = ()
    warned: bool = False
    log: tuple[LogEntry, ...] = ()
    quarantine: str = ""
    released: bool = False
    held_at: float = 0.0
    held_s: float = 0.0
    max_delivery_s: float = 0.0
    suppressed_reasons: tuple[str, ...] | None = None
    priority: str = ""
    deliver_by_at: float = 0.0
    returns_by: bool = False
    told_by: bool = False
    tries_at: float = 0.0
    cancelled: str = ""
    delay_told: int = 0
    asks_all: bool = False
    last_at: float = 0.0

    def changed(self, **values: Any) -> JobRecord:
        """Give the record with some fields changed: dataclasses.replace in a fifth of its time, for the mail's road."""
        new = object.__new__(JobRecord)
        new.__dict__.update(self.__dict__)
        new.__dict__.update(values)
        if len(new.__dict__) != _FIELDS:
            raise TypeError(f"a job's record has no such fields: {sorted(values)}")
        return new

    @property
    def counted_from(self) -> float:
        """The instant that the queue's times count from: time in hold does not count."""
        return self.queued_at + self.held_s

    def is_late(self, now: float) -> bool:
        """Say whether the sender is still to be told that a deadline is over."""
        return 0 < self.deliver_by_at <= now and not (self.returns_by or self.told_by)

    @property
    def is_closed(self) -> bool:
        """Nothing will be sent any more for this job."""
        return self.state in {State.DONE, State.REMOVED}

    @property
    def owes_report(self) -> bool:
        """The bounce queue has something to do for this job."""
        return _owes_report(self.owed)

    @property
    def owes_event(self) -> bool:
        """The event queue has."""
        return any(notice.kind in EVENTS for notice in self.owed)

    def open_positions(self, positions: Iterable[int]) -> list[int]:
        """Give those of `positions` that may still be sent to, in order."""
        return [n for n in positions if n not in self.recipients or not self.recipients[n].is_final]

    def deferred_positions(self) -> list[int]:
        """Give the positions whose latest outcome is a deferral."""
        return [n for n, state in self.recipients.items() if not state.is_final]


_FIELDS: Final = len(fields(JobRecord))


def is_of_earlier_message(record: JobRecord, job: Job) -> bool:
    """Say whether a closed record speaks of a message whose spool expired and whose key was used again."""
    return record.is_closed and job.queued_at > record.queued_at


def can_claim(record: JobRecord | None) -> bool:
    """
    Say whether a worker may take the job: untouched, or made ready by the sweep.

    A claimed job is nobody else's, also after its lease ran out: what became of the broken attempt is for
    `retry` to decide, which every failure reaches by the dead-letter queue.
    """
    return record is None or record.state is State.READY


def claimed(record: JobRecord | None, job: Job, *, token: str, lease_until: float) -> JobRecord:
    """
    Give the record after a successful claim; the caller has checked `can_claim`.

    The due time that it had as ready stays: it finds the job again if this worker and its item are lost.
    """
    if record is None:
        return JobRecord(job.key, job.queued_at, State.CLAIMED, 1, 1, token=token, lease_until=lease_until)
    return record.changed(
        state=State.CLAIMED,
        version=record.version + 1,
        attempts=record.attempts + 1,
        token=token,
        lease_until=lease_until,
        tries_at=0.0,
    )


def with_outcomes(
    record: JobRecord,
    outcomes: Mapping[int, tuple[str, Outcome]],
    *,
    now: float,
    notify: Mapping[int, tuple[str, ...]],
    last: bool,
    arrivals: tuple[NoticeKind, ...] = (),
    transcript: str = "",
    tells: Collection[str] = (),
) -> JobRecord:
    """
    Enter outcomes into a claimed record.

    Args:
        outcomes: By position: forward-path and outcome of this attempt.
        notify: By position: RFC 3461 NOTIFY of the recipient, () for the default.
        last: The attempt is over. Otherwise more outcomes follow under the same lease.
        arrivals: Reports that the job owes with its first outcomes.
        transcript: Names the book that tells of them.
        tells: Of which events somebody is told (Envelope.tells).

    Returns:
        The new record; its version is unchanged (the save counts it). Recipients that were final stay
        as they were, whatever `outcomes` says of them.
    """
    states = dict(record.recipients)
    owed = [*record.owed, *_of_arrivals(record, arrivals)]
    for position, (forward_path, outcome) in outcomes.items():
        if position in states and states[position].is_final:
            continue
        states[position] = RecipientState(forward_path, _short(outcome), now, record.attempts)
        kind = _notice_for(outcome, notify.get(position, ()))
        kinds = [kind] if kind else []
        if says_no_such_address(outcome):
            kinds.append(NoticeKind.SUPPRESS)
        if replies(forward_path, outcome):
            kinds.append(NoticeKind.REPLY)
        if tells and _is_told(outcome, tells):
            kinds.append(NoticeKind.EVENT)
        owed += [notice for kind in kinds if (notice := Notice(kind, record.attempts)) not in owed]
    new: dict[str, Any] = {
        "recipients": states,
        "owed": tuple(owed),
        "log": _logged(record.log, outcomes, now, record.attempts, transcript),
    }
    if not last:
        return record.changed(**new)
    new["asks_all"] = False
    every_final = len(states) >= record.recipient_count
    tried = waits = 0
    for state in states.values():
        every_final = every_final and state.is_final
        if state.attempt == record.attempts:
            tried += 1
            waits += state.outcome.command == PACED
    new["paced"] = record.paced + (0 < tried == waits)
    if record.quarantine and not every_final:
        return held(record.changed(**new, state=State.TRIED), record.quarantine, now=now)
    return record.changed(
        **new,
        state=State.DONE if every_final else State.TRIED,
        token="",
        lease_until=0.0,
        due_at=_looked_at(record, now) if not every_final or _owes_report(owed) else 0.0,
        faults=0,
        quarantine="",
        cancelled="",
    )


def stopped(record: JobRecord, why: str, *, now: float) -> JobRecord:
    """Put down a claimed job whose attempt our own fault stopped before anything was sent."""
    record = with_event(record, "fault", now=now, text=why)
    return record.changed(state=State.TRIED, token="", lease_until=0.0, due_at=_looked_at(record, now))


def settled(record: JobRecord, notices: Collection[Notice]) -> JobRecord:
    """Take off what was told; nobody need look at a closed job any more that owes no report."""
    record = record.changed(owed=tuple(notice for notice in record.owed if notice not in notices))
    return without_net(record) if record.is_closed else record


def without_net(record: JobRecord) -> JobRecord:
    """Give a closed job that is looked at no more, unless it owes a report."""
    return record if record.owes_report else record.changed(due_at=0.0)


def _looked_at(record: JobRecord, now: float) -> float:
    """Say when to look at a job that an item of a queue moves on; a time that stands costs no write of the index."""
    return record.due_at if record.due_at > now else now + LOST_AFTER_S


def _owes_report(owed: Iterable[Notice]) -> bool:
    """What is told by events alone has no net: who publishes pays for no index, and SQS keeps what it took."""
    return any(notice.kind not in EVENTS for notice in owed)


def waits_for_turn(record: JobRecord) -> float:
    """Say when the first of a tried job's recipients has his turn, if all only wait for that; 0 if not."""
    waiting = [record.recipients[n].outcome for n in record.deferred_positions()]
    if not waiting or any(outcome.command != PACED for outcome in waiting):
        return 0.0
    return min(outcome.not_before for outcome in waiting)


def comes_at(record: JobRecord) -> float:
    """
    Say when a waiting or held job is tried, as mailq tells it.

    That of one with a turn is due later, for a safety net; one whose sender is to be told is due before.
    """
    if record.state in {State.DEFERRED, State.READY} and record.tries_at:
        return record.tries_at
    return (record.state is State.READY and waits_for_turn(record)) or record.due_at


def not_before(record: JobRecord) -> float:
    """Say before when there is nothing to try, since every host is known to be away; 0 for nothing known."""
    return min((record.recipients[n].outcome.not_before for n in record.deferred_positions()), default=0.0)


def held(record: JobRecord, reason: str, *, now: float, by: str = "") -> JobRecord:
    """
    Hold an open job: at once, or, if a worker has it, when its attempt ends.

    Args:
        reason: Not empty.
        by: The operator's credential; "" for a rule, or for a hold that is told already.
    """
    if by:
        record = with_event(record, "hold", now=now, text=said_by(by, reason))
        record = replace(record, cancelled="")
    record = replace(record, quarantine=reason)
    if record.state is State.CLAIMED:
        return record
    return replace(
        record,
        state=State.HELD,
        token="",
        lease_until=0.0,
        # What is cancelled is found by the next sweep.
        due_at=now if record.cancelled else hold_ends_at(record, now),
        faults=0,
        held_at=record.held_at or now,
    )


def hold_ends_at(record: JobRecord, now: float) -> float:
    """
    Say when a held job is looked at again: when its deadline is over, if its sender wants to be told then, else when
    its time in the spool is, so that no mail vanishes with that.
    """
    end = record.queued_at + LIFETIME_S
    if not record.deliver_by_at or record.returns_by or record.told_by:
        return end
    return min(end, max(now, record.deliver_by_at))


def scheduled(record: JobRecord, release_at: float, *, now: float) -> JobRecord:
    """Put a job off until its message's release, from which the queue's times count."""
    record = with_event(record, "scheduled", now=now)
    held_s = max(0.0, release_at - record.queued_at)
    return replace(record, state=State.DEFERRED, due_at=release_at, held_s=held_s)


def released(
    record: JobRecord, *, now: float, by: str, reason: str = "", release_at: float = 0.0
) -> JobRecord:  # fmt: skip
    """
    Let a job go on; one that is held is due at once, or at the release that its message names.

    Args:
        release_at: The message's, 0 for none.
    """
    release_at = max(release_at, record.counted_from if record.state is State.HELD else 0.0)
    record = with_event(record, "release", now=now, text=said_by(by, reason))
    record = replace(record, quarantine="", released=True, cancelled="")
    if release_at > now and record.state in {State.HELD, State.DEFERRED}:
        held_s = release_at - record.queued_at
        return replace(record, state=State.DEFERRED, due_at=release_at, tries_at=0.0, held_at=0.0, held_s=held_s)
    if record.state is not State.HELD:
        return record
    # Held before its release, it waited for both at once.
    held_s = min(record.held_s + max(0.0, now - record.held_at), max(0.0, now - record.queued_at))
    record = replace(record, asks_all=True, last_at=0.0)
    return replace(record, state=State.DEFERRED, due_at=now, tries_at=0.0, held_at=0.0, held_s=held_s)


def is_scheduled(record: JobRecord, now: float) -> bool:
    """Say whether a job waits for the instant that its sender named: none is tried before, whoever asks for it."""
    return record.counted_from > now


def flushed(record: JobRecord, *, look_at: float, now: float, by: str, reason: str = "") -> JobRecord:
    """
    Send a waiting job back to the delivery queue before its time; its age and what its sender was told stay.

    Args:
        look_at: When it is looked for again, in case it gets lost on the way.
    """
    record = with_event(record, "flush", now=now, text=said_by(by, reason))
    return replace(record, state=State.READY, due_at=look_at, tries_at=0.0, asks_all=True)


def requeued(record: JobRecord, *, look_at: float, now: float, by: str, reason: str = "") -> JobRecord:
    """
    Send an open job that no worker has to the delivery queue, as if its message came now.

    The waits, the warning and the lifetime count from now on; the number of its attempts goes on, for reports and
    transcripts are named after it. No job outlives its spool (LIFETIME_S).

    Args:
        look_at: As for `flushed`.
    """
    if record.state is State.CLAIMED:
        record = with_event(record, "broke_off", now=now, text=ATTEMPT_BROKE_OFF.text)
    record = with_event(record, "requeue", now=now, text=said_by(by, reason))
    return replace(
        record,
        state=State.READY,
        token="",
        lease_until=0.0,
        due_at=look_at,
        tries_at=0.0,
        faults=0,
        paced=record.attempts,
        warned=False,
        quarantine="",
        released=True,
        held_at=0.0,
        held_s=max(0.0, now - record.queued_at),
        cancelled="",
        asks_all=True,
        last_at=0.0,
    )


def is_to_be_returned(record: JobRecord, now: float) -> bool:
    """Say whether a held job is returned by the next sweep: it is cancelled, or its time in the spool is over."""
    return bool(record.cancelled) or now >= record.queued_at + LIFETIME_S


def cancelled(record: JobRecord, text: str, *, now: float, by: str, reason: str = "") -> JobRecord:
    """
    Have an open job returned to its sender: held until the next sweep gives it up, or its attempt ends.

    Args:
        text: What the sender is told.
    """
    record = with_event(record, "cancel", now=now, text=said_by(by, reason))
    return held(replace(record, cancelled=text), text, now=now)


def said_by(by: str, reason: str) -> str:
    """Give an operator's line in the history: who, and why if he says."""
    return f"by {by}: {reason}" if reason else f"by {by}"


def is_said_by(text: str, by: str) -> bool:
    """Say whether a line in the history is of a credential's own act."""
    said = said_by(by, "")
    return text == said or text.startswith(f"{said}: ")


def removal_of(record: JobRecord) -> LogEntry | None:
    """Give the line of the history that says who removed a job, why and when."""
    return next((entry for entry in reversed(record.log) if entry.event == REMOVAL), None)


def removed(record: JobRecord, *, now: float, by: str, reason: str = "") -> JobRecord:
    """Take an open job that no worker has out of the queue for good; nobody is told."""
    record = with_event(record, REMOVAL, now=now, text=said_by(by, reason))
    due_at = _looked_at(record, now) if record.owes_report else 0.0
    return replace(record, state=State.REMOVED, due_at=due_at, quarantine="", held_at=0.0)


def with_times_of(record: JobRecord, envelope: Envelope) -> JobRecord:
    """Enter what an envelope says of when its mail is tried, told of and returned."""
    deadline = envelope.deliver_by
    if deadline is None:
        return record.changed(max_delivery_s=envelope.max_delivery_s, priority=envelope.urgency)
    return record.changed(
        max_delivery_s=envelope.max_delivery_s,
        priority=envelope.urgency,
        deliver_by_at=deadline.at,
        returns_by=deadline.returns,
        # RFC 2852: of a time that was over when we got the mail, whoever had it before us has told.
        told_by=record.told_by or deadline.at <= envelope.queued_at,
    )


def next_word_at(record: JobRecord, now: float, warn_at: float) -> float:
    """
    Say when its sender is next to be told that a job is late: of the delay, or of its deadline; infinity for never.

    Args:
        warn_at: When he is told of the delay, if he was not yet.
    """
    times = [] if record.warned or not record.reverse_path else [warn_at]
    if not record.returns_by and not record.told_by:
        times.append(record.deliver_by_at)
    return min((at for at in times if at > now), default=math.inf)


def watched(record: JobRecord, now: float, warn_at: float) -> JobRecord:
    """Give a planned job that is looked at when its sender is to be told, if that is before its next attempt."""
    look_at = next_word_at(record, now, warn_at)
    if record.state is not State.DEFERRED or look_at >= record.due_at:
        return record
    return replace(record, due_at=look_at, tries_at=record.due_at)


def position(key: JobKey) -> str:
    """Give where a record stands among all (`ports.Ledger.scan`)."""
    return f"job#{key.queue_id}\n{key.chunk:05}"


def at_position(text: str) -> JobKey:
    """Read it back. Raises ValueError: it is none."""
    queue_id, _, chunk = text.removeprefix("job#").partition("\n")
    return JobKey(queue_id, int(chunk))


def due_shard(record: JobRecord) -> int:
    """Give the part of the due index that a record belongs to."""
    part = 2 if record.is_closed else int(record.state is State.HELD)
    return shard_of(record.key.queue_id, DUE_SHARDS) + part * DUE_SHARDS


def with_event(record: JobRecord, event: str, *, now: float, text: str = "") -> JobRecord:
    """Add one line about the whole job to its history."""
    entry = LogEntry(now, event, record.attempts, (), text)
    return replace(record, log=_bounded((*record.log, entry)))


def expired(record: JobRecord, *, now: float, outcomes: Mapping[int, tuple[str, Outcome]],
            notify: Mapping[int, tuple[str, ...]], arrivals: tuple[NoticeKind, ...] = (),
            tells: Collection[str] = ()) -> JobRecord:  # fmt: skip
    """
    Give up every recipient that is not final: the queue's lifetime is over.

    Whom the last attempt's hosts refused is told of with them, where nobody can have told of him yet (`can_tell`).

    Args:
        outcomes: By position, for every recipient of the chunk that is still open: what to tell.
        arrivals, tells: See `with_outcomes`.
    """
    states = dict(record.recipients)
    told = False
    for position, (forward_path, outcome) in outcomes.items():
        if position in states and states[position].is_final:
            continue
        tried_at = states[position].at if position in states else 0.0
        states[position] = RecipientState(forward_path, outcome, now, record.attempts, tried_at)
        told = told or _wants(notify.get(position, ()), "FAILURE")
    owed = (*record.owed, *_of_arrivals(record, arrivals))
    notice, refused = Notice(NoticeKind.EXPIRED, record.attempts), Notice(NoticeKind.FAILED, record.attempts)
    if told and refused in owed and not can_tell(record, refused):
        notice = Notice(NoticeKind.RETURNED, record.attempts)
        owed = tuple(other for other in owed if other != refused)
    owed = (*owed, notice) if told and notice not in owed else owed
    event = Notice(NoticeKind.EVENT, record.attempts)
    owed = (*owed, event) if "BOUNCE" in tells and outcomes and event not in owed else owed
    return replace(
        record,
        state=State.DONE,
        token="",
        lease_until=0.0,
        due_at=_looked_at(record, now) if _owes_report(owed) else 0.0,
        recipients=states,
        owed=owed,
        log=_bounded((*record.log, LogEntry(now, "expired", record.attempts, tuple(sorted(outcomes))))),
    )


def expiry(record: JobRecord, position: int) -> Outcome:
    """Give what an expiry tells of one recipient: the last reply says why he could not be delivered to in time."""
    state = record.recipients.get(position)
    last = state.outcome if state else Outcome(Result.DEFERRED, "", text=EXPIRED.text)
    # Its own enhanced status goes into its text: what a host said is not rewritten, and says why in the report.
    text = f"{last.status} {last.text}".strip()
    return replace(last, result=Result.FAILED, status=EXPIRED.enhanced, text=text, command=GIVEN_UP)


def arrivals_of(envelope: Envelope, chunk: int) -> tuple[NoticeKind, ...]:
    """Give what a job owes from its first outcome on: the message's first tells of arrivals, and that it is sent."""
    if chunk:
        return ()
    # Of several messages of one submission the first is the one that the caller knows.
    sent = (NoticeKind.SENT,) if "SEND" in envelope.tells and not envelope.body_id else ()
    told = envelope.arrivals
    if told is None:
        return sent
    kinds = ((NoticeKind.LISTED, told.lists), (NoticeKind.EXPANDED, told.aliases))
    return (*(kind for kind, recipients in kinds if recipients), *sent)


def _of_arrivals(record: JobRecord, arrivals: tuple[NoticeKind, ...]) -> list[Notice]:
    """Owed by the write that enters the first outcome, and by no other: so once, whatever breaks off."""
    return [] if record.recipients else [Notice(kind, record.attempts) for kind in arrivals]


def can_tell(record: JobRecord, notice: Notice) -> bool:
    """
    Say whether a notice's report may be made: whom it speaks of is known. Whoever moves the job on asks again.

    Who is refused while others wait is told of when it is decided about those: they may be given up with him.
    """
    if notice.attempt != record.attempts:
        return True
    is_undecided = record.state is State.TRIED and notice.kind is NoticeKind.FAILED
    return record.state is not State.CLAIMED and not is_undecided


def is_of_the_end(record: JobRecord, notice: Notice) -> bool:
    """
    Say whether a notice tells of the end of a job's time: of who was given up, or refused in the last attempt.

    It never changes while the notice may be told: a job that is done stays as it is, and of one that gave somebody up
    the refused are in the same notice, or were told before.
    """
    if notice.kind is not NoticeKind.FAILED:
        return notice.kind in {NoticeKind.EXPIRED, NoticeKind.RETURNED}
    if record.state is not State.DONE or notice.attempt != record.attempts or not record.last_at:
        return False
    states = record.recipients.values()
    ended_at = max((state.at for state in states if state.attempt == notice.attempt), default=0.0)
    return ended_at >= record.last_at and not any(state.is_given_up for state in states)


_WISH: Final = {
    NoticeKind.FAILED: "FAILURE",
    NoticeKind.EXPIRED: "FAILURE",
    NoticeKind.RETURNED: "FAILURE",
    NoticeKind.DELAYED: "DELAY",
    NoticeKind.RELAYED: "SUCCESS",
    NoticeKind.DELIVERED: "SUCCESS",
}


def members(record: JobRecord, notice: Notice, notify: Mapping[int, tuple[str, ...]]) -> dict[int, RecipientState]:
    """
    Give the recipients that a notice speaks of; but for delays immutable once the notice is owed.

    Args:
        notify: By position: RFC 3461 NOTIFY. Who shares an attempt with somebody that is reported, but asked
            for no such report, stays out of it. The suppression list hears of everybody.
    """
    if notice.kind is NoticeKind.SUPPRESS:
        return {
            n: state
            for n, state in record.recipients.items()
            if state.attempt == notice.attempt and says_no_such_address(state.outcome)
        }
    if notice.kind is NoticeKind.DELAYED and record.state is State.REMOVED:
        # It would promise that we go on trying.
        return {}
    return {
        n: state
        for n, state in record.recipients.items()
        if _is_wanted(notify.get(n, ()), notice.kind, state.outcome) and _is_member(state, notice)
    }


def _is_wanted(notify: tuple[str, ...], kind: NoticeKind, outcome: Outcome) -> bool:
    if kind is NoticeKind.RELAYED and outcome.is_traced:
        # RFC 2852: told unless NOTIFY=NEVER.
        return notify != ("NEVER",)
    return _wants(notify, _WISH[kind])


def _is_member(state: RecipientState, notice: Notice) -> bool:
    if notice.kind is NoticeKind.DELAYED:
        # Who has it by now, or never will, is no longer delayed.
        return not state.is_final
    successes = {NoticeKind.RELAYED, NoticeKind.DELIVERED}
    if notice.kind in successes and _success(state.outcome) is not notice.kind:
        return False
    if notice.kind is NoticeKind.RELAYED and state.outcome.is_traced:
        return state.attempt == notice.attempt
    wanted = Result.DELIVERED if notice.kind in successes else Result.FAILED
    return (
        state.outcome.result is wanted
        and state.attempt == notice.attempt
        and (state.is_given_up is (notice.kind is NoticeKind.EXPIRED) or notice.kind is NoticeKind.RETURNED)
        and not state.outcome.relayed_dsn
    )


def _wants(notify: tuple[str, ...], what: str) -> bool:
    """RFC 3461 4.1: without NOTIFY, failures are reported and successes are not; delays at our choice."""
    if not notify:
        return what in {"FAILURE", "DELAY"}
    return what in notify


def wants_delay_notice(notify: tuple[str, ...]) -> bool:
    """Say whether a recipient's sender wants to hear of a delay (RFC 3461 4.1)."""
    return _wants(notify, "DELAY")


def _notice_for(outcome: Outcome, notify: tuple[str, ...]) -> NoticeKind | None:
    if outcome.result is Result.FAILED and _wants(notify, "FAILURE"):
        return NoticeKind.FAILED
    if outcome.is_traced and notify != ("NEVER",):
        return NoticeKind.RELAYED
    if outcome.result is Result.DELIVERED and _wants(notify, "SUCCESS") and not outcome.relayed_dsn:
        return _success(outcome)
    return None


_TOLD_AS: Final = {Result.DELIVERED: "DELIVERY", Result.DEFERRED: "DELIVERY_DELAY", Result.FAILED: "BOUNCE"}


def _is_told(outcome: Outcome, tells: Collection[str]) -> bool:
    """Say whether somebody hears of an outcome; of one that waits for its turn there is nothing to say."""
    if outcome.command == PACED:
        return False
    if withheld_for(outcome) is Reason.COMPLAINT:
        return "COMPLAINT" in tells
    may_complain = outcome.command == SIMULATED and outcome.result is Result.DELIVERED
    return _TOLD_AS[outcome.result] in tells or (may_complain and "COMPLAINT" in tells)


def _success(outcome: Outcome) -> NoticeKind:
    """RFC 3464 2.3.3: a host passes mail on and a target has it."""
    return NoticeKind.DELIVERED if outcome.command == HANDED_OVER else NoticeKind.RELAYED


def _logged(
    log: tuple[LogEntry, ...], outcomes: Mapping[int, tuple[str, Outcome]], now: float, attempt: int, transcript: str
) -> tuple[LogEntry, ...]:
    """Group the outcomes that say the same into one history line each."""
    groups: dict[tuple[str, str], list[int]] = {}
    for position, (_, outcome) in outcomes.items():
        code = f"{outcome.code} " if outcome.code else ""
        text = f"{code}{outcome.status} {outcome.text}".replace("\n", " ")[:300]
        if outcome.mx_host:
            text = f"{outcome.mx_host} {outcome.command}: {text}"
        groups.setdefault((str(outcome.result), text), []).append(position)
    entries = [
        LogEntry(now, event, attempt, tuple(positions), text, transcript) for (event, text), positions in groups.items()
    ]
    return _bounded((*log, *entries))


def _short(outcome: Outcome) -> Outcome:
    """A hundred of these and the log stay below DynamoDB's 400 KB, whatever characters a host answers with."""
    if len(outcome.text) <= _SHORT // 4:  # UTF-8 takes four octets a character at most
        return outcome
    return replace(outcome, text=outcome.text.encode()[:_SHORT].decode(errors="ignore"))


def _bounded(log: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    half = LOG_ENTRIES // 2
    return log if len(log) <= LOG_ENTRIES else (*log[:half], *log[-half:])
