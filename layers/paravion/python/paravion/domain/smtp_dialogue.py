"""
The SMTP client's side of the protocol, without any I/O.

Two generators say what to do and are sent what came back. They yield
`Step` (write these octets, then give the next answer), `StartTls` (make the handshake), `Content`
(stream the message) or `Whole` (write it at once), and are sent an `Answer`; their return value is the result.
They own no clock, no socket and no body: adapters/smtp_client.py drives them and the tests drive them from tables.

    introduce   greeting → EHLO (→ HELO) → STARTTLS → EHLO         returns Session or Refusal
    transact    [RSET] MAIL RCPT… DATA content DOT                 returns Transacted
                [RSET] MAIL RCPT… BDAT octet, BDAT content
                MAIL RCPT… BDAT content

With PIPELINING everything up to DATA leaves in one write, otherwise each command waits for its reply.
No content is sent before a 354, and none reaches the wire behind a refused recipient list: a 354 in
spite of that is answered by a lone dot.

What stands before the content (`opening`) may also have left in one write with the final dot of the transaction before
(RFC 2920 3.1; `written`): its 354 then comes with that dot's answer, one round trip for each message instead of two.
Nothing of such a transaction was ever in doubt before its own content, so that whatever goes wrong with it is repeated.

With CHUNKING as well, a message of at most WHOLE_OCTETS leaves with all its commands in one write (`Whole`): one
round trip instead of two. What it takes:

    - The host has shown that it understands BDAT: of one that only offers it (a proxy passes the keyword on) content
      would be read as commands. The first message asks by a chunk of one octet, its header's first letter, where DATA
      would stand, and goes by DATA if that is refused. (An empty chunk would do, but Postfix refuses it.)
    - The connection is surely alive: everything from that write on is in doubt until it is answered.

Content behind a refused recipient list does reach the wire then; the host reads it as content and refuses it.

A message of BODY type 8BITMIME for a host without that extension has been converted before it comes here
(domain/seven_bit.py), unless it has a DKIM signature: that one is sent as it is, without the parameter
("just send 8").

RFC: 5321 3.1-3.3, 4.1, 4.5.2; 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3461 (DSN), 3207
(STARTTLS), 2852 (DELIVERBY), 8689 (REQUIRETLS), 9422 (LIMITS), 3030 (CHUNKING; not BINARYMIME). Between the two: AUTH
(domain/smtp_auth.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from paravion.domain import status
from paravion.domain.line_ends import has_whole_lines
from paravion.domain.outcome import Result
from paravion.domain.reply import Reply
from paravion.domain.tls_facts import TlsResult
from paravion.domain.verdict import Fault, Peer, Scope, Stage, Verdict, ends_connection, is_positive, judge, ours

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from paravion.domain.verdict import Answer

_NOTHING: Final = b""
_LONE_DOT: Final = b".\r\n"
_LOCAL: Final = "LOCAL"
_LAST_CHUNK: Final = b"BDAT %d LAST\r\n"

EIGHT_BIT: Final = "8BITMIME"
"""The body type, and the parameter's value (RFC 6152)."""

WHOLE_OCTETS: Final = 65_536
"""A larger message waits for the answers to its recipients: what is refused should cost little."""

