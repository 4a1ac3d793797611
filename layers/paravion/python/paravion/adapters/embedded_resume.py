"""
What a start makes of what the last process left: nobody else receives, claims and sweeps, so nothing is under way.

    left                                         becomes
    -------------------------------------------  -----------------------------------------------------------
    claimed, with a lease                        its lease is over: `retry` tries it again, without waiting
    waiting for its safety net, and no item      due now: the process died between the sweep's write and its
    lies in the delivery or retry queue          enqueueing; on the cloud it would wait `sweep_grace_s`
    closed, with a report owed, and no item      due now
    lies in these or in the bounce queue
    an item of `retry`'s that waits for the      visible now: nobody has that lease
    end of a lease
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    import sqlite3

    from paravion.adapters.embedded_database import Database


def resume(database: Database) -> int:
    """
    Make what is left of the last process ready to go on; before anything else works on the directory.

    Returns:
        How many jobs were under way.

    Raises:
        LedgerUnavailable
    """

    def work(connection: sqlite3.Connection) -> int:
        broken_off = connection.execute(
            # A claimed job lies in a queue, or has a due time for a safety net.
            "UPDATE job SET lease_until = 0 WHERE state = 'claimed' AND lease_until > 0"
            " AND (due_at > 0 OR (queue_id, chunk) IN (SELECT job, chunk FROM item WHERE queue IN (0, 1)))"
        ).rowcount
        connection.execute(
            "UPDATE item SET visible_at = 0 WHERE queue = 1 AND visible_at > 0 AND EXISTS (SELECT 1 FROM job"
            " WHERE job.queue_id = item.job AND job.chunk = item.chunk AND job.state <> 'ready')"
        )
        connection.execute(
            "UPDATE job SET due_at = 1 WHERE due_at > 0 AND state IN ('ready', 'tried', 'claimed')"
            " AND (queue_id, chunk) NOT IN (SELECT job, chunk FROM item WHERE queue IN (0, 1))"
        )
        connection.execute(
            "UPDATE job SET due_at = 1 WHERE due_at > 0 AND state IN ('done', 'removed')"
            " AND (queue_id, chunk) NOT IN (SELECT job, chunk FROM item WHERE queue IN (0, 1, 2))"
        )
        return broken_off

    return database.write(work, LedgerUnavailable)
