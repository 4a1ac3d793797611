"""The parked queue in an operator's hands: nothing is lost by a look, and what is given back is done once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from paravion.adapters.memory import MemoryParked
from paravion.domain import event_item
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, State
from paravion.domain.ses_event import SesEvent
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, NOT_FOUND, Rejected
from paravion.errors import LedgerUnavailable, QueueUnavailable
from paravion.ports import QueueName
from paravion.services import operations, parked
from tests.support.world import Crash, Saboteur, World
from tests.unit.services.test_flush import OPERATOR, OTHER, deps_of, sent, settle

GONE = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx.a")
EVENTS = event_item.EventItem(
    (SesEvent("DELIVERY", 1.0, {"messageId": "m1"}, {}),), destination="d", since=5.0, tries=40, problem="500 no"
)


def _deps(world: World, saboteur: Saboteur | None = None):
    port = (saboteur or Saboteur()).wrap("admin:parked", MemoryParked(world.queues))
    return SimpleNamespace(**vars(deps_of(world, saboteur)), new_parked=lambda: port)


def _stuck(saboteur: Saboteur | None = None) -> tuple[World, str]:
    """A job whose attempt broke off and whose item was parked; one that is done and owes a report; events; poison."""
    world = World({"b@a.example": [GONE]}, saboteur=saboteur)
    queue_id = world.submit_like_a_door("a@a.example").queue_id
    world.queues.items[QueueName.DELIVERY].clear()
    job = Job(JobKey(queue_id), world.now)
    claimed = world.ledger.claim(job, token="t", lease_until=world.now + 10)
    world.ledger.save(claimed.changed(state=State.TRIED, token="", lease_until=0.0))
    owing = world.submit_like_a_door("b@a.example", idempotency_key="k2").queue_id
    world.invoke(QueueName.DELIVERY)
    world.queues.items[QueueName.BOUNCE].clear()
    world.now += 60
    world.queues.send(QueueName.PARKED, [job, Job(JobKey(owing), world.now)])
    world.queues.park([event_item.encode(EVENTS), "rub\x1bbish"])
    return world, queue_id


def test_list_tells_what_each_is_and_takes_nothing() -> None:
    """Twice the same, but for the receptions."""
    world, queue_id = _stuck()
    told = parked.list_parked(10, OPERATOR, _deps(world))
    assert told["is_whole"]
    assert [(item["what"], item["state"], item["receives"]) for item in told["items"]] == [
        ("job", "tried", 1), ("job", "done", 1), ("events", None, 1), ("unknown", None, 1),
    ]  # fmt: skip
    first, second, events, unknown = told["items"]
    assert (first["queue_id"], first["chunk"], first["attempts"]) == (queue_id, 0, 1)
    assert "550 5.1.1 no such user" in second["last_text"]
    assert (events["queue_id"], events["last_text"]) == ("m1", "1 events for d: 500 no")
    assert unknown["last_text"] == "rub?bish"
    again = parked.list_parked(4, OPERATOR, _deps(world))
    assert ([item["id"] for item in again["items"]], again["is_whole"]) == ([i["id"] for i in told["items"]], False)


def test_job_whose_record_cannot_be_read_is_listed_given_back_and_dropped_as_any_other() -> None:
    """It is of a later version, and why it lies there: it hides none of the others."""
    world, queue_id = _stuck()
    world.ledger.unreadable.add(JobKey(queue_id))
    items = parked.list_parked(10, OPERATOR, _deps(world))["items"]
    (told,) = [item for item in items if item["queue_id"] == queue_id]
    assert (len(items), told["what"], told["state"]) == (4, "job", None)
    assert "can't be read" in told["last_text"]
    world.now += 61
    assert parked.redrive((), "", 100, OPERATOR, _deps(world))["redriven"] == 3
    world.queues.send(QueueName.PARKED, [Job(JobKey(queue_id), world.now)])
    world.now += 61
    (told,) = [item for item in parked.list_parked(9, OPERATOR, _deps(world))["items"] if item["queue_id"] == queue_id]
    world.now += 61
    assert parked.drop(told["id"], OPERATOR, _deps(world), reason="hopeless")["queue_id"] == queue_id


def test_what_is_given_back_is_done_and_the_unknown_stays() -> None:
    """The mail is delivered, the report sent, the events' time begins anew."""
    world, queue_id = _stuck()
    told = parked.redrive((), "", 100, OPERATOR, _deps(world), reason="mended")
    assert (told["redriven"], told["left"], told["more"]) == (3, 1, False)
    (item,) = world.queues.items[QueueName.EVENT]
    again = event_item.decode(item.body)
    assert (again.events, again.since, again.tries) == (EVENTS.events, 0.0, 0)
    world.queues.items[QueueName.EVENT].clear()
    world.run()
    assert sent(world) == ["a@a.example", "me@example.org"]
    (left,) = parked.list_parked(10, OPERATOR, _deps(world))["items"]
    assert left["what"] == "unknown"
    (listed,) = operations.list_operations(9, "", OPERATOR, _deps(world))["operations"]
    assert (listed["operation"], listed["changed"], listed["reason"], listed["finished"]) == (
        "redrive",
        3,
        "mended",
        True,
    )
    log = world.ledger.load(JobKey(queue_id)).log
    assert ("redrive", "by AKIAOP: mended") in [(entry.event, entry.text) for entry in log]