_NOT_UNDERSTOOD: Final = frozenset({500, 501, 502, 503, 504})
"""RFC 5321 4.2.2: to BDAT, of a host that took recipients, they mean that it offers what it can't do."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@\[\]:-]*")
_UNCLEAN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DELIMITER: Final = re.compile("[<> ]")


@dataclass(frozen=True, slots=True)
class Extensions:
    """
    What a host offered in its EHLO reply.

    Attributes:
        name: The host's name for itself, lower case, "" if it gave none.
        keywords: Every keyword (upper case) with its parameters.
        size: Largest message in octets, 0 if there is no fixed limit (RFC 1870 4).
        deliver_by, min_by_s: DELIVERBY is offered; the shortest time that it takes with by-mode R, 0 for any.
        rcpt_max, mail_max, rcpt_domain_max: LIMITS: recipients of a transaction, transactions of a connection,
            recipients' domains of a transaction; 0 unknown.
    """

    name: str = ""
    keywords: Mapping[str, str] = field(default_factory=dict)
    pipelining: bool = False
    size: int = 0
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    chunking: bool = False
    requiretls: bool = False
    deliver_by: bool = False
    min_by_s: int = 0
    rcpt_max: int = 0
    mail_max: int = 0
    rcpt_domain_max: int = 0

    @property
    def takes_eight_bit(self) -> bool:
        """8BITMIME is offered, or SMTPUTF8, which comes with it (RFC 6531 3.1)."""
        return self.eight_bit or self.smtputf8

    @property
    def has_size(self) -> bool:
        """SIZE is offered, with or without a limit."""
        return "SIZE" in self.keywords


def parse_ehlo(reply: Reply) -> Extensions:
    """Read a positive EHLO (or HELO) reply; what is not understood is kept in `keywords` only."""
    keywords: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword[:5].upper() == "AUTH=":  # the form of a draft that some hosts still add
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}".strip()
        keyword = keyword.upper()
        if keyword and not keywords.get(keyword):
            keywords[keyword] = parameters.strip()
    limits = dict(word.upper().partition("=")[::2] for word in keywords.get("LIMITS", "").split())
    return Extensions(
        name=reply.lines[0].strip().partition(" ")[0].lower(),
        keywords=keywords,
        pipelining="PIPELINING" in keywords,
        size=_number(keywords.get("SIZE", "")),
        eight_bit="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        dsn="DSN" in keywords,
        starttls="STARTTLS" in keywords,
        chunking="CHUNKING" in keywords,
        requiretls="REQUIRETLS" in keywords,
        deliver_by="DELIVERBY" in keywords,
        min_by_s=_number(keywords.get("DELIVERBY", "").partition(",")[0].strip()),
        rcpt_max=_number(limits.get("RCPTMAX", "")),
        mail_max=_number(limits.get("MAILMAX", "")),
        rcpt_domain_max=_number(limits.get("RCPTDOMAINMAX", "")),
    )


def fitting(extensions: Extensions, recipients: Mapping[int, tuple[str, tuple[str, ...], str]], most: int) -> list[int]:
    """Give the positions of one transaction: the first that the host's limits and `most` (>= 1) allow, at least one."""
    most = min(most, extensions.rcpt_max or most)
    if not extensions.rcpt_domain_max:
        return list(islice(recipients, most))
    domains: set[str] = set()
    found = []
    for position, (forward_path, _, _) in recipients.items():
        domain = forward_path.rpartition("@")[2].lower()
        if domain not in domains and len(domains) >= extensions.rcpt_domain_max:
            continue
        domains.add(domain)
        found.append(position)
        if len(found) == most:
            break
    return found


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0  # noqa: PLR2004 (RFC 1870 4)


@dataclass(frozen=True, slots=True)
class Step:
    """Write these octets (maybe none), then give the next answer; wait for it as `stage` allows."""

    octets: bytes
    stage: Stage


# What a pipelined group has asked already is only heard.
_HEAR_MAIL: Final = Step(_NOTHING, Stage.MAIL)
_HEAR_RCPT: Final = Step(_NOTHING, Stage.RCPT)
_HEAR_DATA: Final = Step(_NOTHING, Stage.DATA)
_HEAR_DOT: Final = Step(_NOTHING, Stage.DOT)


@dataclass(frozen=True, slots=True)
class StartTls:
    """Forget what was received beyond the last reply, make the handshake, answer a TlsUp or a Fault."""


@dataclass(frozen=True, slots=True)
class TlsUp:
    """
    The handshake succeeded.

    Attributes:
        version: As the library names it, e.g. TLSv1.3.
        cipher: OpenSSL's name.
        verified: The host proved its name, as its policy asks (domain/tls_policy.py).
    """

    version: str
    cipher: str = ""
    verified: bool = False


