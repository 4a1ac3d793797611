"""When events that were not taken are tried again, by the setting's intervals."""

from __future__ import annotations

import pytest

from paravion import settings
from paravion.domain.event_schedule import INTERVALS_S, Rests, tries_within, wait_s
from paravion.ports import MAX_DELAY_S

SETTING = settings.BY_NAME["event_retry_intervals_s"]


@pytest.mark.parametrize(("tries", "expected"), [(1, 30), (2, 60), (5, 480), (6, 900), (100, 900)])
def test_waits_grow_and_the_last_repeats(tries: int, expected: float) -> None:
    """Without jitter the interval itself; with it up to a quarter less."""
    assert wait_s(tries, 0.0) == expected
    assert expected * 0.75 <= wait_s(tries, 0.999) < expected
    assert wait_s(tries, 0.0, (2.0,)) == 2


@pytest.mark.parametrize(
    ("waited_s", "expected"), [(0, 1), (29, 1), (30, 2), (89, 2), (90, 3), (929, 5), (930, 6), (86_400, 7)]
)
def test_tries_that_a_time_would_have_had(waited_s: float, expected: int) -> None:
    """By the same waits: what waits for a destination that is let alone waits as if it had been tried."""
    assert tries_within(waited_s) == expected


def test_destination_rests_longer_each_time_until_it_answers() -> None:
    """A sixth of the wait, two minutes at most; nobody else rests with it."""
    rests = Rests()
    for length in (5, 10, 20, 40, 80, 120, 120):
        rests.failed("a", 1000, "503")
        assert rests.rests("a", 1000 + length - 0.1) == "503"
        assert not rests.rests("a", 1000 + length)
        assert not rests.rests("b", 1000)
    rests.answered("a")
    assert not rests.rests("a", 1000)
    rests.failed("a", 1000, "503", (0.6,))
    assert not rests.rests("a", 1000.2)


def test_setting_takes_what_a_queue_can_keep_back() -> None:
    """Its default is the function's; nothing above the queue's longest delay, and nothing that decreases."""
    assert SETTING.parse(SETTING.default or "") == INTERVALS_S
    assert SETTING.parse("0.5,900") == (0.5, MAX_DELAY_S)
    for bad in ("0", "60,30", "30,901", "x", ""):
        with pytest.raises(ValueError):
            SETTING.parse(bad)
