"""`paravion up` on a data directory: one owner, a clean stop, and what SIGKILL leaves to the next life."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import http.client
import io
import json
import os
import random
import resource
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from infra.local import embedded_doors, embedded_submission
from infra.local.embedded import EmbeddedEngine
from infra.local.inbox import Inbox, InboxServer
from infra.local.options import read_options
from paravion.adapters.embedded_data import EmbeddedData
from paravion.domain.queue import State
from paravion.domain.ses_smtp_password import smtp_password
from paravion.errors import QueueUnavailable
from paravion.ports import QueueName

ROOT = Path(__file__).resolve().parents[2]
UP = [sys.executable, "-c", "import sys; from paravion.cli.main import main; sys.exit(main(sys.argv[1:]))", "up"]
QUICK = ["retry_intervals_s=0.3", "retry_jitter_ratio=0", "sweep_interval_s=0.2", "fault_backoff_s=0.2"]
KEY, SECRET = "AKIAPARAVIONLOCAL000", "paravion-local-secret-key-not-for-production"
PATIENCE_S = 30.0


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARAVION_", "AWS_"))}
    return {**kept, "PYTHONPATH": f"{ROOT / 'layers/paravion/python'}:{ROOT}"}


class Up:
    """A running `paravion up`; `running` has them all, to be ended with the test."""

    running: ClassVar[list[Up]] = []

    def __init__(self, folder: Path, relay: str) -> None:
        words = ["--data", str(folder), "--relay", relay, "--processes", "1" if relay == "inbox" else "2"]
        for door in ("api", "smtp", "smtps"):
            words += [f"--{door}", "127.0.0.1:0"]
        for setting in QUICK:
            words += ["--set", setting]
        self.process = subprocess.Popen(
            [*UP, *words], cwd=ROOT, env=_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.running.append(self)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.end())
        self.places = dict(word.partition("=")[::2] for word in line.split()[2:])

    def end(self, number: int | None = None) -> str:
        """Send a signal, wait for the end, and give what was said on standard error."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.communicate(timeout=PATIENCE_S)[1]
        finally:
            self.process.kill()

    def parts(self) -> dict[str, int]:
        """Give the children's process numbers by what they do."""
        found = {}
        for file in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for child in file.read_text("ascii").split():
                words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                if "infra.local.embedded_process" in words:
                    found[words[words.index("infra.local.embedded_process") + 1]] = int(child)
        return found

    def ask(self, path: str) -> int:
        """Give the status of a GET; 0 if there is nobody."""
        connection = http.client.HTTPConnection(urlsplit(self.places["api"]).netloc, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def submit(self, *recipients: str) -> str:
        """Submit; gives the queue id, after a 202."""
        connection = http.client.HTTPConnection(urlsplit(self.places["api"]).netloc, timeout=10)
        token = base64.b64encode(f"{KEY}:{smtp_password(SECRET, 'us-east-1')}".encode()).decode()
        content = base64.b64encode(b"From: me@example.org\r\nSubject: x\r\n\r\nbody\r\n").decode()
        body = {"reverse_path": "me@example.org", "recipients": list(recipients), "content": content}
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        connection.request("POST", "/v1/messages", json.dumps(body), headers)
        answer = connection.getresponse()
        fields = json.loads(answer.read())
        connection.close()
        assert answer.status == 202, fields
        queue_id: str = fields["queue_id"]
        return queue_id


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Iterator[None]:
    """Whatever a test's failure left running is ended."""
    yield
    while Up.running:
        up = Up.running.pop()
        if up.process.returncode is None:
            up.end(signal.SIGKILL)


@pytest.fixture
def sink() -> Iterator[tuple[Inbox, str]]:
    """A next hop that outlives the engine: what it took, and its address."""
    inbox, loop = Inbox(), asyncio.new_event_loop()
    server = InboxServer(inbox)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    yield inbox, f"127.0.0.1:{server.port}"
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def _taken(inbox: Inbox) -> Counter[str]:
    return Counter(path for mail in inbox.messages() for path in mail.rcpt_tos)


def test_mail_waits_through_a_stop(tmp_path: Path, sink: tuple[Inbox, str]) -> None:
    """A deferred mail outlives a clean stop, and is delivered by the next life."""
    inbox, relay = sink
    first = Up(tmp_path / "data", relay)
    queue_id = first.submit("busy-once@example.net")
    said = first.end(signal.SIGTERM)
    assert (first.process.returncode, "Traceback" in said) == (0, False)
    assert f"everything is kept in {tmp_path / 'data'}" in said
    second = Up(tmp_path / "data", relay)
    inbox.wait(lambda mails: len(mails) == 1, PATIENCE_S)
    assert second.end(signal.SIGINT) is not None
    assert second.process.returncode == 0
    with EmbeddedData(tmp_path / "data", time.time) as data:
        (record,) = data.ledger.load_message(queue_id)
        assert record.state is State.DONE
        assert data.queues.depth(QueueName.DELIVERY) == {"visible": 0, "in_flight": 0}
        assert [point.tally.attempts for point in data.counters.points("", 0, time.time())] == [1]


def test_second_instance_is_refused_by_name(tmp_path: Path) -> None:
    """With the first one's process number; the first goes on."""
    first = Up(tmp_path / "data", "inbox")
    with pytest.raises(RuntimeError, match=f"data is in use by process {first.process.pid}"):
        Up(tmp_path / "data", "inbox")
    first.submit("good@example.net")
    first.end(signal.SIGTERM)
    assert first.process.returncode == 0


def test_killed_at_any_time_nothing_accepted_is_lost(tmp_path: Path, sink: tuple[Inbox, str]) -> None:
    """
    SIGKILL while mail comes in and goes out, a few times: every 202 ends at the sink.

    Twice there is only what the sink had taken when the process died (RFC 1047).
    """
    inbox, relay = sink
    accepted: list[str] = []
    draws = random.Random(3)
    for life in range(3):
        up = Up(tmp_path / "data", relay)
        dead = threading.Event()

        def submit(number: int, up: Up = up, life: int = life, dead: threading.Event = dead) -> None:
            for serial in range(10_000):
                address = f"r{life}-{number}-{serial}@example.net"
                try:
                    up.submit(address)
                except (OSError, http.client.HTTPException):
                    return
                accepted.append(address)
                if dead.is_set():
                    return

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(draws.uniform(0.2, 0.8))
        up.end(signal.SIGKILL)
        dead.set()
        for thread in threads:
            thread.join()
    up = Up(tmp_path / "data", relay)
    _wait_for(lambda: set(accepted) <= set(_taken(inbox)))
    up.end(signal.SIGTERM)
    taken = _taken(inbox)
    twice = sum(count - 1 for count in taken.values())
    print(f"{len(accepted)} accepted, {sum(taken.values())} taken, {twice} twice")
    assert len(accepted) > 10
    # At most what was under way at a kill: the jobs that run at once.
    assert twice <= 3 * 100


def test_part_that_dies_is_started_again(tmp_path: Path, sink: tuple[Inbox, str]) -> None:
    """Doors where they were, workers with what was under way; health says how it is; the parent's death ends all."""
    inbox, relay = sink
    up = Up(tmp_path / "data", relay)
    before = up.parts()
    assert set(before) == {"doors", "workers"}
    os.kill(before["workers"], signal.SIGSTOP)
    waits = up.submit("waits@example.net")
    _wait_for(lambda: up.ask("/v1/health") == 503)
    os.kill(before["workers"], signal.SIGKILL)
    inbox.wait(lambda mails: len(mails) == 1, PATIENCE_S)
    _wait_for(lambda: up.ask("/v1/health") == 200)
    os.kill(before["doors"], signal.SIGKILL)
    _wait_for(lambda: up.parts().get("doors", before["doors"]) != before["doors"])
    _wait_for(lambda: up.ask("/v1/health") == 200)
    up.submit("goes@example.net")
    inbox.wait(lambda mails: len(mails) == 2, PATIENCE_S)
    after = up.parts()
    assert not set(before.values()) & set(after.values())
    said = up.end(signal.SIGKILL)  # the log, too
    _wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in after.values()))
    assert [said.count(f"the {part} process ended with status -9; starting it again") for part in before] == [1, 1]
    with EmbeddedData(tmp_path / "data", time.time) as data:
        assert [record.state for record in data.ledger.load_message(waits)] == [State.DONE]


