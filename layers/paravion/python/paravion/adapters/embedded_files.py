"""
Files that are on the disk, whole, under their name, once the call returned.

Written under a temporary name, fsynced, then named, then the directory fsynced: a crash leaves the old state or
the new one, never half a file under its own name.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

TEMPORARY: Final = ".new-"
"""Names begin so until they are whole; whoever opens the directory removes what a crash left."""


def new_temporary(folder: Path, mode: int = 0o600) -> tuple[Path, IO[bytes]]:
    """Make an empty file under a temporary name in `folder`, unbuffered, to be written and read. Raises OSError."""
    path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    return path, os.fdopen(descriptor, "w+b", buffering=0)


def write_temporary(folder: Path, octets: bytes, mode: int = 0o600) -> Path:
    """
    Write and fsync a file under a temporary name in `folder`.

    Raises:
        OSError: Nothing is left behind.
    """
    path, opened = new_temporary(folder, mode)
    try:
        with opened as file:
            left = memoryview(octets)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def name_over(temporary: Path, path: Path) -> None:
    """Give a temporary file its name, in place of whatever has it. Raises OSError."""
    temporary.replace(path)
    sync_folder(path.parent)


def name_new(temporary: Path, path: Path) -> bool:
    """Give a temporary file its name; False if that is taken, the temporary file is gone then. Raises OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Fsync a directory: names in it, new and removed, are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a directory, and those above it that are missing, for this user alone, durably. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def remove_temporary(folder: Path) -> int:
    """Remove what a crash left under temporary names in a directory and below. Raises OSError."""
    count = 0
    for path in folder.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)
        count += 1
    return count
