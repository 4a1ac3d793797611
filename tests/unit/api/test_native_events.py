"""Webhooks of configuration sets, complaints, replays and insights, over the APIs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from paravion.adapters.memory import MemoryQueues
from paravion.domain import event_item
from paravion.domain.allowed_destinations import AllowedDestinations
from paravion.domain.envelope import Recipient, encode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, claimed, with_outcomes
from paravion.domain.simulator import answered
from paravion.domain.suppression import Reason, Suppressed, not_sent
from paravion.domain.target import AllowedTargets
from paravion.ports import QueueName
from paravion.services import replay
from tests.unit.api.conftest import ACCESS_KEY
from tests.unit.api.test_native import asked
from tests.unit.domain.test_ses_event import ENVELOPE, HEADER, ORIGIN, QUEUE_ID

SET = "/v1/configuration-sets/ConfigSet"
JANE, MARY = "jane@example.com", "mary@example.com"


@pytest.fixture
def operator(served, monkeypatch):
    """An operator's credential, a configuration set, an event queue, and one message that was tried."""
    world = served
    world.put_credential(operator=True)
    own = {"account_id": "123456789012", "queue_return_s": 432_000.0, "suppression_expiry_s": 0.0}
    own["queue_return_by_priority"] = {}
    world.settings = SimpleNamespace(**{**vars(world.settings), **own})
    world.queues = MemoryQueues(world.clock)
    allowed = AllowedDestinations(webhooks=AllowedTargets((), ("hooks.example.org",), ()))
    made = type(world).admin_deps.fget
    monkeypatch.setattr(type(world), "admin_deps", property(
        lambda self: replace(made(self), new_queues=lambda: self.queues, destination_problem=allowed.problem)
    ))  # fmt: skip
    world.records.put("configuration-set", "ConfigSet", {})
    envelope = replace(ENVELOPE, submitter="AKIAOTHER")
    world.spool.put_envelope(QUEUE_ID, encode_qf(envelope, HEADER))
    job = Job(JobKey(QUEUE_ID), ENVELOPE.queued_at)
    record = replace(claimed(None, job, token="t", lease_until=0.0), recipient_count=2)
    ok = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
    gone = Outcome(Result.FAILED, "5.1.1", 550, "user unknown", "RCPT", "mx")
    outcomes = {0: (JANE, ok), 1: (MARY, gone)}
    world.ledger.save(with_outcomes(replace(record, version=0), outcomes, now=1_800_000_005.0, notify={}, last=True))
    return world


def _add(world, **changes):
    given = {"name": "hook", "url": "https://hooks.example.org/x", **changes}
    return asked(world, "POST", f"{SET}/webhooks", given)


def _queued(world):
    items = [event_item.decode(item.body) for item in world.queues.items[QueueName.EVENT]]
    return [(item.destination, event.type) for item in items for event in item.events]


def test_webhook_is_made_listed_and_removed(operator):
    """With the host's secret, which is made the first time."""
    code, made = _add(operator, event_types=["BOUNCE"], form="sns")
    assert code == 201
    assert made["secrets"][0].startswith("whsec_")
    (listed,) = asked(operator, "GET", f"{SET}/destinations")[1]["destinations"]
    assert listed == made["destination"]
    assert listed["Webhook"] == {"Url": "https://hooks.example.org/x", "Form": "sns"}
    assert listed["MatchingEventTypes"] == ["BOUNCE"]
    assert asked(operator, "DELETE", f"{SET}/webhooks/hook")[0] == 200
    assert asked(operator, "GET", f"{SET}/destinations")[1]["destinations"] == []
    assert asked(operator, "DELETE", f"{SET}/webhooks/hook")[0] == 404


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"url": "http://hooks.example.org/x"}, "https"),
        ({"url": "https://other.example/x"}, "webhook_hosts"),
        ({"event_types": ["OPEN"]}, "OPEN"),
        ({"event_types": "BOUNCE"}, "list"),
        ({"form": "xml"}, "form"),
        ({"name": "a b"}, "EventDestinationName"),
        ({"name": 1}, "name"),
    ],
)
def test_webhook_that_can_not_be_is_refused_by_name(operator, changes, word):
    """Nothing is ignored."""
    code, answer = _add(operator, **changes)
    assert (code, word in answer["error"]["detail"]) == (400, True), answer


