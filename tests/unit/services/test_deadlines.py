"""DELIVERBY on the mail's road (RFC 2852): told or returned in time, with hold, later sending, crashes and NOTIFY."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paravion.domain.envelope import DeliverBy, Recipient, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import State, held, released
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.status import BAD_REQUEST, EXPIRED, Rejected
from paravion.ports import QueueName
from tests.support.world import PLAN, START, Saboteur, World

BUSY = Outcome(Result.DEFERRED, "4.3.2", 451, "busy, come back", "RCPT", "mx.b.example")
IN_AN_HOUR = Outcome(Result.DEFERRED, "4.7.1", 451, "Greylisted, try again in 3600 seconds", "RCPT", "mx.b.example")
TAKEN = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.b.example")
YOU, SENDER = "you@b.example", "author@a.example"


def told(world: World) -> list[tuple[str, str]]:
    """Give action and status of each report that the sender got, in order."""
    found = []
    for report in world.accepted_by(SENDER):
        fields = dict(
            line.split(": ", 1) for line in report.decode().splitlines() if line.startswith(("Action", "Sta"))
        )
        found.append((fields["Action"], fields["Status"]))
    return found


def job(world: World, queue_id: str) -> Any:
    """Give the only job's record."""
    (record,) = world.ledger.load_message(queue_id)
    return record


def attempts_at(world: World, queue_id: str) -> list[float]:
    """Give when each attempt ended, from the start."""
    return [entry.at - START for entry in job(world, queue_id).log if entry.event in {"deferred", "delivered"}]


def test_return_is_kept_to_the_second() -> None:
    """By-mode R: a last attempt before, 5.4.7 at the time, no warning although the mail is late."""
    world = World({YOU: [BUSY]}, plan=replace(PLAN, warn_s=99_999.0))
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 3600, returns=True))
    world.run()
    record = job(world, receipt.queue_id)
    assert record.recipients[0].at == START + 3600
    assert attempts_at(world, receipt.queue_id) == [0, 315, 945, 2205, 3465]
    assert told(world) == [("failed", "5.4.7")]
    (report,) = world.accepted_by(SENDER)
    assert b"Deliver-By-Date: Fri, 15 Jan 2027 09:00:00 +0000" in report
    assert b"busy, come back" in report


def test_notify_tells_at_the_time_and_goes_on() -> None:
    """By-mode N: one delay report at the deadline, which is no attempt, and no warning besides."""
    world = World({YOU: [BUSY] * 4 + [TAKEN]}, plan=replace(PLAN, warn_s=3000.0))
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 1500))
    world.run()
    assert attempts_at(world, receipt.queue_id) == [0, 315, 945, 2205, 3465]
    assert told(world) == [("delayed", "4.3.2")]
    (report,) = [octets for octets in map(decode_qf, world.spool.envelopes.values()) if octets[0].kind == "dsn"]
    assert report[0].queued_at == START + 1500
    (record,) = [record for record in world.ledger.records.values() if record.key.queue_id == receipt.queue_id]
    assert (record.told_by, record.warned, record.owed) == (True, True, ())


def test_notify_does_not_ask_a_host_sooner() -> None:
    """Who wants an hour gets it, though the sender is told after half of one."""
    world = World({YOU: [IN_AN_HOUR, TAKEN]})
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 1800))
    world.run()
    first, second = attempts_at(world, receipt.queue_id)
    assert (first, second >= 3600) == (0, True)
    assert told(world) == [("delayed", "4.7.1")]


def test_a_warning_before_the_deadline_is_another_report() -> None:
    """The queue's own first, the deadline's later: the sender asked for it."""
    world = World({YOU: [BUSY]}, plan=replace(PLAN, warn_s=900.0))
    world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 3000))
    world.run()
    assert [action for action, _ in told(world)] == ["delayed", "delayed", "failed"]


@pytest.mark.parametrize(
    ("notify", "expected"), [((), 1), (("DELAY",), 1), (("FAILURE",), 0), (("NEVER",), 0), (("SUCCESS", "DELAY"), 1)]
)
def test_notify_parameter_decides_who_is_told(notify: tuple[str, ...], expected: int) -> None:
    """RFC 2852 with RFC 3461 4.1."""
    world = World({YOU: [BUSY] * 3 + [replace(TAKEN, relayed_dsn=True)]})
    world.submit(Recipient(YOU, notify), sender=SENDER, deliver_by=DeliverBy(START + 60))
    world.run()
    assert [action for action, _ in told(world)] == ["delayed"] * expected


