"""Events from submission to their destinations: all of them, in order, whatever breaks, at no mail's expense."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paravion.domain.event_item import decode
from paravion.domain.event_schedule import Rests
from paravion.domain.outcome import Outcome, Result
from paravion.domain.suppression import Reason, Suppressed
from paravion.domain.told import UNDELIVERABLE
from paravion.errors import LedgerUnavailable, QueueUnavailable, SpoolUnavailable
from paravion.ports import QueueName
from paravion.services.publish import publish
from tests.support.world import START, Saboteur, World

OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx", "192.0.2.7")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")

SCRIPT = {"busy@b.example": [BUSY, OK], "missing@c.example": [MISSING]}
RECIPIENTS = ("good@a.example", "busy@b.example", "missing@c.example")
ALL = ["SEND", "DELIVERY", "BOUNCE", "DELIVERY_DELAY", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "SUBSCRIPTION"]
TOPIC = "arn:aws:sns:us-east-1:123456789012:events"


def _with_set(world: World, types: list[str] = ALL, *names: str) -> World:
    world.records.put("configuration-set", "news", {
        "EventDestinations": [
            {"Name": name, "Enabled": True, "MatchingEventTypes": types, "SnsDestination": {"TopicArn": TOPIC}}
            for name in names or ("one",)
        ]
    })  # fmt: skip
    return world


def _told(world: World, key: str = "set/news/one") -> list[tuple[str, list[str]]]:
    """Each event's type, and whom it is about."""
    found = []
    for to, event in world.destinations.taken:
        kind = event.get("eventType") or event["notificationType"]
        detail: dict[str, Any] = next(event[m] for m in event if m not in {"eventType", "notificationType", "mail"})
        members = ("bouncedRecipients", "delayedRecipients", "complainedRecipients")
        people = detail.get("recipients") or [r["emailAddress"] for m in members for r in detail.get(m, [])]
        if to == key:
            found.append((kind, people))
    return found


EXPECTED = [
    ("Send", []),
    ("Delivery", ["good@a.example"]),
    ("DeliveryDelay", ["busy@b.example"]),
    ("Bounce", ["missing@c.example"]),
    ("Delivery", ["busy@b.example"]),
]


def _journey(saboteur: Saboteur) -> World:
    world = _with_set(World(SCRIPT, saboteur=saboteur))
    world.submit_like_a_door(*RECIPIENTS, configuration_set="news", tags=(("campaign", "may"),))
    world.run()
    copies = {path: len(world.accepted_by(path)) for path in (*RECIPIENTS, "me@example.org")}
    assert copies["missing@c.example"] == 0
    assert all(1 <= copies[path] for path in ("good@a.example", "busy@b.example", "me@example.org"))
    return world


CALLS = _journey(Saboteur()).saboteur.calls
_OURS = [n for n, name in enumerate(CALLS) if name.startswith("publish:") or "queues.send" in name or ".save" in name]


def test_quiet_journey_tells_each_event_once_and_in_order() -> None:
    """Send first, then what became of each recipient, by time."""
    world = _journey(Saboteur())
    told = _told(world)
    assert told[0] == ("Send", [])
    assert sorted(EXPECTED) == sorted(told)
    times = [event["mail"]["timestamp"] for _, event in world.destinations.taken]
    assert len(set(times)) == 1
    assert world.queues.items[QueueName.EVENT] == []
    assert not any(record.owed for record in world.ledger.records.values())


def test_events_say_whose_mail_it_is() -> None:
    """Tags of the caller and of SES's own names."""
    world = _journey(Saboteur())
    mail = world.destinations.taken[0][1]["mail"]
    assert mail["tags"] == {
        "ses:configuration-set": ["news"], "ses:from-domain": ["example.org"], "ses:caller-identity": ["AKIATEST"],
        "campaign": ["may"],
    }  # fmt: skip
    assert mail["source"] == "me@example.org"
    assert mail["destination"] == list(RECIPIENTS)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", _OURS, ids=[f"{n}-{CALLS[n]}" for n in _OURS])
def test_crash_at_any_step_loses_no_event(at: int, after: bool) -> None:
    """At least once: every event comes, perhaps twice."""
    world = _journey(Saboteur(at=at, after=after))
    assert world.crashes == 1
    # The ledger never heard of the attempt that was to be written down: its delay is no event.
    forgotten = CALLS[at] == "deliver:ledger.save" and not after
    expected = [event for event in EXPECTED if not (forgotten and event[0] == "DeliveryDelay")]
    assert set(map(repr, expected)) <= set(map(repr, _told(world)))
    assert world.queues.items[QueueName.PARKED] == []


