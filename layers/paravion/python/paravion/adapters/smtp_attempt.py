"""
One `send` under way: who is still to be decided, what was decided, and how much more may be tried.

adapters/smtp_client.py leads it from host to host and gives its outcomes.

RFC: 5321 5.1.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from paravion.domain import budget
from paravion.domain.transcript import SILENT
from paravion.domain.verdict import combine
from paravion.errors import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome
    from paravion.domain.transcript import Recorder
    from paravion.domain.verdict import Verdict
    from paravion.ports import Body, Transaction

MAX_ADDRESSES: Final = 5
"""Connections tried for one transaction; with MAX_SESSIONS Postfix's smtp_mx_address_limit and _session_limit."""

MAX_SESSIONS: Final = 2
"""Hosts that heard of the message and put it off before we do; RFC 5321 5.1 asks for at least two."""

_SMALL_OCTETS: Final = 1 << 20
"""A body up to this is converted in memory; ten of them in one batch are nothing to the function."""

_FAIR_S: Final = 10.0  # who is silent for that long is silent


@dataclass(slots=True)
class _Held:
    """A body in memory."""

    content: bytes
    octets: int

    def at_hand(self) -> bytes:
        return self.content

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.content


class _Filed:
    """A body in a file without a name."""

    def __init__(self, content: bytes) -> None:
        from paravion.adapters.draft_file import DraftFile, nameless_file  # seldom needed

        self.octets = len(content)
        self.draft = DraftFile(nameless_file(None))
        self.draft.write(content)

    def at_hand(self) -> None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        pieces = self.draft.pieces()
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


@dataclass(slots=True)
class Attempt:
    """
    See the module.

    Attributes:
        deadline: Of `clock`, the event loop's.
        pending: Recipients without an outcome that stands, by position.
        outcomes: What stands.
        put_off: What the next host may still overrule.
        tried_at: When the latest connection was begun.
        has_place: It holds one of the places at the host that it is trying.
        converting: Whoever has it may have a large body in memory, to convert it.
    """

    hop: NextHop
    transaction: Transaction
    deadline: float
    clock: Callable[[], float]
    recorder: Recorder = SILENT
    pending: dict[int, tuple[str, tuple[str, ...], str]] = field(init=False)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    put_off: dict[int, Outcome] = field(default_factory=dict)
    addresses_left: int = MAX_ADDRESSES
    sessions_left: int = MAX_SESSIONS
    tried_at: float = 0.0
    has_place: bool = False
    converting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _converted: Transaction | None = None

    def __post_init__(self) -> None:
        self.recorder = self.transaction.recorder or SILENT
        self.pending = dict(self.transaction.recipients)

    def note(self, text: str) -> None:
        """Tell the transcript what happened."""
        self.recorder.note(self.clock(), text)

    def note_ours(self, verdict: Verdict) -> None:
        """Tell the transcript what we decided ourselves: no reply shows it, nor a fault that was written down."""
        outcome = verdict.outcome
        if not outcome.is_reply and not any(line.text == outcome.text for line in self.recorder.lines[-1:]):
            self.note(f"{outcome.status} {outcome.text}")

    async def in_seven_bit(self) -> Transaction | str:
        """
        Give the transaction for a host without 8BITMIME, made once; or why there is none.

        A large body is in memory while it is converted only, one at a time, and then in a file.

        Raises:
            SpoolMissing, SpoolUnavailable: The body can't be read, or not in time.
        """
        from paravion.domain import seven_bit  # seldom needed

        if self._converted is None:
            sent = self.transaction
            if not seven_bit.is_wanted(sent.header):
                return sent
            if sent.body.octets > seven_bit.MAX_OCTETS:
                return f"it has more than {seven_bit.MAX_OCTETS} octets" if sent.reverse_path else sent
            try:
                if sent.body.octets <= _SMALL_OCTETS:
                    self._converted = await self._convert(sent)
                else:
                    async with self._turn():
                        self._converted = await self._convert(sent)
            except seven_bit.NotConvertible as exc:
                # A report that can't be converted, for what it quotes, must not be lost: there is nobody to tell.
                return str(exc) if sent.reverse_path else sent
        return self._converted

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(self.deadline):
                await self.converting.acquire()
        except TimeoutError as exc:
            raise SpoolUnavailable("no time was left to convert the body") from exc
        try:
            yield
        finally:
            self.converting.release()

    async def _convert(self, sent: Transaction) -> Transaction:
        from paravion.domain import seven_bit

        try:
            async with asyncio.timeout_at(self.deadline):
                octets = b"".join([chunk async for chunk in sent.body.chunks()])
        except TimeoutError as exc:
            raise SpoolUnavailable("no time was left to read the body") from exc
        if len(octets) != sent.body.octets:
            raise SpoolUnavailable(f"body has {len(octets)} octets, not {sent.body.octets}")
        header, octets = await asyncio.to_thread(seven_bit.to_seven_bit, sent.header, octets)
        body: Body = _Held(octets, len(octets))
        if len(octets) > _SMALL_OCTETS:
            # Where there is no room for a file it is held: memory is what there may be too little of, a file what
            # there may be none of.
            with suppress(SpoolUnavailable):
                body = await asyncio.to_thread(_Filed, octets)
        return replace(sent, header=header, body=body, body_type="7BIT")

    def close(self) -> None:
        """Let go of what was converted."""
        if self._converted is not None and isinstance(self._converted.body, _Filed):
            self._converted.body.draft.file.close()

    def settle(self, verdicts: Mapping[int, Verdict]) -> None:
        """Write verdicts down: final ones, and those that the next host may still overrule."""
        now = self.clock()
        # A silence that our own deadline cut short says nothing of the host: it may have been about to answer.
        is_cut_short = now >= self.deadline and now - self.tried_at < _FAIR_S
        for verdict in different(verdicts):
            if verdict.outcome.is_reply or not is_cut_short:
                self.transaction.heard(verdict.outcome)
        for position, verdict in verdicts.items():
            if verdict.tries_next:
                self.put_off[position] = combine(self.put_off.get(position), verdict.outcome)
            else:
                self.outcomes[position] = verdict.outcome
                del self.pending[position]

    def goes_on(self) -> bool:
        """Somebody is pending, and limits and deadline allow one more connection."""
        if not self.pending or not self.addresses_left or not self.sessions_left:
            return False
        return budget.may_begin(self.clock(), self.deadline)

    def settle_all(self, verdict: Verdict) -> None:
        """Write one verdict down for everybody who is pending."""
        self.settle(dict.fromkeys(self.pending, verdict))


def different(verdicts: Mapping[int, Verdict]) -> Iterable[Verdict]:
    """Give each verdict once, however many recipients share it."""
    return verdicts.values() if len(verdicts) == 1 else set(verdicts.values())
