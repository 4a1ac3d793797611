"""
One TCP connection to an SMTP host: answers in, octets out, TLS in between.

All waiting is bounded, and nothing raises for the network: what goes wrong is an answer. One timer serves all that is
ever waited for: an answer, the end of idleness, the host's farewell.

Opened by adapters/smtp_session.py, kept by adapters/smtp_pool.py; adapters/smtp_transaction.py talks over it.

RFC: 3207 5 (TLS), 5321 4.1.1.10 (QUIT).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from paravion.adapters.smtp_alarm import Alarm
from paravion.adapters.smtp_tls import check, context_for, is_verified, result_of
from paravion.domain import budget
from paravion.domain.reply import ReplyParser, printable
from paravion.domain.smtp_dialogue import TlsUp
from paravion.domain.tls_policy import satisfies, seen_under
from paravion.domain.transcript import SILENT
from paravion.domain.verdict import Fault, FaultKind, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.adapters.smtp_pool import HostState
    from paravion.domain.smtp_dialogue import Session
    from paravion.domain.tls_policy import TlsPolicy
    from paravion.domain.transcript import Recorder
    from paravion.domain.verdict import Answer

WRITE_OCTETS: Final = 131_072
"""One piece handed to the socket; what it can't take is copied once."""

_REUSE_MESSAGES: Final = 100  # then a fresh connection, so that hosts may balance their load


