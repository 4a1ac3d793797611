"""
Records in the ledger's table: pk `record#<kind>`, sk the name; `value` is JSON, deflated where it is long.

DynamoDB holds 400 KB in an item; a template's text deflates to a fraction of what it is.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable, lost_condition
from paravion.adapters.dynamodb_batch import get_items
from paravion.errors import LedgerUnavailable, RecordTooLarge
from paravion.ports import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_DEFLATE_OCTETS: Final = 1024
_ITEM_OCTETS: Final = 390_000
"""Of the value; key and attribute names take the rest of DynamoDB's 400 KB."""

_KEPT: Final = 10_000
"""Answers that are kept at most: what strangers' names can fill."""


class DynamoRecords:
    """
    ports.Records.

    Args:
        client: botocore's, of DynamoDB.
        cache_s: Answers of `get` and `get_all` are kept for this long, absences too, and read eventually consistent;
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
        self._kept: dict[tuple[str, str], tuple[float, Record | None]] = {}

    def get(self, kind: str, name: str) -> Record | None:
        """See ports.Records."""
        return self.get_all(kind, (name,)).get(name)

    def get_all(self, kind: str, names: Sequence[str]) -> dict[str, Record]:
        """See ports.Records."""
        now = self._clock()
        found: dict[str, Record] = {}
        missing: list[str] = []
        for name in dict.fromkeys(names):
            until, kept = self._kept.get((kind, name), (0.0, None))
            if now >= until:
                missing.append(name)
            elif kept is not None:
                found[name] = kept
        read = {record.name: record for record in self._read(kind, missing)}
        if self._cache_s:
            if len(self._kept) + len(missing) > _KEPT:
                self._kept.clear()
            for name in missing:
                self._kept[kind, name] = (now + self._cache_s, read.get(name))
        return found | read

    def put(self, kind: str, name: str, value: Mapping[str, Any], *, version: int | None = None) -> Record | None:
        """See ports.Records."""
        self._kept.pop((kind, name), None)
        update: dict[str, Any] = {
            "UpdateExpression": "SET #value = :value ADD version :one",
            "ExpressionAttributeNames": {"#value": "value"},
            "ExpressionAttributeValues": {":value": _packed(f"{kind} {name}", value), ":one": {"N": "1"}},
        }
        if version == 0:
            update["ConditionExpression"] = "attribute_not_exists(pk)"
        elif version is not None:
            update["ConditionExpression"] = "version = :version"
            update["ExpressionAttributeValues"][":version"] = {"N": str(version)}
        try:
            with as_unavailable(LedgerUnavailable, kind):
                answer: Any = self._client.update_item(
                    TableName=self._table, Key=_key(kind, name), ReturnValues="UPDATED_NEW", **update
                )
        except LedgerUnavailable as exc:
            if lost_condition(exc):
                return None
            raise
        return Record(kind, name, value, int(answer["Attributes"]["version"]["N"]))

    def delete(self, kind: str, name: str) -> bool:
        """See ports.Records."""
        self._kept.pop((kind, name), None)
        with as_unavailable(LedgerUnavailable, kind):
            answer: Any = self._client.delete_item(TableName=self._table, Key=_key(kind, name), ReturnValues="ALL_OLD")
        return bool(answer.get("Attributes"))

    def page(self, kind: str, limit: int, after: str = "") -> list[Record]:
        """See ports.Records."""
        records: list[Record] = []
        start: dict[str, Any] = {"ExclusiveStartKey": _key(kind, after)} if after else {}
        while len(records) < limit:
            with as_unavailable(LedgerUnavailable, kind):
                answer: Any = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues={":pk": _key(kind, "")["pk"]},
                    ConsistentRead=not self._cache_s,
                    Limit=limit - len(records),
                    **start,
                )
            records += [_record(kind, item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:  # a query ends at 1 MB as well
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return records

    def _read(self, kind: str, names: list[str]) -> list[Record]:
        consistent = not self._cache_s
        if len(names) == 1:
            with as_unavailable(LedgerUnavailable, kind):
                answer: Any = self._client.get_item(
                    TableName=self._table, Key=_key(kind, names[0]), ConsistentRead=consistent
                )
            items = [answer["Item"]] if "Item" in answer else []
        else:
            keys = [_key(kind, name) for name in names]
            items = get_items(self._client, self._table, keys, what=kind, consistent=consistent, sleep=self._sleep)
        return [_record(kind, item) for item in items]


def _key(kind: str, name: str) -> dict[str, Any]:
    return {"pk": {"S": f"record#{kind}"}, "sk": {"S": name}}


def _packed(what: str, value: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    octets = text.encode("utf-8", "surrogatepass")
    if len(octets) < _DEFLATE_OCTETS:
        return {"S": text} if _is_text(text) else {"B": zlib.compress(octets)}
    deflated = zlib.compress(octets)
    if len(deflated) > _ITEM_OCTETS:
        raise RecordTooLarge(f"{what}: {len(octets)} octets, {len(deflated)} deflated, of {_ITEM_OCTETS}")
    return {"B": deflated}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _record(kind: str, item: dict[str, Any]) -> Record:
    packed = item["value"]
    octets = zlib.decompress(packed["B"]) if "B" in packed else packed["S"].encode()
    return Record(kind, item["sk"]["S"], json.loads(octets.decode("utf-8", "surrogatepass")), int(item["version"]["N"]))
