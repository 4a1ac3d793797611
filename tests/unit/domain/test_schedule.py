"""When a job is tried again: the whole table, and what must hold for any plan."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.priority import Span
from paravion.domain.queue import JobKey, JobRecord, State
from paravion.domain.schedule import (
    ASKED_ATTEMPTS,
    ASKED_MARGIN_S,
    LIFETIME_S,
    Plan,
    after_fault_at,
    bounded,
    given_up_at,
    is_expired,
    is_warning_due,
    lifetimes,
    next_attempt_at,
    next_attempt_of_several_at,
    with_priorities,
)
from paravion.settings import BY_NAME

PLAN = Plan(
    intervals_s=BY_NAME["retry_intervals_s"].parse(BY_NAME["retry_intervals_s"].default),
    jitter_ratio=0.1,
    warn_s=14_400,
    return_s=432_000,
    fault_backoff_s=30,
)


@pytest.mark.parametrize(
    ("attempts", "wait_s"),
    [(1, 300), (2, 600), (3, 1200), (4, 2400), (5, 4800), (6, 9600), (7, 14_400), (8, 14_400), (100, 14_400)],
)
def test_waits_grow_from_five_minutes_to_four_hours(attempts: int, wait_s: float) -> None:
    """The first wait is 5 min, the longest 4 h; the last interval repeats."""
    assert next_attempt_at(0, 1000, attempts, PLAN, 0.0) == 1000 + wait_s


def test_last_attempt_is_made_when_time_is_up() -> None:
    """A wait that would pass the mail's return is cut: the last try comes at its very end."""
    assert next_attempt_at(0, 430_000, 30, PLAN, 0.5) == 432_000


def test_untried_job_is_not_scheduled() -> None:
    """An attempt count below 1 is the caller's bug."""
    with pytest.raises(ValueError, match="never tried"):
        next_attempt_at(0, 0, 0, PLAN, 0.0)


@given(st.integers(1, 10_000), st.floats(0, 432_000), st.floats(0, 0.999))
def test_next_attempt_lies_between_now_and_the_return(attempts: int, age_s: float, jitter: float) -> None:
    """Never in the past, never after the return, never sooner than the interval says (RFC 5321 4.5.4.1)."""
    at = next_attempt_at(0, age_s, attempts, PLAN, jitter)
    assert age_s <= at <= max(432_000, age_s)
    assert at >= min(age_s + 300, 432_000)


@pytest.mark.parametrize(
    ("attempts", "asked_s", "expected_s"),
    [
        pytest.param(1, [60], 60 + ASKED_MARGIN_S, id="sooner than the schedule"),
        pytest.param(4, [300], 300 + ASKED_MARGIN_S, id="sooner, later on"),
        pytest.param(1, [3600], 3600 + ASKED_MARGIN_S, id="later than the schedule"),
        pytest.param(2, [None], 600, id="nothing asked"),
        pytest.param(2, [3600, None], 600, id="one names no time"),
        pytest.param(2, [3600, 120], 120 + ASKED_MARGIN_S, id="the first of two"),
        pytest.param(1, [-5], 0, id="over already"),
        pytest.param(ASKED_ATTEMPTS + 1, [1], 9600, id="one second, for ever"),
        pytest.param(ASKED_ATTEMPTS + 1, [80_000], 80_000 + ASKED_MARGIN_S, id="later, for ever"),
    ],
)
def test_a_time_that_a_host_named_is_when_it_is_tried(
    attempts: int, asked_s: list[float | None], expected_s: float
) -> None:
    """Seconds from now."""
    asked_at = [None if wait is None else 1000 + wait for wait in asked_s]
    found = next_attempt_of_several_at(0, 1000, attempts, PLAN, 0.0, asked_at=asked_at)
    assert found == 1000 + expected_s


