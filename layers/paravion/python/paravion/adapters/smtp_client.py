"""
The Transport over the network: connections, time and flow control around domain/smtp_dialogue.py.

What to say and what an answer means is decided in the domain. Here: which host and address next, which
connection, how long to wait, and the body's way from the spool to the socket, a bounded piece at a time.

Connections are kept between transactions, jobs and warm invocations, on the one loop that the caller
keeps. One that died meanwhile costs a reconnect and nothing else: whatever goes wrong over a kept
connection before the final dot is repeated over a fresh one. After the final dot nothing is repeated.

While somebody waits for a host all of whose places are taken, his commands leave with the final dot of a message before
his (`_Behind`): one round trip and one write for each message. He was never in doubt: unless that message's end is
answered in time and the connection lives on, he is back in the line, and a host that does not bear it is not asked so
again.

How much TLS a host must show is domain/tls_policy.py's; unless somebody asks for more it is opportunistic
(RFC 7435): used where offered, certificates unverified, in clear where the handshake fails, since refusing would
only send the same mail unencrypted through somebody else's. A kept connection carries only what its own TLS
suffices for. On port 465 TLS comes first and there is no clear (RFC 8314). A hop with a credential is logged in to
(domain/smtp_auth.py), and its connections carry nothing that goes by another credential.

RFC: 5321 4.5.3.2, 4.5.4.1, 5.1; 3207.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from paravion.adapters.smtp_line import Line, Waiting
from paravion.adapters.smtp_tls import check, context_for, is_verified, result_of
from paravion.domain import budget, status
from paravion.domain.envelope import CHUNK_RECIPIENTS
from paravion.domain.next_hop import SMTPS_PORT, is_refused
from paravion.domain.outcome import Outcome, Result
from paravion.domain.reply import ReplyParser, printable
from paravion.domain.smtp_dialogue import (
    EIGHT_BIT,
    Content,
    Refusal,
    Request,
    Session,
    StartTls,
    Step,
    TlsUp,
    Transacted,
    Whole,
    failed_tls,
    fitting,
    introduce,
    opening,
    secured,
    transact,
)
from paravion.domain.tls_policy import (
    NO_DANE,
    DaneFinding,
    TlsMode,
    TlsPolicy,
    own_mode,
    policy_for,
    satisfies,
    seen_under,
)
from paravion.domain.transcript import SILENT
from paravion.domain.verdict import Fault, FaultKind, Peer, Scope, Stage, Verdict, combine, judge, our_outcome, ours
from paravion.errors import SpoolMissing, SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
    from typing import Any

    from paravion.domain.next_hop import MxHost, NextHop
    from paravion.domain.sasl import Credential
    from paravion.domain.tls_facts import TlsFacts
    from paravion.domain.transcript import Recorder
    from paravion.domain.verdict import Answer
    from paravion.ports import Body, Resolver, Transaction

MAX_ADDRESSES: Final = 5
"""Connections tried for one transaction; with MAX_SESSIONS Postfix's smtp_mx_address_limit and _session_limit."""

MAX_SESSIONS: Final = 2
"""Hosts that heard of the message and put it off before we do; RFC 5321 5.1 asks for at least two."""

_WRITE_OCTETS: Final = 131_072  # one piece handed to the socket; what it can't take is copied once
_REUSE_MESSAGES: Final = 100  # then a fresh connection, so that hosts may balance their load
_TRUSTED_IDLE_S: Final = 1.0  # nothing forgets a connection sooner
_FAIR_S: Final = 10.0  # who is silent for that long is silent
_BEHIND_S: Final = 2.0  # longest that somebody called waits for the dot before his
_KNOWN_HOSTS: Final = 10_000  # some megabyte of names
_DNS: Final = "DNS"
_LOCAL: Final = "LOCAL"

_SILENCE: Final = Fault(FaultKind.TIMED_OUT)

T = TypeVar("T")


