"""The embedded engine's directory after SIGKILL at a random instant: what was answered is there, and nothing is half."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from paravion.adapters.embedded_data import EmbeddedData
from paravion.adapters.embedded_files import TEMPORARY
from paravion.domain.queue import JobKey, State
from paravion.ports import QueueName
from tests.integration.embedded_child import body_of, envelope_of
from tests.support import power_cut

ROOT = Path(__file__).resolve().parents[2]
LIVES = int(os.environ.get("PARAVION_CRASHES", "8"))


def _live_and_die(folder: Path, life: str, for_s: float, *shadow: str) -> dict[str, set[str]]:
    """Run the child for a while, kill it, and give what it was answered."""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'layers/paravion/python'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.integration.embedded_child", str(folder), life, *shadow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=ROOT) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(for_s)
        child.kill()
        lines = [first, *child.stdout.readlines()]
    said: dict[str, set[str]] = {"begun": set(), "sent": set(), "claimed": set(), "done": set()}
    for line in lines:
        if line.endswith(b"\n"):
            what, queue_id = line.decode().split()
            said[what].add(queue_id)
    return said


def test_killed_process_leaves_what_it_was_answered(tmp_path: Path) -> None:
    """Several lives of one directory, each ended at a random instant."""
    draws = random.Random(1)
    folder = tmp_path / "data"
    said: dict[str, set[str]] = {"begun": set(), "sent": set(), "claimed": set(), "done": set()}
    broken_off = 0
    for life in range(LIVES):
        for what, ids in _live_and_die(folder, f"l{life}", draws.uniform(0.05, 0.6)).items():
            said[what] |= ids
        with EmbeddedData(folder, time.time) as data:
            broken_off += data.broken_off
            _check(data, folder, said)
    print(f"{len(said['sent'])} sent, {len(said['done'])} done, {broken_off} broken off, in {LIVES} lives")
    assert len(said["sent"]) > LIVES
    assert broken_off


def _check(data: EmbeddedData, folder: Path, said: dict[str, set[str]]) -> None:
    for queue_id in said["sent"]:
        assert data.spool.get_envelope(queue_id) == envelope_of(queue_id)
        assert data.spool.get_body(queue_id) == body_of(queue_id)
    records = {queue_id: data.ledger.load(JobKey(queue_id)) for queue_id in said["sent"]}
    for queue_id in said["claimed"]:
        record = records.get(queue_id) or data.ledger.load(JobKey(queue_id))
        assert record is not None
        assert record.lease_until == 0
    for queue_id in said["done"]:
        record = records.get(queue_id) or data.ledger.load(JobKey(queue_id))
        assert record is not None
        assert record.state is State.DONE
    # Every job lies in the queue or is done: none is between.
    queued = _queued(data)
    for queue_id, record in records.items():
        assert queue_id in queued or (record is not None and record.state is State.DONE), queue_id
    # Whatever is queued can be delivered, whether its sender was answered or not; whatever is there is whole.
    for queue_id in queued | said["begun"]:
        if queue_id in queued or data.spool._is_taken(f"qf/{queue_id}"):
            assert data.spool.get_envelope(queue_id) == envelope_of(queue_id)
            assert data.spool.get_body(queue_id) == body_of(queue_id)
    assert not list(folder.rglob(f"{TEMPORARY}*"))
    ((verdict,),) = data.database.read(AssertionError, "PRAGMA integrity_check")  # type: ignore[arg-type]
    assert verdict == "ok"


def _queued(data: EmbeddedData) -> set[str]:
    query = "SELECT job FROM item WHERE queue IN (0, 1)"
    return {job for (job,) in data.database.read(AssertionError, query)}  # type: ignore[arg-type]


def test_power_cut_leaves_what_was_answered(tmp_path: Path) -> None:
    """
    The same with a disk that has what was fsynced, and of the rest some pages.

    A claim may be gone: it was answered before it was on the disk.
    """
    draws = random.Random(2)
    folder, shadow = tmp_path / "data", tmp_path / "shadow"
    said: dict[str, set[str]] = {"begun": set(), "sent": set(), "claimed": set(), "done": set()}
    taken = 0
    for life in range(max(2, LIVES // 2)):
        told = _live_and_die(folder, f"p{life}", draws.uniform(0.1, 0.5), str(shadow))
        for what in ("begun", "sent", "done"):
            said[what] |= told[what]
        taken += power_cut.cut(folder, shadow, draws)
        with EmbeddedData(folder, time.time) as data:
            _check(data, folder, said)
    print(f"{len(said['sent'])} sent, {len(said['done'])} done, {taken} octets of the log were not fsynced")
    assert len(said["sent"]) > LIVES
    assert said["done"]


def test_queue_goes_on_where_the_dead_process_was(tmp_path: Path) -> None:
    """What was in flight is visible at once."""
    folder = tmp_path / "data"
    _live_and_die(folder, "a", 0.3)
    with EmbeddedData(folder, time.time) as data:
        queued = _queued(data)
        found = set()
        while batch := data.queues.receive(QueueName.DELIVERY, 100):
            found |= {item.job.key.queue_id for item in batch if item.job}
        assert found == queued
