"""The job's state machine, transition by transition."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain import queue
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import (
    LOG_ENTRIES,
    Job,
    JobKey,
    JobRecord,
    LogEntry,
    Notice,
    NoticeKind,
    RecipientState,
    State,
)

KEY = JobKey("q" * 26)
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx")
GONE = Outcome(Result.FAILED, "5.1.1", 550, "gone", "RCPT", "mx")


def _claimed(count: int = 2, **fields: object) -> JobRecord:
    record = queue.claimed(None, Job(KEY, 1.0), token="t", lease_until=90.0)
    return replace(record, recipient_count=count, **fields)  # type: ignore[arg-type]


def _with(
    record: JobRecord, outcomes: dict[int, Outcome], *, last: bool = True, **notify: tuple[str, ...]
) -> JobRecord:
    told = {n: (f"r{n}@a.example", outcome) for n, outcome in outcomes.items()}
    wishes = {int(name[1:]): words for name, words in notify.items()}
    return queue.with_outcomes(record, told, now=5.0, notify=wishes, last=last)


@pytest.mark.parametrize("state", State)
def test_only_untouched_and_ready_jobs_are_claimed(state: State) -> None:
    """A claimed job stays its worker's even when the lease is over: `retry` decides."""
    assert queue.can_claim(None)
    assert queue.can_claim(JobRecord(KEY, 0.0, state)) is (state is State.READY)


def test_claim_counts_attempts_and_keeps_what_is_known() -> None:
    """A claim after a sweep goes on where the job stood."""
    tried = replace(_with(_claimed(), {0: OK, 1: BUSY}), state=State.READY, due_at=99.0)
    again = queue.claimed(tried, Job(KEY, 7.0), token="u", lease_until=200.0)
    assert (again.state, again.attempts, again.token, again.due_at) == (State.CLAIMED, 2, "u", 99.0)
    assert again.queued_at == 1.0
    assert again.open_positions([0, 1]) == [1]


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ({0: OK, 1: OK}, State.DONE),
        ({0: OK, 1: GONE}, State.DONE),
        ({0: OK, 1: BUSY}, State.TRIED),
        ({0: BUSY, 1: BUSY}, State.TRIED),
        ({0: OK}, State.TRIED),
        ({}, State.TRIED),
    ],
    ids=["delivered", "one failed", "one deferred", "all deferred", "one untold", "nothing told"],
)
def test_attempt_ends_done_only_when_everybody_is_final(outcomes: dict[int, Outcome], state: State) -> None:
    """A recipient that nobody spoke of is not done."""
    record = _with(_claimed(), outcomes)
    assert (record.state, record.token, record.lease_until) == (state, "", 0.0)


def test_outcome_under_way_keeps_the_lease() -> None:
    """The first hop's outcome is recorded while the second hop is still talking."""
    record = _with(_claimed(), {0: OK}, last=False)
    assert (record.state, record.token) == (State.CLAIMED, "t")


@pytest.mark.parametrize("later", [OK, BUSY, GONE])
@pytest.mark.parametrize("first", [OK, GONE])
def test_final_is_final(first: Outcome, later: Outcome) -> None:
    """Whatever is told later of a recipient that is delivered or failed, nothing changes, nothing is owed anew."""
    record = _with(_claimed(1), {0: first}, last=False)
    again = _with(record, {0: later})
    assert again.recipients == record.recipients
    assert again.owed == record.owed
    told = {0: ("r0@a.example", replace(GONE, command="EXPIRED"))}
    assert queue.expired(record, now=9.0, outcomes=told, notify={}).recipients == record.recipients


def test_failures_of_one_attempt_share_a_notice() -> None:
    """One report for all recipients that failed together; those of a later attempt get their own."""
    record = _with(_claimed(3), {0: GONE, 1: GONE, 2: BUSY})
    assert record.owed == (Notice(NoticeKind.FAILED, 1), Notice(NoticeKind.SUPPRESS, 1))
    later = queue.claimed(replace(record, state=State.READY), Job(KEY, 1.0), token="u", lease_until=9.0)
    later = _with(later, {2: GONE})
    assert [sorted(queue.members(later, notice, {})) for notice in later.owed] == [[0, 1], [0, 1], [2], [2]]


def test_suppression_list_hears_of_unknown_addresses_whatever_the_sender_wants() -> None:
    """Nobody asked for a report of the first; the second is full, the third is unknown, the fourth was given up."""
    full = replace(GONE, status="5.2.2", text="mailbox is full")
    record = _with(_claimed(4), {0: GONE, 1: full, 2: GONE, 3: BUSY}, r0=("NEVER",))
    failed, suppress = Notice(NoticeKind.FAILED, 1), Notice(NoticeKind.SUPPRESS, 1)
    assert set(record.owed) == {failed, suppress}
    told = {3: ("r3@a.example", replace(BUSY, result=Result.FAILED, status="5.4.7", command="EXPIRED"))}
    over = queue.expired(record, now=99.0, outcomes=told, notify={})
    assert sorted(queue.members(over, suppress, {0: ("NEVER",)})) == [0, 2]
    assert sorted(queue.members(over, failed, {0: ("NEVER",)})) == [1, 2]


