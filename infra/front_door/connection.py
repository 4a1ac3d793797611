"""
A session on a transport: reads into one buffer that all connections share, writes what the session says at once,
does what it asks for, and keeps the time.

No stream, no task for a command, one timer for a connection. A task is made for what takes its time: a TLS
handshake, a credential's check, a message's submission.

Next on a message's path: api.py.
RFC: 5321 4.5.3.2 (time-outs), 3207 (STARTTLS).
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from infra.front_door import replies
from infra.front_door.api import Answer, Away
from infra.front_door.effects import Check, Client, StartTls, Submit, Verdict, Waits
from infra.front_door.parts import Parts
from infra.front_door.proxy_protocol import BadHeader, ProxyHeader, plain_address
from infra.front_door.session import Session
from paravion.domain import status

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from infra.front_door.content import Content
    from infra.front_door.effects import Effect
    from infra.front_door.server import House

log = logging.getLogger("paravion.front_door")

READ_OCTETS: Final = 1 << 16
_PACE_OCTETS_PER_S: Final = 1000.0
"""A slower DATA than this ends after its grace: a byte every second is an attack, a modem is not."""

_PACE_GRACE_S: Final = 600.0
HANDSHAKE_TIMEOUT_S: Final = 30
"""asyncio's own 60 s is long for somebody who has not even said what he wants."""

_LAST_WORD_S: Final = 2.0
"""For a client to read that the door stops; what it waited for, a password's check, is given up then."""


