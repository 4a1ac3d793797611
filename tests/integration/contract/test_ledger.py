"""ports.Ledger and ports.Identities, on every implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.adapters.dynamodb_ledger import _item, _record
from paravion.domain.ids import shard_of
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import (
    DUE_SHARDS,
    DueJob,
    Job,
    JobKey,
    JobRecord,
    LogEntry,
    Notice,
    NoticeKind,
    RecipientState,
    State,
    held,
    position,
    released,
)
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.tls_facts import TlsFacts
from paravion.errors import ClaimLost, RecordUnreadable
from paravion.ports import Identity

T0 = 1_800_000_000.25


def _job(queue_id: str, chunk: int = 0) -> Job:
    return Job(JobKey(queue_id, chunk), T0)


def test_first_claim_makes_the_record(ledger: Any, queue_id: str) -> None:
    """Submission costs no ledger write: the claim creates the item."""
    assert ledger.load(JobKey(queue_id)) is None
    record = ledger.claim(_job(queue_id), token="a", lease_until=T0 + 60)
    expected = JobRecord(JobKey(queue_id), T0, State.CLAIMED, version=1, attempts=1, token="a", lease_until=T0 + 60)
    assert record == expected == ledger.load(JobKey(queue_id))


def test_second_claim_is_shown_what_stands_in_the_way(ledger: Any, queue_id: str) -> None:
    """A live lease, even one that ran out, belongs to its owner until `retry` decides."""
    held = ledger.claim(_job(queue_id), token="a", lease_until=T0 - 1000)
    assert ledger.claim(_job(queue_id), token="b", lease_until=T0 + 60) == held


def test_repeated_claim_by_its_owner_succeeds(ledger: Any, queue_id: str) -> None:
    """A lost answer is no lost claim, and no second attempt."""
    held = ledger.claim(_job(queue_id), token="a", lease_until=T0 + 60)
    again = ledger.claim(_job(queue_id), token="a", lease_until=T0 + 60)
    assert (again.token, again.attempts) == ("a", held.attempts)


@pytest.mark.parametrize("state", [State.TRIED, State.DEFERRED, State.HELD, State.DONE, State.REMOVED])
def test_only_ready_jobs_are_claimed(ledger: Any, queue_id: str, state: State) -> None:
    """The state table of domain/queue.py."""
    held = ledger.claim(_job(queue_id), token="a", lease_until=T0 + 60)
    saved = ledger.save(replace(held, state=state, token="", lease_until=0.0))
    assert ledger.claim(_job(queue_id), token="b", lease_until=T0 + 60) == saved


def test_ready_job_is_claimed_and_keeps_its_net(ledger: Any, queue_id: str) -> None:
    """A claim keeps what is known of the recipients, and leaves the index alone: that costs nothing."""
    state = RecipientState("a@b.example", Outcome(Result.DEFERRED, "4.2.0", 451, "busy"), T0, 1, tried_at=T0 - 60)
    record = JobRecord(JobKey(queue_id), T0, State.READY, due_at=T0 + 5, recipients={0: state}, attempts=3)
    ledger.save(record)
    claimed = ledger.claim(_job(queue_id), token="b", lease_until=T0 + 60)
    assert (claimed.token, claimed.attempts, claimed.due_at) == ("b", 4, T0 + 5)
    assert claimed.recipients == {0: state}
    due = ledger.due(shard_of(queue_id, DUE_SHARDS), T0 + 100, 10)
    assert due == [DueJob(JobKey(queue_id), T0 + 5)]
    fresh = ledger.claim(_job(queue_id, 1), token="c", lease_until=T0 + 60)
    assert fresh.due_at == 0.0
    assert ledger.due(shard_of(queue_id, DUE_SHARDS), T0 + 100, 10) == due


def test_save_counts_versions_and_refuses_stale_ones(ledger: Any, queue_id: str) -> None:
    """Optimistic concurrency: the second of two writers from one version loses."""
    first = ledger.save(JobRecord(JobKey(queue_id), T0, State.DEFERRED))
    assert first.version == 1
    second = ledger.save(replace(first, faults=2))
    assert second.version == 2
    with pytest.raises(ClaimLost):
        ledger.save(replace(first, faults=9))
    with pytest.raises(ClaimLost):
        ledger.save(JobRecord(JobKey(queue_id), T0, State.DEFERRED))
    assert ledger.load(JobKey(queue_id)) == second


def test_chunks_of_a_message_are_read_in_order(ledger: Any, queue_id: str) -> None:
    """By number, not by text."""
    for chunk in (10, 2, 0):
        ledger.save(JobRecord(JobKey(queue_id, chunk), T0, State.DONE))
    assert [record.key.chunk for record in ledger.load_message(queue_id)] == [0, 2, 10]
    assert ledger.load_message("nobody") == []


def test_due_jobs_come_oldest_first_and_bounded(ledger: Any, queue_id: str) -> None:
    """Of one shard, up to now, up to the limit, and on from where a page ended."""
    shard = shard_of(queue_id, DUE_SHARDS)
    for chunk, due_at in enumerate((T0 + 3, T0 + 1, T0 + 2, T0 + 99)):
        ledger.save(JobRecord(JobKey(queue_id, chunk), T0, State.DEFERRED, due_at=due_at))
    assert [job.key.chunk for job in ledger.due(shard, T0 + 10, 10)] == [1, 2, 0]
    page = ledger.due(shard, T0 + 10, 2)
    assert page == [DueJob(JobKey(queue_id, 1), T0 + 1), DueJob(JobKey(queue_id, 2), T0 + 2)]
    assert [job.key.chunk for job in ledger.due(shard, T0 + 10, 2, page[-1])] == [0]
    assert ledger.due((shard + 1) % DUE_SHARDS, T0 + 10, 10) == []


def test_held_jobs_have_shards_of_their_own(ledger: Any, queue_id: str) -> None:
    """`mailq` finds them among many that wait; the sweep finds them when their time is over, and wakes them as held."""
    first = ledger.save(held(JobRecord(JobKey(queue_id), T0, State.READY), "looks odd", now=T0 + 1, by="AKIAOP"))
    shard = shard_of(queue_id, DUE_SHARDS)
    assert ledger.load(JobKey(queue_id)) == first
    assert (first.quarantine, first.held_at) == ("looks odd", T0 + 1)
    assert ledger.claim(_job(queue_id), token="b", lease_until=T0 + 60) == first
    late = T0 + LIFETIME_S + 1
    assert ledger.due(shard, late, 10) == []
    page = ledger.due(shard + DUE_SHARDS, late, 10)
    assert page == [DueJob(JobKey(queue_id), T0 + LIFETIME_S)]
    assert ledger.due(shard + DUE_SHARDS, late, 10, page[-1]) == []
    assert queue_id not in {record.key.queue_id for record in ledger.waiting(1000)}
    assert first in ledger.waiting(1000, held=True)
    woken = ledger.wake(JobKey(queue_id), late, late + 900)
    assert woken == replace(first, due_at=late + 900)
    let_go = ledger.save(released(woken, now=late, by="AKIAOP"))
    assert ledger.load(JobKey(queue_id)) == let_go
    assert (let_go.state, let_go.released, let_go.held_s) == (State.DEFERRED, True, late - T0 - 1)
    assert ledger.due(shard + DUE_SHARDS, late, 10) == []
    assert ledger.due(shard, late, 10) == [DueJob(JobKey(queue_id), late)]
    assert let_go in ledger.waiting(1000)


@pytest.mark.parametrize("state", [State.DEFERRED, State.READY])
def test_one_sweep_wins_a_due_job(ledger: Any, queue_id: str, state: State) -> None:
    """It becomes ready and gets a safety net; a second sweep finds it no longer due."""
    key = JobKey(queue_id)
    saved = ledger.save(JobRecord(key, T0, state, due_at=T0 + 1))
    woken = ledger.wake(key, T0 + 2, T0 + 900)
    assert woken == replace(saved, state=State.READY, due_at=T0 + 900, version=2)
    assert ledger.wake(key, T0 + 2, T0 + 900) is None


@pytest.mark.parametrize("state", [State.CLAIMED, State.TRIED])
def test_safety_net_of_a_job_at_work_is_moved_not_made_ready(ledger: Any, queue_id: str, state: State) -> None:
    """What became of a broken attempt is for `retry` to say."""
    key = JobKey(queue_id)
    saved = ledger.save(JobRecord(key, T0, state, due_at=T0 + 1, token="t"))
    assert ledger.wake(key, T0 + 2, T0 + 900) == replace(saved, due_at=T0 + 900)


@pytest.mark.parametrize("state", [State.DONE, State.REMOVED, None])
def test_closed_or_unknown_job_is_not_woken(ledger: Any, queue_id: str, state: State | None) -> None:
    """Over is over, but for a report: that has shards of its own."""
    if state:
        ledger.save(JobRecord(JobKey(queue_id), T0, state))
    assert ledger.wake(JobKey(queue_id), T0 + 2, T0 + 900) is None
    if state:
        owing = ledger.save(JobRecord(JobKey(queue_id, 1), T0, state, due_at=T0 + 1))
        shard = shard_of(queue_id, DUE_SHARDS) + 2 * DUE_SHARDS
        assert ledger.due(shard, T0 + 2, 10) == [DueJob(owing.key, T0 + 1)]
        assert ledger.wake(owing.key, T0 + 2, T0 + 900) == replace(owing, due_at=T0 + 900)
        shown = ledger.waiting(1000) + ledger.waiting(1000, held=True)
        assert queue_id not in {record.key.queue_id for record in shown}


def test_due_time_is_moved_only_from_where_it_was_seen(ledger: Any, queue_id: str) -> None:
    """Who moved the job on meanwhile wins; a writer who read it before is not disturbed."""
    key = JobKey(queue_id)
    ledger.reschedule(key, T0 + 1, T0 + 2)
    assert ledger.load(key) is None
    saved = ledger.save(JobRecord(key, T0, State.READY, due_at=T0 + 1.25))
    ledger.reschedule(key, T0 + 1, T0 + 2)
    assert ledger.load(key) == saved
    ledger.reschedule(key, T0 + 1.25, T0 + 2)
    assert ledger.load(key) == replace(saved, due_at=T0 + 2)
    assert ledger.due(shard_of(queue_id, DUE_SHARDS), T0 + 10, 10) == [DueJob(key, T0 + 2)]
    done = ledger.save(replace(saved, state=State.DONE, due_at=0.0))
    ledger.reschedule(key, T0 + 2, T0 + 3)
    assert ledger.load(key) == done


@pytest.mark.parametrize("state", [State.DEFERRED, State.TRIED])
def test_record_that_cannot_be_read_does_not_come_back_at_once(
    ledger: Any, queue_id: str, spoil: Callable[[JobKey], None], state: State
) -> None:
    """Of a later version, after a roll-back: it is named, leaves the due jobs, and hides no other."""
    key, other = JobKey(queue_id), JobKey(queue_id, 1)
    for name in (key, other):
        ledger.save(JobRecord(name, T0, state, due_at=T0 + 1))
    spoil(key)
    with pytest.raises(RecordUnreadable) as told:
        ledger.wake(key, T0 + 2, T0 + 900)
    assert told.value.job == Job(key, T0)
    with pytest.raises(RecordUnreadable):
        ledger.load(key)
    shard = shard_of(queue_id, DUE_SHARDS)
    assert ledger.due(shard, T0 + 10, 10) == [DueJob(other, T0 + 1)]
    ledger.reschedule(key, T0 + 900, T0 + 9000)
    assert ledger.due(shard, T0 + 9999, 10) == [DueJob(other, T0 + 1), DueJob(key, T0 + 9000)]
    assert [record.key for record in ledger.waiting(1000) if record.key.queue_id == queue_id] == [other]


def test_scan_reads_every_record_once(ledger: Any, queue_id: str) -> None:
    """Page by page, from the end of one or from the middle of it, whatever else the store holds."""
    keys = {JobKey(queue_id, chunk) for chunk in (0, 1, 2, 10)}
    for key in keys:
        ledger.save(JobRecord(key, T0, State.DONE))
    found, after, pages = [], "", 0
    while pages == 0 or after:
        page, after = ledger.scan(3, after)
        ours = [record.key for record in page if record.key in keys]
        found += ours[:1]
        after = position(ours[0]) if ours else after
        pages += 1
    assert sorted(found, key=lambda key: key.chunk) == sorted(keys, key=lambda key: key.chunk)
    for nonsense in ("x", "job#"):
        with pytest.raises(ValueError, match=r"."):
            ledger.scan(3, nonsense)


def test_waiting_lists_deferred_jobs_soonest_first(ledger: Any, queue_id: str) -> None:
    """What mailq shows."""
    for chunk, due_at in enumerate((T0 + 3, 0.0, T0 + 2)):
        ledger.save(JobRecord(JobKey(queue_id, chunk), T0, State.DEFERRED, due_at=due_at))
    mine = [r.key.chunk for r in ledger.waiting(1000) if r.key.queue_id == queue_id]
    assert mine == [2, 0]
    assert len(ledger.waiting(1)) == 1


_instants = st.floats(0, 4e9)
_outcomes = st.builds(
    Outcome,
    st.sampled_from(Result),
    st.text(max_size=9),
    st.integers(0, 999),
    st.text(max_size=50),
    st.text(max_size=8),
    st.text(max_size=8),
    st.text(max_size=8),
    st.booleans(),
    st.text(max_size=8),
    st.builds(TlsFacts, *[st.text(max_size=8)] * 3, st.booleans(), st.text(max_size=8)),
    _instants,
    st.booleans(),
)


@given(
    st.builds(
        JobRecord,
        key=st.builds(JobKey, st.text("abc234", min_size=1), st.integers(0, 9)),
        queued_at=_instants,
        state=st.sampled_from(State),
        version=st.integers(0, 99),
        attempts=st.integers(0, 99),
        faults=st.integers(0, 99),
        paced=st.integers(0, 99),
        token=st.text("abc", max_size=5),
        lease_until=_instants,
        due_at=_instants,
        recipient_count=st.integers(0, 100),
        reverse_path=st.text(max_size=30),
        recipients=st.dictionaries(
            st.integers(0, 1000),
            st.builds(RecipientState, st.text(max_size=30), _outcomes, _instants, st.integers(1, 99)),
            max_size=3,
        ),
        owed=st.lists(st.builds(Notice, st.sampled_from(NoticeKind), st.integers(1, 9)), max_size=3).map(tuple),
        warned=st.booleans(),
        priority=st.sampled_from(["", "bulk"]),
        deliver_by_at=_instants,
        returns_by=st.booleans(),
        told_by=st.booleans(),
        delay_told=st.integers(0, 99),
        tries_at=_instants,
        log=st.lists(
            st.builds(
                LogEntry,
                _instants,
                st.text(max_size=9),
                st.integers(0, 9),
                st.lists(st.integers(0, 99)).map(tuple),
                st.text(max_size=30),
                st.sampled_from(["", "2026-01-02/cafe"]),
            ),
            max_size=3,
        ).map(tuple),
    )
)
def test_any_record_survives_its_item(record: JobRecord) -> None:
    """DynamoDB's form of a record loses nothing."""
    assert _record(_item(record)) == record


def test_identity_is_kept_listed_and_forgotten(identities: Any) -> None:
    """Address and domain identities; a new one never overwrites."""
    first = Identity("a.example", False, "t1", T0)
    assert identities.get("a.example") is None
    assert identities.put(first, new=True)
    assert not identities.put(Identity("a.example", True, "t2", T0), new=True)
    assert identities.get("a.example") == first
    verified = replace(first, verified=True)
    assert identities.put(verified)
    identities.put(Identity("me@b.example", True, "t3", T0, "shop"))
    assert identities.all(10) == [verified, Identity("me@b.example", True, "t3", T0, "shop")]
    assert identities.all(1) == [verified]
    assert [i.name for i in identities.all(10, "a.example")] == ["me@b.example"]
    identities.delete("a.example")
    identities.delete("a.example")
    assert identities.get("a.example") is None
