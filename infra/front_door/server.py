"""
The front door as a whole: listeners, what sessions share, and a stop that loses nothing.

Runs in whatever event loop calls `start`; does not configure logging and handles no signals (command.py does).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from infra.front_door import replies
from infra.front_door.api import Api
from infra.front_door.certificate import make_context
from infra.front_door.credentials import Credentials
from infra.front_door.session import HANDSHAKE_TIMEOUT_S, Session

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from infra.front_door.api import MessageApi
    from infra.front_door.settings import FrontDoorSettings


class Booking:
    """A session's share of the memory that contents may take; grows, and is given back at once."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._octets = 0

    def covers(self, octets: int) -> bool:
        """Grow to `octets` if that fits; False leaves nothing booked beyond what was."""
        more = octets - self._octets
        if more > 0 and self._house.booked_octets + more > self._house.settings.max_buffered_octets:
            return False
        self._house.booked_octets += more
        self._octets = octets
        return True

    def close(self) -> None:
        """Give everything back."""
        self._house.booked_octets -= self._octets
        self._octets = 0


class House:
    """
    What all sessions of one front door share. Used from one event loop only.

    Attributes:
        draining: No further transaction begins.
        closed_to_mail: See FrontDoor.
        booked_octets: Of all bookings.
    """

    def __init__(
        self,
        settings: FrontDoorSettings,
        tls: ssl.SSLContext,
        api: MessageApi,
        closed_to_mail: Callable[[], str] = lambda: "",
    ) -> None:
        self.settings = settings
        self.tls = tls
        self.api = api
        self.closed_to_mail = closed_to_mail
        self.credentials = Credentials(self.api, time.monotonic)
        self.draining = False
        self.booked_octets = 0
        self.sessions: set[Session] = set()
        self._by_address: dict[str, int] = {}
        self.empty = asyncio.Event()
        self.empty.set()

    def admit(self, session: Session, address: str) -> str:
        """Count a session in; gives the reply with which to send it away, or ""."""
        if self.draining:
            return replies.STOPPING
        count = self._by_address.get(address, 0)
        if (
            len(self.sessions) >= self.settings.max_connections_count
            or count >= self.settings.max_connections_per_address_count
        ):
            return replies.TOO_MANY_CONNECTIONS
        self.sessions.add(session)
        self._by_address[address] = count + 1
        self.empty.clear()
        return ""

    def release(self, session: Session, address: str) -> None:
        """Count a session out; a second time does nothing."""
        if session not in self.sessions:
            return
        self.sessions.discard(session)
        count = self._by_address[address] - 1
        if count:
            self._by_address[address] = count
        else:
            del self._by_address[address]
        if not self.sessions:
            self.empty.set()

    def open_booking(self) -> Booking:
        """Begin a content."""
        return Booking(self)


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
        self._house: House | None = None

    async def start(self) -> None:
        """
        Open the listeners.

        Raises:
            OSError: An address can't be bound or a certificate can't be read; nothing is left open.
            ValueError: The API's URL is none.
        """
        settings = self._settings
        tls = make_context(settings.certfile, settings.keyfile, settings.hostname)
        house = House(settings, tls, self._api or Api(settings), self._closed_to_mail)
        self._house = house
        loop = asyncio.get_running_loop()

        def make_session() -> Session:
            return Session(house, loop)

        try:
            self._servers.append(await _listen(loop, make_session, settings.host, settings.port))
            if settings.tls_port is not None:
                self._servers.append(await _listen(loop, make_session, settings.tls_host, settings.tls_port, tls))
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """
        Close the listeners, let transactions under way end for up to `drain_s`, then cut what is left.

        A client whose content was complete hears the API's answer; one between two commands hears 421.
        """
        for server in self._servers:
            server.close()
        self._servers.clear()
        house = self._house
        if house is None:
            return
        house.draining = True
        for session in tuple(house.sessions):
            session.drain()
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await house.empty.wait()
        except TimeoutError:
            for session in tuple(house.sessions):
                session.abort()
            await asyncio.sleep(0)
        await house.api.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the STARTTLS listener."""
        return _address(self._servers[0])

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port of the implicit TLS listener, None if there is none."""
        return _address(self._servers[1]) if len(self._servers) > 1 else None


async def _listen(
    loop: asyncio.AbstractEventLoop,
    make_session: Callable[[], Session],
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
) -> asyncio.Server:
    limit = None if tls is None else HANDSHAKE_TIMEOUT_S
    return await loop.create_server(make_session, host, port, ssl=tls, ssl_handshake_timeout=limit, backlog=1024)


def _address(server: asyncio.Server) -> tuple[str, int]:
    host, port = server.sockets[0].getsockname()[:2]
    return str(host), int(port)
