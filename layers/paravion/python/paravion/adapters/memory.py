"""
Every port in memory: for the tests of the services, and the model that the contract suites compare with.

Not durable and for one process; each class is safe for threads where its port is called from threads.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import queue, quota, table_pages
from paravion.domain.mta_sts import StsFault
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import DueJob, Job, JobKey, JobRecord, Received, State
from paravion.domain.statistics import Point, Tally, point_of
from paravion.domain.target import idempotency_key
from paravion.domain.target_verdict import taken
from paravion.domain.tls_facts import TlsResult
from paravion.domain.tls_policy import NO_DANE, DaneFinding
from paravion.errors import ClaimLost, RecordUnreadable, SpoolConflict, SpoolMissing, SpoolUnavailable
from paravion.ports import Identity, ParkedItem, QueueName, Record, SuppressionPage, TableInfo, UploadTicket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterator, Mapping, Sequence
    from typing import Self

    from paravion.domain.message import LargeBody
    from paravion.domain.mta_sts import KeptPolicy
    from paravion.domain.pacing import HostState
    from paravion.domain.quota import Quota, Short, Want
    from paravion.domain.ses_event import SesEvent
    from paravion.domain.suppression import Reason, Suppressed
    from paravion.domain.told import Told
    from paravion.ports import Handover, Transaction


class MemoryDraft:
    """Draft in a list, of its pieces as they came."""

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool
        self._pieces: list[bytes] = []

    def write(self, octets: bytes) -> None:
        """See ports.Draft."""
        if len(self) + len(octets) > self._spool.room_octets:
            raise SpoolUnavailable("no room for a draft")
        self._pieces.append(octets)

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def pieces(self) -> Iterator[bytes]:
        """See ports.Draft."""
        yield from self._pieces

    def read(self, start: int, end: int) -> bytes:
        """See ports.Draft."""
        return b"".join(self._pieces)[start:end]

    def __enter__(self) -> Self:
        self._spool.drafts += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.drafts -= 1
        self._pieces.clear()


class MemorySpool:
    """
    Spool in two dictionaries.

    Attributes:
        room_octets: What a draft may have; the test makes it small.
        drafts: How many are open.
    """

    def __init__(self) -> None:
        self.envelopes: dict[str, bytes] = {}
        self.bodies: dict[str, bytes] = {}
        self.room_octets = 512 << 20
        self.drafts = 0

    def draft_body(self) -> MemoryDraft:
        """See ports.Spool."""
        return MemoryDraft(self)

    def put_body(self, queue_id: str, body: bytes | LargeBody) -> None:
        """See ports.Spool."""
        octets = body if isinstance(body, bytes) else b"".join(body.pieces())
        if self.bodies.setdefault(queue_id, octets) != octets:
            raise SpoolConflict(queue_id)

    def put_envelope(self, queue_id: str, octets: bytes) -> bytes | None:
        """See ports.Spool."""
        if queue_id in self.envelopes:
            return self.envelopes[queue_id]
        self.envelopes[queue_id] = octets
        return None

    def get_envelope(self, queue_id: str) -> bytes:
        """See ports.Spool."""
        try:
            return self.envelopes[queue_id]
        except KeyError as exc:
            raise SpoolMissing(f"qf/{queue_id}") from exc

    def get_body(self, queue_id: str) -> bytes:
        """See ports.Spool."""
        try:
            return self.bodies[queue_id]
        except KeyError as exc:
            raise SpoolMissing(f"df/{queue_id}") from exc

    def open_body(self, queue_id: str, octets: int) -> _SpooledBody:
        """See ports.Spool."""
        return _SpooledBody(self, queue_id, octets)


@dataclass(frozen=True, slots=True)
class _SpooledBody:
    spool: MemorySpool
    queue_id: str
    octets: int

    def at_hand(self) -> bytes:
        return self.spool.get_body(self.queue_id)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.spool.get_body(self.queue_id)


@dataclass(slots=True)
class _Item:
    item_id: str
    body: Job | str
    visible_at: float
    receives: int = 0
    receipt: str = ""
    sent_at: float = 0.0


@dataclass(slots=True)
class MemoryQueues:
    """
    The five queues with SQS's visibility, receive count and redrive, on a clock that the test moves.

    Attributes:
        redrive: For each queue that has one: its dead-letter queue and how many receptions it allows.
        visibility_s: How long a received item stays hidden.
    """

    clock: Callable[[], float]
    redrive: Mapping[str, tuple[str, int]] = field(
        default_factory=lambda: {
            QueueName.DELIVERY: (QueueName.RETRY, 1),
            QueueName.RETRY: (QueueName.PARKED, 300),
            QueueName.BOUNCE: (QueueName.PARKED, 300),
            QueueName.EVENT: (QueueName.PARKED, 300),
        }
    )
    visibility_s: float = 1080.0
    items: dict[str, list[_Item]] = field(
        default_factory=lambda: {
            name: []
            for name in (QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE, QueueName.EVENT, QueueName.PARKED)
        }
    )
    serial: count[int] = field(default_factory=count)

    def send(self, queue: str, jobs: Sequence[Job], *, delay_s: float = 0.0) -> None:
        """See ports.Queues."""
        for job in jobs:
            self.put(queue, job, delay_s)

    def send_texts(self, queue: str, texts: Sequence[str], *, delay_s: float = 0.0) -> None:
        """See ports.Queues."""
        for text in texts:
            self.put(queue, text, delay_s)

    def park(self, bodies: Sequence[str]) -> None:
        """See ports.Queues."""
        for body in bodies:
            self.put(QueueName.PARKED, body)

    def put(self, queue: str, body: Job | str, delay_s: float = 0.0) -> None:
        """Enqueue a job, or a text that is none."""
        now = self.clock()
        self.items[queue].append(_Item(f"i{next(self.serial)}", body, now + delay_s, sent_at=now))

    def release(self, queue: str, receipts: Sequence[str]) -> None:
        """See ports.Queues."""
        for item in self.items[queue]:
            if item.receipt in receipts:
                item.visible_at = self.clock()

    def receive(self, queue: str, limit: int = 10) -> list[Received]:
        """Receive as SQS does: counts, hides, and moves what was received too often to the dead-letter queue."""
        now = self.clock()
        batch: list[Received] = []
        for item in [item for item in self.items[queue] if item.visible_at <= now]:
            target, allowed = self.redrive.get(queue, ("", 0))
            if target and item.receives >= allowed:
                self.items[queue].remove(item)
                self.items[target].append(_Item(item.item_id, item.body, now, sent_at=item.sent_at))
                continue
            if len(batch) == limit:
                break
            item.receives += 1
            item.receipt = f"r{next(self.serial)}"
            item.visible_at = now + self.visibility_s
            job = item.body if isinstance(item.body, Job) else None
            batch.append(Received(item.item_id, item.receipt, job, str(item.body)))
        return batch

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Remove received items for good."""
        self.items[queue] = [item for item in self.items[queue] if item.receipt not in receipts]

    def next_visible_at(self) -> float | None:
        """Give the instant at which the next hidden item turns up, None if there is no item to work on."""
        times = [i.visible_at for name, items in self.items.items() if name != QueueName.PARKED for i in items]
        return min(times, default=None)