@given(
    st.integers(1, 20),
    st.floats(0, 432_000),
    st.floats(0, 0.999),
    st.lists(st.none() | st.floats(1, 86_400), max_size=3),
)
def test_an_asked_attempt_lies_between_now_and_the_return(
    attempts: int, age_s: float, jitter: float, waits: list[float | None]
) -> None:
    """And where all named a time, never before the first of them but for the mail's return."""
    asked_at = [None if wait is None else age_s + wait for wait in waits]
    at = next_attempt_of_several_at(0, age_s, attempts, PLAN, jitter, asked_at=asked_at)
    assert age_s <= at <= max(432_000, age_s)
    named = [wait for wait in asked_at if wait is not None]
    if named and len(named) == len(asked_at):
        assert at >= min(*named, *named, 432_000)


@pytest.mark.parametrize(("faults", "wait_s"), [(1, 30), (2, 60), (3, 120), (5, 480), (6, 900), (10_000, 900)])
def test_fault_waits_double_up_to_a_quarter_of_an_hour(faults: int, wait_s: float) -> None:
    """Our own trouble is looked at again soon, and however often it came, within 15 min."""
    assert after_fault_at(50, faults, PLAN, 0.0) == 50 + wait_s


def test_no_fault_no_wait() -> None:
    """A fault count below 1 is the caller's bug."""
    with pytest.raises(ValueError, match="no fault"):
        after_fault_at(0, 0, PLAN, 0.0)


@pytest.mark.parametrize(
    ("age_s", "warning", "expired"),
    [(14_399, False, False), (14_400, True, False), (431_999, True, False), (432_000, True, True)],
)
def test_limits_count_from_the_commit_instant(age_s: float, warning: bool, expired: bool) -> None:
    """Warned at 4 h, returned at 5 d, to the second."""
    assert (warning, expired) == (is_warning_due(7, 7 + age_s, PLAN), is_expired(7, 7 + age_s, PLAN))


DAY = 86_400.0
PLANS = with_priorities(
    PLAN,
    {"urgent": Span(0.5, is_factor=True)},
    {"urgent": Span(3600.0), "bulk": Span(math.inf)},
    {"bulk": Span(2 * DAY), "non-urgent": Span(9, is_factor=True)},
)


def job(**values):
    """A job that was committed at 1000."""
    return JobRecord(JobKey("x"), 1000.0, State.TRIED, **values)


@pytest.mark.parametrize(
    ("priority", "first_s", "warn_s", "return_s"),
    [
        ("", 300, 14_400, 5 * DAY),
        ("normal", 300, 14_400, 5 * DAY),
        ("urgent", 150, 3600, 5 * DAY),
        ("bulk", 300, math.inf, 2 * DAY),
        ("non-urgent", 300, 14_400, LIFETIME_S),
        ("dsn", 300, 14_400, 5 * DAY),
        ("unheard-of", 300, 14_400, 5 * DAY),
    ],
)
def test_a_priority_has_its_own_times(priority, first_s, warn_s, return_s):
    """Those that are named, and everybody's for the rest; never longer than the spool lasts."""
    plan = bounded(PLANS, job(priority=priority))
    assert (plan.intervals_s[0], plan.warn_s, plan.return_s) == (first_s, warn_s, return_s)
    assert not math.isinf(warn_s) or not is_warning_due(0.0, 99 * DAY, plan)
    returns = lifetimes(PLAN.return_s, {"bulk": Span(2 * DAY), "non-urgent": Span(9, is_factor=True)})
    assert given_up_at(job(priority=priority), PLAN.return_s, returns) == 1000 + return_s


ENDS = {
    "nothing": ({}, 5 * DAY),
    "configuration set": ({"max_delivery_s": 600.0}, 600),
    "a longer one": ({"max_delivery_s": 9 * DAY}, 5 * DAY),
    "deadline": ({"deliver_by_at": 1900.0, "returns_by": True}, 900),
    "deadline, hold does not move it": ({"deliver_by_at": 1900.0, "returns_by": True, "held_s": 500.0}, 400),
    "deadline behind us": ({"deliver_by_at": 900.0, "returns_by": True}, 0),
    "deadline that is only told": ({"deliver_by_at": 1900.0}, 5 * DAY),
    "the first of both": ({"deliver_by_at": 1900.0, "returns_by": True, "max_delivery_s": 300.0}, 300),
    "the other one": ({"deliver_by_at": 1100.0, "returns_by": True, "max_delivery_s": 300.0}, 100),
    "bulk": ({"priority": "bulk", "max_delivery_s": 3 * DAY}, 2 * DAY),
}


