"""
What was said in an attempt: commands, replies, times, TLS; never content, never secrets.

A `Recorder` listens to one transaction's way to one next hop (adapters/smtp_client.py feeds it), over all the
hosts that were tried. A `Book` holds the recorders of one invocation of `deliver` and becomes one object in the
spool, so that a transcript costs a tenth of a write where a batch has ten jobs. The ledger's history lines
name the book; queue id, chunk and attempt find the page. services/transcripts.py reads it again.

    kind  line
    *     what happened: connecting, TLS, a connection lost
    ->    what we said; the message itself is only counted
    <-    what the host said, status included

Content and secrets are kept out by the form: only commands that are known to hold neither are shown, AUTH is
shown with its mechanism alone, and what belongs to its exchange is not shown at all, whoever says it.
Recipients beyond the first few are summed up, but every one that was refused is shown.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paravion.domain.reply import Malformed, Reply, printable
from paravion.domain.verdict import Stage, is_positive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paravion.domain.outcome import Outcome
    from paravion.domain.verdict import Answer

EVENT: Final = "*"
SENT: Final = "->"
RECEIVED: Final = "<-"

LINES: Final = 250
"""Lines kept of one transaction's way: a hundred refused recipients, and what stands around them, twice."""

CHARACTERS: Final = 32_768
"""Characters kept of it."""

BOOK_CHARACTERS: Final = 8_388_608
"""Characters kept of one invocation, before compression; what comes later is left out."""

_LINE_CHARACTERS: Final = 400
_RECIPIENTS_SHOWN: Final = 5
_SHOWN_VERBS: Final = frozenset({"EHLO", "HELO", "STARTTLS", "RSET", "MAIL", "RCPT", "DATA", "BDAT", "NOOP", "QUIT"})
_AUTH: Final = "AUTH"
_HIDDEN: Final = "***"
_PUT_BY: Final = 24  # replies and what stands between them, of 12 KB at most each
_PLAIN_STAGES: Final = frozenset({Stage.GREETING, Stage.RSET, Stage.MAIL, Stage.DATA, Stage.DOT})
"""Whose replies show no secret, and answer no command that must be named beside them."""

_MEMORY: Final = 5  # zlib's; the usual 8 takes as long to clear as a book of ten pages to pack
_GZIP: Final = 31  # zlib's window bits for the gzip format: `zcat` reads what an operator fetches by hand


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Line(NamedTuple):
    """`ms` since the latest connection began, `kind` of the module's table, `text` printable."""

    ms: int
    kind: str
    text: str


