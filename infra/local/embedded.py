"""
The embedded engine, started and stopped: the whole system in one process, on a data directory, or a part of it.

One event loop in a thread of its own runs the doors, the workers and the transport; services that block run in
threads. Nothing here knows AWS: no template, no functions, no events. What is kept, and what a crash leaves, is
adapters/embedded_data.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO, TypeVar

from infra.local.embedded_doors import EmbeddedDoors, body_limit
from infra.local.embedded_link import Link
from infra.local.embedded_pressure import Pressure
from infra.local.embedded_submission import DirectApi
from infra.local.embedded_workers import Worker, repeat
from infra.local.events import Request, Response, message_response
from infra.local.front_door import open_front_door
from infra.local.inbox import Inbox, InboxServer
from infra.local.listening import listening, reachable
from infra.local.log_buffer import FLUSH_S, LogBuffer
from infra.local.options import Options, join_address
from infra.local.pages import LocalPaths
from infra.local.web import Receiver, WebServer, too_large_response
from paravion.adapters.embedded_data import EmbeddedData, Part
from paravion.adapters.embedded_lock import DataUnavailable
from paravion.adapters.embedded_loop import LoopExecutor
from paravion.bootstrap_embedded import Root
from paravion.errors import Misconfigured
from paravion.ports import QueueName
from paravion.services.bounce import bounce
from paravion.services.deliver import Gates, deliver
from paravion.services.publish import publish
from paravion.services.retry import retry, sweep
from paravion.settings import BY_NAME, EmbeddedSettings, from_env

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Mapping, Sequence
    from types import TracebackType

    from infra.local.embedded_processes import EmbeddedProcesses
    from paravion.domain.queue import Received

T = TypeVar("T")

GRACE_S: Final = 5.0
"""How long work that was begun may go on when the engine stops."""

START_S: Final = 120.0
DELIVER_S: Final = 300.0
"""How long an attempt may take; as the deployed function's time-out."""

SWEEP_S: Final = 50.0
JOBS_AT_ONCE: Final = 100
"""Delivery jobs under way; what they have open at once is bounded by services/deliver.py's gates."""

QUICK: Final = tuple(
    f"paravion.{module}"
    for module in (
        "adapters.embedded_hosts",
        "adapters.embedded_ledger",
        "adapters.embedded_queues",
        "adapters.embedded_spool",
        "adapters.embedded_tls_policies",
        "adapters.embedded_transcripts",
        "services.access",
        "services.routes",
        "services.withhold",
    )
)
"""What services hand to a thread elsewhere and is called at once here: it only reads and writes the database."""

_THREADS: Final = 32
_EXPIRE_EVERY_S: Final = 60.0
_EXPIRE_ROUNDS: Final = 20
_QUEUES: Final = {
    "DeliveryQueue": QueueName.DELIVERY,
    "RetryQueue": QueueName.RETRY,
    "BounceQueue": QueueName.BOUNCE,
    "EventQueue": QueueName.EVENT,
    "ParkedQueue": QueueName.PARKED,
}


