"""Too full a queue, too little room, too many sessions: put off before anything is taken, and taken again afterwards."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import smtplib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.local.embedded import EmbeddedEngine
from infra.local.options import BadOptions, read_options
from paravion.domain.queue import Job, JobKey
from paravion.domain.ses_smtp_password import smtp_password
from paravion.ports import QueueName

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "AKIAPARAVIONLOCAL000", "paravion-local-secret-key-not-for-production"
QUIET = ["retry_intervals_s=3600", "retry_jitter_ratio=0", "sweep_interval_s=3600", "trusted_networks=127.0.0.1/32"]
CONTENT = b"From: me@example.org\r\n\r\nbody\r\n"


@contextmanager
def _running(folder: Path, *settings: str) -> Iterator[EmbeddedEngine]:
    words = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0", "data": str(folder / "data")}
    options = read_options(ROOT / "template.yaml", words, [*QUIET, *settings], {})
    with EmbeddedEngine(options, io.StringIO()) as engine:
        yield engine


def _ask(
    engine: EmbeddedEngine, method: str, path: str, body: object = None
) -> tuple[int, str | None, dict[str, object]]:
    connection = http.client.HTTPConnection(urlsplit(engine.api_url).netloc, timeout=10)
    token = base64.b64encode(f"{KEY}:{smtp_password(SECRET, 'us-east-1')}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    fields = json.loads(answer.read())
    connection.close()
    return answer.status, answer.getheader("retry-after"), fields


def _submit(engine: EmbeddedEngine, recipient: str = "you@example.net") -> tuple[int, str | None, dict[str, object]]:
    content = base64.b64encode(CONTENT).decode()
    body = {"reverse_path": "me@example.org", "recipients": [recipient], "content": content}
    return _ask(engine, "POST", "/v1/messages", body)


def _send(engine: EmbeddedEngine) -> int:
    """Submit by SMTP; gives the reply's code: MAIL's, if that was refused."""
    host, _, port = (engine.smtp_address or "").rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10) as session:
        session.ehlo()
        code, _ = session.mail("me@example.org")
        if code != 250:
            # A transaction may be tried again in the same session.
            assert session.noop()[0] == 250
            return code
        session.rcpt("you@example.net")
        return session.data(CONTENT)[0]


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def _pressure(engine: EmbeddedEngine) -> list[str]:
    log = engine._log
    assert isinstance(log, io.StringIO)
    records = [json.loads(line) for line in log.getvalue().splitlines() if line.startswith("{")]
    return [record["closed_to_mail"] for record in records if record["message"] == "Pressure"]


def test_full_queue_takes_no_more_until_it_is_shorter(tmp_path: Path) -> None:
    """503 with Retry-After in the door's form, 451 to MAIL; nothing of it is kept."""
    with _running(tmp_path, "max_queue_jobs_count=3") as engine:
        assert _submit(engine)[0] == 202
        for number in range(3):
            assert _submit(engine, f"busy+{number}@example.net")[0] == 202
        _until(lambda: engine.data.waiting_jobs(9) >= 3)
        _until(lambda: _pressure(engine) == ["the queue is full"])
        kept = engine.data.spool.count()
        status, retry_after, fields = _submit(engine)
        assert (status, retry_after) == (503, "5")
        assert "the queue is full" in json.dumps(fields)
        assert _send(engine) == 451
        assert engine.data.spool.count() == kept
        queue_ids = [record.key.queue_id for record in engine.data.ledger.waiting(9)]
        for queue_id in queue_ids:
            assert _ask(engine, "DELETE", f"/v1/messages/{queue_id}")[0] == 200
        _until(lambda: _pressure(engine) == ["the queue is full", ""])
        assert _submit(engine)[0] == 202
        assert _send(engine) == 250


def test_little_room_takes_no_more_but_sends_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and 452, for uploads too; what was taken goes out all the while."""
    with _running(tmp_path, "min_free_octets=1000000000000000") as engine:
        _until(lambda: _pressure(engine) == ["too little room on the disk"])
        assert _submit(engine)[:2] == (503, "5")
        assert _send(engine) == 452
        status, _, ticket = _ask(engine, "POST", "/v1/uploads", {"octets": 4})
        assert status == 201
        url = urlsplit(str(ticket["url"]))
        connection = http.client.HTTPConnection(url.netloc, timeout=10)
        connection.request("PUT", f"{url.path}?{url.query}", b"body")
        assert connection.getresponse().status == 503
        connection.close()
        engine.data.queues.send(QueueName.DELIVERY, [Job(JobKey("none"), time.time())])
        _until(lambda: engine.data.ledger.load(JobKey("none")) is not None)
        found = os.statvfs(tmp_path)
        plenty = os.statvfs_result((found.f_bsize, 1 << 20, 1 << 50, 1 << 50, 1 << 50, *tuple(found)[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _: plenty)
        _until(lambda: _pressure(engine) == ["too little room on the disk", ""])
        assert _submit(engine)[0] == 202
        assert _send(engine) == 250


def test_too_many_sessions_are_sent_away(tmp_path: Path) -> None:
    """Each door for itself: 503 and 421 before anything is read, and the next one is welcome once there is room."""
    with _running(tmp_path, "max_sessions_count=2") as engine:
        api = urlsplit(engine.api_url)
        host, _, port = (engine.smtp_address or "").rpartition(":")
        for place, greeting, refusal in (
            ((str(api.hostname), int(api.port or 0)), b"", b"HTTP/1.1 503 "),
            ((host, int(port)), b"220 ", b"421 4.7.0 "),
        ):
            first, second = (socket.create_connection(place, 10) for _ in range(2))
            for one in (first, second):
                if greeting:
                    assert one.recv(4096).startswith(greeting)
            with socket.create_connection(place, 10) as third:
                if not greeting:
                    time.sleep(0.2)
                assert third.recv(4096).startswith(refusal)
            first.close()
            second.close()
        _until(lambda: _submit(engine)[0] == 202)


def test_limits_of_the_embedded_engine_are_refused_by_moto() -> None:
    """Nothing is parsed and ignored."""
    with pytest.raises(BadOptions, match="max_queue_jobs_count: the moto engine has no such limit"):
        read_options(ROOT / "template.yaml", {"engine": "moto"}, ["max_queue_jobs_count=5"], {})