GIVEN_UP = replace(BUSY, result=Result.FAILED, status="5.4.7", command="EXPIRED")
FAILED, EXPIRED, RETURNED, SUPPRESS = (
    Notice(kind, 1) for kind in (NoticeKind.FAILED, NoticeKind.EXPIRED, NoticeKind.RETURNED, NoticeKind.SUPPRESS)
)
ENDS = {
    "given up on the attempt's heels": (State.TRIED, {}, {RETURNED: [0, 1], SUPPRESS: [0]}),
    "the attempt broke off": (State.CLAIMED, {}, {RETURNED: [0, 1], SUPPRESS: [0]}),
    "later: of the first it may be told already": (State.DEFERRED, {}, {FAILED: [0], EXPIRED: [1], SUPPRESS: [0]}),
    "the same, sent back and lost": (State.READY, {}, {FAILED: [0], EXPIRED: [1], SUPPRESS: [0]}),
    "nobody wants to hear of the second": (State.TRIED, {1: ("NEVER",)}, {FAILED: [0], SUPPRESS: [0]}),
    "nobody wants to hear of the first": (State.TRIED, {0: ("NEVER",)}, {EXPIRED: [1], SUPPRESS: [0]}),
}


@pytest.mark.parametrize("key", ENDS)
def test_refused_and_given_up_in_the_end_share_a_notice(key: str) -> None:
    """Unless somebody can have told of the first before the second was given up; each is told of once."""
    state, notify, expected = ENDS[key]
    wishes = {f"r{n}": wish for n, wish in notify.items()}
    record = replace(_with(_claimed(), {0: GONE, 1: BUSY}, **wishes), state=state)
    over = queue.expired(record, now=99.0, outcomes={1: ("r1@a.example", GIVEN_UP)}, notify=notify)
    assert over.state is State.DONE
    assert {notice: sorted(queue.members(over, notice, notify)) for notice in over.owed} == expected
    assert all(queue.can_tell(over, notice) for notice in over.owed)


TELLABLE = {
    "under way": (State.CLAIMED, FAILED, False),
    "under way, of an earlier one": (State.CLAIMED, replace(FAILED, attempt=0), True),
    "not decided about the others": (State.TRIED, FAILED, False),
    "of an earlier one": (State.TRIED, replace(FAILED, attempt=0), True),
    "a success": (State.TRIED, replace(FAILED, kind=NoticeKind.RELAYED), True),
    "a delay": (State.TRIED, replace(FAILED, kind=NoticeKind.DELAYED), True),
    "decided": (State.DEFERRED, FAILED, True),
    "held": (State.HELD, FAILED, True),
    "done": (State.DONE, FAILED, True),
    "removed": (State.REMOVED, FAILED, True),
}


@pytest.mark.parametrize("key", TELLABLE)
def test_a_notice_is_told_when_it_is_known_of_whom(key: str) -> None:
    """What comes of the others is decided by who moves a tried job on."""
    state, notice, can_tell = TELLABLE[key]
    assert queue.can_tell(replace(_claimed(), state=state), notice) is can_tell


def _refused_at(at: float, *, given_up: bool = False, **values: object) -> JobRecord:
    """A job whose first recipient was refused at that time, after its first attempt."""
    states = {0: RecipientState("r0@a.example", GONE, at, 1), 1: RecipientState("r1@a.example", OK, 2.0, 1)}
    states |= {1: RecipientState("r1@a.example", GIVEN_UP, at, 1)} if given_up else {}
    fields = {"state": State.DONE, "recipients": states, "last_at": 50.0, **values}
    return replace(_claimed(), **fields)  # type: ignore[arg-type]


OF_THE_END = {
    "refused in the last attempt": (_refused_at(50.0), FAILED, True),
    "refused before it": (_refused_at(49.0), FAILED, False),
    "never planned": (_refused_at(50.0, last_at=0.0), FAILED, False),
    "others still wait": (_refused_at(50.0, state=State.DEFERRED), FAILED, False),
    "others failed later": (_refused_at(50.0, attempts=2), FAILED, False),
    "told before the others were given up": (_refused_at(50.0, given_up=True), FAILED, False),
    "given up": (_refused_at(0.0), EXPIRED, True),
    "both": (_refused_at(0.0), RETURNED, True),
    "a success": (_refused_at(50.0), replace(FAILED, kind=NoticeKind.RELAYED), False),
}


