"""
A process to be killed: submits, claims and records on a data directory, and says on standard output what was answered.

Each line is `<what> <queue id>`, written once the call returned; see test_embedded_crash.py. With a third word it keeps
a shadow of what a power cut would leave (tests/support/power_cut.py).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

from paravion.adapters import embedded_database
from paravion.adapters.embedded_data import EmbeddedData
from paravion.domain.queue import Job, JobKey, State
from paravion.ports import QueueName
from tests.support import power_cut

LARGE = 300_000


def envelope_of(queue_id: str) -> bytes:
    """What is kept as qf."""
    return f"qf of {queue_id}\n".encode()


def body_of(queue_id: str) -> bytes:
    """What is kept as df: each fourth one is large."""
    size = LARGE if int(queue_id.rpartition("n")[2]) % 4 == 0 else 2000
    return (queue_id.encode() * (size // len(queue_id) + 1))[:size]


def say(what: str, queue_id: str) -> None:
    """Tell the parent; a line this short is one write."""
    os.write(1, f"{what} {queue_id}\n".encode())


def submitter(data: EmbeddedData, name: str) -> None:
    """Submit without end."""
    for number in count():
        queue_id = f"{name}n{number}"
        data.spool.put_body(queue_id, body_of(queue_id))
        data.spool.put_envelope(queue_id, envelope_of(queue_id))
        say("begun", queue_id)
        data.queues.send(QueueName.DELIVERY, [Job(JobKey(queue_id), time.time())])
        say("sent", queue_id)


def worker(data: EmbeddedData, name: str) -> None:
    """Claim and record without end; every fifth job is left claimed."""
    for number in count():
        for item in data.queues.receive(QueueName.DELIVERY, 3, 1.0):
            assert item.job is not None
            queue_id = item.job.key.queue_id
            record = data.ledger.claim(item.job, token=f"{name}{number}", lease_until=time.time() + 300)
            if record.token != f"{name}{number}" or number % 5 == 0:
                continue
            say("claimed", queue_id)
            data.ledger.save(replace(record, state=State.DONE, token="", lease_until=0.0))
            say("done", queue_id)
            data.queues.delete(QueueName.DELIVERY, [item.receipt])


def main() -> None:
    """Run until killed."""
    folder, life = Path(sys.argv[1]), sys.argv[2]
    if len(sys.argv) > 3:
        # The shadow begins with a directory that is there.
        EmbeddedData(folder, time.time).close()
        embedded_database.CHECKPOINT_S = 3600.0
    data = EmbeddedData(folder, time.time)
    if len(sys.argv) > 3:
        power_cut.watch(folder, Path(sys.argv[3]))
    for number in range(6):
        threading.Thread(target=submitter, args=(data, f"{life}s{number}"), daemon=True).start()
    for number in range(3):
        threading.Thread(target=worker, args=(data, f"{life}w{number}"), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
