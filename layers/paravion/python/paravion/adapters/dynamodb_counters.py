"""
Counters in the ledger's table.

    pk                    sk                 holds
    --------------------  -----------------  ----------------------------------------------------------------
    `quota#<tenant>`      `sent`             `h<hour>`: recipients of that hour; `free_at` (domain/quota.py)
    `statistics#<tenant>` the quarter begun  `attempts`, `bounces`, `complaints`, `rejects`; expires_at (TTL)

A message takes from both limits by one conditional write. Hours that are over change no more, so that their sum is
known from this hour's last answer, and what is left for the current hour is a condition on its attribute alone. What
this process saw last may be old: the condition then fails, its answer shows what is, and the write is made anew.

DynamoDB writes one item some 1,000 times a second: more messages than that, of one tenant with a quota, are throttled
there, which is LedgerUnavailable.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from paravion.adapters.aws_errors import as_unavailable, error_code
from paravion.domain import quota as rules
from paravion.domain.quota import Quota, Short, State, Want
from paravion.domain.statistics import KEPT_S, Point, Tally, point_of
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOST: Final = "ConditionalCheckFailedException"
_TRIES: Final = 8
_FREE_AT: Final = "free_at"
_NAMES: Final = ("attempts", "bounces", "complaints", "rejects")
_KEPT: Final = 1000
"""Tenants whose last state is remembered."""


class DynamoCounters:
    """
    ports.Counters.

    Args:
        client: botocore's, of DynamoDB.
        draw: 0 to 1, for the pause after a lost race.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep
        self._draw = draw
        self._seen: dict[str, tuple[int, State]] = {}

    def take(self, tenant: str, want: Want, quota: Quota, now: float) -> Short | None:
        """See ports.Counters."""
        hour = rules.hour_of(now)
        seen_in, state = self._seen.get(tenant, (0, State()))
        is_fresh = False
        if seen_in != hour:
            state, is_fresh = self._read(tenant), True
        for tried in range(_TRIES):
            decision = rules.decide(state, want, quota, now)
            if isinstance(decision, Short):
                if is_fresh:
                    self._remember(tenant, hour, state)
                    return decision
                state, is_fresh = self._read(tenant), True
                continue
            found, is_taken = self._write(tenant, state, want, quota, now)
            if is_taken:
                self._remember(tenant, hour, found)
                return None
            state, is_fresh = found, True
            if tried:
                self._sleep(self._draw() * 0.01 * 2**tried)
        raise LedgerUnavailable("quota: others were faster every time")

    def give_back(self, tenant: str, count: int, taken_at: float) -> None:
        """See ports.Counters."""
        with as_unavailable(LedgerUnavailable, "quota"):
            self._client.update_item(
                TableName=self._table,
                Key=_quota_key(tenant),
                UpdateExpression="ADD #hour :count",
                ExpressionAttributeNames={"#hour": _hour(rules.hour_of(taken_at))},
                ExpressionAttributeValues={":count": _number(-count)},
            )

    def sent(self, tenant: str, now: float) -> int:
        """See ports.Counters."""
        return rules.sent(self._read(tenant), now)

    def count(self, tenant: str, tally: Tally, at: float) -> None:
        """See ports.Counters."""
        found = {name: value for name in _NAMES if (value := getattr(tally, name))}
        start = point_of(at)
        adds = ", ".join(f"{name} :{name}" for name in found)
        with as_unavailable(LedgerUnavailable, "statistics"):
            self._client.update_item(
                TableName=self._table,
                Key=_point_key(tenant, start),
                UpdateExpression=f"ADD {adds} SET expires_at = :expires_at",
                ExpressionAttributeValues={
                    **{f":{name}": _number(value) for name, value in found.items()},
                    ":expires_at": _number(start + KEPT_S + 86_400),
                },
            )

    def points(self, tenant: str, since: float, until: float) -> list[Point]:
        """See ports.Counters."""
        keys = _point_key(tenant, int(since)), _point_key(tenant, int(until))
        points: list[Point] = []
        start: dict[str, Any] = {}
        while True:
            with as_unavailable(LedgerUnavailable, "statistics"):
                answer: Any = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
                    ExpressionAttributeValues={":pk": keys[0]["pk"], ":since": keys[0]["sk"], ":until": keys[1]["sk"]},
                    **start,
                )
            points += map(_point, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return points
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _read(self, tenant: str) -> State:
        with as_unavailable(LedgerUnavailable, "quota"):
            answer: Any = self._client.get_item(TableName=self._table, Key=_quota_key(tenant), ConsistentRead=True)
        return _state(answer.get("Item", {}))

    def _write(self, tenant: str, state: State, want: Want, quota: Quota, now: float) -> tuple[State, bool]:
        """Take, if things are as `state` says; gives how they are now, and whether it was taken."""
        hour = rules.hour_of(now)
        conditions: list[str] = []
        sets: list[str] = []
        names: dict[str, str] = {"#hour": _hour(hour)}
        values: dict[str, Any] = {":day": _number(want.day)}
        if want.day and quota.max_24_hour_send >= 0:
            conditions.append("(attribute_not_exists(#hour) OR #hour < :left)")
            values[":left"] = _number(int(quota.max_24_hour_send) - rules.sent_before(state, now))
        if quota.max_send_rate > 0:
            earliest, at, latest = rules.free_range(now, quota.max_send_rate)
            moved = rules.cost(want.rate, quota.max_send_rate)
            names["#free"] = _FREE_AT
            values[":earliest"] = _number(earliest)
            if earliest <= state.free_at <= at:
                conditions.append("#free BETWEEN :earliest AND :now")
                sets.append("#free = #free + :moved")
                values |= {":now": _number(at), ":moved": _number(moved)}
            else:
                conditions.append("(attribute_not_exists(#free) OR #free < :earliest OR #free > :latest)")
                sets.append("#free = :moved")
                values |= {":latest": _number(latest), ":moved": _number(earliest + moved)}
        old = {f"#old{n}": _hour(at) for n, at in enumerate(state.hours) if at < hour - rules.HOURS}
        update = "ADD #hour :day" + (f" SET {', '.join(sets)}" if sets else "")
        update += f" REMOVE {', '.join(old)}" if old else ""
        request = {"ConditionExpression": " AND ".join(conditions)} if conditions else {}
        try:
            with as_unavailable(LedgerUnavailable, "quota"):
                answer: Any = self._client.update_item(
                    TableName=self._table,
                    Key=_quota_key(tenant),
                    UpdateExpression=update,
                    ExpressionAttributeNames=names | old,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **request,
                )
        except LedgerUnavailable as exc:
            cause = exc.__cause__
            if not (isinstance(cause, ClientError) and error_code(cause) == _LOST):
                raise
            item = cause.response.get("Item")
            return (_state(item) if item else self._read(tenant)), False
        return _state(answer["Attributes"]), True

    def _remember(self, tenant: str, hour: int, state: State) -> None:
        if len(self._seen) >= _KEPT:
            self._seen.clear()
        self._seen[tenant] = (hour, state)


def _quota_key(tenant: str) -> dict[str, Any]:
    return {"pk": {"S": f"quota#{tenant}"}, "sk": {"S": "sent"}}


def _point_key(tenant: str, start: int) -> dict[str, Any]:
    return {"pk": {"S": f"statistics#{tenant}"}, "sk": {"S": f"{max(0, start):012}"}}


def _hour(hour: int) -> str:
    return f"h{hour}"


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _state(item: Mapping[str, Any]) -> State:
    hours = {int(name[1:]): int(value["N"]) for name, value in item.items() if name[0] == "h" and name[1:].isdecimal()}
    return State(hours, int(item.get(_FREE_AT, {}).get("N", "0")))


def _point(item: Mapping[str, Any]) -> Point:
    return Point(int(item["sk"]["S"]), Tally(*(int(item.get(name, {}).get("N", "0")) for name in _NAMES)))
