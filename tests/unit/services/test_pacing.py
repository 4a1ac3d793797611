"""Hosts are sent to as fast as they bear, by all functions together; what waits for that costs no attempt."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from paravion.adapters.memory import MemoryEventLog, MemoryHosts
from paravion.domain import pacing
from paravion.domain.host_word import Word
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import PACED, Outcome, Result
from paravion.domain.queue import JobKey, JobRecord, State, comes_at
from paravion.errors import ClaimLost, LedgerUnavailable
from paravion.ports import QueueName
from paravion.services.pacing import PacedTransport, host_key
from tests.support.pacing import HOP, HOST, START, FakeHost, Fleet, VirtualLoop, simulate, transaction
from tests.support.world import START as WORLD_START
from tests.support.world import Saboteur, World

SLOW_DOWN = Outcome(Result.DEFERRED, "4.7.0", 421, "Try again later, rate exceeded", "GREETING", "a.example")
AWAY = Outcome(Result.DEFERRED, "4.4.1", text="Connection refused", command="CONNECT", mx_host="a.example")
OK = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", "a.example")


def dead(name=HOST, at=START, failures=3):
    """A state."""
    return pacing.HostState(name, since=at, last_at=at, last_text="Timed out", failures=failures, hold_until=at + 30)


def limited(**limits):
    """A state."""
    return pacing.limited(None, HOST, **{"max_rate": 0, "max_slots": 0, **limits}, now=START)


# The fleet; what takes longer to simulate is in tests/integration/test_pacing_fleet.py


def test_fleet_without_trouble_writes_nothing():
    """Full speed costs one read a minute of each function."""

    async def scenario(fleet):
        fleet.submit(5000)
        await fleet.run(50)

    fleet = simulate(10, scenario)
    assert fleet.delivered == 5000
    assert fleet.hosts.writes == 0
    assert fleet.paced == 0


def test_fleet_with_the_ledger_away_goes_on():
    """Each function by its own knowledge; no mail stops, and nobody floods a host that complains to him."""

    class Away(MemoryHosts):
        def all(self, limit, after=""):
            raise LedgerUnavailable("away")

        def update(self, name, change):
            raise LedgerUnavailable("away")

    async def scenario(fleet):
        fleet.host.rate = 300
        fleet.submit(3000)
        await fleet.run(900)

    loop = VirtualLoop()
    hosts = Away(loop.time)
    loop.close()
    fleet = simulate(5, scenario, hosts=hosts)
    assert fleet.delivered == 3000
    assert sum(fleet.host.refused.values()) < 500


def test_function_that_died_with_slots_costs_its_lease():
    """Then others have them."""

    async def scenario(fleet):
        fleet.hosts.items[HOST] = replace(limited(max_slots=2), leases={"gone": (2, START + 60)})
        fleet.submit(10)
        await fleet.run(50)
        assert fleet.delivered == 0
        await fleet.run(120)

    assert simulate(3, scenario).delivered == 10


def test_lost_races_defer_without_a_word_to_the_host():
    """Others were always faster: they use what there is."""

    class Contended(MemoryHosts):
        def update(self, name, change):
            raise ClaimLost(name)

    async def scenario(fleet):
        fleet.hosts.items[HOST] = limited(max_rate=60)
        fleet.submit(10)
        await fleet.run(8)

    loop = VirtualLoop()
    hosts = Contended(loop.time)
    loop.close()
    fleet = simulate(1, scenario, hosts=hosts)
    assert (fleet.delivered, fleet.paced) == (0, 10)


# One function


class OneFunction:
    """A transport and what it stands on, in virtual time."""

    def __init__(self, *states, hosts=None):
        self.loop = VirtualLoop()
        self.hosts = hosts or MemoryHosts(self.loop.time)
        self.hosts.items |= {state.name: state for state in states}
        self.host = FakeHost(self.loop.time)
        self.log = MemoryEventLog()
        self.reads = 0

        async def call(function, *args):
            self.reads += function.__name__ in {"get", "all"}
            return function(*args)

        self.transport = PacedTransport(
            self.host, self.hosts, self.log, clock=self.loop.time, draw=lambda: 0.5, new_token=lambda: "f1",
            in_thread=call,
        )  # fmt: skip

    def send(self, *hops, deadline_s=290.0):
        """Send one mail to each hop at once, and settle."""

        async def both():
            now = self.loop.time()
            answers = await asyncio.gather(*(self.transport.send(hop, transaction(), now + deadline_s) for hop in hops))
            await self.transport.settle()
            return [outcomes[0] for outcomes in answers]

        return self.loop.run_until_complete(both())


def test_host_known_dead_is_not_tried():
    """The last error is the text, and the attempt comes back after the probe."""
    function = OneFunction(dead())
    (outcome,) = function.send(HOP)
    assert (outcome.result, outcome.status, outcome.mx_host, outcome.code) == (Result.DEFERRED, "4.4.1", HOST, 0)
    assert "was not tried" in outcome.text
    assert outcome.text.endswith("Timed out")
    assert START + 30 <= outcome.not_before <= START + 90
    assert outcome.command != PACED
    assert not function.host.taken


def test_dead_host_is_left_out_where_another_lives():
    """The living one is asked at full speed."""
    hop = NextHop("example", (MxHost(HOST), MxHost("backup.example")))
    function = OneFunction(dead())
    (outcome,) = function.send(hop)
    assert outcome.mx_host == "backup.example"


def test_what_a_hop_asks_for_is_passed_on():
    """Whatever else a next hop says (TLS, its policy's domain) is the transport's to keep."""
    seen = []

    class Looks(FakeHost):
        async def send(self, hop, mail, deadline):
            seen.append(hop)
            return await super().send(hop, mail, deadline)

    backup = MxHost("backup.example")
    hop = NextHop("example", (MxHost(HOST), backup), tls="verify", policy_domain="example", secure=True)
    function = OneFunction(dead())
    function.transport._transport = Looks(function.loop.time)
    function.send(hop)
    assert seen == [replace(hop, hosts=(backup,))]


def test_one_of_a_batch_probes_a_dead_host_and_brings_it_back():
    """The others go to the second host, or come back."""
    function = OneFunction(dead(at=START - 60))
    outcomes = function.send(*[HOP] * 5)
    assert [outcome.result for outcome in outcomes].count(Result.DELIVERED) == 1
    assert function.hosts.items[HOST].phase == "slow"
    assert [fields["phase"] for event, fields in function.log.records if event == "HostState"] == ["slow"]


def test_slow_host_is_not_evaded_to_its_backup():
    """That would carry its load elsewhere."""
    hop = NextHop("example", (MxHost(HOST), MxHost("backup.example")))
    state = replace(limited(max_rate=1), turn=START + 600, last_text="421 slow down")
    (outcome,) = OneFunction(state).send(hop)
    assert (outcome.command, outcome.status, outcome.mx_host) == (PACED, "4.4.5", HOST)
    assert outcome.text.endswith("it said: 421 slow down")
    assert outcome.not_before > START


def test_limit_of_a_destination_binds_whatever_its_host_is():
    """An operator names the domain."""
    state = replace(limited(max_rate=60), name="example")
    function = OneFunction(state)
    outcomes = function.send(*[HOP] * 20)
    assert [outcome.result for outcome in outcomes].count(Result.DELIVERED) == 11
    assert "as the operator limits it" in outcomes[-1].text


def test_batch_shares_its_slots_and_gives_them_back():
    """Ten mails through two slots in two writes."""
    function = OneFunction(limited(max_slots=2))
    outcomes = function.send(*[HOP] * 10)
    assert {outcome.result for outcome in outcomes} == {Result.DELIVERED}
    assert function.host.most_open == 2
    assert function.hosts.writes == 2
    assert not function.hosts.items[HOST].leases


def test_slot_that_never_comes_is_not_waited_for():
    """A slow host does not hog the function."""
    function = OneFunction(limited(max_slots=1))
    function.host.takes_s = 100.0
    outcomes = function.send(HOP, HOP)
    assert sorted(outcome.command for outcome in outcomes) == ["DOT", PACED]
    # The lease was renewed meanwhile: two writes for the turn and its end, and one for each third of a lease.
    assert function.hosts.writes >= 2 + 100 // 20 - 1
    assert not function.hosts.items[HOST].leases


def test_turn_behind_the_deadline_is_left():
    """And what was granted comes back."""
    function = OneFunction(replace(limited(max_rate=15, max_slots=5), turn=START + 4))
    (outcome,) = function.send(HOP, deadline_s=3.0)
    assert outcome.command == PACED
    assert not function.hosts.items[HOST].leases


def test_states_are_read_once_a_minute():
    """Whatever is sent."""
    function = OneFunction()
    for _ in range(10):
        function.send(*[HOP] * 10)
    assert function.reads == 1
    function.loop.jump(60)
    function.send(*[HOP] * 10)
    assert function.reads == 2


def test_too_many_states_are_read_one_by_one(monkeypatch):
    """Once a minute for each host that is sent to."""
    monkeypatch.setattr("paravion.services.pacing.LISTED", 2)
    function = OneFunction(*(replace(dead(), name=name) for name in ("a", "b", HOST)))
    assert "was not tried" in function.send(HOP)[0].text
    assert function.reads == 3  # the list, the destination and the host
    function.send(HOP)
    assert function.reads == 3
    del function.hosts.items[HOST]
    function.loop.jump(60)
    assert function.send(HOP)[0].result is Result.DELIVERED


def test_address_that_answers_outweighs_one_that_does_not():
    """A host with one dead address is not dead."""

    class TwoAddresses(FakeHost):
        async def send(self, hop, transaction, deadline):
            away = Outcome(Result.DEFERRED, "4.4.1", text="No route", command="CONNECT", mx_host=HOST)
            taken = Outcome(Result.DELIVERED, "2.0.0", 250, "Ok", "DOT", HOST)
            for outcome in (away, taken):
                transaction.heard(outcome)
            return {0: taken}

    function = OneFunction()
    function.transport._transport = TwoAddresses(function.loop.time)
    function.send(HOP)
    assert function.hosts.writes == 0


def test_fault_behind_the_answers_is_logged_and_costs_nothing():
    """Our own bug loses a word about a host, no mail."""

    class Broken(MemoryHosts):
        def update(self, name, change):
            raise ValueError("bug")

    function = OneFunction(hosts=Broken(lambda: START))
    function.host.is_down = True
    assert function.send(HOP)[0].command == "CONNECT"
    assert [event for event, _ in function.log.records] == ["Fault"]


def test_fault_in_asking_reaches_the_job():
    """It is deferred as our own fault (services/deliver.py)."""

    class Broken(MemoryHosts):
        def update(self, name, change):
            raise ValueError("bug")

    function = OneFunction(limited(max_rate=60), hosts=Broken(lambda: START))
    with pytest.raises(ValueError, match="bug"):
        function.send(HOP)


def test_port_belongs_to_the_name():
    """A submission port is another service."""
    assert host_key(MxHost("MX.Example")) == HOST
    assert host_key(MxHost(HOST, 587)) == f"{HOST}:587"
    assert host_key(MxHost("2001:db8::1", 587)) == "[2001:db8::1]:587"


@pytest.mark.parametrize("port", [25, 587])
@pytest.mark.parametrize("name", ["mx.example", "192.0.2.1", "2001:db8::1"])
def test_host_that_is_not_tried_is_named(name, port):
    """Without its port; an address of version 6 as a whole."""
    host = MxHost(name, port)
    function = OneFunction(dead(host_key(host)))
    assert function.send(NextHop("example", (host,)))[0].mx_host == name


# The whole road


def _world(script, **fields):
    return World(script, plan=replace(World().for_retry.plan, jitter_ratio=0.0), **fields)


def test_complaint_holds_the_next_jobs_without_an_attempt():
    """They come back at their turns, and the schedule's long waits are the complained one's alone."""
    world = _world({"first@a.example": [SLOW_DOWN, OK]})
    world.submit("first@a.example")
    world.run(until=WORLD_START + 1)
    assert world.hosts.items["a.example"].phase == "paused"
    held = [world.submit(f"u{n}@a.example") for n in range(5)]
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    for receipt in held:
        (record,) = world.ledger.load_message(receipt.queue_id)
        assert (record.state, record.attempts, record.paced) == (State.READY, 1, 1)
        assert "waits for its turn" in record.recipients[0].outcome.text
        # mailq shows the turn, not the safety net behind it.
        assert comes_at(record) == record.recipients[0].outcome.not_before < record.due_at
    assert world.transport.calls == 1
    world.run()
    assert {len(world.accepted_by(f"u{n}@a.example")) for n in range(5)} == {1}
    assert world.now < WORLD_START + 3600
    assert world.kinds() == ["mail"] * 6


def test_held_job_is_warned_of_and_returned_in_time():
    """Waiting for a turn is waiting: the report tells why."""
    world = World(plan=replace(World().for_retry.plan, return_s=20_000))
    world.hosts.items["a.example"] = replace(
        pacing.limited(None, "a.example", max_rate=0.001, max_slots=0, now=WORLD_START),
        turn=WORLD_START + 10**7, last_text="421 4.7.0 slow down",
    )  # fmt: skip
    receipt = world.submit("u@a.example")
    world.run()
    assert world.states(receipt.queue_id) == {"u@a.example": "failed"}
    assert world.transport.calls == 2  # the warning and the return, to the sender
    reports = world.accepted_by("me@example.org")
    assert len(reports) == 2
    assert b"slow down" in reports[0].replace(b"=\r\n", b"")
    assert world.now == pytest.approx(WORLD_START + 20_000, abs=120)


def test_dead_host_keeps_the_schedule():
    """The waits grow as if it had been tried, and are never shorter than the probe's."""
    world = _world({"u@a.example": [AWAY, AWAY, AWAY, OK]})
    world.hosts.items["a.example"] = replace(dead("a.example", WORLD_START, 9), hold_until=WORLD_START + 800)
    receipt = world.submit("u@a.example")
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert (record.state, record.attempts, record.paced) == (State.DEFERRED, 1, 0)
    assert record.due_at == WORLD_START + 800 + 450
    assert world.transport.calls == 0


def test_hold_beside_a_real_deferral_waits_for_the_schedule():
    """Who was tried must not be hammered for the other's turn."""
    busy = Outcome(Result.DEFERRED, "4.2.0", 451, "busy", "RCPT", "b.example")
    world = _world({"v@b.example": [busy, busy, OK]})
    world.hosts.items["a.example"] = replace(
        pacing.limited(None, "a.example", max_rate=60, max_slots=0, now=WORLD_START), turn=WORLD_START + 20
    )
    receipt = world.submit("u@a.example", "v@b.example")
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    (record,) = world.ledger.load_message(receipt.queue_id)
    assert (record.state, record.paced, record.due_at) == (State.DEFERRED, 0, WORLD_START + 300)


def test_lost_delayed_item_is_found_by_the_sweep():
    """A crash between the ledger and the queue costs time, no mail."""
    world = _world({})
    world.hosts.items["a.example"] = replace(
        pacing.limited(None, "a.example", max_rate=60, max_slots=0, now=WORLD_START), turn=WORLD_START + 20
    )
    receipt = world.submit("u@a.example")
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.DELIVERY)
    world.invoke(QueueName.RETRY)
    assert [item.visible_at for item in world.queues.items[QueueName.DELIVERY]] == [WORLD_START + 20]
    world.queues.items[QueueName.DELIVERY].clear()
    world.run()
    assert world.states(receipt.queue_id) == {"u@a.example": "delivered"}


