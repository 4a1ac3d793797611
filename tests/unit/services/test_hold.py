"""Held mail: nobody gets it before its release, everybody once after it, and no silence when nobody releases it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, State
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, NOT_FOUND, WRONG_STATE, Rejected
from paravion.errors import LedgerUnavailable, QueueUnavailable, SpoolUnavailable
from paravion.ports import QueueName
from paravion.services import admin, hold
from paravion.services.authenticate import Principal
from tests.support.world import START, Crash, Saboteur, World

BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
SENDER = "me@example.org"
OPERATOR, OTHER = Principal("AKIAOP", is_operator=True), Principal("AKIATEST")
RULE = "From:me@example.org QUARANTINE:looks odd\n"
DAY = 86_400.0


def _deps(world: World, saboteur: Saboteur | None = None):
    """What services/hold.py and the views need of the admin function."""
    wrap = (saboteur or Saboteur()).wrap
    return SimpleNamespace(
        spool=wrap("admin:spool", world.spool), ledger=wrap("admin:ledger", world.ledger),
        event_log=world.event_log, clock=lambda: world.now,
    )  # fmt: skip


def _quarantined(saboteur: Saboteur | None = None, access: str = RULE, script=None, **settings: str) -> World:
    world = World(script, saboteur=saboteur, local_domains="local.example", **settings)
    world.load("access", access)
    return world


def _settle(world: World, until: float = 3600.0) -> None:
    world.run(until=world.now + until)


def _sent(world: World) -> list[str]:
    return sorted(path for _, path, _, _ in world.transport.accepted)


def _state(world: World, queue_id: str) -> str:
    return admin.show_message(queue_id, OPERATOR, _deps(world))["state"]


# By a rule


def test_quarantined_submission_is_held_untried_and_released_once() -> None:
    """Accepted and stored; nothing is sent until an operator says so."""
    world = _quarantined()
    queue_id = world.submit("a@a.example", "b@b.example").queue_id
    _settle(world, 5 * DAY)
    assert _sent(world) == []
    (record,) = world.ledger.load_message(queue_id)
    assert (record.state, record.quarantine, record.attempts, record.recipients) == (State.HELD, "looks odd", 0, {})
    world.now = START + 6 * DAY
    told = hold.release(queue_id, OPERATOR, _deps(world))
    assert (told["changed"], told["jobs"][0]["state"]) == (1, "deferred")
    world.run()
    assert _sent(world) == ["a@a.example", "b@b.example"]
    assert world.kinds() == ["mail"]


def test_connect_holds_everything_and_to_that_recipient_alone() -> None:
    """The others get their mail at once, and the held one's copy is a message of its own."""
    world = _quarantined(access="Connect:192.0.2 QUARANTINE:bad net\n")
    world.submit("a@a.example", client="[192.0.2.7]")
    world.submit("b@b.example", client="[198.51.100.7]")
    _settle(world)
    assert _sent(world) == ["b@b.example"]
    world = _quarantined(access="To:b.example QUARANTINE:check\n")
    queue_id = world.submit("a@a.example", "b@b.example", "c@b.example").queue_id
    _settle(world)
    assert _sent(world) == ["a@a.example"]
    assert hold.release(queue_id, OPERATOR, _deps(world))["changed"] == 1
    world.run()
    assert _sent(world) == ["a@a.example", "b@b.example", "c@b.example"]


def test_member_of_an_alias_is_held_alone_and_an_alias_with_all_its_members() -> None:
    """What expansion found is asked for, and what comes out of a held name is held."""
    world = _quarantined(access="To:b.example QUARANTINE:check\nTo:shady@ QUARANTINE:shady\n")
    world.load("aliases", "team: a@a.example, b@b.example\nshady: c@c.example, d@d.example\n")
    world.submit("team@local.example", "shady@local.example")
    _settle(world)
    assert _sent(world) == ["a@a.example"]
    assert sorted(r.quarantine for r in world.ledger.waiting(10, held=True)) == ["check", "shady"]


