"""
How fast a host may be sent to, and whether it is tried at all: a state that many functions share, as pure transitions.

A host without a state is sent to at full speed. A state begins with a complaint, a failed connection or an
operator's limit; services/pacing.py reads and changes it through ports.Hosts, whoever is faster, one at a time.

    phase     because                                   who may send
    --------  ----------------------------------------  -----------------------------------------------------
    failing   fewer than DEAD_AFTER failures in a row   everybody
    dead      DEAD_AFTER connection failures in a row   nobody until `hold_until` (30 s, doubling to 15 min),
                                                        then one probe at a time
    paused    a complaint, nothing taken since          nobody until `hold_until` (10 s, doubling to 5 min),
                                                        then one probe at a time
    slow      it complained, or came back to life       who is granted a turn (rate) and a slot (connections)
    limited   an operator's limit alone                 the same

A limit is sought as TCP seeks a link's: doubled until the first complaint, then set back and raised in small
steps; near the value that was once too much in smaller ones, far above it faster, since the limit is gone.
It rises only while mail waits for it. Above LIFTED_RATE and LIFTED_SLOTS it is forgotten.

Turns are instants on one clock (`turn`, the generic cell rate algorithm): a function takes as many as it has
mail for in one write, and waits for those that are at most AHEAD_S away. Whoever gets none is promised a later
one (`booked`), each a different one: that is what keeps the waiting from coming back as a herd. A promise
reaches at most HORIZON_S ahead, and no further than the state is old: early rates are guesses.

Slots are leased: a function that dies holding some costs the others LEASE_S. Clocks may differ by SKEW_S.

RFC: 5321 4.5.4.1 (a host known to be away need not be tried for every message).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from paravion.domain.host_word import Word

if TYPE_CHECKING:
    from collections.abc import Mapping

DEAD_AFTER: Final = 3
"""Failed connections in a row; one function's within SAME_FAILURE_S are one: its whole batch met the same hiccup."""

SAME_FAILURE_S: Final = 1.0
DEAD_S: Final = (30.0, 900.0)
PAUSE_S: Final = (10.0, 300.0)
"""First and longest wait before a probe; doubles with each probe that fails."""

PROBE_S: Final = 120.0
"""A probe that says nothing for this long has died."""

LEASE_S: Final = 60.0
SKEW_S: Final = 5.0
AHEAD_S: Final = 5.0
"""A turn this near is waited for in the function; a function's time is paid for."""

SAVED_S: Final = 5.0
"""Turns that nobody took are kept for this long: the largest burst, as seconds of the rate."""

HORIZON_S: Final = (120.0, 840.0)
"""How far a promise reaches at first and at most: below SQS's longest delay of 900 s."""

FIRST_RATE: Final = 60.0
FIRST_SLOTS: Final = 4.0
"""Where the search begins after a complaint: messages a minute, connections."""

REVIVED_RATE: Final = 300.0
REVIVED_SLOTS: Final = 10.0
"""The same after a host came back to life: it asked for nothing, but everybody waits for it."""

LIFTED_RATE: Final = 6000.0
LIFTED_SLOTS: Final = 200.0
STEP_S: Final = 30.0
"""Between two raises."""

CUT_S: Final = 60.0
"""Between two cuts: receivers count by the minute, and go on complaining until it is over."""

TEXT_CHARACTERS: Final = 300
REMEMBERED_S: Final = 86_400.0
FAILURES_REMEMBERED_S: Final = 3_600.0
_GOLDEN: Final = 0.6180339887  # spreads any number of waits evenly from one draw


@dataclass(frozen=True, slots=True)
class Limit:
    """
    One limit being sought: messages a minute, or connections.

    Attributes:
        value: What is allowed now, >= 1.
        ceiling: What was last too much; 0: not met yet.
        raised_at: When it last changed.
    """

    value: float
    ceiling: float
    raised_at: float


