"""What hangs costs nobody else anything, and the batch ends within the function's limit: each wait has its end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from paravion.adapters.smtp_client import SmtpTransport
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Outcome, Result
from paravion.domain.pacing import HostState
from paravion.domain.queue import State
from paravion.ports import QueueName
from paravion.services.deliver import deliver
from paravion.services.mta_sts import StsFinder
from tests.support.smtp_server import HANG, SmtpServer, running
from tests.support.world import World

LIMIT_S = 4.0
"""Of the invocation."""

AWAY = Outcome(Result.DEFERRED, "4.4.1", text="Connection refused", command="CONNECT", mx_host="d0.example")


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    """The same rules in less time: sending ends a second before the limit."""
    monkeypatch.setattr("paravion.services.deliver._RECORDING_S", 1.0)
    monkeypatch.setattr("paravion.services.deliver._KEEPING_S", 0.5)
    monkeypatch.setattr("paravion.services.pacing._PATIENCE_S", 0.3)


class Hanging:
    """A call that blocks its thread until the test is over."""

    def __init__(self):
        self.over = threading.Event()
        self.calls = 0

    def __call__(self, *_, **__):
        self.calls += 1
        assert self.over.wait(60)
        raise RuntimeError("too late")


def run(world, hanging=None):
    """Deliver one batch; gives what is to be tried again. Ends what hangs when the batch has ended."""
    items = world.queues.receive(QueueName.DELIVERY, 10)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(16))  # as bootstrap.new_runner's
    try:
        return loop.run_until_complete(asyncio.wait_for(deliver(items, world.for_deliver, LIMIT_S), 30))
    finally:
        if hanging is not None:
            hanging.over.set()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def batch(**fields):
    """A world with ten jobs to ten domains."""
    hops = {
        f"d{n}.example": NextHop(f"d{n}.example", (MxHost(f"d{n}.example"),), policy_domain=f"d{n}.example")
        for n in range(10)
    }
    world = World(hops=hops, **fields)
    ids = [world.submit(f"x@d{n}.example").queue_id for n in range(10)]
    return world, ids


def states(world, ids):
    return [record.state for queue_id in ids for record in world.ledger.load_message(queue_id)]


class HangingPolicyHost:
    """Accepts, and says nothing more, to whoever asks for d0.example's policy."""

    async def fetch(self, domain):
        """See ports.PolicyHost."""
        await asyncio.Event().wait()


@pytest.mark.parametrize("what", ["policy_host", "txt", "policies"])
def test_mta_sts_that_hangs_holds_up_its_own_domain_alone(what, monkeypatch):
    """Nine are recorded while the tenth waits, and the tenth is deferred."""
    world, ids = batch()
    hanging = Hanging()

    class Policies:
        def get(self, domain):
            return hanging() if what == "policies" and domain == "d0.example" else None

        def put(self, domain, policy): ...

    async def txt(name):
        if name != "_mta-sts.d0.example":
            return []
        if what == "txt":
            await asyncio.Event().wait()
        return ["v=STSv1; id=1"]

    monkeypatch.setattr(world.resolver, "txt", txt, raising=False)
    finder = StsFinder(world.resolver, HangingPolicyHost(), Policies(), world.event_log, lambda: world.now)
    world.for_deliver = replace(world.for_deliver, transport=world.new_transport(), mta_sts=finder)
    sent = []
    send = world.transport.send

    async def noted(hop, transaction, deadline):
        if asyncio.get_running_loop().time() >= deadline:
            return dict.fromkeys(transaction.recipients, AWAY)
        sent.append((hop.name, sum(state is State.DONE for state in states(world, ids))))
        return await send(hop, transaction, deadline)

    world.transport.send = noted
    failed = run(world, hanging)
    assert sorted(name for name, _ in sent) == [f"d{n}.example" for n in range(1, 10)]
    assert len(failed) == 1
    assert sorted(states(world, ids)) == sorted([State.DONE] * 9 + [State.TRIED])


def test_resolver_that_never_answers_defers_its_own_domain_alone(monkeypatch):
    """The look-up of the next hop ends with the time for sending, whatever the resolver thinks."""
    world, ids = batch()
    look_up = world.resolver.next_hop

    async def next_hop(domain):
        if domain == "d0.example":
            await asyncio.Event().wait()
        return await look_up(domain)

    monkeypatch.setattr(world.resolver, "next_hop", next_hop)
    world.for_deliver = replace(world.for_deliver, transport=world.new_transport())
    assert len(run(world)) == 1
    assert sorted(states(world, ids)) == sorted([State.DONE] * 9 + [State.TRIED])


