"""Operators' acts, deadlines and the schedule together: where one's rule meets another's."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from paravion.domain.envelope import DeliverBy, decode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey, State
from paravion.domain.selection import Selection, parse
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, CANCELLED, Rejected
from paravion.ports import QueueName
from paravion.services import cancel, flush, hold, operations
from paravion.services.cancel import Cancel
from paravion.services.flush import Flush, Requeue
from paravion.services.hold import Release, Remove
from paravion.services.select import act_on_selection
from tests.support.world import PLAN, START, World
from tests.unit.services.test_flush import BUSY, OK, OPERATOR, OTHER, bulk, deps_of, sent, settle

SENDER = "me@example.org"
GONE = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.a")
LATER = Outcome(Result.DEFERRED, "4.7.1", 451, "Greylisted, try again in 7200 seconds", "RCPT", "mx.a")


def _actions(world: World) -> list[str]:
    lines = (line for report in world.accepted_by(SENDER) for line in report.decode().splitlines())
    return [line.removeprefix("Action: ") for line in lines if line.startswith("Action: ")]


def _deferred(*recipients: str, **fields) -> tuple[World, list[str]]:
    world = World({path: [BUSY] * 9 for path in recipients}, **fields)
    ids = [world.submit(path).queue_id for path in recipients]
    settle(world)
    return world, ids


# What the sender hears of delays


@pytest.mark.parametrize("recipients", [1, 150], ids=["one job", "several"])
def test_deadline_after_the_warning_is_told_though_no_attempt_lies_between(recipients: int) -> None:
    """A host that wants two hours: warned of in the meantime, and again when the time is over."""
    paths = [f"u{n}@a.example" for n in range(recipients)]
    world = World({path: [BUSY, LATER, OK] for path in paths}, plan=replace(PLAN, warn_s=300.0))
    world.submit(*paths, deliver_by=DeliverBy(START + 1500))
    world.run()
    reports = world.accepted_by(SENDER)
    assert len(reports) == 2
    assert _actions(world) == ["delayed"] * 2 * recipients
    assert len(world.accepted_by(paths[0])) == 1


def test_warning_after_a_requeue_is_told_though_no_attempt_lies_between() -> None:
    """Its new life passes in a queue that stands still."""
    world, (queue_id,) = _deferred("a@a.example", plan=replace(PLAN, warn_s=200.0))
    key = JobKey(queue_id)
    world.run(until=START + 400)
    assert _actions(world) == ["delayed"]
    before = world.ledger.load(key)
    flush.requeue(queue_id, OPERATOR, deps_of(world))
    items = world.queues.receive(QueueName.DELIVERY, 10)
    world.queues.delete(QueueName.DELIVERY, [item.receipt for item in items])
    world.queues.send(QueueName.RETRY, [items[0].job])
    world.now += 300
    for name in (QueueName.RETRY, QueueName.BOUNCE, QueueName.DELIVERY):
        world.invoke(name)
    assert world.ledger.load(key).attempts == before.attempts
    settle(world, 60)
    assert _actions(world) == ["delayed", "delayed"]


def test_requeued_after_its_deadline_it_is_returned_and_told_so_once() -> None:
    """By-mode R: no operator gives it more time than its sender."""
    for returns, expected in ((True, ["failed"]), (False, ["delayed"])):
        world = World({"a@a.example": [BUSY] * 3 + [OK]})
        queue_id = world.submit("a@a.example", deliver_by=DeliverBy(START + 1000, returns=returns)).queue_id
        settle(world, 400)
        hold.hold(queue_id, "wait", OPERATOR, deps_of(world))
        settle(world, 1000)
        world.now = START + 2000
        flush.requeue(queue_id, OPERATOR, deps_of(world))
        world.run()
        assert _actions(world) == expected
        assert bool(world.accepted_by("a@a.example")) is not returns


def test_untried_mail_that_is_acted_on_knows_its_times() -> None:
    """Its first record is the operator's, not a worker's."""
    world = World()
    deadline = DeliverBy(START + 900, returns=True)
    queue_id = world.submit("a@a.example", priority="urgent", deliver_by=deadline).queue_id
    flush.requeue(queue_id, OPERATOR, deps_of(world))
    record = world.ledger.load(JobKey(queue_id))
    assert (record.priority, record.deliver_by_at, record.returns_by) == ("urgent", START + 900, True)


# Whose mail it is


@pytest.mark.parametrize(("sender", "kind"), [(SENDER, "dsn"), ("", "double-bounce")])
def test_submitter_does_not_take_back_what_is_reported_of_his_mail(sender: str, kind: str) -> None:
    """A report carries his name, but whom it tells is not his to say: perhaps the postmaster, of him."""
    world = World({"a@a.example": [GONE]}, postmaster="postmaster@p.example")
    world.submit("a@a.example", sender=sender)
    for name in (QueueName.DELIVERY, QueueName.BOUNCE):
        world.invoke(name)
    kept = [decode_qf(octets)[0] for octets in world.spool.envelopes.values()]
    (report,) = [envelope for envelope in kept if envelope.kind == kind]
    with pytest.raises(Rejected) as caught:
        cancel.withdraw(report.queue_id, OTHER, deps_of(world))
    assert caught.value.status is ACCESS_DENIED
    world.run()
    assert sent(world) == [sender or "postmaster@p.example"]


# Selections


def test_page_goes_on_only_with_what_began_there() -> None:
    """The record of an operation tells of that one: other words, another credential or a dry run are refused."""
    world, _ = _deferred("a@a.example", "b@a.example", "c@b.example")
    deps, whom = deps_of(world), parse("a.example")
    real = act_on_selection(Flush("x", OPERATOR, deps), whom, OPERATOR, deps, limit=1)["after"]
    dry = act_on_selection(Flush("x", OPERATOR, deps), whom, OPERATOR, deps, limit=1, dry_run=True)["after"]
    other = replace(OPERATOR, access_key="AKIAOTHEROP")
    before = dict(world.ledger.records)
    for act, selection, who, after, dry_run in (
        (Cancel("y", OPERATOR, deps), whom, OPERATOR, real, False),
        (Flush("x", OPERATOR, deps), Selection(), OPERATOR, real, False),
        (Flush("x", other, deps), whom, other, real, False),
        (Flush("x", OPERATOR, deps), whom, OPERATOR, real, True),
        (Flush("x", OPERATOR, deps), whom, OPERATOR, dry, False),
    ):
        with pytest.raises(Rejected) as caught:
            act_on_selection(act, selection, who, deps, limit=9, after=after, dry_run=dry_run)
        assert caught.value.status is BAD_REQUEST
    assert world.ledger.records == before
    told = act_on_selection(Flush("x", OPERATOR, deps), whom, OPERATOR, deps, limit=99, after=real)
    (record,) = operations.list_operations(9, "", OPERATOR, deps)["operations"]
    assert (told["after"], record["operation"], record["changed"], record["finished"]) == (None, "flush", 2, True)


def test_selection_passes_over_what_cannot_be_read() -> None:
    """One record of a later version keeps no operator from all others."""
    world, ids = _deferred("a@a.example", "b@b.example")
    world.ledger.unreadable.add(JobKey(ids[0]))
    deps = deps_of(world)
    told = act_on_selection(Flush("", OPERATOR, deps), Selection(), OPERATOR, deps, limit=100)
    assert (told["examined"], told["matched"], told["changed"], told["after"]) == (2, 1, 1, None)


def test_place_beyond_all_numbers_is_refused() -> None:
    """And no fault of ours."""
    world, _ = _deferred("a@a.example")
    deps = deps_of(world)
    act = Flush("", OPERATOR, deps)
    for place in ([1e999, None, 0, ""], [0, ["q", 1e999, 0], 0, ""], [0, ["q", 0, float("nan")], 0, ""]):
        after = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
        with pytest.raises(Rejected) as caught:
            act_on_selection(act, Selection(), OPERATOR, deps, limit=9, after=after, dry_run=True)
        assert caught.value.status is BAD_REQUEST


@pytest.mark.parametrize("act", [Release, Requeue])
def test_what_was_cancelled_no_selection_takes_back(act) -> None:
    """Letting go what is held does not send mail that somebody stopped for good a moment ago."""
    world, (first, second) = _deferred("a@a.example", "b@a.example")
    deps = deps_of(world)
    hold.hold(first, "look", OPERATOR, deps)
    cancel.cancel(second, OPERATOR, deps)
    told = bulk(world, act("", OPERATOR, deps), Selection())
    assert (told["changed"], told["left"]) == (1, {"cancelled": 1})
    world.run()
    assert world.states(second) == {"b@a.example": "failed"}


def test_job_that_went_to_another_host_meanwhile_is_not_ended() -> None:
    """Selected by the host that it was at; a worker was faster."""
    world, (queue_id,) = _deferred("a@a.example")
    deps = deps_of(world)
    save = world.ledger.save

    def faster(record):
        world.ledger.save = save  # type: ignore[method-assign]
        fresh = world.ledger.load(record.key)
        state = fresh.recipients[0]
        moved = replace(state, outcome=replace(state.outcome, mx_host="mx.elsewhere"))
        save(fresh.changed(recipients={0: moved}))
        return save(record)

    world.ledger.save = faster  # type: ignore[method-assign]
    told = bulk(world, Remove("", OPERATOR, deps), parse(host="mx.a"))
    assert (told["changed"], told["left"]) == (0, {"waiting": 1})
    assert world.ledger.load(JobKey(queue_id)).state is State.DEFERRED


def test_hold_with_a_cancellings_own_words_is_a_hold() -> None:
    """Whoever is told that it is held finds it there."""
    world, (queue_id,) = _deferred("a@a.example")
    cancel.cancel(queue_id, OPERATOR, deps_of(world))
    assert hold.hold(queue_id, CANCELLED.text, OPERATOR, deps_of(world))["changed"] == 1
    settle(world, 3600)
    assert world.ledger.load(JobKey(queue_id)).state is State.HELD


# Records


def test_history_of_a_thousand_acts_stays_small() -> None:
    """With the longest reasons of the longest characters; who did the last of it is there."""
    from paravion.adapters.job_text import encode_detail

    world, (queue_id,) = _deferred("a@a.example")
    deps = deps_of(world)
    for n in range(300):
        hold.hold(queue_id, "\U00020000" * 190 + str(n), OPERATOR, deps)
        hold.release(queue_id, OPERATOR, deps, reason="\U00020000" * 200)
    record = world.ledger.load(JobKey(queue_id))
    assert len(encode_detail(record).encode()) < 50_000
    assert record.log[-1].text.startswith("by AKIAOP: ")


def test_cancelled_in_part_tells_of_who_was_open_and_leaves_the_rest_as_it_was() -> None:
    """One has it and one is gone; both were told of before, and are told of once."""
    world = World({"a@a.example": [OK], "b@a.example": [GONE], "c@a.example": [BUSY] * 9})
    queue_id = world.submit("a@a.example", "b@a.example", "c@a.example").queue_id
    settle(world)
    cancel.cancel(queue_id, OPERATOR, deps_of(world), reason="Gr\u00fc\u00dfe")
    world.run()
    reports = [report.decode() for report in world.accepted_by(SENDER)]
    assert [sorted(p for p in ("a@a", "b@a", "c@a") if f"rfc822; {p}" in text) for text in reports] == [
        ["b@a"],
        ["c@a"],
    ]
    assert "Cancelled by an operator: Gr\\x{FC}\\x{DF}e" in reports[1]
    assert world.ledger.load(JobKey(queue_id)).owed == ()


def test_mail_that_waits_for_its_instant_is_shown_with_its_sender() -> None:
    """Not as a report of ours, which the null reverse-path says."""
    world = World()
    queue_id = world.submit("a@a.example", release_at=START + 9000).queue_id
    settle(world, 2000)
    record = world.ledger.load(JobKey(queue_id))
    assert (record.state, record.reverse_path, record.recipient_count) == (State.DEFERRED, SENDER, 1)
    assert bulk(world, hold.Hold("x", OPERATOR, deps_of(world)), parse("a.example"))["changed"] == 1


def test_part_that_is_gone_and_that_nobody_has_tried_is_left_out() -> None:
    """The others are held; of what neither the spool nor the ledger knows there is nothing to hold, nor to tell."""
    world = World(local_domains="local.example")
    world.load("access", "To:b@b.example QUARANTINE:odd\n")
    queue_id = world.submit("a@a.example", "b@b.example").queue_id
    first = decode_qf(world.spool.get_envelope(queue_id))[0]
    ((part_id, _),) = first.parts
    del world.spool.envelopes[part_id]
    told = hold.hold(queue_id, "x", OPERATOR, deps_of(world))
    assert [(job["queue_id"], job["state"]) for job in told["jobs"]] == [(queue_id, "held")]
    assert [record.key.queue_id for record in world.ledger.records.values()] == [queue_id]
