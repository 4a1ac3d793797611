"""The sweep's bad minutes: whatever is wrong with one job, shard or sending, the others go out, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from paravion.adapters.in_parallel import InParallel
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import (
    LOST_AFTER_S,
    Job,
    JobKey,
    JobRecord,
    Notice,
    NoticeKind,
    State,
    due_shard,
    held,
    removed,
)
from paravion.errors import LedgerUnavailable, QueueUnavailable
from paravion.ports import QueueName
from paravion.services.admin import show_queue
from paravion.services.authenticate import Principal
from paravion.services.retry import sweep
from tests.support.world import PLAN, START, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx.a")
TAKEN = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.a")
UNKNOWN = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.a")
YOU, SENDER = "you@a.example", "me@example.org"
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0


class Failing:
    """A port of which some calls of a method fail before they do anything."""

    def __init__(self, port: Any, method: str, breaks: Callable[..., bool], error: Exception) -> None:
        self._port, self._method, self._breaks, self._error = port, method, breaks, error
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self._breaks(*args):
                raise self._error
            return call(*args, **kwargs)

        return watched if name == self._method else call


@pytest.fixture(params=["in turn", "in threads"])
def due(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    """Give a world with jobs that are due; calls are made at once as the world does it, and as the function does."""
    pool = InParallel(4)

    def given(jobs: int, **ports: Callable[[World], Failing]) -> World:
        world = World()
        for n in range(jobs):
            key = JobKey(f"q{n:04}")
            world.ledger.records[key] = JobRecord(key, START, State.DEFERRED, version=1, due_at=START - n % 7)
        if request.param == "in threads":
            world.for_retry = replace(world.for_retry, in_parallel=pool)
        world.for_retry = replace(world.for_retry, **{name: port(world) for name, port in ports.items()})
        return world

    yield given
    pool.close()


def minute(world: World) -> int | str:
    """Sweep, and let a minute pass; gives how many were sent, or what was raised."""
    try:
        return sweep(world.for_retry, lambda: 60.0)
    except Exception as exc:  # the function's error
        return type(exc).__name__
    finally:
        world.now += MINUTE_S


def lying(world: World, queue: str) -> list[str]:
    """Give whose items lie in a queue, by name."""
    return sorted(item.body.key.queue_id for item in world.queues.items[queue])


def lose(world: World) -> None:
    """Let SQS lose all that it has."""
    for items in world.queues.items.values():
        items.clear()


def faults(world: World) -> list[dict[str, Any]]:
    """Give what the log says went wrong in sweeps."""
    return [fields for event, fields in world.event_log.records if event == "Fault" and fields["stage"] == "sweep"]


# One bad thing


@pytest.mark.parametrize("error", [LedgerUnavailable("throttled"), ValueError("a bug of ours")])
def test_job_that_cannot_be_woken_holds_up_no_other(due: Callable[..., World], error: Exception) -> None:
    """All others go out in the same minute, once; it waits for the next."""
    broken = {JobKey("q0050")}
    world = due(800, ledger=lambda world: Failing(world.ledger, "wake", lambda key, *_: key in broken, error))
    assert minute(world) == 799
    assert len(set(lying(world, QueueName.DELIVERY))) == len(world.queues.items[QueueName.DELIVERY]) == 799
    assert [(fields["queue_id"], fields["error"]) for fields in faults(world)] == [("q0050", repr(error))]
    broken.clear()
    assert minute(world) == 1


def test_record_that_cannot_be_read_holds_up_no_other_and_is_parked_once(due: Callable[..., World]) -> None:
    """Of a later version after a roll-back: told of, parked, and gone on with once it can be read."""
    world = due(30)
    poison = JobKey("q0005")
    world.ledger.unreadable.add(poison)
    assert minute(world) == 30
    assert len(lying(world, QueueName.DELIVERY)) == 29
    assert lying(world, QueueName.RETRY) == [poison.queue_id]
    assert [fields["queue_id"] for fields in faults(world)] == [poison.queue_id]
    world.queues.items[QueueName.DELIVERY].clear()
    for record in world.ledger.records.values():
        world.ledger.records[record.key] = record if record.key == poison else replace(record, due_at=0.0)
    world.queues.visibility_s = 360.0
    for _ in range(4 * 24 * 10 - 1):
        world.now += 360
        world.invoke(QueueName.RETRY)
        assert not world.sweep()
    assert lying(world, QueueName.PARKED) == [poison.queue_id]
    assert len(faults(world)) == 1
    # The roll-back is over, and nobody looked into the parked queue.
    world.ledger.unreadable.clear()
    world.now += 600
    assert world.sweep() == 1
    assert lying(world, QueueName.DELIVERY) == [poison.queue_id]


def test_shard_that_cannot_be_read_holds_up_no_other(due: Callable[..., World]) -> None:
    """Its jobs wait for the next minute, the other shards' do not."""
    broken = {3}
    world = due(
        200, ledger=lambda world: Failing(world.ledger, "due", lambda shard, *_: shard in broken, LedgerUnavailable())
    )
    of_it = sum(due_shard(record) == 3 for record in world.ledger.records.values())
    assert 0 < of_it < 200
    assert minute(world) == 200 - of_it
    assert [fields["shard"] for fields in faults(world)] == [3]
    broken.clear()
    assert minute(world) == of_it


