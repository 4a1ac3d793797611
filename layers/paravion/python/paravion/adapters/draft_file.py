"""
A draft of a body in a file of this machine, which vanishes with its process if not before.

Lambda keeps its /tmp from one invocation to the next: a file that is left there is left for hours. So a draft's file
has no name, or loses it as soon as it is open: a process that is killed in the middle leaves nothing.

Next on a body's path: adapters/s3_spool.py sends the file, adapters/embedded_spool.py gives it its name;
adapters/smtp_attempt.py keeps a body in one that it had to convert.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from paravion.errors import SpoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO, Self

PIECE_OCTETS: Final = 1 << 20


class Digest(Protocol):
    """What goes over a draft's octets as they are written, as hashlib has it."""

    def update(self, octets: bytes, /) -> object:
        """Take the next octets."""
        ...


class DraftFile:
    """
    ports.Draft in an open file, which it closes.

    Args:
        file: Empty, unbuffered, to be written and read.
        digest: Goes over what is written.
    """

    def __init__(self, file: IO[bytes], digest: Digest | None = None) -> None:
        self.file = file
        self._digest = digest
        self._octets = 0

    def write(self, octets: bytes) -> None:
        """See ports.Draft."""
        left = memoryview(octets)
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as exc:
            raise SpoolUnavailable(f"draft: {exc.strerror}") from exc
        if self._digest is not None:
            self._digest.update(octets)
        self._octets += len(octets)

    def __len__(self) -> int:
        return self._octets

    def pieces(self) -> Iterator[bytes]:
        """See ports.Draft."""
        for at in range(0, self._octets, PIECE_OCTETS):
            yield self.read(at, min(at + PIECE_OCTETS, self._octets))

    def read(self, start: int, end: int) -> bytes:
        """See ports.Draft."""
        try:
            octets = os.pread(self.file.fileno(), end - start, start)
        except OSError as exc:
            raise SpoolUnavailable(f"draft: {exc.strerror}") from exc
        if len(octets) != end - start:
            raise SpoolUnavailable(f"draft: {len(octets)} octets instead of {end - start}")
        return octets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def nameless_file(folder: Path | None) -> IO[bytes]:
    """
    Open a file that nobody can find, in a folder; None: where the system has its temporary files.

    Raises:
        SpoolUnavailable
    """
    import tempfile  # only with the first large mail

    try:
        return tempfile.TemporaryFile(buffering=0, dir=folder)
    except OSError as exc:
        raise SpoolUnavailable(f"draft: {exc.strerror}") from exc
