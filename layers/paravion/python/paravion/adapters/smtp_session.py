"""
From an address to a session: connect, TLS, introduce ourselves, log in.

How much TLS a host must show is domain/tls_policy.py's; unless somebody asks for more it is opportunistic
(RFC 7435): used where offered, certificates unverified, in clear where the handshake fails, since refusing would
only send the same mail unencrypted through somebody else's. On port 465 TLS comes first and there is no clear
(RFC 8314). A hop with a credential is logged in to (domain/smtp_auth.py).

Next: adapters/smtp_client.py sends over what was opened.

RFC: 5321 3.1, 4.1.1.1; 3207; 4954.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from paravion.adapters.smtp_connection import Connection, reason
from paravion.adapters.smtp_transaction import drive
from paravion.domain import budget, status
from paravion.domain.next_hop import SMTPS_PORT
from paravion.domain.outcome import Outcome
from paravion.domain.smtp_dialogue import Refusal, Session, failed_tls, introduce, secured
from paravion.domain.tls_policy import TlsMode
from paravion.domain.verdict import Fault, FaultKind, Peer, Scope, Stage, Verdict, judge, our_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.adapters.smtp_attempt import Attempt
    from paravion.adapters.smtp_pool import Pool
    from paravion.domain.next_hop import MxHost, NextHop
    from paravion.domain.sasl import Credential
    from paravion.domain.tls_policy import TlsPolicy
    from paravion.domain.transcript import Recorder


class Opener:
    """
    Opens connections, which the pool then knows.

    Args:
        hostname, connect_timeout_s, ca_file, credential_of: See SmtpTransport.
    """

    def __init__(
        self,
        hostname: str,
        pool: Pool,
        *,
        connect_timeout_s: float,
        ca_file: str,
        credential_of: Callable[[str], Credential | Outcome] | None,
    ) -> None:
        self._hostname = hostname
        self._pool = pool
        self._connect_timeout_s = connect_timeout_s
        self._ca_file = ca_file
        self._credential_of = credential_of
        self._asked: dict[str, asyncio.Task[Credential | Outcome]] = {}

    async def open(self, host: MxHost, address: str, policy: TlsPolicy, attempt: Attempt) -> Connection | Verdict:
        """Connect, introduce ourselves, log in; with less TLS, as the policy allows, if TLS turns out to be broken."""
        while True:
            opened = await self._introduce(host, address, policy, attempt)
            if isinstance(opened, Connection):
                return opened
            laxer = policy.after(opened.verdict.outcome.tls_facts.result) if opened.tls_broken else None
            # In clear no secret is said, nor on the port where TLS comes first.
            no_clear = host.port == SMTPS_PORT or attempt.hop.credential
            if laxer is None or (no_clear and laxer.mode is TlsMode.NONE):
                return opened.verdict
            if not budget.may_begin(asyncio.get_running_loop().time(), attempt.deadline):
                return opened.verdict
            policy = laxer

    async def _introduce(self, host: MxHost, address: str, policy: TlsPolicy, attempt: Attempt) -> Connection | Refusal:
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
            result = await drive(connection, dialogue, deadline)
            if isinstance(result, Session) and attempt.hop.credential:
                result = await self._log_in(connection, result, attempt.hop, deadline)
        except BaseException:
            connection.abort()
            raise
        if isinstance(result, Session):
            connection.session = result
            return connection
        attempt.note_ours(result.verdict)
        self._pool.quit(connection)
        return result

    async def _log_in(
        self, connection: Connection, session: Session, hop: NextHop, deadline: float
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
        return await drive(connection, dialogue, deadline)

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
    ) -> Connection | Refusal:
        loop = asyncio.get_running_loop()
        recorder.begin(loop.time(), f"connecting to {host.name} [{peer.address}]:{host.port}, TLS {policy.mode.value}")
        seconds = min(self._connect_timeout_s, deadline - loop.time())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, host.name, policy, self._ca_file, self._pool.retire),
                    peer.address,
                    host.port,
                )
        except TimeoutError:
            return Refusal(judge(Stage.CONNECT, Fault(FaultKind.TIMED_OUT), peer))
        except OSError as exc:
            return Refusal(judge(Stage.CONNECT, Fault(FaultKind.REFUSED, reason(exc)), peer))
        recorder.note(loop.time(), "connected")
        connection.closed.add_done_callback(lambda _: self._pool.gone(connection))
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
