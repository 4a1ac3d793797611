"""
One SMTP connection without its I/O: octets in, replies and effects out. Pure, so that tests drive it as a table.

    receive(octets)   what the client sent, in any pieces
    take_output()     what to say to it: the replies of a pipelined group in one piece (RFC 2920 3.2)
    take_effect()     what somebody else must do first, once: Check a credential, Submit a message, StartTls.
                      Nothing further is read until `checked`, `submitted` or `secured` says how it went.
    waits             for whom: what the time-outs go by

connection.py puts it on a transport. Who is told what, and how much of it, is decided here; time is not known here.

Next on a message's path: Submit, which connection.py takes to the API (api.py).
RFC: 5321, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 3461 (DSN), 3030 (CHUNKING), 9422 (LIMITS),
4865 (FUTURERELEASE), 2852 (DELIVERBY), 8689 (REQUIRETLS).
"""

from __future__ import annotations

import base64
import math
import re
from typing import TYPE_CHECKING, ClassVar, Final

from infra.front_door import replies
from infra.front_door.commands import Refusal, Transaction, instant, parse_bdat, parse_mail, parse_rcpt
from infra.front_door.content import Content
from infra.front_door.effects import Check, Client, Dropped, StartTls, Submit, Verdict, Waits
from infra.front_door.machine import Machine
from infra.front_door.sasl import MECHANISMS, Credential, Exchange
from paravion.domain import status
from paravion.domain.http1 import basic
from paravion.domain.schedule import MAX_RELEASE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.front_door.booking import Space
    from infra.front_door.settings import FrontDoorSettings

_COMMAND_OCTETS: Final = 2048
"""RFC 5321 4.5.3.1.4 has 512; DSN (3461), AUTH= (4954) and UTF-8 paths (6531) add up to about 1,700."""

_AUTH_OCTETS: Final = 12288
"""A base64 response line, RFC 4954 4."""

_JUNK_COMMANDS: Final = 100
"""Commands in a row that bring no message on (NOOP, RSET, VRFY, HELP, EHLO, AUTH, BDAT 0), as Postfix counts them."""

_AUTH_FAILURES: Final = 3
_REFUSED_RECIPIENTS: Final = 10
"""Times the limit: so many recipients beyond it are told so, then the client is cut off."""

_ENDLESS: Final = 4
_ENDLESS_OCTETS: Final = 1 << 20
"""
A content of so many times the largest message, and so much, has no end: the client is cut off. So is one that sent as
much in several contents, or in chunks behind a refusal, of which none was any good: it may connect again.
"""

_ENTRY_OCTETS: Final = 512
"""What a recipient, or MAIL, costs beside its own characters: Python's objects around them, and JSON's."""

_CLOSING: Final = str(status.SYSTEM_BUSY.smtp)

_USER: Final = re.compile(rb"[A-Za-z0-9_-]+")
_HELO: Final = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}", re.ASCII)
_FOREIGN: Final = frozenset({b"GET", b"POST", b"PUT", b"CONNECT", b"OPTIONS"})
"""A browser talks to us: what follows is not meant as commands."""


_NO_VERDICT: Final = {
    Verdict.AWAY: replies.AUTH_AWAY,
    Verdict.CROWDED: replies.AUTH_CROWDED,
}
"""What is said where a credential may be good."""


