"""
Read a submission whose content comes in pieces: check it on the way into a draft of the spool, and hold none of it.

What domain/message_reader.py says of it is what `read_message` would say of the whole. The draft lives for as long as
the submission is worked on, and vanishes with whatever ends that.

Next on the message's path: services/validate.py, as with any other mail.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Final

from paravion.domain.message_reader import MessageReader
from paravion.services.content import Content

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Generator, Iterable, Iterator

    from paravion.domain.message import LargeBody
    from paravion.domain.placeholder import Edit
    from paravion.ports import Draft, Spool

_PIECE_OCTETS: Final = 1 << 20


@contextmanager
def read_pieces(
    pieces: Generator[bytes, None, None], told: hashlib._Hash | None, spool: Spool, *, max_octets: int, bare_lf: str
) -> Iterator[Content]:
    """
    Read a content; what it gives is good within the context only.

    Args:
        pieces: Read once, and closed.
        told: Is told the content, as it comes.
        max_octets, bare_lf: As of `read_message`.

    Raises:
        Rejected: As of `read_message`, and whatever `pieces` raises.
        SpoolUnavailable: There is no room for the draft.
    """
    reader = MessageReader(max_octets=max_octets, bare_lf=bare_lf)
    with closing(pieces), ExitStack() as drafts:
        draft = drafts.enter_context(spool.draft_body())
        for piece in pieces:
            if told is not None:
                told.update(piece)
            if body := reader.feed(piece):
                draft.write(body)
        if body := reader.end():
            draft.write(body)

        def edited(edits: Iterable[Edit]) -> LargeBody:
            """Write the body anew: what is sent is written once, from start to end."""
            new, at = drafts.enter_context(spool.draft_body()), 0
            for start, end, filled in edits:
                _copy(draft, at, start, new)
                for octets in filled:
                    new.write(octets)
                at = end
            _copy(draft, at, len(draft), new)
            return new

        yield Content(reader.message(draft), reader.octets, told, edited)


def _copy(draft: Draft, start: int, end: int, new: Draft) -> None:
    for at in range(start, end, _PIECE_OCTETS):
        new.write(draft.read(at, min(at + _PIECE_OCTETS, end)))
