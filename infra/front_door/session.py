"""
One SMTP connection: the commands, in the order that RFC 5321 allows, and what becomes of each message.

Built on aiosmtpd's protocol class: connection, STARTTLS switch, dispatch table. Its reading loop, DATA,
AUTH and argument parsing are replaced, for reasons that were tried against aiosmtpd 1.4.6:

- it cancels the session at EOF, so that commands pipelined before a half-close are lost;
- DATA passes bare CR and LF on to the handler;
- AUTH is refused under implicit TLS, its callback can't wait, mechanisms are case-sensitive;
- parameters are upper-cased (ENVID, ORCPT), and an ORCPT's `;` or `+` is refused;
- one timer runs over the whole of DATA, and none over a client that does not read its replies.

Our own input buffer stands behind aiosmtpd's stream reader; STARTTLS empties both.

RFC: 5321, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 4616 (PLAIN), 3461 (DSN), 9422 (LIMITS).
"""

# ruff: noqa: N802 (aiosmtpd finds commands by methods named smtp_VERB)

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import logging
import re
import secrets
import time
from asyncio import sslproto
from typing import TYPE_CHECKING, Any, Final, cast

from aiosmtpd.smtp import SMTP

from infra.front_door import replies
from infra.front_door.api import Answer, Away
from infra.front_door.commands import Refusal, Transaction, parse_mail, parse_rcpt
from infra.front_door.content import Content
from paravion.domain import status
from paravion.domain.http1 import basic

if TYPE_CHECKING:
    from infra.front_door.server import House

log = logging.getLogger("paravion.front_door")

_READ_OCTETS: Final = 1 << 16
_COMMAND_OCTETS: Final = 2048
"""RFC 5321 4.5.3.1.4 has 512; DSN (3461), AUTH= (4954) and UTF-8 paths (6531) add up to about 1,700."""

_AUTH_OCTETS: Final = 12288
"""A base64 response line, RFC 4954 4."""

_JUNK_COMMANDS: Final = 100
"""Commands in a row that bring no message on (NOOP, RSET, VRFY, HELP, EHLO), as Postfix counts them."""

_AUTH_FAILURES: Final = 3
_PACE_OCTETS_PER_S: Final = 1000.0
"""A slower DATA than this ends after its grace: a byte every second is an attack, a modem is not."""

_PACE_GRACE_S: Final = 600.0
HANDSHAKE_TIMEOUT_S: Final = 30
"""asyncio's own 60 s is long for somebody who has not even said what he wants."""

_USER: Final = re.compile(rb"[A-Za-z0-9_-]+")
_HELO: Final = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}", re.ASCII)
_FOREIGN: Final = frozenset({"GET", "POST", "PUT", "CONNECT", "OPTIONS"})
"""A browser talks to us: what follows is not meant as commands."""


class _Gone(Exception):
    """The client closed its side."""