class Connection(asyncio.Protocol):
    """
    See the module.

    Args:
        name: The host's.
        policy: What it must show.
        ca_file: See SmtpTransport.
        on_idle: Called when it has been idle until the instant that `rest` named.

    Attributes:
        up: What the handshake came to; None without TLS.
        session: What the introduction came to.
        recorder: Is told what is said: by whoever uses the connection now.
        reset: The next transaction must begin with RSET.
        used: Transactions so far.
        fresh_at: End of the last one.
        home: Where it lies idle.
        closed: Done when it is.
        answers: What came in and nobody has taken yet.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        policy: TlsPolicy,
        ca_file: str,
        on_idle: Callable[[Connection], None],
    ) -> None:
        self.name = name
        self.policy = policy
        self.up: TlsUp | None = None
        self.session: Session | None = None
        self.recorder: Recorder = SILENT
        self.reset = False
        self.used = 0
        self.fresh_at = 0.0
        self.home: HostState | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self.answers: deque[Answer] = deque()
        self._loop = loop
        self._ca_file = ca_file
        self._on_idle = on_idle
        self._alarm = Alarm(loop, self._ring)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else happens
        self._parser = ReplyParser()
        self._lost: Fault | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._wants_room = False
        self._quitting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; called once, before TLS if any."""
        self._transport = transport  # type: ignore[assignment]  # a TCP transport is one
        self._transport.set_write_buffer_limits(high=2 * WRITE_OCTETS)

    def data_received(self, data: bytes) -> None:
        """Parse what came, wake who waits."""
        if self._quitting:
            self._transport.close()
            return
        self.answers.extend(self._parser.feed(data))
        if self.answers:
            self._wake()

    def eof_received(self) -> bool:
        """Count the end of the stream as the end of the connection, both ways."""
        self._lose(Fault(FaultKind.LOST))
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        self._lose(Fault(FaultKind.LOST, reason(exc) if exc else ""))
        self._alarm.end()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Stop the flow."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let it flow again; who waits for an answer goes on waiting, or a message that has left would be put off."""
        self._paused = False
        if self._wants_room:
            self._wake()

    @property
    def is_usable(self) -> bool:
        """Open, and nothing was said that nobody asked for (a 421 before closing, mostly)."""
        return self._lost is None and not self.answers and self._parser.is_empty and not self._transport.is_closing()

    @property
    def is_lost(self) -> bool:
        """The connection has ended."""
        return self._lost is not None

    @property
    def is_flowing(self) -> bool:
        """Nothing speaks against writing more: what `drain` would wait for is so already."""
        return not self._paused and not self.answers and self._lost is None

    def write(self, octets: bytes) -> None:
        """Send, or drop if the connection is gone: the next answer tells."""
        if self._lost is None:
            self._transport.write(octets)

    async def answer(self, seconds: float) -> Answer:
        """Give the next answer; what came before the end of the connection comes first."""
        if not self.answers and self._lost is None:
            await self._wait(seconds)
        if self.answers:
            return self.answers.popleft()
        return self._lost or Fault(FaultKind.TIMED_OUT)

    async def drain(self, seconds: float) -> Answer | None:
        """Wait until more may be written: None; or give what came up instead."""
        if self._paused and not self.answers and self._lost is None:
            self._wants_room = True
            try:
                await self._wait(seconds)
            finally:
                self._wants_room = False
        if self.answers:
            return self.answers.popleft()
        if self._lost is not None:
            return self._lost
        return Fault(FaultKind.TIMED_OUT) if self._paused else None

    def is_worn_out(self, session: Session, more: int = 0) -> bool:
        """It carried as many messages as its host allows, or as we think fit, or will have after some more."""
        return self.used + more >= min(_REUSE_MESSAGES, session.extensions.mail_max or _REUSE_MESSAGES)

    def suits(self, policy: TlsPolicy) -> bool:
        """Say whether it is good enough; if so, its session tells from now on what it is under this policy."""
        session = self.session
        assert session is not None  # noqa: S101 (only introduced connections are kept or handed over)
        peer = session.peer
        if not satisfies(policy, self.policy, peer.tls_facts):
            return False
        facts = seen_under(peer.tls_facts, policy)
        if facts is not peer.tls_facts:
            self.session = replace(session, peer=replace(peer, tls_facts=facts))
        return True

    async def start_tls(self, seconds: float) -> TlsUp | Fault:
        """Make the handshake, forgetting what was received in clear beyond the last reply (RFC 3207 5)."""
        self.answers.clear()
        self._parser = ReplyParser()
        if self._lost is not None:
            return self._lost
        if seconds <= 0:
            return Fault(FaultKind.TIMED_OUT)
        plain = self._transport
        try:
            secured = await self._loop.start_tls(
                plain,
                self,
                context_for(self.policy, self._ca_file),
                server_hostname=self.policy.server_name or self.name or None,
                ssl_handshake_timeout=seconds,
            )
        except (OSError, ValueError) as exc:  # an SSLError is an OSError; a name unfit for SNI a ValueError
            plain.abort()
            self.connection_lost(exc)
            return Fault(FaultKind.TLS, getattr(exc, "verify_message", "") or reason(exc), result_of(exc))
        if secured is None:  # closed under the handshake
            self.connection_lost(None)
            return Fault(FaultKind.TLS)
        self._transport = secured
        self._transport.set_write_buffer_limits(high=2 * WRITE_OCTETS)
        self.answers.clear()
        session = secured.get_extra_info("ssl_object")
        wrong = check(self.policy, session)
        if wrong is not None:
            secured.abort()
            return Fault(FaultKind.TLS, f"the host is not the one that its TLSA records name ({wrong})", wrong)
        self.up = TlsUp(session.version() or "", (session.cipher() or ("",))[0], is_verified(self.policy))
        return self.up

    @property
    def tls_facts(self) -> str:
        """What is known of the TLS in use: version, cipher, proof, the certificate's SHA-256 in hex; "" in clear."""
        session = self._transport.get_extra_info("ssl_object")
        if session is None or self.up is None:
            return ""
        certificate = session.getpeercert(binary_form=True)
        digest = hashlib.sha256(certificate).hexdigest() if certificate else "none"
        proof = "verified, " if self.up.verified else ""
        return f"{self.up.version}, {self.up.cipher}, {proof}certificate sha256:{digest}"

    def rest(self, state: HostState, until: float) -> None:
        """Lie idle at a host's, until an instant of the loop's clock at most."""
        self.home = state
        self._alarm.set(until)

    def quit(self) -> None:
        """Take leave without waiting: QUIT, and close when the host answers or after two seconds."""
        if self._lost is not None or self._transport.is_closing():
            self.abort()
            return
        self._quitting = True
        self._transport.write(b"QUIT\r\n")
        self._alarm.set(self._loop.time() + budget.TIMEOUTS_S[Stage.QUIT])

    def abort(self) -> None:
        """Close at once, whatever is still unsent."""
        self._transport.abort()

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._waiter = waiter = self._loop.create_future()
        self._alarm.set(self._loop.time() + seconds)
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ring(self) -> None:
        """Time is up for what was waited for last; who waits no more left the alarm as it was."""
        if self._quitting:
            self.abort()
        elif self.home is not None:
            self._on_idle(self)
        else:
            self._wake()

    def _lose(self, fault: Fault) -> None:
        if self._lost is None:
            self._lost = fault
        self._wake()


def reason(exc: BaseException) -> str:
    """Say what an exception of the network says, printable."""
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
    return printable(text.encode("utf-8", "replace"))[:200]
