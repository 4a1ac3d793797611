"""What only the embedded engine has: groups, a directory with one owner, what a restart keeps and forgets, bounds."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paravion.adapters.embedded_data import EmbeddedData, Part
from paravion.adapters.embedded_lock import DataUnavailable, lock_folder
from paravion.adapters.embedded_queues import PARKED_S, VISIBILITY_S
from paravion.domain.queue import ALL_SHARDS, Job, JobKey, JobRecord, State
from paravion.errors import ClaimLost, LedgerUnavailable, QueueUnavailable, SpoolMissing, SpoolUnavailable
from paravion.ports import Identity, QueueName

DAY_S = 86_400.0


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def data(tmp_path: Path, clock: Clock) -> Any:
    with EmbeddedData(tmp_path / "data", clock) as opened:
        yield opened


def _job(n: int) -> Job:
    return Job(JobKey(f"q{n}"), 1.0)


def _tables(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT INTO identity VALUES (?, 0, ?, 0, '')", (name, value))


def test_what_waits_together_is_one_group(data: EmbeddedData) -> None:
    """While the writer is busy others queue up; all of them are answered after one commit."""
    gate, entered = threading.Event(), threading.Event()

    def busy(_: sqlite3.Connection) -> None:
        entered.set()
        gate.wait(10)

    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(data.database.write, busy, QueueUnavailable)
        entered.wait(10)
        before = data.database.groups
        sends = [pool.submit(data.queues.send, QueueName.DELIVERY, [_job(n)]) for n in range(20)]
        while data.database.waiting() < 20:
            time.sleep(0.001)
        gate.set()
        for send in [first, *sends]:
            send.result(10)
    assert data.database.groups == before + 2
    assert data.queues.depth(QueueName.DELIVERY) == {"visible": 20, "in_flight": 0}


def test_refusal_in_a_group_is_its_own(data: EmbeddedData) -> None:
    """Who raises before it changed anything fails alone, and the group is committed."""
    record = data.ledger.claim(_job(1), token="t", lease_until=1.0)
    data.ledger.save(record)
    with pytest.raises(ClaimLost):
        data.ledger.save(record)
    stored = data.ledger.load(record.key)
    assert stored is not None
    assert stored.version == record.version + 1


@pytest.mark.parametrize("error", [ValueError("half-way"), None], ids=["raises", "constraint"])
def test_neighbours_of_a_failure_are_written(data: EmbeddedData, error: Exception | None) -> None:
    """Half of a function is rolled back with its group; the others are run again and succeed."""
    gate, entered = threading.Event(), threading.Event()

    def busy(_: sqlite3.Connection) -> None:
        entered.set()
        gate.wait(10)

    def bad(connection: sqlite3.Connection) -> None:
        _tables(connection, "half", "x")
        if error:
            raise error
        _tables(connection, "half", "x")

    with ThreadPoolExecutor(4) as pool:
        pool.submit(data.database.write, busy, LedgerUnavailable)
        entered.wait(10)
        good = [pool.submit(data.database.write, lambda c, n=n: _tables(c, n, "y"), LedgerUnavailable) for n in "ab"]
        worse = pool.submit(data.database.write, bad, LedgerUnavailable)
        while data.database.waiting() < 3:
            time.sleep(0.001)
        gate.set()
        for one in good:
            one.result(10)
        with pytest.raises(type(error) if error else LedgerUnavailable):
            worse.result(10)
    assert [identity.name for identity in data.identities.all(10)] == ["a", "b"]


def test_nothing_of_a_submission_is_there_before_its_jobs(data: EmbeddedData, tmp_path: Path) -> None:
    """Small objects ride in the group of the send; a reader of the same process sees them at once all the same."""
    other = sqlite3.connect(tmp_path / "data/paravion.db")
    data.spool.put_body("q1", b"body")
    data.spool.put_envelope("q1", b"qf")
    assert (data.spool.get_body("q1"), data.spool.put_envelope("q1", b"x")) == (b"body", b"qf")
    assert other.execute("SELECT COUNT(*) FROM object").fetchall() == [(0,)]
    data.queues.send(QueueName.DELIVERY, [_job(1)])
    assert other.execute("SELECT key FROM object ORDER BY key").fetchall() == [("df/q1",), ("qf/q1",)]
    other.close()


def test_full_disk_takes_nothing_and_loses_nothing(data: EmbeddedData) -> None:
    """4yz before anything was promised; once there is room again, everything goes on."""
    data.queues.send(QueueName.DELIVERY, [_job(0)])
    writer = data.database._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    for n in range(3):
        data.spool.put_body(f"f{n}", b"x" * 100_000)
        with pytest.raises(QueueUnavailable):
            data.queues.send(QueueName.DELIVERY, [Job(JobKey(f"f{n}"), 1.0)])
    assert data.queues.depth(QueueName.DELIVERY) == {"visible": 1, "in_flight": 0}
    writer.execute("PRAGMA max_page_count = 1000000")
    data.spool.put_body("f0", b"x" * 100_000)
    data.queues.send(QueueName.DELIVERY, [Job(JobKey("f0"), 1.0)])
    assert [item.job.key.queue_id for item in data.queues.receive(QueueName.DELIVERY, 10) if item.job] == ["q0", "f0"]


def test_removal_that_a_full_disk_kept_back_is_made_up_for(data: EmbeddedData) -> None:
    """With the next look; until then nobody receives it again."""
    queues, writer = data.queues, data.database._writer
    queues.send(QueueName.DELIVERY, [_job(1)])
    (item,) = queues.receive(QueueName.DELIVERY, 1)
    writer.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_DELETE else sqlite3.SQLITE_OK
    )
    queues.delete(QueueName.DELIVERY, [item.receipt])
    queues.send(QueueName.DELIVERY, [_job(2)])
    assert queues.depth(QueueName.DELIVERY)["visible"] == 2
    writer.set_authorizer(None)
    assert [one.job for one in queues.receive(QueueName.DELIVERY, 9)] == [_job(2)]
    queues.send(QueueName.DELIVERY, [_job(3)])
    assert queues.depth(QueueName.DELIVERY) == {"visible": 1, "in_flight": 1}


def test_what_waits_for_a_failing_disk_is_bounded(data: EmbeddedData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is no spool."""
    monkeypatch.setattr("paravion.adapters.embedded_spool.PENDING_OCTETS", 1000)
    data.spool.put_body("a", b"x" * 900)
    with pytest.raises(SpoolUnavailable):
        data.spool.put_body("b", b"x" * 900)
    data.queues.send(QueueName.DELIVERY, [_job(1)])
    data.spool.put_body("b", b"x" * 900)


