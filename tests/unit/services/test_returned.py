"""The last attempt: who is refused in it and who is given up after it are told of in one report, once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey
from paravion.ports import QueueName
from tests.support.world import PLAN, Saboteur, World

SENDER = "me@example.org"
A, B = "a@a.example", "b@b.example"
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx.a")
GONE = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.b")
FEW = replace(PLAN, intervals_s=(300, 28_800, 172_800), jitter_ratio=0.0)
"""Attempts at 0, 5 min, 8 h 5 min, 56 h 5 min, 104 h 5 min and 5 days."""

ATTEMPTS = 6
SCRIPT = {A: [BUSY] * 20, B: [BUSY] * (ATTEMPTS - 1) + [GONE]}


def journey(saboteur=None, script=SCRIPT, notify=()):
    """Submit to both, run to the end."""
    world = World(script, saboteur=saboteur or Saboteur(), plan=FEW)
    world.submit_like_a_door(Recipient(A), Recipient(B, notify=notify))
    world.run()
    return world


def failures(world):
    """What was told of failures."""
    return [content for content in world.accepted_by(SENDER) if b"\r\nAction: failed" in content]


def test_one_report_tells_of_both():
    """Each with his own reason, and with the date of the last attempt."""
    world = journey()
    (report,) = failures(world)
    assert b"Subject: Not delivered: your mail to 2 recipients" in report
    words = report.partition(b"Content-Type: text/html")[0].replace(b"\r\n", b"\n")
    assert b"    a@a.example\n\nWe kept trying for 5 days and have now given up.\n\nWhen we last tried, " in words
    assert b"    b@b.example\n\nWhy: this address does not exist." in words
    assert re.findall(rb"\r\nStatus: ([^\r]*)", report) == [b"5.4.7", b"5.1.1"]
    assert len(re.findall(rb"\r\nLast-Attempt-Date: Wed, 20 Jan 2027 08:00:00 [+]0000", report)) == 2
    record = next(r for r in world.ledger.records.values() if len(r.recipients) == 2)
    assert record.attempts == ATTEMPTS


def test_who_wants_to_hear_nothing_is_not_told_of():
    """Of one that is left the report is the usual one."""
    (report,) = failures(journey(notify=("NEVER",)))
    assert b"Subject: Not delivered: your mail to a@a.example" in report
    assert b"We kept trying for 5 days and have now given up:" in report.replace(b"=\r\n", b"")
    assert b"b@b.example" not in report


def test_a_failure_before_the_last_attempt_is_told_of_at_once():
    """Once `retry` has decided that the other is tried again."""
    script = {**SCRIPT, B: [GONE]}
    world = World(script, plan=FEW)
    queue_id = world.submit(A, B).queue_id
    world.invoke(QueueName.DELIVERY)
    assert not world.queues.items[QueueName.BOUNCE]  # one message to that queue, and not two
    for queue in (QueueName.DELIVERY, QueueName.RETRY, QueueName.BOUNCE, QueueName.DELIVERY):
        world.invoke(queue)
    assert len(failures(world)) == 1
    world.run()
    told = [re.findall(rb"Final-Recipient: rfc822; ([^\r]*)", report) for report in failures(world)]
    assert told == [[b"b@b.example"], [b"a@a.example"]]
    assert world.ledger.load(JobKey(queue_id)).owed == ()


CALLS = journey().saboteur.calls
_LAST = max(n for n, name in enumerate(CALLS) if name == "retry:ledger.save")
STEPS = [n for n in range(_LAST - 12, _LAST + 14) if n < len(CALLS)]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", STEPS)
def test_crash_at_any_step_of_the_end_tells_of_each_once(at, after):
    """Whoever dies, and whatever is repeated for it: both are told of, neither twice."""
    world = journey(Saboteur(at=at, after=after))
    told = [path for report in failures(world) for path in re.findall(rb"Final-Recipient: rfc822; ([^\r]*)", report)]
    assert sorted(told) == [b"a@a.example", b"b@b.example"]
