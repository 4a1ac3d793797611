"""
Local mode's functions on moto, killed at the call that was told: what Lambda does when a process dies.

Every outside call of a function's environment passes here: AWS's at the guard in front of moto, SMTP's writes and
answers at the connection, webhooks'. A mail's calls are counted, by their names; at the one that was told the function
dies, before the call or after it took effect: whatever else it still tries has no effect, its environment is given up,
and its items turn up again when their visibility ends.

    with installed(Steps()) as steps, LocalEngine(options, log) as engine: ...
"""

from __future__ import annotations

import contextlib
import contextvars
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest

from infra.local import template
from infra.local.aws import REGION, Cloud
from infra.local.environments import Environment, Function, FunctionFailed, FunctionTimedOut
from paravion.adapters.smtp_connection import Connection
from paravion.adapters.webhook_events import WebhookEvents
from paravion.services import deliver, retry

DELIVER_S = 8
"""How long an attempt may take; its lease with it."""

VISIBILITY_S = "3"
_MARGIN_S = 1.0
_WATCHED = {"validate", "deliver", "retry", "bounce", "publish"}
_QUEUE_ID = re.compile(r"(?<![a-z2-7])[a-z2-7]{26}(?![a-z2-7])")
_NAME = re.compile(r"crash-\d+")
_MADE = re.compile(r"/[qd]f/([a-z2-7]{26})")
_VERBS = {b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"QUIT"}
_END = b"\r\n.\r\n"

Step = tuple[str, int]
"""What a call is, and which such call of its mail it is, from 1."""


class Killed(BaseException):
    """The function died here."""


@dataclass
class Life:
    """
    One environment's life.

    Attributes:
        mail: Whose invocation it serves; "" for none's, or several'.
        exposed: It has sent a final dot, and has not written down what came of it.
    """

    function: str
    mail: str = ""
    sweeps: bool = False
    dead: bool = False
    exposed: bool = False


_here: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


@dataclass
class Steps:
    """
    Counts calls, and kills.

    Attributes:
        plan: For each mail at which step its function dies, and whether after it; "" for calls that are no mail's.
        made: How often each mail made which call.
        seen: A mail's steps in order, of the mails in `watched`.
        killed: Which mails' functions were.
        exposed: Which of them had sent a message that nobody has written down: RFC 1047's instant.
    """

    plan: dict[str, tuple[Step, bool]] = field(default_factory=dict)
    made: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seen: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    killed: set[str] = field(default_factory=set)
    exposed: set[str] = field(default_factory=set)
    _mails: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mails_in(self, text: str) -> list[str]:
        """Name the mails that a text is about: by their names, or by queue ids that they were seen with."""
        with self._lock:
            found = [*_NAME.findall(text), *(self._mails.get(queue_id, "") for queue_id in _QUEUE_ID.findall(text))]
        return [name for name in dict.fromkeys(found) if name]

    def call(self, life: Life, what: str, text: str, make: Callable[[], Any]) -> Any:
        """Make a call, or die before or after it."""
        told = self._begin(life, what, text)
        result = make()
        self._end(life, told)
        return result

    async def call_async(self, life: Life, what: str, make: Callable[[], Any]) -> Any:
        """Await a call, or die before or after it."""
        told = self._begin(life, what, "")
        result = await make()
        self._end(life, told)
        return result

    def loses_answer(self, life: Life, text: str) -> bool:
        """Say whether the function dies when all is done, and before its answer is heard."""
        try:
            self.call(life, "answer", text, lambda: None)
        except Killed:
            return True
        return False

    def _begin(self, life: Life, what: str, text: str) -> str:
        """Count; gives the mail whose function is to die when the call was made."""
        if life.dead:
            raise Killed
        mails = [life.mail] if life.mail else self.mails_in(text) or [""]
        label = f"{'sweep' if life.sweeps else life.function} {what}"
        with self._lock:
            if len(mails) == 1:
                for queue_id in _MADE.findall(text):
                    self._mails.setdefault(queue_id, mails[0])
            told = ""
            for mail in mails:
                self.made[mail][label] += 1
                step = (label, self.made[mail][label])
                self.seen[mail].append(step)
                if mail not in self.killed and mail in self.plan and self.plan[mail][0] == step:
                    told = mail
                    if not self.plan[mail][1]:
                        self._kill(life, mail)
                        raise Killed
        return told

    def _end(self, life: Life, told: str) -> None:
        with self._lock:
            if told:
                self._kill(life, told)
        if life.dead:
            # Another of its calls was the one: this one's answer reaches nobody.
            raise Killed

    def _kill(self, life: Life, mail: str) -> None:
        life.dead = True
        self.killed.add(mail)
        if life.exposed:
            self.exposed.add(mail)