@pytest.mark.parametrize("notify", [(), ("FAILURE",), ("SUCCESS",), ("NEVER",)])
@pytest.mark.parametrize("relayed_dsn", [True, False])
def test_passing_on_is_told_unless_never(notify: tuple[str, ...], *, relayed_dsn: bool) -> None:
    """A deadline that is lost at the next host, or traced: one `relayed`, also if that host reports successes."""
    world = World({YOU: [replace(TAKEN, is_traced=True, relayed_dsn=relayed_dsn)]})
    world.submit(Recipient(YOU, notify), sender=SENDER, deliver_by=DeliverBy(START + 60, traces=True))
    world.run()
    assert told(world) == ([] if notify == ("NEVER",) else [("relayed", "2.0.0")])


def test_a_program_that_asked_is_told() -> None:
    """RFC 3834 2 is about what nobody asked for."""
    world = World({YOU: [BUSY] * 3 + [TAKEN]})
    world.submit(YOU, sender="owner-list@a.example", deliver_by=DeliverBy(START + 60))
    world.run()
    assert len(world.accepted_by("owner-list@a.example")) == 1


def test_a_time_that_is_over_already() -> None:
    """By-mode N: taken, and nobody told again; R: refused, but not the repeat of what was taken in time."""
    world = World({YOU: [BUSY] * 3 + [TAKEN]})
    world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START - 5))
    world.run()
    assert told(world) == []
    by = DeliverBy(world.now + 10, returns=True)
    world.submit("me@b.example", deliver_by=by, idempotency_key="k")
    world.now += 20
    assert world.submit("me@b.example", deliver_by=by, idempotency_key="k").repeated
    with pytest.raises(Rejected) as rejected:
        world.submit("me@b.example", deliver_by=by)
    assert rejected.value.status is EXPIRED


def test_sent_later_than_it_must_be_there_is_refused() -> None:
    """FUTURERELEASE behind the deadline; before it both are kept."""
    world = World()
    with pytest.raises(Rejected) as rejected:
        world.submit(YOU, release_at=START + 60, deliver_by=DeliverBy(START + 60))
    assert rejected.value.status is BAD_REQUEST
    world = World({YOU: [BUSY]})
    receipt = world.submit(
        YOU, sender=SENDER, release_at=START + 5000, deliver_by=DeliverBy(START + 6000, returns=True)
    )
    world.run()
    assert job(world, receipt.queue_id).recipients[0].at == START + 6000
    # The time runs from MAIL, and so does not begin with the release.
    assert attempts_at(world, receipt.queue_id) == [5000, 5315, 5900]


def test_in_hold_nothing_is_returned() -> None:
    """By-mode R: the deadline passes all the same, and counts when the mail is released."""
    world = World({YOU: [BUSY] * 2 + [TAKEN]})
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 400, returns=True))
    world.run(until=START + 1)
    record = world.ledger.save(held(job(world, receipt.queue_id), "why", now=world.now, by="op"))
    world.run(until=START + 9000)
    assert told(world) == []
    world.now = START + 9000
    world.ledger.save(released(record, now=world.now, by="op"))
    world.run()
    assert [action for action, _ in told(world)] == ["failed"]


