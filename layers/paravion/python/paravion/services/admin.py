"""
What `admin` answers: where a message stands, what waits in the queue, and which identities may send.

Reads of messages and of the queue show a credential its own messages; an operator's credential sees all. A
message that somebody else submitted is not found, as one that never was. Instants are seconds since the epoch.

Next: services/validate.py, which asks whether an identity may send; the job's states are domain/queue.py's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import ids, lost, queue
from paravion.domain.address import parse_path, plain_path, shown
from paravion.domain.classification import cause_of
from paravion.domain.envelope import decode_qf
from paravion.domain.identity import KIND as IDENTITY_SETTINGS
from paravion.domain.priority import Priority
from paravion.domain.queue import State
from paravion.domain.schedule import given_up_at, lifetimes
from paravion.domain.status import ALREADY_EXISTS, BAD_REQUEST, NOT_FOUND, Rejected
from paravion.domain.tenant import record_kind
from paravion.errors import SpoolMissing
from paravion.ports import Identity
from paravion.services import confirmation, identity_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from paravion.domain.configuration_set import EventDestination
    from paravion.domain.envelope import Envelope, Recipient
    from paravion.domain.next_hop import NextHop
    from paravion.domain.outcome import Outcome
    from paravion.domain.queue import JobRecord, LogEntry, RecipientState
    from paravion.ports import (
        Counters,
        EventLog,
        Hosts,
        Identities,
        Ledger,
        Parked,
        Queues,
        Records,
        Secrets,
        Spool,
        Suppression,
        Tables,
        Transcripts,
        Uploads,
    )
    from paravion.services.authenticate import Principal
    from paravion.services.commit import CommitDeps
    from paravion.settings import AdminSettings

QUEUED: Final = "queued"
"""State of a job or a recipient that no attempt has touched."""

TXT_LABEL: Final = "_paravion"
"""Where a domain's owner shows the token."""

_ORDER: Final = (State.HELD, State.CLAIMED, State.TRIED, State.READY, State.DEFERRED, QUEUED, State.DONE, State.REMOVED)
"""A message is in the first of these states that a job of it is in."""

_OPERATORS: Final = frozenset({"hold", "release", "removal", "flush", "requeue", "cancel", "redrive", "drop"})
"""Events whose text says who did it and why: an operator's business."""


@dataclass(frozen=True, slots=True)
class AdminDeps:
    """
    What `admin` needs.

    Attributes:
        next_hop: Where a domain's mail goes by DNS, as ports.Resolver has it.
        resolver_txt: TXT strings at a name, [] if none or if the name service does not answer.
        clock: Seconds since the epoch.
        new_token: An unguessable text of letters and digits, anew at each call.
        new_private_key: A private key for a DKIM algorithm, anew at each call.
        transcripts: Where what was said in attempts is kept; None: nowhere.
        new_queues: Gives the event queue, which is seldom needed; None: events are published by nobody.
        destination_problem: Why events must not go to a destination, "" if they may; the operator's settings.
        to_commit: Where mail of our own is kept, and the queues that operators' acts send to; None: none is sent.
        new_parked: Gives the parked queue, which is seldom looked at; None: there is none.
        has_statistics: Whether it is counted what becomes of mail.
        settings_given: Settings that are not as they are by default, as text by name; an export tells them.
    """

    settings: AdminSettings
    spool: Spool
    ledger: Ledger
    secrets: Secrets
    identities: Identities
    tables: Tables
    hosts: Hosts
    suppression: Suppression
    uploads: Uploads
    next_hop: Callable[[str], NextHop | Outcome]
    resolver_txt: Callable[[str], list[str]]
    event_log: EventLog
    clock: Callable[[], float]
    new_token: Callable[[], str]
    new_private_key: Callable[[str], bytes]
    transcripts: Transcripts | None = None
    records: Records = field(kw_only=True)
    counters: Counters = field(kw_only=True)
    has_statistics: bool = field(default=False, kw_only=True)
    new_queues: Callable[[], Queues] | None = field(default=None, kw_only=True)
    destination_problem: Callable[[EventDestination], str] = field(default=lambda _: "", kw_only=True)
    settings_given: Mapping[str, str] = field(default_factory=dict)
    to_commit: CommitDeps | None = None
    new_parked: Callable[[], Parked] | None = field(default=None, kw_only=True)


