"""`paravion parked` and `paravion operations`: what they ask and what they print."""

from __future__ import annotations

import pytest

from paravion.cli import main
from tests.unit.cli.fake_api import error

ITEM = {
    "id": "i1", "what": "job", "queue_id": "q1", "chunk": 0, "state": "tried", "attempts": 3,
    "last_at": "2026-11-22T10:00:00.000Z", "last_text": "fault The att\x1bempt", "receives": 2,
    "sent_at": "2026-11-22T09:00:00.000Z",
}  # fmt: skip
RUBBISH = {**ITEM, "id": "i2", "what": "unknown", "queue_id": None, "last_at": None, "last_text": "rubbish"}
EVENTS = {**ITEM, "id": "i3", "what": "events", "chunk": None, "last_at": None, "last_text": "1 events for d: 500"}
OPERATION = {
    "id": "o1", "operation": "flush", "what": {"recipient": "a.example"}, "reason": "up", "by": "AKIA", "changed": 3,
    "at": "2026-11-22T10:00:00.000Z", "finished": False,
}  # fmt: skip


def test_list_tells_what_each_is(api, capsys):
    """Nothing that steers a terminal."""
    items = [ITEM, RUBBISH, EVENTS, {**EVENTS, "queue_id": None}]
    api.script.append((200, {"items": items, "is_whole": False}))
    assert main.main(["parked"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "i1  2026-11-22 09:00:00  job q1/0, tried",
        "    (2026-11-22 10:00:00 fault The att?empt)",
        "i2  2026-11-22 09:00:00  unknown",
        "    (rubbish)",
        "i3  2026-11-22 09:00:00  events of q1",
        "    (1 events for d: 500)",
        "i3  2026-11-22 09:00:00  events",
        "    (1 events for d: 500)",
        "4 parked or more",
    ]
    api.script.append((200, {"items": [], "is_whole": True}))
    assert main.main(["parked", "list"]) == 0
    assert capsys.readouterr().out == "Nothing is parked\n"


def test_redrive_of_all_goes_on_while_there_is_more(api, capsys):
    """And ends where only what can't be given back is left."""
    for redriven, more in ((500, True), (20, True), (0, True)):
        api.script.append((200, {"redriven": redriven, "left": 1, "more": more, "operation": "o"}))
    assert main.main(["parked", "redrive", "--all", "--reason", "r"]) == 0
    assert [request.fields for request in api.requests] == [{"limit": 500, "all": True, "reason": "r"}] * 3
    assert capsys.readouterr().out == "520 given back; 1 left, whose meaning nobody knows\n"


@pytest.mark.parametrize(
    ("words", "fields"), [(["i1", "i2"], {"ids": ["i1", "i2"]}), (["--message", "q1"], {"queue_id": "q1"})]
)
def test_redrive_of_some_asks_once(api, capsys, words, fields):
    """More or not."""
    api.script.append((200, {"redriven": 1, "left": 0, "more": True, "operation": "o"}))
    assert main.main(["parked", "redrive", *words]) == 0
    assert [request.fields for request in api.requests] == [{"limit": 500, **fields}]
    assert capsys.readouterr().out == "1 given back\n"


@pytest.mark.parametrize("words", [[], ["i1", "--all"]])
def test_redrive_of_nothing_or_both_is_refused(api, words):
    """Before anything is asked."""
    assert main.main(["parked", "redrive", *words]) == 64
    assert api.requests == []


def test_drop_does_the_others_where_one_is_refused(api, capsys):
    """The exit is the last refusal's."""
    api.script.append(error(404, "not_found", 550, "5.5.1", "No such thing", "no such item"))
    api.script.append((200, {}))
    assert main.main(["parked", "drop", "a/b", "i2", "--reason", "junk"]) == 65
    assert [request.path for request in api.requests] == ["/v1/parked/a%2Fb?reason=junk", "/v1/parked/i2?reason=junk"]
    captured = capsys.readouterr()
    assert captured.out == "i2: dropped\n"
    assert "no such item" in captured.err


def test_drop_of_a_message_tells_what_it_dropped(api, capsys):
    """And of nothing is refused before anything is asked."""
    api.script.append((200, {"dropped": [ITEM, EVENTS]}))
    assert main.main(["parked", "drop", "--message", "q1", "--reason", "junk"]) == 0
    assert [(r.method, r.path) for r in api.requests] == [("DELETE", "/v1/parked?queue_id=q1&reason=junk")]
    assert capsys.readouterr().out == "i1: dropped\ni3: dropped\n"
    assert main.main(["parked", "drop"]) == 64
    assert len(api.requests) == 1


def test_operations_are_told_with_who_and_why(api, capsys):
    """One that broke off is seen."""
    api.script.append((200, {"operations": [OPERATION, {**OPERATION, "reason": "", "finished": True}], "after": None}))
    assert main.main(["operations", "--limit", "2"]) == 0
    assert api.requests[0].path == "/v1/operations?limit=2"
    assert capsys.readouterr().out.splitlines() == [
        "2026-11-22 10:00:00  AKIA  flush recipient=a.example: 3 changed (not finished)",
        "    (up)",
        "2026-11-22 10:00:00  AKIA  flush recipient=a.example: 3 changed",
    ]
    api.script.append((200, {"operations": [], "after": None}))
    main.main(["operations"])
    assert capsys.readouterr().out == "No operations\n"


def test_holds_are_listed_added_and_removed(api, capsys):
    """The name is one label of the path."""
    hold = {"name": "to:b.example", "reason": "no", "by": "AKIA", "at": "2026-11-22T10:00:00.000Z"}
    api.script.extend([(200, {"holds": [hold]}), (200, hold), (204, b""), (200, {"holds": []})])
    for words in (["list"], ["add", "to:b.example", "--reason", "no"], ["remove", "to:b.example"], []):
        assert main.main(["holds", *words]) == 0
    assert [(request.method, request.path) for request in api.requests] == [
        ("GET", "/v1/holds"), ("PUT", "/v1/holds/to%3Ab.example"), ("DELETE", "/v1/holds/to%3Ab.example"),
        ("GET", "/v1/holds"),
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "to:b.example  since 2026-11-22 10:00:00, by AKIA: no",
        "to:b.example: new mail is held within a minute",
        "to:b.example: held no longer; paravion release lets go what is held",
        "No new mail is held",
    ]
