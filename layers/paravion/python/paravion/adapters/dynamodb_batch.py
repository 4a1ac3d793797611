"""Read many items of DynamoDB in as few calls as it allows, and again what it put off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable
from paravion.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GET_BATCH: Final = 100
"""DynamoDB's limit of one BatchGetItem."""

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
