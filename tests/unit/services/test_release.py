"""Mail that is sent later: not before its release, once, whatever fails on the way there."""

from __future__ import annotations

import pytest

from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import State
from paravion.domain.schedule import MAX_RELEASE_S
from paravion.domain.status import BAD_REQUEST, Rejected
from paravion.ports import QueueName
from tests.support.world import START, Saboteur, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
YOU = "you@example.com"
DAY = 86_400.0


@pytest.mark.parametrize(
    ("wait_s", "sent_by"),
    [(-5.0, START), (600.0, START + 600), (900.0, START + 900), (901.0, START + 961), (3 * DAY, START + 3 * DAY + 60)],
    ids=["past", "by the queue's delay", "its longest", "by the due index", "days"],
)
def test_nothing_is_sent_before_its_release(wait_s: float, sent_by: float) -> None:
    """And soon after it; the sweep comes every minute."""
    world = World()
    world.submit(YOU, release_at=START + wait_s)
    world.run(until=START + max(0.0, wait_s) - 1)
    assert world.accepted_by(YOU) == [] or wait_s < 0
    world.run(until=sent_by)
    assert len(world.accepted_by(YOU)) == 1


def test_waiting_for_release_is_shown_and_its_time_does_not_count() -> None:
    """The queue's times count from the release: a deferral then is neither late nor expired."""
    world = World({YOU: [BUSY, OK]})
    receipt = world.submit(YOU, release_at=START + 9 * DAY)
    world.invoke(QueueName.RETRY)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert (record.state, record.due_at, record.attempts, record.faults) == (State.DEFERRED, START + 9 * DAY, 0, 0)
    assert [entry.event for entry in record.log] == ["scheduled"]
    world.run()
    assert world.states(receipt.queue_id) == {YOU: "delivered"}
    assert world.kinds() == ["mail"]


def test_release_later_than_can_be_kept_is_refused() -> None:
    """Four days are left to deliver it, and two of the spool's for a report."""
    world = World()
    world.submit(YOU, release_at=START + MAX_RELEASE_S)
    with pytest.raises(Rejected) as refused:
        world.submit(YOU, release_at=START + MAX_RELEASE_S + 3600)
    assert refused.value.status is BAD_REQUEST
    assert len(world.spool.envelopes) == 1


@pytest.mark.parametrize("wait_s", [600.0, 2 * DAY])
def test_repeat_under_the_same_key_is_one_message(wait_s: float) -> None:
    """Also after it was sent; another release is another message."""
    world = World()
    at = START + wait_s
    world.submit(YOU, release_at=at, idempotency_key="k")
    world.run(until=START + wait_s / 2)
    assert world.submit(YOU, release_at=at, idempotency_key="k").repeated
    with pytest.raises(Rejected):
        world.submit(YOU, release_at=at + 1, idempotency_key="k")
    world.run()
    assert world.submit(YOU, release_at=at, idempotency_key="k").repeated
    world.run()
    assert len(world.accepted_by(YOU)) == 1


def _journey(saboteur: Saboteur) -> World:
    world = World(saboteur=saboteur)
    world.submit_like_a_door(YOU, release_at=START + DAY)
    world.run(until=START + DAY - 1)
    assert world.accepted_by(YOU) == []
    world.run()
    return world


CALLS = _journey(Saboteur()).saboteur.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)), ids=CALLS)
def test_crash_at_any_step_sends_it_once_and_not_too_early(at: int, after: bool) -> None:
    """Of the commit, of putting it off, of the sweep that brings it back; after the transport it may be twice."""
    world = _journey(Saboteur(at=at, after=after))
    assert len(world.accepted_by(YOU)) >= 1
    assert len(world.accepted_by(YOU)) == 1 or CALLS[at].startswith("deliver:")