class Content:
    """
    The message's way onto the wire: dot-stuffed piece by piece, whatever the pieces' borders.

    Write `start()`, `feed()` of each chunk of the body, and `end()`; then give the answer that followed.
    An answer that comes before the end is given at once, and `end()` never called. A CR or LF that
    stands alone goes out as CRLF: no host may see the end of the message where we see none.

    With `is_last` its transaction leaves nobody for another one, and the next one's `opening` may follow the end.

    RFC: 5321 4.5.2 (transparency), 2.3.8 (no bare CR or LF).
    """

    __slots__ = ("_at_line_start", "_held", "ended", "header", "is_last")

    def __init__(self, header: bytes, *, is_last: bool = False) -> None:
        self.header = header
        self.is_last = is_last
        self.ended = False
        self._at_line_start = True
        self._held = b""  # a CR at the end of a chunk, until it is known what follows

    def start(self) -> bytes:
        """Give the header section and the empty line that ends it."""
        return self.feed(self.header) + self._end_line() + b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """Give the chunk as it goes over the wire."""
        if not chunk:
            return chunk
        if self._held or not has_whole_lines(chunk):
            chunk = self._even(chunk)
            if not chunk:
                return chunk
        stuffed = chunk.replace(b"\r\n.", b"\r\n..") if b"." in chunk else chunk
        if self._at_line_start and chunk.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = chunk.endswith(b"\n")
        return stuffed

    def end(self) -> bytes:
        """
        Give the end of the message.

        From here on the host may have taken the message, whether we hear of it or not: the one instant
        in which a duplicate is made (RFC 1047).
        """
        self.ended = True
        return self._end_line() + b".\r\n"

    def _end_line(self) -> bytes:
        """Give the line end that is still owed, if any."""
        owed = b"\r\n" if self._held or not self._at_line_start else b""
        self._held = b""
        self._at_line_start = True
        return owed

    def _even(self, chunk: bytes) -> bytes:
        """Make every line end in the chunk a whole CRLF; a CR at its end is held back."""
        chunk = self._held + chunk
        self._held = b"\r" if chunk.endswith(b"\r") else b""
        return _whole_lines(chunk.removesuffix(b"\r"))


def _whole_lines(octets: bytes) -> bytes:
    """Make every CR, LF or CRLF a CRLF."""
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _ended(octets: bytes) -> bytes:
    """Make every line whole, the last one as well."""
    if not has_whole_lines(octets):
        octets = _whole_lines(octets)
    return octets if not octets or octets.endswith(b"\n") else octets + b"\r\n"


class Whole:
    """
    A whole transaction in one write: give `octets` of the body to the wire, set `is_sent`, give the first answer.

    What can't be written (no body, no time) is answered with `is_sent` still False. As in Content every line ends
    in CRLF, the last one as well; nothing is dot-stuffed. The first `sent` octets have gone in an earlier chunk.

    RFC: 3030 2.
    """

    __slots__ = ("_sent", "commands", "header", "is_sent")

    def __init__(self, commands: bytes, header: bytes, sent: int = 0) -> None:
        self._sent = sent
        self.commands = commands
        self.header = header
        self.is_sent = False

    def octets(self, body: bytes) -> bytes:
        """Give the commands and the message behind them."""
        content = b"\r\n".join((_ended(self.header), _ended(body)))[self._sent :]
        return b"".join((self.commands, _LAST_CHUNK % len(content), content))

    def last(self, body_octets: int) -> bytes:
        """Give the last command as it is told of a body of so many octets, whose line ends may become more."""
        return _LAST_CHUNK % (len(_ended(self.header)) + 2 + body_octets - self._sent)


@dataclass(frozen=True, slots=True)
class Session:
    """An introduction that succeeded: who, and what it offers now (after TLS, if any)."""

    peer: Peer
    extensions: Extensions


@dataclass(frozen=True, slots=True)
class Refusal:
    """An introduction that failed; with `tls_broken` a connection with less TLS, or none, may do better."""

    verdict: Verdict
    tls_broken: bool = False


@dataclass(frozen=True, slots=True)
class ByTime:
    """
    The deadline of a message as it is told to a host (RFC 2852): seconds that are left, by-mode R, by-trace.

    With by-mode N the seconds may be 0 or less.
    """

    seconds: int
    returns: bool = False
    traces: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """
    What one transaction sends.

    Attributes:
        recipients: By position: forward-path, NOTIFY tuple, ORCPT; at most what the host takes.
        header: Header section, CRLF line ends, without the empty line.
        body_octets: Before dot-stuffing.
        requiretls: Asked of hosts that offer it; others do not get the message, unless its reverse-path is null.
    """

    reverse_path: str
    recipients: Mapping[int, tuple[str, tuple[str, ...], str]]
    header: bytes
    body_octets: int
    body_type: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    by: ByTime | None = None
    requiretls: bool = False

    @property
    def octets(self) -> int:
        """The message's size as SIZE counts it: with the empty line, without stuffing (RFC 1870 3)."""
        return len(self.header) + 2 + self.body_octets


