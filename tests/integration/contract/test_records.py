"""The contract of ports.Records, in memory, on DynamoDB and on one machine."""

from __future__ import annotations

import random
from typing import Any

import boto3
import pytest

from paravion.adapters.dynamodb_records import DynamoRecords
from paravion.errors import RecordTooLarge
from tests.integration.contract.conftest import TABLE

VALUE = {"text": "ä\U0001f600\ud800", "n": 1.5, "list": [1, None, True], "deep": {"": "x"}}


@pytest.fixture
def kind(queue_id: str) -> str:
    """A fresh one: a real account keeps what earlier runs left."""
    return f"kind/{queue_id}"


@pytest.mark.parametrize("value", [{}, VALUE, VALUE | {"long": "lorem ipsum " * 40_000}], ids=["empty", "odd", "long"])
def test_what_was_put_is_there(records: Any, kind: str, value: dict[str, Any]) -> None:
    """Any JSON object, replaced whole, each change counted."""
    assert records.get(kind, "a") is None
    assert records.put(kind, "a", value).version == 1
    found = records.get(kind, "a")
    assert (found.kind, found.name, found.value, found.version) == (kind, "a", value, 1)
    assert records.put(kind, "a", {"other": 1}).version == 2
    assert records.get(kind, "a").value == {"other": 1}


def test_a_version_is_a_condition(records: Any, kind: str) -> None:
    """0 makes only; another's change in between is seen."""
    assert records.put(kind, "a", {}, version=1) is None
    assert records.put(kind, "a", {"by": 1}, version=0).version == 1
    assert records.put(kind, "a", {"by": 2}, version=0) is None
    assert records.put(kind, "a", {"by": 3}, version=1).version == 2
    assert records.put(kind, "a", {"by": 4}, version=1) is None
    assert records.get(kind, "a").value == {"by": 3}
    assert records.delete(kind, "a") is True
    assert records.delete(kind, "a") is False
    assert records.put(kind, "a", {"by": 5}, version=0).version == 1


def test_pages_by_octets_of_the_name(records: Any, kind: str) -> None:
    """All kinds apart, in one order on all engines."""
    names = ["B", "a", "a.b", "a@x.example", "é", "\uffff", "\U0001f600"]
    for name in reversed(names):
        records.put(kind, name, {"name": name})
    records.put(f"{kind}/x", "c", {})
    assert [record.name for record in records.page(kind, 100)] == names
    assert [record.name for record in records.page(kind, 2)] == names[:2]
    assert [record.name for record in records.page(kind, 3, after="a")] == names[2:5]
    assert records.page(kind, 3, after=names[-1]) == []
    assert {name: found.value for name, found in records.get_all(kind, ["a", "none", "é", "a"]).items()} == {
        "a": {"name": "a"},
        "é": {"name": "é"},
    }
    assert records.get_all(kind, []) == {}


def test_many_at_once(records: Any, kind: str) -> None:
    """More than one call of the store takes."""
    names = [f"n{n:03}" for n in range(120)]
    for name in names:
        records.put(kind, name, {"name": name})
    assert sorted(records.get_all(kind, names)) == names
    assert [record.name for record in records.page(kind, 1000)] == names


@pytest.mark.parametrize("engine", ["aws"], indirect=True)
def test_what_dynamodb_does_not_hold_is_refused(records: Any, kind: str) -> None:
    """By name, and what was there stays."""
    records.put(kind, "a", {"old": 1})
    with pytest.raises(RecordTooLarge, match="octets"):
        records.put(kind, "a", {"long": random.Random(1).randbytes(500_000).hex()})
    assert records.get(kind, "a").value == {"old": 1}


@pytest.mark.parametrize("engine", ["aws"], indirect=True)
def test_a_cache_forgets(records: Any, kind: str) -> None:
    """On the mail's road answers are kept for a while, absences too; one's own writes are seen at once."""
    now = [0.0]
    cached = DynamoRecords(boto3.client("dynamodb"), TABLE, cache_s=60.0, clock=lambda: now[0], sleep=lambda _: None)
    assert cached.get(kind, "a") is None
    records.put(kind, "a", {"n": 1})
    assert cached.get(kind, "a") is None
    now[0] = 60.0
    assert cached.get(kind, "a").value == {"n": 1}
    records.put(kind, "a", {"n": 2})
    assert cached.get_all(kind, ["a"])["a"].value == {"n": 1}
    cached.put(kind, "a", {"n": 3})
    assert cached.get(kind, "a").value == {"n": 3}
