"""The mailertable in deliver: where a domain's mail goes, and what happens when nobody can say."""

from __future__ import annotations

from typing import Any

import pytest

from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome
from paravion.errors import LedgerUnavailable
from paravion.services.routes import MxRoute, routes_for
from tests.support.world import World

TABLE = """
one.example    smtp:[10.0.0.7]:2525
.one.example   smtp:[hub.example]
two.example    smtp:three.example:587
void.example   discard:
dead.example   error:5.1.2:550 no such place
busy.example   error:4.4.1:450 not now
six.example    smtp:[IPv6:2001:db8::1]
"""


def _world(**fields: Any) -> World:
    world = World(**fields)
    world.load("mailertable", TABLE)
    return world


def test_routes_are_the_best_keys() -> None:
    """Itself, then the domains above it."""
    found = routes_for(
        ["one.example", "a.b.one.example", "two.example", "six.example", "other.example"], _world().tables
    )
    hosts = {name: hop.hosts if isinstance(hop, NextHop) else hop for name, hop in found.items()}
    assert hosts == {
        "one.example": (MxHost("10.0.0.7", 2525, ("10.0.0.7",), allow_private=True, by_route=True),),
        "a.b.one.example": (MxHost("hub.example", 25, (), allow_private=True, by_route=True),),
        "two.example": MxRoute("three.example", 587),
        "six.example": (MxHost("2001:db8::1", 25, ("2001:db8::1",), allow_private=True, by_route=True),),
    }


def test_mail_takes_the_route() -> None:
    """MX hosts of another name on another port; the rest goes as ever."""
    world = _world(hops={"three.example": NextHop("three.example", (MxHost("mx.three.example"),))})
    hops: list[NextHop] = []
    send = world.transport.send

    async def watched(hop: NextHop, *args: Any) -> dict[int, Outcome]:
        hops.append(hop)
        return await send(hop, *args)

    world.transport.send = watched  # type: ignore[method-assign]
    world.submit("a@two.example", "b@other.example", "c@one.example", "d@x.one.example")
    world.run()
    assert sorted((hop.hosts[0].name, hop.hosts[0].port) for hop in hops) == [
        ("10.0.0.7", 2525),
        ("hub.example", 25),
        ("mx.three.example", 587),
        ("other.example", 25),
    ]


def test_discard_and_error_come_to_an_end_here() -> None:
    """Nothing is sent; the failure is reported in the table's words."""
    world = _world()
    receipt = world.submit("a@void.example", "b@dead.example")
    world.run()
    assert world.states(receipt.queue_id) == {"a@void.example": "delivered", "b@dead.example": "failed"}
    (report,) = world.accepted_by("me@example.org")
    assert b"no such place" in report
    assert not world.accepted_by("a@void.example")


def test_transient_error_is_tried_again() -> None:
    """4yz defers: the table may change."""
    world = _world()
    receipt = world.submit("a@busy.example")
    world.invoke("delivery")
    assert world.states(receipt.queue_id) == {"a@busy.example": "deferred"}
    world.load("mailertable", "")
    world.run()
    assert world.states(receipt.queue_id) == {"a@busy.example": "delivered"}


def test_unreadable_table_defers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 7: our own fault is never a bounce, and mail does not take another road meanwhile."""
    world = _world()

    def broken() -> None:
        raise LedgerUnavailable("throttled")

    receipt = world.submit("a@one.example")
    with monkeypatch.context() as patch:
        patch.setattr(world.tables, "loaded", broken)
        world.invoke("delivery")
    assert world.states(receipt.queue_id) == {"a@one.example": "deferred"}
    assert world.transport.calls == 0
    world.run()
    assert len(world.accepted_by("a@one.example")) == 1
