"""
Many functions sending to one host, in virtual time: the host counts by the minute and by the connection.

Each function has a PacedTransport of its own; all share one Hosts port. Jobs wait in a queue with delays, as
SQS's, and `retry`'s part is played by its own rules: a paced job comes back at its time, others by a schedule.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.memory import MemoryEventLog, MemoryHosts
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import PACED, Outcome, Result
from paravion.ports import Transaction
from paravion.services.pacing import PacedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.ports import Hosts

HOST: Final = "mx.example"
HOP: Final = NextHop("example", (MxHost(HOST),))
BATCH: Final = 10
START: Final = 1_800_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START
        # Of a number this large, the default resolution is lost in rounding.
        self._clock_resolution = 1e-6
        self._selector = _Jumping(self._selector, self)  # type: ignore[attr-defined]

    def time(self) -> float:
        """Seconds of virtual time, which also serve as the epoch's."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class _Jumping:
    def __init__(self, selector: Any, loop: VirtualLoop) -> None:
        self._selector, self._loop = selector, loop

    def select(self, timeout: float | None) -> Any:
        """Instead of waiting, jump."""
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        # A hair more than asked for: rounding must not leave the timer in the future.
        if timeout > 0:
            self._loop.jump(timeout + 1e-6)
        return self._selector.select(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


@dataclass
class FakeHost:
    """
    A host that allows `rate` messages a minute and `connections` at once, and answers 421 beyond.

    Attributes:
        rate, connections: 0: any number.
        takes_s: How long a transaction lasts.
        is_down: Nobody answers; a connection fails after `fails_s`.
    """

    clock: Callable[[], float]
    rate: int = 0
    connections: int = 0
    takes_s: float = 1.0
    is_down: bool = False
    fails_s: float = 5.0
    open: int = 0
    most_open: int = 0
    taken: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        """See ports.Transport."""
        outcome = await self._talk(hop.hosts[0].name)
        transaction.heard(outcome)
        return dict.fromkeys(transaction.recipients, outcome)

    async def settle(self) -> None:
        """See ports.Transport."""

    async def _talk(self, name: str) -> Outcome:
        minute = int(self.clock() // 60)
        if self.is_down:
            self.failed[minute] += 1
            await asyncio.sleep(self.fails_s)
            return Outcome(Result.DEFERRED, "4.4.1", text="Timed out", command="CONNECT", mx_host=name)
        if self.connections and self.open >= self.connections:
            self.refused[minute] += 1
            return Outcome(Result.DEFERRED, "4.7.0", 421, "Too many connections", "GREETING", name)
        if self.rate and self.taken[minute] >= self.rate:
            self.refused[minute] += 1
            return Outcome(Result.DEFERRED, "4.7.0", 421, "Try again later, rate exceeded", "GREETING", name)
        self.taken[minute] += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(self.takes_s)
        self.open -= 1
        return Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", name)


@dataclass
class Fleet:
    """Functions that take batches from one queue."""

    loop: VirtualLoop
    functions: int
    host: FakeHost = None  # type: ignore[assignment]  # made with the loop's clock
    hosts: Hosts = None  # type: ignore[assignment]
    retry_s: float = 300.0
    seed: int = 1
    delivered: int = 0
    paced: int = 0
    batches: int = 0
    longest_s: float = 0.0
    log: MemoryEventLog = field(default_factory=MemoryEventLog)
    _queue: list[tuple[float, int]] = field(default_factory=list)
    _serial: int = 0

    def __post_init__(self) -> None:
        self.host = self.host or FakeHost(self.loop.time)
        self.hosts = self.hosts or MemoryHosts(self.loop.time)
        self.draws = random.Random(self.seed)

    def submit(self, count: int) -> None:
        """Enqueue jobs for now."""
        for _ in range(count):
            self._put(self.loop.time())

    def waiting(self) -> int:
        """Jobs in the queue, visible or not."""
        return len(self._queue)

    async def run(self, seconds: float) -> None:
        """Let the functions work for a while."""
        until = self.loop.time() + seconds
        await asyncio.gather(*(self._function(n, until) for n in range(self.functions)))

    def _put(self, at: float) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (at, self._serial))

    async def _function(self, number: int, until: float) -> None:
        async def call(function: Any, *args: Any) -> Any:
            # The ledger's way: some milliseconds, so that functions overtake each other.
            await asyncio.sleep(0.005 + 0.01 * self.draws.random())
            return function(*args)

        transport = PacedTransport(
            self.host, self.hosts, self.log, clock=self.loop.time, draw=self.draws.random,
            new_token=lambda: f"f{number}", in_thread=call,
        )  # fmt: skip
        await asyncio.sleep(self.draws.random())
        while (now := self.loop.time()) < until:
            jobs = 0
            while jobs < BATCH and self._queue and self._queue[0][0] <= now:
                heapq.heappop(self._queue)
                jobs += 1
            if not jobs:
                await asyncio.sleep(max(1.0, self.functions / 100))
                continue
            self.batches += 1
            outcomes = await asyncio.gather(*(transport.send(HOP, transaction(), now + 290) for _ in range(jobs)))
            await transport.settle()
            self.longest_s = max(self.longest_s, self.loop.time() - now)
            for outcome in (told[0] for told in outcomes):
                self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        now = self.loop.time()
        if outcome.result is Result.DELIVERED:
            self.delivered += 1
        elif outcome.command == PACED:
            self.paced += 1
            self._put(max(now, outcome.not_before))
        else:
            self._put(max(now + self.retry_s * (1 + 0.1 * self.draws.random()), outcome.not_before))


class Empty:
    """A body."""

    octets = 0

    def at_hand(self) -> bytes | None:
        """Never asked for."""
        raise NotImplementedError

    def chunks(self) -> Any:
        """Never asked for."""
        raise NotImplementedError


def transaction() -> Transaction:
    """A mail to one recipient."""
    return Transaction("q" * 26, "me@example.org", {0: ("you@example", (), "")}, b"", Empty())


def simulate(functions: int, scenario: Callable[[Fleet], Any], **fields: Any) -> Fleet:
    """Run a scenario in a fresh world."""
    loop = VirtualLoop()
    try:
        fleet = Fleet(loop, functions, **fields)
        loop.run_until_complete(scenario(fleet))
        return fleet
    finally:
        loop.close()
