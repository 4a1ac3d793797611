"""
The front door as a whole: listeners, what sessions share, and a stop that loses nothing.

Runs in whatever event loop calls `start`; does not configure logging and handles no signals (command.py does).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from asyncio import sslproto
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from infra.front_door import replies
from infra.front_door.api import Api
from infra.front_door.booking import Space
from infra.front_door.certificate import make_context
from infra.front_door.connection import READ_OCTETS, Connection
from infra.front_door.credentials import Credentials
from infra.front_door.health import Health
from infra.front_door.throttle import FREE_FAILURES, Throttle, source_of
from paravion.domain.http1 import basic

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from infra.front_door.api import MessageApi
    from infra.front_door.settings import FrontDoorSettings

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address


LIMITS_KNOWN_S: Final = 600.0
LIMITS_UNKNOWN_S: Final = 30.0
"""The API is away, or is older than its word about limits."""

_TLS_READ_OCTETS: Final = 1 << 15
"""Two records of TLS."""


class House:
    """
    What all sessions of one front door share. Used from one event loop only.

    Attributes:
        settings: With the API's limits where they are narrower.
        draining: No further transaction begins.
        closed_to_mail: See FrontDoor.
        buffer: Into which every connection reads; what is in it is taken before the next one reads.
        space: The memory for contents.
    """

    def __init__(
        self,
        settings: FrontDoorSettings,
        tls: ssl.SSLContext,
        api: MessageApi,
        closed_to_mail: Callable[[], str] = lambda: "",
    ) -> None:
        self.settings = settings
        self._own_settings = settings
        self.tls = tls
        self.api = api
        self.closed_to_mail = closed_to_mail
        self.throttle = Throttle(time.monotonic)
        self.credentials = Credentials(self.api, time.monotonic)
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(READ_OCTETS))
        self.space = Space(settings.max_buffered_octets)
        self.draining = False
        self.connections: set[Connection] = set()
        self._trusted = basic(*settings.credential) if settings.credential is not None else None
        self._by_source: dict[str, int] = {}
        self._by_user: dict[str, int] = {}
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self.empty = asyncio.Event()
        self.empty.set()

    def new_key(self) -> str:
        """
        Give a transaction's idempotency key; nobody else ever has the same.

        Drawn each time: a door that goes on from a snapshot of its machine would count on from where it was, and the
        API would take other mail for repeats, or refuse it.
        """
        return f"smtp-{secrets.token_hex(16)}"

    def admit(self, connection: Connection, address: str) -> str:
        """Count a connection in, of IPv6 to its /64; gives the reply with which to send it away, or ""."""
        if self.draining:
            return replies.STOPPING
        source = source_of(address)
        count = self._by_source.get(source, 0)
        if (
            len(self.connections) >= self.settings.max_connections_count
            or count >= self.settings.max_connections_per_address_count
        ):
            return replies.TOO_MANY_CONNECTIONS
        self.connections.add(connection)
        self._by_source[source] = count + 1
        self.empty.clear()
        return ""

    def release(self, connection: Connection, address: str) -> None:
        """Count a connection out; a second time does nothing."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        source = source_of(address)
        count = self._by_source[source] - 1
        if count:
            self._by_source[source] = count
        else:
            del self._by_source[source]
        if not self.connections:
            self.empty.set()

    async def is_empty_within(self, seconds: float) -> bool:
        """Wait until nobody is here any more; False: somebody still is."""
        try:
            async with asyncio.timeout(seconds):
                await self.empty.wait()
        except TimeoutError:
            return False
        return True

    def join(self, user: str) -> bool:
        """Count a connection among a credential's; False: it has too many."""
        count = self._by_user.get(user, 0)
        if count >= self.settings.max_connections_per_credential_count:
            return False
        self._by_user[user] = count + 1
        return True

    def leave(self, user: str) -> None:
        """Count it out."""
        self._by_user[user] -= 1
        if not self._by_user[user]:
            del self._by_user[user]

    def turn(self, address: str) -> asyncio.Semaphore:
        """
        Give what to hold while a credential that came from an address is asked for.

        Else a hundred guesses on a hundred connections would all be asked for before the first has failed.
        """
        source = source_of(address)
        turn = self._turns.get(source)
        if turn is None:
            turn = self._turns[source] = asyncio.Semaphore(FREE_FAILURES)
        return turn

    async def learn_limits(self) -> bool:
        """Go by what the API takes, where that is less than we were told; False: it does not say."""
        limits = await self.api.limits()
        if limits is None:
            return False
        own = self._own_settings
        self.settings = replace(
            own,
            max_message_octets=min(own.max_message_octets, limits.max_message_octets),
            max_recipients_count=min(own.max_recipients_count, limits.max_recipients_count),
        )
        return True

    async def follow_limits(self) -> None:
        """Learn them again and again, until cancelled: whoever changes them there need not start us anew."""
        while True:
            is_known = await self.learn_limits()
            await asyncio.sleep(LIMITS_KNOWN_S if is_known else LIMITS_UNKNOWN_S)

    def is_proxy(self, address: str) -> bool:
        """Say whether a peer speaks for others, by the PROXY protocol."""
        networks = self.settings.proxy_networks
        return bool(networks and address) and any(ipaddress.ip_address(address) in network for network in networks)

    def trusted_authorization(self, address: Address | None) -> str | None:
        """Under which authorization a client at an address may submit without AUTH; None: under none."""
        if address is None or not any(address in network for network in self.settings.trusted_networks):
            return None
        return self._trusted


