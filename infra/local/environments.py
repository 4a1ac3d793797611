"""
Functions as Lambda runs them: execution environments that serve one invocation at a time.

An environment is one fresh execution of the function's module in a thread of its own, with the function's
variables in `os.environ` while it initialises. What a function reads from the environment later, in an
invocation, it does not find: there is one `os.environ` for all, and our functions read it once.

Events and answers pass as JSON text, with Lambda's limits, so that nothing travels here that would not there.

An invocation that outlasts the function's time-out has failed. Its thread can't be killed: the environment is
given up, and what the handler does until it returns happens as it would in a crashed sandbox's last moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import itertools
import json
import os
import queue
import sys
import threading
import time
import traceback
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.local.template import FunctionSpec

PAYLOAD_OCTETS: Final = 6 * 1024 * 1024
"""Lambda's limit of a synchronous request and of its answer."""

INIT_S: Final = 60.0
"""Lambda allows 10 s; five functions that start at once on two cores need more."""

POOL_SIZES: Final = {"ValidateFunction": 8, "AdminFunction": 8, "DeliverFunction": 4}
POOL_SIZE: Final = 2
"""Most environments of a function: two cores gain nothing by more. Lambda would throttle, we let wait."""

_serial = itertools.count()
_environ_lock = threading.Lock()


class FunctionFailed(Exception):
    """The function raised, or its answer was not JSON or too large."""


class FunctionTimedOut(FunctionFailed):
    """The function outlasted its time-out."""


class PayloadTooLarge(FunctionFailed):
    """The event is larger than Lambda takes."""


@dataclass(slots=True)
class Context:
    """What a handler sees as its second argument."""

    function_name: str
    aws_request_id: str
    memory_limit_in_mb: int
    deadline: float
    function_version: str = "$LATEST"
    identity: None = None
    client_context: None = None

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        return f"arn:aws:lambda:{os.environ['AWS_REGION']}:123456789012:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        """Where Lambda would log."""
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        """Where Lambda would log."""
        return "local"

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds that are left of the function's time-out."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


@dataclass(slots=True)
class _Call:
    """One invocation on its way to the environment's thread."""

    event: str
    request_id: str
    result: Future[str]


class _Stdout(io.TextIOBase):
    """
    Standard output as a function's modules find it: its log; while they are executed, only for the thread that does.

    Whoever else prints in this process just then is not the function.
    """

    def __init__(self, log: TextIO, others: TextIO) -> None:
        super().__init__()
        self._log, self._others = log, others
        self.loading = threading.get_ident()

    def write(self, text: str) -> int:
        """Write it where it belongs."""
        return self._stream().write(text)

    def flush(self) -> None:
        """As the stream that is meant does."""
        self._stream().flush()

    def _stream(self) -> TextIO:
        return self._others if self.loading not in {0, threading.get_ident()} else self._log


