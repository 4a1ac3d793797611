"""
Do an act on all jobs that an operator means, some at a time.

A call goes on where the one before it ended, looks at so many jobs and answers; whoever wants all of them calls until
there is no more. What is gone through is the due index, part by part, in the order of due times: all that waits or is
held. Mail that no attempt has touched yet is in the delivery queue and not in there; a rule for new mail is the access
table's.

A job that an act moves within the index may be met again: its history says that this operation had it. One that
others move at the same time may be missed, so that an operator repeats it until nothing is left to change.

What was cancelled and waits for its return is left (`cancelled`): an act on that message itself takes the wish back.

A job with several recipients of whom only some are meant: what keeps or hurries it takes it whole, as sendmail and
Postfix do, who have it in one queue file; what ends it leaves it (`mixed`).

Next: domain/selection.py says which; services/acts.py, how a job is changed; services/operations.py keeps the record.
"""

from __future__ import annotations

import base64
import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paravion.domain import lost
from paravion.domain.envelope import decode_qf
from paravion.domain.queue import DueJob, JobKey
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.errors import RecordUnreadable, SpoolMissing
from paravion.services import operations
from paravion.services.acts import Acted, change_job, log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paravion.domain.envelope import Envelope
    from paravion.domain.queue import JobRecord
    from paravion.domain.selection import Selection
    from paravion.services.acts import Act
    from paravion.services.admin import AdminDeps
    from paravion.services.authenticate import Principal

MAX_JOBS: Final = 1000
"""Jobs that one call looks at: a few seconds of work, well within the function's time."""

_PAGE: Final = 100
_FAR: Final = 1e11
"""Seconds since the epoch that nothing is due after."""

_HISTORY: Final = 10
"""Lines of a job's history that are looked through for the operation's own."""


@dataclass(frozen=True, slots=True)
class _Place:
    """
    Where a call goes on.

    Attributes:
        shard: Index into the act's parts.
        job: The last one looked at in there, None for none.
        since: When the operation began.
        operation: Its record, "" in a dry run.
    """

    shard: int
    job: DueJob | None
    since: float
    operation: str