class FrontDoor:
    """
    SMTP before the native API.

    Args:
        settings: What to listen on, whom to ask, what to allow.
        api: Whom to ask, if not the settings' URL.
        closed_to_mail: Gives the reply to MAIL while no mail is taken, else "".
    """

    def __init__(
        self,
        settings: FrontDoorSettings,
        api: MessageApi | None = None,
        closed_to_mail: Callable[[], str] = lambda: "",
    ) -> None:
        self._settings = settings
        self._api = api
        self._closed_to_mail = closed_to_mail
        self._servers: list[asyncio.Server] = []
        self._health: asyncio.Server | None = None
        self._following: asyncio.Task[None] | None = None
        self._house: House | None = None

    async def start(self) -> None:
        """
        Open the listeners.

        Raises:
            OSError: An address can't be bound or a certificate can't be read; nothing is left open.
            ValueError: The API's URL is none.
        """
        settings = self._settings
        tls = make_context(settings.certfile, settings.keyfile, settings.hostname, settings.pem)
        _slim_tls()
        house = House(settings, tls, self._api or Api(settings), self._closed_to_mail)
        self._house = house
        try:
            self._servers.append(await _listen(house, settings.host, settings.port, tls_first=False))
            if settings.tls_port is not None:
                self._servers.append(await _listen(house, settings.tls_host, settings.tls_port, tls_first=True))
            if settings.health is not None:
                self._health = await house.loop.create_server(partial(Health, house), *settings.health)
        except OSError:
            await self.stop()
            raise
        self._following = house.loop.create_task(house.follow_limits())

    async def stop(self) -> None:
        """
        Close the listeners, let transactions under way end, then cut what is left.

        A client between two commands hears 421 at once, one that has not ended its content within `unfinished_s` then.
        One whose content is complete hears the API's answer, unless that takes longer than `drain_s`: whoever heard
        nothing sends the message again, though the API may have it.
        """
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._following is not None:
            self._following.cancel()
            self._following = None
        house = self._house
        if house is None:
            return
        house.draining = True
        for connection in tuple(house.connections):
            connection.drain()
        unfinished_s = min(self._settings.unfinished_s, self._settings.drain_s)
        if not await house.is_empty_within(unfinished_s):
            for connection in tuple(house.connections):
                connection.drop_unfinished()
            if not await house.is_empty_within(self._settings.drain_s - unfinished_s):
                for connection in tuple(house.connections):
                    connection.abort()
                await asyncio.sleep(0)
        if self._health is not None:
            # To the last: who asks is told that we are stopping.
            self._health.close()
            self._health = None
        await house.api.close()

    def renew_tls(self) -> None:
        """
        Read certificate and key again, if they are in files; connections that are open keep theirs.

        Raises:
            OSError: They can't be read: what was goes on.
        """
        settings = self._settings
        if self._house is not None and settings.certfile is not None and settings.pem is None:
            self._house.tls = make_context(settings.certfile, settings.keyfile, settings.hostname)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the STARTTLS listener."""
        return _address(self._servers[0])

    @property
    def health_address(self) -> tuple[str, int] | None:
        """Host and port of the health endpoint, None if there is none."""
        return _address(self._health) if self._health is not None else None

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port of the implicit TLS listener, None if there is none."""
        return _address(self._servers[1]) if len(self._servers) > 1 else None


def _slim_tls() -> None:
    """
    Let a TLS connection read into less than asyncio's 256 KiB, which it takes at the handshake's beginning already.

    A thousand that say nothing would take as many MB as twenty that send 40 MB. There is no other way to say so.
    """
    sslproto.SSLProtocol.max_size = min(sslproto.SSLProtocol.max_size, _TLS_READ_OCTETS)


async def _listen(house: House, host: str, port: int, *, tls_first: bool) -> asyncio.Server:
    made = partial(Connection, house, tls_first=tls_first)
    try:
        return await house.loop.create_server(made, host, port, backlog=1024)
    except OSError as exc:
        raise OSError(exc.errno, f"{host}:{port}: {exc.strerror or exc}") from exc


def _address(server: asyncio.Server) -> tuple[str, int]:
    host, port = server.sockets[0].getsockname()[:2]
    return str(host), int(port)
