"""What is known of a domain's MTA-STS policy, what that costs, and what becomes of it when something is away."""

from __future__ import annotations

import asyncio

import pytest

from paravion.adapters.memory import MemoryEventLog, MemoryPolicyHost, MemoryResolver, MemoryTlsPolicies
from paravion.domain.mta_sts import KeptPolicy, StsFault, StsMode, StsPolicy
from paravion.domain.outcome import Result
from paravion.domain.tls_policy import NO_STS
from paravion.errors import LedgerUnavailable
from paravion.services.mta_sts import NOTHING_S, PAUSE_S, StsFinder
from tests.support.world import START, World

FILE = b"version: STSv1\nmode: enforce\nmx: mx.a.example\nmax_age: 604800\n"
NEWER = FILE.replace(b"mx.a.example", b"mx2.a.example")
RECORD = "_mta-sts.a.example"
DAY = 86_400.0
AWAY = StsFault("sts-webpki-invalid", "expired")


class Counted:
    """A store that counts its calls, and is away when told."""

    def __init__(self, clock):
        self.inner = MemoryTlsPolicies(clock)
        self.gets = self.puts = 0
        self.away = False

    def get(self, domain):
        self.gets += 1
        if self.away:
            raise LedgerUnavailable("away")
        return self.inner.get(domain)

    def put(self, domain, policy):
        self.puts += 1
        if self.away:
            raise LedgerUnavailable("away")
        self.inner.put(domain, policy)


class Case:
    """One function, its domain's DNS and policy host, and a store that outlives it."""

    def __init__(self, record="v=STSv1; id=1", file=FILE):
        self.now = START
        self.resolver = MemoryResolver()
        self.host = MemoryPolicyHost({"a.example": file} if file else {})
        self.store = Counted(lambda: self.now)
        self.event_log = MemoryEventLog()
        self.publish(record)
        self.restart()

    def publish(self, record):
        self.resolver.strings[RECORD] = [record] if record else []

    def restart(self):
        """A cold start: what was only remembered is gone."""
        self.finder = StsFinder(self.resolver, self.host, self.store, self.event_log, lambda: self.now)

    def find(self, domain="a.example"):
        return asyncio.run(self.finder.find(domain))

    @property
    def cost(self):
        return len(self.host.asked), self.store.gets, self.store.puts


def test_a_policy_is_fetched_once_and_kept():
    """By this function and by the next one; the steady state costs nothing but a cached TXT look-up."""
    case = Case()
    for _ in range(3):
        finding = case.find()
        assert (finding.policy.mode, finding.policy.mx, finding.fault) == (StsMode.ENFORCE, ("mx.a.example",), "")
    assert case.cost == (1, 1, 1)
    case.restart()
    assert case.find() == finding
    assert case.cost == (1, 2, 1)


def test_domains_without_a_record_cost_one_read_an_hour():
    """And no fetch; a hop without a policy domain costs nothing at all."""
    case = Case(record=None)
    assert [case.find() for _ in range(5)] == [NO_STS] * 5
    assert case.cost == (0, 1, 0)
    case.now += NOTHING_S
    case.find()
    assert case.cost == (0, 2, 0)
    assert case.find("") is NO_STS


def test_jobs_of_one_domain_share_a_fetch():
    """Ten at once."""
    case = Case()

    async def main():
        return await asyncio.gather(*(case.finder.find("a.example") for _ in range(10)))

    assert len({finding.policy for finding in asyncio.run(main())}) == 1
    assert case.cost == (1, 1, 1)


def test_a_new_id_is_a_new_policy():
    """At once (RFC 8461 3.1)."""
    case = Case()
    case.find()
    case.host.files["a.example"] = NEWER
    assert case.find().policy.mx == ("mx.a.example",)
    case.publish("v=STSv1; id=2")
    assert case.find().policy.mx == ("mx2.a.example",)


def test_another_functions_fetch_is_enough():
    """The store is asked before the host."""
    case = Case()
    case.find()
    case.publish("v=STSv1; id=2")
    policy = StsPolicy(StsMode.TESTING, ("x.example",), 604_800)
    case.store.inner.put("a.example", KeptPolicy("2", policy, case.now + 1))
    case.now += 2
    assert case.find().policy == policy
    assert case.cost == (1, 2, 1)


