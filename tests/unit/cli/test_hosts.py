"""`paravion hosts`: what it asks and what it prints."""

from __future__ import annotations

import pytest

from paravion.cli import hosts, main

SLOW = {
    "name": "mx.example", "state": "paused", "since": "2026-11-22T10:00:00.000Z", "last_at": "2026-11-22T10:05:00.000Z",
    "last_text": "421 4.7.0 slow\x1b down", "rate_per_minute": 60.0, "concurrency": None,
    "limit": {"rate_per_minute": None, "concurrency": 5}, "failures": 0, "held_until": "2026-11-22T10:05:10.000Z",
    "promised_until": None,
}  # fmt: skip


@pytest.mark.parametrize("words", [[], ["list"]])
def test_list_follows_pages_and_shows_the_last_word(api, capsys, words):
    """Nothing that steers a terminal."""
    api.script.append((200, {"hosts": [SLOW], "after": "mx.example"}))
    api.script.append(
        (200, {"hosts": [{**SLOW, "name": "z.example", "state": "slow", "last_text": ""}], "after": None})
    )
    assert main.main(["hosts", *words]) == 0
    assert [request.path for request in api.requests] == [
        "/v1/hosts?limit=1000",
        "/v1/hosts?after=mx.example&limit=1000",
    ]
    _, first, word, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["mx.example", "paused", "2026-11-22", "10:00:00", "60", "-", "2026-11-22", "10:05:10"]
    assert word == "    (2026-11-22 10:05:00 421 4.7.0 slow? down)"
    assert second.split()[:2] == ["z.example", "slow"]


def test_empty_list_says_so(api, capsys):
    """Most of the time."""
    api.script.append((200, {"hosts": [], "after": None}))
    assert main.main(["hosts"]) == 0
    assert capsys.readouterr().out == "No host is slow, away or limited\n"


def test_one_is_shown(api, capsys):
    """Field by field."""
    api.script.append((200, SLOW))
    assert main.main(["hosts", "show", "mx.example"]) == 0
    out = capsys.readouterr().out
    assert "limit_concurrency      5\n" in out
    assert "concurrency            -\n" in out


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["--concurrency", "5", "--rate", "100/m"], {"rate_per_minute": 100.0, "concurrency": 5}),
        (["--rate", "0"], {"rate_per_minute": 0.0}),
        (["--concurrency", "0"], {"concurrency": 0}),
    ],
)
def test_limit_is_sent(api, words, fields):
    """Only what was named."""
    api.script.append((200, SLOW))
    assert main.main(["hosts", "limit", "gmail.com", *words]) == 0
    (request,) = api.requests
    assert (request.method, request.path, request.fields) == ("PUT", "/v1/hosts/gmail.com/limit", fields)


def test_limit_taken_away_answers_nothing(api):
    """204."""
    api.script.append((204, b""))
    assert main.main(["hosts", "limit", "gmail.com", "--rate", "0", "--concurrency", "0"]) == 0


@pytest.mark.parametrize("words", [[], ["--rate", "fast"], ["--rate", "5/y"], ["--concurrency", "x"]])
def test_bad_limit_is_a_usage_error(api, capsys, words):
    """Nothing is asked."""
    assert main.main(["hosts", "limit", "gmail.com", *words]) == 64
    assert not api.requests
    assert capsys.readouterr().err


def test_reset(api):
    """Asked for by name."""
    api.script.append((204, b""))
    assert main.main(["hosts", "reset", "mx.example:587"]) == 0
    assert [(request.method, request.path) for request in api.requests] == [("DELETE", "/v1/hosts/mx.example%3A587")]


@pytest.mark.parametrize(
    ("text", "rate"), [("5", 5), ("2/s", 120), ("100/m", 100), ("600/h", 10), ("1440/d", 1), ("0.5/m", 0.5)]
)
def test_rate_has_a_unit(text, rate):
    """Per minute in the end."""
    assert hosts.read_rate(text) == pytest.approx(rate)