class MemoryParked:
    """Parked on MemoryQueues; a look hides an item for a minute, as SQS does."""

    def __init__(self, queues: MemoryQueues) -> None:
        self._queues = queues

    def look(self, limit: int) -> list[ParkedItem]:
        """See ports.Parked."""
        now = self._queues.clock()
        found = [item for item in self._queues.items[QueueName.PARKED] if item.visible_at <= now][:limit]
        for item in found:
            item.receives += 1
            item.receipt = f"r{next(self._queues.serial)}"
            item.visible_at = now + 60.0
        return [
            ParkedItem(
                i.item_id, i.receipt, i.body if isinstance(i.body, Job) else None, str(i.body), i.receives, i.sent_at
            )
            for i in found
        ]

    def put_back(self, items: Sequence[ParkedItem]) -> None:
        """See ports.Parked."""
        self._queues.release(QueueName.PARKED, [item.receipt for item in items])

    def drop(self, items: Sequence[ParkedItem]) -> None:
        """See ports.Parked."""
        self._queues.delete(QueueName.PARKED, [item.receipt for item in items])


class MemoryLedger:
    """
    Ledger in a dictionary, its transitions those of domain/queue.py.

    Attributes:
        unreadable: What can't be read of it; the test names some.
    """

    def __init__(self) -> None:
        self.records: dict[JobKey, JobRecord] = {}
        self.unreadable: set[JobKey] = set()
        self._lock = threading.Lock()

    def claim(self, job: Job, *, token: str, lease_until: float) -> JobRecord:
        """See ports.Ledger."""
        with self._lock:
            record = self.records.get(job.key)
            if not queue.can_claim(record):
                return self.records[job.key]
            new = queue.claimed(record, job, token=token, lease_until=lease_until)
            self.records[job.key] = new
            self._readable(new)
            return new

    def load(self, key: JobKey) -> JobRecord | None:
        """See ports.Ledger."""
        return self._readable(self.records.get(key))

    def load_message(self, queue_id: str) -> list[JobRecord]:
        """See ports.Ledger."""
        return [self.records[key] for key in sorted(self.records, key=_by_chunk) if key.queue_id == queue_id]

    def save(self, record: JobRecord) -> JobRecord:
        """See ports.Ledger."""
        with self._lock:
            stored = self.records.get(record.key)
            if (stored.version if stored else 0) != record.version:
                raise ClaimLost(f"{record.key} was changed")
            self.records[record.key] = new = record.changed(version=record.version + 1)
            return new

    def due(self, shard: int, now: float, limit: int, after: DueJob | None = None) -> list[DueJob]:
        """See ports.Ledger."""
        with self._lock:
            records = [r for r in self.records.values() if 0 < r.due_at <= now and queue.due_shard(r) == shard]
            due = [DueJob(r.key, r.due_at) for r in records]
        due = sorted(due, key=_by_due)
        return [job for job in due if after is None or _by_due(job) > _by_due(after)][:limit]

    def wake(self, key: JobKey, now: float, due_at: float) -> JobRecord | None:
        """See ports.Ledger."""
        with self._lock:
            record = self.records.get(key)
            if record is None or not 0 < record.due_at <= now:
                return None
            new = replace(record, due_at=due_at)
            if record.state in {State.DEFERRED, State.READY}:
                new = replace(new, state=State.READY, version=record.version + 1)
            self.records[key] = new
            return self._readable(new)

    def reschedule(self, key: JobKey, seen: float, due_at: float) -> None:
        """See ports.Ledger."""
        with self._lock:
            stored = self.records.get(key)
            if stored and stored.due_at == seen:
                self.records[key] = replace(stored, due_at=due_at)

    def scan(self, limit: int, after: str = "") -> tuple[list[JobRecord], str]:
        """See ports.Ledger."""
        behind = queue.at_position(after) if after else JobKey("", -1)
        keys = sorted((key for key in self.records if _by_key(key) > _by_key(behind)), key=_by_key)
        page = [self.records[key] for key in keys[:limit]]
        return page, queue.position(page[-1].key) if len(keys) > limit else ""

    def waiting(self, limit: int, *, held: bool = False) -> list[JobRecord]:
        """See ports.Ledger."""
        shards = queue.HELD_SHARDS if held else range(queue.DUE_SHARDS)
        found = [r for r in self.records.values() if r.due_at and queue.due_shard(r) in shards]
        found = sorted(found, key=lambda r: r.due_at)[:limit]
        return [record for record in found if record.key not in self.unreadable]

    def _readable(self, record: JobRecord | None) -> JobRecord | None:
        if record is not None and record.key in self.unreadable:
            raise RecordUnreadable(Job(record.key, record.queued_at), "the test wants it so")
        return record