def test_file_that_a_crash_left_without_a_row_counts_as_none(tmp_path: Path, clock: Clock) -> None:
    """Its sender was promised nothing; another body may take the name."""
    with EmbeddedData(tmp_path, clock, inline_octets=0) as data:
        path = data.spool._path("df/abcd")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"left by a crash")
        with pytest.raises(SpoolMissing):
            data.spool.get_body("abcd")
        data.spool.put_body("abcd", b"mine")
        assert data.spool.get_body("abcd") == b"mine"


def test_directory_has_one_owner(data: EmbeddedData, tmp_path: Path) -> None:
    """The second is told who has it, whichever process it is in; afterwards it is free."""
    with pytest.raises(DataUnavailable, match=f"data is in use by process {os.getpid()}"):
        EmbeddedData(tmp_path / "data", time.time)
    code = "import sys,time,pathlib; from paravion.adapters.embedded_data import *; EmbeddedData(pathlib.Path(sys.argv[1]), time.time)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"is in use by process {os.getpid()}" in done.stderr
    data.close()
    EmbeddedData(tmp_path / "data", time.time).close()


def test_other_format_is_refused(tmp_path: Path, clock: Clock) -> None:
    """A database of a later paravion is not touched."""
    EmbeddedData(tmp_path, clock).close()
    with sqlite3.connect(tmp_path / "paravion.db") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(DataUnavailable, match="format 7"):
        EmbeddedData(tmp_path, clock)


