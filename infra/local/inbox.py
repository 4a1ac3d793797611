"""
The built-in inbox: an SMTP sink that takes all mail and keeps the newest messages in memory.

It stands where the next hop would, so it speaks what a good one speaks: PIPELINING, 8BITMIME, SMTPUTF8, SIZE,
DSN, ENHANCEDSTATUSCODES. Octets are kept exactly, without their dot-stuffing; only CRLF . CRLF ends a message.
It does no TLS, no AUTH and no delivery.

Some local parts, alone or followed by `+anything`, make it behave badly on purpose:

    local part   what happens
    -----------  ----------------------------------------------------------------------
    busy-once    451 to the first RCPT of that address, 250 from then on
    greylist     451 to RCPT of that address, "try again in 4 seconds", and 250 when these are over
    busy         451 to every RCPT
    missing      550 to every RCPT
    drop         250 to RCPT; the connection breaks while the message is transferred

Standards: RFC 5321, 2920 (PIPELINING), 1870 (SIZE), 2034 and 3463 (status codes), 3461 (DSN), 6531 (SMTPUTF8), 2852
(DELIVERBY: what it takes is delivered at once).
"""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT: Final = 10_000
"""Messages that are kept; older ones are forgotten."""

GREYLIST_S: Final = 4.0
MESSAGE_OCTETS: Final = 64 * 1024 * 1024
LINE_OCTETS: Final = 4096  # RFC 5321 4.5.3.1.4 asks for 512, extensions add to it

_PATH: Final = re.compile(rb'<((?:"(?:[^"\\]|\\.)*"|[^">])*)>(.*)\Z', re.DOTALL)
_SIZE: Final = re.compile(rb" SIZE=(\d{1,12})(?: |\Z)", re.IGNORECASE)


class Reply:
    """What the sink says. These are a remote host's words, not paravion's: domain/status.py has ours."""

    GREETING: Final = b"220 inbox.localhost ESMTP paravion inbox"
    BYE: Final = b"221 2.0.0 Bye"
    OK: Final = b"250 2.0.0 Ok"
    SENDER_OK: Final = b"250 2.1.0 Ok"
    RECIPIENT_OK: Final = b"250 2.1.5 Ok"
    CANNOT_VERIFY: Final = b"252 2.0.0 Send some mail, I'll try my best"
    GO_AHEAD: Final = b"354 End data with <CR><LF>.<CR><LF>"
    GREYLISTED: Final = b"451 4.7.1 Greylisted, try again in 4 seconds"
    BUSY: Final = b"451 4.3.0 Busy, try again later"
    LINE_TOO_LONG: Final = b"500 5.5.2 Line too long"
    SYNTAX: Final = b"501 5.5.4 Syntax error"
    UNKNOWN: Final = b"502 5.5.1 Command not implemented"
    SEQUENCE: Final = b"503 5.5.1 Bad sequence of commands"
    MISSING: Final = b"550 5.1.1 No such user here"
    TOO_BIG: Final = b"552 5.3.4 Message too big"
    NO_RECIPIENTS: Final = b"554 5.5.1 No valid recipients"


_PLAIN: Final = {b"NOOP": Reply.OK, b"VRFY": Reply.CANNOT_VERIFY, b"QUIT": Reply.BYE}


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """
    One message in the inbox.

    Attributes:
        id: Counts up from "1".
        received_at: Seconds since the epoch.
        content: Header and body octets as transferred, without dot-stuffing.
    """

    id: str
    received_at: float
    mail_from: str
    rcpt_tos: tuple[str, ...]
    content: bytes


class Inbox:
    """The messages that the sink caught; safe for threads."""

    def __init__(self) -> None:
        self._messages: deque[CaughtMail] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._seen_busy: set[str] = set()
        self._greylisted: dict[str, float] = {}

    def add(self, mail_from: str, rcpt_tos: tuple[str, ...], content: bytes) -> CaughtMail:
        """Keep a message."""
        with self._changed:
            mail = CaughtMail(str(next(self._ids)), time.time(), mail_from, rcpt_tos, content)
            self._messages.append(mail)
            self._changed.notify_all()
        return mail

    def messages(self) -> list[CaughtMail]:
        """Give all messages, oldest first."""
        with self._changed:
            return list(self._messages)

    def get(self, mail_id: str) -> CaughtMail | None:
        """Give one message."""
        with self._changed:
            return next((mail for mail in self._messages if mail.id == mail_id), None)

    def clear(self) -> None:
        """Forget all messages, and who was asked for before."""
        with self._changed:
            self._messages.clear()
            self._seen_busy.clear()
            self._greylisted.clear()

    def wait(self, wanted: Callable[[list[CaughtMail]], bool], timeout_s: float) -> list[CaughtMail]:
        """Wait until `wanted` holds for the messages, or for the time-out; gives the messages."""
        with self._changed:
            self._changed.wait_for(lambda: wanted(list(self._messages)), timeout_s)
            return list(self._messages)

    def is_greylisted(self, recipient: str) -> bool:
        """Say whether somebody asks for a recipient too soon after the first time."""
        with self._changed:
            now = time.monotonic()
            return now < self._greylisted.setdefault(recipient, now + GREYLIST_S)

    def first_time(self, recipient: str) -> bool:
        """Say whether this is the first question about a recipient that is busy once."""
        with self._changed:
            if recipient in self._seen_busy:
                return False
            self._seen_busy.add(recipient)
            return True


