"""
An SMTP server for tests that does what it is told, at every stage, in every wrong way.

    async with SmtpServer(script={"RCPT": ["550 5.1.1 no", None], "DOT": DROP}) as server:
        ... server.port, server.messages, server.sessions

A script names what happens at a stage: CONNECT EHLO HELO STARTTLS TLS AUTH RSET MAIL RCPT DATA CONTENT DOT QUIT,
BDAT (a chunk before the last one) and NO_BDAT (in place of all that BDAT does).
A list is consumed, one action each time the stage is reached by any session, then the server behaves;
anything else happens every time. Actions:

    None            behave
    "451 4.3.0 x"   this reply instead (LF separates lines of a multi-line reply; they need their codes)
    b"25"           these octets as they are, nothing more
    DROP RESET      close; close with RST
    HANG            say nothing more, whatever comes
    STALL           read nothing more
    YES             behave as after a yes, but say nothing (behind octets that said it)
    Slowly("...")   a reply, octet by octet
    (a, b, ...)     one after the other
    callable        called with the session and the command line, gives one of these

`running(server)` runs one in a thread, for tests without a loop of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


class Act(Enum):
    DROP = "drop"
    RESET = "reset"
    HANG = "hang"
    STALL = "stall"
    YES = "yes"


DROP, RESET, HANG, STALL, YES = Act


@dataclass(frozen=True)
class Slowly:
    reply: str


Action = Any


@dataclass
class Message:
    """What a transaction brought, dots unstuffed."""

    mail: str
    rcpts: list[str]
    octets: bytes
    tls: bool
    session: int


@dataclass
class Session:
    """What one connection said."""

    number: int
    commands: list[str] = field(default_factory=list)
    tls: bool = False


class _Closed(Exception):
    pass


class SmtpServer:
    """
    Attributes:
        messages: Accepted ones, in order.
        sessions: Connections, in order.
        loses_pipelined: Forget what came behind a command in the same read, as proxies and old servers do.
        violations: What a client must not do: commands sent ahead without PIPELINING, bare CR or LF in content.
    """

    def __init__(
        self,
        *,
        extensions: tuple[str, ...] = EXTENSIONS,
        script: Mapping[str, Action] | None = None,
        name: str = "mx.test",
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_octets: bool = True,
        loses_pipelined: bool = False,
    ) -> None:
        self.extensions = (*extensions, "STARTTLS") if tls else extensions
        self.script = {stage: list(a) if isinstance(a, list) else a for stage, a in (script or {}).items()}
        self.name = name
        self.tls = tls
        self.host = host
        self.port = port
        self.keep_octets = keep_octets
        self.loses_pipelined = loses_pipelined
        self.messages: list[Message] = []
        self.sessions: list[Session] = []
        self.violations: list[str] = []
        self.open_count = 0
        self.most_open_count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=1 << 16)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.drop_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_all(self) -> None:
        """Cut every connection, as a restart would."""
        for writer in self._writers:
            writer.transport.abort()

    @property
    def commands(self) -> list[str]:
        """Commands of all sessions, in the order of sessions."""
        return [command for session in self.sessions for command in session.commands]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        session = Session(len(self.sessions))
        self.sessions.append(session)
        self.open_count += 1
        self.most_open_count = max(self.most_open_count, self.open_count)
        try:
            await _Talk(self, session, reader, writer).run()
        except (_Closed, OSError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.open_count -= 1
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    def action(self, stage: str, session: Session, line: str) -> Action:
        """What happens now."""
        action = self.script.get(stage)
        if isinstance(action, list):
            action = action.pop(0) if action else None
        return action(session, line) if callable(action) else action


class _Talk:
    def __init__(self, server: SmtpServer, session: Session, reader: Any, writer: Any) -> None:
        self.server, self.session, self.reader, self.writer = server, session, reader, writer
        self.buffer = bytearray()
        self.mail = ""
        self.rcpts: list[str] = []
        self.chunks = b""

    async def run(self) -> None:
        await self.do("CONNECT", "", f"220 {self.server.name} ESMTP")
        while True:
            line = await self.line()
            self.session.commands.append(line)
            verb = line.split(" ", 1)[0].split(":", 1)[0].upper()
            handler = getattr(self, f"on_{verb.lower()}", None)
            if handler is None:
                await self.say("500 5.5.1 what?")
            else:
                await handler(line)

    async def on_ehlo(self, line: str) -> None:
        offered = [e for e in self.server.extensions if not (self.session.tls and e == "STARTTLS")]
        lines = [self.server.name + " hello", *offered]
        text = "\n".join(f"250{' ' if n == len(lines) - 1 else '-'}{each}" for n, each in enumerate(lines))
        await self.do("EHLO", line, text)

    async def on_helo(self, line: str) -> None:
        await self.do("HELO", line, f"250 {self.server.name}")

    async def on_starttls(self, line: str) -> None:
        if not await self.do("STARTTLS", line, "220 2.0.0 go"):
            return
        action = self.server.action("TLS", self.session, line)
        if action is not None:
            await self.act(action)
            raise _Closed
        self.buffer.clear()
        await self.writer.start_tls(self.server.tls)
        self.session.tls = True

    async def on_auth(self, line: str) -> None:
        """Play the script until it says anything but 334; without one: 502."""
        while await self.do("AUTH", line, "502 5.5.1 no AUTH") is None:
            line = await self.line()
            self.session.commands.append(line)

    async def on_rset(self, line: str) -> None:
        self.mail, self.rcpts, self.chunks = "", [], b""
        await self.do("RSET", line, "250 2.0.0 ok")

    async def on_mail(self, line: str) -> None:
        if self.mail:
            await self.say("503 5.5.1 nested MAIL")
            return
        if await self.do("MAIL", line, "250 2.1.0 ok"):
            self.mail = line

    async def on_rcpt(self, line: str) -> None:
        if not self.mail:
            await self.say("503 5.5.1 MAIL first")
        elif await self.do("RCPT", line, "250 2.1.5 ok"):
            self.rcpts.append(line)

    async def on_data(self, line: str) -> None:
        ready = bool(self.rcpts)
        if not await self.do("DATA", line, "354 go" if ready else "554 5.5.1 no valid recipients"):
            return
        action = self.server.action("CONTENT", self.session, "")
        if action is not None:
            await self.act(action)
        octets = await self.content()
        message = Message(self.mail, self.rcpts, octets if self.server.keep_octets else b"", self.session.tls,
                          self.session.number)  # fmt: skip
        self.mail, self.rcpts = "", []
        if not ready:
            await self.do("DOT", "", "554 5.5.1 nobody")
        elif await self.do("DOT", "", "250 2.0.0 queued"):
            self.server.messages.append(message)

    async def on_bdat(self, line: str) -> None:
        """Take a chunk; the last one is the message's end (stage DOT), an earlier one stage BDAT."""
        words = line.split(" ")
        action = self.server.action("NO_BDAT", self.session, line)
        if action is not None:
            # Not understood: what follows is read as commands.
            await self.act(action)
            return
        octets = await self.exactly(int(words[1]))
        if words[2:] != ["LAST"]:
            if not self.rcpts:
                await self.say("503 5.5.1 nobody")
            elif await self.do("BDAT", line, "250 2.0.0 chunk"):
                self.chunks += octets
            return
        message = Message(self.mail, self.rcpts, self.chunks + octets, self.session.tls, self.session.number)
        ready = bool(self.rcpts)
        self.mail, self.rcpts, self.chunks = "", [], b""
        if not ready:
            await self.say("503 5.5.1 nobody")
        elif await self.do("DOT", line, "250 2.0.0 queued"):
            self.server.messages.append(message)

    async def on_quit(self, line: str) -> None:
        await self.do("QUIT", line, "221 2.0.0 bye")
        raise _Closed

    async def do(self, stage: str, line: str, usual: str) -> bool | None:
        """Act as the script says, or as usual; True if that was a yes, None if it was AUTH's 334."""
        action = self.server.action(stage, self.session, line)
        if action is None:
            action = usual
        await self.act(action)
        yes = "3" if stage == "DATA" else "2"
        parts = [each.reply if isinstance(each, Slowly) else each for each in _parts(action)]
        said = next((each for each in parts if isinstance(each, str)), "")
        if stage == "AUTH" and said.startswith("334"):
            return None
        return YES in parts or said.startswith(yes)

    async def act(self, action: Action) -> None:
        if isinstance(action, tuple):
            for each in action:
                await self.act(each)
        elif isinstance(action, str):
            await self.say(action)
        elif isinstance(action, bytes):
            self.writer.write(action)
            await self.writer.drain()
        elif isinstance(action, Slowly):
            for octet in _wire(action.reply):
                self.writer.write(bytes([octet]))
                await self.writer.drain()
                await asyncio.sleep(0)
        elif action is HANG:
            while await self.fill():
                pass
            raise _Closed
        elif action is STALL:
            await asyncio.Event().wait()
        elif action is RESET:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            raise _Closed
        elif action is DROP:
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()
            raise _Closed

    async def say(self, reply: str) -> None:
        self.writer.write(_wire(reply))
        await self.writer.drain()

    async def fill(self) -> bool:
        octets = await self.reader.read(1 << 16)
        self.buffer += octets
        return bool(octets)

    async def line(self) -> str:
        while (end := self.buffer.find(b"\r\n")) < 0:
            if not await self.fill():
                raise _Closed
        line = bytes(self.buffer[:end]).decode()
        del self.buffer[: end + 2]
        if self.server.loses_pipelined:
            self.buffer.clear()
        if self.buffer and "PIPELINING" not in self.server.extensions:
            self.server.violations.append(f"sent ahead behind {line!r}")
        if "\r" in line or "\n" in line:
            self.server.violations.append(f"line end within {line!r}")
        return line

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not await self.fill():
                raise _Closed
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        if not octets.count(b"\r\n") == octets.count(b"\r") == octets.count(b"\n"):
            self.server.violations.append("bare CR or LF in content")
        return octets

    async def content(self) -> bytes:
        self.buffer[:0] = b"\r\n"
        searched = 0
        while (end := self.buffer.find(b"\r\n.\r\n", searched)) < 0:
            searched = max(0, len(self.buffer) - 4)
            if not await self.fill():
                raise _Closed
        octets = bytes(self.buffer[: end + 2])
        del self.buffer[: end + 5]
        if not octets.count(b"\r\n") == octets.count(b"\r") == octets.count(b"\n"):
            self.server.violations.append("bare CR or LF in content")
        return octets.replace(b"\r\n.", b"\r\n")[2:]


def _parts(action: Action) -> tuple[Action, ...]:
    return action if isinstance(action, tuple) else (action,)


def _wire(reply: str) -> bytes:
    return reply.replace("\n", "\r\n").encode() + b"\r\n"


@contextlib.contextmanager
def running(server: SmtpServer) -> Iterator[SmtpServer]:
    """Run a server in a thread of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the server did not start")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def certificate(directory: Any, name: str = "mx.test") -> ssl.SSLContext:
    """Make a self-signed certificate and a server context that uses it."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
