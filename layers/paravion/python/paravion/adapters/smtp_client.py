"""
The Transport over the network: which host and address next, over which connection, and what that came to.

What to say and what an answer means is decided in domain/smtp_dialogue.py. Around it:

    module                what it has
    --------------------  ---------------------------------------------------------------------------
    smtp_attempt          one `send` under way: who is decided, what may still be tried
    smtp_session          from an address to a session: connect, TLS, EHLO, AUTH
    smtp_transaction      a dialogue's way over a connection; the body's way from the spool
    smtp_behind           what follows a message's final dot in the same write
    smtp_pool, smtp_line  connections that are kept, a host's places and who waits for one
    smtp_connection       one TCP connection; smtp_alarm its timer, smtp_tls the library's side of TLS

Connections are kept between transactions, jobs and warm invocations, on the one loop that the caller
keeps. One that died meanwhile costs a reconnect and nothing else: whatever goes wrong over a kept
connection before the final dot is repeated over a fresh one. After the final dot nothing is repeated.

While somebody waits for a host all of whose places are taken, his commands leave with the final dot of a message before
his: a host that does not bear it is not asked so again.

A kept connection carries only what its own TLS suffices for, and nothing that goes by another credential.

RFC: 5321 4.5.4.1, 5.1; 8689 4.2.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from paravion.adapters.smtp_attempt import Attempt, different
from paravion.adapters.smtp_behind import Behind, Ride
from paravion.adapters.smtp_pool import Pool
from paravion.adapters.smtp_session import Opener
from paravion.adapters.smtp_transaction import drive
from paravion.domain import budget, status
from paravion.domain.envelope import CHUNK_RECIPIENTS, DEADLINE_MAX_S
from paravion.domain.next_hop import is_refused
from paravion.domain.outcome import Outcome, Result
from paravion.domain.smtp_dialogue import EIGHT_BIT, ByTime, Request, Session, Transacted, fitting, opening, transact
from paravion.domain.tls_policy import NO_DANE, NO_STS, DaneFinding, TlsMode, TlsPolicy, own_mode, policy_for, satisfies
from paravion.domain.transcript import SILENT
from paravion.domain.verdict import Peer, Scope, Stage, Verdict, our_outcome, ours
from paravion.errors import SpoolMissing, SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Final

    from paravion.adapters.smtp_connection import Connection
    from paravion.adapters.smtp_pool import HostState
    from paravion.domain.envelope import DeliverBy
    from paravion.domain.next_hop import MxHost, NextHop
    from paravion.domain.sasl import Credential
    from paravion.domain.tls_facts import TlsFacts
    from paravion.ports import Resolver, Transaction

_TRUSTED_IDLE_S: Final = 1.0  # nothing forgets a connection sooner
_KNOWN_HOSTS: Final = 10_000  # some megabyte of names
_DNS: Final = "DNS"
_LOCAL: Final = "LOCAL"
_LACKS_TLS: Final = frozenset({status.TLS_NOT_OFFERED.enhanced, status.TLS_UNTRUSTED.enhanced})


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
        self._resolver = resolver
        self._tls = tls
        self._tls_fallback = tls_fallback
        self._chunking = chunking
        self._bdat: dict[str, bool] = {}  # hosts that offer it: whether they understand it
        self._converting = asyncio.Lock()
        self._one_by_one: set[str] = set()  # hosts that did not bear commands behind a final dot
        self._pool = Pool(connections_per_host=connections_per_host, idle_limit_s=idle_limit_s, max_idle=max_idle)
        self._opener = Opener(
            hostname, self._pool, connect_timeout_s=connect_timeout_s, ca_file=ca_file, credential_of=credential_of
        )

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        """See ports.Transport."""
        attempt = Attempt(hop, transaction, deadline, asyncio.get_running_loop().time, converting=self._converting)
        attempt.note(f"next hop {hop.name}: {', '.join([host.name for host in hop.hosts])}")
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
        finally:
            attempt.close()
        for position in attempt.pending:
            attempt.outcomes[position] = attempt.put_off.get(position) or our_outcome(
                status.NO_ANSWER, f"No time was left to try {hop.name}", Stage.CONNECT
            )
        return attempt.outcomes

    async def settle(self) -> None:
        """See ports.Transport: nothing goes on behind an answer."""

    async def close(self) -> None:
        """Take leave of every kept connection; waits for the hosts' answers at most two seconds."""
        await self._pool.close()

    async def _try_hosts(self, hop: NextHop, attempt: Attempt) -> None:
        for host in hop.hosts:
            if not attempt.goes_on():
                return
            state = self._pool.enter(host, hop.credential)
            try:
                await self._in_turn(host, state, attempt)
            finally:
                self._pool.leave(state)

    async def _in_turn(self, host: MxHost, state: HostState, attempt: Attempt) -> None:
        """Wait for one of the host's places, and try it."""
        try:
            ride = await state.line.take(attempt, attempt.deadline)
        except TimeoutError:
            text = f"No free connection to {host.name} in time"
            attempt.note(text)
            attempt.settle_all(ours(status.SYSTEM_BUSY, text, _LOCAL, Peer(host.name), Scope.HOST))
            return
        attempt.has_place = True
        try:
            await self._try_host(host, state, ride, attempt)
        finally:
            if attempt.has_place:
                state.line.give_back()

    async def _try_host(self, host: MxHost, state: HostState, ride: Ride | None, attempt: Attempt) -> None:
        """Try a kept connection, then the host's addresses, until one session has decided for the host."""
        policy = await self._policy(host, attempt)
        if ride is not None and not (isinstance(policy, TlsPolicy) and ride.connection.suits(policy)):
            ride.drop()
            ride = None
        if isinstance(policy, Verdict):
            attempt.note(f"{host.name}: {policy.outcome.status} {policy.outcome.text}")
            attempt.settle_all(_as_asked(policy, attempt.transaction))
            return
        kept = ride.connection if ride is not None else self._pool.take_idle(state, policy)
        if kept is not None and not await self._use(kept, state, attempt, ride):
            attempt.sessions_left -= 1
            return
        for address in await self._addresses(host, attempt):
            if not attempt.goes_on():
                return
            attempt.addresses_left -= 1
            attempt.tried_at = attempt.clock()
            opened = await self._opener.open(host, address, policy, attempt)
            if isinstance(opened, Verdict):
                attempt.settle_all(_as_asked(opened, attempt.transaction))
                continue
            attempt.sessions_left -= 1
            if not await self._use(opened, state, attempt):
                return

    async def _policy(self, host: MxHost, attempt: Attempt) -> TlsPolicy | Verdict:
        """Give what the host must show, or the verdict when it must not be used at all."""
        hop, transaction = attempt.hop, attempt.transaction
        if transaction.insists and not hop.vouches_for(host.name):
            text = f"Neither DNSSEC nor an MTA-STS policy vouches that {host.name} is a host of {hop.policy_domain}"
            return ours(status.ENCRYPTION_NEEDED, text, _LOCAL, Peer(host.name), Scope.HOST)
        dane = NO_DANE
        if hop.secure and not transaction.tls_optional:
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

    def _policy_by(self, name: str, attempt: Attempt, dane: DaneFinding) -> TlsPolicy | TlsFacts:
        hop, transaction = attempt.hop, attempt.transaction
        own = own_mode(self._tls, hop.tls, required=transaction.tls_required, verified=transaction.insists)
        # RFC 8689 4.2.2: what the recipients' domain asks for is not insisted upon.
        sts = NO_STS if transaction.tls_optional else hop.sts
        return policy_for(name, own, fallback=self._tls_fallback, sts=sts, dane=dane)

    async def _addresses(self, host: MxHost, attempt: Attempt) -> list[str]:
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

    async def _admitted(self, host: MxHost, addresses: list[str], attempt: Attempt) -> list[str]:
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

    async def _use(  # noqa: C901, PLR0912, PLR0915 (every way in which a connection is left, told once)
        self, connection: Connection, state: HostState, attempt: Attempt, ride: Ride | None = None
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
        recorder = attempt.recorder
        kept = connection.used > 0
        if kept:
            peer = session.peer
            text = f"over a kept connection to {peer.name} [{peer.address}]{peer.tls and ', ' + peer.tls}"
            recorder.begin(attempt.clock(), f"{text}, after {connection.used} transactions")
        connection.recorder = recorder
        todo = list(attempt.pending)
        ended = handed_over = False
        behind: Behind | None = None
        try:
            while todo and not ended:
                if ride is not None:
                    request = ride.request
                    recorder.sent(attempt.clock(), Stage.MAIL, ride.opening.octets)
                else:
                    waiting = {position: attempt.pending[position] for position in todo}
                    request = _request(attempt.transaction, waiting, session)
                todo = [n for n in todo if n not in request.recipients]
                behind = None if todo else self._behind(connection, session, state)
                result = await self._transact(connection, session, request, attempt, behind, kept=kept, ride=ride)
                ride = None
                verdicts = result.verdicts
                if kept and not result.intact:
                    verdicts = {n: verdict for n, verdict in verdicts.items() if verdict.scope is not Scope.HOST}
                    ended = len(verdicts) < len(request.recipients)
                connection.used += 1
                connection.reset = result.reset
                connection.fresh_at = attempt.clock()
                kept = kept and ended
                attempt.settle(verdicts)
                again = [n for n, verdict in verdicts.items() if verdict.scope is Scope.TRANSACTION]
                if again and any(verdict.outcome.result is Result.DELIVERED for verdict in verdicts.values()):
                    todo += again
                shared = None if ended else _shared(result)
                if shared is not None:
                    attempt.settle(dict.fromkeys(todo, shared))
                    todo = []
                    # What we know without asking holds over every connection to it.
                    ended = shared.scope is Scope.HOST and shared.outcome.command != _LOCAL
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
                self._pool.quit(connection)
            else:
                self._pool.keep(connection, state)
            return ended
        finally:
            if not handed_over and behind is not None:
                behind.give_up()
            connection.recorder = SILENT
            if not handed_over and connection.home is None and not self._pool.is_leaving(connection):
                connection.abort()

    def _behind(self, connection: Connection, session: Session, state: HostState) -> Behind | None:
        """Say what may follow the next message over a connection: nothing, unless the host is known to bear it."""
        name, extensions = session.peer.name, session.extensions
        by_bdat = self._chunking and extensions.chunking and self._bdat.get(name) is not False
        if not connection.used or not extensions.pipelining or by_bdat or name in self._one_by_one:
            return None
        return Behind(state.line, lambda attempt: self._ride(connection, session, attempt))

    def _ride(self, connection: Connection, session: Session, attempt: Attempt) -> Ride | None:
        """Give an attempt's commands for over a connection that is in use, if it can go over that at all."""
        transaction = attempt.transaction
        if (
            attempt.hop.secure
            or transaction.insists
            or connection.is_worn_out(session, more=1)
            or not attempt.goes_on()
        ):
            return None
        if transaction.body_type == EIGHT_BIT and not session.extensions.takes_eight_bit:
            return None
        policy = self._policy_by(session.peer.name, attempt, NO_DANE)
        if not (isinstance(policy, TlsPolicy) and satisfies(policy, connection.policy, session.peer.tls_facts)):
            return None
        request = _request(transaction, attempt.pending, session)
        said = opening(session, request)
        return Ride(connection, request, said) if said.commands else None

    def _take_one_by_one(self, session: Session) -> None:
        """Put nothing more behind a final dot for this host."""
        if len(self._one_by_one) >= _KNOWN_HOSTS:
            self._one_by_one.clear()
        self._one_by_one.add(session.peer.name)

    async def _transact(
        self,
        connection: Connection,
        session: Session,
        request: Request,
        attempt: Attempt,
        behind: Behind | None,
        *,
        kept: bool,
        ride: Ride | None,
    ) -> Transacted:
        transaction = attempt.transaction
        if transaction.body_type == EIGHT_BIT and not session.extensions.takes_eight_bit:
            converted = await attempt.in_seven_bit()
            if isinstance(converted, str):
                text = f"{session.peer.name} takes 7-bit mail only, and the message can't be converted: {converted}"
                verdict = ours(status.CONVERSION_REFUSED, text, _LOCAL, session.peer, Scope.MESSAGE)
                return Transacted(dict.fromkeys(request.recipients, verdict), intact=True, reset=connection.reset)
            transaction = converted
            request = _request(transaction, request.recipients, session)
        body, deadline = transaction.body, attempt.deadline
        if ride is not None:
            dialogue = transact(session, request, written=ride.opening)
            result = await drive(connection, dialogue, deadline, body, budget.REUSED_ANSWER_S, behind)
            refused = any(_is_refused_mail(verdict.outcome) for verdict in result.verdicts.values())
            if refused or not result.intact:
                self._take_one_by_one(session)
            if not refused or not result.intact:
                return result
            # Maybe for what stood before it: asked by itself it is answered for itself.
            attempt.note("MAIL again, by itself")
            connection.reset = True
        is_old = kept and attempt.clock() - connection.fresh_at > _TRUSTED_IDLE_S
        # Over one that may have died everything would be in doubt: a deferral, where DATA costs a reconnect.
        bdat = self._bdat.get(session.peer.name) if self._chunking and not is_old else False
        dialogue = transact(session, request, reset=connection.reset, bdat=bdat)
        first_s = budget.REUSED_ANSWER_S if is_old else None
        result = await drive(connection, dialogue, deadline, body, first_s, behind)
        for verdict in different(result.verdicts):
            if verdict.outcome.command == _LOCAL:
                attempt.note_ours(verdict)
        if result.bdat is not None:
            if len(self._bdat) >= _KNOWN_HOSTS:
                self._bdat.clear()
            self._bdat[session.peer.name] = result.bdat
        return result


def _is_refused_mail(outcome: Outcome) -> bool:
    return outcome.command == Stage.MAIL and outcome.code >= 500  # noqa: PLR2004 (5yz)


def _request(
    transaction: Transaction, waiting: Mapping[int, tuple[str, tuple[str, ...], str]], session: Session
) -> Request:
    """Say what a transaction sends over a session, to as many of those who wait as fit into one."""
    positions = fitting(session.extensions, waiting, CHUNK_RECIPIENTS)
    return Request(
        transaction.reverse_path,
        {position: waiting[position] for position in positions},
        transaction.header,
        transaction.body.octets,
        transaction.body_type,
        transaction.smtputf8,
        transaction.ret,
        transaction.envid,
        _by_time(transaction.deliver_by) if transaction.deliver_by is not None else None,
        transaction.requiretls,
    )


def _as_asked(verdict: Verdict, transaction: Transaction) -> Verdict:
    """
    Give what a host's lack of TLS, or of a name that it can prove, comes to: for good where the message insists.

    RFC 8689 4.2.1: returned when no host is left; a handshake that broke may do better the next time.
    """
    outcome = verdict.outcome
    if not transaction.insists or outcome.is_reply or outcome.status not in _LACKS_TLS:
        return verdict
    enhanced = status.ENCRYPTION_NEEDED.enhanced
    return replace(verdict, outcome=replace(outcome, result=Result.FAILED, status=enhanced))


def _by_time(deadline: DeliverBy) -> ByTime:
    """Give what is left at this moment, in whole seconds and none too many."""
    left_s = deadline.at - asyncio.get_running_loop().time()
    most = DEADLINE_MAX_S
    return ByTime(max(-most, min(math.floor(left_s), most)), deadline.returns, deadline.traces)


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
