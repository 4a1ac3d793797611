"""
One of several processes of the embedded engine: the doors, or the workers. Started by embedded_processes.py.

It serves one parent and ends with it: when the parent dies, however that comes, it ends at once. What it had begun
is what a crash leaves.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import socket
import stat
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TextIO, cast

from infra.local.embedded import FAILURES, EmbeddedEngine
from infra.local.options import Options
from paravion.adapters.embedded_data import Part

if TYPE_CHECKING:
    from types import FrameType

STOP: Final = b"s"
"""What the parent says on the lifeline; its end says that the parent is dead."""

EX_SOFTWARE: Final = 70
_PIECE_OCTETS: Final = 4096
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Ends(NamedTuple):
    """Descriptors that a child is given: of the pipe from its parent, that to it, the link, and the log."""

    lifeline: int
    answer: int
    link: int
    log: int


class LogFile(io.TextIOBase):
    """
    The log, which other processes write as well: whole lines only.

    On a pipe or a socket so many at a time as can't be cut in two by somebody else's.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._piece = 1 << 30 if stat.S_ISREG(os.fstat(descriptor).st_mode) else _PIECE_OCTETS

    def write(self, text: str) -> int:
        """Write lines."""
        octets = text.encode("utf-8", "backslashreplace")
        while octets:
            cut = len(octets)
            if cut > self._piece:
                cut = octets.rfind(b"\n", 0, self._piece) + 1 or octets.find(b"\n") + 1 or cut
            done = os.write(self._descriptor, octets[:cut])
            octets = octets[done:]
        return len(text)


class _Told(Exception):
    """A signal asks for the end."""


def encode_options(options: Options) -> bytes:
    """Give options as a child reads them."""
    return json.dumps({**asdict(options), "template": str(options.template)}).encode()


def decode_options(octets: bytes) -> Options:
    """Read them back."""
    given = json.loads(octets)
    given["template"] = Path(given["template"])
    lists = {item.name: tuple(given[item.name]) for item in fields(Options) if isinstance(given[item.name], list)}
    return Options(**{**given, **lists})


def main() -> int:
    """Run until the parent says stop, or a signal does."""
    part = Part(sys.argv[1])
    ends = Ends(*map(int, sys.argv[2:]))
    _end_with_parent()
    options = decode_options(sys.stdin.buffer.read())
    # A terminal's Ctrl-C goes to all: the parent says in which order to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _told)
    engine = EmbeddedEngine(options, cast("TextIO", LogFile(ends.log)), part, socket.socket(fileno=ends.link))
    try:
        try:
            engine.start()
        except FAILURES as exc:
            _answer(ends, {"fault": type(exc).__name__, "text": getattr(exc, "strerror", None) or str(exc)})
            return EX_SOFTWARE
        _answer(ends, {"api": engine.api_url, "smtp": engine.smtp_address, "smtps": engine.smtps_address})
        if not os.read(ends.lifeline, 1):
            _die()
    except _Told:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    engine.stop()
    return 0


def _end_with_parent() -> None:
    """Have Linux kill us with the parent; elsewhere, and if it is dead by now, the lifeline tells."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _told(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise _Told


def _die() -> NoReturn:
    os._exit(EX_SOFTWARE)


def _answer(ends: Ends, told: dict[str, Any]) -> None:
    # A parent that is dead meanwhile is noticed at once.
    with contextlib.suppress(BrokenPipeError):
        os.write(ends.answer, json.dumps(told).encode() + b"\n")
    os.close(ends.answer)


if __name__ == "__main__":
    sys.exit(main())
