"""
Send no faster than hosts bear, all functions together: a Transport around the one that sends.

    what is known of the host       what happens
    ------------------------------  --------------------------------------------------------------------
    nothing, or a failure or two    sent at once
    it limits (or an operator does) sent at the turn that the ledger grants, if it is seconds away;
                                    else deferred as PACED, which costs no attempt, until a turn of its own
    it is dead                      left out if the hop has another host; else deferred with its last error

One read a minute tells a function of all hosts that have a state; a host without one costs nothing. What the
transport hears of each host goes back as a change of its state, if it changes anything. Turns and slots are
taken for all waiting messages of the function in one write, and slots given back in one.

The ledger away: the same rules on what this function knows alone. Mail never stops for it.

Next: domain/pacing.py has the rules, services/retry.py brings back who waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import pacing
from paravion.domain.host_word import Word, word_of
from paravion.domain.next_hop import SMTP_PORT
from paravion.domain.outcome import PACED, Outcome, Result
from paravion.domain.status import HOST_DEAD, HOST_PACED
from paravion.errors import ClaimLost, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from paravion.domain.next_hop import MxHost, NextHop
    from paravion.domain.pacing import Grant, HostState
    from paravion.domain.status import Status
    from paravion.ports import EventLog, Hosts, Transaction, Transport

KNOWN_S: Final = 60.0
"""How long a function trusts what it read; who complains to it itself is known at once."""

_AGAIN_S: Final = 10.0
"""When an unread list is tried again."""

LISTED: Final = 1000
"""States read at once, about 300 KB. When there are more, hosts are read one by one, once a minute each."""

_GATHER_S: Final = 0.02
"""Messages of one batch that come within this ask for their turns together."""

_SLOT_WAIT_S: Final = 10.0
"""How long a message waits for a slot that another one of this function uses."""

_LATER_S: Final = (10.0, 60.0)
"""When to come back without a promise: other functions were always faster, or our own messages took too long."""

_PATIENCE_S: Final = 3.0
"""How long mail waits to hear what is known of its hosts: a ledger that hangs is one that is away."""

_KEPT: Final = 10_000


@dataclass(slots=True)
class _Share:
    """
    What this function holds of one host.

    Attributes:
        members: Messages that wait for it or use it.
        waiting: Those that ask for a turn.
        asker: Asks for them.
        slots: Leased; 0: none needed.
        running: Slots in use.
        queue: Messages with a turn that wait for a slot.
        keeper: Prolongs the lease.
        done, busy_s: Transactions that ended, and how long they took together.
    """

    members: int = 0
    waiting: deque[asyncio.Future[_Turn]] = field(default_factory=deque)
    asker: asyncio.Task[None] | None = None
    slots: int = 0
    running: int = 0
    queue: deque[asyncio.Future[None]] = field(default_factory=deque)
    keeper: asyncio.Task[None] | None = None
    done: int = 0
    busy_s: float = 0.0

    def lease(self, slots: int) -> None:
        """Take note of what is leased, and let in whom that allows."""
        self.slots = slots
        while self.queue and (not slots or self.running < slots):
            self._pass_on()
            self.running += 1

    async def take_slot(self) -> bool:
        """Wait for a slot, at most _SLOT_WAIT_S; False if there was none."""
        if not self.slots or self.running < self.slots:
            self.running += 1
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue.append(place)
        try:
            await asyncio.wait([place], timeout=_SLOT_WAIT_S)
        finally:
            if not place.done():
                self.queue.remove(place)
        return place.done()

    def give_slot(self, busy_s: float) -> None:
        """Give a slot back, to who waits for it if somebody does."""
        self.done += 1
        self.busy_s += busy_s
        if self.queue and self.running <= (self.slots or self.running):
            self._pass_on()
        else:
            self.running -= 1

    def _pass_on(self) -> None:
        self.queue.popleft().set_result(None)


@dataclass(frozen=True, slots=True)
class _Turn:
    """When one message may go; or, not granted, when to come back."""

    at: float
    granted: bool


class PacedTransport:
    """
    ports.Transport, paced; for one event loop.

    Args:
        transport: What sends.
        clock: Seconds since the epoch.
        draw: Uniform draws in [0, 1).
        new_token: Names this function, uniquely among all that run; called at the first mail, since what was
            drawn before could be a snapshot's.
        in_thread: Calls a port that blocks, as asyncio.to_thread does.
    """

    def __init__(
        self,
        transport: Transport,
        hosts: Hosts,
        event_log: EventLog,
        *,
        clock: Callable[[], float],
        draw: Callable[[], float],
        new_token: Callable[[], str],
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._transport = transport
        self._hosts = hosts
        self._event_log = event_log
        self._clock = clock
        self._draw = draw
        self._new_token = new_token
        self._token = ""
        self._in_thread = in_thread
        self._states: dict[str, HostState] = {}
        self._fresh_until = float("-inf")
        self._is_complete = True
        self._read_at: dict[str, float] = {}
        self._shares: dict[str, _Share] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._reading: asyncio.Task[None] | None = None
        self._behind: set[asyncio.Task[None]] = set()

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        """See ports.Transport."""
        self._token = self._token or self._new_token()
        keys = {host.name: host_key(host) for host in hop.hosts}
        await self._refresh([hop.name.lower(), *keys.values()])
        now = self._clock()
        dead = [state for key in keys.values() if (state := self._states.get(key)) and not self._may_be_tried(state)]
        gone = {state.name for state in dead}
        hosts = tuple(host for host in hop.hosts if keys[host.name] not in gone)
        if not hosts:
            first = min(dead, key=_hold_until)
            dead_outcome = _dead(first, pacing.when_dead(first, now, self._draw()))
            return dict.fromkeys(transaction.recipients, dead_outcome)
        # The first host is the one that is used: asking the second because the first is slow would only
        # carry its load elsewhere.
        shares: dict[str, _Share] = {}
        began = None
        try:
            for key in dict.fromkeys((hop.name.lower(), keys[hosts[0].name])):
                if not self._needs_turn(key):
                    continue
                outcome = await self._turn(key, deadline)
                if outcome is not None:
                    return dict.fromkeys(transaction.recipients, outcome)
                shares[key] = self._shares[key]
            began = self._clock()
            return await self._send(replace(hop, hosts=hosts), keys, transaction, deadline)
        finally:
            for key, share in shares.items():
                share.give_slot(self._clock() - began if began is not None else 0.0)
                self._leave(key, share)

    async def settle(self) -> None:
        """See ports.Transport."""
        while self._behind:
            # Whoever is cut off here leaves the words under way: they go on when the function does.
            done, _ = await asyncio.wait(tuple(self._behind))
            # Not left to their callbacks: tasks that are done already may give the loop no turn to run them.
            self._behind.difference_update(done)
            for task in done:
                fault = None if task.cancelled() else task.exception()
                if fault is not None and not isinstance(fault, Exception):
                    raise fault
        await self._transport.settle()

    async def _send(
        self, hop: NextHop, keys: dict[str, str], transaction: Transaction, deadline: float
    ) -> dict[int, Outcome]:
        words: dict[str, tuple[Word, str]] = {}

        def hear(outcome: Outcome) -> None:
            key, word = keys.get(outcome.mx_host), word_of(outcome)
            # A host that answered at one of its addresses answers, and a complaint is what matters of an answer.
            if key and word and _WEIGHT[word] >= _WEIGHT.get(words.get(key, (None, ""))[0], -1):
                code = f"{outcome.code} {outcome.status} " if outcome.is_reply else ""
                words[key] = (word, code + outcome.text)
            transaction.heard(outcome)

        try:
            return await self._transport.send(hop, replace(transaction, heard=hear), deadline)
        finally:
            for key, (word, text) in words.items():
                self._tell(key, word, text)

    # What is known

    async def _refresh(self, keys: list[str]) -> None:
        """Know what there is to know of these hosts, or go on without."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._read(keys)
        except TimeoutError:
            self._event_log.emit("Fault", {"stage": "pacing", "error": "the ledger does not answer"})
            self._fresh_until = self._clock() + _AGAIN_S

    async def _read(self, keys: list[str]) -> None:
        """Read all states once a minute, or these hosts' if there are too many."""
        if self._clock() >= self._fresh_until:
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._read_all())
            # Whoever is cut off leaves the others their answer.
            await asyncio.shield(self._reading)
        if self._is_complete:
            return
        now = self._clock()
        for key in dict.fromkeys(keys):
            if now - self._read_at.get(key, float("-inf")) >= KNOWN_S and key not in self._shares:
                if len(self._read_at) >= _KEPT:
                    self._read_at.clear()
                self._read_at[key] = now
                with suppress(LedgerUnavailable):
                    self._know(key, await self._in_thread(self._hosts.get, key))

    async def _read_all(self) -> None:
        try:
            states = await self._in_thread(self._hosts.all, LISTED)
        except LedgerUnavailable as exc:
            self._event_log.emit("Fault", {"stage": "pacing", "error": repr(exc)})
            self._fresh_until = self._clock() + _AGAIN_S
            return
        finally:
            self._reading = None
        self._is_complete = len(states) < LISTED
        # The list may lag behind what this function wrote itself.
        own = self._states
        self._states = {s.name: own[s.name] if s.name in own and own[s.name].version > s.version else s for s in states}
        now = self._clock()
        self._read_at = dict.fromkeys(self._states, now)
        self._fresh_until = now + KNOWN_S
        for key in [key for key, lock in self._locks.items() if not lock.locked() and key not in self._states]:
            del self._locks[key]

    def _know(self, key: str, state: HostState | None) -> None:
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state

    def _needs_turn(self, key: str) -> bool:
        state = self._states.get(key)
        return state is not None and state.needs_turn

    def _may_be_tried(self, state: HostState) -> bool:
        return not state.is_dead or pacing.may_probe(state, self._clock())

    # What was heard

    def _tell(self, key: str, word: Word, text: str) -> None:
        """Change a host's state by a word, behind the answer: nothing comes between a 250 and its record."""
        change = partial(_heard, key=key, word=word, text=text, token=self._token, clock=self._clock)
        before = self._states.get(key)
        if change(before) is not before:
            self._go_on_behind(self._report(key, change))

    async def _report(self, key: str, change: Any) -> None:
        async with self._locks.setdefault(key, asyncio.Lock()):
            before = self._states.get(key)
            # The ones before may have told it already.
            if change(before) is before:
                return
            with suppress(ClaimLost):
                after = await self._change(key, change)
                self._log(key, before, after)

    async def _change(self, key: str, change: Any) -> HostState | None:
        """
        Apply a change to the shared state, or in an outage to what is known here.

        Raises:
            ClaimLost: Others are always faster.
        """
        try:
            state: HostState | None = await self._in_thread(self._hosts.update, key, change)
        except LedgerUnavailable as exc:
            self._event_log.emit("Fault", {"stage": "pacing", "host": key, "error": repr(exc)})
            state = change(self._states.get(key))
        self._know(key, state)
        return state

    def _log(self, key: str, before: HostState | None, after: HostState | None) -> None:
        was, now = before.phase if before else "well", after.phase if after else "well"
        if was != now:
            text = after.last_text if after else ""
            self._event_log.emit("HostState", {"host": key, "phase": now, "was": was, "text": text})

    def _go_on_behind(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._behind.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._behind.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Our own fault: a word about a host is lost, no mail.
            self._event_log.emit("Fault", {"stage": "pacing", "error": repr(task.exception())})

    # Turns and slots

    async def _turn(self, key: str, deadline: float) -> Outcome | None:
        """Wait for a turn and a slot, to be given back; or say why there is none."""
        state = self._states.get(key)
        share = self._shares.setdefault(key, _Share())
        share.members += 1
        try:
            asked: asyncio.Future[_Turn] = asyncio.get_running_loop().create_future()
            share.waiting.append(asked)
            if share.asker is None:
                share.asker = asyncio.ensure_future(self._ask(key, share))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await asked
            now = self._clock()
            is_told = asked.done() and not asked.cancelled()
            turn = asked.result() if is_told else _Turn(now + _between(_LATER_S, self._draw()), granted=False)
            if turn.granted and asyncio.get_running_loop().time() + turn.at - now < deadline:
                await asyncio.sleep(max(0.0, turn.at - now))
                if await share.take_slot():
                    return None
                turn = _Turn(now + _between(_LATER_S, self._draw()), granted=False)
        except BaseException:
            self._leave(key, share)
            raise
        self._leave(key, share)
        known = self._states.get(key) or state or pacing.HostState(key)
        at = turn.at if not turn.granted else now + _between(_LATER_S, self._draw())
        return _dead(known, at) if known.is_dead else _paced(known, at)

    async def _ask(self, key: str, share: _Share) -> None:
        """Ask for the turns of all that wait, until nobody does."""
        try:
            await asyncio.sleep(_GATHER_S)
            while share.waiting:
                for turn in await self._acquire(key, share, len(share.waiting)):
                    asked = share.waiting.popleft()
                    if not asked.done():
                        asked.set_result(turn)
        except BaseException as exc:  # noqa: BLE001 (whoever waits hears of it)
            for asked in share.waiting:
                if not asked.done():
                    asked.set_exception(exc)
            share.waiting.clear()
        finally:
            share.asker = None

    async def _acquire(self, key: str, share: _Share, want: int) -> list[_Turn]:
        now, draw = self._clock(), self._draw()
        grants: list[Grant] = []

        def change(state: HostState | None) -> HostState | None:
            if state is None or not state.needs_turn:
                grants.append(pacing.Grant((self._clock(),) * want, 0, ()))
                return state
            new, grant = pacing.acquire(state, self._token, want, now=self._clock(), draw=draw)
            grants.append(grant)
            return new

        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                await self._change(key, change)
            except ClaimLost:
                parts = [(draw + n / want) % 1 for n in range(want)]
                return [_Turn(now + _between(_LATER_S, part), granted=False) for part in parts]
        grant = grants[-1]
        if grant.turns:
            share.lease(grant.slots)
        if share.slots and share.keeper is None:
            share.keeper = asyncio.ensure_future(self._keep(key, share))
        return [_Turn(at, granted=True) for at in grant.turns] + [_Turn(at, granted=False) for at in grant.later]

    async def _keep(self, key: str, share: _Share) -> None:
        """Prolong a lease for as long as it is in use."""
        while True:
            await asyncio.sleep(pacing.LEASE_S / 3)
            change = partial(_renewed, token=self._token, slots=share.slots, clock=self._clock)
            with suppress(ClaimLost):
                await self._change(key, change)

    def _leave(self, key: str, share: _Share) -> None:
        """One message is out; the last one gives everything back."""
        share.members -= 1
        if share.members:
            return
        del self._shares[key]
        if share.keeper is not None:
            share.keeper.cancel()
        self._go_on_behind(self._release(key, share))

    async def _release(self, key: str, share: _Share) -> None:
        async with self._locks.setdefault(key, asyncio.Lock()):
            state = self._states.get(key)
            if state is None or not (self._token in state.leases or state.probe == self._token):
                return
            if key in self._shares:
                # Somebody came meanwhile, and goes on with the lease.
                return
            change = partial(_released, token=self._token, clock=self._clock, done=share.done, busy_s=share.busy_s)
            with suppress(ClaimLost):
                await self._change(key, change)


def host_key(host: MxHost) -> str:
    """Give the name that a host's state goes by."""
    name = host.name.lower()
    if host.port == SMTP_PORT:
        return name
    return f"[{name}]:{host.port}" if ":" in name else f"{name}:{host.port}"


def host_of(key: str) -> str:
    """Give the host's name of a key; an IPv6 address, which has more colons, is its own."""
    name, _, port = key.rpartition(":")
    return name.strip("[]") if port.isdecimal() and ("]" in name or ":" not in name) else key


_WEIGHT: Final[dict[Word | None, int]] = {
    Word.UNREACHABLE: 0,
    Word.ANSWERED: 1,
    Word.TOO_FAST: 2,
    Word.TOO_MANY: 3,
}


def _heard(
    state: HostState | None, *, key: str, word: Word, text: str, token: str, clock: Callable[[], float]
) -> HostState | None:
    return pacing.heard(state, key, word, text, now=clock(), token=token)


def _renewed(state: HostState | None, *, token: str, slots: int, clock: Callable[[], float]) -> HostState | None:
    return pacing.renewed(state, token, slots, now=clock())


def _released(
    state: HostState | None, *, token: str, clock: Callable[[], float], done: int, busy_s: float
) -> HostState | None:
    return pacing.released(state, token, now=clock(), done=done, busy_s=busy_s)


def _dead(state: HostState, not_before: float) -> Outcome:
    """Not tried, since it would fail as it last did; an attempt all the same, so that the schedule's waits grow."""
    since = datetime.fromtimestamp(state.since, UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = f"{HOST_DEAD.text}, and was not tried: {state.name}, since {since}: {state.last_text}"
    return _ours(HOST_DEAD, text, "LOCAL", state, not_before)


def _paced(state: HostState, not_before: float) -> Outcome:
    """Not tried, since others of ours take what it allows."""
    why = f"it said: {state.last_text}" if state.last_text else "as the operator limits it"
    return _ours(
        HOST_PACED,
        f"{HOST_PACED.text}, and this mail waits for its turn: {state.name}: {why}",
        PACED,
        state,
        not_before,
    )


def _ours(row: Status, text: str, command: str, state: HostState, not_before: float) -> Outcome:
    return Outcome(
        Result.DEFERRED, row.enhanced, text=text, command=command, mx_host=host_of(state.name), not_before=not_before
    )


def _hold_until(state: HostState) -> float:
    return state.hold_until


def _between(range_s: tuple[float, float], draw: float) -> float:
    return range_s[0] + (range_s[1] - range_s[0]) * draw