@dataclass(frozen=True, slots=True)
class Transacted:
    """
    What a transaction came to.

    Attributes:
        verdicts: One for each position of the request.
        intact: The connection is in step and open, as far as we know.
        reset: The next transaction must begin with RSET: this one was not ended by its final dot.
        bdat: What was learnt: the host understands BDAT, or does not though it offers it; None: nothing.
    """

    verdicts: dict[int, Verdict]
    intact: bool
    reset: bool
    bdat: bool | None = None


def introduce(  # noqa: PLR0911 (one exit for each command that may be refused)
    hostname: str, peer: Peer, *, starttls: bool, refuse_own_name: bool, required: bool = False
) -> Generator[Step | StartTls, Answer | TlsUp, Session | Refusal]:
    """
    Open a session.

    Args:
        hostname: Our name for EHLO.
        peer: Who is at the other end, in clear.
        starttls: Use TLS if the host offers it; a refusal of it is no obstacle.
        refuse_own_name: A host that bears our name is ourselves: a loop (RFC 5321 6.3).
        required: Nothing goes on without TLS; with `starttls` a host that offers or grants none is left.
    """
    answer = yield from _ask(_NOTHING, Stage.GREETING)
    if not is_positive(Stage.GREETING, answer):
        return Refusal(judge(Stage.GREETING, answer, peer))
    introduced = yield from _hello(hostname, peer)
    if isinstance(introduced, Refusal):
        return introduced
    if refuse_own_name and introduced.name == hostname.lower():
        text = f"{peer.name} calls itself {hostname}, which is our own name"
        return Refusal(ours(status.ROUTING_LOOP, text, Stage.EHLO, peer, Scope.DESTINATION))
    if not starttls:
        return Session(peer, introduced)
    if not introduced.starttls:
        return _without_tls(peer, introduced, "it offers no STARTTLS", required=required)
    answer = yield from _ask(b"STARTTLS\r\n", Stage.STARTTLS)
    if not is_positive(Stage.STARTTLS, answer):
        if ends_connection(Stage.STARTTLS, answer):
            # A host that breaks off here breaks off at TLS; one that closes with a reply means it.
            return Refusal(judge(Stage.STARTTLS, answer, peer), tls_broken=not isinstance(answer, Reply))
        return _without_tls(peer, introduced, f"it answers STARTTLS by {_shown(answer)}", required=required)
    handshake = yield StartTls()
    if not isinstance(handshake, TlsUp):
        return Refusal(judge(Stage.TLS, handshake, failed_tls(peer, handshake)), tls_broken=True)
    # RFC 3207 4.2: what was learned in clear is forgotten.
    peer = secured(peer, handshake)
    introduced = yield from _hello(hostname, peer)
    if isinstance(introduced, Refusal):
        # With TLS 1.3 a host's refusal of our half of the handshake arrives only now.
        return Refusal(introduced.verdict, tls_broken=not introduced.verdict.outcome.is_reply)
    return Session(peer, introduced)


def secured(peer: Peer, up: TlsUp) -> Peer:
    """Give the peer as it is known after a handshake."""
    facts = replace(peer.tls_facts, version=up.version, cipher=up.cipher, verified=up.verified)
    return replace(peer, tls=up.version, tls_facts=facts)


def failed_tls(peer: Peer, fault: Answer | TlsUp) -> Peer:
    """Give the peer with what its handshake came to; whatever RFC 8460 has no name for is a validation failure."""
    result = fault.tls_result if isinstance(fault, Fault) and fault.tls_result else TlsResult.VALIDATION_FAILURE
    return replace(peer, tls_facts=replace(peer.tls_facts, result=result))


def _without_tls(peer: Peer, extensions: Extensions, why: str, *, required: bool) -> Session | Refusal:
    """Go on in clear, which is noted, or leave."""
    noted = peer.tls_facts.result or TlsResult.STARTTLS_NOT_SUPPORTED
    peer = replace(peer, tls_facts=replace(peer.tls_facts, result=noted))
    if not required:
        return Session(peer, extensions)
    text = f"TLS is required for {peer.name}, but {why}"
    return Refusal(ours(status.TLS_NOT_OFFERED, text, Stage.STARTTLS, peer, Scope.HOST), tls_broken=True)


