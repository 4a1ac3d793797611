"""What a header says of its mail's priority, and how settings are read that go by it."""

from __future__ import annotations

import math

import pytest

from paravion.domain.message import read_message
from paravion.domain.priority import Span, priority_of, read_spans

HEADERS = {
    "nothing": (b"", ""),
    "urgent": (b"Priority: urgent\r\n", "urgent"),
    "any case, a comment": (b"PRIORITY: Non-Urgent (really)\r\n", "non-urgent"),
    "normal": (b"Priority: normal\r\n", "normal"),
    "no word of RFC 2156": (b"Priority: 1\r\n", ""),
    "an empty field": (b"Priority:\r\n", ""),
    "bulk": (b"Precedence: bulk\r\n", "bulk"),
    "list": (b"Precedence: list\r\n", "bulk"),
    "junk, folded": (b"Precedence:\r\n junk\r\n", "bulk"),
    "a list's copy of an urgent mail": (b"Priority: urgent\r\nPrecedence: list\r\n", "bulk"),
    "first class and urgent": (b"Precedence: first-class\r\nPriority: urgent\r\n", "urgent"),
    "our own kind can't be asked for": (b"Priority: dsn\r\n", ""),
    "the first of two counts": (b"Priority: normal\r\nPriority: urgent\r\n", "normal"),
    "for the reader": (b"X-Priority: 1\r\nImportance: high\r\n", ""),
    "a list without a word about it": (b"List-Id: <l.example.org>\r\nAuto-Submitted: auto-generated\r\n", ""),
    "no text": (b"Priority: \xc3\xa4\r\n", ""),
}


@pytest.mark.parametrize("key", HEADERS)
def test_a_header_names_a_priority(key):
    """RFC 2156 5.3.6, and Precedence before it."""
    fields, expected = HEADERS[key]
    message = read_message(fields + b"From: a@x.example\r\n\r\nx\r\n", max_octets=9999)
    assert expected == priority_of(message)


def test_spans_are_read_with_their_units():
    """A multiple, a time of its own, never."""
    found = read_spans(" urgent = 0.25x, bulk=never,normal=90m,dsn=1.5d,non-urgent=30s,", never=True)
    assert found == {
        "urgent": Span(0.25, is_factor=True),
        "bulk": Span(math.inf),
        "normal": Span(5400.0),
        "dsn": Span(129_600.0),
        "non-urgent": Span(30.0),
    }
    assert [found[name].of(100.0) for name in ("urgent", "normal")] == [25.0, 5400.0]
    assert read_spans("") == {}


BAD = {
    "no priority": ("first-class=1h", {}, "the priority one of urgent, normal"),
    "no time": ("urgent", {}, "PRIORITY=TIME"),
    "no unit": ("urgent=60", {}, "its unit, as 1s, 1m, 1h, 1d, 1x"),
    "another unit": ("urgent=1w", {}, "its unit"),
    "nothing at all": ("urgent=0x", {}, "above 0"),
    "less": ("urgent=-1h", {}, "its unit"),
    "twice": ("urgent=1h,urgent=2h", {}, "urgent is there twice"),
    "never, where there is an end": ("bulk=never", {}, "its unit"),
    "a time where a multiple is meant": ("bulk=2h", {"units": "x"}, "as 1x"),
    "too long": ("bulk=15d", {"longest_s": 1_209_600}, "bulk: must be at most 1209600 seconds"),
    "nothing but commas": (" , ,", {}, "commas"),
}


@pytest.mark.parametrize("key", BAD)
def test_what_is_no_span_is_refused_by_name(key):
    """The operator reads what to write instead."""
    text, options, expected = BAD[key]
    with pytest.raises(ValueError, match=expected):
        read_spans(text, **options)


def test_a_multiple_may_be_beyond_the_longest():
    """What comes of it is cut where it is used (schedule.lifetimes)."""
    assert read_spans("bulk=20x", longest_s=5) == {"bulk": Span(20.0, is_factor=True)}
