"""Routes, literals and refused addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.mta_sts import StsMode, StsPolicy
from paravion.domain.next_hop import MxHost, NextHop, credential_name, is_literal, is_refused, literal_address, route
from paravion.domain.tls_policy import NO_STS, StsFinding

ROUTES = {
    "mx": ("mx", None),
    "name": ("smart.test:587", MxHost("smart.test", 587, (), allow_private=True, by_route=True)),
    "ipv4": ("127.0.0.1:2599", MxHost("127.0.0.1", 2599, ("127.0.0.1",), allow_private=True, by_route=True)),
    "ipv6": ("[::1]:25", MxHost("::1", 25, ("::1",), allow_private=True, by_route=True)),
    "ipv6_literal": ("[IPv6:::1]:25", MxHost("::1", 25, ("::1",), allow_private=True, by_route=True)),
}


@pytest.mark.parametrize("key", ROUTES)
def test_relay_setting_names_the_hop(key):
    """`mx` routes by domain; HOST:PORT is one host that may be private, since the operator named it."""
    relay, host = ROUTES[key]
    expected = None if host is None else NextHop(relay, (host,))
    assert expected == route(relay)


@pytest.mark.parametrize("relay", ["", "host", ":25", "host:", "host:0", "host:65536", "host:²", "host:-1"])
def test_bad_relay_is_a_callers_bug(relay):
    """settings.py lets none of these through."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        route(relay)


def sts(mode, *mx):
    return StsFinding(StsPolicy(StsMode(mode), mx, 86_400))


VOUCHED = {
    "nobody": ({"policy_domain": "a.test"}, False),
    "a signed list": ({"policy_domain": "a.test", "secure": True}, True),
    "a policy": ({"policy_domain": "a.test", "sts": sts("enforce", "*.a.test")}, True),
    "a policy in testing": ({"policy_domain": "a.test", "sts": sts("testing", "mx.a.test")}, True),
    "a policy of none": ({"policy_domain": "a.test", "sts": sts("none", "mx.a.test")}, False),
    "a policy of others": ({"policy_domain": "a.test", "sts": sts("enforce", "mx.b.test")}, False),
    "a policy that can't be had": ({"policy_domain": "a.test", "sts": StsFinding(fault="sts-policy-invalid")}, False),
    "the domain itself": ({"policy_domain": "mx.a.test"}, True),
    "the operator": ({"sts": NO_STS}, True),
}


@pytest.mark.parametrize(("fields", "expected"), VOUCHED.values(), ids=VOUCHED)
def test_who_vouches_for_a_host(fields, expected):
    """RFC 8689 4.2.1: DNSSEC or MTA-STS, where an MX record named it."""
    assert expected == NextHop("a.test", (MxHost("mx.a.test"),), **fields).vouches_for("mx.a.test")


LITERALS = {
    "[192.0.2.1]": "192.0.2.1",
    "[IPv6:2001:db8::1]": "2001:db8::1",
    "[ipv6:2001:DB8:0::1]": "2001:db8::1",
    "[192.0.2.256]": None,
    "[2001:db8::1]": None,
    "[IPv6:192.0.2.1]": None,
    "[tag:x]": None,
    "[]": None,
}


@pytest.mark.parametrize("literal", LITERALS)
def test_literal_gives_its_address(literal):
    """RFC 5321 4.1.3."""
    assert is_literal(literal)
    assert LITERALS[literal] == literal_address(literal)


REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:db8::1",
    "localhost",
    "127.1",
    "0x7f000001",
    "mx.test",
    "1",
]
GLOBAL = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", REFUSED)
def test_special_address_is_refused(address):
    """Loopback, private, link-local, metadata, multicast, reserved; wrapped in IPv6 too; and what is no address."""
    assert is_refused(address)


@pytest.mark.parametrize("address", GLOBAL)
def test_global_address_is_not_refused(address):
    """Mail goes to the open network."""
    assert not is_refused(address)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_mapping_an_address_does_not_hide_it(address):
    """An IPv4 address in IPv6 clothes is judged as itself."""
    assert is_refused(str(address)) == is_refused(str(ipaddress.IPv6Address(f"::ffff:{address}")))


def test_names_of_credentials():
    """They are part of a path, and of a word in the mailertable."""
    assert credential_name("ses.eu-west-1_a") == "ses.eu-west-1_a"
    for name in ("", ".x", "a/b", "a b", "a,b", "x" * 65, "ä"):
        with pytest.raises(ValueError, match="letters"):
            credential_name(name)


def test_relay_with_a_credential_verifies_unless_told_otherwise():
    """A password is given to nobody unknown; `tls` and `credential` are the hop's, and part of its key."""
    plain, logged_in, encrypted = (
        route("a.test:587"), route("a.test:587", "", "ses"), route("a.test:587", "encrypt", "ses"),
    )  # fmt: skip
    assert [(hop.tls, hop.credential) for hop in (plain, logged_in, encrypted)] == [
        ("", ""), ("verify", "ses"), ("encrypt", "ses"),
    ]  # fmt: skip
    assert len({plain.key, logged_in.key, encrypted.key, NextHop("a.test:587", plain.hosts, behind=(plain,)).key}) == 4
