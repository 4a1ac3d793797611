"""
The hosts' states in the ledger's table: pk `hosts`, sk the name; `detail` the state as JSON, `version` its guard.

`expires_at` is the TTL; DynamoDB deletes days later, so that what expired is not read either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable, lost_condition
from paravion.adapters.host_text import decode_host, encode_host
from paravion.errors import ClaimLost, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from paravion.domain.pacing import HostState

_PK: Final = "hosts"
_WAITS_S: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Before each try of a change; stretched by a draw, so that rivals spread."""


class DynamoHosts:
    """
    ports.Hosts in the ledger's table.

    Args:
        clock: Seconds since the epoch.
        sleep, draw: Between tries, and a uniform draw in [0, 1) that stretches the wait.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        draw: Callable[[], float],
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep
        self._draw = draw

    def get(self, name: str) -> HostState | None:
        """See ports.Hosts."""
        return self._standing(self._read(name, consistent=False))

    def all(self, limit: int, after: str = "") -> list[HostState]:
        """See ports.Hosts."""
        found: list[HostState] = []
        start: dict[str, Any] = {"ExclusiveStartKey": _key(after)} if after else {}
        while True:
            with as_unavailable(LedgerUnavailable, "hosts"):
                answer: Any = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues={":pk": {"S": _PK}},
                    Limit=limit,
                    **start,
                )
            states = (self._standing(item) for item in answer["Items"])
            found += [state for state in states if state is not None]
            # A page may end early, by its size or by what expired.
            if len(found) >= limit or "LastEvaluatedKey" not in answer:
                return found[:limit]
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def update(self, name: str, change: Callable[[HostState | None], HostState | None]) -> HostState | None:
        """See ports.Hosts."""
        for wait_s in _WAITS_S:
            self._sleep(wait_s * (0.5 + self._draw()))
            item = self._read(name, consistent=True)
            state = self._standing(item)
            new = change(state)
            if new is state:
                return state
            try:
                return self._write(name, item, new)
            except LedgerUnavailable as exc:
                if not lost_condition(exc):
                    raise
        raise ClaimLost(f"host {name} changes faster than it can be read")

    def _read(self, name: str, *, consistent: bool) -> dict[str, Any] | None:
        with as_unavailable(LedgerUnavailable, "host"):
            answer: Any = self._client.get_item(TableName=self._table, Key=_key(name), ConsistentRead=consistent)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def _write(self, name: str, item: dict[str, Any] | None, new: HostState | None) -> HostState | None:
        version = int(item["version"]["N"]) if item else 0
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if item:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(version)}},
            }
        with as_unavailable(LedgerUnavailable, "host"):
            if new is None:
                self._client.delete_item(TableName=self._table, Key=_key(name), **condition)
                return None
            new = replace(new, version=version + 1)
            self._client.put_item(TableName=self._table, Item=_item(new), **condition)
            return new

    def _standing(self, item: dict[str, Any] | None) -> HostState | None:
        if item is None or 0 < float(item.get("expires_at", {}).get("N", "0")) <= self._clock():
            return None
        return _state(item)


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": _PK}, "sk": {"S": name}}


def _item(state: HostState) -> dict[str, Any]:
    item = {
        **_key(state.name),
        "version": {"N": str(state.version)},
        "detail": {"S": encode_host(state)},
    }
    if state.expires_at:
        # Rounded up: not before its time.
        item["expires_at"] = {"N": str(int(state.expires_at) + 1)}
    return item


def _state(item: dict[str, Any]) -> HostState:
    return decode_host(item["sk"]["S"], int(item["version"]["N"]), item["detail"]["S"])