@dataclass(frozen=True, slots=True)
class HostState:
    """
    What is known of one host, or of one destination that an operator limited.

    Attributes:
        name: A host's name, `:port` behind it if it is not 25; or a next hop's (a recipients' domain).
        version: Counts writes.
        since, last_at: When the state began, and the last word about the host.
        last_text: What it said or how it failed, printable.
        rate, slots: Learnt limits; None: none.
        max_rate, max_slots: An operator's; 0: none.
        strikes: Complaints since something was last taken.
        failures, failed_by: Failed connections in a row, and whose the last was.
        hold_until: Nobody sends before.
        probe, probe_until: Who tries whether the host is well again, and until when he may.
        cut_at: When a limit was last cut.
        turn: The first turn that is not taken.
        booked: The first turn that is not promised to one who waits outside.
        leases: Slots in use by holder, and until when.
        spell_s: How long a transaction takes, smoothed.
    """

    name: str
    version: int = 0
    since: float = 0.0
    last_at: float = 0.0
    last_text: str = ""
    rate: Limit | None = None
    slots: Limit | None = None
    max_rate: float = 0.0
    max_slots: int = 0
    strikes: int = 0
    failures: int = 0
    failed_by: str = ""
    hold_until: float = 0.0
    probe: str = ""
    probe_until: float = 0.0
    cut_at: float = 0.0
    turn: float = 0.0
    booked: float = 0.0
    leases: Mapping[str, tuple[int, float]] = field(default_factory=lambda: MappingProxyType({}))
    spell_s: float = 2.0

    @property
    def phase(self) -> str:
        """A name of the module's table, or `well`."""
        if self.is_dead:
            return "dead"
        if self.strikes:
            return "paused"
        if self.rate or self.slots:
            return "slow"
        if self.failures:
            return "failing"
        return "limited" if self.max_rate or self.max_slots else "well"

    @property
    def is_dead(self) -> bool:
        """Known not to answer."""
        return self.failures >= DEAD_AFTER

    @property
    def needs_turn(self) -> bool:
        """Only who is granted a turn may send."""
        return self.phase not in {"well", "failing"}

    @property
    def rate_now(self) -> float:
        """Messages a minute for all functions together; 0: no limit."""
        return _lower(self.rate, self.max_rate)

    @property
    def slots_now(self) -> int:
        """Connections of all functions together; 0: no limit."""
        return int(_lower(self.slots, self.max_slots))

    @property
    def expires_at(self) -> float:
        """When it may be forgotten; 0: never (an operator's word stands)."""
        if self.max_rate or self.max_slots:
            return 0.0
        learnt = self.rate or self.slots or self.strikes
        return max(self.last_at, self.hold_until) + (REMEMBERED_S if learnt else FAILURES_REMEMBERED_S)


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What a function may do.

    Attributes:
        turns: Instants at which one message each may go, at most AHEAD_S away.
        slots: Connections that they may use at once until the lease ends; 0: no limit.
        later: For each message that got no turn: when to come back.
        is_probe: The one turn tries whether the host is well.
    """

    turns: tuple[float, ...]
    slots: int
    later: tuple[float, ...]
    is_probe: bool = False


def heard(
    state: HostState | None, name: str, word: Word, text: str, *, now: float, token: str = ""
) -> HostState | None:
    """
    Enter a host's word.

    Args:
        state: What is known, None for nothing.
        text: The reply or fault, printable.
        token: The function that heard it.

    Returns:
        The new state, None for one that need not be kept. The very same if nothing changes.
    """
    if word is Word.ANSWERED:
        return state and _well(state, now, token)
    before = state or HostState(name, since=now)
    told = replace(before, last_at=now, last_text=text.replace("\n", " ")[:TEXT_CHARACTERS])
    if word is Word.UNREACHABLE:
        return _failed(before, replace(told, failed_by=token), now)
    return _complained(before, told, word, now)


def acquire(state: HostState, token: str, want: int, *, now: float, draw: float) -> tuple[HostState, Grant]:
    """
    Take turns for `want` messages, as far as there are any, and promises for the rest.

    Args:
        token: The function's, the same as long as it holds slots.
        want: >= 1.
        draw: Uniform in [0, 1).

    Returns:
        The new state, the very same if nothing has to be written, and len(turns) + len(later) == want.
    """
    if state.is_dead or state.strikes:
        return _acquire_probe(state, token, want, now, draw)
    state = _raised(state, token, want, now)
    turns, free = _turns(state, want, now), _free_slots(state, token, now)
    # One slot carries one message after the other: slots bound what goes at once, turns how many go.
    count = len(turns) if free is None or free > 0 else 0
    new = state
    slots = 0
    if count:
        if state.rate_now:
            new = replace(new, turn=_first_turn(state, now) + count * 60 / state.rate_now)
        if free is not None:
            slots = min(free, count + state.leases.get(token, (0, 0.0))[0])
            leases = {**_living(state, now), token: (slots, now + LEASE_S)}
            new = replace(new, leases=leases)
    if count < want:
        later, booked = _promises(new, want - count, now, draw)
        return replace(new, booked=booked), Grant(turns[:count], slots, later)
    return new, Grant(turns[:count], slots, ())


def released(
    state: HostState | None, token: str, *, now: float, done: int = 0, busy_s: float = 0.0
) -> HostState | None:
    """
    Give back what a function held.

    Args:
        done, busy_s: Transactions since it was granted, and the sum of their durations in seconds.
    """
    if state is None or (token not in state.leases and state.probe != token):
        return state
    leases = {holder: lease for holder, lease in _living(state, now).items() if holder != token}
    spell_s = max(0.001, 0.7 * state.spell_s + 0.3 * busy_s / done) if done else state.spell_s
    probe = "" if state.probe == token else state.probe
    return replace(state, leases=leases, spell_s=spell_s, probe=probe)


def renewed(state: HostState | None, token: str, slots: int, *, now: float) -> HostState | None:
    """Prolong a lease that is in use."""
    if state is None or not state.slots_now:
        return state
    return replace(state, leases={**_living(state, now), token: (slots, now + LEASE_S)})


def limited(
    state: HostState | None, name: str, *, max_rate: float | None, max_slots: int | None, now: float
) -> HostState | None:
    """
    Set an operator's limits.

    Args:
        max_rate, max_slots: None leaves one as it is, 0 takes it away.

    Returns:
        The new state, None if nothing is left to remember.
    """
    state = state or HostState(name, since=now, last_at=now)
    new = replace(
        state,
        max_rate=state.max_rate if max_rate is None else max_rate,
        max_slots=state.max_slots if max_slots is None else max_slots,
    )
    return None if new.phase == "well" else new


def reset(state: HostState, now: float) -> HostState | None:
    """Forget everything that was learnt; an operator's limits stay, and who holds a slot still does."""
    new = HostState(
        state.name, state.version, now, now, max_rate=state.max_rate, max_slots=state.max_slots, leases=state.leases
    )
    return None if new.phase == "well" else new


