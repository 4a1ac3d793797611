"""Requeue and cancel: a new life or an end with one report, whatever breaks; and a sender who takes his own back."""

from __future__ import annotations

import pytest

from paravion.domain.envelope import Recipient
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, State
from paravion.domain.schedule import LIFETIME_S
from paravion.domain.selection import Selection, parse
from paravion.domain.status import ACCESS_DENIED, NOT_FOUND, WRONG_STATE, Rejected
from paravion.errors import LedgerUnavailable, QueueUnavailable
from paravion.ports import QueueName
from paravion.services import admin, cancel, flush, hold
from paravion.services.cancel import Cancel
from paravion.services.flush import Requeue
from tests.support.world import PLAN, START, Crash, Saboteur, World
from tests.unit.services.test_flush import BUSY, OK, OPERATOR, OTHER, bulk, deps_of, sent, settle

GONE = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.a")
SENDER = "me@example.org"
HOUR = 3600.0


def _deferred(script=None, *recipients: str, **fields) -> tuple[World, str]:
    world = World(script or {"a@a.example": [BUSY, OK]}, **fields)
    queue_id = world.submit(*recipients or ("a@a.example",)).queue_id
    settle(world)
    return world, queue_id


def _reports(world: World) -> list[str]:
    return [content.decode() for content in world.accepted_by(SENDER)]


# Requeue


def test_requeued_mail_begins_its_life_anew_within_the_spools() -> None:
    """Waits, warning and lifetime count from now; the number of attempts goes on."""
    world = World({"a@a.example": [BUSY] * 500})
    queue_id = world.submit("a@a.example").queue_id
    settle(world, 4 * 24 * HOUR)
    assert len(_reports(world)) == 1  # the warning
    before = world.ledger.load(JobKey(queue_id))
    told = flush.requeue(queue_id, OPERATOR, deps_of(world), reason="new link")
    assert (told["changed"], told["jobs"][0]["state"]) == (1, "ready")
    settle(world, 60)
    record = world.ledger.load(JobKey(queue_id))
    assert record.attempts == before.attempts + 1
    assert record.due_at - world.now < PLAN.intervals_s[0] * 1.2
    settle(world, 24 * HOUR)
    assert len(_reports(world)) == 2  # warned again
    settle(world, 3.5 * 24 * HOUR)
    assert world.ledger.load(JobKey(queue_id)).state is State.DEFERRED  # 8 days old
    world.run()
    assert world.ledger.load(JobKey(queue_id)).state is State.DONE
    assert world.now <= START + LIFETIME_S + HOUR
    assert len(_reports(world)) == 3


def test_requeue_takes_held_stuck_and_lost_jobs() -> None:
    """Whatever no worker has; a rule's quarantine is lifted with it."""
    for how in ("held", "by rule", "stuck", "lease over", "lost"):
        world = World({"a@a.example": [OK]}, local_domains="local.example")
        if how == "by rule":
            world.load("access", f"From:{SENDER} QUARANTINE:odd\n")
        queue_id = world.submit("a@a.example").queue_id
        job = Job(JobKey(queue_id), START)
        if how == "held":
            hold.hold(queue_id, "x", OPERATOR, deps_of(world))
        elif how == "by rule":
            settle(world)
        else:
            world.queues.items[QueueName.DELIVERY].clear()
        if how in {"stuck", "lease over"}:
            record = world.ledger.claim(job, token="t", lease_until=START + 10)
            if how == "stuck":
                world.ledger.save(record.changed(state=State.TRIED, token="", lease_until=0.0))
        world.now += 20
        assert flush.requeue(queue_id, OPERATOR, deps_of(world))["changed"] == 1, how
        world.run()
        assert sent(world) == ["a@a.example"], how
        assert world.kinds() == ["mail"], how


