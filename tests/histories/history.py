"""
One history of one installation: steps in any order, drawn by whoever asks, told to the judge (judge.py).

A step is a name and its arguments, plain data: `draw_step` draws one with a `Pick` (hypothesis's or a random number
generator's), `History.take` makes it happen. What a step cannot do in its situation it does not do: every list of
steps is a history, and what is left of one after some are taken out is another.

    submit        a door hands in a message, and repeats it under its key if the answer was lost
    work          a function gets one batch of its queue
    sweep         the minute is over
    wait          time passes
    fault         one of the next calls of a port dies, or a port is away for a few calls
    meanwhile     between two of the next calls of a function others do something
    doubled_item  SQS delivers an item twice
    operate       an operator steps in
    upset         where events go is away for some requests

Next: judge.py says what must hold; campaign.py draws many, tests/unit/services/test_histories.py few.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from paravion.adapters.memory import MemoryParked
from paravion.domain.envelope import DeliverBy, Recipient, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, State
from paravion.domain.schedule import Plan
from paravion.domain.status import Rejected
from paravion.errors import LedgerUnavailable, QueueUnavailable, SpoolUnavailable
from paravion.ports import QueueName
from paravion.services import cancel, flush, hold, parked
from paravion.services.authenticate import Principal
from paravion.services.blocking import directly
from paravion.services.commit import CommitDeps
from tests.histories.judge import Judge
from tests.support import quick_loop
from tests.support.world import Crash, Saboteur, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
Step = tuple[str, dict[str, Any]]


class Pick(Protocol):
    """Draws one of several."""

    def __call__(self, options: Sequence[T], /) -> T:
        """Give one of them."""


OPERATOR: Final = Principal("AKIAOP", is_operator=True)
POSTMASTER: Final = "postmaster@example.net"
_NORMAL: Final = Plan(
    intervals_s=(300, 3600, 28_800, 86_400), jitter_ratio=0.1, warn_s=14_400, return_s=432_000, fault_backoff_s=30
)
PLAN: Final = replace(
    _NORMAL,
    by_priority={
        "urgent": replace(_NORMAL, intervals_s=(60, 600, 28_800), warn_s=3600, return_s=259_200),
        "bulk": replace(_NORMAL, warn_s=math.inf, return_s=172_800),
        "dsn": replace(_NORMAL, warn_s=math.inf, return_s=345_600),
    },
)
"""Few attempts in five days: a history is over in milliseconds."""

OUTAGES: Final = {
    "spool": SpoolUnavailable,
    "queues": QueueUnavailable,
    "ledger": LedgerUnavailable,
    "suppression": LedgerUnavailable,
    "counters": LedgerUnavailable,
    "hosts": LedgerUnavailable,
    "destinations": QueueUnavailable,
}
"""Where a call fails and its function goes on; every other port's fault is a function's death."""

REPLIES: Final = {
    "taken": Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx"),
    "busy": Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx"),
    "grey": Outcome(Result.DEFERRED, "4.7.1", 451, "greylisted, try again in 7 minutes", "RCPT", "mx"),
    "limited": Outcome(Result.DEFERRED, "4.7.0", 451, "rate limited, try again in 3 hours", "RCPT", "mx"),
    "cut off": Outcome(Result.DEFERRED, "4.4.2", 0, "connection lost", "DOT", "mx"),
    "unknown": Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx"),
    "refused": Outcome(Result.FAILED, "5.7.1", 554, "not here", "DOT", "mx"),
}
NOTIFY: Final = ((), ("NEVER",), ("FAILURE",), ("SUCCESS",), ("DELAY",), ("SUCCESS", "FAILURE", "DELAY"))
_CALLS: Final = (
    "deliver:ledger.claim", "deliver:ledger.save", "deliver:queues.send", "retry:ledger.save", "retry:queues.send",
    "retry:ledger.wake", "bounce:spool.put", "bounce:queues.send", "bounce:ledger.save", "publish:destinations",
    "publish:queues.send", "publish:ledger.save", "validate:spool", "validate:queues",
)  # fmt: skip
"""Between which two things can be half done: a fault may be of the next such call."""

_SAVES: Final = ("deliver:ledger.save",) * 4 + ("retry:ledger.save", "bounce:ledger.save") * 2
"""Before which others change the same record most usefully."""

_MESSAGES: Final = (-1, -1, *range(6))
"""Which one is meant, counted from the first; -1: the one whose record was written last."""

_FROZEN_S: Final = (1.0, 20.0, 100.0)
"""What may pass between two calls of a function: it lives a minute, unless it is frozen; then its lease is over."""

QUEUES: Final = (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE, QueueName.EVENT)
SETS: Final = ("", "news", "brief")
_SHORT_LIVED_S: Final = 7200
_ALL_EVENTS: Final = ["SEND", "DELIVERY", "BOUNCE", "DELIVERY_DELAY"]


def _several(pick: Pick, most: int) -> range:
    return range(pick(range(1, most + 1)))


def _submission(pick: Pick) -> dict[str, Any]:
    names = sorted(REPLIES)
    # Some are never there, but most mail comes to an end before the queue's lifetime does.
    lasts = ("taken", "taken", "taken", "unknown", "refused", "busy")

    def replies() -> list[str]:
        return [*(pick(names) for _ in range(pick((0, 0, 1, 1, 2, 3)))), pick(lasts)]

    return {
        "wanted": [(replies(), pick(NOTIFY)) for _ in _several(pick, 4)],
        "sender": pick(("somebody", "somebody", "somebody", "null", "program")),
        "postmaster_says": [pick(("taken", "taken", "unknown", "busy")), "taken"],
        "sender_says": [pick(("taken", "taken", "busy", "unknown", "cut off")) for _ in _several(pick, 2)],
        "configuration_set": pick(SETS),
        "priority": pick(("", "", "urgent", "bulk")),
        "by": pick((None, None, None, (3000.0, False), (100_000.0, False), (7200.0, True), (300_000.0, True))),
        "after_s": pick((0.0, 0.0, 0.0, 600.0, 7200.0, 200_000.0)),
        "again": pick((False, False, False, True)),
    }


def _fault(pick: Pick) -> dict[str, Any]:
    return {
        "ahead": pick(range(15)),
        "of": pick(("", "", *_CALLS)),
        "after": pick((False, True)),
        "is_crash": pick((False, True)),
        "calls": pick((1, 1, 2, 3, 12, 20)),
    }


def _doubled(pick: Pick) -> dict[str, Any]:
    queues = (QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE, QueueName.EVENT)
    return {"message": pick(_MESSAGES), "chunk": pick(range(4)), "queue": pick(queues)}


def _operation(pick: Pick) -> dict[str, Any]:
    return {"message": pick(_MESSAGES), "what": pick((*OPERATIONS, "hold", "hold", "requeue"))}


def _meanwhile(pick: Pick) -> dict[str, Any]:
    names = ("work", "work", "sweep", "doubled_item", "operate", "submit", "pause")
    return {
        "ahead": pick(range(15)),
        "of": pick(("", *_CALLS, *_SAVES)),
        "steps": [draw_step(pick, pick(names)) for _ in _several(pick, 3)],
    }


DRAWN: Final[dict[str, Callable[[Pick], dict[str, Any]]]] = {
    "submit": _submission,
    "work": lambda pick: {"queue": pick(QUEUES)},
    "sweep": lambda pick: {},
    "wait": lambda pick: {"seconds": pick((1.0, 61.0, 301.0, 3601.0, 20_000.0, 90_000.0))},
    "fault": _fault,
    "meanwhile": _meanwhile,
    "doubled_item": _doubled,
    "operate": _operation,
    "upset": lambda pick: {"requests": pick(range(1, 4))},
}
"""Each step's arguments."""


