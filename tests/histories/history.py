"""
One history of one installation: steps in any order, drawn by whoever asks, told to the judge (judge.py).

A step is a name and its arguments, plain data: `draw_step` draws one with a `Pick` (hypothesis's or a random number
generator's), `History.take` makes it happen. What a step cannot do in its situation it does not do: every list of
steps is a history, and what is left of one after some are taken out is another.

    submit        a door hands in a message, and repeats it under its key if the answer was lost
    work          a function gets one batch of its queue
    sweep         the minute is over
    wait          time passes
    live          everybody works for some time, as if nobody watched
    fault         one of the next calls of a port dies, or a port is away for a few calls
    meanwhile     between two of the next calls of a function others do something
    doubled_item  SQS delivers an item twice
    operate       an operator steps in, with one message
    rule          he holds new mail from now on, or no longer
    select        he acts on all mail of somebody, some jobs at a time, or asks what that would change
    go_on         he calls again, where the call before ended or broke off
    upset         where events go is away for some requests, and perhaps the queue with it

Next: operators.py has the operators' part; judge.py says what must hold; campaign.py draws many,
tests/unit/services/test_histories.py few.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from paravion.domain.envelope import DeliverBy, Recipient, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, State
from paravion.domain.schedule import Plan
from paravion.domain.status import Rejected
from paravion.errors import LedgerUnavailable, QueueUnavailable, SpoolUnavailable
from paravion.ports import QueueName
from paravion.services.blocking import directly
from tests.histories.judge import Judge
from tests.histories.operators import CRITERIA, LIMITS, OPERATIONS, RULES, VERBS, Operators
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
    "records": LedgerUnavailable,
    "tables": LedgerUnavailable,
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
    "publish:queues.send", "publish:ledger.save", "validate:spool", "validate:queues", "operate:ledger.save",
    "operate:queues.send", "operate:records.put", "operate:tables",
)  # fmt: skip
"""Between which two things can be half done: a fault may be of the next such call."""

_SAVES: Final = ("deliver:ledger.save",) * 4 + ("retry:ledger.save", "bounce:ledger.save") * 2
"""Before which others change the same record most usefully."""

_MESSAGES: Final = (-1, -1, *range(6))
"""Which one is meant, counted from the first; -1: the one whose record was written last."""

_DEATHS: Final = 4
"""In a row."""

_FROZEN_S: Final = (1.0, 20.0, 100.0)
"""What may pass between two calls of a function: it lives a minute, unless it is frozen; then its lease is over."""

_STALLS: Final = ("deliver:spool", "deliver:transport", "deliver:ledger.save")
"""Where another worker dies, while whom he overtook is asleep."""

_LIVELY: Final = 12
"""Rounds that `live` has at most."""

_LAST_TROUBLE_S: Final = 4000.0

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
        "each": pick((False, True)),
    }


def _doubled(pick: Pick) -> dict[str, Any]:
    queues = (QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE, QueueName.EVENT)
    return {"message": pick(_MESSAGES), "chunk": pick(range(4)), "queue": pick(queues)}


def _operation(pick: Pick) -> dict[str, Any]:
    return {
        "message": pick(_MESSAGES),
        "what": pick((*OPERATIONS, "hold", "hold", "requeue")),
        "repeats": pick((False, True)),
    }


def _selection(pick: Pick) -> dict[str, Any]:
    return {
        "what": pick(VERBS),
        "criteria": pick(CRITERIA),
        "limit": pick(LIMITS),
        "is_dry": pick((False, False, True)),
        "calls": pick((1, 1, 3, 40)),
    }


def _overtaken(pick: Pick) -> dict[str, Any]:
    """A worker sleeps until his lease is over; when he wakes his job was taken from him, or another one has it."""
    by_retry = [("pause", {"seconds": 1200.0}), ("work", {"queue": QueueName.RETRY}), ("pause", {"seconds": 61.0})]
    by_operator = [("pause", {"seconds": 100.0}), ("operate", {"message": -1, "what": "requeue"})]
    freed = pick(([*by_retry, ("sweep", {})], by_retry[:2], by_operator))
    overtakes = [draw_step(pick, "stalled")] if pick((False, True)) else []
    return {"ahead": 0, "of": "deliver:ledger.save", "steps": [*freed, *overtakes]}


def _forestalled(pick: Pick) -> dict[str, Any]:
    """An operator has looked at a job, and before he writes another one changes it."""
    steps = [("operate", {"message": -1, "what": pick(("hold", "release", "flush", "requeue", "cancel"))})]
    return {"ahead": 0, "of": "operate:ledger.save", "steps": steps}


def _meanwhile(pick: Pick) -> dict[str, Any]:
    others = pick((None, None, None, None, None, _overtaken, _overtaken, _forestalled))
    if others is not None:
        return others(pick)
    names = (
        "work",
        "work",
        "sweep",
        "doubled_item",
        "operate",
        "submit",
        "pause",
        "stalled",
        "rule",
        "select",
        "go_on",
    )
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
    "live": lambda pick: {"seconds": pick((61.0, 1000.0, 20_000.0))},
    "operate": _operation,
    "rule": lambda pick: {"name": pick(RULES), "is_lifted": pick((False, False, True)), "repeats": pick((False, True))},
    "select": _selection,
    "go_on": lambda pick: {"calls": pick((1, 1, 40))},
    "upset": lambda pick: {
        "requests": pick(range(1, 4)),
        "queue_calls": pick((0, 0, 1, 3)),
        "of": pick(("publish", "publish", "deliver", "retry")),
    },
}
"""Each step's arguments."""


