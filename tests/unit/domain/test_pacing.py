"""A host's state: how it begins, what it allows, how it ends; and that nothing ever allows more than the limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paravion.domain import pacing
from paravion.domain.host_word import Word
from paravion.domain.pacing import HostState, Limit

NAME = "mx.example"
NOW = 1_800_000_000.0
SLOW = HostState(NAME, since=NOW - 1000, rate=Limit(60, 80, NOW), last_at=NOW)


def heard(state, word, at=NOW, text="421 4.7.0 slow down", token="f1"):
    return pacing.heard(state, NAME, word, text, now=at, token=token)


def acquire(state, want=1, at=NOW, token="f1", draw=0.5):
    return pacing.acquire(state, token, want, now=at, draw=draw)


def failed(times, at=NOW):
    state = None
    for n in range(times):
        state = heard(state, Word.UNREACHABLE, at, "refused", f"f{n}")
    return state


def test_a_well_host_has_no_state():
    """Full speed costs nothing."""
    assert heard(None, Word.ANSWERED) is None
    assert HostState(NAME).phase == "well"
    assert not HostState(NAME).needs_turn


@pytest.mark.parametrize(("word", "rate", "slots"), [(Word.TOO_FAST, 60, 0), (Word.TOO_MANY, 0, 4)])
def test_first_complaint_pauses_and_limits(word, rate, slots):
    """What it complains of is limited."""
    state = heard(None, word)
    assert (state.phase, state.rate_now, state.slots_now) == ("paused", rate, slots)
    assert state.hold_until == NOW + 10
    assert state.last_text == "421 4.7.0 slow down"


def test_complaints_of_mail_under_way_count_once():
    """They began before anybody knew."""
    state = heard(None, Word.TOO_FAST)
    assert heard(state, Word.TOO_FAST, NOW + 9) is state


def test_failing_probes_double_the_pause_and_cut_once_a_minute():
    """Receivers count by the minute."""
    state = heard(None, Word.TOO_FAST)
    waits, rates = [], []
    at = NOW
    for _ in range(7):
        at = state.hold_until
        state = heard(state, Word.TOO_FAST, at)
        waits.append(state.hold_until - at)
        rates.append(state.rate_now)
    assert waits == [20, 40, 80, 160, 300, 300, 300]
    assert rates == [60, 60, 30, 15, 7.5, 3.75, 1.875]


def test_whoever_is_taken_ends_the_pause():
    """The limit stays."""
    state = heard(heard(None, Word.TOO_FAST), Word.ANSWERED, NOW + 11)
    assert (state.phase, state.strikes, state.hold_until) == ("slow", 0, 0)
    assert heard(state, Word.ANSWERED, NOW + 12) is state


def test_cut_of_a_raised_limit_is_gentle_and_remembers_where():
    """Four fifths, and the ceiling."""
    state = heard(replace(SLOW, rate=Limit(100, 80, NOW - 10), cut_at=NOW - 100), Word.TOO_FAST)
    assert state.rate == Limit(80, 100, NOW)


@pytest.mark.parametrize(
    ("limit", "value"),
    [(Limit(60, 0, 0), 120), (Limit(60, 100, 0), 65), (Limit(95, 100, 0), 96), (Limit(200, 100, 0), 250)],
)
def test_limit_that_keeps_mail_waiting_is_raised(limit, value):
    """Doubled while searching, in small steps near the ceiling, by a quarter far above it."""
    state, _ = acquire(replace(SLOW, rate=limit), want=1000)
    assert state.rate == Limit(value, limit.ceiling, NOW)


def test_limit_is_raised_only_if_mail_waits_and_not_too_often():
    """An idle host proves nothing."""
    idle, _ = acquire(replace(SLOW, rate=Limit(60, 0, 0)), want=1)
    assert idle.rate.value == 60
    fresh, _ = acquire(replace(SLOW, rate=Limit(60, 0, NOW - 29)), want=1000)
    assert fresh.rate.value == 60


def test_limit_far_above_everything_is_forgotten():
    """The host has no limit any more."""
    state, grant = acquire(replace(SLOW, rate=Limit(5000, 100, 0)), want=1000)
    assert state.rate is None
    assert len(grant.turns) == 1000


def test_turns_come_at_the_rate():
    """A few are saved, some are near enough to wait for, the others are promised, each another."""
    state, grant = acquire(replace(SLOW, turn=NOW), want=20)
    assert grant.turns == tuple(NOW + n for n in range(6))
    assert grant.later == tuple(NOW + 6 + n for n in range(14))
    again, later = acquire(state, want=2, token="f2")
    assert later.turns == ()
    assert later.later == (NOW + 20, NOW + 21)
    assert again.turn == state.turn


def test_rate_below_one_a_minute_is_kept():
    """One every ten minutes."""
    state, grant = acquire(HostState(NAME, max_rate=0.1), want=2)
    assert len(grant.turns) == 1
    assert acquire(state, at=NOW + 580)[1].turns == ()
    assert len(acquire(state, at=NOW + 596)[1].turns) == 1


def test_promises_reach_no_further_than_the_state_is_old():
    """Early rates are guesses; what is beyond is spread."""
    state = replace(SLOW, since=NOW)
    _, grant = acquire(state, want=500)
    assert max(grant.later) <= NOW + 120
    beyond = [at for at in grant.later if at not in {NOW + n for n in range(-10, 130)}]
    assert len(set(beyond)) == len(beyond) > 300
    _, grant = acquire(replace(SLOW, since=0), want=2000)
    assert NOW + 420 < max(grant.later) <= NOW + 840


def test_slots_are_shared_and_come_back():
    """By release, or by the end of the lease."""
    state = HostState(NAME, max_slots=3)
    state, grant = acquire(state, want=2)
    assert (grant.slots, len(grant.turns)) == (2, 2)
    state, grant = acquire(state, want=2, token="f2")
    assert (grant.slots, len(grant.turns)) == (1, 2)
    _, grant = acquire(state, want=1, token="f3")
    assert (grant.slots, grant.turns, len(grant.later)) == (0, (), 1)
    freed = pacing.released(state, "f1", now=NOW + 1, done=2, busy_s=8.0)
    assert freed.leases == {"f2": (1, NOW + 60)}
    assert freed.spell_s == pytest.approx(0.7 * 2 + 0.3 * 4)
    assert acquire(freed, want=5, token="f3")[1].slots == 2
    assert acquire(state, want=5, token="f3", at=NOW + 64)[1].slots == 0
    assert acquire(state, want=5, token="f3", at=NOW + 65)[1].slots == 3


def test_lease_in_use_is_renewed_and_enlarged():
    """A slow transaction keeps its slot."""
    state, _ = acquire(HostState(NAME, max_slots=5), want=2)
    kept = pacing.renewed(state, "f1", 2, now=NOW + 40)
    assert kept.leases == {"f1": (2, NOW + 100)}
    assert acquire(kept, want=2, at=NOW + 50)[1].slots == 4
    assert pacing.renewed(None, "f1", 2, now=NOW) is None
    assert pacing.renewed(SLOW, "f1", 2, now=NOW) is SLOW


def test_release_of_what_is_not_held_changes_nothing():
    """Not even a write."""
    assert pacing.released(None, "f1", now=NOW) is None
    assert pacing.released(SLOW, "f1", now=NOW) is SLOW


def test_paused_host_gets_one_probe_at_a_time():
    """And a probe that died is followed by another."""
    state = heard(None, Word.TOO_FAST)
    assert acquire(state, want=2, at=NOW + 9)[1].turns == ()
    state, grant = acquire(state, want=3, at=NOW + 10)
    assert (grant.turns, grant.is_probe, len(grant.later)) == ((NOW + 10,), True, 2)
    assert acquire(state, at=NOW + 11, token="f2")[1].turns == ()
    assert acquire(state, at=NOW + 131, token="f2")[1].is_probe
    assert acquire(pacing.released(state, "f1", now=NOW + 12), at=NOW + 12, token="f2")[1].is_probe


def test_three_failures_in_a_row_are_a_dead_host():
    """One function's batch counts once; a word in between starts anew."""
    assert failed(2).phase == "failing"
    assert heard(failed(2), Word.ANSWERED) is None
    dead = failed(3)
    assert (dead.phase, dead.hold_until) == ("dead", NOW + 30)
    one = heard(None, Word.UNREACHABLE)
    assert heard(one, Word.UNREACHABLE, NOW + 0.5) is one
    assert heard(one, Word.UNREACHABLE, NOW + 1.5).failures == 2


