"""ports.Tables, on every implementation."""

from __future__ import annotations

import time
import uuid
from typing import Any

import boto3
import pytest

from paravion.adapters.dynamodb_tables import DynamoTables
from paravion.domain.table_pages import AT_ONCE
from paravion.errors import LedgerUnavailable
from tests.integration.contract.conftest import TABLE

MANY = {f"user{n}@example.org": f"other{n}@example.com" for n in range(3000)}


@pytest.fixture
def kind() -> str:
    """A fresh one: a real account keeps what earlier runs left."""
    return f"k{uuid.uuid4().hex[:8]}"


def test_what_was_loaded_is_found(tables: Any, kind: str) -> None:
    """Some keys, all keys, in many pages."""
    assert tables.lookup(kind, ["a"]) == {}
    assert list(tables.pages(kind)) == []
    info = tables.replace(kind, MANY, 1000.5)
    assert (info.entries, info.loaded_at) == (3000, 1000.5)
    assert info.pages > 1
    assert tables.loaded()[kind] == info
    assert tables.lookup(kind, ["user7@example.org", "nobody", "user2999@example.org"]) == {
        "user7@example.org": "other7@example.com",
        "user2999@example.org": "other2999@example.com",
    }
    found: dict[str, str] = {}
    for page in tables.pages(kind):
        found |= page
    assert found == MANY


def test_list_keeps_its_order(tables: Any, kind: str) -> None:
    """An included list is read in the order of its file."""
    members = {f"{n:07}": f"u{n * 7919 % 5000}@example.org" for n in range(5000)}
    tables.replace(f"include/{kind}", members, 1.0)
    values = [value for page in tables.pages(f"include/{kind}") for value in page.values()]
    assert values == list(members.values())


def test_new_table_takes_the_place_of_the_old_one_whole(tables: Any, kind: str) -> None:
    """What the new file lacks is gone; going back is loading again."""
    for entries in ({"a": "1", "b": "1"}, {"b": "2"}, {"a": "1", "b": "1"}, {}):
        tables.replace(kind, entries, 1.0)
        assert tables.lookup(kind, ["a", "b", "c"]) == entries
    assert tables.loaded()[kind].entries == 0


def test_same_entries_are_the_same_generation(tables: Any, kind: str) -> None:
    """Loading again after a fault changes nothing but the time."""
    first = tables.replace(kind, {"a": "1"}, 1.0)
    assert tables.replace(kind, {"a": "1"}, 2.0).generation == first.generation
    assert tables.lookup(kind, ["a"]) == {"a": "1"}


def test_removed_is_gone(tables: Any, kind: str) -> None:
    """And other kinds stay."""
    tables.replace(kind, {"a": "1"}, 1.0)
    tables.replace(kind + "x", {"a": "1"}, 1.0)
    assert tables.remove(kind)
    assert not tables.remove(kind)
    assert kind not in tables.loaded()
    assert tables.lookup(kind + "x", ["a"]) == {"a": "1"}


def test_text_is_kept_as_it_is(tables: Any, kind: str) -> None:
    """UTF-8, line feeds, percent signs."""
    entries = {"ünal": "a@b.org\nc@d.org", "x": "%1+%2"}
    tables.replace(kind, entries, 1.0)
    assert tables.lookup(kind, list(entries)) == entries


# What only the real adapter has: calls, a cache, an old generation


@pytest.fixture
def counted(engine: str) -> tuple[Any, list[str]]:
    """The adapter with its cache, on a clock that the test moves, and the calls it makes."""
    if engine != "aws":
        pytest.skip("no cache")
    client, calls = boto3.client("dynamodb"), []
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    now = [0.0]
    adapter = DynamoTables(client, TABLE, cache_s=60.0, clock=lambda: now[0], sleep=time.sleep)
    adapter.now = now  # type: ignore[attr-defined]
    return adapter, calls


def test_nothing_loaded_costs_one_read_a_minute(counted: tuple[Any, list[str]], kind: str) -> None:
    """Steady state of an installation without tables."""
    adapter, calls = counted
    for _ in range(5):
        assert adapter.lookup(kind, ["a"]) == {}
    assert calls == ["GetItem"]
    adapter.now[0] = 61.0
    adapter.loaded()
    assert calls == ["GetItem"] * 2


