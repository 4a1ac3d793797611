"""
The spool on one machine: small qf and df in the database, large ones in files.

    table `object`   what it holds
    ---------------  ---------------------------------------------------------------------------------------
    key              `qf/<queue id>` or `df/<queue id>`
    kept_at          seconds since the epoch
    octets           the content; NULL: it lies in the file of the same name, `qf/ab/<queue id>`
    crc              CRC-32 of the content, wherever it lies; NULL: not known

What fits is not written by itself: it waits in memory and is written by the next group of the database, so that
a mail's envelope, body and jobs are one transaction and one fsync (docs/decisions.md has the figures). Nothing was
promised before the jobs are sent, and no group commits without everything that was put before it. A file is
written at once: fsynced, named, its directory fsynced; its row, which makes it count, goes the same way. A body that
several messages share is one object, which they all name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters import embedded_files
from paravion.adapters.draft_file import DraftFile
from paravion.errors import SpoolConflict, SpoolMissing, SpoolUnavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from paravion.adapters.embedded_database import Database
    from paravion.domain.message import LargeBody

INLINE_OCTETS: Final = 128 * 1024
"""Up to this an object lies in the database: it is written twice there (log, then file), which costs less than
the fsyncs of a file and its directory until about here."""

PENDING_OCTETS: Final = 64 << 20
"""What may wait for a group; more waits only while groups fail, and then nothing more is taken."""

RECENT_OCTETS: Final = 16 << 20
"""Most mail is delivered moments after it came in: then nothing is read."""

PIECE_OCTETS: Final = 1 << 20
RETENTION_S: Final = 16 * 86_400
"""As the deployed spool's lifecycle rules (template.yaml)."""

DRAFT_S: Final = 86_400
"""No draft is at work for so long."""

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, kept_at REAL NOT NULL, octets BLOB, crc INTEGER)"
)


@dataclass(frozen=True, slots=True)
class _Pending:
    """What waits for its group; `octets` is None if it lies in a file."""

    octets: bytes | None
    kept_at: float
    crc: int