class InboxServer:
    """The sink's port. Belongs to one event loop."""

    def __init__(self, inbox: Inbox, host: str = "127.0.0.1", port: int = 0) -> None:
        self._inbox = inbox
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Transport] = set()

    async def start(self) -> None:
        """
        Open the port; 0 takes any free one, which `port` then tells.

        Raises:
            OSError: It can't be opened.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self._inbox, self._sessions), self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every session."""
        if self._server:
            self._server.close()
            for transport in list(self._sessions):
                transport.abort()
            await self._server.wait_closed()


class _Session(asyncio.Protocol):
    """One SMTP session."""

    def __init__(self, inbox: Inbox, sessions: set[asyncio.Transport]) -> None:
        self._inbox = inbox
        self._sessions = sessions
        self._buffer = bytearray()
        self._in_data = False
        self._scanned = 0
        self._too_big = False
        self._mail_from: str | None = None
        self._rcpt_tos: list[str] = []
        self._drop = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (TCP gives nothing else)
        self._transport = transport
        self._sessions.add(transport)
        transport.write(Reply.GREETING + b"\r\n")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio.Protocol's signature)
        self._sessions.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies: list[bytes] = []
        while not self._transport.is_closing():
            reply = self._take_content() if self._in_data else self._take_command()
            if reply is None:
                break
            replies.append(reply)
            if reply is Reply.BYE or reply is Reply.LINE_TOO_LONG:
                self._flush(replies)
                self._transport.close()
                return
        self._flush(replies)

    def _flush(self, replies: list[bytes]) -> None:
        if replies and not self._transport.is_closing():
            self._transport.write(b"\r\n".join(replies) + b"\r\n")

    def _take_command(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return Reply.LINE_TOO_LONG if len(self._buffer) > LINE_OCTETS else None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        verb, _, rest = line.partition(b" ")
        command = {
            b"EHLO": self._ehlo,
            b"HELO": self._reset,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"RSET": self._reset,
        }.get(verb.upper())
        return command(rest) if command else _PLAIN.get(verb.upper(), Reply.UNKNOWN)

    def _ehlo(self, _: bytes) -> bytes:
        self._reset(b"")
        return b"\r\n".join(
            (
                b"250-inbox.localhost",
                b"250-PIPELINING",
                b"250-SIZE %d" % MESSAGE_OCTETS,
                b"250-DELIVERBY",
                b"250-8BITMIME",
                b"250-SMTPUTF8",
                b"250-DSN",
                b"250 ENHANCEDSTATUSCODES",
            )
        )

    def _reset(self, _: bytes) -> bytes:
        self._mail_from = None
        self._rcpt_tos = []
        self._drop = False
        return Reply.OK

    def _mail(self, rest: bytes) -> bytes:
        path = _path(rest, b"FROM:")
        if path is None:
            return Reply.SYNTAX
        if self._mail_from is not None:
            return Reply.SEQUENCE
        size = _SIZE.search(path[1])
        if size and int(size[1]) > MESSAGE_OCTETS:
            return Reply.TOO_BIG
        self._mail_from = path[0]
        return Reply.SENDER_OK

    def _rcpt(self, rest: bytes) -> bytes:
        path = _path(rest, b"TO:")
        if path is None or not path[0]:
            return Reply.SYNTAX
        if self._mail_from is None:
            return Reply.SEQUENCE
        recipient = path[0]
        behaviour = recipient.rpartition("@")[0].partition("+")[0].lower()
        if behaviour == "missing":
            return Reply.MISSING
        if behaviour == "greylist" and self._inbox.is_greylisted(recipient):
            return Reply.GREYLISTED
        if behaviour == "busy" or (behaviour == "busy-once" and self._inbox.first_time(recipient)):
            return Reply.BUSY
        self._drop = self._drop or behaviour == "drop"
        self._rcpt_tos.append(recipient)
        return Reply.RECIPIENT_OK

    def _data(self, _: bytes) -> bytes:
        if self._mail_from is None:
            return Reply.SEQUENCE
        if not self._rcpt_tos:
            return Reply.NO_RECIPIENTS
        self._in_data = True
        self._too_big = False
        # The line end before the first line makes the end of empty content, and dots, look like all others.
        self._buffer[:0] = b"\r\n"
        self._scanned = 0
        return Reply.GO_AHEAD

    def _take_content(self) -> bytes | None:
        if self._drop and len(self._buffer) > len(b"\r\n"):
            self._transport.abort()
            return None
        end = self._buffer.find(b"\r\n.\r\n", max(0, self._scanned - 4))
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > MESSAGE_OCTETS:
                # Keep enough for the end mark, drop the rest.
                del self._buffer[:-4]
                self._scanned = 4
                self._too_big = True
            return None
        content = bytes(self._buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        del self._buffer[: end + 5]
        self._in_data = False
        mail_from, rcpt_tos = self._mail_from or "", tuple(self._rcpt_tos)
        self._reset(b"")
        if self._too_big:
            return Reply.TOO_BIG
        mail = self._inbox.add(mail_from, rcpt_tos, content)
        return b"250 2.0.0 Ok: kept as " + mail.id.encode()


def _path(rest: bytes, keyword: bytes) -> tuple[str, bytes] | None:
    """Give the path without brackets, and the parameters after it."""
    if rest[: len(keyword)].upper() != keyword:
        return None
    match = _PATH.match(rest[len(keyword) :].lstrip(b" "))
    return (match[1].decode("utf-8", "backslashreplace"), match[2]) if match else None