class Session(SMTP):
    """
    One connection.

    Args:
        house: What all sessions share.
        loop: Where it runs.
    """

    line_length_limit = _READ_OCTETS  # of the stream reader; line lengths are judged here

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            None,
            hostname=house.settings.hostname,
            tls_context=house.tls,
            data_size_limit=house.settings.max_message_octets,
            enable_SMTPUTF8=True,
            loop=loop,
        )
        self._house = house
        self._settings = house.settings
        self._refused = False
        self._ending = False
        self._waiting_for_command = False
        self._input = bytearray()
        self._output: list[bytes] = []
        self._deadline: float | None = None
        self._address = ""
        self._errors_count = 0
        self._junk_count = 0
        self._auth_failures_count = 0
        self._forget_client()

    def _forget_client(self) -> None:
        """RFC 3207 4.2: after STARTTLS nothing is known of the client."""
        self._helo = ""
        self._extended = False
        self._authorization: str | None = None
        self._user = ""
        self._transaction: Transaction | None = None

    # -- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit a client, or say 421 and close."""
        if self._original_transport is None:
            peer = transport.get_extra_info("peername")
            self._address = _plain_address(peer[0]) if isinstance(peer, tuple) else ""
            refusal = self._house.admit(self, self._address)
            if refusal:
                self._refused = True
                self.transport = transport
                transport.write(refusal.encode() + b"\r\n")  # type: ignore[attr-defined]
                transport.close()
                return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop the session; a message whose end did not come is dropped with it."""
        if self._refused:
            return
        self._house.release(self, self._address)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """Let the session answer what came before the EOF; aiosmtpd would cancel it."""
        if self._refused:
            return False
        self._reader.feed_eof()
        # TLS can't be closed on one side only.
        return not self._is_secure

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Move the deadline; aiosmtpd calls this as well, when a connection is made."""
        self._set_deadline(self.loop.time() + (duration or self._settings.command_timeout_s))

    def _set_deadline(self, at: float | None) -> None:
        """
        Say until when something must have moved; None while the client waits for us.

        One timer serves a connection: it is made anew only for an earlier deadline, else it finds the later
        one when it comes round. It also covers a client that does not read what we say.
        """
        self._deadline = at
        handle = self._timeout_handle
        if at is None or (handle is not None and not handle.cancelled() and handle.when() <= at):
            return
        if handle is not None:
            handle.cancel()
        self._timeout_handle = self.loop.call_at(at, self._check_deadline)

    def _check_deadline(self) -> None:
        now = self.loop.time()
        if self._deadline is None or now < self._deadline:
            later = self._deadline if self._deadline is not None else now + self._settings.command_timeout_s
            self._timeout_handle = self.loop.call_at(later, self._check_deadline)
            return
        self._write_now(replies.TIMED_OUT)
        self._close()
        # A client that reads nothing must not keep what is buffered for it.
        self._timeout_handle = self.loop.call_later(HANDSHAKE_TIMEOUT_S, self._abort)

    def drain(self) -> None:
        """The door is stopping: leave now if nothing is under way, else after the next reply."""
        if self._waiting_for_command:
            self._write_now(replies.STOPPING)
            self._close()

    def abort(self) -> None:
        """Cut the connection."""
        self._abort()

    def _abort(self) -> None:
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.abort()  # type: ignore[attr-defined]

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _write_now(self, line: str) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self._output) + line.encode() + b"\r\n")  # type: ignore[attr-defined]
        self._output.clear()

    @property
    def _is_secure(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    # -- reading and writing

    async def push(self, status: str | bytes) -> None:
        """Say a line; it leaves when we next wait for the client (RFC 2920 3.2: replies may be sent together)."""
        self._output.append((status.encode() if isinstance(status, str) else status) + b"\r\n")

    async def _flush(self) -> None:
        if self._output:
            self._writer.write(b"".join(self._output))
            self._output.clear()
            await self._writer.drain()

    async def _fill(self) -> None:
        await self._flush()
        octets = await self._reader.read(_READ_OCTETS)
        if not octets:
            raise _Gone
        self._input += octets

    async def _read_line(self, limit: int) -> bytes | None:
        """Give the next line with its end, or None for one that is too long."""
        self._reset_timeout()
        searched = 0
        too_long = False
        while True:
            end = self._input.find(b"\n", searched) + 1
            if end:
                line = bytes(self._input[:end])
                del self._input[:end]
                return None if too_long or len(line) > limit else line
            if len(self._input) > limit:
                too_long = True
                self._input.clear()
            searched = len(self._input)
            await self._fill()

    # -- the dialogue

    async def _handle_client(self) -> None:
        try:
            await self.push(replies.GREETING.format(hostname=self.hostname))
            while not self._ending:
                await self._serve_command()
            await self._flush()
        except (_Gone, ConnectionError):
            pass
        except Exception:
            log.exception("fault in an SMTP session")
            self._write_now(replies.BROKEN)
        finally:
            self._close()

    async def _serve_command(self) -> None:
        if self._house.draining:
            await self._end(replies.STOPPING)
            return
        self._waiting_for_command = True
        line = await self._read_line(_AUTH_OCTETS)
        self._waiting_for_command = False
        if line is None or (len(line) > _COMMAND_OCTETS and line[:5].upper() != b"AUTH "):
            await self._refuse(replies.LINE_TOO_LONG)
        elif not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            await self._refuse(replies.BAD_LINE)
        else:
            await self._dispatch(line[:-2])

    async def _dispatch(self, line: bytes) -> None:
        verb_octets, _, argument_octets = line.partition(b" ")
        verb = verb_octets.decode("latin-1").upper()
        try:
            argument = argument_octets.decode().strip(" \t")
        except UnicodeDecodeError:
            await self._refuse(replies.NOT_UTF8)
            return
        method = self._smtp_methods.get(verb)
        if method is not None:
            await method(argument)
        elif verb in _FOREIGN or verb == "BDAT":
            # What follows is content and not commands.
            await self.push(replies.NOT_OFFERED if verb == "BDAT" else replies.UNKNOWN_COMMAND)
            self._ending = True
        else:
            await self._refuse(replies.UNKNOWN_COMMAND)

    async def _refuse(self, line: str) -> None:
        self._errors_count += 1
        await self.push(line)
        if self._errors_count >= self._settings.max_errors_count:
            await self._end(replies.TOO_MANY_ERRORS)

    async def _end(self, line: str) -> None:
        await self.push(line)
        self._ending = True

    async def _is_junk(self) -> bool:
        """Count a command that brings no message on; True for one too many, which has been answered."""
        self._junk_count += 1
        if self._junk_count > _JUNK_COMMANDS:
            await self._end(replies.TOO_MANY_ERRORS)
        return self._ending

    async def smtp_HELO(self, argument: str) -> None:
        """RFC 5321 4.1.1.1, the old form: no extensions."""
        await self._greet(argument, extended=False)

    async def smtp_EHLO(self, argument: str) -> None:
        """RFC 5321 4.1.1.1; a new greeting ends a transaction."""
        await self._greet(argument, extended=True)

    async def _greet(self, argument: str, *, extended: bool) -> None:
        if not argument or " " in argument or not argument.isprintable():
            await self._refuse(replies.NEEDS_HELO)
            return
        if await self._is_junk():
            return
        self._transaction = None
        self._helo, self._extended = argument, extended
        lines = [self.hostname, *(self._extensions() if extended else ())]
        code = status.QUEUED.smtp
        for line in lines[:-1]:
            await self.push(f"{code}-{line}")
        await self.push(f"{code} {lines[-1]}")

    def _extensions(self) -> list[str]:
        return [
            "PIPELINING",
            f"SIZE {self._settings.max_message_octets}",
            *(() if self._is_secure else ("STARTTLS",)),
            *(("AUTH PLAIN LOGIN",) if self._may_auth else ()),
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "DSN",
            f"LIMITS RCPTMAX={self._settings.max_recipients_count}",
            "SMTPUTF8",
        ]

    async def smtp_NOOP(self, argument: str) -> None:  # noqa: ARG002 (RFC 5321 4.1.1.9: ignored)
        """RFC 5321 4.1.1.9."""
        if not await self._is_junk():
            await self.push(replies.OK)

    async def smtp_RSET(self, argument: str) -> None:
        """RFC 5321 4.1.1.5."""
        if argument:
            await self._refuse(replies.NO_ARGUMENTS)
            return
        if await self._is_junk():
            return
        self._transaction = None
        await self.push(replies.OK)

    async def smtp_QUIT(self, argument: str) -> None:
        """RFC 5321 4.1.1.10."""
        if argument:
            await self._refuse(replies.NO_ARGUMENTS)
            return
        await self._end(replies.BYE)

    async def smtp_VRFY(self, argument: str) -> None:  # noqa: ARG002 (nobody is told who exists)
        """RFC 5321 3.5.3: neither confirmed nor denied."""
        if not await self._is_junk():
            await self.push(replies.CANNOT_VERIFY)

    async def smtp_EXPN(self, argument: str) -> None:  # noqa: ARG002 (not offered)
        """RFC 5321 3.5.2: lists are nobody's business."""
        await self._refuse(replies.NOT_OFFERED)

    async def smtp_HELP(self, argument: str) -> None:  # noqa: ARG002 (one text for all)
        """RFC 5321 4.1.1.8."""
        if not await self._is_junk():
            await self.push(replies.HELP)

    # -- TLS and AUTH

    async def smtp_STARTTLS(self, argument: str) -> None:
        """RFC 3207; what the client sent behind it in clear is dropped, never read as a command."""
        if argument:
            await self._refuse(replies.NO_ARGUMENTS)
            return
        if self._is_secure:
            await self._refuse(replies.TLS_ALREADY)
            return
        await self.push(replies.READY_FOR_TLS)
        await self._flush()
        self._set_deadline(None)  # the handshake has its own time-out
        self._input.clear()
        try:
            await self._switch_to_tls()
        except (OSError, EOFError) as exc:
            log.info(json.dumps({"event": "TlsFailure", "client": self._address, "reason": type(exc).__name__}))
            self._abort()
            # asyncio tells a protocol only of connections that it was told of as made: here it was not.
            self.connection_lost(exc)
            raise _Gone from exc
        self._input.clear()
        self._forget_client()

    async def _switch_to_tls(self) -> None:
        waiter = self.loop.create_future()
        plain = cast("asyncio.Transport", self.transport)
        self._tls_protocol = sslproto.SSLProtocol(
            self.loop, self, self._house.tls, waiter, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )
        self._original_transport = plain
        plain.set_protocol(self._tls_protocol)
        # As aiosmtpd does it; asyncio's public start_tls makes a transport that aiosmtpd would not learn of.
        self.transport = self._tls_protocol._app_transport  # noqa: SLF001
        self._tls_protocol.connection_made(plain)
        await waiter

    @property
    def _may_auth(self) -> bool:
        return self._is_secure or (self._settings.auth_cleartext_loopback and _is_loopback(self._address))

    async def smtp_AUTH(self, argument: str) -> None:
        """RFC 4954 4: PLAIN and LOGIN."""
        words = argument.split()
        mechanism = words[0].upper() if words else ""
        if not self._helo or not self._extended:
            await self._refuse(replies.HELO_FIRST)
        elif self._authorization is not None:
            await self._refuse(replies.AUTH_ALREADY)
        elif self._transaction is not None:
            await self._refuse(replies.NO_AUTH_NOW)
        elif not 1 <= len(words) <= 2:  # noqa: PLR2004 (mechanism and initial response)
            await self._refuse(replies.BAD_AUTH_SYNTAX)
        elif mechanism not in {"PLAIN", "LOGIN"}:
            await self._refuse(replies.UNKNOWN_MECHANISM)
        elif not self._may_auth:
            await self._refuse(replies.AUTH_NEEDS_TLS)
        else:
            try:
                user, password = await self._ask_credential(mechanism, words[1] if len(words) > 1 else None)
            except Refusal as exc:
                await self._refuse(exc.reply)
            else:
                await self._check_credential(user, password)

    async def _ask_credential(self, mechanism: str, initial: str | None) -> tuple[bytes, bytes]:
        if mechanism == "LOGIN":
            user = await self._challenge(b"Username:") if initial is None else _decode(initial)
            return user, await self._challenge(b"Password:")
        response = await self._challenge(b"") if initial is None else _decode(initial)
        parts = response.split(b"\0")
        if len(parts) != 3:  # noqa: PLR2004 (RFC 4616 2: authorisation id, user, password)
            raise Refusal(replies.BAD_BASE64)
        authorisation, user, password = parts
        if authorisation not in {b"", user}:  # nobody may act for somebody else
            return b"", b""
        return user, password

    async def _challenge(self, text: bytes) -> bytes:
        await self.push(replies.CHALLENGE.format(challenge=base64.b64encode(text).decode()))
        line = await self._read_line(_AUTH_OCTETS)
        if line is None:
            raise Refusal(replies.LINE_TOO_LONG)
        if not line.endswith(b"\r\n"):
            raise Refusal(replies.BAD_LINE)
        response = line[:-2]
        if response == b"*":
            raise Refusal(replies.AUTH_CANCELLED)
        return _decode(response.decode("latin-1"))

    async def _check_credential(self, user: bytes, password: bytes) -> None:
        good = False
        # A colon can't stand in Basic's user; no access key has one.
        if _USER.fullmatch(user) and password and b"\0" not in password:
            authorization = basic(user, password)
            self._set_deadline(None)
            try:
                good = await self._house.credentials.are_good(authorization)
            except Away:
                await self.push(replies.AUTH_AWAY)
                return
        if good:
            self._authorization = authorization
            self._user = user.decode("ascii")
            await self.push(replies.AUTHENTICATED)
            return
        log.info(json.dumps({"event": "AuthFailure", "client": self._address}))
        self._auth_failures_count += 1
        await self.push(
            replies.reply(status.AUTH_INVALID.smtp, status.AUTH_INVALID.detail, "Authentication Credentials Invalid")
        )
        if self._auth_failures_count >= _AUTH_FAILURES:
            await self._end(replies.TOO_MANY_ERRORS)

    def _submitter(self) -> str | None:
        """Give the Authorization for the API: the client's own, or the door's for whom it trusts."""
        if self._authorization is not None:
            return self._authorization
        if self._settings.credential is not None and self._is_trusted():
            return basic(*self._settings.credential)
        return None

    def _is_trusted(self) -> bool:
        if not self._settings.trusted_networks or not self._address:
            return False
        address = ipaddress.ip_address(self._address)
        return any(address in network for network in self._settings.trusted_networks)

    # -- the transaction

    async def smtp_MAIL(self, argument: str) -> None:
        """RFC 5321 4.1.1.2."""
        if not self._helo:
            await self._refuse(replies.HELO_FIRST)
        elif self._submitter() is None:
            await self._refuse(replies.of_status(status.AUTH_REQUIRED) if self._may_auth else replies.TLS_FIRST)
        elif self._transaction is not None:
            await self._refuse(replies.NESTED_MAIL)
        elif closed := self._house.closed_to_mail():
            # No fault of the client's: not counted as one.
            await self.push(closed)
        else:
            try:
                self._transaction = parse_mail(
                    argument, max_message_octets=self._settings.max_message_octets, extended=self._extended
                )
            except Refusal as exc:
                await self._refuse(exc.reply)
            else:
                await self.push(replies.SENDER_OK)

    async def smtp_RCPT(self, argument: str) -> None:
        """RFC 5321 4.1.1.3."""
        transaction = self._transaction
        if transaction is None:
            await self._refuse(replies.MAIL_FIRST)
            return
        if len(transaction.recipients) >= self._settings.max_recipients_count:
            transaction.refused_count += 1
            await self.push(replies.TOO_MANY_RECIPIENTS)
            return
        try:
            recipient = parse_rcpt(
                argument, smtputf8=bool(transaction.options.get("smtputf8")), extended=self._extended
            )
        except Refusal as exc:
            transaction.refused_count += 1
            await self._refuse(exc.reply)
        else:
            transaction.recipients.append(recipient)
            await self.push(replies.RECIPIENT_OK)

    async def smtp_DATA(self, argument: str) -> None:
        """RFC 5321 4.1.1.4: 250 only after the API's 2xx."""
        transaction = self._transaction
        if argument:
            await self._refuse(replies.NO_ARGUMENTS)
        elif transaction is None:
            await self._refuse(replies.MAIL_FIRST)
        elif not transaction.recipients:
            # RFC 2920 3.1: a pipelining client sends DATA before it knows that all recipients were refused.
            refused = transaction.refused_count
            await self._refuse(replies.of_status(status.NO_RECIPIENTS) if refused else replies.RCPT_FIRST)
        else:
            await self.push(replies.GO_AHEAD)
            await self._take_content(transaction)

    async def _take_content(self, transaction: Transaction) -> None:
        started = time.monotonic()
        content = Content(self._settings.max_message_octets)
        booking = self._house.open_booking()
        try:
            no_space = False
            await self._flush()
            begun = self.loop.time()
            while not content.feed(self._take_input()):
                if not content.too_big and not booking.covers(content.held_octets):
                    no_space = True
                    content.drop()
                grace = begun + _PACE_GRACE_S + content.received_octets / _PACE_OCTETS_PER_S
                self._set_deadline(min(self.loop.time() + self._settings.data_timeout_s, grace))
                await self._fill()
            self._set_deadline(None)  # now the client waits for us; the API's time-outs hold
            self._input[:0] = content.rest
            self._transaction = None
            self._junk_count = 0
            answer = await self._submit(transaction, content, no_space=no_space)
        finally:
            booking.close()
        self._log(transaction, content, answer, time.monotonic() - started)
        await self.push(answer.reply)
        # RFC 5321 3.8: 421 says that the channel closes.
        self._ending = self._ending or answer.reply.startswith(str(status.SYSTEM_BUSY.smtp))

    def _take_input(self) -> bytes:
        octets = bytes(self._input)
        self._input.clear()
        return octets

    async def _submit(self, transaction: Transaction, content: Content, *, no_space: bool) -> Answer:
        if no_space:
            return Answer(replies.NO_SPACE)
        if content.too_big:
            return Answer(replies.of_status(status.MESSAGE_TOO_BIG))
        if fault := content.fault():
            return Answer(replies.of_status(status.BAD_MESSAGE, f"{fault} in the message (RFC 5321 2.3.8)"))
        authorization = self._submitter()
        if authorization is None:
            return Answer(replies.of_status(status.AUTH_REQUIRED))
        fields = {
            "reverse_path": transaction.reverse_path,
            "recipients": transaction.recipients,
            "door": "smtp",
            "client": self._client(),
            "protocol": self._protocol(),
            **transaction.options,
        }
        key = f"smtp-{secrets.token_hex(16)}"
        answer = await self._house.api.submit(authorization, fields, content.take(), key)
        if answer.refused_credential and self._authorization is None:
            # It is the door's own credential that is bad: nothing that the client did.
            return Answer(replies.of_status(status.MISCONFIGURED))
        return answer

    def _client(self) -> str:
        """What stands in the Received field's from clause, RFC 5321 4.4."""
        literal = f"[IPv6:{self._address}]" if ":" in self._address else f"[{self._address}]"
        return f"{self._helo} ({literal})" if _HELO.fullmatch(self._helo) else literal

    def _protocol(self) -> str:
        """RFC 3848's word for how the message came."""
        if not self._extended:
            return "SMTP"
        return f"ESMTP{'S' if self._is_secure else ''}{'A' if self._user else ''}"

    def _log(self, transaction: Transaction, content: Content, answer: Answer, seconds: float) -> None:
        if not log.isEnabledFor(logging.INFO):
            return
        record: dict[str, Any] = {
            "event": "Reception" if answer.queue_id else "Rejection",
            "queue_id": answer.queue_id,
            "client": self._address,
            "helo": self._helo,
            "user": self._user,
            "tls": self._is_secure,
            "reverse_path": transaction.reverse_path,
            "recipients": len(transaction.recipients),
            "refused_recipients": transaction.refused_count,
            "octets": content.received_octets,
            "reply": answer.reply,
            "ms": round(seconds * 1000),
        }
        log.info(json.dumps(record))


def _decode(text: str) -> bytes:
    if text == "=":  # RFC 4954 4: an empty initial response
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(replies.BAD_BASE64) from None


def _plain_address(text: str) -> str:
    """Give an address without scope, and an IPv4 client of a dual-stack socket as IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _is_loopback(text: str) -> bool:
    return bool(text) and ipaddress.ip_address(text).is_loopback
