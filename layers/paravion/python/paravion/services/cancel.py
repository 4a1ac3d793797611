"""
Cancel mail: an operator returns it to its sender, or a sender takes his own back before anybody has tried it.

    the job is           an operator                         its submitter
    -------------------  ----------------------------------  ----------------------------------------------
    untried, scheduled   returned by the next sweep          removed
    waiting, held        returned by the next sweep          refused: it was tried, or an operator has it
    being tried now      returned when that ends, but for    refused
                         whoever has got it by then
    done, removed        left as it is                       left as it is

The sender is told what the operator says, as of any failure: 5.7.0, in one report, with events and statistics. An
operator who does not want to tell anybody removes it (services/hold.py), and a sender who takes his own back is not
told what he knows.

What a sender takes back counts no more towards his quota of 24 hours: nobody got it. What an operator cancels does.

To cancel is one conditional write for each job: it is held with a wish in its record, and the next sweep hands it to
`retry`, which owes the report with the same write that ends the job. Until then a release, hold or requeue takes the
wish back.

Next: services/retry.py returns it, services/bounce.py tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paravion.domain import queue
from paravion.domain.envelope import decode_qf
from paravion.domain.queue import OPEN_SHARDS, JobRecord, State
from paravion.domain.status import ACCESS_DENIED, CANCELLED, WRONG_STATE, Rejected
from paravion.errors import SpoolMissing, Unavailable
from paravion.services.acts import SendsNothing, act_on_message, check_reason
from paravion.services.admin import each_part
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


class Cancel(SendsNothing):
    """The act; an operator's. The sender reads the reason."""

    verb = "cancel"
    event = "cancel"
    ends = True
    shards = OPEN_SHARDS

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "cancelling others' mail is")
        self.reason = check_reason(reason)
        self._text = f"{CANCELLED.text}: {reason}" if reason else CANCELLED.text
        self._by, self._clock = principal.access_key, deps.clock

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:  # noqa: ARG002 (an Act)
        """See acts.Act."""
        if record.is_closed or record.cancelled == self._text:
            return None
        return queue.cancelled(record, self._text, now=self._clock(), by=self._by, reason=self.reason)


class Withdraw(SendsNothing):
    """The act; of whoever submitted the message."""

    verb = "withdraw"
    event = queue.REMOVAL
    ends = True
    shards = ()

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        self.reason = check_reason(reason)
        self._by, self._clock = principal.access_key, deps.clock

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:
        """See acts.Act."""
        is_untried = record.state in {State.READY, State.DEFERRED} and not record.attempts
        is_quarantined = envelope is not None and bool(envelope.quarantine) and not record.released
        if not is_untried or is_quarantined:
            return None
        return queue.removed(record, now=self._clock(), by=self._by, reason=self.reason)


def cancel(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Return a message's open jobs to its sender.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: nothing of it is open any more.
        Unavailable: Doing it again is safe.
    """
    told = act_on_message(queue_id, Cancel(reason, principal, deps), principal, deps)
    if all(job["state"] in {State.DONE, State.REMOVED} for job in told["jobs"]):
        raise Rejected(WRONG_STATE, "nothing of it is left to cancel")
    return told


def withdraw(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Take back a message of the principal's own that nobody has tried yet.

    Raises:
        Rejected: not_found: also somebody else's; access_denied: it is a report; bad_request; wrong_state: something
            of it was tried already.
        Unavailable: Doing it again is safe.
    """
    envelopes = [part for part, _ in each_part(queue_id, principal, deps)]
    envelope = envelopes[0]
    if envelope.kind != "mail":
        # A report about his mail, which he may see: whom it tells is not his to say.
        raise Rejected(ACCESS_DENIED, "a report of ours is an operator's to cancel")
    # All or nothing, as far as nobody claims a job at this very moment; the answer tells what became of each.
    for part in envelopes:
        records = deps.ledger.load_message(part.queue_id)
        if any(record.attempts and not record.is_closed for record in records):
            raise Rejected(WRONG_STATE, "it has been tried already: only an operator can cancel it now")
        if _is_an_operators(part, records):
            raise Rejected(WRONG_STATE, "an operator has to decide about it")
    told = act_on_message(queue_id, Withdraw(reason, principal, deps), principal, deps)
    states = {job["state"] for job in told["jobs"]}
    if not told["changed"] and State.HELD in states:
        raise Rejected(WRONG_STATE, "an operator has to decide about it")
    if not told["changed"] and states != {State.REMOVED}:
        raise Rejected(WRONG_STATE, "it has been tried already: only an operator can cancel it now")
    if told["changed"]:
        # crash here = counted for a day, and not sent
        _uncount(envelope, told["jobs"], deps)
    return told


def _is_an_operators(envelope: Envelope, records: Sequence[JobRecord]) -> bool:
    """Say whether a message is held, by hand, or by a rule that nobody has lifted for it."""
    if any(record.state is State.HELD for record in records):
        return True
    return bool(envelope.quarantine) and not (records and all(one.released or one.is_closed for one in records))


def _uncount(first: Envelope, jobs: Iterable[Mapping[str, Any]], deps: AdminDeps) -> None:
    """Give back what was counted of the jobs that this very call removed: each address that the sender named once."""
    from paravion.services import quotas  # seldom needed

    if not quotas.is_counted(first.tenant, first.queued_at, deps):
        return
    envelopes = {first.queue_id: first}
    gone: set[str] = set()
    kept: set[str] = set()
    for job in jobs:
        queue_id = job["queue_id"]
        if queue_id not in envelopes:
            try:
                envelopes[queue_id] = decode_qf(deps.spool.get_envelope(queue_id))[0]
            except (Unavailable, SpoolMissing) as exc:
                deps.event_log.emit("Fault", {"stage": "quota", "error": repr(exc)})
                return
        named = {one.origin or one.forward_path for one in envelopes[queue_id].chunk(job["chunk"]).values()}
        (kept if "left" in job else gone).update(named)
    quotas.give_back(first.tenant, gone - kept, first.queued_at, deps)