def test_webhooks_are_an_operators(world):
    """Whoever may name a URL makes us ask it."""
    assert _add(world)[0] == 403
    assert asked(world, "POST", f"/v1/messages/{QUEUE_ID}/complaint", {"address": JANE})[0] == 403


def test_no_webhook_of_a_set_that_is_not_there(operator):
    """Sets are made by SES's API."""
    path = "/v1/configuration-sets/other"
    given = {"name": "hook", "url": "https://hooks.example.org/x"}
    assert asked(operator, "POST", f"{path}/webhooks", given)[0] == 422
    assert asked(operator, "GET", f"{path}/destinations")[0] == 422


def test_complaint_is_told_and_suppresses(operator):
    """Once, under SES's reason; a report of not-spam suppresses nobody."""
    _add(operator)
    given = {"address": JANE.upper(), "kind": "abuse", "user_agent": "Loop/1"}
    code, answer = asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/complaint", given)
    assert (code, answer["events"]) == (200, 1)
    assert _queued(operator) == [("", "COMPLAINT")]
    assert set(operator.suppression.items) == {JANE}
    not_spam = {"address": MARY, "kind": "not-spam"}
    assert asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/complaint", not_spam)[0] == 200
    assert set(operator.suppression.items) == {JANE}


def test_complaint_is_counted_where_statistics_are_kept(operator):
    """Its mail's tenant's; a report of not-spam is none."""
    for has_statistics, kind, complaints in ((False, "abuse", []), (True, "not-spam", []), (True, "abuse", [1])):
        operator.has_statistics = has_statistics
        given = {"address": JANE, "kind": kind}
        assert asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/complaint", given)[0] == 200
        points = operator.counters.points("", 0.0, operator.clock() + 1)
        assert [point.tally.complaints for point in points] == complaints


@pytest.mark.parametrize(
    ("path", "given", "code"),
    [
        (f"/v1/messages/{QUEUE_ID}/complaint", {"address": "other@example.com"}, 404),
        (f"/v1/messages/{QUEUE_ID}/complaint", {"address": "x"}, 400),
        (f"/v1/messages/{QUEUE_ID}/complaint", {"address": JANE, "kind": "rude"}, 400),
        (f"/v1/messages/{'z' * 26}/complaint", {"address": JANE}, 404),
        (f"/v1/messages/{QUEUE_ID}/events", {"destination": "none"}, 404),
        (f"/v1/messages/{'z' * 26}/events", {}, 404),
    ],
)
def test_what_is_not_there_is_told(operator, path, given, code):
    """No such message, recipient, kind or destination."""
    assert asked(operator, "POST", path, given)[0] == code


def test_replay_tells_what_the_ledger_knows(operator):
    """To one destination or all; to nobody where nobody is told."""
    assert asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/events", {})[1]["events"] == 0
    _add(operator)
    assert asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/events", {})[1]["events"] == 3
    given = {"destination": "hook"}
    assert asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/events", given)[1]["events"] == 3
    kinds = ["SEND", "DELIVERY", "BOUNCE"]
    assert _queued(operator) == [*(("", k) for k in kinds), *(("set/ConfigSet/hook", k) for k in kinds)]


SPAN = {"since": "2027-01-15T08:00:00Z", "until": "2027-01-15T09:00:00+01:00"}


def _again(world, **changes):
    return asked(world, "POST", "/v1/events/replay", {"since": "2027-01-15T07:00:00Z", **changes})