def test_part_that_is_asked_to_end_ends_all(tmp_path: Path, sink: tuple[Inbox, str]) -> None:
    """Whoever watches over the parent decides then."""
    up = Up(tmp_path / "data", sink[1])
    os.kill(up.parts()["workers"], signal.SIGTERM)
    assert "the workers process ended with status 0" in up.end()
    assert up.process.returncode == 70


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EmbeddedEngine]:
    """An engine in this process."""
    words = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0", "data": str(tmp_path / "data")}
    options = read_options(ROOT / "template.yaml", words, QUICK, {})
    with EmbeddedEngine(options, io.StringIO()) as running:
        yield running


def _ask(engine: EmbeddedEngine, path: str, method: str = "GET", body: bytes = b"") -> tuple[int, str | None]:
    connection = http.client.HTTPConnection(urlsplit(engine.api_url).netloc, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("retry-after")


def test_too_much_at_once_is_put_off_before_it_is_taken(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After."""
    assert _ask(engine, "/v1/health") == (200, None)
    monkeypatch.setattr(embedded_doors, "BUSY", 0)
    assert _ask(engine, "/v1/health") == (503, "5")


def test_store_that_fails_is_told_as_transient(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: 4yz at the SMTP door, after everything was said, and nothing is kept."""

    def full(*_: object) -> None:
        raise QueueUnavailable("paravion.db: database or disk is full")

    monkeypatch.setattr(engine.data.queues, "send", full)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = (engine.smtp_address or "").rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=10) as session:
        session.starttls(context=context)
        session.login(KEY, smtp_password(SECRET, "us-east-1"))
        with pytest.raises(smtplib.SMTPDataError) as error:
            session.sendmail("me@example.org", ["you@example.net"], b"From: me@example.org\r\n\r\nx\r\n")
    assert 400 <= error.value.smtp_code < 500


class Disk:
    """One whose fsyncs can be made to hang, and to fail."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.go, self.hangs = threading.Event(), threading.Event()
        self.go.set()
        self.fails = False
        real = os.fdatasync

        def sync(descriptor: int) -> None:
            if not self.go.is_set():
                self.hangs.set()
                self.go.wait(PATIENCE_S)
            if self.fails:
                raise OSError(5, "Input/output error")
            real(descriptor)

        patch.setattr(os, "fdatasync", sync)


class Sender(threading.Thread):
    """One mail by SMTP; `said` is the reply to its end, "" when the connection ended without one."""

    def __init__(self, engine: EmbeddedEngine, name: str) -> None:
        super().__init__(daemon=True)
        self.address = (engine.smtp_address or "").rpartition(":")
        self.mail_name, self.said = name, ""
        self.start()

    def run(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP(self.address[0], int(self.address[2]), timeout=PATIENCE_S) as session:
            session.starttls(context=context)
            session.login(KEY, smtp_password(SECRET, "us-east-1"))
            session.mail("me@example.org")
            session.rcpt(f"{self.mail_name}@example.net")
            with contextlib.suppress(smtplib.SMTPServerDisconnected):
                code, text = session.data(b"From: me@example.org\r\n\r\nx\r\n")
                self.said = f"{code} {text.decode()}"
            if not self.said:
                session.sock = None  # nothing is said to it any more

    def heard(self) -> str:
        """Give the reply, once there is one or none will come."""
        self.join(PATIENCE_S)
        assert not self.is_alive()
        return self.said


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client is put off after."""
    monkeypatch.setattr(embedded_submission, "SUBMIT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(embedded_submission, "_LOOK_AGAIN_S", 0.05)


def _caught(engine: EmbeddedEngine, *names: str) -> None:
    """Wait for these, and see that each came once and nobody else."""
    wanted = Counter(f"{name}@example.net" for name in names)

    def recipients() -> Counter[str]:
        assert engine.inbox is not None
        return Counter(path for mail in engine.inbox.messages() for path in mail.rcpt_tos)

    until = time.monotonic() + PATIENCE_S
    while recipients() < wanted and time.monotonic() < until:
        time.sleep(0.02)
    assert recipients() == wanted


@pytest.mark.usefixtures("short_patience")
def test_what_a_hanging_disk_has_not_begun_with_is_put_off_and_never_sent(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for what becomes of theirs: 451 would be no true word of it."""
    disk = Disk(monkeypatch)
    disk.go.clear()
    first = Sender(engine, "first")
    assert disk.hangs.wait(PATIENCE_S)
    second = Sender(engine, "second")
    assert second.heard().startswith("451 4.4.1 ")
    assert first.is_alive()
    disk.go.set()
    assert first.heard().startswith("250 ")
    assert Sender(engine, "third").heard().startswith("250 ")
    _caught(engine, "first", "third")
    assert Sender(engine, "second").heard().startswith("250 ")
    _caught(engine, "first", "second", "third")


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("way", ["hangs for ever", "fails"])
def test_what_may_be_kept_by_a_disk_that_fails_is_told_nothing(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The connection ends, and the mail is sent once if the disk has it after all (RFC 1047)."""
    monkeypatch.setattr(embedded_submission, "SILENCE_AFTER_S", 0.5 if way != "fails" else 600.0)
    disk = Disk(monkeypatch)
    disk.go.clear()
    first = Sender(engine, "first")
    assert disk.hangs.wait(PATIENCE_S)
    if way == "fails":
        disk.fails = True
        disk.go.set()
    assert first.heard() == ""
    disk.fails = False
    disk.go.set()
    assert Sender(engine, "second").heard().startswith("250 ")
    _caught(engine, "first", "second")


def test_management_of_ses_v1_is_asked_in_the_same_process(engine: EmbeddedEngine) -> None:
    """SES v1's one path is validate's; what manages is handed on, and authenticated again."""
    secret = smtp_password(engine.options.secret_key, "us-east-1")
    token = base64.b64encode(f"{engine.options.access_key}:{secret}".encode()).decode()
    body = b"Action=CreateConfigurationSet&ConfigurationSet.Name=news&Version=2010-12-01"
    for authorization, expected in ((f"Basic {token}x", 403), (f"Basic {token}", 200)):
        connection = http.client.HTTPConnection(urlsplit(engine.api_url).netloc, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/", body, {"Authorization": authorization})
            assert connection.getresponse().status == expected
    assert engine.data.records.get("configuration-set", "news") is not None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/uploads/x", 405), ("PUT", "/uploads/x", 403), ("PUT", "/uploads/x?octets=1&expires=9&signature=", 403)],
)
def test_upload_without_a_ticket_is_refused(engine: EmbeddedEngine, method: str, path: str, status: int) -> None:
    """Only a URL of ours."""
    assert _ask(engine, path, method, b"x")[0] == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"PUT /uploads/x HTTP/1.1\r\nContent-Length: 40000000\r\n\r\n", 403),
        (b"POST /uploads/x HTTP/1.1\r\nContent-Length: 40000000\r\n\r\n", 405),
        (b"PUT /uploads/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2625A00\r\n", 411),
    ],
    ids=["no ticket", "no PUT", "chunks"],
)
def test_nothing_of_an_upload_without_a_ticket_is_held(engine: EmbeddedEngine, head: bytes, status: int) -> None:
    """Anybody may send it: a thousand of 40 MB at once must not take more than one."""
    url = urlsplit(engine.api_url)
    tracemalloc.start()
    try:
        with socket.create_connection((url.hostname, url.port), timeout=10) as client:
            client.sendall(head)
            with contextlib.suppress(ConnectionError):
                for _ in range(400):
                    client.sendall(bytes(100_000))
            assert client.recv(100).startswith(b"HTTP/1.1 %d " % status)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4_000_000