def test_everything_is_kept_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    """But for who had what in flight."""
    with EmbeddedData(tmp_path, clock) as data:
        data.spool.put_body("q1", b"small")
        data.spool.put_body("q2", b"x" * 200_000)
        data.queues.send(QueueName.DELIVERY, [_job(1), _job(2)])
        data.queues.park(["poison"])
        (held,) = data.queues.receive(QueueName.DELIVERY, 1)
        assert held.job is not None
        claimed = data.ledger.claim(held.job, token="t", lease_until=clock.now + 300)
        data.ledger.save(replace(claimed, due_at=clock.now + 305))
        data.identities.put(Identity("a.example", True, "t", 1.0))
        data.tables.replace("aliases", {"a": "b"}, 1.0)
        data.secrets.put("credentials/K", "s")
        assert not data.broken_off
    with EmbeddedData(tmp_path, clock) as data:
        assert data.broken_off == 1
        assert (data.spool.get_body("q1"), len(data.spool.get_body("q2"))) == (b"small", 200_000)
        assert [item.job for item in data.queues.receive(QueueName.DELIVERY, 10)] == [_job(1), _job(2)]
        assert [item.body for item in data.queues.receive(QueueName.PARKED, 10)] == ["poison"]
        record = data.ledger.load(JobKey("q1"))
        assert record is not None
        assert (record.state, record.lease_until, record.due_at) == (State.CLAIMED, 0.0, clock.now + 305)
        assert data.identities.get("a.example") is not None
        assert data.tables.lookup("aliases", ["a"]) == {"a": "b"}
        assert data.secrets.get("credentials/K") == "s"


def test_item_that_waits_for_a_lease_is_visible_at_the_next_start(tmp_path: Path, clock: Clock) -> None:
    """Whoever had the lease is gone; what waits for its release, or for its host's turn, waits on."""
    states = {1: State.CLAIMED, 2: State.DONE, 3: State.READY, 4: None}
    with EmbeddedData(tmp_path, clock) as data:
        for n, state in states.items():
            if state is not None:
                lease = clock.now + 300 if state is State.CLAIMED else 0.0
                data.ledger.save(JobRecord(JobKey(f"q{n}"), 1.0, state, lease_until=lease))
            data.queues.send(QueueName.RETRY, [_job(n)], delay_s=300.0)
        assert data.queues.receive(QueueName.RETRY, 10) == []
    with EmbeddedData(tmp_path, clock) as data:
        assert [item.job for item in data.queues.receive(QueueName.RETRY, 10)] == [_job(1), _job(2)]


def test_job_between_sweep_and_queue_is_due_at_the_next_start(tmp_path: Path, clock: Clock) -> None:
    """The process died between the sweep's write and its enqueueing: nobody waits for the safety net's hour."""
    with EmbeddedData(tmp_path, clock) as data:
        for n, queued in ((1, True), (2, False)):
            data.ledger.save(JobRecord(JobKey(f"q{n}"), 1.0, State.READY, due_at=clock.now + 3600))
            if queued:
                data.queues.send(QueueName.DELIVERY, [_job(n)])
        data.ledger.save(JobRecord(JobKey("q3"), 1.0, State.DEFERRED, due_at=clock.now + 3600))
        for n, queue in ((4, QueueName.BOUNCE), (5, None)):
            data.ledger.save(JobRecord(JobKey(f"q{n}"), 1.0, State.DONE, due_at=clock.now + 3600))
            if queue:
                data.queues.send(queue, [_job(n)])
    with EmbeddedData(tmp_path, clock) as data:
        due = [job.key.queue_id for shard in range(ALL_SHARDS) for job in data.ledger.due(shard, clock.now, 10)]
        assert due == ["q2", "q5"]


