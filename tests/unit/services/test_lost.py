"""A message whose envelope is gone from the spool ends, with a record and a word to whoever is known; and can be ended."""

from __future__ import annotations

import pytest

from paravion.domain import envelope, lost
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey, State
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.selection import Selection, parse
from paravion.domain.status import CONTENT_LOST, NOT_FOUND, Rejected
from paravion.ports import QueueName
from paravion.services import admin, cancel, flush, hold
from paravion.services.cancel import Cancel
from tests.support.world import PLAN, START, Saboteur, World
from tests.unit.services.test_flush import OPERATOR, OTHER, bulk, deps_of, sent, settle

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx.a")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx.a")
GONE = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.a")
SENDER, POSTMASTER = "me@example.org", "postmaster@example.net"
NAMES = ("a@a.example", "b@b.example")


def tried(saboteur=None, **fields) -> tuple[World, str]:
    """Give a message that was tried once, deferred for both, and its id; then its envelope is lost."""
    world = World({name: [BUSY] * 500 for name in NAMES}, saboteur=saboteur, postmaster=POSTMASTER)
    queue_id = world.submit_like_a_door(*NAMES, **fields).queue_id
    settle(world)
    return world, queue_id


def lose(world: World, queue_id: str) -> bytes:
    return world.spool.envelopes.pop(queue_id)


def ended(world: World, queue_id: str) -> None:
    """One record of the end, nothing due, nothing owed, nothing parked."""
    (record,) = world.ledger.load_message(queue_id)
    assert (record.state, record.due_at, record.owed) == (State.DONE, 0.0, ())
    assert world.queues.items[QueueName.PARKED] == []


def test_lost_mail_is_tried_until_its_time_is_up_and_then_told() -> None:
    """The sender is warned, and in the end told that we lost it; not what a host once said, and not sooner than ever."""
    world, queue_id = tried()
    lose(world, queue_id)
    world.run()
    ended(world, queue_id)
    assert world.now <= START + PLAN.return_s + 3600
    assert {state.outcome.text for state in world.ledger.load(JobKey(queue_id)).recipients.values()} == {
        CONTENT_LOST.text
    }
    warning, report = (octets.decode() for octets in world.accepted_by(SENDER))
    assert "Delayed, still trying" in warning
    assert report.count("Status: 5.3.0") == 2
    assert "our mail system has lost it. We are sorry." in report.replace("\r\n", " ")
    lost_ones = [fields["recipient"] for event, fields in world.event_log.records if event == "Expiration"]
    assert sorted(lost_ones) == [*NAMES]
    assert sum(event == "Fault" for event, _ in world.event_log.records) < 500


def test_what_is_put_back_in_time_is_delivered() -> None:
    """From a backup, or an older version of the object."""
    world, queue_id = tried()
    world.transport.script = {name: [OK] for name in NAMES}
    octets = lose(world, queue_id)
    settle(world, 3 * 3600)
    assert sent(world) == []
    world.spool.envelopes[queue_id] = octets
    world.run()
    assert [path for path in sent(world) if path in NAMES] == [*NAMES]


@pytest.mark.parametrize("damaged", [False, True])
def test_what_nobody_has_ever_read_is_told_to_the_postmaster(*, damaged: bool) -> None:
    """Neither sender nor recipients are known."""
    world = World(postmaster=POSTMASTER)
    queue_id = world.submit(*NAMES).queue_id
    octets = lose(world, queue_id)
    if damaged:
        world.spool.envelopes[queue_id] = octets[:20]
    # Behind that a report that nobody can make is looked at every four days.
    world.run(until=START + 8 * 86_400)
    assert world.ledger.load(JobKey(queue_id)).state is State.DONE
    if not damaged:  # its report waits in the parked queue, for whoever can read it
        ended(world, queue_id)
        (report,) = world.accepted_by(POSTMASTER)
        assert b"Final-Recipient: rfc822; unknown" in report


def test_a_report_that_was_owed_is_sent_without_the_mail() -> None:
    """The host's own words, to the sender."""
    world = World({NAMES[0]: [GONE]})
    queue_id = world.submit(NAMES[0]).queue_id
    world.invoke(QueueName.DELIVERY)
    lose(world, queue_id)
    world.run()
    ended(world, queue_id)
    (report,) = world.accepted_by(SENDER)
    assert b"550 5.1.1 no such user" in report


def test_a_lost_report_of_ours_ends_too() -> None:
    """As a report that could not be delivered: told to the postmaster, and no further."""
    world = World({NAMES[0]: [GONE], SENDER: [BUSY] * 500}, postmaster=POSTMASTER)
    world.submit(NAMES[0])
    settle(world, 600)
    (report_id,) = [name for name in world.spool.envelopes if world.ledger.load(JobKey(name)).reverse_path == ""]
    lose(world, report_id)
    world.run()
    ended(world, report_id)
    assert len(world.accepted_by(POSTMASTER)) == 1