class _Connection(asyncio.Protocol):
    """One TCP connection: answers in, octets out. All waiting is bounded; nothing raises for the network."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, policy: TlsPolicy, ca_file: str) -> None:
        self.name = name
        self.policy = policy
        self.up: TlsUp | None = None  # what the handshake came to
        self.session: Session | None = None
        self.recorder: Recorder = SILENT  # whoever uses it now
        self.reset = False  # the next transaction must begin with RSET
        self.used = 0  # transactions so far
        self.fresh_at = 0.0  # end of the last transaction
        self.home: _HostState | None = None  # where it lies idle
        self.timer: asyncio.TimerHandle | None = None  # ends its idleness, or its leave-taking
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._ca_file = ca_file
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else happens
        self._parser = ReplyParser()
        self._answers: deque[Answer] = deque()
        self._lost: Fault | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._quitting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; called once, before TLS if any."""
        self._transport = transport  # type: ignore[assignment]  # a TCP transport is one
        self._transport.set_write_buffer_limits(high=2 * _WRITE_OCTETS)

    def data_received(self, data: bytes) -> None:
        """Parse what came, wake who waits."""
        if self._quitting:
            self._transport.close()
            return
        self._answers.extend(self._parser.feed(data))
        if self._answers:
            self._wake()

    def eof_received(self) -> bool:
        """Count the end of the stream as the end of the connection, both ways."""
        self._lose(Fault(FaultKind.LOST))
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        self._lose(Fault(FaultKind.LOST, _reason(exc) if exc else ""))
        if self.timer is not None:
            self.timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Stop the flow."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let it flow again."""
        self._paused = False
        self._wake()

    @property
    def is_usable(self) -> bool:
        """Open, and nothing was said that nobody asked for (a 421 before closing, mostly)."""
        return self._lost is None and not self._answers and self._parser.is_empty and not self._transport.is_closing()

    @property
    def is_lost(self) -> bool:
        """The connection has ended."""
        return self._lost is not None

    def write(self, octets: bytes) -> None:
        """Send, or drop if the connection is gone: the next answer tells."""
        if self._lost is None:
            self._transport.write(octets)

    async def answer(self, seconds: float) -> Answer:
        """Give the next answer; what came before the end of the connection comes first."""
        if not self._answers and self._lost is None:
            await self._wait(seconds)
        if self._answers:
            return self._answers.popleft()
        return self._lost or Fault(FaultKind.TIMED_OUT)

    async def drain(self, seconds: float) -> Answer | None:
        """Wait until more may be written: None; or give what came up instead."""
        if self._paused and not self._answers and self._lost is None:
            await self._wait(seconds)
        if self._answers:
            return self._answers.popleft()
        if self._lost is not None:
            return self._lost
        return Fault(FaultKind.TIMED_OUT) if self._paused else None

    def is_worn_out(self, session: Session, more: int = 0) -> bool:
        """It carried as many messages as its host allows, or as we think fit, or will have after some more."""
        return self.used + more >= min(_REUSE_MESSAGES, session.extensions.mail_max or _REUSE_MESSAGES)

    async def start_tls(self, seconds: float) -> TlsUp | Fault:
        """Make the handshake, forgetting what was received in clear beyond the last reply (RFC 3207 5)."""
        self._answers.clear()
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
            return Fault(FaultKind.TLS, getattr(exc, "verify_message", "") or _reason(exc), result_of(exc))
        if secured is None:  # closed under the handshake
            self.connection_lost(None)
            return Fault(FaultKind.TLS)
        self._transport = secured
        self._transport.set_write_buffer_limits(high=2 * _WRITE_OCTETS)
        self._answers.clear()
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

    def quit(self) -> None:
        """Take leave without waiting: QUIT, and close when the host answers or after two seconds."""
        if self._lost is not None or self._transport.is_closing():
            self.abort()
            return
        self._quitting = True
        self._transport.write(b"QUIT\r\n")
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self._loop.call_later(budget.TIMEOUTS_S[Stage.QUIT], self.abort)

    def abort(self) -> None:
        """Close at once, whatever is still unsent."""
        self._transport.abort()

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _lose(self, fault: Fault) -> None:
        if self._lost is None:
            self._lost = fault
        self._wake()


@dataclass(slots=True)
class _HostState:
    """What is shared between all transactions to one host."""

    key: tuple[str, int, bool, bool, str]
    line: Line[_Attempt, _Ride]
    users: int = 0
    idle: list[_Connection] = field(default_factory=list)


@dataclass(slots=True)
class _Ride:
    """A connection handed over, over which one's commands have gone already: for these positions."""

    connection: _Connection
    positions: Sequence[int]
    octets: bytes


class _Behind:
    """What may follow a message's final dot: the commands of one who waits for his turn at the same host."""

    def __init__(self, line: Line[_Attempt, _Ride], choose: Callable[[_Attempt], _Ride | None]) -> None:
        self._line = line
        self._choose = choose
        self._called: Waiting[_Attempt, _Ride] | None = None
        self._ride: _Ride | None = None
        self.is_late = False  # the dot's answer kept him waiting for too long

    @property
    def is_written(self) -> bool:
        """Somebody's commands have gone out."""
        return self._ride is not None

    def octets(self) -> bytes:
        """Call somebody, and give his commands; b"" if there is nobody."""
        first = self._line.first()
        self._ride = self._choose(first.who) if first is not None else None
        if self._ride is None:
            return b""
        self._line.call()
        self._called = first
        return self._ride.octets

    def give_up(self, *, late: bool = False) -> None:
        """Send whoever was called back to the line's head: this connection will not do."""
        self.is_late = self.is_late or late
        if self._called is not None:
            self._line.put_back(self._called)
            self._called = None

    def hand_over(self) -> bool:
        """Give the connection and our place to whom we called; False if he is gone."""
        if self._called is None or self._ride is None:
            return False
        return self._line.hand_over(self._called, self._ride)


@dataclass(slots=True)
class _Held:
    """A body in memory."""

    content: bytes
    octets: int

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.content