def test_replay_of_a_span_tells_what_happened_in_it(operator):
    """By the events' own times; of one tenant, set or destination; page by page."""
    _add(operator)
    times = [(0, "SEND"), (5, "DELIVERY"), (5, "BOUNCE")]  # seconds after ENVELOPE.queued_at, 2027-01-15T08:00:00Z
    for since, until, kinds in (
        ("07:00:00", "09:00:00", [kind for _, kind in times]),
        ("08:00:02", "09:00:00", ["DELIVERY", "BOUNCE"]),
        ("07:00:00", "08:00:02", ["SEND"]),
        ("08:00:06", "09:00:00", []),
    ):
        operator.queues.items[QueueName.EVENT].clear()
        given = {"since": f"2027-01-15T{since}Z", "until": f"2027-01-15T{until}+00:00", "destination": "hook"}
        code, told = asked(operator, "POST", "/v1/events/replay", given)
        assert (code, told) == (200, {"messages": bool(kinds), "events": len(kinds), "after": None})
        assert _queued(operator) == [("set/ConfigSet/hook", kind) for kind in kinds]
    for changes in ({"tenant": "acme"}, {"configuration_set": "other"}, {"destination": "other"}):
        assert _again(operator, until="2027-01-15T09:00:00Z", **changes)[1]["events"] == 0
    assert _again(operator, until="2027-01-15T09:00:00Z", tenant="", configuration_set="ConfigSet")[1]["events"] == 3
    assert operator.event_log.records[-1][0] == "EventsReplayed"


def test_replay_of_a_span_is_bounded(operator, monkeypatch):
    """A call reads so much and no more, and the next goes on behind it."""
    monkeypatch.setattr(replay, "MAILS", 2)
    _add(operator)
    done = operator.ledger.load(JobKey(QUEUE_ID))
    for name in "bcdef":
        envelope = replace(ENVELOPE, queue_id=name * 26)
        operator.spool.put_envelope(envelope.queue_id, encode_qf(envelope, HEADER))
        operator.ledger.save(replace(done, key=JobKey(envelope.queue_id), version=0))
    operator.ledger.save(replace(done, key=JobKey("g" * 26), version=0))  # its spool is gone
    given, calls = {"until": "2027-01-15T09:00:00Z"}, []
    while not calls or calls[-1]["after"]:
        calls.append(_again(operator, **given)[1])
        given["after"] = calls[-1]["after"]
    assert [call["events"] for call in calls] == [6, 6, 6, 0]
    assert len(_queued(operator)) == 18


@pytest.mark.parametrize(
    "given",
    [{}, {"since": "yesterday"}, {"since": "2027-01-15T07:00:00"}, {**SPAN, "after": "x"}, {**SPAN, "tenant": 1},
     {**SPAN, "until": SPAN["since"]}, {**SPAN, "until": None}, {**SPAN, "destinations": "hook"}],
    ids=str,
)  # fmt: skip
def test_span_that_is_none_is_refused(operator, given):
    """Also one without a time zone."""
    assert asked(operator, "POST", "/v1/events/replay", given)[0] == 400


def test_replay_tells_the_same_content_as_publishing_did(operator):
    """Of the outgoing address too: the key by which a receiver knows an event again follows from it."""
    operator.settings.outgoing_ip = ORIGIN.outgoing_ip
    _add(operator)
    assert asked(operator, "POST", f"/v1/messages/{QUEUE_ID}/events", {})[1]["events"] == 3
    (item,) = [event_item.decode(item.body) for item in operator.queues.items[QueueName.EVENT]]
    delivery = next(event for event in item.events if event.type == "DELIVERY")
    assert delivery.mail["tags"]["ses:outgoing-ip"] == [ORIGIN.outgoing_ip]


def test_message_insights_by_ses_api(operator):
    """Per recipient what became of it, as SES tells it."""
    answer = operator.client("sesv2").get_message_insights(MessageId=QUEUE_ID)
    assert (answer["FromEmailAddress"], answer["Subject"]) == ("Jörg <me@example.org>", "Grüße")
    assert {"Name": "campaign", "Value": "may"} in answer["EmailTags"]
    told = {item["Destination"]: item["Events"] for item in answer["Insights"]}
    assert {address: [event["Type"] for event in events] for address, events in told.items()} == {
        JANE: ["SEND", "DELIVERY"], MARY: ["SEND", "BOUNCE"],
    }  # fmt: skip
    assert told[MARY][1]["Details"]["Bounce"] == {
        "BounceType": "PERMANENT", "BounceSubType": "General", "DiagnosticCode": "smtp; 550 5.1.1 user unknown",
    }  # fmt: skip


