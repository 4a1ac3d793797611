"""services/joined_report.py: what fails together is told together, once, whoever breaks off where."""

from __future__ import annotations

import re

import pytest

from paravion.domain import envelope
from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import NoticeKind
from paravion.ports import QueueName
from paravion.services import joined_report
from tests.support.world import Saboteur, World

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