def believed(state: HostState, now: float) -> HostState | None:
    """
    Take an operator's word that a host is back: a dead one is sent to as one that came back to life, a paused one is
    asked at once. What it said of limits stays, for it was the host that asked for them.
    """
    if state.is_dead:
        return _well(state, now, "")
    if state.strikes and now < state.hold_until:
        return replace(state, hold_until=now)
    return state


def when_dead(state: HostState, now: float, draw: float) -> float:
    """Say when a job for a dead host comes back: after the probe, spread over as long as the host was waited for."""
    held_s = _doubled(DEAD_S, state.failures - DEAD_AFTER)
    return max(now, state.hold_until) + max(60.0, held_s) * draw


def may_probe(state: HostState, now: float) -> bool:
    """Say whether it is time to try a dead or paused host, and nobody does."""
    return now >= state.hold_until and not (state.probe and now < state.probe_until)


def _well(state: HostState, now: float, token: str) -> HostState | None:
    if not (state.failures or state.strikes or (state.probe and state.probe == token)):
        return state
    new = replace(state, failures=0, failed_by="", strikes=0, hold_until=0.0, probe="", probe_until=0.0)
    if state.is_dead:
        new = replace(
            new,
            since=now,
            last_at=now,
            rate=state.rate or Limit(REVIVED_RATE, 0.0, now),
            slots=state.slots or Limit(REVIVED_SLOTS, 0.0, now),
        )
    return None if new.phase == "well" else new


def _failed(before: HostState, told: HostState, now: float) -> HostState:
    if before.is_dead and now < before.hold_until:
        # Began before it was known.
        return before
    if before.failures and before.failed_by == told.failed_by and now - before.last_at < SAME_FAILURE_S:
        return before
    failures = before.failures + 1
    new = replace(told, failures=failures, probe="", probe_until=0.0)
    if new.is_dead:
        new = replace(new, hold_until=now + _doubled(DEAD_S, failures - DEAD_AFTER))
    return new


def _complained(before: HostState, told: HostState, word: Word, now: float) -> HostState:
    if before.strikes and now < before.hold_until:
        return before
    strikes = before.strikes + 1
    new = replace(
        told,
        # It talks: whatever it says, it is not dead.
        failures=0,
        failed_by="",
        strikes=strikes,
        hold_until=now + _doubled(PAUSE_S, strikes - 1),
        probe="",
        probe_until=0.0,
    )
    if before.cut_at and now < before.cut_at + CUT_S:
        return new
    if word is Word.TOO_MANY:
        return replace(new, cut_at=now, slots=_cut(before.slots, before.max_slots, FIRST_SLOTS, before.cut_at, now))
    return replace(new, cut_at=now, rate=_cut(before.rate, before.max_rate, FIRST_RATE, before.cut_at, now))