def _by_key(key: JobKey) -> tuple[str, int]:
    return key.queue_id, key.chunk


def _by_chunk(key: JobKey) -> int:
    return key.chunk


def _by_due(job: DueJob) -> tuple[float, str, int]:
    return job.due_at, job.key.queue_id, job.key.chunk


class MemoryHosts:
    """Hosts in a dictionary, on a clock that the test moves."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.items: dict[str, HostState] = {}
        self.writes = 0
        self._clock = clock
        self._lock = threading.Lock()

    def get(self, name: str) -> HostState | None:
        """See ports.Hosts."""
        state = self.items.get(name)
        return state if state and not 0 < state.expires_at <= self._clock() else None

    def all(self, limit: int, after: str = "") -> list[HostState]:
        """See ports.Hosts."""
        states = (self.get(name) for name in sorted(self.items) if name > after)
        return [state for state in states if state is not None][:limit]

    def update(self, name: str, change: Callable[[HostState | None], HostState | None]) -> HostState | None:
        """See ports.Hosts."""
        with self._lock:
            state = self.get(name)
            new = change(state)
            if new is state:
                return state
            self.writes += 1
            if new is None:
                del self.items[name]
                return None
            self.items[name] = new = replace(new, version=new.version + 1)
            return new


class MemoryIdentities:
    """Identities in a dictionary."""

    def __init__(self) -> None:
        self.items: dict[str, Identity] = {}

    def get(self, name: str) -> Identity | None:
        """See ports.Identities."""
        return self.items.get(name)

    def put(self, identity: Identity, *, new: bool = False) -> bool:
        """See ports.Identities."""
        if new and identity.name in self.items:
            return False
        self.items[identity.name] = identity
        return True

    def delete(self, name: str) -> None:
        """See ports.Identities."""
        self.items.pop(name, None)

    def all(self, limit: int, after: str = "") -> list[Identity]:
        """See ports.Identities."""
        return [self.items[name] for name in sorted(self.items) if name > after][:limit]


class MemoryRecords:
    """Records in a dictionary; values go through JSON, as they do elsewhere."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], tuple[str, int]] = {}

    def get(self, kind: str, name: str) -> Record | None:
        """See ports.Records."""
        found = self.items.get((kind, name))
        return Record(kind, name, json.loads(found[0]), found[1]) if found else None

    def get_all(self, kind: str, names: Sequence[str]) -> dict[str, Record]:
        """See ports.Records."""
        return {name: record for name in names if (record := self.get(kind, name)) is not None}

    def put(self, kind: str, name: str, value: Mapping[str, Any], *, version: int | None = None) -> Record | None:
        """See ports.Records."""
        current = self.items.get((kind, name), ("", 0))[1]
        if version is not None and version != current:
            return None
        self.items[kind, name] = (json.dumps(value), current + 1)
        return self.get(kind, name)

    def delete(self, kind: str, name: str) -> bool:
        """See ports.Records."""
        return self.items.pop((kind, name), None) is not None

    def page(self, kind: str, limit: int, after: str = "") -> list[Record]:
        """See ports.Records."""
        names = sorted((name for of, name in self.items if of == kind and name > after), key=str.encode)
        return list(self.get_all(kind, names[:limit]).values())


