"""The contract of ports.Counters, in memory, on DynamoDB and on one machine."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from paravion.adapters.dynamodb_counters import DynamoCounters
from paravion.domain.quota import Limit, Quota, Short, State, Want, decide, sent
from paravion.domain.statistics import Point, Tally
from paravion.errors import LedgerUnavailable
from tests.integration.contract.conftest import REAL, TABLE

NOW = 1_800_000_000.0


def test_decides_as_the_rules_do(counters: Any, queue_id: str) -> None:
    """Whatever comes, at whatever instant: the same answers, and the same count."""
    draws = random.Random(3)
    for number, quota in enumerate((Quota(40), Quota(max_send_rate=2), Quota(40, 2), Quota(25, 0.01))):
        tenant, state, at = f"{queue_id}{number}", State(), NOW
        for _ in range(40):
            at += draws.choice((0, 0, 0.3, 2, 2000, 30_000))
            count = draws.choice((1, 1, 3, 10))
            want = Want(draws.choice((0, count)), count)
            expected = decide(state, want, quota, at)
            got = counters.take(tenant, want, quota, at)
            assert got == (expected if isinstance(expected, Short) else None)
            state = state if isinstance(expected, Short) else expected
            assert counters.sent(tenant, at) == sent(state, at)


def test_tenants_apart_and_giving_back(counters: Any, queue_id: str) -> None:
    """Room that is given back is room for others; without a count there is none to give."""
    one, other = f"{queue_id}1", f"{queue_id}2"
    assert counters.sent(one, NOW) == 0
    assert counters.take(one, Want(2, 2), Quota(2), NOW) is None
    assert counters.take(one, Want(1, 1), Quota(2), NOW).limit is Limit.DAY
    assert counters.take(other, Want(1, 1), Quota(2), NOW) is None
    counters.give_back(one, 2, NOW)
    assert (counters.sent(one, NOW), counters.sent(other, NOW)) == (0, 1)
    assert counters.take(one, Want(2, 2), Quota(2), NOW + 1) is None


def test_many_at_once_keep_the_limit(counters: Any, engine: str, queue_id: str) -> None:
    """Atomic: of a crowd exactly as many pass as there is room for; moto itself is not, with several threads."""
    with ThreadPoolExecutor(1 if engine == "aws" and not REAL else 4) as threads:
        taken = list(threads.map(lambda _: counters.take(queue_id, Want(1, 1), Quota(10, 1000), NOW), range(24)))
    assert taken.count(None) == 10
    assert counters.sent(queue_id, NOW) == 10


def test_quarters_of_an_hour(counters: Any, queue_id: str) -> None:
    """Added up, in order, from and to an instant, each tenant's own."""
    for at, tally in ((NOW, Tally(3, 1)), (NOW + 899, Tally(1, 0, 2)), (NOW - 5000, Tally(rejects=1))):
        counters.count(queue_id, tally, at)
    counters.count(f"{queue_id}x", Tally(9), NOW)
    counters.give_back(queue_id, 0, NOW)  # what is written after it on one machine
    assert counters.points(queue_id, NOW - 86_400, NOW + 900) == [
        Point(int(NOW) - 5400, Tally(rejects=1)),
        Point(int(NOW), Tally(4, 1, 2)),
    ]
    assert counters.points(queue_id, NOW - 10_000, NOW - 1) == [Point(int(NOW) - 5400, Tally(rejects=1))]


def test_several_functions_share_what_they_know_nothing_of(engine: str, queue_id: str) -> None:
    """Each has its own memory of the item: old knowledge costs a call, never the limit; a take alone costs one."""
    if engine != "aws":
        pytest.skip("others keep nothing")
    calls: list[str] = []
    client = boto3.client("dynamodb")
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    functions = [DynamoCounters(client, TABLE, sleep=lambda _: None) for _ in range(3)]
    took = [functions[n % 3].take(queue_id, Want(1, 1), Quota(20, 4), NOW + n / 10) for n in range(30)]
    assert 6 <= took.count(None) <= 17
    calls.clear()
    for at in (60.0, 60.1, 60.2):
        assert functions[0].take(queue_id, Want(1, 1), Quota(-1, 4), NOW + at) is None
    assert calls.count("UpdateItem") <= 4
    assert functions[0].take(queue_id, Want(1, 1), Quota(-1, 4), NOW + 60.3) is None
    calls.clear()
    assert functions[0].take(queue_id, Want(1, 1), Quota(1000, -1), NOW + 61) is None
    assert calls == ["UpdateItem"]
    # Days later: the hours that count no more are taken out.
    later = NOW + 200_000
    assert functions[0].take(queue_id, Want(1, 1), Quota(20), later) is None
    item = client.get_item(TableName=TABLE, Key={"pk": {"S": f"quota#{queue_id}"}, "sk": {"S": "sent"}})["Item"]
    assert len([name for name in item if name.startswith("h")]) == 1


@pytest.mark.parametrize("method", ["take", "give_back", "sent", "count", "points"])
def test_outages(engine: str, method: str) -> None:
    """They are LedgerUnavailable."""
    if engine != "aws":
        pytest.skip("of the service")
    counters = DynamoCounters(boto3.client("dynamodb"), "no-such-table", sleep=lambda _: None)
    given = {
        "take": ("t", Want(1, 1), Quota(1), NOW),
        "give_back": ("t", 1, NOW),
        "sent": ("t", NOW),
        "count": ("t", Tally(1), NOW),
        "points": ("t", NOW, NOW),
    }
    with pytest.raises(LedgerUnavailable):
        getattr(counters, method)(*given[method])
