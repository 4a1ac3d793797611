"""
The sweep over 10^3 to 10^6 deferred jobs that are all due: AWS calls, CPU and memory for each.

    make bench-sweep
    PYTHONPATH=.:layers/paravion/python python tests/bench/bench_sweep.py [jobs] …

The real ledger and queue adapters talk to a table and a queue that are lists in memory, and count what is asked of
them: the cost of a job must not grow with their number. A last row gives every call 5 ms, as DynamoDB and SQS take,
and shows jobs a second of one function with its 16 threads.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from bisect import bisect_right
from collections import Counter
from typing import Any

from botocore.exceptions import ClientError

from paravion.adapters.dynamodb_ledger import DynamoLedger
from paravion.adapters.in_parallel import InParallel
from paravion.adapters.memory import MemoryEventLog, MemorySpool
from paravion.adapters.sqs_queues import SqsQueues
from paravion.domain.ids import shard_of
from paravion.domain.queue import ALL_SHARDS, DUE_SHARDS
from paravion.domain.schedule import Plan
from paravion.ports import QueueName
from paravion.services.retry import RetryDeps, sweep

NOW = 1_800_000_000.0
SIZES = (1_000, 10_000, 100_000, 1_000_000)
PLAN = Plan((300,), 0.1, 14_400, 432_000, 30)
DETAIL = '{"recipient_count":1,"reverse_path":"me@example.org"}'


class Account:
    """DynamoDB and SQS, as far as a sweep asks them."""

    def __init__(self, jobs: int, call_s: float) -> None:
        self.calls: Counter[str] = Counter()
        self.sent = 0
        self._call_s = call_s
        self._lock = threading.Lock()
        self._woken: set[str] = set()
        self._shards: dict[str, list[tuple[float, str]]] = {str(n): [] for n in range(ALL_SHARDS)}
        for n in range(jobs):
            queue_id = f"{n:026}"
            self._shards[str(shard_of(queue_id, DUE_SHARDS))].append((NOW - 1000 + n * 1e-3 % 900, queue_id))
        for shard in self._shards.values():
            shard.sort()

    def _called(self, name: str) -> None:
        with self._lock:
            self.calls[name] += 1
        if self._call_s:
            time.sleep(self._call_s)

    def query(self, **request: Any) -> dict[str, Any]:
        """A page of a shard, after the place that is named."""
        self._called("Query")
        name = request["ExpressionAttributeValues"][":shard"]["S"]
        after = request.get("ExclusiveStartKey")
        shard = self._shards[name]
        first = 0
        if after is not None:
            first = bisect_right(shard, (float(after["due_at"]["N"]), after["pk"]["S"].partition("#")[2]))
        items = [
            {"pk": {"S": f"job#{queue_id}"}, "sk": {"S": "0"}, "due_at": {"N": repr(due_at)}}
            for due_at, queue_id in shard[first : first + request["Limit"]]
            if queue_id not in self._woken
        ]
        return {"Items": items}

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Take a job, once."""
        self._called("UpdateItem")
        key = request["Key"]
        with self._lock:
            if key["pk"]["S"] in self._woken:
                raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "UpdateItem")
            self._woken.add(key["pk"]["S"])
        number = {"N": "1"}
        return {
            "Attributes": {
                **key,
                "job_state": {"S": "ready"},
                "queued_at": {"N": repr(NOW - 5000)},
                "version": number,
                "attempts": number,
                "detail": {"S": DETAIL},
            }
        }

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        """Take ten jobs at most."""
        self._called("SendMessageBatch")
        assert len(request["Entries"]) <= 10
        with self._lock:
            self.sent += len(request["Entries"])
        return {}

    def send_message(self, **_: Any) -> dict[str, Any]:
        """Take one."""
        self._called("SendMessage")
        with self._lock:
            self.sent += 1
        return {}


def row(jobs: int, call_s: float = 0.0) -> float:
    """Sweep once and print what it cost; gives AWS calls a job."""
    account: Any = Account(jobs, call_s)
    in_parallel = InParallel(16)
    deps = RetryDeps(
        spool=MemorySpool(),
        queues=SqsQueues(account, {QueueName.DELIVERY: "d", QueueName.RETRY: "r"}),
        ledger=DynamoLedger(account, "ledger"),
        event_log=MemoryEventLog(),
        plan=PLAN,
        sweep_grace_s=3600,
        in_parallel=in_parallel,
        clock=lambda: NOW,
        jitter=lambda: 0.5,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    count = sweep(deps, lambda: 900.0)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    in_parallel.close()
    assert count == account.sent == jobs
    calls = sum(account.calls.values()) / jobs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = "  ".join(f"{name} {n / jobs:.3f}" for name, n in sorted(account.calls.items()))
    print(
        f"{jobs:>9,} jobs  {calls:.3f} calls a job ({each})  {1e3 * cpu / jobs:.3f} ms CPU a job"
        f"  {jobs / wall:,.0f}/s  {call_s * 1e3:.0f} ms a call  peak {peak:.0f} MB",
        flush=True,
    )
    return calls


def main() -> None:
    """Each size, then one with the latency of real calls."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    calls = [row(size) for size in sizes]
    print(f"calls a job, largest beside smallest: {calls[-1] / calls[0]:.3f}")
    row(min(10_000, sizes[-1]), 0.005)


if __name__ == "__main__":
    main()
