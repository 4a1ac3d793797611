"""
The function, or the process, that dies at each outside call of a mail's road, before it and after it took effect.

A mail has three recipients: one is taken at once, one is busy the first time, one does not exist, of whom its sender is
told; and a webhook hears of all. A first mail shows which calls there are; for each of them another mail's road is cut
off there, and the system runs on by itself. What came of it is told by the wire, the queue and the log alone.

    engine     what dies                                                                    what ends the wait
    ---------  ---------------------------------------------------------------------------  ------------------
    moto       a function's environment (tests/support/killed_functions.py), of many that   visibility, lease
               work side by side on one system
    embedded   the process, by SIGKILL (tests/support/killed_process.py), one for each      its next life
               mail, on a directory of its own

The suite dies after the first of each kind of effect; `make crashes` before and after every single call.
"""

from __future__ import annotations

import asyncio
import email
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import boto3
import pytest

from infra.local.engine import LocalEngine
from infra.local.inbox import CaughtMail, Inbox, InboxServer
from infra.local.options import DEFAULTS, read_options
from paravion.cli.client import ApiAway, Client
from paravion.cli.config import Config
from tests.support.certificates import ca_pem, server_context
from tests.support.killed_functions import Step, Steps, installed
from tests.support.webhook_server import WebhookServer, running

ROOT = Path(__file__).resolve().parents[2]
ALL = os.environ.get("PARAVION_CRASH_STEPS") == "all"
QUICK = ("retry_intervals_s=0.5", "retry_jitter_ratio=0", "sweep_interval_s=0.2", "sweep_grace_s=2", "fault_backoff_s=0.2",
         "event_retry_intervals_s=0.5", "hostname=mail.example.net")  # fmt: skip
WORDS = {"api": "127.0.0.1:0", "smtp": "127.0.0.1:0", "smtps": "127.0.0.1:0"}
PATIENCE_S = 120.0 if not ALL else 600.0
AT_ONCE = 6
_READS = re.compile(r"\.(Get|Head|Query|BatchGet|load)|smtp[ .]answer")
_QUICK_END = pytest.mark.timeout(3600 if ALL else 400)

Kill = tuple[Step, bool]
"""A call, and whether it took effect."""


@dataclass
class Road:
    """What was seen of one mail, from outside."""

    name: str
    kill: Kill | None = None
    queue_id: str = ""
    states: dict[str, str] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    is_killed: bool = False
    is_exposed: bool = False

    @property
    def paths(self) -> tuple[str, str, str]:
        """Its recipients: one that is taken, one that is busy, one that is missing."""
        good, busy, missing = (f"{kind}+{self.name}@example.com" for kind in ("good", "busy-once", "missing"))
        return good, busy, missing

    @property
    def sender(self) -> str:
        """Who is told."""
        return f"{self.name}@example.org"

    def submit(self, client: Client) -> None:
        """Hand it in as a client does: again, by its key, until it has an answer."""
        body = {"reverse_path": self.sender, "recipients": list(self.paths)}
        content = f"From: me@example.org\r\nSubject: {self.name}\r\nX-SES-CONFIGURATION-SET: news\r\n\r\nx\r\n".encode()
        self.queue_id = client.submit(body, content, self.name)["queue_id"]

    def look(self, client: Client) -> bool:
        """Ask for it; says whether it is done and owes nothing."""
        message = client.get(f"/v1/messages/{self.queue_id}")
        self.states = {r["forward_path"]: r["state"] for r in message["recipients"]}
        return message["state"] == "done" and not message["notices_owed"]

    def read_log(self, text: str) -> None:
        """Keep what the log tells of it, and of the report to its sender."""
        for line in text.splitlines():
            if self.queue_id in line or self.name in line:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    continue  # a traceback's

    def reports(self) -> list[str]:
        """Give the queue ids of reports that the log knows of."""
        return [line["report_id"] for line in self.log if line.get("message") == "Report"]


