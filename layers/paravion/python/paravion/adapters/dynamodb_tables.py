"""
The tables in the ledger's table.

    pk                          sk          holds
    --------------------------  ----------  -------------------------------------------------------------
    `tables`                    `current`   one attribute for each kind: generation, pages, entries, and
                                            the generation before it; the swap is one update of it,
                                            for several tables at once too
    `table#<kind>#<generation>` page        `entries`: the page's keys and values as JSON

All pages of a generation are written before the swap, and those of the last generation but one removed after it:
a function that cached the pointer just before a swap still finds everything for as long as its cache lasts, unless
two loads come within that minute; then it misses a page, and asks for the pointer again.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from paravion.adapters.aws_errors import as_unavailable
from paravion.adapters.dynamodb_batch import get_items, write_items
from paravion.domain import table_pages
from paravion.errors import LedgerUnavailable
from paravion.ports import TableInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_POINTER: Final = {"pk": {"S": "tables"}, "sk": {"S": "current"}}
_GET_BATCH: Final = 25  # pages in memory at once
_TRIES: Final = 10
_KEPT_PAGES: Final = 128
"""Pages that a warm function keeps: some 4 MB of text."""


class DynamoTables:
    """
    ports.Tables.

    Args:
        client: botocore's, of DynamoDB.
        cache_s: The pointer is kept for this long; 0 keeps nothing.
        clock: Seconds; any origin.
        sleep: Of the time module; between tries of a write that DynamoDB put off.
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
        self._loaded: dict[str, TableInfo] | None = None
        self._kept: OrderedDict[tuple[str, str, int], dict[str, str]] = OrderedDict()

    def loaded(self) -> Mapping[str, TableInfo]:
        """See ports.Tables."""
        now = self._clock()
        if self._loaded is None or now >= self._until or not self._cache_s:
            self._loaded = {kind: _info(fields) for kind, fields in self._pointer(consistent=False).items()}
            self._until = now + self._cache_s
        return self._loaded

    def lookup(self, kind: str, keys: Sequence[str]) -> dict[str, str]:
        """See ports.Tables."""
        if not keys:
            return {}
        for _ in range(2):
            info = self.loaded().get(kind)
            if info is None:
                return {}
            places = {key: table_pages.page_of(key, info.pages) for key in keys}
            pages = self._pages(kind, info, sorted(set(places.values())))
            if pages is not None:
                return {key: pages[place][key] for key, place in places.items() if key in pages[place]}
            # Replaced twice since we read the pointer.
            self._loaded = None
        raise LedgerUnavailable(f"table {kind} lacks pages")

    def pages(self, kind: str) -> Iterator[Mapping[str, str]]:
        """See ports.Tables."""
        info = self.loaded().get(kind)
        for first in range(0, info.pages if info else 0, _GET_BATCH):
            numbers = list(range(first, min(first + _GET_BATCH, info.pages if info else 0)))
            found = self._pages(kind, info, numbers, keep=False) if info else None
            if found is None:
                self._loaded = None
                raise LedgerUnavailable(f"table {kind} was replaced while it was read")
            yield from (found[number] for number in numbers)

    def replace(self, kind: str, entries: Mapping[str, str], loaded_at: float) -> TableInfo:
        """See ports.Tables."""
        return self.replace_all({kind: entries}, loaded_at)[kind]

    def replace_all(self, tables: Mapping[str, Mapping[str, str]], loaded_at: float) -> dict[str, TableInfo]:
        """See ports.Tables."""
        pointer = self._pointer(consistent=True)
        changes: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {}
        infos: dict[str, TableInfo] = {}
        for kind, entries in tables.items():
            pages = table_pages.paginate(kind, entries)
            info = TableInfo(table_pages.generation_of(entries), len(pages), len(entries), loaded_at)
            self._write([
                {"PutRequest": {"Item": {**_page_key(kind, info.generation, number), "entries": {"S": _dumped(page)}}}}
                for number, page in enumerate(pages)
            ])  # fmt: skip
            old = pointer.get(kind)
            same = old is not None and old["generation"] == info.generation
            before = (old or {}).get("before") if same else (old and [old["generation"], old["pages"]])
            changes[kind] = (old, {**asdict(info), "before": before})
            infos[kind] = info
        self._swap(changes)
        for kind, (old, new) in changes.items():
            if old is not None and new is not None and old["generation"] != new["generation"]:
                self._clean(kind, old, keep=new["generation"])
        return infos

    def remove(self, kind: str) -> bool:
        """See ports.Tables."""
        old = self._pointer(consistent=True).get(kind)
        if old is None:
            return False
        self._swap({kind: (old, None)})
        self._clean(kind, {"before": [old["generation"], old["pages"]]}, keep="")
        self._clean(kind, old, keep="")
        return True

    def _pointer(self, *, consistent: bool) -> dict[str, Any]:
        with as_unavailable(LedgerUnavailable, "tables"):
            answer: Any = self._client.get_item(TableName=self._table, Key=_POINTER, ConsistentRead=consistent)
        item = answer.get("Item", {})
        return {name: json.loads(value["S"]) for name, value in item.items() if name not in _POINTER}

    def _swap(self, changes: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]]) -> None:
        """Change the pointers of some kinds, from old to new, at once, if nobody else changed one meanwhile."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        conditions, sets, removes = [], [], []
        for number, (kind, (old, new)) in enumerate(changes.items()):
            names[f"#k{number}"] = kind
            if old is None:
                conditions.append(f"attribute_not_exists(#k{number})")
            else:
                conditions.append(f"#k{number} = :o{number}")
                values[f":o{number}"] = {"S": _dumped(old)}
            if new is None:
                removes.append(f"#k{number}")
            else:
                sets.append(f"#k{number} = :n{number}")
                values[f":n{number}"] = {"S": _dumped(new)}
        update = " ".join(
            f"{word} {', '.join(parts)}" for word, parts in (("SET", sets), ("REMOVE", removes)) if parts
        )  # fmt: skip
        self._loaded = None
        with as_unavailable(LedgerUnavailable, f"tables {', '.join(changes)}"[:200]):
            self._client.update_item(
                TableName=self._table,
                Key=_POINTER,
                UpdateExpression=update,
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeNames=names,
                **({"ExpressionAttributeValues": values} if values else {}),
            )

    def _clean(self, kind: str, old: dict[str, Any] | None, *, keep: str) -> None:
        """Remove the generation before the one that was just replaced."""
        generation, pages = (old or {}).get("before") or ("", 0)
        if generation and generation != keep:
            self._write(
                [{"DeleteRequest": {"Key": _page_key(kind, generation, number)}} for number in range(pages)]
            )  # fmt: skip

    def _write(self, requests: list[dict[str, Any]]) -> None:
        write_items(self._client, self._table, requests, what="tables", tries=_TRIES, sleep=self._sleep)

    def _pages(
        self, kind: str, info: TableInfo, numbers: list[int], *, keep: bool = True
    ) -> dict[int, dict[str, str]] | None:
        """Give pages by number, of the cache where they are in it; None when one is gone."""
        found: dict[int, dict[str, str]] = {}
        for number in numbers:
            page = self._kept.get((kind, info.generation, number))
            if page is not None:
                found[number] = page
        missing = [number for number in numbers if number not in found]
        if missing:
            found |= self._fetch(kind, info.generation, missing)
        if any(number not in found for number in numbers):
            return None
        if keep and self._cache_s:
            for number in missing:
                self._kept[kind, info.generation, number] = found[number]
            while len(self._kept) > _KEPT_PAGES:
                self._kept.popitem(last=False)
        return found

    def _fetch(self, kind: str, generation: str, numbers: list[int]) -> dict[int, dict[str, str]]:
        keys = [_page_key(kind, generation, number) for number in numbers]
        items = get_items(self._client, self._table, keys, what=f"table {kind}", consistent=True, sleep=self._sleep)
        return {int(item["sk"]["S"]): json.loads(item["entries"]["S"]) for item in items}


def _page_key(kind: str, generation: str, number: int) -> dict[str, Any]:
    return {"pk": {"S": f"table#{kind}#{generation}"}, "sk": {"S": f"{number:05}"}}


def _info(fields: dict[str, Any]) -> TableInfo:
    return TableInfo(fields["generation"], fields["pages"], fields["entries"], fields["loaded_at"])


def _dumped(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
