"""
What must hold of any history: "no accepted mail without exactly one final outcome for each recipient, no DSN twice,
no DSN for a delivered recipient, attempts and warnings at the times that the schedule says".

The judge sees every write of a record, every envelope that is kept, every transaction of the hosts' port and when
functions begin and end. From those and from what was submitted he says what must come of it, without asking the
record what it owes:

    at every write      what is final stays; what is over stays over; nothing is owed a second time; a job is claimed
                        once; a due time, a warning and a return are when domain/schedule.py says; hold stops the clock
    at every sending    the job is claimed, the recipient is open, he is asked once in an attempt, and not too early:
                        neither the job, nor he before the instant that his host named
    when a function     a 250 stands in the record, unless a death lay between (RFC 1047: exactly those may double)
      ends
    at the end          all is final; hosts took what is delivered, once; reports, double bounces, events, statistics and
                        the suppression list are what NOTIFY and the outcomes ask for, each once; nothing is left over

What he found is kept until somebody asks (`assert_well`), for a product that meets a raised error goes on (law 7).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import envelope as envelopes
from paravion.domain import queue, schedule
from paravion.domain.envelope import Envelope, decode_qf
from paravion.domain.outcome import PACED, Outcome, Result
from paravion.domain.queue import JobKey, JobRecord, NoticeKind, RecipientState, State
from paravion.domain.suppression import says_no_such_address
from paravion.ports import QueueName
from paravion.services.deliver import LEASE_MARGIN_S
from tests.histories import times
from tests.histories.orders import EVENTS, Order, Orders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paravion.domain.schedule import Plan
    from paravion.ports import Transaction
    from tests.histories.history import Adversity, WatchedWorld

_MINUTE_S: Final = 61.0
"""Between two sweeps."""

LEASE_S: Final = 60.0 + LEASE_MARGIN_S
"""What a worker that is frozen for longer knows counts no more."""

_EARLY_S: Final = 1e-3
_NAMED_S: Final = {"7 minutes": 420, "3 hours": 10_800}
"""The waits that hosts name, as in history.py's replies."""

_GROUP: Final = re.compile(rb"^Final-Recipient: *rfc822; *(\S+?)\r?\nAction: *(\w+)", re.MULTILINE)
_MACHINE_PART: Final = re.compile(rb"^Content-Type: message/delivery-status.*?^--", re.MULTILINE | re.DOTALL)
_ANY_GROUP: Final = re.compile(rb"^Final-Recipient:", re.MULTILINE)
_REPORTS: Final = frozenset({"dsn", "double-bounce"})
_ONCE: Final = (frozenset({NoticeKind.EXPIRED, NoticeKind.RETURNED}), frozenset({NoticeKind.SENT}))
_OPERATORS: Final = frozenset(EVENTS.values())
_WAITING: Final = frozenset({State.DEFERRED, State.READY, State.HELD})


@dataclass
class Promise:
    """
    What a door was told, and what it asked for.

    Attributes:
        rules: For new mail, that were in force when it was submitted (orders.py).
        unsure: Those that may have been, or not.
    """

    reverse_path: str
    notify: dict[str, tuple[str, ...]]
    release_at: float
    rules: frozenset[str]
    unsure: set[str]
    is_promised: bool = False


@dataclass
class Track:
    """
    What the judge saw of one job.

    Attributes:
        due_at: When it may be tried, by his own reckoning; None: not to be said.
        looked_at: When its record is due: earlier than it is tried, if its sender is to hear of its deadline.
        planned: The write that said so.
        faults, held_s, held_at: As the record's, by his own reckoning.
        owed: Every notice that it ever owed, with when (in writes) it was settled; 0: not yet.
        said: What hosts said, by position and attempt.
        ended: When (in writes) a recipient became final.
        is_warned, is_told_by: Its sender was told of the delay, and of the deadline, or need not be.
        warnings: Each with the write that owed it, and the positions that were open then.
        asks_all: An operator wants it tried, and it has not been: whatever hosts asked for.
    """

    due_at: float | None = None
    looked_at: float = 0.0
    planned: int = 0
    faults: int = 0
    held_s: float = 0.0
    held_at: float = 0.0
    owed: dict[queue.Notice, int] = field(default_factory=dict)
    said: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    is_warned: bool = False
    is_told_by: bool = False
    warnings: list[tuple[queue.Notice, int, tuple[int, ...]]] = field(default_factory=list)
    asks_all: bool = False


@dataclass
class Frame:
    """
    One run of a function, or one call of an operator's: since when, in seconds and in writes.

    Attributes:
        claims: The jobs that it has, with the token and the number of the attempt.
    """

    function: str
    began_at: float
    began: int
    order: Order | None = None
    taken: list[tuple[str, int, int]] = field(default_factory=list)
    claims: dict[JobKey, tuple[str, int]] = field(default_factory=dict)
    finals: int = 0


class _Told(dict[Any, Any]):
    """A dictionary that tells of what is put into it."""

    def __init__(self, tell: Any) -> None:
        super().__init__()
        self._tell = tell

    def __setitem__(self, key: Any, value: Any) -> None:
        old = self.get(key)
        super().__setitem__(key, value)
        self._tell(key, old, value)


