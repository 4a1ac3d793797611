"""The mailertable's hops: what they mean, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravion.domain.routes import Hop, credentials_of, parse_hops, written

ROUTES = {
    "mx": ("smtp:hub.example", [Hop("hub.example", False)]),
    "mx_port": ("smtp:hub.example:2525", [Hop("hub.example", False, 2525)]),
    "host": ("esmtp:[Hub.Example]", [Hop("hub.example", True)]),
    "address": ("relay:[10.0.0.1]:26", [Hop("10.0.0.1", True, 26)]),
    "bare_address": ("smtp:10.0.0.1", [Hop("10.0.0.1", False)]),
    "ipv6": ("smtp:[IPv6:2001:db8::1]:587", [Hop("IPv6:2001:db8::1", True, 587)]),
    "digit_first": ("smtp:1and1.example", [Hop("1and1.example", False)]),
    "smtps": ("esmtps:[a.example]", [Hop("a.example", True, 465)]),
    "smtps_port": ("smtps:[a.example]:1465 tls=verify", [Hop("a.example", True, 1465, "verify")]),
    "credential": ("smtp:[a.example]:587 auth=ses", [Hop("a.example", True, 587, "verify", "ses")]),
    "words": ("smtp:[a.example]:587 tls=encrypt  auth=ses", [Hop("a.example", True, 587, "encrypt", "ses")]),
    "clear": ("smtp:[10.0.0.1] auth=x tls=none", [Hop("10.0.0.1", True, 25, "none", "x")]),
    "fallback": (
        "smtp:[a.example]:587 auth=x, [b.example],c.example tls=may",
        [Hop("a.example", True, 587, "verify", "x"), Hop("b.example", True), Hop("c.example", False, tls="may")],
    ),
    "mailer_again": (
        "smtp:[a.example], esmtps:[b.example], c.example",
        [Hop("a.example", True), Hop("b.example", True, 465), Hop("c.example", False, 465)],
    ),
    "sendmail_colons": (
        "esmtp:[a.example]:[b.example]:26:c.example",
        [Hop("a.example", True), Hop("b.example", True, 26), Hop("c.example", False)],
    ),
    "colons_and_ipv6": (
        "esmtp:[IPv6:2001:db8::a]:[IPv6:2001:db8::b]:26",
        [Hop("IPv6:2001:db8::a", True), Hop("IPv6:2001:db8::b", True, 26)],
    ),
    "host_named_like_a_mailer": ("smtp:a.example, relay:26", [Hop("a.example", False), Hop("relay", False, 26)]),
}


@pytest.mark.parametrize("key", ROUTES)
def test_hops_are_read(key):
    """As written, and again from the normal form that is stored."""
    text, expected = ROUTES[key]
    hops = parse_hops(text)
    assert tuple(expected) == hops
    assert hops == parse_hops(written(hops))


BAD = {
    "nothing": ("smtp:", "must be host"),
    "no_mailer": ("[a.example]", "must be mailer:host"),
    "unknown_mailer": ("uucp:a.example", "must be mailer:host"),
    "port_0": ("smtp:a.example:0", "must be host"),
    "port": ("smtp:a.example:65536", "must be host"),
    "empty_hop": ("smtp:a.example,,b.example", "must be host"),
    "bracket": ("smtp:[a.example", "must be host"),
    "domain": ("smtp:[a b]", "must be host"),
    "not_a_domain": ("smtp:a_$.example", "is not a domain"),
    "word": ("smtp:a.example quick", "stand auth=NAME and tls=MODE"),
    "unknown_word": ("smtp:a.example user=x", "stand auth=NAME and tls=MODE"),
    "tls": ("smtp:a.example tls=perhaps", "must be one of"),
    "twice": ("smtp:a.example tls=may tls=may", "twice"),
    "credential": ("smtp:a.example auth=a/b", "letters, digits"),
    "no_credential": ("smtp:a.example auth=", "letters, digits"),
    "clear_on_465": ("smtps:[a.example] tls=none", "TLS comes first"),
    "many": ("smtp:a.example" + ", a.example" * 5, "more than 5"),
}


@pytest.mark.parametrize("key", BAD)
def test_what_is_no_route_is_refused(key):
    """When the table is loaded, in words that name it."""
    text, problem = BAD[key]
    with pytest.raises(ValueError, match=problem):
        parse_hops(text)


@given(st.text(alphabet="smtp:[]., =authls1:bIPv6", max_size=60))
def test_no_text_is_more_than_refused(text):
    """Whatever a file holds; what is taken is stable."""
    try:
        hops = parse_hops(f"smtp:{text}")
    except ValueError:
        return
    assert hops == parse_hops(written(hops))


def test_credentials_are_found():
    """In the stored form."""
    assert credentials_of("smtp:[a]:587 tls=verify auth=x, [b] auth=y.z, [c]") == ["x", "y.z"]
    assert credentials_of("smtp:[a]") == credentials_of("error:550 5.7.1 no") == []
