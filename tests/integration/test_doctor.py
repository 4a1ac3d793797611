"""`paravion doctor` against a name server stub on loopback, and the records adapter behind it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest

from paravion.adapters.dns_records import DnsRecords, NameServerSilent
from paravion.cli import main
from tests.integration.test_dns_resolver import SERVFAIL, SILENT, Stub
from tests.support.dkim_keys import active_ring, txt_of

RECORDS = txt_of("d.test", active_ring())


def _strings(value):
    return " ".join(f'"{value[n : n + 255]}"' for n in range(0, len(value), 255))


TABLE = {
    ("d.test", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("d.test", "MX"): ["20 mx2.d.test.", "10 MX1.d.test."],
    ("mx1.d.test", "A"): ["192.0.2.2"],
    ("mx2.d.test", "AAAA"): ["2001:db8::2"],
    ("_dmarc.d.test", "TXT"): ['"v=DMARC1; p=reject"'],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["out.d.test."],
    ("out.d.test", "A"): ["192.0.2.1"],
    **{(name, "TXT"): [_strings(value)] for name, value in RECORDS.items()},
    ("null.test", "MX"): ["0 ."],
    ("fail.test", "MX"): SERVFAIL,
    ("slow.test", "MX"): SILENT,
}


@contextmanager
def name_server(table):
    """A stub on a thread of its own; gives its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = loop.create_datagram_endpoint(lambda: Stub(table), ("127.0.0.1", 0))
    transport, _ = asyncio.run_coroutine_threadsafe(made, loop).result(10)
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        loop.call_soon_threadsafe(transport.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_records_as_text():
    """Strings joined, hosts by preference, nothing for nothing; silence is an error."""
    with name_server(TABLE) as port:
        records = DnsRecords("127.0.0.1", port, lifetime_s=0.5)
        name, value = next(iter(RECORDS.items()))
        assert records.look_up(name, "TXT") == [value]
        assert records.look_up("d.test", "MX") == ["mx1.d.test", "mx2.d.test"]
        assert records.look_up("null.test", "MX") == ["."]
        assert records.look_up("1.2.0.192.in-addr.arpa", "PTR") == ["out.d.test"]
        assert [records.look_up(name, "A") for name in ("mx2.d.test", "none.test", "a" * 64 + ".test")] == [[], [], []]
        for name in ("fail.test", "slow.test"):
            with pytest.raises(NameServerSilent):
                records.look_up(name, "MX")


def test_doctor_finds_a_healthy_domain(capsys):
    """Exit 0, although MTA-STS and TLSRPT are missing."""
    selectors = [word for name in RECORDS for word in ("--selector", name.partition(".")[0])]
    with name_server(TABLE) as port:
        code = main.main(
            ["doctor", "D.test", *selectors, "--address", "192.0.2.1", "--nameserver", f"127.0.0.1:{port}"]
        )
    lines = capsys.readouterr().out.splitlines()
    assert code == 0, lines
    assert [line.split()[0] for line in lines if "publish" not in line] == [*["ok"] * 6, "missing", "missing"]
    assert '         publish    _smtp._tls.d.test. TXT "v=TLSRPTv1; rua=mailto:postmaster@d.test"' in lines


def test_doctor_finds_what_is_wrong(capsys):
    """Exit 1, and the records to publish."""
    with name_server({("d.test", "TXT"): ['"v=spf1 ?all"']}) as port:
        words = ["--selector", "s1", "--address", "192.0.2.1", "--nameserver", f"127.0.0.1:{port}"]
        assert main.main(["doctor", "d.test", *words]) == 1
    out = capsys.readouterr().out
    assert "wrong    SPF        192.0.2.1 comes out as neutral" in out
    assert 'publish    d.test. TXT "v=spf1 ip4:192.0.2.1 ?all"' in out
    assert "missing  DKIM s1    no key at s1._domainkey.d.test" in out
