"""
The parked queue in an operator's hands: what lies there, giving it back, dropping it.

    the item is       it came from                             given back to
    ----------------  ---------------------------------------  ------------------------------------------------
    a job             the retry, bounce or event queue, where  the retry queue: `retry` reads in the ledger
                      it could not be handled                  what is to be done, a report or event owed too
    events            the event queue: a destination did not   the event queue, their time counted anew
                      take them
    anything else     a queue of ours; nobody knows what it    nowhere: it can be dropped
                      means

What is given back is sent before it is dropped here: broken off in between it is in both, and a job that is worked on
twice does nothing twice. Each act is recorded (services/operations.py), with what was dropped, and a job's in its
message's history too. Nothing is changed about the messages themselves: whoever drops a job's item has to requeue,
cancel or remove its message if that is still open.

Next: services/retry.py, services/publish.py.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import event_item, queue
from paravion.domain.status import BAD_REQUEST, NOT_FOUND, Rejected
from paravion.errors import RecordUnreadable
from paravion.ports import QueueName
from paravion.services import operations
from paravion.services.acts import change_job, check_reason, log, queues_of
from paravion.services.authenticate import require_operator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.queue import JobKey, JobRecord
    from paravion.ports import Parked, ParkedItem
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

MAX_ITEMS: Final = 1000
"""That one call looks at."""

_BODY_CHARACTERS: Final = 1000


class _Given:
    """The act on a job whose item is given back or dropped: a line in its history."""

    ends = False
    shards = ()

    def __init__(self, verb: str, reason: str, principal: Principal, deps: AdminDeps) -> None:
        require_operator(principal, "the parked queue is")
        self.verb, self.event, self.reason = verb, verb, check_reason(reason)
        self._by, self._clock = principal.access_key, deps.clock

    def change(self, record: JobRecord, envelope: Envelope | None) -> JobRecord | None:  # noqa: ARG002 (an Act)
        """See acts.Act."""
        return queue.with_event(record, self.event, now=self._clock(), text=queue.said_by(self._by, self.reason))

    def finish(self, changed: Sequence[JobRecord]) -> dict[str, Any]:  # noqa: ARG002 (an Act)
        """See acts.Act."""
        return {}


def list_parked(limit: int, principal: Principal, deps: AdminDeps) -> dict[str, Any]:
    """
    Tell what lies in the parked queue.

    Args:
        limit: 1 to MAX_ITEMS.

    Returns:
        items, oldest first, and whether these are all that there are.

    Raises:
        Rejected: access_denied.
        Unavailable
    """
    require_operator(principal, "the parked queue is")
    parked = _parked(deps)
    items = parked.look(limit)
    try:
        told = _in_parallel(deps)([partial(_fields, item, deps) for item in items])
    finally:
        parked.put_back(items)
    return {"items": sorted(told, key=lambda fields: fields["sent_at"]), "is_whole": len(items) < limit}


def redrive(
    ids: Collection[str], queue_id: str, limit: int, principal: Principal, deps: AdminDeps, *, reason: str = ""
) -> dict[str, Any]:
    """
    Give items back to where they are worked on.

    Args:
        ids: Of these items; none: of all.
        queue_id: Of this message's alone, its job or its events, as `list_parked` names it; "": of every message's.
        limit: Most of them, 1 to MAX_ITEMS; of named ones the first MAX_ITEMS of the queue are looked through.

    Returns:
        redriven and left (how many; what nobody knows is left), more (there may be others), operation.

    Raises:
        Rejected: access_denied, bad_request; not_found: none of those that were named.
        Unavailable: Doing it again is safe.
    """
    act = _Given("redrive", reason, principal, deps)
    is_named = bool(ids or queue_id)
    looked_at = MAX_ITEMS if is_named else limit
    parked = _parked(deps)
    items = parked.look(looked_at)
    meant = [item for item in items if _is_meant(item, ids, queue_id)]
    back = {item.item_id: to for item in meant if (to := _where(item)) is not None}
    going = [item for item in meant if item.item_id in back]
    try:
        if is_named and not meant:
            raise Rejected(NOT_FOUND, "no such item in the parked queue")
        what = {**({"items": len(ids)} if ids else {}), **({"queue_id": queue_id} if queue_id else {})} or {"all": True}
        operation = operations.begin(act.verb, what, act.reason, principal, deps)
        for item in going:
            if item.job is not None:
                _enter(item.job.key, act, deps)
        queues = queues_of(deps)
        jobs = [item.job for item in going if item.job is not None]
        if jobs:
            queues.send(QueueName.RETRY, jobs)
        texts = [text for to in back.values() for text in to]
        if texts:
            queues.send_texts(QueueName.EVENT, texts)
        # crash here = both there and here, and given back once more
        parked.drop(going)
    finally:
        parked.put_back([item for item in items if item.item_id not in back])
    operations.add(operation, {"changed": len(going)}, deps, finished=True)
    log(act, principal, deps, id=operation, items=len(going))
    left = len(meant) - len(going)
    return {"redriven": len(going), "left": left, "more": len(items) == looked_at, "operation": operation}


def drop(item_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Drop one item for good; what it held is in the record.

    Returns:
        What it was, and the operation's id.

    Raises:
        Rejected: access_denied, bad_request; not_found: not among the first MAX_ITEMS of the queue.
        Unavailable: Doing it again is safe.
    """
    (told,) = _drop([item_id], "", principal, deps, reason)
    return told