def test_item_that_fails_too_often_moves_on(data: EmbeddedData, clock: Clock) -> None:
    """As the template says: delivery after one reception, retry after 300, counted over restarts."""
    data.queues.send(QueueName.DELIVERY, [_job(1)])
    assert len(data.queues.receive(QueueName.DELIVERY, 10)) == 1
    clock.now += VISIBILITY_S[QueueName.DELIVERY] - 1
    assert data.queues.receive(QueueName.DELIVERY, 10) == []
    clock.now += 2
    assert data.queues.receive(QueueName.DELIVERY, 10) == []
    for _ in range(300):
        (item,) = data.queues.receive(QueueName.RETRY, 10)
        assert item.job == _job(1)
        clock.now += VISIBILITY_S[QueueName.RETRY] + 1
    assert data.queues.receive(QueueName.RETRY, 10) == []
    (parked,) = data.queues.receive(QueueName.PARKED, 10)
    assert parked.job == _job(1)


def test_receptions_of_retry_are_counted_over_restarts(tmp_path: Path, clock: Clock) -> None:
    """An item that kills the process each time is parked in the end."""
    with EmbeddedData(tmp_path, clock) as data:
        data.queues.send(QueueName.RETRY, [_job(1)])
    for _ in range(3):
        with EmbeddedData(tmp_path, clock) as data:
            data.queues.receive(QueueName.RETRY, 1)
    with EmbeddedData(tmp_path, clock) as data:
        assert data.database.read(QueueUnavailable, "SELECT receives FROM item") == [(3,)]


def test_delay_outlives_a_restart_and_ends(tmp_path: Path, clock: Clock) -> None:
    """Kept back by its time, in this life and the next; those behind it are received meanwhile."""
    with EmbeddedData(tmp_path, clock) as data:
        data.queues.send(QueueName.DELIVERY, [_job(1), _job(2)], delay_s=100.0)
        data.queues.send(QueueName.DELIVERY, [_job(3)])
        assert [item.job for item in data.queues.receive(QueueName.DELIVERY, 1)] == [_job(3)]
        assert data.queues.receive(QueueName.DELIVERY, 10) == []
    with EmbeddedData(tmp_path, clock) as data:
        assert [item.job for item in data.queues.receive(QueueName.DELIVERY, 10)] == [_job(3)]
        clock.now += 101
        assert [item.job for item in data.queues.receive(QueueName.DELIVERY, 10)] == [_job(1), _job(2)]


def test_deleted_item_is_gone_and_a_stale_receipt_is_nothing(data: EmbeddedData, clock: Clock) -> None:
    """A reception that ran out can neither delete nor release the next one's."""
    data.queues.send(QueueName.RETRY, [_job(1)])
    (old,) = data.queues.receive(QueueName.RETRY, 1)
    clock.now += VISIBILITY_S[QueueName.RETRY] + 1
    (new,) = data.queues.receive(QueueName.RETRY, 1)
    data.queues.delete(QueueName.RETRY, [old.receipt])
    data.queues.release(QueueName.RETRY, [old.receipt])
    assert data.queues.depth(QueueName.RETRY) == {"visible": 0, "in_flight": 1}
    data.queues.delete(QueueName.RETRY, [new.receipt])
    data.database.write(lambda _: None, QueueUnavailable)
    assert data.queues.depth(QueueName.RETRY) == {"visible": 0, "in_flight": 0}


def test_receive_waits_for_what_is_sent(tmp_path: Path) -> None:
    """And for the end of the wait, and for the end of everything."""
    with EmbeddedData(tmp_path, time.time) as data, ThreadPoolExecutor(1) as pool:
        assert data.queues.receive(QueueName.DELIVERY, 1, 0.01) == []
        waiting = pool.submit(data.queues.receive, QueueName.DELIVERY, 1, 30.0)
        data.queues.send(QueueName.DELIVERY, [_job(1)])
        assert [item.job for item in waiting.result(10)] == [_job(1)]
        waiting = pool.submit(data.queues.receive, QueueName.BOUNCE, 1, 30.0)
        data.queues.close()
        assert waiting.result(10) == []


