"""`paravion quota`: what it asks and what it prints."""

from __future__ import annotations

import json

import pytest

from paravion.cli import main

ANSWER = {"tenant": "red", "max_24_hour_send": 50000, "max_send_rate": -1, "sent_last_24_hours": 120}


@pytest.mark.parametrize(("words", "method", "path", "fields"), [
    (["show"], "GET", "/v1/quota", None),
    (["show", "--tenant", "red"], "GET", "/v1/quota?tenant=red", None),
    (["set", "--max-24-hour-send", "50000"], "PUT", "/v1/quota", {"tenant": "", "max_24_hour_send": 50000}),
    (["set", "--tenant", "red", "--max-send-rate", "none", "--max-24-hour-send", "DEFAULT"], "PUT", "/v1/quota",
     {"tenant": "red", "max_send_rate": -1, "max_24_hour_send": None}),
])  # fmt: skip
def test_what_it_asks(api, capsys, words, method, path, fields):
    """Only what is said is set."""
    api.script.append((200, ANSWER))
    assert main.main(["quota", *words]) == 0
    (request,) = api.requests
    assert (request.method, request.path) == (method, path)
    assert fields is None or json.loads(request.body) == fields
    assert capsys.readouterr().out.splitlines() == [
        "in 24 hours   50000",
        "a second      no limit",
        "sent          120",
    ]


def test_usage(api, capsys):
    """A limit that is none; and what nothing counts."""
    assert main.main(["quota", "set", "--max-send-rate", "fast"]) == 64
    api.script.append((200, {**ANSWER, "sent_last_24_hours": None}))
    assert main.main(["quota", "show"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "sent          not counted"
