"""
The SMTP doors' way in on one machine: to the services directly, where a deployed door speaks HTTP to the API.

The same checks, the same replies: the credential is authenticated for every message, refusals are the taxonomy's.
What a session hands over it has parsed itself (infra/front_door/commands.py), so that no shape is checked again. There
is no answer that could get lost on the way, so no idempotency key either. A large message comes in parts, as it does
from a deployed door: they lie as uploads until it is complete.

Next on a message's path: services/validate.py.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from infra.front_door import replies
from infra.front_door.api import AUTH_KEYS, PART_OCTETS, Answer, Away
from paravion.adapters import embedded_loop
from paravion.api.doors import place_of, row_of
from paravion.domain import ids, status
from paravion.domain.envelope import DeliverBy, Recipient
from paravion.domain.sigv4 import SignedRequest
from paravion.domain.status import Rejected
from paravion.domain.submission import Receipt, Submission
from paravion.errors import QueueUnavailable, Unavailable
from paravion.services.authenticate import Principal, authenticate
from paravion.services.authorise import SMTP, require
from paravion.services.validate import submit

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from paravion.adapters.embedded_loop import Aside
    from paravion.domain.queue import Job
    from paravion.ports import Queues
    from paravion.services.validate import ValidateDeps

    Run = Callable[[Callable[[], Any]], asyncio.Future[Any]]
    """Runs a quick call on the loop's thread (adapters/embedded_loop.py)."""

SUBMIT_TIMEOUT_S: Final = 100.0
"""As the door's own (infra/front_door/settings.py)."""

SILENCE_AFTER_S: Final = 600.0
"""How long a client waits for this answer (RFC 5321 4.5.3.2.6)."""

_LOOK_AGAIN_S: Final = 5.0

_ENTRIES: Final = 1000
BUSY: Final = 256
"""Submissions under way; who comes beyond hears 451 at once, as at the HTTP doors."""