@pytest.mark.parametrize("key", OF_THE_END)
def test_what_tells_of_the_end(key: str) -> None:
    """The jobs of a message share a report of it."""
    record, notice, is_it = OF_THE_END[key]
    assert queue.is_of_the_end(record, notice) is is_it


def test_an_expiry_remembers_the_last_attempt() -> None:
    """RFC 3464 2.3.7: it is entered later than that. Who was never tried has none."""
    record = _with(_claimed(3), {0: BUSY})
    told = {n: (f"r{n}@a.example", GIVEN_UP) for n in range(3)}
    over = queue.expired(record, now=99.0, outcomes=told, notify={})
    assert [state.at for state in over.recipients.values()] == [99.0] * 3
    assert [state.tried_at for state in over.recipients.values()] == [record.recipients[0].at, 0.0, 0.0]


@pytest.mark.parametrize(
    ("notify", "delay"), [((), True), (("DELAY",), True), (("FAILURE",), False), (("NEVER",), False)]
)
def test_delay_is_told_to_those_who_want_it(notify: tuple[str, ...], delay: bool) -> None:
    """RFC 3461 4.1: without NOTIFY a delay is reported at our choice."""
    assert queue.wants_delay_notice(notify) is delay


def test_delay_notice_speaks_of_those_who_waited() -> None:
    """Who has the mail by the time that the report is built is not called late."""
    record = _with(_claimed(3), {0: OK, 1: BUSY, 2: BUSY})
    notice = Notice(NoticeKind.DELAYED, 1)
    again = queue.claimed(replace(record, state=State.READY), Job(KEY, 1.0), token="u", lease_until=9.0)
    again = _with(again, {1: OK, 2: BUSY})
    assert sorted(queue.members(again, notice, {})) == [2]


def test_record_is_changed_as_by_replace() -> None:
    """Only what is named, and nothing that a record has not."""
    record = _claimed(2)
    changed = record.changed(state=State.TRIED, token="")
    assert changed == replace(record, state=State.TRIED, token="")
    assert record == _claimed(2)
    with pytest.raises(TypeError):
        record.changed(stat=State.TRIED)


def test_event_of_the_job_is_logged() -> None:
    """A line without recipients."""
    record = queue.with_event(_claimed(), "broke_off", now=3.0, text="x")
    assert record.log[-1] == LogEntry(3.0, "broke_off", 1, (), "x")


@given(st.lists(st.sampled_from([OK, BUSY, GONE]), max_size=200))
def test_history_is_bounded_and_keeps_its_ends(outcomes: list[Outcome]) -> None:
    """However long a job is tried, its record stays small; the beginning and the end are kept."""
    record = _claimed(1000)
    for n, outcome in enumerate(outcomes):
        record = queue.with_event(record, f"{n}", now=float(n), text=outcome.text)
    assert len(record.log) <= LOG_ENTRIES
    if outcomes:
        assert (record.log[0].event, record.log[-1].event) == ("0", str(len(outcomes) - 1))


@given(st.dictionaries(st.integers(0, 9), st.sampled_from([OK, BUSY, GONE])))
def test_every_outcome_is_in_the_history_once(outcomes: dict[int, Outcome]) -> None:
    """Same words share a line; every recipient stands in one."""
    record = _with(_claimed(10), outcomes)
    assert sorted(n for entry in record.log for n in entry.recipients) == sorted(outcomes)
    assert len(record.log) == len(set(outcomes.values()))


@pytest.mark.parametrize(
    ("kind", "outcome", "wish"),
    [(NoticeKind.FAILED, GONE, "FAILURE"), (NoticeKind.DELAYED, BUSY, "DELAY"), (NoticeKind.RELAYED, OK, "SUCCESS")],
)
def test_notice_leaves_out_who_asked_for_none(kind: NoticeKind, outcome: Outcome, wish: str) -> None:
    """RFC 3461 4.1: NEVER stays silent also beside others that failed in the same attempt."""
    record = _with(_claimed(2), {0: outcome, 1: outcome}, n0=(wish,), n1=("NEVER",))
    assert sorted(queue.members(record, Notice(kind, 1), {0: (wish,), 1: ("NEVER",)})) == [0]


def test_next_hop_that_took_over_the_duty_is_not_reported_for() -> None:
    """RFC 3461 5.2.2: a host with DSN reports itself; beside it one without is reported by us."""
    record = _with(_claimed(2), {0: replace(OK, relayed_dsn=True), 1: OK}, n0=("SUCCESS",), n1=("SUCCESS",))
    assert sorted(queue.members(record, record.owed[0], {0: ("SUCCESS",), 1: ("SUCCESS",)})) == [1]
