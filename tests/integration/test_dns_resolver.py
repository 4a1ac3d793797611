"""The resolver against a name server stub on loopback (UDP)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from paravion.adapters.dns_resolver import DnsResolver
from paravion.domain.outcome import Outcome, Result

SOA = "ns.test. root.test. 1 2 3 4 60"
SILENT, SERVFAIL, NXDOMAIN = "silent", "servfail", "nxdomain"


class Stub(asyncio.DatagramProtocol):
    """
    Answers from a table: (name, type) to records, or SILENT or SERVFAIL; by name alone: NXDOMAIN or for every type.

    A name that the table knows in another type has no data.
    """

    def __init__(self, table, ttl=30):
        self.table, self.ttl = table, ttl
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name.to_text(omit_final_dot=True).lower(), query.question[0].rdtype.name
        self.asked.append((name, kind))
        answer = self.answer(name, kind)
        if answer == SILENT:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if answer == SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif answer == NXDOMAIN:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif answer:
            while alias := [r for r in answer if r.startswith("CNAME ")]:
                target = alias[0].removeprefix("CNAME ")
                response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", target))
                name = target.rstrip(".")
                answer = self.answer(name, kind)
            if answer:
                response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *answer))
        if not response.answer:
            response.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", SOA))
        self.transport.sendto(response.to_wire(), addr)

    def answer(self, name, kind):
        if (name, kind) in self.table:
            return self.table[name, kind]
        if name in self.table:
            return self.table[name]
        return [] if any(key[0] == name for key in self.table if isinstance(key, tuple)) else NXDOMAIN


@asynccontextmanager
async def resolver(table, ttl=30, **options):
    """A resolver that asks a stub with this table."""
    loop = asyncio.get_running_loop()
    transport, stub = await loop.create_datagram_endpoint(lambda: Stub(table, ttl), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        yield DnsResolver(["127.0.0.1"], port=port, **{"lifetime_s": 0.5, **options}), stub
    finally:
        transport.close()


def ask(table, domain, **options):
    """Ask for a next hop once."""

    async def main():
        async with resolver(table, **options) as (made, _):
            return await made.next_hop(domain)

    return asyncio.run(main())


def names(hop):
    """Names of a hop's hosts, in order."""
    return [host.name for host in hop.hosts]


def test_mx_are_ordered_by_preference():
    """Lower preference first (RFC 5321 5.1); names in lower case, addresses left for later."""
    hop = ask({("x.test", "MX"): ["20 b.test.", "10 A.test.", "30 c.test."]}, "X.test")
    assert (hop.name, names(hop)) == ("x.test", ["a.test", "b.test", "c.test"])
    assert {()} == {host.addresses for host in hop.hosts}
    assert {(25, False)} == {(host.port, host.allow_private) for host in hop.hosts}


def test_equal_preferences_are_shuffled():
    """Equal preferences are randomised to spread load, at each asking (RFC 5321 5.1)."""
    draws = iter([0.9, 0.1, 0.5, 0.1, 0.9, 0.5])

    async def main():
        table = {("x.test", "MX"): ["10 a.test.", "10 b.test.", "5 c.test."]}
        async with resolver(table, draw=lambda: next(draws)) as (made, stub):
            first = names(await made.next_hop("x.test"))
            second = names(await made.next_hop("x.test"))
            return first, second, stub.asked

    first, second, asked = asyncio.run(main())
    assert "c.test" == first[0] == second[0]
    assert first != second
    assert asked == [("x.test", "MX")]


def test_no_mx_means_the_domain_itself():
    """Implicit MX (RFC 5321 5.1), IPv4 and IPv6 alternating."""
    table = {("x.test", "A"): ["192.0.2.1", "192.0.2.2"], ("x.test", "AAAA"): ["2001:db8::1"]}
    hop = ask(table, "x.test")
    assert names(hop) == ["x.test"]
    assert {"192.0.2.1", "192.0.2.2", "2001:db8::1"} == set(hop.hosts[0].addresses)
    assert hop.hosts[0].addresses[1] == "2001:db8::1"


def test_alias_is_followed():
    """A CNAME leads on, for MX and for addresses (RFC 5321 5.1)."""
    table = {("x.test", "MX"): ["CNAME y.test."], ("y.test", "MX"): ["10 a.test."]}
    assert names(ask(table, "x.test")) == ["a.test"]


OUTCOMES = {
    "null_mx": ({("x.test", "MX"): ["0 ."]}, Result.FAILED, "5.1.10"),
    "nxdomain": ({}, Result.FAILED, "5.1.2"),
    "no_data": ({("x.test", "TXT"): ['"x"']}, Result.FAILED, "5.1.2"),
    "mx_servfail": ({("x.test", "MX"): SERVFAIL, ("x.test", "A"): ["192.0.2.1"]}, Result.DEFERRED, "4.4.3"),
    "mx_silent": ({("x.test", "MX"): SILENT}, Result.DEFERRED, "4.4.3"),
    "address_servfail": ({("x.test", "MX"): [], ("x.test", "A"): SERVFAIL}, Result.DEFERRED, "4.4.3"),
    "address_half_silent": ({("x.test", "A"): [], ("x.test", "AAAA"): SILENT}, Result.DEFERRED, "4.4.3"),
    "impossible_label": ({}, Result.FAILED, "5.1.2"),
    "bad_literal": ({}, Result.FAILED, "5.1.2"),
}
DOMAINS = {"impossible_label": "a" * 64 + ".test", "bad_literal": "[IPv6:zz]"}


