"""
Hold, release and remove mail: an operator's hand on the queue, each act in the job's history with who did it.

    the job is           hold                      release                     remove
    -------------------  ------------------------  --------------------------  --------------------------
    untried, waiting     held                      (its quarantine is lifted)  removed
    being tried now      held when that ends       (likewise)                  refused
    held                 the reason changes        due at once                 removed
    done, removed        left as it is             left as it is               left as it is

An act is one conditional write for each job: a job that is released is due, and the next sweep sends it back, so
that a crash between two steps cannot lose or double it. Of a submission that became several messages the first
one's id stands for all of them; each can be named alone too. Doing it again is safe.

Next: services/retry.py sweeps what is released, services/deliver.py drops what is held or removed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import ids, queue
from paravion.domain.envelope import decode_qf
from paravion.domain.queue import JobKey, JobRecord, State
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, WRONG_STATE, Rejected
from paravion.errors import ClaimLost, LedgerUnavailable, SpoolMissing
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paravion.domain.envelope import Envelope
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

    Change = Callable[[JobRecord, Envelope], JobRecord | None]
    """Gives the record as it should be, or None when there is nothing to change."""

MAX_REASON: Final = 200
"""Characters; the access table takes no more either."""

_CONFLICTS: Final = 10


def hold(queue_id: str, reason: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Hold a message's open jobs.

    Args:
        reason: Shown to operators; 1 to MAX_REASON printable characters.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: nothing of it is open any more.
        Unavailable: Doing it again is safe.
    """
    require_operator(principal, "holding mail is")
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise Rejected(BAD_REQUEST, f"reason must be 1 to {MAX_REASON} printable characters")

    def change(record: JobRecord, envelope: Envelope) -> JobRecord | None:  # noqa: ARG001 (a Change)
        if record.is_closed or record.quarantine == reason:
            return None
        return queue.held(record, reason, now=deps.clock(), by=principal.access_key)

    told = _change_all(queue_id, change, "Hold", principal, deps)
    if all(job["state"] in {State.DONE, State.REMOVED} for job in told["jobs"]):
        raise Rejected(WRONG_STATE, "nothing of it is left to hold")
    return told


def release(queue_id: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Release a message's jobs: those that are held go out with the next sweep, those that would be are not.

    Raises:
        Rejected: access_denied, not_found; wrong_state: nothing of it is or was held.
        Unavailable: Doing it again is safe.
    """
    require_operator(principal, "releasing mail is")
    was_released = False

    def change(record: JobRecord, envelope: Envelope) -> JobRecord | None:
        nonlocal was_released
        was_released = was_released or record.released
        if record.is_closed or not (record.quarantine or (envelope.quarantine and not record.released)):
            return None
        if not record.version:
            # Never claimed: its item in the delivery queue will find that it waits, and is dropped.
            record = replace(record, state=State.DEFERRED, due_at=deps.clock())
        return queue.released(record, now=deps.clock(), by=principal.access_key)

    told = _change_all(queue_id, change, "Release", principal, deps)
    if not told["changed"] and not was_released:
        raise Rejected(WRONG_STATE, "nothing of it is held")
    return told


def remove(queue_id: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Take a message's open jobs out of the queue for good; nobody is told but by the history.

    Raises:
        Rejected: access_denied, not_found; wrong_state: it is done, or is being tried now.
        Unavailable: Doing it again is safe.
    """
    require_operator(principal, "removing mail is")

    def change(record: JobRecord, envelope: Envelope) -> JobRecord | None:  # noqa: ARG001 (a Change)
        if record.is_closed or record.state is State.CLAIMED:
            return None
        return queue.removed(record, now=deps.clock(), by=principal.access_key)

    told = _change_all(queue_id, change, "Removal", principal, deps)
    states = {job["state"] for job in told["jobs"]}
    if State.CLAIMED in states:
        raise Rejected(WRONG_STATE, "it is being tried at this moment: hold it, then remove it")
    if states == {State.DONE}:
        raise Rejected(WRONG_STATE, "it is done: nothing is left to remove")
    return told


def _change_all(
    queue_id: str, change: Change, event: str, principal: Principal, deps: AdminDeps
) -> dict[str, Any]:  # fmt: skip
    jobs: list[dict[str, Any]] = []
    changed = 0
    for envelope in _messages(queue_id, deps):
        records = {record.key.chunk: record for record in deps.ledger.load_message(envelope.queue_id)}
        for chunk in range(envelope.chunk_count):
            key = JobKey(envelope.queue_id, chunk)
            record, is_new = _change(key, records.get(chunk), change, envelope, deps)
            changed += is_new
            jobs.append({"queue_id": key.queue_id, "chunk": chunk, "state": record.state.value if record else "queued"})
    if changed:
        deps.event_log.emit(event, {"queue_id": queue_id, "jobs": changed, "principal": principal.access_key})
    return {"queue_id": queue_id, "changed": changed, "jobs": jobs}


def _messages(queue_id: str, deps: AdminDeps) -> Iterator[Envelope]:
    """The message, and those that came of the same submission if it is the first of them."""
    first = _envelope(queue_id, deps)
    if first.body_id:
        # Its own qf may be of an earlier try than the commit: its jobs are dated by the first message's.
        first = replace(first, queued_at=_envelope(first.body_id, deps).queued_at)
    yield first
    for part_id, _ in first.parts:
        yield replace(_envelope(part_id, deps), queued_at=first.queued_at)


def _envelope(queue_id: str, deps: AdminDeps) -> Envelope:
    try:
        if ids.is_queue_id(queue_id):
            return decode_qf(deps.spool.get_envelope(queue_id))[0]
    except SpoolMissing as exc:
        raise Rejected(NOT_FOUND, "no such message") from exc
    raise Rejected(NOT_FOUND, "no such message")


def _change(
    key: JobKey, record: JobRecord | None, change: Change, envelope: Envelope, deps: AdminDeps
) -> tuple[JobRecord | None, bool]:
    """Make one conditional write; again with what stands there if somebody was faster."""
    for _ in range(_CONFLICTS):
        untried = JobRecord(
            key,
            envelope.queued_at,
            State.READY,
            recipient_count=len(envelope.chunk(key.chunk)),
            reverse_path=envelope.reverse_path,
        )
        new = change(record or untried, envelope)
        if new is None:
            return record, False
        try:
            return deps.ledger.save(new), True
        except ClaimLost:
            record = deps.ledger.load(key)
    raise LedgerUnavailable(f"{key} changes faster than it can be read")