def _shown(answer: Answer) -> str:
    return f"{answer.code} {answer.text}" if isinstance(answer, Reply) else "no reply"


def _hello(hostname: str, peer: Peer) -> Generator[Step, Answer | TlsUp, Extensions | Refusal]:
    """Say EHLO, and HELO to a host that does not know it."""
    answer = yield from _ask(f"EHLO {hostname}\r\n".encode("ascii"), Stage.EHLO)
    if is_positive(Stage.EHLO, answer):
        return parse_ehlo(answer)  # type: ignore[arg-type]  # positive: a Reply
    if not isinstance(answer, Reply) or answer.severity != 5:  # noqa: PLR2004 (5yz)
        return Refusal(judge(Stage.EHLO, answer, peer))
    answer = yield from _ask(f"HELO {hostname}\r\n".encode("ascii"), Stage.HELO)
    if is_positive(Stage.HELO, answer):
        return Extensions(name=parse_ehlo(answer).name)  # type: ignore[arg-type]  # positive: a Reply
    return Refusal(judge(Stage.HELO, answer, peer))


def _ask(octets: bytes, stage: Stage) -> Generator[Step, Answer | TlsUp, Answer]:
    """Yield one step; only StartTls may be answered by TlsUp."""
    answer = yield Step(octets, stage)
    if isinstance(answer, TlsUp):
        raise TypeError("a handshake that nobody asked for")
    return answer


@dataclass(frozen=True, slots=True)
class Opening:
    """
    What a transaction says to a host before its content.

    Attributes:
        unfit: Why the host can't take the message at all, and nothing is said; None if it can.
        verdicts: Of those recipients that can't be named to it, by position.
        commands: RCPT for the others, by position.
    """

    unfit: Verdict | None
    verdicts: Mapping[int, Verdict]
    commands: Mapping[int, bytes]
    mail: bytes

    @property
    def octets(self) -> bytes:
        """All of it in one write, by DATA; b"" if there is nothing to be said."""
        return b"".join((self.mail, *self.commands.values(), b"DATA\r\n")) if self.commands else b""


def opening(session: Session, request: Request) -> Opening:
    """Say what a transaction begins with; for one that is pipelined it may be written before (`transact`)."""
    unfit = _unfit(request, session)
    if unfit is not None:
        return Opening(unfit, {}, {}, _NOTHING)
    verdicts: dict[int, Verdict] = {}
    commands: dict[int, bytes] = {}
    for position, recipient in request.recipients.items():
        command = _rcpt(recipient, request, session.extensions)
        if isinstance(command, bytes):
            commands[position] = command
        else:
            verdicts[position] = ours(command, "", _LOCAL, session.peer, Scope.RECIPIENT)
    return Opening(None, verdicts, commands, _mail(request, session.extensions))