@pytest.mark.parametrize("call", ["all", "get"])
def test_ledger_that_hangs_when_asked_for_hosts_stops_no_mail(call, monkeypatch):
    """Pacing goes on without what it can't learn."""
    world, ids = batch()
    hanging = Hanging()
    if call == "get":
        monkeypatch.setattr("paravion.services.pacing.LISTED", 0)
    monkeypatch.setattr(world.hosts, call, hanging)
    world.for_deliver = replace(world.for_deliver, transport=world.new_transport())
    assert run(world, hanging) == []
    assert states(world, ids) == [State.DONE] * 10
    assert hanging.calls


def test_ledger_that_hangs_when_told_of_hosts_does_not_cost_the_batch_its_answer(monkeypatch):
    """What goes on behind the answers is left there when time is up."""
    world, ids = batch(script={"x@d0.example": [AWAY]})
    hanging = Hanging()
    monkeypatch.setattr(world.hosts, "update", hanging)
    world.for_deliver = replace(world.for_deliver, transport=world.new_transport())
    assert len(run(world, hanging)) == 1
    assert sorted(states(world, ids)) == sorted([State.DONE] * 9 + [State.TRIED])
    assert hanging.calls


def test_turn_that_never_comes_defers_its_mail_in_time(monkeypatch):
    """The ledger hangs when a turn is asked for: the mail of that host waits, the others go."""
    world, ids = batch()
    world.hosts.items["d0.example"] = HostState("d0.example", since=world.now, last_at=world.now, max_rate=600.0)
    hanging = Hanging()
    monkeypatch.setattr(world.hosts, "update", hanging)
    world.for_deliver = replace(world.for_deliver, transport=world.new_transport())
    assert len(run(world, hanging)) == 1
    assert sorted(states(world, ids)) == sorted([State.DONE] * 9 + [State.TRIED])


def test_our_own_fault_at_one_hop_leaves_what_the_others_took(monkeypatch):
    """Law 7: a bug defers the mail that met it; what another host took meanwhile is recorded, and never sent again."""
    world = World()
    send = world.transport.send

    async def broken(hop, transaction, deadline):
        if hop.name == "b.example":
            raise TypeError("a bug")
        outcomes = await send(hop, transaction, deadline)
        await asyncio.sleep(0.05)  # 250 was said, and is not recorded yet
        return outcomes

    world.transport.send = broken
    receipt = world.submit("x@a.example", "x@b.example")
    run(world)
    (record,) = world.ledger.load_message(receipt.queue_id)
    outcomes = {state.forward_path: state.outcome.result for state in record.recipients.values()}
    assert outcomes == {"x@a.example": Result.DELIVERED, "x@b.example": Result.DEFERRED}
    assert any("a bug" in str(fields) for kind, fields in world.event_log.records if kind == "Fault")


def test_one_host_that_hangs_leaves_nine_recorded_at_once():
    """Ten jobs to ten hosts, for real: nine stand in the ledger while the tenth is waited for; then it is deferred."""
    world, ids = batch()
    done_before = []
    with running(SmtpServer()) as well, running(SmtpServer(script={"MAIL": HANG})) as sick:
        for n in range(10):
            host = MxHost(f"h{n}.test", (well if n else sick).port, ("127.0.0.1",), allow_private=True)
            world.resolver.hops[f"d{n}.example"] = NextHop(f"d{n}.example", (host,))
        transport = SmtpTransport("us.test", world.resolver)
        send = transport.send

        async def watched(hop, transaction, deadline):
            outcomes = await send(hop, transaction, deadline)
            if hop.name == "d0.example":
                done_before.append(sum(state is State.DONE for state in states(world, ids)))
            return outcomes

        transport.send = watched
        world.for_deliver = replace(world.for_deliver, transport=transport)
        assert len(run(world)) == 1
    assert done_before == [9]
    assert sorted(states(world, ids)) == sorted([State.DONE] * 9 + [State.TRIED])


def test_secret_store_that_hangs_leaves_the_ledger_its_threads():
    """Many connections that want to log in ask once: the others' outcomes are recorded by the threads that are left."""
    world, ids = batch()
    hanging = Hanging()
    with running(SmtpServer(extensions=("PIPELINING", "AUTH PLAIN"))) as server:
        for n in range(10):
            host = MxHost(f"h{n}.test", server.port, ("127.0.0.1",), allow_private=True)
            hop = NextHop(f"d{n}.example", (host,), "none", "ses" if n else "")
            world.resolver.hops[f"d{n}.example"] = hop
        world.for_deliver = replace(
            world.for_deliver, transport=SmtpTransport("us.test", world.resolver, credential_of=hanging)
        )
        assert len(run(world, hanging)) == 9
    assert hanging.calls == 1
    assert sorted(states(world, ids)) == sorted([State.DONE] + [State.TRIED] * 9)