def test_jobs_that_the_queue_refuses_go_out_with_the_next_sweep(due: Callable[..., World]) -> None:
    """Not after `sweep_grace_s`; and as many calls as there are tens of jobs."""
    refused = {2}
    calls = iter(range(1, 100))
    world = due(
        40,
        queues=lambda world: Failing(world.queues, "send", lambda *_: next(calls) in refused, QueueUnavailable("no")),
    )
    world.for_retry = replace(world.for_retry, sweep_grace_s=HOUR_S)
    assert [minute(world) for _ in range(3)] == [30, 10, 0]
    assert world.for_retry.queues.calls == 5  # type: ignore[attr-defined]
    assert len(set(lying(world, QueueName.DELIVERY))) == 40 == len(world.queues.items[QueueName.DELIVERY])
    world.now = START + HOUR_S + 1
    # Nobody took them: the safety net's hour is over for all.
    assert minute(world) == 30


def test_jobs_that_can_neither_be_sent_nor_given_back_are_found_after_the_grace(due: Callable[..., World]) -> None:
    """Everything broke at once."""
    is_down = [True]

    def breaks(*_: Any) -> bool:
        return is_down[0]

    world = due(
        5,
        queues=lambda world: Failing(world.queues, "send", breaks, QueueUnavailable("no")),
        ledger=lambda world: Failing(world.ledger, "reschedule", breaks, LedgerUnavailable("no")),
    )
    assert minute(world) == "QueueUnavailable"
    is_down[0] = False
    assert minute(world) == 0
    world.now = START + world.for_retry.sweep_grace_s
    assert minute(world) == 5


@pytest.mark.parametrize(("port", "method"), [("ledger", "due"), ("ledger", "wake"), ("queues", "send")])
def test_sweep_that_gets_nothing_done_raises_and_leaves_all_due(
    due: Callable[..., World], port: str, method: str
) -> None:
    """The function's alarm must ring; and an outage does not go through the whole index for nothing."""
    is_down = [True]
    error = LedgerUnavailable("away")
    world = due(2000, **{port: lambda world: Failing(getattr(world, port), method, lambda *_: is_down[0], error)})
    assert minute(world) == "LedgerUnavailable"
    touched = {record.state for record in world.ledger.records.values() if record.due_at > START}
    assert not touched
    assert sum(record.version > 1 for record in world.ledger.records.values()) <= 800
    is_down[0] = False
    assert minute(world) == 2000


# What SQS lost


def lost_while_claimed_again(world: World) -> None:
    world.submit(YOU)
    world.run(until=START + 1)
    world.now = START + 400
    assert world.sweep() == 1
    (item,) = world.queues.items[QueueName.DELIVERY]
    assert isinstance(item.body, Job)
    world.ledger.claim(item.body, token="t", lease_until=world.now + 330)


def lost_while_tried(world: World) -> None:
    world.submit(YOU)
    world.invoke(QueueName.DELIVERY)


def lost_while_tried_again(world: World) -> None:
    world.submit(YOU)
    world.run(until=START + 1)
    world.now = START + 400
    world.sweep()
    world.invoke(QueueName.DELIVERY)


def lost_after_our_own_fault(world: World) -> None:
    queue_id = world.submit(YOU).queue_id
    qf = world.spool.envelopes.pop(queue_id)
    world.invoke(QueueName.DELIVERY)
    world.spool.envelopes[queue_id] = qf


@pytest.mark.parametrize(
    "lost", [lost_while_claimed_again, lost_while_tried, lost_while_tried_again, lost_after_our_own_fault]
)
def test_open_job_that_sqs_lost_is_found_again(lost: Callable[[World], None]) -> None:
    """Within about an hour, and it ends as it would have."""
    world = World({YOU: [BUSY, BUSY, TAKEN]})
    lost(world)
    (record,) = world.ledger.records.values()
    assert START < record.due_at <= world.now + LOST_AFTER_S
    lose(world)
    world.run(until=START + 3 * HOUR_S)
    assert world.states(record.key.queue_id) == {YOU: "delivered"}
    assert world.ledger.records[record.key].due_at == 0.0


def test_first_claim_and_a_first_delivery_touch_no_index() -> None:
    """Most mail: its first claim relies on SQS, which shows the item again (docs/decisions.md)."""
    world = World()
    world.submit(YOU)
    (item,) = world.queues.items[QueueName.DELIVERY]
    seen = []
    save = world.ledger.save

    def saved(record: JobRecord) -> JobRecord:
        seen.append(record.due_at)
        return save(record)

    world.ledger.save = saved  # type: ignore[method-assign]
    world.invoke(QueueName.DELIVERY)
    assert seen == [0.0]
    assert isinstance(item.body, Job)
    other = world.ledger.claim(Job(JobKey("fresh"), START), token="t", lease_until=START + 9)
    assert other.due_at == 0.0