@contextlib.contextmanager
def installed(steps: Steps) -> Iterator[Steps]:
    """Watch every engine on moto that is made within; with short leases and visibilities, and batches of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliver, "LEASE_MARGIN_S", _MARGIN_S)
        patch.setattr(deliver, "_RECORDING_S", 2.0)
        patch.setattr(deliver, "_KEEPING_S", 1.0)
        patch.setattr(retry, "_LEASE_MARGIN_S", 0.5)
        _hurry(patch)
        _watch_environments(patch, steps)
        _watch_calls(patch, steps)
        yield steps


def _hurry(patch: pytest.MonkeyPatch) -> None:
    create = template.create

    def quick(*arguments: Any) -> template.System:
        system = create(*arguments)
        sqs = boto3.client("sqs", region_name=REGION)
        for name in ("DeliveryQueue", "RetryQueue", "BounceQueue", "EventQueue"):
            sqs.set_queue_attributes(QueueUrl=system.resources[name], Attributes={"VisibilityTimeout": VISIBILITY_S})
        functions = {
            name: replace(spec, timeout_s=DELIVER_S) if name == "DeliverFunction" else spec
            for name, spec in system.functions.items()
        }
        mappings = tuple(replace(spec, batch_size=1) for spec in system.mappings)
        return replace(system, functions=functions, mappings=mappings)

    patch.setattr(template, "create", quick)


def _watch_environments(patch: pytest.MonkeyPatch, steps: Steps) -> None:
    run, serve, call, submit = Environment._run, Environment._serve, Function._call, ThreadPoolExecutor.submit

    def lives(environment: Environment) -> None:
        life = Life(environment._spec.name.removesuffix("Function").lower())
        environment.life = life  # type: ignore[attr-defined]
        _here.set(life if life.function in _WATCHED else None)
        run(environment)

    def serves(environment: Environment, handler: Any, invocation: Any) -> None:
        life: Life = environment.life  # type: ignore[attr-defined]
        mails = steps.mails_in(invocation.event)
        life.mail = mails[0] if len(mails) == 1 else ""
        life.sweeps = life.function == "retry" and '"Records"' not in invocation.event
        life.exposed = False
        serve(environment, handler, invocation)

    async def called(function: Function, environment: Environment, text: str) -> str:
        try:
            answer = await call(function, environment, text)
        except FunctionFailed as exc:
            if environment.life.dead:  # type: ignore[attr-defined]
                raise FunctionTimedOut("killed") from exc
            raise
        life: Life = environment.life  # type: ignore[attr-defined]
        if life.function in _WATCHED and steps.mails_in(text) and steps.loses_answer(life, text):
            raise FunctionTimedOut("killed, and its answer lost")
        return answer

    def submitted(pool: ThreadPoolExecutor, work: Any, /, *arguments: Any, **named: Any) -> Any:
        # Threads of an environment are its own.
        return submit(pool, contextvars.copy_context().run, work, *arguments, **named)

    patch.setattr(Environment, "_run", lives)
    patch.setattr(Environment, "_serve", serves)
    patch.setattr(Function, "_call", called)
    patch.setattr(ThreadPoolExecutor, "submit", submitted)


def _watch_calls(patch: pytest.MonkeyPatch, steps: Steps) -> None:
    on_request, write, answer, publish = Cloud._on_request, Connection.write, Connection.answer, WebhookEvents.publish

    def requested(cloud: Cloud, event_name: str, request: Any, **rest: Any) -> Any:
        life = _here.get()
        if life is None:
            return on_request(cloud, event_name, request, **rest)
        body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
        # How many go in one call depends on who else waits.
        what = event_name.removeprefix("before-send.").removesuffix("Batch")

        def make() -> Any:
            response = on_request(cloud, event_name, request, **rest)
            if what in {"dynamodb.UpdateItem", "dynamodb.PutItem"}:
                life.exposed = False
            return response

        return steps.call(life, what, f"{request.url} {body.decode('utf-8', 'replace')}", make)

    def written(connection: Connection, octets: bytes) -> None:
        life = _here.get()
        if life is None:
            return write(connection, octets)
        verb = octets[:4].upper()

        def make() -> None:
            life.exposed = life.exposed or octets.endswith(_END)
            write(connection, octets)

        return steps.call(life, f"smtp {verb.decode() if verb in _VERBS else 'message'}", "", make)

    async def answered(connection: Connection, seconds: float) -> Any:
        life = _here.get()
        if life is None:
            return await answer(connection, seconds)
        return await steps.call_async(life, "smtp answer", lambda: answer(connection, seconds))

    def published(webhooks: WebhookEvents, told: Any, events: Any) -> Any:
        life = _here.get()
        if life is None:
            return publish(webhooks, told, events)
        return steps.call(life, "webhook", "", lambda: publish(webhooks, told, events))

    patch.setattr(Cloud, "_on_request", requested)
    patch.setattr(Connection, "write", written)
    patch.setattr(Connection, "answer", answered)
    patch.setattr(WebhookEvents, "publish", published)