@pytest.mark.parametrize("key", ENDS)
def test_the_first_of_all_ends_counts(key):
    """Priority, configuration set, deadline; and reports tell the same instant."""
    values, return_s = ENDS[key]
    record = job(**values)
    plan = bounded(PLANS, record)
    assert plan.return_s == return_s
    assert is_expired(record.counted_from, record.counted_from + return_s, plan)
    assert given_up_at(record, PLAN.return_s, {"bulk": 2 * DAY}) == record.counted_from + return_s


@pytest.mark.parametrize(("by_s", "last_s"), [(3600, 3480), (600, 540), (20, 18)])
def test_a_short_life_has_a_last_attempt_before_its_end(by_s, last_s):
    """Two minutes, or a tenth of it: time for the sweep and the attempt. Then its end."""
    record = job(max_delivery_s=float(by_s))
    plan = bounded(replace(PLAN, intervals_s=(9999.0,)), record)
    assert next_attempt_at(1000, 1001, 1, plan, 0.5) == 1000 + last_s
    assert next_attempt_at(1000, 1000 + last_s, 2, plan, 0.5) == 1000 + by_s
    # A host that asked for more than that is not asked before.
    asked = next_attempt_of_several_at(1000, 1001, 1, plan, 0.0, asked_at=[1000.0 + last_s + 1])
    assert asked > 1000 + last_s + 1 or asked == 1000 + by_s


@given(
    st.sampled_from(["", "urgent", "non-urgent", "bulk", "dsn"]),
    st.sampled_from([0.0, 60.0, 5000.0, 9 * DAY]),
    st.lists(st.tuples(st.floats(0, 0.999), st.none() | st.floats(1, 90_000)), min_size=90, max_size=90),
)
def test_a_life_of_attempts(priority, max_delivery_s, draws):
    """
    Whatever hosts ask for and whatever is drawn: attempts follow each other, none is earlier than a host asked for but
    for the mail's end, none is behind that, and the last one is there.
    """
    record = job(priority=priority, max_delivery_s=max_delivery_s)
    plan = bounded(PLANS, record)
    end = 1000 + plan.return_s
    now, attempts = 1000.0, 1
    for jitter, asked_s in draws:
        if is_expired(1000.0, now, plan):
            break
        asked_at = None if asked_s is None else now + asked_s
        at = next_attempt_of_several_at(1000.0, now, attempts, plan, jitter, asked_at=[asked_at])
        assert now < at <= end
        if asked_at is not None:
            assert at >= min(asked_at, end)
        elif at < end and (not plan.last_try_s or at < 1000 + plan.last_try_s):
            wait = plan.intervals_s[min(attempts, len(plan.intervals_s)) - 1]
            assert wait * 0.999 <= at - now <= wait * (1 + plan.jitter_ratio) * 1.001
        now, attempts = at, attempts + 1
    assert now == end or attempts == len(draws) + 1


@pytest.mark.parametrize("priority", ["", "normal"])
def test_normal_is_what_says_nothing(priority):
    """Its times are those of most mail."""
    returns = {"normal": Span(3600.0)}
    plan = with_priorities(PLAN, {"normal": Span(2.0, is_factor=True)}, {}, returns)
    own = bounded(plan, job(priority=priority))
    assert (own.return_s, own.intervals_s[0]) == (3600.0, 2 * PLAN.intervals_s[0])
    assert given_up_at(job(priority=priority), PLAN.return_s, lifetimes(PLAN.return_s, returns)) == 1000 + 3600.0
