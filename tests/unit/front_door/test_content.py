"""infra/front_door/content.py: where DATA ends and what is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.front_door.content import Content

LINES = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")), max_size=12)


def stuffed(lines):
    """Give the lines as they go over the wire."""
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)


@given(LINES, st.lists(st.integers(0, 10_000), max_size=6))
def test_any_lines_in_any_pieces_arrive_octet_for_octet(lines, cuts):
    """Transparency (RFC 5321 4.5.2) is undone whatever the packets look like; what follows the end is kept."""
    octets = stuffed(lines) + b".\r\n"
    content = Content(1 << 20)
    edges = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    ended = [content.feed(octets[a:b]) for a, b in itertools.pairwise(edges) if a < b]
    assert [False] * (len(ended) - 1) + [True] == ended
    assert b"" == content.rest
    assert "" == content.fault()
    assert b"".join(line + b"\r\n" for line in lines) == content.take()


def test_what_follows_the_end_is_given_back():
    """A pipelining client's next commands are not content (RFC 2920)."""
    content = Content(100)
    assert content.feed(b"a\r\n.\r\nQUIT\r\n")
    assert (b"QUIT\r\n", b"a\r\n") == (content.rest, content.take())


def test_an_empty_message_ends_at_once():
    """The CR LF of DATA itself begins the end (RFC 5321 4.1.1.4)."""
    content = Content(100)
    assert content.feed(b".\r\n")
    assert b"" == content.take()


SMUGGLING = {
    "<LF>.<LF>": b"\n.\n",
    "<LF>.<CRLF>": b"\n.\r\n",
    "<CRLF>.<LF>": b"\r\n.\n",
    "<CR>.<CR>": b"\r.\r",
    "<CR>.<CRLF>": b"\r.\r\n",
    "<CRLF>.<CR>": b"\r\n.\r",
    "<CR>.<LF>": b"\r.\n",
    "<LF>.<CR>": b"\n.\r",
    "<LF><CR>.<LF><CR>": b"\n\r.\n\r",
    "<CRLF>.<CR><CRLF>": b"\r\n.\r\r\n",
    "<CRLF><NUL>.<CRLF> with a bare LF": b"\r\n\0.\n",
}


@pytest.mark.parametrize("sequence", SMUGGLING.values(), ids=SMUGGLING)
def test_a_false_end_neither_ends_nor_passes(sequence):
    """Only CR LF . CR LF ends DATA; a content with a bare CR or LF is at fault (RFC 5321 2.3.8)."""
    content = Content(1 << 20)
    assert not content.feed(b"Subject: x\r\n\r\nhello" + sequence + b"MAIL FROM:<evil@x>\r\n")
    assert content.feed(b"\r\n.\r\n")
    assert content.fault() in {"bare CR", "bare LF"}


def test_a_bare_cr_before_the_true_end_is_a_fault():
    """`<CR><CRLF>.<CRLF>` does end, as it holds CR LF . CR LF, but the message is refused."""
    content = Content(100)
    assert content.feed(b"x\r\r\n.\r\n")
    assert "bare CR" == content.fault()


@pytest.mark.parametrize(("octets", "too_big"), [(b"x" * 98 + b"\r\n", False), (b"x" * 99 + b"\r\n", True)])
def test_size_counts_octets_with_line_ends(octets, too_big):
    """The limit is that of SIZE: CR LF counts (RFC 1870 4)."""
    content = Content(100)
    assert content.feed(octets + b".\r\n")
    assert too_big == content.too_big


def test_size_does_not_count_the_dots_of_transparency():
    """RFC 1870 4: octets added for transparency are not counted."""
    content = Content(100)
    assert content.feed(b"..\r\n" * 33 + b".\r\n")
    assert not content.too_big
    assert b".\r\n" * 33 == content.take()


@pytest.mark.parametrize("cut", range(1, 14))
@pytest.mark.parametrize("content", [b"abcdefgh\r\n", b"abc\r\n...d\r\n"])
def test_largest_message_fits_wherever_its_packets_end(content, cut):
    """Of what may be the end nothing counts as content."""
    octets = content + b".\r\n"
    taken = Content(10)
    taken.feed(octets[:cut])
    taken.feed(octets[cut:])
    assert (False, content.replace(b"\n..", b"\n.")) == (taken.too_big, taken.take())


def test_too_big_a_content_is_not_kept():
    """Memory stays bounded while the end is awaited."""
    content = Content(100)
    for _ in range(100):
        assert not content.feed(b"x" * 1000 + b"\r\n")
        assert content.held_octets < 1200
    assert content.feed(b".\r\nNOOP\r\n")
    assert (True, b"NOOP\r\n") == (content.too_big, content.rest)