@dataclass(slots=True)
class _Attempt:
    """One `send` under way."""

    hop: NextHop
    transaction: Transaction
    deadline: float
    pending: dict[int, tuple[str, tuple[str, ...], str]]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    put_off: dict[int, Outcome] = field(default_factory=dict)
    addresses_left: int = MAX_ADDRESSES
    sessions_left: int = MAX_SESSIONS
    tried_at: float = 0.0  # the latest connection
    converted: Transaction | None = None
    has_place: bool = False

    @property
    def recorder(self) -> Recorder:
        """Who is told what is said."""
        return self.transaction.recorder or SILENT

    def note(self, text: str) -> None:
        """Tell the transcript what happened."""
        self.recorder.note(asyncio.get_running_loop().time(), text)

    def note_ours(self, verdict: Verdict) -> None:
        """Tell the transcript what we decided ourselves: no reply shows it, nor a fault that was written down."""
        outcome = verdict.outcome
        if not outcome.is_reply and not any(line.text == outcome.text for line in self.recorder.lines[-1:]):
            self.note(f"{outcome.status} {outcome.text}")

    async def in_seven_bit(self) -> Transaction | str:
        """
        Give the transaction for a host without 8BITMIME, made once, the body in memory; or why there is none.

        Raises:
            SpoolMissing, SpoolUnavailable: The body can't be read, or not in time.
        """
        from paravion.domain import seven_bit  # seldom needed

        if self.converted is None:
            sent = self.transaction
            if not seven_bit.is_wanted(sent.header):
                return sent
            if sent.body.octets > seven_bit.MAX_OCTETS:
                return f"it has more than {seven_bit.MAX_OCTETS} octets" if sent.reverse_path else sent
            try:
                async with asyncio.timeout_at(self.deadline):
                    octets = b"".join([chunk async for chunk in sent.body.chunks()])
            except TimeoutError as exc:
                raise SpoolUnavailable("no time was left to read the body") from exc
            if len(octets) != sent.body.octets:
                raise SpoolUnavailable(f"body has {len(octets)} octets, not {sent.body.octets}")
            try:
                header, octets = await asyncio.to_thread(seven_bit.to_seven_bit, sent.header, octets)
            except seven_bit.NotConvertible as exc:
                # A report that can't be converted, for what it quotes, must not be lost: there is nobody to tell.
                return str(exc) if sent.reverse_path else sent
            self.converted = replace(sent, header=header, body=_Held(octets, len(octets)), body_type="7BIT")
        return self.converted

    def settle(self, verdicts: Mapping[int, Verdict]) -> None:
        """Write verdicts down: final ones, and those that the next host may still overrule."""
        now = asyncio.get_running_loop().time()
        # A silence that our own deadline cut short says nothing of the host: it may have been about to answer.
        is_cut_short = now >= self.deadline and now - self.tried_at < _FAIR_S
        for verdict in set(verdicts.values()):
            if verdict.outcome.is_reply or not is_cut_short:
                self.transaction.heard(verdict.outcome)
        for position, verdict in verdicts.items():
            if verdict.tries_next:
                self.put_off[position] = combine(self.put_off.get(position), verdict.outcome)
            else:
                self.outcomes[position] = verdict.outcome
                del self.pending[position]

    def goes_on(self) -> bool:
        """Somebody is pending, and limits and deadline allow one more connection."""
        if not self.pending or not self.addresses_left or not self.sessions_left:
            return False
        return budget.may_begin(asyncio.get_running_loop().time(), self.deadline)

    def settle_all(self, verdict: Verdict) -> None:
        """Write one verdict down for everybody who is pending."""
        self.settle(dict.fromkeys(self.pending, verdict))


