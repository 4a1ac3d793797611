"""Rules by which new mail is held: they take hold of who is meant, and nobody else, beside the access table."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from paravion.domain.selection import parse
from paravion.domain.status import ACCESS_DENIED, BAD_REQUEST, LIMIT_EXCEEDED, NOT_FOUND, Rejected
from paravion.errors import LedgerUnavailable
from paravion.services import hold, standing_holds
from paravion.services.tables import list_tables
from tests.support.world import World
from tests.unit.services.test_flush import OPERATOR, OTHER, bulk, deps_of, sent, settle


def _deps(world: World):
    return SimpleNamespace(**vars(deps_of(world)), tables=world.tables)


@pytest.mark.parametrize(
    ("rule", "through"),
    [
        ("to:B.example", ["a@a.example", "c@x.b.example"]),
        ("TO:b@b.example", ["a@a.example", "c@x.b.example"]),
        ("from:example.org", []),
        ("from:me@Example.org", []),
        # Quotes that a local part needs not make it no other mailbox (RFC 5321 4.1.2).
        ('to:"B"@b.example', ["a@a.example", "c@x.b.example"]),
        ("from:you@example.org", ["a@a.example", "b@b.example", "c@x.b.example"]),
    ],
)
def test_new_mail_is_held_and_the_others_is_not(rule: str, through: list[str]) -> None:
    """Of a recipient that one's alone; released in the end."""
    world = World(local_domains="local.example")
    standing_holds.put_hold(rule, "broken into", OPERATOR, _deps(world))
    world.submit("a@a.example", "b@b.example", "c@x.b.example")
    settle(world)
    assert sent(world) == through
    held = [record for record in world.ledger.records.values() if record.quarantine]
    assert all(record.quarantine == "broken into" for record in held)
    assert bool(held) is (len(through) < 3)
    standing_holds.delete_hold(rule, OPERATOR, _deps(world))
    assert "holds" not in world.tables.loaded()
    bulk(world, hold.Release("", OPERATOR, deps_of(world)), parse(sender="example.org"))
    world.submit("d@b.example")
    world.run()
    assert sent(world) == ["a@a.example", "b@b.example", "c@x.b.example", "d@b.example"]


def test_access_table_refuses_all_the_same_and_aliases_members_are_held() -> None:
    """A hold is no permission; who stands behind an alias is asked for, too."""
    world = World(local_domains="local.example")
    world.load("access", "To:bad@b.example REJECT\nTo:good@b.example OK\n")
    world.load("aliases", "all: good@b.example, a@a.example\n")
    standing_holds.put_hold("to:b.example", "x", OPERATOR, _deps(world))
    with pytest.raises(Rejected):
        world.submit("bad@b.example")
    world.submit("all@local.example")
    world.submit("good@b.example", sender="you@example.org")
    settle(world)
    assert sent(world) == ["a@a.example"]


def test_rules_are_listed_with_who_and_why_and_are_no_table() -> None:
    """`paravion tables` and exports do not show them."""
    world = World()
    deps = _deps(world)
    for reason in ("one", "two"):
        standing_holds.put_hold("to:b.example", reason, OPERATOR, deps)
    assert standing_holds.list_holds(OPERATOR, deps)["holds"] == [
        {"name": "to:b.example", "reason": "two", "by": "AKIAOP", "at": world.now}
    ]
    assert list_tables(OPERATOR, deps)["tables"] == []


def test_two_operators_at_once_lose_no_rule() -> None:
    """The last who writes the table has seen all records."""
    world = World()
    deps = _deps(world)
    replace = world.tables.replace

    def meanwhile(*args):
        world.tables.replace = replace  # type: ignore[method-assign]
        standing_holds.put_hold("to:other.example", "y", OPERATOR, deps)
        return replace(*args)

    world.tables.replace = meanwhile  # type: ignore[method-assign]
    standing_holds.put_hold("to:b.example", "x", OPERATOR, deps)
    assert world.tables.loaded()["holds"].entries == 2
    changes = iter(range(100))

    def always(*args):
        deps.records.put(standing_holds.KIND, "to:b.example", {"reason": str(next(changes)), "by": "", "at": 0})
        return replace(*args)

    world.tables.replace = always  # type: ignore[method-assign]
    with pytest.raises(LedgerUnavailable):
        standing_holds.put_hold("to:b.example", "x", OPERATOR, deps)


def test_refusals() -> None:
    """Whose it is, what it names, how many."""
    world = World()
    deps = _deps(world)
    calls = [
        (lambda: standing_holds.put_hold("to:b.example", "x", OTHER, deps), ACCESS_DENIED),
        (lambda: standing_holds.list_holds(OTHER, deps), ACCESS_DENIED),
        (lambda: standing_holds.delete_hold("to:b.example", OTHER, deps), ACCESS_DENIED),
        (lambda: standing_holds.put_hold("to:b.example", "", OPERATOR, deps), BAD_REQUEST),
        (lambda: standing_holds.delete_hold("to:b.example", OPERATOR, deps), NOT_FOUND),
        *(
            (lambda name=name: standing_holds.put_hold(name, "x", OPERATOR, deps), BAD_REQUEST)
            for name in ("b.example", "to:", "from:", "from:<>", "cc:b.example", "to:a b")
        ),
    ]
    for call, status in calls:
        with pytest.raises(Rejected) as caught:
            call()
        assert caught.value.status is status
    for n in range(standing_holds.MAX_HOLDS):
        deps.records.put(standing_holds.KIND, f"to:b{n}.example", {"reason": "x", "by": "", "at": 0})
    with pytest.raises(Rejected) as caught:
        standing_holds.put_hold("to:b.example", "x", OPERATOR, deps)
    assert caught.value.status is LIMIT_EXCEEDED


def test_quotes_lead_nobody_past_a_rule() -> None:
    """Nor a backslash, capitals or U-labels; what needs its quotes keeps them."""
    world = World()
    for rule in ("to:bob@b.example", 'to:"a b"@b.example', "to:x@m\u00fcller.example"):
        standing_holds.put_hold(rule, "x", OPERATOR, _deps(world))
    for path in ('"Bob"@b.example', '"b\\ob"@B.example', '"A b"@b.example', "X@xn--mller-kva.example", "ab@b.example"):
        world.submit(path)
    settle(world)
    assert sent(world) == ["ab@b.example"]