class Judge:
    """See the module; one for each history."""

    def __init__(self, world: WatchedWorld, adversity: Adversity, plan: Plan, postmaster: str) -> None:
        self.world, self.adversity, self.plan, self.postmaster = world, adversity, plan, postmaster
        self.problems: list[str] = []
        self.checked: Counter[str] = Counter()
        self.tracks: dict[JobKey, Track] = {}
        self.promises: dict[str, Promise] = {}
        self.kept: dict[str, tuple[Envelope, int, int]] = {}
        self.kept_at: dict[str, float] = {}
        self.named: set[str] = set()
        self.let_go: set[JobKey] = set()
        self.cancelled: set[JobKey] = set()
        self.unsent: set[str] = set()
        self.excused: Counter[tuple[str, int]] = Counter()
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.overtaken: Counter[tuple[str, str, str]] = Counter()
        self.finals = self.uncounted = self.publish_faults = 0
        self.writes = 1
        self.latest = ""
        self.calm_at: float | None = None
        self.calm = 0
        self.submitting: list[Promise] = []
        self.orders = Orders(self)
        self._frames: list[Frame] = []
        world.ledger.records = _Told(self._written)
        world.spool.envelopes = _Told(self._kept)
        self.listed: dict[str, int] = {}
        world.suppression.items = _Told(lambda path, old, new: self.listed.setdefault(path, self.writes))
        self._send = world.transport.send
        world.transport.send = self._sent  # type: ignore[method-assign]

    # Asking

    def assert_well(self) -> None:
        """Raise what was seen so far."""
        assert not self.problems, "\n".join(self.problems)

    def messages(self) -> list[str]:
        """Give the queue ids of messages and reports, as they were kept."""
        return [queue_id for queue_id, (envelope, _, _) in self.kept.items() if self._is_message(envelope)]

    def _is_message(self, envelope: Envelope) -> bool:
        """Say whether it is more than notes, and no part of a submission that broke off before anybody named it."""
        return envelope.kind != "joined" and (not envelope.body_id or envelope.queue_id in self.named)

    def queued_at(self, queue_id: str) -> float:
        """Say when a message's jobs were sent: those of a submission all at once."""
        envelope = self.kept[queue_id][0]
        return self.kept[envelope.body_id or queue_id][0].queued_at

    # Seeing

    def is_about_to_submit(self, reverse_path: str, notify: dict[str, tuple[str, ...]], after_s: float) -> None:
        """Hear of a submission before it is made."""
        release_at = self.world.now + after_s if after_s else 0.0
        rules = frozenset(self.orders.in_force)
        self.submitting.append(Promise(reverse_path, notify, release_at, rules, set(self.orders.unsure)))

    def submitted(self, queue_id: str) -> None:
        """Hear of its receipt, "" for none."""
        self.submitting.pop()
        if queue_id:
            self.promises[queue_id].is_promised = True

    def all_is_well(self) -> None:
        """Hear that nothing breaks from here on."""
        self.calm_at, self.calm = self.world.now, self.writes

    @contextmanager
    def frame(self, function: str, order: Order | None = None) -> Iterator[Frame]:
        """Know who writes: what breaks in there breaks nobody else."""
        frame = Frame(function, self.world.now, self.writes, order)
        self._frames.append(frame)
        fired = len(self.adversity.fired)
        try:
            yield frame
        finally:
            self._frames.pop()
            del self.adversity.fired[fired:]

    @contextmanager
    def invocation(self, function: str) -> Iterator[None]:
        """Watch one run of a function."""
        fired = len(self.adversity.fired)
        with self.frame(function) as frame:
            try:
                yield
            finally:
                self._ended(frame, self.adversity.fired[fired:])

    def _ended(self, frame: Frame, faults: list[tuple[str, bool]]) -> None:
        died = any(dies for _, dies in faults)
        for queue_id, position, attempt in frame.taken:
            record = self.world.ledger.records.get(_key(queue_id, position))
            state = record.recipients.get(position) if record else None
            if state and state.attempt == attempt and state.outcome.result is Result.DELIVERED:
                continue
            self.excused[queue_id, position] += 1
            died = died or self.world.now - frame.began_at > LEASE_S
            self.demand(died, f"{queue_id}[{position}]: a 250 was forgotten, and nobody had died: {faults}")
        if faults:
            self.uncounted += frame.finals
            self.publish_faults += 1

    @property
    def _slack_s(self) -> float:
        """How long ago a function that writes now may have looked at the clock: others let it wait."""
        return self.world.now - self._frames[-1].began_at if self._frames else 0.0

    def demand(self, holds: object, problem: str) -> None:
        """Keep the problem unless it holds."""
        if not holds:
            self.problems.append(problem)

    def _kept(self, queue_id: str, old: bytes | None, octets: bytes) -> None:
        self.writes += 1
        self.demand(old is None, f"{queue_id}: kept twice")
        envelope, _ = decode_qf(octets)
        self.named.update(part for part, _ in envelope.parts)
        began = self._frames[-1].began if self._frames else self.writes
        self.kept[queue_id] = envelope, self.writes, began
        self.kept_at[queue_id] = self.world.now
        if envelope.kind == "mail":
            promise = self.promises[queue_id] = self.submitting[-1]
            for recipient in envelope.recipients:
                is_held = self.orders.is_held(promise, recipient.forward_path)
                is_as_ruled = is_held is None or is_held is bool(envelope.quarantine)
                self.demand(is_as_ruled, f"{queue_id}: held: {is_held}, kept with {envelope.quarantine!r}")
                self.checked["mails held by a rule"] += is_held is True
        else:
            self.demand(not envelope.quarantine, f"{queue_id}: a report is held")

    async def _sent(self, hop: Any, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        now = self.world.now
        for position, (path, _, _) in transaction.recipients.items():
            at = f"{transaction.queue_id}[{position}] {path} at {now}"
            key = _key(transaction.queue_id, position)
            record, track = self.world.ledger.records.get(key), self._track(key)
            token, attempt = self._frames[-1].claims.get(key, ("", 0))
            if record is None or record.state is not State.CLAIMED or record.token != token:
                # A worker that slept until its lease was over sends to the scripted host, which knows no deadline;
                # adapters/smtp_client.py connects to nobody behind it.
                self.demand(
                    now - self._frames[-1].began_at > LEASE_S,
                    f"{at}: sent though the job is {record.state if record else 'untried'}",
                )
                continue
            is_free = key in self.let_go or not self.kept[transaction.queue_id][0].quarantine
            self.demand(is_free, f"{at}: sent though a rule holds it")
            known = record.recipients.get(position)
            self.demand(known is None or not known.is_final, f"{at}: sent again after {known}")
            self.demand((position, attempt) not in track.said, f"{at}: sent twice in one attempt")
            asked_at = _asked_at(known) if known else None
            if asked_at is not None and not track.asks_all and now < self._last_at(record) - _EARLY_S:
                self.demand(asked_at - now < _EARLY_S, f"{at}: asked {asked_at - now} s before his host wants it")
                self.checked["waits that hosts named"] += 1
            kind = self.kept[transaction.queue_id][0].kind
            is_listed = self.listed.get(path, self.writes) < self._frames[-1].began
            self.demand(kind != "mail" or not is_listed, f"{at}: sent though suppressed")
            self._check_time(key, track, "sent")
            self.checked["sendings"] += 1
        outcomes = await self._send(hop, transaction, deadline)
        for position, outcome in outcomes.items():
            key = _key(transaction.queue_id, position)
            _, attempt = self._frames[-1].claims[key]
            self._track(key).said[position, attempt] = outcome
            if outcome.result is Result.DELIVERED:
                self._frames[-1].taken.append((transaction.queue_id, position, attempt))
        return outcomes

    # Every write of a record

    def _track(self, key: JobKey) -> Track:
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = Track()
            promise = self.promises.get(key.queue_id)
            if promise and promise.release_at:
                track.due_at, track.planned = promise.release_at, 0
        return track

    def _written(self, key: JobKey, old: JobRecord | None, new: JobRecord) -> None:
        try:
            self._judge_write(key, old, new)
        except Exception as exc:
            self.demand(False, f"the judge fell over {old} -> {new}: {exc!r}")

    def _judge_write(self, key: JobKey, old: JobRecord | None, new: JobRecord) -> None:
        self.writes += 1
        self.latest = key.queue_id
        track = self._track(key)
        at = f"{key} at {self.world.now}: {old.state if old else None} -> {new.state}"
        planned = track.planned
        frame = self._frames[-1] if self._frames else None
        order = frame.order if frame else None
        self.orders.wrote(order, key, old, new, at)
        if order is not None and order.verb in {"release", "requeue"}:
            self.let_go.add(key)
        if order is not None and order.verb == "cancel":
            self.cancelled.add(key)
        if frame is not None and frame.function == QueueName.DELIVERY:
            self._check_claim(frame, old, new, at)
        self._check_recipients(track, old, new, at)
        self._check_owed(track, old, new, at)
        self._check_state(key, track, old, new, at)
        self._check_warning(key, track, old, new, at, planned)

    def _check_claim(self, frame: Frame, old: JobRecord | None, new: JobRecord, at: str) -> None:
        """A worker writes what it has claimed, for as long as it has it."""
        if new.state is State.CLAIMED and (old is None or old.token != new.token):
            frame.claims[new.key] = new.token, new.attempts
        elif old is not None and old.state is State.CLAIMED:
            is_ours = frame.claims.get(new.key, ("", 0))[0] == old.token
            self.demand(is_ours, f"{at}: another worker has it")
        else:
            # Of an earlier message (domain/queue.py), which no history lasts for.
            self.demand(False, f"{at}: no worker has it")

    def _check_recipients(self, track: Track, old: JobRecord | None, new: JobRecord, at: str) -> None:
        before = old.recipients if old else {}
        if before is new.recipients:
            return
        envelope = self.kept[new.key.queue_id][0]
        tells, told_as = envelope.tells, envelope.df_id
        for n, state in before.items():
            if state.is_final and new.recipients.get(n) != state:
                self.demand(False, f"{at}: {n} was final, and is {new.recipients.get(n)}")
        for n, state in new.recipients.items():
            if before.get(n) == state:
                continue
            self._check_outcome(track, new, n, state, at)
            if state.is_final:
                track.ended[n] = self.writes
                self.finals += 1
                if self._frames:
                    self._frames[-1].finals += 1
            known = before.get(n)
            if known and known.attempt == state.attempt and known.outcome.command != PACED and tells:
                # Given up on the heels of its last attempt: whoever hears of that need not hear of the delay.
                self.overtaken[told_as, "DeliveryDelay", state.forward_path] += 1
            if state.outcome.command != PACED and tells:
                kind = {Result.DELIVERED: "Delivery", Result.FAILED: "Bounce"}.get(
                    state.outcome.result, "DeliveryDelay"
                )
                self.events[told_as, kind, state.forward_path] += 1
        if not before and new.recipients and tells and not new.key.chunk and not envelope.body_id:
            self.events[told_as, "Send", ""] += 1

    def _check_outcome(self, track: Track, new: JobRecord, n: int, state: RecipientState, at: str) -> None:
        """An outcome is what the host said in that attempt, or our own word where none was asked."""
        said = track.said.get((n, state.attempt))
        outcome = state.outcome
        now = self.world.now
        if outcome.command == "EXPIRED":
            is_old = now >= self._returned_at(track, new) - _EARLY_S
            self.demand(is_old, f"{at}: {n} returned before its time")
            is_taken = said is not None and said.result is Result.DELIVERED
            is_forgotten = self.excused[new.key.queue_id, n] > 0
            self.demand(not is_taken or is_forgotten, f"{at}: {n} returned after {said}")
            return
        if said is not None:
            is_said = (outcome.result, outcome.status, outcome.code) == (said.result, said.status, said.code)
            self.demand(is_said, f"{at}: {n} is {outcome}, the host said {said}")
            return
        if outcome.result is Result.DELIVERED:
            self.demand(False, f"{at}: {n} delivered, and nobody took it")
        elif outcome.result is Result.FAILED and outcome.command != "SUPPRESSION":
            is_from_hold = now >= new.queued_at + schedule.LIFETIME_S - _EARLY_S
            is_from_hold = is_from_hold or (new.key in self.cancelled and "operator" in outcome.text.lower())
            self.demand(is_from_hold, f"{at}: {n} failed, and nobody had refused it: {outcome}")
        elif outcome.is_reply:
            self.demand(False, f"{at}: {n} deferred with words that nobody said: {outcome}")

    def _check_owed(self, track: Track, old: JobRecord | None, new: JobRecord, at: str) -> None:
        before = old.owed if old else ()
        if before == new.owed:
            return
        for notice in new.owed:
            if notice not in before:
                if notice.kind is NoticeKind.EVENT and notice in track.owed and new.log[-1].event == "expired":
                    # An expiry has the number of the last attempt: what that told may be told once more.
                    self.publish_faults += 1
                    track.owed[notice] = 0
                    continue
                self.demand(notice not in track.owed, f"{at}: owes {notice} again")
                kinds = next((kinds for kinds in _ONCE if notice.kind in kinds), frozenset[NoticeKind]())
                self.demand(all(other.kind not in kinds for other in track.owed), f"{at}: owes a second {notice.kind}")
                refused = replace(notice, kind=NoticeKind.FAILED)
                is_torn = notice.kind is NoticeKind.EXPIRED and refused in new.owed
                is_torn = is_torn and old is not None and old.state in {State.TRIED, State.CLAIMED}
                self.demand(not is_torn, f"{at}: two reports of one attempt")
                track.owed[notice] = 0
        for notice in before:
            if notice not in new.owed:
                track.owed[notice] = self.writes

    def _check_state(self, key: JobKey, track: Track, old: JobRecord | None, new: JobRecord, at: str) -> None:
        was = old.state if old else None
        now = self.world.now
        if old is not None and old.is_closed:
            self.demand(was is new.state, f"{at}: was over")
            return
        if new.state is State.CLAIMED and (old is None or old.token != new.token):
            self.demand(was in {None, State.READY}, f"{at}: claimed")
            self.demand(new.attempts == (old.attempts if old else 0) + 1, f"{at}: attempt {new.attempts}")
            self._check_time(key, track, "claimed")
        event = self._event(new)
        self._check_left_out(track, old, new, event, at)
        is_let_go = new.is_closed or event in {"release", "requeue"}
        self.demand(not old or not old.quarantine or new.quarantine or is_let_go, f"{at}: no longer held")
        self.demand(
            not new.quarantine or new.is_closed or new.state in {State.CLAIMED, State.HELD},
            f"{at}: goes on, though it is to be held",
        )
        self.demand(new.state not in _WAITING or new.due_at > 0, f"{at}: waits, and nobody will look")
        if new.state is State.DONE:
            count = len(self.kept[key.queue_id][0].chunk(key.chunk))
            finals = sum(state.is_final for state in new.recipients.values())
            self.demand(finals == count, f"{at}: done with {finals} of {count} recipients")
        if new.state is State.REMOVED:
            self.demand(event == "removal", f"{at}: nobody removed it")
        if new.state is State.HELD and was is not State.HELD:
            is_asked = event in {"hold", "cancel"} or (old is not None and bool(old.quarantine))
            is_by_rule = bool(self.kept[key.queue_id][0].quarantine) and key not in self.let_go
            self.demand(is_asked or is_by_rule, f"{at}: held, and nobody wants it")
            if old is None:
                track.held_s = max(0.0, self.kept[key.queue_id][0].release_at - new.queued_at)
            track.held_at, track.faults, track.due_at = new.held_at, 0, None
            self.demand(0 <= now - new.held_at <= self._slack_s, f"{at}: held since {new.held_at}")
            until = self._held_until(key, new)
            is_until = 0 <= new.due_at - until <= self._slack_s
            self.demand(is_until, f"{at}: held until {new.due_at}, not {until}")
        if was is State.HELD and new.state is not State.HELD:
            self._let_go(key, track, now)
            is_told = event == "removal" or event in {"release", "requeue"}
            is_old = now >= new.queued_at + schedule.LIFETIME_S or (old is not None and bool(old.cancelled))
            self.demand(is_told or (is_old and new.state is State.DONE), f"{at}: left its hold unasked")
        if event == "requeue" and new.state is State.READY and (old is None or old.log != new.log):
            # As if it came when it was said, which may be a moment before it is written.
            said_at = new.log[-1].at
            self.demand(0 <= now - said_at <= self._slack_s, f"{at}: requeued at {said_at}")
            track.held_s, track.faults, track.due_at, track.is_warned = said_at - new.queued_at, 0, None, False
            self.demand(now >= self.kept[key.queue_id][0].release_at, f"{at}: requeued before its release")
        elif event == "flush" and new.state is State.READY and old is not None and old.log != new.log:
            track.due_at = None
            self.demand(now >= self.kept[key.queue_id][0].release_at, f"{at}: flushed before its release")
        elif new.state is State.DEFERRED and (was is not State.DEFERRED or old is None or old.due_at != new.due_at):
            self._check_plan(key, track, old, new, at)
        elif new.state is State.READY and was is State.DEFERRED:
            self._check_time(key, track, "woken")
        elif new.state is State.READY and was is not State.READY:
            # It waits for its turn at a host (services/pacing.py).
            track.due_at = None

    def _check_left_out(self, track: Track, old: JobRecord | None, new: JobRecord, event: str, at: str) -> None:
        """An attempt is of everybody, but for those whose hosts asked to be left alone; an operator's is of all."""
        if event in {"flush", "requeue"} and (old is None or old.log != new.log):
            track.asks_all = True
        has_ended = old is not None and old.state is State.CLAIMED and not new.token
        if not has_ended or event in {"fault", "broke_off", "expired", "requeue"}:
            return
        began_at = self._frames[-1].began_at if self._frames else self.world.now
        for n, state in new.recipients.items():
            if state.is_final or state.attempt == new.attempts:
                continue
            asked_at = _asked_at(state)
            is_early = asked_at is not None and began_at < asked_at and not track.asks_all
            self.demand(is_early and began_at < self._last_at(new), f"{at}: {n} was not asked, since {asked_at}")
            self.checked["left out"] += 1
        track.asks_all = False

    def _last_at(self, record: JobRecord) -> float:
        """Say from when on an attempt is of everybody, since it may be the last."""
        plan = schedule.bounded(self.plan, record)
        end = min(record.counted_from + plan.return_s, record.queued_at + schedule.LIFETIME_S)
        return min(schedule.last_attempt_from(record.counted_from, plan), end)

    def _event(self, new: JobRecord) -> str:
        """Say what a write is: an operator's act by who makes it, else what the history says last."""
        order = self._frames[-1].order if self._frames else None
        if order is not None:
            return EVENTS.get(order.verb, "")
        said = new.log[-1] if new.log else None
        is_now = said is not None and said.at >= self.world.now - self._slack_s
        return said.event if said and is_now and said.event not in _OPERATORS else ""

    def _held_until(self, key: JobKey, new: JobRecord) -> float:
        """Say when a job that is held from now on is looked at: at the sweep, its deadline, or its end."""
        until = new.held_at if new.cancelled else new.queued_at + schedule.LIFETIME_S
        deadline = self.kept[key.queue_id][0].deliver_by
        # Of an attempt that broke off before anything was read the record does not know the deadline.
        if deadline and not deadline.returns and new.deliver_by_at and not (new.told_by or new.cancelled):
            until = min(until, max(new.held_at, deadline.at))
        return until

    def _let_go(self, key: JobKey, track: Track, now: float) -> None:
        """Time in hold does not count; what is released before the instant that its sender named waits for that."""
        promise, queued_at = self.promises.get(key.queue_id), self.queued_at(key.queue_id)
        release_at = max(promise.release_at if promise else 0.0, queued_at + track.held_s)
        if release_at > now:
            track.held_s = release_at - queued_at
        else:
            track.held_s = min(track.held_s + now - track.held_at, now - queued_at)
            track.asks_all = True

    def _returned_at(self, track: Track, record: JobRecord) -> float:
        """Say when the queue's time is over, by what the judge knows of holds and later releases."""
        born_at = record.queued_at + track.held_s
        return min(born_at + self._life_s(track, record), record.queued_at + schedule.LIFETIME_S)

    def _life_s(self, track: Track, record: JobRecord) -> float:
        """Say how long a job lives from where its times count, its spool's time aside."""
        envelope = self.kept[record.key.queue_id][0]
        life_s = min(self._plan_for(record).return_s, envelope.max_delivery_s or float("inf"))
        deadline = envelope.deliver_by
        if deadline is not None and deadline.returns:
            life_s = min(life_s, max(0.0, deadline.at - record.queued_at - track.held_s))
        return life_s

    def _plan_for(self, record: JobRecord) -> Plan:
        """Give the plan of the message's priority, as far as an attempt can have read it."""
        envelope = self.kept[record.key.queue_id][0]
        return self.plan.by_priority.get(envelope.urgency, self.plan)

    def _check_plan(self, key: JobKey, track: Track, old: JobRecord | None, new: JobRecord, at: str) -> None:
        """A job was put off: until when the schedule says."""
        now = self.world.now
        event = self._event(new)
        envelope = self.kept[key.queue_id][0]
        if event == "scheduled":
            track.held_s = max(0.0, envelope.release_at - new.queued_at)
            self._plan(track, envelope.release_at, new, f"{at}: to be released later")
            return
        if event == "release" and (old is None or old.state is State.HELD):
            if old is None:
                # A rule would have held it, and nobody has tried it.
                track.held_s = max(0.0, envelope.release_at - new.queued_at)
            self._plan(
                track,
                max(now, (new.queued_at + track.held_s if old else now), envelope.release_at),
                new,
                f"{at}: released",
            )
            return
        if envelope.release_at and (envelope.max_delivery_s or not new.recipients):
            track.held_s = max(track.held_s, envelope.release_at - new.queued_at)
        counted_from = new.queued_at + track.held_s
        self.demand(abs(counted_from - new.counted_from) < _EARLY_S, f"{at}: counts from {new.counted_from}")
        returned_at = self._returned_at(track, new)
        self.demand(now - self._slack_s < returned_at, f"{at}: put off though its time was over at {returned_at}")
        if old is not None and old.state is State.READY and old.tries_at and track.due_at is not None:
            # It was looked at for its sender's sake alone.
            self._plan(track, max(now, old.tries_at), new, f"{at}: after a word", words=True)
            return
        waiting = [state for state in new.recipients.values() if not state.is_final]
        if old is not None and old.state is State.TRIED and waiting:
            turns = [s.outcome.not_before for s in waiting if s.outcome.command == PACED]
            if len(turns) == len(waiting):
                # Its host's turn is far away, or his sender is told before it.
                track.faults = 0
                self._plan(track, max(now, min(*turns, returned_at)), new, at, words=True)
                return
            asked = [_asked_at(state) for state in waiting]
            tried = new.attempts - new.paced
            due_at = times.next_at(self._plan_for(new), counted_from, self._life_s(track, new), now, tried, asked)
            due_at = max(due_at, min(*(s.outcome.not_before for s in waiting), returned_at))
            track.faults = 0
            self.checked["waits"] += 1
        else:
            track.faults += 1
            due_at = now + times.after_fault_s(self.plan, track.faults)
            named = [at for state in waiting if (at := _asked_at(state)) is not None]
            is_all_tried = len(new.recipients) == len(envelope.chunk(key.chunk))
            if is_all_tried and named and len(named) == len(waiting) and not track.asks_all:
                # There is nobody to ask before.
                due_at = max(due_at, min(min(named) + schedule.ASKED_MARGIN_S, self._last_at(new)))
            due_at = min(due_at, returned_at)
            self.checked["waits after a fault"] += 1
        self._plan(track, max(now, min(due_at, new.queued_at + schedule.LIFETIME_S)), new, at, words=True)

    def _plan(self, track: Track, due_at: float, new: JobRecord, at: str, *, words: bool = False) -> None:
        tries_at = new.tries_at or new.due_at
        track.due_at, track.looked_at, track.planned = tries_at, new.due_at, self.writes
        is_due = abs(due_at - tries_at) < self._slack_s + _EARLY_S
        self.demand(is_due, f"{at}: tried at {tries_at}, the schedule says {due_at}")
        pending = [word for word in self._words(track, new) if words and word < tries_at - _EARLY_S]
        # Which of them are over by now depends on when the function looked at the clock.
        looks = {min((word for word in pending if word > now), default=tries_at) for now in (
            self.world.now, self.world.now - self._slack_s)}  # fmt: skip
        is_exact = any(abs(new.due_at - look) < _EARLY_S for look in looks)
        self.demand(is_exact, f"{at}: looked at at {new.due_at}, its sender is told at {pending}")

    def _words(self, track: Track, new: JobRecord) -> list[float]:
        """Give when its sender is to be told that it is late: of the delay, of its deadline."""
        envelope = self.kept[new.key.queue_id][0]
        deadline, now = envelope.deliver_by, self.world.now
        over_at = math.inf
        if deadline is not None and not (deadline.returns or track.is_told_by) and deadline.at > envelope.queued_at:
            over_at = deadline.at
        late_at = new.queued_at + track.held_s + self._plan_for(new).warn_s
        # Who is told of the deadline now need not be told of the delay later.
        is_warned = track.is_warned or not envelope.reverse_path or over_at <= now
        return [over_at] if is_warned else [over_at, late_at]

    def _check_time(self, key: JobKey, track: Track, what: str) -> None:
        """Not before it is due; and when all is well, with the next minute's sweep."""
        now = self.world.now
        if track.due_at is None:
            return
        early_s = (track.looked_at if what == "woken" and track.looked_at else track.due_at) - now
        self.demand(early_s < _EARLY_S, f"{key}: {what} {early_s} s too early")
        if self.calm_at is not None and track.planned > self.calm and what == "claimed":
            late_s = now - max(track.due_at, self.calm_at)
            self.demand(late_s <= _MINUTE_S, f"{key}: {what} {late_s} s too late")
            self.checked["attempts in time"] += 1

    def _check_warning(
        self, key: JobKey, track: Track, old: JobRecord | None, new: JobRecord, at: str, planned: int
    ) -> None:
        """
        The sender hears once of a delay, at the first decision behind the time, if anybody there wants it.

        And once more when a deadline is over (RFC 2852), unless he hears of the delay only then. When all was well
        since the job was `planned` (a write), he hears with the next minute's sweep.
        """
        before = old.owed if old else ()
        told = [n for n in new.owed if n.kind is NoticeKind.DELAYED and n not in before]
        decided = new.state in {State.DEFERRED, State.READY} and (
            old is None or old.state in {State.TRIED, State.CLAIMED} or (old.state is State.READY != new.state)
        )
        if not told and not decided:
            return
        now = self.world.now
        envelope = self.kept[key.queue_id][0]
        deadline = envelope.deliver_by
        late_at = new.queued_at + track.held_s + self._plan_for(new).warn_s
        over_at = float("inf")
        if deadline is not None and not deadline.returns and deadline.at > envelope.queued_at:
            over_at = deadline.at
        is_late = not track.is_warned and now >= late_at
        is_over = not track.is_told_by and now >= over_at
        self.demand(not told or is_late or is_over, f"{at}: warned, and it is not the time")
        if not (is_late or is_over):
            return
        promise = self.promises.get(key.queue_id)
        still_open = new.open_positions(envelope.chunk(key.chunk))
        wanted = (
            any(_wants(promise.notify[envelope.recipients[n].forward_path], "DELAY") for n in still_open)
            if (promise is not None and envelope.reverse_path)
            else False
        )
        has_had_to = (not track.is_warned and now - self._slack_s >= late_at) or (
            over_at <= now - self._slack_s and is_over
        )
        event = self._event(new)
        if decided and has_had_to and event not in {"scheduled", "release", "flush", "requeue"}:
            owes = any(notice.kind is NoticeKind.DELAYED and notice.attempt == new.delay_told for notice in new.owed)
            self.demand(owes is wanted, f"{at}: late, wanted: {wanted}, owed: {owes}")
        if told or (decided and (new.warned or new.told_by)):
            track.is_warned, track.is_told_by = True, track.is_told_by or is_over
        if told:
            if self.calm_at is not None and planned > self.calm:
                word_at = min(at for at, is_due in ((late_at, is_late), (over_at, is_over)) if is_due)
                late_s = now - max(word_at, self.calm_at)
                self.demand(late_s <= _MINUTE_S, f"{at}: told {late_s} s too late")
                self.checked["warnings in time"] += 1
            track.warnings.append((told[0], self.writes, tuple(still_open)))
            self.checked["warnings"] += 1

    # At the end

    def assert_kept(self) -> None:
        """Raise what is wrong when nothing is left to do."""
        self._demand_nothing_left()
        told, delays = self._read_reports()
        wanted: Counter[tuple[str, str, str]] = Counter()
        accepted = Counter((queue_id, path) for queue_id, path, _, _ in self.world.transport.accepted)
        for queue_id, (envelope, _, _) in self.kept.items():
            if not self._is_message(envelope):
                is_untouched = all(key.queue_id != queue_id for key in self.world.ledger.records)
                self.demand(is_untouched, f"{queue_id} was never named by its submission, and was tried")
            elif queue_id not in self.unsent:
                self._judge_message(queue_id, envelope, accepted, wanted)
        for key in sorted({*told, *wanted}):
            self.demand(told[key] == wanted[key], f"{key}: told {told[key]} times, wanted {wanted[key]} times")
        self._judge_delays(delays)
        self._judge_events()
        counted = sum(tally.attempts for tally in self.world.counters.tallies.values())
        bounds = self.finals - self.uncounted, self.finals
        self.demand(bounds[0] <= counted <= bounds[1], f"statistics say {counted} of {bounds}")
        self.checked["reports"] += sum(told.values())
        self.assert_well()

    def _demand_nothing_left(self) -> None:
        for name, items in self.world.queues.items.items():
            self.demand(not items, f"left in {name}: {items}")
        for key, record in self.world.ledger.records.items():
            self.demand(not record.owed, f"{key} still owes {record.owed}")
            self.demand(record.is_closed, f"{key} is {record.state}")

    def _judge_message(
        self,
        queue_id: str,
        envelope: Envelope,
        accepted: Counter[tuple[str, str]],
        wanted: Counter[tuple[str, str, str]],
    ) -> None:
        promise = self.promises.get(queue_id)
        is_owed_to_somebody = promise.is_promised if promise else True
        if promise is not None and not envelope.body_id:
            whole = [envelope, *(self.kept[part][0] for part, _ in envelope.parts)]
            paths = sorted(recipient.forward_path for it in whole for recipient in it.recipients)
            self.demand(paths == sorted(promise.notify), f"{queue_id}: to {paths}, asked for {list(promise.notify)}")
        for position, recipient in enumerate(envelope.recipients):
            path = recipient.forward_path
            record = self.world.ledger.records.get(_key(queue_id, position))
            if record is None and not is_owed_to_somebody:
                continue
            state = record.recipients.get(position) if record else None
            is_final = state is not None and state.is_final
            is_removed = record is not None and record.state is State.REMOVED
            self.demand(is_final or is_removed, f"{queue_id} {path}: no final outcome")
            is_delivered = is_final and state is not None and state.outcome.result is Result.DELIVERED
            copies, excused = accepted[queue_id, path], self.excused[queue_id, position]
            self.demand(copies == is_delivered + excused, f"{queue_id} {path}: {copies} copies, {excused} excused")
            if is_final and state is not None:
                notify = promise.notify[path] if promise else ()
                told = self._wanted_report(envelope, path, notify, state.outcome)
                wanted.update([told] if told else [])
                if says_no_such_address(state.outcome):
                    self.demand(path in self.world.suppression.items, f"{path} does not exist, and is not listed")

    def _wanted_report(
        self, envelope: Envelope, path: str, notify: tuple[str, ...], outcome: Outcome
    ) -> tuple[str, str, str] | None:
        is_failed = outcome.result is Result.FAILED
        if envelope.kind == "double-bounce" or not _wants(notify, "FAILURE" if is_failed else "SUCCESS"):
            return None
        if envelope.kind == "mail" and envelope.reverse_path:
            return envelope.reverse_path, path, "failed" if is_failed else "relayed"
        return (self.postmaster, path, "failed") if is_failed else None

    def _read_reports(self) -> tuple[Counter[tuple[str, str, str]], Counter[tuple[str, str]]]:
        """Give how often whom was told what, and of which delays."""
        told: Counter[tuple[str, str, str]] = Counter()
        delays: Counter[tuple[str, str]] = Counter()
        for queue_id, (envelope, _, _) in self.kept.items():
            if envelope.kind not in _REPORTS:
                continue
            (recipient,) = envelope.recipients
            self.demand(envelope.reverse_path == "", f"{queue_id}: a report from {envelope.reverse_path}")
            # What is returned behind the machine's part may be a report itself.
            octets = _MACHINE_PART.findall(self.world.spool.bodies[envelope.df_id])[0]
            groups = _GROUP.findall(octets)
            self.demand(groups and len(groups) == len(_ANY_GROUP.findall(octets)), f"{queue_id}: {octets!r}")
            is_unsent = JobKey(queue_id) not in self.world.ledger.records
            if is_unsent and all(action == b"delayed" for _, action in groups):
                # Kept, and when it was to be sent all had come to their end: nobody needs it.
                self.unsent.add(queue_id)
                continue
            for path, action in groups:
                if action == b"delayed":
                    delays[recipient.forward_path, path.decode()] += 1
                    self._judge_delay(queue_id, recipient.forward_path, path.decode())
                else:
                    told[recipient.forward_path, path.decode(), action.decode()] += 1
        return told, delays

    def _judge_delay(self, report_id: str, to: str, path: str) -> None:
        """No word of a delay to whom has it: not unless it arrived while the report was made."""
        decided = min(
            [self.kept[report_id][2]] + [began for kept, _, began in self.kept.values() if kept.kind == "joined"]
        )
        for queue_id, promise in self.promises.items():
            if promise.reverse_path == to:
                envelope = self.kept[queue_id][0]
                for n, recipient in enumerate(envelope.recipients):
                    ended = self._track(_key(queue_id, n)).ended.get(n)
                    if recipient.forward_path == path and ended is not None:
                        self.demand(ended >= decided, f"{report_id}: tells {to} that {path} is late, who is final")

    def _judge_delays(self, told: Counter[tuple[str, str]]) -> None:
        least: Counter[tuple[str, str]] = Counter()
        most: Counter[tuple[str, str]] = Counter()
        for key, track in self.tracks.items():
            promise = self.promises.get(key.queue_id)
            if promise is None:
                continue
            envelope = self.kept[key.queue_id][0]
            record = self.world.ledger.records.get(key)
            is_removed = record is not None and record.state is State.REMOVED
            is_asked = envelope.deliver_by is not None and not envelope.deliver_by.returns
            for notice, _, positions in track.warnings:
                settled = track.owed[notice]
                for n in positions:
                    path = envelope.recipients[n].forward_path
                    if not _wants(promise.notify[path], "DELAY"):
                        continue
                    if _is_program(promise.reverse_path) and not promise.notify[path] and not is_asked:
                        continue
                    most[promise.reverse_path, path] += 1
                    must = not is_removed and track.ended.get(n, settled) >= settled
                    least[promise.reverse_path, path] += must
        for key in sorted({*told, *most}):
            times = told[key]
            is_told = least[key] <= times <= most[key]
            self.demand(is_told, f"{key}: told of a delay {times} times, not {least[key]} to {most[key]}")

    def _judge_events(self) -> None:
        told: Counter[tuple[str, str, str]] = Counter()
        for _, event in self.world.destinations.taken:
            kind = event.get("eventType") or event["notificationType"]
            detail: dict[str, Any] = next(event[m] for m in event if m not in {"eventType", "notificationType", "mail"})
            members = ("bouncedRecipients", "delayedRecipients")
            paths = detail.get("recipients") or [r["emailAddress"] for m in members for r in detail.get(m, [])]
            for path in paths or [""]:
                told[event["mail"]["messageId"], kind, path] += 1
        for key in sorted({*told, *self.events}):
            times, wanted = told[key], self.events[key]
            least = wanted - self.overtaken[key]
            is_told = times >= least and wanted > 0 and (times <= wanted or self.publish_faults > 0)
            self.demand(is_told, f"event {key}: published {times} times, {wanted} wanted")
        self.checked["events"] += sum(self.events.values())


def _asked_at(state: RecipientState) -> float | None:
    """Give the instant that a deferred recipient's host named, None for none."""
    waits = [wait_s for words, wait_s in _NAMED_S.items() if words in state.outcome.text]
    return state.at + waits[0] if waits and state.outcome.code and not state.is_final else None


def _key(queue_id: str, position: int) -> JobKey:
    return JobKey(queue_id, position // envelopes.CHUNK_RECIPIENTS)


def _wants(notify: tuple[str, ...], what: str) -> bool:
    """RFC 3461 4.1."""
    return what in (notify or ("FAILURE", "DELAY"))


def _is_program(reverse_path: str) -> bool:
    return "-request@" in reverse_path
