"""services/joined_report.py: what fails together is told together, once, whoever breaks off where."""

from __future__ import annotations

import re

import pytest

from paravion.domain import envelope, queue
from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, NoticeKind
from paravion.domain.schedule import LIFETIME_S
from paravion.ports import QueueName
from paravion.services import cancel, hold, joined_report
from tests.support.world import START, Saboteur, World
from tests.unit.services.test_flush import OPERATOR, deps_of

MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
NAMES = ("a@a.example", "b@b.example", "c@c.example", "d@d.example")
SCRIPT = {"a@a.example": [MISSING], "b@b.example": [MISSING], "c@c.example": [OK], "d@d.example": [BUSY, MISSING]}
SENDER = "me@example.org"


@pytest.fixture(autouse=True)
def jobs_of_one(monkeypatch):
    """Every recipient is a job of his own."""
    monkeypatch.setattr(envelope, "CHUNK_RECIPIENTS", 1)


def journey(saboteur=None, script=SCRIPT, names=NAMES, **fields):
    """Submit to all, run to the end, and give the world and whom each report tells of."""
    world = World(script, saboteur=saboteur or Saboteur())
    world.submit_like_a_door(*names, **fields)
    world.run()
    return world, told(world, fields.get("sender", SENDER))


def told(world, sender=SENDER):
    """Give the final recipients of each report, in the order of their arrival."""
    return [
        [name.decode() for name in re.findall(rb"Final-Recipient: rfc822; ([^\r]*)", content)]
        for content in world.accepted_by(sender)
    ]


def test_jobs_that_fail_together_are_told_together():
    """One report for the two that fail at once, one for the third, whose failure came later."""
    _, reports = journey()
    assert reports == [["a@a.example", "b@b.example"], ["d@d.example"]]


def test_report_counts_the_others_of_the_whole_message():
    """What the sender reads speaks of the message, not of its jobs."""
    world, _ = journey()
    assert b"This message is not about the other 2 recipients of your mail." in world.accepted_by(SENDER)[0]


with pytest.MonkeyPatch.context() as _patch:
    _patch.setattr(envelope, "CHUNK_RECIPIENTS", 1)
    STEPS = [n for n, name in enumerate(journey()[0].saboteur.calls) if name.startswith("bounce:")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(STEPS)))
def test_crash_at_any_step_tells_of_each_once(at, after):
    """A crash at every call of the teller: each recipient is reported exactly once, in whatever company."""
    world, reports = journey(Saboteur(at=STEPS[at], after=after))
    assert world.crashes <= 1  # a read that finds nothing has no instant after it
    assert sorted(name for report in reports for name in report) == ["a@a.example", "b@b.example", "d@d.example"]


def test_two_tellers_at_once_share_nothing(monkeypatch):
    """Another teller keeps a report of one job between our look and our write: that one is not told twice."""
    world = World({**SCRIPT, "d@d.example": [OK]})
    world.submit(*NAMES)
    while world.invoke(QueueName.DELIVERY, limit=1):
        pass
    decide = joined_report._decide
    raced = []

    def other_first(name, record, about, owed, deps):
        if not raced:
            raced.append(name)
            mine = {(record.key.chunk, about.notice.attempt)}
            decide(name, record, about, {job: members for job, members in owed.items() if job not in mine}, deps)
        return decide(name, record, about, owed, deps)

    monkeypatch.setattr(joined_report, "_decide", other_first)
    world.run()
    assert sorted(told(world)) == [["a@a.example"], ["b@b.example"]]


def test_job_under_way_is_waited_for_but_not_for_long():
    """A report waits a minute for a job that is still being tried, then goes without it."""
    world = World({**SCRIPT, "d@d.example": [OK]})
    world.submit(*NAMES)
    world.invoke(QueueName.DELIVERY, limit=1)  # one failed, three were not tried yet
    world.invoke(QueueName.BOUNCE)
    assert "dsn" not in world.kinds()
    assert world.queues.receive(QueueName.BOUNCE, 10) == []
    world.run()
    assert told(world) == [["a@a.example", "b@b.example"]]