def judge(road: Road, mails: Sequence[CaughtMail], events: Sequence[dict[str, Any]]) -> None:
    """Hold a road to what is promised; `mails` and `events` are everybody's."""
    good, busy, missing = road.paths
    assert road.states == {good: "delivered", busy: "delivered", missing: "failed"}
    copies = {path: [mail for mail in mails if path in mail.rcpt_tos] for path in (*road.paths, road.sender)}
    assert copies[missing] == []
    assert all(copies[path] for path in (good, busy, road.sender)), "lost"
    # At the sink twice only where its 250 had no time to be written down, and of one transaction alone.
    twice = {path for path, found in copies.items() if len(found) > 1}
    assert not twice or road.is_exposed, (twice, road.kill)
    assert road.sender not in twice or len(twice) == 1
    assert all(len(found) <= 2 for found in copies.values())
    # One report, of the one that failed, whoever has two copies of it.
    assert {mail.mail_from for mail in copies[road.sender]} == {""}
    reports = {email.message_from_bytes(mail.content)["Message-ID"]: mail.content for mail in copies[road.sender]}
    (report,) = reports.values()
    assert re.findall(rb"Final-Recipient: rfc822; ([^\r]*)", report) == [missing.encode()]
    # One final word for each recipient in the log; it dies with whoever would have written it.
    final = [line["recipient"] for line in road.log if line.get("message") in {"Delivery", "Bounce"}]
    assert len(final) == len(set(final)), final
    assert set(final) <= {*road.paths, road.sender}
    assert road.is_killed or len(final) == 4
    about = [event for event in events if event["mail"]["messageId"] == road.queue_id]
    told = {(event["eventType"], person) for event in about for person in _people(event)}
    assert told == {("Send", ""), ("Delivery", good), ("Delivery", busy), ("Bounce", missing)}


def _people(event: dict[str, Any]) -> list[str]:
    """Give whom an event says something final about."""
    if event["eventType"] == "Bounce":
        return [person["emailAddress"] for person in event["bounce"]["bouncedRecipients"]]
    return {"Delivery": lambda: event["delivery"]["recipients"], "Send": lambda: [""]}.get(event["eventType"], list)()


def _kills(steps: Sequence[Step]) -> list[Kill]:
    """Give what is to be tried, of the steps of a road."""
    if ALL:
        return [(step, after) for step in steps for after in (False, True)]
    return [(step, True) for step in steps if step[1] == 1 and not _READS.search(step[0])]