class Recorder:
    """
    Takes down one transaction's way; bounded whatever hosts send.

    What it is told is put by as it comes, and written up when somebody reads it or a little has gathered: that is
    quicker, and the transaction does not wait for it. Every `now` is in seconds on one clock that only moves forward.
    """

    __slots__ = ("_began", "_characters", "_full", "_heard", "_left_out", "_recipients", "_waiting", "_written")

    def __init__(self) -> None:
        self._heard: list[tuple[float, Stage | None, bytes | str | Answer]] = []  # bytes: said by us; str: happened
        self._written: list[str] = []
        self._began: float | None = None
        self._characters = 0
        self._full = False
        self._waiting: deque[tuple[str, bool]] = deque()  # RCPT commands without a reply yet, and whether shown
        self._recipients = 0  # of this transaction
        self._left_out = 0  # of those, as yet unsaid

    def begin(self, now: float, text: str) -> None:
        """Note that a connection begins, or is taken up again: times count from here."""
        self._write_up()
        self._waiting.clear()
        self._sum_up(now)
        self._began = now
        self._heard.append((now, None, text))

    def note(self, now: float, text: str) -> None:
        """Note something that happened."""
        self._heard.append((now, None, text))

    def sent(self, now: float, stage: Stage, octets: bytes) -> None:
        """Take commands as they were written: one, or a pipelined group."""
        self._heard.append((now, stage, octets))

    def content(self, now: float, octets: int) -> None:
        """Note that the message begins to be sent, of so many octets."""
        self.note(now, f"sending the message, {octets} octets")

    def received(self, now: float, stage: Stage, answer: Answer) -> None:
        """Take an answer to what the stage sent."""
        heard = self._heard
        heard.append((now, stage, answer))
        if len(heard) >= _PUT_BY:
            self._write_up()

    @property
    def is_empty(self) -> bool:
        """Nothing was taken down."""
        return not self._heard and not self._written

    @property
    def written(self) -> list[str]:
        """All lines, as a book keeps them."""
        self._write_up()
        return self._written

    @property
    def lines(self) -> list[Line]:
        """All lines."""
        return [_line(text) for text in self.written]

    @property
    def characters(self) -> int:
        """How many there are in all lines."""
        self._write_up()
        return self._characters

    def _write_up(self) -> None:
        """Write down what was put by."""
        heard, self._heard = self._heard, []
        for now, stage, thing in heard:
            if isinstance(thing, str):
                self._sum_up(now)
                self._add(now, EVENT, thing)
            elif isinstance(thing, bytes):
                self._add_commands(now, stage, thing)
            elif isinstance(thing, Reply) and len(thing.lines) == 1 and stage in _PLAIN_STAGES and not self._left_out:
                status = f" {thing.enhanced} " if thing.enhanced else " "
                self._add(now, RECEIVED, f"{thing.code}{status}{thing.lines[0]}".rstrip()[:_LINE_CHARACTERS])
            else:
                assert stage is not None  # noqa: S101 (an answer has one)
                self._add_answer(now, stage, thing)

    def _add_commands(self, now: float, stage: Stage | None, octets: bytes) -> None:
        for line in octets.removesuffix(b"\r\n").split(b"\r\n"):
            text = printable(line[:2000])
            verb = text.partition(" ")[0].upper()
            if verb == "MAIL":
                self._recipients = 0
            elif verb == "RCPT":
                self._recipients += 1
                is_shown = self._recipients <= _RECIPIENTS_SHOWN
                self._waiting.append((text, is_shown))
                if not is_shown:
                    self._left_out += 1
                    continue
            self._sum_up(now)
            self._add(now, SENT, _safe(stage, verb, text))
            if verb == "BDAT":  # what follows in this write is content
                return

    def _add_answer(self, now: float, stage: Stage, answer: Answer) -> None:
        command, is_shown = self._waiting.popleft() if stage is Stage.RCPT and self._waiting else ("", True)
        is_yes = is_positive(stage, answer)
        if command and is_yes and not is_shown:
            return
        if not command:
            self._sum_up(now)
        if isinstance(answer, Reply):
            whose = f"  [{command}]" if command and not is_yes else ""
            for line in _lines(stage, answer):
                self._add(now, RECEIVED, line[:_LINE_CHARACTERS] + whose)
        elif isinstance(answer, Malformed):
            self._add(now, EVENT, "what came is no reply" if stage is Stage.AUTH else answer.text)
        else:
            self._add(now, EVENT, f"{answer.kind.value}: {answer.detail}" if answer.detail else answer.kind.value)

    def _sum_up(self, now: float) -> None:
        """Say how many recipients were left out, once their replies are in."""
        if self._left_out and not self._waiting:
            self._add(now, EVENT, f"({self._left_out} more RCPT TO; of their replies only refusals are shown)")
            self._left_out = 0

    def _add(self, now: float, kind: str, text: str) -> None:
        if self._full:
            return
        if self._began is None:
            self._began = now
        text = text[: 2 * _LINE_CHARACTERS]
        self._characters += len(text)
        if len(self._written) >= LINES or self._characters > CHARACTERS:
            self._full = True
            kind, text = EVENT, "(no more is kept)"
        ms = round((now - self._began) * 1000)
        self._written.append(f"{max(0, ms)} {kind} {text}")


class _Silent(Recorder):
    """Writes nothing down."""

    __slots__ = ()

    def begin(self, now: float, text: str) -> None: ...

    def note(self, now: float, text: str) -> None: ...

    def sent(self, now: float, stage: Stage, octets: bytes) -> None: ...

    def content(self, now: float, octets: int) -> None: ...

    def received(self, now: float, stage: Stage, answer: Answer) -> None: ...


SILENT: Final = _Silent()
"""The recorder of who wants no transcript; may be shared."""


@dataclass(frozen=True, slots=True)
class Page:
    """
    One transaction's way, or what became of recipients without one.

    Attributes:
        attempt: Of the job, >= 1.
        at: When it began, seconds since the epoch.
        next_hop: Its name, mostly the recipients' domain.
    """

    queue_id: str
    chunk: int
    attempt: int
    at: float
    next_hop: str
    lines: tuple[Line, ...]


