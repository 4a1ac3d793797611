"""
The suppression list in the ledger's table.

    pk                 sk           holds
    -----------------  -----------  -----------------------------------------------------------------
    `suppressed#<n>`   an address   reason, updated_at; `detail`: the rest as JSON; expires_at (TTL)
    `suppression`      `reasons`    for which reasons addresses are suppressed, once somebody set them

The list is spread over a fixed number of partition keys, because DynamoDB serves each at most 3,000 reads a second
and a mailing asks for every recipient. It is listed by these, then by address.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable, lost_condition
from paravion.adapters.dynamodb_batch import get_items, write_items
from paravion.domain.ids import shard_of
from paravion.domain.suppression import Reason, Suppressed, read_reasons
from paravion.errors import LedgerUnavailable
from paravion.ports import SuppressionPage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_SHARDS: Final = 8
"""Not to be changed once there are entries: they would be looked for elsewhere."""

_REASONS: Final = {"pk": {"S": "suppression"}, "sk": {"S": "reasons"}}
_TRIES: Final = 6
_READ_AT_ONCE: Final = 100
"""At least: what a filter leaves out is read for nothing."""
_QUERIES: Final = 40
"""Queries of one page: some seconds at most, for the API gives up after 30."""


class DynamoSuppression:
    """
    ports.Suppression.

    Args:
        client: botocore's, of DynamoDB.
        cache_s: The reasons are kept for this long, and entries are read eventually consistent, at half the price;
            0: nothing is kept, and every read sees every write before it.
        clock: Seconds; any origin.
        sleep: Of the time module; between tries of a read that DynamoDB put off.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        cache_s: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._table = table
        self._cache_s = cache_s
        self._clock = clock
        self._sleep = sleep
        self._until = 0.0
        self._kept: tuple[Reason, ...] | None = None

    def find(self, addresses: Sequence[str], now: float) -> dict[str, Suppressed]:
        """See ports.Suppression."""
        keys = [_key(address) for address in dict.fromkeys(addresses)]
        found: dict[str, Suppressed] = {}
        consistent = not self._cache_s
        for item in get_items(
            self._client, self._table, keys, what="suppression", consistent=consistent, sleep=self._sleep
        ):
            entry = _entry(item)
            if not entry.is_expired(now):
                found[entry.address] = entry
        return found

    def put(self, entry: Suppressed, *, unless_newer: bool = False) -> bool:
        """See ports.Suppression."""
        condition: dict[str, Any] = {}
        if unless_newer:
            condition = {
                "ConditionExpression": "attribute_not_exists(pk) OR updated_at <= :at",
                "ExpressionAttributeValues": {":at": _number(entry.updated_at)},
            }
        try:
            with as_unavailable(LedgerUnavailable, "suppression"):
                self._client.put_item(TableName=self._table, Item=_item(entry), **condition)
        except LedgerUnavailable as exc:
            if lost_condition(exc):
                return False
            raise
        return True

    def put_all(self, entries: Sequence[Suppressed]) -> None:
        """See ports.Suppression."""
        requests = [{"PutRequest": {"Item": _item(entry)}} for entry in entries]
        write_items(self._client, self._table, requests, what="suppression", tries=_TRIES, sleep=self._sleep)

    def delete(self, address: str, now: float) -> bool:
        """See ports.Suppression."""
        with as_unavailable(LedgerUnavailable, "suppression"):
            answer: Any = self._client.delete_item(TableName=self._table, Key=_key(address), ReturnValues="ALL_OLD")
        return "Attributes" in answer and not _entry(answer["Attributes"]).is_expired(now)

    def page(
        self, after: str, limit: int, now: float, *, reasons: Collection[Reason], since: float, until: float
    ) -> SuppressionPage:
        """See ports.Suppression."""
        shard, start = _place(after)
        found: list[Suppressed] = []
        for _ in range(_QUERIES):
            items, last = self._query(shard, start, max(limit + 1, _READ_AT_ONCE))
            found += [
                entry
                for entry in map(_entry, items)
                if not entry.is_expired(now) and entry.reason in reasons and since <= entry.updated_at < until
            ]
            if len(found) > limit:
                return SuppressionPage(tuple(found[:limit]), _after(found[limit - 1].address))
            if last:
                start = last
            else:
                shard, start = shard + 1, ""
            if shard == _SHARDS:
                return SuppressionPage(tuple(found), "")
        return SuppressionPage(tuple(found), f"{shard}:{start}")

    def reasons(self) -> tuple[Reason, ...] | None:
        """See ports.Suppression."""
        now = self._clock()
        if now >= self._until or not self._cache_s:
            with as_unavailable(LedgerUnavailable, "suppression"):
                answer: Any = self._client.get_item(
                    TableName=self._table, Key=_REASONS, ConsistentRead=not self._cache_s
                )
            item = answer.get("Item")
            self._kept = read_reasons(json.loads(item["reasons"]["S"])) if item else None
            self._until = now + self._cache_s
        return self._kept

    def set_reasons(self, reasons: Sequence[Reason]) -> None:
        """See ports.Suppression."""
        self._until = 0.0
        with as_unavailable(LedgerUnavailable, "suppression"):
            self._client.put_item(
                TableName=self._table, Item={**_REASONS, "reasons": {"S": json.dumps([str(r) for r in reasons])}}
            )

    def _query(self, shard: int, start: str, limit: int) -> tuple[list[dict[str, Any]], str]:
        """Read on in one shard; the address to go on after is "" at its end."""
        after: dict[str, Any] = {"ExclusiveStartKey": {"pk": _pk(shard), "sk": {"S": start}}} if start else {}
        with as_unavailable(LedgerUnavailable, "suppression"):
            answer: Any = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": _pk(shard)},
                ConsistentRead=not self._cache_s,
                Limit=limit,
                **after,
            )
        last = answer.get("LastEvaluatedKey")
        return answer["Items"], last["sk"]["S"] if last else ""


def _pk(shard: int) -> dict[str, str]:
    return {"S": f"suppressed#{shard}"}


def _key(address: str) -> dict[str, Any]:
    return {"pk": _pk(shard_of(address, _SHARDS)), "sk": {"S": address}}


def _after(address: str) -> str:
    return f"{shard_of(address, _SHARDS)}:{address}"


def _place(after: str) -> tuple[int, str]:
    """Read what a page gave; raises ValueError."""
    if not after:
        return 0, ""
    shard, colon, start = after.partition(":")
    if not colon or shard not in map(str, range(_SHARDS)) or len(start.encode()) > 1024:  # noqa: PLR2004 (a sort key's)
        raise ValueError(after)
    return int(shard), start


def _number(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _item(entry: Suppressed) -> dict[str, Any]:
    detail = {"source": entry.source, "queue_id": entry.queue_id, "reply": entry.reply, "by": entry.by}
    item: dict[str, Any] = {
        **_key(entry.address),
        "reason": {"S": entry.reason.value},
        "updated_at": _number(entry.updated_at),
        "detail": {"S": json.dumps(detail, separators=(",", ":"))},
    }
    if entry.expires_at:
        item["expires_at"] = _number(int(entry.expires_at))
    return item


def _entry(item: dict[str, Any]) -> Suppressed:
    return Suppressed(
        address=item["sk"]["S"],
        reason=Reason(item["reason"]["S"]),
        updated_at=float(item["updated_at"]["N"]),
        expires_at=float(item.get("expires_at", {}).get("N", "0")),
        **json.loads(item["detail"]["S"]),
    )
