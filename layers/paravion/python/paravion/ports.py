"""
The ports: what the services need of the outside world, in mail's words.

Every Protocol's docstrings are its contract; `tests/integration/contract/` holds each adapter to it.
Synchronous ports may block on I/O and are called from threads where that matters; Resolver,
Transport and Targets live on the delivery loop. Failures of the outside are `errors.Unavailable` and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterator, Mapping, Sequence
    from typing import Self

    from paravion.domain.envelope import DeliverBy
    from paravion.domain.message import LargeBody
    from paravion.domain.mta_sts import KeptPolicy, StsFault
    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome
    from paravion.domain.pacing import HostState
    from paravion.domain.queue import DueJob, Job, JobKey, JobRecord
    from paravion.domain.quota import Quota, Short, Want
    from paravion.domain.ses_event import SesEvent
    from paravion.domain.statistics import Point, Tally
    from paravion.domain.suppression import Reason, Suppressed
    from paravion.domain.tls_policy import DaneFinding
    from paravion.domain.told import Told
    from paravion.domain.transcript import Recorder


class Body(Protocol):
    """The octets of one df, readable any number of times."""

    octets: int

    def at_hand(self) -> bytes | None:
        """
        Give all octets if they are in memory, else None: nothing is waited for.

        Raises:
            SpoolMissing
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """
        Yield the octets in order, from the start at each call, in pieces of bounded size.

        Raises:
            SpoolMissing, SpoolUnavailable: while iterating.
        """
        ...


class Draft(Protocol):
    """
    A df on its way into the spool that is too large for memory: a `domain.message.LargeBody` that can be written.

    Written once, from start to end, then read any number of times. What was not put when its `with` block ends, or
    its process, leaves nothing behind. For one thread at a time.
    """

    def write(self, octets: bytes) -> None:
        """
        Add octets at the end.

        Raises:
            SpoolUnavailable: There is no room.
        """
        ...

    def __len__(self) -> int:
        """How many octets were written."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """
        Give the octets in order, from the start at each call, in pieces of bounded size.

        Raises:
            SpoolUnavailable: while iterating.
        """
        ...

    def read(self, start: int, end: int) -> bytes:
        """
        Give the octets from `start` to before `end`, both within what was written.

        Raises:
            SpoolUnavailable
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Spool(Protocol):
    """
    The content store: qf/<queue id> and df/<queue id>, immutable, durable once the message's jobs were enqueued
    (`Queues.send`), which is when it is promised.

    A put under a key that exists is refused, not overwritten: a repeat of the same submission finds its
    own objects, another one under the same key is a conflict.
    """

    def draft_body(self) -> Draft:
        """
        Give room for a body that must not be held as a whole, as a context. No I/O but on this machine.

        Raises:
            SpoolUnavailable: There is none.
        """
        ...

    def put_body(self, queue_id: str, body: bytes | LargeBody) -> None:
        """
        Store df. Cost: one write, whatever its size.

        Args:
            body: Its octets, or a draft of this spool (`draft_body`) with all of them written; that can be put once,
                and be read afterwards.

        Raises:
            SpoolConflict: The key holds other octets. (The same octets: nothing happens.)
            SpoolUnavailable: Nothing can be said about what was stored.
        """
        ...

    def put_envelope(self, queue_id: str, octets: bytes) -> bytes | None:
        """
        Store qf. Cost: one write, and one read if it exists.

        Returns:
            None when it was stored, or the octets that lie there already.

        Raises:
            SpoolUnavailable
        """
        ...

    def get_envelope(self, queue_id: str) -> bytes:
        """
        Read qf. Cost: one read.

        Raises:
            SpoolMissing, SpoolUnavailable
        """
        ...

    def get_body(self, queue_id: str) -> bytes:
        """
        Read the whole df at once; for small ones. Cost: one read.

        Raises:
            SpoolMissing, SpoolUnavailable
        """
        ...

    def open_body(self, queue_id: str, octets: int) -> Body:
        """Give a handle on df; no I/O before its first chunk. One read for each pass over a large body."""
        ...


