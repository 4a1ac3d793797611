"""
What operators may have changed, and what must have come of it: the judge's part for services/acts.py, select.py,
standing_holds.py.

Known from what the operator said and from the records as they stood, not from what the product answers:

    at every write      the job is one that he means, the change is his act's (the tables in services/hold.py, flush.py,
                        cancel.py), the job's history says that it was he; in one operation it is met once
    when a call ends    of one message: nothing is left that the act is for; what is tried now lies in the queue
    when an operation   all that waited when it began, that he means and that nobody else moved, has been changed, by
      ends              however many calls; what was counted is what was written; it stands in the record of operations
    in a dry run        nothing is written at all, and the numbers are those that the act would have
    new mail            is held if a rule was in force at its submission, and tried if not; while a rule is being made,
                        or if its maker was cut off, either

Next: judge.py, which sees the writes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from paravion.domain.queue import State
from paravion.ports import QueueName
from tests.histories.operators import OPERATOR, REASON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paravion.domain.queue import JobKey, JobRecord
    from tests.histories.judge import Judge, Promise

EVENTS: Final = {
    "hold": "hold",
    "release": "release",
    "remove": "removal",
    "withdraw": "removal",
    "flush": "flush",
    "requeue": "requeue",
    "cancel": "cancel",
}
_ENDING: Final = frozenset({"remove", "withdraw", "cancel"})
_SENDING: Final = frozenset({"flush", "requeue"})
_OF_WAITING: Final = frozenset({"hold", "flush"})


@dataclass
class Order:
    """
    One call of an operator's.

    Attributes:
        is_meant: Says of a job, as it stood, whether he means it.
        operation: What it is a call of, an act by selection.
        written: The jobs that it changed.
        is_done: It came to its end, and was not refused.
        told: What it answered, of an act by selection.
    """

    verb: str
    is_meant: Callable[[JobKey, JobRecord | None], bool]
    operation: Operation | None = None
    written: list[JobKey] = field(default_factory=list)
    is_done: bool = False
    told: dict[str, Any] = field(default_factory=dict)


@dataclass
class Operation:
    """
    An act by selection, of as many calls as it takes.

    Attributes:
        there: How many jobs it is to find, as it begins.
        expected: Those that it is to change.
        moved: Those that somebody else wrote since.
        done: Those that it changed.
        is_whole: No call of it was cut off.
    """

    verb: str
    criteria: dict[str, str]
    is_dry: bool
    began_at: float
    there: int = 0
    expected: set[JobKey] = field(default_factory=set)
    moved: set[JobKey] = field(default_factory=set)
    done: set[JobKey] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    is_whole: bool = True
    name: str = ""


class Orders:
    """See the module; one for each history."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.in_force: set[str] = set()
        self.unsure: set[str] = set()
        self._rulings: list[str] = []
        self._operation: Operation | None = None

    # New mail

    @contextmanager
    def rule(self, name: str, *, is_lifted: bool) -> Iterator[Order]:
        """Watch a rule for new mail being made, or lifted."""
        self._doubt(name)
        began = len(self._rulings)
        order = Order("rule", lambda key, record: False)
        try:
            with self.judge.frame("operate", order):
                yield order
        finally:
            others = self._rulings[began:]
            self._rulings.append(name)
            if not order.is_done:
                # Cut off between reading all rules and writing them: what others made meanwhile may be undone.
                for other in others:
                    self._doubt(other)
            if order.is_done and name not in others:
                self.unsure.discard(name)
                (self.in_force.discard if is_lifted else self.in_force.add)(name)
            else:
                self._doubt(name)

    def _doubt(self, name: str) -> None:
        self.unsure.add(name)
        for promise in self.judge.submitting:
            promise.unsure.add(name)

    def is_held(self, promise: Promise, path: str) -> bool | None:
        """Say whether a recipient's mail is held by a rule, None if that can't be said."""
        names = {f"to:{path}", f"to:{_domain(path)}"}
        if promise.reverse_path:
            names |= {f"from:{promise.reverse_path}", f"from:{_domain(promise.reverse_path)}"}
        if names & (promise.rules - promise.unsure):
            return True
        return None if names & promise.unsure else False

    # One message

    @contextmanager
    def act(self, verb: str, queue_id: str) -> Iterator[Order]:
        """Watch an act on one message, and on those that came of the same submission if it is the first of them."""
        judge = self.judge
        ids = [queue_id, *(part for part, _ in judge.kept[queue_id][0].parts)] if queue_id else []
        order = Order(verb, lambda key, _: key.queue_id in ids)
        interruptions = judge.adversity.interruptions
        with judge.frame("operate", order):
            yield order
        if not order.is_done or verb not in EVENTS:
            return
        is_alone = interruptions == judge.adversity.interruptions
        jobs = sum(judge.kept[name][0].chunk_count for name in ids)
        if not is_alone and (order.written or jobs > 1):
            return  # what it did may be undone by now
        judge.checked["acts on a message"] += 1
        if is_alone:
            self._check_sent(order)
        for name in ids:
            envelope = judge.kept[name][0]
            records = {record.key.chunk: record for record in judge.world.ledger.load_message(name)}
            for chunk in range(envelope.chunk_count):
                record = records.get(chunk)
                is_left = _is_left(verb, record, judge.world.now, envelope.release_at)
                judge.demand(not is_left, f"{name}: {verb} was done, and left {record}")

    # A selection

    def operation(self, verb: str, criteria: dict[str, str], *, is_dry: bool) -> Operation:
        """Hear that an act by selection begins."""
        now = self.judge.world.now
        operation = self._operation = Operation(verb, criteria, is_dry, now)
        for key, record in self.judge.world.ledger.records.items():
            is_held = record.state is State.HELD
            is_looked_at = (verb != "release" or is_held) and (verb not in _OF_WAITING or not is_held)
            if not record.due_at or record.is_closed or not is_looked_at:
                continue
            meant = self._meant(operation, key, record)
            operation.there += any(meant)
            if self._is_for(operation, meant, record) and _would_change(verb, record, now):
                operation.expected.add(key)
        return operation

    @contextmanager
    def call(self, operation: Operation) -> Iterator[Order]:
        """Watch one call of it."""
        judge = self.judge

        def is_meant(key: JobKey, record: JobRecord | None) -> bool:
            is_met_again = key in operation.done
            judge.demand(not is_met_again, f"{key}: met again by one operation ({operation.verb})")
            return record is not None and self._is_for(operation, self._meant(operation, key, record), record)

        order = Order(operation.verb, is_meant, operation)
        interruptions = judge.adversity.interruptions
        before = self._everything() if operation.is_dry else None
        with judge.frame("operate", order):
            yield order
        told = order.told
        operation.done |= set(order.written)
        if not told:
            operation.is_whole = False
            return
        at = f"{operation.verb} {operation.criteria} at {judge.world.now}: {told}"
        operation.counts.update({name: told[name] for name in ("matched", "changed")})
        operation.name = told["operation"] or ""
        judge.demand(told["matched"] == told["changed"] + sum(told["left"].values()), f"{at}: some are not told of")
        judge.demand(bool(operation.name) is not operation.is_dry is told["dry_run"], f"{at}: dry or not")
        is_alone = interruptions == judge.adversity.interruptions
        if operation.is_dry:
            judge.demand(not is_alone or before == self._everything(), f"{at}: a dry run changed something")
            return
        judge.demand(told["changed"] == len(order.written), f"{at}: wrote {order.written}")
        if is_alone:
            self._check_sent(order)

    def finished(self, operation: Operation) -> None:
        """Hear that its last call has come to its end."""
        judge = self.judge
        at = f"{operation.verb} {operation.criteria}, begun at {operation.began_at}"
        judge.checked["acts by selection"] += not operation.is_dry
        judge.checked["dry runs"] += operation.is_dry
        if operation.is_dry:
            if not operation.moved and judge.world.now == operation.began_at:
                counts = operation.counts["matched"], operation.counts["changed"]
                wanted = operation.there, len(operation.expected)
                judge.demand(counts == wanted, f"{at}: a dry run says {counts}, it would be {wanted}")
            return
        missed = operation.expected - operation.moved - operation.done
        judge.demand(not missed, f"{at}: left {missed}, which it was for")
        record = judge.world.records.get("operation", operation.name)
        value = record.value if record else {}
        judge.demand(value.get("finished") and value.get("by") == OPERATOR.access_key, f"{at}: its record is {value}")
        if operation.is_whole:
            judge.demand(value.get("changed") == len(operation.done), f"{at}: {value}, and wrote {operation.done}")

    def _everything(self) -> Any:
        world = self.judge.world
        items = {name: [item.item_id for item in items] for name, items in world.queues.items.items()}
        told = sum(event == "Operation" for event, _ in world.event_log.records)
        return dict(world.ledger.records), items, dict(world.records.items), len(world.spool.envelopes), told

    def _meant(self, operation: Operation, key: JobKey, record: JobRecord) -> list[bool]:
        """Say of each open recipient whether the operator means it (domain/selection.py's table)."""
        envelope = self.judge.kept[key.queue_id][0]
        sender, said = operation.criteria.get("sender"), operation.criteria
        names = (envelope.reverse_path, _domain(envelope.reverse_path)) if envelope.reverse_path else ("<>",)
        meant = []
        for n, recipient in envelope.chunk(key.chunk).items():
            state = record.recipients.get(n)
            if state is not None and state.is_final:
                continue
            path = recipient.forward_path
            hosts = (state.outcome.mx_host if state else "", _domain(path))
            meant.append(
                (not sender or sender in names)
                and ("recipient" not in said or said["recipient"] in (path, _domain(path)))
                and ("host" not in said or said["host"] in hosts)
            )
        return meant

    def _is_for(self, operation: Operation, meant: list[bool], record: JobRecord) -> bool:
        """Say whether a job is his with such recipients: what ends it is for all of them, or not for it."""
        if operation.verb in _ENDING:
            return bool(meant) and (all(meant) or not operation.criteria)
        return any(meant) and not record.cancelled

    # Writes

    def wrote(self, order: Order | None, key: JobKey, old: JobRecord | None, new: JobRecord, at: str) -> None:
        """See a write of a record, an operator's or another's."""
        operation = self._operation
        if operation is not None and (order is None or order.operation is not operation):
            operation.moved.add(key)
        if order is None:
            return
        judge = self.judge
        at = f"{at} ({order.verb})"
        order.written.append(key)
        judge.demand(not (order.operation and order.operation.is_dry), f"{at}: in a dry run")
        judge.demand(order.is_meant(key, old), f"{at}: it was not meant")
        if order.verb not in EVENTS:
            judge.demand(False, f"{at}: it changes no job")
            return
        said = new.log[-1] if new.log else None
        is_signed = said is not None and said.event == EVENTS[order.verb] and OPERATOR.access_key in said.text
        judge.demand(is_signed, f"{at}: its history ends with {said}")
        if old is not None:
            kept = ("recipients", "owed", "attempts", "queued_at", "delay_told")
            changed = [name for name in kept if getattr(old, name) != getattr(new, name)]
            judge.demand(not changed and not old.is_closed, f"{at}: changed {changed}")
        problem = _problem(order.verb, old, new, judge.world.now)
        judge.demand(not problem, f"{at}: {problem}")

    def _check_sent(self, order: Order) -> None:
        """What is to be tried now lies in the queue."""
        if order.verb in _SENDING:
            there = {item.body.key for item in self.judge.world.queues.items[QueueName.DELIVERY]}
            missing = set(order.written) - there
            self.judge.demand(not missing, f"{order.verb}: {missing} are not in the queue")


