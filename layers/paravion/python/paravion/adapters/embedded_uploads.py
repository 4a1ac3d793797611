"""
Large messages on their way in, on one machine: files, put by a URL that carries its own permission.

A ticket's URL names the upload, its length and when it ends, under an HMAC of ours; whoever serves HTTP calls
`accept`. Not fsynced: a client whose upload a crash took hears so before anything was promised.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from paravion.adapters import embedded_files
from paravion.adapters.draft_file import PIECE_OCTETS, DraftFile
from paravion.errors import SpoolConflict, SpoolMissing, SpoolUnavailable
from paravion.ports import UploadTicket

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

LIFETIME_S: Final = 900
"""How long an upload may be begun."""

RETENTION_S: Final = 86_400
"""An upload that nobody claimed vanishes after this."""

PATH: Final = "/uploads/"


class Incoming(DraftFile):
    """An upload that is coming in; what was not finished when its context ends leaves nothing behind."""

    def __init__(self, folder: Path, path: Path) -> None:
        try:
            self._temporary, file = embedded_files.new_temporary(folder)
        except OSError as exc:
            raise SpoolUnavailable(f"upload: {exc.strerror}") from exc
        self._path = path
        super().__init__(file)

    def finish(self) -> None:
        """Give it its name, in place of what has it. Raises SpoolUnavailable."""
        try:
            self._temporary.replace(self._path)
        except OSError as exc:
            raise SpoolUnavailable(f"upload: {exc.strerror}") from exc

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        with contextlib.suppress(OSError):  # `expire` removes it within a day
            self._temporary.unlink(missing_ok=True)


class EmbeddedUploads:
    """
    ports.Uploads, and the server's side of them.

    Args:
        folder: Must exist.
        key: Of the HMAC; the same over restarts, so that tickets outlive them.
        endpoint: Gives the base URL of whoever serves `PUT /uploads/…`.
        clock: Seconds since the epoch.
    """

    def __init__(self, folder: Path, key: bytes, endpoint: Callable[[], str], clock: Callable[[], float]) -> None:
        self._folder = folder
        self._key = key
        self._endpoint = endpoint
        self._clock = clock

    def create(self, upload_id: str, octets: int) -> UploadTicket:
        """See ports.Uploads."""
        expires_at = int(self._clock()) + LIFETIME_S
        query = {"octets": octets, "expires": expires_at, "signature": self._signature(upload_id, octets, expires_at)}
        url = f"{self._endpoint()}{PATH}{upload_id}?{urlencode(query)}"
        return UploadTicket(url, {"Content-Length": str(octets)}, float(expires_at))

    def accept(self, upload_id: str, query: Mapping[str, str], content: bytes) -> bool:
        """
        Take what is put at a ticket's URL; False when that gives no permission for this content now.

        Raises:
            SpoolUnavailable
        """
        if not self.allows(upload_id, query, len(content)):
            return False
        self.keep(upload_id, content)
        return True

    def allows(self, upload_id: str, query: Mapping[str, str], octets: int) -> bool:
        """Say whether so many octets may be put at a ticket's URL now."""
        numbers = (query.get("octets", ""), query.get("expires", ""))
        if not all(text.isascii() and text.isdigit() and len(text) <= 15 for text in numbers):  # noqa: PLR2004
            return False
        allowed, expires_at = map(int, numbers)
        wanted = self._signature(upload_id, allowed, expires_at)
        if not hmac.compare_digest(wanted.encode(), query.get("signature", "").encode()):
            return False
        return allowed == octets and self._clock() <= expires_at

    def keep(self, upload_id: str, content: bytes) -> None:
        """
        Keep what is put, for whoever serves a door himself.

        Raises:
            SpoolUnavailable
        """
        with self.begin(upload_id) as incoming:
            incoming.write(content)
            incoming.finish()

    def begin(self, upload_id: str) -> Incoming:
        """
        Give a context to write what is put into, as it comes.

        Raises:
            SpoolUnavailable
        """
        return Incoming(self._folder, self._path(upload_id))

    def pieces(self, upload_id: str, limit: int) -> Generator[bytes, None, None]:
        """See ports.Uploads."""
        try:
            with self._path(upload_id).open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size > limit:
                    raise SpoolConflict(f"up/{upload_id}")
                while piece := file.read(PIECE_OCTETS):
                    yield piece
        except FileNotFoundError as exc:
            raise SpoolMissing(f"up/{upload_id}") from exc
        except OSError as exc:
            raise SpoolUnavailable(f"up/{upload_id}: {exc.strerror}") from exc

    def read(self, upload_id: str, limit: int) -> bytes:
        """See ports.Uploads."""
        return b"".join(self.pieces(upload_id, limit))

    def delete(self, upload_id: str) -> None:
        """See ports.Uploads."""
        try:
            self._path(upload_id).unlink(missing_ok=True)
        except OSError:
            # `expire` removes it within a day.
            return

    def expire(self, now: float) -> int:
        """Remove what nobody claimed; gives how many. Never raises."""
        count = 0
        for path in self._folder.iterdir():
            try:
                if path.stat().st_mtime < now - RETENTION_S:
                    path.unlink()
                    count += 1
            except OSError:
                continue
        return count

    def _path(self, upload_id: str) -> Path:
        # Whatever a caller calls its upload, it stays in the folder.
        return self._folder / hashlib.sha256(upload_id.encode("utf-8", "surrogatepass")).hexdigest()

    def _signature(self, upload_id: str, octets: int, expires_at: int) -> str:
        told = f"{upload_id}\0{octets}\0{expires_at}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, told, "sha256").hex()