class Book:
    """
    The transcripts of one invocation.

    Args:
        key: Names the book; unique for each invocation (`book_key`).
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self._pages: list[tuple[str, int, int, float, str, Recorder]] = []

    def recorder(self, queue_id: str, chunk: int, attempt: int, at: float, next_hop: str) -> Recorder:
        """Give the recorder of a transaction that begins now."""
        recorder = Recorder()
        self._pages.append((queue_id, chunk, attempt, at, next_hop, recorder))
        return recorder

    def without_host(self, queue_id: str, chunk: int, attempt: int, at: float,
                  outcomes: Iterable[tuple[str, Outcome]]) -> None:  # fmt: skip
        """Note what became of recipients that no host was asked for (DNS, a route, a target): forward-path, outcome."""
        said: dict[tuple[str, str], list[str]] = {}
        for path, outcome in outcomes:
            text = f"{outcome.command} {outcome.status} {outcome.text}".replace("\n", " ")
            said.setdefault((path.rpartition("@")[2], text), []).append(path)
        for (domain, text), paths in said.items():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            self.recorder(queue_id, chunk, attempt, at, domain).note(0.0, f"{paths[0]}{more}: {text}")

    @property
    def is_empty(self) -> bool:
        """Nothing was written down."""
        return not self._pages

    def encode(self) -> bytes:
        """Give the book's octets: JSON, gzipped."""
        kept: list[dict[str, Any]] = []
        characters = 0
        for queue_id, chunk, attempt, at, next_hop, recorder in self._pages:
            characters += recorder.characters
            kept.append(
                {
                    "queue_id": queue_id,
                    "chunk": chunk,
                    "attempt": attempt,
                    "at": at,
                    "next_hop": next_hop,
                    "lines": recorder.written if characters <= BOOK_CHARACTERS else [],
                }
            )
        octets = _encode({"pages": kept}).encode(errors="replace")
        packer = zlib.compressobj(wbits=_GZIP, memLevel=_MEMORY)
        return packer.compress(octets) + packer.flush()


def book_key(now: float, token: str) -> str:
    """Give a book's name: its day and a token that no other invocation of that day has."""
    return f"{datetime.fromtimestamp(now, UTC).date().isoformat()}/{token}"


def decode(octets: bytes) -> list[Page]:
    """
    Read a book.

    Raises:
        ValueError: That is none.
    """
    try:
        unpacker = zlib.decompressobj(wbits=_GZIP)
        text = unpacker.decompress(octets, 8 * BOOK_CHARACTERS)
        if not unpacker.eof:
            raise ValueError("a book of transcripts that breaks off")
        book = json.loads(text)
        return [
            Page(
                page["queue_id"],
                page["chunk"],
                page["attempt"],
                page["at"],
                page["next_hop"],
                tuple(_line(line) if isinstance(line, str) else Line(*line) for line in page["lines"]),
            )
            for page in book["pages"]
        ]
    except (zlib.error, KeyError, TypeError) as exc:
        raise ValueError(f"not a book of transcripts: {exc!r}") from exc


def _line(written: str) -> Line:
    """Read a line as a book keeps it (books of the first days keep the three parts)."""
    ms, kind, text = written.split(" ", 2)
    return Line(int(ms), kind, text)


def _safe(stage: Stage | None, verb: str, line: str) -> str:
    """Show a command that holds neither content nor secrets, and of any other nothing."""
    if verb == _AUTH:
        mechanism = line.split(" ")[1:2]
        return " ".join([_AUTH, *mechanism, *([_HIDDEN] if line.count(" ") > 1 else [])])
    if stage is not Stage.AUTH and (verb in _SHOWN_VERBS or line == "."):
        return line
    return _HIDDEN


def _lines(stage: Stage, reply: Reply) -> list[str]:
    """A reply as it came, line by line; one to AUTH without its text: a host may quote what it was told."""
    code, texts = reply.code, reply.lines
    if stage is Stage.AUTH:
        texts = (_HIDDEN,) * len(texts)
    status = f"{reply.enhanced} " if reply.enhanced else ""
    *others, last = texts
    return [*[f"{code}-{status}{line}".rstrip() for line in others], f"{code} {status}{last}".rstrip()]