def test_a_policy_in_use_is_refreshed_before_it_expires():
    """Daily; one whose host is away holds until its end, and the host is left alone for five minutes."""
    case = Case()
    first = case.find()
    case.now += DAY - 1
    case.find()
    assert len(case.host.asked) == 1
    case.now += 1
    case.find()
    assert len(case.host.asked) == 2
    fetched_at = case.now
    case.host.files["a.example"] = AWAY
    case.now += DAY
    for _ in range(3):
        assert case.find() == first
    assert len(case.host.asked) == 3
    case.now += PAUSE_S
    case.find()
    assert len(case.host.asked) == 4
    case.now = fetched_at + 604_800
    finding = case.find()
    assert (finding.policy, finding.fault) == (None, "sts-webpki-invalid")


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_record_that_vanished_frees_nobody(cold):
    """Whoever can forge the DNS could hide it; the kept policy holds until it expires (RFC 8461 10.2)."""
    case = Case()
    first = case.find()
    case.publish(None)
    if cold:
        case.restart()
    assert case.find() == first
    assert len(case.host.asked) == 1
    case.now += 604_800
    assert case.find() == NO_STS


NO_POLICY = {
    "away": (AWAY, "sts-webpki-invalid"),
    "no file": (None, "sts-policy-fetch-error"),
    "invalid": (b"<html>", "sts-policy-invalid"),
}


@pytest.mark.parametrize(("file", "fault"), NO_POLICY.values(), ids=NO_POLICY)
def test_what_cannot_be_had_is_no_policy(file, fault):
    """Mail goes without it, and why is noted; asked again after five minutes, or for another id."""
    case = Case(file=file)
    for _ in range(2):
        finding = case.find()
        assert (finding.policy, finding.fault) == (None, fault)
    assert len(case.host.asked) == 1
    case.publish("v=STSv1; id=2")
    case.find()
    assert len(case.host.asked) == 2
    case.now += PAUSE_S
    case.find()
    assert len(case.host.asked) == 3


def test_an_invalid_policy_does_not_replace_a_good_one():
    """RFC 8461 3.3: what is kept holds."""
    case = Case()
    first = case.find()
    case.host.files["a.example"] = b"<html>"
    case.publish("v=STSv1; id=2")
    assert case.find() == first


def test_a_store_that_is_away_stops_nothing():
    """The policy is fetched, holds here, and the failures are logged."""
    case = Case()
    case.store.away = True
    assert case.find().policy.mx == ("mx.a.example",)
    assert [event for event, _ in case.event_log.records] == ["Fault", "Fault"]
    assert case.find().policy.mx == ("mx.a.example",)
    assert len(case.host.asked) == 1


def test_memory_is_bounded(monkeypatch):
    """The oldest is forgotten."""
    monkeypatch.setattr("paravion.services.mta_sts._MOST_DOMAINS", 2)
    case = Case(record=None)
    for domain in ("a.example", "b.example", "c.example"):
        case.find(domain)
    assert case.cost == (0, 3, 0)
    case.find("c.example")
    case.find("a.example")
    assert case.cost == (0, 4, 0)


def test_deliver_hands_the_policy_to_the_transport():
    """For a hop with a policy domain; asked for once for a batch."""
    from dataclasses import replace

    from paravion.domain.next_hop import MxHost, NextHop

    case = Case()
    world = World(hops={
        "a.example": NextHop("a.example", (MxHost("mx.a.example"),), policy_domain="a.example"),
        "b.example": NextHop("b.example", (MxHost("mx.b.example"),)),
    })  # fmt: skip
    world.for_deliver = replace(world.for_deliver, mta_sts=case.finder)
    seen = {}
    original = world.transport.send

    async def send(hop, transaction, deadline):
        seen[hop.name] = (hop.sts.policy.mx if hop.sts.policy else (), transaction.tls_required)
        return await original(hop, transaction, deadline)

    world.transport.send = send
    receipt = world.submit("x@a.example", "y@b.example", tls_required=True)
    world.run()
    assert seen == {"a.example": (("mx.a.example",), True), "b.example": ((), True)}
    assert set(world.states(receipt.queue_id).values()) == {Result.DELIVERED}
