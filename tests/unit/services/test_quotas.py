"""Quotas and statistics on the whole pipeline, with crashes and outages of the counters."""

from __future__ import annotations

from contextlib import suppress

import pytest

from paravion.domain.account import KIND, NAME
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import JobKey, State
from paravion.domain.statistics import Tally
from paravion.domain.status import QUOTA_EXCEEDED, RATE_EXCEEDED, Rejected
from paravion.domain.suppression import Reason, Suppressed
from paravion.domain.tenant import record_kind
from paravion.errors import LedgerUnavailable, SpoolUnavailable
from paravion.services import cancel, hold
from tests.support.world import START, Crash, Saboteur, World
from tests.unit.services.test_flush import OPERATOR, OTHER, deps_of

MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")


def limit(world, tenant="", **limits):
    """As an operator sets it."""
    world.records.put(record_kind(tenant, KIND), NAME, limits)


def refusal(world, *recipients, **fields):
    """Say how a submission is refused."""
    with pytest.raises(Rejected) as caught:
        world.submit(*recipients, **fields)
    return caught.value


def test_without_a_quota_nothing_is_asked():
    """Not a call more."""
    saboteur = Saboteur()
    world = World(saboteur=saboteur)
    world.submit("you@a.example")
    assert not [name for name in saboteur.calls if "counters" in name]


def test_recipients_of_a_day():
    """Named ones count, listed ones too, simulated ones not; the rest is refused before anything is kept."""
    world = World(max_24_hour_send="3")
    world.suppression.put(Suppressed("gone@a.example", Reason.BOUNCE, START, "operator"))
    world.submit("you@a.example", "gone@a.example", "success@simulator.amazonses.com")
    assert world.counters.sent("", START) == 2
    world.submit("b@a.example", "c@a.example")
    kept = dict(world.spool.envelopes)
    found = refusal(world, "d@a.example")
    assert found.status is QUOTA_EXCEEDED
    assert found.detail == "Daily message quota exceeded."
    assert 82_800 < found.wait_s <= 90_000
    assert world.spool.envelopes == kept
    world.submit("success@simulator.amazonses.com")
    world.submit("you@a.example", tenant="red")
    world.now += found.wait_s
    world.submit("d@a.example")


def test_recipients_of_a_second():
    """An operator's word is over the setting; the wait that is told is enough."""
    world = World(max_send_rate="1000")
    limit(world, MaxSendRate=1)
    world.submit("a@a.example", "b@a.example", "c@a.example")
    found = refusal(world, "d@a.example")
    assert (found.status, found.wait_s) == (RATE_EXCEEDED, 2.0)
    world.now += found.wait_s
    world.submit("d@a.example")
    limit(world, MaxSendRate=-1)
    for _ in range(3):
        world.submit("d@a.example")


def test_a_repeat_counts_once_and_passes_when_there_is_no_room():
    """What was promised is promised."""
    world = World(max_24_hour_send="1")
    first = world.submit("you@a.example", idempotency_key="k")
    again = world.submit("you@a.example", idempotency_key="k")
    assert again.repeated
    assert again.queue_id == first.queue_id
    limit(world, Max24HourSend=5)
    world.submit("you@a.example", idempotency_key="k")
    assert world.counters.sent("", START) == 1


def test_what_is_refused_or_fails_is_not_counted():
    """For another reason than the quota, and when nothing could be kept."""
    world = World(max_24_hour_send="5")
    refusal(world, "you@a.example", configuration_set="none")
    world = World(max_24_hour_send="5", saboteur=Saboteur(at=1, error=SpoolUnavailable))
    with pytest.raises(SpoolUnavailable):
        world.submit("you@a.example")
    assert world.counters.sent("", START) == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [LedgerUnavailable, Crash])