_OUTAGES = {"spool": SpoolUnavailable, "queues": QueueUnavailable, "ledger": LedgerUnavailable}
_BROKEN = [n for n in _OURS if CALLS[n].split(":")[1].split(".")[0] in _OUTAGES and CALLS[n].startswith("publish:")]


@pytest.mark.parametrize("at", _BROKEN, ids=[f"{n}-{CALLS[n]}" for n in _BROKEN])
def test_outage_while_publishing_loses_no_event(at: int) -> None:
    """What can't be read or settled now comes again."""
    kind = _OUTAGES[CALLS[at].split(":")[1].split(".")[0]]
    world = _journey(Saboteur(at=at, error=kind))
    assert set(map(repr, EXPECTED)) <= set(map(repr, _told(world)))


def test_dead_event_queue_keeps_no_mail_back() -> None:
    """Delivered at once although nothing can be told; told when the queue is back, and nobody gets mail twice."""
    world = _with_set(World())

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.queues, name)

        def send(self, queue: str, jobs: Any, **options: Any) -> None:
            if queue == QueueName.EVENT and world.now < START + 7200:
                raise QueueUnavailable("dead")
            world.queues.send(queue, jobs, **options)

    world.for_deliver = replace(world.for_deliver, queues=Broken())
    world.for_retry = replace(world.for_retry, queues=Broken())
    world.submit("a@a.example", configuration_set="news")
    world.invoke(QueueName.DELIVERY)
    assert len(world.accepted_by("a@a.example")) == 1
    assert _told(world) == []
    world.run()
    assert len(world.accepted_by("a@a.example")) == 1
    assert _told(world) == [("Send", []), ("Delivery", ["a@a.example"])]
    assert world.now > START + 7200


def test_mail_without_destination_owes_and_asks_nothing() -> None:
    """Neither ledger nor queue hear of events."""
    world = World()
    receipt = world.submit("a@a.example")
    world.run()
    assert not any("event" in call or "publish" in call for call in world.saboteur.calls)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert record.owed == ()


def test_batch_is_queued_and_published_in_one_go() -> None:
    """One call of the event queue for ten mails, and one request of the destination."""
    world = _with_set(World())
    for n in range(10):
        world.submit(f"r{n}@a.example", configuration_set="news")
    world.saboteur.calls.clear()
    world.run()
    assert world.saboteur.calls.count("deliver:queues.send") == 1
    assert world.destinations.asked == ["set/news/one"]
    assert len(_told(world)) == 20


def test_only_types_that_somebody_wants_are_owed() -> None:
    """A set that hears of bounces alone makes a delivery cost nothing."""
    world = _with_set(World(SCRIPT), ["BOUNCE"])
    world.submit("good@a.example", configuration_set="news")
    world.run()
    assert world.destinations.asked == []
    assert not any(call.startswith("publish") for call in world.saboteur.calls)
    world.submit("missing@c.example", configuration_set="news")
    world.run()
    assert _told(world) == [("Bounce", ["missing@c.example"])]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["BOUNCE", "COMPLAINT"], [("Bounce", ["gone@a.example"]), ("Complaint", ["angry@a.example"])]),
        (["COMPLAINT"], [("Complaint", ["angry@a.example"])]),
        (["BOUNCE"], [("Bounce", ["gone@a.example"])]),
        (["DELIVERY"], []),
    ],
)
def test_suppressed_recipients_are_told_by_what_they_are_listed_for(types: list[str], expected: list[Any]) -> None:
    """To who wants that, and to nobody else."""
    world = _with_set(World(), types)
    for path, reason in (("gone@a.example", Reason.BOUNCE), ("angry@a.example", Reason.COMPLAINT)):
        world.suppression.put(Suppressed(path, reason, START - 86_400, "operator"))
    world.submit("gone@a.example", "angry@a.example", configuration_set="news")
    world.run()
    assert sorted(_told(world)) == expected
    assert len(world.accepted_by("me@example.org")) == 1


