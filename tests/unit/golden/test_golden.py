"""The reports, octet for octet, and what others' programs make of them."""

from __future__ import annotations

import email
import pathlib

import pytest

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
    "delayed": ({b"bob@example.org"}, set()),
    "listed": (set(), set()),
    "relayed": (set(), set()),
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
