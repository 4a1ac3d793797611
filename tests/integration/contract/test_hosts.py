"""ports.Hosts, on every implementation."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from paravion.adapters.dynamodb_hosts import DynamoHosts
from paravion.domain.pacing import HostState, Limit, limited
from paravion.errors import ClaimLost, LedgerUnavailable
from tests.integration.contract.conftest import REAL

FULL = HostState(
    "mx.example", since=900.5, last_at=950.25, last_text="421 4.7.0 langsam, bitte: ü", rate=Limit(60.5, 80.0, 940.0),
    slots=Limit(4.0, 0.0, 940.0), max_rate=100.0, max_slots=5, strikes=2, failures=1, failed_by="f1",
    hold_until=1010.0, probe="f2", probe_until=1100.0, cut_at=940.0, turn=990.0, booked=1200.0,
    leases={"f1": (2, 1050.0), "f2": (1, 1060.5)}, spell_s=1.25,
)  # fmt: skip


@pytest.fixture
def name() -> str:
    """A fresh one: a real account keeps what earlier runs left."""
    return f"mx-{uuid.uuid4().hex}.example"


def test_unknown_host_has_no_state(hosts: Any, name: str) -> None:
    """Most have none; leaving it so writes nothing."""
    assert hosts.get(name) is None
    assert hosts.update(name, lambda state: state) is None
    assert hosts.get(name) is None


def test_state_survives_whole(hosts: Any, name: str) -> None:
    """Every field; and the version counts."""
    stored = hosts.update(name, lambda _: replace(FULL, name=name))
    assert stored == replace(FULL, name=name, version=1)
    assert hosts.get(name) == stored
    again = hosts.update(name, lambda state: replace(state, strikes=0))
    assert again == replace(FULL, name=name, version=2, strikes=0)


def test_unchanged_state_is_not_written(hosts: Any, name: str) -> None:
    """The very same."""
    hosts.update(name, lambda _: replace(FULL, name=name))
    assert hosts.update(name, lambda state: state).version == 1


def test_state_is_forgotten_on_request_and_in_time(hosts: Any, name: str) -> None:
    """None removes it; what expired is not read, and gives way to a new one."""
    hosts.update(name, lambda _: replace(FULL, name=name))
    assert hosts.update(name, lambda _: None) is None
    assert hosts.get(name) is None
    hosts.update(name, lambda _: HostState(name, failures=1, last_at=1.0))
    assert hosts.get(name) is None
    assert name not in {state.name for state in hosts.all(1000)}
    seen = []

    def change(state: HostState | None) -> HostState:
        seen.append(state)
        return HostState(name, failures=1, last_at=10_000.0)

    assert hosts.update(name, change).failures == 1
    assert seen == [None]
    assert hosts.get(name) is not None


def test_states_are_listed_by_name(hosts: Any) -> None:
    """In pages."""
    names = [f"mx{n}.example" for n in range(5)]
    for name in names:
        hosts.update(name, lambda _, name=name: limited(None, name, max_rate=1, max_slots=0, now=10_000.0))
    listed = [state.name for state in hosts.all(1000) if state.name in names]
    assert listed == names
    assert [state.name for state in hosts.all(2)][:2] == sorted(state.name for state in hosts.all(1000))[:2]
    assert hosts.all(1, "mx3.example")[0].name == "mx4.example"
    for name in names:
        hosts.update(name, lambda _: None)


def test_changes_at_once_all_count(hosts: Any, name: str, engine: str) -> None:
    """Each is applied to what the one before it left."""

    def count(state: HostState | None) -> HostState:
        return replace(state or HostState(name, last_at=10_000.0), strikes=(state.strikes if state else 0) + 1)

    # moto's conditional writes are not atomic between threads: a lost one would be its own.
    with ThreadPoolExecutor(1 if engine == "aws" and not REAL else 3) as pool:
        list(pool.map(lambda _: hosts.update(name, count), range(12)))
    assert hosts.get(name).strikes == 12


class _Client:
    """DynamoDB that is always changed by somebody else, or away."""

    def __init__(self, code: str) -> None:
        self.code = code

    def get_item(self, **_: Any) -> Any:
        detail = json.dumps({"strikes": 1, "last_at": 10_000.0})
        return {"Item": {"pk": {"S": "hosts"}, "sk": {"S": "mx"}, "version": {"N": "1"}, "detail": {"S": detail}}}

    def put_item(self, **_: Any) -> Any:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": self.code}}, "PutItem")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("code", "error"), [("ConditionalCheckFailedException", ClaimLost), ("ThrottlingException", LedgerUnavailable)]
)
def test_race_is_told_from_an_outage(code: str, error: type[Exception]) -> None:
    """Others being faster means that the host is in use; an outage means nothing."""
    hosts = DynamoHosts(_Client(code), "ledger", clock=lambda: 10_000.0, sleep=lambda _: None, draw=lambda: 0.5)
    with pytest.raises(error):
        hosts.update("mx", lambda state: replace(state, strikes=5))
