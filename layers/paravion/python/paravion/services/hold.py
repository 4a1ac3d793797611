"""
Hold, release and remove mail: an operator's hand on the queue, each act in the job's history with who did it.

    the job is           hold                      release                     remove
    -------------------  ------------------------  --------------------------  --------------------------
    untried, waiting     held                      (its quarantine is lifted)  removed
    being tried now      held when that ends       (likewise)                  refused
    held                 the reason changes        due at once                 removed
    done, removed        left as it is             left as it is               left as it is

What is released before the instant that its sender named (`send_at`, FUTURERELEASE) is due then.
services/acts.py says how such an act is made, of a message or of many.

Next: services/retry.py sweeps what is released, services/deliver.py drops what is held or removed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from paravion.domain import queue
from paravion.domain.queue import DUE_SHARDS, HELD_SHARDS, OPEN_SHARDS, JobRecord, State
from paravion.domain.status import WRONG_STATE, Rejected
from paravion.services.acts import SendsNothing, act_on_message, check_reason
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from paravion.domain.envelope import Envelope
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal


class Hold(SendsNothing):
    """The act; an operator's, with a reason."""

    verb = "hold"
    event = "hold"
    ends = False
    shards = range(DUE_SHARDS)

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "holding mail is")
        self.reason = check_reason(reason, is_needed=True)
        self._by, self._clock = principal.access_key, deps.clock

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:  # noqa: ARG002 (an Act)
        """See acts.Act."""
        if record.is_closed or (record.quarantine == self.reason and not record.cancelled):
            return None
        return queue.held(record, self.reason, now=self._clock(), by=self._by)


class Release(SendsNothing):
    """The act; an operator's."""

    verb = "release"
    event = "release"
    ends = False
    shards = HELD_SHARDS

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "releasing mail is")
        self.reason = check_reason(reason)
        self.was_released = False
        self._by, self._clock = principal.access_key, deps.clock

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:
        """See acts.Act."""
        self.was_released = self.was_released or record.released
        is_by_rule = envelope is not None and bool(envelope.quarantine) and not record.released
        if record.is_closed or not (record.quarantine or is_by_rule):
            return None
        now = self._clock()
        if not record.version:
            # Never claimed: its item in the delivery queue will find that it waits, and is dropped.
            record = replace(record, state=State.DEFERRED, due_at=now)
        release_at = envelope.release_at if envelope is not None else 0.0
        return queue.released(record, now=now, by=self._by, reason=self.reason, release_at=release_at)


class Remove(SendsNothing):
    """The act; an operator's."""

    verb = "remove"
    event = queue.REMOVAL
    ends = True
    shards = OPEN_SHARDS

    def __init__(self, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "removing mail is")
        self.reason = check_reason(reason)
        self._by, self._clock = principal.access_key, deps.clock

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:  # noqa: ARG002 (an Act)
        """See acts.Act."""
        if record.is_closed or record.state is State.CLAIMED:
            return None
        return queue.removed(record, now=self._clock(), by=self._by, reason=self.reason)


def hold(queue_id: str, reason: str, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Hold a message's open jobs.

    Args:
        reason: Shown to operators; 1 to MAX_REASON printable characters.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: nothing of it is open any more.
        Unavailable: Doing it again is safe.
    """
    told = act_on_message(queue_id, Hold(reason, principal, deps), principal, deps)
    if all(job["state"] in {State.DONE, State.REMOVED} for job in told["jobs"]):
        raise Rejected(WRONG_STATE, "nothing of it is left to hold")
    return told


def release(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Release a message's jobs: those that are held go out with the next sweep, those that would be are not.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: nothing of it is or was held.
        Unavailable: Doing it again is safe.
    """
    act = Release(reason, principal, deps)
    told = act_on_message(queue_id, act, principal, deps)
    if not told["changed"] and not act.was_released:
        raise Rejected(WRONG_STATE, "nothing of it is held")
    return told


def remove(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Take a message's open jobs out of the queue for good; nobody is told but by the history.

    Raises:
        Rejected: access_denied, not_found, bad_request; wrong_state: it is done, or is being tried now.
        Unavailable: Doing it again is safe.
    """
    told = act_on_message(queue_id, Remove(reason, principal, deps), principal, deps)
    states = {job["state"] for job in told["jobs"]}
    if State.CLAIMED in states:
        raise Rejected(WRONG_STATE, "it is being tried at this moment: hold it, then remove it")
    if states == {State.DONE}:
        raise Rejected(WRONG_STATE, "it is done: nothing is left to remove")
    return told
