"""
The identities in the ledger's table: pk `identity`, sk the address or domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable, lost_condition
from paravion.errors import LedgerUnavailable
from paravion.ports import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

_PK: Final = "identity"
CACHE_S: Final = 60.0
"""How long a warm function trusts what it read; a new identity may send after this at the latest."""


class DynamoIdentities:
    """
    ports.Identities.

    Args:
        cache_s: Answers of `get` are kept for this long, absences too; 0 keeps none.
        clock: Seconds; any origin.
    """

    def __init__(self, client: Any, table: str, *, cache_s: float, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._cache_s = cache_s
        self._clock = clock
        self._cache: dict[str, tuple[float, Identity | None]] = {}

    def get(self, name: str) -> Identity | None:
        """See ports.Identities."""
        now = self._clock()
        until, cached = self._cache.get(name, (0.0, None))
        if now < until:
            return cached
        with as_unavailable(LedgerUnavailable, "identity"):
            answer: Any = self._client.get_item(TableName=self._table, Key=_key(name))
        identity = _identity(answer["Item"]) if "Item" in answer else None
        if self._cache_s:
            if len(self._cache) >= 10_000:  # noqa: PLR2004 (bounds what strangers' From addresses can fill)
                self._cache.clear()
            self._cache[name] = (now + self._cache_s, identity)
        return identity

    def put(self, identity: Identity, *, new: bool = False) -> bool:
        """See ports.Identities."""
        item = {
            **_key(identity.name),
            "verified": {"BOOL": identity.verified},
            "token": {"S": identity.token},
            "created_at": {"N": repr(identity.created_at)},
            **({"tenant": {"S": identity.tenant}} if identity.tenant else {}),
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"} if new else {}
        self._cache.pop(identity.name, None)
        try:
            with as_unavailable(LedgerUnavailable, "identity"):
                self._client.put_item(TableName=self._table, Item=item, **condition)
        except LedgerUnavailable as exc:
            if new and lost_condition(exc):
                return False
            raise
        return True

    def delete(self, name: str) -> None:
        """See ports.Identities."""
        self._cache.pop(name, None)
        with as_unavailable(LedgerUnavailable, "identity"):
            self._client.delete_item(TableName=self._table, Key=_key(name))

    def all(self, limit: int, after: str = "") -> list[Identity]:
        """See ports.Identities."""
        start: dict[str, Any] = {"ExclusiveStartKey": _key(after)} if after else {}
        with as_unavailable(LedgerUnavailable, "identity"):
            answer: Any = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": _PK}},
                Limit=limit,
                **start,
            )
        return [_identity(item) for item in answer["Items"]]


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": _PK}, "sk": {"S": name}}


def _identity(item: dict[str, Any]) -> Identity:
    tenant = item["tenant"]["S"] if "tenant" in item else ""
    created_at = float(item["created_at"]["N"])
    return Identity(item["sk"]["S"], item["verified"]["BOOL"], item["token"]["S"], created_at, tenant)
