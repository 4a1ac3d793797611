"""
Take a submission: check it, complete it, keep it, and only then say yes.

Every door comes here with a `Submission`, after `services/authenticate.py` said who it is. What is refused
is refused before anything is stored. Aliases, lists and the other tables join in by services/expand.py, DKIM by
services/signing.py.

Next on the message's path: services/commit.py keeps it, services/deliver.py sends it.
RFC: 5321 4.1.1 (paths), 6409 (what a submission server may mend), 5322 3.6 (what a header must have).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import ids
from paravion.domain.address import parse_path, plain_path, split_address
from paravion.domain.envelope import Arrivals, Envelope, Recipient, decode_qf
from paravion.domain.headers import make_field
from paravion.domain.message import (
    complete,
    header_recipients,
    header_sender,
    hop_count,
    read_message,
    received_field,
)
from paravion.domain.priority import priority_of
from paravion.domain.schedule import MAX_RELEASE_S
from paravion.domain.status import (
    BAD_MESSAGE,
    BAD_REQUEST,
    EXPIRED,
    IDEMPOTENCY_CONFLICT,
    NO_RECIPIENTS,
    RECIPIENT_SYNTAX,
    ROUTING_LOOP,
    SENDER_SYNTAX,
    TOO_MANY_RECIPIENTS,
    Rejected,
)
from paravion.domain.submission import Receipt, Submission
from paravion.errors import SpoolMissing
from paravion.services.arns import check_arns
from paravion.services.authorise import require_sender
from paravion.services.commit import enqueue
from paravion.services.configuration import set_of_mail
from paravion.services.content import Content
from paravion.services.control_fields import with_control_fields
from paravion.services.events import telling
from paravion.services.expand import TableSettings, apply_tables
from paravion.services.quotas import charged
from paravion.services.sender import Sender, check_sender, sender_of
from paravion.services.signing import Signer, check_alignment, hash_to_sign, signed
from paravion.services.split import commit_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paravion.domain.configuration_set import ConfigurationSet
    from paravion.domain.dkim import SigningKey
    from paravion.domain.expand import Group
    from paravion.domain.message import Message
    from paravion.ports import Counters, EventLog, Identities, Management, Records, Secrets, Tables, Uploads
    from paravion.services.commit import CommitDeps
    from paravion.services.expand import Expanded
    from paravion.services.list_management import Managed
    from paravion.settings import ValidateSettings

HOPS_MAX: Final = 100
"""Received fields of a message that loops; RFC 5321 6.3 asks for at least 100."""

_CLOCK_SKEW_S: Final = 300.0
"""A door that says what it takes has its own clock."""

_API_PROTOCOL: Final = "HTTPS"


def in_turn(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call each function when the one before it is done."""
    return [call() for call in calls]


