"""Operators' acts over the native API: routes, members and refusals; what they do is the services'."""

from __future__ import annotations

import json

import pytest

from paravion.domain.envelope import Envelope, Recipient, encode_qf
from paravion.domain.outcome import Outcome, Result
from paravion.domain.queue import Job, JobKey, JobRecord, RecipientState, State
from paravion.ports import QueueName
from tests.unit.api.test_native import asked

QUEUE_ID = "q" * 26
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "mx.a")


@pytest.fixture
def operator(world):
    """The credential is an operator's, and one job waits."""
    world.put_credential(operator=True)
    now = world.clock()
    envelope = Envelope(
        QUEUE_ID, "me@x.example", (Recipient("a@a.example"),), now, 4, submitter="AKIATEST", door="http"
    )
    world.spool.put_envelope(QUEUE_ID, encode_qf(envelope, b"Subject: x\r\n"))
    states = {0: RecipientState("a@a.example", BUSY, now, 1)}
    world.ledger.save(
        JobRecord(
            JobKey(QUEUE_ID), now, State.DEFERRED, attempts=1, due_at=now + 900, recipient_count=1,
            reverse_path="me@x.example", recipients=states,
        )
    )  # fmt: skip
    return world


def post(world, path, fields=None):
    """Ask for something with a JSON body, or none."""
    body = b"" if fields is None else json.dumps(fields).encode()
    return asked(world, "POST", path, body, content_type="application/json")


def test_message_is_flushed(operator):
    """With a reason or without a body."""
    code, answer = post(operator, f"/v1/messages/{QUEUE_ID}/flush", {"reason": "r"})
    assert (code, answer["changed"], answer["jobs"][0]["state"], answer["hosts"]) == (200, 1, "ready", [])
    assert len(operator.queues.items[QueueName.DELIVERY]) == 1
    code, answer = post(operator, f"/v1/messages/{QUEUE_ID}/flush")
    assert (code, answer["changed"], answer["jobs"][0]["left"]) == (200, 0, "in_hand")


def test_selection_is_flushed_in_steps_and_listed(operator):
    """Instants of the list are RFC 3339."""
    code, dry = post(operator, "/v1/queue/flush", {"recipient": "a.example", "dry_run": True})
    assert (code, dry["changed"], dry["operation"], dry["dry_run"]) == (200, 1, None, True)
    changed, after = 0, ""
    for _ in range(20):
        code, answer = post(operator, "/v1/queue/flush", {"recipient": "a.example", "limit": 1, "after": after})
        assert code == 200
        changed += answer["changed"]
        after = answer["after"]
        if after is None:
            break
    assert changed == 1
    code, listed = asked(operator, "GET", "/v1/operations", query="limit=5")
    (item,) = listed["operations"]
    assert (item["operation"], item["what"], item["by"], item["changed"]) == (
        "flush",
        {"recipient": "a.example"},
        "AKIATEST",
        1,
    )
    assert item["at"].endswith("Z")
    assert asked(operator, "GET", "/v1/operations", query="after=a&after=b")[0] == 400


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"all": False}, {"all": True, "host": "a"}, {"all": 1}, {"recipient": 7}, {"recipient": "a@"},
        {"all": True, "limit": 0}, {"all": True, "limit": 1001}, {"all": True, "limit": True},
        {"all": True, "after": "x"}, {"all": True, "dry_run": "no"}, {"all": True, "reason": "x" * 201},
        {"all": True, "recipents": "a"}, {"texts": []}, {"texts": [{}]}, {"texts": "a"}, {"texts": ["a"]},
        {"all": True, "texts": [{"of": "id", "text": "a"}]}, {"texts": [{"of": "host", "text": "a"}]},
        {"texts": [{"of": "id", "text": ""}]}, {"texts": [{"of": "id", "text": "a", "not": True}]},
        {"texts": [{"of": "id", "text": "a", "negated": "no"}]}, {"texts": [{"of": "id", "text": "a"}] * 21},
    ],
)  # fmt: skip
def test_selection_that_is_none_is_refused(operator, fields):
    """Nothing is taken for everything."""
    code, answer = post(operator, "/v1/queue/flush", fields)
    assert (code, answer["error"]["key"]) == (400, "bad_request")
    assert not operator.queues.items[QueueName.DELIVERY]