class QueueName:
    """The five queues, by role."""

    DELIVERY = "delivery"
    RETRY = "retry"
    BOUNCE = "bounce"
    EVENT = "event"
    PARKED = "parked"


MAX_DELAY_S: Final = 900.0
"""The longest that a queue keeps an item back; SQS's limit."""


class Queues(Protocol):
    """The queues: at least once, unordered, durable once `send` returned."""

    def send(self, queue: str, jobs: Sequence[Job], *, delay_s: float = 0.0) -> None:
        """
        Enqueue jobs; for the delivery queue this is the commit instant. Cost: one call for each ten.

        Args:
            delay_s: Nobody receives them before; 0 to MAX_DELAY_S, kept to a second.

        Raises:
            QueueUnavailable: Some or all may not have been enqueued; enqueueing again is safe.
        """
        ...

    def send_texts(self, queue: str, texts: Sequence[str], *, delay_s: float = 0.0) -> None:
        """
        Enqueue items that are no jobs (domain/event_item.py): `Received.body` of whoever receives them.

        Args:
            texts: Of at most 250,000 octets of ASCII each.
            delay_s: As for `send`.

        Raises:
            QueueUnavailable: As for `send`.
        """
        ...

    def park(self, bodies: Sequence[str]) -> None:
        """
        Put items that are no jobs where an operator looks at them: the parked queue.

        Raises:
            QueueUnavailable
        """
        ...

    def release(self, queue: str, receipts: Sequence[str]) -> None:
        """
        Make received items visible at once, so that they go on their way (to the dead-letter queue).

        Best effort: a failure is swallowed, the items then turn up when their visibility ends.
        """
        ...


@dataclass(frozen=True, slots=True)
class ParkedItem:
    """
    What lies in the parked queue.

    Attributes:
        item_id: Names it, at every look the same.
        receipt: Names this look at it.
        job: None when it is none.
        body: As it lay in the queue that it came from: `Received.body`.
        receives: How often it was received, as the queue counts; looks may count too.
        sent_at: When it was enqueued, seconds since the epoch; by its first queue or by this one.
    """

    item_id: str
    receipt: str
    job: Job | None
    body: str
    receives: int
    sent_at: float


class Parked(Protocol):
    """The parked queue as an operator sees it: nothing leaves it but by `drop`, or by its age."""

    def look(self, limit: int) -> list[ParkedItem]:
        """
        Give up to `limit` items, in any order, each once; all there are if fewer.

        They may be hidden from other looks for a minute, or until they are put back. One call for each ten.

        Raises:
            QueueUnavailable: Those that were found already come back by themselves.
        """
        ...

    def put_back(self, items: Sequence[ParkedItem]) -> None:
        """Show items of a look to others at once; best effort, never raises."""
        ...

    def drop(self, items: Sequence[ParkedItem]) -> None:
        """
        Remove items of a look for good; no error for one that is gone.

        Raises:
            QueueUnavailable: Some or all may be gone; dropping again is safe.
        """
        ...