_WITHIN: Final[dict[str, Callable[[Pick], dict[str, Any]]]] = {
    "pause": lambda pick: {"seconds": pick(_FROZEN_S)},
    "stalled": lambda pick: {"of": pick(_STALLS)},
}
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
        self.interruptions = 0
        self.stalls_at = ""
        self.error = self._error
        self._is_interrupted = False
        self._each = 0

    def plan(self, *, at: int, of: str, after: bool, is_crash: bool, calls: int, each: bool = False) -> None:
        """
        Break the call with the number `at`, or the next one `of` such a name, or several if it is an outage.

        Args:
            each: Break the next `calls` calls of that name, whatever is called between them.
        """
        self.of = of
        self.at, self.after, self.is_crash = at, after, is_crash
        self.calls_away = 1 if is_crash else calls
        self._each = min(calls, _DEATHS) if is_crash else calls
        self._each *= bool(of) and each

    def be_still(self) -> None:
        """Break nothing any more."""
        self.at = self.interrupted_at = self.interruption = None
        self.of = ""
        self._each = 0

    def _breaks(self, name: str) -> bool:
        if self._is_interrupted:
            if self.stalls_at and name.startswith(self.stalls_at):
                self.stalls_at = ""
                self.fired.append((name, True))
                return True
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
            self.interruptions += 1
            self._is_interrupted = True
            try:
                act()
            finally:
                self._is_interrupted = False
        if self._each and name.startswith(self.of):
            self._each -= 1
            if not self._each:
                self.at, self.of = None, ""
            self.fired.append((name, self._dies(name)))
            return True
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
        return Crash(name) if self._is_interrupted or self._dies(name) else OUTAGES[port_of(name)](name)


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
        self.judge = self.world.judge = Judge(self.world, self.adversity, PLAN, POSTMASTER)
        self.operators = Operators(self.world, self.adversity, self.judge, (*OUTAGES.values(), Crash))
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
        """What is to go wrong still does; then all is well again: every promise is kept, once."""
        self._live(seconds=_LAST_TROUBLE_S)
        self.judge.assert_well()
        self.adversity.be_still()
        self.judge.all_is_well()
        for n, queue_id in enumerate(self.judge.messages()):
            # Whom no operator releases comes back after the queue's longest time.
            if n % 2 and any(r.state is State.HELD for r in self.world.ledger.load_message(queue_id)):
                self.operators.operate(queue_id, "release")
        for _ in range(3):
            self.world.run(until=self.world.now + 60 * 86_400)
            if not self.world.queues.items[QueueName.PARKED]:
                break
            # Events that a destination did not take for a day.
            self.operators.operate("", "redrive")
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

    def _live(self, *, seconds: float) -> None:
        until = self.world.now + seconds
        for _ in range(_LIVELY):
            if not self.world.work():
                upcoming = self.world.next_at()
                if upcoming is None or upcoming > until:
                    return
                self.world.now = upcoming

    def _fault(self, *, ahead: int, of: str, after: bool, is_crash: bool, calls: int, each: bool = False) -> None:
        at = len(self.adversity.calls) + ahead
        self.adversity.plan(at=at, of=of, after=after, is_crash=is_crash, calls=calls, each=each)

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
        self.world.queues.send(queue, [Job(key, self.judge.queued_at(queue_id))], delay_s=delay_s)

    def _operate(self, *, message: int, what: str, repeats: bool = False) -> None:
        queue_id = self._message(message)
        if queue_id:
            self.operators.operate(queue_id, what, repeats=repeats)

    def _rule(self, *, name: str, is_lifted: bool, repeats: bool) -> None:
        self.operators.rule(name, is_lifted=is_lifted, repeats=repeats)

    def _select(self, *, what: str, criteria: dict[str, str], limit: int, is_dry: bool, calls: int) -> None:
        self.operators.select(what, criteria, limit, is_dry=is_dry)
        self.operators.go_on(calls)

    def _go_on(self, *, calls: int) -> None:
        self.operators.go_on(calls)

    def _stalled(self, *, of: str) -> None:
        # Only for whom nobody interrupts: what is drawn within a `meanwhile`.
        self.adversity.stalls_at = of
        self.world.invoke(QueueName.DELIVERY)
        self.adversity.stalls_at = ""

    def _upset(self, *, requests: int, queue_calls: int, of: str) -> None:
        self.world.destinations.script["set/news/one"] = ["away"] * requests + [""]
        if queue_calls:
            self.adversity.plan(at=0, of=f"{of}:queues.send", after=False, is_crash=False, calls=queue_calls, each=True)


def port_of(call: str) -> str:
    """Give the port of a call's name, as in `retry:ledger.save`."""
    return call.split(":")[1].partition(".")[0]