class SmtpTransport:
    """
    Transport by SMTP, for one event loop.

    Args:
        hostname: Our name in EHLO; a host reached by MX that bears it is a loop.
        resolver: For hosts whose addresses the hop does not name.
        connect_timeout_s: Longest wait for a connection to open.
        connections_per_host: At once; who comes later waits for its turn until its deadline.
        idle_limit_s: An unused connection is given up after this.
        max_idle: Unused connections kept in all.
        tls: How much TLS a host must show whose route, domain and DNS ask for nothing else.
        tls_fallback: With tls may: in clear when the handshake breaks.
        ca_file: Trusted roots for tls verify and MTA-STS, PEM; "": the system's.
        credential_of: What a hop's credential name stands for, or the outcome when it stands for nothing;
            called in a thread, may block, never raises. None: no hop has one.
        chunking: Send small messages by BDAT where it is offered (domain/smtp_dialogue.py).
        admit: Asked for each host before it is connected to, with its name and the addresses that it may have:
            gives those that are left, or the outcome for mail to it.
    """

    def __init__(
        self,
        hostname: str,
        resolver: Resolver,
        *,
        connect_timeout_s: float = 30.0,
        connections_per_host: int = 20,
        idle_limit_s: float = 30.0,
        max_idle: int = 200,
        tls: TlsMode = TlsMode.MAY,
        tls_fallback: bool = True,
        ca_file: str = "",
        credential_of: Callable[[str], Credential | Outcome] | None = None,
        chunking: bool = True,
        admit: Callable[[str, Sequence[str]], Awaitable[list[str] | Outcome]] | None = None,
    ) -> None:
        self._admit = admit
        self._hostname = hostname
        self._resolver = resolver
        self._connect_timeout_s = connect_timeout_s
        self._connections_per_host = connections_per_host
        self._idle_limit_s = idle_limit_s
        self._max_idle = max_idle
        self._tls = tls
        self._tls_fallback = tls_fallback
        self._ca_file = ca_file
        self._credential_of = credential_of
        self._chunking = chunking
        self._bdat: dict[str, bool] = {}  # hosts that offer it: whether they understand it
        self._one_by_one: set[str] = set()  # hosts that did not bear commands behind a final dot
        self._hosts: dict[tuple[str, int, bool, bool, str], _HostState] = {}
        self._idle_count = 0
        self._asked: dict[str, asyncio.Task[Credential | Outcome]] = {}
        self._leaving: set[_Connection] = set()

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        """See ports.Transport."""
        attempt = _Attempt(hop, transaction, deadline, dict(transaction.recipients))
        attempt.note(f"next hop {hop.name}: {', '.join(host.name for host in hop.hosts)}")
        try:
            await self._try_hosts(hop, attempt)
        except Exception as exc:
            # Not only the spool's: what was delivered must be told whatever our own fault is (law 7).
            is_spool = isinstance(exc, SpoolMissing | SpoolUnavailable)
            attempt.note("the body can't be read from the spool" if is_spool else f"our own fault: {exc!r}")
            if not attempt.outcomes:
                raise
            # Some recipients are settled, maybe delivered: that must be told, and the others wait.
            attempt.settle_all(ours(status.ATTEMPT_BROKE_OFF, "", _LOCAL, Peer(), Scope.HOST))
        for position in attempt.pending:
            attempt.outcomes[position] = attempt.put_off.get(position) or our_outcome(
                status.NO_ANSWER, f"No time was left to try {hop.name}", Stage.CONNECT
            )
        return attempt.outcomes

    async def settle(self) -> None:
        """See ports.Transport: nothing goes on behind an answer."""

    async def close(self) -> None:
        """Take leave of every kept connection; waits for the hosts' answers at most two seconds."""
        for state in list(self._hosts.values()):
            for connection in list(state.idle):
                self._quit(self._take(connection, state))
            self._forget(state)
        if self._leaving:
            await asyncio.wait([connection.closed for connection in self._leaving])

    @asynccontextmanager
    async def _place(
        self, host: MxHost, hop: NextHop, attempt: _Attempt
    ) -> AsyncIterator[tuple[_HostState, _Ride | None] | None]:
        """Wait for one of the host's places; None if the deadline comes first."""
        key = (host.name, host.port, host.allow_private, host.by_route, hop.credential)
        state = self._hosts.get(key)
        if state is None:
            state = self._hosts[key] = _HostState(key, Line(self._connections_per_host, _drop))
        state.users += 1
        try:
            try:
                ride = await state.line.take(attempt, attempt.deadline)
            except TimeoutError:
                yield None
                return
            attempt.has_place = True
            try:
                yield state, ride
            finally:
                if attempt.has_place:
                    state.line.give_back()
        finally:
            state.users -= 1
            self._forget(state)

    async def _try_hosts(self, hop: NextHop, attempt: _Attempt) -> None:
        for host in hop.hosts:
            if not attempt.goes_on():
                return
            async with self._place(host, hop, attempt) as place:
                if place is None:
                    text = f"No free connection to {host.name} in time"
                    attempt.note(text)
                    attempt.settle_all(ours(status.SYSTEM_BUSY, text, _LOCAL, Peer(host.name), Scope.HOST))
                else:
                    await self._try_host(host, *place, attempt)

    def _forget(self, state: _HostState) -> None:
        """Drop the state of a host that nobody uses and no connection leads to."""
        if not state.users and not state.idle:
            self._hosts.pop(state.key, None)

    async def _try_host(self, host: MxHost, state: _HostState, ride: _Ride | None, attempt: _Attempt) -> None:
        """Try a kept connection, then the host's addresses, until one session has decided for the host."""
        policy = await self._policy(host, attempt)
        if ride is not None and not (isinstance(policy, TlsPolicy) and _suits(ride.connection, policy)):
            _drop(ride)
            ride = None
        if isinstance(policy, Verdict):
            attempt.note(f"{host.name}: {policy.outcome.status} {policy.outcome.text}")
            attempt.settle_all(policy)
            return
        kept = ride.connection if ride is not None else self._take_idle(state, policy)
        if kept is not None and not await self._use(kept, state, attempt, ride):
            attempt.sessions_left -= 1
            return
        for address in await self._addresses(host, attempt):
            if not attempt.goes_on():
                return
            attempt.addresses_left -= 1
            attempt.tried_at = asyncio.get_running_loop().time()
            opened = await self._open(host, address, policy, attempt)
            if isinstance(opened, Verdict):
                attempt.settle_all(opened)
                continue
            attempt.sessions_left -= 1
            if not await self._use(opened, state, attempt):
                return

    async def _policy(self, host: MxHost, attempt: _Attempt) -> TlsPolicy | Verdict:
        """Give what the host must show, or the verdict when it must not be used at all."""
        hop = attempt.hop
        dane = NO_DANE
        if hop.secure:
            try:
                async with asyncio.timeout_at(attempt.deadline):
                    dane = await self._resolver.tlsa(host.name, host.port, hop.policy_domain)
            except TimeoutError:
                dane = DaneFinding(failed="timed out")
        policy = self._policy_by(host.name, attempt, dane)
        if isinstance(policy, TlsPolicy):
            return policy
        peer = Peer(host.name, tls_facts=policy)
        if dane.failed:
            return ours(status.DNS_TEMPFAIL, f"TLSA records of {host.name}: {dane.failed}", _DNS, peer, Scope.HOST)
        text = f"{host.name} is none of the hosts that the MTA-STS policy of {hop.policy_domain} allows"
        return ours(status.TLS_UNTRUSTED, text, _LOCAL, peer, Scope.HOST)

    def _policy_by(self, name: str, attempt: _Attempt, dane: DaneFinding) -> TlsPolicy | TlsFacts:
        own = own_mode(self._tls, attempt.hop.tls, required=attempt.transaction.tls_required)
        return policy_for(name, own, fallback=self._tls_fallback, sts=attempt.hop.sts, dane=dane)

    async def _addresses(self, host: MxHost, attempt: _Attempt) -> list[str]:
        """Give the addresses that may be connected to; with none, everybody who is pending is settled."""
        found: tuple[str, ...] | Outcome = host.addresses
        if not found:
            try:
                async with asyncio.timeout_at(attempt.deadline):
                    found = await self._resolver.addresses(host.name)
            except TimeoutError:
                found = our_outcome(status.DNS_TEMPFAIL, "", _DNS)
        if isinstance(found, Outcome):
            if host.allow_private and found.result is Result.FAILED:
                # A route that names a host which does not exist is our own mistake: mail waits for its correction.
                found = our_outcome(status.DNS_TEMPFAIL, found.text, _DNS)
            attempt.note(f"no address of {host.name}: {found.status} {found.text}")
            attempt.settle_all(Verdict(replace(found, mx_host=host.name), Scope.HOST))
            return []
        # Asked of the very addresses that are connected to: a name that changes its mind gains nothing.
        allowed = [address for address in found if host.allow_private or not is_refused(address)]
        if not allowed:
            text = f"{host.name} has no public address ({', '.join(found)})"
            attempt.note(text)
            attempt.settle_all(ours(status.NEXT_HOP_REFUSED, text, _LOCAL, Peer(host.name), Scope.HOST))
        return await self._admitted(host, allowed, attempt) if allowed and self._admit else allowed

    async def _admitted(self, host: MxHost, addresses: list[str], attempt: _Attempt) -> list[str]:
        """Ask whether the host may be connected to; if not, everybody who is pending is settled."""
        assert self._admit is not None  # noqa: S101 (the caller has looked)
        said = await self._admit(host.name, addresses)
        if isinstance(said, Outcome):
            # What is discarded needs no other host.
            scope = Scope.DESTINATION if said.result is Result.DELIVERED else Scope.HOST
            attempt.note(f"{host.name}: {said.status} {said.text}")
            attempt.settle_all(Verdict(replace(said, mx_host=host.name), scope))
            return []
        return said

    async def _open(self, host: MxHost, address: str, policy: TlsPolicy, attempt: _Attempt) -> _Connection | Verdict:
        """Connect, introduce ourselves, log in; with less TLS, as the policy allows, if TLS turns out to be broken."""
        while True:
            opened = await self._introduce(host, address, policy, attempt)
            if isinstance(opened, _Connection):
                return opened
            laxer = policy.after(opened.verdict.outcome.tls_facts.result) if opened.tls_broken else None
            # In clear no secret is said, nor on the port where TLS comes first.
            no_clear = host.port == SMTPS_PORT or attempt.hop.credential
            if laxer is None or (no_clear and laxer.mode is TlsMode.NONE):
                return opened.verdict
            if not budget.may_begin(asyncio.get_running_loop().time(), attempt.deadline):
                return opened.verdict
            policy = laxer

    async def _introduce(
        self, host: MxHost, address: str, policy: TlsPolicy, attempt: _Attempt
    ) -> _Connection | Refusal:
        deadline, recorder = attempt.deadline, attempt.recorder
        peer = Peer(host.name, address, tls_facts=policy.facts, by_route=host.by_route)
        connection = await self._connect(host, peer, policy, deadline, recorder)
        if isinstance(connection, Refusal):
            recorder.note(asyncio.get_running_loop().time(), connection.verdict.outcome.text)
            return connection
        connection.recorder = recorder
        if connection.up is not None:
            peer = secured(peer, connection.up)
        try:
            dialogue = introduce(
                self._hostname,
                peer,
                starttls=policy.mode is not TlsMode.NONE and connection.up is None,
                refuse_own_name=not host.allow_private,
                required=policy.is_required,
            )
            result = await _drive(connection, dialogue, deadline)
            if isinstance(result, Session) and attempt.hop.credential:
                result = await self._log_in(connection, result, attempt.hop, deadline)
        except BaseException:
            connection.abort()
            raise
        if isinstance(result, Session):
            connection.session = result
            return connection
        attempt.note_ours(result.verdict)
        self._quit(connection)
        return result

    async def _log_in(
        self, connection: _Connection, session: Session, hop: NextHop, deadline: float
    ) -> Session | Refusal:
        import secrets  # seldom needed, as the rest of this

        from paravion.domain.smtp_auth import authenticate

        try:
            async with asyncio.timeout_at(deadline):
                found = await self._credential(hop.credential) if self._credential_of else None
        except TimeoutError:
            found = our_outcome(status.NO_ANSWER, "The secret store does not answer", Stage.AUTH)
        if found is None:
            found = our_outcome(status.MISCONFIGURED, f"There is no credential {hop.credential}", Stage.AUTH)
        if isinstance(found, Outcome):
            peer = session.peer
            found = replace(found, mx_host=peer.name, address=peer.address, tls=peer.tls, tls_facts=peer.tls_facts)
            return Refusal(Verdict(found, Scope.HOST))
        dialogue = authenticate(session, found, secrets.token_urlsafe(18), clear=hop.tls == "none")
        return await _drive(connection, dialogue, deadline)

    async def _credential(self, name: str) -> Credential | Outcome:
        """Ask once for all that wait: a store that hangs holds one thread, and the ledger keeps the others."""
        assert self._credential_of is not None  # noqa: S101 (the caller has looked)
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = asyncio.ensure_future(asyncio.to_thread(self._credential_of, name))
            task.add_done_callback(lambda _: self._asked.pop(name, None))
        return await asyncio.shield(task)

    async def _connect(
        self, host: MxHost, peer: Peer, policy: TlsPolicy, deadline: float, recorder: Recorder
    ) -> _Connection | Refusal:
        loop = asyncio.get_running_loop()
        recorder.begin(loop.time(), f"connecting to {host.name} [{peer.address}]:{host.port}, TLS {policy.mode.value}")
        seconds = min(self._connect_timeout_s, deadline - loop.time())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, host.name, policy, self._ca_file), peer.address, host.port
                )
        except TimeoutError:
            return Refusal(judge(Stage.CONNECT, Fault(FaultKind.TIMED_OUT), peer))
        except OSError as exc:
            return Refusal(judge(Stage.CONNECT, Fault(FaultKind.REFUSED, _reason(exc)), peer))
        recorder.note(loop.time(), "connected")
        connection.closed.add_done_callback(lambda _: self._gone(connection))
        if host.port == SMTPS_PORT:
            try:
                up = await connection.start_tls(budget.wait_s(Stage.TLS, loop.time(), deadline))
            except BaseException:
                connection.abort()
                raise
            if isinstance(up, Fault):
                connection.abort()
                return Refusal(judge(Stage.TLS, up, failed_tls(peer, up)), tls_broken=True)
            recorder.note(loop.time(), connection.tls_facts)
        return connection

    async def _use(  # noqa: C901, PLR0912, PLR0915 (every way in which a connection is left, told once)
        self, connection: _Connection, state: _HostState, attempt: _Attempt, ride: _Ride | None = None
    ) -> bool:
        """
        Send what is pending over an open connection, in as many transactions as that takes.

        Args:
            ride: The first transaction's commands are on their way.

        Returns:
            True if another connection to the same host may do better, because this one ended. Nothing is put
            off for a kept one: it died of age, or its host had enough of it.
        """
        session = connection.session
        assert session is not None  # noqa: S101 (only introduced connections come here)
        kept = connection.used > 0
        if kept:
            peer = session.peer
            text = f"over a kept connection to {peer.name} [{peer.address}]{peer.tls and ', ' + peer.tls}"
            attempt.recorder.begin(asyncio.get_running_loop().time(), f"{text}, after {connection.used} transactions")
        connection.recorder = attempt.recorder
        todo = list(attempt.pending)
        ended = handed_over = False
        behind: _Behind | None = None
        try:
            while todo and not ended:
                waiting = {position: attempt.pending[position] for position in todo}
                positions = ride.positions if ride else fitting(session.extensions, waiting, CHUNK_RECIPIENTS)
                group = {n: waiting.pop(n) for n in positions}
                todo = list(waiting)
                behind = None if todo else self._behind(connection, session, state)
                if ride is not None:
                    attempt.recorder.sent(asyncio.get_running_loop().time(), Stage.MAIL, ride.octets)
                result = await self._transact(connection, session, group, attempt, behind, kept=kept, ride=ride)
                ride = None
                verdicts = result.verdicts
                if kept and not result.intact:
                    verdicts = {n: verdict for n, verdict in verdicts.items() if verdict.scope is not Scope.HOST}
                    ended = len(verdicts) < len(group)
                connection.used += 1
                connection.reset = result.reset
                connection.fresh_at = asyncio.get_running_loop().time()
                kept = kept and ended
                attempt.settle(verdicts)
                if any(verdict.outcome.result is Result.DELIVERED for verdict in verdicts.values()):
                    todo += [n for n, verdict in verdicts.items() if verdict.scope is Scope.TRANSACTION]
                shared = None if ended else _shared(result)
                if shared is not None:
                    attempt.settle(dict.fromkeys(todo, shared))
                    todo = []
                    ended = shared.scope is Scope.HOST
                if behind is not None and behind.is_written:
                    handed_over = result.intact and behind.hand_over()
                    attempt.has_place = not handed_over
                    if behind.is_late:
                        self._take_one_by_one(session)
                    # Not handed over it is no good for anybody: its host waits for a message that nobody will send.
                    return ended
                if not result.intact:
                    return ended
                if connection.is_worn_out(session):
                    ended = bool(todo)
                    break
            if ended:
                self._quit(connection)
            else:
                self._keep(connection, state)
            return ended
        finally:
            if not handed_over and behind is not None:
                behind.give_up()
            connection.recorder = SILENT
            if not handed_over and connection.home is None and connection not in self._leaving:
                connection.abort()

    def _behind(self, connection: _Connection, session: Session, state: _HostState) -> _Behind | None:
        """Say what may follow the next message over a connection: nothing, unless the host is known to bear it."""
        name, extensions = session.peer.name, session.extensions
        by_bdat = self._chunking and extensions.chunking and self._bdat.get(name) is not False
        if not connection.used or not extensions.pipelining or by_bdat or name in self._one_by_one:
            return None
        return _Behind(state.line, lambda attempt: self._ride(connection, session, attempt))

    def _ride(self, connection: _Connection, session: Session, attempt: _Attempt) -> _Ride | None:
        """Give an attempt's commands for over a connection that is in use, if it can go over that at all."""
        transaction = attempt.transaction
        if attempt.hop.secure or connection.is_worn_out(session, more=1) or not attempt.goes_on():
            return None
        if transaction.body_type == EIGHT_BIT and not session.extensions.takes_eight_bit:
            return None
        policy = self._policy_by(session.peer.name, attempt, NO_DANE)
        if not (isinstance(policy, TlsPolicy) and satisfies(policy, connection.policy, session.peer.tls_facts)):
            return None
        positions = fitting(session.extensions, attempt.pending, CHUNK_RECIPIENTS)
        group = {position: attempt.pending[position] for position in positions}
        octets = opening(session, _request(transaction, group))
        return _Ride(connection, positions, octets) if octets else None

    def _take_one_by_one(self, session: Session) -> None:
        """Put nothing more behind a final dot for this host."""
        if len(self._one_by_one) >= _KNOWN_HOSTS:
            self._one_by_one.clear()
        self._one_by_one.add(session.peer.name)

    async def _transact(
        self,
        connection: _Connection,
        session: Session,
        group: Mapping[int, tuple[str, tuple[str, ...], str]],
        attempt: _Attempt,
        behind: _Behind | None,
        *,
        kept: bool,
        ride: _Ride | None,
    ) -> Transacted:
        transaction = attempt.transaction
        if transaction.body_type == EIGHT_BIT and not session.extensions.takes_eight_bit:
            converted = await attempt.in_seven_bit()
            if isinstance(converted, str):
                text = f"{session.peer.name} takes 7-bit mail only, and the message can't be converted: {converted}"
                verdict = ours(status.CONVERSION_REFUSED, text, _LOCAL, session.peer, Scope.MESSAGE)
                return Transacted(dict.fromkeys(group, verdict), intact=True, reset=connection.reset)
            transaction = converted
        request = _request(transaction, group)
        body, deadline = transaction.body, attempt.deadline
        if ride is not None:
            dialogue = transact(session, request, written=True)
            result = await _drive(connection, dialogue, deadline, body, budget.REUSED_ANSWER_S, behind)
            refused = any(_is_refused_mail(verdict.outcome) for verdict in result.verdicts.values())
            if refused or not result.intact:
                self._take_one_by_one(session)
            if not refused or not result.intact:
                return result
            # Maybe for what stood before it: asked by itself it is answered for itself.
            attempt.note("MAIL again, by itself")
            connection.reset = True
        is_old = kept and asyncio.get_running_loop().time() - connection.fresh_at > _TRUSTED_IDLE_S
        # Over one that may have died everything would be in doubt: a deferral, where DATA costs a reconnect.
        bdat = self._bdat.get(session.peer.name) if self._chunking and not is_old else False
        dialogue = transact(session, request, reset=connection.reset, bdat=bdat)
        first_s = budget.REUSED_ANSWER_S if is_old else None
        result = await _drive(connection, dialogue, deadline, body, first_s, behind)
        for verdict in set(result.verdicts.values()):
            if verdict.outcome.command == _LOCAL:
                attempt.note_ours(verdict)
        if result.bdat is not None:
            if len(self._bdat) >= _KNOWN_HOSTS:
                self._bdat.clear()
            self._bdat[session.peer.name] = result.bdat
        return result

    def _take_idle(self, state: _HostState, policy: TlsPolicy) -> _Connection | None:
        """Give the connection that was used last, of those that are still good, and good enough."""
        now = asyncio.get_running_loop().time()
        for connection in reversed(state.idle.copy()):
            # The timer may be late: the loop stood still while the function was frozen.
            if not connection.is_usable or now - connection.fresh_at > self._idle_limit_s:
                self._quit(self._take(connection, state))
                continue
            if _suits(connection, policy):
                return self._take(connection, state)
        return None

    def _take(self, connection: _Connection, state: _HostState) -> _Connection:
        state.idle.remove(connection)
        self._idle_count -= 1
        connection.home = None
        if connection.timer is not None:
            connection.timer.cancel()
        return connection

    def _keep(self, connection: _Connection, state: _HostState) -> None:
        """Keep a connection for the next transaction, or take leave of it."""
        session = connection.session
        if (
            session is None
            or not connection.is_usable
            or connection.is_worn_out(session)
            or self._idle_count >= self._max_idle
        ):
            self._quit(connection)
            return
        loop = asyncio.get_running_loop()
        state.idle.append(connection)
        self._idle_count += 1
        connection.home = state
        connection.timer = loop.call_later(self._idle_limit_s, self._retire, connection)

    def _retire(self, connection: _Connection) -> None:
        state = connection.home
        if state is not None:
            self._quit(self._take(connection, state))
            self._forget(state)

    def _quit(self, connection: _Connection) -> None:
        if not connection.closed.done():
            self._leaving.add(connection)
        connection.quit()

    def _gone(self, connection: _Connection) -> None:
        """Forget a connection that closed."""
        self._leaving.discard(connection)
        state = connection.home
        if state is not None:
            self._take(connection, state)
            self._forget(state)


