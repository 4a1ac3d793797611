"""The reports, octet for octet, and what others' programs make of them."""

from __future__ import annotations

import email
import email.policy
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.support.foreign import ROOT
from tests.unit.golden.reports import REPORTS, octets

HERE = pathlib.Path(__file__).parent

TEMPORARY_AND_PERMANENT = {
    "failed_one": (set(), {b"bob@example.org"}),
    "failed_many": (
        set(),
        {
            b"bob@example.org",
            b"sales+north@corp.example",
            b"dora@exampel.com",
            b"eve@example.net",
            b"robert@example.org",
        },
    ),
    "expired": (set(), {b"bob@example.org", b"sales+north@corp.example"}),
    "returned": (set(), {b"bob@example.org", b"sales+north@corp.example"}),
    "delayed": ({b"bob@example.org"}, set()),
    "eight_bit": (set(), {b"bob@example.org"}),
    "huge": (set(), {b"bob@example.org"}),
    "secure_only": (set(), {b"bob@example.org"}),
    "released": (set(), {b"bob@example.org"}),
    "german": (set(), {b"bob@example.org", b"sales+north@corp.example"}),
    "french": ({b"bob@example.org"}, set()),
    "spanish": (set(), {b"bob@example.org"}),
    "smtputf8_to_ascii": (set(), set()),
    "smtputf8": (set(), set()),  # flufl.bounce knows type rfc822 alone
    "hostile": (set(), {b"bob@example.org"}),
    "cancelled": (set(), {b"bob@example.org"}),
    "refused_here": (set(), {b"bob@example.org", b"dora@exampel.com", b"eve@example.net"}),
    "lost": (set(), {b"bob@example.org"}),
    "held": ({b"bob@example.org"}, set()),
    "crowd": (set(), {f"user{n}@example.org".encode() for n in range(50)}),
    "listed": (set(), set()),
    "relayed": (set(), set()),
    "deadline": (set(), set()),
    "delivered": (set(), set()),
    "expanded": (set(), set()),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report_is_its_golden_file(name):
    """A report's octets change only on purpose; tests/unit/golden/reports.py writes the files anew."""
    expected = (HERE / f"{name}.eml").read_bytes()
    assert expected == octets(name)


def test_no_golden_file_is_left_over():
    """Every .eml file here belongs to a report."""
    assert sorted(f"{name}.eml" for name in REPORTS) == sorted(path.name for path in HERE.glob("*.eml"))


@pytest.mark.parametrize("name", REPORTS)
def test_golden_file_keeps_crlf(name):
    """RFC 5322 2.1: every line ends in CRLF; a checkout that rewrites line ends shows here."""
    content = (HERE / f"{name}.eml").read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")


@pytest.mark.parametrize("name", REPORTS)
def test_flufl_bounce_classifies(name):
    """A list manager's parser finds exactly the addresses that we mean, temporary or permanent."""
    bounce = pytest.importorskip("flufl.bounce")
    message = email.message_from_bytes((HERE / f"{name}.eml").read_bytes())
    assert TEMPORARY_AND_PERMANENT[name] == bounce.all_failures(message)


def test_hostile_words_open_nothing():
    """A host's reply, an address and a subject with markup, controls, bidi, encoded words and delimiters: all text."""
    message = email.message_from_bytes((HERE / "hostile.eml").read_bytes(), policy=email.policy.default)
    words, status, original = message.iter_parts()
    plain, html = (part.get_content() for part in words.iter_parts())
    assert (status.get_content_type(), original.get_content_type()) == (
        "message/delivery-status",
        "text/rfc822-headers",
    )
    assert "X" not in message
    for text in (plain, html, str(message["Subject"])):
        assert text.replace("\r\n", "").isprintable()
    assert "<script>alert(1)</script> <a" in plain
    assert "\\x{1B}[2J\\x{7}\\x{202E}gnp.exe\\x{2066} \\x{200B}=?utf-8?q?=0D=0AX:_y?=\\x{0} --=_b" in " ".join(
        plain.split()
    )
    assert not re.search(r"<(script|a|i|b|img)\b", html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert [field["Status"] for field in status.get_payload() if "Status" in field] == ["5.7.1"]


SISIMAI = """
use Sisimai;
for my $file (@ARGV) {
    for my $found (@{ Sisimai->make($file, delivered => 1) || [] }) {
        my ($name) = $file =~ m{([^/]+)[.]eml$};
        print join(" ", $name, $found->action, substr($found->deliverystatus, 0, 1), $found->recipient->address), "\\n";
    }
}
"""
ACTIONS = {
    "delayed": "delayed 4", "held": "delayed 4", "french": "delayed 4", "relayed": "relayed 2", "deadline": "relayed 2", "listed": "delivered 2",
    "expanded": "expanded 2", "delivered": "delivered 2",
}  # fmt: skip


def in_ascii(address):
    """Give an address in RFC 6533's ASCII form."""
    return "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in address)


def test_sisimai_classifies():
    """Sisimai finds the final addresses, with action and class of status; it has two views of an expiry's class."""
    library = ROOT / "usr/share/perl5"
    perl = shutil.which("perl")
    if not perl or not (library / "Sisimai.pm").exists():
        pytest.skip("no Sisimai: make foreign")
    files = [str(HERE / f"{name}.eml") for name in REPORTS]
    run = subprocess.run(
        [perl, "-e", SISIMAI, *files], env={"PERL5LIB": str(library)}, capture_output=True, check=True, text=True
    )
    found = set(
        run.stdout.replace("expired failed 4", "expired failed 5")
        .replace("returned failed 4", "returned failed 5")
        .splitlines()
    )
    assert found == {
        f"{name} {ACTIONS.get(name, 'failed 5')} {in_ascii(recipient.forward_path)}"
        for name, report in REPORTS.items()
        for recipient, _ in report.members
        # It knows addresses of RFC 6533, but not message/global-delivery-status.
        if name != "smtputf8"
    }


@pytest.mark.parametrize("name", REPORTS)
def test_python_reads_it(name):
    """The standard library's parser finds no defect, and every address, action and status."""
    message = email.message_from_bytes((HERE / f"{name}.eml").read_bytes(), policy=email.policy.SMTPUTF8)
    assert [defect for part in message.walk() for defect in part.defects] == []
    status = message.get_payload(1).as_bytes().decode()
    for recipient, _ in REPORTS[name].members:
        address = recipient.forward_path if name == "smtputf8" else in_ascii(recipient.forward_path)
        assert f"; {address}\r\n" in status