class EmbeddedSpool:
    """
    ports.Spool. There is one for a database.

    Args:
        folder: Where files lie; must exist.
        clock: Seconds since the epoch.
        inline_octets: Larger objects are files.
        recent_octets: So much of what was written last is kept in memory as well.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        clock: Callable[[], float],
        *,
        inline_octets: int = INLINE_OCTETS,
        recent_octets: int = RECENT_OCTETS,
    ) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._inline_octets = inline_octets
        self._pending: dict[str, _Pending] = {}
        self._pending_octets = 0
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._recent_octets = 0
        self._recent_most = recent_octets
        self._lock = threading.Lock()
        database.define(_SCHEMA)
        if not database.read(SpoolUnavailable, "SELECT 1 FROM pragma_table_info('object') WHERE name = 'crc'"):
            database.define("ALTER TABLE object ADD COLUMN crc INTEGER")
        database.with_prelude(self._write_pending)

    def draft_body(self) -> EmbeddedDraft:
        """See ports.Spool. The file is the one that the body lies in later: it is written once."""
        return EmbeddedDraft(self._folder)

    def put_body(self, queue_id: str, body: bytes | LargeBody) -> None:
        """See ports.Spool."""
        key = f"df/{queue_id}"
        if not isinstance(body, bytes) and len(body) > self._inline_octets:
            if not self._put_draft(key, body) and not self._holds(key, body):
                raise SpoolConflict(key)
            return
        octets = body if isinstance(body, bytes) else b"".join(body.pieces())
        if not self._put(key, octets) and self._get(key) != octets:
            raise SpoolConflict(key)

    def put_envelope(self, queue_id: str, octets: bytes) -> bytes | None:
        """See ports.Spool."""
        key = f"qf/{queue_id}"
        return None if self._put(key, octets) else self._get(key)

    def get_envelope(self, queue_id: str) -> bytes:
        """See ports.Spool."""
        return self._get(f"qf/{queue_id}")

    def get_body(self, queue_id: str) -> bytes:
        """See ports.Spool."""
        return self._get(f"df/{queue_id}")

    def read_ahead(self, queue_ids: Sequence[str]) -> None:
        """
        Read what is small of several mails at once, and keep it for whoever asks next.

        Raises:
            SpoolUnavailable
        """
        keys = [key for queue_id in queue_ids for key in (f"qf/{queue_id}", f"df/{queue_id}")]
        keys = [key for key in keys if key not in self._recent and key not in self._pending]
        if len(keys) <= 2:  # noqa: PLR2004 (one mail's: no sooner than one after the other)
            return
        query = f"SELECT key, octets FROM object WHERE key IN ({','.join('?' * len(keys))})"  # noqa: S608 (question marks)
        rows = self._database.read(SpoolUnavailable, query, *keys)
        with self._lock:
            for key, octets in rows:
                if octets is not None and key not in self._recent:
                    self._keep_recent(key, octets)

    def open_body(self, queue_id: str, octets: int) -> EmbeddedBody:
        """See ports.Spool."""
        key = f"df/{queue_id}"
        return EmbeddedBody(self._get, self._path(key), key, octets)

    def expire(self, now: float, limit: int) -> int:
        """
        Remove up to `limit` objects that are older than RETENTION_S; gives how many.

        Raises:
            SpoolUnavailable
        """

        def forget(connection: sqlite3.Connection) -> list[tuple[str, bool]]:
            # Rows lie in the order of their arrival.
            head = connection.execute(
                "SELECT key, kept_at, octets IS NULL FROM object ORDER BY rowid LIMIT ?", (limit,)
            )
            old = [(key, in_file) for key, kept_at, in_file in head if kept_at < now - RETENTION_S]
            connection.executemany("DELETE FROM object WHERE key = ?", [(key,) for key, _ in old])
            return old

        old = self._database.write(forget, SpoolUnavailable)
        for key, in_file in old:
            with self._lock:
                self._recent_octets -= len(self._recent.pop(key, b""))
            if in_file:
                # crash here = a file without a row, which counts as none
                self._path(key).unlink(missing_ok=True)
        return len(old)

    def remove_orphans(self, now: float) -> int:
        """
        Remove files that have no row and would be too old for one: what crashes left; gives how many.

        Only before anything else works on the directory: a file is there before its row.

        Raises:
            OSError, SpoolUnavailable
        """
        count = 0
        for path in self._folder.glob("*/*/*"):
            old = path.stat().st_mtime < now - RETENTION_S
            if old and not self._is_taken(f"{path.parent.parent.name}/{path.name}"):
                path.unlink()
                count += 1
        return count

    def remove_drafts(self, now: float) -> int:
        """Remove drafts that a process which died left a day ago; gives how many. Never raises."""
        count = 0
        for path in self._folder.glob(f"{embedded_files.TEMPORARY}*"):
            with contextlib.suppress(OSError):  # it was put, or it is the next time's
                if path.stat().st_mtime < now - DRAFT_S:
                    path.unlink()
                    count += 1
        return count

    def count(self) -> int:
        """Give how many objects there are. Raises SpoolUnavailable."""
        with self._lock:
            waiting = len(self._pending)
        ((count,),) = self._database.read(SpoolUnavailable, "SELECT COUNT(*) FROM object")
        return int(count) + waiting

    def _put(self, key: str, octets: bytes) -> bool:
        """Keep an object, or say that the key is taken."""
        if len(octets) <= self._inline_octets:
            return self._add(key, _Pending(bytes(octets), self._clock(), zlib.crc32(octets)))
        if self._is_taken(key):
            return False
        path = self._path(key)
        try:
            embedded_files.make_folder(path.parent)
            temporary = embedded_files.write_temporary(path.parent, octets)
        except OSError as exc:
            raise SpoolUnavailable(f"{key}: {exc.strerror}") from exc
        return self._add(key, _Pending(None, self._clock(), zlib.crc32(octets)), temporary)

    def _put_draft(self, key: str, draft: LargeBody) -> bool:
        """Give a draft's file its name, or say that the key is taken."""
        assert isinstance(draft, EmbeddedDraft)  # noqa: S101 (a draft of this spool)
        if self._is_taken(key):
            return False
        try:
            embedded_files.make_folder(self._path(key).parent)
            temporary = draft.finish()
        except OSError as exc:
            raise SpoolUnavailable(f"{key}: {exc.strerror}") from exc
        return self._add(key, _Pending(None, self._clock(), draft.crc), temporary)

    def _holds(self, key: str, draft: LargeBody) -> bool:
        """Say whether what lies under a key is a draft's octets."""
        try:
            with self._path(key).open("rb") as file:
                same = all(file.read(len(piece)) == piece for piece in draft.pieces())
                return same and not file.read(1)
        except FileNotFoundError:
            # It is a row, and so too small; or it is missing, which this says.
            return len(self._get(key)) > self._inline_octets
        except OSError as exc:
            raise SpoolUnavailable(f"{key}: {exc.strerror}") from exc

    def _add(self, key: str, pending: _Pending, temporary: Path | None = None) -> bool:
        with self._lock:
            size = len(pending.octets or b"")
            taken = self._is_taken(key)
            if temporary is not None:
                try:
                    # Without a row, a file that has the name is what a crash left: nobody was promised it.
                    temporary.unlink() if taken else embedded_files.name_over(temporary, self._path(key))
                except OSError as exc:
                    raise SpoolUnavailable(f"{key}: {exc.strerror}") from exc
            if taken:
                return False
            if self._pending_octets + size > PENDING_OCTETS:
                raise SpoolUnavailable(f"{key}: too much waits to be written")
            self._pending[key] = pending
            self._pending_octets += size
            return True

    def _is_taken(self, key: str) -> bool:
        # First what waits: it leaves only once the database shows it.
        if key in self._pending:
            return True
        return bool(self._database.read(SpoolUnavailable, "SELECT 1 FROM object WHERE key = ?", key))

    def _get(self, key: str) -> bytes:
        pending = self._pending.get(key)
        if pending is not None:
            octets = pending.octets
        elif (recent := self._recent.get(key)) is not None:
            octets = recent
        else:
            rows: list[Any] = self._database.read(SpoolUnavailable, "SELECT octets FROM object WHERE key = ?", key)
            if not rows:
                raise SpoolMissing(key)
            ((octets,),) = rows
        if octets is not None:
            found: bytes = octets
            return found
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as exc:
            raise SpoolMissing(key) from exc
        except OSError as exc:
            raise SpoolUnavailable(f"{key}: {exc.strerror}") from exc

    def _path(self, key: str) -> Path:
        kind, _, queue_id = key.partition("/")
        return self._folder / kind / queue_id[:2] / queue_id

    def _keep_recent(self, key: str, octets: bytes) -> None:
        """Keep what was written or read in memory as well, as far as there is room."""
        self._recent[key] = octets
        self._recent_octets += len(octets)
        while self._recent_octets > self._recent_most:
            self._recent_octets -= len(self._recent.popitem(last=False)[1])

    def _write_pending(self, connection: sqlite3.Connection) -> Callable[[], None]:
        """Write everything that waits; the prelude of each group."""
        if not self._pending:
            return _nothing
        with self._lock:
            items = list(self._pending.items())
        # OR IGNORE: a commit that failed may have been written all the same, with these octets.
        connection.executemany(
            "INSERT OR IGNORE INTO object (key, kept_at, octets, crc) VALUES (?, ?, ?, ?)",
            [(key, pending.kept_at, pending.octets, pending.crc) for key, pending in items],
        )

        def committed() -> None:
            with self._lock:
                for key, pending in items:
                    del self._pending[key]
                    self._pending_octets -= len(pending.octets or b"")
                    if pending.octets is not None:
                        self._keep_recent(key, pending.octets)

        return committed