def _drop(ride: _Ride) -> None:
    """Give up a connection that was handed over and nobody wants: its host waits for a message."""
    ride.connection.abort()


def _is_refused_mail(outcome: Outcome) -> bool:
    return outcome.command == Stage.MAIL and outcome.code >= 500  # noqa: PLR2004 (5yz)


def _suits(connection: _Connection, policy: TlsPolicy) -> bool:
    """Say whether a connection is good enough; if so, its session tells from now on what it is under this policy."""
    session = connection.session
    assert session is not None  # noqa: S101 (only introduced connections are kept or handed over)
    peer = session.peer
    if not satisfies(policy, connection.policy, peer.tls_facts):
        return False
    facts = seen_under(peer.tls_facts, policy)
    if facts != peer.tls_facts:
        connection.session = replace(session, peer=replace(peer, tls_facts=facts))
    return True


def _request(transaction: Transaction, group: Mapping[int, tuple[str, tuple[str, ...], str]]) -> Request:
    """Say what a transaction to some of the recipients sends."""
    return Request(
        transaction.reverse_path,
        group,
        transaction.header,
        transaction.body.octets,
        transaction.body_type,
        transaction.smtputf8,
        transaction.ret,
        transaction.envid,
    )


async def _drive(
    connection: _Connection,
    dialogue: Generator[Any, Any, T],
    deadline: float,
    body: Body | None = None,
    first_s: float | None = None,
    behind: _Behind | None = None,
) -> T:
    """
    Do what a dialogue asks for until it returns.

    `first_s` bounds the wait for the first answer; `behind` may follow the message's end. Once the
    deadline is past every answer is a time-out.
    """
    clock = asyncio.get_running_loop().time
    recorder = connection.recorder
    answer: Answer | TlsUp | None = None
    try:
        while True:
            step = dialogue.send(answer)
            if isinstance(step, Step):
                if step.octets:
                    recorder.sent(clock(), step.stage, step.octets)
                    connection.write(step.octets)
                seconds = budget.wait_s(step.stage, clock(), deadline)
                answer = await connection.answer(seconds if first_s is None else min(seconds, first_s))
                recorder.received(clock(), step.stage, answer)
            elif isinstance(step, Content):
                assert body is not None  # noqa: S101 (only `transact` yields Content)
                recorder.content(clock(), len(step.header) + 2 + body.octets)
                answer = await _send_content(connection, step, body, deadline, behind if step.is_last else None)
                recorder.received(clock(), Stage.DOT if step.ended else Stage.CONTENT, answer)
            elif isinstance(step, Whole):
                assert body is not None  # noqa: S101 (as above)
                recorder.sent(clock(), Stage.MAIL, step.commands + step.last(body.octets))
                recorder.content(clock(), len(step.header) + 2 + body.octets)
                answer = await _send_whole(connection, step, body, deadline)
                if not step.is_sent:
                    recorder.note(clock(), "nothing of it was sent")
                recorder.received(clock(), Stage.MAIL, answer)
            elif isinstance(step, StartTls):
                answer = await connection.start_tls(budget.wait_s(Stage.TLS, clock(), deadline))
                if isinstance(answer, TlsUp):
                    recorder.note(clock(), connection.tls_facts)
                else:
                    recorder.received(clock(), Stage.TLS, answer)
            first_s = None
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _send_content(
    connection: _Connection, content: Content, body: Body, deadline: float, behind: _Behind | None
) -> Answer:
    """
    Stream the message, and give the answer to its final dot or whatever came up before that.

    Raises:
        SpoolMissing, SpoolUnavailable: The body can't be read, or not all of it; no final dot was sent.
    """
    clock = asyncio.get_running_loop().time
    chunks = body.chunks()
    waiting = [content.start()]
    size = len(waiting[0])
    octets = 0
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in chunks:
                octets += len(chunk)
                for at in range(0, len(chunk), _WRITE_OCTETS):
                    waiting.append(content.feed(chunk[at : at + _WRITE_OCTETS]))
                    size += len(waiting[-1])
                    if size >= _WRITE_OCTETS:
                        connection.write(b"".join(waiting))
                        waiting.clear()
                        size = 0
                        answer = await connection.drain(budget.wait_s(Stage.CONTENT, clock(), deadline))
                        if answer is not None:
                            return answer
    except TimeoutError:
        return Fault(FaultKind.TIMED_OUT)
    finally:
        end = getattr(chunks, "aclose", None)
        if end is not None:
            await end()
    if octets != body.octets:
        raise SpoolUnavailable(f"body has {octets} octets, not {body.octets}")
    answer = await connection.drain(budget.wait_s(Stage.CONTENT, clock(), deadline))
    return answer if answer is not None else await _end_content(connection, content, waiting, deadline, behind)