def test_done_is_done_and_what_is_in_hand_stays_there() -> None:
    """A failure that was told is not taken back; nobody gets mail twice."""
    world, queue_id = _deferred({"a@a.example": [GONE], "b@a.example": [OK]}, "a@a.example", "b@a.example")
    world.run()
    with pytest.raises(Rejected, match="submit it anew") as caught:
        flush.requeue(queue_id, OPERATOR, deps_of(world))
    assert caught.value.status is WRONG_STATE
    later = world.submit("c@a.example", release_at=world.now + 5000).queue_id
    settle(world)
    with pytest.raises(Rejected, match="scheduled"):
        flush.requeue(later, OPERATOR, deps_of(world))
    fresh = world.submit("d@a.example", sender="d@example.org").queue_id
    world.ledger.claim(Job(JobKey(fresh), world.now), token="t", lease_until=world.now + 60)
    assert flush.requeue(fresh, OPERATOR, deps_of(world))["jobs"][0]["left"] == "in_hand"


def test_requeue_by_selection_takes_each_once_though_it_moves() -> None:
    """From among the held to those that wait."""
    script = {f"u{n}@a.example": [BUSY, OK] for n in range(8)}
    world = World(script)
    ids = [world.submit(path).queue_id for path in script]
    settle(world)
    for queue_id in ids[::2]:
        hold.hold(queue_id, "x", OPERATOR, deps_of(world))
    told = bulk(world, Requeue("", OPERATOR, deps_of(world)), Selection())
    assert (told["changed"], told["left"]) == (8, {})
    while world.invoke(QueueName.DELIVERY):
        pass
    assert sent(world) == sorted(script)


# Cancel


def test_cancelled_mail_is_returned_once_with_the_reason() -> None:
    """Whoever has it keeps it; the others are told of, in one report."""
    script = {"a@a.example": [OK], "b@a.example": [BUSY] * 50, "c@a.example": [BUSY] * 50}
    world, queue_id = _deferred(script, *script, statistics=True)
    told = cancel.cancel(queue_id, OPERATOR, deps_of(world), reason="wrong price list")
    assert (told["changed"], told["jobs"][0]["state"]) == (1, "held")
    assert cancel.cancel(queue_id, OPERATOR, deps_of(world), reason="wrong price list")["changed"] == 0
    settle(world)
    (report,) = _reports(world)
    assert report.count("Status: 5.7.0") == 2
    assert "Cancelled by an operator: wrong price list" in report
    assert "somebody who looks after our mail system stopped it" in report.replace("\r\n", " ")
    assert [fields["recipient"] for event, fields in world.event_log.records if event == "AdminBounce"] == [
        "b@a.example", "c@a.example",
    ]  # fmt: skip
    world.run()
    assert (sent(world), len(_reports(world))) == (["a@a.example", SENDER], 1)
    with pytest.raises(Rejected) as caught:
        cancel.cancel(queue_id, OPERATOR, deps_of(world))
    assert caught.value.status is WRONG_STATE
    events = [line["event"] for line in admin.show_message(queue_id, OPERATOR, deps_of(world))["timeline"]]
    assert "cancel" in events


@pytest.mark.parametrize("how", ["untried", "held", "scheduled", "being tried", "broken off"])
def test_whatever_is_open_can_be_cancelled(how: str) -> None:
    """An attempt under way ends first; what it delivers is delivered."""
    world = World({"a@a.example": [BUSY]})
    later = {"release_at": START + 5000} if how == "scheduled" else {}
    queue_id = world.submit("a@a.example", **later).queue_id
    deps = deps_of(world)
    if how == "held":
        hold.hold(queue_id, "x", OPERATOR, deps)
    elif how == "being tried":
        send = world.transport.send

        async def meanwhile(*args):
            if not world.transport.accepted and world.ledger.load(JobKey(queue_id)).state is State.CLAIMED:
                cancel.cancel(queue_id, OPERATOR, deps)
            return await send(*args)

        world.transport.send = meanwhile  # type: ignore[method-assign]
    elif how == "broken off":
        world.ledger.claim(Job(JobKey(queue_id), START), token="dead", lease_until=START + 10)
    if how == "scheduled":
        settle(world)
    if how != "being tried":
        cancel.cancel(queue_id, OPERATOR, deps)
    settle(world, 3 * HOUR)
    assert (sent(world), len(_reports(world))) == ([SENDER], 1)
    assert "5.7.0" in _reports(world)[0]
    assert world.ledger.load(JobKey(queue_id)).state is State.DONE


