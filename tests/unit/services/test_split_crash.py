"""
A submission that becomes several messages, broken at every call: nobody is lost, nobody gets it twice.

The sibling of test_crash.py, for services/split.py: only `validate` breaks here, the rest is tested there.
"""

from __future__ import annotations

import pytest

from paravion.domain.outcome import Outcome, Result
from paravion.errors import QueueUnavailable, SpoolUnavailable
from tests.support.world import Saboteur, World

MEMBERS = [f"u{n}@z.example" for n in range(2100)]
ALIASES = "list: :include:l\nowner-list: boss@o.example\nal: a@a.example\n"


def _world(saboteur: Saboteur) -> World:
    world = World(saboteur=saboteur, local_domains="local.example")
    world.load("include/l", "\n".join(MEMBERS))
    world.load("aliases", ALIASES)
    return world


def _submit(world: World) -> str:
    return world.submit_like_a_door("list@local.example", "al@local.example", "direct@c.example").queue_id


def _calls() -> list[str]:
    world = _world(Saboteur())
    _submit(world)
    return [name for name in world.saboteur.calls if name.startswith("validate:")]


CALLS = _calls()


def _assert_everybody_has_it_once(world: World) -> None:
    world.run()
    got = sorted(path for _, path, _, _ in world.transport.accepted)
    assert got == sorted([*MEMBERS, "a@a.example", "direct@c.example"])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)), ids=[f"{n}-{name}" for n, name in enumerate(CALLS)])
def test_crash_at_any_step_of_a_split(at: int, after: bool) -> None:
    """The door repeats under its key, and the ids follow from it."""
    world = _world(Saboteur(at=at, after=after))
    _submit(world)
    assert world.crashes == 1
    _assert_everybody_has_it_once(world)


@pytest.mark.parametrize("at", range(len(CALLS)), ids=[f"{n}-{name}" for n, name in enumerate(CALLS)])
def test_outage_at_any_step_of_a_split(at: int) -> None:
    """The same for a lost answer of a store or a queue."""
    error = QueueUnavailable if "queues" in CALLS[at] else SpoolUnavailable
    world = _world(Saboteur(at=at, after=True, error=error))
    _submit(world)
    _assert_everybody_has_it_once(world)


def test_repeat_after_the_tables_changed_is_the_first_submission() -> None:
    """What was promised stays; what the new table says holds for the next message."""
    world = _world(Saboteur())
    first = _submit(world)
    world.load("include/l", "new@z.example\n")
    assert _submit(world) == first
    _assert_everybody_has_it_once(world)


def test_repeat_after_a_crash_and_a_change_goes_by_one_table() -> None:
    """Nothing was promised before the crash: then the new table holds, for everybody, and only it."""
    at = CALLS.index("validate:spool.put_envelope") + 1
    world = _world(Saboteur(at=at))
    submit = world.submit

    def changed(*args: object, **fields: object) -> object:
        try:
            return submit(*args, **fields)  # type: ignore[arg-type]
        finally:
            world.load("include/l", "new@z.example\n")

    world.submit = changed  # type: ignore[assignment, method-assign]
    _submit(world)
    world.run()
    assert sorted(path for _, path, _, _ in world.transport.accepted) == [
        "a@a.example",
        "direct@c.example",
        "new@z.example",
    ]


def test_another_submission_under_the_key_is_told() -> None:
    """As for a single message."""
    world = _world(Saboteur())
    _submit(world)
    with pytest.raises(Exception, match="idempotency_conflict"):
        world.submit("list@local.example", idempotency_key="k1", content=b"From: me@example.org\r\n\r\nother\r\n")
    with pytest.raises(Exception, match="idempotency_conflict"):
        world.submit("list@local.example", idempotency_key="k1")


def test_failure_in_a_part_returns_the_shared_body() -> None:
    """bounce reads the body where the first message put it."""
    world = World(
        {"u7@z.example": [Outcome(Result.FAILED, "5.1.1", 550, "no", "RCPT", "mx")]}, local_domains="local.example"
    )
    world.load("aliases", "list: u7@z.example\nowner-list: boss@o.example\n")
    world.submit("direct@c.example", "list@local.example")
    world.run()
    assert len(world.spool.bodies) == 2  # the report's is the other one
    (report,) = world.accepted_by("boss@o.example")
    assert b"\r\n\r\nbody\r\n" in report