async def _end_content(
    connection: _Connection, content: Content, waiting: list[bytes], deadline: float, behind: _Behind | None
) -> Answer:
    """Write what is left of the message, its dot and what follows it; give the dot's answer."""
    clock = asyncio.get_running_loop().time
    if clock() >= deadline:
        # Without time to hear the answer, a dot would leave everybody in doubt.
        return Fault(FaultKind.TIMED_OUT)
    waiting.append(content.end())
    if behind is not None:
        waiting.append(behind.octets())
    connection.write(b"".join(waiting))
    end = clock() + budget.wait_s(Stage.DOT, clock(), deadline)
    if behind is not None and behind.is_written:
        answer = await connection.answer(min(_BEHIND_S, end - clock()))
        if answer != _SILENCE:
            return answer
        behind.give_up(late=True)
    return await connection.answer(end - clock())


async def _send_whole(connection: _Connection, whole: Whole, body: Body, deadline: float) -> Answer:
    """
    Write a whole transaction, and give its first answer.

    Raises:
        SpoolMissing, SpoolUnavailable: The body can't be read, or not all of it; nothing was sent.
    """
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout_at(deadline):
            octets = b"".join([chunk async for chunk in body.chunks()])
    except TimeoutError:
        return Fault(FaultKind.TIMED_OUT)
    if len(octets) != body.octets:
        raise SpoolUnavailable(f"body has {len(octets)} octets, not {body.octets}")
    if clock() >= deadline:
        return Fault(FaultKind.TIMED_OUT)
    if connection.is_lost:
        # Nothing leaves any more: no doubt begins.
        return await connection.answer(0.0)
    whole.is_sent = True
    connection.write(whole.octets(octets))
    return await connection.answer(budget.wait_s(Stage.MAIL, clock(), deadline))


def _shared(result: Transacted) -> Verdict | None:
    """Give the verdict that recipients who wait for a further transaction share without one."""
    for verdict in result.verdicts.values():
        if verdict.outcome.result is Result.DELIVERED:
            continue
        if verdict.scope is Scope.DESTINATION:
            # Only those of the transaction may have been delivered; the others never were in doubt.
            return Verdict(verdict.outcome, Scope.HOST)
        if verdict.scope in (Scope.MESSAGE, Scope.HOST):
            return verdict
    return None


def _reason(exc: BaseException) -> str:
    """Say what an exception of the network says, printable."""
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__
    return printable(text.encode("utf-8", "replace"))[:200]