def test_insights_tell_of_suppressed_recipients_as_the_events_do(operator):
    """A complaint without a report has a subtype and no kind."""
    record = operator.ledger.load(JobKey(QUEUE_ID))
    listed = {
        n: (path, not_sent(Suppressed(path, reason, 1.0, "operator")))
        for n, (path, reason) in enumerate(((JANE, Reason.COMPLAINT), (MARY, Reason.BOUNCE)))
    }
    record = replace(record, recipients={}, log=())
    operator.ledger.save(with_outcomes(record, listed, now=1_800_000_005.0, notify={}, last=True))
    answer = operator.client("sesv2").get_message_insights(MessageId=QUEUE_ID)
    told = {item["Destination"]: item["Events"][1]["Details"] for item in answer["Insights"]}
    assert told[JANE] == {"Complaint": {"ComplaintSubType": "OnAccountSuppressionList"}}
    assert told[MARY]["Bounce"]["BounceSubType"] == "OnAccountSuppressionList"


def test_insights_of_mail_that_nobody_tried_and_of_a_simulated_complaint(operator):
    """Sent, and no more; and with the complaint's kind."""
    untried = "b" * 26
    operator.spool.put_envelope(untried, encode_qf(replace(ENVELOPE, queue_id=untried), HEADER))
    answer = operator.client("sesv2").get_message_insights(MessageId=untried)
    assert [[event["Type"] for event in item["Events"]] for item in answer["Insights"]] == [["SEND"], ["SEND"]]
    path = "complaint@simulator.amazonses.com"
    record = operator.ledger.load(JobKey(QUEUE_ID))
    simulated = {0: (path, answered(path, 1))}
    record = replace(record, recipients={}, log=())
    operator.ledger.save(with_outcomes(record, simulated, now=1_800_000_005.0, notify={}, last=True))
    answer = operator.client("sesv2").get_message_insights(MessageId=QUEUE_ID)
    events = {item["Destination"]: item["Events"] for item in answer["Insights"]}[path]
    assert events[-1]["Details"]["Complaint"] == {"ComplaintFeedbackType": "abuse"}


def test_messages_that_an_expansion_made_are_parts_of_theirs(operator):
    """Events name the first one's id, so that complaint, replay and insights find the others' recipients by it."""
    member, whole, part, gone = "member@example.net", "d" * 26, "b" * 26, "c" * 26
    envelope = replace(ENVELOPE, submitter="AKIAOTHER")
    first = replace(envelope, queue_id=whole, parts=((part, 1), (gone, 1)))
    operator.spool.put_envelope(whole, encode_qf(first, HEADER))
    of_list = replace(
        envelope, queue_id=part, body_id=whole, recipients=(Recipient(member, origin="list@example.net"),)
    )
    operator.spool.put_envelope(part, encode_qf(of_list, HEADER))
    record = replace(claimed(None, Job(JobKey(part), 1.0), token="t", lease_until=0.0), recipient_count=1, version=0)
    ok = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
    operator.ledger.save(with_outcomes(record, {0: (member, ok)}, now=1_800_000_005.0, notify={}, last=True))
    _add(operator)
    given = {"address": member, "kind": "abuse"}
    assert asked(operator, "POST", f"/v1/messages/{whole}/complaint", given)[1]["events"] == 1
    assert asked(operator, "POST", f"/v1/messages/{whole}/events", {})[1]["events"] == 1
    answer = operator.client("sesv2").get_message_insights(MessageId=whole)
    assert [item["Destination"] for item in answer["Insights"]] == [JANE, MARY, member]
    operator.put_credential(operator=False)
    operator.spool.envelopes = {
        key: octets.replace(b"AKIAOTHER", ACCESS_KEY.encode()) for key, octets in operator.spool.envelopes.items()
    }
    answer = operator.client("sesv2").get_message_insights(MessageId=whole)
    assert [item["Destination"] for item in answer["Insights"]] == [JANE, MARY, "list@example.net"]
    assert member not in str(answer)
