"""Hops behind a hop: who goes on, who stays, and that nobody gets mail twice."""

from __future__ import annotations

import asyncio
import threading

import pytest

from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.domain.pacing import HostState
from paravion.errors import LedgerUnavailable
from paravion.ports import Transaction
from paravion.services.fallback import Leg, goes_on
from tests.support.world import World

D, F, OK = Result.DEFERRED, Result.FAILED, Result.DELIVERED
DOWN = Outcome(D, "4.4.1", text="down", command="CONNECT")
TAKEN = Outcome(OK, "2.0.0", 250, "ok", "DOT")

CASES = {
    "no_answer": (DOWN, True),
    "dns": (Outcome(D, "4.4.3", command="DNS"), True),
    "busy": (Outcome(D, "4.3.2", 421, command="GREETING"), True),
    "refused_for_good": (Outcome(F, "5.0.0", 554, command="GREETING"), True),
    "not_logged_in": (Outcome(D, "4.7.8", 535, command="AUTH"), True),
    "tls": (Outcome(D, "4.7.0", command="TLS"), True),
    "own_name": (Outcome(F, "5.4.6", command="EHLO"), False),
    "no_such_domain": (Outcome(F, "5.1.2", command="DNS"), False),
    "greylisted": (Outcome(D, "4.2.1", 450, command="RCPT"), False),
    "no_such_user": (Outcome(F, "5.1.1", 550, command="RCPT"), False),
    "lost_at_the_dot": (Outcome(D, "4.4.2", command="DOT"), False),
    "known_dead": (Outcome(D, "4.4.1", text="not tried", command="LOCAL", not_before=9.0), True),
    "our_own_pace": (Outcome(D, "4.3.2", command="LOCAL"), False),
    "delivered": (TAKEN, False),
}


@pytest.mark.parametrize("key", CASES)
def test_only_what_no_host_heard_of_goes_on(key):
    """The table of services/fallback.py."""
    outcome, expected = CASES[key]
    assert expected == goes_on(outcome)


def hop(name, *behind):
    return NextHop(name, (MxHost(name),), behind=behind)


def run(table, next_hop, *paths):
    """Send to recipients; `table` says by hop and position what comes of it. Gives outcomes and what was asked."""
    asked, outcomes = [], {}
    leg = Leg(next_hop, Transaction("q", "a@b.c", {n: (path, (), "") for n, path in enumerate(paths)}, b"", None))
    while leg is not None:
        name, positions = leg.hop.name, list(leg.transaction.recipients)
        asked.append((name, positions))
        settled, leg = leg.after({n: table[name].get(n, DOWN) for n in positions})
        assert not outcomes.keys() & settled.keys()
        outcomes |= settled
    return outcomes, asked


def test_next_hop_gets_only_those_who_go_on():
    """One is delivered, one refused, one can't be reached: only that one goes on, and only until it is settled."""
    refused = Outcome(F, "5.1.1", 550, command="RCPT")
    outcomes, asked = run({"a": {0: TAKEN, 1: refused}, "b": {2: TAKEN}, "c": {}}, hop("a", hop("b"), hop("c")), *"xyz")
    assert outcomes == {0: TAKEN, 1: refused, 2: TAKEN}
    assert asked == [("a", [0, 1, 2]), ("b", [2])]


def test_last_word_is_the_one_that_tells_most():
    """A reply tells more than silence, whichever hop it came from."""
    busy = Outcome(D, "4.3.2", 421, "busy", "GREETING")
    outcomes, asked = run({"a": {0: busy}, "b": {}, "c": {}}, hop("a", hop("b"), hop("c")), "x")
    assert (outcomes, [name for name, _ in asked]) == ({0: busy}, ["a", "b", "c"])
    outcomes, _ = run({"a": {}, "b": {0: busy}}, hop("a", hop("b")), "x")
    assert outcomes == {0: busy}


def test_fallback_that_decides_has_the_last_word():
    """Its refusal of the recipient is no worse for having come second."""
    refused = Outcome(F, "5.1.1", 550, command="RCPT")
    assert run({"a": {}, "b": {0: refused}}, hop("a", hop("b")), "x")[0] == {0: refused}


TABLE = """
one.example    smtp:[a.example]:587 auth=x, [b.example]
two.example    smtp:hub.example, [b.example]
"""


def _watched(world, down):
    """Note every hop that is sent to; those named in `down` do not answer."""
    hops, send = [], world.transport.send

    async def watched(hop, transaction, deadline):
        hops.append(hop)
        if hop.name in down:
            return dict.fromkeys(transaction.recipients, DOWN)
        return await send(hop, transaction, deadline)

    world.transport.send = watched
    return hops