_WITHIN: Final[dict[str, Callable[[Pick], dict[str, Any]]]] = {"pause": lambda pick: {"seconds": pick(_FROZEN_S)}}
"""What happens in nothing but a `meanwhile`."""


def draw_step(pick: Pick, name: str) -> Step:
    """Draw the arguments of a step."""
    return name, (DRAWN.get(name) or _WITHIN[name])(pick)


class Adversity(Saboteur):
    """A saboteur who may break several calls, and lets others act between two."""

    def __init__(self) -> None:
        super().__init__(of_hosts=True)
        self.calls_away = 1
        self.of = ""
        self.is_crash = True
        self.interruption: Callable[[], None] | None = None
        self.interrupted_at: int | None = None
        self.interrupted_of = ""
        self.fired: list[tuple[str, bool]] = []
        self.error = self._error
        self._is_interrupted = False

    def plan(self, *, at: int, of: str, after: bool, is_crash: bool, calls: int) -> None:
        """Break the call with the number `at`, or the next one `of` such a name, or several if it is an outage."""
        self.of = of
        self.at, self.after, self.is_crash = at, after, is_crash
        self.calls_away = 1 if is_crash else calls

    def be_still(self) -> None:
        """Break nothing any more."""
        self.at = self.interrupted_at = self.interruption = None
        self.of = ""

    def _breaks(self, name: str) -> bool:
        if self._is_interrupted:
            return False
        number = len(self.calls)
        self.calls.append(name)
        if (
            self.interruption is not None
            and self.interrupted_at is not None
            and number >= self.interrupted_at
            and name.startswith(self.interrupted_of)
        ):
            act, self.interruption, self.interrupted_at = self.interruption, None, None
            self._is_interrupted = True
            try:
                act()
            finally:
                self._is_interrupted = False
        if self.of and name.startswith(self.of):
            self.at, self.of = number, ""
        if self.at is None or self.of or not self.at <= number < self.at + self.calls_away:
            return False
        dies = self._dies(name)
        if dies and self.calls_away > 1:
            return False
        if dies:
            self.at = None
        self.fired.append((name, dies))
        return True

    def _dies(self, name: str) -> bool:
        # A release is best effort by its contract: it dies with its function, or not at all.
        return self.is_crash or port_of(name) not in OUTAGES or name.endswith(".release")

    def _error(self, name: str) -> BaseException:
        return Crash(name) if self._dies(name) else OUTAGES[port_of(name)](name)