@dataclass(frozen=True, slots=True)
class ValidateDeps:
    """
    What `validate` needs.

    Attributes:
        clock: Seconds since the epoch.
        side_by_side: Calls each function, several at once, and gives their results in order; the functions commit,
            and so call `to_commit.in_parallel`, which must not share its threads.
        entropy: Gives that many fresh random octets; asked anew for each id (a frozen random state would
            repeat itself in every function that is restored from one snapshot).
        management: Who answers what comes to our doors and is not ours; None: nobody.
    """

    settings: ValidateSettings
    to_commit: CommitDeps
    secrets: Secrets
    identities: Identities
    tables: Tables
    uploads: Uploads
    signer: Signer
    event_log: EventLog
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    records: Records = field(kw_only=True)
    counters: Counters = field(kw_only=True)
    management: Management | None = None
    side_by_side: Callable[[Sequence[Callable[[], Any]]], list[Any]] = field(kw_only=True, default=in_turn)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a submission's configuration set and its sender's identity ask for."""

    chosen: ConfigurationSet | None
    sender: Sender


def submit(submission: Submission, deps: ValidateDeps) -> Receipt:
    """
    Check, complete and keep one message.

    Returns:
        The promise; given only after the commit instant.

    Raises:
        Rejected: What is wrong with it; nothing was stored.
        Unavailable: Nothing is promised; with an idempotency key a repeat is safe.
    """
    try:
        return _submit(submission, deps)
    except Rejected as exc:
        fields = {"door": submission.door, "principal": submission.principal, "key": exc.status.key}
        deps.event_log.emit("Rejection", {**fields, "status": exc.status.enhanced, "detail": exc.detail})
        raise


def _submit(submission: Submission, deps: ValidateDeps) -> Receipt:
    content = submission.content
    limits: Any = {"max_octets": deps.settings.max_message_octets, "bare_lf": deps.settings.bare_lf}
    if isinstance(content, bytes):
        message = read_message(content, **limits)
        told = hashlib.sha256(content) if submission.idempotency_key else None
        return _accept(submission, Content(message, len(content), told), deps)
    from paravion.services.large_mail import read_pieces  # seldom needed

    told = hashlib.sha256() if submission.idempotency_key else None
    with read_pieces(content, told, deps.to_commit.spool, **limits) as read:
        return _accept(submission, read, deps)


def _accept(submission: Submission, content: Content, deps: ValidateDeps) -> Receipt:
    settings = deps.settings
    message = content.message
    if hop_count(message) > HOPS_MAX:
        raise Rejected(ROUTING_LOOP, f"more than {HOPS_MAX} Received fields")
    _check_release(submission, deps.clock())
    submission = with_control_fields(submission, message)
    given_path = reverse_path_of(submission, message)
    given, unaliased = recipients_of(submission, message, settings.max_recipients_count)
    queue_id = queue_id_of(submission, deps)
    digest = _digest(submission, content, given_path, given, unaliased)
    managed: Managed | None = None
    if submission.contact_list:
        from paravion.services import list_management  # only mail of contact lists

        managed = list_management.manage(submission, content, given, queue_id, deps)
        message, given = managed.message, managed.recipients
    table_settings = _table_settings(settings)
    keys: tuple[SigningKey, ...] = ()
    try:
        _check_deadline(submission, deps.clock())
        chosen = set_of_mail(deps.records, submission.tenant, submission.configuration_set, message.authors[0].address)
        submission = _with_set(submission, chosen)
        expanded = apply_tables(submission, message, given_path, given, deps.tables, table_settings, unaliased)
        require_sender(submission, expanded.reverse_path, expanded.message, settings)
        check_arns(submission, given_path, message, deps)
        check_sender(submission, expanded.reverse_path, expanded.message, deps)
        sender = sender_of(submission, expanded.reverse_path, expanded.message, chosen, deps)
        keys = _signing_keys(sender.mail_from or expanded.reverse_path, expanded.message, sender, deps)
        with charged(submission, given, deps) as charge:
            kept = _keep(submission, expanded, given, queue_id, digest, keys, _Asked(chosen, sender), deps)
            charge.is_due = kept is not None and not kept[2]
    except Rejected as exc:
        # What was taken once is on its way, or a part of it is, whatever the tables have come to say of it.
        kept = _kept_before(queue_id, digest, deps) if exc.status is not IDEMPOTENCY_CONFLICT else None
        if kept is None:
            raise
    else:
        kept = kept or _kept_before(queue_id, digest, deps)
        if kept is None:
            fields = {"queue_id": queue_id, "reverse_path": given_path, "recipients": len(given)}
            deps.event_log.emit("Discard", fields)
            return Receipt(queue_id, 0)
        if expanded.found.discarded:
            discarded = {"queue_id": queue_id, "reverse_path": given_path, "recipients": expanded.found.discarded}
            deps.event_log.emit("Discard", discarded)
    envelope, count, repeated = kept
    if managed is not None:
        list_management.remember(managed, submission, deps)
    receipt = Receipt(envelope.queue_id, count, repeated)
    deps.event_log.emit(
        "Reception",
        {
            "queue_id": receipt.queue_id,
            "door": submission.door,
            "principal": submission.principal,
            "reverse_path": given_path,
            "recipients": receipt.recipient_count,
            "octets": content.octets,
            "messages": 1 + len(envelope.parts),
            "signed_by": keys[0].domain if keys else "",
            "repeated": repeated,
        },
    )
    return receipt


def _check_release(submission: Submission, now: float) -> None:
    if submission.release_at > now + MAX_RELEASE_S + _CLOCK_SKEW_S:
        raise Rejected(BAD_REQUEST, f"a message is sent at most {MAX_RELEASE_S / 86_400:.0f} days later")
    if submission.deliver_by and submission.deliver_by.at <= submission.release_at:
        raise Rejected(BAD_REQUEST, "it would be sent only when the time to deliver it is over")


def _check_deadline(submission: Submission, now: float) -> None:
    if submission.deliver_by and submission.deliver_by.returns and submission.deliver_by.at <= now:
        raise Rejected(EXPIRED, "its time was over when it came")


def _keep(
    submission: Submission,
    expanded: Expanded,
    given: tuple[Recipient, ...],
    queue_id: str,
    digest: str,
    keys: tuple[SigningKey, ...],
    asked: _Asked,
    deps: ValidateDeps,
) -> tuple[Envelope, int, bool] | None:
    """Give the first envelope that is kept, how many recipients it all has, whether it was there; None: discarded."""
    settings = deps.settings
    now = deps.clock()
    chosen = asked.chosen
    message = expanded.message
    hashed_body = hash_to_sign(message.body, keys)
    first = next(expanded.batches, None) if expanded.batches else None
    if expanded.batches is None or first is None:
        return None

    told = telling(
        deps.records,
        tenant=submission.tenant,
        configuration_set=submission.configuration_set,
        author=message.authors[0].address,
        client=submission.client,
    )

    def make(
        own_id: str, group: Group, recipients: tuple[Recipient, ...], parts: tuple[tuple[str, int], ...]
    ) -> tuple[Envelope, bytes]:
        """One message: of several, each has its own trace fields and the first one's Message-ID."""
        trace = received_field(
            client=submission.client or "localhost",
            hostname=settings.hostname,
            protocol=submission.protocol or _API_PROTOCOL,
            queue_id=own_id,
            for_path=given[0].forward_path if len(given) == 1 else None,
            now=now,
        )
        if group.delivered_to:
            # What comes back with this field is a loop (services/expand.py).
            trace = make_field("Delivered-To", group.delivered_to, utf8=True) + trace
        header = complete(
            message, queue_id=queue_id, now=now, hostname=settings.hostname, trace=trace, restamp=submission.restamp
        )
        header = signed(header, hashed_body, keys, now)
        is_from_sender = group.reverse_path == expanded.reverse_path
        envelope = Envelope(
            queue_id=own_id,
            reverse_path=group.reverse_path,
            recipients=recipients,
            queued_at=now,
            body_octets=len(message.body),
            body_type="8BITMIME" if message.is_8bit or message.header_is_utf8 else "7BIT",
            # A forward-path speaks for itself at its host (domain/smtp_dialogue.py); these bind every recipient.
            smtputf8=not (header.isascii() and group.reverse_path.isascii()),
            # A list's members get a mail of their own, with nothing of the sender's wishes (RFC 3461 5.2.7.1).
            ret=submission.ret if is_from_sender else "",
            envid=submission.envid if is_from_sender else "",
            submitter=submission.principal,
            tenant=submission.tenant,
            door=submission.door,
            configuration_set=submission.configuration_set,
            tags=submission.tags,
            digest=digest,
            tls_required=submission.tls_required,
            requiretls=submission.requiretls,
            tls_optional=not submission.tls_required and _does_without_tls(message),
            max_delivery_s=chosen.max_delivery_s if chosen else 0.0,
            suppressed_reasons=chosen.suppressed_reasons if chosen else None,
            # A list's members hear of its owner, whose domain this is not.
            mail_from=asked.sender.mail_from if is_from_sender else "",
            reports=asked.sender.reports or not is_from_sender,
            body_id="" if own_id == queue_id else queue_id,
            parts=parts,
            release_at=submission.release_at if submission.release_at > now else 0.0,
            priority=submission.priority or priority_of(message),
            # A mailing list has the mail in time, and what it makes of it has no deadline (RFC 2852).
            deliver_by=submission.deliver_by if is_from_sender else None,
            quarantine=expanded.found.quarantine or group.quarantine,
            arrivals=_arrivals(expanded, submission.envid) if own_id == queue_id else None,
            telling=told,
        )
        return envelope, header

    batches = chain((first,), expanded.batches)
    envelope, count, repeated = commit_all(queue_id, batches, make, message.body, deps.to_commit)
    # A repeat may have come to others by now: those who get the mail are the first time's.
    return envelope, _recipient_count(envelope, deps) if repeated else count, repeated