def test_dead_host_is_probed_ever_less_often():
    """30 s, doubling to 15 min; what was under way when it was found dead does not count."""
    state = failed(3)
    assert heard(state, Word.UNREACHABLE, NOW + 29, token="f9") is state
    waits = []
    for _ in range(7):
        at = state.hold_until
        state = heard(state, Word.UNREACHABLE, at)
        waits.append(state.hold_until - at)
    assert waits == [60, 120, 240, 480, 900, 900, 900]


def test_job_for_a_dead_host_comes_back_after_the_probe_and_spread():
    """No herd, and no write for it."""
    state = failed(3)
    new, grant = acquire(state, want=10)
    assert new is state
    assert len(set(grant.later)) == 10
    assert all(NOW + 30 <= at <= NOW + 90 for at in grant.later)
    assert pacing.when_dead(state, NOW + 100, 0.5) == NOW + 130


def test_host_that_came_back_is_filled_slowly():
    """Everybody waits for it."""
    state = heard(failed(3), Word.ANSWERED, NOW + 31)
    assert (state.phase, state.rate_now, state.slots_now) == ("slow", 300, 10)


def test_dead_host_that_complains_is_alive():
    """It talks."""
    assert heard(failed(3), Word.TOO_FAST, NOW + 31).phase == "paused"