def _domain(path: str) -> str:
    return path.rpartition("@")[2]


def _would_change(verb: str, record: JobRecord, now: float) -> bool:
    is_early = record.counted_from > now
    is_leased = record.state is State.CLAIMED and record.lease_until > now
    return {
        "hold": record.quarantine != REASON,
        "release": record.state is State.HELD,
        "remove": record.state is not State.CLAIMED,
        "flush": record.state is State.DEFERRED and not is_early,
        "requeue": record.state is not State.READY and not is_early and not is_leased,
        "cancel": not record.cancelled,
    }[verb]


def _problem(verb: str, old: JobRecord | None, new: JobRecord, now: float) -> str:
    """Say what is wrong with a change that was an act's, "" for nothing."""
    was = old.state if old else None
    is_claimed = was is State.CLAIMED
    if verb in {"hold", "cancel"}:
        fine = new.state is (State.CLAIMED if is_claimed else State.HELD) and bool(new.quarantine)
        fine = fine and bool(new.cancelled) is (verb == "cancel")
    elif verb == "release":
        fine = not new.quarantine and not new.cancelled and new.released
        fine = fine and (new.state is (State.DEFERRED if was in {None, State.HELD} else was))
    elif verb in {"remove", "withdraw"}:
        fine = new.state is State.REMOVED and not is_claimed
        fine = fine and (verb == "remove" or old is None or not old.attempts)
    elif verb == "flush":
        fine = new.state is State.READY and was is State.DEFERRED
    else:
        is_leased = old is not None and is_claimed and old.lease_until > now
        fine = new.state is State.READY and not is_leased and not (new.quarantine or new.cancelled)
    return "" if fine else f"{old} became {new}"


def _is_left(verb: str, record: JobRecord | None, now: float, release_at: float) -> bool:
    """Say whether an act on its message should have changed a job that stands like this."""
    if record is None:
        # Of what nobody has tried, its item lies in the queue.
        return verb in {"hold", "remove", "cancel"}
    if record.is_closed:
        return False
    is_early = max(record.counted_from, release_at) > now
    return {
        "hold": not record.quarantine or bool(record.cancelled),
        "release": bool(record.quarantine),
        "remove": record.state is not State.CLAIMED,
        "withdraw": record.state in {State.READY, State.DEFERRED} and not record.attempts,
        "flush": record.state is State.DEFERRED and not is_early,
        "requeue": record.state in {State.DEFERRED, State.HELD, State.TRIED} and not is_early,
        "cancel": not record.cancelled,
    }[verb]
