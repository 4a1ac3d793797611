"""The SMTP transport under each TLS policy, against servers whose TLS is good, bad or missing; the suite's own CA."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from paravion.domain.mta_sts import StsMode, StsPolicy
from paravion.domain.next_hop import MxHost, NextHop
from paravion.domain.outcome import Result
from paravion.domain.tls_facts import TlsFacts
from paravion.domain.tls_policy import StsFinding, TlsMode
from tests.integration.test_smtp_client import mail, transport
from tests.support.authority import Authority, self_signed, server_context
from tests.support.smtp_server import DROP, EXTENSIONS, SmtpServer

D, OK = Result.DEFERRED, Result.DELIVERED
NAME = "mx.mail.test"
INSISTENT = replace(mail(), tls_required=True, requiretls=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A root that is trusted, and servers of every kind."""
    root, stranger = Authority("root"), Authority("stranger")
    middle = root.authority("middle")
    return SimpleNamespace(
        file=root.trusted(tmp_path_factory.mktemp("ca")),
        good=server_context(root.issue(NAME)),
        wildcard=server_context(root.issue("*.mail.test")),
        chain=server_context(middle.issue(NAME), *middle.above),
        incomplete=server_context(middle.issue(NAME)),
        expired=server_context(root.issue(NAME, expired=True)),
        wrong_name=server_context(root.issue("other.test")),
        only_common=server_context(root.issue(common=NAME)),
        self_signed=server_context(self_signed(NAME)),
        stranger=server_context(stranger.issue(NAME)),
    )


def hop(*servers, **fields):
    """All servers as hosts of one hop; the first is named as the certificates are."""
    names = [NAME, *(f"mx{n}.mail.test" for n in range(2, 9))]
    hosts = (MxHost(n, s.port, ("127.0.0.1",), allow_private=True) for n, s in zip(names, servers, strict=False))
    return NextHop("a.test", tuple(hosts), policy_domain="a.test", **fields)


def sts(mode, *mx):
    return StsFinding(StsPolicy(StsMode(mode), mx or (NAME,), 86_400))


async def _send(servers, pki, transaction, options, fields):
    async with transport(ca_file=pki.file, **options) as client:
        for server in servers:
            await server.__aenter__()
        try:
            deadline = asyncio.get_running_loop().time() + 5
            return (await client.send(hop(*servers, **fields), transaction, deadline))[0]
        finally:
            for server in servers:
                await server.__aexit__(None, None, None)


def send(*servers, pki, transaction=None, options=None, **fields):
    """Send one mail, and give its outcome."""
    return asyncio.run(_send(servers, pki, transaction or mail(), options or {}, fields))


# What a server does → its context's name or None, its script.
SERVERS = {
    "good": ("good", {}),
    "wildcard": ("wildcard", {}),
    "chain": ("chain", {}),
    "incomplete chain": ("incomplete", {}),
    "expired": ("expired", {}),
    "wrong name": ("wrong_name", {}),
    "common name only": ("only_common", {}),
    "self-signed": ("self_signed", {}),
    "untrusted": ("stranger", {}),
    "stripped": (None, {}),
    "refused": ("good", {"STARTTLS": "454 4.7.0 not now"}),
    "refused for good": ("good", {"STARTTLS": "502 5.5.1 what"}),
    "closes at STARTTLS": ("good", {"STARTTLS": ("421 4.7.0 bye", DROP)}),
    "drops at STARTTLS": ("good", {"STARTTLS": DROP}),
    "broken handshake": ("good", {"TLS": b"\x16\x03\x01garbage not tls\r\n"}),
    "drops in handshake": ("good", {"TLS": DROP}),
}
GOOD = {"good", "wildcard", "chain"}
BAD_CERTIFICATE = {
    "incomplete chain": "certificate-not-trusted",
    "expired": "certificate-expired",
    "wrong name": "certificate-host-mismatch",
    "common name only": "certificate-host-mismatch",
    "self-signed": "certificate-not-trusted",
    "untrusted": "certificate-not-trusted",
}
NOT_OFFERED = {"stripped", "refused", "refused for good"}
BROKEN = {"drops at STARTTLS", "broken handshake", "drops in handshake"}


def server_of(key, pki):
    context, script = SERVERS[key]
    return SmtpServer(tls=context and getattr(pki, context), script=dict(script))