class Environment:
    """One execution environment. `ready` is done when the module was executed, or has the error."""

    def __init__(self, spec: FunctionSpec, variables: Mapping[str, str], log: TextIO) -> None:
        self._spec = spec
        self._variables = variables
        self._log = log
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._module = f"paravion_function_{spec.handler.partition('.')[0]}_{next(_serial)}"
        self.ready: Future[None] = Future()
        self.ready.set_running_or_notify_cancel()  # nobody who stops waiting for it cancels it for the others
        self._thread = threading.Thread(target=self._run, name=self._module, daemon=True)
        self._thread.start()

    def submit(self, event: str) -> _Call:
        """Hand over one invocation; the caller has seen to it that there is only one."""
        call = _Call(event, str(uuid.uuid4()), Future())
        self._calls.put(call)
        return call

    def close(self) -> None:
        """Let the thread end after what it does now."""
        self._calls.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            handler = self._load()
        except BaseException as exc:  # noqa: BLE001 (SystemExit too is a failed initialisation)
            self._report("initialisation failed")
            self.ready.set_exception(FunctionFailed(f"{self._spec.name}: {exc!r}"))
            sys.modules.pop(self._module, None)
            return
        self.ready.set_result(None)
        while (call := self._calls.get()) is not None:
            self._serve(handler, call)
            del call  # a large event must not outlive its invocation
        sys.modules.pop(self._module, None)
        _close_event_loop()

    def _load(self) -> Callable[[Any, Context], Any]:
        """Execute the module with the function's environment; one at a time in the process."""
        file, _, attribute = self._spec.handler.rpartition(".")
        path = self._spec.code / f"{file}.py"
        spec = importlib.util.spec_from_file_location(self._module, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no module")
        module = importlib.util.module_from_spec(spec)
        with _environ_lock:
            saved = dict(os.environ)
            os.environ.update(self._variables)
            sys.modules[self._module] = module
            try:
                before = sys.stdout
                stdout = _Stdout(self._log, before)
                sys.stdout = stdout
                try:
                    spec.loader.exec_module(module)
                finally:
                    stdout.loading = 0
                    if sys.stdout is stdout:  # else somebody has put another in its place meanwhile, who is to keep it
                        sys.stdout = before
            finally:
                for name in self._variables:
                    if name in saved:
                        os.environ[name] = saved[name]
                    else:
                        os.environ.pop(name, None)
        handler: Callable[[Any, Context], Any] = getattr(module, attribute)
        return handler

    def _serve(self, handler: Callable[[Any, Context], Any], call: _Call) -> None:
        if not call.result.set_running_or_notify_cancel():
            return
        context = Context(
            self._spec.name, call.request_id, self._spec.memory_mb, time.monotonic() + self._spec.timeout_s
        )
        try:
            answer = json.dumps(handler(json.loads(call.event), context))
            if len(answer) > PAYLOAD_OCTETS:
                raise ValueError(f"the answer has {len(answer)} octets")  # noqa: TRY301 (reported like all else)
        except BaseException as exc:  # noqa: BLE001 (SystemExit too is a failed invocation)
            self._report(f"RequestId: {call.request_id}")
            call.result.set_exception(FunctionFailed(f"{self._spec.name}: {exc!r}"))
        else:
            call.result.set_result(answer)

    def _report(self, what: str) -> None:
        # A log that is closed under us (interpreter exit, a test's capture) must not kill the thread.
        with contextlib.suppress(ValueError, OSError):
            print(f"[ERROR] {self._spec.name} {what}\n{traceback.format_exc()}", file=self._log, flush=True)


def _close_event_loop() -> None:
    """Close the loop that a function keeps for its thread; in Lambda it would end with the process."""
    try:
        loop = asyncio.get_event_loop()
    except RuntimeError:
        return
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


class Function:
    """
    A function with its pool of environments, which grows on demand. Belongs to one event loop.

    Attributes:
        size: Most environments at a time.
    """

    def __init__(self, spec: FunctionSpec, environ: Mapping[str, str], log: TextIO) -> None:
        self.spec = spec
        self.size = POOL_SIZES.get(spec.name, POOL_SIZE)
        self._log = log
        self._variables = {
            **environ,
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
            "AWS_EXECUTION_ENV": "local",
            "LAMBDA_TASK_ROOT": str(spec.code),
            "TZ": ":UTC",
            **spec.variables,
        }
        self._slots = asyncio.Semaphore(self.size)
        self._idle: list[Environment] = []
        self._busy: set[Environment] = set()

    async def warm(self) -> None:
        """
        Make the first environment.

        Raises:
            FunctionFailed: Its module can't be executed; the text says why.
        """
        environment = Environment(self.spec, self._variables, self._log)
        await self._started(environment)
        self._idle.append(environment)

    async def invoke(self, event: Any) -> Any:
        """
        Invoke synchronously and give the answer.

        Args:
            event: What json takes.

        Raises:
            PayloadTooLarge: The event was not handed over.
            FunctionTimedOut, FunctionFailed
        """
        text = json.dumps(event)
        if len(text) > PAYLOAD_OCTETS:
            raise PayloadTooLarge(f"{self.spec.name}: the event has {len(text)} octets")
        async with self._slots:
            environment = self._idle.pop() if self._idle else Environment(self.spec, self._variables, self._log)
            self._busy.add(environment)
            try:
                answer = await self._call(environment, text)
            except FunctionFailed as exc:
                # An environment that raised serves on, one that did not start or timed out is lost.
                self._busy.discard(environment)
                failed_to_start = environment.ready.done() and environment.ready.exception() is not None
                if isinstance(exc, FunctionTimedOut) or failed_to_start:
                    environment.close()
                else:
                    self._idle.append(environment)
                raise
            except BaseException:
                self._busy.discard(environment)
                environment.close()
                raise
            self._busy.discard(environment)
            self._idle.append(environment)
        return json.loads(answer)

    async def _started(self, environment: Environment) -> None:
        try:
            # Not wait_for, which before Python 3.12 can swallow the cancellation of its caller.
            async with asyncio.timeout(INIT_S):
                await asyncio.wrap_future(environment.ready)
        except TimeoutError as exc:
            raise FunctionTimedOut(f"{self.spec.name} did not initialise in {INIT_S:g} seconds") from exc

    async def _call(self, environment: Environment, text: str) -> str:
        await self._started(environment)
        call = environment.submit(text)
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                return await asyncio.wrap_future(call.result)
        except TimeoutError as exc:
            with contextlib.suppress(ValueError, OSError):
                print(
                    f"[ERROR] {self.spec.name} RequestId: {call.request_id} "
                    f"timed out after {self.spec.timeout_s:g} seconds",
                    file=self._log,
                    flush=True,
                )
            raise FunctionTimedOut(f"{self.spec.name} timed out") from exc

    def close(self) -> list[Environment]:
        """Let all environments end; gives the idle ones, whose threads end at once."""
        idle, self._idle = self._idle, []
        for environment in (*idle, *self._busy):
            environment.close()
        return idle