class DirectApi:
    """
    infra.front_door.api.MessageApi without HTTP; for one event loop.

    Args:
        deps: Of services/validate.py.
        run: Where the services run.
        keep_part: Keeps a part under an upload's id; blocks. None: a message is taken as a whole only.
        withdraw: Takes back what a call that was put aside waits to write, and lets the call go on with that; False if
            it is too late for that.
    """

    def __init__(
        self,
        deps: ValidateDeps,
        run: Run,
        keep_part: Callable[[str, bytes], None] | None = None,
        withdraw: Callable[[Aside], bool] = lambda _: False,
    ) -> None:
        self._deps = deps
        self._run = run
        self._keep_part = keep_part
        self._take_back = withdraw
        self.part_octets = PART_OCTETS if keep_part is not None else 0
        self.submit_timeout_s: float | None = None
        self._under_way = 0
        self._known: dict[str, tuple[str | None, Principal]] = {}

    async def close(self) -> None:
        """See MessageApi."""

    async def knows(self, authorization: str) -> bool:
        """See MessageApi."""
        try:
            await self._run(partial(self._principal, authorization))
        except Rejected:
            return False
        except Exception as exc:
            self._log("Fault", "", Rejected(row_of(exc)), exc)
            raise Away(type(exc).__name__) from exc
        return True

    async def put_part(self, authorization: str, part: bytes) -> str | Answer:  # noqa: ARG002 (asked for at the end)
        """See MessageApi."""
        upload_id = ids.random_queue_id(self._deps.entropy(16))
        assert self._keep_part is not None  # noqa: S101 (no part_octets otherwise)
        # What reaches a disk in megabytes has a thread of its own.
        work = asyncio.ensure_future(asyncio.to_thread(self._keep_part, upload_id, part))

        def is_of_no_use(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is None:
                self.forget([upload_id])

        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(is_of_no_use)
            raise
        except Unavailable as exc:
            fault = Rejected(row_of(exc))
            self._log("Fault", "", fault, exc)
            return _refusal(fault)
        return upload_id

    async def limits(self) -> None:
        """See MessageApi: the door is opened with ours."""

    def forget(self, upload_ids: Sequence[str]) -> None:
        """See MessageApi: a client that breaks off, again and again, must not fill the disk."""
        for upload_id in upload_ids:
            self._deps.uploads.delete(upload_id)

    async def submit(
        self,
        authorization: str,
        fields: Mapping[str, Any],
        content: bytes | Sequence[str],
        key: str,  # noqa: ARG002
    ) -> Answer:
        """See MessageApi."""
        if self._under_way >= BUSY:
            return Answer(replies.of_status(status.NO_ANSWER, "too many submissions at once"))
        self._under_way += 1
        withdraw: Callable[[], bool]
        if isinstance(content, bytes):
            quick = _Quick(partial(self._submit, authorization, fields, content, self._deps))
            under_way = self._run(quick)
            withdraw = partial(self._withdraw, quick)
        else:
            # What reads and writes megabytes has a thread; a task, for it is given up as a quick call is.
            queues = _InTime(self._deps.to_commit.queues)
            work = partial(self._submit_parts, authorization, fields, tuple(content), queues)
            under_way = _passed_on(asyncio.ensure_future(asyncio.to_thread(work)))
            withdraw = queues.give_up
        # A timer of its own costs a tenth of what asyncio.timeout does.
        waiting = _Waiting(under_way, withdraw)
        try:
            answer: Answer = await under_way
            return answer
        finally:
            waiting.timer.cancel()
            self._under_way -= 1

    def _withdraw(self, quick: _Quick) -> bool:
        """Have the call hear that what it waits for takes too long; what it makes of that is its own end."""
        if quick.aside is not None:
            before, quick.is_put_off = quick.is_put_off, True
            quick.is_put_off = self._take_back(quick.aside) or before
        return False

    def _submit_parts(
        self, authorization: str, fields: Mapping[str, Any], upload_ids: tuple[str, ...], queues: Queues
    ) -> Answer:
        deps = replace(self._deps, to_commit=replace(self._deps.to_commit, queues=queues))
        try:
            return self._submit(authorization, fields, upload_ids, deps)
        finally:
            # The client hears of it either way, and sends all of it again if it must.
            self.forget(upload_ids)

    def _submit(
        self, authorization: str, fields: Mapping[str, Any], given: bytes | tuple[str, ...], deps: ValidateDeps
    ) -> Answer:
        name = ""
        told = False
        try:
            principal = self._principal(authorization)
            name = principal.access_key
            require(principal, (SMTP,), self._deps.settings)
            content = given if isinstance(given, bytes) else self._read(given)
            submission = _submission(principal, fields, content)
            told = True
            receipt: Receipt = submit(submission, deps)
        except Rejected as rejected:
            if not told:
                self._log("Rejection", name, rejected)
            return _refusal(rejected)
        except Exception as exc:  # noqa: BLE001 (whatever else goes wrong is ours and transient, as in api/doors.py)
            fault = Rejected(row_of(exc))
            self._log("Fault", name, fault, exc)
            # The disk failed under what may be kept all the same: no word of that would be true.
            return _SILENCE if isinstance(exc, Unavailable) and exc.is_undecided else _refusal(fault)
        return Answer(f"{_QUEUED} {receipt.queue_id}", receipt.queue_id)

    def _read(self, upload_ids: tuple[str, ...]) -> bytes | Generator[bytes, None, None]:
        from paravion.services.uploads import read_uploads  # only for large mail

        return read_uploads(upload_ids, self._deps.uploads, self._deps.settings.max_message_octets)

    def _principal(self, authorization: str) -> Principal:
        """Give whose it is; what was good stays so while its secret is the same."""
        kept = self._known.get(authorization)
        if kept is not None and kept[0] == self._deps.secrets.get(f"credentials/{kept[1].access_key}"):
            return kept[1]
        principal = self._authenticated(authorization)
        secret = self._deps.secrets.get(f"credentials/{principal.access_key}")
        if self._authenticated(authorization) == principal:
            # It was good before and after: it is good for this secret.
            if len(self._known) >= _ENTRIES:
                self._known.clear()
            self._known[authorization] = (secret, principal)
        return principal

    def _authenticated(self, authorization: str) -> Principal:
        request = SignedRequest("POST", "/v1/messages", "", {"authorization": authorization}, b"")
        region = self._deps.settings.credential_region
        return authenticate(request, self._deps.secrets, now=self._deps.clock(), credential_region=region)

    def _log(self, event: str, principal: str, rejected: Rejected, exc: Exception | None = None) -> None:
        fields: dict[str, object] = {
            "door": "smtp",
            "principal": principal,
            "key": rejected.status.key,
            "status": rejected.status.enhanced,
            "detail": rejected.detail,
        }
        if exc is not None:
            fields |= {"fault": type(exc).__name__, "place": place_of(exc)}
        self._deps.event_log.emit(event, fields)


def _passed_on(work: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Give a future that has the other's end, unless somebody ended it before."""
    passed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def tell(done: asyncio.Future[Any]) -> None:
        if passed.done():
            return
        if done.cancelled():
            passed.cancel()
        elif (exc := done.exception()) is not None:
            passed.set_exception(exc)
        else:
            passed.set_result(done.result())

    work.add_done_callback(tell)
    return passed


_QUEUED: Final = replies.of_status(status.QUEUED)
_TOO_LATE: Final = Answer(replies.of_status(status.NO_ANSWER, "the disk takes too long"))
_SILENCE: Final = Answer("")


class _InTime:
    """
    The queues for one submission in a thread: its commit instant begins before its time is over, or never.

    Who comes first, decides: a mail whose client was told 451 is not kept a moment later, to come twice.

    Args:
        queues: ports.Queues; all but `send` is theirs.
    """

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._first = threading.Lock()
        self._is_kept = False

    def give_up(self) -> bool:
        """Say that the time is over; False: too late, it is being kept."""
        return self._first.acquire(blocking=False)

    def send(self, queue: str, jobs: Sequence[Job], *, delay_s: float = 0.0) -> None:
        """See ports.Queues."""
        self._is_kept = self._is_kept or self._first.acquire(blocking=False)
        if not self._is_kept:
            raise QueueUnavailable("its client has been told that it took too long")
        self._queues.send(queue, jobs, delay_s=delay_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queues, name)


class _Quick:
    """
    A quick call (adapters/embedded_loop.py) that can be found again.

    Attributes:
        aside: What it runs in; None before, and where it can't be put aside.
        is_put_off: Something that it waited to write was taken back.
    """

    __slots__ = ("_work", "aside", "is_put_off")

    def __init__(self, work: Callable[[], Answer]) -> None:
        self._work = work
        self.aside: Aside | None = None
        self.is_put_off = False

    def __call__(self) -> Answer:
        """Run it."""
        self.aside = embedded_loop.current()
        answer = self._work()
        return _TOO_LATE if self.is_put_off and answer.reply and not answer.queue_id else answer


class _Waiting:
    """
    How long a client waits for what becomes of its message, and what it hears.

    After SUBMIT_TIMEOUT_S what is not on its way to the disk yet is taken back: it ends with 451 and is never kept.
    What is on its way can't be, and 451 would be no true word of it: its answer waits until it is known, or as long as
    any client does, and then the connection ends without one. The client tries again either way, and may be the cause
    of a second copy then (RFC 1047), but was told nothing that is not so.

    Attributes:
        timer: For whoever has had the answer.
    """

    def __init__(self, under_way: asyncio.Future[Answer], withdraw: Callable[[], bool]) -> None:
        self._under_way = under_way
        self._withdraw = withdraw
        self._loop = under_way.get_loop()
        self._until = self._loop.time() + SILENCE_AFTER_S
        self.timer = self._loop.call_later(SUBMIT_TIMEOUT_S, self._look)

    def _look(self) -> None:
        under_way = self._under_way
        if under_way.done():
            return
        is_over = self._withdraw()
        if under_way.done():
            return
        if is_over:
            under_way.set_result(_TOO_LATE)
        elif self._loop.time() >= self._until:
            under_way.set_result(_SILENCE)
        else:
            # What it waits for may be on its way to the disk and not the message yet, which comes behind it.
            self.timer = self._loop.call_later(_LOOK_AGAIN_S, self._look)


def _submission(
    principal: Principal, fields: Mapping[str, Any], content: bytes | Generator[bytes, None, None]
) -> Submission:
    rest = dict(fields)
    if "send_at" in rest:
        rest["release_at"] = datetime.fromisoformat(rest.pop("send_at")).timestamp()
    if "deliver_by" in rest:
        at = datetime.fromisoformat(rest["deliver_by"]).timestamp()
        returns, traces = rest.pop("deliver_by_mode") == "return", rest.pop("deliver_by_trace", False)
        rest["deliver_by"] = DeliverBy(at, returns, traces)
    if rest.pop("tls", ""):
        rest |= {"tls_required": True, "requiretls": True}  # nothing else is said at these doors
    recipients = tuple(
        Recipient(item)
        if isinstance(item, str)
        else Recipient(item["forward_path"], tuple(item.get("notify", ())), item.get("orcpt", ""))
        for item in rest.pop("recipients")
    )
    return Submission(
        principal=principal.access_key,
        tenant=principal.tenant,
        scope=principal.scope,
        recipients=recipients,
        content=content,
        **rest,
    )


def _refusal(rejected: Rejected) -> Answer:
    row = rejected.status
    return Answer(replies.of_status(row, rejected.detail), refused_credential=row.key in AUTH_KEYS)
