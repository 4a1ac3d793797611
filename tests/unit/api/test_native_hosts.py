"""Hosts over the native API."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from paravion.domain.pacing import HostState, Limit
from paravion.errors import ClaimLost
from tests.unit.api.test_native import asked


@pytest.fixture
def operator(world):
    """The credential is an operator's."""
    world.put_credential(operator=True)
    return world


def _limit(world, name, **fields):
    body = json.dumps(fields).encode()
    return asked(world, "PUT", f"/v1/hosts/{name}/limit", body, content_type="application/json")


def _slow(world, name="mx.example"):
    now = world.clock()
    world.hosts.items[name] = HostState(
        name, since=now, last_at=now, last_text="421 slow down", rate=Limit(60, 0, now), max_slots=5
    )


def test_hosts_are_listed_and_shown(operator):
    """In pages, times as instants."""
    _slow(operator)
    _slow(operator, "mx2.example")
    code, answer = asked(operator, "GET", "/v1/hosts", query="limit=1")
    assert (code, answer["after"]) == (200, "mx.example")
    (host,) = asked(operator, "GET", "/v1/hosts", query="after=mx.example")[1]["hosts"]
    assert (host["name"], host["state"], host["rate_per_minute"], host["concurrency"]) == ("mx2.example", "slow", 60, 5)
    assert host["since"].endswith("Z")
    assert host["held_until"] is None
    code, answer = asked(operator, "GET", "/v1/hosts/MX.example")
    assert answer["limit"] == {"rate_per_minute": None, "concurrency": 5}
    assert asked(operator, "GET", "/v1/hosts/other.example")[0] == 404
    assert asked(operator, "GET", "/v1/hosts", query="after=a&after=b")[0] == 400
    assert asked(operator, "GET", "/v1/hosts", query="x=1")[0] == 400


def test_limit_is_set_changed_and_taken_away(operator):
    """What is not named stays."""
    assert _limit(operator, "Gmail.COM", rate_per_minute=100, concurrency=5)[1]["state"] == "limited"
    code, answer = _limit(operator, "gmail.com", rate_per_minute=50.5)
    assert (code, answer["limit"]) == (200, {"rate_per_minute": 50.5, "concurrency": 5})
    assert _limit(operator, "gmail.com", rate_per_minute=0, concurrency=0)[0] == 204
    assert asked(operator, "GET", "/v1/hosts/gmail.com")[0] == 404
    assert [event for event, _ in operator.event_log.records].count("HostLimited") == 3


def test_reset_forgets_what_was_learnt(operator):
    """The operator's own limit stays."""
    _slow(operator)
    assert asked(operator, "DELETE", "/v1/hosts/mx.example")[0] == 204
    assert operator.hosts.items["mx.example"].phase == "limited"
    operator.hosts.items["mx.example"] = replace(operator.hosts.items["mx.example"], max_slots=0, strikes=1)
    assert asked(operator, "DELETE", "/v1/hosts/mx.example")[0] == 204
    assert not operator.hosts.items
    assert asked(operator, "DELETE", "/v1/hosts/mx.example")[0] == 404


@pytest.mark.parametrize(
    "fields",
    [{}, {"rate": 1}, {"rate_per_minute": "5"}, {"rate_per_minute": -1}, {"concurrency": 1.5}, {"concurrency": True},
     {"concurrency": 10**7}],
)  # fmt: skip
def test_bad_limit_is_refused(operator, fields):
    """Nothing is stored."""
    assert _limit(operator, "mx.example", **fields)[0] == 400
    assert not operator.hosts.items


@pytest.mark.parametrize("name", ["a%20b", "%C3%BC.example", "x" * 261])
def test_bad_name_is_refused(operator, name):
    """A host name in ASCII."""
    assert _limit(operator, name, concurrency=1)[0] == 400


def test_race_is_the_callers_to_repeat(operator):
    """503, as for every trouble of ours."""

    def update(name, change):
        raise ClaimLost(name)

    operator.hosts.update = update
    assert _limit(operator, "mx.example", concurrency=1)[0] == 503
    assert asked(operator, "DELETE", "/v1/hosts/mx.example")[0] == 503


def test_only_operators_see_and_limit_hosts(world):
    """A limit slows everybody."""
    _slow(world)
    assert asked(world, "GET", "/v1/hosts")[0] == 403
    assert asked(world, "GET", "/v1/hosts/mx.example")[0] == 403
    assert _limit(world, "mx.example", concurrency=1)[0] == 403
    assert asked(world, "DELETE", "/v1/hosts/mx.example")[0] == 403