def test_mail_takes_the_second_hop_when_the_first_is_down():
    """By deliver, from the mailertable; the first hop carries its credential and TLS mode, the second none."""
    world = World()
    world.load("mailertable", TABLE)
    hops = _watched(world, {"a.example:587"})
    world.submit("x@one.example")
    world.run()
    assert [(hop.name, hop.tls, hop.credential) for hop in hops] == [
        ("a.example:587", "verify", "x"),
        ("b.example:25", "", ""),
    ]
    assert len(world.accepted_by("x@one.example")) == 1


def test_second_hop_gets_its_turn_at_once_when_the_first_is_known_dead():
    """Pacing leaves a dead smarthost untried; the mail goes the other way in the same attempt."""
    world = World()
    world.load("mailertable", TABLE)
    name = "a.example:587"
    world.hosts.items[name] = HostState(
        name, since=world.now, last_at=world.now, last_text="Timed out", failures=3, hold_until=world.now + 900
    )
    hops = _watched(world, ())
    receipt = world.submit("x@one.example")
    began = world.now
    world.run()
    assert [hop.name for hop in hops] == ["b.example:25"]
    assert world.states(receipt.queue_id) == {"x@one.example": "delivered"}
    assert world.now == began


def test_route_whose_first_domain_is_gone_goes_by_the_second():
    """Its MX can't be found, for good or for now; with no hop left the mail waits or fails as DNS says."""
    gone = Outcome(F, "5.1.2", text="no such domain", command="DNS")
    world = World(hops={"hub.example": gone})
    world.load("mailertable", TABLE)
    hops = _watched(world, set())
    world.submit("x@two.example")
    world.run()
    assert [hop.name for hop in hops] == ["b.example:25"]
    silent = Outcome(D, "4.4.3", text="silent", command="DNS")
    world = World(hops={"hub.example": gone, "c.example": silent})
    world.load("mailertable", "two.example smtp:hub.example, c.example")
    receipt = world.submit("x@two.example")
    world.invoke("delivery")
    assert world.states(receipt.queue_id) == {"x@two.example": "deferred"}


def test_domains_share_a_transaction_only_with_the_same_hops_behind():
    """One domain has a fallback that the other has not."""
    world = World()
    world.load("mailertable", "one.example smtp:[a.example], [b.example]\ntwo.example smtp:[a.example]")
    hops = _watched(world, {"a.example:25"})
    receipt = world.submit("x@one.example", "y@two.example")
    world.invoke("delivery")
    assert sorted(hop.name for hop in hops) == ["a.example:25", "a.example:25", "b.example:25"]
    assert world.states(receipt.queue_id) == {"x@one.example": "delivered", "y@two.example": "deferred"}


def test_what_stands_is_recorded_before_the_next_hop_is_tried():
    """A crash while the fallback is under way repeats nothing that the first hop took (RFC 1047)."""
    world = World()
    world.load("mailertable", "one.example smtp:[a.example], [b.example]")
    send, save, seen, recorded = world.transport.send, world.ledger.save, [], threading.Event()

    def noted(record):
        saved = save(record)
        if record.recipients:
            recorded.set()
        return saved

    world.ledger.save = noted

    async def half(hop, transaction, deadline):
        if hop.name == "b.example:25":
            await asyncio.to_thread(recorded.wait, 5)
            seen.extend(world.ledger.records.values())
            return await send(hop, transaction, deadline)
        return {**await send(hop, replace_recipients(transaction, 0), deadline), 1: DOWN}

    world.transport.send = half
    world.submit("x@one.example", "y@one.example")
    world.run()
    assert [list(record.recipients) for record in seen] == [[0]]
    assert len(world.accepted_by("x@one.example")) == len(world.accepted_by("y@one.example")) == 1


def test_fault_of_ours_in_the_second_hop_keeps_what_the_first_settled():
    """The spool fails while the fallback reads it: delivered stays delivered, the other waits."""
    world = World()
    world.load("mailertable", "one.example smtp:[a.example], [b.example]")
    send = world.transport.send

    async def half(hop, transaction, deadline):
        if hop.name == "b.example:25":
            raise LedgerUnavailable("gone")
        outcomes = await send(hop, replace_recipients(transaction, 0), deadline)
        return {**outcomes, 1: DOWN}

    world.transport.send = half
    receipt = world.submit("x@one.example", "y@one.example")
    world.invoke("delivery")
    assert world.states(receipt.queue_id) == {"x@one.example": "delivered", "y@one.example": "deferred"}
    assert len(world.accepted_by("x@one.example")) == 1


def replace_recipients(transaction, *positions):
    """The same for some of its recipients."""
    from dataclasses import replace

    return replace(transaction, recipients={n: transaction.recipients[n] for n in positions})