def test_upload_is_written_as_it_comes(engine: EmbeddedEngine) -> None:
    """Cut off in the middle it leaves nothing; put again it is there; without room the answer is 503."""
    folder = engine.data._folder / "uploads"
    content = os.urandom(3_000_000)
    ticket = engine.data.uploads.create("u", len(content))
    target = ticket.url.partition(urlsplit(engine.api_url).netloc)[2]

    def put(octets: bytes) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(urlsplit(engine.api_url).netloc, timeout=10)
        connection.putrequest("PUT", target)
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(octets)
        return connection

    cut = put(content[:1_000_000])
    until = time.monotonic() + PATIENCE_S
    while not any(path.stat().st_size for path in folder.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.01)
    cut.close()
    while list(folder.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.01)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with contextlib.closing(put(content)) as connection:
            assert connection.getresponse().status == 503
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(folder.iterdir()) == []
    with contextlib.closing(put(content)) as connection:
        assert connection.getresponse().status == 200
    assert engine.data.uploads.read("u", len(content)) == content


def test_credential_that_an_operator_disabled_stays_so(tmp_path: Path) -> None:
    """The first credential is made once; a new secret for it is taken."""
    words: dict[str, Any] = {"api": "127.0.0.1:0", "data": str(tmp_path / "data")}
    for changes, expected in (
        ({}, {"secret_key": SECRET, "enabled": True, "operator": True}),
        ({}, {"secret_key": SECRET, "enabled": False}),
        ({"secret_key": "new"}, {"secret_key": "new", "enabled": False, "operator": True}),
    ):
        options = dataclasses.replace(
            read_options(ROOT / "template.yaml", {**words, **changes}, [], {}), front_door=False
        )
        with EmbeddedEngine(options, io.StringIO()) as running:
            name = f"credentials/{KEY}"
            assert json.loads(running.data.secrets.get(name) or "") == expected
            running.data.secrets.put(name, json.dumps({"secret_key": SECRET, "enabled": False}))


def test_busy_port_is_named_and_the_directory_is_free_again(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """A start that fails leaves nothing locked."""
    port = engine.api_url.rpartition(":")[2]
    words = {"api": f"127.0.0.1:{port}", "data": str(tmp_path / "other")}
    options = read_options(ROOT / "template.yaml", words, [], {})
    with pytest.raises(OSError, match=f"--api 127.0.0.1:{port}: "):
        EmbeddedEngine(options, io.StringIO()).start()
    with contextlib.closing(EmbeddedData(tmp_path / "other", time.time)):
        pass