def _kept_before(queue_id: str, digest: str, deps: ValidateDeps) -> tuple[Envelope, int, bool] | None:
    """Find the same submission of an earlier call, and enqueue it again; None without one, or without a key."""
    if not digest:
        return None
    try:
        envelope, _ = decode_qf(deps.to_commit.spool.get_envelope(queue_id))
    except SpoolMissing:
        return None
    if envelope.digest != digest:
        return None
    enqueue(envelope, deps.to_commit)
    return envelope, _recipient_count(envelope, deps), True


def _recipient_count(envelope: Envelope, deps: ValidateDeps) -> int:
    """Count the recipients of a submission that is kept; one read for each further message."""
    others = (decode_qf(deps.to_commit.spool.get_envelope(queue_id))[0] for queue_id, _ in envelope.parts)
    return len(envelope.recipients) + sum(len(other.recipients) for other in others)


def _arrivals(expanded: Expanded, envid: str) -> Arrivals | None:
    """What the sender is told of when it all has been expanded; nobody answers a null reverse-path."""
    lists, aliases = tuple(expanded.found.lists), tuple(expanded.found.aliases)
    if not expanded.reverse_path or not (lists or aliases):
        return None
    return Arrivals(expanded.reverse_path, envid, lists, aliases)


def _does_without_tls(message: Message) -> bool:
    """RFC 8689 3: the field has one word, `No`; anything else says nothing."""
    return any(value.strip(b" \t").lower() == b"no" for value in message.values(b"TLS-Required"))


