"""
Read a message that was put, as a whole or in parts, from where it lies: a small one at once, a large one in pieces.

Next on the message's path: services/validate.py.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from paravion.domain.status import MESSAGE_TOO_BIG, NOT_FOUND, Rejected
from paravion.domain.submission import IN_MEMORY_OCTETS
from paravion.errors import SpoolConflict, SpoolMissing

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from paravion.ports import Uploads


def read_uploads(
    upload_ids: Sequence[str], uploads: Uploads, max_octets: int
) -> bytes | Generator[bytes, None, None]:  # fmt: skip
    """
    Give a message by the ids of its parts; in pieces if it has more than IN_MEMORY_OCTETS.

    Args:
        max_octets: Largest message.

    Raises:
        Rejected: not_found, message_too_big; of a large one as late as while its pieces are read.
        SpoolUnavailable: Likewise.
    """
    pieces = _pieces(upload_ids, uploads, max_octets)
    held: list[bytes] = []
    octets = 0
    for piece in pieces:
        held.append(piece)
        octets += len(piece)
        if octets > IN_MEMORY_OCTETS:
            return _after(held, pieces)
    return b"".join(held)


def _after(held: list[bytes], pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    with closing(pieces):
        while held:
            yield held.pop(0)
        yield from pieces


def _pieces(upload_ids: Sequence[str], uploads: Uploads, max_octets: int) -> Generator[bytes, None, None]:
    left = max_octets
    for upload_id in upload_ids:
        try:
            with closing(uploads.pieces(upload_id, left)) as pieces:
                for piece in pieces:
                    left -= len(piece)
                    yield piece
        except SpoolMissing as exc:
            raise Rejected(NOT_FOUND, "no such upload, or nothing was put there yet") from exc
        except SpoolConflict as exc:
            raise Rejected(MESSAGE_TOO_BIG, f"at most {max_octets} octets are taken") from exc