@pytest.mark.parametrize("key", OUTCOMES)
def test_domain_without_hosts_has_an_outcome(key):
    """What is not there fails; what is not known defers (RFC 5321 5.1, 7505 4.1)."""
    table, result, status = OUTCOMES[key]
    outcome = ask(table, DOMAINS.get(key, "x.test"))
    assert (result, status, 0, "DNS") == (outcome.result, outcome.status, outcome.code, outcome.command)
    assert outcome.text


def test_one_family_that_answers_is_enough():
    """An AAAA look-up that fails does not stand in the way of an A record."""
    hop = ask({("x.test", "MX"): [], ("x.test", "A"): ["192.0.2.1"], ("x.test", "AAAA"): SERVFAIL}, "x.test")
    assert hop.hosts[0].addresses == ("192.0.2.1",)


def test_null_mx_beside_others_is_ignored():
    """RFC 7505 3: a null MX must stand alone; beside real hosts it says nothing."""
    assert names(ask({("x.test", "MX"): ["0 .", "10 a.test."]}, "x.test")) == ["a.test"]


@pytest.mark.parametrize(
    ("domain", "address"), [("[192.0.2.7]", "192.0.2.7"), ("[IPv6:2001:db8::7]", "2001:db8::7")], ids=["4", "6"]
)
def test_literal_is_its_own_address(domain, address):
    """RFC 5321 4.1.3: an address literal needs no look-up."""
    hop = ask({}, domain)
    assert (address, (address,)) == (hop.hosts[0].name, hop.hosts[0].addresses)


def test_answers_are_cached_for_their_ttl():
    """Positive and negative answers live as long as their TTL says, within our limits (RFC 2308)."""
    now = [1000.0]

    async def main():
        table = {("x.test", "MX"): ["10 a.test."]}
        async with resolver(table, ttl=100, clock=lambda: now[0]) as (made, stub):
            counts = []
            for at in (1000, 1099, 1101):
                now[0] = at
                await made.next_hop("x.test")
                await made.next_hop("none.test")
                counts.append(len(stub.asked))
            return counts

    # x.test is asked for at 1000 and 1101; none.test at 1000 and, as the SOA names a minimum of 60 s, at 1099.
    assert asyncio.run(main()) == [2, 3, 4]


def test_cache_is_bounded():
    """No stream of names makes the cache grow without end."""

    async def main():
        async with resolver({}, cache_size=10) as (made, _):
            for n in range(30):
                await made.next_hop(f"n{n}.test")
            return len(made._cache)

    assert asyncio.run(main()) == 10


def test_simultaneous_askers_share_a_look_up():
    """A batch to one domain asks once; one asker that gives up leaves the others their answer."""

    async def main():
        async with resolver({("x.test", "MX"): ["10 a.test."]}) as (made, stub):
            tasks = [asyncio.ensure_future(made.next_hop("x.test")) for _ in range(10)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            return stub.asked, [names(hop) for hop in done[1:]]

    asked, hops = asyncio.run(main())
    assert asked == [("x.test", "MX")]
    assert hops == [["a.test"]] * 9


def test_addresses_of_a_host():
    """Both families, or the outcome; an address is its own."""

    async def main():
        async with resolver({("a.test", "AAAA"): ["2001:db8::1"], ("a.test", "A"): ["192.0.2.1"]}) as (made, _):
            return [await made.addresses(host) for host in ("a.test", "none.test", "192.0.2.9", "localhost")]

    both, none, itself, local = asyncio.run(main())
    assert both == ("192.0.2.1", "2001:db8::1")
    assert isinstance(none, Outcome)
    assert itself == ("192.0.2.9",)
    assert "127.0.0.1" in local


def test_txt_strings_are_joined():
    """The strings of one record are one text; nothing and no answer are both []."""

    async def main():
        async with resolver({("k.test", "TXT"): ['"v=DKIM1; " "p=abc"'], ("s.test", "TXT"): SERVFAIL}) as (made, _):
            return [await made.txt(name) for name in ("k.test", "s.test", "none.test")]

    assert asyncio.run(main()) == [["v=DKIM1; p=abc"], [], []]


def test_dnspython_is_not_imported_before_the_first_look_up():
    """A function that relays to a smarthost does not pay for dnspython's import."""
    code = "import sys, paravion.adapters.dns_resolver as m; m.DnsResolver(); sys.exit('dns' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
