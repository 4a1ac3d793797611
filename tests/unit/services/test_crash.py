"""
A crash, an outage, a lost answer after every single step: nothing accepted is lost, nobody gets it twice.

The only instant that may duplicate is named: the remote host took the mail (transport.send returned) and
the ledger does not know it yet (RFC 1047).
"""

from __future__ import annotations

import pytest

from paravion.domain.dkim_keys import encode
from paravion.domain.outcome import Outcome, Result
from paravion.errors import LedgerUnavailable, QueueUnavailable, SecretsUnavailable, SpoolUnavailable
from tests.support.dkim_keys import active_ring
from tests.support.world import Crash, Saboteur, World

OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "mx")
BUSY = Outcome(Result.DEFERRED, "4.2.0", 451, "busy, come back", "RCPT", "mx")
MISSING = Outcome(Result.FAILED, "5.1.1", 550, "no such user", "RCPT", "mx")

SCRIPT = {"busy@b.example": [BUSY, OK], "missing@c.example": [MISSING]}
RECIPIENTS = ("good@a.example", "busy@b.example", "missing@c.example")
SENDER = "me@example.org"

OUTAGES = {
    "spool": SpoolUnavailable, "queues": QueueUnavailable, "ledger": LedgerUnavailable, "secrets": SecretsUnavailable,
    "suppression": LedgerUnavailable,
}  # fmt: skip
RING = encode(active_ring())


def _port(call: str) -> str:
    return call.split(":")[1].split(".", maxsplit=1)[0]


def _journey(saboteur: Saboteur) -> World:
    world = World(SCRIPT, saboteur=saboteur)
    for domain in ("example.org", "example.net"):
        world.secrets.put(f"dkim/{domain}", RING)
    receipt = world.submit_like_a_door(*RECIPIENTS)
    world.run()
    assert world.states(receipt.queue_id) == {
        "good@a.example": "delivered",
        "busy@b.example": "delivered",
        "missing@c.example": "failed",
    }
    assert set(world.suppression.items) == {"missing@c.example"}
    # Whatever broke, nothing leaves unsigned.
    headers = [content.partition(b"\r\n\r\n")[0] for *_, content in world.transport.accepted]
    assert {header.count(b"DKIM-Signature: v=1;") for header in headers} == {2}
    return world


CALLS = _journey(plain := Saboteur()).saboteur.calls


def _copies(world: World) -> dict[str, int]:
    return {path: len(world.accepted_by(path)) for path in (*RECIPIENTS, SENDER)}


EXACT = {"good@a.example": 1, "busy@b.example": 1, "missing@c.example": 0, SENDER: 1}


def test_quiet_journey_delivers_each_once_and_returns_one_report() -> None:
    """Without a crash: good at once, busy at the second attempt, missing reported to the sender."""
    world = _journey(Saboteur())
    assert _copies(world) == EXACT
    assert world.kinds() == ["dsn", "mail"]
    assert b"Final-Recipient: rfc822;missing@c.example" in world.accepted_by(SENDER)[0].replace(b"; ", b";")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(len(CALLS)), ids=[f"{n}-{name}" for n, name in enumerate(CALLS)])
def test_crash_at_any_step_loses_nothing_and_doubles_nothing(at: int, after: bool) -> None:
    """Safety rules 1 to 4, at every step of validate, deliver, retry and bounce."""
    saboteur = Saboteur(at=at, after=after)
    world = _journey(saboteur)
    assert world.crashes == 1
    copies = _copies(world)
    if _is_rfc1047_instant(saboteur, at, after):
        assert all(EXACT[path] <= copies[path] <= EXACT[path] + (EXACT[path] > 0) for path in EXACT)
    else:
        assert copies == EXACT
    assert world.kinds() == ["dsn", "mail"]


def _is_rfc1047_instant(saboteur: Saboteur, at: int, after: bool) -> bool:
    """The host has said 250 to the function that dies now, and the ledger has not heard of it."""
    name = saboteur.calls[at]
    if name == "deliver:transport.send":
        return True
    return name == "deliver:ledger.save" and not after


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize(
    "at", [n for n, name in enumerate(CALLS) if _port(name) in OUTAGES and not name.endswith("release")],
    ids=lambda n: f"{n}-{CALLS[n]}",
)  # fmt: skip
def test_outage_of_one_call_loses_nothing_and_doubles_nothing(at: int, after: bool) -> None:
    """Throttled, refused, timed out: our own faults defer the mail, and a recorded 250 stays recorded."""
    kind = OUTAGES[_port(CALLS[at])]
    world = _journey(Saboteur(at=at, after=after, error=kind))
    assert _copies(world) == EXACT


def test_crashes_are_really_injected() -> None:
    """The harness breaks what it says it breaks: the first ledger claim dies, and the job comes back."""
    at = CALLS.index("deliver:ledger.claim")
    saboteur = Saboteur(at=at)
    _journey(saboteur)
    assert saboteur.calls.count("deliver:ledger.claim") > CALLS.count("deliver:ledger.claim")
    with pytest.raises(Crash):
        Saboteur(at=0).wrap("spool", World().spool).get_body("x")
