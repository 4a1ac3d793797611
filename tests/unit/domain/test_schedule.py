"""When a job is tried again: the whole table, and what must hold for any plan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.schedule import Plan, after_fault_at, is_expired, is_warning_due, next_attempt_at
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
