"""Time-outs within the deadline."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.budget import LEAST_S, TIMEOUTS_S, may_begin, wait_s
from paravion.domain.verdict import Stage

RFC_MINIMA = {
    Stage.GREETING: 300,
    Stage.MAIL: 300,
    Stage.RCPT: 300,
    Stage.DATA: 120,
    Stage.CONTENT: 180,
    Stage.DOT: 600,
}


@pytest.mark.parametrize("stage", RFC_MINIMA)
def test_with_time_enough_the_standard_holds(stage):
    """RFC 5321 4.5.3.2: none of its time-outs is cut without need."""
    assert RFC_MINIMA[stage] <= wait_s(stage, 0.0, 10_000.0)


def test_every_stage_has_a_time_out():
    """Nothing waits for ever."""
    assert set(Stage) == set(TIMEOUTS_S)


@settings(deadline=None)
@given(st.sampled_from(Stage), st.floats(0, 1e6), st.floats(0, 1e6))
def test_deadline_wins(stage, now, deadline):
    """No wait ends after the deadline, none is negative."""
    seconds = wait_s(stage, now, deadline)
    assert 0 <= seconds <= max(0.0, deadline - now)


def test_nothing_begins_at_the_end():
    """With next to no time left no further host is tried."""
    assert may_begin(0.0, 1.0)
    assert not may_begin(1.0, 1.0 + LEAST_S / 2)
    assert not may_begin(2.0, 1.0)