def test_events_that_are_given_back_are_parked_again_once_and_stay() -> None:
    """The destination is still dead: one more span of tries, then nothing moves until the next redrive."""
    world = World()
    topic = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:events"}
    one = {"Name": "one", "Enabled": True, "MatchingEventTypes": ["DELIVERY"], "SnsDestination": topic}
    world.records.put("configuration-set", "news", {"EventDestinations": [one]})
    world.destinations.script["set/news/one"] = ["still dead"]
    world.submit("a@a.example", configuration_set="news")
    world.run()
    for _ in range(2):
        before = world.now
        assert parked.redrive((), "", 100, OPERATOR, _deps(world))["redriven"] == 1
        assert world.queues.items[QueueName.PARKED] == []
        world.run()
        (item,) = parked.list_parked(10, OPERATOR, _deps(world))["items"]
        assert item["last_text"].endswith("still dead")
        assert 86_400 <= world.now - before < 90_000
        assert world.queues.items[QueueName.EVENT] == []
        world.now += 120  # the look hides it


def test_one_item_or_message_is_given_back_alone() -> None:
    """The others stay."""
    world, queue_id = _stuck()
    deps = _deps(world)
    assert parked.redrive((), queue_id, 100, OPERATOR, deps)["redriven"] == 1
    items = parked.list_parked(10, OPERATOR, deps)["items"]
    assert [item["what"] for item in items] == ["job", "events", "unknown"]
    assert parked.redrive([items[1]["id"]], "", 100, OPERATOR, deps)["redriven"] == 1
    assert parked.redrive([items[2]["id"]], "", 100, OPERATOR, deps)["left"] == 1
    assert len(parked.list_parked(10, OPERATOR, deps)["items"]) == 2


def test_what_the_list_names_can_be_selected() -> None:
    """By the message that it shows, for a job as for events: given back, and dropped."""
    world, queue_id = _stuck()
    deps = _deps(world)
    assert parked.redrive((), "m1", 100, OPERATOR, deps)["redriven"] == 1
    (item,) = world.queues.items[QueueName.EVENT]
    world.queues.items[QueueName.EVENT].clear()
    world.queues.park([item.body, event_item.encode(EVENTS)])
    told = [(item["what"], item["queue_id"]) for item in parked.list_parked(10, OPERATOR, deps)["items"]]
    assert told.count(("events", "m1")) == 2
    told = parked.drop_message("m1", OPERATOR, deps, reason="junk")["dropped"]
    assert [(item["what"], item["queue_id"]) for item in told] == [("events", "m1")] * 2
    assert parked.drop_message(queue_id, OPERATOR, deps)["dropped"][0]["what"] == "job"
    left = parked.list_parked(10, OPERATOR, deps)["items"]
    assert [item["what"] for item in left] == ["job", "unknown"]
    for item in left:
        if item["queue_id"] is None:
            with pytest.raises(Rejected):
                parked.drop_message("None", OPERATOR, deps)


def test_events_of_no_known_message_are_listed_without_one() -> None:
    """They go by their item's id."""
    world = World()
    world.queues.park([event_item.encode(event_item.EventItem((SesEvent("SEND", 1.0, {}, {}),)))])
    deps = _deps(world)
    (item,) = parked.list_parked(10, OPERATOR, deps)["items"]
    assert (item["what"], item["queue_id"]) == ("events", None)
    assert parked.redrive([item["id"]], "", 100, OPERATOR, deps)["redriven"] == 1