def test_counters_break(error, after):
    """Whichever of their calls breaks, and however: mail goes once, and an outage of the counters stops none."""

    def run(saboteur):
        world = World(max_24_hour_send="5", max_send_rate="5", saboteur=saboteur, statistics=True)
        world.submit_like_a_door("you@a.example")
        world.run()
        return world

    probe = Saboteur()
    run(probe)
    places = [at for at, name in enumerate(probe.calls) if "counters" in name]
    assert len(places) == 2
    for at in places:
        world = run(Saboteur(at=at, after=after, error=error))
        assert len(world.accepted_by("you@a.example")) == 1
        # A lost answer, or a crash, may leave a message counted that is not to be counted, and never more.
        assert world.counters.sent("", START) <= 2


def test_counters_that_are_away_for_good():
    """Mail goes on, with a record."""
    world = World(max_24_hour_send="0", statistics=True)

    def away(*_):
        raise LedgerUnavailable("away")

    world.counters.take = world.counters.count = away
    world.submit("you@a.example")
    world.run()
    assert len(world.accepted_by("you@a.example")) == 1
    stages = [fields["stage"] for name, fields in world.event_log.records if name == "Fault"]
    assert stages == ["quota", "statistics"]


def test_statistics_count_each_recipient_once_at_its_end():
    """Delivered, failed, given up; not what the simulator answers; each tenant's own, one write a batch."""
    world = World({"gone@a.example": [MISSING], "late@b.example": [BUSY]}, statistics=True)
    for recipient in ("you@a.example", "gone@a.example", "late@b.example"):
        world.submit(recipient)
    world.submit("bounce@simulator.amazonses.com")
    world.submit("you@a.example", tenant="red")
    world.invoke("delivery")
    assert sum(call == "deliver:counters.count" for call in world.saboteur.calls) == 2
    world.run()
    totals = {}
    for (tenant, _), tally in world.counters.tallies.items():
        totals[tenant] = totals.get(tenant, Tally()) + tally
    # The reports that were sent back were mail as well.
    reports = len(world.accepted_by("me@example.org"))
    assert totals == {"": Tally(3 + reports, 2), "red": Tally(1)}
    assert [point.tally for point in world.counters.points("red", START - 900, START + 900)] == [Tally(1)]


def test_what_its_sender_takes_back_untried_counts_no_more():
    """Each address that he named once, simulated ones not; doing it again gives nothing more, nor does an operator."""
    world = World(max_24_hour_send="9", local_domains="local.example")
    world.load("aliases", "all: x@b.example, y@b.example, z@c.example\nowner-all: boss@b.example\n")
    to = ("you@a.example", "all@local.example", "success@simulator.amazonses.com")
    deps = deps_of(world)
    deps.settings.max_24_hour_send = 9.0
    for act, left in ((cancel.withdraw, 0), (hold.remove, 2)):
        queue_id = world.submit(*to, principal=OTHER.access_key, release_at=START + 600).queue_id
        assert world.counters.sent("", START) == 2
        for _ in range(2):
            act(queue_id, OTHER if act is cancel.withdraw else OPERATOR, deps)
            assert world.counters.sent("", START) == left


@pytest.mark.parametrize("error", [LedgerUnavailable, Crash])
def test_what_can_not_be_given_back_stays_counted(error):
    """The mail is taken back all the same."""
    world = World(max_24_hour_send="9")
    queue_id = world.submit("you@a.example", principal=OTHER.access_key).queue_id
    saboteur = Saboteur(error=error)
    deps = deps_of(world, saboteur)
    deps.settings.max_24_hour_send = 9.0
    deps.counters = Saboteur(at=0, error=error).wrap("counters", world.counters)
    with suppress(Crash):
        cancel.withdraw(queue_id, OTHER, deps)
    assert world.ledger.load(JobKey(queue_id)).state is State.REMOVED
    assert world.counters.sent("", START) == 1
    world.now += 26 * 3600
    deps.counters = None  # not asked: it counts no more
    later = world.submit("you@a.example", principal=OTHER.access_key, release_at=world.now + 90_000).queue_id
    world.now += 25 * 3600 + 1
    cancel.withdraw(later, OTHER, deps)