def _with_set(submission: Submission, chosen: ConfigurationSet | None) -> Submission:
    """What the configuration set asks for is as if the caller had asked for it."""
    if chosen is None:
        return submission
    return replace(
        submission,
        configuration_set=chosen.name,
        tls_required=submission.tls_required or chosen.tls_required,
        restamp=submission.restamp and not chosen.keeps_message_id,
        priority=submission.priority or chosen.priority,
    )


def reverse_path_of(submission: Submission, message: Message) -> str:
    """Give the reverse-path in normal form, "" for the null one. Raises Rejected: sender_syntax."""
    path = submission.reverse_path
    if path is None:
        path = header_sender(message)
    if path == "":
        return ""
    try:
        return parse_path(path, smtputf8=True)
    except ValueError as exc:
        raise Rejected(SENDER_SYNTAX, str(exc)) from exc


def recipients_of(
    submission: Submission, message: Message, limit: int
) -> tuple[tuple[Recipient, ...], frozenset[str]]:  # fmt: skip
    """
    Normalise, each forward-path once: of those that differ only in their parameters the first counts.

    Returns:
        Them, and those that stand behind a backslash.

    Raises:
        Rejected: recipient_syntax, no_recipients, too_many_recipients.
    """
    unaliased: set[str] = set()
    given: Iterable[Recipient] = submission.recipients
    if submission.recipients_from_header:
        given = (*given, *(Recipient(address) for address in header_recipients(message)))
    found: dict[str, Recipient] = {}
    for recipient in given:
        bare = recipient.forward_path.removeprefix("\\")
        try:
            path = parse_path(bare, smtputf8=True)
        except ValueError as exc:
            raise Rejected(RECIPIENT_SYNTAX, str(exc)) from exc
        mailbox = plain_path(path)
        if bare != recipient.forward_path and mailbox not in found:
            unaliased.add(path)
        if mailbox not in found:
            found[mailbox] = recipient if recipient.forward_path == path else replace(recipient, forward_path=path)
    if not found:
        raise Rejected(NO_RECIPIENTS)
    if len(found) > limit:
        raise Rejected(TOO_MANY_RECIPIENTS, f"{len(found)} recipients; at most {limit} are taken")
    return tuple(found.values()), frozenset(unaliased)


