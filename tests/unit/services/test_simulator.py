"""The mailbox simulator on the whole road: answered here, told like any mail, and nothing is sent out."""

from __future__ import annotations

from typing import Any

import pytest

from paravion.domain.simulator import DOMAIN
from tests.support.world import Saboteur, World
from tests.unit.services.test_publish import _told, _with_set

SENDER = "me@example.org"
NAMES = ("success", "bounce", "ooto", "complaint", "suppressionlist", "tempfail-2")
RECIPIENTS = tuple(f"{name}+a@{DOMAIN}" for name in NAMES)


def _journey(saboteur: Saboteur, **fields: Any) -> World:
    world = _with_set(World(saboteur=saboteur))
    world.submit_like_a_door(*RECIPIENTS, configuration_set="news", **fields)
    world.run()
    return world


CALLS = _journey(Saboteur()).saboteur.calls


def _check(world: World) -> None:
    sent = [(path, b"(vacation)" in content) for _, path, _, content in world.transport.accepted]
    assert {path for path, _ in sent} == {SENDER}
    assert sum(is_reply for _, is_reply in sent) == 1
    assert world.suppression.items == {}


def test_nothing_leaves_and_everything_is_told() -> None:
    """One report of the failures, one automatic reply, SES's events; nobody is suppressed."""
    world = _journey(Saboteur())
    _check(world)
    told = {(kind, path.partition("+")[0]) for kind, paths in _told(world) for path in paths}
    assert told == {
        ("Delivery", "success"), ("Delivery", "ooto"), ("Delivery", "complaint"), ("Complaint", "complaint"),
        ("Bounce", "bounce"), ("Bounce", "suppressionlist"), ("DeliveryDelay", "tempfail-2"), ("Delivery", "tempfail-2"),
    }  # fmt: skip
    (reply,) = [content for content in world.accepted_by(SENDER) if b"(vacation)" in content]
    assert b"From: ooto+a@simulator.amazonses.com\r\n" in reply
    assert b"In-Reply-To: <" in reply


@pytest.mark.parametrize("at", [n for n, name in enumerate(CALLS) if name.startswith("bounce:")])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_crash_makes_no_second_reply(at: int, after: bool) -> None:
    """Its id follows from the job."""
    _check(_journey(Saboteur(at=at, after=after)))


def test_null_reverse_path_gets_no_reply() -> None:
    """RFC 3834 2."""
    world = World()
    world.submit(f"ooto@{DOMAIN}", sender="")
    world.run()
    assert world.transport.accepted == []
    assert not any(record.owed for record in world.ledger.records.values())