class MemoryCounters:
    """Counters in dictionaries."""

    def __init__(self) -> None:
        self.states: dict[str, quota.State] = {}
        self.tallies: dict[tuple[str, int], Tally] = {}
        self._lock = threading.Lock()

    def take(self, tenant: str, want: Want, limits: Quota, now: float) -> Short | None:
        """See ports.Counters."""
        with self._lock:
            decision = quota.decide(self.states.get(tenant, quota.State()), want, limits, now)
            if isinstance(decision, quota.Short):
                return decision
            self.states[tenant] = decision
            return None

    def give_back(self, tenant: str, count: int, taken_at: float) -> None:
        """See ports.Counters."""
        with self._lock:
            self.states[tenant] = quota.given_back(self.states.get(tenant, quota.State()), count, taken_at)

    def sent(self, tenant: str, now: float) -> int:
        """See ports.Counters."""
        return quota.sent(self.states.get(tenant, quota.State()), now)

    def count(self, tenant: str, tally: Tally, at: float) -> None:
        """See ports.Counters."""
        key = (tenant, point_of(at))
        self.tallies[key] = self.tallies.get(key, Tally()) + tally

    def points(self, tenant: str, since: float, until: float) -> list[Point]:
        """See ports.Counters."""
        found = sorted((at, tally) for (of, at), tally in self.tallies.items() if of == tenant and since <= at <= until)
        return [Point(at, tally) for at, tally in found]


