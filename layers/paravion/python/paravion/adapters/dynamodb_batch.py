"""Read and write many items of DynamoDB in as few calls as it allows, and again what it put off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GET_BATCH: Final = 100
"""DynamoDB's limit of one BatchGetItem."""

_WRITE_BATCH: Final = 25
"""DynamoDB's limit of one BatchWriteItem."""

_TRIES: Final = 6


def get_items(
    client: Any,
    table: str,
    keys: Sequence[dict[str, Any]],
    *,
    what: str,
    consistent: bool,
    sleep: Callable[[float], None],
) -> list[dict[str, Any]]:
    """
    Give the items that are there, in no order.

    Args:
        client: botocore's, of DynamoDB.
        keys: Each once.
        what: For the exception.
        consistent: See every write before it, at twice the price.
        sleep: Of the time module; between tries of what DynamoDB put off.

    Raises:
        LedgerUnavailable
    """
    items: list[dict[str, Any]] = []
    for first in range(0, len(keys), _GET_BATCH):
        left = list(keys[first : first + _GET_BATCH])
        for n in range(_TRIES):
            request: Any = {table: {"Keys": left, "ConsistentRead": consistent}}
            with as_unavailable(LedgerUnavailable, what):
                answer: Any = client.batch_get_item(RequestItems=request)
            items += answer["Responses"].get(table, [])
            left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            if not left:
                break
            sleep(0.05 * 2**n)
        else:
            raise LedgerUnavailable(f"{what}: reads are put off")
    return items


def write_items(
    client: Any,
    table: str,
    requests: Sequence[dict[str, Any]],
    *,
    what: str,
    tries: int,
    sleep: Callable[[float], None],
) -> None:
    """
    Put and delete items; what broke off may be done in part, and can be done again.

    Args:
        client: botocore's, of DynamoDB.
        requests: PutRequest and DeleteRequest, as BatchWriteItem takes them.
        what: For the exception.
        tries: Of each batch.
        sleep: Of the time module; between tries of what DynamoDB put off.

    Raises:
        LedgerUnavailable
    """
    for first in range(0, len(requests), _WRITE_BATCH):
        left = list(requests[first : first + _WRITE_BATCH])
        for n in range(tries):
            with as_unavailable(LedgerUnavailable, what):
                answer: Any = client.batch_write_item(RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table, [])
            if not left:
                break
            sleep(0.05 * 2**n)
        if left:
            raise LedgerUnavailable(f"{what}: writes are put off")
