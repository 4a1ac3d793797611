"""`paravion events` and `paravion complaint`: what they ask, and what they print."""

from __future__ import annotations

import json

import pytest

from paravion.cli import main
from tests.unit.cli.fake_api import error

HOOK = {"Name": "hook", "Enabled": True, "MatchingEventTypes": ["SEND", "BOUNCE"], "Webhook": {"Url": "https://h/x"}}
METRICS = {"Name": "cw", "MatchingEventTypes": ["SEND"], "CloudWatchDestination": {}}
SET = "/v1/configuration-sets/news"
CASES = [
    (
        ["events", "list", "news"], ("GET", f"{SET}/destinations"), None, (200, {"destinations": [HOOK, METRICS]}),
        "hook  Webhook  on  https://h/x  BOUNCE,SEND\ncw  CloudWatchDestination  off  -  SEND\n",
    ),
    (
        ["events", "add", "news", "hook", "https://h/x", "--types", "bounce, send", "--form", "sns"],
        ("POST", f"{SET}/webhooks"),
        {"name": "hook", "url": "https://h/x", "form": "sns", "event_types": ["BOUNCE", "SEND"]},
        (201, {"destination": HOOK, "secrets": ["whsec_x"]}), "whsec_x\n",
    ),
    (["events", "remove", "news", "hook"], ("DELETE", f"{SET}/webhooks/hook"), None, (200, {}), ""),
    (
        ["events", "replay", "abc", "--destination", "hook"], ("POST", "/v1/messages/abc/events"),
        {"destination": "hook"}, (200, {"queue_id": "abc", "events": 3}), "abc  3 events\n",
    ),
    (
        ["events", "replay", "--since", "2027-01-15T08:00:00Z", "--until", "2027-01-15T09:00:00Z", "--tenant", "acme",
         "--set", "news", "--destination", "hook"],
        ("POST", "/v1/events/replay"),
        {"since": "2027-01-15T08:00:00Z", "until": "2027-01-15T09:00:00Z", "configuration_set": "news",
         "tenant": "acme", "destination": "hook"},
        (200, {"messages": 2, "events": 3, "after": None}), "2 messages  3 events\n",
    ),
    (
        ["complaint", "a@b.example", "--message", "abc", "--kind", "abuse"], ("POST", "/v1/messages/abc/complaint"),
        {"address": "a@b.example", "kind": "abuse", "user_agent": ""}, (200, {}), "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "asked", "body", "answer", "printed"), CASES, ids=[" ".join(c[0][:2]) for c in CASES]
)
def test_command_asks_and_prints(api, capsys, words, asked, body, answer, printed):
    """One request each."""
    api.script.append(answer)
    assert main.main(words) == 0
    (request,) = api.requests
    assert (request.method, request.path) == asked
    assert body is None or json.loads(request.body) == body
    assert capsys.readouterr().out == printed


_NO_SET = (404, "no_such_configuration_set", 554, "5.5.4", "Configuration set does not exist", "<news>")


def test_set_that_is_not_there_is_made_if_that_is_asked_for(api, capsys):
    """By SES's own operation, after the API said that there is none."""
    api.script += [error(*_NO_SET), (200, {}), (201, {"destination": HOOK, "secrets": ["whsec_x"]})]
    assert main.main(["events", "add", "--new-set", "news", "hook", "https://h/x"]) == 0
    assert [request.path for request in api.requests] == [
        f"{SET}/webhooks", "/v2/email/configuration-sets", f"{SET}/webhooks",
    ]  # fmt: skip
    assert api.requests[1].fields == {"ConfigurationSetName": "news"}
    assert capsys.readouterr().out == "whsec_x\n"


def test_set_that_is_not_there_is_told_and_how_to_make_it(api, capsys):
    """A name is easily misspelt, so that nothing is made unasked; what else is refused is told as ever."""
    api.script += [error(*_NO_SET), error(400, "bad_request", 501, "5.5.4", "Request is malformed", "https")]
    assert main.main(["events", "add", "news", "hook", "https://h/x"]) == 65
    assert "--new-set" in capsys.readouterr().err
    assert main.main(["events", "add", "--new-set", "news", "hook", "http://h/x"]) == 65
    assert "--new-set" not in capsys.readouterr().err
    assert len(api.requests) == 2


def test_span_is_replayed_page_by_page(api, capsys):
    """All of one span, also where it ends now."""
    api.script += [
        (200, {"messages": 2, "events": 3, "after": "x"}),
        (200, {"messages": 1, "events": 1, "after": None}),
    ]
    assert main.main(["events", "replay", "--since", "2027-01-15T08:00:00Z"]) == 0
    first, second = (json.loads(request.body) for request in api.requests)
    assert second == {**first, "after": "x"}
    assert first["until"].endswith("+00:00")
    assert capsys.readouterr().out == "3 messages  4 events\n"


@pytest.mark.parametrize(
    "words", [[], ["--until", "2027-01-15T08:00:00Z"], ["abc", "--since", "x"], ["abc", "--set", "n"]]
)
def test_replay_wants_messages_or_a_span(api, capsys, words):
    """Not both, and nothing is asked."""
    assert main.main(["events", "replay", *words]) == 64
    assert api.requests == []
    assert "--since" in capsys.readouterr().err


def test_usage(api, capsys):
    """What is missing is a mistake of the caller's."""
    assert main.main(["events"]) == 64
    assert main.main(["complaint", "a@b.example"]) == 64
    assert capsys.readouterr().out == ""