def drop_message(queue_id: str, principal: Principal, deps: AdminDeps, *, reason: str = "") -> dict[str, Any]:
    """
    Drop all items of one message for good, its job's and its events; each is in the record by itself.

    Returns:
        dropped: As `drop` tells each.

    Raises:
        Rejected, Unavailable: As `drop`.
    """
    return {"dropped": _drop([], queue_id, principal, deps, reason)}


def _drop(
    ids: Collection[str], queue_id: str, principal: Principal, deps: AdminDeps, reason: str
) -> list[dict[str, Any]]:
    act = _Given("drop", reason, principal, deps)
    parked = _parked(deps)
    items = parked.look(MAX_ITEMS)
    found = [item for item in items if _is_meant(item, ids, queue_id)]
    gone: list[ParkedItem] = []
    done: list[dict[str, Any]] = []
    try:
        if not found:
            raise Rejected(NOT_FOUND, "no such item in the parked queue")
        for item in found:
            told = _fields(item, deps)
            told["body"] = _printable(item.body, _BODY_CHARACTERS)
            operation = operations.begin(act.verb, told, act.reason, principal, deps)
            if item.job is not None:
                _enter(item.job.key, act, deps)
            parked.drop([item])
            gone.append(item)
            operations.add(operation, {"changed": 1}, deps, finished=True)
            log(act, principal, deps, id=operation, item=item.item_id, body=told["body"])
            done.append({**told, "operation": operation})
    finally:
        parked.put_back([item for item in items if item not in gone])
    return done


def _enter(key: JobKey, act: _Given, deps: AdminDeps) -> None:
    """Write the act into the job's history; where that can't be read the operation's record has it alone."""
    with suppress(RecordUnreadable):
        change_job(key, deps.ledger.load(key), act, None, deps)


def _fields(item: ParkedItem, deps: AdminDeps) -> dict[str, Any]:
    """Tell of one item what it is, and of a job where its message stands and what happened last."""
    fields: dict[str, Any] = {
        "id": item.item_id, "what": "unknown", "queue_id": None, "chunk": None, "state": None, "attempts": None,
        "last_at": None, "last_text": "", "receives": item.receives, "sent_at": item.sent_at,
    }  # fmt: skip
    if item.job is not None:
        key = item.job.key
        fields |= {"what": "job", "queue_id": key.queue_id, "chunk": key.chunk, "state": "queued"}
        try:
            record = deps.ledger.load(key)
        except RecordUnreadable as exc:
            return {**fields, "state": None, "last_text": _printable(f"its record can't be read: {exc}", 300)}
        if record is not None:
            last = record.log[-1] if record.log else None
            fields |= {
                "state": record.state.value,
                "attempts": record.attempts,
                "last_at": last.at if last else None,
                "last_text": f"{last.event} {last.text}".strip() if last else "",
            }
        return fields
    events = event_item.decode(item.body)
    if events is None:
        return {**fields, "last_text": _printable(item.body, 200)}
    told = f"{len(events.events)} events for {events.destination or 'all destinations'}: {events.problem}"
    return {
        **fields, "what": "events", "queue_id": _message_of(item) or None, "attempts": events.tries,
        "last_text": _printable(told, 300),
    }  # fmt: skip


def _where(item: ParkedItem) -> list[str] | None:
    """Give the texts to send to the event queue, none for a job; None for what nobody knows."""
    if item.job is not None:
        return []
    events = event_item.decode(item.body)
    return None if events is None else [event_item.encode(replace(events, since=0.0, tries=0))]


def _is_meant(item: ParkedItem, ids: Collection[str], queue_id: str) -> bool:
    if ids and item.item_id not in ids:
        return False
    return not queue_id or queue_id == _message_of(item)


def _message_of(item: ParkedItem) -> str:
    """Give the message that an item is about, "" for none: one job's, and events are put into items job by job too."""
    if item.job is not None:
        return item.job.key.queue_id
    events = event_item.decode(item.body)
    return next((str(name) for event in events.events if (name := event.mail.get("messageId"))), "") if events else ""


def _parked(deps: AdminDeps) -> Parked:
    if deps.new_parked is None:
        raise Rejected(BAD_REQUEST, "there is no parked queue here")
    return deps.new_parked()


def _in_parallel(deps: AdminDeps) -> Callable[[Sequence[Callable[[], Any]]], list[Any]]:
    return deps.to_commit.in_parallel if deps.to_commit is not None else lambda calls: [call() for call in calls]


def _printable(text: str, most: int) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:most])
