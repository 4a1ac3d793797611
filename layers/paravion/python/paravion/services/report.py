"""
Build the report that a notice asks for, and keep it: whom it speaks of, whom it goes to, what comes back with it.

Whom a failure is reported to is services/bounce.py's table. A report says how it was made from values alone, so that
a repeat after a crash is one message.

Next on the message's path: services/commit.py.
RFC: 3461 6 (who is told what), 3834 2 (who is told nothing of delays), 8689 5 (mail that must not travel in clear).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from paravion.domain import lost, queue
from paravion.domain.dsn import Report, build_dsn, language_of
from paravion.domain.envelope import Arrivals, Envelope, Recipient, decode_qf
from paravion.domain.ids import queue_id_from
from paravion.domain.outcome import HOLD, Outcome, Result
from paravion.domain.queue import NoticeKind, RecipientState, State
from paravion.domain.schedule import LIFETIME_S, given_up_at
from paravion.domain.status import ATTEMPT_BROKE_OFF, HELD_HERE, Rejected
from paravion.errors import LedgerUnavailable, SpoolMissing
from paravion.services.commit import commit, enqueue
from paravion.services.signing import hash_to_sign, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paravion.domain.queue import JobRecord, Notice
    from paravion.services.bounce import BounceDeps

    Members = tuple[tuple[Recipient, RecipientState], ...]

RETURN_CONTENT_OCTETS: Final = 50_000
"""A larger original is returned as headers only (Postfix's bounce_size_limit has the same value)."""

EXPANDING: Final = frozenset({"aliases", "virtusertable"})
"""Tables by which an addressee may be somebody else."""

FAILURES: Final = frozenset({NoticeKind.FAILED, NoticeKind.EXPIRED, NoticeKind.RETURNED})

_VARIANTS: Final = 3

_PROGRAM: Final = re.compile(
    r"owner-.*|.*-(?:request|owner|bounces?|relay)(?:[+=].*)?|.*-return-\d.*"
    r"|bounces(?:[+=_-].*)?|bounce(?:[+=].*|[_-].*[\d=].*)?"
    r"|(?:.*[._-])?(?:no|do[-_]?not)[-_]?reply(?:[+=._-].*)?|mailer-daemon",
    re.IGNORECASE,
)
"""
Local parts behind which a program reads: of lists, with the recipient in it (VERP) or without, and of nobody.

A name is somebody's: of `bounce`, which is one, nothing follows but what no name has.
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """
    What a report is about.

    Attributes:
        envelope: Of the original, or of what its sender may know of it.
        header: The original's.
        to: The addressee; "" for nobody.
        kind: Of the report's own envelope.
    """

    notice: Notice
    envelope: Envelope
    header: bytes
    to: str
    kind: str


def subject_of(record: JobRecord, notice: Notice, deps: BounceDeps) -> tuple[Subject, Members]:
    """
    Read what a notice is about, and give those of the job that it speaks of.

    Raises:
        Unavailable
    """
    try:
        envelope, header = decode_qf(deps.to_commit.spool.get_envelope(record.key.queue_id))
    except SpoolMissing:
        return _of_lost(record, notice, deps)
    found = members_of(record, notice, envelope)
    if notice.kind in queue.ARRIVALS and envelope.arrivals:
        # The list's members are nobody's business: the report speaks of a message to those that were named.
        recipients = tuple(recipient for recipient, _ in found)
        to, kind = envelope.arrivals.sender, "dsn"
        envelope = replace(envelope, envid=envelope.arrivals.envid, recipients=recipients)
    else:
        to, kind = _addressee(envelope, notice, deps.postmaster)
    return Subject(notice, envelope, header, to, kind), found


def _of_lost(record: JobRecord, notice: Notice, deps: BounceDeps) -> tuple[Subject, Members]:
    """Give the same of a message whose envelope is gone: of this job alone, for nobody knows the others."""
    envelope = lost.envelope_of([record])
    found = () if notice.kind in queue.ARRIVALS else members_of(record, notice, envelope)
    envelope = replace(envelope, recipients=tuple(recipient for recipient, _ in found))
    to, kind = _addressee(envelope, notice, deps.postmaster)
    return Subject(notice, envelope, b"", to, kind), found


def members_of(record: JobRecord, notice: Notice, envelope: Envelope) -> Members:
    """Give those of one job that a notice speaks of."""
    if notice.kind in queue.ARRIVALS:
        told = envelope.arrivals or Arrivals("")
        arrived = Outcome(Result.DELIVERED, "2.0.0", command="LOCAL")
        return tuple(
            (recipient, RecipientState(recipient.forward_path, arrived, envelope.queued_at, notice.attempt))
            for recipient in (told.lists if notice.kind is NoticeKind.LISTED else told.aliases)
        )
    notify = {n: recipient.notify for n, recipient in envelope.chunk(record.key.chunk).items()}
    asked = envelope.deliver_by is not None and not envelope.deliver_by.returns
    is_program = _PROGRAM.fullmatch(envelope.reverse_path.rpartition("@")[0])
    if notice.kind is NoticeKind.DELAYED and is_program and not asked:
        # A warning is for somebody who reads it: a program hears of delays only where it asked, by NOTIFY or by BY
        # (RFC 3834 2, 2852).
        notify = {n: wishes or ("FAILURE",) for n, wishes in notify.items()}
    states = queue.members(record, notice, notify)
    if notice.kind is NoticeKind.DELAYED and not record.is_closed:
        states |= _untried(record, envelope, notify)
    return tuple((envelope.recipients[n], state) for n, state in sorted(states.items()))


def _untried(record: JobRecord, envelope: Envelope, notify: Mapping[int, tuple[str, ...]]) -> dict[int, RecipientState]:
    """
    Those are late too of whom no attempt has said anything, for each broke off on our side or none was made.

    Why mail is held is not for its sender.
    """
    is_held = record.state is State.HELD
    row = HELD_HERE if is_held else ATTEMPT_BROKE_OFF
    waits = Outcome(Result.DEFERRED, row.enhanced, text=row.text, command=HOLD if is_held else "LOCAL")
    at = record.log[-1].at if record.log else record.queued_at
    return {
        n: RecipientState(recipient.forward_path, waits, at, record.attempts)
        for n, recipient in envelope.chunk(record.key.chunk).items()
        if n not in record.recipients and queue.wants_delay_notice(notify[n])
    }


def _addressee(envelope: Envelope, notice: Notice, postmaster: str) -> tuple[str, str]:
    """Give whom to tell ("" for nobody) and the kind of the report; the module's table."""
    if envelope.kind == "mail" and envelope.reverse_path:
        return envelope.reverse_path, "dsn"
    if envelope.kind == "double-bounce" or notice.kind not in FAILURES:
        return "", ""
    return postmaster, "double-bounce"


def send_report(seed: str, about: Subject, members: Members, return_at: float, deps: BounceDeps) -> str:
    """
    Put a report on the road and give its queue id, which follows from `seed`.

    Args:
        seed: Names the notice or notices that are told.
        members: At least one.
        return_at: See domain/dsn.py.

    Raises:
        Unavailable: Nothing is promised; a repeat is safe.
    """
    for variant in range(_VARIANTS):
        report_id = queue_id_from(f"{seed}\0{variant}".encode())
        header, body = build(report_id, about, members, return_at, deps)
        try:
            keep(report_id, about, header, body, max(state.at for _, state in members), deps)
        except Rejected:
            # A crash between the body and the envelope left a body that this one differs from (a delay
            # report tells of the latest reply): nothing was promised under that id, take the next.
            if _is_kept(report_id, deps):
                return report_id
            continue
        return report_id
    raise LedgerUnavailable(f"no free queue id for the report on {about.envelope.queue_id}")


def build(report_id: str, about: Subject, members: Members, return_at: float, deps: BounceDeps) -> tuple[bytes, bytes]:
    """Give header and body of the report. Raises: Unavailable."""
    envelope = about.envelope
    body, cut = _original_body(about, deps)
    return build_dsn(
        Report(
            queue_id=report_id,
            hostname=deps.hostname,
            # Dated by what it reports, so that a repeat after a crash builds the same octets.
            now=max(state.at for _, state in members),
            to=about.to,
            kind=_told_as(about.notice.kind, members),
            envelope=envelope,
            members=members,
            original_header=about.header,
            original_body=body,
            return_at=return_at,
            is_cut=cut,
            language=language_of(about.header, deps.language),
        )
    )


def _told_as(kind: NoticeKind, members: Members) -> NoticeKind:
    """Give the kind by those that are told of: of several jobs, or of several wishes, all may have the same end."""
    if kind not in FAILURES:
        return kind
    given_up = sum(state.is_given_up for _, state in members)
    if not given_up:
        return NoticeKind.FAILED
    return NoticeKind.EXPIRED if given_up == len(members) else NoticeKind.RETURNED


def return_at(record: JobRecord, deps: BounceDeps) -> float:
    """Say when what is still delayed will be given up, seconds since the epoch."""
    if record.state is State.HELD:
        return record.queued_at + LIFETIME_S
    return given_up_at(record, deps.return_s, deps.return_by_priority)


def keep(report_id: str, about: Subject, header: bytes, body: bytes, now: float, deps: BounceDeps) -> None:
    """
    Sign a built report and commit it to its addressee, or to whoever is behind it.

    Raises:
        Rejected: idempotency_conflict: other octets lie under that id.
        Unavailable: Nothing is promised; a repeat is safe.
    """
    report_header, envelope, kind, to = header, about.envelope, about.kind, about.to
    keys = deps.signer.keys_for(deps.hostname)
    hashed_body = hash_to_sign(body, keys)

    def make(
        own_id: str,
        recipients: tuple[Recipient, ...],
        trace: bytes = b"",
        parts: tuple[tuple[str, int], ...] = (),
        quarantine: str = "",
    ) -> tuple[Envelope, bytes]:
        """The report to these recipients; several have one body, which lies under the report's own id."""
        own_header = signed(trace + report_header, hashed_body, keys, now)
        own = Envelope(
            queue_id=own_id,
            reverse_path="",
            recipients=recipients,
            queued_at=deps.clock(),
            body_octets=len(body),
            body_type="7BIT" if body.isascii() else "8BITMIME",
            smtputf8=not own_header.isascii(),
            kind=kind,
            submitter=envelope.submitter,
            tenant=envelope.tenant,
            door="bounce",
            digest=report_id,
            body_id="" if own_id == report_id else report_id,
            parts=parts,
            quarantine=quarantine,
            tls_optional=envelope.tls_optional,
        )
        return own, own_header

    if EXPANDING.isdisjoint(deps.tables.loaded()):
        commit(*make(report_id, (Recipient(to),)), body, deps.to_commit)
        return
    from paravion.services.report_expansion import commit_expanded  # only with tables

    commit_expanded(to, report_id, make, body, deps)


def _original_body(about: Subject, deps: BounceDeps) -> tuple[bytes | None, bool]:
    """
    Give the original's body, None to return its header alone, and whether that is for its size.

    RFC 3461 6.2: only failures return content, and only if the sender did not ask for headers alone; RFC 8689 5:
    mail that must not travel in clear never comes back.
    """
    envelope = about.envelope
    if about.notice.kind not in FAILURES or envelope.ret == "HDRS" or envelope.tls_required:
        return None, False
    if envelope.body_octets > RETURN_CONTENT_OCTETS:
        return None, True
    try:
        return deps.to_commit.spool.get_body(envelope.df_id), False
    except SpoolMissing:
        # The sender must hear of the failure even if the content is gone.
        return None, False


def _is_kept(queue_id: str, deps: BounceDeps) -> bool:
    """Say whether a whole report lies there already; then only its enqueueing can be missing."""
    try:
        kept, _ = decode_qf(deps.to_commit.spool.get_envelope(queue_id))
    except SpoolMissing:
        return False
    enqueue(kept, deps.to_commit)
    return True