def test_a_retry_keeps_the_due_time_that_stands() -> None:
    """Ready, claimed, tried: one entry of the index, which is written when it is made and when it is planned anew."""
    world = World({YOU: [BUSY]})
    lost_while_tried_again(world)
    (record,) = world.ledger.records.values()
    assert (record.state, record.due_at) == (State.TRIED, START + 400 + world.for_retry.sweep_grace_s)


@pytest.mark.parametrize("is_given_up", [False, True])
def test_report_that_sqs_lost_is_found_again(is_given_up: bool) -> None:
    """The sender hears of the failure an hour later, once, and the job leaves the index."""
    world = World({YOU: [BUSY] * 99 if is_given_up else [UNKNOWN]}, plan=replace(PLAN, return_s=HOUR_S))
    queue_id = world.submit(YOU, sender=SENDER).queue_id
    while not world.ledger.records or not world.ledger.records[JobKey(queue_id)].is_closed:
        if not (world.invoke(QueueName.DELIVERY) or world.invoke(QueueName.RETRY)):
            world.now += MINUTE_S
            world.sweep()
    record = world.ledger.records[JobKey(queue_id)]
    assert world.now < record.due_at <= world.now + LOST_AFTER_S
    lose(world)
    world.now = record.due_at
    assert world.sweep() == 1
    assert world.invoke(QueueName.RETRY)
    assert world.invoke(QueueName.BOUNCE)
    # Told: nobody looks again.
    assert world.ledger.records[record.key].due_at == 0.0
    world.run()
    assert len(world.accepted_by(SENDER)) == 1


def test_removed_job_still_owes_its_report() -> None:
    """Another recipient's failure; what owes nothing leaves the index."""
    owing = JobRecord(JobKey("q"), START, State.DEFERRED, due_at=START + 9, owed=(Notice(NoticeKind.FAILED, 1),))
    assert removed(owing, now=START + 1, by="AKIAOP").due_at == START + 9
    assert removed(replace(owing, owed=()), now=START + 1, by="AKIAOP").due_at == 0.0


def test_report_that_nobody_can_make_does_not_multiply() -> None:
    """It is parked, and tried again days later; not once more each hour."""
    world = World({YOU: [UNKNOWN]})
    queue_id = world.submit(YOU, sender=SENDER).queue_id
    world.invoke(QueueName.DELIVERY)
    world.spool.envelopes[queue_id] = b"nothing that can be read"
    world.queues.visibility_s = 360.0
    while world.now < START + 4 * DAY_S:
        for queue in (QueueName.RETRY, QueueName.BOUNCE):
            world.invoke(queue)
        world.sweep()
        world.now += 180
    assert lying(world, QueueName.PARKED) == [queue_id] * 2
    assert not world.queues.items[QueueName.BOUNCE]


def test_closed_job_that_owes_nothing_is_looked_at_once() -> None:
    """Whatever left it in the index."""
    world = World()
    key = JobKey("q")
    world.ledger.records[key] = JobRecord(key, START, State.DONE, version=1, due_at=START)
    assert world.sweep() == 1
    world.invoke(QueueName.RETRY)
    assert world.ledger.records[key].due_at == 0.0
    assert not any(world.queues.items.values())


def test_queue_shows_each_waiting_job_once_and_nothing_that_is_over_or_in_hand() -> None:
    """GET /v1/queue reads the index, where safety nets lie as well."""
    world = World()
    for state in State:
        key = JobKey(state.value)
        world.ledger.records[key] = JobRecord(key, START, state, version=1, due_at=START + 9)
    deps: Any = SimpleNamespace(ledger=world.ledger)
    operator = Principal("AKIAOP", is_operator=True)
    jobs = show_queue(100, operator, deps)["jobs"]
    assert sorted(job["queue_id"] for job in jobs) == ["deferred", "held", "ready"]
    waiting = world.ledger.waiting

    def meanwhile(limit: int, **given: bool) -> list[JobRecord]:
        found = waiting(limit, **given)
        if not given:
            # Between the two reads an operator holds one.
            record = world.ledger.records[JobKey("deferred")]
            world.ledger.records[record.key] = held(record, "odd", now=START)
        return found

    world.ledger.waiting = meanwhile  # type: ignore[assignment,method-assign]
    jobs = show_queue(100, operator, deps)["jobs"]
    assert sorted(job["queue_id"] for job in jobs) == ["deferred", "held", "ready"]


# No thundering herd


def test_jobs_that_failed_together_for_our_own_fault_do_not_come_back_together() -> None:
    """The back-off is drawn for each, as the schedule's waits are."""
    world = World()
    draws = cycle((0.0, 0.25, 0.5, 0.75))
    world.for_retry = replace(world.for_retry, jitter=lambda: next(draws))
    jobs = [Job(JobKey(world.submit(f"u{n}@a.example").queue_id), START) for n in range(4)]
    world.queues.items[QueueName.DELIVERY].clear()
    world.queues.send(QueueName.RETRY, jobs)
    world.invoke(QueueName.RETRY)
    assert [world.ledger.records[job.key].due_at - START for job in jobs] == [30.0, 30.75, 31.5, 32.25]