def _nothing() -> None:
    return


class _Crc:
    """CRC-32 over pieces."""

    value = 0

    def update(self, octets: bytes) -> None:
        self.value = zlib.crc32(octets, self.value)


class EmbeddedDraft(DraftFile):
    """
    A draft in a file of the spool that has a temporary name until it is put.

    crash here = a file that goes when the directory is opened next, or after a day
    """

    def __init__(self, folder: Path) -> None:
        self._crc = _Crc()
        try:
            self._path, file = embedded_files.new_temporary(folder)
        except OSError as exc:
            raise SpoolUnavailable(f"draft: {exc.strerror}") from exc
        super().__init__(file, self._crc)

    @property
    def crc(self) -> int:
        """Of what was written."""
        return self._crc.value

    def finish(self) -> Path:
        """Fsync the file, and give its temporary name, for whoever gives it another. Raises OSError."""
        os.fsync(self.file.fileno())
        return self._path

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        with contextlib.suppress(OSError):  # the name is another's job then
            self._path.unlink(missing_ok=True)


class EmbeddedBody:
    """One df: a small one is read once, however many next hops want it, a large one in pieces, anew for each."""

    def __init__(self, get: Callable[[str], bytes], path: Path, key: str, octets: int) -> None:
        self._get = get
        self._path = path
        self._key = key
        self.octets = octets
        self._kept: bytes | None = None

    def at_hand(self) -> bytes | None:
        """See ports.Body."""
        return self._kept

    async def chunks(self) -> AsyncIterator[bytes]:
        """See ports.Body."""
        if self.octets <= PIECE_OCTETS:
            if self._kept is None:
                self._kept = await asyncio.to_thread(self._get, self._key)
            yield self._kept
            return
        try:
            file = await asyncio.to_thread(self._path.open, "rb")
        except FileNotFoundError as exc:
            raise SpoolMissing(self._key) from exc
        except OSError as exc:
            raise SpoolUnavailable(f"{self._key}: {exc.strerror}") from exc
        with file:
            left = self.octets
            while left > 0:
                try:
                    piece = await asyncio.to_thread(file.read, PIECE_OCTETS)
                except OSError as exc:
                    raise SpoolUnavailable(f"{self._key}: {exc.strerror}") from exc
                if not piece:
                    raise SpoolUnavailable(f"{self._key}: ended {left} octets early")
                left -= len(piece)
                yield piece