class Ledger(Protocol):
    """
    The job records. Reads are strongly consistent; every write is conditional and atomic.

    Whatever gives a record raises RecordUnreadable where it can't be read; `waiting` leaves such out.
    """

    def claim(self, job: Job, *, token: str, lease_until: float) -> JobRecord:
        """
        Take the job if `domain.queue.can_claim`, in one conditional write.

        A repeat with the token of the claim that holds succeeds again (a lost answer is no lost claim).

        Returns:
            The record as it is now: claimed by the caller if it carries `token`, else what stands in the way.

        Raises:
            LedgerUnavailable
        """
        ...

    def load(self, key: JobKey) -> JobRecord | None:
        """
        Read one record.

        Raises:
            LedgerUnavailable
        """
        ...

    def load_message(self, queue_id: str) -> list[JobRecord]:
        """
        Read the records of all of a message's chunks that exist, by chunk.

        Raises:
            LedgerUnavailable
        """
        ...

    def save(self, record: JobRecord) -> JobRecord:
        """
        Write the whole record if its version is still the stored one (a new record: none is stored).

        Returns:
            The record with its version counted up.

        Raises:
            ClaimLost: The stored version differs; nothing was written.
            LedgerUnavailable: Unknown whether it was written.
        """
        ...

    def due(self, shard: int, now: float, limit: int, after: DueJob | None = None) -> list[DueJob]:
        """
        Give up to `limit` jobs of a shard whose due time is past, oldest first, from behind `after` on.

        Shards are those of `domain.queue.due_shard`: held and closed jobs have their own.

        May lag by seconds: jobs that were woken already may still be shown, so that a reader pages on
        instead of reading the beginning again.

        Raises:
            LedgerUnavailable
        """
        ...

    def wake(self, key: JobKey, now: float, due_at: float) -> JobRecord | None:
        """
        Take a due job for the sweep, in one conditional write that only one of several sweeps wins.

        A deferred or ready job becomes ready (version counted up); any other stays as it is.
        Either gets the new due time, so that it is found again if what the caller now enqueues is lost.

        Returns:
            The record as it is now, or None: not due any more (somebody was faster).

        Raises:
            RecordUnreadable: It has the new due time.
            LedgerUnavailable
        """
        ...

    def reschedule(self, key: JobKey, seen: float, due_at: float) -> None:
        """
        Move a job's due time from `seen` to another, whatever else stands in its record.

        Does nothing when its due time is another: somebody has moved it on. Leaves the version alone.

        Raises:
            LedgerUnavailable
        """
        ...

    def scan(self, limit: int, after: str = "") -> tuple[list[JobRecord], str]:
        """
        Give some of all records, in no order, for what must look at each.

        A record that stays as it is meanwhile comes exactly once. Cost: as much as is read, all of the store in the
        end: for operators.

        Args:
            limit: Of the records, and of whatever else the store has to read on the way.
            after: What the page before gave to go on, or `domain.queue.position` of a record of it.

        Returns:
            The records, perhaps none although there are more; and what to go on with, "" at the end.

        Raises:
            ValueError: `after` is none.
            LedgerUnavailable
        """
        ...

    def waiting(self, limit: int, *, held: bool = False) -> list[JobRecord]:
        """
        Give up to `limit` records that wait in the due index, soonest first, for `mailq`: held ones, or the others.

        Raises:
            LedgerUnavailable
        """
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Who may send: an address or a domain, and whether its owner proved it.

    Attributes:
        tenant: Whose it is (domain/tenant.py); a name is one tenant's alone.
    """

    name: str
    verified: bool
    token: str
    created_at: float
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """Where and how a large message may be put: one PUT with exactly these headers, until `expires_at`."""

    url: str
    headers: Mapping[str, str]
    expires_at: float


class Uploads(Protocol):
    """Large messages on their way in, past the API's payload limit. Unclaimed ones vanish after a day."""

    def create(self, upload_id: str, octets: int) -> UploadTicket:
        """Allow one PUT of exactly `octets` octets. No I/O."""
        ...

    def pieces(self, upload_id: str, limit: int) -> Generator[bytes, None, None]:
        """
        Read what was put, if it has at most `limit` octets, in order and in pieces of bounded size. Cost: one read.

        Nothing is done before the first piece is asked for, and nothing is left open once it was closed.

        Raises:
            SpoolMissing, SpoolConflict: As `read`; before the first piece.
            SpoolUnavailable: while iterating.
        """
        ...

    def read(self, upload_id: str, limit: int) -> bytes:
        """
        Read what was put, if it has at most `limit` octets; for small ones. Cost: one read.

        Raises:
            SpoolMissing: Nothing was put there, or it is gone.
            SpoolConflict: It is larger than `limit`.
            SpoolUnavailable
        """
        ...

    def delete(self, upload_id: str) -> None:
        """Forget it; best effort, never raises."""
        ...


@dataclass(frozen=True, slots=True)
class TableInfo:
    """
    What is known of a loaded table.

    Attributes:
        generation: Follows from its entries: the same entries are the same generation.
        pages: How many pages it lies in (domain/tables.py).
        loaded_at: Seconds since the epoch.
    """

    generation: str
    pages: int
    entries: int
    loaded_at: float