def test_success_of_a_held_list_is_told_with_its_release() -> None:
    """Held is not arrived."""
    world = _quarantined()
    world.load("aliases", "team: a@a.example, b@b.example\n")
    queue_id = world.submit(Recipient("team@local.example", ("SUCCESS",))).queue_id
    _settle(world, DAY)
    assert world.kinds() == ["mail"]
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert world.kinds() == ["dsn", "mail"]


def test_held_for_two_weeks_is_returned_with_a_word() -> None:
    """The spool forgets: the sender hears that it failed, and not why it was held."""
    world = _quarantined()
    queue_id = world.submit("a@a.example").queue_id
    world.run()
    assert world.states(queue_id) == {"a@a.example": "failed"}
    assert START + LIFETIME_S <= world.now < START + LIFETIME_S + 2 * 3600
    (report,) = world.accepted_by(SENDER)
    assert b"Status: 5.7.1\r\n" in report
    assert b"x-paravion; Held back here and not released in time" in report
    assert b"looks odd" not in report
    assert "Expiration" in [event for event, _ in world.event_log.records]


def test_hold_stops_the_clock_of_the_queue() -> None:
    """Six days in hold do not count: the five days of trying begin with the release."""
    world = _quarantined(script={"a@a.example": [BUSY]})
    queue_id = world.submit("a@a.example").queue_id
    _settle(world, 6 * DAY)
    world.now = START + 6 * DAY
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run(until=START + 10 * DAY)
    assert _state(world, queue_id) == "deferred"
    world.run()
    assert _state(world, queue_id) == "done"
    assert START + 11 * DAY <= world.now < START + 12 * DAY


def test_released_late_is_given_up_before_the_spool_forgets() -> None:
    """The clock of the spool goes on in hold."""
    world = _quarantined(script={"a@a.example": [BUSY]})
    queue_id = world.submit("a@a.example").queue_id
    _settle(world, 13 * DAY)
    world.now = START + 13 * DAY
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert _state(world, queue_id) == "done"
    assert world.now < START + LIFETIME_S + 2 * 3600
    assert len(world.accepted_by(SENDER)) == 2  # the delay, and the return


# By hand


def _deferred() -> tuple[World, str]:
    world = World({"a@a.example": [BUSY, OK], "b@b.example": [OK]})
    queue_id = world.submit("a@a.example", "b@b.example").queue_id
    for queue in (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY):
        world.invoke(queue)
    return world, queue_id


def test_waiting_mail_is_held_by_hand_and_goes_on_where_it_stood() -> None:
    """Who has it already does not get it again."""
    world, queue_id = _deferred()
    assert _state(world, queue_id) == "deferred"
    hold.hold(queue_id, "wait for the boss", OPERATOR, _deps(world))
    _settle(world, 7 * DAY)
    assert _sent(world) == ["b@b.example"]
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert _sent(world) == ["a@a.example", "b@b.example"]


def test_unclaimed_mail_is_held_and_its_item_is_dropped() -> None:
    """The record is made by the hold; the delivery queue's job meets it and goes."""
    world = World()
    queue_id = world.submit("a@a.example").queue_id
    hold.hold(queue_id, "no", OPERATOR, _deps(world))
    _settle(world, DAY)
    assert _sent(world) == []
    assert not any(world.queues.items.values())
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert _sent(world) == ["a@a.example"]


def test_mail_that_is_being_tried_is_held_when_the_attempt_ends() -> None:
    """The worker's outcomes stand; the hold is not lost to them."""
    world = World({"a@a.example": [BUSY, OK]})
    queue_id = world.submit("a@a.example", "b@b.example").queue_id
    send = world.transport.send

    async def meanwhile(*args):
        if world.ledger.load(JobKey(queue_id)).state is State.CLAIMED and not world.transport.accepted:
            hold.hold(queue_id, "stop", OPERATOR, _deps(world))
        return await send(*args)

    world.transport.send = meanwhile  # type: ignore[method-assign]
    _settle(world, DAY)
    assert _sent(world) == ["b@b.example"]
    assert _state(world, queue_id) == "held"
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert _sent(world) == ["a@a.example", "b@b.example"]


