"""
The operators of a history: what they do to one message, to all of somebody's mail, and to new mail.

Their calls are cut off like everybody's; then they call again, or not. An act by selection is made some jobs at a
time: one is begun at once and goes on whenever its turn comes, whatever the others did meanwhile.

Next: orders.py says what each may have changed.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.memory import MemoryParked
from paravion.domain import selection
from paravion.domain.status import Rejected
from paravion.services import cancel, flush, hold, parked, standing_holds
from paravion.services.authenticate import Principal
from paravion.services.commit import CommitDeps
from paravion.services.select import act_on_selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.services.acts import Act
    from tests.histories.history import Adversity, WatchedWorld
    from tests.histories.judge import Judge
    from tests.histories.orders import Operation

OPERATOR: Final = Principal("AKIAOP", is_operator=True)
REASON: Final = "looks odd"

OPERATIONS: Final[dict[str, Callable[[str, Any], object]]] = {
    "hold": lambda queue_id, deps: hold.hold(queue_id, REASON, OPERATOR, deps),
    "release": lambda queue_id, deps: hold.release(queue_id, OPERATOR, deps),
    "remove": lambda queue_id, deps: hold.remove(queue_id, OPERATOR, deps),
    "flush": lambda queue_id, deps: flush.flush(queue_id, OPERATOR, deps),
    "requeue": lambda queue_id, deps: flush.requeue(queue_id, OPERATOR, deps),
    "cancel": lambda queue_id, deps: cancel.cancel(queue_id, OPERATOR, deps),
    "withdraw": lambda queue_id, deps: cancel.withdraw(queue_id, OPERATOR, deps),
    "redrive": lambda _, deps: parked.redrive((), "", 1000, OPERATOR, deps),
}

_ACTS: Final[dict[str, Callable[..., Act]]] = {
    "hold": hold.Hold,
    "release": hold.Release,
    "remove": hold.Remove,
    "flush": flush.Flush,
    "requeue": flush.Requeue,
    "cancel": cancel.Cancel,
}
VERBS: Final = ("hold", "hold", "release", "release", "flush", "requeue", "cancel", "remove")
CRITERIA: Final[tuple[dict[str, str], ...]] = (
    {},
    {"recipient": "d0.example"},
    {"recipient": "d1.example"},
    {"recipient": "r1-0@d0.example"},
    {"recipient": "r2-1@d1.example"},
    {"sender": "example.org"},
    {"sender": "s1@example.org"},
    {"sender": "<>"},
    {"host": "mx"},
    {"host": "d0.example"},
    {"recipient": "d1.example", "sender": "s2@example.org"},
    {"sender": "example.org", "host": "mx"},
)
LIMITS: Final = (1, 2, 3, 200)
RULES: Final = (
    "to:d0.example",
    "to:d1.example",
    "to:r2-0@d0.example",
    "to:r3-1@d1.example",
    "from:example.org",
    "from:s2@example.org",
    "from:list-3-request@example.org",
)
_TICK_S: Final = 0.01
"""Nobody begins twice in the same instant: an operation tells its own lines from older ones by the time."""


class Operators:
    """
    Whoever operates one installation.

    Args:
        cut_off: What an operator is told of, or not, when his call did not come to its end.
    """

    def __init__(
        self, world: WatchedWorld, adversity: Adversity, judge: Judge, cut_off: tuple[type[BaseException], ...]
    ) -> None:
        self.world, self.adversity, self.judge, self.cut_off = world, adversity, judge, cut_off
        self._operation: Operation | None = None
        self._after = ""
        self._limit = 1
        self._is_busy = False
        tokens = count(1)

        def port(name: str) -> Any:
            return adversity.wrap(f"operate:{name}", getattr(world, name))

        self.deps: Any = SimpleNamespace(
            settings=SimpleNamespace(
                sweep_grace_s=world.for_retry.sweep_grace_s,
                max_24_hour_send=-1.0,
                max_send_rate=-1.0,
                simulator_domain="",
            ),
            counters=world.counters,
            spool=port("spool"),
            ledger=port("ledger"),
            hosts=port("hosts"),
            records=port("records"),
            tables=port("tables"),
            to_commit=CommitDeps(port("spool"), port("queues"), lambda calls: [call() for call in calls]),
            new_parked=lambda: MemoryParked(world.queues),
            new_token=lambda: f"o{next(tokens)}",
            event_log=world.event_log,
            clock=lambda: world.now,
        )

    def operate(self, queue_id: str, what: str, *, repeats: bool = False) -> None:
        """Do something to one message; what its state does not allow is refused."""
        for _ in range(1 + repeats):
            with self.judge.orders.act(what, queue_id) as act:
                try:
                    with suppress(Rejected):
                        OPERATIONS[what](queue_id, self.deps)
                        act.is_done = True
                except self.cut_off:
                    continue
            return

    def rule(self, name: str, *, is_lifted: bool, repeats: bool) -> None:
        """Hold new mail from now on, or no longer."""
        for _ in range(1 + repeats):
            with self.judge.orders.rule(name, is_lifted=is_lifted) as rule:
                try:
                    if is_lifted:
                        with suppress(Rejected):  # there was none
                            standing_holds.delete_hold(name, OPERATOR, self.deps)
                    else:
                        standing_holds.put_hold(name, REASON, OPERATOR, self.deps)
                    rule.is_done = True
                except self.cut_off:
                    continue
            return

    def select(self, what: str, criteria: dict[str, str], limit: int, *, is_dry: bool) -> None:
        """Begin an act on all that is meant, or ask what it would change; what was under way is given up."""
        if self._is_busy:
            return  # this operator is in the middle of a call
        self._operation = self.judge.orders.operation(what, criteria, is_dry=is_dry)
        self._after, self._limit = "", limit

    def go_on(self, calls: int) -> None:
        """Call so many times, or until there is no more; the same again if one was cut off."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            for _ in range(calls):
                if self._operation is None:
                    return
                self._call(self._operation)
        finally:
            self._is_busy = False

    def _call(self, operation: Operation) -> None:
        given = (REASON,) if operation.verb == "hold" else ("",)
        act = _ACTS[operation.verb](*given, OPERATOR, self.deps)
        if not self._after:
            # Begun anew, also if the first call broke off: nobody has told him where to go on.
            self.world.now += _TICK_S
            operation = self._operation = self.judge.orders.operation(
                operation.verb, operation.criteria, is_dry=operation.is_dry
            )
        with self.judge.orders.call(operation) as call:
            try:
                call.told = act_on_selection(
                    act,
                    selection.parse(**operation.criteria),
                    OPERATOR,
                    self.deps,
                    limit=self._limit,
                    after=self._after,
                    dry_run=operation.is_dry,
                )
            except self.cut_off:
                return
        self._after = call.told["after"] or ""
        if not self._after:
            self._operation = None
            self.judge.orders.finished(operation)