def test_operators_limit_binds_and_stands():
    """The lower of both counts; resetting forgets the learnt one; taking it away ends the state."""
    state = pacing.limited(None, NAME, max_rate=100, max_slots=5, now=NOW)
    assert (state.phase, state.rate_now, state.slots_now, state.expires_at) == ("limited", 100, 5, 0)
    slow = heard(state, Word.TOO_FAST)
    assert slow.rate_now == 50
    assert slow.expires_at == 0
    assert pacing.reset(slow, NOW).rate_now == 100
    assert pacing.limited(state, NAME, max_rate=0, max_slots=None, now=NOW).slots_now == 5
    assert pacing.limited(state, NAME, max_rate=0, max_slots=0, now=NOW) is None
    assert pacing.reset(SLOW, NOW) is None
    assert heard(pacing.limited(None, NAME, max_rate=1, max_slots=1, now=NOW), Word.TOO_MANY).slots_now == 1


def test_state_is_forgotten_in_time():
    """A day after the last complaint, an hour after the last failure."""
    assert heard(None, Word.TOO_FAST).expires_at == NOW + 10 + 86_400
    assert failed(1).expires_at == NOW + 3_600
    assert failed(3).expires_at == NOW + 30 + 3_600


WORDS = st.tuples(st.just("word"), st.sampled_from(Word), st.floats(0, 100))
ASKS = st.tuples(st.just("ask"), st.integers(1, 30), st.floats(0, 20))
GIVES = st.tuples(st.just("give"), st.just(0), st.floats(0, 20))


@given(
    st.lists(st.tuples(st.one_of(WORDS, ASKS, GIVES), st.sampled_from(["f1", "f2", "f3"])), max_size=60),
    st.floats(1, 600),
    st.integers(1, 10),
    st.floats(0, 0.999),
)
@example(
    [
        (("word", Word.UNREACHABLE, 0.0), "f1"),
        (("ask", 1, 1.0), "f1"),
        (("word", Word.UNREACHABLE, 0.0), "f1"),
        (("word", Word.UNREACHABLE, 0.0), "f2"),
        (("ask", 2, 30.0), "f1"),  # the very instant of the probe, with a draw of nothing
    ],
    1.0,
    1,
    0.0,
)
def test_no_order_of_events_grants_more_than_the_operator_allows(events, max_rate, max_slots, draw):
    """Rate over any stretch of time, connections at any instant; and everybody gets an answer."""
    state = pacing.limited(None, NAME, max_rate=max_rate, max_slots=max_slots, now=NOW)
    now, turns = NOW, []
    for (kind, what, wait_s), token in events:
        now += wait_s
        if kind == "word":
            state = heard(state, what, now, token=token)
        elif kind == "give":
            state = pacing.released(state, token, now=now)
        else:
            state, grant = acquire(state, what, now, token, draw)
            assert len(grant.turns) + len(grant.later) == what
            assert all(now <= at <= now + pacing.AHEAD_S + 1e-6 for at in grant.turns)
            assert all(at > now for at in grant.later)
            assert sum(count for count, until in state.leases.values() if until > now) <= max_slots
            turns += [] if grant.is_probe else grant.turns
        assert state.phase != "well"
    turns.sort()
    if turns:
        span = turns[-1] - turns[0]
        assert len(turns) <= 1 + (span + pacing.SAVED_S + pacing.AHEAD_S) * max_rate / 60 + 1