def show_message(queue_id: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Tell where a message stands, recipient by recipient, and how it came there.

    Raises:
        Rejected: not_found: none of that id, or somebody else's.
        Unavailable
    """
    is_lost = False
    try:
        envelope, header = find_envelope(queue_id, principal, deps)
        records = deps.ledger.load_message(queue_id)
    except Rejected:
        records = deps.ledger.load_message(queue_id) if principal.is_operator and ids.is_queue_id(queue_id) else []
        if not records:
            raise
        envelope, header, is_lost = lost.envelope_of(records), b"", True
    states = {position: state for record in records for position, state in record.recipients.items()}
    removals = _removals(envelope, records)
    waiting = [record for record in records if record.state in {State.DEFERRED, State.READY}]
    due = [at for at in map(queue.comes_at, waiting) if at]
    deadline = envelope.deliver_by
    return {
        "queue_id": envelope.queue_id,
        "state": _message_state(envelope, records),
        "reverse_path": envelope.reverse_path,
        "kind": envelope.kind,
        "door": envelope.door,
        "queued_at": envelope.queued_at,
        # The empty line between header and body counts with them.
        "octets": 0 if is_lost else len(header) + 2 + envelope.body_octets,
        "is_lost": is_lost,
        "recipients": [
            # What an alias hands mail to is the operator's affair.
            _recipient(recipient, states.get(position), principal)
            | _removal(removals.get(position), states.get(position), principal)
            | ({"target": recipient.target} if recipient.target and principal.is_operator else {})
            for position, recipient in enumerate(envelope.recipients)
        ],
        "held": next((record.quarantine for record in records if record.quarantine and principal.is_operator), ""),
        "timeline": _timeline(envelope, records, principal),
        "notices_owed": [
            {"kind": notice.kind.value, "attempt": min(notice.attempt, record.attempts), "chunk": record.key.chunk}
            for record in records
            for notice in record.owed
        ],
        "due_at": min(due, default=None),
        "priority": envelope.urgency or Priority.NORMAL.value,
        **_deadline(deadline.at if deadline else 0.0, returns=bool(deadline and deadline.returns)),
    }


def find_envelope(queue_id: str, principal: Principal, deps: AdminDeps) -> tuple[Envelope, bytes]:
    """
    Give the envelope and header of a message that the principal may see.

    Raises:
        Rejected: not_found: none of that id, or somebody else's.
        Unavailable
    """
    if not ids.is_queue_id(queue_id):
        raise Rejected(NOT_FOUND, "no such message")
    try:
        envelope, header = decode_qf(deps.spool.get_envelope(queue_id))
    except SpoolMissing as exc:
        raise Rejected(NOT_FOUND, "no such message") from exc
    if not _may_see(envelope, principal):
        raise Rejected(NOT_FOUND, "no such message")
    return envelope, header


def each_part(queue_id: str, principal: Principal, deps: AdminDeps) -> Iterator[tuple[Envelope, bytes]]:
    """
    Give envelope and header of a message, and of those that its expansion made besides (services/split.py).

    What the spool no longer has of these is passed over; one read each, when it is asked for.

    Raises:
        Rejected, Unavailable: As `find_envelope`, at the first.
    """
    first, header = find_envelope(queue_id, principal, deps)
    yield first, header
    for part_id, _ in first.parts:
        with suppress(SpoolMissing):
            yield decode_qf(deps.spool.get_envelope(part_id))


def ends_at(record: JobRecord, deps: AdminDeps) -> float:
    """Say when an open job will be given up, seconds since the epoch."""
    return_s = deps.settings.queue_return_s
    return given_up_at(record, return_s, lifetimes(return_s, deps.settings.queue_return_by_priority))


def show_queue(limit: int, principal: Principal, deps: AdminDeps, *, held_only: bool = False) -> dict[str, Any]:
    """
    List jobs that wait for their next attempt, soonest first, of the `limit` (>= 1) that the ledger gives.

    Those that are held come behind them, or alone with `held_only`.
    A credential that is no operator's sees its own among them, at the cost of one read each.

    Raises:
        Unavailable
    """
    found = [] if held_only else deps.ledger.waiting(limit)
    held = deps.ledger.waiting(limit - len(found), held=True) if len(found) < limit else []
    # One that was held between the two reads is shown once.
    seen_held = {record.key for record in held}
    waiting = [r for r in found if r.state in {State.DEFERRED, State.READY} and r.key not in seen_held]
    waiting += held
    if principal.is_operator:
        return {"jobs": [_job(record, principal) for record in waiting]}
    ours: dict[str, Envelope | None] = {}
    for record in waiting:
        queue_id = record.key.queue_id
        if queue_id not in ours:
            ours[queue_id] = _visible(queue_id, principal, deps)
    seen = [(record, ours[record.key.queue_id]) for record in waiting]
    return {"jobs": [_job(record, principal, envelope) for record, envelope in seen if envelope is not None]}


def create_identity(name: str, deps: AdminDeps, *, tenant: str = "", base_url: str = "") -> Identity:
    """
    Make an identity of a domain or an address, in any case; a domain gets DKIM keys, an address a mail with a link.

    What another tenant made and never proved is no obstacle, where proof is asked for.

    Args:
        base_url: Of the API, for the link (services/confirmation.py).

    Raises:
        Rejected: already_exists; bad_request: no domain or address.
        Unavailable
    """
    name = identity_name(name)
    existing = deps.identities.get(name)
    if existing is not None:
        if existing.tenant == tenant:
            raise Rejected(ALREADY_EXISTS, f"identity {name} exists already")
        give_way(existing, deps)
    # Stored as proved only by proof, also where none is asked for (`may_send`): the setting may be tightened.
    identity = Identity(name, verified=False, token=deps.new_token(), created_at=deps.clock(), tenant=tenant)
    if not is_address(name):
        # Keys first: a crash leaves keys that the repetition finds, not an identity without.
        identity_keys.make(name, deps)
    if not deps.identities.put(identity, new=True):
        raise Rejected(ALREADY_EXISTS, f"identity {name} exists already")
    deps.event_log.emit("IdentityCreated", {"identity": name})
    if is_address(name) and deps.settings.identity_check == "verified":
        # crash here = an identity that waits for a mail that never comes: asking for it again sends one
        confirmation.send(identity, base_url, deps)
    return identity


def give_way(existing: Identity, deps: AdminDeps) -> None:
    """
    Remove what another tenant made and never proved, where proof is asked for, so that it is no obstacle.

    Raises:
        Rejected: already_exists: it is proved, or needs no proof.
        LedgerUnavailable, SecretsUnavailable
    """
    if existing.verified or deps.settings.identity_check != "verified":
        raise Rejected(ALREADY_EXISTS, f"identity {existing.name} exists already")
    _remove(existing, deps)


def ensure_identity(name: str, deps: AdminDeps, *, tenant: str = "", base_url: str = "") -> tuple[Identity, bool]:
    """
    Make an identity, or give the one that there is; an address that is not proved gets another mail.

    Returns:
        It, and whether it is new.

    Raises:
        Rejected, Unavailable: As `create_identity`; already_exists only of another tenant's.
    """
    existing = deps.identities.get(identity_name(name))
    if existing is not None and existing.tenant == tenant:
        if not is_address(existing.name):
            identity_keys.make(existing.name, deps)
        elif not existing.verified and deps.settings.identity_check == "verified":
            existing = replace(existing, token=deps.new_token(), created_at=deps.clock())
            deps.identities.put(existing)
            confirmation.send(existing, base_url, deps)
        return existing, False
    try:
        return create_identity(name, deps, tenant=tenant, base_url=base_url), True
    except Rejected as exc:
        if exc.status is not ALREADY_EXISTS:
            raise
        found = deps.identities.get(identity_name(name))
        if found is None or found.tenant != tenant:
            raise
        return find_identity(name, deps, tenant=tenant), False


def find_identity(name: str, deps: AdminDeps, *, tenant: str = "") -> Identity:
    """
    Give a tenant's identity; a domain that is not verified is checked in the DNS now.

    Raises:
        Rejected: not_found.
        LedgerUnavailable
    """
    identity = stored_identity(name, deps, tenant=tenant)
    name = identity.name
    if identity.verified or is_address(name) or identity.token not in deps.resolver_txt(txt_name(name)):
        return identity
    identity = replace(identity, verified=True)
    deps.identities.put(identity)
    deps.event_log.emit("IdentityVerified", {"identity": name})
    return identity


def stored_identity(name: str, deps: AdminDeps, *, tenant: str = "") -> Identity:
    """Give a tenant's identity as it is stored. Raises Rejected (not_found, bad_request), LedgerUnavailable."""
    name = identity_name(name)
    identity = deps.identities.get(name)
    if identity is None or identity.tenant != tenant:
        raise Rejected(NOT_FOUND, f"identity {name} does not exist")
    return identity


def list_identities(limit: int, after: str, deps: AdminDeps, *, tenant: str | None = "") -> tuple[list[Identity], str]:
    """
    Give one page of a tenant's identities in order of name.

    The page has at most `limit` (>= 1) and begins behind the name `after` ("": at the first).

    Args:
        tenant: None for all tenants'.

    Returns:
        The page, and the name to go on after, "" when there is no more.
    """
    page: list[Identity] = []
    while True:
        found = deps.identities.all(limit + 1, after)
        page += [identity for identity in found if tenant is None or identity.tenant == tenant]
        if len(found) <= limit or len(page) > limit:
            break
        after = found[-1].name
    return page[:limit], page[limit - 1].name if len(page) > limit else ""


def delete_identity(name: str, deps: AdminDeps, *, tenant: str = "") -> None:
    """
    Remove an identity, its keys and its settings.

    Raises:
        Rejected: not_found.
        LedgerUnavailable, SecretsUnavailable
    """
    identity = stored_identity(name, deps, tenant=tenant)
    _remove(identity, deps)
    deps.event_log.emit("IdentityDeleted", {"identity": identity.name})


def _remove(identity: Identity, deps: AdminDeps) -> None:
    if not is_address(identity.name):
        # Keys first: what a crash leaves can be deleted again.
        identity_keys.delete(identity.name, deps)
    deps.records.delete(record_kind(identity.tenant, IDENTITY_SETTINGS), identity.name)
    deps.identities.delete(identity.name)


def rotate_identity(
    name: str, *, force: bool, deps: AdminDeps, tenant: str = ""
) -> tuple[Identity, identity_keys.Keys]:
    """
    Take the next step of rotating an identity's keys; services/identity_keys.py has the steps.

    Raises:
        Rejected: not_found; bad_request: an address, or nothing to force.
        LedgerUnavailable, SecretsUnavailable
    """
    identity = stored_identity(name, deps, tenant=tenant)
    if is_address(identity.name):
        raise Rejected(BAD_REQUEST, f"{identity.name} has no keys of its own: its domain's sign for it")
    return identity, identity_keys.rotate(identity.name, deps, force=force)


def identity_name(name: str) -> str:
    """
    Give an identity's name as it is stored: lower case, its domain in A-labels.

    Raises:
        Rejected: bad_request: neither a domain nor an address.
    """
    try:
        path = plain_path(parse_path(name if "@" in name else f"postmaster@{name}")).lower()
    except ValueError as exc:
        raise Rejected(BAD_REQUEST, f"identity {shown(name)}: {shown(str(exc), 200)}") from exc
    domain = path.rpartition("@")[2]
    if domain.startswith("[") or "." not in domain:
        raise Rejected(BAD_REQUEST, f"identity {shown(name)}: not a domain below a top-level one")
    return path if "@" in name else domain


def is_address(name: str) -> bool:
    """Say whether an identity is an address, not a domain."""
    return "@" in name


def txt_name(domain: str) -> str:
    """Give the name of the TXT record that proves a domain."""
    return f"{TXT_LABEL}.{domain}"


def may_send(identity: Identity, deps: AdminDeps) -> bool:
    """Say whether mail from the identity is taken now: it is proved, or no proof is asked for."""
    return identity.verified or deps.settings.identity_check != "verified"


def _may_see(envelope: Envelope, principal: Principal) -> bool:
    return principal.is_operator or envelope.submitter == principal.access_key


def _visible(queue_id: str, principal: Principal, deps: AdminDeps) -> Envelope | None:
    try:
        envelope, _ = decode_qf(deps.spool.get_envelope(queue_id))
    except SpoolMissing:
        return None
    return envelope if _may_see(envelope, principal) else None


def _message_state(envelope: Envelope, records: Iterable[JobRecord]) -> str:
    states: dict[int, str] = dict.fromkeys(range(envelope.chunk_count), QUEUED)
    states |= {record.key.chunk: record.state.value for record in records}
    return next(str(state) for state in _ORDER if state in states.values())


def is_masked(recipient: Recipient, principal: Principal) -> bool:
    """
    Say whether who is behind an alias or list is kept from a principal: members are the operator's affair.

    He sees the address that he sent to, and what became of it, without the hosts' words, which quote addresses.
    """
    return bool(recipient.origin) and not principal.is_operator


def shown_path(recipient: Recipient, principal: Principal) -> str:
    """Give the address by which a principal knows a recipient (`is_masked`)."""
    return recipient.origin if is_masked(recipient, principal) else recipient.forward_path


def _recipient(recipient: Recipient, state: RecipientState | None, principal: Principal) -> dict[str, Any]:
    forward_path = shown_path(recipient, principal)
    if state is None:
        return {
            "forward_path": forward_path,
            "state": QUEUED,
            "status": "",
            "code": 0,
            "text": "",
            "command": "",
            "mx_host": "",
            "tls": "",
            "tls_facts": None,
            "cause": "",
            "attempts": 0,
            "at": None,
        }
    outcome = state.outcome
    cause = cause_of(outcome)
    if is_masked(recipient, principal):
        outcome = replace(outcome, text="", mx_host="")
    return {
        "forward_path": forward_path,
        "state": outcome.result.value,
        "status": outcome.status,
        "code": outcome.code,
        "text": outcome.text,
        "command": outcome.command,
        "mx_host": outcome.mx_host,
        "tls": outcome.tls,
        "tls_facts": asdict(outcome.tls_facts) if outcome.tls_facts.policy else None,
        "cause": cause.value if cause is not None else "",
        "attempts": state.attempt,
        "at": state.at,
    }


def _removals(envelope: Envelope, records: Iterable[JobRecord]) -> dict[int, LogEntry]:
    """Give the line of the history that ended them, by position, of those whose job was removed."""
    removed = [record for record in records if record.state is State.REMOVED]
    lines = {record.key.chunk: queue.removal_of(record) for record in removed}
    return {position: line for chunk, line in lines.items() if line for position in envelope.chunk(chunk)}


def _removal(line: LogEntry | None, state: RecipientState | None, principal: Principal) -> dict[str, Any]:
    """Tell what ended a recipient whom no attempt did: by whom is an operator's business, unless he did it himself."""
    if line is None or (state is not None and state.is_final):
        return {"removal": None}
    is_his = queue.is_said_by(line.text, principal.access_key)
    told = line.text if principal.is_operator or is_his else ""
    return {"state": State.REMOVED.value, "removal": {"at": line.at, "text": told}}


def _timeline(envelope: Envelope, records: Iterable[JobRecord], principal: Principal) -> list[dict[str, Any]]:
    lines: list[tuple[float, str, int, tuple[int, ...], str, str]] = [(envelope.queued_at, QUEUED, 0, (), "", "")]
    lines += [
        (entry.at, entry.event, entry.attempt, entry.recipients, entry.text, entry.transcript)
        for record in records
        for entry in record.log
    ]  # fmt: skip
    paths = [shown_path(recipient, principal) for recipient in envelope.recipients]
    masked = {n for n, recipient in enumerate(envelope.recipients) if is_masked(recipient, principal)}
    return [
        {
            "at": at,
            "event": event,
            "attempt": attempt,
            "recipients": list(dict.fromkeys(paths[position] for position in positions if position < len(paths))),
            "text": text
            if principal.is_operator
            or (event in _OPERATORS and queue.is_said_by(text, principal.access_key))
            or not (event in _OPERATORS or masked.intersection(positions))
            else "",
            "transcript": transcript or None,
        }
        for at, event, attempt, positions, text, transcript in sorted(lines, key=lambda line: line[0])
    ]


def _deadline(at: float, *, returns: bool) -> dict[str, Any]:
    """Tell of a deadline (RFC 2852) as POST /v1/messages takes it; `at` is 0 for none."""
    return {"deliver_by": at or None, "deliver_by_mode": ("return" if returns else "notify") if at else ""}


def _job(record: JobRecord, principal: Principal, envelope: Envelope | None = None) -> dict[str, Any]:
    """Give one job's line; the envelope says who is masked, and an operator needs none."""
    shown = {
        position: _recipient(envelope.recipients[position], state, principal)
        for position, state in record.recipients.items()
        if envelope is not None and position < len(envelope.recipients)
    }
    return {
        "queue_id": record.key.queue_id,
        "chunk": record.key.chunk,
        "state": record.state.value,
        "reverse_path": record.reverse_path,
        "held": record.quarantine if principal.is_operator else "",
        "attempts": record.attempts,
        "queued_at": record.queued_at,
        "due_at": queue.comes_at(record),
        "priority": record.priority or Priority.NORMAL.value,
        **_deadline(record.deliver_by_at, returns=record.returns_by),
        "recipients": [
            {
                "forward_path": shown[n]["forward_path"] if n in shown else state.forward_path,
                "state": state.outcome.result.value,
                "text": shown[n]["text"] if n in shown else state.outcome.text,
            }
            for n, state in sorted(record.recipients.items())
        ],
    }