def test_dead_destination_holds_back_no_other_and_is_parked_in_the_end() -> None:
    """The one hears at once; the other is tried for a day, and its events then lie where an operator looks."""
    world = _with_set(World(), ["DELIVERY"], "dead", "good")
    world.destinations.script["set/news/dead"] = ["the topic does not exist"]
    world.submit("a@a.example", configuration_set="news")
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.EVENT)
    assert _told(world, "set/news/good") == [("Delivery", ["a@a.example"])]
    world.run()
    assert _told(world, "set/news/good") == [("Delivery", ["a@a.example"])]
    assert 86_400 <= world.now - START <= 86_400 + 900
    (parked,) = world.queues.items[QueueName.PARKED]
    assert "the topic does not exist" in str(parked.body)
    assert world.event_log.records[-1][0] == "EventNotTaken"
    assert world.event_log.records[-1][1]["parked"]
    assert len(world.destinations.asked) < 120


def test_destination_that_failed_is_let_alone_for_a_moment() -> None:
    """Within a warm function, longer each time; then it is asked again, with no try counted for the rest."""
    world = _with_set(World(), ["DELIVERY"], "dead", "good")
    world.destinations.script["set/news/dead"] = ["503", "503", "", "503", ""]
    warm = world.for_publish

    def told(path: str) -> list[str]:
        world.submit(path, configuration_set="news")
        world.invoke(QueueName.DELIVERY)
        world.destinations.asked.clear()
        items = world.queues.receive(QueueName.EVENT, 10)
        world.queues.delete(QueueName.EVENT, [item.receipt for item in items])
        assert publish(items, warm) == []
        return sorted(world.destinations.asked)

    assert told("a@a.example") == ["set/news/dead", "set/news/good"]
    assert told("b@a.example") == ["set/news/good"]
    assert [fields["tries"] for event, fields in world.event_log.records if event == "EventNotTaken"] == [1, 0]
    world.now += 6  # longer than the first rest, shorter than the wait of what is tried again
    assert told("c@a.example") == ["set/news/dead", "set/news/good"]
    world.now += 6
    assert told("d@a.example") == ["set/news/good"]
    world.now += 6
    assert told("e@a.example") == ["set/news/dead", "set/news/good"]
    assert told("f@a.example") == ["set/news/dead", "set/news/good"]
    world.now += 6  # it had answered: its rest is a first one
    assert told("g@a.example") == ["set/news/dead", "set/news/good"]
    world.run()
    assert sorted(_told(world, "set/news/dead")) == [("Delivery", [f"{name}@a.example"]) for name in "abcdefg"]


def test_what_will_never_be_taken_is_parked_at_once() -> None:
    """Its destination is well, and is asked for the next mail; who looks sees why."""
    world = _with_set(World(), ["DELIVERY"])
    world.destinations.script["set/news/one"] = [UNDELIVERABLE + "too old", ""]
    world.submit("a@a.example", configuration_set="news")
    world.invoke(QueueName.DELIVERY)
    items = world.queues.receive(QueueName.EVENT, 10)
    assert publish(items, world.for_publish) == []
    world.queues.delete(QueueName.EVENT, [item.receipt for item in items])
    (parked,) = world.queues.items[QueueName.PARKED]
    assert "undeliverable: too old" in str(parked.body)
    world.submit("b@a.example", configuration_set="news")
    world.invoke(QueueName.DELIVERY)
    assert publish(world.queues.receive(QueueName.EVENT, 10), world.for_publish) == []
    assert _told(world) == [("Delivery", ["b@a.example"])]


def test_what_was_never_asked_for_waits_ever_longer_and_tells_why() -> None:
    """What finds its destination let alone each time: no try is counted, and it is parked with what the others heard."""
    world = _with_set(World())
    world.submit("a@a.example", configuration_set="news")
    world.invoke(QueueName.DELIVERY)
    rests = Rests()
    waits = []
    while not world.queues.items.get(QueueName.PARKED):
        rests.failed("\0set/news/one", world.now, "503 Down", (900.0,))
        items = world.queues.receive(QueueName.EVENT, 10)
        assert publish(items, replace(world.for_publish, rests=rests, jitter=lambda: 0.0)) == []
        world.queues.delete(QueueName.EVENT, [item.receipt for item in items])
        if (seen := world.queues.next_visible_at()) is not None:
            waits.append(seen - world.now)
            world.now = seen
    assert waits[:8] == [30, 60, 120, 240, 480, 900, 900, 900]
    assert world.destinations.asked == []
    (parked,) = world.queues.items[QueueName.PARKED]
    assert (left := decode(parked.body)) is not None
    assert (left.problem, left.tries) == ("503 Down", 0)