def _limited_journey(saboteur):
    world = _world({"first@a.example": [SLOW_DOWN, OK]}, saboteur=saboteur)
    ids = [world.submit_like_a_door("first@a.example", idempotency_key="k0")]
    world.run(until=WORLD_START + 1)
    ids += [world.submit_like_a_door(f"u{n}@a.example", idempotency_key=f"k{n}") for n in (1, 2)]
    world.run()
    for receipt in ids:
        assert set(world.states(receipt.queue_id).values()) == {"delivered"}
    return world


class HostsSaboteur(Saboteur):
    """Breaks the n-th call of the hosts' port; where it stands among all calls is the threads' affair."""

    def _breaks(self, name):
        self.calls.append(name)
        seen = sum(call.startswith("deliver:hosts") for call in self.calls)
        return name.startswith("deliver:hosts") and seen - 1 == self.at


@pytest.mark.parametrize("error", ["crash", "outage"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(11))
def test_crash_or_outage_while_pacing_loses_and_doubles_nothing(at, after, error):
    """Every call of the hosts' port."""
    fields = {} if error == "crash" else {"error": LedgerUnavailable}
    saboteur = HostsSaboteur(at=at, after=after, of_hosts=True, **fields)
    world = _limited_journey(saboteur)
    assert sum(call.startswith("deliver:hosts") for call in saboteur.calls) > at
    for path in ("first@a.example", "u1@a.example", "u2@a.example"):
        copies = len(world.accepted_by(path))
        # The word about a host is told behind the answer: a function that dies then has sent (RFC 1047).
        assert copies == 1 or (error == "crash" and copies == 2)


def test_settling_what_is_done_already_ends():
    """From 3.12 on, gathering finished tasks gives the loop no turn, and so none to what follows their end."""
    world = World()
    paced = world.new_transport()

    async def main():
        async def nothing():
            pass

        paced._go_on_behind(nothing())
        (task,) = paced._behind
        task.remove_done_callback(paced._ended)  # as if its turn had not come
        await asyncio.sleep(0)
        assert task.done()
        await asyncio.wait_for(paced.settle(), 5)
        assert not paced._behind

    asyncio.run(main())


def test_one_hanging_host_of_ten_keeps_nobody():
    """Nine are recorded as soon as they are done, the tenth is deferred within the limit."""
    world = World()
    recorded = []

    async def send(hop, mail, deadline):
        if hop.name == "d3.example":
            await asyncio.sleep(max(0.0, deadline - asyncio.get_running_loop().time()))
            recorded.append([r.state for r in world.ledger.records.values()].count(State.DONE))
            return dict.fromkeys(mail.recipients, AWAY)
        return dict.fromkeys(mail.recipients, OK)

    world.transport.send = send
    receipts = [world.submit(f"u@d{n}.example") for n in range(10)]
    items = world.queues.receive(QueueName.DELIVERY)
    from paravion.services.deliver import deliver

    failed = asyncio.run(deliver(items, world.for_deliver, 10.3))
    assert recorded == [9]
    assert len(failed) == 1
    assert world.states(receipts[3].queue_id) == {"u@d3.example": "deferred"}


def test_word_of_a_host_is_told_once_for_a_batch():
    """Ten complaints, one write."""
    function = OneFunction()

    class Complains(FakeHost):
        async def send(self, hop, mail, deadline):
            mail.heard(replace(SLOW_DOWN, mx_host=HOST))
            return {0: SLOW_DOWN}

    function.transport._transport = Complains(function.loop.time)
    function.send(*[HOP] * 10)
    assert function.hosts.writes == 1
    assert (
        pacing.heard(function.hosts.items[HOST], HOST, Word.TOO_FAST, "x", now=function.loop.time())
        is (function.hosts.items[HOST])
    )


def test_held_job_shows_when_it_is_returned():
    """An operator's hold is no turn: its due time is its own."""
    record = JobRecord(JobKey("q"), 1.0, State.HELD, due_at=77.0)
    assert comes_at(record) == 77.0


def test_fleet_is_made_with_its_own_host():
    """The support's defaults."""
    loop = VirtualLoop()
    assert Fleet(loop, 1).host.clock == loop.time
    loop.close()
