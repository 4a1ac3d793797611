"""The sender is warned when it is time, not with whatever attempt comes after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paravion.domain.envelope import DeliverBy, decode_qf
from paravion.domain.outcome import PACED, Outcome, Result
from paravion.domain.queue import State
from paravion.domain.schedule import Plan
from paravion.ports import QueueName
from paravion.settings import BY_NAME, RetrySettings
from tests.support.world import PLAN, START, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx.a")
IN_A_DAY = Outcome(Result.DEFERRED, "4.2.1", 450, "mailbox inactive for 24 hours, try later", "RCPT", "mx.a")
YOU, SENDER = "you@a.example", "me@example.org"
HOUR_S, MINUTE_S = 3600.0, 60.0


def default_plan() -> Plan:
    """Give the plan under the default settings."""
    known = {name: BY_NAME[name] for name in RetrySettings.__annotations__}
    return RetrySettings(**{name: setting.parse(setting.default or "") for name, setting in known.items()}).plan()


def told_at(world: World) -> list[float]:
    """Give when each delay report was made, from the start."""
    reports = []
    for octets in world.spool.envelopes.values():
        envelope, _ = decode_qf(octets)
        if envelope.kind == "dsn" and b"Action: delayed" in world.spool.bodies[envelope.df_id]:
            reports.append(envelope.queued_at - START)
    return reports


def attempts_at(world: World, queue_id: str) -> list[float]:
    """Give when each attempt ended, from the start."""
    (record,) = world.ledger.load_message(queue_id)
    return [entry.at - START for entry in record.log if entry.event == "deferred"]


@pytest.mark.parametrize("reply", [BUSY, IN_A_DAY], ids=["by the schedule", "a host that wants a day"])
@pytest.mark.parametrize(("priority", "after_s"), [("", 4), ("urgent", 1), ("non-urgent", 12)])
def test_sender_is_warned_when_the_setting_says(reply: Outcome, priority: str, after_s: int) -> None:
    """Under the default settings: within a sweep's interval, and no host is asked sooner or more often for it."""
    world = World({YOU: [reply] * 99}, plan=default_plan())
    queue_id = world.submit(YOU, sender=SENDER, priority=priority).queue_id
    world.run(until=START + 50 * HOUR_S)
    (told,) = told_at(world)
    assert after_s * HOUR_S <= told <= after_s * HOUR_S + MINUTE_S
    silent = World({YOU: [reply] * 99}, plan=default_plan())
    other = silent.submit(YOU, sender="", priority=priority).queue_id
    silent.run(until=START + 50 * HOUR_S)
    assert attempts_at(world, queue_id) == attempts_at(silent, other)
    assert told_at(silent) == []


def test_late_look_is_followed_by_the_attempt_that_is_due() -> None:
    """The sweep stood still over both times: told and tried, and that counts as no fault of ours."""
    world = World({YOU: [BUSY] * 9}, plan=replace(PLAN, warn_s=400.0))
    queue_id = world.submit(YOU, sender=SENDER).queue_id
    world.run(until=START + 320)
    assert len(attempts_at(world, queue_id)) == 2
    world.now = START + 400
    assert world.sweep() == 1
    assert len(world.queues.items[QueueName.RETRY]) == 1
    world.now = START + 2 * HOUR_S
    world.invoke(QueueName.RETRY)
    (record,) = world.ledger.load_message(queue_id)
    assert (record.state, record.due_at, record.faults, record.warned) == (State.DEFERRED, world.now, 0, True)
    assert world.sweep() == 1
    assert len(world.queues.items[QueueName.DELIVERY]) == 1


def test_report_costs_no_look() -> None:
    """Nobody is told of its delay, so nobody wakes it before its attempt, whatever the setting says."""
    world = World({YOU: [BUSY] * 9}, plan=replace(PLAN, warn_s=100.0))
    queue_id = world.submit(YOU, sender="").queue_id
    world.run(until=START + 1)
    (record,) = world.ledger.load_message(queue_id)
    assert (record.due_at, record.tries_at) == (START + 315, 0.0)


def test_warning_before_the_deadline_leaves_the_look_at_it() -> None:
    """Two words before one attempt: each at its time."""
    world = World({YOU: [IN_A_DAY] * 9}, plan=replace(PLAN, warn_s=900.0))
    world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 3000))
    world.run(until=START + 10 * HOUR_S)
    assert told_at(world) == [900.0, 3000.0]


def test_warning_does_not_wait_for_a_turn() -> None:
    """A turn at a host comes by the queue's delay, up to a quarter of an hour; the sender is told in time."""
    turn = Outcome(Result.DEFERRED, "4.4.5", 0, "its turn", PACED, "mx.a", not_before=START + 800)
    world = World({YOU: [turn, BUSY]}, plan=replace(PLAN, warn_s=500.0))
    queue_id = world.submit(YOU, sender=SENDER).queue_id
    world.run(until=START + 790)
    assert told_at(world) == [500.0]
    (record,) = world.ledger.load_message(queue_id)
    assert (record.state, record.due_at, record.attempts) == (State.DEFERRED, START + 800, 1)