def transact(  # noqa: C901, PLR0911, PLR0912, PLR0915 (the order of the wire, told once)
    session: Session,
    request: Request,
    *,
    reset: bool = False,
    bdat: bool | None = False,
    written: Opening | None = None,
) -> Generator[Step | Content | Whole, Answer, Transacted]:
    """
    Send one message to some recipients over a session.

    Args:
        session: What the introduction came to.
        request: The message and who gets it.
        reset: Begin with RSET, because of what the connection was used for before.
        bdat: A small message may go by BDAT, if it is offered. True: the host is known to understand it, and the
            connection to be alive; None: it must be asked.
        written: The request's `opening`, if it is on its way already, to a host that pipelines; neither RSET nor BDAT.
    """
    peer, extensions = session.peer, session.extensions
    said = written or opening(session, request)
    if said.unfit is not None:
        return Transacted(dict.fromkeys(request.recipients, said.unfit), intact=True, reset=reset)
    mail, commands, verdicts = said.mail, said.commands, dict(said.verdicts)
    if not commands:
        return Transacted(verdicts, intact=True, reset=reset)

    pipelined = extensions.pipelining
    may_chunk = pipelined and extensions.chunking and written is None
    if not (may_chunk and request.octets <= WHOLE_OCTETS and request.header[:1].isalpha()):
        bdat = False
    if bdat and not reset:
        result = yield from _in_one_write(session, request, mail, commands)
        return replace(result, verdicts={**result.verdicts, **verdicts})
    first = b""
    if written is None:
        # With PIPELINING the first step carries everything (RFC 2920 3.1: RSET, MAIL, RCPT, and DATA last).
        first = mail
        if pipelined:
            last = b"BDAT 1\r\n" + request.header[:1] if bdat is None else b"DATA\r\n"
            first = b"".join((b"RSET\r\n" if reset else b"", mail, *commands.values(), last))

    def finish(stage: Stage, answer: Answer) -> Transacted:
        """Give everybody who has no verdict yet this one, over a connection that is finished."""
        verdict = judge(stage, answer, peer)
        return Transacted({**dict.fromkeys(request.recipients, verdict), **verdicts}, intact=False, reset=True)

    if reset:
        answer = yield Step(first if pipelined else b"RSET\r\n", Stage.RSET)
        if not is_positive(Stage.RSET, answer):
            return finish(Stage.RSET, answer)

    answer = yield _HEAR_MAIL if not first or (pipelined and reset) else Step(first, Stage.MAIL)
    sender_taken = is_positive(Stage.MAIL, answer)
    if not sender_taken:
        if ends_connection(Stage.MAIL, answer):
            return finish(Stage.MAIL, answer)
        verdicts = {**dict.fromkeys(commands, judge(Stage.MAIL, answer, peer)), **verdicts}
        if not pipelined:
            return Transacted(verdicts, intact=True, reset=True)

    taken: list[int] = []
    for position, command in commands.items():
        answer = yield _HEAR_RCPT if pipelined else Step(command, Stage.RCPT)
        if is_positive(Stage.RCPT, answer):
            if sender_taken:
                taken.append(position)
        elif ends_connection(Stage.RCPT, answer):
            return finish(Stage.RCPT, answer)
        elif sender_taken:
            verdicts[position] = judge(Stage.RCPT, answer, peer)
    if not taken and not pipelined:
        return Transacted(verdicts, intact=True, reset=True)

    if bdat is None:
        return (yield from _after_the_first_octet(session, request, taken, verdicts))
    answer = yield _HEAR_DATA if pipelined else Step(b"DATA\r\n", Stage.DATA)
    if not is_positive(Stage.DATA, answer):
        if ends_connection(Stage.DATA, answer):
            return finish(Stage.DATA, answer)
        verdict = judge(Stage.DATA, answer, peer)
        return Transacted({**dict.fromkeys(taken, verdict), **verdicts}, intact=True, reset=True)
    if not taken:
        # RFC 2920 3.1: the host waits for a message to nobody; give it an empty one, whatever it answers.
        answer = yield Step(_LONE_DOT, Stage.DOT)
        return Transacted(verdicts, intact=not ends_connection(Stage.DOT, answer), reset=True)

    content = Content(request.header, is_last=len(taken) == len(commands))
    answer = yield content
    if not content.ended:
        # A reply in the middle of the message can only be a refusal; the rest of it would be read as commands.
        return finish(Stage.CONTENT, answer)
    verdict = _judge_end(session, request, answer)
    for position in taken:
        verdicts[position] = verdict
    is_taken = is_positive(Stage.DOT, answer)
    return Transacted(verdicts, intact=is_taken or not ends_connection(Stage.DOT, answer), reset=not is_taken)


def _after_the_first_octet(  # noqa: PLR0911 (one exit for each answer)
    session: Session, request: Request, taken: list[int], verdicts: dict[int, Verdict]
) -> Generator[Step | Content | Whole, Answer, Transacted]:
    """Hear what the host says to a chunk of one octet, and send the message by what it understands."""
    peer = session.peer

    def all_of(verdict: Verdict, *, intact: bool, bdat: bool | None = None) -> Transacted:
        return Transacted({**verdicts, **dict.fromkeys(taken, verdict)}, intact=intact, reset=True, bdat=bdat)

    answer = yield _HEAR_DATA
    # A chunk's yes is 2yz, unlike DATA's.
    if ends_connection(Stage.RCPT, answer):
        return all_of(judge(Stage.DATA, answer, peer), intact=False)
    if not is_positive(Stage.RCPT, answer):
        refusal = answer
        # Who did not understand BDAT has the octet still, and adds this to it: one reply from either.
        answer = yield Step(b"NOOP\r\n", Stage.RSET)
        if ends_connection(Stage.RCPT, answer):
            return all_of(judge(Stage.DATA, answer, peer), intact=False)
        if not taken:
            return Transacted(verdicts, intact=True, reset=True)
        recipients = {position: request.recipients[position] for position in taken}
        result = yield from transact(session, replace(request, recipients=recipients), reset=True)
        is_for_good = isinstance(refusal, Reply) and refusal.severity == 5  # noqa: PLR2004 (5yz)
        return replace(result, verdicts={**verdicts, **result.verdicts}, bdat=False if is_for_good else None)
    if not taken:
        return Transacted(verdicts, intact=True, reset=True)
    whole = Whole(_NOTHING, request.header, sent=1)
    answer = yield whole
    if not whole.is_sent:
        return all_of(judge(Stage.DATA, answer, peer), intact=False)
    result = all_of(
        _judge_end(session, request, answer),
        intact=not ends_connection(Stage.DOT, answer),
        bdat=True,
    )
    return replace(result, reset=not is_positive(Stage.DOT, answer))