class Tables(Protocol):
    """
    sendmail's tables, by kind (domain/tables.py): each whole, old or new, never a mixture.

    Readers may keep what they read for a minute, and which tables there are too; with none loaded they ask once a
    minute. A generation is readable until the one after its successor is loaded; whoever still reads it then gets
    LedgerUnavailable or the new one.
    """

    def loaded(self) -> Mapping[str, TableInfo]:
        """Give what is loaded, by kind. Cost: one read a minute. Raises LedgerUnavailable."""
        ...

    def lookup(self, kind: str, keys: Sequence[str]) -> dict[str, str]:
        """
        Give the values of those keys that there are; {} if the table isn't loaded.

        Cost: the pages not read in the last minute, a hundred in a call.

        Raises:
            LedgerUnavailable
        """
        ...

    def pages(self, kind: str) -> Iterator[Mapping[str, str]]:
        """
        Give all entries, a page at a time; those of an included list in its order.

        Raises:
            LedgerUnavailable: while iterating.
        """
        ...

    def replace(self, kind: str, entries: Mapping[str, str], loaded_at: float) -> TableInfo:
        """
        Load a table in place of the one of that kind, at one instant; before it nothing can be seen of it.

        Raises:
            LedgerUnavailable: Either it took effect or nothing did; loading again is safe.
        """
        ...

    def replace_all(self, tables: Mapping[str, Mapping[str, str]], loaded_at: float) -> dict[str, TableInfo]:
        """
        Load several tables, by kind, at one instant: whoever sees one of them new sees all of them new.

        Args:
            tables: At most domain.table_pages.AT_ONCE.

        Raises:
            LedgerUnavailable: Either all took effect or none did; loading again is safe.
        """
        ...

    def remove(self, kind: str) -> bool:
        """Unload a table at one instant; False when there was none. Raises LedgerUnavailable."""
        ...


class Hosts(Protocol):
    """
    What is known of hosts that limit or do not answer (domain/pacing.py); nothing of all others.

    Changed by many functions at once, each change applied to what the one before it left. Forgets what expired.
    """

    def get(self, name: str) -> HostState | None:
        """Read one state. Cost: one read. Raises LedgerUnavailable."""
        ...

    def all(self, limit: int, after: str = "") -> list[HostState]:
        """Give up to `limit` states by name, after `after`. Cost: one read. Raises LedgerUnavailable."""
        ...

    def update(self, name: str, change: Callable[[HostState | None], HostState | None]) -> HostState | None:
        """
        Apply a pure change, atomically. Cost: one read, and one write if it changes something.

        Args:
            change: State → state; None for none. Called again when somebody else was faster. Gives the
                very same to leave it, None to forget it.

        Returns:
            What is stored now.

        Raises:
            ClaimLost: Others were faster every time; nothing was written.
            LedgerUnavailable: Unknown whether it was written.
        """
        ...


@dataclass(frozen=True, slots=True)
class SuppressionPage:
    """Some entries, and where to go on: "" when there are no more."""

    entries: tuple[Suppressed, ...]
    after: str


class Suppression(Protocol):
    """
    The addresses that nothing is sent to (domain/suppression.py), each in normal form.

    A reader on the mail's road may see an entry, or its removal, a second late, and the reasons a minute late.
    Entries whose time is over are never shown.
    """

    def find(self, addresses: Sequence[str], now: float) -> dict[str, Suppressed]:
        """
        Give those of the addresses that are listed. Cost: one read for each hundred.

        Raises:
            LedgerUnavailable: It can't be said of all of them; then of none.
        """
        ...

    def put(self, entry: Suppressed, *, unless_newer: bool = False) -> bool:
        """
        List an address, in place of an entry that it has; with `unless_newer`, only of an older one.

        Returns:
            False when a newer one stands there.

        Raises:
            LedgerUnavailable: Unknown whether it was written; writing again is safe.
        """
        ...

    def put_all(self, entries: Sequence[Suppressed]) -> None:
        """
        List many addresses, each once, in place of entries that they have. Cost: one write for each 25.

        Raises:
            LedgerUnavailable: Some or all may have been written; writing again is safe.
        """
        ...

    def delete(self, address: str, now: float) -> bool:
        """Take an address off the list; False when it was not on it. Raises LedgerUnavailable."""
        ...

    def page(
        self, after: str, limit: int, now: float, *, reasons: Collection[Reason], since: float, until: float
    ) -> SuppressionPage:
        """
        List up to `limit` entries in an order that stays.

        A page may hold fewer, even none, although there are more: only an empty `after` is the end.

        Args:
            after: "" for the first page, else what the one before gave.
            reasons: Entries of these alone.
            since, until: Entries updated at or after the one and before the other.

        Raises:
            ValueError: `after` is none that a page gave.
            LedgerUnavailable
        """
        ...

    def reasons(self) -> tuple[Reason, ...] | None:
        """
        Give the reasons that were set; None if they never were. Cost: one read a minute.

        Raises:
            LedgerUnavailable
        """
        ...

    def set_reasons(self, reasons: Sequence[Reason]) -> None:
        """Set for which reasons addresses are suppressed. Raises LedgerUnavailable."""
        ...