def expected_of(key, mode, *, fallback):  # noqa: PLR0911
    """Result, status, TLS in use or not, verified, RFC 8460's result: the table of domain/tls_policy.py."""
    if key == "closes at STARTTLS":
        return (OK, "2.0.0", False, False, "") if mode == "none" else (D, "4.7.0", False, False, "")
    if mode == "none":
        return OK, "2.0.0", False, False, ""
    if key in NOT_OFFERED:
        row = (OK, "2.0.0") if mode == "may" else (D, "4.7.4")
        return *row, False, False, "starttls-not-supported"
    if key in BROKEN:
        if mode == "may" and fallback:
            return OK, "2.0.0", False, False, "validation-failure"
        # A host that drops the connection in answer to STARTTLS said nothing of TLS.
        lost = key == "drops at STARTTLS"
        return D, "4.4.2" if lost else "4.7.0", False, False, "" if lost else "validation-failure"
    if mode == "verify" and key in BAD_CERTIFICATE:
        return D, "4.7.5", False, False, BAD_CERTIFICATE[key]
    return OK, "2.0.0", True, mode == "verify", ""


@pytest.mark.parametrize("mode", ["none", "may", "may without fallback", "encrypt", "verify"])
@pytest.mark.parametrize("key", SERVERS)
def test_every_mode_against_every_server(key, mode, pki):
    """What docs/tls.md promises, for each of them; nothing that must not travels in clear."""
    fallback = mode != "may without fallback"
    mode = mode.partition(" ")[0]
    server = server_of(key, pki)
    outcome = send(server, pki=pki, options={"tls": TlsMode(mode), "tls_fallback": fallback})
    facts = outcome.tls_facts
    told = outcome.result, outcome.status, bool(facts.version), facts.verified, facts.result
    assert told == expected_of(key, mode, fallback=fallback), outcome
    assert (facts.policy, outcome.tls) == ("no-policy-found", facts.version)
    assert bool(facts.cipher) == bool(facts.version)
    assert (outcome.mx_host, outcome.address) == (NAME, "127.0.0.1")
    if mode in {"encrypt", "verify"}:
        assert not [command for command in server.commands if command.startswith("MAIL")] or server.messages[0].tls


def test_route_and_message_ask_for_more(pki):
    """The route's mode comes before the setting's; a message that requires TLS never travels in clear."""
    clear = SmtpServer

    def tls():
        return SmtpServer(tls=pki.self_signed)

    required = replace(mail(), tls_required=True)
    assert send(clear(), pki=pki, tls="encrypt").status == "4.7.4"
    assert send(tls(), pki=pki, tls="verify").status == "4.7.5"
    assert send(tls(), pki=pki, tls="none").tls == ""
    assert send(tls(), pki=pki, tls="may", options={"tls": TlsMode.VERIFY}).tls_facts.version
    assert send(clear(), pki=pki, transaction=required).status == "4.7.4"
    assert send(clear(), pki=pki, transaction=required, tls="none").status == "4.7.4"
    assert send(tls(), pki=pki, transaction=required).result == OK


FAILED = Result.FAILED
OFFERS = (*EXTENSIONS, "REQUIRETLS")
INSISTED = (
    {key: (FAILED, "5.7.10") if key in BAD_CERTIFICATE or key in NOT_OFFERED else (D, "4.7.0") for key in SERVERS}
    | {"drops at STARTTLS": (D, "4.4.2")}
    | dict.fromkeys(GOOD, (OK, "2.0.0"))
)


@pytest.mark.parametrize("key", SERVERS)
def test_requiretls_against_every_server(key, pki):
    """RFC 8689 4.2.1: returned for what a host lacks; what broke is tried again. Nothing but good TLS carries it."""
    context, script = SERVERS[key]
    server = SmtpServer(extensions=OFFERS, tls=context and getattr(pki, context), script=dict(script))
    outcome = send(server, pki=pki, transaction=INSISTENT, sts=sts("enforce"), options={"tls": TlsMode.NONE})
    assert (outcome.result, outcome.status) == INSISTED[key], outcome
    assert [message.tls for message in server.messages] == [True] * (key in GOOD)
    assert all(message.mail.endswith(" REQUIRETLS") for message in server.messages)


