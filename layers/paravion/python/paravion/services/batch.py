"""
Work through a batch of received items, so that one item's trouble is no other's.

Used by `retry` and `bounce`; `deliver` works its batch concurrently and tells its items apart itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.domain.queue import Job, Received
    from paravion.ports import EventLog, Queues


def work_through(
    items: Sequence[Received], handle: Callable[[Job], None], *, queue: str, queues: Queues, event_log: EventLog
) -> list[str]:
    """
    Handle each item's job; whatever it raises, the item stays in its queue.

    A poison body is parked at once; what failed for an outage stays hidden and comes again later.

    Args:
        queue: The queue that the items came from; names the stage in the log.

    Returns:
        The item ids that could not be handled.
    """
    failed: list[str] = []
    for item in items:
        try:
            if item.job is None:
                event_log.emit("Fault", {"stage": queue, "error": "no job in the item: parked"})
                queues.park([item.body])
            else:
                handle(item.job)
        except Exception as exc:  # noqa: BLE001 (law 7: unknown trouble is transient)
            key = item.job.key if item.job else None
            fields = {"stage": queue, "queue_id": key.queue_id, "chunk": key.chunk} if key else {"stage": queue}
            event_log.emit("Fault", {**fields, "error": repr(exc)})
            failed.append(item.item_id)
    return failed