class WatchedWorld(World):
    """A world whose functions are watched by the judge."""

    judge: Judge

    def invoke(self, queue: str, *, limit: int = 10) -> bool:
        """See World."""
        if not self.queues.items[queue]:
            return False
        with self.judge.invocation(queue):
            return super().invoke(queue, limit=limit)

    def sweep(self) -> int:
        """See World."""
        is_idle = self.judge.calm_at is not None and not any(
            0 < record.due_at <= self.now for record in self.ledger.records.values()
        )
        if is_idle:
            return 0
        with self.judge.invocation("sweep"):
            return super().sweep()


class History:
    """One installation and its adversity."""

    def __init__(self) -> None:
        self.adversity = Adversity()
        self.world = WatchedWorld(
            {},
            saboteur=self.adversity,
            plan=PLAN,
            postmaster=POSTMASTER,
            statistics=True,
            run_coroutine=quick_loop.run,
            in_thread=directly,
        )
        tokens = count(1)
        self.judge = self.world.judge = Judge(self.world, self.adversity, PLAN, POSTMASTER)
        self.admin: Any = SimpleNamespace(
            settings=SimpleNamespace(
                sweep_grace_s=self.world.for_retry.sweep_grace_s,
                max_24_hour_send=-1.0,
                max_send_rate=-1.0,
                simulator_domain="",
            ),
            counters=self.world.counters,
            spool=self.world.spool,
            ledger=self.world.ledger,
            hosts=self.world.hosts,
            records=self.world.records,
            to_commit=CommitDeps(self.world.spool, self.world.queues, lambda calls: [call() for call in calls]),
            new_parked=lambda: MemoryParked(self.world.queues),
            new_token=lambda: f"o{next(tokens)}",
            event_log=self.world.event_log,
            clock=lambda: self.world.now,
        )
        topic = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:events"}
        told = {"Name": "one", "Enabled": True, "MatchingEventTypes": _ALL_EVENTS, "SnsDestination": topic}
        self.world.records.put("configuration-set", "news", {"EventDestinations": [told]})
        brief = {"MaxDeliverySeconds": _SHORT_LIVED_S}
        self.world.records.put("configuration-set", "brief", {"DeliveryOptions": brief})
        self.serial = 0

    def take(self, step: Step) -> None:
        """Make one step happen. Raises AssertionError as soon as the judge has seen something."""
        self._act(step)
        self.judge.assert_well()

    def end(self) -> None:
        """All is well again: every promise is kept, once."""
        self.adversity.be_still()
        self.judge.all_is_well()
        for n, queue_id in enumerate(self.judge.messages()):
            # Whom no operator releases comes back after the queue's longest time.
            if n % 2 and any(r.state is State.HELD for r in self.world.ledger.load_message(queue_id)):
                hold.release(queue_id, OPERATOR, self.admin)
        for _ in range(3):
            self.world.run(until=self.world.now + 60 * 86_400)
            if not self.world.queues.items[QueueName.PARKED]:
                break
            # Events that a destination did not take for a day.
            OPERATIONS["redrive"]("", self.admin)
        self.judge.assert_kept()

    def _act(self, step: Step) -> None:
        name, arguments = step
        getattr(self, f"_{name}")(**arguments)

    def _submit(
        self,
        *,
        wanted: list[tuple[list[str], tuple[str, ...]]],
        sender: str,
        postmaster_says: list[str],
        sender_says: list[str],
        configuration_set: str,
        priority: str,
        by: tuple[float, bool] | None,
        after_s: float,
        again: bool,
    ) -> None:
        self.serial += 1
        script = self.world.transport.script
        recipients: dict[str, tuple[str, ...]] = {}
        for n, (replies, notify) in enumerate(wanted):
            of = self.serial - 1 if again and self.serial > 1 and not n else self.serial
            path = f"r{of}-{n}@d{n}.example"
            script.setdefault(path, [REPLIES[name] for name in replies])
            recipients[path] = notify
        names = {"somebody": f"s{self.serial}@example.org", "program": f"list-{self.serial}-request@example.org"}
        reverse_path = names.get(sender, "")
        script[reverse_path] = [REPLIES[name] for name in sender_says]
        script[POSTMASTER] = [REPLIES[name] for name in postmaster_says]
        self.judge.is_about_to_submit(reverse_path, recipients, after_s)
        queue_id = ""
        try:
            queue_id = self.world.submit_like_a_door(
                *(Recipient(path, notify) for path, notify in recipients.items()),
                sender=reverse_path,
                idempotency_key=f"k{self.serial}",
                configuration_set=configuration_set,
                priority=priority,
                deliver_by=DeliverBy(self.world.now + by[0], returns=by[1]) if by else None,
                release_at=self.world.now + after_s if after_s else 0.0,
            ).queue_id
        except (*OUTAGES.values(), Crash, Rejected):
            pass  # not promised: the door's caller has an error, and repeats it or not
        self.judge.submitted(queue_id)

    def _work(self, *, queue: str) -> None:
        self.world.invoke(queue)

    def _sweep(self) -> None:
        self.world.sweep()

    def _wait(self, *, seconds: float) -> None:
        self.world.now += seconds

    def _fault(self, *, ahead: int, of: str, after: bool, is_crash: bool, calls: int) -> None:
        at = len(self.adversity.calls) + ahead
        self.adversity.plan(at=at, of=of, after=after, is_crash=is_crash, calls=calls)

    _pause = _wait

    def _meanwhile(self, *, ahead: int, of: str, steps: list[Step]) -> None:
        def act() -> None:
            for step in steps:
                self._act(step)

        self.adversity.interrupted_at = len(self.adversity.calls) + (0 if of else ahead)
        self.adversity.interrupted_of, self.adversity.interruption = of, act

    def _message(self, number: int) -> str:
        """Give the queue id of a message or report, "" as long as there is none."""
        ids = self.judge.messages()
        if number < 0 and self.judge.latest:
            return self.judge.latest
        return ids[number % len(ids)] if ids else ""

    def _doubled_item(self, *, message: int, chunk: int, queue: str) -> None:
        queue_id = self._message(message)
        if not queue_id:
            return
        envelope, _ = decode_qf(self.world.spool.get_envelope(queue_id))
        key = JobKey(envelope.queue_id, chunk % envelope.chunk_count)
        if queue in {QueueName.BOUNCE, QueueName.EVENT} and self.world.ledger.load(key) is None:
            return  # no item of an untried job lies there
        delay_s = max(0.0, envelope.release_at - self.world.now) if queue == QueueName.DELIVERY else 0.0
        self.world.queues.send(queue, [Job(key, envelope.queued_at)], delay_s=delay_s)

    def _operate(self, *, message: int, what: str) -> None:
        queue_id = self._message(message)
        if not queue_id:
            return
        self.judge.operates(queue_id, what)
        with suppress(Rejected):  # where the state does not allow it he is told so
            OPERATIONS[what](queue_id, self.admin)

    def _upset(self, *, requests: int) -> None:
        self.world.destinations.script["set/news/one"] = ["away"] * requests + [""]


OPERATIONS: Final[dict[str, Callable[[str, Any], object]]] = {
    "hold": lambda queue_id, deps: hold.hold(queue_id, "looks odd", OPERATOR, deps),
    "release": lambda queue_id, deps: hold.release(queue_id, OPERATOR, deps),
    "remove": lambda queue_id, deps: hold.remove(queue_id, OPERATOR, deps),
    "flush": lambda queue_id, deps: flush.flush(queue_id, OPERATOR, deps),
    "requeue": lambda queue_id, deps: flush.requeue(queue_id, OPERATOR, deps),
    "cancel": lambda queue_id, deps: cancel.cancel(queue_id, OPERATOR, deps),
    "withdraw": lambda queue_id, deps: cancel.withdraw(queue_id, OPERATOR, deps),
    "redrive": lambda _, deps: parked.redrive((), "", 1000, OPERATOR, deps),
}


def port_of(call: str) -> str:
    """Give the port of a call's name, as in `retry:ledger.save`."""
    return call.split(":")[1].partition(".")[0]