def test_requiretls_needs_every_link(pki):
    """An offer, and somebody who vouches for the host; the next host is asked, and one that is away may yet do it."""

    def offers():
        return SmtpServer(extensions=OFFERS, tls=pki.wildcard)

    def no_offer():
        return SmtpServer(tls=pki.good)

    vouched = sts("enforce", "*.mail.test")
    server = no_offer()
    outcome = send(server, pki=pki, transaction=INSISTENT, sts=vouched)
    assert (outcome.result, outcome.status, server.messages) == (FAILED, "5.7.30", [])
    assert "REQUIRETLS" in outcome.text
    outcome = send(no_offer(), offers(), pki=pki, transaction=INSISTENT, sts=vouched)
    assert (outcome.result, outcome.mx_host) == (OK, "mx2.mail.test")
    server = offers()
    outcome = send(server, pki=pki, transaction=INSISTENT)
    assert (outcome.result, outcome.status, server.sessions) == (FAILED, "5.7.10", [])
    assert "a.test" in outcome.text
    away = SmtpServer(script={"CONNECT": "421 4.3.2 not now"})
    outcome = send(no_offer(), away, pki=pki, transaction=INSISTENT, sts=vouched)
    assert (outcome.result, outcome.status) == (D, "4.3.2")
    # Nobody would hear of it: a null reverse-path goes where TLS is, and says REQUIRETLS where it is known.
    null = replace(INSISTENT, reverse_path="")
    assert send(no_offer(), pki=pki, transaction=null).result is OK
    assert send(SmtpServer(), pki=pki, transaction=null).status == "4.7.4"


def test_a_kept_connection_is_no_way_around_requiretls(pki):
    """Over one that another message opened the offer counts as well."""

    async def scenario():
        server = SmtpServer(tls=pki.good)
        async with server, transport(ca_file=pki.file) as client:
            deadline = asyncio.get_running_loop().time() + 5
            to = hop(server, sts=sts("enforce"))
            first = await client.send(to, mail(), deadline)
            second = await client.send(to, INSISTENT, deadline)
        return first[0], second[0], len(server.messages), len(server.sessions)

    first, second, messages, sessions = asyncio.run(scenario())
    assert (first.result, second.status, messages, sessions) == (OK, "5.7.30", 1, 1)


@pytest.mark.parametrize("key", sorted(set(SERVERS) - {"closes at STARTTLS"}))
def test_mail_that_does_without_tls(key, pki):
    """RFC 8689 4.2.2: TLS is tried, and the recipients' domain's policy not insisted upon; the operator's mode is."""
    optional = replace(mail(), tls_optional=True)
    assert send(server_of(key, pki), pki=pki, transaction=optional, sts=sts("enforce")).result is OK
    server = server_of(key, pki)
    outcome = send(server, pki=pki, transaction=optional, sts=sts("enforce"), options={"tls": TlsMode.VERIFY})
    assert (outcome.result is OK) == (key in GOOD)


def test_what_is_refused_is_said(pki):
    """In words that an operator can act upon."""
    outcome = send(server_of("refused", pki), pki=pki, tls="encrypt")
    assert outcome.text == f"TLS is required for {NAME}, but it answers STARTTLS by 454 not now"
    outcome = send(server_of("wrong name", pki), pki=pki, tls="verify")
    assert "Hostname mismatch" in outcome.text
    assert outcome.command == "TLS"


ENFORCED = {key: (OK if key in GOOD else D) for key in SERVERS}


@pytest.mark.parametrize("key", SERVERS)
def test_enforced_mta_sts(key, pki):
    """RFC 8461 5: certificate, name and TLS, or the mail waits; whatever the operator's own mode."""
    server = server_of(key, pki)
    outcome = send(server, pki=pki, sts=sts("enforce"), options={"tls": TlsMode.NONE})
    assert outcome.result == ENFORCED[key], outcome
    assert outcome.tls_facts.policy == "sts"
    assert outcome.tls_facts.verified == (key in GOOD)
    assert all(message.tls for message in server.messages)
    if key in BAD_CERTIFICATE:
        assert outcome.tls_facts.result == BAD_CERTIFICATE[key]


@pytest.mark.parametrize("key", sorted(set(SERVERS) - {"closes at STARTTLS"}))
def test_tested_mta_sts(key, pki):
    """RFC 8461 5: mode testing delivers as if there were no policy, and records what would have failed."""
    outcome = send(server_of(key, pki), pki=pki, sts=sts("testing"))
    expected = BAD_CERTIFICATE.get(key, "starttls-not-supported" if key in NOT_OFFERED else "")
    assert (outcome.result, outcome.tls_facts.policy) == (OK, "sts")
    assert outcome.tls_facts.result == ("validation-failure" if key in BROKEN else expected)
    assert bool(outcome.tls) == (key in GOOD or key in BAD_CERTIFICATE)
    assert outcome.tls_facts.verified == (key in GOOD)


