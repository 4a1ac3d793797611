"""infra/front_door/api.py over real sockets: whom it trusts, and how many connections it takes."""

import asyncio
import contextlib
import ssl
import time
from types import SimpleNamespace

import pytest

from infra.front_door import api as front_door_api
from infra.front_door.api import Api, Away
from infra.front_door.certificate import make_self_signed
from infra.front_door.settings import FrontDoorSettings

YES = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nobody waits for an API that is no better a second later."""
    monkeypatch.setattr(front_door_api, "RETRY_WAITS_S", (0.0, 0.0))


class Server:
    """An API that says yes to everything, after a while."""

    def __init__(self, tls=None):
        self.tls = tls
        self.heads = []
        self.opened = self.under_way = self.most = 0

    async def serve(self, reader, writer):
        self.opened += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(writer):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                await asyncio.sleep(0.005)
                self.under_way -= 1
                writer.write(YES)

    @contextlib.asynccontextmanager
    async def asked(self, **settings):
        """Give an Api before it."""
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.tls) as server:
            port = server.sockets[0].getsockname()[1]
            scheme = "https" if self.tls else "http"
            api = Api(FrontDoorSettings(f"{scheme}://localhost:{port}", **settings))
            try:
                yield api
            finally:
                await api.close()


def stranger(tmp_path):
    """A server's context and the file of its certificate."""
    path = tmp_path / "server.pem"
    path.write_bytes(make_self_signed("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path


def test_no_password_goes_to_whom_nobody_vouches_for(tmp_path):
    """A certificate that is signed by nobody we know is no API: not even the head of a request leaves us."""

    async def run():
        server = Server(stranger(tmp_path)[0])
        async with server.asked() as api:
            with pytest.raises(Away):
                await api.knows("Basic secret")
            answer = await api.submit("Basic secret", {}, b"x", "key")
            assert await api.limits() is None
        assert answer.reply.startswith("451 4.4.1 ")
        assert server.heads == []

    asyncio.run(run())


def test_api_is_known_by_an_authority_and_its_name(tmp_path, monkeypatch):
    """The system's authorities, as SSL_CERT_FILE names them; the name must be the one that was asked for."""
    context, path = stranger(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    async def run():
        async with Server(context).asked() as api:
            assert await api.knows("Basic secret")
            assert (api._context().check_hostname, api._context().verify_mode) == (True, ssl.CERT_REQUIRED)

    asyncio.run(run())


def test_connections_to_the_api_are_bounded():
    """However many ask at once: who comes beyond waits; connections are kept and used again."""

    async def run():
        server = Server()
        async with server.asked(max_api_connections_count=3) as api:
            assert [True] * 20 == await asyncio.gather(*(api.knows(f"Basic {number}") for number in range(20)))
        assert server.most <= 3
        assert server.opened == 3

    asyncio.run(run())


@pytest.mark.parametrize(("age_s", "opened"), [(10.0, 1), (20.0, 2)])
def test_a_kept_connection_is_used_for_as_long_as_servers_keep_it(monkeypatch, age_s, opened):
    """Some close after 20 s, and a request that meets that must be sent again."""

    async def run():
        server = Server()
        async with server.asked() as api:
            await api.knows("Basic x")
            later = SimpleNamespace(monotonic=lambda: time.monotonic() + age_s)
            monkeypatch.setattr(front_door_api, "time", later)
            await api.knows("Basic x")
        assert server.opened == opened

    asyncio.run(run())
