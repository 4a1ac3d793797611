"""
What a power cut leaves of a directory: the octets that were fsynced, under the names whose directory was fsynced.

Installed in the process that works on the directory (`watch`), it keeps a shadow beside it, which each fsync brings up
to date before it returns. `cut` makes a directory of the shadow as the next start finds it: of what was written to
SQLite's log without an fsync, some pages are there and others are not.

SQLite's own fsyncs are not seen: the database's file must not be written meanwhile (no checkpoints), so that nothing
but its log counts.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import threading
from pathlib import Path
from typing import Final

LOG: Final = "paravion.db-wal"
PAGE: Final = 4096
_NOT_KEPT: Final = ("lock", "paravion.db-gate", "paravion.db-shm")


def watch(folder: Path, shadow: Path) -> None:
    """Begin a shadow of a directory, and have this process's fsyncs keep it."""
    shutil.copytree(folder, shadow)
    guard = threading.Lock()
    synced: dict[int, bytes] = {}
    fsync, fdatasync = os.fsync, os.fdatasync

    def sync_data(descriptor: int) -> None:
        fdatasync(descriptor)
        with guard, (shadow / LOG).open("ab") as log:
            # It only grows: nothing empties it without a checkpoint.
            log.write(os.pread(descriptor, os.fstat(descriptor).st_size - log.tell(), log.tell()))

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        with guard:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                _sync_names(path, shadow / path.relative_to(folder), synced)
            else:
                synced[os.fstat(descriptor).st_ino] = path.read_bytes()

    os.fsync, os.fdatasync = sync, sync_data


def _sync_names(path: Path, copy: Path, synced: dict[int, bytes]) -> None:
    copy.mkdir(exist_ok=True)
    there = {entry.name: entry for entry in os.scandir(path)}
    for entry in there.values():
        if entry.is_dir():
            (copy / entry.name).mkdir(exist_ok=True)
        elif not entry.name.startswith("paravion.db"):
            # A name whose octets were never fsynced: the file is empty. We may be killed here as anywhere.
            new = copy.parent / "new"
            new.write_bytes(synced.get(entry.inode(), b""))
            new.replace(copy / entry.name)
    for kept in list(copy.iterdir()):
        if kept.name not in there:
            kept.unlink()


def cut(folder: Path, shadow: Path, draws: random.Random) -> int:
    """Put what the cut leaves in the directory's place; gives how many octets of the log it took."""
    log, kept = (folder / LOG).read_bytes(), (shadow / LOG).stat().st_size
    for path in [*(shadow / name for name in _NOT_KEPT), *shadow.rglob("new")]:
        path.unlink(missing_ok=True)
    rest = [log[first : first + PAGE] for first in range(kept, len(log), PAGE)]
    rest = rest[: draws.randint(0, len(rest))]
    with (shadow / LOG).open("ab") as file:
        for page in rest:
            file.write(page if draws.random() < 0.5 else bytes(len(page)))
    shutil.rmtree(folder)
    shadow.rename(folder)
    return len(log) - kept
