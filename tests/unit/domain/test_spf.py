"""SPF as far as the doctor follows it."""

from __future__ import annotations

import pytest

from paravion.domain.spf import check_spf

DNS = {
    ("ok.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all", "other"],
    ("one.example", "TXT"): ["v=spf1 ip4:192.0.2.1 ~all"],
    ("a.example", "TXT"): ["v=spf1 a -all"],
    ("a.example", "A"): ["192.0.2.1"],
    ("a.example", "AAAA"): ["2001:db8::1"],
    ("net.example", "TXT"): ["v=spf1 a:a.example/24//64 ?all"],
    ("mx.example", "TXT"): ["v=spf1 mx -all"],
    ("mx.example", "MX"): ["x.example", "a.example"],
    ("inc.example", "TXT"): ["v=spf1 include:one.example include:a.example -all"],
    ("red.example", "TXT"): ["v=spf1 exp=e.example redirect=ok.example"],
    ("redless.example", "TXT"): ["v=spf1 redirect=nothing.example"],
    ("incless.example", "TXT"): ["v=spf1 include:nothing.example -all"],
    ("loop.example", "TXT"): ["v=spf1 include:loop.example -all"],
    ("looped.example", "TXT"): ["v=spf1 redirect=looped.example"],
    ("two.example", "TXT"): ["v=spf1 -all", "v=spf1 +all"],
    ("macro.example", "TXT"): ["v=spf1 exists:%{i}.x.example -all"],
    ("ptr.example", "TXT"): ["v=spf1 ptr -all"],
    ("bad.example", "TXT"): ["v=spf1 ip4:300.0.0.1 -all"],
    ("odd.example", "TXT"): ["v=spf1 nonsense -all"],
    ("junk.example", "TXT"): ["v=spf1 !? -all"],
    ("bare.example", "TXT"): ["v=spf1"],
}
ROWS = [
    ("ok.example", "192.0.2.77", "pass"),
    ("ok.example", "2001:db8:1::1", "pass"),
    ("ok.example", "198.51.100.1", "fail"),
    ("one.example", "192.0.2.2", "softfail"),
    ("a.example", "192.0.2.1", "pass"),
    ("a.example", "2001:db8::1", "pass"),
    ("a.example", "2001:db8::2", "fail"),
    ("net.example", "192.0.2.99", "pass"),
    ("net.example", "2001:db8::99", "pass"),
    ("net.example", "2001:db8:1::1", "neutral"),
    ("mx.example", "192.0.2.1", "pass"),
    ("inc.example", "2001:db8::1", "pass"),
    ("inc.example", "192.0.2.9", "fail"),
    ("red.example", "192.0.2.9", "pass"),
    ("redless.example", "192.0.2.9", "permerror"),
    ("incless.example", "192.0.2.9", "permerror"),
    ("loop.example", "192.0.2.9", "permerror"),
    ("looped.example", "192.0.2.9", "permerror"),
    ("two.example", "192.0.2.9", "permerror"),
    ("macro.example", "192.0.2.9", "unknown"),
    ("ptr.example", "192.0.2.9", "unknown"),
    ("bad.example", "192.0.2.9", "permerror"),
    ("odd.example", "192.0.2.9", "permerror"),
    ("junk.example", "192.0.2.9", "permerror"),
    ("bare.example", "192.0.2.9", "neutral"),
    ("nothing.example", "192.0.2.9", "none"),
]


@pytest.mark.parametrize(("domain", "address", "result"), ROWS)
def test_result(domain, address, result):
    """RFC 7208 4.6 and 5, without what depends on macros."""
    assert check_spf(domain, address, lambda name, kind: DNS.get((name, kind), [])) == result