def _in_one_write(
    session: Session, request: Request, mail: bytes, commands: Mapping[int, bytes]
) -> Generator[Step | Whole, Answer, Transacted]:
    """Send commands and message at once, then hear what came of each."""
    peer = session.peer
    verdicts: dict[int, Verdict] = {}

    def finish(stage: Stage, answer: Answer) -> Transacted:
        """Give everybody who has no verdict yet this one; only a refusal in words says that nothing was taken."""
        refused = isinstance(answer, Reply) and answer.severity >= 4  # noqa: PLR2004 (4yz, 5yz)
        verdict = judge(stage if refused else Stage.DOT, answer, peer)
        return Transacted({**dict.fromkeys(commands, verdict), **verdicts}, intact=False, reset=True)

    whole = Whole(b"".join((mail, *commands.values())), request.header)
    answer = yield whole
    if not whole.is_sent:
        verdict = judge(Stage.MAIL, answer, peer)
        return Transacted(dict.fromkeys(commands, verdict), intact=False, reset=True)
    if ends_connection(Stage.MAIL, answer):
        return finish(Stage.MAIL, answer)
    sender_taken = is_positive(Stage.MAIL, answer)
    if not sender_taken:
        verdicts = dict.fromkeys(commands, judge(Stage.MAIL, answer, peer))
    taken: list[int] = []
    for position in commands:
        answer = yield _HEAR_RCPT
        if ends_connection(Stage.RCPT, answer):
            return finish(Stage.RCPT, answer)
        if not sender_taken:
            continue
        if is_positive(Stage.RCPT, answer):
            taken.append(position)
        else:
            verdicts[position] = judge(Stage.RCPT, answer, peer)
    # RFC 3030 2: answered (503, 554) and its octets read also behind a refused MAIL or RCPT.
    answer = yield _HEAR_DOT
    verdict = _judge_end(session, request, answer)
    if taken and isinstance(answer, Reply) and answer.code in _NOT_UNDERSTOOD:
        # Another one than that which was asked, under the same name; it may go on to read the message as commands.
        text = f"{peer.name} does not understand BDAT any more: {answer.code} {answer.text}"
        verdict = ours(status.CONNECTION_LOST, text, Stage.DOT, peer, Scope.HOST)
        return Transacted({**verdicts, **dict.fromkeys(taken, verdict)}, intact=False, reset=True, bdat=False)
    verdicts |= dict.fromkeys(taken, verdict)
    intact = not ends_connection(Stage.DOT, answer)
    return Transacted(verdicts, intact=intact, reset=not is_positive(Stage.DOT, answer))


