"""The lock of a data directory: one process has it, says its number in it, and loses it with its life."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from paravion.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path


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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "another process"
        os.close(descriptor)
        raise DataUnavailable(f"{folder} is in use by process {owner}") from exc
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    # The kernel lets go of the lock with the descriptor, however the process ends.
    return descriptor