def test_hold_of_an_attempt_that_breaks_off_holds() -> None:
    """`retry` finds the wish in the record."""
    world = World()
    queue_id = world.submit("a@a.example").queue_id
    world.ledger.claim(Job(JobKey(queue_id), START), token="dead", lease_until=START + 10)
    hold.hold(queue_id, "stop", OPERATOR, _deps(world))
    _settle(world, DAY)
    assert (_sent(world), _state(world, queue_id)) == ([], "held")


def test_release_before_the_hold_took_effect_lets_it_through() -> None:
    """An operator may be faster than the first claim, or come in its midst."""
    world = _quarantined()
    queue_id = world.submit("a@a.example").queue_id
    hold.release(queue_id, OPERATOR, _deps(world))
    world.run()
    assert _sent(world) == ["a@a.example"]
    world = _quarantined()
    queue_id = world.submit("a@a.example").queue_id
    get = world.spool.get_envelope

    def meanwhile(name: str) -> bytes:
        world.spool.get_envelope = get  # type: ignore[method-assign]
        hold.release(queue_id, OPERATOR, _deps(world))
        return get(name)

    world.spool.get_envelope = meanwhile  # type: ignore[method-assign]
    world.run()
    assert _sent(world) == ["a@a.example"]


def test_removed_mail_is_never_tried_and_nobody_is_told() -> None:
    """Held, waiting or untried."""
    for world, queue_id in (_deferred(), (w := _quarantined(), w.submit("a@a.example").queue_id)):
        _settle(world, 60)
        before = _sent(world)
        hold.remove(queue_id, OPERATOR, _deps(world))
        world.run()
        assert _state(world, queue_id) == "removed"
        assert _sent(world) == before
        assert world.kinds() == ["mail"]


def test_acts_are_an_operators_and_the_history_says_whose() -> None:
    """Whoever submitted it sees that it is held, not why or by whom."""
    world = _quarantined()
    queue_id = world.submit("a@a.example").queue_id
    for act in (
        lambda: hold.hold(queue_id, "x", OTHER, _deps(world)),
        lambda: hold.release(queue_id, OTHER, _deps(world)),
        lambda: hold.remove(queue_id, OTHER, _deps(world)),
    ):
        with pytest.raises(Rejected) as caught:
            act()
        assert caught.value.status is ACCESS_DENIED
    _settle(world)
    hold.hold(queue_id, "second thoughts", OPERATOR, _deps(world))
    hold.release(queue_id, OPERATOR, _deps(world))
    view = admin.show_message(queue_id, OPERATOR, _deps(world))
    told = [(line["event"], line["text"]) for line in view["timeline"]]
    assert told[1:] == [
        ("hold", "looks odd"),
        ("hold", "by AKIAOP: second thoughts"),
        ("release", "by AKIAOP"),
    ]
    own = admin.show_message(queue_id, OTHER, _deps(world))
    assert [line["text"] for line in own["timeline"]] == ["", "", "", ""]


def test_queue_shows_what_is_held_behind_what_waits() -> None:
    """`mailq`, and `mailq -qQ`."""
    world = _quarantined(script={"b@b.example": [BUSY]})
    world.submit("a@a.example")
    world.submit("b@b.example", sender="you@example.org")
    for queue in (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY):
        world.invoke(queue)
    deps = _deps(world)
    jobs = admin.show_queue(10, OPERATOR, deps)["jobs"]
    assert [(job["state"], job["held"]) for job in jobs] == [("deferred", ""), ("held", "looks odd")]
    assert [job["state"] for job in admin.show_queue(10, OPERATOR, deps, held_only=True)["jobs"]] == ["held"]
    assert [(job["state"], job["held"]) for job in admin.show_queue(10, OTHER, deps, held_only=True)["jobs"]] == [
        ("held", "")
    ]


