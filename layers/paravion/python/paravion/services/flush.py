"""
Try mail now: flush as `postqueue -i`, `exim -M` and `sendmail -qI` do, requeue as `postsuper -r`.

    the job is              flush                          requeue
    ----------------------  -----------------------------  --------------------------------------------------
    waiting                 sent to the delivery queue     the same, and its life begins anew
    scheduled               left                           left
    queued                  left: it is in hand            sent, in case its item got lost
    ready, or its turn      left: it is in hand            left
    being tried             left: it is in hand            left; sent, if the worker's lease is over
    tried                   left: it is in hand            sent, in case its item lies in the parked queue
    held                    left: release it               released and sent
    done, removed           left: it is over               refused: what its sender was told is not taken back

A scheduled job's sender named its instant (`send_at`, FUTURERELEASE), and RFC 4865 4 lets nobody be earlier.

Flushed, its age, what its sender was told and the schedule stay as they were: a job that is deferred again waits as
long as it would have. Requeued, its waits, its warning and its lifetime count from now on, within the spool's
(domain/schedule.py). Sent means its record says so and its item lies in the queue; what gets lost between the two is
found by the sweep. An item of it that turns up besides finds it in other hands and is dropped.

An operator who does either says that the hosts are back: of those that the jobs last met, dead ones count as come
back to life, paused ones are asked at once (domain/pacing.py). What a host asked for stays. Functions trust what they
read of hosts for a minute, so that the jobs are then sent that much later.

Next: services/deliver.py tries them.
RFC: 4865 4 (future release).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.domain import pacing, queue
from paravion.domain.queue import DUE_SHARDS, OPEN_SHARDS, Job, JobRecord, State
from paravion.domain.status import WRONG_STATE, Rejected
from paravion.errors import ClaimLost
from paravion.ports import QueueName
from paravion.services.acts import act_on_message, check_reason, queues_of
from paravion.services.authenticate import require_operator
from paravion.services.pacing import KNOWN_S, host_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.pacing import HostState
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

_HOSTS: Final = 1000
"""States that are looked through for those of the flushed jobs."""


class Flush:
    """The act; an operator's."""

    verb = "flush"
    event = "flush"
    ends = False
    shards = range(DUE_SHARDS)

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "flushing the queue is")
        self.reason = check_reason(reason)
        self._by, self._deps = principal.access_key, deps

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:
        """See acts.Act."""
        now = self._deps.clock()
        is_early = envelope is not None and envelope.release_at > now
        if record.state is not State.DEFERRED or is_early or queue.is_scheduled(record, now):
            return None
        look_at = look_again_at(now, self._deps)
        return queue.flushed(record, look_at=look_at, now=now, by=self._by, reason=self.reason)

    def finish(self, changed: Sequence[JobRecord]) -> dict[str, Any]:
        """See acts.Act."""
        return send_now(changed, self._deps)


class Requeue:
    """The act; an operator's."""

    verb = "requeue"
    event = "requeue"
    ends = False
    shards = OPEN_SHARDS

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "requeueing mail is")
        self.reason = check_reason(reason)
        self._by, self._deps = principal.access_key, deps

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:
        """See acts.Act."""
        now = self._deps.clock()
        is_early = queue.is_scheduled(record, now) or (envelope is not None and envelope.release_at > now)
        is_leased = record.state is State.CLAIMED and record.lease_until > now
        is_ready = record.state is State.READY and record.version > 0
        if record.is_closed or is_early or is_leased or is_ready:
            return None
        look_at = look_again_at(now, self._deps)
        return queue.requeued(record, look_at=look_at, now=now, by=self._by, reason=self.reason)

    def finish(self, changed: Sequence[JobRecord]) -> dict[str, Any]:
        """See acts.Act."""
        return send_now(changed, self._deps)


def requeue(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Try a message's open jobs now, as if it came now.

    Returns:
        As `flush`.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: it is scheduled or over.
        Unavailable: Doing it again is safe.
    """
    told = act_on_message(queue_id, Requeue(reason, principal, deps), principal, deps)
    if not told["changed"] and any(job["left"] == State.DONE for job in told["jobs"]):
        raise Rejected(WRONG_STATE, "it is done, and its sender was told what became of it: submit it anew")
    refuse_unless(told, {"in_hand"})
    return told


def flush(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Try a message's waiting jobs now.

    Returns:
        As act_on_message, and `hosts`: what was known of the hosts that they last met.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: it is held, scheduled or over.
        Unavailable: Doing it again is safe.
    """
    told = act_on_message(queue_id, Flush(reason, principal, deps), principal, deps)
    refuse_unless(told, {"in_hand"})
    return told


def refuse_unless(told: dict[str, Any], fine: Collection[str]) -> None:
    """Refuse what changed nothing, unless a job was left for a reason that is fine. Raises Rejected (wrong_state)."""
    left = [job["left"] for job in told["jobs"] if "left" in job]
    if told["changed"] or not left or set(left) & set(fine):
        return
    why = {
        "held": "it is held: release it",
        "scheduled": "it is scheduled: its sender named the instant",
        "waiting": "it waits",
    }
    raise Rejected(WRONG_STATE, next((why[word] for word in left if word in why), "it is over: nothing of it waits"))


def look_again_at(now: float, deps: AdminDeps) -> float:
    """Say when the sweep is to look for a job that is sent now, with the longest delay that `send_now` gives it."""
    return now + KNOWN_S + deps.settings.sweep_grace_s


def send_now(records: Sequence[JobRecord], deps: AdminDeps) -> dict[str, Any]:
    """
    Send jobs whose records say so to the delivery queue, and believe that their hosts are back.

    Returns:
        `hosts`: name, `was` and `state`, of those that something is known of; `wait_s`: until the jobs are received.

    Raises:
        Unavailable: What was not sent is found by the sweep.
    """
    if not records:
        return {"hosts": [], "wait_s": 0}
    hosts, is_news = _believe({state.outcome.mx_host for record in records for state in _open(record)}, deps)
    wait_s = KNOWN_S if is_news else 0.0
    # crash here = the sweep finds them when their safety net is due
    jobs = [Job(record.key, record.queued_at) for record in records]
    queues_of(deps).send(QueueName.DELIVERY, jobs, delay_s=wait_s)
    return {"hosts": hosts, "wait_s": int(wait_s)}


def _believe(names: Collection[str], deps: AdminDeps) -> tuple[list[dict[str, str]], bool]:
    """Give what is told of the hosts, and whether any is believed to be back that was not."""
    wanted = {name.lower() for name in names if name}
    if not wanted:
        return [], False
    told: list[dict[str, str]] = []
    is_news = False
    for state in deps.hosts.all(_HOSTS):
        if host_of(state.name) not in wanted:
            continue
        try:
            new = deps.hosts.update(state.name, _believed(deps))
        except ClaimLost:
            new = state  # it changes that fast because it is being asked
        is_news = is_news or new is None or new.version != state.version
        told.append({"name": state.name, "was": state.phase, "state": new.phase if new else "well"})
    return told, is_news


def _believed(deps: AdminDeps) -> Any:
    def change(state: HostState | None) -> HostState | None:
        return state and pacing.believed(state, deps.clock())

    return change


def _open(record: JobRecord) -> Iterable[queue.RecipientState]:
    return (state for state in record.recipients.values() if not state.is_final)