def _unfit(request: Request, session: Session) -> Verdict | None:
    """Say why the host can't take the message at all, before it is asked."""
    extensions = session.extensions
    row = None
    text = ""
    if not _is_clean(request.reverse_path):
        row = status.SENDER_SYNTAX
    elif not _is_parameter(request.envid) or not _is_parameter(request.ret):
        row, text = status.BAD_REQUEST, "ENVID or RET is malformed"
    elif (request.smtputf8 or not request.reverse_path.isascii()) and not extensions.smtputf8:
        row = status.SMTPUTF8_NEEDED
    elif 0 < extensions.size < request.octets:
        row = status.MESSAGE_TOO_BIG
        text = f"Message has {request.octets} octets, {session.peer.name} takes {extensions.size}"
    elif request.by is not None and request.by.returns:
        # RFC 2852: not passed on to who would not return it in time.
        if not extensions.deliver_by:
            row = status.DELIVER_BY_NOT_OFFERED
            text = f"Message is to be delivered in time or returned, {session.peer.name} does not take deadlines"
        elif request.by.seconds < max(1, extensions.min_by_s):
            row = status.EXPIRED
            least = max(1, extensions.min_by_s)
            text = f"{request.by.seconds} seconds are left, {session.peer.name} takes {least} at least"
    if row is None and request.requiretls and request.reverse_path and not extensions.requiretls:
        # RFC 8689 4.2.1: the next host may offer it.
        text = f"{session.peer.name} does not promise to pass the message on over secure connections only (REQUIRETLS)"
        return ours(status.REQUIRETLS_NOT_OFFERED, text, _LOCAL, session.peer, Scope.HOST)
    return None if row is None else ours(row, text, _LOCAL, session.peer, Scope.MESSAGE)


def _mail(request: Request, extensions: Extensions) -> bytes:
    words = [f"MAIL FROM:<{request.reverse_path}>"]
    if extensions.has_size:
        words.append(f"SIZE={request.octets}")
    if extensions.eight_bit and request.body_type == EIGHT_BIT:
        words.append("BODY=8BITMIME")
    if extensions.smtputf8 and (
        request.smtputf8
        or not request.reverse_path.isascii()
        or not all(forward_path.isascii() for forward_path, _, _ in request.recipients.values())
    ):
        words.append("SMTPUTF8")
    if extensions.dsn:
        if request.ret:
            words.append(f"RET={request.ret}")
        if request.envid:
            words.append(f"ENVID={request.envid}")
    if request.by is not None and extensions.deliver_by:
        by = request.by
        words.append(f"BY={by.seconds};{'R' if by.returns else 'N'}{'T' if by.traces else ''}")
    if request.requiretls and extensions.requiretls:
        words.append("REQUIRETLS")
    return " ".join(words).encode() + b"\r\n"


def _rcpt(
    recipient: tuple[str, tuple[str, ...], str], request: Request, extensions: Extensions
) -> bytes | status.Status:
    """Give the RCPT command, or the row that says why there can be none."""
    forward_path, notify, orcpt = recipient
    if _loses_deadline(request, extensions) and notify != ("NEVER",) and "DELAY" not in notify:
        # RFC 2852: the host shall at least tell of its own delays.
        notify = (*(notify or ("FAILURE",)), "DELAY")
    if not forward_path or not _is_clean(forward_path):
        return status.RECIPIENT_SYNTAX
    if not forward_path.isascii() and not extensions.smtputf8:
        return status.SMTPUTF8_NEEDED
    command = f"RCPT TO:<{forward_path}>"
    if extensions.dsn:
        if not all(map(_is_parameter, (*notify, orcpt))):
            return status.BAD_REQUEST
        if notify:
            command += " NOTIFY=" + ",".join(notify)
        if orcpt:
            command += " ORCPT=" + orcpt
    return command.encode() + b"\r\n"


def _loses_deadline(request: Request, extensions: Extensions) -> bool:
    """Say whether the host will know nothing of a deadline; by-mode R does not come to such a host."""
    return request.by is not None and not extensions.deliver_by


def _judge_end(session: Session, request: Request, answer: Answer) -> Verdict:
    """Judge the answer to a whole message; of a deadline that ends here, or is traced, the sender hears."""
    verdict = judge(Stage.DOT, answer, session.peer, relayed_dsn=session.extensions.dsn)
    by = request.by
    if by is None or verdict.outcome.result is not Result.DELIVERED:
        return verdict
    is_traced = by.traces or _loses_deadline(request, session.extensions)
    return replace(verdict, outcome=replace(verdict.outcome, is_traced=is_traced))


def _is_clean(path: str) -> bool:
    """No control characters and no surrogates: whatever it is, it is one path in one command line."""
    if _PLAIN.fullmatch(path):
        return True
    if _UNCLEAN.search(path):
        return False
    quoted, _, rest = path.rpartition('"')
    return (not quoted or path.startswith('"')) and _DELIMITER.search(rest) is None


def _is_parameter(value: str) -> bool:
    """RFC 5321 4.1.2 esmtp-value, which also takes xtext; "" counts as absent."""
    return not value or (value.isascii() and value.isprintable() and " " not in value)
