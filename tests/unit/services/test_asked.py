"""Hosts that name a time are asked then, whoever else the mail is for; operators and the last attempt ask everybody."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from paravion.domain import asked
from paravion.domain.classification import asked_wait_s
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, RecipientState, State, flushed, released, requeued
from paravion.domain.schedule import ASKED_MARGIN_S, ASKED_MIN_S, Plan, last_attempt_from, next_attempt_at
from paravion.ports import QueueName
from tests.support.world import PLAN, START, Crash, Saboteur, World

A, B, C = "a@a.example", "b@b.example", "c@c.example"
KEY = JobKey("x")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx.a")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.a")
DAY = 86_400.0


def later(seconds):
    """A host that names a time."""
    return Outcome(Result.DEFERRED, "4.7.1", 451, f"Greylisted, try again in {seconds} seconds", "RCPT", "mx.b")


def try_once(world):
    """An attempt, and the plan for the next."""
    for queue in (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY):
        world.invoke(queue)


def asked_times(world, queue_id, position):
    """When a recipient was asked, in seconds from the submission."""
    log = world.ledger.load(JobKey(queue_id)).log
    return [round(e.at - START) for e in log if position in e.recipients and e.event != "expired"]


def test_who_named_a_time_is_asked_then_and_the_others_by_the_schedule():
    """An hour for one of two: he is asked at 0 and after the hour; the other after 5, 10, 20 minutes as ever."""
    world = World({A: [BUSY] * 6 + [OK], B: [later(3600), OK]})
    queue_id = world.submit(A, B).queue_id
    world.run()
    first, second = asked_times(world, queue_id, 0), asked_times(world, queue_id, 1)
    assert first[:4] == [0, 315, 945, 2205]
    assert second[0] == 0
    assert 3600 <= second[1] < 3600 * 1.05 + 60
    assert len(second) == 2
    assert world.states(queue_id) == {A: "delivered", B: "delivered"}


def test_several_who_named_times_are_each_asked_at_his():
    """Whoever is due first brings the job; nobody else is asked for it."""
    world = World({A: [later(120), OK], B: [later(3600), OK], C: [later(1200), OK]})
    queue_id = world.submit(A, B, C).queue_id
    world.run()
    waits = [asked_times(world, queue_id, n)[1] for n in range(3)]
    for wait, named in zip(waits, (120, 3600, 1200), strict=True):
        assert named <= wait < named * 1.06 + 62
    assert world.ledger.load(JobKey(queue_id)).attempts == 4


@pytest.mark.parametrize("act", ["flush", "requeue", "release"])
def test_an_operator_asks_everybody(act):
    """Before his time, once; the next time that his host names counts again."""
    world = World({A: [BUSY, BUSY, OK], B: [later(3600), later(3600), OK]})
    queue_id = world.submit(A, B).queue_id
    try_once(world)
    record = world.ledger.load(JobKey(queue_id))
    if act == "flush":
        record = flushed(record, look_at=world.now + 900, now=world.now, by="op")
    elif act == "requeue":
        record = requeued(record, look_at=world.now + 900, now=world.now, by="op")
    else:
        record = released(replace(record, state=State.HELD, held_at=world.now), now=world.now, by="op")
    world.ledger.save(record)
    if act == "release":
        world.sweep()
    else:
        world.queues.send(QueueName.DELIVERY, [Job(record.key, record.queued_at)])
    world.invoke(QueueName.DELIVERY)
    assert asked_times(world, queue_id, 1) == [0, 0]
    assert not world.ledger.load(JobKey(queue_id)).asks_all
    world.run()
    assert len(asked_times(world, queue_id, 1)) == 3
    assert asked_times(world, queue_id, 1)[2] >= 3600


def test_an_operators_attempt_that_broke_off_is_made_up_for():
    """His wish stands until an attempt has ended."""
    saboteur = Saboteur()
    world = World({A: [later(3600), OK]}, saboteur=saboteur)
    queue_id = world.submit(A).queue_id
    try_once(world)
    record = flushed(world.ledger.load(JobKey(queue_id)), look_at=world.now + 900, now=world.now, by="op")
    world.ledger.save(record)
    world.queues.send(QueueName.DELIVERY, [Job(record.key, record.queued_at)])
    saboteur.at, saboteur.error = len(saboteur.calls) + 1, Crash
    world.invoke(QueueName.DELIVERY)
    assert world.crashes == 1
    world.run()
    assert asked_times(world, queue_id, 0)[1] < 1800


def test_the_last_attempt_is_of_everybody():
    """A host that names more than is left is asked once more when the time is up; then he is given up."""
    world = World({A: [BUSY] * 500, B: [later(80_000)] * 50})
    queue_id = world.submit(A, B).queue_id
    world.run()
    times = asked_times(world, queue_id, 1)
    assert times[-1] == PLAN.return_s
    assert all(80_000 <= after - before for before, after in pairwise(times[:-1]))
    assert world.states(queue_id) == {A: "failed", B: "failed"}


def test_the_last_attempt_of_a_short_life_is_of_everybody():
    """Two minutes before the end of a configuration set's MaxDeliverySeconds."""
    world = World({A: [BUSY] * 50, B: [later(7000)] * 50})
    world.records.put("configuration-set", "brief", {"DeliveryOptions": {"MaxDeliverySeconds": 3600}})
    queue_id = world.submit(A, B, configuration_set="brief").queue_id
    world.run()
    times = asked_times(world, queue_id, 1)
    assert times[0] == 0
    assert len(times) == 2
    assert 3360 <= times[1] <= 3600