def test_dropped_item_is_gone_and_stands_in_the_record() -> None:
    """With its text; the message is as it was."""
    world, queue_id = _stuck()
    deps = _deps(world)
    items = parked.list_parked(10, OPERATOR, deps)["items"]
    for item in items:
        parked.drop(item["id"], OPERATOR, deps, reason="junk")
    assert parked.list_parked(10, OPERATOR, deps)["items"] == []
    listed = operations.list_operations(9, "", OPERATOR, deps)["operations"]
    assert {item["operation"] for item in listed} == {"drop"}
    assert world.ledger.load(JobKey(queue_id)).state is State.TRIED
    assert ("Operation", "rub?bish") in [(event, fields.get("body")) for event, fields in world.event_log.records]


def test_refusals_change_nothing_and_hide_nothing() -> None:
    """What is not there, who is no operator, where no queue is."""
    world, _ = _stuck()
    deps = _deps(world)
    calls = [
        (lambda: parked.list_parked(10, OTHER, deps), ACCESS_DENIED),
        (lambda: parked.redrive((), "", 10, OTHER, deps), ACCESS_DENIED),
        (lambda: parked.drop("i1", OTHER, deps), ACCESS_DENIED),
        (lambda: parked.redrive(["none"], "", 10, OPERATOR, deps), NOT_FOUND),
        (lambda: parked.redrive((), "a" * 26, 10, OPERATOR, deps), NOT_FOUND),
        (lambda: parked.drop("none", OPERATOR, deps), NOT_FOUND),
        (lambda: parked.drop_message("a" * 26, OPERATOR, deps), NOT_FOUND),
        (lambda: parked.drop_message("m1", OTHER, deps), ACCESS_DENIED),
        (lambda: parked.list_parked(1, OPERATOR, SimpleNamespace(new_parked=None)), BAD_REQUEST),
    ]
    for call, status in calls:
        with pytest.raises(Rejected) as caught:
            call()
        assert caught.value.status is status
    assert len(parked.list_parked(10, OPERATOR, deps)["items"]) == 4


def test_job_that_nobody_ever_claimed_is_told_as_queued() -> None:
    """It has no record yet, and gets none by being given back."""
    world = World()
    job = Job(JobKey(world.submit("a@a.example").queue_id), world.now)
    world.queues.items[QueueName.DELIVERY].clear()
    world.queues.send(QueueName.PARKED, [job])
    deps = _deps(world)
    (item,) = parked.list_parked(10, OPERATOR, deps)["items"]
    assert (item["state"], item["last_at"]) == ("queued", None)
    parked.redrive((), "", 10, OPERATOR, deps)
    world.run()
    assert sent(world) == ["a@a.example"]
    world.ledger.save(JobRecord(JobKey("x" * 26), world.now, State.DONE))
    world.queues.send(QueueName.PARKED, [Job(JobKey("x" * 26), world.now)])
    (item,) = parked.list_parked(10, OPERATOR, deps)["items"]
    assert (item["state"], item["last_text"]) == ("done", "")


def _journey(saboteur: Saboteur, error: type[BaseException] = Crash) -> World:
    world, _ = _stuck(saboteur)
    deps = _deps(world, saboteur)
    for _ in range(2):
        try:
            parked.redrive((), "", 100, OPERATOR, deps)
        except Crash:
            world.crashes += 1
        except (error, Rejected):
            pass
        world.now += 61
    world.queues.items[QueueName.EVENT] = [
        item for item in world.queues.items[QueueName.EVENT] if isinstance(item.body, Job)
    ]
    world.run()
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", [Crash, LedgerUnavailable, QueueUnavailable])
def test_breaking_off_anywhere_loses_and_doubles_nothing(after: bool, kind: type[BaseException]) -> None:
    """Asked for again, all is given back; the poison stays."""
    calls = _journey(Saboteur()).saboteur.calls
    for at, name in enumerate(calls):
        if not name.startswith("admin:"):
            continue
        world = _journey(Saboteur(at=at, after=after, error=kind), kind)
        assert sent(world) == ["a@a.example", "me@example.org"], name
        settle(world, 61)
        assert [item.body for item in world.queues.items[QueueName.PARKED]] == ["rub\x1bbish"], name
