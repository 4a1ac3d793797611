"""
DANE from the DNS to the wire: a fake of a validating resolver for the table, and the real thing where it is.

The real thing: zones signed by dnspython, served by nsd, validated by unbound, all on loopback; skipped without them.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import dns.dnssec
import dns.dnssectypes
import dns.flags
import dns.message
import dns.rdatatype
import dns.zone
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paravion.adapters.dns_resolver import DnsResolver
from paravion.domain.outcome import Result
from paravion.domain.tls_facts import TlsFacts
from paravion.domain.tls_policy import NO_DANE
from paravion.domain.tlsa import Tlsa
from tests.integration.test_dns_resolver import SERVFAIL, SILENT, Stub
from tests.integration.test_smtp_client import mail
from tests.support.authority import Authority, der, server_context
from tests.support.foreign import ENVIRON, free_port, stop, wait_open
from tests.support.smtp_server import SmtpServer

D, OK = Result.DEFERRED, Result.DELIVERED
KEY = "3 1 1 " + "ab" * 32
RECORD = Tlsa(3, 1, 1, b"\xab" * 32)


class Validating(Stub):
    """A stub that sets AD for names that end in `secure.test`, if the query asks for it."""

    def datagram_received(self, data, addr):
        query = dns.message.from_wire(data)
        wants = bool(query.flags & dns.flags.AD) and bool(query.ednsflags & dns.flags.DO)
        inner, self.transport = self.transport, SimpleNamespace(sendto=self.hold)
        self.held = None
        try:
            super().datagram_received(data, addr)
        finally:
            self.transport = inner
        if self.held is None:
            return
        response = dns.message.from_wire(self.held)
        names = [query.question[0].name, *(rrset.name for rrset in response.answer)]
        if wants and all(name.to_text(omit_final_dot=True).lower().endswith("secure.test") for name in names):
            response.flags |= dns.flags.AD
        self.transport.sendto(response.to_wire(), addr)

    def hold(self, data, _):
        self.held = data


@asynccontextmanager
async def validating(table, **options):
    loop = asyncio.get_running_loop()
    transport, stub = await loop.create_datagram_endpoint(lambda: Validating(table), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        yield DnsResolver(["127.0.0.1"], port=port, **{"lifetime_s": 0.5, "validating": True, **options}), stub
    finally:
        transport.close()


def ask(table, host="mx.secure.test", domain="a.secure.test", **options):
    async def main():
        async with validating(table, **options) as (resolver, stub):
            return await resolver.tlsa(host, 25, domain), [name for name, kind in stub.asked if kind == "TLSA"]

    return asyncio.run(main())


MX, OTHER, OUT = "mx.secure.test", "other.secure.test", "host.plain.test"
ADDRESS = {(MX, "A"): ["192.0.2.1"]}


def at(base, *records):
    return {(f"_25._tcp.{base}", "TLSA"): list(records)}


# The DNS → base, records, failed or not.
LOOKUPS = {
    "found": ({**ADDRESS, **at(MX, KEY)}, (MX, 1, False)),
    "several": ({**ADDRESS, **at(MX, KEY, "2 0 1 " + "cd" * 32)}, (MX, 2, False)),
    "unusable ones too": ({**ADDRESS, **at(MX, "0 0 1 " + "cd" * 32)}, (MX, 1, False)),
    "none": (ADDRESS, ("", 0, False)),
    "empty": ({**ADDRESS, ("_25._tcp." + MX, "TXT"): ["x"]}, ("", 0, False)),
    "fails": ({**ADDRESS, ("_25._tcp." + MX, "TLSA"): SERVFAIL}, ("", 0, True)),
    "no answer": ({**ADDRESS, ("_25._tcp." + MX, "TLSA"): SILENT}, ("", 0, True)),
    "address fails": ({(MX, "A"): SERVFAIL, **at(MX, KEY)}, ("", 0, True)),
    "one family fails": ({**ADDRESS, (MX, "AAAA"): SERVFAIL, **at(MX, KEY)}, ("", 0, True)),
    "no address": (at(MX, KEY), ("", 0, False)),
    "alias, at its end": ({(MX, "A"): [f"CNAME {OTHER}."], (MX, "AAAA"): [f"CNAME {OTHER}."], (OTHER, "A"): ["192.0.2.1"], **at(OTHER, KEY)}, (OTHER, 1, False)),
    "alias, at its beginning": ({(MX, "A"): [f"CNAME {OTHER}."], (MX, "AAAA"): [f"CNAME {OTHER}."], (OTHER, "A"): ["192.0.2.1"], **at(MX, KEY)}, (MX, 1, False)),
    "alias, at both": ({(MX, "A"): [f"CNAME {OTHER}."], (MX, "AAAA"): [f"CNAME {OTHER}."], (OTHER, "A"): ["192.0.2.1"], **at(MX, KEY), **at(OTHER, KEY, KEY.replace("ab", "cd"))}, (OTHER, 2, False)),
    "alias out, signed itself": ({(MX, "A"): [f"CNAME {OUT}."], (MX, "AAAA"): [f"CNAME {OUT}."], (MX, "CNAME"): [f"{OUT}."], (OUT, "A"): ["192.0.2.1"], **at(MX, KEY), **at(OUT, KEY)}, (MX, 1, False)),
    "alias out, its look-up fails": ({(MX, "A"): [f"CNAME {OUT}."], (MX, "AAAA"): [f"CNAME {OUT}."], (MX, "CNAME"): SERVFAIL, (OUT, "A"): ["192.0.2.1"]}, ("", 0, True)),
}  # fmt: skip


@pytest.mark.parametrize(("table", "expected"), LOOKUPS.values(), ids=LOOKUPS)
def test_where_records_are_looked_for(table, expected):
    """RFC 7672 2.2.2: aliases to their end, then from their beginning; a failure is not an absence."""
    found, _ = ask(table)
    assert (found.base, len(found.records), bool(found.failed)) == expected
    if found.records:
        assert found.names[0] == found.base
        assert {MX, "a.secure.test"} <= set(found.names)


def test_fields_of_a_record():
    """Numbers and octets."""
    assert ask({**ADDRESS, **at(MX, KEY)})[0].records == (RECORD,)


def test_insecure_hosts_are_asked_for_nothing():
    """RFC 7672 2.2.2: whole zones answer TLSA queries with SERVFAIL, and are not ours to punish."""
    table = {(OUT, "A"): ["192.0.2.1"], ("_25._tcp." + OUT, "TLSA"): SERVFAIL}
    assert ask(table, OUT) == (NO_DANE, [])


def test_insecure_records_count_for_nothing():
    """A signed host whose records come from an unsigned place."""
    table = {**ADDRESS, ("_25._tcp." + MX, "TLSA"): [f"CNAME _dane.{OUT}."], ("_dane." + OUT, "TLSA"): [KEY]}
    assert ask(table)[0] == NO_DANE


def test_nobody_else_is_believed():
    """Without a resolver that the operator named as validating, AD means nothing and nothing is asked."""
    assert ask({**ADDRESS, **at(MX, KEY)}, validating=False) == (NO_DANE, [])
    assert DnsResolver(validating=True)._validating is False


@pytest.mark.parametrize(
    ("table", "secure"),
    [
        ({("a.secure.test", "MX"): ["10 mx.plain.test."]}, True),
        ({("a.secure.test", "A"): ["192.0.2.1"]}, True),
        ({("a.secure.test", "MX"): ["CNAME b.plain.test."], ("b.plain.test", "MX"): ["10 mx.secure.test."]}, False),
    ],
    ids=["mx", "implicit", "alias out"],
)
def test_list_of_hosts_must_be_secure_itself(table, secure):
    """RFC 7672 2.2.1: else whoever forges it chooses the host, and its records."""

    async def main(domain):
        async with validating(table) as (resolver, _):
            return await resolver.next_hop(domain)

    hop = asyncio.run(main("a.secure.test"))
    assert (hop.secure, hop.policy_domain) == (secure, "a.secure.test")


# The whole way, against unbound and nsd.

UNBOUND, NSD = (shutil.which(name, path=ENVIRON["PATH"]) for name in ("unbound", "nsd"))
needs_servers = pytest.mark.skipif(
    not (UNBOUND and NSD), reason="no unbound and nsd here (.ci/foreign-servers, or apt-get install unbound nsd)"
)

HEAD = "$TTL 300\n@ SOA ns. root. 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n"


def signed(text, origin):
    """Sign a zone; gives its text and the DNSKEY record for whoever is to trust it."""
    zone = dns.zone.from_text(text, origin, relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    with zone.writer() as transaction:
        dns.dnssec.sign_zone(zone, transaction, keys=[(private, key)], lifetime=86_400, dnskey_ttl=300)
    return zone.to_text(relativize=False), f"{origin} DNSKEY {key.to_text()}"


@contextmanager
def running(*command, port):
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRON)

        def said():
            log.seek(0)
            return log.read().decode()

        try:
            wait_open(port, said)
            yield
        finally:
            stop(process)


@pytest.fixture(scope="module")
def pki():
    root = Authority("root")
    middle = root.authority("middle")
    leaf = middle.issue("mx.signed.test", "tb.signed.test")
    return SimpleNamespace(
        middle=middle.certificate, leaf=leaf, context=server_context(leaf, middle.certificate), root=root.certificate
    )


def key_digest(certificate):
    octets = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(octets).hexdigest()


ZONES = ("signed.test.", "bogus.test.", "plain.test.")


@pytest.fixture(scope="module")
def resolver_port(tmp_path_factory, pki, smtp_port):
    """An unbound that trusts one zone, mistrusts another and knows a third as unsigned; all served by nsd."""
    folder = tmp_path_factory.mktemp("dns")
    ee, ta = key_digest(pki.leaf), hashlib.sha256(der(pki.middle)).hexdigest()

    def host(name, *records):
        lines = [f"{name} A 127.0.0.1", f"{name}-domain MX 10 {name}"]
        return "\n".join(lines + [f"_{smtp_port}._tcp.{name} TLSA {record}" for record in records]) + "\n"

    text = HEAD + "".join([
        "@ MX 10 mx\n", host("mx", f"3 1 1 {ee}"), host("ta", f"2 0 1 {ta}"), host("tb", f"2 0 1 {ta}"), host("wrong", f"3 1 1 {'00' * 32}"),
        host("unusable", f"1 1 1 {ee}"), host("none"), host("both", f"3 1 1 {'00' * 32}", f"3 1 1 {ee}"),
        "alias CNAME mx\nalias-domain MX 10 alias\n", "out CNAME host.plain.test.\nout-domain MX 10 out\n",
        f"_{smtp_port}._tcp.out TLSA 3 1 1 {ee}\n", "elsewhere-domain MX 10 mx.plain.test.\n",
        "rotten-domain MX 10 mx.bogus.test.\n",
    ])  # fmt: skip
    plain = HEAD + f"@ MX 10 mx\nmx A 127.0.0.1\nhost A 127.0.0.1\n_{smtp_port}._tcp.mx TLSA 3 1 1 {'00' * 32}\n"
    anchors = []
    for origin, unsigned in zip(ZONES, (text, plain, plain), strict=True):
        zone_text = unsigned
        if origin != "plain.test.":
            zone_text, anchor = signed(unsigned, origin)
            _, other = signed(HEAD, origin)
            anchors.append(anchor if origin == "signed.test." else other)
        (folder / f"{origin}zone").write_text(zone_text)
    nsd_port, unbound_port = free_port(), free_port()
    zones = "".join(f'zone:\n  name: "{origin}"\n  zonefile: "{folder}/{origin}zone"\n' for origin in ZONES)
    (folder / "nsd.conf").write_text(
        f'server:\n  ip-address: 127.0.0.1@{nsd_port}\n  username: ""\n  zonesdir: "{folder}"\n  database: ""\n'
        f'  zonelistfile: "{folder}/zone.list"\n  xfrdfile: "{folder}/xfrd.state"\n  pidfile: "{folder}/nsd.pid"\n'
        f"remote-control:\n  control-enable: no\n{zones}"
    )
    stubs = "".join(f'stub-zone:\n  name: "{origin}"\n  stub-addr: 127.0.0.1@{nsd_port}\n' for origin in ZONES)
    trusted = "".join(f'  trust-anchor: "{anchor}"\n' for anchor in anchors)
    (folder / "unbound.conf").write_text(
        f'server:\n  interface: 127.0.0.1@{unbound_port}\n  username: ""\n  chroot: ""\n  directory: "{folder}"\n'
        f'  pidfile: "{folder}/unbound.pid"\n  do-daemonize: no\n  use-syslog: no\n  logfile: ""\n  do-ip6: no\n'
        f'  do-not-query-localhost: no\n  local-zone: "test." nodefault\n  module-config: "validator iterator"\n{trusted}'
        f"remote-control:\n  control-enable: no\n{stubs}"
    )
    with (
        running(NSD, "-d", "-c", str(folder / "nsd.conf"), port=nsd_port),
        running(UNBOUND, "-d", "-c", str(folder / "unbound.conf"), port=unbound_port),
    ):
        yield unbound_port


@pytest.fixture(scope="module")
def smtp_port():
    return free_port()


# Domain, TLS at the host → result, status, policy, TLS or not, verified, RFC 8460's result.
WAYS = {
    "ee": ("mx-domain", True, (OK, "2.0.0", "tlsa", True, True, "")),
    "the zone's own mx": ("", True, (OK, "2.0.0", "tlsa", True, True, "")),
    "ta": ("tb-domain", True, (OK, "2.0.0", "tlsa", True, True, "")),
    "ta, another name": ("ta-domain", True, (D, "4.7.5", "tlsa", False, False, "certificate-host-mismatch")),
    "wrong": ("wrong-domain", True, (D, "4.7.5", "tlsa", False, False, "certificate-not-trusted")),
    "one of two": ("both-domain", True, (OK, "2.0.0", "tlsa", True, True, "")),
    "unusable": ("unusable-domain", True, (OK, "2.0.0", "tlsa", True, False, "tlsa-invalid")),
    "unusable, stripped": ("unusable-domain", False, (D, "4.7.4", "tlsa", False, False, "tlsa-invalid")),
    "stripped": ("mx-domain", False, (D, "4.7.4", "tlsa", False, False, "starttls-not-supported")),
    "no records": ("none-domain", True, (OK, "2.0.0", "no-policy-found", True, False, "")),
    "no records, stripped": ("none-domain", False, (OK, "2.0.0", "no-policy-found", False, False, "starttls-not-supported")),
    "alias": ("alias-domain", True, (OK, "2.0.0", "tlsa", True, True, "")),
    "alias out of the signed zone": ("out-domain", True, (OK, "2.0.0", "tlsa", True, True, "")),
    "host in an unsigned zone": ("elsewhere-domain", True, (OK, "2.0.0", "no-policy-found", True, False, "")),
    "host in a bogus zone": ("rotten-domain", True, (D, "4.4.3", "tlsa", False, False, "dnssec-invalid")),
}  # fmt: skip


def through(resolver_port, smtp_port, domain, context, made=None):
    """Look a domain up and send one mail to its host."""
    from dataclasses import replace

    from paravion.adapters.smtp_client import SmtpTransport

    async def main():
        resolver = DnsResolver(["127.0.0.1"], port=resolver_port, validating=True)
        async with SmtpServer(tls=context, port=smtp_port) as server:
            hop = await resolver.next_hop(domain)
            # Port and private address are the test's; everything else is what a domain publishes.
            hosts = tuple(replace(host, port=smtp_port, allow_private=True) for host in hop.hosts)
            client = SmtpTransport("us.test", resolver)
            try:
                deadline = asyncio.get_running_loop().time() + 10
                outcomes = await client.send(replace(hop, hosts=hosts), mail(), deadline)
            finally:
                await client.close()
            return outcomes[0], server

    return asyncio.run(main())


@needs_servers
@pytest.mark.parametrize(("name", "has_tls", "expected"), WAYS.values(), ids=WAYS)
def test_from_signed_zone_to_delivery(name, has_tls, expected, resolver_port, smtp_port, pki):
    """Zones signed here, served by nsd, validated by unbound; what the host gets is what RFC 7672 says."""
    domain = f"{name}.signed.test".lstrip(".")
    outcome, server = through(resolver_port, smtp_port, domain, pki.context if has_tls else None)
    facts = outcome.tls_facts
    told = outcome.result, outcome.status, facts.policy, bool(facts.version), facts.verified, facts.result
    assert told == expected, outcome
    assert bool(server.messages) == (outcome.result == OK)


@needs_servers
def test_unsigned_domain_is_as_ever(resolver_port, smtp_port, pki):
    """Its TLSA record, which nobody vouches for, is not even asked for."""
    outcome, _ = through(resolver_port, smtp_port, "plain.test", pki.context)
    assert outcome.result == OK
    assert outcome.tls_facts == TlsFacts("no-policy-found", outcome.tls, outcome.tls_facts.cipher)


@needs_servers
def test_bogus_domain_waits(resolver_port):
    """The validating resolver says SERVFAIL, and so the mail is deferred."""
    outcome = asyncio.run(DnsResolver(["127.0.0.1"], port=resolver_port, validating=True).next_hop("bogus.test"))
    assert (outcome.result, outcome.status) == (D, "4.4.3")


@needs_servers
def test_no_such_domain_is_still_permanent(resolver_port):
    """A secure NXDOMAIN."""
    outcome = asyncio.run(DnsResolver(["127.0.0.1"], port=resolver_port, validating=True).next_hop("x.signed.test"))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.1.2")
