"""
The ledger in DynamoDB: one item for each job, a sparse index of those that wait.

    attribute    type  meaning
    -----------  ----  -----------------------------------------------------------------------------------
    pk, sk       S     `job#<queue id>`, the chunk's number in five digits
    job_state    S     domain.queue.State
    version      N     counts saves; a save is conditional on it
    attempts     N     begun
    token        S     owner of the lease, absent when there is none
    lease_until  N     seconds since the epoch
    queued_at    N     the commit instant
    detail       S     everything else of the record, as JSON
    due_shard    S     with due_at the key of the index `due`; both absent when nobody looks at the job;
                       held and closed jobs have shards of their own
    due_at       N
    expires_at   N     TTL: when the item may be forgotten

A claim is one conditional update that creates the item or takes it over, and leaves the index alone: what it takes
over keeps its due time. A save is one conditional put.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from paravion.adapters.aws_errors import as_unavailable, lost_condition
from paravion.adapters.job_text import RETENTION_S, UNREADABLE, decode_detail, encode_detail
from paravion.domain.queue import DUE_SHARDS, HELD_SHARDS, DueJob, Job, JobKey, JobRecord, State, due_shard
from paravion.errors import ClaimLost, LedgerUnavailable, RecordUnreadable

_GET_BATCH: Final = 100


class DynamoLedger:
    """ports.Ledger in one table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def claim(self, job: Job, *, token: str, lease_until: float) -> JobRecord:
        """See ports.Ledger."""
        try:
            with as_unavailable(LedgerUnavailable, "claim"):
                answer: Any = self._client.update_item(
                    TableName=self._table,
                    Key=_key(job.key),
                    UpdateExpression=(
                        "SET job_state = :claimed, version = if_not_exists(version, :zero) + :one,"
                        " attempts = if_not_exists(attempts, :zero) + :one, #token = :token,"
                        " lease_until = :until, queued_at = if_not_exists(queued_at, :queued),"
                        " expires_at = if_not_exists(expires_at, :expires)"
                    ),
                    ConditionExpression="attribute_not_exists(pk) OR job_state = :ready",
                    ExpressionAttributeNames={"#token": "token"},
                    ExpressionAttributeValues={
                        ":claimed": {"S": State.CLAIMED},
                        ":ready": {"S": State.READY},
                        ":zero": {"N": "0"},
                        ":one": {"N": "1"},
                        ":token": {"S": token},
                        ":until": _number(lease_until),
                        ":queued": _number(job.queued_at),
                        ":expires": _number(int(job.queued_at + RETENTION_S)),
                    },
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except LedgerUnavailable as exc:
            standing: Any = exc.__cause__.response.get("Item") if lost_condition(exc) else None  # type: ignore[union-attr]
            if standing is None:
                raise
            return _record(standing)
        return _record(answer["Attributes"])

    def load(self, key: JobKey) -> JobRecord | None:
        """See ports.Ledger."""
        with as_unavailable(LedgerUnavailable, "load"):
            answer: Any = self._client.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _record(answer["Item"]) if "Item" in answer else None

    def load_message(self, queue_id: str) -> list[JobRecord]:
        """See ports.Ledger."""
        with as_unavailable(LedgerUnavailable, "load_message"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": f"job#{queue_id}"}},
                ConsistentRead=True,
            )
            return [_record(item) for page in pages for item in page["Items"]]

    def save(self, record: JobRecord) -> JobRecord:
        """See ports.Ledger."""
        new = replace(record, version=record.version + 1)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if record.version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": _number(record.version)},
            }
        try:
            with as_unavailable(LedgerUnavailable, "save"):
                self._client.put_item(TableName=self._table, Item=_item(new), **condition)
        except LedgerUnavailable as exc:
            if lost_condition(exc):
                raise ClaimLost(f"{record.key} was changed") from exc
            raise
        return new

    def due(self, shard: int, now: float, limit: int, after: DueJob | None = None) -> list[DueJob]:
        """See ports.Ledger."""
        start: dict[str, Any] = {}
        if after is not None:
            start["ExclusiveStartKey"] = {
                **_key(after.key),
                "due_shard": {"S": str(shard)},
                "due_at": _number(after.due_at),
            }
        with as_unavailable(LedgerUnavailable, "due"):
            answer: Any = self._client.query(
                TableName=self._table,
                IndexName="due",
                KeyConditionExpression="due_shard = :shard AND due_at <= :now",
                ExpressionAttributeValues={":shard": {"S": str(shard)}, ":now": _number(now)},
                Limit=limit,
                **start,
            )
        return [DueJob(_job_key(item), float(item["due_at"]["N"])) for item in answer["Items"]]

    def wake(self, key: JobKey, now: float, due_at: float) -> JobRecord | None:
        """See ports.Ledger."""
        values = {
            ":now": _number(now),
            ":due": _number(due_at),
            ":ready": {"S": State.READY},
            ":deferred": {"S": State.DEFERRED},
        }
        woken = self._update(
            key,
            "SET job_state = :ready, due_at = :due, version = version + :one",
            "due_at <= :now AND job_state IN (:ready, :deferred)",
            {**values, ":one": {"N": "1"}},
        )
        if woken is None:
            woken = self._update(
                key, "SET due_at = :due", "due_at <= :now AND NOT job_state IN (:ready, :deferred)", values
            )
        return None if woken is None else _record(woken)

    def reschedule(self, key: JobKey, seen: float, due_at: float) -> None:
        """See ports.Ledger."""
        values = {":seen": _number(seen), ":due": _number(due_at)}
        self._update(key, "SET due_at = :due", "due_at = :seen", values)

    def scan(self, limit: int, after: str = "") -> tuple[list[JobRecord], str]:
        """See ports.Ledger; the table holds more than jobs, so that positions are any item's."""
        start: dict[str, Any] = {}
        if after:
            pk, found, sk = after.partition("\n")
            if not found:
                raise ValueError("no position")
            start["ExclusiveStartKey"] = {"pk": {"S": pk}, "sk": {"S": sk}}
        with as_unavailable(LedgerUnavailable, "scan"):
            answer: Any = self._client.scan(
                TableName=self._table,
                Limit=limit,
                FilterExpression="begins_with(pk, :job)",
                ExpressionAttributeValues={":job": {"S": "job#"}},
                **start,
            )
        last = answer.get("LastEvaluatedKey")
        return [_record(item) for item in answer["Items"]], f"{last['pk']['S']}\n{last['sk']['S']}" if last else ""

    def waiting(self, limit: int, *, held: bool = False) -> list[JobRecord]:
        """See ports.Ledger."""
        found: list[tuple[float, JobKey]] = []
        for shard in HELD_SHARDS if held else range(DUE_SHARDS):
            with as_unavailable(LedgerUnavailable, "waiting"):
                answer: Any = self._client.query(
                    TableName=self._table,
                    IndexName="due",
                    KeyConditionExpression="due_shard = :shard",
                    ExpressionAttributeValues={":shard": {"S": str(shard)}},
                    Limit=limit,
                )
            found += [(float(item["due_at"]["N"]), _job_key(item)) for item in answer["Items"]]
        found.sort(key=lambda pair: pair[0])
        # What moves while it is read may be seen in both places.
        records = self._load_many(list(dict.fromkeys(key for _, key in found[:limit])))
        # The index lags: some may have left its part meanwhile.
        waiting = [record for record in records if record.due_at and (record.state is State.HELD) is held]
        return sorted(waiting, key=lambda record: record.due_at)

    def _load_many(self, keys: list[JobKey]) -> list[JobRecord]:
        records: list[JobRecord] = []
        left: list[Any] = [_key(key) for key in keys]
        while left:
            request: Any = {self._table: {"Keys": left[:_GET_BATCH], "ConsistentRead": True}}
            with as_unavailable(LedgerUnavailable, "waiting"):
                answer: Any = self._client.batch_get_item(RequestItems=request)
            for item in answer["Responses"].get(self._table, []):
                with suppress(RecordUnreadable):
                    records.append(_record(item))
            unread = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if len(unread) == len(left[:_GET_BATCH]):
                raise LedgerUnavailable("waiting: nothing was read")
            left = [*unread, *left[_GET_BATCH:]]
        return records

    def _update(
        self, key: JobKey, update: str, condition: str, values: dict[str, Any], names: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Make one conditional update and give the item; None when the condition does not hold."""
        try:
            with as_unavailable(LedgerUnavailable, "update"):
                answer: Any = self._client.update_item(
                    TableName=self._table,
                    Key=_key(key),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    **({"ExpressionAttributeNames": names} if names else {}),
                )
        except LedgerUnavailable as exc:
            if lost_condition(exc):
                return None
            raise
        item: dict[str, Any] = answer["Attributes"]
        return item


def _key(key: JobKey) -> dict[str, Any]:
    return {"pk": {"S": f"job#{key.queue_id}"}, "sk": {"S": f"{key.chunk:05}"}}


def _job_key(item: dict[str, Any]) -> JobKey:
    return JobKey(item["pk"]["S"].removeprefix("job#"), int(item["sk"]["S"]))


def _number(value: float) -> dict[str, str]:
    # DynamoDB keeps 38 digits; repr gives a double's shortest exact form.
    return {"N": repr(value)}


def _item(record: JobRecord) -> dict[str, Any]:
    item: dict[str, Any] = {
        **_key(record.key),
        "job_state": {"S": record.state},
        "version": _number(record.version),
        "attempts": _number(record.attempts),
        "lease_until": _number(record.lease_until),
        "queued_at": _number(record.queued_at),
        "expires_at": _number(int(record.queued_at + RETENTION_S)),
        "detail": {"S": encode_detail(record)},
    }
    if record.token:
        item["token"] = {"S": record.token}
    if record.due_at:
        item["due_shard"] = {"S": str(due_shard(record))}
        item["due_at"] = _number(record.due_at)
    return item


def _record(item: dict[str, Any]) -> JobRecord:
    """Raises RecordUnreadable."""
    try:
        return JobRecord(
            key=_job_key(item),
            queued_at=float(item["queued_at"]["N"]),
            state=State(item["job_state"]["S"]),
            version=int(item["version"]["N"]),
            attempts=int(item["attempts"]["N"]),
            token=item.get("token", {}).get("S", ""),
            lease_until=float(item.get("lease_until", {}).get("N", "0")),
            due_at=float(item.get("due_at", {}).get("N", "0")),
            **decode_detail(item.get("detail", {}).get("S", "")),
        )
    except UNREADABLE as exc:
        queued_at = float(item.get("queued_at", {}).get("N", "0"))
        raise RecordUnreadable(Job(_job_key(item), queued_at), repr(exc)) from exc