@pytest.mark.parametrize("how", ["remove", "cancel", "held", "release", "requeue"])
def test_an_operator_ends_it_by_its_id(how: str) -> None:
    """And sees what the ledger knows; whoever is no operator has lost it."""
    world, queue_id = tried()
    lose(world, queue_id)
    deps = deps_of(world)
    shown = admin.show_message(queue_id, OPERATOR, deps)
    assert (shown["is_lost"], shown["octets"], shown["reverse_path"]) == (True, 0, SENDER)
    assert [(one["forward_path"], one["state"]) for one in shown["recipients"]] == [(n, "deferred") for n in NAMES]
    for act in (admin.show_message, cancel.withdraw):
        with pytest.raises(Rejected) as caught:
            act(queue_id, OTHER, deps)
        assert caught.value.status is NOT_FOUND
    if how == "remove":
        assert hold.remove(queue_id, OPERATOR, deps, reason="lost")["changed"] == 1
        world.run()
        assert (world.ledger.load(JobKey(queue_id)).state, sent(world)) == (State.REMOVED, [])
        return
    if how == "cancel":
        assert cancel.cancel(queue_id, OPERATOR, deps, reason="lost")["changed"] == 1
    elif how == "requeue":
        assert flush.requeue(queue_id, OPERATOR, deps)["changed"] == 1
    else:
        hold.hold(queue_id, "lost", OPERATOR, deps)
        if how == "release":
            hold.release(queue_id, OPERATOR, deps)
    world.run()
    ended(world, queue_id)
    assert world.now <= START + LIFETIME_S + 3600
    report = world.accepted_by(SENDER)[-1].decode()
    assert ("Cancelled by an operator: lost" if how == "cancel" else CONTENT_LOST.text) in report


def test_what_the_ledger_does_not_know_either_is_not_found() -> None:
    """An id of ours that no job has."""
    world = World()
    queue_id = world.submit(*NAMES).queue_id
    lose(world, queue_id)
    for act in (hold.remove, cancel.cancel, admin.show_message):
        with pytest.raises(Rejected) as caught:
            act(queue_id, OPERATOR, deps_of(world))
        assert caught.value.status is NOT_FOUND


def test_one_lost_part_does_not_keep_the_others() -> None:
    """A list's message is gone: the submission's others are removed, and its own jobs as far as the ledger knows them."""
    world = World({"x@b.example": [BUSY] * 9, NAMES[0]: [BUSY] * 9}, local_domains="local.example")
    world.load("aliases", "all: x@b.example\nowner-all: boss@b.example\n")
    queue_id = world.submit(NAMES[0], "all@local.example").queue_id
    settle(world)
    (part_id,) = [name for name in world.spool.envelopes if name != queue_id]
    for gone in (queue_id, part_id):
        octets = lose(world, gone)
        told = hold.remove(queue_id, OPERATOR, deps_of(world))
        assert told["changed"] == 1
        world.spool.envelopes[gone] = octets
    assert {record.state for record in world.ledger.records.values()} == {State.REMOVED}


def test_selection_means_lost_jobs_by_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """By sender; by a recipient only where no unknown one would be ended with it."""
    world, queue_id = tried()
    lose(world, queue_id)
    record = world.ledger.load(JobKey(queue_id))
    known = {0: record.recipients[0]}
    world.ledger.save(record.changed(recipients=known))
    act = Cancel("", OPERATOR, deps_of(world))
    assert bulk(world, act, parse(recipient=NAMES[0]))["left"] == {"mixed": 1}
    assert bulk(world, act, parse(sender=SENDER))["changed"] == 1
    monkeypatch.setattr(envelope, "CHUNK_RECIPIENTS", 2)
    records = [record.changed(key=JobKey(queue_id, 2), recipients={5: known[0]}, reverse_path="")]
    found = lost.envelope_of([*records, record.changed(recipients=known)])
    assert [one.forward_path for one in found.recipients] == [NAMES[0], *[lost.UNKNOWN] * 4, NAMES[0]]
    assert found.reverse_path == SENDER
    assert Selection().is_everything


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_tells_once(*, after: bool) -> None:
    """Ended and told exactly once, whatever breaks off on the way."""

    def journey(saboteur: Saboteur) -> tuple[World, int]:
        world, queue_id = tried()
        lose(world, queue_id)
        cancel.cancel(queue_id, OPERATOR, deps_of(world))
        before = len(world.saboteur.calls)
        if saboteur.at is not None:
            vars(world.saboteur).update(at=saboteur.at + before, after=saboteur.after)
        world.run()
        ended(world, queue_id)
        assert len(set(world.accepted_by(SENDER))) == 1
        return world, before

    world, before = journey(Saboteur())
    for at, name in enumerate(world.saboteur.calls[before:]):
        if not name.endswith(".due"):
            journey(Saboteur(at=at, after=after))