class MemoryTables:
    """Tables in a dictionary."""

    def __init__(self) -> None:
        self.items: dict[str, tuple[TableInfo, list[dict[str, str]]]] = {}

    def loaded(self) -> dict[str, TableInfo]:
        """See ports.Tables."""
        return {kind: info for kind, (info, _) in self.items.items()}

    def lookup(self, kind: str, keys: Sequence[str]) -> dict[str, str]:
        """See ports.Tables."""
        if kind not in self.items:
            return {}
        _, pages = self.items[kind]
        found = ((key, pages[table_pages.page_of(key, len(pages))].get(key)) for key in keys)
        return {key: value for key, value in found if value is not None}

    def pages(self, kind: str) -> Iterator[dict[str, str]]:
        """See ports.Tables."""
        yield from self.items[kind][1] if kind in self.items else ()

    def replace(self, kind: str, entries: Mapping[str, str], loaded_at: float) -> TableInfo:
        """See ports.Tables."""
        return self.replace_all({kind: entries}, loaded_at)[kind]

    def replace_all(self, tables: Mapping[str, Mapping[str, str]], loaded_at: float) -> dict[str, TableInfo]:
        """See ports.Tables."""
        new = {}
        for kind, entries in tables.items():
            pages = table_pages.paginate(kind, entries)
            new[kind] = (TableInfo(table_pages.generation_of(entries), len(pages), len(entries), loaded_at), pages)
        self.items |= new
        return {kind: info for kind, (info, _) in new.items()}

    def remove(self, kind: str) -> bool:
        """See ports.Tables."""
        return self.items.pop(kind, None) is not None


class MemorySuppression:
    """Suppression in a dictionary."""

    def __init__(self) -> None:
        self.items: dict[str, Suppressed] = {}
        self.set_to: tuple[Reason, ...] | None = None

    def find(self, addresses: Sequence[str], now: float) -> dict[str, Suppressed]:
        """See ports.Suppression."""
        found = {address: self.items[address] for address in addresses if address in self.items}
        return {address: entry for address, entry in found.items() if not entry.is_expired(now)}

    def put(self, entry: Suppressed, *, unless_newer: bool = False) -> bool:
        """See ports.Suppression."""
        old = self.items.get(entry.address)
        if unless_newer and old is not None and old.updated_at > entry.updated_at:
            return False
        self.items[entry.address] = entry
        return True

    def put_all(self, entries: Sequence[Suppressed]) -> None:
        """See ports.Suppression."""
        self.items |= {entry.address: entry for entry in entries}

    def delete(self, address: str, now: float) -> bool:
        """See ports.Suppression."""
        entry = self.items.pop(address, None)
        return entry is not None and not entry.is_expired(now)

    def page(
        self, after: str, limit: int, now: float, *, reasons: Collection[Reason], since: float, until: float
    ) -> SuppressionPage:
        """See ports.Suppression."""
        if after and "@" not in after:
            raise ValueError(after)
        found = [
            entry
            for address, entry in sorted(self.items.items())
            if address > after
            and not entry.is_expired(now)
            and entry.reason in reasons
            and since <= entry.updated_at < until
        ]
        return SuppressionPage(tuple(found[:limit]), found[limit - 1].address if len(found) > limit else "")

    def reasons(self) -> tuple[Reason, ...] | None:
        """See ports.Suppression."""
        return self.set_to

    def set_reasons(self, reasons: Sequence[Reason]) -> None:
        """See ports.Suppression."""
        self.set_to = tuple(reasons)


