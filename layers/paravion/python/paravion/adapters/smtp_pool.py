"""
The connections that are kept between transactions, jobs and warm invocations, and who may have one when.

Each host has a number of places (adapters/smtp_line.py) and a list of idle connections. One that died meanwhile, was
idle for too long or has carried enough is given up; what a message asks of TLS decides which of the others will do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paravion.adapters.smtp_behind import Ride
from paravion.adapters.smtp_line import Line

if TYPE_CHECKING:
    from paravion.adapters.smtp_attempt import Attempt
    from paravion.adapters.smtp_connection import Connection
    from paravion.domain.next_hop import MxHost
    from paravion.domain.tls_policy import TlsPolicy


@dataclass(slots=True)
class HostState:
    """What is shared between all transactions to one host; `users` have a place or wait for one."""

    key: tuple[str, int, bool, bool, str]
    line: Line[Attempt, Ride]
    users: int = 0
    idle: list[Connection] = field(default_factory=list)


class Pool:
    """
    For one event loop.

    Args:
        connections_per_host, idle_limit_s, max_idle: See SmtpTransport.
    """

    def __init__(self, *, connections_per_host: int, idle_limit_s: float, max_idle: int) -> None:
        self._connections_per_host = connections_per_host
        self._idle_limit_s = idle_limit_s
        self._max_idle = max_idle
        self._hosts: dict[tuple[str, int, bool, bool, str], HostState] = {}
        self._idle_count = 0
        self._leaving: set[Connection] = set()

    def enter(self, host: MxHost, credential: str) -> HostState:
        """Give what is shared at a host by those who use it alike, until `leave`."""
        key = (host.name, host.port, host.allow_private, host.by_route, credential)
        state = self._hosts.get(key)
        if state is None:
            state = self._hosts[key] = HostState(key, Line(self._connections_per_host, Ride.drop))
        state.users += 1
        return state

    def leave(self, state: HostState) -> None:
        """Say that one who entered is done."""
        state.users -= 1
        self._forget(state)

    def take_idle(self, state: HostState, policy: TlsPolicy) -> Connection | None:
        """Give the connection that was used last, of those that are still good, and good enough."""
        if not state.idle:
            return None
        now = asyncio.get_running_loop().time()
        for connection in reversed(state.idle.copy()):
            # The alarm may be late: the loop stood still while the function was frozen.
            if not connection.is_usable or now - connection.fresh_at > self._idle_limit_s:
                self.quit(self._take(connection, state))
                continue
            if connection.suits(policy):
                return self._take(connection, state)
        return None

    def keep(self, connection: Connection, state: HostState) -> None:
        """Keep a connection for the next transaction, or take leave of it."""
        session = connection.session
        if (
            session is None
            or not connection.is_usable
            or connection.is_worn_out(session)
            or self._idle_count >= self._max_idle
        ):
            self.quit(connection)
            return
        state.idle.append(connection)
        self._idle_count += 1
        connection.rest(state, asyncio.get_running_loop().time() + self._idle_limit_s)

    def retire(self, connection: Connection) -> None:
        """Take leave of a connection that was idle for too long."""
        state = connection.home
        if state is not None:
            self.quit(self._take(connection, state))
            self._forget(state)

    def quit(self, connection: Connection) -> None:
        """Take leave of a connection."""
        if not connection.closed.done():
            self._leaving.add(connection)
        connection.quit()

    def is_leaving(self, connection: Connection) -> bool:
        """Say whether leave is being taken of a connection."""
        return connection in self._leaving

    def gone(self, connection: Connection) -> None:
        """Forget a connection that closed."""
        self._leaving.discard(connection)
        state = connection.home
        if state is not None:
            self._take(connection, state)
            self._forget(state)

    async def close(self) -> None:
        """Take leave of every kept connection; waits for the hosts' answers at most two seconds."""
        for state in list(self._hosts.values()):
            for connection in list(state.idle):
                self.quit(self._take(connection, state))
            self._forget(state)
        if self._leaving:
            await asyncio.wait([connection.closed for connection in self._leaving])

    def _take(self, connection: Connection, state: HostState) -> Connection:
        state.idle.remove(connection)
        self._idle_count -= 1
        connection.home = None
        return connection

    def _forget(self, state: HostState) -> None:
        """Drop the state of a host that nobody uses and no connection leads to."""
        if not state.users and not state.idle:
            self._hosts.pop(state.key, None)
            state.line.end()