def _cut(limit: Limit | None, most: float, first: float, cut_at: float, now: float) -> Limit:
    if limit is None:
        return Limit(max(1.0, min(first, most / 2)) if most else first, 0.0, now)
    # The first search doubles, so that half was right; and what was too much again without having been raised was
    # far too much.
    keep = 0.8 if limit.ceiling and limit.raised_at > cut_at else 0.5
    return Limit(max(1.0, limit.value * keep), limit.value, now)


def _raised(state: HostState, token: str, want: int, now: float) -> HostState:
    """Raise the limit that keeps mail waiting, if it is time."""
    turns, free = _turns(state, want, now), _free_slots(state, token, now)
    if state.rate and len(turns) < want and now - state.rate.raised_at >= STEP_S:
        limit = _step(state.rate, now)
        state = replace(state, rate=limit if limit.value < LIFTED_RATE else None)
    if state.slots and free is not None and free < want and now - state.slots.raised_at >= STEP_S:
        limit = _step(state.slots, now)
        state = replace(state, slots=limit if limit.value < LIFTED_SLOTS else None)
    return state


def _step(limit: Limit, now: float) -> Limit:
    value, ceiling = limit.value, limit.ceiling
    if not ceiling:
        value *= 2
    elif value < 0.9 * ceiling:
        value += max(0.05 * ceiling, 0.25)
    elif value < 1.1 * ceiling:
        value += max(0.01 * ceiling, 0.1)
    else:
        value *= 1.25
    return Limit(value, ceiling, now)


def _acquire_probe(state: HostState, token: str, want: int, now: float, draw: float) -> tuple[HostState, Grant]:
    turns: tuple[float, ...] = ()
    new = state
    if may_probe(state, now):
        turns = (now,)
        new = replace(state, probe=token, probe_until=now + PROBE_S)
    if state.is_dead:
        # A draw of nothing on the instant of the probe would send them back at once, to be told the same.
        first = now + AHEAD_S
        later = tuple(max(first, when_dead(state, now, (draw + n * _GOLDEN) % 1)) for n in range(want - len(turns)))
    else:
        later, booked = _promises(new, want - len(turns), now, draw)
        if later:
            new = replace(new, booked=booked)
    return new, Grant(turns, 0, later, is_probe=bool(turns))


def _turns(state: HostState, want: int, now: float) -> tuple[float, ...]:
    rate = state.rate_now
    if not rate:
        return (now,) * want
    interval = 60 / rate
    first = _first_turn(state, now)
    count = min(want, max(0, int((now + AHEAD_S - first) / interval) + 1)) if first <= now + AHEAD_S else 0
    return tuple(max(now, first + n * interval) for n in range(count))


def _first_turn(state: HostState, now: float) -> float:
    """Give the first turn that can be had: what nobody took is kept for a while."""
    return max(state.turn, now - SAVED_S)


def _free_slots(state: HostState, token: str, now: float) -> int | None:
    """Give how many slots a function may hold, those included that it has; None: any number."""
    if not state.slots_now:
        return None
    others = sum(count for holder, (count, _) in _living(state, now).items() if holder != token)
    return max(0, state.slots_now - others)


def _living(state: HostState, now: float) -> dict[str, tuple[int, float]]:
    return {holder: lease for holder, lease in state.leases.items() if lease[1] + SKEW_S > now}


def _promises(state: HostState, count: int, now: float, draw: float) -> tuple[tuple[float, ...], float]:
    """Give turns outside, one after the other, and the first that is left."""
    intervals = [60 / state.rate_now] if state.rate_now else []
    if state.slots_now:
        intervals.append(state.spell_s / state.slots_now)
    interval = max(intervals, default=1.0)
    booked = max(state.booked, state.turn, state.hold_until, now + AHEAD_S)
    reach = now + min(max(now - state.since, HORIZON_S[0]), HORIZON_S[1])
    promises = []
    for n in range(count):
        if booked < reach:
            promises.append(booked)
            booked += interval
        else:
            promises.append(now + (reach - now) * (0.5 + 0.5 * ((draw + n * _GOLDEN) % 1)))
    return tuple(promises), booked


def _lower(limit: Limit | None, most: float) -> float:
    values = [value for value in (limit.value if limit else 0.0, most) if value]
    return min(values, default=0.0)


def _doubled(range_s: tuple[float, float], times: int) -> float:
    first, most = range_s
    return min(most, first * 2.0 ** min(times, 20))
