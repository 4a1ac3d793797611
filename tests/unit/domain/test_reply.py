"""Replies from octets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paravion.domain.reply import TEXT_CHARACTERS, Malformed, Reply, ReplyParser, printable


def parse(octets):
    """Feed a new parser once."""
    return ReplyParser().feed(octets)


GOOD = {
    "plain": (b"250 ok\r\n", Reply(250, ("ok",))),
    "enhanced": (b"250 2.1.5 ok then\r\n", Reply(250, ("ok then",), "2.1.5")),
    "enhanced_alone": (b"550 5.1.1\r\n", Reply(550, ("",), "5.1.1")),
    "enhanced_of_another_class": (b"550 4.1.1 x\r\n", Reply(550, ("4.1.1 x",))),
    "no_enhanced_but_a_number": (b"250 2.0 x\r\n", Reply(250, ("2.0 x",))),
    "an_address_is_no_status": (b"250 2.1.5.9 x\r\n", Reply(250, ("2.1.5.9 x",))),
    "three_has_no_status": (b"354 2.0.0 go\r\n", Reply(354, ("2.0.0 go",))),
    "multi_line": (b"550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n", Reply(550, ("a", "b", "c"), "5.7.1")),
    "multi_line_first_only": (b"550-5.7.1 a\r\n550 b\r\n", Reply(550, ("a", "b"), "5.7.1")),
    "without_text": (b"250\r\n", Reply(250, ("",))),
    "without_text_but_space": (b"250 \r\n", Reply(250, ("",))),
    "line_feed_only": (b"250-a\n250 b\n", Reply(250, ("a", "b"))),
    "utf8": ("250 2.1.0 grün\r\n".encode(), Reply(250, ("grün",), "2.1.0")),
    "unprintable": (b"550 a\x00\x1b[31m\xff\tb\r\n", Reply(550, ("a\\x00\\x1b[31m\\xff b",))),
}


@pytest.mark.parametrize("key", GOOD)
def test_well_formed_reply_is_read(key):
    """RFC 5321 4.2 replies, and the sloppy forms that lose nothing; status as of RFC 2034, of the code's class."""
    octets, expected = GOOD[key]
    assert [expected] == parse(octets)


BAD = {
    "no_code": b"hello\r\n",
    "empty_line": b"\r\n",
    "two_digits": b"25 ok\r\n",
    "four_digits": b"2500 ok\r\n",
    "class_one": b"150 ok\r\n",
    "class_six": b"650 ok\r\n",
    "wrong_separator": b"250_ok\r\n",
    "codes_differ": b"250-a\r\n251 b\r\n",
    "http": b"HTTP/1.1 200 OK\r\n",
    "tls_record": b"\x15\x03\x01\x00\x02\x02\n",
}


@pytest.mark.parametrize("key", BAD)
def test_malformed_reply_ends_the_parser(key):
    """What is no reply gives one Malformed, and nothing behind it is believed."""
    parser = ReplyParser()
    (answer,) = parser.feed(BAD[key] + b"250 ok\r\n")
    assert isinstance(answer, Malformed)
    assert answer.text.isprintable()
    assert parser.feed(b"250 ok\r\n") == []


def test_over_long_line_is_cut():
    """A long line keeps its meaning: only the text is cut, a 250 stays one (RFC 5321 4.5.3.1.5)."""
    (reply,) = parse(b"250 2.0.0 " + b"x" * 5000 + b"\r\n")
    assert (reply.code, reply.enhanced) == (250, "2.0.0")
    assert len(reply.text) == TEXT_CHARACTERS


def test_long_reply_is_read_to_its_end():
    """Lines beyond those we keep are dropped, the reply is still one reply."""
    first, second = parse(b"250-x\r\n" * 1000 + b"250 end\r\n221 bye\r\n")
    assert (first.code, len(first.lines), second.code) == (250, 100, 221)


@pytest.mark.parametrize("octets", [b"250-x\r\n" * 20_000, b"250 " + b"x" * 200_000], ids=["lines", "line"])
def test_endless_reply_is_given_up(octets):
    """Memory is bounded whatever a host sends."""
    parser = ReplyParser()
    answers = [answer for at in range(0, len(octets), 1000) for answer in parser.feed(octets[at : at + 1000])]
    assert [Malformed] == [type(answer) for answer in answers]
    assert not parser._partial


def test_is_empty_tells_a_reply_under_way():
    """A connection with half a reply in it is not in step."""
    parser = ReplyParser()
    assert parser.is_empty
    parser.feed(b"250-")
    assert not parser.is_empty
    parser.feed(b"a\r\n250 b\r\n")
    assert parser.is_empty


LINE = st.one_of(
    st.builds(
        lambda code, mark, text: b"%d" % code + mark + text,
        st.sampled_from([220, 250, 250, 354, 421, 550]),
        st.sampled_from([b" ", b"-"]),
        st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
    ),
    st.binary(max_size=8),
)


@settings(deadline=None)
@given(st.lists(LINE, max_size=12), st.lists(st.integers(1, 30), max_size=60))
def test_any_split_gives_the_same_replies(lines, sizes):
    """TCP keeps no borders: however the octets are split, the replies are the same."""
    octets = b"".join(line + b"\r\n" for line in lines)
    parser = ReplyParser()
    answers, at = [], 0
    for size in sizes:
        answers += parser.feed(octets[at : at + size])
        at += size
    answers += parser.feed(octets[at:])
    assert parse(octets) == answers


@settings(deadline=None)
@given(st.integers(65_400, 65_600), st.integers(50, 3000))
def test_any_split_gives_the_same_at_the_limit(length, size):
    """The limit on a reply's length does not depend on how it came in."""
    octets = b"250 " + b"x" * length + b"\r\n220 next\r\n"
    parser = ReplyParser()
    answers = [answer for at in range(0, len(octets), size) for answer in parser.feed(octets[at : at + size])]
    assert [type(a) for a in parse(octets)] == [type(a) for a in answers]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_printable_is_printable(octets):
    """Nothing from the wire reaches a log or a report as control characters."""
    assert printable(octets).isprintable()
