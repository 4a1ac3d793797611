"""
Secrets on one machine: a file for each, readable by this user alone (0600, in a directory of 0700).

A secret's name is its file's, with each slash as `%2F`. What was read is kept for as long as the file is the same,
so that another process (an operator) may write here too: under a temporary name, then named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from paravion.adapters import embedded_files
from paravion.errors import SecretsUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._/-]*\Z")
_ENTRIES: Final = 10_000


class EmbeddedSecrets:
    """
    ports.Secrets.

    Args:
        folder: Must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By name: the file, what it was like, what it held.
        self._kept: dict[str, tuple[Path, tuple[int, int], str]] = {}

    def get(self, name: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 (what is kept is never stale)
        """See ports.Secrets."""
        kept = self._kept.get(name)
        path = self._path(name) if kept is None else kept[0]
        if path is None:
            return None
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if kept is not None and kept[1] == stamp:
                return kept[2]
            value = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise SecretsUnavailable(f"{name}: {type(exc).__name__}") from exc
        if len(self._kept) >= _ENTRIES:
            self._kept.clear()
        self._kept[name] = (path, stamp, value)
        return value

    def put(self, name: str, value: str, *, new: bool = False) -> bool:
        """See ports.Secrets."""
        path = self._path(name)
        if path is None:
            raise SecretsUnavailable(f"{name!r} is no name of a secret")
        try:
            temporary = embedded_files.write_temporary(self._folder, value.encode())
            if new:
                return embedded_files.name_new(temporary, path)
            embedded_files.name_over(temporary, path)
        except OSError as exc:
            raise SecretsUnavailable(f"{name}: {exc.strerror}") from exc
        return True

    def delete(self, name: str) -> None:
        """See ports.Secrets."""
        path = self._path(name)
        if path is None:
            return
        try:
            path.unlink(missing_ok=True)
            embedded_files.sync_folder(self._folder)
        except OSError as exc:
            raise SecretsUnavailable(f"{name}: {exc.strerror}") from exc

    def names(self, under: str) -> list[str]:
        """See ports.Secrets."""
        try:
            found = [path.name.replace("%2F", "/") for path in self._folder.iterdir()]
        except OSError as exc:
            raise SecretsUnavailable(f"{under}: {exc.strerror}") from exc
        # Names begin with no dot: what is being written, and an editor's leavings, are none.
        return [name for name in found if name.rpartition("/")[0] == under and _NAME.match(name)]

    def _path(self, name: str) -> Path | None:
        """Give a secret's file; None for what is no name, and can't be one's."""
        return self._folder / name.replace("/", "%2F") if _NAME.match(name) else None