def _signing_keys(reverse_path: str, message: Message, sender: Sender, deps: ValidateDeps) -> tuple[SigningKey, ...]:
    """Give the keys of the first author's domain, once every author's domain passed the alignment check."""
    domains = []
    for mailbox in message.authors:
        try:
            domains.append(split_address(parse_path(mailbox.address, smtputf8=True))[1].lower())
        except ValueError as exc:
            raise Rejected(BAD_MESSAGE, f"From: {exc}") from exc
    keys = deps.signer.keys_for(domains[0]) if sender.signing_enabled else ()
    settings = deps.settings
    return_domain = split_address(reverse_path)[1].lower() if reverse_path else settings.hostname
    check_alignment(domains, return_domain, keys, settings.alignment_check, deps.event_log)
    return keys


def _table_settings(settings: ValidateSettings) -> TableSettings:
    return TableSettings(
        settings.local_domains or (settings.hostname,),
        settings.max_expansion_count,
        settings.masquerade_as,
        settings.masquerade_exposed,
    )


def queue_id_of(submission: Submission, deps: ValidateDeps) -> str:
    """Give a submission its queue id: drawn, or the one that follows from its idempotency key."""
    if submission.idempotency_key:
        return ids.queue_id_from(f"{submission.principal}\0{submission.idempotency_key}".encode())
    return ids.random_queue_id(deps.entropy(16))


def _digest(
    submission: Submission,
    content: Content,
    reverse_path: str,
    recipients: Iterable[Recipient],
    unaliased: frozenset[str],
) -> str:
    """Tell a repeat from another message under the same key: everything that the caller decided."""
    if content.told is None:
        return ""
    told = content.told.copy()
    for part in (reverse_path, *map(repr, recipients), submission.ret, submission.envid, repr(submission.tags)):
        told.update(b"\0" + part.encode())
    if submission.configuration_set:
        told.update(b"\0set " + submission.configuration_set.encode())
    if not submission.aliasing:
        told.update(b"\0-n")
    for path in sorted(unaliased):
        told.update(b"\0\\" + path.encode())
    if submission.tls_required:
        told.update(b"\0requiretls" if submission.requiretls else b"\0tls")
    if submission.source_arn or submission.from_arn or submission.return_path_arn:
        told.update(f"\0arns {submission.source_arn} {submission.from_arn} {submission.return_path_arn}".encode())
    for wish in _wishes(submission):
        told.update(b"\0" + wish.encode())
    if submission.contact_list:
        told.update(f"\0list {submission.contact_list} {submission.topic}".encode())
    return told.hexdigest()


def _wishes(submission: Submission) -> list[str]:
    """What the caller said of when it is to be sent and tried."""
    said = {"at": submission.release_at, "priority": submission.priority, "by": submission.deliver_by}
    return [f"{word} {value}" for word, value in said.items() if value]
