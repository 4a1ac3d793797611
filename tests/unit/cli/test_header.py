"""cli/header.py: where the header section ends, and From."""

import pytest

from paravion.cli.header import add_from, header_field, split_header

SPLITS = {
    "usual": (b"To: b@y\nX: 1\n\nbody\n", b"To: b@y\nX: 1\n", b"\nbody\n"),
    "crlf": (b"To: b@y\r\n\r\nbody\r\n", b"To: b@y\r\n", b"\r\nbody\r\n"),
    "folded": (b"To: b@y,\n\tc@y\n\nbody", b"To: b@y,\n\tc@y\n", b"\nbody"),
    "no header": (b"just text\n", b"", b"\njust text\n"),
    "no header, indented": (b" text: x\n", b"", b"\n text: x\n"),
    "body without an empty line": (b"To: b@y\nbody text\n", b"To: b@y\n", b"\nbody text\n"),
    "only a header": (b"To: b@y\n", b"To: b@y\n", b"\n"),
    "only a header, cut": (b"To: b@y", b"To: b@y\n", b"\n"),
    "empty": (b"", b"", b"\n"),
    "empty line first": (b"\nbody\n", b"", b"\nbody\n"),
    "mbox line": (b"From a@x Mon Nov  3 10:00:00 2025\nTo: b@y\n\nbody\n", b"To: b@y\n", b"\nbody\n"),
    "octets that are no UTF-8": (b"X: \xff\n\n\xfe\n", b"X: \xff\n", b"\n\xfe\n"),
}


@pytest.mark.parametrize(("content", "header", "body"), SPLITS.values(), ids=SPLITS)
def test_a_message_is_divided(content, header, body):
    """RFC 5322 2.1; what scripts pipe without a header becomes a body."""
    assert (header, body) == split_header(content)


def test_fields_are_found_unfolded_and_in_any_case():
    """RFC 5322 2.2.3, 1.2.2."""
    header = b"TO: a@x,\n b@x\nX-To: c@x\nto : d@x\n"
    assert [b" a@x, b@x", b" d@x"] == header_field(header, b"to")


FROMS = {
    "none given": (b"", "a@x.example", "", b"From: a@x.example\n"),
    "name": (b"", "a@x.example", "A B", b"From: A B <a@x.example>\n"),
    "name with specials": (b"", "a@x.example", 'A. "B"', b'From: "A. \\"B\\"" <a@x.example>\n'),
    "there is one": (b"from: c@y\n", "a@x.example", "A B", b"from: c@y\n"),
    "null sender": (b"", "", "A B", b""),
    "crlf": (b"To: b@y\r\n", "a@x.example", "", b"From: a@x.example\r\nTo: b@y\r\n"),
    "umlaut": (b"", "a@x.example", "Jürgen", b"From: =?utf-8?b?SsO8cmdlbg==?= <a@x.example>\n"),
}


@pytest.mark.parametrize(("header", "sender", "name", "expected"), FROMS.values(), ids=FROMS)
def test_from_is_added_when_there_is_none(header, sender, name, expected):
    """As sendmail -f and -F do."""
    assert expected == add_from(header, sender, name)


def test_a_long_name_becomes_words_of_at_most_75_characters():
    """RFC 2047 2; no character is divided."""
    octets = add_from(b"", "a@x.example", "ü" * 60)
    words = octets.removeprefix(b"From: ").split(b" <")[0].split(b" ")
    assert all(len(word) <= 75 for word in words)
    assert len(words) > 1