def test_a_job_that_broke_off_comes_back_when_somebody_may_be_asked():
    """One was delivered and recorded, then the worker died: the other is not asked for that before his time."""
    world = World({A: [later(3600), OK]})
    queue_id = world.submit(A).queue_id
    world.invoke(QueueName.DELIVERY)
    record = world.ledger.load(JobKey(queue_id))
    world.ledger.save(replace(record, state=State.CLAIMED, token="gone", lease_until=world.now))
    world.invoke(QueueName.DELIVERY)  # finds nothing: its item goes to the dead-letter queue
    world.invoke(QueueName.RETRY)
    assert world.ledger.load(JobKey(queue_id)).due_at == START + 3600 + ASKED_MARGIN_S


def state(outcome, at=1000.0, attempt=1):
    """What the ledger knows of somebody."""
    return RecipientState("b@b.example", outcome, at, attempt)


def job(*states, **values):
    """A job of three recipients."""
    known = dict(enumerate(states))
    return JobRecord(KEY, 1000.0, State.CLAIMED, recipient_count=3, recipients=known, **values)


DUE = {
    "nobody tried": (job(), 0.0, [0, 1, 2]),
    "one is not due": (job(state(BUSY), state(later(300))), 1299.9, [0, 2]),
    "at his time": (job(state(BUSY), state(later(300))), 1300.0, [0, 1, 2]),
    "two of three": (job(state(later(100)), state(later(300)), state(later(200))), 1250.0, [0, 2]),
    "early by another's clock": (job(state(later(100)), state(later(300)), state(later(100))), 1099.0, [0, 2]),
    "an operator wants it": (job(state(BUSY), state(later(300)), asks_all=True), 1001.0, [0, 1, 2]),
    "the last attempt": (job(state(BUSY), state(later(300)), last_at=1100.0), 1100.0, [0, 1, 2]),
    "before the last attempt": (job(state(BUSY), state(later(300)), last_at=1100.0), 1099.0, [0, 2]),
}


@pytest.mark.parametrize("key", DUE)
def test_who_is_asked(key):
    """By the record and the clock alone."""
    record, now, expected = DUE[key]
    assert list(asked.due_positions(record, [0, 1, 2], now)) == expected


FIRST = {
    "nobody tried": (job(), 0.0),
    "somebody untried": (job(state(later(300))), 0.0),
    "somebody at any time": (job(state(BUSY), state(later(300)), state(OK)), 0.0),
    "all named times": (job(state(later(400)), state(later(300)), state(OK)), 1300.0 + ASKED_MARGIN_S),
    "the last attempt is before": (job(state(later(400)), state(OK), state(OK), last_at=1350.0), 1350.0),
    "an operator wants it": (job(state(later(400)), state(OK), state(OK), asks_all=True), 0.0),
}


@pytest.mark.parametrize("key", FIRST)
def test_before_when_there_is_nobody_to_ask(key):
    """0: now."""
    record, expected = FIRST[key]
    assert asked.first_due_at(record) == expected


@pytest.mark.parametrize(("named", "waits"), [(1, ASKED_MIN_S), (59, ASKED_MIN_S), (61, 61.0)])
def test_a_named_time_is_at_least_a_minute_away(named, waits):
    """A host that says "in one second" gets no five attempts in ten seconds."""
    assert asked_wait_s(later(named)) == named
    assert asked.asked_at(state(later(named))) == 1000.0 + waits
    assert asked.asked_at(state(BUSY)) is None


@pytest.mark.parametrize("last_try_s", [0.0, 3480.0])
def test_what_the_last_attempt_is_follows_from_the_schedule(last_try_s):
    """From that instant on an attempt's next would come at the end, or not at all; before it, earlier."""
    plan = Plan((10.0,), 0.0, DAY, 3600.0, 30.0, last_try_s=last_try_s)
    at = last_attempt_from(5000.0, plan)
    assert at == 5000.0 + (3360.0 if last_try_s else 3600.0)
    far = replace(plan, intervals_s=(DAY,))
    assert next_attempt_at(5000.0, at + 1, 3, far, 0.0) == max(8600.0, at + 1)
    assert next_attempt_at(5000.0, at - 1, 3, far, 0.0) == 5000.0 + (last_try_s or 3600.0)