@pytest.mark.parametrize("act", ["release", "hold", "requeue"])
def test_cancelling_is_taken_back_until_the_sweep(act: str) -> None:
    """The last word counts."""
    world, queue_id = _deferred()
    deps = deps_of(world)
    cancel.cancel(queue_id, OPERATOR, deps)
    if act == "hold":
        hold.hold(queue_id, "wait", OPERATOR, deps)
        settle(world, HOUR)
        assert world.ledger.load(JobKey(queue_id)).state is State.HELD
        hold.release(queue_id, OPERATOR, deps)
    elif act == "release":
        hold.release(queue_id, OPERATOR, deps)
    else:
        flush.requeue(queue_id, OPERATOR, deps)
    world.run()
    assert sent(world) == ["a@a.example"]
    assert world.kinds() == ["mail"]


def test_null_sender_and_never_stay_silent() -> None:
    """As every failure (RFC 3461 4.1, 5321 6.1)."""
    for fields in ({"sender": ""}, {"recipients": (Recipient("a@a.example", ("NEVER",)),)}):
        world = World({"a@a.example": [BUSY] * 9})
        recipients = fields.pop("recipients", ("a@a.example",))
        queue_id = world.submit(*recipients, **fields).queue_id
        settle(world)
        cancel.cancel(queue_id, OPERATOR, deps_of(world))
        world.run()
        assert sent(world) == []


def test_cancel_by_selection_leaves_mail_that_is_not_meant_alone() -> None:
    """A job that goes to others as well is left, and said so."""
    script = {path: [BUSY, BUSY, OK] for path in ("a@a.example", "b@a.example", "c@b.example")}
    world = World(script)
    world.submit("a@a.example", "b@a.example", sender="x@example.org")
    world.submit("a@a.example", "c@b.example", sender="y@example.org")
    world.submit("c@b.example", sender="z@example.org")
    settle(world)
    act = Cancel("", OPERATOR, deps_of(world))
    for dry_run in (True, False):
        told = bulk(world, act, parse("a.example"), dry_run=dry_run)
        assert (told["matched"], told["changed"], told["left"]) == (2, 1, {"mixed": 1})
    world.run()
    assert sent(world) == ["a@a.example", "c@b.example", "c@b.example", "x@example.org"]


# A sender's own


def test_own_mail_is_taken_back_untried() -> None:
    """Scheduled, or not yet claimed; nobody gets it, nobody is told."""
    for later in ({}, {"release_at": START + 600}, {"release_at": START + 5000}):
        world = World()
        queue_id = world.submit("a@a.example", **later).queue_id
        if later.get("release_at", 0) > START + 900:
            settle(world)
        told = [cancel.withdraw(queue_id, OTHER, deps_of(world), reason="typo") for _ in range(2)]
        assert [(answer["changed"], answer["jobs"][0]["state"]) for answer in told] == [(1, "removed"), (0, "removed")]
        world.run()
        assert (sent(world), world.kinds()) == ([], ["mail"])
        shown = admin.show_message(queue_id, OTHER, deps_of(world))
        (recipient,) = shown["recipients"]
        removal = {"at": shown["timeline"][-1]["at"], "text": "by AKIATEST: typo"}
        assert (shown["state"], recipient["state"], recipient["removal"]) == ("removed", "removed", removal)
        assert shown["timeline"][-1]["text"] == removal["text"]


def test_removed_recipient_says_so_to_whom_it_may() -> None:
    """Who got it got it, and who failed failed; the others are removed, tried or not: by whom is for operators."""
    world = World({"a@a.example": [OK], "b@a.example": [BUSY] * 9, "c@a.example": [GONE]})
    queue_id = world.submit("a@a.example", "b@a.example", "c@a.example").queue_id
    settle(world)
    hold.remove(queue_id, OPERATOR, deps_of(world), reason="spam")
    at = world.now
    for principal, text in ((OPERATOR, "by AKIAOP: spam"), (OTHER, "")):
        shown = admin.show_message(queue_id, principal, deps_of(world))["recipients"]
        assert [one["state"] for one in shown] == ["delivered", "removed", "failed"]
        assert [one["removal"] for one in shown] == [None, {"at": at, "text": text}, None]
        assert shown[1]["text"] == BUSY.text