class MemorySecrets:
    """Secrets in a dictionary."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def get(self, name: str, *, fresh: bool = False) -> str | None:  # noqa: ARG002 (nothing is cached)
        """See ports.Secrets."""
        return self.values.get(name)

    def put(self, name: str, value: str, *, new: bool = False) -> bool:
        """See ports.Secrets."""
        if new and name in self.values:
            return False
        self.values[name] = value
        return True

    def delete(self, name: str) -> None:
        """See ports.Secrets."""
        self.values.pop(name, None)

    def names(self, under: str) -> list[str]:
        """See ports.Secrets."""
        return [name for name in self.values if name.rpartition("/")[0] == under]


class MemoryUploads:
    """Uploads in a dictionary; the test puts them there."""

    piece_octets = 1 << 20

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}

    def create(self, upload_id: str, octets: int) -> UploadTicket:
        """See ports.Uploads."""
        return UploadTicket(f"memory:{upload_id}", {"content-length": str(octets)}, 0.0)

    def pieces(self, upload_id: str, limit: int) -> Generator[bytes, None, None]:
        """See ports.Uploads."""
        octets = self.read(upload_id, limit)
        for start in range(0, len(octets), self.piece_octets):
            yield octets[start : start + self.piece_octets]

    def read(self, upload_id: str, limit: int) -> bytes:
        """See ports.Uploads."""
        if upload_id not in self.items:
            raise SpoolMissing(f"up/{upload_id}")
        if len(self.items[upload_id]) > limit:
            raise SpoolConflict(f"up/{upload_id}")
        return self.items[upload_id]

    def delete(self, upload_id: str) -> None:
        """See ports.Uploads."""
        self.items.pop(upload_id, None)


class MemoryResolver:
    """Resolver that knows what it was told; every other domain is its own host."""

    def __init__(self, hops: Mapping[str, NextHop | Outcome] | None = None) -> None:
        self.hops = dict(hops or {})
        self.strings: dict[str, list[str]] = {}

    async def next_hop(self, domain: str) -> NextHop | Outcome:
        """See ports.Resolver."""
        return self.hops.get(domain) or NextHop(domain, (MxHost(domain),))

    async def addresses(self, host: str) -> tuple[str, ...] | Outcome:  # noqa: ARG002 (the port's signature)
        """See ports.Resolver."""
        return ("192.0.2.1",)

    async def txt(self, name: str) -> list[str]:
        """See ports.Resolver."""
        return self.strings.get(name, [])

    async def tlsa(self, host: str, port: int, domain: str) -> DaneFinding:  # noqa: ARG002 (the port's signature)
        """See ports.Resolver."""
        return NO_DANE


class MemoryTlsPolicies:
    """TlsPolicies in a dictionary."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.items: dict[str, KeptPolicy] = {}
        self.clock = clock

    def get(self, domain: str) -> KeptPolicy | None:
        """See ports.TlsPolicies."""
        kept = self.items.get(domain)
        return kept if kept is not None and kept.is_valid(self.clock()) else None

    def put(self, domain: str, policy: KeptPolicy) -> None:
        """See ports.TlsPolicies."""
        self.items[domain] = policy


class MemoryPolicyHost:
    """PolicyHost that serves what it was told; counts who asked."""

    def __init__(self, files: Mapping[str, bytes | StsFault] | None = None) -> None:
        self.files = dict(files or {})
        self.asked: list[str] = []

    async def fetch(self, domain: str) -> bytes | StsFault:
        """See ports.PolicyHost."""
        self.asked.append(domain)
        return self.files.get(domain) or StsFault(TlsResult.STS_POLICY_FETCH_ERROR, "no such host")