class Connection(asyncio.BufferedProtocol):
    """
    One connection.

    Args:
        house: What all of them share.
        tls_first: TLS begins at once (RFC 8314 3.3).
    """

    def __init__(self, house: House, *, tls_first: bool) -> None:
        self._house = house
        self._loop = house.loop
        self._tls_first = tls_first
        self._plain: asyncio.Transport | None = None
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._address = ""
        self._header: ProxyHeader | None = None
        self._is_admitted = False
        self._counted_user = ""
        self._is_lost = False
        self._is_submitting = False
        self._is_shaking_hands = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: Parts | None = None
        self._is_paused = False
        self._has_backlog = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lines_count = -1
        self._content_begun: float | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit a client, or say 421 and close."""
        self._plain = self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = plain_address(peer[0]) if isinstance(peer, tuple) else ""
        if self._house.is_proxy(address):
            self._address = address
            self._header = ProxyHeader()
            self._set_deadline(self._loop.time() + HANDSHAKE_TIMEOUT_S)
        else:
            self._begin(address)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's signature)
        """Read into the one buffer: what is in it is taken before anybody else reads."""
        return self._house.buffer if self._header is None else self._house.buffer[: self._header.wants]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        if self._header is not None:
            self._take_header(self._header, self._house.buffer[:nbytes].tobytes())
        elif self._session is not None:
            try:
                self._session.receive(self._house.buffer[:nbytes].tobytes())
                self._pump()
            except Exception as exc:  # noqa: BLE001 (one session's fault is no other's)
                self._break(exc)

    def eof_received(self) -> bool:
        """Answer what came before; a client may close its side only (but not of TLS)."""
        if self._session is None:
            return False
        self._session.receive_eof()
        self._pump()
        return not self._session.is_secure

    def pause_writing(self) -> None:
        """A client that does not read what we say is not heard either; its time runs."""
        self._has_backlog = True
        self._set_paused(paused=True)

    def resume_writing(self) -> None:
        """It reads again."""
        self._has_backlog = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (why it is gone changes nothing)
        """Drop a message whose end did not come; one that has been handed in is the API's affair."""
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._parts is not None and self._session is not None and self._session.waits is not Waits.US:
            self._parts.cancel()
        if self._session is not None:
            self._session.abandon()
            self._log_dropped(self._session)
        self._leave()

    # -- what server.py calls

    def drain(self) -> None:
        """The door is stopping: leave now if nothing is under way, else after the next reply."""
        if self._session is not None:
            self._session.stop()
            self._pump()
        else:
            self.abort()

    def drop_unfinished(self) -> None:
        """The door waits no longer for what the client has to say; for a complete message's answer it does."""
        if self._is_submitting:
            return
        if self._is_shaking_hands:  # nothing can be said in clear, nor by TLS yet
            self.abort()
        else:
            self._say_last(replies.STOPPING)
            self._loop.call_later(_LAST_WORD_S, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        for task in self._tasks:
            task.cancel()
        for transport in (self._transport, self._plain):
            if transport is not None:
                transport.abort()

    # -- the beginning

    def _take_header(self, header: ProxyHeader, octets: bytes) -> None:
        try:
            if not header.feed(octets):
                return
        except BadHeader as exc:
            self._note({"event": "ProxyFailure", "client": self._address, "reason": str(exc)})
            self.abort()
            return
        self._header = None
        self._begin(self._address if header.address is None else plain_address(header.address))

    def _begin(self, address: str) -> None:
        assert self._transport is not None  # noqa: S101 (there is one since connection_made)
        self._address = address
        refusal = self._house.admit(self, address)
        self._is_admitted = not refusal
        if refusal:
            if not self._tls_first:
                self._transport.write(refusal.encode() + b"\r\n")
            self._transport.close()
        elif self._tls_first:
            self._start_tls()
        else:
            self._greet()

    def _greet(self) -> None:
        house = self._house
        address = ipaddress.ip_address(self._address) if self._address else None
        client = Client(
            self._address,
            is_loopback=address is not None and address.is_loopback,
            trusted=house.trusted_authorization(address),
        )
        self._session = Session(
            house.settings, client, house.space, time.time, house.closed_to_mail, secure=self._tls_first
        )
        self._pump()

    def _leave(self) -> None:
        """Count us out once nobody works for us any more."""
        if not self._is_lost or self._tasks:
            return
        if self._session is not None:
            self._session.let_go()
        if self._is_admitted:
            self._is_admitted = False
            self._count_user("")
            self._house.release(self, self._address)

    def _count_user(self, user: str) -> bool:
        """Count us among a credential's connections, instead of among another's; False: it has too many."""
        if self._counted_user:
            self._house.leave(self._counted_user)
            self._counted_user = ""
        if user and not self._house.join(user):
            return False
        self._counted_user = user
        return True

    # -- the session

    def _pump(self) -> None:
        """Say what there is to say, do what is asked for, and wait for what comes next."""
        session, transport = self._session, self._transport
        if session is None or transport is None:
            return
        self._log_dropped(session)
        while True:
            if (output := session.take_output()) and not transport.is_closing():
                transport.write(output)
            effect = session.take_effect()
            if self._parts is not None and session.content is not self._parts.content:
                # RSET between two chunks: what went ahead is no part of the message that comes next.
                self._drop_parts()
            if not isinstance(effect, Submit) or not effect.refusal:
                break
            self._log(effect, Answer(effect.refusal), self._loop.time())
            self._drop_parts()
            session.submitted(effect.refusal)
        if effect is not None:
            self._do(effect)
        waits = session.waits
        self._keep_time(session, waits)
        is_full = waits is Waits.US and session.pending_octets >= READ_OCTETS
        if waits is not Waits.US and session.content is not None:
            is_full = self._stream(session, session.content)
        if (is_full or self._has_backlog) != self._is_paused and not isinstance(effect, StartTls):
            self._set_paused(paused=not self._is_paused)
        if session.ended and waits is not Waits.US:
            transport.close()

    def _drop_parts(self) -> None:
        if self._parts is not None:
            self._parts.cancel()
            self._parts = None

    def _stream(self, session: Session, content: Content) -> bool:
        """Put what came of a large content; True: nothing more is to be read before the part under way is put."""
        part_octets = self._house.api.part_octets
        if not part_octets or content.held_octets < part_octets or content.is_dropped:
            return False
        if self._parts is None:
            self._parts = Parts(self._house.api, session.authorization, content)
        if self._parts.is_busy:
            self._deadline = None  # the client waits for us
            return True
        if part := session.take_part():
            self._parts.put(part, partial(self._part_put, session, content))
        return False

    def _part_put(self, session: Session, content: Content, fault: Answer | None) -> None:
        session.part_put()
        if fault is not None:
            content.refuse(_as_told(fault, is_own=session.user != "").reply)
        self._deadline = None
        self._pump()

    def _set_paused(self, *, paused: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or paused == self._is_paused:
            return
        self._is_paused = paused
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _say_last(self, line: str) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        output = b""
        if self._session is not None:
            output = self._session.take_output()
            self._session.last_said = line
        transport.write(output + line.encode() + b"\r\n")
        transport.close()

    def _break(self, error: BaseException) -> None:
        log.error("fault in an SMTP session", exc_info=error)
        self._say_last(replies.BROKEN)

    # -- time

    def _keep_time(self, session: Session, waits: Waits) -> None:
        """Say until when something must have moved; no time runs while the client waits for us."""
        if waits is Waits.US:
            self._deadline = None
            return
        now = self._loop.time()
        settings = self._house.settings
        if waits is Waits.COMMAND:
            if session.content is None:
                self._content_begun = None
            if self._deadline is not None and session.lines_count == self._lines_count:
                return  # half a line is no progress
            self._lines_count = session.lines_count
            deadline = now + settings.command_timeout_s
            if session.content is not None:  # between two chunks
                deadline = min(deadline, self._grace(session, now))
            self._set_deadline(deadline)
            return
        self._set_deadline(min(now + settings.data_timeout_s, self._grace(session, now)))

    def _grace(self, session: Session, now: float) -> float:
        """Say until when a content that comes at the slowest pace would have come so far."""
        if self._content_begun is None:
            self._content_begun = now
        received = session.content.received_octets if session.content is not None else 0
        return self._content_begun + _PACE_GRACE_S + received / _PACE_OCTETS_PER_S

    def _set_deadline(self, at: float) -> None:
        """
        Move the deadline.

        One timer serves a connection: it is made anew only for an earlier deadline, else it finds the later
        one when it comes round. It also covers a client that does not read what we say.
        """
        self._deadline = at
        timer = self._timer
        if timer is None or timer.when() > at:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(at, self._check_deadline)

    def _check_deadline(self) -> None:
        now = self._loop.time()
        if self._deadline is None or now < self._deadline:
            later = self._deadline if self._deadline is not None else now + self._house.settings.command_timeout_s
            self._timer = self._loop.call_at(later, self._check_deadline)
            return
        self._say_last(replies.TIMED_OUT)
        # A client that reads nothing must not keep what is buffered for it.
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self.abort)

    # -- what takes its time

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, Submit):
            self._is_submitting = True
            self._start(self._submit(effect))
        elif isinstance(effect, Check):
            self._start(self._check(effect))
        else:
            self._start_tls()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)
        self._leave()

    def _start_tls(self) -> None:
        assert self._plain is not None  # noqa: S101 (there is one since connection_made)
        # From here on nothing is read in clear: what follows is the handshake's, or it fails.
        self._plain.pause_reading()
        self._deadline = None  # the handshake has its own
        self._is_shaking_hands = True
        self._start(self._secure(self._plain))

    async def _secure(self, plain: asyncio.Transport) -> None:
        transport: asyncio.Transport | None = None
        try:
            transport = await self._loop.start_tls(
                plain, self, self._house.tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except (OSError, EOFError) as exc:
            self._note({"event": "TlsFailure", "client": self._address, "reason": type(exc).__name__})
        finally:
            if transport is None:
                plain.abort()
                # asyncio tells a protocol nothing of a connection whose handshake failed.
                self.connection_lost(None)
        if transport is None:
            return
        self._transport = transport
        self._is_shaking_hands = False
        self._is_paused = False
        if self._session is None:
            self._greet()
        else:
            self._session.secured()
            self._pump()

    async def _check(self, check: Check) -> None:
        verdict = await self._judge(check)
        if verdict is not Verdict.GOOD:
            reason = verdict.name.lower()
            self._note({"event": "AuthFailure", "client": self._address, "user": check.user, "reason": reason})
        if self._session is not None:
            self._session.checked(verdict)
            self._pump()

    async def _judge(self, check: Check) -> Verdict:
        house = self._house
        if not house.credentials.is_known(check.authorization):
            try:
                # Others from the same address may be before us.
                async with asyncio.timeout(house.settings.submit_timeout_s), house.turn(self._address):
                    verdict = await self._ask(check)
            except TimeoutError:
                verdict = Verdict.AWAY
            if verdict is not Verdict.GOOD:
                return verdict
        return Verdict.GOOD if self._count_user(check.user) else Verdict.CROWDED

    async def _ask(self, check: Check) -> Verdict:
        house = self._house
        if house.throttle.is_closed(self._address) and not house.credentials.is_known(check.authorization):
            return Verdict.THROTTLED
        try:
            good = check.authorization != "" and await house.credentials.are_good(check.authorization)
        except Away:
            return Verdict.AWAY
        if not good:
            house.throttle.failed(self._address)
        return Verdict.GOOD if good else Verdict.BAD

    async def _submit(self, submit: Submit) -> None:
        session = self._session
        assert session is not None  # noqa: S101 (it asked for this)
        begun = self._loop.time() if self._content_begun is None else self._content_begun
        transaction = submit.transaction
        fields = {
            "reverse_path": transaction.reverse_path,
            "recipients": transaction.recipients,
            "door": "smtp",
            "client": session.client_name,
            "protocol": session.protocol,
            **transaction.options,
        }
        key = self._house.new_key()
        parts, self._parts = self._parts, None
        api = self._house.api
        if parts is None:
            answer = await api.submit(submit.authorization, fields, submit.content.take(), key)
        else:
            answer = await parts.submit(submit.content.take(), fields, key)
        if answer.too_many_recipients and await self._house.learn_limits():
            session.heed(self._house.settings)
            if len(transaction.recipients) > self._house.settings.max_recipients_count:
                # The whole set would never be taken: from now on what is too many hears so at RCPT, and may come later.
                answer = Answer(replies.LEARNT_TOO_MANY)
        answer = _as_told(answer, is_own=submit.is_own)
        self._log(submit, answer, begun)
        if not answer.reply and self._transport is not None:
            self._transport.abort()
            return
        self._is_submitting = False
        session.submitted(answer.reply)
        self._pump()

    # -- the log

    def _log(self, submit: Submit, answer: Answer, begun: float) -> None:
        session = self._session
        if session is None or not log.isEnabledFor(logging.INFO):
            return
        transaction = submit.transaction
        self._note({
            "event": "Reception" if answer.queue_id else "Rejection" if answer.reply else "Silence",
            "queue_id": answer.queue_id,
            **self._who(session),
            "reverse_path": transaction.reverse_path,
            "recipients": len(transaction.recipients),
            "refused_recipients": transaction.refused_count,
            "octets": submit.content.received_octets,
            "reply": answer.reply,
            "ms": round((self._loop.time() - begun) * 1000),
        })  # fmt: skip

    def _log_dropped(self, session: Session) -> None:
        """Tell of transactions without a message: refused by us, or given up by the client or its connection."""
        for dropped in session.dropped:
            refused = not dropped.recipients_count and dropped.reply[:1] in {"4", "5"}
            self._note({
                "event": "Rejection" if refused else "Abandonment",
                "queue_id": "",
                **self._who(session),
                "reverse_path": dropped.reverse_path,
                "recipients": dropped.recipients_count,
                "refused_recipients": dropped.refused_count,
                "octets": dropped.octets,
                "reply": dropped.reply,
            })  # fmt: skip
        session.dropped.clear()

    def _who(self, session: Session) -> dict[str, object]:
        return {"client": self._address, "helo": session.helo, "user": session.user, "tls": session.is_secure}

    @staticmethod
    def _note(record: dict[str, object]) -> None:
        log.info(json.dumps(record))


def _as_told(answer: Answer, *, is_own: bool) -> Answer:
    """Give what the client hears: where it is the door's own credential that is bad, nothing that the client did."""
    return answer if is_own or not answer.refused_credential else Answer(replies.of_status(status.MISCONFIGURED))