def test_delays_and_expiries_are_joined_too():
    """Warned at the same time, given up at the same time: one report each."""
    always = {name: [BUSY] * 500 for name in NAMES[:2]}
    _, reports = journey(script=always, names=NAMES[:2])
    assert [sorted(report) for report in reports].count(["a@a.example", "b@b.example"]) >= 1
    assert len([name for report in reports for name in report]) == 4


END = {
    "each his own job": (1, {NAMES[0]: [BUSY] * 500, NAMES[1]: [BUSY] * 345 + [MISSING]}),
    "two and two": (2, {name: [BUSY] * 500 for name in (*NAMES[:2], NAMES[3])} | {NAMES[2]: [BUSY] * 345 + [MISSING]}),
    "a job of refused beside one of given up": (
        2,
        {name: [BUSY] * 345 + [MISSING] for name in NAMES[:2]} | {name: [BUSY] * 500 for name in NAMES[2:]},
    ),
}


@pytest.mark.parametrize("key", END)
def test_who_is_refused_at_the_end_is_told_of_with_who_is_given_up(key, monkeypatch):
    """The last attempt's refusals, and the expiries of the same minute, whatever job they are of: one report."""
    size, script = END[key]
    monkeypatch.setattr(envelope, "CHUNK_RECIPIENTS", size)
    world, reports = journey(script=script, names=tuple(script))
    (report,) = [content for content in world.accepted_by(SENDER) if b"Subject: Not delivered" in content]
    assert sorted(reports[-1]) == sorted(script)
    assert b"We kept trying for 5 days and have now given up.\n" in report.replace(b"\r\n", b"\n")
    assert b"Why: this address does not exist." in report
    assert len(reports) == 2  # the other is the warning


@pytest.mark.parametrize("key", ["each his own job", "a job of refused beside one of given up"])
def test_who_tells_of_all_settles_for_all(key, monkeypatch):
    """What a sibling's job owed is off its record, whatever it is called there: it need not find out by itself."""
    size, script = END[key]
    monkeypatch.setattr(envelope, "CHUNK_RECIPIENTS", size)
    world = World(script)
    queue_id = world.submit(*script).queue_id
    world.run(until=world.now + 431_999)
    world.now += 86_400
    while world.sweep() or world.invoke(QueueName.DELIVERY) or world.invoke(QueueName.RETRY):
        pass
    assert all(record.owed for record in world.ledger.load_message(queue_id))
    world.invoke(QueueName.BOUNCE, limit=1)
    owed = [notice.kind for record in world.ledger.load_message(queue_id) for notice in record.owed]
    assert set(owed) <= {NoticeKind.SUPPRESS}


def test_a_minute_is_how_long_the_first_waits():
    """A job that is still being tried after that is told of later: 60 s, looked at each 10."""
    world = World({**SCRIPT, "d@d.example": [OK]})
    queue_id = world.submit(*NAMES).queue_id
    world.invoke(QueueName.DELIVERY, limit=1)
    first = next(record for record in world.ledger.load_message(queue_id) if record.owed)
    began = world.now
    for seconds in (10, 20, 30, 40, 50, 59.9):
        world.invoke(QueueName.BOUNCE)
        assert "dsn" not in world.kinds()
        world.now = began + seconds
    assert world.ledger.load(first.key).owed
    world.now = began + 60
    world.invoke(QueueName.BOUNCE)
    assert "dsn" in world.kinds()


def test_program_gets_no_warning_unless_it_asked():
    """RFC 3834 2: a list's owner- address hears of failures, not of delays; NOTIFY=DELAY is asked for."""
    always = {name: [BUSY] * 500 for name in NAMES[:2]}
    names = (Recipient(NAMES[0]), Recipient(NAMES[1], notify=("DELAY",)))
    world, _ = journey(script=always, names=names, sender="list-bounces@example.org")
    subjects = [
        re.search(rb"Subject: ([^:]*)", content)[1] for content in world.accepted_by("list-bounces@example.org")
    ]
    assert subjects == [b"Delayed, still trying", b"Not delivered"]
    assert told(world, "list-bounces@example.org") == [["b@b.example"], ["a@a.example"]]


