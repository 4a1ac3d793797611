"""
Local mode, started and stopped: the template on moto, its functions, doors, pollers and schedules.

One event loop in a thread of its own runs all servers, pollers and schedules; each function's environments
have their own threads. There can be one engine at a time in a process, for moto is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self, TextIO, TypeVar

import boto3

import paravion.settings
from infra.local import alias_targets, template
from infra.local.aws import REGION, Cloud
from infra.local.environments import Environment, Function, FunctionFailed
from infra.local.events import Request, Response, message_response
from infra.local.front_door import open_front_door
from infra.local.gateway import Gateway
from infra.local.inbox import Inbox, InboxServer
from infra.local.light_queue import lighten
from infra.local.listening import listening, reachable
from infra.local.mappings import Poller
from infra.local.options import Options, join_address, parameter_name
from infra.local.pages import LocalPaths
from infra.local.uploads import BODY_OCTETS, Uploads
from infra.local.web import WebServer
from paravion.settings import BY_NAME

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Coroutine, Iterable, Mapping
    from types import TracebackType


T = TypeVar("T")

GRACE_S: Final = 5.0
"""How long work that was begun may go on when the engine stops."""

START_S: Final = 120.0
INVOKE_S: Final = 30.0


class LocalEngine:
    """
    The whole system on moto. Use as a context manager, or `start` and `stop`.

    Attributes:
        api_url, smtp_address, smtps_address: Where the doors are; the latter two None without a front door.
        inbox: The caught mail; None when mail goes elsewhere.
        calls: AWS API calls by `service.Operation`.
        failed: Why it gave up; it never does.
    """

    failed = ""

    def __init__(self, options: Options, log: TextIO | None = None) -> None:
        self.options = options
        self.inbox = Inbox() if options.relay == "inbox" else None
        self.smtp_address: str | None = None
        self.smtps_address: str | None = None
        self.system: template.System
        self._log = log or sys.stderr
        self._cloud = Cloud()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._executor = ThreadPoolExecutor(4, "paravion-queues")
        self._functions: dict[str, Function] = {}
        self._pollers: list[Poller] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self._gateway: Gateway | None = None
        self._api: WebServer
        self._running = False

    @property
    def api_url(self) -> str:
        """The API's base URL."""
        return f"http://{join_address((reachable(self.options.api[0]), self._api.port))}"

    @property
    def inbox_url(self) -> str | None:
        """Where the inbox is seen."""
        return f"{self.api_url}/inbox" if self.inbox else None

    @property
    def calls(self) -> Counter[str]:
        """AWS API calls so far by `service.Operation`; `clear()` starts anew."""
        return self._cloud.calls

    def queue_depths(self) -> dict[str, dict[str, int]]:
        """Give each queue's items, by its logical id: visible, in_flight, delayed."""
        names = set(self._cloud.queue_names())
        physical = {logical: _queue_name(identifier) for logical, identifier in self.system.resources.items()}
        return {logical: self._cloud.queue(name).depth() for logical, name in sorted(physical.items()) if name in names}

    def queue_bodies(self, logical_id: str) -> list[str]:
        """Give the bodies of a queue's items without receiving them."""
        return self._cloud.queue(_queue_name(self.system.resources[logical_id])).bodies()

    def start(self) -> Self:
        """
        Start everything; when it returns all doors are open.

        Raises:
            OSError: A port can't be opened; the text names it.
            template.TemplateError: The template can't be run.
            FunctionFailed: A function can't be initialised; the log has the traceback.
            RuntimeError: Another engine runs in this process.
        """
        self._cloud.start()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="paravion-local", daemon=True)
        self._thread.start()
        self._running = True
        try:
            self._run(self._open_api())
            self.system = template.create(self.options.template, self._parameters(), REGION)
            lighten(REGION)
            _forget_loggers(self.system.functions)
            self._put_credential()
            alias_targets.make(BY_NAME["alias_target_arns"].parse(self._settings().get("alias_target_arns", "")))
            self._run(self._open())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close the doors, let begun work finish, end everything. Mail that is still queued is lost."""
        if not self._running:
            return
        self._running = False
        idle = self._run(self._close())
        for environment in idle:
            environment.join(1)
        _forget_loggers(self._functions)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._executor.shutdown()
        self._cloud.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def invoke(self, function: str, event: Any) -> Any:
        """
        Invoke a function, by its logical id, as the SDK's Invoke would.

        Raises:
            FunctionFailed
        """
        return self._run(self._functions[function].invoke(event))

    def _invoked(self, name: str, event: bytes) -> tuple[bytes, bool] | None:
        """Answer a function's call of another, which is made in the calling environment's thread; None: no such one."""
        function = self._functions.get(name)  # infra/local/template.py names functions after themselves
        if function is None:
            return None
        try:
            answer = asyncio.run_coroutine_threadsafe(function.invoke(json.loads(event)), self._loop).result(INVOKE_S)
        except (FunctionFailed, TimeoutError) as exc:
            return json.dumps({"errorMessage": str(exc)}).encode(), True
        return json.dumps(answer).encode(), False

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    def _parameters(self) -> dict[str, str]:
        """Give the settings that the template has a parameter for."""
        known = template.template_parameters(self.options.template)
        chosen = {parameter_name(name): value for name, value in self._settings().items()}
        return {name: value for name, value in chosen.items() if name in known}

    def _settings(self) -> dict[str, str]:
        settings = dict(self.options.settings)
        if self.options.relay != "inbox":
            settings["relay"] = self.options.relay
        return settings

    def _put_credential(self) -> None:
        paths = {spec.variables.get(BY_NAME["secrets"].variable) for spec in self.system.functions.values()} - {None}
        for path in paths:
            boto3.client("ssm", region_name=REGION).put_parameter(
                Name=f"{path}/credentials/{self.options.access_key}",
                Value=json.dumps({"secret_key": self.options.secret_key, "enabled": True, "operator": True}),
                Type="SecureString",
            )

    async def _open_api(self) -> None:
        host, port = self.options.api
        self._api = WebServer(
            self._answer,
            host,
            port,
            sessions=int(self.options.settings.get("max_sessions_count", BY_NAME["max_sessions_count"].default or "")),
        )
        await listening(self._api, "--api", self.options.api)
        self._stack.push_async_callback(self._api.stop, GRACE_S)

    async def _answer(self, request: Request) -> Response:
        if self._gateway is None:
            return message_response(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        return await self._gateway.handle(request)

    async def _open(self) -> None:
        settings = self._settings()
        if self.inbox:
            inbox = InboxServer(self.inbox)
            await inbox.start()
            self._stack.push_async_callback(inbox.stop)
            settings["relay"] = f"127.0.0.1:{inbox.port}"
        settings["public_url"] = settings.get("public_url") or self.api_url
        uploads = Uploads(self._executor, lambda: datetime.now(UTC))
        host = self.options.api[0]
        server = WebServer(uploads.handle, host, 0, body_octets=BODY_OCTETS)
        await server.start()
        self._stack.push_async_callback(server.stop, GRACE_S)
        settings["upload_endpoint"] = f"http://{join_address((reachable(host), server.port))}"

        for name, spec in self.system.functions.items():
            overrides = overridden(spec, settings)
            spec_here = template.FunctionSpec(
                spec.name,
                spec.code,
                spec.handler,
                spec.timeout_s,
                spec.memory_mb,
                {**spec.variables, **overrides},
            )
            self._functions[name] = Function(spec_here, self._cloud.environment, self._log)
        await asyncio.gather(*(function.warm() for function in self._functions.values()))
        self._cloud.answer_invocations(self._invoked)

        for mapping in self.system.mappings:
            queue = self._cloud.queue(mapping.queue_arn.rpartition(":")[2])
            poller = Poller(mapping, queue, self._functions[mapping.function], self._executor)
            self._cloud.listen(queue.name, poller.wake)
            self._pollers.append(poller)
            self._tasks.append(asyncio.create_task(poller.run()))
        interval_s = float(settings.get("sweep_interval_s", BY_NAME["sweep_interval_s"].default or "60"))
        self._tasks += [asyncio.create_task(self._repeat(schedule, interval_s)) for schedule in self.system.schedules]

        self._gateway = Gateway(self.system.routes, self._functions, LocalPaths(self.inbox, self._cloud.calls).handle)
        if self.options.front_door:
            door = await open_front_door(self.api_url, self.options, settings, drain_s=GRACE_S)
            self._stack.push_async_callback(door.stop)
            self.smtp_address = join_address(door.address)
            self.smtps_address = join_address(door.tls_address) if door.tls_address else None

    async def _close(self) -> list[Environment]:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_S)
        await asyncio.gather(self._stack.aclose(), *(poller.drain(GRACE_S) for poller in self._pollers))
        return [environment for function in self._functions.values() for environment in function.close()]

    async def _repeat(self, schedule: template.ScheduleSpec, interval_s: float) -> None:
        """Invoke on schedule; one that outlasts the interval delays the next, as EventBridge would not."""
        function = self._functions[schedule.function]
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while True:
            due_at = max(due_at + interval_s, loop.time())
            await asyncio.sleep(due_at - loop.time())
            try:
                await function.invoke(schedule.payload)
            except FunctionFailed:
                continue  # reported by the environment; the next one comes
            except Exception:  # noqa: BLE001 (a fault of the engine's own must not end the schedule)
                traceback.print_exc(file=self._log)


make_engine = LocalEngine
FAILURES: Final = (template.TemplateError, FunctionFailed, OSError)
"""What `start` raises for reasons that its user can mend."""


def _forget_loggers(functions: Iterable[str]) -> None:
    """
    Unmake the functions' loggers: powertools keeps one for each service in the process, with its stream.

    An engine's functions would go on writing to the log of whoever was first: another engine, or a test.
    """
    for name in functions:
        logging.Logger.manager.loggerDict.pop(name.removesuffix("Function").lower(), None)


def overridden(spec: template.FunctionSpec, settings: Mapping[str, str]) -> dict[str, str]:
    """
    Give the variables of a function that settings replace.

    A function gets those that its environment holds already, and those that its settings class names:
    `ValidateFunction` reads `ValidateSettings`.
    """
    kind = getattr(paravion.settings, spec.name.removesuffix("Function") + "Settings", None)
    wanted = {field.name for field in fields(kind)} if kind else set()
    return {
        BY_NAME[name].variable: value
        for name, value in settings.items()
        if name in wanted or BY_NAME[name].variable in spec.variables
    }


def _queue_name(identifier: str) -> str:
    return identifier.rpartition("/")[2]