@pytest.mark.parametrize("how", ["tried", "by rule", "late", "lost"])
def test_in_hold_the_sender_is_told_in_time(how: str) -> None:
    """By-mode N: once, at the deadline or when a hold begins behind it; not why, and not again at the release."""
    world = World({YOU: [BUSY, TAKEN]}, local_domains="local.example")
    if how == "by rule":
        world.load("access", f"From:{SENDER} QUARANTINE:looks like spam\n")
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 400))
    world.run(until=START + 1)
    if how != "by rule":
        at = START + 500 if how == "late" else world.now
        world.ledger.save(held(job(world, receipt.queue_id), "looks like spam", now=at, by="op"))
        world.now = at
    if how == "lost":
        del world.spool.envelopes[receipt.queue_id]
    world.run(until=START + 9000)
    record = job(world, receipt.queue_id)
    assert (record.state, record.due_at, record.owed) == (State.HELD, START + LIFETIME_S, ())
    assert told(world) == [("delayed", "4.3.2")]
    (report,) = world.accepted_by(SENDER)
    text = report.decode().replace("\r\n", " ")
    assert "We will keep trying until Friday 29 January 2027" in text
    assert "spam" not in text
    assert ("It still waits in our own mail system." in text) is (how == "by rule")
    if how == "lost":
        return
    world.now = START + 9000
    world.ledger.save(released(record, now=world.now, by="op"))
    world.run()
    assert ([action for action, _ in told(world)], len(world.accepted_by(YOU))) == (["delayed"], 1)


def test_a_queue_that_stood_still_sends_nothing_late() -> None:
    """By-mode R: deliver finds it over before it sends."""
    world = World()
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 60, returns=True))
    world.now += 60
    world.run()
    assert world.states(receipt.queue_id) == {YOU: "failed"}
    assert (world.accepted_by(YOU), told(world)) == ([], [("failed", "5.4.7")])


def test_a_job_that_deliver_never_had_ends_in_time_too() -> None:
    """Its item came to the retry queue without a claim: the envelope says when."""
    world = World()
    receipt = world.submit(YOU, sender=SENDER, deliver_by=DeliverBy(START + 60, returns=True))
    (item,) = world.queues.receive(QueueName.DELIVERY, 1)
    world.queues.delete(QueueName.DELIVERY, [item.receipt])
    world.now += 61
    world.queues.send(QueueName.RETRY, [item.job])
    world.run()
    assert job(world, receipt.queue_id).state is State.DONE
    assert told(world) == [("failed", "5.4.7")]


def test_the_earlier_of_set_and_deadline_counts() -> None:
    """MaxDeliverySeconds 600 before a deadline of an hour, and the other way round."""
    for max_s, by_s in ((600, 3600), (3600, 600)):
        world = World({YOU: [BUSY]})
        world.records.put("configuration-set", "s", {"DeliveryOptions": {"MaxDeliverySeconds": max_s}})
        receipt = world.submit(
            YOU, sender=SENDER, configuration_set="s", deliver_by=DeliverBy(START + by_s, returns=True)
        )
        world.run()
        assert job(world, receipt.queue_id).recipients[0].at == START + 600


def test_list_members_have_no_deadline() -> None:
    """What a list sends is another mail, with the list's own reverse-path (RFC 3461 5.2.7.1 for the rest)."""
    world = World(local_domains="local.example")
    world.load("aliases", "all: a@b.example, c@b.example\nowner-all: boss@b.example\n")
    world.submit("all@local.example", sender=SENDER, deliver_by=DeliverBy(START + 600, returns=True))
    world.run()
    (kept,) = [
        envelope
        for envelope, _ in map(decode_qf, world.spool.envelopes.values())
        if "a@b.example" in [recipient.forward_path for recipient in envelope.recipients]
    ]
    assert kept.deliver_by is None


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_tells_once_and_in_time(*, after: bool) -> None:
    """By-mode N with two attempts around the deadline: whatever breaks off, one delay report and one delivery."""
    by = DeliverBy(START + 900)
    # The last attempt comes long after all that breaks off: who has his mail is no longer told of its delay.
    plan = replace(PLAN, intervals_s=(600.0, 14_400.0))
    world = World({YOU: [BUSY, BUSY, TAKEN]}, plan=plan)
    world.submit_like_a_door(YOU, sender=SENDER, deliver_by=by)
    world.run()
    assert told(world) == [("delayed", "4.3.2")]
    for at in range(len(world.saboteur.calls)):
        broken = World({YOU: [BUSY, BUSY, TAKEN]}, plan=plan, saboteur=Saboteur(at=at, after=after))
        broken.submit_like_a_door(YOU, sender=SENDER, deliver_by=by)
        broken.run()
        name = broken.saboteur.calls[at]
        assert len(set(broken.accepted_by(SENDER))) == 1, name
        assert broken.accepted_by(YOU), name
