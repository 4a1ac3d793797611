"""ports.Queues and ports.Secrets, on every implementation; and the wire form of a job."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.adapters.sqs_queues import decode_job, encode_job, partial_batch_response, read_batch
from paravion.domain.queue import Job, JobKey
from paravion.ports import QueueName


def test_jobs_arrive_as_they_were_sent(queue_bench: Any) -> None:
    """One, and more than a batch holds."""
    jobs = [Job(JobKey("q" * 26, chunk), 1_800_000_000.125) for chunk in range(23)]
    queue_bench.queues.send(QueueName.DELIVERY, jobs[:1])
    queue_bench.queues.send(QueueName.DELIVERY, jobs[1:])
    seen: list[Job] = []
    while batch := queue_bench.receive():
        seen += [job for _, job in batch]
    assert sorted(seen, key=lambda job: job.key.chunk) == jobs


@pytest.mark.parametrize("count", [1, 3])
def test_delayed_jobs_are_not_received_before_their_time(queue_bench: Any, count: int) -> None:
    """Whole seconds, rounded up; the others are there at once."""
    jobs = [Job(JobKey("q" * 26, chunk), 1.0) for chunk in range(count)]
    queue_bench.queues.send(QueueName.DELIVERY, jobs, delay_s=899.5)
    assert queue_bench.receive() == []
    queue_bench.queues.send(QueueName.DELIVERY, jobs, delay_s=0.0)
    assert len(queue_bench.receive()) == count


def test_texts_arrive_however_many_and_large(queue_bench: Any) -> None:
    """More than a call takes, by number and by octets; none of them is a job."""
    queue_bench.queues.send_texts(QueueName.DELIVERY, ["x" * 120_000] * 3 + ["{}"] * 11)
    queue_bench.queues.send_texts(QueueName.DELIVERY, ["later"], delay_s=60.0)
    seen: list[Job | None] = []
    while batch := queue_bench.receive():
        seen += [job for _, job in batch]
    assert seen == [None] * 14


def test_released_item_is_visible_at_once(queue_bench: Any) -> None:
    """A failed item does not wait for its visibility to end."""
    job = Job(JobKey("q" * 26), 1.0)
    queue_bench.queues.send(QueueName.DELIVERY, [job])
    ((receipt, _),) = queue_bench.receive()
    assert queue_bench.receive() == []
    queue_bench.queues.release(QueueName.DELIVERY, [receipt])
    # Off the cloud the dead-letter queue is wired in: one reception is all that the delivery queue allows.
    if queue_bench.retry:
        assert queue_bench.receive() == []
        assert queue_bench.retry() == [job]
    else:
        assert [job for _, job in queue_bench.receive()] == [job]


def test_release_of_a_stale_receipt_is_swallowed(queue_bench: Any) -> None:
    """Best effort."""
    queue_bench.queues.release(QueueName.DELIVERY, ["nonsense"])


@given(st.text(min_size=1), st.integers(0, 10_000), st.floats(0, 1e11))
def test_job_survives_its_text(queue_id: str, chunk: int, queued_at: float) -> None:
    """Round trip."""
    job = Job(JobKey(queue_id, chunk), queued_at)
    assert decode_job(encode_job(job)) == job


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", '"x"', "{}", '{"queue_id": "a"}', '{"queue_id": 1, "chunk": 0, "queued_at": 1}',
        '{"queue_id": "", "chunk": 0, "queued_at": 1}', '{"queue_id": "a", "chunk": -1, "queued_at": 1}',
        '{"queue_id": "a", "chunk": true, "queued_at": 1}', '{"queue_id": "a", "chunk": 0, "queued_at": "now"}',
        "[" * 10_000,
    ],
    ids=lambda text: text[:30] or "empty",
)  # fmt: skip
def test_anything_else_is_no_job(text: str) -> None:
    """A poison body is told apart, whatever it is."""
    assert decode_job(text) is None


def test_batch_answers_name_what_failed() -> None:
    """Lambda's partial batch response."""
    record = {"messageId": "m1", "receiptHandle": "r1", "body": '{"queue_id":"a","chunk":0,"queued_at":1}'}
    (item,) = read_batch({"Records": [record]})
    assert (item.item_id, item.receipt, item.job) == ("m1", "r1", Job(JobKey("a"), 1.0))
    assert partial_batch_response([]) == {"batchItemFailures": []}
    assert partial_batch_response(["m1"]) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_secret_is_read_as_written(secret_store: Any) -> None:
    """Absent, written, overwritten."""
    assert secret_store.get("credentials/NONE") is None
    secret_store.put("credentials/AKIA1", "one")
    assert secret_store.get("credentials/AKIA1") == "one"
    secret_store.put("credentials/AKIA1", "two")
    assert secret_store.get("credentials/AKIA1") == "two"
