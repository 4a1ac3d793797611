"""
The whole pipeline on the in-memory ports, with a clock that jumps and crashes that are planned.

A crash is a BaseException out of a port, before or after the call took effect: the invocation is gone, its
items stay hidden until their visibility ends, and the world goes on, as AWS does.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from paravion.adapters import memory
from paravion.domain.envelope import Recipient, decode_qf
from paravion.domain.event_schedule import Rests
from paravion.domain.schedule import Plan
from paravion.domain.ses_event import Origin
from paravion.domain.submission import Receipt, Submission
from paravion.domain.suppression import Reason
from paravion.domain.tables import parse_table
from paravion.domain.target import AllowedTargets
from paravion.ports import QueueName
from paravion.services.bounce import BounceDeps, bounce
from paravion.services.commit import CommitDeps
from paravion.services.deliver import DeliverDeps, deliver
from paravion.services.pacing import PacedTransport
from paravion.services.publish import PublishDeps, publish
from paravion.services.retry import RetryDeps, retry, sweep
from paravion.services.signing import Signer
from paravion.services.suppress import SuppressDeps
from paravion.services.validate import ValidateDeps, submit
from paravion.settings import ValidateSettings, from_env

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome
    from paravion.services.blocking import InThread

START = 1_800_000_000.0
HOSTNAME = "mail.example.net"

ALLOWED = AllowedTargets(
    (
        "arn:aws:lambda:eu-west-1:123456789012:function:tickets",
        "arn:aws:sns:eu-west-1:123456789012:news",
        "arn:aws:sqs:eu-west-1:123456789012:inbox",
    ),
    ("hooks.example.org",),
)

PLAN = Plan(intervals_s=(300, 600, 1200), jitter_ratio=0.1, warn_s=14_400, return_s=432_000, fault_backoff_s=30)


class Crash(BaseException):
    """The process died here."""


@dataclass
class Saboteur:
    """
    Counts the calls of all ports and breaks one of them.

    Attributes:
        at: Which call breaks, counted from 0; None: none.
        after: Break after the call took effect (its answer is lost) instead of before.
        error: What is raised; a Crash by default.
        of_hosts: The hosts' port counts too: its calls go on beside the others, in no certain order.
        calls: What was called, in order.
    """

    at: int | None = None
    after: bool = False
    error: Callable[[str], BaseException] = Crash
    of_hosts: bool = False
    calls: list[str] = field(default_factory=list)

    def wrap(self, name: str, port: Any) -> Any:
        """Give a port that lets the saboteur look at each call."""
        return _Watched(name, port, self)

    def _breaks(self, name: str) -> bool:
        self.calls.append(name)
        return len(self.calls) - 1 == self.at

    def call(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call, or break it."""
        breaks = self._breaks(name)
        if breaks and not self.after:
            raise self.error(name)
        result = function(*args, **kwargs)
        if breaks:
            raise self.error(name)
        return result

    async def call_async(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call of a coroutine function, or break it."""
        breaks = self._breaks(name)
        if breaks and not self.after:
            raise self.error(name)
        result = await function(*args, **kwargs)
        if breaks:
            raise self.error(name)
        return result


class _Watched:
    def __init__(self, name: str, port: Any, saboteur: Saboteur) -> None:
        self._name, self._port, self._saboteur = name, port, saboteur

    def __getattr__(self, attribute: str) -> Any:
        function = getattr(self._port, attribute)
        if attribute in {"open_body", "settle"} or not callable(function):
            return function
        name = f"{self._name}.{attribute}"
        caller = self._saboteur.call_async if inspect.iscoroutinefunction(function) else self._saboteur.call

        def watched(*args: Any, **kwargs: Any) -> Any:
            return caller(name, getattr(self._port, attribute), args, kwargs)

        # Found at once the next time.
        setattr(self, attribute, watched)
        return watched


class World:
    """
    One installation.

    Args:
        script: Forward-path to the outcomes of its attempts; see MemoryTransport.
        hops: Domain to its next hop, where it is not simply itself.
        targets: Alias target to the outcomes of its attempts; see MemoryTargets.
        statistics: Whether it is counted what becomes of mail.
        run_coroutine: Runs what `deliver` is, as asyncio.run does.
        in_thread: Calls ports, as asyncio.to_thread does.
    """

    def __init__(
        self,
        script: Mapping[str, Sequence[Outcome]] | None = None,
        *,
        hops: Mapping[str, NextHop | Outcome] | None = None,
        targets: Mapping[str, Sequence[Outcome]] | None = None,
        saboteur: Saboteur | None = None,
        postmaster: str = "",
        plan: Plan = PLAN,
        statistics: bool = False,
        run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run,
        in_thread: InThread = asyncio.to_thread,
        **settings: str,
    ) -> None:
        self.now = START
        self.run_coroutine = run_coroutine
        self.saboteur = saboteur or Saboteur()
        self.spool = memory.MemorySpool()
        self.queues = memory.MemoryQueues(lambda: self.now)
        self.ledger = memory.MemoryLedger()
        self.transport = memory.MemoryTransport(script)
        self.resolver = memory.MemoryResolver(hops)
        self.targets = memory.MemoryTargets(targets)
        self.identities = memory.MemoryIdentities()
        self.secrets = memory.MemorySecrets()
        self.records = memory.MemoryRecords()
        self.counters = memory.MemoryCounters()
        self.tables = memory.MemoryTables()
        self.hosts = memory.MemoryHosts(lambda: self.now)
        self.suppression = memory.MemorySuppression()
        self.event_log = memory.MemoryEventLog()
        self.transcripts = memory.MemoryTranscripts()
        self.destinations = memory.MemoryEventDestinations()
        self.crashes = 0
        serial = count(1)

        def ports(function: str) -> tuple[Any, Any, Any]:
            wrapped = (("spool", self.spool), ("queues", self.queues), ("ledger", self.ledger))
            spool, queues, ledger = (self.saboteur.wrap(f"{function}:{name}", port) for name, port in wrapped)
            return spool, queues, ledger

        def in_turn(calls: Sequence[Callable[[], Any]]) -> list[Any]:
            # As adapters/in_parallel.py: what fails keeps no other call from being made.
            results: list[Any] = []
            errors: list[Exception] = []
            for call in calls:
                try:
                    results.append(call())
                except Exception as exc:
                    errors.append(exc)
            if errors:
                raise errors[0]
            return results

        def clock() -> float:
            return self.now

        environ = {f"PARAVION_{name.upper()}": value for name, value in settings.items()}
        required = dict.fromkeys(
            (
                "PARAVION_SPOOL",
                "PARAVION_LEDGER",
                "PARAVION_DELIVERY_QUEUE",
                "PARAVION_RETRY_QUEUE",
                "PARAVION_SECRETS",
            ),
            "memory",
        )
        defaults = {"PARAVION_HOSTNAME": HOSTNAME, "PARAVION_IDENTITY_CHECK": "off"}
        spool, queues, _ = ports("validate")
        self.for_validate = ValidateDeps(
            settings=from_env(ValidateSettings, {**required, **defaults, **environ}),
            to_commit=CommitDeps(spool, queues, in_turn),
            secrets=self.secrets,
            signer=Signer(self.saboteur.wrap("validate:secrets", self.secrets), clock),
            identities=self.identities,
            tables=self.tables,
            uploads=memory.MemoryUploads(),
            event_log=self.event_log,
            clock=clock,
            entropy=lambda octets: next(serial).to_bytes(octets, "big"),
            records=self.records,
            counters=self.saboteur.wrap("validate:counters", self.counters),
        )
        spool, queues, ledger = ports("deliver")
        self.for_deliver = DeliverDeps(
            spool=spool,
            queues=queues,
            ledger=ledger,
            resolver=self.saboteur.wrap("deliver:resolver", self.resolver),
            transport=self.transport,
            event_log=self.event_log,
            smarthost=None,
            tables=self.tables,
            targets=self.saboteur.wrap("deliver:targets", self.targets),
            suppression=self.saboteur.wrap("deliver:suppression", self.suppression),
            suppression_reasons=tuple(Reason),
            clock=clock,
            new_token=lambda: f"t{next(serial)}",
            transcripts=self.saboteur.wrap("deliver:transcripts", self.transcripts),
            counters=self.saboteur.wrap("deliver:counters", self.counters) if statistics else None,
            in_thread=in_thread,
        )
        self.new_transport = lambda: PacedTransport(
            self.saboteur.wrap("deliver:transport", self.transport),
            self.saboteur.wrap("deliver:hosts", self.hosts) if self.saboteur.of_hosts else self.hosts,
            self.event_log,
            clock=clock,
            draw=lambda: 0.5,
            new_token=lambda: f"f{next(serial)}",
            in_thread=in_thread,
        )
        self.for_deliver = replace(self.for_deliver, transport=self.new_transport())
        spool, queues, ledger = ports("retry")
        self.for_retry = RetryDeps(
            spool=spool,
            queues=queues,
            ledger=ledger,
            event_log=self.event_log,
            plan=plan,
            sweep_grace_s=900,
            in_parallel=in_turn,
            clock=clock,
            jitter=lambda: 0.5,
            counters=self.saboteur.wrap("retry:counters", self.counters) if statistics else None,
        )
        spool, queues, ledger = ports("bounce")
        self.for_bounce = BounceDeps(
            to_commit=CommitDeps(spool, queues, in_turn),
            ledger=ledger,
            to_suppress=SuppressDeps(
                self.saboteur.wrap("bounce:suppression", self.suppression), tuple(Reason), 0.0, self.event_log
            ),
            signer=Signer(self.saboteur.wrap("bounce:secrets", self.secrets), clock),
            event_log=self.event_log,
            hostname=HOSTNAME,
            postmaster=postmaster,
            return_s=plan.return_s,
            clock=clock,
            tables=self.tables,
            local_domains=self.for_validate.settings.local_domains,
            max_expansion_count=self.for_validate.settings.max_expansion_count,
            return_by_priority={name: other.return_s for name, other in plan.by_priority.items()},
        )

        spool, queues, ledger = ports("publish")
        self.for_publish = PublishDeps(
            spool=spool,
            queues=queues,
            ledger=ledger,
            records=self.records,
            destinations=self.saboteur.wrap("publish:destinations", self.destinations),
            event_log=self.event_log,
            origin=Origin(HOSTNAME, "us-east-1", "123456789012"),
            return_s=plan.return_s,
            retry_s=86_400,
            in_parallel=in_turn,
            clock=clock,
            jitter=lambda: 0.5,
        )

    def load(self, kind: str, text: str, allowed: AllowedTargets = ALLOWED) -> None:
        """Load a table from its file's text."""
        entries = parse_table(kind, [(kind, text.encode())], ("local.example",), allowed=allowed)
        self.tables.replace(kind, entries, self.now)

    def submit(self, *recipients: str | Recipient, sender: str = "me@example.org", **fields: Any) -> Receipt:
        """Submit a small message; a crash passes to the caller."""
        submission = Submission(
            reverse_path=sender,
            recipients=tuple(Recipient(r) if isinstance(r, str) else r for r in recipients),
            **{
                "principal": "AKIATEST",
                "door": "http",
                "content": b"From: me@example.org\r\nSubject: hello\r\n\r\nbody\r\n",
                **fields,
            },
        )
        return submit(submission, self.for_validate)

    def submit_like_a_door(self, *recipients: str | Recipient, **fields: Any) -> Receipt:
        """Submit with an idempotency key, and once more if the first answer was lost."""
        fields.setdefault("idempotency_key", "k1")
        try:
            return self.submit(*recipients, **fields)
        except Exception as exc:
            if type(exc).__name__ == "Rejected":
                raise
            return self.submit(*recipients, **fields)
        except Crash:
            self.crashes += 1
            return self.submit(*recipients, **fields)

    def invoke(self, queue: str, *, limit: int = 10) -> bool:
        """Let one function work on one batch; False when its queue shows nothing."""
        items = self.queues.receive(queue, limit)
        if not items:
            return False
        try:
            if queue == QueueName.DELIVERY:
                # A loop of its own: a fresh function, who knows what the ledger knows.
                self.for_deliver = replace(self.for_deliver, transport=self.new_transport())
                failed = self.run_coroutine(deliver(items, self.for_deliver, 60.0))
            elif queue == QueueName.RETRY:
                failed = retry(items, self.for_retry)
            elif queue == QueueName.EVENT:
                failed = publish(items, replace(self.for_publish, rests=Rests()))
            else:
                failed = bounce(items, self.for_bounce)
        except Crash:
            self.crashes += 1
            return True
        self.queues.delete(queue, [item.receipt for item in items if item.item_id not in failed])
        return True

    def sweep(self) -> int:
        """Run the minute's sweep."""
        try:
            return sweep(self.for_retry, lambda: 60.0)
        except Crash:
            self.crashes += 1
            return 0
        except Exception:  # the schedule comes again in a minute
            return 0

    def work(self) -> bool:
        """Let every function work on one batch, and the sweep if none had any; False when there is nothing to do."""
        names = (QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE, QueueName.EVENT)
        busy = [self.invoke(name) for name in names]
        return any(busy) or bool(self.sweep())

    def next_at(self) -> float | None:
        """Say when there is something to do again, None for never."""
        # What is due already waits for the next minute's sweep: the last one died.
        due = [max(r.due_at, self.now + 60) for r in self.ledger.records.values() if r.due_at]
        seen = self.queues.next_visible_at()
        return min([*due, *([seen] if seen is not None else [])], default=None)

    def run(self, until: float = START + 30 * 86_400, rounds: int = 3000) -> None:
        """Go on until nothing is left to do, moving the clock to whatever comes next."""
        for _ in range(rounds):
            if self.work():
                continue
            upcoming = self.next_at()
            if upcoming is None or upcoming > until:
                return
            self.now = upcoming
        raise AssertionError(f"the world does not come to rest: {self.ledger.records}")

    def accepted_by(self, forward_path: str) -> list[bytes]:
        """Give the contents that a recipient's host took."""
        return [content for _, path, _, content in self.transport.accepted if path == forward_path]

    def states(self, queue_id: str) -> dict[str, str]:
        """Give each recipient's final word."""
        return {
            state.forward_path: str(state.outcome.result)
            for record in self.ledger.load_message(queue_id)
            for state in record.recipients.values()
        }

    def kinds(self) -> list[str]:
        """Give the kinds of all messages that were kept."""
        return sorted(decode_qf(octets)[0].kind for octets in self.spool.envelopes.values())