@pytest.mark.parametrize("how", ["tried", "held", "by rule", "being tried", "done", "another's", "unknown"])
def test_what_is_not_untried_and_own_is_not_taken_back(how: str) -> None:
    """Not even where a worker comes in between."""
    world = World({"a@a.example": [BUSY, OK]}, local_domains="local.example")
    if how == "by rule":
        world.load("access", f"From:{SENDER} QUARANTINE:odd\n")
    principal = "AKIAELSE" if how == "another's" else "AKIATEST"
    queue_id = world.submit("a@a.example", principal=principal).queue_id
    deps = deps_of(world)
    if how == "held":
        hold.hold(queue_id, "x", OPERATOR, deps)
    elif how in {"tried", "done"}:
        settle(world, 60 if how == "tried" else 9 * HOUR)
    elif how == "being tried":
        load_message = world.ledger.load_message

        def meanwhile(name: str):
            found = load_message(name)
            world.ledger.claim(Job(JobKey(queue_id), START), token="t", lease_until=START + 10)
            return found

        world.ledger.load_message = meanwhile  # type: ignore[method-assign]
    before = {key: record for key, record in world.ledger.records.items() if how != "being tried"}
    with pytest.raises(Rejected) as caught:
        cancel.withdraw("a" * 26 if how == "unknown" else queue_id, OTHER, deps)
    assert caught.value.status is (NOT_FOUND if how in {"another's", "unknown"} else WRONG_STATE)
    if before:
        assert world.ledger.records == before


def test_cancelling_and_requeueing_others_mail_is_an_operators() -> None:
    """Nothing of it is done."""
    world, queue_id = _deferred()
    for act in (cancel.cancel, flush.requeue):
        with pytest.raises(Rejected) as caught:
            act(queue_id, OTHER, deps_of(world))
        assert caught.value.status is ACCESS_DENIED


# Crashes and outages


def _journey(saboteur: Saboteur, error: type[BaseException] = Crash) -> World:
    """One is requeued and delivered, one cancelled and returned, one taken back; each asked for again if it broke off."""
    world = World({"a@a.example": [BUSY, OK], "b@a.example": [BUSY] * 9}, saboteur=saboteur)
    ids = [
        world.submit_like_a_door(path, idempotency_key=path, **fields).queue_id
        for path, fields in (
            ("a@a.example", {"sender": "x@example.org"}),
            ("b@a.example", {}),
            ("c@a.example", {"release_at": START + HOUR}),
        )
    ]
    settle(world, 30)
    deps = deps_of(world, saboteur)
    acts = (
        lambda: flush.requeue(ids[0], OPERATOR, deps),
        lambda: cancel.cancel(ids[1], OPERATOR, deps),
        lambda: cancel.withdraw(ids[2], OTHER, deps),
    )
    for act in acts:
        for _ in range(2):
            try:
                act()
            except Crash:
                world.crashes += 1
            except (error, Rejected):
                continue
    world.run()
    return world


JOURNEY = _journey(Saboteur()).saboteur.calls
FIRST = next(n for n, name in enumerate(JOURNEY) if name.startswith("admin:"))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", [Crash, LedgerUnavailable, QueueUnavailable])
def test_breaking_off_anywhere_ends_in_one_way(after: bool, kind: type[BaseException]) -> None:
    """One delivery, one report, one silence."""
    for at in range(FIRST, len(JOURNEY)):
        name = JOURNEY[at]
        function, _, call = name.partition(":")
        # What breaks in between is test_crash.py's.
        if function not in ({"admin", "retry", "bounce"} if kind is Crash else {"admin"}):
            continue
        if kind is not Crash and not call.startswith(("ledger", "queues.send")):
            continue
        world = _journey(Saboteur(at=at, after=after, error=kind), kind)
        expected = ["a@a.example", SENDER]
        assert sent(world) == expected, (at, name)
        assert sum("5.7.0" in report for report in set(_reports(world))) == 1, (at, name)