@pytest.mark.parametrize("act", ["hold", "release", "remove"])
def test_what_cannot_be_done_is_told(act: str) -> None:
    """Nothing there, nothing open, nothing held."""
    world = World()
    acts = {
        "hold": lambda queue_id: hold.hold(queue_id, "x", OPERATOR, _deps(world)),
        "release": lambda queue_id: hold.release(queue_id, OPERATOR, _deps(world)),
        "remove": lambda queue_id: hold.remove(queue_id, OPERATOR, _deps(world)),
    }
    for queue_id in ("a" * 26, "no id"):
        with pytest.raises(Rejected) as caught:
            acts[act](queue_id)
        assert caught.value.status is NOT_FOUND
    queue_id = world.submit("a@a.example").queue_id
    world.run()
    with pytest.raises(Rejected) as caught:
        acts[act](queue_id)
    assert caught.value.status is WRONG_STATE


@pytest.mark.parametrize("reason", ["", " ", "x" * 201, "two\nlines"])
def test_reason_is_one_line(reason: str) -> None:
    """It stands in mailq."""
    with pytest.raises(Rejected) as caught:
        hold.hold("a" * 26, reason, OPERATOR, _deps(World()))
    assert caught.value.status is BAD_REQUEST


def test_acts_repeated_change_nothing_more() -> None:
    """A lost answer is asked for again."""
    world = World()
    queue_id = world.submit("a@a.example").queue_id
    deps = _deps(world)
    assert [hold.hold(queue_id, "x", OPERATOR, deps)["changed"] for _ in range(2)] == [1, 0]
    assert [hold.release(queue_id, OPERATOR, deps)["changed"] for _ in range(2)] == [1, 0]
    assert [hold.remove(queue_id, OPERATOR, deps)["changed"] for _ in range(2)] == [1, 0]


def test_removing_what_is_being_tried_is_refused() -> None:
    """Its worker may be delivering it."""
    world = World()
    queue_id = world.submit("a@a.example").queue_id
    world.ledger.claim(Job(JobKey(queue_id), START), token="t", lease_until=START + 10)
    with pytest.raises(Rejected, match="tried at this moment"):
        hold.remove(queue_id, OPERATOR, _deps(world))


# Crashes and outages


def _journey(saboteur: Saboteur) -> World:
    """Held by a rule, released, tried twice; nothing may be sent before the release."""
    world = _quarantined(saboteur, script={"b@b.example": [BUSY, OK]})
    queue_id = world.submit_like_a_door("a@a.example", "b@b.example").queue_id
    _settle(world, DAY)
    assert _sent(world) == []
    assert _state(world, queue_id) == "held"
    deps = _deps(world, saboteur)
    for _ in range(2):
        try:
            hold.release(queue_id, OPERATOR, deps)
        except Crash:
            world.crashes += 1
        except LedgerUnavailable:
            continue
    world.run()
    return world


CALLS = _journey(Saboteur()).saboteur.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)), ids=[f"{n}-{name}" for n, name in enumerate(CALLS)])
def test_crash_at_any_step_neither_leaks_nor_loses_nor_doubles(at: int, after: bool) -> None:
    """Nobody gets held mail; released, everybody gets it once."""
    world = _journey(Saboteur(at=at, after=after))
    assert world.crashes == 1
    sent = _sent(world)
    if CALLS[at] == "deliver:transport.send" or (CALLS[at] == "deliver:ledger.save" and not after):
        sent = sorted(set(sent))  # RFC 1047
    assert sent == ["a@a.example", "b@b.example"]
    assert world.kinds() == ["mail"]


OUTAGES = {"spool": SpoolUnavailable, "queues": QueueUnavailable, "ledger": LedgerUnavailable}
BREAKABLE = [
    n for n, name in enumerate(CALLS)
    if name.split(":")[1].split(".")[0] in OUTAGES and not name.endswith("release") and "admin:spool" not in name
]  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("at", BREAKABLE, ids=[f"{n}-{CALLS[n]}" for n in BREAKABLE])
def test_outage_of_one_call_neither_leaks_nor_loses_nor_doubles(at: int, after: bool) -> None:
    """Our own faults defer."""
    kind = OUTAGES[CALLS[at].split(":")[1].split(".", maxsplit=1)[0]]
    world = _journey(Saboteur(at=at, after=after, error=kind))
    assert _sent(world) == ["a@a.example", "b@b.example"]
