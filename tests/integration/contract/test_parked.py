"""ports.Parked, on every implementation."""

from __future__ import annotations

from typing import Any

from paravion.domain.queue import Job, JobKey
from paravion.ports import QueueName

JOB = Job(JobKey("q" * 26, 3), 1_800_000_000.125)


def test_a_look_shows_all_and_takes_nothing(parked_bench: Any) -> None:
    """Jobs and what is none; put back, they are there again under the same ids."""
    queues, parked = parked_bench
    queues.send(QueueName.PARKED, [JOB])
    queues.park([f"text {n}" for n in range(23)])
    first = parked.look(100)
    assert len({item.item_id for item in first}) == 24
    assert [item.job for item in first if item.job is not None] == [JOB]
    assert sorted(item.body for item in first if item.job is None) == sorted(f"text {n}" for n in range(23))
    assert all(item.sent_at > 0 for item in first)
    parked.put_back(first)
    again = parked.look(100)
    assert {(item.item_id, item.body) for item in again} == {(item.item_id, item.body) for item in first}
    parked.put_back(again)
    assert len(parked.look(5)) == 5


def test_what_is_dropped_is_gone_and_dropping_again_is_no_error(parked_bench: Any) -> None:
    """The others stay."""
    queues, parked = parked_bench
    queues.park([f"text {n}" for n in range(15)])
    items = parked.look(100)
    parked.drop(items[:12])
    parked.drop(items[:12])
    parked.put_back(items)
    assert {item.item_id for item in parked.look(100)} == {item.item_id for item in items[12:]}
    parked.put_back([])
    parked.drop([])


def test_empty_queue_has_nothing(parked_bench: Any) -> None:
    """As it should be."""
    assert parked_bench[1].look(10) == []