def test_page_is_read_once_a_generation(counted: tuple[Any, list[str]], kind: str) -> None:
    """A warm function keeps what it read."""
    adapter, calls = counted
    adapter.replace(kind, {"a": "1"}, 1.0)
    calls.clear()
    for _ in range(5):
        assert adapter.lookup(kind, ["a", "b"]) == {"a": "1"}
    assert calls == ["GetItem", "BatchGetItem"]


def test_old_pointer_still_finds_its_generation(counted: tuple[Any, list[str]], tables: Any, kind: str) -> None:
    """A swap does not break who read the pointer before it; after a second one the new table is found."""
    adapter, _ = counted
    tables.replace(kind, {"a": "1"}, 1.0)
    assert adapter.loaded()[kind].entries == 1
    tables.replace(kind, {"a": "2"}, 2.0)
    assert adapter.lookup(kind, ["a"]) == {"a": "1"}
    adapter._kept.clear()
    tables.replace(kind, {"a": "3"}, 3.0)
    assert adapter.lookup(kind, ["a"]) == {"a": "3"}


def test_old_generations_are_removed(counted: tuple[Any, list[str]], kind: str) -> None:
    """The one before the last goes when the next is loaded; unloading leaves nothing."""
    adapter, _ = counted
    client = boto3.client("dynamodb")

    def generations() -> set[str]:
        items = client.scan(TableName=TABLE)["Items"]
        return {item["pk"]["S"] for item in items if item["pk"]["S"].startswith(f"table#{kind}#")}

    for n in range(5):
        adapter.replace(kind, {"a": str(n)}, 1.0)
    assert len(generations()) == 2
    adapter.remove(kind)
    assert generations() == set()


def test_load_that_breaks_off_leaves_the_old_table(counted: tuple[Any, list[str]], kind: str) -> None:
    """Before the swap nothing can be seen of the new one."""
    adapter, _ = counted
    adapter.replace(kind, {"a": "1"}, 1.0)

    def broken(*_: Any) -> None:
        raise LedgerUnavailable("broken")

    original, adapter._swap = adapter._swap, broken
    with pytest.raises(LedgerUnavailable):
        adapter.replace(kind, {"a": "2"}, 2.0)
    adapter._swap = original
    assert adapter.lookup(kind, ["a"]) == {"a": "1"}
    adapter.replace(kind, {"a": "2"}, 2.0)
    adapter.now[0] = 61.0
    assert adapter.lookup(kind, ["a"]) == {"a": "2"}


def test_two_loads_at_once_are_one(counted: tuple[Any, list[str]], kind: str) -> None:
    """The slower one is told, and can load again."""
    adapter, _ = counted
    adapter.replace(kind, {"a": "1"}, 1.0)
    old = adapter._pointer(consistent=True)[kind]
    adapter.replace(kind, {"a": "2"}, 2.0)
    with pytest.raises(LedgerUnavailable):
        adapter._swap({kind: (old, {**old, "entries": 7})})


def test_several_tables_are_swapped_at_once(tables: Any, kind: str) -> None:
    """New ones and old ones in one instant; each can be replaced alone afterwards."""
    one, two = f"{kind}a", f"include/{kind}"
    tables.replace(one, {"a": "1"}, 1.0)
    infos = tables.replace_all({one: {"a": "2"}, two: {"0000000": "x@y.example"}}, 2.0)
    assert {tables.loaded()[name].loaded_at for name in (one, two)} == {2.0}
    assert (infos[one].entries, infos[two].entries) == (1, 1)
    assert tables.lookup(one, ["a"]) == {"a": "2"}
    assert [dict(page) for page in tables.pages(two)] == [{"0000000": "x@y.example"}]
    tables.replace_all({one: {"a": "2"}}, 3.0)
    tables.replace_all({one: {"a": "3"}}, 4.0)
    assert tables.lookup(one, ["a"]) == {"a": "3"}
    many = {f"{kind}{n}": {"k": str(n)} for n in range(AT_ONCE)}
    tables.replace_all(many, 5.0)
    assert tables.lookup(f"{kind}99", ["k"]) == {"k": "99"}
    for name in (one, two, *many):
        assert tables.remove(name)