class EmbeddedEngine:
    """
    The whole system on a data directory. Use as a context manager, or `start` and `stop`.

    Args:
        part: Of several processes (embedded_processes.py), which this is.
        link: To the other one.

    Attributes:
        api_url, smtp_address, smtps_address: Where the doors are; the latter two None without a front door.
        inbox: The caught mail; None when mail goes elsewhere.
        calls: Of a cloud; there are none.
        data: The open data directory.
        failed: Why it gave up; it never does.
    """

    failed = ""

    def __init__(
        self,
        options: Options,
        log: TextIO | None = None,
        part: Part = Part.ALL,
        link: socket.socket | None = None,
    ) -> None:
        self.options = options
        self.part = part
        self.inbox = Inbox() if options.relay == "inbox" else None
        self.smtp_address: str | None = None
        self.smtps_address: str | None = None
        self.calls: Counter[str] = Counter()
        self.data: EmbeddedData
        self._log = log or sys.stderr
        self._events = LogBuffer(self._log)
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._executor: LoopExecutor
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self._doors: EmbeddedDoors | None = None
        self._own: EmbeddedSettings
        self._root: Root
        self._api: WebServer | None = None
        self._other_end = link
        self._link: Link | None = None
        self._running = False

    @property
    def api_url(self) -> str:
        """The API's base URL; "" without one."""
        if self._api is None:
            return ""
        return f"http://{join_address((reachable(self.options.api[0]), self._api.port))}"

    @property
    def inbox_url(self) -> str | None:
        """Where the inbox is seen."""
        return f"{self.api_url}/inbox" if self.inbox else None

    def queue_depths(self) -> dict[str, dict[str, int]]:
        """Give each queue's items, by its name in the template: visible, in_flight."""
        return {name: self.data.queues.depth(queue) for name, queue in _QUEUES.items()}

    def queue_bodies(self, name: str) -> list[str]:
        """Give the bodies of a queue's items without receiving them."""
        return self.data.queues.bodies(_QUEUES[name])

    def start(self) -> Self:
        """
        Start everything; when it returns all doors are open.

        Raises:
            DataUnavailable: The data directory can't be opened; the text says why, or which process has it.
            OSError: A port can't be opened; the text names it.
            Misconfigured
        """
        self.data = EmbeddedData(Path(self.options.data), time.time, part=self.part)
        self._loop = asyncio.new_event_loop()
        self._executor = LoopExecutor(self._loop, QUICK, _THREADS, "paravion-services")
        self._loop.set_default_executor(self._executor)
        self._thread = threading.Thread(target=self._loop.run_forever, name="paravion-embedded", daemon=True)
        self._thread.start()
        self._running = True
        self.data.database.run_on(self._loop)
        try:
            if self.part is not Part.WORKERS:
                self._put_credential()
            self._run(self._open())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close the doors, let begun work finish, end everything. What is queued waits for the next start."""
        if not self._running:
            return
        self._running = False
        self._run(self._close())
        self.data.database.run_on(None)
        self._loop.call_soon_threadsafe(self._executor.release)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._executor.shutdown()
        self.data.close()
        self._events.drain()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    def _put_credential(self) -> None:
        """Keep the first credential; one of that name which an operator disabled stays so."""
        name = f"credentials/{self.options.access_key}"
        kept = json.loads(self.data.secrets.get(name) or "{}")
        if kept.get("secret_key") != self.options.secret_key:
            wanted = {"enabled": True, "operator": True, **kept, "secret_key": self.options.secret_key}
            self.data.secrets.put(name, json.dumps(wanted))

    async def _open(self) -> None:
        settings = dict(self.options.settings)
        if self._other_end is not None:
            self._link = Link(self._other_end, self.data.queues)
            self._stack.callback(self._link.close)
        if self.part is not Part.WORKERS:
            # First the ports: who can't have them has nothing begun.
            await self._open_api(settings)
        settings["relay"] = self.options.relay
        if self.inbox:
            inbox = InboxServer(self.inbox)
            await inbox.start()
            self._stack.push_async_callback(inbox.stop)
            settings["relay"] = f"127.0.0.1:{inbox.port}"
        inner = {BY_NAME["relay"].variable} if self.inbox else set()
        if not settings.get("public_url"):
            settings["public_url"] = self.api_url
            inner.add(BY_NAME["public_url"].variable)
        environ = {BY_NAME[name].variable: value for name, value in settings.items()}
        self._root = Root(self.data, environ, self._events, inner, self._executor.in_loop)
        self._tasks.append(asyncio.create_task(self._write_events()))
        self._stack.callback(self._root.close)
        if self.part is not Part.DOORS:
            self._start_workers(
                float(environ.get("PARAVION_SWEEP_INTERVAL_S", BY_NAME["sweep_interval_s"].default or ""))
            )
        if self.part is not Part.WORKERS:
            await self._open_doors(settings)

    async def _open_api(self, settings: Mapping[str, str]) -> None:
        self._own = from_env(EmbeddedSettings, {BY_NAME[name].variable: value for name, value in settings.items()})
        host, port = self.options.api
        sessions = self._own.max_sessions_count
        self._api = WebServer(
            self._answer,
            host,
            port,
            body_octets=body_limit,
            sessions=sessions,
            too_large=self._too_large,
            receiver=self._receiver,
        )
        await listening(self._api, "--api", self.options.api)
        self._stack.push_async_callback(self._api.stop, GRACE_S)
        self.data.endpoint = settings.get("upload_endpoint") or self.api_url

    async def _open_doors(self, settings: Mapping[str, str]) -> None:
        for_validate = self._root.validate()
        pressure = Pressure(
            self.data, self._own, lambda says: for_validate.event_log.emit("Pressure", {"closed_to_mail": says})
        )
        pressure.look()
        self._tasks.append(asyncio.create_task(pressure.watch(self._executor)))
        if self._link:
            # Submissions, what is scheduled or given back, and events; nothing else is sent to from here.
            for name in (QueueName.DELIVERY, QueueName.RETRY, QueueName.EVENT):
                self._link.tell_of(name)
        self._doors = EmbeddedDoors(
            for_validate,
            self._root.admin(),
            self.data.uploads,
            self._executor,
            LocalPaths(self.inbox, self.calls).handle,
            lambda: pressure.says,
            lambda: self._link is None or self._link.is_heard,
        )
        if self.options.front_door:
            door = await open_front_door(
                self.api_url,
                self.options,
                settings,
                drain_s=GRACE_S,
                api=DirectApi(for_validate, self._executor.run, self.data.uploads.keep, self.data.database.withdraw),
                closed_to_mail=lambda: pressure.smtp,
            )
            self._stack.push_async_callback(door.stop)
            self.smtp_address = join_address(door.address)
            self.smtps_address = join_address(door.tls_address) if door.tls_address else None

    async def _answer(self, request: Request) -> Response:
        if self._doors is None:
            return message_response(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        return await self._doors.handle(request)

    def _receiver(self, request: Request, octets: int) -> Receiver | None:
        return None if self._doors is None else self._doors.receiver(request, octets)

    def _too_large(self, request: Request, limit: int) -> Response:
        return too_large_response(request, limit) if self._doors is None else self._doors.too_large(request, limit)

    def _start_workers(self, sweep_interval_s: float) -> None:
        if self._link:
            self._tasks.append(asyncio.create_task(self._link.beat()))
        for_deliver, for_retry, for_bounce = self._root.deliver(), self._root.retry(), self._root.bounce()
        for_publish = self._root.publish()
        gates = Gates()

        async def to_deliver(items: Sequence[Received]) -> list[str]:
            return await deliver(items, for_deliver, DELIVER_S, gates)

        async def to_retry(items: Sequence[Received]) -> list[str]:
            return await asyncio.to_thread(retry, items, for_retry)

        async def to_bounce(items: Sequence[Received]) -> list[str]:
            return await asyncio.to_thread(bounce, items, for_bounce)

        async def to_publish(items: Sequence[Received]) -> list[str]:
            return await asyncio.to_thread(publish, items, for_publish)

        def to_sweep() -> int:
            until = time.monotonic() + SWEEP_S
            return sweep(for_retry, lambda: until - time.monotonic())

        for queue, handle, unit, at_once in (
            (QueueName.DELIVERY, to_deliver, 1, JOBS_AT_ONCE),
            (QueueName.RETRY, to_retry, 10, 4),
            (QueueName.BOUNCE, to_bounce, 10, 4),
            (QueueName.EVENT, to_publish, 10, 4),
        ):
            worker = Worker(
                self.data.queues,
                queue,
                handle,
                unit=unit,
                at_once=at_once,
                run=self._executor.run,
                log=self._log,
                before=self._look if self.part is Part.WORKERS else None,
            )
            self._workers.append(worker)
            self._tasks.append(asyncio.create_task(worker.run()))
        for work, interval_s in ((to_sweep, sweep_interval_s), (self._expire, _EXPIRE_EVERY_S)):
            self._tasks.append(asyncio.create_task(repeat(work, interval_s, self._executor, self._log)))
        self._stack.push_async_callback(for_deliver.transport.close)  # type: ignore[attr-defined]

    def _look(self, items: Sequence[Received]) -> None:
        """See what another process has written for these."""
        self.data.tables.refresh()
        self.data.spool.read_ahead([item.job.key.queue_id for item in items if item.job])

    async def _write_events(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            self._events.drain()

    def _expire(self) -> None:
        for _ in range(_EXPIRE_ROUNDS):
            if not self.data.expire(time.time()):
                return

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_S)
        await asyncio.gather(*(worker.drain(GRACE_S) for worker in self._workers))
        # The doors next: a submission that is under way is answered.
        await self._stack.aclose()
        self.data.queues.close()


def make_engine(options: Options, log: TextIO) -> EmbeddedEngine | EmbeddedProcesses:
    """Give the engine for as many processes as the options say."""
    if options.processes == 1:
        return EmbeddedEngine(options, log)
    from infra.local.embedded_processes import EmbeddedProcesses  # it needs this module

    return EmbeddedProcesses(options, log)


FAILURES: Final = (DataUnavailable, Misconfigured, OSError)
"""What `start` raises for reasons that its user can mend."""