class MemoryTransport:
    """
    Transport to recipients that behave as told, and a record of every mail that was accepted.

    Attributes:
        script: Forward-path to the outcomes of its attempts, in order; the last repeats. Without one: delivered.
        accepted: What the remote hosts took, in order: queue id, forward-path, reverse-path, content.
    """

    def __init__(self, script: Mapping[str, Sequence[Outcome]] | None = None) -> None:
        self.script = {path: list(outcomes) for path, outcomes in (script or {}).items()}
        self.accepted: list[tuple[str, str, str, bytes]] = []
        self.calls = 0

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:  # noqa: ARG002
        """See ports.Transport."""
        self.calls += 1
        body = b"".join([chunk async for chunk in transaction.body.chunks()])
        content = transaction.header + b"\r\n" + body
        outcomes = {}
        for position, (forward_path, _, _) in transaction.recipients.items():
            left = self.script.get(forward_path, [])
            outcome = (
                (left.pop(0) if len(left) > 1 else left[0])
                if left
                else Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", hop.name)
            )
            if outcome.result is Result.DELIVERED:
                self.accepted.append((transaction.queue_id, forward_path, transaction.reverse_path, content))
            outcomes[position] = outcome
            transaction.heard(outcome)
        return outcomes

    async def settle(self) -> None:
        """See ports.Transport."""


class MemoryTranscripts:
    """Transcripts in a dictionary."""

    def __init__(self) -> None:
        self.books: dict[str, bytes] = {}

    def put(self, key: str, octets: bytes) -> bool:
        """See ports.Transcripts."""
        self.books[key] = octets
        return True

    def get(self, key: str) -> bytes | None:
        """See ports.Transcripts."""
        return self.books.get(key)


class MemoryTargets:
    """
    Targets that behave as told, and a record of what they took.

    Attributes:
        script: Target to the outcomes of its attempts, in order; the last repeats. Without one: delivered.
        taken: What they took, in order: target, idempotency key, recipient, content.
    """

    def __init__(self, script: Mapping[str, Sequence[Outcome]] | None = None) -> None:
        self.script = {target: list(outcomes) for target, outcomes in (script or {}).items()}
        self.taken: list[tuple[str, str, str, bytes]] = []

    async def hand_over(self, handover: Handover, deadline: float) -> Outcome:  # noqa: ARG002 (the port's signature)
        """See ports.Targets."""
        body = b"".join([chunk async for chunk in handover.body.chunks()])
        left = self.script.get(handover.target, [])
        outcome = (left.pop(0) if len(left) > 1 else left[0]) if left else taken("taken")
        if outcome.result is Result.DELIVERED:
            key = idempotency_key(handover.queue_id, handover.target)
            content = handover.header + b"\r\n" + body
            self.taken.append((handover.target, key, handover.recipient, content))
        return outcome


class MemoryEventDestinations:
    """
    Destinations that behave as told, and a record of what they took.

    Attributes:
        script: Key (domain.told.Told) to the problems of its requests, in order; the last repeats. Without: "".
        taken: Key and event, in the form that the destination gets, in order.
        asked: The key of each request.
    """

    def __init__(self, script: Mapping[str, Sequence[str]] | None = None) -> None:
        self.script = {key: list(problems) for key, problems in (script or {}).items()}
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[str] = []

    def publish(self, told: Told, events: Sequence[SesEvent]) -> list[str]:
        """See ports.EventDestinations."""
        from paravion.domain.ses_event import form_of

        self.asked.append(told.key)
        left = self.script.get(told.key, [])
        problem = (left.pop(0) if len(left) > 1 else left[0]) if left else ""
        if not problem:
            self.taken += [(told.key, form_of(told, event)) for event in events]
        return [problem] * len(events)


_OF_THE_LOGGER: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime"})


class MemoryEventLog:
    """Keeps what was logged; as strict about names of fields as the logger of the real one."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, object]]] = []

    def emit(self, event: str, fields: Mapping[str, object]) -> None:
        """See ports.EventLog."""
        clash = _OF_THE_LOGGER & fields.keys()
        if clash:
            raise KeyError(f"{event}: the logger's own: {sorted(clash)}")
        self.records.append((event, dict(fields)))