def test_message_is_requeued_cancelled_or_removed(operator):
    """By the same body."""
    code, answer = post(operator, f"/v1/messages/{QUEUE_ID}/cancel", {"reason": "wrong"})
    assert (code, answer["jobs"][0]["state"]) == (200, "held")
    assert operator.ledger.load(JobKey(QUEUE_ID)).cancelled == "Cancelled by an operator: wrong"
    code, answer = post(operator, f"/v1/messages/{QUEUE_ID}/requeue", {"reason": "sorry"})
    assert (code, answer["jobs"][0]["state"]) == (200, "ready")
    code, answer = post(operator, f"/v1/messages/{QUEUE_ID}/cancel", {"tell": False})
    assert (code, answer["jobs"][0]["state"]) == (200, "removed")
    assert post(operator, f"/v1/messages/{QUEUE_ID}/cancel")[0] == 409


def test_submitter_takes_back_what_nobody_has_tried(operator):
    """And tells nobody; what was tried is an operator's."""
    operator.put_credential(operator=False)
    path = f"/v1/messages/{QUEUE_ID}/cancel"
    assert post(operator, path)[0] == 409
    operator.ledger.records.clear()
    code, answer = post(operator, path, {"tell": True})
    assert (code, answer["error"]["key"]) == (403, "access_denied")
    code, answer = post(operator, path, {"reason": "typo"})
    assert (code, answer["jobs"][0]["state"]) == (200, "removed")


@pytest.mark.parametrize(
    ("verb", "fields", "state"),
    [
        ("hold", {"reason": "r"}, "held"), ("requeue", {}, "ready"), ("cancel", {}, "held"),
        ("cancel", {"tell": False}, "removed"), ("release", {}, "deferred"),
    ],
)  # fmt: skip
def test_every_act_is_done_by_selection(operator, verb, fields, state):
    """A release finds nothing that is held."""
    code, answer = post(operator, f"/v1/queue/{verb}", {"all": True, **fields})
    assert (code, answer["after"]) == (200, None)
    assert operator.ledger.load(JobKey(QUEUE_ID)).state.value == state


def test_parked_items_are_listed_given_back_and_dropped(operator):
    """By id, by message or all."""
    job = Job(JobKey(QUEUE_ID), 1.0)
    operator.queues.send(QueueName.PARKED, [job, Job(JobKey("p" * 26), 1.0)])
    operator.queues.park(["rubbish"])
    code, listed = asked(operator, "GET", "/v1/parked", query="limit=10")
    assert (code, len(listed["items"]), listed["is_whole"]) == (200, 3, True)
    assert listed["items"][0]["sent_at"].endswith("Z")
    code, answer = post(operator, "/v1/parked/redrive", {"queue_id": QUEUE_ID, "reason": "r"})
    assert (code, answer["redriven"]) == (200, 1)
    assert [item.body for item in operator.queues.items[QueueName.RETRY]] == [job]
    code, answer = post(operator, "/v1/parked/redrive", {"all": True, "limit": 10})
    assert (code, answer["redriven"], answer["left"]) == (200, 1, 1)
    rubbish = listed["items"][2]["id"]
    code, answer = asked(operator, "DELETE", f"/v1/parked/{rubbish}", query="reason=junk")
    assert (code, answer["body"]) == (200, "rubbish")
    assert asked(operator, "DELETE", f"/v1/parked/{rubbish}")[0] == 404
    for fields in ({}, {"all": True, "ids": ["x"]}, {"ids": "x"}, {"ids": [1]}, {"all": True, "limit": 0}):
        assert post(operator, "/v1/parked/redrive", fields)[0] == 400
    code, answer = asked(operator, "DELETE", "/v1/parked", query=f"queue_id={'p' * 26}")
    assert code == 404
    operator.queues.send(QueueName.PARKED, [job])
    code, answer = asked(operator, "DELETE", "/v1/parked", query=f"queue_id={QUEUE_ID}&reason=junk")
    assert (code, [item["what"] for item in answer["dropped"]]) == (200, ["job"])
    for query in ("", "queue_id=", "queue_id=a&queue_id=b", "queue_id=a&all=true"):
        assert asked(operator, "DELETE", "/v1/parked", query=query)[0] == 400


def test_new_mail_is_held_by_rules(operator):
    """Made, listed, ended."""
    body = json.dumps({"reason": "r"}).encode()
    code, answer = asked(operator, "PUT", "/v1/holds/to:B.example", body, content_type="application/json")
    assert (code, answer["name"], answer["by"]) == (200, "to:b.example", "AKIATEST")
    code, answer = asked(operator, "GET", "/v1/holds")
    assert [hold["at"][-1] for hold in answer["holds"]] == ["Z"]
    assert asked(operator, "DELETE", "/v1/holds/to:b.example")[0] == 204
    assert asked(operator, "DELETE", "/v1/holds/to:b.example")[0] == 404
