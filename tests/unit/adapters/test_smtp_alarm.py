"""One timer with a moving instant: it rings at the one that was set last, whatever was set before."""

from __future__ import annotations

import asyncio

import pytest

from paravion.adapters.smtp_alarm import Alarm

NEVER: list[float] = []


class FakeLoop:
    """A clock that the test moves, and the timers on it."""

    def __init__(self):
        self.timers = []
        self.made = 0

    def call_at(self, at, call):
        self.made += 1
        timer = asyncio.TimerHandle(at, call, (), self)
        self.timers.append(timer)
        return timer

    def get_debug(self):
        return False

    def _timer_handle_cancelled(self, timer):
        self.timers.remove(timer)

    def run_until(self, at):
        while due := [timer for timer in self.timers if timer.when() <= at]:
            self.timers.remove(due[0])
            due[0]._callback()


@pytest.mark.parametrize(
    ("moves", "rings", "timers"),
    [
        ([(0, 10)], [10], 1),
        ([(0, 10), (1, 20), (2, 30)], [30], 2),  # looks at 10, and sleeps until 30
        ([(0, 10), (1, 5)], [5], 2),
        ([(0, 10), (15, 20)], [10, 20], 2),
        ([(0, 10), (1, 20), (2, 12)], [12], 2),
        ([(0, 10), (1, None)], NEVER, 1),
        ([(0, 10), (1, None), (2, 15)], [15], 2),
    ],
)
def test_alarm_rings_at_the_instant_that_was_set_last(moves, rings, timers):
    loop, rung = FakeLoop(), []
    now = 0
    alarm = Alarm(loop, lambda: rung.append(now))
    todo = dict(moves)
    for now in range(40):
        loop.run_until(now)
        if now in todo:
            alarm.end() if todo[now] is None else alarm.set(todo[now])
    assert (rung, loop.made) == (rings, timers)