def test_destination_that_is_back_gets_what_it_missed() -> None:
    """A webhook that is down for an hour: all mail is delivered at once, and then it hears of all of it, by time."""
    world = _with_set(World())
    world.destinations.script["set/news/one"] = [*["503"] * 9, ""]
    for n in range(3):
        world.submit(f"r{n}@a.example", configuration_set="news")
        while world.invoke(QueueName.DELIVERY):
            world.now += 1
    assert all(world.accepted_by(f"r{n}@a.example") for n in range(3))
    world.run()
    assert 3600 <= world.now - START <= 7200
    assert sorted(_told(world)) == sorted([*[("Send", [])] * 3, *(("Delivery", [f"r{n}@a.example"]) for n in range(3))])
    by_mail: dict[str, list[str]] = {}
    for _, event in world.destinations.taken:
        by_mail.setdefault(event["mail"]["messageId"], []).append(event["eventType"])
    assert list(by_mail.values()) == [["Send", "Delivery"]] * 3


def test_destination_that_is_gone_gets_nothing_more() -> None:
    """What waits for it is dropped, for nobody wants it."""
    world = _with_set(World())
    world.destinations.script["set/news/one"] = ["503"]
    world.submit("a@a.example", configuration_set="news")
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.EVENT)
    _with_set(world, ALL, "other")
    world.run()
    assert world.destinations.taken == []
    assert world.queues.items[QueueName.PARKED] == []


def test_topics_of_an_identity_get_the_older_form() -> None:
    """By domain or address; with the header only where that is set; only the three types that the form has."""
    world = World(SCRIPT)
    world.records.put("identity-settings", "example.org", {
        "NotificationTopics": {"Bounce": TOPIC, "Delivery": TOPIC}, "HeadersInNotifications": {"Bounce": True},
    })  # fmt: skip
    world.submit("missing@c.example", "good@a.example", client="[192.0.2.9]")
    world.run()
    told = dict(world.destinations.taken)
    assert set(told) == {"identity/example.org/Bounce", "identity/example.org/Delivery"}
    bounce, delivery = told["identity/example.org/Bounce"], told["identity/example.org/Delivery"]
    assert bounce["notificationType"] == "Bounce"
    assert "commonHeaders" in bounce["mail"]
    assert "headers" not in delivery["mail"]
    assert "tags" not in bounce["mail"]
    assert bounce["mail"]["sourceIp"] == "192.0.2.9"
    assert bounce["mail"]["callerIdentity"] == "AKIATEST"
    assert bounce["mail"]["sourceArn"] == "arn:aws:ses:us-east-1:123456789012:identity/example.org"


def test_given_up_mail_is_told_as_a_soft_bounce() -> None:
    """After queue_return_s: Transient, with the delays before it."""
    world = _with_set(World({"busy@b.example": [BUSY]}), ["BOUNCE", "DELIVERY_DELAY"])
    world.submit("busy@b.example", configuration_set="news")
    world.run()
    kinds = [kind for kind, _ in _told(world)]
    assert kinds[-1] == "Bounce"
    assert set(kinds[:-1]) == {"DeliveryDelay"}
    assert world.destinations.taken[-1][1]["bounce"]["bounceType"] == "Transient"


def test_delay_that_was_overtaken_is_still_told() -> None:
    """The publisher was down for the whole first retry: what the history kept is told, with its reply."""
    world = _with_set(World(SCRIPT), ["DELIVERY_DELAY", "DELIVERY"])
    world.submit("busy@b.example", configuration_set="news")
    for queue in (QueueName.DELIVERY, QueueName.DELIVERY, QueueName.RETRY):
        world.invoke(queue)
    world.now += 600
    assert world.sweep() == 1
    assert world.invoke(QueueName.DELIVERY)
    world.run()
    assert _told(world) == [("DeliveryDelay", ["busy@b.example"]), ("Delivery", ["busy@b.example"])]
    (late,) = world.destinations.taken[0][1]["deliveryDelay"]["delayedRecipients"]
    assert late["diagnosticCode"] == "smtp; 451 4.2.0 busy, come back"


def test_poison_is_parked() -> None:
    """Neither a job nor events."""
    world = World()
    world.queues.put(QueueName.EVENT, "{what")
    world.run()
    assert [item.body for item in world.queues.items[QueueName.PARKED]] == ["{what"]