def test_old_things_vanish(tmp_path: Path, clock: Clock) -> None:
    """Disk use is bounded: 14 days for what is parked, 16 for content, 45 for records, one for uploads."""
    with EmbeddedData(tmp_path, clock, inline_octets=10) as data:
        data.spool.put_body("q1", b"small")
        data.spool.put_body("q2", b"x" * 100)
        data.queues.park(["poison"])
        data.queues.send(QueueName.DELIVERY, [_job(1)])
        data.ledger.claim(Job(JobKey("q1"), clock.now), token="t", lease_until=0.0)
        assert data.expire(clock.now + PARKED_S - 1) == 0
        assert data.expire(clock.now + PARKED_S + 1) == 1
        assert data.expire(clock.now + 16 * DAY_S + 1) == 2
        with pytest.raises(SpoolMissing):
            data.spool.get_body("q2")
        assert not list((tmp_path / "spool").rglob("q2/q2"))
        assert data.ledger.load(JobKey("q1")) is not None
        assert data.expire(clock.now + 45 * DAY_S + 1) == 1
        assert data.queues.depth(QueueName.DELIVERY)["visible"] == 1


def test_drafts_of_the_dead_vanish(tmp_path: Path, clock: Clock) -> None:
    """At the next opening; or after a day, where another process has the directory open."""
    with EmbeddedData(tmp_path, clock) as data:
        data.spool.draft_body().file.close()
        (left,) = (tmp_path / "spool").glob(".new-*")
        assert data.expire(left.stat().st_mtime + DAY_S - 1) == 0
        assert data.expire(left.stat().st_mtime + DAY_S + 1) == 1
        data.spool.draft_body().file.close()
        assert list((tmp_path / "spool").glob(".new-*"))
    with EmbeddedData(tmp_path, clock):
        assert not list((tmp_path / "spool").iterdir())


def test_nobody_else_can_read_it(data: EmbeddedData, tmp_path: Path) -> None:
    """Mail and secrets are the owner's."""
    data.secrets.put("dkim/a.example", "key")
    data.spool.put_body("q1", b"x" * 200_000)
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("name", ["../outside", "", ".", "..", "a\0b", "a b", "/etc/passwd"])
def test_name_that_is_none_reaches_no_file(data: EmbeddedData, name: str) -> None:
    """Whatever a client sends as its access key."""
    assert data.secrets.get(name) is None


def test_secret_that_another_process_wrote_is_read(data: EmbeddedData, tmp_path: Path) -> None:
    """An operator's file takes effect at once."""
    data.secrets.put("credentials/K", "old")
    assert data.secrets.get("credentials/K") == "old"
    path = tmp_path / "data/secrets/credentials%2FK"
    new = path.with_name("new")
    new.write_text("new")
    new.replace(path)
    assert data.secrets.get("credentials/K") == "new"


def test_text_that_is_no_unicode_is_kept(data: EmbeddedData) -> None:
    """A host's reply, or a table's file, may hold any octets."""
    import dataclasses

    record = data.ledger.claim(_job(1), token="t", lease_until=1.0)
    odd = dataclasses.replace(record, reverse_path="a\udcff@b")
    assert data.ledger.save(odd) == data.ledger.load(record.key)
    data.tables.replace("aliases", {"\udcff": "\ud800"}, 1.0)
    assert data.tables.lookup("aliases", ["\udcff"]) == {"\udcff": "\ud800"}


def test_closed_directory_takes_nothing(tmp_path: Path, clock: Clock) -> None:
    """Who comes late is told, and does not wait for ever."""
    data = EmbeddedData(tmp_path, clock)
    data.spool.put_body("q1", b"kept")
    data.close()
    with pytest.raises(QueueUnavailable):
        data.queues.send(QueueName.DELIVERY, [_job(1)])
    with EmbeddedData(tmp_path, clock) as again:
        assert again.spool.get_body("q1") == b"kept"


def test_identities_of_before_tenants_are_nobodys_in_particular(tmp_path: Path, clock: Clock) -> None:
    """A directory without the column gets it."""
    with EmbeddedData(tmp_path / "data", clock) as data:
        data.identities.put(Identity("a.example", True, "t", 1.0))
    connection = sqlite3.connect(tmp_path / "data/paravion.db")
    connection.execute("ALTER TABLE identity DROP COLUMN tenant")
    connection.commit()
    connection.close()
    with EmbeddedData(tmp_path / "data", clock) as data:
        assert data.identities.get("a.example") == Identity("a.example", True, "t", 1.0)
        data.identities.put(Identity("b.example", True, "t", 1.0, "red"))
        assert [identity.tenant for identity in data.identities.all(9)] == ["", "red"]


