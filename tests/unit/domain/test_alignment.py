"""Whose domain is whose."""

from __future__ import annotations

import pytest

from paravion.domain.alignment import is_aligned, self_and_above

ROWS = [
    ("example.org", "example.org", True),
    ("mail.example.org", "example.org", True),
    ("example.org", "a.b.example.org", True),
    ("a.example.org", "b.example.org", False),
    ("notexample.org", "example.org", False),
    ("example.org", "org", False),
    ("org", "org", False),
    ("example.org", "example.com", False),
]


@pytest.mark.parametrize(("domain", "other", "aligned"), ROWS)
def test_alignment(domain, other, aligned):
    """The same, or one above the other; symmetrical."""
    assert is_aligned(domain, other) is is_aligned(other, domain) is aligned


def test_domains_above():
    """Nearest first, never a top-level domain, nothing for a literal."""
    assert self_and_above("a.b.example.org") == ["a.b.example.org", "b.example.org", "example.org"]
    assert self_and_above("org") == ["org"]
    assert self_and_above("[192.0.2.1]") == []
