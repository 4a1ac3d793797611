"""
The lock of a data directory: one process has it, says its number in it, and loses it with its life.

Its children hold it as well, and end when they find it dead: whoever comes in between waits for them a moment.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

from paravion.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path


ORPHANS_S: Final = 5.0
"""How long the children of a dead process may take to end."""


class DataUnavailable(Unavailable):
    """The data directory can't be opened: another process has it, or the disk refuses."""


def lock_folder(folder: Path) -> int:
    """
    Lock a data directory.

    Returns:
        A descriptor; closing it lets go.

    Raises:
        DataUnavailable: Another process has it; the text has its number.
        OSError
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + ORPHANS_S
    while not _is_ours(descriptor):
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        if _is_alive(owner) or time.monotonic() > until:
            os.close(descriptor)
            raise DataUnavailable(f"{folder} is in use by process {owner or 'another process'}")
        time.sleep(0.02)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    # The kernel lets go of the lock with the descriptor, however the process ends.
    return descriptor


def _is_ours(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(number: str) -> bool:
    """Whether a process lives; one that is not known does."""
    if not number.isdecimal():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