def _until(holds: Callable[[], Any], what: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, str(what())
        time.sleep(0.1)


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """Its authority is in the trust store."""
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(ca_pem())
    with pytest.MonkeyPatch.context() as patch, running(WebhookServer(server_context(folder))) as server:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        yield server


def _make_set(api_url: str, client: Client, webhook: WebhookServer) -> None:
    """Make the configuration set that tells the webhook."""
    keys = {"aws_access_key_id": DEFAULTS["access_key"], "aws_secret_access_key": DEFAULTS["secret_key"]}
    ses: Any = boto3.session.Session(region_name="us-east-1", **keys).client("sesv2", endpoint_url=api_url)
    ses.create_configuration_set(ConfigurationSetName="news")
    body = {"name": "hook", "url": f"https://127.0.0.1:{webhook.port}/told"}
    client.post("/v1/configuration-sets/news/webhooks", body)


def _events(webhook: WebhookServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in webhook.requests]


@_QUICK_END
def test_function_that_dies_at_any_step(webhook: WebhookServer) -> None:
    """On moto: nothing is lost, nobody is told twice, and nobody has it twice but at the instant of RFC 1047."""
    assignments = [*QUICK, f"webhook_private_hosts=127.0.0.1:{webhook.port}"]
    options = read_options(ROOT / "template.yaml", {**WORDS, "relay": "inbox", "engine": "moto"}, assignments, {})
    log = io.StringIO()
    with installed(Steps()) as steps, LocalEngine(options, log) as engine:
        client = Client(Config(engine.api_url, options.access_key, options.secret_key))
        _make_set(engine.api_url, client, webhook)

        def drive(road: Road) -> Road:
            if road.kill is not None:
                steps.plan[road.name] = road.kill
            road.submit(client)
            return road

        def is_over(road: Road, client: Client) -> bool:
            road.log.clear()
            road.read_log(log.getvalue())
            return bool(road.reports()) and all(Road("", queue_id=r).look(client) for r in road.reports())

        def end(roads: Sequence[Road]) -> None:
            for road in roads:
                told = partial(_told, road, engine, steps)
                _until(partial(road.look, client), told)
                _until(partial(is_over, road, client), told)
                road.is_killed, road.is_exposed = road.name in steps.killed, road.name in steps.exposed
            _until(lambda: not any(sum(d.values()) for d in engine.queue_depths().values()), engine.queue_depths)

        assert engine.inbox is not None
        # The first finds everything cold.
        roads = [drive(Road("crash-0000"))]
        end(roads)
        roads.append(drive(Road("crash-0001")))
        end(roads)
        # Whoever dies while he holds a lease is missed the longest: they go first.
        kills = sorted(_kills(steps.seen["crash-0001"]), key=lambda kill: not kill[0][0].startswith("deliver"))
        steps.plan[""] = ("sweep dynamodb.Query", steps.made[""]["sweep dynamodb.Query"] + 5), False
        with ThreadPoolExecutor(AT_ONCE) as pool:
            cut_off = list(pool.map(drive, [Road(f"crash-{n:04}", kill) for n, kill in enumerate(kills, 2)]))
        end(cut_off)
        for road in [*roads, *cut_off]:
            judge(road, engine.inbox.messages(), _events(webhook))
        _tell("moto", cut_off)
        missed = [road.kill for road in cut_off if not road.is_killed]
        # Which batch a report's second call comes in is a matter of time; each kind of call was met.
        assert not missed if not ALL else len(missed) < len(cut_off) / 10, missed
        assert "" in steps.killed
        assert engine.queue_bodies("ParkedQueue") == []


def _told(road: Road, engine: LocalEngine, steps: Steps) -> object:
    return road, engine.queue_depths(), steps.seen[road.name]


def _tell(engine: str, roads: Sequence[Road]) -> None:
    killed, exposed = (sum(getattr(road, name) for road in roads) for name in ("is_killed", "is_exposed"))
    print(f"{engine}: {len(roads)} mails, {killed} cut off, {exposed} of them between a 250 and its record")


class Processes:
    """Engines of tests/support/killed_process.py."""

    def __init__(self, folder: Path, relay: str, webhook: WebhookServer) -> None:
        self._folder, self._relay, self._webhook = folder, relay, webhook
        self._lines: dict[str, queue.SimpleQueue[dict[str, Any]]] = {}
        self._writing = threading.Lock()
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.support.killed_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zygote.kill()  # and with it all that it began
        self._zygote.wait()
        self._reader.join()
        for stream in (self._zygote.stdin, self._zygote.stdout):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._zygote.stdout is not None
        for line in self._zygote.stdout:
            told = json.loads(line)
            for name in [told["point"]] if told["point"] else list(self._lines):
                self._lines[name].put(told)

    def drive(self, road: Road) -> list[Step]:
        """Let a road go to its end, through its process's death; gives the steps of its last life."""
        lines = self._lines[road.name] = queue.SimpleQueue()
        words = {
            **WORDS,
            "relay": self._relay,
            "engine": "embedded",
            "processes": "1",
            "data": str(self._folder / road.name),
        }
        assignments = [*QUICK, f"webhook_private_hosts=127.0.0.1:{self._webhook.port}"]
        kill = [*road.kill[0], road.kill[1]] if road.kill else None
        told = {"point": road.name, "template": str(ROOT / "template.yaml"), "words": words,
                "assignments": assignments, "kill": kill}  # fmt: skip
        with self._writing:
            assert self._zygote.stdin is not None
            self._zygote.stdin.write(json.dumps(told) + "\n")
            self._zygote.stdin.flush()
        begun = self._next(road, lines)
        client = Client(Config(begun["api"], DEFAULTS["access_key"], DEFAULTS["secret_key"]))
        _make_set(begun["api"], client, self._webhook)
        road.submit(client)
        _until(lambda: self._is_done(road, client), lambda: road)
        # Its end may be what it dies of.
        while True:
            while not lines.empty():
                begun = {**begun, **self._next(road, lines)}
            if "steps" in begun:
                break
            _ask_to_end(begun["pid"])
            time.sleep(0.1)
        road.read_log((self._folder / f"{road.name}.log").read_text("utf-8"))
        return [(label, number) for label, number in begun["steps"]]

    def _next(self, road: Road, lines: queue.SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
        told = lines.get(timeout=PATIENCE_S)
        assert "fault" not in told, told
        if "killed" in told:
            road.is_killed, road.is_exposed = True, told["killed"]
        return told

    def _is_done(self, road: Road, client: Client) -> bool:
        try:
            return road.look(client)
        except ApiAway:
            return False


def _ask_to_end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


@pytest.fixture
def sink() -> Iterator[tuple[Inbox, str]]:
    """An inbox in this process, which nobody kills, and its place."""
    loop, inbox = asyncio.new_event_loop(), Inbox()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = InboxServer(inbox)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    yield inbox, f"127.0.0.1:{server.port}"
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@_QUICK_END
def test_process_that_dies_at_any_step(webhook: WebhookServer, sink: tuple[Inbox, str], tmp_path: Path) -> None:
    """On one machine, by SIGKILL: the same; its next life finds the mail where the dead one left it."""
    inbox, relay = sink
    with Processes(tmp_path, relay, webhook) as processes:
        clean = Road("crash-0000")
        kills = _kills(processes.drive(clean))
        roads = [Road(f"crash-{n:04}", kill) for n, kill in enumerate(kills, 1)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(processes.drive, roads))
    for road in [clean, *roads]:
        judge(road, inbox.messages(), _events(webhook))
    _tell("embedded", roads)
    missed = [road.kill for road in roads if not road.is_killed]
    assert not missed if not ALL else len(missed) < len(roads) / 10, missed