def test_hosts_that_the_policy_does_not_name_are_passed_over(pki):
    """The next one is asked; if none is named the mail waits. Nobody connects to the others (RFC 8461 4.1)."""
    first, second = SmtpServer(tls=pki.good), SmtpServer(tls=pki.wildcard)
    outcome = send(first, second, pki=pki, sts=sts("enforce", "mx2.mail.test"))
    assert (outcome.result, outcome.mx_host, first.sessions) == (OK, "mx2.mail.test", [])
    server = SmtpServer(tls=pki.good)
    outcome = send(server, pki=pki, sts=sts("enforce", "*.elsewhere.test"))
    assert (outcome.result, outcome.status, server.sessions) == (D, "4.7.5", [])
    assert outcome.tls_facts == TlsFacts("sts", result="validation-failure")
    assert "a.test" in outcome.text
    outcome = send(SmtpServer(), pki=pki, sts=sts("testing", "*.elsewhere.test"))
    assert (outcome.result, outcome.tls_facts.result) == (OK, "validation-failure")


def test_a_good_host_behind_a_bad_one(pki):
    """Enforced: the bad one is left, the good one gets the mail."""
    bad, good = SmtpServer(tls=pki.stranger), SmtpServer(tls=pki.wildcard)
    outcome = send(bad, good, pki=pki, sts=sts("enforce", "*.mail.test"))
    assert (outcome.result, outcome.mx_host, outcome.tls_facts.verified) == (OK, "mx2.mail.test", True)
    assert bad.messages == []


def test_a_policy_that_could_not_be_had_is_noted(pki):
    """Delivered as without one."""
    outcome = send(SmtpServer(tls=pki.good), pki=pki, sts=StsFinding(fault="sts-policy-invalid"))
    facts = outcome.tls_facts
    assert (outcome.result, facts.policy, facts.result) == (OK, "no-policy-found", "sts-policy-invalid")


def test_tls_1_1_is_not_enough(pki):
    """RFC 8461 4.2 asks for 1.2; the host below it is left."""
    import ssl

    context = server_context(Authority("x").issue(NAME))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    outcome = send(SmtpServer(tls=context), pki=pki, sts=sts("enforce"))
    assert (outcome.result, outcome.status) == (D, "4.7.0")


def _two(pki, first, second, server, first_options=None):
    """Send two mails over one client, under two hops' fields; gives outcomes and the server."""

    async def main():
        async with server, transport(ca_file=pki.file, **(first_options or {})) as client:
            deadline = asyncio.get_running_loop().time() + 5
            one = await client.send(hop(server, **first), mail(), deadline)
            two = await client.send(hop(server, **second), mail(), deadline)
            return one[0], two[0]

    return asyncio.run(main())


REUSE = {
    "the same": ({}, {}, 1),
    "verified for anybody": ({"sts": sts("enforce")}, {}, 1),
    "unverified not for verify": ({}, {"sts": sts("enforce")}, 2),
    "unverified for encrypt": ({}, {"tls": "encrypt"}, 1),
    "clear not for encrypt": ({"tls": "none"}, {"tls": "encrypt"}, 2),
    "clear for none": ({"tls": "none"}, {"tls": "none"}, 1),
    "verified for enforce": ({"tls": "verify"}, {"sts": sts("enforce")}, 1),
}


@pytest.mark.parametrize(("first", "second", "sessions"), REUSE.values(), ids=REUSE)
def test_a_kept_connection_carries_only_what_it_suffices_for(first, second, sessions, pki):
    """Another message over a connection made for a laxer policy would go out unprotected."""
    server = SmtpServer(tls=pki.good)
    one, two = _two(pki, first, second, server)
    assert (one.result, two.result, len(server.sessions)) == (OK, OK, sessions)
    assert two.tls_facts.policy == ("sts" if "sts" in second else "no-policy-found")


def test_a_testing_domain_does_not_pay_twice_for_each_mail(pki):
    """The connection that was made after the first failure is kept for the next mail."""
    server = SmtpServer(tls=pki.stranger)
    one, two = _two(pki, {"sts": sts("testing")}, {"sts": sts("testing")}, server)
    assert [o.tls_facts.result for o in (one, two)] == ["certificate-not-trusted"] * 2
    assert len(server.sessions) == 2


def test_heavy_libraries_are_not_imported(pki):
    """Nobody pays for certificates or DNSSEC before a domain asks for them."""
    code = """
import sys
sys.path.insert(0, "layers/paravion/python")
import paravion.adapters.smtp_client, paravion.services.mta_sts, paravion.adapters.sts_policy_host
import paravion.adapters.dns_resolver
print(sorted({"cryptography", "dns", "email"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
