"""What was looked up is never older than a change that was answered."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from paravion.adapters.embedded_look_ups import LookUps


class Table:
    """A table that counts how often it is read."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}
        self.reads = 0

    def read(self, name: str) -> list[Any]:
        """As the database has it."""
        self.reads += 1
        return self.rows.get(name, [])


def test_absence_is_read_once() -> None:
    """Mostly mail asks for what was never made."""
    table, look_ups = Table(), LookUps(alone=True)
    assert [look_ups.rows(table.read, "a") for _ in range(3)] == [[], [], []]
    assert table.reads == 1


def test_change_is_seen_once_it_was_written() -> None:
    """While somebody writes nothing is kept; two who write at once are both done before anything is."""
    table, look_ups = Table(), LookUps(alone=True)
    look_ups.rows(table.read, "a")
    with look_ups.changing():
        assert look_ups.rows(table.read, "a") == []
        with look_ups.changing():
            table.rows["a"] = [(1,)]
        assert look_ups.rows(table.read, "a") == [(1,)]
        table.rows["a"] = [(2,)]
    assert look_ups.rows(table.read, "a") == [(2,)]


def test_what_was_read_before_a_change_and_came_after_it_is_not_kept() -> None:
    """A slow reader in another thread."""
    table, look_ups = Table(), LookUps(alone=True)

    def slow(name: str) -> list[Any]:
        found = table.read(name)
        with look_ups.changing():
            table.rows["a"] = [(1,)]
        return found

    assert look_ups.rows(slow, "a") == []
    assert look_ups.rows(table.read, "a") == [(1,)]


def test_failed_change_is_looked_at_again() -> None:
    """Whether it was written is not known then."""
    table, look_ups = Table(), LookUps(alone=True)
    look_ups.rows(table.read, "a")
    with pytest.raises(OSError, match="disk"), look_ups.changing():
        table.rows["a"] = [(1,)]
        raise OSError("disk")
    assert look_ups.rows(table.read, "a") == [(1,)]


def test_beside_another_writer_nothing_is_kept_or_changed() -> None:
    """It could not be told of changes, nor tell."""
    table, look_ups = Table(), LookUps(alone=False)
    look_ups.rows(table.read, "a")
    look_ups.rows(table.read, "a")
    assert table.reads == 2
    with pytest.raises(RuntimeError), look_ups.changing():
        raise AssertionError("not reached")


def test_memory_is_bounded() -> None:
    """Strangers' addresses are looked up too, and what is kept of them is not what mail asks for."""
    table, look_ups = Table(), LookUps(alone=True)
    row = ["contact@example.org", "{" + "x" * 10_000 + "}"]
    tracemalloc.start()
    try:
        for number in range(5000):
            look_ups.rows(lambda name: [[name, f"{row[1]}{name}"]], f"{number}.example")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 << 20
    assert look_ups.rows(table.read, "a") == look_ups.rows(table.read, "a") == []
    assert table.reads == 1


def test_what_is_large_is_read_anew() -> None:
    """Templates of half a megabyte, the contacts of five hundred recipients: a few would push out all others."""
    table, look_ups = Table(), LookUps(alone=True)
    table.rows["a"] = [("a", "x" * 100_000)]
    names = [f"{number}@example.org" for number in range(500)]
    table.rows["b"] = [(name, "{}" * 30) for name in names]
    for _ in range(2):
        look_ups.rows(table.read, "a")
        look_ups.rows(table.read, "b")
    assert table.reads == 4