def act_on_selection(
    act: Act,
    selection: Selection,
    principal: Principal,
    deps: AdminDeps,
    *,
    limit: int,
    after: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """
    Do an act on the jobs that are meant, among the next `limit` of the queue.

    Args:
        act: It has asked already whether the principal may.
        limit: 1 to MAX_JOBS.
        after: "" to begin, else what the call before gave.
        dry_run: Change nothing, but count what would be.

    Returns:
        examined, matched, changed, left (how many matched jobs by the word of acts.Acted.why_left, or `mixed`),
        after (None at the end), operation (None in a dry run), and what the act tells besides.

    Raises:
        Rejected: bad_request: `after` is none that a call gave, or another operation's; not_found: its operation is
            too old.
        Unavailable: Doing it again, from the same place, is safe.
    """
    place = _read(after) if after else _Place(0, None, deps.clock(), "")
    what = _shown(selection) or {"all": True}
    if after:
        _check_same(place, act, what, principal, deps, dry_run=dry_run)
    elif not dry_run:
        place = replace(place, operation=operations.begin(act.verb, what, act.reason, principal, deps))
    counts = {"examined": 0, "matched": 0, "changed": 0}
    left: dict[str, int] = {}
    changed: list[JobRecord] = []
    shards = list(act.shards)
    while counts["examined"] < limit and place.shard < len(shards):
        wanted = min(_PAGE, limit - counts["examined"])
        page = deps.ledger.due(shards[place.shard], _FAR, wanted, place.job)
        counts["examined"] += len(page)
        work = [partial(_on_job, job.key, act, selection, place, dry_run, deps) for job in page]
        for acted, is_mixed in filter(None, _in_parallel(deps)(work)):
            counts["matched"] += 1
            if acted.is_changed and acted.record is not None:
                changed.append(acted.record)
            else:
                word = "mixed" if is_mixed else acted.why_left(deps.clock())
                left[word] = left.get(word, 0) + 1
        place = replace(place, job=page[-1]) if len(page) == wanted else replace(place, shard=place.shard + 1, job=None)
    counts["changed"] = len(changed)
    is_end = place.shard >= len(shards)
    told: dict[str, Any] = {}
    if place.operation:
        if changed:
            log(act, principal, deps, id=place.operation, jobs=len(changed), **_shown(selection))
        told = act.finish(changed)
        operations.add(place.operation, counts, deps, finished=is_end)
    return {
        **counts,
        "left": left,
        "after": None if is_end else _written(place),
        "operation": place.operation or None,
        "dry_run": not place.operation,
        **told,
    }


def _on_job(
    key: JobKey, act: Act, selection: Selection, place: _Place, dry_run: bool, deps: AdminDeps
) -> tuple[Acted, bool] | None:
    """Do the act on one job; gives also whether it was left because only some are meant, None for another's job."""
    record = None
    # Of one that can't be read nobody knows whether it is meant; the sweep tells of it.
    with suppress(RecordUnreadable):
        record = deps.ledger.load(key)
    if record is None or record.is_closed:
        return None
    if any(entry.event == act.event and entry.at >= place.since for entry in record.log[-_HISTORY:]):
        return None
    meant = _meant(record, selection, deps)
    if not any(meant):
        return None
    is_mixed = act.ends and not all(meant)
    if is_mixed or (record.cancelled and not act.ends):
        return Acted(key, record, is_changed=False), is_mixed
    if dry_run:
        new = act.change(record, None)
        return Acted(key, new or record, is_changed=new is not None), False
    is_meant = partial(_is_still_meant, act, selection, deps)
    return change_job(key, record, act, None, deps, is_meant=is_meant), False


def _is_still_meant(act: Act, selection: Selection, deps: AdminDeps, record: JobRecord) -> bool:
    """Say whether a job that changed while it was looked at is one that the operator means."""
    meant = _meant(record, selection, deps)
    return any(meant) and (all(meant) or not act.ends) and (act.ends or not record.cancelled)


def _meant(record: JobRecord, selection: Selection, deps: AdminDeps) -> list[bool]:
    if selection.is_everything:
        return [True]
    known = {n: state for n, state in record.recipients.items() if not state.is_final}
    if record.recipient_count and len(record.recipients) >= record.recipient_count:
        open_ = [(state.forward_path, state.outcome.mx_host) for state in known.values()]
        return selection.matches(record.key.queue_id, record.reverse_path, open_)
    try:
        envelope = _envelope(record.key.queue_id, deps)
    except SpoolMissing:
        envelope = lost.envelope_of([record])
    chunk = envelope.chunk(record.key.chunk)
    hosts = {n: state.outcome.mx_host for n, state in known.items()}
    waiting = [(chunk[n].forward_path, hosts.get(n, "")) for n in record.open_positions(chunk)]
    return selection.matches(record.key.queue_id, envelope.reverse_path, waiting)


def _envelope(queue_id: str, deps: AdminDeps) -> Envelope:
    return decode_qf(deps.spool.get_envelope(queue_id))[0]


def _in_parallel(deps: AdminDeps) -> Callable[[Sequence[Callable[[], Any]]], list[Any]]:
    if deps.to_commit is not None:
        return deps.to_commit.in_parallel
    return lambda calls: [call() for call in calls]


def _shown(selection: Selection) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(selection).items() if value}
    if selection.texts:
        shown["texts"] = ", ".join(map(str, selection.texts))
    return shown


def _written(place: _Place) -> str:
    job = [place.job.key.queue_id, place.job.key.chunk, place.job.due_at] if place.job else None
    text = json.dumps([place.shard, job, place.since, place.operation], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _check_same(
    place: _Place, act: Act, what: dict[str, Any], principal: Principal, deps: AdminDeps, *, dry_run: bool
) -> None:
    """A place goes on with what began there: the record of who did what would lie otherwise. Raises Rejected."""
    told = operations.find(place.operation, deps) if place.operation else {}
    is_same = (told["operation"], told["what"], told["by"]) == (act.verb, what, principal.access_key) if told else True
    if bool(place.operation) is dry_run or not is_same:
        raise Rejected(BAD_REQUEST, "after is another operation's")


def _read(text: str) -> _Place:
    try:
        shard, job, since, operation = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        last = DueJob(JobKey(str(job[0]), int(job[1])), float(job[2])) if job else None
        place = _Place(max(0, int(shard)), last, float(since), str(operation))
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError) as exc:
        raise Rejected(BAD_REQUEST, "after is none that a call gave") from exc
    if not math.isfinite(last.due_at if last else 0.0):
        raise Rejected(BAD_REQUEST, "after is none that a call gave")
    return place
