"""`paravion fsck` on directories with each kind of damage: found by name, mended without losing mail, found no more."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paravion.adapters.embedded_data import EmbeddedData
from paravion.cli.main import main
from paravion.domain.envelope import Envelope, Recipient, encode_qf
from paravion.domain.event_item import EventItem, encode
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, Notice, NoticeKind, RecipientState, State
from paravion.ports import QueueName

NOW = time.time()
SMALL, LARGE = b"body\r\n", b"large\r\n" * 40_000
DELIVERED = {0: RecipientState("you@example.net", Outcome(Result.DELIVERED, 250, "2.0.0", "ok"), NOW, 1)}


def _keep(data: EmbeddedData, queue_id: str, body: bytes = SMALL) -> Job:
    """Put a mail on the road."""
    envelope = Envelope(queue_id, "me@example.org", (Recipient("you@example.net"),), NOW, len(body))
    data.spool.put_body(queue_id, body)
    data.spool.put_envelope(queue_id, encode_qf(envelope, b"Subject: x\r\n"))
    job = Job(JobKey(queue_id), NOW)
    data.queues.send(QueueName.DELIVERY, [job])
    return job


def _record(data: EmbeddedData, queue_id: str, **fields: Any) -> None:
    given: dict[str, Any] = {"state": State.DEFERRED, "attempts": 1, "recipient_count": 1, **fields}
    data.ledger.save(JobRecord(JobKey(queue_id), NOW, **given))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with mail in all stages."""
    folder = tmp_path / "data"
    with EmbeddedData(folder, time.time) as data:
        for queue_id in ("small", "other"):
            _keep(data, queue_id)
        _keep(data, "large", LARGE)
        for queue_id, fields in {
            "waits": {"due_at": NOW + 60},
            "ended": {"state": State.DONE, "recipients": DELIVERED},
        }.items():
            _keep(data, queue_id)
            (item,) = [item for item in data.queues.receive(QueueName.DELIVERY, 9) if item.job == _job(queue_id)]
            _record(data, queue_id, **fields)
            data.queues.delete(QueueName.DELIVERY, [item.receipt])
        data.secrets.put("credentials/KEY", '{"secret_key": "x"}')
    return folder


def _job(queue_id: str) -> Job:
    return Job(JobKey(queue_id), NOW)