class Identities(Protocol):
    """The identities that may send."""

    def get(self, name: str) -> Identity | None:
        """Read one; `name` is an address or a domain in lower case. Raises LedgerUnavailable."""
        ...

    def put(self, identity: Identity, *, new: bool = False) -> bool:
        """Write one; with `new`, only if none of that name exists (False then). Raises LedgerUnavailable."""
        ...

    def delete(self, name: str) -> None:
        """Remove one; no error if there is none. Raises LedgerUnavailable."""
        ...

    def all(self, limit: int, after: str = "") -> list[Identity]:
        """Up to `limit` in order of name, after `after`. Raises LedgerUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """
    One named thing that a user made: a template, a configuration set, a contact.

    Attributes:
        kind: What it is, e.g. `template`; letters, digits, `-` and `/`.
        name: Unique within its kind, 1 to 512 characters.
        value: A JSON object.
        version: 1 when made, one more with each change.
    """

    kind: str
    name: str
    value: Mapping[str, Any]
    version: int


class Records(Protocol):
    """
    Things that users make and change and that mail reads, kept for ever, each as one JSON object.

    An implementation for the mail's road may answer `get` and `get_all` from what it read up to a minute ago,
    absences too.
    """

    def get(self, kind: str, name: str) -> Record | None:
        """Read one. Raises LedgerUnavailable."""
        ...

    def get_all(self, kind: str, names: Sequence[str]) -> dict[str, Record]:
        """Read several, by name; those that are not there are left out. Raises LedgerUnavailable."""
        ...

    def put(self, kind: str, name: str, value: Mapping[str, Any], *, version: int | None = None) -> Record | None:
        """
        Make or replace one.

        Args:
            version: Only if this is its version, 0: only if there is none. None: whatever is there.

        Returns:
            What is there now; None: the version was another, and nothing was changed.

        Raises:
            LedgerUnavailable
            RecordTooLarge: Nothing was changed.
        """
        ...

    def delete(self, kind: str, name: str) -> bool:
        """Remove one; False: there was none. Raises LedgerUnavailable."""
        ...

    def page(self, kind: str, limit: int, after: str = "") -> list[Record]:
        """
        Give up to `limit` in the order of their names' UTF-8 octets, those after `after`; fewer only at the end.

        Raises:
            LedgerUnavailable
        """
        ...


class Counters(Protocol):
    """
    What tenants have sent: against their quotas (domain/quota.py), and in quarters of an hour (domain/statistics.py).

    Changed by many functions at once; nothing is lost that somebody else counted.
    """

    def take(self, tenant: str, want: Want, quota: Quota, now: float) -> Short | None:
        """
        Count a message's recipients, of both limits or of none, if `domain.quota.decide` lets it pass.

        Cost: one write; a read before it if nothing was taken within this hour, or others changed it meanwhile.

        Returns:
            None: it passed; else why it did not.

        Raises:
            LedgerUnavailable: Unknown whether it was counted.
        """
        ...

    def give_back(self, tenant: str, count: int, taken_at: float) -> None:
        """
        Take back what `take` counted for the day, of a message that was not kept. One write.

        Raises:
            LedgerUnavailable: Unknown whether it was taken back.
        """
        ...

    def sent(self, tenant: str, now: float) -> int:
        """Count what was taken in the last 24 hours (domain/quota.py). One read. Raises LedgerUnavailable."""
        ...

    def count(self, tenant: str, tally: Tally, at: float) -> None:
        """
        Add to the quarter of an hour of `at`; may be seen a moment later. One write.

        Raises:
            LedgerUnavailable: Unknown whether it was added.
        """
        ...

    def points(self, tenant: str, since: float, until: float) -> list[Point]:
        """Give the quarters that begin from `since` to `until`, oldest first, those with anything in them.

        Kept for two weeks. One read. Raises LedgerUnavailable.
        """
        ...


class Management(Protocol):
    """The function that manages, for requests that come to another one's address: SES v1 has only one."""

    def invoke(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Let it answer a request, once; it authenticates for itself.

        Args:
            event: Of an HTTP API, payload format 2.0; what comes back is in its form, too.

        Raises:
            ManagementUnavailable, ManagementFailed: It may have done what was asked, or not.
        """
        ...


class Secrets(Protocol):
    """Named secrets."""

    def get(self, name: str, *, fresh: bool = False) -> str | None:
        """
        Read one; may be cached for minutes, the absence of one for seconds.

        Args:
            name: Path-like, e.g. `credentials/AKIA…`; [A-Za-z0-9._/-] only.
            fresh: Past every cache: for whoever writes what follows from what was read.

        Raises:
            SecretsUnavailable
        """
        ...

    def put(self, name: str, value: str, *, new: bool = False) -> bool:
        """Write one; with `new`, only if none of that name exists (False then). Raises SecretsUnavailable."""
        ...

    def delete(self, name: str) -> None:
        """Remove one; no error if there is none. Raises SecretsUnavailable."""
        ...

    def names(self, under: str) -> list[str]:
        """Give the names right below `under`, whole, in any order; never cached. Raises SecretsUnavailable."""
        ...


class Resolver(Protocol):
    """Looks names up."""

    async def next_hop(self, domain: str) -> NextHop | Outcome:
        """
        Find the hosts of a domain by MX, or by address if it has none (RFC 5321 5.1, 7505).

        Args:
            domain: In A-labels, or an address literal with brackets.

        Returns:
            The hop, equal preferences shuffled; or the outcome for every recipient of the domain when
            there is none: no such domain and null MX fail, time-outs and SERVFAIL defer. Never raises.
        """
        ...

    async def addresses(self, host: str) -> tuple[str, ...] | Outcome:
        """Find a host's addresses (AAAA and A), or the outcome for it. Never raises."""
        ...

    async def txt(self, name: str) -> list[str]:
        """Give the TXT strings at a name, [] if none or if the name service does not answer."""
        ...

    async def tlsa(self, host: str, port: int, domain: str) -> DaneFinding:
        """
        Find a host's TLSA records (RFC 7672 2.2.2, 3.2); asked only for a hop that is `secure`.

        Args:
            domain: Whose MX the host is; it may prove itself under that name too.

        Returns:
            Records only where the whole way to them is secure. Never raises.
        """
        ...


class PolicyHost(Protocol):
    """Where domains publish their MTA-STS policies."""

    async def fetch(self, domain: str) -> bytes | StsFault:
        """
        Fetch a domain's policy file (RFC 8461 3.3): authenticated, bounded in time and size, no redirects.

        Returns:
            Its octets, not yet looked at; or why they could not be had. Never raises.
        """
        ...


class TlsPolicies(Protocol):
    """The MTA-STS policies that were fetched, until they expire; shared by all functions."""

    def get(self, domain: str) -> KeptPolicy | None:
        """
        Give the policy last put for a domain, None if there is none that is valid; may lag by seconds. One read.

        Raises:
            LedgerUnavailable
        """
        ...

    def put(self, domain: str, policy: KeptPolicy) -> None:
        """Keep a policy in place of the one before. One write. Raises LedgerUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    One mail transaction to be sent to one next hop.

    Attributes:
        reverse_path: "" for null.
        recipients: By position: forward-path, NOTIFY tuple, ORCPT; all of one next hop.
        header: The header section, CRLF line ends, without the empty line that ends it.
        body: Sent after the empty line.
        tls_required, requiretls, tls_optional: See domain/envelope.py.
        deliver_by: Its deadline by the event loop's clock (RFC 2852); None: it has none.
        recorder: Is told what is said on the way, whatever comes of it; None: nobody is.
        heard: Called with what each host that was asked said or did, also where another host's word then counts.
    """

    queue_id: str
    reverse_path: str
    recipients: Mapping[int, tuple[str, tuple[str, ...], str]]
    header: bytes
    body: Body
    body_type: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    tls_required: bool = False
    recorder: Recorder | None = None
    heard: Callable[[Outcome], None] = lambda _: None
    deliver_by: DeliverBy | None = None
    requiretls: bool = False
    tls_optional: bool = False

    @property
    def insists(self) -> bool:
        """No host gets it that does not meet RFC 8689 2; what has a null reverse-path would be lost (RFC 8689 5)."""
        return self.requiretls and bool(self.reverse_path)


class Transport(Protocol):
    """Sends."""

    async def send(self, hop: NextHop, transaction: Transaction, deadline: float) -> dict[int, Outcome]:
        """
        Try each host of the hop in turn until one decides, and say what became of each recipient.

        Never raises for anything that a remote host or the network does; whatever is still open at
        `deadline` (seconds of the event loop's clock) is deferred.

        Raises:
            SpoolMissing, SpoolUnavailable: The body could not be read; nothing was transferred.
        """
        ...

    async def settle(self) -> None:
        """Finish what went on behind the answers, before the function may be frozen. Never raises."""
        ...


class Transcripts(Protocol):
    """
    What was said in attempts, a book for each invocation of `deliver` (domain/transcript.py). Kept for 14 days.

    Best effort: mail never depends on it.
    """

    def put(self, key: str, octets: bytes) -> bool:
        """Keep a book; False if that failed. Never raises. Cost: one write."""
        ...

    def get(self, key: str) -> bytes | None:
        """
        Read a book, None if it was never kept or is gone. Cost: one read.

        Raises:
            SpoolUnavailable
        """
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """
    One message for one target of an alias.

    Attributes:
        target: In normal form (domain/target.py).
        recipient: The alias's address.
        reverse_path: "" for null.
        received_at: Seconds since the epoch.
        header: The header section, CRLF line ends, without the empty line that ends it.
        body: Comes after the empty line.
        body_id: The queue id that the body lies under.
    """

    target: str
    queue_id: str
    recipient: str
    reverse_path: str
    received_at: float
    header: bytes
    body: Body
    body_id: str


class Targets(Protocol):
    """Functions, topics, queues and webhooks that aliases name."""

    async def hand_over(self, handover: Handover, deadline: float) -> Outcome:
        """
        Hand one message over to one target, once, and say what became of it (domain/target_verdict.py).

        At least once: an answer that is lost makes a second handing over, which carries the same idempotency
        key (domain.target.idempotency_key). Never raises for anything that the target, its service or the
        network does; what is still open at `deadline` (seconds of the event loop's clock) is deferred. What
        the operator's settings do not allow is deferred without being asked. Holds no more of the message in
        memory than the service takes in one piece.

        Raises:
            SpoolMissing, SpoolUnavailable: The body could not be read.
        """
        ...


class EventDestinations(Protocol):
    """Topics, buses, streams, metrics and webhooks that are told what becomes of mail."""

    def publish(self, told: Told, events: Sequence[SesEvent]) -> list[str]:
        """
        Send events to one destination, in their order, in as few requests as it allows.

        At least once: an answer that is lost makes a second sending, of the same content. Bounded in time: some ten
        seconds for one that does not answer at all. What the operator's settings do not allow is not asked.

        Returns:
            For each event why it was not taken, in words for the operator; "" if it was; with
            domain.told.UNDELIVERABLE in front if it never will be. One that is refused keeps no other back. Never
            raises for anything that the destination or the network does.
        """
        ...


class EventLog(Protocol):
    """What happened: one record for each recipient and attempt."""

    def emit(self, event: str, fields: Mapping[str, object]) -> None:
        """
        Log one record; `event` is a name of adapters/event_log.py.

        Never raises, never holds content or secrets.
        """
        ...
