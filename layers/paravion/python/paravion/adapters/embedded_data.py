"""
A data directory: everything that one paravion on one machine keeps, opened by one paravion at a time.

    lock               the process that has it open: its number, and a lock that ends with it and its children
    paravion.db        SQLite: small objects, queues, ledger, identities, tables (embedded_database.py)
    spool/             large objects (embedded_spool.py)
    secrets/           credentials and keys (embedded_secrets.py)
    uploads/           large messages on their way in (embedded_uploads.py)

Opening it ends what a crash left: leases of the dead process, half-written files, old files that no row names.

Two processes may have it open for one that has the lock and has opened it before them: each has its part of the work.

    part       what it does alone
    ---------  ----------------------------------------------------------------------------------------------
    doors      loads tables, makes and changes identities and records, takes uploads
    workers    receives from queues, claims jobs, removes what is old, makes the database's checkpoints
"""

from __future__ import annotations

import os
import secrets
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

from paravion.adapters import embedded_files
from paravion.adapters.embedded_counters import EmbeddedCounters
from paravion.adapters.embedded_database import Database
from paravion.adapters.embedded_hosts import EmbeddedHosts
from paravion.adapters.embedded_identities import EmbeddedIdentities
from paravion.adapters.embedded_ledger import EmbeddedLedger
from paravion.adapters.embedded_lock import DataUnavailable, lock_folder
from paravion.adapters.embedded_queues import EmbeddedQueues
from paravion.adapters.embedded_records import EmbeddedRecords
from paravion.adapters.embedded_resume import resume
from paravion.adapters.embedded_secrets import EmbeddedSecrets
from paravion.adapters.embedded_spool import RECENT_OCTETS, EmbeddedSpool
from paravion.adapters.embedded_suppression import EmbeddedSuppression
from paravion.adapters.embedded_tables import EmbeddedTables
from paravion.adapters.embedded_tls_policies import EmbeddedTlsPolicies
from paravion.adapters.embedded_transcripts import EmbeddedTranscripts
from paravion.adapters.embedded_uploads import EmbeddedUploads
from paravion.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_UPLOAD_KEY: Final = "engine/upload-key"
_EXPIRE_AT_ONCE: Final = 1000


class Part(Enum):
    """What a process does on a directory."""

    ALL = "all"
    DOORS = "doors"
    WORKERS = "workers"


class EmbeddedData:
    """
    An open data directory, with a port for everything.

    Args:
        folder: Made if it isn't there.
        clock: Seconds since the epoch.
        part: Of several processes, which this is; another one has the lock then, and has cleaned up.
        lock: The descriptor of a lock that is held already; stays its owner's.
        inline_octets: See EmbeddedSpool.

    Attributes:
        broken_off: How many jobs were under way when the last process died.
        endpoint: Base URL under which uploads are served; set by whoever serves them.

    Raises:
        DataUnavailable: The text names the directory and why, or the process that has it.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float],
        *,
        part: Part = Part.ALL,
        lock: int | None = None,
        **inline_octets: int,
    ) -> None:
        self.endpoint = ""
        self.broken_off = 0
        self._folder = folder
        self._stack: list[Callable[[], None]] = []
        try:
            if part is Part.ALL:
                self._prepare(lock)
            self.database = Database(
                folder / "paravion.db", shared=part is not Part.ALL, checkpoints=part is not Part.DOORS
            )
            self._stack.append(self.database.close)
            # Who does not deliver reads nothing again; memory that is soon used again stays in the processor's cache.
            recent_octets = 0 if part is Part.DOORS else RECENT_OCTETS
            self.spool = EmbeddedSpool(
                self.database, folder / "spool", clock, recent_octets=recent_octets, **inline_octets
            )
            if part is Part.ALL:
                self.spool.remove_orphans(clock())
            self.queues = EmbeddedQueues(self.database, clock)
            self._stack.append(self.queues.close)
            self.ledger = EmbeddedLedger(self.database)
            self.identities = EmbeddedIdentities(self.database, alone=part is not Part.WORKERS)
            self.records = EmbeddedRecords(self.database, alone=part is not Part.WORKERS)
            self.counters = EmbeddedCounters(self.database)
            self.tables = EmbeddedTables(self.database, writes=part is not Part.WORKERS)
            self.hosts = EmbeddedHosts(self.database, clock)
            self.suppression = EmbeddedSuppression(self.database)
            self.transcripts = EmbeddedTranscripts(self.database, clock)
            self.tls_policies = EmbeddedTlsPolicies(self.database, clock)
            self.secrets = EmbeddedSecrets(folder / "secrets")
            self.uploads = EmbeddedUploads(folder / "uploads", self._upload_key(), lambda: self.endpoint, clock)
            if part is not Part.DOORS:
                self.broken_off = resume(self.database)
        except (OSError, Unavailable) as exc:
            self.close()
            if isinstance(exc, DataUnavailable):
                raise
            raise DataUnavailable(f"{folder}: {getattr(exc, 'strerror', None) or exc}") from exc

    def expire(self, now: float) -> int:
        """
        Remove a piece of what is older than it must be kept; gives how many things.

        Raises:
            Unavailable
        """
        return (
            self.spool.expire(now, _EXPIRE_AT_ONCE)
            + self.spool.remove_drafts(now)
            + self.ledger.expire(now, _EXPIRE_AT_ONCE)
            + self.queues.expire(now, _EXPIRE_AT_ONCE)
            + self.suppression.expire(now, _EXPIRE_AT_ONCE)
            + self.counters.expire(now, _EXPIRE_AT_ONCE)
            + self.hosts.expire(now, _EXPIRE_AT_ONCE)
            + self.transcripts.expire(now, _EXPIRE_AT_ONCE)
            + self.tls_policies.expire(now, _EXPIRE_AT_ONCE)
            + self.uploads.expire(now)
        )

    def waiting_jobs(self, limit: int) -> int:
        """
        Count the jobs that are queued or wait for their time, up to `limit`; some may be counted twice.

        Raises:
            Unavailable
        """
        ((count,),) = self.database.read(
            Unavailable,
            "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM item WHERE queue IN (0, 1) LIMIT ?1))"
            " + (SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE due_at > 0 LIMIT ?1))",
            limit,
        )
        return int(count)

    def free_octets(self) -> int:
        """Give what this user may still write on the directory's disk. Raises Unavailable."""
        try:
            found = os.statvfs(self._folder)
        except OSError as exc:
            raise Unavailable(f"{self._folder}: {exc.strerror}") from exc
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """End what was begun and let go of the directory."""
        while self._stack:
            self._stack.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, lock: int | None) -> None:
        embedded_files.make_folder(self._folder)
        if lock is None:
            descriptor = lock_folder(self._folder)
            self._stack.append(lambda: os.close(descriptor))
        for name in ("spool", "secrets", "uploads"):
            embedded_files.make_folder(self._folder / name)
            embedded_files.remove_temporary(self._folder / name)
        # SQLite gives its log the mode of the database.
        (self._folder / "paravion.db").touch(mode=0o600)

    def _upload_key(self) -> bytes:
        self.secrets.put(_UPLOAD_KEY, secrets.token_hex(32), new=True)
        return bytes.fromhex(self.secrets.get(_UPLOAD_KEY) or "")
