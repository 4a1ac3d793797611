"""Operators' acts by selection on every ledger: what pages, races and places come to outside memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from paravion.adapters.memory import MemoryEventLog, MemoryHosts, MemoryQueues, MemorySpool
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey, JobRecord, RecipientState, State
from paravion.domain.selection import parse
from paravion.ports import QueueName
from paravion.services.authenticate import Principal
from paravion.services.cancel import Cancel
from paravion.services.commit import CommitDeps
from paravion.services.flush import Flush, Requeue
from paravion.services.hold import Hold, Release
from paravion.services.operations import list_operations
from paravion.services.select import act_on_selection

NOW = 1_800_000_000.0
OPERATOR = Principal("AKIAOP", is_operator=True)
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx.a")


def test_acts_by_selection_meet_each_job_once(ledger: Any, records: Any) -> None:
    """In small steps, from part to part of the index; the sum is listed, and a cancelled job is due at once."""
    at = SimpleNamespace(now=NOW)
    queues = MemoryQueues(lambda: NOW)
    spool = MemorySpool()
    deps: Any = SimpleNamespace(
        ledger=ledger, records=records, spool=spool, hosts=MemoryHosts(lambda: NOW), event_log=MemoryEventLog(),
        to_commit=CommitDeps(spool, queues, lambda calls: [call() for call in calls]), clock=lambda: at.now,
        settings=SimpleNamespace(sweep_grace_s=900.0), new_token=iter("abcdefgh").__next__,
    )  # fmt: skip
    for n in range(9):
        path = f"u@{'a' if n % 3 else 'b'}.example"
        ledger.save(
            JobRecord(
                JobKey(chr(97 + n) * 26), NOW - 600, State.DEFERRED, attempts=1, due_at=NOW + 100.125 * n + 60,
                recipient_count=1, reverse_path="me@x.example", recipients={0: RecipientState(path, BUSY, NOW, 1)},
            )
        )  # fmt: skip

    def all_of(act: Any) -> tuple[int, int]:
        at.now += 1
        matched, changed, after = 0, 0, ""
        while after is not None:
            told = act_on_selection(act, parse("a.example"), OPERATOR, deps, limit=2, after=after)
            matched, changed, after = matched + told["matched"], changed + told["changed"], told["after"]
        return matched, changed

    assert all_of(Hold("odd", OPERATOR, deps)) == (6, 6)
    assert all_of(Release("", OPERATOR, deps)) == (6, 6)
    assert all_of(Flush("", OPERATOR, deps)) == (6, 6)
    assert all_of(Flush("", OPERATOR, deps)) == (6, 0)
    assert len(queues.items[QueueName.DELIVERY]) == 6
    assert all_of(Hold("odd", OPERATOR, deps)) == (6, 6)
    assert all_of(Requeue("", OPERATOR, deps)) == (6, 6)
    assert all_of(Cancel("", OPERATOR, deps)) == (6, 6)
    found = [ledger.load(JobKey(chr(97 + n) * 26)) for n in range(9)]
    assert [record.state for record in found] == [State.HELD if n % 3 else State.DEFERRED for n in range(9)]
    assert {(record.due_at, record.cancelled) for record in found if record.cancelled} == {
        (at.now, "Cancelled by an operator")
    }
    listed = list_operations(100, "", OPERATOR, deps)["operations"]
    assert sorted((item["operation"], item["changed"]) for item in listed) == [
        ("cancel", 6), ("flush", 0), ("flush", 6), ("hold", 6), ("hold", 6), ("release", 6), ("requeue", 6),
    ]  # fmt: skip