class Session(Machine):
    """
    One connection.

    Args:
        settings: What is allowed.
        client: Who it is.
        space: The memory for contents.
        clock: Seconds since the epoch, from which a later release counts.
        closed_to_mail: Gives the reply to MAIL while no mail is taken, else "".
        secure: TLS is on already.

    Attributes:
        content: Under way or being submitted, or None.
        helo, user: Who the client says it is; "" for nothing said.
        dropped: Transactions that ended without a message; taken out by who logs them.
        is_secure: TLS is on.
    """

    def __init__(
        self,
        settings: FrontDoorSettings,
        client: Client,
        space: Space,
        clock: Callable[[], float],
        closed_to_mail: Callable[[], str] = lambda: "",
        *,
        secure: bool = False,
    ) -> None:
        super().__init__(replies.GREETING.format(hostname=settings.hostname), settings.max_errors_count)
        self.content: Content | None = None
        self.dropped: list[Dropped] = []
        self.is_secure = secure
        self._settings = settings
        self._client = client
        self._booking = space.open()
        self._clock = clock
        self._closed_to_mail = closed_to_mail
        self._exchange: Exchange | None = None
        self._claimed: Check | None = None
        self._chunk_left = 0
        self._is_last_chunk = False
        self._chunk_refusal = ""
        self._junk_count = 0
        self._transactions_count = 0
        self._refused_octets = 0
        self._lent_octets = 0
        self._envelope_octets = 0
        self._auth_failures_count = 0
        self._transaction: Transaction | None = None
        self._forget_client()

    def _forget_client(self) -> None:
        """RFC 3207 4.2: after STARTTLS nothing is known of the client."""
        self.helo = ""
        self.user = ""
        self._is_extended = False
        self._authorization: str | None = None
        self._forget_transaction()

    def _drop_transaction(self) -> None:
        """Forget a transaction that brings no message."""
        if (transaction := self._transaction) is not None:
            octets = self.content.received_octets if self.content is not None else 0
            self._refused_octets += octets
            counts = len(transaction.recipients), transaction.refused_count
            self.dropped.append(Dropped(transaction.reverse_path, *counts, octets, self.last_said))
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self._transaction = None
        self.content = None
        self._lent_octets = 0
        self._envelope_octets = 0
        self._booking.close()

    # -- what connection.py calls

    def abandon(self) -> None:
        """The client is gone; a message whose end did not come is dropped."""
        super().abandon()
        if not self._is_busy:
            self._drop_transaction()

    def heed(self, settings: FrontDoorSettings) -> None:
        """Go by other limits from the next command on."""
        self._settings = settings

    def let_go(self) -> None:
        """Nobody works for it any more, however that ended: give its room back."""
        self._forget_transaction()

    @property
    def waits(self) -> Waits:
        """For what it waits: by that the time-outs go."""
        if self._is_busy:
            return Waits.US
        return Waits.CONTENT if self._take in (self._take_data, self._take_chunk) else Waits.COMMAND

    @property
    def authorization(self) -> str:
        """Under which messages are handed in; "" for none."""
        return self._submitter or ""

    def take_part(self) -> bytes:
        """Give what came of a large content so far, to be put elsewhere; `part_put` gives its room back."""
        content = self.content
        part = content.take_part() if content is not None else b""
        self._lent_octets = len(part)
        return part

    def part_put(self) -> None:
        """The part is put, or of no use any more."""
        self._lent_octets = 0

    def checked(self, verdict: Verdict) -> None:
        """Take the answer to a Check."""
        claimed, self._claimed = self._claimed, None
        assert claimed is not None  # noqa: S101 (the effect that is answered)
        if verdict is Verdict.GOOD:
            self._authorization, self.user = claimed.authorization, claimed.user
            self._say(replies.AUTHENTICATED)
        elif verdict is Verdict.THROTTLED:
            self._refuse(replies.AUTH_THROTTLED)
        elif verdict in _NO_VERDICT:
            self._say(_NO_VERDICT[verdict])
        else:
            self._auth_failures_count += 1
            self._say(replies.AUTH_BAD)
            if self._auth_failures_count >= _AUTH_FAILURES:
                self._end(replies.TOO_MANY_ERRORS)
        self._resume()

    def submitted(self, reply: str) -> None:
        """Take the answer to a Submit."""
        self._forget_transaction()
        self._say(reply)
        # RFC 5321 3.8: 421 says that the channel closes.
        self.ended = self.ended or reply.startswith(_CLOSING)
        self._resume()

    def secured(self) -> None:
        """TLS is on."""
        self.is_secure = True
        self._forget_client()
        self._resume()

    # -- the dialogue

    def _is_junk(self) -> bool:
        """Count a command that brings no message on; True for one too many, which has been answered."""
        self._junk_count += 1
        if self._junk_count > _JUNK_COMMANDS:
            self._end(replies.TOO_MANY_ERRORS)
        return self.ended

    def _take_command(self) -> bool:
        if self._is_stopping:
            self._end(replies.STOPPING)
            return True
        line = self._next_line(_AUTH_OCTETS)
        if line is None:
            return False
        if not line or (len(line) > _COMMAND_OCTETS and line[:5].upper() != b"AUTH "):
            self._refuse(replies.LINE_TOO_LONG)
        elif not line.endswith(b"\r\n") or line.find(b"\r", 0, -2) >= 0 or b"\0" in line:
            self._refuse(replies.BAD_LINE)
        else:
            self._dispatch(line[:-2])
        return True

    def _dispatch(self, line: bytes) -> None:
        verb, _, octets = line.partition(b" ")
        method = self._COMMANDS.get(verb) or self._COMMANDS.get(verb.upper())
        try:
            argument = octets.decode().strip(" \t")
        except UnicodeDecodeError:
            self._refuse(replies.NOT_UTF8)
            return
        if method is not None:
            method(self, argument)
        elif verb.upper() in _FOREIGN:
            self._end(replies.UNKNOWN_COMMAND)
        else:
            self._refuse(replies.UNKNOWN_COMMAND)

    def _helo(self, argument: str) -> None:
        """RFC 5321 4.1.1.1, the old form: no extensions."""
        self._greet(argument, extended=False)

    def _ehlo(self, argument: str) -> None:
        """RFC 5321 4.1.1.1; a new greeting ends a transaction."""
        self._greet(argument, extended=True)

    def _greet(self, argument: str, *, extended: bool) -> None:
        if not argument or " " in argument or not argument.isprintable():
            self._refuse(replies.NEEDS_HELO)
            return
        if self._is_junk():
            return
        self._drop_transaction()
        self.helo, self._is_extended = argument, extended
        lines = [self._settings.hostname, *(self._extensions() if extended else ())]
        code = status.QUEUED.smtp
        for line in lines[:-1]:
            self._say(f"{code}-{line}")
        self._say(f"{code} {lines[-1]}")

    def _extensions(self) -> list[str]:
        return [
            "PIPELINING",
            f"SIZE {self._settings.max_message_octets}",
            *(() if self.is_secure else ("STARTTLS",)),
            *((f"AUTH {' '.join(MECHANISMS)}",) if self._may_auth else ()),
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "CHUNKING",
            "DSN",
            "DELIVERBY",
            f"FUTURERELEASE {MAX_RELEASE_S:.0f} {instant(math.floor(self._clock() + MAX_RELEASE_S))}",
            f"LIMITS MAILMAX={self._settings.max_transactions_count} RCPTMAX={self._settings.max_recipients_count}",
            *(("REQUIRETLS",) if self.is_secure else ()),
            "SMTPUTF8",
        ]

    def _noop(self, argument: str) -> None:  # noqa: ARG002 (RFC 5321 4.1.1.9: ignored)
        """RFC 5321 4.1.1.9."""
        if not self._is_junk():
            self._say(replies.OK)

    def _rset(self, argument: str) -> None:
        """RFC 5321 4.1.1.5."""
        if argument:
            self._refuse(replies.NO_ARGUMENTS)
        elif not self._is_junk():
            self._drop_transaction()
            self._say(replies.OK)

    def _quit(self, argument: str) -> None:
        """RFC 5321 4.1.1.10."""
        if argument:
            self._refuse(replies.NO_ARGUMENTS)
        else:
            self._end(replies.BYE)

    def _vrfy(self, argument: str) -> None:  # noqa: ARG002 (nobody is told who exists)
        """RFC 5321 3.5.3: neither confirmed nor denied."""
        if not self._is_junk():
            self._say(replies.CANNOT_VERIFY)

    def _expn(self, argument: str) -> None:  # noqa: ARG002 (not offered)
        """RFC 5321 3.5.2: lists are nobody's business."""
        self._refuse(replies.NOT_OFFERED)

    def _help(self, argument: str) -> None:  # noqa: ARG002 (one text for all)
        """RFC 5321 4.1.1.8."""
        if not self._is_junk():
            self._say(replies.HELP)

    # -- TLS and AUTH

    def _starttls(self, argument: str) -> None:
        """RFC 3207; what the client sent behind it in clear is dropped, never read as a command."""
        if argument:
            self._refuse(replies.NO_ARGUMENTS)
        elif self.is_secure:
            self._refuse(replies.TLS_ALREADY)
        else:
            # At once: whoever goes during the handshake must not keep the room of half a BDAT.
            self._drop_transaction()
            self._say(replies.READY_FOR_TLS)
            self._input, self._at = b"", 0
            self._do(StartTls())

    @property
    def _may_auth(self) -> bool:
        return self.is_secure or (self._settings.auth_cleartext_loopback and self._client.is_loopback)

    def _auth(self, argument: str) -> None:
        """RFC 4954 4."""
        words = argument.split()
        mechanism = words[0].upper() if words else ""
        if not self.helo or not self._is_extended:
            self._refuse(replies.HELO_FIRST)
        elif self._authorization is not None:
            self._refuse(replies.AUTH_ALREADY)
        elif self._transaction is not None:
            self._refuse(replies.NO_AUTH_NOW)
        elif not 1 <= len(words) <= 2:  # noqa: PLR2004 (mechanism and initial response)
            self._refuse(replies.BAD_AUTH_SYNTAX)
        elif mechanism not in MECHANISMS:
            self._refuse(replies.UNKNOWN_MECHANISM)
        elif not self._may_auth:
            self._refuse(replies.AUTH_NEEDS_TLS)
        elif not self._is_junk():
            exchange = Exchange(mechanism, words[1] if len(words) > 1 else None)
            self._exchange = exchange
            self._go_on(exchange.start)

    def _take_response(self) -> bool:
        line = self._next_line(_AUTH_OCTETS)
        if line is None:
            return False
        self._take = self._take_command
        exchange = self._exchange
        assert exchange is not None  # noqa: S101 (_go_on set it)
        if not line:
            self._refuse(replies.LINE_TOO_LONG)
        elif not line.endswith(b"\r\n"):
            self._refuse(replies.BAD_LINE)
        else:
            self._go_on(lambda: exchange.respond(line[:-2]))
        return True

    def _go_on(self, step: Callable[[], bytes | Credential]) -> None:
        try:
            given = step()
        except Refusal as exc:
            self._refuse(exc.reply)
            return
        if isinstance(given, Credential):
            # A colon can't stand in Basic's user; no access key has one.
            possible = _USER.fullmatch(given.user) and given.password and b"\0" not in given.password
            user = given.user.decode("ascii") if possible else ""
            self._claimed = Check(user, basic(given.user, given.password) if possible else "")
            self._do(self._claimed)
        else:
            self._take = self._take_response
            self._say(replies.CHALLENGE.format(challenge=base64.b64encode(given).decode()))

    # -- the transaction

    @property
    def _submitter(self) -> str | None:
        """The Authorization for the API: the client's own, or the door's for whom it trusts."""
        return self._authorization if self._authorization is not None else self._client.trusted

    def _mail(self, argument: str) -> None:
        """RFC 5321 4.1.1.2; a transaction that does not begin is told of as well."""
        self._begin_transaction(argument)
        if self.last_said != replies.SENDER_OK:
            self.dropped.append(Dropped(replies.plain(argument), 0, 0, 0, self.last_said))

    def _begin_transaction(self, argument: str) -> None:
        if not self.helo:
            self._refuse(replies.HELO_FIRST)
        elif self._submitter is None:
            self._refuse(replies.of_status(status.AUTH_REQUIRED) if self._may_auth else replies.TLS_FIRST)
        elif self._transaction is not None:
            self._refuse(replies.NESTED_MAIL)
        elif closed := self._closed_to_mail():
            # No fault of the client's: not counted as one.
            if not self._is_junk():
                self._say(closed)
        elif self._has_sent_too_much:
            self._end(replies.TOO_MUCH_REFUSED)
        elif self._transactions_count >= self._settings.max_transactions_count:
            self._end(replies.TOO_MANY_TRANSACTIONS)
        else:
            self._open_transaction(argument)

    def _open_transaction(self, argument: str) -> None:
        limit, now = self._settings.max_message_octets, self._clock()
        try:
            transaction = parse_mail(
                argument, max_message_octets=limit, extended=self._is_extended, now=now, secure=self.is_secure
            )
        except Refusal as exc:
            self._refuse(exc.reply)
            return
        if self._book_entry(argument):
            self._transaction = transaction
            self._transactions_count += 1
            self._say(replies.SENDER_OK)
        elif not self._is_junk():
            self._say(replies.NO_SPACE)

    def _book_entry(self, argument: str) -> bool:
        """Book what a command adds to the envelope; False: there is no room for it."""
        grown = self._envelope_octets + _ENTRY_OCTETS + len(argument)
        if not self._booking.covers(grown):
            return False
        self._envelope_octets = grown
        return True

    def _rcpt(self, argument: str) -> None:
        """RFC 5321 4.1.1.3."""
        transaction = self._transaction
        if transaction is None:
            self._refuse(replies.MAIL_FIRST)
            return
        if self.content is not None:
            self._refuse(replies.CONTENT_BEGUN)
            return
        if len(transaction.recipients) >= self._settings.max_recipients_count:
            self._put_off(transaction, replies.TOO_MANY_RECIPIENTS)
            return
        try:
            recipient = parse_rcpt(
                argument,
                hostname=self._settings.hostname,
                smtputf8="smtputf8" in transaction.options,
                extended=self._is_extended,
            )
        except Refusal as exc:
            transaction.refused_count += 1
            self._refuse(exc.reply)
            return
        if not self._book_entry(argument):
            self._put_off(transaction, replies.NO_SPACE)
            return
        transaction.recipients.append(recipient)
        self._say(replies.RECIPIENT_OK)

    def _put_off(self, transaction: Transaction, reply: str) -> None:
        """Refuse a recipient for now, which is no error of the client's, but not for ever."""
        transaction.refused_count += 1
        if transaction.refused_count > _REFUSED_RECIPIENTS * self._settings.max_recipients_count:
            self._end(replies.TOO_MANY_ERRORS)
        else:
            self._say(reply)

    def _sequence_fault(self, transaction: Transaction | None) -> str:
        """Say why no content can come now, or ""."""
        if transaction is None:
            return replies.MAIL_FIRST
        if not transaction.recipients:
            # RFC 2920 3.1: a pipelining client sends DATA before it knows that all recipients were refused.
            return replies.of_status(status.NO_RECIPIENTS) if transaction.refused_count else replies.RCPT_FIRST
        return ""

    def _data(self, argument: str) -> None:
        """RFC 5321 4.1.1.4."""
        if argument:
            self._refuse(replies.NO_ARGUMENTS)
        elif fault := self._sequence_fault(self._transaction):
            self._refuse(fault)
        elif self.content is not None:
            self._refuse(replies.CONTENT_BEGUN)  # RFC 3030 2: BDAT and DATA are not mixed
        else:
            self._say(replies.GO_AHEAD)
            self._begin_content(dotted=True)
            self._take = self._take_data

    def _begin_content(self, *, dotted: bool) -> None:
        settings = self._settings
        self.content = Content(settings.max_message_octets, dotted=dotted, normalise=settings.bare_lf == "normalise")

    def _take_data(self) -> bool:
        content = self.content
        assert content is not None  # noqa: S101 (DATA began it)
        octets = self._input[self._at :] if self._at else self._input
        self._input, self._at = b"", 0
        if not octets:
            return False
        has_ended = content.feed(octets)
        self._book(content)
        if has_ended:
            self._input = content.rest
            self._finish(content)
            return True
        if content.received_octets > self._endless_octets:
            self._finish(content)
            self.ended = True
        return False

    @property
    def _endless_octets(self) -> int:
        return _ENDLESS * self._settings.max_message_octets + _ENDLESS_OCTETS

    @property
    def _has_sent_too_much(self) -> bool:
        """Since its last message of which we had no complaint."""
        return self._refused_octets > self._endless_octets

    def _book(self, content: Content) -> None:
        held = content.held_octets + self._lent_octets + self._envelope_octets
        if not content.is_dropped and not self._booking.covers(held):
            content.refuse(replies.NO_SPACE)

    def _bdat(self, argument: str) -> None:
        """RFC 3030 2: so many octets follow, whatever is wrong."""
        try:
            octets, self._is_last_chunk = parse_bdat(argument)
        except Refusal as exc:
            # Where the chunk ends is not known, and content is never read as commands.
            self._end(exc.reply)
            return
        if octets > _ENDLESS * self._settings.max_message_octets:
            self._end(replies.of_status(status.MESSAGE_TOO_BIG))
            return
        self._chunk_refusal = self._sequence_fault(self._transaction)
        if self._chunk_refusal:
            if self._has_sent_too_much:
                self._end(replies.TOO_MUCH_REFUSED)
                return
            self._refused_octets += octets
        self._chunk_left = octets
        if not self._chunk_refusal and self.content is None:
            self._begin_content(dotted=False)
        self._take = self._take_chunk

    def _take_chunk(self) -> bool:
        octets = self._input[self._at : self._at + self._chunk_left]
        self._at += len(octets)
        self._chunk_left -= len(octets)
        content = self.content
        if octets and not self._chunk_refusal and content is not None:
            content.feed_chunk(octets)
            self._book(content)
        if self._chunk_left:
            return False
        self._take = self._take_command
        if self._chunk_refusal or content is None:
            self._refuse(self._chunk_refusal)
        elif self._is_last_chunk or content.is_dropped:
            self._finish(content)
        elif octets or not self._is_junk():
            self._say(replies.CHUNK_OK)
        return True

    def _finish(self, content: Content) -> None:
        transaction = self._transaction
        assert transaction is not None  # noqa: S101 (a content begins in one)
        self._take = self._take_command
        self._junk_count = 0
        authorization = self._submitter
        refusal = ""
        if content.refusal:
            refusal = content.refusal
        elif content.too_big:
            refusal = replies.of_status(status.MESSAGE_TOO_BIG)
        elif fault := content.fault():
            refusal = replies.of_status(status.BAD_MESSAGE, f"{fault} in the message (RFC 5321 2.3.8)")
        elif authorization is None:
            refusal = replies.of_status(status.AUTH_REQUIRED)
        if not refusal:
            self._refused_octets = 0
        elif not content.refusal:  # which is our lack of room, or the API's word
            self._refused_octets += content.received_octets
        self._do(Submit(authorization or "", self._authorization is not None, transaction, content, refusal))

    # -- what others are told of it

    @property
    def client_name(self) -> str:
        """What stands in the Received field's from clause, RFC 5321 4.4."""
        address = self._client.address
        literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        return f"{self.helo} ({literal})" if _HELO.fullmatch(self.helo) else literal

    @property
    def protocol(self) -> str:
        """RFC 3848's word for how messages come."""
        if not self._is_extended:
            return "SMTP"
        return f"ESMTP{'S' if self.is_secure else ''}{'A' if self.user else ''}"

    _COMMANDS: ClassVar[dict[bytes, Callable[[Session, str], None]]] = {
        b"HELO": _helo,
        b"EHLO": _ehlo,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"BDAT": _bdat,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"QUIT": _quit,
        b"VRFY": _vrfy,
        b"EXPN": _expn,
        b"HELP": _help,
        b"STARTTLS": _starttls,
        b"AUTH": _auth,
    }  # fmt: skip
