"""
Put a finished message on the road: store df and qf, then enqueue its jobs. The commit instant is here.

Used by `validate` for what people submit and by `bounce` for reports. Before the enqueueing nothing was
promised, and an orphaned object is swept by the spool's expiry; after it the message ends as delivered,
returned or removed by an operator.

A repeat under the same queue id (an idempotency key, a bounce that broke off half-way) finds its objects,
enqueues again and is one message all the same: the ledger hands out a recipient only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paravion.domain.envelope import Envelope, decode_qf, encode_qf
from paravion.domain.queue import Job, JobKey
from paravion.domain.status import IDEMPOTENCY_CONFLICT, Rejected
from paravion.errors import SpoolConflict
from paravion.ports import MAX_DELAY_S, QueueName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.domain.message import LargeBody
    from paravion.ports import Queues, Spool


@dataclass(frozen=True, slots=True)
class CommitDeps:
    """
    What a commit needs.

    Attributes:
        in_parallel: Calls each function, at once where that pays, and gives their results in order;
            raises the first exception once all have ended.
    """

    spool: Spool
    queues: Queues
    in_parallel: Callable[[Sequence[Callable[[], Any]]], list[Any]]


def commit(
    envelope: Envelope, header: bytes, body: bytes | LargeBody | None, deps: CommitDeps
) -> tuple[Envelope, bool]:
    """
    Keep a message for good.

    Args:
        envelope: Its queue id names the objects; its digest tells a repeat from another message.
        header: As it will be sent, without the empty line; body: as it will be sent, or a draft of the spool's with
            it; None when it lies there already.

    Returns:
        The envelope that is kept (the first one, on a repeat), and whether this was a repeat.

    Raises:
        Rejected: idempotency_conflict: the queue id belongs to another message.
        Unavailable: Nothing is promised; a repeat under the same queue id is safe. Of a message of several
            jobs some may be enqueued all the same: a caller who repeats without an idempotency key doubles those.
    """
    queue_id, qf = envelope.queue_id, encode_qf(envelope, header)
    try:
        if body is None:
            existing = deps.spool.put_envelope(queue_id, qf)
        else:
            _, existing = deps.in_parallel(
                (lambda: deps.spool.put_body(queue_id, body), lambda: deps.spool.put_envelope(queue_id, qf))
            )
    except SpoolConflict as exc:
        raise Rejected(IDEMPOTENCY_CONFLICT) from exc
    kept = envelope
    if existing is not None:
        kept, _ = decode_qf(existing)
        if kept.digest != envelope.digest:
            raise Rejected(IDEMPOTENCY_CONFLICT)
    # The commit instant. A crash before it: nothing was promised. After it, before the answer: the caller
    # repeats, and the same id makes it one message.
    enqueue(kept, deps)
    return kept, existing is not None


def enqueue(kept: Envelope, deps: CommitDeps) -> None:
    """
    Enqueue every job of a message that lies in the spool, and of its parts.

    Raises:
        QueueUnavailable: Some may be enqueued; doing it again is safe.
    """
    # What is released later than a queue can keep it back is for `retry`, which decides about time.
    wait_s = max(0.0, kept.release_at - kept.queued_at)
    is_long = wait_s > MAX_DELAY_S
    deps.queues.send(
        QueueName.RETRY if is_long else QueueName.DELIVERY,
        [
            Job(JobKey(queue_id, chunk), kept.queued_at)
            for queue_id, chunks in ((kept.queue_id, kept.chunk_count), *kept.parts)
            for chunk in range(chunks)
        ],
        delay_s=0.0 if is_long else wait_s,
    )