def test_two_parts_work_on_one_directory(tmp_path: Path) -> None:
    """What the doors' process writes the workers' finds, in order, tables included; each leaves the other's alone."""
    clock = Clock()
    EmbeddedData(tmp_path, clock).close()
    with (
        EmbeddedData(tmp_path, clock, part=Part.DOORS) as doors,
        EmbeddedData(tmp_path, clock, part=Part.WORKERS) as workers,
    ):
        for n in range(3):
            doors.spool.put_body(f"q{n}", b"body")
            doors.queues.send(QueueName.DELIVERY, [_job(n)])
            workers.queues.send(QueueName.DELIVERY, [_job(10 + n)])
            batch = workers.queues.receive(QueueName.DELIVERY, 10)
            assert [item.job for item in batch] == [_job(n), _job(10 + n)]
            workers.queues.delete(QueueName.DELIVERY, [item.receipt for item in batch])
        workers.spool.read_ahead(["q0", "q1"])
        assert workers.spool.get_body("q1") == b"body"
        doors.tables.replace("aliases", {f"k{n}": "v" for n in range(600)}, 1.0)
        assert workers.tables.lookup("aliases", ["k1"]) == {}
        workers.tables.refresh()
        assert len(workers.tables.lookup("aliases", [f"k{n}" for n in range(601)])) == 600
        workers.ledger.claim(_job(1), token="t", lease_until=clock() + 9)
    with EmbeddedData(tmp_path, clock, part=Part.DOORS) as doors:
        record = doors.ledger.load(JobKey("q1"))
        assert record is not None
        assert (doors.broken_off, record.token) == (0, "t")


def test_failed_fsync_is_told_and_the_log_written_anew(data: EmbeddedData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel forgets what it could not write: nothing is promised on top of it before all is written elsewhere."""
    log = data.database._path.with_name("paravion.db-wal")
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(QueueUnavailable, match="Input/output error"):
            data.queues.send(QueueName.DELIVERY, [_job(1)])
    assert log.stat().st_size > 4096
    data.queues.send(QueueName.DELIVERY, [_job(2)])
    assert data.queues.depth(QueueName.DELIVERY)["visible"] == 2


def test_what_a_power_cut_may_take_costs_no_fsync(data: EmbeddedData) -> None:
    """A claim: one group, none synced; the outcome is."""
    before = data.database.syncs
    record = data.ledger.claim(_job(1), token="t", lease_until=1.0)
    assert data.database.syncs == before
    data.ledger.save(record)
    assert data.database.syncs == before + 1


def test_long_log_begins_anew(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages go where they belong, whoever writes meanwhile, and the next write begins it anew."""
    monkeypatch.setattr("paravion.adapters.embedded_database._LOG_PAGES", 10)
    EmbeddedData(tmp_path, clock).close()
    with (
        EmbeddedData(tmp_path, clock, part=Part.DOORS) as doors,
        EmbeddedData(tmp_path, clock, part=Part.WORKERS) as workers,
    ):
        for n in range(50):
            doors.queues.send(QueueName.DELIVERY, [_job(n)])
        assert doors.database._checkpoints is None
        assert workers.database._checkpoints is not None
        workers.database._checkpoints.make()
        doors.queues.send(QueueName.DELIVERY, [_job(50)])
        _, pages, copied = workers.database._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert pages == copied < 10
        assert workers.queues.depth(QueueName.DELIVERY)["visible"] == 51


def test_lock_waits_for_the_children_of_a_dead_process(tmp_path: Path) -> None:
    """They hold it and end; somebody alive is not waited for."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    descriptor = lock_folder(tmp_path)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, gone.stdout, 0)
    ending = threading.Timer(0.2, os.close, (descriptor,))
    ending.start()
    os.close(lock_folder(tmp_path))
    ending.join()
