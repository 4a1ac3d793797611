"""domain/quota.py: what may be sent in a day and in a second."""

from __future__ import annotations

import random

import pytest

from paravion.domain.quota import Limit, Quota, Short, State, Want, decide, given_back, hour_of, sent

NOW = 1_800_000_000.0
HOUR = hour_of(NOW)


def run(quota, wants, *, now=NOW, state=None):
    """Take messages one after the other; gives which passed, and the state."""
    state, passed = state or State(), []
    for at, count in wants:
        decision = decide(state, Want(count, count), quota, now + at)
        passed.append(not isinstance(decision, Short))
        state = state if isinstance(decision, Short) else decision
    return passed, state


@pytest.mark.parametrize(("quota", "wants", "passed"), [
    (Quota(3), [(0, 1), (0, 1), (0, 1), (0, 1)], [True, True, True, False]),
    # As in SES: any room left lets a whole message pass.
    (Quota(3), [(0, 2), (0, 5), (0, 1)], [True, True, False]),
    (Quota(0), [(0, 1)], [False]),
    # What is older than 24 hours is forgotten, an hour later at most.
    (Quota(2), [(0, 2), (86_399, 1), (90_000, 1)], [True, False, True]),
    # A second's worth at once after a pause, then by the rate.
    (Quota(max_send_rate=2), [(0, 1)] * 4 + [(0.4, 1), (0.5, 1), (0.5, 1)], [True] * 3 + [False, False, True, False]),
    # SES's example: five recipients at one a second are taken, and waited for.
    (Quota(max_send_rate=1), [(0, 5), (1, 1), (3.9, 1), (4, 1)], [True, False, False, True]),
    (Quota(max_send_rate=0.5), [(0, 1), (0.5, 1), (1, 1)], [True, False, True]),
])  # fmt: skip
def test_limits(quota, wants, passed):
    """By example."""
    assert run(quota, wants)[0] == passed


def test_who_is_short_is_told_how_long():
    """The wait is enough, and nothing is counted of what was refused."""
    _, state = run(Quota(max_send_rate=1), [(0, 5)])
    short = decide(state, Want(1, 1), Quota(max_send_rate=1), NOW)
    assert short == Short(Limit.RATE, 4.0)
    state = State({HOUR - 24: 3, HOUR - 3: 4, HOUR: 2})
    short = decide(state, Want(1, 1), Quota(5), NOW)
    assert isinstance(short, Short)
    assert short.limit is Limit.DAY
    assert not isinstance(decide(state, Want(1, 1), Quota(5), NOW + short.wait_s), Short)
    assert isinstance(decide(state, Want(1, 1), Quota(5), NOW + short.wait_s - 1), Short)
    assert decide(State(), Want(1, 1), Quota(0), NOW) == Short(Limit.DAY, 86_400.0)


def test_simulated_recipients_do_not_count_for_the_day():
    """They pass a day that is full, and count for the rate."""
    quota = Quota(1, 1)
    state = decide(State({HOUR: 1}), Want(0, 3), quota, NOW)
    assert isinstance(state, State)
    assert sent(state, NOW) == 1
    assert decide(state, Want(0, 1), quota, NOW) == Short(Limit.RATE, 2.0)


def test_an_instant_of_a_wrong_clock_or_an_old_rate_means_nothing():
    """It would shut a tenant out for as long as it is away."""
    state = State({}, int((NOW + 10_000_000) * 1_000_000))
    assert not isinstance(decide(state, Want(1, 1), Quota(max_send_rate=10), NOW), Short)


def test_given_back_and_forgotten():
    """What was not kept does not count; hours that count no more are dropped."""
    _, state = run(Quota(10), [(0, 4)], state=State({HOUR - 30: 7}))
    assert state.hours == {HOUR: 4}
    assert sent(given_back(state, 3, NOW), NOW) == 1


def test_never_more_than_the_limit_and_one_message():
    """Over any window, whatever comes."""
    draws = random.Random(7)
    for rate in (0.5, 3, 50):
        wants, at = [], 0.0
        for _ in range(400):
            at += draws.expovariate(rate)
            wants.append((at, draws.choice((1, 1, 1, 5))))
        passed, _ = run(Quota(max_send_rate=rate), wants)
        taken = [want for want, ok in zip(wants, passed, strict=True) if ok]
        for first in range(0, len(taken), 7):
            for window in (1, 5, 20):
                start = taken[first][0]
                assert sum(n for t, n in taken if start <= t < start + window) <= rate * (window + 1) + 5 + 1e-6
        assert sum(n for _, n in taken) >= 0.6 * rate * at