def cancelled(saboteur=None):
    """Cancel a message whose four jobs were tried once, twice, three times and not at all; run to the end."""
    world = World({name: [BUSY] * 9 for name in NAMES})
    queue_id = world.submit(*NAMES).queue_id
    for last in range(3, 0, -1):
        world.invoke(QueueName.DELIVERY, limit=last)
        world.queues.items[QueueName.DELIVERY].clear()
        world.invoke(QueueName.RETRY)
        for chunk in range(last - 1):
            record = world.ledger.load(JobKey(queue_id, chunk))
            world.ledger.save(queue.flushed(record, look_at=world.now + 900, now=world.now, by="op"))
            world.queues.send(QueueName.DELIVERY, [Job(record.key, record.queued_at)])
    attempts = [record.attempts if record else 0 for record in map(world.ledger.load, keys(queue_id))]
    assert attempts == [3, 2, 1, 0]
    cancel.cancel(queue_id, OPERATOR, deps_of(world))
    # Counted from here: the crash is one of those who return it and tell.
    if saboteur is not None:
        vars(world.saboteur).update(at=saboteur.at + len(world.saboteur.calls), after=saboteur.after)
    before = len(world.saboteur.calls)
    world.run()
    # Not the instant of RFC 1047, which is the deliverer's, nor the sweep's many looks.
    calls = enumerate(world.saboteur.calls[before:])
    return world, [n for n, name in calls if name.startswith(("retry:", "bounce:")) and not name.endswith(".due")]


def keys(queue_id):
    return [JobKey(queue_id, chunk) for chunk in range(len(NAMES))]


def test_cancelled_jobs_are_told_together_whatever_their_attempts():
    """One report for a message whose jobs have been tried three, two, one and no times."""
    world, _ = cancelled()
    assert told(world) == [sorted(NAMES)]


def test_cancelled_job_that_is_being_tried_joins_the_others():
    """Its attempt ends after the others were returned, and the next sweep finds it: one report all the same."""
    world = World({name: [BUSY] * 9 for name in NAMES})
    queue_id = world.submit(*NAMES).queue_id
    world.invoke(QueueName.DELIVERY, limit=3)
    world.queues.items[QueueName.DELIVERY].clear()
    busy = world.ledger.claim(Job(JobKey(queue_id, 3), START), token="t", lease_until=START + 600)
    cancel.cancel(queue_id, OPERATOR, deps_of(world))
    world.run(until=START + 50)
    assert told(world) == []
    busy = world.ledger.load(busy.key)
    outcomes = {3: (NAMES[3], BUSY)}
    world.ledger.save(queue.with_outcomes(busy, outcomes, now=world.now, notify={}, last=True))
    world.run()
    assert told(world) == [sorted(NAMES)]


def test_what_nobody_released_is_returned_together():
    """The hold's end after 14 days: as after a cancel, with other words; and one that failed before stays apart."""
    world = World({NAMES[0]: [MISSING], NAMES[1]: [BUSY] * 9})
    queue_id = world.submit(*NAMES).queue_id
    world.invoke(QueueName.DELIVERY, limit=2)
    hold.hold(queue_id, "looks odd", OPERATOR, deps_of(world))
    world.run()
    assert world.now >= START + LIFETIME_S
    assert told(world) == [[NAMES[0]], sorted(NAMES[1:])]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_crash_while_returning_tells_of_each_once(after):
    """A crash at every call of those who return what is cancelled, and who tell: nobody twice, nobody forgotten."""
    for at in cancelled()[1]:
        world, _ = cancelled(Saboteur(at=at, after=after))
        assert sorted(name for report in told(world) for name in report) == sorted(NAMES), at