def _execute(folder: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "paravion.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _fsck(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    status = main(["fsck", "--data", str(folder), *words])
    lines = capsys.readouterr().out.splitlines()
    return status, [line.partition(":")[0] for line in lines[:-1]]


def _row(folder: Path, queue: int, job: str, body: str = "") -> None:
    row = f"SELECT {queue}, MAX(id) + 1, '{job}', 0, {NOW!r}, '{body}', 0, 0, 0 FROM item"
    _execute(folder, f"INSERT INTO item {row}")


def _flip(folder: Path, key: str) -> None:
    """Change the last octet of an object, where no format notices."""
    _execute(
        folder,
        f"UPDATE object SET octets = CAST(SUBSTR(octets, 1, LENGTH(octets) - 1) || x'21' AS BLOB) WHERE key = '{key}'",
    )


def _flip_file(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"!")


def _large(folder: Path) -> Path:
    return folder / "spool" / "df" / "la" / "large"


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "envelope gone": (lambda f: _execute(f, "DELETE FROM object WHERE key = 'qf/small'"), "mail-unreadable"),
    "envelope of something else": (
        lambda f: _execute(f, "UPDATE object SET octets = x'00' WHERE key = 'qf/small'"),
        "mail-unreadable",
    ),
    "envelope of mail that waits": (
        lambda f: _execute(f, "DELETE FROM object WHERE key = 'qf/waits'"),
        "mail-unreadable",
    ),
    "item of no mail": (lambda f: _row(f, 1, "nobody"), "mail-unreadable"),
    "body's file gone": (lambda f: _large(f).unlink(), "body-missing"),
    "body gone": (lambda f: _execute(f, "DELETE FROM object WHERE key = 'df/small'"), "body-missing"),
    "body's file cut": (lambda f: os.truncate(_large(f), 1000), "body-size"),
    "an octet of the envelope": (lambda f: _flip(f, "qf/small"), "mail-unreadable"),
    "an octet of the body": (lambda f: _flip(f, "df/small"), "body-damaged"),
    "an octet of the body's file": (lambda f: _flip_file(_large(f)), "body-damaged"),
    "body's row gone": (lambda f: _execute(f, "DELETE FROM object WHERE key = 'df/large'"), "body-row-missing"),
    "record garbled": (
        lambda f: _execute(f, "UPDATE job SET detail = x'7b' WHERE queue_id = 'waits'"),
        "record-unreadable",
    ),
    "record in no known state": (
        lambda f: _execute(f, "UPDATE job SET state = 'odd' WHERE queue_id = 'waits'"),
        "record-unreadable",
    ),
    "item garbled": (lambda f: _row(f, 0, "", "what?"), "item-unreadable"),
    "item of mail that ended": (lambda f: _row(f, 0, "ended"), "item-of-nothing"),
    "due time gone": (lambda f: _execute(f, "UPDATE job SET due_at = 0 WHERE queue_id = 'waits'"), "job-forgotten"),
    "due index": (lambda f: _execute(f, "UPDATE job SET shard = 99 WHERE queue_id = 'waits'"), "due-index"),
    "file of no row": (lambda f: (f / "spool" / "df" / "la" / "lame").write_bytes(b"x"), "file-orphan"),
    "file half-written": (lambda f: (f / "secrets" / ".new-1").write_bytes(b"x"), "file-temporary"),
    "secret that others read": (lambda f: (f / "secrets" / "credentials%2FKEY").chmod(0o644), "mode"),
    "directory that others read": (lambda f: f.chmod(0o755), "mode"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_mended(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """65 while it is there; nothing is changed without --repair; 0 and silence afterwards, and the engine opens."""
    damage, expected = DAMAGE[name]
    assert _fsck(folder, capsys) == (0, [])
    damage(folder)
    for path in (folder / "spool").rglob("lame"):
        path.chmod(0o600)
    for path in (folder / "secrets").glob(".new-1"):
        path.chmod(0o600)
    for _ in range(2):
        status, names = _fsck(folder, capsys)
        assert (status, set(names)) == (65, {expected})
    assert _fsck(folder, capsys, "--repair") == (0, names)
    assert _fsck(folder, capsys) == (0, [])
    with EmbeddedData(folder, time.time) as data:
        assert _known(data) >= {"small", "other", "large", "waits", "ended"}


def _known(data: EmbeddedData) -> set[str]:
    """Give the mails that a queue or the ledger still knows."""
    with contextlib.closing(sqlite3.connect(data.database._path)) as connection:
        return {name for (name,) in connection.execute("SELECT job FROM item UNION SELECT queue_id FROM job")}


@pytest.mark.parametrize("name", ["envelope gone", "body gone", "body's file cut", "record garbled"])
def test_mail_that_cannot_be_sent_is_held_and_parked(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never deleted: an operator sees it with the reason; no worker gets it."""
    DAMAGE[name][0](folder)
    _, names = _fsck(folder, capsys, "--repair")
    with EmbeddedData(folder, time.time) as data:
        (record,) = data.ledger.waiting(9, held=True)
        assert (record.state, record.quarantine) == (State.HELD, f"fsck: {names[0]}")
        assert data.queues.depth(QueueName.PARKED)["visible"] == 1
        sent = {item.job.key.queue_id for item in data.queues.receive(QueueName.DELIVERY, 9) if item.job}
        assert record.key.queue_id not in sent


@pytest.mark.parametrize(
    ("kind", "finding", "queue"),
    [
        (NoticeKind.FAILED, "report-forgotten", QueueName.BOUNCE),
        (NoticeKind.EVENT, "event-forgotten", QueueName.EVENT),
    ],
)
def test_what_nobody_would_tell_is_enqueued(
    kind: NoticeKind, finding: str, queue: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that is done, and owes its sender a report or others an event, stands in the queue for it again."""
    with EmbeddedData(folder, time.time) as data:
        record = data.ledger.load(JobKey("ended"))
        assert record is not None
        data.ledger.save(replace(record, owed=(Notice(kind, 1),)))
    assert _fsck(folder, capsys, "--repair") == (0, [finding])
    assert _fsck(folder, capsys) == (0, [])
    with EmbeddedData(folder, time.time) as data:
        (item,) = data.queues.receive(queue, 9)
        assert item.job == _job("ended")


def test_events_that_wait_are_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They name no job, and lie in the event queue alone."""
    with EmbeddedData(folder, time.time) as data:
        data.queues.send_texts(QueueName.EVENT, [encode(EventItem(()))], delay_s=600.0)
    assert _fsck(folder, capsys) == (0, [])


def test_item_that_waits_for_a_lease_is_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All may have ended before it is visible."""
    _row(folder, 1, "ended")
    _execute(folder, "UPDATE item SET visible_at = 9e9 WHERE job = 'ended'")
    assert _fsck(folder, capsys) == (0, [])


def test_orphan_is_set_aside_not_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a mail's whose row was lost."""
    path = folder / "spool" / "df" / "la" / "lame"
    path.write_bytes(b"x")
    _fsck(folder, capsys, "--repair")
    assert (folder / "lost+found" / "df" / "lame").read_bytes() == b"x"


def test_old_orphan_is_removed_by_a_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Disk use is bounded over crashes too; a file that a row names stays, however old."""
    young, old = (folder / "spool" / "df" / "la" / name for name in ("lame", "lazy"))
    for path in (young, old):
        path.write_bytes(b"x")
        path.chmod(0o600)
    long_ago = time.time() - 17 * 86_400
    for path in (old, _large(folder)):
        os.utime(path, (long_ago, long_ago))
    with EmbeddedData(folder, time.time):
        pass
    assert [path.exists() for path in (young, old, _large(folder))] == [True, False, True]
    assert _fsck(folder, capsys) == (65, ["file-orphan"])


def test_indexes_are_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in the tables counts."""
    with contextlib.closing(sqlite3.connect(folder / "paravion.db")) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'job_due'").fetchone()
        connection.execute("DROP INDEX job_due")
        connection.execute(sql.replace("due_at > 0", "due_at > 1e18"))
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'job_due'", (sql,))
        connection.commit()
    assert _fsck(folder, capsys) == (65, ["database-damaged"])
    assert _fsck(folder, capsys, "--repair") == (0, ["database-damaged"])
    assert _fsck(folder, capsys) == (0, [])


def test_database_that_is_none_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not mended: only a backup helps."""
    for suffix in ("", "-wal", "-shm"):
        (folder / f"paravion.db{suffix}").unlink(missing_ok=True)
    assert _fsck(folder, capsys) == (65, ["database-unreadable"])
    (folder / "paravion.db").write_bytes(b"no database at all" * 1000)
    (folder / "paravion.db").chmod(0o600)
    assert _fsck(folder, capsys, "--repair") == (65, ["database-unreadable"])


def test_secret_that_is_no_text_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And left alone."""
    path = folder / "secrets" / "credentials%2FKEY"
    for octets in (b"\xff", b"{", b"[]"):
        path.write_bytes(octets)
        assert _fsck(folder, capsys, "--repair") == (65, ["secret-unreadable"])


def test_directory_in_use_is_refused_with_the_process(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """69, and whose it is; nothing is looked at."""
    with EmbeddedData(folder, time.time):
        assert main(["fsck", "--data", str(folder), "--repair"]) == 69
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err


def test_no_directory_is_no_input(tmp_path: Path) -> None:
    """66; none is made."""
    assert main(["fsck", "--data", str(tmp_path / "none")]) == 66
    assert not (tmp_path / "none").exists()


def test_directory_of_before_checksums_is_taken_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What has no checksum is not compared; a start adds the column."""
    _execute(folder, "ALTER TABLE object DROP COLUMN crc")
    _flip(folder, "df/small")
    assert _fsck(folder, capsys) == (0, [])
    with EmbeddedData(folder, time.time) as data:
        _keep(data, "new")
    _flip(folder, "df/new")
    assert _fsck(folder, capsys) == (65, ["body-damaged"])
